# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of drivers macvlan and ipvlan: containers are on the network that a device of the host's is on, by IPv4 and IPv6, and in each mode."""

import ipaddress
import json

import lib
from lib_container import BUSYBOX
from lib_network import HOST4, HOST6, NEAR, OUTSIDE4, OUTSIDE6, NetworkTestCase, inside, netns_of, talk

# Parts of the link's own subnets that nobody else there has.
RANGES = ("192.0.2.128/28", "2001:db8:1::8000/120")
STREET = ("--subnet=192.0.2.0/24", "--subnet=2001:db8:1::/64", f"--gateway={HOST4}", f"--gateway={HOST6}", *(f"--ip-range={r}" for r in RANGES))
# Of modes that route: who is outside needs a route to them.
BEHIND = ("203.0.113.0/24", "2001:db8:3::/64")
MAC = "02:00:5e:00:53:01"


def kernel_has(kind):
    result = lib.run(["ip", "link", "add", "link", NEAR.device, "name", "probe0", "type", kind], check=False)
    if result.returncode == 0:
        lib.run(["ip", "link", "del", "probe0"])
    return result.returncode == 0


class ParentTestCase(NetworkTestCase):
    hosts = "ab"
    driver = ""

    def setUp(self):
        if not kernel_has(self.driver):
            self.skipTest(f"this kernel has no {self.driver}")
        super().setUp()
        self.addCleanup(lib.moorctl, "network", "rm", "-f", "--ignore", "street", check=False)
        # Before the check of devices.
        self._cleanups.insert(1, self._cleanups.pop())

    def street(self, mode, *options):
        lib.moorctl("network", "create", "-d", self.driver, f"--parent={NEAR.device}", *(["-o", f"mode={mode}"] if mode else []),
                    *(options or STREET), "street")

    def link(self, name, device="eth0"):
        return json.loads(lib.run([*netns_of(self.inspect(name)), "ip", "-d", "-j", "link", "show", device]).stdout)[0]

    def addresses(self, name):
        return self.address(name), self.address(name, 6)

    def reached(self, name):
        """From outside, and it reaches those outside."""

        for address, outside in zip(self.addresses(name), (OUTSIDE4, OUTSIDE6)):
            with self.subTest(name=name, address=address):
                self.assertEqual(talk(address, 80, outside=True), name)
                self.assertTrue(self.pings(name, outside), outside)

    def pings(self, name, address):
        return lib.moorctl("exec", name, "ping", "-c1", "-W3", address, check=False).returncode == 0

    def lives(self):
        """What a container has stays its own in each of its runs, also when they follow at once, and is another's after it."""

        before = self.inspect("a")["Networks"]
        for verb in ("restart", "kill", "stop"):
            lib.moorctl(verb, *(["-t", "0"] if verb == "stop" else []), "a")
            if verb != "restart":
                self.wait_state("a", "exited")
                lib.moorctl("start", "a")
            self.listens("a")
            self.assertEqual(self.inspect("a")["Networks"], before)
            self.reached("a")
        lib.kill9_moored()
        self.assertEqual(self.inspect("a")["Networks"], before)
        self.reached("a")

    def common(self, mode):
        self.street(mode)
        self.serve("a", "--network=street", "--stop-timeout=0")
        for address, range_ in zip(self.addresses("a"), RANGES):
            self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network(range_))
        info = self.link("a")["linkinfo"]
        self.assertEqual((info["info_kind"], info["info_data"]["mode"]), (self.driver, mode))
        self.reached("a")
        self.assertIn("bridge", lib.moorctl("run", "--rm", "--network=street", "-p", "80", BUSYBOX, "true", check=False).stderr)


