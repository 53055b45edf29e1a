/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/cni.h"

#define DBNET                                                                                                         \
        "{\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"0.3.1\",\"1.0.0\",\"9.0.0\"],\"name\":\"dbnet\",\"plugins\":["    \
        "{\"type\":\"bridge\",\"keyA\":[\"x\"],\"ipam\":{\"type\":\"host-local\"},\"cni.dev/x\":1,\"prevResult\":{}},"  \
        "{\"type\":\"tuning\",\"capabilities\":{\"mac\":true,\"ips\":false}},"                                         \
        "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}}]}"

static void parse(const char *text, CniConf *ret) {
        _cleanup_error_ Error e = ERROR_NULL;

        if (cni_conf_parse(text, strlen(text), ret, &e) < 0)
                fail_msg("%s", error_message(&e));
}

static void refuse(const char *text, const char *why) {
        _cleanup_(cni_conf_done) CniConf c = {};
        _cleanup_error_ Error e = ERROR_NULL;

        assert_true(cni_conf_parse(text, strlen(text), &c, &e) < 0);
        if (!strstr(error_message(&e), why))
                fail_msg("%s", error_message(&e));
        assert_null(c.name);
}

static void test_list(void **state) {
        _cleanup_(cni_conf_done) CniConf c = {};

        parse(DBNET, &c);
        assert_string_equal(c.name, "dbnet");
        assert_string_equal(c.version, "1.0.0");
        assert_string_equal(cni_conf_plugin(&c, 0), "bridge");
        assert_string_equal(cni_conf_plugin(&c, 2), "portmap");
        assert_null(cni_conf_plugin(&c, 3));
        assert_false(c.disable_check || c.disable_gc || c.only_inlined);
        assert_true(cni_conf_knows(&c, CNI_CHECK));
        assert_false(cni_conf_knows(&c, CNI_GC));
        assert_false(cni_conf_knows(&c, CNI_STATUS));
}

static void test_single(void **state) {
        static const char more[] = "{\"type\":\"b\"}", wrong[] = "{\"type\":\"../b\"}";
        _cleanup_(cni_conf_done) CniConf c = {};

        parse("{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":\"a\",\"disableCheck\":\"true\",\"disableGC\":true}", &c);
        assert_string_equal(cni_conf_plugin(&c, 0), "a");
        assert_true(c.disable_check && c.disable_gc && c.only_inlined);
        assert_false(cni_conf_knows(&c, CNI_CHECK));
        assert_true(cni_conf_knows(&c, CNI_DEL));
        assert_int_equal(cni_conf_append(&c, more, strlen(more), NULL), 0);
        assert_true(cni_conf_append(&c, wrong, strlen(wrong), NULL) < 0);
        assert_string_equal(cni_conf_plugin(&c, 1), "b");
}

static void test_refused(void **state) {
        _cleanup_free_ char *name = NULL;
        char list[CNI_PLUGINS_MAX * 16 + 128] = "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}";

        refuse("[]", "object");
        refuse("{\"cniVersion\":\"0.2.0\",\"name\":\"n\",\"type\":\"a\"}", "0.3.1");
        refuse("{\"name\":\"n\",\"type\":\"a\"}", "cniVersion");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"-n\",\"type\":\"a\"}", "name");
        refuse("{\"cniVersion\":\"1.0.0\",\"type\":\"a\"}", "name");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"a/b\"}", "type");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"..\"}", "type");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":{}}", "plugins");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[1]}", "plugins[0]");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"loadOnlyInlinedPlugins\":true}", "plugins");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"a\",\"disableGC\":7}", "disableGC");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"a\",\"capabilities\":[]}", "capabilities");
        refuse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"a\"} {}", "");

        for (unsigned i = 1; i < CNI_PLUGINS_MAX; i++)
                strcat(list, ",{\"type\":\"a\"}");
        name = strjoin(list, "]}");
        {
                _cleanup_(cni_conf_done) CniConf c = {};

                parse(name, &c);
                assert_int_equal(json_array_size(c.plugins), CNI_PLUGINS_MAX);
        }
        strcat(list, ",{\"type\":\"a\"}]}");
        refuse(list, "more than 32");
}

static void test_names(void **state) {
        char long_name[CNI_NAME_MAX + 2] = "";

        memset(long_name, 'a', CNI_NAME_MAX);
        assert_true(cni_name_is_valid(long_name));
        long_name[CNI_NAME_MAX] = 'a';
        assert_false(cni_name_is_valid(long_name));
        assert_true(cni_container_id_is_valid(long_name));
        assert_true(cni_name_is_valid("a_.-9"));
        assert_false(cni_name_is_valid(".a"));
        assert_false(cni_name_is_valid("a/b"));
        assert_false(cni_name_is_valid(""));
        assert_string_equal(cni_command_to_string(CNI_GC), "GC");
}

