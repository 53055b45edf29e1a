/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The profiles' files, with a compiler that only writes down what it was asked for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "container/bundle.h"
#include "container/capability.h"
#include "container/seccomp-store.h"
#include "container/spec.h"
#include "oci/digest.h"

#define PROFILE TEST_DATA_DIR "/../../src/runtime/seccomp-default.json"
#define WAIT_USEC (UINT64_C(10) * 1000000)

typedef struct Test {
        char path[64];
        int fd;
        sd_event *event;
        char *compiler;
} Test;

static int setup(void **state) {
        Test *t = calloc(1, sizeof(*t));
        char script[256];

        assert_non_null(t);
        strcpy(t->path, "/tmp/test-seccomp-store-XXXXXX");
        assert_non_null(mkdtemp(t->path));
        t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(t->fd >= 0);
        assert_int_equal(sd_event_new(&t->event), 0);
        t->compiler = path_join(t->path, "compiler");
        (void) snprintf(script, sizeof(script), "#!/bin/sh\necho \"$1 $2\" >>%s/asked\n", t->path);
        assert_int_equal(write_file_atomic_at(t->fd, "compiler", script, strlen(script), 0755, false), 0);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Test *t = *state;

        sd_event_unref(t->event);
        close(t->fd);
        assert_int_equal(rm_rf_at(AT_FDCWD, t->path), 0);
        free(t->compiler);
        free(t);
        return 0;
}

static SeccompStore *store(Test *t, const char *profile) {
        _cleanup_error_ Error e = ERROR_NULL;
        SeccompStore *s;

        if (seccomp_store_new(t->event, t->fd, profile, t->compiler, &s, &e) < 0)
                fail_msg("%s", error_message(&e));
        return s;
}

static void get(SeccompStore *s, uint64_t capabilities, char ret[static SECCOMP_NAME_SIZE]) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (seccomp_store_get(s, capabilities, ret, &e) < 0)
                fail_msg("%s", error_message(&e));
}

/* Waits until the compiler has been asked for exactly these, in this order. */
static void assert_asked(Test *t, const char *first, const char *second) {
        _cleanup_free_ char *want = NULL, *text = NULL;

        want = second ? strjoin("prepare-seccomp ", first, "\nprepare-seccomp ", second, "\n")
                      : strjoin("prepare-seccomp ", first, "\n");
        assert_non_null(want);
        for (unsigned i = 0; i < 100 && !streq_ptr(text, want); i++) {
                assert_true(sd_event_run(t->event, WAIT_USEC / 100) >= 0);
                free(TAKE_PTR(text));
                (void) read_file_at(t->fd, "asked", 65536, &text, NULL);
        }
        assert_string_equal(strempty(text), want);
}

static void stat_profile(SeccompStore *s, const char *name, struct stat *ret) {
        _cleanup_free_ char *file = strjoin(name, ".json");

        assert_int_equal(fstatat(seccomp_store_fd(s), file, ret, 0), 0);
}

static void test_get(void **state) {
        Test *t = *state;
        _cleanup_(seccomp_store_freep) SeccompStore *s = store(t, PROFILE);
        char name[SECCOMP_NAME_SIZE], again[SECCOMP_NAME_SIZE], digest[DIGEST_STRING_MAX];
        const struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
        _cleanup_free_ char *text = NULL, *file = NULL;
        struct stat before, after;
        size_t n;

        get(s, capability_default_mask, name);
        file = strjoin(name, ".json");
        assert_int_equal(read_file_at(seccomp_store_fd(s), file, 1 << 20, &text, &n), 0);
        assert_int_equal(digest_of_bytes(DIGEST_SHA256, text, n, digest), 0);
        assert_string_equal(digest_hex(digest), name);
        stat_profile(s, name, &before);
        assert_int_equal(before.st_mode & 07777, 0600);
        assert_asked(t, name, NULL);

        /* The same once more: nothing is written, nothing compiled; but it is young again. */
        assert_int_equal(utimensat(seccomp_store_fd(s), file, old, 0), 0);
        get(s, capability_default_mask, again);
        assert_string_equal(name, again);
        stat_profile(s, name, &after);
        assert_true(before.st_ino == after.st_ino && after.st_mtim.tv_sec > 1);

        /* Cleared away meanwhile. */
        assert_int_equal(unlinkat(seccomp_store_fd(s), file, 0), 0);
        get(s, capability_default_mask, again);
        assert_string_equal(name, again);
        stat_profile(s, name, &after);
        assert_asked(t, name, name);
}

static void test_next_daemon(void **state) {
        Test *t = *state;
        SeccompStore *s = store(t, PROFILE);
        char name[SECCOMP_NAME_SIZE], again[SECCOMP_NAME_SIZE];
        struct stat before, after;

        get(s, capability_default_mask, name);
        stat_profile(s, name, &before);
        assert_asked(t, name, NULL);
        seccomp_store_free(s);

        /* The next one finds it, and lets mooring look whether its program is still good. */
        s = store(t, PROFILE);
        get(s, capability_default_mask, again);
        assert_string_equal(name, again);
        stat_profile(s, name, &after);
        assert_true(before.st_ino == after.st_ino);
        seccomp_store_prepare(s, capability_default_mask);
        assert_asked(t, name, name);
        seccomp_store_free(s);
}

