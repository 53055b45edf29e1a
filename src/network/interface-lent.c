/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Devices of the host's that a container has for as long as it runs. The kernel takes those that are made in software away with the namespace
 * that they are in, so each comes back before that ends: a namespace with such a device is kept here, and in a store of descriptors that
 * outlives this process, until they have been fetched.
 *
 *   recorded, with what the device was ─▶ namespace kept ─▶ moved ─▶ … ─▶ moved back, as it was ─▶ namespace given up
 *
 * Whoever dies at any of the arrows leaves a record by which the device is found: by its alias, which names its home, as somebody in the
 * container may have given it another name. */

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "network/netns.h"
#include "network/network-private.h"

#define KEEP_PREFIX "lent."
#define NAME_TAKEN "lent%d" /* the kernel puts a number there */

typedef struct Lent {
        char *ns, *container;
        int netns;
} Lent;

Lent *lent_free(Lent *l) {
        if (!l)
                return NULL;
        safe_close(l->netns);
        free(l->ns);
        free(l->container);
        free(l);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Lent *, lent_free)

void network_manager_set_keep(NetworkManager *m, NetworkKeepFunc func, void *userdata) {
        m->keep = func;
        m->keep_userdata = userdata;
}

/* -- namespaces that are kept -- */

/* Takes netns in any case. */
static int put(NetworkManager *m, const char *ns, const char *container, int netns) {
        _cleanup_free_ char *key = strjoin(ns, "/", container);
        _cleanup_(lent_freep) Lent *l = calloc(1, sizeof(Lent));
        int r;

        if (!l)
                safe_close(netns);
        else
                *l = (Lent) { .ns = strdup(ns), .container = strdup(container), .netns = netns };
        if (!key || !l || !l->ns || !l->container)
                return -ENOMEM;
        lent_free(hashmap_remove(m->lent, key));
        r = hashmap_put(m->lent, key, l);
        if (r < 0)
                return r;
        TAKE_PTR(l);
        return 0;
}

static char *keep_name(const char *ns, const char *container) {
        return strformat(KEEP_PREFIX "%zu.%s.%s", strlen(ns), ns, container);
}

static Lent *get(const NetworkManager *m, const char *ns, const char *container) {
        _cleanup_free_ char *key = strjoin(ns, "/", container);

        return key ? hashmap_get(m->lent, key) : NULL;
}

static int keep(NetworkManager *m, const char *ns, const char *container, int netns) {
        _cleanup_free_ char *name = keep_name(ns, container);
        int fd, r;

        if (!name)
                return -ENOMEM;
        if (get(m, ns, container))
                return 0;
        fd = fd_dup(netns);
        if (fd < 0)
                return fd;
        r = put(m, ns, container, fd);
        if (r < 0)
                return r;
        r = m->keep ? m->keep(name, fd, m->keep_userdata) : 0;
        if (r < 0)
                log_warning_errno(r, "Should moored be killed, devices of the host that container %s has may be lost: %m", container);
        return 0;
}

void network_lent_forget(NetworkManager *m, const char *ns, const char *container) {
        _cleanup_free_ char *key = strjoin(ns, "/", container), *name = keep_name(ns, container);
        Lent *l = key ? hashmap_remove(m->lent, key) : NULL;

        if (l && m->keep && name)
                (void) m->keep(name, -EBADF, m->keep_userdata);
        lent_free(l);
}

int network_manager_adopt_netns(NetworkManager *m, const char *name, int fd) {
        const char *rest = startswith(name, KEEP_PREFIX), *dot = rest ? strchr(rest, '.') : NULL;
        _cleanup_free_ char *number = NULL, *ns = NULL, *container = NULL;
        uint64_t n;
        int r;

        if (!rest)
                return 0;
        number = dot ? strndup(rest, (size_t) (dot - rest)) : NULL;
        if (!number || parse_uint64(number, &n) < 0 || n >= strlen(dot + 1) || dot[1 + n] != '.')
                return 0;
        ns = strndup(dot + 1, n);
        container = strdup(dot + n + 2);
        if (!ns || !container)
                return -ENOMEM;
        r = put(m, ns, container, fd);
        return r < 0 ? r : 1;
}

/* -- there -- */

static char *lent_alias(const NetworkDevice *d) {
        return strjoin(LENT_PREFIX, d->spec->link);
}

static int check(const DevicePlace *p, const LinkInfo *l) {
        if (!startswith(l->alias, ALIAS_PREFIX))
                return 0;
        return error_set(p->reterr_error, -EBUSY, "DeviceInUse", "The device “%s” is moored's own: it cannot be lent.", l->name);
}

/* What it is, for its return. */
static int record_home(const DevicePlace *p, const NetworkDevice *d, const LinkInfo *l) {
        _cleanup_(interface_spec_done) InterfaceSpec spec = {};
        _cleanup_free_ char *text = NULL;
        char ether[ETHER_TEXT_MAX], master[IF_NAMESIZE] = "";
        DeviceRow row;
        int r;

        text = interface_spec_format(d->spec);
        r = text ? interface_spec_parse(text, &spec) : -ENOMEM;
        if (r < 0)
                return r;
        if (l->master > 0 && !if_indextoname((unsigned) l->master, master))
                master[0] = '\0';
        spec.was_up = l->up;
        spec.was_mtu = l->mtu;
        if (free_and_strdup(&spec.was_mac, ether_format(l->ether, ether)) < 0 ||
            free_and_strdup(&spec.was_master, isempty(master) ? NULL : master) < 0 ||
            free_and_strdup(&spec.was_alias, isempty(l->alias) ? NULL : l->alias) < 0)
                return -ENOMEM;
        free(text);
        text = interface_spec_format(&spec);
        if (!text)
                return -ENOMEM;
        row = (DeviceRow) {
                .ns = (char *) p->ns,
                .container = (char *) p->container,
                .name = (char *) d->name,
                .host_device = (char *) d->host_device,
                .spec = text,
        };
        return store_device_put(p->manager->store, &row);
}

