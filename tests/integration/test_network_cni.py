# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of CNI plug-ins: attached at the start, detached at the end, whatever fails or is killed between."""

import json
import os
import pathlib
import shutil
import subprocess
import time
import unittest

import lib
from lib_container import BUSYBOX, daemon_away
from lib_network import NetworkTestCase

CONFIGURATIONS = pathlib.Path("/etc/cni/net.d")
FAKES = pathlib.Path("/opt/cni/bin")
STATE = pathlib.Path("/var/lib/moored/cni")
SOURCE = pathlib.Path("/src/tests/data/cni-plugins/fake")
LOG = pathlib.Path("/run/test-cni")
DEBIAN = pathlib.Path("/usr/lib/cni/bridge")


def write_network(name, *plugins, version="1.0.0"):
    CONFIGURATIONS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"cniVersion": version, "name": name, "plugins": list(plugins)})
    (CONFIGURATIONS / f"50-{name}.conflist").write_text(text, encoding="utf-8")


def records():
    return sorted(p.name for p in STATE.glob("*.json")) if STATE.exists() else []


def stored():
    return int(lib.unit_properties("moored.service", "NFileDescriptorStore")["NFileDescriptorStore"])


class FakeTest(NetworkTestCase):
    """Shell scripts in place of plug-ins. They write down what they are asked."""

    hosts = "ab"

    def setUp(self):
        super().setUp()
        shutil.rmtree(LOG, ignore_errors=True)
        LOG.mkdir()
        FAKES.mkdir(parents=True, exist_ok=True)
        text = SOURCE.read_text(encoding="utf-8").replace("$CNI_PATH/", f"{LOG}/")
        for name in ("ok", "ok2", "fails", "hangs", "sticky"):
            (FAKES / name).write_text(text, encoding="utf-8")
            (FAKES / name).chmod(0o755)
            self.addCleanup((FAKES / name).unlink)
        write_network("two", {"type": "ok"}, {"type": "ok2", "capabilities": {"portMappings": True, "mac": True}})
        self.addCleanup(shutil.rmtree, CONFIGURATIONS, ignore_errors=True)

    def log(self):
        path = LOG / "log"
        return [line.split()[:4] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def test_start_and_end(self):
        before = stored()
        lib.moorctl("run", "-d", "--name=web", "--network=cni:two:mac=02:00:5e:00:53:01", "-p", "8080:80", BUSYBOX, "sleep", "1000")
        key = "moored.7.default.web"
        self.assertEqual(self.log(), [["ok", "ADD", key, "eth0"], ["ok2", "ADD", key, "eth0"]])
        told = json.loads((LOG / "ok2.ADD").read_text(encoding="utf-8"))
        self.assertEqual(told["runtimeConfig"], {"mac": "02:00:5e:00:53:01",
                                                 "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})
        self.assertEqual(told["prevResult"]["by"], "ok")
        self.assertEqual(records(), [f"{key}.json"])
        self.assertEqual(stored(), before + 1)
        self.assertIn("LOOPBACK,UP", lib.moorctl("exec", "web", "ip", "link").stdout)
        lib.moorctl("rm", "-f", "web")
        lib.wait_until(lambda: records() == [], what="it is detached")
        self.assertEqual(self.log()[2:], [["ok2", "DEL", key, "eth0"], ["ok", "DEL", key, "eth0"]])
        lib.wait_until(lambda: stored() == before, what="the namespace goes")
        self.assertFalse(any(pathlib.Path("/run/moored/cni-netns").iterdir()))

    def test_failures(self):
        write_network("bad", {"type": "ok"}, {"type": "fails"})
        write_network("missing", {"type": "ok"}, {"type": "nowhere"})
        for network, words in (("bad", ('"fails"', "no addresses left")), ("missing", ('"nowhere"', "/opt/cni/bin")),
                               ("unknown", ('"unknown"', "/etc/cni/net.d"))):
            with self.subTest(network=network):
                result = lib.moorctl("run", "--rm", f"--network=cni:{network}", BUSYBOX, "true", check=False)
                self.assertNotEqual(result.returncode, 0)
                for word in words:
                    self.assertIn(word, result.stderr)
                lib.wait_until(lambda: records() == [], what="nothing is left")

    def test_hangs(self):
        write_network("slow", {"type": "hangs"})
        begin = time.monotonic()
        result = lib.moorctl("run", "--rm", "--network=cni:slow", BUSYBOX, "true", check=False, timeout=90)
        self.assertIn("did not end in time", result.stderr)
        self.assertLess(time.monotonic() - begin, 60)
        self.assertEqual(records(), [])

    def test_moored_is_away_at_the_end(self):
        lib.moorctl("run", "-d", "--name=web", "--network=cni:two", BUSYBOX, "sleep", "1000")
        with daemon_away():
            lib.run(["systemctl", "kill", "--signal=KILL", "moored-default-web.service"])
            self.assertEqual(len(records()), 1)
        lib.wait_until(lambda: records() == [], what="the next moored detaches it")
        # It still had the namespace.
        self.assertNotIn("none", (LOG / "log").read_text(encoding="utf-8"))

    def test_moored_is_killed_in_between(self):
        write_network("late", {"type": "ok"}, {"type": "ok2"})
        for i in range(5):
            process = subprocess.Popen(["moorctl", "run", "-d", f"--name=k{i}", "--network=cni:late", BUSYBOX, "sleep", "1000"])
            time.sleep(0.02 * i)
            lib.run(["systemctl", "kill", "--signal=KILL", "moored.service"])
            process.wait(timeout=60)
        lib.wait_until(lambda: lib.moorctl("ps", "-q", check=False).returncode == 0, what="moored is back")
        for i in range(5):
            lib.moorctl("rm", "-f", f"k{i}", check=False)
        lib.wait_until(lambda: records() == [], timeout=60, what="all is detached")
        added = {line[2] for line in self.log() if line[1] == "ADD"}
        deleted = {line[2] for line in self.log() if line[1] == "DEL"}
        self.assertLessEqual(added, deleted)


@unittest.skipUnless(DEBIAN.exists(), "containernetworking-plugins is not installed")
class DebianTest(NetworkTestCase):
    hosts = "ab"

    def test_chain(self):
        write_network("real",
                      {"type": "bridge", "bridge": "cnireal0", "isGateway": True, "ipMasq": True,
                       "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.9.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                      {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"},
                      {"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}})
        self.addCleanup(shutil.rmtree, CONFIGURATIONS, ignore_errors=True)
        self.addCleanup(lib.run, ["ip", "link", "del", "cnireal0"], check=False)
        self.serve("web", "--network=cni:real", "-p", "8080:80")
        self.assertIn("10.99.9.", lib.moorctl("exec", "web", "ip", "addr").stdout)
        rules = lib.run(["nft", "list", "ruleset"]).stdout
        self.assertIn("10.99.9.", rules)
        lib.moorctl("rm", "-f", "web")
        lib.wait_until(lambda: records() == [], what="it is detached")
        self.assertNotIn("10.99.9.", lib.run(["nft", "list", "ruleset"]).stdout)
        leases = pathlib.Path("/var/lib/cni/networks/real")
        self.assertFalse([p for p in os.listdir(leases) if p.startswith("10.")])
