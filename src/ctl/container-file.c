/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Assignments are collected first, as a later one may take an earlier one back; then each is applied as if
 * it were an option of `moorctl run`: a key is a name for an option, so that both say the same and accept
 * the same. */

#include "ctl/container-file.h"

#include <dirent.h>

#include "basic/config-file.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"

#define SECTION "Container"
#define SUFFIX ".conf"
#define ENTRIES_MAX 4096U

typedef enum KeyKind {
        KEY_VALUE, /* the last one counts */
        KEY_LIST,  /* each assignment is one use of the option */
        KEY_WORDS, /* each word is */
        KEY_FLAG,  /* likewise */
} KeyKind;

typedef struct Key {
        const char *name;
        KeyKind kind;
        const char *option; /* long name in run_options; NULL: see apply_special() */
        bool absolute;      /* it begins with a path, which is not relative to anything */
} Key;

struct ContainerFileEntry {
        const Key *key;
        char *file, *value;
        unsigned line;
};

static const Key keys[] = {
        { "AddCapability", KEY_WORDS, "cap-add" },
        { "AddHost", KEY_LIST, "add-host" },
        { "DNS", KEY_LIST, "dns" },
        { "DNSOption", KEY_LIST, "dns-option" },
        { "DNSSearch", KEY_LIST, "dns-search" },
        { "DropCapability", KEY_WORDS, "cap-drop" },
        { "Entrypoint", KEY_VALUE, "entrypoint" },
        { "Environment", KEY_WORDS, "env" },
        { "EnvironmentFile", KEY_LIST, "env-file", true },
        { "Exec", KEY_VALUE, NULL },
        { "Group", KEY_VALUE, NULL },
        { "ExposeHostPort", KEY_LIST, "expose" },
        { "GroupAdd", KEY_LIST, "group-add" },
        { "HealthCmd", KEY_VALUE, "health-cmd" },
        { "HealthInterval", KEY_VALUE, "health-interval" },
        { "HealthOnFailure", KEY_VALUE, "health-on-failure" },
        { "HealthRetries", KEY_VALUE, "health-retries" },
        { "HealthStartPeriod", KEY_VALUE, "health-start-period" },
        { "HealthTimeout", KEY_VALUE, "health-timeout" },
        { "HostName", KEY_VALUE, "hostname" },
        { "IP", KEY_VALUE, "ip" },
        { "IP6", KEY_VALUE, "ip" },
        { "Image", KEY_VALUE, NULL },
        { "Label", KEY_WORDS, "label" },
        { "Machine", KEY_FLAG, "machine" },
        { "Memory", KEY_VALUE, "memory" },
        { "Mount", KEY_LIST, "mount" },
        { "Network", KEY_LIST, "network" },
        { "NetworkAlias", KEY_LIST, "network-alias" },
        { "Notify", KEY_VALUE, NULL },
        { "PidsLimit", KEY_VALUE, "pids-limit" },
        { "PublishPort", KEY_LIST, "publish" },
        { "Pull", KEY_VALUE, "pull" },
        { "ReadOnly", KEY_FLAG, "read-only" },
        { "Runtime", KEY_VALUE, "runtime" },
        { "SeccompProfile", KEY_VALUE, NULL },
        { "StopSignal", KEY_VALUE, "stop-signal" },
        { "StopTimeout", KEY_VALUE, "stop-timeout" },
        { "Systemd", KEY_VALUE, "systemd" },
        { "Tmpfs", KEY_LIST, "tmpfs", true },
        { "User", KEY_VALUE, NULL },
        { "Volume", KEY_LIST, "volume", true },
        { "WorkingDir", KEY_VALUE, "workdir" },
};

const char *const container_file_directories[] = { MOORED_CONF_DIR "/containers",
                                                   MOORED_VENDOR_DIR "/containers", NULL };

