/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/spec.h"

/* The specification's own examples, where they are at hand. */
#define EXAMPLES_DIR TEST_DATA_DIR "/../../../shared/data/oci/runtime-spec/schema/test/config"

static int parse(const char *text, RuntimeSpec **ret, Error *e) {
        return runtime_spec_parse(text, strlen(text), ret, e);
}

static void check_fails(const char *text, const char *in_message) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(parse(text, &s, &e) < 0);
        assert_null(s);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

static const char full[] =
                "{\"ociVersion\":\"1.2.0\",\"hostname\":\"h\",\"domainname\":\"d\","
                "\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
                "\"process\":{\"user\":{\"uid\":1,\"gid\":2,\"umask\":63,"
                "\"additionalGids\":[3,4]},\"args\":[\"a\",\"b\"],"
                "\"env\":[\"X=1\",\"Y=\"],\"cwd\":\"/w\",\"noNewPrivileges\":true,\"oomScoreAdj\":-7,"
                "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
                "\"ambient\":[\"CAP_BPF\"],\"effective\":null},"
                "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":20},"
                "{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":-1}]},"
                "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
                "\"options\":[\"nosuid\"]}],"
                "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\","
                "\"path\":\"/run/ns\"},{\"type\":\"ipc\",\"path\":\"\"}],"
                "\"devices\":[{\"type\":\"c\",\"path\":\"/dev/fuse\",\"major\":10,\"minor\":229,"
                "\"fileMode\":432,\"uid\":5,\"gid\":6}],"
                "\"sysctl\":{\"net.a\":\"1\"},\"maskedPaths\":[\"/m\"],\"readonlyPaths\":[\"/r\"],"
                "\"rootfsPropagation\":\"slave\","
                "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,"
                "\"architectures\":[\"SCMP_ARCH_X86_64\"],"
                "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},"
                "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"errnoRet\":3,"
                "\"args\":[{\"index\":1,\"value\":2,\"valueTwo\":3,\"op\":\"SCMP_CMP_EQ\"}]}]}},"
                "\"annotations\":{\"org.moored.user\":\"bob\",\"k\":\"v\"},\"futureMember\":{\"x\":1}}";

static void test_full(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(parse(full, &s, &e), 0);
        assert_string_equal(s->hostname, "h");
        assert_string_equal(s->domainname, "d");
        assert_string_equal(s->root_path, "rootfs");
        assert_true(s->root_readonly);
        assert_int_equal(s->process.uid, 1);
        assert_int_equal(s->process.gid, 2);
        assert_int_equal(s->process.umask, 077);
        assert_int_equal(s->process.n_groups, 2);
        assert_int_equal(s->process.groups[1], 4);
        assert_int_equal(strv_length(s->process.args), 2);
        assert_int_equal(strv_length(s->process.env), 2);
        assert_string_equal(s->process.cwd, "/w");
        assert_true(s->process.no_new_privileges);
        assert_true(s->process.has_oom_score_adj);
        assert_int_equal(s->process.oom_score_adj, -7);
        assert_true(s->process.caps.sets[CAP_SET_BOUNDING] == (1U << CAP_CHOWN | 1U << CAP_KILL));
        assert_true(s->process.caps.sets[CAP_SET_AMBIENT] == UINT64_C(1) << CAP_BPF);
        assert_true(s->process.caps.sets[CAP_SET_EFFECTIVE] == 0);
        assert_true(s->process.rlimits[RLIMIT_NOFILE].wanted);
        assert_true(s->process.rlimits[RLIMIT_NOFILE].hard == 20);
        assert_true(s->process.rlimits[RLIMIT_CORE].hard == RLIM_INFINITY);
        assert_false(s->process.rlimits[RLIMIT_AS].wanted);
        assert_int_equal(s->n_mounts, 1);
        assert_string_equal(s->mounts[0].destination, "/proc");
        assert_true(s->namespaces[NAMESPACE_PID].wanted);
        assert_null(s->namespaces[NAMESPACE_PID].path);
        assert_string_equal(s->namespaces[NAMESPACE_NETWORK].path, "/run/ns");
        assert_null(s->namespaces[NAMESPACE_IPC].path);
        assert_false(s->namespaces[NAMESPACE_USER].wanted);
        assert_int_equal(s->devices[0].mode, S_IFCHR | 0660);
        assert_int_equal(s->devices[0].minor, 229);
        assert_string_equal(s->sysctls[0].value, "1");
        assert_string_equal(s->masked_paths[0], "/m");
        assert_string_equal(s->readonly_paths[0], "/r");
        assert_int_equal(s->seccomp->n_rules, 2);
        assert_true(s->seccomp->rules[0].errno_ret == UINT64_MAX);
        assert_true(s->seccomp->rules[1].errno_ret == 3);
        assert_int_equal(s->seccomp->rules[1].args[0].value_two, 3);
        assert_string_equal(runtime_spec_annotation(s, "org.moored.user"), "bob");
        assert_null(runtime_spec_annotation(s, "nosuch"));
        /* What the specification does not define is ignored. */
        assert_null(s->unsupported);
}

