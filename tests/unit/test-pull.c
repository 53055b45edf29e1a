/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's side of pulls and unpacking; pull-fixture.h has the helpers that it meets. */

#include "pull-fixture.h"

/* -- pulls ---------------------------------------------------------------------------------------------------------------- */

static void test_pull(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        uint64_t id;
        Image *i;
        Job *j;

        make_image(&t, "first,second,third", "amd64", -1);
        publish(&t, "latest");
        j = pull(f, "app");
        assert_int_equal(j->state, JOB_RUNNING);
        assert_done(f, j);
        assert_string_equal(j->result_object, APP);
        assert_int_equal(j->n_parts, 4);
        for (size_t k = 0; k < j->n_parts; k++) {
                assert_string_equal(j->parts[k].phase, "done");
                assert_int_equal(j->parts[k].done, j->parts[k].total);
                assert_false(j->parts[k].reused);
        }
        assert_int_equal(j->bytes_done, strlen(t.config) + strlen("firstsecondthird"));
        assert_int_equal(j->bytes_total, j->bytes_done);

        i = image_find(f->images, "default", "app", NULL);
        assert_non_null(i);
        assert_true(i->unpacked);
        assert_int_equal(image_get_snapshot(f->images, i, &id, NULL), 0);
        assert_int_equal(count_rows(f, "snapshots WHERE ready = 1"), 3);
        assert_int_equal(count_rows(f, "leases"), 0);
        assert_left(f, 5, 3, 0);
        assert_int_equal(count_rows(f, "snapshots WHERE synced = 1"), 3);
        assert_int_equal(logged("manifest"), 1);
        assert_int_equal(logged("blob"), 4);
        assert_int_equal(logged("unpack"), 3);

        /* Again: only the manifest is asked for. */
        j = pull(f, "app");
        assert_done(f, j);
        assert_true(j->parts[0].reused && j->parts[3].reused);
        assert_int_equal(logged("manifest"), 2);
        assert_int_equal(logged("blob"), 4);
        assert_int_equal(logged("unpack"), 3);

        /* By digest. */
        _cleanup_free_ char *by_digest = strjoin("app@", t.manifest_digest);
        assert_done(f, pull(f, by_digest));
        assert_int_equal(image_count(f->images, "default"), 2);
        assert_int_equal(logged("blob"), 4);
        assert_left(f, 5, 3, 0);
}

static void test_new_version(void **state) {
        _cleanup_(test_image_done) TestImage t = {}, u = {};
        Fixture *f = *state;

        make_image(&t, "base,old", "amd64", -1);
        make_image(&u, "base,new", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull(f, "app"));
        publish(&u, "latest");
        assert_done(f, pull(f, "app"));
        assert_string_equal(image_find(f->images, "default", "app", NULL)->row.digest, u.manifest_digest);
        assert_int_equal(logged_digest("blob", t.layer_digests[0]), 1);
        assert_left(f, 4, 2, 0);
}

static void test_platform(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        _cleanup_free_ char *index = NULL;
        Fixture *f = *state;

        make_image(&a, "intel", "amd64", -1);
        make_image(&b, "arm", "arm64", -1);
        publish(&a, "a");
        publish(&b, "b");
        index = make_index(&a, "amd64", &b, "arm64");
        registry_write("manifest-", "latest", index);

        assert_done(f, pull_with(f, "app", "linux/arm64", true));
        assert_string_equal(image_find(f->images, "default", "app", NULL)->row.manifest_digest, b.manifest_digest);
        assert_int_equal(logged_digest("blob", a.layer_digests[0]), 0);
        assert_left(f, 4, 1, 0);

        assert_failed(f, pull_with(f, "app:latest", "linux/riscv64", true), "NoSuchPlatform");
        assert_left(f, 4, 1, 0);

        /* The manifest of the platform is here already: it is not asked for again. */
        assert_int_equal(logged("manifest"), 3);
        assert_done(f, pull_with(f, "app", "linux/arm64", true));
        assert_int_equal(logged("manifest"), 4);
}

