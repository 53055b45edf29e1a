/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The syntax of configuration files, and of the values that are lists of words. */

#include "basic/config-file.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "fuzz.h"

static int on_line(const ConfigLine *l, void *userdata) {
        _cleanup_strv_free_ char **words = NULL;
        bool *accepted = userdata;
        int r;

        FUZZ_ASSERT(l->number > 0 && streq(l->file, "file"));
        FUZZ_ASSERT((l->type == CONFIG_LINE_ASSIGNMENT) == !!l->key);
        if (l->type == CONFIG_LINE_SECTION)
                return 0;
        FUZZ_ASSERT(l->value && !strchr(l->value, '\n'));
        if (l->type == CONFIG_LINE_NEITHER) {
                *accepted = false;
                return 1;
        }

        r = strv_split_quoted(l->value, &words);
        FUZZ_ASSERT(r == 0 || r == -EINVAL);
        STRV_FOREACH(w, words)
                FUZZ_ASSERT(strlen(w) <= strlen(l->value));
        if (r < 0)
                *accepted = false;
        return 0;
}

static int on_unreadable(const char *path, int error, void *userdata) {
        return 0;
}

bool fuzz_accepts(const uint8_t *data, size_t size) {
        bool accepted = true;
        const ConfigHandler handler = { on_line, on_unreadable, &accepted };
        _cleanup_free_ char *text = NULL;

        if (memchr(data, 0, size) || size > CONFIG_FILE_MAX)
                return false;
        text = strndup((const char *) data, size);
        if (!text)
                return false;
        FUZZ_ASSERT(config_text_read("file", text, &handler) >= 0);
        return accepted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        (void) fuzz_accepts(data, size);
        return 0;
}
