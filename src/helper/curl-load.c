/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>

#include "helper/curl-load.h"

/* libcurl brings some thirty libraries along, which cost more than half of the time that a process takes to
 * start. One helper of a pull needs it; the others, one for each layer, do not. */

#define CURL_SONAME "libcurl.so.4"

#define CURL_DEFINE(name) typeof(name) *sym_##name;
CURL_FUNCTIONS(CURL_DEFINE)
#undef CURL_DEFINE

#define CURL_ENTRY(name) { #name, (void **) &sym_##name },
static const struct {
        const char *name;
        void **place;
} functions[] = { CURL_FUNCTIONS(CURL_ENTRY) };
#undef CURL_ENTRY

int curl_load(Error *reterr_error) {
        void *library;

        /* Never closed. Lazy: as it would be if we were linked with it. */
        library = dlopen(CURL_SONAME, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
        if (!library)
                return error_set(reterr_error, -ELIBACC, "Failed",
                                 "Cannot load %s, which pulls need: install libcurl (%s)", CURL_SONAME,
                                 dlerror());

        for (size_t i = 0; i < ELEMENTSOF(functions); i++) {
                *functions[i].place = dlsym(library, functions[i].name);
                if (!*functions[i].place)
                        return error_set(reterr_error, -ELIBBAD, "Failed", "%s has no function %s",
                                         CURL_SONAME, functions[i].name);
        }

        if (sym_curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_set(reterr_error, -EIO, "Failed", "Cannot set libcurl up");
        return 0;
}
