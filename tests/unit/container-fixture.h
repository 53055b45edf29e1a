/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* A container against a PID 1 that says what the test wants it to say; store, snapshots and images are real. */

#include "container/bundle.h"
#include "container/container-private.h"
#include "image-fixture.h"

#define NAME "docker.io/library/app:latest"
#define UNIT "moored-default-web.service"
#define INVOCATION_1 "11111111111111111111111111111111"
#define INVOCATION_2 "22222222222222222222222222222222"

/* What PID 1 was asked for. */
typedef struct FakeSystemd {
        unsigned n_start, n_stop, n_kill, n_release, n_refresh;
        UnitStartFunc start_func;
        void *start_userdata;
        char *unit, *exec, *slice; /* of the last start */
        char *stop_post;           /* its verb, or NULL */
        bool is_exec;
        int kill_signal; /* last */
        char whom[8];
        int start_result;
        unsigned n_start_installed, n_follow, n_start_service, n_restart_service;
        char after[64], service[64]; /* of the last start; the last that was started or stopped */
        char link[128]; /* what the host's resolver knows, "INDEX DOMAIN SERVER …", or "" */
} FakeSystemd;

typedef struct Test {
        Fixture *f;
        char *runtime;
        ContainerManager *m;
        FakeSystemd systemd;
        char *log; /* topics of events: "created exited(7) …" */
        /* of the last answers */
        unsigned n_answers;
        Container *answer;
        Exec *exec; /* the answer, where an exec was asked for */
        char *answer_error;
} Test;

static inline int fake_check(void *backend, char *const *properties, Error *e) {
        STRV_FOREACH(p, properties)
                if (startswith(p, "Bad"))
                        return error_set(e, -EINVAL, "InvalidArgument", "bad property");
        return 0;
}

static inline int fake_start(void *backend, const UnitSpec *spec, UnitStartFunc func, void *userdata) {
        FakeSystemd *s = backend;

        if (s->start_result < 0)
                return s->start_result;
        s->n_start++;
        s->start_func = func;
        s->start_userdata = userdata;
        s->is_exec = spec->exec;
        snprintf(s->after, sizeof(s->after), "%s", strempty(spec->after));
        free(s->unit);
        s->unit = strdup(spec->name);
        free(s->exec);
        s->exec = strv_join(spec->exec_start, " ");
        free(s->slice);
        s->slice = strdup(spec->slice);
        free(s->stop_post);
        s->stop_post = spec->exec_stop_post ? strdup(spec->exec_stop_post[1]) : NULL;
        return 0;
}

static inline int fake_stop(void *backend, const char *unit, void (*func)(int r, const Error *e, void *userdata),
                     void *userdata) {
        FakeSystemd *s = backend;

        s->n_stop++;
        snprintf(s->service, sizeof(s->service), "%s", unit);
        func(0, NULL, userdata);
        return 0;
}

static inline int fake_kill(void *backend, const char *unit, const char *whom, int signo,
                     void (*func)(int r, const Error *e, void *userdata), void *userdata) {
        FakeSystemd *s = backend;

        s->n_kill++;
        s->kill_signal = signo;
        snprintf(s->whom, sizeof(s->whom), "%s", whom);
        func(0, NULL, userdata);
        return 0;
}

static inline int fake_release(void *backend, const char *unit) {
        ((FakeSystemd *) backend)->n_release++;
        return 0;
}

static inline int fake_refresh(void *backend, const char *unit) {
        ((FakeSystemd *) backend)->n_refresh++;
        return 0;
}

static inline int fake_start_installed(void *backend, const char *unit, UnitStartFunc func, void *userdata) {
        FakeSystemd *s = backend;

        assert_string_equal(unit, "moored@web.service");
        s->n_start_installed++;
        s->start_func = func;
        s->start_userdata = userdata;
        return 0;
}

static inline int fake_start_service(void *backend, const char *unit,
                                     void (*func)(int r, const Error *e, void *userdata), void *userdata) {
        FakeSystemd *s = backend;

        s->n_start_service++;
        snprintf(s->service, sizeof(s->service), "%s", unit);
        func(0, NULL, userdata);
        return 0;
}

static inline int fake_restart_service(void *backend, const char *unit,
                                       void (*func)(int r, const Error *e, void *userdata), void *userdata) {
        FakeSystemd *s = backend;

        s->n_restart_service++;
        snprintf(s->service, sizeof(s->service), "%s", unit);
        func(0, NULL, userdata);
        return 0;
}

static inline int fake_follow(void *backend, const char *unit) {
        assert_string_equal(unit, "moored@web.service");
        ((FakeSystemd *) backend)->n_follow++;
        return 0;
}

static inline void fake_set_names_link(void *backend, const NamesLink *l) {
        FakeSystemd *s = backend;
        char text[ADDRESS_TEXT_MAX];

        snprintf(s->link, sizeof(s->link), "%i %s", l->index, l->domain);
        for (size_t i = 0; i < l->n_servers; i++)
                snprintf(s->link + strlen(s->link), sizeof(s->link) - strlen(s->link), " %s",
                         address_format(l->servers + i, text));
}

static inline void fake_revert_names_link(void *backend, int index) {
        FakeSystemd *s = backend;

        if (atoi(s->link) == index)
                s->link[0] = '\0';
}

