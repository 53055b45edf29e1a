# SPDX-License-Identifier: LGPL-2.1-or-later
"""Restart policies: carried out by PID 1, counted by moored whether it is there or not."""

import contextlib
import functools
import os
import shutil
import signal
import sqlite3

import lib
import lib_store
from lib_container import BUSYBOX, OBEDIENT, ContainerTestCase, daemon_away, events_since, last_event, unit_of, wait_traps

# Each run ends with the number of runs before it, up to a last one that stays.
COUNTING = "n=$(cat /n 2>/dev/null || echo 0); echo $((n + 1)) >/n; [ $n -lt {} ] && exit $n; exec sleep 1000"
FAST = ("-p", "RestartSec=50ms", "-p", "RestartSteps=0")


@functools.cache
def delays_grow():
    return "RestartSteps" in lib.unit_properties("moored.service", "RestartSteps")


def fast():
    """What makes systemd restart quickly; RestartSteps= where it is known."""

    return FAST if delays_grow() else FAST[:2]


class RestartTestCase(ContainerTestCase):
    def start(self, name, policy, script, *options):
        lib.moorctl("run", "-d", f"--name={name}", f"--restart={policy}", *fast(), *options, BUSYBOX, "sh", "-c", script)

    def exits(self, since, name):
        return [e["Details"]["ExitCode"] for e in events_since(since, name) if e["Topic"] == "container/exited"]

    def count(self, since, name, topic):
        return sum(e["Topic"] == f"container/{topic}" for e in events_since(since, name))

    def wait_stays(self, name, count, away=False):
        """Waits for the run that stays, which PID 1 knows as restart number count, and moored, unless that is away."""

        lib.wait_until(lambda: lib.unit_properties(unit_of(name), "NRestarts", "SubState") ==
                       {"NRestarts": str(count), "SubState": "running"}, timeout=30, what=f"restart {count} of {name}")
        if not away:
            lib.wait_until(lambda: (i := self.inspect(name))["RestartCount"] == count and i["State"] == "running",
                           what=f"moored knows of restart {count} of {name}")


