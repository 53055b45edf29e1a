/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A move in steps that can each be undone, as a virtual device that is left in a namespace dies with it:
 *
 *   1. the addresses are read: the kernel drops them when the device leaves;
 *   2. the device moves, under a name that nobody else has: no name can clash yet;
 *   3. it gets its new name, which may clash, or be a template for the kernel to fill in;
 *   4. the addresses, then the device is set up.
 *
 * What fails from 3 on moves it back under its old name, with its addresses, and up if it was up.
 *
 * Names, flags and indices go by ioctl(), which is a few lines; moving and addresses take rtnetlink. A
 * library for that (libnl) would run constructors of its own in every start. */

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/netdev.h"

#define ADDRESSES_MAX 1024U /* of one device */
#define REPLY_MAX 32768U    /* bytes in one datagram of the kernel's */
#define ATTRIBUTES_MAX 256U /* bytes in one request */

typedef struct Request {
        struct nlmsghdr header;
        union {
                struct ifinfomsg link;
                struct ifaddrmsg address;
        };
        uint8_t attributes[ATTRIBUTES_MAX];
} Request;

/* A device where it was, and what it had there. */
typedef struct Device {
        const SpecNetDevice *spec;
        short flags;
        Request *addresses; /* RTM_NEWADDR, but for the index */
        size_t n_addresses;
        int index; /* where it is now */
        bool moved;
} Device;

/* One side of the move. */
typedef struct Side {
        int netns_fd;
        int sock; /* of that namespace, NETLINK_ROUTE */
} Side;

/* ---- rtnetlink ---- */

static void request_init(Request *q, uint16_t type, uint16_t flags, size_t size) {
        *q = (Request) {
                .header = {
                        .nlmsg_len = (uint32_t) NLMSG_LENGTH(size),
                        .nlmsg_type = type,
                        .nlmsg_flags = NLM_F_REQUEST | flags,
                },
        };
}

static int request_put(Request *q, uint16_t type, const void *p, size_t n) {
        size_t at = NLMSG_ALIGN(q->header.nlmsg_len);
        struct rtattr a = { .rta_len = (uint16_t) RTA_LENGTH(n), .rta_type = type };

        if (n > ATTRIBUTES_MAX || at + RTA_SPACE(n) > sizeof(Request))
                return -EMSGSIZE;
        memcpy((uint8_t *) q + at, &a, sizeof(a));
        memcpy((uint8_t *) q + at + RTA_LENGTH(0), p, n);
        q->header.nlmsg_len = (uint32_t) (at + RTA_LENGTH(n));
        return 0;
}

/* One datagram; only the kernel's counts. */
static ssize_t receive(int sock, void *buf, size_t size) {
        struct sockaddr_nl from;
        socklen_t from_size;
        ssize_t n;

        do {
                from_size = sizeof(from);
                n = TEMP_FAILURE_RETRY(
                                recvfrom(sock, buf, size, MSG_TRUNC, (struct sockaddr *) &from, &from_size));
                if (n < 0)
                        return -errno;
                if ((size_t) n > size)
                        return -EMSGSIZE;
        } while (from.nl_pid != 0);
        return n;
}

/* 1: the end; 0: an answer that is to be looked at. */
static int check_message(const struct nlmsghdr *h) {
        const struct nlmsgerr *e;

        if (h->nlmsg_type == NLMSG_DONE)
                return 1;
        if (h->nlmsg_type != NLMSG_ERROR)
                return 0;
        if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
                return -EBADMSG;
        e = NLMSG_DATA(h);
        return e->error < 0 ? e->error : 1;
}

/* A message in a datagram begins with its length, of four bytes; an attribute in a message, of two. NULL:
 * there is no whole one any more. (The macros of the kernel's headers for it make clang complain of
 * alignment.) */
static const void *part_at(const void *buf, size_t size, size_t at, size_t header_size) {
        const void *p = (const uint8_t *) buf + at;
        size_t l;

        if (at > size || size - at < header_size)
                return NULL;
        l = header_size == sizeof(struct rtattr) ? ((const struct rtattr *) p)->rta_len
                                                 : ((const struct nlmsghdr *) p)->nlmsg_len;
        return l >= header_size && l <= size - at ? p : NULL;
}

typedef int (*AnswerFunc)(const struct nlmsghdr *h, void *userdata);

/* Sends q and reads until its end: an acknowledgement, or that of a dump, of which each part is handed over.
 */
static int request_run(int sock, Request *q, AnswerFunc answer, void *userdata) {
        _cleanup_free_ uint8_t *buf = NULL;
        static uint32_t sequence;

        buf = malloc(REPLY_MAX);
        if (!buf)
                return -ENOMEM;
        q->header.nlmsg_seq = ++sequence;
        if (TEMP_FAILURE_RETRY(send(sock, q, q->header.nlmsg_len, 0)) < 0)
                return -errno;

        for (;;) {
                ssize_t n = receive(sock, buf, REPLY_MAX);
                const struct nlmsghdr *h;

                if (n < 0)
                        return (int) n;
                for (size_t at = 0; (h = part_at(buf, (size_t) n, at, sizeof(*h)));
                     at += NLMSG_ALIGN(h->nlmsg_len)) {
                        int r = h->nlmsg_seq == q->header.nlmsg_seq ? check_message(h) : 0;

                        if (r != 0)
                                return MIN(r, 0);
                        if (answer && h->nlmsg_seq == q->header.nlmsg_seq && (r = answer(h, userdata)) < 0)
                                return r;
                }
        }
}

