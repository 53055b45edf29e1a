/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the terminal is like: size, colours. */

#include "basic/macro.h"

#define ANSI_RED "\033[31m"
#define ANSI_GREEN "\033[32m"
#define ANSI_YELLOW "\033[33m"
#define ANSI_GREY "\033[90m"
#define ANSI_BOLD "\033[1m"
#define ANSI_RESET "\033[0m"

/* Of the terminal behind fd; else $COLUMNS and $LINES, else 80 and 24. */
unsigned terminal_columns(int fd);
unsigned terminal_rows(int fd);
/* Of whichever of the standard descriptors is a terminal; false: none is, or it does not know. */
bool terminal_window_size(unsigned *ret_rows, unsigned *ret_columns);
/* fd is a terminal, $NO_COLOR is not set and $TERM is not dumb. */
bool terminal_has_colors(int fd);
/* fd is a terminal that can move its cursor. */
bool terminal_can_redraw(int fd);
/* Characters of UTF-8 text. */
size_t utf8_length(const char *s);
/* Bytes of the first n characters of s, at most all. */
size_t utf8_prefix(const char *s, size_t n);
