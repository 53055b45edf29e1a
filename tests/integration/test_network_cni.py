# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of CNI plug-ins: attached at the start, detached at the end, whatever fails, hangs or is killed between."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import lib
from lib_container import BUSYBOX
from lib_network import HOST4, HOST6, NetworkTestCase, talk

CONFIGURATIONS = pathlib.Path("/etc/cni/net.d")
FAKES = pathlib.Path("/opt/cni/bin")
STATE = pathlib.Path("/var/lib/moored/cni")
NAMESPACES = pathlib.Path("/run/moored/cni-netns")
SOURCE = pathlib.Path("/src/tests/data/cni-plugins/fake")
LOG = pathlib.Path("/run/test-cni")
DEBIAN = pathlib.Path("/usr/lib/cni/bridge")
LEASES = pathlib.Path("/var/lib/cni/test")
KEY = "moored.7.default."
stored = lib.stored_descriptors


def records():
    return sorted(p.name for p in STATE.glob("*.json")) if STATE.exists() else []


def plugin_units():
    listed = lib.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "moored-cni@*"]).stdout
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def kill_plugins():
    """mooring cni, and whatever plug-in it runs, at once."""

    for unit in plugin_units():
        lib.run(["systemctl", "kill", "--signal=KILL", unit], check=False)


@contextlib.contextmanager
def moored_stands_still():
    """Then it is killed. (Masked, as lib_container.daemon_away() has it, it would lose what the service manager keeps for it.)"""

    pid = lib.wait_until(lib.moored_pid, what="moored runs")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        lib.wait_until(lambda: lib.moored_pid() not in (0, pid), what="moored is back")


