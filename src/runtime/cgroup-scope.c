/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/bit-list.h"
#include "runtime/cgroup-scope.h"
#include "runtime/spec-private.h"

#define CPUS_MAX 65536U /* and memory nodes */
#define SCOPE_ERROR_MAX 4096U

void scope_properties_done(ScopeProperties *p) {
        for (size_t i = 0; i < p->n; i++) {
                free(p->properties[i].name);
                free(p->properties[i].type);
                strv_free(p->properties[i].values);
        }
        free(p->properties);
        *p = (ScopeProperties){};
}

const ScopeProperty *scope_properties_find(const ScopeProperties *p, const char *name) {
        for (size_t i = p->n; i > 0; i--)
                if (streq(p->properties[i - 1].name, name))
                        return &p->properties[i - 1];
        return NULL;
}

/* Takes values over. */
static int add_strv(ScopeProperties *p, const char *name, const char *type, char **values) {
        ScopeProperty *q = (ScopeProperty *) scope_properties_find(p, name);

        if (!q) {
                ScopeProperty *larger = reallocarray(p->properties, p->n + 1, sizeof(ScopeProperty));

                if (!larger) {
                        strv_free(values);
                        return -ENOMEM;
                }
                p->properties = larger;
                q = &p->properties[p->n++];
                *q = (ScopeProperty){};
        }
        strv_free(q->values);
        q->values = values;
        if (free_and_strdup(&q->name, name) < 0 || free_and_strdup(&q->type, type) < 0)
                return -ENOMEM;
        return 0;
}

int scope_properties_add(ScopeProperties *p, const char *name, const char *type, ...) {
        _cleanup_strv_free_ char **values = NULL;
        const char *value;
        va_list ap;
        int r = 0;

        va_start(ap, type);
        while (r >= 0 && (value = va_arg(ap, const char *)))
                r = strv_extend(&values, value);
        va_end(ap);
        return r < 0 ? r : add_strv(p, name, type, TAKE_PTR(values));
}

static int add_number(ScopeProperties *p, const char *name, uint64_t value) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%ju", (uintmax_t) value);
        return scope_properties_add(p, name, "t", text, NULL);
}

/* "max" and decimal numbers; what else there may be in `unified` is left to the file. */
static bool parse_limit(const char *s, uint64_t *ret) {
        if (streq(s, "max")) {
                *ret = UINT64_MAX;
                return true;
        }
        return parse_uint64(s, ret) >= 0;
}

static int add_cpu_max(ScopeProperties *p, const char *value) {
        _cleanup_strv_free_ char **words = strv_split(value, " ");
        uint64_t quota, period = 100000, per_sec = UINT64_MAX;
        int r;

        if (!words)
                return -ENOMEM;
        if (!words[0] || !parse_limit(words[0], &quota) || (words[1] && !parse_limit(words[1], &period)) ||
            period == 0 || period > 1000000)
                return 0;
        /* Rounded up, so that the manager, which rounds down, comes to the same quota. */
        if (quota != UINT64_MAX && quota < UINT64_MAX / 1000000 - period)
                per_sec = (quota * 1000000 + period - 1) / period;
        r = add_number(p, "CPUQuotaPerSecUSec", per_sec);
        return r < 0 ? r : add_number(p, "CPUQuotaPeriodUSec", period);
}

/* As hex digits, the byte of the lowest numbers first. */
static int add_cpu_set(ScopeProperties *p, const char *name, const char *list, Error *reterr_error) {
        _cleanup_(bit_list_done) BitList bits = {};
        _cleanup_free_ uint8_t *mask = NULL;
        _cleanup_free_ char *hex = NULL;
        size_t size = 0;
        int r;

        r = bit_list_parse(list, CPUS_MAX, &bits);
        if (r == -EINVAL || r == -ERANGE)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" is not a list of CPUs or memory nodes like \"0-3,7\".", list);
        mask = calloc(bits.n_words + 1, sizeof(unsigned long));
        if (r < 0 || !mask)
                return spec_oom(reterr_error);
        for (unsigned i = 0; i < bits.n_words * BIT_LIST_BITS; i++)
                if (bit_list_has(&bits, i)) {
                        mask[i / 8] |= (uint8_t) (1U << (i % 8));
                        size = i / 8 + 1;
                }
        hex = hex_encode(mask, size);
        if (!hex || scope_properties_add(p, name, "ay", hex, NULL) < 0)
                return spec_oom(reterr_error);
        return 0;
}

