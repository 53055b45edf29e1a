/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Capabilities: names, the five sets of a process, and giving up what is not in them. By system calls:
 * libcap would cost its loading at each start and adds nothing to capset(2) and prctl(2). */

#include "basic/error.h"
#include "basic/macro.h"

typedef enum CapSet {
        CAP_SET_BOUNDING,
        CAP_SET_EFFECTIVE,
        CAP_SET_PERMITTED,
        CAP_SET_INHERITABLE,
        CAP_SET_AMBIENT,
        _CAP_SET_MAX,
        _CAP_SET_INVALID = -EINVAL,
} CapSet;

DECLARE_STRING_TABLE(cap_set, CapSet);

/* One bit a capability. */
typedef struct CapSets {
        uint64_t sets[_CAP_SET_MAX];
} CapSets;

/* "CAP_CHOWN" → 0, …; -EINVAL for what this program does not know. */
int cap_number_from_name(const char *name);
/* NULL for an unknown number. */
const char *cap_name_from_number(unsigned cap);

/* What this process may give at most: its own permitted and bounding sets. */
int caps_available(uint64_t *ret);

/* Takes from sets what is not available (which is returned in *ret_missing), then what the kernel would
 * refuse anyway: no ambient capability that is not permitted and inheritable, none effective that is not
 * permitted. */
void caps_limit(CapSets *sets, uint64_t available, uint64_t *ret_missing);

/* Drops everything else from the bounding set; needs CAP_SETPCAP. */
int caps_drop_bounding(uint64_t keep);
/* Sets permitted, effective, inheritable and ambient. */
int caps_apply(const CapSets *sets);
