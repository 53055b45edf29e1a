/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One watch for each container's directory, and one descriptor for all. It is made some time after the start:
 * most short lives are over by then, and what has happened before is in the counters. The kernel notifies up
 * to a hundred times a second of a group that is at its memory limit, so after each look the descriptor
 * rests.
 *
 * PID 1 writes all files of a controller when one limit changes, hence limits are looked at only after the
 * rest, all together; and which of them have changed is for unit-limits.c to find out. */

#include <inttypes.h>
#include <limits.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "container/cgroup-watch.h"
#include "container/container-private.h"
#include "container/oom.h"
#include "container/unit-limits.h"

#define WATCH_DELAY_USEC (100 * USEC_PER_MSEC)
#define REST_USEC (100 * USEC_PER_MSEC)
#define ACCURACY_USEC (20 * USEC_PER_MSEC)
#define KEY_SIZE 16U

struct CgroupWatch {
        ContainerManager *manager; /* weak */
        int fd;
        Hashmap *containers; /* watch descriptor in decimal → Container */
        sd_event_source *io, *rest_timer, *add_timer;
};

CgroupWatch *cgroup_watch_free(CgroupWatch *w) {
        if (!w)
                return NULL;

        sd_event_source_disable_unref(w->io);
        sd_event_source_disable_unref(w->rest_timer);
        sd_event_source_disable_unref(w->add_timer);
        hashmap_free(w->containers);
        safe_close(w->fd);
        free(w);
        return NULL;
}
DEFINE_CLEANUP_FUNC(CgroupWatch *, cgroup_watch_free)

static void key_of(int wd, char key[static KEY_SIZE]) {
        (void) snprintf(key, KEY_SIZE, "%i", wd);
}

/* -- what is read ------------------------------------------------------------------------------- */

static void take_event(CgroupWatch *w, const struct inotify_event *e) {
        char key[KEY_SIZE];
        Container *c;

        key_of(e->wd, key);
        c = hashmap_get(w->containers, key);
        if (!c)
                return;
        if (e->mask & IN_IGNORED) { /* the directory is gone: its unit will tell */
                (void) hashmap_remove(w->containers, key);
                c->work->watch = -1;
                return;
        }
        if (e->len == 0)
                return;

        if (streq(e->name, "memory.events"))
                c->work->changed_memory = true;
        else if (streq(e->name, "cgroup.events"))
                c->work->changed_frozen = true;
        for (unsigned i = 0; container_limits[i].name; i++)
                if (streq(e->name, container_limits[i].file))
                        c->work->changed_limits |= UINT32_C(1) << i;
}

static void read_events(CgroupWatch *w) {
        char buffer[sizeof(struct inotify_event) + NAME_MAX + 1]
                        __attribute__((__aligned__(__alignof__(struct inotify_event))));
        ssize_t n;

        while ((n = read(w->fd, buffer, sizeof(buffer))) > 0)
                for (char *p = buffer; p < buffer + n;) {
                        struct inotify_event *e = (void *) p; /* the kernel aligns each */

                        take_event(w, e);
                        p += sizeof(*e) + e->len;
                }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
                log_debug_errno(errno, "Failed to read what control groups say, ignoring: %m");
}

/* Of those that have changed; limits too, if they are to be looked at now. */
static void work(CgroupWatch *w, bool limits) {
        Container *c;

        HASHMAP_FOREACH(c, w->containers) {
                ContainerWork *k = c->work;
                bool memory = k->changed_memory, frozen = k->changed_frozen;
                uint32_t files = limits ? k->changed_limits : 0;

                k->changed_memory = k->changed_frozen = false;
                k->changed_limits &= ~files;
                if (memory)
                        container_oom_look(c);
                if (frozen)
                        container_take_frozen(c, false);
                if (files != 0)
                        container_refresh_limits(c, files);
        }
}

static int on_rested(sd_event_source *s, uint64_t usec, void *userdata) {
        CgroupWatch *w = userdata;

        read_events(w);
        work(w, true);
        (void) sd_event_source_set_enabled(w->io, SD_EVENT_ON);
        return 0;
}

