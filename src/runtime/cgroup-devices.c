/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/fd-util.h"
#include "basic/string-util.h"
#include "runtime/cgroup-devices.h"
#include "runtime/spec-private.h"

/* By this name our programs are told from others'. 15 characters at most. */
#define PROGRAM_NAME "mooring_devices"
#define BPF_DIR "/sys/fs/bpf"
#define PROGRAMS_MAX 64 /* the kernel takes no more for a cgroup */

static const DeviceRule default_rules[] = {
        { true, 'c', DEVICE_ANY, DEVICE_ANY, DEVICE_MKNOD },
        { true, 'b', DEVICE_ANY, DEVICE_ANY, DEVICE_MKNOD },
        { true, 'c', 1, 3, DEVICE_ALL },            /* null */
        { true, 'c', 1, 5, DEVICE_ALL },            /* zero */
        { true, 'c', 1, 7, DEVICE_ALL },            /* full */
        { true, 'c', 1, 8, DEVICE_ALL },            /* random */
        { true, 'c', 1, 9, DEVICE_ALL },            /* urandom */
        { true, 'c', 5, 0, DEVICE_ALL },            /* tty */
        { true, 'c', 5, 1, DEVICE_ALL },            /* console */
        { true, 'c', 5, 2, DEVICE_ALL },            /* ptmx */
        { true, 'c', 136, DEVICE_ANY, DEVICE_ALL }, /* pts */
};

void device_program_done(DeviceProgram *p) {
        free(p->instructions);
        *p = (DeviceProgram){};
}

/* What is in which register: the context is only read once. R3 keeps what of the accesses is not decided. */
#define REG_TYPE BPF_REG_2
#define REG_ACCESS BPF_REG_3
#define REG_MAJOR BPF_REG_4
#define REG_MINOR BPF_REG_5

#define HEAD_INSTRUCTIONS 6U
#define RULE_INSTRUCTIONS_MAX 7U
#define TAIL_INSTRUCTIONS 2U

static void add(DeviceProgram *p, struct bpf_insn i) {
        p->instructions[p->n++] = i;
}

static void add_load(DeviceProgram *p, uint8_t to, size_t offset) {
        add(p, (struct bpf_insn){ .code = BPF_LDX | BPF_W | BPF_MEM,
                                  .dst_reg = to,
                                  .src_reg = BPF_REG_1,
                                  .off = (int16_t) offset });
}

static void add_immediate(DeviceProgram *p, uint8_t code, uint8_t to, int16_t jump, uint32_t value) {
        add(p,
            (struct bpf_insn){ .code = code | BPF_K, .dst_reg = to, .off = jump, .imm = (int32_t) value });
}

