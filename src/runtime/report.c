/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/json.h"
#include "basic/string-util.h"
#include "runtime/report.h"

#define REPORT_TEXT_MAX 8192U /* a longer one is cut */

typedef enum LogType {
        LOG_TYPE_NONE,
        LOG_TYPE_FILE,
        LOG_TYPE_SYSLOG,
        LOG_TYPE_JOURNALD,
} LogType;

static const GlobalOptions *options;
static LogType log_type;
static const char *log_target;       /* what stands behind "file:" and the like */
static char log_directory[PATH_MAX]; /* what a relative path is relative to: a command may go elsewhere */

int report_setup(const GlobalOptions *g, Error *reterr_error) {
        static const struct {
                const char *prefix;
                LogType type;
        } types[] = {
                { "file:", LOG_TYPE_FILE },
                { "syslog:", LOG_TYPE_SYSLOG },
                { "journald:", LOG_TYPE_JOURNALD },
        };

        options = g;
        log_type = LOG_TYPE_NONE;
        if (isempty(g->log))
                return 0;

        if (!strchr(g->log, ':')) {
                log_type = LOG_TYPE_FILE;
                log_target = g->log;
        }
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (startswith(g->log, types[i].prefix)) {
                        log_type = types[i].type;
                        log_target = startswith(g->log, types[i].prefix);
                }
        if (log_type == LOG_TYPE_NONE && g->log[0] == '/') {
                log_type = LOG_TYPE_FILE;
                log_target = g->log;
        }
        if (log_type == LOG_TYPE_NONE)
                return error_set(
                                reterr_error, -EINVAL, "InvalidArgument",
                                "--log=%s: what stands before the colon must be \"file\", \"syslog\" or \"journald\".",
                                g->log);

        if (log_type == LOG_TYPE_FILE && log_target[0] != '/' &&
            !getcwd(log_directory, sizeof(log_directory)))
                log_directory[0] = 0;
        return 0;
}

/* A time in UTC with microseconds. */
static void format_time(char *buf, size_t l) {
        struct timespec ts = {};
        struct tm tm = {};
        size_t n;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        (void) gmtime_r(&ts.tv_sec, &tm);
        n = strftime(buf, l, "%Y-%m-%dT%H:%M:%S", &tm);
        (void) snprintf(buf + n, l - n, ".%06ldZ", ts.tv_nsec / 1000);
}

static const char *level_name(int level) {
        return level == LOG_ERR ? "error" : level == LOG_WARNING ? "warning" : "debug";
}

/* One line in the format asked for, NULL if there is no memory for it. */
static char *format_line(int level, const char *text, bool stamp) {
        _cleanup_json_ json_t *o = NULL;
        _cleanup_free_ char *json = NULL;
        char now[64];

        format_time(now, sizeof(now));
        if (!options->log_json)
                return stamp ? strjoin(now, ": ", text, "\n") : strjoin(options->name, ": ", text, "\n");

        o = json_pack("{s:s, s:s, s:s}", "msg", text, "level", level_name(level), "time", now);
        json = o ? json_dump(o, false) : NULL;
        return json ? strjoin(json, "\n") : NULL;
}

static void write_file(const char *line) {
        _cleanup_close_ int fd = -EBADF, dir = -EBADF;

        if (log_target[0] != '/')
                dir = open(log_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = openat(dir, log_target, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, 0644);
        if (fd < 0 || write_full(fd, line, strlen(line)) < 0)
                dprintf(STDERR_FILENO, "%s: cannot write to \"%s\": %s\n", options->name, log_target,
                        strerror(errno));
}

/* The journal's own protocol: lines NAME=VALUE in one datagram. text has no newline in it. */
static void write_journal(int level, const char *text) {
        static const struct sockaddr_un sa = { AF_UNIX, "/run/systemd/journal/socket" };
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *m = NULL;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        m = strformat("PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n", level,
                      isempty(log_target) ? options->name : log_target, text);
        if (fd >= 0 && m)
                (void) sendto(fd, m, strlen(m), MSG_NOSIGNAL, (const struct sockaddr *) &sa, sizeof(sa));
}

static void write_syslog(int level, const char *text) {
        openlog(isempty(log_target) ? options->name : log_target, 0, LOG_USER);
        syslog(level, "%s", text);
        closelog();
}

static void report_text(int level, const char *text) {
        _cleanup_free_ char *line = NULL;

        if (!options) {
                dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, text);
                return;
        }

        switch (log_type) {
        case LOG_TYPE_FILE:
                line = format_line(level, text, true);
                if (line)
                        write_file(line);
                break;
        case LOG_TYPE_SYSLOG:
                write_syslog(level, text);
                break;
        case LOG_TYPE_JOURNALD:
                write_journal(level, text);
                break;
        case LOG_TYPE_NONE:
                line = format_line(level, text, false);
                if (line)
                        (void) write_full(STDERR_FILENO, line, strlen(line));
                return;
        }

        if (level < LOG_DEBUG)
                dprintf(STDERR_FILENO, "%s: %s\n", options->name, text);
}

void report(int level, const char *format, ...) {
        char text[REPORT_TEXT_MAX];
        va_list ap;

        if (level > (options ? options->log_level : LOG_WARNING))
                return;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        report_text(level, string_sanitize(text));
}
