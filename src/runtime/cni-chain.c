/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Running plug-ins. What one writes is read up to a limit, and for as long as it has: one that has left a child behind, with its
 * pipes open, has ended nevertheless. It leads a group, which is killed when the time is up; what has left that as well goes with
 * the unit. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/process.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "basic/time-util.h"
#include "runtime/cni.h"
#include "runtime/report.h"

#define STDERR_MAX 4096U /* of that the beginning is kept, for the error */
#define BUFFER_SIZE 65536U
#define PIPE_SIZE_MAX (1024U * 1024U) /* /proc/sys/fs/pipe-max-size */
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define CODE_UNKNOWN_CONTAINER 3 /* there is nothing to be undone */

typedef struct Stream {
        int fd;
        char *text;
        size_t n, max;
        bool full; /* there was more */
} Stream;

typedef struct PluginRun {
        const CniConf *conf;
        const CniCall *call;
        const char *type;
        Stream out, err;
        pid_t pid;
        int pidfd;
        int code, status; /* as pidfd_reap() has them */
} PluginRun;

static void plugin_run_done(PluginRun *p) {
        safe_close(p->out.fd);
        safe_close(p->err.fd);
        safe_close(p->pidfd);
        free(p->out.text);
        free(p->err.text);
}

/* -- start -------------------------------------------------------------------------------------- */

static int set_variable(char ***env, const char *name, const char *value) {
        _cleanup_free_ char *s = strjoin(name, "=", value);

        return s ? strv_env_set(env, s) : -ENOMEM;
}

static int environment(const CniCall *call, char ***ret) {
        const struct {
                const char *name, *value;
        } variables[] = {
                { "CNI_COMMAND", cni_command_to_string(call->command) },
                { "CNI_CONTAINERID", call->container },
                { "CNI_NETNS", call->netns },
                { "CNI_IFNAME", call->interface },
                { "CNI_PATH", call->plugin_path },
        };
        _cleanup_strv_free_ char **env = NULL;
        const char *path = getenv("PATH");
        int r;

        /* Nothing else of this process's: LISTEN_FDS, NOTIFY_SOCKET and the like are not theirs. */
        r = path ? set_variable(&env, "PATH", path) : strv_extend(&env, DEFAULT_PATH);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(variables); i++)
                if (variables[i].value)
                        r = set_variable(&env, variables[i].name, variables[i].value);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}

static int make_pipe(Stream *s, int *ret_write) {
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        s->fd = fds[0];
        *ret_write = fds[1];
        r = fd_set_nonblock(s->fd, true);
        return r;
}

static int start(PluginRun *p, const char *path, json_t *request, Error *reterr_error) {
        _cleanup_close_ int in = -EBADF, out = -EBADF, err = -EBADF;
        _cleanup_free_ char *text = json_dump(request, false);
        _cleanup_strv_free_ char **env = NULL;
        int r;

        r = text ? environment(p->call, &env) : -ENOMEM;
        if (r >= 0)
                r = in = memfd_new_sealed("cni", text, strlen(text));
        if (r >= 0)
                r = make_pipe(&p->out, &out);
        if (r >= 0)
                r = make_pipe(&p->err, &err);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot run the plug-in \"%s\": %m", p->type);

        SpawnSpec spec = {
                .path = path,
                .argv = (char *[]){ (char *) path, NULL },
                .envp = env,
                .fds = { in, out, err },
                .n_fds = 3,
                .new_group = true,
        };
        return process_spawn(&spec, &p->pid, &p->pidfd, reterr_error);
}

/* -- what it says ------------------------------------------------------------------------------- */

