/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/criu.h"
#include "runtime/mount-options.h"
#include "runtime/program.h"
#include "runtime/report.h"

#define ANNOTATION_CRIU_CONFIG "org.criu.config"
#define LOG_LEVEL_CRIU 4
#define LOG_SIZE_MAX (16U * 1024U * 1024U)
#define LOG_LINES_MAX 8U /* of errors, to be reported */

enum {
        CRIU_OPTS_IMAGES_DIR_FD = 1,
        CRIU_OPTS_EXT_UNIX_SK = 4,
        CRIU_OPTS_TCP_ESTABLISHED = 5,
        CRIU_OPTS_SHELL_JOB = 7,
        CRIU_OPTS_FILE_LOCKS = 8,
        CRIU_OPTS_LOG_LEVEL = 9,
        CRIU_OPTS_NOTIFY_SCRIPTS = 12,
        CRIU_OPTS_AUTO_DEDUP = 16,
        CRIU_OPTS_WORK_DIR_FD = 17,
        CRIU_OPTS_LINK_REMAP = 18,
        CRIU_OPTS_EXT_MNT = 23,
        CRIU_OPTS_MANAGE_CGROUPS = 24,
        CRIU_OPTS_MANAGE_CGROUPS_MODE = 34,
        CRIU_OPTS_EMPTY_NS = 38,
        CRIU_OPTS_TCP_SKIP_IN_FLIGHT = 46,
        CRIU_OPTS_LAZY_PAGES = 48,
        CRIU_OPTS_ORPHAN_PTS_MASTER = 50,
        CRIU_OPTS_CONFIG_FILE = 51,
        CRIU_OPTS_TCP_CLOSE = 52,
        CRIU_OPTS_LSM_PROFILE = 53,
        CRIU_OPTS_LSM_MOUNT_CONTEXT = 63,
        CRIU_OPTS_NETWORK_LOCK = 64,

        EXT_MOUNT_KEY = 1,
        EXT_MOUNT_VAL = 2,
};

void criu_options_done(CriuOptions *o) {
        free(o->page_server);
}

/* Options */

typedef struct NamedNumber {
        const char *name;
        int number;
} NamedNumber;

static int take_name(const char *option, const NamedNumber *table, int *ret, Error *reterr_error) {
        for (const NamedNumber *t = table; t->name; t++)
                if (streq(t->name, optarg)) {
                        *ret = t->number;
                        return 0;
                }
        return error_set(reterr_error, -EINVAL, "InvalidArgument", "--%s=%s is not known. See --help.",
                         option, optarg);
}

static int take_mode(CriuOptions *o, int c, Error *reterr_error) {
        static const NamedNumber modes[] = {
                { "ignore", 0 },
                { "none", 1 },
                { "props", 2 },
                { "soft", 3 },
                { "full", 4 },
                { "strict", 5 },
                {},
        };
        static const NamedNumber locks[] = { { "iptables", 1 }, { "nftables", 2 }, { "skip", 3 }, {} };
        static const NamedNumber empty[] = { { "network", CLONE_NEWNET }, {} };
        int v, r;

        if (c == OPTION_MANAGE_CGROUPS_MODE)
                return take_name("manage-cgroups-mode", modes, &o->cgroups_mode, reterr_error);
        if (c == OPTION_NETWORK_LOCK)
                return take_name("network-lock", locks, &o->network_lock, reterr_error);
        r = take_name("empty-ns", empty, &v, reterr_error);
        if (r < 0)
                return r;
        o->empty_ns |= (uint64_t) v;
        return 0;
}

