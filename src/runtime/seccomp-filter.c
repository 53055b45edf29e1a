/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache. A file's name is a 64 bit hash of the profile, which only finds the file: the file holds the
 * whole profile in a canonical form, and that is compared. So there is nothing to collide with, and no
 * cryptographic library to load. Format: CacheHeader, the profile, the instructions; whatever is odd about a
 * file makes it a miss, and it is written anew. */

#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/strv.h"
#include "runtime/seccomp-filter.h"

#define CACHE_MAGIC UINT64_C(0x3170626463636573) /* "seccdbp1" */
#define CACHE_KEY_MAX SPEC_SIZE_MAX

/* Since Linux 5.19. */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV_ (1U << 5)

typedef struct CacheHeader {
        uint64_t magic;
        uint64_t key_size;
        uint64_t n_instructions;
} CacheHeader;

void seccomp_program_done(SeccompProgram *p) {
        free(p->filter);
        *p = (SeccompProgram) {};
}

static int flags_parse(const SeccompSpec *s, unsigned *ret, Error *reterr_error) {
        unsigned v = 0;

        /* As runc and crun have it. */
        if (!s->flags)
                v = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        STRV_FOREACH(f, s->flags) {
                if (streq(f, "SECCOMP_FILTER_FLAG_LOG"))
                        v |= SECCOMP_FILTER_FLAG_LOG;
                else if (streq(f, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
                        v |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
                else if (streq(f, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
                        /* Of a question that nobody asks the kernel wants to hear nothing. */
                        v |= s->listener_path ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV_ : 0;
                else if (!streq(f, "SECCOMP_FILTER_FLAG_TSYNC")) /* there is one thread */
                        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                         "linux.seccomp.flags: \"%s\" is not supported.", f);
        }
        *ret = v;
        return 0;
}

/* ---- the key ---- */

static void put_strv(FILE *f, char *const *l) {
        STRV_FOREACH(s, l)
                fprintf(f, " %s", s);
        fputc('\n', f);
}

/* Everything that the compiler looks at, its version and that of its library. The flags are not compiled. */
static int key_make(const SeccompSpec *s, char **ret, size_t *ret_size) {
        const struct scmp_version *library = seccomp_version();
        char *text = NULL;
        size_t size = 0;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return -errno;

        fprintf(f, "moored %s libseccomp %u.%u.%u\n%s %ju%s\n", MOORED_VERSION, library->major, library->minor,
                library->micro, s->default_action, (uintmax_t) s->default_errno_ret,
                s->fail_unknown ? " fail-unknown" : "");
        put_strv(f, s->architectures);
        for (size_t i = 0; i < s->n_rules; i++) {
                const SeccompRule *rule = &s->rules[i];

                fprintf(f, "%s %ju", rule->action, (uintmax_t) rule->errno_ret);
                for (size_t k = 0; k < rule->n_args; k++)
                        fprintf(f, " [%ju %ju %ju %s]", (uintmax_t) rule->args[k].index,
                                (uintmax_t) rule->args[k].value, (uintmax_t) rule->args[k].value_two,
                                rule->args[k].op);
                put_strv(f, rule->names);
        }

        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        *ret_size = size;
        return 0;
}

/* FNV-1a. */
static uint64_t key_hash(const char *key, size_t n) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < n; i++)
                h = (h ^ (uint8_t) key[i]) * UINT64_C(0x100000001b3);
        return h;
}

#define CACHE_NAME_MAX 32U

static void cache_name(char buf[static CACHE_NAME_MAX], const char *key, size_t n) {
        snprintf(buf, CACHE_NAME_MAX, "%016jx.bpf", (uintmax_t) key_hash(key, n));
}

/* ---- the file ---- */

static int cache_read(int dir, const char *name, const char *key, size_t key_size, SeccompProgram *ret) {
        _cleanup_free_ struct sock_filter *filter = NULL;
        _cleanup_free_ char *text = NULL;
        CacheHeader h;
        size_t size;
        int r;

        r = read_file_at(dir, name,
                         sizeof(h) + CACHE_KEY_MAX + SECCOMP_INSTRUCTIONS_MAX * sizeof(struct sock_filter),
                         &text, &size);
        if (r < 0)
                return r;
        if (size < sizeof(h))
                return -EBADMSG;
        memcpy(&h, text, sizeof(h));
        if (h.magic != CACHE_MAGIC || h.n_instructions == 0 || h.n_instructions > SECCOMP_INSTRUCTIONS_MAX ||
            h.key_size != key_size ||
            size != sizeof(h) + key_size + h.n_instructions * sizeof(struct sock_filter) ||
            memcmp(text + sizeof(h), key, key_size) != 0)
                return -EBADMSG;

        filter = malloc(h.n_instructions * sizeof(struct sock_filter));
        if (!filter)
                return -ENOMEM;
        memcpy(filter, text + sizeof(h) + key_size, h.n_instructions * sizeof(struct sock_filter));

        ret->filter = TAKE_PTR(filter);
        ret->n = h.n_instructions;
        return 0;
}

static int cache_write(int dir, const char *name, const char *key, size_t key_size,
                       const SeccompProgram *p) {
        CacheHeader h = { .magic = CACHE_MAGIC, .key_size = key_size, .n_instructions = p->n };
        size_t program_size = p->n * sizeof(struct sock_filter);
        _cleanup_free_ char *text = NULL;

        text = malloc(sizeof(h) + key_size + program_size);
        if (!text)
                return -ENOMEM;
        memcpy(text, &h, sizeof(h));
        memcpy(text + sizeof(h), key, key_size);
        memcpy(text + sizeof(h) + key_size, p->filter, program_size);
        return write_file_atomic_at(dir, name, text, sizeof(h) + key_size + program_size, 0600, false);
}

/* Only a directory of our own, which nobody else can write to, tells which filter a container gets. */
static int cache_open(const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && mkdir(path, 0700) >= 0)
                fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
                return -EPERM;
        return TAKE_FD(fd);
}

int seccomp_get(const SeccompSpec *s, const char *cache_dir, SeccompProgram *ret, Error *reterr_error) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_free_ char *key = NULL;
        _cleanup_close_ int dir = -EBADF;
        char name[CACHE_NAME_MAX];
        size_t key_size = 0;
        unsigned flags = 0;
        int r;

        r = flags_parse(s, &flags, reterr_error);
        if (r < 0)
                return r;

        r = key_make(s, &key, &key_size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Out of memory.");
        cache_name(name, key, key_size);

        dir = cache_open(cache_dir);
        if (dir < 0 || cache_read(dir, name, key, key_size, &p) < 0) {
                r = seccomp_compile(s, &p, reterr_error);
                if (r < 0)
                        return r;
                /* Without a cache the next start takes longer, that is all. */
                if (dir >= 0)
                        (void) cache_write(dir, name, key, key_size, &p);
        }

        p.flags = flags;
        *ret = p;
        p = (SeccompProgram) {};
        return 0;
}

int seccomp_install(const SeccompProgram *p) {
        struct sock_fprog prog = { .len = (unsigned short) p->n, .filter = p->filter };

        return RET_NERRNO((int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, p->flags, &prog));
}
