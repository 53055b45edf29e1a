/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "basic/string-util.h"
#include "container/oom.h"

#define GROUP "/moored.slice/moored-default.slice/moored-default-web.service"

static int parse(const uint8_t *data, size_t size, OomVictim *ret) {
        _cleanup_free_ char *line = strndup((const char *) data, size);

        return line ? oom_line_parse(line, GROUP, ret) : -ENOMEM;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        _cleanup_(oom_victim_done) OomVictim v = {};

        return parse(data, size, &v) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(oom_victim_done) OomVictim v = {};

        if (parse(data, size, &v) > 0)
                FUZZ_ASSERT(v.command && string_is_safe(v.command));
        return 0;
}
