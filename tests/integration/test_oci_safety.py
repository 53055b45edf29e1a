# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing of the host gets into mooring's containers: each class of what has gone wrong in container runtimes, attacked.

More of it: PlaceTest.test_mounts_during_a_race (CVE-2021-30465), KernelTest in test_oci_mounts, ProtectionTest in
test_oci_rootless.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

import lib
import lib_oci
from lib_oci import config

SLEEP = ["sleep", "1000"]
USUAL = ["nosuid", "noexec", "nodev"]
# All that there are, but for the two that make a process without a user namespace the host's administrator, or
# the master of everybody who comes in.
STRONG = sorted(set(f"CAP_{name}" for name in (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_CHROOT SYS_NICE SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE "
    "SETFCAP").split()))
ALL = STRONG + ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]

# Looks into every process that turns up, from inside a container. What it gets hold of is what it prints.
SPY = r"""
import os, sys, time
marker, secret, end = sys.argv[1], sys.argv[2].encode(), time.monotonic() + float(sys.argv[3])
found, met, own = set(), 0, {os.getpid(), 1}

def attempt(what, function):
    try:
        result = function()
    except OSError:
        return None
    if result:
        found.add(what)
    return result

def write_to(path):
    fd = os.open(path, os.O_PATH)
    name = os.readlink(path)
    if "mooring" not in name and "memfd" not in name:
        os.close(fd)
        return False
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        for _ in range(50):
            try:
                os.close(os.open(f"/proc/self/fd/{fd}", flags))
                return True
            except OSError:
                pass
    return False

def environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return secret in f.read()

def memory(pid):
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
    with open(f"/proc/{pid}/maps") as f:
        return "mooring" in f.read()

print("ready", flush=True)
while time.monotonic() < end and not os.path.exists("/tmp/stop"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in own:
            continue
        try:
            with open(f"/proc/{pid}/comm") as f:
                ours = f.read().strip() == "mooring"
        except OSError:
            continue
        if not ours:
            continue
        met += 1
        attempt("the program can be written to", lambda: write_to(f"/proc/{pid}/exe"))
        for link in ("root", "cwd"):
            attempt(f"{link} leads to the host", lambda: os.path.lexists(f"/proc/{pid}/{link}/{marker}"))
        attempt("the environment", lambda: environment(pid))
        attempt("the memory", lambda: memory(pid))
        for fd in attempt("", lambda: os.listdir(f"/proc/{pid}/fd")) or []:
            path = f"/proc/{pid}/fd/{fd}"
            attempt("a descriptor leads to the host", lambda: os.path.lexists(path + "/../" * 12 + marker))
found.discard("")
print(f"met {met}")
for what in sorted(found):
    print(what)
"""


class SafetyTestCase(lib_oci.OciTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        root = f"{cls.bundle}/rootfs"
        # The host's Python, to attack with.
        os.makedirs(f"{root}/usr")
        for name in ("lib", "lib64"):
            os.symlink(f"usr/{name}", f"{root}/{name}")
        cls.marker = f"run/{os.path.basename(cls.bundle)}-marker"
        with open("/" + cls.marker, "w", encoding="utf-8"):
            pass

    @classmethod
    def tearDownClass(cls):
        os.unlink("/" + cls.marker)
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.program = lib.run(["which", "mooring"]).stdout.strip()
        self.digest = self.program_digest()
        self.addCleanup(lambda: self.assertEqual(self.program_digest(), self.digest))

    def program_digest(self):
        with open(self.program, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def spec(self, args, mounts=(), caps=None, **more):
        spec = config(args, **more)
        spec["mounts"] += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}, *mounts]
        if caps is not None:
            spec["process"]["capabilities"] = {kind: caps for kind in ("bounding", "effective", "permitted")}
        return spec

    def state(self, name):
        return json.loads(self.mooring("state", name).stdout)

    def create(self, spec, **kwargs):
        name = self.new(spec)
        with tempfile.TemporaryFile("w+") as errors:
            p = subprocess.run([self.program, "--root", self.states, "--cgroup-manager", "disabled", "create", name],
                               cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                               timeout=60, check=False, **kwargs)
            errors.seek(0)
            self.assertEqual(p.returncode, 0, errors.read())
        return name

    @contextlib.contextmanager
    def exchanging(self, *pairs):
        """Swaps files of a shared directory all the time, as the processes of another container could."""

        code = f"""
import ctypes, os
libc = ctypes.CDLL(None)
print("ready", flush=True)
while os.getppid() == {os.getpid()}:
    for a, b in {[tuple(os.fsencode(p) for p in pair) for pair in pairs]!r}:
        libc.renameat2(-100, a, -100, b, 2)
"""
        with subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE, text=True) as p:
            try:
                p.stdout.readline()
                yield
            finally:
                p.kill()


