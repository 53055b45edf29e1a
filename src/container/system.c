/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container/system.h"
#include "basic/string-util.h"
#include "basic/strv.h"

#define MACHINE_NAME_MAX 64U /* machined's: a host name */
#define NAMESPACE_UNNAMED "default"
#define UUID_BYTES 16U

bool command_is_init(char *const *args) {
        static const char *const inits[] = { "/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init", NULL };
        const char *command = args ? args[0] : NULL, *slash;

        if (!command)
                return false;
        STRV_FOREACH (s, inits)
                if (streq(s, command))
                        return true;
        slash = strrchr(command, '/');
        return streq(slash ? slash + 1 : command, "systemd");
}

bool container_is_systemd(const ContainerOptions *o, char *const *args) {
        if (streq_ptr(o->systemd, "false") || o->scope)
                return false;
        return streq_ptr(o->systemd, "always") || command_is_init(args);
}

bool container_is_system(const ContainerOptions *o, char *const *args) {
        return (o->machine && !streq_ptr(o->systemd, "false")) || container_is_systemd(o, args);
}

bool container_has_host_dir(const ContainerOptions *o, char *const *args) {
        return o->notify || container_is_system(o, args);
}

bool system_mode_is_valid(const char *s) {
        return streq(s, "true") || streq(s, "false") || streq(s, "always");
}

/* As text, with the bits that say that it is random (RFC 9562, version 4). */
static int random_uuid(char **ret) {
        _cleanup_free_ char *hex = random_hex(UUID_BYTES);

        if (!hex)
                return -ENOMEM;
        hex[12] = '4';
        hex[16] = "89ab"[hex[16] & 3];
        *ret = strformat("%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
        return *ret ? 0 : -ENOMEM;
}

static int set_unless_given(const ContainerOptions *o, char ***env, const char *name, const char *value) {
        _cleanup_free_ char *assignment = NULL;

        if (strv_env_get(o->environment, name))
                return 0;
        assignment = strjoin(name, "=", value);
        return assignment ? strv_env_set(env, assignment) : -ENOMEM;
}

int system_set_environment(const ContainerOptions *o, char ***env) {
        _cleanup_free_ char *uuid = NULL;
        int r;

        r = random_uuid(&uuid);
        if (r >= 0)
                r = set_unless_given(o, env, "container", CONTAINER_MANAGER_NAME);
        if (r >= 0)
                r = set_unless_given(o, env, "container_uuid", uuid);
        return r;
}

/* What machined takes for one: labels of letters, digits, "-" and "_", which neither begin nor end with "-".
 */
static bool machine_name_is_valid(const char *s) {
        char before = '.';

        if (strlen(s) > MACHINE_NAME_MAX || !string_in_charset(s, DIGITS LOWERCASE UPPERCASE "_-."))
                return false;
        for (; *s; before = *s++)
                if ((before == '.' && (*s == '.' || *s == '-')) || (before == '-' && *s == '.'))
                        return false;
        return before != '.' && before != '-';
}

int container_machine_name(const char *ns, const char *id, char **ret, Error *reterr_error) {
        _cleanup_free_ char *name = streq(ns, NAMESPACE_UNNAMED) ? strdup(id) : strjoin(id, ".", ns);

        if (!name)
                return -ENOMEM;
        if (!machine_name_is_valid(name))
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "Machine: \"%.100s\" cannot be a machine's name, which is a host name of at most %u "
                                "characters: give the container another id.",
                                name, MACHINE_NAME_MAX);
        *ret = TAKE_PTR(name);
        return 0;
}
