/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The directory that mooring's launcher reads:
 * <runtime>/containers/<namespace>/<id>/{config.json,hosts,hostname,resolv.conf}. It lives on a tmpfs and is
 * written anew when it is missing, so that nothing is synced. record.json in it is the daemon's own, and so
 * is seccomp.json: another link to the profile that config.json names (seccomp-store.h). */

#include "basic/error.h"

#define BUNDLE_CONFIG_SIZE_MAX (16U * 1024 * 1024)
#define HEALTH_RECORD_SIZE_MAX (256U * 1024)
#define BUNDLE_HOST_FILE_SIZE_MAX (1U << 20) /* of /etc/hosts and /etc/resolv.conf, where they are copied   \
                                              */

/* containers_fd: <runtime>/containers. */
char *bundle_path(const char *runtime_dir, const char *ns, const char *id);
int bundle_open(int containers_fd, const char *ns, const char *id); /* its directory */
bool bundle_exists(int containers_fd, const char *ns, const char *id);
typedef struct BundleContent {
        const char *config;
        const char *hostname;
        const char *hosts, *resolv; /* of /etc/hosts and /etc/resolv.conf */
        const char *seccomp; /* name of the profile; NULL: none */
        int seccomp_fd;      /* where it is */
        bool host_dir;              /* it has a /run/host */
        const char *manager, *uuid; /* of a system (system.h): what its /run/host says; NULL: it has none */
} BundleContent;
int bundle_write(int containers_fd, const char *ns, const char *id, const BundleContent *content,
                 Error *reterr_error);
/* config.json with the profile in place of its name: what any runtime understands. */
int bundle_read_spec(int containers_fd, const char *ns, const char *id, char **ret);
/* What the next daemon needs if the database is lost; see container/record.h. The bundle is there. */
int bundle_write_record(int containers_fd, const char *ns, const char *id, const char *text);
int bundle_read_record(int containers_fd, const char *ns, const char *id, char **ret);
/* What was found out about the container's health; see container/health.h. */
int bundle_write_health(int containers_fd, const char *ns, const char *id, const char *text);
int bundle_read_health(int containers_fd, const char *ns, const char *id, char **ret);
/* exec-<n>.json: of an exec that has not ended. */
char *bundle_exec_path(const char *runtime_dir, const char *ns, const char *id, uint64_t n);
int bundle_write_exec(int containers_fd, const char *ns, const char *id, uint64_t n, const char *text);
/* exec-<n>.end: how it has ended, by `mooring record-exec`, which writes only while the file is there. */
char *bundle_exec_end_path(const char *runtime_dir, const char *ns, const char *id, uint64_t n);
int bundle_open_exec_end(int containers_fd, const char *ns, const char *id, uint64_t n, bool create);
/* Both. 0 also if there is none. */
int bundle_remove_exec(int containers_fd, const char *ns, const char *id, uint64_t n);
/* Calls back for each that is there and can be read. */
int bundle_foreach_exec(int containers_fd, const char *ns, const char *id,
                        void (*func)(uint64_t n, const char *text, void *userdata), void *userdata);
int bundle_remove(int containers_fd, const char *ns, const char *id);
/* Calls back for each bundle that is there. */
int bundle_foreach(int containers_fd, void (*func)(const char *ns, const char *id, void *userdata),
                   void *userdata);
