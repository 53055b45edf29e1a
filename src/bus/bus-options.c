/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "bus/bus-options.h"
#include "basic/string-util.h"
#include "basic/strv.h"

/* Lists are bounded here already, not only by whoever uses them: appending to a strv looks for its end
 * each time. */

int bus_option_error(Error *reterr_error, const BusOption *o, int r) {
        return error_set(reterr_error, r, r == -ENOMEM ? "NoMemory" : "InvalidArgument",
                         "Option “%s” cannot be read: %m", o->name);
}

static int list_too_long(Error *e, const char *what, unsigned max) {
        return error_set(e, -E2BIG, "InvalidArgument", "“%s” has more than %u elements.", what, max);
}

int bus_option_string(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        const char *s;
        int r;

        r = sd_bus_message_read_basic(m, 's', &s);
        if (r >= 0)
                r = free_and_strdup(target, s);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

int bus_option_strv(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        const char *s;
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "s");
        if (r < 0)
                return bus_option_error(reterr_error, o, r);

        while ((r = sd_bus_message_read_basic(m, 's', &s)) > 0) {
                if (++n > BUS_LIST_MAX)
                        return list_too_long(reterr_error, o->name, BUS_LIST_MAX);
                r = strv_extend(&l, s);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);

        strv_free(*(char ***) target);
        *(char ***) target = TAKE_PTR(l);
        return 0;
}

int bus_option_bool(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        int b, r;

        r = sd_bus_message_read_basic(m, 'b', &b);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);

        *(bool *) target = b;
        return 0;
}

int bus_option_uint64(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        uint64_t v;
        int r;

        r = sd_bus_message_read_basic(m, 't', &v);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);

        *(uint64_t *) target = v;
        return 0;
}

int bus_option_fd(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        int fd, r;

        r = sd_bus_message_read_basic(m, 'h', &fd);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);

        *(int *) target = fd;
        return 0;
}

int bus_option_terminal_size(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        uint32_t rows, columns;
        char *size;
        int r;

        r = sd_bus_message_read(m, "(uu)", &rows, &columns);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);
        size = strformat("%" PRIu32 "x%" PRIu32, rows, columns);
        if (!size)
                return bus_option_error(reterr_error, o, -ENOMEM);

        free(*(char **) target);
        *(char **) target = size;
        return 0;
}

int bus_read_labels(sd_bus_message *m, const char *what, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        const char *key, *value;
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "“%s” cannot be read: %m", what);

        while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0) {
                if (++n > BUS_LABELS_MAX)
                        return list_too_long(reterr_error, what, BUS_LABELS_MAX);
                if (isempty(key) || strchr(key, '='))
                        return error_set(
                                        reterr_error, -EINVAL, "InvalidArgument",
                                        "The label “%s” is not valid: a key is not empty and has no “=”.",
                                        key);
                if (strv_env_get(l, key))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "The label “%s” is given twice.", key);
                r = strv_extendf(&l, "%s=%s", key, value);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return error_set(reterr_error, r, r == -ENOMEM ? "NoMemory" : "InvalidArgument",
                                 "“%s” cannot be read: %m", what);

        *ret = TAKE_PTR(l);
        return 0;
}

int bus_option_labels(sd_bus_message *m, const BusOption *o, void *target, Error *reterr_error) {
        char **l;
        int r;

        r = bus_read_labels(m, o->name, &l, reterr_error);
        if (r < 0)
                return r;

        strv_free(*(char ***) target);
        *(char ***) target = l;
        return 0;
}

int bus_append_labels(sd_bus_message *m, char *const *labels) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        if (r < 0)
                return r;

        STRV_FOREACH(l, labels) {
                const char *equal = strchr(l, '=');
                _cleanup_free_ char *key = strndup(l, equal ? (size_t) (equal - l) : strlen(l));

                if (!key)
                        return -ENOMEM;
                r = sd_bus_message_append(m, "{ss}", key, equal ? equal + 1 : "");
                if (r < 0)
                        return r;
        }

        return sd_bus_message_close_container(m);
}

static int unknown_option(const BusOption *table, const char *name, Error *reterr_error) {
        _cleanup_strv_free_ char **known = NULL;
        _cleanup_free_ char *list = NULL;

        for (const BusOption *o = table; o->name; o++)
                if (strv_extend(&known, o->name) < 0)
                        return error_oom(reterr_error);

        list = strv_join(known, ", ");
        if (isempty(list))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Unknown option “%s”: this call has none.", name);
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "Unknown option “%s”: this call knows %s.", name, list);
}

static int option_parse_one(sd_bus_message *m, const BusOption *table, uint64_t *seen, void *target,
                            Error *reterr_error) {
        const BusOption *o = table;
        const char *name, *contents;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "The options cannot be read: %m");

        while (o->name && !streq(o->name, name))
                o++;
        if (!o->name)
                return unknown_option(table, name, reterr_error);

        assert((size_t) (o - table) < BUS_OPTIONS_MAX);
        if (*seen & (UINT64_C(1) << (o - table)))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "The option “%s” is given twice.",
                                 name);
        *seen |= UINT64_C(1) << (o - table);

        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);
        if (!streq(contents, o->signature))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The option “%s” has type “%s” and must have type “%s”.", name, contents,
                                 o->signature);

        r = sd_bus_message_enter_container(m, 'v', contents);
        if (r < 0)
                return bus_option_error(reterr_error, o, r);
        r = o->parse(m, o, (uint8_t *) target + o->offset, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? bus_option_error(reterr_error, o, r) : 0;
}

int bus_options_parse(sd_bus_message *m, const BusOption *table, void *target, Error *reterr_error) {
        uint64_t seen = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0) {
                r = sd_bus_message_enter_container(m, 'e', "sv");
                if (r <= 0)
                        break;
                r = option_parse_one(m, table, &seen, target, reterr_error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "The options cannot be read: %m");
        return 0;
}

typedef struct ForceBag {
        bool force;
} ForceBag;

static const BusOption force_options[] = {
        { "Force", "b", bus_option_bool, offsetof(ForceBag, force) },
        {},
};

int bus_options_parse_force(sd_bus_message *m, bool *ret_force, Error *reterr_error) {
        ForceBag bag = {};
        int r;

        r = bus_options_parse(m, force_options, &bag, reterr_error);
        if (r < 0)
                return r;

        *ret_force = bag.force;
        return 0;
}
