/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Platforms are named as Go names them (image-spec, image-index.md, "platform"): that is what builders
 * write. What people and uname() write instead (x86_64, aarch64, armv7l) is translated when it is read and
 * when it is compared. */

#include <sys/utsname.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/manifest.h"

#define PLATFORM_STRING_MAX 128U

static const char *const architectures[] = {
        "386",      "amd64",  "arm",   "arm64",   "loong64", "mips",  "mips64",
        "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x",
};

/* Other spellings: uname()'s, Debian's and what is seen in the wild. */
static const struct {
        const char *alias, *architecture, *variant;
} aliases[] = {
        { "aarch64", "arm64", NULL }, { "armel", "arm", "v6" },    { "armhf", "arm", "v7" },
        { "armv5l", "arm", "v5" },    { "armv6l", "arm", "v6" },   { "armv7l", "arm", "v7" },
        { "armv8l", "arm", "v8" },    { "i386", "386", NULL },     { "i486", "386", NULL },
        { "i586", "386", NULL },      { "i686", "386", NULL },     { "loongarch64", "loong64", NULL },
        { "x86-64", "amd64", NULL },  { "x86_64", "amd64", NULL },
};

void platform_done(Platform *p) {
        if (!p)
                return;

        free(p->os);
        free(p->architecture);
        free(p->variant);
        *p = (Platform) {};
}

static const char *normalize_architecture(const char *s, const char **ret_variant) {
        for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
                if (streq(s, aliases[i].alias)) {
                        *ret_variant = aliases[i].variant;
                        return aliases[i].architecture;
                }

        *ret_variant = NULL;
        return s;
}

static bool architecture_is_known(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
                if (streq(s, architectures[i]))
                        return true;

        return false;
}

static int platform_set(Platform *ret, const char *os, const char *architecture, const char *variant) {
        Platform p = {};

        p.os = strdup(os);
        p.architecture = strdup(architecture);
        p.variant = variant ? strdup(variant) : NULL;
        if (!p.os || !p.architecture || (variant && !p.variant)) {
                platform_done(&p);
                return -ENOMEM;
        }

        *ret = p;
        return 0;
}

static int platform_invalid(Error *e, const char *s) {
        return error_set(
                        e, -EINVAL, "InvalidArgument",
                        "\"%.128s\" is not a platform: write os/architecture[/variant], such as "
                        "linux/amd64 or linux/arm64/v8.",
                        s);
}

int platform_parse(const char *s, Platform *ret, Error *reterr_error) {
        const char *os = "linux", *architecture, *variant, *implied;
        _cleanup_strv_free_ char **parts = NULL;
        size_t n, l = 0;
        int r;

        if (isempty(s) || strnlen(s, PLATFORM_STRING_MAX + 1) > PLATFORM_STRING_MAX ||
            !string_in_charset(s, LOWERCASE DIGITS "/_.-"))
                return platform_invalid(reterr_error, strempty(s));

        parts = strv_split(s, "/");
        if (!parts)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        /* strv_split() leaves empty parts out: "linux//v8" must not become "linux/v8". */
        n = strv_length(parts);
        for (const char *p = s; *p; p++)
                l += *p == '/';
        if (n == 0 || n > 3 || l != n - 1)
                return platform_invalid(reterr_error, s);

        if (n > 1)
                os = parts[0];
        architecture = normalize_architecture(parts[n > 1 ? 1 : 0], &implied);
        variant = n > 2 ? parts[2] : implied;
        if (n == 1 && !architecture_is_known(architecture))
                return platform_invalid(reterr_error, s);

        r = platform_set(ret, os, architecture, variant);
        return r < 0 ? error_set_errno(reterr_error, r, "Out of memory.") : 0;
}

int platform_host(Platform *ret) {
        const char *architecture, *variant;
        struct utsname u;

        if (uname(&u) < 0)
                return -errno;

        architecture = normalize_architecture(u.machine, &variant);
        if (streq(architecture, "arm64"))
                variant = "v8";

        return platform_set(ret, "linux", architecture, variant);
}

char *platform_to_string(const Platform *p) {
        return strjoin(strempty(p->os), "/", strempty(p->architecture), p->variant ? "/" : "",
                       strempty(p->variant));
}

/* "v5" … "v8" → 5 … 8, else 0. */
static int arm_version(const char *variant) {
        return variant && variant[0] == 'v' && variant[1] >= '5' && variant[1] <= '8' && variant[2] == 0
                               ? variant[1] - '0'
                               : 0;
}

int platform_match(const Platform *wanted, const Platform *offered) {
        const char *wanted_architecture, *offered_architecture, *wanted_variant, *offered_variant;
        int w, o;

        if (!wanted->os || !offered->os || !streq(wanted->os, offered->os) || !wanted->architecture ||
            !offered->architecture)
                return 0;

        wanted_architecture = normalize_architecture(wanted->architecture, &wanted_variant);
        offered_architecture = normalize_architecture(offered->architecture, &offered_variant);
        if (!streq(wanted_architecture, offered_architecture))
                return 0;

        wanted_variant = wanted->variant ?: wanted_variant;
        offered_variant = offered->variant ?: offered_variant;
        if (streq_ptr(wanted_variant, offered_variant))
                return 100;
        if (!wanted_variant || !offered_variant)
                return 90;

        /* A processor of a later version runs programs for an earlier one: the nearest is the best. */
        w = arm_version(wanted_variant);
        o = arm_version(offered_variant);
        if (streq(wanted_architecture, "arm") && o > 0 && w > o)
                return 80 - (w - o);

        return 0;
}
