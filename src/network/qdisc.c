/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "network/netlink-socket.h"
#include "network/qdisc.h"

#define QDISC_HANDLE 0x6d760000U /* "mv": ours is known by it */
#define BURST_PER_SECOND 50U     /* the bucket holds what is sent in 20 ms, two packets at least: the timers of a kernel are that coarse */
#define QUEUE_PER_SECOND 10U     /* what waits, does so 100 ms at most */
#define BURST_MAX (16U << 20)
#define HEADER_MAX 64U /* of a frame, around what the MTU says */

static int put_bucket(struct nl_msg *m, const LinkInfo *l, uint64_t bytes) {
        uint32_t packet = l->mtu + HEADER_MAX;
        uint32_t burst = (uint32_t) MIN(MAX(bytes / BURST_PER_SECOND, 2 * (uint64_t) packet), (uint64_t) BURST_MAX);
        struct tc_tbf_qopt o = {
                .rate = { .linklayer = TC_LINKLAYER_ETHERNET, .rate = (uint32_t) MIN(bytes, (uint64_t) UINT32_MAX) },
                .limit = (uint32_t) MIN(bytes / QUEUE_PER_SECOND + burst, (uint64_t) UINT32_MAX / 2),
        };
        struct nlattr *options;

        if (nla_put_string(m, TCA_KIND, "tbf") < 0 || !(options = nla_nest_start(m, TCA_OPTIONS)) ||
            nla_put(m, TCA_TBF_PARMS, sizeof(o), &o) < 0 || nla_put_u32(m, TCA_TBF_BURST, burst) < 0 ||
            (bytes > UINT32_MAX && nla_put_u64(m, TCA_TBF_RATE64, bytes) < 0))
                return -ENOMEM;
        (void) nla_nest_end(m, options);
        return 0;
}

int qdisc_set_rate(Netlink *n, const LinkInfo *l, uint64_t bits) {
        struct tcmsg t = {
                .tcm_family = AF_UNSPEC,
                .tcm_ifindex = l->index,
                .tcm_parent = TC_H_ROOT,
                .tcm_handle = QDISC_HANDLE,
        };
        _cleanup_(netlink_message_freep) struct nl_msg *m = NULL;
        int r;

        m = bits > 0 ? nlmsg_alloc_simple(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE) : nlmsg_alloc_simple(RTM_DELQDISC, 0);
        if (!m || nlmsg_append(m, &t, sizeof(t), NLMSG_ALIGNTO) < 0)
                return -ENOMEM;
        r = bits > 0 ? put_bucket(m, l, bits / 8) : 0;
        if (r >= 0)
                r = netlink_socket_call(netlink_get_socket(n), m, NULL, NULL);
        /* There is none, or another one. */
        return bits == 0 && (r == -ENOENT || r == -EINVAL) ? 0 : r;
}
