/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "basic/string-util.h"
#include "terminal/ring.h"
#include "terminal/terminal-name.h"
#include "terminal/terminal.h"

#define PREFIX "terminal/"

static const char *const part_table[_TERMINAL_PART_MAX] = {
        [TERMINAL_PART_RING] = "ring",
        [TERMINAL_PART_MASTER] = "master",
        [TERMINAL_PART_CLIENT] = "client",
};

_Static_assert(sizeof(PREFIX) + 20 + sizeof("/client00/") + TERMINAL_KEY_MAX <= TERMINAL_NAME_MAX,
               "every terminal has names");

const char *terminal_name(char buffer[static TERMINAL_NAME_MAX + 1], uint64_t serial, TerminalPart part,
                          unsigned client, const char *key) {
        if (part == TERMINAL_PART_CLIENT)
                (void) snprintf(buffer, TERMINAL_NAME_MAX + 1, PREFIX "%" PRIu64 "/%s%u/%s", serial,
                                part_table[part], client, key);
        else
                (void) snprintf(buffer, TERMINAL_NAME_MAX + 1, PREFIX "%" PRIu64 "/%s/%s", serial,
                                part_table[part], key);
        return buffer;
}

bool terminal_key_is_valid(const char *key) {
        return !isempty(key) && strlen(key) <= TERMINAL_KEY_MAX &&
               string_in_charset(key, DIGITS LOWERCASE UPPERCASE "_.-/");
}

static int parse_part(const char *s, TerminalPart *ret_part, unsigned *ret_client) {
        const char *number = startswith(s, part_table[TERMINAL_PART_CLIENT]);
        uint32_t client;

        for (TerminalPart p = 0; p < TERMINAL_PART_CLIENT; p++)
                if (streq(s, part_table[p])) {
                        *ret_part = p;
                        *ret_client = 0;
                        return 0;
                }
        if (!number || parse_uint32(number, &client) < 0 || client >= RING_CLIENTS_MAX)
                return -EINVAL;
        *ret_part = TERMINAL_PART_CLIENT;
        *ret_client = client;
        return 0;
}

int terminal_name_parse(const char *name, uint64_t *ret_serial, TerminalPart *ret_part, unsigned *ret_client,
                        const char **ret_key) {
        const char *rest = startswith(name, PREFIX), *slash, *key;
        _cleanup_free_ char *serial = NULL, *part = NULL;

        slash = rest ? strchr(rest, '/') : NULL;
        key = slash ? strchr(slash + 1, '/') : NULL;
        if (!key || !terminal_key_is_valid(key + 1))
                return -EINVAL;
        serial = strndup(rest, (size_t) (slash - rest));
        part = strndup(slash + 1, (size_t) (key - slash - 1));
        if (!serial || !part)
                return -ENOMEM;
        if (parse_uint64(serial, ret_serial) < 0 || parse_part(part, ret_part, ret_client) < 0)
                return -EINVAL;
        *ret_key = key + 1;
        return 0;
}
