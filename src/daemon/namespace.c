/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "daemon/namespace.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"

/* A namespace is a name and labels: what belongs to it is found by that name. It goes only when nothing
 * has it any more, so no other table ever holds the name of a namespace that does not exist. */

struct NamespaceTable {
        Store *store;                 /* weak, as all below */
        Events *events;
        JobManager *jobs;
        ImageManager *images;
        ContainerManager *containers;
        NetworkManager *networks;
        Hashmap *rows;                /* name → NamespaceRow*, owned */
};

bool namespace_name_is_valid(const char *name) {
        return !isempty(name) && strlen(name) <= NAMESPACE_NAME_MAX &&
               string_in_charset(name, UPPERCASE LOWERCASE DIGITS "_.-") && !strchr("_.-", name[0]);
}

static NamespaceRow *row_free(NamespaceRow *row) {
        if (row)
                namespace_row_done(row);
        free(row);
        return NULL;
}
DEFINE_CLEANUP_FUNC(NamespaceRow *, row_free)

static int table_put(NamespaceTable *t, NamespaceRow *row) {
        int r = hashmap_put(t->rows, row->name, row);

        return r < 0 ? r : 0;
}

static int load_row(const NamespaceRow *row, void *userdata) {
        _cleanup_(row_freep) NamespaceRow *copy = calloc(1, sizeof(*copy));
        int r;

        if (!copy)
                return -ENOMEM;
        *copy = (NamespaceRow) { .name = strdup(row->name),
                                .labels = strv_copy(row->labels),
                                .created_usec = row->created_usec };
        if (!copy->name || (strv_length(row->labels) > 0 && !copy->labels))
                return -ENOMEM;

        r = table_put(userdata, copy);
        if (r >= 0)
                TAKE_PTR(copy);
        return r;
}

static const NamespaceRow *table_find(void *namespaces, const char *name, Error *reterr_error) {
        NamespaceTable *t = namespaces;
        const NamespaceRow *row = hashmap_get(t->rows, name);

        if (!row)
                (void) error_set(reterr_error, -ENXIO, "NoSuchNamespace",
                                 "There is no namespace “%s”; moorctl namespace lists them.", name);
        return row;
}

static bool table_iterate(void *namespaces, HashmapIterator *i, const NamespaceRow **ret) {
        NamespaceTable *t = namespaces;
        void *row;

        if (!hashmap_iterate(t->rows, i, NULL, &row))
                return false;

        *ret = row;
        return true;
}

static int check_new(NamespaceTable *t, const char *name, Error *reterr_error) {
        if (!namespace_name_is_valid(name))
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "“%s” is no name for a namespace: use letters, digits, “_”, “.” and “-”, "
                                 "beginning with a letter or a digit, at most %u characters.",
                                name, NAMESPACE_NAME_MAX);
        if (hashmap_get(t->rows, name))
                return error_set(reterr_error, -EEXIST, "NamespaceExists",
                                 "There is a namespace “%s” already.", name);
        if (hashmap_size(t->rows) >= NAMESPACES_MAX)
                return error_set(reterr_error, -EBUSY, "LimitsExceeded",
                                 "There are %u namespaces; there can be no more.", NAMESPACES_MAX);
        return 0;
}

static int table_create(void *namespaces, const char *name, char ***labels, const NamespaceRow **ret,
                        Error *reterr_error) {
        _cleanup_(row_freep) NamespaceRow *row = NULL;
        NamespaceTable *t = namespaces;
        int r;

        r = check_new(t, name, reterr_error);
        if (r < 0)
                return r;

        row = calloc(1, sizeof(*row));
        if (!row)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        *row = (NamespaceRow) {
                .name = strdup(name),
                .labels = strv_copy(*labels),
                .created_usec = now_usec(CLOCK_REALTIME),
        };
        if (!row->name || (strv_length(*labels) > 0 && !row->labels))
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = table_put(t, row);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Namespace “%s” cannot be kept: %m", name);
        r = store_namespace_add(t->store, row);
        if (r < 0) {
                (void) hashmap_remove(t->rows, name);
                return error_set_errno(reterr_error, r, "Namespace “%s” cannot be stored: %m", name);
        }

        *labels = strv_free(*labels);
        *ret = row;
        events_notify(t->events, NOTIFY_NAMESPACE_ADDED, row->name, row->name, row);
        (void) events_record(t->events, row->name, "namespace/created", row->name, NULL);
        TAKE_PTR(row);
        return 0;
}

