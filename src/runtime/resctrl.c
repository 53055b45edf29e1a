/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A group is a directory: of the name that the specification gives it (closID), which then belongs to others
 * and is never removed, or of the container's id, which is the container's. A monitoring group of the
 * container is a directory mon_groups/ID in it. */

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/resctrl.h"

#define SCHEMATA_SIZE_MAX (256U * 1024U)
#define STATUS_SIZE_MAX 4096U

static int oom(Error *reterr_error) {
        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static const char *group_name(const SpecIntelRdt *s, const char *id) {
        return s->clos_id ?: id;
}

static bool is_root_group(const SpecIntelRdt *s) {
        return streq_ptr(s->clos_id, "/");
}

static bool has_schemata(const SpecIntelRdt *s) {
        return s->l3_cache_schema || s->mem_bw_schema || strv_length(s->schemata) > 0;
}

static int open_root(Error *reterr_error) {
        _cleanup_close_ int fd = open(RESCTRL_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct statfs fs;

        if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != RDTGROUP_SUPER_MAGIC)
                return error_set(
                                reterr_error, -EOPNOTSUPP, "NotSupported",
                                "linux.intelRdt: no resctrl file system is mounted on %s: the processor does "
                                "not have it, or \"mount -t resctrl resctrl %s\" is missing.",
                                RESCTRL_ROOT, RESCTRL_ROOT);
        return TAKE_FD(fd);
}

static int open_group(int root, const SpecIntelRdt *s, const char *id, Error *reterr_error) {
        int fd = is_root_group(s)
                                 ? fd_dup(root)
                                 : open_beneath_nofollow(root, group_name(s, id), O_RDONLY | O_DIRECTORY, 0);

        if (fd < 0)
                return error_set(reterr_error, fd, "NoSuchGroup",
                                 "linux.intelRdt.closID: cannot open the group \"%s\" of resctrl: %m",
                                 group_name(s, id));
        return fd;
}

/* One write: the kernel takes a text as a whole. */
static int write_file_once(int dir, const char *name, const char *text) {
        _cleanup_close_ int fd = open_beneath_nofollow(dir, name, O_WRONLY, 0);
        ssize_t n;

        if (fd < 0)
                return fd;
        n = TEMP_FAILURE_RETRY(write(fd, text, strlen(text)));
        if (n < 0)
                return -errno;
        return (size_t) n == strlen(text) ? 0 : -EIO;
}

/* ---- schemata ---- */

typedef struct Domain {
        unsigned long id;
        unsigned long value;
} Domain;

/* The next of "0=7f0;1=1f". 1: there it is; 0: the end. */
static int next_domain(const char **at, int base, Domain *ret) {
        char *end;

        while (**at == ';' || **at == ' ')
                (*at)++;
        if (**at == 0 || **at == '\n')
                return 0;
        ret->id = strtoul(*at, &end, 10);
        if (end == *at || *end != '=')
                return -EINVAL;
        *at = end + 1;
        ret->value = strtoul(*at, &end, base);
        if (end == *at || (*end && *end != ';' && *end != ' ' && *end != '\n'))
                return -EINVAL;
        *at = end;
        return 1;
}

/* Bandwidth is in decimal numbers, masks of caches are in hexadecimal ones. */
static int schema_base(const char *schema) {
        return startswith(schema, "MB") ? 10 : 16;
}

/* The line of text that is about the same resource as the schema, behind the colon. */
static const char *find_line(const char *text, const char *schema) {
        size_t l = strcspn(schema, ":") + 1;

        for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
                const char *line = text + strspn(text, " ");

                if (strncmp(line, schema, l) == 0)
                        return line + l;
        }
        return NULL;
}

/* Whether each domain of the schema has that value in text. */
static bool schema_is_there(const char *text, const char *schema) {
        const char *colon = strchr(schema, ':'), *line = colon ? find_line(text, schema) : NULL;
        int base = schema_base(schema), r;
        Domain wanted;

        if (!line)
                return false;
        for (const char *at = colon + 1; (r = next_domain(&at, base, &wanted)) > 0;) {
                Domain actual = {};
                bool found = false;

                for (const char *k = line; !found && next_domain(&k, base, &actual) > 0;)
                        found = actual.id == wanted.id;
                if (!found || actual.value != wanted.value)
                        return false;
        }
        return r == 0;
}

/* A group of others must be as the specification says. */
static int check_schemata(int group, const SpecIntelRdt *s, Error *reterr_error) {
        const char *const schemas[] = { s->l3_cache_schema, s->mem_bw_schema };
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(group, "schemata", SCHEMATA_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "linux.intelRdt: cannot read \"schemata\" of \"%s\": %m", s->clos_id);
        for (size_t i = 0; i < ELEMENTSOF(schemas); i++)
                if (schemas[i] && !schema_is_there(text, schemas[i]))
                        return error_set(reterr_error, -EEXIST, "InvalidArgument",
                                         "linux.intelRdt: the group \"%s\" is there, but not with \"%s\": "
                                         "choose another closID, or leave the schema out.",
                                         s->clos_id, schemas[i]);
        return 0;
}

static int write_schemata(int root, int group, const char *l3, const char *bandwidth, char *const *more,
                          Error *reterr_error) {
        _cleanup_free_ char *text = NULL, *rest = strv_join(more, "\n"), *status = NULL;
        size_t size;
        int r;

        if (!rest)
                return oom(reterr_error);
        text = strjoin(strempty(l3), l3 ? "\n" : "", strempty(bandwidth), bandwidth ? "\n" : "", rest,
                       rest[0] ? "\n" : "");
        if (!text)
                return oom(reterr_error);
        if (!text[0])
                return 0;

        r = write_file_once(group, "schemata", text);
        if (r >= 0)
                return 0;
        /* The kernel has a sentence for it. */
        if (read_file_at(root, "info/last_cmd_status", STATUS_SIZE_MAX, &status, &size) < 0 || size == 0)
                return error_set_errno(reterr_error, r, "linux.intelRdt: cannot write the schemata: %m");
        status[strcspn(status, "\n")] = 0;
        return error_set_errno(reterr_error, r, "linux.intelRdt: cannot write the schemata: %m (%s)",
                               status);
}