/* ---- names and flags ---- */

static int device_index(int sock, const char *name) {
        struct ifreq q = {};

        memcpy(q.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
        return ioctl(sock, SIOCGIFINDEX, &q) < 0 ? -errno : q.ifr_ifindex;
}

static int device_flags(int sock, const char *name, short *ret) {
        struct ifreq q = {};

        memcpy(q.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
        if (ioctl(sock, SIOCGIFFLAGS, &q) < 0)
                return -errno;
        *ret = q.ifr_flags;
        return 0;
}

static int device_up(int sock, int index) {
        struct ifreq q = { .ifr_ifindex = index };

        if (ioctl(sock, SIOCGIFNAME, &q) < 0 || ioctl(sock, SIOCGIFFLAGS, &q) < 0)
                return -errno;
        q.ifr_flags |= IFF_UP;
        return RET_NERRNO(ioctl(sock, SIOCSIFFLAGS, &q));
}

static int device_rename(int sock, const char *name, const char *new_name) {
        struct ifreq q = {};

        memcpy(q.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
        memcpy(q.ifr_newname, new_name, strnlen(new_name, IFNAMSIZ - 1));
        return RET_NERRNO(ioctl(sock, SIOCSIFNAME, &q));
}

/* ---- addresses ---- */

/* What makes an address, but for its label, which has the device's old name in it, and its lifetime, which
 * is for ever. */
static bool address_attribute_is_kept(uint16_t type) {
        return type == IFA_LOCAL || type == IFA_ADDRESS || type == IFA_BROADCAST || type == IFA_FLAGS ||
               type == IFA_RT_PRIORITY || type == IFA_PROTO;
}

static int collect_address(const struct nlmsghdr *h, void *userdata) {
        const struct ifaddrmsg *a = NLMSG_DATA(h);
        const struct rtattr *t;
        Device *d = userdata;
        Request *all, *q;
        int r;

        if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifaddrmsg)) ||
            (int) a->ifa_index != d->index || !(a->ifa_flags & IFA_F_PERMANENT) ||
            a->ifa_scope != RT_SCOPE_UNIVERSE)
                return 0;
        if (d->n_addresses >= ADDRESSES_MAX)
                return -E2BIG;

        all = reallocarray(d->addresses, d->n_addresses + 1, sizeof(Request));
        if (!all)
                return -ENOMEM;
        d->addresses = all;
        q = &all[d->n_addresses];
        request_init(q, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(struct ifaddrmsg));
        q->address = *a;

        for (size_t at = NLMSG_SPACE(sizeof(struct ifaddrmsg));
             (t = part_at(h, h->nlmsg_len, at, sizeof(*t))); at += RTA_ALIGN(t->rta_len)) {
                if (!address_attribute_is_kept(t->rta_type))
                        continue;
                r = request_put(q, t->rta_type, RTA_DATA(t), RTA_PAYLOAD(t));
                if (r < 0)
                        return r;
        }
        d->n_addresses++;
        return 0;
}

