/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Replays a corpus through a fuzz target: every file of the directories (or each file) named on the command line, once. What libFuzzer
 * found stays there, so each run of the tests looks at it again, with every compiler. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd-util.h"

#define INPUT_SIZE_MAX (64U * 1024U * 1024U)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns the number of inputs. */
static unsigned replay(int dirfd_, const char *name) {
        _cleanup_close_ int fd = openat(dirfd_, name, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        uint8_t *exact = NULL;
        struct stat st;
        size_t size;
        unsigned n = 0;

        if (fd < 0 || fstat(fd, &st) < 0) {
                fprintf(stderr, "%s: %m\n", name);
                exit(EXIT_FAILURE);
        }

        if (S_ISDIR(st.st_mode)) {
                DIR *d = fdopendir(dup(fd));

                assert(d);
                for (struct dirent *e; (e = readdir(d));)
                        if (e->d_name[0] != '.')
                                n += replay(fd, e->d_name);
                closedir(d);
                return n;
        }

        if (read_all(fd, INPUT_SIZE_MAX, &text, &size) < 0) {
                fprintf(stderr, "%s: cannot be read\n", name);
                exit(EXIT_FAILURE);
        }
        /* Without the NUL that read_all() puts behind the last byte: AddressSanitizer then sees who reads beyond it. */
        exact = malloc(size);
        assert(exact || size == 0);
        if (size > 0)
                memcpy(exact, text, size);
        (void) LLVMFuzzerTestOneInput(exact, size);
        free(exact);
        return 1;
}

int main(int argc, char *argv[]) {
        unsigned n = 0;

        for (int i = 1; i < argc; i++)
                n += replay(AT_FDCWD, argv[i]);
        printf("%u inputs\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