/* 0: there is no more of it. */
static int read_some(Stream *s) {
        char buffer[BUFFER_SIZE];
        ssize_t n;
        char *text;

        n = read(s->fd, buffer, sizeof(buffer));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
        if (n == 0)
                return 0;
        s->full = s->full || s->n + (size_t) n > s->max;
        n = (ssize_t) MIN((size_t) n, s->max - s->n);
        text = realloc(s->text, s->n + (size_t) n + 1);
        if (!text)
                return -ENOMEM;
        s->text = text;
        memcpy(text + s->n, buffer, (size_t) n);
        s->n += (size_t) n;
        text[s->n] = 0;
        return 1;
}

/* As much as a pipe has at most: who goes on writing is to be stopped in time. */
static int read_stream(Stream *s) {
        int r = 1;

        for (size_t n = 0; n < PIPE_SIZE_MAX && (r = read_some(s)) > 0; n += BUFFER_SIZE)
                ;
        if (r == 0)
                s->fd = safe_close(s->fd);
        return r == -ENOMEM ? r : 0;
}

static int remaining_msec(const CniCall *call) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        return now >= call->deadline_usec ? 0 : (int) ((call->deadline_usec - now) / USEC_PER_MSEC) + 1;
}

static int timed_out(const PluginRun *p, Error *reterr_error) {
        return error_set(reterr_error, -ETIMEDOUT, "PluginTimeout",
                         "The plug-in \"%s\" of network \"%s\" did not end in time (%s), and was killed.", p->type,
                         p->conf->name, cni_command_to_string(p->call->command));
}

static int wait_end(PluginRun *p, Error *reterr_error) {
        int r;

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = p->pidfd, .events = POLLIN },
                        { .fd = p->out.fd, .events = POLLIN },
                        { .fd = p->err.fd, .events = POLLIN },
                };
                int n = poll(fds, ELEMENTSOF(fds), remaining_msec(p->call));

                if (n < 0 && errno != EINTR)
                        return error_set_errno(reterr_error, -errno, "Cannot wait for the plug-in \"%s\": %m", p->type);
                if (n == 0 || (n > 0 && fds[0].revents == 0 && remaining_msec(p->call) == 0)) {
                        (void) kill(-p->pid, SIGKILL);
                        (void) pidfd_wait(p->pidfd, &p->code, &p->status);
                        return timed_out(p, reterr_error);
                }
                r = n > 0 && p->out.fd >= 0 ? read_stream(&p->out) : 0;
                if (r >= 0 && n > 0 && p->err.fd >= 0)
                        r = read_stream(&p->err);
                if (r < 0)
                        return error_oom(reterr_error);
                if (n > 0 && fds[0].revents != 0) {
                        /* What it wrote last may have come behind that reading. */
                        if ((p->out.fd >= 0 && read_stream(&p->out) < 0) || (p->err.fd >= 0 && read_stream(&p->err) < 0))
                                return error_oom(reterr_error);
                        r = pidfd_wait(p->pidfd, &p->code, &p->status);
                        return r < 0 ? error_set_errno(reterr_error, r, "Cannot wait for the plug-in \"%s\": %m", p->type)
                                     : 0;
                }
        }
}

/* -- how it ended ------------------------------------------------------------------------------- */

static int failed(const PluginRun *p, Error *reterr_error) {
        const Stream *streams[] = { &p->out, &p->err };
        _cleanup_(cni_failure_done) CniFailure f = {};
        _cleanup_free_ char *text = NULL;
        int r = -EBADMSG;

        /* Where the specification has it on stderr, plug-ins write it to stdout. */
        for (size_t i = 0; r < 0 && i < ELEMENTSOF(streams); i++)
                if (streams[i]->n > 0)
                        r = cni_failure_parse(streams[i]->text, streams[i]->n, &f);
        if (r >= 0) {
                if (p->call->command == CNI_DEL && f.code == CODE_UNKNOWN_CONTAINER)
                        return 0;
                text = strjoin(f.message, f.details ? ": " : "", strempty(f.details));
        } else if (p->err.n > 0) {
                text = strndup(p->err.text, strcspn(p->err.text, "\n"));
        } else
                text = p->code == CLD_EXITED ? strformat("exit code %i, without a word", p->status)
                                             : strformat("ended by signal %s", strempty(signal_to_string(p->status)));
        return error_set(reterr_error, -EREMOTEIO, "PluginFailed", "The plug-in \"%s\" of network \"%s\" failed (%s): %s",
                         p->type, p->conf->name, cni_command_to_string(p->call->command), strempty(text));
}