class MacvlanTest(ParentTestCase):
    driver = "macvlan"

    def siblings_reach_each_other(self):
        ask = [("exec", a, "nc", "-w", "2", address, "80") for a, b in (("a", "b"), ("b", "a")) for address in self.addresses(b)]
        return [lib.moorctl(*words, check=False).stdout.strip() != "" for words in ask]

    def test_bridge(self):
        self.common("bridge")
        self.serve("b", "--network=street")
        self.assertEqual(self.siblings_reach_each_other(), [True] * 4)
        self.lives()

    def test_private(self):
        self.common("private")
        self.serve("b", "--network=street")
        self.reached("b")
        self.assertEqual(self.siblings_reach_each_other(), [False] * 4)

    def test_passthru(self):
        """One container is all there can be."""

        self.common("passthru")
        result = lib.moorctl("run", "--rm", "--network=street", BUSYBOX, "true", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.reached("a")

    def test_mac(self):
        self.street("")
        self.serve("a", f"--network=street:mac={MAC}", "--stop-timeout=0")
        self.assertEqual(self.link("a")["linkinfo"]["info_data"]["mode"], "bridge")

        def check():
            self.assertEqual((self.inspect("a")["Networks"][0][2], self.link("a")["address"]), (MAC, MAC))
            self.reached("a")
            # As those see it that are there.
            for address in self.addresses("a"):
                seen = json.loads(lib.run([*inside(NEAR), "ip", "-j", "neigh", "show", address]).stdout)
                self.assertEqual([n.get("lladdr") for n in seen], [MAC])

        check()
        lib.moorctl("restart", "a")
        self.listens("a")
        check()
        result = lib.moorctl("run", "--rm", f"--network=street:mac={MAC}", BUSYBOX, "true", check=False)
        self.assertRegex(result.stderr, f"{MAC}.*another container")
        lib.moorctl("rm", "-f", "a")
        # It is free again, and another address's.
        self.serve("c", f"--network=street:mac={MAC},ip=192.0.2.143")
        self.assertEqual(talk("192.0.2.143", 80, outside=True), "c")

    def test_mtu(self):
        self.street("bridge", *STREET, "-o", "mtu=1400")
        self.serve("a", "--network=street", "--stop-timeout=0")
        self.assertEqual(self.link("a")["mtu"], 1400)
        self.reached("a")


class IpvlanTest(ParentTestCase):
    driver = "ipvlan"

    def test_l2(self):
        self.common("l2")
        self.serve("b", "--network=street")
        self.assertEqual(self.ask("b", self.address("a")), "a")
        self.assertEqual(self.ask("b", self.address("a", 6)), "a")
        self.lives()

    def routed(self, mode):
        for subnet, via in zip(BEHIND, (HOST4, HOST6)):
            lib.run([*inside(NEAR), "ip", "route", "add", subnet, "via", via])
            self.addCleanup(lib.run, [*inside(NEAR), "ip", "route", "del", subnet])
        self.street(mode, *(f"--subnet={s}" for s in BEHIND))
        self.serve("a", "--network=street", "--stop-timeout=0")
        info = self.link("a")["linkinfo"]
        self.assertEqual((info["info_kind"], info["info_data"]["mode"]), (self.driver, mode))
        self.reached("a")
        self.serve("b", "--network=street")
        self.assertEqual(self.ask("b", self.address("a")), "a")
        self.assertEqual(self.ask("b", self.address("a", 6)), "a")
        self.lives()

    def test_l3(self):
        self.routed("l3")

    def test_l3s(self):
        self.routed("l3s")

    def test_mac(self):
        """It is the parent's, and cannot be asked for."""

        self.street("")
        result = lib.moorctl("run", "--rm", f"--network=street:mac={MAC}", BUSYBOX, "true", check=False)
        self.assertRegex(result.stderr, "MAC of its parent")
        self.detach("a", "--network=street")
        found = json.loads(lib.run(["ip", "-j", "link", "show", NEAR.device]).stdout)[0]
        self.assertEqual(self.link("a")["address"], found["address"])


class KernelWithoutTest(NetworkTestCase):
    hosts = "ab"

    def test_said(self):
        """Where the kernel has no such devices the start says so, and leaves nothing."""

        missing = [d for d in ("macvlan", "ipvlan") if not kernel_has(d)]
        if not missing:
            self.skipTest("this kernel has both")
        for driver in missing:
            lib.moorctl("network", "create", "-d", driver, f"--parent={NEAR.device}", *STREET, "street")
            self.addCleanup(lib.moorctl, "network", "rm", "-f", "--ignore", "street", check=False)
            self.assertIn(driver, lib.moorctl("run", "--rm", "--network=street", BUSYBOX, "true", check=False).stderr)
            lib.moorctl("network", "rm", "street")
