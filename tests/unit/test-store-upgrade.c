/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A database of each earlier version of the schema becomes one of this version: tests/data/store/schema-N.sql makes it. */

#include "store-fixture.h"

#define SQL_SIZE_MAX 65536U

static void make_database(const char *path, const char *file) {
        _cleanup_free_ char *name = strjoin(TEST_DATA_DIR "/store/", file), *sql = NULL;
        char *error = NULL;
        sqlite3 *db;

        assert_int_equal(read_file_at(AT_FDCWD, name, SQL_SIZE_MAX, &sql, NULL), 0);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s", error);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static Store *open_store(const char *path) {
        _cleanup_error_ Error e = ERROR_NULL;
        bool rebuilt = true;
        Store *s = NULL;

        if (store_open(path, &s, &rebuilt, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_false(rebuilt);
        return s;
}

/* What all tables and indices are, as text. */
static char *describe(Store *s) {
        _cleanup_free_ char *all = strdup("");
        sqlite3_stmt *stmt = NULL;

        assert_int_equal(sqlite3_prepare_v2(s->db,
                                            "SELECT m.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk "
                                            "FROM sqlite_schema m, pragma_table_info(m.name) c "
                                            "UNION ALL SELECT name, sql, 0, 0, 0, 0 FROM sqlite_schema "
                                            "WHERE type = 'index' ORDER BY 1, 2",
                                            -1, &stmt, NULL),
                         SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW)
                for (int i = 0; i < 6; i++) {
                        const char *text = (const char *) sqlite3_column_text(stmt, i);
                        char *more = strjoin(all, text ?: "-", i < 5 ? " " : "\n");

                        assert_non_null(more);
                        free(all);
                        all = more;
                }
        assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
        return TAKE_PTR(all);
}

static int check_container(ContainerRow *row, void *userdata) {
        (*(int *) userdata)++;
        assert_string_equal(row->ns, "default");
        assert_string_equal(row->id, "web");
        assert_string_equal(row->image_digest, "sha256:0");
        assert_int_equal(row->snapshot, 7);
        assert_int_equal(row->finished_usec, 5);
        assert_int_equal(row->exit_code, 7);
        assert_string_equal(row->exit_signal, "KILL");
        assert_int_equal(row->restart_count, 0);
        assert_false(row->stopped);
        return 0;
}

static int check_event(const EventRow *row, void *userdata) {
        (*(int *) userdata)++;
        assert_int_equal(row->sequence, 41);
        assert_string_equal(row->topic, "container/exited");
        assert_string_equal(row->details, "{\"ExitCode\":7}");
        return 0;
}

static void check_rows(Store *s) {
        int n = 0;

        assert_int_equal(store_container_foreach(s, NULL, check_container, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(store_event_foreach_since(s, 0, 10, check_event, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(store_event_last(s), 41);
}

static void check_upgrade(const Place *p, const char *file) {
        _cleanup_free_ char *fresh = NULL, *upgraded = NULL;
        Store *s;

        assert_int_equal(store_open(":memory:", &s, NULL, NULL), 0);
        fresh = describe(s);
        store_free(s);

        make_database(p->path, file);
        s = open_store(p->path);
        upgraded = describe(s);
        assert_string_equal(upgraded, fresh);
        check_rows(s);
        store_free(s);

        /* Once. */
        s = open_store(p->path);
        check_rows(s);
        store_free(s);
}

static void test_version_1(void **state) {
        check_upgrade(*state, "schema-1.sql");
}

static int count_exec(ExecRow *row, void *userdata) {
        (*(int *) userdata)++;
        return 0;
}

/* Foreign keys of new tables meet old rows. */
static void test_version_2(void **state) {
        NetworkRow network = { .ns = (char *) "default", .name = (char *) "lan", .driver = (char *) "bridge" };
        InterfaceRow interface = { .ns = (char *) "default", .container = (char *) "web", .name = (char *) "eth0",
                                   .mac = (char *) "02:00:00:00:00:01" };
        Place *p = *state;
        int n = 0;
        Store *s;

        check_upgrade(p, "schema-2.sql");
        s = open_store(p->path);
        assert_int_equal(store_exec_foreach(s, count_exec, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(store_network_add(s, &network), 0);
        interface.network = network.n;
        assert_int_equal(store_interface_add(s, &interface), 0);
        store_free(s);
}

/* Networks of before were isolated, and are. */
static void test_version_3(void **state) {
        _cleanup_(network_row_done) NetworkRow network = {};
        Place *p = *state;
        Store *s;

        check_upgrade(p, "schema-3.sql");
        s = open_store(p->path);
        assert_int_equal(store_network_find(s, "default", "lan", &network), 0);
        assert_int_equal(network.n, 3);
        assert_true(network.internal);
        assert_false(network.open);
        store_free(s);
}

/* A step that cannot be done leaves the file as it was. */
static void test_interrupted(void **state) {
        _cleanup_error_ Error e = ERROR_NULL;
        Place *p = *state;
        sqlite3 *db;
        Store *s = NULL;

        make_database(p->path, "schema-1.sql");
        assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "ALTER TABLE containers ADD COLUMN stopped TEXT", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_true(store_open(p->path, &s, NULL, &e) < 0);
        assert_null(s);
        error_done(&e);

        assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "ALTER TABLE containers DROP COLUMN stopped", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        s = open_store(p->path);
        check_rows(s);
        store_free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
                cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
                cmocka_unit_test_setup_teardown(test_version_3, setup, teardown),
                cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
