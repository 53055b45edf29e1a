# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers that run a whole system: systemd as payload, and what machined knows of it."""

import os
import shutil
import subprocess
import tempfile
import threading

import lib
from lib_container import BUSYBOX, ContainerTestCase, daemon_away, unit_of
from lib_system import write_system_image

IMAGE = "system:test"
SYSTEM = f"docker.io/library/{IMAGE}"
MACHINE_PROPERTIES = ("Name", "Id", "Class", "Service", "Unit", "Leader")


def machines():
    return [line.split()[0] for line in lib.run(["machinectl", "list", "--no-legend"]).stdout.splitlines()]


def machine(name):
    output = lib.run(["machinectl", "show", *(f"-p{p}" for p in MACHINE_PROPERTIES), name]).stdout
    return dict(line.split("=", 1) for line in output.splitlines())


def path_in(pid, path):
    return f"/proc/{pid}/root{path}"


def read_in(pid, path):
    with open(path_in(pid, path), encoding="utf-8") as f:
        return f.read()


class SystemTestCase(ContainerTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        layout = tempfile.mkdtemp(dir="/var/tmp")
        try:
            write_system_image(layout)
            lib.moorctl("import", "-q", f"--name={IMAGE}", layout)
        finally:
            shutil.rmtree(layout)

    @classmethod
    def tearDownClass(cls):
        lib.moorctl("rmi", "-f", IMAGE)
        super().tearDownClass()

    def boot(self, name, *options):
        lib.moorctl("run", "-d", f"--name={name}", *options, IMAGE)
        return self.inspect(name)["LeaderPID"]


class PayloadTest(SystemTestCase):
    """systemd, by the command alone."""

    def test_it_boots_and_powers_off(self):
        pid = self.boot("boots")
        unit = lib.unit_properties(unit_of("boots"), "ActiveState", "MainPID", "StatusText", "ControlGroup")
        self.assertEqual((unit["ActiveState"], int(unit["MainPID"])), ("active", pid))
        # What it said itself; nobody else is left in the unit.
        self.assertEqual(unit["StatusText"], "Ready.")
        lib.wait_until(lambda: lib.processes("mooring") == {}, what="no launcher is left")
        group = "/sys/fs/cgroup" + unit["ControlGroup"]
        self.assertEqual(sorted(e.name for e in os.scandir(group) if e.is_dir() and e.name == "launcher"), [])
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
            self.assertIn(f"0::{unit['ControlGroup']}/init.scope\n", f)
        # No machine, as that has not been asked for.
        self.assertEqual(machines(), [])
        self.assertEqual(self.inspect("boots")["Machine"], "")

        lib.moorctl("stop", "boots")
        state = self.inspect("boots")
        self.assertEqual((state["State"], state["ExitCode"], state["Result"]), ("exited", 0, "success"))

    def test_the_container_interface(self):
        pid = self.boot("interface", "--env=container_host=x")
        with open(f"/proc/{pid}/environ", "rb") as f:
            environment = dict(v.split("=", 1) for v in f.read().decode().split("\0") if v)
        uuid = environment["container_uuid"]
        self.assertEqual(environment["container"], "moored")
        self.assertEqual(environment["NOTIFY_SOCKET"], "/run/host/notify")
        self.assertEqual(read_in(pid, "/run/host/container-manager"), "moored\n")
        self.assertEqual(read_in(pid, "/run/host/container-uuid"), uuid + "\n")
        self.assertEqual(read_in(pid, "/run/host/os-release"), read_in(1, "/etc/os-release"))
        self.assertEqual(read_in(pid, "/etc/machine-id"), uuid.replace("-", "") + "\n")
        self.assertEqual(read_in(pid, "/run/systemd/container").strip(), "moored")
        mounts = {}
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
            for line in f:
                left, right = line.rstrip("\n").split(" - ")
                mounts[left.split()[4]] = (right.split()[0], left.split()[5].split(","))
        for path in ("/run", "/run/lock", "/tmp"):
            self.assertEqual(mounts[path][0], "tmpfs", path)
        self.assertIn("rw", mounts["/sys/fs/cgroup"][1])
        self.assertIn("ro", mounts["/sys"][1])
        self.assertIn("ro", mounts["/run/host"][1])

        # The same machine when it starts again.
        lib.moorctl("restart", "interface")
        pid = self.inspect("interface")["LeaderPID"]
        self.assertEqual(read_in(pid, "/run/host/container-uuid"), uuid + "\n")
        self.assertEqual(read_in(pid, "/etc/machine-id"), uuid.replace("-", "") + "\n")

    def test_it_is_up_when_the_start_is_done(self):
        lib.moorctl("create", "--name=first", IMAGE)
        lib.moorctl("start", "first")
        pid = self.inspect("first")["LeaderPID"]
        self.assertTrue(os.path.exists(path_in(pid, "/run/dbus/system_bus_socket")))

    def test_not_if_not_wanted(self):
        result = self.run_container("--systemd=false", IMAGE, "/bin/sh", "-c", "echo $container; cat /proc/mounts")
        self.assertEqual(result.stdout.splitlines()[0], "")
        self.assertNotIn(" /run/host ", result.stdout)
        self.fails("--systemd=maybe", IMAGE, text='Systemd: "maybe" is none of')

    def test_another_init_is_ready_at_once(self):
        # busybox' is a link to busybox: it says nothing to anybody.
        lib.moorctl("run", "-d", "--name=other", "--stop-signal=USR2", BUSYBOX, "/sbin/init", timeout=30)
        pid = self.inspect("other")["LeaderPID"]
        self.assertEqual(read_in(pid, "/run/host/container-manager"), "moored\n")
        lib.moorctl("stop", "-t", "2s", "other")

    def test_an_end_before_it_is_ready(self):
        self.fails("-d", "--systemd=always", IMAGE, "/bin/sh", "-c", "exit 0", text="has ended before it was ready")

    def test_what_never_gets_ready(self):
        self.fails("-d", "--systemd=always", "-p", "TimeoutStartSec=1", "--stop-timeout=1", IMAGE, "/bin/sleep", "1000",
                   text="did not start in time")

    def test_the_start_can_be_stopped(self):
        lib.moorctl("create", "--name=slow", "--systemd=always", IMAGE, "/bin/sleep", "1000")
        start = self.popen("start", "slow")
        self.wait_state("slow", "starting")
        lib.wait_until(lambda: os.path.exists("/run/moored/containers/default/slow/host/notify"), what="the launcher waits")
        lib.moorctl("stop", "-t", "0", "slow")
        _, errors = start.communicate(timeout=30)
        self.assertEqual(start.returncode, 1)
        self.assertIn("somebody stopped it", errors)
        self.assertEqual(self.inspect("slow")["State"], "created")
        lib.wait_until(lambda: lib.unit_properties(unit_of("slow"), "LoadState")["LoadState"] == "not-found", what="no unit")
        lib.wait_until(lambda: lib.processes("mooring") == {}, what="no launcher is left")

    def test_the_daemon_need_not_be_there(self):
        lib.moorctl("create", "--name=alone", "--systemd=always", IMAGE, "/bin/sh", "-c",
                    'while ! [ -e /tmp/go ]; do sleep 0.05; done; exec /sbin/init')
        start = self.popen("start", "alone")
        pid = lib.wait_until(lambda: int(lib.unit_properties(unit_of("alone"), "MainPID")["MainPID"]), what="a main process")
        lib.wait_until(lambda: os.path.exists("/run/moored/containers/default/alone/host/notify"), what="the launcher waits")
        with daemon_away():
            pid = int(lib.unit_properties(unit_of("alone"), "MainPID")["MainPID"])
            with open(path_in(pid, "/tmp/go"), "w", encoding="utf-8"):
                pass
            lib.wait_until(lambda: lib.unit_properties(unit_of("alone"), "ActiveState")["ActiveState"] == "active",
                           timeout=30, what="it is ready")
        start.communicate(timeout=30)
        state = self.wait_state("alone", "running")
        self.assertEqual(state["LeaderPID"], pid)

    def test_it_cannot_speak_for_others(self):
        """What it says is passed on without what would make the host's PID 1 do something to other processes."""

        lib.moorctl("create", "--name=liar", "--systemd=always", IMAGE, "/bin/sh", "-c",
                    'systemd-notify --pid=1 --status="still lying" ; systemd-notify MAINPID=1 WATCHDOG=trigger STATUS=lie; '
                    'systemd-notify --ready; exec sleep 1000')
        lib.moorctl("start", "liar")
        unit = lib.unit_properties(unit_of("liar"), "MainPID", "StatusText")
        self.assertEqual(int(unit["MainPID"]), self.inspect("liar")["LeaderPID"])
        self.assertNotEqual(unit["MainPID"], "1")
        self.assertEqual(unit["StatusText"], "lie")
        lib.moorctl("kill", "-s", "KILL", "liar")


class MachineTest(SystemTestCase):
    """--machine"""

    def test_a_machine(self):
        pid = self.boot("mach", "--machine")
        self.assertEqual(machines(), ["mach"])
        self.assertEqual(self.inspect("mach")["Machine"], "mach")
        uuid = read_in(pid, "/run/host/container-uuid").strip().replace("-", "")
        self.assertEqual(machine("mach"), {"Name": "mach", "Id": uuid, "Class": "container", "Service": "moored",
                                           "Unit": unit_of("mach"), "Leader": str(pid)})
        self.assertEqual(lib.run(["systemctl", "-M", "mach", "is-system-running"]).stdout, "running\n")
        self.assertIn(" running ", lib.run(["systemctl", "list-machines", "--no-legend"]).stdout)
        self.assertEqual(lib.run(["systemd-run", "-q", "-M", "mach", "--wait", "-P", "/bin/echo", "inside"]).stdout,
                         "inside\n")
        self.assertIn("Reached target", lib.run(["journalctl", "-M", "mach", "--no-pager"]).stdout)
        self.assertIn(f"Leader: {pid} (systemd)", lib.run(["machinectl", "status", "--no-pager", "mach"]).stdout)

        lib.run(["machinectl", "poweroff", "mach"])
        state = self.wait_state("mach", "exited")
        self.assertEqual((state["ExitCode"], state["Result"]), (0, "success"))
        lib.wait_until(lambda: machines() == [], what="the machine is gone")

        lib.moorctl("start", "mach")
        self.assertEqual(machines(), ["mach"])
        lib.moorctl("stop", "mach")
        self.assertEqual(self.inspect("mach")["ExitCode"], 0)
        lib.wait_until(lambda: machines() == [], what="the machine is gone")

    def test_a_shell(self):
        self.boot("shell", "--machine")
        # machinectl wants a terminal, and ends with its input.
        with subprocess.Popen(["script", "-qec", "machinectl -q shell shell /bin/sh -c 'echo in $(cat /proc/1/comm)'",
                               "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            timer = threading.Timer(60, process.kill)
            timer.start()
            self.assertIn("in systemd", process.stdout.read())
            timer.cancel()

    def test_terminate(self):
        self.boot("term", "--machine")
        lib.run(["machinectl", "terminate", "term"])
        self.assertEqual(self.wait_state("term", "exited")["ExitCode"], 0)

    def test_names(self):
        self.boot("twice", "--machine")
        lib.moorctl("namespace", "create", "others")
        try:
            lib.moorctl("-n", "others", "pull", "-q", BUSYBOX)
            lib.moorctl("-n", "others", "run", "-d", "--name=twice", "--machine", BUSYBOX, "sleep", "1000")
            self.assertEqual(sorted(machines()), ["twice", "twice.others"])
        finally:
            lib.moorctl("-n", "others", "rm", "-f", "twice")
            lib.moorctl("-n", "others", "rmi", BUSYBOX, check=False)
            lib.moorctl("namespace", "rm", "others")
        lib.moorctl("rm", "-f", "twice")
        self.fails("-d", "--name=a..b", "--machine", IMAGE, text="cannot be a machine's name")

    def test_a_name_that_is_taken(self):
        leader = subprocess.Popen(["sleep", "1000"])
        try:
            lib.run(["busctl", "call", "org.freedesktop.machine1", "/org/freedesktop/machine1",
                     "org.freedesktop.machine1.Manager", "RegisterMachine", "sayssus", "taken", "0", "test", "container",
                     str(leader.pid), ""])
            self.fails("-d", "--name=taken", "--machine", IMAGE, text='knows a machine "taken" already')
        finally:
            lib.run(["busctl", "call", "org.freedesktop.machine1", "/org/freedesktop/machine1",
                     "org.freedesktop.machine1.Manager", "UnregisterMachine", "s", "taken"], check=False)
            leader.kill()
            leader.wait()

    def test_without_machined(self):
        lib.run(["systemctl", "mask", "--runtime", "--now", "systemd-machined.service"])
        try:
            self.fails("-d", "--name=nobody", "--machine", IMAGE, text="install the package systemd-container")
        finally:
            lib.run(["systemctl", "unmask", "--runtime", "systemd-machined.service"])

    def test_systemd_restarts_it_while_the_daemon_is_away(self):
        pid = self.boot("again", "--machine", "--restart=on-failure")
        with daemon_away():
            lib.run(["systemctl", "kill", "--kill-whom=main", "-s", "KILL", unit_of("again")])
            new = lib.wait_until(lambda: (p := lib.unit_properties(unit_of("again"), "MainPID", "ActiveState"))
                                 ["ActiveState"] == "active" and int(p["MainPID"]) not in (0, pid) and int(p["MainPID"]),
                                 timeout=30, what="it runs again")
            self.assertEqual(machine("again")["Leader"], str(new))
        self.assertEqual(self.wait_state("again", "running")["LeaderPID"], new)


class ControllersTest(SystemTestCase):
    """With controllers, which systemd in the container gives to its own units."""

    hosts = "b"

    def test_limits_inside_and_outside(self):
        for runtime in ("mooring", "crun"):
            with self.subTest(runtime):
                self.boot("limits", "--machine", "--memory=300M", f"--runtime={runtime}")
                self.assertEqual(lib.run(["systemctl", "-M", "limits", "is-system-running"]).stdout, "running\n")
                lib.run(["systemd-run", "-M", "limits", "-p", "MemoryMax=20M", "--unit=inner", "sleep", "1000"])
                inner = lib.moorctl("exec", "limits", "/bin/sh", "-c",
                                    "cat /sys/fs/cgroup/cgroup.subtree_control /sys/fs/cgroup/system.slice/inner.service/memory.max "
                                    "/proc/self/cgroup").stdout.splitlines()
                self.assertIn("memory", inner[0].split())
                self.assertEqual(inner[1:], [str(20 << 20), "0::/init.scope"])
                lib.moorctl("restart", "limits")
                self.assertEqual(lib.run(["systemctl", "-M", "limits", "is-system-running"]).stdout, "running\n")
                lib.run(["machinectl", "poweroff", "limits"])
                self.assertEqual(self.wait_state("limits", "exited")["ExitCode"], 0)
                lib.moorctl("rm", "limits")
