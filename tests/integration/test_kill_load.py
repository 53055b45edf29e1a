# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed at random moments during a load of 20 containers: nothing is lost, told twice or left.

What really happened is written down by the containers and execs themselves, into files of the host: a line for each start, and one for each end that
they chose. MOORED_KILLS says how often the daemon is killed (default: 12), MOORED_KILLS_SEED at which moments."""

import collections
import json
import os
import random
import signal
import tempfile
import threading
import time

import lib
import lib_store
from lib_container import BUSYBOX, ContainerTestCase, last_event, unit_of
from test_kill import assert_records, units

KILLS = int(os.environ.get("MOORED_KILLS", "12"))
# Only host B, which is slow, has it.
HAS_MEMORY = os.path.exists("/sys/fs/cgroup/system.slice/memory.stat")
SLOWNESS = 8 if HAS_MEMORY else 1
PATIENCE = 60 * SLOWNESS
# Each run: a line, a moment, a line, an end by a known code.
ONCE = "echo start >>/log/{name}; sleep {seconds}; echo exit {code} >>/log/{name}; exit {code}"
# The code is the number of runs before it, from 1 on.
AGAIN = ("echo start >>/log/{name}; n=$(grep -c start /log/{name}); c=$((n % 100 + 1)); sleep {seconds}; "
         "echo exit $c >>/log/{name}; exit $c")
GREEDY = "echo start >>/log/{name}; exec tail /dev/zero"
FOREVER = "echo start >>/log/{name}; exec sleep 100000"


def moorctl(*args):
    """It may fail, whenever the daemon is killed."""

    return lib.moorctl(*args, check=False, timeout=PATIENCE)


class Load:
    """Threads that use moored as people do who try again when it does not answer."""

    def __init__(self, directory):
        self.directory = directory
        self.ends = threading.Event()
        self.threads = []
        self.problems = []
        self.done = collections.Counter()

    def start(self, function, *args):
        def run():
            try:
                while not self.ends.is_set():
                    function(*args)
            except Exception as e:  # pylint: disable=broad-except
                self.problems.append(f"{function.__name__}{args}: {e!r}")

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

    def finish(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(timeout=2 * PATIENCE)
            if thread.is_alive():
                self.problems.append("a thread does not end")

    def log(self, name):
        """What the container has written: ["start", "exit 7", …]"""

        try:
            with open(f"{self.directory}/{name}", encoding="ascii") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    @staticmethod
    def inspect(name):
        """Its properties, None if there is no such container. The daemon may need a moment to come back."""

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            result = moorctl("inspect", "--type=container", name, "--json=short")
            if result.returncode == 0:
                return json.loads(result.stdout)[0]
            if "There is no container" in result.stderr:
                return None
            time.sleep(0.05)
        raise AssertionError(f"no answer about {name}: {result.stderr}")

    def run(self, name, script, *options):
        """A container of that name runs, or has; whoever was asked first."""

        command = ["run", "-d", f"--name={name}", "-v", f"{self.directory}:/log", *options, BUSYBOX, "sh", "-c", script]
        for _ in range(100):
            if moorctl(*command).returncode == 0:
                return
            now = self.inspect(name)
            if now is None:
                # It was not begun, or undone: then it must not have run.
                if self.log(name):
                    raise AssertionError(f"{name} ran and is not there")
            elif now["State"] == "created":
                command = ["start", name]
            else:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} cannot be run")

    def until(self, name, *states):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            now = self.inspect(name)
            if now and now["State"] in states:
                return now
            if not now or now["State"] in ("running", "stopping"):
                moorctl("wait", name)
            time.sleep(0.02)
        raise AssertionError(f"{name} does not become {states}: {now and now['State']}")

    def remove(self, name):
        while self.inspect(name):
            moorctl("rm", "-f", name)

    # -- what the threads do --

    def exits(self, number):
        """Runs, ends with a known code, goes."""

        self.done["exits"] += 1
        code = random.randrange(1, 120)
        name = f"exits{number}.{self.done['exits']}"
        self.run(name, ONCE.format(name=name, code=code, seconds=random.choice((0, 0, 0.05, 0.3))))
        now = self.until(name, "exited")
        if now["ExitCode"] != code:
            raise AssertionError(f"{name} ended with {code}, not {now['ExitCode']}")
        self.remove(name)

    def is_killed(self, number):
        """By the kernel, since it wants more memory than it may have."""

        self.done["oom"] += 1
        name = f"oom{number}.{self.done['oom']}"
        self.run(name, GREEDY.format(name=name), "--memory=8m")
        now = self.until(name, "exited")
        if (now["ExitCode"], now["OOMKilled"]) != (137, True):
            raise AssertionError(f"{name}: {now['ExitCode']}, {now['OOMKilled']}")
        self.remove(name)

    def removes_itself(self, number):
        self.done["auto"] += 1
        name = f"auto{number}.{self.done['auto']}"
        code = random.randrange(1, 120)
        result = moorctl("run", "--rm", f"--name={name}", "-v", f"{self.directory}:/log", BUSYBOX, "sh", "-c",
                             ONCE.format(name=name, code=code, seconds=0.05))
        # moorctl waits for the daemon to come back, but a call under way is lost with the one that was killed.
        if result.returncode not in (code, 125):
            raise AssertionError(f"{name} ended with {code}, not {result.returncode}: {result.stderr}")
        end = time.monotonic() + PATIENCE
        while self.inspect(name):
            if time.monotonic() > end:
                raise AssertionError(f"{name} is not removed")
            time.sleep(0.05)

    def executes(self, name):
        """In a container that stays: its log has lines of its own file."""

        self.done["execs"] += 1
        code = random.randrange(1, 120)
        result = moorctl("exec", name, "sh", "-c", f"echo start >>/log/exec.{name}; sleep {random.choice((0, 0.1))}; "
                             f"echo exit {code} >>/log/exec.{name}; exit {code}")
        if result.returncode not in (code, 125):
            raise AssertionError(f"exec in {name} ended with {code}, not {result.returncode}: {result.stderr}")
        self.done["execs without an answer"] += result.returncode == 125

    def stops_and_starts(self, name):
        """By hand: each of its runs is ended by SIGKILL."""

        verb = random.choice(("stop", "restart"))
        moorctl(verb, "-t", "0", name) if verb == "stop" else moorctl(verb, name)
        if self.until(name, "running", "exited")["State"] == "exited":
            moorctl("start", name)
        self.done["by hand"] += 1
        time.sleep(random.uniform(0, 0.3))


class Follower:
    """Reads all events, a part at a time, and proves that none is missing."""

    def __init__(self, since):
        self.last = since
        self.events = []
        self.problems = []
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def take(self):
        result = lib.moorctl("events", "--json=short", f"--since={self.last}", check=False)
        if result.returncode != 0:
            return False
        for line in result.stdout.splitlines():
            event = json.loads(line)
            if event["Sequence"] != self.last + 1:
                self.problems.append(f"event {event['Sequence']} follows {self.last}")
            self.last = event["Sequence"]
            self.events.append(event)
        return True

    def run(self):
        while not self.ends.wait(0.5):
            self.take()

    def finish(self):
        self.ends.set()
        self.thread.join(timeout=PATIENCE)
        lib.wait_until(self.take, timeout=PATIENCE, what="the last events")


class KillLoadTest(ContainerTestCase):
    hosts = "ab"
    timeout = (180 + 4 * KILLS) * SLOWNESS

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("MOORED_KILLS_SEED", str(random.randrange(1 << 30))))
        print(f"MOORED_KILLS={KILLS} MOORED_KILLS_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        self.start_time, self.killed = 0.1 * SLOWNESS, 0
        directory = tempfile.TemporaryDirectory(prefix="kill-load-", ignore_cleanup_errors=True)  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)
        self.load = Load(directory.name)

    def kill(self):
        """While it is on its way back; or when it has arrived, between two calls or in the middle of them: on a machine that is so busy that
        it needs longer than usual it would not get there otherwise, and neither would who waits for it."""

        pid = lib.wait_until(lambda: (p := lib.moored_pid()) != self.killed and p, timeout=PATIENCE, interval=0.005, what="moored is back")
        begin = time.monotonic()
        if self.random.random() < 0.2:
            time.sleep(self.random.random() * self.start_time)
        else:
            lib.wait_until(lambda: lib.unit_properties("moored.service", "ActiveState")["ActiveState"] == "active", timeout=PATIENCE,
                           what="moored is ready")
            self.start_time = time.monotonic() - begin
            time.sleep(self.random.uniform(0.05, 1.2) * SLOWNESS)
        self.killed = pid
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def check_container(self, name, events, log):
        """Its events against what it wrote itself."""

        topics = [e["Topic"].removeprefix("container/") for e in events]
        codes = [e["Details"]["ExitCode"] for e in events if e["Topic"] == "container/exited"]
        chosen = [int(line.split()[1]) for line in log if line.startswith("exit ")]
        # The removal may come between the line and the end that it tells of; such a code is never chosen.
        if name.startswith("again") and codes[-1:] == [137] and len(chosen) == len(codes):
            chosen.pop()
        starts = log.count("start")
        self.assertEqual((topics.count("created"), topics.count("removed")), (1, 1), f"{name}: {topics}")
        self.assertEqual((topics[0], topics[-1]), ("created", "removed"), name)
        # Runs and ends by turns.
        runs = [t for t in topics if t in ("started", "exited")]
        self.assertEqual(runs, ["started", "exited"] * (len(runs) // 2), name)
        self.assertEqual(topics.count("oom"), int(name.startswith("oom")), f"{name}: {topics}")
        if name.startswith("hand"):
            # SIGKILL may come before the first line.
            self.assertGreaterEqual(topics.count("started"), starts, name)
            self.assertEqual(set(codes), {137}, name)
            return
        # The last run of one that is started again was ended by the removal, maybe before it could write.
        unwritten = int(name.startswith("again") and codes[-1] == 137 and topics.count("started") > starts)
        self.assertEqual(topics.count("started"), starts + unwritten, f"{name}: {topics}, {log}")
        self.assertEqual(codes[:len(chosen)], chosen, name)
        self.assertIn(codes[len(chosen):], ([], [137]), name)

    def check_execs(self, name, events):
        log = self.load.log(f"exec.{name}")
        exits = [e for e in events if e["Topic"] == "container/exec-exited"]
        self.assertEqual(sorted(e["Details"]["ExitCode"] for e in exits), sorted(int(line.split()[1]) for line in log if line != "start"))
        for topic in ("exec-started", "exec-exited"):
            numbers = [e["Details"]["Exec"] for e in events if e["Topic"] == f"container/{topic}"]
            self.assertEqual((len(numbers), len(set(numbers))), (log.count("start"), log.count("start")), f"{name}: {topic}")
        return [e for e in events if "/exec-" not in e["Topic"]]

    def check_events(self, follower):
        self.assertEqual(follower.problems, [])
        by_name = collections.defaultdict(list)
        for event in follower.events:
            if event["Topic"].startswith("container/"):
                by_name[event["Subject"]].append(event)
        # Those of which a run was undone before it began were made, and removed, several times.
        for name, events in by_name.items():
            while len(events) > 2 and [e["Topic"] for e in events[:2]] == ["container/created", "container/removed"]:
                del events[:2]
            log = self.load.log(name)
            if not log and [e["Topic"] for e in events] == ["container/created", "container/removed"]:
                continue
            with self.subTest(name=name):
                self.check_container(name, self.check_execs(name, events), log)
        self.assertEqual({n.removeprefix("exec.") for n in os.listdir(self.load.directory)} - set(by_name), set(),
                         "containers that no event speaks of")
        return len(by_name)

    def test_load(self):
        lib.kill9_moored()
        lib.moorctl("ps")
        descriptors_before, mounts_before = lib.descriptors(), lib.mountinfo_count()
        follower = Follower(last_event())
        steps = "RestartSteps" in lib.unit_properties("moored.service", "RestartSteps")
        fast = ("-p", "RestartSec=50ms", *(("-p", "RestartSteps=0") if steps else ()))

        again = [f"again{i}" for i in range(6)]
        for i, name in enumerate(again):
            lib.moorctl("run", "-d", f"--name={name}", f"--restart={('always', 'unless-stopped', 'on-failure')[i % 3]}", *fast,
                        "-v", f"{self.load.directory}:/log", BUSYBOX, "sh", "-c", AGAIN.format(name=name, seconds=0.05 * (i + 1)))
        stays = [f"stays{i}" for i in range(2)]
        hand = [f"hand{i}" for i in range(2)]
        for name in stays + hand:
            self.load.run(name, FOREVER.format(name=name))
        pids = [self.load.inspect(name)["LeaderPID"] for name in stays]
        for i in range(8):
            self.load.start(self.load.is_killed if HAS_MEMORY and i % 4 == 0 else self.load.exits, i)
        for i in range(2):
            self.load.start(self.load.removes_itself, i)
        for name in hand:
            self.load.start(self.load.stops_and_starts, name)
        for name in stays * 2:
            self.load.start(self.load.executes, name)

        for _ in range(KILLS):
            self.kill()
            self.assertEqual(self.load.problems, [])
        lib.wait_until(lambda: lib.moorctl("ps", "-q", check=False).returncode == 0, timeout=PATIENCE, what="moored answers")
        self.load.finish()
        self.assertEqual(self.load.problems, [])

        for name, pid in zip(stays, pids):
            now = self.load.inspect(name)
            self.assertEqual((now["State"], now["LeaderPID"], self.load.log(name)), ("running", pid, ["start"]), name)
        # Everything is known that is there.
        running = {unit for unit, state in units().items() if state == "active" and unit != "moored.service"}
        known = {unit_of(c["Id"]) for c in lib.moorctl_json("ps", "-a")}
        self.assertEqual(running - known, set())
        self.assertEqual(known, {unit_of(n) for n in again + stays + hand})
        for name in again + stays + hand:
            lib.moorctl("rm", "-f", name)

        follower.finish()
        n = self.check_events(follower)
        print(f"{KILLS} kills, {n} containers, {len(follower.events)} events, {dict(self.load.done)}", flush=True)
        lib.assert_nothing_left(self.leftovers_before, timeout=PATIENCE, ignore=("snapshots",))
        assert_records(timeout=PATIENCE)
        self.assertEqual(lib_store.blob_problems(), [])
        self.assertEqual(lib.mountinfo_count(), mounts_before)
        lib.kill9_moored()
        lib.moorctl("ps")
        lib.wait_until(lambda: not lib.descriptors() - descriptors_before, what=f"no descriptor more than {descriptors_before}")
