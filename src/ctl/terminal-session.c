/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A terminal that takes nothing for a while (somebody marks text in it) must not make the container wait,
 * nor have moored drop us: so output is read on into a buffer, and written without waiting, by a description
 * of our own, as O_NONBLOCK would be everybody's who has the same one. */

#include "ctl/terminal-session.h"

#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "ctl/detach-keys.h"
#include "ctl/terminal.h"

#define OUTPUT_BUFFER (512U * 1024)
#define INPUT_CHUNK 1024U
#define PACKET_MAX 4096U      /* as org.moored1.Container has it */
#define END_OF_TRANSMISSION 4 /* Ctrl-D */

struct TerminalSession {
        sd_event *event;
        TerminalSessionSpec spec;
        DetachKeys keys;
        int sock, out;
        sd_event_source *sock_source, *in_source, *out_source, *size_source;
        struct termios modes;
        bool raw, started;
        bool in_ended, sock_ended;
        bool known;        /* something has been shown */
        uint64_t position; /* of what comes next */
        char last;         /* byte of the input */
        char in_buffer[INPUT_CHUNK + DETACH_KEYS_MAX + 2];
        size_t in_begin, in_end;
        size_t out_begin, out_end;
        char out_buffer[OUTPUT_BUFFER];
};

static void disconnect(TerminalSession *s) {
        s->sock_source = sd_event_source_disable_unref(s->sock_source);
        s->sock = safe_close(s->sock);
}

TerminalSession *terminal_session_free(TerminalSession *s) {
        if (!s)
                return NULL;

        disconnect(s);
        sd_event_source_disable_unref(s->in_source);
        sd_event_source_disable_unref(s->out_source);
        sd_event_source_disable_unref(s->size_source);
        if (s->raw)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &s->modes);
        safe_close(s->out);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

static void set_events(sd_event_source *s, bool in, bool out) {
        if (s)
                (void) sd_event_source_set_io_events(s, (in ? (uint32_t) EPOLLIN : 0U) |
                                                                        (out ? (uint32_t) EPOLLOUT : 0U));
}

/* -- output -- */

static void update(TerminalSession *s) {
        bool pending = s->in_begin < s->in_end, waiting = s->out_begin < s->out_end;

        set_events(s->sock_source, !s->sock_ended && OUTPUT_BUFFER - s->out_end >= PACKET_MAX, pending);
        if (s->out_source)
                (void) sd_event_source_set_enabled(s->out_source, waiting ? SD_EVENT_ON : SD_EVENT_OFF);
        if (s->in_source)
                (void) sd_event_source_set_enabled(s->in_source,
                                                   s->started && !s->in_ended && !pending && s->sock >= 0
                                                                   ? SD_EVENT_ON
                                                                   : SD_EVENT_OFF);
        if (!waiting && s->sock_ended && s->sock >= 0) {
                disconnect(s);
                s->spec.ended(false, s->spec.userdata);
        }
}

static void write_output(TerminalSession *s) {
        while (s->out_begin < s->out_end) {
                ssize_t n = write(s->out, s->out_buffer + s->out_begin, s->out_end - s->out_begin);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                /* The window is gone: the container shall not notice. */
                s->out_begin = n < 0 ? s->out_end : s->out_begin + (size_t) n;
        }
        if (s->out_begin == s->out_end)
                s->out_begin = s->out_end = 0;
        else if (s->out_begin > OUTPUT_BUFFER / 2) {
                memmove(s->out_buffer, s->out_buffer + s->out_begin, s->out_end - s->out_begin);
                s->out_end -= s->out_begin;
                s->out_begin = 0;
        }
}

static void read_sock(TerminalSession *s) {
        uint64_t position;
        struct iovec iov[] = { { &position, sizeof(position) }, { s->out_buffer + s->out_end, PACKET_MAX } };
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };
        size_t skip = 0;
        ssize_t n;

        if (OUTPUT_BUFFER - s->out_end < PACKET_MAX)
                return;
        n = recvmsg(s->sock, &m, MSG_DONTWAIT);
        if (n < (ssize_t) sizeof(position)) {
                s->sock_ended = n >= 0 || (errno != EAGAIN && errno != EINTR);
                return;
        }
        n -= (ssize_t) sizeof(position);
        position = le64toh(position);
        /* A moored that was killed does not know whether it had sent this. */
        if (s->known && position < s->position)
                skip = (size_t) MIN(s->position - position, (uint64_t) n);
        memmove(s->out_buffer + s->out_end, s->out_buffer + s->out_end + skip, (size_t) n - skip);
        s->out_end += (size_t) n - skip;
        s->position = MAX(s->position, position + (size_t) n);
        s->known = true;
}

static int on_out(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TerminalSession *s = userdata;

        write_output(s);
        update(s);
        return 0;
}

/* -- input -- */

