/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "basic/string-util.h"

static unsigned from_environment(const char *name, unsigned fallback) {
        const char *e = getenv(name);
        uint32_t n;

        return e && parse_uint32(e, &n) >= 0 && n > 0 && n <= 4096 ? n : fallback;
}

unsigned terminal_columns(int fd) {
        struct winsize w = {};

        if (ioctl(fd, TIOCGWINSZ, &w) >= 0 && w.ws_col > 0)
                return w.ws_col;
        return from_environment("COLUMNS", 80);
}

unsigned terminal_rows(int fd) {
        struct winsize w = {};

        if (ioctl(fd, TIOCGWINSZ, &w) >= 0 && w.ws_row > 0)
                return w.ws_row;
        return from_environment("LINES", 24);
}

bool terminal_window_size(unsigned *ret_rows, unsigned *ret_columns) {
        struct winsize w = {};

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (ioctl(fd, TIOCGWINSZ, &w) >= 0 && w.ws_row > 0 && w.ws_col > 0) {
                        *ret_rows = w.ws_row;
                        *ret_columns = w.ws_col;
                        return true;
                }
        return false;
}

bool terminal_can_redraw(int fd) {
        const char *term = getenv("TERM");

        return isatty(fd) && !isempty(term) && !streq(term, "dumb");
}

bool terminal_has_colors(int fd) {
        return isempty(getenv("NO_COLOR")) && terminal_can_redraw(fd);
}

size_t utf8_length(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += ((uint8_t) *s & 0xC0) != 0x80;
        return n;
}

size_t utf8_prefix(const char *s, size_t n) {
        const char *p = s;

        for (; *p; p++)
                if (((uint8_t) *p & 0xC0) != 0x80 && n-- == 0)
                        break;
        return (size_t) (p - s);
}
