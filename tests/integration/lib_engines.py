# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests share of engines that have mooring as their OCI runtime: podman, for root and for a user, and containerd.

Each has a place of its own for images and containers. After each test there is none, and of none is anything left."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import lib
import lib_oci
import test_oci_rootless

MOORING = "/usr/bin/mooring"
IMAGE = f"{lib.REGISTRY}/busybox:test"
# Below a directory that each host has on a file system of which overlay makes upper directories.
STORAGE = "/var/lib/containers/test-engines"
RUN = "/run/test-engines"
STATES = "/run/mooring"
RANGE = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"]
SLEEP = ["sleep", "1000"]
# See ContainerdTestCase.listen().
HEARD = "echo end-of-output; read -r -t 60 line"
UNTIL_TERM = ["sh", "-c", "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.05; done"]


def controllers():
    with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as f:
        return f.read().split()


def cgroups(pattern):
    """Those whose name matches, in the unified hierarchy: host A has another one's besides."""

    return [path for path, _, _ in os.walk("/sys/fs/cgroup")
            if re.fullmatch(pattern, os.path.basename(path)) and os.path.exists(f"{path}/cgroup.controllers")]


def remove_cgroups(path):
    """What engines have made above their containers' and leave."""

    for directory, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            pass


def states():
    return sorted(os.listdir(STATES)) if os.path.isdir(STATES) else []


def mounts():
    """Of the host, but for those which podman and "ip netns" make once for all containers."""

    with open("/proc/1/mountinfo", encoding="utf-8") as f:
        return {line.split()[4] for line in f} - {f"{STORAGE}/overlay", "/run/netns"}


def namespaces(*names, pid="self"):
    return [os.readlink(f"/proc/{pid}/ns/{n}") for n in names]


def shell(command):
    """A command as a list, or a script for the shell."""

    return ["sh", "-c", command] if isinstance(command, str) else command


def write_settings(path):
    """containers.conf(5) for a host like this. Podman by itself limits the number of processes."""

    lines = ["[containers]", 'log_driver="k8s-file"', *([] if "pids" in controllers() else ["pids_limit=0"]),
             "[engine]", 'events_logger="file"', 'runtime_supports_json=["mooring"]',
             'runtime_supports_nocgroup=["mooring"]', "[engine.runtimes]", f'mooring=["{MOORING}"]']
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


@unittest.skipUnless(shutil.which("podman"), "podman is not installed")
class PodmanTestCase(unittest.TestCase):
    hosts = "a"
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.makedirs(RUN, exist_ok=True)
        write_settings(f"{RUN}/containers.conf")
        cls.environment = {**os.environ, "CONTAINERS_CONF": f"{RUN}/containers.conf"}
        lib.run(cls.command("pull", "--quiet", "--tls-verify=false", IMAGE), env=cls.environment)

    @classmethod
    def tearDownClass(cls):
        lib.run(cls.command("system", "reset", "--force"), env=cls.environment, check=False)
        for path in (f"{STORAGE}/overlay", STORAGE):
            if os.path.ismount(path):
                lib.run(["umount", path])
        shutil.rmtree(STORAGE, ignore_errors=True)
        shutil.rmtree(RUN)
        for path in ("/sys/fs/cgroup/libpod_parent", "/sys/fs/cgroup/engines"):
            remove_cgroups(path)
        super().tearDownClass()

    @classmethod
    def command(cls, *args, options=()):
        return ["podman", "--runtime", MOORING, "--root", STORAGE, "--runroot", f"{RUN}/storage", *options, *args]

    def setUp(self):
        super().setUp()
        self.states_before, self.mounts_before = states(), mounts()
        self.addCleanup(self.clear_away)

    def clear_away(self):
        self.podman("pod", "rm", "--all", "--force", "--time", "0")
        self.podman("rm", "--all", "--force", "--time", "0")
        # Of those that remove themselves conmon clears away the rest, and what comes last of any.
        lib.wait_until(lambda: states() == self.states_before, what="the containers' states are gone")
        lib.wait_until(lambda: cgroups(r"libpod-[0-9a-f]{64}(\.scope)?") == [], what="the containers' control groups are gone")
        lib.wait_until(lambda: mounts() <= self.mounts_before, what="the containers' mounts are gone")

    def podman(self, *args, check=True, options=(), **kwargs):
        return lib.run(self.command(*args, options=options), check=check, env=self.environment, **kwargs)

    def run_container(self, *args, check=True, network="none", options=(), **kwargs):
        """podman run --rm: the last of args is the command, a list or a script."""

        *flags, command = args
        return self.podman("run", "--rm", *([f"--network={network}"] if network else []), *flags, IMAGE, *shell(command),
                           check=check, options=options, **kwargs)

    def output(self, *args, **kwargs):
        return self.run_container(*args, **kwargs).stdout

    def start(self, *args, network="none", options=()):
        """podman run --detach: the container's name."""

        *flags, command = args
        name = f"engine-{next(lib_oci.numbers)}"
        self.podman("run", "--detach", "--name", name, *([f"--network={network}"] if network else []), *flags, IMAGE,
                    *shell(command), options=options)
        return name

    def exec(self, name, *args, check=True, **kwargs):
        """podman exec: the last of args is the command, a list or a script."""

        *flags, command = args
        return self.podman("exec", *flags, name, *shell(command), check=check, **kwargs)

    def at_once(self, *commands):
        """Runs several commands of podman's; their outputs."""

        several = [subprocess.Popen(self.command(*command), env=self.environment, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, text=True) for command in commands]
        return [p.communicate(timeout=90)[0] for p in several]

    def remove(self, name, options=()):
        self.podman("rm", "--force", "--time", "0", name, options=options)

    def inspect(self, name, template):
        return self.podman("inspect", "--format", template, name).stdout.strip()

    def status(self, name):
        return self.inspect(name, "{{.State.Status}}")

    def wait_log(self, name, text):
        lib.wait_until(lambda: text in self.podman("logs", name).stdout, timeout=30, what=f"{text!r} in {name}'s log")


