/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Containers: a record, a writable snapshot, a bundle, a transient unit. The state is derived from record
 * and unit:
 *
 *   created ──container_start──▶ starting ──unit started──▶ running ──unit's main process ended──▶ exited
 *      ▲                            │ failed                   │ container_stop → stopping ─────────▲
 *      └────────────────────────────┘                      exited ──container_start──▶ starting
 *   any ──container_remove──▶ (gone)
 *
 * A running one may be paused (pause.c): frozen by PID 1, or by somebody else.
 *
 * With a restart policy, PID 1 starts it again: running ──its process ended──▶ restarting ──▶ running … until it
 * is stopped, or the policy is content: then exited. See restart.c.
 */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/hashmap.h"
#include "container/cni.h"
#include "container/health-check.h"
#include "events/events.h"
#include "container/network-socket.h"
#include "image/image.h"
#include "network/names.h"
#include "snapshot/snapshot.h"
#include "store/store.h"
#include "terminal/input.h"
#include "terminal/terminal.h"

#define CONTAINER_ID_MAX 64U
#define CONTAINERS_MAX 4096U
#define CONTAINER_ARGS_MAX 4096U /* argv, env entries, mounts, labels: each */
#define CONTAINER_ARGS_SIZE_MAX (1U << 20)

typedef enum ContainerState {
        CONTAINER_CREATED,
        CONTAINER_STARTING,
        CONTAINER_RUNNING,
        CONTAINER_PAUSED, /* runs, but is frozen */
        CONTAINER_STOPPING,
        CONTAINER_RESTARTING, /* has ended, PID 1 will start it again */
        CONTAINER_EXITED,
        _CONTAINER_STATE_MAX,
        _CONTAINER_STATE_INVALID = -EINVAL,
} ContainerState;
DECLARE_STRING_TABLE(container_state, ContainerState);

typedef enum RestartPolicy {
        RESTART_NO,
        RESTART_ON_FAILURE,
        RESTART_ALWAYS,
        RESTART_UNLESS_STOPPED, /* like always, but for what somebody has stopped before the host was booted */
        _RESTART_POLICY_MAX,
        _RESTART_POLICY_INVALID = -EINVAL,
} RestartPolicy;
DECLARE_STRING_TABLE(restart_policy, RestartPolicy);

typedef struct Restart {
        RestartPolicy policy;
        uint32_t max; /* on-failure: how often; 0: without end */
} Restart;
#define RESTART_MAX 1000000U
/* "no", "on-failure", "on-failure:5", "always", "unless-stopped"; NULL and "" are "no". -EINVAL, -ERANGE. */
int restart_parse(const char *text, Restart *ret);

typedef struct ContainerMount {
        char *type;        /* "bind" or "tmpfs" */
        char *source;      /* absolute path on the host (bind) */
        char *destination; /* absolute path in the container */
        char **options;    /* "ro", "rw", "size=…", "mode=…", "nosuid", … */
} ContainerMount;

/* Everything a container may be asked for at creation; the option bag of CreateContainer and RunContainer,
 * typed. Stored as JSON. */
