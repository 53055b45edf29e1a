/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ps: the processes in a container's cgroup, or, where it has none, in its pid namespace. */

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/container.h"
#include "runtime/program.h"

#define PS_OUTPUT_MAX (64U * 1024U * 1024U)

/* Processes whose pid namespace is init's, unless that is ours: then only init is known to be of the
 * container. */
static int processes_by_namespace(pid_t init, pid_t **ret, size_t *ret_n) {
        _cleanup_free_ pid_t *pids = NULL;
        char path[sizeof("/proc//ns/pid") + 3 * sizeof(pid_t)];
        struct stat own, wanted, st;
        struct dirent *de;
        size_t n = 0;
        DIR *d;

        (void) snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
        if (stat("/proc/self/ns/pid", &own) < 0 || stat(path, &wanted) < 0)
                return -errno;
        d = opendir("/proc");
        if (!d)
                return -errno;

        while ((de = readdir(d))) {
                uint32_t pid;
                pid_t *more;

                if (parse_uint32(de->d_name, &pid) < 0)
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%u/ns/pid", pid);
                if ((pid_t) pid != init &&
                    (own.st_ino == wanted.st_ino || stat(path, &st) < 0 || st.st_ino != wanted.st_ino))
                        continue;
                more = reallocarray(pids, n + 1, sizeof(pid_t));
                if (!more) {
                        closedir(d);
                        return -ENOMEM;
                }
                pids = more;
                pids[n++] = (pid_t) pid;
        }
        closedir(d);

        *ret = TAKE_PTR(pids);
        *ret_n = n;
        return 0;
}

static int print_pids(const pid_t *pids, size_t n) {
        putchar('[');
        for (size_t i = 0; i < n; i++)
                printf("%s%d", i > 0 ? "," : "", pids[i]);
        puts("]");
        return 0;
}

/* The number of the column of this name in a headline. */
static int find_column(const char *headline, const char *name) {
        _cleanup_strv_free_ char **titles = strv_split(headline, " \t");
        int i = 0;

        STRV_FOREACH (title, titles) {
                if (streq(title, name))
                        return i;
                i++;
        }
        return -ENOENT;
}

/* The number in this column of a line, 0 if there is none. */
static pid_t pid_in_column(const char *line, int column) {
        int i = 0;

        for (const char *p = line; *p; i++) {
                while (isspace((unsigned char) *p))
                        p++;
                if (i == column)
                        return (pid_t) strtol(p, NULL, 10);
                while (*p && !isspace((unsigned char) *p))
                        p++;
        }
        return 0;
}

static int print_lines(char *text, const pid_t *pids, size_t n, Error *reterr_error) {
        char *rest = text, *line = strsep(&rest, "\n");
        int column;

        column = find_column(line, "PID");
        if (column < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "ps does not print a column \"PID\" with these options, which is needed.");

        puts(line);
        while ((line = strsep(&rest, "\n")))
                for (size_t i = 0; i < n; i++)
                        if (pid_in_column(line, column) == pids[i]) {
                                puts(line);
                                break;
                        }
        return 0;
}

static int print_table(char *const *options, const pid_t *pids, size_t n, Error *reterr_error) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_strv_free_ char **argv = NULL;
        int r, code;

        r = program_find("ps", &path);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot run ps, which --format=json does without: %m");
        if (strv_extend(&argv, "ps") < 0 || strv_extend_strv(&argv, options) < 0 ||
            (!options[0] && strv_extend(&argv, "-ef") < 0))
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        r = program_output(path, argv, PS_OUTPUT_MAX, &text, &code, reterr_error);
        if (r < 0)
                return r;
        if (code != 0)
                return error_set(reterr_error, -ECHILD, "Failed", "ps has failed with exit code %d.", code);
        return print_lines(text, pids, n, reterr_error);
}

int command_ps(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "format", required_argument, NULL, 'f' },
                {},
        };
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        _cleanup_free_ pid_t *pids = NULL;
        bool json = false;
        size_t n = 0;
        Cgroup cgroup;
        int r, o;

        while ((o = command_option(argc, argv, "+:hf:", options, reterr_error)) > 0) {
                if (!streq(optarg, "table") && !streq(optarg, "json"))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--format=%s: the formats are \"table\" and \"json\".", optarg);
                json = streq(optarg, "json");
        }
        r = o < 0 ? o : command_check_arguments(argc, argv, 1, -1, reterr_error);
        if (r < 0)
                return r;

        r = container_open(g, argv[optind], false, &c, reterr_error);
        if (r < 0)
                return r;
        cgroup = container_cgroup(g, &c);
        if (cgroup.path)
                r = cgroup_processes(&cgroup, &pids, &n);
        else if (container_status(&c) != CONTAINER_STOPPED)
                r = processes_by_namespace(c.state.pid, &pids, &n);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(reterr_error, r, "Cannot list the processes of container \"%s\": %m",
                                       c.state.id);

        r = json ? print_pids(pids, n) : print_table(argv + optind + 1, pids, n, reterr_error);
        if (r >= 0 && fflush(stdout) != 0)
                return error_set_errno(reterr_error, -errno, "Cannot write to stdout: %m");
        return r;
}
