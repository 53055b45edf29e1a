/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "oci/digest.h"
#include "oci/manifest.h"

static void check_descriptor(const Descriptor *d) {
        Descriptor copy = {};

        FUZZ_ASSERT(d->media_type && digest_is_valid(d->digest));
        FUZZ_ASSERT(descriptor_copy(&copy, d) >= 0 && streq(copy.digest, d->digest));
        descriptor_done(&copy);
}

static bool try_manifest(const char *text, size_t size, const char *hint) {
        _cleanup_(manifest_freep) Manifest *m = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (manifest_parse(text, size, hint, &m, &e) < 0) {
                FUZZ_ASSERT(error_is_set(&e));
                return false;
        }

        FUZZ_ASSERT(m->n_layers <= LAYERS_MAX && media_kind(m->media_type) == MEDIA_MANIFEST);
        FUZZ_ASSERT(manifest_detect(text, size, hint) == MEDIA_MANIFEST);
        check_descriptor(&m->config);
        for (size_t i = 0; i < m->n_layers; i++)
                check_descriptor(m->layers + i);
        return true;
}

static bool try_index(const char *text, size_t size, const char *hint) {
        _cleanup_(platform_done) Platform host = {};
        _cleanup_(index_freep) Index *x = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (index_parse(text, size, hint, &x, &e) < 0) {
                FUZZ_ASSERT(error_is_set(&e));
                return false;
        }

        FUZZ_ASSERT(x->n_manifests <= INDEX_MANIFESTS_MAX && media_kind(x->media_type) == MEDIA_INDEX);
        FUZZ_ASSERT(manifest_detect(text, size, hint) == MEDIA_INDEX);
        for (size_t i = 0; i < x->n_manifests; i++)
                check_descriptor(x->manifests + i);

        FUZZ_ASSERT(platform_host(&host) >= 0);
        FUZZ_ASSERT(!index_select(x, &host, &e) == error_is_set(&e));
        return true;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        static const char *const hints[] = { NULL, MEDIA_TYPE_DOCKER_MANIFEST, MEDIA_TYPE_OCI_INDEX,
                                             "text/plain" };
        const char *text = (const char *) data;
        bool taken = false;

        for (size_t i = 0; i < ELEMENTSOF(hints); i++) {
                bool manifest = try_manifest(text, size, hints[i]), index = try_index(text, size, hints[i]);

                /* No document may be read as both. */
                FUZZ_ASSERT(!(manifest && index));
                if (i == 0)
                        taken = manifest || index;
        }

        return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
