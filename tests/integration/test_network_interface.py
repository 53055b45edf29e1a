# SPDX-License-Identifier: LGPL-2.1-or-later
"""Interfaces as objects: added, changed and removed on containers that run, back after each start; devices of the host's come back whatever happens."""

import contextlib
import json
import os
import signal
import time

import lib
from lib_container import BUSYBOX, daemon_away, last_event, topics_since, unit_of
from lib_network import HOST4, NetworkTestCase, connect, links, netns_of, talk
from test_bus import DEFAULT, RULES, Monitor, restart_polkit, rules, send
from test_network_connect import INTERFACE, interface, path_of

BRIDGE = "host-br"
NETWORK = "org.moored1.Network"
WIRE = "wire0"  # a device of the host's: one end of a pair


def ip(*args, container=None, check=True):
    prefix = netns_of(container) if container else []
    return lib.run([*prefix, "ip", *args], check=check).stdout


def exists(name):
    return os.path.exists(f"/sys/class/net/{name}")


def link(name, container=None):
    found = lib.run([*(netns_of(container) if container else []), "ip", "-j", "-d", "link", "show", name], check=False)
    return json.loads(found.stdout)[0] if found.returncode == 0 else None


@contextlib.contextmanager
def daemon_killed_later():
    """The daemon notices nothing while the block runs, and is killed after it; unlike daemon_away(), what it has stored stays with PID 1 (before systemd
    254 that goes when a service is stopped)."""

    pid = lib.wait_until(lib.moored_pid, what="moored runs")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        lib.kill9_moored()


