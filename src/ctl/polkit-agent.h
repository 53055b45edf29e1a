/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* pkttyagent(1): asks for passwords on this terminal when polkit wants one. */

#include "basic/macro.h"

/* Returns its pid once it is ready to ask, 0 if there is none to be had. */
pid_t polkit_agent_start(void);
/* Ends it and waits. 0 is ignored. */
void polkit_agent_stop(pid_t pid);