static bool has_running_job(NamespaceTable *t, const char *name) {
        HashmapIterator i = 0;
        Job *j;

        while (job_manager_iterate(t->jobs, &i, &j))
                if (j->state == JOB_RUNNING && streq_ptr(j->ns, name))
                        return true;

        return false;
}

static int table_remove(void *namespaces, const char *name, Error *reterr_error) {
        _cleanup_(row_freep) NamespaceRow *row = NULL;
        NamespaceTable *t = namespaces;
        size_t n_images, n_containers, n_networks;
        Network *network;
        int r;

        if (!table_find(t, name, reterr_error))
                return -ENXIO;
        if (streq(name, NAMESPACE_DEFAULT))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The namespace “%s” always exists.", name);

        n_images = image_count(t->images, name);
        n_containers = container_count(t->containers, name);
        n_networks = network_count(t->networks, name);
        if (n_images > 0 || n_containers > 0 || n_networks > 0)
                return error_set(reterr_error, -ENOTEMPTY, "NamespaceNotEmpty",
                                 "Namespace “%s” still has %zu images, %zu containers and %zu networks: remove them first.", name,
                                 n_images, n_containers, n_networks);

        /* What it makes would belong to nobody. */
        if (has_running_job(t, name))
                return error_set(reterr_error, -EBUSY, "NamespaceNotEmpty",
                                 "A job works for namespace “%s”: wait for it, or cancel it.", name);

        /* Nobody has asked for that one by name. */
        network = network_find(t->networks, name, NETWORK_DEFAULT, NULL);
        if (network) {
                r = network_remove(network, reterr_error);
                if (r < 0)
                        return r;
        }

        r = store_namespace_remove(t->store, name);
        if (r == -ENOTEMPTY)
                return error_set(reterr_error, r, "NamespaceNotEmpty", "Namespace “%s” is still in use.",
                                 name);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(reterr_error, r, "Namespace “%s” cannot be removed: %m", name);

        row = hashmap_remove(t->rows, name);
        events_notify(t->events, NOTIFY_NAMESPACE_REMOVED, row->name, row->name, NULL);
        (void) events_record(t->events, row->name, "namespace/removed", row->name, NULL);
        return 0;
}

int namespace_table_new(Store *store, Events *events, JobManager *jobs, ImageManager *images,
                        ContainerManager *containers, NetworkManager *networks, NamespaceTable **ret,
                        Error *reterr_error) {
        _cleanup_(namespace_table_freep) NamespaceTable *t = NULL;
        const NamespaceRow *row;
        char **labels = NULL;
        int r;

        t = calloc(1, sizeof(*t));
        if (!t)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        *t = (NamespaceTable) {
                .store = store,
                .events = events,
                .jobs = jobs,
                .images = images,
                .containers = containers,
                .networks = networks,
                .rows = hashmap_new(),
        };
        if (!t->rows)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");

        r = store_namespace_foreach(store, load_row, t);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The namespaces cannot be loaded: %m");
        if (!hashmap_get(t->rows, NAMESPACE_DEFAULT)) {
                r = table_create(t, NAMESPACE_DEFAULT, &labels, &row, reterr_error);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(t);
        return 0;
}

NamespaceTable *namespace_table_free(NamespaceTable *t) {
        void *row;

        if (!t)
                return NULL;

        for (HashmapIterator i = 0; hashmap_iterate(t->rows, &i, NULL, &row);)
                row_free(row);
        hashmap_free(t->rows);
        free(t);
        return NULL;
}

const NamespaceOps namespace_table_ops = {
        .find = table_find,
        .iterate = table_iterate,
        .create = table_create,
        .remove = table_remove,
};
