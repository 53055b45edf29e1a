# SPDX-License-Identifier: LGPL-2.1-or-later
"""moored@.service, moored@.socket, moored-image@.service: containers as units that people write."""

import contextlib
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import urllib.request

import lib
import lib_store
import lib_system
from lib_container import BUSYBOX, OBEDIENT, ContainerTestCase, daemon_away, events_since, last_event, topics_since, wait_traps

CONTAINERS = "/etc/moored/containers"
SYSTEM = "/etc/systemd/system"
NGINX = f"{lib.REGISTRY}/nginx:test"
SLEEP = "sleep 1000"
WAITS = "until test -e /go; do sleep 0.05; done"


class UnitsTestCase(ContainerTestCase):
    def setUp(self):
        super().setUp()
        self.names = []
        self.drop_ins = []
        os.makedirs(CONTAINERS, exist_ok=True)
        self.addCleanup(self.remove_units)

    def remove_units(self):
        for name in self.names:
            units = [f"moored@{name}.socket", f"moored@{name}.service", f"moored-image@{name}.service"]
            lib.run(["systemctl", "disable", "--now", *units[:2]], check=False)
            lib.run(["systemctl", "stop", *units], check=False)
            lib.run(["systemctl", "reset-failed", *units], check=False)
            lib.moorctl("rm", "-f", name, check=False)
            os.unlink(f"{CONTAINERS}/{name}.conf")
            shutil.rmtree(f"{CONTAINERS}/{name}.conf.d", ignore_errors=True)
        for path in self.drop_ins:
            shutil.rmtree(path, ignore_errors=True)
        # Limits that were set at units.
        shutil.rmtree("/run/systemd/system.control", ignore_errors=True)
        lib.run(["systemctl", "daemon-reload"])

    def write(self, name, *lines, image=BUSYBOX):
        """NAME.conf; returns the unit's name."""

        if name not in self.names:
            self.names.append(name)
        with open(f"{CONTAINERS}/{name}.conf", "w", encoding="utf-8") as f:
            # An init that has no handler for it does not get the stop signal.
            f.write("\n".join(["[Container]", f"Image={image}", *lines, ""]))
            if not any(line.startswith(("StopTimeout", "Nonsense")) for line in lines) and "trap" not in str(lines):
                f.write("StopTimeout=200ms\n")
        return f"moored@{name}.service"

    def write_script(self, name, script, *lines):
        quoted = script.replace("\\", "\\\\").replace('"', '\\"')
        return self.write(name, f'Exec=sh -c "{quoted}"', *lines)

    def drop_in(self, unit, *lines):
        path = f"{SYSTEM}/{unit}.d"
        os.makedirs(path, exist_ok=True)
        self.drop_ins.append(path)
        with open(f"{path}/10-test.conf", "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, ""]))
        lib.run(["systemctl", "daemon-reload"])

    @staticmethod
    def systemctl(*args, **kwargs):
        return lib.run(["systemctl", *args], **kwargs)

    def start_fails(self, unit):
        """The unit's status text."""

        result = self.systemctl("start", unit, check=False)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertEqual(lib.unit_properties(unit, "ActiveState")["ActiveState"], "failed")
        return lib.unit_properties(unit, "StatusText")["StatusText"]

    def main_pid(self, unit):
        return int(lib.unit_properties(unit, "MainPID")["MainPID"])

    def go(self, unit):
        """What WAITS need not wait any more."""

        with open(f"/proc/{self.main_pid(unit)}/root/go", "w", encoding="ascii"):
            pass

    def get(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as reply:
            return reply.read().decode()


class UnitTest(UnitsTestCase):
    def test_start_status_stop(self):
        unit = self.write_script("web", OBEDIENT, "Environment=GREETING=\"hello you\"")
        event = last_event()
        self.systemctl("start", unit)
        inside = self.inspect("web")
        self.assertEqual((inside["State"], inside["Unit"], inside["Image"]), ("running", unit, BUSYBOX))
        self.assertEqual(inside["LeaderPID"], self.main_pid(unit))
        self.assertEqual(inside["ControlGroup"], lib.unit_properties(unit, "ControlGroup")["ControlGroup"])
        wait_traps(inside["LeaderPID"], OBEDIENT)
        with open(f"/proc/{inside['LeaderPID']}/environ", encoding="utf-8") as f:
            self.assertIn("GREETING=hello you", f.read().split("\0"))
        status = self.systemctl("status", unit).stdout
        self.assertIn("Active: active (running)", status)
        self.assertIn(f"Main PID: {inside['LeaderPID']} (sh)", status)

        self.systemctl("stop", unit)
        inside = self.wait_state("web", "exited")
        self.assertEqual((inside["ExitCode"], inside["Result"]), (0, "success"))
        self.assertEqual(topics_since(event, "web"), ["container/created", "container/started", "container/exited"])
        self.assertEqual(self.systemctl("is-active", unit, check=False).stdout, "inactive\n")

    def test_a_changed_file_needs_no_reload(self):
        unit = self.write("web", f"Exec={SLEEP}", "HostName=one")
        self.systemctl("start", unit)
        first = self.inspect("web")
        self.write("web", "Exec=sh -c 'echo $MODE; hostname; sleep 1000'", "HostName=two", "Environment=MODE=new")
        self.systemctl("restart", unit)
        second = self.inspect("web")
        self.assertEqual(second["State"], "running")
        self.assertNotEqual(first["LeaderPID"], second["LeaderPID"])
        lib.wait_until(lambda: "new\ntwo\n" in lib.moorctl("logs", "web").stdout, what="its output is in the journal")
        self.assertEqual(lib.unit_properties(unit, "NeedDaemonReload")["NeedDaemonReload"], "no")

    def test_each_run_is_a_new_container(self):
        unit = self.write("web", "Exec=sh -c 'ls /; touch /mark; sleep 1000'")
        begin = time.time()
        self.systemctl("start", unit)
        lib.wait_until(lambda: "proc" in lib.moorctl("logs", "web").stdout, what="it has run")
        event = last_event()
        self.systemctl("restart", unit)
        lib.wait_until(lambda: lib.journal("-u", unit, "--output=cat", since=begin).split().count("proc") == 2,
                       what="it has run twice")
        self.assertNotIn("mark", lib.journal("-u", unit, "--output=cat", since=begin).split())
        self.wait_state("web", "running")
        self.assertEqual(topics_since(event, "web"), ["container/exited", "container/removed", "container/created",
                                                      "container/started"])

    def test_drop_ins(self):
        unit = self.write("web", f"Exec={SLEEP}", "HostName=main")
        os.makedirs(f"{CONTAINERS}/web.conf.d")
        with open(f"{CONTAINERS}/web.conf.d/10-name.conf", "w", encoding="utf-8") as f:
            f.write("[Container]\nHostName=drop-in\n")
        self.drop_in(unit, "[Service]", "LimitNOFILE=777")
        self.systemctl("start", unit)
        pid = self.main_pid(unit)
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            self.assertIn("777", next(line for line in f if line.startswith("Max open files")))
        self.assertIn("drop-in", lib.run(["nsenter", "-u", "-t", str(pid), "hostname"]).stdout)

    def test_a_device(self):
        """A node is a mount; what opens it is the unit's."""

        unit = self.write_script("web", "if (exec 3<>/dev/fuse); then echo opened; else echo refused; fi; exec sleep 1000", "Volume=/dev/fuse:/dev/fuse")
        self.systemctl("start", unit)
        lib.wait_until(lambda: lib.moorctl("logs", "web").stdout == "refused\n", what="it has tried")
        self.drop_in(unit, "[Service]", "DeviceAllow=/dev/fuse rw")
        self.systemctl("restart", unit)
        lib.wait_until(lambda: lib.moorctl("logs", "web").stdout == "opened\n", what="it has tried")
        self.systemctl("daemon-reload")
        self.assertEqual(lib.moorctl("exec", "web", "sh", "-c", "exec 3<>/dev/fuse && echo still").stdout, "still\n")

    def test_moorctl_starts_and_stops_the_unit(self):
        unit = self.write_script("web", OBEDIENT)
        self.systemctl("start", unit)
        wait_traps(self.main_pid(unit), OBEDIENT)
        lib.moorctl("stop", "web")
        self.assertEqual(self.systemctl("is-active", unit, check=False).stdout, "inactive\n")
        self.assertEqual(self.inspect("web")["State"], "exited")
        lib.moorctl("start", "web")
        self.assertEqual(self.systemctl("is-active", unit).stdout, "active\n")
        first = self.main_pid(unit)
        self.assertEqual(self.inspect("web")["LeaderPID"], first)
        wait_traps(first, OBEDIENT)
        lib.moorctl("restart", "web")
        self.assertNotEqual(self.main_pid(unit), first)
        self.assertEqual(self.inspect("web")["LeaderPID"], self.main_pid(unit))
        # A mistake is the call's error.
        self.write("web", "Nonsense=1")
        result = lib.moorctl("restart", "web", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("web.conf:3: There is no key Nonsense=", result.stderr)

    def test_remove(self):
        unit = self.write("web", f"Exec={SLEEP}")
        self.drop_in(unit, "[Service]", "Restart=always", "RestartSec=0")
        self.systemctl("start", unit)
        self.assertIn("running", lib.moorctl("rm", "web", check=False).stderr)
        lib.moorctl("rm", "-f", "web")
        self.assertFalse(self.exists("web"))
        self.assertNotEqual(self.systemctl("is-active", unit, check=False).stdout, "active\n")
        self.systemctl("reset-failed", unit, check=False)
        self.systemctl("start", unit)
        self.assertEqual(self.inspect("web")["State"], "running")

    def test_exit_codes_and_restart(self):
        unit = self.write("web", "Exec=sh -c 'sleep 0.3; exit 7'")
        event = last_event()
        self.systemctl("start", unit)
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 7)
        self.assertEqual(lib.unit_properties(unit, "ExecMainStatus", "ActiveState"),
                         {"ExecMainStatus": "7", "ActiveState": "failed"})
        self.assertEqual(topics_since(event, "web"), ["container/created", "container/started", "container/exited"])

        self.drop_in(unit, "[Unit]", "StartLimitBurst=3", "[Service]", "Restart=on-failure", "RestartSec=100ms")
        event = last_event()
        self.systemctl("reset-failed", unit)
        self.systemctl("start", unit)
        lib.wait_until(lambda: lib.unit_properties(unit, "Result", "SubState") ==
                       {"Result": "exit-code", "SubState": "failed"} or None, timeout=20, what="it has failed for good")
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 7)
        topics = topics_since(event, "web")
        self.assertEqual(topics, ["container/removed", "container/created", "container/started", "container/exited"] * 3)

    def test_a_name_that_is_taken(self):
        self.detach("web")
        unit = self.write("web", f"Exec={SLEEP}")
        self.assertIn("ContainerExists: ", self.start_fails(unit))
        self.assertEqual(self.inspect("web")["State"], "running")

    def test_other_runtimes(self):
        begin = time.time()
        for runtime in ("runc", "crun"):
            with self.subTest(runtime=runtime):
                unit = self.write("web", "Exec=sh -c 'sleep 0.3; exit 7'", f"Runtime={runtime}")
                self.systemctl("start", unit)
                self.assertEqual(self.inspect("web")["Runtime"], runtime)
                web = self.wait_state("web", "exited")
                self.assertEqual((web["ExitCode"], web["Result"]), (7, "exit-code"))
                self.assertNotIn("mooring:", lib.journal("-u", unit, since=begin))
                unit = self.write_script("web", OBEDIENT, f"Runtime={runtime}")
                self.systemctl("start", unit)
                wait_traps(self.main_pid(unit), OBEDIENT)
                self.systemctl("restart", unit)
                wait_traps(self.main_pid(unit), OBEDIENT)
                self.systemctl("stop", unit)
                self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 0)

    def test_ordered_and_enabled(self):
        unit = self.write("web", f"Exec={SLEEP}")
        self.systemctl("enable", unit)
        self.assertTrue(os.path.islink(f"{SYSTEM}/multi-user.target.wants/{unit}"))
        self.assertEqual(self.systemctl("is-enabled", unit).stdout, "enabled\n")
        dependencies = self.systemctl("list-dependencies", "--plain", unit).stdout.split()
        for wanted in ("moored.service", "moored-image@web.service", "moored-default.slice"):
            self.assertIn(wanted, dependencies)
        self.systemctl("disable", unit)
        self.assertFalse(os.path.exists(f"{SYSTEM}/multi-user.target.wants/{unit}"))


