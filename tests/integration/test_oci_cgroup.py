# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cgroups of mooring's containers: where they are, limits, devices, freezer, signals, removal; by both managers."""

import json
import os
import re
import signal
import subprocess
import tempfile

import lib
import lib_oci
from lib_container import wait_traps
from lib_oci import config

ROOT = "/sys/fs/cgroup"
USUAL = ("pid", "mount", "uts", "ipc", "network", "cgroup")
CGROUP_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]},
]
NO_DEVICES = [{"allow": False, "access": "rwm"}]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read().strip()


def controllers():
    return read(f"{ROOT}/cgroup.controllers").split()


class CgroupTestCase(lib_oci.OciTestCase):
    manager = "cgroupfs"

    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_no_cgroups, self.cgroups())

    @staticmethod
    def cgroups():
        """All cgroups that a container of these tests could have left."""

        found = subprocess.run(["find", ROOT, "-type", "d", "(", "-name", f"*test-{os.getpid()}-*", "-o", "-name", "*test-oci*", ")"],
                               capture_output=True, text=True, check=False).stdout
        return set(found.split())

    def assert_no_cgroups(self, before):
        self.assertEqual(self.cgroups() - before, set())

    def start(self, args=("sleep", "1000"), resources=None, check=True, manager=None, linux=None, **more):
        """A container in the background; returns its id, or, unless check, what it was refused with."""

        more.setdefault("namespaces", USUAL)
        spec = config(args, linux={**({"resources": resources} if resources is not None else {}), **(linux or {})}, **more)
        name = self.new(spec)
        before = os.listdir(self.states)
        with tempfile.TemporaryFile("w+") as errors:
            p = subprocess.run(["mooring", "--root", self.states, "--cgroup-manager", manager or self.manager, "run",
                                "--detach", name], cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=errors, timeout=60, check=False)
            errors.seek(0)
            text = errors.read()
        if check:
            self.assertEqual(p.returncode, 0, text)
            return name
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(os.listdir(self.states), before)
        return text

    def state(self, name):
        return json.loads(self.mooring("state", name).stdout)

    def path(self, name):
        """The cgroup of its first process."""

        text = read(f"/proc/{self.state(name)['pid']}/cgroup")
        return re.search(r"^0::(.*)$", text, re.M).group(1)

    def file(self, name, file):
        return read(f"{ROOT}{self.path(name)}/{file}")

    def delete(self, name):
        self.mooring("delete", "--force", name)

    def need_bpf(self):
        text = self.mooring("run", self.new(config(["true"], linux={"resources": {"devices": NO_DEVICES}})), check=False,
                            manager="cgroupfs").stderr
        if "BPF" in text:
            self.skipTest("BPF programs cannot be loaded here")


