/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-devices.h"
#include "runtime/cgroup-path.h"
#include "runtime/cgroup-resources.h"
#include "runtime/cgroup-scope.h"
#include "runtime/cgroup-tree.h"
#include "runtime/cgroup.h"

static ResourceSpec *parse(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        ResourceSpec *r = NULL;

        if (resource_spec_parse_text(text, strlen(text), &r, &e) < 0)
                fail_msg("%s: %s", text, error_message(&e));
        return r;
}

static void check_refused(const char *text, const char *in_message) {
        _cleanup_(resource_spec_freep) ResourceSpec *r = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (resource_spec_parse_text(text, strlen(text), &r, &e) >= 0)
                fail_msg("%s is accepted", text);
        assert_null(r);
        if (!strstr(error_message(&e), in_message))
                fail_msg("\"%s\" is not in \"%s\"", in_message, error_message(&e));
}

/* ---- linux.resources ---- */

static void test_parse_refused(void **state) {
        check_refused("{\"memory\":{\"limit\":-2}}", "linux.resources.memory.limit: expected an integer");
        check_refused("{\"memory\":{\"limit\":1.5}}", "linux.resources.memory.limit: expected an integer");
        check_refused("{\"memory\":{\"limit\":\"1\"}}", "linux.resources.memory.limit");
        check_refused("{\"memory\":{\"limit\":5,\"swap\":4}}", "linux.resources.memory.swap");
        check_refused("{\"memory\":{\"kernel\":5}}", "linux.resources.memory.kernel: cgroup v2");
        check_refused("{\"memory\":{\"kernelTCP\":5}}", "linux.resources.memory.kernelTCP: cgroup v2");
        check_refused("{\"memory\":{\"swappiness\":0}}", "linux.resources.memory.swappiness: cgroup v2");
        check_refused("{\"memory\":{\"disableOOMKiller\":true}}", "linux.resources.memory.disableOOMKiller");
        check_refused("{\"memory\":{\"useHierarchy\":false}}", "linux.resources.memory.useHierarchy");
        check_refused("{\"cpu\":{\"shares\":-1}}", "linux.resources.cpu.shares: expected");
        check_refused("{\"cpu\":{\"realtimeRuntime\":1}}", "linux.resources.cpu.realtimeRuntime: cgroup v2");
        check_refused("{\"cpu\":{\"realtimePeriod\":1}}", "linux.resources.cpu.realtimePeriod: cgroup v2");
        check_refused("{\"cpu\":{\"idle\":2}}", "linux.resources.cpu.idle: 2 is more than 1");
        check_refused("{\"cpu\":{\"cpus\":\"a\"}}", "linux.resources.cpu.cpus");
        check_refused("{\"cpu\":{\"quota\":5,\"burst\":6}}", "linux.resources.cpu.burst");
        check_refused("{\"blockIO\":{\"weight\":1001}}", "linux.resources.blockIO.weight");
        check_refused("{\"blockIO\":{\"leafWeight\":5}}", "linux.resources.blockIO.leafWeight: cgroup v2");
        check_refused("{\"blockIO\":{\"weightDevice\":[{\"major\":1,\"minor\":2,\"leafWeight\":3}]}}",
                      "linux.resources.blockIO.weightDevice.leafWeight");
        check_refused("{\"blockIO\":{\"weightDevice\":[{\"major\":1,\"minor\":2}]}}", "weight is missing");
        check_refused("{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":1,\"rate\":2}]}}",
                      "linux.resources.blockIO.throttleReadBpsDevice.minor is missing");
        check_refused("{\"blockIO\":{\"throttleReadBpsDevice\":[1]}}", "expected objects");
        check_refused("{\"hugepageLimits\":[{\"pageSize\":\"../x\",\"limit\":1}]}",
                      "linux.resources.hugepageLimits.pageSize");
        check_refused("{\"hugepageLimits\":[{\"pageSize\":\"2MB\"}]}", "limit is missing");
        check_refused("{\"network\":{\"classID\":5}}", "linux.resources.network.classID: cgroup v2");
        check_refused("{\"network\":{\"priorities\":[{\"name\":\"a\",\"priority\":1}]}}",
                      "linux.resources.network.priorities: cgroup v2");
        check_refused("{\"rdma\":{\"m\":{}}}", "linux.resources.rdma.m needs");
        check_refused("{\"rdma\":{\"a b\":{\"hcaHandles\":1}}}", "not the name of a device");
        check_refused("{\"unified\":{\"nodot\":\"1\"}}",
                      "the specified key has not the form CONTROLLER.VALUE `nodot`");
        check_refused("{\"unified\":{\"../memory.max\":\"1\"}}", "not the name of a file");
        check_refused("{\"unified\":{\"memory.max\":1}}", "expected a string");
        check_refused("{\"devices\":[{\"access\":\"r\"}]}", "linux.resources.devices.allow is missing");
        check_refused("{\"devices\":[{\"allow\":true,\"type\":\"x\"}]}", "linux.resources.devices.type");
        check_refused("{\"devices\":[{\"allow\":true,\"access\":\"rx\"}]}",
                      "linux.resources.devices.access");
        check_refused("{\"devices\":[{\"allow\":true,\"major\":4294967296}]}",
                      "linux.resources.devices.major");
        check_refused("{\"devices\":[{\"allow\":true,\"minor\":-2}]}", "linux.resources.devices.minor");
}

