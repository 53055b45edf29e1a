/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* run --scope: this process moves into the container's scope and becomes its launcher, so that the container is a
 * child of who was called: nothing is between it and the caller but that process. What moored needs to know is left
 * to the launcher (container/container-scope.c). */

#include <fcntl.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "ctl/bus-util.h"
#include "ctl/create-call.h"
#include "ctl/run-scope.h"

static int check_options(Ctl *c, const CreateOptions *o, Error *reterr_error) {
        if (geteuid() != 0)
                return error_set(reterr_error, -EPERM, "PermissionDenied",
                                 "--scope makes the container as a child of this very process, which takes root's "
                                 "privileges, whatever polkit allows: use sudo, or leave --scope out.");
        if (c->host || c->machine)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--scope makes the container a child of this process: not with -H or -M.");
        if (o->detach)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "-d and --scope contradict each other: who leaves it alone has no use for a child.");
        return 0;
}

static int start_scope(Ctl *c, const char *path, char **ret_bundle, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *bundle, *invocation;
        int r;

        r = ctl_call(c, path, BUS_CONTAINER, "StartScope", &reply, reterr_error, "u", (uint32_t) getpid());
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "ss", &bundle, &invocation);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        *ret_bundle = strdup(bundle);
        if (!*ret_bundle || setenv("INVOCATION_ID", invocation, 1) < 0)
                return error_oom(reterr_error);
        return 0;
}

static int close_input(Error *reterr_error) {
        int fd = open("/dev/null", O_RDONLY);

        if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open /dev/null: %m");
        if (fd != STDIN_FILENO)
                (void) close(fd);
        return 0;
}

static int become_launcher(Ctl *c, const char *path, const CreateOptions *o, Error *reterr_error) {
        _cleanup_free_ char *bundle = NULL;
        int r;

        r = start_scope(c, path, &bundle, reterr_error);
        if (r >= 0 && !o->interactive)
                r = close_input(reterr_error);
        if (r < 0)
                return r;
        c->bus = sd_bus_flush_close_unref(c->bus);
        (void) execl(MOORING_PATH, "mooring", "launch-scope", bundle, NULL);
        return error_set_errno(reterr_error, -errno, "Cannot execute %s: %m", MOORING_PATH);
}

int run_scope(Ctl *c, const CreateOptions *o, const char *image, char *const *command, Error *reterr_error) {
        const CreateDescriptors no_fds = CREATE_DESCRIPTORS_NULL;
        _cleanup_free_ char *id = o->name ? strdup(o->name) : random_hex(6), *path = NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_error_ Error ignored = ERROR_NULL;
        int r;

        path = id ? container_path(c->ns, id) : NULL;
        if (!path)
                return error_oom(reterr_error);
        r = check_options(c, o, reterr_error);
        if (r >= 0)
                r = new_create_call(c, "CreateContainer", id, image, o, command, &no_fds, &m, reterr_error);
        if (r >= 0)
                r = ctl_call_message(c, m, NULL, reterr_error);
        if (r < 0)
                return r;

        r = become_launcher(c, path, o, reterr_error);
        /* Without a bus it goes by itself: this process has been its scope's only one. */
        if (c->bus)
                (void) ctl_call(c, path, BUS_CONTAINER, "Remove", NULL, &ignored, "a{sv}", 1, "Force", "b", 1);
        return r;
}