class LimitsTest(UnitsTestCase):
    hosts = "ab"

    def limits(self, unit):
        return tuple(lib.unit_properties(unit, "MemoryMax", "TasksMax")[name] for name in ("MemoryMax", "TasksMax"))

    def test_limits(self):
        unit = self.write("web", f"Exec={SLEEP}")
        self.drop_in(unit, "[Service]", "MemoryMax=1G")
        self.systemctl("start", unit)
        memory, tasks = self.limits(unit)
        self.assertEqual(memory, str(1 << 30))
        self.write("web", f"Exec={SLEEP}", "Memory=64m", "PidsLimit=100")
        self.systemctl("restart", unit)
        self.assertEqual(self.limits(unit), (str(64 << 20), "100"))
        group = "/sys/fs/cgroup" + lib.unit_properties(unit, "ControlGroup")["ControlGroup"]
        if os.path.exists(f"{group}/memory.max"):
            with open(f"{group}/memory.max", encoding="ascii") as f:
                self.assertEqual(f.read(), f"{64 << 20}\n")
        self.write("web", f"Exec={SLEEP}", "Memory=32m")
        with daemon_away():
            pass
        self.systemctl("restart", unit)
        self.assertEqual(self.limits(unit), (str(32 << 20), tasks))
        self.systemctl("daemon-reload")
        self.assertEqual(self.limits(unit), (str(32 << 20), tasks))
        # What the unit had before comes back.
        self.write("web", f"Exec={SLEEP}")
        self.systemctl("restart", unit)
        self.assertEqual(self.limits(unit), (memory, tasks))
        self.systemctl("revert", unit, check=False)

    def test_moorctl_update(self):
        unit = self.write("web", f"Exec={SLEEP}", "Memory=64m")
        self.systemctl("start", unit)
        lib.moorctl("update", "--memory=32m", "web")
        self.assertEqual(self.limits(unit)[0], str(32 << 20))
        self.systemctl("restart", unit)
        self.assertEqual(self.limits(unit)[0], str(64 << 20))

    def test_a_wrong_limit(self):
        unit = self.write("web", "Memory=much")
        self.assertIn("web.conf:3: Memory=: ", self.start_fails(unit))