static void test_many(void **state) {
        Test *t = *state;
        _cleanup_(seccomp_store_freep) SeccompStore *s = store(t, PROFILE);
        char name[SECCOMP_NAME_SIZE], first[SECCOMP_NAME_SIZE];
        uint64_t admin = capability_mask_from_string("SYS_ADMIN"),
                 chown = capability_mask_from_string("CHOWN");

        /* Capabilities of which the profile does not speak make no other file. */
        get(s, 0, first);
        get(s, chown, name);
        assert_string_equal(first, name);
        get(s, admin, name);
        assert_string_not_equal(first, name);

        /* More sets than are remembered. */
        for (uint64_t i = 0; i < 2 * SECCOMP_NAMES_MAX; i++) {
                struct stat st;

                get(s, i, name);
                stat_profile(s, name, &st);
        }
        get(s, 0, name);
        assert_string_equal(first, name);
}

/* Neither a profile that is missing nor a compiler that is missing or fails ends anything else. */
static void test_failures(void **state) {
        Test *t = *state;
        SeccompStore *s = store(t, "/nonexistent/profile");
        _cleanup_error_ Error e = ERROR_NULL;
        char name[SECCOMP_NAME_SIZE];
        struct stat st;

        assert_int_equal(seccomp_store_get(s, 0, name, &e), -ENOENT);
        assert_non_null(strstr(error_message(&e), "/nonexistent/profile"));
        seccomp_store_prepare(s, 0);
        seccomp_store_free(s);

        assert_int_equal(unlinkat(t->fd, "compiler", 0), 0);
        s = store(t, PROFILE);
        get(s, 0, name);
        stat_profile(s, name, &st);
        seccomp_store_free(s);

        free(t->compiler);
        t->compiler = strdup("/bin/false");
        s = store(t, PROFILE);
        for (unsigned i = 0; i < 2 * SECCOMP_COMPILERS_MAX; i++)
                seccomp_store_prepare(s, 0);
        for (unsigned i = 0; i < SECCOMP_COMPILERS_MAX; i++)
                assert_true(sd_event_run(t->event, WAIT_USEC) > 0);
        assert_int_equal(sd_event_run(t->event, 0), 0);
        seccomp_store_free(s);
}

/* -- bundles ------------------------------------------------------------------------------------ */

static void write_bundle(Test *t, SeccompStore *s, const char *config, const char *name) {
        const BundleContent content = {
                .config = config,
                .hostname = "h",
                .hosts = "",
                .resolv = "",
                .seccomp = name,
                .seccomp_fd = seccomp_store_fd(s),
        };
        _cleanup_error_ Error e = ERROR_NULL;

        if (bundle_write(t->fd, "ns", "id", &content, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void test_bundle(void **state) {
        static const char config[] = "{\"linux\":{\"a\":1},\"annotations\":{\"" ANNOTATION_SECCOMP
                                     "\":\"%s\",\"b\":\"c\"}}";
        Test *t = *state;
        _cleanup_(seccomp_store_freep) SeccompStore *s = store(t, PROFILE);
        _cleanup_free_ char *text = NULL, *plain = NULL;
        _cleanup_json_ json_t *j = NULL;
        char name[SECCOMP_NAME_SIZE], named[256];
        struct stat st;

        get(s, capability_default_mask, name);
        (void) snprintf(named, sizeof(named), config, name);
        /* Also where there is one already. */
        for (unsigned i = 0; i < 2; i++) {
                write_bundle(t, s, named, name);
                stat_profile(s, name, &st);
                assert_int_equal(st.st_nlink, 2);
        }

        assert_int_equal(bundle_read_spec(t->fd, "ns", "id", &text), 0);
        assert_int_equal(json_parse(text, strlen(text), BUNDLE_CONFIG_SIZE_MAX, &j, NULL), 0);
        assert_string_equal(json_get_string(json_object_get(json_object_get(j, "linux"), "seccomp"),
                                            "defaultAction"),
                            "SCMP_ACT_ERRNO");
        assert_non_null(json_object_get(json_object_get(j, "linux"), "a"));
        assert_null(json_object_get(json_object_get(j, "annotations"), ANNOTATION_SECCOMP));
        assert_string_equal(json_get_string(json_object_get(j, "annotations"), "b"), "c");

        assert_int_equal(bundle_remove(t->fd, "ns", "id"), 0);
        stat_profile(s, name, &st);
        assert_int_equal(st.st_nlink, 1);

        write_bundle(t, s, "{\"linux\":{}}", NULL);
        assert_int_equal(bundle_read_spec(t->fd, "ns", "id", &plain), 0);
        assert_string_equal(plain, "{\"linux\":{}}");
        assert_int_equal(bundle_remove(t->fd, "ns", "id"), 0);
        assert_int_equal(bundle_read_spec(t->fd, "ns", "id", &plain), -ENOENT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_get), T(test_next_daemon), T(test_many), T(test_failures), T(test_bundle),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
