/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/config.h"
#include "basic/config-file.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/network-options.h"
#include "container/runtimes.h"

/* A daemon that does not start because of a typing error in its configuration takes the way to stop
 * containers away, too: so everything wrong is a warning that names file and line, and the default holds. */

#define DEFAULT_DOWNLOADS 4U
#define DEFAULT_RETRIES 5U
#define DEFAULT_RETRY_DELAY_USEC USEC_PER_SEC
#define DEFAULT_STOP_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define DEFAULT_NETWORK "none"
#define SECTION_RUNTIMES "Runtimes"

typedef struct ConfigItem {
        const char *section;
        const char *key;
        int (*parse)(const char *value, const struct ConfigItem *item,
                     void *target); /* value is "" for the default */
        size_t offset;
        uint64_t fallback, max;
} ConfigItem;

const char *const config_directories[] = { MOORED_CONF_DIR, MOORED_RUNTIME_DIR, MOORED_VENDOR_DIR, NULL };

static int parse_level(const char *value, const ConfigItem *item, void *target) {
        int level = isempty(value) ? -1 : log_level_from_string(value);

        if (level < 0 && !isempty(value))
                return level;

        *(int *) target = level;
        return 0;
}

static int parse_number(const char *value, const ConfigItem *item, void *target) {
        uint32_t n = (uint32_t) item->fallback;
        int r;

        if (!isempty(value)) {
                r = parse_uint32(value, &n);
                if (r < 0)
                        return r;
        }
        if (n > item->max)
                return -ERANGE;

        *(uint32_t *) target = n;
        return 0;
}

static int parse_count(const char *value, const ConfigItem *item, void *target) {
        uint32_t n;
        int r;

        r = parse_number(value, item, &n);
        if (r < 0)
                return r;
        if (n == 0)
                return -ERANGE;

        *(uint32_t *) target = n;
        return 0;
}

static int parse_duration(const char *value, const ConfigItem *item, void *target) {
        uint64_t usec = item->fallback;
        int r;

        if (!isempty(value)) {
                r = parse_sec(value, &usec);
                if (r < 0)
                        return r;
        }
        if (usec > item->max)
                return -ERANGE;

        *(uint64_t *) target = usec;
        return 0;
}

static int parse_path(const char *value, const ConfigItem *item, void *target) {
        if (!isempty(value) && !path_is_normalized(value))
                return -EINVAL;

        return free_and_strdup(target, isempty(value) ? NULL : value);
}

static int parse_list(const char *value, const ConfigItem *item, void *target) {
        _cleanup_strv_free_ char **words = strv_split(value, " \t,");
        char ***list = target;

        if (isempty(value)) {
                *list = strv_free(*list);
                return 0;
        }
        return words ? strv_extend_strv(list, words) : -ENOMEM;
}

static int parse_network(const char *value, const ConfigItem *item, void *target) {
        char *networks[] = { (char *) (isempty(value) ? DEFAULT_NETWORK : value), NULL };
        const ContainerOptions o = { .networks = networks };
        NetworkMode mode = container_network_mode(&o, NULL);

        if (mode == NETWORK_MODE_CONTAINER || mode == NETWORK_MODE_PATH || network_options_validate(&o, NULL) < 0)
                return -EINVAL;

        return free_and_strdup(target, networks[0]);
}

static int parse_runtime(const char *value, const ConfigItem *item, void *target) {
        if (!isempty(value) && !runtime_is_valid(value))
                return -EINVAL;

        return free_and_strdup(target, isempty(value) ? NULL : value);
}

static const ConfigItem config_items[] = {
        { "Manager", "LogLevel", parse_level, offsetof(Config, log_level), 0, 0 },
        { "Manager", "EventsMax", parse_count, offsetof(Config, events_max), EVENTS_KEPT_DEFAULT, 1000000 },
        { "Pull", "MaxConcurrentDownloads", parse_count, offsetof(Config, pull.max_concurrent_downloads),
          DEFAULT_DOWNLOADS, 64 },
        { "Pull", "MaxConcurrentUnpacks", parse_number, offsetof(Config, pull.max_concurrent_unpacks), 0,
          256 },
        { "Pull", "Retries", parse_number, offsetof(Config, pull.retries), DEFAULT_RETRIES, 100 },
        { "Pull", "RetryDelaySec", parse_duration, offsetof(Config, pull.retry_delay_usec),
          DEFAULT_RETRY_DELAY_USEC, 3600 * USEC_PER_SEC },
        { "Pull", "CAFile", parse_path, offsetof(Config, pull.ca_file), 0, 0 },
        { "Pull", "InsecureRegistry", parse_list, offsetof(Config, pull.insecure_registries), 0, 0 },
        { "Container", "StopTimeoutSec", parse_duration, offsetof(Config, stop_timeout_usec),
          DEFAULT_STOP_TIMEOUT_USEC, USEC_INFINITY },
        { "Container", "Network", parse_network, offsetof(Config, network), 0, 0 },
        { "Container", "Runtime", parse_runtime, offsetof(Config, runtime), 0, 0 },
};

