/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A transient scope of the service manager for a container: its name, its properties (pure), and the calls,
 * which the program mooring-scope does. */

#include "basic/error.h"
#include "basic/macro.h"
#include "runtime/cgroup-resources.h"
#include "runtime/spec.h"

/* Annotations "org.systemd.property.NAME" set further properties; the values are in GVariant's text form. */
#define ANNOTATION_SYSTEMD_PROPERTY "org.systemd.property."

/* Type and values as mooring-scope has them on its command line: types are D-Bus', of an array the values
 * are all its items' members one after the other; "ay" is one string of hex digits. */
typedef struct ScopeProperty {
        char *name;
        char *type;
        char **values;
} ScopeProperty;

typedef struct ScopeProperties {
        ScopeProperty *properties;
        size_t n;
} ScopeProperties;

void scope_properties_done(ScopeProperties *p);
/* The last of that name, or NULL. */
const ScopeProperty *scope_properties_find(const ScopeProperties *p, const char *name);

/* Unit and slice of linux.cgroupsPath (may be NULL or empty). */
int scope_names(const char *cgroups_path, const char *id, bool rootless, char **ret_unit, char **ret_slice,
                Error *reterr_error);

/* What is written to files for which there is a property. */
int scope_properties_add_writes(ScopeProperties *p, const CgroupWrites *w, Error *reterr_error);
int scope_properties_add_annotations(ScopeProperties *p, const SpecPair *annotations, size_t n,
                                     Error *reterr_error);
/* Values up to NULL; sets one that is there anew. */
int scope_properties_add(ScopeProperties *p, const char *name, const char *type, ...)
                __attribute__((__sentinel__));

/* "uint64 5", "'text'", "['a', 'b']", "true": see ANNOTATION_SYSTEMD_PROPERTY. NAMESec with a number of
 * seconds becomes NAMEUSec. */
int scope_property_parse(const char *name, const char *value, ScopeProperties *p, Error *reterr_error);

/* Calls of the service manager, the user's own if user; each returns when its job is done. */
int scope_start(const char *unit, const ScopeProperties *p, bool user, Error *reterr_error);
int scope_set(const char *unit, const ScopeProperties *p, bool user, Error *reterr_error);
/* Moves a process to the cgroup at the path `below` the unit's ("": the unit's). */
int scope_attach(const char *unit, const char *below, pid_t pid, bool user, Error *reterr_error);
/* Stops it if nobody is in there; Busy otherwise. 0 also if there is none. */
int scope_clean(const char *unit, bool user, Error *reterr_error);
/* Makes the process, whose unit is its machine, known to systemd-machined. id: 32 hex digits, or "". */
int scope_register_machine(const char *name, const char *id, pid_t pid, Error *reterr_error);
/* 0 also if there is none. */
int scope_stop(const char *unit, bool user, Error *reterr_error);