static void test_parse_nothing(void **state) {
        _cleanup_(resource_spec_freep) ResourceSpec *r = NULL;

        /* What changes nothing on cgroup v2, and what means "not given". */
        r = parse("{\"memory\":{\"kernel\":-1,\"kernelTCP\":null,\"disableOOMKiller\":false,\"useHierarchy\":true},"
                  "\"cpu\":{\"shares\":0,\"quota\":0,\"period\":0,\"cpus\":\"\",\"realtimeRuntime\":0},"
                  "\"blockIO\":{\"weight\":0},\"network\":{},\"devices\":[],\"pids\":{},\"future\":1}");
        assert_null(resource_spec_first_limit(r));
        assert_int_equal(r->n_devices, 0);
}

static void test_parse_devices(void **state) {
        _cleanup_(resource_spec_freep) ResourceSpec *r = NULL;

        r = parse("{\"devices\":[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":-1,"
                  "\"access\":\"rw\"},{\"allow\":true,\"type\":\"b\",\"minor\":0,\"access\":\"m\"}]}");
        assert_int_equal(r->n_devices, 3);
        assert_false(r->devices[0].allow);
        assert_int_equal(r->devices[0].type, 'a');
        assert_int_equal(r->devices[0].major, DEVICE_ANY);
        assert_int_equal(r->devices[0].access, DEVICE_ALL);
        assert_true(device_rule_is_for_all(&r->devices[0]));
        assert_true(r->devices[1].allow);
        assert_int_equal(r->devices[1].major, 10);
        assert_int_equal(r->devices[1].minor, DEVICE_ANY);
        assert_int_equal(r->devices[1].access, DEVICE_READ | DEVICE_WRITE);
        assert_int_equal(r->devices[2].minor, 0);
        assert_int_equal(r->devices[2].access, DEVICE_MKNOD);
        assert_null(resource_spec_first_limit(r));
}

/* ---- to files ---- */

static void test_weights(void **state) {
        static const uint64_t shares[][2] = {
                { 0, 1 },          { 1, 1 },          { 2, 1 },          { 3, 2 },
                { 512, 59 },       { 1024, 100 },     { 2048, 174 },     { 260000, 9929 },
                { 262143, 10000 }, { 262144, 10000 }, { 262145, 10000 }, { UINT64_MAX, 10000 },
        };

        for (size_t i = 0; i < ELEMENTSOF(shares); i++)
                assert_int_equal(cgroup_cpu_weight(shares[i][0]), shares[i][1]);
        for (uint64_t s = 2; s < 262144; s++)
                assert_true(cgroup_cpu_weight(s) <= cgroup_cpu_weight(s + 1));
        assert_int_equal(cgroup_io_weight(1), 1);
        assert_int_equal(cgroup_io_weight(10), 1);
        assert_int_equal(cgroup_io_weight(500), 4950);
        assert_int_equal(cgroup_io_weight(1000), 10000);
}

static char *describe(const CgroupWrites *w) {
        _cleanup_strv_free_ char **l = NULL;

        for (size_t i = 0; i < w->n; i++) {
                const CgroupWrite *c = &w->writes[i];

                assert_int_equal(strv_extendf(&l, "%s%s=%s%s%s%s%s", c->file, c->optional ? "?" : "",
                                              c->value, c->other_file ? "|" : "", strempty(c->other_file),
                                              c->other_file ? "=" : "", strempty(c->other_value)),
                                 0);
        }
        return strv_join(l, "; ");
}

static void check_writes(const char *text, const CgroupCurrent *current, const char *expected) {
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        _cleanup_(resource_spec_freep) ResourceSpec *r = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *found = NULL;

        r = parse(text);
        if (cgroup_writes_new(r, current ?: &CGROUP_CURRENT_NEW, &w, &e) < 0)
                fail_msg("%s: %s", text, error_message(&e));
        found = describe(&w);
        assert_string_equal(found, expected);
}

