/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "daemon/config.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"

/* A daemon that does not start because of a typing error in its configuration takes the way to stop
 * containers away, too: so everything wrong is a warning that names file and line, and the default holds. */

#define DEFAULT_DOWNLOADS 4U
#define DEFAULT_RETRIES 5U
#define DEFAULT_RETRY_DELAY_USEC USEC_PER_SEC
#define DEFAULT_STOP_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define DEFAULT_NETWORK "none"

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
        if (isempty(value))
                value = DEFAULT_NETWORK;
        if (!streq(value, "none") && !streq(value, "host"))
                return -EINVAL;

        return free_and_strdup(target, value);
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
        *c = (Config) {};
}

static char *strip(char *s) {
        char *end;

        s += strspn(s, " \t\r");
        for (end = s + strlen(s); end > s && strchr(" \t\r", end[-1]); end--)
                ;
        *end = 0;
        return s;
}

static bool section_is_known(const char *section) {
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

static int config_assign(Config *c, const char *name, unsigned line, const char *section, char *text) {
        char *equal = strchr(text, '='), *key, *value;
        const ConfigItem *item;
        int r;

        if (!equal) {
                log_warning("%s:%u: “%s” is neither a section nor an assignment, ignoring.", name, line,
                            text);
                return 1;
        }
        *equal = 0;
        key = strip(text);
        value = strip(equal + 1);

        item = item_find(section, key);
        if (!item) {
                log_warning("%s:%u: unknown key “%s” in section [%s], ignoring.", name, line, key,
                            strempty(section));
                return 1;
        }

        r = item->parse(value, item, (uint8_t *) c + item->offset);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                log_warning_errno(r, "%s:%u: “%s” is not valid for %s=, ignoring: %m", name, line, value,
                                  key);
                return 1;
        }
        return 0;
}

int config_parse(Config *c, const char *name, const char *text) {
        _cleanup_free_ char *copy = strdup(text), *section = NULL;
        char *next = copy, *line;
        int r, n_ignored = 0;
        unsigned n = 0;

        if (!copy)
                return -ENOMEM;

        while ((line = strsep(&next, "\n"))) {
                size_t l;

                n++;
                line = strip(line);
                l = strlen(line);
                if (l == 0 || strchr("#;", line[0]))
                        continue;

                if (line[0] != '[' || line[l - 1] != ']') {
                        r = config_assign(c, name, n, section, line);
                        if (r < 0)
                                return r;
                        n_ignored += r;
                        continue;
                }

                line[l - 1] = 0;
                if (!section_is_known(line + 1)) {
                        log_warning("%s:%u: unknown section [%s], ignoring.", name, n, line + 1);
                        n_ignored++;
                }
                if (free_and_strdup(&section, line + 1) < 0)
                        return -ENOMEM;
        }

        return n_ignored;
}

/* 0: there is no such file. */
static int load_file(Config *c, const char *path) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_file_at(AT_FDCWD, path, CONFIG_FILE_MAX, &text, NULL);
        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0) {
                log_warning_errno(r, "%s cannot be read, ignoring: %m", path);
                return 1;
        }

        r = config_parse(c, path, text);
        return r == -ENOMEM ? r : 1;
}

/* Adds the name of each drop-in that is not in the list yet. */
static int collect_drop_ins(const char *directory, char ***names) {
        _cleanup_free_ char *path = path_join(directory, "moored.conf.d");
        struct dirent *e;
        int r = 0;
        DIR *d;

        if (!path)
                return -ENOMEM;
        d = opendir(path);
        if (!d) {
                if (errno != ENOENT && errno != ENOTDIR)
                        log_warning_errno(errno, "%s cannot be read, ignoring: %m", path);
                return 0;
        }

        while (r >= 0 && (e = readdir(d))) {
                if (e->d_name[0] == '.' || !endswith(e->d_name, ".conf") || strv_contains(*names, e->d_name))
                        continue;
                if (strv_length(*names) >= CONFIG_FILES_MAX) {
                        log_warning("There are more than %u files in moored.conf.d, ignoring the rest.",
                                    CONFIG_FILES_MAX);
                        break;
                }
                r = strv_extend(names, e->d_name);
        }

        (void) closedir(d);
        return r;
}

/* The first of the directories that has it decides, also with an empty file or a link to /dev/null. */
static int load_drop_in(Config *c, const char *const *directories, const char *name) {
        for (; *directories; directories++) {
                _cleanup_free_ char *path = strjoin(*directories, "/moored.conf.d/", name);
                struct stat st;

                if (!path)
                        return -ENOMEM;
                if (stat(path, &st) < 0)
                        continue;
                return S_ISREG(st.st_mode) ? load_file(c, path) : 0;
        }

        return 0;
}

int config_load(Config *c, const char *const *directories) {
        _cleanup_strv_free_ char **names = NULL;
        int r = 0;

        for (const char *const *d = directories; *d && r == 0; d++) {
                _cleanup_free_ char *path = path_join(*d, "moored.conf");

                r = path ? load_file(c, path) : -ENOMEM;
        }
        if (r < 0)
                return r;

        for (const char *const *d = directories; *d; d++) {
                r = collect_drop_ins(*d, &names);
                if (r < 0)
                        return r;
        }

        strv_sort(names);
        STRV_FOREACH(name, names) {
                r = load_drop_in(c, directories, name);
                if (r < 0)
                        return r;
        }

        return 0;
}
