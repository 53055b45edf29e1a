/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One connection, used by one thread.
 *
 * 1. The file is in WAL mode. "synchronous" is FULL for a durable transaction (the WAL is synced when it
 *    commits, and with it all earlier ones) and NORMAL for the others; it can only change between
 *    transactions, so store_begin() does it.
 * 2. The outermost transaction decides. Where an inner one is rolled back the outermost cannot commit any
 *    more. A single statement that fails inside a transaction undoes itself only: -EEXIST and the like can
 *    be handled and the rest committed.
 * 3. SQLite rolls back by itself on some errors (no space, I/O). What comes after must not slip through as a
 *    transaction of its own: query_begin() refuses while our depth says "inside" and SQLite says "outside".
 * 4. A clean close removes the -wal file. If one is there at open the last process died: then, and when
 *    SQLite reported damage while it ran, the file is checked before it is trusted. A damaged one is set
 *    aside, never deleted.
 * 5. Statements are prepared once and found again by the address of their text. One that is in use (a
 *    callback that asks the same question again) gets a copy for that time. */

#include <fcntl.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "store/store-internal.h"

#define SCHEMA_VERSION 4
#define BUSY_TIMEOUT_MSEC 2000
#define CACHE_KIB 1024
#define WAL_SIZE_MAX 4194304
#define WAL_RESERVE 1048576 /* below WAL_SIZE_MAX, which cuts it */
#define LABELS_SIZE_MAX (8U * 1024 * 1024)

enum {
        SYNCHRONOUS_NORMAL = 1,
        SYNCHRONOUS_FULL = 2,
};

/* clang-format off */
/* What leads from each version of the schema to the next; the first makes that of an empty file. A new database goes
 * through all of them, so that it has exactly what an older one becomes. Those of published versions never change. */
