/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"

int cgroup_open_group(const char *control_group) {
        _cleanup_free_ char *path = path_join("/sys/fs/cgroup", control_group);

        return path ? openat2_full(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS) : -ENOMEM;
}

int cgroup_read(int dir_fd, const char *file, char **ret) {
        _cleanup_close_ int fd = -EBADF;
        size_t n;
        int r;

        fd = openat(dir_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = read_all(fd, CGROUP_FILE_MAX, ret, &n);
        if (r < 0)
                return r;
        if (n > 0 && (*ret)[n - 1] == '\n')
                (*ret)[n - 1] = 0;
        return 0;
}

int cgroup_read_number(int dir_fd, const char *file, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = cgroup_read(dir_fd, file, &text);
        if (r < 0)
                return r;
        if (streq(text, "max")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return parse_uint64(text, ret);
}

int cgroup_find_key(const char *text, const char *key, uint64_t *ret) {
        size_t l = strlen(key);

        for (const char *p = text; p && *p; p = strchr(p, '\n')) {
                p += *p == '\n';
                if (strncmp(p, key, l) == 0 && p[l] == ' ') {
                        char *end;
                        unsigned long long v = strtoull(p + l + 1, &end, 10);

                        if (end == p + l + 1)
                                return -EBADMSG;
                        *ret = v;
                        return 0;
                }
        }
        return -ENXIO;
}

int cgroup_read_key(int dir_fd, const char *file, const char *key, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = cgroup_read(dir_fd, file, &text);
        return r < 0 ? r : cgroup_find_key(text, key, ret);
}

int cgroup_read_sum(int dir_fd, const char *file, const char *key, uint64_t *ret) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        uint64_t sum = 0, n;
        int r;

        r = cgroup_read(dir_fd, file, &text);
        if (r < 0)
                return r;
        words = strv_split(text, " \n");
        if (!words)
                return -ENOMEM;
        STRV_FOREACH(word, words) {
                const char *rest = startswith(word, key);

                if (rest && *rest == '=' && parse_uint64(rest + 1, &n) >= 0)
                        sum += n;
        }

        *ret = sum;
        return 0;
}

int cgroup_of_process(pid_t pid, char **ret) {
        char path[sizeof("/proc//cgroup") + 16] = "/proc/self/cgroup";
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (pid > 0)
                (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
        r = cgroup_read(AT_FDCWD, path, &text);
        if (r < 0)
                return r;
        lines = strv_split(text, "\n");
        if (!lines)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                const char *p = startswith(line, "0::");

                if (p) {
                        *ret = strdup(p);
                        return *ret ? 0 : -ENOMEM;
                }
        }
        return -ENOENT;
}
