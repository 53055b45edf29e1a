/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Format of a program's file: CacheHeader, the key, the instructions. The key begins with the compiler's
 * version and that of its library; whatever is odd about a file makes it a miss, and it is written anew.
 *
 * By content: the file's name is a 64 bit hash of the key, which only finds the file: the key is the whole
 * profile in a canonical form, and that is compared. So there is nothing to collide with, and no
 * cryptographic library to load.
 *
 * By name: the name is the profile's SHA-256, as moored says; the key is the versions alone. */

#include <dirent.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/plan.h"
#include "runtime/seccomp-cache.h"
#include "runtime/spec-seccomp.h"

#define CACHE_MAGIC UINT64_C(0x3270626463636573) /* "seccdbp2" */
#define CACHE_KEY_MAX SPEC_SIZE_MAX
#define CACHE_FILE_MAX                                                                                      \
        (sizeof(CacheHeader) + CACHE_KEY_MAX + SECCOMP_INSTRUCTIONS_MAX * sizeof(struct sock_filter))

typedef struct CacheHeader {
        uint64_t magic;
        uint64_t key_size;
        uint64_t n_instructions;
        uint64_t flags; /* of seccomp(2) */
} CacheHeader;

typedef struct CacheKey {
        char *text;
        size_t size;
} CacheKey;

static void cache_key_done(CacheKey *k) {
        free(k->text);
}

/* ---- the key ---- */

static void put_strv(FILE *f, char *const *l) {
        STRV_FOREACH(s, l)
                fprintf(f, " %s", s);
        fputc('\n', f);
}

/* Everything that the compiler looks at. The flags are not compiled. */
static void put_profile(FILE *f, const SeccompSpec *s) {
        fprintf(f, "%s %ju%s\n", s->default_action, (uintmax_t) s->default_errno_ret,
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
}

/* s NULL: the versions alone. */
static int key_make(const SeccompSpec *s, CacheKey *ret, Error *reterr_error) {
        const struct scmp_version *library = seccomp_version();
        _cleanup_(cache_key_done) CacheKey k = {};
        FILE *f;

        f = open_memstream(&k.text, &k.size);
        if (!f)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        fprintf(f, "moored %s libseccomp %u.%u.%u\n", MOORED_VERSION, library->major, library->minor,
                library->micro);
        if (s)
                put_profile(f, s);
        if (fclose(f) != 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        *ret = k;
        k = (CacheKey){};
        return 0;
}

/* FNV-1a. */
static uint64_t key_hash(const CacheKey *k) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < k->size; i++)
                h = (h ^ (uint8_t) k->text[i]) * UINT64_C(0x100000001b3);
        return h;
}

/* ---- the files ---- */

