/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mounts: puts mounts into a container that runs, and takes them out. What comes from the host is opened
 * here, outside; a child joins the container's namespaces and puts it in place. It uses no name in the
 * container but those of the places, which are resolved inside the container's root: /proc there is not to
 * be trusted. */

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/apply.h"
#include "runtime/clone.h"
#include "runtime/container.h"
#include "runtime/plan-prepare.h"
#include "runtime/self.h"
#include "runtime/spec-private.h"

/* The file is an array of what `mounts` of a specification has. */
static int read_mounts(const char *path, RuntimeSpec **ret, Error *reterr_error) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_free_ char *text = NULL, *object = NULL;
        _cleanup_json_ json_t *j = NULL;
        json_t *array;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read \"%s\": %m", path);
        s = calloc(1, sizeof(RuntimeSpec));
        /* The parser takes objects only. */
        object = strjoin("{\"mounts\":", text, "}");
        if (!s || !object)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = json_parse(object, strlen(object), SPEC_SIZE_MAX + 16, &j, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "%s", path);
        array = json_object_get(j, "mounts");
        if (!json_is_array(array))
                return error_set(reterr_error, -EBADMSG, "InvalidArgument", "%s: expected an array.", path);
        r = spec_parse_mounts(s, array, reterr_error);
        if (r < 0)
                return error_prefix(reterr_error, "%s", path);

        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- in the container ---- */

static int remove_mount(int root_fd, const char *destination, Error *reterr_error) {
        const char *name = strrchr(destination, '/') + 1;
        _cleanup_free_ char *directory = NULL;
        _cleanup_close_ int parent = -EBADF;

        if (name[0] == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The root of a container is not unmounted.");
        directory = strndup(destination, (size_t) (name - destination));
        if (!directory)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        parent = open_in_root(root_fd, directory, O_PATH | O_DIRECTORY, 0);
        if (parent < 0)
                return error_set_errno(reterr_error, parent, "Cannot open the directory of \"%s\": %m",
                                       destination);
        if (fchdir(parent) < 0 || umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot unmount \"%s\": %m", destination);
        return 0;
}

/* plan: what to add; NULL: what is in added is removed, the last first. */
static int change_mounts(const CloneSpec *clone, const Plan *plan, const RuntimeSpec *added,
                         Error *reterr_error) {
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        r = clone_join(clone, reterr_error);
        if (r < 0)
                return r;
        /* Root of the user namespace, as far as it has one. */
        if (clone->pidfd_flags & CLONE_NEWUSER && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) &&
            errno != EINVAL)
                return error_set_errno(reterr_error, -errno, "Cannot become root of the user namespace: %m");
        (void) umask(0);

        root_fd = RET_NERRNO(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (root_fd < 0)
                return error_set_errno(reterr_error, root_fd, "Cannot open the container's root: %m");
        if (plan)
                return plan_apply_at(plan, root_fd, reterr_error);
        for (size_t i = added->n_mounts; r >= 0 && i > 0; i--)
                r = remove_mount(root_fd, added->mounts[i - 1].destination, reterr_error);
        return r;
}

/* ---- outside ---- */

static int change_in_child(const CloneSpec *clone, const Plan *plan, const RuntimeSpec *added,
                           Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        CloneSpec plain = CLONE_SPEC_INIT;
        char sentence[PIPE_BUF];
        ssize_t n;
        pid_t pid;
        int status;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make a pipe: %m");
        /* In no namespace of the container's, where it could be seen, until it joins what it needs. */
        pid = clone_process(&plain, reterr_error);
        if (pid < 0)
                return pid;
        if (pid == 0) {
                Error e = ERROR_NULL;

                if (change_mounts(clone, plan, added, &e) < 0) {
                        (void) write_full(pair[1], error_message(&e), strnlen(error_message(&e), PIPE_BUF));
                        _exit(EXIT_FAILURE);
                }
                _exit(EXIT_SUCCESS);
        }

        pair[1] = safe_close(pair[1]);
        n = TEMP_FAILURE_RETRY(read(pair[0], sentence, sizeof(sentence)));
        if (TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot wait for a child: %m");
        if (n > 0)
                return error_set(reterr_error, -ECHILD, "Failed", "%.*s", (int) n, sentence);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
                return error_set(reterr_error, -ECHILD, "Failed",
                                 "The process in the container ended without a word.");
        return 0;
}

static int make_plan(const RuntimeSpec *spec, const RuntimeSpec *added, Plan **ret, Error *reterr_error) {
        _cleanup_(plan_freep) Plan *p = NULL;
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        int r;

        if (!cwd)
                return error_set_errno(reterr_error, -errno, "Cannot find the working directory: %m");
        r = plan_new_mounts(spec, added, cwd, &p, reterr_error);
        if (r >= 0)
                r = plan_prepare(p, reterr_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

static int change(const GlobalOptions *g, bool add, const char *id, const char *path, Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL, *added = NULL;
        _cleanup_(plan_freep) Plan *plan = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        CloneSpec clone = CLONE_SPEC_INIT;
        ContainerStatus status;
        int r;

        r = read_mounts(path, &added, reterr_error);
        if (r < 0)
                return r;
        r = container_open(g, id, true, &c, reterr_error);
        if (r < 0)
                return r;
        status = container_status(&c);
        if (status != CONTAINER_RUNNING && status != CONTAINER_CREATED && status != CONTAINER_PAUSED)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "Container \"%s\" is %s: its mounts cannot be changed.", id,
                                 container_status_to_string(status));
        r = container_spec(&c, &spec, reterr_error);
        if (r < 0)
                return r;
        if (!spec->namespaces[NAMESPACE_MOUNT].wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Container \"%s\" has no mount namespace of its own.", id);
        if (add) {
                r = make_plan(spec, added, &plan, reterr_error);
                if (r < 0)
                        return r;
        }
        r = clone_join_container(&clone, &c.state, spec, reterr_error);
        if (r < 0)
                return r;
        pidfd = clone.pidfd;
        return change_in_child(&clone, plan, added, reterr_error);
}

int command_mounts(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = { COMMAND_OPTION_HELP, {} };
        const char *action;
        int r;

        r = command_option(argc, argv, "+:h", options, reterr_error);
        if (r >= 0)
                r = command_check_arguments(argc, argv, 3, 3, reterr_error);
        if (r < 0)
                return r;
        action = argv[optind];
        if (!streq(action, "add") && !streq(action, "remove"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "mounts: \"%s\" is neither \"add\" nor \"remove\".", action);

        r = self_protect(g->argv, reterr_error);
        if (r < 0)
                return r;
        return change(g, streq(action, "add"), argv[optind + 1], argv[optind + 2], reterr_error);
}