static const char *const schema_steps[SCHEMA_VERSION] = {
[0] =
        "CREATE TABLE namespaces ("
        " name TEXT PRIMARY KEY, labels TEXT NOT NULL,"
        " created_usec INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE images ("
        " ns TEXT NOT NULL REFERENCES namespaces (name), name TEXT NOT NULL,"
        " digest TEXT NOT NULL, media_type TEXT, size INTEGER NOT NULL, manifest_digest TEXT,"
        " config_digest TEXT, platform TEXT, total_size INTEGER NOT NULL,"
        " created_usec INTEGER NOT NULL, tagged_usec INTEGER NOT NULL, labels TEXT NOT NULL,"
        " PRIMARY KEY (ns, name)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE blobs ("
        " digest TEXT PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT) STRICT, WITHOUT ROWID;"
        /* No foreign keys: an index names manifests that are not here. */
        "CREATE TABLE refs ("
        " parent TEXT NOT NULL, child TEXT NOT NULL,"
        " PRIMARY KEY (parent, child)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE chains ("
        " manifest TEXT PRIMARY KEY, chain_id TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE leases ("
        " lease TEXT NOT NULL, digest TEXT NOT NULL, expires_usec INTEGER NOT NULL,"
        " PRIMARY KEY (lease, digest)) STRICT, WITHOUT ROWID;"
        /* AUTOINCREMENT: an id names a directory that may still wait to be deleted: never again. */
        "CREATE TABLE snapshots ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, driver TEXT NOT NULL, kind INTEGER NOT NULL,"
        " chain_id TEXT, diff_id TEXT, parent INTEGER REFERENCES snapshots (id),"
        " ready INTEGER NOT NULL, synced INTEGER NOT NULL, boot_id TEXT, size INTEGER NOT NULL,"
        " created_usec INTEGER NOT NULL, UNIQUE (driver, chain_id)) STRICT;"
        "CREATE INDEX snapshots_parent ON snapshots (parent);"
        "CREATE TABLE containers ("
        " ns TEXT NOT NULL REFERENCES namespaces (name), id TEXT NOT NULL, image TEXT,"
        " image_digest TEXT, options TEXT, snapshot INTEGER NOT NULL,"
        " auto_remove INTEGER NOT NULL, created_usec INTEGER NOT NULL,"
        " started_usec INTEGER NOT NULL, finished_usec INTEGER NOT NULL, boot_id TEXT,"
        " invocation_id TEXT, exit_code INTEGER NOT NULL, exit_signal TEXT, result TEXT,"
        " PRIMARY KEY (ns, id)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE events ("
        " sequence INTEGER PRIMARY KEY AUTOINCREMENT, usec INTEGER NOT NULL, ns TEXT,"
        " topic TEXT NOT NULL, subject TEXT, details TEXT) STRICT;",
[1] =
        "ALTER TABLE containers ADD COLUMN restart_count INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE containers ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE containers ADD COLUMN oom_kills INTEGER NOT NULL DEFAULT 0;"
        /* AUTOINCREMENT: the number is part of a unit's name, which may still be taken: never again. */
        "CREATE TABLE execs ("
        " n INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL, id TEXT NOT NULL, options TEXT NOT NULL,"
        " token TEXT, auto_remove INTEGER NOT NULL, created_usec INTEGER NOT NULL,"
        " started_usec INTEGER NOT NULL, finished_usec INTEGER NOT NULL, boot_id TEXT,"
        " invocation_id TEXT, exit_code INTEGER NOT NULL, exit_signal TEXT, result TEXT,"
        " FOREIGN KEY (ns, id) REFERENCES containers (ns, id) ON DELETE CASCADE) STRICT;"
        "CREATE INDEX execs_container ON execs (ns, id);",
[2] =
        "CREATE TABLE networks ("
        " n INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL REFERENCES namespaces (name), name TEXT NOT NULL,"
        " driver TEXT NOT NULL, device TEXT UNIQUE, parent TEXT, mode TEXT, mtu INTEGER NOT NULL,"
        " internal INTEGER NOT NULL, no_dns INTEGER NOT NULL, labels TEXT NOT NULL,"
        " created_usec INTEGER NOT NULL, UNIQUE (ns, name)) STRICT;"
        "CREATE TABLE subnets ("
        " n INTEGER PRIMARY KEY AUTOINCREMENT,"
        " network INTEGER NOT NULL REFERENCES networks (n) ON DELETE CASCADE,"
        " prefix TEXT NOT NULL UNIQUE, gateway TEXT, range TEXT) STRICT;"
        "CREATE INDEX subnets_network ON subnets (network);"
        "CREATE TABLE interfaces ("
        " n INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL, container TEXT NOT NULL,"
        " network INTEGER NOT NULL REFERENCES networks (n), name TEXT NOT NULL, host_device TEXT UNIQUE,"
        " mac TEXT NOT NULL, aliases TEXT NOT NULL, UNIQUE (ns, container, name), UNIQUE (network, mac),"
        " FOREIGN KEY (ns, container) REFERENCES containers (ns, id) ON DELETE CASCADE) STRICT;"
        "CREATE TABLE addresses ("
        " subnet INTEGER NOT NULL REFERENCES subnets (n), number INTEGER NOT NULL, address TEXT NOT NULL,"
        " interface INTEGER NOT NULL REFERENCES interfaces (n) ON DELETE CASCADE,"
        " PRIMARY KEY (subnet, number, address)) STRICT, WITHOUT ROWID;"
        "CREATE UNIQUE INDEX addresses_address ON addresses (subnet, address);"
        "CREATE INDEX addresses_interface ON addresses (interface);"
        "CREATE TABLE ports ("
        " n INTEGER PRIMARY KEY, ns TEXT NOT NULL, container TEXT NOT NULL, protocol TEXT NOT NULL,"
        " address TEXT NOT NULL, host_port INTEGER NOT NULL, container_port INTEGER NOT NULL,"
        " count INTEGER NOT NULL,"
        " FOREIGN KEY (ns, container) REFERENCES containers (ns, id) ON DELETE CASCADE) STRICT;"
        "CREATE INDEX ports_container ON ports (ns, container);"
        "CREATE INDEX ports_host ON ports (protocol, host_port);",
[3] =
        "ALTER TABLE networks ADD COLUMN open INTEGER NOT NULL DEFAULT 0;"
        "CREATE TABLE devices ("
        " n INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL,"
        " interface INTEGER UNIQUE REFERENCES interfaces (n) ON DELETE CASCADE, host_device TEXT UNIQUE,"
        " spec TEXT NOT NULL, UNIQUE (ns, container, name),"
        " FOREIGN KEY (ns, container) REFERENCES containers (ns, id) ON DELETE CASCADE) STRICT;",
};
/* clang-format on */

/* -- statements -- */

