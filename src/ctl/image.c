/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* pull, import, images, tag, rmi. */

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "ctl/bus-util.h"
#include "ctl/directory-tar.h"
#include "ctl/job.h"
#include "ctl/terminal.h"

#define DIGEST_CHARS 12

/* Says what a job has made: the name on stdout, the rest on stderr. */
static int print_made(Ctl *c, const char *path, uint64_t begin_usec, const char *verb, Error *reterr_error) {
        char size[FORMAT_BYTES_MAX];
        _cleanup_json_ json_t *image = NULL;
        int r;

        if (streq(path, "/"))
                return EXIT_SUCCESS;
        r = ctl_get_all(c, path, BUS_IMAGE, &image, reterr_error);
        if (r < 0)
                return r;
        if (c->json != OUTPUT_OFF)
                return ctl_output(c, NULL, image, reterr_error);
        if (!c->quiet)
                fprintf(stderr, "%s %s, %s, in %.1f s\n", verb, strempty(json_get_string(image, "Digest")),
                        format_bytes(size, sizeof size,
                                     (uint64_t) json_integer_value(json_object_get(image, "Size"))),
                        (double) (now_usec(CLOCK_MONOTONIC) - begin_usec) / (double) USEC_PER_SEC);
        printf("%s\n", strempty(json_get_string(image, "Name")));
        return EXIT_SUCCESS;
}

/* -- pull -- */

typedef struct PullOptions {
        const char *platform;
} PullOptions;

static int pull_main(Ctl *c, char **argv, Error *reterr_error) {
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        _cleanup_free_ char **args = NULL;
        PullOptions o = {};
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        STRV_FOREACH(reference, args) {
                _cleanup_free_ char *path = NULL;

                r = job_pull(c, reference, o.platform, &path, reterr_error);
                if (r < 0)
                        return r;
                r = print_made(c, path, begin, "Pulled", reterr_error);
                if (r < 0)
                        return r;
        }
        return EXIT_SUCCESS;
}

static const Option pull_options[] = {
        { 0, "platform", "OS/ARCH[/VARIANT]", OPTION_STRING, offsetof(PullOptions, platform),
          .help = "Platform (default: the host's)" },
        OPTION_END,
};

const Verb verb_pull = {
        .name = "pull",
        .group = VERB_GROUP_IMAGES,
        .arguments = "[OPTION…] IMAGE…",
        .summary = "Fetch images from registries",
        .description =
                "Only what is not here yet is fetched; an interrupted pull goes on where it was. Progress is\n"
                "shown on stderr (-q: not); stdout gets the complete name. Ctrl-C cancels.\n\n"
                "Examples:\n"
                "  moorctl pull busybox                      (docker.io/library/busybox:latest)\n"
                "  moorctl pull 127.0.0.1:5000/debian:test\n"
                "  moorctl pull --platform=linux/arm64 alpine\n",
        .options = pull_options,
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = pull_main,
};

/* -- import -- */

typedef struct ImportOptions {
        const char *name, *platform;
        const char *path;
        pid_t writer; /* of a directory's archive; 0: none */
} ImportOptions;

static void import_end_writer(ImportOptions *o) {
        if (o->writer <= 0)
                return;
        (void) kill(o->writer, SIGTERM);
        (void) waitpid(o->writer, NULL, 0);
        o->writer = 0;
}

static int open_archive(ImportOptions *o, Error *reterr_error) {
        _cleanup_close_ int fd = -EBADF;
        const char *path = o->path;
        struct stat st;

        if (streq(path, "-")) {
                if (isatty(STDIN_FILENO))
                        return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                         "'-' reads an archive from standard input, which is a "
                                         "terminal: moorctl import - < FILE");
                fd = fd_dup(STDIN_FILENO);
        } else
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set(reterr_error, -errno, "Failed", "Cannot open %s: %m", path);
        if (S_ISDIR(st.st_mode)) {
                int pipe_fd;

                import_end_writer(o);
                pipe_fd = directory_tar_start(fd, &o->writer);
                return pipe_fd < 0 ? error_set(reterr_error, pipe_fd, "Failed", "Cannot read %s: %s", path,
                                               strerror(-pipe_fd))
                                   : pipe_fd;
        }
        return TAKE_FD(fd);
}

