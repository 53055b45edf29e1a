/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/plugin-networks.h"

#include "basic/string-util.h"
#include "ctl/output-json.h"

static int read_one(sd_bus_message *m, json_t *networks) {
        static const char *const keys[] = { "File", "CNIVersion", "Plugins", "Containers", "Error" };
        _cleanup_json_ json_t *values = NULL, *object = json_pack("{s:s}", "Driver", "cni");
        const char *name;
        int r;

        r = object ? bus_message_to_json(m, &values) : -ENOMEM;
        if (r < 0)
                return r;
        name = json_string_value(json_array_get(values, 0));
        if (!isempty(name))
                r = json_object_set_new(object, "Name", json_sprintf(PLUGIN_NETWORK_PREFIX "%s", name));
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = json_object_set(object, keys[i], json_array_get(values, i + 1));
        return r < 0 || json_array_append(networks, object) < 0 ? -ENOMEM : 0;
}

int plugin_networks_read(Ctl *c, const char *ns, json_t **ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *networks = json_array();
        int r;

        if (!networks)
                return error_oom(reterr_error);
        r = ctl_call(c, ns, BUS_NAMESPACE, "ListPluginNetworks", &reply, reterr_error, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(sssasass)");
        while (r >= 0 && (r = sd_bus_message_at_end(reply, 0)) == 0)
                r = read_one(reply, networks);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        *ret = TAKE_PTR(networks);
        return 0;
}

int plugin_networks_find(Ctl *c, const char *ns, const char *name, json_t **ret, Error *reterr_error) {
        _cleanup_json_ json_t *networks = NULL;
        json_t *network;
        size_t i;
        int r;

        r = plugin_networks_read(c, ns, &networks, reterr_error);
        if (r < 0)
                return r;
        json_array_foreach (networks, i, network)
                if (streq_ptr(json_get_string(network, "Name"), name)) {
                        *ret = json_incref(network);
                        return 0;
                }
        return error_set(reterr_error, -ENOENT, "NoSuchNetwork",
                         "There is no network \"%s\" of plug-ins; moorctl network ls lists them.", name);
}

int plugin_networks_refuse(const char *name, const char *instead, Error *reterr_error) {
        return startswith(name, PLUGIN_NETWORK_PREFIX)
                               ? error_set(reterr_error, -EINVAL, "InvalidArgument", "'%s' is a network of CNI plug-ins: %s.", name, instead)
                               : 0;
}

int plugin_networks_add_rows(json_t *networks, Table *t) {
        json_t *network;
        size_t i;

        json_array_foreach (networks, i, network) {
                const char *name = json_get_string(network, "Name"), *error = json_get_string(network, "Error");

                if (!isempty(error))
                        fprintf(stderr, "moorctl: %s\n", error);
                if (name && (table_add(t, name) < 0 || table_add(t, "cni") < 0 || table_add(t, NULL) < 0 || table_add(t, NULL) < 0 ||
                             table_add(t, NULL) < 0 ||
                             table_addf(t, "%zu", json_array_size(json_object_get(network, "Containers"))) < 0))
                        return -ENOMEM;
        }
        return 0;
}