int store_errno(Store *s, int code) {
        int error;

        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_CONSTRAINT:
                return code == SQLITE_CONSTRAINT_FOREIGNKEY ? -ENOTEMPTY
                       : code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST
                                                                                                  : -EINVAL;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: {
                int on = 1;

                /* Keeps the -wal file at close, which makes the next open check the whole database. */
                if (s->db)
                        (void) sqlite3_file_control(s->db, NULL, SQLITE_FCNTL_PERSIST_WAL, &on);
                return -EBADMSG;
        }
        default:
                error = s->db ? sqlite3_system_errno(s->db) : 0;
                log_debug("SQLite: %s (%i)", s->db ? sqlite3_errmsg(s->db) : "no memory", code);
                return error > 0 ? -error : -EIO;
        }
}

static int prepare(Store *s, const char *sql, bool keep, sqlite3_stmt **ret) {
        return store_errno(s, sqlite3_prepare_v3(s->db, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, ret,
                                                 NULL));
}

static int statement_get(Query *q, const char *sql) {
        Store *s = q->store;
        int r;

        for (size_t i = 0; i < s->n_statements; i++)
                if (s->statements[i].sql == sql) {
                        if (!sqlite3_stmt_busy(s->statements[i].stmt)) {
                                q->stmt = s->statements[i].stmt;
                                return 0;
                        }

                        q->temporary = true;
                        return prepare(s, sql, false, &q->stmt);
                }

        if (s->n_statements >= STATEMENTS_MAX) {
                q->temporary = true;
                return prepare(s, sql, false, &q->stmt);
        }

        r = prepare(s, sql, true, &q->stmt);
        if (r < 0)
                return r;

        s->statements[s->n_statements].sql = sql;
        s->statements[s->n_statements++].stmt = q->stmt;
        return 0;
}

static int bind_arguments(Query *q, const char *types, va_list ap) {
        for (int i = 1; types[i - 1]; i++) {
                const char *text;
                int k;

                switch (types[i - 1]) {
                case 's':
                        text = va_arg(ap, const char *);
                        k = text ? sqlite3_bind_text(q->stmt, i, text, -1, SQLITE_STATIC)
                                 : sqlite3_bind_null(q->stmt, i);
                        break;
                case 'u':
                        k = sqlite3_bind_int64(q->stmt, i,
                                               (int64_t) MIN(va_arg(ap, uint64_t), (uint64_t) INT64_MAX));
                        break;
                case 'i':
                        k = sqlite3_bind_int64(q->stmt, i, va_arg(ap, int64_t));
                        break;
                case 'b':
                        k = sqlite3_bind_int(q->stmt, i, !!va_arg(ap, int));
                        break;
                default:
                        k = SQLITE_MISUSE;
                }
                if (k != SQLITE_OK)
                        return store_errno(q->store, k);
        }

        return 0;
}

static int query_beginv(Query *q, Store *s, const char *sql, const char *types, va_list ap) {
        int r;

        *q = (Query) { .store = s };

        if (s->depth > 0 && sqlite3_get_autocommit(s->db))
                return -EIO;

        r = statement_get(q, sql);
        if (r < 0)
                return r;

        return bind_arguments(q, types, ap);
}

int query_begin(Query *q, Store *s, const char *sql, const char *types, ...) {
        va_list ap;
        int r;

        va_start(ap, types);
        r = query_beginv(q, s, sql, types, ap);
        va_end(ap);
        return r;
}

int query_step(Query *q) {
        int k = sqlite3_step(q->stmt);

        return k == SQLITE_ROW ? 1 : store_errno(q->store, k);
}

void query_done(Query *q) {
        if (!q->stmt)
                return;

        if (q->temporary)
                (void) sqlite3_finalize(q->stmt);
        else {
                (void) sqlite3_reset(q->stmt);
                (void) sqlite3_clear_bindings(q->stmt);
        }
        *q = (Query) {};
}

