# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers that are there go on other networks and leave them, running or not; what failures and kills leave of that."""

import json
import os
import signal

import lib
from lib_container import BUSYBOX, daemon_away, unit_of
from lib_network import HOST4, NetworkTestCase, elements, links, netns_of, talk

INTERFACE = "org.moored1.Interface"


def path_of(container, name):
    return f"/org/moored1/namespace/default/container/{container}/interface/{name}"


def interface(container, name):
    found = lib.run(["busctl", "--json=short", "call", "org.moored1", path_of(container, name), "org.freedesktop.DBus.Properties", "GetAll", "s",
                     INTERFACE], check=False)
    return {k: v["data"] for k, v in json.loads(found.stdout)["data"][0].items()} if found.returncode == 0 else None


class ConnectTest(NetworkTestCase):
    hosts = "ab"

    def setUp(self):
        super().setUp()
        for name in ("blue", "red"):
            lib.moorctl("network", "create", "--ipv6", name)
            self.addCleanup(lib.moorctl, "network", "rm", "--ignore", name, check=False)
            # Before the networks go, the containers do.
            self._cleanups.insert(0, self._cleanups.pop())

    def connect(self, *args):
        lib.moorctl("network", "connect", *args)

    def networks(self, name):
        return {n[0]: n[1] for n in self.inspect(name)["Networks"]}

    def refused(self, text, *args):
        before = self.networks(args[-1]), links(), elements()

        def ask():
            result = lib.moorctl("network", "connect", *args, check=False)
            self.assertEqual(result.returncode, 1, args)
            self.assertRegex(result.stderr, text)

        self.assert_holds_no_more(ask)
        self.assertEqual((self.networks(args[-1]), links(), elements()), before)

    def test_running(self):
        self.serve("web", "-p", "8080:80")
        self.detach("sibling", "--network=blue")
        inode = os.stat(self.inspect("web")["NetworkNamespace"]).st_ino
        self.connect("--alias=shop", "blue", "web")
        self.assertEqual(self.networks("web"), {"default": "eth0", "blue": "eth1"})
        self.assertEqual(self.ask("sibling", self.address("web", network=1)), "web")
        self.assertEqual(self.ask("sibling", self.address("web", 6, network=1)), "web")
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        self.assertIn("shop", lib.moorctl("exec", "web", "cat", "/etc/hosts").stdout)
        # Ports and the way out go by the network that is left.
        lib.moorctl("network", "disconnect", "default", "web")
        self.assertEqual(self.networks("web"), {"blue": "eth1"})
        lib.wait_until(lambda: talk(HOST4, 8080, outside=True) == "web", what="the port leads to the other network")
        self.assertIn("default via", lib.run([*netns_of(self.inspect("web")), "ip", "route"]).stdout)
        lib.moorctl("network", "disconnect", "blue", "web")
        self.assertEqual(self.networks("web"), {})
        self.assertIsNone(talk("127.0.0.1", 8080, timeout=1))
        self.assertEqual(lib.run([*netns_of(self.inspect("web")), "ip", "-o", "link"]).stdout.count("\n"), 1)
        self.connect("default", "web")
        lib.wait_until(lambda: talk(HOST4, 8080, outside=True) == "web", what="the port is open again")
        self.assertEqual(os.stat(self.inspect("web")["NetworkNamespace"]).st_ino, inode)

    def test_other_users_and_rights(self):
        for name, options in (("user", ["--user=1000"]), ("rights", ["--cap-add=ALL"]), ("crun", ["--runtime=crun"])):
            self.detach(name, "--network=default", *options)
            self.connect("blue", name)
            self.assertEqual(self.networks(name), {"default": "eth0", "blue": "eth1"})
            self.assertIn(self.address(name, network=1), lib.run([*netns_of(self.inspect(name)), "ip", "addr"]).stdout)

    def test_stopped(self):
        lib.moorctl("create", "--name=web", "-p", "8080:80", BUSYBOX, "sh", "-c", "exec nc -ll -p 80 -e echo web")
        address = f'{lib.moorctl_json("network", "inspect", "blue")[0]["Subnets"][0][0].split("/")[0][:-1]}77'
        self.connect(f"--ip={address}", "--mac-address=02:00:5e:00:53:01", "--interface-name=blue0", "blue", "web")
        lib.moorctl("network", "disconnect", "default", "web")
        self.assertEqual(links(), set())
        lib.moorctl("start", "web")
        self.listens("web")
        self.assertEqual(self.address("web"), address)
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        self.assertIn("02:00:5e:00:53:01", lib.run([*netns_of(self.inspect("web")), "ip", "link", "show", "blue0"]).stdout)

    def test_comes_back(self):
        self.detach("a", "--network=default", "--restart=always", "-p", "RestartSec=50ms")
        self.connect("blue", "a")
        before = self.inspect("a")
        with daemon_away():
            os.kill(before["LeaderPID"], signal.SIGKILL)
            lib.wait_until(lambda: (u := lib.unit_properties(unit_of("a"), "MainPID", "SubState"))["SubState"] == "running" and
                           int(u["MainPID"]) not in (0, before["LeaderPID"]), what="the next run")
        after = self.inspect("a")
        self.assertEqual(after["Networks"], before["Networks"])
        self.assertIn(self.address("a", network=1), lib.run([*netns_of(after), "ip", "addr"]).stdout)
        lib.moorctl("network", "disconnect", "blue", "a")
        lib.moorctl("restart", "a")
        self.assertEqual(self.networks("a"), {"default": "eth0"})

    def test_refused(self):
        self.detach("a", "--network=default")
        self.detach("b", "--network=blue")
        self.detach("alone", "--network=none")
        self.refused("already", "default", "a")
        self.refused("no network", "nosuch", "a")
        self.refused("container b", f"--ip={self.address('b')}", "blue", "a")
        self.refused("not an address", "--ip=192.0.2.77", "blue", "a")
        self.refused("eth0", "--interface-name=eth0", "blue", "a")
        self.refused("made without a network", "default", "alone")
        # Somebody in there has a device of that name: the kernel's no undoes the records.
        lib.run([*netns_of(self.inspect("a")), "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth9"])
        self.refused("eth1", "blue", "a")
        self.connect("--interface-name=eth2", "blue", "a")
        for args in (["red", "a"], ["blue", "nosuch"], ["nosuch", "a"]):
            self.assertEqual(lib.moorctl("network", "disconnect", *args, check=False).returncode, 1)
        self.assertEqual(self.networks("a"), {"default": "eth0", "blue": "eth2"})

    def test_objects(self):
        self.detach("a", "--network=default")
        result = lib.run(["busctl", "--json=short", "call", "org.moored1", "/org/moored1/namespace/default/container/a", "org.moored1.Container",
                          "AddInterface", "a{sv}", "2", "Network", "s", "blue", "Aliases", "as", "1", "x"])
        self.assertEqual(json.loads(result.stdout)["data"], [path_of("a", "eth1")])
        i = interface("a", "eth1")
        self.assertEqual((i["Name"], i["Network"], i["Driver"], i["Aliases"]), ("eth1", "blue", "bridge", ["x"]))
        self.assertEqual(i["Container"], "/org/moored1/namespace/default/container/a")
        self.assertIn(i["HostDevice"], links())
        lib.moorctl("exec", "a", "ping", "-c", "1", i["Addresses"][0].split("/")[0].rsplit(".", 1)[0] + ".1")
        statistics = json.loads(lib.run(["busctl", "--json=short", "call", "org.moored1", path_of("a", "eth1"), INTERFACE, "Statistics"]).stdout)
        self.assertGreater(statistics["data"][0]["SentBytes"]["data"], 0)
        lib.run(["busctl", "call", "org.moored1", path_of("a", "eth1"), INTERFACE, "Remove", "a{sv}", "0"])
        self.assertIsNone(interface("a", "eth1"))
        self.assertEqual(self.networks("a"), {"default": "eth0"})

    def test_killed_meanwhile(self):
        self.detach("a", "--network=default")
        for _ in range(10):
            p = self.popen("network", "connect", "blue", "a")
            lib.kill9_moored()
            p.wait()
            recorded = "blue" in self.networks("a")
            # Device and record are there, or neither is.
            lib.wait_until(lambda: len(links()) == 1 + recorded, what=f"devices: {links()}")
            if recorded:
                lib.moorctl("network", "disconnect", "blue", "a")
        self.connect("blue", "a")
        self.assertEqual(len(links()), 2)
