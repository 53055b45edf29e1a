/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/string-util.h"
#include "oci/reference.h"

#define D256 "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define D512                                                                                                             \
        "sha512:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"                                        \
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static void check(const char *s, const char *registry, const char *repository, const char *tag, const char *digest) {
        _cleanup_(reference_freep) Reference *r = NULL, *again = NULL;
        _cleanup_free_ char *text = NULL, *text_again = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (reference_parse(s, &r, &e) < 0)
                fail_msg("%s: %s", s, error_message(&e));
        assert_false(error_is_set(&e));
        assert_string_equal(r->registry, registry);
        assert_string_equal(r->repository, repository);
        assert_true(streq_ptr(r->tag, tag));
        assert_true(streq_ptr(r->digest, digest));

        /* The complete form names the same thing again. */
        text = reference_to_string(r);
        assert_non_null(text);
        assert_int_equal(reference_parse(text, &again, NULL), 0);
        text_again = reference_to_string(again);
        assert_string_equal(text_again, text);
}

static void test_parse(void **state) {
        check("busybox", "docker.io", "library/busybox", "latest", NULL);
        check("busybox:1.36", "docker.io", "library/busybox", "1.36", NULL);
        check("busybox@" D256, "docker.io", "library/busybox", NULL, D256);
        check("busybox:1@" D256, "docker.io", "library/busybox", "1", D256);
        check("docker.io/busybox", "docker.io", "library/busybox", "latest", NULL);
        check("index.docker.io/a/b", "docker.io", "a/b", "latest", NULL);
        check("a/b", "docker.io", "a/b", "latest", NULL);
        check("a/b/c:x", "docker.io", "a/b/c", "x", NULL);
        check("test.com:5000", "docker.io", "library/test.com", "5000", NULL);
        check("test.com/repo:tag", "test.com", "repo", "tag", NULL);
        check("test:5000/repo", "test:5000", "repo", "latest", NULL);
        check("test:5000/repo:tag@" D256, "test:5000", "repo", "tag", D256);
        check("localhost/a/b:tag", "localhost", "a/b", "tag", NULL);
        check("127.0.0.1:5000/debian:test", "127.0.0.1:5000", "debian", "test", NULL);
        check("Uppercase/lowercase:tag", "Uppercase", "lowercase", "tag", NULL);
        check("lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase", NULL);
        check("sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com", "bar/baz/quux", "some-long-tag", NULL);
        check("b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io", "test.example.com/my-app", "test.example.com", NULL);
        check("xn--7o8h.com/myimage:xn--7o8h.com@" D512, "xn--7o8h.com", "myimage", "xn--7o8h.com", D512);
        check("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080", NULL);
        check("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080", NULL);
        check("192.168.1.1:5000/repo:5050", "192.168.1.1:5000", "repo", "5050", NULL);
        check("[2001:db8::1]/repo", "[2001:db8::1]", "repo", "latest", NULL);
        check("[::1]:5000/repo:tag", "[::1]:5000", "repo", "tag", NULL);
        check("a__b/c---d/e.f_g", "docker.io", "a__b/c---d/e.f_g", "latest", NULL);
        check("tag:_x.-", "docker.io", "library/tag", "_x.-", NULL);
}

static void expect_invalid(const char *s) {
        _cleanup_(reference_freep) Reference *r = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (reference_parse(s, &r, &e) >= 0)
                fail_msg("\"%s\" was taken", s);
        assert_null(r);
        assert_int_equal(e.error, -EINVAL);
        assert_true(error_has_name(&e, "InvalidReference"));
        assert_true(string_is_safe(error_message(&e)));
}

