/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whatever happens to a terminal wakes its one function, terminal_work(), which moves bytes as far as they
 * go:
 *
 *   master readable ─┐                   ┌─▶ clients that are behind
 *   client has room ─┼─▶ terminal_work() ┼─▶ the journal
 *   timer, end      ─┘                   ├─▶ the ring, as far as there is room: clients hold it up
 *                                        └─▶ terminal_free(), if it has ended and all have everything
 *
 * Room is made by time as well: who holds it up for TERMINAL_PATIENCE_USEC is dropped.
 *
 * A daemon may be killed between any two instructions. Nothing is taken out of a socket before it is where
 * it belongs: the message with a master, and what clients type, are looked at, used, and only then received.
 * A client is in the ring before it is in the store, and out of the ring before it leaves the store.
 *
 * A master whose other side nobody has open says EIO, and goes on when somebody opens it again, as an init
 * in the container may do: so that is no end; its owner tells the end. Hence its events are edges. */

#include <endian.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/hashmap.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "terminal/terminal-private.h"

#define WORK_ROUNDS 8U /* reads in one go, then others have their turn */
#define INPUT_CHUNK 4096U
/* While something is held up: by a client, by the journal, which takes a few hundred lines at once. */
#define TICK_USEC (100 * USEC_PER_MSEC)
#define TICK_LOG_USEC (5 * USEC_PER_MSEC)
#define TICK_ACCURACY_USEC USEC_PER_MSEC
/* What the kernel takes for a client that does not read: little, so that its progress can be seen. */
#define CLIENT_SEND_BUFFER (8 * 1024)
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10) /* calls are answered first */

_Static_assert(TERMINAL_CLIENTS_MAX == RING_CLIENTS_MAX, "each client has a position");
_Static_assert(TERMINAL_FIELDS_SIZE == RING_FIELDS_SIZE, "fields are kept in the ring");

/* -- the store ---------------------------------------------------------------------------------- */

void terminal_store(const Terminal *t, TerminalPart part, unsigned client, int fd) {
        char name[TERMINAL_NAME_MAX + 1];
        TerminalManager *m = t->manager;
        int r;

        if (!m->store)
                return;
        /* A client that is gone may go from there by itself; a master says "hung up" with bytes to be read.
         */
        r = m->store->add(m->store_userdata, terminal_name(name, t->serial, part, client, t->key), fd,
                          part == TERMINAL_PART_CLIENT);
        if (r < 0)
                log_warning_errno(r, "The terminal of %s will not survive moored's end: %m", t->key);
}

void terminal_unstore(const Terminal *t, TerminalPart part, unsigned client) {
        char name[TERMINAL_NAME_MAX + 1];
        TerminalManager *m = t->manager;

        if (m->store)
                m->store->remove(m->store_userdata, terminal_name(name, t->serial, part, client, t->key));
}

/* -- one terminal ------------------------------------------------------------------------------- */

void terminal_wake(Terminal *t) {
        if (t->work_source)
                (void) sd_event_source_set_enabled(t->work_source, SD_EVENT_ONESHOT);
}

static sd_event_source *source_end(sd_event_source *s) {
        return sd_event_source_disable_unref(s);
}

Terminal *terminal_unlink(Terminal *t) {
        TerminalManager *m;

        if (!t)
                return NULL;

        m = t->manager;
        if (t->previous)
                t->previous->next = t->next;
        else if (m->terminals == t)
                m->terminals = t->next;
        if (t->next)
                t->next->previous = t->previous;
        if (t->key && hashmap_get(m->by_key, t->key) == t)
                (void) hashmap_remove(m->by_key, t->key);

        source_end(t->master_source);
        source_end(t->work_source);
        source_end(t->timer);
        for (size_t i = 0; i < ELEMENTSOF(t->clients); i++) {
                source_end(t->clients[i].source);
                safe_close(t->clients[i].fd);
        }
        safe_close(t->master);
        ring_unmap(t->ring);
        free(t->key);
        free(t);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Terminal *, terminal_unlink)

