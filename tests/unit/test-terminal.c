/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Terminals with a store that is a table here: the end of a daemon is that its manager is freed (which is what its
 * death amounts to), and another one made of what is in the store. */

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/time-util.h"
#include "terminal/input.h"
#include "terminal/ring.h"
#include "terminal/terminal-name.h"
#include "terminal/terminal.h"

#define STORE_MAX 64U
#define KEY "default/web"

typedef struct Stored {
        char name[TERMINAL_NAME_MAX + 1];
        int fd;
} Stored;

typedef struct Fixture {
        sd_event *event;
        Stored store[STORE_MAX];
        size_t n;
        TerminalManager *manager;
        int journal;
        char journal_path[64], socket_path[64];
        int slave; /* of the terminal that make_process() has made */
} Fixture;

/* -- the store -- */

static int store_add(void *userdata, const char *name, int fd, bool poll) {
        Fixture *f = userdata;

        assert_true(f->n < STORE_MAX);
        assert_true(strlen(name) <= TERMINAL_NAME_MAX);
        (void) snprintf(f->store[f->n].name, sizeof(f->store[f->n].name), "%s", name);
        f->store[f->n++].fd = fd_dup(fd);
        return 0;
}

static void store_remove(void *userdata, const char *name) {
        Fixture *f = userdata;
        size_t kept = 0;

        for (size_t i = 0; i < f->n; i++)
                if (streq(f->store[i].name, name))
                        safe_close(f->store[i].fd);
                else
                        f->store[kept++] = f->store[i];
        f->n = kept;
}

static const TerminalStore fake_store = { store_add, store_remove };

static bool is_wanted(const char *key, void *userdata) {
        return *(bool *) userdata;
}

static void start_daemon(Fixture *f) {
        assert_int_equal(terminal_manager_new(f->event, &fake_store, f, f->socket_path, f->journal_path,
                                              &f->manager),
                         0);
}

/* wanted: whether processes live. */
static void restart_daemon(Fixture *f, bool wanted) {
        Stored old[STORE_MAX];
        size_t n = f->n;

        terminal_manager_free(f->manager);
        start_daemon(f);
        memcpy(old, f->store, sizeof(old));
        for (size_t i = 0; i < n; i++)
                assert_int_equal(terminal_manager_adopt(f->manager, old[i].name, fd_dup(old[i].fd)), 1);
        assert_int_equal(terminal_manager_recovered(f->manager, is_wanted, &wanted), 0);
}

/* -- set-up -- */

static int setup(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Fixture *f = calloc(1, sizeof(*f));
        bool wanted = false;

        if (!f)
                return -1;
        f->slave = -EBADF;
        (void) snprintf(f->journal_path, sizeof(f->journal_path), "/tmp/test-terminal.%d", getpid());
        (void) snprintf(f->socket_path, sizeof(f->socket_path), "/tmp/test-terminals.%d", getpid());
        (void) unlink(f->journal_path);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->journal_path);
        f->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (bind(f->journal, (struct sockaddr *) &address, sizeof(address)) < 0 || sd_event_new(&f->event) < 0)
                return -1;
        start_daemon(f);
        if (terminal_manager_recovered(f->manager, is_wanted, &wanted) < 0)
                return -1;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        terminal_manager_free(f->manager);
        for (size_t i = 0; i < f->n; i++)
                safe_close(f->store[i].fd);
        safe_close(f->slave);
        safe_close(f->journal);
        (void) unlink(f->journal_path);
        (void) unlink(f->socket_path);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

/* What is written to a terminal's one side comes out at the other by a worker of the kernel, which may have to wait for a processor: a
 * byte of our own takes that way. */
static void pass_through_kernel(void) {
        _cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -EBADF;
        struct pollfd p = { .fd = master, .events = POLLIN };
        char path[64];

        assert_true(master >= 0);
        assert_int_equal(unlockpt(master), 0);
        assert_int_equal(ptsname_r(master, path, sizeof(path)), 0);
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(slave >= 0);
        assert_int_equal(write(slave, "x", 1), 1);
        assert_int_equal(poll(&p, 1, 30000), 1);
}

