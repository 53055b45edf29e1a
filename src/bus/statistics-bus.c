/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-call.h"
#include "bus/bus-error.h"
#include "bus/statistics-bus.h"
#include "basic/string-util.h"
#include "container/statistics.h"

static int append_statistic(const char *name, uint64_t value, void *userdata) {
        return sd_bus_message_append(userdata, "{sv}", name, "t", value);
}

/* An answer that PID 1's counters are still missing from. */
typedef struct TrafficCall {
        BusCall *call;
        sd_bus_message *reply;
} TrafficCall;

static void traffic_call_free(TrafficCall *t) {
        sd_bus_message_unref(t->reply);
        free(t);
}

/* Without them, if it does not tell. */
static void on_traffic(int r, const UnitTraffic *traffic, void *userdata) {
        TrafficCall *t = userdata;

        r = r < 0 ? 0 : traffic_foreach(traffic, append_statistic, t->reply);
        bus_call_finish(t->call, bus_reply_send_array(t->reply, r));
        traffic_call_free(t);
}

/* 0: there is nothing to be asked. */
static int ask_traffic(const Container *c, sd_bus_message *m, sd_bus_message *reply) {
        _cleanup_free_ TrafficCall *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        t->call = bus_call_new(bus_current(sd_bus_message_get_bus(m)), m);
        if (!t->call)
                return -ENOMEM;
        t->reply = sd_bus_message_ref(reply);
        r = container_ask_traffic(c, on_traffic, t);
        if (r > 0) {
                TAKE_PTR(t);
                return r;
        }
        sd_bus_message_unref(t->reply);
        bus_call_free(t->call);
        return 0;
}

int bus_container_method_statistics(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        int r, asked;

        r = bus_reply_open_array(m, "{sv}", &reply);
        if (r >= 0)
                r = container_get_statistics(userdata, append_statistic, reply, &error);
        if (error_is_set(&error))
                return bus_error_set(ret_error, &error);
        if (r >= 0) {
                asked = ask_traffic(userdata, m, reply);
                if (asked != 0)
                        return asked;
        }
        return bus_reply_send_array(reply, r);
}

static int append_process(sd_bus_message *m, uint32_t pid, const char *command) {
        ProcessInfo p;
        char state[2] = {};

        if (process_info_read(pid, &p) < 0) /* it has just ended */
                return 0;
        state[0] = p.state;
        return sd_bus_message_append(m, "a{sv}", 9, "PID", "u", p.pid, "ContainerPID", "u", p.container_pid,
                                     "ParentPID", "u", p.parent_pid, "UID", "u", p.uid, "State", "s", state,
                                     "CPUUsageUSec", "t", p.cpu_usec, "MemoryBytes", "t", p.memory_bytes,
                                     "StartedUSec", "t", p.started_usec, "Command", "s", command);
}

static int send_processes(sd_bus_message *m, const uint32_t *pids, char *const *commands, size_t n) {
        bool list = streq(sd_bus_message_get_member(m), "ListProcesses");
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        if (!list)
                n = MIN(n, (size_t) PROCESSES_SHOWN_MAX);
        r = bus_reply_open_array(m, list ? "(us)" : "a{sv}", &reply);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                const char *command = strempty(commands[i]);

                r = list ? sd_bus_message_append(reply, "(us)", pids[i], command)
                         : append_process(reply, pids[i], command);
        }
        return bus_reply_send_array(reply, r);
}

static void on_processes(int r, const uint32_t *pids, char *const *commands, size_t n, void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        BusCall *call = userdata;

        if (r >= 0)
                r = send_processes(call->message, pids, commands, n);
        if (r < 0) {
                (void) error_set_errno(&error, r, "The processes cannot be listed: %m");
                r = bus_error_reply(call->message, &error);
        }
        bus_call_finish(call, r);
}

int bus_container_method_processes(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusCall *call = bus_call_new(bus_current(sd_bus_message_get_bus(m)), m);
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        if (!call)
                return -ENOMEM;
        r = container_list_processes(userdata, on_processes, call, &error);
        return bus_call_pending(call, r, &error, ret_error);
}
