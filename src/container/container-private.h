/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of container/ only. */

#include "container/cgroup-watch.h"
#include "container/container.h"
#include "container/health.h"
#include "container/options.h"
#include "container/seccomp-store.h"
#include "container/unit-request.h"
#include "container/waiter.h"

#define CONTAINER_START_TIMEOUT_USEC (UINT64_C(90) * 1000000)
#define CONTAINER_STOP_TIMEOUT_USEC (UINT64_C(10) * 1000000)

/* What recovery has found, for the log. */
typedef enum FoundKind {
        FOUND_RUNNING,
        FOUND_ADOPTED, /* started, and not recorded before the last daemon died */
        FOUND_ENDED,
        FOUND_REBOOT,
        FOUND_LOST,
        FOUND_RUNS, /* by a restart policy */
        FOUND_UNDONE,
        FOUND_REMOVED,
        FOUND_ORPHANS,
        FOUND_REMAINS,
        _FOUND_KIND_MAX,
} FoundKind;

struct ContainerManager {
        sd_event *event;
        Store *store; /* weak, as are the next three */
        SnapshotManager *snapshots;
        ImageManager *images;
        Events *events;
        TerminalManager *terminals; /* weak, as is the next; NULL: there are none */
        InputManager *inputs;
        NetworkManager *networks; /* weak, as is the next */
        NetworkSocket *network_socket;
        const char *resolver;         /* container/names.h */
        bool resolver_missed;         /* and said so */
        sd_event_source *sweep_timer, *tell_timer; /* of names.c */
        unsigned tell_tries;
        CniManager *cni; /* weak; NULL: there are no networks of plug-ins */
        const UnitBackend *backend;
        void *backend_userdata;
        Hashmap *containers; /* "ns/id" → Container, owns them */
        Hashmap *by_unit;    /* unit name → Container */
        Hashmap *execs;      /* unit name → Exec */
        Hashmap *units; /* names of units that PID 1 has: until one is gone its name is taken. Values: UNIT_THERE,
                           UNIT_RELEASED. */
        char *runtime_dir;
        int containers_fd;
        char *boot_id;
        uint64_t capabilities; /* that this host can give */
        SeccompStore *seccomp;
        uint64_t stop_timeout_usec;
        char *network;
        bool host_stops; /* the host is going down */
        char **boot_queue; /* "ns/id" of those that are to be started after the boot */
        size_t boot_next, boot_inflight;
        CgroupWatch *watch;  /* NULL: container_manager_watch() was not called */
        bool memory_watched; /* and this host has the controller */
        char **runtimes; /* NAME=PATH */
        char *runtime;   /* or NULL */
        bool unreadable; /* there is a record that was ignored: what seems to belong to nobody may be its */
        unsigned found[_FOUND_KIND_MAX];
        bool recovering; /* from container_manager_load() to container_manager_recovered() */
};

typedef struct OomQuery OomQuery;
typedef struct ContainerChange ContainerChange;

typedef struct ContainerWork {
        ContainerProcess process;
        Waiter *waiters;
        ContainerStdio stdio; /* copies, while start_waits */
        bool announced;       /* NOTIFY_CONTAINER_ADDED was told */
        bool run;             /* made by container_run(): goes if its start fails */
        bool start_pending;   /* the backend owes us an answer, or start_waits */
        bool start_waits;     /* for the old unit to be gone */
        bool stop_requested;  /* "container/stopped" at its end; while starting: stop it then */
        uint64_t stop_timeout_usec;
        bool begun;      /* the next run is the first of a start that was asked for */
        bool restart;    /* start it again at its end */
        bool remove;     /* remove it at its end */
        bool released;   /* the ended unit was given back */
        bool confirming; /* PID 1 has been asked whether it really has ended */
        uint32_t scope_pid;           /* to be moved into the scope; 0: nobody has said so */
        char *scope_invocation;       /* of the scope that has been made */
        int netns;         /* made for the start that is under way, not asked for yet; -EBADF: none */
        Error network;     /* why there is none */
        ContainerChange *change; /* of its interfaces, under way; NULL: none */
        sd_event_source *scope_watch; /* of the bundle's log */
        sd_event_source *stop_timer, *remove_source, *stable_timer, *settle_timer;
        ContainerHealth *health; /* NULL as long as nobody wanted to know */
        int watch;               /* inotify's descriptor of its control group; -1: none */
        bool changed_memory, changed_frozen; /* what it says */
        uint32_t changed_limits;
        char *initial_tasks;     /* value of TasksMax= where none is set, as it was found */
        bool killed;             /* SIGKILL was sent by us in this run */
        bool oom_asked;          /* and the answer is known */
        OomQuery *oom;           /* what the OOM killer did is being found out */
} ContainerWork;

