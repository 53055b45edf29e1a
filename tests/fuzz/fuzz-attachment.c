/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "fuzz.h"
#include "network/network.h"

static void check(const Attachment *a, bool cni) {
        uint8_t ether[ETHER_SIZE];

        FUZZ_ASSERT(network_name_is_valid(a->network));
        FUZZ_ASSERT(!a->interface || network_device_name_is_valid(a->interface));
        FUZZ_ASSERT(!a->mac || ether_parse(a->mac, ether) >= 0);
        FUZZ_ASSERT(strv_length(a->aliases) <= ALIASES_MAX);
        FUZZ_ASSERT(a->sent_rate <= INTERFACE_RATE_MAX && a->received_rate <= INTERFACE_RATE_MAX);
        STRV_FOREACH (t, a->addresses) {
                Prefix p = {};

                FUZZ_ASSERT(address_parse(t, &p.address) >= 0 || (cni && prefix_parse(t, &p) >= 0));
                FUZZ_ASSERT(address_is_unicast(&p.address));
        }
        /* Kept as words. */
        STRV_FOREACH (alias, a->aliases)
                FUZZ_ASSERT(!isempty(alias) && !strchr(alias, ' '));
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(attachment_done) Attachment a = {}, b = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = ERROR_NULL;

        if (memchr(data, 0, size))
                return false;

        text = strndup((const char *) data, size);
        if (!text)
                return false;

        if (attachment_parse_cni(text, &b, NULL) >= 0)
                check(&b, true);
        if (attachment_parse(text, &a, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }
        /* The other takes more. */
        FUZZ_ASSERT(b.network);
        check(&a, false);
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
