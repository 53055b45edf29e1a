/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container and its networks, from its creation to its removal:
 *
 *   container_create()  names, addresses, ports: reserved in the transaction that records the container
 *   container_start()   StartTransientUnit is sent ─▶ while PID 1 makes the launcher, the namespace is made
 *                       ◀─ the launcher asks for it, and joins it; where PID 1 may start the container again,
 *                       the launcher puts it into the unit's descriptor store as well
 *   its end             ports are closed; the namespace goes with its last descriptor
 *
 * What was not made before, or not for this run, is made when it is asked for: by a unit that is installed, after a
 * moored that was killed, or where the store has lost it. A run that PID 1 starts again has its namespace in the
 * store and asks nobody.
 *
 * What cannot be made is told to the launcher: the unit then fails with that sentence, as for anything else. */

#include <fcntl.h>
#include <inttypes.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/network-options.h"
#include "container/spec.h"
#include "network/names.h"

#define PROC_CGROUP_MAX 65536U
#define SHARERS_MAX 64U /* that are followed from one to the next; names may go round in a circle */

void container_manager_set_networks(ContainerManager *m, NetworkManager *networks, NetworkSocket *sock) {
        m->networks = networks;
        m->network_socket = sock;
}

static bool is_cni(const Container *c) {
        return container_network_mode(&c->options, NULL) == NETWORK_MODE_CNI;
}

static bool is_named(const Container *c) {
        return container_network_mode(&c->options, NULL) == NETWORK_MODE_NAMED;
}

/* -- creation ----------------------------------------------------------------------------------- */

/* Of the container's own ports, from which to which does not matter. */
static bool is_published(const ContainerOptions *o, const Port *wanted) {
        Port p;

        STRV_FOREACH(s, o->publish)
                if (port_parse(s, &p, NULL) >= 0 && p.protocol == wanted->protocol &&
                    p.container_port <= wanted->container_port &&
                    p.container_port + p.count >= wanted->container_port + wanted->count)
                        return true;
        return false;
}

static int publish_exposed(ContainerOptions *o, const char *text, Error *reterr_error) {
        _cleanup_free_ char *formatted = NULL;
        Port p;
        int r;

        r = port_parse_exposed(text, &p, reterr_error);
        if (r < 0 || is_published(o, &p))
                return r;
        formatted = port_format(&p);
        return formatted ? strv_extend(&o->publish, formatted) : -ENOMEM;
}

static int publish_all(const ImageConfig *image, ContainerOptions *o, Error *reterr_error) {
        char *const *const sources[] = { o->expose, image->exposed_ports };
        int r;

        for (size_t i = 0; o->publish_all && i < ELEMENTSOF(sources); i++)
                STRV_FOREACH(s, sources[i]) {
                        r = publish_exposed(o, s, reterr_error);
                        if (r < 0)
                                return r;
                }
        return 0;
}

int container_network_resolve(const ContainerManager *m, const ImageConfig *image, ContainerOptions *o,
                              Error *reterr_error) {
        bool publishes = strv_length(o->publish) > 0 || o->publish_all;
        int r;

        if (strv_length(o->networks) == 0) {
                r = strv_extend(&o->networks, streq(m->network, "none") && publishes ? NETWORK_DEFAULT : m->network);
                if (r < 0)
                        return r;
        }
        r = network_options_check_ports(o, reterr_error);
        return r < 0 ? r : publish_all(image, o, reterr_error);
}

int container_network_prepare(ContainerManager *m, const char *ns, const ContainerOptions *o, Error *reterr_error) {
        NetworkMode mode = container_network_mode(o, NULL);

        if (mode == NETWORK_MODE_CNI && !m->cni)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "There are no networks of plug-ins here.");
        if (mode == NETWORK_MODE_CNI)
                return container_cni_prepare(o, reterr_error);
        if (mode != NETWORK_MODE_NAMED)
                return 0;
        if (!m->networks)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported", "There are no networks here.");
        return network_manager_prepare(m->networks, ns, o->networks, o->publish, reterr_error);
}

