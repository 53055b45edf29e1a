/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tap device that stays without a process that has it open: for a virtual machine in the container, which opens /dev/net/tun. user: who may,
 * besides those with CAP_NET_ADMIN there. -EEXIST */

#include <sys/types.h>

int tap_new(int netns, const char *name, uid_t user);
