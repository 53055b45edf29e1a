# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed: while containers run, start, stop and go, and in the middle of a pull. Nothing is lost, nothing is left."""

import os
import random
import signal
import subprocess
import time
import unittest

import lib
import lib_store
from lib_container import (BUSYBOX, DEBIAN, OBEDIENT, ContainerTestCase, daemon_away, events_since, last_event, topics_since,
                           unit_of)


def kill_and_start():
    lib.kill9_moored()
    lib.moorctl("ps", "-q")


def assert_records(timeout=15):
    """Waits until records and files agree: garbage and the trash go a little later than what they belonged to."""

    end = time.monotonic() + timeout
    while problems := lib_store.record_problems():
        if time.monotonic() >= end:
            raise AssertionError("records and files differ:\n" + "\n".join(problems))
        time.sleep(0.05)


def units():
    """{unit: ActiveState} of the containers' units."""

    output = lib.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "moored-*-*.service"]).stdout
    return {line.split()[0]: line.split()[2] for line in output.splitlines() if line.strip()}


class AwayTest(ContainerTestCase):
    """What happens while the daemon is not there is known when it is back."""

    def test_one_runs_on_and_another_s_end_is_known(self):
        self.detach("runs")
        self.detach("ends", command=("sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; exit 42"))
        self.detach("dies", command=("sleep", "1000"))
        before = last_event()
        running, ending, dying = (self.inspect(n) for n in ("runs", "ends", "dies"))
        with daemon_away():
            start = time.time()
            with open(f"/proc/{ending['LeaderPID']}/root/go", "w", encoding="ascii"):
                pass
            lib.wait_until(lambda: not os.path.exists(f"/proc/{ending['LeaderPID']}"), what="the first ends")
            os.kill(dying["LeaderPID"], signal.SIGKILL)
            lib.wait_until(lambda: not os.path.exists(f"/proc/{dying['LeaderPID']}"), what="the second is killed")
            self.assertEqual(units()[unit_of("runs")], "active")
            end = time.time()

        self.assertRegex(lib.journal("-u", "moored.service", since=start), r"What was found: containers running: 1, ended meanwhile: 2\.")
        now = self.inspect("runs")
        self.assertEqual((now["State"], now["LeaderPID"], now["StartedUSec"]),
                         ("running", running["LeaderPID"], running["StartedUSec"]))
        ended, killed = self.inspect("ends"), self.inspect("dies")
        self.assertEqual((ended["State"], ended["ExitCode"], ended["ExitSignal"], ended["Result"]), ("exited", 42, "", "exit-code"))
        self.assertEqual((killed["State"], killed["ExitCode"], killed["ExitSignal"], killed["Result"]),
                         ("exited", 137, "KILL", "signal"))
        for now, earlier in ((ended, ending), (killed, dying)):
            self.assertEqual(now["StartedUSec"], earlier["StartedUSec"])
            self.assertTrue(start - 0.01 <= now["FinishedUSec"] / 1e6 <= end + 0.01, (start, now["FinishedUSec"], end))

        lib.moorctl("stop", "runs")
        kill_and_start()
        self.assertEqual(topics_since(before, "ends"), ["container/exited"])
        self.assertEqual(topics_since(before, "dies"), ["container/exited"])
        self.assertEqual(topics_since(before, "runs"), ["container/exited", "container/stopped"])
        events = events_since(before)
        self.assertEqual([e["Sequence"] for e in events], sorted({e["Sequence"] for e in events}))
        self.assertEqual([e["Details"]["ExitCode"] for e in events if e["Topic"] == "container/exited" and e["Subject"] == "ends"], [42])
        # Recorded, so PID 1 need not keep them any longer.
        lib.wait_until(lambda: unit_of("ends") not in units() and unit_of("dies") not in units(), what="the units are released")

    def test_many_ends_while_away(self):
        for i in range(20):
            self.detach(f"gone{i}", command=("sh", "-c", f"while [ -d /proc/1 ] && [ ! -e /mnt/go ]; do sleep 0.05; done; exit {i}"))
        pids = [self.inspect(f"gone{i}")["LeaderPID"] for i in range(20)]
        with daemon_away():
            for pid in pids:
                os.makedirs(f"/proc/{pid}/root/mnt", exist_ok=True)
                with open(f"/proc/{pid}/root/mnt/go", "w", encoding="ascii"):
                    pass
            lib.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), what="all end")
        self.assertEqual([self.inspect(f"gone{i}")["ExitCode"] for i in range(20)], list(range(20)))

    def test_one_that_removes_itself(self):
        pid = int(lib.unit_properties(unit_of(self.detach("volatile", "--rm", command=("sleep", "1000"))), "MainPID")["MainPID"])
        before = last_event()
        with daemon_away():
            os.kill(pid, signal.SIGKILL)
            lib.wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
        lib.wait_until(lambda: not self.exists("volatile"), what="it is removed")
        self.assertEqual(topics_since(before, "volatile"), ["container/exited", "container/removed"])
        assert_records()

    def test_the_unit_taken_away(self):
        """PID 1 does not know it any more; but it told the journal how it ended."""

        ends = {"stopped": (0, "", "success"), "code": (7, "", "exit-code"), "killed": (137, "KILL", "signal")}
        before = last_event()
        self.detach("stopped")
        self.detach("code", command=("sh", "-c", OBEDIENT.replace("exit 0", "exit 7")))
        self.detach("killed", command=("sleep", "1000"))
        with daemon_away():
            start = time.time()
            for name in ends:
                lib.run(["systemctl", *(("kill", "-s", "KILL") if name == "killed" else ("stop",)), unit_of(name)])
            lib.wait_until(lambda: "active" not in units().values(), what="all have ended")
            lib.run(["systemctl", "reset-failed", "moored-default-*"])
            self.assertEqual(set(units()) & {unit_of(name) for name in ends}, set())
            lib.run(["journalctl", "--sync"])
            end = time.time()
        for name, expected in ends.items():
            now = self.inspect(name)
            self.assertEqual((now["State"], now["ExitCode"], now["ExitSignal"], now["Result"]), ("exited", *expected), name)
            self.assertTrue(start - 0.01 <= now["FinishedUSec"] / 1e6 <= end + 0.01, (start, now["FinishedUSec"], end))
            self.assertEqual(topics_since(before, name), ["container/created", "container/started", "container/exited"])
        lib.moorctl("start", *ends)
        self.assertEqual(self.inspect("stopped")["State"], "running")

    def test_the_unit_taken_away_of_which_the_journal_says_nothing(self):
        """By properties of its own: another code is clean as well, or PID 1 is to be quiet."""

        ends = {"clean": (7, "success", "SuccessExitStatus=7"), "quiet": (0, "success", "LogLevelMax=err"),
                "mute": (7, "exit-code", "LogLevelMax=alert")}
        for name, (code, _, property_) in ends.items():
            self.detach(name, "-p", property_, command=("sh", "-c", OBEDIENT.replace("exit 0", f"exit {code}")))
        with daemon_away():
            start = time.time()
            lib.run(["systemctl", "stop", *(unit_of(name) for name in ends)])
            lib.run(["systemctl", "reset-failed", "moored-default-*"])
            end = time.time()
        for name, (code, result, _) in ends.items():
            now = self.inspect(name)
            self.assertEqual((now["State"], now["ExitCode"], now["ExitSignal"], now["Result"]), ("exited", code, "", result), name)
            self.assertTrue(start - 0.01 <= now["FinishedUSec"] / 1e6 <= end + 0.01, (start, now["FinishedUSec"], end))
        # The next run is another one.
        lib.moorctl("start", *ends)
        lib.moorctl("kill", *ends)
        for name in ends:
            self.assertEqual(self.wait_state(name, "exited")["ExitCode"], 137)

    def test_one_that_was_only_created(self):
        lib.moorctl("create", "--name=waiting", "-e", "A=b", BUSYBOX, "sh", "-c", "exit 8")
        before = self.inspect("waiting")
        kill_and_start()
        self.assertEqual(self.inspect("waiting"), before)
        lib.moorctl("start", "waiting")
        self.assertEqual(self.wait_state("waiting", "exited")["ExitCode"], 8)

    def test_sigterm(self):
        self.detach("stays")
        pid = self.inspect("stays")["LeaderPID"]
        lib.run(["systemctl", "stop", "moored.service"])
        # Not "timeout": it ended by itself.
        self.assertEqual(lib.unit_properties("moored.service", "Result")["Result"], "success")
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        lib.start_moored()
        self.assertEqual(self.inspect("stays")["LeaderPID"], pid)
        before = lib.moored_pid()
        lib.run(["systemctl", "kill", "-s", "TERM", "--kill-whom=main", "moored.service"])
        # A call that reaches the one that is ending gets no answer, and moorctl says so.
        lib.wait_until(lambda: not os.path.exists(f"/proc/{before}"), what="moored ends")
        self.assertEqual(self.wait_state("stays", "running")["LeaderPID"], pid)

    def test_a_foreground_run_across_a_kill(self):
        for options in ([], ["--rm"]):
            process = self.popen("run", *options, BUSYBOX, "sh", "-c", "echo one; sleep 0.6; echo two; exit 9")
            self.assertEqual(process.stdout.readline(), "one\n")
            lib.kill9_moored(restart=False)
            output, errors = process.communicate(timeout=30)
            self.assertEqual((output, process.returncode), ("two\n", 9), errors)

    def test_a_foreground_run_whose_daemon_stays_away(self):
        for options in ([], ["--rm"]):
            process = self.popen("run", *options, "--name=orphan", BUSYBOX, "sh", "-c", "echo one; sleep 0.5; exit 10")
            self.assertEqual(process.stdout.readline(), "one\n")
            pid = int(lib.unit_properties(unit_of("orphan"), "MainPID")["MainPID"])
            with daemon_away():
                lib.wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), what="it ends")
            _, errors = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 10, errors)
            if not options:
                lib.moorctl("rm", "orphan")

    def test_a_stop_under_way(self):
        self.detach("halfway", "--stop-timeout=3s", command=("sh", "-c", "trap '' TERM; while :; do sleep 1000 & wait $!; done"))
        pid = self.inspect("halfway")["LeaderPID"]
        process = self.popen("stop", "halfway")
        lib.wait_until(lambda: self.inspect("halfway")["State"] == "stopping")
        kill_and_start()
        process.communicate(timeout=30)
        # Nobody promised that it goes on; but it is one or the other, and can be stopped.
        self.assertIn(self.inspect("halfway")["State"], ("running", "exited"))
        lib.moorctl("stop", "halfway")
        self.assertEqual(self.inspect("halfway")["ExitCode"], 137)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_the_bus_restarted(self):
        """As a package upgrade or an accident does it: the daemon and PID 1 lose their connections."""

        self.detach("survivor")
        pid = self.inspect("survivor")["LeaderPID"]
        # Debian 13's logind does not find the new bus by itself, and other tests need it.
        self.addCleanup(lib.run, ["systemctl", "try-restart", "systemd-logind.service"])
        lib.run(["systemctl", "restart", "dbus.service"])
        lib.wait_until(lambda: lib.moorctl("ps", "-q", check=False).stdout == "survivor\n", timeout=30, what="moored answers again")
        self.assertEqual(self.inspect("survivor")["LeaderPID"], pid)
        lib.wait_until(lambda: lib.moorctl("run", "--rm", BUSYBOX, "sh", "-c", "exit 3", check=False).returncode == 3, timeout=30,
                       what="containers run again")
        lib.moorctl("stop", "survivor")
        self.assertEqual(self.inspect("survivor")["ExitCode"], 0)


