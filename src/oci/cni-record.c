/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a container is attached to, as a text: what mooring writes down before the first plug-in is run, and what it answers. It has
 * the configurations as they were, as DEL is to get what ADD got. */

#include "basic/string-util.h"
#include "basic/strv.h"
#include "oci/cni.h"

static void attachment_clear(CniAttachment *a) {
        cni_conf_done(&a->conf);
        free(a->interface);
        json_decref(a->capabilities);
        json_decref(a->result);
        json_decref(a->partial);
        *a = (CniAttachment){};
}

void cni_record_done(CniRecord *r) {
        for (size_t i = 0; i < r->n_attachments; i++)
                attachment_clear(&r->attachments[i]);
        free(r->attachments);
        free(r->container);
        free(r->netns_id);
        *r = (CniRecord){};
}

int cni_record_add(CniRecord *r, CniConf *conf, const char *interface, json_t *capabilities) {
        CniAttachment *list;
        char *name;

        if (r->n_attachments >= CNI_ATTACHMENTS_MAX)
                return -E2BIG;
        name = strdup(interface);
        list = name ? reallocarray(r->attachments, r->n_attachments + 1, sizeof(*list)) : NULL;
        if (!list) {
                free(name);
                return -ENOMEM;
        }
        r->attachments = list;
        list[r->n_attachments++] = (CniAttachment){ .conf = *conf, .interface = name, .capabilities = capabilities };
        *conf = (CniConf){};
        return 0;
}

/* -- reading ------------------------------------------------------------------------------------ */

static int parse_attachment(CniRecord *r, json_t *j, Error *reterr_error) {
        json_t *capabilities = json_object_get(j, "capabilities"), *result = json_object_get(j, "result"),
               *partial = json_object_get(j, "partial");
        const char *interface = json_get_string(j, "interface");
        _cleanup_(cni_conf_done) CniConf conf = {};
        int k;

        if (isempty(interface) || !string_is_safe(interface) || (capabilities && !json_is_object(capabilities)) || (result && !json_is_object(result)) ||
            (partial && !json_is_object(partial)))
                return error_set(reterr_error, -EBADMSG, "Failed", "An attachment makes no sense.");
        k = cni_conf_from_json(json_object_get(j, "config"), &conf, reterr_error);
        if (k < 0)
                return k;
        k = cni_record_add(r, &conf, interface, json_incref(capabilities));
        if (k < 0) {
                json_decref(capabilities);
                return error_set_errno(reterr_error, k, "An attachment cannot be taken: %m");
        }
        r->attachments[r->n_attachments - 1].result = json_incref(result);
        r->attachments[r->n_attachments - 1].partial = json_incref(partial);
        return 0;
}

int cni_record_from_json(json_t *j, CniRecord *ret, Error *reterr_error) {
        _cleanup_(cni_record_done) CniRecord r = {};
        const char *container, *netns;
        json_t *a;
        size_t i;
        int k;

        container = json_get_string(j, "container");
        netns = json_get_string(j, "netns");
        if (!container || !cni_container_id_is_valid(container) || !netns)
                return error_set(reterr_error, -EBADMSG, "Failed", "It names no container.");
        r.container = strdup(container);
        r.netns_id = strdup(netns);
        if (!r.container || !r.netns_id)
                return error_oom(reterr_error);
        json_array_foreach(json_object_get(j, "attachments"), i, a) {
                k = parse_attachment(&r, a, reterr_error);
                if (k < 0)
                        return k;
        }
        *ret = r;
        r = (CniRecord){};
        return 0;
}

int cni_record_parse(const char *text, size_t n, CniRecord *ret, Error *reterr_error) {
        _cleanup_json_ json_t *j = NULL;
        int k;

        k = json_parse(text, n, CNI_RECORD_MAX, &j, reterr_error);
        return k < 0 ? k : cni_record_from_json(j, ret, reterr_error);
}

/* -- as text ------------------------------------------------------------------------------------ */

static int add_optional(json_t *j, const char *name, json_t *value) {
        return value ? json_object_set(j, name, value) : 0;
}

static int format_attachment(const CniAttachment *a, json_t *list) {
        _cleanup_json_ json_t *config = NULL, *j = NULL;
        int r;

        r = cni_conf_to_json(&a->conf, &config);
        if (r < 0)
                return r;
        j = json_pack("{s:s, s:O}", "interface", a->interface, "config", config);
        return !j || add_optional(j, "capabilities", a->capabilities) < 0 || add_optional(j, "result", a->result) < 0 ||
                                       add_optional(j, "partial", a->partial) < 0 || json_array_append(list, j) < 0
                               ? -ENOMEM
                               : 0;
}

int cni_record_to_json(const CniRecord *r, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();

        for (size_t i = 0; list && i < r->n_attachments; i++)
                if (format_attachment(&r->attachments[i], list) < 0)
                        return -ENOMEM;
        *ret = list ? json_pack("{s:s, s:s, s:O}", "container", r->container, "netns", r->netns_id, "attachments", list) : NULL;
        return *ret ? 0 : -ENOMEM;
}

bool cni_record_is_complete(const CniRecord *r) {
        for (size_t i = 0; i < r->n_attachments; i++)
                if (!r->attachments[i].result)
                        return false;
        return r->n_attachments > 0;
}

/* -- what there is in the container ------------------------------------------------------------- */

/* Of the one that was asked for is what a plug-in does not assign. */
static int collect_addresses(const CniResult *r, size_t i, bool main, char ***ret) {
        int k = 0;

        for (size_t n = 0; k >= 0 && n < r->n_addresses; n++)
                if (r->addresses[n].interface == (int64_t) i || (main && r->addresses[n].interface < 0))
                        k = strv_extend(ret, r->addresses[n].prefix);
        return k;
}

static bool is_inside(const CniInterface *i) {
        return i->sandbox;
}

/* The one that has the name that was asked for, else the first. */
static size_t main_interface(const CniAttachment *a, const CniResult *r) {
        size_t found = SIZE_MAX;

        for (size_t i = 0; i < r->n_interfaces; i++)
                if (is_inside(&r->interfaces[i]) && (found == SIZE_MAX || streq(r->interfaces[i].name, a->interface)))
                        found = i;
        return found;
}

int cni_attachment_foreach(const CniAttachment *a, CniShownFunc func, void *userdata) {
        _cleanup_(cni_result_done) CniResult r = {};
        size_t first;
        int k;

        k = a->result ? cni_result_from_json(a->result, a->conf.version, &r, NULL) : 0;
        first = main_interface(a, &r);
        for (size_t i = 0; k >= 0 && i < r.n_interfaces; i++) {
                _cleanup_strv_free_ char **addresses = NULL;

                if (!is_inside(&r.interfaces[i]))
                        continue;
                k = collect_addresses(&r, i, i == first, &addresses);
                if (k >= 0)
                        k = func(&(CniShown){ a->conf.name, r.interfaces[i].name, r.interfaces[i].mac, addresses }, userdata);
        }
        /* Some name no interfaces; then this one alone is meant. */
        if (k >= 0 && first == SIZE_MAX && a->result) {
                _cleanup_strv_free_ char **addresses = NULL;

                for (size_t n = 0; k >= 0 && n < r.n_addresses; n++)
                        k = strv_extend(&addresses, r.addresses[n].prefix);
                if (k >= 0)
                        k = func(&(CniShown){ a->conf.name, a->interface, NULL, addresses }, userdata);
        }
        return k;
}
