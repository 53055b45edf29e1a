/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "helper/extract.h"
#include "helper/tree-writer.h"

/* libarchive takes the tar stream apart, and does nothing else: it sees no descriptor and makes no file.
 * Names and paths are TreeWriter's matter. Here is what an entry means: whiteouts, kinds of files, data with
 * holes, attributes, and what is refused.
 *
 * An entry is made exclusively first; only if something is there already is it removed, as later entries
 * replace earlier ones. Order of what is set: data, owner, mode (chown clears setuid), attributes (chown and
 * write clear security.capability), times. */

#define EARLY_WRITE_BACK_MIN 65536U /* bytes */
#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META_PREFIX ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

typedef struct Extractor {
        const ExtractSpec *spec;
        TreeWriter *tree;
        struct archive *archive;
        ExtractResult result;
        const void *first; /* read ahead, to see whether there is anything */
        size_t first_size;
        Error read_error;  /* of spec->read(): goes before libarchive's own */
        char path[TREE_PATH_MAX + 1];
        char target[TREE_PATH_MAX + 1]; /* of a hard link */
} Extractor;

void extract_result_done(ExtractResult *result) {
        free(result->implied);
        *result = (ExtractResult) {};
}

static void extractor_done(Extractor *x) {
        if (x->archive)
                archive_read_free(x->archive);
        tree_writer_free(x->tree);
        extract_result_done(&x->result);
        error_done(&x->read_error);
}

static la_ssize_t on_read(struct archive *a, void *userdata, const void **ret) {
        Extractor *x = userdata;
        size_t n = 0;
        int r;

        if (x->first) {
                *ret = TAKE_PTR(x->first);
                return (la_ssize_t) x->first_size;
        }

        r = x->spec->read(x->spec->userdata, ret, &n, &x->read_error);
        if (r < 0) {
                archive_set_error(a, -r, "Read error");
                return ARCHIVE_FATAL;
        }
        return r == 0 ? 0 : (la_ssize_t) n;
}

static int archive_failed(Extractor *x, Error *reterr_error) {
        if (error_is_set(&x->read_error))
                return error_move(reterr_error, &x->read_error);
        if (archive_errno(x->archive) == ENOMEM)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                         "The layer is no valid tar archive (behind entry \"%.128s\"): %s", x->path,
                         archive_error_string(x->archive) ?: "unknown reason");
}

static int refuse(const Extractor *x, Error *reterr_error, const char *why) {
        return error_set(reterr_error, -EBADMSG, "InvalidArchive",
                         "The layer has an entry \"%.128s\" %s: it is refused", x->path, why);
}

static int failed(const Extractor *x, int error, const char *what, Error *reterr_error) {
        return error_set_errno(reterr_error, error, "Cannot %s %s in the layer: %m", what, x->path);
}

static int entry_metadata(const Extractor *x, struct archive_entry *e, TreeMetadata *ret,
                          Error *reterr_error) {
        int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
        long nsec = archive_entry_mtime_nsec(e);

        /* 2^32-1 is "no ID" for the kernel. */
        if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
                return refuse(x, reterr_error, "with an owner that is no valid number");

        *ret = (TreeMetadata){
                .mode = archive_entry_perm(e) & 07777,
                .uid = (uid_t) uid,
                .gid = (gid_t) gid,
                .mtime = { .tv_sec = archive_entry_mtime(e),
                           .tv_nsec = nsec >= 0 && nsec < 1000000000 ? nsec : 0 },
        };
        return 0;
}

static int apply_xattrs(const Extractor *x, struct archive_entry *e, int fd, Error *reterr_error) {
        const char *name;
        const void *value;
        size_t size;

        if (archive_entry_xattr_reset(e) > (int) EXTRACT_XATTRS_MAX)
                return refuse(x, reterr_error, "with too many extended attributes");

        while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
                if (!name || !tree_xattr_is_wanted(name))
                        continue;
                if (strlen(name) > XATTR_NAME_MAX || size > EXTRACT_XATTR_SIZE_MAX)
                        return refuse(x, reterr_error, "with too large an extended attribute");
                if (fsetxattr(fd, name, value, size, 0) < 0) {
                        /* A file system without user.* attributes can still hold the image; one without
                         * capabilities cannot. */
                        if (errno == EOPNOTSUPP && startswith(name, "user."))
                                continue;
                        return error_set_errno(reterr_error, -errno,
                                               "Cannot set extended attribute %s of %s in the layer: %m",
                                               name, x->path);
                }
        }
        return 0;
}

