/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Not getopt: a verb's options are found together with the global ones, the verb's winning ("logs -n" are
 * lines, "-n" elsewhere is the namespace), and the help text comes from the table that is parsed by. */

#include "ctl/options.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "ctl/terminal.h"

#define HELP_COLUMN 30

static const Option *option_find_short(const Option *options, char c) {
        for (const Option *o = options; o && o->help; o++)
                if (o->short_name && o->short_name == c)
                        return o;
        return NULL;
}

static const Option *option_find_long(const Option *options, const char *name, size_t l) {
        for (const Option *o = options; o && o->help; o++)
                if (o->long_name && strlen(o->long_name) == l && strncmp(o->long_name, name, l) == 0)
                        return o;
        return NULL;
}

static int option_apply(const Option *o, const char *value, void *target, Error *reterr_error) {
        void *field = (uint8_t *) target + o->offset;

        switch (o->type) {

        case OPTION_FLAG:
                *(bool *) field = true;
                return 0;

        case OPTION_STRING:
                *(const char **) field = value;
                return 0;

        case OPTION_STRV:
                if (strv_extend((char ***) field, value) < 0)
                        return error_oom(reterr_error);
                return 0;

        default:
                return o->apply(value, target, reterr_error);
        }
}

int option_apply_by_name(const Option *options, const char *long_name, const char *value, void *target,
                         Error *reterr_error) {
        const Option *o = option_find_long(options, long_name, strlen(long_name));

        assert(o && !o->metavar == !value);
        return option_apply(o, value, target, reterr_error);
}

int option_parse_sec(const char *name, const char *value, uint64_t *ret, Error *reterr_error) {
        if (parse_sec(value, ret) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a time, such as 10, 500ms or 1min.", name, value);
        return 0;
}

int option_parse_timestamp(const char *name, const char *value, uint64_t *ret, Error *reterr_error) {
        if (parse_timestamp(value, ret) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--%s=%s is not a time, such as 2026-01-02 03:04, -5min, today or @1700000000.",
                                 name, value);
        return 0;
}

static int parse_long(const OptionSet *sets, size_t n_sets, char *const **argv, Error *reterr_error) {
        const char *name = **argv + 2, *eq = strchr(name, '='), *value = eq ? eq + 1 : NULL;
        size_t l = eq ? (size_t) (eq - name) : strlen(name);

        for (size_t i = 0; i < n_sets; i++) {
                const Option *o = option_find_long(sets[i].options, name, l);

                if (!o)
                        continue;
                if (!o->metavar && value)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "The option --%s takes no value.", o->long_name);
                if (o->metavar && !value) {
                        if (!(*argv)[1])
                                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                 "The option --%s needs a value: --%s=%s", o->long_name,
                                                 o->long_name, o->metavar);
                        value = *++*argv;
                }
                return option_apply(o, value, sets[i].target, reterr_error);
        }

        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "There is no option --%.*s here; see --help.", (int) l, name);
}

static int parse_short(const OptionSet *sets, size_t n_sets, char *const **argv, Error *reterr_error) {
        for (const char *p = **argv + 1; *p; p++) {
                const Option *o = NULL;
                const char *value = NULL;
                size_t i;
                int r;

                for (i = 0; i < n_sets; i++)
                        if ((o = option_find_short(sets[i].options, *p)))
                                break;
                if (!o)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "There is no option -%c here; see --help.", *p);
                if (o->metavar) {
                        value = p[1] ? p + 1 : (*argv)[1];
                        if (!value)
                                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                 "The option -%c needs a value: -%c %s", *p, *p, o->metavar);
                        if (!p[1])
                                ++*argv;
                }
                r = option_apply(o, value, sets[i].target, reterr_error);
                if (r < 0 || o->metavar)
                        return r;
        }
        return 0;
}

int options_parse(const OptionSet *sets, size_t n_sets, char *const *argv, bool stop_at_first,
                  char ***ret_args, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        size_t n = 0;
        int r;

        args = calloc(strv_length(argv) + 1, sizeof(char *));
        if (!args)
                return error_oom(reterr_error);

        for (; *argv; argv++) {
                if (streq(*argv, "--")) {
                        argv++;
                        break;
                }
                if ((*argv)[0] != '-' || (*argv)[1] == 0) {
                        if (stop_at_first)
                                break;
                        args[n++] = *argv;
                        continue;
                }
                if ((*argv)[1] == '-')
                        r = parse_long(sets, n_sets, &argv, reterr_error);
                else
                        r = parse_short(sets, n_sets, &argv, reterr_error);
                if (r < 0)
                        return r;
        }

        while (*argv)
                args[n++] = *argv++;
        *ret_args = TAKE_PTR(args);
        return 0;
}

void options_print_help(const Option *options, const Option *hidden_by, FILE *f) {
        for (const Option *o = options; o->help; o++) {
                bool shadowed = hidden_by && o->short_name && option_find_short(hidden_by, o->short_name);
                char left[80], s[3] = "";
                size_t l;

                if (o->long_name && hidden_by &&
                    option_find_long(hidden_by, o->long_name, strlen(o->long_name)))
                        continue;
                if (o->short_name && !shadowed) {
                        s[0] = '-';
                        s[1] = o->short_name;
                }
                (void) snprintf(left, sizeof left, "  %2s --%s%s%s", s, o->long_name, o->metavar ? "=" : "",
                                strempty(o->metavar));
                l = utf8_length(left);
                fputs(left, f);
                if (l + 2 > HELP_COLUMN) {
                        fputc('\n', f);
                        l = 0;
                }
                for (const char *p = o->help; *p;) {
                        size_t n = strcspn(p, "\n");

                        fprintf(f, "%*s%.*s\n", (int) (HELP_COLUMN - l), "", (int) n, p);
                        l = 0;
                        p += n + (p[n] == '\n');
                }
        }
}
