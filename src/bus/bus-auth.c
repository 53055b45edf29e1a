/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/bus-auth.h"
#include "bus/bus-error.h"
#include "bus/bus-object.h"

/* Every method call passes bus_auth_filter() before sd-bus looks for an object. The call is let through
 * at once, or it is held while a question is under way, and then put back into the queue of incoming
 * messages, where it meets the filter again:
 *
 *   call ── rule "open" ──────────────────────────────────────────────────────────────────▶ object
 *     └─ sender unknown ─ GetConnectionCredentials ─▶ (queue) ── root ───────────────────▶ object
 *                                                       └─ CheckAuthorization ─▶ (queue) ─▶ object, error
 *
 * So no object can be reached around it, properties are covered as methods are (their getters could not
 * wait), objects are looked up after the answer and not before, and nothing here waits. What has no rule
 * is root's alone: a method that is forgotten in the table is closed.
 *
 *  1. Credentials are asked once for each unique name. A unique name is never given to another
 *     connection, so they are kept, the oldest are forgotten.
 *  2. Calls of one sender stay in order while its credentials are asked for. While polkit asks somebody
 *     for a password others of the same sender may overtake.
 *  3. Where polkit is not installed the rules are as strict as its shipped policy is for people who
 *     cannot authenticate: looking is allowed, all else is not. */

#define SENDERS_MAX 128U        /* whose credentials are known or asked for */
#define SENDER_HELD_MAX 128U    /* calls of one sender that wait for that */
/* Questions to polkit. Brokers let a connection have 128 calls without an answer; one user may have
 * somebody think about a password in each of many windows, and must not keep others from being asked
 * about. */
#define CHECKS_MAX 1024U
#define CHECKS_USER_MAX 256U
#define CHECKS_RUNNING_MAX 64U
#define CHECKS_USER_RUNNING_MAX 16U

typedef struct Sender {
        BusAuth *auth; /* weak */
        char *name;
        uint64_t last_use;
        bool known;
        uint32_t uid; /* UINT32_MAX: the driver could not say */
        sd_bus_slot *slot;
        sd_bus_message **held; /* in order of arrival; once known is set all are in the connection's queue */
        size_t n_held;
} Sender;

typedef struct Check {
        BusAuth *auth; /* weak */
        sd_bus_message *message;
        BusAction action;
        uint32_t uid;      /* of the caller */
        bool sent;
        sd_bus_slot *slot; /* set while polkit thinks */
        Error error;       /* not set: allowed */
        struct Check *next;
} Check;

struct BusAuth {
        sd_bus *bus; /* weak: the Bus that has both */
        sd_bus_slot *filter_slot;
        Sender *senders[SENDERS_MAX];
        uint64_t clock;
        Check *checks; /* in order of arrival */
};

typedef struct Rule {
        const char *interface;
        const char *member;
        BusAction action;
} Rule;

static const char *const action_ids[_BUS_ACTION_MAX] = {
        [BUS_ACTION_INSPECT] = "org.moored.inspect",
        [BUS_ACTION_INSPECT_SECRETS] = "org.moored.inspect-secrets",
        [BUS_ACTION_MANAGE_IMAGES] = "org.moored.manage-images",
        [BUS_ACTION_MANAGE_CONTAINERS] = "org.moored.manage-containers",
        [BUS_ACTION_MANAGE_NAMESPACES] = "org.moored.manage-namespaces",
        [BUS_ACTION_MANAGE_NETWORKS] = "org.moored.manage-networks",
        [BUS_ACTION_COLLECT_GARBAGE] = "org.moored.collect-garbage",
};