/* The manager makes BFQ's weight of its own scale, 1 … 10000 with 100 as default in both: this is the way
 * back. */
static uint64_t io_weight_of_bfq(uint64_t weight) {
        return weight <= 100 ? weight : MIN(100 + (weight - 100) * 11, UINT64_C(10000));
}

static int add_write(ScopeProperties *p, const CgroupWrite *w, Error *reterr_error) {
        static const struct {
                const char *file;
                const char *property;
        } numbers[] = {
                { "memory.max", "MemoryMax" },
                { "memory.min", "MemoryMin" },
                { "memory.low", "MemoryLow" },
                { "memory.high", "MemoryHigh" },
                { "memory.swap.max", "MemorySwapMax" },
                { "cpu.weight", "CPUWeight" },
                { "pids.max", "TasksMax" },
                { "io.weight", "IOWeight" },
        };
        uint64_t v;

        if (w->value[0] == '\n')
                return 0; /* reset: the manager has none anyway */
        if (streq(w->file, "cpuset.cpus"))
                return add_cpu_set(p, "AllowedCPUs", w->value, reterr_error);
        if (streq(w->file, "cpuset.mems"))
                return add_cpu_set(p, "AllowedMemoryNodes", w->value, reterr_error);
        if (streq(w->file, "cpu.max"))
                return add_cpu_max(p, w->value) < 0 ? spec_oom(reterr_error) : 0;

        if (!parse_limit(startswith(w->value, "default ") ?: w->value, &v))
                return 0;
        /* A weight of 0 is the manager's way to say idle. */
        if (streq(w->file, "cpu.idle"))
                return add_number(p, "CPUWeight", v == 1 ? 0 : UINT64_MAX) < 0 ? spec_oom(reterr_error) : 0;
        if (streq(w->file, "io.bfq.weight"))
                return add_number(p, "IOWeight", io_weight_of_bfq(v)) < 0 ? spec_oom(reterr_error) : 0;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (streq(w->file, numbers[i].file))
                        return add_number(p, numbers[i].property, v) < 0 ? spec_oom(reterr_error) : 0;
        return 0;
}

