/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For each container that is attached, or about to be, or about to be detached, there is an entry:
 *
 *   cni_manager_add ─▶ wants_add ──work()──▶ ADD ──on_answer()──▶ added ─▶ func
 *                                             ├─ failed: the namespace goes ─▶ func
 *                                             └─ no answer: wants_del ─▶ func
 *   cni_manager_del ─▶ wants_del ──work()──▶ DEL ──on_answer()──▶ the namespace goes; wants_add, or the entry goes, too
 *                          ▲                  └─ failed: retry, twice; then the namespace goes, the entry stays
 *                          └───── on_retry() ──┘
 *   cni_manager_tend ─▶ wants_check ─work()─▶ CHECK ──▶ the log, if it failed; wants_del of what is left
 *
 * What is left after that mooring remembers: it is tried before its next ADD, when somebody asks (cni_manager_tend()), and by the next
 * moored. A network that is to be collected is an entry as well, whose turn comes when nothing else is under way. */

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/hashmap.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/cni.h"
#include "network/netlink.h"
#include "network/netns.h"

#define STORE_PREFIX "cni."
#define KEY_PREFIX "moored."
#define NETWORK_PREFIX "network " /* of entries that are networks: no container's begins like that */
#define ANSWER_MAX CNI_RECORD_MAX
#define LOOPBACK_INDEX 1
/* The unit's own limit is RuntimeMaxSec=: this is for one that PID 1 does not start. */
#define TIMEOUT_USEC (240 * USEC_PER_SEC)
/* Of DEL: what holds a lock has ended by then, what is missing is missing. */
#define TRIES_MAX 3U
#define RETRY_USEC (2 * USEC_PER_SEC) /* more each time */

typedef struct Entry {
        CniManager *manager;
        char *key;
        json_t *attachments;
        int netns;
        bool added, wants_add, wants_del, wants_check, wants_gc;
        bool recorded; /* mooring may have something to undo */
        CniRecord record; /* what is attached, as far as is known */
        bool ended;       /* that is of a run that has ended */
        unsigned n_tries; /* of DEL, that have failed */
        const char *command; /* under way; NULL: nothing is */
        int sock;
        sd_event_source *io, *timer, *retry;
} Entry;

struct CniManager {
        sd_event *event;
        const TerminalStore *store;
        void *store_userdata;
        char *socket_path, *state_dir;
        int (*make_netns)(Error *reterr_error);
        Hashmap *entries; /* key → Entry, owns them */
        unsigned n_running;
        uint64_t retry_usec;
        CniFunc func;
        bool (*wanted)(const char *key, void *userdata);
        void *userdata;
};

static void work(CniManager *m);

char *cni_key(const char *ns, const char *id) {
        return strformat(KEY_PREFIX "%zu.%s.%s", strlen(ns), ns, id);
}

/* -- namespaces --------------------------------------------------------------------------------- */

static int open_inside(void *userdata) {
        return netlink_new(-EBADF, userdata);
}

int cni_make_netns(Error *reterr_error) {
        _cleanup_(netlink_freep) Netlink *inside = NULL;
        _cleanup_close_ int fd = netns_new(open_inside, &inside);
        int r = fd;

        if (r >= 0)
                r = netlink_change_link(inside, LOOPBACK_INDEX, &(LinkChange){ .up = true, .netns = -EBADF });
        return r < 0 ? error_set_errno(reterr_error, r, "A network namespace cannot be made: %m") : TAKE_FD(fd);
}

static void store_remove(CniManager *m, const char *key) {
        _cleanup_free_ char *name = strjoin(STORE_PREFIX, key);

        if (m->store && name)
                m->store->remove(m->store_userdata, name);
}

static void store_netns(Entry *e) {
        _cleanup_free_ char *name = strjoin(STORE_PREFIX, e->key);
        CniManager *m = e->manager;
        int r;

        r = !m->store ? 0 : name ? m->store->add(m->store_userdata, name, e->netns, false) : -ENOMEM;
        if (r < 0)
                log_warning_errno(r, "Should moored be killed, plug-ins may not undo all of %s: %m", e->key);
}

static int keep_netns(Entry *e, Error *reterr_error) {
        if (e->netns >= 0)
                return 0;
        e->netns = e->manager->make_netns(reterr_error);
        if (e->netns < 0)
                return e->netns;
        store_netns(e);
        return 0;
}