class ProgramTest(SafetyTestCase):
    """CVE-2019-5736: the runtime's program, by /proc/PID/exe. CVE-2016-9962: who comes in, before it is in."""

    SECRET = "the-caller-s-environment"

    def spy(self, caps, namespaces=("pid", "mount", "uts", "ipc", "network"), linux=None, join=False):
        """What a container gets hold of while commands are executed in it, or others made in its pid namespace."""

        shutil.rmtree(f"{self.bundle}/rootfs/tmp")
        os.mkdir(f"{self.bundle}/rootfs/tmp")
        os.chmod(f"{self.bundle}/rootfs/tmp", 0o1777)
        spec = self.spec(["/usr/bin/python3", "-c", SPY, self.marker, self.SECRET, "1000"], caps=caps, namespaces=namespaces,
                         linux=linux)
        name = self.new(spec)
        host = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, host)
        with subprocess.Popen([self.program, "--root", self.states, "--cgroup-manager", "disabled", "run", name],
                              cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as p:
            try:
                self.assertEqual(p.stdout.readline(), "ready\n")
                environment = {**os.environ, "SECRET": self.SECRET}
                other = self.spec(["true"], namespaces=("mount", "ipc"))
                other["linux"]["namespaces"].append({"type": "pid", "path": f"/proc/{self.state(name)['pid']}/ns/pid"})
                if join:
                    self.new(other)
                for i in range(150):
                    # The command may be this program itself, too.
                    command = ["/proc/self/exe", "--version"] if i % 3 == 0 else ["true"]
                    args = ["--cgroup-manager", "disabled", "run", "--bundle", self.bundle, f"{name}-{i}"] if join \
                        else ["exec", name, *command]
                    subprocess.run([self.program, "--root", self.states, *args], cwd="/", env=environment,
                                   pass_fds=[host], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
                                   timeout=60)
                with open(f"{self.bundle}/rootfs/tmp/stop", "w", encoding="utf-8"):
                    pass
                met, *found = p.stdout.read().splitlines()
            finally:
                self.mooring("delete", "--force", name, check=False)
        # It is an attack only if it has come upon somebody.
        self.assertGreater(int(met.split()[1]), 0)
        return found

    def test_container(self):
        self.assertEqual(self.spy(STRONG), [])

    def test_container_that_may_trace(self):
        """CAP_SYS_PTRACE on the host: it may do with those that come in what it likes, but they have nothing with them."""

        self.assertLessEqual(set(self.spy(STRONG + ["CAP_SYS_PTRACE"])), {"the memory"})

    def test_containers_in_its_pid_namespace(self):
        self.assertEqual(self.spy(STRONG, join=True), [])
        self.assertLessEqual(set(self.spy(STRONG + ["CAP_SYS_PTRACE"], join=True)), {"the memory"})

    def test_user_namespace_with_all_capabilities(self):
        shift = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.assertEqual(self.spy(ALL, namespaces=("user", "pid", "mount", "uts", "ipc", "network"),
                                  linux={"uidMappings": shift, "gidMappings": shift}), [])

    def test_command_is_the_program(self):
        """Its own executable is on a mount that is read-only for ever, even for who may remount."""

        for caps in (STRONG, ALL):
            with self.subTest(caps=len(caps)):
                name = self.create(self.spec(SLEEP, caps=caps))
                script = "exec 3</proc/1/exe; for i in 1 2 3; do echo x >/proc/1/exe; echo x >/proc/self/fd/3; done; " \
                         "mount -o remount,rw,bind /proc/self/fd/3; mount --bind /proc/self/fd/3 /tmp/x; echo x >/tmp/x; " \
                         "cat /proc/1/exe | head -c 4"
                spec = {"args": ["sh", "-c", script], "cwd": "/", "env": [lib_oci.PATH], "user": {"uid": 0, "gid": 0},
                        "capabilities": {kind: caps for kind in ("bounding", "effective", "permitted")}}
                with open(f"{self.bundle}/process.json", "w", encoding="utf-8") as f:
                    json.dump(spec, f)
                out = self.mooring("exec", "--process", "process.json", name, check=False)
                self.assertEqual(self.program_digest(), self.digest)
                self.assertNotIn("x\n", out.stdout)
                self.mooring("delete", "--force", name)

    def test_its_image_says_so(self):
        """An image whose command is /proc/self/exe gets this program, which cannot be opened for writing."""

        code, out, _ = self.run_container(self.spec(["/proc/self/exe", "--version"]), check=False)
        self.assertEqual(code, 0)
        self.assertIn("version", out)
        name = self.start_container(self.spec(["/bin/sh", "-c", "exec 3</proc/self/exe; sleep 1000"]))
        pid = self.state(name)["pid"]
        self.assertTrue(os.readlink(f"/proc/{pid}/exe").endswith("/busybox"))

    def test_environment_of_what_waits(self):
        name = self.create(self.spec(SLEEP), env={**os.environ, "SECRET": self.SECRET})
        for command in ("cat /proc/1/environ", "cat /proc/1/mem", "ls /proc/1/root/", "ls /proc/1/cwd/", "readlink /proc/1/fd/0"):
            out = self.mooring("exec", name, *command.split(), check=False)
            self.assertNotEqual(out.returncode, 0, command)
            self.assertNotIn(self.SECRET, out.stdout)

    def test_environment_of_hooks_in_the_container(self):
        log = f"{self.bundle}/rootfs/log"
        hook = [{"path": "/bin/sh", "args": ["sh", "-c", "env >/log"]}]
        name = self.new(self.spec(["true"], hooks={"startContainer": hook}))
        self.mooring("run", name, env={**os.environ, "SECRET": self.SECRET})
        with open(log, encoding="utf-8") as f:
            text = f.read()
        os.unlink(log)
        self.assertIn("PATH=/usr/local/sbin", text)
        self.assertNotIn(self.SECRET, text)


class DescriptorTest(SafetyTestCase):
    """CVE-2024-21626: descriptors of the host, and paths that lead through them."""

    def with_host_directories(self, args, check=True):
        """mooring, called by somebody who has directories of the host open all over the place."""

        fds = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(20)]
        try:
            return lib.run([self.program, "--root", self.states, "--cgroup-manager", "disabled", *args], cwd=self.bundle,
                           pass_fds=fds, check=check)
        finally:
            for fd in fds:
                os.close(fd)

    def test_list(self):
        show = ["sh", "-c", "for i in /proc/self/fd/*; do readlink $i; done; :"]
        running = self.start_container(self.spec(SLEEP))
        for args in (["run", self.new(self.spec(show))], ["exec", running, *show]):
            links = self.with_host_directories(args).stdout.splitlines()
            self.assertLessEqual(len(links), 4)
            self.assertFalse([link for link in links if link.startswith("/") and not link.startswith(("/dev/null", "/proc/"))])

    def test_working_directory(self):
        running = self.start_container(self.spec(SLEEP))
        os.symlink("/proc/self/fd/7", f"{self.bundle}/rootfs/by-link")
        self.addCleanup(os.unlink, f"{self.bundle}/rootfs/by-link")
        directories = [f"/proc/self/fd/{n}" for n in range(3, 40)] + ["/by-link", "/proc/self/fd/8/../../..", "/proc/1/cwd/.."]
        show = ["sh", "-c", f"test -e {self.marker} || test -e ../../../../../{self.marker}"]
        for cwd in directories:
            with self.subTest(cwd=cwd):
                p = self.with_host_directories(["run", self.new(self.spec(show, process={"cwd": cwd}))], check=False)
                self.assertNotEqual(p.returncode, 0)
                p = self.with_host_directories(["exec", "--cwd", cwd, running, *show], check=False)
                self.assertNotEqual(p.returncode, 0)

    def test_command(self):
        running = self.start_container(self.spec(SLEEP))
        for n in range(3, 40):
            command = [f"/proc/self/fd/{n}/../../../bin/true"]
            self.assertNotEqual(self.with_host_directories(["run", self.new(self.spec(command))], check=False).returncode, 0)
            self.assertNotEqual(self.with_host_directories(["exec", running, *command], check=False).returncode, 0)

    def test_preserved_ones_are_no_working_directory(self):
        """Who passes a directory on wants it to be used, but not to begin outside of the container."""

        fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            name = self.start_container(self.spec(SLEEP))
            command = [self.program, "--root", self.states, "exec", "--preserve-fds", "1", "--cwd", "/proc/self/fd/3", name, "true"]
            p = lib.run(["python3", "-c", f"import os; os.dup2({fd}, 3); os.execv({self.program!r}, {command!r})"],
                        cwd=self.bundle, pass_fds=[fd], check=False)
        finally:
            os.close(fd)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("out of the container", p.stderr)

    def test_what_waits_for_the_start(self):
        """Between create and start the process is in the container, and has nothing to get out by."""

        name = self.create(self.spec(SLEEP))
        pid = self.state(name)["pid"]
        for fd in os.listdir(f"/proc/{pid}/fd"):
            mode = os.stat(f"/proc/{pid}/fd/{fd}").st_mode
            self.assertTrue(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode) or int(fd) <= 2,
                            os.readlink(f"/proc/{pid}/fd/{fd}"))
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertFalse(os.path.exists(f"/proc/{pid}/root/{self.marker}"))

    def test_hooks(self):
        log = f"{self.bundle}/log"
        self.addCleanup(os.unlink, log)
        script = [{"path": "/bin/sh", "args": ["sh", "-c", f"ls -l /proc/self/fd >>{log}"]}]
        spec = self.spec(["true"], hooks={t: script for t in ("prestart", "createRuntime", "createContainer", "poststop")})
        self.with_host_directories(["run", self.new(spec)])
        with open(log, encoding="utf-8") as f:
            numbers = [line.split(" -> ")[0].split()[-1] for line in f if " -> " in line]
        self.assertEqual(sorted(set(numbers)), ["0", "1", "2", "3"])
        self.assertEqual(numbers.count("3"), 4)  # that of ls itself

    def test_stdio_of_the_host_stays_the_hosts(self):
        """A file that is read, and devices, are not given to the container's user; what it writes to is."""

        def ids(path):
            return os.stat(path).st_uid

        files = {name: f"{self.bundle}/stdio-{name}" for name in ("in", "out")}
        for path in files.values():
            with open(path, "w", encoding="utf-8"):
                pass
            self.addCleanup(os.unlink, path)
        spec = self.spec(["true"], process={"user": {"uid": 1000, "gid": 1001}})
        # A /dev without a null device.
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/dev"]
        os.mkdir(f"{self.bundle}/dev")
        self.addCleanup(os.rmdir, f"{self.bundle}/dev")
        spec["mounts"].append({"destination": "/dev", "type": "bind", "source": f"{self.bundle}/dev", "options": ["bind"]})
        before = ids("/dev/null"), ids("/dev/zero")
        name = self.new(spec)
        with open(files["in"], "rb") as stdin, open(files["out"], "wb") as stdout, open("/dev/null", "wb") as stderr:
            subprocess.run([self.program, "--root", self.states, "--cgroup-manager", "disabled", "run", name],
                           cwd=self.bundle, stdin=stdin, stdout=stdout, stderr=stderr, check=True, timeout=60)
        self.assertEqual((ids("/dev/null"), ids("/dev/zero")), before)
        self.assertEqual((ids(files["in"]), ids(files["out"])), (0, 1000))

    def test_signals_and_capabilities(self):
        """What the caller ignores and blocks is its own; nothing is inheritable that was not said to be."""

        running = self.start_container(self.spec(SLEEP))
        show = ["sh", "-c", "grep -E '^(Sig(Blk|Ign)|CapInh|CapAmb)' /proc/self/status"]
        for args in (["run", self.new(self.spec(show))], ["exec", "--cap", "CAP_SYS_TIME", running, *show]):
            def hostile():
                for signo in (signal.SIGUSR1, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
                    signal.signal(signo, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])

            # pylint: disable-next=subprocess-popen-preexec-fn
            out = lib.run([self.program, "--root", self.states, "--cgroup-manager", "disabled", *args], cwd=self.bundle,
                          preexec_fn=hostile).stdout
            self.assertEqual(dict(line.split() for line in out.splitlines()),
                             {f"{n}:": "0" * 16 for n in ("SigBlk", "SigIgn", "CapInh", "CapAmb")})


