/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names of containers, as the resolver of their network reads them: a directory for each network below the runtime
 * directory, with the resolver's configuration and a file for each container that is up. Who runs the resolver, and
 * when, is container/'s affair (container/names.h). */

#include "network/network.h"

#define NETWORK_NAMES_DIR "names"
#define NETWORK_NAMES_DOMAIN "moored.internal" /* behind each network's own; nobody's in the public DNS */

/* May it have a resolver: a bridge with a gateway, for which names are wanted? */
bool network_has_names(const Network *n);
/* "lan.moored.internal": containers are found below it, and by their bare names. NULL on OOM. */
char *network_names_domain(const Network *n);
/* Of the networks of a container that may have one, the one whose resolver it asks: the first that leads out, else the
 * first. By the records; 0: none (*ret is NULL). */
int network_manager_resolver(NetworkManager *m, const char *ns, const char *container, Network **ret);

/* From now on files are kept for its resolver. resolv: a file as resolv.conf(5) that names the servers which are asked for
 * all other names; an internal network's resolver asks nobody. 0: they were before. 1: one that runs has what it needs; 2: if
 * one runs it has another configuration, or a directory that is gone: it is to be started anew. */
int network_names_open(Network *n, const char *resolv, Error *reterr_error);
bool network_names_are_open(const Network *n);
/* It has been asked to end, or one that had the directory before: no more files, and none that was there. The directory stays,
 * as one that is about to start may look into it. */
void network_names_close(Network *n);
bool network_names_are_closed(const Network *n); /* and since then not open */
/* Is a container up whose resolver is this network's? */
bool network_names_are_used(const Network *n);

/* By which link, and of whom, the host itself may ask for the names in its domain. */
typedef struct NamesLink {
        int index; /* of the bridge */
        char *domain;
        Address servers[SUBNETS_MAX];
        size_t n_servers;
} NamesLink;
void names_link_done(NamesLink *l);
/* -ENODEV: there is no bridge now; -EAGAIN: it has no carrier (yet). */
int network_names_link(const Network *n, NamesLink *ret);

/* All for which there is a directory. network NULL: there is no such network (any more), or it is to have no names. */
int network_manager_foreach_names(NetworkManager *m,
                                  void (*func)(const char *device, Network *network, void *userdata), void *userdata);
/* Removes the directory of one without a network, once its resolver has ended. */
int network_manager_drop_names(NetworkManager *m, const char *device);