static json_t *request(const CniConf *c, size_t i, CniCommand command, json_t *previous) {
        _cleanup_json_ json_t *capabilities = json_pack("{s:[{s:i}], s:s, s:[s]}", "portMappings", "hostPort", 80, "mac", "02::",
                                                        "ips", "10.0.0.1");
        _cleanup_json_ json_t *attachments = json_pack("[{s:s, s:s}]", "containerID", "c", "ifname", "eth0");
        json_t *j = NULL;

        assert_int_equal(cni_request(c, i, command, capabilities, previous, attachments, &j), 0);
        assert_string_equal(json_get_string(j, "name"), "dbnet");
        assert_null(json_object_get(j, "capabilities"));
        return j;
}

static void test_request(void **state) {
        _cleanup_json_ json_t *previous = json_pack("{s:s}", "cniVersion", "1.0.0"), *a = NULL, *b = NULL, *c = NULL, *d = NULL;
        _cleanup_(cni_conf_done) CniConf conf = {};

        parse(DBNET, &conf);
        a = request(&conf, 0, CNI_ADD, NULL);
        assert_string_equal(json_get_string(a, "cniVersion"), "1.0.0");
        assert_string_equal(json_get_string(a, "type"), "bridge");
        assert_non_null(json_object_get(a, "keyA"));
        assert_non_null(json_object_get(a, "ipam"));
        assert_null(json_object_get(a, "cni.dev/x"));
        assert_null(json_object_get(a, "prevResult"));
        assert_null(json_object_get(a, "runtimeConfig"));
        b = request(&conf, 1, CNI_ADD, previous);
        assert_string_equal(json_get_string(json_object_get(b, "runtimeConfig"), "mac"), "02::");
        assert_null(json_object_get(json_object_get(b, "runtimeConfig"), "ips"));
        assert_true(cni_conf_has_capability(&conf, "mac"));
        assert_false(cni_conf_has_capability(&conf, "ips"));
        assert_false(cni_conf_has_capability(&conf, "bandwidth"));
        assert_null(json_object_get(json_object_get(b, "runtimeConfig"), "portMappings"));
        assert_non_null(json_object_get(b, "prevResult"));
        c = request(&conf, 2, CNI_DEL, previous);
        assert_non_null(json_object_get(c, "prevResult"));
        assert_non_null(json_object_get(json_object_get(c, "runtimeConfig"), "portMappings"));
        d = request(&conf, 2, CNI_GC, previous);
        assert_null(json_object_get(d, "prevResult"));
        assert_null(json_object_get(d, "runtimeConfig"));
        assert_int_equal(json_array_size(json_object_get(d, "cni.dev/valid-attachments")), 1);
}

/* Plug-ins of 0.3.1 get no result with DEL. */
static void test_request_old(void **state) {
        static const char text[] = "{\"cniVersion\":\"0.3.1\",\"name\":\"dbnet\",\"type\":\"a\"}";
        _cleanup_json_ json_t *previous = json_pack("{s:s}", "cniVersion", "0.3.1"), *a = NULL, *b = NULL, *j = NULL;
        _cleanup_(cni_conf_done) CniConf conf = {}, again = {};

        parse(text, &conf);
        a = request(&conf, 0, CNI_DEL, previous);
        assert_null(json_object_get(a, "prevResult"));
        b = request(&conf, 0, CNI_ADD, previous);
        assert_non_null(json_object_get(b, "prevResult"));
        assert_int_equal(cni_conf_to_json(&conf, &j), 0);
        assert_int_equal(cni_conf_from_json(j, &again, NULL), 0);
        assert_string_equal(again.version, "0.3.1");
        assert_string_equal(cni_conf_plugin(&again, 0), "a");
}

#define RESULT                                                                                                         \
        "{\"cniVersion\":\"%s\",\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"02:00:00:00:00:01\"},"                      \
        "{\"name\":\"eth0\",\"mac\":\"\",\"sandbox\":\"/run/x\"}],"                                                      \
        "\"ips\":[{\"address\":\"10.1.0.5/16\",\"gateway\":\"10.1.0.1\",\"interface\":1},{\"address\":\"fd00::5/64\"}],"  \
        "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\",\"gw\":\"fd00::1\"}],\"x\":{\"y\":1},"                     \
        "\"dns\":{\"nameservers\":[\"10.1.0.1\"],\"search\":[\"a.b\"],\"domain\":\"c\"}}"

