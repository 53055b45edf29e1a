/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Notifications of src/events as D-Bus signals. */

#include "bus/bus-object.h"

int bus_signals_subscribe(Bus *b);
/* One event as "(ttsssa{sv})" without the parentheses: a signal's arguments, or the inside of a
 * structure. */
int bus_append_event(sd_bus_message *m, const EventRow *row);
