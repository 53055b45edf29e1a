/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* config.json is written last: a bundle that has one is complete. A container without a network has hosts, hostname and
 * resolv.conf as well, so that its own name resolves and no image's stale resolver is asked. */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/record.h"
#include "container/spec.h"
#include "container/system.h"

#define BUNDLES_MAX 65536U
#define EXEC_FILE_MAX 32U
#define EXEC_SPEC_SUFFIX ".json"
#define EXEC_END_SUFFIX ".end"

char *bundle_path(const char *runtime_dir, const char *ns, const char *id) {
        return strjoin(runtime_dir, "/containers/", ns, "/", id);
}

static char *bundle_name(const char *ns, const char *id, const char *file) {
        if (!filename_is_valid(ns) || !filename_is_valid(id))
                return NULL;
        return file ? strjoin(ns, "/", id, "/", file) : strjoin(ns, "/", id);
}

int bundle_open(int containers_fd, const char *ns, const char *id) {
        _cleanup_free_ char *name = bundle_name(ns, id, NULL);

        return name ? open_beneath_nofollow(containers_fd, name, O_RDONLY | O_DIRECTORY, 0) : -ENOMEM;
}

bool bundle_exists(int containers_fd, const char *ns, const char *id) {
        _cleanup_free_ char *name = bundle_name(ns, id, "config.json");
        struct stat st;

        return name && fstatat(containers_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode);
}

/* The host's own file, or what stands for it if there is none or it is absurd. */
static int host_file(const char *path, const char *fallback, char **ret) {
        char *s;

        if (read_file_at(AT_FDCWD, path, BUNDLE_HOST_FILE_SIZE_MAX, ret, NULL) >= 0)
                return 0;

        s = strdup(fallback);
        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

typedef struct HostText {
        const char *name, *text;
} HostText;

static int write_texts(int fd, const HostText *texts, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r = write_file_atomic_at(fd, texts[i].name, texts[i].text, strlen(texts[i].text), 0644, false);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_host_files(int fd, const BundleContent *content) {
        _cleanup_free_ char *name = strjoin(content->hostname, "\n");

        if (!name)
                return -ENOMEM;
        const HostText texts[] = {
                { "hosts", content->hosts },
                { "hostname", name },
                { "resolv.conf", content->resolv },
        };
        return write_texts(fd, texts, ELEMENTSOF(texts));
}

/* What a system in the container may know of the host; the launcher adds a socket. */
static int write_system_dir(int bundle_fd, const BundleContent *content) {
        _cleanup_free_ char *manager = NULL, *uuid = NULL, *release = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!content->host_dir)
                return 0;
        fd = mkdirat_open(bundle_fd, SYSTEM_HOST_NAME, 0755);
        if (fd < 0 || !content->manager)
                return fd < 0 ? fd : 0;

        manager = strjoin(content->manager, "\n");
        uuid = strjoin(strempty(content->uuid), "\n");
        if (!manager || !uuid)
                return -ENOMEM;
        r = host_file("/etc/os-release", "", &release);
        if (r < 0)
                return r;

        const HostText texts[] = {
                { "container-manager", manager },
                { "container-uuid", uuid },
                { "os-release", release },
        };
        return write_texts(fd, texts, ELEMENTSOF(texts));
}

/* Bundles are written again where there is one already. */
static int hold_profile(int fd, const BundleContent *content) {
        _cleanup_free_ char *file = NULL;

        if (!content->seccomp)
                return 0;
        file = strjoin(content->seccomp, ".json");
        if (!file)
                return -ENOMEM;
        if (linkat(content->seccomp_fd, file, fd, "seccomp.json", 0) >= 0)
                return 0;
        if (errno != EEXIST || unlinkat(fd, "seccomp.json", 0) < 0)
                return -errno;
        return RET_NERRNO(linkat(content->seccomp_fd, file, fd, "seccomp.json", 0));
}

int bundle_write(int containers_fd, const char *ns, const char *id, const BundleContent *content,
                 Error *reterr_error) {
        _cleanup_free_ char *name = bundle_name(ns, id, NULL);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!name)
                return -ENOMEM;
        r = mkdirat_p(containers_fd, name, 0700);
        if (r >= 0)
                r = fd = open_beneath_nofollow(containers_fd, name, O_RDONLY | O_DIRECTORY, 0);
        if (r >= 0)
                r = write_host_files(fd, content);
        if (r >= 0)
                r = write_system_dir(fd, content);
        if (r >= 0)
                r = hold_profile(fd, content);
        if (r >= 0)
                r = write_file_atomic_at(fd, "config.json", content->config, strlen(content->config), 0600,
                                         false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to write the bundle of container %s: %m",
                                       id);

        return 0;
}

