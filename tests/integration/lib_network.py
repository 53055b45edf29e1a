# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of networks share: outside hosts, which are network namespaces, and what is said to a port."""

import collections
import contextlib
import json
import shutil
import socket
import subprocess

import lib
from lib_container import BUSYBOX, ContainerTestCase

# A host beside this one: its network namespace, the device of its link here, the addresses of both ends.
Outside = collections.namedtuple("Outside", "netns device host4 outside4 host6 outside6")
NEAR = Outside("outside", "out0", "192.0.2.1", "192.0.2.2", "2001:db8:1::1", "2001:db8:1::2")
# For tests that want two.
FAR = Outside("far", "out1", "198.51.100.1", "198.51.100.2", "2001:db8:2::1", "2001:db8:2::2")
NETNS, _, HOST4, OUTSIDE4, HOST6, OUTSIDE6 = NEAR

# One line from whoever listens, said to it before: what is to be sent.
TALK = """
import socket, sys
kind = socket.SOCK_DGRAM if sys.argv[3] == "udp" else socket.SOCK_STREAM
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, kind)
s.settimeout(float(sys.argv[4]))
s.connect((sys.argv[1], int(sys.argv[2])))
if sys.argv[5]:
    s.sendall(sys.argv[5].encode() + b"\\n")
print(s.recv(4096).decode(), end="")
"""

# Answers by TCP and UDP, of both families, with its word and whom it sees.
ANSWER = """
import socket, sys, threading
word, port = sys.argv[1], int(sys.argv[2])
def text(peer):
    return f"{word} {peer[0].removeprefix('::ffff:')}".encode()
def open_socket(kind):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    return s
def tcp():
    while True:
        c, peer = t.accept()
        c.sendall(text(peer))
        c.close()
def udp():
    while True:
        _, peer = u.recvfrom(4096)
        u.sendto(text(peer), peer)
t, u = open_socket(socket.SOCK_STREAM), open_socket(socket.SOCK_DGRAM)
t.listen()
for f in tcp, udp:
    threading.Thread(target=f).start()
print("ready", flush=True)
"""

# Answers who it is, to each that connects, by TCP on both families.
def server(word, port=80):
    return ("sh", "-c", f"exec nc -ll -p {port} -e echo {word}")


ECHO = ("sh", "-c", "exec nc -ll -p 7 -e cat")


def inside(where):
    """The words before a command that execute it elsewhere; where: an outside host, True for the first of these, words, or nothing."""

    if isinstance(where, Outside) or where is True:
        return ["ip", "netns", "exec", NETNS if where is True else where.netns]
    return list(where or ())


def talk(address, port, say="", protocol="tcp", outside=False, timeout=5.0):
    """What a port answers; None if it does not. outside: see inside()."""

    command = [*inside(outside), "python3", "-c", TALK, address, str(port), protocol, str(timeout), say]
    result = lib.run(command, check=False, timeout=timeout + 10)
    return result.stdout.strip() if result.returncode == 0 else None


def netns_of(container):
    """A command that is executed in the network namespace of a container, and nothing else of it."""

    return ["nsenter", f"--net={container['NetworkNamespace']}"]


def links():
    """The host's devices that are moored's."""

    found = json.loads(lib.run(["ip", "-j", "-d", "link", "show"]).stdout)
    return {l["ifname"] for l in found if l["ifname"].startswith("mv")}


def elements():
    """What is in the maps of moored's table, as text: published ports."""

    result = lib.run(["nft", "-j", "list", "table", "inet", "moored"], check=False)
    if result.returncode != 0:
        return set()
    found = set()
    for item in json.loads(result.stdout)["nftables"]:
        found |= {f'{item["map"]["name"]} {json.dumps(e)}' for e in item.get("map", {}).get("elem", [])}
    return found


