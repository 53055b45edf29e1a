/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/time-util.h"
#include "bus/bus.h"
#include "container/container.h"
#include "container/names.h"
#include "daemon/fd-store.h"
#include "daemon/manager.h"
#include "daemon/namespace.h"
#include "oci/manifest.h"
#include "unit/unit.h"

/* From start to ready:
 *
 * lock the state directory → store → content, snapshots, images brought in line with it → containers
 * loaded
 *     → PID 1 asked for the units (unit/) ──▶ manager_on_units(): containers brought in line with them
 *     → the name org.moored1 asked for ──▶ manager_on_name(): READY=1
 *
 * Whoever finds the name finds everything recovered; a call that started the daemon waits for the name at
 * the broker.
 *
 * The lock is flock()'s: it goes with the process, however that ends. Descriptors are not inherited by
 * helpers, so no helper that outlives a killed daemon for a moment holds it. */

#define LOCK_NAME "lock"
#define DATABASE MOORED_STATE_DIR "/moored.db"

struct Manager {
        sd_event *event;
        const Config *config; /* weak */
        uint64_t begin_usec;
        bool recovered;
        bool refilling; /* from manager_open_store() to the end of manager_load_containers() */
        int state_fd, lock_fd;
        Store *store;
        Events *events;
        Content *content;
        SnapshotManager *snapshots;
        JobManager *jobs;
        ImageManager *images;
        TerminalManager *terminals;
        InputManager *inputs;
        NetworkSocket *network_socket;
        CniManager *cni;
        struct KeptNetns {
                char *name;
                int fd; /* -EBADF: it is the networks' */
        } *netns; /* from the store of descriptors: network_manager_adopt_netns() */
        size_t n_netns;
        NetworkManager *networks;
        ContainerManager *containers;
        NamespaceTable *namespaces;
        Bus *bus;
        UnitManager *units;
        char *platform;
};

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        unit_manager_free(m->units);
        container_manager_free(m->containers);
        terminal_manager_free(m->terminals);
        input_manager_free(m->inputs);
        network_socket_free(m->network_socket);
        cni_manager_free(m->cni);
        network_manager_free(m->networks);
        for (size_t i = 0; i < m->n_netns; i++) {
                safe_close(m->netns[i].fd);
                free(m->netns[i].name);
        }
        free(m->netns);
        /* Pulls that run belong to their jobs, and need what follows until their end. */
        job_manager_free(m->jobs);
        image_manager_free(m->images);
        /* After those that have its callbacks, and while what they emit at their end can still be sent. */
        bus_free(m->bus);
        namespace_table_free(m->namespaces);
        snapshot_manager_free(m->snapshots);
        content_free(m->content);
        events_free(m->events);
        store_free(m->store);
        safe_close(m->lock_fd);
        safe_close(m->state_fd);
        free(m->platform);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

static int make_directory(const char *path, Error *reterr_error) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set_errno(reterr_error, -errno, "The directory %s cannot be made: %m", path);
        return 0;
}

