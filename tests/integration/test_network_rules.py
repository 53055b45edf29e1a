# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may reach whom: isolation of networks, traffic rules of containers; and who else sees to devices and rules: firewalld, systemd-networkd."""

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess

import lib
from lib_container import BUSYBOX
from lib_network import HOST4, OUTSIDE4, NetworkTestCase, elements, talk
from test_network import devices, networks
from test_units import UnitsTestCase

FIREWALLD = "org.fedoraproject.FirewallD1"
FIREWALLD_PATH = "/org/fedoraproject/FirewallD1"

# Has a name on the bus, and for each line that it reads says there that it has loaded its rules.
FAKE_FIREWALLD = f"""
import ctypes, sys
sd = ctypes.CDLL("libsystemd.so.0")
bus = ctypes.c_void_p()
assert sd.sd_bus_open_system(ctypes.byref(bus)) >= 0
assert sd.sd_bus_request_name(bus, b"{FIREWALLD}", ctypes.c_uint64(0)) >= 0
print("ready")
for line in sys.stdin:
    assert sd.sd_bus_emit_signal(bus, b"{FIREWALLD_PATH}", b"{FIREWALLD}", b"Reloaded", None) >= 0
    assert sd.sd_bus_flush(bus) >= 0
    print("sent")
"""