static void test_result(void **state) {
        static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", "" };

        for (size_t i = 0; i < ELEMENTSOF(versions); i++) {
                _cleanup_free_ char *text = strformat(RESULT, versions[i]);
                _cleanup_(cni_result_done) CniResult r = {}, old = {};
                _cleanup_error_ Error e = ERROR_NULL;
                const json_t *ips;

                if (cni_result_parse(text, strlen(text), "1.0.0", &r, &e) < 0)
                        fail_msg("%s", error_message(&e));
                assert_int_equal(r.n_interfaces, 2);
                assert_null(r.interfaces[1].mac);
                assert_string_equal(r.interfaces[1].sandbox, "/run/x");
                assert_int_equal(r.n_addresses, 2);
                assert_int_equal(r.addresses[0].interface, 1);
                assert_int_equal(r.addresses[1].interface, -1);
                assert_string_equal(r.addresses[0].gateway, "10.1.0.1");
                assert_string_equal(r.servers[0], "10.1.0.1");
                assert_string_equal(r.domain, "c");
                assert_string_equal(json_get_string(r.json, "cniVersion"), "1.0.0");
                assert_non_null(json_object_get(r.json, "x"));

                /* And back to what plug-ins of before expect. */
                assert_int_equal(cni_result_from_json(r.json, "0.4.0", &old, NULL), 0);
                assert_null(json_object_get(json_array_get(json_object_get(r.json, "ips"), 0), "version"));
                ips = json_object_get(old.json, "ips");
                assert_string_equal(json_get_string(json_array_get(ips, 0), "version"), "4");
                assert_string_equal(json_get_string(json_array_get(ips, 1), "version"), "6");
        }
}

static void test_result_empty(void **state) {
        _cleanup_(cni_result_done) CniResult r = {};

        assert_int_equal(cni_result_parse("{}", 2, "0.3.1", &r, NULL), 0);
        assert_string_equal(json_get_string(r.json, "cniVersion"), "0.3.1");
}

static void test_result_refused(void **state) {
        static const char *const texts[] = {
                "",
                "null",
                "{\"cniVersion\":\"0.2.0\"}",
                "{\"cniVersion\":7}",
                "{\"interfaces\":{}}",
                "{\"interfaces\":[{}]}",
                "{\"interfaces\":[{\"name\":7}]}",
                "{\"interfaces\":[7]}",
                "{\"ips\":[{\"address\":\"10.0.0.1\"}]}",
                "{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}",
                "{\"ips\":[{\"address\":\"fd00::/129\"}]}",
                "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"gateway\":\"x\"}]}",
                "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":0}]}",
                "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":-1}]}",
                "{\"routes\":[{}]}",
                "{\"dns\":[]}",
                "{\"dns\":{\"search\":[1]}}",
                "{\"dns\":{\"search\":[\"a\\nb\"]}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(cni_result_done) CniResult r = {};
                _cleanup_error_ Error e = ERROR_NULL;

                if (cni_result_parse(texts[i], strlen(texts[i]), "1.0.0", &r, &e) >= 0)
                        fail_msg("%s", texts[i]);
                assert_true(error_is_set(&e));
                assert_null(r.json);
        }
}

static void test_result_limit(void **state) {
        for (size_t n = CNI_INTERFACES_MAX; n <= CNI_INTERFACES_MAX + 1; n++) {
                _cleanup_json_ json_t *list = json_array(), *j = json_pack("{s:O}", "interfaces", list);
                _cleanup_(cni_result_done) CniResult r = {};

                for (size_t i = 0; i < n; i++)
                        assert_int_equal(json_array_append_new(list, json_pack("{s:s}", "name", "a")), 0);
                assert_int_equal(cni_result_from_json(j, "1.0.0", &r, NULL), n > CNI_INTERFACES_MAX ? -EBADMSG : 0);
        }
}

/* -- records ------------------------------------------------------------------------------------ */

#define RECORD                                                                                                         \
        "{\"container\":\"c1\",\"netns\":\"x/1/2\",\"attachments\":[{\"interface\":\"eth0\",\"config\":"                   \
        "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"a\"}]}%s}]}"

static int append_shown(const CniShown *s, void *userdata) {
        _cleanup_free_ char *addresses = strv_join(s->addresses, ","), *line = NULL;
        char **text = userdata, *joined;

        line = strformat("%s %s %s %s;", s->network, s->name, strempty(s->mac), strempty(addresses));
        joined = strjoin(strempty(*text), line);
        free(*text);
        *text = joined;
        return 0;
}

