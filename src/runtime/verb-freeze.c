/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* pause and resume: the cgroup's freezer. */

#include "runtime/container.h"

static int freeze(const GlobalOptions *g, int argc, char *argv[], bool frozen, Error *reterr_error) {
        static const struct option options[] = { COMMAND_OPTION_HELP, {} };
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        ContainerStatus status;
        Cgroup cgroup;
        int r;

        r = command_option(argc, argv, "+:h", options, reterr_error);
        if (r >= 0)
                r = command_check_arguments(argc, argv, 1, 1, reterr_error);
        if (r < 0)
                return r;
        r = container_open(g, argv[optind], true, &c, reterr_error);
        if (r < 0)
                return r;

        status = container_status(&c);
        if (frozen ? status != CONTAINER_RUNNING && status != CONTAINER_CREATED : status != CONTAINER_PAUSED)
                return error_set(reterr_error, -EBUSY, "InvalidState",
                                 "Container \"%s\" is %s: it cannot be %s.", c.state.id,
                                 container_status_to_string(status), frozen ? "paused" : "resumed");
        if (!c.state.cgroup_path)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "Container \"%s\" has no cgroup: it cannot be %s.", c.state.id,
                                 frozen ? "paused" : "resumed");
        cgroup = container_cgroup(g, &c);
        return cgroup_freeze(&cgroup, frozen, reterr_error);
}

int command_pause(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        return freeze(g, argc, argv, true, reterr_error);
}

int command_resume(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        return freeze(g, argc, argv, false, reterr_error);
}
