/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "network/interface-spec.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network.h"

#define SPEC_TEXT_MAX (64U * 1024)

static const char *const interface_type_table[_INTERFACE_TYPE_MAX] = {
        [INTERFACE_NETWORK] = "network", [INTERFACE_VETH] = "veth",     [INTERFACE_MACVLAN] = "macvlan",
        [INTERFACE_IPVLAN] = "ipvlan",   [INTERFACE_DEVICE] = "device", [INTERFACE_TAP] = "tap",
};
DEFINE_STRING_TABLE(interface_type, InterfaceType)

static int invalid(Error *e, const char *text, const char *why) {
        return error_set(e, -EINVAL, "InvalidArgument", "“%.100s” %s.", text, why);
}

static int oom(Error *e) {
        return error_set_errno(e, -ENOMEM, "Out of memory");
}

/* -- routes -- */

static int parse_destination(const char *text, const char *via, Route *r) {
        Address a;

        if (address_parse(text, &a) >= 0) {
                r->destination = (Prefix) { a, a.family == AF_INET6 ? 128 : 32 };
                return 0;
        }
        if (!streq(text, "default"))
                return prefix_parse(text, &r->destination) < 0 || !prefix_is_subnet(&r->destination) ? -EINVAL : 0;
        if (!via || address_parse(via, &a) < 0)
                return -EINVAL;
        r->destination = (Prefix) { .address.family = a.family };
        return 0;
}

int route_parse(const char *text, Route *ret, Error *reterr_error) {
        static const char how[] = "is not a route: that is SUBNET [via ADDRESS] [metric NUMBER], or “default via ADDRESS”";
        _cleanup_strv_free_ char **words = strv_split(text, " ");
        const char *via = NULL, *metric = NULL;
        size_t n = strv_length(words);
        Route r = {};

        if (!words)
                return oom(reterr_error);
        for (size_t i = 1; i < n; i += 2) {
                const char **value = streq(words[i], "via") ? &via : streq(words[i], "metric") ? &metric : NULL;

                if (!value || *value || i + 1 >= n)
                        return invalid(reterr_error, text, how);
                *value = words[i + 1];
        }
        if (n == 0 || parse_destination(words[0], via, &r) < 0 ||
            (metric && (parse_uint32(metric, &r.metric) < 0 || r.metric == 0)))
                return invalid(reterr_error, text, how);
        if (via && (address_parse(via, &r.gateway) < 0 || address_is_unspecified(&r.gateway)))
                return invalid(reterr_error, text, "is not a route: what is behind “via” is not an address");
        if (via && r.gateway.family != r.destination.address.family)
                return invalid(reterr_error, text, "is not a route: destination and gateway are of different families");
        *ret = r;
        return 0;
}

char *route_format(const Route *r) {
        char destination[ADDRESS_TEXT_MAX], gateway[ADDRESS_TEXT_MAX], metric[32];

        (void) snprintf(metric, sizeof(metric), " metric %u", (unsigned) r->metric);
        return strjoin(r->destination.length == 0 && r->gateway.family != AF_UNSPEC
                                       ? "default"
                                       : prefix_format(&r->destination, destination),
                       r->gateway.family == AF_UNSPEC ? "" : " via ",
                       r->gateway.family == AF_UNSPEC ? "" : address_format(&r->gateway, gateway), r->metric > 0 ? metric : "");
}

/* -- what is wanted -- */

void interface_spec_done(InterfaceSpec *s) {
        free(s->link);
        free(s->mode);
        free(s->peer);
        free(s->master);
        free(s->mac);
        strv_free(s->addresses);
        strv_free(s->routes);
        free(s->was_kind);
        free(s->was_mac);
        free(s->was_master);
        free(s->was_alias);
        *s = (InterfaceSpec) {};
}

void interface_change_done(InterfaceChange *c) {
        free(c->mac);
        strv_free(c->add_addresses);
        strv_free(c->remove_addresses);
        strv_free(c->add_routes);
        strv_free(c->remove_routes);
        *c = INTERFACE_CHANGE_NULL;
}

static int normal_address(const char *text, char **ret, Error *reterr_error) {
        char buffer[ADDRESS_TEXT_MAX];
        Prefix p;

        if (prefix_parse(text, &p) < 0 || !strchr(text, '/') || p.length == 0)
                return invalid(reterr_error, text, "is not an address with the length of its subnet (10.1.0.2/16)");
        if (!address_is_unicast(&p.address))
                return invalid(reterr_error, text, "is not an address that an interface can have");
        *ret = strdup(prefix_format(&p, buffer));
        return *ret ? 0 : oom(reterr_error);
}

