/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "helper/extract.h"
#include "helper/sandbox.h"
#include "oci/digest.h"

/* Two shapes.
 *
 * A *directory* sandbox (unpack, remove, sync) works on a tree of files with root's identity, since owners,
 * device nodes and trusted.* attributes are root's to set. pivot_root() makes the tree its root, so that not
 * even code run by an attacker has a path or a descriptor to anything else; nosuid, nodev and noexec on that
 * mount and a seccomp filter without PROT_EXEC and execve() keep what is in the tree from being run. Of
 * capabilities it keeps those listed in unpack_caps and remove_caps below. CAP_SYS_ADMIN among them is for
 * one thing, trusted.overlay.* attributes (whiteouts of whole directories); everything else that it would
 * allow (mount, bpf, setns, ioctl, …) is not in the system calls that remain.
 *
 * The layers below a layer are seen through a mount of their own that belongs to no directory: only its
 * descriptor leads to it, and nothing leads out of it. It is read-only, as overlayfs without an upper
 * directory is, and so the kernel resolves here what it resolves in a container: whiteouts, opaque
 * directories.
 *
 * A *user* sandbox (fetch, import) reads what strangers wrote and has no privilege at all: a uid of its own,
 * no capability, and a tmpfs root with read-only bind mounts of what getaddrinfo() and OpenSSL load.
 *
 * A mount cannot be taken from another mount namespace: dir_fd is gone into by fchdir() before unshare(),
 * which carries the working directory over into the new namespace. */

#define FETCH_ADDRESS_SPACE_MAX (UINT64_C(2) << 30)   /* stacks of resolver threads */
#define UNPACK_ADDRESS_SPACE_MAX (UINT64_C(1) << 30)  /* zstd's window is 128 MiB at most */
#define NOFILE_MAX 1024U                              /* directories in depth, connections */
#define VIEW_ROOT "/run"                              /* what the tmpfs is put over while it is built */

static const cap_value_t unpack_caps[] = {
        CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,    CAP_FSETID,
        CAP_MKNOD, CAP_SETFCAP,      CAP_SYS_ADMIN, /* trusted.* */
};
static const cap_value_t remove_caps[] = { CAP_DAC_OVERRIDE, CAP_FOWNER };

/* Read-only, where they exist. Symlinks (/lib, /etc/resolv.conf) are followed now. */
static const char *const view_paths[] = {
        "/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache",
};
static const char *const view_network_paths[] = {
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/host.conf",
        "/etc/gai.conf",
        "/etc/services",
        "/etc/ssl",
        "/etc/pki",
        "/etc/ca-certificates",
        "/usr/share/ca-certificates",
        "/usr/local/share/ca-certificates",
        "/run/systemd/resolve",
};

static int step_failed(int error, const char *step, Error *reterr_error) {
        return error_set(reterr_error, error, "SandboxFailed", "Cannot enter the sandbox: %s: %m", step);
}

#define STEP(call, what)                                              \
        do {                                                          \
                if ((call) < 0)                                       \
                        return step_failed(-errno, what, reterr_error); \
        } while (0)

/* Never above what we have: raising would need CAP_SYS_RESOURCE. */
static int limit(int resource, uint64_t max) {
        struct rlimit l;

        if (getrlimit((__rlimit_resource_t) resource, &l) < 0)
                return -1;
        l.rlim_cur = l.rlim_max = MIN(l.rlim_max, (rlim_t) max);
        return setrlimit((__rlimit_resource_t) resource, &l);
}

static int apply_limits(SandboxProfile profile, Error *reterr_error) {
        STEP(limit(RLIMIT_CORE, 0), "limiting core dumps");
        STEP(limit(RLIMIT_NOFILE, NOFILE_MAX), "limiting descriptors");
        STEP(limit(RLIMIT_FSIZE, EXTRACT_FILE_SIZE_MAX), "limiting file sizes");
        STEP(limit(RLIMIT_AS, profile == SANDBOX_FETCH ? FETCH_ADDRESS_SPACE_MAX : UNPACK_ADDRESS_SPACE_MAX),
             "limiting memory");
        return 0;
}