int terminal_allocate(TerminalManager *m, uint64_t serial, const char *key, Terminal **ret) {
        _cleanup_(terminal_unlinkp) Terminal *t = NULL;

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        *t = (Terminal){ .manager = m, .serial = serial, .key = strdup(key), .master = -EBADF };
        for (size_t i = 0; i < ELEMENTSOF(t->clients); i++)
                t->clients[i] = (Client){ .terminal = t, .fd = -EBADF };
        if (!t->key)
                return -ENOMEM;

        t->next = m->terminals;
        if (t->next)
                t->next->previous = t;
        m->terminals = t;
        *ret = TAKE_PTR(t);
        return 0;
}

void terminal_remove_client(Terminal *t, unsigned i) {
        Client *c = &t->clients[i];

        if (c->fd < 0)
                return;
        /* The store has a copy: that it is closed here says nothing to the other side. */
        (void) shutdown(c->fd, SHUT_RDWR);
        if (t->ring)
                ring_remove_client(t->ring, i);
        terminal_unstore(t, TERMINAL_PART_CLIENT, i);
        c->source = source_end(c->source);
        c->fd = safe_close(c->fd);
        c->input_ended = c->behind = false;
        c->input_done = 0;
        terminal_wake(t);
}

static void close_master(Terminal *t) {
        if (t->master < 0)
                return;
        t->master_source = source_end(t->master_source);
        terminal_unstore(t, TERMINAL_PART_MASTER, 0);
        t->master = safe_close(t->master);
        t->readable = false;
        t->input_stopped = true;
}

Terminal *terminal_free(Terminal *t) {
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                terminal_remove_client(t, i);
        close_master(t);
        terminal_unstore(t, TERMINAL_PART_RING, 0);
        return terminal_unlink(t);
}

/* -- output ------------------------------------------------------------------------------------- */

static void client_update(Client *c) {
        bool input = !c->input_ended && !c->terminal->input_stopped;
        uint32_t events = (input ? (uint32_t) EPOLLIN : 0U) | (c->behind ? (uint32_t) EPOLLOUT : 0U);

        if (c->source)
                (void) sd_event_source_set_io_events(c->source, events);
}

static ssize_t send_output(const Client *c, uint64_t position, const void *p, size_t n) {
        uint64_t where = htole64(position);
        struct iovec iov[] = { { &where, sizeof(where) },
                               { (void *) p, MIN(n, (size_t) TERMINAL_PACKET_MAX) } };
        const struct msghdr m = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };
        ssize_t k;

        if (!c->packets)
                return RET_NERRNO(send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL));
        k = RET_NERRNO(sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
        return k < 0 ? k : (ssize_t) iov[1].iov_len;
}

static void flush_client(Terminal *t, unsigned i) {
        uint64_t *position = &t->ring->position[i];
        Client *c = &t->clients[i];

        c->behind = false;
        while (*position < t->ring->head) {
                const void *p;
                size_t n = ring_peek(t->ring, *position, &p);
                ssize_t k;

                k = send_output(c, *position, p, n);
                if (k == -EINTR)
                        continue;
                if (k < 0 && k != -EAGAIN) {
                        terminal_remove_client(t, i);
                        return;
                }
                if (k < 0) {
                        c->behind = true;
                        break;
                }
                *position += (size_t) k;
                c->progress_usec = now_usec(CLOCK_MONOTONIC);
        }
        client_update(c);
}

/* all: what has no end of line yet, too. */
static void flush_log(Terminal *t, bool all) {
        uint64_t now;

        if (terminal_log_write(t->manager->log, t->ring, &t->limit, all) != -EAGAIN) {
                t->log_usec = 0;
                return;
        }
        now = now_usec(CLOCK_MONOTONIC);
        if (t->log_usec == 0)
                t->log_usec = now;
        else if (now - t->log_usec >= TERMINAL_PATIENCE_USEC) {
                log_debug("The journal takes nothing, what the terminal of %s shows is not logged.", t->key);
                t->ring->logged = t->ring->head;
                t->log_usec = 0;
        }
}

