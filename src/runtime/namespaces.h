/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Namespaces by the names of the runtime specification, and what a new one needs before it is of use. */

#include "basic/error.h"
#include "basic/macro.h"

typedef enum NamespaceType {
        NAMESPACE_PID,
        NAMESPACE_MOUNT,
        NAMESPACE_NETWORK,
        NAMESPACE_UTS,
        NAMESPACE_IPC,
        NAMESPACE_CGROUP,
        NAMESPACE_USER,
        NAMESPACE_TIME,
        _NAMESPACE_TYPE_MAX,
        _NAMESPACE_TYPE_INVALID = -EINVAL,
} NamespaceType;

DECLARE_STRING_TABLE(namespace_type, NamespaceType);

/* CLONE_NEW… */
uint64_t namespace_clone_flag(NamespaceType t);

/* Opens a namespace's file, which must be one of that type. Descriptor or negative errno. */
int namespace_open(NamespaceType t, const char *path, Error *reterr_error);

/* Sets the loopback interface of the current network namespace up. */
int loopback_up(void);
