/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* spec: a config.json to begin with. */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/strv.h"
#include "runtime/command.h"

typedef struct MountLine {
        const char *destination;
        const char *type;
        const char *source;
        const char *options; /* between commas */
} MountLine;

static const MountLine mounts[] = {
        { "/proc", "proc", "proc", NULL },
        { "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
        { "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
        { "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
        { "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
        { "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
        { "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro" },
        {},
};

/* One id is mapped: no other may own the terminals. Without a network namespace sysfs cannot be mounted. */
static const MountLine mounts_rootless[] = {
        { "/proc", "proc", "proc", NULL },
        { "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
        { "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" },
        { "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
        { "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
        { "/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro" },
        { "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro" },
        {},
};

static const char *const namespaces[] = { "pid", "network", "ipc", "uts", "mount", "cgroup", NULL };
static const char *const namespaces_rootless[] = { "pid", "ipc", "uts", "mount", "cgroup", "user", NULL };

static const char *const masked_paths[] = {
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/scsi",
        "/proc/sched_debug",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
        NULL,
};

static const char *const readonly_paths[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

/* NULL: out of memory. json_pack()'s "o" takes over, and fails for NULL. */
static json_t *mounts_to_json(const MountLine *lines) {
        json_t *a = json_array();

        for (const MountLine *l = lines; l->destination; l++) {
                json_t *o = json_pack("{s:s, s:s, s:s}", "destination", l->destination, "type", l->type,
                                      "source", l->source);
                _cleanup_strv_free_ char **options = l->options ? strv_split(l->options, ",") : NULL;

                if (json_array_append_new(a, o) < 0 ||
                    (l->options &&
                     (!options ||
                      json_object_set_new(o, "options", json_from_strv(options)) <
                                      0))) {
                        json_decref(a);
                        return NULL;
                }
        }
        return a;
}

static json_t *namespaces_to_json(const char *const *types) {
        json_t *a = json_array();

        STRV_FOREACH (type, types)
                if (json_array_append_new(a, json_pack("{s:s}", "type", type)) < 0) {
                        json_decref(a);
                        return NULL;
                }
        return a;
}

static json_t *process_to_json(void) {
        static const char *const caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", NULL };

        return json_pack(
                        "{s:b, s:{s:i, s:i}, s:[s], s:[s, s], s:s, s:{s:o, s:o, s:o}, s:[{s:s, s:i, s:i}], s:b}",
                        "terminal", 1, "user", "uid", 0, "gid", 0, "args", "sh", "env",
                        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm",
                        "cwd", "/", "capabilities", "bounding", json_from_strv((char *const *) caps), "effective",
                        json_from_strv((char *const *) caps), "permitted", json_from_strv((char *const *) caps), "rlimits", "type",
                        "RLIMIT_NOFILE", "hard", 1024, "soft", 1024, "noNewPrivileges", 1);
}

static json_t *linux_to_json(bool rootless) {
        json_t *o;

        o = json_pack("{s:o, s:o, s:o}", "namespaces",
                      namespaces_to_json(rootless ? namespaces_rootless : namespaces), "maskedPaths",
                      json_from_strv((char *const *) masked_paths), "readonlyPaths", json_from_strv((char *const *) readonly_paths));
        if (!o)
                return NULL;
        /* Ids are larger than an int. */
        if (rootless ? json_object_set_new(o, "uidMappings",
                                           json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID",
                                                     (json_int_t) geteuid(), "size", 1)) < 0 ||
                                            json_object_set_new(o, "gidMappings",
                                                                json_pack("[{s:i, s:I, s:i}]", "containerID",
                                                                          0, "hostID",
                                                                          (json_int_t) getegid(), "size",
                                                                          1)) < 0
                     : json_object_set_new(o, "resources",
                                           json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access",
                                                     "rwm")) < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

static json_t *spec_to_json(bool rootless) {
        return json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", OCI_VERSION, "process",
                         process_to_json(), "root", "path", "rootfs", "readonly", 1, "hostname", "mooring",
                         "mounts", mounts_to_json(rootless ? mounts_rootless : mounts), "linux",
                         linux_to_json(rootless));
}

static int write_config(const char *bundle, json_t *o, Error *reterr_error) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        path = path_join(bundle, "config.json");
        text = json_dumps(o, JSON_INDENT(4));
        if (!path || !text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 && errno == EEXIST)
                return error_set(reterr_error, -EEXIST, "AlreadyExists", "\"%s\" exists: remove it first.",
                                 path);
        r = fd < 0 ? -errno : write_full(fd, text, strlen(text));
        if (r >= 0)
                r = write_full(fd, "\n", 1);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write \"%s\": %m", path);
        return 0;
}

int command_spec(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        enum { OPTION_ROOTLESS = 0x100 };
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "bundle", required_argument, NULL, 'b' },
                { "rootless", no_argument, NULL, OPTION_ROOTLESS },
                {},
        };
        _cleanup_json_ json_t *o = NULL;
        const char *bundle = ".";
        bool rootless = false;
        int c, r;

        while ((c = command_option(argc, argv, "+:hb:", options, reterr_error)) > 0)
                if (c == 'b')
                        bundle = optarg;
                else
                        rootless = true;
        r = c < 0 ? c : command_check_arguments(argc, argv, 0, 0, reterr_error);
        if (r < 0)
                return r;

        o = spec_to_json(rootless);
        if (!o)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return write_config(bundle, o, reterr_error);
}
