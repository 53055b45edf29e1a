/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of containers, and how one goes; how one is made: container-create.c.
 *
 * The name of a unit is taken until PID 1 says that it is gone, also after the container's record went:
 * hence the manager's own table of units. */

#include <fcntl.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "container/bundle.h"
#include "container/capability.h"
#include "container/container-private.h"
#include "container/oom.h"
#include "container/record.h"
#include "container/runtimes.h"
#include "container/unit-name.h"

#define BOOT_ID_SIZE_MAX 64U
#define SECCOMP_PROFILE_PATH MOORED_VENDOR_DIR "/seccomp-default.json"

static const char *const container_state_table[_CONTAINER_STATE_MAX] = {
        [CONTAINER_CREATED] = "created", [CONTAINER_STARTING] = "starting",
        [CONTAINER_RUNNING] = "running", [CONTAINER_PAUSED] = "paused",
        [CONTAINER_STOPPING] = "stopping", [CONTAINER_RESTARTING] = "restarting",
        [CONTAINER_EXITED] = "exited",
};
DEFINE_STRING_TABLE(container_state, ContainerState);

void unit_status_done(UnitStatus *u) {
        if (!u)
                return;

        free(u->active_state);
        free(u->sub_state);
        free(u->result);
        free(u->status_text);
        free(u->invocation_id);
        free(u->control_group);
        *u = (UnitStatus){};
}

void unit_spec_done(UnitSpec *u) {
        if (!u)
                return;

        free(u->name);
        free(u->description);
        free(u->slice);
        strv_free(u->exec_start);
        strv_free(u->exec_stop_post);
        strv_free(u->exec_clean);
        strv_free(u->log_extra_fields);
        free(u->syslog_identifier);
        free(u->log);
        strv_free(u->properties);
        free(u->after);
        *u = (UnitSpec){ .stdio = CONTAINER_STDIO_NULL };
}

/* -- one container ------------------------------------------------------------------------------ */

static char *container_key(const char *ns, const char *id) {
        return strjoin(ns, "/", id);
}

int container_add_waiter(Container *c, WaiterKind kind, ContainerFunc func, void *userdata) {
        const Waiter w = { .kind = kind, .container = func, .userdata = userdata };

        return waiters_add(&c->work->waiters, &w);
}

void container_answer(Container *c, WaiterKind kinds, const Error *error) {
        waiters_call(waiters_take(&c->work->waiters, kinds), c, error);
}

void container_announce(Container *c) {
        _cleanup_strv_free_ char **interfaces = NULL;

        c->work->announced = true;
        events_notify(c->manager->events, NOTIFY_CONTAINER_ADDED, c->row.ns, c->row.id, c);
        (void) container_interface_names(c, &interfaces);
        STRV_FOREACH(name, interfaces)
                events_notify(c->manager->events, NOTIFY_INTERFACE_ADDED, c->row.ns, c->row.id, name);
}

void container_set_state(Container *c, ContainerState state) {
        c->state = state;
        container_health_follow(c);
        if (c->work->announced)
                events_notify(c->manager->events, NOTIFY_CONTAINER_CHANGED, c->row.ns, c->row.id, c);
}

int container_new(ContainerManager *m, const ContainerRow *row, const ContainerOptions *options,
                  const ContainerProcess *process, Container **ret, Error *reterr_error) {
        _cleanup_(container_freep) Container *c = NULL;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->manager = m;
        c->work = calloc(1, sizeof(*c->work));
        if (!c->work)
                return -ENOMEM;
        c->work->stdio = CONTAINER_STDIO_NULL;
        c->work->watch = -1;
        c->work->netns = -EBADF;
        c->unit = options->unit     ? strdup(options->unit)
                  : options->scope ? container_scope_name(row->ns, row->id)
                                   : container_unit_name(row->ns, row->id);
        c->command = strv_copy(process->args);
        if (!c->unit || !c->command)
                return -ENOMEM;
        if (restart_parse(options->restart, &c->restart) < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "There is no restart policy \"%s\".",
                                 options->restart);
        if (strlen(c->unit) > UNIT_NAME_LENGTH_MAX)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "The id \"%s\" is too long: its unit's name would have more than %u characters.",
                                row->id, UNIT_NAME_LENGTH_MAX);

        c->row = *row;
        c->options = *options;
        c->work->process = *process;
        c->state = row->started_usec == 0    ? CONTAINER_CREATED
                   : row->finished_usec == 0 ? CONTAINER_RUNNING
                                             : CONTAINER_EXITED;
        *ret = TAKE_PTR(c);
        return 0;
}

