/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parsers of the specification's parts share. */

#include "runtime/spec.h"

int spec_oom(Error *reterr_error);
int spec_too_many(const char *what, unsigned max, Error *reterr_error);
int spec_uint32_from(uint64_t v, const char *what, uint32_t *ret, Error *reterr_error);
/* Ids: (uid_t) -1 means "leave as it is" to the kernel. */
int spec_id_from(uint64_t v, const char *what, uint32_t *ret, Error *reterr_error);

/* Adds those of names (NULL-terminated) that object has with a value to the list. prefix is "" or ends in a
 * dot. */
int spec_note_unsupported(char ***unsupported, json_t *object, const char *prefix, const char *const *names,
                          Error *reterr_error);

/* An object whose members are all strings. */
int spec_parse_pairs(json_t *object, const char *what, unsigned max, SpecPair **ret, size_t *ret_n,
                     Error *reterr_error);

/* Arrays of containerID, hostID and size: of linux and of a mount. */
int spec_parse_id_mappings(json_t *array, const char *what, SpecIdMappings *ret, Error *reterr_error);

int spec_parse_mounts(RuntimeSpec *s, json_t *array, Error *reterr_error);
void spec_free_mounts(SpecMount *mounts, size_t n);
int spec_parse_linux(RuntimeSpec *s, json_t *object, Error *reterr_error);
