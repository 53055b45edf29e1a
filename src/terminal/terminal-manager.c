/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All terminals: the socket that masters come by, and what the daemon before this one has left in the descriptor
 * store. */

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/hashmap.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "terminal/terminal-private.h"

#define SOCKET_NAME "terminals"

/* -- masters arrive ----------------------------------------------------------------------------- */

static bool is_master(int fd) {
        unsigned number;

        return ioctl(fd, TIOCGPTN, &number) >= 0;
}

static void close_many(int fds[], size_t n) {
        for (size_t i = 0; i < n; i++)
                safe_close(fds[i]);
}

/* One message, if there is one. It stays in the socket until what it brings is in the store. */
static int receive_master(TerminalManager *m) {
        size_t n_fds = 0, n_dropped = 0;
        int fds[FDS_MAX], dropped[FDS_MAX];
        char key[TERMINAL_KEY_MAX + 1];
        Terminal *t = NULL;
        ssize_t n;

        n = recv_with_fds(m->socket, key, sizeof(key) - 1, fds, &n_fds, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && n != -EMSGSIZE)
                return (int) n;
        if (n > 0) {
                key[n] = 0;
                t = terminal_find(m, key);
        }
        if (t && n_fds == 1 && is_master(fds[0]))
                terminal_take_master(t, fds[0]);
        else
                close_many(fds, n_fds); /* a process whose end we have heard of already */

        n = recv_with_fds(m->socket, key, sizeof(key) - 1, dropped, &n_dropped, MSG_DONTWAIT);
        if (n >= 0)
                close_many(dropped, n_dropped);
        return n < 0 && n != -EMSGSIZE ? (int) n : 1;
}

void terminal_receive_masters(TerminalManager *m) {
        int r = 1;

        while (m->socket >= 0 && r > 0)
                r = receive_master(m);
        if (r < 0 && r != -EAGAIN && r != -EINTR)
                log_warning_errno(r, "Terminals cannot be received: %m");
}

static int on_socket(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        terminal_receive_masters(userdata);
        return 0;
}

static bool is_there(const char *path) {
        struct stat st;

        return lstat(path, &st) >= 0 && S_ISSOCK(st.st_mode);
}

static int open_socket(TerminalManager *m) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        if (m->socket >= 0 && !is_there(m->path))
                m->socket = safe_close(m->socket);
        if (m->socket < 0) {
                if (strlen(m->path) >= sizeof(address.sun_path))
                        return -ENAMETOOLONG;
                (void) strcpy(address.sun_path, m->path);
                m->socket = RET_NERRNO(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
                if (m->socket < 0)
                        return m->socket;
                if (unlink(m->path) < 0 && errno != ENOENT)
                        return -errno;
                if (bind(m->socket, (struct sockaddr *) &address, sizeof(address)) < 0 ||
                    chmod(m->path, 0600) < 0)
                        return -errno;
                if (m->store) {
                        m->store->remove(m->store_userdata, SOCKET_NAME);
                        r = m->store->add(m->store_userdata, SOCKET_NAME, m->socket, false);
                        if (r < 0)
                                log_warning_errno(
                                                r,
                                                "Terminals of processes that start without moored are lost: %m");
                }
        }
        return sd_event_add_io(m->event, &m->source, m->socket, EPOLLIN, on_socket, m);
}

/* -- the manager -------------------------------------------------------------------------------- */

