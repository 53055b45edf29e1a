/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/cni-bus.h"

#include "basic/string-util.h"
#include "bus/bus-error.h"
#include "bus/bus-object.h"
#include "container/container.h"

/* Networks of plug-ins are files of the host: no object is kept of them, they are read when somebody asks. */

typedef struct Listing {
        Bus *bus;
        const NamespaceRow *ns;
        sd_bus_message *reply;
} Listing;

static int append_plugins(sd_bus_message *reply, const CniConf *conf) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && conf && cni_conf_plugin(conf, i); i++)
                r = sd_bus_message_append_basic(reply, 's', cni_conf_plugin(conf, i));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_containers(const Listing *l, const CniConf *conf) {
        HashmapIterator it = 0;
        Container *c;
        int r;

        r = sd_bus_message_open_container(l->reply, 'a', "s");
        while (r >= 0 && conf && container_iterate(l->bus->context.containers, &it, &c))
                if (streq(c->row.ns, l->ns->name) && container_is_on_cni(c, conf->name))
                        r = sd_bus_message_append_basic(l->reply, 's', c->row.id);
        return r < 0 ? r : sd_bus_message_close_container(l->reply);
}

static int append_network(const char *file, const CniConf *conf, const Error *error, void *userdata) {
        _cleanup_free_ char *shown = strdup(file);
        _cleanup_error_ Error e = ERROR_NULL;
        const Listing *l = userdata;
        int r;

        if (!shown)
                return -ENOMEM;
        if (conf && cni_find_plugins(CNI_PLUGIN_PATH, conf, &e) < 0)
                error = &e;
        r = sd_bus_message_open_container(l->reply, 'r', "sssasass");
        if (r >= 0)
                r = sd_bus_message_append(l->reply, "sss", conf ? conf->name : "", string_sanitize(shown),
                                          conf ? conf->version : "");
        if (r >= 0)
                r = append_plugins(l->reply, conf);
        if (r >= 0)
                r = append_containers(l, conf);
        if (r >= 0)
                r = bus_append_string(l->reply, error && error_is_set(error) ? error_message(error) : "");
        return r < 0 ? r : sd_bus_message_close_container(l->reply);
}

int bus_namespace_method_list_plugin_networks(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        Listing l = { .bus = bus_current(sd_bus_message_get_bus(m)), .ns = userdata };
        int r;

        r = bus_reply_open_array(m, "(sssasass)", &reply);
        l.reply = reply;
        if (r >= 0)
                r = cni_foreach(CNI_CONF_DIR, append_network, &l, &error);
        if (error_is_set(&error))
                return bus_error_set(ret_error, &error);
        return bus_reply_send_array(reply, r);
}
