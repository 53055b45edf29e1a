/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "basic/log.h"
#include "basic/string-util.h"

/* The text is formatted into a buffer of fixed size and neither target needs memory: out of memory can be
 * logged. A line that does not fit is cut. */

#define LOG_LINE_MAX 4096U
#define LOG_FIELDS_MAX 24U /* extra fields of log_fields(); what is beyond is left out */

typedef enum LogTarget {
        LOG_TARGET_CONSOLE,
        LOG_TARGET_JOURNAL,
        LOG_TARGET_INVALID_ = -EINVAL,
} LogTarget;

static const char *const log_target_table[] = {
        [LOG_TARGET_CONSOLE] = "console",
        [LOG_TARGET_JOURNAL] = "journal",
};

static const char *const log_level_table[] = {
        [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static int log_max_level = LOG_INFO;
static LogTarget log_target = LOG_TARGET_CONSOLE;
static char log_ident[64] = "moored";

void log_set_max_level(int level) {
        log_max_level = level;
}

int log_get_max_level(void) {
        return log_max_level;
}

int log_level_from_string(const char *s) {
        uint32_t n;

        if (!s)
                return -EINVAL;

        for (size_t i = 0; i < ELEMENTSOF(log_level_table); i++)
                if (streq(log_level_table[i], s))
                        return (int) i;

        if (parse_uint32(s, &n) >= 0 && n <= LOG_DEBUG)
                return (int) n;

        return -EINVAL;
}

const char *log_level_to_string(int level) {
        return level >= 0 && (size_t) level < ELEMENTSOF(log_level_table) ? log_level_table[level] : NULL;
}

static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;
        char end;

        if (!e || sscanf(e, "%llu:%llu%c", &dev, &ino, &end) != 2)
                return false;
        if (fstat(STDERR_FILENO, &st) < 0)
                return false;

        return st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *ident) {
        const char *e;
        int level;

        if (ident)
                (void) snprintf(log_ident, sizeof(log_ident), "%s", ident);

        log_target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_CONSOLE;

        e = getenv("MOORED_LOG_LEVEL");
        if (!e)
                return;

        level = log_level_from_string(e);
        if (level < 0)
                log_warning("$MOORED_LOG_LEVEL=%s is no level: use debug, info, notice, warning or err.", e);
        else
                log_set_max_level(level);
}

const char *log_get_target(void) {
        return log_target_table[log_target];
}

int log_set_target(const char *target) {
        for (size_t i = 0; target && i < ELEMENTSOF(log_target_table); i++)
                if (streq(log_target_table[i], target)) {
                        log_target = (LogTarget) i;
                        return 0;
                }

        return -EINVAL;
}

static void write_console(char *text) {
        static const char newline = '\n';
        struct iovec iov[] = {
                { string_sanitize(text), strlen(text) },
                { (char *) &newline, 1 },
        };

        /* One call, so that lines of several processes do not mix. Where it fails nobody is left to tell. */
        while (writev(STDERR_FILENO, iov, ELEMENTSOF(iov)) < 0 && errno == EINTR)
                ;
}

static struct iovec iov_string(const char *s) {
        return (struct iovec){ (char *) s, strlen(s) };
}

static void log_dispatch(int level, int error, const char *const *fields, char *line) {
        char priority[sizeof("PRIORITY=") + 12], ident[sizeof("SYSLOG_IDENTIFIER=") + sizeof(log_ident)];
        char code[sizeof("ERRNO=") + 12];
        struct iovec iov[4 + LOG_FIELDS_MAX];
        int n = 0;

        if (log_target == LOG_TARGET_JOURNAL) {
                (void) snprintf(priority, sizeof(priority), "PRIORITY=%d", level);
                (void) snprintf(ident, sizeof(ident), "SYSLOG_IDENTIFIER=%s", log_ident);
                (void) snprintf(code, sizeof(code), "ERRNO=%d", error);
                iov[n++] = iov_string(line);
                iov[n++] = iov_string(priority);
                iov[n++] = iov_string(ident);
                if (error > 0)
                        iov[n++] = iov_string(code);
                for (size_t i = 0; fields && fields[i] && i < LOG_FIELDS_MAX; i++)
                        iov[n++] = iov_string(fields[i]);

                if (sd_journal_sendv(iov, n) >= 0)
                        return;
        }

        write_console(line + strlen("MESSAGE="));
}

static void log_formatv(int level, int error, const char *const *fields, const char *format, va_list ap)
                _printf_(4, 0);
static void log_formatv(int level, int error, const char *const *fields, const char *format, va_list ap) {
        char line[LOG_LINE_MAX] = "MESSAGE=";
        size_t l = strlen(line);

        errno = error; /* for %m */
        (void) vsnprintf(line + l, sizeof(line) - l, format, ap);
        log_dispatch(level, error, fields, line);
}

int log_internal(int level, int error, const char *file, int line, const char *func, const char *format,
                 ...) {
        char code_file[256], code_line[sizeof("CODE_LINE=") + 12], code_func[128];
        const char *const fields[] = { code_file, code_line, code_func, NULL };
        int saved_errno = errno;
        va_list ap;

        if (error < 0)
                error = -error;

        (void) snprintf(code_file, sizeof(code_file), "CODE_FILE=%s", file);
        (void) snprintf(code_line, sizeof(code_line), "CODE_LINE=%d", line);
        (void) snprintf(code_func, sizeof(code_func), "CODE_FUNC=%s", func);

        va_start(ap, format);
        log_formatv(level, error, fields, format, ap);
        va_end(ap);

        errno = saved_errno;
        return -error;
}

int log_fields(int level, int error, const char *const *fields, const char *format, ...) {
        int saved_errno = errno;
        va_list ap;

        if (error < 0)
                error = -error;
        if (level > log_max_level)
                return -error;

        va_start(ap, format);
        log_formatv(level, error, fields, format, ap);
        va_end(ap);

        errno = saved_errno;
        return -error;
}
