# SPDX-License-Identifier: LGPL-2.1-or-later
"""The launcher by itself: transient units with hand-made bundles, as the daemon would start them."""

import contextlib
import copy
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

import lib

BASE = "/var/lib/moored/test-launch"
BUNDLES = "/run/moored/test-launch"
PROFILE = "/usr/lib/moored/seccomp-default.json"
PROGRAMS = "/run/moored/seccomp"
CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE")]
CAPABILITIES_MASK = 0xa80425fb
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

numbers = itertools.count(1)


def seccomp_profile():
    """The vendor's profile as it is for the default capabilities."""

    with open(PROFILE, encoding="utf-8") as f:
        profile = json.load(f)
    rules = []
    for rule in profile["syscalls"]:
        if all(c in CAPABILITIES for c in rule.pop("includes", {}).get("caps", [])) \
                and not any(c in CAPABILITIES for c in rule.pop("excludes", {}).get("caps", [])):
            rules.append(rule)
    return {**profile, "syscalls": rules}


def config(args, env=(PATH,), user=None, groups=None, **process):
    annotations = {"org.moored.rootfs.dir": BASE, "org.moored.rootfs.lower": "lower/fs"}
    if user is not None:
        annotations["org.moored.user"] = user
    if groups is not None:
        annotations["org.moored.groups"] = groups
    usual = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": False, "user": {"uid": 0, "gid": 0}, "args": list(args), "env": list(env), "cwd": "/",
            "capabilities": {kind: CAPABILITIES for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True, **process,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "launched",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": usual},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": usual + ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": usual + ["ro"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": usual},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": usual + ["mode=1777", "size=64m"]},
        ],
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "mount", "uts", "ipc", "cgroup", "network")],
            "seccomp": seccomp_profile(),
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/nosuch", "/sys/firmware", "/proc/acpi", "/etc/masked"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
        "annotations": annotations,
    }


