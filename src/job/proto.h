/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What moored and its helpers say to each other.
 *
 * A helper is started as `moored-helper VERB`; descriptors:
 *   0   a sealed memfd with the request: one JSON object (see below)
 *   1   /dev/null
 *   2   the daemon's stderr (the journal)
 *   3   a SOCK_SEQPACKET socket: messages in both directions
 *   4…  what the verb needs (see below)
 *
 * A message is one datagram of at most PROTO_MESSAGE_MAX bytes: lines "KEY=value" separated by "\n"; the
 * first is "TYPE=…". Values contain no control characters. Descriptors travel beside it. A helper ends with
 * exit status 0 after its work is done, and with 1 after it has sent a TYPE=error message. It ends at once
 * when the socket is closed by the daemon.
 *
 * Every verb may send:
 *   TYPE=error NAME=… ERRNO=… MESSAGE=…        final
 *   TYPE=progress [DIGEST=…] DONE=… TOTAL=…    at most four a second for each part
 *
 * fetch     request {"scheme","host","registry","repository","reference","caFile"?,"userAgent","retries",
 *                    "retryDelayMSec","connectTimeoutSec","lowSpeedTimeSec","maxConcurrent"};
 *           no further descriptors. First thing, it fetches manifests/<reference>. Then it serves requests
 *           until the socket is closed:
 *   ←  TYPE=manifest DIGEST= SIZE= MEDIA_TYPE=  + a sealed memfd: what was asked for, its digest computed
 *                                                 (and checked where it was asked for by digest), validated
 *                                                 by the parsers of src/oci
 *   →  TYPE=get-manifest DIGEST= MEDIA_TYPE= SIZE=
 *   →  TYPE=get-blob DIGEST= SIZE= OFFSET=      + descriptor of the ingest (O_RDWR): OFFSET bytes are there
 *                                                 already and are hashed first; the rest is asked for with
 *                                                 Range:; a server that ignores it is dealt with
 *   ←  TYPE=blob-done DIGEST= SIZE= REUSED=     digest verified, fdatasync'ed, the helper's descriptor is
 *                                               closed
 *   ←  TYPE=blob-failed DIGEST= NAME= ERRNO= MESSAGE=   after the retries; other blobs go on
 *
 * unpack    request {"mediaType","diffId","maxBytes","maxEntries","devices":bool,"bottom":bool,"lower"?};
 *           4 = blob (O_RDONLY), 5 = the layer's directory. bottom: there is no layer below; lower: the
 *           directories of those that are, topmost first, by names relative to the parent of the parent of
 *           5. Without it, and not at the bottom, the layer is unpacked before those below are there.
 *   ←  TYPE=unpacked DIFF_ID= SIZE= ENTRIES= ROOT=     tree complete; DiffID verified. Not synced. ROOT: 1
 *                                               if the root directory has an entry (owner, mode), else 0.
 *                                               + a sealed memfd, for settle, if the tree depends on the
 *                                               layers below: it is complete only after that
 *   ←  TYPE=error NAME=LowerNeeded              it depends on them more than settle could mend: to be called
 *                                               again, with an empty directory and with lower
 *
 * settle    request {"lower"}; 4 = the memfd (not trusted), 5 = the layer's directory. Ends with status 0
 *           when the tree is complete
 *   ←  TYPE=error NAME=LowerNeeded              as above
 *
 * import    request {"maxBytes",...}; 4 = the archive (file, pipe or socket)
 *   ←  TYPE=want-ingest KEY=                    a blob begins (KEY: a running number)
 *   →  TYPE=ingest KEY=                         + descriptor (O_RDWR, empty)
 *   ←  TYPE=blob-done KEY= DIGEST= SIZE= MEDIA_TYPE=    digest computed (and checked against the name in
 *                                                       the archive), synced, closed
 *   ←  TYPE=image NAME= DIGEST= MEDIA_TYPE= SIZE=       once for each name found (NAME may be missing);
 *                                                       after its blobs
 *
 * remove    request {}; 4 = the trash directory: everything in it is deleted
 * sync      request {}; 4 = a directory: syncfs()
 */

#include "basic/error.h"
#include "basic/fd-util.h"

/* What to do about NoSpace, in front of what could not be written. */
#define PROTO_NO_SPACE "The file system of " MOORED_STATE_DIR " is full, see moorctl gc"

#define PROTO_MESSAGE_MAX 16384U
#define PROTO_FIELDS_MAX 32U
#define PROTO_LIST_MAX 1048576U /* bytes of the memfd for settle */
#define PROTO_SOCKET_FD 3
#define PROTO_FIRST_FD 4

typedef struct ProtoMessage {
        char *buffer;                       /* owned; keys and values point into it */
        const char *keys[PROTO_FIELDS_MAX];
        const char *values[PROTO_FIELDS_MAX];
        size_t n_fields;
        int fds[FDS_MAX];                   /* owned */
        size_t n_fds;
} ProtoMessage;

void proto_message_done(ProtoMessage *m);
#define _cleanup_proto_message_ _cleanup_(proto_message_done)

/* fields: NULL-terminated "KEY", "value" pairs; control characters in values are replaced by "?". fds are
 * borrowed. */
int proto_send(int sock, const int *fds, size_t n_fds, const char *type, ...) __attribute__((__sentinel__));
/* 1: *ret is filled; 0: the other side has closed; -EAGAIN; -EBADMSG for what is no message. */
int proto_receive(int sock, ProtoMessage *ret, bool wait);
const char *proto_get(const ProtoMessage *m, const char *key); /* NULL if absent */
int proto_get_uint64(const ProtoMessage *m, const char *key, uint64_t *ret);
int proto_take_fd(ProtoMessage *m, size_t i); /* -EBADF if there is none */
int proto_send_error(int sock, const Error *e);
/* From TYPE=error or TYPE=blob-failed. */
int proto_get_error(const ProtoMessage *m, Error *ret);
/* A key as a number in decimal, for the pairs of proto_send(). */
#define PROTO_U64_MAX 24
char *proto_u64(char buf[static PROTO_U64_MAX], uint64_t v);