static int take_result(const PluginRun *p, json_t **result, Error *reterr_error) {
        _cleanup_(cni_result_done) CniResult parsed = {};
        int r;

        if (p->out.full)
                r = error_set(reterr_error, -EFBIG, "BadPluginAnswer", "It has more than %u bytes.", CNI_OUTPUT_SIZE_MAX);
        else
                r = cni_result_parse(strempty(p->out.text), p->out.n, p->conf->version, &parsed, reterr_error);
        if (r < 0) {
                (void) error_prefix(reterr_error, "The answer of plug-in \"%s\" of network \"%s\" is not understood", p->type,
                                    p->conf->name);
                return r;
        }
        json_decref(*result);
        *result = TAKE_PTR(parsed.json);
        return 0;
}

/* Line by line: it is for the log. */
static void report_stderr(const PluginRun *p) {
        _cleanup_strv_free_ char **lines = p->err.n > 0 ? strv_split(p->err.text, "\n") : NULL;

        STRV_FOREACH(s, lines)
                report_warning("%s: %s", p->type, string_sanitize(s));
}

static int run_plugin(const CniConf *conf, size_t i, const CniCall *call, json_t **result, Error *reterr_error) {
        _cleanup_(plugin_run_done) PluginRun p = {
                .conf = conf,
                .call = call,
                .type = cni_conf_plugin(conf, i),
                .out = { .fd = -EBADF, .max = CNI_OUTPUT_SIZE_MAX },
                .err = { .fd = -EBADF, .max = STDERR_MAX },
                .pidfd = -EBADF,
        };
        _cleanup_json_ json_t *request = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = cni_find_plugin(call->plugin_path, p.type, conf->name, &path, reterr_error);
        if (r < 0)
                return r;
        r = cni_request(conf, i, call->command, call->capabilities, call->command == CNI_ADD ? *result : call->previous,
                        call->attachments, &request);
        if (r < 0)
                return error_oom(reterr_error);
        r = start(&p, path, request, reterr_error);
        if (r >= 0)
                r = wait_end(&p, reterr_error);
        if (r >= 0 && (p.code != CLD_EXITED || p.status != 0))
                r = failed(&p, reterr_error);
        else if (r >= 0 && call->command == CNI_ADD)
                r = take_result(&p, result, reterr_error);
        report_stderr(&p);
        return r;
}

static bool is_wanted(const CniConf *conf, CniCommand command) {
        return cni_conf_knows(conf, command) && !(command == CNI_CHECK && conf->disable_check) &&
               !(command == CNI_GC && conf->disable_gc);
}

int cni_chain(const CniConf *conf, const CniCall *call, json_t **ret_result, Error *reterr_error) {
        size_t n = json_array_size(conf->plugins);
        _cleanup_json_ json_t *result = NULL;
        int r = 0;

        if (!is_wanted(conf, call->command))
                return 0;
        for (size_t i = 0; i < n; i++) {
                _cleanup_error_ Error e = ERROR_NULL;
                int k = run_plugin(conf, call->command == CNI_DEL ? n - 1 - i : i, call, &result, &e);

                if (k >= 0 && call->progress && i + 1 < n)
                        call->progress(result, call->userdata);
                if (k >= 0)
                        continue;
                if (r >= 0) {
                        r = k;
                        (void) error_move(reterr_error, &e);
                } else
                        report_warning("%s", error_message(&e));
                /* Of GC alone each is to have its turn. */
                if (call->command != CNI_GC)
                        return r;
        }
        if (r >= 0 && ret_result)
                *ret_result = TAKE_PTR(result);
        return r;
}
