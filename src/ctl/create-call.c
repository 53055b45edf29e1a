/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/create-call.h"

#include "ctl/bus-util.h"

static int arguments_error(int r, Error *reterr_error) {
        return error_set(reterr_error, r, "InvalidArgument",
                         "These arguments cannot be sent to moored: %s. Are they all UTF-8?", strerror(-r));
}

int new_create_call(Ctl *c, const char *member, const char *id, const char *image, const CreateOptions *o,
                    char *const *command, const CreateDescriptors *fds, sd_bus_message **ret,
                    Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = namespace_path(c->ns);
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = create_network_check(&o->network, reterr_error);
        if (r >= 0)
                r = ctl_new_call(c, path, BUS_NAMESPACE, member, &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", id, image);
        if (r >= 0)
                r = create_options_append(m, o, command, fds);
        if (r < 0)
                return arguments_error(r, reterr_error);
        *ret = TAKE_PTR(m);
        return 0;
}

int new_exec_call(Ctl *c, const char *id, const CreateOptions *o, char *const *command, const CreateDescriptors *fds,
                  sd_bus_message **ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = container_path(c->ns, id);
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = ctl_new_call(c, path, BUS_CONTAINER, "Exec", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append_strv(m, (char **) command);
        if (r >= 0)
                r = create_options_append(m, o, NULL, fds);
        if (r < 0)
                return arguments_error(r, reterr_error);
        *ret = TAKE_PTR(m);
        return 0;
}

int command_failure_status(const Error *e) {
        if (error_has_name(e, "CommandNotFound"))
                return EXIT_NOT_FOUND;
        if (error_has_name(e, "CommandNotExecutable"))
                return EXIT_NOT_EXECUTABLE;
        return EXIT_MOORED_FAILED;
}