static void write_input(TerminalSession *s) {
        while (s->in_begin < s->in_end) {
                ssize_t n = send(s->sock, s->in_buffer + s->in_begin, s->in_end - s->in_begin,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                s->in_begin = n < 0 ? s->in_end : s->in_begin + (size_t) n;
        }
        s->in_begin = s->in_end = 0;
        if (s->in_ended && s->sock >= 0)
                (void) shutdown(s->sock, SHUT_WR);
}

/* Of a file or a pipe: what is at the other end is a terminal, which has a key for it. It has to be pressed
 * twice where the line is not empty. */
static void end_input(TerminalSession *s) {
        s->in_ended = true;
        if (isatty(STDIN_FILENO))
                return;
        if (s->last != '\n' && s->last != 0)
                s->in_buffer[s->in_end++] = END_OF_TRANSMISSION;
        s->in_buffer[s->in_end++] = END_OF_TRANSMISSION;
}

/* False: it has been left. */
static bool read_input(TerminalSession *s) {
        char typed[INPUT_CHUNK];
        bool detached = false;
        ssize_t n;

        n = read(STDIN_FILENO, typed, sizeof(typed));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return true;
        if (n <= 0) {
                end_input(s);
                return true;
        }
        s->last = typed[n - 1];
        s->in_end = detach_keys_filter(&s->keys, typed, (size_t) n, s->in_buffer, &detached);
        return !detached;
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TerminalSession *s = userdata;
        bool stays = read_input(s);

        write_input(s);
        if (!stays) {
                disconnect(s);
                s->spec.ended(true, s->spec.userdata);
                return 0;
        }
        update(s);
        return 0;
}

static int on_input_file(sd_event_source *source, void *userdata) {
        return on_input(source, STDIN_FILENO, EPOLLIN, userdata);
}

static int on_sock(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TerminalSession *s = userdata;

        if (revents & EPOLLOUT)
                write_input(s);
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_sock(s);
        /* What is shown may be answered at once: also before the call that started it has returned. */
        if (s->out_begin < s->out_end && terminal_session_start(s) < 0)
                s->started = true; /* then as it is */
        write_output(s);
        update(s);
        return 0;
}

/* -- the window -- */

static int on_size(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        TerminalSession *s = userdata;
        unsigned rows, columns;

        if (s->sock >= 0 && terminal_window_size(&rows, &columns))
                s->spec.resized(rows, columns, s->spec.userdata);
        return 0;
}

static int watch_size(TerminalSession *s) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGWINCH);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        return sd_event_add_signal(s->event, &s->size_source, SIGWINCH, on_size, s);
}

static int watch_input(TerminalSession *s) {
        int r;

        r = sd_event_add_io(s->event, &s->in_source, STDIN_FILENO, EPOLLIN, on_input, s);
        if (r == -EPERM) /* a file, which can always be read */
                r = sd_event_add_defer(s->event, &s->in_source, on_input_file, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->in_source, SD_EVENT_OFF);
}

static int watch_output(TerminalSession *s) {
        char path[PROC_FD_PATH_MAX];
        int r;

        s->out = open(proc_fd_path(path, STDOUT_FILENO),
                      O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_APPEND);
        if (s->out < 0) {
                /* A socket, or somebody else's: then it is waited for. */
                s->out = fd_dup(STDOUT_FILENO);
                return s->out < 0 ? s->out : 0;
        }
        r = sd_event_add_io(s->event, &s->out_source, s->out, EPOLLOUT, on_out, s);
        if (r == -EPERM)
                return 0;
        return r < 0 ? r : sd_event_source_set_enabled(s->out_source, SD_EVENT_OFF);
}

/* Who only looks keeps the keys that end us; but what is shown has been processed by the container's
 * terminal. */
static int make_raw(TerminalSession *s) {
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &s->modes) < 0)
                return 0;
        raw = s->modes;
        if (s->spec.input)
                cfmakeraw(&raw);
        else {
                raw.c_oflag &= ~(tcflag_t) OPOST;
                raw.c_lflag &= ~(tcflag_t) ECHO;
        }
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
                return -errno;
        s->raw = true;
        return 0;
}

int terminal_session_new(sd_event *event, const TerminalSessionSpec *spec, TerminalSession **ret,
                         Error *reterr_error) {
        _cleanup_(terminal_session_freep) TerminalSession *s = NULL;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return error_oom(reterr_error);
        s->event = sd_event_ref(event);
        s->spec = *spec;
        s->sock = s->out = -EBADF;
        r = detach_keys_parse(spec->detach_keys ?: DETACH_KEYS_DEFAULT, &s->keys, reterr_error);
        if (r < 0)
                return r;
        r = watch_output(s);
        if (r >= 0 && spec->input)
                r = watch_input(s);
        if (r >= 0)
                r = watch_size(s);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot use this terminal: %m");
        *ret = TAKE_PTR(s);
        return 0;
}

int terminal_session_connect(TerminalSession *s, int sock) {
        int r;

        disconnect(s);
        s->sock = sock;
        s->sock_ended = false;
        r = sd_event_add_io(s->event, &s->sock_source, s->sock, EPOLLIN, on_sock, s);
        if (r < 0)
                return r;
        if (!s->spec.input)
                (void) shutdown(s->sock, SHUT_WR);
        write_input(s);
        update(s);
        return 0;
}

int terminal_session_start(TerminalSession *s) {
        int r;

        if (s->started)
                return 0;
        r = make_raw(s);
        if (r < 0)
                return r;
        s->started = true;
        update(s);
        return 0;
}

int terminal_session_pair(TerminalSession *s, int *ret_sock) {
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r = terminal_session_connect(s, pair[0]);
        if (r < 0) {
                safe_close(pair[1]);
                return r;
        }
        *ret_sock = pair[1];
        return 0;
}
