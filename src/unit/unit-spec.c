/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A UnitSpec as the properties of StartTransientUnit(), and systemd's errors as moored's. The properties
 * that the hand-over rests on come first; the user's follow, and unit_property_append() refuses those among
 * them that would undo it.
 *
 * DevicePolicy=closed: a container has CAP_MKNOD, as everywhere, and a node that it makes must not open the
 * host's disks. */

#include <signal.h>
#include <sys/wait.h>
#include <syslog.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "unit/unit-private.h"
#include "unit/unit-properties.h"

#define STATUS_NAME_MAX 64U
/* systemd.exec(5), "Process Exit Codes" */
#define SYSTEMD_EXIT_STDOUT 209
#define SYSTEMD_EXIT_STDERR 222
/* docker's, where PID 1 can do it: from 0.1 s to a minute */
#define RESTART_DELAY_USEC (UINT64_C(100) * USEC_PER_MSEC)
#define RESTART_DELAY_MAX_USEC (60 * USEC_PER_SEC)
#define RESTART_STEPS UINT32_C(10)
#define RESTART_DELAY_FIXED_USEC (1 * USEC_PER_SEC)
#define STOP_POST_TIMEOUT_USEC (5 * USEC_PER_SEC)

static int append_exec(sd_bus_message *m, const char *name, char *const *argv) {
        int r;

        r = sd_bus_message_open_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a(sasb)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sasb)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "sasb");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', argv[0]);
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) argv);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 'b', &(int){ false });
        for (unsigned i = 0; r >= 0 && i < 4; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

/* An array of byte arrays: fields of the journal need not be text. */
static int append_log_fields(sd_bus_message *m, char *const *fields) {
        int r;

        r = sd_bus_message_open_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', "LogExtraFields");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "aay");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "ay");
        if (r < 0)
                return r;
        STRV_FOREACH(f, fields) {
                r = sd_bus_message_append_array(m, 'y', f, strlen(f));
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

/* What journald would take for a priority before a line is the container's text. */
static int append_log(sd_bus_message *m, const char *stream, const char *log) {
        const char *path = log ? startswith(log, "file:") : NULL;
        char name[sizeof("StandardOutputFileToAppend")];

        if (path) {
                (void) snprintf(name, sizeof(name), "%sFileToAppend", stream);
                return sd_bus_message_append(m, "(sv)", name, "s", path);
        }
        if (streq_ptr(log, "none"))
                return sd_bus_message_append(m, "(sv)", stream, "s", "null");

        return sd_bus_message_append(m, "(sv)(sv)", stream, "s", "journal", "SyslogLevelPrefix", "b", false);
}

static int append_stdio(sd_bus_message *m, const UnitSpec *spec) {
        const ContainerStdio *stdio = &spec->stdio;
        const struct {
                int fd;
                const char *descriptor, *name;
        } streams[] = {
                { stdio->out, "StandardOutputFileDescriptor", "StandardOutput" },
                { stdio->err, "StandardErrorFileDescriptor", "StandardError" },
        };
        int r;

        r = stdio->in >= 0 ? sd_bus_message_append(m, "(sv)", "StandardInputFileDescriptor", "h", stdio->in)
                           : sd_bus_message_append(m, "(sv)", "StandardInput", "s", "null");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(streams); i++) {
                if (streams[i].fd >= 0)
                        r = sd_bus_message_append(m, "(sv)", streams[i].descriptor, "h", streams[i].fd);
                if (r < 0)
                        return r;
                /* PID 1 has a descriptor for the first run only. Without "null" a unit of one run would depend on the
                 * journal's socket, which changes by that. */
                r = streams[i].fd >= 0 && spec->restart.policy == RESTART_NO
                                    ? sd_bus_message_append(m, "(sv)", streams[i].name, "s", "null")
                                    : append_log(m, streams[i].name, spec->log);
        }
        return r;
}

/* What docker's and podman's users know as a failure: any code but 0, any signal. PID 1 would take these for clean
 * ends. */
static const int32_t clean_signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };

static int append_force_restart(sd_bus_message *m) {
        int r;

        r = sd_bus_message_open_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', "RestartForceExitStatus");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "(aiai)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "aiai");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'i', NULL, 0);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'i', clean_signals, sizeof(clean_signals));
        for (unsigned i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

/* Without a limit of starts a container is started again for ever, ever more slowly; where PID 1 does not know of
 * a growing delay (before systemd 254), each time after the same one. With a limit, all starts count. The unit of
 * one that is not started again is kept when it has ended. */
static int append_restart(sd_bus_message *m, const UnitSpec *spec, bool back_off) {
        const Restart *x = &spec->restart;
        int r;

        if (x->policy == RESTART_NO)
                return sd_bus_message_append(m, "(sv)", "RemainAfterExit", "b", true);

        r = sd_bus_message_append(m, "(sv)(sv)", "Restart", "s",
                                  x->policy == RESTART_ON_FAILURE ? "on-failure" : "always",
                                  "StartLimitIntervalUSec", "t", x->max > 0 ? UINT64_MAX : UINT64_C(0));
        if (r >= 0 && x->max > 0)
                r = sd_bus_message_append(m, "(sv)", "StartLimitBurst", "u", x->max + 1);
        if (r >= 0)
                r = back_off ? sd_bus_message_append(m, "(sv)(sv)(sv)", "RestartUSec", "t", RESTART_DELAY_USEC,
                                                     "RestartSteps", "u", RESTART_STEPS, "RestartMaxDelayUSec", "t",
                                                     RESTART_DELAY_MAX_USEC)
                             : sd_bus_message_append(m, "(sv)", "RestartUSec", "t", RESTART_DELAY_FIXED_USEC);
        if (r >= 0 && x->policy == RESTART_ON_FAILURE)
                r = append_force_restart(m);
        return r;
}

/* After each end the unit has something to run. */
static uint64_t stop_timeout(const UnitSpec *spec) {
        return !spec->exec_stop_post && !spec->exec_clean
                               ? spec->timeout_stop_usec
                               : MAX(spec->timeout_stop_usec, STOP_POST_TIMEOUT_USEC);
}

static int append_fixed(sd_bus_message *m, const UnitSpec *spec) {
        return sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)",
                                     "Description", "s", spec->description, "Slice", "s", spec->slice,
                                     "Type", "s", "notify", "NotifyAccess", "s", "all", "Delegate", "b",
                                     true, "KillMode", "s", "mixed",
                                     "KillSignal", "i", (int32_t) spec->kill_signal, "SendSIGKILL", "b",
                                     true, "TimeoutStopUSec", "t", stop_timeout(spec),
                                     "TimeoutStartUSec", "t", spec->timeout_start_usec, "SyslogIdentifier",
                                     "s", spec->syslog_identifier, "DevicePolicy", "s", "closed");
}

static bool has_log(const UnitSpec *spec) {
        return !streq_ptr(spec->log, "none") && (spec->stdio.out < 0 || spec->stdio.err < 0);
}

/* An exec's process is in the container's control group, so that there is nothing to be delegated, nor devices to be
 * kept from it; and it ends with the container, whose dependencies are enough: those on targets, which each unit has by
 * default, would have PID 1 announce a change of each target, too. It is told once what starts and ends, by events. */
static int append_exec_fixed(sd_bus_message *m, const UnitSpec *spec) {
        int r;

        r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", spec->description, "Slice", "s",
                                  spec->slice, "Type", "s", "notify", "NotifyAccess", "s", "all",
                                  "DefaultDependencies", "b", false, "TimeoutStopUSec", "t", stop_timeout(spec),
                                  "SyslogIdentifier", "s", spec->syslog_identifier);
        /* It would be for what the process writes as well. */
        return r < 0 || has_log(spec) ? r : sd_bus_message_append(m, "(sv)", "LogLevelMax", "i", (int32_t) LOG_NOTICE);
}