static int set_timer(CgroupWatch *w, sd_event_source **source, uint64_t usec, sd_event_time_handler_t func) {
        int r;

        if (!*source)
                return sd_event_add_time_relative(w->manager->event, source, CLOCK_MONOTONIC, usec,
                                                  ACCURACY_USEC, func, w);
        r = sd_event_source_set_time_relative(*source, usec);
        return r < 0 ? r : sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        CgroupWatch *w = userdata;

        read_events(w);
        work(w, false);
        if (set_timer(w, &w->rest_timer, REST_USEC, on_rested) >= 0)
                (void) sd_event_source_set_enabled(w->io, SD_EVENT_OFF);
        return 0;
}

/* -- who is watched ----------------------------------------------------------------------------- */

/* PID 1's default depends on the machine. */
static void note_tasks(Container *c) {
        _cleanup_close_ int fd = cgroup_open_group(c->control_group);
        uint64_t n;

        if (fd < 0 || cgroup_read_number(fd, "pids.max", &n) < 0)
                return;
        free(c->work->initial_tasks);
        c->work->initial_tasks = n == UINT64_MAX ? strdup("infinity") : strformat("%" PRIu64, n);
}

static int watch(CgroupWatch *w, Container *c) {
        _cleanup_free_ char *path = path_join("/sys/fs/cgroup", c->control_group);
        char key[KEY_SIZE];
        int wd, r;

        if (!path)
                return -ENOMEM;
        wd = inotify_add_watch(w->fd, path, IN_MODIFY | IN_ONLYDIR | IN_DONT_FOLLOW);
        if (wd < 0)
                return -errno;
        key_of(wd, key);
        r = hashmap_replace(w->containers, key, c);
        if (r < 0) {
                (void) inotify_rm_watch(w->fd, wd);
                return r;
        }
        c->work->watch = wd;
        note_tasks(c);
        /* What has happened until now. */
        container_oom_look(c);
        container_take_frozen(c, false);
        return 0;
}

static int on_add(sd_event_source *s, uint64_t usec, void *userdata) {
        CgroupWatch *w = userdata;
        Container *c;
        int r;

        HASHMAP_FOREACH(c, w->manager->containers) {
                if (!container_is_alive(c) || c->work->watch >= 0 || !c->control_group)
                        continue;
                r = watch(w, c);
                if (r < 0 && r != -ENOENT)
                        log_debug_errno(r, "Failed to watch the control group of container %s, ignoring: %m",
                                        c->row.id);
        }
        return 0;
}

void cgroup_watch_schedule(CgroupWatch *w) {
        int enabled = SD_EVENT_OFF, r;

        if (w->add_timer)
                (void) sd_event_source_get_enabled(w->add_timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        r = set_timer(w, &w->add_timer, WATCH_DELAY_USEC, on_add);
        if (r < 0)
                log_debug_errno(r, "Failed to set a timer, control groups are not watched: %m");
}

void cgroup_watch_drop(CgroupWatch *w, Container *c) {
        char key[KEY_SIZE];

        if (c->work->watch < 0)
                return;
        (void) inotify_rm_watch(w->fd, c->work->watch);
        key_of(c->work->watch, key);
        (void) hashmap_remove(w->containers, key);
        c->work->watch = -1;
        c->work->changed_memory = c->work->changed_frozen = false;
        c->work->changed_limits = 0;
}

int cgroup_watch_new(ContainerManager *m, CgroupWatch **ret) {
        _cleanup_(cgroup_watch_freep) CgroupWatch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = (CgroupWatch) { .manager = m, .containers = hashmap_new() };
        w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (w->fd < 0)
                return -errno;
        if (!w->containers)
                return -ENOMEM;
        r = sd_event_add_io(m->event, &w->io, w->fd, EPOLLIN, on_io, w);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(w->io, "cgroup-watch");

        *ret = TAKE_PTR(w);
        return 0;
}