/* Runs the loop until nothing has happened for a moment. */
static void settle(Fixture *f) {
        bool any;

        do {
                pass_through_kernel();
                any = false;
                while (sd_event_run(f->event, 30 * USEC_PER_MSEC) > 0)
                        any = true;
        } while (any);
}

static void send_master(Fixture *f, const char *key, int fd) {
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket_path);
        assert_int_equal(connect(sock, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(send_with_fds(sock, key, strlen(key), &fd, fd >= 0 ? 1 : 0, MSG_NOSIGNAL), 0);
}

/* What a launcher does: a terminal, whose master goes over the socket. */
static void make_process(Fixture *f) {
        _cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        struct termios modes;

        assert_true(master >= 0);
        assert_int_equal(unlockpt(master), 0);
        safe_close(f->slave);
        f->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(f->slave >= 0);
        assert_int_equal(tcgetattr(f->slave, &modes), 0);
        cfmakeraw(&modes);
        assert_int_equal(tcsetattr(f->slave, TCSANOW, &modes), 0);
        send_master(f, KEY, master);
}

static Terminal *make_terminal(Fixture *f) {
        static char *const fields[] = { (char *) "SYSLOG_IDENTIFIER=web", (char *) "MOORED_CONTAINER=web", NULL };
        Terminal *t = NULL;

        assert_int_equal(terminal_new(f->manager, KEY, fields, &t, NULL), 0);
        assert_ptr_equal(terminal_find(f->manager, KEY), t);
        return t;
}

static void show(Fixture *f, const char *text) {
        assert_int_equal(write(f->slave, text, strlen(text)), strlen(text));
}

/* All that a client has got, and whether that was all for ever. */
static char *take(int fd, bool *ret_end) {
        static char text[64 * 1024];
        size_t n = 0;
        ssize_t k;

        while ((k = recv(fd, text + n, sizeof(text) - 1 - n, MSG_DONTWAIT)) > 0)
                n += (size_t) k;
        text[n] = 0;
        if (ret_end)
                *ret_end = k == 0;
        return text;
}

static void assert_end(int fd, const char *text) {
        bool end;

        assert_string_equal(take(fd, &end), text);
        assert_true(end);
}

/* The messages of the next entry. */
static bool journal_take(Fixture *f, char *ret, size_t size) {
        char entry[32 * 1024 + 1];
        uint64_t length;
        char *message;
        ssize_t n = recv(f->journal, entry, sizeof(entry) - 1, MSG_DONTWAIT);

        if (n < 0)
                return false;
        entry[n] = 0;
        assert_non_null(strstr(entry, "SYSLOG_IDENTIFIER=web\nMOORED_CONTAINER=web\n"));
        message = strstr(entry, "MESSAGE\n");
        assert_non_null(message);
        message += strlen("MESSAGE\n");
        memcpy(&length, message, sizeof(length));
        length = le64toh(length);
        assert_true(length < size);
        memcpy(ret, message + sizeof(length), length);
        ret[length] = 0;
        return true;
}

static void assert_logged(Fixture *f, const char *text) {
        char message[32 * 1024];

        assert_true(journal_take(f, message, sizeof(message)));
        assert_string_equal(message, text);
}

static void assert_nothing_logged(Fixture *f) {
        char message[32 * 1024];

        assert_false(journal_take(f, message, sizeof(message)));
}

/* -- names -- */

static void test_names(void **state) {
        char name[TERMINAL_NAME_MAX + 1];
        TerminalPart part;
        unsigned client;
        const char *key;
        uint64_t serial;

        assert_string_equal(terminal_name(name, 12, TERMINAL_PART_CLIENT, 3, KEY), "terminal/12/client3/default/web");
        assert_int_equal(terminal_name_parse(name, &serial, &part, &client, &key), 0);
        assert_int_equal(serial, 12);
        assert_int_equal(part, TERMINAL_PART_CLIENT);
        assert_int_equal(client, 3);
        assert_string_equal(key, KEY);
        assert_int_equal(terminal_name_parse(terminal_name(name, 1, TERMINAL_PART_MASTER, 0, "a/b/7"), &serial, &part,
                                             &client, &key),
                         0);
        assert_int_equal(part, TERMINAL_PART_MASTER);
        assert_string_equal(key, "a/b/7");

        static const char *const wrong[] = {
                "", "stored", "terminal", "terminal/1/master", "terminal/1/master/", "terminal/x/master/a/b",
                "terminal/1/client16/a/b", "terminal/1/client/a/b", "terminal/1/slave/a/b", "input/a/b",
                "terminal/1/master/a b", "terminal/-1/master/a",
        };
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(terminal_name_parse(wrong[i], &serial, &part, &client, &key), -EINVAL);
}

/* -- the ring -- */

static void fill(Ring *r, int pipe_fds[static 2], const char *text) {
        size_t n = strlen(text);

        assert_int_equal(write(pipe_fds[1], text, n), n);
        while (n > 0) {
                ssize_t k = ring_read(r, pipe_fds[0]);

                assert_true(k > 0);
                n -= (size_t) k;
        }
}

static void test_ring(void **state) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        _cleanup_(ring_unmapp) Ring *r = NULL;
        _cleanup_close_ int fd = -EBADF;
        char block[1001], copy[2001];
        int client, late;

        assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(ring_new(&r, &fd), 0);
        memset(block, 'x', sizeof(block) - 1);
        block[999] = '\n';
        block[1000] = 0;

        client = ring_add_client(r);
        assert_int_equal(client, 0);
        for (unsigned i = 0; i < ring_size() / 1000; i++)
                fill(r, p, block);
        /* The client has got nothing: only what is left of the ring's size fits. */
        assert_int_equal(write(p[1], block, 1000), 1000);
        while (ring_has_room(r))
                assert_true(ring_read(r, p[0]) > 0);
        assert_int_equal(r->head, ring_size());
        assert_int_equal(ring_read(r, p[0]), -ENOBUFS);

        r->position[client] += 1500;
        while (ring_has_room(r) && ring_read(r, p[0]) > 0)
                ;
        assert_true(r->head > ring_size());
        assert_int_equal(ring_copy(r, r->head - 1500, copy, 2000), 1500);
        /* Who comes late begins with a whole line. */
        late = ring_add_client(r);
        assert_int_equal(late, 1);
        assert_int_equal(r->position[late] % 1000, 0);
        assert_true(r->head - r->position[late] < ring_size());
        assert_int_equal(ring_find(r, r->position[late], '\n'), r->position[late] + 999);

        ring_remove_client(r, 0);
        assert_false(ring_has_client(r, 0));
        assert_int_equal(ring_add_client(r), 0);
        for (int i = 2; i < (int) RING_CLIENTS_MAX; i++)
                assert_int_equal(ring_add_client(r), i);
        assert_int_equal(ring_add_client(r), -EBUSY);
}

