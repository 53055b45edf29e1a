/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "ctl/bus-util.h"

static int print_result(Ctl *c, int code, const char *output, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        size_t l = strlen(output);

        if (c->json != OUTPUT_OFF) {
                j = json_pack("{s:i, s:s}", "ExitCode", code, "Output", output);
                return j ? ctl_output(c, NULL, j, reterr_error) : error_oom(reterr_error);
        }
        if (!c->quiet)
                printf("%s%s", output, l > 0 && output[l - 1] != '\n' ? "\n" : "");
        return 0;
}

static int run_check(Ctl *c, const char *id, Error *reterr_error) {
        _cleanup_free_ char *path = container_path(c->ns, id);
        _cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
        const char *output;
        int32_t code;
        int r;

        if (!path)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        r = ctl_new_call(c, path, BUS_CONTAINER, "RunHealthCheck", &m, reterr_error);
        if (r >= 0)
                r = container_call_message(c, id, m, &reply, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "is", &code, &output);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        r = print_result(c, code, output, reterr_error);
        if (r < 0)
                return r;
        if (code == -1 && !c->quiet)
                fprintf(stderr, "moorctl: the health check of %s took too long\n", id);
        return code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int healthcheck_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        if (!streq(args[0], "run"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "healthcheck has one verb of its own, run, not '%s'.", args[0]);
        return run_check(c, args[1], reterr_error);
}

const Verb verb_healthcheck = {
        .name = "healthcheck",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "run CONTAINER",
        .summary = "Check a container's health now",
        .description =
                "Runs its health check and prints what that printed; it counts as any other. The exit status is\n"
                "0 if it has succeeded, 1 if not, 125 if it could not be run.\n\n"
                "Example:\n"
                "  moorctl healthcheck run web && echo well\n",
        .min_args = 2,
        .max_args = 2,
        .failure = EXIT_MOORED_FAILED,
        .run = healthcheck_main,
};
