/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/fs-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "runtime/cgroup-path.h"
#include "runtime/cgroup-scope.h"
#include "runtime/cgroup-tree.h"
#include "runtime/cgroup.h"
#include "runtime/remains.h"
#include "runtime/resctrl.h"
#include "runtime/state.h"

/* A line each: the path of a cgroup, or the name of a unit. */
#define NOTE_FILE "remains"
#define NOTE_SIZE_MAX 65536U

static int add_places(char ***lines, const RuntimeSpec *spec, const char *id, bool rootless,
                      Error *reterr_error) {
        _cleanup_strv_free_ char **others = NULL;
        char *place = NULL;
        int r;

        r = cgroup_place(spec->cgroups_path, id, &place, reterr_error);
        if (r < 0)
                return r;
        r = strv_consume(lines, place);
        /* Elsewhere it is only where there is no permission. */
        if (r >= 0 && rootless && isempty(spec->cgroups_path) && cgroup_other_places(id, &others) >= 0)
                r = strv_extend_strv(lines, others);
        return r < 0 ? error_set_errno(reterr_error, r, "Out of memory.") : 0;
}

static int add_unit(char ***lines, const RuntimeSpec *spec, const char *id, bool rootless,
                    Error *reterr_error) {
        _cleanup_free_ char *slice = NULL;
        char *unit = NULL;
        int r;

        r = scope_names(spec->cgroups_path, id, rootless, &unit, &slice, reterr_error);
        if (r < 0)
                return r;
        r = strv_consume(lines, unit);
        return r < 0 ? error_set_errno(reterr_error, r, "Out of memory.") : 0;
}

int remains_note(int dir_fd, CgroupManager manager, const RuntimeSpec *spec, const char *id, bool rootless,
                 Error *reterr_error) {
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (manager == CGROUP_MANAGER_DISABLED)
                return 0;
        r = manager == CGROUP_MANAGER_SYSTEMD ? add_unit(&lines, spec, id, rootless, reterr_error)
                                              : add_places(&lines, spec, id, rootless, reterr_error);
        if (r < 0)
                return r;
        text = strv_join(lines, "\n");
        if (!text)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        /* Half a note is as good as none: nothing has been made then. */
        fd = RET_NERRNO(openat(dir_fd, NOTE_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        r = fd < 0 ? fd : write_full(fd, text, strlen(text));
        return r < 0 ? error_set_errno(reterr_error, r, "Cannot note what the container is made of: %m") : 0;
}

static void remove_cgroup(int root_fd, const char *path) {
        _cleanup_close_ int fd = cgroup_dir_open(root_fd, path);

        /* Its processes are on their way out. */
        if (fd >= 0 && cgroup_wait(fd, "populated", 0) >= 0)
                (void) cgroup_remove_tree(root_fd, path);
}

static void remove_resctrl(int dir_fd, const char *id) {
        _cleanup_(runtime_spec_freep) RuntimeSpec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;

        if (read_file_at(dir_fd, STATE_CONFIG, SPEC_SIZE_MAX, &text, &size) >= 0 &&
            strstr(text, "intelRdt") && runtime_spec_parse(text, size, &spec, NULL) >= 0)
                (void) resctrl_remove(&spec->intel_rdt, id, NULL);
}

void remains_remove(int dir_fd, const char *id) {
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_close_ int root_fd = -EBADF;
        _cleanup_free_ char *text = NULL;

        remove_resctrl(dir_fd, id);
        if (read_file_at(dir_fd, NOTE_FILE, NOTE_SIZE_MAX, &text, NULL) < 0)
                return;
        lines = strv_split(text, "\n");
        root_fd = cgroup_root_open(NULL);
        STRV_FOREACH (line, lines)
                if (line[0] != '/') {
                        (void) scope_clean(line, geteuid() != 0, NULL);
                        cgroup_remove_pins(line);
                } else if (root_fd >= 0)
                        remove_cgroup(root_fd, line);
}
