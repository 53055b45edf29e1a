/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Interfaces of a container that is there: one more, one less, and what they are at this moment. The records are changed, and
 * the namespace in place: it stays the one that the unit's descriptor store may have, so that a container that the service
 * manager starts again has what was changed.
 *
 *   idle        ─▶ apply() ─▶ answer
 *   running     ─▶ ask_for_namespace() ── moored-probe.service ──▶ on_namespace() ─▶ apply() ─▶ answer
 *
 * The namespace of one that runs is its process's. The kernel counts opening it as a look into the process, to which moored has no
 * right; moored-probe.service, which joins containers for their health checks, sends the descriptor. A process with the rights to do so
 * may have gone into the host's namespace, in which nothing is done for it. */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/network-options.h"
#include "container/probe.h"

#define OWN_NAMESPACE "/proc/thread-self/ns/net"
#define NAMESPACE_TIMEOUT_USEC UINT64_C(5000000)
#define PROC_NET_DEV_MAX (64U * 1024)
#define COUNTERS 16U /* of a line of it: 8 received, 8 sent */

typedef enum ChangeKind {
        CHANGE_CONNECT,
        CHANGE_ADD,
        CHANGE_SET,
        CHANGE_REMOVE,
        CHANGE_KEEP, /* nothing: its namespace is wanted, see container_keep_netns() */
} ChangeKind;

/* What is wanted. Borrowed; of spec and change the contents are taken. */
typedef struct Wanted {
        ChangeKind kind;
        const char *attachment; /* connect */
        const char *name;       /* of the interface; of one to be added or NULL */
        InterfaceSpec *spec;
        InterfaceChange *change;
} Wanted;

/* One at a time; c->work->change. */
struct ContainerChange {
        Container *container; /* weak */
        Probe *probe;
        uint32_t pid; /* whose namespace has been asked for */
        ChangeKind kind;
        char *attachment, *name;
        InterfaceSpec spec;
        InterfaceChange change;
        ContainerInterfaceFunc func;
        void *userdata;
};

static ContainerChange *change_free(ContainerChange *h) {
        if (!h)
                return NULL;

        probe_free(h->probe);
        free(h->attachment);
        free(h->name);
        interface_spec_done(&h->spec);
        interface_change_done(&h->change);
        free(h);
        return NULL;
}
DEFINE_CLEANUP_FUNC(ContainerChange *, change_free)

static ContainerChange *change_new(Container *c, const Wanted *w, ContainerInterfaceFunc func, void *userdata) {
        _cleanup_(change_freep) ContainerChange *h = calloc(1, sizeof(*h));

        if (!h)
                return NULL;
        *h = (ContainerChange){ .container = c, .pid = c->leader_pid, .kind = w->kind, .change = INTERFACE_CHANGE_NULL,
                                .func = func, .userdata = userdata };
        if ((w->attachment && !(h->attachment = strdup(w->attachment))) || (w->name && !(h->name = strdup(w->name))))
                return NULL;
        if (w->spec) {
                h->spec = *w->spec;
                *w->spec = (InterfaceSpec){};
        }
        if (w->change) {
                h->change = *w->change;
                *w->change = INTERFACE_CHANGE_NULL;
        }
        return TAKE_PTR(h);
}

/* Of a process that has gone there by itself. */
static int check_namespace(const Container *c, int fd, Error *reterr_error) {
        struct stat own, st;

        if (stat(OWN_NAMESPACE, &own) < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno, "The network namespace of container %s cannot be looked at: %m",
                                       c->row.id);
        if (own.st_dev == st.st_dev && own.st_ino == st.st_ino)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "The process of container %s is in the host's network namespace; stop the container first.",
                                 c->row.id);
        return 0;
}

/* -- what is allowed when ----------------------------------------------------------------------- */

