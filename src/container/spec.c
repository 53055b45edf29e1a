/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The specification is a plan that mooring's launcher carries out; what it needs beyond the standard's
 * members is in annotations that begin with "org.moored.". Labels of images become annotations, too
 * (conversion.md), hence none that begins so is ever taken from an image or a user: it would tell the
 * launcher, which is root, what to mount.
 *
 * Mounts come in the order in which they are made: the usual file systems, then the user's (parents before
 * children), then the three files of the bundle. A mount of the user's takes the place of a usual one with
 * the same destination. What a container with a system in it gets in addition: system.h. */

#include <inttypes.h>
#include <unistd.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/capability.h"
#include "container/spec.h"
#include "container/system.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* -- process ------------------------------------------------------------------------------------ */

static int resolve_args(const ImageConfig *image, const ContainerOptions *o, char ***ret,
                        Error *reterr_error) {
        _cleanup_strv_free_ char **args = NULL;
        int r;

        r = strv_extend_strv(&args, o->entrypoint_set ? o->entrypoint : image->entrypoint);
        if (r < 0)
                return r;
        if (strv_length(o->command) > 0)
                r = strv_extend_strv(&args, o->command);
        else if (!o->entrypoint_set)
                r = strv_extend_strv(&args, image->cmd);
        if (r < 0)
                return r;
        if (strv_length(args) == 0 || isempty(args[0]))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Command: the image has no command of its own; say what to run.");

        *ret = TAKE_PTR(args);
        return 0;
}

static int resolve_env(const ImageConfig *image, const ContainerOptions *o, const char *hostname,
                       char ***ret) {
        _cleanup_strv_free_ char **env = NULL;
        _cleanup_free_ char *h = strjoin("HOSTNAME=", hostname);
        char *const *sources[] = { image->env, o->environment };
        int r;

        if (!h)
                return -ENOMEM;
        r = strv_extend(&env, "PATH=" PATH_DEFAULT);
        if (r < 0)
                return r;
        r = strv_extend(&env, h);
        if (r >= 0 && o->terminal)
                r = strv_extend(&env, "TERM=xterm");
        if (r < 0)
                return r;

        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                STRV_FOREACH(s, sources[i]) {
                        /* What has no name cannot be replaced or looked up: images have such. */
                        if (!strchr(s, '=') || s[0] == '=')
                                continue;
                        r = strv_env_set(&env, s);
                        if (r < 0)
                                return r;
                }

        *ret = TAKE_PTR(env);
        return 0;
}

static int annotation_set(char ***l, const char *key, const char *value) {
        _cleanup_free_ char *s = NULL;

        if (isempty(value))
                return 0;
        s = strjoin(key, "=", value);
        return s ? strv_env_set(l, s) : -ENOMEM;
}

static int resolve_annotations(const ImageConfig *image, const ContainerOptions *o, char ***ret) {
        _cleanup_free_ char *ports = strv_join(image->exposed_ports, ","), *created = NULL;
        _cleanup_strv_free_ char **l = NULL;
        char *const *sources[] = { image->labels, o->labels };
        int r;

        if (image->created_usec > 0) {
                created = format_rfc3339(image->created_usec);
                if (!created)
                        return -ENOMEM;
        }

        const struct {
                const char *key, *value;
        } implied[] = {
                { "org.opencontainers.image.os", image->platform.os },
                { "org.opencontainers.image.architecture", image->platform.architecture },
                { "org.opencontainers.image.created", created },
                { "org.opencontainers.image.stopSignal", image->stop_signal },
                { "org.opencontainers.image.exposedPorts", ports },
        };
        for (size_t i = 0; i < ELEMENTSOF(implied); i++) {
                r = annotation_set(&l, implied[i].key, implied[i].value);
                if (r < 0)
                        return r;
        }

        /* Labels override what is implied. */
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                STRV_FOREACH(s, sources[i]) {
                        if (startswith(s, ANNOTATION_PREFIX) || !strchr(s, '=') || s[0] == '=')
                                continue;
                        r = strv_env_set(&l, s);
                        if (r < 0)
                                return r;
                }

        *ret = TAKE_PTR(l);
        return 0;
}

static int resolve_hostname(const ContainerOptions *o, const char *id, char **ret) {
        char host[CONTAINER_HOSTNAME_MAX + 1] = "";
        char *h;

        /* Who shares the host's network answers to the host's name. */
        if (!o->hostname && container_network_mode(o, NULL) == NETWORK_MODE_HOST)
                (void) gethostname(host, sizeof(host) - 1);

        h = strdup(o->hostname ? o->hostname : isempty(host) ? id : host);
        if (!h)
                return -ENOMEM;

        *ret = h;
        return 0;
}