static void test_writes(void **state) {
        check_writes("{}", NULL, "");
        check_writes("{\"memory\":{\"limit\":100,\"reservation\":50}}", NULL,
                     "memory.max=100; memory.low=50");
        check_writes("{\"memory\":{\"limit\":100,\"swap\":300}}", NULL,
                     "memory.swap.max=200; memory.max=100");
        check_writes("{\"memory\":{\"limit\":100,\"swap\":100}}", NULL,
                     "memory.swap.max?=0; memory.max=100");
        check_writes("{\"memory\":{\"limit\":100,\"swap\":-1}}", NULL,
                     "memory.swap.max?=max; memory.max=100");
        check_writes("{\"memory\":{\"swap\":0}}", NULL, "memory.swap.max?=0");
        check_writes("{\"memory\":{\"limit\":-1}}", NULL, "memory.swap.max?=max; memory.max=max");
        check_writes("{\"memory\":{\"limit\":-1,\"swap\":7}}", NULL, "memory.swap.max=7; memory.max=max");
        check_writes("{\"memory\":{\"limit\":18446744073709551614}}", NULL,
                     "memory.max=18446744073709551614");
        check_writes("{\"memory\":{\"swap\":500}}",
                     &(CgroupCurrent){ .memory_max = 200,
                                       .cpu_quota = RESOURCE_UNLIMITED,
                                       .cpu_period = 100000 },
                     "memory.swap.max=300");

        check_writes("{\"cpu\":{\"shares\":1024}}", NULL, "cpu.weight=100");
        check_writes("{\"cpu\":{\"shares\":1024,\"idle\":1}}", NULL, "cpu.idle=1");
        check_writes("{\"cpu\":{\"shares\":1024,\"idle\":0}}", NULL, "cpu.idle=0; cpu.weight=100");
        check_writes("{\"cpu\":{\"quota\":50000}}", NULL, "cpu.max=50000 100000");
        check_writes("{\"cpu\":{\"quota\":-1,\"period\":20000}}", NULL, "cpu.max=max 20000");
        check_writes("{\"cpu\":{\"period\":20000}}",
                     &(CgroupCurrent){ .memory_max = RESOURCE_UNLIMITED,
                                       .cpu_quota = 5000,
                                       .cpu_period = 10000 },
                     "cpu.max=5000 20000");
        check_writes("{\"cpu\":{\"quota\":6000}}",
                     &(CgroupCurrent){ .memory_max = RESOURCE_UNLIMITED,
                                       .cpu_quota = 5000,
                                       .cpu_period = 10000 },
                     "cpu.max=6000 10000");
        check_writes("{\"cpu\":{\"quota\":50000,\"period\":100000,\"burst\":10000}}", NULL,
                     "cpu.max.burst=0; cpu.max=50000 100000; cpu.max.burst=10000");
        check_writes("{\"cpu\":{\"burst\":10000}}", NULL, "cpu.max.burst=10000");
        check_writes("{\"cpu\":{\"cpus\":\"0-1\",\"mems\":\"0\"}}", NULL, "cpuset.cpus=0-1; cpuset.mems=0");

        check_writes("{\"pids\":{\"limit\":7}}", NULL, "pids.max=7");
        check_writes("{\"pids\":{\"limit\":-1}}", NULL, "pids.max=max");
        check_writes("{\"pids\":{\"limit\":0}}", NULL, "pids.max=1");

        check_writes("{\"blockIO\":{\"weight\":500,\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":10}],"
                     "\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":16,\"rate\":600}],"
                     "\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":16,\"rate\":0}],"
                     "\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":16,\"rate\":1}],"
                     "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":16,\"rate\":2}]}}",
                     NULL,
                     "io.bfq.weight=500|io.weight=4950; io.bfq.weight=8:0 10|io.weight=8:0 1; "
                     "io.max=8:16 rbps=600; io.max=8:16 wbps=max; io.max=8:16 riops=1; io.max=8:16 wiops=2");
        check_writes("{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":5}]}", NULL,
                     "hugetlb.2MB.max=5; hugetlb.2MB.rsvd.max?=5");
        check_writes("{\"rdma\":{\"a\":{\"hcaHandles\":1},\"b\":{\"hcaHandles\":2,\"hcaObjects\":0}}}", NULL,
                     "rdma.max=a hca_handle=1; rdma.max=b hca_handle=2 hca_object=0");
        /* Of a file the last write wins, so unified does. */
        check_writes("{\"unified\":{\"memory.max\":\"5\",\"io.max\":\"8:0 rbps=1\\n8:16 rbps=2\\n\","
                     "\"cpuset.cpus\":\"\"},\"memory\":{\"limit\":9}}",
                     NULL,
                     "memory.max=9; memory.max=5; io.max=8:0 rbps=1; io.max=8:16 rbps=2; cpuset.cpus=\n");
}

