/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/network-options.h"
#include "network/network.h"

#define RESOLV_DOMAIN_MAX 253U
#define RESOLV_OPTION_MAX 64U
#define HOST_NAME_CHARS DIGITS LOWERCASE UPPERCASE "-_."

/* -- what the options say ----------------------------------------------------------------------- */

NetworkMode container_network_mode(const ContainerOptions *o, const char **ret_target) {
        static const struct {
                const char *prefix;
                NetworkMode mode;
        } others[] = {
                { "container:", NETWORK_MODE_CONTAINER },
                { "ns:", NETWORK_MODE_PATH },
        };
        const char *s = o->networks ? o->networks[0] : NULL, *target;

        if (!s || streq(s, "none"))
                return NETWORK_MODE_NONE;
        if (streq(s, "host"))
                return NETWORK_MODE_HOST;
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                target = startswith(s, others[i].prefix);
                if (target) {
                        if (ret_target)
                                *ret_target = target;
                        return others[i].mode;
                }
        }
        return network_option_cni(s) ? NETWORK_MODE_CNI : NETWORK_MODE_NAMED;
}

const char *network_option_cni(const char *network) {
        return startswith(network, NETWORK_CNI_PREFIX);
}

static bool is_word(const char *s) {
        return streq(s, "none") || streq(s, "host") || startswith(s, "container:") || startswith(s, "ns:");
}

static int prefixed(const char *option, int r, Error *reterr_error) {
        (void) error_prefix(reterr_error, "%s", option);
        return r;
}

static int check_networks(const ContainerOptions *o, Error *reterr_error) {
        _cleanup_strv_free_ char **names = NULL; /* in the container, of plug-ins' interfaces; others get one that is free */
        const char *target = NULL;
        NetworkMode mode = container_network_mode(o, &target);

        if (strv_length(o->networks) > INTERFACES_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "Networks: more than %u.", INTERFACES_MAX);
        STRV_FOREACH(s, o->networks) {
                _cleanup_(attachment_done) Attachment a = {};
                int r;

                if (is_word(s)) {
                        if (strv_length(o->networks) == 1)
                                continue;
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Networks: \"%.100s\" stands alone, not beside others.", s);
                }
                if (!network_option_cni(s) != (mode != NETWORK_MODE_CNI))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Networks: those of plug-ins (cni:) and others cannot be mixed.");
                r = mode == NETWORK_MODE_CNI ? attachment_parse_cni(network_option_cni(s), &a, reterr_error)
                                             : attachment_parse(s, &a, reterr_error);
                if (r < 0)
                        return prefixed("Networks", r, reterr_error);
                if (mode == NETWORK_MODE_CNI) {
                        _cleanup_free_ char *name = a.interface ? strdup(a.interface) : strformat("eth%zu", strv_length(names));

                        if (name && strv_contains(names, name))
                                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                 "Networks: two interfaces would be called \"%s\": say interface_name= of one of them.", name);
                        if (!name || strv_extend(&names, name) < 0)
                                return error_oom(reterr_error);
                }
        }
        switch (mode) {

        case NETWORK_MODE_CONTAINER:
                return container_id_is_valid(target) ? 0
                                                     : error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                                 "Networks: \"%.100s\" is no container's name.", target);

        case NETWORK_MODE_PATH:
                return path_is_normalized(target) && string_is_safe(target)
                                       ? 0
                                       : error_set(reterr_error, -EINVAL, "InvalidArgument",
                                                   "Networks: \"%.200s\" is not an absolute path without \"..\".",
                                                   target);

        default:
                return 0;
        }
}

static int check_ports(const ContainerOptions *o, Error *reterr_error) {
        size_t n = 0;
        Port p;
        int r;

        STRV_FOREACH(s, o->publish) {
                r = port_parse(s, &p, reterr_error);
                if (r < 0)
                        return prefixed("Publish", r, reterr_error);
                n += p.count;
        }
        STRV_FOREACH(s, o->expose) {
                r = port_parse_exposed(s, &p, reterr_error);
                if (r < 0)
                        return prefixed("Expose", r, reterr_error);
                n += p.count;
        }
        return n <= PORTS_MAX ? 0
                              : error_set(reterr_error, -EINVAL, "InvalidArgument", "Publish: more than %u ports.",
                                          PORTS_MAX);
}

