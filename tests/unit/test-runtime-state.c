/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/state.h"

static char root_path[] = "/tmp/test-runtime-state-XXXXXX";
static int root_fd = -EBADF;

static int setup(void **state) {
        if (!mkdtemp(root_path))
                return -1;
        root_fd = state_root_open(root_path, false, NULL);
        return root_fd < 0 ? -1 : 0;
}

static int teardown(void **state) {
        safe_close(root_fd);
        return rm_rf_at(AT_FDCWD, root_path);
}

static ContainerState sample(void) {
        return (ContainerState){
                .id = (char *) "one",
                .bundle = (char *) "/bundles/one",
                .rootfs = (char *) "/bundles/one/rootfs",
                .oci_version = (char *) "1.2.0",
        };
}

static void test_id(void **state) {
        static const char *const good[] = { "a", "A-Z_0.9+", "0", "a..b" };
        static const char *const bad[] = { "", ".", "..", ".foo", "foo bar", "foo/bar", "a\n", "\xc3\xa4" };
        char text[STATE_ID_MAX + 2];

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_int_equal(state_check_id(good[i], NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_error_ Error e = ERROR_NULL;

                assert_int_equal(state_check_id(bad[i], &e), -EINVAL);
                assert_non_null(strstr(error_message(&e), "container ID"));
                assert_non_null(strstr(error_message(&e), "invalid"));
        }

        memset(text, 'x', sizeof(text));
        text[STATE_ID_MAX + 1] = 0;
        assert_int_equal(state_check_id(text, NULL), -EINVAL);
        text[STATE_ID_MAX] = 0;
        assert_int_equal(state_check_id(text, NULL), 0);
}

static void test_root(void **state) {
        _cleanup_free_ char *path = strjoin(root_path, "/deep/er//root/");
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error e = ERROR_NULL;
        struct stat st;

        assert_int_equal(state_root_open(path, false, &e), -ENOENT);
        fd = state_root_open(path, true, NULL);
        assert_true(fd >= 0);
        assert_return_code(fstat(fd, &st), errno);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(rm_rf_at(root_fd, "deep"), 0);
}

static void test_directory(void **state) {
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_close_ int fd = -EBADF, other = -EBADF;
        ContainerState s;

        fd = state_dir_create(root_fd, "one", NULL);
        assert_true(fd >= 0);
        assert_int_equal(state_dir_create(root_fd, "one", &e), -EEXIST);
        assert_string_equal(error_name(&e), "AlreadyExists");

        /* Half-created: there, locked, without a state. */
        assert_int_equal(state_read(fd, "one", &s, &f), -ENOENT);
        assert_string_equal(error_name(&f), "NoSuchContainer");
        other = state_dir_open(root_fd, "one", false, NULL);
        assert_true(other >= 0);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);

        safe_close(state_dir_create(root_fd, "another", NULL));
        assert_int_equal(state_list(root_fd, &ids), 0);
        assert_int_equal(strv_length(ids), 2);
        assert_string_equal(ids[0], "another");

        assert_int_equal(state_dir_remove(root_fd, "one"), 0);
        assert_int_equal(state_dir_remove(root_fd, "another"), 0);
        assert_int_equal(state_dir_open(root_fd, "one", true, NULL), -ENOENT);
}