typedef struct ContainerOptions {
        char **command;    /* replaces the image's Cmd */
        char **entrypoint; /* replaces the image's Entrypoint (and drops its Cmd) if entrypoint_set */
        bool entrypoint_set;
        char **environment; /* "NAME=value", over the image's */
        char *working_directory;
        char *user;    /* "name", "uid", "name:group", "uid:gid" */
        char **groups; /* additional groups */
        char *hostname;
        ContainerMount *mounts;
        size_t n_mounts;
        bool read_only;
        char **networks; /* "none", "host", "container:ID" or "ns:PATH" alone; or attachments (network.h); NULL: moored.conf's */
        char **publish;  /* ports, as port_parse() has them */
        char **expose;   /* the same, as port_parse_exposed() does: with publish_all published as the image's are */
        bool publish_all;
        char **dns, **dns_search, **dns_options; /* of /etc/resolv.conf; NULL: the host's */
        char **hosts;               /* of /etc/hosts: "NAME:ADDRESS"; "NAME:host-gateway": the host's on the first network */
        char **labels;              /* "key=value" */
        char **properties;          /* "NAME=VALUE" of unit properties */
        char **devices;             /* as devices.h has them */
        char **cap_add, **cap_drop; /* "NET_ADMIN", "ALL" */
        bool privileged_seccomp;    /* seccomp=unconfined */
        char *stop_signal;          /* "TERM" */
        uint64_t stop_timeout_usec; /* UINT64_MAX: default (10 s) */
        bool auto_remove;
        char *restart; /* as restart_parse() has it */
        char *platform;
        char *log; /* where output goes that nobody gave a descriptor for: "journal" (NULL), "none", "file:PATH" */
        bool machine;  /* it is registered with systemd-machined */
        char *runtime; /* name or path of an OCI runtime; NULL: mooring */
        char *systemd; /* "true" (default: by its command), "false", "always"; see system.h */
        char *unit; /* moored@ID.service, which is installed and runs this container; NULL: a transient one */
        bool scope; /* its process is a child of the caller's, in a transient scope */
        HealthOptions health;
        bool notify;             /* the unit has started when the container says so, by sd_notify(3) */
        bool ready_when_healthy; /* the unit has started when a health check has succeeded */
        char **unit_limits; /* that the unit had before it was given this container's: to be given back to it */
        bool terminal;       /* 0, 1 and 2 are a pseudoterminal */
        char *terminal_size; /* at the start: "ROWSxCOLUMNS"; NULL: as it comes */
        bool open_stdin; /* in the background, without a terminal: a pipe that stays open, not /dev/null */
} ContainerOptions;
void container_options_done(ContainerOptions *o);

/* Descriptors that the caller passed for a run in the foreground; -EBADF: stdin /dev/null, stdout and stderr
 * as ContainerOptions' log says. terminal: a socket that is the container's terminal's client, in place of the
 * three. Borrowed. */
typedef struct ContainerStdio {
        int in, out, err;
        int terminal;
} ContainerStdio;
#define CONTAINER_STDIO_NULL ((ContainerStdio){ -EBADF, -EBADF, -EBADF, -EBADF })

typedef struct ContainerManager ContainerManager;
typedef struct Container Container;
typedef struct Exec Exec;

/* What the unit's state looks like to a container. Filled by unit/. */
typedef struct UnitStatus {
        bool loaded;        /* false: there is no such unit (any more); the rest is what was known last */
        bool launcher;      /* its ExecStart= is ours */
        char *active_state; /* "active", "inactive", "failed", "activating", … */
        char *sub_state;    /* "running", "exited", "auto-restart", … */
        uint64_t active_enter_usec;   /* 0: it never became active */
        uint64_t inactive_exit_usec;  /* when its last start was begun */
        uint32_t job;               /* that PID 1 has for it; 0: none */
        uint32_t main_pid;
        uint32_t exec_main_pid; /* also of one that has ended */
        int32_t exec_main_code; /* CLD_EXITED, … 0: none */
        int32_t exec_main_status;
        uint64_t exec_main_start_usec, exec_main_exit_usec; /* realtime */
        char *result;                                       /* "success", "exit-code", … */
        char *status_text;                                  /* sd_notify's STATUS= */
        char *invocation_id;                                /* hex */
        char *control_group;
} UnitStatus;
void unit_status_done(UnitStatus *u);

/* The unit to be made: properties as typed values, so that nothing here knows of D-Bus. */
typedef struct UnitSpec {
        char *name;
        char *description;
        char *slice;
        char **exec_start;
        char **exec_stop_post; /* run after each end but a success that is kept; or NULL */
        char **exec_clean;     /* the same, another */
        Restart restart;
        char **log_extra_fields; /* "MOORED_CONTAINER=…" */
        char *syslog_identifier;
        char *log; /* as in ContainerOptions */
        int kill_signal;
        uint64_t timeout_stop_usec, timeout_start_usec;
        char **properties;    /* "NAME=VALUE" from the user */
        char *after;          /* a unit that it starts after, if that is about to start; or NULL */
        uint32_t scope_pid;   /* not 0: a scope, with this process */
        bool keeps_network;   /* the service manager may have to keep its network namespace */
        bool exec;            /* its process is in a container's control group: the unit has nothing to limit */
        ContainerStdio stdio; /* borrowed */
} UnitSpec;
void unit_spec_done(UnitSpec *u);

