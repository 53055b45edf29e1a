/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has to be cleared away in a container's namespace before that ends: the namespace is kept here, and in a store of descriptors that
 * outlives this process, until it is done.
 *
 *  - Devices of the host's. The kernel takes those that are made in software away with the namespace that they are in.
 *
 *      namespace kept ─▶ recorded, with what the device was ─▶ named by its alias, moved ─▶ index there recorded ─▶ … ─▶ moved back, as it was ─▶
 *      recorded as at home ─▶ given up
 *
 *    Whoever dies at any of the arrows leaves a record, an alias and an index by which the device is found, whatever it is called there. The
 *    alias is to be believed at home: in there others can give it to devices of their own.
 *  - macvlan and ipvlan. Their MAC, or their addresses, are in use until the kernel has got round to clearing away the namespace, some time after
 *    its end: a container that is started again at once could not have them. */

#include <sys/stat.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/netns.h"
#include "network/network-private.h"

#define TRANSIT_PREFIX "lent" /* of the name that a device has on its way */
#define TRANSIT_RANDOM 5U
#define KEEP_PREFIX "netns."

typedef struct Kept {
        char *ns, *container;
        int netns;
} Kept;

Kept *kept_free(Kept *l) {
        if (!l)
                return NULL;
        safe_close(l->netns);
        free(l->ns);
        free(l->container);
        free(l);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Kept *, kept_free)

void network_manager_set_keep(NetworkManager *m, NetworkKeepFunc func, void *userdata) {
        m->keep = func;
        m->keep_userdata = userdata;
}

/* -- namespaces that are kept -- */

/* Takes netns in any case. */
static int put(NetworkManager *m, const char *ns, const char *container, int netns) {
        _cleanup_free_ char *key = strjoin(ns, "/", container);
        _cleanup_(kept_freep) Kept *l = calloc(1, sizeof(Kept));
        int r;

        if (!l)
                safe_close(netns);
        else
                *l = (Kept) { .ns = strdup(ns), .container = strdup(container), .netns = netns };
        if (!key || !l || !l->ns || !l->container)
                return -ENOMEM;
        kept_free(hashmap_remove(m->kept, key));
        r = hashmap_put(m->kept, key, l);
        if (r < 0)
                return r;
        TAKE_PTR(l);
        return 0;
}

static char *keep_name(const char *ns, const char *container) {
        return strformat(KEEP_PREFIX "%zu.%s.%s", strlen(ns), ns, container);
}

static Kept *get(const NetworkManager *m, const char *ns, const char *container) {
        _cleanup_free_ char *key = strjoin(ns, "/", container);

        return key ? hashmap_get(m->kept, key) : NULL;
}

