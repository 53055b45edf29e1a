/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The texts of the Container Network Interface, specification 1.1: network configurations (what an administrator has written), what
 * a plug-in is told on its standard input, what it answers, and what is written down of that. Bounded; nothing is executed here, and
 * only cni-files.c reads files. */

#include "basic/json.h"

#define CNI_FILE_SIZE_MAX (1U << 20)   /* of a configuration */
#define CNI_OUTPUT_SIZE_MAX (1U << 20) /* of a plug-in's answer */
#define CNI_FILES_MAX 256U             /* in a directory */
#define CNI_FILES_SIZE_MAX (4U << 20)  /* of all of them */
#define CNI_PLUGINS_MAX 32U            /* in a chain */
#define CNI_NAME_MAX 64U
#define CNI_INTERFACES_MAX 64U /* in a result; the same for each list in it */
#define CNI_ROUTES_MAX 1024U
#define CNI_CONTAINER_ID_MAX 200U
#define CNI_ATTACHMENTS_MAX 64U /* of a container */
#define CNI_RECORD_MAX (CNI_ATTACHMENTS_MAX * (CNI_FILE_SIZE_MAX / 8))
#define CNI_RECORD_SUFFIX ".json"

#define CNI_CONF_DIR "/etc/cni/net.d"
#define CNI_PLUGIN_PATH "/usr/local/lib/cni:/usr/libexec/cni:/usr/lib/cni:/opt/cni/bin"

typedef enum CniCommand {
        CNI_ADD,
        CNI_DEL,
        CNI_CHECK,
        CNI_STATUS,
        CNI_GC,
        _CNI_COMMAND_MAX,
        _CNI_COMMAND_INVALID = -EINVAL,
} CniCommand;
DECLARE_STRING_TABLE(cni_command, CniCommand);

/* Of a network, and of what CNI_CONTAINERID has: begins with a letter or a digit, goes on with these, "_", "." and "-". */
bool cni_name_is_valid(const char *s);
bool cni_container_id_is_valid(const char *s);

typedef struct CniConf {
        char *name;
        char *version; /* the highest of those that it and we have */
        bool disable_check, disable_gc;
        bool only_inlined; /* nothing is read from the directory NAME beside the file */
        json_t *plugins;   /* array of objects, each with a "type" that is a file's name; owned */
} CniConf;
void cni_conf_done(CniConf *c);

/* A list of plug-ins, or the only one ("type" in place of "plugins"). "BadNetworkConfiguration" */
int cni_conf_parse(const char *text, size_t n, CniConf *ret, Error *reterr_error);
/* One more plug-in, from a file of its own. */
int cni_conf_append(CniConf *c, const char *text, size_t n, Error *reterr_error);
const char *cni_conf_plugin(const CniConf *c, size_t i); /* its type; NULL: there is none */
/* Of the version that was chosen: CHECK came with 0.4.0, GC and STATUS with 1.1.0. */
bool cni_conf_knows(const CniConf *c, CniCommand command);
/* One of its plug-ins at least declares it. */
bool cni_conf_has_capability(const CniConf *c, const char *capability);
/* As it is recorded, and back: the chain is the same for DEL as for ADD whatever is in the file by then. */
int cni_conf_to_json(const CniConf *c, json_t **ret);
int cni_conf_from_json(json_t *j, CniConf *ret, Error *reterr_error);

/* What the plug-in i reads. capabilities: what there is to tell ("portMappings", …); it gets those that it declares. previous: NULL
 * or a result. attachments: for GC, array of {"containerID", "ifname"}. */
int cni_request(const CniConf *c, size_t i, CniCommand command, json_t *capabilities, json_t *previous, json_t *attachments,
                json_t **ret);

typedef struct CniAddress {
        char *prefix;      /* "10.1.0.5/16" */
        char *gateway;     /* or NULL */
        int64_t interface; /* index; -1: not said */
} CniAddress;

typedef struct CniInterface {
        char *name;
        char *mac;     /* or NULL */
        char *sandbox; /* or NULL: on the host */
} CniInterface;

typedef struct CniResult {
        json_t *json; /* all of it, as the next plug-in gets it; owned */
        CniInterface *interfaces;
        size_t n_interfaces;
        CniAddress *addresses;
        size_t n_addresses;
        char **servers, **search, **options;
        char *domain;
} CniResult;
void cni_result_done(CniResult *r);
/* Of ADD, of versions 0.3.0 to 1.1.0; becomes one of version. "BadPluginAnswer" */
int cni_result_parse(const char *text, size_t n, const char *version, CniResult *ret, Error *reterr_error);
int cni_result_from_json(json_t *j, const char *version, CniResult *ret, Error *reterr_error);

typedef struct CniFailure {
        int64_t code;
        char *message;
        char *details; /* or NULL */
} CniFailure;
void cni_failure_done(CniFailure *f);
/* What a plug-in says of its failure; -EBADMSG: something else. */
int cni_failure_parse(const char *text, size_t n, CniFailure *ret);

/* -- cni-record.c: what a container is attached to -- */
typedef struct CniAttachment {
        CniConf conf;
        char *interface;
        json_t *capabilities; /* NULL: none */
        json_t *result;       /* NULL: ADD was begun, and not seen to end well */
        json_t *partial;      /* then, what its first plug-ins had given; NULL: nothing */
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
int cni_record_parse(const char *text, size_t n, CniRecord *ret, Error *reterr_error);
int cni_record_from_json(json_t *j, CniRecord *ret, Error *reterr_error);
int cni_record_to_json(const CniRecord *r, json_t **ret);
bool cni_record_is_complete(const CniRecord *r); /* all have been attached */

/* An interface in the container. Borrowed. */
typedef struct CniShown {
        const char *network, *name;
        const char *mac;  /* or NULL */
        char **addresses; /* with their prefixes */
} CniShown;
typedef int (*CniShownFunc)(const CniShown *s, void *userdata);
/* As the plug-ins have answered; of what is not attached there is none. func's negative result ends it and is returned. */
int cni_attachment_foreach(const CniAttachment *a, CniShownFunc func, void *userdata);

/* -- cni-files.c -- */
/* In lexical order, the first file (.conflist, .conf, .json) of that name. "NoSuchNetwork" says which there are, and which file cannot
 * be understood; with it all, what a directory NAME beside it has. */
int cni_find(const char *dir, const char *name, CniConf *ret, Error *reterr_error);
/* With conf NULL error says what is wrong with the file. */
typedef int (*CniFileFunc)(const char *file, const CniConf *conf, const Error *error, void *userdata);
/* All of them, in that order. A name that another file had before is left out. func's negative result ends it and is returned. */
int cni_foreach(const char *dir, CniFileFunc func, void *userdata, Error *reterr_error);
/* An executable file. "NoSuchPlugin" */
int cni_find_plugin(const char *path, const char *type, const char *network, char **ret, Error *reterr_error);
int cni_find_plugins(const char *path, const CniConf *conf, Error *reterr_error); /* all of a chain */
