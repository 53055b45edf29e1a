/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>

#include "basic/library.h"

int library_load(const Library *l, Error *reterr_error) {
        /* Never closed. Lazy: as it would be if we were linked with it. */
        void *library = dlopen(l->soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);

        if (!library)
                return error_set(reterr_error, -ELIBACC, "NotSupported",
                                 "Cannot load %s, which is needed for %s: install %s (%s)", l->soname,
                                 l->needed_for, l->package, dlerror());

        for (size_t i = 0; i < l->n_functions; i++) {
                *l->functions[i].place = dlsym(library, l->functions[i].name);
                if (!*l->functions[i].place)
                        return error_set(reterr_error, -ELIBBAD, "NotSupported",
                                         "%s has no function %s, which is needed for %s: install another %s",
                                         l->soname, l->functions[i].name, l->needed_for, l->package);
        }
        return 0;
}