/* IP packets of a unit's processes, whatever the interface (IPAccounting=). */
#define TRAFFIC_UNKNOWN UINT64_MAX /* it is not counted */
typedef struct UnitTraffic {
        uint64_t received_bytes, received_packets, sent_bytes, sent_packets;
} UnitTraffic;

/* PID 1, as seen by containers; unit/ fills this. All calls are asynchronous; callbacks come from the loop,
 * once for each call that returned >= 0, with -ECANCELED when the backend goes away first. While a start is
 * under way, container_unit_changed() is not called for its unit. */
typedef void (*UnitStartFunc)(int r, const UnitStatus *status, const Error *error, void *userdata);
typedef struct UnitBackend {
        /* Are these "NAME=VALUE" unit properties that may be set? "InvalidArgument" names the one that is
         * not. */
        int (*check_properties)(void *backend, char *const *properties, Error *reterr_error);
        /* StartTransientUnit, then its job's end. r < 0: error says why (unit name taken: "UnitExists"; a
         * property that PID 1 refuses: "InvalidArgument"; the launcher failed: name and message from
         * status_text). status may be NULL then. */
        int (*start)(void *backend, const UnitSpec *spec, UnitStartFunc func, void *userdata);
        /* The same for a unit that is installed: StartUnit. */
        int (*start_installed)(void *backend, const char *unit, UnitStartFunc func, void *userdata);
        /* A unit that is installed and is no container's: nothing is told of it but container_service_failed(). One that
         * runs goes on; or is started anew. func when PID 1 has taken the job. */
        int (*start_service)(void *backend, const char *unit,
                             void (*func)(int r, const Error *error, void *userdata), void *userdata);
        int (*restart_service)(void *backend, const char *unit,
                               void (*func)(int r, const Error *error, void *userdata), void *userdata);
        /* From now on, tell of this unit, which is installed and which somebody is about to start. */
        int (*follow)(void *backend, const char *unit);
        int (*stop)(void *backend, const char *unit, void (*func)(int r, const Error *error, void *userdata),
                    void *userdata);
        int (*kill)(void *backend, const char *unit, const char *whom, int signo,
                    void (*func)(int r, const Error *error, void *userdata), void *userdata);
        /* The next delay between two restarts is the first one again, where PID 1 has delays that grow. */
        int (*reset_delay)(void *backend, const char *unit);
        /* Forget an ended unit: ResetFailed or Stop, as its state wants. */
        int (*release)(void *backend, const char *unit);
        /* Ask for its state and tell it by container_unit_changed(), changed or not: what is told is then
         * the last word of PID 1. */
        int (*refresh)(void *backend, const char *unit);
        /* How a run ended whose unit is gone, as far as the log has it. For recovery only: it blocks, a few
         * milliseconds. -ENODATA. */
        int (*last_words)(void *backend, const char *unit, const char *invocation_id, UnitStatus *ret);
        int (*processes)(void *backend, const char *unit,
                         void (*func)(int r, const uint32_t *pids, char *const *commands, size_t n,
                                      void *userdata),
                         void *userdata);
        /* Change properties of a unit that is there, until it ends. */
        int (*update)(void *backend, const char *unit, char *const *properties,
                      void (*func)(int r, const Error *error, void *userdata), void *userdata);
        /* Freeze or thaw; func when it is done. */
        int (*freeze)(void *backend, const char *unit, bool freeze,
                      void (*func)(int r, const Error *error, void *userdata), void *userdata);
        /* What PID 1 has as the limits of unit-limits.h: assignments, canonical. */
        int (*limits)(void *backend, const char *unit,
                      void (*func)(int r, char *const *limits, void *userdata), void *userdata);
        int (*traffic)(void *backend, const char *unit,
                       void (*func)(int r, const UnitTraffic *traffic, void *userdata), void *userdata);
        /* The host's own resolver, where it is one that can be told (systemd-resolved): names in the link's domain, and no
         * others, are asked of its servers; and no more. NULL: there is no such thing. */
        void (*set_names_link)(void *backend, const NamesLink *link);
        void (*revert_names_link)(void *backend, int index);
} UnitBackend;

