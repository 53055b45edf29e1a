/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/create-bag.h"

#include <unistd.h>

#include "basic/strv.h"
#include "ctl/terminal.h"

/* -- entries -- */

int bag_append_string(sd_bus_message *m, const char *key, const char *value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

int bag_append_flag(sd_bus_message *m, const char *key, bool value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "b", 1) : 0;
}

int bag_open(sd_bus_message *m, const char *key, const char *contents) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        return r < 0 ? r : sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, contents);
}

int bag_close(sd_bus_message *m, int r) {
        for (unsigned i = 0; i < 2 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

int bag_append_strv(sd_bus_message *m, const char *key, char *const *l) {
        int r;

        r = bag_open(m, key, "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) l);
        return bag_close(m, r);
}

int bag_append_list(sd_bus_message *m, const char *key, char *const *l) {
        return l && *l ? bag_append_strv(m, key, l) : 0;
}

int append_labels(sd_bus_message *m, char *const *labels) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{ss}");
        STRV_FOREACH(l, labels) {
                size_t n = strcspn(l, "=");
                _cleanup_free_ char *key = strndup(l, n);

                if (r >= 0)
                        r = key ? sd_bus_message_append(m, "{ss}", key, l[n] ? l + n + 1 : "") : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* -- the bag -- */

int bag_append_labels(sd_bus_message *m, char *const *labels) {
        int r;

        if (!labels || !*labels)
                return 0;
        r = bag_open(m, "Labels", "a{ss}");
        if (r >= 0)
                r = append_labels(m, labels);
        return bag_close(m, r);
}

static int append_mount(sd_bus_message *m, const MountArg *a) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_STRUCT, "sssas");
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", a->type, a->source, a->destination);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, a->options);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_mounts(sd_bus_message *m, const MountArg *mounts, size_t n) {
        int r;

        if (n == 0)
                return 0;
        r = bag_open(m, "Mounts", "a(sssas)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(sssas)");
        for (size_t i = 0; i < n && r >= 0; i++)
                r = append_mount(m, &mounts[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return bag_close(m, r);
}

static int append_terminal(sd_bus_message *m, const CreateOptions *o, const CreateDescriptors *fds) {
        unsigned rows, columns;
        int r;

        /* Input that nobody passes on now may be wanted later. */
        if (!o->terminal)
                return bag_append_flag(m, "OpenStandardInput", o->interactive && !o->scope && fds->standard[STDIN_FILENO] < 0);
        r = bag_append_flag(m, "Terminal", true);
        if (r >= 0 && terminal_window_size(&rows, &columns))
                r = sd_bus_message_append(m, "{sv}", "TerminalSize", "(uu)", (uint32_t) rows, (uint32_t) columns);
        if (r >= 0 && fds->terminal >= 0)
                r = sd_bus_message_append(m, "{sv}", "TerminalDescriptor", "h", fds->terminal);
        return r;
}

int create_options_append(sd_bus_message *m, const CreateOptions *o, char *const *command,
                          const CreateDescriptors *fds) {
        static const char *const stdio[] = { "StandardInput", "StandardOutput", "StandardError" };
        _cleanup_strv_free_ char **environment = strv_copy(o->file_environment);
        const struct {
                const char *key;
                char *const *l;
        } lists[] = {
                { "Groups", o->groups },
                { "Properties", o->limits.properties },
                { "Devices", o->devices },
                { "CapabilitiesAdd", o->cap_add },
                { "CapabilitiesDrop", o->cap_drop },
                { "Command", command },
        };
        const struct {
                const char *key, *value;
        } strings[] = {
                { "WorkingDirectory", o->working_directory },
                { "User", o->user },
                { "Hostname", o->hostname },
                { "Platform", o->platform },
                { "Seccomp", o->seccomp },
                { "StopSignal", o->stop_signal },
                { "Log", o->log },
                { "Systemd", o->systemd },
                { "Unit", o->unit },
                { "Restart", o->restart },
                { "Token", o->token },
                { "Runtime", o->runtime },
        };
        const struct {
                const char *key;
                bool value;
        } flags[] = {
                { "ReadyWhenHealthy", o->ready_when_healthy },
                { "Notify", o->notify },
                { "Scope", o->scope },
                { "ReadOnly", o->read_only },
                { "AutoRemove", o->auto_remove },
                { "Machine", o->machine },
                { "Privileged", o->privileged },
        };
        int r = 0;

        if (o->file_environment && !environment)
                return -ENOMEM;
        STRV_FOREACH(s, o->environment)
                if (r >= 0)
                        r = strv_env_set(&environment, s);
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r >= 0)
                r = bag_append_list(m, "Environment", environment);
        for (size_t i = 0; i < ELEMENTSOF(lists) && r >= 0; i++)
                r = bag_append_list(m, lists[i].key, lists[i].l);
        for (size_t i = 0; i < ELEMENTSOF(strings) && r >= 0; i++)
                r = bag_append_string(m, strings[i].key, strings[i].value);
        if (r >= 0 && o->entrypoint_set)
                r = bag_append_strv(m, "Entrypoint", o->entrypoint);
        if (r >= 0)
                r = bag_append_labels(m, o->labels);
        if (r >= 0)
                r = append_mounts(m, o->mounts, o->n_mounts);
        if (r >= 0)
                r = create_health_append(m, &o->health);
        if (r >= 0)
                r = create_network_append(m, &o->network);
        for (size_t i = 0; i < ELEMENTSOF(flags) && r >= 0; i++)
                r = bag_append_flag(m, flags[i].key, flags[i].value);
        if (r >= 0 && o->stop_timeout_set)
                r = sd_bus_message_append(m, "{sv}", "StopTimeoutUSec", "t", o->stop_timeout_usec);
        for (size_t i = 0; i < ELEMENTSOF(stdio) && r >= 0; i++)
                /* What has a log of its own writes there. */
                if (fds->standard[i] >= 0 && (i == STDIN_FILENO || !o->log))
                        r = sd_bus_message_append(m, "{sv}", stdio[i], "h", fds->standard[i]);
        if (r >= 0)
                r = append_terminal(m, o, fds);
        return r < 0 ? r : sd_bus_message_close_container(m);
}
