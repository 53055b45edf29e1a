/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of bits, and the members of the specification that are attributes; what can be set on a process of
 * one's own without privileges is set and read back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/attributes.h"
#include "runtime/labels.h"

#define PROCESS(x) "{\"ociVersion\":\"1.2.0\",\"process\":{\"cwd\":\"/\"," x "}}"
#define LINUX(x) "{\"ociVersion\":\"1.2.0\",\"linux\":{" x "}}"
#define SCHEDULER(x) PROCESS("\"scheduler\":{" x "}")

static RuntimeSpec *spec_from(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        RuntimeSpec *s = NULL;

        if (runtime_spec_parse(text, strlen(text), &s, &e) < 0)
                fail_msg("%s", error_message(&e));
        return s;
}

static void check_fails(const char *text, const char *in_message) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(runtime_spec_parse(text, strlen(text), &s, &e) < 0);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

/* ---- lists of bits ---- */

static void check_bits(const char *text, const char *expected) {
        _cleanup_(bit_list_done) BitList l = {};
        char buf[128] = "";

        assert_int_equal(bit_list_parse(text, 128, &l), 0);
        for (unsigned i = 0, n = 0; i < 200; i++)
                if (bit_list_has(&l, i))
                        n += (unsigned) snprintf(buf + n, sizeof(buf) - n, "%u ", i);
        assert_string_equal(buf, expected);
}

static void test_bit_list(void **state) {
        static const char *const bad[] = { "x",   "1-", "-1",   "-",  "3-1",        "1-2-3",  "0x1",
                                           "1;2", ",",  "1 2-", "+1", "4294967296", "0-3:1/2" };
        _cleanup_(bit_list_done) BitList l = {};

        check_bits("", "");
        check_bits("0", "0 ");
        check_bits("0-3,7", "0 1 2 3 7 ");
        check_bits("63-64,127", "63 64 127 ");
        check_bits(",1,,1, 2 ,", "1 2 ");
        check_bits("5-5", "5 ");

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_true(bit_list_parse(bad[i], 128, &l) < 0);
        assert_int_equal(bit_list_parse("128", 128, &l), -ERANGE);
        assert_int_equal(bit_list_parse("0-128", 128, &l), -ERANGE);
        assert_int_equal(l.n_words, 0);

        /* An empty list takes nothing away. */
        assert_int_equal(bit_list_parse("1", 128, &l), 0);
        assert_int_equal(bit_list_parse("", 128, &l), 0);
        assert_true(bit_list_has(&l, 1));
}

/* ---- scheduler ---- */

static void test_scheduler(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL, *d = NULL;

        s = spec_from(SCHEDULER("\"policy\":\"SCHED_FIFO\",\"priority\":10,\"nice\":-3,"
                                "\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\",\"SCHED_FLAG_UTIL_CLAMP_MAX\"]"));
        assert_true(s->process.scheduler.wanted);
        assert_int_equal(s->process.scheduler.policy, SCHED_FIFO);
        assert_int_equal(s->process.scheduler.priority, 10);
        assert_int_equal(s->process.scheduler.nice, -3);
        assert_int_equal(s->process.scheduler.flags, 0x41);

        d = spec_from(SCHEDULER(
                        "\"policy\":\"SCHED_DEADLINE\",\"runtime\":1024,\"deadline\":9223372036854775807,"
                        "\"period\":0"));
        assert_int_equal(d->process.scheduler.policy, SCHED_DEADLINE);
        assert_true(d->process.scheduler.deadline == INT64_MAX);

        check_fails(SCHEDULER("\"priority\":1"), "process.scheduler.policy");
        check_fails(SCHEDULER("\"policy\":\"SCHED_X\""), "SCHED_X");
        check_fails(SCHEDULER("\"policy\":\"SCHED_RR\",\"flags\":[\"X\"]"), "process.scheduler.flags");
        check_fails(SCHEDULER("\"policy\":\"SCHED_OTHER\",\"nice\":20"), "process.scheduler.nice");
        check_fails(SCHEDULER("\"policy\":\"SCHED_RR\",\"priority\":100"), "process.scheduler.priority");
        check_fails(SCHEDULER("\"policy\":\"SCHED_RR\",\"runtime\":-1"), "process.scheduler.runtime");
}

