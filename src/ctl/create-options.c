/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names are docker's and podman's where they have one. What only the daemon can know (whether a
 * capability, a unit property or a user exists) is checked there. */

#include "ctl/create-options.h"

#include <signal.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"

static const char *const pull_policy_table[_PULL_POLICY_MAX] = {
        [PULL_MISSING] = "missing",
        [PULL_ALWAYS] = "always",
        [PULL_NEVER] = "never",
};
DEFINE_STRING_TABLE(pull_policy, PullPolicy)

void create_options_done(CreateOptions *o) {
        limit_options_done(&o->limits);
        strv_free(o->devices);
        strv_free(o->entrypoint);
        strv_free(o->environment);
        strv_free(o->file_environment);
        strv_free(o->groups);
        strv_free(o->labels);
        strv_free(o->cap_add);
        strv_free(o->cap_drop);
        for (size_t i = 0; i < o->n_mounts; i++)
                mount_arg_done(&o->mounts[i]);
        free(o->mounts);
        free(o->log);
        create_health_done(&o->health);
        create_network_done(&o->network);
        *o = (CreateOptions) {};
}

/* -- the option table's appliers -- */

static int add_mount(CreateOptions *o, int r, MountArg *m, Error *reterr_error) {
        MountArg *mounts;

        if (r < 0)
                return r;
        mounts = reallocarray(o->mounts, o->n_mounts + 1, sizeof(MountArg));
        if (!mounts) {
                mount_arg_done(m);
                return error_oom(reterr_error);
        }
        mounts[o->n_mounts++] = *m;
        o->mounts = mounts;
        return 0;
}

static int apply_volume(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        MountArg m;

        return add_mount(target, parse_volume(value, cwd, &m, reterr_error), &m, reterr_error);
}

static int apply_mount(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        MountArg m;

        return add_mount(target, parse_mount(value, cwd, &m, reterr_error), &m, reterr_error);
}

static int apply_tmpfs(const char *value, void *target, Error *reterr_error) {
        MountArg m;

        return add_mount(target, parse_tmpfs(value, &m, reterr_error), &m, reterr_error);
}

static int apply_env(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        return parse_env(value, environ, &o->environment, reterr_error);
}

static int apply_env_file(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        CreateOptions *o = target;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, value, ENV_FILE_MAX, &text, &size);
        if (r == -EFBIG)
                return error_set(reterr_error, r, "InvalidArgument", "--env-file=%s is larger than 1 MiB.",
                                 value);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidArgument", "Cannot read --env-file=%s: %s", value,
                                 strerror(-r));
        if (strlen(text) != size)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--env-file=%s is not a text file.", value);
        return parse_env_text(text, value, environ, &o->file_environment, reterr_error);
}

static int apply_entrypoint(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        char **l;
        int r;

        r = parse_entrypoint(value, &l, reterr_error);
        if (r < 0)
                return r;
        strv_free(o->entrypoint);
        o->entrypoint = l;
        o->entrypoint_set = true;
        return 0;
}

static int apply_label(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *s = strchr(value, '=') ? strdup(value) : strjoin(value, "=");
        CreateOptions *o = target;

        if (isempty(value) || value[0] == '=')
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "A label needs a name: --label NAME=VALUE");
        return !s || strv_env_set(&o->labels, s) < 0 ? error_oom(reterr_error) : 0;
}

static int apply_security_opt(const char *value, void *target, Error *reterr_error) {
        const char *seccomp = startswith(value, "seccomp=");
        CreateOptions *o = target;

        if (seccomp && (streq(seccomp, "unconfined") || streq(seccomp, "default"))) {
                o->seccomp = seccomp;
                return 0;
        }
        if (streq(value, "no-new-privileges") || streq(value, "no-new-privileges=true"))
                return 0; /* always so */
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "--security-opt knows seccomp=unconfined, seccomp=default and "
                         "no-new-privileges (always on), not '%s'.",
                         value);
}

static int apply_stop_signal(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (signal_from_string(value) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--stop-signal=%s is not a signal, such as TERM, SIGHUP or 9.", value);
        o->stop_signal = value;
        return 0;
}

static int apply_stop_timeout(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        o->stop_timeout_set = true;
        return option_parse_sec("stop-timeout", value, &o->stop_timeout_usec, reterr_error);
}

static int apply_log(const char *value, void *target, Error *reterr_error) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0), *log = NULL;
        CreateOptions *o = target;
        int r;

        r = parse_log(value, cwd, &log, reterr_error);
        if (r < 0)
                return r;
        o->log_fd = streq(log, "fd");
        free(o->log);
        o->log = o->log_fd ? NULL : TAKE_PTR(log);
        return 0;
}

