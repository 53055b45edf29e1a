/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* state and list: what is known of containers. */

#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "runtime/container.h"
#include "runtime/report.h"

/* What the specification has, and what runc and crun add. */
static json_t *describe(int dir_fd, const ContainerState *s) {
        _cleanup_free_ char *created = NULL, *owner = NULL;
        _cleanup_json_ json_t *o = NULL;

        created = format_rfc3339(s->created_usec);
        owner = s->owner ? strdup(s->owner) : state_owner(dir_fd);
        o = state_to_oci(s, state_status(dir_fd, s));
        if (!created || !owner || !o || json_object_set_new(o, "rootfs", json_string(s->rootfs)) < 0 ||
            json_object_set_new(o, "created", json_string(created)) < 0 ||
            json_object_set_new(o, "owner", json_string(owner)) < 0)
                return NULL;
        if (s->scope && json_object_set_new(o, "systemd-scope", json_string(s->scope)) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int print_json(json_t *j, size_t flags, Error *reterr_error) {
        _cleanup_free_ char *text = json_dumps(j, flags);

        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (puts(text) < 0 || fflush(stdout) != 0)
                return error_set_errno(reterr_error, -errno, "Cannot write to stdout: %m");
        return 0;
}

int command_state(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        static const struct option options[] = { COMMAND_OPTION_HELP, {} };
        _cleanup_(container_done) Container c = CONTAINER_NULL;
        _cleanup_json_ json_t *o = NULL;
        int r;

        r = command_option(argc, argv, "+:h", options, reterr_error);
        if (r >= 0)
                r = command_check_arguments(argc, argv, 1, 1, reterr_error);
        if (r < 0)
                return r;

        r = container_open(g, argv[optind], false, &c, reterr_error);
        if (r < 0)
                return r;
        o = describe(c.dir_fd, &c.state);
        if (!o)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return print_json(o, JSON_INDENT(2), reterr_error);
}

/* One entry of a list. */
static void print_row(json_t *o, int id_width) {
        printf("%-*s   %-9" JSON_INTEGER_FORMAT "   %-9s   %-30s   %-30s   %s\n", id_width,
               json_get_string(o, "id"), json_integer_value(json_object_get(o, "pid")),
               json_get_string(o, "status"), json_get_string(o, "bundle"), json_get_string(o, "created"),
               json_get_string(o, "owner"));
}

static void print_table(json_t *list) {
        int width = 9;
        json_t *o;
        size_t i;

        json_array_foreach (list, i, o)
                width = MAX(width, (int) strlen(json_get_string(o, "id")));

        printf("%-*s   %-9s   %-9s   %-30s   %-30s   %s\n", width, "ID", "PID", "STATUS", "BUNDLE",
               "CREATED", "OWNER");
        json_array_foreach (list, i, o)
                print_row(o, width);
}

/* Containers that go away meanwhile, or are being made, are no error. */
static int collect(int root_fd, char *const *ids, json_t *list, Error *reterr_error) {
        STRV_FOREACH (id, ids) {
                _cleanup_(container_state_done) ContainerState s = {};
                _cleanup_close_ int dir_fd = -EBADF;
                _cleanup_error_ Error e = ERROR_NULL;
                int r;

                dir_fd = state_dir_open(root_fd, id, false, &e);
                r = dir_fd < 0 ? dir_fd : state_read(dir_fd, id, &s, &e);
                if (r < 0) {
                        if (r != -ENOENT)
                                report_warning("%s", error_message(&e));
                        continue;
                }
                if (json_array_append_new(list, describe(dir_fd, &s)) < 0)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        }
        return 0;
}

typedef enum ListFormat {
        LIST_TABLE,
        LIST_JSON,
        LIST_QUIET,
} ListFormat;

static int parse_list(int argc, char *argv[], ListFormat *ret, Error *reterr_error) {
        static const struct option options[] = {
                COMMAND_OPTION_HELP,
                { "format", required_argument, NULL, 'f' },
                { "quiet", no_argument, NULL, 'q' },
                {},
        };
        ListFormat format = LIST_TABLE;
        bool quiet = false;
        int c;

        while ((c = command_option(argc, argv, "+:hf:q", options, reterr_error)) > 0)
                if (c == 'q')
                        quiet = true;
                else if (streq(optarg, "table") || streq(optarg, "json"))
                        format = streq(optarg, "json") ? LIST_JSON : LIST_TABLE;
                else
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "--format=%s: the formats are \"table\" and \"json\".", optarg);
        if (c < 0)
                return c;

        *ret = quiet ? LIST_QUIET : format;
        return command_check_arguments(argc, argv, 0, 0, reterr_error);
}

int command_list(const GlobalOptions *g, int argc, char *argv[], Error *reterr_error) {
        _cleanup_json_ json_t *list = json_array();
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_close_ int root_fd = -EBADF;
        ListFormat format = LIST_TABLE;
        int r;

        r = parse_list(argc, argv, &format, reterr_error);
        if (r < 0)
                return r;

        /* No directory: there has not been any container yet. */
        if (access(g->root, F_OK) >= 0 || errno != ENOENT) {
                root_fd = state_root_open(g->root, false, reterr_error);
                if (root_fd < 0)
                        return root_fd;
                r = state_list(root_fd, &ids);
                if (r < 0)
                        return error_set_errno(reterr_error, r, "Cannot read the directory \"%s\": %m",
                                               g->root);
        }

        r = collect(root_fd, ids, list, reterr_error);
        if (r < 0)
                return r;
        if (format == LIST_JSON)
                return print_json(list, JSON_COMPACT, reterr_error);
        if (format == LIST_TABLE)
                print_table(list);
        else {
                json_t *o;
                size_t i;

                json_array_foreach (list, i, o)
                        puts(json_get_string(o, "id"));
        }
        if (fflush(stdout) != 0)
                return error_set_errno(reterr_error, -errno, "Cannot write to stdout: %m");
        return 0;
}
