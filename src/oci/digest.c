/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A digest string is kept as it is written: it is compared, used as a file name and as a database key. So
 * there is exactly one spelling (known algorithm, lower-case hex, full length), and everything that reads
 * one checks it by digest_is_valid() first. */

#include <openssl/evp.h>
#include <unistd.h>

#include "basic/string-util.h"
#include "oci/digest.h"

#define DIGEST_BUFFER_SIZE (128U * 1024)

static const struct {
        const char *name;
        size_t hex_length;
        const EVP_MD *(*md)(void);
} algorithm_table[_DIGEST_ALGORITHM_MAX] = {
        [DIGEST_SHA256] = { "sha256", 64, EVP_sha256 },
        [DIGEST_SHA512] = { "sha512", 128, EVP_sha512 },
};

struct Digester {
        DigestAlgorithm algorithm;
        EVP_MD_CTX *context;
};

const char *digest_algorithm_to_string(DigestAlgorithm a) {
        if (a < 0 || a >= _DIGEST_ALGORITHM_MAX)
                return NULL;

        return algorithm_table[a].name;
}

DigestAlgorithm digest_algorithm(const char *s) {
        for (DigestAlgorithm a = 0; s && a < _DIGEST_ALGORITHM_MAX; a++) {
                const char *e = startswith(s, algorithm_table[a].name);

                if (e && *e == ':')
                        return a;
        }

        return _DIGEST_ALGORITHM_INVALID;
}

const char *digest_hex(const char *s) {
        return strchr(s, ':') + 1;
}

bool digest_is_valid(const char *s) {
        DigestAlgorithm a = digest_algorithm(s);
        const char *hex;

        if (a < 0)
                return false;

        hex = digest_hex(s);
        return strlen(hex) == algorithm_table[a].hex_length && string_in_charset(hex, HEX_LOWER);
}

Digester *digester_free(Digester *d) {
        if (!d)
                return NULL;

        EVP_MD_CTX_free(d->context);
        free(d);
        return NULL;
}

int digester_new(DigestAlgorithm a, Digester **ret) {
        _cleanup_(digester_freep) Digester *d = NULL;

        if (a < 0 || a >= _DIGEST_ALGORITHM_MAX)
                return -EINVAL;

        d = calloc(1, sizeof(Digester));
        if (!d)
                return -ENOMEM;

        d->algorithm = a;
        d->context = EVP_MD_CTX_new();
        if (!d->context)
                return -ENOMEM;

        /* OpenSSL gives no errno: beside memory, only a library without this algorithm makes this fail. */
        if (EVP_DigestInit_ex(d->context, algorithm_table[a].md(), NULL) <= 0)
                return -EIO;

        *ret = TAKE_PTR(d);
        return 0;
}

int digester_update(Digester *d, const void *p, size_t n) {
        return EVP_DigestUpdate(d->context, p, n) > 0 ? 0 : -EIO;
}

int digester_finish(Digester *d, char ret[static DIGEST_STRING_MAX]) {
        unsigned char md[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        char *q;

        if (EVP_DigestFinal_ex(d->context, md, &n) <= 0)
                return -EIO;

        assert(n * 2 == algorithm_table[d->algorithm].hex_length);

        q = stpcpy(ret, algorithm_table[d->algorithm].name);
        *q++ = ':';
        for (unsigned i = 0; i < n; i++) {
                *q++ = HEX_LOWER[md[i] >> 4];
                *q++ = HEX_LOWER[md[i] & 0xf];
        }
        *q = 0;
        return 0;
}

int digest_of_bytes(DigestAlgorithm a, const void *p, size_t n, char ret[static DIGEST_STRING_MAX]) {
        _cleanup_(digester_freep) Digester *d = NULL;
        int r;

        r = digester_new(a, &d);
        if (r < 0)
                return r;

        r = digester_update(d, p, n);
        if (r < 0)
                return r;

        return digester_finish(d, ret);
}

int digest_of_fd(DigestAlgorithm a, int fd, char ret[static DIGEST_STRING_MAX]) {
        _cleanup_(digester_freep) Digester *d = NULL;
        _cleanup_free_ char *buffer = NULL;
        off_t offset = 0;
        int r;

        r = digester_new(a, &d);
        if (r < 0)
                return r;

        buffer = malloc(DIGEST_BUFFER_SIZE);
        if (!buffer)
                return -ENOMEM;

        for (;;) {
                ssize_t k = pread(fd, buffer, DIGEST_BUFFER_SIZE, offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return digester_finish(d, ret);

                r = digester_update(d, buffer, (size_t) k);
                if (r < 0)
                        return r;

                offset += k;
        }
}

int chain_id(const char *parent, const char *diff_id, char ret[static DIGEST_STRING_MAX]) {
        char text[2 * DIGEST_STRING_MAX];
        int n;

        if (!digest_is_valid(diff_id) || (parent && !digest_is_valid(parent)))
                return -EINVAL;

        if (!parent) {
                strcpy(ret, diff_id);
                return 0;
        }

        n = snprintf(text, sizeof(text), "%s %s", parent, diff_id);
        return digest_of_bytes(DIGEST_SHA256, text, (size_t) n, ret);
}
