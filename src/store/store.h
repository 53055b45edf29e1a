/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* moored.db: every durable record, by SQLite (WAL). Rows are plain structs; strings in them are owned.
 *
 * Transactions: store_begin()/store_commit() nest (only the outermost counts). A durable transaction is on
 * disk when commit returns; one that is not survives the death of the daemon (it is in the WAL) but perhaps
 * not a power loss: that is for containers that remove themselves at exit, and for events. A single write
 * outside a transaction is a transaction of its own, durable. */

#include "basic/error.h"

typedef struct Store Store;

/* Opens or creates. A damaged file is moved to moored.db.damaged-<time>. *ret_rebuilt: the database is
 * empty, be it new, lost or damaged: the caller refills it from the OCI layout and the bundles, in one
 * transaction with the first namespace (until one is there *ret_rebuilt is set at each open). A schema newer
 * than ours: "SchemaTooNew". path ":memory:" for tests; *ret_rebuilt is never set then. */
int store_open(const char *path, Store **ret, bool *ret_rebuilt, Error *reterr_error);
Store *store_free(Store *s);
DEFINE_CLEANUP_FUNC(Store *, store_free)
int store_begin(Store *s, bool durable);
int store_commit(Store *s);
int store_rollback(Store *s);
/* For _cleanup_: rolls back what was not committed. */
typedef struct StoreTransaction {
        Store *store;
} StoreTransaction;
int store_transaction_begin(StoreTransaction *t, Store *s, bool durable);
int store_transaction_commit(StoreTransaction *t);
void store_transaction_done(StoreTransaction *t);
#define _cleanup_transaction_ _cleanup_(store_transaction_done)
bool store_in_transaction(Store *s);
/* Called when an outermost transaction has ended, be it that of a single write. There is one such function. */
void store_set_ended(Store *s, void (*func)(bool committed, void *userdata), void *userdata);
/* The last who had it open did not close it. */
bool store_was_unclean(Store *s);

/* -- namespaces ----------------------------------------------------------------------------------------- */
typedef struct NamespaceRow {
        char *name;
        char **labels; /* "key=value" */
        uint64_t created_usec;
} NamespaceRow;
void namespace_row_done(NamespaceRow *r);
int store_namespace_add(Store *s, const NamespaceRow *r);          /* -EEXIST */
int store_namespace_remove(Store *s, const char *name);            /* -ENOENT, -ENOTEMPTY */
int store_namespace_foreach(Store *s, int (*cb)(const NamespaceRow *r, void *userdata), void *userdata);

/* -- images: a name in a namespace → a descriptor ------------------------------------------------------- */
typedef struct ImageRow {
        char *ns;
        char *name;            /* complete reference */
        char *digest;          /* of the target: index or manifest */
        char *media_type;
        uint64_t size;         /* bytes of the target document */
        char *manifest_digest; /* the manifest for the platform that was pulled (equal to digest without an
                                  index) */
        char *config_digest;
        char *platform;        /* "linux/amd64" */
        uint64_t total_size;   /* manifest, config and layers, compressed */
        uint64_t created_usec; /* the configuration's */
        uint64_t tagged_usec;  /* when the name was set here */
        char **labels;
} ImageRow;
void image_row_done(ImageRow *r);
int store_image_set(Store *s, const ImageRow *r);                          /* insert or replace */
int store_image_remove(Store *s, const char *ns, const char *name);        /* -ENOENT */
/* ns NULL: all. Ordered by namespace and name. cb may take over what is in the row, if it leaves
 * it empty; so in the same of containers and execs. */
int store_image_foreach(Store *s, const char *ns, int (*cb)(ImageRow *r, void *userdata),
                        void *userdata);

/* -- blobs and what they refer to ----------------------------------------------------------------------- */
/* One that is there is touched. */
int store_blob_add(Store *s, const char *digest, uint64_t size, const char *media_type);
/* An edge from a manifest or index to what it names: the mark phase follows these. */
int store_blob_add_ref(Store *s, const char *parent, const char *child);
int store_blob_foreach(Store *s, int (*cb)(const char *digest, uint64_t size, void *userdata),
                       void *userdata);

