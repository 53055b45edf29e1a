# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits as unit properties, changed while the container runs; paused containers; many at once."""

import json
import os
import signal
import time

import lib
from lib_container import BUSYBOX, ContainerTestCase, daemon_away, events_since, last_event, topics_since, unit_of
from lib_tty import Tty

CONTAINER = "org.moored1.Container"


def path_of(name):
    return f"/org/moored1/namespace/default/container/{name}"


class PauseTest(ContainerTestCase):
    """Frozen by PID 1, seen as paused whoever did it."""

    hosts = "ab"

    def frozen(self, name):
        with open("/sys/fs/cgroup" + self.inspect(name)["ControlGroup"] + "/cgroup.events", encoding="ascii") as f:
            return "frozen 1" in f.read()

    def test_pause_and_resume(self):
        self.detach("frozen")
        before = last_event()
        lib.moorctl("pause", "frozen")
        self.assertEqual(self.inspect("frozen")["State"], "paused")
        self.assertTrue(self.frozen("frozen"))
        self.assertIn("frozen", lib.moorctl("ps", "-q").stdout)
        refused = lib.moorctl("pause", "frozen", check=False)
        self.assertIn("paused already", refused.stderr)
        lib.moorctl("resume", "frozen")
        self.assertEqual(self.inspect("frozen")["State"], "running")
        self.assertFalse(self.frozen("frozen"))
        self.assertIn("not paused", lib.moorctl("unpause", "frozen", check=False).stderr)
        self.assertEqual(topics_since(before, "frozen"), ["container/paused", "container/resumed"])
        lib.moorctl("stop", "frozen")
        self.assertIn("exited", lib.moorctl("pause", "frozen", check=False).stderr)

    def test_stop_and_removal_of_a_paused_one(self):
        self.detach("cold")
        lib.moorctl("pause", "cold")
        lib.moorctl("stop", "cold")
        self.assertEqual(self.inspect("cold")["ExitCode"], 0)
        lib.moorctl("start", "cold")
        lib.moorctl("pause", "cold")
        lib.moorctl("restart", "cold")
        self.assertEqual(self.inspect("cold")["State"], "running")
        lib.moorctl("pause", "cold")
        lib.moorctl("kill", "cold")
        self.assertEqual(self.wait_state("cold", "exited")["ExitSignal"], "KILL")
        lib.moorctl("start", "cold")
        lib.moorctl("pause", "cold")
        lib.moorctl("rm", "-f", "cold")
        self.assertFalse(self.exists("cold"))

    def test_the_daemon_comes_back_to_a_paused_one(self):
        self.detach("kept")
        lib.moorctl("pause", "kept")
        before = last_event()
        lib.kill9_moored()
        self.assertEqual(self.inspect("kept")["State"], "paused")
        lib.moorctl("resume", "kept")
        with daemon_away():
            lib.run(["systemctl", "freeze", unit_of("kept")])
        self.assertEqual(self.inspect("kept")["State"], "paused")
        lib.moorctl("stop", "kept")
        self.assertEqual(topics_since(before, "kept")[0], "container/resumed")


