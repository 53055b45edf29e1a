/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mooring-scope: what mooring, which is linked statically and without libsystemd, wants of the service
 * manager, and of systemd-machined.
 *
 *     mooring-scope [--user] start UNIT [NAME TYPE COUNT VALUE…]…
 *     mooring-scope [--user] set UNIT [NAME TYPE COUNT VALUE…]…
 *     mooring-scope [--user] stop UNIT
 *     mooring-scope [--user] clean UNIT                stops it if nobody is in there
 *     mooring-scope [--user] attach UNIT CGROUP PID
 *     mooring-scope machine NAME PID [ID]              registers it; ID: 32 hex digits
 *
 * Returns when the job is done. What went wrong is on stderr: a name for programs, a newline, a sentence.
 * The manager's own socket comes before the bus: no third process, and it is there without a bus. */

#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>

#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "basic/error.h"
#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"

#define MANAGER "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
#define MACHINED "org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager"
#define MACHINE_EXISTS "org.freedesktop.machine1.MachineExists"
#define MACHINE_SERVICE "moored"
#define MACHINE_TRIES 50U
#define MACHINE_PAUSE_NSEC (20L * 1000 * 1000)
#define CLEAN_TRIES 20U
#define CLEAN_PAUSE_NSEC (50L * 1000 * 1000)
#define JOB_TIMEOUT_USEC (180 * USEC_PER_SEC) /* longer than a unit's stop takes by default */

static bool arg_user = false;

static inline void bus_closep(sd_bus **bus) {
        sd_bus_flush_close_unref(*bus);
}

static int open_private(const char *path, sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        _cleanup_free_ char *address = NULL;
        int r;

        if (access(path, F_OK) < 0)
                return -errno;
        address = strjoin("unix:path=", path);
        if (!address)
                return -ENOMEM;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                *ret = TAKE_PTR(bus);
        return r;
}

static int open_manager(sd_bus **ret) {
        const char *runtime_dir = getenv("XDG_RUNTIME_DIR");
        int r = -ENOENT;

        if (arg_user) {
                _cleanup_free_ char *path = NULL;

                if (runtime_dir) {
                        path = strjoin(runtime_dir, "/systemd/private");
                        if (!path)
                                return -ENOMEM;
                        r = open_private(path, ret);
                }
                return r < 0 ? sd_bus_open_user(ret) : 0;
        }
        if (geteuid() == 0 && !getenv("DBUS_SYSTEM_BUS_ADDRESS"))
                r = open_private("/run/systemd/private", ret);
        return r < 0 ? sd_bus_open_system(ret) : 0;
}

