/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "container/network-socket.h"

#define SOCKET_NAME "network" /* in the store */
#define KEY_MAX 256U
#define REST_USEC (100 * USEC_PER_MSEC) /* when nobody can be accepted: without it the loop would try on and on */
#define CLIENTS_MAX 4096U /* who is accepted and has not asked yet; others wait */

typedef struct Client {
        NetworkSocket *socket;
        struct Client *previous, *next;
        sd_event_source *source;
        int fd;
        pid_t pid;
        char *key; /* that it waits for; NULL: it has not asked */
} Client;

struct NetworkSocket {
        sd_event *event;
        const TerminalStore *store;
        void *store_userdata;
        char *path;
        int fd;
        sd_event_source *source, *rest;
        Client *clients;
        unsigned n_clients;
        NetworkSocketFunc func;
        void *userdata;
};

void network_answer_done(NetworkAnswer *a) {
        safe_close(a->fd);
        free(a->text);
        *a = NETWORK_ANSWER_NULL;
}

static Client *client_free(Client *c) {
        if (!c)
                return NULL;

        if (c->previous)
                c->previous->next = c->next;
        else if (c->socket->clients == c)
                c->socket->clients = c->next;
        if (c->next)
                c->next->previous = c->previous;
        c->socket->n_clients--;
        sd_event_source_disable_unref(c->source);
        safe_close(c->fd);
        free(c->key);
        free(c);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Client *, client_free)

NetworkSocket *network_socket_free(NetworkSocket *s) {
        if (!s)
                return NULL;

        while (s->clients)
                client_free(s->clients);
        sd_event_source_disable_unref(s->source);
        sd_event_source_disable_unref(s->rest);
        safe_close(s->fd);
        free(s->path);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

int network_socket_new(sd_event *event, const TerminalStore *store, void *store_userdata, const char *path,
                       NetworkSocket **ret) {
        _cleanup_(network_socket_freep) NetworkSocket *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (NetworkSocket){ .event = sd_event_ref(event),
                              .store = store,
                              .store_userdata = store_userdata,
                              .path = strdup(path),
                              .fd = -EBADF };
        if (!s->path)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

int network_socket_adopt(NetworkSocket *s, const char *name, int fd) {
        if (!streq(name, SOCKET_NAME))
                return 0;
        if (s->fd < 0)
                s->fd = fd;
        else
                safe_close(fd);
        return 1;
}

/* -- who asks ----------------------------------------------------------------------------------- */

static void send_answer(const Client *c, const char *key, const NetworkAnswer *a) {
        int r;

        r = send_with_fds(c->fd, a->text, strlen(a->text), &a->fd, a->fd >= 0 ? 1 : 0, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r < 0)
                log_debug_errno(r, "The launcher of %s did not wait for its network: %m", key);
}

void network_socket_answer(NetworkSocket *s, const char *key, const NetworkAnswer *a) {
        for (Client *c = s->clients, *next; c; c = next) {
                next = c->next;
                if (!streq_ptr(c->key, key))
                        continue;
                send_answer(c, key, a);
                client_free(c);
        }
}

bool network_socket_waits(const NetworkSocket *s, const char *key) {
        for (const Client *c = s->clients; c; c = c->next)
                if (streq_ptr(c->key, key))
                        return true;
        return false;
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(network_answer_done) NetworkAnswer a = NETWORK_ANSWER_NULL;
        _cleanup_(client_freep) Client *c = userdata;
        NetworkSocket *s = c->socket;
        char key[KEY_MAX];
        ssize_t n;

        n = recv(fd, key, sizeof(key) - 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                (void) TAKE_PTR(c);
                return 0;
        }
        if (n <= 0)
                return 0;
        key[n] = 0;
        /* func may answer all that wait for this key: who asks is answered here, even if he waits already. */
        free(c->key);
        c->key = NULL;
        s->func(key, c->pid, &a, s->userdata);
        if (a.later) {
                /* It stays; if it goes away, that is the next thing that is read. */
                if (free_and_strdup(&c->key, key) >= 0)
                        (void) TAKE_PTR(c);
                return 0;
        }
        if (a.text)
                send_answer(c, key, &a);
        return 0;
}

static int accept_client(NetworkSocket *s) {
        _cleanup_close_ int fd = -EBADF;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        Client *c;
        int r;

        fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        if (peer.uid != geteuid() || s->n_clients >= CLIENTS_MAX) {
                log_debug("Process %d of user %u is not told about networks.", peer.pid, peer.uid);
                return 0;
        }

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Client){ .socket = s, .next = s->clients, .fd = TAKE_FD(fd), .pid = peer.pid };
        if (c->next)
                c->next->previous = c;
        s->clients = c;
        s->n_clients++;
        r = sd_event_add_io(s->event, &c->source, c->fd, EPOLLIN, on_client, c);
        if (r < 0)
                client_free(c);
        return r;
}

static int on_rest(sd_event_source *source, uint64_t usec, void *userdata) {
        NetworkSocket *s = userdata;

        return sd_event_source_set_enabled(s->source, SD_EVENT_ON);
}

/* Of descriptors or memory there are too few now: who waits stays in the queue meanwhile, and the loop has a rest. */
static int rest(NetworkSocket *s) {
        int r;

        r = sd_event_source_set_time_relative(s->rest, REST_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->rest, SD_EVENT_ONESHOT);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
        return r;
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int r = accept_client(userdata);

        if (r < 0) {
                log_warning_errno(r, "A launcher's question for its network cannot be heard, trying again soon: %m");
                r = rest(userdata);
                if (r < 0)
                        log_warning_errno(r, "The loop cannot rest: %m");
        }
        return 0;
}

/* -- the socket --------------------------------------------------------------------------------- */

static bool is_there(const char *path) {
        struct stat st;

        return lstat(path, &st) >= 0 && S_ISSOCK(st.st_mode);
}

static int open_socket(NetworkSocket *s) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        if (strlen(s->path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        (void) strcpy(address.sun_path, s->path);
        s->fd = RET_NERRNO(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (s->fd < 0)
                return s->fd;
        if (unlink(s->path) < 0 && errno != ENOENT)
                return -errno;
        if (bind(s->fd, (struct sockaddr *) &address, sizeof(address)) < 0 || chmod(s->path, 0600) < 0 ||
            listen(s->fd, SOMAXCONN) < 0)
                return -errno;
        if (!s->store)
                return 0;
        s->store->remove(s->store_userdata, SOCKET_NAME);
        r = s->store->add(s->store_userdata, SOCKET_NAME, s->fd, false);
        if (r < 0)
                log_warning_errno(r, "Containers that start while moored is started anew will have no network: %m");
        return 0;
}

int network_socket_listen(NetworkSocket *s, NetworkSocketFunc func, void *userdata) {
        int r = 0;

        s->func = func;
        s->userdata = userdata;
        if (s->fd >= 0 && !is_there(s->path))
                s->fd = safe_close(s->fd);
        if (s->fd < 0)
                r = open_socket(s);
        /* Now: when it is wanted there may be no descriptor for it. */
        if (r >= 0)
                r = sd_event_add_time(s->event, &s->rest, CLOCK_MONOTONIC, UINT64_MAX, 0, on_rest, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->rest, SD_EVENT_OFF);
        return r < 0 ? r : sd_event_add_io(s->event, &s->source, s->fd, EPOLLIN, on_socket, s);
}