class PlaceTest(CgroupTestCase):
    def test_without_path(self):
        name = self.start()
        self.assertEqual(self.path(name), f"/mooring/{name}")
        self.delete(name)
        self.assertFalse(os.path.exists(f"{ROOT}/mooring/{name}"))

    def test_absolute(self):
        name = self.start(linux={"cgroupsPath": "/test-oci-a//b/./c"})
        self.assertEqual(self.path(name), "/test-oci-a/b/c")
        self.delete(name)
        self.assertFalse(os.path.exists(f"{ROOT}/test-oci-a/b/c"))
        os.rmdir(f"{ROOT}/test-oci-a/b")
        os.rmdir(f"{ROOT}/test-oci-a")

    def test_relative(self):
        name = self.start(linux={"cgroupsPath": "test-oci-r"})
        self.assertEqual(self.path(name), "/mooring/test-oci-r")
        self.delete(name)

    def test_not_a_path(self):
        for path in ("/", "..", "/test-oci/../../x", "test-oci/.."):
            self.assertIn("linux.cgroupsPath", self.start(linux={"cgroupsPath": path}, check=False))

    def test_somebody_elses(self):
        os.mkdir(f"{ROOT}/test-oci-used")
        self.addCleanup(os.rmdir, f"{ROOT}/test-oci-used")
        sleeper = subprocess.Popen(["sleep", "1000"])
        try:
            with open(f"{ROOT}/test-oci-used/cgroup.procs", "w", encoding="utf-8") as f:
                f.write(str(sleeper.pid))
            text = self.start(linux={"cgroupsPath": "/test-oci-used"}, check=False)
            self.assertIn("has processes", text)
            self.assertIsNone(sleeper.poll())
        finally:
            sleeper.kill()
            sleeper.wait()
        lib.wait_until(lambda: "populated 0" in read(f"{ROOT}/test-oci-used/cgroup.events"))
        # Empty, it can be had; it was there before and goes with the container.
        name = self.start(linux={"cgroupsPath": "/test-oci-used"})
        self.assertEqual(self.path(name), "/test-oci-used")
        self.delete(name)
        os.mkdir(f"{ROOT}/test-oci-used")

    def test_below_a_threaded_one(self):
        os.mkdir(f"{ROOT}/test-oci-thread")
        self.addCleanup(os.rmdir, f"{ROOT}/test-oci-thread")
        os.mkdir(f"{ROOT}/test-oci-thread/child")
        self.addCleanup(os.rmdir, f"{ROOT}/test-oci-thread/child")
        with open(f"{ROOT}/test-oci-thread/child/cgroup.type", "w", encoding="utf-8") as f:
            f.write("threaded")
        name = self.start(linux={"cgroupsPath": "/test-oci-thread/c1"})
        self.assertEqual(self.path(name), "/test-oci-thread/c1")
        self.assertEqual(self.file(name, "cgroup.type"), "threaded")
        self.mooring("kill", "--all", name, "KILL")
        self.delete(name)

    def test_delegated(self):
        name = self.start(annotations={"run.oci.delegate-cgroup": "inner/most"})
        self.assertEqual(self.path(name), f"/mooring/{name}/inner/most")
        self.delete(name)
        self.assertIn("run.oci.delegate-cgroup",
                      self.start(annotations={"run.oci.delegate-cgroup": "a/../../b"}, check=False))

    def test_the_namespace_begins_there(self):
        name = self.start(["sh", "-c", "cat /proc/self/cgroup >/tmp/cgroup; exec sleep 1000"])
        path = f"{self.bundle}/rootfs/tmp/cgroup"
        self.assertIn("0::/\n", lib.wait_until(lambda: os.path.exists(path) and open(path, encoding="utf-8").read()))
        os.unlink(path)
        self.delete(name)


class WithoutTest(CgroupTestCase):
    """No hierarchy, or one of version 1."""

    def run_with(self, prepare, spec):
        return lib.run(["unshare", "--mount", "sh", "-c", f"{prepare} && exec mooring --root {self.states} run {self.new(spec)}"],
                       cwd=self.bundle, check=False)

    def test_none(self):
        p = self.run_with(f"umount -R {ROOT}", config(["echo", "runs"]))
        self.assertEqual(p.stdout, "runs\n", p.stderr)
        p = self.run_with(f"umount -R {ROOT}", config(["echo", "runs"], linux={"resources": {"pids": {"limit": 5}}}))
        self.assertIn("no cgroup hierarchy", p.stderr)
        self.assertNotEqual(p.returncode, 0)

    def test_version_1(self):
        p = self.run_with(f"mount -t tmpfs tmpfs {ROOT} && mkdir {ROOT}/memory", config(["echo", "runs"]))
        self.assertIn("not cgroup v2 alone", p.stderr)
        self.assertNotEqual(p.returncode, 0)

    def test_disabled(self):
        self.assertEqual(self.output(config(["echo", "runs"])), "runs\n")
        self.refused(config(["true"], linux={"resources": {"pids": {"limit": 5}}}), "linux.resources.pids.limit",
                     "--cgroup-manager=disabled")

    def test_read_only(self):
        """Where nobody may make cgroups a container without limits needs none."""

        p = self.run_with(f"mount -o remount,bind,ro {ROOT}", config(["echo", "runs"]))
        self.assertEqual(p.stdout, "runs\n", p.stderr)
        p = self.run_with(f"mount -o remount,bind,ro {ROOT}", config(["true"], linux={"cgroupsPath": "/test-oci-ro"}))
        self.assertIn("/test-oci-ro", p.stderr)


class RefusedTest(CgroupTestCase):
    def test_unified(self):
        for manager in ("cgroupfs", "systemd"):
            self.manager = manager
            self.assertIn("the specified key has not the form CONTROLLER.VALUE `nodot`",
                          self.start(resources={"unified": {"nodot": "1"}}, check=False))
            self.assertIn("controller `foo` is not available under",
                          self.start(resources={"unified": {"foo.bar": "1"}}, check=False))

    def test_names_the_controller(self):
        if "pids" in controllers():
            self.skipTest("there is the controller pids")
        for manager in ("cgroupfs", "systemd"):
            self.manager = manager
            self.assertIn("controller `pids` is not available under",
                          self.start(resources={"pids": {"limit": 5}}, check=False))