/* Only a directory of our own, which nobody else can write to, tells which filter a container gets. */
static int cache_open_path(const char *path) {
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

static int cache_open(const char *path) {
        _cleanup_free_ char *own = NULL;
        const char *runtime;
        int fd;

        if (path)
                return cache_open_path(path);
        fd = cache_open_path(SECCOMP_CACHE_DIR);
        if (fd == -ENOENT && mkdir(MOORED_RUNTIME_DIR, 0700) >= 0)
                fd = cache_open_path(SECCOMP_CACHE_DIR);
        runtime = fd < 0 ? getenv("XDG_RUNTIME_DIR") : NULL;
        if (isempty(runtime))
                return fd;
        own = strjoin(runtime, "/mooring-seccomp");
        return own ? cache_open_path(own) : -ENOMEM;
}

static int cache_read(int dir, const char *name, const CacheKey *k, SeccompProgram *ret) {
        _cleanup_free_ struct sock_filter *filter = NULL;
        _cleanup_free_ char *text = NULL;
        CacheHeader h;
        size_t size;
        int r;

        r = read_file_at(dir, name, CACHE_FILE_MAX, &text, &size);
        if (r < 0)
                return r;
        if (size < sizeof(h))
                return -EBADMSG;
        memcpy(&h, text, sizeof(h));
        if (h.magic != CACHE_MAGIC || h.n_instructions == 0 || h.n_instructions > SECCOMP_INSTRUCTIONS_MAX ||
            h.key_size != k->size || h.flags > UINT32_MAX ||
            size != sizeof(h) + k->size + h.n_instructions * sizeof(struct sock_filter) ||
            memcmp(text + sizeof(h), k->text, k->size) != 0)
                return -EBADMSG;

        filter = malloc(h.n_instructions * sizeof(struct sock_filter));
        if (!filter)
                return -ENOMEM;
        memcpy(filter, text + sizeof(h) + k->size, h.n_instructions * sizeof(struct sock_filter));

        *ret = (SeccompProgram){
                .filter = TAKE_PTR(filter),
                .n = h.n_instructions,
                .flags = (unsigned) h.flags,
        };
        return 0;
}

static bool is_profile(const char *name) {
        size_t l = strlen(name);

        return l > strlen(".json") && streq(name + l - strlen(".json"), ".json");
}

/* How many there are of one kind; *ret is the name of the oldest. */
static size_t count_files(DIR *d, bool profiles, char **ret) {
        struct timespec oldest = {};
        struct dirent *de;
        size_t n = 0;

        rewinddir(d);
        while ((de = readdir(d))) {
                struct stat st;

                if (is_profile(de->d_name) != profiles ||
                    fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
                    (profiles && st.st_nlink > 1))
                        continue;
                if (n++ > 0 && (st.st_mtim.tv_sec > oldest.tv_sec || (st.st_mtim.tv_sec == oldest.tv_sec &&
                                                                      st.st_mtim.tv_nsec >= oldest.tv_nsec)))
                        continue;
                oldest = st.st_mtim;
                if (free_and_strdup(ret, de->d_name) < 0)
                        return 0;
        }
        return n;
}

static void cache_prune(int dir) {
        static const size_t max[] = {
                [false] = SECCOMP_CACHE_PROGRAMS_MAX,
                [true] = SECCOMP_CACHE_PROFILES_MAX,
        };
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                safe_close(fd);
                return;
        }
        for (int profiles = false; profiles <= true; profiles++)
                for (;;) {
                        _cleanup_free_ char *oldest = NULL;

                        if (count_files(d, profiles, &oldest) <= max[profiles] ||
                            unlinkat(dir, oldest, 0) < 0)
                                break;
                }
        (void) closedir(d);
}

/* Without it the next start takes longer, that is all. */
static void cache_write(int dir, const char *name, const CacheKey *k, const SeccompProgram *p) {
        CacheHeader h = {
                .magic = CACHE_MAGIC, .key_size = k->size, .n_instructions = p->n, .flags = p->flags
        };
        size_t program_size = p->n * sizeof(struct sock_filter);
        _cleanup_free_ char *text = NULL;

        text = malloc(sizeof(h) + k->size + program_size);
        if (!text)
                return;
        memcpy(text, &h, sizeof(h));
        memcpy(text + sizeof(h), k->text, k->size);
        memcpy(text + sizeof(h) + k->size, p->filter, program_size);
        if (write_file_atomic_at(dir, name, text, sizeof(h) + k->size + program_size, 0600, false) >= 0)
                cache_prune(dir);
}

/* ---- by content ---- */

int seccomp_get_by_content(const SeccompSpec *s, const char *dir, SeccompProgram *ret, Error *reterr_error) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_(cache_key_done) CacheKey k = {};
        _cleanup_close_ int fd = -EBADF;
        unsigned flags = 0;
        char name[32];
        int r;

        r = seccomp_flags_parse(s, &flags, reterr_error);
        if (r < 0)
                return r;
        r = key_make(s, &k, reterr_error);
        if (r < 0)
                return r;

        (void) snprintf(name, sizeof(name), "%016jx.bpf", (uintmax_t) key_hash(&k));
        fd = cache_open(dir);
        if (fd < 0 || cache_read(fd, name, &k, &p) < 0) {
                r = seccomp_compile(s, &p, reterr_error);
                if (r < 0)
                        return r;
                if (fd >= 0)
                        cache_write(fd, name, &k, &p);
        }

        p.flags = flags;
        *ret = p;
        p = (SeccompProgram){};
        return 0;
}