static int normal_route(const char *text, char **ret, Error *reterr_error) {
        Route route;
        int r;

        r = route_parse(text, &route, reterr_error);
        if (r < 0)
                return r;
        *ret = route_format(&route);
        return *ret ? 0 : oom(reterr_error);
}

typedef int (*NormalFunc)(const char *text, char **ret, Error *reterr_error);

/* Each in its usual form, and once. */
static int add_all(char ***list, char *const *more, NormalFunc normal, Error *reterr_error) {
        int r;

        STRV_FOREACH (text, more) {
                _cleanup_free_ char *s = NULL;

                r = normal(text, &s, reterr_error);
                if (r < 0)
                        return r;
                if (!strv_contains(*list, s) && strv_consume(list, TAKE_PTR(s)) < 0)
                        return oom(reterr_error);
        }
        return 0;
}

static int replace_all(char ***list, NormalFunc normal, Error *reterr_error) {
        char **now = NULL;
        int r;

        r = add_all(&now, *list, normal, reterr_error);
        if (r < 0) {
                strv_free(now);
                return r;
        }
        strv_free(*list);
        *list = now;
        return 0;
}

static bool any_ipv6(const InterfaceSpec *s) {
        STRV_FOREACH (a, s->addresses)
                if (strchr(a, ':'))
                        return true;
        return false;
}

static int check_rate(const char *what, uint64_t rate, Error *reterr_error) {
        if (rate == 0 || (rate >= INTERFACE_RATE_MIN && rate <= INTERFACE_RATE_MAX))
                return 0;
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "%s: it is 8000 (bits a second) at least and 1000000000000 at most; 0: no limit.", what);
}

static int check_values(InterfaceSpec *s, Error *reterr_error) {
        char text[ETHER_TEXT_MAX];
        uint8_t ether[ETHER_SIZE];

        if (s->mtu != 0 && (s->mtu < INTERFACE_MTU_MIN || s->mtu > INTERFACE_MTU_MAX))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "MTU: it is 68 at least and 65535 at most.");
        if (s->mtu != 0 && s->mtu < INTERFACE_MTU_MIN_IPV6 && any_ipv6(s))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "MTU: it is 1280 at least where there are IPv6 addresses.");
        if (s->mac && ether_parse(s->mac, ether) < 0)
                return invalid(reterr_error, s->mac, "is not an Ethernet address of one device (02:00:5e:00:53:01)");
        if (s->mac && free_and_strdup(&s->mac, ether_format(ether, text)) < 0)
                return oom(reterr_error);
        if (s->mac && s->type == INTERFACE_IPVLAN)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "MAC: one of type ipvlan has that of its parent.");
        if (s->received_rate > 0 && s->type != INTERFACE_NETWORK && s->type != INTERFACE_VETH)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "ReceivedRate: the kernel limits what is sent, so this needs a device with an end in the host (type veth).");
        return check_rate("SentRate", s->sent_rate, reterr_error) ?: check_rate("ReceivedRate", s->received_rate, reterr_error);
}

static int check_lists(InterfaceSpec *s, Error *reterr_error) {
        int r;

        if (strv_length(s->addresses) > INTERFACE_ADDRESSES_MAX || strv_length(s->routes) > INTERFACE_ROUTES_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "An interface can have %u addresses and %u routes at most.", INTERFACE_ADDRESSES_MAX,
                                 INTERFACE_ROUTES_MAX);
        r = replace_all(&s->addresses, normal_address, reterr_error);
        return r < 0 ? r : replace_all(&s->routes, normal_route, reterr_error);
}

/* Which of its texts a type has: needed, possible (a name of a device), none. */
static int check_name(const char *key, const char *value, const char *type, bool possible, bool needed, Error *reterr_error) {
        if (value && !possible)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s: one of type %s has none.", key, type);
        if (!value && needed)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "%s: of which device of this host? One of type %s needs it; “ip link” shows them.", key, type);
        if (value && (!network_device_name_is_valid(value) || streq(value, "lo")))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s: “%.100s” is not the name of a device that can be used.",
                                 key, value);
        return 0;
}

