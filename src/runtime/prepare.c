/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "runtime/prepare.h"

void prepared_done(Prepared *p) {
        free(p->text);
        runtime_spec_free(p->spec);
        plan_free(p->plan);
        seccomp_program_done(&p->seccomp);
        for (size_t i = 0; i < _NAMESPACE_TYPE_MAX; i++)
                p->clone.namespace_fds[i] = safe_close(p->clone.namespace_fds[i]);
        *p = PREPARED_INIT;
}

int runtime_spec_read(const char *path, RuntimeSpec **ret, char **ret_text, size_t *ret_size,
                      Error *reterr_error) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, SPEC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot read \"%s\": %m", path);
        r = runtime_spec_parse(text, size, ret, reterr_error);
        if (r < 0) {
                error_prefix(reterr_error, "%s", path);
                return r;
        }

        if (ret_text) {
                *ret_text = TAKE_PTR(text);
                *ret_size = size;
        }
        return 0;
}

static int open_namespaces(Prepared *p, Error *reterr_error) {
        for (NamespaceType t = 0; t < _NAMESPACE_TYPE_MAX; t++) {
                if (!p->spec->namespaces[t].path)
                        continue;
                p->clone.namespace_fds[t] = namespace_open(t, p->spec->namespaces[t].path, reterr_error);
                if (p->clone.namespace_fds[t] < 0)
                        return p->clone.namespace_fds[t];
        }
        return 0;
}

int prepare_spec(Prepared *p, const char *bundle, const char *config, Error *reterr_error) {
        _cleanup_free_ char *path = NULL;

        path = config[0] == '/' ? strdup(config) : path_join(bundle, config);
        if (!path)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return runtime_spec_read(path, &p->spec, &p->text, &p->text_size, reterr_error);
}

int prepare_plan(Prepared *p, const char *bundle, Error *reterr_error) {
        int r;

        r = plan_new(p->spec, bundle, &p->plan, reterr_error);
        if (r < 0)
                return r;
        r = seccomp_get(p->spec, &p->seccomp, reterr_error);
        if (r < 0)
                return r;
        p->clone.flags = p->plan->clone_flags;
        return open_namespaces(p, reterr_error);
}
