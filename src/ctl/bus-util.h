/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connection to moored, calls on it, and errors as people read them. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "basic/error.h"
#include "basic/json.h"
#include "ctl/ctl.h"

#define BUS_NAME "org.moored1"
#define BUS_PATH "/org/moored1"
#define BUS_MANAGER "org.moored1.Manager"
#define BUS_NAMESPACE "org.moored1.Namespace"
#define BUS_IMAGE "org.moored1.Image"
#define BUS_CONTAINER "org.moored1.Container"
#define BUS_EXEC "org.moored1.Exec"
#define BUS_INTERFACE "org.moored1.Interface"
#define BUS_NETWORK "org.moored1.Network"
#define BUS_JOB "org.moored1.Job"
#define BUS_PROPERTIES "org.freedesktop.DBus.Properties"

#define BUS_ERROR_EVENTS_LOST "org.moored1.Error.EventsLost"
#define BUS_ERROR_NO_SUCH_CONTAINER "org.moored1.Error.NoSuchContainer"
#define BUS_ERROR_NOT_RUNNING "org.moored1.Error.NotRunning"

/* moored comes and goes. */
#define MATCH_OWNER                                                                                         \
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"                         \
        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" BUS_NAME "'"

#define BUS_CALLS_MAX 64U /* under way at once: dbus-daemon allows 128 a connection */

#define _cleanup_message_ _cleanup_(sd_bus_message_unrefp)
#define _cleanup_bus_error_ _cleanup_(sd_bus_error_free)

/* Connects once, to the bus of this host, of -H or of -M. c->bus is set after. */
int ctl_connect(Ctl *c, Error *reterr_error);
/* Before a call that may need authentication: lets polkit ask on this terminal (as systemctl does). Never
 * fails. */
void ctl_start_agent(Ctl *c);

/* NULL on OOM; free(). */
char *namespace_path(const char *ns);
char *container_path(const char *ns, const char *id);
/* "CONTAINER/NUMBER" names an exec. */
bool name_is_exec(const char *name);
int exec_path_number(const char *path, uint64_t *ret);
/* Of a container or an exec; *ret_interface (may be NULL) says which. */
char *container_or_exec_path(const char *ns, const char *name, const char **ret_interface);

/* A reply that is an error, or a call that failed (e not set, r negative), as a sentence with the remedy.
 * Returns its errno. */
int bus_error_to_error(const sd_bus_error *e, int r, Error *reterr_error);
/* bus_error_to_error() of a call whose object is a namespace: an unknown one is said to be that. */
int namespace_error(const char *ns, const sd_bus_error *e, int r, Error *reterr_error);
/* moored went away before it answered: what was asked for may or may not have been done. */
bool bus_error_is_lost(const sd_bus_error *e);
/* moored itself answered so. */
bool bus_error_is_moored(const sd_bus_error *e);
/* There is no such object (any more). */
bool bus_error_is_unknown_object(const sd_bus_error *e);
/* bus_error_to_error(), but says what an unknown object is: no container (or exec) of that name. */
int container_error(Ctl *c, const char *id, const sd_bus_error *e, Error *reterr_error);

/* ctl_call_message() and ctl_get_all() of a container's or an exec's object: errors as container_error() has them. */
int container_call_message(Ctl *c, const char *name, sd_bus_message *m, sd_bus_message **ret, Error *reterr_error);
int container_get_all(Ctl *c, const char *name, const char *path, const char *interface, json_t **ret,
                      Error *reterr_error);

/* A method call with interactive authorization allowed, unless --no-ask-password. Connects. */
int ctl_new_call(Ctl *c, const char *path, const char *interface, const char *member, sd_bus_message **ret,
                 Error *reterr_error);
/* Sends it and waits for the answer as long as it takes. ret may be NULL. */
int ctl_call_message(Ctl *c, sd_bus_message *m, sd_bus_message **ret, Error *reterr_error);
int ctl_call(Ctl *c, const char *path, const char *interface, const char *member, sd_bus_message **ret,
             Error *reterr_error, const char *types, ...);

/* Has moored's events about one subject (a container's name) sent to us and given to the callback. Does not
 * wait. */
int ctl_match_events(Ctl *c, const char *subject, sd_bus_message_handler_t callback, void *userdata,
                     sd_bus_slot **ret, Error *reterr_error);

/* A broadcast Event of moored's: anybody may send us one directly. */
bool bus_message_is_event(sd_bus_message *m);

/* All properties of an interface as an object. */
int ctl_get_all(Ctl *c, const char *path, const char *interface, json_t **ret, Error *reterr_error);
/* The same of many objects, BUS_CALLS_MAX at a time: an array in that order, without those that have gone
 * meanwhile. */
int ctl_get_all_many(Ctl *c, char *const *paths, const char *interface, json_t **ret, Error *reterr_error);

/* Many calls side by side. make() makes the i-th; done() is called for each, with the reply or an error. */
typedef struct BusBatch {
        size_t n;
        int (*make)(Ctl *c, size_t i, sd_bus_message **ret, void *userdata, Error *reterr_error);
        /* A negative errno ends the batch. */
        int (*done)(Ctl *c, size_t i, sd_bus_message *reply, void *userdata, Error *reterr_error);
        void *userdata;
} BusBatch;
int ctl_batch(Ctl *c, const BusBatch *batch, Error *reterr_error);
