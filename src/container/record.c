/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bundles are on a tmpfs that only root may enter, so a record is as trustworthy as the database; but a
 * damaged one must not take others with it, and every number in it names a directory, so that all is
 * checked. Rows that were added before an error in the same record are left to the collection that follows.
 */

#include "container/record.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "container/bundle.h"
#include "container/container.h"
#include "container/exec-record.h"
#include "network/network-record.h"
#include "oci/digest.h"

#define RECORD_VERSION 1

static json_t *snapshot_to_json(const SnapshotRow *row) {
        return json_pack("{s:I, s:s, s:s*, s:s*, s:I}", "id", (json_int_t) row->id, "driver", row->driver,
                         "chainId", row->chain_id, "diffId", row->diff_id, "size", (json_int_t) row->size);
}

/* From the writable one down. */
static int snapshots_to_json(Store *s, uint64_t id, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();

        if (!list)
                return -ENOMEM;
        for (size_t n = 0; id > 0; n++) {
                _cleanup_(snapshot_row_done) SnapshotRow row = {};
                int r;

                if (n >= RECORD_SNAPSHOTS_MAX)
                        return -ELOOP;
                r = store_snapshot_get(s, id, &row);
                if (r < 0)
                        return r;
                if (json_array_append_new(list, snapshot_to_json(&row)) < 0)
                        return -ENOMEM;
                id = row.parent;
        }

        *ret = TAKE_PTR(list);
        return 0;
}

int record_build(Store *s, const ContainerRow *row, char **ret) {
        _cleanup_json_ json_t *snapshots = NULL, *network = NULL, *j = NULL;
        char *text;
        int r;

        r = snapshots_to_json(s, row->snapshot, &snapshots);
        if (r >= 0)
                r = network_record_build(s, row->ns, row->id, &network);
        if (r < 0)
                return r;
        j = json_pack("{s:i, s:s, s:s, s:s, s:s*, s:s, s:b, s:I, s:I, s:I, s:s*, s:s*, s:i, s:s*, s:s*, "
                      "s:I, s:b, s:I, s:O, s:O*}",
                      "version", RECORD_VERSION, "namespace", row->ns, "id", row->id, "image", row->image,
                      "imageDigest", row->image_digest, "options", row->options, "autoRemove",
                      (int) row->auto_remove, "createdUSec", (json_int_t) row->created_usec, "startedUSec",
                      (json_int_t) row->started_usec, "finishedUSec", (json_int_t) row->finished_usec,
                      "bootId", row->boot_id, "invocationId", row->invocation_id, "exitCode",
                      (int) row->exit_code, "exitSignal", row->exit_signal, "result", row->result,
                      "restartCount", (json_int_t) row->restart_count, "stopped", (int) row->stopped,
                      "oomKills", (json_int_t) row->oom_kills,
                      "snapshots", snapshots, "network", network);
        text = j ? json_dump(j, false) : NULL;
        if (!text)
                return -ENOMEM;

        *ret = text;
        return 0;
}

typedef struct Record {
        uint64_t version;
        int64_t exit_code;
        uint64_t restart_count;
        ContainerRow row;
        json_t *snapshots, *network; /* borrowed; network may be NULL */
} Record;

static void record_done(Record *x) {
        container_row_done(&x->row);
}

