/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include <systemd/sd-id128.h>

#include "bus/bus-object.h"
#include "bus/bus-options.h"
#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/unit-name.h"

/* Introspection is served by sd-bus itself over a socket pair, from the tables that the daemon registers:
 * what `moored --bus-introspect` prints is what the running daemon answers, but for the children that
 * exist. */

static const BusObject *const objects[] = {
        &bus_manager_object,   &bus_namespace_object, &bus_image_object,
        &bus_container_object, &bus_exec_object,      &bus_interface_object,
        &bus_network_object,   &bus_job_object,
};

Bus *bus_current(sd_bus *bus) {
        return sd_bus_slot_get_userdata(sd_bus_get_current_slot(bus));
}

static char *path_encode(const char *pattern, const char *a, const char *b, const char *c) {
        char *path;

        return sd_bus_path_encode_many(&path, pattern, a, b, c) < 0 ? NULL : path;
}

char *bus_namespace_path(const char *ns) {
        return path_encode(BUS_PATTERN_NAMESPACE, ns, NULL, NULL);
}

char *bus_image_path(const char *ns, const char *name) {
        return path_encode(BUS_PATTERN_IMAGE, ns, name, NULL);
}

char *bus_container_path(const char *ns, const char *id) {
        return path_encode(BUS_PATTERN_CONTAINER, ns, id, NULL);
}

char *bus_exec_path(const char *ns, const char *id, uint64_t n) {
        _cleanup_free_ char *s = strformat("%" PRIu64, n);

        return s ? path_encode(BUS_PATTERN_EXEC, ns, id, s) : NULL;
}

char *bus_interface_path(const char *ns, const char *id, const char *name) {
        return path_encode(BUS_PATTERN_INTERFACE, ns, id, name);
}

char *bus_network_path(const char *ns, const char *name) {
        return path_encode(BUS_PATTERN_NETWORK, ns, name, NULL);
}

char *bus_job_path(uint32_t id) {
        _cleanup_free_ char *s = strformat("%u", id);

        return s ? path_encode(BUS_PATTERN_JOB, s, NULL, NULL) : NULL;
}

int bus_reply_path(sd_bus_message *m, const char *path) {
        return path ? sd_bus_reply_method_return(m, "o", path) : -ENOMEM;
}

int bus_reply_open_array(sd_bus_message *m, const char *contents, sd_bus_message **ret) {
        int r;

        r = sd_bus_message_new_method_return(m, ret);
        return r < 0 ? r : sd_bus_message_open_container(*ret, 'a', contents);
}

int bus_reply_send_array(sd_bus_message *reply, int r) {
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int bus_append_string(sd_bus_message *reply, const char *s) {
        return sd_bus_message_append_basic(reply, 's', strempty(s));
}

int bus_property_get_bool(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const bool *b = userdata;

        return sd_bus_message_append(reply, "b", (int) *b);
}

int bus_property_get_unit_path(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const char *const *unit = userdata;
        _cleanup_free_ char *unit_path = unit_object_path(*unit);

        return unit_path ? sd_bus_message_append(reply, "o", unit_path) : -ENOMEM;
}

int bus_property_get_labels(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        char *const *const *labels = userdata;

        return bus_append_labels(reply, *labels);
}

static int register_object(sd_bus *bus, const BusObject *o, sd_bus_object_find_t find, void *userdata) {
        int r;

        if (!o->pattern)
                return sd_bus_add_object_vtable(bus, NULL, o->prefix, o->interface, o->vtable, userdata);

        r = sd_bus_add_fallback_vtable(bus, NULL, o->prefix, o->interface, o->vtable, find, userdata);
        if (r < 0 || !o->enumerate || find != o->find)
                return r;
        return sd_bus_add_node_enumerator(bus, NULL, o->prefix, o->enumerate, userdata);
}

int bus_register_objects(Bus *b, Error *reterr_error) {
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(objects) && r >= 0; i++)
                r = register_object(b->bus, objects[i], objects[i]->find, b);
        if (r >= 0)
                r = sd_bus_add_object_manager(b->bus, NULL, BUS_PATH);
        if (r >= 0)
                r = sd_bus_add_object_vtable(b->bus, NULL, "/org/freedesktop/LogControl1",
                                             "org.freedesktop.LogControl1", bus_log_control_vtable, NULL);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The bus objects cannot be registered: %m");
        return 0;
}

/* -- introspection without a bus -- */

typedef struct Introspection {
        char *xml;
        int result; /* 0 while there is no answer */
} Introspection;

static int introspect_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                           void **ret_found, sd_bus_error *ret_error) {
        const BusObject *o = userdata;
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;
        int r;

        r = sd_bus_path_decode_many(path, o->pattern, &a, &b, &c);
        if (r > 0)
                *ret_found = userdata;
        return r;
}