static const char *name_for(const sd_bus_error *e) {
        static const struct {
                const char *bus, *name;
        } table[] = {
                { "org.freedesktop.systemd1.UnitExists", "AlreadyExists" },
                { "org.freedesktop.systemd1.NoSuchUnit", "NoSuchUnit" },
                { SD_BUS_ERROR_ACCESS_DENIED, "PermissionDenied" },
                { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "PermissionDenied" },
                { SD_BUS_ERROR_PROPERTY_READ_ONLY, "NotSupported" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (sd_bus_error_has_name(e, table[i].bus))
                        return table[i].name;
        return "Failed";
}

static int refused(const sd_bus_error *e, int r, const char *what, const char *unit, Error *reterr_error) {
        return error_set(reterr_error, r, name_for(e), "The service manager could not %s \"%s\": %s", what,
                         unit, e->message ?: strerror(-r));
}

static int invalid(const char *name, const char *type, const char *value, Error *reterr_error) {
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "Property %s: \"%s\" is not of type \"%s\".", name, value, type);
}

/* One value of a basic type. */
static int append_basic(sd_bus_message *m, char type, const char *value) {
        uint64_t u;
        int b;

        switch (type) {
        case 's':
                return sd_bus_message_append_basic(m, 's', value);
        case 'b':
                b = parse_boolean(value);
                return b < 0 ? b : sd_bus_message_append_basic(m, 'b', &b);
        case 'n':
        case 'i':
        case 'x': {
                bool negative = value[0] == '-';
                int64_t x;

                if (parse_uint64(value + negative, &u) < 0 || u > INT64_MAX)
                        return -EINVAL;
                x = negative ? -(int64_t) u : (int64_t) u;
                if (type == 'x')
                        return sd_bus_message_append_basic(m, type, &x);
                if (x < (type == 'n' ? INT16_MIN : INT32_MIN) || x > (type == 'n' ? INT16_MAX : INT32_MAX))
                        return -ERANGE;
                return type == 'n' ? sd_bus_message_append_basic(m, type, &(int16_t){ (int16_t) x })
                                   : sd_bus_message_append_basic(m, type, &(int32_t){ (int32_t) x });
        }
        default:
                break;
        }

        if (parse_uint64(value, &u) < 0)
                return -EINVAL;
        switch (type) {
        case 'y':
                return u > UINT8_MAX ? -ERANGE
                                     : sd_bus_message_append_basic(m, type, &(uint8_t){ (uint8_t) u });
        case 'q':
                return u > UINT16_MAX ? -ERANGE
                                      : sd_bus_message_append_basic(m, type, &(uint16_t){ (uint16_t) u });
        case 'u':
                return u > UINT32_MAX ? -ERANGE
                                      : sd_bus_message_append_basic(m, type, &(uint32_t){ (uint32_t) u });
        case 't':
                return sd_bus_message_append_basic(m, type, &u);
        default:
                return -EOPNOTSUPP;
        }
}

static int append_hex(sd_bus_message *m, const char *hex) {
        size_t n = strlen(hex) / 2;
        _cleanup_free_ uint8_t *bytes = malloc(n + 1);

        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char byte[3] = { hex[2 * i], hex[2 * i + 1] }, *end;

                bytes[i] = (uint8_t) strtoul(byte, &end, 16);
                if (*end)
                        return -EINVAL;
        }
        return sd_bus_message_append_array(m, 'y', bytes, n);
}

/* An array of basic types or of structures of them, "a(st)". */
static int append_array(sd_bus_message *m, const char *item, size_t n, char *const *values) {
        bool structures = item[0] == '(';
        size_t members = structures ? strlen(item) - 2 : 1;
        int r;

        if (members == 0 || n % members != 0)
                return -EINVAL;
        r = sd_bus_message_open_container(m, 'a', item);
        for (size_t i = 0; r >= 0 && i < n; i += members) {
                if (structures) {
                        _cleanup_free_ char *contents = strndup(item + 1, members);

                        r = contents ? sd_bus_message_open_container(m, 'r', contents) : -ENOMEM;
                }
                for (size_t k = 0; r >= 0 && k < members; k++)
                        r = append_basic(m, item[structures + k], values[i + k]);
                if (r >= 0 && structures)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const char *type, size_t n, char *const *values) {
        if (streq(type, "ay"))
                return n == 1 ? append_hex(m, values[0]) : -EINVAL;
        if (type[0] == 'a' && type[1])
                return append_array(m, type + 1, n, values);
        return n == 1 && type[0] && !type[1] ? append_basic(m, type[0], values[0]) : -EINVAL;
}

/* a(sv) of "NAME TYPE COUNT VALUE…" */
static int append_properties(sd_bus_message *m, char *const *args, Error *reterr_error) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sv)");
        while (r >= 0 && args[0]) {
                const char *name = args[0], *type = args[1];
                uint32_t n;

                if (!type || !args[2] || parse_uint32(args[2], &n) < 0 || n > strv_length(args + 3))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "Property %s has no type, count and values.", name);
                r = sd_bus_message_open_container(m, 'r', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', name);
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', type);
                if (r >= 0 && append_value(m, type, n, args + 3) < 0)
                        return invalid(name, type, n > 0 ? args[3] : "", reterr_error);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                args += 3 + n;
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot write a message for the service manager: %m")
                     : 0;
}

typedef struct Job {
        char *path;
        char *result;
} Job;

