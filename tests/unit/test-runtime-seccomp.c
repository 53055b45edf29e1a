/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The filters run for real: a child installs one and makes system calls. No privileges are needed with
 * no_new_privs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "runtime/command.h"
#include "runtime/plan.h"
#include "runtime/seccomp-cache.h"
#include "runtime/seccomp-listener.h"
#include "runtime/spec-seccomp.h"

#define PROFILE TEST_DATA_DIR "/../../src/runtime/seccomp-default.json"

static SeccompSpec *spec_from_json(json_t *j) {
        _cleanup_error_ Error e = ERROR_NULL;
        SeccompSpec *s = NULL;

        if (seccomp_spec_parse(j, &s, &e) < 0)
                fail_msg("%s", error_message(&e));
        return s;
}

static SeccompSpec *spec_from(const char *text) {
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(json_parse(text, strlen(text), SIZE_MAX, &j, NULL), 0);
        return spec_from_json(j);
}

static bool names_cap(json_t *condition, const char *cap) {
        json_t *v;
        size_t i;

        json_array_foreach (json_object_get(condition, "caps"), i, v)
                if (cap && streq(json_string_value(v), cap))
                        return true;
        return false;
}

/* The vendor's profile as it is for a container with that capability, or with none. */
static SeccompSpec *default_profile(const char *cap) {
        _cleanup_json_ json_t *j = NULL, *rules = json_array();
        _cleanup_free_ char *text = NULL;
        json_t *rule;
        size_t size, i;

        assert_int_equal(read_file_at(AT_FDCWD, PROFILE, SPEC_SIZE_MAX, &text, &size), 0);
        assert_int_equal(json_parse(text, size, SIZE_MAX, &j, NULL), 0);
        json_array_foreach (json_object_get(j, "syscalls"), i, rule) {
                json_t *includes = json_object_get(rule, "includes");

                if ((!includes || names_cap(includes, cap)) &&
                    !names_cap(json_object_get(rule, "excludes"), cap))
                        assert_int_equal(json_array_append(rules, rule), 0);
        }
        assert_int_equal(json_object_set(j, "syscalls", rules), 0);
        return spec_from_json(j);
}

static SeccompProgram compile(const SeccompSpec *s) {
        _cleanup_error_ Error e = ERROR_NULL;
        SeccompProgram p = {};

        if (seccomp_compile(s, &p, &e) < 0)
                fail_msg("%s", error_message(&e));
        return p;
}

/* What call() gives (0 or an errno) in a process with the filter. */
static int under(const SeccompProgram *p, int (*call)(void)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_install(p) < 0)
                        _exit(255);
                _exit(call());
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 255);
        return WEXITSTATUS(status);
}

#define RESULT(call) ((call) < 0 ? errno : 0)

static int call_getppid(void) {
        return RESULT(syscall(SYS_getppid)); /* the C library thinks that it cannot fail */
}

static int call_unshare(void) {
        return RESULT(unshare(CLONE_NEWUTS));
}

static int call_clone3(void) {
        return RESULT(syscall(SYS_clone3, NULL, 0));
}

