/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "fuzz.h"
#include "helper/extract.h"
#include "helper/remove.h"
#include "helper/tree-writer.h"
#include "place.h"

/* Tars, extracted for real into "root" of a temporary directory, where nothing else may appear; and again
 * over "lower", which must not change. */

#define ENTRIES_MAX 1000U
#define PIECE 1777U /* libarchive has to put things together */

static TestPlace base;
static int base_fd = -EBADF, root_fd = -EBADF, lower_fd = -EBADF;

static void clean_up(void) {
        (void) rm_rf_at(AT_FDCWD, base.path);
}

/* What the corpus has names for, as it was not meant. */
static void make_lower(void) {
        static const struct {
                const char *name, *target; /* none: a directory */
        } files[] = { { "a", "d" },   { "d", NULL }, { "dir", "/d/../.." }, { "l", "l" },
                      { "up", ".." }, { "sub", NULL }, { "etc", "sub" } };

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                if ((files[i].target ? symlinkat(files[i].target, lower_fd, files[i].name)
                                     : mkdirat(lower_fd, files[i].name, 01777)) < 0)
                        abort();
}

static void set_up(void) {
        const struct rlimit size = { 1 << 20, 1 << 20 };

        if (root_fd >= 0)
                return;
        if (geteuid() != 0) {
                fprintf(stderr, "needs root: owners and trusted.* attributes\n");
                exit(77); /* counted as skipped */
        }
        (void) setlocale(LC_CTYPE, "C.UTF-8");
        (void) signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &size) < 0 ||
            test_place_make(&base, "fuzz-tar", PLACE_WHITEOUTS | PLACE_USER_XATTRS | PLACE_MEMORY) < 0 ||
            (base_fd = open(base.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
            (root_fd = mkdirat_open(base_fd, "root", 0755)) < 0 ||
            (lower_fd = mkdirat_open(base_fd, "lower", 0755)) < 0)
                abort();
        atexit(clean_up);
        make_lower();
}

typedef struct Input {
        const uint8_t *data;
        size_t size;
} Input;

static int on_read(void *userdata, const void **ret, size_t *ret_size, Error *reterr_error) {
        Input *i = userdata;
        size_t n = MIN(i->size, (size_t) PIECE);

        *ret = i->data;
        *ret_size = n;
        i->data += n;
        i->size -= n;
        return n > 0;
}

static void check_outside(void) {
        DIR *d = fdopendir(fd_dup(base_fd));
        struct dirent *de;

        if (!d)
                abort();
        rewinddir(d);
        while ((de = readdir(d)))
                if (!streq(de->d_name, ".") && !streq(de->d_name, "..") && !streq(de->d_name, "root") &&
                    !streq(de->d_name, "lower"))
                        abort();
        closedir(d);
}

static int extract(const uint8_t *data, size_t size, int lower) {
        Input input = { data, size };
        ExtractSpec spec = {
                .root_fd = root_fd,
                .lower_fd = lower,
                .max_entries = ENTRIES_MAX,
                .read = on_read,
                .userdata = &input,
        };
        _cleanup_error_ Error e = {};
        _cleanup_(extract_result_done) ExtractResult result = {};
        int r;

        r = extract_tar(&spec, &result, &e);
        if (r < 0 && !error_is_set(&e))
                abort();
        if (r >= 0 && lower == TREE_LOWER_UNKNOWN)
                (void) tree_settle(root_fd, lower_fd, result.implied, result.implied_size, NULL);
        check_outside();
        if (fchmod(root_fd, 0755) < 0 || remove_contents(root_fd, NULL) < 0)
                abort();
        return r;
}

/* Over layers below, and with these coming later. */
static void run_over_lower(const uint8_t *data, size_t size) {
        struct stat before, after;
        uint8_t sum = 0;

        /* Some inputs, ever the same ones: this is half of the time that an input takes, and the paths into the
         * archive are no others. */
        for (size_t i = 0; i < size; i++)
                sum += data[i];
        if (sum % 8 > 1)
                return;

        if (fstat(lower_fd, &before) < 0)
                abort();
        (void) extract(data, size, sum % 8 == 0 ? lower_fd : TREE_LOWER_UNKNOWN);
        if (fstat(lower_fd, &after) < 0 || after.st_nlink != before.st_nlink ||
            after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
                abort();
}

static int run(const uint8_t *data, size_t size) {
        set_up();
        run_over_lower(data, size);
        return extract(data, size, TREE_LOWER_NONE) >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) run(data, size);
        return 0;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        return run(data, size) > 0;
}
