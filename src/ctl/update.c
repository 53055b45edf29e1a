/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* update: limits of containers that exist. What the options make are assignments of unit properties, which
 * moored understands as RunContainer() does. */

#include <limits.h>

#include "ctl/bus-util.h"
#include "ctl/container-calls.h"
#include "ctl/create-bag.h"
#include "ctl/limit-options.h"

typedef struct UpdateOptions {
        LimitOptions limits; /* the first */
} UpdateOptions;

static int append_limits(sd_bus_message *m, const ContainerCalls *calls) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r >= 0)
                r = bag_append_strv(m, "Properties", calls->properties);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int update_main(Ctl *c, char **argv, Error *reterr_error) {
        ContainerCalls calls = { .member = "Update", .append = append_limits };
        _cleanup_free_ char **args = NULL;
        UpdateOptions o = {};
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r > 0) {
                calls.ids = args;
                r = limit_options_finish(&o.limits, reterr_error);
                calls.properties = o.limits.properties;
                if (r >= 0 && !calls.properties)
                        r = error_set(reterr_error, -EINVAL, "InvalidArgument",
                                      "There is nothing to change: moorctl update --memory=1G %s", args[0]);
                if (r >= 0)
                        r = container_calls_run(c, &calls, reterr_error);
        }
        limit_options_done(&o.limits);
        return r;
}

static const Option update_options[] = {
        { 'p', "property", "NAME=VALUE", OPTION_CUSTOM, .apply = limit_apply_property,
          .help = "A limit by its name: MemoryMax, MemoryHigh,\nCPUQuota, CPUWeight, IOWeight, …" },
        LIMIT_OPTIONS,
        OPTION_END,
};

const Verb verb_update = {
        .name = "update",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "OPTION… CONTAINER…",
        .summary = "Change limits of containers",
        .description =
                "At once, if they run, and for all starts to come. \"infinity\" takes a limit away.\n\n"
                "Examples:\n"
                "  moorctl update --memory=1G --cpus=1.5 web\n"
                "  moorctl update -p CPUWeight=idle job1 job2\n",
        .options = update_options,
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = update_main,
};