static int check_mode(const Container *c, Error *reterr_error) {
        static const char *const why[] = {
                [NETWORK_MODE_NONE] = "was made without a network (Networks=none)",
                [NETWORK_MODE_HOST] = "has the host's network (Networks=host)",
                [NETWORK_MODE_CONTAINER] = "shares the network of another (Networks=container:), which is the one to connect",
                [NETWORK_MODE_PATH] = "is in a namespace that moored does not manage (Networks=ns:)",
                [NETWORK_MODE_CNI] = "is on networks of plug-ins (Networks=cni:), which attach it at its start only",
        };
        NetworkMode mode = container_network_mode(&c->options, NULL);

        if (!c->manager->networks)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "There are no networks here.");
        return mode == NETWORK_MODE_NAMED ? 0
                                          : error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                                      "Container %s %s.", c->row.id, why[mode]);
}

static bool is_up(const Container *c) {
        return c->state == CONTAINER_RUNNING || c->state == CONTAINER_PAUSED;
}

static bool is_on_cni(const Container *c) {
        return container_network_mode(&c->options, NULL) == NETWORK_MODE_CNI;
}

static int check(const Container *c, ChangeKind kind, Error *reterr_error) {
        int r;

        r = kind == CHANGE_KEEP && is_on_cni(c) ? 0 : check_mode(c, reterr_error);
        if (r < 0)
                return r;
        if (c->work->change)
                return error_set(reterr_error, -EBUSY, "Busy",
                                 "Another change of the networks of container %s is under way; try again.", c->row.id);
        if (!c->manager->recovering && (c->state == CONTAINER_CREATED || c->state == CONTAINER_EXITED || is_up(c)))
                return 0;
        return error_set(reterr_error, -EBUSY, "Busy", "Container %s is %s; try again in a moment.", c->row.id,
                         container_state_to_string(c->state));
}

/* -- what follows ------------------------------------------------------------------------------- */

/* Of the bundle: /etc/hosts and /etc/resolv.conf as they are by the records. */
typedef struct Files {
        char *hosts, *resolv;
} Files;

static void files_done(Files *f) {
        free(f->hosts);
        free(f->resolv);
}

