/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-error.h"
#include "bus/bus-object.h"
#include "bus/bus-options.h"
#include "basic/strv.h"

/* org.moored1.Image. userdata of methods and getters is the Image. */

static int method_tag(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        Image *i = userdata;
        const char *target;
        int r;

        r = sd_bus_message_read(m, "s", &target);
        if (r < 0)
                return r;
        r = image_tag(i->manager, i->row.ns, i->row.name, target, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        Image *i = userdata;
        bool force;
        int r;

        r = bus_options_parse_force(m, &force, &error);
        if (r >= 0)
                r = image_remove(i->manager, i->row.ns, i->row.name, force, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return sd_bus_reply_method_return(m, NULL);
}

static int property_get_platforms(sd_bus *bus, const char *path, const char *interface, const char *property,
                                  sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Image *i = userdata;

        /* Of an index only what was asked for is here. */
        return isempty(i->row.platform) ? sd_bus_message_append(reply, "as", 0)
                                        : sd_bus_message_append(reply, "as", 1, i->row.platform);
}

static int property_get_config(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        Image *i = userdata;
        int r;

        r = image_get_config_text(i->manager, i, &text, &error);
        if (r < 0)
                return bus_error_set(ret_error, &error);

        return bus_append_string(reply, text);
}

static int image_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                             void **ret_found, sd_bus_error *ret_error) {
        _cleanup_free_ char *ns = NULL, *name = NULL;
        Bus *b = userdata;
        Image *i;
        int r;

        r = sd_bus_path_decode_many(path, BUS_PATTERN_IMAGE, &ns, &name);
        if (r <= 0)
                return r;

        i = image_find(b->context.images, ns, name, NULL);
        /* Only the complete name has an object: there is one path for each image. */
        if (!i || !streq(i->row.name, name))
                return 0;

        *ret_found = i;
        return 1;
}

static int image_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                           sd_bus_error *ret_error) {
        size_t n = 0;
        Bus *b = userdata;
        _cleanup_strv_free_ char **nodes = calloc(image_count(b->context.images, NULL) + 1, sizeof(*nodes));
        HashmapIterator it = 0;
        Image *i;

        if (!nodes)
                return -ENOMEM;
        while (image_iterate(b->context.images, &it, &i)) {
                nodes[n] = bus_image_path(i->row.ns, i->row.name);
                if (!nodes[n++])
                        return -ENOMEM;
        }

        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

static const sd_bus_vtable image_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Tag", SD_BUS_ARGS("s", target), SD_BUS_NO_RESULT, method_tag,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Name", "s", NULL, offsetof(Image, row.name), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Namespace", "s", NULL, offsetof(Image, row.ns), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Digest", "s", NULL, offsetof(Image, row.digest),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MediaType", "s", NULL, offsetof(Image, row.media_type),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Size", "t", NULL, offsetof(Image, row.total_size),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Platforms", "as", property_get_platforms, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("CreatedUSec", "t", NULL, offsetof(Image, row.created_usec),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("TaggedUSec", "t", NULL, offsetof(Image, row.tagged_usec),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Labels", "a{ss}", bus_property_get_labels, offsetof(Image, row.labels),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Unpacked", "b", bus_property_get_bool, offsetof(Image, unpacked),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Config", "s", property_get_config, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
        SD_BUS_VTABLE_END,
};

const BusObject bus_image_object = {
        .interface = BUS_INTERFACE_IMAGE,
        .prefix = BUS_PATH "/namespace",
        .pattern = BUS_PATTERN_IMAGE,
        .sample = BUS_PATH "/namespace/default/image/docker_2eio_2flibrary_2fbusybox_3alatest",
        .vtable = image_vtable,
        .find = image_object_find,
        .enumerate = image_enumerate,
};
