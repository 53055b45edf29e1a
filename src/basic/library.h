/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared libraries that are loaded when they are first needed, as not every run of a program needs them. */

#include "basic/error.h"

typedef struct LibraryFunction {
        const char *name;
        void **place; /* gets its address */
} LibraryFunction;

typedef struct Library {
        const char *soname;
        const char *needed_for; /* "pulls": who reads the error knows what he can do without */
        const char *package;    /* whose installation helps */
        const LibraryFunction *functions;
        size_t n_functions;
} Library;

/* Loads it for good. To be called again does no harm. "NotSupported": it is not there, or lacks a function. */
int library_load(const Library *l, Error *reterr_error);

/* Tells those who make packages of such a library, which is not among the program's dynamic dependencies: an ELF note
 * (https://systemd.io/ELF_DLOPEN_METADATA). Once for each library, outside of functions. All are strings; priority:
 * "required", "recommended", "suggested". */
#define LIBRARY_NOTE(feature, description, priority, soname)                                                       \
        LIBRARY_NOTE_("[{\"feature\":\"" feature "\",\"description\":\"" description "\",\"priority\":\"" priority \
                      "\",\"soname\":[\"" soname "\"]}]")
#define LIBRARY_NOTE_TYPE 0x407c0c0aU
#define LIBRARY_NOTE_(json)                                                                           \
        static const struct {                                                                         \
                uint32_t owner_size, text_size, type;                                                 \
                char owner[sizeof("FDO")];                                                            \
                char text[sizeof(json)] __attribute__((__aligned__(4)));                              \
        } CONCAT(library_note_, __LINE__) __attribute__((__used__, __aligned__(4), __section__(".note.dlopen"))) = { \
                sizeof("FDO"), sizeof(json), LIBRARY_NOTE_TYPE, "FDO", json                           \
        }
