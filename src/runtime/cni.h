/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Networks of plug-ins (CNI): "mooring cni", one process for each thing to be done, in a unit of its own that the connection of moored
 * starts (moored-cni@.service). Plug-ins are the host's programs and need root, all capabilities and the host's view: nothing of moored's
 * sandbox may be around them, nor a container's limits. */

#include "oci/cni.h"

#define CNI_STATE_DIR MOORED_STATE_DIR "/cni"
#define CNI_NETNS_DIR MOORED_RUNTIME_DIR "/cni-netns"
/* A start has 90 s: for a chain that hangs, and for what undoes it. */
#define CNI_CHAIN_USEC (UINT64_C(30) * 1000000)
#define CNI_REQUEST_MAX (1U << 20)

typedef struct CniPlaces {
        const char *conf_dir;    /* network configurations */
        const char *plugin_path; /* directories, ":" between them */
        const char *state_dir;   /* what is attached: a file for each container */
        const char *netns_dir;   /* the names of namespaces, while plug-ins look at them */
        uint64_t chain_usec;     /* that the plug-ins have together; once more to undo what they did */
} CniPlaces;

/* -- cni-chain.c -- */
typedef struct CniCall {
        CniCommand command;
        const char *container, *netns, *interface; /* NULL: not told */
        const char *plugin_path;
        uint64_t deadline_usec; /* CLOCK_MONOTONIC */
        json_t *capabilities;   /* borrowed, as are the next: see cni_request() */
        json_t *previous;       /* what the last ADD gave; NULL */
        json_t *attachments;
        /* Of ADD: what plug-ins have given, when there is another to come. */
        void (*progress)(json_t *result, void *userdata);
        void *userdata;
} CniCall;
/* The plug-ins of a network, one after the other; ret_result for ADD only. What it does not know, or does not want, is not
 * done. "PluginFailed", "PluginTimeout", "NoSuchPlugin", "BadPluginAnswer": each names the plug-in and what it said. */
int cni_chain(const CniConf *conf, const CniCall *call, json_t **ret_result, Error *reterr_error);

/* -- cni-record.c -- */
/* -ENOENT: there is none. */
int cni_record_read(int dir_fd, const char *container, CniRecord *ret, Error *reterr_error);
/* sync: on disk when it returns; else when the kernel thinks so. Without attachments: the file goes. */
int cni_record_write(int dir_fd, const CniRecord *r, bool sync, Error *reterr_error);

/* -- cni-attach.c -- */
/* request: {"command", "container", "attachments": [{"network", "interface", "capabilities"}]}; no attachments for DEL and CHECK, which
 * are of what is recorded; "network" in place of both for STATUS and GC. netns: of the container; -EBADF: it is gone, or there is none.
 *
 * ADD is done once for each namespace: who asks again gets the same answer. Before anything is begun the networks that know STATUS are
 * asked whether they are ready. If it fails nothing of it is left, but what a plug-in failed to undo: that is tried again by the next
 * DEL or ADD. ret: what is recorded (cni_record_to_json()), for ADD. */
int cni_serve_request(const CniPlaces *places, json_t *request, int netns, json_t **ret, Error *reterr_error);

/* -- cni-serve.c: the verb; 0 is the connection -- */
int cni_serve(char *argv[], Error *reterr_error);