/* In place, as it is mounted into the container; what somebody in there has changed stays as it is, unless before is NULL. */
static int rewrite(const Container *c, const char *name, const char *before, const char *now) {
        _cleanup_close_ int dir = bundle_open(c->manager->containers_fd, c->row.ns, c->row.id), fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        size_t n = strlen(now);
        ssize_t written;
        int r;

        if (dir < 0)
                return dir;
        r = read_file_at(dir, name, BUNDLE_HOST_FILE_SIZE_MAX, &text, NULL);
        if (r < 0 || (before && !streq(text, before)) || streq(text, now))
                return r;
        /* Who has a lease of it, in there, is not waited for. */
        fd = openat(dir, name, O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        written = write(fd, now, n);
        return written < 0 ? -errno : (size_t) written == n ? 0 : -EIO;
}

void container_refresh_hosts(const Container *c) {
        _cleanup_(files_done) Files now = {};
        int r;

        r = container_network_files(c, &now.hosts, &now.resolv);
        if (r >= 0)
                r = rewrite(c, "hosts", NULL, now.hosts);
        if (r < 0)
                log_warning_errno(r, "Failed to write the addresses of container %s into its /etc/hosts, ignoring: %m", c->row.id);
}

/* All are made again at the next start, and by what is recorded: a failure is no reason to undo anything. Who the container
 * asks for names may be another one now, which then is there before the container is told. */
static void follow(Container *c, const Files *before) {
        _cleanup_(files_done) Files now = {};
        int r, k;

        if (is_up(c))
                (void) container_names_start(c, NULL);
        r = before->resolv ? container_network_files(c, &now.hosts, &now.resolv) : -ENOMEM;
        if (r >= 0)
                r = rewrite(c, "hosts", before->hosts, now.hosts);
        if (r >= 0)
                r = rewrite(c, "resolv.conf", before->resolv, now.resolv);
        /* Whatever somebody in there has made of its files. */
        k = container_write_record(c);
        r = r < 0 ? r : k;
        if (r < 0)
                log_warning_errno(r, "Failed to write the bundle of container %s, ignoring: %m", c->row.id);
        container_names_up(c->manager);
        container_names_end(c->manager);
        events_notify(c->manager->events, NOTIFY_CONTAINER_NETWORKS, c->row.ns, c->row.id, c);
}

/* -- the change --------------------------------------------------------------------------------- */

static int apply_one(ContainerChange *h, int netns, char **name, Error *reterr_error) {
        NetworkManager *m = h->container->manager->networks;
        const char *ns = h->container->row.ns, *id = h->container->row.id;
        _cleanup_free_ char *wanted = *name;

        switch (h->kind) {
        case CHANGE_KEEP:
                return is_on_cni(h->container) ? container_cni_keep_netns(h->container, netns)
                                               : network_manager_keep_netns(m, ns, id, netns);
        case CHANGE_CONNECT:
                *name = NULL;
                return network_manager_connect(m, ns, id, h->attachment, netns, name, reterr_error);
        case CHANGE_ADD:
                *name = NULL;
                return network_manager_add_interface(m, ns, id, wanted, &h->spec, netns, name, reterr_error);
        case CHANGE_SET:
                TAKE_PTR(wanted);
                return network_manager_change_interface(m, ns, id, *name, &h->change, netns, reterr_error);
        case CHANGE_REMOVE:
        default:
                TAKE_PTR(wanted);
                return network_manager_remove_interface(m, ns, id, *name, netns, reterr_error);
        }
}

static int apply(ContainerChange *h, int netns, char **ret_name, Error *reterr_error) {
        static const NotifyType told[] = {
                [CHANGE_CONNECT] = NOTIFY_INTERFACE_ADDED,
                [CHANGE_ADD] = NOTIFY_INTERFACE_ADDED,
                [CHANGE_SET] = NOTIFY_INTERFACE_CHANGED,
                [CHANGE_REMOVE] = NOTIFY_INTERFACE_REMOVED,
        };
        Container *c = h->container;
        _cleanup_free_ char *name = h->name ? strdup(h->name) : NULL;
        _cleanup_(files_done) Files before = {};
        int r;

        (void) container_network_files(c, &before.hosts, &before.resolv);
        r = h->name && !name ? -ENOMEM : apply_one(h, netns, &name, reterr_error);
        if (r < 0 || h->kind == CHANGE_KEEP)
                return r;
        follow(c, &before);
        if (name)
                events_notify(c->manager->events, told[h->kind], c->row.ns, c->row.id, name);
        *ret_name = TAKE_PTR(name);
        return 0;
}

/* Takes h. */
static void finish(ContainerChange *h, const char *name, const Error *error) {
        Container *c = h->container;

        if (c->work->change == h)
                c->work->change = NULL;
        if (h->func)
                h->func(c, name, error_is_set(error) ? error : NULL, h->userdata);
        change_free(h);
}

static void on_namespace(const ProbeResult *result, const Error *error, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *name = NULL;
        ContainerChange *h = userdata;
        Container *c = h->container;
        int r;

        if (!result) {
                finish(h, NULL, error);
                return;
        }
        if (!is_up(c) || c->leader_pid != h->pid)
                r = container_not_running(c, &e);
        else
                r = check_namespace(c, result->netns, &e);
        if (r >= 0)
                r = apply(h, result->netns, &name, &e);
        if (r < 0 && !error_is_set(&e))
                (void) error_set_errno(&e, r, "The networks of container %s cannot be changed: %m", c->row.id);
        finish(h, name, &e);
}

static int ask_for_namespace(ContainerChange *h, Error *reterr_error) {
        Container *c = h->container;
        _cleanup_free_ char *bundle = container_bundle_path(c), *path = strjoin(c->manager->runtime_dir, "/" PROBE_SOCKET);

        if (!bundle || !path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        const ProbeRequest request = {
                .bundle = bundle,
                .control_group = strempty(c->control_group),
                .pid = c->leader_pid,
                .timeout_usec = NAMESPACE_TIMEOUT_USEC,
        };
        return probe_new(c->manager->event, path, &request, on_namespace, h, &h->probe, reterr_error);
}

static int change(Container *c, const Wanted *w, ContainerInterfaceFunc func, void *userdata, Error *reterr_error) {
        _cleanup_(change_freep) ContainerChange *h = NULL;
        _cleanup_free_ char *name = NULL;
        int r;

        r = check(c, w->kind, reterr_error);
        if (r < 0)
                return r;
        h = change_new(c, w, func, userdata);
        if (!h)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (is_up(c)) {
                r = ask_for_namespace(h, reterr_error);
                if (r >= 0)
                        c->work->change = TAKE_PTR(h);
                return r;
        }
        r = apply(h, -EBADF, &name, reterr_error);
        if (r >= 0)
                finish(TAKE_PTR(h), name, NULL);
        return r;
}

void container_change_free(Container *c) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (!c->work->change)
                return;
        (void) error_set(&e, -ECANCELED, "Canceled", "Container %s is gone, or moored is ending.", c->row.id);
        finish(c->work->change, NULL, &e);
}

int container_connect(Container *c, const char *attachment, ContainerInterfaceFunc func, void *userdata,
                      Error *reterr_error) {
        return change(c, &(Wanted){ .kind = CHANGE_CONNECT, .attachment = attachment }, func, userdata, reterr_error);
}

int container_remove_interface(Container *c, const char *name, ContainerInterfaceFunc func, void *userdata,
                               Error *reterr_error) {
        return change(c, &(Wanted){ .kind = CHANGE_REMOVE, .name = name }, func, userdata, reterr_error);
}

int container_add_interface(Container *c, const char *name, InterfaceSpec *spec, ContainerInterfaceFunc func, void *userdata,
                            Error *reterr_error) {
        return change(c, &(Wanted){ .kind = CHANGE_ADD, .name = name, .spec = spec }, func, userdata, reterr_error);
}

int container_change_interface(Container *c, const char *name, InterfaceChange *changed, ContainerInterfaceFunc func,
                               void *userdata, Error *reterr_error) {
        return change(c, &(Wanted){ .kind = CHANGE_SET, .name = name, .change = changed }, func, userdata, reterr_error);
}

static void on_kept(Container *c, const char *name, const Error *error, void *userdata) {
        if (!error)
                return;
        if (is_on_cni(c))
                log_warning("Plug-ins may not undo all of the network of container %s when it ends: %s", c->row.id, error_message(error));
        else
                log_warning("A device of the host that container %s has may be lost when it ends: %s", c->row.id, error_message(error));
}

static bool misses_netns(const Container *c) {
        if (is_on_cni(c))
                return container_cni_misses_netns(c);
        return check_mode(c, NULL) >= 0 && network_manager_misses_netns(c->manager->networks, c->row.ns, c->row.id);
}

void container_keep_netns(Container *c) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (!is_up(c) || !misses_netns(c))
                return;
        if (change(c, &(Wanted){ .kind = CHANGE_KEEP }, on_kept, NULL, &e) < 0)
                on_kept(c, NULL, &e, NULL);
}

