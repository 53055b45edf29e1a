/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*   moored                                                 this, in moored-cni@….service
 *   ------------------------------------------------------  ------------------------------------------------
 *   a byte, a sealed memfd with the request (cni.h) and,
 *   if there is one, the network namespace  --------------->
 *   <-----------------------------------------------------  a byte, a sealed memfd: {"results": […]}, or
 *                                                           {"name": …, "error": …}
 *
 * What was begun is brought to its end though nobody waits for it any more: who asks again gets to know how it ended. */

#include <signal.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/cni.h"
#include "runtime/report.h"

#define SOCKET_FD STDIN_FILENO

static int receive(json_t **ret, int *ret_netns, Error *reterr_error) {
        _cleanup_close_ int memfd = -EBADF, netns = -EBADF;
        _cleanup_free_ char *text = NULL;
        int fds[FDS_MAX], r;
        size_t n_fds = 0, size;
        char byte;

        r = (int) recv_with_fds(SOCKET_FD, &byte, 1, fds, &n_fds, 0);
        for (size_t i = 2; i < n_fds; i++)
                safe_close(fds[i]);
        memfd = n_fds > 0 ? fds[0] : -EBADF;
        netns = n_fds > 1 ? fds[1] : -EBADF;
        if (r <= 0 || memfd < 0)
                return error_set(reterr_error, r < 0 ? r : -EBADMSG, "Failed", "There is no request.");
        r = read_all(memfd, CNI_REQUEST_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "The request cannot be read: %m");
        r = json_parse(text, size, CNI_REQUEST_MAX, ret, reterr_error);
        if (r >= 0)
                *ret_netns = TAKE_FD(netns);
        return r;
}

static int answer(json_t *j) {
        _cleanup_free_ char *text = j ? json_dump(j, false) : NULL;
        _cleanup_close_ int memfd = -EBADF;
        int r;

        r = memfd = text ? memfd_new_sealed("cni", text, strlen(text)) : -ENOMEM;
        return r < 0 ? r : send_with_fds(SOCKET_FD, "", 1, &memfd, 1, MSG_NOSIGNAL);
}

int cni_serve(char *argv[], Error *reterr_error) {
        static const CniPlaces places = {
                .conf_dir = CNI_CONF_DIR,
                .plugin_path = CNI_PLUGIN_PATH,
                .state_dir = CNI_STATE_DIR,
                .netns_dir = CNI_NETNS_DIR,
                .chain_usec = CNI_CHAIN_USEC,
        };
        _cleanup_json_ json_t *request = NULL, *result = NULL;
        _cleanup_close_ int netns = -EBADF;
        _cleanup_error_ Error e = ERROR_NULL;
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        r = receive(&request, &netns, reterr_error);
        if (r < 0)
                return r;
        r = cni_serve_request(&places, request, netns, &result, &e);
        if (r < 0) {
                report_error(&e);
                result = json_pack("{s:s, s:s}", "name", error_name(&e), "error", error_message(&e));
        } else if (!result)
                result = json_object();
        r = answer(result);
        if (r == -EPIPE || r == -ECONNRESET)
                report_warning("Nobody waits for the answer any more.");
        else if (r < 0)
                return error_set_errno(reterr_error, r, "The answer cannot be sent: %m");
        return 0;
}