/* ---- groups ---- */

/* Sets *ret_made if the directory was not there before. */
static int make_group(int root, const SpecIntelRdt *s, const char *id, bool *ret_made, Error *reterr_error) {
        *ret_made = false;
        /* Without a schema the group is one that somebody has prepared. */
        if (is_root_group(s) || (s->clos_id && !has_schemata(s)))
                return 0;
        if (mkdirat(root, group_name(s, id), 0755) >= 0) {
                *ret_made = true;
                return 0;
        }
        if (errno == EEXIST && s->clos_id)
                return 0;
        return error_set_errno(reterr_error, -errno,
                               "linux.intelRdt: cannot make the group \"%s\" of resctrl: %m",
                               group_name(s, id));
}

static char *monitor_path(const char *id, const char *file) {
        return strjoin("mon_groups/", id, file);
}

static int add_process(int group, const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error) {
        char text[16];
        int r;

        snprintf(text, sizeof(text), "%d", pid);
        r = write_file_once(group, "tasks", text);
        if (r >= 0 && s->enable_monitoring) {
                _cleanup_free_ char *tasks = monitor_path(id, "/tasks");

                if (!tasks)
                        return oom(reterr_error);
                r = write_file_once(group, tasks, text);
        }
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "linux.intelRdt: cannot add process %d to \"%s\": %m", pid,
                                       group_name(s, id));
        return 0;
}

static int fill_group(int root, int group, const SpecIntelRdt *s, const char *id, pid_t pid,
                      Error *reterr_error) {
        int r;

        if (s->enable_monitoring) {
                _cleanup_free_ char *path = monitor_path(id, "");

                if (!path)
                        return oom(reterr_error);
                if (mkdirat(group, path, 0755) < 0)
                        return error_set_errno(reterr_error, -errno,
                                               "linux.intelRdt.enableMonitoring: cannot make the monitoring "
                                               "group \"%s\": %m",
                                               id);
        }
        r = write_schemata(root, group, s->l3_cache_schema, s->mem_bw_schema, s->schemata, reterr_error);
        if (r < 0)
                return r;
        return add_process(group, s, id, pid, reterr_error);
}

static int remove_monitor(int group, const char *id) {
        _cleanup_free_ char *path = monitor_path(id, "");

        if (!path)
                return -ENOMEM;
        return unlinkat(group, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int resctrl_create_at(int root, const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error) {
        _cleanup_close_ int group = -EBADF;
        bool made = false;
        int r;

        r = make_group(root, s, id, &made, reterr_error);
        if (r < 0)
                return r;
        r = group = open_group(root, s, id, reterr_error);
        if (r >= 0 && !made && has_schemata(s))
                r = check_schemata(group, s, reterr_error);
        if (r >= 0) {
                r = fill_group(root, group, s, id, pid, reterr_error);
                /* One that was there before belongs to another container of this id. */
                if (r < 0 && s->enable_monitoring && r != -EEXIST)
                        (void) remove_monitor(group, id);
        }
        if (r < 0 && made)
                (void) unlinkat(root, group_name(s, id), AT_REMOVEDIR);
        return r;
}

int resctrl_remove_at(int root, const SpecIntelRdt *s, const char *id, Error *reterr_error) {
        int r = 0;

        if (s->enable_monitoring) {
                _cleanup_close_ int group = open_group(root, s, id, NULL);

                if (group >= 0)
                        r = remove_monitor(group, id);
        }
        if (!s->clos_id && unlinkat(root, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = -errno;
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot remove the group \"%s\" of resctrl: %m", id);
        return 0;
}

/* ---- on the host ---- */

int resctrl_create(const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error) {
        _cleanup_close_ int root = -EBADF;

        if (!s->wanted)
                return 0;
        root = open_root(reterr_error);
        return root < 0 ? root : resctrl_create_at(root, s, id, pid, reterr_error);
}

int resctrl_join(const SpecIntelRdt *s, const char *id, pid_t pid, Error *reterr_error) {
        _cleanup_close_ int root = -EBADF, group = -EBADF;

        if (!s->wanted)
                return 0;
        root = open_root(reterr_error);
        if (root < 0)
                return root;
        group = open_group(root, s, id, reterr_error);
        return group < 0 ? group : add_process(group, s, id, pid, reterr_error);
}

int resctrl_update(const SpecIntelRdt *s, const char *id, const char *l3_cache_schema,
                   const char *mem_bw_schema, Error *reterr_error) {
        _cleanup_close_ int root = -EBADF, group = -EBADF;

        if (!s->wanted)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The container has no group of resctrl: it was created without "
                                 "linux.intelRdt.");
        root = open_root(reterr_error);
        if (root < 0)
                return root;
        group = open_group(root, s, id, reterr_error);
        return group < 0 ? group
                         : write_schemata(root, group, l3_cache_schema, mem_bw_schema, NULL, reterr_error);
}

int resctrl_remove(const SpecIntelRdt *s, const char *id, Error *reterr_error) {
        _cleanup_close_ int root = -EBADF;

        if (!s->wanted || (s->clos_id && !s->enable_monitoring))
                return 0;
        root = open_root(NULL);
        return root < 0 ? 0 : resctrl_remove_at(root, s, id, reterr_error);
}
