/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Both streams of ours are flushed after each line of the other, so that where they are the same file or
 * terminal the order is kept. */

#include "ctl/log-print.h"

#include <inttypes.h>
#include <time.h>

#include "basic/string-util.h"
#include "basic/time-util.h"
#include "ctl/terminal.h"

static const char *const log_format_table[_LOG_FORMAT_MAX] = {
        [LOG_FORMAT_CAT] = "cat",
        [LOG_FORMAT_SHORT] = "short",
        [LOG_FORMAT_SHORT_ISO] = "short-iso",
        [LOG_FORMAT_SHORT_PRECISE] = "short-precise",
        [LOG_FORMAT_JSON] = "json",
        [LOG_FORMAT_JSON_PRETTY] = "json-pretty",
};
DEFINE_STRING_TABLE(log_format, LogFormat)

static bool is_stderr(const LogLine *line) {
        return line->priority <= LOG_PRIORITY_STDERR_MAX;
}

static json_t *bytes_to_json(const uint8_t *p, size_t size) {
        json_t *j = json_stringn((const char *) p, size);

        if (j || size == 0)
                return j;
        j = json_array();
        for (size_t i = 0; j && i < size; i++)
                if (json_array_append_new(j, json_integer(p[i])) < 0) {
                        json_decref(j);
                        return NULL;
                }
        return j;
}

int log_line_to_json(const LogLine *line, json_t **ret) {
        _cleanup_json_ json_t *j = NULL;
        const LogSource *s = line->source;

        j = json_pack("{sI ss ss ss sI so*}", "USec", (json_int_t) line->usec, "Namespace", s->ns, "Container",
                      s->id, "Stream", is_stderr(line) ? "stderr" : "stdout", "Priority",
                      (json_int_t) line->priority, "Message",
                      line->size > 0 ? bytes_to_json(line->data, line->size) : json_string(""));
        if (!j || (s->image && json_object_set_new(j, "Image", json_string(s->image)) < 0) ||
            (line->exec > 0 && json_object_set_new(j, "Exec", json_integer((json_int_t) line->exec)) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(j);
        return 0;
}

static void format_time(const LogPrinter *p, uint64_t usec, char *buffer, size_t size) {
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;
        size_t n = 0;

        buffer[0] = 0;
        if (!localtime_r(&seconds, &tm))
                return;
        if (p->format == LOG_FORMAT_SHORT_ISO)
                n = strftime(buffer, size, "%FT%T%z", &tm);
        else if (p->format == LOG_FORMAT_CAT)
                n = strftime(buffer, size, "%FT%T", &tm);
        else
                n = strftime(buffer, size, "%b %d %T", &tm);
        if (p->format == LOG_FORMAT_CAT || p->format == LOG_FORMAT_SHORT_PRECISE)
                (void) snprintf(buffer + n, size - n, ".%06u", (unsigned) (usec % USEC_PER_SEC));
}

char *log_line_prefix(const LogPrinter *p, const LogLine *line) {
        const LogSource *s = line->source;
        char date[64] = "", exec[24] = "";

        if (p->format == LOG_FORMAT_CAT && !p->timestamps && !p->names)
                return strdup("");
        if (p->format != LOG_FORMAT_CAT || p->timestamps)
                format_time(p, line->usec, date, sizeof(date));
        if (p->format == LOG_FORMAT_CAT && !p->names)
                return strjoin(date, " ");
        if (line->exec > 0)
                (void) snprintf(exec, sizeof(exec), "/%" PRIu64, line->exec);
        return strjoin(date, date[0] ? " " : "", s->id, exec, ": ");
}

int log_print_line(const LogLine *line, void *userdata) {
        LogPrinter *p = userdata;
        bool err = !p->together && is_stderr(line), red, end;
        _cleanup_free_ char *prefix = NULL;
        FILE *f = err ? stderr : stdout;

        p->n_printed++;
        if (p->format >= LOG_FORMAT_JSON) {
                _cleanup_json_ json_t *j = NULL;
                int r;

                r = log_line_to_json(line, &j);
                return r < 0 ? r : json_print(j, p->format == LOG_FORMAT_JSON ? OUTPUT_SHORT : OUTPUT_PRETTY, stdout);
        }

        if (fflush(err ? stdout : stderr) != 0)
                return -EIO;
        if (!line->continued) {
                if (p->open[err])
                        fputc('\n', f);
                prefix = log_line_prefix(p, line);
                if (!prefix)
                        return -ENOMEM;
                fputs(prefix, f);
        }
        red = p->colors[err] && is_stderr(line);
        if (red)
                fputs(ANSI_RED, f);
        if (line->size > 0)
                (void) fwrite(line->data, 1, line->size, f);
        if (red)
                fputs(ANSI_RESET, f);
        /* Only bare lines are left as they were written in that, too. */
        end = line->newline || (!line->more && (p->format != LOG_FORMAT_CAT || p->timestamps || p->names));
        if (end)
                fputc('\n', f);
        p->open[err] = !end;
        return ferror(f) ? -EIO : 0;
}