class ManyTest(ContainerTestCase):
    """One command for all of them."""

    def test_all(self):
        names = sorted(self.detach(f"many{i}") for i in range(5))
        lib.moorctl("create", "--name=idle", BUSYBOX, "true")
        lib.moorctl("pause", "--all")
        self.assertEqual({c["State"] for c in lib.moorctl_json("ps")}, {"paused"})
        lib.moorctl("resume", "-a")
        self.assertEqual({c["State"] for c in lib.moorctl_json("ps")}, {"running"})
        lib.moorctl("stop", "-a")
        self.assertEqual(lib.moorctl("ps", "-q").stdout, "")
        lib.moorctl("start", "--all")
        self.wait_state("idle", "exited")
        self.assertEqual(sorted(lib.moorctl("ps", "-q").stdout.split()), names)
        lib.moorctl("rm", "-a")
        self.assertEqual(sorted(lib.moorctl("ps", "-aq").stdout.split()), names)
        lib.moorctl("kill", "-a")
        for name in names:
            self.wait_state(name, "exited")
        lib.moorctl("rm", "-fa")
        self.assertEqual(lib.moorctl("ps", "-aq").stdout, "")
        lib.moorctl("stop", "-a")
        for arguments in (("stop",), ("stop", "-a", "x"), ("pause",), ("rm",)):
            self.assertNotEqual(lib.moorctl(*arguments, check=False).returncode, 0)

    def test_a_signal_for_all_processes(self):
        script = ("(trap 'echo child >>/got' USR1; echo >/ready; while :; do sleep 0.1; done) & "
                  "trap 'echo main >>/got' USR1; while :; do sleep 0.1; done")
        self.detach("family", command=("sh", "-c", script))
        root = f"/var/lib/moored/snapshots/overlay/{self.inspect('family')['Snapshot']}/fs"

        def got():
            try:
                with open(f"{root}/got", encoding="ascii") as f:
                    return sorted(f.read().split())
            except FileNotFoundError:
                return []

        lib.wait_until(lambda: os.path.exists(f"{root}/ready"))
        lib.moorctl("kill", "--signal=USR1", "--whom=main", "family")
        lib.wait_until(lambda: got() == ["main"])
        lib.moorctl("kill", "--signal=USR1", "--whom=all", "family")
        lib.wait_until(lambda: got() == ["child", "main", "main"])
        self.assertNotEqual(lib.moorctl("kill", "--whom=some", "family", check=False).returncode, 0)
        lib.moorctl("kill", "family")

    def test_more_than_the_bus_lets_wait_for_replies(self):
        names = [f"crowd{i}" for i in range(150)]
        for name in names:
            # Init of a container ignores TERM.
            lib.moorctl("run", "-d", f"--name={name}", "--stop-timeout=10min", BUSYBOX, "sleep", "1000")
        process = self.popen("stop", "-a")
        # In turn, or in two groups, the others would wait for the first ones.
        lib.wait_until(lambda: {c["State"] for c in lib.moorctl_json("ps", "-a")} == {"stopping"}, timeout=60, interval=0.2,
                       what="all are asked to stop")
        for container in lib.moorctl_json("ps", "-a"):
            os.kill(container["LeaderPID"], signal.SIGKILL)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual({c["ExitCode"] for c in lib.moorctl_json("ps", "-a")}, {137})


