/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is done for a container, in an order that leaves nothing behind whenever this process, or moored, is killed:
 *
 *   ADD  (what an earlier run left: DEL) ─▶ STATUS ─▶ record without results ─▶ plug-ins ─▶ record with results
 *                                                                                └ failed ─▶ DEL
 *   (and after each plug-in, not durably: what they have given so far. "firewall" undoes nothing that it is not told of)
 *   DEL  plug-ins, the last first ─▶ record without what was undone; it goes with the last
 *
 * One thing at a time is done for a container, and nothing else while there is GC: locks on bytes of one file, a container's byte or
 * all of them, which the kernel gives back whatever happens.
 *
 * A plug-in wants the path of a network namespace, and with CHECK and DEL the same as with ADD. It gets that of a symlink to the
 * descriptor of this process, so that there is no mount, and nothing to be found in it once this process is gone. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "runtime/cni.h"
#include "runtime/report.h"

#define LOCK_FILE "lock"
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX 64U

typedef struct Work {
        const CniPlaces *places;
        const char *container; /* NULL: of a network */
        int dir_fd, lock_fd;
        int netns;       /* borrowed */
        char *link;      /* its name, while this lasts */
        char *netns_id;  /* "" without one */
} Work;

static void work_done(Work *w) {
        if (w->link)
                (void) unlink(w->link);
        free(w->link);
        free(w->netns_id);
        safe_close(w->lock_fd);
        safe_close(w->dir_fd);
}

/* -- preparations ------------------------------------------------------------------------------- */

/* FNV-1a. Two with the same number wait for each other, no more. */
static off_t lock_offset(const char *s) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *s; s++)
                h = (h ^ (uint8_t) *s) * UINT64_C(0x100000001b3);
        return (off_t) (h >> 2);
}

