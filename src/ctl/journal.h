/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* Has journald write what it was sent before now (journalctl --sync), so that a reader finds it. Waits two
 * seconds at most; without the right to ask, nothing happens. */
void journal_sync(void);