static void test_writes_refused(void **state) {
        const CgroupCurrent current = { .memory_max = 200, .cpu_quota = RESOURCE_UNLIMITED };
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        _cleanup_(resource_spec_freep) ResourceSpec *r = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        r = parse("{\"memory\":{\"swap\":100}}");
        assert_int_equal(cgroup_writes_new(r, &CGROUP_CURRENT_NEW, &w, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "linux.resources.memory.limit"));
        error_done(&e);
        assert_int_equal(cgroup_writes_new(r, &current, &w, &e), -EINVAL);
        assert_non_null(strstr(error_message(&e), "200"));
}

static void test_controller(void **state) {
        char buf[CONTROLLER_NAME_MAX];

        assert_string_equal(cgroup_file_controller("memory.swap.max", buf), "memory");
        assert_string_equal(cgroup_file_controller("nodot", buf), "");
        assert_int_equal(strlen(cgroup_file_controller(
                                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
                                         buf)),
                         CONTROLLER_NAME_MAX - 1);
}

/* ---- devices ---- */

/* Enough of the kernel's interpreter to run what is generated; anything else fails the test. */
static bool run_program(const DeviceProgram *p, char type, uint32_t major, uint32_t minor, unsigned access) {
        const struct bpf_cgroup_dev_ctx ctx = {
                .access_type = (access << 16) | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
                .major = major,
                .minor = minor,
        };
        uint64_t reg[11] = {};

        for (size_t pc = 0; pc < p->n; pc++) {
                const struct bpf_insn *i = &p->instructions[pc];
                uint64_t *d = &reg[i->dst_reg];
                bool jump = false;

                switch (i->code) {
                case BPF_LDX | BPF_W | BPF_MEM:
                        *d = *(const uint32_t *) (const void *) ((const char *) &ctx + i->off);
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        *d = (uint32_t) *d & (uint32_t) i->imm;
                        break;
                case BPF_ALU | BPF_RSH | BPF_K:
                        *d = (uint32_t) *d >> i->imm;
                        break;
                case BPF_ALU64 | BPF_MOV | BPF_K:
                        *d = (uint64_t) i->imm;
                        break;
                case BPF_JMP | BPF_JA:
                        jump = true;
                        break;
                case BPF_JMP | BPF_JNE | BPF_K:
                        jump = *d != (uint64_t) i->imm;
                        break;
                case BPF_JMP32 | BPF_JNE | BPF_K:
                        jump = (uint32_t) *d != (uint32_t) i->imm;
                        break;
                case BPF_JMP | BPF_JSET | BPF_K:
                        jump = *d & (uint64_t) i->imm;
                        break;
                case BPF_JMP | BPF_EXIT:
                        return reg[0];
                default:
                        fail_msg("instruction %zu: code 0x%x", pc, i->code);
                }
                if (jump)
                        pc += (size_t) i->off;
        }
        fail_msg("the program has no end");
        return false;
}

/* The same by looking at the rules: each access by the last rule that is for it. */
static bool decide(const DeviceRule *rules, size_t n, char type, uint32_t major, uint32_t minor,
                   unsigned access) {
        for (unsigned bit = 1; bit <= DEVICE_WRITE; bit <<= 1) {
                bool allowed = false;

                if (!(access & bit))
                        continue;
                for (size_t i = 0; i < n; i++)
                        if ((rules[i].type == 'a' || rules[i].type == type) && (rules[i].access & bit) &&
                            (rules[i].major == DEVICE_ANY || rules[i].major == major) &&
                            (rules[i].minor == DEVICE_ANY || rules[i].minor == minor))
                                allowed = rules[i].allow;
                if (!allowed)
                        return false;
        }
        return true;
}

static void check_devices(const char *text) {
        static const uint32_t numbers[] = { 8, 10, 229, 0, 4294967295 };
        _cleanup_(device_program_done) DeviceProgram p = {};
        _cleanup_(resource_spec_freep) ResourceSpec *r = parse(text);

        assert_int_equal(device_program_new(r->devices, r->n_devices, &p), 0);
        for (size_t t = 0; t < 2; t++)
                for (size_t a = 0; a < ELEMENTSOF(numbers); a++)
                        for (size_t b = 0; b < ELEMENTSOF(numbers); b++)
                                for (unsigned access = DEVICE_READ; access <= DEVICE_ALL; access++) {
                                        char type = "bc"[t];

                                        /* The making of nodes is always allowed. */
                                        assert_int_equal(run_program(&p, type, numbers[a], numbers[b],
                                                                     access),
                                                         decide(r->devices, r->n_devices, type, numbers[a],
                                                                numbers[b],
                                                                access & ~(unsigned) DEVICE_MKNOD));
                                }
        /* null, a terminal */
        assert_true(run_program(&p, 'c', 1, 3, DEVICE_ALL));
        assert_true(run_program(&p, 'c', 136, 77, DEVICE_READ | DEVICE_WRITE));
        assert_true(run_program(&p, 'b', 1, 3, DEVICE_MKNOD));
}