@unittest.skipUnless(shutil.which("podman"), "podman is not installed")
class PodmanRootlessTestCase(test_oci_rootless.RootlessTestCase):
    """Podman as a user: mooring is called by root of a user namespace, which podman has made before."""

    hosts = "a"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # His home may be on an overlay.
        os.makedirs(STORAGE)
        lib.run(["chown", f"{cls.uid}:{cls.gid}", STORAGE])
        cls.settings = f"{cls.entry.pw_dir}/containers.conf"
        write_settings(cls.settings)
        lib.run(cls.podman_command("pull", "--quiet", "--tls-verify=false", IMAGE))

    @classmethod
    def tearDownClass(cls):
        lib.run(cls.podman_command("system", "reset", "--force"), check=False)
        shutil.rmtree(STORAGE)
        super().tearDownClass()

    @classmethod
    def podman_command(cls, *args):
        environment = {"CONTAINERS_CONF": cls.settings, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={cls.runtime_dir}/bus"}
        return cls.command(cls, "podman", "--runtime", MOORING, "--root", STORAGE, *args, env=environment,
                           cwd=cls.entry.pw_dir)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.podman, "rm", "--all", "--force", "--time", "0")

    def podman(self, *args, check=True, **kwargs):
        return lib.run(self.podman_command(*args), check=check, **kwargs)

    def output(self, *args, network="none"):
        *flags, script = args
        return self.podman("run", "--rm", f"--network={network}", *flags, IMAGE, "sh", "-c", script).stdout


