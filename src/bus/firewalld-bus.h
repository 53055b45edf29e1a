/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hears of firewalld: that it has come, and that it has loaded its rules anew. Then those of networks are made again. */

#include "bus/bus-object.h"

/* For as long as the connection lasts. */
int bus_watch_firewalld(Bus *b);