int container_link(Container *c) {
        _cleanup_free_ char *key = container_key(c->row.ns, c->row.id);
        ContainerManager *m = c->manager;
        int r;

        if (!key)
                return -ENOMEM;
        r = hashmap_put(m->by_unit, c->unit, c);
        if (r < 0)
                return r;
        r = hashmap_put(m->containers, key, c);
        if (r < 0)
                (void) hashmap_remove(m->by_unit, c->unit);
        return r;
}

static void container_unlink(Container *c) {
        _cleanup_free_ char *key = c->row.id ? container_key(c->row.ns, c->row.id) : NULL;

        if (c->unit && hashmap_get(c->manager->by_unit, c->unit) == c)
                (void) hashmap_remove(c->manager->by_unit, c->unit);
        if (key && hashmap_get(c->manager->containers, key) == c)
                (void) hashmap_remove(c->manager->containers, key);
}

void container_stdio_close(ContainerStdio *s) {
        safe_close(s->in);
        safe_close(s->out);
        safe_close(s->err);
        safe_close(s->terminal);
        *s = CONTAINER_STDIO_NULL;
}

Container *container_free(Container *c) {
        if (!c)
                return NULL;

        container_unlink(c);
        if (c->work) {
                _cleanup_error_ Error e = ERROR_NULL;

                if (c->work->waiters || c->execs) {
                        (void) error_set(&e, -ECANCELED, "Canceled", "moored is ending.");
                        container_forget_execs(c, &e);
                        waiters_call(waiters_take(&c->work->waiters, WAITER_ALL), NULL, &e);
                }
                if (c->manager->watch)
                        cgroup_watch_drop(c->manager->watch, c);
                container_oom_free(c);
                container_change_free(c);
                free(c->work->initial_tasks);
                sd_event_source_disable_unref(c->work->stop_timer);
                sd_event_source_disable_unref(c->work->stable_timer);
                sd_event_source_disable_unref(c->work->settle_timer);
                sd_event_source_disable_unref(c->work->remove_source);
                container_stdio_close(&c->work->stdio);
                safe_close(c->work->netns);
                error_done(&c->work->network);
                container_health_free(c->work->health);
                container_scope_done(c);
                container_process_done(&c->work->process);
                free(c->work);
        }
        container_row_done(&c->row);
        container_options_done(&c->options);
        free(c->unit);
        strv_free(c->command);
        free(c->control_group);
        strv_free(c->live_limits);
        free(c);
        return NULL;
}

/* -- the manager -------------------------------------------------------------------------------- */

static bool image_in_use(const char *ns, const char *name, char **ret_container, void *userdata) {
        ContainerManager *m = userdata;
        Container *c;

        HASHMAP_FOREACH(c, m->containers)
                if (streq(c->row.ns, ns) && streq(c->row.image, name)) {
                        if (ret_container)
                                *ret_container = strdup(c->row.id);
                        return true;
                }
        return false;
}

static int open_runtime_dir(ContainerManager *m, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF, rootfs_fd = -EBADF;
        int r;

        r = mkdirat_p(AT_FDCWD, m->runtime_dir, 0755);
        if (r >= 0)
                r = fd = openat2_full(AT_FDCWD, m->runtime_dir, O_RDONLY | O_DIRECTORY, 0, 0);
        if (r >= 0)
                r = m->containers_fd = mkdirat_open(fd, "containers", 0700);
        /* Where each launcher mounts its root, in a mount namespace of its own. */
        if (r >= 0)
                r = rootfs_fd = mkdirat_open(fd, "rootfs", 0700);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to make the directories in %s: %m",
                                       m->runtime_dir);

        return seccomp_store_new(m->event, fd, SECCOMP_PROFILE_PATH, MOORING_PATH, &m->seccomp,
                                 reterr_error);
}