class ReadyTest(UnitsTestCase):
    def start_in_background(self, unit):
        self.systemctl("start", "--no-block", unit)
        lib.wait_until(lambda: lib.unit_properties(unit, "SubState", "MainPID")["MainPID"] != "0" and
                       lib.unit_properties(unit, "StatusText")["StatusText"] == "on its way", what="it is being started")

    def test_notify(self):
        unit = self.write("web", "Notify=yes", "User=1000", "Volume=/var/tmp:/var/tmp",
                          "Exec=sh -c '/var/tmp/send STATUS=\"on its way\"; until test -e /var/tmp/ready; do sleep 0.1; done; "
                          "/var/tmp/send READY=1; exec sleep 1000'", image=self.notifier())
        path = "/var/tmp/ready"
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        self.start_in_background(unit)
        self.assertEqual(lib.unit_properties(unit, "ActiveState")["ActiveState"], "activating")
        self.assertEqual(self.inspect("web")["State"], "starting")
        with open(path, "w", encoding="ascii"):
            pass
        lib.wait_until(lambda: lib.unit_properties(unit, "ActiveState")["ActiveState"] == "active", what="it is ready")
        self.assertEqual(self.wait_state("web", "running")["LeaderPID"], self.main_pid(unit))
        lib.wait_until(lambda: lib.processes("mooring") == {}, what="no launcher is left")
        self.systemctl("stop", unit)
        self.wait_state("web", "exited")

    def notifier(self):
        """Makes /var/tmp/send, which sends its argument to $NOTIFY_SOCKET; returns an image that can execute it."""

        name = f"{lib.REGISTRY}/debian:test"
        lib.moorctl("pull", "-q", name)
        script = ("#!/usr/bin/python3\nimport os, socket, sys\n"
                  "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), os.environ['NOTIFY_SOCKET'])\n")
        with open("/var/tmp/send", "w", encoding="ascii") as f:
            f.write(script)
        os.chmod("/var/tmp/send", 0o755)
        self.addCleanup(os.unlink, "/var/tmp/send")
        return name

    def test_run(self):
        image = self.notifier()
        result = lib.moorctl("run", "-d", "--name=web", "--sdnotify=container", "-v", "/var/tmp:/mnt", image, "sh", "-c",
                             "sleep 0.5; date +%s.%N >/mnt/stamp; /mnt/send READY=1; exec sleep 1000")
        now = time.time()
        self.addCleanup(os.unlink, "/var/tmp/stamp")
        self.assertEqual(result.stdout, "web\n")
        with open("/var/tmp/stamp", encoding="ascii") as f:
            self.assertLess(float(f.read()), now)
        # Nothing that ends before is ready.
        result = lib.moorctl("run", "-d", "--name=other", "--sdnotify=container", BUSYBOX, "sh", "-c", "exit 3", check=False)
        self.assertNotEqual(result.returncode, 0)

    def test_healthy(self):
        unit = self.write("web", "Notify=healthy", "HealthCmd=test -e /mnt/well", "Volume=/var/tmp:/mnt", f"Exec={SLEEP}",
                          "HealthInterval=200ms", "HealthOnFailure=none")
        path = "/var/tmp/well"
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        self.systemctl("start", "--no-block", unit)
        lib.wait_until(lambda: self.main_pid(unit) != 0, what="it runs")
        time.sleep(0.5)
        self.assertEqual(lib.unit_properties(unit, "ActiveState")["ActiveState"], "activating")
        with open(path, "w", encoding="ascii"):
            pass
        lib.wait_until(lambda: lib.unit_properties(unit, "ActiveState")["ActiveState"] == "active", timeout=20,
                       what="it is healthy")
        lib.wait_until(lambda: self.inspect("web")["Health"] == "healthy", what="moored knows it")