static void flush_all(Terminal *t) {
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                if (t->clients[i].fd >= 0)
                        flush_client(t, i);
        flush_log(t, !ring_has_room(t->ring) || (t->ending && !t->readable));
}

/* True: something was read. */
static bool read_master(Terminal *t) {
        ssize_t n;

        if (!t->readable || !ring_has_room(t->ring))
                return false;
        n = ring_read(t->ring, t->master);
        if (n <= 0 && n != -EINTR)
                t->readable = false;
        return n > 0;
}

static bool somebody_is_behind(const Terminal *t) {
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                if (t->clients[i].fd >= 0 && t->ring->position[i] < t->ring->head)
                        return true;
        return false;
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata) {
        Terminal *t = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        t->timer = source_end(t->timer);
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++) {
                Client *c = &t->clients[i];

                if (c->fd >= 0 && t->ring->position[i] < t->ring->head &&
                    now - c->progress_usec >= TERMINAL_PATIENCE_USEC) {
                        log_debug("A client of the terminal of %s takes nothing, dropping it.", t->key);
                        terminal_remove_client(t, i);
                }
        }
        terminal_wake(t);
        return 0;
}

static int tick_later(Terminal *t) {
        int r;

        if (t->timer)
                return 0;
        r = sd_event_add_time_relative(t->manager->event, &t->timer, CLOCK_MONOTONIC,
                                       t->log_usec > 0 ? TICK_LOG_USEC : TICK_USEC, TICK_ACCURACY_USEC,
                                       on_tick, t);
        if (r < 0)
                return log_warning_errno(r, "Failed to set a timer for the terminal of %s: %m", t->key);
        return 0;
}

static int terminal_work(sd_event_source *s, void *userdata) {
        Terminal *t = userdata;
        bool held_up;

        for (unsigned i = 0; i < WORK_ROUNDS; i++) {
                flush_all(t);
                if (!read_master(t))
                        break;
        }
        flush_all(t);

        held_up = t->log_usec > 0 || (somebody_is_behind(t) && (t->ending || !ring_has_room(t->ring)));
        if (t->readable && ring_has_room(t->ring))
                terminal_wake(t);
        else if (held_up && tick_later(t) >= 0)
                return 0;
        else if (t->ending)
                terminal_free(t);
        return 0;
}

/* -- input -------------------------------------------------------------------------------------- */

static void set_input_stopped(Terminal *t, bool stopped) {
        t->input_stopped = stopped;
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                client_update(&t->clients[i]);
}

/* True: there may be more. */
static bool pass_input(Terminal *t, unsigned i) {
        Client *c = &t->clients[i];
        char buffer[INPUT_CHUNK];
        ssize_t n, k;
        size_t skip;

        n = recv(c->fd, buffer, sizeof(buffer), MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n < 0) {
                terminal_remove_client(t, i);
                return false;
        }
        if (n == 0) {
                /* It may want to go on looking. */
                c->input_ended = true;
                client_update(c);
                return false;
        }

        skip = MIN(c->input_done, (size_t) n);
        k = write(t->master, buffer + skip, (size_t) n - skip);
        if (k < 0 && (errno == EAGAIN || errno == EINTR)) {
                set_input_stopped(t, true);
                return false;
        }
        /* Where nobody has the other side open nobody has typed that. */
        k = k < 0 ? n : k;
        c->input_done += (size_t) k;
        if (c->packets && c->input_done < (size_t) n)
                return true;
        (void) recv(c->fd, buffer, c->packets ? (size_t) n : (size_t) k, MSG_DONTWAIT);
        c->input_done = 0;
        return true;
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Client *c = userdata;
        Terminal *t = c->terminal;
        unsigned i = (unsigned) (c - t->clients);
        bool gone = revents & (EPOLLHUP | EPOLLERR);

        if (!t->input_stopped && !c->input_ended && revents & (EPOLLIN | EPOLLHUP))
                while (pass_input(t, i) && gone)
                        ;
        if (gone && c->fd >= 0)
                terminal_remove_client(t, i);
        terminal_wake(t);
        return 0;
}

