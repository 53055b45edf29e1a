/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "runtime/mounts.h"
#include "runtime/terminal.h"

/* The multiplexer of the container's devpts, and nothing that an image put in its place. */
static int open_multiplexer(Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        struct statfs fs;

        fd = RET_NERRNO(open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC));
        if (fd < 0)
                return error_set_errno(
                                reterr_error, fd,
                                "process.terminal: cannot open /dev/pts/ptmx in the container: %m. It "
                                "takes a devpts mount on /dev/pts.");
        if (fstatfs(fd, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
                return error_set(reterr_error, -EPERM, "InvalidArgument",
                                 "process.terminal: /dev/pts/ptmx in the container is not devpts.");
        return TAKE_FD(fd);
}

static int set_size(int fd, unsigned rows, unsigned columns) {
        struct winsize size = { .ws_row = (unsigned short) rows, .ws_col = (unsigned short) columns };

        return rows == 0 && columns == 0 ? 0 : RET_NERRNO(ioctl(fd, TIOCSWINSZ, &size));
}

/* A file of its own in /dev: what an image has there is not followed, and nothing else is covered. */
static int open_console(Error *reterr_error) {
        _cleanup_close_ int root = -EBADF, dev = -EBADF, fd = -EBADF;
        struct stat st;

        root = RET_NERRNO(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        dev = root < 0 ? root : open_beneath_nofollow(root, "dev", O_PATH | O_DIRECTORY, 0);
        if (dev < 0)
                return error_set_errno(reterr_error, dev, "Cannot open /dev in the container: %m");
        fd = RET_NERRNO(openat(dev, "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (fd < 0 && fd != -EEXIST && fd != -EROFS)
                return error_set_errno(reterr_error, fd, "Cannot make /dev/console in the container: %m");
        safe_close(fd);
        fd = open_beneath_nofollow(dev, "console", O_PATH, 0);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr_error, fd < 0 ? fd : -errno,
                                       "Cannot open /dev/console in the container: %m");
        if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
                return error_set(reterr_error, -EPERM, "InvalidArgument",
                                 "/dev/console in the container is neither a file nor a device.");
        return TAKE_FD(fd);
}

static int put_on_console(int slave, Error *reterr_error) {
        _cleanup_close_ int target = -EBADF, tree = -EBADF;
        int r;

        target = open_console(reterr_error);
        if (target < 0)
                return target;
        tree = mount_clone(slave, "", false);
        r = tree < 0 ? tree : mount_attach(tree, target);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot mount the terminal on /dev/console: %m");
        return 0;
}

int terminal_open(unsigned rows, unsigned columns, uid_t uid, bool console, int *ret_master,
                  Error *reterr_error) {
        _cleanup_close_ int master = -EBADF, slave = -EBADF;
        int unlock = 0, r;

        master = open_multiplexer(reterr_error);
        if (master < 0)
                return master;
        if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot unlock the terminal: %m");
        /* By descriptor: no name in the container is trusted. */
        slave = RET_NERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
        if (slave < 0)
                return error_set_errno(reterr_error, slave, "Cannot open the terminal: %m");
        r = set_size(slave, rows, columns);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot set the terminal's size: %m");
        if (fchown(slave, uid, (gid_t) -1) < 0 && errno != EPERM && errno != EINVAL)
                return error_set_errno(reterr_error, -errno, "Cannot give the terminal to user %u: %m", uid);
        if (console) {
                r = put_on_console(slave, reterr_error);
                if (r < 0)
                        return r;
        }
        if (ioctl(slave, TIOCSCTTY, 0) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot make the terminal the session's: %m");
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(slave, fd) < 0)
                        return error_set_errno(reterr_error, -errno, "Cannot use the terminal: %m");

        *ret_master = TAKE_FD(master);
        return 0;
}

int unix_connect(const char *path, const char *what, Error *reterr_error) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF, dir = -EBADF;
        char by_fd[PROC_FD_PATH_MAX];
        int r;

        fd = RET_NERRNO(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot make a socket: %m");
        if (strlen(path) < sizeof(address.sun_path))
                memcpy(address.sun_path, path, strlen(path));
        else {
                /* An address is short, a path may be long. */
                dir = RET_NERRNO(open(path, O_PATH | O_CLOEXEC));
                if (dir < 0)
                        return error_set_errno(reterr_error, dir, "Cannot open %s \"%s\": %m", what, path);
                (void) strcpy(address.sun_path, proc_fd_path(by_fd, dir));
        }
        r = RET_NERRNO(connect(fd, (struct sockaddr *) &address, sizeof(address)));
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot connect to %s \"%s\": %m", what, path);
        return TAKE_FD(fd);
}

int unix_send_fd(int sock, const char *name, int fd, const char *what, Error *reterr_error) {
        int r = send_with_fds(sock, name, strlen(name), &fd, 1, MSG_NOSIGNAL);

        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot send to %s: %m", what);
        return 0;
}

int terminal_hand_over(int master, const char *key, Error *reterr_error) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = MOORED_RUNTIME_DIR "/terminals" };
        _cleanup_close_ int fd = -EBADF;

        if (isempty(key))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "process.terminal: there is no annotation " ANNOTATION_TERMINAL ".");
        fd = RET_NERRNO(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot make a socket: %m");
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_set_errno(reterr_error, -errno, "Cannot pass the terminal to moored, which does not run: %m");
        return unix_send_fd(fd, key, master, "moored", reterr_error);
}
