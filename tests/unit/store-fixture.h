/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* A directory for a database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "store/store-internal.h"

typedef struct Place {
        char *dir, *path;
} Place;

static inline int setup(void **state) {
        static Place p;
        char template[] = "/tmp/test-store-XXXXXX";

        assert_non_null(mkdtemp(template));
        p = (Place) { .dir = strdup(template), .path = strjoin(template, "/moored.db") };
        *state = &p;
        return p.dir && p.path ? 0 : -1;
}

static inline int teardown(void **state) {
        Place *p = *state;

        assert_int_equal(rm_rf_at(AT_FDCWD, p->dir), 0);
        free(p->dir);
        free(p->path);
        return 0;
}
