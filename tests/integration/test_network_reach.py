# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who reaches whom, by IPv4 and IPv6: two outside hosts, the host, containers of one network, of another, of an internal one."""

import concurrent.futures
import contextlib
import pathlib
import re
import socket
import struct

import lib
from lib_container import BUSYBOX, daemon_away
from lib_network import ECHO, FAR, HOST4, HOST6, NEAR, OUTSIDE4, NetworkTestCase, connect, elements, links, netns_of, outside_host, talk

HOSTS = (NEAR.host4, FAR.host4, NEAR.host6, FAR.host6)
PROTOCOLS = ("tcp", "udp")
NETWORKS = {"lan": (), "other": (), "closed": ("--internal",)}
# How long is waited for what is not to come.
SILENCE = 1.0
SCTP = 132
SCTP_TAG = 0x12345678

# Sends a stream to somebody who sends it back, compares, and tells for each line that it gets how much has come back; then, at the end
# of its input, when all has.
PUMP = """
import random, socket, sys, threading
block = random.Random(7).randbytes(65521)
twice = block * 2
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(30)
done, sent, back = threading.Event(), 0, 0
def send():
    global sent
    while not done.wait(0.002):
        at = sent % len(block)
        s.sendall(twice[at:at + 16384])
        sent += 16384
    s.shutdown(socket.SHUT_WR)
def receive():
    global back
    while data := s.recv(32768):
        at = back % len(block)
        if data != twice[at:at + len(data)]:
            print("other bytes", flush=True)
            return
        back += len(data)
threads = [threading.Thread(target=f, daemon=True) for f in (send, receive)]
for t in threads:
    t.start()
for line in sys.stdin:
    print(back, flush=True)
done.set()
for t in threads:
    t.join(40)
print("all" if back == sent > 0 else f"{back} of {sent}", flush=True)
"""

ECHO_SERVER = """
import socket, threading
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 7))
s.listen()
print("ready", flush=True)
def serve(c):
    while data := c.recv(32768):
        c.sendall(data)
    c.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],)).start()
"""

# One packet of a protocol of which the kernel may have no sockets: argv: protocol, address, its bytes. Or, with "listen", the first
# that comes for that port with that byte behind SCTP's header, the type of what follows: who sent it, and its bytes. (A kernel that has
# such sockets answers, too: nobody is there.)
RAW = """
import socket, struct, sys
protocol = int(sys.argv[1])
family = socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET
s = socket.socket(family, socket.SOCK_RAW, protocol)
s.settimeout(10)
if sys.argv[2] == "send":
    s.sendto(bytes.fromhex(sys.argv[4]), (sys.argv[3], 0))
else:
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(4096)
        if family == socket.AF_INET:
            data = data[(data[0] & 15) * 4:]
        if (struct.unpack(">H", data[2:4])[0], data[12]) == (int(sys.argv[4]), int(sys.argv[5])):
            print(peer[0], data.hex(), flush=True)
            break
"""


def is_six(address):
    return ":" in address


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def sctp_packet(source, destination, tag, chunk):
    """RFC 9260, section 3.1"""

    header = struct.pack(">HHI", source, destination, tag)
    # Least significant byte first, other than all else in it.
    return header + struct.pack("<I", crc32c(header + b"\0\0\0\0" + chunk)) + chunk


def sctp_init(source, destination):
    """Asks for an association (section 3.3.2)."""

    return sctp_packet(source, destination, 0, struct.pack(">BBHIIHHI", 1, 0, 20, SCTP_TAG, 65536, 1, 1, 1))


def sctp_init_ack(source, destination):
    """The answer to that, under the tag that it has asked for; with a cookie (section 3.3.3)."""

    return sctp_packet(source, destination, SCTP_TAG, struct.pack(">BBHIIHHIHHI", 2, 0, 28, SCTP_TAG + 1, 65536, 1, 1, 1, 7, 8, 0))


