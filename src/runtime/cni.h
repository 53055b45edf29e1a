/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Networks of plug-ins (CNI): "mooring cni", one process for each thing to be done, in a unit of its own that the connection of moored
 * starts (moored-cni@.service). Plug-ins are the host's programs and need root, all capabilities and the host's view: nothing of moored's
 * sandbox may be around them, nor a container's limits. */

#include "oci/cni.h"

#define CNI_CONF_DIR "/etc/cni/net.d"
#define CNI_PLUGIN_PATH "/usr/local/lib/cni:/usr/libexec/cni:/usr/lib/cni:/opt/cni/bin"
#define CNI_STATE_DIR MOORED_STATE_DIR "/cni"
#define CNI_NETNS_DIR MOORED_RUNTIME_DIR "/cni-netns"
/* A start has 90 s: for a chain that hangs, and for what undoes it. */
#define CNI_CHAIN_USEC (UINT64_C(30) * 1000000)
#define CNI_ATTACHMENTS_MAX 64U
#define CNI_REQUEST_MAX (1U << 20)
#define CNI_RECORD_MAX (CNI_ATTACHMENTS_MAX * (CNI_FILE_SIZE_MAX / 8))

typedef struct CniPlaces {
        const char *conf_dir;    /* network configurations */
        const char *plugin_path; /* directories, ":" between them */
        const char *state_dir;   /* what is attached: a file for each container */
        const char *netns_dir;   /* the names of namespaces, while plug-ins look at them */
        uint64_t chain_usec;     /* that the plug-ins have together; once more to undo what they did */
} CniPlaces;

/* -- cni-files.c -- */
/* In lexical order, the first file (.conflist, .conf, .json) of that name. "NoSuchNetwork" says which there are, and which file cannot
 * be understood; with it all, what a directory NAME beside it has. */
int cni_find(const char *dir, const char *name, CniConf *ret, Error *reterr_error);
/* An executable file. "NoSuchPlugin" */
int cni_find_plugin(const char *path, const char *type, const char *network, char **ret, Error *reterr_error);

/* -- cni-chain.c -- */
typedef struct CniCall {
        CniCommand command;
        const char *container, *netns, *interface; /* NULL: not told */
        const char *plugin_path;
        uint64_t deadline_usec; /* CLOCK_MONOTONIC */
        json_t *capabilities;   /* borrowed, as are the next: see cni_request() */
        json_t *previous;       /* what the last ADD gave; NULL */
        json_t *attachments;
} CniCall;
/* The plug-ins of a network, one after the other; ret_result for ADD only. What it does not know, or does not want, is not
 * done. "PluginFailed", "PluginTimeout", "NoSuchPlugin", "BadPluginAnswer": each names the plug-in and what it said. */
int cni_chain(const CniConf *conf, const CniCall *call, json_t **ret_result, Error *reterr_error);

/* -- cni-record.c -- */
typedef struct CniAttachment {
        CniConf conf;
        char *interface;
        json_t *capabilities; /* NULL: none */
        json_t *result;       /* NULL: ADD was begun, and not seen to end well */
} CniAttachment;

typedef struct CniRecord {
        char *container; /* CNI_CONTAINERID */
        char *netns_id;  /* of which network namespace: it is another after each start */
        CniAttachment *attachments;
        size_t n_attachments;
} CniRecord;
void cni_record_done(CniRecord *r);
/* Appends; takes conf and capabilities over, on success. */
int cni_record_add(CniRecord *r, CniConf *conf, const char *interface, json_t *capabilities);
/* -ENOENT: there is none. */
int cni_record_read(int dir_fd, const char *container, CniRecord *ret, Error *reterr_error);
/* On disk when it returns. Without attachments: the file goes. */
int cni_record_write(int dir_fd, const CniRecord *r, Error *reterr_error);

/* -- cni-attach.c -- */
/* request: {"command", "container", "attachments": [{"network", "interface", "capabilities"}]}; no attachments for DEL and CHECK, which
 * are of what is recorded; "network" in place of both for STATUS and GC. netns: of the container; -EBADF: it is gone, or there is none.
 *
 * ADD is done once for each namespace: who asks again gets the same answer. If it fails nothing of it is left, but what a plug-in
 * failed to undo: that is tried again by the next DEL or ADD. ret: {"results": […]}, for ADD. */
int cni_serve_request(const CniPlaces *places, json_t *request, int netns, json_t **ret, Error *reterr_error);

/* -- cni-serve.c: the verb; 0 is the connection -- */
int cni_serve(char *argv[], Error *reterr_error);
