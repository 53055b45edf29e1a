# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers come and go on three networks while the daemon is killed: no address, port or name is ever two containers', and nothing is left.

Each container answers with its name on its port 80: whoever reaches another has found an address or a port that was given out twice.
MOORED_KILLS says how often the daemon is killed (default: 12), MOORED_KILLS_SEED at which moments."""

import os
import random
import signal
import tempfile
import threading
import time

import lib
from lib_container import BUSYBOX
from lib_network import NetworkTestCase, elements, links, server, talk
from test_kill import assert_records, units
from test_kill_load import KILLS, PATIENCE, SLOWNESS, Load, descriptors, moorctl

NETWORKS = ("load-a", "load-b", "load-six")
WORKERS = 8


class NetworkLoad(Load):
    def __init__(self, directory):
        super().__init__(directory)
        self.lock = threading.Lock()
        self.addresses = {}

    def take(self, name, addresses):
        """They are this container's alone, until they are given back."""

        with self.lock:
            for address in addresses:
                if self.addresses.setdefault(address, name) != name:
                    raise AssertionError(f"{address} is {self.addresses[address]}'s and {name}'s")

    def give_back(self, name):
        with self.lock:
            self.addresses = {a: n for a, n in self.addresses.items() if n != name}

    def answers(self, name, address, port):
        """With its name; it may need a moment to listen."""

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            said = talk(address, port, timeout=2.0 * SLOWNESS)
            if said:
                if said != name:
                    raise AssertionError(f"{said} answers on {address} port {port}, not {name}")
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} does not answer on {address} port {port}")

    def lives(self, number):
        """One on a network or two, with a port; asked, perhaps ended and started again, removed."""

        self.done["lives"] += 1
        name = f"net{number}.{self.done['lives']}"
        options = [f"--network={n}" for n in random.sample(NETWORKS, random.choice((1, 1, 2)))]
        self.run_server(name, *options, "-p", "80")
        for again in range(random.choice((1, 1, 2))):
            now = self.until(name, "running")
            addresses = [a.split("/")[0] for n in now["Networks"] for a in n[3]]
            self.take(name, addresses)
            if random.random() < 0.5:
                self.answers(name, random.choice(addresses), 80)
            else:
                self.answers(name, "127.0.0.1", now["Ports"][0][2])
            moorctl(random.choice(("kill", "stop")), name)
            if again or self.until(name, "exited", "running")["State"] == "running":
                break
            self.restart(name)
        # Before it is removed: whoever gets them next may do so at once.
        self.give_back(name)
        self.remove(name)

    def restart(self, name):
        while (self.inspect(name) or {}).get("State") in ("created", "exited"):
            moorctl("start", name)

    def run_server(self, name, *options):
        self.run_command(name, server(name), *options)

    def run_command(self, name, command, *options):
        for _ in range(100):
            if moorctl("run", "-d", f"--name={name}", "--stop-timeout=0", *options, BUSYBOX, *command).returncode == 0:
                return
            now = self.inspect(name)
            if now and now["State"] == "created":
                moorctl("start", name)
            if now and self.inspect(name)["State"] != "created":
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} cannot be run")


class NetworkLoadTest(NetworkTestCase):
    hosts = "ab"
    timeout = (180 + 4 * KILLS) * SLOWNESS

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("MOORED_KILLS_SEED", str(random.randrange(1 << 30))))
        print(f"MOORED_KILLS={KILLS} MOORED_KILLS_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        directory = tempfile.TemporaryDirectory(prefix="network-load-", ignore_cleanup_errors=True)  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        self.load = NetworkLoad(directory.name)
        for name in NETWORKS:
            lib.moorctl("network", "create", *(["--ipv6"] if name == "load-six" else []), name)
            self.addCleanup(lib.moorctl, "network", "rm", "--ignore", name)

    def kill(self):
        time.sleep(self.random.uniform(0, 1.5) * SLOWNESS)
        pid = lib.wait_until(lib.moored_pid, timeout=PATIENCE, interval=0.005, what="moored is back")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_load(self):
        lib.kill9_moored()
        lib.moorctl("ps")
        devices_before, elements_before, descriptors_before = links(), elements(), descriptors()
        # One stays: what the others do is nothing to it.
        self.load.run_server("stays", "--network=load-a", "-p", "8099:80")
        stays = self.load.inspect("stays")
        for i in range(WORKERS):
            self.load.start(self.load.lives, i)
        for _ in range(KILLS):
            self.kill()
            self.assertEqual(self.load.problems, [])
            self.load.answers("stays", "127.0.0.1", 8099)
        lib.wait_until(lambda: lib.moorctl("ps", "-q", check=False).returncode == 0, timeout=PATIENCE, what="moored answers")
        self.load.finish()
        self.assertEqual(self.load.problems, [])
        now = self.load.inspect("stays")
        self.assertEqual((now["State"], now["LeaderPID"], now["Networks"]), ("running", stays["LeaderPID"], stays["Networks"]))
        self.load.answers("stays", "127.0.0.1", 8099)
        lib.moorctl("rm", "-f", "stays")
        print(f"{KILLS} kills, {dict(self.load.done)}", flush=True)

        self.assertEqual([c["Id"] for c in lib.moorctl_json("ps", "-a")], [])
        self.assertEqual({u for u in units() if u != "moored.service"}, set())
        lib.wait_until(lambda: not links() - devices_before, timeout=PATIENCE, what="no device is left")
        self.assertEqual(elements() - elements_before, set())
        assert_records(timeout=PATIENCE)
        lib.moorctl("network", "rm", *NETWORKS)
        lib.kill9_moored()
        lib.moorctl("ps")
        lib.wait_until(lambda: not descriptors() - descriptors_before, what=f"no descriptor more than {descriptors_before}")