class PolicyTest(RestartTestCase):
    def test_always(self):
        since = last_event()
        self.start("a", "always", COUNTING.format(4))
        self.wait_stays("a", 4)
        now = self.inspect("a")
        self.assertEqual((now["State"], now["RestartPolicy"]), ("running", "always"))
        self.assertEqual(now["LeaderPID"], int(lib.unit_properties(unit_of("a"), "MainPID")["MainPID"]))
        # The same layer (or it would not count), other namespaces.
        self.assertEqual(self.exits(since, "a"), [0, 1, 2, 3])
        self.assertEqual(self.count(since, "a", "started"), 5)

        lib.moorctl("stop", "-t", "0", "a")
        now = self.inspect("a")
        self.assertEqual((now["State"], now["ExitCode"], now["RestartCount"]), ("exited", 137, 4))
        self.assertEqual(events_since(since, "a")[-1]["Topic"], "container/stopped")
        lib.moorctl("start", "a")
        self.assertEqual(self.inspect("a")["RestartCount"], 0)
        lib.moorctl("rm", "-f", "a")
        self.assertEqual(lib.unit_properties(unit_of("a"), "LoadState")["LoadState"], "not-found")

    def test_namespaces_are_new(self):
        # What is mounted goes with the run; processes are numbered anew; the layer stays.
        self.start("a", "always", "cat /dev/shm/x; echo $$; touch /here; ls /here; "
                   "echo kept >/dev/shm/x; " + COUNTING.format(2))
        self.wait_stays("a", 2)
        text = lib.wait_until(lambda: (t := lib.moorctl("logs", "a").stdout) and t.count("/here") == 3 and t, what="three runs' lines")
        self.assertNotIn("kept", text)
        self.assertEqual(text.split("\n").count("1"), 3, text)
        with open(f"/proc/{self.inspect('a')['LeaderPID']}/mounts", encoding="ascii") as f:
            self.assertEqual(sum(line.split()[1] == "/" for line in f), 1)

    def test_on_failure(self):
        since = last_event()
        self.start("limited", "on-failure:2", "exit 7")
        self.start("good", "on-failure", "exit 0")
        self.start("unlimited", "on-failure", COUNTING.replace("exit $n", "exit 5").format(3))
        self.assertEqual(lib.moorctl("wait", "limited", "good", timeout=30).stdout.split(), ["7", "0"])
        for name, code, restarts in (("limited", 7, 2), ("good", 0, 0)):
            now = self.inspect(name)
            self.assertEqual((now["State"], now["ExitCode"], now["RestartCount"]), ("exited", code, restarts), name)
        self.assertEqual(self.exits(since, "limited"), [7, 7, 7])
        self.assertEqual(self.exits(since, "good"), [0])
        self.wait_stays("unlimited", 3)
        # A signal is a failure, one that systemd takes for a clean end as well.
        pid = self.inspect("unlimited")["LeaderPID"]
        os.kill(pid, signal.SIGKILL)
        self.wait_stays("unlimited", 4)
        self.assertEqual(self.exits(since, "unlimited"), [5, 5, 5, 137])
        # The limit counts anew after a start by hand.
        lib.moorctl("start", "limited")
        lib.moorctl("wait", "limited", timeout=30)
        self.assertEqual(self.exits(since, "limited"), [7] * 6)
        self.assertEqual(self.inspect("limited")["RestartCount"], 2)

    def test_a_clean_signal(self):
        script = "trap 'trap - TERM; kill -TERM 1; exit 143' TERM; " + OBEDIENT.split(";", 1)[1]
        self.start("a", "on-failure", script)
        since = last_event()
        wait_traps(self.inspect("a")["LeaderPID"], script)
        lib.moorctl("kill", "-s", "TERM", "a")
        self.wait_stays("a", 1)
        self.assertEqual(self.exits(since, "a"), [143])

    def test_while_it_waits(self):
        since = last_event()
        grow = ("-p", "RestartMaxDelaySec=2h") if delays_grow() else ()
        lib.moorctl("run", "-d", "--name=a", "--restart=always", "-p", "RestartSec=1h", *grow, BUSYBOX, "false")
        now = self.wait_state("a", "restarting")
        self.assertEqual((now["ExitCode"], now["LeaderPID"]), (1, 0))
        self.assertIn("restarting", lib.moorctl("ps").stdout)
        self.assertIn("restarting", lib.moorctl("start", "a", check=False).stderr)
        waiter = self.popen("wait", "a")
        with daemon_away():
            waiter.kill()
            waiter.communicate()
        self.assertEqual(self.inspect("a")["State"], "restarting")
        lib.moorctl("stop", "a")
        self.assertEqual(self.inspect("a")["State"], "exited")
        self.assertEqual([e["Topic"] for e in events_since(since, "a")][-3:], ["container/started", "container/exited", "container/stopped"])
        lib.moorctl("start", "a")
        self.wait_state("a", "restarting")
        lib.moorctl("rm", "-f", "a")
        self.assertFalse(self.exists("a"))

    def test_the_delay_is_short_again(self):
        if not delays_grow():
            self.skipTest("this systemd has no delay that grows")
        lib.moorctl("run", "-d", "--name=a", "--restart=always", BUSYBOX, "sh", "-c", COUNTING.format(3))
        self.wait_stays("a", 3)
        lib.wait_until(lambda: lib.unit_properties(unit_of("a"), "NRestarts")["NRestarts"] == "0", timeout=30, what="systemd's counter is reset")
        now = self.inspect("a")
        self.assertEqual((now["State"], now["RestartCount"]), ("running", 3))

    def test_a_start_that_fails_is_not_tried_again(self):
        self.fails("--restart=always", "-d", BUSYBOX, "/no/such", status=127, text="/no/such")

    def test_in_the_foreground(self):
        result = lib.moorctl("run", "--name=a", "--restart=on-failure:2", *fast(), BUSYBOX, "sh", "-c", "echo run; exit 5", check=False)
        self.assertEqual((result.returncode, self.inspect("a")["RestartCount"]), (5, 2), result.stderr)
        # Debian 12's systemd has our descriptors for one run only.
        passed = result.stdout.count("run\n")
        self.assertIn(passed, (1, 3))
        lib.wait_until(lambda: lib.moorctl("logs", "a").stdout.count("run") == 3 - passed, what="the other runs' lines are in the journal")

    def test_refused(self):
        for options, text in ((("--restart=sometimes",), "sometimes"), (("--restart=on-failure:0",), "on-failure:0"),
                              (("--restart=on-failure:x",), "on-failure:x"), (("--restart=always", "--rm"), "AutoRemove"),
                              (("-p", "Restart=always"), "Restart")):
            self.fails(*options, BUSYBOX, "true", text=text)


