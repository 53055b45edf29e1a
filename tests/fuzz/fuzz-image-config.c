/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/strv.h"
#include "fuzz.h"
#include "oci/digest.h"
#include "oci/image-config.h"

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(image_config_freep) ImageConfig *c = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (image_config_parse((const char *) data, size, &c, &e) < 0) {
                FUZZ_ASSERT(error_is_set(&e));
                return false;
        }

        FUZZ_ASSERT(!isempty(c->platform.os) && !isempty(c->platform.architecture));
        FUZZ_ASSERT(strv_length(c->diff_ids) <= LAYERS_MAX);
        FUZZ_ASSERT(strv_length(c->env) <= IMAGE_CONFIG_LIST_MAX &&
                    strv_length(c->labels) <= IMAGE_CONFIG_LIST_MAX);
        STRV_FOREACH (d, c->diff_ids)
                FUZZ_ASSERT(digest_is_valid(d));
        STRV_FOREACH (v, c->env)
                FUZZ_ASSERT(strchr(v, '=') > v);
        STRV_FOREACH (l, c->labels)
                FUZZ_ASSERT(strchr(l, '=') > l);
        FUZZ_ASSERT(strv_length(c->health.test) <= IMAGE_CONFIG_LIST_MAX);
        FUZZ_ASSERT(c->health.interval_usec <= INT64_MAX / 1000 + 1 && c->health.retries <= INT64_MAX);
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
