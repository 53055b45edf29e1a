/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/fd-util.h"
#include "runtime/container.h"

void container_done(Container *c) {
        safe_close(c->root_fd);
        safe_close(c->dir_fd);
        container_state_done(&c->state);
        *c = CONTAINER_NULL;
}

int container_open(const GlobalOptions *g, const char *id, bool lock, Container *ret, Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        int r;

        r = state_check_id(id, reterr_error);
        if (r < 0)
                return r;
        c.root_fd = state_root_open(g->root, false, reterr_error);
        if (c.root_fd < 0)
                return c.root_fd;
        c.dir_fd = state_dir_open(c.root_fd, id, lock, reterr_error);
        if (c.dir_fd < 0)
                return c.dir_fd;
        r = state_read(c.dir_fd, id, &c.state, reterr_error);
        if (r < 0)
                return r;

        *ret = c;
        c = CONTAINER_NULL;
        return 0;
}

ContainerStatus container_status(const Container *c) {
        return state_status(c->dir_fd, &c->state);
}