int container_get_interface(const Container *c, const char *name,
                            int (*func)(const NetworkInterface *i, const NetworkDevice *d, void *userdata), void *userdata) {
        if (!c->manager->networks || container_network_mode(&c->options, NULL) != NETWORK_MODE_NAMED)
                return 0;
        return network_manager_get_interface(c->manager->networks, c->row.ns, c->row.id, name, func, userdata);
}

typedef struct Names {
        const Network *network; /* or NULL: all */
        char **names;
} Names;

static int add_name(const NetworkInterface *i, void *userdata) {
        Names *n = userdata;

        return n->network && n->network != i->network ? 0 : strv_extend(&n->names, i->name);
}

static int add_device_name(const NetworkDevice *d, void *userdata) {
        return d->spec->type == INTERFACE_NETWORK ? 0 : strv_extend(userdata, d->name);
}

int container_interface_names(const Container *c, char ***ret) {
        ContainerManager *m = c->manager;
        Names n = {};
        int r = 0;

        if (m->networks && container_network_mode(&c->options, NULL) == NETWORK_MODE_NAMED) {
                r = network_manager_foreach_interface(m->networks, c->row.ns, c->row.id, add_name, &n);
                if (r >= 0)
                        r = network_manager_foreach_device(m->networks, c->row.ns, c->row.id, add_device_name, &n.names);
        }
        if (r < 0) {
                strv_free(n.names);
                return r;
        }
        *ret = n.names;
        return 0;
}