@contextlib.contextmanager
def outside_host(host=NEAR):
    """A host beside this one, reached by a link; all that it does not know it sends to this one."""

    commands = (
        f"ip netns add {host.netns}",
        f"ip link add {host.device} type veth peer name eth0 netns {host.netns}",
        f"ip addr add {host.host4}/24 dev {host.device}",
        f"ip -6 addr add {host.host6}/64 dev {host.device} nodad",
        f"ip link set {host.device} up",
        f"ip -n {host.netns} link set lo up",
        f"ip -n {host.netns} addr add {host.outside4}/24 dev eth0",
        f"ip -n {host.netns} -6 addr add {host.outside6}/64 dev eth0 nodad",
        f"ip -n {host.netns} link set eth0 up",
        f"ip -n {host.netns} route add default via {host.host4}",
        f"ip -n {host.netns} -6 route add default via {host.host6}",
    )
    try:
        for command in commands:
            lib.run(command.split())
        yield
    finally:
        lib.run(["ip", "link", "del", host.device], check=False)
        lib.run(["ip", "netns", "del", host.netns], check=False)


class NetworkTestCase(ContainerTestCase):
    """Has an outside host. Devices and rules of containers are gone after each test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for program in ("ip", "nft"):
            if not shutil.which(program):
                raise AssertionError(f"the test host has no {program}")
        cls.enterClassContext(outside_host())

    def setUp(self):
        super().setUp()
        before = links(), elements()
        # Before the containers are removed this comes, after them the check: in reverse order.
        self._cleanups.insert(0, (self._check_network, before, {}))

    def _check_network(self, links_before, elements_before):
        lib.wait_until(lambda: not links() - links_before, what=f"devices are gone: {links() - links_before}")
        self.assertEqual(elements() - elements_before, set())

    def assert_holds_no_more(self, function):
        """What is called costs moored no descriptor, and PID 1 none for it: not each time. (At the first, sockets may be opened that stay.)"""

        function()
        before, stored = lib.descriptors(), lib.stored_descriptors()
        function()
        lib.wait_until(lambda: not lib.descriptors() - before and lib.stored_descriptors() == stored,
                       what=f"no descriptor more than {before}, and {stored} kept: {lib.descriptors()}, {lib.stored_descriptors()}")

    def address(self, name, family=4, network=0):
        """The container's address, without length."""

        addresses = [a.split("/")[0] for a in self.inspect(name)["Networks"][network][3]]
        return next(a for a in addresses if (":" in a) == (family == 6))

    def listens(self, name, port=80):
        """Waits until somebody in the container listens."""

        def found():
            # One that is being started has none yet.
            net = f"/proc/{self.inspect(name)['LeaderPID']}/net"
            return f":{port:04X} " in "".join(_lines(f"{net}/tcp", f"{net}/tcp6", " 0A "))

        lib.wait_until(found, what=f"{name} listens on {port}")
        return name

    def serve(self, name, *options, word=None, port=80):
        self.detach(name, *options, command=server(word or name, port))
        return self.listens(name, port)

    def python(self, where, code, *args):
        """A process of Python elsewhere, which ends before the containers are removed; where: see inside()."""

        p = subprocess.Popen([*inside(where), "python3", "-u", "-c", code, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, p)
        return p

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        for f in process.stdin, process.stdout:
            with contextlib.suppress(OSError):
                f.close()

    def answers(self, where, word, port=80):
        """Somebody there says word, and whom he sees, to all who ask him by TCP or UDP."""

        p = self.python(where, ANSWER, word, port)
        self.assertEqual(p.stdout.readline(), "ready\n")
        return p

    def ask(self, name, address, port=80):
        """What the container gets from a port."""

        return lib.moorctl("exec", name, "sh", "-c", f"nc -w 5 {address} {port} </dev/null", check=False).stdout.strip()


def _lines(*paths_and_text):
    *paths, text = paths_and_text
    for path in paths:
        with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
            yield from (line for line in f if text in line)


def connect(address, port, timeout=5.0):
    return socket.create_connection((address, port), timeout)


def in_outside(code):
    """A process of the outside host's, running Python."""

    return subprocess.Popen([*inside(True), "python3", "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


__all__ = ["ANSWER", "BUSYBOX", "ECHO", "FAR", "HOST4", "HOST6", "NEAR", "NETNS", "OUTSIDE4", "OUTSIDE6", "NetworkTestCase", "connect", "elements",
           "in_outside", "inside", "links", "netns_of", "outside_host", "server", "talk"]
