# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of mooring's command line share: a bundle with busybox in it, and containers made of it."""

import fcntl
import itertools
import json
import os
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import lib

CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE")]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

numbers = itertools.count(1)


def make_rootfs(root):
    """Busybox, all of its commands, and two users."""

    for directory in ("bin", "dev", "etc", "home/alice", "proc", "root", "sys", "tmp"):
        os.makedirs(f"{root}/{directory}")
    shutil.copy("/bin/busybox", f"{root}/bin/busybox")
    for name in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
        if name != "busybox":
            os.symlink("busybox", f"{root}/bin/{name}")
    with open(f"{root}/etc/passwd", "w", encoding="utf-8") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n")
    with open(f"{root}/etc/group", "w", encoding="utf-8") as f:
        f.write("root:x:0:\nalice:x:1001:\n")


def config(args, process=None, linux=None, namespaces=("pid", "mount", "uts", "ipc", "network"), **top):
    usual = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": list(args), "env": [PATH], "cwd": "/",
            "capabilities": {kind: CAPABILITIES for kind in ("bounding", "effective", "permitted")},
            **(process or {}),
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": usual},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        ],
        "linux": {"namespaces": [{"type": t} for t in namespaces], **(linux or {})},
        **top,
    }


def on_terminal(command, keys=b"", size=None, **kwargs):
    """Runs a command on a terminal of size (rows, columns) and types keys: (exit code, what it showed)."""

    master, slave = os.openpty()
    if size:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    # The terminal becomes that of the command's session.
    p = subprocess.Popen(["setsid", "--ctty", "--wait", *command], stdin=slave, stdout=slave, stderr=slave, **kwargs)
    os.close(slave)
    os.write(master, keys)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    return p.wait(timeout=60), shown.decode(errors="replace").replace("\r\n", "\n")


class OciTestCase(unittest.TestCase):
    """A bundle for the class; each test has a root of states of its own. No cgroups, but where a test asks for them."""

    hosts = "ab"
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bundle = tempfile.mkdtemp(prefix="test-oci-", dir="/var/tmp")
        os.chmod(cls.bundle, 0o755)
        make_rootfs(f"{cls.bundle}/rootfs")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.bundle)
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.states = tempfile.mkdtemp(prefix="test-oci-states-", dir="/run")
        self.addCleanup(shutil.rmtree, self.states)
        self.mounts_before = lib.mountinfo_count()

    def mooring(self, *args, check=True, manager="disabled", **kwargs):
        return lib.run(["mooring", "--root", self.states, "--cgroup-manager", manager, *args], check=check,
                       cwd=self.bundle, **kwargs)

    def new(self, spec):
        """Writes the specification; returns an id, whose container is deleted in the end."""

        with open(f"{self.bundle}/config.json", "w", encoding="utf-8") as f:
            json.dump(spec, f)
        name = f"test-{os.getpid()}-{next(numbers)}"
        self.addCleanup(self.mooring, "delete", "--force", name, check=False)
        return name

    def run_container(self, spec, *options, check=True):
        """Runs a container to its end: (exit code, stdout, stderr)."""

        p = self.mooring("run", *options, self.new(spec), check=False)
        if check:
            self.assertEqual(p.returncode, 0, p.stderr)
        return p.returncode, p.stdout, p.stderr

    def output(self, spec):
        return self.run_container(spec)[1]

    def refused(self, spec, *texts):
        """It is not run, the sentence says why, and nothing is left of it."""

        code, out, err = self.run_container(spec, check=False)
        self.assertNotEqual(code, 0)
        self.assertEqual(out, "")
        for text in texts:
            self.assertIn(text, err)
        self.assertEqual(os.listdir(self.states), [])
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)

    def start_container(self, spec):
        """Runs a container in the background; returns its id."""

        name = self.new(spec)
        # Its output is not captured: the container would hold the pipe.
        with tempfile.TemporaryFile("w+") as errors:
            p = subprocess.run(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "run", "--detach", name],
                               cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                               timeout=60, check=False)
            errors.seek(0)
            self.assertEqual(p.returncode, 0, errors.read())
        return name