void container_file_done(ContainerFile *f) {
        for (size_t i = 0; i < f->n_entries; i++) {
                free(f->entries[i].file);
                free(f->entries[i].value);
        }
        free(f->entries);
        free(f->name);
        free(f->user);
        strv_free(f->command);
        strv_free(f->problems);
        strv_free(f->words);
        create_options_done(&f->options);
        *f = (ContainerFile){};
}

/* -- reading -- */

static const Key *key_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (streq(keys[i].name, name))
                        return keys + i;
        return NULL;
}

static int on_assignment(ContainerFile *f, const ConfigLine *l) {
        ContainerFileEntry *entries, e = { .line = l->number };

        if (!streq_ptr(l->section, SECTION))
                return 0; /* the section's line is the problem */
        e.key = key_find(l->key);
        if (!e.key)
                return strv_extendf(&f->problems, "%s:%u: There is no key %s= in section [" SECTION "].",
                                    l->file, l->number, l->key);
        if (f->n_entries >= ENTRIES_MAX)
                return strv_extendf(&f->problems, "%s:%u: These are more than %u lines.", l->file, l->number,
                                    ENTRIES_MAX);

        entries = reallocarray(f->entries, f->n_entries + 1, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        f->entries = entries;
        e.file = strdup(l->file);
        e.value = strdup(l->value);
        f->entries[f->n_entries++] = e;
        return e.file && e.value ? 0 : -ENOMEM;
}

static int on_line(const ConfigLine *l, void *userdata) {
        ContainerFile *f = userdata;

        if (l->type == CONFIG_LINE_SECTION) {
                if (streq(l->section, SECTION))
                        return 0;
                return strv_extendf(&f->problems,
                                    "%s:%u: There is only a section [" SECTION
                                    "], not [%s]; what is for the unit "
                                    "belongs into a drop-in of it: systemctl edit moored@%s.service",
                                    l->file, l->number, l->section, f->name);
        }
        if (l->type == CONFIG_LINE_ASSIGNMENT && l->section)
                return on_assignment(f, l);
        return strv_extendf(&f->problems, "%s:%u: \"%.100s\" is %s.", l->file, l->number, l->key ?: l->value,
                            l->key ? "before the section [" SECTION "]"
                                   : "neither a section nor an assignment");
}

static int on_unreadable(const char *path, int error, void *userdata) {
        ContainerFile *f = userdata;

        return strv_extendf(&f->problems, "%s: It cannot be read: %s", path, strerror(-error));
}

/* -- applying -- */

static bool is_last(const ContainerFile *f, size_t i) {
        for (size_t k = i + 1; k < f->n_entries; k++)
                if (f->entries[k].key == f->entries[i].key)
                        return false;
        return true;
}

/* An empty assignment takes back those before it. */
static bool is_taken_back(const ContainerFile *f, size_t i) {
        if (isempty(f->entries[i].value))
                return true;
        for (size_t k = i + 1; k < f->n_entries; k++)
                if (f->entries[k].key == f->entries[i].key && isempty(f->entries[k].value))
                        return true;
        return false;
}

static const ContainerFileEntry *entry_find(const ContainerFile *f, const char *name) {
        for (size_t i = f->n_entries; i > 0; i--)
                if (streq(f->entries[i - 1].key->name, name))
                        return isempty(f->entries[i - 1].value) ? NULL : &f->entries[i - 1];
        return NULL;
}

static int split_words(const char *value, char ***ret, Error *reterr_error) {
        int r = strv_split_quoted(value, ret);

        if (r == -EINVAL)
                return error_set(reterr_error, r, "InvalidArgument",
                                 "A quote is not closed, or a backslash is followed by what is no escape.");
        return r < 0 ? error_oom(reterr_error) : 0;
}

static int apply_option(ContainerFile *f, const Key *k, const char *value, Error *reterr_error) {
        if (k->absolute && value[0] != '/')
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "\"%s\" is not an absolute path.",
                                 value);
        if (streq(k->name, "Environment") && !strchr(value, '='))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%s\" is not of the form NAME=VALUE.", value);
        return option_apply_by_name(run_options, k->option, value, &f->options, reterr_error);
}