static const Rule rules[] = {
        { "org.freedesktop.DBus.Introspectable", "Introspect",         BUS_ACTION_OPEN              },
        { "org.freedesktop.DBus.ObjectManager",  "GetManagedObjects",  BUS_ACTION_INSPECT           },
        { "org.freedesktop.DBus.Peer",           "GetMachineId",       BUS_ACTION_OPEN              },
        { "org.freedesktop.DBus.Peer",           "Ping",               BUS_ACTION_OPEN              },
        { "org.freedesktop.DBus.Properties",     "Get",                BUS_ACTION_INSPECT           },
        { "org.freedesktop.DBus.Properties",     "GetAll",             BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_CONTAINER,               "AddInterface",       BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Attach",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "CloseStandardInput", BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Exec",               BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "GetProcesses",       BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_CONTAINER,               "Kill",               BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "ListProcesses",      BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_CONTAINER,               "Pause",              BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Remove",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Resize",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Restart",            BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Resume",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "RunHealthCheck",     BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Start",              BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Statistics",         BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_CONTAINER,               "Stop",               BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Update",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_CONTAINER,               "Wait",               BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_EXEC,                    "Attach",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_EXEC,                    "Kill",               BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_EXEC,                    "Remove",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_EXEC,                    "Resize",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_EXEC,                    "Wait",               BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_IMAGE,                   "Remove",             BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_IMAGE,                   "Tag",                BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_INTERFACE,               "Change",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_INTERFACE,               "Remove",             BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_INTERFACE,               "Statistics",         BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_JOB,                     "Cancel",             BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_JOB,                     "Wait",               BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "CollectGarbage",     BUS_ACTION_COLLECT_GARBAGE   },
        { BUS_INTERFACE_MANAGER,                 "CreateNamespace",    BUS_ACTION_MANAGE_NAMESPACES },
        { BUS_INTERFACE_MANAGER,                 "EventsSince",        BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "GetContainerByPID",  BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "GetContainerByUnit", BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "GetNamespace",       BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "ListJobs",           BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "ListNamespaces",     BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_MANAGER,                 "ReloadNetworks",     BUS_ACTION_MANAGE_NETWORKS   },
        { BUS_INTERFACE_MANAGER,                 "RemoveNamespace",    BUS_ACTION_MANAGE_NAMESPACES },
        { BUS_INTERFACE_NAMESPACE,               "CheckContainer",     BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_NAMESPACE,               "CreateContainer",    BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_NAMESPACE,               "CreateNetwork",      BUS_ACTION_MANAGE_NETWORKS   },
        { BUS_INTERFACE_NAMESPACE,               "GetContainer",       BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "GetImage",           BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "GetNetwork",         BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "ImportImage",        BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_NAMESPACE,               "ListContainers",     BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "ListImages",         BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "ListNetworks",       BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "ListPluginNetworks", BUS_ACTION_INSPECT           },
        { BUS_INTERFACE_NAMESPACE,               "PullImage",          BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_NAMESPACE,               "RemoveImage",        BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_NAMESPACE,               "RemoveNetwork",      BUS_ACTION_MANAGE_NETWORKS   },
        { BUS_INTERFACE_NAMESPACE,               "RunContainer",       BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_NAMESPACE,               "StopContainers",     BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_NAMESPACE,               "TagImage",           BUS_ACTION_MANAGE_IMAGES     },
        { BUS_INTERFACE_NETWORK,                 "Connect",            BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_NETWORK,                 "Disconnect",         BUS_ACTION_MANAGE_CONTAINERS },
        { BUS_INTERFACE_NETWORK,                 "Remove",             BUS_ACTION_MANAGE_NETWORKS   },
};

const char *bus_action_id(BusAction a) {
        return (size_t) a < ELEMENTSOF(action_ids) ? action_ids[a] : NULL;
}

BusAction bus_action_for_call(const char *interface, const char *member, const char *property) {
        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                if (!streq_ptr(rules[i].interface, interface) || !streq_ptr(rules[i].member, member))
                        continue;
                /* An environment holds passwords more often than not. */
                if (streq_ptr(property, "Spec") || streq_ptr(property, "Config"))
                        return BUS_ACTION_INSPECT_SECRETS;
                return rules[i].action;
        }

        return BUS_ACTION_ROOT;
}

static BusAction action_for_message(sd_bus_message *m) {
        const char *interface = sd_bus_message_get_interface(m), *member = sd_bus_message_get_member(m);
        const char *property = NULL;

        if (streq_ptr(interface, "org.freedesktop.DBus.Properties") && streq_ptr(member, "Get") &&
            sd_bus_message_has_signature(m, "ss") > 0)
                (void) sd_bus_message_read(m, "ss", NULL, &property);

        return bus_action_for_call(interface, member, property);
}

static int reply_and_consume(sd_bus_message *m, const Error *e) {
        int r = bus_error_reply(m, e);

        return r < 0 ? r : 1;
}

static int reply_too_many(sd_bus_message *m, const char *what) {
        _cleanup_error_ Error error = ERROR_NULL;

        (void) error_set(&error, -EBUSY, "LimitsExceeded", "Too many %s are under way; try again later.",
                         what);
        return reply_and_consume(m, &error);
}

/* -- credentials -- */

