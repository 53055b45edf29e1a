/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/foreground.h"

#include "basic/string-util.h"
#include "ctl/bus-util.h"

static int apply_sig_proxy(const char *value, void *target, Error *reterr_error) {
        AttachOptions *o = target;
        int b = parse_boolean(value);

        if (b < 0)
                return error_set(reterr_error, -EINVAL, "InvalidArgument", "--sig-proxy= is yes or no, not '%s'.",
                                 value);
        o->sig_proxy = b;
        o->sig_proxy_set = true;
        return 0;
}

static int attach_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        AttachOptions o = {};
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        if (c->host)
                return error_set(reterr_error, -EOPNOTSUPP, "InvalidArgument",
                                 "A terminal cannot be passed here from %s: ssh -t %s moorctl attach %s", c->host,
                                 c->host, args[0]);
        if (!o.sig_proxy_set)
                o.sig_proxy = !o.no_stdin;
        ctl_start_agent(c);
        return attach_foreground(c, &o, args[0], reterr_error);
}

static const Option attach_options[] = {
        { 0, "detach-keys", "KEYS", OPTION_STRING, offsetof(AttachOptions, detach_keys),
          .help = "What leaves the terminal (default: ctrl-p,ctrl-q;\nempty: nothing)" },
        { 0, "no-stdin", NULL, OPTION_FLAG, offsetof(AttachOptions, no_stdin),
          .help = "Only look: standard input is not passed on" },
        { 0, "sig-proxy", "BOOL", OPTION_CUSTOM, .apply = apply_sig_proxy,
          .help = "Pass signals on to the container (default: yes,\nbut for --no-stdin)" },
        OPTION_END,
};

const Verb verb_attach = {
        .name = "attach",
        .group = VERB_GROUP_CONTAINERS,
        .arguments = "[OPTION…] CONTAINER[/EXEC]",
        .summary = "Join the terminal or the streams of a running container",
        .description =
                "A container that was made with -t: its terminal, beginning with what it has shown last; Ctrl-P\n"
                "Ctrl-Q leaves it. Several may be there at once. One that was made with -i alone: what it logs\n"
                "from now on, and our standard input is its; where ours ends its ends as well. If the container\n"
                "ends, its exit code becomes moorctl's.\n\n"
                "Examples:\n"
                "  moorctl run -d -it --name shell debian bash && moorctl attach shell\n"
                "  echo 'select 1;' | moorctl attach db\n"
                "  moorctl attach --no-stdin shell\n",
        .options = attach_options,
        .min_args = 1,
        .max_args = 1,
        .run = attach_main,
};