static const UnitBackend fake_backend = {
        .check_properties = fake_check,
        .start = fake_start,
        .start_installed = fake_start_installed,
        .start_service = fake_start_service,
        .restart_service = fake_restart_service,
        .follow = fake_follow,
        .stop = fake_stop,
        .kill = fake_kill,
        .release = fake_release,
        .refresh = fake_refresh,
        .set_names_link = fake_set_names_link,
        .revert_names_link = fake_revert_names_link,
};

static inline void on_event(NotifyType type, const char *ns, const char *name, void *object, void *userdata) {
        const EventRow *row = object;
        Test *t = userdata;
        char *more;

        if (type != NOTIFY_EVENT || !startswith(row->topic, "container/"))
                return;
        more = strjoin(t->log, isempty(t->log) ? "" : " ", row->topic + strlen("container/"));
        assert_non_null(more);
        free(t->log);
        t->log = more;
}

static inline void assert_log(Test *t, const char *want) {
        assert_string_equal(t->log, want);
        t->log[0] = 0;
}

static inline void test_start(Test *t) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (container_manager_new(t->f->event, t->f->store, t->f->snapshots, t->f->images, t->f->events,
                                  t->runtime, &t->m, &e) < 0)
                fail_msg("%s", error_message(&e));
        container_manager_set_backend(t->m, &fake_backend, &t->systemd);
        assert_int_equal(events_subscribe(t->f->events, on_event, t), 0);
        assert_int_equal(container_manager_load(t->m, &e), 0);
}

static inline int setup(void **state) {
        _cleanup_(test_image_done) TestImage image = {};
        Test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->f = fixture_new("/bin/true");
        t->runtime = path_join(t->f->path, "run");
        t->log = strdup("");
        make_image(&image, "one", "amd64", -1);
        put_image(t->f, &image);
        put_layers(t->f, &image);
        assert_int_equal(name_image(t->f, "default", NAME, image.manifest_digest, "linux/amd64", NULL), 0);
        test_start(t);
        assert_int_equal(container_manager_recovered(t->m), 0);
        *state = t;
        return 0;
}

static inline int teardown(void **state) {
        Test *t = *state;

        container_manager_free(t->m);
        fixture_free(t->f);
        free(t->runtime);
        free(t->systemd.unit);
        free(t->systemd.exec);
        free(t->systemd.slice);
        free(t->systemd.stop_post);
        free(t->log);
        free(t->answer_error);
        free(t);
        return 0;
}

/* As if killed: nothing is told to anybody. */
static inline void restart(Test *t) {
        container_manager_free(t->m);
        fixture_stop(t->f);
        fixture_start(t->f, false);
        t->systemd.start_func = NULL;
        test_start(t);
}

static inline void on_answer(Container *c, const Error *error, void *userdata) {
        Test *t = userdata;

        t->n_answers++;
        t->answer = c;
        free(t->answer_error);
        t->answer_error = error ? strdup(error_name(error)) : NULL;
}

static inline ContainerOptions options(bool auto_remove) {
        return (ContainerOptions){ .stop_timeout_usec = UINT64_MAX,
                                   .privileged_seccomp = true,
                                   .auto_remove = auto_remove };
}

static inline int run(Test *t, ContainerOptions o, Error *e) {
        int r;

        r = container_run(t->m, "default", "web", "app", &o, NULL, on_answer, t, e);
        container_options_done(&o);
        return r;
}

static inline Container *web(Test *t) {
        return container_find(t->m, "default", "web", NULL);
}

static inline UnitStatus running(const char *invocation) {
        return (UnitStatus){
                .loaded = true,
                .launcher = true,
                .active_state = (char *) "active",
                .sub_state = (char *) "running",
                .active_enter_usec = 1,
                .main_pid = 4711,
                .exec_main_start_usec = 100,
                .result = (char *) "success",
                .invocation_id = (char *) invocation,
        };
}

static inline UnitStatus ended(const char *invocation, int code, int status, const char *result) {
        UnitStatus u = running(invocation);

        u.active_state = streq(result, "success") ? (char *) "active" : (char *) "failed";
        u.sub_state = streq(result, "success") ? (char *) "exited" : (char *) "failed";
        u.main_pid = 0;
        u.exec_main_code = code;
        u.exec_main_status = status;
        u.exec_main_exit_usec = 200;
        u.result = (char *) result;
        return u;
}

static inline void tell(Test *t, UnitStatus u) {
        container_unit_changed(t->m, UNIT, &u);
}

static inline void tell_gone(Test *t) {
        tell(t, (UnitStatus){});
}

static inline void started(Test *t) {
        UnitStatus u = running(INVOCATION_1);

        t->systemd.start_func(0, &u, NULL, t->systemd.start_userdata);
}

static inline void loop(Test *t) {
        while (sd_event_run(t->f->event, 0) > 0)
                ;
}

/* Nothing of a container is left: object, row, snapshot, bundle. */
static inline void assert_nothing_left(Test *t) {
        assert_null(web(t));
        assert_int_equal(store_container_remove(t->f->store, "default", "web"), -ENOENT);
        assert_false(bundle_exists(t->m->containers_fd, "default", "web"));
        assert_int_equal(count_entries(t->f, "run/containers/default"), 0);
        assert_int_equal(count_entries(t->f, "snapshots/overlay/2"), 0);
}