static void add_return(DeviceProgram *p, bool allow) {
        add_immediate(p, BPF_ALU64 | BPF_MOV, BPF_REG_0, 0, allow);
        add(p, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

static void add_head(DeviceProgram *p) {
        /* access_type: the type of the device in the lower half, the accesses in the upper. */
        add_load(p, REG_TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
        add_immediate(p, BPF_ALU | BPF_AND, REG_TYPE, 0, 0xffff);
        add_load(p, REG_ACCESS, offsetof(struct bpf_cgroup_dev_ctx, access_type));
        add_immediate(p, BPF_ALU | BPF_RSH, REG_ACCESS, 0, 16);
        add_load(p, REG_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
        add_load(p, REG_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
}

static void add_rule(DeviceProgram *p, const DeviceRule *rule) {
        size_t jumps[3], n_jumps = 0;

        if (rule->type != 'a') {
                jumps[n_jumps++] = p->n;
                add_immediate(p, BPF_JMP | BPF_JNE, REG_TYPE, 0,
                              rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
        }
        if (rule->major != DEVICE_ANY) {
                jumps[n_jumps++] = p->n;
                add_immediate(p, BPF_JMP32 | BPF_JNE, REG_MAJOR, 0, (uint32_t) rule->major);
        }
        if (rule->minor != DEVICE_ANY) {
                jumps[n_jumps++] = p->n;
                add_immediate(p, BPF_JMP32 | BPF_JNE, REG_MINOR, 0, (uint32_t) rule->minor);
        }

        if (rule->allow) {
                /* These are decided; with none left the answer is yes. */
                add_immediate(p, BPF_ALU | BPF_AND, REG_ACCESS, 0, DEVICE_ALL & ~rule->access);
                add_immediate(p, BPF_JMP | BPF_JNE, REG_ACCESS, 2, 0);
                add_return(p, true);
        } else {
                /* One that is denied denies all. */
                add_immediate(p, BPF_JMP | BPF_JSET, REG_ACCESS, 1, rule->access);
                add_immediate(p, BPF_JMP | BPF_JA, 0, 2, 0);
                add_return(p, false);
        }
        for (size_t i = 0; i < n_jumps; i++)
                p->instructions[jumps[i]].off = (int16_t) (p->n - jumps[i] - 1);
}

bool device_rule_is_for_all(const DeviceRule *r) {
        return r->type == 'a' && r->major == DEVICE_ANY && r->minor == DEVICE_ANY && r->access == DEVICE_ALL;
}

int device_program_new(const DeviceRule *rules, size_t n, DeviceProgram *ret) {
        _cleanup_(device_program_done) DeviceProgram p = {};

        p.instructions = calloc(HEAD_INSTRUCTIONS + TAIL_INSTRUCTIONS +
                                                RULE_INSTRUCTIONS_MAX * (n + ELEMENTSOF(default_rules)),
                                sizeof(struct bpf_insn));
        if (!p.instructions)
                return -ENOMEM;

        p.allows_all = n > 0 && rules[n - 1].allow && device_rule_is_for_all(&rules[n - 1]);
        add_head(&p);
        for (size_t i = ELEMENTSOF(default_rules); i > 0; i--)
                add_rule(&p, &default_rules[i - 1]);
        for (size_t i = n; i > 0; i--) {
                if (device_rule_is_for_all(&rules[i - 1])) {
                        /* Rules before this one do not matter. */
                        add_return(&p, rules[i - 1].allow);
                        break;
                }
                add_rule(&p, &rules[i - 1]);
                if (i == 1)
                        add_return(&p, false);
        }
        if (n == 0)
                add_return(&p, false);

        *ret = p;
        p = (DeviceProgram){};
        return 0;
}

static int bpf(int command, union bpf_attr *attr) {
        return (int) RET_NERRNO(syscall(SYS_bpf, command, attr, sizeof(*attr)));
}

int device_program_load(const DeviceProgram *p, Error *reterr_error) {
        union bpf_attr attr;
        int r;

        memset(&attr, 0, sizeof(attr));
        attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
        attr.insns = (uintptr_t) p->instructions;
        attr.insn_cnt = (uint32_t) p->n;
        attr.license = (uintptr_t) "LGPL-2.1-or-later";
        (void) snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", PROGRAM_NAME);
        r = bpf(BPF_PROG_LOAD, &attr);
        if (r == -EPERM || r == -EACCES)
                return error_set(
                                reterr_error, r, "PermissionDenied",
                                "linux.resources.devices: loading a BPF program is not permitted here "
                                "(CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, are needed); leave the rules "
                                "out, or allow all devices.");
        if (r < 0)
                return error_set_errno(reterr_error, r, "Cannot load the BPF program of the devices: %m");
        return r;
}

/* A descriptor of the program if it is one of ours. */
static int open_ours(uint32_t id) {
        struct bpf_prog_info info = {};
        _cleanup_close_ int fd = -EBADF;
        union bpf_attr attr;
        int r;

        memset(&attr, 0, sizeof(attr));
        attr.prog_id = id;
        fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
        if (fd < 0)
                return fd;

        memset(&attr, 0, sizeof(attr));
        attr.info.bpf_fd = (uint32_t) fd;
        attr.info.info_len = sizeof(info);
        attr.info.info = (uintptr_t) &info;
        r = bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
        if (r < 0)
                return r;
        return strncmp(info.name, PROGRAM_NAME, sizeof(info.name)) == 0 ? TAKE_FD(fd) : -ENOENT;
}

/* The program of ours that is attached to the cgroup itself; -ENOENT. */
static int attached_program(int cgroup_fd) {
        uint32_t ids[PROGRAMS_MAX];
        union bpf_attr attr;
        int r;

        memset(&attr, 0, sizeof(attr));
        attr.query.target_fd = (uint32_t) cgroup_fd;
        attr.query.attach_type = BPF_CGROUP_DEVICE;
        attr.query.prog_ids = (uintptr_t) ids;
        attr.query.prog_cnt = PROGRAMS_MAX;
        r = bpf(BPF_PROG_QUERY, &attr);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < attr.query.prog_cnt; i++) {
                int fd = open_ours(ids[i]);

                if (fd >= 0)
                        return fd;
        }
        return -ENOENT;
}

int device_program_attach(int program_fd, int cgroup_fd, Error *reterr_error) {
        _cleanup_close_ int old = attached_program(cgroup_fd);
        union bpf_attr attr;
        int r;

        memset(&attr, 0, sizeof(attr));
        attr.target_fd = (uint32_t) cgroup_fd;
        attr.attach_bpf_fd = (uint32_t) program_fd;
        attr.attach_type = BPF_CGROUP_DEVICE;
        attr.attach_flags = BPF_F_ALLOW_MULTI;
        if (old >= 0) {
                attr.attach_flags |= BPF_F_REPLACE;
                attr.replace_bpf_fd = (uint32_t) old;
        }
        r = bpf(BPF_PROG_ATTACH, &attr);
        if (r < 0)
                return error_set_errno(reterr_error, r,
                                       "Cannot put the BPF program of the devices in force: %m");
        return 0;
}

int device_program_detach(int cgroup_fd) {
        _cleanup_close_ int old = attached_program(cgroup_fd);
        union bpf_attr attr;

        if (old == -ENOENT)
                return 0;
        if (old < 0)
                return old;
        memset(&attr, 0, sizeof(attr));
        attr.target_fd = (uint32_t) cgroup_fd;
        attr.attach_bpf_fd = (uint32_t) old;
        attr.attach_type = BPF_CGROUP_DEVICE;
        return bpf(BPF_PROG_DETACH, &attr);
}

int device_program_pin(int program_fd, const char *path) {
        _cleanup_free_ char *dir = NULL;
        union bpf_attr attr;
        struct statfs fs;
        int r;

        if (statfs(BPF_DIR, &fs) < 0 || (unsigned long) fs.f_type != BPF_FS_MAGIC)
                return -EOPNOTSUPP;
        dir = strndup(path, (size_t) (strrchr(path, '/') - path));
        if (!dir)
                return -ENOMEM;
        if (mkdir(dir, 0700) < 0 && errno != EEXIST)
                return -errno;

        memset(&attr, 0, sizeof(attr));
        attr.pathname = (uintptr_t) path;
        attr.bpf_fd = (uint32_t) program_fd;
        r = bpf(BPF_OBJ_PIN, &attr);
        if (r != -EEXIST)
                return r;
        /* Left behind by somebody who was cut off. */
        if (unlink(path) < 0)
                return -errno;
        return bpf(BPF_OBJ_PIN, &attr);
}

char *device_program_pin_path(const char *program, const char *scope) {
        char *path = strjoin(BPF_DIR "/", program, "/", scope);

        /* A bpf file system has no dots in names. */
        for (char *p = path ? path + strlen(BPF_DIR "/") : NULL; p && *p; p++)
                if (*p == '.' || *p == '\\')
                        *p = '_';
        return path;
}

int device_rules_load(const ResourceSpec *r, Error *reterr_error) {
        _cleanup_(device_program_done) DeviceProgram p = {};
        int fd;

        if (device_program_new(r->devices, r->n_devices, &p) < 0)
                return spec_oom(reterr_error);
        if (p.allows_all)
                return -ENOENT;
        if (r->n_devices > 0)
                return device_program_load(&p, reterr_error);
        fd = device_program_load(&p, NULL);
        return fd < 0 ? -ENOENT : fd;
}
