/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <netinet/in.h> /* first: the next one would define the same */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "network/conntrack.h"
#include "network/firewall-elements.h"
#include "network/firewall.h"
#include "network/nftables-load.h"

#define TABLE "inet " FIREWALL_TABLE
#define TEXT_RANGE_MAX 16U /* ports: libnftables takes 4 µs for each */

/* Protocols are numbers here: names would be looked up by NSS. */
#define KEY "meta l4proto . th dport"

/* - early: a bridge's route_localnet lets what the host sends to its loopback address on to containers, and
 *   must not let containers at what listens on the host's loopback.
 * - incoming: a neighbour could send packets for 127.0.0.1 to this host, which translated would no longer be
 *   martians.
 * - incoming, port 53: what containers ask their own gateway is for their network's resolver, whoever publishes that port.
 * - local: where bridges call on nf_tables, IPv6's header is looked at once more behind it, and what is translated back to ::1
 *   is dropped; untranslated, a client is refused at once and goes on to 127.0.0.1.
 * - outgoing: a container that reaches itself or a sibling by a published port would be answered directly, from
 *   an address that it has not asked. By address: where the kernel has bridges call on nf_tables (br_netfilter)
 *   such packets stay in the bridge, and are from no device here. */
static const char rules[] =
        "table " TABLE " {\n"
        "comment \"moored's own: moorctl network reload makes it anew\"\n"
        "set bridges {\n type ifname\n}\n"
        "set internal {\n type ifname\n}\n"
        "set outward {\n type ifname\n}\n"
        "set open {\n type ifname\n}\n"
        "set same {\n type ifname . ifname\n}\n"
        "set near4 {\n type ipv4_addr . ipv4_addr\n flags interval\n}\n"
        "set near6 {\n type ipv6_addr . ipv6_addr\n flags interval\n}\n"
        "map hosts4 {\n typeof ip daddr . " KEY " : ip daddr . th dport\n}\n"
        "map hosts6 {\n typeof ip6 daddr . " KEY " : ip6 daddr . th dport\n}\n"
        "map ports4 {\n typeof " KEY " : ip daddr . th dport\n}\n"
        "map ports6 {\n typeof " KEY " : ip6 daddr . th dport\n}\n"
        "chain early {\n"
        " type filter hook prerouting priority -300; policy accept\n"
        " iifname @bridges ip daddr 127.0.0.0/8 drop\n"
        " iifname @bridges ip6 daddr ::1 drop\n"
        "}\n"
        "chain published {\n"
        " dnat ip to ip daddr . " KEY " map @hosts4\n"
        " dnat ip6 to ip6 daddr . " KEY " map @hosts6\n"
        " fib daddr type local dnat ip to " KEY " map @ports4\n"
        " fib daddr type local dnat ip6 to " KEY " map @ports6\n"
        "}\n"
        "chain incoming {\n"
        " type nat hook prerouting priority -100; policy accept\n"
        " ip daddr 127.0.0.0/8 return\n"
        " ip6 daddr ::1 return\n"
        " iifname @bridges meta l4proto { 6, 17 } th dport 53 fib daddr . iif type local return\n"
        " jump published\n"
        "}\n"
        "chain local {\n"
        " type nat hook output priority -100; policy accept\n"
        " jump published\n"
        "}\n"
        "chain outgoing {\n"
        " type nat hook postrouting priority 100; policy accept\n"
        " ip saddr 127.0.0.0/8 oifname @bridges masquerade\n"
        " ip6 saddr ::1 oifname @bridges masquerade\n"
        " ct status dnat ip saddr . ip daddr @near4 masquerade\n"
        " ct status dnat ip6 saddr . ip6 daddr @near6 masquerade\n"
        " iifname @outward oifname != @bridges masquerade\n"
        "}\n"
        "chain forward {\n"
        " type filter hook forward priority 0; policy accept\n"
        " ct state established,related accept\n"
        " iifname . oifname @same accept\n"
        " iifname @internal drop\n"
        " oifname @internal drop\n"
        " iifname @open oifname @open accept\n"
        " oifname @bridges ct status dnat accept\n"
        " oifname @bridges drop\n"
        "}\n"
        "}\n";