static void test_same_layer_twice(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "same,same,other,same", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull(f, "app"));
        assert_int_equal(logged("blob"), 3);
        assert_int_equal(logged("unpack"), 4);
        assert_left(f, 4, 4, 0);
}

static void test_no_layers(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull(f, "app"));
        assert_true(image_find(f->images, "default", "app", NULL)->unpacked);
        assert_left(f, 2, 0, 0);
}

/* -- several at once ------------------------------------------------------------------------------------------------------ */

static void test_two_share(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;
        Job *j, *k;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        fault(a.layer_digests[0], "hang");
        j = pull(f, "app:a");
        run_until_logged(f, "half", a.layer_digests[0]);
        k = pull(f, "app:b");
        run_until_logged(f, "unpack", b.diff_ids[1]); /* beside it */
        assert_int_equal(j->state, JOB_RUNNING);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_done(f, k);
        assert_int_equal(logged_digest("blob", a.layer_digests[0]), 1);
        assert_int_equal(logged_digest("unpack", a.diff_ids[0]), 1);
        assert_int_equal(logged("blob"), 5);
        assert_left(f, 7, 3, 0);
}

static void test_same_image_at_once(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j[4];

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        for (size_t i = 0; i < ELEMENTSOF(j); i++)
                j[i] = pull(f, "app");
        for (size_t i = 0; i < ELEMENTSOF(j); i++)
                assert_done(f, j[i]);
        assert_int_equal(logged("blob"), 3);
        assert_int_equal(logged("unpack"), 2);
        assert_left(f, 4, 2, 0);
}

/* Who fetches the shared blob is canceled in the middle: the other takes over where it was. */
static void test_cancel_of_the_fetcher(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;
        Job *j, *k;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        fault(a.layer_digests[0], "hang");
        j = pull(f, "app:a");
        run_until_logged(f, "half", a.layer_digests[0]);
        k = pull(f, "app:b");
        run_until_logged(f, "unpack", b.diff_ids[1]);

        assert_int_equal(job_cancel(j), 0);
        assert_done(f, k);
        _cleanup_free_ char *resumed = strjoin(a.layer_digests[0], " 5");
        assert_int_equal(logged_digest("blob", resumed), 1);
        assert_null(image_find(f->images, "default", "app:a", NULL));
        assert_left(f, 4, 2, 0);
}

static void test_cancel_of_the_waiter(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;
        Job *j, *k;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        fault(a.layer_digests[0], "hang");
        j = pull(f, "app:a");
        run_until_logged(f, "half", a.layer_digests[0]);
        k = pull(f, "app:b");
        run_until_logged(f, "unpack", b.diff_ids[1]);

        assert_int_equal(job_cancel(k), 0);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_int_equal(logged_digest("blob", a.layer_digests[0]), 1);
        assert_left(f, 4, 2, 0);
}

/* The layer that both want is being unpacked when one goes: it is not unpacked twice. */
static void test_cancel_beside_unpacking(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;
        Job *j, *k;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        fault(a.diff_ids[0], "hang");
        j = pull(f, "app:a");
        run_until_logged(f, "unpack", a.diff_ids[0]);
        k = pull(f, "app:b");
        run_until_logged(f, "unpack", b.diff_ids[1]);
        assert_int_equal(job_cancel(j), 0);
        fixture_run(f, 300 * USEC_PER_MSEC); /* a collection takes nothing of it */
        assert_int_equal(k->state, JOB_RUNNING);
        registry_write("", "gate", "");
        assert_done(f, k);
        assert_int_equal(logged_digest("unpack", a.diff_ids[0]), 1);
        assert_left(f, 4, 2, 0);
}

/* -- the end at every point ----------------------------------------------------------------------------------------------- */