static int make_directory(Extractor *x, struct archive_entry *e, const TreeMetadata *m,
                          Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        const char *name = "";
        int dirfd = x->spec->root_fd, r;

        if (!isempty(x->path)) {
                r = tree_writer_enter(x->tree, x->path, &dirfd, &name, reterr_error);
                if (r < 0)
                        return r;
                r = tree_writer_mkdir(x->tree, dirfd, name, reterr_error);
                if (r < 0)
                        return r;
        } else
                x->result.root = true;

        if (archive_entry_xattr_count(e) > 0) {
                fd = open_beneath_nofollow(dirfd, isempty(name) ? "." : name, O_RDONLY | O_DIRECTORY, 0);
                if (fd < 0)
                        return failed(x, fd, "open directory", reterr_error);
                r = apply_xattrs(x, e, fd, reterr_error);
                if (r < 0)
                        return r;
        }
        return tree_writer_note_directory(x->tree, name, m, reterr_error);
}

static int write_data(Extractor *x, int fd, uint64_t size, Error *reterr_error) {
        uint64_t end = 0;

        for (;;) {
                const void *p;
                size_t n;
                la_int64_t offset;
                int r = archive_read_data_block(x->archive, &p, &n, &offset);

                if (r == ARCHIVE_EOF)
                        break;
                if (r != ARCHIVE_OK)
                        return archive_failed(x, reterr_error);
                if (n == 0)
                        continue;
                if (offset < 0 || (uint64_t) offset > size || n > size - (uint64_t) offset)
                        return refuse(x, reterr_error, "with more data than its size");

                /* Holes of sparse files are jumped over. */
                r = (uint64_t) offset == end ? write_full(fd, p, n)
                                             : pwrite_full(fd, p, n, (uint64_t) offset);
                if (r >= 0 && (uint64_t) offset != end)
                        r = RET_NERRNO(lseek(fd, offset + (la_int64_t) n, SEEK_SET) < 0 ? -1 : 0);
                if (r < 0)
                        return failed(x, r, "write to", reterr_error);
                end = (uint64_t) offset + n;
        }

        if (end < size && ftruncate(fd, (off_t) size) < 0)
                return failed(x, -errno, "set the size of", reterr_error);

        /* Nobody waits for it here; but the less is left to be written when moored syncs the file system
         * after the pull, the shorter that holds up whoever makes a file there, such as the first
         * container. */
        if (size >= EARLY_WRITE_BACK_MIN)
                (void) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        return 0;
}

static int make_regular(Extractor *x, struct archive_entry *e, const TreeMetadata *m, Error *reterr_error) {
        const struct timespec times[2] = { m->mtime, m->mtime };
        const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        int64_t size = archive_entry_size(e);
        _cleanup_close_ int fd = -EBADF;
        const char *name;
        int dirfd, r;

        if (size < 0 || (uint64_t) size > EXTRACT_FILE_SIZE_MAX)
                return refuse(x, reterr_error, "of an impossible size");
        r = tree_writer_enter(x->tree, x->path, &dirfd, &name, reterr_error);
        if (r < 0)
                return r;

        fd = open_beneath_nofollow(dirfd, name, flags, m->mode & 0777);
        if (fd == -EEXIST) {
                r = tree_writer_clear(x->tree, dirfd, name, reterr_error);
                if (r < 0)
                        return r;
                fd = open_beneath_nofollow(dirfd, name, flags, m->mode & 0777);
        }
        if (fd < 0)
                return failed(x, fd, "create file", reterr_error);

        if (size > 0) {
                r = write_data(x, fd, (uint64_t) size, reterr_error);
                if (r < 0)
                        return r;
        }
        if ((m->uid != 0 || m->gid != 0) && fchown(fd, m->uid, m->gid) < 0)
                return failed(x, -errno, "set the owner of", reterr_error);
        if ((m->mode & 07000) && fchmod(fd, m->mode) < 0)
                return failed(x, -errno, "set the mode of", reterr_error);
        if (archive_entry_xattr_count(e) > 0) {
                r = apply_xattrs(x, e, fd, reterr_error);
                if (r < 0)
                        return r;
        }
        if (futimens(fd, times) < 0)
                return failed(x, -errno, "set the time of", reterr_error);
        return 0;
}

typedef int (*MakeFunc)(Extractor *x, struct archive_entry *e, const TreeMetadata *m, int dirfd,
                        const char *name);

static int make_symlink(Extractor *x, struct archive_entry *e, const TreeMetadata *m, int dirfd,
                        const char *name) {
        const char *target = archive_entry_symlink(e);

        return isempty(target) ? -EINVAL : RET_NERRNO(symlinkat(target, dirfd, name));
}

static int make_node(Extractor *x, struct archive_entry *e, const TreeMetadata *m, int dirfd,
                     const char *name) {
        mode_t type = archive_entry_filetype(e);

        return RET_NERRNO(mknodat(dirfd, name, type | (m->mode & 0777),
                                  type == AE_IFIFO ? 0 : archive_entry_rdev(e)));
}