static int read_json(int fd, const char *name, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = read_file_at(fd, name, BUNDLE_CONFIG_SIZE_MAX, &text, &n);
        return r < 0 ? r : json_parse(text, n, BUNDLE_CONFIG_SIZE_MAX, ret, NULL);
}

int bundle_read_spec(int containers_fd, const char *ns, const char *id, char **ret) {
        _cleanup_json_ json_t *j = NULL, *profile = NULL;
        _cleanup_close_ int fd = -EBADF;
        char *text;
        int r;

        r = fd = bundle_open(containers_fd, ns, id);
        if (r >= 0)
                r = read_json(fd, "config.json", &j);
        if (r >= 0)
                r = read_json(fd, "seccomp.json", &profile);
        if (r < 0 && !(r == -ENOENT && j))
                return r;

        if (profile && (json_object_set(json_object_get(j, "linux"), "seccomp", profile) < 0 ||
                        json_object_del(json_object_get(j, "annotations"), ANNOTATION_SECCOMP) < 0))
                return -EBADMSG;
        text = json_dump(j, false);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

static int write_text(int containers_fd, const char *ns, const char *id, const char *file, const char *text) {
        _cleanup_close_ int fd = -EBADF;

        fd = bundle_open(containers_fd, ns, id);
        return fd < 0 ? fd : write_file_atomic_at(fd, file, text, strlen(text), 0600, false);
}

static int read_text(int containers_fd, const char *ns, const char *id, const char *file, size_t max,
                     char **ret) {
        _cleanup_free_ char *name = bundle_name(ns, id, file);

        if (!name)
                return -ENOMEM;
        return read_file_at(containers_fd, name, max, ret, NULL);
}

int bundle_write_record(int containers_fd, const char *ns, const char *id, const char *text) {
        return write_text(containers_fd, ns, id, "record.json", text);
}

int bundle_read_record(int containers_fd, const char *ns, const char *id, char **ret) {
        return read_text(containers_fd, ns, id, "record.json", RECORD_SIZE_MAX, ret);
}

int bundle_write_health(int containers_fd, const char *ns, const char *id, const char *text) {
        return write_text(containers_fd, ns, id, "health.json", text);
}

int bundle_read_health(int containers_fd, const char *ns, const char *id, char **ret) {
        return read_text(containers_fd, ns, id, "health.json", HEALTH_RECORD_SIZE_MAX, ret);
}

static char *exec_file_name(char buf[static EXEC_FILE_MAX], uint64_t n, const char *suffix) {
        (void) snprintf(buf, EXEC_FILE_MAX, "exec-%" PRIu64 "%s", n, suffix);
        return buf;
}

static char *exec_path(const char *runtime_dir, const char *ns, const char *id, uint64_t n, const char *suffix) {
        char file[EXEC_FILE_MAX];

        return strjoin(runtime_dir, "/containers/", ns, "/", id, "/", exec_file_name(file, n, suffix));
}

char *bundle_exec_path(const char *runtime_dir, const char *ns, const char *id, uint64_t n) {
        return exec_path(runtime_dir, ns, id, n, EXEC_SPEC_SUFFIX);
}

char *bundle_exec_end_path(const char *runtime_dir, const char *ns, const char *id, uint64_t n) {
        return exec_path(runtime_dir, ns, id, n, EXEC_END_SUFFIX);
}

int bundle_write_exec(int containers_fd, const char *ns, const char *id, uint64_t n, const char *text) {
        char file[EXEC_FILE_MAX];

        return write_text(containers_fd, ns, id, exec_file_name(file, n, EXEC_SPEC_SUFFIX), text);
}

int bundle_open_exec_end(int containers_fd, const char *ns, const char *id, uint64_t n, bool create) {
        char file[EXEC_FILE_MAX];
        _cleanup_free_ char *name = bundle_name(ns, id, exec_file_name(file, n, EXEC_END_SUFFIX));

        return name ? open_beneath_nofollow(containers_fd, name, O_RDWR | O_NOCTTY | (create ? O_CREAT : 0),
                                            create ? 0600 : 0)
                    : -ENOMEM;
}

int bundle_remove_exec(int containers_fd, const char *ns, const char *id, uint64_t n) {
        static const char *const suffixes[] = { EXEC_SPEC_SUFFIX, EXEC_END_SUFFIX };
        char file[EXEC_FILE_MAX];
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                _cleanup_free_ char *name = bundle_name(ns, id, exec_file_name(file, n, suffixes[i]));

                if (!name)
                        return -ENOMEM;
                if (unlinkat(containers_fd, name, 0) < 0 && errno != ENOENT)
                        r = -errno;
        }
        return r;
}