static void test_cancel_everywhere(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        const struct {
                const char *fault, *log;
        } points[] = {
                { "manifest", "manifest latest" },
                { t.config_digest, "half" },
                { t.layer_digests[0], "half" },
                { t.layer_digests[1], "half" },
                { t.diff_ids[0], "unpack" },
                { t.diff_ids[1], "unpack" },
        };

        j = pull(f, "app"); /* before anything was said */
        assert_int_equal(job_cancel(j), 0);
        assert_left(f, 0, 0, 0);
        for (size_t i = 0; i < ELEMENTSOF(points); i++) {
                clear_log();
                fault(points[i].fault, "hang");
                j = pull(f, "app");
                if (i == 0)
                        fixture_run_until(f, is_logged, (void *) points[i].log);
                else
                        run_until_logged(f, points[i].log, points[i].fault);
                assert_int_equal(job_cancel(j), 0);
                assert_int_equal(j->state, JOB_CANCELED);
                assert_left(f, 0, 0, 0);
                fault(points[i].fault, NULL);
        }
        assert_int_equal(image_count(f->images, NULL), 0);
        assert_done(f, pull(f, "app"));
        assert_left(f, 4, 2, 0);
}

static void test_faults(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        const struct {
                const char *at, *kind, *error;
                bool kept; /* what is here can be resumed */
        } faults[] = {
                { "manifest", "die", "HelperDied", true },
                { "manifest", "exit", "HelperDied", true },
                { "manifest", "rubbish", "HelperDied", true },
                { "manifest", "close", "HelperDied", true },
                { "manifest", "error:Unauthorized", "Unauthorized", false },
                { "manifest", "wrong-digest", "DigestMismatch", false },
                { t.config_digest, "die", "HelperDied", true },
                { t.config_digest, "extra", "SizeMismatch", false },
                { t.layer_digests[0], "die", "HelperDied", true },
                { t.layer_digests[0], "exit", "HelperDied", true },
                { t.layer_digests[0], "rubbish", "HelperDied", true },
                { t.layer_digests[1], "close", "HelperDied", true },
                { t.layer_digests[1], "error:NoSpace", "NoSpace", false },
                { t.layer_digests[1], "fail:RegistryUnavailable", "RegistryUnavailable", true },
                { t.layer_digests[1], "fail:DigestMismatch", "DigestMismatch", false },
                { t.layer_digests[1], "extra", "SizeMismatch", false },
                { t.layer_digests[1], "busy", "Busy", false },
                { t.layer_digests[1], "unasked", "Failed", false },
                { t.diff_ids[0], "die", "HelperDied", true },
                { t.diff_ids[1], "exit", "HelperDied", true },
                { t.diff_ids[1], "wrong", "HelperDied", true },
                { t.diff_ids[1], "rubbish", "HelperDied", true },
                { t.diff_ids[0], "error:DigestMismatch", "DigestMismatch", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                fault(faults[i].at, faults[i].kind);
                assert_failed(f, pull(f, "app"), faults[i].error);
                fault(faults[i].at, NULL);
                fixture_run_until(f, is_quiet, NULL);
                assert_int_equal(count_rows(f, "snapshots WHERE ready = 0"), 0);
                assert_int_equal(image_count(f->images, NULL), 0);
                if (!faults[i].kept)
                        assert_left(f, 0, 0, 0);

                /* It leaves nothing that disturbs the next. */
                assert_done(f, pull(f, "app"));
                assert_left(f, 4, 2, 0);
                assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
                assert_left(f, 0, 0, 0);
        }
}

static void test_resume(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "first layer,second layer", "amd64", -1);
        publish(&t, "latest");
        fault(t.layer_digests[1], "die");
        assert_failed(f, pull(f, "app"), "HelperDied");
        fixture_run_until(f, is_quiet, NULL);
        assert_int_equal(count_entries(f, "ingest"), 1);
        assert_true(count_rows(f, "leases") > 0);

        /* The lease keeps what is complete, however often garbage is collected. */
        fixture_stop(f);
        fixture_start(f, false);
        fixture_run(f, 500 * USEC_PER_MSEC);
        fault(t.layer_digests[1], NULL);
        assert_done(f, pull(f, "app"));
        _cleanup_free_ char *resumed = strjoin(t.layer_digests[1], " 6");
        assert_int_equal(logged_digest("blob", resumed), 1);
        assert_int_equal(logged_digest("blob", t.layer_digests[0]), 1);
        assert_int_equal(logged_digest("blob", t.config_digest), 1);
        assert_int_equal(count_rows(f, "leases"), 0);
        assert_left(f, 4, 2, 0);
}

