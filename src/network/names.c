/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* dnsmasq reads a directory of files as hosts(5) and watches it (inotify): a file that is renamed into it replaces the
 * names that it had before, one that is deleted takes its names along (since 2.88; before, it had to be told by
 * SIGHUP). So what moored has to do for a container's name is one file, and it need not know whether a resolver runs.
 *
 *   names/<device>/dnsmasq.conf
 *   names/<device>/hosts/<first address of a container>@<device of the network that it is on>
 *
 * Files go by address, as dnsmasq never forgets the name of one that it has seen, and addresses come back.
 *
 * A container asks one resolver only, whichever networks it is on. That one has therefore, besides the names of its own
 * network, those of each other network that somebody is on who asks it: with their domain only ("db.back.moored.internal"),
 * so that to the others on its network no bare name means a container that they do not reach. Whoever is on both has
 * both domains in his search list. */

#include "network/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network-private.h"

#define LABEL_MAX 63U
#define NAME_SIZE_MAX 253U
#define NAMES_FILE_SIZE_MAX (1024U * 1024U)
#define HOSTS_DIR "hosts"
#define CONFIG_NAME "dnsmasq.conf"
#define CACHE_SIZE "1000"

/* -- names -- */

/* What goes over the wire: labels of at most 63 bytes, none of them empty. The characters have been looked at. */
static bool is_resolvable(const char *name, const char *domain) {
        size_t n;

        if (strlen(name) + 1 + strlen(domain) > NAME_SIZE_MAX)
                return false;
        for (const char *p = name;; p += n + 1) {
                n = strcspn(p, ".");
                if (n == 0 || n > LABEL_MAX)
                        return false;
                if (!p[n])
                        return true;
        }
}

char *network_names_domain(const Network *n) {
        const char *label = is_resolvable(n->row.name, NETWORK_NAMES_DOMAIN) ? n->row.name : n->row.device;

        return strjoin(label, ".", NETWORK_NAMES_DOMAIN);
}

bool network_has_names(const Network *n) {
        if (n->driver != NETWORK_BRIDGE || n->row.no_dns || !n->row.device)
                return false;
        for (size_t i = 0; i < n->n_subnets; i++)
                if (network_has_gateway(n, i))
                        return true;
        return false;
}

static int print_names(FILE *own, FILE *foreign, const NetworkInterface *i, const char *container, const char *domain) {
        char text[ADDRESS_TEXT_MAX];

        for (size_t k = 0; k < i->n_addresses; k++) {
                const char *address = address_format(&i->addresses[k].address, text);
                const char *const first[] = { container, NULL };
                const char *const *lists[] = { first, (const char *const *) i->aliases };

                for (size_t l = 0; l < ELEMENTSOF(lists); l++)
                        STRV_FOREACH (name, lists[l])
                                if (is_resolvable(name, domain)) {
                                        fprintf(own, "%s\t%s.%s %s\n", address, name, domain, name);
                                        fprintf(foreign, "%s\t%s.%s\n", address, name, domain);
                                }
        }
        return ferror(own) || ferror(foreign) ? -ENOMEM : 0;
}

void user_names_done(UserNames *u) {
        free(u->own);
        free(u->foreign);
        *u = (UserNames) {};
}

static int user_names_build(const NetworkInterface *i, const char *container, Network *n, UserNames *ret) {
        _cleanup_free_ char *domain = network_names_domain(n);
        UserNames u = { .network = n };
        FILE *own, *foreign;
        size_t size;
        int r = -ENOMEM;

        own = open_memstream(&u.own, &size);
        foreign = open_memstream(&u.foreign, &size);
        if (domain && own && foreign)
                r = print_names(own, foreign, i, container, domain);
        if (own && fclose(own) != 0)
                r = -ENOMEM;
        if (foreign && fclose(foreign) != 0)
                r = -ENOMEM;
        if (r < 0) {
                user_names_done(&u);
                return r;
        }
        *ret = u;
        return 0;
}

/* The first that leads out; else the first. */
static Network *better_resolver(Network *now, Network *other) {
        return !now || (now->row.internal && !other->row.internal) ? other : now;
}

int user_names_plan(NetworkUser *u, const NetworkInterface *i, Network *n) {
        UserNames *more;
        int r;

        if (!network_has_names(n))
                return 0;
        more = reallocarray(u->names, u->n_names + 1, sizeof(UserNames));
        if (!more)
                return -ENOMEM;
        u->names = more;
        r = user_names_build(i, u->container, n, more + u->n_names);
        if (r < 0)
                return r;
        u->n_names++;
        u->resolver = better_resolver(u->resolver, n);
        return 0;
}

