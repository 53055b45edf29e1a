/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What units run: `unit pull` is moored-image@.service, `unit prepare` the ExecStartPre= of moored@.service.
 * Both read the container's file, so that a changed one counts at the next start; moored itself is told the
 * options only. What is wrong goes to the journal and, as "Name: sentence", to the unit's status text, where
 * systemctl shows it and moored finds it. `verify` says it beforehand. */

#include <inttypes.h>
#include <limits.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/container-file.h"
#include "ctl/create-call.h"
#include "ctl/job.h"

#define UNIT_NAMESPACE "default"
/* Layers that are lost may have to be unpacked again, which is not what the start timeout is for. */
#define PATIENCE_USEC (5 * USEC_PER_SEC)
#define EXTEND_USEC (30 * USEC_PER_SEC)
/* moored may not have heard yet that the last run has ended; or be killed. */
#define ATTEMPTS_MAX 100U
#define ATTEMPT_DELAY_USEC (50 * USEC_PER_MSEC)

static const CreateDescriptors no_fds = { { -EBADF, -EBADF, -EBADF }, -EBADF };

static int load(const char *name, ContainerFile *f, Error *reterr_error) {
        int r;

        r = container_file_load(name, f, reterr_error);
        return r < 0 ? r : container_file_check(f, reterr_error);
}

/* -- pull -- */

static int image_is_here(Ctl *c, const char *image, Error *reterr_error) {
        _cleanup_free_ char *path = namespace_path(c->ns);

        if (!path)
                return error_oom(reterr_error);
        for (unsigned i = 1;; i++) {
                _cleanup_error_ Error error = ERROR_NULL;
                int r;

                r = ctl_call(c, path, BUS_NAMESPACE, "GetImage", NULL, &error, "s", image);
                if (r >= 0)
                        return 1;
                if (error_has_name(&error, "NoSuchImage"))
                        return 0;
                if (!error_has_name(&error, "NoReply") || i >= ATTEMPTS_MAX)
                        return error_move(reterr_error, &error);
                (void) usleep(ATTEMPT_DELAY_USEC);
        }
}

static int unit_pull(Ctl *c, const ContainerFile *f, Error *reterr_error) {
        int r;

        if (f->options.pull == PULL_NEVER)
                return 0;
        if (f->options.pull == PULL_MISSING) {
                r = image_is_here(c, f->image, reterr_error);
                if (r != 0)
                        return r;
        }
        (void) sd_notifyf(false, "STATUS=Pulling %s", f->image);
        r = job_pull(c, f->image, f->options.platform, NULL, reterr_error);
        if (r >= 0)
                (void) sd_notifyf(false, "STATUS=Pulled %s", f->image);
        return r;
}

/* -- prepare -- */

typedef struct PatientCall {
        bool answered, again;
        Error error;
} PatientCall;

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        PatientCall *p = userdata;

        p->answered = true;
        if (e) {
                (void) bus_error_to_error(e, 0, &p->error);
                p->again = bus_error_is_lost(e) || error_has_name(&p->error, "ContainerRunning") ||
                           error_has_name(&p->error, "Busy");
        }
        return 1;
}

