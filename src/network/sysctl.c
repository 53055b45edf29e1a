/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "network/sysctl.h"

#define VALUE_MAX 64U

static int open_file(const char *const parts[], int flags) {
        char path[PATH_MAX] = "/proc/sys/net";

        for (size_t i = 0; parts[i]; i++) {
                size_t l = strlen(path);

                if (strchr(parts[i], '/') || l + 1 + strlen(parts[i]) >= sizeof(path))
                        return -EINVAL;
                path[l] = '/';
                strcpy(path + l + 1, parts[i]);
        }
        return RET_NERRNO(open(path, flags | O_CLOEXEC));
}

int sysctl_write(const char *const parts[], const char *value) {
        _cleanup_close_ int fd = open_file(parts, O_WRONLY);

        return fd < 0 ? fd : write_full(fd, value, strlen(value));
}

/* 1: it is that. */
static int compare(const char *const parts[], const char *value) {
        _cleanup_close_ int fd = open_file(parts, O_RDONLY);
        char text[VALUE_MAX];
        ssize_t n;

        if (fd < 0)
                return fd;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = 0;
        text[strcspn(text, "\n")] = 0;
        return streq(text, value);
}

bool sysctl_is(const char *const parts[], const char *value) {
        return compare(parts, value) > 0;
}

int sysctl_ensure(const char *const parts[], const char *value) {
        int r;

        r = compare(parts, value);
        if (r != 0)
                return r < 0 ? r : 0;
        r = sysctl_write(parts, value);
        return r < 0 ? r : 1;
}