static Sender *sender_free(Sender *s) {
        if (!s)
                return NULL;

        sd_bus_slot_unref(s->slot);
        for (size_t i = 0; i < s->n_held; i++)
                sd_bus_message_unref(s->held[i]);
        free(s->held);
        free(s->name);
        free(s);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Sender *, sender_free)

static int sender_hold(Sender *s, sd_bus_message *m) {
        sd_bus_message **held;

        held = reallocarray(s->held, s->n_held + 1, sizeof(*held));
        if (!held)
                return -ENOMEM;

        s->held = held;
        s->held[s->n_held++] = sd_bus_message_ref(m);
        return 0;
}

static void sender_unhold_first(Sender *s) {
        sd_bus_message_unref(s->held[0]);
        memmove(s->held, s->held + 1, --s->n_held * sizeof(*s->held));
}

/* An entry for another sender: a free one, or the one that was not needed for longest. NULL if all wait
 * for an answer. */
static Sender **find_place(BusAuth *a) {
        Sender **oldest = NULL;

        for (size_t i = 0; i < SENDERS_MAX; i++) {
                Sender *s = a->senders[i];

                if (!s)
                        return a->senders + i;
                if (s->known && s->n_held == 0 && (!oldest || s->last_use < (*oldest)->last_use))
                        oldest = a->senders + i;
        }

        return oldest;
}

static Sender *sender_find(BusAuth *a, const char *name) {
        for (size_t i = 0; i < SENDERS_MAX; i++)
                if (a->senders[i] && streq(a->senders[i]->name, name))
                        return a->senders[i];

        return NULL;
}

static uint32_t read_uid(sd_bus_message *reply) {
        const char *key;
        uint32_t uid = UINT32_MAX;

        if (sd_bus_message_is_method_error(reply, NULL) ||
            sd_bus_message_enter_container(reply, 'a', "{sv}") < 0)
                return UINT32_MAX;

        while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
                if (sd_bus_message_read_basic(reply, 's', &key) < 0)
                        return UINT32_MAX;
                if (streq(key, "UnixUserID"))
                        return sd_bus_message_read(reply, "v", "u", &uid) < 0 ? UINT32_MAX : uid;
                if (sd_bus_message_skip(reply, "v") < 0 || sd_bus_message_exit_container(reply) < 0)
                        return UINT32_MAX;
        }

        return UINT32_MAX;
}

static int sender_on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Sender *s = userdata;

        s->slot = sd_bus_slot_unref(s->slot);
        s->uid = read_uid(reply);
        s->known = true;

        for (size_t i = 0; i < s->n_held; i++)
                if (sd_bus_enqueue_for_read(s->auth->bus, s->held[i]) < 0) {
                        /* Out of memory: nobody will see these again. */
                        while (s->n_held > i)
                                sd_bus_message_unref(s->held[--s->n_held]);
                        break;
                }

        return 1;
}

static int sender_new(BusAuth *a, const char *name, Sender **ret) {
        _cleanup_(sender_freep) Sender *s = NULL;
        Sender **place = find_place(a);
        int r;

        if (!place)
                return -EBUSY;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (Sender) { .auth = a, .uid = UINT32_MAX, .name = strdup(name) };
        if (!s->name)
                return -ENOMEM;

        r = sd_bus_call_method_async(a->bus, &s->slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetConnectionCredentials",
                                     sender_on_credentials, s, "s", name);
        if (r < 0)
                return r;

        sender_free(*place);
        *ret = *place = TAKE_PTR(s);
        return 0;
}

/* 0: *ret_uid is the sender's; 1: the message was held. */
static int sender_identify(BusAuth *a, sd_bus_message *m, uint32_t *ret_uid) {
        const char *name = sd_bus_message_get_sender(m);
        Sender *s;
        int r;

        if (!name)
                return -EBADMSG;

        s = sender_find(a, name);
        if (!s) {
                r = sender_new(a, name, &s);
                if (r < 0)
                        return r;
        }
        s->last_use = ++a->clock;

        if (s->known && s->n_held > 0 && s->held[0] == m)
                sender_unhold_first(s);
        else if (!s->known || s->n_held > 0) {
                if (s->n_held >= SENDER_HELD_MAX)
                        return -EBUSY;
                r = sender_hold(s, m);
                if (r < 0)
                        return r;
                /* Those before it have been put back already: it goes behind them. */
                if (s->known)
                        r = sd_bus_enqueue_for_read(a->bus, m);
                if (r < 0) {
                        sd_bus_message_unref(s->held[--s->n_held]);
                        return r;
                }
                return 1;
        }

        *ret_uid = s->uid;
        return 0;
}

