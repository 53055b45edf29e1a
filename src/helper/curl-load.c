/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/library.h"
#include "helper/curl-load.h"

/* libcurl brings some thirty libraries along, which cost more than half of the time that a process takes to
 * start. One helper of a pull needs it; the others, one for each layer, do not. */

#define CURL_SONAME "libcurl.so.4"
LIBRARY_NOTE("registry", "Pulling images from registries", "recommended", CURL_SONAME);

#define CURL_DEFINE(name) typeof(name) *sym_##name;
CURL_FUNCTIONS(CURL_DEFINE)
#undef CURL_DEFINE

#define CURL_ENTRY(name) { #name, (void **) &sym_##name },
static const LibraryFunction functions[] = { CURL_FUNCTIONS(CURL_ENTRY) };
#undef CURL_ENTRY

int curl_load(Error *reterr_error) {
        static const Library curl = {
                .soname = CURL_SONAME,
                .needed_for = "pulls",
                .package = "libcurl",
                .functions = functions,
                .n_functions = ELEMENTSOF(functions),
        };
        int r;

        r = library_load(&curl, reterr_error);
        if (r < 0)
                return r;
        if (sym_curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_set(reterr_error, -EIO, "Failed", "Cannot set libcurl up");
        return 0;
}