static void test_daemon_ends(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        fault(a.layer_digests[0], "hang");
        fault(b.diff_ids[1], "hang");
        (void) pull(f, "app:a");
        run_until_logged(f, "half", a.layer_digests[0]);
        (void) pull(f, "app:b");
        run_until_logged(f, "unpack", b.diff_ids[1]);
        fixture_stop(f); /* the work goes without that one takes over for another */

        fixture_start(f, false);
        assert_int_equal(count_rows(f, "snapshots WHERE ready = 0"), 0);
        fault(b.diff_ids[1], NULL);
        fault(a.layer_digests[0], NULL);
        assert_done(f, pull(f, "app:b"));
        _cleanup_free_ char *resumed = strjoin(a.layer_digests[0], " 5");
        assert_int_equal(logged_digest("blob", resumed), 1);
        assert_int_equal(logged("blob"), 5); /* two of each before: one configuration, one layer */
        assert_done(f, pull(f, "app:a"));
        assert_left(f, 7, 3, 0);
}

static void test_helper_cannot_start(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_int_equal(job_manager_set_helper_path(f->jobs, "/nonexistent/helper"), 0);
        j = pull(f, "app");
        assert_int_equal(j->state, JOB_FAILED);
        assert_non_null(strstr(error_message(&j->error), "/nonexistent/helper"));
        assert_left(f, 0, 0, 0);

        /* Fetching works, unpacking does not. */
        assert_int_equal(job_manager_set_helper_path(f->jobs, f->helper), 0);
        fault("manifest", "hang");
        j = pull(f, "app");
        run_until_logged(f, "manifest", "latest");
        assert_int_equal(job_manager_set_helper_path(f->jobs, "/nonexistent/helper"), 0);
        registry_write("", "gate", "");
        run_job(f, j);
        assert_int_equal(j->state, JOB_FAILED);
        assert_non_null(strstr(error_message(&j->error), "/nonexistent/helper"));
        assert_int_equal(job_manager_set_helper_path(f->jobs, f->helper), 0);
        assert_left(f, 0, 0, 0);
}

static void test_rejected_documents(void **state) {
        _cleanup_(test_image_done) TestImage t = {}, wrong = {}, other = {};
        _cleanup_free_ char *big = NULL, *by_digest = NULL, *index = NULL;
        Fixture *f = *state;

        make_image(&t, "first,second", "amd64", -1);
        make_image(&wrong, "first,second", "amd64", 1);
        make_image(&other, "other", "amd64", -1);
        publish(&wrong, "wrong");
        assert_failed(f, pull(f, "app:wrong"), "InvalidImageConfig");
        assert_left(f, 0, 0, 0);

        big = make_manifest(t.config_digest, IMAGE_CONFIG_SIZE_MAX + 1, &t);
        registry_write("manifest-", "big", big);
        assert_failed(f, pull(f, "app:big"), "LimitsExceeded");
        registry_write("manifest-", "rubbish", "{}");
        assert_failed(f, pull(f, "app:rubbish"), "InvalidManifest");
        assert_failed(f, pull(f, "app:nothing"), "NoSuchManifest");

        /* Another manifest than the one that the digest names. */
        by_digest = strjoin("app@", t.manifest_digest);
        registry_write("manifest-", t.manifest_digest, other.manifest);
        assert_failed(f, pull(f, by_digest), "DigestMismatch");
        index = make_index(&t, "amd64", &wrong, "arm64");
        registry_write("manifest-", "index", index);
        assert_failed(f, pull_with(f, "app:index", "linux/amd64", true), "DigestMismatch");
        assert_left(f, 0, 0, 0);
        assert_int_equal(image_count(f->images, NULL), 0);
}

/* -- unpacking ------------------------------------------------------------------------------------------------------------ */

