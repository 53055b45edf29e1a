/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who appends holds a lock on the file for one write(); who empties it holds it as well, and so nothing is lost
 * between reading and emptying. */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/run-log.h"
#include "basic/string-util.h"
#include "basic/strv.h"

#define LINE_SIZE_MAX 256U

static const struct {
        const char *name;
        int code;
} codes[] = {
        { "none", 0 },
        { "exited", CLD_EXITED },
        { "killed", CLD_KILLED },
        { "dumped", CLD_DUMPED },
};

static const char *code_to_string(int32_t code) {
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (codes[i].code == code)
                        return codes[i].name;
        return "none";
}

static int code_from_string(const char *s, int32_t *ret) {
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (streq(codes[i].name, s)) {
                        *ret = codes[i].code;
                        return 0;
                }
        return -EBADMSG;
}

/* -- lines -- */

static int parse_run(char *const *words, RunRecord *r) {
        if (strlen(words[1]) != RUN_ID_SIZE - 1 || !string_in_charset(words[1], HEX_LOWER))
                return -EBADMSG;
        memcpy(r->invocation_id, words[1], RUN_ID_SIZE);
        return parse_uint64(words[2], &r->usec);
}

static int parse_start(char *const *words, RunRecord *r) {
        int k;

        k = parse_run(words, r);
        return k < 0 ? k : parse_uint32(words[3], &r->pid);
}

static int parse_exit(char *const *words, RunRecord *r) {
        uint32_t status = 0;
        int k;

        k = parse_run(words, r);
        if (k >= 0)
                k = code_from_string(words[4], &r->code);
        if (k >= 0)
                k = parse_uint32(words[5], &status);
        if (k >= 0)
                k = parse_uint64(words[6], &r->n);
        if (k < 0 || status > 255 || strlen(words[3]) >= RUN_RESULT_SIZE ||
            !string_in_charset(words[3], LOWERCASE "-"))
                return -EBADMSG;
        memcpy(r->result, words[3], strlen(words[3]) + 1);
        r->status = (int32_t) status;
        return 0;
}

static int parse_begin(char *const *words, RunRecord *r) {
        return 0;
}

static int parse_dropped(char *const *words, RunRecord *r) {
        return parse_uint64(words[1], &r->n);
}

static const struct {
        const char *name;
        size_t n_words;
        int (*parse)(char *const *words, RunRecord *r);
} types[_RUN_RECORD_TYPE_MAX] = {
        [RUN_BEGIN] = { "begin", 1, parse_begin },
        [RUN_START] = { "start", 4, parse_start },
        [RUN_EXIT] = { "exit", 7, parse_exit },
        [RUN_DROPPED] = { "dropped", 2, parse_dropped },
};

int run_record_parse(const char *line, RunRecord *ret) {
        _cleanup_strv_free_ char **words = NULL;

        if (strlen(line) >= LINE_SIZE_MAX)
                return -EBADMSG;
        words = strv_split(line, " ");
        if (!words)
                return -ENOMEM;
        for (RunRecordType t = 0; t < _RUN_RECORD_TYPE_MAX; t++) {
                RunRecord r = { .type = t };

                if (strv_length(words) != types[t].n_words || !streq(words[0], types[t].name))
                        continue;
                if (types[t].parse(words, &r) < 0)
                        return -EBADMSG;
                *ret = r;
                return 0;
        }
        return -EBADMSG;
}

static int format_record(const RunRecord *r, char buf[static LINE_SIZE_MAX]) {
        int n = -1;

        switch (r->type) {
        case RUN_BEGIN:
                n = snprintf(buf, LINE_SIZE_MAX, "begin\n");
                break;
        case RUN_START:
                n = snprintf(buf, LINE_SIZE_MAX, "start %s %" PRIu64 " %" PRIu32 "\n", r->invocation_id, r->usec,
                             r->pid);
                break;
        case RUN_EXIT:
                n = snprintf(buf, LINE_SIZE_MAX, "exit %s %" PRIu64 " %s %s %" PRIi32 " %" PRIu64 "\n",
                             r->invocation_id, r->usec, r->result, code_to_string(r->code), r->status, r->n);
                break;
        case RUN_DROPPED:
                n = snprintf(buf, LINE_SIZE_MAX, "dropped %" PRIu64 "\n", r->n);
                break;
        default:
                break;
        }
        return n < 0 || (unsigned) n >= LINE_SIZE_MAX ? -EINVAL : n;
}

