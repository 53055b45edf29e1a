/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of namespaces: rows of the store, in memory. "default" is always there. */

#include "bus/bus.h"

#define NAMESPACE_NAME_MAX 64U
#define NAMESPACES_MAX 1024U
#define NAMESPACE_DEFAULT "default"

typedef struct NamespaceTable NamespaceTable;

/* Loads the rows, makes "default" where it is missing. images, containers and jobs are asked whether a
 * namespace is in use. */
int namespace_table_new(Store *store, Events *events, JobManager *jobs, ImageManager *images,
                        ContainerManager *containers, NetworkManager *networks, NamespaceTable **ret, Error *reterr_error);
NamespaceTable *namespace_table_free(NamespaceTable *t);
DEFINE_CLEANUP_FUNC(NamespaceTable *, namespace_table_free)

bool namespace_name_is_valid(const char *name); /* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most NAMESPACE_NAME_MAX */

/* For BusContext; namespaces is the NamespaceTable. */
extern const NamespaceOps namespace_table_ops;