@unittest.skipUnless(shutil.which("ctr"), "containerd is not installed")
class ContainerdTestCase(unittest.TestCase):
    """containerd with a namespace of its own; in the end it is stopped."""

    hosts = "a"
    maxDiff = None
    unit = "containerd.service"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.masked = lib.unit_properties(cls.unit, "LoadState")["LoadState"] == "masked"
        if cls.masked:
            lib.run(["systemctl", "unmask", cls.unit])
        lib.run(["systemctl", "start", cls.unit])
        lib.wait_until(lambda: lib.run(["ctr", "version"], check=False).returncode == 0, timeout=60,
                       what="containerd answers")
        lib.run(cls.command("images", "pull", "--plain-http", IMAGE))

    @classmethod
    def tearDownClass(cls):
        lib.run(cls.command("images", "rm", "--sync", IMAGE))
        lib.run(cls.command("namespaces", "rm", "engines"), check=False)
        lib.run(["systemctl", "stop", cls.unit])
        if cls.masked:
            lib.run(["systemctl", "mask", cls.unit])
        for path in ("/sys/fs/cgroup/engines", "/sys/fs/cgroup/test-engines"):
            remove_cgroups(path)
        super().tearDownClass()

    @staticmethod
    def command(*args):
        return ["ctr", "--namespace", "engines", *args]

    def setUp(self):
        super().setUp()
        self.mounts_before = mounts()
        self.addCleanup(self.clear_away)

    def clear_away(self):
        for name in self.ctr("containers", "ls", "--quiet").stdout.split():
            self.ctr("tasks", "rm", "--force", name, check=False)
            self.ctr("containers", "rm", name)
        # mooring's states, and the shims' directories.
        for path in ("/run/containerd/runc/engines", "/run/containerd/io.containerd.runtime.v2.task/engines"):
            lib.wait_until(lambda p=path: not os.path.isdir(p) or os.listdir(p) == [], what=f"{path} is empty")
        lib.wait_until(lambda: cgroups("engine-.*") == [], what="the containers' control groups are gone")
        lib.wait_until(lambda: mounts() <= self.mounts_before, what="the containers' mounts are gone")

    def ctr(self, *args, check=True, **kwargs):
        return lib.run(self.command(*args), check=check, **kwargs)

    @classmethod
    def run_command(cls, name, *args):
        """ctr run: the last of args is the command, a list or a script."""

        *flags, command = args
        # It sets a weight, unless it is told not to.
        shares = [] if "cpu" in controllers() else ["--cpu-shares", "0"]
        return cls.command("run", "--runtime", "io.containerd.runc.v2", "--runc-binary", MOORING, *shares, *flags, IMAGE,
                           name, *shell(command))

    @staticmethod
    def new_name():
        return f"engine-{next(lib_oci.numbers)}"

    def run_container(self, *args, check=True, **kwargs):
        return lib.run(self.run_command(self.new_name(), "--rm", *args), check=check, **kwargs)

    @staticmethod
    def listen(command):
        """What a command prints, whose script ends with HEARD. ctr loses the output of what has ended before ctr has opened its end (a task's
        deletion gives up opening), so the script ends when its output has been read."""

        lines = []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            for line in p.stdout:
                if line == "end-of-output\n":
                    p.stdin.write("\n")
                    p.stdin.flush()
                else:
                    lines.append(line)
        return subprocess.CompletedProcess(command, p.returncode, "".join(lines))

    def output(self, *args):
        """What a script prints."""

        *flags, script = args
        p = self.listen(self.run_command(self.new_name(), "--rm", *flags, f"{script}\n{HEARD}"))
        self.assertEqual(p.returncode, 0, p.stdout)
        return p.stdout

    def start(self, *args):
        name = self.new_name()
        # Its output is not captured: the container would hold the pipe.
        with tempfile.TemporaryFile("w+") as errors:
            p = subprocess.run(self.run_command(name, "--detach", *args), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=errors, timeout=60, check=False)
            errors.seek(0)
            self.assertEqual(p.returncode, 0, errors.read())
        return name

    def exec(self, name, *args, check=True):
        *flags, command = args
        words = ["tasks", "exec", "--exec-id", self.new_name(), *flags, name]
        if not isinstance(command, str):
            return self.ctr(*words, *command, check=check)
        p = self.listen(self.command(*words, *shell(f"({command}); code=$?; {HEARD}; exit $code")))
        if check:
            self.assertEqual(p.returncode, 0, p.stdout)
        return p

    def task(self, name):
        """[pid, status], or None"""

        lines = [line.split() for line in self.ctr("tasks", "ls").stdout.splitlines()]
        return next((line[1:] for line in lines if line[0] == name), None)

    def remove(self, name):
        """Removes what has stopped, or stops; its exit code."""

        lib.wait_until(lambda: self.task(name)[1] == "STOPPED")
        found = re.search(r"exit code (\d+)", self.ctr("tasks", "rm", name, check=False).stderr)
        self.ctr("containers", "rm", name)
        return int(found[1]) if found else 0

    def end(self, name, *options):
        self.ctr("tasks", "kill", *options, name)
        return self.remove(name)
