/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "runtime/plan.h"

/* A specification, and the plan made from it. */
bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_(plan_freep) Plan *p = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (runtime_spec_parse((const char *) data, size, &s, &e) < 0 || plan_new(s, "/bundle", &p, &e) < 0) {
                FUZZ_ASSERT(error_is_set(&e));
                return false;
        }
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