OWN_POLICY = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><policy user="root"><allow own="{FIREWALLD}"/></policy></busconfig>
"""

# Somebody's own, with names as moored's own have.
OTHERS_RULES = """table %s {
    comment "another's"
    set bridges { type ifname; elements = { "other0" } }
    set near4 { type ipv4_addr . ipv4_addr; flags interval; elements = { 203.0.113.0/24 . 203.0.113.0/24 } }
    map ports4 { type inet_service : verdict; elements = { 8080 : continue, 4242 : drop } }
    counter drops { }
    chain published { tcp dport 4343 drop; }
    chain incoming { type nat hook prerouting priority -90; policy accept; tcp dport 4242 redirect to :4243; }
    chain forward { type filter hook forward priority 10; policy accept; iifname @bridges ip saddr . ip daddr @near4 drop; tcp dport vmap @ports4; tcp dport 4343 jump published; }
}
"""


def reload_bus():
    lib.run(["busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig"])


def flush_rules():
    lib.run(["nft", "flush", "ruleset"])


@functools.cache
def filters():
    """Where the kernel or this host does not let PID 1 filter it says so in its log, and goes on without."""

    ping = ["systemd-run", "-q", "--wait", "-p", "IPAddressDeny=any", "ping", "-c1", "-W1", "127.0.0.1"]
    return lib.run(ping, check=False).returncode != 0


def statistics(name):
    return json.loads(lib.moorctl("stats", "--no-stream", "--json=short", name).stdout)[0]


def has_rules():
    return lib.run(["nft", "list", "table", "inet", "moored"], check=False).returncode == 0


def table(name):
    """A table as the kernel has it, handles too, which are others when something is made again; None where there is none."""

    result = lib.run(["nft", "-j", "list", "table", *name.split()], check=False)
    if result.returncode != 0:
        return None
    items = [item for item in json.loads(result.stdout)["nftables"] if "metainfo" not in item]
    for item in items:
        for content in item.values():
            # In no order.
            if "elem" in content:
                content["elem"].sort(key=json.dumps)
    return items


class OthersRulesTest(NetworkTestCase):
    """What somebody else has in nftables is his, whatever moored does with its own."""

    tables = ("inet other", "ip moored", "inet moored2")

    def setUp(self):
        super().setUp()
        for name in self.tables:
            self.addCleanup(lib.run, ["nft", "delete", "table", *name.split()])
            lib.run(["nft", "-f", "-"], input=OTHERS_RULES % name)

    def others(self):
        return [table(name) for name in self.tables]

    def test_own_rules_only(self):
        lib.moorctl("network", "prune")
        lib.moorctl("network", "rm", "--ignore", "default")
        self.assertFalse(has_rules())
        before = self.others()
        self.assertNotIn(None, before)

        def untouched(what):
            with self.subTest(after=what):
                self.assertEqual(self.others(), before)

        lib.moorctl("network", "create", "--ipv6", "lan")
        self.addCleanup(lib.moorctl, "network", "rm", "-f", "--ignore", "lan", "second", check=False)
        self.serve("a", "--network=lan", "-p", "8080:80", "-p", "9000-9063:1-64")
        untouched("run")
        own = table("inet moored")
        # One that comes and goes leaves what there was, and takes nothing else along.
        lib.moorctl("network", "create", "--ipv6", "second")
        self.detach("b", "--network=second", "-p", "8081:80", "-p", "127.0.0.1:8082:80/udp")
        self.assertNotEqual(table("inet moored"), own)
        lib.moorctl("rm", "-f", "b")
        lib.moorctl("network", "rm", "second")
        self.assertEqual(table("inet moored"), own)
        untouched("network rm")
        lib.moorctl("network", "reload")
        untouched("network reload")
        lib.run(["nft", "delete", "table", "inet", "moored"])
        lib.moorctl("network", "reload")
        untouched("network reload without a table")
        lib.kill9_moored()
        lib.moorctl("ps")
        untouched("kill -9")
        lib.run(["systemctl", "restart", "moored.service"])
        untouched("restart")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        lib.moorctl("rm", "-f", "a")
        untouched("rm")
        lib.moorctl("network", "create", "second")
        lib.moorctl("run", "--rm", "--network=second", BUSYBOX, "true")
        self.assertTrue(has_rules())
        # Of the last one that has any the table itself goes.
        lib.moorctl("network", "rm", "lan")
        self.assertTrue(has_rules())
        untouched("network rm")
        self.assertEqual(lib.moorctl("network", "prune").stdout, "second\n")
        self.assertFalse(has_rules())
        untouched("prune")


class IsolationTest(NetworkTestCase):
    def unreached(self, name, address):
        self.assertNotEqual(lib.moorctl("exec", name, "nc", "-w", "1", address, "80", check=False).returncode, 0)

    def create(self, *args, check=True):
        result = lib.moorctl("network", "create", *args, check=check)
        if result.stdout:
            self.addCleanup(lib.moorctl, "network", "rm", "--ignore", result.stdout.strip(), check=False)
        return result

    def network(self, name):
        return json.loads(lib.moorctl("network", "inspect", name).stdout)[0]

    def test_open_networks_reach_each_other(self):
        for name, *options in (("one", "-o", "isolate=false"), ("two", "-o", "isolate=false"), ("apart",), ("strict", "-o", "isolate=strict")):
            self.create("--ipv6", *options, name)
            self.assertEqual(self.network(name)["Isolated"], name not in ("one", "two"))
            self.serve(f"on-{name}", f"--network={name}")
        for address in (self.address("on-two"), self.address("on-two", family=6)):
            self.assertEqual(self.ask("on-one", address), "on-two")
            self.unreached("on-apart", address)
        for name in ("on-apart", "on-strict"):
            self.unreached("on-one", self.address(name))
            self.unreached("on-two", self.address(name, family=6))
        # It is so after a daemon that was killed, and after rules that were made anew.
        lib.kill9_moored()
        lib.moorctl("network", "reload")
        self.assertEqual(self.ask("on-two", self.address("on-one")), "on-one")
        self.unreached("on-apart", self.address("on-one"))
        lib.moorctl("rm", "-f", "on-one", "on-two", "on-apart", "on-strict")

    def test_what_is_refused(self):
        for text, *options in (("internal network is isolated", "--internal", "-o", "isolate=false"), ("isolate= is true", "-o", "isolate=maybe"),
                               ("Only bridges", "-d", "macvlan", "--parent=out0", "--subnet=192.0.2.0/24", "-o", "isolate=no")):
            result = self.create(*options, "x", check=False)
            self.assertEqual(result.returncode, 1, options)
            self.assertRegex(result.stderr, text)
        self.assertNotIn("x", networks())

    def test_removed_with_its_containers(self):
        self.create("lan")
        device = self.network("lan")["Device"]
        self.detach("a", "--network=lan")
        lib.moorctl("create", "--name=b", "--network=lan", BUSYBOX)
        self.detach("c", "--network=default")
        self.assertEqual(lib.moorctl("network", "rm", "-f", "lan").stdout, "lan\n")
        self.assertEqual(lib.moorctl("ps", "-aq").stdout.split(), ["c"])
        self.assertNotIn(device, devices())
        self.assertIn("no network", lib.moorctl("network", "rm", "-f", "lan", check=False).stderr)
        self.assertEqual(lib.moorctl("network", "rm", "-f", "--ignore", "lan").stdout, "")
        lib.moorctl("rm", "-f", "c")

    def test_prune(self):
        self.create("used")
        self.create("free")
        self.create("freed")
        lib.moorctl("create", "--name=a", "--network=used", BUSYBOX)
        lib.moorctl("run", "--rm", "--network=freed", BUSYBOX, "true")
        lib.moorctl("run", "--rm", "--network=default", BUSYBOX, "true")
        self.assertEqual(sorted(lib.moorctl("network", "prune").stdout.split()), ["free", "freed"])
        self.assertEqual(sorted(networks()), ["default", "used"])
        self.assertEqual(lib.moorctl("network", "prune").stdout, "")
        # README's way to leave nothing of networks in the kernel.
        lib.moorctl("rm", "-f", "--all")
        lib.moorctl("network", "prune")
        lib.moorctl("network", "rm", "--ignore", "default")
        self.assertEqual(networks(), [])
        self.assertEqual(devices(), set())
        self.assertFalse(has_rules())

    def test_a_container_that_cannot_be_made_makes_no_network(self):
        lib.moorctl("network", "rm", "--ignore", "default")
        with contextlib.closing(socket.create_server((HOST4, 8080))):
            self.assertIn("8080", lib.moorctl("run", "--rm", "-p", f"{HOST4}:8080:80", BUSYBOX, "true", check=False).stderr)
        for options in (("--network=default", "--network=nosuch"), ("--network=default:ip=192.0.2.77",)):
            self.assertNotEqual(lib.moorctl("run", "--rm", *options, BUSYBOX, "true", check=False).returncode, 0)
        self.assertNotIn("default", networks())


class TrafficRulesTest(NetworkTestCase):
    hosts = "ab"

    def setUp(self):
        if not filters():
            self.skipTest("there is no BPF for control groups here")
        super().setUp()

    def test_denied_and_allowed(self):
        self.serve("a", "--network=default")
        self.serve("b", "--network=default")
        a, b = self.address("a"), self.address("b")
        self.detach("denied", "--network=default", "--ip-deny=any", f"--ip-allow={a},localhost")
        self.assertEqual(self.ask("denied", a), "a")
        self.assertEqual(self.ask("denied", b), "")
        self.assertNotEqual(lib.moorctl("exec", "denied", "ping", "-c1", "-W1", OUTSIDE4, check=False).returncode, 0)
        lib.moorctl("exec", "denied", "ping", "-c1", "-W5", "127.0.0.1")
        lib.moorctl("exec", "denied", "ping", "-c1", "-W5", a)
        # So what it publishes is not reached either.
        self.serve("closed", "-p", "8080:80", f"--ip-deny={OUTSIDE4}")
        self.assertIsNone(talk(HOST4, 8080, outside=True, timeout=1))
        self.assertEqual(self.ask("b", self.address("closed")), "closed")
        # It holds in the next run, and after a daemon that was killed.
        lib.kill9_moored()
        lib.moorctl("restart", "denied")
        self.assertEqual(self.ask("denied", a), "a")
        self.assertEqual(self.ask("denied", b), "")
        lib.moorctl("rm", "-f", "a", "b", "closed", "denied")

    def test_in_the_network_of_the_host(self):
        self.assertNotEqual(lib.moorctl("run", "--rm", "--network=host", f"--ip-deny={OUTSIDE4}", BUSYBOX, "ping", "-c1", "-W1", OUTSIDE4,
                                        check=False).returncode, 0)
        lib.moorctl("run", "--rm", "--network=host", "--ip-deny=any", f"--ip-allow={OUTSIDE4}", BUSYBOX, "ping", "-c1", "-W5", OUTSIDE4)

    def test_what_is_refused(self):
        for text, *options in (("--ip-deny=any denies", "--ip-allow=localhost"), ("IPAddressDeny", "--ip-deny=10.0.0.0/33"), ("IPAddressDeny", "--ip-deny=host")):
            result = lib.moorctl("run", "--rm", *options, BUSYBOX, "true", check=False)
            self.assertEqual(result.returncode, 125)
            self.assertIn(text, result.stderr)

    def test_counted(self):
        self.serve("web", "-p", "8080:80", "-p", "IPAccounting=yes")
        self.detach("host", "--network=host", "-p", "IPAccounting=yes")
        self.detach("plain", "--network=default")
        before = statistics("web")
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        lib.moorctl("exec", "host", "ping", "-c", "3", OUTSIDE4)
        after = statistics("web")
        for key in ("IPIngressBytes", "IPEgressBytes", "IPIngressPackets", "IPEgressPackets", "NetworkReceivedBytes", "NetworkSentBytes"):
            self.assertGreater(after[key], before[key], key)
        host = statistics("host")
        self.assertGreaterEqual(host["IPEgressPackets"], 3)
        self.assertGreaterEqual(host["IPIngressPackets"], 3)
        self.assertNotIn("NetworkSentBytes", host)
        row = lib.moorctl("stats", "--no-stream", "host").stdout.splitlines()[-1].split()
        self.assertNotEqual(row[-2:], ["-", "-"])
        self.assertNotIn("IPEgressBytes", statistics("plain"))
        lib.moorctl("rm", "-f", "web", "host", "plain")


class UnitTrafficTest(UnitsTestCase):
    def test_a_drop_in_says_it(self):
        if not filters():
            self.skipTest("there is no BPF for control groups here")
        unit = self.write_script("fenced", "sleep 1000", "Network=host")
        self.drop_in(unit, "[Service]", "IPAddressDeny=any", "IPAddressAllow=127.0.0.1", "IPAccounting=yes")
        self.systemctl("start", unit)
        lib.moorctl("exec", "fenced", "ping", "-c3", "-W5", "127.0.0.1")
        self.assertNotEqual(lib.moorctl("exec", "fenced", "ping", "-c1", "-W1", "127.0.0.2", check=False).returncode, 0)
        self.assertGreaterEqual(statistics("fenced")["IPEgressPackets"], 3)


class FirewalldTest(NetworkTestCase):
    policy = "/etc/dbus-1/system.d/test-firewalld.conf"

    def firewalld(self):
        """One that has come up."""

        process = subprocess.Popen(["python3", "-u", "-c", FAKE_FIREWALLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            process.stdin.close()
            process.wait(10)
            process.stdout.close()

        self.addCleanup(end)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def setUp(self):
        super().setUp()
        with open(self.policy, "w", encoding="ascii") as f:
            f.write(OWN_POLICY)
        self.addCleanup(reload_bus)
        self.addCleanup(os.unlink, self.policy)
        reload_bus()

    def test_rules_come_back(self):
        self.serve("a", "-p", "8080:80")
        before = elements()
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        flush_rules()
        self.assertFalse(has_rules())
        firewalld = self.firewalld()
        lib.wait_until(has_rules, what="the rules are back when it has come")
        self.assertEqual(elements(), before)

        flush_rules()
        # Others can say so, and are not heard.
        for options in ((), ("--destination=org.moored1",)):
            lib.run(["busctl", *options, "emit", FIREWALLD_PATH, FIREWALLD, "Reloaded"])
        lib.moorctl("version")
        self.assertFalse(has_rules())

        firewalld.stdin.write("\n")
        firewalld.stdin.flush()
        lib.wait_until(has_rules, what="the rules are back when it has loaded its own")
        self.assertEqual(elements(), before)
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        lib.moorctl("rm", "-f", "a")


class NetworkdTest(NetworkTestCase):
    units = ("systemd-networkd.service", "systemd-networkd.socket")
    # An administrator's file for everything.
    catch_all = "/run/systemd/network/50-everything.network"
    udev_data = "/run/udev/data"

    def networkd(self):
        os.makedirs(os.path.dirname(self.catch_all), exist_ok=True)
        with open(self.catch_all, "w", encoding="ascii") as f:
            f.write("[Match]\nName=moored* mv* probe0\n[Network]\nLinkLocalAddressing=no\nAddress=198.51.100.1/24\n")
        self.addCleanup(os.unlink, self.catch_all)
        lib.run(["ip", "link", "add", "probe0", "type", "bridge"])
        self.addCleanup(lib.run, ["ip", "link", "del", "probe0"])
        # The test host has no systemd-udevd; what systemd-networkd waits for is its file about a device, whichever number that will have.
        last = max(l["ifindex"] for l in json.loads(lib.run(["ip", "-j", "link", "show"]).stdout))
        os.makedirs(self.udev_data, exist_ok=True)
        self.addCleanup(shutil.rmtree, self.udev_data)
        for n in range(last + 50):
            with open(f"{self.udev_data}/n{n}", "w", encoding="ascii") as f:
                f.write("I:1\n")
        lib.run(["systemctl", "unmask", *self.units])
        self.addCleanup(lib.run, ["systemctl", "mask", *self.units])
        self.addCleanup(lib.run, ["systemctl", "stop", *self.units])
        lib.run(["systemctl", "start", "systemd-networkd.service"])

    def addresses(self, device):
        links = json.loads(lib.run(["ip", "-j", "addr", "show", "dev", device]).stdout)
        return sorted(a["local"] for a in links[0]["addr_info"])

    def setup_of(self, device):
        return lib.run(["networkctl", "--no-legend", "--no-pager", "list", device], check=False).stdout.split()[-1:]

    def check(self, devices_with_addresses):
        for device, addresses in devices_with_addresses.items():
            # One that has just been started says "pending" for a moment.
            lib.wait_until(lambda: self.setup_of(device) == ["unmanaged"], what=f"{device} is unmanaged")
            self.assertEqual(self.addresses(device), addresses)
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")

    def test_our_devices_are_ours(self):
        self.serve("a", "--network=default", "-p", "8080:80")
        bridge = json.loads(lib.moorctl("network", "inspect", "default").stdout)[0]["Device"]
        found = {d: self.addresses(d) for d in (bridge, *devices("mv"))}
        self.assertEqual(len(found), 2)
        self.networkd()
        # It does to others what the file says.
        lib.wait_until(lambda: "198.51.100.1" in self.addresses("probe0"), what="systemd-networkd works")
        self.check(found)
        lib.run(["networkctl", "reload"])
        lib.run(["systemctl", "restart", "systemd-networkd.service"])
        lib.wait_until(lambda: self.setup_of("probe0") == ["configured"], what="systemd-networkd works again")
        self.check(found)
        # What comes while it runs is ours, too.
        self.detach("b", "--network=default")
        for device in set(devices("mv")) - set(found):
            lib.wait_until(lambda: self.setup_of(device) == ["unmanaged"], what=f"{device} is unmanaged")
        self.assertEqual(self.ask("b", self.address("a")), "a")
        lib.moorctl("rm", "-f", "a", "b")
