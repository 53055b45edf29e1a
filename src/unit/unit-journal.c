/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What PID 1 told the journal of a unit that it has forgotten: somebody stopped it while nobody was there to see how
 * it ended. An end by a code other than 0, or by a signal, is an entry of its own; one that is not is code 0. Units
 * with properties that make others clean, or keep these entries from the journal, write their ends down themselves
 * (container_ends_unheard()). */

#include <sys/wait.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-messages.h>

#include "basic/string-util.h"
#include "basic/strv.h"
#include "unit/unit-private.h"

#define ENTRIES_MAX 1000U /* of one run: it may have been reloaded and frozen now and then */

/* The field's value; NULL if the entry has none. */
static int get_field(sd_journal *j, const char *field, char **ret) {
        const char *data;
        size_t n, skip = strlen(field) + 1;
        char *value;
        int r;

        *ret = NULL;
        r = sd_journal_get_data(j, field, (const void **) &data, &n);
        if (r == -ENOENT || r == -E2BIG || r == -EBADMSG)
                return 0;
        if (r < 0)
                return r;
        if (n < skip)
                return 0;
        value = strndup(data + skip, n - skip);
        if (!value)
                return -ENOMEM;
        *ret = value;
        return 0;
}

static int32_t code_from_string(const char *s) {
        return streq(s, "exited") ? CLD_EXITED : streq(s, "killed") ? CLD_KILLED : streq(s, "dumped") ? CLD_DUMPED : 0;
}

static int take_exit(sd_journal *j, UnitStatus *s) {
        _cleanup_free_ char *code = NULL, *status = NULL, *command = NULL;
        int r, number;

        r = get_field(j, "COMMAND", &command);
        if (r >= 0)
                r = get_field(j, "EXIT_CODE", &code);
        if (r >= 0)
                r = get_field(j, "EXIT_STATUS", &status);
        if (r < 0)
                return r;
        if (streq(strempty(command), "ExecStart") && code_from_string(strempty(code)) != 0 &&
            parse_int(strempty(status), &number) >= 0) {
                s->exec_main_code = code_from_string(code);
                s->exec_main_status = number;
                r = sd_journal_get_realtime_usec(j, &s->exec_main_exit_usec);
        }
        return r;
}

/* 1: that was the end. */
static int take_entry(sd_journal *j, UnitStatus *s) {
        _cleanup_free_ char *id = NULL;
        sd_id128_t message;
        int r;

        r = get_field(j, "MESSAGE_ID", &id);
        if (r < 0 || !id || sd_id128_from_string(id, &message) < 0)
                return r;
        if (sd_id128_equal(message, SD_MESSAGE_UNIT_PROCESS_EXIT))
                return take_exit(j, s);
        if (sd_id128_equal(message, SD_MESSAGE_UNIT_FAILURE_RESULT)) {
                free(s->result);
                r = get_field(j, "UNIT_RESULT", &s->result);
                return r < 0 ? r : 1;
        }
        if (!sd_id128_equal(message, SD_MESSAGE_UNIT_SUCCESS))
                return 0;
        r = free_and_strdup(&s->result, "success");
        if (r >= 0 && s->exec_main_code == 0) {
                s->exec_main_code = CLD_EXITED;
                s->exec_main_status = 0;
                r = sd_journal_get_realtime_usec(j, &s->exec_main_exit_usec);
        }
        return r < 0 ? r : 1;
}

static int add_match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = strjoin(field, "=", value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

static int read_journal(sd_journal *j, const char *unit, const char *invocation_id, UnitStatus *s) {
        int r;

        r = add_match(j, "_PID", "1");
        if (r >= 0)
                r = add_match(j, "UNIT", unit);
        if (r >= 0)
                r = add_match(j, "INVOCATION_ID", invocation_id);
        if (r >= 0)
                r = sd_journal_seek_head(j);
        for (unsigned i = 0; r >= 0 && i < ENTRIES_MAX; i++) {
                r = sd_journal_next(j);
                if (r <= 0)
                        break;
                r = take_entry(j, s);
                if (r > 0)
                        return 0;
        }
        return r < 0 ? r : -ENODATA;
}

int unit_journal_last_words(const char *unit, const char *invocation_id, UnitStatus *ret) {
        _cleanup_(unit_status_done) UnitStatus s = {};
        sd_journal *j = NULL;
        int r;

        if (isempty(invocation_id))
                return -ENODATA;
        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        if (r < 0)
                return r;
        r = read_journal(j, unit, invocation_id, &s);
        sd_journal_close(j);
        if (r < 0)
                return r;

        *ret = s;
        s = (UnitStatus){};
        return 0;
}
