/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What checkpoint and restore share: their options, and what CRIU is told of a container. */

#include "runtime/command.h"
#include "runtime/criu-rpc.h"
#include "runtime/spec.h"

/* Options that both verbs have, or one of them; parsed by criu_take_option(). */
enum {
        OPTION_IMAGE_PATH = 0x200,
        OPTION_WORK_PATH,
        OPTION_PARENT_PATH,
        OPTION_LEAVE_RUNNING,
        OPTION_TCP_ESTABLISHED,
        OPTION_TCP_SKIP_IN_FLIGHT,
        OPTION_TCP_CLOSE,
        OPTION_LINK_REMAP,
        OPTION_EXT_UNIX_SK,
        OPTION_SHELL_JOB,
        OPTION_LAZY_PAGES,
        OPTION_STATUS_FD,
        OPTION_PAGE_SERVER,
        OPTION_FILE_LOCKS,
        OPTION_PRE_DUMP,
        OPTION_MANAGE_CGROUPS_MODE,
        OPTION_NETWORK_LOCK,
        OPTION_EMPTY_NS,
        OPTION_AUTO_DEDUP,
        OPTION_LSM_PROFILE,
        OPTION_LSM_MOUNT_CONTEXT,
        _OPTION_CRIU_END,
};

typedef struct CriuOptions {
        const char *image_path;
        const char *work_path;   /* NULL: the image path */
        const char *parent_path; /* relative to the image path */
        char *page_server;       /* owned: its address */
        uint32_t page_server_port;
        const char *lsm_profile;
        const char *lsm_mount_context;
        bool leave_running;
        bool tcp_established;
        bool tcp_skip_in_flight;
        bool tcp_close;
        bool link_remap;
        bool ext_unix_sk;
        bool shell_job;
        bool lazy_pages;
        bool file_locks;
        bool pre_dump;
        bool auto_dedup;
        int status_fd;     /* -EBADF: none */
        int cgroups_mode;  /* criu_cg_mode */
        int network_lock;  /* criu_network_lock_method; 0: CRIU's own choice */
        uint64_t empty_ns; /* CLONE_NEW… */
} CriuOptions;

#define CRIU_OPTIONS_INIT                                                                                   \
        (CriuOptions) {                                                                                     \
                .image_path = "checkpoint", .status_fd = -EBADF, .cgroups_mode = 3 /* SOFT */               \
        }

void criu_options_done(CriuOptions *o);

/* getopt's value and optarg. Errors: InvalidArgument. */
int criu_take_option(CriuOptions *o, int c, Error *reterr_error);

/* Root is needed, and the program: *ret is its path, owned. Errors: NotPermitted, CriuNotInstalled. */
int criu_find(const GlobalOptions *g, char **ret, Error *reterr_error);

/* The directories of images and of logs, made if create. *ret_work_fd is -EBADF if it is the same. */
int criu_open_directories(const CriuOptions *o, bool create, int *ret_image_fd, int *ret_work_fd,
                          Error *reterr_error);

/* Numbers of criu_opts's fields that the verbs write themselves. */
enum {
        CRIU_OPTS_PID = 2,
        CRIU_OPTS_LEAVE_RUNNING = 3,
        CRIU_OPTS_EVASIVE_DEVICES = 6,
        CRIU_OPTS_LOG_FILE = 10,
        CRIU_OPTS_PAGE_SERVER = 11,
        CRIU_OPTS_ROOT = 13,
        CRIU_OPTS_PARENT_IMG = 14,
        CRIU_OPTS_TRACK_MEM = 15,
        CRIU_OPTS_CG_ROOT = 25,
        CRIU_OPTS_RST_SIBLING = 26,
        CRIU_OPTS_INHERIT_FD = 27,
        CRIU_OPTS_EXTERNAL = 37,
        CRIU_OPTS_JOIN_NS = 39,
        CRIU_OPTS_FREEZE_CGROUP = 44,
};

#define CRIU_DESCRIPTORS "descriptors.json" /* in the image: what 0, 1 and 2 were, an array of strings */

/* Names under which namespaces that are not the container's are known to an image. */
#define CRIU_EXTERNAL_NETWORK "extRootNetNS"
#define CRIU_EXTERNAL_PID "extRootPidNS"

/* What does not depend on the verb: options, directories, log level, the configuration file. */
void criu_write_options(ProtoWriter *w, const CriuOptions *o, const RuntimeSpec *spec, int image_fd,
                        int work_fd, bool console);

/* Mounts that are not the container's own. root_fd: the container's root, below which destinations are
 * resolved; prefix: what stands before them in the names of what is opened there. restoring: each gets its
 * source, else only its name. */
int criu_write_mounts(ProtoWriter *w, const RuntimeSpec *spec, int root_fd, const char *prefix,
                      bool restoring, Error *reterr_error);

/* Removes the log of an earlier call: a configuration file may name another. */
void criu_forget_log(int image_fd, int work_fd, const char *log);
/* Reports what a log says of errors, and adds to e where it is. */
void criu_explain(const CriuOptions *o, const char *log, Error *e);