struct Container {
        ContainerManager *manager; /* weak */
        ContainerRow row;
        ContainerOptions options;
        Restart restart;
        ContainerState state;
        char *unit;                 /* moored-<ns>-<id>.service, or options.unit */
        uint32_t leader_pid;        /* 0: none */
        char **command;             /* argv that is run */
        char *control_group;        /* of the unit; NULL while there is none */
        char **live_limits; /* canonical assignments of this run that others have made (unit-limits.h) */
        Exec *execs;                /* by number; container/exec.h */
        struct ContainerWork *work; /* what is under way: container/ only */
};

int container_manager_new(sd_event *event, Store *store, SnapshotManager *snapshots, ImageManager *images,
                          Events *events, const char *runtime_dir, ContainerManager **ret,
                          Error *reterr_error);
ContainerManager *container_manager_free(ContainerManager *m);
DEFINE_CLEANUP_FUNC(ContainerManager *, container_manager_free)
/* From moored.conf, section [Container]; network NULL: "none". For containers whose options leave them open.
 */
int container_manager_set_defaults(ContainerManager *m, uint64_t stop_timeout_usec, const char *network);
/* Looks at the control groups of those that run: out-of-memory kills, limits that others change, freezing. */
int container_manager_watch(ContainerManager *m, Error *reterr_error);
/* From moored.conf: "NAME=PATH" of OCI runtimes; the one that is taken where a container's options do not say (NULL:
 * mooring). */
int container_manager_set_runtimes(ContainerManager *m, char *const *runtimes, const char *fallback);
/* The names of those that there are (strv). */
int container_manager_list_runtimes(ContainerManager *m, char ***ret);
const char *container_manager_default_runtime(ContainerManager *m);
void container_manager_set_backend(ContainerManager *m, const UnitBackend *ops, void *backend);
/* Borrowed. Without them there are no terminals. */
void container_manager_set_terminals(ContainerManager *m, TerminalManager *terminals, InputManager *inputs);
/* Before all else, if the database was lost: containers of this boot and what they stand on, from their
 * bundles. boot_id as snapshot_manager_recover() gets it. Returns how many. */
int container_restore_records(Store *store, const char *runtime_dir, const char *boot_id,
                              Error *reterr_error);
/* The same; NULL: there are no networks but "none", "host" and those of others. sock: where launchers ask for a namespace. */
void container_manager_set_networks(ContainerManager *m, NetworkManager *networks, NetworkSocket *sock);
/* Borrowed. NULL: there are none of plug-ins. */
void container_manager_set_cni(ContainerManager *m, CniManager *cni);
/* At start: load the records; the units that exist are given by unit/ through container_unit_changed() after
 * this, then container_manager_recovered(): containers without a unit that had been running are recorded as
 * ended ("lost" or by reboot), those that ended meanwhile get their exit code, auto-remove ones are removed,
 * bundles and snapshots without a record are dropped, and those that their restart policy wants back after a boot
 * are started. */
int container_manager_load(ContainerManager *m, Error *reterr_error);
int container_manager_recovered(ContainerManager *m);
/* unit/ tells that the host is going down, or that it is not: what ends meanwhile ends by that. */
void container_manager_host_stops(ContainerManager *m, bool stops);
/* unit/ tells that a start has come so far that it only waits for a health check to succeed: what the unit says of
 * itself is that, and its main process is the container's. */
void container_unit_waits(ContainerManager *m, const char *unit, const UnitStatus *status);
/* unit/ tells every change of a unit moored-*.service. */
void container_unit_changed(ContainerManager *m, const char *unit, const UnitStatus *status);
/* … and when a resolver's could not be started; result: of the job. */
void container_service_failed(ContainerManager *m, const char *unit, const char *result);
/* … and when the host's resolver is there (anew), and knows nothing of networks. */
void container_names_host_came(ContainerManager *m);
/* … and when one could not be released. */
void container_unit_kept(ContainerManager *m, const char *unit);

