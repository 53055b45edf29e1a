/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs of moored-helper: see job/proto.h for what each is given and answers. A verb enters its sandbox
 * first of all, then touches what it was given. 0: done; negative with reterr_error set: main() reports it.
 */

#include "basic/error.h"
#include "basic/json.h"

int verb_fetch(json_t *request, Error *reterr_error);
int verb_unpack(json_t *request, Error *reterr_error);
int verb_settle(json_t *request, Error *reterr_error);
int verb_import(json_t *request, Error *reterr_error);
int verb_remove(json_t *request, Error *reterr_error);
int verb_sync(json_t *request, Error *reterr_error);

/* An error for want of space names the file system: helpers see descriptors only, and all are of the same
 * one. For what is about to be sent. */
void helper_explain(Error *e);

#define HELPER_PROGRESS_INTERVAL_USEC UINT64_C(250000)
