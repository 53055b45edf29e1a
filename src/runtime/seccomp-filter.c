/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/strv.h"
#include "runtime/seccomp-filter.h"

/* Since Linux 5.19. */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV_ (1U << 5)

void seccomp_program_done(SeccompProgram *p) {
        free(p->filter);
        *p = (SeccompProgram) {};
}

int seccomp_flags_parse(const SeccompSpec *s, unsigned *ret, Error *reterr_error) {
        unsigned v = 0;

        /* As runc and crun have it. */
        if (!s->flags)
                v = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        STRV_FOREACH(f, s->flags) {
                if (streq(f, "SECCOMP_FILTER_FLAG_LOG"))
                        v |= SECCOMP_FILTER_FLAG_LOG;
                else if (streq(f, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
                        v |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
                else if (streq(f, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
                        /* Of a question that nobody asks the kernel wants to hear nothing. */
                        v |= s->listener_path ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV_ : 0;
                else if (!streq(f, "SECCOMP_FILTER_FLAG_TSYNC")) /* there is one thread */
                        return error_set(reterr_error, -EOPNOTSUPP, "NotSupported",
                                         "linux.seccomp.flags: \"%s\" is not supported.", f);
        }
        *ret = v;
        return 0;
}

int seccomp_install(const SeccompProgram *p) {
        struct sock_fprog prog = { .len = (unsigned short) p->n, .filter = p->filter };

        return RET_NERRNO((int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, p->flags, &prog));
}