static int on_master(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Terminal *t = userdata;

        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                t->readable = true;
        if (revents & EPOLLOUT && t->input_stopped)
                set_input_stopped(t, false);
        terminal_wake(t);
        return 0;
}

/* -- the master arrives ------------------------------------------------------------------------- */

static int watch_master(Terminal *t) {
        int r;

        r = fd_set_nonblock(t->master, true);
        if (r >= 0)
                r = sd_event_add_io(t->manager->event, &t->master_source, t->master,
                                    EPOLLIN | EPOLLOUT | EPOLLET, on_master, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->master_source, PRIORITY);
        if (r < 0)
                return r;
        t->readable = true;
        set_input_stopped(t, false);
        return 0;
}

/* What the last run has left: as much as there is room for. */
static void read_rest(Terminal *t) {
        t->readable = t->master >= 0;
        while (t->readable) {
                flush_all(t);
                if (!read_master(t))
                        break;
        }
        close_master(t);
}

void terminal_take_master(Terminal *t, int fd) {
        int r;

        read_rest(t);
        t->master = fd;
        terminal_store(t, TERMINAL_PART_MASTER, 0, t->master);
        r = watch_master(t);
        if (r < 0) {
                log_warning_errno(r, "The terminal of %s cannot be used: %m", t->key);
                close_master(t);
        }
        terminal_wake(t);
}

/* -EINVAL: it is none that a client can have. */
static int socket_type(int fd) {
        socklen_t size = sizeof(int);
        int domain, type;

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
                return -errno;
        return domain == AF_UNIX && (type == SOCK_STREAM || type == SOCK_SEQPACKET) ? type : -EINVAL;
}

static int watch_client(Terminal *t, unsigned i) {
        static const int size = CLIENT_SEND_BUFFER;
        Client *c = &t->clients[i];
        int r;

        c->packets = socket_type(c->fd) == SOCK_SEQPACKET;
        if (setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
                return -errno;
        c->progress_usec = now_usec(CLOCK_MONOTONIC);
        r = sd_event_add_io(t->manager->event, &c->source, c->fd, t->input_stopped ? 0 : EPOLLIN, on_client,
                            c);
        return r < 0 ? r : sd_event_source_set_priority(c->source, PRIORITY);
}

int terminal_watch(Terminal *t) {
        TerminalManager *m = t->manager;
        int r;

        r = sd_event_add_defer(m->event, &t->work_source, terminal_work, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->work_source, PRIORITY);
        if (r >= 0 && t->master >= 0)
                r = watch_master(t);
        for (unsigned i = 0; r >= 0 && i < TERMINAL_CLIENTS_MAX; i++)
                if (t->clients[i].fd >= 0)
                        r = watch_client(t, i);
        return r;
}

/* -- what others call --------------------------------------------------------------------------- */

static int set_fields(Ring *r, char *const *fields) {
        char *p = r->fields;

        if (!fields)
                return 0;
        STRV_FOREACH (f, fields) {
                size_t n = strlen(f);

                if (strchr(f, '\n') || n + 1 > (size_t) (r->fields + sizeof(r->fields) - p))
                        return -EINVAL;
                p = mempcpy(p, f, n);
                *p++ = '\n';
        }
        r->fields_size = (uint32_t) (p - r->fields);
        return 0;
}

int terminal_new(TerminalManager *m, const char *key, char *const *fields, Terminal **ret,
                 Error *reterr_error) {
        _cleanup_(terminal_unlinkp) Terminal *t = NULL;
        _cleanup_close_ int ring_fd = -EBADF;
        int r;

        if (!terminal_key_is_valid(key))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The name \"%.200s\" is too long for a terminal's.", key);
        r = terminal_allocate(m, m->serial + 1, key, &t);
        if (r >= 0)
                r = ring_new(&t->ring, &ring_fd);
        if (r >= 0)
                r = set_fields(t->ring, fields);
        if (r >= 0) {
                t->input_stopped = true;
                r = terminal_watch(t);
        }
        if (r >= 0) {
                terminal_end(terminal_find(m, key));
                r = hashmap_put(m->by_key, key, t);
        }
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to make a terminal for %s: %m", key);

        m->serial = t->serial;
        terminal_store(t, TERMINAL_PART_RING, 0, ring_fd);
        *ret = TAKE_PTR(t);
        return 0;
}

