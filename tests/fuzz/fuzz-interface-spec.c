/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "fuzz.h"
#include "network/interface-spec.h"

static void check_route(const char *text) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *again = NULL;
        Route r, s;

        if (route_parse(text, &r, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return;
        }
        again = route_format(&r);
        FUZZ_ASSERT(again && route_parse(again, &s, NULL) >= 0);
        FUZZ_ASSERT(prefix_equal(&r.destination, &s.destination) && r.metric == s.metric);
        FUZZ_ASSERT(address_compare(&r.gateway, &s.gateway) == 0);
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(interface_spec_done) InterfaceSpec s = {}, t = {};
        _cleanup_free_ char *text = NULL, *once = NULL, *twice = NULL;

        if (memchr(data, 0, size))
                return false;
        text = strndup((const char *) data, size);
        if (!text)
                return false;
        check_route(text);
        if (interface_spec_parse(text, &s) < 0)
                return false;

        FUZZ_ASSERT(strv_length(s.addresses) <= INTERFACE_ADDRESSES_MAX && strv_length(s.routes) <= INTERFACE_ROUTES_MAX);
        FUZZ_ASSERT(s.mtu <= INTERFACE_MTU_MAX && s.sent_rate <= INTERFACE_RATE_MAX && s.received_rate <= INTERFACE_RATE_MAX);
        once = interface_spec_format(&s);
        FUZZ_ASSERT(once && interface_spec_parse(once, &t) >= 0);
        twice = interface_spec_format(&t);
        FUZZ_ASSERT(twice && streq(once, twice));
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
