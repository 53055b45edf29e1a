/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Containers on networks of CNI plug-ins: their namespaces, and who is asked to attach and to detach them (mooring cni, in a unit of
 * its own for each thing to be done; runtime/cni.h has what it is told). Nothing here blocks.
 *
 *   cni_manager_add()    a start: namespace, then ADD ─▶ the launcher's answer
 *   cni_manager_del()    an end, or a start that has failed: DEL, with the namespace if that is there, then it goes
 *   cni_manager_tend()   CHECK, DEL of what is left, GC
 *
 * For one container these are done one after the other, as they came. A namespace is kept in the service manager's store of descriptors
 * from before ADD to after DEL, as many plug-ins can undo things only while it is there. What is attached mooring writes down
 * itself: a moored that was killed finds there what is to be detached. */

#include <systemd/sd-event.h>

#include "basic/json.h"
#include "oci/cni.h"
#include "terminal/terminal.h"

#define CNI_AT_ONCE_MAX 16U /* that are asked at the same time: others wait */

typedef struct CniManager CniManager;

/* netns: borrowed; -EBADF: error says why. */
typedef void (*CniFunc)(const char *key, int netns, const Error *error, void *userdata);

/* store NULL: nothing is kept. make_netns: a namespace with its loopback device up; tests have another. */
int cni_manager_new(sd_event *event, const TerminalStore *store, void *store_userdata, const char *socket_path,
                    const char *state_dir, int (*make_netns)(Error *reterr_error), CniManager **ret);
CniManager *cni_manager_free(CniManager *m);
DEFINE_CLEANUP_FUNC(CniManager *, cni_manager_free)
/* As terminal_manager_adopt(). */
int cni_manager_adopt(CniManager *m, const char *name, int fd);
/* Once: what is attached, and is not wanted, is detached. func: where all answers go. wanted: is also asked later. */
int cni_manager_recovered(CniManager *m, CniFunc func, bool (*wanted)(const char *key, void *userdata), void *userdata);
/* After that, of one that is attached and runs: is its namespace not kept (the store was emptied)? And here it is; nothing happens if that is
 * wanted no more. It may be another: mooring knows by it whether it is the one. */
bool cni_manager_misses_netns(const CniManager *m, const char *key);
int cni_manager_keep_netns(CniManager *m, const char *key, int netns);

/* When somebody asks: what is attached is checked (CHECK), and what is not right said in the log; what could not be undone is tried again;
 * then their networks may collect what nobody uses any more (GC), as they may in the beginning. */
void cni_manager_tend(CniManager *m);
/* For tests: between a DEL that has failed and the next. */
void cni_manager_set_retry(CniManager *m, uint64_t usec);

/* What plug-ins know a container by; to be freed. */
char *cni_key(const char *ns, const char *id);
/* func follows, later or at once; not if cni_manager_del() comes first. attachments: as in a request, a reference is taken. Who asks again
 * before the next cni_manager_del() gets the same. */
int cni_manager_add(CniManager *m, const char *key, json_t *attachments);
void cni_manager_del(CniManager *m, const char *key); /* nothing happens if it is not known */

/* What it has, as plug-ins have answered, until cni_manager_del(). func's negative result ends it and is returned. */
int cni_manager_foreach(const CniManager *m, const char *key, CniShownFunc func, void *userdata);

/* make_netns, as it is. */
int cni_make_netns(Error *reterr_error);