static int call_clone_newuser(void) {
        return RESULT(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
}

static int call_fork(void) {
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        return pid < 0 ? errno : 0;
}

static int call_io_uring(void) {
        return RESULT(syscall(SYS_io_uring_setup, 1, NULL));
}

static int call_keyctl(void) {
        return RESULT(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int call_unknown(void) {
        return RESULT(syscall(900));
}

static int call_socket_unix(void) {
        return RESULT(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int call_socket_alg(void) {
        return RESULT(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int call_socket_vsock(void) {
        return RESULT(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int call_personality_get(void) {
        return RESULT(personality(0xffffffff));
}

static int call_personality_random(void) {
        return RESULT(personality(ADDR_NO_RANDOMIZE));
}

static void test_default_profile(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = default_profile(NULL);
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(s);

        /* As libseccomp makes it there are 1261. */
        assert_in_range(p.n, 100, 400);
        assert_int_equal(under(&p, call_getppid), 0);
        assert_int_equal(under(&p, call_fork), 0);
        assert_int_equal(under(&p, call_unshare), EPERM);
        assert_int_equal(under(&p, call_clone3), ENOSYS);
        assert_int_equal(under(&p, call_clone_newuser), EPERM);
        assert_int_equal(under(&p, call_io_uring), EPERM);
        assert_int_equal(under(&p, call_keyctl), EPERM);
        assert_int_equal(under(&p, call_socket_unix), 0);
        assert_int_equal(under(&p, call_socket_alg), EPERM);
        assert_int_equal(under(&p, call_socket_vsock), EPERM);
        assert_int_equal(under(&p, call_personality_get), 0);
        assert_int_equal(under(&p, call_personality_random), EPERM);
        /* Newer than everything the profile knows. */
        assert_int_equal(under(&p, call_unknown), ENOSYS);
}

static void test_default_profile_with_admin(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = default_profile("CAP_SYS_ADMIN");
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(s);

        /* The kernel's own answers: EINVAL for no arguments at all. */
        assert_int_equal(under(&p, call_clone3), EINVAL);
        assert_int_equal(under(&p, call_io_uring), EPERM);
}

static void test_no_enosys_without_errno(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
                        "\"syscalls\":[{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\","
                        "\"errnoRet\":99},{\"names\":[\"no_such_system_call\"],"
                        "\"action\":\"SCMP_ACT_ERRNO\"}]}");
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(s);

        assert_int_equal(under(&p, call_getppid), 99);
        assert_int_equal(under(&p, call_socket_unix), 0);
}

static int call_socket_2(void) {
        return RESULT(socket(2, SOCK_DGRAM, 0));
}

static void test_repeated_arguments_are_alternatives(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
                        "\"syscalls\":[{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\","
                        "\"errnoRet\":98,\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
                        "{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}");
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(s);

        assert_int_equal(under(&p, call_socket_unix), 98);
        assert_int_equal(under(&p, call_socket_2), 98);
        assert_int_not_equal(under(&p, call_socket_alg), 98);
}

static void check_fails(const char *text, const char *in_message) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = spec_from(text);
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(seccomp_compile(s, &p, &e) < 0);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

static void test_errors(void **state) {
        check_fails("{\"defaultAction\":\"SCMP_ACT_NONE\"}", "SCMP_ACT_NONE");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}", "has no errno");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                    "\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1}]}",
                    "has no errno");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":65536}", "65536");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_PDP11\"]}",
                    "SCMP_ARCH_PDP11");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"X86\"]}", "X86");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                    "\"action\":\"X\"}]}",
                    "\"X\"");
        check_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                    "\"action\":\"SCMP_ACT_ERRNO\","
                    "\"args\":[{\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_X\"}]}]}",
                    "SCMP_CMP_X");
}

/* ---- the cache ---- */

static int count_files(const char *path, char *ret_name, size_t l) {
        _cleanup_free_ char *command = strformat("ls %s | tail -n 1", path);
        _cleanup_free_ char *count = strformat("ls %s | wc -l", path);
        FILE *f;
        int n = -1;

        f = popen(count, "re");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%d", &n), 1);
        pclose(f);
        f = popen(command, "re");
        assert_non_null(f);
        if (!fgets(ret_name, (int) l, f))
                ret_name[0] = 0;
        ret_name[strcspn(ret_name, "\n")] = 0;
        pclose(f);
        return n;
}