class LifeTest(CgroupTestCase):
    def test_cgroups_of_its_own_go_with_it(self):
        script = ("cd /sys/fs/cgroup && mkdir -p a/b/c d .hidden/.x && echo $$ >a/b/c/cgroup.procs && "
                  "(sleep 1000 & echo $! >d/cgroup.procs) && exec sleep 1000")
        name = self.start(["sh", "-c", script], mounts=CGROUP_MOUNTS)
        base = f"{ROOT}/mooring/{name}"
        lib.wait_until(lambda: os.path.exists(f"{base}/d") and read(f"{base}/d/cgroup.procs"))

        def pids():
            return {int(line.split()[1]) for line in self.mooring("ps", name).stdout.splitlines()[1:]}

        # The shell between them is there for a moment.
        lib.wait_until(lambda: len(pids()) == 2, what="two processes")
        self.delete(name)
        self.assertFalse(os.path.exists(base))

    def test_pause(self):
        name = self.start(["sh", "-c", "while :; do :; done"])
        self.mooring("pause", name)
        self.assertEqual(self.state(name)["status"], "paused")
        self.assertIn("frozen 1", self.file(name, "cgroup.events"))
        self.mooring("resume", name)
        self.assertEqual(self.state(name)["status"], "running")
        self.assertIn("frozen 0", self.file(name, "cgroup.events"))

    def test_delete_of_a_paused_one(self):
        name = self.start()
        self.mooring("pause", name)
        self.delete(name)

    def test_kill_all(self):
        # Without a pid namespace of its own the others outlive the first.
        script = "trap '' TERM; for i in 1 2 3; do (trap - TERM; exec sleep 1000) & done; while :; do sleep 1; done"
        name = self.start(["sh", "-c", script], namespaces=("mount", "ipc", "uts"))
        path = self.path(name)
        pids = lambda: read(f"{ROOT}{path}/cgroup.procs").split()  # noqa: E731
        # Those that are to end must have become what does.
        ps = lambda: lib.run(["ps", "-o", "args=", "-p", ",".join(pids())], check=False).stdout  # noqa: E731
        lib.wait_until(lambda: ps().splitlines().count("sleep 1000") == 3)
        self.mooring("kill", "--all", name, "TERM")
        lib.wait_until(lambda: len(pids()) <= 2)
        self.mooring("kill", "--all", name, "KILL")
        lib.wait_until(lambda: "populated 0" in read(f"{ROOT}{path}/cgroup.events"))

    def test_exec(self):
        name = self.start(["sh", "-c", "mkdir -p /sys/fs/cgroup/sub/sub && exec sleep 1000"], mounts=CGROUP_MOUNTS)
        base = self.path(name)
        lib.wait_until(lambda: os.path.exists(f"{ROOT}{base}/sub/sub"))
        cgroup = lambda *options: self.mooring("exec", *options, name, "cat", "/proc/self/cgroup").stdout  # noqa: E731
        self.assertIn("0::/\n", cgroup())
        self.assertIn("0::/sub\n", cgroup("--cgroup=sub"))
        self.assertIn("0::/sub/sub\n", cgroup("--cgroup", "/sub/sub"))
        for sub in ("../outside", "sub/..", "sub/../../outside"):
            p = self.mooring("exec", f"--cgroup={sub}", name, "true", check=False)
            self.assertNotEqual(p.returncode, 0)
            self.assertIn("`..` components are not allowed", p.stderr)
            self.assertIn(sub, p.stderr)
        self.assertIn("nosuch", self.mooring("exec", "--cgroup=nosuch", name, "true", check=False).stderr)

    def test_owner(self):
        """Where the container can write to its cgroup, its user owns it, and nothing else of it than may be."""

        name = self.start(["sleep", "1000"], process={"user": {"uid": 1000, "gid": 1000}}, mounts=CGROUP_MOUNTS)
        base = f"{ROOT}{self.path(name)}"
        self.assertEqual(os.stat(base).st_uid, 1000)
        self.assertEqual(os.stat(f"{base}/cgroup.procs").st_uid, 1000)
        for file in os.listdir(base):
            if file not in read("/sys/kernel/cgroup/delegate").split():
                self.assertEqual(os.stat(f"{base}/{file}").st_uid, 0, file)
        self.delete(name)

        name = self.start(process={"user": {"uid": 1000, "gid": 1000}})
        self.assertEqual(os.stat(f"{ROOT}{self.path(name)}").st_uid, 0)

    def test_statistics(self):
        name = self.start(["sh", "-c", "sleep 1000 & wait"])
        lib.wait_until(lambda: len(self.file(name, "cgroup.procs").split()) == 2)
        event = json.loads(self.mooring("events", "--stats", name).stdout)
        self.assertEqual((event["type"], event["id"]), ("stats", name))
        self.assertEqual(event["data"]["pids"]["current"], 2)
        for part in ("cpu", "cpuset", "memory", "blkio", "hugetlb"):
            self.assertIsInstance(event["data"][part], dict)
        self.assertGreater(event["data"]["cpu"]["usage"]["total"], 0)


