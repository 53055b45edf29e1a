/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of containers; how one is made and how it goes.
 *
 * Making one is a single transaction around everything that can fail: writable snapshot, specification,
 * bundle, row. What lies outside the database (directories) is undone by hand if it fails, and by recovery
 * if the daemon dies in between: a bundle or a snapshot without a row goes at the next start.
 *
 * The name of a unit is taken until PID 1 says that it is gone, also after the container's record went:
 * hence the manager's own table of units. */

#include <fcntl.h>
#include <signal.h>

#include "basic/cgroup-file.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/capability.h"
#include "container/container-private.h"
#include "container/devices.h"
#include "container/oom.h"
#include "container/record.h"
#include "container/runtimes.h"
#include "container/spec.h"
#include "container/system.h"
#include "container/unit-name.h"
#include "oci/reference.h"

#define CONTAINER_ID_RANDOM_BYTES 6U
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

void container_set_state(Container *c, ContainerState state) {
        c->state = state;
        container_health_follow(c);
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

static void stdio_done(ContainerStdio *s) {
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
                free(c->work->initial_tasks);
                sd_event_source_disable_unref(c->work->stop_timer);
                sd_event_source_disable_unref(c->work->stable_timer);
                sd_event_source_disable_unref(c->work->settle_timer);
                sd_event_source_disable_unref(c->work->remove_source);
                stdio_done(&c->work->stdio);
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

int container_write_bundle(Container *c, Error *reterr_error) {
        _cleanup_json_ json_t *devices = NULL;
        _cleanup_(snapshot_mount_done) SnapshotMount mount = {};
        _cleanup_free_ char *path = NULL, *text = NULL, *machine = NULL, *runtime = NULL, *terminal = NULL;
        const ContainerProcess *process = &c->work->process;
        char seccomp[SECCOMP_NAME_SIZE];
        ContainerManager *m = c->manager;
        uint64_t capabilities;
        bool system;
        int r;

        r = container_capabilities_resolve(&c->options, m->capabilities, &capabilities, reterr_error);
        if (r < 0)
                return r;
        if (!c->options.privileged_seccomp) {
                r = seccomp_store_get(m->seccomp, capabilities, seccomp, reterr_error);
                if (r < 0)
                        return r;
        }
        r = snapshot_get_mount(m->snapshots, c->row.snapshot, &mount, reterr_error);
        if (r < 0)
                return r;
        if (c->options.machine) {
                r = container_machine_name(c->row.ns, c->row.id, &machine, reterr_error);
                if (r < 0)
                        return r;
        }
        if (c->options.devices) {
                r = container_devices_resolve(c->options.devices, &devices, NULL, reterr_error);
                if (r < 0)
                        return r;
        }
        r = runtime_find(m->runtimes, c->options.runtime, &runtime, reterr_error);
        if (r < 0)
                return r;
        path = bundle_path(m->runtime_dir, c->row.ns, c->row.id);
        if (c->options.terminal)
                terminal = container_terminal_key(c);
        if (!path || (c->options.terminal && !terminal))
                return -ENOMEM;

        const SpecInput in = {
                .options = &c->options,
                .process = process,
                .mount = &mount,
                .bundle = path,
                .capabilities = capabilities,
                .devices = devices,
                .terminal = terminal,
                .seccomp = c->options.privileged_seccomp ? NULL : seccomp,
                .machine = machine,
                .stop_timeout_usec = container_stop_timeout(c),
                .runtime = runtime,
        };
        r = container_spec_build(&in, &text, reterr_error);
        if (r < 0)
                return r;

        system = container_is_system(&c->options, process->args);
        const BundleContent content = {
                .config = text,
                .hostname = process->hostname,
                .host_network = streq_ptr(c->options.network, "host"),
                .seccomp = in.seccomp,
                .seccomp_fd = seccomp_store_fd(m->seccomp),
                .host_dir = container_has_host_dir(&c->options, process->args),
                .manager = system ? strv_env_get(process->env, "container") : NULL,
                .uuid = system ? strv_env_get(process->env, "container_uuid") : NULL,
        };
        r = bundle_write(m->containers_fd, c->row.ns, c->row.id, &content, reterr_error);
        if (r < 0)
                return r;
        r = container_write_record(c);
        return r < 0 ? error_set_errno(reterr_error, r, "Failed to write the bundle of container %s: %m",
                                       c->row.id)
                     : 0;
}

int container_write_record(Container *c) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = record_build(c->manager->store, &c->row, &text);
        return r < 0 ? r : bundle_write_record(c->manager->containers_fd, c->row.ns, c->row.id, text);
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

/* -- making one --------------------------------------------------------------------------------- */

static int check_id(const char *id, Error *reterr_error) {
        if (container_id_is_valid(id))
                return 0;
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "\"%.100s\" is not a container id: letters, digits, \"_\", \".\" and \"-\" (none of "
                         "these three at the beginning), at most %u.",
                         id, CONTAINER_ID_MAX);
}

static int choose_id(ContainerManager *m, const char *ns, const char *id, const char *unit, char **ret,
                     Error *reterr_error) {
        Container *old;
        char *s;
        int r;

        if (hashmap_size(m->containers) >= CONTAINERS_MAX)
                return error_set(reterr_error, -EBUSY, "TooManyContainers",
                                 "There are %u containers; remove some.", CONTAINERS_MAX);

        if (isempty(id)) {
                do
                        s = random_hex(CONTAINER_ID_RANDOM_BYTES);
                while (s && container_find(m, ns, s, NULL));
        } else {
                r = check_id(id, reterr_error);
                if (r < 0)
                        return r;
                old = container_find(m, ns, id, NULL);
                r = old && unit ? container_check_replaceable(old, unit, reterr_error) : 0;
                if (r < 0)
                        return r;
                if (old && !unit)
                        return error_set(reterr_error, -EEXIST, "ContainerExists",
                                         "There is a container \"%s\" in namespace \"%s\" already.", id, ns);
                s = strdup(id);
        }
        if (!s)
                return -ENOMEM;

        *ret = s;
        return 0;
}

static int check_platform(const ContainerOptions *o, const Image *i, Error *reterr_error) {
        _cleanup_(platform_done) Platform wanted = {}, offered = {};
        int r;

        if (!o->platform || !i->row.platform)
                return 0;
        r = platform_parse(o->platform, &wanted, reterr_error);
        if (r < 0)
                return r;
        r = platform_parse(i->row.platform, &offered, reterr_error);
        if (r < 0)
                return r;
        if (platform_match(&wanted, &offered) <= 0)
                return error_set(reterr_error, -ENOENT, "NoSuchPlatform",
                                 "Image %s is here for %s, not for %s; pull it for that platform.",
                                 i->row.name, i->row.platform, o->platform);
        return 0;
}

/* What the record will say; nothing has been made yet. */
static int prepare_row(ContainerManager *m, const char *ns, const char *id, Image *image,
                       const ContainerOptions *o, ContainerRow *ret) {
        _cleanup_(container_row_done) ContainerRow row = { .exit_code = -1 };

        row.ns = strdup(ns);
        row.id = strdup(id);
        row.image = strdup(image->row.name);
        row.image_digest = strdup(image->row.manifest_digest ?: image->row.digest);
        if (!row.ns || !row.id || !row.image || !row.image_digest)
                return -ENOMEM;
        row.auto_remove = o->auto_remove;
        row.created_usec = now_usec(CLOCK_REALTIME);

        *ret = row;
        row = (ContainerRow){};
        return 0;
}

/* From here on there is something to undo. c has no snapshot yet. */
static int container_commit(Container *c, uint64_t parent, Error *reterr_error) {
        ContainerManager *m = c->manager;
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        r = store_transaction_begin(&t, m->store, !c->row.auto_remove);
        if (r >= 0)
                r = snapshot_prepare(m->snapshots, parent, !c->row.auto_remove, &c->row.snapshot,
                                     reterr_error);
        if (r >= 0)
                r = container_write_bundle(c, reterr_error);
        if (r >= 0)
                r = store_container_add(m->store, &c->row);
        if (r >= 0)
                r = container_link(c);
        if (r >= 0)
                r = events_record(m->events, c->row.ns, "container/created", c->row.id, "Image",
                                  c->row.image, NULL);
        if (r >= 0)
                r = store_transaction_commit(&t);
        if (r < 0)
                return error_is_set(reterr_error) ? r
                                                  : error_set_errno(reterr_error, r,
                                                                    "Failed to record the container: %m");

        return 0;
}

static void container_undo(Container *c) {
        ContainerManager *m = c->manager;

        if (c->row.snapshot > 0) {
                (void) snapshot_discard_tree(m->snapshots, c->row.snapshot);
                image_schedule_trash(m->images);
        }
        (void) bundle_remove(m->containers_fd, c->row.ns, c->row.id);
}

typedef struct CreateRequest {
        const char *ns, *id, *image;
        bool run;
} CreateRequest;

static int check_request(ContainerManager *m, const CreateRequest *q, const ContainerOptions *o,
                         Error *reterr_error) {
        int r;

        if (m->recovering)
                return error_set(reterr_error, -EBUSY, "Busy", "moored is still starting; try again.");
        r = container_options_validate(o, reterr_error);
        if (r < 0)
                return r;
        r = container_check_scope(o, reterr_error);
        if (r < 0)
                return r;
        if (o->unit) {
                r = container_check_unit(q->ns, q->id, o, reterr_error);
                if (r < 0)
                        return r;
        }
        if (m->backend && m->backend->check_properties) {
                r = m->backend->check_properties(m->backend_userdata, o->properties, reterr_error);
                if (r < 0)
                        return r;
        }

        return container_options_check_sources(o, reterr_error);
}

static int find_image(ContainerManager *m, const char *ns, const char *name, const ContainerOptions *o,
                      Image **ret, uint64_t *ret_snapshot, const ImageConfig **ret_config,
                      Error *reterr_error) {
        Image *image = NULL;
        int r;

        image = image_find(m->images, ns, name, reterr_error);
        if (!image)
                return error_is_set(reterr_error) ? reterr_error->error : -ENOENT;
        r = check_platform(o, image, reterr_error);
        if (r < 0)
                return r;
        r = image_get_snapshot(m->images, image, ret_snapshot, reterr_error);
        if (r == -EAGAIN && !error_is_set(reterr_error))
                return error_set(reterr_error, r, "ImageNotUnpacked", "Image %s has not been unpacked yet.",
                                 image->row.name);
        if (r < 0)
                return r;
        r = image_get_config(m->images, image, ret_config, reterr_error);
        if (r < 0)
                return r;

        *ret = image;
        return 0;
}

/* row and options become the container's. */
static int container_create_full(ContainerManager *m, ContainerRow *row, uint64_t parent,
                                 const ImageConfig *config, ContainerOptions *options, Container **ret,
                                 Error *reterr_error) {
        _cleanup_(container_process_done) ContainerProcess process = {};
        _cleanup_(container_freep) Container *c = NULL;
        int r;

        r = container_process_resolve(config, options, row->id, &process, reterr_error);
        if (r < 0)
                return r;
        r = container_options_to_json(options, &process, &row->options, reterr_error);
        if (r < 0)
                return r;
        r = container_new(m, row, options, &process, &c, reterr_error);
        if (r < 0)
                return r;
        *row = (ContainerRow){};
        *options = (ContainerOptions){ .stop_timeout_usec = UINT64_MAX };
        process = (ContainerProcess){};

        r = c->options.unit ? container_replace(c, reterr_error) : 0;
        if (r < 0)
                return r;
        r = container_commit(c, parent, reterr_error);
        if (r < 0) {
                container_undo(c);
                container_answer(c, WAITER_ALL, reterr_error);
                return r;
        }

        events_notify(m->events, NOTIFY_CONTAINER_ADDED, c->row.ns, c->row.id, c);
        *ret = TAKE_PTR(c);
        return 0;
}

static int create(ContainerManager *m, const CreateRequest *q, ContainerOptions *options, Container **ret,
                  Error *reterr_error) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_(container_row_done) ContainerRow row = {};
        _cleanup_free_ char *chosen = NULL;
        const ImageConfig *config;
        uint64_t parent;
        Image *image = NULL;
        int r;

        r = check_request(m, q, options, &error);
        if (r >= 0)
                r = choose_id(m, q->ns, q->id, options->unit, &chosen, &error);
        if (r >= 0)
                r = find_image(m, q->ns, q->image, options, &image, &parent, &config, &error);
        if (r >= 0 && !options->network)
                r = free_and_strdup(&options->network, m->network);
        if (r >= 0 && !options->runtime && !options->scope)
                r = free_and_strdup(&options->runtime, m->runtime);
        if (r >= 0)
                r = prepare_row(m, q->ns, chosen, image, options, &row);
        /* That a start was about to follow is seen by the boot id: an interrupted run with auto_remove goes
         * at recovery. */
        if (r >= 0 && q->run)
                r = free_and_strdup(&row.boot_id, m->boot_id);
        if (r >= 0)
                r = container_create_full(m, &row, parent, config, options, ret, &error);
        if (r < 0)
                return error_is_set(&error) ? error_move(reterr_error, &error)
                                            : error_set_errno(reterr_error, r,
                                                              "Failed to make the container: %m");

        (*ret)->work->run = q->run;
        container_follow_unit(*ret);
        return 0;
}

