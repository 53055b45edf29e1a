/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of unit/ only. */

#include "basic/hashmap.h"
#include "unit/unit.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD_NAME ".Manager"
#define SYSTEMD_UNIT_PATH SYSTEMD_PATH "/unit"
#define UNIT_PATTERN "moored-*-*.service" /* not moored-probe.service, which is nobody's */
#define UNIT_SCOPE_PATTERN "moored-*-*.scope"
#define UNIT_TEMPLATE_PATTERN "moored@*.service"
#define UNIT_RECONNECT_MIN_USEC UINT64_C(100000)

typedef struct Unit {
        UnitManager *manager; /* weak */
        char *name;
        UnitStatus status;   /* as PID 1 told it last */
        uint64_t generation; /* of the enumeration that it was last seen in, or made in */
        bool syncing;        /* its properties have been asked for: nothing is told before they are here */
        bool start_pending;
        bool job_lost; /* the connection broke during the start: its end is judged by the unit's state */
        bool job_canceled; /* the same, as somebody has stopped the unit, which takes its time */
        char *job;     /* object path */
        UnitStartFunc start_func;
        void *start_userdata;
} Unit;

/* A method call under way. The handler is called once: with the reply, with an error, or with -ECANCELED
 * when the manager goes. */
typedef struct UnitCall UnitCall;
typedef void (*UnitCallHandler)(UnitCall *c, sd_bus_message *reply /* NULL if r < 0 */, int r,
                                const Error *error);
typedef void (*UnitDoneFunc)(int r, const Error *error, void *userdata);
typedef void (*UnitProcessesFunc)(int r, const uint32_t *pids, char *const *commands, size_t n,
                                  void *userdata);
typedef void (*UnitLimitsFunc)(int r, char *const *limits, void *userdata);
typedef void (*UnitTrafficFunc)(int r, const UnitTraffic *traffic, void *userdata);
struct UnitCall {
        UnitManager *manager; /* weak */
        UnitCall *prev, *next;
        sd_bus_slot *slot;       /* once it is sent */
        sd_bus_message *waiting; /* until then */
        char *unit; /* or NULL */
        uint64_t generation;
        UnitCallHandler handler;
        UnitDoneFunc done;
        UnitProcessesFunc processes;
        UnitLimitsFunc limits;
        UnitTrafficFunc traffic;
        void *userdata;
};

struct UnitManager {
        sd_event *event;
        ContainerManager *containers; /* weak */
        void (*ready)(void *userdata);
        void *userdata;
        bool ready_told;
        sd_bus *bus;
        Hashmap *units; /* name → Unit, owns them */
        UnitCall *calls; /* the newest first */
        size_t n_sent;   /* of them */
        sd_event_source *reconnect_timer;
        uint64_t reconnect_usec; /* the next delay */
        bool back_off;           /* PID 1 knows RestartSteps= */
        bool resolved;           /* there is a resolver that can be told of links */
        bool reloading;          /* PID 1 takes all units away and makes them anew: that says nothing */
        uint64_t generation;     /* of the last enumeration that was begun */
        char **sync_queue;       /* names of the units to ask for */
        size_t sync_next;
        size_t sync_inflight;
};

/* unit.c */
Unit *unit_get(UnitManager *m, const char *name);
int unit_new(UnitManager *m, const char *name, Unit **ret);
void unit_tell(Unit *u);         /* what is known now, unless a start or an enumeration is under way */
void unit_gone(Unit *u);         /* tells, and frees it */
void unit_settle_start(Unit *u); /* a start whose job nobody will report */
void unit_manager_reconnect_later(UnitManager *m);
/* Sends it, or keeps it until others are answered: in order. */
int unit_call(UnitManager *m, sd_bus_message *message, const UnitCall *template);
int unit_manager_message(UnitManager *m, const char *method, sd_bus_message **ret);
/* A handler: calls c->done. */
void unit_call_done(UnitCall *c, sd_bus_message *reply, int r, const Error *error);
/* Message and call in one. */
int unit_call_method(UnitManager *m, const UnitCall *template, const char *method, const char *types, ...);

/* unit-spec.c */
/* back_off: PID 1 knows delays between restarts that grow. */
int unit_spec_append(sd_bus_message *m, const UnitSpec *spec, bool back_off, Error *reterr_error);
/* What systemd answered, in moored's terms. */
int unit_error_from_message(sd_bus_message *reply, Error *ret);
/* "Name: sentence", as the launcher's STATUS= has it. */
int unit_error_from_status(const UnitStatus *status, const char *unit, const char *job_result, Error *ret);

/* unit-limits.c: of the backend */
int unit_update(void *backend, const char *unit, char *const *properties, UnitDoneFunc func,
                void *userdata);
int unit_freeze(void *backend, const char *unit, bool freeze, UnitDoneFunc func, void *userdata);
int unit_limits(void *backend, const char *unit, UnitLimitsFunc func, void *userdata);
int unit_traffic(void *backend, const char *unit, UnitTrafficFunc func, void *userdata);

/* unit-resolved.c: of the backend */
void unit_set_names_link(void *backend, const NamesLink *link);
void unit_revert_names_link(void *backend, int index);
/* With each new connection. */
int unit_resolved_connect(UnitManager *m);

/* unit-journal.c */
/* How a run of a unit ended that PID 1 knows no more; blocks for as long as it takes to look that up in the
 * journal. -ENODATA: that is not there. */
int unit_journal_last_words(const char *unit, const char *invocation_id, UnitStatus *ret);

/* unit-sync.c */
/* The properties of template->unit; interface "": of all. */
int unit_call_get_all(UnitManager *m, const UnitCall *template, const char *interface);
int unit_status_read(UnitStatus *s,
                     sd_bus_message *m); /* a{sv}; members that are not there stay as they are */
int unit_manager_sync(UnitManager *m);
int unit_refresh(Unit *u); /* asks for its properties and tells them */