static void get(const SeccompSpec *s, const char *dir, SeccompProgram *ret) {
        _cleanup_error_ Error e = ERROR_NULL;

        seccomp_program_done(ret);
        if (seccomp_get_by_content(s, dir, ret, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void test_cache(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = default_profile(NULL),
                                                  *admin = default_profile("CAP_SYS_ADMIN");
        _cleanup_(seccomp_program_done) SeccompProgram p = {}, q = {};
        char dir[] = "/tmp/test-seccomp-XXXXXX", name[64];
        _cleanup_free_ char *cache = NULL, *file = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat before, after;
        char byte;

        assert_non_null(mkdtemp(dir));
        cache = strjoin(dir, "/cache");

        get(s, cache, &p);
        assert_int_equal(count_files(cache, name, sizeof(name)), 1);
        file = strjoin(cache, "/", name);
        assert_int_equal(stat(file, &before), 0);
        assert_int_equal(before.st_mode & 07777, 0600);

        /* The second time it comes from the file, unchanged. */
        get(s, cache, &q);
        assert_int_equal(q.n, p.n);
        assert_memory_equal(q.filter, p.filter, p.n * sizeof(struct sock_filter));
        assert_int_equal(stat(file, &after), 0);
        assert_true(before.st_ino == after.st_ino);

        /* Another profile, another file. */
        get(admin, cache, &q);
        assert_int_equal(count_files(cache, name, sizeof(name)), 2);

        /* A damaged file is not believed: truncated, then with another profile's bytes in it. */
        assert_int_equal(truncate(file, 100), 0);
        get(s, cache, &q);
        assert_int_equal(q.n, p.n);
        fd = open(file, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "\1", 1, 40), 1);
        fd = safe_close(fd);
        get(s, cache, &q);
        assert_memory_equal(q.filter, p.filter, p.n * sizeof(struct sock_filter));
        fd = open(file, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, 40), 1);
        assert_int_not_equal(byte, 1);

        /* A directory that others can write to is not used. */
        assert_int_equal(rm_rf_at(AT_FDCWD, cache), 0);
        assert_int_equal(mkdir(cache, 0700), 0);
        assert_int_equal(chmod(cache, 0777), 0);
        get(s, cache, &q);
        assert_int_equal(q.n, p.n);
        assert_int_equal(count_files(cache, name, sizeof(name)), 0);

        assert_int_equal(rm_rf_at(AT_FDCWD, dir), 0);
}

#define NAME_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DENY_GETPPID                                                                                        \
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":["        \
        "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":99}]}"

static void put_file(const char *dir, const char *name, const char *text) {
        _cleanup_free_ char *path = strjoin(dir, "/", name);

        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0600, false), 0);
}