static int take_page_server(CriuOptions *o, Error *reterr_error) {
        const char *colon = strrchr(optarg, ':');

        if (!colon || colon == optarg || parse_uint32(colon + 1, &o->page_server_port) < 0 ||
            o->page_server_port == 0 || o->page_server_port > UINT16_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--page-server=%s: expected ADDRESS:PORT.", optarg);
        free(o->page_server);
        o->page_server = strndup(optarg, (size_t) (colon - optarg));
        return o->page_server ? 0 : error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
}

static int take_status_fd(CriuOptions *o, Error *reterr_error) {
        int flags;

        if (parse_int(optarg, &o->status_fd) < 0 || o->status_fd <= STDERR_FILENO)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "--status-fd=%s: expected the number of an open descriptor.", optarg);
        flags = fcntl(o->status_fd, F_GETFL);
        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
                return error_set(reterr_error, -EBADF, "InvalidArgument",
                                 "--status-fd=%s: the descriptor is not open for writing.", optarg);
        return 0;
}

/* What is only to be remembered. */
static int take_plain(CriuOptions *o, int c) {
        const struct {
                int c;
                bool *flag;
                const char **text;
        } table[] = {
                { OPTION_IMAGE_PATH, NULL, &o->image_path },
                { OPTION_WORK_PATH, NULL, &o->work_path },
                { OPTION_PARENT_PATH, NULL, &o->parent_path },
                { OPTION_LSM_PROFILE, NULL, &o->lsm_profile },
                { OPTION_LSM_MOUNT_CONTEXT, NULL, &o->lsm_mount_context },
                { OPTION_LEAVE_RUNNING, &o->leave_running, NULL },
                { OPTION_TCP_ESTABLISHED, &o->tcp_established, NULL },
                { OPTION_TCP_SKIP_IN_FLIGHT, &o->tcp_skip_in_flight, NULL },
                { OPTION_TCP_CLOSE, &o->tcp_close, NULL },
                { OPTION_LINK_REMAP, &o->link_remap, NULL },
                { OPTION_EXT_UNIX_SK, &o->ext_unix_sk, NULL },
                { OPTION_SHELL_JOB, &o->shell_job, NULL },
                { OPTION_LAZY_PAGES, &o->lazy_pages, NULL },
                { OPTION_FILE_LOCKS, &o->file_locks, NULL },
                { OPTION_PRE_DUMP, &o->pre_dump, NULL },
                { OPTION_AUTO_DEDUP, &o->auto_dedup, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                if (table[i].c != c)
                        continue;
                if (table[i].flag)
                        *table[i].flag = true;
                else
                        *table[i].text = optarg;
        }
        return 0;
}

int criu_take_option(CriuOptions *o, int c, Error *reterr_error) {
        switch (c) {
        case OPTION_MANAGE_CGROUPS_MODE:
        case OPTION_NETWORK_LOCK:
        case OPTION_EMPTY_NS:
                return take_mode(o, c, reterr_error);
        case OPTION_PAGE_SERVER:
                return take_page_server(o, reterr_error);
        case OPTION_STATUS_FD:
                return take_status_fd(o, reterr_error);
        default:
                return take_plain(o, c);
        }
}

int criu_find(const GlobalOptions *g, char **ret, Error *reterr_error) {
        int r;

        if (geteuid() != 0)
                return error_set(reterr_error, -EPERM, "NotPermitted", "Checkpoints are only for root.");
        r = program_find(g->criu ?: "criu", ret);
        if (r == -ENOENT)
                return error_set(
                                reterr_error, r, "CriuNotInstalled",
                                "criu is not installed: there is no program \"%s\", which checkpoint and restore need.",
                                g->criu ?: "criu");
        return r < 0 ? error_set_errno(reterr_error, r, "Out of memory.") : 0;
}

static int open_directory(const char *path, bool create, Error *reterr_error) {
        int fd;

        if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set_errno(reterr_error, -errno, "Cannot make the directory \"%s\": %m", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(reterr_error, -errno, "Cannot open the directory \"%s\": %m", path);
        return fd;
}

int criu_open_directories(const CriuOptions *o, bool create, int *ret_image_fd, int *ret_work_fd,
                          Error *reterr_error) {
        _cleanup_close_ int image_fd = -EBADF;
        int work_fd = -EBADF;

        image_fd = open_directory(o->image_path, create, reterr_error);
        if (image_fd < 0)
                return image_fd;
        if (o->work_path) {
                work_fd = open_directory(o->work_path, true, reterr_error);
                if (work_fd < 0)
                        return work_fd;
        }
        *ret_image_fd = TAKE_FD(image_fd);
        *ret_work_fd = work_fd;
        return 0;
}

/* What CRIU is told */

/* It overrules what is said by options. crun's file, or else runc's, is taken as theirs. */
static const char *config_file(const RuntimeSpec *spec) {
        static const char *const defaults[] = { "/etc/criu/crun.conf", "/etc/criu/runc.conf", NULL };
        const char *annotation = runtime_spec_annotation(spec, ANNOTATION_CRIU_CONFIG);

        if (annotation)
                return isempty(annotation) ? NULL : annotation;
        STRV_FOREACH (path, defaults)
                if (access(path, F_OK) >= 0)
                        return path;
        return NULL;
}

void criu_write_options(ProtoWriter *w, const CriuOptions *o, const RuntimeSpec *spec, int image_fd,
                        int work_fd, bool console) {
        const struct {
                unsigned field;
                bool value;
        } flags[] = {
                { CRIU_OPTS_EXT_UNIX_SK, o->ext_unix_sk },
                { CRIU_OPTS_TCP_ESTABLISHED, o->tcp_established },
                { CRIU_OPTS_SHELL_JOB, o->shell_job },
                { CRIU_OPTS_FILE_LOCKS, o->file_locks },
                { CRIU_OPTS_NOTIFY_SCRIPTS, true },
                { CRIU_OPTS_AUTO_DEDUP, o->auto_dedup },
                { CRIU_OPTS_LINK_REMAP, o->link_remap },
                { CRIU_OPTS_TCP_SKIP_IN_FLIGHT, o->tcp_skip_in_flight },
                { CRIU_OPTS_LAZY_PAGES, o->lazy_pages },
                { CRIU_OPTS_ORPHAN_PTS_MASTER, console },
                { CRIU_OPTS_TCP_CLOSE, o->tcp_close },
        };

        /* The numbers that these have here: CRIU opens them by /proc. */
        proto_write_int(w, CRIU_OPTS_IMAGES_DIR_FD, image_fd);
        if (work_fd >= 0)
                proto_write_int(w, CRIU_OPTS_WORK_DIR_FD, work_fd);
        proto_write_int(w, CRIU_OPTS_LOG_LEVEL, LOG_LEVEL_CRIU);
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                if (flags[i].value)
                        proto_write_int(w, flags[i].field, 1);
        proto_write_int(w, CRIU_OPTS_MANAGE_CGROUPS, 1); /* of CRIUs that do not know the mode */
        proto_write_int(w, CRIU_OPTS_MANAGE_CGROUPS_MODE, o->cgroups_mode);
        if (o->empty_ns)
                proto_write_int(w, CRIU_OPTS_EMPTY_NS, (int64_t) o->empty_ns);
        if (o->network_lock)
                proto_write_int(w, CRIU_OPTS_NETWORK_LOCK, o->network_lock);
        proto_write_string(w, CRIU_OPTS_LSM_PROFILE, o->lsm_profile);
        proto_write_string(w, CRIU_OPTS_LSM_MOUNT_CONTEXT, o->lsm_mount_context);
        proto_write_string(w, CRIU_OPTS_CONFIG_FILE, config_file(spec));
}

typedef struct Mounts {
        ProtoWriter *w;
        int root_fd;
        const char *prefix;
        bool restoring;
} Mounts;

/* The place as CRIU knows it: without symlinks. What is not there yet stays as it is said. */
static int resolve(const Mounts *m, const char *destination, char **ret, mode_t *ret_mode) {
        char link[PROC_FD_PATH_MAX], path[PATH_MAX + 1];
        _cleanup_close_ int fd = -EBADF;
        const char *rest = NULL;
        struct stat st = {};
        ssize_t n;

        fd = open_in_root(m->root_fd, destination, O_PATH, 0);
        if (fd >= 0 && fstat(fd, &st) >= 0) {
                n = readlink(proc_fd_path(link, fd), path, sizeof(path) - 1);
                if (n > 0) {
                        path[n] = 0;
                        rest = startswith(path, m->prefix);
                }
        }
        *ret = strdup(rest && rest[0] == '/' ? rest : destination);
        *ret_mode = st.st_mode;
        return *ret ? 0 : -ENOMEM;
}

/* CRIU makes one text of both, with brackets around the place, and takes it apart again: an image whose symlinks
 * lead to a place with a bracket in its name could have something else mounted. */
static int write_mount(const Mounts *m, const char *place, const char *source, Error *reterr_error) {
        _cleanup_(proto_writer_done) ProtoWriter entry = {};

        if (strchr(place, ']'))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "A mount is on \"%s\", whose name CRIU cannot be told: it has a bracket.",
                                 place);
        proto_write_string(&entry, EXT_MOUNT_KEY, place);
        proto_write_string(&entry, EXT_MOUNT_VAL, m->restoring ? source : place);
        proto_write_message(m->w, CRIU_OPTS_EXT_MNT, &entry);
        return 0;
}

static int write_bind(const Mounts *m, const SpecMount *mount, Error *reterr_error) {
        _cleanup_(mount_options_done) MountOptions o = {};
        _cleanup_free_ char *place = NULL;
        mode_t mode;
        int r;

        r = mount_options_parse(mount->options, &o, reterr_error);
        if (r < 0)
                return r;
        if (!o.bind && !streq_ptr(mount->type, "bind"))
                return 0;
        if (resolve(m, mount->destination, &place, &mode) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return write_mount(m, place, mount->source, reterr_error);
}

/* A file is masked by a null device. Directories are masked by a tmpfs, which CRIU can make. */
static int write_masked(const Mounts *m, const char *path, Error *reterr_error) {
        _cleanup_free_ char *place = NULL;
        mode_t mode;

        if (resolve(m, path, &place, &mode) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (m->restoring || (mode != 0 && !S_ISDIR(mode)))
                return write_mount(m, place, "/dev/null", reterr_error);
        return 0;
}

int criu_write_mounts(ProtoWriter *w, const RuntimeSpec *spec, int root_fd, const char *prefix,
                      bool restoring, Error *reterr_error) {
        static const char *const devices[] = { "/dev/null", "/dev/zero",    "/dev/full", "/dev/random",
                                               "/dev/tty",  "/dev/urandom", NULL };
        const Mounts m = { w, root_fd, prefix, restoring };
        int r;

        for (size_t i = 0; i < spec->n_mounts; i++) {
                r = write_bind(&m, &spec->mounts[i], reterr_error);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH (path, spec->masked_paths) {
                r = write_masked(&m, path, reterr_error);
                if (r < 0)
                        return r;
        }

        /* Where no node can be made the host's are mounted. */
        if (!spec->namespaces[NAMESPACE_USER].wanted)
                return 0;
        STRV_FOREACH (path, devices) {
                r = write_mount(&m, path, path, reterr_error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < spec->n_devices; i++) {
                r = write_mount(&m, spec->devices[i].path, spec->devices[i].path, reterr_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

void criu_forget_log(int image_fd, int work_fd, const char *log) {
        (void) unlinkat(work_fd >= 0 ? work_fd : image_fd, log, 0);
}

void criu_explain(const CriuOptions *o, const char *log, Error *e) {
        _cleanup_free_ char *path = path_join(o->work_path ?: o->image_path, log), *text = NULL;
        _cleanup_error_ Error with_path = ERROR_NULL;
        unsigned n = 0;
        char *rest;

        if (!error_has_name(e, "CheckpointFailed") || !path ||
            read_file_at(AT_FDCWD, path, LOG_SIZE_MAX, &text, NULL) < 0)
                return;
        rest = text;
        for (char *line; n < LOG_LINES_MAX && (line = strsep(&rest, "\n"));)
                if (strstr(line, "Error ")) {
                        report(LOG_ERR, "%s", line);
                        n++;
                }
        error_set(&with_path, e->error, error_name(e), "%s The log is \"%s\".", error_message(e), path);
        error_done(e);
        error_move(e, &with_path);
}
