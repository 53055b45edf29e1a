/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* This process while its container, or a process in it, runs in front of it: signals are passed on, a
 * terminal is shown, the exit code is told. */

#include <sys/types.h>
#include <termios.h>

#include "basic/error.h"

typedef struct Foreground {
        int signal_fd;
        int interrupt_fd; /* readable if one of the signals is to end this process; they stay */
        int notify_fd; /* owned; of notify-proxy.h, -EBADF: none */
        int master; /* owned; -EBADF: the process has no terminal of its own */
        bool raw;   /* the caller's terminal is, and was as `modes` says */
        struct termios modes;
} Foreground;

#define FOREGROUND_INIT                                                                                     \
        (Foreground) {                                                                                      \
                .signal_fd = -EBADF, .interrupt_fd = -EBADF, .notify_fd = -EBADF, .master = -EBADF          \
        }

/* Before the process is made: signals wait for foreground_wait() from here on. */
int foreground_begin(Foreground *f, Error *reterr_error);
/* Until fd is readable; an error if one of the signals comes before that. */
int foreground_wait_readable(const Foreground *f, int fd, Error *reterr_error);
/* Gives a master to be shown (owned by f from here on); stdin becomes raw if it is a terminal. */
int foreground_show(Foreground *f, int master, Error *reterr_error);
/* Until the child pid has ended: its exit code, 128 + n for signal n. */
int foreground_wait(Foreground *f, pid_t pid, int *ret_code, Error *reterr_error);
/* The same, told as waitid(2) does. */
int foreground_wait_end(Foreground *f, pid_t pid, int *ret_code, int *ret_status, Error *reterr_error);
/* Restores the caller's terminal. */
void foreground_done(Foreground *f);