static void get_by_name(const char *name, const char *dir, SeccompProgram *ret) {
        _cleanup_error_ Error e = ERROR_NULL;

        seccomp_program_done(ret);
        if (seccomp_get_by_name(name, dir, ret, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void check_name_fails(const char *name, const char *dir, const char *error, const char *in_message) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(seccomp_get_by_name(name, dir, &p, &e) < 0);
        assert_string_equal(error_name(&e), error);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

static void test_cache_by_name(void **state) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {}, q = {};
        char dir[] = "/tmp/test-seccomp-XXXXXX";
        _cleanup_free_ char *program = NULL, *profile = NULL;
        _cleanup_close_ int fd = -EBADF;

        assert_non_null(mkdtemp(dir));
        program = strjoin(dir, "/" NAME_A ".bpf");
        profile = strjoin(dir, "/" NAME_A ".json");

        check_name_fails(NAME_A, dir, "NoSuchProfile", NAME_A);
        check_name_fails("../" NAME_A, dir, "InvalidArgument", "not a SHA-256");
        check_name_fails("", dir, "InvalidArgument", "not a SHA-256");
        put_file(dir, NAME_A ".json", "{");
        check_name_fails(NAME_A, dir, "InvalidArgument", NAME_A);
        put_file(dir, NAME_A ".json",
                 "{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/x\"}");
        check_name_fails(NAME_A, dir, "NotSupported", "listener");
        assert_int_equal(access(program, F_OK), -1);

        put_file(dir, NAME_A ".json", DENY_GETPPID);
        get_by_name(NAME_A, dir, &p);
        assert_int_equal(p.flags, 2);
        assert_int_equal(under(&p, call_getppid), 99);
        assert_int_equal(access(program, F_OK), 0);

        /* From now on the program is enough, flags and all. */
        assert_int_equal(unlink(profile), 0);
        get_by_name(NAME_A, dir, &q);
        assert_int_equal(q.flags, 2);
        assert_int_equal(q.n, p.n);
        assert_memory_equal(q.filter, p.filter, p.n * sizeof(struct sock_filter));
        check_name_fails(NAME_B, dir, "NoSuchProfile", NAME_B);

        /* Of another version of the compiler it is none. */
        fd = open(program, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "M", 1, 32), 1);
        check_name_fails(NAME_A, dir, "NoSuchProfile", NAME_A);
        put_file(dir, NAME_A ".json", DENY_GETPPID);
        get_by_name(NAME_A, dir, &q);
        assert_int_equal(q.n, p.n);
        assert_int_equal(unlink(profile), 0);
        get_by_name(NAME_A, dir, &q);
        assert_int_equal(rm_rf_at(AT_FDCWD, dir), 0);
}

static void set_age(const char *dir, const char *name, time_t age) {
        _cleanup_free_ char *path = strjoin(dir, "/", name);
        const struct timespec t[2] = { { .tv_sec = 1000000 - age }, { .tv_sec = 1000000 - age } };

        assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static bool exists(const char *dir, const char *name) {
        _cleanup_free_ char *path = strjoin(dir, "/", name);

        return access(path, F_OK) >= 0;
}

static void test_cache_is_bounded(void **state) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        char dir[] = "/tmp/test-seccomp-XXXXXX", name[64];
        _cleanup_free_ char *from = NULL, *bundle = NULL, *to = NULL;

        assert_non_null(mkdtemp(dir));
        /* The older, the higher its number; a bundle holds the oldest profile. */
        for (unsigned i = 0; i < SECCOMP_CACHE_PROGRAMS_MAX + 10; i++) {
                snprintf(name, sizeof(name), "%u.bpf", i);
                put_file(dir, name, "");
                set_age(dir, name, i);
        }
        for (unsigned i = 0; i < SECCOMP_CACHE_PROFILES_MAX + 10; i++) {
                snprintf(name, sizeof(name), "%u.json", i);
                put_file(dir, name, "");
                set_age(dir, name, i);
        }
        from = strjoin(dir, "/", name);
        bundle = strjoin(dir, "/bundle");
        assert_int_equal(mkdir(bundle, 0700), 0);
        to = strjoin(bundle, "/seccomp.json");
        assert_int_equal(link(from, to), 0);

        put_file(dir, NAME_A ".json", DENY_GETPPID);
        get_by_name(NAME_A, dir, &p);

        assert_true(exists(dir, NAME_A ".bpf"));
        assert_true(exists(dir, NAME_A ".json"));
        assert_true(exists(dir, name));
        for (unsigned i = 0; i < 10; i++) {
                char program[64], profile[64];

                /* One of each kind is beside the others. */
                snprintf(program, sizeof(program), "%u.bpf", SECCOMP_CACHE_PROGRAMS_MAX - 2 + i);
                snprintf(profile, sizeof(profile), "%u.json", SECCOMP_CACHE_PROFILES_MAX - 2 + i);
                assert_int_equal(exists(dir, program), i == 0);
                assert_int_equal(exists(dir, profile), i == 0);
        }

        assert_true(exists(dir, "0.bpf") && exists(dir, "0.json"));
        assert_int_equal(rm_rf_at(AT_FDCWD, dir), 0);
}

static void test_annotation(void **state) {
        static const char both[] = "{\"ociVersion\":\"1.2.0\",\"linux\":{\"seccomp\":{"
                                   "\"defaultAction\":\"SCMP_ACT_ALLOW\"}},"
                                   "\"annotations\":{\"" ANNOTATION_SECCOMP "\":\"" NAME_A "\"}}";
        static const char none[] = "{\"ociVersion\":\"1.2.0\"}";
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL, *empty = NULL;
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(runtime_spec_parse(both, strlen(both), &s, NULL), 0);
        assert_int_equal(seccomp_get(s, &p, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), ANNOTATION_SECCOMP));
        assert_int_equal(runtime_spec_parse(none, strlen(none), &empty, NULL), 0);
        assert_int_equal(seccomp_get(empty, &p, NULL), 0);
        assert_int_equal(p.n, 0);
}

static void test_flags(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]}");
        _cleanup_(seccomp_spec_freep) SeccompSpec *bad = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
                        "\"flags\":[\"SECCOMP_FILTER_FLAG_NEW_LISTENER\"]}");
        _cleanup_(seccomp_spec_freep)
                        SeccompSpec *none = spec_from("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}"),
                                    *empty = spec_from("{\"defaultAction\":\"SCMP_ACT_ALLOW\","
                                                       "\"flags\":[]}"),
                                    *wait = spec_from("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":["
                                                      "\"SECCOMP_FILTER_FLAG_TSYNC\","
                                                      "\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"]}");
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_error_ Error e = ERROR_NULL;

        get(s, "/nonexistent/cache", &p);
        assert_int_equal(p.flags, 2);
        assert_int_equal(under(&p, call_getppid), 0);
        get(none, "/nonexistent/cache", &p);
        assert_int_equal(p.flags, 4);
        get(empty, "/nonexistent/cache", &p);
        assert_int_equal(p.flags, 0);
        /* Without a listener there is nothing to wait for. */
        get(wait, "/nonexistent/cache", &p);
        assert_int_equal(p.flags, 0);
        free(wait->listener_path);
        wait->listener_path = strdup("/x");
        get(wait, "/nonexistent/cache", &p);
        assert_int_equal(p.flags, 32);
        seccomp_program_done(&p);
        assert_true(seccomp_get_by_content(bad, "/nonexistent/cache", &p, &e) < 0);
        assert_string_equal(error_name(&e), "NotSupported");
}

