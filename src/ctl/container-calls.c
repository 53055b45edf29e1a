/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/container-calls.h"

#include "basic/strv.h"
#include "ctl/bus-util.h"

static int calls_make(Ctl *c, size_t i, sd_bus_message **ret, void *userdata, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        ContainerCalls *calls = userdata;
        const char *interface;
        int r;

        path = container_or_exec_path(c->ns, calls->ids[i], &interface);
        if (!path)
                return error_oom(reterr_error);
        r = ctl_new_call(c, path, interface, calls->member, &m, reterr_error);
        if (r < 0)
                return r;
        r = calls->append ? calls->append(m, calls) : 0;
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        *ret = TAKE_PTR(m);
        return 0;
}

int container_calls_failed(Ctl *c, ContainerCalls *calls, const char *id, const sd_bus_error *e,
                           Error *reterr_error) {
        _cleanup_error_ Error error = ERROR_NULL;

        if (calls->ignore_missing && bus_error_is_unknown_object(e))
                return 0;
        calls->n_failed++;
        (void) container_error(c, id, e, &error);
        if (strv_length(calls->ids) == 1)
                return error_move(reterr_error, &error);
        fprintf(stderr, "moorctl: %s: %s\n", id, error_message(&error));
        return 0;
}

static int calls_done(Ctl *c, size_t i, sd_bus_message *reply, void *userdata, Error *reterr_error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        ContainerCalls *calls = userdata;
        const char *signal_name;
        int r;

        if (e)
                return container_calls_failed(c, calls, calls->ids[i], e, reterr_error);
        if (calls->codes) {
                r = sd_bus_message_read(reply, "is", &calls->codes[i], &signal_name);
                if (r < 0)
                        return bus_error_to_error(NULL, r, reterr_error);
        }
        return 0;
}

int container_calls_run(Ctl *c, ContainerCalls *calls, Error *reterr_error) {
        BusBatch batch = {
                .n = strv_length(calls->ids), .make = calls_make, .done = calls_done, .userdata = calls
        };
        int r;

        if (calls->run)
                return calls->run(c, calls, reterr_error);

        ctl_start_agent(c);
        r = ctl_batch(c, &batch, reterr_error);
        if (r < 0)
                return r;
        return calls->n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int container_list(Ctl *c, sd_bus_message **ret, Error *reterr_error) {
        _cleanup_free_ char *path = namespace_path(c->ns);
        int r;

        if (!path)
                return error_oom(reterr_error);
        r = ctl_call(c, path, BUS_NAMESPACE, "ListContainers", ret, reterr_error, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(*ret, SD_BUS_TYPE_ARRAY, "(sos)");
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

int container_ids_by_state(Ctl *c, const char *const *states, char ***ret, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **ids = NULL;
        const char *id, *state;
        int r;

        r = container_list(c, &reply, reterr_error);
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(sos)", &id, NULL, &state)) > 0)
                if (strv_contains((char *const *) states, state) && strv_extend(&ids, id) < 0)
                        return error_oom(reterr_error);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        *ret = TAKE_PTR(ids);
        return 0;
}

int container_calls_run_all(Ctl *c, ContainerCalls *calls, char **args, const char *const *states,
                            Error *reterr_error) {
        _cleanup_strv_free_ char **ids = NULL;
        int r;

        if (calls->all == (args[0] != NULL))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 calls->all ? "--all and names of containers contradict each other."
                                            : "Which containers? Name them, or use --all.");
        if (!calls->all) {
                calls->ids = args;
                return container_calls_run(c, calls, reterr_error);
        }

        r = container_ids_by_state(c, states, &ids, reterr_error);
        if (r < 0 || !ids)
                return r < 0 ? r : EXIT_SUCCESS;
        calls->ids = ids;
        calls->ignore_missing = true;
        return container_calls_run(c, calls, reterr_error);
}

int container_calls_main(Ctl *c, char **argv, ContainerCalls *calls, const char *const *states,
                         Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, calls, &args, reterr_error);
        return r <= 0 ? r : container_calls_run_all(c, calls, args, states, reterr_error);
}