static int import_make(Ctl *c, sd_bus_message **ret, void *userdata, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = namespace_path(c->ns);
        _cleanup_close_ int fd = -EBADF;
        ImportOptions *o = userdata;
        int r;

        if (!path)
                return error_oom(reterr_error);
        fd = open_archive(o, reterr_error);
        if (fd < 0)
                return fd;
        r = ctl_new_call(c, path, BUS_NAMESPACE, "ImportImage", &m, reterr_error);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "h", fd);
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r >= 0 && o->name)
                r = sd_bus_message_append(m, "{sv}", "Name", "s", o->name);
        if (r >= 0 && o->platform)
                r = sd_bus_message_append(m, "{sv}", "Platform", "s", o->platform);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        *ret = TAKE_PTR(m);
        return 0;
}

static int import_main(Ctl *c, char **argv, Error *reterr_error) {
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        _cleanup_free_ char **args = NULL, *title = NULL, *path = NULL;
        ImportOptions o = {};
        JobRequest q = { .make = import_make, .userdata = &o };
        struct stat st;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        if (c->host)
                return error_set(reterr_error, -EOPNOTSUPP, "InvalidArgument",
                                 "An archive cannot be passed to %s: ssh %s moorctl import - < FILE", c->host, c->host);
        o.path = args[0];
        /* What was read from a pipe cannot be read again. */
        q.once = streq(o.path, "-") ||
                 (stat(o.path, &st) >= 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
        q.title = title = strjoin("Importing ", o.path);
        if (!title)
                return error_oom(reterr_error);
        r = job_run(c, &q, &path, reterr_error);
        import_end_writer(&o);
        if (r < 0)
                return r;
        return print_made(c, path, begin, "Imported", reterr_error);
}

static const Option import_options[] = {
        { 0, "name", "IMAGE", OPTION_STRING, offsetof(ImportOptions, name),
          .help = "Name it so, whatever the archive says" },
        { 0, "platform", "OS/ARCH[/VARIANT]", OPTION_STRING, offsetof(ImportOptions, platform),
          .help = "Platform (default: the host's)" },
        OPTION_END,
};

const Verb verb_import = {
        .name = "import",
        .group = VERB_GROUP_IMAGES,
        .arguments = "[OPTION…] PATH|-",
        .summary = "Take images from an archive or directory",
        .description =
                "PATH is an OCI image layout, as a directory or tar, or a tar made by docker save; '-' is\n"
                "standard input. Compressed archives are fine.\n\n"
                "Examples:\n"
                "  moorctl import --name=app:1 ./app-oci\n"
                "  docker save app:1 | moorctl import -\n",
        .options = import_options,
        .min_args = 1,
        .max_args = 1,
        .run = import_main,
};

/* -- images -- */

static int images_row(Table *t, json_t *image) {
        json_int_t created = json_integer_value(json_object_get(image, "CreatedUSec"));
        json_int_t size = json_integer_value(json_object_get(image, "Size"));
        const char *digest = strempty(json_get_string(image, "Digest")), *colon = strchr(digest, ':');
        char bytes[FORMAT_BYTES_MAX], age[64];
        _cleanup_strv_free_ char **platforms = NULL;
        _cleanup_free_ char *joined = NULL;
        json_t *platform;
        size_t i;
        int r;

        json_array_foreach(json_object_get(image, "Platforms"), i, platform)
                if (strv_extend(&platforms, strempty(json_string_value(platform))) < 0)
                        return -ENOMEM;
        joined = strv_join(platforms, ",");
        if (!joined)
                return -ENOMEM;

        r = table_add(t, json_get_string(image, "Name"));
        if (r >= 0)
                r = table_addf(t, "%.*s", DIGEST_CHARS, colon ? colon + 1 : digest);
        if (r >= 0)
                r = table_add(t, joined);
        if (r >= 0)
                r = table_add(t, created > 0 ? format_relative(age, sizeof age, (uint64_t) created) : NULL);
        return r < 0 ? r : table_add(t, format_bytes(bytes, sizeof bytes, (uint64_t) size));
}

static int images_show(Ctl *c, json_t *images, Error *reterr_error) {
        static const TableColumn columns[] = {
                { "NAME", TABLE_SHRINK }, { "DIGEST", 0 },         { "PLATFORM", TABLE_SHRINK },
                { "CREATED", 0 },         { "SIZE", TABLE_RIGHT }, {},
        };
        _cleanup_(table_freep) Table *t = table_new(columns);
        json_t *image;
        size_t i;

        if (!t)
                return error_oom(reterr_error);
        json_array_foreach(images, i, image)
                if (images_row(t, image) < 0)
                        return error_oom(reterr_error);
        return ctl_output(c, t, images, reterr_error);
}

static int images_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_free_ char **args = NULL, *path = NULL;
        _cleanup_json_ json_t *images = NULL;
        const char *name, *object;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        path = namespace_path(c->ns);
        if (!path)
                return error_oom(reterr_error);
        r = ctl_call(c, path, BUS_NAMESPACE, "ListImages", &reply, reterr_error, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "(so)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(so)", &name, &object)) > 0) {
                if (c->quiet && c->json == OUTPUT_OFF)
                        printf("%s\n", name);
                else if (strv_extend(&paths, object) < 0)
                        return error_oom(reterr_error);
        }
        if (r < 0)
                return bus_error_to_error(NULL, r, reterr_error);
        if (c->quiet && c->json == OUTPUT_OFF)
                return EXIT_SUCCESS;

        r = ctl_get_all_many(c, paths, BUS_IMAGE, &images, reterr_error);
        if (r < 0)
                return r;
        return images_show(c, images, reterr_error);
}

