/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's side of pulls and unpacking, against helpers that do what a test wants: this program itself, started by the job manager in place of
 * moored-helper. What the real helpers do with real registries is tested under tests/integration/.
 *
 * A "registry" is a directory: manifest-<tag or digest>, blob-<digest>, fault-<what> with the name of a fault, gate (ends the fault "hang"), and
 * log, to which the helpers write a line for all that they were asked for. */

#include <signal.h>
#include <sys/mman.h>

#include "basic/process.h"
#include "image-fixture.h"
#include "store/store-internal.h"

#define APP "docker.io/library/app:latest"

/* -- the helpers ---------------------------------------------------------------------------------------------------------- */

static char *registry_read(const char *kind, const char *name, size_t *ret_size) {
        _cleanup_free_ char *path = strformat("%s/%s%s", getenv("TEST_REGISTRY"), kind, name);
        char *text;

        return read_file_at(AT_FDCWD, path, 1 << 20, &text, ret_size) < 0 ? NULL : text;
}

static void registry_log(const char *format, ...) _printf_(1, 2);
static void registry_log(const char *format, ...) {
        _cleanup_free_ char *path = strformat("%s/log", getenv("TEST_REGISTRY"));
        char line[512];
        va_list ap;
        int fd, n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, line, (size_t) n) != n)
                abort();
        safe_close(fd);
}

static void wait_for_gate(void) {
        for (;;) {
                _cleanup_free_ char *gate = registry_read("", "gate", NULL);

                if (gate)
                        return;
                usleep(2000);
        }
}

/* What every verb can do wrong, each at a point of its own. */
static void fault_common(const char *fault) {
        const char *name = fault ? startswith(fault, "error:") : NULL;

        if (!fault)
                return;
        if (streq(fault, "die"))
                raise(SIGKILL);
        else if (streq(fault, "exit"))
                exit(0);
        else if (streq(fault, "hang"))
                wait_for_gate();
        else if (streq(fault, "hang-die")) {
                wait_for_gate();
                raise(SIGKILL);
        } else if (streq(fault, "rubbish")) {
                if (write(PROTO_SOCKET_FD, "rubbish", 7) != 7)
                        abort();
                pause();
        } else if (streq(fault, "close")) {
                close(PROTO_SOCKET_FD);
                pause();
        } else if (name) {
                (void) proto_send(PROTO_SOCKET_FD, NULL, 0, "error", "NAME", name, "ERRNO", "5", "MESSAGE", "the test wants it so", NULL);
                exit(1);
        }
}

static void send_manifest(const char *reference) {
        _cleanup_free_ char *text = registry_read("manifest-", reference, NULL), *fault = registry_read("fault-", "manifest", NULL);
        char digest[DIGEST_STRING_MAX], size[PROTO_U64_MAX];
        int fd;

        registry_log("manifest %s\n", reference);
        if (!text)
                fault_common("error:NoSuchManifest");
        fault_common(fault);
        digest_text(streq_ptr(fault, "wrong-digest") ? "something else" : text, digest);
        fd = memfd_new_sealed("manifest", text, strlen(text));
        if (fd < 0 || proto_send(PROTO_SOCKET_FD, &fd, 1, "manifest", "DIGEST", digest, "SIZE", proto_u64(size, strlen(text)), "MEDIA_TYPE", "", NULL) < 0)
                abort();
        close(fd);
}

static void send_blob(const char *digest, uint64_t offset, int fd) {
        _cleanup_free_ char *text = registry_read("blob-", digest, NULL), *fault = registry_read("fault-", digest, NULL);
        size_t n = text ? strlen(text) : 0, half = n / 2;
        char size[PROTO_U64_MAX];

        registry_log("blob %s %llu\n", digest, (unsigned long long) offset);
        if (streq_ptr(fault, "unasked")) {
                (void) proto_send(PROTO_SOCKET_FD, NULL, 0, "blob-done", "DIGEST", "sha256:x", NULL);
                pause();
        }
        if (fault && offset < half) {
                if (pwrite_full(fd, text, half, 0) < 0)
                        abort();
                registry_log("half %s\n", digest);
                fault_common(fault);
        }
        if (fault && startswith(fault, "fail:")) {
                (void) proto_send(PROTO_SOCKET_FD, NULL, 0, "blob-failed", "DIGEST", digest, "NAME", fault + strlen("fail:"), "ERRNO", "5", "MESSAGE",
                                  "the test wants it so", NULL);
                return;
        }
        if (!text || pwrite_full(fd, text + offset, n - offset, offset) < 0)
                abort();
        if (streq_ptr(fault, "extra") && pwrite_full(fd, "x", 1, n) < 0)
                abort();
        if (!streq_ptr(fault, "busy"))
                close(fd);
        if (proto_send(PROTO_SOCKET_FD, NULL, 0, "blob-done", "DIGEST", digest, "SIZE", proto_u64(size, n), "REUSED", "0", NULL) < 0)
                exit(1);
}