void container_network_abandon(ContainerManager *m, const char *ns) {
        if (m->networks)
                network_manager_abandon(m->networks, ns);
}

int container_network_reserve(Container *c, Error *reterr_error) {
        return is_named(c) ? network_manager_reserve(c->manager->networks, c->row.ns, c->row.id, c->options.networks,
                                                     c->options.publish, reterr_error)
                           : 0;
}

/* -- what is in the bundle ---------------------------------------------------------------------- */

/* Its launcher gets it from here. */
static bool is_asked_for(NetworkMode mode) {
        return mode == NETWORK_MODE_NAMED || mode == NETWORK_MODE_CONTAINER || mode == NETWORK_MODE_CNI;
}

int container_network_key(const Container *c, char **ret) {
        NetworkMode mode = container_network_mode(&c->options, NULL);
        char *s = NULL;

        if (is_asked_for(mode)) {
                s = strjoin(c->row.ns, "/", c->row.id);
                if (!s)
                        return -ENOMEM;
        }
        *ret = s;
        return 0;
}

bool container_keeps_network(const Container *c) {
        return container_repeats(c) && is_asked_for(container_network_mode(&c->options, NULL));
}

Container *container_find_by_key(ContainerManager *m, const char *key) {
        return hashmap_get(m->containers, key);
}

static Container *find_other(const Container *c) {
        const char *target;

        return container_network_mode(&c->options, &target) == NETWORK_MODE_CONTAINER
                               ? container_find(c->manager, c->row.ns, target, NULL)
                               : NULL;
}

const Container *container_network_owner(const Container *c) {
        for (unsigned i = 0; i < SHARERS_MAX; i++) {
                const Container *other = find_other(c);

                if (!other)
                        break;
                c = other;
        }
        return c;
}

bool container_network_owner_is_self(const Container *c) {
        return container_network_owner(c) == c;
}

typedef struct Hosts {
        Address *addresses;
        size_t n;
        char **names;
        Address gateway;
} Hosts;

static void hosts_done(Hosts *h) {
        free(h->addresses);
        strv_free(h->names);
}

static int add_host_address(Hosts *h, const Address *a) {
        Address *more = reallocarray(h->addresses, h->n + 1, sizeof(Address));

        if (!more)
                return -ENOMEM;
        h->addresses = more;
        h->addresses[h->n++] = *a;
        return 0;
}

