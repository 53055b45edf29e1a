/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a resolver runs. It is asked for right before the unit of the first container that needs it, and that unit is
 * ordered behind it: a container's first instruction may be a question. For the next ones it is there already; nothing
 * is asked of PID 1. After the last one it stays for a while, as containers come one after the other.
 *
 *   container_names_start()  a start: opens the files and starts the unit, if that has not been done
 *   container_names_end()    an end: in LINGER_USEC somebody looks which resolvers nobody asks any more
 *   sweep()                  … stops these, and removes what networks have left that are gone
 *
 * The host's own resolver, if it can be told, asks them as well: it is told of a bridge soon after a container is up there
 * (without a carrier the bridge's server would be taken for one of everybody's), and at once when none is any more. */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fs-util.h"
#include "basic/log.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "container/bundle.h"
#include "container/container-private.h"
#include "container/names.h"
#include "container/network-options.h"
#include "container/unit-name.h"
#include "network/names.h"

#define LINGER_USEC (10 * USEC_PER_SEC)
#define TELL_USEC (50 * USEC_PER_MSEC) /* and twice as long each time */
#define TELL_TRIES_MAX 8U

void container_manager_set_resolver(ContainerManager *m, const char *path) {
        m->resolver = path;
        m->resolver_missed = false;
}

static const char *host_conf(void) {
        _cleanup_free_ char *text = NULL;

        if (read_file_at(AT_FDCWD, HOST_RESOLV_CONF, BUNDLE_HOST_FILE_SIZE_MAX, &text, NULL) >= 0 && resolv_is_loopback(text) &&
            access(RESOLVED_RESOLV_CONF, R_OK) >= 0)
                return RESOLVED_RESOLV_CONF;
        return HOST_RESOLV_CONF;
}

static bool is_there(ContainerManager *m) {
        if (!m->resolver || !m->networks)
                return false;
        if (access(m->resolver, X_OK) >= 0) {
                m->resolver_missed = false;
                return true;
        }
        if (!m->resolver_missed)
                log_warning("There is no %s (Debian: package dnsmasq-base): containers do not find each other by name, and ask the host's servers.",
                            m->resolver);
        m->resolver_missed = true;
        return false;
}

bool container_names_are_served(ContainerManager *m, const Network *n) {
        return network_has_names(n) && is_there(m);
}

/* The network whose resolver is to run while this container does: it, or the host, may ask; others find it there. */
static Network *names_network(const Container *c) {
        const Container *owner = container_network_owner(c);
        ContainerManager *m = c->manager;
        Network *n = NULL;
        int r;

        if (container_network_mode(&owner->options, NULL) != NETWORK_MODE_NAMED || !m->resolver || !m->networks)
                return NULL;
        r = network_manager_resolver(m->networks, owner->row.ns, owner->row.id, &n);
        if (r < 0)
                log_debug_errno(r, "Failed to find the resolver of container %s, ignoring: %m", c->row.id);
        return n && is_there(m) ? n : NULL;
}

Network *container_resolver(const Container *c) {
        return strv_length(c->options.dns) > 0 ? NULL : names_network(c);
}

/* -- the host's resolver ------------------------------------------------------------------------ */

static bool is_to_be_told(const Network *n) {
        return n->names_link == 0 && network_names_are_open(n) && network_names_are_used(n);
}

static int tell_host(ContainerManager *m, Network *n) {
        NamesLink l;
        int r;

        r = network_names_link(n, &l);
        if (r < 0)
                return r;
        m->backend->set_names_link(m->backend_userdata, &l);
        n->names_link = l.index;
        names_link_done(&l);
        return 0;
}

static void tell_later(ContainerManager *m);

static int on_tell(sd_event_source *s, uint64_t usec, void *userdata) {
        ContainerManager *m = userdata;
        HashmapIterator i = 0;
        bool again = false;
        Network *n;

        m->tell_timer = sd_event_source_disable_unref(m->tell_timer);
        while (m->networks && network_iterate(m->networks, &i, &n))
                if (is_to_be_told(n))
                        again |= tell_host(m, n) == -EAGAIN;
        if (again && ++m->tell_tries < TELL_TRIES_MAX)
                tell_later(m);
        return 0;
}