typedef struct Choice {
        NetworkManager *manager;
        Network *found;
} Choice;

static int choose_resolver(const NetworkInterface *i, void *userdata) {
        Choice *c = userdata;
        Network *n = network_manager_get(c->manager, i->network->row.n);

        if (network_has_names(n))
                c->found = better_resolver(c->found, n);
        return 0;
}

int network_manager_resolver(NetworkManager *m, const char *ns, const char *container, Network **ret) {
        Choice c = { .manager = m };
        int r;

        r = network_manager_foreach_interface(m, ns, container, choose_resolver, &c);
        if (r < 0)
                return r;
        *ret = c.found;
        return 0;
}

/* -- files -- */

static bool is_on(const NetworkUser *u, const Network *n) {
        for (size_t i = 0; i < u->n_names; i++)
                if (u->names[i].network == n)
                        return true;
        return false;
}

/* Does somebody ask this one's resolver who is on that one? */
static bool is_seen(const Network *by, const Network *n) {
        NetworkUser *u;

        if (by == n)
                return true;
        HASHMAP_FOREACH (u, by->manager->users)
                if (u->resolver == by && is_on(u, n))
                        return true;
        return false;
}

/* One that has no name that could be asked for has an empty file. */
static char *file_name(const NetworkUser *u, const UserNames *names) {
        _cleanup_free_ char *address = strndup(names->own, strcspn(names->own, "\t"));

        return address ? strjoin(isempty(address) ? u->container : address, "@", names->network->row.device) : NULL;
}

static int write_names(const Network *n, const NetworkUser *u, const UserNames *names) {
        _cleanup_free_ char *name = file_name(u, names), *before = NULL;
        const char *text = names->network == n ? names->own : names->foreign;

        if (!name)
                return -ENOMEM;
        if (read_file_at(n->names_fd, name, NAMES_FILE_SIZE_MAX, &before, NULL) >= 0 && streq(before, text))
                return 0;
        return write_file_atomic_at(n->names_fd, name, text, strlen(text), 0644, false);
}

static void write_names_logged(const Network *n, const NetworkUser *u, const UserNames *names) {
        int r = write_names(n, u, names);

        if (r < 0)
                log_warning_errno(r, "Container “%s” will not be found by its name on the network “%s”: %m", u->container,
                                  n->row.name);
}

/* Writes the files that belong there, and says which these are. */
static int write_wanted(const Network *n, Hashmap *wanted) {
        NetworkUser *u;
        int r;

        HASHMAP_FOREACH (u, n->manager->users)
                for (size_t i = 0; i < u->n_names; i++) {
                        _cleanup_free_ char *name = NULL;

                        if (!is_seen(n, u->names[i].network))
                                continue;
                        name = file_name(u, u->names + i);
                        r = name ? hashmap_replace(wanted, name, u) : -ENOMEM;
                        if (r < 0)
                                return r;
                        write_names_logged(n, u, u->names + i);
                }
        return 0;
}

/* wanted NULL: none is. */
static int remove_unwanted(int hosts, Hashmap *wanted) {
        _cleanup_close_ int fd = -EBADF;
        struct dirent *de;
        DIR *d;
        int r;

        r = fd = open_beneath_nofollow(hosts, ".", O_RDONLY | O_DIRECTORY, 0);
        if (r < 0)
                return r;
        d = fdopendir(fd);
        if (!d)
                return -errno;
        (void) TAKE_FD(fd);
        while ((de = readdir(d)))
                if (!streq(de->d_name, ".") && !streq(de->d_name, "..") && !hashmap_get(wanted, de->d_name))
                        (void) unlinkat(hosts, de->d_name, 0);
        (void) closedir(d);
        return 0;
}

/* Makes the directory what it should be: after a start of moored, and where one container changes what is seen of others. */
static int fill(const Network *n) {
        _cleanup_(hashmap_freep) Hashmap *wanted = hashmap_new();
        int r;

        if (!wanted)
                return -ENOMEM;
        r = write_wanted(n, wanted);
        return r < 0 ? r : remove_unwanted(n->names_fd, wanted);
}

static void refill(const NetworkUser *u) {
        int r = 0;

        if (u->n_names > 1 && u->resolver->names_fd >= 0)
                r = fill(u->resolver);
        if (r < 0)
                log_warning_errno(r, "Names that container “%s” is to see may be missing: %m", u->container);
}