class UpdateTest(ContainerTestCase):
    """PID 1 has the limits; whether there is a controller to enforce them is no matter here."""

    def limits(self, name):
        return self.inspect(name)["Limits"]

    def test_update(self):
        self.detach("live", "--memory=100m", "--cpus=1.5")
        self.assertEqual(self.limits("live"), {"MemoryMax": 100 << 20, "CPUQuotaPerSecUSec": 1500000})
        before = last_event()
        lib.moorctl("update", "--memory=200m", "--cpu-weight=50", "--cpuset-cpus=0", "--pids-limit=77", "live")
        wanted = {"MemoryMax": 200 << 20, "CPUQuotaPerSecUSec": 1500000, "CPUWeight": 50, "AllowedCPUs": "0", "TasksMax": 77}
        self.assertEqual(self.limits("live"), wanted)
        shown = lib.unit_properties(unit_of("live"), "MemoryMax", "CPUWeight", "AllowedCPUs", "TasksMax")
        self.assertEqual(shown, {"MemoryMax": str(200 << 20), "CPUWeight": "50", "AllowedCPUs": "0", "TasksMax": "77"})
        events = events_since(before, "live")
        self.assertEqual([e["Topic"] for e in events], ["container/updated"])
        self.assertIn("CPUWeight=50", events[0]["Details"]["Limits"])

        lib.run(["systemctl", "daemon-reload"])
        self.assertEqual(lib.unit_properties(unit_of("live"), "MemoryMax")["MemoryMax"], str(200 << 20))
        lib.kill9_moored()
        self.assertEqual(self.limits("live"), wanted)
        lib.moorctl("restart", "live")
        self.assertEqual(self.limits("live"), wanted)
        self.assertEqual(lib.unit_properties(unit_of("live"), "MemoryMax")["MemoryMax"], str(200 << 20))
        lib.moorctl("update", "-p", "MemoryMax=infinity", "-p", "CPUQuota=25%", "live")
        self.assertIsNone(self.limits("live")["MemoryMax"])
        self.assertEqual(self.limits("live")["CPUQuotaPerSecUSec"], 250000)
        lib.moorctl("stop", "live")
        lib.moorctl("update", "--memory=1g", "live")
        lib.moorctl("start", "live")
        self.assertEqual(lib.unit_properties(unit_of("live"), "MemoryMax")["MemoryMax"], str(1 << 30))

    def test_each_reaches_the_unit(self):
        names = ("MemoryMax", "MemoryHigh", "MemoryLow", "MemorySwapMax", "CPUQuotaPerSecUSec", "CPUWeight", "AllowedCPUs", "AllowedMemoryNodes",
                 "IOWeight", "IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax", "TasksMax")

        def options(n):
            return (f"--memory={n}m", "-p", f"MemoryHigh={n + 1}M", f"--memory-reservation={n + 2}m", f"--memory-swap={n + 3}m", f"--cpus={n / 100}",
                    f"--cpu-weight={n}", "--cpuset-cpus=0", "--cpuset-mems=0", f"--blkio-weight={n}", f"--device-read-bps=/dev/null:{n}k",
                    f"--device-write-bps=/dev/null:{n + 1}k", f"--device-read-iops=/dev/null:{n}", f"--device-write-iops=/dev/null:{n + 1}",
                    f"--pids-limit={n}")

        def check(n):
            shown = lib.unit_properties(unit_of("all"), *names)
            self.assertEqual(float(shown.pop("CPUQuotaPerSecUSec").rstrip("ms")) / 1000, n / 100)
            self.assertEqual(shown, {
                "MemoryMax": str(n << 20), "MemoryHigh": str(n + 1 << 20), "MemoryLow": str(n + 2 << 20), "MemorySwapMax": str(3 << 20),
                "CPUWeight": str(n), "AllowedCPUs": "0", "AllowedMemoryNodes": "0", "IOWeight": shown["IOWeight"],
                "IOReadBandwidthMax": f"/dev/null {n << 10}", "IOWriteBandwidthMax": f"/dev/null {n + 1 << 10}",
                "IOReadIOPSMax": f"/dev/null {n}", "IOWriteIOPSMax": f"/dev/null {n + 1}", "TasksMax": str(n)})
            return int(shown["IOWeight"])

        self.detach("all", *options(50))
        weight = check(50)
        lib.moorctl("update", *options(70), "all")
        self.assertGreater(check(70), weight)
        gone = ("MemoryMax", "MemoryHigh", "MemorySwapMax", "TasksMax")
        lib.moorctl("update", *(f"--property={name}=infinity" for name in gone), "all")
        self.assertEqual(set(lib.unit_properties(unit_of("all"), *gone).values()), {"infinity"})

    def test_the_record_has_them_when_the_database_is_lost(self):
        self.detach("noted")
        lib.moorctl("update", "--memory=123m", "noted")
        with open("/run/moored/containers/default/noted/record.json", encoding="utf-8") as f:
            self.assertIn(f"MemoryMax={123 << 20}", json.loads(f.read())["options"])

    def test_one_that_is_started_again(self):
        lib.moorctl("run", "-d", "--name=again", "--restart=always", "-p", "RestartSec=1min", BUSYBOX, "false")
        self.wait_state("again", "restarting")
        lib.moorctl("update", "--memory=99m", "again")
        self.assertEqual(lib.unit_properties(unit_of("again"), "MemoryMax")["MemoryMax"], str(99 << 20))
        self.assertIn("restarting", lib.moorctl("pause", "again", check=False).stderr)
        lib.moorctl("stop", "-a")
        self.assertEqual(self.inspect("again")["State"], "exited")

    def test_nothing_changes_if_one_is_refused(self):
        self.detach("same", "--memory=100m")
        for options, text in ((["-p", "Nice=5"], "Nice"), (["-p", "MemoryMax=lots"], "lots"), (["--cpus=many"], "many"), ([], "nothing"),
                              (["--memory-swap=1m"], "--memory"), (["--device-read-bps=sda:1"], "sda")):
            result = lib.moorctl("update", "--memory=300m", *options, "same", check=False) if options else lib.moorctl("update", "same", check=False)
            self.assertNotEqual(result.returncode, 0, options)
            self.assertIn(text, result.stderr)
        self.assertEqual(self.limits("same"), {"MemoryMax": 100 << 20})
        self.assertNotEqual(lib.moorctl("update", "--memory=1g", "nosuch", check=False).returncode, 0)

    def test_typed_options_of_the_bus(self):
        lib.busctl_call("/org/moored1/namespace/default", "org.moored1.Namespace", "RunContainer", "ssa{sv}", "typed", BUSYBOX, 3,
                        "Command", "as", 2, "sleep", "1000",
                        "Limits", "a{sv}", 3, "MemoryMax", "t", 64 << 20, "AllowedCPUs", "s", "0", "IOReadBandwidthMax", "a(st)", 1, "/dev/null", 1000,
                        "Properties", "as", 1, "CPUWeight=20")
        self.assertEqual(self.limits("typed"),
                         {"MemoryMax": 64 << 20, "AllowedCPUs": "0", "CPUWeight": 20, "IOReadBandwidthMax": [["/dev/null", 1000]]})
        lib.busctl_call(path_of("typed"), CONTAINER, "Update", "a{sv}", 1, "TasksMax", "t", 9)
        self.assertEqual(self.limits("typed")["TasksMax"], 9)
        result = lib.busctl_call(path_of("typed"), CONTAINER, "Update", "a{sv}", 1, "Colour", "s", "red", check=False)
        self.assertIn("Colour", result.stderr)
        result = lib.busctl_call(path_of("typed"), CONTAINER, "Update", "a{sv}", 1, "MemoryMax", "s", "red", check=False)
        self.assertIn("MemoryMax", result.stderr)


