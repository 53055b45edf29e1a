/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strict about what decides which bytes run (platform, DiffIDs), lenient about what only describes: a date
 * that cannot be read is "not known". Docker's maps with empty values (Volumes, ExposedPorts) become lists
 * of their keys. */

#include <limits.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "oci/digest.h"
#include "oci/image-config.h"

#define USER_MAX 512U
#define STOP_SIGNAL_MAX 32U
#define PLATFORM_PART_MAX 64U
#define NSEC_PER_USEC 1000

ImageConfig *image_config_free(ImageConfig *c) {
        if (!c)
                return NULL;

        platform_done(&c->platform);
        free(c->user);
        strv_free(c->env);
        strv_free(c->entrypoint);
        strv_free(c->cmd);
        free(c->working_dir);
        free(c->stop_signal);
        strv_free(c->volumes);
        strv_free(c->exposed_ports);
        strv_free(c->labels);
        strv_free(c->diff_ids);
        strv_free(c->health.test);
        free(c);
        return NULL;
}

static int bad(Error *e, const char *why) {
        return error_set(e, -EBADMSG, "InvalidImageConfig", "The image configuration is invalid: %s.", why);
}

static int oom(Error *e) {
        return error_set_errno(e, -ENOMEM, "Out of memory.");
}

static int bad_json(Error *reterr_error, int error, const Error *e) {
        if (error == -ENOMEM)
                return oom(reterr_error);

        return error_set(reterr_error, -EBADMSG, "InvalidImageConfig",
                         "The image configuration is invalid: %s", error_message(e));
}

static int check_list(const char *name, size_t n, Error *reterr_error) {
        if (n <= IMAGE_CONFIG_LIST_MAX)
                return 0;

        return error_set(reterr_error, -EBADMSG, "InvalidImageConfig",
                         "The image configuration is invalid: %s has more than %u entries.", name,
                         IMAGE_CONFIG_LIST_MAX);
}

static int check_text(const char *name, const char *s, size_t max, Error *reterr_error) {
        if (!s || (strlen(s) <= max && string_is_safe(s)))
                return 0;

        return error_set(
                        reterr_error, -EBADMSG, "InvalidImageConfig",
                        "The image configuration is invalid: %s is longer than %zu bytes or has control "
                        "characters.",
                        name, max);
}

/* Room for n entries: strv_extend() would measure the list each time. */
static char **list_new(size_t n) {
        return calloc(n + 1, sizeof(char *));
}

/* The keys of a map whose values mean nothing. */
static int take_keys(json_t *object, const char *name, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        const char *key;
        json_t *value;
        size_t n = 0;
        int r;

        if (!object)
                return 0;

        r = check_list(name, json_object_size(object), reterr_error);
        if (r < 0)
                return r;

        l = list_new(json_object_size(object));
        if (!l)
                return oom(reterr_error);

        json_object_foreach(object, key, value) {
                r = check_text(name, key, PATH_MAX, reterr_error);
                if (r < 0)
                        return r;

                l[n] = strdup(key);
                if (!l[n++])
                        return oom(reterr_error);
        }

        *ret = TAKE_PTR(l);
        return 0;
}

static int take_labels(json_t *object, char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        const char *key;
        json_t *value;
        size_t n = 0;
        int r;

        if (!object)
                return 0;

        r = check_list("Labels", json_object_size(object), reterr_error);
        if (r < 0)
                return r;

        l = list_new(json_object_size(object));
        if (!l)
                return oom(reterr_error);

        json_object_foreach(object, key, value) {
                const char *s = json_string_value(value);

                if (!s || strlen(s) != json_string_length(value))
                        return bad(reterr_error, "the value of a label is not a string");
                /* Such a key could not be told from its value any more. */
                if (isempty(key) || strchr(key, '='))
                        continue;

                l[n] = strjoin(key, "=", s);
                if (!l[n++])
                        return oom(reterr_error);
        }

        *ret = TAKE_PTR(l);
        return 0;
}

/* Docker reads an entry without "=" as "remove it": there is nothing before the image's own environment, so
 * it goes. */
static void drop_env_without_value(char **env) {
        size_t n = 0;

        for (size_t i = 0; env && env[i]; i++) {
                char *eq = strchr(env[i], '=');

                if (eq && eq > env[i])
                        env[n++] = env[i];
                else
                        free(env[i]);
        }
        if (env)
                env[n] = NULL;
}

