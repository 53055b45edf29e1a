/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What happened, for whoever wants to know inside the process (the bus, the journal, the log of events).
 * Lower layers emit, upper layers subscribe; nobody below bus/ knows of D-Bus. */

#include "basic/error.h"
#include "store/store.h"

typedef enum NotifyType {
        NOTIFY_NAMESPACE_ADDED,
        NOTIFY_NAMESPACE_REMOVED,
        NOTIFY_IMAGE_ADDED,
        NOTIFY_IMAGE_CHANGED,
        NOTIFY_IMAGE_REMOVED,
        NOTIFY_CONTAINER_ADDED,
        NOTIFY_CONTAINER_CHANGED, /* any of its changing properties but its limits and its health */
        NOTIFY_CONTAINER_LIMITS_CHANGED,
        NOTIFY_CONTAINER_HEALTH,
        NOTIFY_CONTAINER_NETWORKS, /* it has others */
        NOTIFY_CONTAINER_REMOVED,
        NOTIFY_INTERFACE_ADDED, /* object: its name, a char*, here and below */
        NOTIFY_INTERFACE_CHANGED,
        NOTIFY_INTERFACE_REMOVED,
        NOTIFY_EXEC_ADDED, /* it runs */
        NOTIFY_EXEC_CHANGED,
        NOTIFY_EXEC_REMOVED,
        NOTIFY_NETWORK_ADDED,
        NOTIFY_NETWORK_REMOVED,
        NOTIFY_JOB_ADDED,
        NOTIFY_JOB_CHANGED,       /* state or progress; at most four a second for progress */
        NOTIFY_JOB_REMOVED,       /* it has ended (the object stays for a minute: NOTIFY_JOB_GONE) */
        NOTIFY_JOB_GONE,
        NOTIFY_EVENT,             /* object: const EventRow* */
        _NOTIFY_TYPE_MAX,
} NotifyType;

typedef struct Events Events;
typedef void (*NotifyFunc)(NotifyType type, const char *ns, const char *name, void *object, void *userdata);

int events_new(Store *store, uint32_t keep, Events **ret);
Events *events_free(Events *e);
DEFINE_CLEANUP_FUNC(Events *, events_free)
int events_subscribe(Events *e, NotifyFunc func, void *userdata);
/* name: image reference, container id (of an exec: its container's), job id in decimal, network. object: the Image*,
 * Container*, Exec*, Network*, Job* or NULL. */
void events_notify(Events *e, NotifyType type, const char *ns, const char *name, void *object);

/* A numbered event: stored (bounded), then an entry of the journal and NOTIFY_EVENT; inside a transaction of
 * the store when that has been committed. details: pairs "Key", "value" of strings up to NULL; a key that
 * begins with "#" has an int64_t as value. Topics: events/topics.c. subject: image reference, container id,
 * job id, namespace, network. */
int events_record(Events *e, const char *ns, const char *topic, const char *subject, ...)
                __attribute__((__sentinel__));
/* Of what has been told. */
uint64_t events_last_sequence(Events *e);
/* The first that is kept; the next one if there is none. */
uint64_t events_oldest_sequence(Events *e);
/* "EventsLost" if not all events with higher numbers are there; 0 is none's number, and never fails. */
int events_check_since(Events *e, uint64_t sequence, Error *reterr_error);
/* Before anything is recorded. The first start after a boot, and the last process did not close the store:
 * events may be lost, and leave out their numbers. */
int events_after_power_loss(Events *e);
/* The store is a new one in place of another: its numbers become larger than those in that can have been. */
int events_after_database_loss(Events *e);
/* From now on path holds the number of the last event that has its entry in the journal: what a killed
 * daemon had no time to write is written now. Before events are recorded, but those above. */
int events_keep_mark(Events *e, const char *path);
