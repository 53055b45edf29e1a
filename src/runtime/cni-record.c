/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One file for each container, written before the first plug-in is run, so that whoever finds it knows what is to be undone. */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/cni.h"

int cni_record_read(int dir_fd, const char *container, CniRecord *ret, Error *reterr_error) {
        _cleanup_free_ char *name = strjoin(container, CNI_RECORD_SUFFIX), *text = NULL;
        size_t size;
        int r;

        r = name ? read_file_at(dir_fd, name, CNI_RECORD_MAX, &text, &size) : -ENOMEM;
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return error_set_errno(reterr_error, r, "The record of what %s is attached to cannot be read: %m", container);
        r = cni_record_parse(text, size, ret, reterr_error);
        (void) error_prefix(reterr_error, "The record of what %s is attached to", container);
        return r;
}

int cni_record_write(int dir_fd, const CniRecord *r, bool sync, Error *reterr_error) {
        _cleanup_free_ char *name = strjoin(r->container, CNI_RECORD_SUFFIX), *text = NULL;
        _cleanup_json_ json_t *j = NULL, *again = NULL;
        int k;

        if (!name)
                return error_oom(reterr_error);
        if (r->n_attachments == 0)
                k = unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        else {
                text = cni_record_to_json(r, &j) >= 0 ? json_dump(j, false) : NULL;
                /* What cannot be read again could never be undone. */
                k = text ? json_parse(text, strlen(text), CNI_RECORD_MAX, &again, NULL) : -ENOMEM;
                if (k >= 0)
                        k = write_file_atomic_at(dir_fd, name, text, strlen(text), 0600, sync);
        }
        return k < 0 ? error_set_errno(reterr_error, k, "What %s is attached to cannot be recorded: %m", r->container) : 0;
}
