/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "helper/auth.h"

/* WWW-Authenticate headers; what begins as JSON does is a token server's answer. */

static int run(const uint8_t *data, size_t size) {
        _cleanup_(auth_challenge_done) AuthChallenge c = {};
        _cleanup_free_ char *text = NULL, *url = NULL, *token = NULL;
        int r;

        if (size > 0 && data[0] == '{') {
                r = auth_parse_token((const char *) data, size, &token);
                if (r >= 0 && (isempty(token) || strpbrk(token, " \r\n")))
                        abort();
                return r >= 0;
        }

        text = strndup((const char *) data, size);
        if (!text)
                abort();
        r = auth_parse_challenge(text, &c);
        if (r <= 0)
                return 0;
        if (isempty(c.realm))
                abort();
        r = auth_token_url(&c, true, &url);
        if (r >= 0 && strpbrk(url, " \r\n"))
                abort();
        return r >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) run(data, size);
        return 0;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        return run(data, size) > 0;
}
