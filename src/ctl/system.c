/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* info, version, gc, namespace. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/bus-util.h"
#include "ctl/create-bag.h"
#include "ctl/pager.h"

/* -- info, version -- */

static void print_value(const char *name, json_t *value) {
        json_t *item;
        size_t i;

        printf("%20s: ", name);
        if (json_is_string(value))
                printf("%s\n", json_string_value(value));
        else if (json_is_integer(value))
                printf("%lli\n", (long long) json_integer_value(value));
        else {
                json_array_foreach(value, i, item)
                        printf("%s%s", i > 0 ? " " : "", strempty(json_string_value(item)));
                printf("\n");
        }
}

static int info_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        _cleanup_json_ json_t *info = NULL;
        const char *name;
        json_t *value;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        r = ctl_get_all(c, BUS_PATH, BUS_MANAGER, &info, reterr_error);
        if (r < 0)
                return r;
        if (c->json != OUTPUT_OFF)
                return ctl_output(c, NULL, info, reterr_error);
        pager_open(c);
        json_object_foreach(info, name, value)
                print_value(name, value);
        return EXIT_SUCCESS;
}

const Verb verb_info = {
        .name = "info",
        .group = VERB_GROUP_SYSTEM,
        .summary = "Show moored's version, features, drivers, numbers",
        .description = "The properties of org.moored1.Manager.\n\n"
                       "Example:\n"
                       "  moorctl info --json=pretty\n",
        .run = info_main,
};

static int version_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL, *version = NULL;
        _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        if (c->json == OUTPUT_OFF)
                printf("moorctl %s\n", MOORED_VERSION);
        r = ctl_connect(c, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_get_property_string(c->bus, BUS_NAME, BUS_PATH, BUS_MANAGER, "Version", &e, &version);
        if (r < 0)
                return bus_error_to_error(&e, r, reterr_error);
        if (c->json == OUTPUT_OFF) {
                printf("moored %s\n", version);
                return EXIT_SUCCESS;
        }
        j = json_pack("{ss ss}", "ClientVersion", MOORED_VERSION, "Version", version);
        return j ? ctl_output(c, NULL, j, reterr_error) : error_oom(reterr_error);
}

const Verb verb_version = {
        .name = "version",
        .group = VERB_GROUP_SYSTEM,
        .summary = "Show the versions of moorctl and of moored",
        .description = "moorctl --version shows moorctl's alone, without asking moored.\n",
        .run = version_main,
};

/* -- gc -- */

typedef struct GcOptions {
        bool dry_run;
} GcOptions;

static int gc_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_free_ char **args = NULL;
        _cleanup_json_ json_t *result = NULL;
        char bytes[FORMAT_BYTES_MAX];
        GcOptions o = {};
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        ctl_start_agent(c);
        if (o.dry_run)
                r = ctl_call(c, BUS_PATH, BUS_MANAGER, "CollectGarbage", &reply, reterr_error, "a{sv}", 1,
                             "DryRun", "b", 1);
        else
                r = ctl_call(c, BUS_PATH, BUS_MANAGER, "CollectGarbage", &reply, reterr_error, "a{sv}", 0);
        if (r < 0)
                return r;
        r = bus_message_to_json(reply, &result);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        if (c->json != OUTPUT_OFF)
                return ctl_output(c, NULL, result, reterr_error);
        printf("%s %lli blobs and %lli snapshots, %s\n", o.dry_run ? "Would free" : "Freed",
               (long long) json_integer_value(json_object_get(result, "Blobs")),
               (long long) json_integer_value(json_object_get(result, "Snapshots")),
               format_bytes(bytes, sizeof bytes,
                            (uint64_t) json_integer_value(json_object_get(result, "Bytes"))));
        return EXIT_SUCCESS;
}

static const Option gc_options[] = {
        { 0, "dry-run", NULL, OPTION_FLAG, offsetof(GcOptions, dry_run), .help = "Only count" },
        OPTION_END,
};