class MountRaceTest(SafetyTestCase):
    """CVE-2021-30465, CVE-2025-31133, CVE-2025-52565: another container changes a shared directory meanwhile."""

    ROUNDS = 60

    def setUp(self):
        super().setUp()
        self.shared = tempfile.mkdtemp(prefix="test-oci-shared-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.shared)

    def with_shared_dev(self, args, **more):
        spec = self.spec(args, **more)
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/dev"]
        spec["mounts"].append({"destination": "/dev", "type": "bind", "source": self.shared, "options": ["bind"]})
        return spec

    def test_null_device(self):
        """A mask is a null device, whatever /dev/null is at the moment."""

        os.mknod(f"{self.shared}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.symlink("/proc/sys/kernel/core_pattern", f"{self.shared}/other")
        show = "stat -c '%n %F %t:%T' /proc/interrupts /proc/keys; cat /proc/interrupts /proc/keys"
        spec = self.with_shared_dev(["sh", "-c", show], linux={"maskedPaths": ["/proc/interrupts", "/proc/keys"]})
        with self.exchanging((f"{self.shared}/null", f"{self.shared}/other")):
            for _ in range(self.ROUNDS):
                code, out, err = self.run_container(spec, check=False)
                self.assertEqual((code, out), (0, "/proc/interrupts character special file 1:3\n"
                                                  "/proc/keys character special file 1:3\n"), err)

    def test_console(self):
        """The terminal is mounted on the console or nowhere."""

        with open(f"{self.shared}/console", "w", encoding="utf-8"):
            pass
        os.symlink("/etc/passwd", f"{self.shared}/other")
        os.makedirs(f"{self.shared}/pts")
        spec = self.with_shared_dev(["sh", "-c", "grep ' - devpts ' /proc/self/mountinfo"], process={"terminal": True})
        spec["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]})
        places = set()
        with self.exchanging((f"{self.shared}/console", f"{self.shared}/other")):
            for _ in range(self.ROUNDS):
                name = self.new(spec)
                out = lib.run(["script", "--quiet", "--return", "--command",
                               f"{self.program} --root {self.states} --cgroup-manager disabled run {name}", "/dev/null"],
                              cwd=self.bundle, check=False).stdout
                places |= {line.split()[4] for line in out.splitlines() if " - devpts " in line}
        self.assertIn("/dev/console", places)
        # A place takes what is mounted there with it when it is renamed.
        self.assertLessEqual(places, {"/dev/console", "/dev/other", "/dev/pts"})

    def test_proc_that_is_moved(self):
        """Protected paths are protected, or there is no container, where the root is shared with somebody."""

        root = f"{self.bundle}/rootfs"
        os.makedirs(f"{root}/elsewhere/kept")
        self.addCleanup(shutil.rmtree, f"{root}/elsewhere")
        show = "for p in /proc /elsewhere; do test -e $p/self/status && { cat $p/keys; echo 1 >$p/sys/kernel/panic; }; done; :"
        spec = self.spec(["sh", "-c", show], linux={"maskedPaths": ["/proc/keys", "/proc/kcore", "/proc/timer_list"],
                                                    "readonlyPaths": ["/proc/sys"]})
        with open("/proc/sys/kernel/panic", encoding="utf-8") as f:
            before = f.read()
        ran = 0
        with self.exchanging((f"{root}/proc", f"{root}/elsewhere")):
            for _ in range(self.ROUNDS):
                code, out, err = self.run_container(spec, check=False)
                self.assertEqual(out, "", err)
                ran += code == 0
        self.assertGreater(ran, 0)
        with open("/proc/sys/kernel/panic", encoding="utf-8") as f:
            self.assertEqual(f.read(), before)
        if os.path.isdir(f"{root}/proc/kept"):
            os.rename(f"{root}/proc", f"{root}/proc.other")
            os.rename(f"{root}/elsewhere", f"{root}/proc")
            os.rename(f"{root}/proc.other", f"{root}/elsewhere")

    def test_devices(self):
        """Nodes and links for /dev are made there, or nowhere."""

        outside = tempfile.mkdtemp(prefix="test-oci-outside-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, outside)
        root = f"{self.bundle}/rootfs"
        os.symlink("/" + "../" * 20 + outside.strip("/"), f"{root}/dev.link")
        spec = self.spec(["true"], linux={"devices": [{"path": "/dev/sub/node", "type": "c", "major": 1, "minor": 5}]})
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/dev"]
        with self.exchanging((f"{root}/dev", f"{root}/dev.link")):
            for _ in range(self.ROUNDS):
                self.run_container(spec, check=False)
                self.assertEqual(os.listdir(outside), [])
        if os.path.islink(f"{root}/dev"):
            os.rename(f"{root}/dev", f"{root}/dev.other")
            os.rename(f"{root}/dev.link", f"{root}/dev")
            os.rename(f"{root}/dev.other", f"{root}/dev.link")
        os.unlink(f"{root}/dev.link")
        shutil.rmtree(f"{root}/dev")
        os.mkdir(f"{root}/dev")
        shutil.rmtree(f"{root}{outside}", ignore_errors=True)


class ProcTest(SafetyTestCase):
    """CVE-2025-52881, CVE-2019-19921, CVE-2019-16884: what is written to /proc ends up where it is meant to."""

    VICTIM = "untouched\n"

    def setUp(self):
        super().setUp()
        self.victim = f"{self.bundle}/rootfs/victim"
        with open(self.victim, "w", encoding="utf-8") as f:
            f.write(self.VICTIM)
        os.chmod(self.victim, 0o666)
        self.addCleanup(os.unlink, self.victim)

    def assert_untouched(self):
        with open(self.victim, encoding="utf-8") as f:
            self.assertEqual(f.read(), self.VICTIM)

    def test_exec_where_proc_is_a_forgery(self):
        """The container has put a tmpfs on its /proc, in which every file that might be written to is its victim."""

        forge = """
            mount -t tmpfs tmpfs /proc
            for i in self thread-self; do
                mkdir -p /proc/$i/attr/apparmor /proc/$i/fd /proc/$i/ns
                for f in oom_score_adj uid_map gid_map setgroups timens_offsets attr/exec attr/current attr/apparmor/exec attr/keycreate; do
                    ln -s /victim /proc/$i/$f
                done
            done
            mkfifo /proc/passwd
            echo ready; exec sleep 1000
        """
        name = self.new(self.spec(["sh", "-c", forge], caps=ALL))
        with subprocess.Popen([self.program, "--root", self.states, "--cgroup-manager", "disabled", "run", name],
                              cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as p:
            self.assertEqual(p.stdout.readline(), "ready\n")
            process = {"args": SLEEP, "cwd": "/", "env": [lib_oci.PATH], "user": {"uid": 1000, "gid": 1001}, "oomScoreAdj": 321,
                       "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 99, "soft": 99}]}
            with open(f"{self.bundle}/process.json", "w", encoding="utf-8") as f:
                json.dump(process, f)
            pid_file = f"{self.bundle}/exec.pid"
            with open(os.devnull, "wb") as null:
                subprocess.run([self.program, "--root", self.states, "exec", "--detach", "--pid-file", pid_file, "--process",
                                "process.json", name], cwd=self.bundle, stdout=null, stderr=null, check=True, timeout=30)
            with open(pid_file, encoding="utf-8") as f:
                pid = f.read()
            with open(f"/proc/{pid}/oom_score_adj", encoding="utf-8") as f:
                self.assertEqual(f.read(), "321\n")
            self.assert_untouched()
            self.mooring("kill", name, "KILL")

    def test_labels_where_proc_is_a_forgery(self):
        """An image with a /proc of its own, and a volume for it: no label is written into that."""

        forged = tempfile.mkdtemp(prefix="test-oci-proc-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, forged)
        for link in ("self", "thread-self"):
            os.makedirs(f"{forged}/{link}/attr/apparmor")
            for file in ("attr/exec", "attr/current", "attr/apparmor/exec", "oom_score_adj"):
                os.symlink("/victim", f"{forged}/{link}/{file}")
        spec = self.spec(["true"], process={"oomScoreAdj": 5, "apparmorProfile": "unconfined"})
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/proc"]
        spec["mounts"].append({"destination": "/proc", "type": "bind", "source": forged, "options": ["rbind"]})
        self.run_container(spec)
        self.assert_untouched()

    def test_sysctl_during_a_race(self):
        """A sysctl is set in the container's namespace, whoever moves the root's /proc about."""

        root = f"{self.bundle}/rootfs"
        os.makedirs(f"{root}/forged/sys/net/ipv4")
        self.addCleanup(shutil.rmtree, f"{root}/forged")
        os.symlink("/victim", f"{root}/forged/sys/net/ipv4/ip_unprivileged_port_start")
        spec = self.spec(["true"], linux={"sysctl": {"net.ipv4.ip_unprivileged_port_start": "81"}})
        with self.exchanging((f"{root}/proc", f"{root}/forged")):
            for _ in range(40):
                self.run_container(spec, check=False)
                self.assert_untouched()
        if os.path.isdir(f"{root}/proc/sys"):
            os.rename(f"{root}/proc", f"{root}/proc.other")
            os.rename(f"{root}/forged", f"{root}/proc")
            os.rename(f"{root}/proc.other", f"{root}/forged")
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="utf-8") as f:
            self.assertEqual(f.read(), "1024\n")

    def test_proc_that_is_a_symlink(self):
        """CVE-2023-27561, CVE-2023-28642."""

        root = f"{self.bundle}/rootfs"
        os.rename(f"{root}/proc", f"{root}/proc.kept")
        os.mkdir(f"{root}/other")
        try:
            os.symlink("/other", f"{root}/proc")
            self.refused(self.spec(["true"]), "symbolic link")
            os.unlink(f"{root}/proc")
        finally:
            os.rename(f"{root}/proc.kept", f"{root}/proc")
            os.rmdir(f"{root}/other")

    def test_exec_does_not_wait_for_the_image(self):
        """/etc/passwd has become a FIFO, or a device, in a container that runs."""

        running = self.start_container(self.spec(["sh", "-c", "mv /etc/passwd /etc/kept; mkfifo /etc/passwd; exec sleep 1000"]))
        passwd = f"{self.bundle}/rootfs/etc/passwd"
        try:
            lib.wait_until(lambda: os.path.exists(passwd) and stat.S_ISFIFO(os.stat(passwd).st_mode))
            p = self.mooring("exec", running, "true", check=False, timeout=20)
            self.assertIn("not a regular file", p.stderr)
        finally:
            os.rename(f"{self.bundle}/rootfs/etc/kept", passwd)


class CutShortTest(SafetyTestCase):
    """Whatever is killed or interrupted at whatever moment, it can be cleared away, and nobody waits for it."""

    def processes(self):
        return set(lib.processes("mooring", "sleep", "sh").items())

    def cgroups(self):
        found = set()
        for directory, directories, _ in os.walk("/sys/fs/cgroup"):
            found |= {f"{directory}/{d}" for d in directories if "mooring" in d or "test-" in d}
        return found

    def killed_at_any_moment(self, manager, spec, verb):
        before = self.processes(), self.cgroups()
        for i in range(40):
            name = self.new(spec)
            with subprocess.Popen([self.program, "--root", self.states, "--cgroup-manager", manager, *verb, name],
                                  cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as p:
                time.sleep(random.uniform(0, 0.0005 * i))
                p.kill()
                p.wait()
            self.mooring("delete", "--force", name, manager=manager)
            self.assertEqual(os.listdir(self.states), [])
        lib.wait_until(lambda: not self.processes() - before[0], what="the processes are gone")
        lib.wait_until(lambda: not self.cgroups() - before[1] - {"/sys/fs/cgroup/mooring"}, what="the cgroups are gone")
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)

    def test_create_is_killed(self):
        shift = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        hook = [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 0.003"]}]
        specs = (self.spec(SLEEP, hooks={"createRuntime": hook, "createContainer": hook}),
                 self.spec(SLEEP, namespaces=("user", "pid", "mount", "ipc", "cgroup"), hooks={"createContainer": hook},
                           linux={"uidMappings": shift, "gidMappings": shift}),
                 # Without a namespace whose end is that of all in it.
                 self.spec(SLEEP, namespaces=("mount",), hooks={"createRuntime": hook, "createContainer": hook}))
        for manager in ("cgroupfs", "systemd"):
            for i, spec in enumerate(specs):
                with self.subTest(manager=manager, spec=i):
                    self.killed_at_any_moment(manager, spec, ["create"])

    def test_run_is_killed(self):
        self.killed_at_any_moment("cgroupfs", self.spec(SLEEP), ["run"])

    def test_somebody_elses_cgroup_is_left_alone(self):
        """A creation was killed before it could see that its cgroup was in use."""

        other = self.start_with_cgroup("/mooring-test-shared")
        name = f"test-{os.getpid()}-half"
        os.mkdir(f"{self.states}/{name}")
        with open(f"{self.states}/{name}/remains", "w", encoding="utf-8") as f:
            f.write("/mooring-test-shared")
        self.mooring("delete", "--force", name)
        self.assertEqual(self.state(other)["status"], "running")
        self.mooring("delete", "--force", other)
        self.assertFalse(os.path.exists("/sys/fs/cgroup/mooring-test-shared"))

    def start_with_cgroup(self, path):
        name = self.new(self.spec(SLEEP, linux={"cgroupsPath": path}))
        with open(os.devnull, "wb") as null:
            subprocess.run([self.program, "--root", self.states, "run", "--detach", name], cwd=self.bundle, stdin=null, stdout=null,
                           stderr=null, check=True, timeout=60)
        return name

    def test_exec_is_killed(self):
        name = self.start_container(self.spec(SLEEP))
        before = self.processes()
        for i in range(40):
            with subprocess.Popen([self.program, "--root", self.states, "exec", name, "true"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as p:
                time.sleep(0.0002 * i)
                p.kill()
        lib.wait_until(lambda: not self.processes() - before)

    def run_in_background(self, spec):
        return subprocess.Popen([self.program, "--root", self.states, "--cgroup-manager", "disabled", "run", self.new(spec)],
                                cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def test_hooks_can_be_interrupted(self):
        for kind in ("prestart", "createRuntime", "createContainer"):
            for signo in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(kind=kind, signal=signo):
                    log = f"{self.bundle}/log"
                    hooks = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo begun >{log}; exec sleep 1000"]}],
                             "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo ended >>{log}"]}]}
                    p = self.run_in_background(self.spec(["true"], hooks=hooks))
                    lib.wait_until(lambda: os.path.exists(log) and os.path.getsize(log) > 0, what="the hook has begun")
                    p.send_signal(signo)
                    _, err = p.communicate(timeout=20)
                    self.assertNotEqual(p.returncode, 0)
                    self.assertRegex(err, "[Ii]nterrupted")
                    self.assertEqual(os.listdir(self.states), [])
                    lines = self.log_lines(log)
                    # In the container it is killed with all that is there, and nobody knows how far it had come.
                    self.assertEqual(lines, ["begun"] if kind == "createContainer" else ["begun", "ended"])

    def log_lines(self, log):
        with open(log, encoding="utf-8") as f:
            lines = f.read().split()
        os.unlink(log)
        return lines

    def test_hooks_for_the_end_of_failed_creations(self):
        log = f"{self.bundle}/log"
        note = lambda text, code=0: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {text} >>{log}; exit {code}"]}]  # noqa: E731
        for hooks, args, expected in (
                ({"createRuntime": note("1", 3), "poststop": note("2")}, ["true"], ["1", "2"]),
                ({"createContainer": note("1", 3), "poststop": note("2")}, ["true"], ["1", "2"]),
                ({"createRuntime": note("1"), "poststop": note("2")}, ["/nonexistent"], ["1", "2"]),
                # Nothing had been begun that hooks could undo.
                ({"createRuntime": note("1"), "poststop": note("2")}, None, [])):
            spec = self.spec(args or ["true"], hooks=hooks)
            if not args:
                spec["mounts"].append({"destination": "/x", "type": "bind", "source": "/nonexistent", "options": ["bind"]})
            self.assertNotEqual(self.mooring("run", self.new(spec), check=False).returncode, 0)
            self.assertEqual(self.log_lines(log) if os.path.exists(log) else [], expected)

    def test_failed_creations_have_no_pid_file(self):
        pid_file = f"{self.bundle}/pid"
        p = self.mooring("run", "--pid-file", pid_file, self.new(self.spec(["/nonexistent"])), check=False)
        self.assertNotEqual(p.returncode, 0)
        # The pidfd cannot be sent, after the file has been written.
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.bind(f"{directory}/socket")
            s.listen(1)
            closed = f"{directory}/closed"

            def hang_up():
                s.accept()[0].close()
                os.mkdir(closed)

            thread = threading.Thread(target=hang_up)
            thread.start()
            waits = {"path": "/bin/sh", "args": ["sh", "-c", f"until test -e {closed}; do sleep 0.02; done"]}
            p = self.mooring("create", "--pid-file", pid_file, "--pidfd-socket", f"{directory}/socket",
                             self.new(self.spec(SLEEP, hooks={"createRuntime": [waits]})), check=False)
            thread.join()
        self.assertNotEqual(p.returncode, 0)
        self.assertFalse(os.path.exists(pid_file))
        self.assertEqual(os.listdir(self.states), [])

    def test_ignored_signals_do_not_interrupt(self):
        """nohup(1): who ignores a signal is not to die of it, nor is the container."""

        name = self.new(self.spec(["sh", "-c", "echo ready; sleep 1; echo end"]))
        with subprocess.Popen(["nohup", self.program, "--root", self.states, "--cgroup-manager", "disabled", "run", name],
                              cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as p:
            self.assertEqual(p.stdout.readline(), "ready\n")
            p.send_signal(signal.SIGHUP)
            self.assertEqual(p.stdout.read(), "end\n")
            self.assertEqual(p.wait(), 0)

    def test_start_is_killed(self):
        """The byte has been written, and nobody has tidied up: the container runs, and is not said to wait."""

        name = self.create(self.spec(SLEEP))
        fd = os.open(f"{self.states}/{name}/start", os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"\0")
        os.close(fd)
        lib.wait_until(lambda: self.state(name)["status"] == "running")
        self.assertIn("running", self.mooring("start", name, check=False).stderr)

    def test_nobody_reads_the_terminal(self):
        """`mooring run | head -n 1`: the terminal hangs up."""

        spec = self.spec(["yes", "line"], process={"terminal": True})
        spec["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]})
        with self.run_in_background(spec) as p:
            self.assertEqual(p.stdout.readline(), "line\n")
            p.stdout.close()
            p.wait(timeout=20)
        lib.wait_until(lambda: os.listdir(self.states) == [])

    def test_who_waits_for_readiness_holds_no_lock(self):
        """With a notification socket `run --detach` waits until the container is ready, which may be never."""

        with tempfile.TemporaryDirectory() as directory:
            name = self.new(self.spec(SLEEP))
            with subprocess.Popen(["python3", "-c", f"""
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind({directory + '/notify'!r})
sys.exit(subprocess.run([{self.program!r}, "--root", {self.states!r}, "--cgroup-manager", "disabled", "run", "--detach",
         {name!r}], env=dict(os.environ, NOTIFY_SOCKET={directory + '/notify'!r}), stdin=subprocess.DEVNULL,
         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode)
"""], cwd=self.bundle) as p:
                lib.wait_until(lambda: os.path.exists(f"{self.states}/{name}/status"))
                lib.wait_until(lambda: self.state(name)["status"] == "running")
                self.mooring("delete", "--force", name, timeout=20)
                p.wait(timeout=20)
