/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "fuzz.h"
#include "oci/reference.h"

static void check_again(const char *text, const Reference *r) {
        _cleanup_(reference_freep) Reference *again = NULL;

        FUZZ_ASSERT(reference_parse(text, &again, NULL) >= 0);
        FUZZ_ASSERT(streq(again->registry, r->registry) && streq(again->repository, r->repository));
        FUZZ_ASSERT(streq_ptr(again->tag, r->tag) && streq_ptr(again->digest, r->digest));
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(reference_freep) Reference *r = NULL;
        _cleanup_free_ char *text = NULL, *full = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (memchr(data, 0, size))
                return false;

        text = strndup((const char *) data, size);
        if (!text)
                return false;

        if (reference_parse(text, &r, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }

        /* The complete form names the same image again. */
        full = reference_to_string(r);
        FUZZ_ASSERT(full && strlen(full) <= REFERENCE_MAX);
        check_again(full, r);
        FUZZ_ASSERT(reference_object(r) && reference_host(r));
        (void) reference_is_loopback(r);
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
