/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>

#include "basic/config-file.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"

typedef struct Reader {
        const ConfigHandler *handler;
        const char *name;
        char *section;
        int sum;
} Reader;

static char *strip(char *s) {
        char *end;

        s += strspn(s, " \t\r");
        for (end = s + strlen(s); end > s && strchr(" \t\r", end[-1]); end--)
                ;
        *end = 0;
        return s;
}

/* line is changed. */
static int read_line(Reader *x, unsigned number, char *line) {
        ConfigLine l = { .type = CONFIG_LINE_NEITHER, .file = x->name, .number = number };
        size_t n = strlen(line);
        char *equal;
        int r;

        if (line[0] == '[' && line[n - 1] == ']') {
                line[n - 1] = 0;
                if (free_and_strdup(&x->section, line + 1) < 0)
                        return -ENOMEM;
                l.type = CONFIG_LINE_SECTION;
        } else if ((equal = strchr(line, '='))) {
                *equal = 0;
                l.type = CONFIG_LINE_ASSIGNMENT;
                l.key = strip(line);
                l.value = strip(equal + 1);
        } else
                l.value = line;
        l.section = x->section;

        r = x->handler->line(&l, x->handler->userdata);
        if (r < 0)
                return r;
        x->sum += r;
        return 0;
}

/* A comment between the parts of a continued line is no part of it. */
static int read_text(Reader *x, char *text) {
        _cleanup_free_ char *joined = NULL;
        unsigned n = 0, first = 0;
        char *next = text, *line;
        int r;

        while ((line = strsep(&next, "\n"))) {
                bool more;
                size_t l;

                n++;
                line = strip(line);
                if (line[0] && strchr("#;", line[0]))
                        continue;
                l = strlen(line);
                more = l > 0 && line[l - 1] == '\\' && next;
                if (more)
                        line[l - 1] = ' ';
                if (!joined)
                        first = n;
                if (joined || more) {
                        char *s = strjoin(strempty(joined), line);

                        if (!s)
                                return -ENOMEM;
                        free(joined);
                        joined = s;
                        if (more)
                                continue;
                        line = strip(joined);
                }
                if (line[0]) {
                        r = read_line(x, first, line);
                        if (r < 0)
                                return r;
                }
                free(joined);
                joined = NULL;
        }

        return joined && strip(joined)[0] ? read_line(x, first, strip(joined)) : 0;
}

int config_text_read(const char *name, const char *text, const ConfigHandler *handler) {
        _cleanup_free_ char *copy = strdup(text);
        Reader x = { .handler = handler, .name = name };
        int r;

        r = copy ? read_text(&x, copy) : -ENOMEM;
        free(x.section);
        return r < 0 ? r : x.sum;
}

int config_file_read(const char *path, const ConfigHandler *handler) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, CONFIG_FILE_MAX, &text, &size);
        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r >= 0 && strlen(text) != size)
                r = -EBADMSG;
        r = r < 0 ? handler->unreadable(path, r, handler->userdata) : config_text_read(path, text, handler);
        return r < 0 ? r : 1;
}

int config_find_read(const char *const *directories, const char *file, const ConfigHandler *handler) {
        int r = 0;

        for (; *directories && r == 0; directories++) {
                _cleanup_free_ char *path = path_join(*directories, file);

                r = path ? config_file_read(path, handler) : -ENOMEM;
        }
        return r;
}

/* Adds the name of each drop-in that is not in the list yet. */
static int collect_drop_ins(const char *directory, const char *file, const ConfigHandler *handler,
                            char ***names) {
        _cleanup_free_ char *path = strjoin(directory, "/", file, ".d");
        struct dirent *e;
        int r = 0;
        DIR *d;

        if (!path)
                return -ENOMEM;
        d = opendir(path);
        if (!d)
                return errno == ENOENT || errno == ENOTDIR
                                       ? 0
                                       : handler->unreadable(path, -errno, handler->userdata);

        while (r >= 0 && (e = readdir(d))) {
                if (e->d_name[0] == '.' || !endswith(e->d_name, ".conf") || strv_contains(*names, e->d_name))
                        continue;
                if (strv_length(*names) >= CONFIG_FILES_MAX) {
                        r = handler->unreadable(path, -E2BIG, handler->userdata);
                        break;
                }
                r = strv_extend(names, e->d_name);
        }

        (void) closedir(d);
        return r;
}

static int read_drop_in(const char *const *directories, const char *file, const char *name,
                        const ConfigHandler *handler) {
        for (; *directories; directories++) {
                _cleanup_free_ char *path = strjoin(*directories, "/", file, ".d/", name);
                struct stat st;

                if (!path)
                        return -ENOMEM;
                if (stat(path, &st) >= 0)
                        return S_ISREG(st.st_mode) ? config_file_read(path, handler) : 0;
        }

        return 0;
}

int config_drop_ins_read(const char *const *directories, const char *file, const ConfigHandler *handler) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        for (const char *const *d = directories; *d; d++) {
                r = collect_drop_ins(*d, file, handler, &names);
                if (r < 0)
                        return r;
        }

        strv_sort(names);
        STRV_FOREACH (name, names) {
                r = read_drop_in(directories, file, name, handler);
                if (r < 0)
                        return r;
        }

        return 0;
}
