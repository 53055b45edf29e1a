/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The image specification's JSON schemas, where they are at hand: they say which members a document must have. */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/json.h"

/* Skips the test if it is not there; nothing is on the heap then, as skip() does not come back. Owned by the caller. */
static inline json_t *schema_load(const char *name) {
        const char *env = getenv("MOORED_SHARED");
        char path[PATH_MAX], *text = NULL;
        json_t *j = NULL;
        size_t n;

        (void) snprintf(path, sizeof(path), "%s/data/oci/image-spec/schema/%s", env ?: TEST_DATA_DIR "/../../../shared", name);
        if (read_file_at(AT_FDCWD, path, 1024 * 1024, &text, &n) < 0) {
                print_message("the specification's schema is not here\n");
                skip();
        }
        assert_int_equal(json_parse(text, n, n, &j, NULL), 0);
        free(text);
        return j;
}