static void test_scheduler_deadline(void **state) {
#define DEADLINE(x) SCHEDULER("\"policy\":\"SCHED_DEADLINE\"" x)
        static const char prefix[] = "sched_setattr: `SCHED_DEADLINE` ";
        static const struct {
                const char *text, *message;
        } bad[] = {
                { DEADLINE(""), "requires `runtime`" },
                { DEADLINE(",\"runtime\":20000"), "requires `deadline`" },
                { DEADLINE(",\"runtime\":0,\"deadline\":20000"), "runtime must be greater than 0" },
                { DEADLINE(",\"runtime\":2000,\"deadline\":0"), "deadline must be greater than 0" },
                { DEADLINE(",\"runtime\":3000,\"deadline\":2000"),
                  "runtime (3000) must be <= deadline (2000)" },
                { DEADLINE(",\"runtime\":2000,\"deadline\":3000,\"period\":2500"),
                  "deadline (3000) must be <= period (2500)" },
                { DEADLINE(",\"runtime\":1023,\"deadline\":3000"), "runtime (1023) must be between 1024" },
                { DEADLINE(",\"runtime\":9223372036854775809,\"deadline\":9223372036854775810"),
                  "runtime (9223372036854775809) must be between" },
                { DEADLINE(",\"runtime\":2000,\"deadline\":9223372036854775808"),
                  "deadline (9223372036854775808) must be between" },
                { DEADLINE(",\"runtime\":2000,\"deadline\":3000,\"period\":18446744073709551615"),
                  "period (18446744073709551615) must be between" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                check_fails(bad[i].text, prefix);
                check_fails(bad[i].text, bad[i].message);
        }
        /* What is kept need not be given. */
        runtime_spec_free(spec_from(DEADLINE(",\"flags\":[\"SCHED_FLAG_KEEP_PARAMS\"]")));
}

/* ---- the others ---- */

static void test_io_priority(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL, *idle = NULL;

        s = spec_from(PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4}"));
        assert_int_equal(s->process.io_priority, IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | 4);
        idle = spec_from(PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\"}"));
        assert_int_equal(idle->process.io_priority, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);

        check_fails(PROCESS("\"ioPriority\":{\"priority\":1}"), "process.ioPriority.class");
        check_fails(PROCESS("\"ioPriority\":{\"class\":\"X\",\"priority\":1}"), "process.ioPriority.class");
        check_fails(PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":8}"),
                    "process.ioPriority.priority");
        check_fails(PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":-1}"),
                    "process.ioPriority.priority");
}

static void test_cpu_affinity(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        s = spec_from(PROCESS("\"execCPUAffinity\":{\"initial\":\"7\",\"final\":\"0-3,7\"}"));
        assert_true(bit_list_has(&s->process.exec_cpus_initial, 7));
        assert_false(bit_list_has(&s->process.exec_cpus_initial, 0));
        assert_true(bit_list_has(&s->process.exec_cpus_final, 3));
        check_fails(PROCESS("\"execCPUAffinity\":{\"initial\":\"x\"}"), "process.execCPUAffinity.initial");
        check_fails(PROCESS("\"execCPUAffinity\":{\"final\":\"8192\"}"), "process.execCPUAffinity.final");
        check_fails(PROCESS("\"execCPUAffinity\":{\"final\":1}"), "process.execCPUAffinity.final");
}

static void test_memory_policy(void **state) {
#define POLICY(x) LINUX("\"memoryPolicy\":{" x "}")
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        s = spec_from(POLICY(
                        "\"mode\":\"MPOL_BIND\",\"nodes\":\"0,2\",\"flags\":[\"MPOL_F_STATIC_NODES\"]"));
        assert_true(s->memory_policy.wanted);
        assert_int_equal(s->memory_policy.mode, MPOL_BIND | MPOL_F_STATIC_NODES);
        assert_true(bit_list_has(&s->memory_policy.nodes, 2));
        runtime_spec_free(spec_from(POLICY("\"mode\":\"MPOL_PREFERRED\"")));
        runtime_spec_free(spec_from(POLICY("\"mode\":\"MPOL_DEFAULT\"")));

        check_fails(POLICY(""), "linux.memoryPolicy.mode");
        check_fails(POLICY("\"mode\":\"X\""), "linux.memoryPolicy.mode");
        check_fails(POLICY("\"mode\":\"MPOL_LOCAL\",\"flags\":[\"X\"]"), "linux.memoryPolicy.flags");
        check_fails(POLICY("\"mode\":\"MPOL_LOCAL\",\"nodes\":\"1\""), "linux.memoryPolicy.nodes");
        check_fails(POLICY("\"mode\":\"MPOL_INTERLEAVE\""), "linux.memoryPolicy.nodes");
        check_fails(POLICY("\"mode\":\"MPOL_PREFERRED\",\"nodes\":\"bad\""), "linux.memoryPolicy.nodes");
        check_fails(POLICY("\"mode\":\"MPOL_PREFERRED\",\"nodes\":\"10284838\""),
                    "linux.memoryPolicy.nodes");
        check_fails(POLICY("\"mode\":\"MPOL_PREFERRED\",\"nodes\":\"0\","
                           "\"flags\":[\"MPOL_F_STATIC_NODES\",\"MPOL_F_RELATIVE_NODES\"]"),
                    "exclude");
}

