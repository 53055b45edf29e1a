# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks as objects: made, seen, used, removed; what is refused and leaves nothing; what is there after kill -9."""

import ipaddress
import json
import pathlib
import re
import time

import lib
from lib_container import BUSYBOX, daemon_away, events_since, last_event
from lib_network import HOST4, OUTSIDE4, NetworkTestCase, elements, netns_of, talk
from test_bus import DEFAULT, NAMESPACE, ROOT, send
from test_network_connect import interface
from test_recovery import delete_database

NETWORK = "org.moored1.Network"


def networks(*options):
    return lib.moorctl(*options, "-q", "network", "ls").stdout.split()


def devices(pattern="moored"):
    """The host's devices with such a name."""

    return {l["ifname"] for l in json.loads(lib.run(["ip", "-j", "link", "show"]).stdout) if l["ifname"].startswith(pattern)}


def mtu_of(name, container=None):
    """Of a device of the host's, or of a container's."""

    where = netns_of(container) if container else []
    return json.loads(lib.run([*where, "ip", "-j", "link", "show", name]).stdout)[0]["mtu"]


class NetworkObjectTest(NetworkTestCase):
    def create(self, *args, ns="default", check=True):
        result = lib.moorctl("-n", ns, "network", "create", *args, check=check)
        name = result.stdout.strip()
        if name:
            self.addCleanup(lib.moorctl, "-n", ns, "network", "rm", "--ignore", name, check=False)
        return name if check else result

    def network(self, name):
        return json.loads(lib.moorctl("network", "inspect", name).stdout)[0]

    def refused(self, text, *args):
        before = networks(), devices(), elements()

        def ask():
            result = self.create(*args, check=False)
            self.assertEqual(result.returncode, 1, args)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, text)

        self.assert_holds_no_more(ask)
        self.assertEqual((networks(), devices(), elements()), before)

    def test_made_seen_and_removed(self):
        start = last_event()
        self.assertEqual(self.create("--ipv6", "--internal", "--disable-dns", "--label=a=b", "--label=c", "-o", "mtu=1400", "lan"), "lan")
        n = self.network("lan")
        subnet, gateway, part = n["Subnets"][0]
        self.assertEqual(str(ipaddress.ip_network(subnet)[1]), gateway)
        self.assertEqual(part, "")
        six = ipaddress.ip_network(n["Subnets"][1][0])
        self.assertTrue(six.is_private and six.prefixlen == 64)
        self.assertRegex(n["Device"], r"^moored\d+$")
        expected = {"Name": "lan", "Namespace": "default", "Driver": "bridge", "Parent": "", "Mode": "", "MTU": 1400, "Internal": True,
                    "DNS": False, "Domain": "", "Labels": {"a": "b", "c": ""}, "Containers": []}
        self.assertEqual({k: n[k] for k in expected}, expected)
        table = lib.moorctl("network", "ls").stdout
        self.assertRegex(table, rf"(?m)^lan +bridge +{n['Device']} +{re.escape(subnet)} {re.escape(str(six))} +yes +0$")
        self.assertIn("lan", networks())
        # Nothing in the kernel before it is used.
        self.assertNotIn(n["Device"], devices())
        lib.kill9_moored()
        self.assertEqual(self.network("lan"), n)
        self.assertEqual(lib.moorctl("network", "rm", "lan").stdout, "lan\n")
        self.assertNotIn("lan", networks())
        topics = [(e["Topic"], e["Details"]) for e in events_since(start, "lan")]
        self.assertEqual([t for t, _ in topics], ["network/created", "network/removed"])
        self.assertEqual(topics[0][1], {"Driver": "bridge", "Subnets": f"{subnet} {six}"})

    def test_names(self):
        first, second = self.create(), self.create()
        self.assertNotEqual(first, second)
        self.assertIn("already", self.create(first, check=False).stderr)
        self.assertEqual(self.create("--ignore", first), first)
        for name in ("host", "none", "bridge", "-x", "a/b", "a:b", "x" * 65):
            self.refused("network", "--", name)
        result = lib.moorctl("network", "rm", "nosuch", first, "nosuch2", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("nosuch", result.stderr)
        self.assertIn("nosuch2", result.stderr)
        self.assertEqual(result.stdout, f"{first}\n")
        self.assertEqual(lib.moorctl("network", "rm", "--ignore", "nosuch").stdout, "")
        self.assertIn("nosuch", lib.moorctl("network", "inspect", "nosuch", check=False).stderr)
        for arguments, text in ((["fly"], "not 'fly'"), (["rm"], "Name them: moorctl network rm NAME"), (["ls", "x"], "'x' is too much")):
            self.assertIn(text, lib.moorctl("network", *arguments, check=False).stderr)

    def test_subnets_are_free(self):
        lib.run(["ip", "link", "add", "lan0", "type", "bridge"])
        self.addCleanup(lib.run, ["ip", "link", "del", "lan0"])
        lib.run(["ip", "link", "set", "lan0", "up"])
        for subnet in ("10.87.0.0/16", "10.88.0.0/24", "10.88.2.0/24"):
            lib.run(["ip", "route", "add", subnet, "dev", "lan0"])
        lib.run(["ip", "addr", "add", "10.91.0.1/22", "dev", "lan0"])
        name = self.create()
        self.assertEqual(self.network(name)["Subnets"][0][0], "10.88.1.0/24")
        self.assertEqual(self.network(self.create())["Subnets"][0][0], "10.88.3.0/24")
        self.refused(r"10\.88\.1\.0/24.*the network “" + name, "--subnet=10.88.1.128/25", "x")
        self.refused(r"10\.91\.0\.0/22.*\(lan0\)", "--subnet=10.91.3.0/24", "x")
        self.refused(r"a route of this host \(lan0\)", "--subnet=10.87.200.0/24", "x")
        self.refused("cannot|overlaps", "--subnet=10.0.0.0/8", "x")

    def test_what_is_wrong_is_said(self):
        for text, *args in (("the subnet is 10.1.0.0/24", "--subnet=10.1.0.5/24"), ("10.1.0/24", "--subnet=10.1.0/24"),
                            ("too small", "--subnet=10.1.0.0/32"), ("not one", "--subnet=224.0.0.0/24"),
                            ("gateway", "--subnet=10.1.0.0/24", "--gateway=10.2.0.1"), ("range", "--subnet=10.1.0.0/24", "--ip-range=10.2.0.0/25"),
                            ("MTU", "-o", "mtu=67"), ("MTU", "-o", "mtu=x"), ("--opt=", "-o", "x=y"), ("driver", "-d", "token-ring"),
                            ("--parent", "-d", "macvlan", "--subnet=10.1.0.0/24"), ("no device “no”", "-d", "macvlan", "--parent=no"),
                            ("--subnet", "-d", "ipvlan", "--parent=out0"), ("mode", "-d", "ipvlan", "--parent=out0", "-o", "mode=vepa"),
                            ("out0", "--interface-name=out0"), ("15 characters", "--interface-name=x234567890123456"),
                            ("parent", "--parent=out0"), ("internal", "-d", "macvlan", "--parent=out0", "--internal")):
            self.refused(text, *args, "x")
        self.assertIn("driver", lib.moorctl("network", "create", "-d", "cni:x", "x", check=False).stderr)

    def test_in_use(self):
        self.create("lan")
        device = self.network("lan")["Device"]
        self.detach("a", "--network=lan:alias=shop,alias=pool")
        lib.moorctl("create", "--name=b", "--network=lan:interface_name=lan0", BUSYBOX)
        users = self.network("lan")["Containers"]
        self.assertEqual([u[0] for u in users], ["a", "b"])
        self.assertEqual(users[0][1:], [f"{DEFAULT}/container/a", "eth0", [self.address("a")], ["shop", "pool"]])
        self.assertEqual(users[1][2:], ["lan0", [self.address("b")], []])
        self.assertIn(device, devices())
        result = lib.moorctl("network", "rm", "lan", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("a, b", result.stderr)
        self.assertIn(device, devices())
        lib.moorctl("rm", "-f", "a", "b")
        lib.moorctl("network", "rm", "lan")
        self.assertNotIn(device, devices())
        self.assertNotIn(device, " ".join(elements()))

    def test_one_network_each_namespace(self):
        lib.moorctl("namespace", "create", "theirs")
        self.addCleanup(lib.moorctl, "namespace", "rm", "theirs", check=False)
        self.create("lan")
        self.create("lan", ns="theirs")
        ours = self.network("lan")
        theirs = json.loads(lib.moorctl("-n", "theirs", "network", "inspect", "lan").stdout)[0]
        self.assertNotEqual((ours["Device"], ours["Subnets"]), (theirs["Device"], theirs["Subnets"]))
        self.assertIn("1 networks", lib.moorctl("namespace", "rm", "theirs", check=False).stderr)
        lib.moorctl("-n", "theirs", "network", "rm", "lan")
        # The default network is nobody's work.
        lib.moorctl("-n", "theirs", "pull", "-q", BUSYBOX)
        lib.moorctl("-n", "theirs", "run", "--rm", "--network=default", BUSYBOX, "true")
        self.assertEqual(networks("-n", "theirs"), ["default"])
        device = json.loads(lib.moorctl("-n", "theirs", "network", "inspect", "bridge").stdout)[0]["Device"]
        lib.moorctl("-n", "theirs", "rmi", "-f", BUSYBOX)
        lib.moorctl("namespace", "rm", "theirs")
        self.assertNotIn(device, devices())

    def test_addresses(self):
        self.create("--subnet=10.123.0.0/29", "--ip-range=10.123.0.4/30", "small")
        self.detach("a", "--network=small")
        self.assertEqual(self.address("a"), "10.123.0.4")
        self.assertIn("10.123.0.4", lib.moorctl("run", "--rm", "--network=small:ip=10.123.0.4", BUSYBOX, "true", check=False).stderr)
        lib.moorctl("create", "--name=b", "--network=small", BUSYBOX)
        lib.kill9_moored()
        # 5 is b's, which never ran; 7 is the last of the subnet.
        self.detach("c", "--network=small")
        self.assertEqual(self.address("c"), "10.123.0.6")
        result = lib.moorctl("run", "--rm", "--network=small", BUSYBOX, "true", check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("no address left", result.stderr)
        self.assertIn("10.123.0.3/29", self.sh("ip addr", "--network=small:ip=10.123.0.3"))
        lib.moorctl("rm", "-f", "b")
        self.assertIn("10.123.0.5/29", self.sh("ip addr", "--network=small"))
        lib.moorctl("rm", "-f", "a", "c")

    def test_mtu(self):
        """On the bridge, on the host's end and on the container's, whichever is made again."""

        for mtu in (1400, 9000):
            self.create("--ipv6", "-o", f"mtu={mtu}", "lan")
            bridge = self.network("lan")["Device"]
            self.serve("a", "--network=lan", "--stop-timeout=0", "-p", "8080:80")
            self.detach("b", "--network=lan")

            def check(what):
                with self.subTest(mtu=mtu, after=what):
                    for name in ("a", "b"):
                        end = self.interface_of(name)
                        self.assertEqual((end["HostMTU"], end["MTU"]), (mtu, mtu))
                    self.assertEqual(mtu_of(bridge), mtu)
                    self.assertEqual(self.ask("b", self.address("a")), "a")
                    self.assertEqual(talk(HOST4, 8080, outside=True), "a")

            check("run")
            lib.moorctl("restart", "a")
            self.listens("a")
            check("restart")
            lib.kill9_moored()
            lib.moorctl("restart", "b")
            check("kill -9")
            lib.run(["ip", "link", "del", bridge])
            lib.moorctl("network", "reload")
            self.serve("c", "--network=lan")
            check("a bridge that was made again")
            lib.moorctl("rm", "-f", "a", "b", "c")
            lib.moorctl("network", "rm", "lan")
        # The least of each family, and less.
        self.create("-o", "mtu=68", "small")
        self.assertIn("mtu 68 ", self.sh("ip link show eth0", "--network=small"))
        self.refused("1280", "--ipv6", "-o", "mtu=1279", "x")
        self.refused("65535", "-o", "mtu=65536", "x")

    def interface_of(self, name):
        i = interface(name, "eth0")
        return {"MTU": mtu_of("eth0", self.inspect(name)), "HostMTU": mtu_of(i["HostDevice"])}

    def test_internal_and_apart(self):
        self.create("--internal", "--ipv6", "back")
        self.create("front")
        self.serve("a", "--network=back")
        self.detach("sibling", "--network=back")
        self.detach("other", "--network=front")
        self.assertEqual(self.ask("sibling", self.address("a")), "a")
        self.assertEqual(self.ask("sibling", self.address("a", family=6)), "a")
        self.assertEqual(self.ask("other", self.address("a")), "")
        self.assertNotEqual(lib.moorctl("exec", "a", "ping", "-c1", "-W1", OUTSIDE4, check=False).returncode, 0)
        lib.moorctl("exec", "other", "ping", "-c1", "-W5", OUTSIDE4)
        self.assertIn("internal", lib.moorctl("run", "--rm", "--network=back", "-p", "80", BUSYBOX, "true", check=False).stderr)
        lib.moorctl("rm", "-f", "a", "sibling", "other")

    def test_rules_that_somebody_flushed(self):
        self.serve("a", "--network=default", "-p", "8080:80")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        before = elements()
        lib.run(["nft", "flush", "ruleset"])
        self.assertIsNone(talk(HOST4, 8080, outside=True, timeout=1))
        lib.moorctl("network", "reload")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        self.assertEqual(elements(), before)

    def test_a_lost_database_gives_nothing_away(self):
        self.create("--label=a=b", "--subnet=10.125.0.0/24", "lan")
        self.serve("a", "--network=lan", "-p", "8080:80")
        before, container = self.network("lan"), self.inspect("a")
        with daemon_away():
            delete_database()
        self.assertEqual(self.network("lan"), before)
        self.assertEqual(self.inspect("a")["Networks"], container["Networks"])
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        self.refused("the network “lan”", "--subnet=10.125.0.0/25", "x")
        address = self.address("a")
        for options in ((f"--network=lan:ip={address}",), ("-p", "8080:80")):
            self.assertRegex(lib.moorctl("run", "--rm", *options, BUSYBOX, "true", check=False).stderr, r"container a\b")
        self.detach("b", "--network=lan")
        self.assertNotEqual(self.address("b"), address)
        self.assertEqual(self.ask("b", address), "a")
        lib.moorctl("rm", "-f", "a", "b")

    def test_what_is_changed_is_logged(self):
        """Settings of the kernel's: when they are needed, and not twice."""

        forward = pathlib.Path("/proc/sys/net/ipv4/ip_forward")
        self.addCleanup(forward.write_text, forward.read_text(encoding="ascii"), encoding="ascii")
        forward.write_text("0", encoding="ascii")
        for name, options, said in (("closed", ("--internal",), False), ("lan", (), True), ("lan", (), False)):
            since = time.time()
            if name not in networks():
                self.create(*options, name)
            lib.moorctl("run", "--rm", f"--network={name}", BUSYBOX, "true")
            log = lib.journal("-u", "moored.service", "-o", "cat", since=since)
            device = self.network(name)["Device"]
            self.assertEqual(f"Switched on net.ipv4.ip_forward, for the network “{name}”" in log, said, log)
            self.assertEqual(f"Set net.ipv4.conf.{device}.route_localnet to 1" in log, said, log)
            self.assertEqual(forward.read_text(encoding="ascii").strip(), "1" if name == "lan" else "0")

    def test_the_default_network_with_ipv6(self):
        lib.moorctl("namespace", "create", "six")
        self.addCleanup(lib.moorctl, "namespace", "rm", "six", check=False)
        self.create("--ipv6", "default", ns="six")
        subnets = json.loads(lib.moorctl("-n", "six", "network", "inspect", "default").stdout)[0]["Subnets"]
        self.assertEqual([":" in s[0] for s in subnets], [False, True])

    def test_on_the_bus(self):
        path = lib.busctl_call(DEFAULT, NAMESPACE, "CreateNetwork", "sa{sv}", "a.b", "2", "Subnets", "as", "1", "10.124.0.0/24", "MTU", "t", "1300")[0]
        self.addCleanup(lib.moorctl, "network", "rm", "--ignore", "a.b", check=False)
        self.assertEqual(path, f"{DEFAULT}/network/a_2eb")
        self.assertIn(["a.b", path, "bridge"], lib.busctl_call(DEFAULT, NAMESPACE, "ListNetworks")[0])
        self.assertEqual(lib.busctl_call(DEFAULT, NAMESPACE, "GetNetwork", "s", "a.b"), [path])
        self.assertEqual(lib.busctl_property(path, NETWORK, "Subnets"), [["10.124.0.0/24", "10.124.0.1", ""]])
        self.assertEqual(lib.busctl_property(path, NETWORK, "MTU"), 1300)
        self.assertIn(path, lib.run(["busctl", "tree", "--list", lib.BUS_NAME]).stdout.split())
        for options in (("1", "Nonsense", "s", "x"), ("1", "Driver", "u", "1"), ("2", "MTU", "t", "1400", "MTU", "t", "1400")):
            result = lib.run(["busctl", "call", lib.BUS_NAME, DEFAULT, NAMESPACE, "CreateNetwork", "sa{sv}", "x", *options], check=False)
            self.assertNotEqual(result.returncode, 0, options)
        # Looking is for all.
        self.assertEqual(send(DEFAULT, f"{NAMESPACE}.ListNetworks")[0], 0)
        for method, *args in (("CreateNetwork", "string:x", "dict:string:string:a,b"), ("RemoveNetwork", "string:a.b", "dict:string:string:a,b")):
            code, text = send(DEFAULT, f"{NAMESPACE}.{method}", *args)
            self.assertNotEqual(code, 0)
            self.assertIn("InteractiveAuthorizationRequired", text)
        self.assertIn("InteractiveAuthorizationRequired", send(ROOT, "org.moored1.Manager.ReloadNetworks")[1])
        lib.busctl_call(path, NETWORK, "Remove", "a{sv}", "0")
        self.assertNotIn("a.b", networks())
