/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/image-config.h"
#include "schema-fixture.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIGEST "\"]}"
#define BASE "\"os\":\"linux\",\"architecture\":\"amd64\"," ROOTFS
#define WITH(members) "{" BASE "," members "}"

static ImageConfig *parse(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        ImageConfig *c = NULL;

        if (image_config_parse(text, strlen(text), &c, &e) < 0)
                fail_msg("%s: %s", text, error_message(&e));
        return c;
}

static void expect_bad(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_(image_config_freep) ImageConfig *c = NULL;

        if (image_config_parse(text, strlen(text), &c, &e) != -EBADMSG)
                fail_msg("%.200s: %s", text, error_message(&e));
        assert_null(c);
        assert_true(error_has_name(&e, "InvalidImageConfig"));
        assert_true(string_is_safe(error_message(&e)));
}

/* The members that the image specification's own example has. */
static void test_example(void **state) {
        _cleanup_(image_config_freep) ImageConfig *c = parse(
                WITH("\"created\":\"2015-10-31T22:22:56.015925234Z\",\"author\":\"Someone <someone@example.com>\",\"variant\":\"v2\",\"config\":{"
                     "\"User\":\"alice\",\"ExposedPorts\":{\"8080/tcp\":{}},\"Env\":[\"PATH=/bin\",\"FOO=oci_is_a\",\"BAR=a=b\"],"
                     "\"Entrypoint\":[\"/bin/my-app-binary\"],\"Cmd\":[\"--foreground\",\"--config\"],\"Volumes\":{\"/var/job-result-data\":{},\"/var/log\":{}},"
                     "\"WorkingDir\":\"/home/alice\",\"Labels\":{\"com.example.a\":\"b=c\"},\"StopSignal\":\"SIGRTMIN+3\",\"Memory\":2048},"
                     "\"history\":[{\"created_by\":\"x\",\"empty_layer\":true}]"));

        assert_string_equal(c->platform.os, "linux");
        assert_string_equal(c->platform.architecture, "amd64");
        assert_string_equal(c->platform.variant, "v2");
        assert_int_equal(c->created_usec, UINT64_C(1446330176015925));
        assert_string_equal(c->user, "alice");
        assert_int_equal(strv_length(c->env), 3);
        assert_string_equal(c->env[2], "BAR=a=b");
        assert_string_equal(c->entrypoint[0], "/bin/my-app-binary");
        assert_int_equal(strv_length(c->cmd), 2);
        assert_int_equal(strv_length(c->volumes), 2);
        assert_true(strv_contains(c->volumes, "/var/log"));
        assert_string_equal(c->exposed_ports[0], "8080/tcp");
        assert_string_equal(c->working_dir, "/home/alice");
        assert_string_equal(c->labels[0], "com.example.a=b=c");
        assert_string_equal(c->stop_signal, "SIGRTMIN+3");
        assert_int_equal(strv_length(c->diff_ids), 1);
        assert_string_equal(c->diff_ids[0], DIGEST);
}

static void test_absent(void **state) {
        _cleanup_(image_config_freep) ImageConfig *least = parse("{" BASE "}"), *nulls = parse(
                WITH("\"created\":null,\"variant\":\"\",\"config\":{\"User\":\"\",\"Env\":null,\"Cmd\":null,\"Volumes\":null,\"Labels\":null,\"Entrypoint\":[]}")),
                *no_config = parse(WITH("\"config\":null")), *date = parse(WITH("\"created\":\"yesterday\"")),
                *year_one = parse(WITH("\"created\":\"0001-01-01T00:00:00Z\"")), *no_layers = parse("{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");

        assert_null(least->user);
        assert_null(least->env);
        assert_null(least->platform.variant);
        assert_null(nulls->platform.variant);
        assert_int_equal(strv_length(nulls->env), 0);
        assert_int_equal(strv_length(nulls->entrypoint), 0);
        assert_null(no_config->cmd);
        assert_int_equal(date->created_usec, 0);
        assert_int_equal(year_one->created_usec, 0);
        assert_int_equal(strv_length(no_layers->diff_ids), 0);
}

