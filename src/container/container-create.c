/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Making a container is a single transaction around everything that can fail: writable snapshot, specification,
 * bundle, row. What lies outside the database (directories) is undone by hand if it fails, and by recovery
 * if the daemon dies in between: a bundle or a snapshot without a row goes at the next start. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/devices.h"
#include "container/record.h"
#include "container/runtimes.h"
#include "container/spec.h"
#include "container/system.h"
#include "oci/reference.h"

#define CONTAINER_ID_RANDOM_BYTES 6U

/* -- the bundle --------------------------------------------------------------------------------- */

int container_write_bundle(Container *c, Error *reterr_error) {
        _cleanup_json_ json_t *devices = NULL;
        _cleanup_(snapshot_mount_done) SnapshotMount mount = {};
        _cleanup_free_ char *path = NULL, *text = NULL, *machine = NULL, *runtime = NULL, *terminal = NULL, *network = NULL,
                            *shared = NULL, *hosts = NULL, *resolv = NULL;
        const Container *owner = container_network_owner(c);
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
        path = container_bundle_path(c);
        shared = container_bundle_path(owner);
        if (c->options.terminal)
                terminal = container_terminal_key(c);
        if (!path || !shared || (c->options.terminal && !terminal))
                return -ENOMEM;
        r = container_network_key(c, &network);
        if (r >= 0)
                r = container_network_files(c, &hosts, &resolv);
        if (r < 0)
                return r;

        const SpecInput in = {
                .options = &c->options,
                .process = process,
                .mount = &mount,
                .bundle = path,
                .network_bundle = shared,
                .network = network,
                .keep_network = container_keeps_network(c),
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
                .hosts = hosts,
                .resolv = resolv,
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

/* -- what is asked for -------------------------------------------------------------------------- */

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
                                         "There is a container \"%s\" in namespace \"%s\" already: choose another "
                                         "name, or remove it first.",
                                         id, ns);
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
                r = store_container_add(m->store, &c->row);
        if (r >= 0)
                r = container_network_reserve(c, reterr_error);
        if (r >= 0)
                r = container_write_bundle(c, reterr_error);
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
        if (r >= 0)
                r = container_network_resolve(m, config, options, &error);
        if (r >= 0)
                r = container_network_prepare(m, q->ns, options, &error);
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
        if (r < 0) {
                container_network_abandon(m, q->ns);
                return error_is_set(&error) ? error_move(reterr_error, &error)
                                            : error_set_errno(reterr_error, r,
                                                              "Failed to make the container: %m");
        }

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
        int r;

        r = create(m, &q, options, ret, reterr_error);
        if (r >= 0)
                container_announce(*ret);
        return r;
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
        if (r < 0 && container_drop(c, NULL) >= 0)
                return r;
        /* While PID 1 is at it. */
        container_announce(c);
        return r;
}