static int read_addresses(int sock, Device *d) {
        Request q;

        request_init(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
        return request_run(sock, &q, collect_address, d);
}

static int set_addresses(int sock, Device *d) {
        for (size_t i = 0; i < d->n_addresses; i++) {
                int r;

                d->addresses[i].address.ifa_index = (uint32_t) d->index;
                r = request_run(sock, &d->addresses[i], NULL, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- one device ---- */

/* The device with this index goes from one side to the other and is called name there. */
static int transfer(const Side *from, const Side *to, int index, const char *name) {
        Request q;
        int r;

        request_init(&q, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
        q.link.ifi_index = index;
        r = request_put(&q, IFLA_NET_NS_FD, &to->netns_fd, sizeof(int));
        if (r < 0)
                return r;
        r = request_put(&q, IFLA_IFNAME, name, strlen(name) + 1);
        if (r < 0)
                return r;
        return request_run(from->sock, &q, NULL, NULL);
}

static void move_back(const Side *host, const Side *container, Device *d) {
        if (!d->moved || transfer(container, host, d->index, d->spec->name) < 0)
                return;
        d->moved = false;
        d->index = device_index(host->sock, d->spec->name);
        if (d->index > 0 && set_addresses(host->sock, d) >= 0 && (d->flags & IFF_UP))
                (void) device_up(host->sock, d->index);
}

static int read_device(const Side *host, Device *d, Error *reterr_error) {
        int r;

        d->index = device_index(host->sock, d->spec->name);
        if (d->index < 0)
                return error_set(reterr_error, d->index, "NoSuchDevice",
                                 "linux.netDevices: there is no network device \"%s\": %m", d->spec->name);
        r = device_flags(host->sock, d->spec->name, &d->flags);
        if (r >= 0)
                r = read_addresses(host->sock, d);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "linux.netDevices: cannot read the addresses of \"%s\": %m",
                                       d->spec->name);
        return 0;
}

static int move_device(const Side *host, const Side *container, Device *d, Error *reterr_error) {
        _cleanup_free_ char *random = random_hex(6);
        char name[IFNAMSIZ];
        int r;

        if (!random)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        snprintf(name, sizeof(name), "mv%s", random);

        r = transfer(host, container, d->index, name);
        if (r == -EPERM)
                return error_set(reterr_error, r, "NotPermitted",
                                 "linux.netDevices: moving \"%s\" takes CAP_NET_ADMIN in both network "
                                 "namespaces.",
                                 d->spec->name);
        if (r >= 0)
                r = device_index(container->sock, name);
        if (r < 0)
                return error_set_errno(reterr_error, r, "linux.netDevices: cannot move \"%s\": %m",
                                       d->spec->name);
        d->index = r;
        d->moved = true;

        r = device_rename(container->sock, name, d->spec->new_name);
        if (r < 0)
                return error_set(reterr_error, r, r == -EEXIST ? "AlreadyExists" : "Failed",
                                 "linux.netDevices: \"%s\" cannot be \"%s\" in the container: %m",
                                 d->spec->name, d->spec->new_name);
        r = set_addresses(container->sock, d);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "linux.netDevices: cannot give \"%s\" its addresses again: %m",
                                       d->spec->name);
        r = device_up(container->sock, d->index);
        if (r < 0)
                return error_set_errno(reterr_error, r, "linux.netDevices: cannot set \"%s\" up: %m",
                                       d->spec->new_name);
        return 0;
}

/* ---- all of them ---- */

struct NetdevMoves {
        Side host, container;
        Device *devices;
        size_t n;
};

static void side_done(Side *s) {
        safe_close(s->netns_fd);
        safe_close(s->sock);
}

NetdevMoves *netdev_moves_free(NetdevMoves *m) {
        if (!m)
                return NULL;

        side_done(&m->host);
        side_done(&m->container);
        for (size_t i = 0; i < m->n; i++)
                free(m->devices[i].addresses);
        free(m->devices);
        free(m);
        return NULL;
}

static int netdev_moves_new(size_t n, int netns_fd, NetdevMoves **ret, Error *reterr_error) {
        _cleanup_(netdev_moves_freep) NetdevMoves *m = calloc(1, sizeof(NetdevMoves));

        if (!m)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        m->host.sock = m->container.sock = -EBADF;
        m->host.netns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        m->container.netns_fd = fd_dup(netns_fd);
        m->devices = calloc(n, sizeof(Device));
        if (!m->devices)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (m->host.netns_fd < 0 || m->container.netns_fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the network namespaces: %m");

        *ret = TAKE_PTR(m);
        return 0;
}

/* A socket belongs to the namespace that it was made in. */
static int open_sockets(Side *host, Side *container, Error *reterr_error) {
        int r = 0;

        host->sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (host->sock < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a netlink socket: %m");
        if (setns(container->netns_fd, CLONE_NEWNET) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot join the container's network namespace: %m");
        container->sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (container->sock < 0)
                r = -errno;
        if (setns(host->netns_fd, CLONE_NEWNET) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot return to the network namespace: %m");
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot make a netlink socket: %m");
        return 0;
}

/* In the opposite order: names that were swapped are free again. */
void netdev_undo(NetdevMoves *m) {
        for (size_t i = m ? m->n : 0; i > 0; i--)
                move_back(&m->host, &m->container, &m->devices[i - 1]);
}

int netdev_move(const SpecNetDevices *s, int netns_fd, NetdevMoves **ret, Error *reterr_error) {
        _cleanup_(netdev_moves_freep) NetdevMoves *m = NULL;
        int r;

        r = netdev_moves_new(s->n, netns_fd, &m, reterr_error);
        if (r < 0)
                return r;
        r = open_sockets(&m->host, &m->container, reterr_error);
        if (r < 0)
                return r;

        for (; m->n < s->n && r >= 0; m->n++) {
                Device *d = &m->devices[m->n];

                d->spec = &s->devices[m->n];
                r = read_device(&m->host, d, reterr_error);
                if (r >= 0)
                        r = move_device(&m->host, &m->container, d, reterr_error);
        }
        if (r < 0) {
                netdev_undo(m);
                return r;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

int netdev_move_to_process(const SpecNetDevices *s, pid_t pid, NetdevMoves **ret, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        char path[64];

        *ret = NULL;
        if (s->n == 0)
                return 0;
        snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot open the container's network namespace: %m");
        return netdev_move(s, fd, ret, reterr_error);
}
