# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers find each other by name: the resolver of each network, when it runs, whom it answers."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import lib
from lib_container import BUSYBOX, daemon_away
from lib_network import HOST4, NetworkTestCase, netns_of

DNSMASQ = "/usr/sbin/dnsmasq"
RESOLVED = "/lib/systemd/systemd-resolved"
STUB, UPLINK = "/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf"
LINGER = 10


class NamesTestCase(NetworkTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.access(DNSMASQ, os.X_OK):
            raise AssertionError(f"the test host has no {DNSMASQ}")

    def network(self, name, *options):
        lib.moorctl("network", "create", *options, name)
        self.addCleanup(self._remove_network, name)
        device = json.loads(lib.moorctl("network", "inspect", name).stdout)[0]["Device"]
        return f"moored-dns@{device}.service"

    def _remove_network(self, name):
        containers = lib.moorctl("ps", "-a", "-q").stdout.split()
        if containers:
            lib.moorctl("rm", "-f", *containers)
        lib.moorctl("network", "rm", "--ignore", name)

    def resolver_pid(self, unit):
        return int(lib.run(["systemctl", "show", "--value", "-p", "MainPID", unit]).stdout)

    def is_active(self, unit):
        return lib.run(["systemctl", "is-active", unit], check=False).stdout.strip() == "active"

    def lookup(self, container, name, kind="a"):
        """What the container's own resolver answers: the addresses, or names, as a set."""

        options = [] if kind == "ptr" else [f"-type={kind}"]
        out = lib.moorctl("exec", container, "nslookup", *options, name, check=False).stdout
        if kind == "ptr":
            return set(re.findall(r"name = (\S+)", out))
        return set(re.findall(r"(?m)^Address(?: \d+)?: (\S+)$", out.split("\n\n", 1)[-1]))


class NamesTest(NamesTestCase):
    hosts = "ab"

    def test_by_name_and_alias(self):
        unit = self.network("lan")
        self.serve("web", "--network=lan:alias=shop")
        # The first thing that it does.
        self.assertEqual(self.sh("nc -w 5 web 80 </dev/null", "--network=lan").strip(), "web")
        self.detach("b", "--network=lan")
        for name in ("web", "shop", "web.lan.moored.internal", "WEB"):
            self.assertEqual(self.ask("b", name), "web", name)
        address = self.address("web")
        self.assertEqual(self.lookup("b", "web.lan.moored.internal"), {address})
        self.assertEqual(self.lookup("b", address, "ptr"), {"web.lan.moored.internal"})
        text = lib.moorctl("exec", "b", "cat", "/etc/resolv.conf").stdout
        self.assertRegex(text, r"\Anameserver 10\.\d+\.\d+\.1\nsearch lan\.moored\.internal( |\n)")
        self.assertTrue(self.is_active(unit))

        # Who ends is not found any more; who comes is.
        lib.moorctl("stop", "-t", "0", "web")
        lib.wait_until(lambda: not self.lookup("b", "shop.lan.moored.internal"), what="the alias is gone")
        self.serve("other", "--network=lan:alias=shop")
        self.assertEqual(self.ask("b", "shop"), "other")

    def test_ipv6(self):
        self.network("six", "--ipv6")
        self.serve("web", "--network=six")
        self.detach("b", "--network=six")
        self.assertEqual(self.lookup("b", "web.six.moored.internal", "aaaa"), {self.address("web", 6)})
        self.assertEqual(self.lookup("b", self.address("web", 6), "ptr"), {"web.six.moored.internal"})

    def test_shared_alias(self):
        self.network("lan")
        for name in ("a", "b"):
            self.detach(name, "--network=lan:alias=pool")
        self.assertEqual(self.lookup("a", "pool.lan.moored.internal"), {self.address("a"), self.address("b")})

    def test_two_networks(self):
        self.network("front")
        self.network("back", "--internal")
        self.serve("db", "--network=back")
        self.detach("proxy", "--network=back", "--network=front")
        self.serve("web", "--network=front")
        self.assertEqual(self.ask("proxy", "db"), "db")
        self.assertEqual(self.ask("proxy", "web"), "web")
        self.assertEqual(self.lookup("web", "db.front.moored.internal"), set())
        self.assertEqual(self.ask("web", "db"), "")
        # Each resolver answers its own network only, whatever the address.
        gateway = re.search(r"nameserver (\S+)", lib.moorctl("exec", "web", "cat", "/etc/resolv.conf").stdout)[1]
        result = lib.moorctl("exec", "db", "timeout", "5", "nslookup", "web.front.moored.internal", gateway, check=False)
        self.assertNotEqual(result.returncode, 0)

    def test_without(self):
        self.network("plain", "--disable-dns")
        self.detach("a", "--network=plain")
        self.assertNotIn("moored.internal", lib.moorctl("exec", "a", "cat", "/etc/resolv.conf").stdout)
        self.detach("b", "--network=default", "--dns=192.0.2.53")
        self.assertIn("nameserver 192.0.2.53\n", lib.moorctl("exec", "b", "cat", "/etc/resolv.conf").stdout)

    def test_port_53_of_the_host_is_free(self):
        self.network("lan")
        self.detach("a", "--network=lan")
        sockets = lib.run(["ss", "-H", "-lntu", "sport = :53"]).stdout
        addresses = {line.split()[4].rsplit(":", 1)[0].split("%")[0] for line in sockets.splitlines()}
        for address in addresses:
            self.assertRegex(address, r"^(10\.\d+\.\d+\.1|\[f[de].*\])$")

    def test_other_names(self):
        """Other servers than containers: of the host's resolv.conf, also when that changes; not from an internal network."""

        self.network("lan")
        self.network("inside", "--internal")
        with upstream(HOST4, "far.example", "198.51.100.7"):
            self.detach("a", "--network=lan")
            self.detach("b", "--network=inside")
            lib.wait_until(lambda: self.lookup("a", "far.example") == {"198.51.100.7"}, what="the host's server is asked")
            self.assertEqual(self.lookup("b", "far.example"), set())
            lib.moorctl("rm", "-f", "a", "b")


class ResolverLifeTest(NamesTestCase):
    hosts = "ab"

    def test_sandbox(self):
        unit = self.network("lan")
        self.detach("a", "--network=lan")
        with open(f"/proc/{self.resolver_pid(unit)}/status", encoding="utf-8") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertNotIn("0", status["Uid"].split())
        for caps in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(status[caps], 16), 1 << 10, caps)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")

    def test_ends_after_the_last(self):
        unit = self.network("lan")
        self.detach("a", "--network=lan")
        pid = self.resolver_pid(unit)
        self.detach("b", "--network=lan")
        lib.moorctl("rm", "-f", "a")
        self.assertEqual(self.resolver_pid(unit), pid)
        lib.moorctl("rm", "-f", "b")
        lib.wait_until(lambda: not self.is_active(unit), timeout=LINGER + 20, what="the resolver ends")
        lib.moorctl("network", "rm", "lan")
        path = f"/run/moored/names/{unit.split('@')[1].removesuffix('.service')}"
        lib.wait_until(lambda: not os.path.exists(path), what="its directory is gone")

    def test_network_goes_first(self):
        unit = self.network("lan")
        self.detach("a", "--network=lan")
        lib.moorctl("rm", "-f", "a")
        lib.moorctl("network", "rm", "lan")
        # The next one has the same bridge, and not the old resolver.
        self.assertEqual(self.network("other"), unit)
        self.serve("b", "--network=other")
        self.assertEqual(self.sh("nc -w 5 b 80 </dev/null", "--network=other").strip(), "b")

    def test_bridge_of_another(self):
        """A network that has the bridge of one that is gone, and is not used: that one's resolver ends all the same."""

        unit = self.network("lan")
        self.detach("a", "--network=lan")
        lib.moorctl("rm", "-f", "a")
        lib.moorctl("network", "rm", "lan")
        self.assertTrue(self.is_active(unit))
        self.assertEqual(self.network("second"), unit)
        lib.moorctl("network", "rm", "second")
        self.assertEqual(self.network("third"), unit)
        lib.wait_until(lambda: not self.is_active(unit), timeout=LINGER + 20, what="the resolver ends")
        self.serve("b", "--network=third")
        self.assertEqual(self.sh("nc -w 5 b 80 </dev/null", "--network=third").strip(), "b")

    def test_crash(self):
        unit = self.network("lan")
        self.serve("a", "--network=lan")
        pid = self.resolver_pid(unit)
        os.kill(pid, signal.SIGKILL)
        lib.wait_until(lambda: self.resolver_pid(unit) not in (0, pid) and self.is_active(unit), what="it is back")
        self.detach("b", "--network=lan")
        self.assertEqual(self.ask("b", "a"), "a")

    def test_without_the_daemon(self):
        unit = self.network("lan")
        self.serve("a", "--network=lan")
        self.serve("gone", "--network=lan")
        self.detach("b", "--network=lan")
        pid, b = self.resolver_pid(unit), self.inspect("b")["LeaderPID"]
        with daemon_away():
            ask = ["nsenter", f"--target={b}", "--all", "nc", "-w", "5", "a", "80"]
            self.assertEqual(lib.run(ask, stdin=subprocess.DEVNULL).stdout.strip(), "a")
            lib.run(["systemctl", "kill", "-s", "KILL", "moored-default-gone.service"])
        self.assertEqual(self.resolver_pid(unit), pid)
        lib.wait_until(lambda: not self.lookup("b", "gone.lan.moored.internal"), what="who ended meanwhile is not found")
        self.assertEqual(self.ask("b", "a"), "a")
        with daemon_away():
            for name in ("a", "b"):
                lib.run(["systemctl", "kill", "-s", "KILL", f"moored-default-{name}.service"])
        lib.wait_until(lambda: not self.is_active(unit), timeout=LINGER + 20, what="the resolver ends")

    def test_reload(self):
        unit = self.network("lan")
        self.serve("a", "--network=lan")
        lib.run(["systemctl", "stop", unit])
        lib.moorctl("network", "reload")
        lib.wait_until(lambda: self.is_active(unit), what="it is back")
        self.assertEqual(self.sh("nc -w 5 a 80 </dev/null", "--network=lan").strip(), "a")
        # The bridge is made again under it.
        lib.run(["ip", "link", "del", unit.split("@")[1].removesuffix(".service")])
        lib.moorctl("network", "reload")
        self.detach("b", "--network=lan")
        lib.wait_until(lambda: self.ask("b", "a") == "a", what="the new bridge is listened on")

    def test_not_installed(self):
        self.network("lan")
        self.assertEqual(lib.moorctl_json("network", "inspect", "lan")[0]["Domain"], "lan.moored.internal")
        start = time.time()
        with covered(DNSMASQ):
            self.assertEqual(lib.moorctl_json("network", "inspect", "lan")[0]["Domain"], "")
            self.addCleanup(lib.moorctl, "network", "rm", "--ignore", "second", "third", check=False)
            self.assertIn("dnsmasq-base", lib.moorctl("network", "create", "second").stderr)
            self.assertEqual(lib.moorctl("network", "create", "--disable-dns", "third").stderr, "")
            self.detach("a", "--network=lan")
            self.detach("b", "--network=lan")
            self.assertNotIn("moored.internal", lib.moorctl("exec", "a", "cat", "/etc/resolv.conf").stdout)
            self.assertEqual(lib.journal("-u", "moored.service", since=start).count("dnsmasq-base"), 1)
            lib.moorctl("rm", "-f", "b")
        # Once it is, who comes finds who comes.
        self.serve("c", "--network=lan")
        self.detach("b", "--network=lan")
        self.assertEqual(self.ask("b", "c"), "c")

    def test_dns_beside(self):
        """Who has servers of his own asks no resolver; he is found by others all the same."""

        unit = self.network("lan")
        self.serve("a", "--network=lan", "--dns=192.0.2.53", "--dns-search=x.example")
        lib.wait_until(lambda: self.is_active(unit), what="there is one")
        text = lib.moorctl("exec", "a", "cat", "/etc/resolv.conf").stdout
        self.assertTrue(text.startswith("nameserver 192.0.2.53\nsearch x.example\n"), text)
        self.detach("b", "--network=lan")
        self.assertEqual(self.ask("b", "a"), "a")

    def test_installed_unit(self):
        """A container whose unit somebody has written has a resolver as well."""

        self.network("lan")
        self.serve("web", "--network=lan")
        path = "/etc/moored/containers/names.conf"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.addCleanup(lib.moorctl, "rm", "-f", "names", check=False)
        self.addCleanup(lib.run, ["systemctl", "stop", "moored@names.service"], check=False)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"[Container]\nImage={BUSYBOX}\nNetwork=lan\nExec=sh -c \"trap exit TERM; while :; do sleep 1; done\"\n")
        self.addCleanup(os.unlink, path)
        lib.run(["systemctl", "start", "moored@names.service"])
        self.assertEqual(self.ask("names", "web"), "web")
        lib.run(["systemctl", "stop", "moored@names.service"])
        lib.moorctl("rm", "-f", "names", "web", check=False)


