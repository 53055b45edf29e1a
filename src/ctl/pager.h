/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Long output through less, as systemctl does. */

#include "ctl/ctl.h"

/* If stdout is a terminal: notes its width and colours in c and, unless --no-pager was given, starts
 * $MOORED_PAGER, $PAGER or less and lets stdout lead there. Nothing happens where there is no pager. */
void pager_open(Ctl *c);
/* Flushes and waits until the user has left it. */
void pager_close(Ctl *c);
