/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Labels of security modules: AppArmor's profile and SELinux' contexts. */

#include "basic/error.h"
#include "runtime/spec-process.h"

/* Has the next execve() of this process change to process.apparmorProfile and process.selinuxLabel. While
 * /proc is still the host's: before anything of the container is mounted there, and before its mount
 * namespace is joined. Errors: NotSupported if the module is not there. */
int labels_apply(const ProcessSpec *p, Error *reterr_error);

/* Whether SELinux decides here. By looking at the host's /sys. */
bool selinux_is_enabled(void);

/* linux.mountLabel added to a mount's options as "context", "fscontext", …: owned, NULL on OOM. data may be
 * NULL. */
char *label_mount_data(const char *data, const char *type, const char *label);