static int read_boot_id(char **ret) {
        char *s;
        int r;

        r = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", BOOT_ID_SIZE_MAX, &s, NULL);
        if (r < 0)
                return r;
        s[strcspn(s, "\n")] = 0;
        *ret = s;
        return 0;
}

int container_restore_records(Store *store, const char *runtime_dir, const char *boot_id,
                              Error *reterr_error) {
        _cleanup_free_ char *path = path_join(runtime_dir, "containers");
        _cleanup_close_ int fd = -EBADF;

        if (!path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        fd = openat2_full(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, 0);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Failed to open %s: %m", path);

        return record_restore_all(store, fd, boot_id, reterr_error);
}

int container_manager_new(sd_event *event, Store *store, SnapshotManager *snapshots, ImageManager *images,
                          Events *events, const char *runtime_dir, ContainerManager **ret,
                          Error *reterr_error) {
        _cleanup_(container_manager_freep) ContainerManager *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        *m = (ContainerManager){
                .event = sd_event_ref(event),
                .store = store,
                .snapshots = snapshots,
                .images = images,
                .events = events,
                .containers = hashmap_new(),
                .by_unit = hashmap_new(),
                .execs = hashmap_new(),
                .units = hashmap_new(),
                .runtime_dir = strdup(runtime_dir),
                .containers_fd = -EBADF,
                .capabilities = capability_available_mask(),
                .stop_timeout_usec = CONTAINER_STOP_TIMEOUT_USEC,
                .network = strdup("none"),
        };
        if (!m->containers || !m->by_unit || !m->execs || !m->units || !m->runtime_dir || !m->network)
                return -ENOMEM;

        r = open_runtime_dir(m, reterr_error);
        if (r < 0)
                return r;
        r = read_boot_id(&m->boot_id);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to read the boot id: %m");

        image_manager_set_in_use(images, image_in_use, m);
        *ret = TAKE_PTR(m);
        return 0;
}

int container_manager_watch(ContainerManager *m, Error *reterr_error) {
        _cleanup_close_ int fd = cgroup_open_group("/");
        _cleanup_free_ char *controllers = NULL;
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = cgroup_watch_new(m, &m->watch);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Control groups cannot be watched: %m");
        if (fd < 0 || cgroup_read(fd, "cgroup.controllers", &controllers) < 0)
                return 0;
        l = strv_split(controllers, " ");
        m->memory_watched = strv_contains(l, "memory");
        return 0;
}

ContainerManager *container_manager_free(ContainerManager *m) {
        Container *c;

        if (!m)
                return NULL;

        HASHMAP_FOREACH(c, m->containers)
                container_free(c);
        if (m->boot_id)
                image_manager_set_in_use(m->images, NULL, NULL);
        cgroup_watch_free(m->watch);
        sd_event_source_disable_unref(m->sweep_timer);
        sd_event_source_disable_unref(m->tell_timer);
        hashmap_free(m->containers);
        hashmap_free(m->by_unit);
        hashmap_free(m->execs);
        hashmap_free(m->units);
        strv_free(m->boot_queue);
        seccomp_store_free(m->seccomp);
        safe_close(m->containers_fd);
        free(m->runtime_dir);
        free(m->boot_id);
        free(m->network);
        strv_free(m->runtimes);
        free(m->runtime);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

void container_manager_set_backend(ContainerManager *m, const UnitBackend *ops, void *backend) {
        m->backend = ops;
        m->backend_userdata = backend;
}

int container_manager_set_defaults(ContainerManager *m, uint64_t stop_timeout_usec, const char *network) {
        m->stop_timeout_usec = stop_timeout_usec;
        return free_and_strdup(&m->network, network ?: "none");
}

int container_manager_set_runtimes(ContainerManager *m, char *const *runtimes, const char *fallback) {
        char **copy = strv_copy(runtimes);

        if (!copy && runtimes)
                return -ENOMEM;
        strv_free(m->runtimes);
        m->runtimes = copy;
        return free_and_strdup(&m->runtime, fallback && streq(fallback, RUNTIME_OWN) ? NULL : fallback);
}

int container_manager_list_runtimes(ContainerManager *m, char ***ret) {
        return runtime_list(m->runtimes, ret);
}

const char *container_manager_default_runtime(ContainerManager *m) {
        return m->runtime ?: RUNTIME_OWN;
}

Container *container_find(ContainerManager *m, const char *ns, const char *id, Error *reterr_error) {
        _cleanup_free_ char *key = container_key(ns, id);
        Container *c;

        c = key ? hashmap_get(m->containers, key) : NULL;
        if (!c)
                (void) error_set(reterr_error, -ENOENT, "NoSuchContainer",
                                 "There is no container \"%s\" in namespace \"%s\".", id, ns);
        return c;
}

Container *container_find_by_unit(ContainerManager *m, const char *unit) {
        return hashmap_get(m->by_unit, unit);
}

bool container_iterate(ContainerManager *m, HashmapIterator *i, Container **ret) {
        return hashmap_iterate(m->containers, i, NULL, (void **) ret);
}

size_t container_count(ContainerManager *m, const char *ns) {
        Container *c;
        size_t n = 0;

        HASHMAP_FOREACH(c, m->containers)
                n += !ns || streq(c->row.ns, ns);
        return n;
}

bool container_id_is_valid(const char *id) {
        return !isempty(id) && strlen(id) <= CONTAINER_ID_MAX && strchr(DIGITS LOWERCASE UPPERCASE, id[0]) &&
               string_in_charset(id, DIGITS LOWERCASE UPPERCASE "_.-");
}

/* -- the end of one ----------------------------------------------------------------------------- */

static void schedule_image_garbage(Container *c) {
        ContainerManager *m = c->manager;
        Image *image = NULL;

        /* Its image's name may have gone, or moved on, long ago: then it was the last that held these
         * layers. */
        image = image_find(m->images, c->row.ns, c->row.image, NULL);
        if (!image || !streq_ptr(image->row.manifest_digest ?: image->row.digest, c->row.image_digest))
                image_schedule_garbage(m->images);
}

int container_drop(Container *c, Error *reterr_error) {
        _cleanup_transaction_ StoreTransaction t = {};
        _cleanup_strv_free_ char **interfaces = NULL;
        ContainerManager *m = c->manager;
        Waiter *waiters;
        int r;

        assert(!c->work->start_pending);

        (void) container_interface_names(c, &interfaces);
        container_network_drop(c);
        r = store_transaction_begin(&t, m->store, !c->row.auto_remove);
        if (r >= 0)
                r = store_container_remove(m->store, c->row.ns, c->row.id);
        if (r >= 0) {
                r = store_snapshot_remove(m->store, c->row.snapshot);
                if (r == -ENOENT)
                        r = 0;
        }
        if (r >= 0)
                r = events_record(m->events, c->row.ns, "container/removed", c->row.id, "Image",
                                  c->row.image, NULL);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to remove container %s: %m", c->row.id);

        container_forget_execs(c, NULL);
        container_release_unit(c);
        /* Only now: a daemon killed before the commit comes back to a container, and that has its files. */
        r = snapshot_discard_tree(m->snapshots, c->row.snapshot);
        if (r < 0)
                log_debug_errno(r, "Failed to move the files of container %s to the trash, ignoring: %m",
                                c->row.id);
        r = bundle_remove(m->containers_fd, c->row.ns, c->row.id);
        if (r < 0)
                log_debug_errno(r, "Failed to remove the bundle of container %s, ignoring: %m", c->row.id);
        schedule_image_garbage(c);
        image_schedule_trash(m->images);

        container_unlink(c);
        STRV_FOREACH(name, interfaces)
                if (c->work->announced)
                        events_notify(m->events, NOTIFY_INTERFACE_REMOVED, c->row.ns, c->row.id, name);
        if (c->work->announced)
                events_notify(m->events, NOTIFY_CONTAINER_REMOVED, c->row.ns, c->row.id, c);
        waiters = waiters_take(&c->work->waiters, WAITER_ALL);
        container_free(c);
        waiters_call(waiters, NULL, NULL);
        return 0;
}

static int on_remove(sd_event_source *s, void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        Container *c = userdata;
        int r;

        c->work->remove_source = sd_event_source_disable_unref(c->work->remove_source);
        /* The kernel has ended them, but PID 1 has not told it yet: then this is called again. */
        if (container_has_live_execs(c))
                return 0;
        r = container_drop(c, &error);
        if (r < 0) {
                log_warning("%s", error_message(&error));
                c->work->remove = false;
                container_answer(c, WAITER_REMOVE, &error);
        }
        return 0;
}

void container_schedule_drop(Container *c) {
        int r;

        if (c->work->remove_source)
                return;
        /* The runtime's `delete` wants the bundle: container_unit_gone() comes back. */
        if (c->options.runtime && c->work->released && hashmap_get(c->manager->units, c->unit))
                return;

        r = sd_event_add_defer(c->manager->event, &c->work->remove_source, on_remove, c);
        if (r < 0) {
                log_warning_errno(r, "Failed to schedule the removal of container %s, it stays: %m",
                                  c->row.id);
                return;
        }
        /* Whoever waits for the exit hears of it before files are moved about. */
        (void) sd_event_source_set_priority(c->work->remove_source, SD_EVENT_PRIORITY_IDLE);
        (void) sd_event_source_set_description(c->work->remove_source, "container-remove");
}

int container_not_running(const Container *c, Error *reterr_error) {
        const char *state = container_state_to_string(c->state), *verb = "";

        if (c->state == CONTAINER_PAUSED)
                verb = "resume";
        else if (c->state == CONTAINER_CREATED || c->state == CONTAINER_EXITED)
                verb = "start";
        if (isempty(verb) || c->work->remove)
                return error_set(reterr_error, -ESRCH, "NotRunning", "Container %s is not running, it is %s.",
                                 c->row.id, state);
        return error_set(reterr_error, -ESRCH, "NotRunning",
                         "Container %s is not running, it is %s: moorctl %s %s first.", c->row.id, state, verb,
                         c->row.id);
}

int container_remove(Container *c, bool force, ContainerFunc func, void *userdata, Error *reterr_error) {
        bool idle = (c->state == CONTAINER_CREATED || c->state == CONTAINER_EXITED) &&
                    !c->work->start_pending;
        int r;

        if (!idle && !force)
                return error_set(reterr_error, -EBUSY, "ContainerRunning",
                                 "Container %s is %s: stop it first, or remove it with force (moorctl rm -f %s).",
                                 c->row.id, container_state_to_string(c->state), c->row.id);

        if (!idle) {
                r = container_stop(c, 0, NULL, NULL, reterr_error);
                if (r < 0)
                        return r;
        }
        c->work->remove = true;
        c->work->restart = false;
        if (idle)
                container_schedule_drop(c);

        return container_add_waiter(c, WAITER_REMOVE, func, userdata);
}

int container_wait(Container *c, ContainerFunc func, void *userdata) {
        if (c->state == CONTAINER_CREATED || c->state == CONTAINER_EXITED) {
                func(c, NULL, userdata);
                return 0;
        }

        return container_add_waiter(c, WAITER_WAIT, func, userdata);
}

int container_get_spec(Container *c, char **ret, Error *reterr_error) {
        int r;

        r = bundle_read_spec(c->manager->containers_fd, c->row.ns, c->row.id, ret);
        if (r == -ENOENT) { /* the host was booted since */
                r = container_write_bundle(c, reterr_error);
                if (r < 0)
                        return r;
                r = bundle_read_spec(c->manager->containers_fd, c->row.ns, c->row.id, ret);
        }
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Failed to read the specification of container %s: %m", c->row.id);

        return 0;
}
