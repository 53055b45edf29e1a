/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* End of file is not waited for: PID 1 keeps the descriptors of a unit's stdio as long as the unit is
 * loaded, which may be longer than the container lives. It need not be: the kernel lets the init of a pid
 * namespace be reaped only after all its other processes, so once moored has told the exit there is no
 * writer left, and what they wrote is in the pipe. */

#include "ctl/stdio-copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"

#define OUTPUT_CHUNK (64U * 1024)
#define INPUT_CHUNK 4096U

typedef struct OutputCopy {
        int pipe, target; /* target borrowed; -EBADF: write error, the bytes are thrown away */
        sd_event_source *source;
} OutputCopy;

struct StdioCopy {
        int fds[3];
        bool owned[3];
        OutputCopy out[2];
        /* terminal → pipe */
        int in_pipe;
        sd_event_source *in_source, *in_room;
        char in_buffer[INPUT_CHUNK];
        size_t in_start, in_end;
        void (*in_ended)(void *userdata);
        void *userdata;
};

static void output_done(OutputCopy *o) {
        sd_event_source_disable_unref(o->source);
        o->source = NULL;
        o->pipe = safe_close(o->pipe);
}

static void input_done(StdioCopy *s) {
        sd_event_source_disable_unref(s->in_source);
        sd_event_source_disable_unref(s->in_room);
        s->in_source = s->in_room = NULL;
        s->in_pipe = safe_close(s->in_pipe);
}

StdioCopy *stdio_copy_free(StdioCopy *s) {
        if (!s)
                return NULL;
        stdio_copy_release(s);
        output_done(&s->out[0]);
        output_done(&s->out[1]);
        input_done(s);
        free(s);
        return NULL;
}

const int *stdio_copy_fds(const StdioCopy *s) {
        return s->fds;
}

void stdio_copy_release(StdioCopy *s) {
        for (size_t i = 0; i < 3; i++) {
                if (s->owned[i])
                        safe_close(s->fds[i]);
                s->owned[i] = false;
                s->fds[i] = -EBADF;
        }
}

/* Bytes read; 0 at the end of file, -EAGAIN when the pipe is empty. */
static ssize_t output_copy_chunk(OutputCopy *o) {
        char buffer[OUTPUT_CHUNK];
        ssize_t n;

        n = read(o->pipe, buffer, sizeof buffer);
        if (n < 0)
                return -errno;
        if (n > 0 && o->target >= 0 && write_full(o->target, buffer, (size_t) n) < 0)
                o->target = -EBADF; /* the terminal was hung up; the container shall not notice */
        return n;
}

static int output_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        OutputCopy *o = userdata;
        ssize_t n = output_copy_chunk(o);

        if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR))
                output_done(o);
        return 0;
}

/* Room came into being in the pipe, or there was some. */
static int input_flush(StdioCopy *s) {
        while (s->in_start < s->in_end) {
                ssize_t n = write(s->in_pipe, s->in_buffer + s->in_start, s->in_end - s->in_start);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                s->in_start += (size_t) n;
        }
        return 0;
}

static int input_on_room(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        StdioCopy *s = userdata;
        int r;

        r = input_flush(s);
        if (r == -EAGAIN)
                return 0;
        if (r < 0) { /* EPIPE: nobody reads it any more */
                input_done(s);
                return 0;
        }
        (void) sd_event_source_set_enabled(s->in_room, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->in_source, SD_EVENT_ON);
        return 0;
}

static int input_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        StdioCopy *s = userdata;
        ssize_t n;

        n = read(fd, s->in_buffer, sizeof s->in_buffer);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) { /* Ctrl-D, or hung up */
                input_done(s);
                if (s->in_ended)
                        s->in_ended(s->userdata);
                return 0;
        }
        s->in_start = 0;
        s->in_end = (size_t) n;
        (void) sd_event_source_set_enabled(s->in_source, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->in_room, SD_EVENT_ON);
        return input_on_room(s->in_room, s->in_pipe, revents, s);
}

static int input_on_file(sd_event_source *source, void *userdata) {
        return input_on_io(source, STDIN_FILENO, EPOLLIN, userdata);
}

