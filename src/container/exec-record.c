/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A row that is brought back says that the exec has not started: what its unit says decides, as after a kill of the daemon
 * during the start. */

#include <inttypes.h>

#include "container/exec-record.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "container/bundle.h"
#include "container/spec.h"

int exec_record_build(const ExecRow *row, char **ret) {
        _cleanup_json_ json_t *j = NULL;
        char *text;

        j = json_pack("{s:s, s:s*, s:b, s:I}", "options", row->options, "token", row->token, "autoRemove",
                      (int) row->auto_remove, "createdUSec", (json_int_t) row->created_usec);
        text = j ? json_dump(j, false) : NULL;
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

static int exec_record_parse(const char *text, ExecRow *ret, Error *reterr_error) {
        static const JsonField fields[] = {
                { "options", JSON_FIELD_STRING, offsetof(ExecRow, options), true, NULL },
                { "token", JSON_FIELD_STRING, offsetof(ExecRow, token), false, NULL },
                { "autoRemove", JSON_FIELD_BOOL, offsetof(ExecRow, auto_remove), true, NULL },
                { "createdUSec", JSON_FIELD_UINT64, offsetof(ExecRow, created_usec), true, NULL },
                {},
        };
        _cleanup_json_ json_t *spec = NULL, *j = NULL;
        const char *record;
        int r;

        r = json_parse(text, strlen(text), BUNDLE_CONFIG_SIZE_MAX, &spec, reterr_error);
        if (r < 0)
                return r;
        record = json_get_string(json_object_get(spec, "annotations"), ANNOTATION_EXEC_RECORD);
        if (!record)
                return error_set(reterr_error, -EBADMSG, "InvalidRecord", "It has no record of its own.");
        r = json_parse(record, strlen(record), BUNDLE_CONFIG_SIZE_MAX, &j, reterr_error);
        return r < 0 ? r : json_dispatch(j, fields, ret, "exec", false, reterr_error);
}

typedef struct Restore {
        Store *store;
        const char *ns, *id;
} Restore;

static void restore_exec(uint64_t n, const char *text, void *userdata) {
        _cleanup_(exec_row_done) ExecRow row = { .n = n, .exit_code = -1 };
        _cleanup_error_ Error e = ERROR_NULL;
        const Restore *x = userdata;
        int r;

        r = exec_record_parse(text, &row, &e);
        if (r >= 0 && (free_and_strdup(&row.ns, x->ns) < 0 || free_and_strdup(&row.id, x->id) < 0))
                r = -ENOMEM;
        if (r >= 0)
                r = store_exec_add(x->store, &row);
        if (r < 0)
                log_warning("The record of exec %" PRIu64 " in container %s cannot be used, ignoring it: %s", n, x->id,
                            error_is_set(&e) ? error_message(&e) : strerror(-r));
}

void exec_record_restore_all(Store *s, int containers_fd, const char *ns, const char *id) {
        Restore x = { s, ns, id };
        int r;

        r = bundle_foreach_exec(containers_fd, ns, id, restore_exec, &x);
        if (r < 0)
                log_debug_errno(r, "Failed to look for the execs of container %s, ignoring: %m", id);
}