/* container.c */
int container_new(ContainerManager *m, const ContainerRow *row, const ContainerOptions *options,
                  const ContainerProcess *process, Container **ret,
                  Error *reterr_error); /* takes row, options and process over on success */
int container_link(Container *c);
Container *container_free(Container *c); /* unlinks; waiters are told -ECANCELED */
DEFINE_CLEANUP_FUNC(Container *, container_free)
void container_announce(Container *c);                        /* tells NOTIFY_CONTAINER_ADDED */
void container_set_state(Container *c, ContainerState state); /* tells NOTIFY_CONTAINER_CHANGED behind that */
void container_stdio_close(ContainerStdio *s);
int container_add_waiter(Container *c, WaiterKind kind, ContainerFunc func, void *userdata);
/* A waiter may ask for anything, even the removal, which happens later, from the loop: c stays valid. */
void container_answer(Container *c, WaiterKind kinds, const Error *error);
/* Record, snapshot, bundle and object go; waiters are answered with NULL. On failure c stays. */
int container_drop(Container *c, Error *reterr_error);
/* The same from the loop, after what is to be sent has been sent. */
void container_schedule_drop(Container *c);

/* container-create.c */
int container_write_bundle(Container *c, Error *reterr_error);
/* record.json in the bundle. */
int container_write_record(Container *c);

/* container-unit.c: containers whose unit is installed */
int container_check_unit(const char *ns, const char *id, const ContainerOptions *o, Error *reterr_error);
int container_check_replaceable(Container *old, const char *unit, Error *reterr_error);
/* The container of that id, if there is one, goes; who waits for it waits for c, which is not linked yet. */
int container_replace(Container *c, Error *reterr_error);
void container_follow_unit(Container *c);
/* Takes over what the unit has written down (restart.c): its run may have ended unseen. */
void container_take_unit_runs(Container *c);

/* container-terminal.c */
char *container_terminal_key(const Container *c);
/* Before the unit is started: its terminal, or its standard input (*ret_fd, which the caller closes; else -EBADF). */
int container_open_input(Container *c, const ContainerStdio *stdio, int *ret_fd, Error *reterr_error);
void container_close_input(Container *c); /* the container has ended */
void container_inputs_recovered(ContainerManager *m);
char *exec_terminal_key(const Exec *e);
/* Before the unit is started, if it is to have one. client: -EBADF or a socket. */
int exec_open_terminal(Exec *e, int client, Error *reterr_error);
void exec_close_terminal(Exec *e); /* it has ended, or was not started */

/* container-connect.c */
/* Recovery: a device of the host's that it has is to come back, plug-ins are to find what they have made in there. */
void container_keep_netns(Container *c);
void container_change_free(Container *c); /* who waits for it is told -ECANCELED */
/* What its /etc/hosts is to have now: nobody is in there yet. */
void container_refresh_hosts(const Container *c);

/* container-cni.c */
/* Before a transaction: are configurations and plug-ins there? */
int container_cni_prepare(const ContainerOptions *o, Error *reterr_error);
/* What plug-ins are to be told: network, interface and capabilities of each, as cni_manager_add() has them. */
int container_cni_attachments(const ContainerOptions *o, json_t **ret);
/* The start of a run: what there may be of the last one is detached first. */
void container_cni_set_up(Container *c);
void container_cni_set_down(Container *c);
/* The launcher asks; it may have to wait. */
void container_cni_answer(Container *c, NetworkAnswer *ret);
void container_cni_recovered(ContainerManager *m);
/* As cni_manager_misses_netns(). */
bool container_cni_misses_netns(const Container *c);
int container_cni_keep_netns(Container *c, int netns);