void user_names_add(NetworkManager *m, const NetworkUser *u) {
        Network *n;

        for (size_t i = 0; i < u->n_names; i++)
                HASHMAP_FOREACH (n, m->networks)
                        if (n->names_fd >= 0 && is_seen(n, u->names[i].network))
                                write_names_logged(n, u, u->names + i);
        refill(u);
}

static void remove_file(NetworkManager *m, const NetworkUser *u, const UserNames *names) {
        _cleanup_free_ char *name = file_name(u, names);
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                if (name && n->names_fd >= 0 && streq(n->row.ns, u->ns))
                        (void) unlinkat(n->names_fd, name, 0);
}

void user_names_remove(NetworkManager *m, const NetworkUser *u) {
        for (size_t i = 0; i < u->n_names; i++)
                remove_file(m, u, u->names + i);
        refill(u);
}

static bool has_file(const NetworkUser *u, const char *file) {
        for (size_t i = 0; i < u->n_names; i++) {
                _cleanup_free_ char *name = file_name(u, u->names + i);

                if (streq_ptr(name, file))
                        return true;
        }
        return false;
}

void user_names_change(NetworkManager *m, const NetworkUser *before, const NetworkUser *u) {
        for (size_t i = 0; i < before->n_names; i++) {
                _cleanup_free_ char *name = file_name(before, before->names + i);

                if (!has_file(u, name))
                        remove_file(m, before, before->names + i);
        }
        user_names_add(m, u);
        /* What only this one had to see there. */
        refill(before);
}

/* -- the resolver's configuration -- */

/* - interface, and neither its addresses nor the loopback device: dnsmasq then looks at which device a question has come
 *   by, so that the other networks, for which the gateway is an address of this host like any other, are not answered.
 * - bind-dynamic: port 53 of these addresses only, also after the bridge was made again.
 * - domain-needed, local, rev-server: what could only be a container's name or address is asked of nobody else. */
static char *config_build(const Network *n, const char *dir, const char *resolv) {
        _cleanup_free_ char *text = NULL, *subnets = strdup(""), *upstream = NULL;
        char prefix[ADDRESS_TEXT_MAX];

        for (size_t i = 0; subnets && i < n->n_subnets; i++) {
                Prefix p = prefix_subnet(n->subnets + i);
                char *more = strjoin(subnets, "rev-server=", prefix_format(&p, prefix), "\n");

                free(subnets);
                subnets = more;
        }
        upstream = n->row.internal ? strdup("no-resolv\nlocal=/#/\n") : strjoin("resolv-file=", resolv, "\n");
        if (!subnets || !upstream)
                return NULL;
        text = strformat("# Of the network \"%s\" of namespace \"%s\"; written by moored at each first use.\n"
                         "interface=%s\nexcept-interface=lo\nbind-dynamic\n"
                         "no-hosts\nhostsdir=%s/" HOSTS_DIR "\n"
                         "domain-needed\nlocal=/" NETWORK_NAMES_DOMAIN "/\n%s%s"
                         "cache-size=" CACHE_SIZE "\nno-ident\npid-file=\n",
                         n->row.name, n->row.ns, n->row.device, dir, subnets, upstream);
        return TAKE_PTR(text);
}

static int open_root(const NetworkManager *m, bool create) {
        _cleanup_close_ int runtime = -EBADF;

        runtime = openat2_full(AT_FDCWD, m->runtime_dir, O_RDONLY | O_DIRECTORY, 0, 0);
        if (runtime < 0)
                return runtime;
        return create ? mkdirat_open(runtime, NETWORK_NAMES_DIR, 0755)
                      : open_beneath_nofollow(runtime, NETWORK_NAMES_DIR, O_RDONLY | O_DIRECTORY, 0);
}