static void test_invalid(void **state) {
        static const char *const bad[] = {
                "", ":justtag", "@" D256, "/", "a/", "/a", "a//b", "a:", "a@", "a:b:c", "a@" D256 "@" D256, "a:x@" D256 "x",
                "repo@sha256:ffffffffffffffffffffffffffffffffff", "validname@invaliddigest:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                "repo@sha256:FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
                "Uppercase:tag", "test:5000/Uppercase/lowercase:tag", "aa/asdf$$^/aa", "a b", "a\nb", "\xff\xfe", "../../etc/passwd", "a/../b",
                "a._b", "a___b", "a..b", "-a", "a-", ".a", "a.", "a:-tag", "a:.tag", "a:t/x:", "http://a/b",
                "[2001:db8::1]", "[2001:db8::1]:5000", "[2001:db8::1]:tag", "[fe80::1%eth0]:5000/repo", "[::1/repo", "[]/repo", "[:::]/x",
                "[::ffff:1.2.3.4]/x", "host:/repo", "host:0/repo", "host:65536/repo", "host:12a/repo", "host:5000:1/repo", "-h.com/x", "h-.com/x",
                "h..com/x", ".com/x", "com./x", "h_x.com:80/x",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                expect_invalid(bad[i]);
        expect_invalid(NULL);
}

static void fill(char *buf, char c, size_t n) {
        memset(buf, c, n);
        buf[n] = 0;
}

static void test_limits(void **state) {
        char name[REFERENCE_MAX + 2], s[2 * REFERENCE_MAX];

        /* registry + "/" + repository: "docker.io/x/" is 12 */
        fill(name, 'a', REFERENCE_NAME_MAX - 12);
        snprintf(s, sizeof(s), "x/%s", name);
        check(s, "docker.io", s, "latest", NULL);
        fill(name, 'a', REFERENCE_NAME_MAX - 11);
        snprintf(s, sizeof(s), "x/%s", name);
        expect_invalid(s);

        fill(name, 't', REFERENCE_TAG_MAX);
        snprintf(s, sizeof(s), "a:%s", name);
        check(s, "docker.io", "library/a", name, NULL);
        fill(name, 't', REFERENCE_TAG_MAX + 1);
        snprintf(s, sizeof(s), "a:%s", name);
        expect_invalid(s);

        /* "h.io/" + name + ":" + 128 + "@" + 135 */
        {
                char tag[REFERENCE_TAG_MAX + 1];
                size_t room = REFERENCE_MAX - 5 - 1 - REFERENCE_TAG_MAX - 1 - strlen(D512);

                fill(tag, 't', REFERENCE_TAG_MAX);
                fill(name, 'a', room);
                snprintf(s, sizeof(s), "h.io/%s:%s@%s", name, tag, D512);
                assert_int_equal(strlen(s), REFERENCE_MAX);
                check(s, "h.io", name, tag, D512);
                fill(name, 'a', room + 1);
                snprintf(s, sizeof(s), "h.io/%s:%s@%s", name, tag, D512);
                expect_invalid(s);

                /* Short enough as written, too long when completed. */
                fill(name, 'a', room);
                snprintf(s, sizeof(s), "%s:%s@%s", name, tag, D512);
                expect_invalid(s);
        }
}

static void test_target(void **state) {
        static const struct {
                const char *s, *host, *object;
                bool loopback;
        } table[] = {
                { "busybox", "registry-1.docker.io", "latest", false },
                { "busybox:1@" D256, "registry-1.docker.io", D256, false },
                { "quay.io/a/b:c", "quay.io", "c", false },
                { "localhost/a", "localhost", "latest", true },
                { "localhost:5000/a", "localhost:5000", "latest", true },
                { "LOCALHOST:5000/a", "LOCALHOST:5000", "latest", true },
                { "127.0.0.1:5000/a", "127.0.0.1:5000", "latest", true },
                { "127.255.0.9/a", "127.255.0.9", "latest", true },
                { "[::1]:5000/a", "[::1]:5000", "latest", true },
                { "[0:0:0:0:0:0:0:1]/a", "[0:0:0:0:0:0:0:1]", "latest", true },
                { "[::2]:5000/a", "[::2]:5000", "latest", false },
                { "127.0.0.1.example.com/a", "127.0.0.1.example.com", "latest", false },
                { "localhost.example.com/a", "localhost.example.com", "latest", false },
                { "128.0.0.1/a", "128.0.0.1", "latest", false },
                { "127.1/a", "127.1", "latest", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(reference_freep) Reference *r = NULL;

                assert_int_equal(reference_parse(table[i].s, &r, NULL), 0);
                assert_string_equal(reference_host(r), table[i].host);
                assert_string_equal(reference_object(r), table[i].object);
                assert_int_equal(reference_is_loopback(r), table[i].loopback);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_target),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