class CniTestCase(NetworkTestCase):
    """Fake plug-ins are shell scripts, which write down what they are asked. Nothing is attached after a test."""

    fakes = ("ok", "ok2", "fails", "hangs", "sticky", "lingers")

    def setUp(self):
        super().setUp()
        shutil.rmtree(LOG, ignore_errors=True)
        LOG.mkdir()
        FAKES.mkdir(parents=True, exist_ok=True)
        text = SOURCE.read_text(encoding="utf-8").replace("$CNI_PATH/", f"{LOG}/")
        for name in self.fakes:
            (FAKES / name).write_text(text, encoding="utf-8")
            (FAKES / name).chmod(0o755)
        self.stored_before = stored()
        # These come after the containers' removal: what is to be detached needs its plug-ins.
        self._cleanups.insert(0, (self._remove_files, (), {}))
        self._cleanups.insert(1, (self.nothing_is_attached, (), {}))

    def _remove_files(self):
        for name in self.fakes:
            (FAKES / name).unlink(missing_ok=True)
        shutil.rmtree(CONFIGURATIONS, ignore_errors=True)

    def nothing_is_attached(self):
        lib.wait_until(lambda: records() == [] and plugin_units() == [] and stored() == self.stored_before, timeout=60,
                       what=f"all is detached: {records()}, {plugin_units()}, {stored()} descriptors instead of {self.stored_before}")
        self.assertEqual(list(NAMESPACES.iterdir()) if NAMESPACES.exists() else [], [])

    def write_network(self, name, *plugins, version="1.0.0"):
        CONFIGURATIONS.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"cniVersion": version, "name": name, "plugins": list(plugins)})
        (CONFIGURATIONS / f"50-{name}.conflist").write_text(text, encoding="utf-8")

    def log(self):
        path = LOG / "log"
        return [line.split()[:4] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def wait_log(self, *words):
        lib.wait_until(lambda: list(words) in [line[:len(words)] for line in self.log()], what=f"{words} is asked")

    def start(self, network, name="web", *options):
        lib.moorctl("run", "-d", f"--name={name}", f"--network=cni:{network}", *options, BUSYBOX, "sleep", "1000")

    def hang_no_more(self):
        """Who tries it again does not wait for long: the launcher asks the next moored."""

        (FAKES / "hangs").write_text((FAKES / "fails").read_text(encoding="utf-8").replace("${0##*/}", "fails"), encoding="utf-8")

    @contextlib.contextmanager
    def starting(self, network, name="web"):
        """While "moorctl run" waits for the network; it is to fail."""

        with subprocess.Popen(["moorctl", "run", "--rm", f"--name={name}", f"--network=cni:{network}", BUSYBOX, "true"],
                              stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
                self.stderr = process.communicate(timeout=100)[1]
            finally:
                process.kill()
        self.assertNotEqual(process.returncode, 0)


class FakeTest(CniTestCase):
    hosts = "ab"

    def test_start_and_end(self):
        self.write_network("two", {"type": "ok"}, {"type": "ok2", "capabilities": {"portMappings": True, "mac": True}})
        self.start("two:mac=02:00:5e:00:53:01", "web", "-p", "8080:80")
        self.assertEqual(self.log(), [["ok", "ADD", KEY + "web", "eth0"], ["ok2", "ADD", KEY + "web", "eth0"]])
        told = json.loads((LOG / "ok2.ADD").read_text(encoding="utf-8"))
        self.assertEqual(told["runtimeConfig"], {"mac": "02:00:5e:00:53:01",
                                                 "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})
        self.assertEqual(told["prevResult"]["by"], "ok")
        self.assertEqual(records(), [f"{KEY}web.json"])
        self.assertEqual(stored(), self.stored_before + 1)
        self.assertIn("LOOPBACK,UP", lib.moorctl("exec", "web", "ip", "link").stdout)
        self.assertRegex(lib.moorctl("exec", "web", "cat", "/etc/hosts").stdout, r"(?m)^10\.9\.0\.2\tweb$")

        # It is shown, also by the next moored.
        for _ in range(2):
            found = self.inspect("web")
            self.assertEqual(found["Networks"], [["cni:two", "eth0", "", ["10.9.0.2/24"], []]])
            self.assertEqual(found["Network"], "cni:two")
            self.assertIn("8080->80/tcp", lib.moorctl("ps").stdout)
            lib.kill9_moored()

        lib.moorctl("stop", "-t", "0", "web")
        lib.wait_until(lambda: len(self.log()) == 4, what="it is detached")
        self.assertEqual(self.log()[2:], [["ok2", "DEL", KEY + "web", "eth0"], ["ok", "DEL", KEY + "web", "eth0"]])
        self.nothing_is_attached()
        self.assertEqual(self.inspect("web")["Networks"], [["cni:two", "eth0", "02:00:5e:00:53:01", [], []]])
        lib.moorctl("start", "web")
        self.assertEqual(self.inspect("web")["Networks"][0][3], ["10.9.0.2/24"])

    def told(self, name, command):
        return json.loads((LOG / f"{name}.{command}").read_text(encoding="utf-8"))["runtimeConfig"]

    def test_told(self):
        """What the conventions call capabilities, in the words of those; after a restart, at the end and by the next moored the same."""

        self.write_network("told", {"type": "ok", "capabilities": {"ips": True, "dns": True}}, {"type": "ok2", "capabilities": {"bandwidth": True}})
        self.start("told:ip=10.9.0.2/24,ip6=FD00:9::2/64,ip=10.9.0.3,sent_rate=10mbit,received_rate=1g", "web", "--dns=192.0.2.53", "--dns=2001:db8::53",
                   "--dns-search=example.org", "--dns-option=ndots:2")
        first = {"ips": ["10.9.0.2/24", "fd00:9::2/64", "10.9.0.3"],
                 "dns": {"servers": ["192.0.2.53", "2001:db8::53"], "searches": ["example.org"], "options": ["ndots:2"]}}
        second = {"bandwidth": {"egressRate": 10000000, "egressBurst": 1048576, "ingressRate": 1000000000, "ingressBurst": 20000000}}
        self.assertEqual((self.told("ok", "ADD"), self.told("ok2", "ADD")), (first, second))
        lib.kill9_moored()
        lib.moorctl("stop", "-t", "0", "web")
        self.nothing_is_attached()
        self.assertEqual((self.told("ok", "DEL"), self.told("ok2", "DEL")), (first, second))
        shutil.rmtree(LOG)
        LOG.mkdir()
        lib.moorctl("start", "web")
        self.assertEqual((self.told("ok", "ADD"), self.told("ok2", "ADD")), (first, second))
        lib.moorctl("rm", "-f", "web")

        for network, text in (("default:ip=10.86.0.9/16", "without a length"), ("cni:told:ip=10.9.0.2/33", "not an IP address"),
                              ("cni:told:sent_rate=fast", "bits a second"), ("cni:told:received_rate=7k", "from 8k")):
            self.fails("--rm", f"--network={network}", BUSYBOX, "true", text=text)
        self.write_network("told", {"type": "ok", "capabilities": {"ips": True}}, {"type": "ok2", "capabilities": {"bandwidth": False}})
        self.fails("--rm", "--network=cni:told:sent_rate=8k", BUSYBOX, "true", text='No plug-in of network "told" limits rates')

    def test_listed(self):
        self.write_network("two", {"type": "ok"}, {"type": "ok2"})
        self.write_network("missing", {"type": "ok"}, {"type": "nowhere"})
        (CONFIGURATIONS / "60-bad.conf").write_text("{", encoding="utf-8")
        self.start("two")
        listed = lib.moorctl("network", "ls")
        self.assertRegex(listed.stdout, r"(?m)^cni:two +cni +.* 1$")
        self.assertRegex(listed.stdout, r"(?m)^cni:missing +cni +.* 0$")
        self.assertIn("60-bad.conf", listed.stderr)
        self.assertIn('"nowhere"', listed.stderr)
        # Others' files are not for "rm $(network ls -q)".
        self.assertNotIn("cni:", lib.moorctl("network", "ls", "-q").stdout)
        found = json.loads(lib.moorctl("network", "inspect", "cni:two").stdout)[0]
        self.assertEqual(found, {"Name": "cni:two", "Driver": "cni", "File": str(CONFIGURATIONS / "50-two.conflist"), "CNIVersion": "1.0.0",
                                 "Plugins": ["ok", "ok2"], "Containers": ["web"], "Error": ""})
        for args, text in ((("rm", "cni:two"), "remove its file"), (("connect", "cni:two", "web"), "from its creation on")):
            result = lib.moorctl("network", *args, check=False)
            self.assertIn(text, result.stderr)
            self.assertEqual(result.returncode, 1)
        result = lib.moorctl("network", "inspect", "cni:other", check=False)
        self.assertIn("cni:other", result.stderr)
        self.assertEqual(result.returncode, 1)

    def test_refused(self):
        """Before anything is made: what cannot work."""

        self.write_network("two", {"type": "ok"})
        self.write_network("missing", {"type": "ok"}, {"type": "nowhere"})
        (CONFIGURATIONS / "60-bad.conf").write_text("{", encoding="utf-8")
        (CONFIGURATIONS / "70-empty.conflist").write_text('{"cniVersion": "1.0.0", "name": "empty"}', encoding="utf-8")
        for network, words in (("missing", ('"nowhere"', "/opt/cni/bin", "containernetworking-plugins")),
                               ("unknown", ('"unknown"', "/etc/cni/net.d", "missing, two", "60-bad.conf")),
                               ("empty", ("70-empty.conflist", "no plug-ins"))):
            with self.subTest(network=network):
                self.assert_holds_no_more(lambda n=network, w=words: self.fails("--name=x", f"--network=cni:{n}", BUSYBOX, "true", text=w[0]))
                result = lib.moorctl("create", "--name=x", f"--network=cni:{network}", BUSYBOX, "true", check=False)
                for word in words:
                    self.assertIn(word, result.stderr)
                self.assertFalse(self.exists("x"))
        self.assertEqual(self.log(), [])

    def test_failures(self):
        self.write_network("bad", {"type": "ok"}, {"type": "fails"})
        self.fails("--rm", "--network=cni:bad", BUSYBOX, "true", text='"fails" of network "bad" failed (ADD): no addresses left')
        self.assertEqual([line[:2] for line in self.log()], [["ok", "ADD"], ["fails", "ADD"], ["fails", "DEL"], ["ok", "DEL"]])
        self.nothing_is_attached()
        # Files change while it is there.
        lib.moorctl("create", "--name=x", "--network=cni:bad", BUSYBOX, "true")
        self.write_network("bad", {"type": "ok"}, {"type": "nowhere"})
        result = lib.moorctl("start", "x", check=False)
        self.assertIn('"nowhere"', result.stderr)
        self.nothing_is_attached()

    def test_hangs(self):
        self.write_network("slow", {"type": "ok"}, {"type": "hangs"})
        begin = time.monotonic()
        result = lib.moorctl("run", "--rm", "--network=cni:slow", BUSYBOX, "true", check=False, timeout=90)
        self.assertIn("did not end in time", result.stderr)
        self.assertLess(time.monotonic() - begin, 60)
        self.assertEqual([line[:2] for line in self.log()[-2:]], [["hangs", "DEL"], ["ok", "DEL"]])
        self.nothing_is_attached()

    def test_not_ready(self):
        self.write_network("new", {"type": "ok"}, {"type": "ok2"}, version="1.1.0")
        (LOG / "broken").touch()
        self.fails("--rm", "--network=cni:new", BUSYBOX, "true", text='The network "new" is not ready: ')
        self.assertEqual([line[:2] for line in self.log()], [["ok", "STATUS"]])
        (LOG / "broken").unlink()
        self.start("new")
        self.assertEqual([line[:2] for line in self.log()[1:]], [["ok", "STATUS"], ["ok2", "STATUS"], ["ok", "ADD"], ["ok2", "ADD"]])

    def test_reload(self):
        """CHECK of what is attached, which is told in the log; then GC."""

        self.write_network("new", {"type": "ok"}, version="1.1.0")
        self.write_network("old", {"type": "ok2"}, version="0.4.0")
        self.start("new", "a")
        self.start("old", "b")
        before = len(self.log())
        lib.moorctl("network", "reload")
        lib.wait_until(lambda: len(self.log()) == before + 3, what="both are checked, one is collected")
        self.assertCountEqual(self.log()[before:before + 2], [["ok", "CHECK", KEY + "a", "eth0"], ["ok2", "CHECK", KEY + "b", "eth0"]])
        self.assertEqual(self.log()[-1][:2], ["ok", "GC"])
        told = json.loads((LOG / "ok.GC").read_text(encoding="utf-8"))
        self.assertEqual(told["cni.dev/valid-attachments"], [{"containerID": KEY + "a", "ifname": "eth0"}])
        (LOG / "broken").touch()
        since = time.time()
        lib.moorctl("network", "reload")
        lib.wait_until(lambda: f"The network of {KEY}b is not what it was" in lib.journal("-u", "moored.service", "-o", "cat", since=since),
                       what="the log has it")
        (LOG / "broken").unlink()
        lib.wait_until(lambda: len(self.log()) == before + 6 and plugin_units() == [], what="all have ended")

        # So is it when moored is started.
        before = len(self.log())
        lib.kill9_moored()
        lib.wait_until(lambda: len(self.log()) == before + 1, what="one is collected")
        self.assertEqual(self.log()[-1][:2], ["ok", "GC"])

    def test_restart_policy(self):
        """The network stays, with nobody asked."""

        self.write_network("two", {"type": "ok"})
        self.start("two", "web", "--restart=always")
        inode = os.stat(self.inspect("web")["NetworkNamespace"]).st_ino
        first = self.inspect("web")["LeaderPID"]
        os.kill(first, 9)
        lib.wait_until(lambda: self.inspect("web")["LeaderPID"] not in (0, first), what="it runs again")
        self.assertEqual(os.stat(self.inspect("web")["NetworkNamespace"]).st_ino, inode)
        self.assertEqual(len(self.log()), 1)
        lib.moorctl("rm", "-f", "web")
        self.nothing_is_attached()

    def test_cannot_be_undone(self):
        """It is tried again; in the end when somebody asks."""

        self.write_network("stuck", {"type": "sticky"})
        self.start("stuck")
        (LOG / "broken").touch()
        lib.moorctl("rm", "-f", "web")
        lib.wait_until(lambda: len(self.log()) == 4, timeout=30, what="it was tried three times")
        lib.wait_until(lambda: stored() == self.stored_before, what="the namespace is given up")
        self.assertEqual(records(), [f"{KEY}web.json"])
        (LOG / "broken").unlink()
        lib.moorctl("network", "reload")
        self.nothing_is_attached()

        # Before anything new.
        self.start("stuck")
        (LOG / "broken").touch()
        lib.moorctl("stop", "-t", "0", "web")
        lib.wait_until(lambda: self.log()[-1][1] == "DEL", what="it was tried")
        result = lib.moorctl("start", "web", check=False)
        self.assertIn("What the last run left cannot be undone", result.stderr)
        (LOG / "broken").unlink()
        lib.moorctl("start", "web")
        self.assertEqual(self.log()[-1][1], "ADD")

    def test_killed_in_add(self):
        """mooring cni, in the middle of a chain: what it had done is undone, with the namespace."""

        self.write_network("slow", {"type": "ok"}, {"type": "hangs"})
        with self.starting("slow"):
            self.wait_log("hangs", "ADD")
            kill_plugins()
        self.assertIn("ended without an answer", self.stderr)
        self.nothing_is_attached()
        self.assertEqual([line[:2] for line in self.log()], [["ok", "ADD"], ["hangs", "ADD"], ["hangs", "DEL"], ["ok", "DEL"]])
        self.assertNotIn("none", (LOG / "log").read_text(encoding="utf-8"))

    def test_killed_in_del(self):
        self.write_network("slow", {"type": "ok"}, {"type": "lingers"})
        self.start("slow")
        (LOG / "linger").touch()
        lib.moorctl("kill", "-s", "KILL", "web")
        lib.wait_until((LOG / "lingering").exists, what="it lingers")
        (LOG / "linger").unlink()
        kill_plugins()
        self.nothing_is_attached()
        self.assertEqual([line[:2] for line in self.log()[2:]], [["lingers", "DEL"], ["lingers", "DEL"], ["ok", "DEL"]])
        self.assertNotIn("none", (LOG / "log").read_text(encoding="utf-8"))

    def test_both_are_killed(self):
        """moored and mooring cni, in the middle of a chain."""

        self.write_network("slow", {"type": "ok"}, {"type": "hangs"})
        with self.starting("slow"):
            self.wait_log("hangs", "ADD")
            with moored_stands_still():
                kill_plugins()
                self.assertEqual(records(), [f"{KEY}web.json"])
                self.hang_no_more()
        lib.moorctl("rm", "-f", "web", check=False)
        self.nothing_is_attached()

    def test_moored_is_away_at_the_end(self):
        self.write_network("two", {"type": "ok"}, {"type": "ok2"})
        self.start("two")
        with moored_stands_still():
            lib.run(["systemctl", "kill", "--signal=KILL", "moored-default-web.service"])
            self.assertEqual(len(records()), 1)
        lib.wait_until(lambda: records() == [], what="the next moored detaches it")
        # It still had the namespace.
        self.assertNotIn("none", (LOG / "log").read_text(encoding="utf-8"))

    def test_moored_is_stopped(self):
        """Where the service manager then keeps nothing for it (systemd before 254), the namespace is the process's, and is asked for."""

        self.write_network("two", {"type": "ok"}, {"type": "ok2"})
        self.start("two")
        inode = os.stat(self.inspect("web")["NetworkNamespace"]).st_ino
        lib.run(["systemctl", "stop", "moored.service"])
        lib.start_moored()
        lib.wait_until(lambda: stored() == self.stored_before + 1, what="the namespace is kept again")
        self.assertEqual(os.stat(self.inspect("web")["NetworkNamespace"]).st_ino, inode)
        lib.moorctl("rm", "-f", "web")
        self.nothing_is_attached()
        self.assertEqual([line[:2] for line in self.log()[2:]], [["ok2", "DEL"], ["ok", "DEL"]])
        self.assertNotIn("none", (LOG / "log").read_text(encoding="utf-8"))

    def test_moored_is_killed_in_between(self):
        self.write_network("late", {"type": "ok"}, {"type": "ok2"})
        for i in range(5):
            process = subprocess.Popen(["moorctl", "run", "-d", f"--name=k{i}", "--network=cni:late", BUSYBOX, "sleep", "1000"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.02 * i)
            lib.run(["systemctl", "kill", "--signal=KILL", "moored.service"])
            process.wait(timeout=60)
        lib.wait_until(lambda: lib.moorctl("ps", "-q", check=False).returncode == 0, what="moored is back")
        for i in range(5):
            lib.moorctl("rm", "-f", f"k{i}", check=False)
        self.nothing_is_attached()
        added = {line[2] for line in self.log() if line[1] == "ADD"}
        deleted = {line[2] for line in self.log() if line[1] == "DEL"}
        self.assertLessEqual(added, deleted)


def filters():
    """What is in the host's iptables, and its devices, without counters."""

    saved = []
    for program in ("iptables-save", "ip6tables-save"):
        text = lib.run([program], check=False).stdout
        saved += [line.split(" [")[0] for line in text.splitlines() if not line.startswith("#")]
    return sorted(saved)


def devices():
    return sorted(link["ifname"] for link in json.loads(lib.run(["ip", "-j", "link"]).stdout))


def leases():
    return sorted(str(p) for pattern in ("*/10.*", "*/fd*") for p in LEASES.glob(pattern)) if LEASES.exists() else []


class DebianTest(CniTestCase):
    """bridge, portmap, firewall, tuning, static and bandwidth from containernetworking-plugins, from ADD to DEL."""

    hosts = "ab"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not DEBIAN.exists():
            raise AssertionError(f"there is no {DEBIAN}: the test host has no containernetworking-plugins")
        for program in ("iptables", "ip6tables"):
            if not shutil.which(program):
                raise AssertionError(f"the test host has no {program}, which portmap and firewall run")
            lib.run([program, "-t", "nat", "-L", "-n"])

    def setUp(self):
        super().setUp()
        for program in ("iptables", "ip6tables"):
            saved = lib.run([f"{program}-save"], check=False).stdout
            self._cleanups.insert(0, (self._restore, (program, saved), {}))

    def _restore(self, program, saved):
        lib.run(["ip", "link", "del", "cnireal0"], check=False)
        for table in ("filter", "nat", "mangle"):
            for what in ("-F", "-X"):
                lib.run([program, "-t", table, what], check=False)
        lib.run([f"{program}-restore"], check=False, input=saved)
        shutil.rmtree(LEASES, ignore_errors=True)

    def network(self, name, *more):
        """All have the same addresses, so that what one left would be in the way of the others."""

        self.write_network(name,
                           {"type": "bridge", "bridge": "cnireal0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
                            "ipam": {"type": "host-local", "dataDir": str(LEASES), "routes": [{"dst": "0.0.0.0/0"}],
                                     "ranges": [[{"subnet": "10.99.9.0/24"}]]}},
                           {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}, {"type": "firewall"},
                           {"type": "tuning", "capabilities": {"mac": True}, "sysctl": {"net.ipv4.conf.all.log_martians": "1"}},
                           *more, version="0.4.0")

    def nothing_is_left(self):
        self.nothing_is_attached()
        lib.wait_until(lambda: devices() == self.baseline[0], what=f"devices are as before: {devices()}, {self.baseline[0]}")
        self.assertEqual((leases(), filters()), ([], self.baseline[1]))

    def test_chain(self):
        self.network("real")
        self.serve("web", "--network=cni:real:mac=02:00:5e:00:53:02", "-p", "8080:80")
        network, name, mac, addresses, _ = self.inspect("web")["Networks"][0]
        self.assertEqual((network, name, mac), ("cni:real", "eth0", "02:00:5e:00:53:02"))
        self.assertRegex(addresses[0], r"\A10\.99\.9\.\d+/24\Z")
        self.assertIn(f"inet {addresses[0]}", lib.moorctl("exec", "web", "ip", "addr").stdout)
        self.assertEqual(lib.moorctl("exec", "web", "cat", "/proc/sys/net/ipv4/conf/all/log_martians").stdout, "1\n")
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        self.assertEqual(talk("127.0.0.1", 8080), "web")
        self.assertEqual(self.ask("web", "10.99.9.1", 8080), "web")
        self.assertTrue(any("10.99.9." in line for line in filters()))
        self.assertEqual(len(leases()), 1)

        # Kept by who is started anew, whatever happens to moored.
        lib.kill9_moored()
        self.assertEqual(self.inspect("web")["Networks"][0][3], addresses)
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")

        # What stays after DEL is the plug-ins': a bridge, chains without rules for anybody.
        lib.moorctl("rm", "-f", "web")
        self.nothing_is_attached()
        self.assertFalse([line for line in filters() if "10.99.9." in line and "-s 10.99.9.0/24" not in line])
        self.baseline = devices(), filters()
        self.nothing_is_left()

        # It works again; who fails, hangs or is missing at the end of the chain leaves as little.
        self.serve("web", "--network=cni:real", "-p", "8080:80")
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        lib.moorctl("rm", "-f", "web")
        self.nothing_is_left()
        self.network("bad", {"type": "fails"})
        self.fails("--rm", "--network=cni:bad", "-p", "8080:80", BUSYBOX, "true", text="no addresses left")
        self.nothing_is_left()
        self.network("missing", {"type": "nowhere"})
        self.fails("--rm", "--network=cni:missing", "-p", "8080:80", BUSYBOX, "true", text='"nowhere"')
        self.nothing_is_left()
        self.network("slow", {"type": "hangs"})
        result = lib.moorctl("run", "--rm", "--network=cni:slow", "-p", "8080:80", BUSYBOX, "true", check=False, timeout=90)
        self.assertIn("did not end in time", result.stderr)
        self.nothing_is_left()

        # Killed in the middle: mooring cni, then both.
        with self.starting("slow"):
            self.wait_hanging(2)
            kill_plugins()
        self.nothing_is_left()
        with self.starting("slow"):
            self.wait_hanging(3)
            with moored_stands_still():
                kill_plugins()
                self.assertEqual(len(leases()), 1)
                self.hang_no_more()
        self.assertIn("no addresses left", self.stderr)
        self.nothing_is_left()

    @staticmethod
    def bridge(ipam, **more):
        return {"type": "bridge", "bridge": "cnireal0", "isGateway": True, "ipam": ipam, **more}

    def test_both_families(self):
        ipam = {"type": "host-local", "dataDir": str(LEASES), "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                "ranges": [[{"subnet": "10.99.9.0/24"}], [{"subnet": "fd00:99:9::/64"}]]}
        self.write_network("six", self.bridge(ipam, ipMasq=True, hairpinMode=True, capabilities={"ips": True}),
                           {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}, {"type": "firewall"}, version="0.4.0")
        self.serve("web", "--network=cni:six", "-p", "8080:80")
        addresses = self.inspect("web")["Networks"][0][3]
        self.assertEqual([a.split("/")[1] for a in addresses], ["24", "64"])
        self.assertRegex(addresses[1], r"\Afd00:99:9::")
        for family in 4, 6:
            self.assertEqual(talk(self.address("web", family), 80), "web")
        self.assertEqual(talk(HOST4, 8080, outside=True), "web")
        self.assertEqual(talk(HOST6, 8080, outside=True), "web")
        self.assertEqual(len(leases()), 2)
        # One that is asked for, with its length.
        self.serve("other", "--network=cni:six:ip=10.99.9.77/24,ip6=fd00:99:9::77/64")
        self.assertEqual(self.inspect("other")["Networks"][0][3], ["10.99.9.77/24", "fd00:99:9::77/64"])
        self.assertEqual(self.ask("web", "fd00:99:9::77"), "other")
        lib.moorctl("rm", "-f", "web", "other")
        self.nothing_is_attached()
        self.assertEqual(leases(), [])
        # What stays is the plug-ins'; it does not grow.
        self.baseline = devices(), filters()
        self.serve("web", "--network=cni:six", "-p", "8080:80")
        self.assertEqual(talk(HOST6, 8080, outside=True), "web")
        lib.moorctl("rm", "-f", "web")
        self.nothing_is_left()

    def test_static(self):
        self.write_network("fixed", self.bridge({"type": "static"}, capabilities={"ips": True}))
        given = ["10.99.9.77/24", "fd00:99:9::77/64"]
        self.serve("web", f"--network=cni:fixed:ip={given[0]},ip6={given[1]}")
        for _ in range(2):
            self.assertEqual(self.inspect("web")["Networks"][0][3], given)
            shown = lib.moorctl("exec", "web", "ip", "addr").stdout
            self.assertIn(f"inet {given[0]}", shown)
            self.assertIn(f"inet6 {given[1]}", shown)
            # The kernel looks for duplicates of the bridge's own address first.
            for address in given:
                lib.wait_until(lambda a=address: talk(a.split("/")[0], 80, timeout=1) == "web", what=f"{address} answers")
            lib.kill9_moored()
            lib.moorctl("restart", "-t", "0", "web")
            self.listens("web")
        lib.moorctl("rm", "-f", "web")
        self.fails("--rm", "--network=cni:fixed:ip=10.99.9.77", BUSYBOX, "true", text="CIDR")

    def test_bandwidth(self):
        ipam = {"type": "host-local", "dataDir": str(LEASES), "ranges": [[{"subnet": "10.99.9.0/24"}]]}
        self.write_network("slow", self.bridge(ipam), {"type": "bandwidth", "capabilities": {"bandwidth": True}}, version="0.4.0")
        self.serve("web", "--network=cni:slow:received_rate=8mbit,sent_rate=4mbit")
        for _ in range(2):
            port = json.loads(lib.run(["ip", "-j", "link", "show", "master", "cnireal0"]).stdout)[0]["ifname"]
            # What the host's end sends the container receives; what that end receives is sent on by another device.
            self.assertRegex(lib.run(["tc", "qdisc", "show", "dev", port, "root"]).stdout, r"tbf .*rate 8Mbit burst 128Kb ")
            ifb = [line for line in lib.run(["tc", "qdisc"]).stdout.splitlines() if " dev bwp" in line]
            self.assertEqual(len(ifb), 1)
            self.assertRegex(ifb[0], r"tbf .*rate 4Mbit burst 128Kb ")
            self.assertEqual(talk(self.address("web"), 80), "web")
            lib.moorctl("restart", "-t", "0", "web")
            self.listens("web")
        lib.moorctl("network", "reload")
        lib.moorctl("rm", "-f", "web")
        self.nothing_is_attached()
        self.assertFalse([name for name in devices() if name.startswith("bwp")])
        self.assertEqual(leases(), [])

    def test_killed_at_random(self):
        """moored, while containers come and go: nothing of theirs is left.

        Not the plug-ins: "bridge" removes the device first and then the rule for masquerading, which it finds by the device's addresses. Killed
        between the two it leaves the rule for good."""

        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        self.network("real")
        self.serve("first", "--network=cni:real", "-p", "9000:80")
        lib.moorctl("rm", "-f", "first")
        self.nothing_is_attached()
        self.baseline = devices(), filters()
        starts = []
        for i in range(12):
            starts.append(subprocess.Popen(["moorctl", "run", "-d", f"--name=k{i}", "--network=cni:real", "-p", f"{9000 + i}:80", BUSYBOX, "sleep",
                                            "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(dice.uniform(0, 0.15))
            if i % 3 == 0:
                lib.kill9_moored()
            if i % 5 == 4:
                lib.moorctl("rm", "-f", f"k{dice.randrange(i)}", check=False)
        for process in starts:
            process.wait(timeout=100)
        # One whose "moorctl run" lost moored may be under way still.
        lib.wait_until(lambda: {c["State"] for c in lib.moorctl_json("ps", "-a")} <= {"created", "running", "exited"}, what="all have settled")
        names = lib.moorctl("ps", "-a", "-q").stdout.split()
        running = [self.inspect(name) for name in names]
        addresses = [c["Networks"][0][3][0] for c in running if c["State"] == "running"]
        self.assertEqual(len(set(addresses)), len(addresses), seed)
        # Each that runs has what it says, and nobody else has anything.
        lib.wait_until(lambda: len(leases()) == len(addresses), what=f"leases are of those that run ({seed}): {leases()}, {addresses}")
        for c in running:
            if c["State"] == "running":
                self.assertIn(f"inet {c['Networks'][0][3][0]}", lib.moorctl("exec", c["Id"], "ip", "addr").stdout)
        if names:
            lib.moorctl("rm", "-f", *names)
        with self.subTest(seed=seed):
            self.nothing_is_left()

    def wait_hanging(self, n):
        lib.wait_until(lambda: [line[:2] for line in self.log()].count(["hangs", "ADD"]) == n, what="the plug-in hangs")