class StopTest(UnitsTestCase):
    def test_stop_signal(self):
        script = "trap 'echo got it; exit 3' USR1; while :; do sleep 1000 & wait $!; done"
        unit = self.write_script("web", script, "StopSignal=USR1")
        self.systemctl("start", unit)
        wait_traps(self.main_pid(unit), script)
        self.systemctl("stop", unit)
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 3)
        self.assertIn("got it", lib.moorctl("logs", "web").stdout)

    def test_what_does_not_listen_is_killed(self):
        unit = self.write("web", f"Exec={SLEEP}", "StopTimeout=500ms")
        self.systemctl("start", unit)
        begin = time.monotonic()
        self.systemctl("stop", unit)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(self.wait_state("web", "exited")["ExitSignal"], "KILL")

    def test_the_container_s_time_may_be_longer_than_the_unit_s(self):
        script = "trap 'sleep 3; exit 5' TERM; while :; do sleep 1000 & wait $!; done"
        unit = self.write_script("web", script, "StopTimeout=30")
        self.drop_in(unit, "[Service]", "TimeoutStopSec=1")
        self.systemctl("start", unit)
        wait_traps(self.main_pid(unit), script)
        self.systemctl("stop", unit)
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 5)

    def test_moorctl_s_time(self):
        unit = self.write("web", f"Exec={SLEEP}", "StopTimeout=1min")
        self.systemctl("start", unit)
        begin = time.monotonic()
        lib.moorctl("stop", "-t", "1", "web")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(self.systemctl("is-active", unit, check=False).returncode, 3)


