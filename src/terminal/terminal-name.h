/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names of a terminal's descriptors in the store: "terminal/<serial>/<kind>/<key>". The serial is another
 * one for each terminal, so that one that is still being read has none of its successor's names. */

#include "basic/macro.h"

#define TERMINAL_NAME_MAX 255U /* as the service manager has it */

typedef enum TerminalPart {
        TERMINAL_PART_RING,
        TERMINAL_PART_MASTER,
        TERMINAL_PART_CLIENT, /* and behind it, one for each */
        _TERMINAL_PART_MAX,
        _TERMINAL_PART_INVALID = -EINVAL,
} TerminalPart;

/* client: for TERMINAL_PART_CLIENT. buffer is returned. */
const char *terminal_name(char buffer[static TERMINAL_NAME_MAX + 1], uint64_t serial, TerminalPart part,
                          unsigned client, const char *key);
/* -EINVAL: it is none. *ret_key points into the name. */
int terminal_name_parse(const char *name, uint64_t *ret_serial, TerminalPart *ret_part, unsigned *ret_client,
                        const char **ret_key);
/* What may be a part of such a name: printable, no ":", at most TERMINAL_KEY_MAX. */
bool terminal_key_is_valid(const char *key);
