/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a registry asks for a token, and what answers it (RFC 9110 section 11, RFC 6750; Docker's token
 * authentication). Pure and bounded. */

#include "basic/error.h"

#define AUTH_HEADER_MAX 8192U
#define AUTH_VALUE_MAX 2048U  /* realm, service, scope */
#define AUTH_TOKEN_MAX 16384U
#define AUTH_REPLY_MAX 65536U /* the token server's JSON */

typedef struct AuthChallenge {
        char *realm;   /* an URL */
        char *service; /* or NULL */
        char *scope;   /* or NULL */
} AuthChallenge;

void auth_challenge_done(AuthChallenge *c);

/* A WWW-Authenticate header's value, with any number of challenges. 1: *ret is the first one of scheme
 * Bearer with a realm; 0: there is none (Basic and others need credentials); -EBADMSG: it is no such header.
 */
int auth_parse_challenge(const char *header, AuthChallenge *ret);
/* Where to GET the token. -EPERM if the realm is no URL of a permitted scheme. */
int auth_token_url(const AuthChallenge *c, bool allow_http, char **ret);
/* The token in the server's answer, safe to be put into a header. -EBADMSG. */
int auth_parse_token(const char *text, size_t n, char **ret);
