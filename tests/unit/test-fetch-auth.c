/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "helper/auth.h"

static void test_challenge(void **state) {
        static const struct {
                const char *header;
                int r;
                const char *realm, *service, *scope;
        } table[] = {
                { "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/busybox:pull\"",
                  1, "https://auth.docker.io/token", "registry.docker.io",
                  "repository:library/busybox:pull" },
                { "bearer Realm=\"https://x\"", 1, "https://x", NULL, NULL },
                { "Bearer realm = \"https://x\" , scope=\"a,b\"", 1, "https://x", NULL, "a,b" },
                { "Bearer realm=token.x, service=y", 1, "token.x", "y", NULL },
                { "Bearer realm=\"a\\\"b\\\\c\"", 1, "a\"b\\c", NULL, NULL },
                { "Basic realm=\"x\", Bearer realm=\"https://y\", service=\"s\"", 1, "https://y", "s",
                  NULL },
                { "Bearer realm=\"https://y\", Basic realm=\"x\"", 1, "https://y", NULL, NULL },
                { "Negotiate YWJj==, Bearer realm=\"https://y\"", 1, "https://y", NULL, NULL },
                { ", ,Bearer  realm=\"https://y\",,error=\"invalid_token\",", 1, "https://y", NULL, NULL },
                { "Bearer realm=\"first\",realm=\"second\"", 1, "first", NULL, NULL },
                { "Basic realm=\"x\"", 0, NULL, NULL, NULL },
                { "Bearer service=\"x\"", 0, NULL, NULL, NULL },
                { "Bearer", 0, NULL, NULL, NULL },
                { "Bearer realm=\"\"", 0, NULL, NULL, NULL },
                { "", -EBADMSG, NULL, NULL, NULL },
                { "realm=\"x\"", -EBADMSG, NULL, NULL, NULL },
                { "Bearer realm=\"x", -EBADMSG, NULL, NULL, NULL },
                { "Bearer realm=\"x\\", -EBADMSG, NULL, NULL, NULL },
                { "Bearer realm=\"x\ny\"", -EBADMSG, NULL, NULL, NULL },
                { "Bearer realm=@", -EBADMSG, NULL, NULL, NULL },
                { "\"", -EBADMSG, NULL, NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(auth_challenge_done) AuthChallenge c = {};

                print_message("%s\n", table[i].header);
                assert_int_equal(auth_parse_challenge(table[i].header, &c), table[i].r);
                assert_true(streq_ptr(c.realm, table[i].realm));
                assert_true(streq_ptr(c.service, table[i].service));
                assert_true(streq_ptr(c.scope, table[i].scope));
        }
}

static void test_challenge_limits(void **state) {
        char header[AUTH_HEADER_MAX + 64] = "Bearer realm=\"";
        AuthChallenge c = {};
        size_t n = strlen(header);

        memset(header + n, 'r', AUTH_VALUE_MAX);
        header[n + AUTH_VALUE_MAX] = '"';
        assert_int_equal(auth_parse_challenge(header, &c), 1);
        assert_int_equal(strlen(c.realm), AUTH_VALUE_MAX);
        auth_challenge_done(&c);
        header[n + AUTH_VALUE_MAX] = 'r';
        header[n + AUTH_VALUE_MAX + 1] = '"';
        assert_int_equal(auth_parse_challenge(header, &c), -EBADMSG);

        memset(header, ',', sizeof(header) - 1);
        header[0] = 'B';
        header[AUTH_HEADER_MAX] = 0;
        assert_int_equal(auth_parse_challenge(header, &c), 0);
        header[AUTH_HEADER_MAX] = ',';
        header[AUTH_HEADER_MAX + 1] = 0;
        assert_int_equal(auth_parse_challenge(header, &c), -EBADMSG);
}

static void test_url(void **state) {
        static const struct {
                const char *realm, *service, *scope;
                bool http;
                const char *url; /* NULL: refused */
        } table[] = {
                { "https://a/token", "s v", "repository:a/b:pull", false,
                  "https://a/token?service=s%20v&scope=repository%3Aa%2Fb%3Apull" },
                { "https://a/token?x=1", NULL, "s", false, "https://a/token?x=1&scope=s" },
                { "https://a", NULL, NULL, false, "https://a" },
                { "https://a", "\"&\r\nHost: b", NULL, false, "https://a?service=%22%26%0D%0AHost%3A%20b" },
                { "http://127.0.0.1:5001/auth", NULL, NULL, true, "http://127.0.0.1:5001/auth" },
                { "http://a/token", NULL, NULL, false, NULL },
                { "file:///etc/passwd", NULL, NULL, true, NULL },
                { "https://", NULL, NULL, true, NULL },
                { "https:///x", NULL, NULL, true, NULL },
                { "https://user:pw@a/", NULL, NULL, true, NULL },
                { "https://a/#x", NULL, NULL, true, NULL },
                { "https://a/ b", NULL, NULL, true, NULL },
                { "https://\xc3\xa4/", NULL, NULL, true, NULL },
                { "token", NULL, NULL, true, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                AuthChallenge c = { (char *) table[i].realm, (char *) table[i].service,
                                    (char *) table[i].scope };
                _cleanup_free_ char *url = NULL;

                assert_int_equal(auth_token_url(&c, table[i].http, &url), table[i].url ? 0 : -EPERM);
                assert_true(streq_ptr(url, table[i].url));
        }
}

static void test_token(void **state) {
        static const struct {
                const char *text, *token;
        } table[] = {
                { "{\"token\":\"abc.DEF-_~+/=\"}", "abc.DEF-_~+/=" },
                { "{\"access_token\":\"x\",\"expires_in\":300}", "x" },
                { "{\"token\":\"a\",\"access_token\":\"b\"}", "a" },
                { "{\"token\":\"\"}", NULL },
                { "{\"token\":\"a b\"}", NULL },
                { "{\"token\":\"a\\r\\nX: y\"}", NULL },
                { "{\"token\":1}", NULL },
                { "{}", NULL },
                { "[]", NULL },
                { "", NULL },
                { "<html>", NULL },
        };
        _cleanup_free_ char *big = calloc(1, AUTH_TOKEN_MAX + 64), *token = NULL;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *t = NULL;

                assert_int_equal(auth_parse_token(table[i].text, strlen(table[i].text), &t),
                                 table[i].token ? 0 : -EBADMSG);
                assert_true(streq_ptr(t, table[i].token));
        }

        strcpy(big, "{\"token\":\"");
        memset(big + 10, 't', AUTH_TOKEN_MAX);
        strcpy(big + 10 + AUTH_TOKEN_MAX, "\"}");
        assert_int_equal(auth_parse_token(big, strlen(big), &token), 0);
        assert_int_equal(strlen(token), AUTH_TOKEN_MAX);
        strcpy(big + 10 + AUTH_TOKEN_MAX, "t\"}");
        assert_int_equal(auth_parse_token(big, strlen(big), &token), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_challenge),
                cmocka_unit_test(test_challenge_limits),
                cmocka_unit_test(test_url),
                cmocka_unit_test(test_token),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
