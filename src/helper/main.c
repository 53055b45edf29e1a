/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/log.h"
#include "helper/helper.h"
#include "job/proto.h"

/* moored-helper: one verb a process. Errors go to the daemon over the socket; without one (a person has
 * typed the command) to stderr. */

#define REQUEST_SIZE_MAX 65536U

static const struct {
        const char *name;
        int (*run)(json_t *request, Error *reterr_error);
} verbs[] = {
        { "fetch", verb_fetch },   { "unpack", verb_unpack }, { "settle", verb_settle },
        { "import", verb_import }, { "remove", verb_remove }, { "sync", verb_sync },
};

static void help(void) {
        puts("moored-helper VERB\n\n"
             "One piece of work for moored, in a sandbox. Not for people: the request comes on stdin, answers go to descriptor 3.\n\n"
             "  fetch    get an image from a registry\n"
             "  unpack   extract a layer into a directory\n"
             "  settle   give directories of a layer the attributes that they have in the layers below\n"
             "  import   take an image archive apart\n"
             "  remove   delete what is in a directory\n"
             "  sync     write a file system's data to disk");
}

static int read_request(json_t **ret, Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = read_all(STDIN_FILENO, REQUEST_SIZE_MAX, &text, &n);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read the request: %m");

        return json_parse(text, n, REQUEST_SIZE_MAX, ret, reterr_error);
}

static int run(const char *name, Error *reterr_error) {
        _cleanup_json_ json_t *request = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                if (!streq(verbs[i].name, name))
                        continue;
                r = read_request(&request, reterr_error);
                if (r < 0)
                        return r;
                return verbs[i].run(request, reterr_error);
        }

        return error_set(reterr_error, -EINVAL, "InvalidArgument", "Unknown verb \"%s\"", name);
}

int main(int argc, char *argv[]) {
        _cleanup_error_ Error e = {};
        int type;
        socklen_t l = sizeof(type);

        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
                help();
                return 0;
        }
        if (argc == 2 && streq(argv[1], "--version")) {
                puts("moored-helper " MOORED_VERSION);
                return 0;
        }

        log_open("moored-helper");
        if (argc != 2) {
                log_error("moored-helper takes one verb: see moored-helper --help.");
                return 1;
        }
        if (getsockopt(PROTO_SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &l) < 0 || type != SOCK_SEQPACKET) {
                log_error("moored-helper is started by moored: descriptor 3 is not its socket.");
                return 1;
        }
        /* A daemon that is gone is seen as EPIPE, a file that becomes too large as EFBIG. */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN);
        /* With UTF-8 on both sides libarchive passes names through; in the C locale it would use iconv(),
         * which loads files. */
        if (!setlocale(LC_CTYPE, "C.UTF-8")) {
                log_error("There is no locale C.UTF-8 on this system.");
                return 1;
        }

        if (run(argv[1], &e) < 0) {
                helper_explain(&e);
                if (proto_send_error(PROTO_SOCKET_FD, &e) < 0)
                        log_error("%s", error_message(&e));
                return 1;
        }
        return 0;
}