int device_lend(const DevicePlace *p, const NetworkDevice *d) {
        _cleanup_free_ char *alias = lent_alias(d);
        LinkInfo l;
        int r;

        if (!alias)
                return -ENOMEM;
        r = netlink_get_link(p->host, d->spec->link, &l);
        if (r < 0)
                return error_set(p->reterr_error, r, "NoSuchDevice",
                                 "This host has no device “%s” to be lent to the container “%s”: “ip link” shows them.", d->spec->link,
                                 p->container);
        r = check(p, &l);
        if (r >= 0)
                r = record_home(p, d, &l);
        if (r >= 0)
                r = keep(p->manager, p->ns, p->container, p->netns);
        if (r >= 0)
                r = netlink_change_link(p->host, l.index,
                                        &(LinkChange) { .name = d->name, .alias = alias, .netns = p->netns });
        if (r == -EINVAL)
                return error_set(p->reterr_error, r, "NotSupported",
                                 "The device “%s” cannot be lent: the kernel lets none of its kind (%s) leave the host.", l.name,
                                 isempty(l.kind) ? "a device of its own" : l.kind);
        return r < 0 && !error_is_set(p->reterr_error)
                               ? error_set_errno(p->reterr_error, r, "The device “%s” cannot be lent to the container “%s”: %m",
                                                 l.name, p->container)
                               : r;
}

/* -- and back -- */

typedef struct Search {
        const char *alias;
        LinkInfo link;
} Search;

static int match(const LinkInfo *l, void *userdata) {
        Search *s = userdata;

        if (!streq(l->alias, s->alias))
                return 0;
        s->link = *l;
        return 1;
}

/* At home again: what it was. What fails is no reason to stop. */
static int become_again(const DevicePlace *p, const NetworkDevice *d, const char *name) {
        LinkChange c = { .netns = -EBADF, .mtu = (uint32_t) d->spec->was_mtu, .up = d->spec->was_up };
        uint8_t ether[ETHER_SIZE];
        LinkInfo l, master;
        int r;

        r = netlink_get_link(p->host, name, &l);
        if (r < 0)
                return r;
        if (d->spec->was_mac && ether_parse(d->spec->was_mac, ether) >= 0 && memcmp(ether, l.ether, ETHER_SIZE) != 0)
                (void) netlink_change_link(p->host, l.index, &(LinkChange) { .ether = ether, .netns = -EBADF });
        if (d->spec->was_master && netlink_get_link(p->host, d->spec->was_master, &master) >= 0)
                (void) netlink_change_link(p->host, l.index, &(LinkChange) { .master = master.index, .netns = -EBADF });
        return netlink_change_link(p->host, l.index, &c);
}

int device_fetch(const DevicePlace *p, const NetworkDevice *d) {
        _cleanup_free_ char *alias = lent_alias(d);
        Search s = { .alias = alias };
        _cleanup_close_ int home = netns_open();
        const char *name = d->spec->link;
        LinkChange c = { .name = name, .alias = strempty(d->spec->was_alias), .netns = home };
        LinkInfo l;
        int r;

        if (!alias || home < 0)
                return home < 0 ? home : -ENOMEM;
        r = netlink_foreach_link(p->inside, match, &s);
        if (r <= 0)
                return r;
        r = netlink_change_link(p->inside, s.link.index, &c);
        if (r == -EEXIST) {
                c.name = NAME_TAKEN;
                r = netlink_change_link(p->inside, s.link.index, &c);
                log_warning("The device “%s” is back from container %s; its name is another's now, so it is called %s and a number.",
                            name, p->container, "lent");
                return r;
        }
        if (r >= 0)
                r = become_again(p, d, name);
        if (r < 0 && netlink_get_link(p->host, name, &l) >= 0) {
                log_warning_errno(r, "The device “%s” is back from container %s, but not as it was, ignoring: %m", name, p->container);
                r = 0;
        }
        return r;
}

static int fetch(const NetworkDevice *d, void *userdata) {
        const DevicePlace *p = userdata;
        int r;

        if (d->spec->type != INTERFACE_DEVICE)
                return 0;
        r = device_fetch(p, d);
        if (r < 0)
                log_error_errno(r, "The device “%s”, which container %s had, cannot be fetched: %m", d->spec->link, p->container);
        return 0;
}

void network_manager_fetch_lent(NetworkManager *m, const char *ns, const char *container) {
        DevicePlace p = { .manager = m, .ns = ns, .container = container };
        const Lent *l = get(m, ns, container);
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        int r;

        if (!l)
                return;
        p.netns = l->netns;
        r = network_manager_netlink(m, &p.host, NULL);
        if (r >= 0)
                r = netlink_new(l->netns, &inside);
        p.inside = inside;
        if (r >= 0)
                r = network_manager_foreach_device(m, ns, container, fetch, &p);
        if (r < 0)
                log_error_errno(r, "Devices of the host that container %s had cannot be fetched: %m", container);
        network_lent_forget(m, ns, container);
}
