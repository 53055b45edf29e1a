/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/user.h"

/* A piece of a file's text. */
typedef struct Slice {
        const char *p;
        size_t n;
} Slice;

#define PASSWD_FIELDS 7U
#define GROUP_FIELDS 4U

typedef struct PasswdEntry {
        Slice name;
        uint32_t uid;
        uint32_t gid;
        Slice home;
} PasswdEntry;

typedef struct GroupEntry {
        Slice name;
        uint32_t gid;
        Slice members;
} GroupEntry;

void user_info_done(UserInfo *u) {
        free(u->groups);
        free(u->home);
        *u = (UserInfo) {};
}

void user_database_done(UserDatabase *d) {
        free(d->passwd);
        free(d->group);
        *d = (UserDatabase) {};
}

static bool slice_equal(Slice s, const char *text) {
        size_t n = strlen(text);

        return s.n == n && memcmp(s.p, text, n) == 0;
}

/* Takes what is before the separator (or everything) off the front of *rest. False at the end. */
static bool slice_split(Slice *rest, char separator, Slice *ret) {
        const char *e;

        if (!rest->p)
                return false;

        e = memchr(rest->p, separator, rest->n);
        if (!e) {
                *ret = *rest;
                *rest = (Slice) {};
                return true;
        }
        *ret = (Slice) { rest->p, (size_t) (e - rest->p) };
        *rest = (Slice) { e + 1, rest->n - ret->n - 1 };
        return true;
}

static bool slice_to_id(Slice s, uint32_t *ret) {
        char buf[11]; /* the digits of UINT32_MAX, and NUL */
        uint32_t v;

        if (s.n == 0 || s.n >= sizeof(buf) || memchr(s.p, 0, s.n))
                return false;
        memcpy(buf, s.p, s.n);
        buf[s.n] = 0;
        /* The highest number means "leave as it is" to chown(2) and its like. */
        if (parse_uint32(buf, &v) < 0 || v == UINT32_MAX)
                return false;
        *ret = v;
        return true;
}

/* The fields of one line; false if they are too few. The last one takes what is left. */
static bool line_fields(Slice line, Slice *fields, size_t n_fields) {
        for (size_t i = 0; i + 1 < n_fields; i++)
                if (!slice_split(&line, ':', &fields[i]))
                        return false;
        if (!line.p)
                return false;
        fields[n_fields - 1] = line;
        return true;
}

static bool passwd_next(Slice *rest, PasswdEntry *ret) {
        Slice line, f[PASSWD_FIELDS];

        while (slice_split(rest, '\n', &line)) {
                PasswdEntry e;

                if (!line_fields(line, f, PASSWD_FIELDS) || f[0].n == 0)
                        continue;
                if (!slice_to_id(f[2], &e.uid) || !slice_to_id(f[3], &e.gid))
                        continue;
                e.name = f[0];
                e.home = f[5];
                *ret = e;
                return true;
        }
        return false;
}

static bool group_next(Slice *rest, GroupEntry *ret) {
        Slice line, f[GROUP_FIELDS];

        while (slice_split(rest, '\n', &line)) {
                GroupEntry e;

                if (!line_fields(line, f, GROUP_FIELDS) || f[0].n == 0 || !slice_to_id(f[2], &e.gid))
                        continue;
                e.name = f[0];
                e.members = f[3];
                *ret = e;
                return true;
        }
        return false;
}

static Slice passwd_text(const UserDatabase *d) {
        return (Slice) { d->passwd, d->passwd_size };
}

static Slice group_text(const UserDatabase *d) {
        return (Slice) { d->group, d->group_size };
}

static bool group_has_member(const GroupEntry *g, Slice user) {
        Slice rest = g->members, member;

        while (slice_split(&rest, ',', &member))
                if (member.n == user.n && memcmp(member.p, user.p, user.n) == 0)
                        return true;
        return false;
}