def make_lower():
    """An image: busybox and a few files."""

    root = f"{BASE}/lower/fs"
    for directory in ("bin", "dev", "etc", "home/alice", "proc", "sys", "tmp", "etc/masked"):
        os.makedirs(f"{root}/{directory}")
    shutil.copy("/bin/busybox", f"{root}/bin/busybox")
    for name in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
        if name != "busybox":
            os.symlink("busybox", f"{root}/bin/{name}")
    files = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n",
        "etc/group": "root:x:0:\nalice:x:1001:\naudio:x:29:alice\nvideo:x:44:\n",
        "etc/masked/secret": "secret\n",
        "etc/plain": "not executable\n",
    }
    for name, text in files.items():
        with open(f"{root}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    with open(f"{root}/etc/script", "w", encoding="utf-8") as f:
        f.write("#!/bin/nosuch\n")
    os.chmod(f"{root}/etc/script", 0o755)


class Unit:
    """A bundle, its writable layer, and the transient unit that launches it."""

    def __init__(self, spec, prepare=None, properties=()):
        self.number = next(numbers)
        self.name = f"test-launch-{self.number}.service"
        self.bundle = f"{BUNDLES}/{self.number}"
        self.layer = f"{BASE}/{self.number}"
        self.upper = f"{self.layer}/fs"
        self.spec = spec
        self.properties = list(properties)
        os.makedirs(self.bundle)
        os.makedirs(self.upper)
        os.makedirs(f"{self.layer}/work")
        os.chmod(self.upper, 0o755)
        if "org.moored.rootfs.dir" in spec["annotations"]:
            spec["annotations"]["org.moored.rootfs.upper"] = f"{self.number}/fs"
            spec["annotations"]["org.moored.rootfs.work"] = f"{self.number}/work"
        if prepare:
            prepare(self.upper)
        with open(f"{self.bundle}/config.json", "w", encoding="utf-8") as f:
            json.dump(spec, f)
        self.stdout_path = f"{self.bundle}/stdout"
        self.stderr_path = f"{self.bundle}/stderr"
        for path in (self.stdout_path, self.stderr_path):
            with open(path, "w", encoding="utf-8"):
                pass

    def start(self):
        properties = [
            ("Type", "s", "notify"), ("NotifyAccess", "s", "all"), ("Delegate", "b", "true"),
            ("RemainAfterExit", "b", "true"), ("KillMode", "s", "mixed"),
            # The first process of a pid namespace ignores SIGTERM unless it handles it.
            ("KillSignal", "i", str(int(signal.SIGKILL))),
            ("StandardOutputFileToAppend", "s", self.stdout_path), ("StandardErrorFileToAppend", "s", self.stderr_path),
            ("ExecStart", "a(sasb)", "1", "/usr/bin/mooring", "3", "/usr/bin/mooring", "launch", self.bundle, "false"),
            *self.properties,
        ]
        arguments = [argument for p in properties for argument in p]
        lib.run(["busctl", "--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                 "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))",
                 self.name, "fail", str(len(properties)), *arguments, "0"])
        return self

    def show(self, *names):
        return lib.unit_properties(self.name, *names)

    def state(self):
        return self.show("ActiveState", "SubState")

    def wait_started(self):
        lib.wait_until(lambda: self.state()["ActiveState"] in ("active", "failed"), what=f"{self.name} starts")
        return self

    def wait_ended(self):
        # Before PID 1 has begun with the job it is "dead" as well, and has no invocation id.
        def ended():
            properties = self.show("SubState", "InvocationID")
            return properties["SubState"] in ("exited", "failed", "dead") and properties["InvocationID"]

        lib.wait_until(ended, what=f"{self.name} ends")
        return self

    def pid(self):
        return int(self.show("MainPID")["MainPID"])

    def output(self):
        with open(self.stdout_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def errors(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def remove(self):
        lib.run(["systemctl", "stop", self.name], check=False)
        lib.run(["systemctl", "reset-failed", self.name], check=False)
        shutil.rmtree(self.bundle, ignore_errors=True)
        shutil.rmtree(self.layer, ignore_errors=True)


class LaunchTest(unittest.TestCase):
    hosts = "ab"

    @classmethod
    def setUpClass(cls):
        os.makedirs(BUNDLES, exist_ok=True)
        shutil.rmtree(BASE, ignore_errors=True)
        make_lower()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(BASE)
        shutil.rmtree(BUNDLES)

    def unit(self, spec, prepare=None, properties=()):
        unit = Unit(spec, prepare, properties)
        self.addCleanup(unit.remove)
        return unit

    def run_spec(self, spec, prepare=None):
        """The unit after the end, which must be a success."""

        unit = self.unit(spec, prepare).start().wait_ended()
        properties = unit.show("Result", "ExecMainStatus", "StatusText")
        self.assertEqual((properties["Result"], properties["ExecMainStatus"]), ("success", "0"),
                         f"{properties} {unit.errors()}")
        return unit

    def shell(self, script, prepare=None, change=None, **kwargs):
        """What a shell script in a container prints."""

        spec = config(["sh", "-c", script], **kwargs)
        if change:
            change(spec)
        return self.run_spec(spec, prepare).output()

    def fails(self, spec, status, name, text, prepare=None):
        before = lib.mountinfo_count()
        unit = self.unit(spec, prepare).start().wait_ended()
        properties = unit.show("Result", "ExecMainStatus", "StatusText", "ActiveState")
        self.assertEqual(properties["ActiveState"], "failed")
        self.assertEqual(properties["ExecMainStatus"], str(status), properties)
        self.assertTrue(properties["StatusText"].startswith(f"{name}: "), properties["StatusText"])
        self.assertIn(text, properties["StatusText"])
        # stderr is a file here, which a client reads that has got the sentence already.
        self.assertEqual(unit.errors(), "")
        self.assertEqual(lib.mountinfo_count(), before)
        return unit

    @staticmethod
    def slow(spec):
        """Setting up so many mounts takes long enough to look at it."""

        spec["mounts"] += [{"destination": f"/tmp/{i}", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]}
                           for i in range(900)]
        return spec

    def catch(self, spec, look):
        """Starts units until look() has found something of the launcher: (the last unit, what it found). On a busy
        machine the launcher may be through before anybody came to look."""

        def found_or_over():
            for _ in range(50):
                if found := look():
                    return [found]
                time.sleep(0.001)
            return unit.state()["ActiveState"] in ("active", "failed") and [None]

        for _ in range(20):
            unit = self.unit(self.slow(copy.deepcopy(spec))).start()
            found = lib.wait_until(found_or_over, interval=0, what="the launcher runs")[0]
            if found:
                return unit, found
            unit.remove()
        raise AssertionError("the launcher was never seen")

    # ---- the hand-over ----

    def test_container_is_the_main_process_and_a_child_of_pid_1(self):
        before = lib.mountinfo_count()
        unit = self.unit(config(["sleep", "1000"])).start().wait_started()
        self.assertEqual(unit.state(), {"ActiveState": "active", "SubState": "running"})
        pid = unit.pid()
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual(status["PPid"], "1")
        self.assertEqual(status["NSpid"].split()[-1], "1")
        self.assertEqual(status["Name"], "sleep")
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
            group = f.read().strip().split("::", 1)[1]
        with open(f"/sys/fs/cgroup{group}/cgroup.procs", encoding="ascii") as f:
            self.assertEqual(f.read().split(), [str(pid)])
        lib.wait_until(lambda: lib.processes("mooring") == {}, what="no launcher is left")
        self.assertEqual(lib.mountinfo_count(), before)
        for kind in ("pid", "mnt", "uts", "ipc", "cgroup", "net"):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/1/ns/{kind}"), kind)
        # sshd and others look at the session: the container's first process leads its own.
        self.assertEqual(os.getsid(pid), pid)

    def test_exit_code(self):
        unit = self.unit(config(["sh", "-c", "exit 7"])).start().wait_ended()
        self.assertEqual(unit.show("Result", "ExecMainStatus", "ExecMainCode"),
                         {"Result": "exit-code", "ExecMainStatus": "7", "ExecMainCode": "1"})

    def test_ending_at_once_is_not_missed(self):
        for _ in range(10):
            unit = self.unit(config(["sh", "-c", "exit 3"])).start().wait_ended()
            self.assertEqual(unit.show("ExecMainStatus")["ExecMainStatus"], "3")

    def test_signal(self):
        unit = self.unit(config(["sleep", "1000"])).start().wait_started()
        os.kill(unit.pid(), signal.SIGKILL)
        unit.wait_ended()
        self.assertEqual(unit.show("Result", "ExecMainStatus", "ExecMainCode"),
                         {"Result": "signal", "ExecMainStatus": "9", "ExecMainCode": "2"})

    def test_stdout_and_stderr(self):
        unit = self.run_spec(config(["sh", "-c", "echo out; echo err >&2"]))
        self.assertEqual((unit.output(), unit.errors()), ("out\n", "err\n"))

    def test_launcher_killed_while_setting_up_leaves_nothing(self):
        def kill_one():
            for pid in sorted(lib.processes("mooring")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return pid
            return None

        unit, _ = self.catch(config(["sleep", "1000"]), kill_one)
        unit.wait_ended()
        self.assertEqual(unit.state()["ActiveState"], "failed")
        lib.wait_until(lambda: not lib.processes("mooring"), what="nothing of it is left")

    # ---- errors ----

    def test_missing_command(self):
        self.fails(config(["nosuch"]), 127, "CommandNotFound", "nosuch")
        self.fails(config(["/bin/nosuch"]), 127, "CommandNotFound", "/bin/nosuch")
        self.fails(config(["sh"], env=["PATH=/sbin:/nosuch"]), 127, "CommandNotFound", "/sbin:/nosuch")

    def test_not_executable(self):
        self.fails(config(["/etc/plain"]), 126, "CommandNotExecutable", "/etc/plain")
        self.fails(config(["plain"], env=["PATH=/etc"]), 126, "CommandNotExecutable", "/etc/plain")
        self.fails(config(["/etc"]), 126, "CommandNotExecutable", "directory")

    def test_missing_interpreter(self):
        unit = self.unit(config(["/etc/script"])).start().wait_ended()
        self.assertEqual(unit.show("ExecMainStatus")["ExecMainStatus"], "127")
        self.assertIn("/etc/script", unit.errors())

    def test_missing_user_and_group(self):
        self.fails(config(["true"], user="bob"), 125, "NoSuchUser", "bob")
        self.fails(config(["true"], user="alice:nosuch"), 125, "NoSuchGroup", "nosuch")
        self.fails(config(["true"], groups="audio,nosuch"), 125, "NoSuchGroup", "nosuch")

    def test_missing_bind_source(self):
        spec = config(["true"])
        spec["mounts"].append({"destination": "/data", "type": "bind", "source": "/nosuch/dir", "options": ["rbind"]})
        self.fails(spec, 125, "NoSuchSource", "/nosuch/dir")

    def test_missing_layer(self):
        spec = config(["true"])
        spec["annotations"]["org.moored.rootfs.lower"] = "lower/fs:gone/fs"
        self.fails(spec, 125, "NotFound", "gone/fs")

    def test_unsupported_member(self):
        spec = config(["true"])
        spec["hooks"] = {"poststart": [{"path": "/bin/true"}]}
        self.fails(spec, 125, "NotSupported", "hooks")

    def test_broken_specification(self):
        unit = self.unit(config(["true"]))
        with open(f"{unit.bundle}/config.json", "w", encoding="utf-8") as f:
            f.write('{"ociVersion"')
        unit.start().wait_ended()
        self.assertIn("config.json", unit.show("StatusText")["StatusText"])
        self.assertEqual(unit.show("ExecMainStatus")["ExecMainStatus"], "125")

    def test_journal_gets_the_sentence(self):
        unit = self.unit(config(["nosuch"]), properties=[("StandardError", "s", "journal")])
        unit.start().wait_ended()
        lib.run(["journalctl", "--sync"])
        self.assertIn('"nosuch"', lib.run(["journalctl", "-q", "--no-pager", "-o", "cat", "-u", unit.name]).stdout)

    # ---- who ----

    def test_user_by_name(self):
        self.assertEqual(self.shell("id; echo $HOME", user="alice"),
                         "uid=1000(alice) gid=1001(alice) groups=29(audio)\n/home/alice\n")

    def test_user_group_and_groups(self):
        self.assertEqual(self.shell("id -u; id -g", user="alice:video"), "1000\n44\n")
        self.assertEqual(sorted(self.shell("id -G", user="alice:video", groups="audio,77").split()), ["29", "44", "77"])

    def test_user_by_number(self):
        self.assertEqual(self.shell("id -u; id -g; echo $HOME", user="4711:4712"), "4711\n4712\n/\n")

    def test_user_of_the_specification(self):
        spec = config(["sh", "-c", "id -u; id -g; id -G; umask; echo $HOME"])
        spec["process"]["user"] = {"uid": 1000, "gid": 5, "additionalGids": [6, 7], "umask": 0o77}
        self.assertEqual(self.run_spec(spec).output(), "1000\n5\n5 6 7\n0077\n/home/alice\n")

    def test_home_of_the_environment_stays(self):
        self.assertEqual(self.shell("echo $HOME", user="alice", env=[PATH, "HOME=/x"]), "/x\n")

    def test_environment_is_the_specification_s(self):
        output = self.shell("env", env=[PATH, "A=1", "B=a b"]).splitlines()
        self.assertLessEqual({PATH, "A=1", "B=a b", "HOME=/root"}, set(output))
        names = {line.split("=")[0] for line in output}
        self.assertEqual(names - {"PATH", "A", "B", "HOME", "SHLVL", "PWD"}, set())

    # ---- what it sees ----

    def test_working_directory_is_made(self):
        self.assertEqual(self.shell("pwd", cwd="/new/work"), "/new/work\n")
        self.assertEqual(self.shell("pwd", cwd="/tmp"), "/tmp\n")

    def test_working_directory_that_is_a_file(self):
        self.fails(config(["true"], cwd="/etc/plain"), 125, "InvalidArgument", "/etc/plain")

    def test_working_directory_cannot_leave(self):
        for number in range(3, 10):
            unit = self.unit(config(["cat", "marker"], cwd=f"/proc/self/fd/{number}")).start().wait_ended()
            self.assertEqual(unit.show("ExecMainStatus")["ExecMainStatus"], "125")

    def test_no_descriptors_but_three(self):
        spec = config(["sh", "-c", "for f in /proc/$$/fd/*; do echo ${f##*/}; done; cat /proc/self/mountinfo"])
        output = self.run_spec(spec).output().splitlines()
        self.assertEqual(output[:3], ["0", "1", "2"])
        # The glob opens the directory itself while it reads.
        self.assertTrue(all(not line.isdigit() or int(line) >= 3 for line in output[3:]))

    def test_no_descriptors_in_proc(self):
        unit = self.unit(config(["sleep", "1000"])).start().wait_started()
        # The unit has started a moment before the command is executed.
        lib.wait_until(lambda: sorted(os.listdir(f"/proc/{unit.pid()}/fd")) == ["0", "1", "2"], what="no more descriptors")

    def test_mounts_are_the_container_s_own(self):
        points = [line.split()[4] for line in self.shell("cat /proc/self/mountinfo").splitlines()]
        self.assertEqual(points[0], "/")
        allowed = ("/proc", "/dev", "/sys", "/etc/masked")
        self.assertEqual([p for p in points[1:] if not p.startswith(allowed)], [])
        self.assertNotIn("/run/moored/rootfs", points)

    def test_host_name_and_loopback(self):
        output = self.shell("hostname; ip -o link; cat /proc/net/dev | wc -l")
        self.assertIn("launched\n", output)
        self.assertIn("LOOPBACK,UP", output)
        self.assertNotIn("eth", output)

    def test_host_network(self):
        def host_network(spec):
            spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]

        self.assertEqual(self.shell("readlink /proc/self/ns/net", change=host_network).strip(),
                         os.readlink("/proc/1/ns/net"))

    def test_devices_and_links(self):
        output = self.shell("ls -l /dev | tail -n +2; echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo y >> /dev/stdout; "
                            "readlink /dev/fd; readlink /dev/ptmx; head -c 2 /dev/urandom | wc -c")
        for name in ("full", "null", "random", "tty", "urandom", "zero", "ptmx", "pts", "shm", "mqueue", "fd", "stdin"):
            self.assertRegex(output, rf"\b{name}\b")
        self.assertIn("3\n", output)
        self.assertIn("/proc/self/fd\npts/ptmx\n2\n", output)

    def test_cgroup_namespace(self):
        self.assertEqual(self.shell("cat /proc/self/cgroup; test -e /sys/fs/cgroup/cgroup.procs && echo there; "
                                    "mkdir /sys/fs/cgroup/x 2>/dev/null || echo read-only").splitlines()[-3:],
                         ["0::/", "there", "read-only"])

    def test_masked_and_read_only_paths(self):
        output = self.shell("ls -A /etc/masked; wc -c < /proc/keys; (echo 1 > /proc/sys/kernel/hostname) 2>&1; "
                            "(echo x > /sys/firmware/x) 2>&1; touch /etc/masked/x 2>&1; true")
        self.assertNotIn("secret", output)
        self.assertEqual(output.count("Read-only file system"), 3, output)
        self.assertEqual(output.splitlines()[0], "0")

    def test_read_only_root(self):
        def read_only(spec):
            spec["root"]["readonly"] = True
            spec["mounts"].append({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})

        output = self.shell("touch /x 2>&1; touch /scratch/x && echo scratch", change=read_only, cwd="/made")
        self.assertIn("Read-only file system", output)
        self.assertIn("scratch\n", output)

    def test_tmpfs_options(self):
        def tmpfs(spec):
            spec["mounts"].append({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
                                   "options": ["size=1m", "noexec", "nosuid"]})

        output = self.shell("grep ' /t ' /proc/self/mounts", change=tmpfs)
        self.assertRegex(output, r"tmpfs /t tmpfs rw,nosuid,noexec,relatime,size=1024k")

    def test_sysctl(self):
        def sysctl(spec):
            spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "77", "kernel.shmmni": "123"}

        before = open("/proc/sys/kernel/shmmni", encoding="ascii").read()
        self.assertEqual(self.shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni", change=sysctl),
                         "77\n123\n")
        self.assertEqual(open("/proc/sys/kernel/shmmni", encoding="ascii").read(), before)

    # ---- bind mounts ----

    def bind(self, source, destination, *options):
        def add(spec):
            spec["mounts"].append({"destination": destination, "type": "bind", "source": source,
                                   "options": list(options) or ["rbind"]})

        return add

    def source(self, name="source"):
        path = f"{BASE}/{name}"
        self.addCleanup(shutil.rmtree, path, True)
        os.makedirs(path, exist_ok=True)
        with open(f"{path}/file", "w", encoding="ascii") as f:
            f.write("of the host\n")
        return path

    def test_bind_directory_and_file(self):
        source = self.source()
        self.assertEqual(self.shell("cat /a/b/file; echo more > /a/b/new", change=self.bind(source, "/a/b")), "of the host\n")
        self.assertTrue(os.path.exists(f"{source}/new"))
        self.assertEqual(self.shell("cat /x/y/z", change=self.bind(f"{source}/file", "/x/y/z")), "of the host\n")

    def test_bind_read_only(self):
        output = self.shell("cat /a/file; touch /a/new 2>&1; true", change=self.bind(self.source(), "/a", "rbind", "ro"))
        self.assertIn("of the host", output)
        self.assertIn("Read-only", output)

    def test_bind_directory_on_file(self):
        spec = config(["true"])
        self.bind(self.source(), "/etc/plain")(spec)
        self.fails(spec, 125, "InvalidArgument", "directory")

    def test_bind_is_private(self):
        source = self.source()
        os.makedirs(f"{source}/sub")
        unit = Unit(config(["sleep", "1000"]))
        self.addCleanup(unit.remove)
        self.bind(source, "/a")(unit.spec)
        with open(f"{unit.bundle}/config.json", "w", encoding="utf-8") as f:
            json.dump(unit.spec, f)
        unit.start().wait_started()
        lib.run(["mount", "-t", "tmpfs", "late", f"{source}/sub"])
        self.addCleanup(lib.run, ["umount", f"{source}/sub"])
        with open(f"/proc/{unit.pid()}/mountinfo", encoding="utf-8") as f:
            self.assertNotIn("late", f.read())

    def test_shared_bind_is_not_the_hosts(self):
        source = self.source()
        os.makedirs(f"{source}/sub")
        lib.run(["mount", "-t", "tmpfs", "shared", f"{source}/sub"])
        self.addCleanup(lib.run, ["umount", f"{source}/sub"])
        lib.run(["mount", "--make-shared", f"{source}/sub"])
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            group, = [line.split()[6] for line in f if line.split()[4] == f"{source}/sub"]
        output = self.shell("cat /proc/self/mountinfo", change=self.bind(f"{source}/sub", "/a", "rbind", "rshared"))
        tags, = [line.split(" - ")[0].split()[6:] for line in output.splitlines() if line.split()[4] == "/a"]
        self.assertNotIn(group, tags)
        self.assertIn(group.replace("shared", "master"), tags)

    # ---- attacks by the image on the mount points ----

    def test_symlinked_mount_points_stay_inside(self):
        outside = f"{BASE}/outside"
        os.makedirs(outside, exist_ok=True)
        self.addCleanup(shutil.rmtree, outside, True)
        before = sorted(os.listdir(outside))

        def links(upper):
            os.symlink(outside, f"{upper}/absolute")
            os.symlink("../../../../../../../.." + outside, f"{upper}/relative")
            os.symlink("/nowhere/yet", f"{upper}/dangling")
            os.symlink("loop", f"{upper}/loop")

        source = self.source()
        for destination in ("/absolute", "/absolute/sub", "/relative", "/relative/sub/deep", "/dangling", "/dangling/x",
                            "/../../../.." + outside + "/dotdot"):
            self.assertEqual(self.shell(f"cat {destination}/file", prepare=links, change=self.bind(source, destination)),
                             "of the host\n", destination)
            self.assertEqual(sorted(os.listdir(outside)), before, destination)
        self.assertFalse(os.path.exists("/nowhere"))

        spec = config(["true"])
        self.bind(source, "/loop")(spec)
        self.fails(spec, 125, "Failed", "/loop", prepare=links)

    def test_magic_links_are_not_followed(self):
        def links(upper):
            os.symlink("/proc/1/root", f"{upper}/magic")

        spec = config(["true"])
        self.bind(self.source(), "/magic/tmp/escape")(spec)
        self.fails(spec, 125, "Failed", "/magic", prepare=links)
        self.assertFalse(os.path.exists("/tmp/escape"))

    def test_proc_that_is_a_symlink(self):
        def link(upper):
            # Over the image's directory: a whiteout first would be the same.
            os.symlink("/tmp", f"{upper}/proc")

        self.fails(config(["true"]), 125, "InvalidArgument", "/proc", prepare=link)

    def test_masked_path_that_is_a_symlink(self):
        def link(upper):
            os.symlink("/etc/shadow", f"{upper}/masked-link")

        def mask(spec):
            spec["linux"]["maskedPaths"].append("/masked-link")

        self.assertIn("gone", self.shell("cat /etc/shadow 2>/dev/null || echo gone", prepare=link, change=mask))
        with open("/etc/shadow", "rb") as f:
            self.assertTrue(f.read())

    def test_launcher_cannot_be_overwritten(self):
        # What root in a container could do with the launcher's /proc/PID/exe: keep it, wait until the program is not
        # executed any more, and open it for writing.
        unit, kept = self.catch(config(["true"]), self.open_launcher)
        self.addCleanup(os.close, kept)
        self.assertTrue(os.path.samestat(os.stat(kept), os.stat("/usr/bin/mooring")))
        unit.wait_ended()
        lib.wait_until(lambda: not lib.processes("mooring"), what="the launcher has ended")
        with self.assertRaises(OSError) as caught:
            os.close(os.open(f"/proc/self/fd/{kept}", os.O_WRONLY))
        self.assertEqual(caught.exception.errno, errno.EROFS)

    @staticmethod
    def open_launcher():
        """A descriptor of the file that a running launcher executes, once that is not the one PID 1 has executed."""

        for pid in lib.processes("mooring"):
            try:
                fd = os.open(f"/proc/{pid}/exe", os.O_PATH)
            except OSError:
                continue
            # The container's first process is the one that an attacker sees.
            try:
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    if re.search(r"^NSpid:\t\d+\t1$", f.read(), re.MULTILINE):
                        return fd
            except OSError:
                pass
            os.close(fd)
        return None

    # ---- what it may do ----

    def status(self, **kwargs):
        return dict(line.split(":\t", 1) for line in self.shell("cat /proc/self/status", **kwargs).splitlines() if ":\t" in line)

    def test_capabilities(self):
        status = self.status()
        for name in ("CapBnd", "CapPrm", "CapEff"):
            self.assertEqual(int(status[name], 16), CAPABILITIES_MASK, name)
        for name in ("CapInh", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)

    def test_capabilities_of_a_user(self):
        status = self.status(user="alice")
        self.assertEqual(int(status["CapEff"], 16), 0)
        self.assertEqual(int(status["CapPrm"], 16), 0)
        self.assertEqual(int(status["CapBnd"], 16), CAPABILITIES_MASK)

    def test_ambient_capabilities(self):
        kill = ["CAP_KILL"]
        status = self.status(user="alice", capabilities={k: kill for k in ("bounding", "permitted", "effective", "inheritable",
                                                                           "ambient")})
        self.assertEqual({int(status[n], 16) for n in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")}, {1 << 5})

    def test_seccomp_and_no_new_privileges(self):
        status = self.status()
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
        self.assertTrue(os.listdir(PROGRAMS))
        self.assertIn("not permitted", self.shell("unshare -m true 2>&1; true"))

    def test_seccomp_without_no_new_privileges(self):
        status = self.status(noNewPrivileges=False)
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "0"))

    def test_seccomp_by_name(self):
        """As moored does it: config.json only names the profile, and its program is made ahead of the start."""

        profile = seccomp_profile()
        profile["syscalls"].append({"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95})
        text = json.dumps(profile)
        name = hashlib.sha256(text.encode()).hexdigest()
        os.makedirs(PROGRAMS, mode=0o700, exist_ok=True)
        files = {suffix: f"{PROGRAMS}/{name}.{suffix}" for suffix in ("json", "bpf")}
        self.addCleanup(lambda: [os.unlink(f) for f in files.values() if os.path.exists(f)])

        def by_name(spec):
            del spec["linux"]["seccomp"]
            spec["annotations"]["org.moored.seccomp"] = name
            return spec

        self.fails(by_name(config(["true"])), 125, "NoSuchProfile", name)
        with open(files["json"], "w", encoding="utf-8") as f:
            f.write(text)
        # Nobody has prepared it: the launcher does, and keeps it.
        self.assertEqual(self.status(change=by_name)["Seccomp"], "2")
        self.assertTrue(os.path.exists(files["bpf"]))
        with open(files["bpf"], "r+b") as f:
            f.truncate(100)
        lib.run(["mooring", "prepare-seccomp", name])
        self.assertGreater(os.stat(files["bpf"]).st_size, 1000)
        # Now the program is all that it takes.
        os.unlink(files["json"])
        self.assertEqual(self.status(change=by_name)["Seccomp"], "2")
        self.assertEqual(self.status(change=by_name, noNewPrivileges=False)["Seccomp"], "2")

        os.unlink(files["bpf"])
        result = lib.run(["mooring", "prepare-seccomp", name], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(name, result.stderr)
        spec = config(["true"])
        spec["annotations"]["org.moored.seccomp"] = name
        self.fails(spec, 125, "InvalidArgument", "exclude each other")
        spec = by_name(config(["true"]))
        spec["annotations"]["org.moored.seccomp"] = "../../../etc/passwd"
        self.fails(spec, 125, "InvalidArgument", "not a SHA-256")

    def test_unconfined(self):
        def unconfined(spec):
            del spec["linux"]["seccomp"]

        self.assertEqual(self.status(change=unconfined)["Seccomp"], "0")

    def test_signals_are_at_their_defaults(self):
        # Not by way of a shell, which changes some.
        output = self.run_spec(config(["grep", "Sig", "/proc/self/status"])).output()
        for name in ("SigBlk", "SigIgn"):
            self.assertRegex(output, rf"{name}:\t0000000000000000\n")

    def test_rlimits(self):
        limits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
        self.assertEqual(self.shell("ulimit -n; ulimit -Hn; ulimit -c", rlimits=limits), "100\n200\n0\n")

    def test_rlimit_that_cannot_be_raised_is_noted(self):
        spec = config(["sleep", "1000"], rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}])
        unit = self.unit(spec).start().wait_started()
        # Beyond the kernel's own maximum nobody can go: an error, or with less privilege the most there is.
        state, text = unit.state()["ActiveState"], unit.show("StatusText")["StatusText"]
        self.assertIn(state, ("active", "failed"))
        self.assertIn("RLIMIT_NOFILE", text)

    def test_oom_score(self):
        self.assertEqual(self.shell("cat /proc/self/oom_score_adj", oomScoreAdj=500), "500\n")

    def test_plain_bundle(self):
        spec = config(["sh", "-c", "echo plain; ls /bin/sh"])
        spec["annotations"] = {}
        spec["root"]["path"] = f"{BASE}/lower/fs"
        self.assertEqual(self.run_spec(spec).output(), "plain\n/bin/sh\n")

    def test_network_namespace_to_join(self):
        lib.run(["ip", "netns", "add", "test-launch"])
        self.addCleanup(lib.run, ["ip", "netns", "del", "test-launch"])
        inode = os.stat("/run/netns/test-launch").st_ino

        def join(spec):
            for namespace in spec["linux"]["namespaces"]:
                if namespace["type"] == "network":
                    namespace["path"] = "/run/netns/test-launch"

        self.assertEqual(self.shell("readlink /proc/self/ns/net", change=join), f"net:[{inode}]\n")

    def test_namespace_of_another_kind(self):
        spec = config(["true"])
        spec["linux"]["namespaces"][-1]["path"] = "/proc/1/ns/ipc"
        self.fails(spec, 125, "InvalidArgument", "network namespace")