/* ---- by name ---- */

static int profile_read(int dir, const char *name, SeccompSpec **ret, Error *reterr_error) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = NULL;
        _cleanup_free_ char *file = strjoin(name, ".json"), *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        size_t size;
        int r;

        if (!file)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        r = read_file_at(dir, file, SPEC_SIZE_MAX, &text, &size);
        if (r == -ENOENT)
                return error_set(reterr_error, r, "NoSuchProfile",
                                 "There is no seccomp profile %s in " SECCOMP_CACHE_DIR
                                 " any more: remove the container and make it again.",
                                 name);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the seccomp profile %s: %m", name);
        r = json_parse_wide(text, size, SPEC_SIZE_MAX, &j, reterr_error);
        if (r >= 0)
                r = seccomp_spec_parse(j, &s, reterr_error);
        if (r < 0) {
                (void) error_prefix(reterr_error, "Seccomp profile %s", name);
                return r;
        }
        if (s->listener_path)
                return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                 "Seccomp profile %s: with a listener it has to be in config.json.", name);

        *ret = TAKE_PTR(s);
        return 0;
}

static int profile_compile(int dir, const char *name, SeccompProgram *ret, Error *reterr_error) {
        _cleanup_(seccomp_spec_freep) SeccompSpec *s = NULL;
        unsigned flags = 0;
        int r;

        r = profile_read(dir, name, &s, reterr_error);
        if (r < 0)
                return r;
        r = seccomp_flags_parse(s, &flags, reterr_error);
        if (r < 0)
                return r;
        r = seccomp_compile(s, ret, reterr_error);
        if (r < 0)
                return r;
        ret->flags = flags;
        return 0;
}

int seccomp_get_by_name(const char *name, const char *dir, SeccompProgram *ret, Error *reterr_error) {
        _cleanup_(seccomp_program_done) SeccompProgram p = {};
        _cleanup_(cache_key_done) CacheKey k = {};
        char file[SECCOMP_NAME_LENGTH + sizeof(".bpf")];
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (strlen(name) != SECCOMP_NAME_LENGTH || !string_in_charset(name, "0123456789abcdef"))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 ANNOTATION_SECCOMP ": \"%.100s\" is not a SHA-256 in hexadecimal digits.",
                                 name);
        r = key_make(NULL, &k, reterr_error);
        if (r < 0)
                return r;
        fd = cache_open(dir);
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "Cannot open " SECCOMP_CACHE_DIR ": %m");

        (void) snprintf(file, sizeof(file), "%s.bpf", name);
        if (cache_read(fd, file, &k, &p) < 0) {
                r = profile_compile(fd, name, &p, reterr_error);
                if (r < 0)
                        return r;
                cache_write(fd, file, &k, &p);
        }

        *ret = p;
        p = (SeccompProgram){};
        return 0;
}

/* ---- what a specification wants ---- */

int seccomp_get(const RuntimeSpec *spec, SeccompProgram *ret, Error *reterr_error) {
        const char *name = runtime_spec_annotation(spec, ANNOTATION_SECCOMP);

        if (name && spec->seccomp)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "linux.seccomp and the annotation " ANNOTATION_SECCOMP
                                 " exclude each other.");
        if (name)
                return seccomp_get_by_name(name, NULL, ret, reterr_error);
        return spec->seccomp ? seccomp_get_by_content(spec->seccomp, NULL, ret, reterr_error) : 0;
}
