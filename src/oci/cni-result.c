/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers of plug-ins. All of an answer is kept, as the next plug-in of the chain is to get it; what moored itself looks at is
 * checked. */

#include <arpa/inet.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/cni.h"

#define TEXT_MAX 4096U    /* a string in a result */
#define MESSAGE_MAX 2048U /* of a failure: what is longer is cut */

#define bad(e, ...) error_set((e), -EBADMSG, "BadPluginAnswer", __VA_ARGS__)

static int parse_text(const char *text, size_t n, json_t **ret, Error *reterr_error) {
        _cleanup_error_ Error e = ERROR_NULL;

        return json_parse(text, n, CNI_OUTPUT_SIZE_MAX, ret, &e) < 0 ? bad(reterr_error, "%s", error_message(&e)) : 0;
}

void cni_result_done(CniResult *r) {
        for (size_t i = 0; i < r->n_interfaces; i++) {
                free(r->interfaces[i].name);
                free(r->interfaces[i].mac);
                free(r->interfaces[i].sandbox);
        }
        for (size_t i = 0; i < r->n_addresses; i++) {
                free(r->addresses[i].prefix);
                free(r->addresses[i].gateway);
        }
        free(r->interfaces);
        free(r->addresses);
        strv_free(r->servers);
        strv_free(r->search);
        strv_free(r->options);
        free(r->domain);
        json_decref(r->json);
        *r = (CniResult){};
}

static int address_family(const char *text) {
        struct in6_addr a;

        return inet_pton(AF_INET, text, &a) == 1 ? AF_INET : inet_pton(AF_INET6, text, &a) == 1 ? AF_INET6 : AF_UNSPEC;
}

static bool prefix_is_valid(const char *text) {
        const char *slash = strchr(text, '/');
        _cleanup_free_ char *address = NULL;
        uint32_t length;
        int family;

        if (!slash || parse_uint32(slash + 1, &length) < 0)
                return false;
        address = strndup(text, (size_t) (slash - text));
        family = address ? address_family(address) : AF_UNSPEC;
        return family != AF_UNSPEC && length <= (family == AF_INET ? 32U : 128U);
}

/* "" counts as absent: some plug-ins write all fields. */
static int get_text(const json_t *object, const char *name, char **ret, Error *reterr_error) {
        const json_t *v = json_object_get(object, name);

        if (!v || json_is_null(v))
                return 0;
        if (!json_is_string(v) || json_string_length(v) > TEXT_MAX || !string_is_safe(json_string_value(v)))
                return bad(reterr_error, "\"%s\" is not a text of at most %u characters.", name, TEXT_MAX);
        if (json_string_length(v) == 0)
                return 0;
        *ret = strdup(json_string_value(v));
        return *ret ? 0 : error_oom(reterr_error);
}

static int get_list(const json_t *object, const char *name, size_t max, const json_t **ret, Error *reterr_error) {
        const json_t *v = json_object_get(object, name);

        *ret = NULL;
        if (!v || json_is_null(v))
                return 0;
        if (!json_is_array(v) || json_array_size(v) > max)
                return bad(reterr_error, "\"%s\" is not a list of at most %zu.", name, max);
        *ret = v;
        return 0;
}