class AwayTest(RestartTestCase):
    def test_nothing_is_lost_or_told_twice(self):
        since = last_event()
        self.start("runs", "always", "[ -e /go ] || exec sleep 1000; " + COUNTING.format(20))
        self.start("ends", "on-failure", "[ -e /go ] || exec sleep 1000; " + COUNTING.format(3).replace("exec sleep 1000", "exit 0"))
        self.start("stopped", "unless-stopped", OBEDIENT)
        with daemon_away():
            for name in ("runs", "ends"):
                pid = lib.unit_properties(unit_of(name), "MainPID")["MainPID"]
                lib.run(["nsenter", "-t", pid, "-m", "-r", "touch", "/go"])
                os.kill(int(pid), signal.SIGKILL)
            self.wait_stays("runs", 21, away=True)
            lib.wait_until(lambda: lib.unit_properties(unit_of("ends"), "ActiveState")["ActiveState"] == "inactive", timeout=30,
                           what="it has ended well")
            lib.run(["systemctl", "stop", unit_of("stopped")])
        for _ in range(2):
            now = {name: self.inspect(name) for name in ("runs", "ends", "stopped")}
            self.assertEqual({n: (i["State"], i["RestartCount"]) for n, i in now.items()},
                             {"runs": ("running", 21), "ends": ("exited", 1), "stopped": ("exited", 0)})
            self.assertEqual(self.exits(since, "runs"), [137, *range(20)])
            self.assertEqual(self.exits(since, "ends"), [137, 0])
            self.assertEqual(self.exits(since, "stopped"), [0])
            self.assertEqual([self.count(since, n, "started") for n in now], [22, 2, 1])
            self.assertEqual(now["runs"]["LeaderPID"], int(lib.unit_properties(unit_of("runs"), "MainPID")["MainPID"]))
            lib.kill9_moored()
        numbers = [e["Sequence"] for e in events_since(since)]
        self.assertEqual(numbers, list(range(since + 1, since + 1 + len(numbers))))

    def test_systemd_is_executed_anew(self):
        since = last_event()
        self.start("a", "always", COUNTING.format(10))
        lib.run(["systemctl", "daemon-reexec"])
        lib.run(["systemctl", "daemon-reload"])
        # systemd's own counter may count one twice.
        lib.wait_until(lambda: self.inspect("a")["RestartCount"] >= 10, timeout=30, what="all is counted")
        self.assertEqual(self.exits(since, "a"), list(range(10)))
        self.assertEqual(self.inspect("a")["RestartCount"], 10)