class ReachTestCase(NetworkTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(outside_host(FAR))
        for name, options in NETWORKS.items():
            lib.moorctl("network", "create", "--ipv6", *options, name)
            cls.addClassCleanup(lib.moorctl, "network", "rm", "--ignore", name, check=False)

    def place(self, name, *options, port=0):
        """A container, and the words that execute a command in its network. With a port: it answers there with its name."""

        self.detach(name, *options)
        where = netns_of(self.inspect(name))
        if port:
            self.answers(where, name, port)
        return where

    def both(self, name):
        return self.address(name), self.address(name, 6)

    def assert_answered(self, word, where, addresses, port, protocols=PROTOCOLS, seen=None):
        """seen: as whom who asks is seen, of each family."""

        for address in addresses:
            for protocol in protocols:
                with self.subTest(where=where, address=address, protocol=protocol):
                    said = talk(address, port, "x", protocol, outside=where)
                    self.assertIsNotNone(said)
                    self.assertEqual(said.split()[0], word)
                    if seen:
                        self.assertEqual(said.split()[1], seen[is_six(address)])

    def assert_silent(self, *calls):
        """Nobody answers; calls: where, addresses, port. All at the same time, as each takes its time."""

        asked = [(where, address, port, protocol) for where, addresses, port in calls for address in addresses for protocol in PROTOCOLS]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda a: talk(a[1], a[2], "x", a[3], outside=a[0], timeout=SILENCE), asked))
        self.assertEqual([(a, s) for a, s in zip(asked, said) if s is not None], [])

    def bridges_call(self, on):
        """Whether bridges call on nf_tables; false if there is no such setting here (br_netfilter is not loaded): they do not."""

        path = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
        if not path.exists():
            return False
        self.addCleanup(lib.moorctl, "network", "reload")
        self.addCleanup(path.write_text, path.read_text(encoding="ascii"), encoding="ascii")
        path.write_text(str(int(on)), encoding="ascii")
        lib.moorctl("network", "reload")
        return True

    def pings(self, where, address):
        return lib.run([*where, "busybox", "ping", "-c1", "-W2", address], check=False).returncode == 0