static void test_dropped(void **state) {
        _cleanup_(image_config_freep) ImageConfig *c =
                parse(WITH("\"config\":{\"Env\":[\"A=1\",\"NOVALUE\",\"=x\",\"\",\"B=\"],\"Labels\":{\"a=b\":\"c\",\"\":\"x\",\"k\":\"v\"}}"));

        assert_int_equal(strv_length(c->env), 2);
        assert_string_equal(c->env[1], "B=");
        assert_int_equal(strv_length(c->labels), 1);
        assert_string_equal(c->labels[0], "k=v");
}

static void test_health(void **state) {
        _cleanup_(image_config_freep) ImageConfig *full = parse(
                WITH("\"config\":{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"curl -f x || exit 1\"],\"Interval\":5000000000,\"Timeout\":1500000001,"
                     "\"StartPeriod\":60000000000,\"StartInterval\":1,\"Retries\":7,\"Other\":[]}}")),
                *least = parse(WITH("\"config\":{\"Healthcheck\":{}}")), *none = parse(WITH("\"config\":{\"Healthcheck\":null}")),
                *absurd = parse(WITH("\"config\":{\"Healthcheck\":{\"Test\":[],\"Interval\":-1,\"Timeout\":-9223372036854775808,\"Retries\":-2,\"StartPeriod\":9223372036854775807}}"));

        assert_int_equal(strv_length(full->health.test), 2);
        assert_string_equal(full->health.test[1], "curl -f x || exit 1");
        assert_int_equal(full->health.interval_usec, 5000000);
        assert_int_equal(full->health.timeout_usec, 1500001);
        assert_int_equal(full->health.start_period_usec, 60000000);
        assert_int_equal(full->health.start_interval_usec, 1);
        assert_int_equal(full->health.retries, 7);

        assert_null(least->health.test);
        assert_null(none->health.test);
        assert_int_equal(strv_length(absurd->health.test), 0);
        assert_int_equal(absurd->health.interval_usec, 0);
        assert_int_equal(absurd->health.timeout_usec, 0);
        assert_int_equal(absurd->health.retries, 0);
        assert_int_equal(absurd->health.start_period_usec, UINT64_C(9223372036854776));
}

/* As long as it may be, and a byte more. */
static void test_health_size(void **state) {
        static const char before[] = "{" BASE ",\"config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"", after[] = "\"]}}}";
        _cleanup_free_ char *text = malloc(sizeof(before) + sizeof(after) + IMAGE_HEALTH_TEST_SIZE_MAX);

        for (size_t more = 0; more < 2; more++) {
                size_t n = IMAGE_HEALTH_TEST_SIZE_MAX - strlen("CMD") - 2 + more;

                memcpy(text, before, sizeof(before) - 1);
                memset(text + sizeof(before) - 1, 'x', n);
                memcpy(text + sizeof(before) - 1 + n, after, sizeof(after));
                if (more)
                        expect_bad(text);
                else {
                        _cleanup_(image_config_freep) ImageConfig *c = parse(text);

                        assert_int_equal(strlen(c->health.test[1]), n);
                }
        }
}

static void test_bad(void **state) {
        static const char *const bad[] = {
                "", "{", "[]", "{}", "{" ROOTFS "}",
                "{\"os\":\"linux\"," ROOTFS "}", "{\"os\":\"\",\"architecture\":\"amd64\"," ROOTFS "}", "{\"os\":\"linux\",\"architecture\":\"\"," ROOTFS "}",
                "{\"os\":\"linux\",\"architecture\":\"amd\\n64\"," ROOTFS "}", "{\"os\":1,\"architecture\":\"amd64\"," ROOTFS "}",
                "{\"os\":\"linux\",\"architecture\":\"amd64\"}", "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{}}",
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"squashfs\",\"diff_ids\":[]}}",
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\"}}",
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:1\"]}}",
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}",
                WITH("\"config\":[]"), WITH("\"config\":{\"Env\":\"A=1\"}"), WITH("\"config\":{\"Env\":[1]}"), WITH("\"config\":{\"Cmd\":{}}"),
                WITH("\"config\":{\"User\":1}"), WITH("\"config\":{\"User\":\"a\\nb\"}"), WITH("\"config\":{\"Volumes\":[]}"),
                WITH("\"config\":{\"Volumes\":{\"/a\\u0001\":{}}}"), WITH("\"config\":{\"Labels\":{\"a\":1}}"),
                WITH("\"config\":{\"WorkingDir\":\"/a\\tb\"}"), WITH("\"config\":{\"StopSignal\":\"SIGTERMSIGTERMSIGTERMSIGTERMSIGTERM\"}"),
                WITH("\"created\":1"), WITH("\"os\":\"linux\""),
                WITH("\"config\":{\"Healthcheck\":[]}"), WITH("\"config\":{\"Healthcheck\":{\"Test\":\"true\"}}"),
                WITH("\"config\":{\"Healthcheck\":{\"Test\":[1]}}"), WITH("\"config\":{\"Healthcheck\":{\"Interval\":\"5s\"}}"),
                WITH("\"config\":{\"Healthcheck\":{\"Retries\":1.5}}"),
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                expect_bad(bad[i]);
}

