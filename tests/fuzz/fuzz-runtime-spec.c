/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runtime/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A specification, and the plan made from it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *s = NULL;
        _cleanup_(plan_freep) Plan *p = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (runtime_spec_parse((const char *) data, size, &s, &e) >= 0)
                (void) plan_new(s, "/bundle", &p, &e);
        return 0;
}