int container_check(ContainerManager *m, const char *ns, const char *id, const char *image,
                    const ContainerOptions *options, Error *reterr_error) {
        const CreateRequest q = { ns, id, image, false };
        _cleanup_(reference_freep) Reference *reference = NULL;
        uint64_t capabilities;
        int r;

        r = check_request(m, &q, options, reterr_error);
        if (r < 0)
                return r;
        if (!isempty(id)) {
                r = check_id(id, reterr_error);
                if (r < 0)
                        return r;
        }
        r = reference_parse(image, &reference, reterr_error);
        return r < 0 ? r : container_capabilities_resolve(options, m->capabilities, &capabilities, reterr_error);
}

int container_create(ContainerManager *m, const char *ns, const char *id, const char *image,
                     ContainerOptions *options, Container **ret, Error *reterr_error) {
        const CreateRequest q = { ns, id, image, false };

        return create(m, &q, options, ret, reterr_error);
}

int container_run(ContainerManager *m, const char *ns, const char *id, const char *image,
                  ContainerOptions *options, const ContainerStdio *stdio, ContainerFunc func, void *userdata,
                  Error *reterr_error) {
        const CreateRequest q = { ns, id, image, true };
        Container *c;
        int r;

        r = create(m, &q, options, &c, reterr_error);
        if (r < 0)
                return r;
        r = container_start(c, stdio, func, userdata, reterr_error);
        if (r < 0)
                (void) container_drop(c, NULL);
        return r;
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
        ContainerManager *m = c->manager;
        Waiter *waiters;
        int r;

        assert(!c->work->start_pending);

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

int container_remove(Container *c, bool force, ContainerFunc func, void *userdata, Error *reterr_error) {
        bool idle = (c->state == CONTAINER_CREATED || c->state == CONTAINER_EXITED) &&
                    !c->work->start_pending;
        int r;

        if (!idle && !force)
                return error_set(reterr_error, -EBUSY, "ContainerRunning",
                                 "Container %s is %s: stop it first, or remove it with force.", c->row.id,
                                 container_state_to_string(c->state));

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
