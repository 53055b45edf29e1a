# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers that are their caller's own children, in a scope."""

import os
import signal
import subprocess
import time

import lib
from lib_container import BUSYBOX, OBEDIENT, ContainerTestCase, daemon_away, events_since, last_event, status_of, topics_since, wait_traps

SLEEP = ("sleep", "1000")


class ScopeTest(ContainerTestCase):
    def start(self, name, *options, command=SLEEP, **kwargs):
        """The caller's process: that of moorctl, which becomes the launcher."""

        process = self.popen("run", "--scope", f"--name={name}", *options, BUSYBOX, *command, **kwargs)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        found = lib.wait_until(lambda: self.exists(name) and (i := self.inspect(name))["StartedUSec"] > 0 and i, what=f"{name} runs")
        return process, found

    def ended(self, name):
        return self.wait_state(name, "exited")

    def run_scope(self, *args, status=0, **kwargs):
        return self.run_container("--scope", *args, status=status, **kwargs)

    def test_output_input_and_exit_code(self):
        result = self.run_scope(BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
        self.assertEqual((result.stdout, result.stderr), ("out\n", "err\n"))
        self.assertEqual(self.run_scope("-i", BUSYBOX, "wc", "-c", input="12345").stdout, "5\n")
        self.assertEqual(self.run_scope(BUSYBOX, "wc", "-c").stdout, "0\n")
        lib.wait_until(lambda: lib.moorctl("ps", "-a", "-q").stdout == "", what="they are gone")

    def test_it_is_the_callers_child(self):
        process, found = self.start("one")
        self.assertEqual(found["Unit"], "moored-default-one.scope")
        self.assertEqual(int(status_of(found["LeaderPID"])["PPid"]), process.pid)
        self.assertEqual(status_of(found["LeaderPID"])["NSpid"].split()[-1], "1")
        self.assertEqual(lib.unit_properties(found["Unit"], "ActiveState", "Slice"), {"ActiveState": "active", "Slice": "moored-default.slice"})
        with open(f"/proc/{found['LeaderPID']}/cgroup", encoding="ascii") as f:
            self.assertIn(f"0::{found['ControlGroup']}\n", f.read())
        self.assertEqual(lib.busctl_call("/org/moored1", "org.moored1.Manager", "GetContainerByPID", "u", found["LeaderPID"]),
                         lib.busctl_call("/org/moored1", "org.moored1.Manager", "GetContainerByUnit", "s", found["Unit"]))

    def test_it_is_isolated_as_others_are(self):
        script = "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ls /dev | sort; mount | grep -c .; hostname; ls /proc/self/fd; env | sort"
        options = ("--name=same", "--cap-drop=CHOWN", "--read-only", "--tmpfs=/tmp")
        inside = self.run_scope(*options, BUSYBOX, "sh", "-c", script).stdout
        lib.wait_until(lambda: not self.exists("same"), what="it is gone")
        self.assertEqual(inside, self.run_container(*options, BUSYBOX, "sh", "-c", script).stdout)

    def test_limits_are_the_scopes_properties(self):
        _, found = self.start("one", "--pids-limit=50", "-p", "CPUWeight=33")
        self.assertEqual(lib.unit_properties(found["Unit"], "TasksMax", "CPUWeight", "DevicePolicy", "Delegate"),
                         {"TasksMax": "50", "CPUWeight": "33", "DevicePolicy": "closed", "Delegate": "yes"})

    def test_events_and_record(self):
        before = last_event()
        process, _ = self.start("one", command=("sh", "-c", "exit 5"))
        self.assertEqual(process.wait(timeout=20), 5)
        found = self.ended("one")
        self.assertEqual((found["ExitCode"], found["Result"]), (5, "exit-code"))
        self.assertEqual(topics_since(before, "one"), ["container/created", "container/started", "container/exited"])
        lib.moorctl("rm", "one")

    def test_signals(self):
        for signo, code in ((signal.SIGTERM, 3), (signal.SIGINT, 4)):
            script = "trap 'exit 3' TERM; trap 'exit 4' INT; while :; do sleep 1000 & wait $!; done"
            process, found = self.start(f"one{code}", command=("sh", "-c", script))
            wait_traps(found["LeaderPID"], script)
            process.send_signal(signo)
            self.assertEqual(process.wait(timeout=20), code)

    def test_stop_and_kill(self):
        script = OBEDIENT.replace("exit 0", "exit 9")
        process, found = self.start("obeys", command=("sh", "-c", script))
        wait_traps(found["LeaderPID"], script)
        lib.moorctl("stop", "obeys")
        self.assertEqual((process.wait(timeout=20), self.inspect("obeys")["ExitCode"]), (9, 9))

        process, _ = self.start("stubborn", "--stop-timeout=200ms")
        lib.moorctl("stop", "stubborn")
        self.assertEqual((process.wait(timeout=20), self.inspect("stubborn")["ExitSignal"]), (137, "KILL"))

        process, _ = self.start("all")
        lib.moorctl("kill", "--whom=all", "all")
        self.assertEqual(process.wait(timeout=20), 137)
        self.assertEqual(self.ended("all")["ExitSignal"], "KILL")

        process, _ = self.start("removed")
        lib.moorctl("rm", "-f", "removed")
        self.assertEqual(process.wait(timeout=20), 137)
        self.assertFalse(self.exists("removed"))

    def test_systemctl_stop(self):
        process, found = self.start("one", "--stop-timeout=200ms")
        lib.run(["systemctl", "stop", found["Unit"]])
        process.wait(timeout=20)
        self.ended("one")

    def test_the_caller_is_killed(self):
        process, found = self.start("one")
        process.kill()
        process.wait()
        self.assertEqual(self.ended("one")["Result"], "lost")
        self.assertFalse(os.path.exists(f"/proc/{found['LeaderPID']}"))

    def test_a_command_that_is_not_there(self):
        before = last_event()
        result = lib.moorctl("run", "--scope", "--name=one", BUSYBOX, "nonexistent", check=False)
        self.assertEqual(result.returncode, 127)
        self.assertIn('"nonexistent"', result.stderr)
        lib.wait_until(lambda: not self.exists("one"), what="nothing is left of it")
        self.assertEqual(topics_since(before, "one"), ["container/created", "container/removed"])

    def test_the_daemon_dies(self):
        before = last_event()
        process, found = self.start("runs")
        other, _ = self.start("ends", command=("sh", "-c", "sleep 1; exit 6"))
        lib.kill9_moored()
        again = self.inspect("runs")
        for key in ("State", "LeaderPID", "StartedUSec", "ControlGroup", "Unit"):
            self.assertEqual(again[key], found[key], key)
        with daemon_away():
            self.assertEqual(other.wait(timeout=20), 6)
        ended = self.inspect("ends")
        self.assertEqual((ended["State"], ended["ExitCode"], ended["Result"]), ("exited", 6, "exit-code"))
        lib.moorctl("kill", "runs")
        self.assertEqual(process.wait(timeout=20), 137)
        self.assertEqual(self.ended("runs")["ExitSignal"], "KILL")
        for name in ("runs", "ends"):
            self.assertEqual([e["Topic"] for e in events_since(before, name)].count("container/exited"), 1)

    def test_health(self):
        self.start("one", "--health-cmd=true", "--health-interval=200ms")
        lib.wait_until(lambda: self.inspect("one")["Health"] == "healthy", what="it is healthy")

    def test_it_can_only_be_started_by_its_parent(self):
        process, _ = self.start("one", command=("true",))
        process.wait(timeout=20)
        self.ended("one")
        for verb in ("start", "restart"):
            result = lib.moorctl(verb, "one", check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("StartScope()", result.stderr)

    def test_what_contradicts_is_refused(self):
        for options, text in ((("-d",), "contradict"), (("--restart=always",), "no Restart"), (("--log=none",), "no Log"),
                              (("--health-cmd=true", "--sdnotify=healthy"), "ReadyWhenHealthy")):
            self.fails("--scope", *options, BUSYBOX, "true", text=text)

    def test_root_alone(self):
        result = lib.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "moorctl", "run", "--scope", BUSYBOX, "true"], check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("takes root's privileges", result.stderr)
        lib.moorctl("create", "--name=one", BUSYBOX, "true")
        call = ["busctl", "call", "org.moored1", "/org/moored1/namespace/default/container/one", "org.moored1.Container", "StartScope", "u", "2"]
        self.assertIn("was not made for a scope", lib.run(call, check=False).stderr)
        unprivileged = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *call], capture_output=True, text=True, check=False)
        self.assertNotEqual(unprivileged.returncode, 0)
        self.assertIn("denied", unprivileged.stderr.lower())

    def test_a_terminal_of_its_own(self):
        tty = self.tty("moorctl", "run", "--scope", "-it", "--rm", "--name=one", BUSYBOX, "sh", rows=33, columns=99)
        tty.expect("# ")
        self.assertTrue(tty.is_raw())
        tty.send("stty size; tty; ls /dev/pts\n")
        self.assertIn("33 99", tty.expect("/dev/pts/0"))
        tty.expect("# ")
        tty.resize(44, 111)
        lib.wait_until(lambda: (tty.send("stty size\n"), "44 111" in tty.expect("# "))[1], what="the size is passed on")
        # Not the shell says so, which may not have given the terminal to the command yet.
        tty.send("sh -c \"echo slee''ping; exec sleep 1000\"\n")
        tty.expect("sleeping")
        tty.send("\x03")
        tty.expect("# ")
        tty.send("exit 6\n")
        self.assertEqual(tty.wait(), 6)

    def test_it_costs_the_caller_no_patience(self):
        times = []
        for _ in range(5):
            begin = time.monotonic()
            self.run_scope(BUSYBOX, "true")
            times.append(time.monotonic() - begin)
        self.assertLess(min(times), 2)