static bool cap_in(cap_value_t c, const cap_value_t *keep, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (keep[i] == c)
                        return true;
        return false;
}

static int drop_bounding_set(const cap_value_t *keep, size_t n, Error *reterr_error) {
        for (cap_value_t c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++)
                if (!cap_in(c, keep, n))
                        STEP(prctl(PR_CAPBSET_DROP, c), "dropping the capability bounding set");
        return 0;
}

/* Of keep, what we have: a host that grants moored less gets a helper with less. */
static int keep_capabilities(const cap_value_t *keep, size_t n, Error *reterr_error) {
        cap_t now = cap_get_proc(), next = cap_init();
        int r = now && next ? 0 : -1;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                cap_flag_value_t have = CAP_CLEAR;

                r = cap_get_flag(now, keep[i], CAP_PERMITTED, &have);
                if (r < 0 || have == CAP_CLEAR)
                        continue;
                if (cap_set_flag(next, CAP_PERMITTED, 1, &keep[i], CAP_SET) < 0 ||
                    cap_set_flag(next, CAP_EFFECTIVE, 1, &keep[i], CAP_SET) < 0)
                        r = -1;
        }
        if (r >= 0)
                r = cap_set_proc(next);
        r = r < 0 ? -errno : 0;
        if (now)
                cap_free(now);
        if (next)
                cap_free(next);

        return r < 0 ? step_failed(r, "dropping capabilities", reterr_error) : 0;
}

/* A credential change clears the death signal that moored's spawn has set. */
static int die_with(pid_t parent, Error *reterr_error) {
        STEP(prctl(PR_SET_PDEATHSIG, SIGKILL), "asking for the parent's death signal");
        if (getppid() != parent)
                return step_failed(-ESRCH, "moored is gone", reterr_error);
        return 0;
}

static int last_steps(SandboxProfile profile, pid_t parent, Error *reterr_error) {
        int r;

        r = die_with(parent, reterr_error);
        if (r < 0)
                return r;
        STEP(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
        r = apply_limits(profile, reterr_error);
        if (r < 0)
                return r;
        r = sandbox_load_seccomp(profile);
        if (r < 0)
                return step_failed(r, "loading the system call filter", reterr_error);
        return 0;
}

/* What libraries read or load at first use they have to load from the host, not from a tree that an archive
 * fills. */
static int warm_up(Error *reterr_error) {
        char digest[DIGEST_STRING_MAX];
        int r;

        for (DigestAlgorithm a = 0; a < _DIGEST_ALGORITHM_MAX; a++) {
                r = digest_of_bytes(a, "", 0, digest);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot compute digests: %m");
        }
        return 0;
}

static int new_namespaces(bool network, Error *reterr_error) {
        STEP(unshare(CLONE_NEWNS | CLONE_NEWIPC | (network ? 0 : CLONE_NEWNET)), "making namespaces");
        STEP(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "making mounts private");
        return 0;
}

/* A detached copy of the mount at path, that tree alone. -1 with errno. */
static int clone_mount(const char *path, uint64_t attributes) {
        struct mount_attr attr = { .attr_set = attributes };
        _cleanup_close_ int fd = -EBADF;

        fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return -1;
        return TAKE_FD(fd);
}

/* The working directory, a mount's root, becomes the root; the old one goes away. */
static int pivot(Error *reterr_error) {
        STEP(syscall(SYS_pivot_root, ".", "."), "changing the root");
        STEP(umount2(".", MNT_DETACH), "detaching the host's file systems");
        STEP(chdir("/"), "going to the new root");
        return 0;
}

/* One layer alone is no matter for overlayfs. Whiteouts in it are seen then, as the device nodes that they
 * are. */
static int open_lower(const char *lower, Error *reterr_error) {
        const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                    MOUNT_ATTR_NOEXEC;
        _cleanup_free_ char *options = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (!strchr(lower, ':')) {
                STEP(fd = clone_mount(lower, attributes), "binding the layer below");
                return TAKE_FD(fd);
        }

        options = strjoin("lowerdir=", lower);
        if (!options)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (strlen(options) > SANDBOX_LOWER_MAX)
                return error_set(reterr_error, -E2BIG, "LimitsExceeded",
                                 "The image has too many layers for one overlay mount: their names take "
                                 "%zu bytes of %u",
                                 strlen(options), SANDBOX_LOWER_MAX);
        STEP(mount("overlay", VIEW_ROOT, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options),
             "mounting the layers below");
        STEP(fd = clone_mount(VIEW_ROOT, attributes), "binding the layers below");
        STEP(umount2(VIEW_ROOT, MNT_DETACH), "detaching the layers below");
        return TAKE_FD(fd);
}

/* From the working directory, and back to it. */
static int view_lower(const char *lower, int *ret, Error *reterr_error) {
        _cleanup_close_ int here = -EBADF, fd = -EBADF;

        STEP(here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), "opening the directory");
        STEP(chdir(SANDBOX_LOWER_BASE), "going to the layers below");
        fd = open_lower(lower, reterr_error);
        if (fd < 0)
                return fd;
        STEP(fchdir(here), "going back to the directory");

        *ret = TAKE_FD(fd);
        return 0;
}