/* Killed between read() and the note that it has read. */
static void test_ring_of_the_killed(void **state) {
        _cleanup_close_pair_ int p[2] = { -EBADF, -EBADF };
        _cleanup_(ring_unmapp) Ring *r = NULL, *again = NULL, *third = NULL;
        _cleanup_close_ int fd = -EBADF;
        char text[32] = "";

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(ring_new(&r, &fd), 0);
        fill(r, p, "first ");
        fill(r, p, "second");
        r->head -= strlen("second");
        r->logged = r->head;
        assert_int_equal(ring_map(fd, &again), 0);
        assert_int_equal(again->head, strlen("first second"));
        assert_int_equal(ring_copy(again, 0, text, sizeof(text)), strlen("first second"));
        assert_string_equal(text, "first second");
        /* Nothing read, nothing found. */
        assert_int_equal(ring_map(fd, &third), 0);
        assert_int_equal(third->head, strlen("first second"));

        r->position[2] = 1000;
        r->clients = 1U << 2;
        third = ring_unmap(third);
        assert_int_equal(ring_map(fd, &third), -EBADMSG);
        assert_int_equal(ring_map(p[0], &third), -EINVAL);
}

/* What could be cut off behind our back is not mapped, whatever is in it. */
static void test_ring_of_others(void **state) {
        _cleanup_(ring_unmapp) Ring *r = NULL, *other = NULL;
        _cleanup_close_ int own = -EBADF;
        const struct {
                size_t size;
                int seals, result;
        } files[] = {
                { RING_FILE_SIZE, F_SEAL_SHRINK | F_SEAL_GROW, 0 },
                { RING_FILE_SIZE, F_SEAL_GROW, -EBADMSG },
                { RING_FILE_SIZE / 2, F_SEAL_SHRINK | F_SEAL_GROW, -EBADMSG },
        };

        assert_int_equal(ring_new(&r, &own), 0);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

                assert_int_equal(write(fd, r, files[i].size), files[i].size);
                assert_int_equal(fcntl(fd, F_ADD_SEALS, files[i].seals), 0);
                assert_int_equal(ring_map(fd, &other), files[i].result);
                other = ring_unmap(other);
        }
}