static int collect_hosts(const NetworkInterface *i, void *userdata) {
        Hosts *h = userdata;
        int r = 0;

        for (size_t k = 0; r >= 0 && k < i->n_addresses; k++)
                r = add_host_address(h, &i->addresses[k].address);
        if (r < 0)
                return r;
        if (h->gateway.family == AF_UNSPEC && i->network->n_subnets > 0)
                h->gateway = i->network->subnets[0].address;
        STRV_FOREACH(s, i->aliases) {
                r = strv_contains(h->names, s) ? 0 : strv_extend(&h->names, s);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int collect_cni_hosts(const CniShown *s, void *userdata) {
        int r = 0;

        STRV_FOREACH(text, s->addresses) {
                Prefix p;

                if (r >= 0 && prefix_parse(text, &p) >= 0)
                        r = add_host_address(userdata, &p.address);
        }
        return r;
}

/* The host's own file, or nothing. */
static char *read_host_file(const char *path) {
        char *s;

        return read_file_at(AT_FDCWD, path, BUNDLE_HOST_FILE_SIZE_MAX, &s, NULL) >= 0 ? s : strdup("");
}

static void resolver_done(ResolvOwn *o) {
        strv_free(o->others);
        strv_free(o->servers);
        strv_free(o->domains);
}

typedef struct Asked {
        const Network *resolver;
        ResolvOwn own;
} Asked;

/* The resolver's addresses that the container has a way to; and where names are looked for: on all of its networks. */
static int collect_resolver(const NetworkInterface *i, void *userdata) {
        Asked *a = userdata;
        char text[ADDRESS_TEXT_MAX];
        int r = 0;

        if (!network_has_names(i->network))
                return 0;
        for (size_t k = 0; i->network == a->resolver && r >= 0 && k < i->network->n_subnets; k++) {
                const Prefix *subnet = i->network->subnets + k;
                bool mine = false;

                for (size_t l = 0; l < i->n_addresses; l++)
                        mine |= prefix_contains(subnet, &i->addresses[l].address);
                if (mine && i->network->row.subnets[k].gateway)
                        r = strv_extend(&a->own.servers, address_format(&subnet->address, text));
        }
        return r < 0 ? r : strv_consume(&a->own.domains, network_names_domain(i->network));
}

/* systemd-resolved, which is told of them, takes one for a server of everything at times: where its bridge has no carrier. */
static int collect_others(const ContainerManager *m, char ***ret) {
        char text[ADDRESS_TEXT_MAX];
        HashmapIterator i = 0;
        Network *n;
        int r = 0;

        while (m->networks && network_iterate(m->networks, &i, &n))
                for (size_t k = 0; r >= 0 && n->names_link > 0 && k < n->n_subnets; k++)
                        r = strv_extend(ret, address_format(&n->subnets[k].address, text));
        return r;
}

static int collect_own(const Container *c, ResolvOwn *ret) {
        Asked a = { .resolver = container_resolver(c) };
        int r;

        r = a.resolver ? container_foreach_interface(c, collect_resolver, &a) : collect_others(c->manager, &a.own.others);
        *ret = a.own;
        return r;
}

static int build_resolv(const Container *c, NetworkMode mode, char **ret) {
        _cleanup_(resolver_done) ResolvOwn own = {};
        bool loopback = mode == NETWORK_MODE_HOST;
        _cleanup_free_ char *text = NULL;
        int r;

        r = collect_own(c, &own);
        if (r < 0)
                return r;

        if (mode == NETWORK_MODE_NONE && strv_length(c->options.dns) == 0) {
                *ret = strdup("# This container has no network.\n");
                return *ret ? 0 : -ENOMEM;
        }
        text = read_host_file(HOST_RESOLV_CONF);
        if (text && !loopback && resolv_is_loopback(text)) {
                free(text);
                text = read_host_file(RESOLVED_RESOLV_CONF);
        }
        if (!text)
                return -ENOMEM;
        if (loopback && strv_length(c->options.dns) == 0 && strv_length(c->options.dns_search) == 0 &&
            strv_length(c->options.dns_options) == 0) {
                *ret = TAKE_PTR(text);
                return 0;
        }
        return resolv_build(text, loopback, &c->options, &own, ret);
}

int container_network_files(const Container *c, char **ret_hosts, char **ret_resolv) {
        NetworkMode mode = container_network_mode(&c->options, NULL);
        _cleanup_free_ char *before = NULL, *text = NULL;
        _cleanup_(hosts_done) Hosts h = {};
        int r;

        r = strv_extend(&h.names, c->work->process.hostname);
        if (r >= 0 && !strv_contains(h.names, c->row.id))
                r = strv_extend(&h.names, c->row.id);
        if (r >= 0 && mode == NETWORK_MODE_NAMED)
                r = container_foreach_interface(c, collect_hosts, &h);
        if (r >= 0 && mode == NETWORK_MODE_CNI)
                r = container_foreach_cni(c, collect_cni_hosts, &h);
        if (r < 0)
                return r;
        if (mode == NETWORK_MODE_HOST) {
                before = read_host_file("/etc/hosts");
                if (!before)
                        return -ENOMEM;
        }

        const HostsInput in = {
                .before = isempty(before) ? NULL : before,
                .names = h.names,
                .addresses = h.addresses,
                .n_addresses = h.n,
                .entries = c->options.hosts,
                .gateway = h.gateway,
        };
        r = hosts_build(&in, &text);
        if (r >= 0)
                r = build_resolv(c, mode, ret_resolv);
        if (r < 0)
                return r;
        *ret_hosts = TAKE_PTR(text);
        return 0;
}

/* -- start and end ------------------------------------------------------------------------------ */

static void forget(Container *c) {
        c->work->netns = safe_close(c->work->netns);
        error_done(&c->work->network);
}

void container_network_set_up(Container *c) {
        ContainerManager *m = c->manager;
        int r;

        if (is_cni(c))
                container_cni_set_up(c);
        if (!is_named(c))
                return;
        forget(c);
        if (c->options.unit)
                (void) container_names_start(c, NULL);
        if (!m->networks)
                r = error_set(&c->work->network, -EOPNOTSUPP, "NotSupported", "There are no networks here.");
        else
                r = network_manager_set_up(m->networks, c->row.ns, c->row.id, &c->work->netns, &c->work->network);
        if (r < 0 && !error_is_set(&c->work->network))
                (void) error_set_errno(&c->work->network, r, "Failed to make the network of container %s: %m",
                                       c->row.id);
        container_names_up(m);
}

void container_network_set_down(Container *c) {
        ContainerManager *m = c->manager;
        int r;

        if (is_cni(c))
                container_cni_set_down(c);
        if (!is_named(c))
                return;
        forget(c);
        /* Until then, all that is not adopted is gone anyway; but for what the host wants back. */
        if (m->networks && m->recovering)
                network_manager_clear_kept(m->networks, c->row.ns, c->row.id);
        if (!m->networks || m->recovering)
                return;
        r = network_manager_set_down(m->networks, c->row.ns, c->row.id);
        if (r < 0)
                log_warning_errno(r, "Failed to close the ports of container %s: %m", c->row.id);
        container_names_end(m);
}

static bool is_shared_by_any(const Container *c) {
        const Container *other;

        HASHMAP_FOREACH(other, c->manager->containers)
                if (other != c && other->state != CONTAINER_CREATED && other->state != CONTAINER_EXITED &&
                    streq(other->row.ns, c->row.ns) &&
                    container_network_mode(&other->options, NULL) == NETWORK_MODE_CONTAINER)
                        return true;
        return false;
}

/* Usually its namespace is gone, or is about to go; nobody waits for that. But who has joined it, or him, may be in there still.
 * (While moored recovers this is not known; then devices without a record go at its end.) */
void container_network_drop(Container *c) {
        ContainerManager *m = c->manager;
        int r;

        if (!is_named(c) || !m->networks || m->recovering || !is_shared_by_any(c))
                return;
        r = network_manager_drop_devices(m->networks, c->row.ns, c->row.id);
        if (r < 0)
                log_warning_errno(r, "Who shares the network of container %s may still have its addresses: %m", c->row.id);
}

/* Whether the process is in the unit: what is below that is the container's to name. */
static bool unit_has_process(const char *unit, pid_t pid) {
        _cleanup_free_ char *path = strformat("/proc/%i/cgroup", pid), *text = NULL;
        _cleanup_strv_free_ char **lines = NULL, **groups = NULL;

        if (!path || read_file_at(AT_FDCWD, path, PROC_CGROUP_MAX, &text, NULL) < 0)
                return false;
        lines = strv_split(text, "\n");
        STRV_FOREACH(line, lines) {
                const char *group = startswith(line, "0::");

                if (!group)
                        continue;
                groups = strv_split(group, "/");
                STRV_FOREACH(g, groups)
                        if (!endswith(g, ".slice"))
                                return streq(g, unit);
                return false;
        }
        return false;
}

static void answer_error(NetworkAnswer *ret, const Error *e) {
        ret->text = strjoin(error_name(e), ": ", error_message(e));
}

/* The launcher opens it: it takes more rights than moored has. */
static void answer_other(const Container *c, NetworkAnswer *ret) {
        const Container *other = find_other(c);
        _cleanup_error_ Error e = ERROR_NULL;
        const char *target = "";

        (void) container_network_mode(&c->options, &target);
        if (!other)
                (void) error_set(&e, -ENOENT, "NoSuchContainer",
                                 "There is no container \"%s\", whose network %s is to share; moorctl ps lists them.",
                                 target, c->row.id);
        else if (other->leader_pid == 0 || !other->control_group)
                (void) error_set(&e, -ESRCH, "NotRunning",
                                 "Container %s, whose network %s is to share, is not running: start it first.", target,
                                 c->row.id);
        if (error_is_set(&e))
                answer_error(ret, &e);
        else
                ret->text = strformat("process %" PRIu32 " %s", other->leader_pid, other->control_group);
}

static void on_question(const char *key, pid_t pid, NetworkAnswer *ret, void *userdata) {
        Container *c = container_find_by_key(userdata, key);
        _cleanup_error_ Error e = ERROR_NULL;

        if (!c || !unit_has_process(c->unit, pid)) {
                (void) error_set(&e, -EACCES, "AccessDenied",
                                 "Process %i is not in the unit of a container \"%s\".", pid, key);
                answer_error(ret, &e);
                return;
        }
        if (is_cni(c)) {
                container_cni_answer(c, ret);
                return;
        }
        if (!is_named(c)) {
                answer_other(c, ret);
                return;
        }
        if (c->work->netns < 0 && !error_is_set(&c->work->network))
                container_network_set_up(c);
        if (error_is_set(&c->work->network))
                answer_error(ret, &c->work->network);
        else {
                ret->fd = TAKE_FD(c->work->netns);
                ret->text = strdup("namespace");
        }
        error_done(&c->work->network);
}

/* -- at the start of the daemon ----------------------------------------------------------------- */

void container_networks_recovered(ContainerManager *m) {
        _cleanup_error_ Error e = ERROR_NULL;
        Container *c;
        int r = 0;

        if (m->networks) {
                HASHMAP_FOREACH(c, m->containers)
                        if (is_named(c) && c->state != CONTAINER_CREATED && c->state != CONTAINER_EXITED) {
                                r = network_manager_adopt(m->networks, c->row.ns, c->row.id);
                                if (r < 0)
                                        log_warning_errno(r, "Failed to find the network of container %s: %m", c->row.id);
                        }
                r = network_manager_recovered(m->networks, &e);
                if (r < 0)
                        log_error("The networks of containers that run cannot be brought in order: %s",
                                  error_is_set(&e) ? error_message(&e) : strerror(-r));
                container_names_recovered(m);
        }
        container_cni_recovered(m);
        HASHMAP_FOREACH(c, m->containers)
                container_keep_netns(c);
        r = m->network_socket ? network_socket_listen(m->network_socket, on_question, m) : 0;
        if (r < 0)
                log_error_errno(r, "No container will have a network: %m");
}

/* -- what can be asked -------------------------------------------------------------------------- */

char *container_network_namespace(const Container *c) {
        return c->leader_pid > 0 ? strformat("/proc/%" PRIu32 "/ns/net", c->leader_pid) : NULL;
}

int container_foreach_interface(const Container *c, int (*func)(const NetworkInterface *i, void *userdata),
                                void *userdata) {
        const Container *owner = container_network_owner(c);
        ContainerManager *m = c->manager;

        if (!is_named(owner) || !m->networks)
                return 0;
        return network_manager_foreach_interface(m->networks, owner->row.ns, owner->row.id, func, userdata);
}

int container_foreach_port(const Container *c, int (*func)(const Port *p, void *userdata), void *userdata) {
        ContainerManager *m = c->manager;
        int r = 0;
        Port p;

        if (is_named(c) && m->networks)
                return network_manager_foreach_port(m->networks, c->row.ns, c->row.id, func, userdata);
        /* Plug-ins publish what they are told. */
        STRV_FOREACH(s, is_cni(c) ? c->options.publish : NULL)
                if (r >= 0 && port_parse(s, &p, NULL) >= 0)
                        r = func(&p, userdata);
        return r;
}