static int enter_directory(int dir_fd, SandboxProfile profile, const char *lower, int *ret_root_fd,
                           int *ret_lower_fd, Error *reterr_error) {
        const cap_value_t *caps = profile == SANDBOX_UNPACK ? unpack_caps : remove_caps;
        size_t n_caps = profile == SANDBOX_UNPACK   ? ELEMENTSOF(unpack_caps)
                        : profile == SANDBOX_REMOVE ? ELEMENTSOF(remove_caps)
                                                    : 0;
        _cleanup_close_ int tree_fd = -EBADF, root_fd = -EBADF, lower_fd = -EBADF;
        pid_t parent = getppid();
        int r;

        if (profile == SANDBOX_UNPACK) { /* the others hash nothing */
                r = warm_up(reterr_error);
                if (r < 0)
                        return r;
        }
        STEP(fchdir(dir_fd), "going to the directory");
        safe_close(dir_fd);
        r = new_namespaces(false, reterr_error);
        if (r < 0)
                return r;

        if (lower) {
                r = view_lower(lower, &lower_fd, reterr_error);
                if (r < 0)
                        return r;
        }
        STEP(tree_fd = clone_mount(".", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
             "binding the directory");
        STEP(move_mount(tree_fd, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH), "mounting the directory");
        STEP(fchdir(tree_fd), "going to the mounted directory");
        tree_fd = safe_close(tree_fd);
        r = pivot(reterr_error);
        if (r < 0)
                return r;
        STEP(root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "opening the new root");

        r = drop_bounding_set(caps, n_caps, reterr_error);
        if (r < 0)
                return r;
        r = keep_capabilities(caps, n_caps, reterr_error);
        if (r < 0)
                return r;
        r = last_steps(profile, parent, reterr_error);
        if (r < 0)
                return r;

        *ret_root_fd = TAKE_FD(root_fd);
        if (lower)
                *ret_lower_fd = TAKE_FD(lower_fd);
        return 0;
}

int sandbox_enter_directory(int dir_fd, SandboxProfile profile, int *ret_root_fd, Error *reterr_error) {
        return enter_directory(dir_fd, profile, NULL, ret_root_fd, NULL, reterr_error);
}

int sandbox_enter_layer(int dir_fd, const char *lower, int *ret_root_fd, int *ret_lower_fd,
                        Error *reterr_error) {
        return enter_directory(dir_fd, SANDBOX_UNPACK, lower, ret_root_fd, ret_lower_fd, reterr_error);
}

/* Attaches a detached mount below the working directory under the same path. */
static int attach(int mount_fd, const char *path, Error *reterr_error) {
        const char *rel = path + strspn(path, "/"), *slash = strrchr(rel, '/');
        _cleanup_free_ char *parent = NULL;
        _cleanup_close_ int here = -EBADF, file = -EBADF;
        struct stat st;

        STEP(here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), "opening the new root");
        parent = slash ? strndup(rel, (size_t) (slash - rel)) : NULL;
        if (slash && (!parent || mkdirat_p(here, parent, 0755) < 0))
                return step_failed(-ENOMEM, "making the view of the host", reterr_error);

        STEP(fstat(mount_fd, &st), "looking at the host's files");
        if (S_ISDIR(st.st_mode))
                STEP(mkdirat(here, rel, 0755), "making the view of the host");
        else
                STEP(file = openat(here, rel, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644),
                     "making the view of the host");

        STEP(move_mount(mount_fd, "", here, rel, MOVE_MOUNT_F_EMPTY_PATH), "mounting the view of the host");
        return 0;
}

