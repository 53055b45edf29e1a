# SPDX-License-Identifier: LGPL-2.1-or-later
"""What integration tests share. They run inside a test host, as root, with the product installed.

Commands        run, moorctl, moorctl_json, busctl_call, busctl_property, unit_properties
The daemon      moored_pid, start_moored, kill9_moored, descriptors, stored_descriptors, journal
Waiting         wait_until
Nothing left    leftovers, assert_nothing_left, mountinfo_count, processes, helpers, watches
The store       assert_store_sound, blobs
Images          Tar (hostile archives too), Image, push, in lib_image
Registries      REGISTRY (Debian's docker-registry, filled), FaultyRegistry in lib_registry
"""

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import time
import unittest

from lib_image import Image, Tar, push
from lib_registry import FaultyRegistry
from lib_store import blob_problems, blobs, image_problems

__all__ = ["BUS_NAME", "REGISTRY", "TEST_IMAGES", "FaultyRegistry", "Image", "Tar", "TestCase", "assert_nothing_left",
           "assert_store_sound", "blobs", "busctl_call", "busctl_property", "descriptors", "helpers", "journal", "kill9_moored", "leftovers", "moorctl",
           "moorctl_json", "moored_pid", "mountinfo_count", "processes", "push", "run", "start_moored",
           "stored_descriptors", "unit_properties", "wait_until", "watches"]

BUS_NAME = "org.moored1"
REGISTRY = "127.0.0.1:5000"
# Host A has the images from the machine's cache; host B has them on its disk.
TEST_IMAGES = next((p for p in ("/run/test-images/oci", "/srv/test-images/oci") if os.path.isdir(p)), None)

# Only what fails takes so long: on a loaded machine anything may have to wait for the processor.
WAIT_TIMEOUT = 30.0


def run(command, check=True, timeout=180, text=True, **kwargs):
    """Runs a command (a list, or a string for the shell); its output is captured and part of a failure's text."""

    if "input" not in kwargs:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
    result = subprocess.run(command, shell=isinstance(command, str), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=text, timeout=timeout, **kwargs)
    if check and result.returncode != 0:
        raise AssertionError(f"{command!r} ended with {result.returncode}\nstdout: {result.stdout}\n"
                             f"stderr: {result.stderr}")
    return result


def moorctl(*args, check=True, **kwargs):
    return run(["moorctl", *args], check=check, **kwargs)


def moorctl_json(*args, **kwargs):
    """The parsed output of a moorctl verb that prints JSON; None where it prints nothing."""

    output = moorctl(*args, "--json=short", **kwargs).stdout.strip()
    return json.loads(output) if output else None


def busctl_call(path, interface, method, *args, check=True):
    """Calls a method of moored; returns the reply's arguments as a list. ARGS are as busctl wants them: signature first."""

    result = run(["busctl", "--json=short", "--", "call", BUS_NAME, path, interface, method, *map(str, args)],
                 check=check)
    if result.returncode != 0:
        return result
    return json.loads(result.stdout)["data"] if result.stdout.strip() else []


def busctl_property(path, interface, name):
    return json.loads(run(["busctl", "--json=short", "get-property", BUS_NAME, path, interface, name]).stdout)["data"]


def unit_properties(unit, *names):
    """The named properties of a systemd unit, as a dictionary of strings."""

    output = run(["systemctl", "show", "--property", ",".join(names), "--", unit]).stdout
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def wait_until(predicate, timeout=WAIT_TIMEOUT, interval=0.02, what=None):
    """Calls predicate until it returns something true, which is returned; fails after timeout seconds."""

    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"gave up after {timeout} s: {what or getattr(predicate, '__name__', predicate)}")
        time.sleep(interval)


# ---- the daemon ----

def moored_pid():
    """The daemon's process id, 0 where it does not run."""

    return int(unit_properties("moored.service", "MainPID").get("MainPID", "0"))


def start_moored():
    run(["systemctl", "reset-failed", "moored.service"], check=False)
    run(["systemctl", "start", "moored.service"])
    return wait_until(moored_pid, what="moored.service has a main process")


def kill9_moored(restart=True):
    """Kills the daemon with SIGKILL and waits until it is gone; starts it again unless told otherwise."""

    pid = moored_pid()
    if pid > 0:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or _is_zombie(pid), what=f"process {pid} ends")
    if restart:
        return start_moored()
    return pid


def descriptors():
    """What the daemon holds, by kind: a Counter."""

    directory = f"/proc/{moored_pid()}/fd"
    found = collections.Counter()
    for fd in os.listdir(directory):
        # One may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            found[os.readlink(f"{directory}/{fd}").split(":[")[0].split(" (deleted)")[0]] += 1
    return found