/* -- terminals -- */

static void test_life(void **state) {
        _cleanup_close_ int client = -EBADF;
        _cleanup_error_ Error e = ERROR_NULL;
        Fixture *f = *state;
        Terminal *t = make_terminal(f);
        struct winsize size;
        char typed[32] = "";

        assert_int_equal(terminal_resize(t, 24, 80, &e), -ENOTCONN);
        assert_int_equal(terminal_attach(t, false, &client, NULL), 0);
        assert_int_equal(send(client, "early ", 6, 0), 6);
        settle(f);
        make_process(f);
        assert_int_equal(terminal_resize(t, 33, 101, NULL), 0);
        assert_int_equal(ioctl(f->slave, TIOCGWINSZ, &size), 0);
        assert_int_equal(size.ws_row, 33);
        assert_int_equal(size.ws_col, 101);
        assert_int_equal(terminal_resize(t, 100000, 1, NULL), -EINVAL);

        show(f, "hello\r\n");
        assert_int_equal(send(client, "late", 4, 0), 4);
        settle(f);
        assert_string_equal(take(client, NULL), "hello\r\n");
        assert_int_equal(read(f->slave, typed, sizeof(typed)), 10);
        assert_string_equal(typed, "early late");
        assert_logged(f, "hello");

        show(f, "bye");
        f->slave = safe_close(f->slave);
        terminal_end(t);
        assert_null(terminal_find(f->manager, KEY));
        settle(f);
        assert_end(client, "bye");
        assert_logged(f, "bye");
        assert_int_equal(f->n, 1); /* the socket */
}

static void test_restarts(void **state) {
        _cleanup_close_ int client = -EBADF, other = -EBADF;
        Fixture *f = *state;
        bool end;

        /* Nothing is lost of a terminal whose master nobody has received yet. */
        assert_int_equal(terminal_attach(make_terminal(f), false, &client, NULL), 0);
        make_process(f);
        show(f, "one\n");
        restart_daemon(f, true);
        settle(f);
        assert_string_equal(take(client, &end), "one\n");
        assert_false(end);

        show(f, "two\n");
        restart_daemon(f, true);
        restart_daemon(f, true);
        settle(f);
        assert_string_equal(take(client, &end), "two\n");
        assert_int_equal(send(client, "in", 2, 0), 2);
        settle(f);
        assert_int_equal(read(f->slave, (char[8]){}, 8), 2);

        /* Who attaches sees what was shown before that. */
        assert_int_equal(terminal_attach(terminal_find(f->manager, KEY), false, &other, NULL), 0);
        settle(f);
        assert_string_equal(take(other, NULL), "one\ntwo\n");

        /* The process has ended while nobody was there. */
        show(f, "three\n");
        f->slave = safe_close(f->slave);
        restart_daemon(f, false);
        settle(f);
        assert_end(client, "three\n");
        assert_end(other, "three\n");
        assert_logged(f, "one");
        assert_logged(f, "two");
        assert_logged(f, "three");
        assert_int_equal(f->n, 1); /* the socket */
}