class KilledWhileTest(ContainerTestCase):
    """kill -9 after so many milliseconds of a call: what was asked for is there as a whole, or not at all."""

    timeout = 600

    def during(self, delay, *args):
        """Kills the daemon some time after moorctl has been started; returns moorctl's exit status."""

        pid = lib.wait_until(lib.moored_pid, what="moored runs")
        process = subprocess.Popen(["moorctl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay / 1000)
        try:
            os.kill(pid, signal.SIGKILL)
            lib.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), interval=0.001)
            status = process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
            lib.start_moored()
        return status

    def state(self, name):
        found = [c for c in lib.moorctl_json("ps", "-a") or [] if c["Id"] == name]
        return found[0]["State"] if found else None

    def consistent(self, name):
        """[state] if record and unit tell the same story, None while they do not."""

        state = self.state(name)
        if state == "running":
            unit = lib.unit_properties(unit_of(name), "ActiveState", "MainPID")
            return [state] if (unit["ActiveState"], int(unit["MainPID"])) == ("active", self.inspect(name)["LeaderPID"]) else None
        return [state] if state not in ("starting", "stopping") and unit_of(name) not in units() else None

    def check(self, name):
        """Container, unit and record tell the same story, soon; returns the state."""

        state = lib.wait_until(lambda: self.consistent(name), what=f"record and unit of {name} agree")[0]
        assert_records()
        return state

    def test_start(self):
        begin = time.monotonic()
        self.run_container("-d", "--name=measured", BUSYBOX, "sleep", "1000")
        step = max(1, (time.monotonic() - begin) * 1000 / 30)
        lib.moorctl("rm", "-f", "measured")
        seen = set()
        for i in range(31):
            name, delay = f"start{i}", i * step
            with self.subTest(delay=delay):
                status = self.during(delay, "run", "-d", f"--name={name}", BUSYBOX, "sleep", "1000")
                state = self.check(name)
                seen.add((status, state))
                if status == 0:
                    self.assertEqual(state, "running")
                self.assertIn(state, (None, "created", "running"))
                if state == "created":
                    lib.moorctl("start", name)
                if state:
                    lib.moorctl("rm", "-f", name)
                # The name is free again, whatever was left in between.
                self.run_container(f"--name={name}", BUSYBOX, "true")
        # Otherwise the delays were not those of a start.
        self.assertGreater(len(seen), 1, seen)

    def test_start_of_one_that_removes_itself(self):
        for delay in range(0, 31, 2):
            with self.subTest(delay=delay):
                name = f"auto{delay}"
                self.during(delay, "run", "-d", "--rm", f"--name={name}", BUSYBOX, "sleep", "1000")
                state = self.check(name)
                self.assertIn(state, (None, "running"))
                if state:
                    lib.moorctl("rm", "-f", name)
        assert_records()

    def test_foreground_run(self):
        for delay in range(0, 31, 3):
            with self.subTest(delay=delay):
                status = self.during(delay, "run", "--rm", f"--name=front{delay}", BUSYBOX, "sh", "-c", "exit 11")
                self.assertIn(status, (11, 125))
                lib.wait_until(lambda name=f"front{delay}": self.state(name) is None, what="it is removed")
        assert_records()
        lib.wait_until(lambda: units() == {}, what="no unit is left")

    def test_stop(self):
        for delay in range(0, 21, 2):
            name = f"stop{delay}"
            with self.subTest(delay=delay):
                self.detach(name, command=("sh", "-c", "echo >/ready; " + OBEDIENT))
                pid = self.inspect(name)["LeaderPID"]
                lib.wait_until(lambda pid=pid: os.path.exists(f"/proc/{pid}/root/ready"))
                before = last_event()
                status = self.during(delay, "stop", name)
                state = self.check(name)
                self.assertIn(state, ("running", "exited"))
                if status == 0:
                    self.assertEqual(state, "exited")
                if state == "running":
                    lib.moorctl("stop", name)
                ended = self.inspect(name)
                self.assertIn((ended["ExitCode"], ended["ExitSignal"]), ((0, ""), (143, "TERM")))
                self.assertEqual(topics_since(before, name).count("container/exited"), 1)
                lib.moorctl("rm", name)

    def test_remove(self):
        for force in (False, True):
            for delay in (*range(0, 10), 14, 20):
                name = f"rm{delay}"
                with self.subTest(delay=delay, force=force):
                    if force:
                        self.detach(name, command=("sleep", "1000"))
                    else:
                        lib.moorctl("create", f"--name={name}", BUSYBOX, "true")
                    before = last_event()
                    status = self.during(delay, "rm", *(["-f"] if force else []), name)
                    state = self.check(name)
                    if status == 0:
                        self.assertIsNone(state)
                    if state:
                        lib.moorctl("rm", "-f", name)
                    self.assertEqual(topics_since(before, name).count("container/removed"), 1)
        assert_records()
        lib.wait_until(lambda: units() == {}, what="no unit is left")

    def test_the_launcher(self):
        """Whenever the launcher is killed, the start fails or has succeeded; the container is not half there."""

        for i in range(25):
            name = f"launch{i}"
            process = self.popen("run", "-d", f"--name={name}", BUSYBOX, "sleep", "1000")
            killed = False
            while process.poll() is None and not killed:
                for pid in lib.processes("mooring"):
                    time.sleep(i / 5000)
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed = True
                    except ProcessLookupError:
                        pass
            _, errors = process.communicate(timeout=30)
            state = self.check(name)
            if process.returncode == 0:
                # What is called "mooring" is, for a moment, the container's first process; and one whose launcher dies
                # between "ready" and "go" ends as well.
                if state != "running":
                    self.assertEqual(state, "exited")
                    self.assertIn(self.inspect(name)["ExitCode"], (125, 137))
                lib.moorctl("rm", "-f", name)
            else:
                self.assertIsNone(state, errors)
                self.assertIn("moorctl:", errors)
        assert_records()


