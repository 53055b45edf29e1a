#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-contract.py MOORED DIRECTORY

The interface XML in DIRECTORY is what `MOORED --bus-introspect` prints, member for member with names, types and annotations; the bus policy
lets everybody call each interface; each polkit action that the daemon names is declared, and none else; each property whose changes are
signalled is in a signal.
"""

import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

failed = 0
passed = 0


def check(what, ok, detail=""):
    global failed, passed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what} {detail}")


def element(e):
    """An element as nested tuples, in order, without white space."""
    return (e.tag, tuple(sorted(e.attrib.items())), tuple(element(c) for c in e))


def introspect(moored, what):
    return subprocess.run([moored, f"--bus-introspect={what}"], check=True, capture_output=True, text=True).stdout


def interfaces_of(text):
    return {i.get("name"): i for i in ET.fromstring(text).iter("interface")}


def check_interface(moored, path, sample):
    name = path.name.removesuffix(".xml")
    contract = interfaces_of(path.read_text(encoding="utf-8"))
    check(f"{path.name} holds {name} alone", list(contract) == [name], str(list(contract)))

    served = interfaces_of(introspect(moored, name))
    check(f"--bus-introspect={name} prints it alone", list(served) == [name], str(list(served)))
    ours, theirs = element(contract[name])[2], element(served[name])[2]
    check(f"{name}: members in XML and daemon", [m[:2] for m in ours] == [m[:2] for m in theirs],
          f"\n  XML:    {[dict(m[1])['name'] for m in ours]}\n  daemon: {[dict(m[1])['name'] for m in theirs]}")
    for a, b in zip(ours, theirs):
        check(f"{name}.{dict(a[1])['name']}", a == b, f"\n  XML:    {a}\n  daemon: {b}")

    at_path = interfaces_of(introspect(moored, sample))
    check(f"{sample} has {name}", name in at_path, str(list(at_path)))
    check(f"{sample} is an object like others", "org.freedesktop.DBus.Properties" in at_path, str(list(at_path)))


def check_signals(path, source):
    """Properties without an annotation are told by PropertiesChanged."""

    name = path.name.removesuffix(".xml")
    macro = "BUS_INTERFACE_" + name.rsplit(".", 1)[1].upper()
    calls = re.findall(r"sd_bus_emit_properties_changed\(([^;]*)\);", source)
    told = {p for call in calls if macro + "," in call for p in re.findall(r'"(\w+)"', call)}
    changing = {p.get("name") for p in ET.parse(path).getroot().iter("property") if p.find("annotation") is None}
    check(f"{name}: what changes is signalled", told == changing, str(sorted(told ^ changing)))


def main():
    moored, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    samples = dict(line.split("\t") for line in introspect(moored, "list").splitlines())
    files = sorted(directory.glob("org.moored1.*.xml"))
    check("one file for each interface", sorted(samples) == [f.name.removesuffix(".xml") for f in files], str(sorted(samples)))
    signals = (directory.parent / "src/bus/bus-signals.c").read_text(encoding="utf-8")
    for path in files:
        check_interface(moored, path, samples[path.name.removesuffix(".xml")])
        check_signals(path, signals)

    root = interfaces_of(introspect(moored, "/org/moored1"))
    check("the root object is an ObjectManager", "org.freedesktop.DBus.ObjectManager" in root)
    unknown = subprocess.run([moored, "--bus-introspect=org.moored1.Nothing"], capture_output=True, text=True)
    check("an unknown interface is an error", unknown.returncode != 0 and "org.moored1.Nothing" in unknown.stderr, unknown.stderr)

    policy = ET.parse(directory / "org.moored1.conf").getroot()
    default = next(p for p in policy.iter("policy") if p.get("context") == "default")
    callable_ = {a.get("send_interface") for a in default.iter("allow") if a.get("send_interface")}
    standard = {f"org.freedesktop.DBus.{i}" for i in ("Introspectable", "ObjectManager", "Peer", "Properties")}
    check("the bus policy lists the interfaces", callable_ == set(samples) | standard, str(callable_ ^ (set(samples) | standard)))
    check("nobody but root owns the name", [p.attrib for p in policy.iter("policy") if p.find("allow[@own]") is not None]
          == [{"user": "root"}])

    source = (directory.parent / "src/bus/bus-auth.c").read_text(encoding="utf-8")
    actions = {a.get("id") for a in ET.parse(directory / "org.moored.policy").getroot().iter("action")}
    asked = set(re.findall(r'"(org\.moored\.[a-z-]+)"', source))
    check("polkit actions", actions == asked, str(actions ^ asked))

    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