class ConnectedTest(NamesTestCase):
    """Names follow containers that go on networks, and leave them, while they run."""

    hosts = "ab"

    def resolv(self, name):
        return lib.moorctl("exec", name, "cat", "/etc/resolv.conf").stdout

    def test_comes_and_goes(self):
        self.network("lan")
        other = self.network("other")
        self.serve("web", "--network=other")
        self.detach("b", "--network=lan")
        self.assertEqual(self.ask("b", "web"), "")
        lib.moorctl("network", "connect", "--alias=shop", "lan", "web")
        for name in ("web", "shop", "web.lan.moored.internal"):
            lib.wait_until(lambda n=name: self.ask("b", n) == "web", what=f"{name} is found")
        self.assertIn("search other.moored.internal lan.moored.internal", self.resolv("web"))
        # It asks the one resolver that it had, which knows the other network's as well.
        self.serve("c", "--network=lan")
        lib.wait_until(lambda: self.ask("web", "c") == "c", what="names of both")
        lib.moorctl("network", "disconnect", "lan", "web")
        lib.wait_until(lambda: not self.lookup("b", "shop.lan.moored.internal"), what="names go")
        self.assertEqual(self.lookup("web", "c.lan.moored.internal"), set())
        self.assertNotIn("lan.moored", self.resolv("web"))
        self.assertTrue(self.is_active(other))

    def test_from_one_to_another(self):
        """The network that is left was the one whose resolver was asked."""

        old, new = self.network("old"), self.network("new")
        self.detach("a", "--network=old")
        # That of another test's bridge may take its time.
        lib.wait_until(lambda: not self.is_active(new), timeout=LINGER + 20, what="nobody is there")
        lib.moorctl("network", "connect", "new", "a")
        lib.moorctl("network", "disconnect", "old", "a")
        lib.wait_until(lambda: self.is_active(new), what="the other one's resolver")
        self.assertRegex(self.resolv("a"), r"\Anameserver \S+\nsearch new\.moored\.internal( |\n)")
        self.serve("c", "--network=new")
        lib.wait_until(lambda: self.ask("a", "c") == "c", what="the new one is asked")
        lib.wait_until(lambda: not self.is_active(old), timeout=LINGER + 20, what="nobody asks the old one")

    def test_had_none(self):
        self.network("plain", "--disable-dns")
        unit = self.network("lan")
        self.detach("a", "--network=plain")
        self.assertNotIn("moored.internal", self.resolv("a"))
        lib.moorctl("network", "connect", "lan", "a")
        lib.wait_until(lambda: self.is_active(unit), what="a resolver")
        self.serve("c", "--network=lan")
        lib.wait_until(lambda: self.ask("a", "c") == "c", what="it is asked")
        # Also the next moored says so, and a container that had been changed before it was started.
        lib.kill9_moored()
        lib.moorctl("create", "--name=d", "--network=plain", BUSYBOX, "sh", "-c", "exec nc -ll -p 80 -e echo d")
        lib.moorctl("network", "connect", "--alias=later", "lan", "d")
        lib.moorctl("start", "d")
        self.listens("d")
        self.assertEqual(self.ask("a", "later"), "d")

    def test_refused(self):
        """What cannot be leaves no name."""

        self.network("lan")
        self.detach("a", "--network=default")
        self.detach("b", "--network=lan")
        lib.run([*netns_of(self.inspect("a")), "ip", "link", "add", "eth1", "type", "bridge"])
        self.assertEqual(lib.moorctl("network", "connect", "--alias=shop", "lan", "a", check=False).returncode, 1)
        self.assertEqual(self.lookup("b", "shop.lan.moored.internal"), set())
        self.assertNotIn("lan.moored", self.resolv("a"))


