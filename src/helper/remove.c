/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "helper/helper.h"
#include "helper/remove.h"
#include "helper/sandbox.h"
#include "job/proto.h"

#define TRASH_FD PROTO_FIRST_FD

static DIR *closedir_(DIR *d) {
        if (d)
                (void) closedir(d);
        return NULL;
}
DEFINE_CLEANUP_FUNC(DIR *, closedir_)

int remove_contents(int dir_fd, Error *reterr_error) {
        _cleanup_(closedir_p) DIR *d = NULL;
        struct dirent *de;
        int fd, first = 0;

        fd = open_beneath_nofollow(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open the directory to be emptied: %m");
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }

        /* What cannot be deleted does not keep the rest; it is tried again at the next start. */
        while (errno = 0, (de = readdir(d))) {
                int r;

                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;
                r = rm_rf_at(dir_fd, de->d_name);
                if (r < 0 && first >= 0)
                        first = error_set_errno(reterr_error, r, "Cannot delete %s: %m", de->d_name);
        }
        if (errno > 0 && first >= 0)
                return error_set_errno(reterr_error, -errno, "Cannot read the directory to be emptied: %m");
        return first;
}

int verb_remove(json_t *request, Error *reterr_error) {
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        r = sandbox_enter_directory(TRASH_FD, SANDBOX_REMOVE, &root_fd, reterr_error);
        if (r < 0)
                return r;

        return remove_contents(root_fd, reterr_error);
}