class ReachTest(ReachTestCase):
    hosts = "ab"

    def test_published_port(self):
        web = self.place("web", "--network=lan", "-p", "8080:80", "-p", "8080:80/udp", port=80)
        addresses = self.both("web")
        # From outside, by whichever of the host's addresses; who asks is seen as who he is.
        for host in (NEAR, FAR):
            self.assert_answered("web", host, HOSTS, 8080, seen=(host.outside4, host.outside6))
        # From the host, by its loopback as well, and by the container's own addresses.
        self.assert_answered("web", (), (*HOSTS, "127.0.0.1"), 8080)
        self.assert_answered("web", (), addresses, 80)
        with contextlib.closing(connect("localhost", 8080)) as s:
            self.assertEqual(s.recv(100).split()[0], b"web")
        # From a sibling, one of another network, and from itself.
        sibling = self.place("sibling", "--network=lan")
        stranger = self.place("stranger", "--network=other")
        for where in (sibling, stranger, web):
            self.assert_answered("web", where, HOSTS, 8080)
        self.assert_answered("web", sibling, addresses, 80, seen=self.both("sibling"))
        self.assert_answered("web", web, (*addresses, "127.0.0.1"), 80)
        # Not another port, nor the container past the port, also for who knows the way; nor one port's protocol by another.
        self.assert_silent((NEAR, (HOST4, HOST6), 80), (NEAR, (HOST4, HOST6), 8081), (NEAR, addresses, 80), (FAR, addresses, 80),
                           ((), HOSTS, 80), (stranger, addresses, 80))
        lib.moorctl("stop", "-t", "0", "web")
        self.assert_silent((NEAR, (HOST4, HOST6), 8080), ((), (HOST4, HOST6, "127.0.0.1"), 8080), (sibling, (HOST4, HOST6), 8080))

    def test_the_loopback_of_ipv6(self):
        self.bridges_call(False)
        web = self.place("web", "--network=lan", "-p", "8080:80", "-p", "8080:80/udp", "-p", "[::1]:8081:80", port=80)
        other = self.place("other", "--network=other", "-p", "8082:80", "-p", "8082:80/udp", port=80)
        self.assert_answered("web", (), ("::1",), 8080)
        self.assert_answered("other", (), ("::1",), 8082)
        # By that address alone, and by nobody else.
        self.assert_answered("web", (), ("::1",), 8081, protocols=("tcp",))
        self.assert_silent((NEAR, (HOST4, HOST6), 8081), (other, (HOST4, HOST6), 8081), ((), (HOST4, HOST6, "127.0.0.1"), 8081),
                           (web, ("::1",), 8080))
        # A connection goes on while moored is away, as any other.
        with contextlib.closing(connect("::1", 8080)) as s:
            lib.kill9_moored()
            self.assertEqual(s.recv(100).split()[0], b"web")
        self.assert_answered("web", (), ("::1",), 8080)
        if self.bridges_call(True):
            self.assert_silent(((), ("::1",), 8080))
            self.assert_answered("web", (), (HOST6, "127.0.0.1"), 8080)
            result = lib.moorctl("run", "--rm", "--network=lan", "-p", "[::1]:8083:80", BUSYBOX, "true", check=False)
            self.assertIn("bridge-nf-call-ip6tables", result.stderr)

    def test_by_name(self):
        self.serve("web", "--network=lan:alias=shop", "-p", "8080:80")
        self.detach("sibling", "--network=lan")
        self.detach("stranger", "--network=other")
        for who in ("sibling", "web"):
            for name in ("web", "shop", "web.lan.moored.internal", "shop.lan.moored.internal"):
                self.assertEqual(self.ask(who, name), "web", (who, name))
        found = lib.moorctl("exec", "sibling", "nslookup", "-type=aaaa", "web.lan.moored.internal").stdout
        self.assertRegex(found, rf"(?m)^Address(?: \d+)?: {re.escape(self.address('web', 6))}$")
        self.assertEqual(self.ask("sibling", self.address("web", 6)), "web")
        for name in ("web", "shop", "web.lan.moored.internal"):
            self.assertEqual(self.ask("stranger", name), "", name)
        # Who is in an internal network finds its own.
        self.serve("db", "--network=closed")
        self.detach("inmate", "--network=closed")
        self.assertEqual(self.ask("inmate", "db"), "db")
        self.assertEqual(self.ask("inmate", "web"), "")

    def test_internal_network(self):
        self.answers(NEAR, "outside", 90)
        db = self.place("db", "--network=closed", port=80)
        inmate = self.place("inmate", "--network=closed", "--cap-add=NET_ADMIN")
        stranger = self.place("stranger", "--network=lan", "-p", "8080:80", "-p", "8080:80/udp", port=80)
        self.assert_answered("outside", stranger, (NEAR.outside4, NEAR.outside6), 90)
        self.assert_answered("db", inmate, self.both("db"), 80, seen=self.both("inmate"))
        for version in ("-4", "-6"):
            self.assertEqual(lib.run([*inmate, "ip", version, "route", "show", "default"], check=False).stdout, "")
        # Nor is there a way for who makes himself a route.
        subnets = lib.moorctl_json("network", "inspect", "closed")[0]["Subnets"]
        for version, (_, gateway, _) in zip(("-4", "-6"), sorted(subnets, key=lambda s: is_six(s[0]))):
            lib.moorctl("exec", "inmate", "ip", version, "route", "add", "default", "via", gateway)
        self.assert_silent((inmate, (NEAR.outside4, NEAR.outside6), 90), (inmate, self.both("stranger"), 80), (inmate, HOSTS, 8080),
                           (NEAR, self.both("db"), 80), (FAR, self.both("db"), 80), (stranger, self.both("db"), 80))
        for address in (NEAR.outside4, NEAR.outside6, *self.both("stranger")):
            self.assertFalse(self.pings(inmate, address), address)
        for options in (("-p", "80"), ("-p", "[::]:80:80")):
            self.assertIn("internal", lib.moorctl("run", "--rm", "--network=closed", *options, BUSYBOX, "true", check=False).stderr)

    def test_two_networks_do_not_see_each_other(self):
        a = self.place("a", "--network=lan", port=80)
        b = self.place("b", "--network=other", port=80)
        c = self.place("c", "--network=default", port=80)
        both = self.place("both", "--network=lan", "--network=other")
        one, two, three = self.both("a"), self.both("b"), (self.address("c"),)
        self.assert_answered("a", (), one, 80)
        self.assert_answered("b", (), two, 80)
        self.assert_answered("c", (), three, 80)
        self.assert_silent((a, (*two, *three), 80), (b, (*one, *three), 80), (c, (one[0], two[0]), 80))
        for where, addresses in ((a, two), (b, one)):
            for address in addresses:
                self.assertFalse(self.pings(where, address), address)
        # Who is on both sees both, and is no way from one to the other.
        self.assert_answered("a", both, one, 80)
        self.assert_answered("b", both, two, 80)
        gateways = [(self.address("both", f), self.address("b", f)) for f in (4, 6)]
        for gateway, address in gateways:
            lib.run([*a, "ip", "route", "replace", address, "via", gateway])
        self.assert_silent((a, two, 80))

    def test_port_of_resolvers(self):
        """Whoever publishes port 53 gets what comes for it from elsewhere, and no container's questions."""

        self.serve("web", "--network=lan")
        self.place("dns", "--network=lan", "--stop-timeout=0", "-p", "53:53", "-p", "53:53/udp", port=53)
        self.detach("sibling", "--network=lan")
        self.assert_answered("dns", NEAR, (HOST4, HOST6), 53)
        self.assert_answered("dns", (), ("127.0.0.1",), 53)
        for who in ("sibling", "dns"):
            self.assertEqual(self.ask(who, "web"), "web")
        # Once more, with the resolver running already.
        lib.moorctl("restart", "dns")
        self.assertEqual(self.ask("sibling", "web"), "web")

    def test_the_way_out(self):
        for host in (NEAR, FAR):
            self.answers(host, host.netns, 90)
        a = self.place("a", "--network=lan")
        # Under the host's address of that link.
        for host in (NEAR, FAR):
            self.assert_answered(host.netns, a, (host.outside4, host.outside6), 90, seen=(host.host4, host.host6))
            self.assertTrue(self.pings(a, host.outside4) and self.pings(a, host.outside6))
        b = self.place("b", "--network=lan", "--network=closed")
        self.assert_answered(NEAR.netns, b, (NEAR.outside4, NEAR.outside6), 90)

    def test_sctp(self):
        """Without sockets of SCTP, which few kernels have: a packet arrives at the container's port, with its sum right, and the answer
        comes from the port that was asked."""

        self.detach("a", "--network=lan", "-p", "9999:36412/sctp")
        self.assertIn("9999->36412/sctp", lib.moorctl("ps").stdout)
        where = netns_of(self.inspect("a"))

        def listen(place, any_address, port, kind):
            listener = self.python(place, RAW, SCTP, "listen", any_address, port, kind)
            self.assertEqual(listener.stdout.readline(), "ready\n")
            return listener

        for target, any_address, source in ((HOST4, "0.0.0.0", NEAR.outside4), (HOST6, "::", NEAR.outside6)):
            listener, asker = listen(where, any_address, 36412, 1), listen(NEAR, any_address, 5000, 2)
            for place, address, packet in ((NEAR, target, sctp_init(5000, 9999)), (where, source, sctp_init_ack(36412, 5000))):
                self.assertEqual(self.python(place, RAW, SCTP, "send", address, packet.hex()).wait(10), 0)
            self.assertEqual(listener.stdout.readline().split(), [source, sctp_init(5000, 36412).hex()])
            self.assertEqual(asker.stdout.readline().split(), [target, sctp_init_ack(9999, 5000).hex()])

    def test_ports_of_the_image(self):
        layer = lib.Tar().file("x", b"")
        reference = lib.push(lib.Image([layer], {"Cmd": ["/bin/sh"], "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90-92": {}, "36412/sctp": {}}}),
                             "network/exposed:test")
        lib.moorctl("pull", "-q", reference)
        self.addCleanup(lib.moorctl, "rmi", "-f", reference, check=False)
        # Of what the image names one is published as asked for.
        lib.moorctl("create", "--name=a", "--network=lan", "-P", "-p", "8053:53/udp", reference)
        ports = {(p[0], p[3], p[4]): p[2] for p in self.inspect("a")["Ports"]}
        self.assertEqual(set(ports), {("tcp", 80, 1), ("udp", 53, 1), ("tcp", 90, 3), ("sctp", 36412, 1)})
        self.assertEqual(ports["udp", 53, 1], 8053)
        self.assertEqual(len(set(ports.values())), 4)
        for port in ports.values():
            self.assertGreater(port, 0)
        lib.moorctl("rm", "a")

    def test_taken_at_the_start(self):
        """By a program that began to listen after the container was made."""

        lib.moorctl("create", "--name=a", "--network=lan", "-p", "8080:80", "-p", "8085:85/udp", BUSYBOX, "sleep", "1000")
        for kind, family, address, port in ((socket.SOCK_STREAM, socket.AF_INET, "0.0.0.0", 8080), (socket.SOCK_STREAM, socket.AF_INET6, "::", 8080),
                                            (socket.SOCK_STREAM, socket.AF_INET, "127.0.0.1", 8080), (socket.SOCK_DGRAM, socket.AF_INET6, "::", 8085)):
            with self.subTest(address=address, port=port), contextlib.closing(socket.socket(family, kind)) as s:
                s.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    s.listen()
                result = lib.moorctl("start", "a", check=False)
                self.assertNotEqual(result.returncode, 0)
                self.assertRegex(result.stderr, rf"\b{port}\b")
                self.assertNotIn(str(port), " ".join(elements()))
                lib.wait_until(lambda: not links(), what="nothing is left")
        # Who only asks others from that port is not in the way.
        self.answers(NEAR, "outside", 90)
        with contextlib.closing(socket.socket()) as s:
            s.bind(("", 8080))
            s.connect((OUTSIDE4, 90))
            lib.moorctl("start", "a")

    def test_an_address_that_comes_back(self):
        """Who has had it is not remembered by those who have talked to him: neither by the host nor by siblings."""

        sibling = self.place("sibling", "--network=lan")
        answers = self.answers(self.place("old", "--network=lan"), "old")
        four, six = addresses = self.both("old")
        for where in ((), sibling):
            self.assert_answered("old", where, addresses, 80)
        self.end(answers)
        lib.moorctl("rm", "-f", "old")
        self.place("new", f"--network=lan:ip={four},ip={six}", "-p", "8080:80", "-p", "8080:80/udp", port=80)
        self.assertEqual(self.both("new"), addresses)
        for where in ((), sibling):
            self.assert_answered("new", where, addresses, 80)
        self.assert_answered("new", NEAR, (HOST4, HOST6), 8080)