/* A scope has no command, and output is none of its business. What has failed is forgotten: nothing is read from
 * it. */
static int append_scope(sd_bus_message *m, const UnitSpec *spec) {
        return sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", spec->description,
                                     "Slice", "s", spec->slice, "PIDs", "au", 1, spec->scope_pid, "Delegate", "b",
                                     true, "KillSignal", "i", (int32_t) spec->kill_signal, "TimeoutStopUSec", "t",
                                     spec->timeout_stop_usec, "DevicePolicy", "s", "closed", "CollectMode", "s",
                                     "inactive-or-failed");
}

static int append_service(sd_bus_message *m, const UnitSpec *spec, bool back_off) {
        int r;

        r = spec->exec ? append_exec_fixed(m, spec) : append_fixed(m, spec);
        if (r >= 0)
                r = append_restart(m, spec, back_off);
        if (r >= 0 && spec->keeps_network)
                r = sd_bus_message_append(m, "(sv)", "FileDescriptorStoreMax", "u", 1U);
        if (r >= 0)
                r = append_exec(m, "ExecStart", spec->exec_start);
        if (r >= 0 && spec->exec_stop_post)
                r = append_exec(m, "ExecStopPost", spec->exec_stop_post);
        if (r >= 0 && spec->exec_clean)
                r = append_exec(m, "ExecStopPost", spec->exec_clean);
        if (r >= 0 && (!spec->exec || has_log(spec)))
                r = append_log_fields(m, spec->log_extra_fields);
        return r < 0 ? r : append_stdio(m, spec);
}

