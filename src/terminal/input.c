/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/hashmap.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "terminal/input.h"
#include "terminal/terminal-name.h"

#define PREFIX "input/"

struct InputManager {
        const TerminalStore *store;
        void *store_userdata;
        Hashmap *by_key; /* → Input */
};

typedef struct Input {
        int fd;
} Input;

static Input *input_free(Input *i) {
        if (i)
                safe_close(i->fd);
        free(i);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Input *, input_free)

int input_manager_new(const TerminalStore *store, void *store_userdata, InputManager **ret) {
        _cleanup_(input_manager_freep) InputManager *m = NULL;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        *m = (InputManager){ .store = store, .store_userdata = store_userdata, .by_key = hashmap_new() };
        if (!m->by_key)
                return -ENOMEM;
        *ret = TAKE_PTR(m);
        return 0;
}

InputManager *input_manager_free(InputManager *m) {
        Input *i;

        if (!m)
                return NULL;

        HASHMAP_FOREACH (i, m->by_key)
                input_free(i);
        hashmap_free(m->by_key);
        free(m);
        return NULL;
}

static int input_put(InputManager *m, const char *key, int fd) {
        _cleanup_(input_freep) Input *i = malloc(sizeof(*i));
        int r;

        if (!i)
                return -ENOMEM;
        i->fd = -EBADF;
        r = hashmap_put(m->by_key, key, i);
        if (r < 0)
                return r;
        TAKE_PTR(i)->fd = fd;
        return 0;
}

int input_manager_adopt(InputManager *m, const char *name, int fd) {
        const char *key = startswith(name, PREFIX);
        int r;

        if (!key || !terminal_key_is_valid(key))
                return 0;
        r = input_put(m, key, fd);
        if (r < 0)
                safe_close(fd);
        return r == -EEXIST || r >= 0 ? 1 : r;
}

void input_manager_recovered(InputManager *m, bool (*wanted)(const char *key, void *userdata),
                             void *userdata) {
        const char *key;

        for (HashmapIterator i = 0; hashmap_iterate(m->by_key, &i, &key, NULL);)
                if (!wanted(key, userdata)) {
                        _cleanup_free_ char *copy = strdup(key);

                        if (copy)
                                input_close(m, copy);
                }
}

int input_new(InputManager *m, const char *key, int *ret_fd) {
        _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
        _cleanup_free_ char *name = strjoin(PREFIX, key);
        int r;

        if (!name)
                return -ENOMEM;
        if (!terminal_key_is_valid(key))
                return -EINVAL;
        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        input_close(m, key);
        r = input_put(m, key, pair[1]);
        if (r < 0)
                return r;
        if (m->store) {
                r = m->store->add(m->store_userdata, name, pair[1], false);
                if (r < 0)
                        log_warning_errno(r, "The standard input of %s will not survive moored's end: %m",
                                          key);
        }
        pair[1] = -EBADF;
        *ret_fd = TAKE_FD(pair[0]);
        return 0;
}

int input_get(InputManager *m, const char *key) {
        const Input *i = hashmap_get(m->by_key, key);

        return i ? i->fd : -EBADF;
}

void input_close(InputManager *m, const char *key) {
        _cleanup_(input_freep) Input *i = hashmap_remove(m->by_key, key);
        _cleanup_free_ char *name = i ? strjoin(PREFIX, key) : NULL;

        if (name && m->store)
                m->store->remove(m->store_userdata, name);
}