class DevicesTest(CgroupTestCase):
    """linux.resources.devices, by both managers."""

    BLOCK = {"path": "/dev/block", "type": "b", "major": 7, "minor": 250}
    CHARACTER = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}

    def setUp(self):
        super().setUp()
        self.need_bpf()

    def may(self, name, what):
        """Whether a process in the container may open a device; a missing driver is no refusal."""

        text = self.mooring("exec", name, "sh", "-c", what, check=False).stderr
        return "not permitted" not in text

    def start_with(self, rules):
        return self.start(resources={"devices": rules}, linux={"devices": [self.BLOCK, self.CHARACTER]})

    def test_rules(self):
        for manager in ("cgroupfs", "systemd"):
            with self.subTest(manager):
                self.manager = manager
                name = self.start_with(NO_DEVICES)
                self.assertTrue(self.may(name, "cat </dev/null"))
                self.assertFalse(self.may(name, "cat </dev/block"))
                self.assertFalse(self.may(name, "cat </dev/fuse"))
                # What is on trial survives a reload of the service manager.
                lib.run(["systemctl", "daemon-reload"])
                self.assertTrue(self.may(name, "cat </dev/null"))
                self.assertFalse(self.may(name, "cat </dev/block"))
                self.delete(name)

                name = self.start_with(NO_DEVICES + [{"allow": True, "type": "b", "major": 7, "access": "r"}])
                self.assertTrue(self.may(name, "cat </dev/block"))
                self.assertFalse(self.may(name, ": 1<>/dev/block"))
                self.assertFalse(self.may(name, "cat </dev/fuse"))
                lib.run(["systemctl", "daemon-reload"])
                self.assertTrue(self.may(name, "cat </dev/block"))
                self.delete(name)

                name = self.start_with([{"allow": True}, {"allow": False, "type": "b", "major": 7, "access": "w"}])
                self.assertTrue(self.may(name, "cat </dev/block"))
                self.assertTrue(self.may(name, "cat </dev/null"))
                self.assertFalse(self.may(name, ": 1<>/dev/block"))
                self.delete(name)

    def test_update(self):
        for manager in ("cgroupfs", "systemd"):
            with self.subTest(manager):
                self.manager = manager
                name = self.start_with(NO_DEVICES)
                self.assertFalse(self.may(name, "cat </dev/block"))
                self.update(name, NO_DEVICES + [{"allow": True, "type": "b", "access": "rw"}])
                self.assertTrue(self.may(name, "cat </dev/block"))
                self.assertFalse(self.may(name, "cat </dev/fuse"))
                lib.run(["systemctl", "daemon-reload"])
                self.assertTrue(self.may(name, "cat </dev/block"))
                self.update(name, NO_DEVICES)
                self.assertFalse(self.may(name, "cat </dev/block"))
                self.update(name, [{"allow": True}])
                self.assertTrue(self.may(name, "cat </dev/block"))
                self.delete(name)

    def update(self, name, rules):
        self.mooring("update", "--resources", "-", name, input=json.dumps({"devices": rules}))