class InterfaceTest(NetworkTestCase):
    hosts = "ab"

    def setUp(self):
        super().setUp()
        for command in (f"ip link add {WIRE} address 02:00:5e:00:53:aa mtu 1480 type veth peer name wire1", f"ip link set {WIRE} up alias mine", "ip link set wire1 up",
                        f"ip link add {BRIDGE} type bridge", f"ip addr add 10.77.0.1/24 dev {BRIDGE}", f"ip link set {BRIDGE} up"):
            lib.run(command.split())
        for name in (WIRE, BRIDGE):
            self.addCleanup(lib.run, ["ip", "link", "del", name], check=False)
            self._cleanups.insert(0, self._cleanups.pop())

    def interface(self, *args, check=True):
        return lib.moorctl("interface", *args, check=check)

    def refused(self, text, *args):
        def ask():
            result = self.interface(*args, check=False)
            self.assertEqual(result.returncode, 1, args)
            self.assertRegex(result.stderr, text)

        self.assert_holds_no_more(ask)

    def names(self, container):
        return [i["Name"] for i in lib.moorctl_json("interface", "ls", container)]

    def test_change(self):
        self.serve("web", "--network=default", "--stop-timeout=1s", "-p", "8080:80")
        self.interface("set", "--mtu=1400", "--ip=10.78.0.2/24", "--ip=fd00:78::2/64", "--route=10.79.0.0/16 via 10.78.0.1", "web", "eth0")
        c = self.inspect("web")
        self.assertEqual(link("eth0", c)["mtu"], 1400)
        self.assertIn("10.78.0.2/24", ip("addr", container=c))
        self.assertIn("10.79.0.0/16 via 10.78.0.1", ip("route", container=c))
        i = interface("web", "eth0")
        self.assertEqual((i["MTU"], i["Up"], i["Type"], i["Network"], i["Routes"]), (1400, True, "veth", "default", ["10.79.0.0/16 via 10.78.0.1"]))
        self.assertIn("fd00:78::2/64", i["Addresses"])
        self.interface("set", "--down", "web", "eth0")
        self.assertNotIn("UP", link("eth0", c)["flags"])
        self.assertIsNone(talk(HOST4, 8080, outside=True, timeout=1))
        self.interface("set", "--up", "web", "eth0")
        self.assertIn("10.79.0.0/16 via 10.78.0.1", ip("route", container=c))
        self.assertIn("default via", ip("route", container=c))
        lib.wait_until(lambda: talk(HOST4, 8080, outside=True) == "web", what="it is reached again")
        self.interface("set", "--remove-ip=fd00:78::2/64", "web", "eth0")
        lib.moorctl("restart", "web")
        self.listens("web")
        c = self.inspect("web")
        self.assertEqual(link("eth0", c)["mtu"], 1400)
        self.assertIn("10.79.0.0/16 via 10.78.0.1", ip("route", container=c))
        self.assertNotIn("fd00:78::2", ip("addr", container=c))
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        address = self.inspect("web")["Networks"][0][3][0]
        for args, text in ((["--mtu=67"], "68"), (["--mtu=70000"], "65535"), (["--mac-address=02:00:5e:00:53:01"], "network"), (["--ip=10.78.0.3"], "length"),
                           ([f"--remove-ip={address}"], "of a network stays"), (["--route=10.80.0.0/16 via 192.0.2.77"], "routes"), (["--up", "--down"], "exclude"),
                           (["--sent-rate=7k"], "8000"), (["--sent-rate=fast"], "rate"), (["--type=veth"], "stays")):
            self.refused(text, "set", *args, "web", "eth0")
        self.refused("no interface nosuch", "set", "--down", "web", "nosuch")
        self.assertEqual(interface("web", "eth0")["MTU"], 1400)

    def test_rates(self):
        self.detach("a", "--network=default")
        self.interface("set", "--sent-rate=8mbit", "--received-rate=4mbit", "a", "eth0")
        c = self.inspect("a")
        self.assertIn("tbf", lib.run([*netns_of(c), "tc", "qdisc", "show", "dev", "eth0"]).stdout)
        self.assertIn("4Mbit", lib.run(["tc", "qdisc", "show", "dev", interface("a", "eth0")["HostDevice"]]).stdout)
        lib.moorctl("exec", "-d", "a", "sh", "-c", "nc -l -p 9 >/tmp/got; date +%s.%N >/tmp/done")
        self.listens("a", 9)
        begin = time.monotonic()
        with connect(self.address("a"), 9, timeout=60) as s:
            s.sendall(bytes(2000000))
        lib.wait_until(lambda: lib.moorctl("exec", "a", "wc", "-c", "/tmp/got").stdout.startswith("2000000"), what="two megabytes", timeout=60)
        self.assertGreater(time.monotonic() - begin, 2)
        self.interface("set", "--sent-rate=none", "--received-rate=none", "a", "eth0")
        self.assertNotIn("tbf", lib.run([*netns_of(c), "tc", "qdisc", "show", "dev", "eth0"]).stdout)
        self.assertEqual(interface("a", "eth0")["ReceivedRate"], 0)

    def test_rates_from_the_beginning(self):
        self.detach("a", "--network=default:sent_rate=8mbit,received_rate=4mbit")
        for _ in range(2):
            i = interface("a", "eth0")
            self.assertEqual((i["SentRate"], i["ReceivedRate"]), (8000000, 4000000))
            self.assertIn("8Mbit", lib.run([*netns_of(self.inspect("a")), "tc", "qdisc", "show", "dev", "eth0"]).stdout)
            self.assertIn("4Mbit", lib.run(["tc", "qdisc", "show", "dev", i["HostDevice"]]).stdout)
            lib.kill9_moored()
            lib.moorctl("restart", "-t", "0", "a")
        self.interface("set", "--sent-rate=none", "a", "eth0")
        self.assertEqual((interface("a", "eth0")["SentRate"], interface("a", "eth0")["ReceivedRate"]), (0, 4000000))
        lib.moorctl("restart", "-t", "0", "a")
        self.assertEqual(interface("a", "eth0")["SentRate"], 0)

    def test_veth(self):
        self.serve("web", "--network=default", "--stop-timeout=1s")
        name = self.interface("add", "--type=veth", f"--master={BRIDGE}", "--peer=web-end", "--mtu=1450", "--ip=10.77.0.2/24", "web").stdout.strip()
        self.assertEqual(name, "eth1")
        self.assertEqual(link("web-end")["master"], BRIDGE)
        lib.wait_until(lambda: talk("10.77.0.2", 80, timeout=1) == "web", what="it is reached by the host's bridge")
        i = interface("web", "eth1")
        self.assertEqual((i["Type"], i["Network"], i["HostDevice"], i["Master"], i["MTU"]), ("veth", "", "web-end", BRIDGE, 1450))
        self.assertEqual(link("eth1", self.inspect("web"))["address"], i["MAC"])
        self.assertEqual(self.names("web"), ["eth0", "eth1"])
        table = self.interface("ls", "--statistics", "web").stdout
        self.assertRegex(table, r"eth1 +veth +host-br +up .*10\.77\.0\.2/24")
        lib.kill9_moored()
        self.assertEqual(talk("10.77.0.2", 80), "web")
        lib.moorctl("restart", "web")
        self.listens("web")
        lib.wait_until(lambda: talk("10.77.0.2", 80, timeout=1) == "web", what="it is reached again")
        self.assertEqual(interface("web", "eth1")["MAC"], i["MAC"])
        self.refused("already", "add", "--type=veth", "web", "eth1")
        self.refused("container “web”", "add", "--type=veth", "--peer=web-end", "web")
        self.refused("not a bridge", "add", "--type=veth", "--master=out0", "web")
        self.refused("no bridge", "add", "--type=veth", "--master=nosuch", "web")
        self.refused("Which type", "add", "web")
        self.refused("device and tap", "add", "--type=bond", "web")
        self.interface("rm", "web", "eth1")
        self.assertFalse(exists("web-end"))
        self.assertIsNone(interface("web", "eth1"))
        self.refused("no interface eth1", "rm", "web", "eth1")

    def test_macvlan(self):
        self.detach("a", "--network=default")
        self.interface("add", "--type=macvlan", f"--link={WIRE}", "--mac-address=02:00:5e:00:53:01", "--ip=10.76.0.2/24", "a", "street0")
        ip("addr", "add", "10.76.0.1/24", "dev", "wire1")
        lib.moorctl("exec", "a", "ping", "-c", "1", "-W", "5", "10.76.0.1")
        self.assertEqual(link("street0", self.inspect("a"))["linkinfo"]["info_kind"], "macvlan")
        lib.moorctl("restart", "a")
        lib.moorctl("exec", "a", "ping", "-c", "1", "-W", "5", "10.76.0.1")
        self.assertEqual(link("street0", self.inspect("a"))["address"], "02:00:5e:00:53:01")
        self.interface("rm", "a", "street0")
        self.assertIsNone(link("street0", self.inspect("a")))
        # What is below it has gone: the start says so.
        self.interface("add", "--type=macvlan", f"--link={WIRE}", "a")
        ip("link", "del", WIRE)
        result = lib.moorctl("restart", "a", check=False)
        self.assertRegex(result.stderr, f"no device “{WIRE}”")
        self.interface("rm", "a", "eth1")
        lib.moorctl("start", "a")

    def test_ipvlan(self):
        self.detach("a", "--network=default")
        before = self.names("a"), links()
        args = ("add", "--type=ipvlan", f"--link={WIRE}", "--mode=l2", "--ip=10.76.0.2/24", "a")
        self.refused("has that of its parent", *args, "--mac-address=02:00:5e:00:53:01")
        if lib.run(["ip", "link", "add", "link", WIRE, "name", "try0", "type", "ipvlan"], check=False).returncode != 0:
            self.refused("no ipvlan", *args)
            self.assertEqual((self.names("a"), links()), before)
            return
        ip("link", "del", "try0")
        self.interface(*args)
        ip("addr", "add", "10.76.0.1/24", "dev", "wire1")
        for _ in range(3):
            lib.moorctl("exec", "a", "ping", "-c", "1", "-W", "5", "10.76.0.1")
            self.assertEqual(link("eth1", self.inspect("a"))["linkinfo"]["info_kind"], "ipvlan")
            # At once, with an address that the kernel gives out once on each device.
            lib.moorctl("kill", "a")
            self.wait_state("a", "exited")
            lib.moorctl("start", "a")
        self.interface("rm", "a", "eth1")

    def at_home(self):
        lib.wait_until(lambda: exists(WIRE), what="the device is back")
        l = link(WIRE)
        self.assertEqual((l["address"], l["mtu"]), ("02:00:5e:00:53:aa", 1480))
        # These come after its name.
        lib.wait_until(lambda: (l := link(WIRE)).get("ifalias") == "mine" and "UP" in l["flags"], what="it is as it was")

    def test_lent(self):
        self.detach("a", "--network=default", "--cap-add=NET_ADMIN")
        self.assertEqual(self.interface("add", "--type=device", f"--link={WIRE}", "--mtu=1300", "--mac-address=02:00:5e:00:53:bb", "--ip=10.76.0.2/24", "a").stdout, "eth1\n")
        self.assertFalse(exists(WIRE))
        ip("addr", "add", "10.76.0.1/24", "dev", "wire1")
        lib.moorctl("exec", "a", "ping", "-c", "1", "-W", "5", "10.76.0.1")
        self.detach("b", "--network=default")
        self.refused("container “a”", "add", "--type=device", f"--link={WIRE}", "b")
        self.refused("no device", "add", "--type=device", "--link=nosuch", "b")
        self.refused("cannot be lent", "add", "--type=device", f"--link={BRIDGE}", "b")
        self.assertEqual(self.names("b"), ["eth0"])
        self.interface("rm", "a", "eth1")
        self.at_home()
        self.interface("add", "--type=device", f"--link={WIRE}", "a")
        # Whoever has it calls it otherwise, and is killed.
        lib.moorctl("exec", "a", "sh", "-c", "ip link set eth1 down; ip link set eth1 name other")
        os.kill(self.inspect("a")["LeaderPID"], signal.SIGKILL)
        self.at_home()
        lib.moorctl("start", "a")
        self.assertFalse(exists(WIRE))
        lib.moorctl("restart", "a")
        self.assertFalse(exists(WIRE))
        # And while moored is away.
        with daemon_killed_later():
            self.kill_main("a")
            self.assertFalse(exists(WIRE))
        self.at_home()
        lib.moorctl("start", "a")
        self.assertFalse(exists(WIRE))
        lib.moorctl("rm", "-f", "a")
        self.at_home()

    def kill_main(self, name):
        os.kill(int(lib.unit_properties(unit_of(name), "MainPID")["MainPID"]), signal.SIGKILL)
        lib.wait_until(lambda: lib.unit_properties(unit_of(name), "MainPID")["MainPID"] == "0", what="the container has ended")

    def test_lent_removed_meanwhile(self):
        """--rm, and it ends while moored is away: the record goes, the device comes."""

        lib.moorctl("network", "create", "--disable-dns", "plain")
        self.addCleanup(lib.moorctl, "network", "rm", "--ignore", "plain", check=False)
        self.detach("a", "--rm", "--network=plain")
        self.interface("add", "--type=device", f"--link={WIRE}", "a")
        self.assertFalse(exists(WIRE))
        with daemon_killed_later():
            self.kill_main("a")
        self.at_home()

    def test_lent_killed_meanwhile(self):
        self.detach("a", "--network=default")
        for _ in range(8):
            p = self.popen("interface", "add", "--type=device", f"--link={WIRE}", "a")
            lib.kill9_moored()
            p.wait()
            if "eth1" in self.names("a"):
                self.interface("rm", "a", "eth1")
            self.at_home()
        self.interface("add", "--type=device", f"--link={WIRE}", "a")
        for _ in range(4):
            p = self.popen("interface", "rm", "a", "eth1")
            lib.kill9_moored()
            p.wait()
            if "eth1" not in self.names("a"):
                self.at_home()
                self.interface("add", "--type=device", f"--link={WIRE}", "a")
        lib.moorctl("rm", "-f", "a")
        self.at_home()

    def test_killed_meanwhile(self):
        self.detach("a", "--network=default")
        for _ in range(10):
            p = self.popen("interface", "add", "--type=veth", "--ip=10.75.0.2/24", "a", "own0")
            lib.kill9_moored()
            p.wait()
            recorded = "own0" in self.names("a")
            # Device and record are there, or neither is.
            lib.wait_until(lambda: len(links()) == 1 + recorded, what=f"devices: {links()}")
            if recorded:
                self.interface("rm", "a", "own0")
        self.interface("add", "--type=veth", "a", "own0")
        for mtu in range(1301, 1309):
            p = self.popen("interface", "set", f"--mtu={mtu}", "a", "own0")
            lib.kill9_moored()
            p.wait()
        # What is recorded is what the next start makes, whatever became of the last changes.
        recorded = interface("a", "own0")["MTU"]
        lib.moorctl("restart", "a")
        self.assertEqual(link("own0", self.inspect("a"))["mtu"], recorded or 1500)

    def test_comes_back(self):
        """PID 1 starts the container again by itself, and all is there, a device of the host's included."""

        self.detach("a", "--network=default", "--restart=always", "-p", "RestartSec=50ms")
        self.interface("add", "--type=device", f"--link={WIRE}", "--ip=10.76.0.2/24", "a", "lent0")
        self.interface("add", "--type=veth", "--ip=10.75.0.2/24", "a")
        before = self.inspect("a")
        with daemon_away():
            os.kill(before["LeaderPID"], signal.SIGKILL)
            lib.wait_until(lambda: (u := lib.unit_properties(unit_of("a"), "MainPID", "SubState"))["SubState"] == "running" and
                           int(u["MainPID"]) not in (0, before["LeaderPID"]), what="the next run")
        addresses = ip("addr", container=self.inspect("a"))
        self.assertIn("10.76.0.2/24", addresses)
        self.assertIn("10.75.0.2/24", addresses)
        lib.moorctl("rm", "-f", "a")
        self.at_home()

    def test_tap(self):
        self.detach("a", "--network=default")
        self.interface("add", "--type=tap", "--user=1000", "--ip=10.74.0.1/24", "a", "tap0")
        c = self.inspect("a")
        self.assertIn("tap", json.dumps(link("tap0", c)["linkinfo"]))
        self.assertIn("10.74.0.1/24", ip("addr", "show", "tap0", container=c))
        self.interface("rm", "a", "tap0")
        self.assertIsNone(link("tap0", c))

    def test_objects(self):
        self.detach("a", "--network=default")
        container = "/org/moored1/namespace/default/container/a"
        path = path_of("a", "eth1")
        before = last_event()
        with contextlib.closing(Monitor()) as monitor:
            result = lib.run(["busctl", "--json=short", "call", "org.moored1", container, "org.moored1.Container", "AddInterface", "a{sv}", "3", "Type", "s", "veth",
                              "Up", "b", "false", "MTU", "t", "1400"])
            self.assertEqual(json.loads(result.stdout)["data"], [path_of("a", "eth1")])
            lib.run(["busctl", "call", "org.moored1", path_of("a", "eth1"), INTERFACE, "Change", "a{sv}", "1", "Up", "b", "true"])
            lib.run(["busctl", "call", "org.moored1", path_of("a", "eth1"), INTERFACE, "Remove", "a{sv}", "0"])
            monitor.poke()
        self.assertEqual((monitor.added()[path]["Up"], monitor.added()[path]["MTU"]), (False, 1400))
        self.assertEqual(monitor.values(path, "Up"), [True])
        self.assertIn(path, monitor.removed())
        self.assertIn([f"{container}/interface/eth0", path], monitor.values(container, "Interfaces"))
        self.assertEqual([t for t in topics_since(before, "a") if "interface" in t],
                         ["container/interface-added", "container/interface-changed", "container/interface-removed"])

    def test_who_may(self):
        """Who is not root and is not let by polkit's rules changes nothing, on networks neither; who may manage networks may not manage containers."""

        lib.moorctl("network", "create", "lan")
        self.addCleanup(lib.moorctl, "network", "rm", "-f", "--ignore", "lan", check=False)
        self.detach("a", "--network=default")
        container, eth0 = f"{DEFAULT}/container/a", path_of("a", "eth0")
        calls = {
            "AddInterface": (container, "org.moored1.Container", "a{sv}", "1", "Type", "s", "veth"),
            "Change": (eth0, INTERFACE, "a{sv}", "1", "MTU", "t", "1400"),
            "Remove": (eth0, INTERFACE, "a{sv}", "0"),
            "Connect": (f"{DEFAULT}/network/lan", NETWORK, "sa{sv}", "a", "0"),
            "Disconnect": (f"{DEFAULT}/network/default", NETWORK, "sa{sv}", "a", "0"),
        }
        remove = (f"{DEFAULT}/network/lan", NETWORK, "a{sv}", "0")

        def call(member, path, interface_name, *args):
            return lib.run(["runuser", "-u", "nobody", "--", "busctl", "--allow-interactive-authorization=no", "call", lib.BUS_NAME, path,
                            interface_name, member, *args], check=False)

        def refused(member, *args):
            # By dbus-send for the name of the error, with arguments that nobody looks at before; by busctl with those that would do it.
            path, interface_name, *_ = args
            self.assertIn("Error.InteractiveAuthorizationRequired:", send(path, f"{interface_name}.{member}", "dict:string:string:a,b")[1])
            result = call(member, *args)
            self.assertNotEqual(result.returncode, 0, member)
            self.assertRegex(result.stderr, r"(?i)authenti|authoriz", member)

        before = self.inspect("a"), interface("a", "eth0"), lib.moorctl_json("network", "inspect", "lan", "default")
        for member, args in (*calls.items(), ("Remove", remove)):
            refused(member, *args)
        # To look is for all.
        self.assertEqual(call("Statistics", eth0, INTERFACE).returncode, 0)
        self.assertEqual((self.inspect("a"), interface("a", "eth0"), lib.moorctl_json("network", "inspect", "lan", "default")), before)

        self.addCleanup(restart_polkit)
        self.addCleanup(os.unlink, RULES)
        rules("""polkit.addRule(function(action, subject) {
            if (action.id == "org.moored.manage-networks" && subject.user == "nobody")
                return polkit.Result.YES;
        });""")
        for member, args in calls.items():
            refused(member, *args)
        self.assertEqual((self.inspect("a"), interface("a", "eth0")), before[:2])
        self.assertEqual(call("Remove", *remove).returncode, 0)
        self.assertNotEqual(lib.moorctl("network", "inspect", "lan", check=False).returncode, 0)

    def test_stopped(self):
        lib.moorctl("create", "--name=a", "--network=default", BUSYBOX, "sleep", "1000")
        self.addCleanup(lib.moorctl, "rm", "-f", "a", check=False)
        self.interface("add", "--type=veth", "--ip=10.75.0.2/24", "a")
        self.interface("set", "--mtu=1400", "a", "eth0")
        self.interface("set", "--mtu=1300", "--sent-rate=1g", "a", "eth1")
        self.assertEqual(links(), set())
        lib.moorctl("start", "a")
        c = self.inspect("a")
        self.assertEqual((link("eth0", c)["mtu"], link("eth1", c)["mtu"]), (1400, 1300))
        self.assertIn("tbf", lib.run([*netns_of(c), "tc", "qdisc", "show", "dev", "eth1"]).stdout)

    def test_without_network(self):
        self.detach("alone", "--network=none")
        self.refused("made without a network", "add", "--type=veth", "alone")
        self.detach("a", "--network=default")
        lib.moorctl("network", "disconnect", "default", "a")
        self.assertEqual(self.interface("add", "--type=veth", "a").stdout, "eth0\n")
        self.assertEqual(self.inspect("a")["Networks"], [])
