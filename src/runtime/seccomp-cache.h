/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compiled filters, kept until boot. Compiling a profile of some hundred system calls for three
 * architectures takes many times as long as everything else in a start. Two kinds of files:
 *
 *   <16 hex digits>.bpf             of a profile in somebody's config.json, found by its content
 *   <64 hex digits>.json, ….bpf     a profile that moored has written (container/seccomp-store.h), and what
 *                                   came of it; config.json only names it, by ANNOTATION_SECCOMP
 *
 * With the second the start of a container neither parses a profile nor compares one. */

#include "runtime/seccomp-filter.h"

/* Made by whoever comes first. Who may not use it has $XDG_RUNTIME_DIR/mooring-seccomp. */
#define SECCOMP_CACHE_DIR MOORED_RUNTIME_DIR "/seccomp"

/* The oldest go when there are more; of profiles only those that no bundle holds (by a second link). */
#define SECCOMP_CACHE_PROGRAMS_MAX 64U
#define SECCOMP_CACHE_PROFILES_MAX 64U

#define SECCOMP_NAME_LENGTH 64U

/* What the specification wants: by name, by content, or nothing (ret->n stays 0). Where there can be no
 * cache it is compiled each time. */
int seccomp_get(const RuntimeSpec *spec, SeccompProgram *ret, Error *reterr_error);

/* The same in the directory dir, which is made if its parent is there; NULL: the one above. */
int seccomp_get_by_content(const SeccompSpec *s, const char *dir, SeccompProgram *ret, Error *reterr_error);
/* "NoSuchProfile" where dir has neither the program nor the profile. */
int seccomp_get_by_name(const char *name, const char *dir, SeccompProgram *ret, Error *reterr_error);