static int apply_words(ContainerFile *f, const ContainerFileEntry *e, Error *reterr_error) {
        _cleanup_strv_free_ char **words = NULL;
        int r;

        r = split_words(e->value, &words, reterr_error);
        if (r < 0)
                return r;
        STRV_FOREACH(w, words) {
                r = apply_option(f, e->key, w, reterr_error);
                if (r < 0)
                        return r;
        }
        return strv_extend_strv(&f->words, words) < 0 ? error_oom(reterr_error) : 0;
}

static int apply_user(ContainerFile *f, const ContainerFileEntry *e, Error *reterr_error) {
        const ContainerFileEntry *user = entry_find(f, "User"), *group = entry_find(f, "Group");

        if (!user)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "There is no User= to go with it.");
        if (group && strchr(user->value, ':'))
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "User=%s names a group already.",
                                 user->value);
        if (f->user)
                return 0;
        f->user = group ? strjoin(user->value, ":", group->value) : strdup(user->value);
        if (!f->user)
                return error_oom(reterr_error);
        return option_apply_by_name(run_options, "user", f->user, &f->options, reterr_error);
}

static int apply_notify(ContainerFile *f, const ContainerFileEntry *e, Error *reterr_error) {
        int b = streq(e->value, "healthy") ? 1 : parse_boolean(e->value);

        if (b < 0)
                return error_set(reterr_error, b, "InvalidArgument",
                                 "\"%s\" is neither yes nor no nor healthy.", e->value);
        return option_apply_by_name(run_options, "sdnotify",
                                    streq(e->value, "healthy") ? "healthy"
                                    : b                        ? "container"
                                                               : "started",
                                    &f->options, reterr_error);
}

static int apply_special(ContainerFile *f, const ContainerFileEntry *e, Error *reterr_error) {
        _cleanup_free_ char *s = NULL;

        if (streq(e->key->name, "Image")) {
                f->image = e->value;
                return 0;
        }
        if (streq(e->key->name, "Exec"))
                return split_words(e->value, &f->command, reterr_error);
        if (streq(e->key->name, "SeccompProfile")) {
                s = strjoin("seccomp=", e->value);
                if (!s || strv_extend(&f->words, s) < 0)
                        return error_oom(reterr_error);
                return option_apply_by_name(run_options, "security-opt", f->words[strv_length(f->words) - 1],
                                            &f->options, reterr_error);
        }
        if (streq(e->key->name, "Notify"))
                return apply_notify(f, e, reterr_error);
        return apply_user(f, e, reterr_error);
}

static int apply_flag(ContainerFile *f, const ContainerFileEntry *e, Error *reterr_error) {
        int b = parse_boolean(e->value);

        if (b < 0)
                return error_set(reterr_error, b, "InvalidArgument", "\"%s\" is neither yes nor no.",
                                 e->value);
        return b ? option_apply_by_name(run_options, e->key->option, NULL, &f->options, reterr_error) : 0;
}

static int apply_entry(ContainerFile *f, const ContainerFileEntry *e, Error *reterr_error) {
        if (!string_is_safe(e->value))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "There are control characters in it, or it is not UTF-8.");
        if (!e->key->option)
                return apply_special(f, e, reterr_error);
        if (e->key->kind == KEY_WORDS)
                return apply_words(f, e, reterr_error);
        if (e->key->kind == KEY_FLAG)
                return apply_flag(f, e, reterr_error);
        return apply_option(f, e->key, e->value, reterr_error);
}