static int resolve_cwd(const char *wanted, char **ret) {
        char *s;

        s = isempty(wanted) ? strdup("/") : wanted[0] == '/' ? strdup(wanted) : strjoin("/", wanted);
        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

static int resolve_health(const ImageConfig *image, const ContainerOptions *o, ContainerProcess *p,
                          Error *reterr_error) {
        const char *why;
        int r;

        r = health_check_resolve(&image->health, &o->health, &p->health, reterr_error);
        if (r >= 0 && o->ready_when_healthy && o->notify)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Notify: it is ready when it says so, or when it is healthy (ReadyWhenHealthy), not both.");
        if (r < 0 || !o->ready_when_healthy)
                return r;

        p->ready_when_healthy = true;
        why = !p->health.command ? "there is no health check, neither in the options nor in the image"
              : p->health.interval_usec == USEC_INFINITY ? "the health check is made on request only"
              : container_is_system(o, p->args)
                              ? "a system in the container says itself when it is ready (but for Systemd=false)"
                              : NULL;
        return why ? error_set(reterr_error, -EINVAL, "InvalidArgument", "ReadyWhenHealthy: %s.", why) : 0;
}

int container_process_resolve(const ImageConfig *image, const ContainerOptions *o, const char *id,
                              ContainerProcess *ret, Error *reterr_error) {
        _cleanup_(container_process_done) ContainerProcess p = {};
        const char *user = o->user ?: image->user;
        int r;

        r = resolve_args(image, o, &p.args, reterr_error);
        if (r < 0)
                return r;
        r = resolve_hostname(o, id, &p.hostname);
        if (r < 0)
                return r;
        r = resolve_env(image, o, p.hostname, &p.env);
        if (r < 0)
                return r;
        r = resolve_cwd(o->working_directory ?: image->working_dir, &p.cwd);
        if (r < 0)
                return r;
        r = free_and_strdup(&p.user, isempty(user) ? NULL : user);
        if (r < 0)
                return r;
        r = resolve_annotations(image, o, &p.annotations);
        if (r < 0)
                return r;
        if (container_is_system(o, p.args)) {
                r = system_set_environment(o, &p.env);
                if (r < 0)
                        return r;
        }

        r = resolve_health(image, o, &p, reterr_error);
        if (r < 0)
                return r;

        /* An image's signal that does not exist here is no reason not to run it. */
        p.stop_signal = o->stop_signal                      ? signal_from_string(o->stop_signal)
                        : image->stop_signal                ? signal_from_string(image->stop_signal)
                        : container_is_systemd(o, p.args) ? signal_from_string(SYSTEM_STOP_SIGNAL)
                                                            : 0;
        if (p.stop_signal <= 0)
                p.stop_signal = signal_from_string("TERM");

        *ret = p;
        p = (ContainerProcess){};
        return 0;
}

int capabilities_change(uint64_t mask, char *const *add, char *const *drop, uint64_t available, uint64_t *ret,
                        Error *reterr_error) {
        const uint64_t all = capability_mask_from_string("ALL");
        uint64_t bit;

        /* "Drop ALL, add one" is the usual request: ALL on either side comes first. */
        STRV_FOREACH(s, drop)
                if (capability_mask_from_string(s) == all)
                        mask = 0;
        STRV_FOREACH(s, add) {
                bit = capability_mask_from_string(s);
                if (bit != all && (bit & available) == 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "CapabilitiesAdd: this host itself does not have \"%.100s\".", s);
                mask |= bit & available;
        }
        STRV_FOREACH(s, drop) {
                bit = capability_mask_from_string(s);
                if (bit != all)
                        mask &= ~bit;
        }

        *ret = mask;
        return 0;
}

int container_capabilities_resolve(const ContainerOptions *o, uint64_t available, uint64_t *ret,
                                   Error *reterr_error) {
        return capabilities_change(capability_default_mask & available, o->cap_add, o->cap_drop, available, ret,
                                   reterr_error);
}

/* -- JSON --------------------------------------------------------------------------------------- */

/* jansson's *_new functions take a NULL value for a failure and always consume what they are given, so that
 * the results of building can be added up and looked at once. */

static json_t *capabilities_to_json(uint64_t mask) {
        json_t *array = json_array();

        for (unsigned i = 0; capability_to_string(i); i++)
                if ((mask & (UINT64_C(1) << i)) &&
                    json_array_append_new(array, json_string(capability_to_string(i))) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

static json_t *user_to_json(const char *user) {
        json_t *j = json_object();
        _cleanup_strv_free_ char **parts = NULL;
        uint32_t uid = 0, gid = 0;
        int r;

        /* The launcher resolves names in the image; numbers alone can be read by any runtime. */
        if (user) {
                parts = strv_split(user, ":");
                if (parts && parts[0] &&
                    (parse_uint32(parts[0], &uid) < 0 || (parts[1] && parse_uint32(parts[1], &gid) < 0)))
                        uid = gid = 0;
        }

        r = json_object_set_new(j, "uid", json_integer(uid));
        r |= json_object_set_new(j, "gid", json_integer(gid));
        r |= json_object_set_new(j, "umask", json_integer(0022));
        if (r < 0) {
                json_decref(j);
                return NULL;
        }
        return j;
}

static bool is_system(const SpecInput *in) {
        return container_is_system(in->options, in->process->args);
}

static bool has_host_dir(const SpecInput *in) {
        return container_has_host_dir(in->options, in->process->args);
}

/* The socket is only there where the launcher has made it. */
static json_t *environment_to_json(const SpecInput *in) {
        json_t *env = json_from_strv(in->process->env);

        if (has_host_dir(in) && json_array_append_new(env, json_string("NOTIFY_SOCKET=" SYSTEM_NOTIFY_SOCKET)) < 0) {
                json_decref(env);
                return NULL;
        }
        return env;
}

/* env is taken over. */
static json_t *process_to_json(const ContainerProcess *p, json_t *env, uint64_t capabilities, bool new_privileges) {
        static const char *const sets[] = { "bounding", "effective", "permitted" };
        json_t *j = json_object(), *caps = json_object();
        int r = 0;

        /* Nothing inheritable or ambient: a process that is not root has none until it executes a file that
         * has some. */
        for (size_t i = 0; i < ELEMENTSOF(sets); i++)
                r |= json_object_set_new(caps, sets[i], capabilities_to_json(capabilities));

        r |= json_object_set_new(j, "terminal", json_false());
        r |= json_object_set_new(j, "user", user_to_json(p->user));
        r |= json_object_set_new(j, "args", json_from_strv(p->args));
        r |= json_object_set_new(j, "env", env);
        r |= json_object_set_new(j, "cwd", json_string(p->cwd));
        r |= json_object_set_new(j, "capabilities", caps);
        r |= json_object_set_new(j, "noNewPrivileges", json_boolean(!new_privileges));
        if (r < 0) {
                json_decref(j);
                return NULL;
        }
        return j;
}

/* size: "ROWSxCOLUMNS" or NULL. */
static int set_terminal(json_t *process, const char *size) {
        unsigned rows, columns;
        int r;

        r = json_object_set_new(process, "terminal", json_true());
        if (container_terminal_size(size, &rows, &columns) >= 0 && rows > 0 && columns > 0)
                r |= json_object_set_new(process, "consoleSize",
                                         json_pack("{s:i,s:i}", "height", (int) rows, "width", (int) columns));
        return r;
}

static json_t *mount_to_json(const char *type, const char *source, const char *destination,
                             json_t *options) {
        json_t *j = json_object();
        int r;

        r = json_object_set_new(j, "destination", json_string(destination));
        r |= json_object_set_new(j, "type", json_string(type));
        r |= json_object_set_new(j, "source", json_string(source));
        r |= json_object_set_new(j, "options", options);
        if (r < 0) {
                json_decref(j);
                return NULL;
        }
        return j;
}

static const ContainerMount *user_mount_on(const ContainerOptions *o, const char *destination) {
        for (size_t i = 0; i < o->n_mounts; i++)
                if (streq(o->mounts[i].destination, destination))
                        return &o->mounts[i];
        return NULL;
}

typedef struct UsualMount {
        const char *type, *source, *destination;
        const char *options[7];
} UsualMount;

static int add_usual_mount(const SpecInput *in, const UsualMount *m, json_t *mounts) {
        if (user_mount_on(in->options, m->destination))
                return 0;
        return json_array_append_new(mounts, mount_to_json(m->type, m->source, m->destination,
                                                           json_from_strv((char *const *) m->options)));
}

static int add_usual_mounts(const SpecInput *in, json_t *mounts) {
        static const UsualMount usual[] = {
                { "proc", "proc", "/proc", { "nosuid", "noexec", "nodev" } },
                { "tmpfs", "tmpfs", "/dev", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
                { "devpts",
                  "devpts",
                  "/dev/pts",
                  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
                { "sysfs", "sysfs", "/sys", { "nosuid", "noexec", "nodev", "ro" } },
                { "cgroup", "cgroup", "/sys/fs/cgroup", { "nosuid", "noexec", "nodev", "ro" } },
                { "mqueue", "mqueue", "/dev/mqueue", { "nosuid", "noexec", "nodev" } },
                { "tmpfs", "shm", "/dev/shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
        };
        /* An init keeps what it starts apart in groups below its own, and may not mount anything. */
        static const UsualMount systems[] = {
                { "cgroup", "cgroup", "/sys/fs/cgroup", { "nosuid", "noexec", "nodev" } },
                { "tmpfs", "tmpfs", "/run", { "nosuid", "nodev", "mode=755" } },
                { "tmpfs", "tmpfs", "/run/lock", { "nosuid", "nodev", "noexec", "mode=1777", "size=5120k" } },
                { "tmpfs", "tmpfs", "/tmp", { "nosuid", "nodev", "mode=1777" } },
        };
        bool system = is_system(in);
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(usual); i++)
                if (!system || !streq(usual[i].type, "cgroup"))
                        r |= add_usual_mount(in, &usual[i], mounts);
        for (size_t i = 0; system && i < ELEMENTSOF(systems); i++)
                r |= add_usual_mount(in, &systems[i], mounts);
        return r;
}

static bool has_any(char *const *l, const char *const *wanted) {
        STRV_FOREACH(s, wanted)
                if (strv_contains(l, s))
                        return true;
        return false;
}

static json_t *user_mount_to_json(const ContainerMount *m) {
        static const char *const binds[] = { "bind", "rbind", NULL };
        static const char *const propagations[] = { "private", "rprivate", "slave", "rslave",
                                                    "shared",  "rshared",  NULL };
        json_t *options = json_from_strv(m->options);
        int r = 0;

        if (!streq(m->type, "bind")) {
                /* As for every tmpfs a container gets; "exec", "dev" and "suid" undo it. */
                if (!strv_contains(m->options, "suid") && !strv_contains(m->options, "nosuid"))
                        r |= json_array_append_new(options, json_string("nosuid"));
                if (!strv_contains(m->options, "dev") && !strv_contains(m->options, "nodev"))
                        r |= json_array_append_new(options, json_string("nodev"));
        } else {
                if (!has_any(m->options, binds))
                        r |= json_array_append_new(options, json_string("rbind"));
                /* Without it a mount that the host makes later would appear, and mounts would leak out to
                 * the host. */
                if (!has_any(m->options, propagations))
                        r |= json_array_append_new(options, json_string("rprivate"));
        }
        if (r < 0) {
                json_decref(options);
                return NULL;
        }

        return mount_to_json(m->type, streq(m->type, "bind") ? m->source : "tmpfs", m->destination, options);
}

static size_t path_depth(const char *p) {
        size_t n = 0;

        for (; *p; p++)
                n += *p == '/';
        return n;
}

static int add_user_mounts(const SpecInput *in, json_t *mounts) {
        const ContainerOptions *o = in->options;
        size_t done = 0;
        int r = 0;

        for (size_t depth = 1; done < o->n_mounts; depth++)
                for (size_t i = 0; i < o->n_mounts; i++)
                        if (path_depth(o->mounts[i].destination) == depth) {
                                r |= json_array_append_new(mounts, user_mount_to_json(&o->mounts[i]));
                                done++;
                        }
        return r;
}

static int add_file_mounts(const SpecInput *in, json_t *mounts) {
        const struct {
                const char *name, *bundle;
        } files[] = { { "hosts", in->network_bundle }, { "hostname", in->bundle }, { "resolv.conf", in->network_bundle } };
        static const char *const options[] = { "bind", "private", NULL };
        int r = 0;

        /* A directory of the user's at /etc stays as it is. */
        if (user_mount_on(in->options, "/etc"))
                return 0;

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_free_ char *source = strjoin(files[i].bundle, "/", files[i].name),
                                    *destination = strjoin("/etc/", files[i].name);

                if (!source || !destination)
                        return -1;
                if (!user_mount_on(in->options, destination))
                        r |= json_array_append_new(mounts, mount_to_json("bind", source, destination,
                                                                         json_from_strv((char *const *) options)));
        }
        return r;
}

/* Behind those of the user, who may have one on /run. */
static int add_host_mount(const SpecInput *in, json_t *mounts) {
        static const char *const options[] = { "bind", "private", "ro", "nosuid", "nodev", "noexec", NULL };
        _cleanup_free_ char *source = NULL;

        if (!has_host_dir(in) || user_mount_on(in->options, SYSTEM_HOST_DIR))
                return 0;
        source = strjoin(in->bundle, "/" SYSTEM_HOST_NAME);
        return source ? json_array_append_new(mounts, mount_to_json("bind", source, SYSTEM_HOST_DIR,
                                                                    json_from_strv((char *const *) options)))
                      : -1;
}

static json_t *mounts_to_json(const SpecInput *in) {
        json_t *mounts = json_array();
        int r;

        r = add_usual_mounts(in, mounts);
        r |= add_user_mounts(in, mounts);
        r |= add_file_mounts(in, mounts);
        r |= add_host_mount(in, mounts);
        if (r < 0) {
                json_decref(mounts);
                return NULL;
        }
        return mounts;
}

static json_t *namespaces_to_json(const ContainerOptions *o) {
        static const char *const namespaces[] = { "pid", "mount", "uts", "ipc", "cgroup" };
        json_t *array = json_array();
        const char *path = NULL;
        NetworkMode mode = container_network_mode(o, &path);
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(namespaces); i++)
                r |= json_array_append_new(array, json_pack("{s:s}", "type", namespaces[i]));
        /* That which moored makes is put in its place by the launcher. */
        if (mode != NETWORK_MODE_HOST)
                r |= json_array_append_new(array, mode == NETWORK_MODE_PATH
                                                                  ? json_pack("{s:s,s:s}", "type", "network", "path", path)
                                                                  : json_pack("{s:s}", "type", "network"));
        if (r < 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}

static json_t *linux_to_json(const SpecInput *in) {
        static const char *const masked[] = {
                "/proc/acpi",
                "/proc/asound",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/sys/devices/virtual/powercap",
                "/sys/firmware",
                NULL,
        };
        static const char *const readonly[] = {
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
        };
        json_t *j = json_object();
        int r;

        r = json_object_set_new(j, "namespaces", namespaces_to_json(in->options));
        if (in->devices)
                r |= json_object_set(j, "devices", in->devices);
        r |= json_object_set_new(j, "maskedPaths", json_from_strv((char *const *) masked));
        r |= json_object_set_new(j, "readonlyPaths", json_from_strv((char *const *) readonly));
        if (r < 0) {
                json_decref(j);
                return NULL;
        }
        return j;
}

static int set_joined(json_t *j, const char *key, char *const *l, const char *sep) {
        _cleanup_free_ char *s = strv_join(l, sep);

        return s ? json_object_set_new(j, key, json_string(s)) : -1;
}

static json_t *annotations_to_json(const SpecInput *in) {
        json_t *j = json_object();
        int r = 0;

        STRV_FOREACH(s, in->process->annotations) {
                const char *eq = strchr(s, '=');
                _cleanup_free_ char *key = eq && !startswith(s, ANNOTATION_PREFIX)
                                                           ? strndup(s, (size_t) (eq - s))
                                                           : NULL;

                r |= key ? json_object_set_new(j, key, json_string(eq + 1)) : -1;
        }
        r |= json_object_set_new(j, ANNOTATION_PREFIX "rootfs.dir", json_string(in->mount->dir));
        r |= set_joined(j, ANNOTATION_PREFIX "rootfs.lower", in->mount->lower, ":");
        r |= json_object_set_new(j, ANNOTATION_PREFIX "rootfs.upper", json_string(in->mount->upper));
        r |= json_object_set_new(j, ANNOTATION_PREFIX "rootfs.work", json_string(strempty(in->mount->work)));
        if (in->terminal && !in->options->scope)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "terminal", json_string(in->terminal));
        if (in->network)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "network", json_string(in->network));
        if (in->keep_network)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "network.keep", json_string("true"));
        if (in->seccomp)
                r |= json_object_set_new(j, ANNOTATION_SECCOMP, json_string(in->seccomp));
        if (in->runtime)
                r |= json_object_set_new(j, ANNOTATION_RUNTIME, json_string(in->runtime));
        if (in->machine)
                r |= json_object_set_new(j, ANNOTATION_MACHINE, json_string(in->machine));
        if (in->options->notify)
                r |= json_object_set_new(j, ANNOTATION_SYSTEM, json_string("notify"));
        else if (is_system(in))
                r |= json_object_set_new(j, ANNOTATION_SYSTEM,
                                         json_string(streq_ptr(in->options->systemd, "always") ? "systemd"
                                                                                               : "detect"));
        if (in->options->unit)
                r |= json_object_set_new(j, ANNOTATION_STOP,
                                         json_sprintf("%i %" PRIu64, in->process->stop_signal,
                                                      in->stop_timeout_usec));
        if (in->process->ready_when_healthy)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "ready", json_string("healthy"));
        if (in->process->user)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "user", json_string(in->process->user));
        if (strv_length(in->options->groups) > 0)
                r |= set_joined(j, ANNOTATION_PREFIX "groups", in->options->groups, ",");
        if (r < 0) {
                json_decref(j);
                return NULL;
        }
        return j;
}

