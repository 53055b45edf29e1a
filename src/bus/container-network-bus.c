/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/container-network-bus.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/container.h"
#include "container/network-options.h"
#include "container/options.h"

static int append_name(const NetworkInterface *i, void *userdata) {
        return strv_extend(userdata, i->network->row.name);
}

static int append_cni_name(const CniShown *s, void *userdata) {
        char ***names = userdata;
        _cleanup_free_ char *name = strjoin(NETWORK_CNI_PREFIX, s->network);

        if (!name)
                return -ENOMEM;
        return strv_contains(*names, name) ? 0 : strv_extend(names, name);
}

/* Its word, or the names of the networks that it is on now. */
int bus_container_property_get_network(sd_bus *bus, const char *path, const char *interface, const char *property,
                                       sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *joined = NULL;
        const Container *c = userdata;
        int r;

        if (container_network_mode(&c->options, NULL) == NETWORK_MODE_CNI)
                r = container_foreach_cni(c, append_cni_name, &names);
        else if (container_network_mode(&c->options, NULL) != NETWORK_MODE_NAMED)
                return bus_append_string(reply, strv_length(c->options.networks) > 0 ? c->options.networks[0] : "none");
        else
                r = container_foreach_interface(c, append_name, &names);
        if (r < 0)
                return r;
        joined = strv_join(names, ",");
        return joined ? bus_append_string(reply, joined) : -ENOMEM;
}

static int append_interface(const NetworkInterface *i, void *userdata) {
        char text[ADDRESS_TEXT_MAX], mac[ETHER_TEXT_MAX];
        sd_bus_message *m = userdata;
        int r;

        r = sd_bus_message_open_container(m, 'r', "sssasas");
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", i->network->row.name, i->name, ether_format(i->mac, mac));
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t k = 0; r >= 0 && k < i->n_addresses; k++)
                r = sd_bus_message_append_basic(m, 's', prefix_format(&i->addresses[k], text));
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) i->aliases);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_cni(const CniShown *s, void *userdata) {
        _cleanup_free_ char *name = strjoin(NETWORK_CNI_PREFIX, s->network);
        sd_bus_message *m = userdata;
        int r;

        if (!name)
                return -ENOMEM;
        r = sd_bus_message_open_container(m, 'r', "sssasas");
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", name, s->name, strempty(s->mac));
        if (r >= 0)
                r = sd_bus_message_append_strv(m, s->addresses);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, NULL);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_container_property_get_networks(sd_bus *bus, const char *path, const char *interface, const char *property,
                                        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sssasas)");
        if (r >= 0)
                r = container_foreach_interface(userdata, append_interface, reply);
        if (r >= 0)
                r = container_foreach_cni(userdata, append_cni, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int bus_container_property_get_interfaces(sd_bus *bus, const char *path, const char *interface, const char *property,
                                          sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_strv_free_ char **names = NULL;
        const Container *c = userdata;
        int r;

        r = container_interface_names(c, &names);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *object = bus_interface_path(c->row.ns, c->row.id, name);

                if (r >= 0)
                        r = object ? sd_bus_message_append_basic(reply, 'o', object) : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_port(const Port *p, void *userdata) {
        char text[ADDRESS_TEXT_MAX];

        return sd_bus_message_append(userdata, "(ssqqq)", port_protocol_to_string(p->protocol),
                                     p->host.family == AF_UNSPEC ? "" : address_format(&p->host, text), p->host_port,
                                     p->container_port, p->count);
}

int bus_container_property_get_ports(sd_bus *bus, const char *path, const char *interface, const char *property,
                                     sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ssqqq)");
        if (r >= 0)
                r = container_foreach_port(userdata, append_port, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int bus_container_property_get_network_namespace(sd_bus *bus, const char *path, const char *interface, const char *property,
                                                 sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_free_ char *namespace = container_network_namespace(userdata);

        return bus_append_string(reply, namespace);
}
