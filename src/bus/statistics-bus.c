/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/statistics-bus.h"
#include "basic/string-util.h"
#include "container/statistics.h"

static int append_statistic(const char *name, uint64_t value, void *userdata) {
        return sd_bus_message_append(userdata, "{sv}", name, "t", value);
}

int bus_container_method_statistics(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        r = bus_reply_open_array(m, "{sv}", &reply);
        if (r >= 0)
                r = container_get_statistics(userdata, append_statistic, reply, &error);
        if (error_is_set(&error))
                return bus_error_set(ret_error, &error);
        return bus_reply_send_array(reply, r);
}

static int append_process(sd_bus_message *m, const ProcessInfo *p, const char *command) {
        const char state[] = { p->state, 0 };

        return sd_bus_message_append(m, "a{sv}", 9, "PID", "u", p->pid, "ContainerPID", "u", p->container_pid,
                                     "ParentPID", "u", p->parent_pid, "UID", "u", p->uid, "State", "s", state,
                                     "CPUUsageUSec", "t", p->cpu_usec, "MemoryBytes", "t", p->memory_bytes,
                                     "StartedUSec", "t", p->started_usec, "Command", "s", command);
}

static int send_processes(sd_bus_message *m, const uint32_t *pids, char *const *commands, size_t n) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = bus_reply_open_array(m, "a{sv}", &reply);
        for (size_t i = 0; r >= 0 && i < MIN(n, (size_t) PROCESSES_SHOWN_MAX); i++) {
                ProcessInfo info;

                if (process_info_read(pids[i], &info) >= 0) /* else it has just ended */
                        r = append_process(reply, &info, strempty(commands[i]));
        }
        return bus_reply_send_array(reply, r);
}

static void on_processes(int r, const uint32_t *pids, char *const *commands, size_t n, void *userdata) {
        _cleanup_(bus_call_freep) BusCall *call = userdata;
        _cleanup_error_ Error error = ERROR_NULL;

        if (r >= 0)
                r = send_processes(call->message, pids, commands, n);
        if (r < 0) {
                (void) error_set_errno(&error, r, "The processes cannot be listed: %m");
                (void) bus_error_reply(call->message, &error);
        }
}

int bus_container_method_get_processes(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusCall *call = bus_call_new(bus_current(sd_bus_message_get_bus(m)), m);
        _cleanup_error_ Error error = ERROR_NULL;
        Container *c = userdata;
        int r;

        if (!call)
                return -ENOMEM;
        r = container_list_processes(c, on_processes, call);
        if (r >= 0)
                return 1;

        bus_call_free(call);
        if (r == -ESRCH)
                (void) error_set(&error, r, "NotRunning", "Container %s is not running, it is %s.", c->row.id,
                                 container_state_to_string(c->state));
        else
                (void) error_set_errno(&error, r, "The processes of container %s cannot be listed: %m",
                                       c->row.id);
        return bus_error_set(ret_error, &error);
}
