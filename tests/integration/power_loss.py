#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's part of tests/host/power-loss: power_loss.py work|check

work     pulls, runs and removes until the power goes
check    what must hold after the next boot; prints what does not
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lib  # noqa: E402  (the path has to be set first)

IMAGE = f"{lib.REGISTRY}/debian:test"
SMALL = f"{lib.REGISTRY}/busybox:test"


def work():
    while True:
        lib.moorctl("pull", SMALL, timeout=600)
        lib.moorctl("run", "-d", "--name", "busy", SMALL, "sleep", "1000", timeout=600)
        lib.moorctl("pull", IMAGE, timeout=600)
        lib.moorctl("run", "--rm", IMAGE, "true", timeout=600)
        lib.moorctl("rm", "-f", "busy", timeout=600)
        lib.moorctl("rmi", IMAGE, SMALL, timeout=600)


def check():
    lib.start_moored()
    lib.assert_store_sound()
    containers = lib.moorctl_json("ps", "-a") or []
    for container in containers:
        if container["State"] == "running":
            raise AssertionError(f"container {container['Id']} is said to run after a boot")
    for image in lib.moorctl_json("images") or []:
        lib.moorctl("run", "--rm", image["Name"], "true", timeout=600)

    lib.moorctl("pull", IMAGE, timeout=600)
    lib.moorctl("run", "--rm", IMAGE, "true", timeout=600)
    lib.assert_store_sound()

    ids = lib.moorctl("ps", "-a", "-q").stdout.split()
    if ids:
        lib.moorctl("rm", "-f", *ids, timeout=600)
    lib.moorctl("rmi", *[image["Name"] for image in lib.moorctl_json("images") or []], timeout=600)
    lib.wait_until(lambda: not lib.blobs(), timeout=120, what="no blob is left once no image is")
    lib.wait_until(lambda: not os.listdir("/var/lib/moored/ingest"), timeout=60, what="no ingest is left")


if __name__ == "__main__":
    {"work": work, "check": check}[sys.argv[1]]()