static int apply_log_rate(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        return parse_log_rate(value, &o->limits.properties, reterr_error);
}

/* The daemon has the numbers' bounds. */
static int apply_restart(const char *value, void *target, Error *reterr_error) {
        static const char *const policies[] = { "no", "on-failure", "always", "unless-stopped" };
        CreateOptions *o = target;
        bool known = startswith(value, "on-failure:");

        for (size_t i = 0; i < ELEMENTSOF(policies) && !known; i++)
                known = streq(value, policies[i]);
        if (!known)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--restart= is one of no, on-failure, on-failure:N, always, unless-stopped, not '%s'.",
                                 value);
        o->restart = value;
        return 0;
}

static int apply_pull(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        PullPolicy p = pull_policy_from_string(value);

        if (p < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--pull= is one of missing, always, never, not '%s'.", value);
        o->pull = p;
        return 0;
}

const Option run_options[] = {
        /* The first RUN_ONLY_OPTIONS are not create's. */
        { 'd', "detach", NULL, OPTION_FLAG, offsetof(CreateOptions, detach),
          .help = "Leave it in the background, print its name;\noutput goes to the journal" },
        { 0, "detach-keys", "KEYS", OPTION_STRING, offsetof(CreateOptions, detach_keys),
          .help = "What leaves the terminal (default: ctrl-p,ctrl-q;\nempty: nothing)" },
        { 0, "scope", NULL, OPTION_FLAG, offsetof(CreateOptions, scope),
          .help = "Make it a child of this process, in a scope (root)" },
        { 'i', "interactive", NULL, OPTION_FLAG, offsetof(CreateOptions, interactive),
          .help = "Pass standard input on; in the background: keep\nit open" },
        { 't', "tty", NULL, OPTION_FLAG, offsetof(CreateOptions, terminal),
          .help = "Give it a terminal of its own" },
        { 0, "name", "NAME", OPTION_STRING, offsetof(CreateOptions, name),
          .help = "Name the container (default: 12 hex digits)" },
        { 0, "rm", NULL, OPTION_FLAG, offsetof(CreateOptions, auto_remove),
          .help = "Remove the container when it has ended" },
        { 'e', "env", "NAME[=VALUE]", OPTION_CUSTOM, .apply = apply_env,
          .help = "Set a variable (without VALUE: as it is here)" },
        { 0, "env-file", "FILE", OPTION_CUSTOM, .apply = apply_env_file,
          .help = "Variables from the lines of FILE" },
        { 'w', "workdir", "DIR", OPTION_STRING, offsetof(CreateOptions, working_directory),
          .help = "Working directory" },
        { 'u', "user", "USER[:GROUP]", OPTION_STRING, offsetof(CreateOptions, user),
          .help = "User by name or number, as the image has it" },
        { 0, "group-add", "GROUP", OPTION_STRV, offsetof(CreateOptions, groups),
          .help = "Additional group" },
        { 0, "entrypoint", "COMMAND", OPTION_CUSTOM, .apply = apply_entrypoint,
          .help = "Replace the image's entrypoint: a word or a JSON\narray; empty: none" },
        { 'v', "volume", "SRC:DEST[:OPTIONS]", OPTION_CUSTOM, .apply = apply_volume,
          .help = "Bind mount; OPTIONS: ro, rw, rprivate, …" },
        { 0, "mount", "KEY=VALUE,…", OPTION_CUSTOM, .apply = apply_mount,
          .help = "Mount: type=bind|tmpfs,source=,target=,readonly,\n"
                  "bind-propagation=,tmpfs-size=,tmpfs-mode=" },
        { 0, "tmpfs", "DEST[:OPTIONS]", OPTION_CUSTOM, .apply = apply_tmpfs,
          .help = "Mount a tmpfs; OPTIONS: size=, mode=, …" },
        { 0, "read-only", NULL, OPTION_FLAG, offsetof(CreateOptions, read_only),
          .help = "Mount the root file system read-only" },
        { 0, "hostname", "NAME", OPTION_STRING, offsetof(CreateOptions, hostname),
          .help = "Host name inside" },
        { 0, "label", "NAME[=VALUE]", OPTION_CUSTOM, .apply = apply_label, .help = "Attach a label" },
        { 0, "network", "NETWORK[:KEY=VALUE,…]", OPTION_CUSTOM, .apply = apply_network,
          .help = "Network by name, with ip=, mac=, alias=,\ninterface_name=, sent_rate=, received_rate=; several\nare possible; or none, "
                  "host, container:NAME,\nns:PATH, cni:NAME (default: moored.conf's, none;\nwith -p: default)" },
        { 0, "ip", "ADDRESS", OPTION_CUSTOM, .apply = apply_ip,
          .help = "Its address on the network; again: of the other\nfamily" },
        { 0, "mac-address", "MAC", OPTION_CUSTOM, .apply = apply_mac_address, .help = "Its MAC on the network" },
        { 0, "network-alias", "NAME", OPTION_CUSTOM, .apply = apply_network_alias,
          .help = "Another name for it on the network" },
        { 'p', "publish", "[IP:][HOST:]CONTAINER[/PROTOCOL]", OPTION_CUSTOM, .apply = apply_publish,
          .help = "Publish a port, or a range, on the host's; HOST\nempty: any that is free; tcp, udp or sctp" },
        { 'P', "publish-all", NULL, OPTION_FLAG, offsetof(CreateOptions, network.publish_all),
          .help = "Publish what the image exposes on free ports" },
        { 0, "expose", "PORT[/PROTOCOL]", OPTION_STRV, offsetof(CreateOptions, network.expose),
          .help = "Publish that as well, by -P" },
        { 0, "dns", "ADDRESS", OPTION_STRV, offsetof(CreateOptions, network.dns),
          .help = "Name server (default: the host's)" },
        { 0, "dns-search", "DOMAIN", OPTION_STRV, offsetof(CreateOptions, network.dns_search),
          .help = "Domain to search (default: the host's; \".\": none)" },
        { 0, "dns-option", "OPTION", OPTION_STRV, offsetof(CreateOptions, network.dns_options),
          .help = "Option of its resolv.conf" },
        { 0, "add-host", "NAME:ADDRESS", OPTION_CUSTOM, .apply = apply_add_host,
          .help = "Line of its /etc/hosts; ADDRESS host-gateway: the\nhost's" },
        { 0, "property", "NAME=VALUE", OPTION_CUSTOM, .apply = limit_apply_property,
          .help = "Set a property of the container's unit, such as\nMemoryMax=1G, Slice=…, After=…; -p does it, too" },
        LIMIT_OPTIONS,
        { 0, "device", "HOST[:CONTAINER][:rwm]", OPTION_STRV, offsetof(CreateOptions, devices),
          .help = "Make a device of the host visible and usable" },
        { 0, "oom-score-adj", "NUMBER", OPTION_CUSTOM, .apply = limit_apply_oom_score_adj,
          .help = "Short for -p OOMScoreAdjust=" },
        { 0, "ulimit", "NAME=SOFT[:HARD]", OPTION_CUSTOM, .apply = limit_apply_ulimit,
          .help = "Resource limit: nofile, nproc, core, …" },
        { 0, "ip-deny", "ADDRESS[/LENGTH]|any|…", OPTION_CUSTOM, .apply = limit_apply_ip_deny,
          .help = "No traffic with these; short for -p IPAddressDeny=" },
        { 0, "ip-allow", "ADDRESS[/LENGTH]|localhost|…", OPTION_CUSTOM, .apply = limit_apply_ip_allow,
          .help = "With these all the same: -p IPAddressAllow=" },
        { 0, "cap-add", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_add),
          .help = "Add a capability, or ALL" },
        { 0, "cap-drop", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_drop),
          .help = "Drop a capability, or ALL" },
        { 0, "security-opt", "OPTION", OPTION_CUSTOM, .apply = apply_security_opt,
          .help = "seccomp=unconfined turns the system call filter off" },
        { 0, "log", "journal|none|file:PATH|fd", OPTION_CUSTOM, .apply = apply_log,
          .help = "Where its output goes; fd: to moorctl's (default:\nfd in the foreground, else journal)" },
        { 0, "log-rate", "NUMBER/TIME|off", OPTION_CUSTOM, .apply = apply_log_rate,
          .help = "How many lines in a time journald takes, such as\n1000/30s (default: journald.conf's)" },
        { 0, "stop-signal", "SIGNAL", OPTION_CUSTOM, .apply = apply_stop_signal,
          .help = "What asks it to end (default: the image's)" },
        { 0, "stop-timeout", "TIME", OPTION_CUSTOM, .apply = apply_stop_timeout,
          .help = "From then until SIGKILL (default: 10s)" },
        { 0, "runtime", "NAME|PATH", OPTION_STRING, offsetof(CreateOptions, runtime),
          .help = "OCI runtime that makes its process, such as runc\n(default: moored.conf's, mooring)" },
        { 0, "machine", NULL, OPTION_FLAG, offsetof(CreateOptions, machine),
          .help = "Register it with systemd-machined (machinectl)" },
        { 0, "systemd", "true|false|always", OPTION_STRING, offsetof(CreateOptions, systemd),
          .help = "Set it up for systemd as its first process\n(default: true, if that is what it runs)" },
        { 0, "restart", "POLICY", OPTION_CUSTOM, .apply = apply_restart,
          .help = "Start it again at its end: no, on-failure[:N],\nalways, unless-stopped; the last two also after a\nboot" },
        { 0, "health-cmd", "COMMAND", OPTION_CUSTOM, .apply = apply_health_command,
          .help = "Check the health by a line for the shell, or a JSON\narray; none: not as the image says either" },
        { 0, "health-interval", "TIME", OPTION_CUSTOM, .apply = apply_health_interval,
          .help = "Between two checks (default: 30s); disable: never" },
        { 0, "health-timeout", "TIME", OPTION_CUSTOM, .apply = apply_health_timeout,
          .help = "A check that takes longer has failed (default: 30s)" },
        { 0, "health-retries", "NUMBER", OPTION_CUSTOM, .apply = apply_health_retries,
          .help = "Failures until it is unhealthy (default: 3)" },
        { 0, "health-start-period", "TIME", OPTION_CUSTOM, .apply = apply_health_start_period,
          .help = "In which failures do not count (default: 0)" },
        { 0, "health-start-interval", "TIME", OPTION_CUSTOM, .apply = apply_health_start_interval,
          .help = "Between two checks in that period (default: 5s)" },
        { 0, "health-on-failure", "ACTION", OPTION_STRING, offsetof(CreateOptions, health.on_failure),
          .help = "When it is unhealthy: none, kill, restart or stop" },
        { 0, "no-healthcheck", NULL, OPTION_FLAG, offsetof(CreateOptions, health.disabled),
          .help = "Do not check the health as the image says" },
        { 0, "sdnotify", "started|container|healthy", OPTION_CUSTOM, .apply = apply_sdnotify,
          .help = "When the unit has started (default: started)" },
        { 0, "pull", "missing|always|never", OPTION_CUSTOM, .apply = apply_pull,
          .help = "When to pull the image (default: missing)" },
        { 0, "platform", "OS/ARCH[/VARIANT]", OPTION_STRING, offsetof(CreateOptions, platform),
          .help = "Platform of the image (default: the host's)" },
        OPTION_END,
};