Terminal *terminal_find(TerminalManager *m, const char *key) {
        return hashmap_get(m->by_key, key);
}

int terminal_add_client(Terminal *t, int fd, bool session, Error *reterr_error) {
        _cleanup_close_ int copy = -EBADF;
        int i, r;

        if (socket_type(fd) < 0)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "The descriptor for a terminal must be a connected AF_UNIX socket, SOCK_STREAM or "
                                "SOCK_SEQPACKET.");
        copy = fd_dup(fd);
        if (copy < 0)
                return error_set_errno(reterr_error, copy, "Failed to copy a descriptor: %m");
        i = ring_add_client(t->ring);
        if (i < 0)
                return error_set(reterr_error, i, "LimitsExceeded",
                                 "The terminal of %s has %u clients; there can be no more.", t->key,
                                 TERMINAL_CLIENTS_MAX);
        if (session) {
                flush_log(t, true);
                t->ring->session |= 1U << i;
        }

        t->clients[i].fd = TAKE_FD(copy);
        terminal_store(t, TERMINAL_PART_CLIENT, (unsigned) i, t->clients[i].fd);
        r = watch_client(t, (unsigned) i);
        if (r < 0) {
                terminal_remove_client(t, (unsigned) i);
                return error_set_errno(reterr_error, r, "Failed to use a descriptor for a terminal: %m");
        }
        terminal_wake(t);
        return 0;
}

int terminal_attach(Terminal *t, bool packets, int *ret_fd, Error *reterr_error) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        int r;

        if (socketpair(AF_UNIX, (packets ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set_errno(reterr_error, -errno, "Failed to make a pair of sockets: %m");
        r = terminal_add_client(t, pair[0], false, reterr_error);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(pair[1]);
        return 0;
}

int terminal_resize(Terminal *t, unsigned rows, unsigned columns, Error *reterr_error) {
        struct winsize size = { .ws_row = (unsigned short) rows, .ws_col = (unsigned short) columns };

        if (rows > UINT16_MAX || columns > UINT16_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "A terminal has at most %u rows and columns.", (unsigned) UINT16_MAX);
        if (t->master < 0)
                terminal_receive_masters(t->manager); /* it may have come just now */
        if (t->master < 0)
                return error_set(reterr_error, -ENOTCONN, "NotRunning", "%s has no terminal yet.", t->key);
        if (ioctl(t->master, TIOCSWINSZ, &size) < 0)
                return error_set_errno(reterr_error, -errno, "The size of %s's terminal cannot be set: %m",
                                       t->key);
        return 0;
}

void terminal_end(Terminal *t) {
        if (!t || t->ending)
                return;
        /* It may have been shorter than the way of its master to us. */
        terminal_receive_masters(t->manager);
        if (hashmap_get(t->manager->by_key, t->key) == t)
                (void) hashmap_remove(t->manager->by_key, t->key);
        t->ending = true;
        t->readable = t->master >= 0;
        terminal_wake(t);
}