/* -- the file -- */

int run_log_open(int bundle_fd, bool create) {
        return open_beneath_nofollow(bundle_fd, RUN_LOG_NAME,
                                     O_RDWR | O_APPEND | O_NOCTTY | (create ? O_CREAT : 0), create ? 0600 : 0);
}

static int read_text(int fd, char **ret, uint64_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        uint64_t size;
        size_t n = 0;
        int r;

        r = fd_size(fd, &size);
        if (r < 0)
                return r;
        size = MIN(size, (uint64_t) 2 * RUN_LOG_SIZE_MAX);
        text = malloc(size + 1);
        if (!text)
                return -ENOMEM;
        while (n < size) {
                ssize_t k = pread(fd, text + n, size - n, (off_t) n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        text[n] = 0;
        *ret = TAKE_PTR(text);
        *ret_size = n;
        return 0;
}

int run_log_read(int fd, RunRecord **ret, size_t *ret_n, uint64_t *ret_size) {
        _cleanup_free_ RunRecord *records = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n = 0, lines = 0;
        uint64_t size;
        int r;

        r = read_text(fd, &text, &size);
        if (r < 0)
                return r;
        for (const char *p = text; *p; p++)
                lines += *p == '\n';
        records = calloc(lines + 1, sizeof(*records));
        if (!records)
                return -ENOMEM;

        for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
                *end = 0;
                r = run_record_parse(p, &records[n]);
                if (r == -ENOMEM)
                        return r;
                n += r >= 0;
        }

        *ret = TAKE_PTR(records);
        *ret_n = n;
        if (ret_size)
                *ret_size = size;
        return 0;
}

static int write_line(int fd, const RunRecord *record) {
        char line[LINE_SIZE_MAX];
        uint64_t before;
        int r, n;

        n = format_record(record, line);
        if (n < 0)
                return n;
        r = fd_size(fd, &before);
        if (r >= 0)
                r = write_full(fd, line, (size_t) n);
        if (r < 0 && ftruncate(fd, (off_t) before) < 0)
                return -errno;
        return r;
}

/* The lock is held. Nobody has taken anything over for long: the number is kept, the rest goes. */
static int drop_all(int fd) {
        _cleanup_free_ RunRecord *records = NULL;
        RunRecord dropped = { .type = RUN_DROPPED };
        size_t n;
        int r;

        r = run_log_read(fd, &records, &n, NULL);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (records[i].type == RUN_DROPPED)
                        dropped.n += records[i].n;
                else if (records[i].type == RUN_START)
                        /* It may be said twice. */
                        dropped.n += i == 0 || !streq(records[i].invocation_id, records[i - 1].invocation_id);
        if (ftruncate(fd, 0) < 0)
                return -errno;
        return write_line(fd, &dropped);
}

int run_log_append(int fd, const RunRecord *record) {
        uint64_t size;
        int r;

        while (flock(fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return -errno;
        r = fd_size(fd, &size);
        if (r >= 0 && size >= RUN_LOG_SIZE_MAX)
                r = drop_all(fd);
        if (r >= 0)
                r = write_line(fd, record);
        (void) flock(fd, LOCK_UN);
        return r;
}

int run_log_clear(int fd, uint64_t size) {
        uint64_t now;
        int r;

        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        r = fd_size(fd, &now);
        if (r >= 0 && size != UINT64_MAX && now != size)
                r = -EBUSY;
        if (r >= 0)
                r = RET_NERRNO(ftruncate(fd, 0));
        (void) flock(fd, LOCK_UN);
        return r;
}