static void test_devices(void **state) {
        check_devices("{\"devices\":[]}");
        check_devices("{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}");
        check_devices("{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}");
        check_devices("{\"devices\":[{\"allow\":true,\"access\":\"r\"}]}");
        check_devices("{\"devices\":[{\"allow\":false},"
                      "{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229,\"access\":\"rw\"},"
                      "{\"allow\":true,\"type\":\"b\",\"major\":8,\"access\":\"r\"},"
                      "{\"allow\":true,\"type\":\"a\",\"minor\":0,\"access\":\"w\"}]}");
        /* All but one; of one, all but writing; and one again. */
        check_devices("{\"devices\":[{\"allow\":true},{\"allow\":false,\"type\":\"b\",\"major\":8,\"minor\":10},"
                      "{\"allow\":false,\"type\":\"c\",\"major\":229,\"access\":\"w\"},"
                      "{\"allow\":true,\"type\":\"c\",\"major\":229,\"minor\":8,\"access\":\"w\"}]}");
        /* Rules before one for all do not matter. */
        check_devices("{\"devices\":[{\"allow\":true},{\"allow\":true,\"type\":\"b\"},{\"allow\":false},"
                      "{\"allow\":true,\"type\":\"c\",\"major\":4294967295,\"access\":\"r\"}]}");
}

static void test_devices_allow_all(void **state) {
        const DeviceRule rules[] = {
                { false, 'a', DEVICE_ANY, DEVICE_ANY, DEVICE_ALL },
                { true, 'a', DEVICE_ANY, DEVICE_ANY, DEVICE_ALL },
        };

        for (size_t n = 0; n <= 2; n++) {
                _cleanup_(device_program_done) DeviceProgram p = {};

                assert_int_equal(device_program_new(rules, n, &p), 0);
                assert_int_equal(p.allows_all, n == 2);
        }
}

/* ---- scopes ---- */

static void check_names(const char *path, bool rootless, const char *unit, const char *slice) {
        _cleanup_free_ char *u = NULL, *s = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        r = scope_names(path, "c1+x", rootless, &u, &s, &e);
        if (!unit) {
                assert_true(r < 0);
                assert_non_null(strstr(error_message(&e), "linux.cgroupsPath"));
                return;
        }
        assert_int_equal(r, 0);
        assert_string_equal(u, unit);
        assert_string_equal(s, slice);
}

static void test_scope_names(void **state) {
        check_names(NULL, false, "mooring-c1\\x2bx.scope", "system.slice");
        check_names("", true, "mooring-c1\\x2bx.scope", "user.slice");
        check_names("a.slice:pod:web", false, "pod-web.scope", "a.slice");
        check_names(":pod:web", false, "pod-web.scope", "system.slice");
        check_names(":pod:web", true, "pod-web.scope", "user.slice");
        check_names("-:pod:web", false, "pod-web.scope", "-.slice");
        check_names("a.slice::web", false, "web.scope", "a.slice");
        check_names("a.slice:web", false, "web.scope", "a.slice");
        check_names("a.slice:web.scope", false, "web.scope", "a.slice");
        check_names("/a/b", false, NULL, NULL);
        check_names("web", false, NULL, NULL);
        check_names("a:pod:web", false, NULL, NULL);
        check_names("a/b.slice:pod:web", false, NULL, NULL);
        check_names("a.slice:pod:", false, NULL, NULL);
        check_names("a.slice:pod:w/b", false, NULL, NULL);
        check_names("a.slice:p/d:web", false, NULL, NULL);
        check_names("a.slice:pod:web:x", false, NULL, NULL);
        check_names("a.slice:pod:web.slice", false, NULL, NULL);
}

static char *describe_properties(const ScopeProperties *p) {
        _cleanup_strv_free_ char **l = NULL;

        for (size_t i = 0; i < p->n; i++) {
                _cleanup_free_ char *values = strv_join(p->properties[i].values, ",");

                assert_int_equal(strv_extendf(&l, "%s %s %s", p->properties[i].name, p->properties[i].type,
                                              values),
                                 0);
        }
        return strv_join(l, "; ");
}

