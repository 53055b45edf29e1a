/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a specification to a checked list of typed operations. The plan is made before anything is changed
 * and without privileges; apply.h executes it. Everything that can be refused by looking at the
 * specification is refused here. */

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/spec.h"

/* Annotations that the launcher obeys. */
#define ANNOTATION_ROOTFS_DIR "org.moored.rootfs.dir"
#define ANNOTATION_ROOTFS_LOWER "org.moored.rootfs.lower"
#define ANNOTATION_ROOTFS_UPPER "org.moored.rootfs.upper"
#define ANNOTATION_ROOTFS_WORK "org.moored.rootfs.work"
#define ANNOTATION_USER "org.moored.user"
#define ANNOTATION_GROUPS "org.moored.groups"

/* Where the root is put together, in the container's mount namespace only. */
#define RUNTIME_ROOTFS MOORED_RUNTIME_DIR "/rootfs"

/* The kernel takes one page of mount options. */
#define ROOTFS_OPTIONS_MAX 4095U

typedef enum OperationType {
        OPERATION_ROOT_OVERLAY, /* overlay of data below the directory source, on RUNTIME_ROOTFS */
        OPERATION_ROOT_BIND, /* the tree source: on RUNTIME_ROOTFS (relative to directory base), or on itself
                                without base */
        OPERATION_MOUNT,     /* file system fstype, source, flags, data on target */
        OPERATION_BIND,      /* tree or file source on target */
        OPERATION_DEVICE,    /* node at target: mode, device, uid, gid */
        OPERATION_SYMLINK,   /* target → source, unless there is something */
        OPERATION_SYSCTL,    /* target is the name below /proc/sys, source the value */
        OPERATION_DIRECTORY, /* mkdir -p target */
        OPERATION_READONLY,  /* target becomes read-only, if it is there */
        OPERATION_MASK,      /* target becomes empty and read-only, if it is there */
        OPERATION_ROOT_READONLY,
        _OPERATION_TYPE_MAX,
        _OPERATION_TYPE_INVALID = -EINVAL,
} OperationType;

DECLARE_STRING_TABLE(operation_type, OperationType);

typedef struct Operation {
        OperationType type;
        char *target; /* in the container; owned, as all strings here */
        char *source;
        char *base;
        char *fstype;
        char *data;
        unsigned long flags;
        bool no_symlinks; /* no symlink in target may be followed */
        bool recursive;
        uint64_t attr_set, attr_clear;         /* of the mount itself */
        uint64_t attr_set_all, attr_clear_all; /* of all mounts of the tree */
        uint64_t propagation;
        bool propagation_all;
        bool optional; /* OPERATION_DEVICE: what is there already may stay */
        mode_t mode;
        uint32_t major, minor;
        uid_t uid;
        gid_t gid;
} Operation;

typedef struct Plan {
        Operation *operations;
        size_t n_operations;
        uint64_t clone_flags;           /* of the namespaces to be made */
        unsigned long root_propagation; /* of the whole tree in the new mount namespace, before anything else
                                         */
        bool loopback;                  /* a new network namespace: its lo is to be set up */
} Plan;

/* bundle: absolute path of the bundle, to which root.path is relative. Errors: NotSupported and
 * InvalidArgument, naming the member of the specification. */
int plan_new(const RuntimeSpec *spec, const char *bundle, Plan **ret, Error *reterr_error);
Plan *plan_free(Plan *p);
DEFINE_CLEANUP_FUNC(Plan *, plan_free)