static int introspect_on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Introspection *x = userdata;
        const char *xml;
        int r;

        r = -sd_bus_message_get_errno(reply);
        if (r == 0)
                r = sd_bus_message_read_basic(reply, 's', &xml);
        if (r >= 0)
                r = free_and_strdup(&x->xml, xml);
        x->result = r < 0 ? r : 1;
        return 1;
}

static int introspect_connect(sd_bus **ret_server, sd_bus **ret_client) {
        _cleanup_(sd_bus_unrefp) sd_bus *server = NULL, *client = NULL;
        _cleanup_close_ int a = -EBADF, b = -EBADF;
        sd_id128_t id;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        a = pair[0];
        b = pair[1];

        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_new(&server);
        if (r >= 0)
                r = sd_bus_set_fd(server, a, a);
        if (r < 0)
                return r;
        TAKE_FD(a);

        r = sd_bus_new(&client);
        if (r >= 0)
                r = sd_bus_set_fd(client, b, b);
        if (r < 0)
                return r;
        TAKE_FD(b);

        r = sd_bus_set_server(server, true, id);
        if (r >= 0)
                r = sd_bus_set_anonymous(server, true);
        if (r >= 0)
                r = sd_bus_set_anonymous(client, true);
        if (r >= 0)
                r = sd_bus_start(server);
        if (r >= 0)
                r = sd_bus_start(client);
        if (r < 0)
                return r;

        *ret_server = TAKE_PTR(server);
        *ret_client = TAKE_PTR(client);
        return 0;
}

static int introspect_path(const char *path, char **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *server = NULL, *client = NULL;
        Introspection x = {};
        int r, idle = 0;

        r = introspect_connect(&server, &client);
        for (size_t i = 0; i < ELEMENTSOF(objects) && r >= 0; i++)
                r = register_object(server, objects[i], introspect_find, (void *) objects[i]);
        if (r >= 0)
                r = sd_bus_add_object_manager(server, NULL, BUS_PATH);
        if (r >= 0)
                r = sd_bus_call_method_async(client, NULL, NULL, path, "org.freedesktop.DBus.Introspectable",
                                             "Introspect", introspect_on_reply, &x, NULL);

        /* Both ends are here: when neither has anything to do twice in a row nothing will come any more. */
        while (r >= 0 && x.result == 0 && idle < 2) {
                int s = sd_bus_process(server, NULL), c = sd_bus_process(client, NULL);

                r = MIN(s, c);
                idle = s == 0 && c == 0 ? idle + 1 : 0;
        }
        if (r >= 0)
                r = x.result == 0 ? -EPIPE : x.result;
        if (r < 0) {
                free(x.xml);
                return r;
        }

        *ret = x.xml;
        return 0;
}

/* The lines from <interface name="…"> to its end. */
static int print_interface(FILE *f, const char *xml, const char *interface) {
        _cleanup_free_ char *head = strformat(" <interface name=\"%s\">", interface);
        const char *begin, *end;

        if (!head)
                return -ENOMEM;

        begin = strstr(xml, head);
        end = begin ? strstr(begin, "</interface>\n") : NULL;
        if (!end)
                return -ENXIO;

        fprintf(f,
                "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
                " \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n"
                "<node>\n%.*s</interface>\n</node>\n",
                (int) (end - begin), begin);
        return 0;
}

static bool is_object_path(const char *path) {
        for (size_t i = 0; i < ELEMENTSOF(objects); i++) {
                _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;

                if (objects[i]->pattern ? sd_bus_path_decode_many(path, objects[i]->pattern, &a, &b, &c) > 0
                                        : streq(path, objects[i]->prefix))
                        return true;
        }

        return false;
}

int bus_introspect(FILE *f, const char *what, Error *reterr_error) {
        _cleanup_free_ char *xml = NULL;
        const char *path = NULL;
        int r;

        if (streq(what, "list")) {
                for (size_t i = 0; i < ELEMENTSOF(objects); i++)
                        fprintf(f, "%s\t%s\n", objects[i]->interface, objects[i]->sample);
                return 0;
        }

        for (size_t i = 0; i < ELEMENTSOF(objects); i++)
                if (streq(objects[i]->interface, what))
                        path = objects[i]->sample;
        if (!path && !(sd_bus_object_path_is_valid(what) > 0 && is_object_path(what)))
                return error_set(
                                reterr_error, -ENXIO, "InvalidArgument",
                                "“%s” is no interface and no object; --bus-introspect=list shows them.",
                                what);

        r = introspect_path(path ?: what, &xml);
        if (r >= 0 && path)
                r = print_interface(f, xml, what);
        else if (r >= 0)
                fputs(xml, f);
        if (r < 0)
                return error_set_errno(reterr_error, r, "“%s” cannot be introspected: %m", what);
        return 0;
}
