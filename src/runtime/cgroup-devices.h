/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which devices a cgroup may use: a BPF program of type BPF_PROG_TYPE_CGROUP_DEVICE, made of the list of
 * rules. Each of the three accesses is decided by the last rule that is for the device and the access; what
 * no rule is for is denied. Behind the list stand the devices that each container has (null, zero, full,
 * random, urandom, tty, console, ptmx, pts), and the making of any node. */

#include <linux/bpf.h>

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/spec-resources.h"

typedef struct DeviceProgram {
        struct bpf_insn *instructions;
        size_t n;
        bool allows_all; /* no program is needed */
} DeviceProgram;

void device_program_done(DeviceProgram *p);

/* All accesses to all devices. */
bool device_rule_is_for_all(const DeviceRule *r);
/* Pure. */
int device_program_new(const DeviceRule *rules, size_t n, DeviceProgram *ret);

/* Loads the program; descriptor. Errors: PermissionDenied where the kernel does not let us. */
int device_program_load(const DeviceProgram *p, Error *reterr_error);
/* Puts a loaded program in force, in place of one of ours that is: also of a pinned one that the service
 * manager has put there. */
int device_program_attach(int program_fd, int cgroup_fd, Error *reterr_error);
/* Takes away what device_program_attach() put there. */
int device_program_detach(int cgroup_fd);
/* Gives a loaded program a name in the bpf file system. -EOPNOTSUPP if there is none. */
int device_program_pin(int program_fd, const char *path);
/* The name of a scope's: a file below a directory of the program's name, so that under another name it is another
 * one. NULL on OOM. */
char *device_program_pin_path(const char *program, const char *scope);

/* Makes and loads the program for r's rules. Descriptor; -ENOENT if none is needed or, with nothing asked for, none
 * can be had. */
int device_rules_load(const ResourceSpec *r, Error *reterr_error);