int container_spec_build(const SpecInput *in, char **ret, Error *reterr_error) {
        _cleanup_json_ json_t *j = json_object();
        json_t *root = json_object();
        char *text;
        int r;

        r = json_object_set_new(root, "path", json_string("rootfs"));
        r |= json_object_set_new(root, "readonly", json_boolean(in->options->read_only));
        r |= json_object_set_new(j, "ociVersion", json_string(OCI_VERSION));
        r |= json_object_set_new(j, "process", process_to_json(in->process, environment_to_json(in), in->capabilities, false));
        if (in->terminal)
                r |= set_terminal(json_object_get(j, "process"), in->options->terminal_size);
        r |= json_object_set_new(j, "root", root);
        r |= json_object_set_new(j, "hostname", json_string(in->process->hostname));
        r |= json_object_set_new(j, "mounts", mounts_to_json(in));
        r |= json_object_set_new(j, "linux", linux_to_json(in));
        r |= json_object_set_new(j, "annotations", annotations_to_json(in));
        if (r < 0)
                return error_set(reterr_error, -ENOMEM, "NoMemory",
                                 "Out of memory for the container's specification.");

        text = json_dump(j, false);
        if (!text)
                return -ENOMEM;

        *ret = text;
        return 0;
}

/* -- of an exec --------------------------------------------------------------------------------- */

