/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>
#include <sys/wait.h>

#include "basic/strv.h"
#include "store-fixture.h"

static int64_t pragma(Store *s, const char *sql);

/* An empty one asks to be filled, new or lost. */
static Store *open_store(const Place *p) {
        _cleanup_error_ Error e = ERROR_NULL;
        bool rebuilt = true;
        Store *s = NULL;

        if (store_open(p->path, &s, &rebuilt, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(rebuilt, pragma(s, "SELECT count(*) FROM namespaces") == 0);
        return s;
}

static int64_t pragma(Store *s, const char *sql) {
        sqlite3_stmt *stmt = NULL;
        int64_t v;

        assert_int_equal(sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        v = sqlite3_column_int64(stmt, 0);
        assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
        return v;
}

static void add_namespace(Store *s, const char *name) {
        NamespaceRow n = { .name = (char *) name, .created_usec = 1 };

        assert_int_equal(store_namespace_add(s, &n), 0);
}

static void add_image(Store *s, const char *ns, const char *name, const char *digest) {
        ImageRow i = { .ns = (char *) ns, .name = (char *) name, .digest = (char *) digest, .manifest_digest = (char *) digest };

        assert_int_equal(store_image_set(s, &i), 0);
}

static int count_namespace(const NamespaceRow *r, void *userdata) {
        (*(int *) userdata)++;
        return 0;
}

static int namespaces(Store *s) {
        int n = 0;

        assert_int_equal(store_namespace_foreach(s, count_namespace, &n), 0);
        return n;
}

static void test_open(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        _cleanup_free_ char *wal = strjoin(p->path, "-wal");
        struct stat st;

        assert_int_equal(pragma(s, "PRAGMA user_version"), 4);
        assert_int_equal(pragma(s, "PRAGMA foreign_keys"), 1);
        assert_int_equal(pragma(s, "PRAGMA cache_size"), -1024);
        assert_int_equal(stat(p->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(stat(wal, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);

        /* A clean close leaves no log, which is how an unclean one is told. */
        s = store_free(s);
        assert_int_equal(stat(wal, &st), -1);

        s = open_store(p);
        assert_int_equal(namespaces(s), 0);
}

static void test_open_fails(void **state) {
        Place *p = *state;
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_free_ char *missing = strjoin(p->dir, "/no/such/db");

        assert_int_equal(store_open(missing, &s, NULL, &e), -ENOENT);
        assert_non_null(strstr(error_message(&e), missing));

        s = open_store(p);
        assert_int_equal(sqlite3_exec(s->db, "PRAGMA user_version = 5", NULL, NULL, NULL), SQLITE_OK);
        s = store_free(s);
        assert_int_equal(store_open(p->path, &s, NULL, &f), -EOPNOTSUPP);
        assert_true(error_has_name(&f, "SchemaTooNew"));
        assert_null(s);
}

static int count_damaged(const char *dir) {
        _cleanup_free_ char *command = strformat("exit $(ls %s | grep -c 'moored.db.damaged-[0-9]*$')", dir);

        return WEXITSTATUS(system(command));
}

static void open_rebuilt(Place *p, Store **ret) {
        _cleanup_error_ Error e = ERROR_NULL;
        bool rebuilt = false;

        if (store_open(p->path, ret, &rebuilt, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_true(rebuilt);
}

static void test_not_a_database(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_free_ char *junk = malloc(8192);

        memset(junk, 'x', 8192);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, p->path, junk, 8192, 0600, false), 0);
        open_rebuilt(p, &s);
        assert_int_equal(count_damaged(p->dir), 1);

        /* Until somebody refills it, it says so at each open. */
        s = store_free(s);
        open_rebuilt(p, &s);
        add_namespace(s, "default");
        s = store_free(s);
        s = open_store(p);
        assert_int_equal(count_damaged(p->dir), 1);
}

/* Writes until the file has many pages, then dies without a close. */
static void write_and_die(Place *p) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                Store *s = NULL;

                if (store_open(p->path, &s, NULL, NULL) < 0)
                        _exit(1);
                if (store_namespace_add(s, &(NamespaceRow) { .name = (char *) "durable" }) < 0)
                        _exit(2);
                if (store_begin(s, false) < 0 || store_namespace_add(s, &(NamespaceRow) { .name = (char *) "weak" }) < 0 || store_commit(s) < 0)
                        _exit(3);
                if (store_begin(s, true) < 0 || store_namespace_add(s, &(NamespaceRow) { .name = (char *) "open" }) < 0)
                        _exit(4);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static int collect_name(const NamespaceRow *r, void *userdata) {
        return strv_extend(userdata, r->name);
}

static void test_death(void **state) {
        Place *p = *state;
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_free_ char *joined = NULL;

        write_and_die(p);
        s = open_store(p);
        assert_int_equal(store_namespace_foreach(s, collect_name, &names), 0);
        joined = strv_join(names, " ");
        /* What was committed is there, what was not is not. */
        assert_string_equal(joined, "durable weak");
}

static void test_killed_at_any_time(void **state) {
        Place *p = *state;

        for (unsigned i = 0; i < 20; i++) {
                _cleanup_(store_freep) Store *s = NULL;
                int fds[2], status;
                uint64_t acknowledged = 0, v;
                pid_t pid;

                assert_int_equal(pipe(fds), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        unsigned round = 0;
                        Store *c = NULL;

                        if (store_open(p->path, &c, NULL, NULL) < 0)
                                _exit(1);
                        for (;;) {
                                EventRow e = { .usec = 1, .topic = (char *) "t" };

                                if (store_begin(c, round++ % 2) < 0 || store_event_add(c, &e) < 0 || store_commit(c) < 0)
                                        _exit(2);
                                if (write(fds[1], &e.sequence, sizeof(e.sequence)) != sizeof(e.sequence))
                                        _exit(3);
                        }
                }
                assert_int_equal(close(fds[1]), 0);
                for (unsigned k = 0; k <= i * 5; k++)
                        if (read(fds[0], &v, sizeof(v)) == sizeof(v))
                                acknowledged = v;
                assert_int_equal(kill(pid, SIGKILL), 0);
                while (read(fds[0], &v, sizeof(v)) == sizeof(v))
                        acknowledged = v;
                assert_int_equal(close(fds[0]), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));

                s = open_store(p);
                assert_true(acknowledged > 0);
                assert_true(store_event_last(s) >= acknowledged);
        }
}

static void overwrite_pages(const char *path, int whence, long first, unsigned n) {
        _cleanup_free_ char *junk = malloc(4096);
        FILE *f = fopen(path, "r+");

        memset(junk, 0x5a, 4096);
        assert_int_equal(fseek(f, 4096 * first, whence), 0);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(fwrite(junk, 4096, 1, f), 1);
        assert_int_equal(fclose(f), 0);
}

static void fill_and_close(Place *p) {
        _cleanup_(store_freep) Store *s = open_store(p);

        add_namespace(s, "default");
        assert_int_equal(store_begin(s, false), 0);
        for (unsigned i = 0; i < 2000; i++) {
                char name[32];

                snprintf(name, sizeof(name), "image-%u", i);
                add_image(s, "default", name, "sha256:x");
        }
        assert_int_equal(store_commit(s), 0);
}

static void test_damaged_after_death(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_free_ char *wal = strjoin(p->path, "-wal");

        fill_and_close(p);
        overwrite_pages(p->path, SEEK_END, -8, 8);

        /* With the sign of an unclean end the file is checked before it is used. */
        assert_int_equal(write_file_atomic_at(AT_FDCWD, wal, "", 0, 0600, false), 0);
        open_rebuilt(p, &s);
        assert_int_equal(count_damaged(p->dir), 1);
        assert_int_equal(namespaces(s), 0);
}

static void test_damage_at_open(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = NULL;

        fill_and_close(p);
        overwrite_pages(p->path, SEEK_SET, 1, 8);
        open_rebuilt(p, &s);
        assert_int_equal(count_damaged(p->dir), 1);
}

static int count_image(ImageRow *r, void *userdata) {
        (*(int *) userdata)++;
        return 0;
}

static void test_damage_seen_late(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = NULL;
        int n = 0;

        fill_and_close(p);
        overwrite_pages(p->path, SEEK_END, -8, 8);

        /* A quick start does not read those pages. Whoever does is told, and the next start checks. */
        s = open_store(p);
        assert_int_equal(store_image_foreach(s, NULL, count_image, &n), -EBADMSG);
        s = store_free(s);
        open_rebuilt(p, &s);
        assert_int_equal(count_damaged(p->dir), 1);
}

static void test_transactions(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);

        assert_int_equal(store_commit(s), -EINVAL);
        assert_int_equal(store_rollback(s), -EINVAL);

        /* Only the outermost counts. */
        assert_int_equal(store_begin(s, true), 0);
        assert_int_equal(store_begin(s, false), 0);
        add_namespace(s, "a");
        assert_int_equal(store_commit(s), 0);
        assert_int_equal(sqlite3_get_autocommit(s->db), 0);
        assert_int_equal(store_rollback(s), 0);
        assert_int_equal(namespaces(s), 0);

        /* An inner rollback dooms the whole. */
        assert_int_equal(store_begin(s, true), 0);
        add_namespace(s, "a");
        assert_int_equal(store_begin(s, true), 0);
        assert_int_equal(store_rollback(s), 0);
        add_namespace(s, "b");
        assert_int_equal(store_commit(s), -ECANCELED);
        assert_int_equal(namespaces(s), 0);
        assert_int_equal(sqlite3_get_autocommit(s->db), 1);

        /* A statement that fails does not. */
        assert_int_equal(store_begin(s, true), 0);
        add_namespace(s, "a");
        assert_int_equal(store_namespace_add(s, &(NamespaceRow) { .name = (char *) "a" }), -EEXIST);
        assert_int_equal(store_commit(s), 0);
        assert_int_equal(namespaces(s), 1);

        {
                _cleanup_transaction_ StoreTransaction t = {};

                assert_int_equal(store_transaction_begin(&t, s, true), 0);
                add_namespace(s, "gone");
        }
        assert_int_equal(namespaces(s), 1);

        {
                _cleanup_transaction_ StoreTransaction t = {};

                assert_int_equal(store_transaction_begin(&t, s, true), 0);
                add_namespace(s, "stays");
                assert_int_equal(store_transaction_commit(&t), 0);
        }
        assert_int_equal(namespaces(s), 2);
}

/* SQLite ended the transaction by itself: nothing may be written as if it were still open. */
static void test_lost_transaction(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);

        assert_int_equal(store_begin(s, true), 0);
        add_namespace(s, "a");
        assert_int_equal(sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(store_namespace_add(s, &(NamespaceRow) { .name = (char *) "b" }), -EIO);
        assert_int_equal(store_commit(s), -EIO);
        assert_int_equal(namespaces(s), 0);
        add_namespace(s, "c");
        assert_int_equal(namespaces(s), 1);
}

static void test_full(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        _cleanup_free_ char *big = malloc(200001);
        _cleanup_free_ char *sql = NULL;

        memset(big, 'x', 200000);
        big[200000] = 0;
        sql = strformat("PRAGMA max_page_count = %lli", (long long) pragma(s, "PRAGMA page_count") + 4);
        (void) pragma(s, sql);

        assert_int_equal(store_begin(s, true), 0);
        assert_int_equal(store_event_add(s, &(EventRow) { .topic = big }), -ENOSPC);
        assert_int_equal(store_rollback(s), 0);
        add_namespace(s, "a");
        assert_int_equal(namespaces(s), 1);
}

static int seen_synchronous;

static int see_synchronous(const NamespaceRow *r, void *userdata) {
        seen_synchronous = (int) pragma(userdata, "PRAGMA synchronous");
        return 0;
}

static void test_durable(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);

        assert_int_equal(store_begin(s, true), 0);
        assert_int_equal(pragma(s, "PRAGMA synchronous"), 2);
        assert_int_equal(store_commit(s), 0);

        assert_int_equal(store_begin(s, false), 0);
        assert_int_equal(pragma(s, "PRAGMA synchronous"), 1);
        assert_int_equal(store_commit(s), 0);

        /* A write of its own is durable; an event is not. */
        add_namespace(s, "a");
        assert_int_equal(pragma(s, "PRAGMA synchronous"), 2);
        assert_int_equal(store_event_add(s, &(EventRow) { .topic = (char *) "t" }), 0);
        assert_int_equal(pragma(s, "PRAGMA synchronous"), 1);

        /* Also where a read is under way. */
        assert_int_equal(store_namespace_foreach(s, see_synchronous, s), 0);
        assert_int_equal(seen_synchronous, 1);
        assert_int_equal(store_begin(s, true), 0);
        assert_int_equal(store_namespace_foreach(s, see_synchronous, s), 0);
        assert_int_equal(seen_synchronous, 2);
        assert_int_equal(store_commit(s), 0);
}

static int remove_each(ImageRow *r, void *userdata) {
        Store *s = userdata;
        int n = 0;

        /* The same question inside, and a durable write. */
        assert_int_equal(store_namespace_foreach(s, count_namespace, &n), 0);
        assert_int_equal(n, 1);
        return store_image_remove(s, r->ns, r->name);
}

static int nest(const NamespaceRow *r, void *userdata) {
        return store_image_foreach(userdata, r->name, remove_each, userdata);
}

static int stop(const NamespaceRow *r, void *userdata) {
        return -ECANCELED;
}

static void test_nested_foreach(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        int n = 0;

        add_namespace(s, "default");
        add_image(s, "default", "a", "sha256:a");
        add_image(s, "default", "b", "sha256:b");
        assert_int_equal(store_namespace_foreach(s, nest, s), 0);
        assert_int_equal(store_image_foreach(s, NULL, count_image, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(store_namespace_foreach(s, stop, NULL), -ECANCELED);
}

static int check_labels(const NamespaceRow *r, void *userdata) {
        static const char *const expected[] = { "a=1", "b=x=y", "c=", "d=", "e=\"\n\xc3\xa4" };

        if (!streq(r->name, "labelled"))
                return 0;
        assert_int_equal(strv_length(r->labels), 5);
        for (size_t i = 0; i < 5; i++)
                assert_string_equal(r->labels[i], expected[i]);
        assert_int_equal(r->created_usec, 42);
        (*(int *) userdata)++;
        return 0;
}

static void test_namespaces(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        char *labels[] = { (char *) "a=1", (char *) "b=x=y", (char *) "c=", (char *) "d", (char *) "e=\"\n\xc3\xa4", NULL };
        char *bad[] = { (char *) "a=\xff", NULL };
        int n = 0;

        assert_int_equal(store_namespace_add(s, &(NamespaceRow) { .name = (char *) "labelled", .labels = labels, .created_usec = 42 }), 0);
        assert_int_equal(store_namespace_add(s, &(NamespaceRow) { .name = (char *) "labelled" }), -EEXIST);
        assert_int_equal(store_namespace_add(s, &(NamespaceRow) { .name = (char *) "bad", .labels = bad }), -EINVAL);
        assert_int_equal(store_namespace_foreach(s, check_labels, &n), 0);
        assert_int_equal(n, 1);

        assert_int_equal(store_namespace_remove(s, "nope"), -ENOENT);
        add_image(s, "labelled", "x", "sha256:x");
        assert_int_equal(store_namespace_remove(s, "labelled"), -ENOTEMPTY);
        assert_int_equal(store_image_remove(s, "labelled", "x"), 0);
        assert_int_equal(store_container_add(s, &(ContainerRow) { .ns = (char *) "labelled", .id = (char *) "c" }), 0);
        assert_int_equal(store_namespace_remove(s, "labelled"), -ENOTEMPTY);
        assert_int_equal(store_container_remove(s, "labelled", "c"), 0);
        assert_int_equal(store_namespace_remove(s, "labelled"), 0);
}

static int check_image(ImageRow *r, void *userdata) {
        const ImageRow *row = userdata;

        assert_string_equal(r->ns, row->ns);
        assert_string_equal(r->name, row->name);
        assert_string_equal(r->digest, row->digest);
        assert_string_equal(r->media_type, row->media_type);
        assert_int_equal(r->size, row->size);
        assert_string_equal(r->manifest_digest, row->manifest_digest);
        assert_true(streq_ptr(r->config_digest, row->config_digest));
        assert_string_equal(r->platform, row->platform);
        assert_int_equal(r->total_size, row->total_size);
        assert_int_equal(r->created_usec, row->created_usec);
        assert_int_equal(r->tagged_usec, INT64_MAX); /* as much as SQLite has */
        assert_int_equal(strv_length(r->labels), strv_length(row->labels));
        if (row->labels)
                assert_string_equal(r->labels[0], row->labels[0]);
        return 0;
}

static void test_images(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        char *labels[] = { (char *) "k=v", NULL };
        ImageRow row = {
                .ns = (char *) "default",
                .name = (char *) "docker.io/library/a:b",
                .digest = (char *) "sha256:1",
                .media_type = (char *) "m",
                .size = 10,
                .manifest_digest = (char *) "sha256:2",
                .config_digest = (char *) "sha256:3",
                .platform = (char *) "linux/amd64",
                .total_size = 1000,
                .created_usec = 7,
                .tagged_usec = UINT64_MAX,
                .labels = labels,
        };
        int n = 0;

        assert_int_equal(store_image_set(s, &row), -ENOENT); /* no such namespace */
        add_namespace(s, "default");
        add_namespace(s, "other");
        assert_int_equal(store_image_set(s, &row), 0);
        assert_int_equal(store_image_foreach(s, "default", check_image, &row), 0);

        row.digest = (char *) "sha256:4";
        row.config_digest = NULL;
        row.labels = NULL;
        assert_int_equal(store_image_set(s, &row), 0);
        assert_int_equal(store_image_foreach(s, "default", check_image, &row), 0);

        add_image(s, "other", "x", "sha256:1");
        assert_int_equal(store_image_foreach(s, NULL, count_image, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(store_image_foreach(s, "other", count_image, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(store_image_remove(s, "default", row.name), 0);
        assert_int_equal(store_image_remove(s, "default", row.name), -ENOENT);
}

static void check_container(const ContainerRow *a, const ContainerRow *b) {
        assert_string_equal(a->id, b->id);
        assert_true(streq_ptr(a->image, b->image) && streq_ptr(a->image_digest, b->image_digest) && streq_ptr(a->options, b->options));
        assert_true(streq_ptr(a->boot_id, b->boot_id) && streq_ptr(a->invocation_id, b->invocation_id));
        assert_true(streq_ptr(a->exit_signal, b->exit_signal) && streq_ptr(a->result, b->result));
        assert_int_equal(a->snapshot, b->snapshot);
        assert_int_equal(a->auto_remove, b->auto_remove);
        assert_int_equal(a->created_usec, b->created_usec);
        assert_int_equal(a->started_usec, b->started_usec);
        assert_int_equal(a->finished_usec, b->finished_usec);
        assert_int_equal(a->exit_code, b->exit_code);
}

static int check_container_cb(ContainerRow *r, void *userdata) {
        check_container(r, userdata);
        return 0;
}

static void test_containers(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        ContainerRow row = {
                .ns = (char *) "default", .id = (char *) "web", .image = (char *) "i", .image_digest = (char *) "sha256:1",
                .options = (char *) "{\"Command\":[\"a\"]}", .snapshot = 3, .auto_remove = true, .created_usec = 5, .exit_code = -1,
        };

        assert_int_equal(store_container_add(s, &row), -ENOENT);
        add_namespace(s, "default");
        assert_int_equal(store_container_add(s, &row), 0);
        assert_int_equal(store_container_add(s, &row), -EEXIST);
        assert_int_equal(store_container_foreach(s, NULL, check_container_cb, &row), 0);

        row.started_usec = 6;
        row.finished_usec = 7;
        row.boot_id = (char *) "b";
        row.invocation_id = (char *) "v";
        row.exit_code = 137;
        row.exit_signal = (char *) "KILL";
        row.result = (char *) "oom-kill";
        row.auto_remove = false;
        assert_int_equal(store_container_update(s, &row), 0);
        assert_int_equal(store_container_foreach(s, "default", check_container_cb, &row), 0);

        row.id = (char *) "other";
        assert_int_equal(store_container_update(s, &row), -ENOENT);
        assert_int_equal(store_container_remove(s, "default", "web"), 0);
        assert_int_equal(store_container_remove(s, "default", "web"), -ENOENT);
}

static uint64_t add_layer(Store *s, const char *chain, uint64_t parent) {
        SnapshotRow r = {
                .driver = (char *) "overlay", .kind = SNAPSHOT_LAYER, .chain_id = (char *) chain, .diff_id = (char *) chain,
                .parent = parent, .boot_id = (char *) "boot", .created_usec = 1,
        };

        assert_int_equal(store_snapshot_add(s, &r), 0);
        assert_true(r.id > 0);
        return r.id;
}

static uint64_t add_ready(Store *s, const char *chain, uint64_t parent) {
        uint64_t id = add_layer(s, chain, parent);

        assert_int_equal(store_snapshot_set_ready(s, id, 100), 0);
        return id;
}

static uint64_t add_writable(Store *s, uint64_t parent) {
        SnapshotRow r = { .driver = (char *) "overlay", .kind = SNAPSHOT_WRITABLE, .parent = parent, .ready = true };

        assert_int_equal(store_snapshot_add(s, &r), 0);
        return r.id;
}

static void test_snapshots(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        _cleanup_(snapshot_row_done) SnapshotRow r = {}, q = {};
        SnapshotRow again = { .driver = (char *) "overlay", .chain_id = (char *) "sha256:a" },
                    orphan = { .driver = (char *) "overlay", .chain_id = (char *) "sha256:z", .parent = 999 },
                    numbered = { .driver = (char *) "overlay", .kind = SNAPSHOT_WRITABLE, .id = 50 },
                    odd = { .driver = (char *) "overlay", .kind = _SNAPSHOT_KIND_MAX };
        uint64_t a = add_layer(s, "sha256:a", 0), b = add_layer(s, "sha256:b", a), w, last;

        assert_int_equal(store_snapshot_add(s, &again), -EEXIST);
        assert_int_equal(store_snapshot_add(s, &orphan), -ENOENT);
        assert_int_equal(store_snapshot_add(s, &odd), -EINVAL);

        assert_int_equal(store_snapshot_get_chain(s, "overlay", "sha256:b", &r), 0);
        assert_int_equal(r.id, b);
        assert_int_equal(r.parent, a);
        assert_int_equal(r.kind, SNAPSHOT_LAYER);
        assert_false(r.ready);
        assert_false(r.synced);
        assert_string_equal(r.boot_id, "boot");
        assert_int_equal(store_snapshot_get_chain(s, "btrfs", "sha256:b", &r), -ENOENT);

        assert_int_equal(store_snapshot_set_ready(s, b, 77), 0);
        assert_int_equal(store_snapshot_set_synced(s, b), 0);
        assert_int_equal(store_snapshot_get(s, b, &q), 0);
        assert_true(q.ready && q.synced);
        assert_int_equal(q.size, 77);
        assert_int_equal(store_snapshot_set_ready(s, 999, 1), -ENOENT);
        assert_int_equal(store_snapshot_set_synced(s, 999), -ENOENT);

        /* Two writable ones without a chain id do not collide. */
        w = add_writable(s, b);
        last = add_writable(s, b);
        assert_int_equal(store_snapshot_remove(s, b), -ENOTEMPTY);
        assert_int_equal(store_snapshot_remove(s, w), 0);
        assert_int_equal(store_snapshot_remove(s, last), 0);
        assert_int_equal(store_snapshot_remove(s, last), -ENOENT);

        /* Numbers never come back. */
        assert_true(add_writable(s, 0) > last);
        assert_int_equal(store_snapshot_add(s, &numbered), 0);
        assert_int_equal(numbered.id, 50);
        numbered.id = 50;
        assert_int_equal(store_snapshot_add(s, &numbered), -EEXIST);
        assert_int_equal(add_writable(s, 0), 51);
}

static int collect_event(const EventRow *r, void *userdata) {
        return strv_extendf(userdata, "%llu:%s:%s:%s:%s", (unsigned long long) r->sequence, r->ns ?: "-", r->topic, r->subject ?: "-", r->details ?: "-");
}

static char *events_since(Store *s, uint64_t sequence, uint32_t max) {
        _cleanup_strv_free_ char **l = NULL;

        assert_int_equal(store_event_foreach_since(s, sequence, max, collect_event, &l), 0);
        return strv_join(l, " ");
}

static void test_events(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        EventRow e = { .usec = 9, .ns = (char *) "n", .topic = (char *) "t", .subject = (char *) "s", .details = (char *) "{}" },
                 f = { .usec = 10, .topic = (char *) "u" };
        _cleanup_free_ char *all = NULL, *second = NULL, *one = NULL, *none = NULL, *kept = NULL;

        assert_int_equal(store_event_last(s), 0);
        assert_int_equal(store_event_add(s, &e), 0);
        assert_int_equal(e.sequence, 1);
        assert_int_equal(store_event_add(s, &f), 0);
        assert_int_equal(store_event_last(s), 2);

        all = events_since(s, 0, 100);
        assert_string_equal(all, "1:n:t:s:{} 2:-:u:-:-");
        second = events_since(s, 1, 100);
        assert_string_equal(second, "2:-:u:-:-");
        one = events_since(s, 0, 1);
        assert_string_equal(one, "1:n:t:s:{}");
        none = events_since(s, 0, 0);
        assert_string_equal(none, "");

        assert_int_equal(store_event_trim(s, 2), 0);
        assert_int_equal(store_event_trim(s, 1), 1);
        kept = events_since(s, 0, 100);
        assert_string_equal(kept, "2:-:u:-:-");

        /* The numbers go on where they were, also in an empty table and after a restart. */
        assert_int_equal(store_event_trim(s, 0), 1);
        assert_int_equal(store_event_last(s), 2);
        s = store_free(s);
        s = open_store(p);
        assert_int_equal(store_event_last(s), 2);
        assert_int_equal(store_event_add(s, &f), 0);
        assert_int_equal(f.sequence, 3);
}

/* -- garbage -- */

static bool pin_listed(const char *digest, void *userdata) {
        return strv_contains(userdata, digest);
}

static void expect_garbage(Store *s, uint64_t now, char **pins, bool dry_run, const char *blobs, const uint64_t *snapshots, size_t n) {
        _cleanup_(garbage_done) Garbage g = {};
        _cleanup_free_ char *joined = NULL;

        assert_int_equal(store_collect_garbage(s, now, pins ? pin_listed : NULL, pins, dry_run, &g), 0);
        joined = strv_join(g.blobs, " ");
        assert_string_equal(joined, blobs);
        assert_int_equal(g.n_snapshots, n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(g.snapshots[i], snapshots[i]);
        assert_int_equal(g.bytes, strv_length(g.blobs) * 10 + n * 100);
}
#define EXPECT_GARBAGE(s, now, pins, dry, blobs, ...)                                                                    \
        ({                                                                                                               \
                const uint64_t ids_[] = { __VA_ARGS__ };                                                                 \
                expect_garbage(s, now, pins, dry, blobs, ids_, sizeof(ids_) / sizeof(uint64_t));                         \
        })

static void add_blob(Store *s, const char *digest) {
        assert_int_equal(store_blob_add(s, digest, 10, NULL), 0);
}

/* An image of an index, a manifest m with config c and layers l1 and l2, whose chains are k1 and k2. */
static void add_tree(Store *s, uint64_t ids[static 2]) {
        static const char *const blobs[] = { "index", "m", "c", "l1", "l2" };

        for (size_t i = 0; i < ELEMENTSOF(blobs); i++)
                add_blob(s, blobs[i]);
        assert_int_equal(store_blob_add_ref(s, "index", "m"), 0);
        assert_int_equal(store_blob_add_ref(s, "index", "not-here"), 0);
        assert_int_equal(store_blob_add_ref(s, "m", "c"), 0);
        assert_int_equal(store_blob_add_ref(s, "m", "l1"), 0);
        assert_int_equal(store_blob_add_ref(s, "m", "l2"), 0);
        assert_int_equal(store_blob_add_ref(s, "m", "l2"), 0);
        ids[0] = add_ready(s, "k1", 0);
        ids[1] = add_ready(s, "k2", ids[0]);
        assert_int_equal(store_manifest_set_chain(s, "m", "k2"), 0);
}

static void test_garbage_image(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t ids[2], stray;

        add_namespace(s, "default");
        add_namespace(s, "other");
        add_tree(s, ids);
        add_blob(s, "stray");
        stray = add_ready(s, "k9", ids[0]);
        add_image(s, "default", "a", "index");
        add_image(s, "other", "b", "index");

        /* A dry run changes nothing: the same twice. */
        EXPECT_GARBAGE(s, 1, NULL, true, "stray", stray);
        EXPECT_GARBAGE(s, 1, NULL, false, "stray", stray);
        EXPECT_GARBAGE(s, 1, NULL, false, "");
        assert_int_equal(pragma(s, "SELECT count(*) FROM blobs WHERE digest = 'stray'"), 0);

        /* One set of bytes for both: the last name decides. */
        assert_int_equal(store_image_remove(s, "default", "a"), 0);
        EXPECT_GARBAGE(s, 1, NULL, false, "");
        assert_int_equal(store_image_remove(s, "other", "b"), 0);
        EXPECT_GARBAGE(s, 1, NULL, false, "c index l1 l2 m", ids[1], ids[0]);
        assert_int_equal(pragma(s, "SELECT count(*) FROM blobs"), 0);
        EXPECT_GARBAGE(s, 1, NULL, false, "");
}

static void test_garbage_container(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t ids[2], w, loose;

        add_namespace(s, "default");
        add_tree(s, ids);
        w = add_writable(s, ids[0]); /* stands on the lower layer only */
        loose = add_writable(s, ids[1]);
        assert_int_equal(store_container_add(s, &(ContainerRow) { .ns = (char *) "default", .id = (char *) "x", .image_digest = (char *) "other", .snapshot = w }), 0);

        /* Of writable ones the size is not known: not 100 each. */
        {
                _cleanup_(garbage_done) Garbage g = {};
                _cleanup_free_ char *joined = NULL;

                assert_int_equal(store_collect_garbage(s, 1, NULL, NULL, false, &g), 0);
                joined = strv_join(g.blobs, " ");
                assert_string_equal(joined, "c index l1 l2 m");
                assert_int_equal(g.n_snapshots, 2);
                assert_int_equal(g.snapshots[0], loose);
                assert_int_equal(g.snapshots[1], ids[1]);
                assert_int_equal(g.bytes, 50 + 100);
        }

}

static void test_garbage_container_manifest(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t ids[2];

        add_namespace(s, "default");
        add_tree(s, ids);
        assert_int_equal(store_container_add(s, &(ContainerRow) { .ns = (char *) "default", .id = (char *) "x", .image_digest = (char *) "m" }), 0);

        /* The image's name is gone; the container's manifest keeps what it needs, but not the index above. */
        EXPECT_GARBAGE(s, 1, NULL, false, "index");
        assert_int_equal(store_container_remove(s, "default", "x"), 0);
        EXPECT_GARBAGE(s, 1, NULL, false, "c l1 l2 m", ids[1], ids[0]);
}

static void test_garbage_leases(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t ids[2];

        add_tree(s, ids);
        assert_int_equal(store_lease_add(s, "pull-1", "m", 100), 0);
        assert_int_equal(store_lease_add(s, "pull-2", "l1", 200), 0);
        assert_int_equal(store_lease_add(s, "pull-2", "k1", 200), 0);

        EXPECT_GARBAGE(s, 50, NULL, false, "index");
        EXPECT_GARBAGE(s, 100, NULL, true, "c l2 m", ids[1]);
        assert_int_equal(store_lease_add(s, "pull-1", "m", UINT64_MAX), 0); /* prolonged */
        EXPECT_GARBAGE(s, 150, NULL, false, "");
        assert_int_equal(store_lease_remove(s, "pull-1"), 0);
        assert_int_equal(store_lease_remove(s, "pull-1"), 0);
        EXPECT_GARBAGE(s, 150, NULL, false, "c l2 m", ids[1]);
        EXPECT_GARBAGE(s, 200, NULL, false, "l1", ids[0]);
        assert_int_equal(pragma(s, "SELECT count(*) FROM leases"), 0);
        assert_int_equal(pragma(s, "SELECT count(*) FROM refs"), 0);
        assert_int_equal(pragma(s, "SELECT count(*) FROM chains"), 0);
}

static void test_garbage_pins(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        char *pins[] = { (char *) "l1", (char *) "k1", NULL }, *manifest[] = { (char *) "m", NULL };
        uint64_t ids[2];

        add_tree(s, ids);
        EXPECT_GARBAGE(s, 1, manifest, false, "index");
        EXPECT_GARBAGE(s, 1, pins, false, "c l2 m", ids[1]);
        EXPECT_GARBAGE(s, 1, NULL, false, "l1", ids[0]);
}

/* A layer that is not ready stays if it is wanted, with what it stands on; a parent may be younger than its child. */
static void test_garbage_unready(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t child = add_layer(s, "k2", 0), parent = add_ready(s, "k1", 0);
        char *wanted[] = { (char *) "k2", NULL };
        _cleanup_(garbage_done) Garbage g = {};

        uint64_t writable = add_writable(s, child);
        ContainerRow c = { .ns = (char *) "default", .id = (char *) "c", .snapshot = writable };

        assert_int_equal(store_snapshot_reset(s, child, parent, "boot"), 0);
        add_namespace(s, "default");
        assert_int_equal(store_container_add(s, &c), 0);
        EXPECT_GARBAGE(s, 1, NULL, false, "");
        assert_int_equal(store_snapshot_reset(s, parent, 0, "b2"), 0);
        EXPECT_GARBAGE(s, 1, NULL, false, "");
        assert_int_equal(store_container_remove(s, "default", "c"), 0);
        assert_int_equal(store_snapshot_set_ready(s, writable, 100), 0);
        EXPECT_GARBAGE(s, 1, wanted, false, "", writable);

        assert_int_equal(store_collect_garbage(s, 1, NULL, NULL, false, &g), 0);
        assert_int_equal(g.n_snapshots, 2);
        assert_true(g.snapshots[0] == child && g.snapshots[1] == parent);
}

static void test_snapshot_reset(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t a = add_ready(s, "k1", 0), b = add_ready(s, "k2", a);
        _cleanup_(snapshot_row_done) SnapshotRow r = {}, q = {};

        assert_int_equal(store_snapshot_set_synced(s, b), 0);
        assert_int_equal(store_snapshot_reset(s, b, a, "later"), 0);
        assert_int_equal(store_snapshot_get(s, b, &r), 0);
        assert_false(r.ready || r.synced);
        assert_int_equal(r.size, 0);
        assert_int_equal(r.parent, a);
        assert_string_equal(r.boot_id, "later");
        assert_string_equal(r.chain_id, "k2");
        assert_int_equal(store_snapshot_get(s, a, &q), 0);
        assert_true(q.ready);
        assert_int_equal(store_snapshot_reset(s, 999, 0, NULL), -ENOENT);
        assert_int_equal(store_snapshot_reset(s, b, 999, NULL), -ENOENT);
}

static int count_blob(const char *digest, uint64_t size, void *userdata) {
        *(uint64_t *) userdata += size;
        return 0;
}

static void test_blobs(void **state) {
        Place *p = *state;
        _cleanup_(store_freep) Store *s = open_store(p);
        uint64_t sum = 0;

        assert_int_equal(store_blob_add(s, "a", 1, "type"), 0);
        assert_int_equal(store_blob_add(s, "a", 2, NULL), 0);
        assert_int_equal(store_blob_add(s, "b", 40, NULL), 0);
        assert_int_equal(store_blob_foreach(s, count_blob, &sum), 0);
        assert_int_equal(sum, 42);
        assert_int_equal(pragma(s, "SELECT media_type = 'type' FROM blobs WHERE digest = 'a'"), 1);
}

static void test_memory(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        bool rebuilt = true;

        assert_int_equal(store_open(":memory:", &s, &rebuilt, NULL), 0);
        assert_false(rebuilt);
        add_namespace(s, "a");
        assert_int_equal(namespaces(s), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_open),
                TEST(test_open_fails),
                TEST(test_not_a_database),
                TEST(test_death),
                TEST(test_killed_at_any_time),
                TEST(test_damaged_after_death),
                TEST(test_damage_at_open),
                TEST(test_damage_seen_late),
                TEST(test_transactions),
                TEST(test_lost_transaction),
                TEST(test_full),
                TEST(test_durable),
                TEST(test_nested_foreach),
                TEST(test_namespaces),
                TEST(test_images),
                TEST(test_containers),
                TEST(test_snapshots),
                TEST(test_events),
                TEST(test_blobs),
                TEST(test_garbage_image),
                TEST(test_garbage_container),
                TEST(test_garbage_container_manifest),
                TEST(test_garbage_leases),
                TEST(test_garbage_pins),
                TEST(test_garbage_unready),
                TEST(test_snapshot_reset),
                cmocka_unit_test(test_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