static void drop_netns(Entry *e) {
        if (e->netns < 0)
                return;
        store_remove(e->manager, e->key);
        e->netns = safe_close(e->netns);
}

/* -- entries ------------------------------------------------------------------------------------ */

static void entry_disconnect(Entry *e) {
        if (e->command)
                e->manager->n_running--;
        e->command = NULL;
        e->io = sd_event_source_disable_unref(e->io);
        e->timer = sd_event_source_disable_unref(e->timer);
        e->sock = safe_close(e->sock);
}

/* What is stored stays: the next moored goes on with it. */
static Entry *entry_free(Entry *e) {
        if (!e)
                return NULL;
        entry_disconnect(e);
        sd_event_source_disable_unref(e->retry);
        cni_record_done(&e->record);
        (void) hashmap_remove(e->manager->entries, e->key);
        json_decref(e->attachments);
        safe_close(e->netns);
        free(e->key);
        free(e);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Entry *, entry_free)

static int entry_get(CniManager *m, const char *key, Entry **ret) {
        _cleanup_(entry_freep) Entry *e = NULL;
        int r;

        *ret = hashmap_get(m->entries, key);
        if (*ret)
                return 0;
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        *e = (Entry){ .manager = m, .netns = -EBADF, .sock = -EBADF, .key = strdup(key) };
        if (!e->key) {
                free(TAKE_PTR(e));
                return -ENOMEM;
        }
        r = hashmap_put(m->entries, e->key, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

/* -- one question ------------------------------------------------------------------------------- */

static void tell(Entry *e, const Error *error) {
        CniManager *m = e->manager;
        _cleanup_free_ char *key = strdup(e->key);

        if (key && m->func)
                m->func(key, error_is_set(error) ? -EBADF : e->netns, error, m->userdata);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Entry *e = userdata;

        e->retry = sd_event_source_disable_unref(e->retry);
        e->wants_del = true;
        work(e->manager);
        return 0;
}

static bool try_later(Entry *e) {
        CniManager *m = e->manager;

        return ++e->n_tries < TRIES_MAX && !e->wants_add && !e->wants_del &&
               sd_event_add_time_relative(m->event, &e->retry, CLOCK_MONOTONIC, m->retry_usec * e->n_tries, 0, on_retry, e) >= 0;
}

static void finish_del(Entry *e, const Error *error) {
        if (error_is_set(error)) {
                bool again = try_later(e);

                log_warning("Not all of the network of %s could be undone, %s: %s", e->key,
                            again ? "which will be tried again" : "\"moorctl network reload\" tries again", error_message(error));
                if (again)
                        return;
                e->n_tries = 0;
                drop_netns(e);
        } else {
                e->n_tries = 0;
                drop_netns(e);
                cni_record_done(&e->record);
                e->recorded = false;
        }
        if (!e->wants_add && !e->wants_del && !e->recorded)
                entry_free(e);
}

/* answered: mooring has undone what it did. Else it was killed, and the namespace is needed for that. */
static void finish_add(Entry *e, bool answered, const Error *error) {
        if (e->wants_del)
                return;
        e->added = !error_is_set(error);
        e->ended = !e->added;
        if (!e->added && answered)
                drop_netns(e);
        e->wants_del = !e->added && !answered;
        tell(e, error); /* it may want DEL now, or be asked for anew */
}

static void finish_check(Entry *e, const Error *error) {
        if (error_is_set(error) && !error_has_name(error, "NotRunning"))
                log_warning("The network of %s is not what it was, start the container anew to have it made again: %s", e->key,
                            error_message(error));
}

static void finish_gc(Entry *e, const Error *error) {
        if (error_is_set(error))
                log_warning("What nobody uses any more could not all be collected: %s", error_message(error));
        if (!e->wants_gc)
                entry_free(e);
}

/* Of what was under way. The entry may be gone afterwards. */
static void finish(Entry *e, bool answered, const Error *error) {
        const char *command = e->command;
        CniManager *m = e->manager;

        entry_disconnect(e);
        if (streq(command, "DEL"))
                finish_del(e, error);
        else if (streq(command, "ADD"))
                finish_add(e, answered, error);
        else if (streq(command, "CHECK"))
                finish_check(e, error);
        else
                finish_gc(e, error);
        work(m);
}

static int parse_answer(Entry *e, int memfd, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *j = NULL;
        const char *error, *name;
        size_t size;
        int r;

        r = read_all(memfd, ANSWER_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "mooring's answer cannot be read: %m");
        r = json_parse(text, size, ANSWER_MAX, &j, reterr_error);
        if (r < 0)
                return r;
        error = json_get_string(j, "error");
        name = json_get_string(j, "name");
        if (error)
                return error_set(reterr_error, -EREMOTEIO, name ?: "Failed", "%s", error);
        if (!streq(e->command, "ADD"))
                return 0;
        cni_record_done(&e->record);
        r = cni_record_from_json(j, &e->record, reterr_error);
        (void) error_prefix(reterr_error, "What plug-ins have attached");
        return r;
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        int fds[FDS_MAX], r;
        size_t n_fds = 0;
        Entry *e = userdata;
        bool answered;
        char byte;

        r = (int) recv_with_fds(fd, &byte, 1, fds, &n_fds, MSG_DONTWAIT);
        if (r == -EAGAIN || r == -EINTR)
                return 0;
        answered = r > 0 && n_fds > 0;
        if (!answered)
                (void) error_set(&error, -ECONNRESET, "Failed",
                                 "What runs network plug-ins (%s) ended without an answer; see journalctl -u 'moored-cni@*'.",
                                 e->command);
        else {
                r = parse_answer(e, fds[0], &error);
                answered = r >= 0 || r == -EREMOTEIO;
        }
        for (size_t i = 0; i < n_fds; i++)
                safe_close(fds[i]);
        finish(e, answered, &error);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        _cleanup_error_ Error error = ERROR_NULL;
        Entry *e = userdata;

        (void) error_set(&error, -ETIMEDOUT, "Failed", "What runs network plug-ins (%s) does not answer.", e->command);
        finish(e, false, &error);
        return 0;
}

static int connect_to(const char *path, Error *reterr_error) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return error_set(reterr_error, -ENAMETOOLONG, "Failed", "The path \"%s\" is too long.", path);
        memcpy(address.sun_path, path, strlen(path));
        fd = RET_NERRNO(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (fd < 0)
                return error_set_errno(reterr_error, fd, "A socket cannot be made: %m");
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_set_errno(reterr_error, -errno,
                                       "Network plug-ins cannot be run, as nobody listens at %s (%m): systemctl start "
                                       "moored-cni.socket.",
                                       path);
        return TAKE_FD(fd);
}

static int send_request(Entry *e, Error *reterr_error) {
        const char *network = startswith(e->key, NETWORK_PREFIX);
        _cleanup_json_ json_t *j = json_pack("{s:s, s:s}", "command", e->command, network ? "network" : "container", network ?: e->key);
        _cleanup_close_ int memfd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int fds[2], r;

        if (j && streq(e->command, "ADD") && json_object_set(j, "attachments", e->attachments) < 0)
                return error_oom(reterr_error);
        text = j ? json_dump(j, false) : NULL;
        r = memfd = text ? memfd_new_sealed("moored-cni", text, strlen(text)) : -ENOMEM;
        if (r >= 0) {
                fds[0] = memfd;
                fds[1] = e->netns;
                r = send_with_fds(e->sock, "", 1, fds, e->netns >= 0 ? 2 : 1, MSG_NOSIGNAL);
        }
        return r < 0 ? error_set_errno(reterr_error, r, "Network plug-ins cannot be run: %m") : 0;
}

static int ask(Entry *e, Error *reterr_error) {
        CniManager *m = e->manager;
        int r;

        r = streq(e->command, "ADD") ? keep_netns(e, reterr_error) : 0;
        if (r >= 0)
                r = e->sock = connect_to(m->socket_path, reterr_error);
        if (r >= 0)
                r = send_request(e, reterr_error);
        if (r < 0)
                return r;
        r = sd_event_add_io(m->event, &e->io, e->sock, EPOLLIN, on_answer, e);
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &e->timer, CLOCK_MONOTONIC, TIMEOUT_USEC, USEC_PER_SEC, on_timeout, e);
        return r < 0 ? error_set_errno(reterr_error, r, "An answer cannot be waited for: %m") : 0;
}

static const char *take_wanted(Entry *e) {
        if (e->wants_del) {
                e->wants_del = e->added = e->wants_check = false;
                return "DEL";
        }
        if (e->wants_add) {
                e->wants_add = false;
                e->recorded = true;
                return "ADD";
        }
        if (e->wants_check) {
                e->wants_check = false;
                return "CHECK";
        }
        if (e->wants_gc && e->manager->n_running == 0) {
                e->wants_gc = false;
                return "GC";
        }
        return NULL;
}

/* Whether something was begun, or has failed: then the table may be another. */
static bool work_entry(Entry *e) {
        _cleanup_error_ Error error = ERROR_NULL;

        e->command = take_wanted(e);
        if (!e->command)
                return false;
        e->manager->n_running++;
        if (ask(e, &error) < 0)
                finish(e, true, &error);
        return true;
}

static void work(CniManager *m) {
        bool again = true;
        Entry *e;

        /* Before that nobody would hear the answers. */
        while (again && m->func) {
                again = false;
                HASHMAP_FOREACH(e, m->entries)
                        if (m->n_running < CNI_AT_ONCE_MAX && !e->command && work_entry(e)) {
                                again = true;
                                break;
                        }
        }
}

/* -- what is wanted ----------------------------------------------------------------------------- */

int cni_manager_add(CniManager *m, const char *key, json_t *attachments) {
        Entry *e;
        int r;

        r = entry_get(m, key, &e);
        if (r < 0)
                return r;
        json_decref(e->attachments);
        e->attachments = json_incref(attachments);
        if (e->added && !e->wants_del)
                tell(e, NULL);
        else if (!streq_ptr(e->command, "ADD") || e->wants_del) {
                /* What waits to be undone is in the way. */
                if (e->retry)
                        e->wants_del = true;
                e->retry = sd_event_source_disable_unref(e->retry);
                e->wants_add = true;
                work(m);
        }
        return 0;
}

void cni_manager_del(CniManager *m, const char *key) {
        Entry *e = hashmap_get(m->entries, key);

        if (!e)
                return;
        e->wants_add = false;
        e->ended = true;
        if (streq_ptr(e->command, "DEL") || e->retry)
                return;
        if (!e->command && !e->recorded && e->netns < 0) {
                entry_free(e);
                return;
        }
        e->wants_del = true;
        work(m);
}

/* -- at the start ------------------------------------------------------------------------------- */

int cni_manager_adopt(CniManager *m, const char *name, int fd) {
        const char *key = startswith(name, STORE_PREFIX);
        Entry *e;
        int r;

        if (!key)
                return 0;
        r = entry_get(m, key, &e);
        if (r < 0 || e->netns >= 0) {
                safe_close(fd);
                return r < 0 ? r : 1;
        }
        e->netns = fd;
        return 1;
}

static bool misses_netns(const Entry *e) {
        return e && e->netns < 0 && e->recorded && !e->ended && !e->command;
}

bool cni_manager_misses_netns(const CniManager *m, const char *key) {
        return misses_netns(hashmap_get(m->entries, key));
}

int cni_manager_keep_netns(CniManager *m, const char *key, int netns) {
        Entry *e = hashmap_get(m->entries, key);

        if (!misses_netns(e))
                return 0;
        e->netns = fd_dup(netns);
        if (e->netns < 0)
                return e->netns;
        store_netns(e);
        return 0;
}

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* Without it what has been attached can be undone, but not be shown. */
static void read_record(Entry *e, int dir_fd, const char *name) {
        _cleanup_error_ Error error = ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(dir_fd, name, CNI_RECORD_MAX, &text, &size);
        if (r >= 0)
                r = cni_record_parse(text, size, &e->record, &error);
        if (r < 0)
                log_warning("What plug-ins have attached %s to cannot be read: %s", e->key,
                            error_is_set(&error) ? error_message(&error) : strerror(-r));
}

static int read_records(CniManager *m) {
        _cleanup_(closedirp) DIR *d = opendir(m->state_dir);
        struct dirent *de;

        if (!d)
                return errno == ENOENT ? 0 : -errno;
        while ((errno = 0, de = readdir(d))) {
                const char *suffix = endswith(de->d_name, CNI_RECORD_SUFFIX);
                _cleanup_free_ char *key = NULL;
                Entry *e;
                int r;

                if (!suffix || !startswith(de->d_name, KEY_PREFIX))
                        continue;
                key = strndup(de->d_name, (size_t) (suffix - de->d_name));
                r = key ? entry_get(m, key, &e) : -ENOMEM;
                if (r < 0)
                        return r;
                e->recorded = true;
                read_record(e, dirfd(d), de->d_name);
        }
        return -errno;
}

/* -- looking after ------------------------------------------------------------------------------ */

static int want_gc(CniManager *m, const CniConf *conf) {
        _cleanup_free_ char *key = strjoin(NETWORK_PREFIX, conf->name);
        Entry *e;
        int r;

        if (!cni_conf_knows(conf, CNI_GC) || conf->disable_gc)
                return 0;
        r = key ? entry_get(m, key, &e) : -ENOMEM;
        if (r >= 0)
                e->wants_gc = true;
        return r;
}

/* The networks that containers are on, or were. */
static int collect(CniManager *m) {
        _cleanup_free_ Entry **list = NULL;
        size_t n = 0;
        Entry *e;
        int r = 0;

        list = calloc(hashmap_size(m->entries) + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        HASHMAP_FOREACH(e, m->entries)
                list[n++] = e; /* the table grows */
        for (size_t i = 0; r >= 0 && i < n; i++)
                for (size_t k = 0; r >= 0 && k < list[i]->record.n_attachments; k++)
                        r = want_gc(m, &list[i]->record.attachments[k].conf);
        return r;
}

void cni_manager_set_retry(CniManager *m, uint64_t usec) {
        m->retry_usec = usec;
}

void cni_manager_tend(CniManager *m) {
        Entry *e;
        int r;

        if (!m->func)
                return;
        HASHMAP_FOREACH(e, m->entries) {
                bool left = !e->command && e->recorded && !e->added && !m->wanted(e->key, m->userdata);

                e->retry = sd_event_source_disable_unref(e->retry);
                e->wants_del |= left;
                e->wants_check = !left && cni_record_is_complete(&e->record);
        }
        r = collect(m);
        if (r < 0)
                log_warning_errno(r, "Networks of plug-ins cannot be looked after: %m");
        work(m);
}

int cni_manager_foreach(const CniManager *m, const char *key, CniShownFunc func, void *userdata) {
        const Entry *e = hashmap_get(m->entries, key);
        int r = 0;

        for (size_t i = 0; r >= 0 && e && !e->ended && i < e->record.n_attachments; i++)
                r = cni_attachment_foreach(&e->record.attachments[i], func, userdata);
        return r;
}

/* -- the beginning and the end ------------------------------------------------------------------ */

int cni_manager_recovered(CniManager *m, CniFunc func, bool (*wanted)(const char *key, void *userdata), void *userdata) {
        Entry *e;
        int r;

        m->func = func;
        m->wanted = wanted;
        m->userdata = userdata;
        r = read_records(m);
        if (r >= 0)
                r = collect(m);
        if (r < 0)
                log_warning_errno(r, "What plug-ins have attached cannot be read in %s: %m", m->state_dir);
        HASHMAP_FOREACH(e, m->entries)
                /* One whose end was told before this is detached, wanted again or not. */
                if (!e->wants_add && !e->wants_gc && !wanted(e->key, userdata))
                        e->wants_del = e->ended = true;
        /* Of those that are wanted mooring knows whether they are attached: it is asked when their launcher asks. */
        work(m);
        return 0;
}

CniManager *cni_manager_free(CniManager *m) {
        Entry *e;

        if (!m)
                return NULL;
        HASHMAP_FOREACH(e, m->entries)
                entry_free(e);
        hashmap_free(m->entries);
        sd_event_unref(m->event);
        free(m->socket_path);
        free(m->state_dir);
        free(m);
        return NULL;
}

int cni_manager_new(sd_event *event, const TerminalStore *store, void *store_userdata, const char *socket_path,
                    const char *state_dir, int (*make_netns)(Error *reterr_error), CniManager **ret) {
        _cleanup_(cni_manager_freep) CniManager *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        *m = (CniManager){
                .event = sd_event_ref(event),
                .store = store,
                .store_userdata = store_userdata,
                .socket_path = strdup(socket_path),
                .state_dir = strdup(state_dir),
                .make_netns = make_netns,
                .retry_usec = RETRY_USEC,
                .entries = hashmap_new(),
        };
        if (!m->socket_path || !m->state_dir || !m->entries)
                return -ENOMEM;
        *ret = TAKE_PTR(m);
        return 0;
}