/* Both helpers of one image fail: the second must not find the first's error in its way. */
static void test_unpack_fails_twice(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull_with(f, "app", NULL, false));
        assert_int_equal(logged("unpack"), 0);
        assert_left(f, 4, 0, 0);

        fault(t.diff_ids[0], "die");
        fault(t.diff_ids[1], "die");
        for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "app", NULL), &j, NULL), 0);
                assert_failed(f, j, "HelperDied");
                assert_left(f, 4, 0, 0);
        }

        fault(t.diff_ids[0], NULL);
        fault(t.diff_ids[1], NULL);
        assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "app", NULL), &j, NULL), 0);
        assert_done(f, j);
        assert_true(image_find(f->images, "default", "app", NULL)->unpacked);
        assert_left(f, 4, 2, 0);
}

static bool is_unpacked(Fixture *f, void *userdata) {
        return image_find(f->images, "default", userdata, NULL)->unpacked;
}

/* Layers that did not survive (a power loss before they were synced) come back without a registry, also when one image's cannot. */
static void test_lost_layers(void **state) {
        _cleanup_(test_image_done) TestImage t = {}, u = {}, v = {};
        Fixture *f = *state;

        make_image(&t, "first,second", "amd64", -1);
        make_image(&u, "third", "amd64", -1);
        make_image(&v, "fourth", "amd64", -1);
        publish(&t, "t");
        publish(&u, "u");
        publish(&v, "v");
        assert_done(f, pull(f, "app:t"));
        assert_done(f, pull(f, "app:u"));
        assert_done(f, pull(f, "app:v"));
        assert_left(f, 10, 4, 0);
        assert_int_equal(sqlite3_exec(f->store->db, "UPDATE snapshots SET synced = 0", NULL, NULL, NULL), SQLITE_OK);
        fault(u.diff_ids[0], "die");
        fixture_stop(f);
        f->boot = "99999999-2222-3333-4444-555555555555";
        fixture_start(f, false);
        assert_false(is_unpacked(f, (void *) "app:t"));
        fixture_run_until(f, is_unpacked, (void *) "app:t");
        fixture_run_until(f, is_unpacked, (void *) "app:v");
        fixture_run_until(f, is_quiet, NULL);
        assert_false(is_unpacked(f, (void *) "app:u"));
        assert_int_equal(logged_digest("unpack", t.diff_ids[0]), 2);
        assert_int_equal(logged_digest("unpack", u.diff_ids[0]), 2);
        assert_int_equal(logged("manifest"), 3);
        assert_int_equal(count_rows(f, "snapshots WHERE ready = 1 AND synced = 1"), 3);
}

/* -- layers that depend on those below -- */

static bool all_have_asked(Fixture *f, void *userdata) {
        return logged("unpack") >= 4 && f->images->n_unpacking == 1;
}

/* The image goes; what it was made of is in the registry still. */
static void remove_app(Fixture *f) {
        assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
        assert_left(f, 0, 0, 0);
}

/* All but the lowest want to see what is below. */
static void test_unpack_in_order(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second,third,fourth", "amd64", -1);
        publish(&t, "latest");
        fault(t.diff_ids[0], "hang");
        for (unsigned i = 1; i < 4; i++)
                fault(t.diff_ids[i], "lower");
        j = pull(f, "app");
        fixture_run_until(f, all_have_asked, NULL);
        fixture_run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(logged("unpack"), 4);
        assert_int_equal(logged("lower"), 0);
        registry_write("", "gate", "");
        assert_done(f, j);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(logged_digest("unpack", t.diff_ids[i]), i == 0 ? 1 : 2);

        /* Each with all that are below, and nothing else. Their numbers are those of the chain. */
        for (unsigned i = 1; i < 4; i++) {
                static const char *const below[] = { " 1/fs", " 2/fs 1/fs", " 3/fs 2/fs 1/fs" };
                _cleanup_free_ char *line = strjoin("lower ", t.diff_ids[i], below[i - 1]);

                assert_int_equal(logged(line), 1);
        }
        assert_true(image_find(f->images, "default", "app", NULL)->unpacked);
        assert_left(f, 6, 4, 0);
        assert_int_equal(count_rows(f, "snapshots WHERE synced = 1"), 4);
}