/* Nothing is lost by a wait that is rounded up to a microsecond; one of nothing would be the default. */
static uint64_t nsec_to_usec(int64_t nsec) {
        return nsec <= 0 ? 0 : (uint64_t) (nsec / NSEC_PER_USEC + (nsec % NSEC_PER_USEC > 0));
}

static int parse_health(json_t *object, ImageHealthCheck *h, Error *reterr_error) {
        struct {
                int64_t interval, timeout, start_period, start_interval, retries;
        } t = {};
        static const JsonField table[] = {
                { "Interval", JSON_FIELD_INT64, offsetof(__typeof__(t), interval), false, NULL },
                { "Timeout", JSON_FIELD_INT64, offsetof(__typeof__(t), timeout), false, NULL },
                { "StartPeriod", JSON_FIELD_INT64, offsetof(__typeof__(t), start_period), false, NULL },
                { "StartInterval", JSON_FIELD_INT64, offsetof(__typeof__(t), start_interval), false, NULL },
                { "Retries", JSON_FIELD_INT64, offsetof(__typeof__(t), retries), false, NULL },
                {},
        };
        static const JsonField test_table[] = {
                { "Test", JSON_FIELD_STRV, offsetof(ImageHealthCheck, test), false, NULL },
                {},
        };
        _cleanup_error_ Error e = ERROR_NULL;
        size_t size = 0;
        int r;

        if (!object)
                return 0;
        r = json_dispatch(object, test_table, h, "config.Healthcheck", false, &e);
        if (r >= 0)
                r = json_dispatch(object, table, &t, "config.Healthcheck", false, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        r = check_list("Healthcheck.Test", strv_length(h->test), reterr_error);
        if (r < 0)
                return r;
        STRV_FOREACH (s, h->test)
                size += strlen(s) + 1;
        if (size > IMAGE_HEALTH_TEST_SIZE_MAX)
                return bad(reterr_error, "Healthcheck.Test is longer than 64 KiB");

        h->interval_usec = nsec_to_usec(t.interval);
        h->timeout_usec = nsec_to_usec(t.timeout);
        h->start_period_usec = nsec_to_usec(t.start_period);
        h->start_interval_usec = nsec_to_usec(t.start_interval);
        h->retries = t.retries <= 0 ? 0 : (uint64_t) t.retries;
        return 0;
}

static int parse_execution(json_t *object, ImageConfig *c, Error *reterr_error) {
        struct {
                json_t *volumes, *ports, *labels, *health;
        } maps = {};
        static const JsonField table[] = {
                { "User", JSON_FIELD_STRING, offsetof(ImageConfig, user), false, NULL },
                { "Env", JSON_FIELD_STRV, offsetof(ImageConfig, env), false, NULL },
                { "Entrypoint", JSON_FIELD_STRV, offsetof(ImageConfig, entrypoint), false, NULL },
                { "Cmd", JSON_FIELD_STRV, offsetof(ImageConfig, cmd), false, NULL },
                { "WorkingDir", JSON_FIELD_STRING, offsetof(ImageConfig, working_dir), false, NULL },
                { "StopSignal", JSON_FIELD_STRING, offsetof(ImageConfig, stop_signal), false, NULL },
                {},
        };
        static const JsonField map_table[] = {
                { "Volumes", JSON_FIELD_OBJECT, offsetof(__typeof__(maps), volumes), false, NULL },
                { "ExposedPorts", JSON_FIELD_OBJECT, offsetof(__typeof__(maps), ports), false, NULL },
                { "Labels", JSON_FIELD_OBJECT, offsetof(__typeof__(maps), labels), false, NULL },
                { "Healthcheck", JSON_FIELD_OBJECT, offsetof(__typeof__(maps), health), false, NULL },
                {},
        };
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = json_dispatch(object, table, c, "config", false, &e);
        if (r >= 0)
                r = json_dispatch(object, map_table, &maps, "config", false, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        if ((r = check_list("Env", strv_length(c->env), reterr_error)) < 0 ||
            (r = check_list("Entrypoint", strv_length(c->entrypoint), reterr_error)) < 0 ||
            (r = check_list("Cmd", strv_length(c->cmd), reterr_error)) < 0 ||
            (r = check_text("User", c->user, USER_MAX, reterr_error)) < 0 ||
            (r = check_text("WorkingDir", c->working_dir, PATH_MAX, reterr_error)) < 0 ||
            (r = check_text("StopSignal", c->stop_signal, STOP_SIGNAL_MAX, reterr_error)) < 0)
                return r;

        drop_env_without_value(c->env);

        if ((r = take_keys(maps.volumes, "Volumes", &c->volumes, reterr_error)) < 0 ||
            (r = take_keys(maps.ports, "ExposedPorts", &c->exposed_ports, reterr_error)) < 0 ||
            (r = parse_health(maps.health, &c->health, reterr_error)) < 0)
                return r;

        return take_labels(maps.labels, &c->labels, reterr_error);
}

static int parse_rootfs(json_t *object, ImageConfig *c, Error *reterr_error) {
        struct {
                char *type;
                char **diff_ids;
        } t = {};
        static const JsonField table[] = {
                { "type", JSON_FIELD_STRING, offsetof(__typeof__(t), type), true, NULL },
                { "diff_ids", JSON_FIELD_STRV, offsetof(__typeof__(t), diff_ids), true, NULL },
                {},
        };
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *type = NULL;
        int r;

        r = json_dispatch(object, table, &t, "rootfs", false, &e);
        type = t.type;
        c->diff_ids = t.diff_ids;
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        if (!streq(type, "layers"))
                return bad(reterr_error, "rootfs.type is not \"layers\"");
        if (strv_length(c->diff_ids) > LAYERS_MAX)
                return error_set(reterr_error, -EBADMSG, "InvalidImageConfig",
                                 "The image configuration is invalid: more than %u layers.", LAYERS_MAX);

        STRV_FOREACH (d, c->diff_ids)
                if (!digest_is_valid(d))
                        return bad(reterr_error, "a DiffID is not a digest");

        return 0;
}

static int check_platform(const ImageConfig *c, Error *reterr_error) {
        if (isempty(c->platform.os) || isempty(c->platform.architecture))
                return bad(reterr_error, "os or architecture is empty");

        if (check_text("os", c->platform.os, PLATFORM_PART_MAX, reterr_error) < 0 ||
            check_text("architecture", c->platform.architecture, PLATFORM_PART_MAX, reterr_error) < 0 ||
            check_text("variant", c->platform.variant, PLATFORM_PART_MAX, reterr_error) < 0)
                return -EBADMSG;

        return 0;
}

int image_config_parse(const char *text, size_t n, ImageConfig **ret, Error *reterr_error) {
        struct {
                char *created;
                json_t *config, *rootfs;
        } t = {};
        static const JsonField table[] = {
                { "created", JSON_FIELD_STRING, offsetof(__typeof__(t), created), false, NULL },
                { "config", JSON_FIELD_OBJECT, offsetof(__typeof__(t), config), false, NULL },
                { "rootfs", JSON_FIELD_OBJECT, offsetof(__typeof__(t), rootfs), true, NULL },
                {},
        };
        static const JsonField platform_table[] = {
                { "os", JSON_FIELD_STRING, offsetof(Platform, os), true, NULL },
                { "architecture", JSON_FIELD_STRING, offsetof(Platform, architecture), true, NULL },
                { "variant", JSON_FIELD_STRING, offsetof(Platform, variant), false, NULL },
                {},
        };
        _cleanup_(image_config_freep) ImageConfig *c = NULL;
        _cleanup_free_ char *created = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        c = calloc(1, sizeof(ImageConfig));
        if (!c)
                return oom(reterr_error);

        r = json_parse(text, n, IMAGE_CONFIG_SIZE_MAX, &j, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        r = json_dispatch(j, platform_table, &c->platform, "image", false, &e);
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        r = json_dispatch(j, table, &t, "image", false, &e);
        created = t.created;
        if (r < 0)
                return bad_json(reterr_error, r, &e);

        r = check_platform(c, reterr_error);
        if (r < 0)
                return r;

        if (isempty(c->platform.variant)) {
                free(c->platform.variant);
                c->platform.variant = NULL;
        }

        if (created && parse_rfc3339(created, &c->created_usec) < 0)
                c->created_usec = 0;

        r = parse_rootfs(t.rootfs, c, reterr_error);
        if (r < 0)
                return r;

        if (t.config) {
                r = parse_execution(t.config, c, reterr_error);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(c);
        return 0;
}