/* PID 1 starts the process again: another terminal for the same clients. */
static void test_next_process(void **state) {
        _cleanup_close_ int client = -EBADF;
        Fixture *f = *state;

        assert_int_equal(terminal_attach(make_terminal(f), false, &client, NULL), 0);
        make_process(f);
        settle(f);
        show(f, "first\n");
        make_process(f);
        settle(f);
        show(f, "second\n");
        settle(f);
        assert_string_equal(take(client, NULL), "first\nsecond\n");
}

/* An init that closes its console and opens it again. */
static void test_reopened(void **state) {
        _cleanup_close_ int client = -EBADF;
        char path[64];
        Fixture *f = *state;

        assert_int_equal(terminal_attach(make_terminal(f), false, &client, NULL), 0);
        make_process(f);
        settle(f);
        assert_int_equal(ttyname_r(f->slave, path, sizeof(path)), 0);
        show(f, "before\n");
        f->slave = safe_close(f->slave);
        settle(f);
        f->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(f->slave >= 0);
        show(f, "after\n");
        settle(f);
        assert_string_equal(take(client, NULL), "before\nafter\n");
}

static void test_packets(void **state) {
        _cleanup_close_ int client = -EBADF, fd = -EBADF;
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        Fixture *f = *state;
        Terminal *t = make_terminal(f);
        uint64_t position;
        char packet[64];

        assert_int_equal(terminal_attach(t, true, &client, NULL), 0);
        make_process(f);
        for (unsigned i = 0; i < 3; i++) {
                show(f, "12345");
                settle(f);
                assert_int_equal(recv(client, packet, sizeof(packet), MSG_DONTWAIT), sizeof(position) + 5);
                memcpy(&position, packet, sizeof(position));
                assert_int_equal(le64toh(position), i * 5);
                assert_memory_equal(packet + sizeof(position), "12345", 5);
        }
        assert_int_equal(send(client, "ab", 2, 0), 2);
        assert_int_equal(send(client, "cd", 2, 0), 2);
        settle(f);
        assert_int_equal(read(f->slave, packet, sizeof(packet)), 4);

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(terminal_add_client(t, pair[0], false, NULL), -EINVAL);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_int_equal(terminal_add_client(t, fd, false, NULL), -EINVAL);
}

static void test_half_close(void **state) {
        _cleanup_close_ int client = -EBADF;
        Fixture *f = *state;
        bool end;

        assert_int_equal(terminal_attach(make_terminal(f), false, &client, NULL), 0);
        make_process(f);
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        settle(f);
        show(f, "still here\n");
        settle(f);
        assert_string_equal(take(client, &end), "still here\n");
        assert_false(end);
}

