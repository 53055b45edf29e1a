/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a specification to a checked list of typed operations. The plan is made before anything is changed
 * and without privileges; plan-prepare.h opens what only the parent can open, apply.h executes the list.
 * Everything that can be refused by looking at the specification is refused here. */

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/idmap.h"
#include "runtime/spec.h"

/* Annotations that are obeyed. */
#define ANNOTATION_ROOTFS_DIR "org.moored.rootfs.dir"
#define ANNOTATION_ROOTFS_LOWER "org.moored.rootfs.lower"
#define ANNOTATION_ROOTFS_UPPER "org.moored.rootfs.upper"
#define ANNOTATION_ROOTFS_WORK "org.moored.rootfs.work"
#define ANNOTATION_SECCOMP "org.moored.seccomp" /* name of a profile; see seccomp-cache.h */
#define ANNOTATION_STOP "org.moored.stop" /* "SIGNAL MICROSECONDS"; see launch-stop.c */
#define ANNOTATION_USER "org.moored.user"
#define ANNOTATION_GROUPS "org.moored.groups"
#define ANNOTATION_READY "org.moored.ready" /* "healthy": the unit is ready when a health check has succeeded */
#define ANNOTATION_MOUNT_CONTEXT_TYPE "run.oci.mount_context_type"

/* Where the root is put together, in the container's mount namespace only. */
#define RUNTIME_ROOTFS MOORED_RUNTIME_DIR "/rootfs"

/* The kernel takes one page of mount options. */
#define ROOTFS_OPTIONS_MAX 4095U

typedef enum OperationType {
        OPERATION_ROOT_OVERLAY, /* overlay of data below the directory source, on RUNTIME_ROOTFS */
        OPERATION_ROOT_BIND,    /* the tree source: on RUNTIME_ROOTFS (relative to directory base), or on
                                   itself without base */
        OPERATION_ROOT_OPEN,    /* the directory source as it is: there is no mount namespace */
        OPERATION_MOUNT,        /* file system fstype, source, flags, data on target */
        OPERATION_BIND,         /* tree or file source on target */
        OPERATION_COPY_SYMLINK, /* if source is a symlink: the same at target; else as OPERATION_BIND */
        OPERATION_REMOUNT,      /* what is mounted on target: new flags and data, or (bind) attributes */
        OPERATION_DEVICE,       /* node at target: mode, device, owner; or (bind) the host's of that name */
        OPERATION_SYMLINK,      /* target → source, unless there is something */
        OPERATION_FILE,         /* an empty file at target, unless there is something */
        OPERATION_SYSCTL,       /* target is the name below /proc/sys, source the value; subject its kind of
                                   namespace, base the path of one that is joined */
        OPERATION_DIRECTORY,    /* mkdir -p target */
        OPERATION_LATE_READONLY, /* the file system that the operation `subject` has mounted */
        OPERATION_READONLY,      /* target becomes read-only, if it is there */
        OPERATION_MASK,          /* target becomes empty and read-only, if it is there */
        OPERATION_ROOT_READONLY,
        _OPERATION_TYPE_MAX,
        _OPERATION_TYPE_INVALID = -EINVAL,
} OperationType;

DECLARE_STRING_TABLE(operation_type, OperationType);

/* What has to be opened before the container's process is made: plan-prepare.h. */
typedef enum OperationSource {
        OPERATION_SOURCE_NONE,      /* nothing */
        OPERATION_SOURCE_FALLBACK,  /* for a container's process that may not reach or change it */
        OPERATION_SOURCE_PREFERRED, /* better than the container's process's, where it can be had */
        OPERATION_SOURCE_NEEDED,    /* what can be made by nobody else */
        _OPERATION_SOURCE_MAX,
        _OPERATION_SOURCE_INVALID = -EINVAL,
} OperationSource;

