/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.moored1 on the system bus: what daemon/ sees of it.
 *
 * The connection is made at once, the objects can be called by those who know the connection's own name;
 * the name is asked for by bus_acquire_name(), when everything that the objects show has been recovered.
 * Signals go out from then on. */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/hashmap.h"
#include "container/container.h"
#include "container/exec.h"
#include "events/events.h"
#include "image/image.h"
#include "job/job.h"
#include "network/network.h"
#include "store/store.h"

#define BUS_NAME "org.moored1"

typedef struct Bus Bus;

/* The table of namespaces, which the daemon keeps. Rows are borrowed and valid until the namespace is
 * removed. */
typedef struct NamespaceOps {
        const NamespaceRow *(*find)(void *namespaces, const char *name,
                                    Error *reterr_error); /* "NoSuchNamespace" */
        bool (*iterate)(void *namespaces, HashmapIterator *i, const NamespaceRow **ret);
        /* labels are taken over (emptied) on success. "NamespaceExists", "InvalidArgument" */
        int (*create)(void *namespaces, const char *name, char ***labels, const NamespaceRow **ret,
                      Error *reterr_error);
        int (*remove)(void *namespaces, const char *name, Error *reterr_error); /* "NamespaceNotEmpty" */
} NamespaceOps;

/* Everything is borrowed and outlives the Bus. */
typedef struct BusContext {
        sd_event *event;
        Store *store;
        Events *events;
        JobManager *jobs;
        ImageManager *images;
        ContainerManager *containers;
        NetworkManager *networks;
        const NamespaceOps *namespace_ops;
        void *namespaces;
        const char *state_dir;
        const char *platform; /* "linux/amd64" */
} BusContext;

int bus_new(const BusContext *context, Bus **ret, Error *reterr_error);
/* Sends what is queued, forgets calls that were not answered. */
Bus *bus_free(Bus *b);
DEFINE_CLEANUP_FUNC(Bus *, bus_free)

/* func is called once: 0, or why the name cannot be had (-EEXIST: somebody else has it). */
int bus_acquire_name(Bus *b, void (*func)(int r, void *userdata), void *userdata, Error *reterr_error);

/* Prints the introspection XML of an interface ("org.moored1.Image": that interface alone) or of an
 * object path, as a client of the running daemon would get it. "list": the interfaces. Needs no bus. */
int bus_introspect(FILE *f, const char *what, Error *reterr_error);