class ScopeTest(CgroupTestCase):
    manager = "systemd"

    def scope(self, name):
        return self.state(name)["systemd-scope"]

    def properties(self, unit, *names):
        return lib.unit_properties(unit, *names)

    def assert_gone(self, unit):
        self.assertEqual(self.properties(unit, "LoadState", "ActiveState"),
                         {"LoadState": "not-found", "ActiveState": "inactive"})

    def test_names(self):
        for path, unit, slice_ in ((None, "mooring-{}.scope", "system.slice"), (":pod:test-oci", "pod-test-oci.scope", "system.slice"),
                                   ("test.slice:pod:test-oci", "pod-test-oci.scope", "test.slice"),
                                   ("test.slice:test-oci.scope", "test-oci.scope", "test.slice")):
            name = self.start(linux={"cgroupsPath": path} if path else {})
            unit = unit.format(name)
            self.assertEqual(self.scope(name), unit)
            self.assertEqual(self.path(name), f"/{slice_}/{unit}")
            properties = self.properties(unit, "Delegate", "Slice", "ActiveState", "TasksAccounting")
            self.assertEqual(properties, {"Delegate": "yes", "Slice": slice_, "ActiveState": "active", "TasksAccounting": "yes"})
            self.delete(name)
            self.assert_gone(unit)
            self.assertFalse(os.path.exists(f"{ROOT}/{slice_}/{unit}"))

    def test_wrong_names(self):
        for path in ("/a/b", "name", "a:b:c", "a.slice:b:", "a.slice:b:c.slice", "a.slice:b:c:d"):
            self.assertIn("linux.cgroupsPath", self.start(linux={"cgroupsPath": path}, check=False))

    def test_annotations(self):
        name = self.start(annotations={"org.systemd.property.TimeoutStopSec": "uint64 7",
                                       "org.systemd.property.Description": "'what it is'",
                                       "org.systemd.property.Wants": "['local-fs.target']"})
        properties = self.properties(self.scope(name), "TimeoutStopUSec", "Description", "Wants")
        self.assertEqual(properties, {"TimeoutStopUSec": "7s", "Description": "what it is", "Wants": "local-fs.target"})

    def test_wrong_annotations(self):
        units = ["systemctl", "list-units", "--all", "--plain", "--no-legend", f"mooring-test-{os.getpid()}-*"]
        for value, text in (("true", "NoSuchProperty"), ("[5]", "org.systemd.property.NoSuchProperty")):
            self.assertIn(text, self.start(annotations={"org.systemd.property.NoSuchProperty": value}, resources={}, check=False))
        self.assertEqual(lib.run(units).stdout, "")
        if os.path.isdir("/sys/fs/bpf/mooring"):
            self.assertNotIn(f"test-{os.getpid()}-", " ".join(os.listdir("/sys/fs/bpf/mooring")))

    def test_taken(self):
        first = self.start(linux={"cgroupsPath": ":test:oci-taken"})
        text = self.start(linux={"cgroupsPath": ":test:oci-taken"}, check=False)
        self.assertIn("test-oci-taken.scope", text)
        self.assertEqual(self.state(first)["status"], "running")

    def test_what_has_ended_is_in_nobodys_way(self):
        script = "trap 'exit 3' TERM; sleep 1000 & wait"
        for number in (signal.SIGKILL, signal.SIGTERM):
            name = self.start(["sh", "-c", script], linux={"cgroupsPath": ":test:oci-ended"})
            pid = self.state(name)["pid"]
            wait_traps(pid, script)
            os.kill(pid, number)
            lib.wait_until(lambda name=name: self.state(name)["status"] == "stopped")
        again = self.start(linux={"cgroupsPath": ":test:oci-ended"})
        self.assertEqual(self.state(again)["status"], "running")

    def test_subgroup(self):
        name = self.start(annotations={"run.oci.systemd.subgroup": "sub", "run.oci.delegate-cgroup": "inner"})
        scope = f"/system.slice/mooring-{name}.scope"
        self.assertEqual(self.path(name), f"{scope}/sub/inner")
        self.mooring("pause", name)
        self.assertEqual(self.state(name)["status"], "paused")
        self.mooring("resume", name)
        self.mooring("exec", name, "true")
        self.delete(name)
        self.assert_gone(f"mooring-{name}.scope")
        self.assertIn("run.oci.systemd.subgroup", self.start(annotations={"run.oci.systemd.subgroup": "../x"}, check=False))
        self.assertIn("run.oci.delegate-cgroup", self.start(annotations={"run.oci.delegate-cgroup": ".."}, check=False))


