# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers want the same ports, and more addresses than there are, while some are killed or removed, and the daemon is killed: each gets all
or a sentence, no address, MAC or port is ever two containers', and what is in a container is what its record says.

MOORED_KILLS says how often the daemon is killed (default: 4); ten containers are started for each time."""

import collections
import json
import os
import random
import re
import signal
import sqlite3
import threading
import time

import lib
from lib_container import BUSYBOX, unit_of
from lib_network import NetworkTestCase, elements, links
from test_recovery import DATABASE

KILLS = int(os.environ.get("MOORED_KILLS", "4"))
CONTAINERS = 10 * KILLS
WORKERS = 6
PATIENCE = 120
NETWORKS = {
    "four": ("--subnet=10.77.0.0/24",),
    "six": ("--subnet=10.78.0.0/24", "--subnet=fd77::/64"),
    # Fewer addresses than there may be containers.
    "small": ("--subnet=10.79.0.0/29",),
}


def moorctl(*args):
    """It may fail, whenever the daemon is killed."""

    return lib.moorctl(*args, check=False, timeout=PATIENCE)


def again(*args):
    """Until moored answers."""

    while True:
        result = moorctl(*args)
        if "went away" not in result.stderr:
            return result


def inspect_all():
    """What is there now; some go while they are asked for."""

    found = {}
    for name in again("ps", "-a", "-q").stdout.split():
        result = again("inspect", "--type=container", name)
        if result.returncode == 0:
            found[name] = json.loads(result.stdout)[0]
    return found


def network_namespaces():
    """Of processes of the host; each once."""

    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.add(os.stat(f"/proc/{pid}/ns/net").st_ino)
        except OSError:
            continue
    return found


class ContentionTest(NetworkTestCase):
    timeout = 120 + 10 * KILLS

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("MOORED_KILLS_SEED", random.randrange(1 << 32)))
        self.random = random.Random(self.seed)
        self.lock = threading.Lock()
        self.todo = CONTAINERS
        self.outcomes = collections.Counter()
        self.problems = []
        print(f"MOORED_KILLS={KILLS} MOORED_KILLS_SEED={self.seed}", flush=True)
        for name, options in NETWORKS.items():
            lib.moorctl("network", "create", *options, name)
            self.addCleanup(lib.moorctl, "network", "rm", "--ignore", name, check=False)

    # -- what is done --

    def choose(self):
        """The next container's name and options; None: there were enough."""

        with self.lock:
            if self.todo == 0:
                return None
            self.todo -= 1
            names = self.random.sample(sorted(NETWORKS), self.random.choice((1, 1, 2)))
            options = [f"--network={n}" for n in names]
            # Ports of the host that several want, and one that is free.
            port = 7000 + self.random.randrange(20)
            options += self.random.choice((["-p", f"{port}:80"], ["-p", "80"], ["-p", f"127.0.0.1:{port}:80/udp", "-p", "81-83"], []))
            options += self.random.choice(([], [], ["--restart=always"]))
            return f"c{self.todo}", options, self.random.choice(("kill", "stop", "rm", "restart", "leave")), self.random.random()

    def note(self, result):
        if result.returncode == 0:
            kind = "done"
        elif "went away" in result.stderr:
            kind = "not answered"
        elif re.search("no address left|cannot be published", result.stderr):
            kind = "refused"
        elif re.search("no container|There is no", result.stderr):
            kind = "was not there"
        else:
            kind = "failed"
            self.problems.append(result.stderr)
        with self.lock:
            self.outcomes[kind] += 1
        return kind

    def live(self, name, options, what, pause):
        if self.note(moorctl("run", "-d", f"--name={name}", *options, BUSYBOX, "sleep", "100000")) not in ("done", "not answered"):
            return
        time.sleep(pause)
        if what == "kill":
            pid = int(lib.unit_properties(unit_of(name), "MainPID")["MainPID"])
            if pid > 0:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        elif what == "stop":
            self.note(moorctl("stop", "-t", "0", name))
        elif what == "restart":
            self.note(moorctl("restart", "-t", "0", name))
        if what != "leave":
            self.note(moorctl("rm", "-f", name))

    def work(self):
        try:
            while chosen := self.choose():
                self.live(*chosen)
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append(repr(e))

    # -- what must be --

    def assert_unique(self, found):
        """No two have the same, as records have it."""

        have = collections.Counter()
        for container in found.values():
            for network, _, mac, addresses, *_ in container["Networks"]:
                have.update((network, a.split("/")[0]) for a in addresses)
                have.update([(network, mac)])
            for protocol, _, first, _, count in container["Ports"]:
                have.update((protocol, port) for port in range(first, first + count))
        self.assertEqual([k for k, n in have.items() if n > 1], [])

    def assert_as_recorded(self, name, container):
        """A container that runs has in its namespace what its record says."""

        # It may have ended since, or been started anew.
        command = ["nsenter", f"--net=/proc/{container['LeaderPID']}/ns/net", "ip", "-j", "addr"]
        result = lib.run(command, check=False)
        if result.returncode != 0:
            return
        really = {l["ifname"]: l for l in json.loads(result.stdout) if l["ifname"] != "lo"}
        self.assertEqual(set(really), {i[1] for i in container["Networks"]}, name)
        for _, interface, mac, addresses, *_ in container["Networks"]:
            self.assertEqual(really[interface]["address"], mac, name)
            self.assertEqual({f"{a['local']}/{a['prefixlen']}" for a in really[interface]["addr_info"] if a["scope"] == "global"},
                             set(addresses), name)

    def assert_ports_are_open(self, found):
        """Elements of the rules are those of containers that run."""

        wanted = sum(count * (2 if any(':' in a for n in c["Networks"] for a in n[3]) and not address else 1)
                     for c in found.values() if c["State"] == "running" for _, address, _, _, count in c["Ports"])
        self.assertEqual(len([e for e in elements() if re.match("(ports|hosts)[46] ", e)]), wanted)

    def check_now(self):
        found = inspect_all()
        self.assert_unique(found)
        for name, container in found.items():
            if container["State"] == "running":
                self.assert_as_recorded(name, container)

    def test_contention(self):
        namespaces = network_namespaces()
        descriptors = len(os.listdir(f"/proc/{lib.moored_pid()}/fd"))
        workers = [threading.Thread(target=self.work) for _ in range(WORKERS)]
        for w in workers:
            w.start()
        for kills in range(KILLS):
            lib.wait_until(lambda: CONTAINERS - self.todo >= 10 * kills or not any(w.is_alive() for w in workers), timeout=PATIENCE * KILLS,
                           what="enough are started")
            time.sleep(self.random.random() / 2)
            lib.kill9_moored()
            self.check_now()
        for w in workers:
            w.join()
        print(dict(self.outcomes), flush=True)
        self.assertEqual(self.problems, [])

        lib.wait_until(lambda: all(c["State"] in ("running", "created", "exited") for c in inspect_all().values()), what="all have settled")
        found = inspect_all()
        self.assert_unique(found)
        for name, container in found.items():
            if container["State"] == "running":
                self.assert_as_recorded(name, container)
        self.assert_ports_are_open(found)

        if found:
            lib.moorctl("rm", "-f", *found)
        lib.moorctl("network", "rm", *NETWORKS)
        lib.wait_until(lambda: network_namespaces() <= namespaces, what="the network namespaces are gone")
        lib.wait_until(lambda: not links(), what="the devices are gone")
        self.assertEqual([e for e in elements() if re.match("(ports|hosts)[46] ", e)], [])
        db = sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)
        for table in ("interfaces", "addresses", "ports"):
            self.assertEqual(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0], 0, table)
        db.close()
        # The kernel's side was opened meanwhile.
        self.assertLessEqual(len(os.listdir(f"/proc/{lib.moored_pid()}/fd")), descriptors + 8)
