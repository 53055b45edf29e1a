/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A table from strings to pointers. Keys are owned (copied) by the table, values are not. Iteration is in
 * order of insertion and stays valid while the entry just returned is removed. */

#include "basic/macro.h"

typedef struct Hashmap Hashmap;

Hashmap *hashmap_new(void);
Hashmap *hashmap_free(Hashmap *h); /* not the values */
DEFINE_CLEANUP_FUNC(Hashmap *, hashmap_free)

/* 1 if added, -EEXIST if the key is there (nothing changes), -ENOMEM. */
int hashmap_put(Hashmap *h, const char *key, void *value);
/* 1 if added, 0 if replaced, -ENOMEM. */
int hashmap_replace(Hashmap *h, const char *key, void *value);
void *hashmap_get(const Hashmap *h, const char *key); /* NULL table: NULL */
void *hashmap_remove(Hashmap *h, const char *key);    /* the value, or NULL */
size_t hashmap_size(const Hashmap *h);

/* Iterator: start with i = 0; false at the end. Either ret pointer may be NULL. */
typedef size_t HashmapIterator;
bool hashmap_iterate(const Hashmap *h, HashmapIterator *i, const char **ret_key, void **ret_value);

#define HASHMAP_FOREACH(value, h)                                                                           \
        for (HashmapIterator CONCAT(it_, __LINE__) = 0;                                                     \
             hashmap_iterate((h), &CONCAT(it_, __LINE__), NULL, (void **) &(value));)