class MistakesTest(UnitsTestCase):
    def test_a_mistake_in_the_file(self):
        unit = self.write("web", "Volume=data:/data", "Colour=red")
        text = self.start_fails(unit)
        self.assertTrue(text.startswith(f"InvalidConfiguration: {CONTAINERS}/web.conf:4: There is no key Colour="), text)
        self.assertIn("web.conf:4: There is no key Colour=", lib.journal("-u", unit))
        result = lib.moorctl("verify", "web", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.splitlines()), 2)
        self.assertIn("web.conf:3: Volume=", result.stderr)

    def test_no_file(self):
        unit = self.write("web")
        os.rename(f"{CONTAINERS}/web.conf", f"{CONTAINERS}/other.conf")
        self.addCleanup(lambda: os.path.exists(f"{CONTAINERS}/other.conf") and os.unlink(f"{CONTAINERS}/other.conf"))
        text = self.start_fails(unit)
        os.rename(f"{CONTAINERS}/other.conf", f"{CONTAINERS}/web.conf")
        self.assertIn(f"NoSuchFile: There is no file {CONTAINERS}/web.conf.", text)

    def test_no_image(self):
        unit = self.write("web", "Pull=never", image="localhost:1/nothing:here")
        self.assertTrue(self.start_fails(unit).startswith("NoSuchImage: "))
        self.assertEqual(lib.unit_properties("moored-image@web.service", "Result")["Result"], "success")

    def test_no_command(self):
        unit = self.write("web", "Exec=/nonsense")
        self.assertTrue(self.start_fails(unit).startswith("CommandNotFound: "))
        # The unit is its owner's: it stays failed.
        self.assertEqual(self.inspect("web")["State"], "created")

    def test_what_moored_knows(self):
        self.write("web", "AddCapability=CAP_NONSENSE")
        result = lib.moorctl("verify", "web", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("web: CapabilitiesAdd: there is no capability \"CAP_NONSENSE\"", result.stderr)
        self.write("web", "Volume=/nonexistent:/data")
        self.assertIn("/nonexistent", lib.moorctl("verify", "web", check=False).stderr)
        self.write("web", image="UPPER")
        self.assertIn("web: ", lib.moorctl("verify", "web", check=False).stderr)

    def test_verify(self):
        self.write("web", f"Exec={SLEEP}", "Volume=/srv:/data:ro", "User=1000", "AddCapability=NET_ADMIN")
        self.write("other", "Exec=true")
        self.assertEqual(lib.moorctl("verify").stderr, "")
        self.assertEqual(lib.moorctl("verify", "web", f"{CONTAINERS}/other.conf").stderr, "")
        self.write("other", "Exec=\"true")
        self.assertEqual(lib.moorctl("verify", check=False).returncode, 1)
        self.assertEqual(lib.moorctl("verify", "web").returncode, 0)
        result = lib.moorctl("verify", "nonexistent", "other", check=False)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 2))
        with daemon_away():
            result = lib.moorctl("verify", "web", check=False)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("moored does not run", result.stderr)

    def test_arguments_of_the_bus(self):
        for options, text in ((["Unit", "s", "moored@other.service"], "the unit of container"),
                              (["Unit", "s", "moored@web.service", "AutoRemove", "b", "true"], "AutoRemove")):
            result = lib.busctl_call("/org/moored1/namespace/default", "org.moored1.Namespace", "CreateContainer",
                                     "ssa{sv}", "web", BUSYBOX, len(options) // 3, *options, check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(text, result.stderr)


class RecoveryTest(UnitsTestCase):
    def test_the_daemon_is_away(self):
        unit = self.write("web", f"Exec={SLEEP}")
        self.systemctl("start", unit)
        before = self.inspect("web")
        with daemon_away():
            pass
        after = self.inspect("web")
        self.assertEqual((after["State"], after["LeaderPID"], after["Unit"]), ("running", before["LeaderPID"], unit))
        self.systemctl("kill", "--signal=KILL", unit)
        self.assertEqual(self.wait_state("web", "exited")["ExitSignal"], "KILL")

    def test_an_exit_while_the_daemon_is_away(self):
        unit = self.write("web", f"Exec=sh -c '{WAITS}; exit 9'")
        self.systemctl("start", unit)
        with daemon_away():
            self.go(unit)
            lib.wait_until(lambda: lib.unit_properties(unit, "ActiveState")["ActiveState"] == "failed",
                           what="it has ended")
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 9)

    def test_an_exit_that_systemd_forgets(self):
        # A unit that has ended well, and that nobody refers to, is not kept.
        unit = self.write("web", f"Exec=sh -c '{WAITS}; exit 4'")
        self.drop_in(unit, "[Service]", "SuccessExitStatus=4")
        event = last_event()
        self.systemctl("start", unit)
        with daemon_away():
            self.go(unit)
            lib.wait_until(lambda: not self.systemctl("list-units", "--all", "--plain", "--no-legend", unit).stdout,
                           what="it is gone")
        web = self.wait_state("web", "exited")
        self.assertEqual((web["ExitCode"], web["Result"]), (4, "success"))
        self.assertEqual(topics_since(event, "web"), ["container/created", "container/started", "container/exited"])

    def test_restarted_while_the_daemon_is_away(self):
        unit = self.write("web", f"Exec=sh -c '{WAITS}; exit 5'")
        event = last_event()
        self.systemctl("start", unit)
        pid = lib.moored_pid()
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(lambda: lib.moored_pid() == pid and os.kill(pid, signal.SIGKILL))
        self.go(unit)
        lib.wait_until(lambda: lib.unit_properties(unit, "ActiveState")["ActiveState"] == "failed",
                       what="it has ended")
        # The start waits for the daemon, which is replaced meanwhile.
        self.systemctl("start", "--no-block", unit)
        lib.wait_until(lambda: lib.unit_properties("moored-image@web.service", "SubState")["SubState"] == "start",
                       what="its image is asked for")
        os.kill(pid, signal.SIGKILL)
        lib.wait_until(lambda: self.systemctl("is-active", unit, check=False).stdout == "active\n", what="it runs")
        self.wait_state("web", "running")
        self.assertEqual(topics_since(event, "web"), ["container/created", "container/started", "container/exited",
                                                      "container/removed", "container/created", "container/started"])
        self.assertEqual([e["Details"]["ExitCode"] for e in events_since(event, "web") if "ExitCode" in e["Details"]], [5])

    def boot(self, unit, again):
        """As after a boot: the unit's run and all bundles are gone, and the records speak of another one."""

        with daemon_away():
            self.systemctl("kill", "--signal=KILL", "--kill-who=all", unit)
            self.systemctl("stop", unit)
            self.systemctl("reset-failed", unit, check=False)
            shutil.rmtree("/run/moored/containers")
            with contextlib.closing(sqlite3.connect(f"{lib_store.STORE}/moored.db")) as db, db:
                db.execute("UPDATE containers SET boot_id = 'earlier', invocation_id = 'earlier'")
            if again:
                lib.run(["systemctl", "unmask", "--runtime", "moored.service"])
                # It waits for moored, which it starts.
                self.systemctl("start", unit)
                lib.run(["systemctl", "stop", "moored.service"])

    def test_boot(self):
        unit = self.write("web", f"Exec={SLEEP}")
        for again in (False, True):
            self.systemctl("start", unit)
            event = last_event()
            self.boot(unit, again)
            events = events_since(event, "web")
            self.assertEqual([(e["Details"]["Result"], e["Details"]["ExitCode"]) for e in events
                              if e["Topic"] == "container/exited"], [("reboot", -1)])
            self.assertEqual(self.inspect("web")["State"], "running" if again else "exited")
        self.assertEqual(self.inspect("web")["LeaderPID"], self.main_pid(unit))

    def test_the_start_brings_the_daemon_back(self):
        unit = self.write("web", f"Exec={SLEEP}")
        self.systemctl("stop", "moored.service")
        self.systemctl("start", unit)
        self.assertNotEqual(lib.moored_pid(), 0)
        self.assertEqual(self.inspect("web")["State"], "running")

    def test_daemon_reload_and_reexec(self):
        unit = self.write("web", f"Exec={SLEEP}")
        self.systemctl("start", unit)
        pid = self.main_pid(unit)
        for _ in range(3):
            self.systemctl("daemon-reload")
            self.systemctl("daemon-reexec")
        self.assertEqual(self.inspect("web")["LeaderPID"], pid)
        self.systemctl("restart", unit)
        self.assertEqual(self.inspect("web")["LeaderPID"], self.main_pid(unit))

    def test_reloads_during_starts(self):
        unit = self.write("web", f"Exec={SLEEP}")
        for _ in range(5):
            self.systemctl("restart", "--no-block", unit)
            self.systemctl("daemon-reload")
            lib.wait_until(lambda: lib.unit_properties(unit, "ActiveState")["ActiveState"] == "active",
                           what="it is active")
            lib.wait_until(lambda: self.inspect("web")["LeaderPID"] == self.main_pid(unit), what="moored knows it")
        self.assertEqual(self.inspect("web")["State"], "running")


