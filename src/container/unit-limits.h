/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What of a container's unit limits it and can be changed while it runs. In text a limit is an assignment
 * "NAME=VALUE", canonical if the name is that of the table below and the value that of PID 1's property:
 * numbers in decimal, "infinity" (none, or not set), sets of numbers as "0-3,7", "PATH NUMBER" for one
 * device. The user's unit properties (options) may have other spellings: "MemoryMax=1G", "CPUQuota=50%". */

#include "container/container.h"

#define LIMITS_TEXT_MAX 4096U /* of an event */

typedef enum LimitKind {
        LIMIT_SIZE,
        LIMIT_NUMBER,
        LIMIT_WEIGHT, /* "idle" is 0, nothing infinity */
        LIMIT_QUOTA,  /* CPUQuota=50% is 500000 */
        LIMIT_SET,
        LIMIT_BANDWIDTH, /* those below have one value for each device */
        LIMIT_RATE,
} LimitKind;

typedef struct Limit {
        const char *name;     /* as on the bus, ours and PID 1's */
        LimitKind kind;
        const char *file;     /* of the control group that PID 1 writes when it changes */
        const char *initial;  /* value where none is set; NULL: the host's */
} Limit;

/* Ends in an entry without a name. */
extern const Limit container_limits[];

static inline bool limit_is_list(const Limit *l) {
        return l->kind >= LIMIT_BANDWIDTH;
}
/* By an assignment's or a property's name; NULL: it is no limit. */
const Limit *limit_find(const char *assignment);
/* 0: it is no limit that can be changed; 1: *ret is canonical. A value that makes no sense, and one that is
 * a share of what the host has ("50%"), stays as it is. */
int limit_canonical(const char *assignment, char **ret);
/* Puts it into the list, in the place of those that it replaces: of the same name, and device if it has one.
 * What is in the list need not be canonical. An empty value of a list of devices clears that. */
int limit_set(char ***l, const char *assignment);
/* The limits that a container has been given, canonical, and what others have changed since its start. */
int container_get_limits(const Container *c, char ***ret);

/* Changes limits (assignments), of the unit if it is there and for all starts to come. func when it is done.
 * "InvalidArgument": none of them, or one that cannot be changed. */
int container_update(Container *c, char *const *assignments, ContainerFunc func, void *userdata,
                     Error *reterr_error);
/* What PID 1 has is no longer what was known: finds out, and tells. files: a bit for each entry of the
 * table whose file was written. */
void container_refresh_limits(Container *c, uint32_t files);
