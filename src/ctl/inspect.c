/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "ctl/bus-util.h"

typedef struct InspectOptions {
        const char *type;
        bool spec;
} InspectOptions;

/* Large texts are not among the properties that GetAll() gives. One that cannot be had is left out. */
static int add_text(Ctl *c, const char *path, const char *interface, const char *name, json_t *object,
                    Error *reterr_error) {
        _cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *text = NULL;

        if (sd_bus_get_property_string(c->bus, BUS_NAME, path, interface, name, &e, &text) < 0)
                return 0;
        if (json_object_set_new(object, name, json_string(text)) < 0)
                return error_oom(reterr_error);
        json_member_expand(object, name);
        return 0;
}

static int inspect_container(Ctl *c, const char *name, bool spec, json_t **ret, Error *reterr_error) {
        const char *interface;
        _cleanup_free_ char *path = container_or_exec_path(c->ns, name, &interface);
        _cleanup_json_ json_t *object = NULL;
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = container_get_all(c, name, path, interface, &object, reterr_error);
        if (r < 0)
                return r;
        if (spec && streq(interface, BUS_CONTAINER)) {
                r = add_text(c, path, BUS_CONTAINER, "Spec", object, reterr_error);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(object);
        return 0;
}

static int inspect_image(Ctl *c, const char *name, json_t **ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_free_ char *path = namespace_path(c->ns);
        _cleanup_json_ json_t *image = NULL;
        const char *object;
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = ctl_call(c, path, BUS_NAMESPACE, "GetImage", &reply, reterr_error, "s", name);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &object);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        r = ctl_get_all(c, object, BUS_IMAGE, &image, reterr_error);
        if (r < 0)
                return r;
        r = add_text(c, object, BUS_IMAGE, "Config", image, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(image);
        return 0;
}

/* A container's name first, as docker has it. */
static int inspect_one(Ctl *c, const char *name, const InspectOptions *o, json_t **ret,
                       Error *reterr_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        bool any = !o->type;
        int r;

        if (any || streq(o->type, "container")) {
                r = inspect_container(c, name, o->spec, ret, &error);
                if (r >= 0)
                        return 0;
                if (!any || (!error_has_name(&error, "NoSuchContainer") && !error_has_name(&error, "NoSuchExec")))
                        return error_move(reterr_error, &error);
                error_done(&error);
        }
        r = inspect_image(c, name, ret, &error);
        if (r < 0 && any &&
            (error_has_name(&error, "NoSuchImage") || error_has_name(&error, "InvalidReference")))
                return error_set(reterr_error, -ENOENT, "NoSuchObject",
                                 "There is no container and no image '%s' in the namespace %s; moorctl ps -a "
                                 "and moorctl images list them.",
                                 name, c->ns);
        return r < 0 ? error_move(reterr_error, &error) : 0;
}

static int inspect_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        _cleanup_json_ json_t *all = json_array();
        InspectOptions o = {};
        int r;

        c->json = OUTPUT_PRETTY;
        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        if (o.type && !streq(o.type, "container") && !streq(o.type, "image"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--type= is container or image, not '%s'.", o.type);
        if (c->json == OUTPUT_OFF)
                c->json = OUTPUT_PRETTY;
        for (size_t i = 0; args[i]; i++) {
                json_t *object = NULL;

                r = inspect_one(c, args[i], &o, &object, reterr_error);
                if (r < 0)
                        return r;
                if (!all || json_array_append_new(all, object) < 0)
                        return error_oom(reterr_error);
        }
        return ctl_output(c, NULL, all, reterr_error);
}

static const Option inspect_options[] = {
        { 0, "type", "container|image", OPTION_STRING, offsetof(InspectOptions, type),
          .help = "Which of the two is meant" },
        { 's', "spec", NULL, OPTION_FLAG, offsetof(InspectOptions, spec),
          .help = "With a container's Spec, its OCI runtime\nconfiguration (more than a thousand lines)" },
        OPTION_END,
};

const Verb verb_inspect = {
        .name = "inspect",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER[/EXEC]|IMAGE…",
        .summary = "Show all of a container, an exec or an image, as JSON",
        .description =
                "An array of objects whose keys are the bus property names; an image's Config is its OCI image\n"
                "configuration.\n\n"
                "Examples:\n"
                "  moorctl inspect web\n"
                "  moorctl inspect --json=short busybox | jq .[0].Config.config.Cmd\n"
                "  moorctl inspect --spec web | jq .[0].Spec.mounts\n",
        .options = inspect_options,
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = inspect_main,
};
