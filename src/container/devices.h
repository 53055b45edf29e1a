/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Devices of the host that a container sees: "HOST[:CONTAINER][:PERMISSIONS]", as docker writes them. HOST is
 * a node in /dev, or a directory there, which stands for all nodes below it; PERMISSIONS are of r, w and m
 * (default: all). */

#include "basic/error.h"
#include "basic/json.h"

#define DEVICES_MAX 1024U

/* "InvalidArgument" naming the option; the host is not looked at. */
int container_devices_validate(char *const *devices, Error *reterr_error);
/* What they are on this host: members of linux.devices, and the unit properties that open them
 * ("DeviceAllow=…"). Either may be NULL. -ENOENT "NoSuchDevice". */
int container_devices_resolve(char *const *devices, json_t **ret_devices, char ***ret_properties,
                              Error *reterr_error);
