/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NULL-terminated lists of owned strings. NULL is the empty list. */

#include "basic/macro.h"

char **strv_free(char **l);
DEFINE_CLEANUP_FUNC(char **, strv_free)
#define _cleanup_strv_free_ _cleanup_(strv_freep)

size_t strv_length(char *const *l);
char **strv_copy(char *const *l);
/* Append a copy, or take s over (freed on failure, too). 0 or -ENOMEM. */
int strv_extend(char ***l, const char *s);
int strv_consume(char ***l, char *s);
int strv_extendf(char ***l, const char *format, ...) _printf_(2, 3);
int strv_extend_strv(char ***l, char *const *other);
bool strv_contains(char *const *l, const char *s);
/* The entry that begins with "name=", or NULL; value behind "=". */
const char *strv_env_get(char *const *l, const char *name);
/* Sets NAME=VALUE, replacing an entry of that name. */
int strv_env_set(char ***l, const char *assignment);
/* New list of the parts of s between separators (any char of seps); empty ones left out. NULL on OOM. */
char **strv_split(const char *s, const char *seps);
/* The same as systemd.syntax(7) has words: separated by blanks; those in "…" or '…' belong together, and so does
 * what a backslash escapes (\\ \" \' \s \n \t … \xNN). "" is an empty word. -EINVAL: a quote that is not closed, an
 * escape that does not exist. */
int strv_split_quoted(const char *s, char ***ret);
char *strv_join(char *const *l, const char *sep);
void strv_sort(char **l);

/* Declares s. The list may be char **, char *const * or const char *const *. */
#define STRV_FOREACH(s, l)                                                                                  \
        for (__typeof__(**(l)) *const *s##_i_ = (l), *s; s##_i_ && (s = *s##_i_); s##_i_++)