class SocketTest(UnitsTestCase):
    images = (BUSYBOX, NGINX)

    def socket(self, name, *lines):
        unit = f"moored@{name}.socket"
        self.drop_in(unit, "[Socket]", *lines)
        return unit

    def test_nginx(self):
        unit = self.write("web", "Network=none", "Environment=NGINX=3;", "StopTimeout=30", image=NGINX)
        socket = self.socket("web", "ListenStream=127.0.0.1:80")
        with open("/etc/moored/containers/web.conf", "a", encoding="ascii") as f:
            f.write("Exec=sh -c \"sed -i 's/listen 80 /listen 127.0.0.1:80 /' /etc/nginx/sites-enabled/default; "
                    "exec nginx -g 'daemon off;'\"\n")
        self.systemctl("enable", "--now", socket)
        self.assertEqual(self.systemctl("is-active", unit, check=False).stdout, "inactive\n")
        self.assertIn("Welcome to nginx!", self.get(80))
        self.assertEqual(self.systemctl("is-active", unit).stdout, "active\n")
        self.assertIn(f"TriggeredBy: ● {socket}", self.systemctl("status", unit).stdout)
        self.assertIn(f"Triggers: ● {unit}", self.systemctl("status", socket).stdout)
        self.systemctl("restart", unit)
        self.assertIn("Welcome to nginx!", self.get(80))
        # Asked to end by the image's signal it ends as it should, and comes back with the next connection.
        self.systemctl("stop", unit)
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 0)
        self.assertIn("Welcome to nginx!", self.get(80))

    def test_beside_published_ports(self):
        """What comes by the socket and what comes by the container's network are served both, in each run; of the namespace, which PID 1 keeps
        beside the socket, the container gets nothing."""

        script = ("env; ls -l /proc/self/fd; echo the end; sed -i 's/listen 80 /listen 127.0.0.1:8081; listen 80 /' /etc/nginx/sites-enabled/default; "
                  "exec nginx -g 'daemon off;'")
        unit = self.write("web", "Network=default", "PublishPort=8080:80", "Environment=NGINX=3;", f'Exec=sh -c "{script}"', image=NGINX)
        socket = self.socket("web", "ListenStream=127.0.0.1:8081")
        self.drop_in(unit, "[Service]", "Restart=always", "RestartSec=50ms")
        self.systemctl("start", socket)

        def check(runs):
            for port in (8081, 8080):
                self.assertIn("Welcome to nginx!", lib.wait_until(lambda p=port: self.try_get(p), what=f"{port} is served"))
            log = lib.wait_until(lambda: (l := lib.journal("-t", "web", "--output=cat", since=begin)).count("the end\n") == runs and l,
                                 what="it has spoken")
            for line in ("LISTEN_FDS=1", "LISTEN_PID=1", f"LISTEN_FDNAMES={socket}"):
                self.assertEqual(log.splitlines().count(line), runs, line)
            self.assertEqual(log.count("socket:"), 3 * runs)  # stdout, stderr, and this
            directory = f"/proc/{self.main_pid(unit)}/fd"
            self.assertEqual([f for f in os.listdir(directory) if os.readlink(f"{directory}/{f}").startswith("net:")], [])

        begin = time.time()
        # The first one to connect starts it.
        self.assertIn("Welcome to nginx!", self.get(8081))
        check(1)
        networks = self.inspect("web")["Networks"]
        self.systemctl("restart", unit)
        check(2)
        pid = self.main_pid(unit)
        os.kill(pid, signal.SIGKILL)
        lib.wait_until(lambda: self.main_pid(unit) not in (0, pid), what="the next run")
        check(3)
        lib.kill9_moored()
        check(3)
        self.assertEqual([n[:2] for n in self.inspect("web")["Networks"]], [n[:2] for n in networks])
        self.assertNotIn("Failed to add fd", lib.journal("-u", unit, since=begin))

    def try_get(self, port):
        with contextlib.suppress(OSError):
            return self.get(port)
        return None

    def test_what_the_container_gets(self):
        self.write("web", "Exec=sh -c 'env; ls -l /proc/self/fd; echo the end; sleep 1000'")
        socket = self.socket("web", "ListenStream=/run/moored-test.sock", "ListenDatagram=/run/moored-test-2.sock",
                             "FileDescriptorName=two", "RemoveOnStop=yes")
        self.systemctl("start", socket)
        self.systemctl("start", "moored@web.service")
        lib.wait_until(lambda: "the end" in lib.moorctl("logs", "web").stdout, what="it has spoken")
        log = lib.moorctl("logs", "web").stdout
        self.assertEqual(log.count("socket:"), 4)  # stdout, stderr, and these
        lines = log.splitlines()
        for line in ("LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=two:two"):
            self.assertIn(line, lines)
        self.assertNotIn("NOTIFY_SOCKET", log)

    def test_without_a_socket(self):
        self.write("web", "Exec=sh -c 'env; echo end; sleep 1000'")
        self.systemctl("start", "moored@web.service")
        lib.wait_until(lambda: "end" in lib.moorctl("logs", "web").stdout, what="it has spoken")
        self.assertNotIn("LISTEN_", lib.moorctl("logs", "web").stdout)