int query_string(Query *q, int column, char **ret) {
        const char *s = (const char *) sqlite3_column_text(q->stmt, column);
        char *copy;

        if (!s) {
                if (sqlite3_column_type(q->stmt, column) != SQLITE_NULL)
                        return -ENOMEM;

                *ret = NULL;
                return 0;
        }

        copy = strdup(s);
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

uint64_t query_uint64(Query *q, int column) {
        return (uint64_t) MAX(sqlite3_column_int64(q->stmt, column), (sqlite3_int64) 0);
}

bool query_bool(Query *q, int column) {
        return sqlite3_column_int(q->stmt, column) != 0;
}

int store_write(Store *s, bool durable, const char *sql, const char *types, ...) {
        _cleanup_transaction_ StoreTransaction t = {};
        int r, n;
        va_list ap;

        if (s->depth == 0) {
                r = store_transaction_begin(&t, s, durable);
                if (r < 0)
                        return r;
        }

        {
                _cleanup_query_ Query q = {};

                va_start(ap, types);
                r = query_beginv(&q, s, sql, types, ap);
                va_end(ap);
                if (r < 0)
                        return r;

                do
                        r = query_step(&q);
                while (r > 0);
                if (r < 0)
                        return r;

                n = sqlite3_changes(s->db);
        }

        if (t.store) {
                r = store_transaction_commit(&t);
                if (r < 0)
                        return r;
        }

        return n;
}

/* -- labels -- */

int labels_to_json(char *const *labels, char **ret) {
        _cleanup_json_ json_t *j = json_object();
        char *text;

        if (!j)
                return -ENOMEM;

        STRV_FOREACH (l, labels) {
                const char *eq = strchr(l, '=');
                _cleanup_free_ char *key = strndup(l, eq ? (size_t) (eq - l) : strlen(l));
                json_t *value = json_string(eq ? eq + 1 : "");

                /* jansson takes valid UTF-8 only: everything that labels come from (JSON, D-Bus) has nothing
                 * else. */
                if (!key || json_object_set_new(j, key, value) < 0)
                        return key ? -EINVAL : -ENOMEM;
        }

        text = json_dump(j, false);
        if (!text)
                return -ENOMEM;

        *ret = text;
        return 0;
}

int query_labels(Query *q, int column, char ***ret) {
        const char *text = (const char *) sqlite3_column_text(q->stmt, column), *key;
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_json_ json_t *j = NULL;
        json_t *value;
        size_t n = 0;
        int r;

        if (!text)
                return -ENOMEM;

        r = json_parse(text, strlen(text), LABELS_SIZE_MAX, &j, NULL);
        if (r < 0)
                return r;

        l = calloc(json_object_size(j) + 1, sizeof(char *));
        if (!l)
                return -ENOMEM;

        json_object_foreach(j, key, value) {
                l[n] = strjoin(key, "=", strempty(json_string_value(value)));
                if (!l[n++])
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

/* -- transactions -- */

static int exec(Store *s, const char *sql) {
        return store_errno(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static int run(Store *s, const char *sql) {
        _cleanup_query_ Query q = { .store = s };
        int r;

        r = statement_get(&q, sql);
        if (r < 0)
                return r;

        return query_step(&q);
}

static int set_synchronous(Store *s, int level) {
        int r;

        if (s->synchronous == level)
                return 0;

        r = exec(s, level == SYNCHRONOUS_FULL ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        if (r < 0)
                return r;

        s->synchronous = level;
        return 0;
}

int store_begin(Store *s, bool durable) {
        int r;

        if (s->depth == 0) {
                r = set_synchronous(s, durable ? SYNCHRONOUS_FULL : SYNCHRONOUS_NORMAL);
                if (r < 0)
                        return r;

                /* IMMEDIATE: the lock is taken here, where waiting for it is harmless, and not in the
                 * middle. */
                r = run(s, "BEGIN IMMEDIATE");
                if (r < 0)
                        return r;

                s->doomed = false;
        }

        s->depth++;
        return 0;
}

static void transaction_ended(Store *s, bool committed) {
        if (s->ended)
                s->ended(committed, s->ended_userdata);
}

static void transaction_abandon(Store *s) {
        s->depth = 0;
        s->doomed = false;

        if (!sqlite3_get_autocommit(s->db))
                (void) run(s, "ROLLBACK");
        transaction_ended(s, false);
}

int store_commit(Store *s) {
        int r;

        if (s->depth == 0)
                return -EINVAL;

        if (s->depth > 1) {
                s->depth--;
                return s->doomed ? -ECANCELED : 0;
        }

        r = s->doomed ? -ECANCELED : sqlite3_get_autocommit(s->db) ? -EIO : run(s, "COMMIT");
        if (r < 0) {
                transaction_abandon(s);
                return r;
        }

        s->depth = 0;
        transaction_ended(s, true);
        return 0;
}

int store_rollback(Store *s) {
        if (s->depth == 0)
                return -EINVAL;

        if (s->depth > 1) {
                s->depth--;
                s->doomed = true;
                return 0;
        }

        transaction_abandon(s);
        return 0;
}

int store_transaction_begin(StoreTransaction *t, Store *s, bool durable) {
        int r;

        r = store_begin(s, durable);
        if (r < 0)
                return r;

        t->store = s;
        return 0;
}

int store_transaction_commit(StoreTransaction *t) {
        return store_commit(TAKE_PTR(t->store));
}

void store_transaction_done(StoreTransaction *t) {
        if (t->store)
                (void) store_rollback(TAKE_PTR(t->store));
}

bool store_in_transaction(Store *s) {
        return s->depth > 0;
}

void store_set_ended(Store *s, void (*func)(bool committed, void *userdata), void *userdata) {
        s->ended = func;
        s->ended_userdata = userdata;
}

/* -- opening -- */

bool store_was_unclean(Store *s) {
        return s->unclean;
}

Store *store_free(Store *s) {
        if (!s)
                return NULL;

        s->ended = NULL;
        if (s->depth > 0)
                transaction_abandon(s);
        for (size_t i = 0; i < s->n_statements; i++)
                (void) sqlite3_finalize(s->statements[i].stmt);
        (void) sqlite3_close(s->db);
        free(s);
        return NULL;
}

/* The first column of the first row; 0 if there is none. */
static int get_integer(Store *s, const char *sql, int64_t *ret) {
        sqlite3_stmt *stmt = NULL;
        int r, k;

        r = prepare(s, sql, false, &stmt);
        if (r < 0)
                return r;

        k = sqlite3_step(stmt);
        r = store_errno(s, k);
        if (r >= 0)
                *ret = k == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;

        (void) sqlite3_finalize(stmt);
        return r;
}

/* -EBADMSG if the structure of the file is damaged. */
static int quick_check(Store *s) {
        sqlite3_stmt *stmt = NULL;
        int r, k;

        r = prepare(s, "PRAGMA quick_check(1)", false, &stmt);
        if (r < 0)
                return r;

        k = sqlite3_step(stmt);
        r = store_errno(s, k);
        if (k == SQLITE_ROW && !streq_ptr((const char *) sqlite3_column_text(stmt, 0), "ok")) {
                log_debug("Database check: %s", (const char *) sqlite3_column_text(stmt, 0));
                r = -EBADMSG;
        }

        (void) sqlite3_finalize(stmt);
        return r;
}

/* All steps from `version` on in one transaction: the file has the old schema or the new one, whenever we die. */
static int upgrade_schema(Store *s, int64_t version) {
        _cleanup_transaction_ StoreTransaction t = {};
        int r;

        r = store_transaction_begin(&t, s, true);
        for (int64_t i = version; r >= 0 && i < SCHEMA_VERSION; i++)
                r = exec(s, schema_steps[i]);
        if (r >= 0)
                r = exec(s, "PRAGMA user_version = " STRINGIFY(SCHEMA_VERSION));
        return r < 0 ? r : store_transaction_commit(&t);
}

static int configure(Store *s) {
        (void) sqlite3_extended_result_codes(s->db, 1);
        (void) sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MSEC);

        /* Names of an SQL text in double quotes are columns, never strings; views and triggers in the file
         * do nothing odd. */
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        s->synchronous = SYNCHRONOUS_FULL;

        return exec(s, "PRAGMA synchronous = FULL;"
                       "PRAGMA journal_mode = WAL;"
                       "PRAGMA foreign_keys = ON;"
                       "PRAGMA cache_size = -" STRINGIFY(CACHE_KIB) ";"
                                                                    "PRAGMA temp_store = MEMORY;"
                                                                    "PRAGMA journal_size_limit = " STRINGIFY(
                                                                                    WAL_SIZE_MAX) ";");
}

static bool wal_exists(const char *path) {
        _cleanup_free_ char *wal = strjoin(path, "-wal");

        return wal && access(wal, F_OK) >= 0;
}

/* What a container writes is on the same file system. When that is full, recording that the container is gone,
 * which is what gives space back, must not need any: so the log has some ahead. The log's end is where its
 * checksums end, not where the file does. Where that cannot be had all is as it would be without. */
static void reserve_log(const char *path) {
        _cleanup_free_ char *wal = strjoin(path, "-wal");
        _cleanup_close_ int fd = -EBADF;

        if (!wal || streq(path, ":memory:"))
                return;
        fd = open(wal, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0 || fallocate(fd, 0, 0, WAL_RESERVE) < 0)
                log_debug_errno(-errno, "Failed to reserve space for %s, ignoring: %m", wal);
}

static int open_database(const char *path, sqlite3 **ret) {
        bool in_memory = streq(path, ":memory:");
        sqlite3 *db = NULL;
        int k;

        if (!in_memory) {
                /* Made here because SQLite would make it readable for all; it gives -wal and -shm the same
                 * mode. */
                _cleanup_close_ int fd =
                                open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

                if (fd < 0)
                        return -errno;
        }

        k = sqlite3_open_v2(path, &db,
                            SQLITE_OPEN_READWRITE | (in_memory ? SQLITE_OPEN_MEMORY : 0) |
                                            SQLITE_OPEN_NOMUTEX,
                            NULL);
        if (k != SQLITE_OK) {
                int error = db ? sqlite3_system_errno(db) : 0;

                (void) sqlite3_close(db);
                return k == SQLITE_NOMEM ? -ENOMEM : error > 0 ? -error : -EIO;
        }

        *ret = db;
        return 0;
}

static int set_aside(const char *path) {
        _cleanup_free_ char *wal = strjoin(path, "-wal"), *shm = strjoin(path, "-shm"), *to = NULL,
                            *to_wal = NULL;

        to = strformat("%s.damaged-%llu", path, (unsigned long long) now_usec(CLOCK_REALTIME));
        to_wal = to ? strjoin(to, "-wal") : NULL;
        if (!wal || !shm || !to_wal)
                return -ENOMEM;

        /* The log first: next to a new database it would be replayed into that. */
        if (rename(wal, to_wal) < 0 && errno != ENOENT)
                return -errno;
        if (unlink(shm) < 0 && errno != ENOENT)
                return -errno;
        if (rename(path, to) < 0)
                return -errno;

        return 0;
}

/* The caller refills in one transaction that also makes the first namespace: until then "rebuilt" is seen
 * again at each start. A database that was lost looks like one that never was: refilling finds out. */
static int needs_refill(Store *s, const char *path) {
        int64_t namespaces = 0;
        int r;

        r = get_integer(s, "SELECT count(*) FROM namespaces", &namespaces);
        if (r < 0)
                return r;

        return namespaces == 0 && !streq(path, ":memory:");
}

/* -EBADMSG: damaged. */
static int store_open_once(const char *path, Store **ret, bool *ret_rebuilt, Error *reterr_error) {
        _cleanup_(store_freep) Store *s = NULL;
        bool unclean = wal_exists(path);
        int64_t version = 0;
        int r;

        s = calloc(1, sizeof(Store));
        if (!s)
                return -ENOMEM;

        r = open_database(path, &s->db);
        if (r < 0)
                return r;

        r = configure(s);
        if (r < 0)
                return r;

        s->unclean = unclean;
        if (unclean) {
                r = quick_check(s);
                if (r < 0)
                        return r;
        }

        r = get_integer(s, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (version > SCHEMA_VERSION)
                return error_set(
                                reterr_error, -EOPNOTSUPP, "SchemaTooNew",
                                "The database %s was written by a newer version of moored (schema %lld, "
                                "this one knows %i): install that version, or move the file away.",
                                path, (long long) version, SCHEMA_VERSION);
        if (version < SCHEMA_VERSION) {
                r = upgrade_schema(s, MAX(version, INT64_C(0)));
                if (r < 0)
                        return r;
                if (version > 0)
                        log_info("The database %s has been brought from schema %lld to %i.", path,
                                 (long long) version, SCHEMA_VERSION);
        }

        r = store_gc_setup(s);
        if (r < 0)
                return r;

        r = needs_refill(s, path);
        if (r < 0)
                return r;
        reserve_log(path);

        *ret = TAKE_PTR(s);
        *ret_rebuilt = r > 0;
        return 0;
}

int store_open(const char *path, Store **ret, bool *ret_rebuilt, Error *reterr_error) {
        _cleanup_(store_freep) Store *s = NULL;
        bool rebuilt = false;
        int r;

        r = store_open_once(path, &s, &rebuilt, reterr_error);
        if (r == -EBADMSG) {
                r = set_aside(path);
                if (r < 0)
                        return error_set_errno(reterr_error, r,
                                               "The database %s is damaged and cannot be set aside: %m",
                                               path);

                log_warning("The database %s was damaged and has been set aside: a new one is made.", path);
                r = store_open_once(path, &s, &rebuilt, reterr_error);
        }
        if (r < 0)
                return error_set_errno(reterr_error, r, "The database %s cannot be opened: %m", path);

        *ret = TAKE_PTR(s);
        if (ret_rebuilt)
                *ret_rebuilt = rebuilt;
        return 0;
}
