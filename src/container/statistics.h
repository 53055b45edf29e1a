/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What containers and their processes use, from the kernel's files. Reading is quick: none of them waits,
 * but for what PID 1 has to be asked. */

#include "container/container.h"

typedef int (*StatisticFunc)(const char *name, uint64_t value, void *userdata);

/* Calls back for each number that this host has: names as org.moored1.Container(5) lists them. What there is
 * no controller for is left out. -ESRCH "NotRunning". */
int container_get_statistics(const Container *c, StatisticFunc func, void *userdata, Error *reterr_error);

/* What PID 1 counts, if it was told to: a question to it. 0: it was not, and func will not be called; 1: it will. */
int container_ask_traffic(const Container *c, void (*func)(int r, const UnitTraffic *traffic, void *userdata),
                          void *userdata);
/* Of what is counted. */
int traffic_foreach(const UnitTraffic *t, StatisticFunc func, void *userdata);

#define PROCESSES_SHOWN_MAX 1024U

typedef struct ProcessInfo {
        uint32_t pid, parent_pid; /* of the host */
        uint32_t container_pid;   /* in the container's pid namespace; 0: not known */
        uint32_t uid;
        char state;
        uint64_t cpu_usec, memory_bytes, started_usec;
} ProcessInfo;
/* -ESRCH: it has ended. */
int process_info_read(uint32_t pid, ProcessInfo *ret);
/* Pure: of /proc/PID/stat and /proc/PID/status. boot_usec: when the host was booted. */
int process_info_parse(const char *stat, const char *status, uint64_t boot_usec, ProcessInfo *ret);