/* ---- architectures and names ---- */

static void test_foreign_architectures(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *all = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86_64\","
                        "\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_S390X\",\"SCMP_ARCH_PPC64LE\",\"SCMP_ARCH_MIPSEL\","
                        "\"SCMP_ARCH_RISCV64\",\"SCMP_ARCH_LOONGARCH64\",\"SCMP_ARCH_M68K\",\"SCMP_ARCH_SH\","
                        "\"SCMP_ARCH_SHEB\"],\"syscalls\":[{\"names\":[\"getppid\"],"
                        "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":99}]}");
        _cleanup_(seccomp_spec_freep) SeccompSpec *own = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"getppid\"],"
                        "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":99}]}");
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(all), q = compile(own);

        assert_int_equal(under(&p, call_getppid), 99);
        assert_int_equal(p.n, q.n);
}

static void test_unknown_names(void **state) {
        static const char text[] =
                        "{\"ociVersion\":\"1.2.0\",\"linux\":{\"seccomp\":{"
                        "\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"nosuch\"],"
                        "\"action\":\"SCMP_ACT_ERRNO\"}]}},"
                        "\"annotations\":{\"run.oci.seccomp_fail_unknown_syscall\":\"%s\"}}";
        char dir[] = "/tmp/test-seccomp-XXXXXX";

        assert_non_null(mkdtemp(dir));
        /* In this order: what has been compiled for one is not for the other. */
        for (int fail = 0; fail < 2; fail++) {
                _cleanup_free_ char *t = strdup(text);
                _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
                _cleanup_(seccomp_program_done) SeccompProgram p = {};
                _cleanup_error_ Error e = ERROR_NULL;
                char *percent;

                assert_non_null(t);
                percent = strstr(t, "%s");
                percent[0] = ' ';
                percent[1] = fail ? '1' : '0';
                memmove(percent, percent + 1, strlen(percent));
                assert_int_equal(runtime_spec_parse(t, strlen(t), &s, NULL), 0);
                assert_int_equal(seccomp_get_by_content(s->seccomp, dir, &p, &e) < 0, fail);
                if (fail)
                        assert_non_null(strstr(error_message(&e), "\"nosuch\" is not known"));
        }
        assert_int_equal(rm_rf_at(AT_FDCWD, dir), 0);
}

/* ---- a listener ---- */

#define MESSAGE "{\"x\":1}"

static int receive_listener(int sock) {
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control;
        char buf[64] = "";
        struct iovec iov = { buf, sizeof(buf) - 1 };
        struct msghdr m = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        int fd = -EBADF;

        assert_int_equal(recvmsg(sock, &m, MSG_CMSG_CLOEXEC), strlen(MESSAGE));
        assert_string_equal(buf, MESSAGE);
        assert_non_null(CMSG_FIRSTHDR(&m));
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
        /* One message a connection, although the process with the filter goes on. */
        assert_int_equal(recv(sock, buf, 1, 0), 0);
        return fd;
}

/* Answers what it is asked: getppid() with an errno of its own, everything else may go on. */
static void answer_all(int listener) {
        struct pollfd p = { .fd = listener, .events = POLLIN };

        while (poll(&p, 1, 10000) == 1 && p.revents & POLLIN) {
                struct seccomp_notif q = {};
                struct seccomp_notif_resp a = {};

                if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &q) < 0)
                        break;
                a.id = q.id;
                if (q.data.nr == SYS_getppid)
                        a.error = -77;
                else
                        a.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
                if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &a) < 0 && errno != ENOENT)
                        break;
        }
}

