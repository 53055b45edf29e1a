# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attributes of a container's processes: scheduler, priorities, CPUs, memory policy, personality, labels, limits;
network devices; seccomp and its listener."""

import array
import ctypes
import errno
import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import threading
import unittest

import lib
import lib_oci
from lib_oci import config

# struct seccomp_notif: id, pid, flags, then seccomp_data: nr, arch, instruction_pointer, args[6].
NOTIF_SIZE = 80
NOTIF_RECV = 0xc0502100
NOTIF_SEND = 0xc0182101
CONTINUE = 1
SYS_MKDIR = 83

USER_NAMESPACE = {
    "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
}


def stat_fields(text):
    """/proc/PID/stat behind the command's name, so that field N of proc(5) is at N - 3."""

    return text.rsplit(")", 1)[1].split()


def may(program):
    """Whether the host lets root do that."""

    return subprocess.run(["python3", "-c", program], capture_output=True, check=False).returncode == 0


class SchedulingTest(lib_oci.OciTestCase):
    def scheduling(self, scheduler, **more):
        fields = stat_fields(self.output(config(["cat", "/proc/self/stat"], {"scheduler": scheduler}, **more)))
        return {"nice": int(fields[19 - 3]), "priority": int(fields[40 - 3]), "policy": int(fields[41 - 3])}

    def test_policies(self):
        self.assertEqual(self.scheduling({"policy": "SCHED_BATCH", "nice": 7}), {"nice": 7, "priority": 0, "policy": 3})
        self.assertEqual(self.scheduling({"policy": "SCHED_IDLE"})["policy"], 5)
        self.assertEqual(self.scheduling({"policy": "SCHED_OTHER"}), {"nice": 0, "priority": 0, "policy": 0})

    def test_realtime(self):
        if not may("import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))"):
            self.refused(config(["true"], {"scheduler": {"policy": "SCHED_FIFO", "priority": 10}}),
                         "process.scheduler: sched_setattr: ", "CAP_SYS_NICE")
            self.skipTest("root has no CAP_SYS_NICE here")
        fifo = {"policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
        self.assertEqual(self.scheduling(fifo), {"nice": 0, "priority": 10, "policy": 1})
        # What the user namespace's root may not do, the runtime may.
        self.assertEqual(self.scheduling(fifo, linux=USER_NAMESPACE, namespaces=("pid", "mount", "user")),
                         {"nice": 0, "priority": 10, "policy": 1})
        deadline = {"policy": "SCHED_DEADLINE", "runtime": 10000000, "deadline": 20000000}
        if may("import ctypes, struct; a = ctypes.create_string_buffer(struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, "
               "10000000, 20000000, 0)); raise SystemExit(ctypes.CDLL(None).syscall(314, 0, a, 0) != 0)"):
            self.assertEqual(self.scheduling(deadline)["policy"], 6)

    def test_refused(self):
        for scheduler, text in (
                ({"policy": "SCHED_DEADLINE", "deadline": 20000000}, "`SCHED_DEADLINE` requires `runtime`"),
                ({"policy": "SCHED_DEADLINE", "runtime": 2**63 + 1, "deadline": 2**63 + 2}, "must be between"),
                ({"policy": "SCHED_RR", "priority": 0}, "process.scheduler: sched_setattr: Invalid argument"),
                ({"policy": "SCHED_NONE"}, "process.scheduler.policy"),
                ({}, "process.scheduler.policy")):
            with self.subTest(scheduler):
                self.refused(config(["true"], {"scheduler": scheduler}), text)

    def test_io_priority(self):
        for priority, shown in (({"class": "IOPRIO_CLASS_BE", "priority": 6}, "best-effort: prio 6"),
                                ({"class": "IOPRIO_CLASS_IDLE"}, "idle")):
            self.assertIn(shown, self.output(config(["ionice"], {"ioPriority": priority})))
        self.refused(config(["true"], {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}),
                     "process.ioPriority.priority")

    def test_affinity(self):
        def cpus(*command):
            status = subprocess.run(command, cwd=self.bundle, capture_output=True, text=True, check=True).stdout
            return next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list:"))

        mooring = ["mooring", "--root", self.states, "--cgroup-manager", "disabled"]
        everything = cpus("cat", "/proc/self/status")
        name = self.new(config(["cat", "/proc/self/status"]))
        # What mooring itself is bound to is not for the container.
        self.assertEqual(cpus("taskset", "-c", "0", *mooring, "run", name), everything)

        name = self.start_container(config(["sleep", "1000"]))
        self.assertEqual(cpus("taskset", "-c", "0", *mooring, "exec", name, "cat", "/proc/self/status"), everything)
        for affinity, expected in (({"final": "0"}, "0"), ({"initial": "0"}, "0"), ({}, everything)):
            with open(f"{self.bundle}/process.json", "w", encoding="utf-8") as f:
                json.dump({"args": ["cat", "/proc/self/status"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                           "env": [lib_oci.PATH], "execCPUAffinity": affinity}, f)
            self.assertEqual(cpus(*mooring, "exec", "--process", "process.json", name), expected, affinity)

    @unittest.skipUnless(os.path.exists("/proc/self/numa_maps"), "the kernel has no NUMA")
    def test_memory_policy(self):
        def policy(mode, *flags, **more):
            p = {"mode": mode, "flags": list(flags), **more}
            return self.output(config(["cat", "/proc/self/numa_maps"], linux={"memoryPolicy": p})).splitlines()[1].split()[1]

        self.assertEqual(policy("MPOL_DEFAULT"), "default")
        self.assertEqual(policy("MPOL_LOCAL"), "local")
        self.assertEqual(policy("MPOL_BIND", nodes="0"), "bind:0")
        self.assertEqual(policy("MPOL_INTERLEAVE", "MPOL_F_STATIC_NODES", nodes="0"), "interleave=static:0")
        for bad, text in (({"mode": "MPOL_BIND"}, "linux.memoryPolicy.nodes"), ({}, "linux.memoryPolicy.mode"),
                          ({"mode": "MPOL_BIND", "nodes": "1000"}, "linux.memoryPolicy: set_mempolicy")):
            self.refused(config(["true"], linux={"memoryPolicy": bad}), text)

    def test_personality(self):
        if os.uname().machine != "x86_64":
            self.skipTest("only on x86-64")
        self.assertEqual(self.output(config(["uname", "-m"], linux={"personality": {"domain": "LINUX32"}})).strip(), "i686")
        self.assertEqual(self.output(config(["uname", "-m"], linux={"personality": {"domain": "LINUX"}})).strip(), "x86_64")
        name = self.start_container(config(["sleep", "1000"], linux={"personality": {"domain": "LINUX32"}}))
        self.assertEqual(self.mooring("exec", name, "uname", "-m").stdout.strip(), "i686")

    def test_limits(self):
        limits = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}, {"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]
        process = {"rlimits": limits, "oomScoreAdj": 500}
        out = self.output(config(["sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Hc; cat /proc/self/oom_score_adj"], process))
        self.assertEqual(out.split(), ["99", "100", "unlimited", "500"])
        self.refused(config(["true"], {"rlimits": [{"type": "RLIMIT_NONE", "soft": 0, "hard": 0}]}), "RLIMIT_NONE")

    def test_limits_that_cannot_be_raised(self):
        if may("import resource as r; r.setrlimit(r.RLIMIT_NPROC, (2**40, 2**40))"):
            self.skipTest("root may raise limits here")
        # Engines ask for more than a host has that is itself a container.
        process = {"rlimits": [{"type": "RLIMIT_NPROC", "soft": 2**40, "hard": 2**40}], "oomScoreAdj": -500}
        for more in ({}, {"linux": USER_NAMESPACE, "namespaces": ("pid", "mount", "user")}):
            _, out, err = self.run_container(config(["sh", "-c", "cat /proc/self/limits"], process, **more))
            self.assertRegex(out, r"Max processes +\d+ ")
            self.assertIn("RLIMIT_NPROC is limited to", err)
            self.assertIn("oom_score_adj stays as it is", err)


class LabelTest(lib_oci.OciTestCase):
    def test_apparmor_is_not_there(self):
        if os.path.exists("/sys/module/apparmor"):
            self.skipTest("AppArmor is there")
        self.refused(config(["true"], {"apparmorProfile": "mine"}), "process.apparmorProfile", "AppArmor is not enabled")
        self.run_container(config(["true"], {"apparmorProfile": "unconfined"}))

    def test_apparmor(self):
        try:
            with open("/sys/module/apparmor/parameters/enabled", encoding="utf-8") as f:
                enabled = f.read().startswith("Y")
        except FileNotFoundError:
            enabled = False
        if not enabled:
            self.skipTest("AppArmor is not enabled")
        self.assertIn("unconfined", self.output(config(["cat", "/proc/self/attr/current"], {"apparmorProfile": "unconfined"})))
        self.refused(config(["true"], {"apparmorProfile": "no-such-profile"}), "no-such-profile")
        profile = ("profile mooring-test flags=(attach_disconnected) { /** rwlkmix, capability, network, mount, umount, "
                   "pivot_root, signal, ptrace, unix, }")
        if not shutil.which("apparmor_parser"):
            self.skipTest("apparmor_parser is not here")
        if subprocess.run(["apparmor_parser", "--replace"], input=profile, text=True, capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("apparmor_parser does not work")
        self.addCleanup(lib.run, ["apparmor_parser", "--remove"], input=profile)
        for more in ({}, {"linux": USER_NAMESPACE, "namespaces": ("pid", "mount", "user")}):
            for nnp in (False, True):
                spec = config(["cat", "/proc/self/attr/current"],
                              {"apparmorProfile": "mooring-test", "noNewPrivileges": nnp}, **more)
                self.assertIn("mooring-test", self.output(spec))

        name = self.start_container(config(["sleep", "1000"], {"apparmorProfile": "mooring-test"}))
        with open(f"{self.bundle}/process.json", "w", encoding="utf-8") as f:
            json.dump({"args": ["cat", "/proc/self/attr/current"], "cwd": "/", "env": [lib_oci.PATH],
                       "user": {"uid": 0, "gid": 0}}, f)
        self.assertIn("mooring-test", self.mooring("exec", "--process", "process.json", name).stdout)
        self.assertIn("mooring-test", self.mooring("exec", name, "cat", "/proc/self/attr/current").stdout)
        p = self.mooring("exec", "--apparmor", "unconfined", name, "cat", "/proc/self/attr/current")
        self.assertIn("unconfined", p.stdout)

    def test_selinux_is_not_there(self):
        if os.path.exists("/sys/fs/selinux/enforce"):
            self.skipTest("SELinux is there")
        self.refused(config(["true"], {"selinuxLabel": "u:r:t:s0"}), "process.selinuxLabel", "SELinux is not enabled")
        # A label for mounts is for nobody then.
        self.run_container(config(["true"], linux={"mountLabel": "u:object_r:t:s0"}))

    def test_resctrl_is_not_there(self):
        if os.path.exists("/sys/fs/resctrl/tasks"):
            self.skipTest("resctrl is there")
        self.refused(config(["true"], linux={"intelRdt": {"closID": "x"}}), "linux.intelRdt", "no resctrl")


class NetDeviceTest(lib_oci.OciTestCase):
    def setUp(self):
        super().setUp()
        lib.run("ip link add test-dev0 type veth peer name test-peer0 && ip addr add 10.77.1.2/24 broadcast 10.77.1.99 dev test-dev0")
        self.addCleanup(lib.run, ["ip", "link", "del", "test-peer0"], check=False)
        self.addCleanup(lib.run, ["ip", "link", "del", "test-dev0"], check=False)

    def test_moved(self):
        for new, expected in (({}, "test-dev0"), ({"name": "eth0"}, "eth0"), ({"name": "net%d"}, "net0")):
            with self.subTest(expected):
                out = self.output(config(["ip", "addr", "show", "dev", expected], linux={"netDevices": {"test-dev0": new}}))
                self.assertIn("inet 10.77.1.2/24 brd 10.77.1.99 scope global", out)
                self.assertIn(",UP", out)
                # It has gone with the container's namespace.
                self.doCleanups()
                self.setUp()

    def test_to_a_user_namespace(self):
        spec = config(["ip", "addr", "show", "dev", "eth0"],
                      linux={"netDevices": {"test-dev0": {"name": "eth0"}}, **USER_NAMESPACE},
                      namespaces=("pid", "mount", "network", "user"))
        self.assertIn("inet 10.77.1.2/24", self.output(spec))

    def test_refused(self):
        self.refused(config(["true"], linux={"netDevices": {"test-none": {}}}), "no network device \"test-none\"")
        self.refused(config(["true"], linux={"netDevices": {"test-dev0": {"name": "lo"}}}), "cannot be \"lo\"", "File exists")
        self.refused(config(["true"], linux={"netDevices": {"test-dev0": {}}}, namespaces=("pid", "mount")),
                     "linux.netDevices: needs a network namespace")
        # What fails when it has been moved already.
        self.refused(config(["/bin/no-such-command"], linux={"netDevices": {"test-dev0": {"name": "eth0"}}}), "no-such-command")
        # It is still there, as it was.
        self.assertIn("inet 10.77.1.2/24 brd 10.77.1.99", lib.run(["ip", "addr", "show", "dev", "test-dev0"]).stdout)


class Agent:
    """Listens for listeners; answers mkdir() with EDQUOT."""

    def __init__(self, path):
        self.messages = []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen(4)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            connection, _ = self.sock.accept()
            text, control, _, _ = connection.recvmsg(65536, socket.CMSG_LEN(4))
            fds = array.array("i")
            for _, _, data in control:
                fds.frombytes(data)
            # The runtime hangs up when it has said it all.
            while more := connection.recv(65536):
                text += more
            connection.close()
            self.messages.append((json.loads(text), len(fds)))
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    @staticmethod
    def answer(listener):
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while poll.poll(20000) and poll.poll(0)[0][1] & select.POLLIN:
            question = bytearray(NOTIF_SIZE)
            try:
                fcntl.ioctl(listener, NOTIF_RECV, question)
                number = int.from_bytes(question[16:20], "little")
                answer = bytearray(question[:8]) + bytearray(8)
                answer += (-errno.EDQUOT if number == SYS_MKDIR else 0).to_bytes(4, "little", signed=True)
                answer += (0 if number == SYS_MKDIR else CONTINUE).to_bytes(4, "little")
                fcntl.ioctl(listener, NOTIF_SEND, answer)
            except OSError as e:
                if e.errno != errno.ENOENT:
                    break
        os.close(listener)


class SeccompTest(lib_oci.OciTestCase):
    def profile(self, *rules, **more):
        return {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more}}

    @unittest.skipUnless(os.uname().machine == "x86_64", "numbers of system calls are x86-64's")
    def test_listener(self):
        agent = Agent(f"{self.states}/agent")
        self.addCleanup(os.unlink, f"{self.states}/agent")
        question = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
        # What comes last need not allow what handing the listener over takes.
        forbidden = {"names": ["sendmsg", "sendto", "close"], "action": "SCMP_ACT_KILL_PROCESS"}
        listener = {"listenerPath": f"{self.states}/agent", "listenerMetadata": "some metadata"}
        for nnp, rules in ((False, [question]), (True, [question, forbidden])):
            linux = self.profile(*rules, **listener)
            with self.subTest(noNewPrivileges=nnp):
                code, _, err = self.run_container(config(["mkdir", "/tmp/x"], {"noNewPrivileges": nnp}, linux,
                                                         annotations={"a": "b"}), check=False)
                self.assertEqual(code, 1)
                self.assertIn("quota exceeded", err.lower())
                message, fds = agent.messages.pop()
                self.assertEqual(fds, 1)
                self.assertEqual(message["fds"], ["seccompFd"])
                self.assertEqual(message["metadata"], "some metadata")
                self.assertEqual(message["state"]["status"], "creating")
                self.assertEqual(message["state"]["annotations"], {"a": "b"})
                self.assertEqual(message["pid"], message["state"]["pid"])

        name = self.start_container(config(["sleep", "1000"], linux=self.profile(question, **listener)))
        agent.messages.clear()
        p = self.mooring("exec", name, "mkdir", "/tmp/x", check=False)
        self.assertIn("quota exceeded", p.stderr.lower())
        message, _ = agent.messages.pop()
        self.assertEqual(message["state"]["status"], "running")
        self.assertEqual(message["state"]["id"], name)
        self.assertNotEqual(message["pid"], message["state"]["pid"])

    def test_everything_is_asked_about(self):
        agent = Agent(f"{self.states}/agent")
        self.addCleanup(os.unlink, f"{self.states}/agent")
        linux = {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": f"{self.states}/agent"}}
        self.assertEqual(self.output(config(["echo", "hello"], {"noNewPrivileges": True}, linux)), "hello\n")
        self.assertEqual(len(agent.messages), 1)

    def test_nobody_listens(self):
        asked = [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]
        self.refused(config(["true"], linux=self.profile(*asked, listenerPath="/nonexistent")), "/nonexistent")
        self.refused(config(["true"], linux=self.profile(*asked)), "needs listenerPath")
        # Without a question the path does not count.
        self.run_container(config(["true"], linux=self.profile(listenerPath="/nonexistent")))

    def test_rules(self):
        linux = self.profile({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDQUOT},
                             {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"},
                             flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
                             architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X", "SCMP_ARCH_LOONGARCH64"])
        spec = config(["mkdir", "/tmp/x"], linux=linux)
        self.assertIn("quota exceeded", self.run_container(spec, check=False)[2].lower())
        name = self.start_container(config(["sleep", "1000"], linux=linux))
        self.assertIn("quota exceeded", self.mooring("exec", name, "mkdir", "/tmp/x", check=False).stderr.lower())
        self.mooring("delete", "--force", name)
        self.refused(config(["true"], linux=linux, annotations={"run.oci.seccomp_fail_unknown_syscall": "1"}), "no_such_call")
        self.refused(config(["true"], linux=self.profile({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1})),
                     "has no errno")

    def test_wide_arguments(self):
        # lseek(1, 0xffffffffffffffff, SEEK_SET): a number that only an unsigned one of 64 bits is.
        rule = {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDQUOT,
                "args": [{"index": 1, "value": 2**64 - 1, "op": "SCMP_CMP_EQ"}]}
        self.run_container(config(["true"], linux=self.profile(rule)))