_Static_assert(sizeof(unsigned) == sizeof(uint32_t), "the numbers of PullConfig are written as uint32_t");

int config_init(Config *c) {
        *c = (Config) {};

        for (size_t i = 0; i < ELEMENTSOF(config_items); i++)
                if (config_items[i].parse("", config_items + i, (uint8_t *) c + config_items[i].offset) <
                    0) {
                        config_done(c);
                        return -ENOMEM;
                }

        return 0;
}

void config_done(Config *c) {
        free(c->pull.ca_file);
        strv_free(c->pull.insecure_registries);
        free(c->network);
        free(c->runtime);
        strv_free(c->runtimes);
        *c = (Config) {};
}

static bool section_is_known(const char *section) {
        if (streq(section, SECTION_RUNTIMES))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(config_items); i++)
                if (streq(config_items[i].section, section))
                        return true;

        return false;
}

static const ConfigItem *item_find(const char *section, const char *key) {
        for (size_t i = 0; i < ELEMENTSOF(config_items); i++)
                if (streq_ptr(config_items[i].section, section) && streq(config_items[i].key, key))
                        return config_items + i;

        return NULL;
}

/* In this section the keys are the user's; what has no path is no runtime any more. */
static int config_set_runtime(Config *c, const char *key, const char *value) {
        _cleanup_strv_free_ char **rest = NULL;
        int r = 0;

        if (key[0] == '/' || !runtime_is_valid(key) || streq(key, RUNTIME_OWN) ||
            (!isempty(value) && (value[0] != '/' || !runtime_is_valid(value))))
                return -EINVAL;
        STRV_FOREACH(s, c->runtimes) {
                const char *v = startswith(s, key);

                if (r >= 0 && !(v && *v == '='))
                        r = strv_extend(&rest, s);
        }
        if (r >= 0 && !isempty(value))
                r = strv_extendf(&rest, "%s=%s", key, value);
        if (r < 0)
                return r;
        strv_free(c->runtimes);
        c->runtimes = TAKE_PTR(rest);
        return 0;
}

static int config_assign_runtime(Config *c, const ConfigLine *l) {
        int r = config_set_runtime(c, l->key, l->value);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warning("%s:%u: “%s=%s” is not a name and the absolute path of a runtime, ignoring.", l->file,
                            l->number, l->key, l->value);
        return r < 0;
}

static int config_assign(Config *c, const ConfigLine *l) {
        const ConfigItem *item = item_find(l->section, l->key);
        int r;

        if (streq_ptr(l->section, SECTION_RUNTIMES))
                return config_assign_runtime(c, l);
        if (!item) {
                log_warning("%s:%u: unknown key “%s” in section [%s], ignoring.", l->file, l->number, l->key,
                            strempty(l->section));
                return 1;
        }

        r = item->parse(l->value, item, (uint8_t *) c + item->offset);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                log_warning_errno(r, "%s:%u: “%s” is not valid for %s=, ignoring: %m", l->file, l->number,
                                  l->value, l->key);
                return 1;
        }
        return 0;
}

static int on_line(const ConfigLine *l, void *userdata) {
        switch (l->type) {

        case CONFIG_LINE_ASSIGNMENT:
                return config_assign(userdata, l);

        case CONFIG_LINE_SECTION:
                if (section_is_known(l->section))
                        return 0;
                log_warning("%s:%u: unknown section [%s], ignoring.", l->file, l->number, l->section);
                return 1;

        default:
                log_warning("%s:%u: “%s” is neither a section nor an assignment, ignoring.", l->file,
                            l->number, l->value);
                return 1;
        }
}

static int on_unreadable(const char *path, int error, void *userdata) {
        log_warning_errno(error, "%s cannot be read, ignoring: %m", path);
        return 0;
}

int config_parse(Config *c, const char *name, const char *text) {
        const ConfigHandler handler = { on_line, on_unreadable, c };

        return config_text_read(name, text, &handler);
}

int config_load(Config *c, const char *const *directories) {
        const ConfigHandler handler = { on_line, on_unreadable, c };
        int r;

        r = config_find_read(directories, "moored.conf", &handler);
        return r < 0 ? r : config_drop_ins_read(directories, "moored.conf", &handler);
}