/* Symlinks, FIFOs and device nodes: made without being opened. */
static int make_special(Extractor *x, struct archive_entry *e, const TreeMetadata *m, MakeFunc make,
                        Error *reterr_error) {
        const struct timespec times[2] = { m->mtime, m->mtime };
        const char *name;
        int dirfd, r;

        r = tree_writer_enter(x->tree, x->path, &dirfd, &name, reterr_error);
        if (r < 0)
                return r;

        r = make(x, e, m, dirfd, name);
        if (r == -EEXIST) {
                r = tree_writer_clear(x->tree, dirfd, name, reterr_error);
                if (r < 0)
                        return r;
                r = make(x, e, m, dirfd, name);
        }
        if (r < 0)
                return failed(x, r, "create", reterr_error);

        if ((m->uid != 0 || m->gid != 0) && fchownat(dirfd, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return failed(x, -errno, "set the owner of", reterr_error);
        /* The name was made a moment ago and is no symlink: nobody else writes here. */
        if (make != make_symlink && (m->mode & 07000) && fchmodat(dirfd, name, m->mode, 0) < 0)
                return failed(x, -errno, "set the mode of", reterr_error);
        if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return failed(x, -errno, "set the time of", reterr_error);
        return 0;
}

/* The directory of x->target, opened on its own: the stack stays at the link's. Symlinks on the way to it
 * stay in the layer, whatever they say; nothing is made. Only where a lower layer's symlink may be on the
 * way, it is gone as that to an entry: what is made then is of no consequence, the target is not there. */
static int open_target_parent(Extractor *x, const char **ret_name) {
        char *slash = strrchr(x->target, '/');
        int fd, dirfd;

        if (!slash) {
                *ret_name = x->target;
                return open_beneath_nofollow(x->spec->root_fd, ".", O_PATH | O_DIRECTORY, 0);
        }

        *slash = 0;
        fd = open_in_root(x->spec->root_fd, x->target, O_PATH | O_DIRECTORY, 0);
        *slash = '/';
        *ret_name = slash + 1;
        if (fd == -ENOENT && x->spec->lower_fd >= 0 &&
            tree_writer_enter(x->tree, x->target, &dirfd, ret_name, NULL) >= 0)
                fd = fd_dup(dirfd);
        return fd;
}

/* Is what stands in the way the very file that is to be linked there? A symlink may have led to it by
 * another name; then it must not be cleared away. */
static bool is_file(int dirfd, const char *name, const struct stat *other) {
        struct stat st;

        return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && st.st_ino == other->st_ino &&
               st.st_dev == other->st_dev;
}

static int make_hardlink(Extractor *x, struct archive_entry *e, Error *reterr_error) {
        _cleanup_close_ int target_fd = -EBADF;
        const char *name, *target_name;
        struct stat st;
        int dirfd, r;

        r = tree_normalize(archive_entry_hardlink(e), x->target, reterr_error);
        if (r < 0)
                return r;

        /* The root was empty: what is found beneath it was made by this archive. */
        target_fd = isempty(x->target) ? -ENOENT : open_target_parent(x, &target_name);
        if (target_fd < 0 || fstatat(target_fd, target_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return refuse(x, reterr_error,
                              "that is a hard link to a file which this layer does not have");
        if (S_ISDIR(st.st_mode))
                return refuse(x, reterr_error, "that is a hard link to a directory");

        r = tree_writer_enter(x->tree, x->path, &dirfd, &name, reterr_error);
        if (r < 0)
                return r;
        r = RET_NERRNO(linkat(target_fd, target_name, dirfd, name, 0));
        if (r == -EEXIST) {
                if (is_file(dirfd, name, &st))
                        return 0; /* to itself, as tars of a tree that changed meanwhile have it */
                r = tree_writer_clear(x->tree, dirfd, name, reterr_error);
                if (r < 0)
                        return r;
                r = RET_NERRNO(linkat(target_fd, target_name, dirfd, name, 0));
        }
        if (r < 0)
                return failed(x, r, "create hard link", reterr_error);
        return 0;
}

static bool parent_is_whiteout(const char *path) {
        const char *slash;

        for (const char *p = path; (slash = strchr(p, '/')); p = slash + 1)
                if (startswith(p, WHITEOUT_PREFIX))
                        return true;
        return false;
}

/* 1: it was one and is done. */
static int try_whiteout(Extractor *x, Error *reterr_error) {
        char *slash = strrchr(x->path, '/'), *base = slash ? slash + 1 : x->path;
        const char *hidden = startswith(base, WHITEOUT_PREFIX), *name;
        int dirfd, r;

        if (parent_is_whiteout(x->path))
                return refuse(x, reterr_error, "below a whiteout");
        if (streq(base, WHITEOUT_OPAQUE)) {
                r = tree_writer_enter(x->tree, x->path, &dirfd, &name, reterr_error);
                if (r < 0)
                        return r;
                r = tree_writer_set_opaque(x->tree, dirfd, ".", reterr_error);
                return r < 0 ? r : 1;
        }
        if (!hidden)
                return 0;
        /* ".wh.." and ".wh..." would hide the directory itself and its parent; other ".wh..wh." names are
         * AUFS' own. */
        if (startswith(base, WHITEOUT_META_PREFIX) || !filename_is_valid(hidden))
                return refuse(x, reterr_error, "that is no valid whiteout");

        r = tree_writer_enter(x->tree, x->path, &dirfd, &name, reterr_error);
        if (r < 0)
                return r;
        r = tree_writer_whiteout(x->tree, dirfd, hidden, reterr_error);
        return r < 0 ? r : 1;
}

static int extract_entry(Extractor *x, struct archive_entry *e, Error *reterr_error) {
        const char *name = archive_entry_pathname(e);
        TreeMetadata m;
        int r;

        if (isempty(name))
                return refuse(x, reterr_error, "followed by one without a name");
        r = tree_normalize(name, x->path, reterr_error);
        if (r < 0)
                return r;
        r = try_whiteout(x, reterr_error);
        if (r != 0)
                return r;
        r = entry_metadata(x, e, &m, reterr_error);
        if (r < 0)
                return r;
        if (isempty(x->path) && (archive_entry_filetype(e) != AE_IFDIR || archive_entry_hardlink(e)))
                return refuse(x, reterr_error, "that would replace the root directory");

        if (archive_entry_hardlink(e))
                return make_hardlink(x, e, reterr_error);

        switch (archive_entry_filetype(e)) {
        case AE_IFREG:
                return make_regular(x, e, &m, reterr_error);
        case AE_IFDIR:
                return make_directory(x, e, &m, reterr_error);
        case AE_IFLNK:
                return make_special(x, e, &m, make_symlink, reterr_error);
        case AE_IFIFO:
                return make_special(x, e, &m, make_node, reterr_error);
        case AE_IFCHR:
        case AE_IFBLK:
                if (!x->spec->devices)
                        return error_set(reterr_error, -EPERM, "DeviceNotAllowed",
                                         "The layer has a device node \"%.128s\", which is not allowed here",
                                         x->path);
                return make_special(x, e, &m, make_node, reterr_error);
        case AE_IFSOCK:
                return 0; /* means nothing without its server */
        default:
                return refuse(x, reterr_error, "of an unknown kind");
        }
}

/* 1: there is something to read. */
static int open_archive(Extractor *x, Error *reterr_error) {
        int r;

        /* No bytes at all are an empty layer; libarchive would miss the tar's end in them. */
        r = x->spec->read(x->spec->userdata, &x->first, &x->first_size, reterr_error);
        if (r <= 0)
                return r;

        x->archive = archive_read_new();
        if (!x->archive)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        /* No filter is enabled: what is compressed has been decompressed, once. */
        if (archive_read_support_format_tar(x->archive) != ARCHIVE_OK ||
            archive_read_open(x->archive, x, NULL, on_read, NULL) != ARCHIVE_OK)
                return archive_failed(x, reterr_error);
        return 1;
}

int extract_tar(const ExtractSpec *spec, ExtractResult *ret, Error *reterr_error) {
        _cleanup_(extractor_done) Extractor x = { .spec = spec };
        int r;

        /* The modes in the archive are exact. */
        (void) umask(0);

        r = tree_writer_new(spec->root_fd, spec->lower_fd, &x.tree, reterr_error);
        if (r < 0)
                return r;
        r = open_archive(&x, reterr_error);
        if (r < 0)
                return r;

        while (r > 0) {
                struct archive_entry *e;

                /* A warning is about a name that is no UTF-8 or an odd pax keyword: the entry is good. */
                r = archive_read_next_header(x.archive, &e);
                if (r == ARCHIVE_EOF)
                        break;
                if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                        return archive_failed(&x, reterr_error);
                if (++x.result.entries > spec->max_entries)
                        return error_set(reterr_error, -E2BIG, "TooManyEntries",
                                         "The layer has more than %" PRIu64 " entries, which is the limit",
                                         spec->max_entries);
                r = extract_entry(&x, e, reterr_error);
                if (r < 0)
                        return r;
                r = 1;
        }

        r = tree_writer_finish(x.tree, reterr_error);
        if (r < 0)
                return r;
        r = tree_writer_implied(x.tree, &x.result.implied, &x.result.implied_size, reterr_error);
        if (r < 0)
                return r;
        *ret = x.result;
        x.result = (ExtractResult) {};
        return 0;
}