class ImageTest(UnitsTestCase):
    def test_a_slow_pull_does_not_eat_the_start_timeout(self):
        layer = lib.Tar().directory("bin").file("bin/busybox", open("/bin/busybox", "rb").read(), mode=0o755)
        image = lib.Image([layer], config={"Cmd": ["/bin/busybox", "sleep", "1000"]})
        with lib.FaultyRegistry({"slow:test": image}) as registry:
            reference = registry.reference("slow:test")
            registry.fault("/blobs/", "slow", rate=100 << 10)
            self.addCleanup(lib.moorctl, "rmi", "--force", reference, check=False)
            unit = self.write("web", image=reference)
            self.drop_in(unit, "[Service]", "TimeoutStartSec=5")
            begin = time.monotonic()
            self.systemctl("start", unit)
            self.assertGreater(time.monotonic() - begin, 6)
        self.assertEqual(self.inspect("web")["State"], "running")
        self.assertIn("Pulling", lib.journal("-u", "moored-image@web.service"))

    def test_pull_always(self):
        def image(text):
            return lib.Image([lib.Tar().directory("bin").file("bin/busybox", open("/bin/busybox", "rb").read(),
                                                              mode=0o755)],
                             config={"Cmd": ["/bin/busybox", "echo", text]})

        with lib.FaultyRegistry({"moving:test": image("first")}) as registry:
            reference = registry.reference("moving:test")
            self.addCleanup(lib.moorctl, "rmi", "--force", reference, check=False)
            unit = self.write("web", image=reference)
            begin = time.time()
            self.systemctl("start", unit)
            registry.add("moving:test", image("second"))
            self.wait_state("web", "exited")
            self.systemctl("start", unit)
            self.wait_state("web", "exited")
            self.write("web", "Pull=always", image=reference)
            self.systemctl("start", unit)
            self.wait_state("web", "exited")
            lib.wait_until(lambda: "second" in lib.journal("-u", unit, since=begin), what="the new image has run")
        log = lib.journal("-t", "web", "--output=cat", since=begin).split()
        self.assertEqual(log, ["first", "first", "second"])
        # Where the registry cannot be reached, what is here runs.
        self.systemctl("start", unit)
        self.assertEqual(self.wait_state("web", "exited")["ExitCode"], 0)