static void test_personality(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        s = spec_from(LINUX("\"personality\":{\"domain\":\"LINUX32\",\"flags\":[]}"));
        assert_true(s->has_personality);
        assert_int_equal(s->personality, PER_LINUX32);
        check_fails(LINUX("\"personality\":{}"), "linux.personality.domain");
        check_fails(LINUX("\"personality\":{\"domain\":\"BSD\"}"), "linux.personality.domain");
        check_fails(LINUX("\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"X\"]}"),
                    "linux.personality.flags");
}

static void test_intel_rdt(void **state) {
#define RDT(x) LINUX("\"intelRdt\":{" x "}")
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL, *root = NULL;

        s = spec_from(RDT("\"closID\":\"g\",\"l3CacheSchema\":\"L3:0=f\",\"memBwSchema\":\"MB:0=20\","
                          "\"schemata\":[\"L2:0=1\"],\"enableMonitoring\":true"));
        assert_true(s->intel_rdt.wanted);
        assert_string_equal(s->intel_rdt.clos_id, "g");
        assert_string_equal(s->intel_rdt.l3_cache_schema, "L3:0=f");
        assert_string_equal(s->intel_rdt.mem_bw_schema, "MB:0=20");
        assert_int_equal(strv_length(s->intel_rdt.schemata), 1);
        assert_true(s->intel_rdt.enable_monitoring);
        root = spec_from(RDT("\"closID\":\"/\",\"l3CacheSchema\":\"\""));
        assert_string_equal(root->intel_rdt.clos_id, "/");
        assert_null(root->intel_rdt.l3_cache_schema);

        check_fails(RDT("\"closID\":\"../x\""), "linux.intelRdt.closID");
        check_fails(RDT("\"closID\":\"..\""), "linux.intelRdt.closID");
        check_fails(RDT("\"l3CacheSchema\":\"L3:0=f\\nMB:0=1\""), "linux.intelRdt.l3CacheSchema");
        check_fails(RDT("\"memBwSchema\":\"L3:0=f\""), "linux.intelRdt.memBwSchema");
        check_fails(RDT("\"schemata\":[\"a\\nb\"]"), "linux.intelRdt.schemata");
}

static void test_net_devices(void **state) {
#define DEVICES(x) LINUX("\"namespaces\":[{\"type\":\"network\"}],\"netDevices\":{" x "}")
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;

        s = spec_from(DEVICES("\"eth0\":{\"name\":\"c0\"},\"eth1\":{},\"eth2\":{\"name\":\"c%d\"}"));
        assert_int_equal(s->net_devices.n, 3);
        assert_string_equal(s->net_devices.devices[0].name, "eth0");
        assert_string_equal(s->net_devices.devices[0].new_name, "c0");
        assert_string_equal(s->net_devices.devices[1].new_name, "eth1");
        assert_string_equal(s->net_devices.devices[2].new_name, "c%d");

        check_fails(DEVICES("\"eth0\":7"), "linux.netDevices");
        check_fails(DEVICES("\"\":{}"), "linux.netDevices");
        check_fails(DEVICES("\"a/b\":{}"), "a/b");
        check_fails(DEVICES("\"..\":{}"), "..");
        check_fails(DEVICES("\"c%d\":{\"name\":\"x\"}"), "c%d");
        check_fails(DEVICES("\"eth0\":{\"name\":\"c%s\"}"), "c%s");
        check_fails(DEVICES("\"eth0\":{\"name\":\"c%d%d\"}"), "c%d%d");
        check_fails(DEVICES("\"eth0\":{\"name\":\"a name\"}"), "a name");
        check_fails(DEVICES("\"eth0\":{\"name\":\"sixteen-is-more1\"}"), "sixteen-is-more1");
}

/* ---- on a process ---- */