int scope_properties_add_writes(ScopeProperties *p, const CgroupWrites *w, Error *reterr_error) {
        for (size_t i = 0; i < w->n; i++) {
                int r = add_write(p, &w->writes[i], reterr_error);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int name_error(const char *cgroups_path, const char *what, Error *reterr_error) {
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "linux.cgroupsPath: \"%s\" %s; the systemd cgroup manager needs "
                         "\"SLICE:PREFIX:NAME\", like \"system.slice:mooring:web\".",
                         cgroups_path, what);
}

/* What may not be in a unit's name becomes "\xNN". */
static char *unit_name_escape(const char *s) {
        _cleanup_free_ char *escaped = calloc(strlen(s) + 1, 4);
        char *p = escaped;

        for (; escaped && *s; s++)
                if (strchr(DIGITS LOWERCASE UPPERCASE ":-_.\\", *s))
                        *p++ = *s;
                else
                        p += sprintf(p, "\\x%02x", (unsigned char) *s);
        return TAKE_PTR(escaped);
}

int scope_names(const char *cgroups_path, const char *id, bool rootless, char **ret_unit, char **ret_slice,
                Error *reterr_error) {
        const char *slice = "", *prefix = "mooring", *name = id, *suffix = ".scope";
        _cleanup_free_ char *copy = NULL, *joined = NULL, *unit = NULL, *owned_slice = NULL;

        if (!isempty(cgroups_path)) {
                char *a, *b;

                copy = strdup(cgroups_path);
                if (!copy)
                        return spec_oom(reterr_error);
                a = strchr(copy, ':');
                if (!a)
                        return name_error(cgroups_path, "has no colon", reterr_error);
                *a++ = 0;
                slice = copy;
                b = strchr(a, ':');
                if (b)
                        *b++ = 0;
                prefix = b ? a : "";
                name = b ?: a;
        }

        if (streq(slice, "-"))
                slice = "-.slice";
        if (slice[0] && (!endswith(slice, ".slice") || strchr(slice, '/')))
                return name_error(cgroups_path, "does not begin with the name of a slice", reterr_error);
        if (isempty(name) || strchr(name, '/') || strchr(prefix, '/') || strchr(name, ':'))
                return name_error(cgroups_path, "does not end with a name", reterr_error);
        if (endswith(name, ".slice"))
                return name_error(cgroups_path, "names a slice, which has no processes", reterr_error);
        if (endswith(name, ".scope"))
                suffix = "";

        joined = strjoin(prefix, prefix[0] ? "-" : "", name, suffix);
        unit = joined ? unit_name_escape(joined) : NULL;
        owned_slice = strdup(slice[0] ? slice : rootless ? "user.slice" : "system.slice");
        if (!unit || !owned_slice)
                return spec_oom(reterr_error);
        if (strlen(unit) > NAME_MAX)
                return error_set(reterr_error, -ENAMETOOLONG, "InvalidArgument",
                                 "The unit's name \"%s\" is longer than %d characters.", unit, NAME_MAX);
        *ret_unit = TAKE_PTR(unit);
        *ret_slice = TAKE_PTR(owned_slice);
        return 0;
}

/* One quoted string with backslashes before any character; *s is then behind it. NULL if it is none, or no
 * memory. */
static char *parse_quoted(const char **s) {
        _cleanup_free_ char *text = NULL;
        char quote = **s, *p;

        if (quote != '\'' && quote != '"')
                return NULL;
        text = p = calloc(strlen(*s) + 1, 1);
        if (!text)
                return NULL;
        for ((*s)++; **s && **s != quote; (*s)++) {
                if (**s == '\\' && (*s)[1])
                        (*s)++;
                *p++ = **s;
        }
        if (**s != quote)
                return NULL;
        (*s)++;
        return TAKE_PTR(text);
}

static void skip_blanks(const char **s) {
        while (isspace((unsigned char) **s))
                (*s)++;
}

/* "['a', 'b']" from behind the bracket. */
static int parse_array(const char *s, char ***ret) {
        _cleanup_strv_free_ char **values = NULL;

        skip_blanks(&s);
        while (*s != ']') {
                if (strv_consume(&values, parse_quoted(&s)) < 0)
                        return -EINVAL;
                skip_blanks(&s);
                if (*s == ',')
                        s++;
                else if (*s != ']')
                        return -EINVAL;
                skip_blanks(&s);
        }
        s++;
        skip_blanks(&s);
        if (*s)
                return -EINVAL;
        *ret = TAKE_PTR(values);
        return 0;
}

/* "uint64 5", "-3" (int32). */
static int parse_typed_number(const char *s, const char **ret_type, bool *ret_negative, uint64_t *ret) {
        static const struct {
                const char *name, *type;
                uint64_t max, min; /* min: of what is behind the sign */
        } types[] = {
                { "byte ", "y", UINT8_MAX, 0 },
                { "int16 ", "n", INT16_MAX, (uint64_t) INT16_MAX + 1 },
                { "uint16 ", "q", UINT16_MAX, 0 },
                { "int32 ", "i", INT32_MAX, (uint64_t) INT32_MAX + 1 },
                { "uint32 ", "u", UINT32_MAX, 0 },
                { "int64 ", "x", INT64_MAX, (uint64_t) INT64_MAX + 1 },
                { "uint64 ", "t", UINT64_MAX, 0 },
                { "", "i", INT32_MAX, (uint64_t) INT32_MAX + 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                const char *number = startswith(s, types[i].name);

                if (!number)
                        continue;
                skip_blanks(&number);
                *ret_type = types[i].type;
                *ret_negative = number[0] == '-';
                if (parse_uint64(number + *ret_negative, ret) < 0)
                        return -EINVAL;
                return *ret > (*ret_negative ? types[i].min : types[i].max) ? -ERANGE : 0;
        }
        return -EINVAL;
}

static int add_typed_number(ScopeProperties *p, const char *name, const char *value) {
        _cleanup_free_ char *usec = NULL, *text = NULL;
        const char *type;
        bool negative;
        uint64_t v;
        int r;

        r = parse_typed_number(value, &type, &negative, &v);
        if (r < 0)
                return r;
        /* Times have the names of unit files: the bus has them in microseconds. */
        if (endswith(name, "Sec") && !endswith(name, "USec")) {
                if (negative || v > UINT64_MAX / 1000000)
                        return -ERANGE;
                v *= 1000000;
                type = "t";
                usec = strndup(name, strlen(name) - strlen("Sec"));
                if (usec) {
                        char *longer = strjoin(usec, "USec");

                        free(usec);
                        usec = longer;
                }
                if (!usec)
                        return -ENOMEM;
        }
        text = strformat("%s%ju", negative ? "-" : "", (uintmax_t) v);
        return text ? scope_properties_add(p, usec ?: name, type, text, NULL) : -ENOMEM;
}

static int add_annotation(ScopeProperties *p, const char *name, const char *value) {
        skip_blanks(&value);
        if (streq(value, "true") || streq(value, "false"))
                return scope_properties_add(p, name, "b", value, NULL);
        if (value[0] == '\'' || value[0] == '"') {
                _cleanup_free_ char *text = parse_quoted(&value);

                if (!text)
                        return -EINVAL;
                skip_blanks(&value);
                return *value ? -EINVAL : scope_properties_add(p, name, "s", text, NULL);
        }
        if (startswith(value, "@as "))
                value += strlen("@as ");
        if (value[0] == '[') {
                char **values = NULL;
                int r = parse_array(value + 1, &values);

                return r < 0 ? r : add_strv(p, name, "as", values);
        }
        return add_typed_number(p, name, value);
}

int scope_property_parse(const char *name, const char *value, ScopeProperties *p, Error *reterr_error) {
        int r;

        if (isempty(name) || !string_in_charset(name, DIGITS LOWERCASE UPPERCASE))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Annotation " ANNOTATION_SYSTEMD_PROPERTY "%s does not name a property.",
                                 name);
        r = add_annotation(p, name, value);
        if (r == -ENOMEM)
                return spec_oom(reterr_error);
        if (r < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Annotation " ANNOTATION_SYSTEMD_PROPERTY
                                 "%s: \"%s\" is none of true, false, 'text', ['text', …], or a number like "
                                 "\"uint64 5\" or \"int32 -1\".",
                                 name, value);
        return 0;
}

int scope_properties_add_annotations(ScopeProperties *p, const SpecPair *annotations, size_t n,
                                     Error *reterr_error) {
        for (size_t i = 0; i < n; i++) {
                const char *name = startswith(annotations[i].name, ANNOTATION_SYSTEMD_PROPERTY);
                int r;

                if (!name)
                        continue;
                r = scope_property_parse(name, annotations[i].value, p, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Waits for the end of mooring-scope; what it said is in text. */
static int wait_result(int pidfd, const char *text, Error *reterr_error) {
        const char *newline = strchr(text, '\n');
        _cleanup_free_ char *name = NULL;
        int r, code = 0, status = 0;

        r = pidfd_wait(pidfd, &code, &status);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot wait for mooring-scope: %m");
        if (code == CLD_EXITED && status == 0)
                return 0;

        name = newline ? strndup(text, (size_t) (newline - text)) : NULL;
        if (!name)
                return error_set(reterr_error, -EIO, "Failed", "mooring-scope ended with %s %d: %s",
                                 code == CLD_EXITED ? "exit code" : "signal", status, text);
        return error_set(reterr_error, -EIO, name, "%s", newline + 1);
}

static int call(char **argv, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        _cleanup_close_ int pidfd = -EBADF;
        SpawnSpec spec = {
                .path = MOORING_SCOPE_PATH,
                .argv = argv,
                .envp = environ,
                .fds = { -EBADF, -EBADF, -EBADF },
                .n_fds = 3,
                .die_with_parent = true,
        };
        _cleanup_free_ char *text = NULL;
        pid_t pid;
        int r;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a pipe: %m");
        spec.fds[STDERR_FILENO] = pair[1];
        r = process_spawn(&spec, &pid, &pidfd, reterr_error);
        if (r < 0)
                return r;
        pair[1] = safe_close(pair[1]);

        r = read_all(pair[0], SCOPE_ERROR_MAX, &text, NULL);
        return wait_result(pidfd, r < 0 ? "" : text, reterr_error);
}

static int call_with_properties(const char *verb, const char *unit, const ScopeProperties *p, bool user,
                                Error *reterr_error) {
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        r = strv_extend(&argv, "mooring-scope");
        if (r >= 0 && user)
                r = strv_extend(&argv, "--user");
        if (r >= 0)
                r = strv_extend(&argv, verb);
        if (r >= 0)
                r = strv_extend(&argv, unit);
        for (size_t i = 0; p && r >= 0 && i < p->n; i++) {
                const ScopeProperty *q = &p->properties[i];

                r = strv_extend(&argv, q->name);
                if (r >= 0)
                        r = strv_extend(&argv, q->type);
                if (r >= 0)
                        r = strv_extendf(&argv, "%zu", strv_length(q->values));
                if (r >= 0)
                        r = strv_extend_strv(&argv, q->values);
        }
        return r < 0 ? spec_oom(reterr_error) : call(argv, reterr_error);
}

int scope_start(const char *unit, const ScopeProperties *p, bool user, Error *reterr_error) {
        return call_with_properties("start", unit, p, user, reterr_error);
}

int scope_set(const char *unit, const ScopeProperties *p, bool user, Error *reterr_error) {
        return call_with_properties("set", unit, p, user, reterr_error);
}

int scope_attach(const char *unit, const char *below, pid_t pid, bool user, Error *reterr_error) {
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        r = strv_extend(&argv, "mooring-scope");
        if (r >= 0 && user)
                r = strv_extend(&argv, "--user");
        if (r >= 0)
                r = strv_extend(&argv, "attach");
        if (r >= 0)
                r = strv_extend(&argv, unit);
        if (r >= 0)
                r = strv_extend(&argv, below);
        if (r >= 0)
                r = strv_extendf(&argv, "%d", pid);
        return r < 0 ? spec_oom(reterr_error) : call(argv, reterr_error);
}

int scope_clean(const char *unit, bool user, Error *reterr_error) {
        return call_with_properties("clean", unit, NULL, user, reterr_error);
}

int scope_register_machine(const char *name, const char *id, pid_t pid, Error *reterr_error) {
        _cleanup_free_ char *number = strformat("%d", pid);
        char *argv[] = { (char *) "mooring-scope", (char *) "machine", (char *) name, number, (char *) id, NULL };

        return number ? call(argv, reterr_error) : spec_oom(reterr_error);
}

int scope_stop(const char *unit, bool user, Error *reterr_error) {
        return call_with_properties("stop", unit, NULL, user, reterr_error);
}
