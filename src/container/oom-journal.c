/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two writers. PID 1 looks at memory.events whenever a process of a unit ends, before it says how that
 * ended, and after: so when its line about the main process is there the question is answered, however
 * long ago that was. The kernel names the victim:
 *
 *   oom-kill:constraint=…,task_memcg=/moored.slice/…/moored-default-web.service,task=NAME,pid=7,uid=0
 *
 * NAME is the process' own choice and may look like what follows it, which is hence read from the right. */

#include "basic/string-util.h"
#include "container/oom.h"

#define MESSAGE_OUT_OF_MEMORY "fe6faa94e7774663a0da52717891d8ef"
#define MESSAGE_PROCESS_EXIT "98e322203f7a4ed290d09fe03c09fe15"
#define UNIT_ENTRIES_MAX 64U    /* of PID 1 about one run, the newest */
#define KERNEL_ENTRIES_MAX 512U /* the newest */
#define VICTIMS_MAX 64U
#define LINE_MAX_ 4096U

void oom_victim_done(OomVictim *v) {
        free(v->command);
        *v = (OomVictim) {};
}

void oom_report_done(OomReport *r) {
        for (size_t i = 0; i < r->n_victims; i++)
                oom_victim_done(&r->victims[i]);
        free(r->victims);
        *r = (OomReport) {};
}

static char *find_last(char *s, const char *needle) {
        char *found = NULL;

        for (char *p = s; (p = strstr(p, needle)); p++)
                found = p;
        return found;
}

int oom_line_parse(const char *line, const char *control_group, OomVictim *ret) {
        _cleanup_free_ char *text = NULL;
        char *group, *task, *pid, *uid;
        uint32_t number;
        size_t n = strlen(control_group);

        line = strstr(line, "oom-kill:");
        if (!line)
                return 0;
        text = strdup(line);
        if (!text)
                return -ENOMEM;

        uid = find_last(text, ",uid=");
        if (!uid)
                return 0;
        *uid = 0;
        pid = find_last(text, ",pid=");
        if (!pid || parse_uint32(pid + strlen(",pid="), &number) < 0)
                return 0;
        *pid = 0;
        group = strstr(text, ",task_memcg=");
        group = group ? strstr(group, control_group) : NULL;
        if (!group || (group[n] != ',' && group[n] != '/'))
                return 0;
        task = strstr(group + n, ",task=");
        if (!task)
                return 0;

        ret->command = strdup(string_sanitize(task + strlen(",task=")));
        ret->pid = number;
        return ret->command ? 1 : -ENOMEM;
}

static char *get_field(sd_journal *j, const char *field) {
        const void *data;
        size_t size, skip = strlen(field) + 1;

        if (sd_journal_get_data(j, field, &data, &size) < 0 || size < skip)
                return NULL;
        return strndup((const char *) data + skip, MIN(size - skip, (size_t) LINE_MAX_));
}

static int match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *s = strjoin(field, "=", value);

        return s ? sd_journal_add_match(j, s, 0) : -ENOMEM;
}

static int read_unit(sd_journal *j, const char *invocation_id, OomReport *report) {
        int r;

        sd_journal_flush_matches(j);
        r = match(j, "INVOCATION_ID", invocation_id);
        if (r >= 0)
                r = match(j, "_PID", "1"); /* journald's word: nobody else can have it */
        if (r >= 0)
                r = sd_journal_seek_tail(j);
        for (unsigned i = 0; r >= 0 && i < UNIT_ENTRIES_MAX && (r = sd_journal_previous(j)) > 0; i++) {
                _cleanup_free_ char *id = get_field(j, "MESSAGE_ID");

                if (streq_ptr(id, MESSAGE_OUT_OF_MEMORY))
                        report->n_messages++;
                else if (streq_ptr(id, MESSAGE_PROCESS_EXIT))
                        report->exit_seen = true;
        }
        return r < 0 ? r : 0;
}

static int add_victim(OomReport *report, OomVictim *v) {
        OomVictim *victims = reallocarray(report->victims, report->n_victims + 1, sizeof(*victims));

        if (!victims)
                return -ENOMEM;
        report->victims = victims;
        victims[report->n_victims++] = *v;
        *v = (OomVictim) {};
        return 0;
}

static int read_kernel(sd_journal *j, const char *control_group, uint64_t since_usec, OomReport *report) {
        int r;

        sd_journal_flush_matches(j);
        r = match(j, "_TRANSPORT", "kernel");
        if (r >= 0)
                r = sd_journal_seek_tail(j);
        for (unsigned i = 0; r >= 0 && i < KERNEL_ENTRIES_MAX && (r = sd_journal_previous(j)) > 0; i++) {
                _cleanup_(oom_victim_done) OomVictim v = {};
                _cleanup_free_ char *line = NULL;
                uint64_t usec;

                if (report->n_victims >= VICTIMS_MAX ||
                    (sd_journal_get_realtime_usec(j, &usec) >= 0 && usec < since_usec))
                        break;
                line = get_field(j, "MESSAGE");
                r = line ? oom_line_parse(line, control_group, &v) : 0;
                if (r > 0)
                        r = add_victim(report, &v);
        }
        return r < 0 ? r : 0;
}

int oom_report_read(sd_journal *j, const char *invocation_id, const char *control_group, uint64_t since_usec,
                    OomReport *ret) {
        OomReport report = {};
        int r;

        r = read_unit(j, invocation_id, &report);
        if (r >= 0)
                r = read_kernel(j, control_group, since_usec, &report);
        if (r < 0) {
                oom_report_done(&report);
                return r;
        }

        *ret = report;
        return 0;
}