class LimitsTest(CgroupTestCase):
    """What needs controllers."""

    hosts = "b"

    # resources, file, its text, the scope's property
    TABLE = (
        ({"memory": {"limit": 67108864}}, "memory.max", "67108864", ("MemoryMax", "67108864")),
        ({"memory": {"limit": 67108864, "swap": 100663296}}, "memory.swap.max", "33554432", ("MemorySwapMax", "33554432")),
        ({"memory": {"limit": 67108864, "swap": 67108864}}, "memory.swap.max", "0", ("MemorySwapMax", "0")),
        ({"memory": {"swap": 0}}, "memory.swap.max", "0", ("MemorySwapMax", "0")),
        ({"memory": {"limit": -1}}, "memory.max", "max", ("MemoryMax", "infinity")),
        ({"memory": {"reservation": 1048576}}, "memory.low", "1048576", ("MemoryLow", "1048576")),
        ({"cpu": {"shares": 1024}}, "cpu.weight", "100", ("CPUWeight", "100")),
        ({"cpu": {"shares": 512}}, "cpu.weight", "59", ("CPUWeight", "59")),
        ({"cpu": {"quota": 50000}}, "cpu.max", "50000 100000", ("CPUQuotaPerSecUSec", "500ms")),
        ({"cpu": {"quota": 33333, "period": 70000}}, "cpu.max", "33333 70000", ("CPUQuotaPeriodUSec", "70ms")),
        ({"cpu": {"quota": 50000, "burst": 10000}}, "cpu.max.burst", "10000", None),
        ({"cpu": {"idle": 1}}, "cpu.idle", "1", None),
        ({"cpu": {"cpus": "0", "mems": "0"}}, "cpuset.cpus", "0", ("AllowedCPUs", "0")),
        ({"cpu": {"cpus": "0", "mems": "0"}}, "cpuset.mems", "0", ("AllowedMemoryNodes", "0")),
        ({"pids": {"limit": 50}}, "pids.max", "50", ("TasksMax", "50")),
        ({"pids": {"limit": 0}}, "pids.max", "1", ("TasksMax", "1")),
        ({"pids": {"limit": -1}}, "pids.max", "max", ("TasksMax", "infinity")),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}, "hugetlb.2MB.max", "4194304", None),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}, "hugetlb.2MB.rsvd.max", "4194304", None),
        ({"unified": {"memory.high": "1048576000"}}, "memory.high", "1048576000", ("MemoryHigh", "1048576000")),
        ({"unified": {"cpu.weight": "1234"}, "cpu": {"shares": 2}}, "cpu.weight", "1234", ("CPUWeight", "1234")),
        ({"unified": {"memory.oom.group": "1"}}, "memory.oom.group", "1", None),
    )

    def test_files(self):
        for manager in ("cgroupfs", "systemd"):
            self.manager = manager
            for resources, file, text, prop in self.TABLE:
                with self.subTest(f"{manager}: {json.dumps(resources)}"):
                    name = self.start(resources=resources)
                    self.assertEqual(self.file(name, file), text)
                    if manager == "systemd" and prop:
                        unit = self.state(name)["systemd-scope"]
                        self.assertEqual(lib.unit_properties(unit, prop[0])[prop[0]], prop[1])
                    self.delete(name)

    def test_survive_a_reload(self):
        self.manager = "systemd"
        resources = {}
        for more, *_ in self.TABLE[:1] + self.TABLE[5:7] + self.TABLE[9:11] + self.TABLE[12:13] + self.TABLE[14:15]:
            for key, value in more.items():
                resources.setdefault(key, {}).update(value)
        # PID 1 keeps whole percents.
        resources["cpu"]["quota"] = resources["cpu"]["period"] // 2
        name = self.start(resources=resources)
        files = ("memory.max", "memory.low", "cpu.weight", "cpu.max", "cpuset.cpus", "pids.max")
        before = [self.file(name, file) for file in files]
        lib.run(["systemctl", "daemon-reload"])
        lib.run(["systemctl", "set-property", "--runtime", self.state(name)["systemd-scope"], "MemoryHigh=1G"])
        self.assertEqual([self.file(name, file) for file in files], before)

    def test_no_such_file(self):
        for manager in ("cgroupfs", "systemd"):
            self.manager = manager
            self.assertIn("no such file or directory", self.start(resources={"unified": {"memory.nosuch": "1"}}, check=False))
            self.assertIn("hugetlb.3MB.max", self.start(resources={"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, check=False))

    def test_block_devices(self):
        device = os.stat("/dev/vda").st_rdev
        number = {"major": os.major(device), "minor": os.minor(device)}
        for manager in ("cgroupfs", "systemd"):
            self.manager = manager
            name = self.start(resources={"blockIO": {
                "throttleReadBpsDevice": [{**number, "rate": 1048576}], "throttleWriteIOPSDevice": [{**number, "rate": 100}]}})
            self.assertEqual(self.file(name, "io.max"),
                             f"{number['major']}:{number['minor']} rbps=1048576 wbps=max riops=max wiops=100")
            self.update(name, {"blockIO": {"throttleReadBpsDevice": [{**number, "rate": 0}]}})
            self.assertIn("rbps=max", self.file(name, "io.max"))
            self.delete(name)

    def test_block_weight(self):
        lib.run(["modprobe", "bfq"], check=False)
        for manager in ("cgroupfs", "systemd"):
            self.manager = manager
            name = self.start(resources={"blockIO": {"weight": 500}})
            base = f"{ROOT}{self.path(name)}"
            found = {file: read(f"{base}/{file}") for file in ("io.bfq.weight", "io.weight") if os.path.exists(f"{base}/{file}")}
            self.assertTrue(found.get("io.bfq.weight") in ("500", "default 500") or "4950" in found.get("io.weight", ""), found)
            self.delete(name)

    def update(self, name, resources, check=True):
        return self.mooring("update", "--resources", "-", name, input=json.dumps(resources), check=check)

    def test_update(self):
        for manager in ("cgroupfs", "systemd"):
            with self.subTest(manager):
                self.manager = manager
                name = self.start()
                self.update(name, {"memory": {"limit": 134217728, "swap": 268435456}, "cpu": {"quota": 20000, "period": 50000}})
                self.assertEqual(self.file(name, "memory.max"), "134217728")
                self.assertEqual(self.file(name, "memory.swap.max"), "134217728")
                self.assertEqual(self.file(name, "cpu.max"), "20000 50000")
                # What is given in part goes with what is set.
                self.mooring("update", "--cpu-period", "25000", name)
                self.assertEqual(self.file(name, "cpu.max"), "20000 25000")
                self.mooring("update", "--cpu-quota", "10000", name)
                self.assertEqual(self.file(name, "cpu.max"), "10000 25000")
                self.mooring("update", "--memory-swap", "201326592", name)
                self.assertEqual(self.file(name, "memory.swap.max"), "67108864")
                p = self.mooring("update", "--memory-swap", "1048576", name, check=False)
                self.assertIn("memory.swap", p.stderr)
                self.mooring("update", "--memory=-1", "--pids-limit=77", "--cpuset-cpus=0", name)
                self.assertEqual([self.file(name, f) for f in ("memory.max", "memory.swap.max", "pids.max", "cpuset.cpus")],
                                 ["max", "max", "77", "0"])
                for shares, weight in ((2, "1"), (3, "2"), (1024, "100"), (260000, "9929"), (262144, "10000")):
                    self.mooring("update", f"--cpu-shares={shares}", name)
                    self.assertEqual(self.file(name, "cpu.weight"), weight)
                    if manager == "systemd":
                        self.assertEqual(lib.unit_properties(self.state(name)["systemd-scope"], "CPUWeight"), {"CPUWeight": weight})
                self.update(name, {"cpu": {"idle": 1}})
                self.assertEqual(self.file(name, "cpu.idle"), "1")
                self.update(name, {"cpu": {"idle": 0, "shares": 1024}})
                self.assertEqual([self.file(name, f) for f in ("cpu.idle", "cpu.weight")], ["0", "100"])
                self.update(name, {"cpu": {"quota": 50000, "burst": 40000, "period": 100000}})
                self.update(name, {"cpu": {"quota": 30000, "burst": 20000}})
                self.assertEqual([self.file(name, f) for f in ("cpu.max", "cpu.max.burst")], ["30000 100000", "20000"])
                p = self.update(name, {"pids": {"limit": 5}, "unified": {"foo.bar": "1"}}, check=False)
                self.assertIn("controller `foo` is not available under", p.stderr)
                self.delete(name)

    def test_check_before_update(self):
        name = self.start(["sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=24 2>/dev/null; exec sleep 1000"],
                          mounts=CGROUP_MOUNTS + [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}])
        lib.wait_until(lambda: int(self.file(name, "memory.current")) > 24 << 20, timeout=60)
        p = self.update(name, {"memory": {"limit": 8 << 20, "checkBeforeUpdate": True}}, check=False)
        self.assertIn("linux.resources.memory.limit", p.stderr)
        self.assertEqual(self.file(name, "memory.max"), "max")

    def test_exec_where_controllers_are_given(self):
        """A cgroup that gives its controllers to cgroups below takes no processes."""

        script = ("cd /sys/fs/cgroup && mkdir init && echo 1 >init/cgroup.procs && echo +pids >cgroup.subtree_control && "
                  "exec sleep 1000")
        name = self.start(["sh", "-c", script], mounts=CGROUP_MOUNTS)
        lib.wait_until(lambda: read(f"{ROOT}/mooring/{name}/cgroup.subtree_control"))
        self.assertIn("0::/init\n", self.mooring("exec", name, "cat", "/proc/self/cgroup").stdout)

    def test_processes_are_limited(self):
        for manager in ("cgroupfs", "systemd"):
            # A shell that cannot fork ends.
            name = self.start(["sh", "-c", "sh -c 'while :; do sleep 1000 & done'; exec sleep 1000"],
                              resources={"pids": {"limit": 10}}, manager=manager)
            lib.wait_until(lambda name=name: int(self.file(name, "pids.events").split()[1]) > 0, timeout=60)
            self.assertLessEqual(int(self.file(name, "pids.current")), 10)
            self.delete(name)

    def test_out_of_memory(self):
        for manager in ("cgroupfs", "systemd"):
            # What starts tests in the host may be exempt from being killed for memory.
            name = self.start(["sh", "-c", "tail /dev/zero; exec sleep 1000"], process={"oomScoreAdj": 0},
                              resources={"memory": {"limit": 16 << 20, "swap": 16 << 20}}, manager=manager)
            path = self.path(name)
            lib.wait_until(lambda path=path: re.search(r"^oom_kill [1-9]", read(f"{ROOT}{path}/memory.events"), re.M), timeout=60)
            self.assertEqual(self.state(name)["status"], "running")
            event = json.loads(self.mooring("events", "--stats", name).stdout)
            self.assertEqual(event["data"]["memory"]["usage"]["limit"], 16 << 20)
            self.assertGreater(event["data"]["memory"]["usage"]["failcnt"], 0)
            self.delete(name)


class UserManagerTest(CgroupTestCase):
    """As root of a user namespace of an ordinary user, as rootless engines do it: the user's own service manager."""

    UID = 4711

    def setUp(self):
        super().setUp()
        lib.run(["useradd", "--uid", str(self.UID), "--create-home", "test-oci"])
        self.addCleanup(lib.run, ["userdel", "--remove", "test-oci"], check=False)
        # Out of ids of the user: mkdtemp's directories are root's.
        os.chown(self.states, self.UID, self.UID)
        p = lib.run(["systemctl", "start", f"user@{self.UID}.service"], check=False)
        if p.returncode != 0:
            self.skipTest("there is no service manager for users here")
        # His directory in /run/user is a mount, and would go some seconds later.
        self.addCleanup(lib.run, ["systemctl", "stop", f"user@{self.UID}.service", f"user-runtime-dir@{self.UID}.service"])

    def mooring(self, *args, check=True, manager="systemd", **kwargs):
        return lib.run(["setpriv", f"--reuid={self.UID}", f"--regid={self.UID}", "--clear-groups", "env",
                        f"XDG_RUNTIME_DIR=/run/user/{self.UID}", "unshare", "--user", "--map-root-user", "--mount", "mooring",
                        "--root", self.states, "--cgroup-manager", manager, *args], check=check, cwd=self.bundle, **kwargs)

    def run_it(self, args, check=True, **linux):
        return self.mooring("run", self.new(config(args, linux=linux, namespaces=("pid", "mount", "ipc", "uts"))), check=check)

    def test_scope(self):
        p = self.run_it(["cat", "/proc/self/cgroup"])
        self.assertRegex(p.stdout, rf"(?m)^0::/user.slice/user-{self.UID}.slice/user@{self.UID}.service/user.slice/mooring-test-.*\.scope$")
        p = self.run_it(["cat", "/proc/self/cgroup"], cgroupsPath="app.slice:pod:web")
        self.assertRegex(p.stdout, rf"(?m)^0::/.*/user@{self.UID}.service/app.slice/pod-web\.scope$")
        # Rules of devices are the kernel's already: such a user makes none and opens none that are not for all.
        self.run_it(["true"], resources={"devices": NO_DEVICES})

    def test_limits(self):
        p = self.run_it(["true"], resources={"cpu": {"cpus": "0"}}, check=False)
        if p.returncode != 0:
            self.assertIn("controller `cpuset` is not available under", p.stderr)
        p = self.run_it(["true"], resources={"pids": {"limit": 5}}, check="pids" in controllers())
        if p.returncode != 0:
            self.assertIn("controller `pids` is not available under", p.stderr)
        units = lib.run(["find", f"{ROOT}/user.slice", "-name", "mooring-*"]).stdout
        self.assertEqual(units, "")