/* -- polkit -- */

static Check *check_free(Check *c) {
        if (!c)
                return NULL;

        if (c->auth) {
                Check **p = &c->auth->checks;

                while (*p && *p != c)
                        p = &(*p)->next;
                if (*p)
                        *p = c->next;
        }
        sd_bus_slot_unref(c->slot);
        sd_bus_message_unref(c->message);
        error_done(&c->error);
        free(c);
        return NULL;
}

static int access_denied(Error *e, BusAction action) {
        if (!bus_action_id(action))
                return error_set(e, -EACCES, "AccessDenied", "Only root may do this.");
        return error_set(e, -EACCES, "AccessDenied",
                         "Only root and who is granted the polkit action “%s” may do this.",
                         bus_action_id(action));
}

/* polkit is not installed, or was masked: somebody's decision, unlike a polkit that fails to start. */
static bool is_absent(sd_bus_message *reply) {
        static const char *const names[] = {
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                "org.freedesktop.systemd1.NoSuchUnit",
                "org.freedesktop.systemd1.UnitMasked",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (sd_bus_message_is_method_error(reply, names[i]))
                        return true;

        return false;
}

static int check_evaluate(Check *c, sd_bus_message *reply, Error *reterr_error) {
        int authorized = false, challenge = false, r;

        if (is_absent(reply))
                return c->action == BUS_ACTION_INSPECT ? 0 : access_denied(reterr_error, c->action);
        if (sd_bus_message_is_method_error(reply, NULL))
                return error_set(reterr_error, -EACCES, "AccessDenied",
                                 "The authorization could not be checked: %s",
                                 sd_bus_message_get_error(reply)->message);

        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r >= 0 && authorized)
                return 0;
        if (r >= 0 && challenge)
                return error_set(reterr_error, -EACCES, "InteractiveAuthorizationRequired",
                                 "This needs the authorization “%s”, for which somebody must authenticate.",
                                 bus_action_id(c->action));
        return access_denied(reterr_error, c->action);
}

/* Namespace, object and verb: so that rules and the question can name them. */
static int check_append_details(sd_bus_message *request, sd_bus_message *m) {
        _cleanup_free_ char *ns = NULL, *name = NULL, *number = NULL;
        const char *path = sd_bus_message_get_path(m), *argument = NULL;
        int r;

        if (sd_bus_path_decode_many(path, BUS_PATTERN_IMAGE, &ns, &name) <= 0 &&
            sd_bus_path_decode_many(path, BUS_PATTERN_NETWORK, &ns, &name) <= 0 &&
            sd_bus_path_decode_many(path, BUS_PATTERN_CONTAINER, &ns, &name) <= 0 &&
            sd_bus_path_decode_many(path, BUS_PATTERN_EXEC, &ns, &name, &number) <= 0 &&
            sd_bus_path_decode_many(path, BUS_PATTERN_NAMESPACE, &ns) <= 0)
                (void) sd_bus_path_decode_many(path, BUS_PATTERN_JOB, &name);

        /* Of a call on the manager or a namespace the object is what the first argument names. */
        if (!name && sd_bus_message_peek_type(m, NULL, NULL) > 0 &&
            startswith(sd_bus_message_get_signature(m, true), "s"))
                (void) sd_bus_message_read_basic(m, 's', &argument);

        r = sd_bus_message_append(request, "a{ss}", 3,
                                  "namespace", strempty(ns),
                                  "object", name ?: strempty(argument),
                                  "verb", sd_bus_message_get_member(m));
        (void) sd_bus_message_rewind(m, true);
        return r;
}

static void checks_send(BusAuth *a);

/* The call goes round once more, to check_finish(). */
static void check_answered(Check *c) {
        if (sd_bus_enqueue_for_read(c->auth->bus, c->message) < 0)
                check_free(c);
}

static int check_on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Check *c = userdata;
        BusAuth *a = c->auth;

        c->slot = sd_bus_slot_unref(c->slot);
        (void) check_evaluate(c, reply, &c->error);
        check_answered(c);
        checks_send(a);
        return 1;
}

