/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configurations, and what each plug-in gets of them. A plug-in's object goes to it as it is written, unknown keys and all, but for
 * those that the specification reserves for the runtime. */

#include <limits.h>

#include "basic/string-util.h"
#include "oci/cni.h"

#define RESERVED_PREFIX "cni.dev/"

static const char *const cni_command_table[_CNI_COMMAND_MAX] = {
        [CNI_ADD] = "ADD", [CNI_DEL] = "DEL", [CNI_CHECK] = "CHECK", [CNI_STATUS] = "STATUS", [CNI_GC] = "GC",
};
DEFINE_STRING_TABLE(cni_command, CniCommand)

/* Ascending. What came before has no lists. */
static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
#define VERSION_CHECK 2 /* index of 0.4.0 */
#define VERSION_GC 4

static int version_index(const char *version) {
        for (size_t i = 0; i < ELEMENTSOF(versions); i++)
                if (streq_ptr(versions[i], version))
                        return (int) i;
        return -EPROTONOSUPPORT;
}

static bool name_is_valid(const char *s, size_t max) {
        return !isempty(s) && strlen(s) <= max && string_in_charset(s, UPPERCASE LOWERCASE DIGITS "_.-") &&
               !strchr("_.-", s[0]);
}

bool cni_name_is_valid(const char *s) {
        return name_is_valid(s, CNI_NAME_MAX);
}

bool cni_container_id_is_valid(const char *s) {
        return name_is_valid(s, CNI_CONTAINER_ID_MAX);
}

void cni_conf_done(CniConf *c) {
        free(c->name);
        free(c->version);
        json_decref(c->plugins);
        *c = (CniConf){};
}

/* -- from text ---------------------------------------------------------------------------------- */

#define bad(e, ...) error_set((e), -EBADMSG, "BadNetworkConfiguration", __VA_ARGS__)

static int parse_text(const char *text, size_t n, json_t **ret, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;

        return json_parse(text, n, CNI_FILE_SIZE_MAX, ret, &e) < 0 ? bad(reterr_error, "%s", error_message(&e)) : 0;
}

static bool type_is_valid(const char *type) {
        return !isempty(type) && strlen(type) <= NAME_MAX && !strpbrk(type, "/\\") && type[0] != '.' && string_is_safe(type);
}

static int check_plugin(const json_t *plugin, size_t i, Error *reterr_error) {
        const json_t *capabilities;
        const char *type;

        if (!json_is_object(plugin))
                return bad(reterr_error, "plugins[%zu] is not an object.", i);
        type = json_string_value(json_object_get(plugin, "type"));
        if (!type_is_valid(type))
                return bad(reterr_error, "plugins[%zu]: \"type\" is to be the name of a plug-in, without a path.", i);
        capabilities = json_object_get(plugin, "capabilities");
        return !capabilities || json_is_null(capabilities) || json_is_object(capabilities)
                               ? 0
                               : bad(reterr_error, "plugins[%zu]: \"capabilities\" is not an object.", i);
}

static int take_plugin(CniConf *c, json_t *plugin, Error *reterr_error) {
        size_t n = json_array_size(c->plugins);
        int r;

        if (n >= CNI_PLUGINS_MAX)
                return bad(reterr_error, "It has more than %u plug-ins.", CNI_PLUGINS_MAX);
        r = check_plugin(plugin, n, reterr_error);
        if (r < 0)
                return r;
        return json_array_append(c->plugins, plugin) < 0 ? error_oom(reterr_error) : 0;
}

static int choose_version(json_t *j, char **ret, Error *reterr_error) {
        const char *version = json_get_string(j, "cniVersion");
        const json_t *list = json_object_get(j, "cniVersions"), *v;
        int best = version_index(version);
        size_t i;

        if (list && !json_is_null(list) && !json_is_array(list))
                return bad(reterr_error, "\"cniVersions\" is not a list.");
        json_array_foreach(list, i, v)
                best = MAX(best, version_index(json_string_value(v)));
        if (best < 0)
                return bad(reterr_error, "Its version (\"cniVersion\": \"%.32s\") is none of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0.",
                           strempty(version));
        *ret = strdup(versions[best]);
        return *ret ? 0 : error_oom(reterr_error);
}

/* libcni takes a string as well. */
static int get_flag(json_t *j, const char *name, bool *ret, Error *reterr_error) {
        const json_t *v = json_object_get(j, name);
        int r;

        if (!v || json_is_null(v))
                return 0;
        r = json_is_boolean(v) ? json_is_true(v) : json_is_string(v) ? parse_boolean(json_string_value(v)) : -EINVAL;
        if (r < 0)
                return bad(reterr_error, "\"%s\" is neither true nor false.", name);
        *ret = r;
        return 0;
}

