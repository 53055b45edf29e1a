# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers that share a network namespace: another's, that one's, one that "ip netns" has made; what becomes of it when its owner ends."""

import os
import signal

import lib
from lib_container import BUSYBOX, daemon_away, unit_of
from lib_network import HOST4, HOST6, NEAR, OUTSIDE4, OUTSIDE6, NetworkTestCase, links, netns_of, talk

RESTARTS = ("--restart=always", "-p", "RestartSec=50ms")


class PodTest(NetworkTestCase):
    hosts = "ab"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lib.moorctl("network", "create", "--ipv6", "pod")
        cls.addClassCleanup(lib.moorctl, "network", "rm", "--ignore", "pod", check=False)

    def netns(self, name):
        return os.stat(self.inspect(name)["NetworkNamespace"]).st_ino

    def devices(self, name):
        return lib.run([*netns_of(self.inspect(name)), "ip", "-o", "link"]).stdout.count("\n")

    def is_again(self, name, before):
        """Waits until another process is the container's."""

        return lib.wait_until(lambda: (i := self.inspect(name))["State"] == "running" and i["LeaderPID"] not in (0, before["LeaderPID"]) and i,
                              what=f"{name} runs again")

    def test_several_in_one(self):
        """Each of another, in a row: all are in the namespace of the first, have its addresses and names, and serve by its ports."""

        self.detach("other", "--network=pod")
        self.serve("a", "--network=pod:alias=pod", "-p", "8080-8082:80-82")
        self.serve("b", "--network=container:a", port=81)
        self.serve("c", "--network=container:b", port=82)
        a = self.inspect("a")
        for name in ("b", "c"):
            now = self.inspect(name)
            self.assertEqual(self.netns(name), self.netns("a"))
            self.assertEqual((now["Networks"], now["Ports"]), (a["Networks"], []), name)
            for address in (self.address("a"), self.address("a", 6)):
                self.assertIn(address, lib.moorctl("exec", name, "ip", "addr").stdout)
            for path in ("/etc/hosts", "/etc/resolv.conf"):
                self.assertEqual(lib.moorctl("exec", name, "cat", path).stdout, lib.moorctl("exec", "a", "cat", path).stdout)
            self.assertEqual(self.ask(name, "127.0.0.1"), "a")
            self.assertEqual(self.ask(name, "pod"), "a")
        for port, word in ((80, "a"), (81, "b"), (82, "c")):
            for address in (HOST4, HOST6):
                self.assertEqual(talk(address, 8000 + port, outside=True), word)
            self.assertEqual(self.ask("other", "a", port), word)
        self.assertEqual(len(links()), 2)

    def test_owner_is_started_by_itself(self):
        """By the service manager: it comes back into the namespace that it had, which the others are in."""

        self.serve("a", "--network=pod", "-p", "8080-8081:80-81", *RESTARTS)
        self.serve("b", "--network=container:a", port=81)
        before, inode = self.inspect("a"), self.netns("a")
        for away in (False, True):
            if away:
                with daemon_away():
                    os.kill(before["LeaderPID"], signal.SIGKILL)
                    lib.wait_until(lambda: int(lib.unit_properties(unit_of("a"), "MainPID")["MainPID"]) not in (0, before["LeaderPID"]), what="the next run")
            else:
                os.kill(before["LeaderPID"], signal.SIGKILL)
            before = self.is_again("a", before)
            self.assertEqual((self.netns("a"), self.netns("b")), (inode, inode))
            lib.wait_until(lambda: self.ask("b", "127.0.0.1") == "a", what="it is seen by the other")
            for address in (HOST4, HOST6):
                self.assertEqual((talk(address, 8080, outside=True), talk(address, 8081, outside=True)), ("a", "b"))

    def test_owner_is_started_anew(self):
        """By hand: its addresses go with it into a new namespace, the others stay in what is left until they are started as well."""

        self.serve("a", "--network=pod", "--stop-timeout=0", "-p", "8080-8081:80-81")
        self.serve("b", "--network=container:a", "--stop-timeout=0", port=81)
        networks = self.inspect("a")["Networks"]
        lib.moorctl("restart", "a")
        self.listens("a")
        self.assertEqual(self.inspect("a")["Networks"], networks)
        self.assertNotEqual(self.netns("a"), self.netns("b"))
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        self.assertEqual(talk(HOST6, 8080, outside=True), "a")
        self.assertIsNone(talk(HOST4, 8081, outside=True, timeout=1))
        self.assertEqual(self.devices("b"), 1)
        lib.moorctl("restart", "b")
        self.listens("b", 81)
        self.assertEqual(self.netns("a"), self.netns("b"))
        self.assertEqual(talk(HOST4, 8081, outside=True), "b")
        self.assertEqual(len(links()), 1)

    def test_owner_goes(self):
        """With its record its addresses are free: who shares them has them no longer, whoever gets them next has them alone."""

        for ends in (("rm", "-f"), ("kill",)):
            self.serve("a", "--network=pod", *(["--rm"] if ends == ("kill",) else []))
            self.serve("b", "--network=container:a", port=81)
            self.serve("c", "--network=container:b", port=82)
            addresses = self.address("a"), self.address("a", 6)
            lib.moorctl(*ends, "a")
            lib.wait_until(lambda: not self.exists("a"), what="it is removed")
            self.assertEqual((self.devices("b"), self.devices("c")), (1, 1))
            self.assertEqual(links(), set())
            self.assertEqual(self.inspect("b")["State"], "running")
            self.assertEqual(self.inspect("b")["Networks"], [])
            self.serve("d", f"--network=pod:ip={addresses[0]},ip={addresses[1]}")
            for address in addresses:
                self.assertEqual(talk(address, 80), "d")
                self.assertIsNone(talk(address, 81, timeout=1))
            # It cannot be started without.
            lib.moorctl("stop", "-t", "0", "b")
            result = lib.moorctl("start", "b", check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertRegex(result.stderr, r"\ba\b")
            lib.moorctl("rm", "-f", "b", "c", "d")

    def test_owner_ends_and_comes_back(self):
        self.serve("a", "--network=pod", "-p", "8080-8081:80-81")
        self.serve("b", "--network=container:a", port=81)
        inode = self.netns("b")
        lib.moorctl("stop", "-t", "0", "a")
        # Its ports are closed; what it has shared goes on, and is nobody else's.
        self.assertIsNone(talk(HOST4, 8081, outside=True, timeout=1))
        for address in (self.address("a"), self.address("a", 6)):
            self.assertEqual(talk(address, 81), "b")
        self.assertEqual(self.netns("b"), inode)
        lib.kill9_moored()
        self.assertEqual(talk(self.address("a"), 81), "b")
        lib.moorctl("start", "a")
        self.listens("a")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        self.assertEqual(self.devices("b"), 1)

    def test_who_shares_comes_back(self):
        self.serve("a", "--network=pod", "-p", "8081:81")
        self.serve("b", "--network=container:a", *RESTARTS, port=81)
        before, inode = self.inspect("b"), self.netns("a")
        with daemon_away():
            os.kill(before["LeaderPID"], signal.SIGKILL)
            lib.wait_until(lambda: int(lib.unit_properties(unit_of("b"), "MainPID")["MainPID"]) not in (0, before["LeaderPID"]), what="the next run")
        self.is_again("b", before)
        self.assertEqual(self.netns("b"), inode)
        lib.wait_until(lambda: talk(HOST4, 8081, outside=True) == "b", what="it serves again")

    def test_paths(self):
        """Namespaces of "ip netns" are joined, are as they were, and stay."""

        def state():
            return lib.run(["ip", "-n", NEAR.netns, "addr"]).stdout, lib.run(["ip", "-n", NEAR.netns, "-4", "route"]).stdout

        before, inode = state(), os.stat(f"/run/netns/{NEAR.netns}").st_ino
        option = f"--network=ns:/run/netns/{NEAR.netns}"
        self.serve("a", option, *RESTARTS)
        self.serve("b", option, port=81)
        self.serve("c", "--network=container:a", port=82)
        for name in ("a", "b", "c"):
            self.assertEqual(self.netns(name), inode)
            self.assertEqual((self.inspect(name)["Networks"], self.inspect(name)["Ports"]), ([], []))
        for port, word in ((80, "a"), (81, "b"), (82, "c")):
            self.assertEqual(talk(OUTSIDE4, port), word)
            self.assertEqual(talk(OUTSIDE6, port), word)
        a = self.inspect("a")
        os.kill(a["LeaderPID"], signal.SIGKILL)
        self.is_again("a", a)
        self.assertEqual(self.netns("a"), inode)
        lib.moorctl("rm", "-f", "a", "b", "c")
        self.assertEqual(state(), before)
        self.assertEqual(links(), set())

    def test_bad_paths(self):
        for option, text in (("ns:/run/netns/nosuch", "/run/netns/nosuch"), ("ns:relative", "relative"), ("ns:/etc/passwd", "/etc/passwd"),
                             ("ns:/proc/1/ns/mnt", "/proc/1/ns/mnt"), ("ns:", "Networks"), ("container:", "Networks"), ("container:nosuch", "nosuch")):
            with self.subTest(option):
                self.fails("--rm", f"--network={option}", BUSYBOX, "true", text=text)
        self.detach("a", "--network=pod")
        for options in (("-p", "80"), ("-P",), ("--ip=192.0.2.77",), ("--mac-address=02:00:5e:00:53:01",)):
            for mode in ("container:a", f"ns:/run/netns/{NEAR.netns}"):
                result = lib.moorctl("run", "--rm", f"--network={mode}", *options, BUSYBOX, "true", check=False)
                self.assertEqual(result.returncode, 125, (mode, options))
        self.assertEqual(len(links()), 1)
        # It is gone between two starts.
        lib.run(["ip", "netns", "add", "passing"])
        self.addCleanup(lib.run, ["ip", "netns", "del", "passing"], check=False)
        self.detach("b", "--network=ns:/run/netns/passing")
        lib.moorctl("stop", "-t", "0", "b")
        lib.run(["ip", "netns", "del", "passing"])
        self.assertIn("/run/netns/passing", lib.moorctl("start", "b", check=False).stderr)