/* container-network.c */
/* What the options leave open: the networks, the ports of the image. Checks what they say together. */
int container_network_resolve(const ContainerManager *m, const ImageConfig *image, ContainerOptions *o,
                              Error *reterr_error);
/* Then, and before a transaction: the networks are there. */
int container_network_prepare(ContainerManager *m, const char *ns, const ContainerOptions *o, Error *reterr_error);
/* No container came of it. */
void container_network_abandon(ContainerManager *m, const char *ns);
/* In the transaction that adds the row. */
int container_network_reserve(Container *c, Error *reterr_error);
/* The annotation by which the launcher asks for it; NULL: it does not. */
int container_network_key(const Container *c, char **ret);
/* PID 1 may start it again: its unit keeps the namespace. (One that is installed has a new container made each time.) */
bool container_keeps_network(const Container *c);
/* The texts of its /etc/hosts and /etc/resolv.conf. */
int container_network_files(const Container *c, char **ret_hosts, char **ret_resolv);
/* Whose bundle has these files; c itself, but for one that shares another's network. */
const Container *container_network_owner(const Container *c);
/* While PID 1 makes the unit's process, which will ask for it; what goes wrong is told then. */
void container_network_set_up(Container *c);
void container_network_set_down(Container *c); /* it has ended, or was not started */
void container_network_drop(Container *c); /* its record is about to go, and its addresses will be another's */
void container_networks_recovered(ContainerManager *m);

/* names.c */
#define HOST_RESOLV_CONF "/etc/resolv.conf"
#define RESOLVED_RESOLV_CONF "/run/systemd/resolve/resolv.conf" /* where resolv.conf(5) itself names the stub */
/* The network whose resolver it asks; NULL: it has none, or the host's servers. */
Network *container_resolver(const Container *c);
/* Right before its unit is started: its resolver runs, or is about to, as the unit *ret_unit (NULL: it asks none). */
int container_names_start(Container *c, char **ret_unit);
void container_names_up(ContainerManager *m);  /* somebody's network is up, */
void container_names_end(ContainerManager *m); /* or down */
void container_names_recovered(ContainerManager *m);
/* "NAMESPACE/ID" → container; NULL. */
Container *container_find_by_key(ContainerManager *m, const char *key);

/* For ContainerManager.units. */
#define UNIT_THERE ((void *) 1)
#define UNIT_RELEASED ((void *) 2)
/* Gives an ended unit back; whoever it was of may be forgotten. Returns whether PID 1 has been asked. */
bool unit_release(ContainerManager *m, const char *unit);

/* container-start.c */
void container_take_control_group(Container *c, const UnitStatus *status);
uint64_t container_stop_timeout(const Container *c);
void container_record_start(Container *c, const UnitStatus *status);
/* The row and the event of an end, nothing else: the container may go on with another run. */
int container_record_end(Container *c, const UnitStatus *status, const char *result);
/* And that was the last: state, unit, waiters. recorded: what container_record_end() returned. */
void container_ended(Container *c, int recorded);
/* Writes the row, in one with the event (NULL: none). */
int container_record(Container *c, int (*event)(Container *c));
/* The same for one that runs: a stop that came too early for it follows. */
void container_started(Container *c, const UnitStatus *status);
/* status NULL: nothing is known of its end but result. */
void container_record_exit(Container *c, const UnitStatus *status, const char *result);
void container_release_unit(Container *c);
bool container_restarts(const Container *c);
/* What is said of an end that nobody saw: "lost", or "reboot". */
const char *container_lost_result(const Container *c);
/* A start that nobody here waits for has failed, or PID 1 has lost the unit. */
void container_start_failed(Container *c, const Error *error);
/* The unit of the last run is gone: its name is free. */
void container_unit_gone(Container *c);

