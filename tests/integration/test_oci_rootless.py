# SPDX-License-Identifier: LGPL-2.1-or-later
"""mooring as an ordinary user: one id or newuidmap's ranges, without cgroups, in a delegated unit, by the user's manager."""

import fcntl
import itertools
import json
import os
import pwd
import shlex
import stat
import subprocess
import tempfile
import unittest

import lib
import lib_oci

USER = "mooring-user"
SLEEP = ["sleep", "1000"]
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

numbers = itertools.count(1)


def subordinate(path):
    with open(path, encoding="utf-8") as f:
        return next(int(line.split(":")[1]) for line in f if line.startswith(USER + ":"))


class RootlessTestCase(unittest.TestCase):
    """A user with subordinate ids and a service manager, and a bundle of his."""

    hosts = "ab"
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lib.run(["useradd", "--create-home", "--shell", "/bin/bash", USER])
        cls.entry = pwd.getpwnam(USER)
        cls.uid, cls.gid = cls.entry.pw_uid, cls.entry.pw_gid
        cls.addClassCleanup(cls.remove_user)
        cls.sub_uid, cls.sub_gid = subordinate("/etc/subuid"), subordinate("/etc/subgid")
        lib.run(["loginctl", "enable-linger", USER])
        cls.runtime_dir = f"/run/user/{cls.uid}"
        lib.wait_until(lambda: all(os.path.exists(f"{cls.runtime_dir}/{path}") for path in ("systemd/private", "bus")),
                       what="the user's service manager is up, and his bus")
        cls.states = f"{cls.runtime_dir}/mooring"
        cls.bundle = f"{cls.entry.pw_dir}/bundle"
        lib_oci.make_rootfs(f"{cls.bundle}/rootfs")
        lib.run(["chown", "-R", f"{USER}:", cls.bundle])

    @classmethod
    def remove_user(cls):
        lib.run(["loginctl", "disable-linger", USER], check=False)
        lib.run(["systemctl", "stop", f"user@{cls.uid}.service", f"user-runtime-dir@{cls.uid}.service"])
        lib.run(["loginctl", "terminate-user", USER], check=False)
        lib.wait_until(lambda: lib.run(["pkill", "-KILL", "-u", USER], check=False).returncode != 0)
        lib.run(["userdel", "--remove", USER], check=False)

    def setUp(self):
        super().setUp()
        self.mounts_before = lib.mountinfo_count()
        self.addCleanup(self.assert_nothing_is_left)

    def assert_nothing_is_left(self):
        self.assertEqual(os.listdir(self.states) if os.path.isdir(self.states) else [], [])
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)

    def command(self, *command, env=None, cwd=None):
        """A command as the user, outside of what is delegated to him."""

        variables = {"HOME": self.entry.pw_dir, "USER": USER, "LOGNAME": USER, "PATH": os.environ["PATH"],
                     "XDG_RUNTIME_DIR": self.runtime_dir, **(env or {})}
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), "--init-groups", "env", "-i",
                "--chdir", cwd or self.bundle, *[f"{k}={v}" for k, v in variables.items() if v is not None], *command]

    def user(self, *command, env=None, cwd=None, **kwargs):
        return lib.run(self.command(*command, env=env, cwd=cwd), **kwargs)

    def mooring(self, *args, **kwargs):
        return self.user("mooring", *args, **kwargs)

    def in_unit(self, *command, delegate=True, **kwargs):
        """A command as a unit of the user's manager."""

        return self.user("systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect",
                         f"--property=Delegate={'yes' if delegate else 'no'}", f"--working-directory={self.bundle}",
                         "--setenv=PATH=" + os.environ["PATH"], *command, **kwargs)

    def spec(self, args, ranges=False, namespaces=(), process=None, linux=None, **top):
        """What `mooring spec --rootless` says, with changes."""

        directory = tempfile.mkdtemp(prefix="mooring-spec-")
        os.chown(directory, self.uid, self.gid)
        try:
            self.mooring("spec", "--rootless", "--bundle", directory)
            with open(f"{directory}/config.json", encoding="utf-8") as f:
                spec = json.load(f)
        finally:
            lib.run(["rm", "-r", directory])
        spec["process"].update({"terminal": False, "args": list(args), **(process or {})})
        spec["linux"].update(linux or {})
        spec["linux"]["namespaces"] += [{"type": t} for t in namespaces]
        if ranges:
            for kind, own, first in (("uidMappings", self.uid, self.sub_uid), ("gidMappings", self.gid, self.sub_gid)):
                spec["linux"][kind] = [{"containerID": 0, "hostID": own, "size": 1},
                                       {"containerID": 1, "hostID": first, "size": 65536}]
        spec.update(top)
        return spec

    def new(self, spec):
        with open(f"{self.bundle}/config.json", "w", encoding="utf-8") as f:
            json.dump(spec, f)
        os.chmod(f"{self.bundle}/config.json", 0o644)
        name = f"rootless-{os.getpid()}-{next(numbers)}"
        self.addCleanup(self.mooring, "delete", "--force", name, check=False)
        return name

    def output(self, spec, *options):
        result = self.mooring(*options, "run", self.new(spec))
        self.assertEqual(result.stderr, "")
        return result.stdout

    def refused(self, spec, *texts, **kwargs):
        result = self.mooring("run", self.new(spec), check=False, **kwargs)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        for text in texts:
            self.assertIn(text, result.stderr)
        self.assert_nothing_is_left()

    def background(self, *command):
        """Runs a command whose output a container may keep."""

        with tempfile.TemporaryFile("w+") as errors:
            p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, timeout=60,
                               check=False)
            errors.seek(0)
            self.assertEqual(p.returncode, 0, errors.read())

    def start(self, spec, *options):
        name = self.new(spec)
        self.background(*self.command("mooring", *options, "run", "--detach", name))
        return name

    def state(self, name):
        return json.loads(self.mooring("state", name).stdout)


