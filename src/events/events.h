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
        NOTIFY_CONTAINER_REMOVED,
        NOTIFY_EXEC_ADDED, /* it runs */
        NOTIFY_EXEC_CHANGED,
        NOTIFY_EXEC_REMOVED,
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
/* name: image reference, container id (of an exec: its container's), job id in decimal. object: the Image*,
 * Container*, Exec*, Job* or NULL. */
void events_notify(Events *e, NotifyType type, const char *ns, const char *name, void *object);

/* A numbered event: stored (bounded), then NOTIFY_EVENT. details: pairs "Key", "value" of strings up to
 * NULL; a key that begins with "#" has an integer as value (in decimal). Topics: image/pulled image/tagged
 * image/removed container/created container/started container/exited container/stopped container/removed
 * container/paused container/resumed container/updated container/oom container/health-changed
 * container/exec-started container/exec-exited
 * job/new job/removed namespace/created namespace/removed. subject: image reference, container id, job
 * id. */
int events_record(Events *e, const char *ns, const char *topic, const char *subject, ...)
                __attribute__((__sentinel__));
uint64_t events_last_sequence(Events *e);