int terminal_manager_new(sd_event *event, const TerminalStore *store, void *store_userdata,
                         const char *socket, const char *journal, TerminalManager **ret) {
        _cleanup_(terminal_manager_freep) TerminalManager *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        *m = (TerminalManager){
                .event = sd_event_ref(event),
                .store = store,
                .store_userdata = store_userdata,
                .by_key = hashmap_new(),
                .path = strdup(socket),
                .socket = -EBADF,
        };
        if (!m->by_key || !m->path)
                return -ENOMEM;
        r = terminal_log_new(journal, &m->log);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

TerminalManager *terminal_manager_free(TerminalManager *m) {
        if (!m)
                return NULL;

        while (m->terminals)
                terminal_unlink(m->terminals);
        hashmap_free(m->by_key);
        terminal_log_free(m->log);
        sd_event_source_disable_unref(m->source);
        safe_close(m->socket);
        free(m->path);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

static int find_or_allocate(TerminalManager *m, uint64_t serial, const char *key, Terminal **ret) {
        for (Terminal *t = m->terminals; t; t = t->next)
                if (t->serial == serial && streq(t->key, key)) {
                        *ret = t;
                        return 0;
                }
        m->serial = MAX(m->serial, serial);
        return terminal_allocate(m, serial, key, ret);
}

int terminal_manager_adopt(TerminalManager *m, const char *name, int fd) {
        _cleanup_close_ int owned = -EBADF;
        TerminalPart part;
        unsigned client;
        const char *key;
        uint64_t serial;
        Terminal *t;
        int r, *place;

        owned = fd;
        if (streq(name, SOCKET_NAME)) {
                if (m->socket < 0)
                        m->socket = TAKE_FD(owned);
                return 1;
        }
        r = terminal_name_parse(name, &serial, &part, &client, &key);
        if (r == -EINVAL) {
                (void) TAKE_FD(owned);
                return 0;
        }
        if (r < 0)
                return r;
        r = find_or_allocate(m, serial, key, &t);
        if (r < 0)
                return r;

        if (part == TERMINAL_PART_RING) {
                if (!t->ring) {
                        r = ring_map(owned, &t->ring);
                        if (r < 0)
                                log_warning_errno(r, "What the terminal of %s has shown cannot be read: %m",
                                                  key);
                }
                return 1;
        }
        place = part == TERMINAL_PART_MASTER ? &t->master : &t->clients[client].fd;
        if (*place < 0)
                *place = TAKE_FD(owned);
        return 1;
}

/* Ring and store, each with what the other one has. */
static int reconcile(Terminal *t) {
        _cleanup_close_ int ring_fd = -EBADF;
        int r;

        if (!t->ring) {
                terminal_unstore(t, TERMINAL_PART_RING, 0);
                r = ring_new(&t->ring, &ring_fd);
                if (r < 0)
                        return r;
                terminal_store(t, TERMINAL_PART_RING, 0, ring_fd);
                for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                        if (t->clients[i].fd >= 0)
                                t->ring->clients |= 1U << i;
        }
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                if (t->clients[i].fd < 0 && ring_has_client(t->ring, i))
                        ring_remove_client(t->ring, i);
                else if (t->clients[i].fd >= 0 && !ring_has_client(t->ring, i))
                        terminal_remove_client(t, i);
        return 0;
}

int terminal_manager_recovered(TerminalManager *m, bool (*wanted)(const char *key, void *userdata),
                               void *userdata) {
        for (Terminal *t = m->terminals, *next; t; t = next) {
                Terminal *other = terminal_find(m, t->key);
                int r;

                next = t->next;
                r = reconcile(t);
                if (r >= 0) {
                        t->input_stopped = t->master < 0;
                        r = terminal_watch(t);
                }
                if (r >= 0 && (!other || other->serial < t->serial)) {
                        terminal_end(other);
                        r = hashmap_replace(m->by_key, t->key, t);
                }
                if (r < 0) {
                        log_warning_errno(r, "The terminal of %s is lost: %m", t->key);
                        terminal_free(t);
                        continue;
                }
                if (terminal_find(m, t->key) != t)
                        terminal_end(t);
                terminal_wake(t);
        }

        int r = open_socket(m);

        for (Terminal *t = m->terminals; t; t = t->next)
                if (!t->ending && !wanted(t->key, userdata))
                        terminal_end(t);
        return r;
}
