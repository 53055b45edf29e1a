/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where launchers of containers ask for the network namespace that moored has made (runtime/launch-network.h): a
 * listening socket that the service manager holds as well, so that who asks while moored is started anew has to
 * wait, and no more. */

#include <systemd/sd-event.h>

#include "terminal/terminal.h"

typedef struct NetworkSocket NetworkSocket;

/* What a launcher gets: a descriptor with a word, or a sentence alone. */
typedef struct NetworkAnswer {
        int fd;
        char *text;
        bool later; /* network_socket_answer() follows */
} NetworkAnswer;
#define NETWORK_ANSWER_NULL ((NetworkAnswer){ .fd = -EBADF })
void network_answer_done(NetworkAnswer *a);

/* key: as it has asked. pid: the asking process, which is of the same user, root. ret is sent and done with. */
typedef void (*NetworkSocketFunc)(const char *key, pid_t pid, NetworkAnswer *ret, void *userdata);

/* store NULL: nothing is kept. */
int network_socket_new(sd_event *event, const TerminalStore *store, void *store_userdata, const char *path,
                       NetworkSocket **ret);
NetworkSocket *network_socket_free(NetworkSocket *s);
DEFINE_CLEANUP_FUNC(NetworkSocket *, network_socket_free)
/* As terminal_manager_adopt(). */
int network_socket_adopt(NetworkSocket *s, const char *name, int fd);
/* Once: from now on func answers, also those who wait already. */
int network_socket_listen(NetworkSocket *s, NetworkSocketFunc func, void *userdata);
/* To all that have asked with this key and wait. a is still the caller's. */
void network_socket_answer(NetworkSocket *s, const char *key, const NetworkAnswer *a);
bool network_socket_waits(const NetworkSocket *s, const char *key); /* does anybody? */
