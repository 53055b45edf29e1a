/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* checkpoint: writes a container's processes to files, by CRIU, and ends it. */

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "runtime/container.h"
#include "runtime/criu.h"

#define LOG_DUMP "dump.log"

typedef struct Checkpoint {
        CriuOptions options;
        char *criu;
        Container container;
        RuntimeSpec *spec;
        int image_fd;
        int work_fd;
        int container_root_fd;
} Checkpoint;

static void checkpoint_done(Checkpoint *c) {
        criu_options_done(&c->options);
        free(c->criu);
        container_done(&c->container);
        runtime_spec_free(c->spec);
        safe_close(c->image_fd);
        safe_close(c->work_fd);
        safe_close(c->container_root_fd);
}

static int parse(Checkpoint *c, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "image-path", required_argument, NULL, OPTION_IMAGE_PATH },
                { "work-path", required_argument, NULL, OPTION_WORK_PATH },
                { "parent-path", required_argument, NULL, OPTION_PARENT_PATH },
                { "leave-running", no_argument, NULL, OPTION_LEAVE_RUNNING },
                { "tcp-established", no_argument, NULL, OPTION_TCP_ESTABLISHED },
                { "tcp-skip-in-flight", no_argument, NULL, OPTION_TCP_SKIP_IN_FLIGHT },
                { "link-remap", no_argument, NULL, OPTION_LINK_REMAP },
                { "ext-unix-sk", no_argument, NULL, OPTION_EXT_UNIX_SK },
                { "shell-job", no_argument, NULL, OPTION_SHELL_JOB },
                { "lazy-pages", no_argument, NULL, OPTION_LAZY_PAGES },
                { "status-fd", required_argument, NULL, OPTION_STATUS_FD },
                { "page-server", required_argument, NULL, OPTION_PAGE_SERVER },
                { "file-locks", no_argument, NULL, OPTION_FILE_LOCKS },
                { "pre-dump", no_argument, NULL, OPTION_PRE_DUMP },
                { "manage-cgroups-mode", required_argument, NULL, OPTION_MANAGE_CGROUPS_MODE },
                { "network-lock", required_argument, NULL, OPTION_NETWORK_LOCK },
                { "empty-ns", required_argument, NULL, OPTION_EMPTY_NS },
                { "auto-dedup", no_argument, NULL, OPTION_AUTO_DEDUP },
                {},
        };
        int o, r;

        while ((o = command_option(argc, argv, "+:h", options, reterr_error)) > 0) {
                r = criu_take_option(&c->options, o, reterr_error);
                if (r < 0)
                        return r;
        }
        if (o < 0)
                return o;
        if (c->options.parent_path && c->options.parent_path[0] == '/')
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--parent-path=%s: it must be relative to --image-path.",
                                 c->options.parent_path);
        return command_check_arguments(argc, argv, 1, 1, reterr_error);
}

static int prepare(Checkpoint *c, const GlobalOptions *g, const char *id, Error *reterr_error) {
        ContainerStatus status;
        char path[64];
        int r;

        r = criu_find(g, &c->criu, reterr_error);
        if (r < 0)
                return r;
        r = container_open(g, id, true, &c->container, reterr_error);
        if (r < 0)
                return r;
        status = container_status(&c->container);
        if (status != CONTAINER_RUNNING && status != CONTAINER_PAUSED)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "Container \"%s\" is %s: only one that runs can be checkpointed.", id,
                                 container_status_to_string(status));
        r = container_spec(&c->container, &c->spec, reterr_error);
        if (r < 0)
                return r;

        (void) snprintf(path, sizeof(path), "/proc/%d/root", c->container.state.pid);
        c->container_root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->container_root_fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the container's root: %m");
        r = criu_open_directories(&c->options, true, &c->image_fd, &c->work_fd, reterr_error);
        if (r < 0)
                return r;
        if (c->options.parent_path && faccessat(c->image_fd, c->options.parent_path, F_OK, 0) < 0)
                return error_set_errno(reterr_error, -errno, "--parent-path=%s: %m", c->options.parent_path);
        return 0;
}

/* Asks CRIU on its own whether it can do what will be needed: it says so more clearly than when it comes to
 * it. */