static int record_parse(json_t *j, Record *ret, Error *reterr_error) {
        static const JsonField fields[] = {
                { "version", JSON_FIELD_UINT64, offsetof(Record, version), true, NULL },
                { "namespace", JSON_FIELD_STRING, offsetof(Record, row.ns), true, NULL },
                { "id", JSON_FIELD_STRING, offsetof(Record, row.id), true, NULL },
                { "image", JSON_FIELD_STRING, offsetof(Record, row.image), true, NULL },
                { "imageDigest", JSON_FIELD_STRING, offsetof(Record, row.image_digest), false, NULL },
                { "options", JSON_FIELD_STRING, offsetof(Record, row.options), true, NULL },
                { "autoRemove", JSON_FIELD_BOOL, offsetof(Record, row.auto_remove), true, NULL },
                { "createdUSec", JSON_FIELD_UINT64, offsetof(Record, row.created_usec), true, NULL },
                { "startedUSec", JSON_FIELD_UINT64, offsetof(Record, row.started_usec), true, NULL },
                { "finishedUSec", JSON_FIELD_UINT64, offsetof(Record, row.finished_usec), true, NULL },
                { "bootId", JSON_FIELD_STRING, offsetof(Record, row.boot_id), false, NULL },
                { "invocationId", JSON_FIELD_STRING, offsetof(Record, row.invocation_id), false, NULL },
                { "exitCode", JSON_FIELD_INT64, offsetof(Record, exit_code), true, NULL },
                { "exitSignal", JSON_FIELD_STRING, offsetof(Record, row.exit_signal), false, NULL },
                { "result", JSON_FIELD_STRING, offsetof(Record, row.result), false, NULL },
                { "oomKills", JSON_FIELD_UINT64, offsetof(Record, row.oom_kills), false, NULL },
                { "restartCount", JSON_FIELD_UINT64, offsetof(Record, restart_count), false, NULL },
                { "stopped", JSON_FIELD_BOOL, offsetof(Record, row.stopped), false, NULL },
                { "snapshots", JSON_FIELD_ARRAY, offsetof(Record, snapshots), true, NULL },
                { "network", JSON_FIELD_OBJECT, offsetof(Record, network), false, NULL },
                {},
        };
        _cleanup_(record_done) Record x = {};
        int r;

        r = json_dispatch(j, fields, &x, "record", false, reterr_error);
        if (r < 0)
                return r;
        if (x.version != RECORD_VERSION)
                return error_set(reterr_error, -EOPNOTSUPP, "InvalidRecord",
                                 "It has version %llu; %i is known.", (unsigned long long) x.version,
                                 RECORD_VERSION);
        x.row.exit_code = (int32_t) x.exit_code;
        x.row.restart_count = (uint32_t) MIN(x.restart_count, (uint64_t) UINT32_MAX);

        *ret = x;
        x = (Record) {};
        return 0;
}

typedef struct SnapshotText {
        uint64_t id, size;
        char *driver, *chain_id, *diff_id;
} SnapshotText;

static void snapshot_text_done(SnapshotText *t) {
        free(t->driver);
        free(t->chain_id);
        free(t->diff_id);
}

/* Layers are shared: one that another record has brought must be the same. */
static int add_snapshot(Store *s, SnapshotRow *row) {
        _cleanup_(snapshot_row_done) SnapshotRow old = {};
        int r;

        r = store_snapshot_add(s, row);
        if (r != -EEXIST)
                return r;
        r = store_snapshot_get(s, row->id, &old);
        if (r < 0)
                return r;

        if (old.kind != SNAPSHOT_LAYER || !streq_ptr(old.chain_id, row->chain_id) ||
            old.parent != row->parent || !streq(old.driver, row->driver))
                return -EEXIST;
        return 0;
}

static int restore_snapshot(Store *s, json_t *j, bool layer, const SnapshotText *below, const char *boot_id,
                            SnapshotText *ret) {
        static const JsonField fields[] = {
                { "id", JSON_FIELD_UINT64, offsetof(SnapshotText, id), true, NULL },
                { "driver", JSON_FIELD_STRING, offsetof(SnapshotText, driver), true, NULL },
                { "chainId", JSON_FIELD_STRING, offsetof(SnapshotText, chain_id), false, NULL },
                { "diffId", JSON_FIELD_STRING, offsetof(SnapshotText, diff_id), false, NULL },
                { "size", JSON_FIELD_UINT64, offsetof(SnapshotText, size), true, NULL },
                {},
        };
        _cleanup_(snapshot_text_done) SnapshotText t = {};
        char chain[DIGEST_STRING_MAX];
        int r;

        r = json_is_object(j) ? json_dispatch(j, fields, &t, "snapshot", false, NULL) : -EBADMSG;
        if (r < 0)
                return r;
        if (t.id == 0 || t.id > INT64_MAX || layer != !!t.chain_id)
                return -EBADMSG;
        if (layer && (!digest_is_valid(t.chain_id) || !t.diff_id || !digest_is_valid(t.diff_id) ||
                      chain_id(below->chain_id, t.diff_id, chain) < 0 || !streq(chain, t.chain_id)))
                return -EBADMSG;

        SnapshotRow row = {
                .id = t.id,
                .driver = t.driver,
                .kind = layer ? SNAPSHOT_LAYER : SNAPSHOT_WRITABLE,
                .chain_id = t.chain_id,
                .diff_id = layer ? t.diff_id : NULL,
                .parent = below->id,
                .ready = true,
                .boot_id = (char *) boot_id,
                .size = t.size,
                .created_usec = 0,
        };
        r = add_snapshot(s, &row);
        if (r < 0)
                return r;

        *ret = t;
        t = (SnapshotText) {};
        return 0;
}