static int apply_all(ContainerFile *f) {
        for (size_t i = 0; i < f->n_entries; i++) {
                const ContainerFileEntry *e = f->entries + i;
                _cleanup_error_ Error error = ERROR_NULL;
                int r;

                if (is_taken_back(f, i) ||
                    ((e->key->kind == KEY_VALUE || e->key->kind == KEY_FLAG) && !is_last(f, i)))
                        continue;
                r = apply_entry(f, e, &error);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 && strv_extendf(&f->problems, "%s:%u: %s=: %s", e->file, e->line, e->key->name,
                                          error_message(&error)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* -- files -- */

static int load(ContainerFile *f, const char *const *directories, const char *file) {
        const ConfigHandler handler = { on_line, on_unreadable, f };
        int r;

        r = config_find_read(directories, file, &handler);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = config_drop_ins_read(directories, file, &handler);
        if (r >= 0)
                r = apply_all(f);
        if (r >= 0 && !f->image && strv_length(f->problems) == 0)
                r = strv_extendf(&f->problems, "%s/%s: There is no Image= in section [" SECTION "].",
                                 directories[0], file);
        return r;
}

static int load_by_path(ContainerFile *f, const char *path) {
        const char *base = strrchr(path, '/') + 1, *end = endswith(base, SUFFIX);
        _cleanup_free_ char *directory = strndup(path, (size_t) MAX(base - path - 1, 1));
        const char *const directories[] = { directory, NULL };

        f->name = strndup(base, end ? (size_t) (end - base) : strlen(base));
        return directory && f->name ? load(f, directories, base) : -ENOMEM;
}

static int load_by_name(ContainerFile *f, const char *name) {
        _cleanup_free_ char *file = strjoin(name, SUFFIX);

        f->name = strdup(name);
        return file && f->name ? load(f, container_file_directories, file) : -ENOMEM;
}

int container_file_load(const char *name_or_path, ContainerFile *ret, Error *reterr_error) {
        _cleanup_(container_file_done) ContainerFile f = {};
        bool path = strchr(name_or_path, '/');
        int r;

        if (!path && !filename_is_valid(name_or_path))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "\"%.100s\" is not a container's name.", name_or_path);
        r = path ? load_by_path(&f, name_or_path) : load_by_name(&f, name_or_path);
        if (r == -ENOENT && path)
                return error_set(reterr_error, r, "NoSuchFile", "There is no file %s.", name_or_path);
        if (r == -ENOENT)
                return error_set(reterr_error, r, "NoSuchFile", "There is no file %s/%s" SUFFIX ".",
                                 container_file_directories[0], name_or_path);
        if (r < 0)
                return error_oom(reterr_error);

        *ret = f;
        f = (ContainerFile){};
        return 0;
}

int container_file_check(const ContainerFile *f, Error *reterr_error) {
        size_t n = strv_length(f->problems);

        if (n == 0)
                return 0;
        if (n == 1)
                return error_set(reterr_error, -EINVAL, "InvalidConfiguration", "%s", f->problems[0]);
        return error_set(reterr_error, -EINVAL, "InvalidConfiguration",
                         "%s (This and %zu more: moorctl verify %s)", f->problems[0], n - 1, f->name);
}

static int list_directory(const char *path, char ***names) {
        struct dirent *e;
        int r = 0;
        DIR *d;

        d = opendir(path);
        if (!d)
                return errno == ENOENT ? 0 : -errno;
        while (r >= 0 && (e = readdir(d))) {
                const char *end = endswith(e->d_name, SUFFIX);
                _cleanup_free_ char *name = NULL;

                if (e->d_name[0] == '.' || !end)
                        continue;
                name = strndup(e->d_name, (size_t) (end - e->d_name));
                r = !name ? -ENOMEM : strv_contains(*names, name) ? 0 : strv_extend(names, name);
        }
        (void) closedir(d);
        return r;
}

int container_file_list(char ***ret, Error *reterr_error) {
        _cleanup_strv_free_ char **names = NULL;

        for (const char *const *d = container_file_directories; *d; d++) {
                int r = list_directory(*d, &names);

                if (r < 0)
                        return error_set(reterr_error, r, "Failed", "%s cannot be read: %s", *d,
                                         strerror(-r));
        }
        strv_sort(names);
        *ret = TAKE_PTR(names);
        return 0;
}