static int check_features(const Checkpoint *c, Error *reterr_error) {
        _cleanup_(proto_writer_done) ProtoWriter features = {}, request = {};
        bool memory = c->options.pre_dump || c->options.parent_path;
        _cleanup_(criu_done) Criu criu = CRIU_NULL;
        CriuResponse response;
        int r;

        if (!memory && !c->options.lazy_pages)
                return 0;
        if (memory)
                proto_write_int(&features, CRIU_FEATURE_MEMORY_TRACKING, 1);
        if (c->options.lazy_pages)
                proto_write_int(&features, CRIU_FEATURE_LAZY_PAGES, 1);
        if (criu_request_encode(CRIU_REQUEST_FEATURE_CHECK, NULL, &features, &request) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        r = criu_start(c->criu, NULL, 0, &criu, reterr_error);
        if (r >= 0)
                r = criu_call(&criu, &request, NULL, NULL, &response, reterr_error);
        if (r < 0)
                return r;
        if ((memory && !response.features[CRIU_FEATURE_MEMORY_TRACKING]) ||
            (c->options.lazy_pages && !response.features[CRIU_FEATURE_LAZY_PAGES]))
                return error_set(
                                reterr_error, -EOPNOTSUPP, "NotSupported",
                                "This kernel or CRIU cannot do what --pre-dump, --parent-path and --lazy-pages need.");
        return 0;
}

/* A namespace that was there before the container stays outside of the image, under this name. */
static int write_external(ProtoWriter *w, const Checkpoint *c, NamespaceType t, const char *file,
                          const char *name, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        struct stat st;
        char path[64];

        if (!c->spec->namespaces[t].path)
                return 0;
        (void) snprintf(path, sizeof(path), "/proc/%d/ns/%s", c->container.state.pid, file);
        if (stat(path, &st) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at \"%s\": %m", path);
        text = strformat("%s[%ju]:%s", file, (uintmax_t) st.st_ino, name);
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        proto_write_string(w, CRIU_OPTS_EXTERNAL, text);
        return 0;
}

static int write_request(const Checkpoint *c, ProtoWriter *w, Error *reterr_error) {
        const ContainerState *s = &c->container.state;
        _cleanup_free_ char *freezer = NULL;
        int r;

        criu_write_options(w, &c->options, c->spec, c->image_fd, c->work_fd, true);
        proto_write_int(w, CRIU_OPTS_PID, s->pid);
        proto_write_string(w, CRIU_OPTS_LOG_FILE, LOG_DUMP);
        proto_write_string(w, CRIU_OPTS_ROOT, s->rootfs);
        if (c->options.leave_running)
                proto_write_int(w, CRIU_OPTS_LEAVE_RUNNING, 1);
        proto_write_string(w, CRIU_OPTS_PARENT_IMG, c->options.parent_path);
        if (c->options.parent_path || c->options.pre_dump)
                proto_write_int(w, CRIU_OPTS_TRACK_MEM, 1);
        if (c->options.page_server) {
                _cleanup_(proto_writer_done) ProtoWriter server = {};

                proto_write_string(&server, 1, c->options.page_server);
                proto_write_int(&server, 2, c->options.page_server_port);
                proto_write_message(w, CRIU_OPTS_PAGE_SERVER, &server);
        }
        if (s->cgroup_path) {
                freezer = strjoin(CGROUP_ROOT, s->cgroup_path);
                if (!freezer)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                proto_write_string(w, CRIU_OPTS_FREEZE_CGROUP, freezer);
        }

        r = write_external(w, c, NAMESPACE_NETWORK, "net", CRIU_EXTERNAL_NETWORK, reterr_error);
        if (r >= 0)
                r = write_external(w, c, NAMESPACE_PID, "pid", CRIU_EXTERNAL_PID, reterr_error);
        if (r >= 0)
                r = criu_write_mounts(w, c->spec, c->container_root_fd, "", false, reterr_error);
        return r;
}

/* A restore connects what were pipes with its own. */
static int write_descriptors(const Checkpoint *c, Error *reterr_error) {
        const char *text = c->container.state.external_descriptors ?: "[]";
        int r;

        r = write_file_atomic_at(c->image_fd, CRIU_DESCRIPTORS, text, strlen(text), 0600, false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write \"" CRIU_DESCRIPTORS "\": %m");
        return 0;
}

static int notify(const char *script, pid_t pid, int fd, void *userdata, Error *reterr_error) {
        Checkpoint *c = userdata;

        /* Whoever restores the rest of the memory may ask for it from now on. */
        if (streq(script, "status-ready") && c->options.status_fd >= 0) {
                int r = (int) RET_NERRNO(write(c->options.status_fd, "", 1));

                c->options.status_fd = safe_close(c->options.status_fd);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot write to --status-fd: %m");
        }
        return 0;
}

static int dump(Checkpoint *c, Error *reterr_error) {
        CriuRequest type = c->options.pre_dump ? CRIU_REQUEST_PRE_DUMP : CRIU_REQUEST_DUMP;
        _cleanup_(proto_writer_done) ProtoWriter options = {}, request = {};
        _cleanup_(criu_done) Criu criu = CRIU_NULL;
        CriuResponse response;
        int r;

        r = write_request(c, &options, reterr_error);
        if (r < 0)
                return r;
        if (criu_request_encode(type, &options, NULL, &request) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (type == CRIU_REQUEST_DUMP) {
                r = write_descriptors(c, reterr_error);
                if (r < 0)
                        return r;
        }
        criu_forget_log(c->image_fd, c->work_fd, LOG_DUMP);
        r = criu_start(c->criu, NULL, 0, &criu, reterr_error);
        if (r >= 0)
                r = criu_call(&criu, &request, notify, c, &response, reterr_error);
        /* After a pre-dump it waits for the next one, and would complain about the end of its socket. */
        if (r >= 0 && c->options.pre_dump)
                (void) pidfd_kill(criu.pidfd, SIGKILL);
        return r;
}

int command_checkpoint(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_(checkpoint_done) Checkpoint c = {
                .options = CRIU_OPTIONS_INIT,
                .container = CONTAINER_NULL,
                .image_fd = -EBADF,
                .work_fd = -EBADF,
                .container_root_fd = -EBADF,
        };
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = parse(&c, argc, argv, reterr_error);
        if (r < 0)
                return r;
        r = prepare(&c, g, argv[optind], reterr_error);
        if (r < 0)
                return r;
        r = check_features(&c, reterr_error);
        if (r < 0)
                return r;
        r = dump(&c, &e);
        if (r < 0) {
                criu_explain(&c.options, LOG_DUMP, &e);
                return error_move(reterr_error, &e);
        }
        if (c.options.leave_running || c.options.pre_dump)
                return 0;
        return container_delete(g, &c.container, reterr_error);
}