/* The lowest is the last of the list. */
static int restore_snapshots(Store *s, const Record *x, const char *boot_id, uint64_t *ret_top) {
        _cleanup_(snapshot_text_done) SnapshotText below = {};
        size_t n = json_array_size(x->snapshots);

        if (n == 0 || n > RECORD_SNAPSHOTS_MAX)
                return -EBADMSG;
        for (size_t i = n; i > 0; i--) {
                SnapshotText t;
                int r;

                r = restore_snapshot(s, json_array_get(x->snapshots, i - 1), i > 1, &below, boot_id, &t);
                if (r < 0)
                        return r;
                snapshot_text_done(&below);
                below = t;
        }

        *ret_top = below.id;
        return 0;
}

int record_restore(Store *s, const char *ns, const char *id, const char *text, const char *boot_id,
                   Error *reterr_error) {
        const NamespaceRow namespace_row = { .name = (char *) ns };
        _cleanup_json_ json_t *j = NULL;
        _cleanup_(record_done) Record x = {};
        int r;

        r = json_parse(text, strlen(text), RECORD_SIZE_MAX, &j, reterr_error);
        if (r >= 0)
                r = record_parse(j, &x, reterr_error);
        if (r < 0)
                return r;
        if (!streq(x.row.ns, ns) || !streq(x.row.id, id) || !container_id_is_valid(id))
                return error_set(reterr_error, -EBADMSG, "InvalidRecord", "It is the record of %s/%s.",
                                 x.row.ns, x.row.id);

        r = restore_snapshots(s, &x, boot_id, &x.row.snapshot);
        if (r < 0)
                return error_set(reterr_error, r, "InvalidRecord",
                                 "Its snapshots make no sense, or contradict others: %s.", strerror(-r));

        r = store_namespace_add(s, &namespace_row);
        if (r >= 0 || r == -EEXIST)
                r = store_container_add(s, &x.row);
        if (r < 0)
                return error_set_errno(reterr_error, r, "It cannot be recorded: %m");
        if (x.network) {
                r = network_record_restore(s, ns, id, x.network, reterr_error);
                if (r < 0) {
                        /* Without its addresses it would be another container, and with them two had the same. */
                        (void) store_container_remove(s, ns, id);
                        return r;
                }
        }

        return 0;
}

typedef struct Restore {
        Store *store;
        int containers_fd;
        const char *boot_id;
        int n;
} Restore;

static void restore_one(const char *ns, const char *id, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        Restore *x = userdata;
        int r;

        r = bundle_read_record(x->containers_fd, ns, id, &text);
        if (r >= 0)
                r = record_restore(x->store, ns, id, text, x->boot_id, &e);
        if (r >= 0) {
                x->n++;
                exec_record_restore_all(x->store, x->containers_fd, ns, id);
        } else if (r != -ENOENT)
                log_warning("The record of container %s in namespace %s cannot be used, ignoring it: %s", id,
                            ns, error_is_set(&e) ? error_message(&e) : strerror(-r));
}

int record_restore_all(Store *s, int containers_fd, const char *boot_id, Error *reterr_error) {
        Restore x = { .store = s, .containers_fd = containers_fd, .boot_id = boot_id };
        int r;

        r = bundle_foreach(containers_fd, restore_one, &x);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to look through the bundles: %m");
        if (x.n > 0)
                log_notice("Brought back %i containers from their bundles.", x.n);
        return x.n;
}
