/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/log.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "container/seccomp-store.h"
#include "container/seccomp.h"
#include "oci/digest.h"

typedef struct RememberedName {
        uint64_t capabilities;
        char name[SECCOMP_NAME_SIZE]; /* empty: nothing is remembered here */
} RememberedName;

struct SeccompStore {
        sd_event *event;
        int fd;
        char *profile, *compiler;
        RememberedName names[SECCOMP_NAMES_MAX];
        size_t next_name;                                  /* is replaced next */
        sd_event_source *compilers[SECCOMP_COMPILERS_MAX]; /* own their pidfds */
};

int seccomp_store_new(sd_event *event, int runtime_fd, const char *profile, const char *compiler,
                      SeccompStore **ret, Error *reterr_error) {
        _cleanup_(seccomp_store_freep) SeccompStore *s = NULL;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        s->fd = mkdirat_open(runtime_fd, "seccomp", 0700);
        if (s->fd < 0)
                return error_set_errno(reterr_error, s->fd,
                                       "Failed to make the directory of seccomp profiles: %m");
        s->profile = strdup(profile);
        s->compiler = strdup(compiler);
        if (!s->profile || !s->compiler)
                return -ENOMEM;

        *ret = TAKE_PTR(s);
        return 0;
}

SeccompStore *seccomp_store_free(SeccompStore *s) {
        if (!s)
                return NULL;

        /* What is being compiled goes on by itself. */
        for (size_t i = 0; i < SECCOMP_COMPILERS_MAX; i++)
                sd_event_source_disable_unref(s->compilers[i]);
        safe_close(s->fd);
        free(s->profile);
        free(s->compiler);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

int seccomp_store_fd(const SeccompStore *s) {
        return s->fd;
}

/* -- the compiler ------------------------------------------------------------------------------- */

static int on_compiled(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        SeccompStore *s = userdata;
        int code = 0, status = 0, r;

        r = pidfd_reap(fd, &code, &status);
        if (r == -EAGAIN)
                return 0; /* a debugger has it: soon */
        /* It has said why. */
        if (r < 0 || code != CLD_EXITED || status != EXIT_SUCCESS)
                log_debug("A seccomp profile was not compiled ahead of time, ignoring.");

        for (size_t i = 0; i < SECCOMP_COMPILERS_MAX; i++)
                if (s->compilers[i] == source)
                        s->compilers[i] = sd_event_source_disable_unref(source);
        return 0;
}

static void compile(SeccompStore *s, char *name) {
        const SpawnSpec spec = {
                .path = s->compiler,
                .argv = (char *[]){ (char *) "mooring", (char *) "prepare-seccomp", name, NULL },
                .fds = { -EBADF, -EBADF, STDERR_FILENO },
                .n_fds = STDERR_FILENO + 1,
        };
        _cleanup_error_ Error error = ERROR_NULL;
        int pidfd = -EBADF, r;
        size_t i;
        pid_t pid;

        for (i = 0; i < SECCOMP_COMPILERS_MAX && s->compilers[i]; i++)
                ;
        if (i == SECCOMP_COMPILERS_MAX)
                return;

        r = process_spawn(&spec, &pid, &pidfd, &error);
        if (r < 0) {
                log_debug("Failed to start mooring, ignoring: %s", error_message(&error));
                return;
        }
        r = sd_event_add_io(s->event, &s->compilers[i], pidfd, EPOLLIN, on_compiled, s);
        if (r < 0) {
                log_debug_errno(r, "Failed to watch mooring, ignoring: %m");
                safe_close(pidfd);
                return;
        }
        (void) sd_event_source_set_io_fd_own(s->compilers[i], true);
        (void) sd_event_source_set_priority(s->compilers[i], SD_EVENT_PRIORITY_IDLE);
        (void) sd_event_source_set_description(s->compilers[i], "seccomp-compiler");
}

/* -- the profiles ------------------------------------------------------------------------------- */

static char *file_name(const char *name) {
        return strjoin(name, ".json");
}

/* Whether its file is there. If so it is the newest from now on: mooring clears away the oldest. */
static bool touch(SeccompStore *s, const char *name) {
        _cleanup_free_ char *file = file_name(name);

        return file && utimensat(s->fd, file, NULL, AT_SYMLINK_NOFOLLOW) >= 0;
}

static RememberedName *find_name(SeccompStore *s, uint64_t capabilities) {
        for (size_t i = 0; i < SECCOMP_NAMES_MAX; i++)
                if (s->names[i].name[0] && s->names[i].capabilities == capabilities)
                        return &s->names[i];
        return NULL;
}

static void remember_name(SeccompStore *s, uint64_t capabilities, const char *name) {
        RememberedName *n = find_name(s, capabilities);

        if (!n) {
                n = &s->names[s->next_name];
                s->next_name = (s->next_name + 1) % SECCOMP_NAMES_MAX;
        }
        n->capabilities = capabilities;
        (void) snprintf(n->name, sizeof(n->name), "%s", name);
}

static int resolve(SeccompStore *s, uint64_t capabilities, char **ret_text,
                   char ret_name[static SECCOMP_NAME_SIZE], Error *reterr_error) {
        _cleanup_(seccomp_profile_freep) SeccompProfile *p = NULL;
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *text = NULL;
        char digest[DIGEST_STRING_MAX];
        int r;

        r = seccomp_profile_load(s->profile, &p, reterr_error);
        if (r < 0)
                return r;
        r = seccomp_profile_resolve(p, capabilities, &j, reterr_error);
        if (r < 0)
                return r;
        text = json_dump(j, true);
        if (!text)
                return -ENOMEM;
        r = digest_of_bytes(DIGEST_SHA256, text, strlen(text), digest);
        if (r < 0)
                return r;

        (void) snprintf(ret_name, SECCOMP_NAME_SIZE, "%s", digest_hex(digest));
        *ret_text = TAKE_PTR(text);
        return 0;
}

/* 1: it is new, and being compiled. */
static int get(SeccompStore *s, uint64_t capabilities, char ret[static SECCOMP_NAME_SIZE],
               Error *reterr_error) {
        _cleanup_free_ char *text = NULL, *file = NULL;
        const RememberedName *n = find_name(s, capabilities);
        int r;

        if (n && touch(s, n->name)) {
                memcpy(ret, n->name, SECCOMP_NAME_SIZE);
                return 0;
        }

        r = resolve(s, capabilities, &text, ret, reterr_error);
        if (r < 0)
                return r;
        remember_name(s, capabilities, ret);
        if (touch(s, ret))
                return 0;

        file = file_name(ret);
        if (!file)
                return -ENOMEM;
        r = write_file_atomic_at(s->fd, file, text, strlen(text), 0600, false);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Failed to write the seccomp profile %s: %m", ret);
        compile(s, ret);
        return 1;
}

int seccomp_store_get(SeccompStore *s, uint64_t capabilities, char ret[static SECCOMP_NAME_SIZE],
                      Error *reterr_error) {
        int r = get(s, capabilities, ret, reterr_error);

        return r < 0 ? r : 0;
}

void seccomp_store_prepare(SeccompStore *s, uint64_t capabilities) {
        _cleanup_error_ Error error = ERROR_NULL;
        char name[SECCOMP_NAME_SIZE];
        int r;

        r = get(s, capabilities, name, &error);
        if (r < 0)
                log_debug("Failed to prepare the default seccomp profile, ignoring: %s",
                          error_is_set(&error) ? error_message(&error) : strerror(-r));
        else if (r == 0)
                compile(s, name);
}
