/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tree of objects: one table from which they are registered on the bus and from which `moored
 * --bus-introspect` is served. Shared by the files of bus/ alone. */

#include <systemd/sd-bus.h>

#include "bus/bus-auth.h"
#include "bus/bus.h"

#define BUS_PATH "/org/moored1"
#define BUS_INTERFACE_MANAGER "org.moored1.Manager"
#define BUS_INTERFACE_NAMESPACE "org.moored1.Namespace"
#define BUS_INTERFACE_IMAGE "org.moored1.Image"
#define BUS_INTERFACE_CONTAINER "org.moored1.Container"
#define BUS_INTERFACE_EXEC "org.moored1.Exec"
#define BUS_INTERFACE_NETWORK "org.moored1.Network"
#define BUS_INTERFACE_INTERFACE "org.moored1.Interface"
#define BUS_INTERFACE_JOB "org.moored1.Job"

/* For sd_bus_path_encode_many() and sd_bus_path_decode_many(). */
#define BUS_PATTERN_NAMESPACE BUS_PATH "/namespace/%"
#define BUS_PATTERN_IMAGE BUS_PATTERN_NAMESPACE "/image/%"
#define BUS_PATTERN_CONTAINER BUS_PATTERN_NAMESPACE "/container/%"
#define BUS_PATTERN_EXEC BUS_PATTERN_CONTAINER "/exec/%"
#define BUS_PATTERN_NETWORK BUS_PATTERN_NAMESPACE "/network/%"
#define BUS_PATTERN_INTERFACE BUS_PATTERN_CONTAINER "/interface/%"
#define BUS_PATTERN_JOB BUS_PATH "/job/%"

/* What cannot be made with another snapshotter needs no list. */
#define BUS_SNAPSHOTTER "overlay"

typedef struct BusCall BusCall;
typedef struct BusWait BusWait;
typedef struct BusUnpack BusUnpack;

struct Bus {
        BusContext context;
        sd_bus *bus;
        BusAuth *auth;
        bool exporting;  /* the name has been asked for: signals go out */
        BusCall *calls;  /* method calls that are answered later */
        BusUnpack *unpacks; /* those that wait for layers */
        Hashmap *waits;  /* path → BusWait* */
        size_t n_waiters;
        sd_bus_slot *name_slot;
        void (*name_func)(int r, void *userdata);
        void *name_userdata;
};

typedef struct BusObject {
        const char *interface;
        const char *prefix;  /* where the vtable is registered: all below it that find() accepts is one */
        const char *pattern;          /* NULL: the prefix itself is the object */
        const char *sample;           /* a path that such an object could have */
        const sd_bus_vtable *vtable;
        sd_bus_object_find_t find;    /* userdata is the Bus */
        sd_bus_node_enumerator_t enumerate;
} BusObject;

extern const BusObject bus_manager_object;
extern const BusObject bus_namespace_object;
extern const BusObject bus_image_object;
extern const BusObject bus_container_object;
extern const BusObject bus_exec_object;
extern const BusObject bus_interface_object;
extern const BusObject bus_network_object;
extern const BusObject bus_job_object;
extern const sd_bus_vtable bus_log_control_vtable[]; /* at /org/freedesktop/LogControl1 */

int bus_register_objects(Bus *b, Error *reterr_error);

/* The Bus whose object a method or getter of an object below the root runs for. Only at its beginning: an
 * emitted signal clears it. */
Bus *bus_current(sd_bus *bus);

/* NULL on OOM. */
char *bus_namespace_path(const char *ns);
char *bus_image_path(const char *ns, const char *name);
char *bus_container_path(const char *ns, const char *id);
char *bus_exec_path(const char *ns, const char *id, uint64_t n);
char *bus_interface_path(const char *ns, const char *id, const char *name);
char *bus_network_path(const char *ns, const char *name);
char *bus_job_path(uint32_t id);

/* One path as the only result of a method. */
int bus_reply_path(sd_bus_message *m, const char *path);
/* An array as the only result: elements are appended between the two. r: what became of that; what is not complete is
 * not sent. */
int bus_reply_open_array(sd_bus_message *m, const char *contents, sd_bus_message **ret);
int bus_reply_send_array(sd_bus_message *reply, int r);
/* Getters of members, found by the vtable's offset: a bool; a char * that names a unit, as that unit's path; a char **
 * of labels. */
int bus_property_get_bool(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int bus_property_get_unit_path(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
int bus_property_get_labels(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);
/* For getters: NULL is "". */
int bus_append_string(sd_bus_message *reply, const char *s);