/* 1, or 2: there was another configuration, or none. */
static int open_directory(Network *n, const char *resolv) {
        _cleanup_free_ char *dir = strjoin(n->manager->runtime_dir, "/" NETWORK_NAMES_DIR "/", n->row.device), *text = NULL;
        _cleanup_close_ int root = -EBADF, fd = -EBADF, hosts = -EBADF;
        _cleanup_free_ char *before = NULL;
        bool changed;
        int r;

        text = dir ? config_build(n, dir, resolv) : NULL;
        if (!text)
                return -ENOMEM;
        root = open_root(n->manager, true);
        if (root < 0)
                return root;
        fd = mkdirat_open(root, n->row.device, 0755);
        if (fd < 0)
                return fd;
        hosts = mkdirat_open(fd, HOSTS_DIR, 0755);
        if (hosts < 0)
                return hosts;
        /* The resolver is another user, whatever umask these were made under. */
        if (fchmod(fd, 0755) < 0 || fchmod(hosts, 0755) < 0)
                return -errno;
        changed = read_file_at(fd, CONFIG_NAME, NAMES_FILE_SIZE_MAX, &before, NULL) < 0 || !streq(before, text);
        r = write_file_atomic_at(fd, CONFIG_NAME, text, strlen(text), 0644, false);
        if (r < 0)
                return r;
        n->names_fd = TAKE_FD(hosts);
        n->names_ended = false;
        return changed ? 2 : 1;
}

int network_names_open(Network *n, const char *resolv, Error *reterr_error) {
        int changed, r;

        if (n->names_fd >= 0)
                return 0;
        r = changed = open_directory(n, resolv);
        if (r >= 0)
                r = fill(n);
        if (r < 0) {
                n->names_fd = safe_close(n->names_fd);
                return error_set_errno(reterr_error, r,
                                       "Containers on the network “%s” will not find each other by name: %m", n->row.name);
        }
        return changed;
}

bool network_names_are_open(const Network *n) {
        return n->names_fd >= 0;
}

/* Of another moored's, perhaps. */
static int open_hosts(const Network *n) {
        _cleanup_close_ int root = open_root(n->manager, false);
        _cleanup_free_ char *path = strjoin(n->row.device, "/" HOSTS_DIR);

        if (root < 0 || !path)
                return root < 0 ? root : -ENOMEM;
        return open_beneath_nofollow(root, path, O_RDONLY | O_DIRECTORY, 0);
}

void network_names_close(Network *n) {
        int r = 0;

        /* There are those of containers that ask another network's resolver: when they end, nobody looks here. */
        if (n->names_fd < 0)
                r = n->names_fd = open_hosts(n);
        if (r >= 0)
                r = remove_unwanted(n->names_fd, NULL);
        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "Failed to remove the names of containers on the network “%s”, ignoring: %m", n->row.name);
        n->names_fd = safe_close(n->names_fd);
        n->names_ended = true;
}

bool network_names_are_closed(const Network *n) {
        return n->names_ended;
}

bool network_names_are_used(const Network *n) {
        return n->n_asking > 0;
}

/* -- the host -- */

void names_link_done(NamesLink *l) {
        free(l->domain);
}

int network_names_link(const Network *n, NamesLink *ret) {
        NamesLink l = {};
        Netlink *netlink;
        LinkInfo info;
        int r;

        r = network_manager_netlink(n->manager, &netlink, NULL);
        if (r >= 0)
                r = netlink_get_link(netlink, n->row.device, &info);
        if (r < 0)
                return r;
        if (!info.running)
                return -EAGAIN;
        l.index = info.index;
        l.domain = network_names_domain(n);
        if (!l.domain)
                return -ENOMEM;
        for (size_t i = 0; i < n->n_subnets && l.n_servers < ELEMENTSOF(l.servers); i++)
                if (network_has_gateway(n, i))
                        l.servers[l.n_servers++] = n->subnets[i].address;
        *ret = l;
        return 0;
}

/* -- what is left of others -- */

static Network *find_by_device(NetworkManager *m, const char *device) {
        Network *n;

        HASHMAP_FOREACH (n, m->networks)
                if (network_has_names(n) && streq(n->row.device, device))
                        return n;
        return NULL;
}

int network_manager_foreach_names(NetworkManager *m,
                                  void (*func)(const char *device, Network *network, void *userdata), void *userdata) {
        _cleanup_strv_free_ char **devices = NULL;
        struct dirent *de;
        int r = 0, fd;
        DIR *d;

        fd = open_root(m, false);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        d = fdopendir(fd);
        if (!d) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        while (r >= 0 && (de = readdir(d)))
                if (network_device_name_is_valid(de->d_name))
                        r = strv_extend(&devices, de->d_name);
        (void) closedir(d);
        if (r < 0)
                return r;

        STRV_FOREACH (device, devices)
                func(device, find_by_device(m, device), userdata);
        return 0;
}

int network_manager_drop_names(NetworkManager *m, const char *device) {
        _cleanup_close_ int root = -EBADF;

        root = open_root(m, false);
        if (root < 0)
                return root == -ENOENT ? 0 : root;
        return rm_rf_at(root, device);
}