/* -- leases: digests that a transfer (under way, or interrupted) needs ---------------------------------- */
int store_lease_add(Store *s, const char *lease, const char *digest, uint64_t expires_usec);
int store_lease_remove(Store *s, const char *lease); /* all of it */

/* -- snapshots ------------------------------------------------------------------------------------------ */
typedef enum SnapshotKind {
        SNAPSHOT_LAYER,
        SNAPSHOT_WRITABLE,
        _SNAPSHOT_KIND_MAX,
        _SNAPSHOT_KIND_INVALID = -EINVAL,
} SnapshotKind;
typedef struct SnapshotRow {
        uint64_t id;        /* names the directory; never used again */
        char *driver;
        SnapshotKind kind;
        char *chain_id;     /* layers; NULL for writable ones */
        char *diff_id;      /* layers */
        uint64_t parent;    /* snapshot id or 0 */
        bool ready;         /* layers: unpacked and verified */
        bool synced;        /* bytes are known to be on disk; false: trust only in the boot it was made in */
        char *boot_id;      /* of the boot it was made in */
        uint64_t size;      /* unpacked bytes */
        uint64_t created_usec;
} SnapshotRow;
void snapshot_row_done(SnapshotRow *r);
/* Fills r->id (0: a new number; else that one, for a database that is rebuilt). -EEXIST if driver and
 * chain_id are there, -ENOENT if the parent is not. */
int store_snapshot_add(Store *s, SnapshotRow *r);
int store_snapshot_set_ready(Store *s, uint64_t id, uint64_t size);
int store_snapshot_set_synced(Store *s, uint64_t id);
/* Neither ready nor synced any more, of another boot: what is known of its tree is forgotten, its number and
 * what stands on it stay. */
int store_snapshot_reset(Store *s, uint64_t id, uint64_t parent, const char *boot_id);
int store_snapshot_get(Store *s, uint64_t id, SnapshotRow *ret);
int store_snapshot_get_chain(Store *s, const char *driver, const char *chain_id, SnapshotRow *ret);
int store_snapshot_remove(Store *s, uint64_t id); /* -ENOENT, -ENOTEMPTY: it is a parent */
int store_snapshot_foreach(Store *s, int (*cb)(const SnapshotRow *r, void *userdata), void *userdata);

/* -- containers ----------------------------------------------------------------------------------------- */
typedef struct ContainerRow {
        char *ns;
        char *id;
        char *image;           /* complete reference */
        char *image_digest;    /* the manifest's */
        char *options;         /* JSON: everything it was created with (container/options.c) */
        uint64_t snapshot;     /* writable snapshot id */
        bool auto_remove;
        uint64_t created_usec;
        uint64_t started_usec;
        uint64_t finished_usec; /* 0 while it has not ended */
        char *boot_id;         /* of the last start */
        char *invocation_id;   /* of the unit's last start */
        int32_t exit_code;     /* -1: none */
        char *exit_signal;     /* "KILL", or NULL */
        char *result; /* systemd's Result of the unit: "success", "exit-code", "signal", "core-dump",
                         "oom-kill", "timeout", … or NULL */
        uint32_t restart_count; /* times that the restart policy has started it since a user did */
        bool stopped;          /* the last run ended because somebody wanted it to */
        uint64_t oom_kills; /* processes of this run, or the last, that the OOM killer has killed */
} ContainerRow;
void container_row_done(ContainerRow *r);
int store_container_add(Store *s, const ContainerRow *r);    /* -EEXIST */
int store_container_update(Store *s, const ContainerRow *r); /* all but the key */
int store_container_remove(Store *s, const char *ns, const char *id);
int store_container_foreach(Store *s, const char *ns, int (*cb)(ContainerRow *r, void *userdata),
                            void *userdata);