static void job_done(Job *j) {
        free(j->path);
        free(j->result);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *path, *unit, *result;
        Job *j = userdata;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) >= 0 && streq_ptr(path, j->path))
                (void) free_and_strdup(&j->result, result);
        return 0;
}

/* The reply to a call has the job's path. */
static int wait_for_job(sd_bus *bus, sd_bus_message *reply, Job *j) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + JOB_TIMEOUT_USEC;
        const char *path;
        int r;

        r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        if (free_and_strdup(&j->path, path) < 0)
                return -ENOMEM;
        while (!j->result) {
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (now >= end)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, end - now);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Nothing waits for it: as a rule there is no unit any more that could be in the way. */
static void reset_failed(sd_bus *bus, const char *unit) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        if (sd_bus_message_new_method_call(bus, &m, MANAGER, "ResetFailedUnit") >= 0 &&
            sd_bus_message_append(m, "s", unit) >= 0 && sd_bus_message_set_expect_reply(m, false) >= 0)
                (void) sd_bus_send(bus, m, NULL);
}

static int stop(sd_bus *bus, const char *unit, Error *reterr_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_(job_done) Job j = {};
        int r;

        r = sd_bus_match_signal_async(bus, NULL, NULL, "/org/freedesktop/systemd1",
                                      "org.freedesktop.systemd1.Manager", "JobRemoved", on_job_removed, NULL,
                                      &j);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot listen to the service manager: %m");
        r = sd_bus_call_method(bus, MANAGER, "StopUnit", &e, &reply, "ss", unit, "replace");
        if (r < 0 && sd_bus_error_has_name(&e, "org.freedesktop.systemd1.NoSuchUnit"))
                return 0;
        if (r < 0)
                return refused(&e, r, "stop", unit, reterr_error);
        r = wait_for_job(bus, reply, &j);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The service manager does not stop \"%s\": %m",
                                       unit);
        reset_failed(bus, unit);
        return 0;
}

/* Whether nobody is in a cgroup, or there is none any more. */
static bool is_deserted(const char *cgroup) {
        _cleanup_free_ char *path = strjoin("/sys/fs/cgroup", cgroup, "/cgroup.events"), *text = NULL;
        int r;

        if (!path || isempty(cgroup))
                return false;
        r = read_file_at(AT_FDCWD, path, 4096, &text, NULL);
        return r == -ENOENT || r == -ENODEV || (r >= 0 && strstr(text, "populated 0"));
}

/* Whether a unit of the name is only what is left of one that has ended; the manager may not have heard of
 * that yet. */
static bool is_over(sd_bus *bus, const char *unit) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ char *state = NULL, *cgroup = NULL;
        const char *path;

        if (sd_bus_call_method(bus, MANAGER, "GetUnit", NULL, &reply, "s", unit) < 0)
                return true;
        if (sd_bus_message_read(reply, "o", &path) < 0 ||
            sd_bus_get_property_string(bus, "org.freedesktop.systemd1", path,
                                       "org.freedesktop.systemd1.Unit", "ActiveState", NULL, &state) < 0)
                return false;
        if (!streq(state, "active"))
                return streq(state, "inactive") || streq(state, "failed") || streq(state, "deactivating");
        return sd_bus_get_property_string(bus, "org.freedesktop.systemd1", path,
                                          "org.freedesktop.systemd1.Scope", "ControlGroup", NULL,
                                          &cgroup) >= 0 &&
               is_deserted(cgroup);
}

