/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <systemd/sd-daemon.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "daemon/fd-store.h"

static int add(void *userdata, const char *name, int fd, bool poll) {
        _cleanup_free_ char *message = NULL;

        message = strjoin("FDSTORE=1\nFDNAME=", name, poll ? "" : "\nFDPOLL=0");
        if (!message)
                return -ENOMEM;
        return sd_pid_notify_with_fds(0, false, message, &fd, 1);
}

static void remove_(void *userdata, const char *name) {
        int r;

        r = sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", name);
        if (r < 0)
                log_debug_errno(r, "Failed to take %s out of the store of descriptors: %m", name);
}

const TerminalStore fd_store = { .add = add, .remove = remove_ };

int fd_store_foreach(int (*func)(const char *name, int fd, void *userdata), void *userdata) {
        char **names = NULL;
        int n, r = 0;

        n = sd_listen_fds_with_names(true, &names);
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                int k = func(names[i], fd, userdata);

                if (k < 0)
                        r = k;
                if (k != 0)
                        continue;
                log_debug("Descriptor %s belongs to nobody, closing it.", names[i]);
                remove_(NULL, names[i]);
                safe_close(fd);
        }
        strv_free(names);
        return n < 0 ? n : r;
}
