/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/exec.h"
#include "runtime/preserve.h"
#include "runtime/spec-process.h"

enum {
        OPTION_ADDITIONAL_GIDS = 'g',
        OPTION_CONSOLE_SOCKET = 0x100,
        OPTION_CWD,
        OPTION_PID_FILE,
        OPTION_PIDFD_SOCKET,
        OPTION_PRESERVE_FDS,
        OPTION_NO_NEW_PRIVS,
        OPTION_PROCESS_LABEL,
        OPTION_APPARMOR,
        OPTION_CGROUP,
        OPTION_IGNORE_PAUSED,
        OPTION_NO_SUBREAPER,
};

static const struct option options[] = {
        COMMAND_OPTION_HELP,
        { "additional-gids", required_argument, NULL, OPTION_ADDITIONAL_GIDS },
        { "apparmor", required_argument, NULL, OPTION_APPARMOR },
        { "cap", required_argument, NULL, 'c' },
        { "cgroup", required_argument, NULL, OPTION_CGROUP },
        { "console-socket", required_argument, NULL, OPTION_CONSOLE_SOCKET },
        { "cwd", required_argument, NULL, OPTION_CWD },
        { "detach", no_argument, NULL, 'd' },
        { "env", required_argument, NULL, 'e' },
        { "ignore-paused", no_argument, NULL, OPTION_IGNORE_PAUSED },
        { "no-new-privs", no_argument, NULL, OPTION_NO_NEW_PRIVS },
        { "no-subreaper", no_argument, NULL, OPTION_NO_SUBREAPER },
        { "pid-file", required_argument, NULL, OPTION_PID_FILE },
        { "pidfd-socket", required_argument, NULL, OPTION_PIDFD_SOCKET },
        { "preserve-fds", required_argument, NULL, OPTION_PRESERVE_FDS },
        { "process", required_argument, NULL, 'p' },
        { "process-label", required_argument, NULL, OPTION_PROCESS_LABEL },
        { "tty", optional_argument, NULL, 't' },
        { "user", required_argument, NULL, 'u' },
        {},
};

/* What the options' lists are collected in. */
typedef struct Lists {
        char **env;
        char **caps;
        gid_t groups[SPEC_GROUPS_MAX];
        size_t n_groups;
} Lists;

static void lists_done(Lists *l) {
        strv_free(l->env);
        strv_free(l->caps);
}

static int add_group(Lists *l, const char *s, Error *reterr_error) {
        uint64_t gid;

        if (parse_uint64(s, &gid) < 0 || gid >= UINT32_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--additional-gids=%s: a number is needed.", s);
        if (l->n_groups >= ELEMENTSOF(l->groups))
                return error_set(reterr_error, -E2BIG, "LimitsExceeded", "--additional-gids: more than %u.",
                                 SPEC_GROUPS_MAX);
        l->groups[l->n_groups++] = (gid_t) gid;
        return 0;
}

/* NAME alone takes the value from this process's environment. */
static int add_env(Lists *l, const char *s, Error *reterr_error) {
        const char *value = strchr(s, '=') ? NULL : getenv(s);
        int r;

        if (strchr(s, '='))
                r = strv_extend(&l->env, s);
        else
                r = value ? strv_extendf(&l->env, "%s=%s", s, value) : 0;
        return r < 0 ? error_set_errno(reterr_error, r, "Out of memory.") : 0;
}

static int take_list_option(Lists *l, int c, Error *reterr_error) {
        switch (c) {
        case 'e':
                return add_env(l, optarg, reterr_error);
        case 'c':
                if (strv_extend(&l->caps, optarg) < 0)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                return 0;
        default:
                return add_group(l, optarg, reterr_error);
        }
}

static int take_tty(ExecOptions *o, Error *reterr_error) {
        int b = optarg ? parse_boolean(optarg) : 1;

        if (b < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--tty=%s: true or false is needed.", optarg);
        o->tty = b;
        return 0;
}

static void take_text_option(ExecOptions *o, int c) {
        const struct {
                int c;
                const char **to;
        } table[] = {
                { 'p', &o->process },
                { 'u', &o->user },
                { OPTION_APPARMOR, &o->apparmor },
                { OPTION_CGROUP, &o->cgroup },
                { OPTION_CONSOLE_SOCKET, &o->console_socket },
                { OPTION_CWD, &o->cwd },
                { OPTION_PID_FILE, &o->pid_file },
                { OPTION_PIDFD_SOCKET, &o->pidfd_socket },
                { OPTION_PROCESS_LABEL, &o->process_label },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (table[i].c == c)
                        *table[i].to = optarg;
}

static int take_option(ExecOptions *o, Lists *l, int c, Error *reterr_error) {
        switch (c) {
        case 'e':
        case 'c':
        case OPTION_ADDITIONAL_GIDS:
                return take_list_option(l, c, reterr_error);
        case 't':
                return take_tty(o, reterr_error);
        case OPTION_PRESERVE_FDS:
                return preserve_fds_parse(optarg, &o->n_preserve_fds, reterr_error);
        case 'd':
                o->detach = true;
                return 0;
        case OPTION_NO_NEW_PRIVS:
                o->no_new_privileges = true;
                return 0;
        case OPTION_IGNORE_PAUSED:
                o->ignore_paused = true;
                return 0;
        case OPTION_NO_SUBREAPER: /* this program never is one */
                return 0;
        default:
                take_text_option(o, c);
                return 0;
        }
}

int command_exec(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_(lists_done) Lists lists = {};
        ExecOptions o = {};
        int c, r;

        while ((c = command_option(argc, argv, "+:hc:de:g:p:tu:", options, reterr_error)) > 0) {
                r = take_option(&o, &lists, c, reterr_error);
                if (r < 0)
                        return r;
        }
        if (c < 0)
                return c;
        r = command_check_arguments(argc, argv, o.process ? 1 : 2, -1, reterr_error);
        if (r < 0)
                return r;

        o.id = argv[optind];
        o.args = argv + optind + 1;
        o.env = lists.env;
        o.caps = lists.caps;
        o.groups = lists.groups;
        o.n_groups = lists.n_groups;
        return container_exec(g, &o, reterr_error);
}