static int manager_open_state(Manager *m, Error *reterr_error) {
        int r;

        r = make_directory(MOORED_STATE_DIR, reterr_error);
        if (r >= 0)
                r = make_directory(MOORED_RUNTIME_DIR, reterr_error);
        if (r < 0)
                return r;

        m->state_fd = open(MOORED_STATE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (m->state_fd < 0)
                return error_set_errno(reterr_error, -errno, "The state directory %s cannot be opened: %m",
                                       MOORED_STATE_DIR);

        m->lock_fd = openat(m->state_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (m->lock_fd < 0)
                return error_set_errno(reterr_error, -errno, "%s/" LOCK_NAME " cannot be opened: %m",
                                       MOORED_STATE_DIR);
        if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? error_set(reterr_error, -EBUSY, "Busy",
                                                        "Another moored uses %s.", MOORED_STATE_DIR)
                                            : error_set_errno(reterr_error, -errno,
                                                              "%s cannot be locked: %m", MOORED_STATE_DIR);
        return 0;
}

/* The database is empty. It is filled in one transaction, with the first namespace
 * (manager_load_containers() ends it): a daemon that dies before leaves it empty, and the next one does all
 * of it. */
static int manager_begin_refill(Manager *m, const char *boot_id, Error *reterr_error) {
        int r;

        r = store_begin(m->store, true);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The new database cannot be filled: %m");
        m->refilling = true;

        /* Before snapshots that have no row go to the trash. */
        return container_restore_records(m->store, MOORED_RUNTIME_DIR, boot_id, reterr_error);
}

static int manager_open_store(Manager *m, Error *reterr_error) {
        bool rebuilt = false, first_in_boot, had_content;
        sd_id128_t boot_id;
        char boot[SD_ID128_STRING_MAX];
        int r;

        r = sd_id128_get_boot(&boot_id);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The boot id cannot be read: %m");

        /* Before any of this is made. */
        first_in_boot = access(MOORED_RUNTIME_DIR "/containers", F_OK) < 0;
        had_content = faccessat(m->state_fd, "content", F_OK, 0) >= 0;
        r = store_open(DATABASE, &m->store, &rebuilt, reterr_error);
        if (r < 0)
                return r;

        r = events_new(m->store, m->config->events_max, &m->events);
        if (r >= 0)
                r = events_keep_mark(m->events, MOORED_RUNTIME_DIR "/journaled");
        if (r >= 0 && rebuilt && had_content)
                r = events_after_database_loss(m->events);
        else if (r >= 0 && first_in_boot && store_was_unclean(m->store))
                r = events_after_power_loss(m->events);
        if (r >= 0)
                r = job_manager_new(m->event, m->events, &m->jobs);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The tables cannot be made: %m");

        r = content_open(m->state_fd, &m->content, reterr_error);
        if (r >= 0 && rebuilt)
                r = manager_begin_refill(m, sd_id128_to_string(boot_id, boot), reterr_error);
        if (r >= 0)
                r = snapshot_manager_new(m->state_fd, MOORED_STATE_DIR, m->store, &m->snapshots,
                                         reterr_error);
        if (r >= 0)
                r = snapshot_manager_recover(m->snapshots, sd_id128_to_string(boot_id, boot), reterr_error);
        if (r >= 0)
                r = image_manager_new(m->store, m->content, m->snapshots, m->jobs, m->events,
                                      &m->config->pull, &m->images, reterr_error);
        if (r >= 0)
                r = image_manager_recover(m->images, rebuilt, reterr_error);
        return r;
}

/* Networks are read later. */
static int put_off_netns(Manager *m, const char *name, int fd) {
        struct KeptNetns *more = reallocarray(m->netns, m->n_netns + 1, sizeof(*more));
        char *copy = more ? strdup(name) : NULL;

        if (more)
                m->netns = more;
        if (!copy)
                return -ENOMEM;
        m->netns[m->n_netns++] = (struct KeptNetns) { copy, fd };
        return 1;
}

static int adopt_descriptor(const char *name, int fd, void *userdata) {
        Manager *m = userdata;
        int r;

        r = terminal_manager_adopt(m->terminals, name, fd);
        if (r == 0)
                r = input_manager_adopt(m->inputs, name, fd);
        if (r == 0)
                r = network_socket_adopt(m->network_socket, name, fd);
        if (r == 0)
                r = cni_manager_adopt(m->cni, name, fd);
        return r == 0 && network_netns_is_kept(name) ? put_off_netns(m, name, fd) : r;
}

static void adopt_netns(Manager *m) {
        for (size_t i = 0; i < m->n_netns; i++) {
                struct KeptNetns *n = &m->netns[i];

                int r = network_manager_adopt_netns(m->networks, n->name, n->fd);

                if (r != 0) /* taken, whatever became of it */
                        n->fd = -EBADF;
                if (r <= 0)
                        fd_store.remove(NULL, n->name);
                n->fd = safe_close(n->fd);
        }
}

static int keep_netns(const char *name, int fd, void *userdata) {
        if (fd >= 0)
                return fd_store.add(NULL, name, fd, false);
        fd_store.remove(NULL, name);
        return 0;
}

static int manager_adopt_descriptors(Manager *m, Error *reterr_error) {
        int r;

        r = terminal_manager_new(m->event, &fd_store, NULL, MOORED_RUNTIME_DIR "/terminals", TERMINAL_JOURNAL,
                                 &m->terminals);
        if (r >= 0)
                r = input_manager_new(&fd_store, NULL, &m->inputs);
        if (r >= 0)
                r = network_socket_new(m->event, &fd_store, NULL, MOORED_RUNTIME_DIR "/network", &m->network_socket);
        if (r >= 0)
                r = cni_manager_new(m->event, &fd_store, NULL, MOORED_RUNTIME_DIR "/cni", MOORED_STATE_DIR "/cni",
                                    cni_make_netns, &m->cni);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The tables cannot be made: %m");
        r = fd_store_foreach(adopt_descriptor, m);
        if (r < 0)
                log_warning_errno(r, "Not all descriptors of the last moored can be used: %m");
        return 0;
}

static int manager_load_containers(Manager *m, Error *reterr_error) {
        int r;

        r = container_manager_new(m->event, m->store, m->snapshots, m->images, m->events, MOORED_RUNTIME_DIR,
                                  &m->containers, reterr_error);
        if (r < 0)
                return r;
        container_manager_set_terminals(m->containers, m->terminals, m->inputs);
        r = network_manager_new(m->store, m->events, MOORED_RUNTIME_DIR, &m->networks, reterr_error);
        if (r >= 0) {
                network_manager_set_event(m->networks, m->event);
                r = network_manager_load(m->networks, reterr_error);
        }
        if (r < 0)
                return r;
        network_manager_set_keep(m->networks, keep_netns, NULL);
        adopt_netns(m);
        container_manager_set_networks(m->containers, m->networks, m->network_socket);
        container_manager_set_resolver(m->containers, DNSMASQ_PATH);
        container_manager_set_cni(m->containers, m->cni);
        r = container_manager_set_defaults(m->containers, m->config->stop_timeout_usec, m->config->network);
        if (r >= 0)
                r = container_manager_set_runtimes(m->containers, m->config->runtimes, m->config->runtime);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory");
        r = container_manager_watch(m->containers, reterr_error);
        if (r >= 0)
                r = container_manager_load(m->containers, reterr_error);
        if (r >= 0)
                r = namespace_table_new(m->store, m->events, m->jobs, m->images, m->containers, m->networks,
                                        &m->namespaces, reterr_error);
        if (r >= 0 && m->refilling) {
                m->refilling = false;
                r = store_commit(m->store);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "The new database cannot be filled: %m");
        }
        return r;
}

static int manager_open_bus(Manager *m, Error *reterr_error) {
        _cleanup_(platform_done) Platform platform = {};
        int r;

        r = platform_host(&platform);
        if (r < 0)
                return error_set_errno(reterr_error, r, "This machine's platform is not known: %m");
        m->platform = platform_to_string(&platform);
        if (!m->platform)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        BusContext context = {
                .event = m->event,
                .store = m->store,
                .events = m->events,
                .jobs = m->jobs,
                .images = m->images,
                .containers = m->containers,
                .networks = m->networks,
                .namespace_ops = &namespace_table_ops,
                .namespaces = m->namespaces,
                .state_dir = MOORED_STATE_DIR,
                .platform = m->platform,
        };

        return bus_new(&context, &m->bus, reterr_error);
}

/* The caller has logged why. */
static void manager_fail(Manager *m) {
        (void) sd_event_exit(m->event, EXIT_FAILURE);
}

static void manager_on_name(int r, void *userdata) {
        Manager *m = userdata;

        if (r < 0) {
                if (r == -EEXIST)
                        log_error("Somebody else has the name " BUS_NAME " on the bus.");
                else
                        log_error_errno(r, "The name " BUS_NAME " was not given to us: %m");
                manager_fail(m);
                return;
        }

        /* What recovery needed and will not need again. */
        (void) malloc_trim(0);
        (void) sd_notifyf(false, "READY=1\nSTATUS=Found at the start: %zu containers, %zu images.",
                          container_count(m->containers, NULL), image_count(m->images, NULL));
        log_info("Ready after %u ms: %zu containers, %zu images.",
                 (unsigned) ((now_usec(CLOCK_MONOTONIC) - m->begin_usec) / USEC_PER_MSEC),
                 container_count(m->containers, NULL), image_count(m->images, NULL));
}

/* Also after each time that the connection to PID 1 was lost and made again; recovery is for the first
 * time. */
static void manager_on_units(void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        Manager *m = userdata;
        int r;

        if (m->recovered)
                return;
        m->recovered = true;

        r = container_manager_recovered(m->containers);
        if (r < 0) {
                log_error_errno(r, "The containers cannot be recovered: %m");
                manager_fail(m);
                return;
        }

        r = bus_acquire_name(m->bus, manager_on_name, m, &error);
        if (r < 0) {
                log_error("%s", error_message(&error));
                manager_fail(m);
        }
}

int manager_new(sd_event *event, const Config *config, Manager **ret, Error *reterr_error) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        *m = (Manager) {
                .event = sd_event_ref(event),
                .config = config,
                .begin_usec = now_usec(CLOCK_MONOTONIC),
                .state_fd = -EBADF,
                .lock_fd = -EBADF,
        };

        r = manager_adopt_descriptors(m, reterr_error);
        if (r >= 0)
                r = manager_open_state(m, reterr_error);
        if (r >= 0)
                r = manager_open_store(m, reterr_error);
        if (r >= 0)
                r = manager_load_containers(m, reterr_error);
        if (r >= 0)
                r = manager_open_bus(m, reterr_error);
        if (r >= 0)
                r = unit_manager_new(event, m->containers, manager_on_units, m, &m->units, reterr_error);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}
