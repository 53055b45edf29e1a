/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is kept of a container between two commands: a directory of its id below the root of states
 * (--root, /run/mooring):
 *
 *   status        this struct as JSON; written atomically, the last thing of a creation
 *   config.json   the specification as it was at creation
 *   start         a FIFO, while the container is created and not started: init reads, `start` writes a byte
 *   report        a FIFO, likewise: init writes why the command could not be executed, or closes it
 *   remains       where there may be something if the creation is cut short (remains.h)
 *
 * The directory itself is locked (flock) by commands that change the container. A directory without status
 * is a creation that is under way (locked) or was cut short (not locked). */

#include <stdint.h>
#include <sys/types.h>

#include "basic/error.h"
#include "basic/json.h"
#include "runtime/spec.h"

#define STATE_ID_MAX 255U
#define STATE_FILE "status"
#define STATE_CONFIG "config.json"
#define STATE_START_FIFO "start"
#define STATE_REPORT_FIFO "report"

typedef enum ContainerStatus {
        CONTAINER_CREATING,
        CONTAINER_CREATED,
        CONTAINER_RUNNING,
        CONTAINER_PAUSED,
        CONTAINER_STOPPED,
        _CONTAINER_STATUS_MAX,
        _CONTAINER_STATUS_INVALID = -EINVAL,
} ContainerStatus;

/* "creating", "created", "running", "paused", "stopped": runtime.md, "State". */
DECLARE_STRING_TABLE(container_status, ContainerStatus);

typedef struct ContainerState {
        char *id;
        char *bundle; /* absolute */
        char *rootfs; /* absolute */
        char *oci_version;
        char *owner; /* name or number of the user that created it; NULL: the directory's, see state_owner()
                      */
        pid_t pid;   /* of init; 0: none yet */
        uint64_t pid_start_time; /* field 22 of /proc/PID/stat: tells a process from a later one of its
                                    number */
        uint64_t created_usec;   /* CLOCK_REALTIME */
        char *cgroup_path;       /* below /sys/fs/cgroup, with a leading slash; NULL: none */
        char *scope;             /* systemd's unit; NULL: none */
        bool systemd_cgroup;
        bool detached;
        char *external_descriptors; /* what 0, 1 and 2 were, as a JSON array's text: for a restore; may be
                                       NULL */
        SpecPair *annotations;
        size_t n_annotations;
} ContainerState;

void container_state_done(ContainerState *s);

/* The id must be a valid directory name of letters, digits, "_", "+", "-", ".", at most STATE_ID_MAX. */
int state_check_id(const char *id, Error *reterr_error);

/* Sets the error NoSuchContainer and returns -ENOENT. */
int state_no_such_container(const char *id, Error *reterr_error);

/* Opens the root of states, makes it (0700) if create. Descriptor or negative errno. */
int state_root_open(const char *path, bool create, Error *reterr_error);

/* Makes the container's directory (0700) and locks it. Errors: InvalidArgument, AlreadyExists. Descriptor of
 * the directory, whose closing gives the lock up: in all processes that have it, the container's init among
 * them. */
int state_dir_create(int root_fd, const char *id, Error *reterr_error);
/* Opens the directory of a container; lock: waits for the lock. Errors: NoSuchContainer. */
int state_dir_open(int root_fd, const char *id, bool lock, Error *reterr_error);
int state_dir_remove(int root_fd, const char *id);

int state_write(int dir_fd, const ContainerState *s, Error *reterr_error);
/* Errors: NoSuchContainer if there is no status (id is for the message). */
int state_read(int dir_fd, const char *id, ContainerState *ret, Error *reterr_error);

/* By looking at the process, the FIFO and the cgroup's freezer. dir_fd of a container whose start is not to
 * be looked for: -EBADF. */
ContainerStatus state_status(int dir_fd, const ContainerState *s);

/* The process of s by descriptor, if it is still the one (-ESRCH otherwise). */
int state_pidfd(const ContainerState *s);
/* Field 22 of /proc/PID/stat; 0 if it cannot be read. */
uint64_t process_start_time(pid_t pid);

/* runtime.md, "State": what hooks read and `state` prints (the latter adds to it). */
json_t *state_to_oci(const ContainerState *s, ContainerStatus status);

/* What 0, 1 and 2 of this process are, as ContainerState.external_descriptors wants it; NULL: out of memory.
 */
char *state_describe_descriptors(void);

/* The name, or else the number, of the user that a container's directory belongs to; NULL: out of memory. */
char *state_owner(int dir_fd);

/* The ids of all containers, also of half-created ones, sorted; strv. */
int state_list(int root_fd, char ***ret);
