/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is attached: one file for each container, written before the first plug-in is run, so that whoever finds it knows what is to be
 * undone. It has the configurations as they were, as DEL is to get what ADD got. */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/cni.h"

#define SUFFIX ".json"

static void attachment_clear(CniAttachment *a) {
        cni_conf_done(&a->conf);
        free(a->interface);
        json_decref(a->capabilities);
        json_decref(a->result);
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
        json_t *capabilities = json_object_get(j, "capabilities"), *result = json_object_get(j, "result");
        const char *interface = json_get_string(j, "interface");
        _cleanup_(cni_conf_done) CniConf conf = {};
        int k;

        if (!interface || (capabilities && !json_is_object(capabilities)) || (result && !json_is_object(result)))
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
        return 0;
}

static int parse_record(const char *text, size_t n, CniRecord *ret, Error *reterr_error) {
        _cleanup_(cni_record_done) CniRecord r = {};
        _cleanup_json_ json_t *j = NULL;
        const char *container, *netns;
        json_t *a;
        size_t i;
        int k;

        k = json_parse(text, n, CNI_RECORD_MAX, &j, reterr_error);
        if (k < 0)
                return k;
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

int cni_record_read(int dir_fd, const char *container, CniRecord *ret, Error *reterr_error) {
        _cleanup_free_ char *name = strjoin(container, SUFFIX), *text = NULL;
        size_t size;
        int r;

        r = name ? read_file_at(dir_fd, name, CNI_RECORD_MAX, &text, &size) : -ENOMEM;
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return error_set_errno(reterr_error, r, "The record of what %s is attached to cannot be read: %m", container);
        r = parse_record(text, size, ret, reterr_error);
        (void) error_prefix(reterr_error, "The record of what %s is attached to", container);
        return r;
}

/* -- writing ------------------------------------------------------------------------------------ */

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
                                       json_array_append(list, j) < 0
                               ? -ENOMEM
                               : 0;
}

static char *format_record(const CniRecord *r) {
        _cleanup_json_ json_t *list = json_array(), *j = NULL;

        for (size_t i = 0; list && i < r->n_attachments; i++)
                if (format_attachment(&r->attachments[i], list) < 0)
                        return NULL;
        j = list ? json_pack("{s:s, s:s, s:O}", "container", r->container, "netns", r->netns_id, "attachments", list) : NULL;
        return j ? json_dump(j, false) : NULL;
}

int cni_record_write(int dir_fd, const CniRecord *r, Error *reterr_error) {
        _cleanup_free_ char *name = strjoin(r->container, SUFFIX), *text = NULL;
        int k;

        if (!name)
                return error_oom(reterr_error);
        if (r->n_attachments == 0)
                k = unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        else {
                text = format_record(r);
                k = text ? write_file_atomic_at(dir_fd, name, text, strlen(text), 0600, true) : -ENOMEM;
        }
        return k < 0 ? error_set_errno(reterr_error, k, "What %s is attached to cannot be recorded: %m", r->container) : 0;
}
