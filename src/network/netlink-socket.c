/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "network/netlink-socket.h"

/* The kernel fills datagrams of a dump up to what the reader has offered, at most this (netlink_recvmsg()).
 */
#define DATAGRAM_MAX 32768U
#define SENTENCE_MAX 255U

struct NetlinkSocket {
        struct nl_sock *socket;
        char message[SENTENCE_MAX + 1];
        uint8_t buffer[DATAGRAM_MAX] __attribute__((__aligned__(NLMSG_ALIGNTO)));
};

/* What one call is waiting for. */
typedef struct Answer {
        bool done;  /* acknowledged, or the end of a dump */
        int error;  /* the first that the kernel told */
        int result; /* the first that func returned */
        bool interrupted;
        int (*func)(struct nlmsghdr *h, void *userdata);
        void *userdata;
} Answer;

NetlinkSocket *netlink_socket_free(NetlinkSocket *s) {
        if (!s)
                return NULL;
        nl_socket_free(s->socket);
        free(s);
        return NULL;
}

int netlink_socket_new(int protocol, NetlinkSocket **ret) {
        _cleanup_(netlink_socket_freep) NetlinkSocket *s = NULL;
        int fd, one = 1;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->socket = nl_socket_alloc();
        if (!s->socket)
                return -ENOMEM;
        fd = RET_NERRNO(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
        if (fd < 0)
                return fd;
        if (nl_socket_set_fd(s->socket, protocol, fd) < 0) {
                close(fd);
                return -EIO;
        }
        /* Sentences of the kernel, without the request that they are about; both since Linux 4.12. */
        (void) setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
        (void) setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
        *ret = TAKE_PTR(s);
        return 0;
}

const char *netlink_socket_get_message(const NetlinkSocket *s) {
        return s->message;
}

/* The sentence follows the code. */
static void take_sentence(NetlinkSocket *s, struct nlmsghdr *h) {
        struct nlattr *a;

        if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
                return;
        a = nlmsg_find_attr(h, sizeof(struct nlmsgerr), NLMSGERR_ATTR_MSG);
        if (a)
                (void) nla_strlcpy(s->message, a, sizeof(s->message));
}

static void take_acknowledgement(NetlinkSocket *s, Answer *w, struct nlmsghdr *h) {
        const int *code = nlmsg_data(h);

        if (nlmsg_datalen(h) >= (int) sizeof(*code) && *code < 0 && w->error == 0) {
                w->error = *code;
                if (h->nlmsg_type == NLMSG_ERROR)
                        take_sentence(s, h);
        }
        w->done = true;
}

static void take_message(NetlinkSocket *s, Answer *w, struct nlmsghdr *h) {
        w->interrupted |= h->nlmsg_flags & NLM_F_DUMP_INTR;
        if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE)
                take_acknowledgement(s, w, h);
        else if (h->nlmsg_type >= NLMSG_MIN_TYPE && w->func && w->result == 0)
                w->result = w->func(h, w->userdata);
}

/* -EAGAIN: there is nothing (any more). */
static int receive_datagram(NetlinkSocket *s, Answer *w) {
        ssize_t k;
        int n;

        do
                k = recv(nl_socket_get_fd(s->socket), s->buffer, sizeof(s->buffer), MSG_TRUNC);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        if ((size_t) k > sizeof(s->buffer))
                return -EMSGSIZE;
        n = (int) k;
        for (struct nlmsghdr *h = (void *) s->buffer; nlmsg_ok(h, n); h = nlmsg_next(h, &n))
                take_message(s, w, h);
        return 0;
}

static int answer_result(const Answer *w) {
        return w->error ?: w->result ?: w->interrupted ? -EAGAIN : 0;
}

static int receive(NetlinkSocket *s, Answer *w) {
        int r;

        while (!w->done) {
                r = receive_datagram(s, w);
                if (r < 0)
                        return r == -EAGAIN ? -EIO : r;
        }
        return answer_result(w);
}

/* Answers of a call that went wrong must not be taken for the next one's. */
static void drain(NetlinkSocket *s) {
        s->message[0] = 0;
        while (recv(nl_socket_get_fd(s->socket), s->buffer, sizeof(s->buffer), 0) >= 0)
                ;
}