static void test_minimal(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        assert_int_equal(parse("{\"ociVersion\":\"1.0.0\"}", &s, NULL), 0);
        assert_false(s->has_process);
        s = runtime_spec_free(s);

        assert_int_equal(parse("{\"ociVersion\":\"1.0.0\",\"process\":{\"cwd\":\"/\"}}", &s, NULL), 0);
        assert_true(s->has_process);
        assert_int_equal(s->process.umask, SPEC_UMASK_DEFAULT);
}

#define TOP(x) "{\"ociVersion\":\"1.2.0\"," x "}"
#define PROCESS(x) TOP("\"process\":{\"cwd\":\"/\"," x "}")
#define LINUX(x) TOP("\"linux\":{" x "}")

static void test_errors_name_the_member(void **state) {
        check_fails("{}", "ociVersion");
        check_fails("{\"ociVersion\":\"2.0.0\"}", "ociVersion");
        check_fails(TOP("\"root\":{}"), "root.path");
        check_fails(TOP("\"root\":[]"), "root");
        check_fails(TOP("\"process\":{}"), "process.cwd");
        check_fails(TOP("\"process\":{\"cwd\":\"rel\"}"), "process.cwd");
        check_fails(PROCESS("\"args\":\"sh\""), "process.args");
        check_fails(PROCESS("\"env\":[\"X\"]"), "process.env");
        check_fails(PROCESS("\"env\":[\"=X\"]"), "process.env");
        check_fails(PROCESS("\"user\":{\"uid\":-1}"), "process.user.uid");
        check_fails(PROCESS("\"user\":{\"uid\":4294967295}"), "process.user.uid");
        check_fails(PROCESS("\"user\":{\"gid\":4294967296}"), "process.user.gid");
        check_fails(PROCESS("\"user\":{\"umask\":512}"), "process.user.umask");
        check_fails(PROCESS("\"user\":{\"additionalGids\":[-1]}"), "additionalGids");
        check_fails(PROCESS("\"capabilities\":{\"bounding\":[\"CAP_NONE\"]}"), "CAP_NONE");
        check_fails(PROCESS("\"capabilities\":{\"bounding\":[3]}"), "bounding");
        check_fails(PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]"), "RLIMIT_X");
        check_fails(PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":2,\"hard\":1}]"), "RLIMIT_AS");
        check_fails(PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":2}]"), "RLIMIT_AS");
        check_fails(PROCESS("\"oomScoreAdj\":1001"), "oomScoreAdj");
        check_fails(TOP("\"mounts\":[{}]"), "destination");
        check_fails(TOP("\"mounts\":[{\"destination\":\"\"}]"), "destination");
        check_fails(TOP("\"mounts\":[7]"), "mounts");
        check_fails(TOP("\"mounts\":[{\"destination\":\"/x\",\"options\":\"ro\"}]"), "mounts.options");
        check_fails(LINUX("\"namespaces\":[{\"type\":\"nosuch\"}]"), "nosuch");
        check_fails(LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]"), "twice");
        check_fails(LINUX("\"namespaces\":[{\"type\":\"pid\",\"path\":\"rel\"}]"), "absolute");
        check_fails(LINUX("\"devices\":[{\"type\":\"x\",\"path\":\"/dev/x\"}]"), "linux.devices.type");
        check_fails(LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"dev/x\"}]"), "linux.devices.path");
        check_fails(LINUX("\"maskedPaths\":[\"rel\"]"), "linux.maskedPaths");
        check_fails(LINUX("\"sysctl\":{\"a\":1}"), "linux.sysctl.a");
        check_fails(LINUX("\"seccomp\":{}"), "defaultAction");
        check_fails(LINUX("\"seccomp\":{\"defaultAction\":\"X\",\"syscalls\":{}}"),
                    "linux.seccomp.syscalls");
        check_fails(LINUX("\"seccomp\":{\"defaultAction\":\"X\",\"syscalls\":[{\"action\":\"X\"}]}"),
                    "names");
        check_fails(LINUX("\"seccomp\":{\"defaultAction\":\"X\",\"syscalls\":[{\"names\":[],"
                          "\"action\":\"X\","
                          "\"args\":[{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}"),
                    "index");
        check_fails(TOP("\"annotations\":{\"a\":null}"), "annotations.a");
}

