# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health checks: what a check sees, what its results change, and what is left of it."""

import json
import os
import shutil
import signal
import tempfile
import time

import lib
from lib_container import BUSYBOX, ContainerTestCase, daemon_away, events_since, interrupt, last_event, status_of, unit_of

QUICK = ("--health-interval=200ms", "--health-start-interval=200ms", "--health-retries=2")
SLEEP = ("sleep", "1000")


class HealthTestCase(ContainerTestCase):
    """The check of most tests is whether a file of a directory that is mounted on /mnt is there."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.directory)
        super().setUp()

    def set_well(self, well):
        path = f"{self.directory}/well"
        if well:
            with open(path, "w", encoding="ascii"):
                pass
        elif os.path.exists(path):
            os.unlink(path)

    def detach_checked(self, name, *options, well=True, command=SLEEP):
        self.set_well(well)
        return self.detach(name, f"--volume={self.directory}:/mnt", "--health-cmd=test -e /mnt/well", *QUICK, *options, command=command)

    def wait_health(self, name, health):
        return lib.wait_until(lambda: (i := self.inspect(name))["Health"] == health and i, timeout=20, what=f"{name} is {health}")

    def check_now(self, name, status=0):
        result = lib.moorctl("healthcheck", "run", name, check=False)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout


class StateTest(HealthTestCase):
    def test_healthy_unhealthy_healthy(self):
        before = last_event()
        self.detach_checked("one")
        found = self.wait_health("one", "healthy")
        self.assertEqual(found["HealthFailingStreak"], 0)
        self.assertIn(", healthy)", lib.moorctl("ps").stdout)
        self.assertEqual(lib.moorctl("ps", "-q", "--filter=health=healthy").stdout, "one\n")
        self.assertEqual(lib.moorctl("ps", "-q", "--filter=health=unhealthy").stdout, "")
        self.set_well(False)
        found = self.wait_health("one", "unhealthy")
        self.assertGreaterEqual(found["HealthFailingStreak"], 2)
        self.set_well(True)
        self.wait_health("one", "healthy")
        events = [e for e in events_since(before, "one") if e["Topic"] == "container/health-changed"]
        self.assertEqual([e["Details"]["Health"] for e in events], ["healthy", "unhealthy", "healthy"])
        self.assertEqual(events[1]["Details"]["FailingStreak"], 2)

    def test_the_properties_tell_how_it_is_checked(self):
        self.detach("plain", command=SLEEP)
        found = self.inspect("plain")
        self.assertEqual((found["Health"], found["HealthCheck"], found["HealthLog"]), ("", {}, []))
        self.detach_checked("one", "--health-timeout=7s", "--health-start-period=0", "--health-on-failure=stop")
        self.assertEqual(self.inspect("one")["HealthCheck"], {
            "Command": ["/bin/sh", "-c", "test -e /mnt/well"], "IntervalUSec": 200000, "TimeoutUSec": 7000000, "StartPeriodUSec": 0,
            "StartIntervalUSec": 200000, "Retries": 2, "OnFailure": "stop"})

    def test_the_images_check(self):
        layer = lib.Tar().directory("bin").file("bin/busybox", open("/bin/busybox", "rb").read(), mode=0o755)
        for applet in ("sh", "test", "sleep", "echo"):
            layer.symlink(f"bin/{applet}", "busybox")
        config = {"Cmd": ["/bin/sleep", "1000"], "Healthcheck": {"Test": ["CMD-SHELL", "echo mine; test -e /well"], "Interval": 200000000, "Retries": 1}}
        reference = lib.push(lib.Image([layer], config), "health/image:test")
        lib.moorctl("pull", "-q", reference)
        self.addCleanup(lib.moorctl, "rmi", "-f", reference)
        for name, options in (("image", ()), ("more", ("--health-retries=1000",)), ("off", ("--no-healthcheck",)), ("none", ("--health-cmd=none",))):
            lib.moorctl("run", "-d", f"--name={name}", *options, reference)
        self.assertEqual(self.wait_health("image", "unhealthy")["HealthLog"][-1][3], "mine\n")
        self.assertEqual(self.inspect("more")["HealthCheck"]["Retries"], 1000)
        self.assertEqual(self.inspect("more")["HealthCheck"]["Command"][2], "echo mine; test -e /well")
        for name in ("off", "none"):
            self.assertEqual(self.inspect(name)["Health"], "")

    def test_the_start_period(self):
        self.detach_checked("one", "--health-start-period=1h", well=False)
        lib.wait_until(lambda: len(self.inspect("one")["HealthLog"]) >= 4, what="four checks")
        found = self.inspect("one")
        self.assertEqual((found["Health"], found["HealthFailingStreak"]), ("starting", 0))

    def test_on_request_only(self):
        self.set_well(True)
        self.detach("one", "--health-cmd=echo out; echo err >&2; exit 3", "--health-interval=disable", command=SLEEP)
        time.sleep(0.3)
        self.assertEqual(self.inspect("one")["HealthLog"], [])
        self.assertEqual(self.check_now("one", 1), "out\nerr\n")
        self.assertEqual(self.inspect("one")["HealthLog"][0][2:], [3, "out\nerr\n"])
        answer = json.loads(lib.moorctl("healthcheck", "run", "one", "--json=short", check=False).stdout)
        self.assertEqual(answer, {"ExitCode": 3, "Output": "out\nerr\n"})

        self.detach("plain", command=SLEEP)
        self.check_now("plain", 125)
        lib.moorctl("stop", "-t0", "one")
        self.check_now("one", 125)

    def test_what_contradicts_is_refused(self):
        for options, text in ((("--no-healthcheck", "--health-cmd=true"), "Disabled"), (("--health-retries=3",), "no Command"),
                              (("--sdnotify=healthy",), "no health check"), (("--health-cmd=true", "--health-interval=1ms"), "100 ms"),
                              (("--health-cmd=true", "--health-on-failure=cry"), "none, kill, restart, stop"),
                              (("--health-cmd=true", "--health-interval=disable", "--sdnotify=healthy"), "on request only")):
            self.fails("-d", *options, BUSYBOX, *SLEEP, text=text)


class CheckTest(HealthTestCase):
    """The process that checks."""

    def check_with(self, command, *options, status=0):
        self.detach("one", f"--health-cmd={command}", "--health-interval=disable", *options, command=SLEEP)
        output = self.check_now("one", status)
        return output

    def test_it_is_the_containers(self):
        output = self.check_with("id -u; id -g; pwd; echo $WHO; hostname; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/self/cgroup",
                                 "--user=1234:5678", "--workdir=/tmp", "--env=WHO=me", "--hostname=inside", "--cap-drop=ALL")
        lines = output.split("\n")
        self.assertEqual(lines[:5], ["1234", "5678", "/tmp", "me", "inside"])
        self.assertIn("CapEff:\t0000000000000000", lines)
        self.assertIn("NoNewPrivs:\t1", lines)
        self.assertIn("Seccomp:\t2", lines)
        # Its control group is the root of what the container sees.
        self.assertIn("0::/", lines)

    def test_it_finds_nothing_of_the_host(self):
        output = self.check_with("ls /proc/self/fd; cat /proc/self/environ | tr '\\0' '\\n'; readlink /proc/self/fd/0; ls /proc | grep -c '^[0-9]'")
        self.assertNotIn("LISTEN", output)
        self.assertIn("/dev/null\n", output)
        descriptors = set(output.split("\n")[:4])
        self.assertLessEqual({"0", "1", "2"}, descriptors)
        self.assertNotIn("4", descriptors)

    def test_a_command_that_is_not_there(self):
        output = self.check_with('["nonexistent"]', status=1)
        self.assertIn('"nonexistent"', output)
        self.assertEqual(self.inspect("one")["HealthLog"][0][2], 127)

    def test_what_takes_too_long_is_killed(self):
        self.detach("one", "--health-cmd=sleep 4711 & sleep 4712", "--health-interval=disable", "--health-timeout=300ms", command=SLEEP)
        result = lib.moorctl("healthcheck", "run", "one", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("took too long", result.stderr)
        self.assertEqual(self.inspect("one")["HealthLog"][0][2], -1)
        lib.wait_until(lambda: lib.run("pgrep -f 'sleep 471[12]'", check=False).stdout == "", what="its processes are gone")

    def test_output_is_bounded_text(self):
        output = self.check_with("printf 'a\\0b\\377c\\033d\\n\\t.'; yes | head -c 1000000")
        self.assertTrue(output.startswith("a?b?c?d\n\t.y\ny\n"), output[:40])
        self.assertLessEqual(len(output), 4097)

    def test_what_goes_on_in_the_background_is_not_waited_for(self):
        # Whoever waited for it would say that the check took too long.
        self.assertEqual(self.check_with("sleep 1000 & echo done"), "done\n")

    def test_nobody_asks_any_more(self):
        self.detach("one", "--health-cmd=sleep 4713", "--health-interval=200ms", command=SLEEP)
        lib.wait_until(lambda: lib.run("pgrep -xf 'sleep 4713'", check=False).stdout, what="the check runs")
        lib.kill9_moored()
        lib.wait_until(lambda: lib.run("pgrep -xf 'sleep 4713'", check=False).stdout.count("\n") == 1, what="the old one is gone, the new one runs")
        lib.run(["systemctl", "kill", "--signal=KILL", "moored-probe.service"])
        lib.moorctl("stop", "-t0", "one")
        lib.wait_until(lambda: lib.run("pgrep -xf 'sleep 4713'", check=False).stdout == "", what="no check is left")

    def test_the_prober_is_killed(self):
        self.detach("one", "--health-cmd=sleep 4714", "--health-interval=1h", command=SLEEP)
        lib.wait_until(lambda: lib.run("pgrep -xf 'sleep 4714'", check=False).stdout, what="the check runs")
        since = time.time()
        lib.run(["systemctl", "kill", "--signal=KILL", "moored-probe.service"])
        lib.wait_until(lambda: lib.run("pgrep -xf 'sleep 4714'", check=False).stdout == "", what="it goes with the prober")
        lib.wait_until(lambda: "cannot be checked" in lib.journal("-u", "moored.service", since=since), what="it is told")
        self.assertEqual(self.inspect("one")["HealthFailingStreak"], 0)


class QuietTest(HealthTestCase):
    def test_checks_are_not_logged_and_nothing_stays(self):
        self.detach_checked("one")
        self.wait_health("one", "healthy")
        # What has been said so far has been received.
        lib.run(["journalctl", "--sync"])
        since = time.time()
        for _ in range(20):
            self.check_now("one")
        text = lib.journal("-q", since=since)
        self.assertNotIn("one", text)
        self.assertNotIn("probe", text)
        lib.moorctl("rm", "-f", "one")
        # It goes by itself, and is not told either.
        lib.wait_until(lambda: lib.unit_properties("moored-probe.service", "ActiveState")["ActiveState"] == "inactive",
                       what="moored-probe.service ends")
        self.assertNotIn("probe", lib.journal("-q", since=since))
        lib.wait_until(lambda: lib.processes("mooring") == {}, what="no launcher is left")


class PauseTest(HealthTestCase):
    def test_a_paused_container_is_not_checked(self):
        self.detach_checked("one")
        self.wait_health("one", "healthy")
        lib.moorctl("pause", "one")
        self.set_well(False)
        checks = self.inspect("one")["HealthLog"]
        time.sleep(1)
        self.assertEqual(self.inspect("one")["HealthLog"], checks)
        self.check_now("one", 125)
        lib.kill9_moored()
        time.sleep(0.5)
        found = self.inspect("one")
        self.assertEqual((found["State"], found["Health"], found["HealthLog"]), ("paused", "healthy", checks))
        lib.moorctl("resume", "one")
        self.wait_health("one", "unhealthy")


class ActionTest(HealthTestCase):
    def test_kill(self):
        self.detach_checked("one", "--health-on-failure=kill", well=False)
        found = self.wait_state("one", "exited")
        self.assertEqual((found["ExitSignal"], found["Health"]), ("KILL", "unhealthy"))

    def test_stop(self):
        self.detach_checked("one", "--health-on-failure=stop", command=("sh", "-c", "trap 'exit 9' TERM; while :; do sleep 1000 & wait $!; done"))
        self.set_well(False)
        self.assertEqual(self.wait_state("one", "exited")["ExitCode"], 9)

    def test_restart(self):
        before = last_event()
        self.detach_checked("one", "--health-on-failure=restart", "--stop-timeout=0")
        first = self.wait_health("one", "healthy")["LeaderPID"]
        self.set_well(False)
        lib.wait_until(lambda: (i := self.inspect("one"))["State"] == "running" and i["LeaderPID"] != first, what="another process runs")
        # Until then it is started again and again.
        self.set_well(True)
        found = self.wait_health("one", "healthy")
        self.assertEqual(status_of(found["LeaderPID"])["NSpid"].split()[-1], "1")
        topics = [e["Topic"].removeprefix("container/") for e in events_since(before, "one")]
        begin = topics.index("exited")
        self.assertEqual(topics[begin - 1:begin + 3], ["health-changed", "exited", "stopped", "started"])

    def test_restart_by_the_unit(self):
        self.detach_checked("one", "--health-on-failure=kill", "--restart=on-failure")
        first = self.wait_health("one", "healthy")["LeaderPID"]
        self.set_well(False)
        lib.wait_until(lambda: self.inspect("one")["LeaderPID"] not in (0, first), timeout=20, what="systemd has started it again")
        self.set_well(True)
        self.wait_health("one", "healthy")


class RuntimeTest(HealthTestCase):
    def test_containers_of_other_runtimes(self):
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                self.detach_checked(runtime, f"--runtime={runtime}", "--sdnotify=healthy")
                self.wait_health(runtime, "healthy")
                self.set_well(False)
                self.wait_health(runtime, "unhealthy")
                lib.moorctl("rm", "-f", runtime)


class RecoveryTest(HealthTestCase):
    def test_the_daemon_is_killed(self):
        before = last_event()
        self.detach_checked("one")
        self.wait_health("one", "healthy")
        for _ in range(3):
            lib.kill9_moored()
            self.assertEqual(self.inspect("one")["Health"], "healthy")
        self.set_well(False)
        self.wait_health("one", "unhealthy")
        lib.kill9_moored()
        found = self.inspect("one")
        self.assertEqual(found["Health"], "unhealthy")
        self.assertGreaterEqual(found["HealthFailingStreak"], 2)
        self.set_well(True)
        self.wait_health("one", "healthy")
        events = [e["Details"]["Health"] for e in events_since(before, "one") if e["Topic"] == "container/health-changed"]
        self.assertEqual(events, ["healthy", "unhealthy", "healthy"])

    def test_it_dies_while_the_daemon_is_away(self):
        self.detach_checked("one")
        pid = self.wait_health("one", "healthy")["LeaderPID"]
        with daemon_away():
            os.kill(pid, signal.SIGKILL)
        found = self.wait_state("one", "exited")
        self.assertEqual(found["Health"], "healthy")
        lib.moorctl("start", "one")
        self.wait_health("one", "healthy")


class ReadyTest(HealthTestCase):
    def ready(self, name, *options, **kwargs):
        arguments = ["run", "-d", f"--name={name}", f"--volume={self.directory}:/mnt", "--health-cmd=test -e /mnt/well", *QUICK, "--sdnotify=healthy",
                     *options, BUSYBOX, *SLEEP]
        return self.popen(*arguments, **kwargs)

    def active_state(self, name):
        return lib.unit_properties(unit_of(name), "ActiveState", "StatusText")

    def test_the_start_waits(self):
        process = self.ready("one")
        lib.wait_until(lambda: self.exists("one") and len(self.inspect("one")["HealthLog"]) > 0, what="a check was made")
        self.assertEqual(self.active_state("one"), {
            "ActiveState": "activating", "StatusText": "NotHealthy: No health check of the container has succeeded."})
        self.assertEqual(self.inspect("one")["State"], "starting")
        self.assertIsNone(process.poll())
        lib.kill9_moored()
        self.set_well(True)
        lib.wait_until(lambda: self.active_state("one") == {"ActiveState": "active", "StatusText": ""}, what="the unit is active")
        process.communicate(timeout=30)
        found = self.wait_state("one", "running")
        self.assertEqual(found["Health"], "healthy")

    def test_a_unit_that_is_ordered_after_it_waits(self):
        lib.moorctl("create", "--name=one", f"--volume={self.directory}:/mnt", "--health-cmd=test -e /mnt/well", *QUICK, "--sdnotify=healthy", BUSYBOX, *SLEEP)
        process = self.popen("start", "one")
        lib.wait_until(lambda: self.active_state("one")["ActiveState"] == "activating", what="the unit is starting")
        lib.run(["systemd-run", "--no-block", "--unit=after-one", "-p", f"After={unit_of('one')}", "-p", "RemainAfterExit=yes", "true"])
        self.addCleanup(lib.run, ["systemctl", "stop", "after-one"], check=False)
        time.sleep(0.5)
        self.assertEqual(lib.unit_properties("after-one.service", "ActiveState")["ActiveState"], "inactive")
        self.set_well(True)
        lib.wait_until(lambda: lib.unit_properties("after-one.service", "ActiveState")["ActiveState"] == "active", what="the other has started")
        self.assertEqual(process.wait(timeout=20), 0)

    def test_it_never_becomes_healthy(self):
        process = self.ready("one", "--health-on-failure=kill")
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 125)
        self.assertIn("No health check of the container has succeeded", errors)
        self.assertFalse(self.exists("one"))

    def test_the_units_time_is_up(self):
        process = self.ready("one", "-p", "TimeoutStartSec=3s", "--stop-timeout=0")
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 125)
        self.assertIn("No health check of the container has succeeded", errors)

    def test_a_restart_waits_as_well(self):
        self.set_well(True)
        process = self.ready("one", "--restart=always")
        process.communicate(timeout=30)
        first = self.wait_state("one", "running")["LeaderPID"]
        self.set_well(False)
        os.kill(first, signal.SIGKILL)
        lib.wait_until(lambda: self.active_state("one")["ActiveState"] == "activating" and "NotHealthy" in self.active_state("one")["StatusText"],
                       what="it is starting again")
        self.set_well(True)
        lib.wait_until(lambda: self.active_state("one")["ActiveState"] == "active", what="it has started again")
        self.assertEqual(self.wait_health("one", "healthy")["RestartCount"], 1)

    def test_a_start_that_waits_can_be_stopped(self):
        process = self.ready("one")
        lib.wait_until(lambda: self.exists("one") and len(self.inspect("one")["HealthLog"]) > 0, what="a check was made")
        lib.moorctl("stop", "-t0", "one")
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 125)
        self.assertFalse(self.exists("one"))

    def test_impatience_in_the_foreground(self):
        process = self.popen("run", "--name=one", "--health-cmd=false", *QUICK, "--sdnotify=healthy", "--stop-timeout=0", BUSYBOX, *SLEEP)
        lib.wait_until(lambda: self.exists("one") and len(self.inspect("one")["HealthLog"]) > 0, what="a check was made")
        interrupt(process)
        process.communicate()
        self.assertEqual(process.returncode, 125)
        self.assertFalse(self.exists("one"))

    def test_it_ends_before(self):
        result = lib.moorctl("run", "-d", "--name=one", "--health-cmd=false", *QUICK, "--sdnotify=healthy", BUSYBOX, "sh", "-c", "sleep 0.5; exit 3",
                             check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("No health check of the container has succeeded", result.stderr)
        self.assertFalse(self.exists("one"))
