/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "terminal/ring.h"

#define RING_FORMAT 1U
#define READ_MAX 4096U
#define DATA_SIZE (RING_FILE_SIZE - offsetof(Ring, data))

_Static_assert(DATA_SIZE >= 8U * 1024, "what is kept of a terminal is some screens");

uint64_t ring_size(void) {
        return DATA_SIZE;
}

static int map(int fd, Ring **ret) {
        Ring *r;

        r = mmap(NULL, RING_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (r == MAP_FAILED)
                return -errno;
        *ret = r;
        return 0;
}

int ring_new(Ring **ret, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = RET_NERRNO(memfd_create("terminal", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (fd < 0)
                return fd;
        if (ftruncate(fd, RING_FILE_SIZE) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        r = map(fd, ret);
        if (r < 0)
                return r;

        (*ret)->format = RING_FORMAT;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static bool position_is_valid(const Ring *r, uint64_t position) {
        return position <= r->head && r->head - position <= DATA_SIZE;
}

static bool ring_is_valid(const Ring *r) {
        if (r->format != RING_FORMAT || r->clients >> RING_CLIENTS_MAX != 0 ||
            (r->session & ~r->clients) != 0 || r->fields_size > RING_FIELDS_SIZE ||
            !position_is_valid(r, r->logged))
                return false;
        for (unsigned i = 0; i < RING_CLIENTS_MAX; i++)
                if (ring_has_client(r, i) && !position_is_valid(r, r->position[i]))
                        return false;
        return r->marked <= r->head || r->marked - r->head <= READ_MAX;
}

/* Nothing that is text, and not the same for each place. */
static uint8_t mark_at(uint64_t position) {
        return (uint8_t) (0x80 | ((position * 0x9E3779B1U) >> 24));
}

static void advance(Ring *r, size_t n) {
        __atomic_store_n(&r->head, r->head + n, __ATOMIC_RELEASE);
        if (ring_is_silent(r))
                r->logged = r->head;
}

/* What was read by somebody who did not come to say so. */
static void take_unsaid(Ring *r) {
        uint64_t end = r->marked;

        while (end > r->head && r->data[(end - 1) % DATA_SIZE] == mark_at(end - 1))
                end--;
        if (end > r->head)
                advance(r, (size_t) (end - r->head));
}

int ring_map(int fd, Ring **ret) {
        _cleanup_(ring_unmapp) Ring *ring = NULL;
        uint64_t size;
        int r, seals;

        seals = fcntl(fd, F_GET_SEALS);
        r = fd_size(fd, &size);
        if (r < 0)
                return r;
        /* Sealed: it cannot shrink behind our back. */
        if (size != RING_FILE_SIZE || seals < 0 || !(seals & F_SEAL_SHRINK))
                return -EBADMSG;
        r = map(fd, &ring);
        if (r < 0)
                return r;
        if (!ring_is_valid(ring))
                return -EBADMSG;

        take_unsaid(ring);
        *ret = TAKE_PTR(ring);
        return 0;
}

Ring *ring_unmap(Ring *r) {
        if (r)
                (void) munmap(r, RING_FILE_SIZE);
        return NULL;
}

bool ring_has_client(const Ring *r, unsigned client) {
        return r->clients & (1U << client);
}

bool ring_is_silent(const Ring *r) {
        return r->fields_size == 0 || r->session != 0;
}

/* The oldest byte that somebody needs. */
static uint64_t ring_oldest(const Ring *r) {
        uint64_t oldest = ring_is_silent(r) ? r->head : r->logged;

        for (unsigned i = 0; i < RING_CLIENTS_MAX; i++)
                if (ring_has_client(r, i))
                        oldest = MIN(oldest, r->position[i]);
        return oldest;
}

static size_t room(const Ring *r) {
        return (size_t) (DATA_SIZE - (r->head - ring_oldest(r)));
}

bool ring_has_room(const Ring *r) {
        return room(r) > 0;
}

ssize_t ring_read(Ring *r, int fd) {
        uint64_t offset = r->head % DATA_SIZE;
        size_t n = MIN(MIN(room(r), (size_t) (DATA_SIZE - offset)), (size_t) READ_MAX);
        ssize_t k;

        if (n == 0)
                return -ENOBUFS;
        for (size_t i = 0; i < n; i++)
                r->data[offset + i] = mark_at(r->head + i);
        __atomic_store_n(&r->marked, r->head + n, __ATOMIC_RELEASE);

        k = RET_NERRNO(read(fd, r->data + offset, n));
        if (k > 0)
                advance(r, (size_t) k);
        return k;
}

size_t ring_peek(const Ring *r, uint64_t position, const void **ret) {
        uint64_t offset = position % DATA_SIZE;

        *ret = r->data + offset;
        return (size_t) MIN(r->head - position, DATA_SIZE - offset);
}

size_t ring_copy(const Ring *r, uint64_t position, void *p, size_t n) {
        size_t done = 0;

        while (done < n) {
                const void *from;
                size_t k = ring_peek(r, position + done, &from);

                k = MIN(k, n - done);
                if (k == 0)
                        break;
                memcpy((uint8_t *) p + done, from, k);
                done += k;
        }
        return done;
}

uint64_t ring_find(const Ring *r, uint64_t position, char c) {
        while (position < r->head) {
                const void *p, *found;
                size_t n = ring_peek(r, position, &p);

                found = memchr(p, c, n);
                if (found)
                        return position + (size_t) ((const char *) found - (const char *) p);
                position += n;
        }
        return r->head;
}

int ring_add_client(Ring *r) {
        uint64_t first = 0, line;
        unsigned i = 0;

        while (i < RING_CLIENTS_MAX && ring_has_client(r, i))
                i++;
        if (i == RING_CLIENTS_MAX)
                return -EBUSY;

        /* What is cut off at its beginning may be the middle of a character or a sequence. */
        if (r->head > DATA_SIZE) {
                first = r->head - DATA_SIZE;
                line = ring_find(r, first, '\n');
                first = line < r->head ? line + 1 : first;
        }
        r->position[i] = first;
        r->clients |= 1U << i;
        return (int) i;
}

void ring_remove_client(Ring *r, unsigned client) {
        /* What a session's client has not got is for the journal. */
        if (r->session & (1U << client))
                r->logged = r->position[client];
        r->session &= ~(1U << client);
        r->clients &= ~(1U << client);
        if (ring_is_silent(r))
                r->logged = r->head;
}