static int input_watch(StdioCopy *s, sd_event *event) {
        int r;

        r = sd_event_add_io(event, &s->in_source, STDIN_FILENO, EPOLLIN, input_on_io, s);
        if (r == -EPERM) { /* a file, which can always be read */
                r = sd_event_add_defer(event, &s->in_source, input_on_file, s);
                if (r >= 0)
                        r = sd_event_source_set_enabled(s->in_source, SD_EVENT_ON);
        }
        if (r >= 0)
                r = sd_event_add_io(event, &s->in_room, s->in_pipe, EPOLLOUT, input_on_room, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->in_room, SD_EVENT_OFF);
        return r;
}

static int input_new(StdioCopy *s, sd_event *event) {
        int p[2], r;

        if (!isatty(STDIN_FILENO)) {
                s->fds[STDIN_FILENO] = STDIN_FILENO;
                return 0;
        }
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        s->fds[STDIN_FILENO] = p[0];
        s->owned[STDIN_FILENO] = true;
        s->in_pipe = p[1];
        r = fd_set_nonblock(s->in_pipe, true);
        return r < 0 ? r : input_watch(s, event);
}

static int output_new(StdioCopy *s, sd_event *event, int fd) {
        OutputCopy *o = &s->out[fd - STDOUT_FILENO];
        int p[2], r;

        if (!isatty(fd)) {
                s->fds[fd] = fd;
                return 0;
        }
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        s->fds[fd] = p[1];
        s->owned[fd] = true;
        o->pipe = p[0];
        o->target = fd;
        r = fd_set_nonblock(o->pipe, true);
        if (r < 0)
                return r;
        return sd_event_add_io(event, &o->source, o->pipe, EPOLLIN, output_on_io, o);
}

static bool same_terminal(int a, int b) {
        struct stat x, y;

        return isatty(a) && isatty(b) && fstat(a, &x) >= 0 && fstat(b, &y) >= 0 && x.st_rdev == y.st_rdev;
}

static StdioCopy *stdio_copy_allocate(void) {
        StdioCopy *s = calloc(1, sizeof(StdioCopy));

        if (!s)
                return NULL;
        s->in_pipe = s->out[0].pipe = s->out[1].pipe = -EBADF;
        for (size_t i = 0; i < 3; i++)
                s->fds[i] = -EBADF;
        return s;
}

int stdio_copy_new_input(sd_event *event, int pipe, void (*ended)(void *userdata), void *userdata,
                         StdioCopy **ret) {
        _cleanup_(stdio_copy_freep) StdioCopy *s = stdio_copy_allocate();
        char path[PROC_FD_PATH_MAX];
        int r;

        if (!s) {
                safe_close(pipe);
                return -ENOMEM;
        }
        /* A description of our own: not to wait is no business of others who write to it. */
        s->in_pipe = RET_NERRNO(open(proc_fd_path(path, pipe), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
        safe_close(pipe);
        if (s->in_pipe < 0)
                return s->in_pipe;
        s->in_ended = ended;
        s->userdata = userdata;
        r = input_watch(s, event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int stdio_copy_new(sd_event *event, bool input, StdioCopy **ret) {
        _cleanup_(stdio_copy_freep) StdioCopy *s = stdio_copy_allocate();
        int r;

        if (!s)
                return -ENOMEM;

        r = output_new(s, event, STDOUT_FILENO);
        if (r < 0)
                return r;
        if (same_terminal(STDOUT_FILENO, STDERR_FILENO))
                s->fds[STDERR_FILENO] = s->fds[STDOUT_FILENO];
        else {
                r = output_new(s, event, STDERR_FILENO);
                if (r < 0)
                        return r;
        }
        if (input) {
                r = input_new(s, event);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

void stdio_copy_drain(StdioCopy *s) {
        for (size_t i = 0; i < ELEMENTSOF(s->out); i++) {
                ssize_t n = 1;

                while (s->out[i].pipe >= 0 && (n > 0 || n == -EINTR))
                        n = output_copy_chunk(&s->out[i]);
                output_done(&s->out[i]);
        }
}