EAT = "tail -c 200000000 /dev/zero"
SMALL = ("--memory=24M", "-p", "MemorySwapMax=0")


class OutOfMemoryTest(ContainerTestCase):
    """The kernel kills: who, and what becomes of the container. A machine with the memory controller."""

    hosts = "b"

    def kills(self, sequence, name):
        return [e["Details"] for e in events_since(sequence, name) if e["Topic"] == "container/oom"]

    def assert_killed(self, name, before, process, command="tail"):
        ended = self.wait_state(name, "exited")
        self.assertTrue(ended["OOMKilled"])
        self.assertEqual(ended["OOMKills"], 1)
        kills = self.kills(before, name)
        self.assertEqual([(k["Command"], k["Process"]) for k in kills], [(command, process)])
        self.assertGreater(kills[0]["PID"], 1)
        return ended

    def test_the_main_process(self):
        before = last_event()
        self.detach("eater", *SMALL, command=EAT.split())
        ended = self.assert_killed("eater", before, "main")
        self.assertEqual((ended["Result"], ended["ExitCode"], ended["ExitSignal"]), ("oom-kill", 137, "KILL"))
        self.assertEqual(topics_since(before, "eater"), ["container/created", "container/started", "container/oom", "container/exited"])
        lib.moorctl("update", "--memory=512m", "eater")
        self.assertEqual(self.inspect("eater")["OOMKills"], 1)

    def test_another_process(self):
        before = last_event()
        self.detach("parent", *SMALL, command=("sh", "-c", f"trap 'exit 5' USR1; {EAT}; while :; do sleep 0.1; done"))
        # Told while the container goes on.
        lib.wait_until(lambda: self.kills(before, "parent"), what="the kill is told")
        self.assertEqual(self.inspect("parent")["State"], "running")
        lib.moorctl("kill", "-s", "USR1", "parent")
        ended = self.assert_killed("parent", before, "other")
        self.assertEqual((ended["Result"], ended["ExitCode"]), ("exit-code", 5))

        before = last_event()
        self.detach("shell", *SMALL, command=("sh", "-c", f"{EAT}; exit $?"))
        self.assertEqual(self.assert_killed("shell", before, "other")["ExitCode"], 137)

    def test_while_the_daemon_is_away(self):
        before = last_event()
        commands = {"gone": f"exec {EAT}", "lasts": f"{EAT}; sleep 1000", "ends": f"{EAT}; exit 7"}
        for name, command in commands.items():
            self.detach(name, *SMALL, command=("sh", "-c", f"while [ ! -e /go ]; do sleep 0.1; done; {command}"))
        pids = [self.inspect(name)["LeaderPID"] for name in commands]
        with daemon_away():
            for pid in pids:
                with open(f"/proc/{pid}/root/go", "w", encoding="ascii"):
                    pass
            lib.wait_until(lambda: lib.run(["systemctl", "is-active", unit_of("gone")], check=False).stdout.strip() == "failed", timeout=60)
            lib.wait_until(lambda: lib.run(["systemctl", "is-active", unit_of("ends")], check=False).stdout.strip() == "failed", timeout=60)
            path = f"/sys/fs/cgroup/moored.slice/moored-default.slice/{unit_of('lasts')}/memory.events"
            lib.wait_until(lambda: "oom_kill 1" in lib.run(["cat", path]).stdout, timeout=60)
        self.assertEqual(self.assert_killed("gone", before, "main")["Result"], "oom-kill")
        self.assertEqual(self.assert_killed("ends", before, "other")["ExitCode"], 7)
        lib.wait_until(lambda: self.kills(before, "lasts"))
        self.assertEqual(self.inspect("lasts")["OOMKills"], 1)
        lib.kill9_moored()
        time.sleep(1)
        self.assertEqual(len(self.kills(before, "lasts")), 1)

    def test_with_a_restart_policy(self):
        before = last_event()
        self.detach("again", *SMALL, "--restart=on-failure:2", command=EAT.split())
        self.wait_state("again", "exited")
        events = [e for e in events_since(before, "again") if e["Topic"] == "container/exited"]
        self.assertEqual([e["Details"]["Result"] for e in events], ["oom-kill"] * 3)
        self.assertEqual([k["Process"] for k in self.kills(before, "again")], ["main"] * 3)

    def test_other_kills_are_not_taken_for_it(self):
        self.detach("shot", command=("sleep", "1000"))
        os.kill(self.inspect("shot")["LeaderPID"], 9)
        ended = self.wait_state("shot", "exited")
        self.assertEqual((ended["Result"], ended["OOMKilled"], ended["OOMKills"]), ("signal", False, 0))
        self.run_container(BUSYBOX, "sh", "-c", "exit 137", status=137)

    def test_the_unit_s_own_policy(self):
        before = last_event()
        self.detach("policy", *SMALL, "-p", "OOMPolicy=kill", command=("sh", "-c", f"{EAT}; sleep 1000"))
        ended = self.wait_state("policy", "exited")
        self.assertEqual((ended["Result"], ended["OOMKilled"]), ("oom-kill", True))
        self.assertTrue(self.kills(before, "policy"))