static int helper_fetch(json_t *request) {
        send_manifest(json_get_string(request, "reference"));
        for (;;) {
                _cleanup_proto_message_ ProtoMessage m = {};
                uint64_t offset = 0;
                int r;

                r = proto_receive(PROTO_SOCKET_FD, &m, true);
                if (r <= 0)
                        return -r;
                if (streq(proto_get(&m, "TYPE"), "get-manifest"))
                        send_manifest(proto_get(&m, "DIGEST"));
                else {
                        (void) proto_get_uint64(&m, "OFFSET", &offset);
                        send_blob(proto_get(&m, "DIGEST"), offset, proto_take_fd(&m, 0));
                }
        }
}

/* The log gets the layers below as the helper is given them: their files are there. */
static void log_lower(json_t *lower, const char *diff_id) {
        char names[256] = "";
        json_t *name;
        size_t i;

        json_array_foreach(lower, i, name) {
                _cleanup_free_ char *path = strformat("../../%s/file", json_string_value(name));

                if (faccessat(PROTO_FIRST_FD + 1, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        abort();
                (void) snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s", json_string_value(name));
        }
        registry_log("lower %s%s\n", diff_id, names);
}

static int zeros_memfd(size_t n) {
        int fd = memfd_create("zeros", MFD_CLOEXEC);

        if (fd < 0 || ftruncate(fd, (off_t) n) < 0)
                abort();
        return fd;
}

static int helper_unpack(json_t *request) {
        const char *diff_id = json_get_string(request, "diffId");
        _cleanup_free_ char *fault = registry_read("fault-", diff_id, NULL);
        json_t *lower = json_object_get(request, "lower");
        _cleanup_close_ int fd = -EBADF, list = -EBADF;

        if (lower)
                log_lower(lower, diff_id);
        fd = openat(PROTO_FIRST_FD + 1, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
                abort();
        registry_log("unpack %s\n", diff_id);
        /* "lower" wants what is below, once. */
        if (!streq_ptr(fault, "lower") && !(fault && startswith(fault, "settle")))
                fault_common(fault);
        else if (streq(fault, "lower") && !lower)
                fault_common("error:LowerNeeded");
        /* "settle" has a list for the helper of that name. */
        if (fault && startswith(fault, "settle") && !(streq(fault, "settle-once") && lower))
                list = streq(fault, "settle-long") ? zeros_memfd(PROTO_LIST_MAX + 1) : memfd_new_sealed("list", diff_id, strlen(diff_id) + 1);
        (void) proto_send(PROTO_SOCKET_FD, &list, list >= 0, "unpacked", "DIFF_ID", streq_ptr(fault, "wrong") ? "sha256:x" : diff_id, "SIZE", "10",
                          "ENTRIES", "1", "ROOT", "0", NULL);
        return 0;
}

/* The list is the layer's DiffID. */
static int helper_settle(json_t *request) {
        char diff_id[DIGEST_STRING_MAX] = "";
        _cleanup_free_ char *fault = NULL;

        if (pread(PROTO_FIRST_FD, diff_id, sizeof(diff_id) - 1, 0) <= 0)
                abort();
        fault = registry_read("fault-settle-", diff_id, NULL);
        log_lower(json_object_get(request, "lower"), diff_id);
        registry_log("settle %s\n", diff_id);
        if (faccessat(PROTO_FIRST_FD + 1, "file", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                abort();
        fault_common(fault);
        return 0;
}

static int helper_main(const char *verb) {
        _cleanup_json_ json_t *request = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (read_all(STDIN_FILENO, 1 << 20, &text, &n) < 0 || json_parse(text, n, 1 << 20, &request, NULL) < 0)
                abort();
        if (streq(verb, "fetch"))
                return helper_fetch(request);
        if (streq(verb, "unpack"))
                return helper_unpack(request);
        if (streq(verb, "settle"))
                return helper_settle(request);
        if (streq(verb, "remove"))
                return fchdir(PROTO_FIRST_FD) < 0 || system("rm -rf -- *") != 0;
        return !streq(verb, "sync");
}

/* -- the fixture ---------------------------------------------------------------------------------------------------------- */

static char registry[128];

static void registry_write(const char *kind, const char *name, const char *text) {
        _cleanup_free_ char *path = strformat("%s/%s%s", registry, kind, name);

        if (text)
                assert_int_equal(write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0600, false), 0);
        else
                assert_int_equal(unlink(path), 0);
}

static void fault(const char *what, const char *kind) {
        registry_write("fault-", what, kind);
}

static int setup(void **state) {
        Fixture *f = fixture_new("/proc/self/exe");

        /* Not within the state, which is looked through for leftovers. */
        snprintf(registry, sizeof(registry), "%s-registry", f->path);
        assert_int_equal(mkdir(registry, 0700), 0);
        assert_int_equal(setenv("TEST_REGISTRY", registry, 1), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        fixture_free(*state);
        assert_int_equal(rm_rf_at(AT_FDCWD, registry), 0);
        return 0;
}

static void publish(const TestImage *t, const char *tag) {
        for (size_t i = 0; i < t->n_layers; i++)
                registry_write("blob-", t->layer_digests[i], t->layers[i]);
        registry_write("blob-", t->config_digest, t->config);
        registry_write("manifest-", t->manifest_digest, t->manifest);
        registry_write("manifest-", tag, t->manifest);
}

/* Lines of the log that begin with this. */
static unsigned logged(const char *prefix) {
        _cleanup_free_ char *path = strformat("%s/log", registry), *text = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        unsigned n = 0;
        size_t size;

        if (read_file_at(AT_FDCWD, path, 1 << 20, &text, &size) < 0)
                return 0;
        lines = strv_split(text, "\n");
        STRV_FOREACH(l, lines)
                n += !!startswith(l, prefix);
        return n;
}

static void clear_log(void) {
        _cleanup_free_ char *path = strformat("%s/log", registry);

        (void) unlink(path);
}

static unsigned logged_digest(const char *what, const char *digest) {
        _cleanup_free_ char *prefix = strformat("%s %s", what, digest);

        return logged(prefix);
}

static bool is_logged(Fixture *f, void *userdata) {
        return logged(userdata) > 0;
}

static void run_until_logged(Fixture *f, const char *what, const char *digest) {
        _cleanup_free_ char *prefix = strformat("%s %s", what, digest);

        fixture_run_until(f, is_logged, prefix);
}

static bool has_ended(Fixture *f, void *userdata) {
        return ((Job *) userdata)->state != JOB_RUNNING;
}

static void run_job(Fixture *f, Job *j) {
        fixture_run_until(f, has_ended, j);
}

static Job *pull_with(Fixture *f, const char *name, const char *platform, bool unpack) {
        _cleanup_error_ Error e = ERROR_NULL;
        Job *j;

        assert_int_equal(image_pull(f->images, "default", name, &(PullOptions) { .platform = platform, .unpack = unpack }, &j, &e), 0);
        return j;
}

static Job *pull(Fixture *f, const char *name) {
        return pull_with(f, name, NULL, true);
}

static void assert_done(Fixture *f, Job *j) {
        run_job(f, j);
        if (j->state != JOB_DONE)
                print_message("%s\n", error_message(&j->error));
        assert_int_equal(j->state, JOB_DONE);
}

static void assert_failed(Fixture *f, Job *j, const char *name) {
        run_job(f, j);
        assert_int_equal(j->state, JOB_FAILED);
        assert_string_equal(error_name(&j->error), name);
}

static uint64_t count_rows(Fixture *f, const char *table) {
        _cleanup_free_ char *sql = strformat("SELECT count(*) FROM %s", table);
        sqlite3_stmt *stmt;
        uint64_t n;

        assert_int_equal(sqlite3_prepare_v2(f->store->db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        n = (uint64_t) sqlite3_column_int64(stmt, 0);
        sqlite3_finalize(stmt);
        return n;
}

static bool is_quiet(Fixture *f, void *userdata) {
        const ImageManager *m = f->images;
        siginfo_t si;

        /* No helper, no zombie: those are reaped from the loop. */
        return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 && m->n_pulls == 0 && hashmap_size(m->pins) == 0 && hashmap_size(m->layers) == 0 && m->n_unpacking == 0 && !m->garbage_source &&
               !m->trash_source && !m->remover && !m->syncer && count_entries(f, "snapshots/overlay/trash") == 0;
}

/* Nothing runs, nothing is pinned or leased, and nothing is there but what belongs to names. */
static void assert_left(Fixture *f, unsigned n_blobs, unsigned n_layers, unsigned n_ingests) {
        fixture_run_until(f, is_quiet, NULL);
        assert_int_equal(count_entries(f, "content/blobs/sha256"), n_blobs);
        assert_int_equal(count_rows(f, "blobs"), n_blobs);
        assert_int_equal(count_rows(f, "snapshots"), n_layers);
        assert_int_equal(count_entries(f, "snapshots/overlay"), n_layers + 1); /* and trash */
        assert_int_equal(count_entries(f, "ingest"), n_ingests);
}
