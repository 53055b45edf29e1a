/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/idmap.h"

void id_map_done(IdMap *m) {
        free(m->uids.mappings);
        free(m->gids.mappings);
        *m = (IdMap){};
}

static bool mappings_equal(const SpecIdMappings *a, const SpecIdMappings *b) {
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (a->mappings[i].container_id != b->mappings[i].container_id ||
                    a->mappings[i].host_id != b->mappings[i].host_id ||
                    a->mappings[i].size != b->mappings[i].size)
                        return false;
        return true;
}

bool id_map_equal(const IdMap *a, const IdMap *b) {
        return mappings_equal(&a->uids, &b->uids) && mappings_equal(&a->gids, &b->gids);
}

static int mappings_copy(const SpecIdMappings *m, SpecIdMappings *ret) {
        if (m->n == 0)
                return 0;
        ret->mappings = calloc(m->n, sizeof(SpecIdMapping));
        if (!ret->mappings)
                return -ENOMEM;
        memcpy(ret->mappings, m->mappings, m->n * sizeof(SpecIdMapping));
        ret->n = m->n;
        return 0;
}

int id_map_copy(const SpecIdMappings *uids, const SpecIdMappings *gids, IdMap *ret) {
        _cleanup_(id_map_done) IdMap m = {};

        if (mappings_copy(uids, &m.uids) < 0 || mappings_copy(gids, &m.gids) < 0)
                return -ENOMEM;
        *ret = m;
        m = (IdMap){};
        return 0;
}

int id_map_to_host(const SpecIdMappings *m, uint32_t id, uint32_t *ret) {
        for (size_t i = 0; i < m->n; i++) {
                const SpecIdMapping *k = &m->mappings[i];

                if (id >= k->container_id && id - k->container_id < k->size) {
                        *ret = k->host_id + (id - k->container_id);
                        return 0;
                }
        }
        return -ENXIO;
}

/* ---- text ---- */

static int parse_mapping(const char *s, const SpecIdMappings *container, SpecIdMapping *ret) {
        _cleanup_strv_free_ char **parts = NULL;
        bool relative = s[0] == '@';
        SpecIdMapping m;
        int r;

        s += relative;
        parts = strv_split(s, "-");
        if (!parts)
                return -ENOMEM;
        if (s[0] == '-' || strstr(s, "--") || endswith(s, "-") || strv_length(parts) != 3 ||
            parse_uint32(parts[0], &m.container_id) < 0 || parse_uint32(parts[1], &m.host_id) < 0 ||
            parse_uint32(parts[2], &m.size) < 0)
                return -EINVAL;
        if (relative) {
                r = id_map_to_host(container, m.host_id, &m.host_id);
                if (r < 0)
                        return r;
        }
        /* The last id is no id. */
        if (m.size == 0 || m.container_id > UINT32_MAX - m.size || m.host_id > UINT32_MAX - m.size)
                return -ERANGE;
        *ret = m;
        return 0;
}

static int parse_mappings(const char *text, const SpecIdMappings *container, SpecIdMappings *ret,
                          Error *reterr_error) {
        _cleanup_strv_free_ char **items = strv_split(text, "#");
        SpecIdMapping *m;
        int r;

        if (!items)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (ret->n > 0 || strv_length(items) == 0 || strv_length(items) > SPEC_ID_MAPPINGS_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "idmap=: not one list of 1 to %u mappings: \"%s\".", SPEC_ID_MAPPINGS_MAX,
                                 text);
        m = ret->mappings = calloc(strv_length(items), sizeof(SpecIdMapping));
        if (!m)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        STRV_FOREACH (item, items) {
                r = parse_mapping(item, container, &m[ret->n]);
                if (r == -ENXIO)
                        return error_set(
                                        reterr_error, r, "InvalidArgument",
                                        "idmap=: \"%s\" is relative to the container's user namespace, "
                                        "which has no such id.",
                                        item);
                if (r < 0)
                        return error_set(reterr_error, r, "InvalidArgument",
                                         "idmap=: \"%s\" is not of the form FILESYSTEM-HOST-SIZE.", item);
                ret->n++;
        }
        return 0;
}

int id_map_parse(const char *text, const RuntimeSpec *spec, IdMap *ret, Error *reterr_error) {
        _cleanup_strv_free_ char **parts = strv_split(text, ";");
        _cleanup_(id_map_done) IdMap m = {};
        const char *list;
        int r;

        if (!parts)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        STRV_FOREACH (part, parts) {
                if ((list = startswith(part, "uids=")))
                        r = parse_mappings(list, &spec->uid_mappings, &m.uids, reterr_error);
                else if ((list = startswith(part, "gids=")))
                        r = parse_mappings(list, &spec->gid_mappings, &m.gids, reterr_error);
                else
                        r = error_set(reterr_error, -EINVAL, "InvalidArgument",
                                      "idmap=: \"%s\" begins neither with \"uids=\" nor with \"gids=\".",
                                      part);
                if (r < 0)
                        return r;
        }
        if (m.uids.n == 0 || m.gids.n == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "idmap=: \"%s\" does not map both users and groups.", text);

        *ret = m;
        m = (IdMap){};
        return 0;
}

/* ---- namespace ---- */

static int open_proc(pid_t pid, const char *name, int flags) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        return RET_NERRNO(open(path, flags | O_CLOEXEC));
}

/* The kernel takes a map in one piece. */
static int write_map(pid_t pid, const char *name, const SpecIdMappings *m) {
        const size_t line = strlen("4294967295 4294967295 4294967295\n");
        _cleanup_free_ char *text = malloc(m->n * line + 1);
        _cleanup_close_ int fd = -EBADF;
        size_t n = 0;

        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < m->n; i++)
                n += (size_t) snprintf(text + n, line + 1, "%u %u %u\n", m->mappings[i].container_id,
                                       m->mappings[i].host_id, m->mappings[i].size);
        fd = open_proc(pid, name, O_WRONLY);
        return fd < 0 ? fd : write_full(fd, text, n);
}

static int fill_namespace(pid_t pid, const IdMap *m) {
        int r;

        r = write_map(pid, "uid_map", &m->uids);
        if (r >= 0)
                r = write_map(pid, "gid_map", &m->gids);
        return r < 0 ? r : open_proc(pid, "ns/user", O_RDONLY);
}

int id_map_open_namespace(const IdMap *m) {
        /* Without a signal at its end: nobody else's business. */
        struct clone_args args = { .flags = CLONE_NEWUSER };
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        pid_t pid;
        int fd;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                char c;

                safe_close(pair[0]);
                (void) TEMP_FAILURE_RETRY(read(pair[1], &c, 1));
                _exit(0);
        }

        fd = fill_namespace(pid, m);
        pair[0] = safe_close(pair[0]);
        (void) TEMP_FAILURE_RETRY(waitpid(pid, NULL, __WALL));
        return fd;
}