static int in_child(const char *text, int (*check)(const RuntimeSpec *s)) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = spec_from(text);
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(check(s));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int check_apply(const RuntimeSpec *s) {
        if (attributes_apply(0, &s->process, NULL) < 0)
                return 1;
        if (sched_getscheduler(0) != SCHED_BATCH || getpriority(PRIO_PROCESS, 0) != 7)
                return 2;
        return syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) == s->process.io_priority ? 0 : 3;
}

static int check_self(const RuntimeSpec *s) {
        int mode = -1;

        if (attributes_apply_self(s, NULL) < 0)
                return 1;
        if (personality(0xffffffff) != PER_LINUX32)
                return 2;
        return syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == MPOL_BIND ? 0 : 3;
}

static int check_affinity(const RuntimeSpec *s) {
        cpu_set_t all, now;

        if (attributes_reset_affinity(0, NULL) < 0 || sched_getaffinity(0, sizeof(all), &all) < 0)
                return 1;
        if (!CPU_ISSET(0, &all))
                return 0;
        if (attributes_set_affinity(0, &s->process.exec_cpus_final, NULL) < 0 ||
            attributes_set_affinity(0, &s->process.exec_cpus_initial, NULL) < 0)
                return 2;
        if (sched_getaffinity(0, sizeof(now), &now) < 0 || CPU_COUNT(&now) != 1 || !CPU_ISSET(0, &now))
                return 3;
        if (attributes_reset_affinity(0, NULL) < 0 || sched_getaffinity(0, sizeof(now), &now) < 0)
                return 4;
        return CPU_EQUAL(&now, &all) ? 0 : 5;
}

static int check_refused(const RuntimeSpec *s) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (attributes_apply(0, &s->process, &e) >= 0)
                return 1;
        return strstr(error_message(&e), "process.scheduler: sched_setattr: ") ? 0 : 2;
}

static void test_on_a_process(void **state) {
        assert_int_equal(in_child(PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":6},"
                                          "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":7}"),
                                  check_apply),
                         0);
        assert_int_equal(in_child(PROCESS("\"scheduler\":{\"policy\":\"SCHED_ISO\"}"), check_refused), 0);
        assert_int_equal(in_child(PROCESS("\"execCPUAffinity\":{\"final\":\"0\"}"), check_affinity), 0);
        if (access("/proc/self/numa_maps", F_OK) >= 0)
                assert_int_equal(in_child(LINUX("\"personality\":{\"domain\":\"LINUX32\"},"
                                                "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\"}"),
                                          check_self),
                                 0);
}

/* ---- labels ---- */

static void test_labels(void **state) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *none = NULL, *unconfined = NULL, *profile = NULL,
                                                  *context = NULL;
        _cleanup_free_ char *a = NULL, *b = NULL;
        _cleanup_error_ Error e = ERROR_NULL, f = ERROR_NULL;

        a = label_mount_data(NULL, "context", "u:r:t:s0:c1,c2");
        assert_string_equal(a, "context=\"u:r:t:s0:c1,c2\"");
        b = label_mount_data("mode=755", "context", "l");
        assert_string_equal(b, "mode=755,context=\"l\"");

        none = spec_from(PROCESS("\"apparmorProfile\":\"\",\"selinuxLabel\":\"\""));
        assert_int_equal(labels_apply(&none->process, NULL), 0);
        if (access("/sys/module/apparmor", F_OK) < 0) {
                unconfined = spec_from(PROCESS("\"apparmorProfile\":\"unconfined\""));
                assert_int_equal(labels_apply(&unconfined->process, NULL), 0);
                profile = spec_from(PROCESS("\"apparmorProfile\":\"mine\""));
                assert_int_equal(labels_apply(&profile->process, &e), -EOPNOTSUPP);
                assert_non_null(strstr(error_message(&e), "process.apparmorProfile"));
        }
        if (!selinux_is_enabled()) {
                context = spec_from(PROCESS("\"selinuxLabel\":\"u:r:t:s0\""));
                assert_int_equal(labels_apply(&context->process, &f), -EOPNOTSUPP);
                assert_non_null(strstr(error_message(&f), "process.selinuxLabel"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bit_list),
                cmocka_unit_test(test_scheduler),
                cmocka_unit_test(test_scheduler_deadline),
                cmocka_unit_test(test_io_priority),
                cmocka_unit_test(test_cpu_affinity),
                cmocka_unit_test(test_memory_policy),
                cmocka_unit_test(test_personality),
                cmocka_unit_test(test_intel_rdt),
                cmocka_unit_test(test_net_devices),
                cmocka_unit_test(test_on_a_process),
                cmocka_unit_test(test_labels),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