static bool all_but_one_unpacked(Fixture *f, void *userdata) {
        return logged("unpack") == 4 && f->images->n_unpacking == 1;
}

/* Unpacked side by side, settled one after the other. */
static void test_settle(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second,third,fourth", "amd64", -1);
        publish(&t, "latest");
        fault(t.diff_ids[0], "hang");
        fault(t.diff_ids[1], "settle");
        fault(t.diff_ids[3], "settle");
        j = pull(f, "app");
        fixture_run_until(f, all_but_one_unpacked, NULL);
        fixture_run(f, 50 * USEC_PER_MSEC);
        assert_int_equal(logged("settle"), 0);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_int_equal(logged("unpack"), 4);
        assert_int_equal(logged("settle"), 2);
        for (unsigned i = 1; i < 4; i += 2) {
                _cleanup_free_ char *line = strjoin("lower ", t.diff_ids[i], i == 1 ? " 1/fs" : " 3/fs 2/fs 1/fs");

                assert_int_equal(logged(line), 1);
        }
        assert_true(image_find(f->images, "default", "app", NULL)->unpacked);
        assert_left(f, 6, 4, 0);

        /* A list of the lowest is of no use: nothing is below. */
        remove_app(f);
        clear_log();
        fault(t.diff_ids[0], "settle");
        assert_done(f, pull(f, "app"));
        assert_int_equal(logged_digest("unpack", t.diff_ids[0]), 1);
        assert_int_equal(logged_digest("settle", t.diff_ids[0]), 0);
        assert_left(f, 6, 4, 0);
}

static void settle_fault(const TestImage *t, const char *kind) {
        _cleanup_free_ char *what = strjoin("settle-", t->diff_ids[1]);

        fault(what, kind);
}

static void test_settle_faults(void **state) {
        static const struct {
                const char *fault, *name;
        } cases[] = {
                { "die", "HelperDied" },
                { "rubbish", "HelperDied" },
                { "close", "HelperDied" },
                { "error:InvalidArgument", "InvalidArgument" },
        };
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second,third", "amd64", -1);
        publish(&t, "latest");
        fault(t.diff_ids[1], "settle");
        assert_done(f, pull_with(f, "app", NULL, false));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                settle_fault(&t, cases[i].fault);
                assert_failed(f, pull(f, "app"), cases[i].name);
                assert_left(f, 5, 0, 0);
        }

        /* While it runs: canceled. */
        settle_fault(&t, "hang");
        clear_log();
        j = pull(f, "app");
        run_until_logged(f, "settle", t.diff_ids[1]);
        assert_int_equal(job_cancel(j), 0);
        assert_left(f, 5, 0, 0);

        /* More than it can mend: unpacked again. */
        settle_fault(&t, "error:LowerNeeded");
        clear_log();
        fault(t.diff_ids[1], "settle-once");
        assert_done(f, pull(f, "app"));
        assert_int_equal(logged_digest("unpack", t.diff_ids[1]), 2);
        assert_int_equal(logged_digest("settle", t.diff_ids[1]), 1);
        assert_int_equal(logged_digest("unpack", t.diff_ids[2]), 1);
        assert_left(f, 5, 3, 0);

        /* A list that is too long is none. */
        remove_app(f);
        fault(t.diff_ids[1], "settle-long");
        assert_failed(f, pull(f, "app"), "HelperDied");
        assert_left(f, 5, 0, 0);
}

/* Nothing is below the lowest, and nobody is told twice. */
static void test_unpack_asks_again(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        fault(t.diff_ids[0], "lower");
        assert_failed(f, pull(f, "app"), "LowerNeeded");
        assert_int_equal(logged_digest("unpack", t.diff_ids[0]), 1);
        fault(t.diff_ids[0], NULL);
        fault(t.diff_ids[1], "error:LowerNeeded");
        clear_log();
        assert_failed(f, pull(f, "app"), "LowerNeeded");
        assert_int_equal(logged_digest("unpack", t.diff_ids[1]), 2);
        assert_int_equal(logged_digest("lower", t.diff_ids[1]), 1);
        fault(t.diff_ids[1], "lower");
        assert_done(f, pull(f, "app"));
        assert_left(f, 4, 2, 0);
}

