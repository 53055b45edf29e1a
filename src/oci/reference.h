/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Image references as docker spells and completes them: "busybox" → docker.io/library/busybox:latest,
 * "host:5000/name@sha256:…", "localhost/a/b:tag". Grammar: distribution/reference; OCI distribution-spec,
 * "Pulling manifests". Pure: no I/O. */

#include "basic/error.h"

#define REFERENCE_MAX 512U      /* whole reference, bytes */
#define REFERENCE_NAME_MAX 255U /* registry and repository together */
#define REFERENCE_TAG_MAX 128U

typedef struct Reference {
        char *registry;   /* "docker.io", "127.0.0.1:5000", "[::1]:5000" */
        char *repository; /* "library/busybox" */
        char *tag;        /* NULL if only a digest is given */
        char *digest;     /* "sha256:…" or NULL */
} Reference;

/* -EINVAL with name "InvalidReference" and a sentence that says which part is wrong. */
int reference_parse(const char *s, Reference **ret, Error *reterr_error);
Reference *reference_free(Reference *r);
DEFINE_CLEANUP_FUNC(Reference *, reference_free)
/* Complete form: registry/repository[:tag][@digest]. With both tag and digest, both are kept. NULL on
 * OOM. */
char *reference_to_string(const Reference *r);
/* What is asked of the registry: the digest if there is one, else the tag. */
const char *reference_object(const Reference *r);
/* Where to connect: docker.io → registry-1.docker.io; others as they are. */
const char *reference_host(const Reference *r);
/* localhost, 127.0.0.0/8, ::1: HTTP is allowed. */
bool reference_is_loopback(const Reference *r);
