/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The container gets nodes of its own, with the numbers, mode and owner of the host's; PID 1 lets it open them
 * by a DeviceAllow= for each. A property of the unit outlives a daemon-reload, which rules that somebody
 * attached to the control group would not. "m" is always in it: the launcher makes the nodes in the unit, and a
 * node alone opens nothing. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/devices.h"

#define DIRECTORY_DEPTH_MAX 4U

typedef struct Device {
        char *source, *destination, *permissions;
} Device;

static void device_done(Device *d) {
        free(d->source);
        free(d->destination);
        free(d->permissions);
        *d = (Device) {};
}

typedef struct Resolved {
        json_t *devices;
        char **properties;
        size_t n;
} Resolved;

static int invalid(const char *device, const char *why, Error *reterr_error) {
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "Devices: \"%.200s\" is not of the form HOST[:CONTAINER][:PERMISSIONS]: %s.", device,
                         why);
}

static bool is_permissions(const char *s) {
        return !isempty(s) && strlen(s) <= 3 && string_in_charset(s, "rwm");
}

static int device_parse(const char *text, Device *ret, Error *reterr_error) {
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_(device_done) Device d = {};
        size_t n;

        if (!string_is_safe(text) || strpbrk(text, " \t"))
                return invalid(text, "there are blanks or control characters in it", reterr_error);
        parts = strv_split(text, ":");
        n = strv_length(parts);
        if (n < 1 || n > 3)
                return invalid(text, "it has too many parts, or none", reterr_error);

        d.permissions = strdup(n > 1 && is_permissions(parts[n - 1]) ? parts[n - 1] : "rwm");
        n -= n > 1 && is_permissions(parts[n - 1]);
        d.source = strdup(parts[0]);
        d.destination = strdup(parts[n - 1]);
        if (!d.source || !d.destination || !d.permissions)
                return -ENOMEM;
        if (n > 2)
                return invalid(text, "permissions are of r, w and m", reterr_error);
        if (!path_is_normalized(d.source) || !startswith(d.source, "/dev/"))
                return invalid(text, "HOST is not a path below /dev, where systemd looks for devices",
                               reterr_error);
        if (!path_is_normalized(d.destination) || streq(d.destination, "/"))
                return invalid(text, "CONTAINER is not an absolute path", reterr_error);

        *ret = d;
        d = (Device) {};
        return 0;
}

int container_devices_validate(char *const *devices, Error *reterr_error) {
        if (strv_length(devices) > DEVICES_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "Devices: more than %u entries.",
                                 DEVICES_MAX);
        STRV_FOREACH(s, devices) {
                _cleanup_(device_done) Device d = {};
                int r;

                r = device_parse(s, &d, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One for each: of two PID 1 takes the last, and the kernel tells nodes of a device not apart. */
static int allow(Resolved *r, const Device *d) {
        _cleanup_free_ char *prefix = strjoin("DeviceAllow=", d->source, " ");
        bool read = strchr(d->permissions, 'r'), write = strchr(d->permissions, 'w');
        char *s;

        if (!prefix)
                return -ENOMEM;
        for (char **p = r->properties; p && *p; p++) {
                const char *had = startswith(*p, prefix);

                if (!had)
                        continue;
                s = strjoin(prefix, read || strchr(had, 'r') ? "r" : "", write || strchr(had, 'w') ? "w" : "",
                            "m");
                if (!s)
                        return -ENOMEM;
                free(*p);
                *p = s;
                return 0;
        }
        return strv_extendf(&r->properties, "%s%s%sm", prefix, read ? "r" : "", write ? "w" : "");
}

static int add_node(Resolved *r, const Device *d, const struct stat *st, Error *reterr_error) {
        json_t *j;

        if (++r->n > DEVICES_MAX)
                return error_set(reterr_error, -E2BIG, "InvalidArgument", "Devices: more than %u nodes.",
                                 DEVICES_MAX);
        if (r->devices) {
                j = json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:I}", "path", d->destination, "type",
                              S_ISBLK(st->st_mode) ? "b" : "c", "major", (int) major(st->st_rdev), "minor",
                              (int) minor(st->st_rdev), "fileMode", (int) (st->st_mode & 07777), "uid",
                              (json_int_t) st->st_uid, "gid", (json_int_t) st->st_gid);
                if (json_array_append_new(r->devices, j) < 0)
                        return -ENOMEM;
        }
        return allow(r, d);
}

static int add_device(Resolved *r, const Device *d, unsigned depth, Error *reterr_error);

/* All nodes below; what is neither node nor directory is left alone. */
static int add_directory(Resolved *r, const Device *d, unsigned depth, Error *reterr_error) {
        struct dirent *de;
        int k = 0;
        DIR *dir;

        dir = opendir(d->source);
        if (!dir)
                return error_set_errno(reterr_error, -errno, "Devices: the directory %s cannot be read: %m",
                                       d->source);
        while (k >= 0 && (de = readdir(dir))) {
                _cleanup_(device_done) Device below = {};

                if (de->d_name[0] == '.' || (de->d_type == DT_DIR && depth >= DIRECTORY_DEPTH_MAX) ||
                    (de->d_type != DT_DIR && de->d_type != DT_CHR && de->d_type != DT_BLK))
                        continue;
                below.source = path_join(d->source, de->d_name);
                below.destination = path_join(d->destination, de->d_name);
                below.permissions = strdup(d->permissions);
                k = below.source && below.destination && below.permissions
                                    ? add_device(r, &below, depth + 1, reterr_error)
                                    : -ENOMEM;
        }
        (void) closedir(dir);
        return k;
}

static int add_device(Resolved *r, const Device *d, unsigned depth, Error *reterr_error) {
        struct stat st;

        if (stat(d->source, &st) < 0) {
                if (depth > 0 && errno == ENOENT) /* unplugged meanwhile */
                        return 0;
                return error_set(reterr_error, -errno, "NoSuchDevice",
                                 "The device %s is not there: %m. Is its driver loaded?", d->source);
        }
        if (S_ISDIR(st.st_mode))
                return add_directory(r, d, depth, reterr_error);
        if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
                return error_set(reterr_error, -ENODEV, "NoSuchDevice", "%s is not a device.", d->source);
        return add_node(r, d, &st, reterr_error);
}

int container_devices_resolve(char *const *devices, json_t **ret_devices, char ***ret_properties,
                              Error *reterr_error) {
        Resolved resolved = { .devices = ret_devices ? json_array() : NULL };
        int r = ret_devices && !resolved.devices ? -ENOMEM : 0;

        STRV_FOREACH(s, devices) {
                _cleanup_(device_done) Device d = {};

                if (r >= 0)
                        r = device_parse(s, &d, reterr_error);
                if (r >= 0)
                        r = add_device(&resolved, &d, 0, reterr_error);
        }
        if (r < 0 || !ret_properties)
                strv_free(resolved.properties);
        if (r < 0) {
                json_decref(resolved.devices);
                return r;
        }

        if (ret_devices)
                *ret_devices = resolved.devices;
        if (ret_properties)
                *ret_properties = resolved.properties;
        return 0;
}