Container *container_find(ContainerManager *m, const char *ns, const char *id,
                          Error *reterr_error); /* "NoSuchContainer" */
Container *container_find_by_unit(ContainerManager *m, const char *unit);
bool container_iterate(ContainerManager *m, HashmapIterator *i, Container **ret);
size_t container_count(ContainerManager *m, const char *ns);
bool container_id_is_valid(const char *id); /* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most CONTAINER_ID_MAX */

typedef void (*ContainerFunc)(Container *c /* NULL if it is gone */, const Error *error /* NULL: success */,
                              void *userdata);

/* Record, snapshot, bundle. id NULL or "": a random one of 12 hex digits. options are taken over (moved out)
 * on success. "ContainerExists", "NoSuchImage", "InvalidArgument" (what is wrong with which option),
 * "ImageNotUnpacked" (-EAGAIN: unpack first). With options->unit, which its ExecStartPre= is to call this for: the
 * container of the unit's last run gives way to the new one; "ContainerRunning" (-EBUSY): as far as is known that
 * one still runs, PID 1 has been asked, try again. */
int container_create(ContainerManager *m, const char *ns, const char *id, const char *image,
                     ContainerOptions *options, Container **ret, Error *reterr_error);
/* To follow container_create() with options->unit: has the unit get the limits among its properties, and back those
 * that the last container had changed. 0: there is nothing to do; else func is called, when it has them. */
int container_apply_unit_limits(Container *c, ContainerFunc func, void *userdata, Error *reterr_error);
/* Would container_create() take these? Neither image nor container need be there. */
int container_check(ContainerManager *m, const char *ns, const char *id, const char *image,
                    const ContainerOptions *options, Error *reterr_error);
/* func is called once, when the unit's start job has ended. -EALREADY "AlreadyRunning". */
int container_start(Container *c, const ContainerStdio *stdio, ContainerFunc func, void *userdata,
                    Error *reterr_error);
/* For one that was made for a scope, of which process pid becomes the first. func when it is there: the container's
 * process is then for the caller to make. */
int container_start_scope(Container *c, uint32_t pid, ContainerFunc func, void *userdata, Error *reterr_error);
/* Then: what `mooring launch-scope` needs. NULL on OOM; NULL if there is no scope. */
char *container_bundle_path(const Container *c);
const char *container_scope_invocation(const Container *c);
/* create + start; if the start fails nothing is left of it. */
int container_run(ContainerManager *m, const char *ns, const char *id, const char *image,
                  ContainerOptions *options, const ContainerStdio *stdio, ContainerFunc func, void *userdata,
                  Error *reterr_error);
/* func when it has ended; at once if it is not running. timeout UINT64_MAX: the container's own. */
int container_stop(Container *c, uint64_t timeout_usec, ContainerFunc func, void *userdata,
                   Error *reterr_error);
/* whom: "main" (or NULL, "") or "all". func when PID 1 has sent it. -ESRCH "NotRunning". */
int container_kill(Container *c, const char *whom, int signo, ContainerFunc func, void *userdata,
                   Error *reterr_error);
/* func when it has ended; at once if it is not running. */
int container_wait(Container *c, ContainerFunc func, void *userdata);
/* The error of a call that needs a running container, with what the caller may do: -ESRCH "NotRunning". */
int container_not_running(const Container *c, Error *reterr_error);
/* force: kill it first (SIGKILL). -EBUSY "ContainerRunning" otherwise. func (with NULL) when it is gone. */
int container_remove(Container *c, bool force, ContainerFunc func, void *userdata, Error *reterr_error);
/* Stop, if it runs, with the timeout of container_stop(), and start. func as for container_start(). */
int container_restart(Container *c, uint64_t timeout_usec, ContainerFunc func, void *userdata,
                      Error *reterr_error);
/* A terminal and descriptors contradict each other. */
int container_check_stdio(bool terminal, const ContainerStdio *s, Error *reterr_error);
/* What whoever attaches gets, to keep: the terminal (a socket, as terminal_add_client() has it), or the writing end of standard
 * input; -EBADF: there is none. Output without a terminal is in the journal. */
