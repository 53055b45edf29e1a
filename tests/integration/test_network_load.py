# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers come and go on three networks while the daemon is killed: no address, MAC or port is ever two containers', no name means another,
and nothing is left.

Each container answers with its name on its port 80: whoever reaches another has found an address, a port or a name that was given out twice.
When all is over, the events say from when until when each had what it had. MOORED_KILLS says how often the daemon is killed (default: 20, in host B,
which is slow, 12; ten containers are started for each time), MOORED_KILLS_SEED at which moments."""

import collections
import itertools
import json
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time

import lib
from lib_container import BUSYBOX, last_event
from lib_network import NetworkTestCase, elements, links, server, talk
from test_kill import assert_records, units
from test_kill_load import PATIENCE, SLOWNESS, Follower, Load, moorctl
from test_network import devices
from test_network_contention import network_namespaces
from test_recovery import DATABASE

# Of the first, addresses behind the range are asked for by who wants a certain one.
NETWORKS = {
    "load-a": ("--subnet=10.97.0.0/24", "--ip-range=10.97.0.0/25", "--subnet=fd97::/64", "--ip-range=fd97::/120"),
    "load-b": ("--ipv6",),
    "load-c": ("--ipv6",),
}
CERTAIN4, CERTAIN6 = "10.97.0.{}", "fd97::1:{:x}"
WORKERS = 8
KILLS = int(os.environ.get("MOORED_KILLS", "20" if SLOWNESS == 1 else "12"))
CONTAINERS = 10 * KILLS


class NetworkLoad(Load):
    def __init__(self, directory):
        super().__init__(directory)
        self.lock = threading.Lock()
        self.addresses = {}
        self.had = set()

    def take(self, name, addresses):
        """They are this container's alone, until they are given back."""

        with self.lock:
            for address in addresses:
                if self.addresses.setdefault(address, name) != name:
                    raise AssertionError(f"{address} is {self.addresses[address]}'s and {name}'s")

    def give_back(self, name):
        with self.lock:
            self.addresses = {a: n for a, n in self.addresses.items() if n != name}

    def note(self, name, now):
        """What it has, for the end."""

        self.had |= {(name, network, thing) for network, _, mac, addresses, *_ in now["Networks"] for thing in (mac, *(a.split("/")[0] for a in addresses))}
        self.had |= {(name, None, (protocol, port)) for protocol, _, first, _, count in now["Ports"] for port in range(first, first + count)}

    def answers(self, name, ask, what):
        """With its name; it may need a moment to listen, and moored to come back."""

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            said = ask()
            if said:
                if said != name:
                    raise AssertionError(f"{said} answers for {what}, not {name}")
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} does not answer for {what}")

    def answers_by(self, name, address, port):
        self.answers(name, lambda: talk(address, port, timeout=2.0 * SLOWNESS), f"{address} port {port}")

    def answers_to(self, name, asked):
        """By name, to the one that is on all networks."""

        try:
            self.answers(name, lambda: moorctl("exec", "stays", "sh", "-c", f"nc -w 3 {asked} 80 </dev/null").stdout.strip(), asked)
        except AssertionError as e:
            files = lib.run(f"grep -r '{name}' /run/moored/names", check=False).stdout
            resolv = moorctl("exec", "stays", "cat", "/etc/resolv.conf").stdout
            raise AssertionError(f"{e}: {self.inspect(name)['Networks']}\n{files}\n{resolv}") from e

    def choose(self, number):
        networks = random.sample(sorted(NETWORKS), random.choice((1, 1, 2)))
        certain = f":ip={CERTAIN4.format(200 + number)},ip={CERTAIN6.format(number + 1)},alias=certain{number}" if random.random() < 0.4 else ""
        return networks, [f"--network={n}{certain if n == 'load-a' else ''}" for n in networks]

    def lives(self, number):
        """One on a network or two, with a port; asked, put on another network, perhaps ended and started again, removed."""

        with self.lock:
            self.done["lives"] += 1
            name = f"net{number}-{self.done['lives']}"
        networks, options = self.choose(number)
        self.run_server(name, *options, "-p", "80")
        if random.random() < 0.3:
            more = random.choice(sorted(set(NETWORKS) - set(networks)))
            self.done["connected"] += moorctl("network", "connect", more, name).returncode == 0
        for again in range(random.choice((1, 1, 2))):
            now = self.until(name, "running")
            addresses = [a.split("/")[0] for n in now["Networks"] for a in n[3]]
            self.note(name, now)
            self.take(name, addresses)
            what = random.random()
            if what < 0.4:
                self.answers_by(name, random.choice(addresses), 80)
            elif what < 0.7:
                self.answers_by(name, "127.0.0.1", now["Ports"][0][2])
            else:
                self.answers_to(name, random.choice((f"{name}.{networks[0]}.moored.internal", name)))
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
        result = None
        for _ in range(100):
            result = moorctl("run", "-d", f"--name={name}", "--stop-timeout=0", *options, BUSYBOX, *command)
            if result.returncode == 0:
                return
            now = self.inspect(name)
            if now and now["State"] == "created":
                moorctl("start", name)
            if now and self.inspect(name)["State"] != "created":
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} cannot be run: {result.stderr}")


def intervals(events):
    """From when until when, in numbers of events, a container was there, and was on a network that it was put on later."""

    found = collections.defaultdict(lambda: [None, None])
    for event in events:
        if event["Topic"] in ("container/created", "container/removed"):
            # Those of which a run was undone before it began were made several times: the last time counts.
            found[event["Subject"], None][event["Topic"] == "container/removed"] = event["Sequence"]
        elif event["Topic"] == "network/connected":
            found[event["Details"]["Container"], event["Subject"]][0] = event["Sequence"]
    return found