/* -- execs: other processes in containers ----------------------------------------------------------------- */
typedef struct ExecRow {
        uint64_t n; /* never used again, whatever the container */
        char *ns;
        char *id;              /* the container's */
        char *options;         /* JSON: what is shown of it (container/exec.c) */
        char *token;           /* the caller's, or NULL */
        bool auto_remove;
        uint64_t created_usec;
        uint64_t started_usec;  /* 0 while it has not started */
        uint64_t finished_usec; /* 0 while it has not ended */
        char *boot_id;          /* of its start */
        char *invocation_id;
        int32_t exit_code;     /* as a container's, and so the next two */
        char *exit_signal;
        char *result;
} ExecRow;
void exec_row_done(ExecRow *r);
/* Not durable by themselves: after a power loss there is nothing they could describe. */
int store_exec_add(Store *s, ExecRow *r);          /* fills r->n (0: a new number); -ENOENT: no such container */
int store_exec_update(Store *s, const ExecRow *r); /* all but number and container */
int store_exec_remove(Store *s, uint64_t n);       /* -ENOENT. With their container all of its go. */
/* Ordered by number. */
int store_exec_foreach(Store *s, int (*cb)(ExecRow *r, void *userdata), void *userdata);

/* -- networks, and what containers have on them ----------------------------------------------------------- */
/* Texts are as network/ formats them: one for each value. */
typedef struct SubnetRow {
        uint64_t n;
        char *prefix;  /* "10.87.0.0/24"; no two are the same */
        char *gateway; /* or NULL */
        char *range;   /* a prefix within it that addresses are taken from, or NULL: all of it */
} SubnetRow;
void subnet_row_done(SubnetRow *r);
typedef struct NetworkRow {
        uint64_t n; /* never used again */
        char *ns;
        char *name;
        char *driver;
        char *device; /* a bridge's; no two are the same. NULL: it has none */
        char *parent; /* or NULL, as is the next */
        char *mode;
        uint32_t mtu; /* 0: the kernel's */
        bool internal;
        bool no_dns;
        bool open; /* not isolated: others that are open, too, are reached */
        char **labels;
        uint64_t created_usec;
        SubnetRow *subnets;
        size_t n_subnets;
} NetworkRow;
void network_row_done(NetworkRow *r);
int store_network_add(Store *s, NetworkRow *r); /* fills all n; -EEXIST, -ENOENT: no such namespace */
int store_network_remove(Store *s, uint64_t n); /* -ENOENT, -ENOTEMPTY: it has interfaces */
int store_network_get(Store *s, uint64_t n, NetworkRow *ret); /* -ENOENT */
int store_network_find(Store *s, const char *ns, const char *name, NetworkRow *ret); /* -ENOENT */
/* Ordered by number. cb may take the row, and leaves an empty one. */
int store_network_foreach(Store *s, int (*cb)(NetworkRow *r, void *userdata), void *userdata);

/* A container's on a network; with it go its addresses. */
typedef struct InterfaceRow {
        uint64_t n; /* never used again */
        char *ns;
        char *container;
        uint64_t network;
        char *name;        /* in the container */
        char *host_device; /* no two are the same; NULL: there is none */
        char *mac;         /* no two on one network are the same */
        char **aliases;    /* words */
        char **addresses;  /* read only: store_address_add() */
} InterfaceRow;
void interface_row_done(InterfaceRow *r);
int store_interface_add(Store *s, InterfaceRow *r); /* fills n; -EEXIST, -ENOENT: no such container or network */
/* Ordered by number. */
int store_interface_foreach(Store *s, const char *ns, const char *container,
                            int (*cb)(const InterfaceRow *r, void *userdata), void *userdata);
int store_interface_foreach_in(Store *s, uint64_t network, int (*cb)(const InterfaceRow *r, void *userdata),
                               void *userdata);
int store_interface_remove(Store *s, const char *ns, const char *container, const char *name); /* -ENOENT */
bool store_host_device_is_known(Store *s, const char *device); /* an interface has it, or that cannot be found out */