class SetPropertyTest(ContainerTestCase):
    """What is changed at the unit is seen. PID 1 writes into the control group only where there are controllers."""

    hosts = "b"

    def wait_watched(self, name):
        """The group is watched from a tenth of a second on."""

        group = "/sys/fs/cgroup" + self.inspect(name)["ControlGroup"]
        lib.wait_until(lambda: lib.watches(lib.moored_pid(), group), what=f"the control group of {name} is watched")

    def test_systemctl_set_property(self):
        self.detach("seen", "--memory=100M")
        self.wait_watched("seen")
        before = last_event()
        lib.run(["systemctl", "set-property", "--runtime", unit_of("seen"), "MemoryMax=150M", "CPUWeight=33"])
        lib.wait_until(lambda: self.inspect("seen")["Limits"].get("MemoryMax") == 150 << 20, what="the limit is seen")
        self.assertEqual(self.inspect("seen")["Limits"], {"MemoryMax": 150 << 20, "CPUWeight": 33})
        changes = [e["Details"]["Limits"] for e in events_since(before, "seen") if e["Topic"] == "container/updated"]
        self.assertEqual(sorted("; ".join(changes).split("; ")), ["CPUWeight=33", f"MemoryMax={150 << 20}"])
        before = last_event()
        lib.moorctl("update", "--memory=160M", "seen")
        time.sleep(0.5)
        self.assertEqual(topics_since(before, "seen"), ["container/updated"])
        self.assertEqual(self.inspect("seen")["Limits"], {"MemoryMax": 160 << 20, "CPUWeight": 33})
        # It was for this run.
        lib.moorctl("restart", "seen")
        self.assertEqual(self.inspect("seen")["Limits"], {"MemoryMax": 160 << 20})

    def test_systemctl_freeze(self):
        self.detach("ice")
        self.wait_watched("ice")
        lib.run(["systemctl", "freeze", unit_of("ice")])
        self.wait_state("ice", "paused")
        lib.run(["systemctl", "thaw", unit_of("ice")])
        self.wait_state("ice", "running")


