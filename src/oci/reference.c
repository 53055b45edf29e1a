/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The grammar is that of distribution/reference:
 *
 *   reference = name [":" tag] ["@" digest]
 *   name      = [domain "/"] path
 *   domain    = host [":" port]
 *   host      = DNS name, IPv4 address, or IPv6 address in brackets
 *   path      = component *("/" component)
 *   component = 1*[a-z0-9] *((["."/"_"] / "__" / 1*"-") 1*[a-z0-9])
 *   tag       = [A-Za-z0-9_] *127[A-Za-z0-9_.-]
 *
 * Which of the two "a/b" begins with is decided as docker does: the first part is a domain if it is
 * "localhost" or has a ".", a ":" or an upper-case letter in it. Beyond the grammar we want what we could
 * connect to: a port between 1 and 65535 and an IPv6 address that is one, and digests of the algorithms that
 * we can compute. */

#include <arpa/inet.h>
#include <strings.h>

#include "basic/string-util.h"
#include "oci/digest.h"
#include "oci/reference.h"

#define DEFAULT_REGISTRY "docker.io"
#define LEGACY_REGISTRY "index.docker.io"
#define DEFAULT_REGISTRY_HOST "registry-1.docker.io"
#define OFFICIAL_PREFIX "library/"
#define DEFAULT_TAG "latest"
#define ALPHANUMERIC_LOWER LOWERCASE DIGITS
#define ALPHANUMERIC LOWERCASE UPPERCASE DIGITS

Reference *reference_free(Reference *r) {
        if (!r)
                return NULL;

        free(r->registry);
        free(r->repository);
        free(r->tag);
        free(r->digest);
        free(r);
        return NULL;
}

static int invalid(Error *e, const char *s, const char *why) {
        return error_set(e, -EINVAL, "InvalidReference", "\"%s\" is not an image reference: %s.", s, why);
}

/* An image ID as docker shows it: no name may look like one. */
static bool is_identifier(const char *s) {
        return strlen(s) == 64 && string_in_charset(s, HEX_LOWER);
}

static bool dns_name_is_valid(const char *s) {
        for (;;) {
                size_t n = strspn(s, ALPHANUMERIC "-");

                if (n == 0 || s[0] == '-' || s[n - 1] == '-')
                        return false;
                if (s[n] == 0)
                        return true;
                if (s[n] != '.')
                        return false;

                s += n + 1;
        }
}

static bool port_is_valid(const char *s) {
        uint32_t port;

        return string_in_charset(s, DIGITS) && parse_uint32(s, &port) >= 0 && port > 0 && port <= UINT16_MAX;
}

/* Cuts a domain into host (without brackets) and port; in place. */
static int domain_split(char *domain, char **ret_host, char **ret_port, bool *ret_ipv6) {
        bool ipv6 = domain[0] == '[';
        char *host = domain, *port = NULL, *end;

        if (ipv6) {
                host++;
                end = strchr(host, ']');
                if (!end || (end[1] != 0 && end[1] != ':'))
                        return -EINVAL;

                port = end[1] == ':' ? end + 2 : NULL;
                *end = 0;
        } else {
                end = strchr(host, ':');
                if (end) {
                        port = end + 1;
                        *end = 0;
                }
        }

        *ret_host = host;
        *ret_port = port;
        *ret_ipv6 = ipv6;
        return 0;
}

static const char *domain_check(const char *domain) {
        char copy[REFERENCE_NAME_MAX + 1], *host, *port;
        struct in6_addr a;
        bool ipv6;

        if (strlen(domain) >= sizeof(copy))
                return "the name of the registry is too long";

        strcpy(copy, domain);
        if (domain_split(copy, &host, &port, &ipv6) < 0)
                return "the address of the registry has no closing bracket";
        if (ipv6 && (!string_in_charset(host, HEX_LOWER "ABCDEF:") || inet_pton(AF_INET6, host, &a) <= 0))
                return "the name of the registry is not an IPv6 address";
        if (!ipv6 && !dns_name_is_valid(host))
                return "the name of the registry is not a host name or address";
        if (port && !port_is_valid(port))
                return "the port of the registry is not a number from 1 to 65535";

        return NULL;
}

/* Returns the length of the separator at s (which is not empty), 0 if there is none. */
static size_t separator_length(const char *s) {
        if (*s == '-')
                return strspn(s, "-");
        if (*s == '_' && s[1] == '_')
                return 2;

        return *s == '_' || *s == '.' ? 1 : 0;
}

static bool path_component_is_valid(const char *s, size_t n) {
        const char *end = s + n;

        for (;;) {
                size_t k = strspn(s, ALPHANUMERIC_LOWER);

                if (k == 0)
                        return false;
                s += k;
                if (s == end)
                        return true;

                k = separator_length(s);
                if (k == 0)
                        return false;
                s += k;
        }
}

static const char *path_check(const char *path) {
        if (path[strcspn(path, UPPERCASE)] != 0)
                return "the name of the repository must be in lower case";

        for (const char *p = path;;) {
                size_t n = strcspn(p, "/");

                if (!path_component_is_valid(p, n))
                        return "the name of the repository may have lower-case letters and digits only, "
                               "with \".\", \"_\", \"__\" "
                               "or dashes between them, and \"/\" between parts";
                if (p[n] == 0)
                        return NULL;

                p += n + 1;
        }
}

static bool tag_is_valid(const char *s) {
        size_t n = strlen(s);

        return n > 0 && n <= REFERENCE_TAG_MAX && *s != '.' && *s != '-' &&
               string_in_charset(s, ALPHANUMERIC "_.-");
}