static void test_id_mappings(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(
                        parse(LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":1},"
                                    "{\"containerID\":1,\"hostID\":100000,\"size\":65536}],"
                                    "\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":4294967295}]"),
                              &s, &e),
                        0);
        assert_int_equal(s->uid_mappings.n, 2);
        assert_int_equal(s->uid_mappings.mappings[0].host_id, 1000);
        assert_int_equal(s->uid_mappings.mappings[1].container_id, 1);
        assert_int_equal(s->uid_mappings.mappings[1].size, 65536);
        assert_int_equal(s->gid_mappings.n, 1);
        assert_true(s->gid_mappings.mappings[0].size == UINT32_MAX);

        check_fails(LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":-1,\"size\":1}]"), "hostID");
        check_fails(LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":1}]"), "linux.uidMappings.size");
        check_fails(LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":0}]"),
                    "linux.uidMappings");
        check_fails(LINUX("\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":4294967295}]"),
                    "linux.gidMappings");
        check_fails(LINUX("\"gidMappings\":[{\"containerID\":4294967295,\"hostID\":0,\"size\":1}]"),
                    "linux.gidMappings");
}

static void test_time_offsets(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(parse(LINUX("\"timeOffsets\":{\"boottime\":{\"secs\":-5,\"nanosecs\":999999999}}"),
                               &s, &e),
                         0);
        assert_false(s->time_offsets[TIME_OFFSET_MONOTONIC].wanted);
        assert_true(s->time_offsets[TIME_OFFSET_BOOTTIME].wanted);
        assert_int_equal(s->time_offsets[TIME_OFFSET_BOOTTIME].secs, -5);
        assert_int_equal(s->time_offsets[TIME_OFFSET_BOOTTIME].nanosecs, 999999999);

        check_fails(LINUX("\"timeOffsets\":{\"realtime\":{}}"), "realtime");
        check_fails(LINUX("\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}"), "nanosecs");
        check_fails(LINUX("\"timeOffsets\":{\"boottime\":7}"), "linux.timeOffsets");
}