static int wait_patiently(Ctl *c, PatientCall *p) {
        int r = 0;

        while (!p->answered) {
                r = sd_bus_process(c->bus, NULL);
                if (r == 0) {
                        r = sd_bus_wait(c->bus, PATIENCE_USEC);
                        if (r == 0)
                                (void) sd_notifyf(false, "EXTEND_TIMEOUT_USEC=%" PRIu64, EXTEND_USEC);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int prepare_once(Ctl *c, ContainerFile *f, bool *ret_again, Error *reterr_error) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        PatientCall p = {};
        int r;

        r = new_create_call(c, "CreateContainer", f->name, f->image, &f->options, f->command, &no_fds, &m,
                            reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_call_async(c->bus, &slot, m, on_reply, &p, UINT64_MAX);
        if (r >= 0)
                r = wait_patiently(c, &p);
        *ret_again = p.again;
        if (error_is_set(&p.error))
                return error_move(reterr_error, &p.error);
        return r < 0 ? bus_error_to_error(NULL, r, reterr_error) : 0;
}

static int unit_prepare(Ctl *c, ContainerFile *f, Error *reterr_error) {
        _cleanup_free_ char *unit = strjoin("moored@", f->name, ".service");

        if (!unit)
                return error_oom(reterr_error);
        f->options.unit = unit;
        for (unsigned i = 1;; i++) {
                _cleanup_error_ Error error = ERROR_NULL;
                bool again = false;
                int r;

                r = prepare_once(c, f, &again, &error);
                if (r >= 0)
                        return 0;
                if (!again || i >= ATTEMPTS_MAX)
                        return error_move(reterr_error, &error);
                (void) usleep(ATTEMPT_DELAY_USEC);
        }
}

/* -- the verb -- */

static int unit_run(Ctl *c, const char *what, const char *name, Error *reterr_error) {
        _cleanup_(container_file_done) ContainerFile f = {};
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        c->ns = UNIT_NAMESPACE;
        r = load(name, &f, &error);
        if (r >= 0)
                r = streq(what, "pull") ? unit_pull(c, &f, &error) : unit_prepare(c, &f, &error);
        if (r >= 0)
                return EXIT_SUCCESS;

        (void) sd_notifyf(false, "STATUS=%s: %s", error_name(&error), error_message(&error));
        return error_move(reterr_error, &error);
}

static int unit_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        if (!streq(args[0], "pull") && !streq(args[0], "prepare"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "Usage: moorctl unit pull NAME or prepare NAME");
        return unit_run(c, args[0], args[1], reterr_error);
}

const Verb verb_unit = {
        .name = "unit",
        .group = VERB_GROUP_SYSTEM,
        .arguments = "pull|prepare NAME",
        .summary = "Do a step of starting moored@NAME.service",
        .description = "For units, not for people, who say: systemctl start moored@NAME.service\n\n"
                       "pull pulls the image that the container's file names, if it is not here (Pull=);\n"
                       "prepare makes the container. See moored.container(5).\n",
        .min_args = 2,
        .max_args = 2,
        .run = unit_main,
};

/* -- verify -- */

typedef struct Verify {
        unsigned problems;
        bool offline; /* moored cannot be asked */
} Verify;

/* What only moored can know. */
static int verify_by_moored(Ctl *c, const ContainerFile *f, Verify *v, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        r = ctl_connect(c, &error);
        if (r >= 0)
                r = new_create_call(c, "CheckContainer", f->name, f->image, &f->options, f->command, &no_fds,
                                    &m, &error);
        if (r >= 0)
                r = ctl_call_message(c, m, NULL, &error);
        if (r >= 0)
                return 0;
        if (!c->bus || error_has_name(&error, "NotRunning")) {
                v->offline = true;
                return 0;
        }
        if (error_has_name(&error, "AccessDenied"))
                return error_move(reterr_error, &error);
        fprintf(stderr, "%s: %s\n", f->name, error_message(&error));
        v->problems++;
        return 0;
}

static int verify_one(Ctl *c, const char *name, Verify *v, Error *reterr_error) {
        _cleanup_(container_file_done) ContainerFile f = {};
        _cleanup_error_ Error error = ERROR_NULL;
        int r;

        r = container_file_load(name, &f, &error);
        if (r == -ENOMEM)
                return error_move(reterr_error, &error);
        if (r < 0) {
                fprintf(stderr, "%s\n", error_message(&error));
                v->problems++;
                return 0;
        }
        STRV_FOREACH(p, f.problems) {
                fprintf(stderr, "%s\n", p);
                v->problems++;
        }
        return strv_length(f.problems) > 0 ? 0 : verify_by_moored(c, &f, v, reterr_error);
}

static int verify_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_strv_free_ char **all = NULL;
        _cleanup_free_ char **args = NULL;
        Verify v = {};
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        c->ns = UNIT_NAMESPACE;
        if (!args[0]) {
                r = container_file_list(&all, reterr_error);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(name, args[0] ? args : all) {
                r = verify_one(c, name, &v, reterr_error);
                if (r < 0)
                        return r;
        }
        if (v.offline && !c->quiet)
                fprintf(stderr,
                        "moored does not run, so that only the files themselves could be looked at.\n");
        return v.problems > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const Verb verb_verify = {
        .name = "verify",
        .group = VERB_GROUP_SYSTEM,
        .arguments = "[NAME|FILE…]",
        .summary = "Look for mistakes in files of moored@.service's containers",
        .description = "Prints what is wrong in " MOORED_CONF_DIR
                       "/containers/NAME.conf and its drop-ins, with file and\n"
                       "line, and fails if anything is; without an argument, in all of them. A FILE has a slash in its\n"
                       "name. What is wrong with a unit's own drop-ins says: systemd-analyze verify moored@NAME.service\n\n"
                       "Examples:\n"
                       "  moorctl verify web\n"
                       "  moorctl verify ./web.conf\n",
        .max_args = UINT_MAX,
        .run = verify_main,
};