static int check_mode(const InterfaceSpec *s, Error *reterr_error) {
        static const char *const macvlan[] = { "bridge", "private", "vepa", "passthru", NULL };
        static const char *const ipvlan[] = { "l2", "l3", "l3s", NULL };
        const char *const *known = s->type == INTERFACE_MACVLAN ? macvlan : s->type == INTERFACE_IPVLAN ? ipvlan : NULL;

        if (!s->mode)
                return 0;
        for (; known && *known; known++)
                if (streq(*known, s->mode))
                        return 0;
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "Mode: “%.100s” is none of type %s; macvlan has bridge, private, vepa and passthru, ipvlan l2, l3 and l3s.",
                         s->mode, interface_type_to_string(s->type));
}

int interface_spec_check(InterfaceSpec *s, Error *reterr_error) {
        const char *type = interface_type_to_string(s->type);
        bool has_link = s->type == INTERFACE_MACVLAN || s->type == INTERFACE_IPVLAN || s->type == INTERFACE_DEVICE;
        bool veth = s->type == INTERFACE_VETH;
        int r;

        r = check_name("Link", s->link, type, has_link, has_link, reterr_error);
        if (r >= 0)
                r = check_name("Peer", s->peer, type, veth, false, reterr_error);
        if (r >= 0)
                r = check_name("Master", s->master, type, veth, false, reterr_error);
        if (r >= 0)
                r = check_mode(s, reterr_error);
        if (r >= 0 && s->user != 0 && (s->type != INTERFACE_TAP || s->user >= UINT32_MAX))
                r = error_set(reterr_error, -EINVAL, "InvalidArgument", "User: it is a number, and for type tap only.");
        if (r >= 0)
                r = check_lists(s, reterr_error);
        return r < 0 ? r : check_values(s, reterr_error);
}

bool interface_spec_is_empty(const InterfaceSpec *s) {
        return s->type == INTERFACE_NETWORK && !s->mac && s->mtu == 0 && !s->down && strv_length(s->addresses) == 0 &&
               strv_length(s->routes) == 0 && s->sent_rate == 0 && s->received_rate == 0;
}

/* -- JSON -- */

json_t *interface_spec_to_json(const InterfaceSpec *s) {
        return json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:I, s:s*, s:I, s:b, s:o, s:o, s:I, s:I, s:b, s:I, s:s*, s:s*, s:s*, s:s*, s:I}", "type",
                         interface_type_to_string(s->type), "link", s->link, "mode", s->mode, "peer", s->peer, "master",
                         s->master, "user", (json_int_t) s->user, "mac", s->mac, "mtu", (json_int_t) s->mtu, "down",
                         (int) s->down, "addresses", json_from_strv(s->addresses), "routes", json_from_strv(s->routes),
                         "sentRate", (json_int_t) s->sent_rate, "receivedRate", (json_int_t) s->received_rate, "wasUp",
                         (int) s->was_up, "wasMtu", (json_int_t) s->was_mtu, "wasMac", s->was_mac, "wasMaster",
                         s->was_master, "wasAlias", s->was_alias, "wasKind", s->was_kind, "lentIndex",
                         (json_int_t) s->lent_index);
}

static int parse_type(const char *name, json_t *value, void *target, Error *reterr_error) {
        InterfaceSpec *s = target;

        s->type = json_is_string(value) ? interface_type_from_string(json_string_value(value)) : _INTERFACE_TYPE_INVALID;
        return s->type < 0 ? -EBADMSG : 0;
}