class StatisticsTest(ContainerTestCase):
    """What containers use."""

    hosts = "ab"

    def test_stats(self):
        self.detach("busy", command=("sh", "-c", "while :; do :; done"))
        self.detach("lazy", command=("sleep", "1000"))
        shown = {s["Id"]: s for s in lib.moorctl_json("stats", "--no-stream")}
        self.assertEqual(sorted(shown), ["busy", "lazy"])
        self.assertGreater(shown["busy"]["CPUPercent"], 5)
        self.assertLess(shown["lazy"]["CPUPercent"], 5)
        self.assertGreater(shown["busy"]["CPUUsageNSec"], 0)
        if os.path.exists("/sys/fs/cgroup/system.slice/memory.max"):
            self.assertGreater(shown["lazy"]["MemoryCurrent"], 10000)
            self.assertGreater(shown["lazy"]["MemoryLimit"], 1 << 20)
            self.assertEqual(shown["lazy"]["TasksCurrent"], 1)
        table = lib.moorctl("stats", "--no-stream", "busy").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in table], ["ID", "busy"])
        self.assertIn("nosuch", lib.moorctl("stats", "nosuch", check=False).stderr)
        self.assertNotEqual(lib.moorctl("stats", "--interval=never", check=False).returncode, 0)

    def test_stats_go_on_until_the_container_ends(self):
        self.detach("watched", command=("sleep", "1000"))
        process = self.popen("stats", "--interval=100ms", "--json=short", "watched")
        for _ in range(3):
            self.assertEqual([s["Id"] for s in json.loads(process.stdout.readline())], ["watched"])
        lib.moorctl("kill", "watched")
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0)

    def test_the_table_is_renewed(self):
        self.detach("watched", command=("sleep", "1000"))
        tty = Tty("env", "TERM=xterm", "moorctl", "stats", "--interval=100ms", rows=24, columns=120)
        self.addCleanup(tty.close)
        tty.expect("watched")
        self.detach("later", command=("sleep", "1000"))
        # In the place of the one before: a heading, and a line for each.
        lines = tty.expect("later").split("\x1b[2A")
        self.assertGreater(len(lines), 1)
        tty.expect("\x1b[3A")
        lib.moorctl("kill", "later")
        tty.expect("\x1b[2A")
        self.assertEqual(tty.kill(signal.SIGINT), -signal.SIGINT)

    def test_top(self):
        self.detach("many", command=("sh", "-c", "sleep 1000 & exec sleep 2000"))
        lib.wait_until(lambda: sorted(p["Command"] for p in lib.moorctl_json("top", "many")) == ["sleep 1000", "sleep 2000"])
        shown = {p["ContainerPID"]: p for p in lib.moorctl_json("top", "many")}
        self.assertEqual(shown[1]["PID"], self.inspect("many")["LeaderPID"])
        self.assertEqual(shown[1]["Command"], "sleep 2000")
        self.assertEqual(shown[1]["UID"], 0)
        self.assertAlmostEqual(shown[1]["StartedUSec"] / 1e6, time.time(), delta=60)
        self.assertIn("sleep 1000", lib.moorctl("top", "many").stdout)
        path, interface = "/org/moored1/namespace/default/container/many", "org.moored1.Container"
        listed = lib.busctl_call(path, interface, "ListProcesses")[0]
        self.assertEqual({tuple(p) for p in listed}, {(p["PID"], p["Command"]) for p in shown.values()})
        lib.moorctl("kill", "many")
        self.wait_state("many", "exited")
        self.assertIn("exited", lib.moorctl("top", "many", check=False).stderr)
        self.assertIn("exited", str(lib.busctl_call(path, interface, "ListProcesses", check=False)))
        self.assertIn("There is no container", lib.moorctl("top", "nosuch", check=False).stderr)