int container_disconnect(Container *c, const Network *network, ContainerInterfaceFunc func, void *userdata,
                         Error *reterr_error) {
        Names n = { .network = network };
        int r;

        r = check_mode(c, reterr_error);
        if (r < 0)
                return r;
        r = network_manager_foreach_interface(c->manager->networks, c->row.ns, c->row.id, add_name, &n);
        if (r < 0)
                (void) error_set_errno(reterr_error, r, "The interfaces of container %s cannot be read: %m", c->row.id);
        else if (strv_length(n.names) == 0)
                r = error_set(reterr_error, -ENOTCONN, "NotConnected",
                              "Container %s is not on the network “%s”; moorctl inspect %s shows its networks.", c->row.id,
                              network->row.name, c->row.id);
        else
                r = container_remove_interface(c, n.names[0], func, userdata, reterr_error);
        strv_free(n.names);
        return r;
}

/* "  eth0: RECEIVED packets errs drop fifo frame compressed multicast SENT packets errs drop …" */
static int parse_counters(const char *text, struct LinkStatistics *ret) {
        _cleanup_strv_free_ char **words = strv_split(text, " ");
        uint64_t *const fields[] = { &ret->rx_bytes, &ret->rx_packets, &ret->rx_errors, &ret->rx_dropped,
                                     &ret->tx_bytes, &ret->tx_packets, &ret->tx_errors, &ret->tx_dropped };

        if (strv_length(words) < COUNTERS)
                return -EBADMSG;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                int r = parse_uint64(words[i < ELEMENTSOF(fields) / 2 ? i : COUNTERS / 2 + i - ELEMENTSOF(fields) / 2],
                                     fields[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

int container_interface_statistics(const Container *c, const char *name, struct LinkStatistics *ret, Error *reterr_error) {
        _cleanup_free_ char *path = strformat("/proc/%" PRIu32 "/net/dev", c->leader_pid), *text = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        int r;

        if (c->leader_pid == 0)
                return container_not_running(c, reterr_error);
        r = path ? read_file_at(AT_FDCWD, path, PROC_NET_DEV_MAX, &text, NULL) : -ENOMEM;
        if (r == -ENOENT || r == -ESRCH)
                return container_not_running(c, reterr_error);
        lines = r >= 0 ? strv_split(text, "\n") : NULL;
        STRV_FOREACH(line, lines) {
                const char *rest = startswith(line + strspn(line, " "), name);

                if (!rest || rest[0] != ':')
                        continue;
                r = parse_counters(rest + 1, ret);
                if (r >= 0)
                        return 0;
        }
        return r < 0 ? error_set_errno(reterr_error, r, "The devices of container %s cannot be read: %m", c->row.id)
                     : error_set(reterr_error, -ENODEV, "NoSuchDevice",
                                 "The device %s is not in container %s any more: somebody in there has removed or renamed it.",
                                 name, c->row.id);
}