static int read_one(int root_fd, const char *path, char **ret, size_t *ret_size, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF, readable = -EBADF;
        struct stat st, again;
        int r;

        /* First without opening it in earnest: the image may have put a device or a FIFO there. And then by
         * its name again, if it is still that: /proc may be the container's, and not be one. */
        fd = open_in_root(root_fd, path, O_PATH, 0);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open the image's /%s: %m", path);
        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot look at the image's /%s: %m", path);
        /* Masked by linux.maskedPaths. */
        if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
                return 0;
        if (!S_ISREG(st.st_mode))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The image's /%s is not a regular file.", path);

        readable = open_in_root(root_fd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        if (readable < 0)
                return error_set_errno(reterr_error, readable, "Cannot open the image's /%s: %m", path);
        if (fstat(readable, &again) < 0 || again.st_ino != st.st_ino || again.st_dev != st.st_dev)
                return error_set(reterr_error, -EAGAIN, "Failed", "The image's /%s is being replaced.", path);
        r = read_all(readable, USER_DATABASE_SIZE_MAX, ret, ret_size);
        if (r == -EFBIG)
                return error_set(reterr_error, r, "LimitsExceeded",
                                 "The image's /%s is larger than %u bytes.", path, USER_DATABASE_SIZE_MAX);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the image's /%s: %m", path);
        return 0;
}

int user_database_read(int root_fd, UserDatabase *ret, Error *reterr_error) {
        _cleanup_(user_database_done) UserDatabase d = {};
        int r;

        r = read_one(root_fd, "etc/passwd", &d.passwd, &d.passwd_size, reterr_error);
        if (r < 0)
                return r;
        r = read_one(root_fd, "etc/group", &d.group, &d.group_size, reterr_error);
        if (r < 0)
                return r;

        *ret = d;
        d = (UserDatabase) {};
        return 0;
}

static bool is_member(const UserInfo *u, gid_t gid) {
        for (size_t i = 0; i < u->n_groups; i++)
                if (u->groups[i] == gid)
                        return true;
        return false;
}

static int add_gid(UserInfo *u, gid_t gid, Error *reterr_error) {
        gid_t *p;

        if (is_member(u, gid))
                return 0;
        if (u->n_groups >= USER_GROUPS_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "The user is in more than %u groups.", USER_GROUPS_MAX);

        p = reallocarray(u->groups, u->n_groups + 1, sizeof(gid_t));
        if (!p)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        u->groups = p;
        u->groups[u->n_groups++] = gid;
        return 1;
}

static int find_group(const UserDatabase *d, const char *group, gid_t *ret, Error *reterr_error) {
        Slice rest = group_text(d);
        GroupEntry g;
        uint32_t gid;

        while (group_next(&rest, &g))
                if (slice_equal(g.name, group)) {
                        *ret = g.gid;
                        return 0;
                }

        if (!slice_to_id((Slice) { group, strlen(group) }, &gid))
                return error_set(
                                reterr_error, -ESRCH, "NoSuchGroup",
                                "There is no group \"%s\" in the image's /etc/group, and it is not "
                                "a number.",
                                group);
        *ret = gid;
        return 0;
}

int user_add_group(const UserDatabase *d, const char *group, UserInfo *u, Error *reterr_error) {
        gid_t gid;
        int r;

        r = find_group(d, group, &gid, reterr_error);
        if (r < 0)
                return r;
        return add_gid(u, gid, reterr_error);
}

/* The entry of that name, or else of that number. */
static bool find_user(const UserDatabase *d, const char *user, PasswdEntry *ret) {
        uint32_t uid;
        bool numeric = slice_to_id((Slice) { user, strlen(user) }, &uid);
        Slice rest = passwd_text(d);
        PasswdEntry e;

        while (passwd_next(&rest, &e))
                if (slice_equal(e.name, user) || (numeric && e.uid == uid)) {
                        *ret = e;
                        return true;
                }
        return false;
}

static char *slice_strdup(Slice s) {
        return strndup(s.p, s.n);
}

char *user_home(const UserDatabase *d, uid_t uid) {
        Slice rest = passwd_text(d);
        PasswdEntry e;

        while (passwd_next(&rest, &e))
                if (e.uid == uid)
                        return slice_strdup(e.home);
        return NULL;
}

static int take_user(const UserDatabase *d, const char *user, UserInfo *u, PasswdEntry *ret_entry,
                     Error *reterr_error) {
        uint32_t uid;

        if (find_user(d, user, ret_entry)) {
                u->uid = ret_entry->uid;
                u->gid = ret_entry->gid;
                u->home = slice_strdup(ret_entry->home);
                if (!u->home)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                return 1;
        }

        if (!slice_to_id((Slice) { user, strlen(user) }, &uid))
                return error_set(
                                reterr_error, -ESRCH, "NoSuchUser",
                                "There is no user \"%s\" in the image's /etc/passwd, and it is not "
                                "a number.",
                                user);
        u->uid = uid;
        u->gid = 0;
        return 0;
}

int user_resolve(const UserDatabase *d, const char *user, UserInfo *ret, Error *reterr_error) {
        _cleanup_(user_info_done) UserInfo u = {};
        char name[2 * USER_NAME_MAX + 2];
        PasswdEntry entry = {};
        char *group;
        int found, r;

        if (strlen(user) >= sizeof(name))
                return error_set(reterr_error, -E2BIG, "InvalidArgument",
                                 "The user \"%.32s…\" is longer than %zu bytes.", user, sizeof(name) - 1);
        strcpy(name, isempty(user) ? "0" : user);

        group = strchr(name, ':');
        if (group)
                *group++ = 0;

        found = take_user(d, name[0] == 0 ? "0" : name, &u, &entry, reterr_error);
        if (found < 0)
                return found;

        if (!isempty(group)) {
                r = find_group(d, group, &u.gid, reterr_error);
                if (r < 0)
                        return r;
        } else if (found > 0) {
                Slice rest = group_text(d);
                GroupEntry g;

                while (group_next(&rest, &g)) {
                        if (!group_has_member(&g, entry.name))
                                continue;
                        r = add_gid(&u, g.gid, reterr_error);
                        if (r < 0)
                                return r;
                }
        }

        *ret = u;
        u = (UserInfo) {};
        return 0;
}
