/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "fuzz.h"
#include "network/network.h"

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(attachment_done) Attachment a = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        uint8_t ether[ETHER_SIZE];

        if (memchr(data, 0, size))
                return false;

        text = strndup((const char *) data, size);
        if (!text)
                return false;

        if (attachment_parse(text, &a, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }

        FUZZ_ASSERT(network_name_is_valid(a.network));
        FUZZ_ASSERT(!a.interface || network_device_name_is_valid(a.interface));
        FUZZ_ASSERT(!a.mac || ether_parse(a.mac, ether) >= 0);
        FUZZ_ASSERT(strv_length(a.aliases) <= ALIASES_MAX);
        STRV_FOREACH (t, a.addresses) {
                Address address;

                FUZZ_ASSERT(address_parse(t, &address) >= 0 && address_is_unicast(&address));
        }
        /* Kept as words. */
        STRV_FOREACH (alias, a.aliases)
                FUZZ_ASSERT(!isempty(alias) && !strchr(alias, ' '));
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
