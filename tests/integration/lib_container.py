# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of containers share."""

import contextlib
import json
import os
import re
import signal
import subprocess

import lib
from lib_tty import Tty

BUSYBOX = f"{lib.REGISTRY}/busybox:test"
DEBIAN = f"{lib.REGISTRY}/debian:test"
# The first process of a pid namespace does not get signals that it does not handle.
OBEDIENT = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


def unit_of(name):
    return f"moored-default-{name}.service"


def status_of(pid):
    """/proc/PID/status as a dictionary."""

    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def wait_traps(pid, script):
    """Waits until a shell has set the traps of its script: before that, what it is sent is lost on an init."""

    mask = 0
    for name in re.findall(r"\btrap '[^']*' (\w+)", script):
        mask |= 1 << (signal.Signals["SIG" + name] - 1)

    def are_set():
        status = status_of(pid)
        return (int(status["SigCgt"], 16) | int(status["SigIgn"], 16)) & mask == mask

    if mask:
        lib.wait_until(are_set, what=f"traps of {script}")


def ends(process, timeout):
    """Whether a process ends so soon."""

    try:
        process.wait(timeout)
        return True
    except subprocess.TimeoutExpired:
        return False


def interrupt(process):
    """Three times Ctrl-C, and again if that was before moorctl could count them; until it has ended."""

    def taken():
        return process.poll() is not None or not int(status_of(process.pid)["ShdPnd"], 16) & 1 << (signal.SIGINT - 1)

    def given_up():
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            # The next one would be the same.
            lib.wait_until(taken, what="moorctl takes a signal")
        return ends(process, 5)

    lib.wait_until(given_up, what="moorctl ends")


def last_event():
    return lib.busctl_property("/org/moored1", "org.moored1.Manager", "EventSequence")


def events_since(sequence, subject=None):
    """The events after a number, all or those about one subject."""

    lines = lib.moorctl("events", "--json=short", f"--since={sequence}").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    return [e for e in events if subject is None or e["Subject"] == subject]


def topics_since(sequence, subject):
    return [e["Topic"] for e in events_since(sequence, subject)]


@contextlib.contextmanager
def daemon_away():
    """The daemon is killed with SIGKILL and stays away while the block runs."""

    pid = lib.wait_until(lib.moored_pid, what="moored runs")
    lib.run(["systemctl", "mask", "--runtime", "moored.service"])
    try:
        os.kill(pid, signal.SIGKILL)
        # Masked, it cannot be brought back: neither by Restart= nor by the bus.
        lib.run(["systemctl", "stop", "moored.service"])
        if os.path.exists(f"/proc/{pid}"):
            raise AssertionError("the daemon is still there")
        yield
        if lib.moored_pid() != 0:
            raise AssertionError("the daemon is back too early")
    finally:
        lib.run(["systemctl", "unmask", "--runtime", "moored.service"])
        lib.start_moored()


class ContainerTestCase(lib.TestCase):
    """Has the busybox image, and the daemon running."""

    images = (BUSYBOX,)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lib.start_moored()
        for image in cls.images:
            lib.moorctl("pull", "-q", image)

    def setUp(self):
        lib.start_moored()
        super().setUp()

    def run_container(self, *args, status=0, **kwargs):
        """moorctl run --rm ARGS: the finished process. Checks its exit status."""

        result = lib.moorctl("run", "--rm", *args, check=False, **kwargs)
        self.assertEqual(result.returncode, status, f"{args}: {result.stdout}{result.stderr}")
        return result

    def sh(self, script, *options, image=BUSYBOX, status=0):
        """What a shell script in a container prints."""

        return self.run_container(*options, image, "sh", "-c", script, status=status).stdout

    def detach(self, name, *options, command=("sh", "-c", OBEDIENT), image=BUSYBOX):
        """Starts a container in the background; without a command one that ends at SIGTERM. Its traps are set."""

        lib.moorctl("run", "-d", f"--name={name}", *options, image, *command)
        if "trap" in command[-1]:
            wait_traps(self.inspect(name)["LeaderPID"], command[-1])
        return name

    def inspect(self, name):
        found = lib.moorctl_json("inspect", "--type=container", name)
        return found[0]

    def wait_state(self, name, state):
        return lib.wait_until(lambda: (i := self.inspect(name))["State"] == state and i, what=f"{name} is {state}")

    def exists(self, name):
        return lib.moorctl("inspect", "--type=container", name, check=False).returncode == 0

    def fails(self, *args, status=125, text=""):
        """moorctl run that fails with a sentence, and leaves nothing."""

        before = lib.leftovers()
        result = lib.moorctl("run", *args, check=False)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(lib.moorctl("ps", "-a", "-q").stdout, "")
        lib.assert_nothing_left(before)
        return result.stderr

    @staticmethod
    def popen(*args, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(["moorctl", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

    def tty(self, *argv, **kwargs):
        """A command at a terminal of its own."""

        t = Tty(*argv, **kwargs)
        self.addCleanup(t.close)
        return t