int bundle_remove(int containers_fd, const char *ns, const char *id) {
        _cleanup_close_ int fd = -EBADF;

        if (!filename_is_valid(ns) || !filename_is_valid(id))
                return -EINVAL;
        fd = open_beneath_nofollow(containers_fd, ns, O_RDONLY | O_DIRECTORY, 0);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;

        return rm_rf_at(fd, id);
}

static int list_dir(int dirfd, const char *path, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct dirent *de;
        size_t n = 0;
        int r = 0;
        DIR *d;

        fd = open_beneath_nofollow(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d)
                return -errno;
        (void) TAKE_FD(fd);

        while (r >= 0 && n < BUNDLES_MAX && (de = readdir(d)))
                if (!streq(de->d_name, ".") && !streq(de->d_name, "..")) {
                        r = strv_extend(&names, de->d_name);
                        n++;
                }
        (void) closedir(d);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(names);
        return 0;
}

int bundle_foreach(int containers_fd, void (*func)(const char *ns, const char *id, void *userdata),
                   void *userdata) {
        _cleanup_strv_free_ char **namespaces = NULL;
        int r;

        r = list_dir(containers_fd, ".", &namespaces);
        if (r < 0)
                return r;

        STRV_FOREACH(ns, namespaces) {
                _cleanup_strv_free_ char **ids = NULL;

                r = list_dir(containers_fd, ns, &ids);
                if (r == -ENOTDIR || r == -ELOOP || r == -ENOENT)
                        continue;
                if (r < 0)
                        return r;
                STRV_FOREACH(id, ids)
                        func(ns, id, userdata);
        }

        return 0;
}

int bundle_foreach_exec(int containers_fd, const char *ns, const char *id,
                        void (*func)(uint64_t n, const char *text, void *userdata), void *userdata) {
        _cleanup_free_ char *dir = bundle_name(ns, id, NULL);
        _cleanup_strv_free_ char **names = NULL;
        int r;

        if (!dir)
                return -ENOMEM;
        r = list_dir(containers_fd, dir, &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                const char *number = startswith(name, "exec-"), *end = endswith(name, EXEC_SPEC_SUFFIX);
                _cleanup_free_ char *digits = NULL, *text = NULL;
                uint64_t n;

                if (!number || !end)
                        continue;
                digits = strndup(number, (size_t) (end - number));
                if (!digits)
                        return -ENOMEM;
                if (parse_uint64(digits, &n) >= 0 &&
                    read_text(containers_fd, ns, id, name, BUNDLE_CONFIG_SIZE_MAX, &text) >= 0)
                        func(n, text, userdata);
        }
        return 0;
}
