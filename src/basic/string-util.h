/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strings, numbers and bytes in text form. */

#include "basic/macro.h"

/* Concatenation of all arguments up to NULL; NULL on OOM. */
char *strjoin_(const char *first, ...) __attribute__((__sentinel__));
#define strjoin(...) strjoin_(__VA_ARGS__, NULL)
/* 0 or -ENOMEM; frees the old value of *p. s may be NULL. */
int free_and_strdup(char **p, const char *s);
/* asprintf() without the undefined pointer: NULL on OOM. */
char *strformat(const char *format, ...) _printf_(1, 2);

/* Decimal (no sign, no blanks, whole string). -EINVAL, -ERANGE. */
int parse_uint64(const char *s, uint64_t *ret);
int parse_uint32(const char *s, uint32_t *ret);
int parse_int(const char *s, int *ret);
/* "7" or "0-3"; the first is not above the last. */
int parse_range(const char *s, uint32_t *ret_first, uint32_t *ret_last);
/* "1", "yes", "true", "on" / "0", "no", "false", "off" → 1 / 0, else -EINVAL. */
int parse_boolean(const char *s);
/* "10M", "1.5G", "4096", "infinity" → UINT64_MAX: bytes, powers of 1024; K, M, G, T, P, E in either case. */
int parse_size(const char *s, uint64_t *ret);
/* "5s", "1min 30s", "2h", "100ms", plain number = seconds, "infinity" → UINT64_MAX: microseconds. */
int parse_sec(const char *s, uint64_t *ret_usec);
/* "SIGTERM", "TERM", "15", "RTMIN+3" → number, else -EINVAL. */
int signal_from_string(const char *s);
/* "TERM", "RTMIN+3"; NULL if unknown. Without "SIG". The result lives in static or thread-local storage. */
const char *signal_to_string(int signo);
/* "1.2G", "340.0K": for people. buf is returned. */
#define FORMAT_BYTES_MAX 16
char *format_bytes(char *buf, size_t l, uint64_t n);

char *hex_encode(const void *p, size_t n);

bool string_is_safe(const char *s); /* no control characters, valid UTF-8 */
/* Makes s safe to show: each control character and each byte that is not UTF-8 becomes "?". Returns s. */
char *string_sanitize(char *s);
/* Every byte is in the accepted set. */
bool string_in_charset(const char *s, const char *charset);
#define WHITESPACE " \t"
#define DIGITS "0123456789"
#define LOWERCASE "abcdefghijklmnopqrstuvwxyz"
#define UPPERCASE "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HEX_LOWER DIGITS "abcdef"

/* n random bytes from the kernel as 2n lower-case hex digits; NULL on OOM. */
char *random_hex(size_t n);
