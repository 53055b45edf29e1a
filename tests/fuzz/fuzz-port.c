/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/string-util.h"
#include "fuzz.h"
#include "network/port.h"

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL, *again = NULL;
        _cleanup_error_ Error e = ERROR_NULL;
        Port p, q;

        if (memchr(data, 0, size))
                return false;

        text = strndup((const char *) data, size);
        if (!text)
                return false;

        if (port_parse_exposed(text, &p, NULL) >= 0)
                FUZZ_ASSERT(p.host_port == 0 && p.count > 0 && p.container_port + p.count <= UINT16_MAX + 1);
        if (port_parse(text, &p, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }

        FUZZ_ASSERT(p.container_port > 0 && p.count > 0 && p.count <= PORTS_MAX);
        FUZZ_ASSERT(p.container_port + p.count <= UINT16_MAX + 1 && p.host_port + p.count <= UINT16_MAX + 1);
        FUZZ_ASSERT(p.host_port == 0 || port_overlaps(&p, &p));
        again = port_format(&p);
        FUZZ_ASSERT(again && port_parse(again, &q, NULL) >= 0);
        FUZZ_ASSERT(p.protocol == q.protocol && p.host_port == q.host_port &&
                    p.container_port == q.container_port && p.count == q.count);
        FUZZ_ASSERT(p.host.family == q.host.family &&
                    (p.host.family == AF_UNSPEC || address_compare(&p.host, &q.host) == 0));
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