static int clone_paths(const char *const *paths, size_t n, int *fds, Error *reterr_error) {
        for (size_t i = 0; i < n; i++) {
                fds[i] = clone_mount(paths[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
                if (fds[i] < 0 && errno != ENOENT && errno != ENOTDIR)
                        return error_set(reterr_error, -errno, "SandboxFailed",
                                         "Cannot enter the sandbox: binding %s: %m", paths[i]);
        }
        return 0;
}

static void close_all(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                safe_close(fds[i]);
}

static int attach_paths(const char *const *paths, size_t n, int *fds, Error *reterr_error) {
        for (size_t i = 0; i < n; i++) {
                int r = fds[i] >= 0 ? attach(fds[i], paths[i], reterr_error) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* All sources are taken before the tmpfs covers /run, where some of them are. */
static int build_view(bool network, Error *reterr_error) {
        int fds[ELEMENTSOF(view_paths)], network_fds[ELEMENTSOF(view_network_paths)], r;
        mode_t mask;

        memset(fds, 0xff, sizeof(fds));
        memset(network_fds, 0xff, sizeof(network_fds));
        r = clone_paths(view_paths, ELEMENTSOF(view_paths), fds, reterr_error);
        if (r >= 0 && network)
                r = clone_paths(view_network_paths, ELEMENTSOF(view_network_paths), network_fds,
                                reterr_error);

        mask = umask(0022);
        if (r >= 0 &&
            (mount("tmpfs", VIEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=1m") < 0 ||
             chdir(VIEW_ROOT) < 0))
                r = step_failed(-errno, "mounting an empty root", reterr_error);
        if (r >= 0)
                r = attach_paths(view_paths, ELEMENTSOF(view_paths), fds, reterr_error);
        if (r >= 0)
                r = attach_paths(view_network_paths, ELEMENTSOF(view_network_paths), network_fds,
                                 reterr_error);
        (void) umask(mask);

        close_all(fds, ELEMENTSOF(fds));
        close_all(network_fds, ELEMENTSOF(network_fds));
        return r;
}

static int become_user(uid_t uid, gid_t gid, Error *reterr_error) {
        int r;

        r = drop_bounding_set(NULL, 0, reterr_error);
        if (r < 0)
                return r;
        STEP(setgroups(0, NULL), "dropping groups");
        STEP(setresgid(gid, gid, gid), "changing the group");
        STEP(setresuid(uid, uid, uid), "changing the user");
        return keep_capabilities(NULL, 0, reterr_error);
}

int sandbox_enter_user(SandboxProfile profile, Error *reterr_error) {
        bool network = profile == SANDBOX_FETCH;
        pid_t parent = getppid();
        struct passwd *pw;
        uid_t uid;
        gid_t gid;
        int r;

        pw = getpwnam(MOORED_FETCH_USER);
        if (!pw)
                return error_set(reterr_error, -ESRCH, "NoSuchUser",
                                 "The system user " MOORED_FETCH_USER
                                 " does not exist: run systemd-sysusers");
        uid = pw->pw_uid;
        gid = pw->pw_gid;
        if (uid == 0 || gid == 0)
                return error_set(reterr_error, -EPERM, "SandboxFailed",
                                 "The user " MOORED_FETCH_USER " must not be root");

        r = warm_up(reterr_error);
        if (r < 0)
                return r;
        r = new_namespaces(network, reterr_error);
        if (r < 0)
                return r;
        r = build_view(network, reterr_error);
        if (r < 0)
                return r;
        r = pivot(reterr_error);
        if (r < 0)
                return r;
        STEP(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                   NULL),
             "making the root read-only");

        r = become_user(uid, gid, reterr_error);
        if (r < 0)
                return r;
        return last_steps(profile, parent, reterr_error);
}