static int parse_interfaces(CniResult *r, Error *reterr_error) {
        const json_t *list, *v;
        size_t i;
        int k;

        k = get_list(r->json, "interfaces", CNI_INTERFACES_MAX, &list, reterr_error);
        if (k < 0 || !list)
                return k;
        r->interfaces = calloc(CNI_INTERFACES_MAX, sizeof(CniInterface));
        if (!r->interfaces)
                return error_oom(reterr_error);
        json_array_foreach(list, i, v) {
                CniInterface *n = &r->interfaces[r->n_interfaces++];

                k = get_text(v, "name", &n->name, reterr_error);
                if (k >= 0)
                        k = get_text(v, "mac", &n->mac, reterr_error);
                if (k >= 0)
                        k = get_text(v, "sandbox", &n->sandbox, reterr_error);
                if (k >= 0 && !n->name)
                        k = bad(reterr_error, "interfaces[%zu] has no name.", i);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int parse_address(const CniResult *r, const json_t *v, CniAddress *a, Error *reterr_error) {
        const json_t *index = json_object_get(v, "interface");
        int k;

        k = get_text(v, "address", &a->prefix, reterr_error);
        if (k >= 0)
                k = get_text(v, "gateway", &a->gateway, reterr_error);
        if (k < 0)
                return k;
        if (!a->prefix || !prefix_is_valid(a->prefix))
                return bad(reterr_error, "\"%.64s\" is not an address with its prefix.", strempty(a->prefix));
        if (a->gateway && address_family(a->gateway) == AF_UNSPEC)
                return bad(reterr_error, "The gateway \"%.64s\" is not an address.", a->gateway);
        a->interface = -1;
        if (!index || json_is_null(index))
                return 0;
        if (!json_is_integer(index) || json_integer_value(index) < 0 || json_integer_value(index) >= (int64_t) r->n_interfaces)
                return bad(reterr_error, "The address %s is an interface's that the answer does not have.", a->prefix);
        a->interface = json_integer_value(index);
        return 0;
}

static int parse_addresses(CniResult *r, Error *reterr_error) {
        const json_t *list, *v;
        size_t i;
        int k;

        k = get_list(r->json, "ips", CNI_INTERFACES_MAX, &list, reterr_error);
        if (k < 0 || !list)
                return k;
        r->addresses = calloc(CNI_INTERFACES_MAX, sizeof(CniAddress));
        if (!r->addresses)
                return error_oom(reterr_error);
        json_array_foreach(list, i, v) {
                k = parse_address(r, v, &r->addresses[r->n_addresses++], reterr_error);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int parse_routes(const CniResult *r, Error *reterr_error) {
        const json_t *list, *v;
        size_t i;
        int k;

        k = get_list(r->json, "routes", CNI_ROUTES_MAX, &list, reterr_error);
        if (k < 0)
                return k;
        json_array_foreach(list, i, v) {
                const char *to = json_string_value(json_object_get(v, "dst"));

                if (!to || !prefix_is_valid(to))
                        return bad(reterr_error, "routes[%zu] leads to no prefix.", i);
        }
        return 0;
}

static int parse_texts(const json_t *dns, const char *name, char ***ret, Error *reterr_error) {
        const json_t *list, *v;
        size_t i;
        int k;

        k = get_list(dns, name, CNI_INTERFACES_MAX, &list, reterr_error);
        if (k < 0)
                return k;
        json_array_foreach(list, i, v) {
                if (!json_is_string(v) || json_string_length(v) > TEXT_MAX || !string_is_safe(json_string_value(v)))
                        return bad(reterr_error, "dns.%s[%zu] is not a text.", name, i);
                if (strv_extend(ret, json_string_value(v)) < 0)
                        return error_oom(reterr_error);
        }
        return 0;
}

static int parse_dns(CniResult *r, Error *reterr_error) {
        const json_t *dns = json_object_get(r->json, "dns");
        int k;

        if (!dns || json_is_null(dns))
                return 0;
        if (!json_is_object(dns))
                return bad(reterr_error, "\"dns\" is not an object.");
        k = parse_texts(dns, "nameservers", &r->servers, reterr_error);
        if (k >= 0)
                k = parse_texts(dns, "search", &r->search, reterr_error);
        if (k >= 0)
                k = parse_texts(dns, "options", &r->options, reterr_error);
        return k < 0 ? k : get_text(dns, "domain", &r->domain, reterr_error);
}

/* What 0.3.0 to 0.4.0 and what 1.0.0 and later have differs in one field: the family of each address. */
static int convert(const CniResult *r, const char *version) {
        bool old = startswith(version, "0.");
        json_t *v;
        size_t i;
        int k;

        k = json_object_set_new(r->json, "cniVersion", json_string(version));
        json_array_foreach(json_object_get(r->json, "ips"), i, v)
                if (old)
                        k |= json_object_set_new(v, "version", json_string(strchr(r->addresses[i].prefix, ':') ? "6" : "4"));
                else
                        (void) json_object_del(v, "version");
        return k < 0 ? -ENOMEM : 0;
}

int cni_result_from_json(json_t *j, const char *version, CniResult *ret, Error *reterr_error) {
        static const char *const known[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
        _cleanup_(cni_result_done) CniResult r = { .json = json_deep_copy(j) };
        const json_t *v = json_object_get(j, "cniVersion");
        bool ok = !v || json_is_null(v) || streq_ptr(json_string_value(v), "");
        int k;

        if (!json_is_object(j))
                return bad(reterr_error, "It is not an object.");
        if (!r.json)
                return error_oom(reterr_error);
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                ok = ok || streq_ptr(json_string_value(v), known[i]);
        if (!ok)
                return bad(reterr_error, "Its version \"%.32s\" is not known.", strempty(json_string_value(v)));

        k = parse_interfaces(&r, reterr_error);
        if (k >= 0)
                k = parse_addresses(&r, reterr_error);
        if (k >= 0)
                k = parse_routes(&r, reterr_error);
        if (k >= 0)
                k = parse_dns(&r, reterr_error);
        if (k < 0)
                return k;
        if (convert(&r, version) < 0)
                return error_oom(reterr_error);
        *ret = r;
        r = (CniResult){};
        return 0;
}

int cni_result_parse(const char *text, size_t n, const char *version, CniResult *ret, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        int k;

        k = parse_text(text, n, &j, reterr_error);
        return k < 0 ? k : cni_result_from_json(j, version, ret, reterr_error);
}

/* -- failures ----------------------------------------------------------------------------------- */

void cni_failure_done(CniFailure *f) {
        free(f->message);
        free(f->details);
        *f = (CniFailure){};
}

static char *take_message(const json_t *j, const char *name) {
        const char *s = json_string_value(json_object_get(j, name));
        char *copy = isempty(s) ? NULL : strndup(s, MESSAGE_MAX);

        return copy ? string_sanitize(copy) : NULL;
}

int cni_failure_parse(const char *text, size_t n, CniFailure *ret) {
        _cleanup_(cni_failure_done) CniFailure f = {};
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(text, n, CNI_OUTPUT_SIZE_MAX, &j, NULL);
        if (r < 0)
                return r;
        f.code = json_integer_value(json_object_get(j, "code"));
        f.message = take_message(j, "msg");
        f.details = take_message(j, "details");
        if (!f.message) {
                f.message = TAKE_PTR(f.details);
                if (!f.message)
                        return -EBADMSG;
        }
        *ret = f;
        f = (CniFailure){};
        return 0;
}
