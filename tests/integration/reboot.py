#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's part of tests/host/reboot: reboot.py prepare|check HOW

prepare     starts containers, with and without restart policies
check HOW   what must hold after the next boot; HOW: "reboot" or "power" (it was cut)
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lib  # noqa: E402  (the path has to be set first)
import lib_store  # noqa: E402
from lib_container import BUSYBOX, OBEDIENT, unit_of  # noqa: E402

NOTES = "/var/lib/reboot.json"
TIMEOUT = 300
# Name: policy, whether it is stopped by hand, whether it is to be back.
CONTAINERS = {
    "none": ("no", False, False),
    "failure": ("on-failure:3", False, True),
    "always": ("always", False, True),
    "unless": ("unless-stopped", False, True),
    "always-stopped": ("always", True, True),
    "unless-stopped": ("unless-stopped", True, False),
    "failure-stopped": ("on-failure", True, False),
}
SCRIPT = "echo booted >>/boots; " + OBEDIENT


def inspect(name):
    return lib.moorctl_json("inspect", "--type=container", name, timeout=TIMEOUT)[0]


def events(since):
    # It fails where some are not there any more, as after a loss of power.
    lines = lib.moorctl("events", "--json=short", f"--since={since}", check=False, timeout=TIMEOUT).stdout.splitlines()
    return [json.loads(line) for line in lines]


def note():
    """What is to be compared after the boot."""

    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        boot = f.read()
    known = {name: inspect(name) for name in CONTAINERS}
    with open(NOTES, "w", encoding="utf-8") as f:
        json.dump({"boot": boot, "last": events(0)[-1]["Sequence"], "containers": known}, f)
        f.flush()
        os.fsync(f.fileno())


def prepare():
    lib.run(["systemctl", "enable", "--now", "moored.service"], timeout=TIMEOUT)
    lib.moorctl("pull", "-q", BUSYBOX, timeout=TIMEOUT)
    for name, (policy, stop, _) in CONTAINERS.items():
        lib.moorctl("run", "-d", f"--name={name}", f"--restart={policy}", BUSYBOX, "sh", "-c", SCRIPT, timeout=TIMEOUT)
        if stop:
            lib.moorctl("stop", "-t", "1", name, timeout=TIMEOUT)
    # On disk, as anybody's data who waits for a moment.
    os.sync()
    note()


def expect(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, not {expected!r}")


def check(how):
    with open(NOTES, encoding="utf-8") as f:
        before = json.load(f)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        if f.read() == before["boot"]:
            raise AssertionError("the host has not been booted")
    # Nobody has called it: it is started by the boot.
    lib.wait_until(lambda: lib.unit_properties("moored.service", "ActiveState")["ActiveState"] == "active", timeout=TIMEOUT,
                   what="moored is started")
    back = [name for name, (_, _, wanted) in CONTAINERS.items() if wanted]
    lib.wait_until(lambda: all(lib.unit_properties(unit_of(name).replace("-stopped", "\\x2dstopped"), "SubState")["SubState"] == "running"
                               for name in back), timeout=TIMEOUT, what="all that are wanted are back")
    new = events(before["last"])
    if how == "power" and new[0]["Topic"] == "events/lost":
        # Events are not synced one by one; that some may have been lost, and which numbers they had, is an event.
        expect(new[0]["Details"]["First"], before["last"] + 1, "the first number that was lost")
        before["last"] = new.pop(0)["Sequence"]
    numbers = [e["Sequence"] for e in new]
    expect(numbers, list(range(before["last"] + 1, before["last"] + 1 + len(numbers))), "numbers of events")
    for name, (policy, stop, wanted) in CONTAINERS.items():
        now, topics = inspect(name), [e["Topic"].removeprefix("container/") for e in new if e["Subject"] == name]
        ran = before["containers"][name]["State"] == "running"
        expect(topics, ["exited"] * ran + ["started"] * wanted, f"events of {name} ({policy}, stopped: {stop})")
        if ran:
            details = next(e["Details"] for e in new if e["Subject"] == name and e["Topic"] == "container/exited")
            # That the host goes down may be heard of later than that a unit has ended.
            if not (how == "reboot" and (details["Result"], details["ExitCode"]) == ("success", 0)):
                expect(details["Result"], "reboot", f"result of {name}")
            if details["ExitCode"] != (-1 if how == "power" else 0):
                # Where moored was told to end before the container, nobody saw how that ended.
                expect((how, details["ExitCode"]), ("reboot", -1), f"exit code of {name}")
        expect((now["State"], now["RestartCount"]), ("running" if wanted else "exited", 0), f"state of {name}")
        expect(now["Snapshot"], before["containers"][name]["Snapshot"], f"layer of {name}")
        if wanted and how == "reboot":
            with open(f"/proc/{now['LeaderPID']}/root/boots", encoding="ascii") as f:
                if len(f.readlines()) < 2:
                    raise AssertionError(f"{name} has not the layer that it had")
    expect(lib_store.record_problems(), [], "records and files")
    print(subprocess.run(["journalctl", "-b", "-u", "moored.service", "-o", "cat", "--no-pager"], stdout=subprocess.PIPE, text=True,
                         check=False).stdout, flush=True)
    # For the next round: as it was.
    for name, (_, stop, _) in CONTAINERS.items():
        if stop:
            lib.moorctl("stop", "-t", "1", name, timeout=TIMEOUT)
        else:
            lib.moorctl("start", name, check=False, timeout=TIMEOUT)
    os.sync()
    note()


if __name__ == "__main__":
    prepare() if sys.argv[1] == "prepare" else check(sys.argv[2])
