/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container/waiter.h"

int waiters_add(Waiter **list, const Waiter *waiter) {
        Waiter *w, **tail = list;

        if (!waiter->container && !waiter->exec)
                return 0;
        w = malloc(sizeof(*w));
        if (!w)
                return -ENOMEM;
        *w = *waiter;
        w->next = NULL;

        while (*tail)
                tail = &(*tail)->next;
        *tail = w;
        return 0;
}

Waiter *waiters_take(Waiter **list, WaiterKind kinds) {
        Waiter *taken = NULL, **tail = &taken, **p = list;

        while (*p) {
                Waiter *w = *p;

                if (!(w->kind & kinds)) {
                        p = &w->next;
                        continue;
                }
                *p = w->next;
                w->next = NULL;
                *tail = w;
                tail = &w->next;
        }

        return taken;
}

void waiters_call(Waiter *list, void *object, const Error *error) {
        if (!error_is_set(error))
                error = NULL;

        while (list) {
                Waiter *w = list;

                list = w->next;
                if (w->exec)
                        w->exec(object, error, w->userdata);
                else
                        w->container(object, error, w->userdata);
                free(w);
        }
}