class DeviceTest(ContainerTestCase):
    """Devices of the host: a node inside, and a property of the unit that opens it."""

    def test_a_device(self):
        script = "ls -l /dev/fuse /dev/other; exec 3<>/dev/fuse && echo opened"
        for options in (["--device=/dev/fuse", "--device=/dev/fuse:/dev/other:r"], ["--device=/dev/fuse:/dev/other:r", "--device=/dev/fuse:rw"]):
            shown = self.sh(script, *options)
            self.assertIn("opened", shown)
            self.assertEqual(shown.count("10, 229"), 2)
        self.sh("exec 3</dev/fuse && exec 3<>/dev/fuse", "--device=/dev/fuse:r", status=1)
        self.sh("test -e /dev/fuse", status=1)
        # Without the property a node opens nothing.
        denied = lib.moorctl("run", "--rm", BUSYBOX, "sh", "-c", "mknod /f c 10 229; exec 3</f", check=False)
        self.assertNotEqual(denied.returncode, 0)

    def test_a_reload_takes_nothing_away(self):
        self.detach("owner", "--device=/dev/fuse", command=("sh", "-c", "while sleep 0.1; do (exec 3<>/dev/fuse) || exit 9; done"))
        for _ in range(3):
            lib.run(["systemctl", "daemon-reload"])
            lib.moorctl("update", "--memory=1g", "owner")
            time.sleep(0.3)
        self.assertEqual(self.inspect("owner")["State"], "running")
        self.assertIn("/dev/fuse", lib.unit_properties(unit_of("owner"), "DeviceAllow")["DeviceAllow"])
        lib.moorctl("kill", "owner")
        self.wait_state("owner", "exited")
        lib.moorctl("start", "owner")
        self.assertEqual(self.wait_state("owner", "running")["State"], "running")

    def test_a_directory(self):
        os.makedirs("/dev/moored-test/below", exist_ok=True)
        try:
            os.mknod("/dev/moored-test/zero", 0o20600, os.makedev(1, 5))
            os.mknod("/dev/moored-test/below/full", 0o20600, os.makedev(1, 7))
            shown = self.sh("ls -l /dev/x /dev/x/below; head -c 3 /dev/x/zero | wc -c", "--device=/dev/moored-test:/dev/x")
            self.assertRegex(shown, r"crw-------.* 1, +5 .* zero")
            self.assertRegex(shown, r"crw-------.* 1, +7 .* full")
            self.assertTrue(shown.endswith("3\n"), shown)
        finally:
            lib.run("rm -rf /dev/moored-test")

    def test_mistakes(self):
        self.fails("--device=/dev/nosuch", BUSYBOX, "true", text="/dev/nosuch")
        self.fails("--device=/etc/passwd", BUSYBOX, "true", text="/etc/passwd")
        self.fails("--device=fuse", BUSYBOX, "true", text="fuse")
        self.fails("--device=/dev/fuse:/dev/x:rx", BUSYBOX, "true", text="/dev/fuse:/dev/x:rx")
        self.fails("--device=/dev/fuse:relative", BUSYBOX, "true", text="relative")

    def test_resource_limits(self):
        self.assertEqual(self.sh("ulimit -n; ulimit -Hn", "--ulimit=nofile=100:200"), "100\n200\n")
        self.assertEqual(self.sh("cat /proc/self/oom_score_adj", "--oom-score-adj=321"), "321\n")


