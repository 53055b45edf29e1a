# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers on networks: addresses, published ports, names; what restarts and kills leave of them."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import lib
from lib_container import BUSYBOX, OBEDIENT, daemon_away, unit_of
from lib_network import ECHO, HOST4, HOST6, NETNS, NetworkTestCase, connect, elements, in_outside, links, netns_of, talk


class PublishTest(NetworkTestCase):
    hosts = "ab"

    def test_from_everywhere(self):
        self.serve("web", "-p", "8080:80")
        address = self.address("web")
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        self.assertEqual(talk("127.0.0.1", 8080), "web")
        self.assertEqual(talk(HOST4, 8080), "web")
        self.assertEqual(talk(address, 80), "web")
        # A sibling, by its address and by the host's; itself by the host's.
        self.detach("sibling", "--network=default")
        self.assertEqual(self.ask("sibling", address), "web")
        self.assertEqual(self.ask("sibling", HOST4, 8080), "web")
        self.assertEqual(self.ask("web", HOST4, 8080), "web")
        # Not from outside by its own address, or another port.
        self.assertIsNone(talk(HOST4, 8081, outside=True, timeout=1))

        now = self.inspect("web")
        self.assertEqual(now["Ports"], [["tcp", "", 8080, 80, 1]])
        self.assertEqual(now["Network"], "default")
        self.assertEqual(now["Networks"][0][:2], ["default", "eth0"])
        self.assertEqual(now["NetworkNamespace"], f"/proc/{now['LeaderPID']}/ns/net")
        self.assertIn("8080->80/tcp", lib.moorctl("ps").stdout)
        lib.moorctl("stop", "-t", "0", "web")
        self.assertIsNone(talk("127.0.0.1", 8080, timeout=1))
        self.assertNotIn("8080", " ".join(elements()))

    def test_one_address(self):
        self.serve("a", "-p", f"{HOST4}:8080:80")
        self.serve("b", "-p", "127.0.0.1:8080:80")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        self.assertEqual(talk(HOST4, 8080), "a")
        self.assertEqual(talk("127.0.0.1", 8080), "b")

    def test_range_and_free_port(self):
        self.serve("a", "-p", "9000-9009:70-79", "-p", "80", port=75)
        self.assertEqual(talk("127.0.0.1", 9005), "a")
        ports = self.inspect("a")["Ports"]
        self.assertEqual(ports[0], ["tcp", "", 9000, 70, 10])
        self.assertEqual((ports[1][0], ports[1][3]), ("tcp", 80))
        self.assertGreater(ports[1][2], 0)
        self.assertIn("9000-9009->70-79/tcp", lib.moorctl("ps").stdout)

    def test_free_ports(self):
        """Those that moored chooses are open, each one's own, and the same after a restart."""

        self.serve("a", "--stop-timeout=0", "-p", "80", "-p", "127.0.0.1::80", "-p", "81/udp")
        self.serve("b", "--stop-timeout=0", "-p", "80")
        self.answers(netns_of(self.inspect("a")), "a", 81)
        ports = {name: [p[2] for p in self.inspect(name)["Ports"]] for name in ("a", "b")}
        self.assertEqual(len({*ports["a"], *ports["b"]}), 4)

        def check():
            for name in ("a", "b"):
                self.assertEqual([p[2] for p in self.inspect(name)["Ports"]], ports[name])
                self.assertEqual(talk(HOST4, ports[name][0], outside=True), name)
                self.assertEqual(talk("127.0.0.1", ports[name][0]), name)
            self.assertEqual(talk("127.0.0.1", ports["a"][1]), "a")
            self.assertIsNone(talk(HOST4, ports["a"][1], outside=True, timeout=1))

        check()
        self.assertEqual(talk(HOST4, ports["a"][2], say="x", protocol="udp", outside=True).split()[0], "a")
        lib.kill9_moored()
        for name in ("a", "b"):
            lib.moorctl("restart", name)
            self.listens(name)
        check()

    def test_large_range(self):
        """As many ports as a container can have; nobody waits for them."""

        self.serve("a", "-p", "20001-24096:1-4096", port=80)
        self.assertEqual(talk(HOST4, 20080, outside=True), "a")
        self.assertEqual(len([e for e in elements() if e.startswith("ports4 ")]), 4096)
        self.assertIn("the port is that of the container a",
                      lib.moorctl("run", "--rm", "-p", "24096:80", BUSYBOX, "true", check=False).stderr)
        lib.run(["nft", "flush", "ruleset"])
        lib.moorctl("network", "reload")
        self.assertEqual(talk(HOST4, 20080, outside=True), "a")
        lib.kill9_moored()
        self.assertEqual(talk(HOST4, 20080, outside=True), "a")
        lib.moorctl("stop", "-t", "0", "a")
        self.assertEqual([e for e in elements() if e.startswith("ports4 ")], [])
        with contextlib.closing(socket.create_server(("127.0.0.1", 30500))):
            result = lib.moorctl("run", "--rm", "-p", "30001-31001:1-1001", BUSYBOX, "true", check=False)
            self.assertIn("the port 30500/tcp", result.stderr)

    def test_udp(self):
        self.detach("a", "-p", "8053:53/udp")
        code = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53)); print('ready', flush=True)\n"
                "while True:\n d, p = s.recvfrom(100); s.sendto(b'got ' + d, p)")
        p = subprocess.Popen([*netns_of(self.inspect("a")), "python3", "-c", code], stdout=subprocess.PIPE, text=True)
        self.addCleanup(p.communicate)
        self.addCleanup(p.kill)
        self.assertEqual(p.stdout.readline(), "ready\n")
        self.assertEqual(talk(HOST4, 8053, say="x", protocol="udp", outside=True), "got x")
        self.assertEqual(talk("127.0.0.1", 8053, say="y", protocol="udp"), "got y")

    def test_exposed(self):
        self.serve("a", "-P", "--expose=80", "--expose=53/udp")
        ports = {(p[0], p[3]): p[2] for p in self.inspect("a")["Ports"]}
        self.assertEqual(set(ports), {("tcp", 80), ("udp", 53)})
        self.assertEqual(talk("127.0.0.1", ports["tcp", 80]), "a")

    def test_taken(self):
        self.serve("a", "-p", "8080:80")
        for options in (("-p", "8080:81"), ("-p", "127.0.0.1:8080:80"), ("-p", "8079-8080:1-2")):
            result = lib.moorctl("run", "--rm", *options, BUSYBOX, "true", check=False)
            self.assertEqual(result.returncode, 125)
            self.assertRegex(result.stderr, r"8080.*\ba\b", options)
        # Another protocol's is another port.
        self.run_container("-p", "8080:80/udp", BUSYBOX, "true")
        with contextlib.closing(socket.create_server(("", 8090))):
            result = lib.moorctl("run", "--rm", "-p", "8090:80", BUSYBOX, "true", check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("8090", result.stderr)
        self.run_container("-p", "8090:80", BUSYBOX, "true")

    def test_bad(self):
        """What cannot be is said, and leaves nothing, also of descriptors."""

        lib.moorctl("network", "create", "--subnet=10.126.0.0/30", "full")
        self.addCleanup(lib.moorctl, "network", "rm", "--ignore", "full", check=False)
        for options, text in ((("-p", "x"), "x"), (("-p", "80:80:80"), "80:80:80"), (("--network=nosuch",), "nosuch"),
                              (("--network=host", "-p", "80"), "host"), (("--network=none", "-P"), "none"),
                              (("--network=container:nosuch",), "nosuch"), (("--network=ns:/nosuch",), "/nosuch"),
                              (("--network=ns:/etc/passwd",), "/etc/passwd"), (("--network=cni:nosuch",), "nosuch"),
                              (("--ip=192.0.2.77",), "192.0.2.77"), (("--network=default:ip=x",), "x"),
                              (("--network=full:ip=10.126.0.1",), "10.126.0.1"), (("--network=full", "--network=nosuch"), "nosuch"),
                              (("--dns=x",), "DNS"), (("--add-host=a:b",), "Hosts")):
            with self.subTest(options=options):
                self.assert_holds_no_more(lambda o=options, t=text: self.fails("--rm", *o, BUSYBOX, "true", text=t))

    def test_bad_at_the_start(self):
        """The namespace has been made, and goes."""

        self.detach("other", "--network=default")
        before = links(), elements()

        def no_command():
            self.assertEqual(lib.moorctl("run", "--rm", "-p", "8080:80", BUSYBOX, "/nosuch", check=False).returncode, 127)

        def taken():
            lib.moorctl("create", "--name=a", "-p", "8090:80", BUSYBOX, "true")
            with contextlib.closing(socket.create_server(("", 8090))):
                self.assertIn("8090", lib.moorctl("start", "a", check=False).stderr)
            lib.moorctl("rm", "a")

        def no_bridge():
            lib.moorctl("network", "create", "--interface-name=bad1", "bad")
            lib.run(["ip", "link", "add", "bad1", "type", "veth", "peer", "name", "bad2"])
            self.assertIn("bad1", lib.moorctl("run", "--rm", "--network=bad", BUSYBOX, "true", check=False).stderr)
            lib.run(["ip", "link", "del", "bad1"])
            lib.moorctl("network", "rm", "bad")

        for function in (no_command, taken, no_bridge):
            with self.subTest(function=function.__name__):
                self.assert_holds_no_more(function)
                lib.wait_until(lambda: (links(), elements()) == before, what=f"all is gone: {links()}, {elements()}")
        lib.moorctl("rm", "-f", "other")


class AddressTest(NetworkTestCase):
    def test_what_is_in_the_container(self):
        text = self.sh("hostname; cat /etc/hosts /etc/resolv.conf; ip addr; ip route; ls /sys/class/net", "--network=default", "--name=web",
                       "--hostname=shop", "--add-host=db:192.0.2.9", "--add-host=me:host-gateway", "--dns=192.0.2.53", "--dns-search=example.org")
        address = re.search(r"inet (10\.\d+\.\d+\.\d+)/\d+ ", text)[1]
        self.assertTrue(text.startswith("shop\n"))
        self.assertRegex(text, rf"(?m)^{re.escape(address)}\tshop web")
        self.assertIn("192.0.2.9\tdb\n", text)
        self.assertRegex(text, r"(?m)^10\.\d+\.\d+\.1\tme$")
        self.assertIn("nameserver 192.0.2.53\nsearch example.org\n", text)
        self.assertRegex(text, r"(?m)^default via 10\.")
        self.assertIn("eth0\n", text)
        # Its own files can be written.
        self.sh("echo 192.0.2.1 x >>/etc/hosts && echo nameserver 192.0.2.1 >/etc/resolv.conf", "--network=default")

    def test_kept(self):
        self.serve("a", "-p", "8080:80", "--mac-address=02:00:00:00:00:77")
        before = self.inspect("a")["Networks"]
        self.assertEqual(before[0][2], "02:00:00:00:00:77")
        lib.moorctl("stop", "-t", "0", "a")
        self.detach("b", "--network=default")
        self.assertNotEqual(self.inspect("b")["Networks"][0][3], before[0][3])
        lib.moorctl("start", "a")
        self.listens("a")
        self.assertEqual(self.inspect("a")["Networks"], before)
        self.assertEqual(talk("127.0.0.1", 8080), "a")
        self.assertIn("02:00:00:00:00:77", lib.moorctl("exec", "a", "ip", "link", "show", "eth0").stdout)
        # While it exists nobody else gets its address.
        address = before[0][3][0].split("/")[0]
        self.assertIn(address, lib.moorctl("run", "--rm", f"--ip={address}", BUSYBOX, "true", check=False).stderr)
        lib.moorctl("rm", "-f", "a")
        self.assertIn(address, self.sh("ip addr", f"--ip={address}"))

    def test_two_networks(self):
        lib.moorctl("network", "create", "blue")
        self.addCleanup(lib.moorctl, "network", "rm", "blue", check=False)
        self.detach("a", "--network=default", "--network=blue:interface_name=blue0,alias=x")
        networks = self.inspect("a")["Networks"]
        self.assertEqual([n[:2] for n in networks], [["default", "eth0"], ["blue", "blue0"]])
        self.assertEqual(networks[1][4], ["x"])
        text = lib.moorctl("exec", "a", "ip", "addr").stdout
        for n in networks:
            self.assertIn(n[3][0], text)
        lib.moorctl("rm", "-f", "a")

    def test_ipv6(self):
        lib.moorctl("network", "create", "--ipv6", "six")
        self.addCleanup(lib.moorctl, "network", "rm", "six", check=False)
        self.serve("a", "--network=six", "-p", "8080:80")
        self.assertEqual(talk(HOST6, 8080, outside=True), "a")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        self.assertEqual(talk(HOST6, 8080), "a")
        self.assertEqual(talk(self.address("a", 6), 80), "a")
        lib.moorctl("rm", "-f", "a")

    def test_another_runtime(self):
        for runtime in ("crun", "runc"):
            self.serve(runtime, f"--runtime={runtime}", "-p", "8080:80")
            self.assertEqual(talk(HOST4, 8080, outside=True), runtime)
            self.assertIn(self.inspect(runtime)["Networks"][0][3][0], lib.moorctl("exec", runtime, "ip", "addr").stdout)
            lib.moorctl("rm", "-f", runtime)


class JoinTest(NetworkTestCase):
    def netns(self, name):
        return os.stat(f"/proc/{self.inspect(name)['LeaderPID']}/ns/net").st_ino

    def test_container(self):
        self.serve("a", "-p", "8080:80")
        self.detach("b", "--network=container:a")
        self.assertEqual(self.netns("a"), self.netns("b"))
        self.assertEqual(self.ask("b", "127.0.0.1"), "a")
        self.assertEqual(self.inspect("b")["Networks"], self.inspect("a")["Networks"])
        self.assertEqual(self.inspect("b")["Ports"], [])
        self.assertIn("a", lib.moorctl("exec", "b", "cat", "/etc/hosts").stdout)
        # It goes on where the other has ended, and can start again by itself, but not be started anew.
        lib.moorctl("stop", "-t", "0", "a")
        self.assertIn(self.address("a"), lib.moorctl("exec", "b", "ip", "addr").stdout)
        lib.moorctl("stop", "-t", "0", "b")
        result = lib.moorctl("start", "b", check=False)
        self.assertIn("a", result.stderr)
        self.assertNotEqual(result.returncode, 0)

    def test_path(self):
        self.detach("a", f"--network=ns:/run/netns/{NETNS}")
        self.assertEqual(self.netns("a"), os.stat(f"/run/netns/{NETNS}").st_ino)

    def test_host(self):
        self.detach("a", "--network=host")
        self.assertEqual(self.netns("a"), os.stat("/proc/1/ns/net").st_ino)


class LifeTest(NetworkTestCase):
    hosts = "ab"

    def test_connection_survives_the_daemon(self):
        self.detach("a", "-p", "7:7", command=ECHO)
        self.listens("a", 7)
        p = in_outside(f"import socket, sys\ns = socket.create_connection(('{HOST4}', 7), 10)\n"
                       "for line in sys.stdin:\n s.sendall(line.encode())\n print(s.recv(100).decode(), end='')")
        self.addCleanup(p.kill)

        def says(word):
            p.stdin.write(word + "\n")
            p.stdin.flush()
            self.assertEqual(p.stdout.readline(), word + "\n")

        says("one")
        lib.kill9_moored()
        says("two")
        with daemon_away():
            says("three")
            with contextlib.closing(connect("127.0.0.1", 7)) as s:
                s.sendall(b"new\n")
                self.assertEqual(s.recv(100), b"new\n")
        says("four")
        p.stdin.close()
        p.wait()
        p.stdout.close()

    def test_automatic_restart_without_the_daemon(self):
        self.detach("a", "-p", "8080:80", "--restart=always", "-p", "RestartSec=50ms", command=("sh", "-c", "exec nc -ll -p 80 -e echo a"))
        self.listens("a")
        before = self.inspect("a")
        inode = os.stat(f"/proc/{before['LeaderPID']}/ns/net").st_ino
        with daemon_away():
            os.kill(before["LeaderPID"], signal.SIGKILL)
            pid = lib.wait_until(lambda: (u := lib.unit_properties(unit_of("a"), "MainPID", "SubState", "NRestarts"))["SubState"] == "running" and
                                 u["NRestarts"] == "1" and int(u["MainPID"]), what="the next run")
            self.assertEqual(os.stat(f"/proc/{pid}/ns/net").st_ino, inode)
            lib.wait_until(lambda: talk(HOST4, 8080, outside=True) == "a", what="it serves again")
            # Nothing of that is the container's to see.
            self.assertFalse([f for f in os.listdir(f"/proc/{pid}/fd") if int(f) > 2 and "net:" in os.readlink(f"/proc/{pid}/fd/{f}")])
            with open(f"/proc/{pid}/environ", encoding="ascii") as f:
                self.assertNotIn("LISTEN_", f.read())
        self.assertEqual(self.inspect("a")["Networks"], before["Networks"])
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")
        os.kill(pid, signal.SIGKILL)
        lib.wait_until(lambda: self.inspect("a")["LeaderPID"] not in (0, pid), what="one more run")
        lib.wait_until(lambda: talk(HOST4, 8080, outside=True) == "a", what="it serves again")

    def test_ended_while_the_daemon_was_away(self):
        self.serve("a", "-p", "8080:80")
        with daemon_away():
            os.kill(self.pid("a"), signal.SIGKILL)
            lib.wait_until(lambda: not links(), what="its device is gone")
        self.wait_state("a", "exited")
        self.assertNotIn("8080", " ".join(elements()))
        lib.moorctl("start", "a")
        self.listens("a")
        self.assertEqual(talk(HOST4, 8080, outside=True), "a")

    def pid(self, name):
        return int(lib.unit_properties(unit_of(name), "MainPID")["MainPID"])

    def test_killed_while_they_start(self):
        started = [self.popen("run", "-d", f"--name=c{i}", "-p", f"{8100 + i}:80", BUSYBOX, "sh", "-c", f"exec nc -ll -p 80 -e echo c{i}")
                   for i in range(6)]
        lib.wait_until(lambda: links(), interval=0, what="one has a device")
        lib.kill9_moored()
        for i, p in enumerate(started):
            out, err = p.communicate(timeout=60)
            # Who was not answered cannot know how far it has come.
            if p.returncode != 0:
                self.assertIn("went away", err, out)
                if not self.exists(f"c{i}"):
                    self.serve(f"c{i}", "-p", f"{8100 + i}:80")
                elif self.inspect(f"c{i}")["State"] == "created":
                    lib.moorctl("start", f"c{i}")
        for i in range(6):
            self.listens(f"c{i}")
            self.assertEqual(talk(HOST4, 8100 + i, outside=True), f"c{i}")
        addresses = [self.address(f"c{i}") for i in range(6)]
        self.assertEqual(len(set(addresses)), 6)

    def test_many_are_different(self):
        processes = [self.popen("run", "-d", f"--name=m{i}", "--network=default", BUSYBOX, "sh", "-c", OBEDIENT) for i in range(12)]
        for p in processes:
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, out + err)
        addresses = {self.address(f"m{i}") for i in range(12)}
        macs = {self.inspect(f"m{i}")["Networks"][0][2] for i in range(12)}
        self.assertEqual((len(addresses), len(macs), len(links())), (12, 12, 12))
        lib.moorctl("rm", "-f", *[f"m{i}" for i in range(12)])
        # The kernel takes its time.
        lib.wait_until(lambda: not links(), what="their devices are gone")