static int lock(Work *w) {
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        if (w->container) {
                l.l_start = lock_offset(w->container);
                l.l_len = 1;
        }
        w->lock_fd = RET_NERRNO(openat(w->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
        return w->lock_fd < 0 ? w->lock_fd : RET_NERRNO(TEMP_FAILURE_RETRY(fcntl(w->lock_fd, F_OFD_SETLKW, &l)));
}

static int open_state(Work *w, Error *reterr_error) {
        const char *path = w->places->state_dir;
        int r;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set_errno(reterr_error, -errno, "%s cannot be made: %m", path);
        r = w->dir_fd = RET_NERRNO(open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC));
        if (r >= 0)
                r = lock(w);
        return r < 0 ? error_set_errno(reterr_error, r, "%s cannot be locked: %m", path) : 0;
}

/* The number alone may be another's after a boot. */
static char *namespace_id(int fd) {
        _cleanup_free_ char *boot = NULL;
        struct stat st;

        if (fstat(fd, &st) < 0 || read_file_at(AT_FDCWD, BOOT_ID_PATH, BOOT_ID_MAX, &boot, NULL) < 0)
                return NULL;
        boot[strcspn(boot, "\n")] = 0;
        return strformat("%s/%ju/%ju", boot, (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
}

static int name_namespace(Work *w, Error *reterr_error) {
        _cleanup_free_ char *target = NULL, *path = NULL;

        w->netns_id = w->netns < 0 ? strdup("") : namespace_id(w->netns);
        if (w->netns_id && w->netns < 0)
                return 0;
        target = strformat("/proc/%i/fd/%i", getpid(), w->netns);
        path = path_join(w->places->netns_dir, w->container);
        if (!w->netns_id || !target || !path)
                return error_set_errno(reterr_error, -ENOMEM, "The network namespace cannot be named.");
        if ((mkdir(w->places->netns_dir, 0700) < 0 && errno != EEXIST) || (unlink(path) < 0 && errno != ENOENT) ||
            symlink(target, path) < 0)
                return error_set_errno(reterr_error, -errno, "%s cannot be made: %m", path);
        w->link = TAKE_PTR(path);
        return 0;
}

static CniCall call_new(const Work *w, CniCommand command) {
        return (CniCall){
                .command = command,
                .container = w->container,
                .plugin_path = w->places->plugin_path,
                .deadline_usec = now_usec(CLOCK_MONOTONIC) + w->places->chain_usec,
        };
}

static void call_attachment(const Work *w, const CniRecord *record, const CniAttachment *a, CniCall *c) {
        c->interface = a->interface;
        c->capabilities = a->capabilities;
        c->previous = a->result ?: c->command == CNI_DEL ? a->partial : NULL;
        c->netns = streq(record->netns_id, w->netns_id) ? w->link : NULL;
}

/* -- DEL ---------------------------------------------------------------------------------------- */

/* Each has its turn, whatever happens to the others. */
static int undo(Work *w, CniRecord *record, Error *reterr_error) {
        CniRecord left = { .container = record->container, .netns_id = record->netns_id };
        CniCall call = call_new(w, CNI_DEL);
        const uint64_t end = call.deadline_usec;
        CniAttachment kept[CNI_ATTACHMENTS_MAX];
        int r = 0, k;

        for (size_t i = record->n_attachments; i-- > 0;) {
                CniAttachment *a = &record->attachments[i];
                _cleanup_error_ Error e = ERROR_NULL;
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                /* One that hangs leaves the others their share of the time. */
                call.deadline_usec = now + (end > now ? (end - now) / (i + 1) : 0);
                call_attachment(w, record, a, &call);
                k = cni_chain(&a->conf, &call, NULL, &e);
                if (k >= 0)
                        continue;
                if (r < 0)
                        report_warning("%s", error_message(&e));
                else {
                        r = k;
                        (void) error_move(reterr_error, &e);
                }
                left.n_attachments++;
                kept[CNI_ATTACHMENTS_MAX - left.n_attachments] = *a; /* borrowed, in their order */
        }
        left.attachments = kept + CNI_ATTACHMENTS_MAX - left.n_attachments;
        k = cni_record_write(w->dir_fd, &left, true, r < 0 ? NULL : reterr_error);
        return r < 0 ? r : k;
}

static int do_del(Work *w, Error *reterr_error) {
        _cleanup_(cni_record_done) CniRecord record = {};
        int r;

        r = cni_record_read(w->dir_fd, w->container, &record, reterr_error);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? r : undo(w, &record, reterr_error);
}

/* -- ADD ---------------------------------------------------------------------------------------- */

static int plan_attachment(const Work *w, const json_t *j, CniRecord *record, Error *reterr_error) {
        const char *network = json_get_string((json_t *) j, "network"), *interface = json_get_string((json_t *) j, "interface");
        json_t *capabilities = json_object_get(j, "capabilities");
        _cleanup_(cni_conf_done) CniConf conf = {};
        int r;

        if (!network || isempty(interface) || strchr(interface, '/') || (capabilities && !json_is_object(capabilities)))
                return error_set(reterr_error, -EBADMSG, "Failed", "The request makes no sense.");
        r = cni_find(w->places->conf_dir, network, &conf, reterr_error);
        if (r < 0)
                return r;
        /* All are looked for before the first is run. */
        r = cni_find_plugins(w->places->plugin_path, &conf, reterr_error);
        if (r < 0)
                return r;
        r = cni_record_add(record, &conf, interface, json_incref(capabilities));
        if (r < 0) {
                json_decref(capabilities);
                return error_set_errno(reterr_error, r, "More than %u networks for a container: %m", CNI_ATTACHMENTS_MAX);
        }
        return 0;
}

static int plan(const Work *w, const json_t *attachments, CniRecord *ret, Error *reterr_error) {
        const json_t *j;
        size_t i;
        int r;

        ret->container = strdup(w->container);
        ret->netns_id = strdup(w->netns_id);
        if (!ret->container || !ret->netns_id)
                return error_oom(reterr_error);
        json_array_foreach(attachments, i, j) {
                r = plan_attachment(w, j, ret, reterr_error);
                if (r < 0)
                        return r;
        }
        return ret->n_attachments > 0 ? 0 : error_set(reterr_error, -EBADMSG, "Failed", "The request has no network.");
}

static bool is_added(const Work *w, const CniRecord *record) {
        return cni_record_is_complete(record) && streq(record->netns_id, w->netns_id);
}

/* Nothing has been begun yet, so that there is nothing to be undone. */
static int check_ready(const Work *w, const CniRecord *record, Error *reterr_error) {
        CniCall call = call_new(w, CNI_STATUS);
        int r = 0;

        call.container = NULL;
        for (size_t i = 0; r >= 0 && i < record->n_attachments; i++) {
                r = cni_chain(&record->attachments[i].conf, &call, NULL, reterr_error);
                (void) error_prefix(reterr_error, "The network \"%s\" is not ready", record->attachments[i].conf.name);
        }
        return r;
}

typedef struct Progress {
        const Work *work;
        const CniRecord *record;
        CniAttachment *attachment;
} Progress;

/* For who undoes it, should this be killed now; a host that goes down forgets all that plug-ins did. */
static void on_progress(json_t *result, void *userdata) {
        _cleanup_error_ Error e = ERROR_NULL;
        Progress *p = userdata;

        json_decref(p->attachment->partial);
        p->attachment->partial = json_incref(result);
        if (cni_record_write(p->work->dir_fd, p->record, false, &e) < 0)
                report_warning("%s", error_message(&e));
}

static int attach_all(Work *w, CniRecord *record, Error *reterr_error) {
        CniCall call = call_new(w, CNI_ADD);
        int r;

        r = cni_record_write(w->dir_fd, record, true, reterr_error);
        for (size_t i = 0; r >= 0 && i < record->n_attachments; i++) {
                CniAttachment *a = &record->attachments[i];
                Progress p = { w, record, a };

                call.progress = on_progress;
                call.userdata = &p;
                call_attachment(w, record, a, &call);
                r = cni_chain(&a->conf, &call, &a->result, reterr_error);
                if (r < 0)
                        break;
                json_decref(a->partial);
                a->partial = NULL;
                r = cni_record_write(w->dir_fd, record, true, reterr_error);
        }
        return r;
}

static int do_add(Work *w, const json_t *attachments, json_t **ret, Error *reterr_error) {
        _cleanup_(cni_record_done) CniRecord old = {}, record = {};
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        if (w->netns < 0)
                return error_set(reterr_error, -EBADF, "Failed", "The request has no network namespace.");
        r = cni_record_read(w->dir_fd, w->container, &old, reterr_error);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0 && is_added(w, &old))
                return cni_record_to_json(&old, ret);
        if (r >= 0) {
                r = undo(w, &old, reterr_error);
                if (r < 0) {
                        (void) error_prefix(reterr_error, "What the last run left cannot be undone");
                        return r;
                }
        }
        r = plan(w, attachments, &record, reterr_error);
        if (r >= 0)
                r = check_ready(w, &record, reterr_error);
        if (r < 0)
                return r;
        r = attach_all(w, &record, reterr_error);
        if (r >= 0)
                return cni_record_to_json(&record, ret);
        if (undo(w, &record, &e) < 0)
                report_warning("Not all of the network of %s could be undone, it will be tried again: %s", w->container,
                               error_message(&e));
        return r;
}

/* -- CHECK -------------------------------------------------------------------------------------- */

static int do_check(Work *w, Error *reterr_error) {
        _cleanup_(cni_record_done) CniRecord record = {};
        CniCall call = call_new(w, CNI_CHECK);
        int r;

        r = cni_record_read(w->dir_fd, w->container, &record, reterr_error);
        if (r == -ENOENT || (r >= 0 && !is_added(w, &record)))
                return error_set(reterr_error, -ESRCH, "NotRunning", "The container is not attached to a network of plug-ins.");
        for (size_t i = 0; r >= 0 && i < record.n_attachments; i++) {
                call_attachment(w, &record, &record.attachments[i], &call);
                r = cni_chain(&record.attachments[i].conf, &call, NULL, reterr_error);
        }
        return r;
}

/* -- of a network: STATUS and GC ---------------------------------------------------------------- */

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static int add_valid(const CniRecord *record, const char *network, json_t *list) {
        for (size_t i = 0; i < record->n_attachments; i++)
                if (streq(record->attachments[i].conf.name, network) &&
                    json_array_append_new(list, json_pack("{s:s, s:s}", "containerID", record->container, "ifname",
                                                          record->attachments[i].interface)) < 0)
                        return -ENOMEM;
        return 0;
}

/* One that cannot be read may be on the network: then nothing is collected. */
static int collect_valid(const Work *w, const char *network, json_t *list, Error *reterr_error) {
        _cleanup_(closedirp) DIR *d = opendir(w->places->state_dir);
        struct dirent *e;

        if (!d)
                return error_set_errno(reterr_error, -errno, "%s cannot be read: %m", w->places->state_dir);
        while ((errno = 0, e = readdir(d))) {
                _cleanup_(cni_record_done) CniRecord record = {};
                const char *suffix = endswith(e->d_name, CNI_RECORD_SUFFIX);
                _cleanup_free_ char *container = NULL;
                int r;

                if (!suffix || e->d_name[0] == '.')
                        continue;
                container = strndup(e->d_name, (size_t) (suffix - e->d_name));
                r = container ? cni_record_read(w->dir_fd, container, &record, reterr_error) : error_oom(reterr_error);
                if (r >= 0 && add_valid(&record, network, list) < 0)
                        r = error_oom(reterr_error);
                if (r < 0)
                        return r;
        }
        return errno == 0 ? 0 : error_set_errno(reterr_error, -errno, "%s cannot be read: %m", w->places->state_dir);
}

static int do_network(Work *w, CniCommand command, const char *network, Error *reterr_error) {
        _cleanup_json_ json_t *valid = json_array();
        _cleanup_(cni_conf_done) CniConf conf = {};
        CniCall call = call_new(w, command);
        int r;

        if (!valid)
                return error_oom(reterr_error);
        if (!network)
                return error_set(reterr_error, -EBADMSG, "Failed", "The request names no network.");
        r = cni_find(w->places->conf_dir, network, &conf, reterr_error);
        if (r >= 0 && command == CNI_GC)
                r = collect_valid(w, network, valid, reterr_error);
        call.attachments = valid;
        return r < 0 ? r : cni_chain(&conf, &call, NULL, reterr_error);
}

/* -- requests ----------------------------------------------------------------------------------- */

int cni_serve_request(const CniPlaces *places, json_t *request, int netns, json_t **ret, Error *reterr_error) {
        CniCommand command = cni_command_from_string(json_get_string(request, "command"));
        _cleanup_(work_done) Work w = { .places = places, .dir_fd = -EBADF, .lock_fd = -EBADF, .netns = netns };
        int r;

        if (command == CNI_STATUS) /* of nothing that is recorded, and it waits for nobody */
                return do_network(&w, command, json_get_string(request, "network"), reterr_error);
        if (command != CNI_GC) {
                w.container = json_get_string(request, "container");
                if (!w.container || !cni_container_id_is_valid(w.container))
                        return error_set(reterr_error, -EBADMSG, "Failed", "The request names no container.");
        }
        r = open_state(&w, reterr_error);
        if (r >= 0 && w.container)
                r = name_namespace(&w, reterr_error);
        if (r < 0)
                return r;

        switch (command) {

        case CNI_ADD:
                return do_add(&w, json_object_get(request, "attachments"), ret, reterr_error);

        case CNI_DEL:
                return do_del(&w, reterr_error);

        case CNI_CHECK:
                return do_check(&w, reterr_error);

        case CNI_GC:
                return do_network(&w, command, json_get_string(request, "network"), reterr_error);

        default:
                return error_set(reterr_error, -EBADMSG, "Failed", "The request makes no sense.");
        }
}