/* The exit code of a process with the filter: the errno of getppid(). */
static int under_listener(const char *profile) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = spec_from(profile);
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(s);
        int pair[2], status, listener;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) alarm(20);
                close(pair[0]);
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                    seccomp_install_with_listener(&p, pair[1], MESSAGE, NULL) < 0)
                        _exit(255);
                _exit(call_getppid());
        }
        close(pair[1]);
        listener = receive_listener(pair[0]);
        answer_all(listener);
        close(listener);
        close(pair[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_listener(void **state) {
        static const char one[] =
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\",\"syscalls\":["
                        "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}";

        assert_int_equal(under_listener(one), 77);
        /* What the filter forbids, and what it asks about, is not needed to hand the listener over. */
        assert_int_equal(
                        under_listener("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\","
                                       "\"syscalls\":[{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_NOTIFY\"},"
                                       "{\"names\":[\"sendmsg\",\"close\",\"futex\",\"nanosleep\",\"exit\","
                                       "\"wait4\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}"),
                        77);
        assert_int_equal(under_listener("{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/x\"}"),
                         77);
}

static void test_listener_is_not_taken(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\",\"syscalls\":["
                        "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}");
        _cleanup_(seccomp_program_done) SeccompProgram p = compile(s);
        int pair[2], status;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        close(pair[0]);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) alarm(20);
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                    seccomp_install_with_listener(&p, pair[1], MESSAGE, NULL) != -EPIPE)
                        _exit(255);
                _exit(call_getppid());
        }
        close(pair[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        /* The kernel answers, as there is nobody else. */
        assert_int_equal(WEXITSTATUS(status), ENOSYS);
}

static void check_parse_fails(const char *text, const char *in_message) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;

        assert_int_equal(json_parse(text, strlen(text), SIZE_MAX, &j, NULL), 0);
        assert_true(seccomp_spec_parse(j, &s, &e) < 0);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

static void test_listener_path(void **state) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *asked = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/nonexistent/socket\","
                        "\"listenerMetadata\":\"m\"}");
        _cleanup_(seccomp_spec_freep) SeccompSpec *unasked = spec_from(
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/nonexistent/socket\"}");
        char id[] = "c1", bundle[] = "/b", version[] = "1.2.0";
        ContainerState container = { .id = id, .bundle = bundle, .oci_version = version, .pid = 7 };
        _cleanup_free_ char *message = NULL, *plain = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        int fd = 0;

        assert_true(seccomp_spec_has_notify(asked));
        assert_false(seccomp_spec_has_notify(unasked));
        assert_int_equal(seccomp_listener_connect(asked, &fd, &e), -ENOENT);
        assert_non_null(strstr(error_message(&e), "/nonexistent/socket"));
        assert_int_equal(seccomp_listener_connect(unasked, &fd, NULL), 0);
        assert_int_equal(fd, -EBADF);
        assert_int_equal(seccomp_listener_connect(NULL, &fd, NULL), 0);

        message = seccomp_listener_message(asked, &container, CONTAINER_CREATING, 8);
        assert_string_equal(message, "{\"ociVersion\":\"" OCI_VERSION "\",\"fds\":[\"seccompFd\"],\"pid\":8,"
                                     "\"metadata\":\"m\",\"state\":{\"ociVersion\":\"1.2.0\",\"id\":\"c1\","
                                     "\"status\":\"creating\",\"pid\":7,\"bundle\":\"/b\"}}");
        plain = seccomp_listener_message(unasked, &container, CONTAINER_RUNNING, 8);
        assert_null(strstr(plain, "metadata"));

        check_parse_fails("{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "needs listenerPath");
        check_parse_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"x\"}", "absolute");
        check_parse_fails("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":\"x\"}",
                          "listenerMetadata: needs listenerPath");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_default_profile),
                cmocka_unit_test(test_default_profile_with_admin),
                cmocka_unit_test(test_no_enosys_without_errno),
                cmocka_unit_test(test_repeated_arguments_are_alternatives),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_cache),
                cmocka_unit_test(test_cache_by_name),
                cmocka_unit_test(test_cache_is_bounded),
                cmocka_unit_test(test_annotation),
                cmocka_unit_test(test_flags),
                cmocka_unit_test(test_foreign_architectures),
                cmocka_unit_test(test_unknown_names),
                cmocka_unit_test(test_listener),
                cmocka_unit_test(test_listener_is_not_taken),
                cmocka_unit_test(test_listener_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