/* One that reads, one that does not, one that dies. */
static void test_slow_and_dead(void **state) {
        _cleanup_close_ int good = -EBADF, slow = -EBADF, dead = -EBADF;
        Fixture *f = *state;
        Terminal *t = make_terminal(f);
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        size_t shown = 0, got = 0;
        size_t stored;
        char line[101];
        bool end;

        assert_int_equal(terminal_attach(t, false, &good, NULL), 0);
        assert_int_equal(terminal_attach(t, false, &slow, NULL), 0);
        assert_int_equal(terminal_attach(t, false, &dead, NULL), 0);
        make_process(f);
        settle(f);
        stored = f->n;
        dead = safe_close(dead);
        settle(f);
        assert_int_equal(f->n, stored - 1);

        assert_int_equal(fd_set_nonblock(f->slave, true), 0);
        memset(line, 'y', sizeof(line) - 1);
        line[100] = 0;
        while (shown < 200000 && now_usec(CLOCK_MONOTONIC) < begin + 30 * USEC_PER_SEC) {
                ssize_t n = write(f->slave, line, 100);

                shown += n > 0 ? (size_t) n : 0;
                (void) sd_event_run(f->event, n > 0 ? 0 : 10 * USEC_PER_MSEC);
                got += strlen(take(good, &end));
        }
        while (got < shown && now_usec(CLOCK_MONOTONIC) < begin + 30 * USEC_PER_SEC) {
                (void) sd_event_run(f->event, 10 * USEC_PER_MSEC);
                got += strlen(take(good, &end));
        }
        assert_true(shown >= 200000);
        assert_int_equal(got, shown);
        assert_false(end);
        (void) take(slow, &end);
        assert_true(end);
        assert_int_equal(f->n, stored - 2);
}

static void test_log_and_session(void **state) {
        _cleanup_close_ int second = -EBADF;
        _cleanup_close_pair_ int session[2] = { -EBADF, -EBADF };
        Fixture *f = *state;
        Terminal *t = make_terminal(f);

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, session), 0);
        assert_int_equal(terminal_add_client(t, session[0], true, NULL), 0);
        make_process(f);
        show(f, "for the session\n");
        settle(f);
        assert_string_equal(take(session[1], NULL), "for the session\n");
        restart_daemon(f, true);
        t = terminal_find(f->manager, KEY);
        show(f, "for the session, too\n");
        settle(f);
        assert_string_equal(take(session[1], NULL), "for the session, too\n");
        assert_nothing_logged(f);

        session[0] = safe_close(session[0]);
        session[1] = safe_close(session[1]);
        settle(f);
        show(f, "for the log\r\n\r\npar");
        settle(f);
        assert_logged(f, "for the log");
        assert_nothing_logged(f);
        assert_int_equal(terminal_attach(t, false, &second, NULL), 0);
        show(f, "tly\nand\001\377more");
        settle(f);
        assert_logged(f, "partly");
        assert_nothing_logged(f);
        f->slave = safe_close(f->slave);
        terminal_end(t);
        settle(f);
        assert_logged(f, "and\001\377more");
        assert_nothing_logged(f);
}

/* A line that is longer than all that is kept. */
static void test_long_line(void **state) {
        Fixture *f = *state;
        Terminal *t = make_terminal(f);
        char message[32 * 1024], part[1001];
        size_t n = 0;

        make_process(f);
        memset(part, 'z', sizeof(part) - 1);
        part[1000] = 0;
        for (unsigned i = 0; i < 40; i++) {
                show(f, part);
                settle(f);
        }
        f->slave = safe_close(f->slave);
        terminal_end(t);
        settle(f);
        while (journal_take(f, message, sizeof(message)))
                n += strlen(message);
        assert_int_equal(n, 40000);
}

/* The terminal of the next run has the same key while the last one is still read. */
static void test_same_key(void **state) {
        _cleanup_close_ int client = -EBADF, next_client = -EBADF;
        Fixture *f = *state;
        Terminal *t = make_terminal(f);

        assert_int_equal(terminal_attach(t, false, &client, NULL), 0);
        make_process(f);
        show(f, "old\n");
        t = make_terminal(f);
        assert_int_equal(terminal_attach(t, false, &next_client, NULL), 0);
        make_process(f);
        show(f, "new\n");
        restart_daemon(f, true);
        settle(f);
        assert_end(client, "old\n");
        assert_string_equal(take(next_client, NULL), "new\n");
        assert_int_equal(f->n, 4); /* the socket; ring, master, client */
        restart_daemon(f, false);
        settle(f);
        assert_int_equal(f->n, 1); /* the socket */
}

