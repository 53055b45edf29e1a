/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strings.h>

#include "basic/json.h"
#include "basic/string-util.h"
#include "helper/auth.h"

/* RFC 9110's tchar, and what it allows in URLs and tokens. */
#define TCHAR "!#$%&'*+-.^_`|~" DIGITS LOWERCASE UPPERCASE
#define UNRESERVED "-._~" DIGITS LOWERCASE UPPERCASE

void auth_challenge_done(AuthChallenge *c) {
        free(c->realm);
        free(c->service);
        free(c->scope);
        *c = (AuthChallenge) {};
}

static const char *skip(const char *p, const char *set) {
        return p + strspn(p, set);
}

/* token or quoted-string at *p. -EBADMSG, -ENOMEM. */
static int parse_value(const char **p, char **ret) {
        _cleanup_free_ char *v = NULL;
        const char *s = *p;
        size_t n = 0;

        if (*s != '"') {
                n = strspn(s, TCHAR);
                if (n == 0 || n > AUTH_VALUE_MAX)
                        return -EBADMSG;
                *ret = strndup(s, n);
                *p = s + n;
                return *ret ? 0 : -ENOMEM;
        }

        v = malloc(AUTH_VALUE_MAX + 1);
        if (!v)
                return -ENOMEM;
        for (s++; *s != '"'; s++) {
                if (*s == '\\')
                        s++;
                if ((unsigned char) *s < 0x20 || *s == 0x7f || n >= AUTH_VALUE_MAX)
                        return -EBADMSG; /* the end of the string as well */
                v[n++] = *s;
        }
        v[n] = 0;

        *p = s + 1;
        *ret = TAKE_PTR(v);
        return 0;
}

/* Keeps the first of each name. */
static void keep_param(AuthChallenge *c, const char *name, size_t n, char **value) {
        const struct {
                const char *name;
                char **place;
        } known[] = { { "realm", &c->realm }, { "service", &c->service }, { "scope", &c->scope } };

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (strlen(known[i].name) == n && strncasecmp(known[i].name, name, n) == 0 &&
                    !*known[i].place)
                        *known[i].place = TAKE_PTR(*value);
}

int auth_parse_challenge(const char *header, AuthChallenge *ret) {
        _cleanup_(auth_challenge_done) AuthChallenge c = {};
        bool bearer = false, any = false;

        if (strlen(header) > AUTH_HEADER_MAX)
                return -EBADMSG;

        for (const char *p = skip(header, " \t,"); *p; p = skip(p, " \t,")) {
                _cleanup_free_ char *value = NULL;
                size_t n = strspn(p, TCHAR);
                const char *name = p, *after;
                int r;

                if (n == 0)
                        return -EBADMSG;
                after = skip(p + n, " \t");
                if (*after != '=') {
                        /* A scheme: the parameters of the one before are complete. */
                        if (bearer && c.realm)
                                break;
                        auth_challenge_done(&c);
                        bearer = n == strlen("Bearer") && strncasecmp(p, "Bearer", n) == 0;
                        any = true;
                        p += n;
                        continue;
                }

                if (!any)
                        return -EBADMSG;
                p = skip(after + 1, " \t");
                if (*p == '=' || *p == ',' || *p == 0) {
                        /* Padding of a token68, as Negotiate has it. */
                        p = skip(p, "=");
                        continue;
                }
                r = parse_value(&p, &value);
                if (r < 0)
                        return r;
                if (bearer)
                        keep_param(&c, name, n, &value);
        }

        if (!any)
                return -EBADMSG;
        if (!bearer || isempty(c.realm))
                return 0;
        *ret = c;
        c = (AuthChallenge) {};
        return 1;
}

/* Percent-encodes a query value (RFC 3986). */
static char *url_encode(const char *s) {
        static const char hex[] = "0123456789ABCDEF";
        char *out = malloc(strlen(s) * 3 + 1), *o = out;

        if (!out)
                return NULL;
        for (; *s; s++)
                if (strchr(UNRESERVED, *s))
                        *o++ = *s;
                else {
                        *o++ = '%';
                        *o++ = hex[(unsigned char) *s >> 4];
                        *o++ = hex[(unsigned char) *s & 15];
                }
        *o = 0;
        return out;
}

static int append_query(char **url, const char *name, const char *value) {
        _cleanup_free_ char *encoded = NULL;
        char *longer;

        if (isempty(value))
                return 0;
        encoded = url_encode(value);
        longer = encoded ? strjoin(*url, strchr(*url, '?') ? "&" : "?", name, "=", encoded) : NULL;
        if (!longer)
                return -ENOMEM;

        free(*url);
        *url = longer;
        return 0;
}

int auth_token_url(const AuthChallenge *c, bool allow_http, char **ret) {
        _cleanup_free_ char *url = NULL;
        const char *host;
        int r;

        host = startswith(c->realm, "https://");
        if (!host && allow_http)
                host = startswith(c->realm, "http://");
        /* No user name, no fragment, nothing that would be another header line. */
        if (isempty(host) || host[0] == '/' || host[strcspn(host, "@#\\\"<> ")] != 0)
                return -EPERM;
        for (const char *p = host; *p; p++)
                if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7f)
                        return -EPERM;

        url = strdup(c->realm);
        if (!url)
                return -ENOMEM;
        r = append_query(&url, "service", c->service);
        if (r < 0)
                return r;
        r = append_query(&url, "scope", c->scope);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(url);
        return 0;
}

int auth_parse_token(const char *text, size_t n, char **ret) {
        _cleanup_json_ json_t *j = NULL;
        const char *token;
        char *copy;

        if (json_parse(text, n, AUTH_REPLY_MAX, &j, NULL) < 0)
                return -EBADMSG;
        token = json_get_string(j, "token") ?: json_get_string(j, "access_token");
        if (isempty(token) || strlen(token) > AUTH_TOKEN_MAX ||
            !string_in_charset(token, "-._~+/=:" DIGITS LOWERCASE UPPERCASE))
                return -EBADMSG;

        copy = strdup(token);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}