class HostTest(NamesTestCase):
    """What the host itself finds."""

    hosts = "ab"

    def resolved(self, *lines):
        if not os.path.exists(RESOLVED):
            raise AssertionError(f"the test host has no {RESOLVED}")
        # The test host's is masked.
        self.addCleanup(lib.run, ["systemctl", "mask", "systemd-resolved.service"])
        self.addCleanup(lib.run, ["systemctl", "stop", "systemd-resolved.service"])
        # What is said of all links is not what a network's resolver can do.
        os.makedirs("/run/systemd/resolved.conf.d", exist_ok=True)
        with open("/run/systemd/resolved.conf.d/names.conf", "w", encoding="utf-8") as f:
            f.write("\n".join(["[Resolve]", "DNSSEC=yes", "DNSOverTLS=yes", *lines, ""]))
        lib.run(["systemctl", "unmask", "systemd-resolved.service"])
        lib.run(["systemctl", "start", "systemd-resolved.service"])

    def query(self, name):
        result = lib.run(["resolvectl", "query", "--legend=no", "--cache=no", name], check=False)
        return set(re.findall(r"(\S+) +-- link", result.stdout))

    def finds(self, name, *addresses):
        lib.wait_until(lambda: self.query(name) == set(addresses), what=f"the host finds {name}: {self.query(name)}")

    def test_by_resolved(self):
        unit = self.network("lan", "--ipv6")
        self.network("inside", "--internal")
        self.resolved()
        self.detach("web", "--network=lan:alias=shop")
        self.detach("db", "--network=inside")
        for name in ("web", "shop"):
            self.finds(f"{name}.lan.moored.internal", self.address("web"), self.address("web", 6))
        self.finds("db.inside.moored.internal", self.address("db"))
        self.finds(self.address("web"), "web.lan.moored.internal")
        self.assertEqual(self.query("nosuch.lan.moored.internal"), set())
        device = unit.split("@")[1].removesuffix(".service")
        status = lib.run(["resolvectl", "status", device]).stdout
        self.assertIn("-DefaultRoute", status)
        self.assertIn("~lan.moored.internal", status)
        # Nobody else is to ask it for anything else.
        gateways = [s[1] for name in ("lan", "inside") for s in lib.moorctl_json("network", "inspect", name)[0]["Subnets"]]
        with open("/run/systemd/resolve/resolv.conf", encoding="utf-8") as f:
            self.assertEqual({line.split()[1] for line in f if line.startswith("nameserver")} & set(gateways), set())
        # It goes on when it is asked by others, or by nobody for a while; and the next moored knows.
        lib.run(["systemctl", "kill", "-s", "KILL", "systemd-resolved.service"])
        self.finds("web.lan.moored.internal", self.address("web"), self.address("web", 6))
        lib.kill9_moored()
        self.detach("c", "--network=lan")
        self.finds("c.lan.moored.internal", self.address("c"), self.address("c", 6))
        lib.moorctl("rm", "-f", "web", "c")
        lib.wait_until(lambda: "moored.internal" not in lib.run(["resolvectl", "domain", device]).stdout, what="the link is as it was")
        self.assertEqual(self.query("web.lan.moored.internal"), set())

    def test_stub(self):
        """Where resolv.conf(5) names systemd-resolved's stub, which listens on the host only, containers ask the servers that it asks."""

        self.network("plain", "--disable-dns")
        self.network("lan")
        with upstream(HOST4, "far.example", "198.51.100.7"), resolv_conf(STUB):
            self.resolved(f"DNS={HOST4}")
            lib.wait_until(lambda: f"nameserver {HOST4}\n" in read(UPLINK), what="systemd-resolved knows it")
            self.assertIn("nameserver 127.0.0.53\n", read("/etc/resolv.conf"))
            self.detach("plain", "--network=plain")
            self.detach("named", "--network=lan")
            for name, server in (("plain", HOST4), ("named", lib.moorctl_json("network", "inspect", "lan")[0]["Subnets"][0][1])):
                text = lib.moorctl("exec", name, "cat", "/etc/resolv.conf").stdout
                self.assertEqual(re.findall(r"(?m)^nameserver (\S+)$", text), [server])
                lib.wait_until(lambda n=name: self.lookup(n, "far.example") == {"198.51.100.7"}, what=f"{name} finds a far name")
            # Whoever is on the host's own network reaches the stub.
            self.assertIn("nameserver 127.0.0.53\n", self.sh("cat /etc/resolv.conf", "--network=host"))
            # As a file of its own it is the same.
            text = read(STUB)
            os.unlink("/etc/resolv.conf")
            with open("/etc/resolv.conf", "w", encoding="utf-8") as f:
                f.write(text)
            self.assertIn(f"nameserver {HOST4}\n", self.sh("cat /etc/resolv.conf", "--network=plain"))
            lib.moorctl("rm", "-f", "plain", "named")

    def test_resolved_comes_later(self):
        self.network("lan")
        self.detach("web", "--network=lan")
        self.resolved()
        self.finds("web.lan.moored.internal", self.address("web"))
        # Another bridge is another link.
        device = lib.moorctl_json("network", "inspect", "lan")[0]["Device"]
        lib.run(["ip", "link", "del", device])
        lib.moorctl("network", "reload")
        self.finds("web.lan.moored.internal", self.address("web"))

    def test_without_resolved(self):
        """Who asks the bridge's own address is answered."""

        self.network("lan")
        self.detach("web", "--network=lan")
        gateway = lib.moorctl_json("network", "inspect", "lan")[0]["Subnets"][0][1]
        found = lib.run(["busybox", "nslookup", "web.lan.moored.internal", gateway]).stdout
        self.assertIn(f"Address: {self.address('web')}\n", found)

    def test_machine(self):
        """nss-mymachines knows those that are machines."""

        self.network("lan")
        self.detach("web", "--network=lan", "--machine")
        lib.wait_until(lambda: "web" in lib.run(["machinectl", "list", "--no-legend"]).stdout, what="a machine")
        found = lib.run(["getent", "ahostsv4", "web"]).stdout
        self.assertEqual({line.split()[0] for line in found.splitlines()}, {self.address("web")})


@contextlib.contextmanager
def covered(path):
    """A program that cannot be executed: without the right to, as where it is not installed."""

    mode = os.stat(path).st_mode
    os.chmod(path, mode & ~0o111)
    try:
        yield
    finally:
        os.chmod(path, mode)


def read(path):
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as f:
        return f.read()
    return ""


@contextlib.contextmanager
def resolv_conf(target=None):
    """The host's resolv.conf is as it was afterwards; meanwhile a link, if there is a target."""

    path = "/etc/resolv.conf"
    saved = read(path)
    try:
        if target:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.symlink(target, path)
        yield
    finally:
        if os.path.islink(path):
            os.unlink(path)
        with open(path, "w", encoding="utf-8") as f:
            f.write(saved)


@contextlib.contextmanager
def upstream(address, name, answer):
    """The host's resolv.conf names a server on the host that knows one name."""

    with resolv_conf():
        with open("/etc/resolv.conf", "w", encoding="utf-8") as f:
            f.write(f"nameserver {address}\n")
        server_process = subprocess.Popen([DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--bind-interfaces",
                                           f"--listen-address={address}", f"--address=/{name}/{answer}", "--pid-file=", "--user=root"])
        try:
            yield
        finally:
            server_process.kill()
            server_process.wait()