static char *with_list(const char *before, const char *format, unsigned n, const char *after) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        fputs(before, f);
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *number = strformat("%u", i);

                /* "#" stands for the number. */
                if (i > 0)
                        fputc(',', f);
                for (const char *p = format; *p; p++)
                        *p == '#' ? fputs(number, f) : fputc(*p, f);
        }
        fputs(after, f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void test_limits(void **state) {
        static const struct {
                const char *before, *format, *after;
                unsigned max;
        } table[] = {
                { "{" BASE ",\"config\":{\"Env\":[", "\"A#=1\"", "]}}", IMAGE_CONFIG_LIST_MAX },
                { "{" BASE ",\"config\":{\"Cmd\":[", "\"#\"", "]}}", IMAGE_CONFIG_LIST_MAX },
                { "{" BASE ",\"config\":{\"Entrypoint\":[", "\"#\"", "]}}", IMAGE_CONFIG_LIST_MAX },
                { "{" BASE ",\"config\":{\"Volumes\":{", "\"/#\":{}", "}}}", IMAGE_CONFIG_LIST_MAX },
                { "{" BASE ",\"config\":{\"ExposedPorts\":{", "\"#/tcp\":{}", "}}}", IMAGE_CONFIG_LIST_MAX },
                { "{" BASE ",\"config\":{\"Healthcheck\":{\"Test\":[", "\"#\"", "]}}}", IMAGE_CONFIG_LIST_MAX },
                { "{" BASE ",\"config\":{\"Labels\":{", "\"l#\":\"x\"", "}}}", IMAGE_CONFIG_LIST_MAX },
                { "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", "\"" DIGEST "\"", "]}}", LAYERS_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *most = with_list(table[i].before, table[i].format, table[i].max, table[i].after),
                                    *more = with_list(table[i].before, table[i].format, table[i].max + 1, table[i].after);
                _cleanup_(image_config_freep) ImageConfig *c = parse(most);

                assert_non_null(c);
                expect_bad(more);
        }
}

static void test_size(void **state) {
        _cleanup_(image_config_freep) ImageConfig *c = NULL;
        _cleanup_free_ char *big = malloc(IMAGE_CONFIG_SIZE_MAX + 2);

        memset(big, ' ', IMAGE_CONFIG_SIZE_MAX + 1);
        memcpy(big, "{" BASE "}", strlen("{" BASE "}"));
        big[IMAGE_CONFIG_SIZE_MAX + 1] = 0;
        assert_int_equal(image_config_parse(big, IMAGE_CONFIG_SIZE_MAX, &c, NULL), 0);
        expect_bad(big);
}

static void test_schema_required(void **state) {
        static const char document[] = "{" BASE "}";
        _cleanup_json_ json_t *schema = schema_load("config-schema.json");
        json_t *required, *name;
        size_t i;

        required = json_object_get(schema, "required");
        assert_true(json_array_size(required) > 0);

        json_array_foreach(required, i, name) {
                _cleanup_json_ json_t *j = NULL;
                _cleanup_free_ char *t = NULL;

                assert_int_equal(json_parse(document, strlen(document), IMAGE_CONFIG_SIZE_MAX, &j, NULL), 0);
                assert_int_equal(json_object_del(j, json_string_value(name)), 0);
                t = json_dump(j, false);
                expect_bad(t);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_example), cmocka_unit_test(test_absent), cmocka_unit_test(test_dropped), cmocka_unit_test(test_bad),
                cmocka_unit_test(test_health), cmocka_unit_test(test_health_size),
                cmocka_unit_test(test_limits),  cmocka_unit_test(test_size),   cmocka_unit_test(test_schema_required),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