static void tell_later(ContainerManager *m) {
        int r;

        r = sd_event_add_time_relative(m->event, &m->tell_timer, CLOCK_MONOTONIC, TELL_USEC << m->tell_tries, 0, on_tell, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer, this host does not find containers by name: %m");
}

void container_names_up(ContainerManager *m) {
        HashmapIterator i = 0;
        Network *n;

        if (!m->networks || !m->backend || !m->backend->set_names_link)
                return;
        m->tell_tries = 0;
        while (!m->tell_timer && network_iterate(m->networks, &i, &n))
                if (is_to_be_told(n))
                        tell_later(m);
}

void container_names_host_came(ContainerManager *m) {
        HashmapIterator i = 0;
        Network *n;

        while (m->networks && network_iterate(m->networks, &i, &n))
                n->names_link = 0;
        container_names_up(m);
}

static void revert(ContainerManager *m, Network *n, int index) {
        if (m->backend->revert_names_link && index > 0)
                m->backend->revert_names_link(m->backend_userdata, index);
        n->names_link = 0;
}

static void untell_host(ContainerManager *m) {
        HashmapIterator i = 0;
        Network *n;

        while (m->networks && network_iterate(m->networks, &i, &n))
                if (n->names_link > 0 && !network_names_are_used(n))
                        revert(m, n, n->names_link);
}

/* -- start -------------------------------------------------------------------------------------- */

static void on_asked(int r, const Error *error, void *userdata) {
        _cleanup_free_ char *unit = userdata;

        if (r < 0 && r != -ECANCELED)
                log_warning("Unit %s, by which containers find each other, cannot be started or stopped: %s", unit,
                            error_message(error));
}

typedef int (*ResolverFunc)(void *backend, const char *unit, void (*func)(int r, const Error *error, void *userdata),
                            void *userdata);

static void ask(ContainerManager *m, ResolverFunc func, const char *device) {
        _cleanup_free_ char *unit = resolver_unit_name(device), *copy = unit ? strdup(unit) : NULL;
        int r;

        if (!copy) {
                (void) log_oom();
                return;
        }
        r = func(m->backend_userdata, unit, on_asked, copy);
        if (r < 0)
                log_warning_errno(r, "Failed to ask systemd for unit %s: %m", unit);
        else
                (void) TAKE_PTR(copy);
}

static void start_resolver(ContainerManager *m, Network *n) {
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        if (!m->backend)
                return;
        r = network_names_open(n, host_conf(), &e);
        if (r < 0)
                log_warning("%s", error_message(&e));
        else if (r > 0)
                ask(m, r > 1 ? m->backend->restart_service : m->backend->start_service, n->row.device);
}

int container_names_start(Container *c, char **ret_unit) {
        Network *n = names_network(c);
        char *unit = NULL;

        if (n)
                start_resolver(c->manager, n);
        if (n && n == container_resolver(c)) {
                unit = resolver_unit_name(n->row.device);
                if (!unit)
                        return -ENOMEM;
        }
        if (ret_unit)
                *ret_unit = unit;
        else
                free(unit);
        return 0;
}

void container_service_failed(ContainerManager *m, const char *unit, const char *result) {
        log_warning("Unit %s, by which containers find each other, has not started (%s); see journalctl -u '%s', then moorctl network reload.",
                    unit, result, unit);
}

/* -- end ---------------------------------------------------------------------------------------- */

/* What there is may have been started by an earlier moored, or for a network that is gone and whose bridge another one has. */
static void sweep_one(const char *device, Network *n, void *userdata) {
        ContainerManager *m = userdata;
        int r;

        if (!m->backend || (n && (network_names_are_used(n) || network_names_are_closed(n))))
                return;
        ask(m, m->backend->stop, device);
        if (n) {
                revert(m, n, (int) if_nametoindex(device));
                network_names_close(n);
                return;
        }
        r = network_manager_drop_names(m->networks, device);
        if (r < 0)
                log_warning_errno(r, "Failed to remove the names of containers on %s, ignoring: %m", device);
}

static void sweep(ContainerManager *m) {
        int r;

        r = network_manager_foreach_names(m->networks, sweep_one, m);
        if (r < 0)
                log_warning_errno(r, "Failed to look for resolvers that nobody asks any more: %m");
}

static int on_sweep(sd_event_source *s, uint64_t usec, void *userdata) {
        ContainerManager *m = userdata;

        m->sweep_timer = sd_event_source_disable_unref(m->sweep_timer);
        if (m->networks)
                sweep(m);
        return 0;
}

void container_names_end(ContainerManager *m) {
        int r;

        untell_host(m);
        if (!m->resolver || m->sweep_timer)
                return;
        r = sd_event_add_time_relative(m->event, &m->sweep_timer, CLOCK_MONOTONIC, LINGER_USEC, 0, on_sweep, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer, resolvers that nobody asks any more stay: %m");
}

/* -- at the start of the daemon, and when somebody says that something is amiss ----------------- */

void container_names_reload(ContainerManager *m) {
        HashmapIterator i = 0;
        Network *n;

        if (!m->networks || !m->resolver || !m->backend)
                return;
        while (network_iterate(m->networks, &i, &n)) {
                if (!network_names_are_used(n) || !is_there(m))
                        continue;
                if (network_names_are_open(n))
                        ask(m, m->backend->start_service, n->row.device);
                else
                        start_resolver(m, n);
        }
        container_names_host_came(m);
}

void container_names_recovered(ContainerManager *m) {
        if (!m->networks || !m->resolver)
                return;
        container_names_reload(m);
        sweep(m);
}
