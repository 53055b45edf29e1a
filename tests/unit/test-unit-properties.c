/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "unit/unit-private.h"
#include "unit/unit-properties.h"

typedef struct Fixture {
        sd_bus *bus;
        int other;
} Fixture;

/* Messages can only be made for a bus that has begun; who is at the other end is no matter. */
static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        int pair[2];

        assert_non_null(f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_true(sd_bus_new(&f->bus) >= 0);
        assert_true(sd_bus_set_fd(f->bus, pair[0], pair[0]) >= 0);
        assert_true(sd_bus_negotiate_fds(f->bus, true) >= 0);
        assert_true(sd_bus_start(f->bus) >= 0);
        f->other = pair[1];
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        sd_bus_close_unref(f->bus);
        close(f->other);
        free(f);
        return 0;
}

static void new_message(Fixture *f, sd_bus_message **ret) {
        assert_true(sd_bus_message_new_method_call(f->bus, ret, "a.b", "/", "a.b", "C") >= 0);
}

static void dump_value(sd_bus_message *m, FILE *out) {
        const char *contents, *sep = "";
        union {
                int32_t i;
                uint32_t u;
                uint64_t t;
                uint8_t y;
                int b;
                const char *s;
        } v;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                fputs(sep, out);
                sep = " ";
                if (strchr("av(r", type)) {
                        assert_true(sd_bus_message_enter_container(m, type, contents) > 0);
                        fputc(type == 'a' ? '[' : type == 'v' ? '<' : '(', out);
                        dump_value(m, out);
                        fputc(type == 'a' ? ']' : type == 'v' ? '>' : ')', out);
                        assert_true(sd_bus_message_exit_container(m) >= 0);
                        continue;
                }
                assert_true(sd_bus_message_read_basic(m, type, &v) > 0);
                switch (type) {
                case 's':
                        fprintf(out, "%s", v.s);
                        break;
                case 'i':
                        fprintf(out, "%i", v.i);
                        break;
                case 'u':
                        fprintf(out, "%u", v.u);
                        break;
                case 'y':
                        fprintf(out, "%u", v.y);
                        break;
                case 'b':
                        fprintf(out, "%s", v.b ? "true" : "false");
                        break;
                case 't':
                        fprintf(out, "%llu", (unsigned long long) v.t);
                        break;
                default:
                        fail_msg("type %c", type);
                }
        }
        assert_int_equal(r, 0);
}

/* As text: (Name <value>) for each. */
static char *append(Fixture *f, const char *assignment, Error *e) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char *text = NULL;
        size_t n;
        FILE *out;
        int r;

        new_message(f, &m);
        assert_true(sd_bus_message_open_container(m, 'a', "(sv)") >= 0);
        r = unit_property_append(m, assignment, e);
        assert_int_equal(unit_property_append(NULL, assignment, NULL) < 0, r < 0);
        if (r < 0)
                return NULL;
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
        out = open_memstream(&text, &n);
        assert_non_null(out);
        dump_value(m, out);
        fclose(out);
        return text;
}