const Option exec_options[] = {
        { 'd', "detach", NULL, OPTION_FLAG, offsetof(CreateOptions, detach),
          .help = "Leave it in the background, print CONTAINER/NUMBER;\noutput goes to the journal" },
        { 0, "detach-keys", "KEYS", OPTION_STRING, offsetof(CreateOptions, detach_keys),
          .help = "What leaves the terminal (default: ctrl-p,ctrl-q;\nempty: nothing)" },
        { 'i', "interactive", NULL, OPTION_FLAG, offsetof(CreateOptions, interactive),
          .help = "Pass standard input on" },
        { 't', "tty", NULL, OPTION_FLAG, offsetof(CreateOptions, terminal),
          .help = "With a terminal of its own" },
        { 'e', "env", "NAME[=VALUE]", OPTION_CUSTOM, .apply = apply_env,
          .help = "Set a variable besides the container's\n(without VALUE: as it is here)" },
        { 0, "env-file", "FILE", OPTION_CUSTOM, .apply = apply_env_file,
          .help = "Variables from the lines of FILE" },
        { 'w', "workdir", "DIR", OPTION_STRING, offsetof(CreateOptions, working_directory),
          .help = "Working directory (default: the container's)" },
        { 'u', "user", "USER[:GROUP]", OPTION_STRING, offsetof(CreateOptions, user),
          .help = "User by name or number, as the container has it\n(default: the container's)" },
        { 0, "group-add", "GROUP", OPTION_STRV, offsetof(CreateOptions, groups), .help = "Additional group" },
        { 0, "cap-add", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_add),
          .help = "Add a capability to the container's, or ALL" },
        { 0, "cap-drop", "CAPABILITY", OPTION_STRV, offsetof(CreateOptions, cap_drop),
          .help = "Drop one of the container's capabilities, or ALL" },
        { 0, "privileged", NULL, OPTION_FLAG, offsetof(CreateOptions, privileged),
          .help = "All capabilities of the host, no system call filter" },
        OPTION_END,
};