static int exchange(NetlinkSocket *s, const void *p, size_t size, Answer *w) {
        drain(s);
        if (send(nl_socket_get_fd(s->socket), p, size, 0) < 0)
                return -errno;
        return receive(s, w);
}

int netlink_socket_call(NetlinkSocket *s, struct nl_msg *m, int (*func)(struct nlmsghdr *h, void *userdata),
                        void *userdata) {
        Answer w = { .func = func, .userdata = userdata };
        struct nlmsghdr *h;

        nl_complete_msg(s->socket, m); /* sequence number, NLM_F_REQUEST, NLM_F_ACK */
        h = nlmsg_hdr(m);
        return exchange(s, h, h->nlmsg_len, &w);
}

struct nl_msg *netfilter_message_new(int subsystem, int type, int flags, int family) {
        struct nfgenmsg m = { .nfgen_family = (uint8_t) family, .version = NFNETLINK_V0 };
        struct nl_msg *q = nlmsg_alloc_simple((subsystem << 8) | type, flags);

        if (q && nlmsg_append(q, &m, sizeof(m), NLMSG_ALIGNTO) < 0)
                q = netlink_message_free(q);
        return q;
}

int netlink_socket_dump_start(NetlinkSocket *s, struct nl_msg *m) {
        struct nlmsghdr *h;

        nl_complete_msg(s->socket, m);
        h = nlmsg_hdr(m);
        drain(s);
        return send(nl_socket_get_fd(s->socket), h, h->nlmsg_len, 0) < 0 ? -errno : 0;
}

int netlink_socket_dump_continue(NetlinkSocket *s, int (*func)(struct nlmsghdr *h, void *userdata), void *userdata) {
        Answer w = { .func = func, .userdata = userdata };
        int r;

        r = receive_datagram(s, &w);
        if (r < 0)
                return r == -EAGAIN ? -EIO : r;
        r = w.error ?: w.result;
        return r < 0 ? r : !w.done;
}

/* A transaction is one datagram, with a message in front and one behind. */
typedef struct Bracket {
        struct nlmsghdr header;
        struct nfgenmsg body;
} Bracket;

static Bracket bracket(uint16_t type) {
        return (Bracket) {
                .header = { .nlmsg_len = sizeof(Bracket), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST },
                .body = { .version = NFNETLINK_V0, .res_id = htobe16(NFNL_SUBSYS_NFTABLES) },
        };
}

/* The kernel refuses a datagram that is larger than the buffer. */
static void make_room(NetlinkSocket *s, size_t size) {
        int fd = nl_socket_get_fd(s->socket), n = (int) size * 2;

        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(n)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
}

int netlink_socket_transact(NetlinkSocket *s, struct nl_msg *const *messages, size_t n) {
        Bracket begin = bracket(NFNL_MSG_BATCH_BEGIN), end = bracket(NFNL_MSG_BATCH_END);
        struct iovec parts[NETLINK_TRANSACTION_MAX + 2] = { { &begin, sizeof(begin) } };
        size_t size = 0;
        Answer w = {};
        int r;

        if (n == 0)
                return 0;
        if (n > NETLINK_TRANSACTION_MAX)
                return -E2BIG;
        for (size_t i = 0; i < n; i++) {
                struct nlmsghdr *h = nlmsg_hdr(messages[i]);

                nl_complete_msg(s->socket, messages[i]);
                /* Errors come unasked. */
                if (i + 1 < n)
                        h->nlmsg_flags &= (uint16_t) ~NLM_F_ACK;
                parts[i + 1] = (struct iovec) { h, h->nlmsg_len };
                size += h->nlmsg_len;
        }
        parts[n + 1] = (struct iovec) { &end, sizeof(end) };

        drain(s);
        make_room(s, size);
        if (sendmsg(nl_socket_get_fd(s->socket), &(struct msghdr) { .msg_iov = parts, .msg_iovlen = n + 2 }, 0) < 0)
                return -errno;
        do
                r = receive_datagram(s, &w);
        while (r >= 0);
        if (r != -EAGAIN)
                return r;
        return w.done ? w.error : -EIO;
}