typedef struct ContainerAttachment {
        int terminal, input;
} ContainerAttachment;
/* "NotRunning", "NoTerminal": it was lost; "LimitsExceeded": too many are there */
int container_attach(Container *c, bool packets, ContainerAttachment *ret, Error *reterr_error);
/* "NotRunning", "NoTerminal" */
int container_resize(Container *c, unsigned rows, unsigned columns, Error *reterr_error);
/* The standard input that is kept open ends, once all who attached have closed theirs. */
int container_end_input(Container *c, Error *reterr_error);
/* -ESRCH "NotRunning" */
int container_list_processes(Container *c,
                             void (*func)(int r, const uint32_t *pids, char *const *commands, size_t n,
                                          void *userdata),
                             void *userdata, Error *reterr_error);
/* Freezes or thaws it; func when that is done. -ESRCH "NotRunning", -EALREADY "AlreadyPaused", -EINVAL
 * "NotPaused". */
int container_pause(Container *c, ContainerFunc func, void *userdata, Error *reterr_error);
int container_resume(Container *c, ContainerFunc func, void *userdata, Error *reterr_error);
static inline bool container_is_alive(const Container *c) {
        return c->state == CONTAINER_RUNNING || c->state == CONTAINER_PAUSED || c->state == CONTAINER_STOPPING;
}
/* Its network namespace, for who may look at processes; NULL if it is not running. */
char *container_network_namespace(const Container *c);
/* On the networks that it has, as network_manager_foreach_interface() and _port() tell. */
int container_foreach_interface(const Container *c, int (*func)(const NetworkInterface *i, void *userdata), void *userdata);
int container_foreach_port(const Container *c, int (*func)(const Port *p, void *userdata), void *userdata);
/* The same on networks of plug-ins (cni.h). */
int container_foreach_cni(const Container *c, CniShownFunc func, void *userdata);
bool container_is_on_cni(const Container *c, const char *network); /* running or not */
void container_cni_tend(ContainerManager *m);
/* It does not have them from another container, whose network it shares. */
bool container_network_owner_is_self(const Container *c);
/* One more network, as attachment_parse() has it, or one less: of one that runs at once, of one that does not run from its next
 * start on; on failure nothing has changed. func is called once, perhaps before the call returns. "NotSupported" (it was made without
 * networks), "Busy" (it is just starting or ending, or being changed), and those of network_manager_connect(). */
typedef void (*ContainerInterfaceFunc)(Container *c, const char *name, const Error *error /* NULL: success */, void *userdata);
int container_connect(Container *c, const char *attachment, ContainerInterfaceFunc func, void *userdata, Error *reterr_error);
int container_disconnect(Container *c, const Network *network, ContainerInterfaceFunc func, void *userdata, Error *reterr_error);
int container_remove_interface(Container *c, const char *name, ContainerInterfaceFunc func, void *userdata, Error *reterr_error);
/* The same of an interface that is on no network, and of what one is; contents of spec and change are taken. Errors: those of
 * network_manager_add_interface(), network_manager_change_interface(). name of the first: or NULL. */
int container_add_interface(Container *c, const char *name, InterfaceSpec *spec, ContainerInterfaceFunc func, void *userdata, Error *reterr_error);
int container_change_interface(Container *c, const char *name, InterfaceChange *change, ContainerInterfaceFunc func, void *userdata, Error *reterr_error);
/* As network_manager_get_interface(). */
int container_get_interface(const Container *c, const char *name,
                            int (*func)(const NetworkInterface *i, const NetworkDevice *d, void *userdata), void *userdata);
/* Of its own interfaces (strv; NULL: there are none). */
int container_interface_names(const Container *c, char ***ret);
/* What the device in the container has counted. "NotRunning", "NoSuchDevice" */
int container_interface_statistics(const Container *c, const char *name, struct LinkStatistics *ret, Error *reterr_error);
/* The specification, complete: config.json and the profile that it names. */
int container_get_spec(Container *c, char **ret, Error *reterr_error);