const Verb verb_images = {
        .name = "images",
        .group = VERB_GROUP_IMAGES,
        .summary = "List images",
        .description =
                "SIZE is what the compressed layers take. -q prints the names only, --json all properties.\n\n"
                "Example:\n"
                "  moorctl images --json=pretty\n",
        .run = images_main,
};

/* -- tag, rmi -- */

static int tag_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL, *path = NULL;
        int r;

        r = ctl_parse(c, argv, NULL, &args, reterr_error);
        if (r <= 0)
                return r;
        path = namespace_path(c->ns);
        if (!path)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        return ctl_call(c, path, BUS_NAMESPACE, "TagImage", NULL, reterr_error, "ss", args[0], args[1]);
}

const Verb verb_tag = {
        .name = "tag",
        .group = VERB_GROUP_IMAGES,
        .arguments = "IMAGE NAME",
        .summary = "Give an image another name",
        .description = "Both names stay; a name that was another image's moves.\n\n"
                       "Example:\n"
                       "  moorctl tag 127.0.0.1:5000/debian:test debian:mine\n",
        .min_args = 2,
        .max_args = 2,
        .run = tag_main,
};

typedef struct RmiOptions {
        bool force;
} RmiOptions;

static int rmi_main(Ctl *c, char **argv, Error *reterr_error) {
        _cleanup_free_ char **args = NULL, *path = NULL;
        RmiOptions o = {};
        size_t n_failed = 0;
        int r;

        r = ctl_parse(c, argv, &o, &args, reterr_error);
        if (r <= 0)
                return r;
        path = namespace_path(c->ns);
        if (!path)
                return error_oom(reterr_error);
        ctl_start_agent(c);
        STRV_FOREACH(name, args) {
                _cleanup_error_ Error error = ERROR_NULL;

                if (o.force)
                        r = ctl_call(c, path, BUS_NAMESPACE, "RemoveImage", NULL, &error, "sa{sv}", name, 1,
                                     "Force", "b", 1);
                else
                        r = ctl_call(c, path, BUS_NAMESPACE, "RemoveImage", NULL, &error, "sa{sv}", name, 0);
                if (r >= 0 || (o.force && error_has_name(&error, "NoSuchImage")))
                        continue;
                if (!args[1])
                        return error_move(reterr_error, &error);
                fprintf(stderr, "moorctl: %s: %s\n", name, error_message(&error));
                n_failed++;
        }
        return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const Option rmi_options[] = {
        { 'f', "force", NULL, OPTION_FLAG, offsetof(RmiOptions, force),
          .help = "Also if containers were made from it; one that\ndoes not exist is no error" },
        OPTION_END,
};

const Verb verb_rmi = {
        .name = "rmi",
        .group = VERB_GROUP_IMAGES,
        .arguments = "[OPTION…] IMAGE…",
        .summary = "Remove images",
        .description = "Removes the names; what no name and no container needs any more is freed.\n\n"
                       "Example:\n"
                       "  moorctl rmi busybox debian:mine\n",
        .options = rmi_options,
        .min_args = 1,
        .max_args = UINT_MAX,
        .run = rmi_main,
};