int interface_spec_from_json(json_t *j, InterfaceSpec *ret) {
        static const JsonField fields[] = {
                { "type", JSON_FIELD_CUSTOM, 0, true, parse_type },
                { "link", JSON_FIELD_STRING, offsetof(InterfaceSpec, link), false, NULL },
                { "mode", JSON_FIELD_STRING, offsetof(InterfaceSpec, mode), false, NULL },
                { "peer", JSON_FIELD_STRING, offsetof(InterfaceSpec, peer), false, NULL },
                { "master", JSON_FIELD_STRING, offsetof(InterfaceSpec, master), false, NULL },
                { "user", JSON_FIELD_UINT64, offsetof(InterfaceSpec, user), false, NULL },
                { "mac", JSON_FIELD_STRING, offsetof(InterfaceSpec, mac), false, NULL },
                { "mtu", JSON_FIELD_UINT64, offsetof(InterfaceSpec, mtu), false, NULL },
                { "down", JSON_FIELD_BOOL, offsetof(InterfaceSpec, down), false, NULL },
                { "addresses", JSON_FIELD_STRV, offsetof(InterfaceSpec, addresses), false, NULL },
                { "routes", JSON_FIELD_STRV, offsetof(InterfaceSpec, routes), false, NULL },
                { "sentRate", JSON_FIELD_UINT64, offsetof(InterfaceSpec, sent_rate), false, NULL },
                { "receivedRate", JSON_FIELD_UINT64, offsetof(InterfaceSpec, received_rate), false, NULL },
                { "wasUp", JSON_FIELD_BOOL, offsetof(InterfaceSpec, was_up), false, NULL },
                { "wasMtu", JSON_FIELD_UINT64, offsetof(InterfaceSpec, was_mtu), false, NULL },
                { "wasMac", JSON_FIELD_STRING, offsetof(InterfaceSpec, was_mac), false, NULL },
                { "wasAlias", JSON_FIELD_STRING, offsetof(InterfaceSpec, was_alias), false, NULL },
                { "wasMaster", JSON_FIELD_STRING, offsetof(InterfaceSpec, was_master), false, NULL },
                { "wasKind", JSON_FIELD_STRING, offsetof(InterfaceSpec, was_kind), false, NULL },
                { "lentIndex", JSON_FIELD_UINT64, offsetof(InterfaceSpec, lent_index), false, NULL },
                {},
        };
        _cleanup_(interface_spec_done) InterfaceSpec s = {};
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, &s, "interface", false, NULL) : -EBADMSG;
        if (r >= 0 && (interface_spec_check(&s, NULL) < 0 || s.was_mtu > UINT32_MAX || s.lent_index > INT32_MAX))
                r = -EBADMSG;
        if (r < 0)
                return r;
        *ret = s;
        s = (InterfaceSpec) {};
        return 0;
}

char *interface_spec_format(const InterfaceSpec *s) {
        _cleanup_json_ json_t *j = interface_spec_to_json(s);

        return j ? json_dump(j, false) : NULL;
}

int interface_spec_parse(const char *text, InterfaceSpec *ret) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(text, strlen(text), SPEC_TEXT_MAX, &j, NULL);
        return r < 0 ? r : interface_spec_from_json(j, ret);
}

/* -- change -- */

static int remove_all(char ***list, char *const *gone, NormalFunc normal, const char *what, Error *reterr_error) {
        int r;

        STRV_FOREACH (text, gone) {
                _cleanup_free_ char *s = NULL;
                size_t kept = 0, n = strv_length(*list);

                r = normal(text, &s, reterr_error);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < n; i++)
                        if (streq((*list)[i], s))
                                free((*list)[i]);
                        else
                                (*list)[kept++] = (*list)[i];
                if (n > 0)
                        (*list)[kept] = NULL;
                if (kept == n)
                        return error_set(reterr_error, -ENOENT, "InvalidArgument",
                                         "The interface has no %s “%s” that could be removed; what it has of a network stays as long as it is on that.",
                                         what, s);
        }
        return 0;
}

static int copy(const InterfaceSpec *s, InterfaceSpec *ret) {
        _cleanup_json_ json_t *j = interface_spec_to_json(s);

        return j ? interface_spec_from_json(j, ret) : -ENOMEM;
}

int interface_spec_apply(const InterfaceSpec *s, const InterfaceChange *c, InterfaceSpec *ret, Error *reterr_error) {
        _cleanup_(interface_spec_done) InterfaceSpec new = {};
        int r;

        r = copy(s, &new);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The interface cannot be changed: %m");
        if (c->mac && s->type == INTERFACE_NETWORK)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "MAC: that of an interface on a network stays; leave the network, and connect with another.");
        if (c->mac && free_and_strdup(&new.mac, c->mac) < 0)
                return oom(reterr_error);
        if (c->mtu != INTERFACE_KEEP && c->mtu == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "MTU: it is 68 at least and 65535 at most.");
        if (c->mtu != INTERFACE_KEEP)
                new.mtu = c->mtu;
        if (c->up >= 0)
                new.down = c->up == 0;
        if (c->sent_rate != INTERFACE_KEEP)
                new.sent_rate = c->sent_rate;
        if (c->received_rate != INTERFACE_KEEP)
                new.received_rate = c->received_rate;
        r = remove_all(&new.addresses, c->remove_addresses, normal_address, "address", reterr_error);
        if (r >= 0)
                r = remove_all(&new.routes, c->remove_routes, normal_route, "route", reterr_error);
        if (r >= 0)
                r = add_all(&new.addresses, c->add_addresses, normal_address, reterr_error);
        if (r >= 0)
                r = add_all(&new.routes, c->add_routes, normal_route, reterr_error);
        if (r >= 0)
                r = interface_spec_check(&new, reterr_error);
        if (r < 0)
                return r;
        *ret = new;
        new = (InterfaceSpec) {};
        return 0;
}