class ShutdownTest(ContainerTestCase):
    """One transaction that stops containers and the daemon, as the way to shutdown.target does."""

    hosts = "ab"
    target = "/run/systemd/system/moored-test-down.target"

    def take_down(self, *units):
        with open(self.target, "w", encoding="ascii") as f:
            f.write("[Unit]\nDefaultDependencies=no\nConflicts=moored.service moored.slice moored-default.slice " + " ".join(units) + "\n")
        lib.run(["systemctl", "daemon-reload"])
        self.addCleanup(self.forget)
        lib.run(["systemctl", "start", os.path.basename(self.target)])
        lib.wait_until(lambda: lib.unit_properties("moored.service", "ActiveState")["ActiveState"] == "inactive", timeout=30)

    def forget(self):
        lib.run(["systemctl", "stop", os.path.basename(self.target)])
        os.unlink(self.target)
        lib.run(["systemctl", "daemon-reload"])
        lib.start_moored()

    def test_containers_first_and_in_time(self):
        self.detach("polite", command=("sh", "-c", "trap 'sleep 1; exit 7' TERM; while :; do sleep 1000 & wait $!; done"))
        for name in ("deaf", "too"):
            self.detach(name, "--stop-timeout=2s", command=("sleep", "1000"))
        self.detach("other", "--stop-signal=USR1", command=("sh", "-c", "trap 'exit 8' USR1; while :; do sleep 1000 & wait $!; done"))
        names = ("polite", "deaf", "too", "other")
        # Whether somebody's word is worth something: the unit is ordered behind its slice, and that behind the daemon.
        self.assertIn("moored-default.slice", lib.unit_properties(unit_of("deaf"), "After")["After"])
        self.assertIn("moored.service", lib.unit_properties("moored.slice", "After")["After"])
        before = last_event()
        self.take_down(*map(unit_of, names))
        down = time.time()
        lib.start_moored()
        ended = {name: self.inspect(name) for name in names}
        self.assertEqual({n: (e["State"], e["ExitCode"], e["ExitSignal"]) for n, e in ended.items()},
                         {"polite": ("exited", 7, ""), "deaf": ("exited", 137, "KILL"), "too": ("exited", 137, "KILL"), "other": ("exited", 8, "")})
        # Together: in turn one would have had its two seconds after the other.
        self.assertLess(abs(ended["deaf"]["FinishedUSec"] - ended["too"]["FinishedUSec"]), 1900000)
        # It was there when they ended; what PID 1 said last it may have heard too late, and was told when it came back.
        events = {e["Subject"]: e for e in events_since(before) if e["Topic"] == "container/exited"}
        self.assertEqual(sorted(events), sorted(names))
        for name in ("polite", "other"):
            self.assertLess(events[name]["USec"] / 1e6, down)