static void test_limits(void **state) {
        char *const broken[] = { (char *) "A=b\nC=d", NULL };
        Fixture *f = *state;
        Terminal *t = make_terminal(f), *other;
        int fds[TERMINAL_CLIENTS_MAX], fd;

        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                assert_int_equal(terminal_attach(t, false, &fds[i], NULL), 0);
        assert_int_equal(terminal_attach(t, false, &fd, NULL), -EBUSY);
        for (unsigned i = 0; i < TERMINAL_CLIENTS_MAX; i++)
                safe_close(fds[i]);
        settle(f);
        assert_int_equal(terminal_attach(t, false, &fd, NULL), 0);
        safe_close(fd);

        assert_int_equal(terminal_new(f->manager, "a:b", NULL, &other, NULL), -EINVAL);
        assert_int_equal(terminal_new(f->manager, "a/b", broken, &other, NULL), -EINVAL);
        assert_null(terminal_find(f->manager, "a/b"));
        terminal_end(NULL);
}

/* What comes over the socket is no terminal. */
static void test_no_terminal(void **state) {
        _cleanup_close_ int client = -EBADF, null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Fixture *f = *state;

        assert_int_equal(terminal_attach(make_terminal(f), false, &client, NULL), 0);
        send_master(f, KEY, null);
        send_master(f, KEY, -EBADF);
        send_master(f, "default/nobody", null);
        settle(f);
        make_process(f);
        show(f, "works\n");
        settle(f);
        assert_string_equal(take(client, NULL), "works\n");
}

/* -- input without a terminal -- */

static void test_input(void **state) {
        _cleanup_close_ int reader = -EBADF, writer = -EBADF;
        Fixture *f = *state;
        bool wanted = true;
        InputManager *m;
        char text[16];

        assert_int_equal(input_manager_new(&fake_store, f, &m), 0);
        assert_int_equal(input_get(m, KEY), -EBADF);
        assert_int_equal(input_new(m, KEY, &reader), 0);
        assert_int_equal(f->n, 2);
        input_manager_free(m);

        assert_int_equal(input_manager_new(&fake_store, f, &m), 0);
        assert_int_equal(input_manager_adopt(m, "terminal/1/master/a/b", -EBADF), 0);
        assert_int_equal(input_manager_adopt(m, f->store[1].name, fd_dup(f->store[1].fd)), 1);
        input_manager_recovered(m, is_wanted, &wanted);
        writer = fd_dup(input_get(m, KEY));
        assert_int_equal(write(writer, "text", 4), 4);
        assert_int_equal(read(reader, text, sizeof(text)), 4);

        input_close(m, KEY);
        assert_int_equal(f->n, 1); /* the socket */
        assert_int_equal(fd_set_nonblock(reader, true), 0);
        assert_int_equal(read(reader, text, sizeof(text)), -1);
        writer = safe_close(writer);
        assert_int_equal(read(reader, text, sizeof(text)), 0);

        reader = safe_close(reader);
        assert_int_equal(input_new(m, KEY, &reader), 0);
        wanted = false;
        input_manager_recovered(m, is_wanted, &wanted);
        assert_int_equal(input_get(m, KEY), -EBADF);
        input_manager_free(m);
}

#define terminal_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_ring),
                cmocka_unit_test(test_ring_of_the_killed),
                cmocka_unit_test(test_ring_of_others),
                terminal_test(test_life),
                terminal_test(test_restarts),
                terminal_test(test_next_process),
                terminal_test(test_reopened),
                terminal_test(test_packets),
                terminal_test(test_half_close),
                terminal_test(test_slow_and_dead),
                terminal_test(test_log_and_session),
                terminal_test(test_long_line),
                terminal_test(test_same_key),
                terminal_test(test_limits),
                terminal_test(test_no_terminal),
                terminal_test(test_input),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
