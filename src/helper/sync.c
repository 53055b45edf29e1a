/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "basic/fd-util.h"
#include "helper/helper.h"
#include "helper/sandbox.h"
#include "job/proto.h"

int verb_sync(json_t *request, Error *reterr_error) {
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        r = sandbox_enter_directory(PROTO_FIRST_FD, SANDBOX_SYNC, &root_fd, reterr_error);
        if (r < 0)
                return r;

        /* Unlike sync(), it reports what could not be written since the descriptor was opened, and before if
         * nobody has heard. */
        if (syncfs(root_fd) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Cannot write the file system's data to disk: %m");
        return 0;
}