typedef struct Operation {
        OperationType type;
        char *target; /* in the container; owned, as all strings here */
        char *source;
        char *base;
        char *fstype;
        char *data;
        unsigned long flags;
        bool bind;
        bool no_symlinks;     /* no symlink in target may be followed */
        bool target_nofollow; /* target must be there; a symlink there is mounted on itself */
        bool source_nofollow;
        bool recursive;
        uint64_t attr_set, attr_clear;         /* of the mount itself */
        uint64_t attr_set_all, attr_clear_all; /* of all mounts of the tree */
        uint64_t propagation;
        bool propagation_all;
        bool detached;     /* OPERATION_MOUNT: attributes, not flags, and a descriptor is kept of it */
        bool inherit_mode; /* OPERATION_MOUNT: the root directory gets the mode of target */
        bool copy_up;      /* OPERATION_MOUNT: the contents of target are copied into it */
        bool optional;     /* OPERATION_DEVICE: what is there already may stay */
        bool replace;      /* OPERATION_SYMLINK: what is there already may not */
        bool label;        /* OPERATION_MOUNT: Plan.mount_label as an option */
        bool label_xattr;  /* OPERATION_MOUNT: Plan.mount_label as an attribute of its root */
        char *fallback;    /* OPERATION_MOUNT: tree to be bound if the file system is refused (EPERM) */
        mode_t mode;
        uint32_t major, minor;
        uid_t uid;
        gid_t gid;
        size_t subject;
        size_t mapping; /* number of one of Plan.mappings + 1; 0: not idmapped */
        bool mapping_all;
        OperationSource prepare;
        bool prepared; /* OPERATION_DEVICE: the node is in Plan.devices_fd, named by the operation's number */
        int fd;        /* what plan_prepare() opened, -EBADF: nothing; owned */
} Operation;

typedef struct Mapping {
        IdMap map;
        char *path; /* instead: that of a user namespace */
        int fd; /* a user namespace with it, -EBADF: not made yet; owned */
} Mapping;

/* How the container gets into its root. */
typedef enum RootEntry {
        ROOT_ENTRY_PIVOT,
        ROOT_ENTRY_CHROOT, /* without a mount namespace */
        _ROOT_ENTRY_MAX,
        _ROOT_ENTRY_INVALID = -EINVAL,
} RootEntry;

typedef struct Plan {
        Operation *operations;
        size_t n_operations;
        size_t n_making; /* the first so many make things; those behind are plan_protect()'s */
        Mapping *mappings;
        size_t n_mappings;
        uint64_t clone_flags;            /* of the namespaces to be made */
        unsigned long root_propagation;  /* of the whole tree in the new mount namespace, before anything */
        unsigned long final_propagation; /* of the root (MS_REC: of all mounts) in the end; 0: as it is */
        RootEntry root_entry;
        bool contained;       /* a root of moored's (ANNOTATION_ROOTFS_DIR): no mount appears on the host,
                                 nothing is done otherwise than asked for where a host refuses it */
        bool user_namespace;  /* another one than this process's */
        SpecIdMappings uid_mappings, gid_mappings; /* of that; owned */
        char *mount_label; /* obeyed if use_label: plan_prepare() has found SELinux */
        char *mount_context_type;
        bool use_label;
        bool loopback; /* a new network namespace: its lo is to be set up */
        int devices_fd; /* plan_prepare()'s: a detached file system with device nodes, -EBADF: none; owned */
} Plan;

/* bundle: absolute path of the bundle, to which root.path is relative. Errors: NotSupported and
 * InvalidArgument, naming the member of the specification. */
int plan_new(const RuntimeSpec *spec, const char *bundle, Plan **ret, Error *reterr_error);
/* Only the root: what another runtime is to find. The rest of the specification is not looked at. */
int plan_new_root(const RuntimeSpec *spec, const char *bundle, Plan **ret, Error *reterr_error);
/* For a container that runs already: only the mounts of `added` (relative to dir), for plan_apply_at(). */
int plan_new_mounts(const RuntimeSpec *spec, const RuntimeSpec *added, const char *dir, Plan **ret,
                    Error *reterr_error);
Plan *plan_free(Plan *p);
DEFINE_CLEANUP_FUNC(Plan *, plan_free)
