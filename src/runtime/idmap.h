/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The mappings of idmapped mounts: ids of the file system to ids of the host. */

#include "runtime/spec.h"

typedef struct IdMap {
        SpecIdMappings uids;
        SpecIdMappings gids;
} IdMap;

void id_map_done(IdMap *m);
bool id_map_equal(const IdMap *a, const IdMap *b);
int id_map_copy(const SpecIdMappings *uids, const SpecIdMappings *gids, IdMap *ret);

/* "uids=0-1000-10#10-2000-1;gids=@0-0-10": FILESYSTEM-HOST-SIZE, several separated by "#"; after "@" HOST is
 * an id of the container, which spec's user namespace maps to the host's. Pure. */
int id_map_parse(const char *text, const RuntimeSpec *spec, IdMap *ret, Error *reterr_error);

/* The host's id of a container's; -ENXIO: it has none. */
int id_map_to_host(const SpecIdMappings *m, uint32_t id, uint32_t *ret);

/* A new user namespace with these mappings, of which nobody is a member. Takes the right to map any id.
 * Descriptor or negative errno. */
int id_map_open_namespace(const IdMap *m);
