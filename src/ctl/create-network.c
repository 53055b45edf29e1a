/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/create-network.h"

#include "basic/string-util.h"
#include "basic/strv.h"
#include "ctl/create-bag.h"

#define NETWORK_DEFAULT "default" /* that of who names none, but an address */

void create_network_done(CreateNetwork *n) {
        strv_free(n->networks);
        strv_free(n->details);
        strv_free(n->publish);
        strv_free(n->expose);
        strv_free(n->dns);
        strv_free(n->dns_search);
        strv_free(n->dns_options);
        strv_free(n->hosts);
        *n = (CreateNetwork) {};
}

/* -- the option table's appliers -- */

static bool stands_alone(const char *network) {
        return streq(network, "none") || streq(network, "host") || startswith(network, "container:") ||
               startswith(network, "ns:");
}

/* Networks add up; what is none takes the place of what was said before, and gives way to what is said behind it. */
int apply_network(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        char ***l = &o->network.networks;

        if (isempty(value))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "--network= has no name.");
        if (*l && (stands_alone(value) || stands_alone((*l)[0])))
                *l = strv_free(*l);
        return strv_extend(l, value) < 0 ? error_oom(reterr_error) : 0;
}

/* systemd-run's -p is short for --property, docker's for --publish; a port has no "=". */
int apply_publish(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;

        if (strchr(value, '='))
                return limit_apply_property(value, target, reterr_error);
        if (isempty(value) || value[strspn(value, DIGITS LOWERCASE ".:-[]/")] != 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "'%s' is neither a port, -p [IP:][HOST:]CONTAINER[/PROTOCOL], such as -p 8080:80, nor a "
                                 "property, -p NAME=VALUE.",
                                 value);
        return strv_extend(&o->network.publish, value) < 0 ? error_oom(reterr_error) : 0;
}

static int add_detail(CreateOptions *o, const char *key, const char *option, const char *value, Error *reterr_error) {
        if (isempty(value) || strpbrk(value, ",="))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "--%s=%s: one value is wanted.", option, value);
        return strv_extendf(&o->network.details, "%s=%s", key, value) < 0 ? error_oom(reterr_error) : 0;
}

int apply_ip(const char *value, void *target, Error *reterr_error) {
        return add_detail(target, "ip", "ip", value, reterr_error);
}

int apply_mac_address(const char *value, void *target, Error *reterr_error) {
        return add_detail(target, "mac", "mac-address", value, reterr_error);
}

int apply_network_alias(const char *value, void *target, Error *reterr_error) {
        return add_detail(target, "alias", "network-alias", value, reterr_error);
}

int apply_add_host(const char *value, void *target, Error *reterr_error) {
        CreateOptions *o = target;
        const char *colon = strchr(value, ':');

        if (!colon || colon == value || !colon[1])
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--add-host=%s is not NAME:ADDRESS, nor NAME:host-gateway.", value);
        return strv_extend(&o->network.hosts, value) < 0 ? error_oom(reterr_error) : 0;
}

/* -- the bag -- */

int create_network_check(const CreateNetwork *n, Error *reterr_error) {
        if (strv_length(n->details) == 0 || strv_length(n->networks) < 2)
                return 0;
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "With several networks an address, a MAC or an alias is said beside each: "
                         "--network=NAME:ip=ADDRESS,mac=MAC,alias=NAME");
}

int create_network_join(const CreateNetwork *n, char ***ret) {
        _cleanup_strv_free_ char **l = strv_copy(n->networks);
        _cleanup_free_ char *details = strv_join(n->details, ","), *s = NULL;
        const char *name;

        if (!details || (n->networks && !l))
                return -ENOMEM;
        if (strv_length(n->details) > 0) {
                name = n->networks ? n->networks[0] : NETWORK_DEFAULT;
                s = strjoin(name, strchr(startswith(name, "cni:") ?: name, ':') ? "," : ":", details);
                l = strv_free(l);
                if (!s || strv_extend(&l, s) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int create_network_append(sd_bus_message *m, const CreateNetwork *n) {
        _cleanup_strv_free_ char **networks = NULL;
        int r;

        r = create_network_join(n, &networks);
        if (r < 0)
                return r;
        const struct {
                const char *key;
                char *const *l;
        } lists[] = {
                { "Networks", networks },
                { "Publish", n->publish },
                { "Expose", n->expose },
                { "DNS", n->dns },
                { "DNSSearch", n->dns_search },
                { "DNSOptions", n->dns_options },
                { "Hosts", n->hosts },
        };
        for (size_t i = 0; i < ELEMENTSOF(lists) && r >= 0; i++)
                r = bag_append_list(m, lists[i].key, lists[i].l);
        return r < 0 ? r : bag_append_flag(m, "PublishAll", n->publish_all);
}
