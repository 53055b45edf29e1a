/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* events: what a container uses, at intervals, and that it ran out of memory: a JSON object a line. */

#include <limits.h>
#include <poll.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "runtime/container.h"

#define INTERVAL_DEFAULT (5 * USEC_PER_SEC)
#define MEMORY_EVENTS_MAX 4096U

typedef struct EventsOptions {
        uint64_t interval; /* µs */
        bool once;
} EventsOptions;

static int parse_events(int argc, char *argv[], EventsOptions *ret, Error *reterr_error) {
        enum { OPTION_INTERVAL = 0x100, OPTION_STATS };
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "interval", required_argument, NULL, OPTION_INTERVAL },
                { "stats", no_argument, NULL, OPTION_STATS },
                {},
        };
        int c;

        ret->interval = INTERVAL_DEFAULT;
        while ((c = command_option(argc, argv, "+:h", options, reterr_error)) > 0)
                if (c == OPTION_STATS)
                        ret->once = true;
                else if (parse_sec(optarg, &ret->interval) < 0 || ret->interval == 0 ||
                         ret->interval == USEC_INFINITY)
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--interval=%s: expected a time such as 5s or 1m30s.", optarg);
        return c < 0 ? c : command_check_arguments(argc, argv, 1, 1, reterr_error);
}

/* data is taken over; NULL: none. */
static int print_event(const char *type, const char *id, json_t *data, Error *reterr_error) {
        _cleanup_json_ json_t *o = json_pack("{s:s, s:s, s:o*}", "type", type, "id", id, "data", data);
        _cleanup_free_ char *text = o ? json_dump(o, false) : NULL;

        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (puts(text) < 0 || fflush(stdout) != 0)
                return error_set_errno(reterr_error, -errno, "Cannot write to stdout: %m");
        return 0;
}

static int print_stats(const Cgroup *cgroup, const char *id, Error *reterr_error) {
        json_t *data;
        int r;

        r = cgroup_stats(cgroup, &data, reterr_error);
        return r < 0 ? r : print_event("stats", id, data, reterr_error);
}

/* How often the kernel has killed for memory here; 0 also where nobody counts. */
static uint64_t count_oom_kills(int cgroup_fd) {
        _cleanup_free_ char *text = NULL;
        const char *p;

        if (read_file_at(cgroup_fd, "memory.events", MEMORY_EVENTS_MAX, &text, NULL) < 0)
                return 0;
        p = strstr(text, "\noom_kill ");
        return p ? strtoull(p + strlen("\noom_kill "), NULL, 10) : 0;
}

/* A descriptor that is readable when memory.events has changed; -ENOENT without the controller. */
static int watch_memory(const Cgroup *cgroup) {
        _cleanup_free_ char *path = strjoin(CGROUP_ROOT, cgroup->path, "/memory.events");
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        if (!path)
                return -ENOMEM;
        if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static void drain(int fd) {
        char buf[4096];

        while (read(fd, buf, sizeof(buf)) > 0)
                ;
}

/* Until init has ended. */
static int follow(const Container *c, const Cgroup *cgroup, uint64_t interval, Error *reterr_error) {
        _cleanup_close_ int pidfd = -EBADF, memory_fd = -EBADF, cgroup_fd = -EBADF;
        uint64_t next = now_usec(CLOCK_MONOTONIC) + interval, seen;
        int r;

        pidfd = state_pidfd(&c->state);
        if (pidfd < 0)
                return pidfd == -ESRCH ? 0 : error_set_errno(reterr_error, pidfd, "Cannot watch init: %m");
        cgroup_fd = cgroup_open(cgroup);
        memory_fd = watch_memory(cgroup);
        seen = count_oom_kills(cgroup_fd);

        for (;;) {
                struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
                                      { .fd = memory_fd, .events = POLLIN } };
                uint64_t now = now_usec(CLOCK_MONOTONIC), left = next > now ? next - now : 0, kills;

                /* Rounded up; a longer time than an int has is waited for in parts. */
                left = (left + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
                if (poll(p, ELEMENTSOF(p), left > INT_MAX ? INT_MAX : (int) left) < 0 && errno != EINTR)
                        return error_set_errno(reterr_error, -errno, "Cannot wait: %m");

                /* First what the kernel has counted: it may be why init ended. */
                drain(memory_fd);
                for (kills = count_oom_kills(cgroup_fd); seen < kills; seen++) {
                        r = print_event("oom", c->state.id, NULL, reterr_error);
                        if (r < 0)
                                return r;
                }
                if (p[0].revents != 0)
                        return 0;

                now = now_usec(CLOCK_MONOTONIC);
                if (now >= next) {
                        r = print_stats(cgroup, c->state.id, reterr_error);
                        if (r < 0)
                                return r;
                        next = now + interval;
                }
        }
}

int command_events(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        EventsOptions o = {};
        Cgroup cgroup;
        int r;

        r = parse_events(argc, argv, &o, reterr_error);
        if (r < 0)
                return r;
        r = container_open(g, argv[optind], false, &c, reterr_error);
        if (r < 0)
                return r;
        if (container_status(&c) == CONTAINER_STOPPED)
                return error_set(reterr_error, -ESRCH, "InvalidState",
                                 "There are no events of \"%s\": container not running.", c.state.id);
        if (!c.state.cgroup_path)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "Container \"%s\" has no cgroup: nothing is counted for it.", c.state.id);

        cgroup = container_cgroup(g, &c);
        if (o.once)
                return print_stats(&cgroup, c.state.id, reterr_error);
        return follow(&c, &cgroup, o.interval, reterr_error);
}
