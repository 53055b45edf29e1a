/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Conditions other than "caps" are refused, not skipped: a rule that holds where it should not is a hole. */

#include <fcntl.h>

#include "basic/fs-util.h"
#include "basic/json.h"
#include "container/capability.h"
#include "container/seccomp.h"

struct SeccompProfile {
        json_t *json;
};

int seccomp_profile_load(const char *path, SeccompProfile **ret, Error *reterr_error) {
        _cleanup_(seccomp_profile_freep) SeccompProfile *p = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;

        r = read_file_at(AT_FDCWD, path, SECCOMP_PROFILE_SIZE_MAX, &text, &n);
        if (r < 0)
                return error_set(
                                reterr_error, r, "Failed",
                                "Failed to read the seccomp profile %s: %m. Install moored completely, or use Seccomp=unconfined.",
                                path);
        r = json_parse(text, n, SECCOMP_PROFILE_SIZE_MAX, &p->json, reterr_error);
        if (r < 0) {
                (void) error_prefix(reterr_error, "Seccomp profile %s", path);
                return r;
        }
        if (!json_is_array(json_object_get(p->json, "syscalls")))
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "Seccomp profile %s: it has no array \"syscalls\".", path);

        *ret = TAKE_PTR(p);
        return 0;
}

SeccompProfile *seccomp_profile_free(SeccompProfile *p) {
        if (!p)
                return NULL;

        json_decref(p->json);
        free(p);
        return NULL;
}

/* Counts how many of a condition's capabilities are in the set; *ret_all is how many it names. */
static int condition_count(json_t *condition, uint64_t capabilities, size_t *ret_all, Error *reterr_error) {
        const char *key;
        json_t *value, *v;
        size_t i, all = 0;
        int n = 0;

        *ret_all = 0;
        if (!condition)
                return 0;
        if (!json_is_object(condition))
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "Seccomp profile: a condition is not an object.");

        json_object_foreach (condition, key, value) {
                if (!streq(key, "caps") || !json_is_array(value))
                        return error_set(reterr_error, -EBADMSG, "Failed",
                                         "Seccomp profile: unknown condition \"%.100s\".", key);
                json_array_foreach (value, i, v) {
                        uint64_t bit = capability_mask_from_string(strempty(json_string_value(v)));

                        if (bit == 0)
                                return error_set(reterr_error, -EBADMSG, "Failed",
                                                 "Seccomp profile: unknown capability \"%.100s\".",
                                                 strempty(json_string_value(v)));
                        n += (capabilities & bit) == bit;
                        all++;
                }
        }

        *ret_all = all;
        return n;
}

/* > 0: the rule holds; *ret is it without its conditions. */
static int rule_resolve(json_t *rule, uint64_t capabilities, json_t **ret, Error *reterr_error) {
        _cleanup_json_ json_t *copy = NULL;
        size_t all, none;
        int n;

        if (!json_is_object(rule))
                return error_set(reterr_error, -EBADMSG, "Failed",
                                 "Seccomp profile: a rule is not an object.");

        n = condition_count(json_object_get(rule, "includes"), capabilities, &all, reterr_error);
        if (n < 0)
                return n;
        if ((size_t) n < all)
                return 0;
        n = condition_count(json_object_get(rule, "excludes"), capabilities, &none, reterr_error);
        if (n != 0)
                return n < 0 ? n : 0;

        copy = json_copy(rule);
        if (!copy)
                return -ENOMEM;
        (void) json_object_del(copy, "includes");
        (void) json_object_del(copy, "excludes");
        (void) json_object_del(copy, "comment");
        *ret = TAKE_PTR(copy);
        return 1;
}

int seccomp_profile_resolve(const SeccompProfile *p, uint64_t capabilities, json_t **ret, Error *reterr_error) {
        _cleanup_json_ json_t *top = NULL;
        json_t *rules, *rule;
        size_t i;
        int r;

        top = json_copy(p->json);
        rules = json_array();
        if (!top || json_object_set_new(top, "syscalls", rules) < 0)
                return -ENOMEM;
        (void) json_object_del(top, "comment");
        json_array_foreach (json_object_get(p->json, "syscalls"), i, rule) {
                json_t *resolved = NULL;

                r = rule_resolve(rule, capabilities, &resolved, reterr_error);
                if (r < 0)
                        return r;
                if (r > 0 && json_array_append_new(rules, resolved) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(top);
        return 0;
}