static bool is_domain(const char *s) {
        return streq(s, "localhost") || s[strcspn(s, ".:" UPPERCASE)] != 0;
}

/* name: without tag and digest; is changed. */
static int name_split(char *name, char **ret_registry, char **ret_repository) {
        _cleanup_free_ char *registry = NULL, *repository = NULL;
        char *slash = strchr(name, '/');
        const char *domain = DEFAULT_REGISTRY, *path = name;

        if (slash) {
                *slash = 0;
                if (is_domain(name)) {
                        domain = streq(name, LEGACY_REGISTRY) ? DEFAULT_REGISTRY : name;
                        path = slash + 1;
                } else
                        *slash = '/';
        }

        registry = strdup(domain);
        repository = strjoin(streq(domain, DEFAULT_REGISTRY) && !strchr(path, '/') ? OFFICIAL_PREFIX : "",
                             path);
        if (!registry || !repository)
                return -ENOMEM;

        *ret_registry = TAKE_PTR(registry);
        *ret_repository = TAKE_PTR(repository);
        return 0;
}

static int reference_set_parts(Reference *ref, char *name, const char *tag, const char *digest) {
        int r;

        r = name_split(name, &ref->registry, &ref->repository);
        if (r < 0)
                return r;

        if (!tag && !digest)
                tag = DEFAULT_TAG;
        if (tag) {
                ref->tag = strdup(tag);
                if (!ref->tag)
                        return -ENOMEM;
        }
        if (digest) {
                ref->digest = strdup(digest);
                if (!ref->digest)
                        return -ENOMEM;
        }

        return 0;
}

static size_t complete_length(const Reference *r) {
        return strlen(r->registry) + 1 + strlen(r->repository) + (r->tag ? 1 + strlen(r->tag) : 0) +
               (r->digest ? 1 + strlen(r->digest) : 0);
}

int reference_parse(const char *s, Reference **ret, Error *reterr_error) {
        _cleanup_(reference_freep) Reference *ref = NULL;
        _cleanup_free_ char *copy = NULL;
        char *tag = NULL, *digest, *slash;
        const char *why;

        if (isempty(s))
                return error_set(reterr_error, -EINVAL, "InvalidReference", "The image reference is empty.");
        if (strnlen(s, REFERENCE_MAX + 1) > REFERENCE_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidReference",
                                 "The image reference is longer than %u bytes.", REFERENCE_MAX);
        if (is_identifier(s))
                return invalid(reterr_error, s, "64 hexadecimal digits are an image ID, not a name");

        copy = strdup(s);
        ref = calloc(1, sizeof(Reference));
        if (!copy || !ref)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        digest = strchr(copy, '@');
        if (digest) {
                *digest++ = 0;
                if (!digest_is_valid(digest))
                        return invalid(reterr_error, s,
                                       "what follows \"@\" is not a digest (sha256: and 64, or sha512: "
                                       "and 128, lower-case hexadecimal digits)");
        }

        /* A ":" before the last "/" belongs to a port or an address. */
        slash = strrchr(copy, '/');
        tag = strchr(slash ?: copy, ':');
        if (tag) {
                *tag++ = 0;
                if (!tag_is_valid(tag))
                        return invalid(reterr_error, s,
                                       "the tag must be 1 to 128 letters, digits, \"_\", \".\" or \"-\" "
                                       "and begin with a letter, digit or \"_\"");
        }

        if (reference_set_parts(ref, copy, tag, digest) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        if (strlen(ref->registry) + 1 + strlen(ref->repository) > REFERENCE_NAME_MAX)
                return error_set(
                                reterr_error, -EINVAL, "InvalidReference",
                                "The name of the registry and repository in \"%s\" is longer than %u bytes.",
                                s, REFERENCE_NAME_MAX);

        why = domain_check(ref->registry) ?: path_check(ref->repository);
        if (why)
                return invalid(reterr_error, s, why);

        /* The complete form is what is stored, and must be readable again. */
        if (complete_length(ref) > REFERENCE_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidReference",
                                 "The image reference is longer than %u bytes when completed.",
                                 REFERENCE_MAX);

        *ret = TAKE_PTR(ref);
        return 0;
}

char *reference_to_string(const Reference *r) {
        return strjoin(r->registry, "/", r->repository, r->tag ? ":" : "", strempty(r->tag),
                       r->digest ? "@" : "", strempty(r->digest));
}

const char *reference_object(const Reference *r) {
        return r->digest ?: r->tag;
}

const char *reference_host(const Reference *r) {
        return streq(r->registry, DEFAULT_REGISTRY) ? DEFAULT_REGISTRY_HOST : r->registry;
}

bool reference_is_loopback(const Reference *r) {
        char copy[REFERENCE_NAME_MAX + 1], *host, *port;
        struct in6_addr v6;
        struct in_addr v4;
        bool ipv6;

        if (strlen(r->registry) >= sizeof(copy))
                return false;

        strcpy(copy, r->registry);
        if (domain_split(copy, &host, &port, &ipv6) < 0)
                return false;

        if (ipv6)
                return inet_pton(AF_INET6, host, &v6) > 0 && IN6_IS_ADDR_LOOPBACK(&v6);

        return strcasecmp(host, "localhost") == 0 ||
               (inet_pton(AF_INET, host, &v4) > 0 && (ntohl(v4.s_addr) >> 24) == 127);
}
