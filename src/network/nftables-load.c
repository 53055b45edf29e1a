/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/library.h"
#include "network/nftables-load.h"

/* With the libraries that it needs, libnftables would be a good part of what moored takes of memory; without
 * a bridge nobody needs it. */

#define NFTABLES_SONAME "libnftables.so.1"
LIBRARY_NOTE("network", "Bridges and published ports of containers", "recommended", NFTABLES_SONAME);

#define NFTABLES_DEFINE(name) typeof(name) *sym_##name;
NFTABLES_FUNCTIONS(NFTABLES_DEFINE)
#undef NFTABLES_DEFINE

#define NFTABLES_ENTRY(name) { #name, (void **) &sym_##name },
static const LibraryFunction functions[] = { NFTABLES_FUNCTIONS(NFTABLES_ENTRY) };
#undef NFTABLES_ENTRY

int nftables_load(Error *reterr_error) {
        static const Library nftables = {
                .soname = NFTABLES_SONAME,
                .needed_for = "bridges and published ports",
                .package = "libnftables",
                .functions = functions,
                .n_functions = ELEMENTSOF(functions),
        };

        return library_load(&nftables, reterr_error);
}