/* What somebody has said of an interface: of one on a network what is different, else all of it. */
typedef struct DeviceRow {
        char *ns;
        char *container;
        char *name;
        char *host_device; /* NULL: there is none. No two are the same */
        char *spec;        /* JSON */
} DeviceRow;
void device_row_done(DeviceRow *r);
/* In place of what is there. -EEXIST: the host's device is another's. -ENOENT: no such container */
int store_device_put(Store *s, const DeviceRow *r);
/* In order of their addition. */
int store_device_foreach(Store *s, const char *ns, const char *container, int (*cb)(const DeviceRow *r, void *userdata),
                         void *userdata);
int store_device_remove(Store *s, const char *ns, const char *container, const char *name); /* -ENOENT */
int store_host_device_owner(Store *s, const char *device, char **ret_ns, char **ret_container); /* -ENOENT; among these */

/* number: which one of the subnet it is; what is above INT64_MAX counts as that. -EEXIST */
int store_address_add(Store *s, uint64_t subnet, uint64_t number, const char *address, uint64_t interface);
/* The lowest number from first to last that is free. -ENOENT */
int store_address_next(Store *s, uint64_t subnet, uint64_t first, uint64_t last, uint64_t *ret);
int store_address_owner(Store *s, uint64_t subnet, const char *address, char **ret_ns, char **ret_container); /* -ENOENT */

/* Published by a container: so many, from both numbers on. */
typedef struct PortRow {
        char *ns;
        char *container;
        char *protocol;
        char *address; /* "": any of the host's */
        uint16_t host_port, container_port, count;
} PortRow;
void port_row_done(PortRow *r);
int store_port_add(Store *s, const PortRow *r); /* -ENOENT: no such container */
/* In order of their addition. */
int store_port_foreach(Store *s, const char *ns, const char *container,
                       int (*cb)(const PortRow *r, void *userdata), void *userdata);
/* Those of any container that have one of the host's ports from first to last, whatever the address. */
int store_port_foreach_overlap(Store *s, const char *protocol, uint16_t first, uint16_t last,
                               int (*cb)(const PortRow *r, void *userdata), void *userdata);

/* -- garbage: what no image name, container, lease or pin reaches --------------------------------------- */
/* pinned: digests (blobs, chain ids) of running work, as a callback so that the table stays where it is. */
typedef struct Garbage {
        char **blobs;          /* digests; rows already deleted */
        uint64_t *snapshots;   /* ids, children before parents; rows already deleted */
        size_t n_snapshots;
        uint64_t bytes;
} Garbage;
void garbage_done(Garbage *g);
/* One transaction: drops expired leases, marks from images, containers, leases and pins, deletes the rows of
 * the rest (unless dry_run). Chain ids of an image's layers are reached through
 * store_manifest_set_chain(). */
int store_collect_garbage(Store *s, uint64_t now_usec, bool (*pinned)(const char *digest, void *userdata),
                          void *userdata, bool dry_run, Garbage *ret);
/* The top chain id that belongs to a manifest: keeps unpacked layers alive as long as the manifest is
 * reached. */
int store_manifest_set_chain(Store *s, const char *manifest_digest, const char *chain_id);

/* -- events --------------------------------------------------------------------------------------------- */
#define EVENTS_KEPT_DEFAULT 10000U
typedef struct EventRow {
        uint64_t sequence;
        uint64_t usec;
        char *ns;
        char *topic;
        char *subject;
        char *details; /* JSON object: values are strings, integers, booleans */
} EventRow;
void event_row_done(EventRow *r);
int store_event_add(Store *s, EventRow *r); /* fills r->sequence; not durable by itself */
int store_event_foreach_since(Store *s, uint64_t sequence, uint32_t max,
                              int (*cb)(const EventRow *r, void *userdata), void *userdata);
uint64_t store_event_last(Store *s);
/* The first that is kept; the one behind the last if there is none. */
uint64_t store_event_oldest(Store *s);
/* The next gets a number above this one. */
int store_event_skip_to(Store *s, uint64_t sequence);
int store_event_trim(Store *s, uint32_t keep);
