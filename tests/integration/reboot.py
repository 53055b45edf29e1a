#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's part of tests/host/reboot: reboot.py prepare|check HOW

prepare     starts containers, with and without restart policies
check HOW   what must hold after the next boot; HOW: "reboot" or "power" (it was cut)
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lib  # noqa: E402  (the path has to be set first)
import lib_store  # noqa: E402
from lib_container import BUSYBOX, OBEDIENT, unit_of  # noqa: E402
from lib_network import elements, links, server, talk  # noqa: E402

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
# On networks: name: policy, network, port of the host, whether it is to be back.
ON_NETWORKS = {
    "netback": ("always", "boot", 8080, True),
    "netidle": ("no", "idle", 8081, False),
}
# On a network of plug-ins: name: policy, whether it is to be back.
ON_PLUGINS = {
    "cniback": ("always", True),
    "cniidle": ("no", False),
}
CNI_BRIDGE = "cniboot0"
CNI_FILE = pathlib.Path("/etc/cni/net.d/50-boot.conflist")
CNI_CONFIGURATION = {
    "cniVersion": "1.0.0", "name": "boot",
    "plugins": [{"type": "bridge", "bridge": CNI_BRIDGE, "isGateway": True,
                 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.7.0/24"}]]}}],
}
CNI_KEY = "moored.7.default."
CNI_RECORDS = pathlib.Path("/var/lib/moored/cni")
CNI_LEASES = pathlib.Path("/var/lib/cni/networks/boot")


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
    known = {name: inspect(name) for name in (*CONTAINERS, *ON_NETWORKS)}
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
    for name, (policy, network, port, _) in ON_NETWORKS.items():
        lib.moorctl("network", "create", "--ipv6", network, timeout=TIMEOUT)
        lib.moorctl("run", "-d", f"--name={name}", f"--restart={policy}", f"--network={network}", "-p", f"{port}:80", BUSYBOX, *server(name),
                    timeout=TIMEOUT)
    CNI_FILE.parent.mkdir(parents=True, exist_ok=True)
    CNI_FILE.write_text(json.dumps(CNI_CONFIGURATION), encoding="utf-8")
    for name, (policy, _) in ON_PLUGINS.items():
        lib.moorctl("run", "-d", f"--name={name}", f"--restart={policy}", "--network=cni:boot", BUSYBOX, *server(name), timeout=TIMEOUT)
    # On disk, as anybody's data who waits for a moment.
    os.sync()
    note()


def expect(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, not {expected!r}")


def device_of(network):
    return lib.moorctl_json("network", "inspect", network, timeout=TIMEOUT)[0]["Device"]


def expect_answers(name, port):
    """By the published port, by its addresses, and by its name."""

    addresses = [a.split("/")[0] for n in inspect(name)["Networks"] for a in n[3]]
    expect(sorted(":" in a for a in addresses), [False, True], f"addresses of {name}")
    lib.wait_until(lambda: talk("127.0.0.1", port) == name, timeout=TIMEOUT, what=f"{name} answers")
    for address in addresses:
        expect(talk(address, 80), name, f"who answers at {address}")
    lib.wait_until(lambda: lib.moorctl("exec", name, "sh", "-c", f"nc -w 5 {name} 80 </dev/null", check=False, timeout=TIMEOUT).stdout.strip() == name,
                   timeout=TIMEOUT, what=f"{name} is found by its name")


def expect_networks(names):
    """In the kernel and in files there is what these need, and nothing else."""

    expect(len(links()), len(names), f"devices: {links()}")
    # A port of each family.
    expect(len(elements()), 2 * len(names), f"ports: {elements()}")
    bridges = {device_of(network) for name, (_, network, _, _) in ON_NETWORKS.items() if name in names}
    # But for that of the plug-in.
    found = {line.split(":")[1].strip() for line in lib.run(["ip", "-o", "link", "show", "type", "bridge"]).stdout.splitlines()}
    expect(found - {CNI_BRIDGE}, bridges, "bridges")
    expect({n: len(os.listdir(f"/run/moored/names/{n}/hosts")) for n in os.listdir("/run/moored/names")}, {b: 1 for b in bridges}, "names")
    units = lib.run(["systemctl", "list-units", "--plain", "--no-legend", "moored-dns@*"]).stdout.splitlines()
    expect({line.split()[0] for line in units}, {f"moored-dns@{b}.service" for b in bridges}, "resolvers")


def check_networks(before):
    """Who is back has what it had; of who is not nothing is there but its record, with which it is started by hand."""

    back = [name for name, (_, _, _, wanted) in ON_NETWORKS.items() if wanted]
    for name in ON_NETWORKS:
        expect((inspect(name)["Networks"], inspect(name)["Ports"]), (before[name]["Networks"], before[name]["Ports"]), f"networks of {name}")
    for name in back:
        expect_answers(name, ON_NETWORKS[name][2])
    expect_networks(back)
    for name, (_, network, port, wanted) in ON_NETWORKS.items():
        if wanted:
            continue
        for options in ((f"--network={network}:ip={before[name]['Networks'][0][3][0].split('/')[0]}",), ("-p", f"{port}:80")):
            result = lib.moorctl("run", "--rm", *options, BUSYBOX, "true", check=False, timeout=TIMEOUT)
            expect((result.returncode, name in result.stderr), (125, True), f"what {name} has is its own: {result.stderr}")
        lib.moorctl("start", name, timeout=TIMEOUT)
        expect(inspect(name)["Networks"], before[name]["Networks"], f"networks of {name}, started")
        expect_answers(name, port)
    expect_networks(ON_NETWORKS)


def attached():
    """Who is, by moored's records and by the plug-in's leases."""

    records = sorted(p.stem.removeprefix(CNI_KEY) for p in CNI_RECORDS.glob("*.json"))
    owners = sorted(p.read_text(encoding="utf-8").splitlines()[0].removeprefix(CNI_KEY) for p in CNI_LEASES.glob("10.*"))
    return records, owners


def expect_plugins(names):
    """These have what they were given in this boot; what the others were given in the last is the plug-in's again."""

    lib.wait_until(lambda: attached() == (sorted(names), sorted(names)), timeout=TIMEOUT, what=f"attached are {names}: {attached()}")
    for name in ON_PLUGINS:
        addresses = [a.split("/")[0] for n in inspect(name)["Networks"] for a in n[3]]
        expect(len(addresses), int(name in names), f"addresses of {name}: {addresses}")
        if addresses:
            lib.wait_until(lambda: talk(addresses[0], 80) == name, timeout=TIMEOUT, what=f"{name} answers")


def check_plugins():
    expect_plugins([name for name, (_, wanted) in ON_PLUGINS.items() if wanted])
    for name, (_, wanted) in ON_PLUGINS.items():
        if not wanted:
            lib.moorctl("start", name, timeout=TIMEOUT)
    expect_plugins(ON_PLUGINS)


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
    lib.wait_until(lambda: all(inspect(name)["State"] == "running" for name in back), timeout=TIMEOUT, what="moored knows them")
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
    check_networks(before["containers"])
    check_plugins()
    # What is being deleted is there for a moment.
    with contextlib.suppress(AssertionError):
        lib.wait_until(lambda: not lib_store.record_problems(), timeout=TIMEOUT)
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