/* It waits for the layer below, which fails, or is not wanted any more. */
static void test_unpack_in_order_ends(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull_with(f, "app", NULL, false));
        fault(t.diff_ids[0], "hang-die");
        fault(t.diff_ids[1], "lower");
        for (unsigned i = 0; i < 2; i++) {
                clear_log();
                assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "app", NULL), &j, NULL), 0);
                run_until_logged(f, "unpack", t.diff_ids[1]);
                /* The helper of the second has said so, and has ended. */
                for (unsigned k = 0; k < 1000 && f->images->n_unpacking > 1; k++)
                        fixture_run(f, 10 * USEC_PER_MSEC);
                assert_int_equal(f->images->n_unpacking, 1);
                if (i == 0)
                        assert_int_equal(job_cancel(j), 0);
                else {
                        registry_write("", "gate", "");
                        assert_failed(f, j, "HelperDied");
                }
                assert_left(f, 4, 0, 0);
                assert_int_equal(logged("lower"), 0);
        }
}

static void test_unpack_fails_for_both(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;
        Job *j, *k;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        fault(a.layer_digests[0], "hang");
        fault(a.diff_ids[0], "die");
        j = pull(f, "app:a");
        run_until_logged(f, "half", a.layer_digests[0]);
        k = pull(f, "app:b");
        run_until_logged(f, "unpack", b.diff_ids[1]);
        registry_write("", "gate", "");
        assert_failed(f, j, "HelperDied");
        assert_failed(f, k, "HelperDied");
        assert_int_equal(logged_digest("unpack", a.diff_ids[0]), 1);

        fault(a.diff_ids[0], NULL);
        assert_done(f, pull(f, "app:a"));
        assert_done(f, pull(f, "app:b"));
        assert_left(f, 7, 3, 0);
}

static void test_unpack_canceled(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j, *k;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull_with(f, "app", NULL, false));
        fault(t.diff_ids[0], "hang");
        assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "app", NULL), &j, NULL), 0);
        assert_int_equal(image_tag(f->images, "default", "app", "second", NULL), 0);
        assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "second", NULL), &k, NULL), 0);
        assert_ptr_not_equal(j, k);
        run_until_logged(f, "unpack", t.diff_ids[0]);
        assert_int_equal(job_cancel(j), 0);
        fixture_run(f, 50 * USEC_PER_MSEC);
        assert_int_equal(k->state, JOB_RUNNING);
        assert_int_equal(job_cancel(k), 0);
        assert_left(f, 4, 0, 0);
}

/* What a failed abort has left is not in the way. */
static void test_unfinished_row(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        uint64_t id;
        int fd;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_int_equal(snapshot_layer_begin(f->snapshots, t.chain_ids[0], t.diff_ids[0], 0, &id, &fd, NULL), 0);
        safe_close(fd);
        assert_int_equal(snapshot_layer_begin(f->snapshots, t.chain_ids[1], t.diff_ids[1], id, &id, &fd, NULL), 0);
        safe_close(fd);
        assert_done(f, pull(f, "app"));
        assert_left(f, 4, 2, 0);
}

/* -- beside removal and collection ---------------------------------------------------------------------------------------- */

static void test_collect_beside_pull(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        GarbageResult g;
        Job *j;

        make_image(&t, "first,second,third", "amd64", -1);
        publish(&t, "latest");
        fault(t.layer_digests[2], "hang");
        j = pull(f, "app");
        run_until_logged(f, "half", t.layer_digests[2]);
        run_until_logged(f, "unpack", t.diff_ids[1]);
        fixture_run(f, 300 * USEC_PER_MSEC);
        assert_int_equal(image_collect_garbage(f->images, false, &g, NULL), 0);
        assert_int_equal(g.blobs + g.snapshots, 0);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_left(f, 5, 3, 0);
}

