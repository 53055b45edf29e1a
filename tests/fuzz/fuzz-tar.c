/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "fuzz.h"
#include "helper/extract.h"
#include "helper/remove.h"

/* Tars, extracted for real into "root" of a temporary directory, where nothing else may appear. */

#define ENTRIES_MAX 1000U
#define PIECE 1777U /* libarchive has to put things together */

static char base[] = "/tmp/fuzz-tar-XXXXXX";
static int base_fd = -EBADF, root_fd = -EBADF;

static void clean_up(void) {
        (void) rm_rf_at(AT_FDCWD, base);
}

static void set_up(void) {
        const struct rlimit size = { 1 << 20, 1 << 20 };

        if (root_fd >= 0)
                return;
        (void) setlocale(LC_CTYPE, "C.UTF-8");
        (void) signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &size) < 0 || !mkdtemp(base) ||
            (base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
            (root_fd = mkdirat_open(base_fd, "root", 0755)) < 0)
                abort();
        atexit(clean_up);
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
                if (!streq(de->d_name, ".") && !streq(de->d_name, "..") && !streq(de->d_name, "root"))
                        abort();
        closedir(d);
}

static int run(const uint8_t *data, size_t size) {
        Input input = { data, size };
        ExtractSpec spec = { .max_entries = ENTRIES_MAX, .read = on_read, .userdata = &input };
        _cleanup_error_ Error e = {};
        uint64_t entries;
        int r;

        set_up();
        spec.root_fd = root_fd;
        r = extract_tar(&spec, &entries, &e);
        if (r < 0 && !error_is_set(&e))
                abort();
        check_outside();
        if (fchmod(root_fd, 0755) < 0 || remove_contents(root_fd, NULL) < 0)
                abort();
        return r >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) run(data, size);
        return 0;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        return run(data, size) > 0;
}
