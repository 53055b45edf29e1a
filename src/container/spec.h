/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From an image's configuration and a container's options to the runtime specification's config.json. */

#include "basic/json.h"
#include "container/container.h"
#include "container/options.h"
#include "oci/image-config.h"
#include "snapshot/snapshot.h"

#define OCI_VERSION "1.2.0"
#define ANNOTATION_PREFIX "org.moored."
#define ANNOTATION_SECCOMP ANNOTATION_PREFIX "seccomp"
#define ANNOTATION_MACHINE ANNOTATION_PREFIX "machine" /* its name at systemd-machined */
#define ANNOTATION_RUNTIME ANNOTATION_PREFIX "runtime" /* path of the program that the launcher calls */
#define ANNOTATION_SYSTEM ANNOTATION_PREFIX "system" /* "systemd", "notify", or "detect": says itself when it is ready */
#define ANNOTATION_STOP ANNOTATION_PREFIX "stop" /* "SIGNAL MICROSECONDS", for mooring stop */
#define ANNOTATION_EXEC_PID ANNOTATION_PREFIX "exec.pid"
#define ANNOTATION_EXEC_CGROUP ANNOTATION_PREFIX "exec.cgroup"
#define ANNOTATION_EXEC_RECORD ANNOTATION_PREFIX "exec.record" /* the daemon's own: exec-record.h */

/* image-spec conversion.md: arguments, environment, directory, user, annotations. "InvalidArgument" if there
 * is nothing to run. */
int container_process_resolve(const ImageConfig *image, const ContainerOptions *o, const char *id,
                              ContainerProcess *ret, Error *reterr_error);

/* available: what the host can give (capability_available_mask()). "InvalidArgument" if the options ask for
 * more by name. */
int container_capabilities_resolve(const ContainerOptions *o, uint64_t available, uint64_t *ret,
                                   Error *reterr_error);

/* mask with these names added and taken away; "ALL" comes first. The same error. */
int capabilities_change(uint64_t mask, char *const *add, char *const *drop, uint64_t available, uint64_t *ret,
                        Error *reterr_error);

typedef struct SpecInput {
        const ContainerOptions *options;
        const ContainerProcess *process;
        const SnapshotMount *mount;
        const char *bundle;         /* path of its directory: hostname is there */
        const char *network_bundle; /* the same, or that of whose network it shares: hosts and resolv.conf */
        const char *network; /* by what the launcher asks for its network; NULL: it does not */
        bool keep_network;   /* and the unit keeps that */
        uint64_t capabilities;
        const char *seccomp; /* name of the profile (seccomp-store.h); NULL: unconfined */
        const char *machine; /* its name there; NULL: it is none */
        uint64_t stop_timeout_usec;
        json_t *devices;     /* members of linux.devices, or NULL; borrowed */
        const char *runtime; /* path of another runtime; NULL: mooring */
        const char *terminal; /* what its terminal is called; NULL: none */
} SpecInput;
int container_spec_build(const SpecInput *in, char **ret, Error *reterr_error);

/* What mooring's launch-exec reads: see runtime/join.h. */
typedef struct ExecSpecInput {
        const ContainerOptions *options; /* the container's */
        const ContainerProcess *process; /* args, environment, directory and user of the new one */
        char *const *groups;
        uint64_t capabilities;
        const char *seccomp;
        bool new_privileges; /* what is executed may gain some */
        uint32_t pid; /* the container's init */
        const char *control_group;
        const char *record;
        const char *terminal;      /* its key; NULL: none */
        const char *terminal_size; /* "ROWSxCOLUMNS" or NULL */
} ExecSpecInput;
int exec_spec_build(const ExecSpecInput *in, char **ret, Error *reterr_error);