static json_t *exec_annotations_to_json(const ExecSpecInput *in) {
        char pid[sizeof("4294967295")];
        json_t *j = json_object();
        int r;

        (void) snprintf(pid, sizeof(pid), "%" PRIu32, in->pid);
        r = json_object_set_new(j, ANNOTATION_EXEC_PID, json_string(pid));
        r |= json_object_set_new(j, ANNOTATION_EXEC_CGROUP, json_string(in->control_group));
        r |= json_object_set_new(j, ANNOTATION_EXEC_RECORD, json_string(in->record));
        if (in->terminal)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "terminal", json_string(in->terminal));
        if (in->seccomp)
                r |= json_object_set_new(j, ANNOTATION_SECCOMP, json_string(in->seccomp));
        if (in->process->user)
                r |= json_object_set_new(j, ANNOTATION_PREFIX "user", json_string(in->process->user));
        if (strv_length(in->groups) > 0)
                r |= set_joined(j, ANNOTATION_PREFIX "groups", in->groups, ",");
        if (r < 0) {
                json_decref(j);
                return NULL;
        }
        return j;
}

int exec_spec_build(const ExecSpecInput *in, char **ret, Error *reterr_error) {
        _cleanup_json_ json_t *j = json_object();
        json_t *namespaces = json_object();
        char *text;
        int r;

        r = json_object_set_new(namespaces, "namespaces", namespaces_to_json(in->options));
        r |= json_object_set_new(j, "ociVersion", json_string(OCI_VERSION));
        r |= json_object_set_new(j, "process", process_to_json(in->process, json_from_strv(in->process->env),
                                                             in->capabilities, in->new_privileges));
        if (in->terminal)
                r |= set_terminal(json_object_get(j, "process"), in->terminal_size);
        r |= json_object_set_new(j, "linux", namespaces);
        r |= json_object_set_new(j, "annotations", exec_annotations_to_json(in));
        text = r < 0 ? NULL : json_dump(j, false);
        if (!text)
                return error_set(reterr_error, -ENOMEM, "NoMemory", "Out of memory for the exec's specification.");

        *ret = text;
        return 0;
}