struct Firewall {
        struct nft_ctx *nft; /* NULL until rules are changed */
        NetlinkSocket *socket; /* for what libnftables does not do, or not quickly */
        Conntrack *conntrack;
};

/* A text of commands that are one transaction. */
typedef struct Commands {
        FILE *f;
        char *text;
        size_t size;
} Commands;

static void commands_done(Commands *c) {
        if (c->f)
                fclose(c->f);
        free(c->text);
}

static int commands_init(Commands *c) {
        c->f = open_memstream(&c->text, &c->size);
        return c->f ? 0 : -ENOMEM;
}

Firewall *firewall_free(Firewall *f) {
        if (!f)
                return NULL;
        if (f->nft)
                sym_nft_ctx_free(f->nft);
        conntrack_free(f->conntrack);
        netlink_socket_free(f->socket);
        free(f);
        return NULL;
}

int firewall_new(Firewall **ret, Error *reterr_error) {
        _cleanup_(firewall_freep) Firewall *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        r = netlink_socket_new(NETLINK_NETFILTER, &f->socket);
        if (r < 0)
                return error_set(reterr_error, r, "NotSupported", "The kernel offers no nf_tables here: %m");
        r = conntrack_new(&f->conntrack);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

void firewall_set_event(Firewall *f, sd_event *event) {
        conntrack_set_event(f->conntrack, event);
}

static int open_nft(Firewall *f, Error *reterr_error) {
        struct nft_ctx *nft;
        int r, fd;

        if (f->nft)
                return 0;
        r = nftables_load(reterr_error);
        if (r < 0)
                return r;
        /* libnftables ends the process if it cannot have one. */
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        if (fd < 0)
                return error_set_errno(reterr_error, -errno, "Failed to open a socket to nf_tables: %m");
        close(fd);
        nft = sym_nft_ctx_new(NFT_CTX_DEFAULT);
        if (!nft)
                return -ENOMEM;
        if (sym_nft_ctx_buffer_error(nft) != 0 || sym_nft_ctx_buffer_output(nft) != 0) {
                sym_nft_ctx_free(nft);
                return -ENOMEM;
        }
        f->nft = nft;
        return 0;
}

/* libnftables says what was wrong as text only; its first line has the kernel's errno by name, the rest is
 * what was asked for. */
static int text_to_errno(const char *text) {
        static const int known[] = { ENOENT, EEXIST, EPERM, EOPNOTSUPP, EBUSY, ENOMEM, EINVAL };

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (strstr(text, strerror(known[i])))
                        return -known[i];
        return -EIO;
}

static int run_text(Firewall *f, const char *text, Error *reterr_error) {
        const char *said;
        int r;

        r = open_nft(f, reterr_error);
        if (r < 0)
                return r;
        if (sym_nft_run_cmd_from_buffer(f->nft, text) == 0)
                return 0;
        said = strempty(sym_nft_ctx_get_error_buffer(f->nft));
        r = text_to_errno(said);
        if (r == -ENOENT)
                return error_set(reterr_error, r, "NoTable", "nf_tables has no table " TABLE " (any more)");
        return error_set(reterr_error, r, "Failed",
                         "nf_tables did not take a change of table " TABLE ": %.*s",
                         (int) strcspn(said, "\n"), said);
}

static int run(Firewall *f, Commands *c, Error *reterr_error) {
        bool bad = ferror(c->f);

        bad |= fclose(c->f) != 0;
        c->f = NULL;
        return bad ? -ENOMEM : run_text(f, c->text, reterr_error);
}

/* -- elements -- */

static void write_port(Commands *c, const FirewallPort *p) {
        char container[ADDRESS_TEXT_MAX], host[ADDRESS_TEXT_MAX] = "";

        if (!address_is_unspecified(&p->port.host))
                (void) address_format(&p->port.host, host);
        (void) address_format(&p->container, container);
        fprintf(c->f, "add element " TABLE " %s { ", firewall_elements_map(p));
        for (unsigned i = 0; i < p->port.count; i++)
                fprintf(c->f, "%s%s%s%d . %u : %s . %u", i > 0 ? ", " : "", host, host[0] ? " . " : "",
                        port_protocol_to_ip(p->port.protocol), p->port.host_port + i, container,
                        p->port.container_port + i);
        fputs(" }\n", c->f);
}

static void write_network(Commands *c, const char *verb, const FirewallNetwork *network) {
        const struct {
                const char *set;
                bool is_in;
        } sets[] = {
                { "bridges", true },
                { "internal", network->internal },
                { "outward", !network->internal },
                { "open", !network->internal && !network->isolated },
        };

        for (size_t i = 0; i < ELEMENTSOF(sets); i++)
                if (sets[i].is_in)
                        fprintf(c->f, "%s element " TABLE " %s { \"%s\" }\n", verb, sets[i].set,
                                network->device);
        for (size_t i = 0; i < network->n_subnets; i++) {
                Prefix subnet = prefix_subnet(network->subnets + i);
                char text[ADDRESS_TEXT_MAX];

                (void) prefix_format(&subnet, text);
                fprintf(c->f, "%s element " TABLE " %s { %s . %s }\n", verb,
                        subnet.address.family == AF_INET6 ? "near6" : "near4", text, text);
        }
        fprintf(c->f, "%s element " TABLE " same { \"%s\" . \"%s\" }\n", verb, network->device,
                network->device);
}

/* -- what others call -- */

int firewall_is_loaded(Firewall *f) {
        _cleanup_(netlink_message_freep) struct nl_msg *q =
                        netfilter_message_new(NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE, 0, NFPROTO_INET);
        int r;

        if (!q || nla_put_string(q, NFTA_TABLE_NAME, FIREWALL_TABLE) < 0)
                return -ENOMEM;
        r = netlink_socket_call(f->socket, q, NULL, NULL);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int firewall_load(Firewall *f, bool loopback6, const FirewallNetwork *networks, size_t n_networks,
                  const FirewallPort *ports, size_t n_ports, Error *reterr_error) {
        _cleanup_(commands_done) Commands c = {};
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = commands_init(&c);
        if (r < 0)
                return r;
        /* The first line makes that there is one to be deleted. */
        fputs("add table " TABLE "\ndelete table " TABLE "\n", c.f);
        fputs(rules, c.f);
        if (!loopback6)
                fputs("insert rule " TABLE " local ip6 daddr ::1 return\n", c.f);
        for (size_t i = 0; i < n_networks; i++)
                write_network(&c, "add", networks + i);
        for (size_t i = 0; i < n_ports; i++)
                if (ports[i].port.count <= TEXT_RANGE_MAX)
                        write_port(&c, ports + i);
        r = run(f, &c, &e);
        /* What is not there is a kind of rule, then. */
        if (r == -ENOENT)
                return error_set(
                                reterr_error, -EOPNOTSUPP, "NotSupported",
                                "This kernel has not all of nf_tables that networks need: sets with intervals, fib, nat, masquerading, conntrack");
        for (size_t i = 0; r >= 0 && i < n_ports; i++)
                if (ports[i].port.count > TEXT_RANGE_MAX)
                        r = firewall_add_ports(f, ports + i, 1, &e);
        return r < 0 ? error_move(reterr_error, &e) : 0;
}

int firewall_unload(Firewall *f, Error *reterr_error) {
        return run_text(f, "add table " TABLE "\ndelete table " TABLE "\n", reterr_error);
}

int firewall_add_network(Firewall *f, const FirewallNetwork *network, Error *reterr_error) {
        _cleanup_(commands_done) Commands c = {};
        int r;

        r = commands_init(&c);
        if (r < 0)
                return r;
        write_network(&c, "add", network);
        return run(f, &c, reterr_error);
}

/* To add what is there already is no error: so whatever it is, it can be deleted in the same transaction. (A
 * "destroy" that ignores what is not there came with Linux 6.3.) */
int firewall_remove_network(Firewall *f, const FirewallNetwork *network, Error *reterr_error) {
        _cleanup_(commands_done) Commands c = {};
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = commands_init(&c);
        if (r < 0)
                return r;
        write_network(&c, "add", network);
        write_network(&c, "delete", network);
        r = run(f, &c, &e);
        return r == -ENOENT ? 0 : r < 0 ? error_move(reterr_error, &e) : 0;
}

/* What goes wrong here costs somebody a flow that he has to begin anew. */
static void forget_flows(Firewall *f, int (*forget)(Conntrack *, const FirewallPort *, size_t),
                         const FirewallPort *ports, size_t n) {
        int r;

        r = forget(f->conntrack, ports, n);
        if (r < 0)
                log_debug_errno(r, "Failed to forget flows of published ports, ignoring: %m");
}

static int ports_error(Firewall *f, int r, Error *reterr_error) {
        const char *sentence = netlink_socket_get_message(f->socket);

        if (r == -ENOENT)
                return error_set(reterr_error, r, "NoTable", "nf_tables has no table " TABLE " (any more)");
        return error_set(reterr_error, r, "Failed", "nf_tables did not take ports for table " TABLE ": %m%s%s%s",
                         isempty(sentence) ? "" : " (", sentence, isempty(sentence) ? "" : ")");
}

int firewall_add_ports(Firewall *f, const FirewallPort *ports, size_t n, Error *reterr_error) {
        int r;

        if (n == 0)
                return 0;
        r = firewall_elements_change(f->socket, ELEMENTS_ADD, ports, n);
        if (r == -EEXIST) {
                /* Of the same key, with another value. */
                r = firewall_remove_ports(f, ports, n, reterr_error);
                if (r < 0)
                        return r;
                r = firewall_elements_change(f->socket, ELEMENTS_ADD, ports, n);
        }
        if (r < 0)
                return ports_error(f, r, reterr_error);
        forget_flows(f, conntrack_forget_unanswered, ports, n);
        return 0;
}

/* Some of them lead elsewhere, or are not there. */
static int remove_each(Firewall *f, const FirewallPort *port) {
        FirewallPort one = *port;
        int r = 0;

        one.port.count = 1;
        for (unsigned i = 0; (r >= 0 || r == -ENOENT) && i < port->port.count; i++) {
                r = firewall_elements_change(f->socket, ELEMENTS_DELETE, &one, 1);
                one.port.host_port++;
                one.port.container_port++;
        }
        return r == -ENOENT ? 0 : r;
}

static int remove_ports(Firewall *f, const FirewallPort *ports, size_t n) {
        int r;

        if (n == 0)
                return 0;
        r = firewall_elements_change(f->socket, ELEMENTS_DELETE, ports, n);
        if (r != -ENOENT)
                return r;
        r = firewall_elements_change(f->socket, ELEMENTS_ADD | ELEMENTS_DELETE, ports, n);
        if (r == -ENOENT)
                return 0; /* there is no table */
        if (r != -EEXIST)
                return r;
        r = 0;
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = remove_each(f, ports + i);
        return r;
}

int firewall_remove_ports(Firewall *f, const FirewallPort *ports, size_t n, Error *reterr_error) {
        int r;

        r = remove_ports(f, ports, n);
        forget_flows(f, conntrack_forget_translated, ports, n);
        return r < 0 ? ports_error(f, r, reterr_error) : 0;
}
