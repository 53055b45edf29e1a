/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "oci/digest.h"

/* FIPS 180-2, appendices B and C. */
#define ABC_256 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                                          \
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                                        \
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define MILLION_256 "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void test_valid(void **state) {
        char s[DIGEST_STRING_MAX + 1];

        assert_true(digest_is_valid(ABC_256));
        assert_true(digest_is_valid(ABC_512));
        assert_int_equal(strlen(ABC_512) + 1, DIGEST_STRING_MAX);
        assert_int_equal(digest_algorithm(ABC_256), DIGEST_SHA256);
        assert_int_equal(digest_algorithm(ABC_512), DIGEST_SHA512);
        assert_true(digest_algorithm("sha384:00") < 0);
        assert_true(digest_algorithm("sha256") < 0);
        assert_true(digest_algorithm(NULL) < 0);
        assert_string_equal(digest_hex(ABC_256), &ABC_256[7]);
        assert_string_equal(digest_algorithm_to_string(DIGEST_SHA512), "sha512");
        assert_null(digest_algorithm_to_string(_DIGEST_ALGORITHM_MAX));
        assert_null(digest_algorithm_to_string(_DIGEST_ALGORITHM_INVALID));

        assert_false(digest_is_valid(NULL));
        assert_false(digest_is_valid(""));
        assert_false(digest_is_valid("sha256:"));
        assert_false(digest_is_valid("sha256:../../x"));

        strcpy(s, ABC_256);
        s[10] = 'A';
        assert_false(digest_is_valid(s));
        s[10] = '/';
        assert_false(digest_is_valid(s));
        strcpy(s, ABC_256);
        s[strlen(s) - 1] = 0;
        assert_false(digest_is_valid(s));
        strcpy(s, ABC_256 "0");
        assert_false(digest_is_valid(s));
        strcpy(s, ABC_512);
        s[strlen(s) - 64] = 0;
        assert_false(digest_is_valid(s));
}

static void test_compute(void **state) {
        char d[DIGEST_STRING_MAX];

        assert_int_equal(digest_of_bytes(DIGEST_SHA256, "abc", 3, d), 0);
        assert_string_equal(d, ABC_256);
        assert_int_equal(digest_of_bytes(DIGEST_SHA512, "abc", 3, d), 0);
        assert_string_equal(d, ABC_512);
        assert_int_equal(digest_of_bytes(_DIGEST_ALGORITHM_INVALID, "abc", 3, d), -EINVAL);
        assert_int_equal(digest_of_bytes(_DIGEST_ALGORITHM_MAX, "abc", 3, d), -EINVAL);
}

static void test_parts(void **state) {
        _cleanup_(digester_freep) Digester *d = NULL;
        char s[DIGEST_STRING_MAX], a[1000];

        memset(a, 'a', sizeof(a));
        assert_int_equal(digester_new(DIGEST_SHA256, &d), 0);
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(digester_update(d, a, sizeof(a)), 0);
        assert_int_equal(digester_update(d, NULL, 0), 0);
        assert_int_equal(digester_finish(d, s), 0);
        assert_string_equal(s, MILLION_256);
}

static void test_file(void **state) {
        _cleanup_free_ char *a = malloc(1000000);
        char path[] = "/tmp/test-digest-XXXXXX", s[DIGEST_STRING_MAX];
        _cleanup_close_ int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(unlink(path), 0);
        memset(a, 'a', 1000000);
        assert_int_equal(write_full(fd, a, 1000000), 0);

        /* From the beginning, wherever the offset is, which stays. */
        assert_int_equal(digest_of_fd(DIGEST_SHA256, fd, s), 0);
        assert_string_equal(s, MILLION_256);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 1000000);
        assert_int_equal(digest_of_fd(DIGEST_SHA256, -EBADF, s), -EBADF);
}

static void test_chain(void **state) {
        char one[DIGEST_STRING_MAX], two[DIGEST_STRING_MAX], expected[DIGEST_STRING_MAX];

        assert_int_equal(chain_id(NULL, ABC_256, one), 0);
        assert_string_equal(one, ABC_256);

        assert_int_equal(chain_id(one, MILLION_256, two), 0);
        assert_int_equal(digest_of_bytes(DIGEST_SHA256, ABC_256 " " MILLION_256, strlen(ABC_256 " " MILLION_256), expected), 0);
        assert_string_equal(two, expected);

        assert_int_equal(chain_id(NULL, "sha256:12", one), -EINVAL);
        assert_int_equal(chain_id("x", ABC_256, one), -EINVAL);

        /* The result may be where the parent is. */
        assert_int_equal(chain_id(one, MILLION_256, one), 0);
        assert_string_equal(one, expected);

        assert_int_equal(chain_id(ABC_512, ABC_512, two), 0);
        assert_true(digest_is_valid(two));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_compute),
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_file),
                cmocka_unit_test(test_chain),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
