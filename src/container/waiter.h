/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who waits for something to become of a container or of an exec, in order of arrival. */

#include "container/exec.h"

typedef enum WaiterKind {
        WAITER_START = 1 << 0,
        WAITER_STOP = 1 << 1,
        WAITER_WAIT = 1 << 2,
        WAITER_REMOVE = 1 << 3,
        WAITER_ENDED = WAITER_STOP | WAITER_WAIT,
        WAITER_ALL = WAITER_START | WAITER_STOP | WAITER_WAIT | WAITER_REMOVE,
} WaiterKind;

typedef struct Waiter Waiter;
struct Waiter {
        Waiter *next;
        WaiterKind kind;
        ContainerFunc container; /* one of the two; neither: nobody waits */
        ExecFunc exec;
        void *userdata;
};

/* Adds a copy. */
int waiters_add(Waiter **list, const Waiter *waiter);
/* Those of these kinds, to be called when nothing is done any more with what they wait for: their functions may come
 * back to it, or remove it. */
Waiter *waiters_take(Waiter **list, WaiterKind kinds);
/* object: the container, or the exec; NULL: it is gone. Frees them. */
void waiters_call(Waiter *list, void *object, const Error *error);
