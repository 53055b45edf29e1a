/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* After a crash rows and directories are made to agree: a plan (whose tree is lost) from rows and
 * directories, then the rows in one transaction, then the directories. Being killed anywhere in between
 * leaves something that the next recovery sees in the same way.
 *
 * Lost is the tree of a layer that is not ready, or was not synced in an earlier boot, or has no directory,
 * or stands on a layer whose tree is lost. The layer's row stays: containers stand on its number, and that
 * it is there says that the layer had been unpacked. A writable snapshot is somebody's data and only goes if
 * it has no directory. */

#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "oci/manifest.h"
#include "snapshot/snapshot-internal.h"

typedef struct Entry {
        uint64_t id;
        uint64_t parent;
        bool layer;
        bool ready;
        bool lost;
} Entry;

typedef struct Table {
        SnapshotManager *manager;
        Entry *entries; /* by id */
        size_t n, size;
} Table;

static void table_done(Table *t) {
        free(t->entries);
        *t = (Table) {};
}

static bool has_directory(SnapshotManager *m, uint64_t id) {
        char name[SNAPSHOT_NAME_MAX + 3];
        struct stat st;

        snprintf(name, sizeof(name), "%" PRIu64 "/fs", id);
        return fstatat(m->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISDIR(st.st_mode);
}

static bool tree_is_lost(SnapshotManager *m, const SnapshotRow *row) {
        if (row->kind == SNAPSHOT_LAYER &&
            (!row->ready || (!row->synced && !streq_ptr(row->boot_id, m->boot_id))))
                return true;

        return !has_directory(m, row->id);
}

static int table_add(const SnapshotRow *row, void *userdata) {
        Table *t = userdata;

        if (!streq(row->driver, SNAPSHOT_DRIVER))
                return 0;

        if (t->n >= t->size) {
                size_t size = MAX(t->size * 2, (size_t) 64);
                Entry *e = reallocarray(t->entries, size, sizeof(Entry));

                if (!e)
                        return -ENOMEM;

                t->entries = e;
                t->size = size;
        }

        t->entries[t->n++] = (Entry) {
                .id = row->id,
                .parent = row->parent,
                .lost = tree_is_lost(t->manager, row),
                .layer = row->kind == SNAPSHOT_LAYER,
                .ready = row->ready,
        };
        return 0;
}

static int compare_id(const void *a, const void *b) {
        const Entry *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

static Entry *table_find(const Table *t, uint64_t id) {
        Entry key = { .id = id };

        return t->n == 0 ? NULL : bsearch(&key, t->entries, t->n, sizeof(Entry), compare_id);
}

/* Up the chain: is anything in it lost? A chain that is too long or not whole is, too. */
static void entry_follow(const Table *t, Entry *e) {
        unsigned depth = 0;

        for (const Entry *p = e; e->layer && p->parent > 0;) {
                p = table_find(t, p->parent);
                if (!p || p->lost || ++depth > LAYERS_MAX) {
                        e->lost = true;
                        return;
                }
        }
}

static int change_rows(SnapshotManager *m, const Table *t) {
        _cleanup_transaction_ StoreTransaction transaction = {};
        int r;

        r = store_transaction_begin(&transaction, m->store, true);
        if (r < 0)
                return r;

        for (size_t i = 0; i < t->n; i++) {
                const Entry *e = t->entries + i;

                if (!e->lost)
                        continue;

                log_debug("Snapshot %" PRIu64 " is incomplete.", e->id);
                if (!e->layer)
                        r = store_snapshot_remove(m->store, e->id);
                else if (e->ready)
                        r = store_snapshot_reset(m->store, e->id, e->parent, m->boot_id);
                if (r < 0)
                        return r;
        }

        return store_transaction_commit(&transaction);
}

static bool name_is_kept(const Table *t, const char *name) {
        const Entry *e;
        uint64_t id;

        /* "007" is not our spelling. */
        if (name[0] == '0' || parse_uint64(name, &id) < 0)
                return false;

        e = table_find(t, id);
        return e && !e->lost;
}

static int drop_directories(SnapshotManager *m, const Table *t) {
        struct dirent *e;
        int fd, r = 0;
        DIR *d;

        fd = openat(m->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        d = fdopendir(fd);
        if (!d) {
                r = -errno;
                (void) close(fd);
                return r;
        }

        while (r >= 0 && (errno = 0, e = readdir(d))) {
                if (streq(e->d_name, ".") || streq(e->d_name, "..") || streq(e->d_name, "trash") ||
                    name_is_kept(t, e->d_name))
                        continue;

                r = snapshot_discard(m, e->d_name);
        }
        if (r >= 0)
                r = -errno;

        (void) closedir(d);
        return r;
}

int snapshot_manager_recover(SnapshotManager *m, const char *boot_id, Error *reterr_error) {
        _cleanup_(table_done) Table t = { .manager = m };
        bool any = false;
        int r;

        if (free_and_strdup(&m->boot_id, boot_id) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        r = store_snapshot_foreach(m->store, table_add, &t);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "The snapshots cannot be read from the database: %m");

        /* Rows come in the order of their ids, which table_find() relies on. */
        for (size_t i = 0; i < t.n; i++)
                entry_follow(&t, t.entries + i);
        for (size_t i = 0; i < t.n; i++)
                any = any || (t.entries[i].lost && (t.entries[i].ready || !t.entries[i].layer));

        if (any) {
                r = change_rows(m, &t);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "That snapshots are incomplete cannot be recorded: %m");
        }

        r = drop_directories(m, &t);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Incomplete snapshots in %s cannot be moved to the trash: %m",
                                       m->dir);

        return snapshot_manager_trash_pending(m);
}