static void check_properties(const char *text, const char *expected) {
        _cleanup_(scope_properties_done) ScopeProperties p = {};
        _cleanup_(cgroup_writes_done) CgroupWrites w = {};
        _cleanup_(resource_spec_freep) ResourceSpec *r = parse(text);
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *found = NULL;

        assert_int_equal(cgroup_writes_new(r, &CGROUP_CURRENT_NEW, &w, &e), 0);
        assert_int_equal(scope_properties_add_writes(&p, &w, &e), 0);
        found = describe_properties(&p);
        assert_string_equal(found, expected);
}

static void test_scope_resources(void **state) {
        check_properties("{\"memory\":{\"limit\":100,\"reservation\":-1,\"swap\":150}}",
                         "MemorySwapMax t 50; MemoryMax t 100; MemoryLow t 18446744073709551615");
        check_properties("{\"cpu\":{\"shares\":1024,\"quota\":50000}}",
                         "CPUWeight t 100; CPUQuotaPerSecUSec t 500000; CPUQuotaPeriodUSec t 100000");
        check_properties("{\"cpu\":{\"quota\":33333,\"period\":70000}}",
                         "CPUQuotaPerSecUSec t 476186; CPUQuotaPeriodUSec t 70000");
        check_properties("{\"cpu\":{\"quota\":-1}}",
                         "CPUQuotaPerSecUSec t 18446744073709551615; CPUQuotaPeriodUSec t 100000");
        check_properties("{\"cpu\":{\"idle\":1}}", "CPUWeight t 0");
        check_properties("{\"cpu\":{\"cpus\":\"0,9-10\",\"mems\":\"0\"}}",
                         "AllowedCPUs ay 0106; AllowedMemoryNodes ay 01");
        check_properties("{\"pids\":{\"limit\":-1}}", "TasksMax t 18446744073709551615");
        check_properties("{\"blockIO\":{\"weight\":500}}", "IOWeight t 4500");
        /* The last one wins; what has no property is left to the files. */
        check_properties(
                        "{\"cpu\":{\"shares\":2},\"unified\":{\"cpu.weight\":\"1234\",\"memory.high\":\"7\","
                        "\"memory.oom.group\":\"1\",\"memory.min\":\"nonsense\",\"cpu.max\":\"max 50000\"}}",
                        "CPUWeight t 1234; MemoryHigh t 7; CPUQuotaPerSecUSec t 18446744073709551615; "
                        "CPUQuotaPeriodUSec t 50000");
}

/* The manager's arithmetic gives the quota back. */
static void test_scope_quota_is_exact(void **state) {
        for (uint64_t period = 1000; period <= 1000000; period += 37777)
                for (uint64_t quota = 1000; quota < 3000000; quota += 12347) {
                        _cleanup_(scope_properties_done) ScopeProperties p = {};
                        CgroupWrite write = { .file = (char *) "cpu.max",
                                              .value = strformat("%ju %ju", (uintmax_t) quota,
                                                                 (uintmax_t) period) };
                        uint64_t per_sec;

                        assert_int_equal(scope_properties_add_writes(&p, &(CgroupWrites){ &write, 1 }, NULL),
                                         0);
                        free(write.value);
                        assert_int_equal(parse_uint64(scope_properties_find(&p, "CPUQuotaPerSecUSec")
                                                                      ->values[0],
                                                      &per_sec),
                                         0);
                        assert_int_equal(per_sec * period / 1000000, quota);
                }
}

static void check_annotation(const char *name, const char *value, const char *expected) {
        _cleanup_(scope_properties_done) ScopeProperties p = {};
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *found = NULL;
        int r = scope_property_parse(name, value, &p, &e);

        if (!expected) {
                assert_true(r < 0);
                assert_non_null(strstr(error_message(&e), "org.systemd.property."));
                return;
        }
        assert_int_equal(r, 0);
        found = describe_properties(&p);
        assert_string_equal(found, expected);
}

static void test_scope_annotations(void **state) {
        check_annotation("TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec t 123456789");
        check_annotation("TimeoutStopSec", "uint64 5", "TimeoutStopUSec t 5000000");
        check_annotation("TimeoutStopSec", "5", "TimeoutStopUSec t 5000000");
        check_annotation("CollectMode", "'inactive'", "CollectMode s inactive");
        check_annotation("Description", " \"a \\\"b\\\" 'c'\" ", "Description s a \"b\" 'c'");
        check_annotation("SendSIGHUP", "true", "SendSIGHUP b true");
        check_annotation("X", "-3", "X i -3");
        check_annotation("X", "int64 -9223372036854775808", "X x -9223372036854775808");
        check_annotation("X", "byte 255", "X y 255");
        check_annotation("After", "['a.service', \"b.service\"]", "After as a.service,b.service");
        check_annotation("After", "@as []", "After as ");

        check_annotation("X", "", NULL);
        check_annotation("X", "uint64 -1", NULL);
        check_annotation("X", "uint64", NULL);
        check_annotation("X", "byte 256", NULL);
        check_annotation("X", "2147483648", NULL);
        check_annotation("X", "int32 -2147483649", NULL);
        check_annotation("X", "'open", NULL);
        check_annotation("X", "'a' b", NULL);
        check_annotation("X", "['a'", NULL);
        check_annotation("X", "['a' 'b']", NULL);
        check_annotation("X", "[5]", NULL);
        check_annotation("X", "TRUE", NULL);
        check_annotation("TimeoutStopSec", "-5", NULL);
        check_annotation("TimeoutStopSec", "uint64 18446744073709551615", NULL);
        check_annotation("", "true", NULL);
        check_annotation("a b", "true", NULL);
}

