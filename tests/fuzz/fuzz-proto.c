/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>

#include "fuzz.h"
#include "job/proto.h"

/* One datagram from a helper that somebody else controls. */

static int run(const uint8_t *data, size_t size) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        _cleanup_proto_message_ ProtoMessage m = {};
        _cleanup_error_ Error e = {};
        uint64_t v;
        int r;

        if (size == 0 || size > PROTO_MESSAGE_MAX + 1)
                return 0;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0 ||
            send(p[0], data, size, 0) != (ssize_t) size)
                abort();

        r = proto_receive(p[1], &m, true);
        if (r <= 0)
                return r;
        for (size_t i = 0; i < m.n_fields; i++) {
                if (proto_get(&m, m.keys[i]) != m.values[i])
                        abort();
                (void) proto_get_uint64(&m, m.keys[i], &v);
        }
        (void) proto_get_error(&m, &e);
        return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) run(data, size);
        return 0;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        return run(data, size) > 0;
}