class NetworkLoadTest(NetworkTestCase):
    hosts = "ab"
    timeout = (240 + 12 * KILLS) * SLOWNESS

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("MOORED_KILLS_SEED", str(random.randrange(1 << 30))))
        print(f"MOORED_KILLS={KILLS} MOORED_KILLS_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        directory = tempfile.TemporaryDirectory(prefix="network-load-", ignore_cleanup_errors=True)  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        self.load = NetworkLoad(directory.name)
        self.bridges_before = devices()
        for name, options in NETWORKS.items():
            lib.moorctl("network", "create", *options, name)
            self.addCleanup(lib.moorctl, "network", "rm", "--ignore", name, check=False)

    def kill(self, number):
        lib.wait_until(lambda: self.load.done["lives"] >= 10 * number or self.load.problems, timeout=10 * PATIENCE, what="enough are started")
        time.sleep(self.random.uniform(0, 0.5) * SLOWNESS)
        pid = lib.wait_until(lib.moored_pid, timeout=PATIENCE, interval=0.005, what="moored is back")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def assert_never_twice(self, events):
        when = intervals(events)
        users = collections.defaultdict(list)
        for name, network, thing in self.load.had:
            begin, end = when[name, None]
            begin = when[name, network][0] or begin
            self.assertTrue(begin and end and begin < end, f"{name}: {begin}, {end}")
            users[network if isinstance(thing, str) else None, thing].append((begin, end, name))
        for thing, uses in users.items():
            for (_, end, earlier), (begin, _, later) in itertools.pairwise(sorted(uses)):
                self.assertLess(end, begin, f"{thing}: {earlier} and {later}")
        return sum(len(uses) > 1 for uses in users.values()), len(users)

    def assert_nothing_recorded(self):
        db = sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)
        for table in ("interfaces", "addresses", "ports"):
            self.assertEqual(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0], 0, table)
        db.close()

    def assert_networks_gone(self, stored):
        """Bridges, resolvers and rules go with their networks."""

        bridges = {json.loads(lib.moorctl("network", "inspect", n).stdout)[0]["Device"] for n in NETWORKS}
        lib.moorctl("network", "rm", *NETWORKS)
        self.assertEqual(devices() & bridges, set())
        table = lib.run(["nft", "list", "table", "inet", "moored"], check=False).stdout
        self.assertEqual([b for b in bridges if f'"{b}"' in table], [])

        def resolvers():
            found = lib.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "moored-dns@*"]).stdout
            names = os.listdir("/run/moored/names") if os.path.exists("/run/moored/names") else []
            return [b for b in bridges if f"moored-dns@{b}.service" in found or b in names]

        lib.wait_until(lambda: not resolvers(), timeout=PATIENCE, what=f"resolvers are gone: {resolvers()}")
        self.assertEqual(lib.stored_descriptors(), stored)

    def test_load(self):
        lib.kill9_moored()
        lib.moorctl("ps")
        devices_before, elements_before, descriptors_before, namespaces = links(), elements(), lib.descriptors(), network_namespaces()
        stored = lib.stored_descriptors()
        follower = Follower(last_event())
        # One stays: what the others do is nothing to it.
        self.load.run_server("stays", *[f"--network={n}" for n in NETWORKS], "-p", "8099:80")
        stays = self.load.inspect("stays")
        self.load.note("stays", stays)
        for i in range(WORKERS):
            self.load.start(self.load.lives, i)
        for i in range(KILLS):
            self.kill(i)
            self.assertEqual(self.load.problems, [])
            self.load.answers_by("stays", "127.0.0.1", 8099)
        lib.wait_until(lambda: self.load.done["lives"] >= CONTAINERS or self.load.problems, timeout=10 * PATIENCE, what="enough are started")
        lib.wait_until(lambda: lib.moorctl("ps", "-q", check=False).returncode == 0, timeout=PATIENCE, what="moored answers")
        self.load.finish()
        self.assertEqual(self.load.problems, [])
        now = self.load.inspect("stays")
        self.assertEqual((now["State"], now["LeaderPID"], now["Networks"]), ("running", stays["LeaderPID"], stays["Networks"]))
        self.load.answers_by("stays", "127.0.0.1", 8099)
        lib.moorctl("rm", "-f", "stays")
        follower.finish()
        self.assertEqual(follower.problems, [])
        again, things = self.assert_never_twice(follower.events)
        print(f"{KILLS} kills, {dict(self.load.done)}, {things} addresses, MACs and ports, {again} of them used more than once", flush=True)

        self.assertEqual([c["Id"] for c in lib.moorctl_json("ps", "-a") or []], [])
        self.assertEqual({u for u in units() if u != "moored.service"}, set())
        lib.wait_until(lambda: not links() - devices_before, timeout=PATIENCE, what="no device is left")
        self.assertEqual(elements() - elements_before, set())
        lib.wait_until(lambda: network_namespaces() <= namespaces, timeout=PATIENCE, what="no network namespace is left")
        lib.assert_nothing_left(self.leftovers_before, timeout=PATIENCE, ignore=("snapshots",))
        assert_records(timeout=PATIENCE)
        self.assert_nothing_recorded()
        self.assert_networks_gone(stored)
        self.assertEqual(devices(), self.bridges_before)
        lib.kill9_moored()
        lib.moorctl("ps")
        lib.wait_until(lambda: not lib.descriptors() - descriptors_before, what=f"no descriptor more than {descriptors_before}")