/* Plug-ins are told a port: none of them chooses one. */
static int check_cni_ports(const ContainerOptions *o, Error *reterr_error) {
        Port p;

        if (o->publish_all)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Publish: for networks of plug-ins (Networks=cni:) each port is named, with the host's.");
        STRV_FOREACH(s, o->publish)
                if (port_parse(s, &p, NULL) >= 0 && p.host_port == 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Publish: %s: for networks of plug-ins (Networks=cni:) the host's port is to be named, "
                                         "as in 8080:80.",
                                         s);
        return 0;
}

int network_options_check_ports(const ContainerOptions *o, Error *reterr_error) {
        static const char *const why[] = {
                [NETWORK_MODE_NONE] = "without a network (Networks=none) there is nothing to publish",
                [NETWORK_MODE_HOST] = "on the host's network (Networks=host) all ports are the host's already",
                [NETWORK_MODE_CONTAINER] = "who shares a network (Networks=container:) leaves its ports to the other",
                [NETWORK_MODE_PATH] = "moored does not manage the namespace that is joined (Networks=ns:)",
        };
        NetworkMode mode = container_network_mode(o, NULL);

        if (mode == NETWORK_MODE_CNI)
                return check_cni_ports(o, reterr_error);
        return mode == NETWORK_MODE_NAMED || !(strv_length(o->publish) > 0 || o->publish_all)
                               ? 0
                               : error_set(reterr_error, -EINVAL, "InvalidArgument", "Publish: %s.", why[mode]);
}

static int check_resolver(const ContainerOptions *o, Error *reterr_error) {
        const struct {
                const char *option;
                char *const *l;
        } lists[] = { { "DNS", o->dns }, { "DNSSearch", o->dns_search }, { "DNSOptions", o->dns_options } };
        Address a;

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (strv_length(lists[i].l) > NETWORK_SERVERS_MAX)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument", "%s: more than %u.", lists[i].option,
                                         NETWORK_SERVERS_MAX);
        STRV_FOREACH(s, o->dns)
                if (address_parse(s, &a) < 0)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "DNS: \"%.100s\" is not the address of a server.", s);
        STRV_FOREACH(s, o->dns_search)
                if (isempty(s) || strlen(s) > RESOLV_DOMAIN_MAX || !string_in_charset(s, HOST_NAME_CHARS))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "DNSSearch: \"%.300s\" is not a domain (\".\" is: none).", s);
        STRV_FOREACH(s, o->dns_options)
                if (isempty(s) || strlen(s) > RESOLV_OPTION_MAX || strchr(s, ' '))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "DNSOptions: \"%.100s\" is not an option of resolv.conf(5).", s);
        return 0;
}

static int check_hosts(const ContainerOptions *o, Error *reterr_error) {
        Address a;

        STRV_FOREACH(s, o->hosts) {
                size_t n = strcspn(s, ":");
                const char *address = s[n] ? s + n + 1 : NULL;

                if (n == 0 || n > RESOLV_DOMAIN_MAX || strspn(s, HOST_NAME_CHARS) != n || !address ||
                    (!streq(address, NETWORK_HOST_GATEWAY) && address_parse(address, &a) < 0))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Hosts: \"%.300s\" is not NAME:ADDRESS, nor NAME:" NETWORK_HOST_GATEWAY ".",
                                         s);
        }
        return 0;
}

int network_options_validate(const ContainerOptions *o, Error *reterr_error) {
        int r;

        r = check_networks(o, reterr_error);
        if (r >= 0)
                r = check_ports(o, reterr_error);
        if (r >= 0 && strv_length(o->networks) > 0)
                r = network_options_check_ports(o, reterr_error);
        if (r >= 0)
                r = check_resolver(o, reterr_error);
        return r < 0 ? r : check_hosts(o, reterr_error);
}

/* -- /etc/hosts --------------------------------------------------------------------------------- */

static int append(char **text, char *more) {
        _cleanup_free_ char *owned = more;
        char *s;

        if (!owned)
                return -ENOMEM;
        s = strjoin(strempty(*text), owned);
        if (!s)
                return -ENOMEM;
        free(*text);
        *text = s;
        return 0;
}

