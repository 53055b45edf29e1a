#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's part of tests/host/power-loss: power_loss.py work|check

work     pulls, runs and removes until the power goes, and tells on its standard output, which is kept outside of the
         machine, what it is about to do and what moored has said is done
check    what must hold after the next boot, with what was told on its standard input; fails where it does not
"""

import contextlib
import itertools
import json
import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lib  # noqa: E402  (the path has to be set first)
import lib_store  # noqa: E402

SMALL = f"{lib.REGISTRY}/busybox:test"
LARGE = f"{lib.REGISTRY}/debian:test"
TIMEOUT = 600
# What was told has left the machine by then.
TELL_SECONDS = 0.05


def tell(**what):
    print(json.dumps(what), flush=True)


def do(kind, name, present, *command):
    """One change: of an image or container (kind) that is present, or not, when moorctl has ended."""

    tell(begin=kind, name=name)
    time.sleep(TELL_SECONDS)
    lib.moorctl(*command, timeout=TIMEOUT)
    tell(done=kind, name=name, present=present)


def work():
    lib.start_moored()
    for i in itertools.count():
        kept, loop = f"kept-{i}", f"loop-{i}"
        do("image", SMALL, True, "pull", "-q", SMALL)
        do("container", kept, True, "create", f"--name={kept}", SMALL, "echo", kept)
        do("container", loop, True, "run", "-d", f"--name={loop}", SMALL, "sleep", "100000")
        do("image", LARGE, True, "pull", "-q", LARGE)
        do("container", f"{kept}-large", True, "create", f"--name={kept}-large", LARGE, "echo", f"{kept}-large")
        lib.moorctl("run", "--rm", LARGE, "true", timeout=TIMEOUT)
        do("container", loop, False, "rm", "-f", loop)
        if i % 2:
            do("image", LARGE, False, "rmi", "--force", LARGE)
            do("container", f"{kept}-large", False, "rm", f"{kept}-large")
            do("image", SMALL, False, "rmi", "--force", SMALL)


def read_told(file):
    """{(kind, name): True, False, or None for what the power loss came in the way of}"""

    state = {}
    for line in file:
        try:
            what = json.loads(line)
        except ValueError:
            break  # cut off
        if "begin" in what:
            state[what["begin"], what["name"]] = None
        else:
            state[what["done"], what["name"]] = what["present"]
    return state


def check_told(state, kind, names):
    for (told, name), present in state.items():
        if told == kind and present is not None and (name in names) != present:
            raise AssertionError(f"{kind} {name} was said to be {'here' if present else 'gone'}; there are {sorted(names)}")


def check_index(state):
    """index.json, for the day on which the database is lost: the daemon may have written it anew since the boot, or not."""

    with open(f"{lib_store.STORE}/content/index.json", encoding="utf-8") as f:
        names = {m["annotations"]["org.opencontainers.image.ref.name"] for m in json.load(f)["manifests"]}
    missing = {name for (kind, name), present in state.items() if kind == "image" and present} - names
    if missing:
        raise AssertionError(f"index.json lacks {sorted(missing)}")


def snapshots():
    with contextlib.closing(sqlite3.connect(f"file:{lib_store.STORE}/moored.db?mode=ro", uri=True, timeout=5)) as db:
        return db.execute("SELECT id, chain_id, ready FROM snapshots").fetchall()


def check_containers(containers):
    for container in containers:
        if container["State"] not in ("created", "exited"):
            raise AssertionError(f"container {container['Id']} is said to be {container['State']} after a boot")
    for name in (c["Id"] for c in containers):
        lib.moorctl("start", name, timeout=TIMEOUT)
        if name.startswith("kept-"):
            lib.wait_until(lambda: lib.moorctl_json("inspect", "--type=container", name)[0]["State"] == "exited",
                           timeout=60, what=f"{name} ends")
            found = lib.moorctl_json("inspect", "--type=container", name)[0]
            if found["ExitCode"] != 0 or name not in lib.moorctl("logs", name).stdout:
                raise AssertionError(f"container {name} does not do what it was made for: {found}")


def check_nothing_left():
    ids = lib.moorctl("ps", "-a", "-q").stdout.split()
    if ids:
        lib.moorctl("rm", "-f", *ids, timeout=TIMEOUT)
    images = [image["Name"] for image in lib.moorctl_json("images") or []]
    if images:
        lib.moorctl("rmi", *images, timeout=TIMEOUT)
    lib.moorctl("gc", timeout=TIMEOUT)
    lib.wait_until(lambda: not lib.blobs(), timeout=120, what="no blob is left once no image is")
    lib.wait_until(lambda: not snapshots(), timeout=60, what="no snapshot is left")
    lib.wait_until(lambda: os.listdir(f"{lib_store.STORE}/snapshots/overlay") == ["trash"], timeout=60, what="no tree is left")
    lib.wait_until(lambda: not os.listdir(f"{lib_store.STORE}/snapshots/overlay/trash"), timeout=120, what="the trash is empty")
    lib.wait_until(lambda: not os.listdir("/var/lib/moored/ingest"), timeout=60, what="no ingest is left")


def check():
    state = read_told(sys.stdin)
    if any(state.values()):
        check_index(state)
    lib.start_moored()
    containers = lib.moorctl_json("ps", "-a") or []
    images = lib.moorctl_json("images") or []
    print(f"{sum(p is True for p in state.values())} things were said to be here; {len(images)} images, "
          f"{len(containers)} containers, {sum(not r for _, _, r in snapshots())} of {len(snapshots())} snapshots to be unpacked again")
    if os.path.exists("/var/lib/moored") and [n for n in os.listdir("/var/lib/moored") if ".damaged-" in n]:
        raise AssertionError("the database was damaged")
    check_told(state, "image", {image["Name"] for image in images})
    check_told(state, "container", {container["Id"] for container in containers})
    lib.assert_store_sound()

    check_containers(containers)
    for image in images:
        lib.moorctl("run", "--rm", image["Name"], "true", timeout=TIMEOUT)
    # Of each, as the power loss may have come in the way of either, and what was fetched by then waits for the next pull.
    for name in (SMALL, LARGE):
        lib.moorctl("pull", "-q", name, timeout=TIMEOUT)
        lib.moorctl("run", "--rm", name, "true", timeout=TIMEOUT)
    lib.assert_store_sound()
    lib.wait_until(lambda: not lib_store.record_problems(), timeout=60, what="records and files agree")
    check_nothing_left()


if __name__ == "__main__":
    {"work": work, "check": check}[sys.argv[1]]()