class KilledWhilePullingTest(ContainerTestCase):
    """kill -9 of the daemon and of its helpers in the middle of a pull."""

    timeout = 600

    def setUp(self):
        super().setUp()
        self.addCleanup(lib.moorctl, "pull", "-q", DEBIAN, timeout=120)
        self.forget()

    def forget(self):
        """Nothing of the image is left, so that the next pull is a whole one."""

        if lib.moorctl("rmi", "-f", DEBIAN, check=False).returncode == 0:
            lib.wait_until(lambda: len(lib_store.blobs()) <= 3, what="the image's blobs are gone")
        assert_records()

    def finish(self):
        """What was begun is completed by the next pull, and it works."""

        lib.moorctl("pull", "-q", DEBIAN, timeout=120)
        self.assertIn("ID=debian\n", self.run_container(DEBIAN, "cat", "/etc/os-release").stdout)
        lib.wait_until(lambda: not lib.processes("moored-helper"), what="no helper is left")
        self.assertEqual(os.listdir("/var/lib/moored/ingest"), [])
        assert_records()

    def test_the_daemon(self):
        """The pull dies with it; nothing of it but whole blobs and what can be resumed stays. One that was quicker than the
        kill is complete."""

        killed = 0
        for delay in (0, 40, 100, 200, 350, 500, 700):
            with self.subTest(delay=delay):
                lib.busctl_call("/org/moored1/namespace/default", "org.moored1.Namespace", "PullImage", "sa{sv}", DEBIAN, "0")
                time.sleep(delay / 1000)
                lib.kill9_moored()
                lib.wait_until(lambda: not lib.processes("moored-helper"), what="the helpers have ended")
                if DEBIAN in lib.moorctl("images", "-q").stdout.split():
                    self.assertIn("ID=debian\n", self.run_container(DEBIAN, "cat", "/etc/os-release").stdout)
                else:
                    killed += 1
                assert_records()
                self.assertEqual(lib_store.blob_problems(), [])
                self.finish()
            self.forget()
        self.assertGreaterEqual(killed, 3)
        lib.assert_store_sound()

    def test_the_client_of_a_killed_daemon_asks_again(self):
        for delay in (50, 400):
            with self.subTest(delay=delay):
                process = self.popen("pull", "-q", DEBIAN)
                time.sleep(delay / 1000)
                lib.kill9_moored()
                _, errors = process.communicate(timeout=120)
                self.assertEqual(process.returncode, 0, errors)
                self.finish()
            self.forget()

    def test_the_helpers(self):
        for verb in ("fetch", "unpack"):
            for delay in (0, 30, 100):
                with self.subTest(verb=verb, delay=delay):
                    process = self.popen("pull", "-q", DEBIAN)
                    pid = lib.wait_until(lambda verb=verb: next(iter(lib.helpers(verb)), None), interval=0.002,
                                         what=f"moored-helper {verb} runs")
                    time.sleep(delay / 1000)
                    try:
                        os.kill(pid, signal.SIGKILL)
                        hit = True
                    except ProcessLookupError:
                        hit = False
                    _, errors = process.communicate(timeout=120)
                    if hit and process.returncode != 0:
                        self.assertIn("moorctl:", errors)
                    lib.wait_until(lambda: not lib.processes("moored-helper"), what="no helper is left")
                    assert_records()
                    self.finish()
                self.forget()

    def test_helpers_and_daemon_at_random(self):
        generator = random.Random(7)
        process = None
        for _ in range(12):
            if process is None or process.poll() is not None:
                if process:
                    process.communicate()
                process = self.popen("pull", "-q", DEBIAN)
            time.sleep(generator.uniform(0.02, 0.4))
            victims = list(lib.processes("moored-helper")) + [lib.moored_pid()]
            try:
                os.kill(generator.choice([v for v in victims if v > 0]), signal.SIGKILL)
            except (ProcessLookupError, IndexError):
                pass
        process.communicate(timeout=120)
        lib.start_moored()
        self.finish()
        lib.assert_store_sound()


if __name__ == "__main__":
    unittest.main()
