/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target without a fuzzer, so that each run of the tests does: every file of a corpus directory
 * as it is, cut short at each length, and with bytes changed (by a generator that starts from the same
 * number each time). A file's name says whether its bytes are to be taken: ok-*, should-fail-*.
 *
 *   fuzz-x CORPUS...        directories, or single files (to look at one that made a fuzzer stop) */

#include <dirent.h>
#include <sys/stat.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "fuzz.h"

#define FILE_SIZE_MAX (32U * 1024 * 1024)
#define CUTS_MAX 512U
#define CHANGES 200U
#define CHANGED_SIZE_MAX (64U * 1024)

/* A target without an idea of being right is only run. */
#pragma weak fuzz_accepts

static unsigned n_passed, n_failed;

/* A copy of exactly this size: reading behind it is seen. */
static uint8_t *copy_of(const char *p, size_t n) {
        uint8_t *copy = malloc(MAX(n, (size_t) 1));

        if (!copy)
                abort();
        memcpy(copy, p, n);
        return copy;
}

static void run_bytes(const char *p, size_t n) {
        _cleanup_free_ uint8_t *copy = copy_of(p, n);

        (void) LLVMFuzzerTestOneInput(copy, n);
}

static uint32_t next_random(uint32_t *seed) {
        /* xorshift32 */
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static void run_changed(const char *p, size_t n) {
        _cleanup_free_ char *copy = NULL;
        uint32_t seed = 1;

        if (n == 0 || n > CHANGED_SIZE_MAX)
                return;

        copy = malloc(n);
        if (!copy)
                abort();

        for (unsigned i = 0; i < CHANGES; i++) {
                memcpy(copy, p, n);
                for (uint32_t k = next_random(&seed) % 4 + 1; k > 0; k--)
                        copy[next_random(&seed) % n] = (char) next_random(&seed);
                run_bytes(copy, n);
        }
}

static const char *check(const char *name, const char *p, size_t n) {
        _cleanup_free_ uint8_t *copy = copy_of(p, n);
        bool ok = startswith(name, "ok-"), fail = startswith(name, "should-fail-");

        if (!ok && !fail)
                return "its name begins with neither ok- nor should-fail-";
        if (!fuzz_accepts)
                return NULL;
        if (fuzz_accepts(copy, n) != ok)
                return ok ? "it was refused" : "it was taken";

        return NULL;
}

static void run_file(int dirfd, const char *name) {
        const char *problem, *base = strrchr(name, '/');
        _cleanup_free_ char *p = NULL;
        size_t n, step;
        int r;

        r = read_file_at(dirfd, name, FILE_SIZE_MAX, &p, &n);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", name, strerror(-r));
                n_failed++;
                return;
        }

        run_bytes(p, n);
        step = n / CUTS_MAX + 1;
        for (size_t i = 0; i < n && n <= CHANGED_SIZE_MAX; i += step)
                run_bytes(p, i);
        run_changed(p, n);

        problem = check(base ? base + 1 : name, p, n);
        if (problem) {
                fprintf(stderr, "%s: %s\n", name, problem);
                n_failed++;
        } else
                n_passed++;
}

static bool run_directory(const char *path) {
        struct dirent *e;
        DIR *d;

        d = opendir(path);
        if (!d)
                return false;

        while ((e = readdir(d)))
                if (e->d_name[0] != '.')
                        run_file(dirfd(d), e->d_name);

        (void) closedir(d);
        return true;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (!run_directory(argv[i]))
                        run_file(AT_FDCWD, argv[i]);

        printf("%u passed, %u failed\n", n_passed, n_failed);
        return n_failed > 0 || n_passed == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
