/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container on networks of CNI plug-ins. It has no records of addresses and ports here: these are its plug-ins' to give and to take. What
 * they are to be told of it (the conventions of the specification call that capabilities) is made of its options. */

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/container-private.h"
#include "container/network-options.h"

/* In bits. */
#define BURSTS_PER_SECOND UINT64_C(50)
#define BURST_MIN_BITS (UINT64_C(2) * 65536 * 8)
#define BURST_MAX_BITS ((UINT64_C(16) << 20) * 8)

void container_manager_set_cni(ContainerManager *m, CniManager *cni) {
        m->cni = cni;
}

/* -- what plug-ins are told --------------------------------------------------------------------- */

static int set_list(json_t *object, const char *name, char *const *l) {
        return strv_length(l) == 0 ? 0 : json_object_set_new(object, name, json_from_strv(l));
}

static int add_ports(json_t *list, const Port *p) {
        char address[ADDRESS_TEXT_MAX];

        for (unsigned i = 0; i < p->count; i++) {
                json_t *j = json_pack("{s:i, s:i, s:s}", "hostPort", p->host_port + (int) i, "containerPort",
                                      p->container_port + (int) i, "protocol", port_protocol_to_string(p->protocol));

                if (j && p->host.family != AF_UNSPEC &&
                    json_object_set_new(j, "hostIP", json_string(address_format(&p->host, address))) < 0) {
                        json_decref(j);
                        return -ENOMEM;
                }
                if (json_array_append_new(list, j) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int set_ports(json_t *object, const ContainerOptions *o) {
        _cleanup_json_ json_t *list = json_array();
        Port p;

        STRV_FOREACH(s, o->publish)
                if (port_parse(s, &p, NULL) < 0 || add_ports(list, &p) < 0)
                        return -ENOMEM;
        return strv_length(o->publish) > 0 ? json_object_set(object, "portMappings", list) : 0;
}

static int set_dns(json_t *object, const ContainerOptions *o) {
        _cleanup_json_ json_t *dns = json_object();
        int r;

        r = set_list(dns, "servers", o->dns) | set_list(dns, "searches", o->dns_search) |
            set_list(dns, "options", o->dns_options);
        return r < 0 ? r : json_object_size(dns) > 0 ? json_object_set(object, "dns", dns) : 0;
}

/* Bursts go with the rates: what comes in 20 ms, as with those of other networks (network/qdisc.c), and two packets at least, however large
 * these are, which the plug-ins decide. */
static uint64_t burst_of(uint64_t rate) {
        return MIN(MAX(rate / BURSTS_PER_SECOND, BURST_MIN_BITS), BURST_MAX_BITS);
}

static int set_rate(json_t *object, const char *rate_name, const char *burst_name, uint64_t rate) {
        if (rate == 0)
                return 0;
        return json_object_set_new(object, rate_name, json_integer((json_int_t) rate)) |
               json_object_set_new(object, burst_name, json_integer((json_int_t) burst_of(rate)));
}

/* "ingress" is what the container receives. */
static int set_bandwidth(json_t *object, const Attachment *a) {
        _cleanup_json_ json_t *bandwidth = json_object();
        int r;

        r = set_rate(bandwidth, "ingressRate", "ingressBurst", a->received_rate) |
            set_rate(bandwidth, "egressRate", "egressBurst", a->sent_rate);
        return r < 0 ? r : json_object_size(bandwidth) > 0 ? json_object_set(object, "bandwidth", bandwidth) : 0;
}

/* n-th of its networks; ports are the first one's. */
static int add_attachment(const ContainerOptions *o, const char *text, unsigned n, json_t *list) {
        _cleanup_json_ json_t *capabilities = json_object(), *j = NULL;
        _cleanup_(attachment_done) Attachment a = {};
        _cleanup_free_ char *name = strformat("eth%u", n);
        int r;

        if (!capabilities || !name || attachment_parse_cni(text, &a, NULL) < 0)
                return -ENOMEM; /* the options have been checked */
        r = set_list(capabilities, "ips", a.addresses) | set_list(capabilities, "aliases", a.aliases) |
            set_dns(capabilities, o) | set_bandwidth(capabilities, &a);
        if (a.mac)
                r |= json_object_set_new(capabilities, "mac", json_string(a.mac));
        if (n == 0)
                r |= set_ports(capabilities, o);
        j = r < 0 ? NULL
                  : json_pack("{s:s, s:s, s:O}", "network", a.network, "interface", a.interface ?: name, "capabilities",
                              capabilities);
        return json_array_append(list, j) < 0 ? -ENOMEM : 0;
}

int container_cni_attachments(const ContainerOptions *o, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();
        unsigned n = 0;
        int r = list ? 0 : -ENOMEM;

        STRV_FOREACH(s, o->networks)
                if (r >= 0)
                        r = add_attachment(o, network_option_cni(s), n++, list);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

/* -- creation ----------------------------------------------------------------------------------- */

static int check_network(const char *text, Error *reterr_error) {
        _cleanup_(attachment_done) Attachment a = {};
        _cleanup_(cni_conf_done) CniConf conf = {};
        int r;

        r = attachment_parse_cni(text, &a, reterr_error);
        if (r >= 0)
                r = cni_find(CNI_CONF_DIR, a.network, &conf, reterr_error);
        if (r >= 0)
                r = cni_find_plugins(CNI_PLUGIN_PATH, &conf, reterr_error);
        if (r >= 0 && (a.sent_rate > 0 || a.received_rate > 0) && !cni_conf_has_capability(&conf, "bandwidth"))
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "No plug-in of network \"%s\" limits rates (sent_rate=, received_rate=): one with \"capabilities\": "
                                 "{\"bandwidth\": true} does, such as \"bandwidth\" at the end of its list.",
                                 a.network);
        return r;
}

int container_cni_prepare(const ContainerOptions *o, Error *reterr_error) {
        int r = 0;

        STRV_FOREACH(s, o->networks)
                if (r >= 0)
                        r = check_network(network_option_cni(s), reterr_error);
        return r;
}

/* -- what can be asked -------------------------------------------------------------------------- */

typedef struct Showing {
        CniShownFunc func;
        void *userdata;
        unsigned n;
} Showing;

static int show(const CniShown *s, void *userdata) {
        Showing *w = userdata;

        w->n++;
        return w->func(s, w->userdata);
}

/* It is not attached: what it will have. */
static int show_planned(const Container *c, Showing *w) {
        unsigned n = 0;
        int r = 0;

        STRV_FOREACH(s, c->options.networks) {
                _cleanup_(attachment_done) Attachment a = {};
                _cleanup_free_ char *name = strformat("eth%u", n++);

                if (r >= 0)
                        r = attachment_parse_cni(network_option_cni(s), &a, NULL);
                if (r >= 0)
                        r = name ? w->func(&(CniShown){ a.network, a.interface ?: name, a.mac, NULL }, w->userdata) : -ENOMEM;
        }
        return r;
}

int container_foreach_cni(const Container *c, CniShownFunc func, void *userdata) {
        const Container *owner = container_network_owner(c);
        ContainerManager *m = c->manager;
        Showing w = { .func = func, .userdata = userdata };
        _cleanup_free_ char *key = NULL;
        int r = 0;

        if (container_network_mode(&owner->options, NULL) != NETWORK_MODE_CNI)
                return 0;
        key = cni_key(owner->row.ns, owner->row.id);
        if (!key)
                return -ENOMEM;
        if (m->cni)
                r = cni_manager_foreach(m->cni, key, show, &w);
        return r < 0 || w.n > 0 ? r : show_planned(owner, &w);
}

bool container_is_on_cni(const Container *c, const char *network) {
        if (container_network_mode(&c->options, NULL) != NETWORK_MODE_CNI)
                return false;
        STRV_FOREACH(s, c->options.networks) {
                _cleanup_(attachment_done) Attachment a = {};

                if (attachment_parse_cni(network_option_cni(s), &a, NULL) >= 0 && streq(a.network, network))
                        return true;
        }
        return false;
}

/* -- start and end ------------------------------------------------------------------------------ */

static void attach(Container *c) {
        _cleanup_free_ char *key = cni_key(c->row.ns, c->row.id);
        _cleanup_json_ json_t *attachments = NULL;
        int r;

        error_done(&c->work->network);
        r = key ? container_cni_attachments(&c->options, &attachments) : -ENOMEM;
        if (r >= 0)
                r = cni_manager_add(c->manager->cni, key, attachments);
        if (r < 0)
                (void) error_set_errno(&c->work->network, r, "Failed to make the network of container %s: %m", c->row.id);
}

void container_cni_set_up(Container *c) {
        container_cni_set_down(c);
        if (c->manager->cni)
                attach(c);
}

void container_cni_set_down(Container *c) {
        _cleanup_free_ char *key = cni_key(c->row.ns, c->row.id);

        c->work->netns = safe_close(c->work->netns);
        error_done(&c->work->network);
        if (!c->manager->cni || !key)
                return;
        cni_manager_del(c->manager->cni, key);
        events_notify(c->manager->events, NOTIFY_CONTAINER_NETWORKS, c->row.ns, c->row.id, c);
}

static Container *find_by_cni_key(ContainerManager *m, const char *wanted) {
        Container *c;

        HASHMAP_FOREACH(c, m->containers) {
                _cleanup_free_ char *key = cni_key(c->row.ns, c->row.id);

                if (streq_ptr(key, wanted) && container_network_mode(&c->options, NULL) == NETWORK_MODE_CNI)
                        return c;
        }
        return NULL;
}

/* What it has, for the launcher that asks, or has asked. */
static void take_answer(Container *c, NetworkAnswer *ret) {
        if (error_is_set(&c->work->network))
                /* The launcher takes 4095 bytes. */
                ret->text = strformat("%s: %.3900s", error_name(&c->work->network), error_message(&c->work->network));
        else {
                ret->fd = TAKE_FD(c->work->netns);
                ret->text = strdup("namespace");
        }
        error_done(&c->work->network);
}

static void on_added(const char *key, int netns, const Error *error, void *userdata) {
        ContainerManager *m = userdata;
        Container *c = find_by_cni_key(m, key);
        _cleanup_(network_answer_done) NetworkAnswer a = NETWORK_ANSWER_NULL;
        _cleanup_free_ char *asked = NULL;

        if (!c)
                return;
        events_notify(m->events, NOTIFY_CONTAINER_NETWORKS, c->row.ns, c->row.id, c);
        c->work->netns = safe_close(c->work->netns);
        error_done(&c->work->network);
        if (error_is_set(error))
                (void) error_copy(&c->work->network, error);
        else {
                container_refresh_hosts(c);
                c->work->netns = fd_dup(netns);
                if (c->work->netns < 0)
                        (void) error_set_errno(&c->work->network, c->work->netns, "Failed to pass the network of %s on: %m",
                                               c->row.id);
        }
        asked = strjoin(c->row.ns, "/", c->row.id);
        if (!asked || !m->network_socket || !network_socket_waits(m->network_socket, asked))
                return; /* it will ask */
        take_answer(c, &a);
        if (a.text)
                network_socket_answer(m->network_socket, asked, &a);
}

void container_cni_answer(Container *c, NetworkAnswer *ret) {
        if (c->work->netns < 0 && !error_is_set(&c->work->network) && c->manager->cni)
                attach(c);
        if (c->work->netns >= 0 || error_is_set(&c->work->network))
                take_answer(c, ret);
        else
                ret->later = true;
}

/* -- at the start of the daemon ----------------------------------------------------------------- */

static bool is_wanted(const char *key, void *userdata) {
        Container *c = find_by_cni_key(userdata, key);

        return c && c->state != CONTAINER_CREATED && c->state != CONTAINER_EXITED;
}

void container_cni_tend(ContainerManager *m) {
        if (m->cni)
                cni_manager_tend(m->cni);
}

void container_cni_recovered(ContainerManager *m) {
        if (m->cni)
                (void) cni_manager_recovered(m->cni, on_added, is_wanted, m);
}

bool container_cni_misses_netns(const Container *c) {
        _cleanup_free_ char *key = cni_key(c->row.ns, c->row.id);

        return key && c->manager->cni && cni_manager_misses_netns(c->manager->cni, key);
}

int container_cni_keep_netns(Container *c, int netns) {
        _cleanup_free_ char *key = cni_key(c->row.ns, c->row.id);

        return key ? cni_manager_keep_netns(c->manager->cni, key, netns) : -ENOMEM;
}
