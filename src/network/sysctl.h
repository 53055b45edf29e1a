/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Settings below /proc/sys/net, of the network namespace that the caller is in. */

#include "basic/macro.h"

/* "ipv4", "conf", device, "route_localnet": the path as parts, for there are dots in names of devices.
 * -ENOENT: the kernel has none of this name (IPv6 is switched off, say). */
int sysctl_write(const char *const parts[], const char *value);
#define SYSCTL_WRITE(value, ...) sysctl_write((const char *const[]) { __VA_ARGS__, NULL }, (value))
/* What cannot be read is nothing. */
bool sysctl_is(const char *const parts[], const char *value);
#define SYSCTL_IS(value, ...) sysctl_is((const char *const[]) { __VA_ARGS__, NULL }, (value))
/* Writes if it is something else: 1 then. */
int sysctl_ensure(const char *const parts[], const char *value);
#define SYSCTL_ENSURE(value, ...) sysctl_ensure((const char *const[]) { __VA_ARGS__, NULL }, (value))