class LifeTest(RootlessTestCase):
    def test_the_specification_runs(self):
        out = self.output(self.spec(["sh", "-c", "echo $(id -u) $(id -g) $(id -G); cat /proc/self/setgroups /proc/self/uid_map; hostname"])).split("\n")
        self.assertEqual(out[:2], ["0 0 0", "deny"])
        self.assertEqual(out[2].split(), ["0", str(self.uid), "1"])
        self.assertEqual(out[3], "mooring")

    def test_all_commands(self):
        name = self.new(self.spec(SLEEP))
        self.background(*self.command("mooring", "create", name))
        self.assertEqual((os.stat(self.states).st_uid, stat.S_IMODE(os.stat(self.states).st_mode)), (self.uid, 0o700))
        self.assertEqual(os.listdir(self.states), [name])
        self.assertEqual(self.state(name)["status"], "created")
        self.assertEqual(self.mooring("exec", name, "cat", "/proc/sys/kernel/hostname").stdout, "mooring\n")
        self.mooring("start", name)
        self.assertEqual(self.state(name)["status"], "running")
        self.assertEqual([(c["id"], c["status"], c["owner"])
                          for c in json.loads(self.mooring("list", "--format", "json").stdout)], [(name, "running", USER)])
        self.assertEqual(self.mooring("exec", "--cwd", "/tmp", "--env", "A=b", name, "sh", "-c", "pwd; echo $A; exit 3",
                                      check=False).stdout, "/tmp\nb\n")
        self.assertIn("sleep 1000", self.mooring("ps", name).stdout)
        self.assertNotEqual(self.mooring("delete", name, check=False).returncode, 0)
        self.mooring("kill", name, "KILL")
        lib.wait_until(lambda: self.state(name)["status"] == "stopped")
        self.mooring("delete", name)

    def test_hooks_and_pid_file(self):
        log = f"{self.entry.pw_dir}/log"
        self.addCleanup(os.unlink, log)
        hook = [{"path": "/bin/sh", "args": ["sh", "-c", f"id -u >>{log}"], "env": ["PATH=/usr/bin:/bin"]}]
        name = self.new(self.spec(["true"], hooks={"createRuntime": hook, "poststop": hook}))
        self.mooring("run", "--pid-file", f"{self.entry.pw_dir}/pid", name)
        with open(log, encoding="utf-8") as f:
            self.assertEqual(f.read(), f"{self.uid}\n" * 2)
        os.unlink(f"{self.entry.pw_dir}/pid")

    def test_terminal(self):
        name = self.new(self.spec(["sh", "-c", "tty; test -c /dev/console && echo console"], process={"terminal": True}))
        out = lib.run(["script", "--quiet", "--return", "--command",
                       shlex.join(self.command("mooring", "run", name)), "/dev/null"]).stdout
        # script(1) says that its own input has ended.
        self.assertEqual(out.replace("^@", "").split(), ["/dev/pts/0", "console"])

    def test_joined_namespaces(self):
        pid = self.state(self.start(self.spec(SLEEP, namespaces=["network"])))["pid"]
        spec = self.spec(["sh", "-c", "readlink /proc/self/ns/user; readlink /proc/self/ns/net; id -u"])
        spec["linux"]["namespaces"] = [{"type": t, "path": f"/proc/{pid}/ns/{n}"} for t, n in
                                       (("user", "user"), ("network", "net"), ("ipc", "ipc"))] + \
            [{"type": t} for t in ("pid", "mount", "uts", "cgroup")]
        for kind in ("uidMappings", "gidMappings"):
            del spec["linux"][kind]
        self.assertEqual(self.output(spec).split(),
                         [os.readlink(f"/proc/{pid}/ns/user"), os.readlink(f"/proc/{pid}/ns/net"), "0"])

    def test_in_a_user_namespace(self):
        """As podman runs it: as root of a namespace that the user has made, with and without another in it."""

        for namespaces in ([], [{"type": "user"}]):
            spec = self.spec(["sh", "-c", "id -u; cat /proc/self/uid_map"])
            spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "user"] + namespaces
            for kind in ("uidMappings", "gidMappings"):
                spec["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 1}] if namespaces else []
            out = self.user("unshare", "--user", "--mount", "--map-root-user", "mooring", "--root",
                            f"{self.entry.pw_dir}/states", "run", self.new(spec)).stdout.split("\n")
            self.assertEqual(out[0], "0")
            # As seen from there the ids of the namespace above are its own.
            self.assertEqual(out[1].split()[0], "0")
        self.assertEqual(os.listdir(f"{self.entry.pw_dir}/states"), [])


class IdentityTest(RootlessTestCase):
    def test_ranges(self):
        spec = self.spec(["sh", "-c", "echo $(id -u) $(id -g) $(id -G); cat /proc/self/setgroups /proc/self/uid_map /proc/self/gid_map; "
                          "touch /tmp/file"],
                         ranges=True, process={"user": {"uid": 33, "gid": 34, "additionalGids": [5, 6]}})
        spec["root"]["readonly"] = False
        os.chmod(f"{self.bundle}/rootfs/tmp", 0o1777)
        out = self.output(spec).split("\n")
        self.assertEqual(out[:2], ["33 34 34 5 6", "allow"])
        self.assertEqual([line.split() for line in out[2:6]],
                         [["0", str(self.uid), "1"], ["1", str(self.sub_uid), "65536"],
                          ["0", str(self.gid), "1"], ["1", str(self.sub_gid), "65536"]])
        st = os.stat(f"{self.bundle}/rootfs/tmp/file")
        os.unlink(f"{self.bundle}/rootfs/tmp/file")
        self.assertEqual((st.st_uid, st.st_gid), (self.sub_uid + 32, self.sub_gid + 33))

    def test_exec_as_others(self):
        name = self.start(self.spec(SLEEP, ranges=True))
        for user, answer in (("0", "0 0\n"), ("1000:1001", "1000 1001\n"), ("65536", "65536 0\n")):
            with self.subTest(user=user):
                out = self.mooring("exec", "--user", user, name, "sh", "-c", "echo $(id -u) $(id -g)").stdout
                self.assertEqual(out, answer)
        self.assertIn("linux.uidMappings", self.mooring("exec", "--user", "65537", name, "id", check=False).stderr)

    def test_limits_and_score(self):
        """What takes a privilege is as much as there is, and said."""

        spec = self.spec(["sh", "-c", "cat /proc/self/oom_score_adj; ulimit -n"],
                         process={"oomScoreAdj": 500, "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 512, "soft": 256}]})
        self.assertEqual(self.output(spec).split(), ["500", "256"])
        spec["process"].update({"oomScoreAdj": -500,
                                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1 << 30, "soft": 1 << 30}]})
        result = self.mooring("run", self.new(spec))
        score, _ = result.stdout.split()
        # A caller that was given a lower score by root may have it again.
        if score != "-500":
            self.assertIn("oom_score_adj stays as it is", result.stderr)
        self.assertIn("RLIMIT_NOFILE is limited to", result.stderr)

        name = self.start(self.spec(SLEEP, process={"oomScoreAdj": 300}))
        self.assertEqual(self.mooring("exec", name, "cat", "/proc/self/oom_score_adj").stdout, "300\n")

    def test_errors(self):
        without = self.spec(["true"])
        without["linux"]["namespaces"] = [n for n in without["linux"]["namespaces"] if n["type"] != "user"]
        for kind in ("uidMappings", "gidMappings"):
            del without["linux"][kind]
        stranger = self.spec(["true"], ranges=True)
        stranger["linux"]["uidMappings"][1]["hostID"] = 1
        cases = {
            "no user namespace": (without, {}, "takes a user namespace of its own"),
            "no newuidmap": (self.spec(["true"], ranges=True), {"env": {"PATH": "/nonexistent"}}, "package uidmap"),
            "not his ids": (stranger, {}, "/etc/subuid"),
            "groups with one id": (self.spec(["true"], process={"user": {"uid": 0, "gid": 0, "additionalGids": [5]}}), {},
                                   "supplementary groups"),
            "user that is not mapped": (self.spec(["true"], process={"user": {"uid": 5, "gid": 0}}), {},
                                        "linux.uidMappings and gidMappings must have them"),
            "no runtime directory": (self.spec(["true"]), {"env": {"XDG_RUNTIME_DIR": "/run/user/nobody-s"}}, "use --root"),
        }
        mooring = lib.run(["which", "mooring"]).stdout.strip()
        for what, (spec, more, text) in cases.items():
            with self.subTest(what):
                name = self.new(spec)
                result = self.user(mooring, "run", name, check=False, **more)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(text, result.stderr)
                self.assert_nothing_is_left()

    def test_user_namespaces_are_off(self):
        # In a user namespace of its own, where this is nobody else's business.
        command = "echo 0 >/proc/sys/user/max_user_namespaces && exec mooring --root /tmp/mooring-none run x"
        self.new(self.spec(["true"]))
        result = self.user("unshare", "--user", "--map-root-user", "sh", "-c", command, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("user.max_", result.stderr)
        self.assertEqual(os.listdir("/tmp/mooring-none"), [])
        os.rmdir("/tmp/mooring-none")


class MountTest(RootlessTestCase):
    def test_kernel_file_systems(self):
        show = "cat /proc/self/mountinfo; ls /proc/1/exe; echo x >/dev/null; head -c 1 /dev/zero | wc -c; " \
               "echo 1 >/proc/sys/kernel/panic; : >/proc/keys; mkdir /sys/fs/cgroup/x; cat /proc/kcore"
        for namespaces, fstype in (((), None), (("network",), "sysfs")):
            with self.subTest(namespaces=namespaces):
                spec = self.spec(["sh", "-c", show], namespaces=namespaces)
                if fstype:
                    for mount in spec["mounts"]:
                        if mount["destination"] == "/sys":
                            mount.update({"type": fstype, "source": fstype, "options": ["nosuid", "noexec", "nodev", "ro"]})
                result = self.mooring("run", self.new(spec), check=False)
                mounts = {line.split()[4]: line.split() for line in result.stdout.split("\n") if " - " in line}
                self.assertIn("\n1\n", result.stdout)
                for text in ("/proc/sys/kernel/panic: Read-only", "/sys/fs/cgroup/x': Read-only"):
                    self.assertIn(text, result.stderr)
                for place, fields in mounts.items():
                    if place == "/sys" or place.startswith("/sys/"):
                        self.assertIn("ro", fields[5].split(","), place)
                for device in ("null", "zero", "full", "random", "urandom", "tty"):
                    self.assertIn(f"/dev/{device}", mounts)

    def test_sys_as_podman_binds_it(self):
        """Without a network namespace: the host's, and nothing of it may be written to, whatever the user may outside."""

        spec = self.spec(["sh", "-c", "cat /proc/self/mountinfo"])
        spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/sys")]
        spec["mounts"].append({"destination": "/sys", "type": "bind", "source": "/sys",
                               "options": ["rprivate", "nosuid", "noexec", "nodev", "ro", "rbind"]})
        lines = [line.split() for line in self.output(spec).splitlines()]
        self.assertTrue(any(line[4] == "/sys/fs/cgroup" for line in lines))
        for line in lines:
            if line[4].startswith("/sys"):
                self.assertIn("ro", line[5].split(","), line[4])

    def test_binds(self):
        directory = f"{self.entry.pw_dir}/data"
        os.mkdir(directory)
        os.chown(directory, self.uid, self.gid)
        spec = self.spec(["sh", "-c", "echo hello >/data/file; echo no >/ro/file; ls -n /data/file"])
        spec["mounts"] += [{"destination": "/data", "type": "bind", "source": directory, "options": ["rbind"]},
                           {"destination": "/ro", "type": "bind", "source": directory, "options": ["rbind", "ro"]}]
        spec["root"]["readonly"] = False
        result = self.mooring("run", self.new(spec))
        self.assertIn("Read-only", result.stderr)
        self.assertEqual(result.stdout.split()[2:4], ["0", "0"])
        self.assertEqual(os.stat(f"{directory}/file").st_uid, self.uid)
        for name in ("data", "ro"):
            os.rmdir(f"{self.bundle}/rootfs/{name}")
        lib.run(["rm", "-r", directory])

    def test_devices(self):
        for device, refused in (({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}, None),
                                ({"path": "/dev/other", "type": "c", "major": 10, "minor": 229}, "under that name"),
                                ({"path": "/dev/pipe", "type": "p"}, None)):
            with self.subTest(device=device["path"]):
                spec = self.spec(["ls", device["path"]], linux={"devices": [device]})
                if refused:
                    self.refused(spec, refused)
                else:
                    self.assertEqual(self.output(spec).strip(), device["path"])

    def test_sysctl(self):
        spec = self.spec(["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"], namespaces=["network"],
                         linux={"sysctl": {"net.ipv4.ip_unprivileged_port_start": "80"}})
        self.assertEqual(self.output(spec), "80\n")

    def test_added(self):
        name = self.start(self.spec(SLEEP))
        tmpfs = {"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]}
        bind = {"destination": "/home", "type": "bind", "source": f"{self.bundle}/rootfs/etc", "options": ["bind"]}
        for mount in (tmpfs, bind):
            with open(f"{self.bundle}/{mount['type']}.json", "w", encoding="utf-8") as f:
                json.dump([mount], f)
        self.mooring("mounts", "add", name, "tmpfs.json")
        self.assertEqual(self.mooring("exec", name, "ls", "/home").stdout, "")
        self.mooring("mounts", "remove", name, "tmpfs.json")
        self.assertEqual(self.mooring("exec", name, "ls", "/home").stdout, "alice\n")
        # A tree of the host's is not to be had by somebody without privileges there.
        self.assertIn("takes privileges", self.mooring("mounts", "add", name, "bind.json", check=False).stderr)


class ProtectionTest(RootlessTestCase):
    def test_a_sealed_copy(self):
        """The program in the container is a copy in memory that nobody can change, whoever he is."""

        name = self.new(self.spec(SLEEP))
        self.background(*self.command("mooring", "create", name))
        exe = f"/proc/{self.state(name)['pid']}/exe"
        self.assertIn("/memfd:mooring", os.readlink(exe))
        with open(exe, "rb") as f:
            self.assertEqual(fcntl.fcntl(f, fcntl.F_GET_SEALS) & SEALS, SEALS)
        result = self.mooring("exec", name, "sh", "-c", "cat /bin/busybox >/proc/1/exe", check=False)
        self.assertNotEqual(result.returncode, 0)
        with self.assertRaises(OSError):
            with open(exe, "r+b") as f:
                f.write(b"x")
        self.mooring("start", name)
        self.assertTrue(os.readlink(exe).endswith("/bin/busybox"))

    def test_descriptors_and_environment(self):
        name = self.new(self.spec(["sh", "-c", "ls /proc/self/fd; cat /proc/self/environ"]))
        out = self.user("mooring", "run", name, env={"SECRET": "of-the-user"}).stdout
        self.assertNotIn("of-the-user", out)
        self.assertLessEqual(set(out.split("\n")[:4]), {"0", "1", "2", "3"})

        name = self.new(self.spec(SLEEP))
        self.background(*self.command("mooring", "create", name, env={"SECRET": "of-the-user"}))
        self.assertNotIn("of-the-user", self.mooring("exec", name, "cat", "/proc/1/environ").stdout)


class CgroupTest(RootlessTestCase):
    SCRIPT = """
        set -e
        mooring --cgroup-manager "$1" run --detach "$2" >/dev/null 2>&1 </dev/null
        cut -d: -f3 "/proc/$(mooring state "$2" | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')/cgroup" | tail -n 1
        mooring exec "$2" sh -c 'tail -n 1 /proc/self/cgroup'
        mooring pause "$2"
        mooring state "$2" | grep -o '"paused"'
        mooring resume "$2"
        mooring kill --all "$2" KILL
    """

    def in_cgroup(self, manager, spec, **kwargs):
        name = self.new(spec)
        out = self.in_unit("sh", "-c", self.SCRIPT, "sh", manager, name, **kwargs).stdout.split()
        lib.wait_until(lambda: self.state(name)["status"] == "stopped")
        self.mooring("delete", name)
        lib.wait_until(lambda: not os.path.exists("/sys/fs/cgroup" + out[0]))
        return out

    def test_delegated_unit(self):
        out = self.in_cgroup("cgroupfs", self.spec(SLEEP))
        self.assertRegex(out[0], f"/user@{self.uid}.service/.*mooring-rootless-")
        # The container sees its own as the root.
        self.assertEqual(out[1:], ["0::/", '"paused"'])

    def test_the_users_manager(self):
        out = self.in_cgroup("systemd", self.spec(SLEEP))
        self.assertRegex(out[0], f"/user@{self.uid}.service/user.slice/mooring-rootless-.*.scope$")
        self.assertEqual(out[1:], ["0::/", '"paused"'])

    def test_the_manager_from_outside(self):
        """The user's session is in no cgroup of his: what is to be moved out of it takes the manager's help."""

        name = self.start(self.spec(SLEEP), "--systemd-cgroup")
        cgroup = f"mooring-{name}.scope"
        for options in ([], ["--detach"]):
            self.background(*self.command("mooring", "exec", *options, name, "true"))
        self.background(*self.command("mooring", "exec", "--detach", name, "sleep", "999"))
        lib.wait_until(lambda: "sleep 999" in self.mooring("ps", name).stdout)
        self.assertIn("sleep 1000", self.mooring("ps", name).stdout)
        self.assertIn(cgroup, self.user("systemctl", "--user", "list-units", "--plain", "--no-legend", "mooring-*").stdout)
        self.mooring("delete", "--force", name)
        self.assertNotIn(cgroup, self.user("systemctl", "--user", "list-units", "--all", "--plain", "mooring-*").stdout)

    def test_without(self):
        self.refused(self.spec(["true"], linux={"resources": {"pids": {"limit": 10}}}), "delegated to the user")
        name = self.start(self.spec(SLEEP))
        for command in (["pause", name], ["update", "--pids-limit", "10", name]):
            self.assertIn("no cgroup", self.mooring(*command, check=False).stderr)


class LimitTest(RootlessTestCase):
    """Controllers are in host B only."""

    hosts = "b"

    def test_limits(self):
        spec = self.spec(["sh", "-c", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max"],
                         linux={"resources": {"pids": {"limit": 33}, "memory": {"limit": 64 << 20}}})
        for manager in ("cgroupfs", "systemd"):
            with self.subTest(manager=manager):
                out = self.in_unit("mooring", "--cgroup-manager", manager, "run", self.new(spec)).stdout
                self.assertEqual(out.split(), ["33", str(64 << 20)])

    def test_update(self):
        name = self.start(self.spec(SLEEP, linux={"resources": {"pids": {"limit": 33}}}), "--systemd-cgroup")
        self.mooring("update", "--pids-limit", "44", name)
        self.assertEqual(self.mooring("exec", name, "cat", "/sys/fs/cgroup/pids.max").stdout, "44\n")
        self.assertEqual(json.loads(self.mooring("events", "--stats", name).stdout)["data"]["pids"]["limit"], 44)