def stored_descriptors():
    """How many of the daemon's descriptors PID 1 keeps."""

    return int(unit_properties("moored.service", "NFileDescriptorStore")["NFileDescriptorStore"])


def _is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def journal(*args, since=None):
    """The journal's text; since is seconds since the epoch."""

    command = ["journalctl", "--no-pager", "--output=short-precise", *args]
    if since is not None:
        command.append(f"--since=@{since:.6f}")
    run(["journalctl", "--sync"], check=False)
    return run(command, check=False).stdout


# ---- nothing is left ----

def _mountpoints(pid=1):
    """All but those of credentials, which come and go with services."""

    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
        return [line.split()[4] for line in f if not line.split()[4].startswith("/run/credentials/")]


def mountinfo_count(pid=1):
    return len(_mountpoints(pid))


def processes(*names):
    """Process ids by name: {pid: name}. Without names, the product's short-lived programs."""

    names = names or ("mooring", "moored-helper")
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as f:
                name = f.read().strip()
        except OSError:
            continue
        # comm holds 15 bytes at most.
        if name in [n[:15] for n in names] and not _is_zombie(entry):
            found[int(entry)] = name
    return found


def helpers(verb):
    """Process ids of moored-helper VERB."""

    found = []
    for pid in processes("moored-helper"):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[1:2] == [verb.encode()]:
                    found.append(pid)
        except OSError:
            pass
    return found


def watches(pid, path):
    """Whether a process has an inotify watch on that file."""

    mark = f"inotify wd:[0-9a-f]+ ino:{os.stat(path).st_ino:x} "
    return re.search(mark, run(f"cat /proc/{pid}/fdinfo/*", check=False).stdout) is not None


def _list_below(root, depth):
    found = []
    for directory, directories, files in os.walk(root):
        level = 0 if directory == root else directory[len(root):].count("/")
        found += [os.path.join(directory, name) for name in directories + files]
        if level + 1 >= depth:
            directories.clear()
    return found


def _runtime_files():
    """What is below /run/moored, but for what belongs to the daemon and not to a container or a transfer."""

    own = re.compile(r"/run/moored/(rootfs|cni-netns|containers|containers/[^/]+|seccomp(/.*)?|names(/[^/]+(/(hosts|dnsmasq\.conf))?)?)")
    return {path for path in _list_below("/run/moored", 4) if not own.fullmatch(path)}


def leftovers():
    """What containers, transfers and images could leave behind, as sets to be compared with assert_nothing_left."""

    units = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "moored-*", "moored@*"]).stdout
    return {
        # Resolvers of networks stay for a while, for the next container.
        "units": {line.split()[0] for line in units.splitlines()
                  if line.split() and ".slice" not in line.split()[0] and not line.split()[0].startswith("moored-dns@")},
        "run": _runtime_files(),
        "ingests": set(_list_below("/var/lib/moored/ingest", 2)),
        "snapshots": set(_list_below("/var/lib/moored/snapshots", 3)),
        "mounts": set(_mountpoints()),
        "processes": set(processes().items()),
    }


def assert_nothing_left(before, timeout=WAIT_TIMEOUT, ignore=()):
    """Waits until everything that leftovers() lists now was there before; ignore names kinds that may differ."""

    def extra():
        now = leftovers()
        return {kind: sorted(now[kind] - before[kind]) for kind in now
                if kind not in ignore and now[kind] - before[kind]}

    end = time.monotonic() + timeout
    while found := extra():
        if time.monotonic() >= end:
            raise AssertionError("left behind: " + json.dumps(found, indent=2, default=str))
        time.sleep(0.05)


def assert_store_sound():
    """Every blob is what its name says, and every image that moorctl lists is complete."""

    problems = blob_problems()
    for image in moorctl_json("images") or []:
        problems += [f"{image['Name']}: {problem}" for problem in image_problems(image["Digest"])]
    if problems:
        raise AssertionError("the store is damaged:\n" + "\n".join(problems))


class TestCase(unittest.TestCase):
    """A test case that removes all containers of the default namespace after each test and then looks for leftovers.

    Set check_leftovers to False where a test leaves something on purpose, and hosts to "b" or "ab" for tests that
    (also) run in host B, which has resource controllers and a kernel of its own."""

    maxDiff = None
    hosts = "a"
    check_leftovers = True

    def setUp(self):
        self.leftovers_before = leftovers()
        self.addCleanup(self._clean)

    def _clean(self):
        ids = moorctl("ps", "-a", "-q", check=False).stdout.split()
        if ids:
            moorctl("rm", "-f", *ids, check=False)
        if processes("mooring"):
            # Without a container to be checked it ends by itself, but not at once.
            run(["systemctl", "stop", "moored-probe.service"], check=False)
        if self.check_leftovers:
            assert_nothing_left(self.leftovers_before, ignore=("snapshots",))
