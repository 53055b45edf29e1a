/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/hashmap.h"

static void test_basics(void **state) {
        _cleanup_(hashmap_freep) Hashmap *h = hashmap_new();
        char key[] = "key";
        int a, b;

        assert_non_null(h);
        assert_int_equal(hashmap_size(h), 0);
        assert_null(hashmap_get(h, "key"));
        assert_null(hashmap_remove(h, "key"));

        assert_int_equal(hashmap_put(h, key, &a), 1);
        key[0] = 'K'; /* the table has its own copy */
        assert_ptr_equal(hashmap_get(h, "key"), &a);
        assert_null(hashmap_get(h, "Key"));
        assert_int_equal(hashmap_put(h, "key", &b), -EEXIST);
        assert_ptr_equal(hashmap_get(h, "key"), &a);
        assert_int_equal(hashmap_replace(h, "key", &b), 0);
        assert_ptr_equal(hashmap_get(h, "key"), &b);
        assert_int_equal(hashmap_replace(h, "", &a), 1);
        assert_ptr_equal(hashmap_get(h, ""), &a);
        assert_int_equal(hashmap_put(h, "null", NULL), 1);
        assert_int_equal(hashmap_put(h, "null", &a), -EEXIST);
        assert_int_equal(hashmap_size(h), 3);

        assert_ptr_equal(hashmap_remove(h, "key"), &b);
        assert_null(hashmap_remove(h, "key"));
        assert_int_equal(hashmap_size(h), 2);
        assert_int_equal(hashmap_put(h, "key", &a), 1);
}

static void test_null_table(void **state) {
        HashmapIterator i = 0;
        int *v, n = 0;

        assert_null(hashmap_get(NULL, "x"));
        assert_null(hashmap_remove(NULL, "x"));
        assert_int_equal(hashmap_size(NULL), 0);
        assert_false(hashmap_iterate(NULL, &i, NULL, NULL));
        HASHMAP_FOREACH(v, NULL)
                n++;
        assert_int_equal(n, 0);
        assert_null(hashmap_free(NULL));
}

#define MANY 20000U

static void test_many(void **state) {
        _cleanup_(hashmap_freep) Hashmap *h = hashmap_new();
        static unsigned values[MANY];
        HashmapIterator it = 0;
        const char *k;
        void *v;
        char key[64];
        unsigned n = 0;

        /* Keys of all lengths up to three words of the hash. */
        for (unsigned i = 0; i < MANY; i++) {
                (void) snprintf(key, sizeof(key), "%0*u", (int) (5 + i % 20), i);
                assert_int_equal(hashmap_put(h, key, values + i), 1);
        }
        assert_int_equal(hashmap_size(h), MANY);

        while (hashmap_iterate(h, &it, &k, &v)) {
                assert_ptr_equal(v, values + n); /* in order of insertion */
                n++;
        }
        assert_int_equal(n, MANY);

        for (unsigned i = 0; i < MANY; i++) {
                (void) snprintf(key, sizeof(key), "%0*u", (int) (5 + i % 20), i);
                assert_ptr_equal(hashmap_get(h, key), values + i);
                if (i % 3 != 0)
                        assert_ptr_equal(hashmap_remove(h, key), values + i);
        }
        assert_int_equal(hashmap_size(h), (MANY + 2) / 3);
        for (unsigned i = 0; i < MANY; i++) {
                (void) snprintf(key, sizeof(key), "%0*u", (int) (5 + i % 20), i);
                assert_ptr_equal(hashmap_get(h, key), i % 3 != 0 ? NULL : values + i);
        }
}

static void test_remove_while_iterating(void **state) {
        _cleanup_(hashmap_freep) Hashmap *h = hashmap_new();
        HashmapIterator it = 0;
        unsigned n = 0;
        const char *k;
        int x;

        for (unsigned i = 0; i < 100; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "%u", i);
                assert_int_equal(hashmap_put(h, key, &x), 1);
        }
        while (hashmap_iterate(h, &it, &k, NULL)) {
                n++;
                assert_ptr_equal(hashmap_remove(h, k), &x); /* by the table's own copy of the key */
        }
        assert_int_equal(n, 100);
        assert_int_equal(hashmap_size(h), 0);
}

static void test_churn(void **state) {
        _cleanup_(hashmap_freep) Hashmap *h = hashmap_new();
        int x, *v;
        unsigned n = 0;

        /* Coming and going for long: holes are reclaimed, order stays. */
        assert_int_equal(hashmap_put(h, "first", &x), 1);
        for (unsigned i = 0; i < 200000; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "%u", i);
                assert_int_equal(hashmap_put(h, key, &x), 1);
                if (i >= 10) {
                        (void) snprintf(key, sizeof(key), "%u", i - 10);
                        assert_ptr_equal(hashmap_remove(h, key), &x);
                }
        }
        assert_int_equal(hashmap_size(h), 11);
        HASHMAP_FOREACH(v, h) {
                assert_ptr_equal(v, &x);
                n++;
        }
        assert_int_equal(n, 11);
        assert_ptr_equal(hashmap_get(h, "first"), &x);
        assert_ptr_equal(hashmap_get(h, "199999"), &x);
        assert_null(hashmap_get(h, "199989"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_basics),
                cmocka_unit_test(test_null_table),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_churn),
                cmocka_unit_test(test_remove_while_iterating),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