static int from_object(json_t *j, CniConf *ret, Error *reterr_error) {
        _cleanup_(cni_conf_done) CniConf c = { .plugins = json_array() };
        json_t *list = json_object_get(j, "plugins"), *plugin;
        const char *name = json_get_string(j, "name");
        size_t i;
        int r;

        if (!c.plugins)
                return error_oom(reterr_error);
        if (!cni_name_is_valid(name))
                return bad(reterr_error, "\"name\" is to have letters, digits, \"_\", \".\" and \"-\", at most %u of them.",
                           CNI_NAME_MAX);
        c.name = strdup(name);
        if (!c.name)
                return error_oom(reterr_error);
        r = choose_version(j, &c.version, reterr_error);
        if (r >= 0)
                r = get_flag(j, "disableCheck", &c.disable_check, reterr_error);
        if (r >= 0)
                r = get_flag(j, "disableGC", &c.disable_gc, reterr_error);
        if (r >= 0)
                r = get_flag(j, "loadOnlyInlinedPlugins", &c.only_inlined, reterr_error);
        if (r < 0)
                return r;

        if (!list && json_object_get(j, "type")) {
                r = take_plugin(&c, j, reterr_error);
                c.only_inlined = true;
        } else if (list && !json_is_array(list))
                return bad(reterr_error, "\"plugins\" is not a list.");
        else if (!list && c.only_inlined)
                return bad(reterr_error, "It has no plug-ins (\"plugins\").");
        json_array_foreach(list, i, plugin)
                if (r >= 0)
                        r = take_plugin(&c, plugin, reterr_error);
        if (r < 0)
                return r;

        *ret = c;
        c = (CniConf){};
        return 0;
}

int cni_conf_parse(const char *text, size_t n, CniConf *ret, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = parse_text(text, n, &j, reterr_error);
        return r < 0 ? r : from_object(j, ret, reterr_error);
}

int cni_conf_append(CniConf *c, const char *text, size_t n, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = parse_text(text, n, &j, reterr_error);
        return r < 0 ? r : take_plugin(c, j, reterr_error);
}

const char *cni_conf_plugin(const CniConf *c, size_t i) {
        return json_string_value(json_object_get(json_array_get(c->plugins, i), "type"));
}

bool cni_conf_knows(const CniConf *c, CniCommand command) {
        int version = version_index(c->version);

        return command == CNI_CHECK                            ? version >= VERSION_CHECK
               : command == CNI_STATUS || command == CNI_GC ? version >= VERSION_GC
                                                               : true;
}

bool cni_conf_has_capability(const CniConf *c, const char *capability) {
        const json_t *plugin;
        size_t i;

        json_array_foreach(c->plugins, i, plugin)
                if (json_is_true(json_object_get(json_object_get(plugin, "capabilities"), capability)))
                        return true;
        return false;
}

/* -- as recorded -------------------------------------------------------------------------------- */

int cni_conf_to_json(const CniConf *c, json_t **ret) {
        *ret = json_pack("{s:s, s:s, s:b, s:b, s:b, s:O}", "name", c->name, "cniVersion", c->version, "disableCheck",
                         (int) c->disable_check, "disableGC", (int) c->disable_gc, "loadOnlyInlinedPlugins",
                         (int) c->only_inlined, "plugins", c->plugins);
        return *ret ? 0 : -ENOMEM;
}

int cni_conf_from_json(json_t *j, CniConf *ret, Error *reterr_error) {
        return json_is_object(j) ? from_object(j, ret, reterr_error) : bad(reterr_error, "It is not an object.");
}

/* -- for a plug-in ------------------------------------------------------------------------------ */

static int copy_plugin(const json_t *plugin, json_t **ret) {
        static const char *const ours[] = { "capabilities", "runtimeConfig", "prevResult", "cniVersion", "cniVersions", "name",
                                            "disableCheck", "disableGC", "loadOnlyInlinedPlugins" };
        _cleanup_json_ json_t *j = json_object();
        const char *key;
        json_t *value;

        if (!j)
                return -ENOMEM;
        json_object_foreach((json_t *) plugin, key, value) {
                bool skip = startswith(key, RESERVED_PREFIX);

                for (size_t i = 0; i < ELEMENTSOF(ours); i++)
                        skip = skip || streq(key, ours[i]);
                if (!skip && json_object_set(j, key, value) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(j);
        return 0;
}

static int runtime_config(const json_t *plugin, json_t *capabilities, json_t **ret) {
        _cleanup_json_ json_t *j = json_object();
        const char *key;
        json_t *wanted;

        if (!j)
                return -ENOMEM;
        json_object_foreach(json_object_get(plugin, "capabilities"), key, wanted) {
                json_t *value = json_is_true(wanted) ? json_object_get(capabilities, key) : NULL;

                if (value && json_object_set(j, key, value) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(j);
        return 0;
}

int cni_request(const CniConf *c, size_t i, CniCommand command, json_t *capabilities, json_t *previous, json_t *attachments,
                json_t **ret) {
        const json_t *plugin = json_array_get(c->plugins, i);
        bool attached = command != CNI_GC && command != CNI_STATUS;
        _cleanup_json_ json_t *j = NULL, *config = NULL;
        int r;

        r = copy_plugin(plugin, &j);
        if (r < 0)
                return r;
        r = json_object_set_new(j, "cniVersion", json_string(c->version));
        r |= json_object_set_new(j, "name", json_string(c->name));
        if (command == CNI_GC)
                r |= json_object_set(j, RESERVED_PREFIX "valid-attachments", attachments);
        if (attached && capabilities) {
                if (runtime_config(plugin, capabilities, &config) < 0)
                        return -ENOMEM;
                if (json_object_size(config) > 0)
                        r |= json_object_set(j, "runtimeConfig", config);
        }
        /* Plug-ins of before do not expect one with DEL. */
        if (attached && previous && (command != CNI_DEL || version_index(c->version) >= VERSION_CHECK))
                r |= json_object_set(j, "prevResult", previous);
        if (r < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(j);
        return 0;
}
