/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the files of store/ (and its tests): the connection, and how a statement is run. */

#include <sqlite3.h>

#include "store/store.h"

#define STATEMENTS_MAX 96U

struct Store {
        sqlite3 *db;
        unsigned depth; /* of nested transactions */
        bool doomed;    /* an inner one was rolled back: the outermost cannot commit any more */
        int synchronous; /* as last set: 1 NORMAL, 2 FULL */
        bool unclean;
        void (*ended)(bool committed, void *userdata);
        void *ended_userdata;
        struct {
                const char *sql; /* a literal: found again by its address */
                sqlite3_stmt *stmt;
        } statements[STATEMENTS_MAX];
        size_t n_statements;
        /* The caller's, while garbage is collected. */
        bool (*pinned)(const char *digest, void *userdata);
        void *pinned_userdata;
};

/* A statement in use. types has a letter for each argument: s (const char *, NULL is NULL), u (uint64_t, at
 * most INT64_MAX is kept), i (int64_t), b (int, as a bool). Strings must stay until query_done(). */
typedef struct Query {
        Store *store;
        sqlite3_stmt *stmt;
        bool temporary;
} Query;
int query_begin(Query *q, Store *s, const char *sql, const char *types, ...);
/* 1: a row, 0: no more. */
int query_step(Query *q);
void query_done(Query *q);
#define _cleanup_query_ _cleanup_(query_done)

/* NULL stays NULL. */
int query_string(Query *q, int column, char **ret);
uint64_t query_uint64(Query *q, int column);
bool query_bool(Query *q, int column);

/* Runs one statement that writes, in a transaction of its own if none is open. Returns how many rows
 * changed. */
int store_write(Store *s, bool durable, const char *sql, const char *types, ...);
int store_errno(Store *s, int code);

/* "key=value" lists as a JSON object. */
int labels_to_json(char *const *labels, char **ret);
int query_labels(Query *q, int column, char ***ret);

/* Once for a connection: what store_collect_garbage() needs in it. */
int store_gc_setup(Store *s);
