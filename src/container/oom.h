/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the OOM killer does to containers: counted, told as events with the victim, and made part of the
 * exit. Needs container_manager_watch(). */

#include <systemd/sd-journal.h>

#include "container/container.h"

typedef struct OomVictim {
        uint32_t pid;
        char *command; /* what the kernel knows of it: 15 bytes, chosen by the process */
} OomVictim;
void oom_victim_done(OomVictim *v);

/* A line of the kernel's log: whether it names a victim in that control group or below. 1, 0, -ENOMEM. */
int oom_line_parse(const char *line, const char *control_group, OomVictim *ret);

typedef struct OomReport {
        OomVictim *victims; /* of the run, the newest first */
        size_t n_victims;
        unsigned n_messages; /* PID 1's; one may stand for several kills */
        bool exit_seen;      /* PID 1 has said how the main process ended, and before that if it was OOM */
} OomReport;
void oom_report_done(OomReport *r);
/* What the journal has of a unit's run; since_usec: its start, as journald's own times of the kernel's lines are later. */
int oom_report_read(sd_journal *j, const char *invocation_id, const char *control_group, uint64_t since_usec,
                    OomReport *ret);

/* Its control group's memory.events has changed, or may have. */
void container_oom_look(Container *c);
/* It has ended in a way that may be the OOM killer's doing: container_record_exit() is called again when
 * that is known. False: go on. */
bool container_oom_delay_exit(Container *c, const UnitStatus *status, const char *result);
/* The same at once, for a run whose unit has written down its end and how many had been killed. Returns the
 * result that is to be recorded. */
const char *container_oom_settle(Container *c, const UnitStatus *status, const char *result, uint64_t kills);
void container_oom_free(Container *c);