class SystemTest(UnitsTestCase):
    """systemd in the container of a unit."""

    IMAGE = "system:units"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        layout = tempfile.mkdtemp(dir="/var/tmp")
        try:
            lib_system.write_system_image(layout)
            lib.moorctl("import", "-q", f"--name={cls.IMAGE}", layout)
        finally:
            shutil.rmtree(layout)

    @classmethod
    def tearDownClass(cls):
        lib.moorctl("rmi", "-f", cls.IMAGE)
        super().tearDownClass()

    def test_it_boots_and_powers_off(self):
        unit = self.write("web", "Machine=yes", "StopTimeout=1min", image=self.IMAGE)
        for _ in range(2):
            self.systemctl("start", unit)
            self.assertEqual(lib.unit_properties(unit, "StatusText")["StatusText"], "Ready.")
            self.assertEqual(self.inspect("web")["State"], "running")
            self.assertEqual(self.systemctl("-M", "web", "is-system-running", check=False).stdout, "running\n")
            shown = lib.run(["machinectl", "show", "-pLeader", "-pUnit", "web"]).stdout.splitlines()
            self.assertEqual(sorted(shown), [f"Leader={self.main_pid(unit)}", f"Unit={unit}"])
            self.systemctl("stop", unit)
            web = self.wait_state("web", "exited")
            self.assertEqual((web["ExitCode"], web["Result"]), (0, "success"))