static void test_hooks(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(parse(TOP("\"hooks\":{\"createRuntime\":[{\"path\":\"/a\",\"args\":[\"a\",\"b\"],"
                                   "\"env\":[\"X=1\"],\"timeout\":3},{\"path\":\"/b\"}],"
                                   "\"poststop\":[]}"),
                               &s, &e),
                         0);
        assert_int_equal(s->hooks[HOOK_CREATE_RUNTIME].n, 2);
        assert_string_equal(s->hooks[HOOK_CREATE_RUNTIME].hooks[0].args[1], "b");
        assert_string_equal(s->hooks[HOOK_CREATE_RUNTIME].hooks[0].env[0], "X=1");
        assert_int_equal(s->hooks[HOOK_CREATE_RUNTIME].hooks[0].timeout, 3);
        assert_string_equal(s->hooks[HOOK_CREATE_RUNTIME].hooks[1].path, "/b");
        assert_null(s->hooks[HOOK_CREATE_RUNTIME].hooks[1].args);
        assert_int_equal(s->hooks[HOOK_CREATE_RUNTIME].hooks[1].timeout, -1);
        assert_int_equal(s->hooks[HOOK_POSTSTOP].n, 0);

        check_fails(TOP("\"hooks\":{\"prestart\":{}}"), "hooks.prestart");
        check_fails(TOP("\"hooks\":{\"prestart\":[{}]}"), "hooks.prestart.path");
        check_fails(TOP("\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}"), "hooks.prestart.path");
        check_fails(TOP("\"hooks\":{\"poststop\":[{\"path\":\"/x\",\"timeout\":0}]}"),
                    "hooks.poststop.timeout");
}

static void test_destinations(void **state) {
        static const struct {
                const char *text, *clean;
        } paths[] = {
                { "/a", "/a" },          { "a/b", "/a/b" },       { "//a//b/", "/a/b" },
                { "/a/./b/../c", "/a/c" }, { "/../../a", "/a" },  { "/a/..", "/" },
                { "/", "/" },            { ".", "/" },            { "/..a/b..", "/..a/b.." },
                { "a/../../b/../c/d/..", "/c" },
        };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
                _cleanup_free_ char *text = strjoin("{\"ociVersion\":\"1.2.0\",\"mounts\":[{\"destination\":\"",
                                                    paths[i].text, "\"}]}");

                assert_int_equal(parse(text, &s, NULL), 0);
                assert_string_equal(s->mounts[0].destination, paths[i].clean);
        }
}

static void test_console_size(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(parse(PROCESS("\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80}"), &s,
                               &e),
                         0);
        assert_true(s->process.terminal);
        assert_int_equal(s->process.console_height, 25);
        assert_int_equal(s->process.console_width, 80);
        s = runtime_spec_free(s);

        assert_int_equal(parse(PROCESS("\"consoleSize\":{\"height\":-1}"), &s, &e), 0);
        assert_int_equal(s->process.console_height, 0);

        check_fails(PROCESS("\"terminal\":true,\"consoleSize\":{\"height\":25}"), "consoleSize.width");
        check_fails(PROCESS("\"terminal\":true,\"consoleSize\":{\"height\":65536,\"width\":1}"),
                    "process.consoleSize");
}

static void check_unsupported(const char *text, const char *name) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        assert_int_equal(parse(text, &s, NULL), 0);
        if (name)
                assert_true(strv_contains(s->unsupported, name));
        else
                assert_null(s->unsupported);
}

static void test_unsupported_is_listed(void **state) {
        check_unsupported(PROCESS("\"terminal\":true"), NULL);
        check_unsupported(LINUX("\"intelRdt\":{\"enableCMT\":true}"), "linux.intelRdt.enableCMT");
        check_unsupported(LINUX("\"intelRdt\":{}"), NULL);
        check_unsupported("{\"ociVersion\":\"1.0.0\",\"vm\":{\"kernel\":{\"path\":\"/k\"}}}", "vm");
        check_unsupported("{\"ociVersion\":\"1.0.0\",\"windows\":{}}", NULL);
}

/* ---- limits ---- */