/* Who waits for the lock of a directory that is removed and made anew meanwhile does not get the old one. */
static void test_lock_of_removed(void **state) {
        _cleanup_close_ int fd = -EBADF;
        int status;
        pid_t pid;

        fd = state_dir_create(root_fd, "one", NULL);
        assert_true(fd >= 0);

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                /* The lock is the open file's, which the child has as well. */
                fd = safe_close(fd);
                _exit(state_dir_open(root_fd, "one", true, NULL) == -ENOENT ? 0 : 1);
        }

        /* Until it waits: state S of a process that has nothing else to wait for. */
        for (unsigned i = 0; i < 1000; i++) {
                char path[64], line[512] = "";
                FILE *f;

                (void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
                f = fopen(path, "re");
                assert_non_null(f);
                assert_non_null(fgets(line, sizeof(line), f));
                fclose(f);
                if (strstr(line, ") S "))
                        break;
                usleep(1000);
        }
        assert_int_equal(state_dir_remove(root_fd, "one"), 0);
        fd = safe_close(fd);

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void test_write_read(void **state) {
        SpecPair annotations[] = { { (char *) "a", (char *) "1" },
                                   { (char *) "org.example", (char *) "\"x\"" } };
        _cleanup_(container_state_done) ContainerState t = {};
        _cleanup_close_ int fd = -EBADF;
        ContainerState s = sample();
        _cleanup_json_ json_t *o = NULL;

        fd = state_dir_create(root_fd, "one", NULL);
        assert_true(fd >= 0);
        s.owner = (char *) "root";
        s.pid = getpid();
        s.pid_start_time = process_start_time(getpid());
        s.created_usec = UINT64_C(1700000000000000);
        s.cgroup_path = (char *) "/a/b";
        s.scope = (char *) "x.scope";
        s.systemd_cgroup = s.detached = true;
        s.external_descriptors = state_describe_descriptors();
        s.annotations = annotations;
        s.n_annotations = ELEMENTSOF(annotations);
        assert_non_null(s.external_descriptors);
        assert_int_equal(state_write(fd, &s, NULL), 0);

        assert_int_equal(state_read(fd, "one", &t, NULL), 0);
        assert_string_equal(t.id, s.id);
        assert_string_equal(t.bundle, s.bundle);
        assert_string_equal(t.rootfs, s.rootfs);
        assert_string_equal(t.oci_version, s.oci_version);
        assert_string_equal(t.owner, s.owner);
        assert_int_equal(t.pid, s.pid);
        assert_int_equal(t.pid_start_time, s.pid_start_time);
        assert_int_equal(t.created_usec, s.created_usec);
        assert_string_equal(t.cgroup_path, s.cgroup_path);
        assert_string_equal(t.scope, s.scope);
        assert_true(t.systemd_cgroup && t.detached);
        assert_string_equal(t.external_descriptors, s.external_descriptors);
        assert_int_equal(t.n_annotations, 2);

        o = state_to_oci(&t, CONTAINER_RUNNING);
        assert_non_null(o);
        assert_string_equal(json_get_string(o, "status"), "running");
        assert_string_equal(json_get_string(json_object_get(o, "annotations"), "org.example"), "\"x\"");
        assert_int_equal(json_integer_value(json_object_get(o, "pid")), getpid());

        free(s.external_descriptors);
        assert_int_equal(state_dir_remove(root_fd, "one"), 0);
}

static void test_minimal(void **state) {
        _cleanup_(container_state_done) ContainerState t = {};
        _cleanup_free_ char *owner = NULL;
        _cleanup_close_ int fd = -EBADF;
        ContainerState s = sample();
        _cleanup_json_ json_t *o = NULL;

        fd = state_dir_create(root_fd, "one", NULL);
        assert_true(fd >= 0);
        assert_int_equal(state_write(fd, &s, NULL), 0);
        assert_int_equal(state_read(fd, "one", &t, NULL), 0);
        assert_null(t.owner);
        assert_null(t.cgroup_path);
        assert_int_equal(state_status(fd, &t), CONTAINER_CREATING);

        o = state_to_oci(&t, CONTAINER_STOPPED);
        assert_non_null(o);
        assert_null(json_object_get(o, "annotations"));
        assert_int_equal(json_integer_value(json_object_get(o, "pid")), 0);

        owner = state_owner(fd);
        assert_non_null(owner);
        assert_true(owner[0] != 0);
        assert_int_equal(state_dir_remove(root_fd, "one"), 0);
}

static void check_damaged(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_close_ int fd = -EBADF;
        ContainerState s = {};

        fd = state_dir_create(root_fd, "one", NULL);
        assert_true(fd >= 0);
        assert_int_equal(write_file_atomic_at(fd, STATE_FILE, text, strlen(text), 0600, false), 0);
        assert_true(state_read(fd, "one", &s, &e) < 0);
        assert_non_null(strstr(error_message(&e), "\"one\" is damaged"));
        assert_null(s.id);
        assert_int_equal(state_dir_remove(root_fd, "one"), 0);
}

static void test_damaged(void **state) {
        check_damaged("");
        check_damaged("{");
        check_damaged("{}");
        check_damaged("{\"id\":\"one\",\"bundle\":\"/b\",\"ociVersion\":\"1.0.0\",\"pid\":2147483648}");
        check_damaged("{\"id\":\"one\",\"bundle\":\"/b\",\"ociVersion\":\"1.0.0\",\"pid\":1,\"annotations\":{\"a\":1}}");
}

static void test_status(void **state) {
        _cleanup_close_ int fd = -EBADF, pidfd = -EBADF, fifo = -EBADF;
        ContainerState s = sample();
        pid_t pid;

        fd = state_dir_create(root_fd, "one", NULL);
        assert_true(fd >= 0);
        assert_int_equal(state_status(fd, &s), CONTAINER_CREATING);
        assert_int_equal(state_pidfd(&s), -ESRCH);

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                pause();
                _exit(0);
        }
        s.pid = pid;
        s.pid_start_time = process_start_time(pid);
        assert_true(s.pid_start_time > 0);
        assert_int_equal(state_status(fd, &s), CONTAINER_RUNNING);
        pidfd = state_pidfd(&s);
        assert_true(pidfd >= 0);

        /* Created is what waits, and not what a `start` that was killed has left. */
        assert_return_code(mkfifoat(fd, STATE_START_FIFO, 0600), errno);
        assert_int_equal(state_status(fd, &s), CONTAINER_RUNNING);
        fifo = openat(fd, STATE_START_FIFO, O_RDWR | O_CLOEXEC);
        assert_true(fifo >= 0);
        assert_int_equal(state_status(fd, &s), CONTAINER_CREATED);
        assert_int_equal(state_status(-EBADF, &s), CONTAINER_RUNNING);

        /* Another process of the same number. */
        s.pid_start_time++;
        assert_int_equal(state_status(fd, &s), CONTAINER_STOPPED);
        assert_int_equal(state_pidfd(&s), -ESRCH);
        s.pid_start_time--;

        /* A zombie, then nothing. */
        assert_return_code(kill(pid, SIGKILL), errno);
        assert_return_code(waitid(P_PID, (id_t) pid, NULL, WEXITED | WNOWAIT), errno);
        assert_int_equal(state_status(fd, &s), CONTAINER_STOPPED);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(state_status(fd, &s), CONTAINER_STOPPED);
        assert_int_equal(process_start_time(pid), 0);
        assert_int_equal(state_dir_remove(root_fd, "one"), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_id),         cmocka_unit_test(test_root),
                cmocka_unit_test(test_directory),  cmocka_unit_test(test_lock_of_removed),
                cmocka_unit_test(test_write_read), cmocka_unit_test(test_minimal),
                cmocka_unit_test(test_damaged),    cmocka_unit_test(test_status),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