/* ---- paths ---- */

static void check_join(const char *below, const char *expected) {
        _cleanup_free_ char *path = NULL;
        int r = cgroup_path_join("/x", below, &path);

        assert_int_equal(r, expected ? 0 : -EINVAL);
        if (expected)
                assert_string_equal(path, expected);
}

static void test_path_join(void **state) {
        check_join("a", "/x/a");
        check_join("/a//b/./c/", "/x/a/b/c");
        check_join("a..b", "/x/a..b");
        check_join("", NULL);
        check_join("/", NULL);
        check_join(".", NULL);
        check_join("..", NULL);
        check_join("a/..", NULL);
        check_join("../a", NULL);
        check_join("a/../../b", NULL);
}

static void check_place(const char *cgroups_path, const char *expected) {
        _cleanup_free_ char *place = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        int r = cgroup_place(cgroups_path, "c1", &place, &e);

        assert_int_equal(r, expected ? 0 : -EINVAL);
        if (expected)
                assert_string_equal(place, expected);
        else
                assert_non_null(strstr(error_message(&e), "linux.cgroupsPath"));
}

static void test_places(void **state) {
        _cleanup_strv_free_ char **others = NULL;

        check_place("/a/b", "/a/b");
        check_place("a/b", "/mooring/a/b");
        check_place(NULL, "/mooring/c1");
        check_place("", "/mooring/c1");
        check_place("/", NULL);
        check_place("/a/../b", NULL);
        check_place("..", NULL);

        if (cgroup_other_places("c1", &others) >= 0)
                STRV_FOREACH (p, others) {
                        assert_true(path_is_normalized(p));
                        assert_non_null(endswith(p, "/mooring-c1"));
                }
}

static void test_owner(void **state) {
        SpecMount mount = { .destination = (char *) "/sys/fs/cgroup", .type = (char *) "cgroup" };
        char *ro[] = { (char *) "ro", NULL };
        SpecIdMapping mapping = { .container_id = 1000, .host_id = 5000, .size = 10 };
        RuntimeSpec s = { .mounts = &mount, .n_mounts = 1, .process.uid = 1001 };
        uid_t uid = 0;

        /* Only with a cgroup namespace of its own and a mount that can be written to. */
        assert_false(cgroup_owner_from_spec(&s, false, &uid));
        s.namespaces[NAMESPACE_CGROUP].wanted = true;
        assert_true(cgroup_owner_from_spec(&s, false, &uid));
        assert_int_equal(uid, 1001);
        mount.options = ro;
        assert_false(cgroup_owner_from_spec(&s, false, &uid));
        assert_true(cgroup_owner_from_spec(&s, true, &uid));
        mount.options = NULL;
        s.namespaces[NAMESPACE_CGROUP].path = (char *) "/proc/1/ns/cgroup";
        assert_false(cgroup_owner_from_spec(&s, false, &uid));
        s.namespaces[NAMESPACE_CGROUP].path = NULL;

        s.namespaces[NAMESPACE_USER].wanted = true;
        s.uid_mappings = (SpecIdMappings){ &mapping, 1 };
        assert_true(cgroup_owner_from_spec(&s, false, &uid));
        assert_int_equal(uid, 5001);
        s.process.uid = 1010;
        assert_false(cgroup_owner_from_spec(&s, false, &uid));
}

/* ---- files ---- */