static void test_remove_beside_pull(void **state) {
        _cleanup_(test_image_done) TestImage a = {}, b = {};
        Fixture *f = *state;
        Job *j;

        make_image(&a, "shared base,only a", "amd64", -1);
        make_image(&b, "shared base,only b", "amd64", -1);
        publish(&a, "a");
        publish(&b, "b");
        assert_done(f, pull(f, "app:a"));
        fault(b.layer_digests[1], "hang");
        j = pull(f, "app:b");
        run_until_logged(f, "half", b.layer_digests[1]);
        assert_int_equal(image_remove(f->images, "default", "app:a", false, NULL), 0);
        fixture_run(f, 400 * USEC_PER_MSEC);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_int_equal(logged_digest("blob", a.layer_digests[0]), 1);
        assert_int_equal(logged_digest("unpack", a.diff_ids[0]), 1);
        assert_true(image_find(f->images, "default", "app:b", NULL)->unpacked);
        assert_left(f, 4, 2, 0);
}

static void test_remove_while_pulled_again(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;
        Job *j;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull_with(f, "app", NULL, false));
        fault(t.diff_ids[0], "hang");
        j = pull(f, "app");
        run_until_logged(f, "unpack", t.diff_ids[0]);
        assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
        fixture_run(f, 400 * USEC_PER_MSEC);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_non_null(image_find(f->images, "default", "app", NULL));
        assert_left(f, 4, 2, 0);

        /* Of a mere unpacking nothing is left. */
        assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
        assert_left(f, 0, 0, 0);
        registry_write("", "gate", NULL);
        fault(t.diff_ids[0], NULL);
        assert_done(f, pull_with(f, "app", NULL, false));
        fault(t.diff_ids[0], "hang");
        assert_int_equal(image_unpack(f->images, image_find(f->images, "default", "app", NULL), &j, NULL), 0);
        fixture_run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(image_remove(f->images, "default", "app", false, NULL), 0);
        fixture_run(f, 400 * USEC_PER_MSEC);
        registry_write("", "gate", "");
        assert_done(f, j);
        assert_left(f, 0, 0, 0);
}

static void test_damaged_blob(void **state) {
        _cleanup_(test_image_done) TestImage t = {};
        Fixture *f = *state;

        make_image(&t, "first,second", "amd64", -1);
        publish(&t, "latest");
        assert_done(f, pull_with(f, "app", NULL, false));
        _cleanup_free_ char *path = strformat("%s/content/blobs/sha256/%s", f->path, digest_hex(t.layer_digests[0]));
        assert_int_equal(truncate(path, 2), 0);
        assert_done(f, pull(f, "app"));
        assert_int_equal(logged_digest("blob", t.layer_digests[0]), 2);
        assert_int_equal(logged_digest("blob", t.layer_digests[1]), 1);
        assert_left(f, 4, 2, 0);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_pull, setup, teardown),
                cmocka_unit_test_setup_teardown(test_new_version, setup, teardown),
                cmocka_unit_test_setup_teardown(test_platform, setup, teardown),
                cmocka_unit_test_setup_teardown(test_same_layer_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_layers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_share, setup, teardown),
                cmocka_unit_test_setup_teardown(test_same_image_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel_of_the_fetcher, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel_of_the_waiter, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel_beside_unpacking, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel_everywhere, setup, teardown),
                cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
                cmocka_unit_test_setup_teardown(test_resume, setup, teardown),
                cmocka_unit_test_setup_teardown(test_daemon_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_helper_cannot_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rejected_documents, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_fails_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lost_layers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_in_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
                cmocka_unit_test_setup_teardown(test_settle_faults, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_asks_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_in_order_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_fails_for_both, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unpack_canceled, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unfinished_row, setup, teardown),
                cmocka_unit_test_setup_teardown(test_collect_beside_pull, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove_beside_pull, setup, teardown),
                cmocka_unit_test_setup_teardown(test_remove_while_pulled_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged_blob, setup, teardown),
        };

        if (argc == 2 && getenv("TEST_REGISTRY"))
                return helper_main(argv[1]);

        return cmocka_run_group_tests(tests, NULL, NULL);
}