class OthersTest(NetworkTestCase):
    """Who else makes a container's first process."""

    def test_unit_file(self):
        path, drop_in = "/etc/moored/containers/net.conf", "/etc/systemd/system/moored@net.service.d"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(drop_in)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"[Container]\nImage={BUSYBOX}\nExec=nc -ll -p 80 -e echo net\nPublishPort=8080:80\nNetwork=default\nAddHost=db:192.0.2.9\nStopTimeout=200ms\n")
        with open(f"{drop_in}/restart.conf", "w", encoding="utf-8") as f:
            f.write("[Service]\nRestart=always\nRestartSec=50ms\n")
        self.addCleanup(self.remove_unit, path, drop_in)
        lib.run(["systemctl", "daemon-reload"])
        lib.run(["systemctl", "start", "moored@net.service"])
        self.listens("net")
        self.assertEqual(talk(HOST4, 8080, outside=True), "net")
        self.assertIn("192.0.2.9\tdb", lib.moorctl("exec", "net", "cat", "/etc/hosts").stdout)
        # Each run is a container of its own.
        pid = self.inspect("net")["LeaderPID"]
        os.kill(pid, signal.SIGKILL)
        lib.wait_until(lambda: self.exists("net") and self.inspect("net")["LeaderPID"] not in (0, pid), what="the next run")
        self.listens("net")
        self.assertEqual(talk(HOST4, 8080, outside=True), "net")
        lib.run(["systemctl", "restart", "moored@net.service"])
        self.listens("net")
        self.assertEqual(talk("127.0.0.1", 8080), "net")
        lib.wait_until(lambda: len(links()) == 1, what="the last run's device is gone")
        lib.run(["systemctl", "stop", "moored@net.service"])
        lib.wait_until(lambda: not elements(), what="its port is closed")
        self.assertNotIn("Failed to add fd", lib.journal("-u", "moored@net.service"))

    def remove_unit(self, path, drop_in):
        lib.run(["systemctl", "stop", "moored@net.service", "moored-image@net.service"], check=False)
        lib.run(["systemctl", "reset-failed", "moored@net.service", "moored-image@net.service"], check=False)
        lib.moorctl("rm", "-f", "net", check=False)
        os.unlink(path)
        shutil.rmtree(drop_in)
        lib.run(["systemctl", "daemon-reload"])

    def test_scope(self):
        text = self.sh("ip addr; cat /etc/hosts", "--scope", "--network=default", "-p", "8080:80", "--hostname=shop")
        self.assertRegex(text, r"inet (10\.[0-9.]+)/")
        self.assertRegex(text, r"(?m)^10\.\S+\tshop")

    def test_exec_and_stats(self):
        self.serve("a", "-p", "8080:80")
        talk("127.0.0.1", 8080)
        found = lib.moorctl_json("stats", "--no-stream", "a")
        self.assertGreater((found[0] if isinstance(found, list) else found)["NetworkReceivedBytes"], 0)