static int check_send(Check *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *request = NULL;
        uint32_t interactive = sd_bus_message_get_allow_interactive_authorization(c->message) > 0;
        int r;

        r = sd_bus_message_new_method_call(c->auth->bus, &request, "org.freedesktop.PolicyKit1",
                                           "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(request, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                  sd_bus_message_get_sender(c->message), bus_action_id(c->action));
        if (r < 0)
                return r;
        r = check_append_details(request, c->message);
        if (r < 0)
                return r;
        r = sd_bus_message_append(request, "us", interactive, NULL);
        if (r < 0)
                return r;

        /* Somebody who types a password takes as long as they take; polkit ends it when the caller goes
         * away. */
        return sd_bus_call_async(c->auth->bus, &c->slot, request, check_on_reply, c, UINT64_MAX);
}

static size_t checks_count(BusAuth *a, bool running, const uint32_t *uid) {
        size_t n = 0;

        for (Check *c = a->checks; c; c = c->next)
                n += (!running || c->slot) && (!uid || c->uid == *uid);
        return n;
}

/* As many as there is room for. */
static void checks_send(BusAuth *a) {
        Check *next;

        for (Check *c = a->checks; c; c = next) {
                int r;

                next = c->next;
                if (c->sent || checks_count(a, true, &c->uid) >= CHECKS_USER_RUNNING_MAX)
                        continue;
                if (checks_count(a, true, NULL) >= CHECKS_RUNNING_MAX)
                        return;

                c->sent = true;
                r = check_send(c);
                if (r < 0) {
                        (void) error_set(&c->error, r, "AccessDenied",
                                         "The authorization could not be checked: %m");
                        check_answered(c);
                }
        }
}

static int check_new(BusAuth *a, sd_bus_message *m, BusAction action, uint32_t uid) {
        Check **p, *c;

        if (checks_count(a, false, NULL) >= CHECKS_MAX || checks_count(a, false, &uid) >= CHECKS_USER_MAX)
                return -EBUSY;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Check) { .auth = a, .message = sd_bus_message_ref(m), .action = action, .uid = uid };

        for (p = &a->checks; *p; p = &(*p)->next)
                ;
        *p = c;
        return 0;
}

static Check *check_find(BusAuth *a, sd_bus_message *m) {
        for (Check *c = a->checks; c; c = c->next)
                if (c->message == m)
                        return c;

        return NULL;
}

/* The call comes by for the last time, with polkit's answer. 0: on to the object. */
static int check_finish(Check *c, sd_bus_message *m) {
        _cleanup_error_ Error error = ERROR_NULL;

        (void) error_move(&error, &c->error);
        check_free(c);
        return error_is_set(&error) ? reply_and_consume(m, &error) : 0;
}

/* -- the filter -- */

static int filter_ask(BusAuth *a, sd_bus_message *m, BusAction action) {
        _cleanup_error_ Error error = ERROR_NULL;
        uint32_t uid;
        int r;

        r = sender_identify(a, m, &uid);
        if (r > 0)
                return 1;
        if (r == -EBUSY)
                return reply_too_many(m, "calls");
        if (r < 0) {
                (void) error_set(&error, r, "AccessDenied",
                                 "The sender's credentials cannot be asked for: %m");
                return reply_and_consume(m, &error);
        }
        if (uid == 0)
                return 0;

        if (action == BUS_ACTION_ROOT) {
                (void) access_denied(&error, action);
                return reply_and_consume(m, &error);
        }

        r = check_new(a, m, action, uid);
        if (r == -EBUSY)
                return reply_too_many(m, "authorization checks");
        if (r < 0)
                return r;
        checks_send(a);
        return 1;
}

static int bus_auth_filter(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusAuth *a = userdata;
        BusAction action;
        uint8_t type;
        Check *c;

        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;

        c = check_find(a, m);
        if (c)
                return check_finish(c, m);

        action = action_for_message(m);
        (void) sd_bus_message_rewind(m, true);
        return action == BUS_ACTION_OPEN ? 0 : filter_ask(a, m, action);
}

int bus_auth_new(sd_bus *bus, BusAuth **ret, Error *reterr_error) {
        _cleanup_(bus_auth_freep) BusAuth *a = NULL;
        int r;

        a = calloc(1, sizeof(*a));
        if (!a)
                return error_oom(reterr_error);

        a->bus = bus;
        r = sd_bus_add_filter(bus, &a->filter_slot, bus_auth_filter, a);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The authorization filter cannot be installed: %m");

        *ret = TAKE_PTR(a);
        return 0;
}

BusAuth *bus_auth_free(BusAuth *a) {
        if (!a)
                return NULL;

        sd_bus_slot_unref(a->filter_slot);
        while (a->checks)
                check_free(a->checks);
        for (size_t i = 0; i < SENDERS_MAX; i++)
                sender_free(a->senders[i]);
        free(a);
        return NULL;
}
