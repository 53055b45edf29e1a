/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Devices are moved between two network namespaces of a user namespace of the test's own: no root needed,
 * but a kernel that lets one make them and that has veth; skipped elsewhere. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "runtime/netdev.h"

#define CHECK(condition)                                                                                    \
        do                                                                                                  \
                if (!(condition)) {                                                                         \
                        fprintf(stderr, "%s:%d: %s: %m\n", __FILE__, __LINE__, #condition);                 \
                        _exit(1);                                                                           \
                }                                                                                           \
        while (0)

#define EXIT_SKIP 77

/* ---- making devices ---- */

typedef struct Message {
        struct nlmsghdr header;
        union {
                struct ifinfomsg link;
                struct ifaddrmsg address;
        };
        uint8_t attributes[512];
} Message;

static struct rtattr *put(Message *m, uint16_t type, const void *p, size_t n) {
        struct rtattr *a = (void *) ((uint8_t *) m + NLMSG_ALIGN(m->header.nlmsg_len));

        *a = (struct rtattr){ .rta_len = (uint16_t) RTA_LENGTH(n), .rta_type = type };
        if (n > 0)
                memcpy(RTA_DATA(a), p, n);
        m->header.nlmsg_len = (uint32_t) (NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
        return a;
}

static void nest_end(Message *m, struct rtattr *a) {
        a->rta_len = (uint16_t) ((uint8_t *) m + m->header.nlmsg_len - (uint8_t *) a);
}

static int run(Message *m, uint16_t type) {
        _cleanup_close_ int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        uint8_t buf[4096];
        struct nlmsgerr *e;

        m->header.nlmsg_type = type;
        m->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        if (sock < 0 || send(sock, m, m->header.nlmsg_len, 0) < 0 || recv(sock, buf, sizeof(buf), 0) < 0)
                return -errno;
        e = NLMSG_DATA((struct nlmsghdr *) buf);
        return e->error;
}

/* name, and peer at its other end. */
static int make_veth(const char *name, const char *peer) {
        Message m = { .header.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)) };
        struct rtattr *info, *data, *other;
        struct ifinfomsg link = {};

        put(&m, IFLA_IFNAME, name, strlen(name) + 1);
        info = put(&m, IFLA_LINKINFO, NULL, 0);
        put(&m, IFLA_INFO_KIND, "veth", 4);
        data = put(&m, IFLA_INFO_DATA, NULL, 0);
        other = put(&m, VETH_INFO_PEER, &link, sizeof(link));
        put(&m, IFLA_IFNAME, peer, strlen(peer) + 1);
        nest_end(&m, other);
        nest_end(&m, data);
        nest_end(&m, info);
        return run(&m, RTM_NEWLINK);
}

static void add_address(const char *name, int family, const char *address, const char *broadcast,
                        uint8_t scope) {
        Message m = { .header.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)) };
        uint8_t bytes[sizeof(struct in6_addr)];
        size_t n = family == AF_INET ? 4 : 16;

        m.address = (struct ifaddrmsg){ .ifa_family = (uint8_t) family,
                                        .ifa_prefixlen = family == AF_INET ? 24 : 64,
                                        .ifa_scope = scope,
                                        .ifa_index = if_nametoindex(name) };
        CHECK(inet_pton(family, address, bytes) == 1);
        put(&m, IFA_LOCAL, bytes, n);
        put(&m, IFA_ADDRESS, bytes, n);
        if (broadcast) {
                CHECK(inet_pton(family, broadcast, bytes) == 1);
                put(&m, IFA_BROADCAST, bytes, n);
        }
        CHECK(run(&m, RTM_NEWADDR) == 0);
}

static void set_up(const char *name) {
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq q = {};

        memcpy(q.ifr_name, name, strlen(name));
        CHECK(ioctl(sock, SIOCGIFFLAGS, &q) == 0);
        q.ifr_flags |= IFF_UP;
        CHECK(ioctl(sock, SIOCSIFFLAGS, &q) == 0);
}

/* ---- looking ---- */

static bool is_up(const char *name) {
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq q = {};

        memcpy(q.ifr_name, name, strlen(name));
        return ioctl(sock, SIOCGIFFLAGS, &q) == 0 && (q.ifr_flags & IFF_UP);
}

/* The bytes of an address, wherever they are in what family it is of. */
static bool is_address(const struct sockaddr *a, int family, const char *text) {
        uint8_t wanted[sizeof(struct in6_addr)];
        size_t offset = family == AF_INET ? offsetof(struct sockaddr_in, sin_addr)
                                          : offsetof(struct sockaddr_in6, sin6_addr);

        CHECK(inet_pton(family, text, wanted) == 1);
        return a && a->sa_family == family &&
               memcmp((const uint8_t *) a + offset, wanted, family == AF_INET ? 4 : 16) == 0;
}

static bool has_address(const char *name, int family, const char *address, const char *broadcast) {
        bool found = false;
        struct ifaddrs *all;

        CHECK(getifaddrs(&all) == 0);
        for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
                found = strcmp(i->ifa_name, name) == 0 && is_address(i->ifa_addr, family, address) &&
                        (!broadcast || is_address(i->ifa_broadaddr, family, broadcast));
        freeifaddrs(all);
        return found;
}

/* ---- the tests, each in a child ---- */