int hosts_build(const HostsInput *in, char **ret) {
        _cleanup_free_ char *text = NULL, *names = strv_join(in->names, " ");
        char buffer[ADDRESS_TEXT_MAX];
        int r;

        if (!names)
                return -ENOMEM;
        r = append(&text, strdup(in->before ?: "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"));
        for (size_t i = 0; r >= 0 && i < in->n_addresses; i++)
                r = append(&text, strjoin(address_format(&in->addresses[i], buffer), "\t", names, "\n"));
        if (r >= 0 && !in->before && in->n_addresses == 0)
                r = append(&text, strjoin("127.0.1.1\t", names, "\n"));
        STRV_FOREACH(s, in->entries) {
                const char *address = strchr(s, ':') + 1;
                _cleanup_free_ char *name = strndup(s, (size_t) (address - s) - 1);

                if (streq(address, NETWORK_HOST_GATEWAY)) {
                        if (in->gateway.family == AF_UNSPEC)
                                continue;
                        address = address_format(&in->gateway, buffer);
                }
                if (r >= 0)
                        r = name ? append(&text, strjoin(address, "\t", name, "\n")) : -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}

/* -- /etc/resolv.conf --------------------------------------------------------------------------- */

static bool is_loopback(const char *server) {
        Address a;

        if (address_parse(server, &a) < 0)
                return true; /* with a scope: it is a device of the host's that is meant */
        return a.family == AF_INET ? a.bytes[0] == 127 : IN6_IS_ADDR_LOOPBACK(&a.in6);
}

/* The words behind the keyword of a line; NULL: it is another line, or OOM. */
static char **line_words(const char *line, const char *keyword) {
        char **words = strv_split(line, " \t\r"), **rest;

        if (strv_length(words) < 2 || !streq(words[0], keyword))
                return strv_free(words);
        rest = strv_copy(words + 1);
        strv_free(words);
        return rest;
}

/* all: of all such lines, else of the last. */
static int find_words(const char *text, const char *keyword, bool all, char ***ret) {
        _cleanup_strv_free_ char **lines = strv_split(text, "\n"), **found = NULL;
        int r = 0;

        STRV_FOREACH(line, lines) {
                _cleanup_strv_free_ char **words = line_words(line, keyword);

                if (!words)
                        continue;
                if (!all)
                        found = strv_free(found);
                r = strv_extend_strv(&found, words);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(found);
        return 0;
}

bool resolv_is_loopback(const char *text) {
        _cleanup_strv_free_ char **servers = NULL;

        if (find_words(text, "nameserver", true, &servers) < 0)
                return false;
        STRV_FOREACH(s, servers)
                if (!is_loopback(s))
                        return false;
        return servers;
}

static int append_servers(char **text, char *const *servers, char *const *others, bool loopback) {
        size_t n = 0;
        int r = 0;

        STRV_FOREACH(s, servers)
                if (r >= 0 && (loopback || !is_loopback(s)) && !strv_contains(others, s)) {
                        r = append(text, strjoin("nameserver ", s, "\n"));
                        n++;
                }
        if (r >= 0 && n == 0 && strv_length(servers) > 0)
                r = append(text, strdup("# The host's servers can be reached on the host only: see --dns.\n"));
        return r;
}

static int append_words(char **text, const char *keyword, char *const *words) {
        _cleanup_free_ char *joined = strv_join(words, " ");

        if (strv_length(words) == 0)
                return 0;
        return joined ? append(text, strjoin(keyword, " ", joined, "\n")) : -ENOMEM;
}

static bool is_root(char *const *domains) {
        return strv_length(domains) == 1 && streq(domains[0], ".");
}

static int build_search(char *const *wanted, char *const *host, const ResolvOwn *own, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r = 0;

        /* "." alone: none. */
        if (!is_root(wanted)) {
                r = strv_extend_strv(&l, own->domains);
                /* The host's "." says that it has none; behind another one musl would look for no bare name at all. */
                if (r >= 0 && (strv_length(wanted) > 0 || strv_length(l) == 0 || !is_root(host)))
                        r = strv_extend_strv(&l, strv_length(wanted) > 0 ? wanted : host);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

int resolv_build(const char *text, bool loopback, const ContainerOptions *o, const ResolvOwn *own, char **ret) {
        _cleanup_strv_free_ char **servers = NULL, **domains = NULL, **options = NULL, **search = NULL;
        _cleanup_free_ char *out = NULL;
        int r;

        r = find_words(text, "nameserver", true, &servers);
        if (r >= 0)
                r = find_words(text, "search", false, &domains);
        if (r >= 0)
                r = find_words(text, "options", true, &options);
        if (r >= 0)
                r = append(&out, strdup(""));
        if (r >= 0)
                r = build_search(o->dns_search, domains, own, &search);
        if (r >= 0)
                r = strv_length(o->dns) > 0         ? append_servers(&out, o->dns, NULL, true)
                    : strv_length(own->servers) > 0 ? append_servers(&out, own->servers, NULL, true)
                                                    : append_servers(&out, servers, own->others, loopback);
        if (r >= 0)
                r = append_words(&out, "search", search);
        if (r >= 0)
                r = append_words(&out, "options", strv_length(o->dns_options) > 0 ? o->dns_options : options);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}