class ConnectionTest(ReachTestCase):
    hosts = "ab"

    def test_connections_go_on(self):
        """While moored is killed, away, and started: those that have come by a published port, and those out, with data both ways."""

        self.detach("a", "--network=lan", "-p", "7:7", command=ECHO)
        self.listens("a", 7)
        self.assertEqual(self.python(NEAR, ECHO_SERVER).stdout.readline(), "ready\n")
        where = netns_of(self.inspect("a"))
        pumps = {f"{'out' if start else 'in'} by {address}": self.python(start or NEAR, PUMP, address, 7)
                 for start, address in ((None, HOST4), (None, HOST6), (where, NEAR.outside4), (where, NEAR.outside6))}
        pumps["by the loopback"] = self.python((), PUMP, "127.0.0.1", 7)

        def amounts():
            for p in pumps.values():
                p.stdin.write("\n")
                p.stdin.flush()
            return {name: int(p.stdout.readline()) for name, p in pumps.items()}

        def assert_progress():
            before = amounts()
            lib.wait_until(lambda: all(now > before[name] for name, now in amounts().items()), what="all go on")

        assert_progress()
        before = self.inspect("a")
        for _ in range(3):
            lib.kill9_moored()
            assert_progress()
        with daemon_away():
            assert_progress()
        lib.moorctl("network", "reload")
        assert_progress()
        lib.run(["systemctl", "restart", "moored.service"])
        assert_progress()
        self.assertEqual(self.inspect("a")["Networks"], before["Networks"])
        for name, p in pumps.items():
            p.stdin.close()
            self.assertEqual(p.stdout.readline(), "all\n", name)
            p.wait(10)