static void test_files(void **state) {
        char dir[] = "/tmp/test-cgroup-XXXXXX";
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        CgroupWrite write = { .file = (char *) "memory.max", .value = (char *) "5" };
        uint64_t v = 0;

        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(write_file_atomic_at(fd, "cgroup.events", "populated 1\nfrozen 0\n", 21, 0644,
                                              false),
                         0);
        assert_int_equal(write_file_atomic_at(fd, "pids.max", "max\n", 4, 0644, false), 0);
        assert_int_equal(write_file_atomic_at(fd, "cgroup.controllers", "cpu pids\n", 9, 0644, false), 0);

        assert_int_equal(cgroup_read(fd, "cgroup.controllers", &text), 0);
        assert_string_equal(text, "cpu pids");
        assert_int_equal(cgroup_read_number(fd, "pids.max", &v), 0);
        assert_int_equal(v, UINT64_MAX);
        assert_int_equal(cgroup_read_key(fd, "cgroup.events", "frozen", &v), 0);
        assert_int_equal(v, 0);
        assert_int_equal(cgroup_read_key(fd, "cgroup.events", "froze", &v), -ENXIO);
        assert_int_equal(cgroup_wait(fd, "populated", 1), 0);
        assert_int_equal(cgroup_write(fd, "none", "1"), -ENOENT);

        assert_true(cgroup_lacks_controller(fd, "memory.max"));
        assert_false(cgroup_lacks_controller(fd, "pids.max"));
        assert_false(cgroup_lacks_controller(fd, "cgroup.kill"));
        assert_true(cgroup_apply(fd, "/c1", &(CgroupWrites){ &write, 1 }, &e) < 0);
        assert_non_null(strstr(error_message(&e),
                               "controller `memory` is not available under /sys/fs/cgroup/c1"));
        error_done(&e);
        /* Where there is no controller, that a file need not exist is no excuse. */
        write.optional = true;
        assert_true(cgroup_apply(fd, "/c1", &(CgroupWrites){ &write, 1 }, NULL) < 0);
        write.file = (char *) "pids.peak";
        assert_int_equal(cgroup_apply(fd, "/c1", &(CgroupWrites){ &write, 1 }, NULL), 0);
        write.optional = false;
        assert_int_equal(cgroup_apply(fd, "/c1", &(CgroupWrites){ &write, 1 }, &e), -ENOENT);
        assert_non_null(strstr(error_message(&e), "no such file or directory"));
        write.other_file = (char *) "pids.max";
        write.other_value = (char *) "7";
        assert_int_equal(cgroup_apply(fd, "/c1", &(CgroupWrites){ &write, 1 }, NULL), 0);

        assert_int_equal(rm_rf_at(AT_FDCWD, dir), 0);
}

static void test_own_cgroup(void **state) {
        _cleanup_free_ char *path = NULL;
        int r = cgroup_of_process(0, &path);

        /* Where there is a hierarchy of version 2 at all. */
        if (r < 0)
                assert_int_equal(r, -ENOENT);
        else
                assert_int_equal(path[0], '/');
}

static void test_no_cgroup(void **state) {
        const RuntimeSpec nothing = {};
        RuntimeSpec limited = {};
        _cleanup_(resource_spec_freep) ResourceSpec *r = parse("{\"pids\":{\"limit\":5}}");
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(cgroup_done) Cgroup c = {};
        json_t *j = NULL;

        assert_int_equal(cgroup_create(CGROUP_MANAGER_DISABLED, &nothing, "c1", 0, false, &c, &e), 0);
        assert_null(c.path);
        assert_int_equal(cgroup_open(&c), -ENOENT);
        assert_int_equal(cgroup_attach(&c, getpid(), &e), 0);
        assert_false(cgroup_is_frozen(&c));
        assert_int_equal(cgroup_remove(&c, &e), 0);
        assert_true(cgroup_freeze(&c, true, &e) < 0);
        assert_string_equal(error_message(&e), "The container has no cgroup.");
        error_done(&e);
        assert_true(cgroup_kill(&c, 15, &e) < 0);
        error_done(&e);
        assert_true(cgroup_update(&c, r, &e) < 0);
        error_done(&e);
        assert_true(cgroup_stats(&c, &j, &e) < 0);
        error_done(&e);
        assert_true(cgroup_open_exec(&c, "a", getpid(), &e) < 0);
        error_done(&e);

        limited.resources = r;
        assert_true(cgroup_create(CGROUP_MANAGER_DISABLED, &limited, "c1", 0, false, &c, &e) < 0);
        assert_non_null(strstr(error_message(&e), "linux.resources.pids.limit"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_refused),
                cmocka_unit_test(test_parse_nothing),
                cmocka_unit_test(test_parse_devices),
                cmocka_unit_test(test_weights),
                cmocka_unit_test(test_writes),
                cmocka_unit_test(test_writes_refused),
                cmocka_unit_test(test_controller),
                cmocka_unit_test(test_devices),
                cmocka_unit_test(test_devices_allow_all),
                cmocka_unit_test(test_scope_names),
                cmocka_unit_test(test_scope_resources),
                cmocka_unit_test(test_scope_quota_is_exact),
                cmocka_unit_test(test_scope_annotations),
                cmocka_unit_test(test_path_join),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_owner),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_own_cgroup),
                cmocka_unit_test(test_no_cgroup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