static int call_start(sd_bus *bus, const char *unit, char *const *properties, sd_bus_message **ret,
                      sd_bus_error *e, Error *reterr_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", unit, "fail");
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot write a message for the service manager: %m");
        r = append_properties(m, properties, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot write a message for the service manager: %m");
        return sd_bus_call(bus, m, 0, e, ret);
}

static int start(sd_bus *bus, const char *unit, char *const *properties, Error *reterr_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_(job_done) Job j = {};
        int r;

        r = sd_bus_match_signal_async(bus, NULL, NULL, "/org/freedesktop/systemd1",
                                      "org.freedesktop.systemd1.Manager", "JobRemoved", on_job_removed, NULL,
                                      &j);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot listen to the service manager: %m");
        r = call_start(bus, unit, properties, &reply, &e, reterr_error);
        if (r < 0 && sd_bus_error_has_name(&e, "org.freedesktop.systemd1.UnitExists") &&
            is_over(bus, unit)) {
                sd_bus_error_free(&e);
                r = stop(bus, unit, reterr_error);
                if (r >= 0)
                        r = call_start(bus, unit, properties, &reply, &e, reterr_error);
        }
        if (error_is_set(reterr_error))
                return r;
        if (r < 0)
                return refused(&e, r, "start", unit, reterr_error);

        r = wait_for_job(bus, reply, &j);
        if (r >= 0 && streq(j.result, "done"))
                return 0;
        (void) stop(bus, unit, NULL);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The service manager does not start \"%s\": %m",
                                       unit);
        return error_set(reterr_error, -EIO, "Failed", "The service manager could not start \"%s\": %s",
                         unit, j.result);
}

static int set(sd_bus *bus, const char *unit, char *const *properties, Error *reterr_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, MANAGER, "SetUnitProperties");
        if (r >= 0)
                r = sd_bus_message_append(m, "sb", unit, true);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot write a message for the service manager: %m");
        r = append_properties(m, properties, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_call(bus, m, 0, &e, NULL);
        return r < 0 ? refused(&e, r, "change", unit, reterr_error) : 0;
}

/* below: the cgroup's path below the unit's; "" for the unit's. */
static int attach(sd_bus *bus, const char *unit, const char *below, const char *pid, Error *reterr_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        uint32_t number;
        int r;

        if (parse_uint32(pid, &number) < 0 || number == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "\"%s\" is no process.", pid);
        r = sd_bus_call_method(bus, MANAGER, "AttachProcessesToUnit", &e, NULL, "ssau", unit, below, 1,
                               number);
        return r < 0 ? refused(&e, r, "attach a process to", unit, reterr_error) : 0;
}

/* Stops what nobody is in, or will not be for long: what was made for a process that did not live to see it stays
 * there for ever otherwise. */
static int clean(sd_bus *bus, const char *unit, Error *reterr_error) {
        const struct timespec pause = { .tv_nsec = CLEAN_PAUSE_NSEC };

        for (unsigned i = 0; i < CLEAN_TRIES; i++) {
                if (is_over(bus, unit))
                        return stop(bus, unit, reterr_error);
                (void) nanosleep(&pause, NULL);
        }
        return error_set(reterr_error, -EBUSY, "Busy", "There are processes in \"%s\".", unit);
}

static int machine_refused(const sd_bus_error *e, int r, const char *name, Error *reterr_error) {
        if (sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, "org.freedesktop.systemd1.NoSuchUnit",
                                   "org.freedesktop.systemd1.LoadFailed", "org.freedesktop.systemd1.UnitMasked"))
                return error_set(reterr_error, r, "NotSupported",
                                 "systemd-machined, with which the machine \"%s\" is to be registered, is not "
                                 "there: install the package systemd-container, or leave Machine out.",
                                 name);
        if (sd_bus_error_has_name(e, MACHINE_EXISTS))
                return error_set(reterr_error, r, "AlreadyExists",
                                 "systemd-machined knows a machine \"%s\" already (see machinectl list): end that "
                                 "one, or give the container another id.",
                                 name);
        return error_set(reterr_error, r, name_for(e), "systemd-machined could not register \"%s\": %s", name,
                         e->message ?: strerror(-r));
}

/* Whether the machine of that name is what the unit of the process was before PID 1 has started it anew: machined
 * holds on to a unit that is active. */