static void test_good(void **state) {
        static const struct {
                const char *assignment, *want;
        } table[] = {
                { "MemoryMax=10M", "(MemoryMax <10485760>)" },
                { "MemoryMax=1.5G", "(MemoryMax <1610612736>)" },
                { "MemoryMax=infinity", "(MemoryMax <18446744073709551615>)" },
                { "MemoryMax=50%", "(MemoryMaxScale <2147483647>)" },
                { "MemoryLow=100%", "(MemoryLowScale <4294967295>)" },
                { "TasksMax=12", "(TasksMax <12>)" },
                { "TasksMax=10%", "(TasksMaxScale <429496729>)" },
                { "CPUQuota=20%", "(CPUQuotaPerSecUSec <200000>)" },
                { "CPUQuota=250%", "(CPUQuotaPerSecUSec <2500000>)" },
                { "CPUQuota=12.5%", "(CPUQuotaPerSecUSec <125000>)" },
                { "CPUQuota=0.05%", "(CPUQuotaPerSecUSec <500>)" },
                { "CPUQuota=", "(CPUQuotaPerSecUSec <18446744073709551615>)" },
                { "CPUQuotaPeriodSec=10ms", "(CPUQuotaPeriodUSec <10000>)" },
                { "CPUWeight=100", "(CPUWeight <100>)" },
                { "CPUWeight=idle", "(CPUWeight <0>)" },
                { "AllowedCPUs=0-2,9", "(AllowedCPUs <[7 2]>)" },
                { "AllowedCPUs=8191", NULL },
                { "IOWeight=7", "(IOWeight <7>)" },
                { "IODeviceWeight=/dev/sda 200", "(IODeviceWeight <[(/dev/sda 200)]>)" },
                { "IOReadBandwidthMax=/dev/sda 5M", "(IOReadBandwidthMax <[(/dev/sda 5000000)]>)" },
                { "IOReadBandwidthMax=", "(IOReadBandwidthMax <[]>)" },
                { "IODeviceLatencyTargetSec=/dev/sda 5ms",
                  "(IODeviceLatencyTargetUSec <[(/dev/sda 5000)]>)" },
                { "DeviceAllow=/dev/fuse", "(DeviceAllow <[(/dev/fuse rwm)]>)" },
                { "DeviceAllow=char-pts rw", "(DeviceAllow <[(char-pts rw)]>)" },
                { "DeviceAllow=", "(DeviceAllow <[]>)" },
                { "IPAddressAllow=10.0.0.0/8 ::1",
                  "(IPAddressAllow <[(2 [10 0 0 0] 8) (10 [0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1] 128)]>)" },
                { "IPAddressDeny=localhost",
                  "(IPAddressDeny <[(2 [127 0 0 0] 8) (10 [0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1] 128)]>)" },
                { "LimitNOFILE=1024:4096", "(LimitNOFILE <4096>) (LimitNOFILESoft <1024>)" },
                { "LimitCORE=infinity",
                  "(LimitCORE <18446744073709551615>) (LimitCORESoft <18446744073709551615>)" },
                { "LimitCPU=1min", "(LimitCPU <60>) (LimitCPUSoft <60>)" },
                { "LimitSTACK=8M", "(LimitSTACK <8388608>) (LimitSTACKSoft <8388608>)" },
                { "Nice=-5", "(Nice <-5>)" },
                { "Nice=+5", "(Nice <5>)" },
                { "UMask=0027", "(UMask <23>)" },
                { "CPUSchedulingPolicy=rr", "(CPUSchedulingPolicy <2>)" },
                { "IOSchedulingClass=idle", "(IOSchedulingClass <3>)" },
                { "LogLevelMax=info", "(LogLevelMax <6>)" },
                { "FinalKillSignal=SIGINT", "(FinalKillSignal <2>)" },
                { "SendSIGHUP=yes", "(SendSIGHUP <true>)" },
                { "RestartSec=1min 5s", "(RestartUSec <65000000>)" },
                { "RestartSteps=3", "(RestartSteps <3>)" },
                { "RestartMaxDelaySec=1min", "(RestartMaxDelayUSec <60000000>)" },
                { "RuntimeMaxSec=infinity", "(RuntimeMaxUSec <18446744073709551615>)" },
                { "SuccessExitStatus=3 143 SIGTERM", "(SuccessExitStatus <([3 143] [15])>)" },
                { "After=a.service  b.service", "(After <[a.service b.service]>)" },
                { "Description=A = B", "(Description <A = B>)" },
                { "StartLimitBurst=3", "(StartLimitBurst <3>)" },
                { "Slice=x.slice", "(Slice <x.slice>)" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *got = append(f, table[i].assignment, &e);

                if (!got)
                        fail_msg("%s: %s", table[i].assignment, error_message(&e));
                if (table[i].want)
                        assert_string_equal(got, table[i].want);
        }
}

static void test_bad(void **state) {
        static const char *const table[] = {
                "MemoryMax=x",
                "MemoryMax=101%",
                "MemoryMax=-1",
                "TasksMax=10M",
                "CPUQuota=20",
                "CPUQuota=0%",
                "CPUQuota=1.234%",
                "CPUQuota=%",
                "CPUWeight=x",
                "AllowedCPUs=3-1",
                "AllowedCPUs=8192",
                "AllowedCPUs=a",
                "IODeviceWeight=/dev/sda",
                "IOReadBandwidthMax=/dev/sda 5Q",
                "IOReadBandwidthMax=/dev/sda 99999999999E",
                "DeviceAllow=/dev/fuse rwx",
                "DeviceAllow=/dev/fuse r w",
                "IPAddressAllow=10.0.0.0/33",
                "IPAddressAllow=host",
                "IPAddressAllow=::1/129",
                "LimitNOFILE=5:4",
                "LimitNOFILE=x",
                "Nice=a",
                "UMask=8",
                "UMask=00000",
                "CPUSchedulingPolicy=x",
                "LogLevelMax=loud",
                "FinalKillSignal=NONE",
                "SendSIGHUP=maybe",
                "Restart=on-failure",
                "RestartSteps=x",
                "RestartSec=x",
                "SuccessExitStatus=256",
                "StartLimitBurst=-1",
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *got = append(f, table[i], &e),
                                    *name = strndup(table[i], strcspn(table[i], "="));

                if (got)
                        fail_msg("%s was taken: %s", table[i], got);
                assert_string_equal(error_name(&e), "InvalidArgument");
                assert_non_null(strstr(error_message(&e), name));
        }
}

static void test_refused(void **state) {
        static const char *const table[] = {
                "Type=simple",
                "ExecStart=/bin/sh",
                "ExecStopPost=/bin/sh",
                "NotifyAccess=none",
                "RemainAfterExit=no",
                "PIDFile=/x",
                "Delegate=no",
                "KillMode=none",
                "KillSignal=9",
                "CollectMode=inactive-or-failed",
                "User=x",
                "Environment=A=b",
                "EnvironmentFile=/x",
                "StandardOutput=file:/etc/passwd",
                "RootDirectory=/",
                "PrivateTmp=yes",
                "ProtectSystem=strict",
                "WorkingDirectory=/",
                "TimeoutStopSec=1",
                "SyslogIdentifier=x",
                "LogExtraFields=A=b",
                "NoSuchThing=1",
                "memorymax=1",
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                _cleanup_free_ char *got = append(f, table[i], &e),
                                    *name = strndup(table[i], strcspn(table[i], "="));

                if (got)
                        fail_msg("%s was taken: %s", table[i], got);
                assert_string_equal(error_name(&e), "InvalidArgument");
                assert_non_null(strstr(error_message(&e), name));
        }
        assert_int_equal(unit_property_append(NULL, "MemoryMax", NULL), -EINVAL);
        assert_int_equal(unit_property_append(NULL, "=1", NULL), -EINVAL);
}

static void test_spec(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *bad = NULL;
        char *argv[] = { (char *) "/usr/bin/mooring", (char *) "launch", (char *) "/run/x", NULL };
        char *fields[] = { (char *) "MOORED_CONTAINER=c", NULL },
             *properties[] = { (char *) "DevicePolicy=auto", NULL };
        char *wrong[] = { (char *) "Type=simple", NULL };
        UnitSpec spec = {
                .name = (char *) "moored-a-b.service",
                .description = (char *) "d",
                .slice = (char *) "moored-a.slice",
                .exec_start = argv,
                .log_extra_fields = fields,
                .syslog_identifier = (char *) "b",
                .kill_signal = 15,
                .timeout_stop_usec = 7,
                .timeout_start_usec = 8,
                .properties = properties,
                .stdio = { -EBADF, -EBADF, -EBADF },
        };
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        Fixture *f = *state;
        size_t n;
        FILE *out;

        new_message(f, &m);
        assert_true(unit_spec_append(m, &spec, true, NULL) >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_string_equal(sd_bus_message_get_signature(m, true), "ssa(sv)a(sa(sv))");
        out = open_memstream(&text, &n);
        dump_value(m, out);
        fclose(out);
        assert_non_null(startswith(text, "moored-a-b.service fail [(Description <d>)"));
        assert_non_null(strstr(
                        text,
                        "(Type <notify>) (NotifyAccess <all>) (Delegate <true>) (KillMode <mixed>)"));
        assert_non_null(strstr(text, "(TimeoutStopUSec <7>)"));
        assert_non_null(strstr(text, "(RemainAfterExit <true>) (ExecStart "));
        assert_null(strstr(text, "(Restart"));
        assert_non_null(strstr(text,
                               "(ExecStart <[(/usr/bin/mooring [/usr/bin/mooring launch /run/x] false)]>)"));
        assert_non_null(strstr(text, "(StandardInput <null>) (StandardOutput <journal>)"));
        /* The user's word is the last. */
        assert_non_null(strstr(strstr(text, "(DevicePolicy <closed>)"), "(DevicePolicy <auto>)] []"));

        spec.properties = wrong;
        new_message(f, &bad);
        assert_int_equal(unit_spec_append(bad, &spec, true, &e), -EINVAL);
        assert_string_equal(error_name(&e), "InvalidArgument");
}

static void test_spec_of_an_exec(void **state) {
        char *argv[] = { (char *) "/m", NULL };
        UnitSpec spec = {
                .name = (char *) "moored-a-b-1.service",
                .description = (char *) "d",
                .slice = (char *) "s",
                .exec_start = argv,
                .exec = true,
                .syslog_identifier = (char *) "b/1",
                .timeout_stop_usec = 7,
                .stdio = { -EBADF, -EBADF, -EBADF },
        };

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                _cleanup_free_ char *text = NULL;
                size_t n;
                FILE *out;

                spec.exec_stop_post = i == 0 ? NULL : argv;
                new_message(*state, &m);
                assert_true(unit_spec_append(m, &spec, true, NULL) >= 0);
                assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
                out = open_memstream(&text, &n);
                dump_value(m, out);
                fclose(out);
                assert_non_null(strstr(text, "(RemainAfterExit <true>)"));
                /* There must be time for that. */
                assert_int_equal(!!strstr(text, "(TimeoutStopUSec <7>)"), i == 0);
                assert_int_equal(!!strstr(text, "(ExecStopPost <[(/m [/m] false)]>)"), i == 1);
        }
}

static char *restart_text(Fixture *f, Restart restart, bool back_off) {
        char *argv[] = { (char *) "/m", NULL };
        const UnitSpec spec = {
                .name = (char *) "moored-a-b.service",
                .description = (char *) "d",
                .slice = (char *) "s",
                .exec_start = argv,
                .exec_stop_post = argv,
                .restart = restart,
                .syslog_identifier = (char *) "b",
                .stdio = { -EBADF, -EBADF, -EBADF },
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char *text = NULL;
        size_t n;
        FILE *out;

        new_message(f, &m);
        assert_true(unit_spec_append(m, &spec, back_off, NULL) >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        out = open_memstream(&text, &n);
        dump_value(m, out);
        fclose(out);
        assert_null(strstr(text, "RemainAfterExit"));
        assert_non_null(strstr(text, "(ExecStopPost <[(/m [/m] false)]>)"));
        /* There must be time for that. */
        assert_null(strstr(text, "(TimeoutStopUSec <0>)"));
        return text;
}

static void test_restart(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *always = restart_text(f, (Restart){ RESTART_ALWAYS, 0 }, true),
                            *unless = restart_text(f, (Restart){ RESTART_UNLESS_STOPPED, 0 }, false),
                            *failure = restart_text(f, (Restart){ RESTART_ON_FAILURE, 0 }, true),
                            *some = restart_text(f, (Restart){ RESTART_ON_FAILURE, 3 }, true);

        assert_non_null(strstr(always, "(Restart <always>) (StartLimitIntervalUSec <0>) (RestartUSec <100000>) "
                                       "(RestartSteps <10>) (RestartMaxDelayUSec <60000000>)"));
        assert_null(strstr(always, "RestartForceExitStatus"));
        assert_non_null(strstr(unless, "(Restart <always>) (StartLimitIntervalUSec <0>) (RestartUSec <1000000>)"));
        assert_null(strstr(unless, "RestartSteps"));
        assert_non_null(strstr(failure, "(Restart <on-failure>) (StartLimitIntervalUSec <0>)"));
        assert_non_null(strstr(failure, "(RestartForceExitStatus <([] [1 2 15 13])>)"));
        /* The first start counts, too. */
        assert_non_null(strstr(some, "(Restart <on-failure>) (StartLimitIntervalUSec <18446744073709551615>) "
                                     "(StartLimitBurst <4>)"));
}

static void test_status_error(void **state) {
        static const struct {
                const char *text, *name, *message;
                int error;
        } table[] = {
                { "CommandNotFound: There is no x.", "CommandNotFound", "There is no x.", -ENOENT },
                { "NoSuchUser: a: b", "NoSuchUser", "a: b", -ENOENT },
                { "Some thing: x", "Failed", NULL, -EIO },
                { "Name: ", "Failed", NULL, -EIO },
                { NULL, "Failed", NULL, -EIO },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                UnitStatus s = { .status_text = (char *) table[i].text,
                                 .exec_main_code = CLD_EXITED,
                                 .exec_main_status = 5 };
                _cleanup_error_ Error e = ERROR_NULL;

                assert_int_equal(unit_error_from_status(&s, "u.service", "failed", &e), table[i].error);
                assert_string_equal(error_name(&e), table[i].name);
                if (table[i].message)
                        assert_string_equal(error_message(&e), table[i].message);
                else
                        assert_non_null(strstr(error_message(&e), "u.service"));
        }

        /* systemd itself could not open the log. */
        UnitStatus s = { .exec_main_code = CLD_EXITED, .exec_main_status = 209 };
        _cleanup_error_ Error e = ERROR_NULL;

        assert_int_equal(unit_error_from_status(&s, "u.service", "failed", &e), -EIO);
        assert_string_equal(error_name(&e), "LogFailed");
}

static void test_read_status(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(unit_status_done) UnitStatus s = { .main_pid = 5 };
        Fixture *f = *state;

        new_message(f, &m);
        assert_true(sd_bus_message_append(m, "a{sv}", 8, "ActiveState", "s", "failed", "Unknown", "a(ss)", 1,
                                          "x", "y", "ExecMainCode", "i", 2, "ExecMainExitTimestamp", "t",
                                          UINT64_C(9), "Job", "(uo)", 17, "/x", "StatusText", "s", "",
                                          "InvocationID", "ay", 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                          13, 14, 15, 16, "ExecStart", "a(sasbttttuii)", 1, MOORING_PATH, 1,
                                          "x", 0, UINT64_C(0), UINT64_C(0), UINT64_C(0), UINT64_C(0), 0, 0,
                                          0) >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_true(unit_status_read(&s, m) >= 0);
        assert_string_equal(s.active_state, "failed");
        assert_int_equal(s.exec_main_code, 2);
        assert_int_equal(s.exec_main_exit_usec, 9);
        assert_int_equal(s.job, 17);
        assert_int_equal(s.main_pid, 5);
        assert_null(s.status_text);
        assert_true(s.launcher);
        assert_string_equal(s.invocation_id, "0102030405060708090a0b0c0d0e0f10");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),         cmocka_unit_test(test_bad),
                cmocka_unit_test(test_refused),      cmocka_unit_test(test_spec),
                cmocka_unit_test(test_spec_of_an_exec), cmocka_unit_test(test_restart),
                cmocka_unit_test(test_status_error), cmocka_unit_test(test_read_status),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