/* prefix, then n times item separated by commas, then suffix. */
static char *repeat(const char *prefix, const char *item, size_t n, const char *suffix) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        fputs(prefix, f);
        for (size_t i = 0; i < n; i++)
                fprintf(f, "%s%s", i == 0 ? "" : ",", item);
        fputs(suffix, f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void check_limit(const char *prefix, const char *item, size_t max, const char *suffix) {
        _cleanup_free_ char *fits = repeat(prefix, item, max, suffix),
                            *too_many = repeat(prefix, item, max + 1, suffix);
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL, *t = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(parse(fits, &s, &e), 0);
        assert_int_equal(parse(too_many, &t, &e), -E2BIG);
        assert_string_equal(error_name(&e), "LimitsExceeded");
}

static void test_limits(void **state) {
        const char *linux_ = "{\"ociVersion\":\"1.2.0\",\"linux\":{\"";
        _cleanup_free_ char *masked = strjoin(linux_, "maskedPaths\":["),
                            *devices = strjoin(linux_, "devices\":["),
                            *rules = strjoin(linux_, "seccomp\":{\"defaultAction\":\"X\",\"syscalls\":["),
                            *archs = strjoin(linux_,
                                             "seccomp\":{\"defaultAction\":\"X\",\"architectures\":["),
                            *args = strjoin(linux_,
                                            "seccomp\":{\"defaultAction\":\"X\",\"syscalls\":[{\"names\":[],"
                                            "\"action\":\"X\",\"args\":[");

        check_limit("{\"ociVersion\":\"1.2.0\",\"mounts\":[", "{\"destination\":\"/x\"}", SPEC_MOUNTS_MAX,
                    "]}");
        check_limit("{\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/\",\"user\":{\"additionalGids\":[",
                    "1", SPEC_GROUPS_MAX, "]}}}");
        check_limit(masked, "\"/x\"", SPEC_PATHS_MAX, "]}}");
        check_limit(devices, "{\"type\":\"p\",\"path\":\"/x\"}", SPEC_DEVICES_MAX, "]}}");
        check_limit(rules, "{\"names\":[],\"action\":\"X\"}", SPEC_SECCOMP_RULES_MAX, "]}}}");
        check_limit(archs, "\"X\"", SPEC_SECCOMP_ARCHITECTURES_MAX, "]}}}");
        check_limit(args, "{\"index\":0,\"value\":0,\"op\":\"X\"}", SPEC_SECCOMP_ARGS_MAX, "]}]}}}");
}

static void test_size_max(void **state) {
        _cleanup_free_ char *text = malloc(SPEC_SIZE_MAX + 1);
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        static const char spec[] = "{\"ociVersion\":\"1.2.0\"}";

        assert_non_null(text);
        memset(text, ' ', SPEC_SIZE_MAX + 1);
        memcpy(text, spec, sizeof(spec) - 1);
        assert_int_equal(runtime_spec_parse(text, SPEC_SIZE_MAX + 1, &s, NULL), -EFBIG);
        assert_int_equal(runtime_spec_parse(text, SPEC_SIZE_MAX, &s, NULL), 0);
}

/* ---- the specification's examples ---- */

static unsigned parse_directory(const char *path, bool good) {
        DIR *d = opendir(path);
        unsigned n = 0;

        if (!d)
                return 0;
        for (struct dirent *entry; (entry = readdir(d));) {
                _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *text = NULL;
                size_t size;
                int r;

                if (!endswith(entry->d_name, ".json"))
                        continue;
                assert_int_equal(read_file_at(dirfd(d), entry->d_name, SPEC_SIZE_MAX, &text, &size), 0);
                r = runtime_spec_parse(text, size, &s, &e);
                /* A good one may ask for what only the older control groups had. */
                if (good && r < 0 && !error_has_name(&e, "NotSupported"))
                        fail_msg("%s: %s", entry->d_name, error_message(&e));
                /* A bad one is refused, or contains something that this program refuses as a whole. */
                if (!good && r >= 0 && !s->unsupported)
                        fail_msg("%s is accepted", entry->d_name);
                n++;
        }
        closedir(d);
        return n;
}

static void test_examples(void **state) {
        unsigned good = parse_directory(EXAMPLES_DIR "/good", true),
                 bad = parse_directory(EXAMPLES_DIR "/bad", false);

        if (good == 0 && bad == 0) {
                print_message("the specification's examples are not here\n");
                skip();
        }
        assert_true(good >= 3 && bad >= 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_minimal),
                cmocka_unit_test(test_errors_name_the_member),
                cmocka_unit_test(test_id_mappings),
                cmocka_unit_test(test_time_offsets),
                cmocka_unit_test(test_hooks),
                cmocka_unit_test(test_destinations),
                cmocka_unit_test(test_console_size),
                cmocka_unit_test(test_unsupported_is_listed),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_size_max),
                cmocka_unit_test(test_examples),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