/* Two namespaces: this process is in the first, the descriptors are of both. */
static void two_namespaces(int ret[2]) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
                _exit(EXIT_SKIP);
        ret[1] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CHECK(unshare(CLONE_NEWNET) == 0);
        ret[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CHECK(ret[0] >= 0 && ret[1] >= 0);
        if (make_veth("dev0", "peer0") < 0)
                _exit(EXIT_SKIP);
}

static void check_move(void) {
        char dev0[] = "dev0", eth0[] = "eth0", dev1[] = "dev1", template[] = "net%d";
        SpecNetDevice devices[] = { { dev0, eth0 }, { dev1, template } };
        SpecNetDevices s = { devices, 2 };
        bool has_ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(netdev_moves_freep) NetdevMoves *m = NULL;
        int ns[2];

        two_namespaces(ns);
        CHECK(make_veth("dev1", "peer1") == 0);
        add_address("dev0", AF_INET, "10.1.2.3", "10.1.2.99", RT_SCOPE_UNIVERSE);
        add_address("dev0", AF_INET, "10.1.2.4", NULL, RT_SCOPE_UNIVERSE);
        add_address("dev0", AF_INET, "10.1.3.3", NULL, RT_SCOPE_LINK);
        if (has_ipv6)
                add_address("dev0", AF_INET6, "fd00::1", NULL, RT_SCOPE_UNIVERSE);

        CHECK(netdev_move(&s, ns[1], &m, &e) == 0);
        CHECK(if_nametoindex("dev0") == 0 && if_nametoindex("dev1") == 0);
        CHECK(setns(ns[1], CLONE_NEWNET) == 0);
        CHECK(is_up("eth0") && is_up("net0"));
        CHECK(has_address("eth0", AF_INET, "10.1.2.3", "10.1.2.99"));
        CHECK(has_address("eth0", AF_INET, "10.1.2.4", NULL));
        CHECK(!has_ipv6 || has_address("eth0", AF_INET6, "fd00::1", NULL));
        CHECK(!has_address("eth0", AF_INET, "10.1.3.3", NULL));

        /* And back. */
        CHECK(setns(ns[0], CLONE_NEWNET) == 0);
        netdev_undo(m);
        CHECK(has_address("dev0", AF_INET, "10.1.2.3", "10.1.2.99") && !is_up("dev0"));
        CHECK(if_nametoindex("dev1") != 0);
        netdev_undo(m);
        CHECK(setns(ns[1], CLONE_NEWNET) == 0 && if_nametoindex("eth0") == 0 && if_nametoindex("net0") == 0);
}

/* The second cannot be had: the first is back, as it was. */
static void check_undone(void) {
        char dev0[] = "dev0", eth0[] = "eth0", peer0[] = "peer0", lo[] = "lo", nosuch[] = "nosuch";
        SpecNetDevice devices[] = { { dev0, eth0 }, { peer0, lo } };
        SpecNetDevices s = { devices, 2 };
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;
        _cleanup_(netdev_moves_freep) NetdevMoves *m = NULL;
        int ns[2];

        two_namespaces(ns);
        add_address("dev0", AF_INET, "10.1.2.3", "10.1.2.99", RT_SCOPE_UNIVERSE);
        set_up("dev0");
        CHECK(netdev_move(&s, ns[1], &m, &e) == -EEXIST);
        CHECK(strstr(error_message(&e), "\"peer0\" cannot be \"lo\""));
        CHECK(is_up("dev0") && !is_up("peer0") && if_nametoindex("peer0") != 0);
        CHECK(has_address("dev0", AF_INET, "10.1.2.3", "10.1.2.99"));

        devices[1].name = nosuch;
        CHECK(netdev_move(&s, ns[1], &m, &f) == -ENODEV);
        CHECK(strstr(error_message(&f), "no network device \"nosuch\""));
        CHECK(is_up("dev0") && has_address("dev0", AF_INET, "10.1.2.3", "10.1.2.99"));
        CHECK(setns(ns[1], CLONE_NEWNET) == 0 && if_nametoindex("eth0") == 0);
}

/* Names may be swapped: what clashes in the container only is what counts. */
static void check_same_name(void) {
        char dev0[] = "dev0", peer0[] = "peer0";
        SpecNetDevice devices[] = { { dev0, peer0 }, { peer0, dev0 } };
        SpecNetDevices s = { devices, 2 };
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(netdev_moves_freep) NetdevMoves *m = NULL;
        int ns[2];

        two_namespaces(ns);
        add_address("dev0", AF_INET, "10.1.2.3", NULL, RT_SCOPE_UNIVERSE);
        CHECK(netdev_move(&s, ns[1], &m, &e) == 0);
        CHECK(setns(ns[1], CLONE_NEWNET) == 0);
        CHECK(has_address("peer0", AF_INET, "10.1.2.3", NULL) && is_up("dev0"));
}

static void in_child(void (*check)(void)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                check();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == EXIT_SKIP) {
                print_message("the system lets us make no network namespace or device\n");
                skip();
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_move(void **state) {
        in_child(check_move);
}

static void test_undone(void **state) {
        in_child(check_undone);
}

static void test_same_name(void **state) {
        in_child(check_same_name);
}

static void test_nothing(void **state) {
        SpecNetDevices none = {};

        NetdevMoves *m = (NetdevMoves *) -1;

        assert_int_equal(netdev_move_to_process(&none, -1, &m, NULL), 0);
        assert_null(m);
        netdev_undo(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_move),
                cmocka_unit_test(test_undone),
                cmocka_unit_test(test_same_name),
                cmocka_unit_test(test_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