/* container-stop.c */
/* A stop of a paused one goes on: it runs again. */
void container_stop_thawed(Container *c);

/* pause.c */
/* It runs, and its control group says whether it is frozen: state and event; adopted: without an event. */
void container_take_frozen(Container *c, bool adopted);
int container_thaw_for_stop(Container *c, Error *reterr_error);

/* restart.c */
static inline bool container_repeats(const Container *c) {
        return c->restart.policy != RESTART_NO;
}
/* Its starts and ends are written into the bundle. */
static inline bool container_logs_runs(const Container *c) {
        return container_repeats(c) || c->options.scope;
}
/* A start that somebody asked for is about to follow. */
void container_begin_runs(Container *c);
/* Takes over what launcher and record-exit have written since. invocation: is it among what they wrote? */
bool container_take_runs(Container *c, const char *invocation);
/* How that run has ended, as record-exit or record-exec wrote. */
bool run_log_last_words(int fd, const char *invocation_id, UnitStatus *ret);
/* Of one that is not started again: does it have properties by which PID 1 does not tell the journal all that there is
 * to be known of its end? Then record-exit is to write it down, */
bool container_ends_unheard(const Container *c);
/* and here it is. */
bool container_last_words(const Container *c, UnitStatus *ret);
/* The process of the run that the row speaks of, as they wrote; 0: they did not. */
uint32_t container_run_pid(const Container *c);
/* PID 1 says that it runs, and no line is there yet. */
void container_add_run(Container *c, const UnitStatus *u);
/* A run has begun, or goes on: if it lasts the next delay is a short one. */
void container_watch_run(Container *c);
/* PID 1 is about to start it again: once too often? */
void container_limit_runs(Container *c);
/* Somebody else ended what would have gone on: that counts as stopped. */
void container_settle_runs(Container *c);
/* After a boot. */
void container_start_wanted(ContainerManager *m);

/* That its units are in. NULL on OOM. */
char *container_slice(const Container *c);

typedef struct ExitData {
        int32_t code;
        const char *signal_name; /* or NULL */
        uint64_t finished_usec;
} ExitData;
/* status NULL: nothing is known. */
void exit_data_from_unit(const UnitStatus *status, ExitData *ret);

/* recovery.c */
typedef enum UnitPhase {
        UNIT_GONE,
        UNIT_STARTING,
        UNIT_RUNNING,
        UNIT_BETWEEN, /* being stopped, or about to be started again by PID 1 */
        UNIT_ENDED,
} UnitPhase;
/* How a unit ended that PID 1 has forgotten, as far as somebody wrote that down. */
bool unit_last_words(ContainerManager *m, const char *unit, const char *boot_id, const char *invocation_id,
                     UnitStatus *ret);

/* container-scope.c */
int container_check_scope(const ContainerOptions *o, Error *reterr_error);
int container_check_scope_start(const Container *c, Error *reterr_error);
/* The scope is there, and the caller's process in it. */
void container_scope_started(Container *c, const UnitStatus *status);
void container_scope_changed(Container *c, const UnitStatus *u, UnitPhase phase);
int container_scope_kill(Container *c, int signo);
void container_scope_done(Container *c);

/* exec.c */
/* Fills what is shown from row->options, and the name; row is taken over on success. */
int exec_new(Container *c, ExecRow *row, Exec **ret, Error *reterr_error);
int exec_add_waiter(Exec *e, WaiterKind kind, ExecFunc func, void *userdata);
/* Record, file and object go. */
int exec_drop(Exec *e, Error *reterr_error);
void exec_started(Exec *e, const UnitStatus *status);
void exec_start_failed(Exec *e, const Error *error);
/* At start, behind the containers'. */
int execs_load(ContainerManager *m);
void execs_recovered(ContainerManager *m);
void exec_unit_changed(Exec *e, const UnitStatus *status, UnitPhase phase);
/* Whether one has not ended yet: its end is told by PID 1, and until then the container stays. */
bool container_has_live_execs(const Container *c);
/* All objects go; waiters are answered with NULL, or with error. */
void container_forget_execs(Container *c, const Error *error);