int unit_spec_append(sd_bus_message *m, const UnitSpec *spec, bool back_off, Error *reterr_error) {
        int r;

        r = sd_bus_message_append(m, "ss", spec->name, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = spec->scope_pid > 0 ? append_scope(m, spec) : append_service(m, spec, back_off);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to describe unit %s: %m", spec->name);

        if (spec->after) {
                r = sd_bus_message_append(m, "(sv)", "After", "as", 1, spec->after);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(p, spec->properties) {
                r = unit_property_append(m, p, reterr_error);
                if (r < 0)
                        return r;
        }

        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        /* Auxiliary units: none. */
        return sd_bus_message_append(m, "a(sa(sv))", 0);
}

int unit_error_from_message(sd_bus_message *reply, Error *ret) {
        static const struct {
                const char *bus;
                int error;
                const char *name;
        } names[] = {
                { SYSTEMD_NAME ".NoSuchUnit", -ENOENT, "NoSuchUnit" },
                { SYSTEMD_NAME ".UnitExists", -EEXIST, "UnitExists" },
                { SYSTEMD_NAME ".NoSuchProcess", -ESRCH, "NotRunning" },
                { SYSTEMD_NAME ".BadUnitSetting", -EINVAL, "InvalidArgument" },
                { SD_BUS_ERROR_INVALID_ARGS, -EINVAL, "InvalidArgument" },
                { SD_BUS_ERROR_PROPERTY_READ_ONLY, -EINVAL, "InvalidArgument" },
                { SD_BUS_ERROR_UNKNOWN_PROPERTY, -EINVAL, "InvalidArgument" },
        };
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        int r;

        if (!e)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(e->name, names[i].bus))
                        return error_set(ret, names[i].error, names[i].name, "systemd: %s",
                                         strempty(e->message));

        r = -sd_bus_error_get_errno(e);
        return error_set(ret, r < 0 ? r : -EIO, "Failed", "systemd: %s", e->message ?: e->name);
}

static int errno_from_name(const char *name) {
        static const struct {
                const char *name;
                int error;
        } names[] = {
                { "CommandNotFound", -ENOENT }, { "CommandNotExecutable", -EACCES },
                { "NoSuchUser", -ENOENT },      { "NoSuchGroup", -ENOENT },
                { "NoSuchSource", -ENOENT },    { "InvalidArgument", -EINVAL },
                { "NoSpace", -ENOSPC },         { "NoMemory", -ENOMEM },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(names[i].name, name))
                        return names[i].error;
        return -EIO;
}

int unit_error_from_status(const UnitStatus *status, const char *unit, const char *job_result, Error *ret) {
        const char *text = strempty(status->status_text), *colon = strstr(text, ": ");
        _cleanup_free_ char *name = NULL;
        size_t n = colon ? (size_t) (colon - text) : 0;

        if (n > 0 && n <= STATUS_NAME_MAX && strspn(text, LOWERCASE UPPERCASE) == n && colon[2]) {
                name = strndup(text, n);
                if (!name)
                        return error_set(ret, -ENOMEM, "NoMemory", "Out of memory.");
                return error_set(ret, errno_from_name(name), name, "%s", colon + 2);
        }

        if (streq_ptr(job_result, "canceled"))
                return error_set(ret, -ECONNABORTED, "Failed",
                                 "The start of unit %s was canceled: somebody stopped it.", unit);
        if (streq_ptr(job_result, "timeout") || streq_ptr(status->result, "timeout"))
                return error_set(ret, -ETIMEDOUT, "Failed", "Unit %s did not start in time.", unit);
        if (streq_ptr(status->result, "protocol"))
                return error_set(ret, -EIO, "Failed",
                                 "What unit %s runs has ended before it was ready; see journalctl -u '%s'.", unit, unit);
        if (streq_ptr(job_result, "dependency"))
                return error_set(
                                ret, -EIO, "Failed",
                                "Unit %s did not start because one that it needs did not; see systemctl status.",
                                unit);
        if (status->exec_main_code == CLD_EXITED &&
            (status->exec_main_status == SYSTEMD_EXIT_STDOUT || status->exec_main_status == SYSTEMD_EXIT_STDERR))
                return error_set(ret, -EIO, "LogFailed",
                                 "systemd cannot open the file that the output of unit %s goes to (Log): can it be written "
                                 "there? See journalctl -u '%s'.",
                                 unit, unit);

        return error_set(ret, -EIO, "Failed",
                         "Unit %s did not start (job: %s, result: %s, %s %i); see journalctl -u '%s'.", unit,
                         job_result ?: "unknown", isempty(status->result) ? "unknown" : status->result,
                         status->exec_main_code == CLD_EXITED ? "exit code" : "signal",
                         status->exec_main_status, unit);
}