static void check_shown(const char *more, const char *expected, bool complete) {
        _cleanup_free_ char *text = strformat(RECORD, more), *shown = NULL;
        _cleanup_(cni_record_done) CniRecord r = {}, again = {};
        _cleanup_json_ json_t *j = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (cni_record_parse(text, strlen(text), &r, &e) < 0)
                fail_msg("%s", error_message(&e));
        assert_int_equal(r.n_attachments, 1);
        assert_int_equal(cni_record_is_complete(&r), complete);
        assert_int_equal(cni_attachment_foreach(&r.attachments[0], append_shown, &shown), 0);
        assert_string_equal(strempty(shown), expected);
        assert_int_equal(cni_record_to_json(&r, &j), 0);
        assert_int_equal(cni_record_from_json(j, &again, NULL), 0);
        assert_string_equal(again.netns_id, "x/1/2");
        assert_int_equal(!again.attachments[0].result, !complete);
}

/* What of an answer is the container's: interfaces of its namespace, with their addresses. */
static void test_record(void **state) {
        check_shown("", "", false);
        check_shown(",\"result\":{}", "n eth0  ;", true);
        check_shown(",\"result\":{\"ips\":[{\"address\":\"10.0.0.1/8\"},{\"address\":\"fd00::1/64\"}]}",
                    "n eth0  10.0.0.1/8,fd00::1/64;", true);
        check_shown(",\"result\":{\"interfaces\":[{\"name\":\"br\"},{\"name\":\"net1\",\"sandbox\":\"/x\"},"
                    "{\"name\":\"eth0\",\"sandbox\":\"/x\",\"mac\":\"02::\"}],"
                    "\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":1},{\"address\":\"10.0.0.2/8\"},"
                    "{\"address\":\"10.0.0.3/8\",\"interface\":2},{\"address\":\"10.0.0.4/8\",\"interface\":0}]}",
                    "n net1  10.0.0.1/8;n eth0 02:: 10.0.0.2/8,10.0.0.3/8;", true);
}

static void test_record_refused(void **state) {
        static const char *const texts[] = {
                "", "{}", "{\"container\":\"/\",\"netns\":\"\"}", "{\"container\":\"a\"}",
                "{\"container\":\"a\",\"netns\":\"\",\"attachments\":[{}]}",
                "{\"container\":\"a\",\"netns\":\"\",\"attachments\":[{\"interface\":\"e\",\"config\":{}}]}",
                ("{\"container\":\"a\",\"netns\":\"\",\"attachments\":[{\"interface\":\"e\",\"result\":7,\"config\":"
                 "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"type\":\"a\"}}]}"),
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(cni_record_done) CniRecord r = {};
                _cleanup_error_ Error e = ERROR_NULL;

                if (cni_record_parse(texts[i], strlen(texts[i]), &r, &e) >= 0)
                        fail_msg("%s", texts[i]);
                assert_true(error_is_set(&e));
        }
}

static void test_record_limit(void **state) {
        _cleanup_(cni_record_done) CniRecord r = {};

        for (size_t i = 0; i <= CNI_ATTACHMENTS_MAX; i++) {
                _cleanup_(cni_conf_done) CniConf c = {};

                parse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"a\"}", &c);
                assert_int_equal(cni_record_add(&r, &c, "eth0", NULL), i < CNI_ATTACHMENTS_MAX ? 0 : -E2BIG);
        }
}

static void test_failure(void **state) {
        static const char text[] = "{\"cniVersion\":\"1.0.0\",\"code\":7,\"msg\":\"a\\nb\",\"details\":\"d\"}";
        _cleanup_(cni_failure_done) CniFailure f = {}, g = {};

        assert_int_equal(cni_failure_parse(text, strlen(text), &f), 0);
        assert_int_equal(f.code, 7);
        assert_string_equal(f.message, "a?b");
        assert_string_equal(f.details, "d");
        assert_int_equal(cni_failure_parse("{\"code\":7}", 10, &g), -EBADMSG);
        assert_true(cni_failure_parse("oops", 4, &g) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_list),          cmocka_unit_test(test_single),
                cmocka_unit_test(test_refused),       cmocka_unit_test(test_names),
                cmocka_unit_test(test_request),       cmocka_unit_test(test_request_old),
                cmocka_unit_test(test_result),        cmocka_unit_test(test_result_empty),
                cmocka_unit_test(test_result_refused), cmocka_unit_test(test_result_limit),
                cmocka_unit_test(test_record),        cmocka_unit_test(test_record_refused),
                cmocka_unit_test(test_record_limit),  cmocka_unit_test(test_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
