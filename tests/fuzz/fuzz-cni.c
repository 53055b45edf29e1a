/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All three kinds of texts, as either may come where the other is expected. A result that is taken stays the same when it is read again. */

#include "basic/string-util.h"
#include "fuzz.h"
#include "oci/cni.h"

static bool accepts_conf(const char *text, size_t size) {
        _cleanup_json_ json_t *previous = json_object(), *capabilities = json_object(), *attachments = json_array(), *j = NULL;
        _cleanup_(cni_conf_done) CniConf c = {}, again = {};
        _cleanup_error_ Error e = ERROR_NULL;

        if (cni_conf_parse(text, size, &c, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }
        FUZZ_ASSERT(cni_name_is_valid(c.name) && json_array_size(c.plugins) <= CNI_PLUGINS_MAX);
        for (size_t i = 0; i < json_array_size(c.plugins); i++)
                for (CniCommand command = 0; command < _CNI_COMMAND_MAX; command++) {
                        _cleanup_json_ json_t *request = NULL;

                        FUZZ_ASSERT(!strchr(cni_conf_plugin(&c, i), '/'));
                        FUZZ_ASSERT(cni_request(&c, i, command, capabilities, previous, attachments, &request) >= 0);
                }
        FUZZ_ASSERT(cni_conf_to_json(&c, &j) >= 0 && cni_conf_from_json(j, &again, NULL) >= 0);
        FUZZ_ASSERT(streq(c.version, again.version) && json_equal(c.plugins, again.plugins));
        return true;
}

static bool accepts_result(const char *text, size_t size) {
        _cleanup_(cni_result_done) CniResult r = {}, again = {};
        _cleanup_(cni_failure_done) CniFailure f = {};
        _cleanup_error_ Error e = ERROR_NULL;

        if (cni_failure_parse(text, size, &f) >= 0)
                FUZZ_ASSERT(string_is_safe(f.message) && (!f.details || string_is_safe(f.details)));
        if (cni_result_parse(text, size, "0.4.0", &r, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }
        FUZZ_ASSERT(r.n_interfaces <= CNI_INTERFACES_MAX && r.n_addresses <= CNI_INTERFACES_MAX);
        FUZZ_ASSERT(cni_result_from_json(r.json, "0.4.0", &again, NULL) >= 0 && json_equal(r.json, again.json));
        return true;
}

static int check_shown(const CniShown *s, void *userdata) {
        FUZZ_ASSERT(cni_name_is_valid(s->network) && string_is_safe(s->name) && (!s->mac || string_is_safe(s->mac)));
        return 0;
}

static bool accepts_record(const char *text, size_t size) {
        _cleanup_(cni_record_done) CniRecord r = {}, again = {};
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_json_ json_t *j = NULL;

        if (cni_record_parse(text, size, &r, &e) < 0) {
                FUZZ_ASSERT(string_is_safe(error_message(&e)));
                return false;
        }
        FUZZ_ASSERT(r.n_attachments <= CNI_ATTACHMENTS_MAX && cni_container_id_is_valid(r.container));
        for (size_t i = 0; i < r.n_attachments; i++)
                (void) cni_attachment_foreach(&r.attachments[i], check_shown, NULL);
        FUZZ_ASSERT(cni_record_to_json(&r, &j) >= 0 && cni_record_from_json(j, &again, NULL) >= 0);
        return true;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        bool result = accepts_result(text, size);

        return accepts_conf(text, size) || accepts_record(text, size) || result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