const Verb verb_gc = {
        .name = "gc",
        .group = VERB_GROUP_SYSTEM,
        .arguments = "[OPTION…]",
        .summary = "Free what no image and no container needs",
        .description =
                "moored does this by itself after images and containers were removed; this does it now.\n\n"
                "Example:\n"
                "  moorctl gc --dry-run\n",
        .options = gc_options,
        .run = gc_main,
};

/* -- namespace -- */

typedef struct NamespaceOptions {
        char **labels;
} NamespaceOptions;

static int namespace_create(Ctl *c, const char *name, char *const *labels, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        r = ctl_new_call(c, BUS_PATH, BUS_MANAGER, "CreateNamespace", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = append_labels(m, labels);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        return ctl_call_message(c, m, NULL, reterr_error);
}

static int namespace_list(Ctl *c, Error *reterr_error) {
        static const TableColumn columns[] = {
                { "NAME", 0 }, { "SLICE", 0 }, { "LABELS", TABLE_SHRINK }, {}
        };
        _cleanup_(table_freep) Table *t = table_new(columns);
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_json_ json_t *namespaces = NULL;
        const char *name, *object, *key;
        json_t *ns, *value;
        size_t i;
        int r;

        r = ctl_call(c, BUS_PATH, BUS_MANAGER, "ListNamespaces", &reply, reterr_error, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(so)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(so)", &name, &object)) > 0) {
                if (c->quiet)
                        printf("%s\n", name);
                if (strv_extend(&paths, object) < 0)
                        return error_oom(reterr_error);
        }
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        if (c->quiet)
                return EXIT_SUCCESS;

        r = ctl_get_all_many(c, paths, BUS_NAMESPACE, &namespaces, reterr_error);
        if (r < 0)
                return r;
        json_array_foreach(namespaces, i, ns) {
                _cleanup_strv_free_ char **labels = NULL;
                _cleanup_free_ char *joined = NULL;

                json_object_foreach(json_object_get(ns, "Labels"), key, value)
                        if (strv_extendf(&labels, "%s=%s", key, strempty(json_string_value(value))) < 0)
                                return error_oom(reterr_error);
                joined = strv_join(labels, ",");
                if (!t || !joined || table_add(t, json_get_string(ns, "Name")) < 0 ||
                    table_add(t, json_get_string(ns, "Slice")) < 0 || table_add(t, joined) < 0)
                        return error_oom(reterr_error);
        }
        return ctl_output(c, t, namespaces, reterr_error);
}

static int namespace_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        NamespaceOptions o = {};
        const char *what;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0) {
                strv_free(o.labels);
                return r;
        }
        what = args[0] ?: "ls";
        if (streq(what, "ls") && !(args[0] && args[1]))
                r = namespace_list(c, reterr_error);
        else if (streq(what, "create") && args[1]) {
                ctl_start_agent(c);
                r = namespace_create(c, args[1], o.labels, reterr_error);
        } else if (streq(what, "rm") && args[1]) {
                ctl_start_agent(c);
                r = ctl_call(c, BUS_PATH, BUS_MANAGER, "RemoveNamespace", NULL, reterr_error, "s", args[1]);
        } else
                r = error_set(reterr_error, -EINVAL, "InvalidArgument",
                              "Usage: moorctl namespace ls, create NAME or rm NAME");
        strv_free(o.labels);
        return r;
}

static const Option namespace_options[] = {
        { 0, "label", "NAME[=VALUE]", OPTION_STRV, offsetof(NamespaceOptions, labels),
          .help = "create: attach a label" },
        OPTION_END,
};

const Verb verb_namespace = {
        .name = "namespace",
        .group = VERB_GROUP_SYSTEM,
        .arguments = "[ls | create [OPTION…] NAME | rm NAME]",
        .summary = "List, make and remove namespaces",
        .description =
                "A namespace has its own images and containers by name; what they are made of is shared. Its\n"
                "containers are in a slice of their own. Only an empty one can be removed.\n\n"
                "Examples:\n"
                "  moorctl namespace create build --label team=ci\n"
                "  moorctl -n build run --rm busybox true\n",
        .options = namespace_options,
        .max_args = 2,
        .run = namespace_main,
};