class BootTest(RestartTestCase):
    """As after a boot: units and bundles are gone, and the records speak of another one."""

    @staticmethod
    def forget_boot(*running):
        lib.run(["systemctl", "kill", "-s", "KILL", "--kill-who=all", *[unit_of(n) for n in running]])
        lib.run(["systemctl", "stop", *[unit_of(n) for n in running]])
        lib.run(["systemctl", "reset-failed", "moored-default-*"], check=False)
        shutil.rmtree("/run/moored/containers")
        with contextlib.closing(sqlite3.connect(f"{lib_store.STORE}/moored.db")) as db, db:
            db.execute("UPDATE containers SET boot_id = 'earlier'")

    def test_boot(self):
        for name, policy in (("no", "no"), ("failure", "on-failure:3"), ("always", "always"), ("unless", "unless-stopped"),
                             ("always-s", "always"), ("unless-s", "unless-stopped"), ("failure-s", "on-failure")):
            self.start(name, policy, "echo $HOSTNAME >>/boots; " + OBEDIENT)
        lib.moorctl("create", "--name=created", "--restart=always", BUSYBOX, "true")
        lib.moorctl("stop", "-t", "0", "always-s", "unless-s", "failure-s")
        since = last_event()
        with daemon_away():
            self.forget_boot("no", "failure", "always", "unless")
        for name in ("failure", "always", "unless", "always-s"):
            self.wait_state(name, "running")
        states = {c["Id"]: (c["State"], c["RestartCount"]) for c in lib.moorctl_json("ps", "-a")}
        self.assertEqual(states, {"no": ("exited", 0), "created": ("created", 0), "failure": ("running", 0), "always": ("running", 0),
                                  "unless": ("running", 0), "always-s": ("running", 0), "unless-s": ("exited", 0),
                                  "failure-s": ("exited", 0)})
        self.assertEqual((self.inspect("no")["Result"], self.inspect("no")["ExitCode"]), ("reboot", -1))
        self.assertEqual(len([e for e in events_since(since) if e["Topic"] == "container/exited"]), 4)
        # Once: those that are stopped now stay so.
        lib.moorctl("stop", "-t", "0", "always")
        lib.kill9_moored()
        self.assertEqual(self.inspect("always")["State"], "exited")

    def test_boot_after_a_loss_of_power(self):
        """The layers had not reached the disk: they are unpacked again first."""

        names = [f"a{i}" for i in range(3)]
        for name in names:
            self.start(name, "always", OBEDIENT)
        with daemon_away():
            self.forget_boot(*names)
            with contextlib.closing(sqlite3.connect(f"{lib_store.STORE}/moored.db")) as db, db:
                db.execute("UPDATE snapshots SET synced = 0, boot_id = 'earlier' WHERE kind = 0")
        for name in names:
            self.wait_state(name, "running")


class OutOfMemoryTest(RestartTestCase):
    """Each run is ended by the kernel; each is counted, also when nobody looks."""

    hosts = "b"

    def test_each_kill_is_told(self):
        since = last_event()
        self.start("seen", "on-failure:2", "exec tail /dev/zero", "--memory=8m")
        self.assertEqual(lib.moorctl("wait", "seen", timeout=300).stdout.split(), ["137"])
        self.start("unseen", "on-failure:2", "while [ ! -e /go ]; do sleep 0.1; done; exec tail /dev/zero", "--memory=8m")
        pid = self.inspect("unseen")["LeaderPID"]
        with daemon_away():
            with open(f"/proc/{pid}/root/go", "w", encoding="ascii"):
                pass
            lib.wait_until(lambda: lib.unit_properties(unit_of("unseen"), "ActiveState")["ActiveState"] == "failed", timeout=300,
                           what="it has been given up")
        lib.wait_until(lambda: self.inspect("unseen")["State"] == "exited", timeout=60, what="its end is known")
        # While the daemon is away a reload of systemd makes it count anew.
        for name, runs in (("seen", {3}), ("unseen", {3, 4})):
            now = self.inspect(name)
            self.assertEqual((now["State"], now["ExitCode"], now["Result"], now["OOMKilled"]), ("exited", 137, "oom-kill", True), name)
            exits = [e["Details"] for e in events_since(since, name) if e["Topic"] == "container/exited"]
            self.assertIn(len(exits), runs)
            self.assertEqual({(e["ExitCode"], e["Result"]) for e in exits}, {(137, "oom-kill")}, name)
            self.assertEqual(self.count(since, name, "oom"), len(exits), name)
            self.assertEqual(now["RestartCount"], len(exits) - 1, name)