static bool is_same(int a, int b) {
        struct stat x, y;

        return fstat(a, &x) >= 0 && fstat(b, &y) >= 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int network_manager_keep_netns(NetworkManager *m, const char *ns, const char *container, int netns) {
        _cleanup_free_ char *name = keep_name(ns, container);
        const Kept *l;
        int fd, r;

        if (!name)
                return -ENOMEM;
        l = get(m, ns, container);
        if (l)
                /* Of an earlier run, from which not all could be fetched: that is its last reference. */
                return is_same(l->netns, netns) ? 0 : -EBUSY;
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

static bool is_sub_link(const NetworkDevice *d) {
        return d->spec->type == INTERFACE_MACVLAN || d->spec->type == INTERFACE_IPVLAN;
}

static int count(const NetworkDevice *d, void *userdata) {
        *(unsigned *) userdata += d->spec->type == INTERFACE_DEVICE || is_sub_link(d);
        return 0;
}

static int count_interface(const NetworkInterface *i, void *userdata) {
        *(unsigned *) userdata += i->network->driver != NETWORK_BRIDGE;
        return 0;
}

unsigned network_kept_count(NetworkManager *m, const char *ns, const char *container) {
        unsigned n = 0;

        /* In doubt there are some. */
        return network_manager_foreach_device(m, ns, container, count, &n) < 0 ||
                               network_manager_foreach_interface(m, ns, container, count_interface, &n) < 0
                       ? 1
                       : n;
}

bool network_manager_misses_netns(NetworkManager *m, const char *ns, const char *container) {
        return !get(m, ns, container) && network_kept_count(m, ns, container) > 0;
}

void network_kept_forget(NetworkManager *m, const char *ns, const char *container) {
        _cleanup_free_ char *key = strjoin(ns, "/", container), *name = keep_name(ns, container);
        Kept *l = key ? hashmap_remove(m->kept, key) : NULL;

        if (l && m->keep && name)
                (void) m->keep(name, -EBADF, m->keep_userdata);
        kept_free(l);
}

bool network_netns_is_kept(const char *name) {
        return startswith(name, KEEP_PREFIX);
}

/* Takes fd whatever becomes of it, unless 0 is returned. */
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
        if (!ns || !container) {
                safe_close(fd);
                return -ENOMEM;
        }
        r = put(m, ns, container, fd);
        return r < 0 ? r : 1;
}

/* -- there -- */

static char *lent_alias(const NetworkDevice *d) {
        return strjoin(LENT_PREFIX, d->spec->link);
}

/* One with that alias already is on its way: somebody died. */
static int check(const DevicePlace *p, const LinkInfo *l, const char *alias) {
        /* Ends of networks have no alias. */
        bool end = streq(l->kind, "veth") && startswith(l->name, HOST_DEVICE_PREFIX);

        if ((!end && !startswith(l->alias, ALIAS_PREFIX)) || streq(l->alias, alias))
                return 0;
        return error_set(p->reterr_error, -EBUSY, "DeviceInUse", "The device “%s” is moored's own: it cannot be lent.", l->name);
}

static int copy_spec(const NetworkDevice *d, InterfaceSpec *ret) {
        _cleanup_free_ char *text = interface_spec_format(d->spec);

        return text ? interface_spec_parse(text, ret) : -ENOMEM;
}

static int record(const DevicePlace *p, const NetworkDevice *d, const InterfaceSpec *spec) {
        _cleanup_free_ char *text = interface_spec_format(spec);
        const DeviceRow row = {
                .ns = (char *) p->ns,
                .container = (char *) p->container,
                .name = (char *) d->name,
                .host_device = (char *) d->host_device,
                .spec = text,
        };

        return text ? store_device_put(p->manager->store, &row) : -ENOMEM;
}

/* What it is, for its return. */
static int record_home(const DevicePlace *p, const NetworkDevice *d, const LinkInfo *l, const char *alias, InterfaceSpec *spec) {
        char ether[ETHER_TEXT_MAX], master[IF_NAMESIZE] = "";

        spec->lent_index = 0;
        /* Somebody died on the way: that is known already. */
        if (streq(l->alias, alias) && spec->was_mac)
                return record(p, d, spec);
        if (l->master > 0 && !if_indextoname((unsigned) l->master, master))
                master[0] = '\0';
        spec->was_up = l->up;
        spec->was_mtu = l->mtu;
        if (free_and_strdup(&spec->was_kind, l->kind) < 0 ||
            free_and_strdup(&spec->was_mac, ether_format(l->ether, ether)) < 0 ||
            free_and_strdup(&spec->was_master, isempty(master) ? NULL : master) < 0 ||
            free_and_strdup(&spec->was_alias, isempty(l->alias) || streq(l->alias, alias) ? NULL : l->alias) < 0)
                return -ENOMEM;
        return record(p, d, spec);
}

/* It is at home: nothing in the container is it. */
static void record_back(const DevicePlace *p, const NetworkDevice *d) {
        _cleanup_(interface_spec_done) InterfaceSpec spec = {};
        int r;

        r = copy_spec(d, &spec);
        if (r >= 0) {
                spec.lent_index = 0;
                (void) free_and_strdup(&spec.was_mac, NULL);
                r = record(p, d, &spec);
        }
        if (r < 0)
                log_warning_errno(r, "That the device “%s” is back from container %s cannot be recorded, ignoring: %m", d->spec->link,
                                  p->container);
}

static int move_there(const DevicePlace *p, const NetworkDevice *d, const LinkInfo *l, const char *alias, InterfaceSpec *spec) {
        LinkInfo there;
        int r;

        r = netlink_change_link(p->host, l->index, &(LinkChange) { .alias = alias, .netns = -EBADF });
        if (r >= 0)
                r = netlink_change_link(p->host, l->index, &(LinkChange) { .name = d->name, .netns = p->netns });
        if (r < 0) {
                if (!streq(l->alias, alias) &&
                    netlink_change_link(p->host, l->index, &(LinkChange) { .alias = l->alias, .netns = -EBADF }) >= 0)
                        record_back(p, d);
                return r;
        }
        r = netlink_get_link(p->inside, d->name, &there);
        if (r >= 0 && (!streq(there.alias, alias) || !streq(there.kind, l->kind)))
                r = -ENODEV;
        if (r < 0)
                return r;
        spec->lent_index = (uint64_t) there.index;
        return record(p, d, spec);
}

int device_lend(const DevicePlace *p, const NetworkDevice *d) {
        _cleanup_(interface_spec_done) InterfaceSpec spec = {};
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
        r = check(p, &l, alias);
        if (r >= 0)
                r = network_manager_keep_netns(p->manager, p->ns, p->container, p->netns);
        if (r >= 0)
                r = copy_spec(d, &spec);
        if (r >= 0)
                r = record_home(p, d, &l, alias, &spec);
        if (r >= 0)
                r = move_there(p, d, &l, alias, &spec);
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
        uint64_t index; /* 0: by alias */
        const char *kind; /* or NULL */
        LinkInfo link;
} Search;

static int match(const LinkInfo *l, void *userdata) {
        Search *s = userdata;

        if (s->index > 0 ? (uint64_t) l->index != s->index : !streq(l->alias, s->alias))
                return 0;
        if (s->kind && !streq(l->kind, s->kind))
                return 0;
        s->link = *l;
        return 1;
}

/* At home again: what it was. What fails is no reason to stop. Its name comes when all but the last is done: somebody may wait
 * for a device of that name. */
static int become_again(const DevicePlace *p, const NetworkDevice *d, const LinkInfo *l) {
        const LinkChange last = { .netns = -EBADF, .up = d->spec->was_up, .alias = strempty(d->spec->was_alias) };
        uint8_t ether[ETHER_SIZE];
        LinkInfo master;
        int r, k;

        if (d->spec->was_mac && ether_parse(d->spec->was_mac, ether) >= 0 && memcmp(ether, l->ether, ETHER_SIZE) != 0)
                (void) netlink_change_link(p->host, l->index, &(LinkChange) { .ether = ether, .netns = -EBADF });
        if (d->spec->was_master && netlink_get_link(p->host, d->spec->was_master, &master) >= 0)
                (void) netlink_change_link(p->host, l->index, &(LinkChange) { .master = master.index, .netns = -EBADF });
        r = netlink_change_link(p->host, l->index, &(LinkChange) { .mtu = (uint32_t) d->spec->was_mtu, .netns = -EBADF });
        k = netlink_change_link(p->host, l->index, &(LinkChange) { .name = d->spec->link, .netns = -EBADF });
        if (k == -EEXIST)
                log_warning("The device “%s” is back from container %s; its name is another's now, so it is called %s.", d->spec->link,
                            p->container, l->name);
        k = netlink_change_link(p->host, l->index, &last);
        return r < 0 ? r : k;
}

/* Under a name that nobody has: the one that it has there may be in use at home. */
static int move_back(const DevicePlace *p, const Search *s, char **ret_name) {
        _cleanup_free_ char *random = random_hex(TRANSIT_RANDOM), *name = random ? strjoin(TRANSIT_PREFIX, random) : NULL;
        _cleanup_close_ int home = netns_open();
        int r;

        if (!name || home < 0)
                return home < 0 ? home : -ENOMEM;
        r = netlink_change_link(p->inside, s->link.index, &(LinkChange) { .down = true, .netns = -EBADF });
        if (r >= 0)
                r = netlink_change_link(p->inside, s->link.index, &(LinkChange) { .name = name, .netns = -EBADF });
        if (r >= 0)
                r = netlink_change_link(p->inside, s->link.index, &(LinkChange) { .netns = home });
        if (r >= 0)
                *ret_name = TAKE_PTR(name);
        return r;
}

int device_fetch(const DevicePlace *p, const NetworkDevice *d) {
        _cleanup_free_ char *alias = lent_alias(d), *name = NULL;
        Search s = { .alias = alias };
        int r;

        if (!alias)
                return -ENOMEM;
        if (!d->spec->was_mac)
                return 0; /* it has not left */
        /* Somebody may have died on the way. What has the alias at home is it: nobody in there can give it to that. */
        r = netlink_foreach_link(p->host, match, &s);
        if (r == 0) {
                /* Without an index somebody died between its move and the record of that. */
                s.index = d->spec->lent_index;
                s.kind = d->spec->was_kind;
                r = netlink_foreach_link(p->inside, match, &s);
                if (r == 0)
                        return 0;
                if (r > 0)
                        r = move_back(p, &s, &name);
                if (r >= 0)
                        r = netlink_get_link(p->host, name, &s.link);
        }
        if (r < 0)
                return r;
        r = become_again(p, d, &s.link);
        if (r < 0)
                log_warning_errno(r, "The device “%s” is back from container %s, but not as it was, ignoring: %m", d->spec->link,
                                  p->container);
        record_back(p, d);
        return 0;
}

typedef struct Fetch {
        DevicePlace place;
        int error; /* the first */
} Fetch;

static int fetch(const NetworkDevice *d, void *userdata) {
        Fetch *f = userdata;
        int r;

        if (is_sub_link(d))
                (void) device_set_down(&f->place, d);
        if (d->spec->type != INTERFACE_DEVICE)
                return 0;
        r = device_fetch(&f->place, d);
        if (r < 0) {
                log_error_errno(r, "The device “%s”, which container %s had, cannot be fetched: %m", d->spec->link, f->place.container);
                f->error = f->error ?: r;
        }
        return 0;
}

static int clear_interface(const NetworkInterface *i, void *userdata) {
        const DevicePlace *p = userdata;

        if (i->network->driver != NETWORK_BRIDGE)
                (void) network_interface_set_down(p->manager, i, p->netns);
        return 0;
}

void network_manager_clear_kept(NetworkManager *m, const char *ns, const char *container) {
        Fetch f = { .place = { .manager = m, .ns = ns, .container = container } };
        const Kept *l = get(m, ns, container);
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        int r;

        if (!l)
                return;
        f.place.netns = l->netns;
        r = network_manager_netlink(m, &f.place.host, NULL);
        if (r >= 0)
                r = netlink_new(l->netns, &inside);
        f.place.inside = inside;
        if (r >= 0)
                r = network_manager_foreach_device(m, ns, container, fetch, &f);
        if (r >= 0)
                r = network_manager_foreach_interface(m, ns, container, clear_interface, &f.place);
        r = r < 0 ? r : f.error;
        if (r < 0)
                /* The next start, or the next moored, tries again. */
                log_error_errno(r, "Devices of the host that container %s had cannot be fetched, its namespace is kept: %m", container);
        else
                network_kept_forget(m, ns, container);
}

void network_kept_recovered(NetworkManager *m) {
        _cleanup_strv_free_ char **keys = NULL;
        HashmapIterator it = 0;
        const char *key;

        while (hashmap_iterate(m->kept, &it, &key, NULL))
                if (!hashmap_get(m->users, key) && strv_extend(&keys, key) < 0)
                        return;
        STRV_FOREACH (k, keys) {
                _cleanup_free_ char *ns = strndup(k, strcspn(k, "/"));

                if (ns)
                        network_manager_clear_kept(m, ns, strchr(k, '/') + 1);
        }
}