static bool is_own_machine(sd_bus *bus, const char *name, uint32_t pid) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ char *own = NULL, *unit = NULL;
        _cleanup_close_ int fd = open("/proc/1/ns/cgroup", O_RDONLY | O_CLOEXEC);
        const char *path;

        /* A launcher may be in a cgroup namespace of the unit's. */
        if (fd >= 0)
                (void) setns(fd, CLONE_NEWCGROUP);
        return sd_pid_get_unit((pid_t) pid, &own) >= 0 &&
               sd_bus_call_method(bus, MACHINED, "GetMachine", NULL, &reply, "s", name) >= 0 &&
               sd_bus_message_read(reply, "o", &path) >= 0 &&
               sd_bus_get_property_string(bus, "org.freedesktop.machine1", path, "org.freedesktop.machine1.Machine",
                                          "Unit", NULL, &unit) >= 0 &&
               streq(unit, own);
}

static int call_register(sd_bus *bus, char *const *args, uint32_t pid, sd_bus_error *e, Error *reterr_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const char *name = args[0], *id = strempty(args[2]);
        int r;

        r = sd_bus_message_new_method_call(bus, &m, MACHINED, "RegisterMachine");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', name);
        if (r >= 0)
                r = append_hex(m, id);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssus", MACHINE_SERVICE, "container", pid, "");
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot write a message for systemd-machined: %m");
        return sd_bus_call(bus, m, 0, e, NULL);
}

static int register_machine(char *const *args, Error *reterr_error) {
        const struct timespec pause = { .tv_nsec = MACHINE_PAUSE_NSEC };
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_(bus_closep) sd_bus *bus = NULL;
        uint32_t pid;
        int r;

        if (parse_uint32(args[1], &pid) < 0 || pid == 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "\"%s\" is no process.", args[1]);
        r = sd_bus_open_system(&bus);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot connect to the system bus: %m");
        r = call_register(bus, args, pid, &e, reterr_error);
        /* The old one is forgotten some time after the answer that it is. */
        for (unsigned i = 0; i < MACHINE_TRIES && sd_bus_error_has_name(&e, MACHINE_EXISTS) &&
                             is_own_machine(bus, args[0], pid); i++) {
                (void) sd_bus_call_method(bus, MACHINED, "UnregisterMachine", NULL, NULL, "s", args[0]);
                sd_bus_error_free(&e);
                if (i > 0)
                        (void) nanosleep(&pause, NULL);
                r = call_register(bus, args, pid, &e, reterr_error);
        }
        return r < 0 && !error_is_set(reterr_error) ? machine_refused(&e, r, args[0], reterr_error) : r;
}

static int run(char *const *args, Error *reterr_error) {
        _cleanup_(bus_closep) sd_bus *bus = NULL;
        int r;

        if (args[0] && streq(args[0], "machine") && strv_length(args) >= 3)
                return register_machine(args + 1, reterr_error);
        if (args[0] && streq(args[0], "--user")) {
                arg_user = true;
                args++;
        }
        if (!args[0] || !args[1])
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "Usage: mooring-scope [--user] start|set|stop|clean UNIT [NAME TYPE COUNT VALUE…]… or "
                                "mooring-scope [--user] attach UNIT CGROUP PID or mooring-scope machine NAME PID [ID]");
        r = open_manager(&bus);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot connect to %s service manager: %m",
                                       arg_user ? "the user's" : "the");

        if (streq(args[0], "start"))
                return start(bus, args[1], args + 2, reterr_error);
        if (streq(args[0], "set"))
                return set(bus, args[1], args + 2, reterr_error);
        if (streq(args[0], "stop"))
                return stop(bus, args[1], reterr_error);
        if (streq(args[0], "clean"))
                return clean(bus, args[1], reterr_error);
        if (streq(args[0], "attach") && args[2] && args[3])
                return attach(bus, args[1], args[2], args[3], reterr_error);
        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                         "\"%s\" is none of start, set, stop, clean, attach, or an argument is missing.", args[0]);
}

int main(int argc, char *argv[]) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (argc < 1 || run(argv + 1, &e) >= 0)
                return EXIT_SUCCESS;
        fprintf(stderr, "%s\n%s", error_name(&e), error_message(&e));
        return EXIT_FAILURE;
}
