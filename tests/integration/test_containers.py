# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers: what they see inside, what the host sees of them, how they end, and what is left of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import lib
from lib_container import BUSYBOX, DEBIAN, OBEDIENT, ContainerTestCase, events_since, last_event, status_of, topics_since, unit_of, wait_traps

DEFAULT_CAPABILITIES = 0xa80425fb
PROGRAMS = "/run/moored/seccomp"
STUBBORN = "trap '' TERM; while :; do sleep 1000 & wait $!; done"


def host_processes():
    """{pid: name} of all processes of the host but the kernel's own."""

    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                status = status_of(entry)
            except OSError:
                continue
            if status.get("PPid") != "2" and status.get("State", "Z")[0] not in "ZX":
                found[int(entry)] = status["Name"]
    return found


def mountinfo():
    with open("/proc/1/mountinfo", encoding="utf-8") as f:
        return [line for line in f if "/run/credentials/" not in line]


def pss(pid):
    """The proportional share of memory of a process, in bytes."""

    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))


class MainJobTest(ContainerTestCase):
    """What the whole thing is for."""

    images = (BUSYBOX, DEBIAN)

    def test_a_real_image_prints_its_release(self):
        result = self.run_container(DEBIAN, "cat", "/etc/os-release")
        self.assertIn("ID=debian\n", result.stdout)
        self.assertEqual(result.stderr, "")

    def test_the_exit_code_is_passed_on(self):
        self.run_container(DEBIAN, "sh", "-c", "exit 7", status=7)

    def test_output_is_unchanged_and_apart(self):
        blob = bytes(range(256)) * 4096
        result = self.run_container("-i", BUSYBOX, "sh", "-c", "cat; echo err >&2", text=False, input=blob)
        self.assertEqual(result.stdout, blob)
        self.assertEqual(result.stderr, b"err\n")

    def test_init_is_the_main_process_and_a_child_of_pid_1(self):
        self.detach("one")
        pid = self.inspect("one")["LeaderPID"]
        self.assertEqual(int(lib.unit_properties(unit_of("one"), "MainPID")["MainPID"]), pid)
        status = status_of(pid)
        self.assertEqual(status["PPid"], "1")
        self.assertEqual(status["NSpid"].split()[-1], "1")
        self.assertIn(f"Main PID: {pid} (sh)", lib.run(["systemctl", "status", unit_of("one")]).stdout)

    def test_a_container_adds_no_process_but_its_own(self):
        # Whatever the bus starts for a while (polkit, hostnamed) is there before.
        self.run_container(BUSYBOX, "true")
        before = host_processes()
        self.detach("alone", command=("sleep", "1000"))
        pid = self.inspect("alone")["LeaderPID"]

        def extra():
            return {p: name for p, name in host_processes().items() if p not in before}

        lib.wait_until(lambda: extra() == {pid: "sleep"}, what=f"only {pid} is new")

    def test_fifty_containers_add_no_mount(self):
        before = mountinfo()
        names = [f"many{i}" for i in range(50)]
        for chunk in range(0, 50, 10):
            processes = [self.popen("run", "-d", "--name", n, BUSYBOX, "sleep", "1000") for n in names[chunk:chunk + 10]]
            for process in processes:
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(len(lib.moorctl("ps", "-q").stdout.split()), 50)
        self.assertEqual(mountinfo(), before)
        self.assertLess(pss(lib.moored_pid()), 8 << 20)
        lib.moorctl("rm", "-f", *names)
        self.assertEqual(mountinfo(), before)

    def test_an_idle_daemon_is_small(self):
        lib.kill9_moored()
        lib.moorctl("ps", "-a")
        self.assertLess(pss(lib.moored_pid()), 8 << 20)


class InsideTest(ContainerTestCase):
    """What a container finds inside."""

    def directory(self):
        path = tempfile.mkdtemp(dir="/var/tmp")
        self.addCleanup(shutil.rmtree, path)
        return path

    def image(self, name, config):
        """An image of busybox's files with a configuration of its own."""

        layer = lib.Tar().directory("bin").file("bin/busybox", open("/bin/busybox", "rb").read(), mode=0o755)
        for applet in ("sh", "echo", "id", "pwd", "env"):
            layer.symlink(f"bin/{applet}", "busybox")
        layer.file("etc/passwd", b"app:x:300:400::/srv/app:/bin/sh\n").file("etc/group", b"app:x:400:\nmore:x:401:app\n")
        reference = lib.push(lib.Image([layer], config), f"containers/{name}:test")
        lib.moorctl("pull", "-q", reference)
        self.addCleanup(lib.moorctl, "rmi", "-f", reference)
        return reference

    def test_entrypoint_and_command(self):
        both = self.image("both", {"Entrypoint": ["echo", "entry"], "Cmd": ["cmd", "two"]})
        for args, printed in (
                ([both], "entry cmd two"),
                ([both, "mine"], "entry mine"),
                (["--entrypoint=echo", both], ""),
                (["--entrypoint=echo", both, "mine"], "mine"),
                (['--entrypoint=["echo","-n","x"]', both, "y"], "x y"),
                (["--entrypoint=", both, "echo", "bare"], "bare")):
            self.assertEqual(self.run_container(*args).stdout.strip(), printed, args)

        entry = self.image("entry", {"Entrypoint": ["echo", "entry"]})
        self.assertEqual(self.run_container(entry).stdout, "entry\n")
        cmd = self.image("cmd", {"Cmd": ["echo", "cmd"]})
        self.assertEqual(self.run_container(cmd).stdout, "cmd\n")
        self.assertEqual(self.run_container(cmd, "echo", "mine").stdout, "mine\n")
        nothing = self.image("nothing", {})
        self.assertIn("no command", self.fails(nothing))
        self.assertIn("no command", self.fails("--entrypoint=", cmd))

    def test_the_image_s_environment_user_and_directory(self):
        image = self.image("config", {"Env": ["A=image", "B=image", "EMPTY="], "User": "app", "WorkingDir": "/srv/deep",
                                      "Cmd": ["sh", "-c", "id; pwd; echo $A $B $HOME [$EMPTY]"]})
        self.assertEqual(self.run_container("-e", "B=mine", image).stdout,
                         "uid=300(app) gid=400(app) groups=401(more)\n/srv/deep\nimage mine /srv/app []\n")

    def test_environment(self):
        path = f"{self.directory()}/env"
        with open(path, "w", encoding="utf-8") as f:
            f.write("# a comment\nFILE=one two\nBOTH=file\n")
        output = self.sh("env", "-e", "X=1", "-e", "BOTH=option", f"--env-file={path}", "-e", "EQ=a=b", "--name=named")
        lines = output.splitlines()
        for line in ("X=1", "FILE=one two", "BOTH=option", "EQ=a=b", "HOSTNAME=named", "HOME=/root"):
            self.assertIn(line, lines)
        self.assertFalse(re.search(r"NOTIFY_SOCKET|LISTEN_|INVOCATION_ID|JOURNAL_STREAM", output))
        result = self.run_container("-e", "INHERITED", BUSYBOX, "env", env={**os.environ, "INHERITED": "yes"})
        self.assertIn("INHERITED=yes\n", result.stdout)

    def test_working_directory(self):
        self.assertEqual(self.sh("pwd"), "/\n")
        self.assertEqual(self.sh("pwd", "-w", "/new/one"), "/new/one\n")

    def test_user(self):
        for user, printed in (
                ("user", "uid=1000(user) gid=1000(user) groups=100(users),1000(user),2000(extra)"),
                ("1000", "uid=1000(user) gid=1000(user) groups=100(users),1000(user),2000(extra)"),
                ("user:extra", "uid=1000(user) gid=2000(extra)"),
                ("1000:100", "uid=1000(user) gid=100(users)"),
                ("12345", "uid=12345 gid=0(root)"),
                ("12345:6789", "uid=12345 gid=6789")):
            output = self.sh("id", "-u", user).strip()
            # busybox's id prints the groups of the process in its order.
            self.assertEqual(self.normal(output), self.normal(printed), user)
        self.assertEqual(self.normal(self.sh("id", "-u", "nobody", "--group-add=users", "--group-add=77").strip()),
                         self.normal("uid=65534(nobody) gid=65534(nogroup) groups=100(users),2000(extra),65534(nogroup),77"))
        self.assertEqual(self.sh("echo $HOME", "-u", "user"), "/home/user\n")

    @staticmethod
    def normal(text):
        """id's line with the groups in order, and without those that only repeat the first."""

        ids, _, groups = text.partition(" groups=")
        primary = ids.split("gid=")[1]
        return ids, sorted(set(groups.split(",")) - {"", primary})

    def test_host_name(self):
        self.assertEqual(self.sh("hostname; cat /etc/hostname", "--hostname=inside.example"), "inside.example\n" * 2)
        self.assertEqual(self.sh("hostname", "--name=by-id"), "by-id\n")
        self.assertIn("inside.example", self.sh("cat /etc/hosts", "--hostname=inside.example"))

    def test_bind_mounts(self):
        path = self.directory()
        with open(f"{path}/file", "w", encoding="utf-8") as f:
            f.write("host\n")
        self.assertEqual(self.sh("cat /d/file; echo inside >/d/new; cat /f", "-v", f"{path}:/d", "-v", f"{path}/file:/f:ro"),
                         "host\nhost\n")
        with open(f"{path}/new", encoding="utf-8") as f:
            self.assertEqual(f.read(), "inside\n")
        self.assertIn("Read-only", self.sh("echo x 2>&1 >/d/other || true", "-v", f"{path}:/d:ro"))
        self.assertFalse(os.path.exists(f"{path}/other"))
        self.assertEqual(self.sh("cat /deep/er/file", f"--mount=type=bind,source={path},target=/deep/er,readonly"), "host\n")

    def test_tmpfs(self):
        output = self.sh("grep ' /t ' /proc/mounts; stat -c %a /t; touch /t/x", "--tmpfs=/t:size=4m,mode=750")
        self.assertRegex(output, r"tmpfs /t tmpfs \S*size=4096k\S*")
        self.assertIn("\n750\n", output)
        self.assertEqual(self.sh("head -c 5000000 /dev/zero >/t/big 2>/dev/null; stat -c %s /t/big", "--tmpfs=/t:size=4m"), f"{4 << 20}\n")

    def test_read_only_root(self):
        output = self.sh("touch /x 2>&1; touch /tmp/x 2>&1; touch /scratch/x && touch /dev/shm/x && echo fine", "--read-only",
                         "--tmpfs=/scratch")
        self.assertEqual(output.count("Read-only file system"), 2)
        self.assertIn("fine\n", output)
        self.assertEqual(self.sh("touch /x && echo fine"), "fine\n")

    def test_network(self):
        self.assertEqual(re.findall(r"^\d+: (\w+)", self.sh("ip link"), re.M), ["lo"])
        self.assertIn("127.0.0.1/8", self.sh("ip addr show lo"))
        ours = os.readlink("/proc/self/ns/net")
        self.assertNotEqual(self.sh("readlink /proc/self/ns/net").strip(), ours)
        self.assertEqual(self.sh("readlink /proc/self/ns/net", "--network=host").strip(), ours)
        self.assertIn("debian", self.sh("wget -q -O - http://127.0.0.1:5000/v2/_catalog", "--network=host"))

    def test_capabilities(self):
        def masks(*options):
            found = dict(re.findall(r"^Cap(\w+):\s*(\w+)", self.sh("cat /proc/self/status", *options), re.M))
            return {name: int(value, 16) for name, value in found.items()}

        usual = masks()
        self.assertEqual(usual, {"Inh": 0, "Prm": DEFAULT_CAPABILITIES, "Eff": DEFAULT_CAPABILITIES,
                                 "Bnd": DEFAULT_CAPABILITIES, "Amb": 0})
        user = masks("-u", "user")
        self.assertEqual((user["Eff"], user["Prm"], user["Bnd"]), (0, 0, DEFAULT_CAPABILITIES))
        changed = masks("--cap-add=NET_ADMIN", "--cap-drop=CHOWN")["Eff"]
        self.assertEqual(changed, (DEFAULT_CAPABILITIES | 1 << 12) & ~1)
        self.assertEqual(masks("--cap-drop=ALL")["Eff"], 0)
        self.assertEqual(masks("--cap-drop=ALL", "--cap-add=KILL")["Eff"], 1 << 5)

    def test_seccomp_and_privileges(self):
        status = dict(re.findall(r"^(\w+):\s*(\S+)", self.sh("cat /proc/self/status"), re.M))
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
        for command in ("unshare -m true", "mount -t tmpfs x /tmp", "chroot /bin/../.. nosuch", "dmesg"):
            result = self.run_container(BUSYBOX, "sh", "-c", command + " || exit 3", status=3)
            self.assertIn("not permitted" if "mount" not in command and "chroot" not in command else "", result.stderr)
        # With the capability and without the filter it is allowed: so the filter is what refuses it.
        self.sh("unshare -m true", "--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined")
        status = dict(re.findall(r"^(\w+):\s*(\S+)", self.sh("cat /proc/self/status", "--security-opt=seccomp=unconfined"), re.M))
        self.assertEqual(status["Seccomp"], "0")

    def test_seccomp_profiles_are_prepared(self):
        def found():
            """{name: (links of the profile, has a program)}"""

            profiles = {f[:-5] for f in os.listdir(PROGRAMS) if re.fullmatch("[0-9a-f]{64}.json", f)}
            return {p: (os.stat(f"{PROGRAMS}/{p}.json").st_nlink, os.path.exists(f"{PROGRAMS}/{p}.bpf")) for p in profiles}

        def ready():
            profiles = found()
            return profiles and all(program for _, program in profiles.values())

        # The usual one when the daemon starts, long before the first container; another version's program is not good enough.
        lib.wait_until(ready, what="the default profile is compiled")
        for name in os.listdir(PROGRAMS):
            with open(f"{PROGRAMS}/{name}", "r+b") as f:
                if name.endswith(".bpf"):
                    f.truncate(50)
        lib.kill9_moored()
        lib.wait_until(lambda: any(os.stat(f"{PROGRAMS}/{name}.bpf").st_size > 1000 for name in found()), what="it is compiled again")

        # One with other capabilities as soon as it is made.
        before = found()
        lib.moorctl("create", "--name=admin", "--cap-add=SYS_MODULE", BUSYBOX, "grep", "Seccomp:", "/proc/self/status")
        lib.moorctl("create", "--name=usual", BUSYBOX, "true")
        new = set(found()) - set(before)
        self.assertEqual(len(new), 1)
        self.assertEqual(found()[new.pop()][0], 2)
        lib.wait_until(ready, what="the new profile is compiled")

        # What the bus says is whole.
        spec = lib.moorctl_json("inspect", "--spec", "admin")[0]["Spec"]
        self.assertEqual(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO")
        self.assertNotIn("org.moored.seccomp", spec["annotations"])

        # A container keeps its profile, also when the program is gone and the daemon another one.
        for name in os.listdir(PROGRAMS):
            if name.endswith(".bpf"):
                os.unlink(f"{PROGRAMS}/{name}")
        lib.kill9_moored()
        lib.moorctl("start", "admin")
        self.wait_state("admin", "exited")
        self.assertIn("Seccomp:\t2", lib.moorctl("logs", "admin").stdout)
        lib.moorctl("rm", "admin", "usual")
        self.assertTrue(all(links == 1 for links, _ in found().values()), found())

    def test_masked_and_read_only_paths(self):
        self.assertEqual(self.sh("for f in /proc/kcore /proc/keys /proc/timer_list; do [ -e $f ] && cat $f; done; ls /sys/firmware 2>/dev/null; true"), "")
        self.assertIn("Read-only", self.sh("echo 1 2>&1 >/proc/sys/kernel/printk || true"))
        self.assertIn("Read-only", self.sh("mkdir /sys/fs/cgroup/x 2>&1 || true"))

    def test_devices(self):
        self.assertEqual(self.sh("for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || [ -L /dev/$d ] || echo no $d; done; ls -d /dev/sd* /dev/loop* 2>/dev/null; true"), "")

    def test_processes_of_others_are_not_seen(self):
        self.assertEqual(self.sh("ls -d /proc/[0-9]* | wc -l; echo $$").split()[-1], "1")
        self.assertLessEqual(int(self.sh("ls -d /proc/[0-9]* | wc -l")), 3)

    def test_orphans_are_ended_with_the_container(self):
        self.detach("orphans", command=("sh", "-c", "sleep 4321 & sleep 4321 & sleep 0.2; exit 4"))
        self.assertEqual(self.wait_state("orphans", "exited")["ExitCode"], 4)
        self.assertNotIn("4321", lib.run("ps -eo args").stdout.replace("sh -c", ""))


class UnitTest(ContainerTestCase):
    """The unit behind a container."""

    def test_properties_of_the_unit(self):
        self.detach("props", "--memory=64M", "--cpus=1.5", "--pids-limit=20", "-p", "Nice=5", "-p", "LimitNOFILE=123:456",
                    "-p", "OOMScoreAdjust=300", "-p", "Documentation=https://example.org/", "--stop-timeout=7s", "--stop-signal=INT")
        self.assertEqual(lib.unit_properties(
            unit_of("props"), "MemoryMax", "CPUQuotaPerSecUSec", "TasksMax", "Nice", "LimitNOFILE", "LimitNOFILESoft", "Documentation",
            "TimeoutStopUSec", "KillSignal", "KillMode", "Slice", "Description", "Delegate", "Type"), {
                "MemoryMax": str(64 << 20), "CPUQuotaPerSecUSec": "1.500000s", "TasksMax": "20", "Nice": "5", "LimitNOFILE": "456",
                "LimitNOFILESoft": "123", "Documentation": "https://example.org/", "TimeoutStopUSec": "7s", "KillSignal": "2",
                "KillMode": "mixed", "Slice": "moored-default.slice", "Description": f"Container props ({BUSYBOX})",
                "Delegate": "yes", "Type": "notify"})
        pid = self.inspect("props")["LeaderPID"]
        with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as f:
            self.assertEqual(f.read().strip(), "300")
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, pid), 5)
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
            self.assertTrue(f.read().strip().endswith(self.inspect("props")["ControlGroup"]))

    def test_slice_and_description_of_the_user_s(self):
        self.detach("sliced", "-p", "Slice=moored-mine.slice", "-p", "Description=My own words")
        self.assertEqual(lib.unit_properties(unit_of("sliced"), "Slice", "Description"),
                         {"Slice": "moored-mine.slice", "Description": "My own words"})
        self.assertIn("/moored-mine.slice/", self.inspect("sliced")["ControlGroup"])

    def test_what_is_no_property(self):
        for value, text in (("Colour=red", "Colour"), ("MemoryMax=much", "MemoryMax"), ("Type=simple", "Type="),
                            ("ExecStart=/bin/true", "ExecStart"), ("PrivateTmp=yes", "PrivateTmp"), ("KillMode=none", "KillMode"),
                            ("Slice=nonsense", "nonsense"), ("Nice=99", "99"), ("Restart=always", "Restart"), ("Nice", "Nice")):
            self.assertIn(text, self.fails("-p", value, BUSYBOX, "true", text=text))

    def test_the_journal_s_fields(self):
        since = time.time()
        self.detach("logged", command=("sh", "-c", "echo out; echo err >&2; exit 0"))
        self.wait_state("logged", "exited")
        lib.run(["journalctl", "--sync"])

        def entries():
            lines = lib.run(["journalctl", "-o", "json", "--no-pager", f"--since=@{since:.6f}", "MOORED_CONTAINER=logged"]).stdout
            return [json.loads(line) for line in lines.splitlines()]

        found = lib.wait_until(lambda: len(f := [e for e in entries() if e["MESSAGE"] in ("out", "err")]) == 2 and f,
                               what="the output is in the journal")
        for e in found:
            self.assertEqual((e["MOORED_NAMESPACE"], e["MOORED_IMAGE"], e["SYSLOG_IDENTIFIER"], e["_SYSTEMD_UNIT"]),
                             ("default", BUSYBOX, "logged", unit_of("logged")))
        self.assertEqual({e["MESSAGE"] for e in found}, {"out", "err"})

    def test_labels(self):
        self.detach("labelled", "--label=team=blue", "--label=flag", "--label=with=a=b")
        labels = self.inspect("labelled")["Labels"]
        self.assertEqual({k: labels.get(k) for k in ("team", "flag", "with")}, {"team": "blue", "flag": "", "with": "a=b"})
        lib.kill9_moored()
        self.assertEqual(self.inspect("labelled")["Labels"], labels)

    def test_the_unit_stopped_or_killed_behind_our_back(self):
        self.detach("behind")
        lib.run(["systemctl", "stop", unit_of("behind")])
        self.assertEqual(self.wait_state("behind", "exited")["ExitCode"], 0)
        lib.moorctl("start", "behind")
        before = last_event()
        lib.run(["systemctl", "kill", "-s", "KILL", unit_of("behind")])
        ended = self.wait_state("behind", "exited")
        self.assertEqual((ended["ExitCode"], ended["ExitSignal"], ended["Result"]), (137, "KILL", "signal"))
        self.assertEqual(topics_since(before, "behind"), ["container/exited"])

    def test_a_name_that_a_foreign_unit_has(self):
        lib.run(["systemd-run", f"--unit={unit_of('foreign')}", "sleep", "1000"])
        self.addCleanup(lib.run, ["systemctl", "stop", unit_of("foreign")], check=False)
        self.leftovers_before = lib.leftovers()
        for options in ([], ["-d"], ["--rm"]):
            self.assertIn(unit_of("foreign"), self.fails(*options, "--name=foreign", BUSYBOX, "true"))
        result = lib.busctl_call("/org/moored1/namespace/default", "org.moored1.Namespace", "RunContainer", "ssa{sv}", "foreign",
                                 BUSYBOX, "0", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(lib.unit_properties(unit_of("foreign"), "ActiveState")["ActiveState"], "active")
        # Our daemon's coming back makes no claim to it.
        lib.kill9_moored()
        self.assertEqual(lib.moorctl("ps", "-a", "-q").stdout, "")
        self.assertEqual(lib.unit_properties(unit_of("foreign"), "ActiveState")["ActiveState"], "active")
        lib.run(["systemctl", "stop", unit_of("foreign")])
        self.run_container("--name=foreign", BUSYBOX, "true")

    def test_the_error_s_name_for_a_taken_unit(self):
        lib.run(["systemd-run", f"--unit={unit_of('foreign')}", "sleep", "1000"])
        self.addCleanup(lib.run, ["systemctl", "stop", unit_of("foreign")], check=False)
        self.leftovers_before = lib.leftovers()
        # CreateContainer does not touch the unit; Start does, and its error's name is what dbus-send prints.
        lib.moorctl("create", "--name=foreign", BUSYBOX, "true")
        result = lib.run(["dbus-send", "--system", "--print-reply", "--dest=org.moored1",
                          "/org/moored1/namespace/default/container/foreign", "org.moored1.Container.Start"], check=False)
        self.assertIn("org.moored1.Error.UnitExists", result.stderr)
        self.assertEqual(self.inspect("foreign")["State"], "created")

    def test_daemon_reload_and_reexec_of_pid_1(self):
        self.detach("survivor")
        pid = self.inspect("survivor")["LeaderPID"]
        for verb in ("daemon-reload", "daemon-reexec", "daemon-reload"):
            lib.run(["systemctl", verb])
            self.run_container(BUSYBOX, "sh", "-c", "exit 5", status=5)
            now = self.inspect("survivor")
            self.assertEqual((now["State"], now["LeaderPID"]), ("running", pid), verb)
        lib.moorctl("stop", "survivor")
        self.assertEqual(self.inspect("survivor")["ExitCode"], 0)

    def test_reloads_while_containers_come_and_go(self):
        stop = threading.Event()

        def reload():
            while not stop.is_set():
                lib.run(["systemctl", "daemon-reload"])
                time.sleep(0.05)

        thread = threading.Thread(target=reload)
        thread.start()
        try:
            for i in range(10):
                self.run_container(BUSYBOX, "sh", "-c", f"exit {i}", status=i)
                self.detach(f"reloaded{i}", command=("sh", "-c", f"exit {i}"))
        finally:
            stop.set()
            thread.join()
        for i in range(10):
            self.assertEqual(self.wait_state(f"reloaded{i}", "exited")["ExitCode"], i)


class LifeTest(ContainerTestCase):
    """Start, stop, kill, restart, removal."""

    def test_stop_signal_and_timeout(self):
        self.detach("polite", command=("sh", "-c", "trap 'exit 33' TERM; while :; do sleep 1000 & wait $!; done"))
        start = time.monotonic()
        lib.moorctl("stop", "polite")
        self.assertLess(time.monotonic() - start, 9)
        ended = self.inspect("polite")
        self.assertEqual((ended["State"], ended["ExitCode"], ended["ExitSignal"]), ("exited", 33, ""))
        self.assertGreaterEqual(ended["FinishedUSec"], ended["StartedUSec"])

        self.detach("usr1", "--stop-signal=USR1", command=("sh", "-c", "trap 'exit 34' USR1; while :; do sleep 1000 & wait $!; done"))
        lib.moorctl("stop", "usr1")
        self.assertEqual(self.inspect("usr1")["ExitCode"], 34)

    def test_sigkill_when_the_time_is_up(self):
        self.detach("stubborn", "--stop-timeout=1s", command=("sh", "-c", STUBBORN))
        start = time.monotonic()
        lib.moorctl("stop", "stubborn")
        self.assertTrue(0.9 < time.monotonic() - start < 9)
        ended = self.inspect("stubborn")
        self.assertEqual((ended["ExitCode"], ended["ExitSignal"]), (137, "KILL"))

        lib.moorctl("start", "stubborn")
        process = self.popen("stop", "--time=100", "stubborn")
        self.wait_state("stubborn", "stopping")
        lib.moorctl("stop", "--time=0", "stubborn")
        self.assertEqual(process.wait(timeout=30), 0)

    def test_many_stopped_at_once_take_the_time_of_one(self):
        names = [self.detach(f"slow{i}", "--stop-timeout=2s", command=("sh", "-c", STUBBORN)) for i in range(30)]
        start = time.monotonic()
        lib.moorctl("stop", *names)
        self.assertTrue(1.9 < time.monotonic() - start < 20, time.monotonic() - start)
        self.assertEqual({c["ExitCode"] for c in lib.moorctl_json("ps", "-a")}, {137})

    def test_restart_keeps_the_writable_layer(self):
        self.detach("kept", command=("sh", "-c", "echo x >>/count; " + OBEDIENT))
        lib.moorctl("restart", "kept")
        lib.moorctl("stop", "kept")
        lib.moorctl("start", "kept")
        lib.kill9_moored()
        lib.moorctl("restart", "kept")
        snapshot = self.inspect("kept")["Snapshot"]
        with open(f"/var/lib/moored/snapshots/overlay/{snapshot}/fs/count", encoding="ascii") as f:
            lib.wait_until(lambda: f.seek(0) == 0 and f.read() == "x\n" * 4, what="the fourth start has written")

    def test_restart_in_a_hurry(self):
        """One that does not heed SIGTERM, whose own timeout is long: -t says how long it has."""
        script = "trap 'echo x >>/count' TERM; while :; do sleep 0.1; done"
        self.detach("slow", "--stop-timeout=100s", command=("sh", "-c", script))
        first = self.inspect("slow")["StartedUSec"]
        lib.moorctl("restart", "-t", "0", "slow")
        second = self.inspect("slow")["StartedUSec"]
        self.assertNotEqual(first, second)
        wait_traps(self.inspect("slow")["LeaderPID"], script)
        lib.moorctl("restart", "--time=3s", "slow")
        self.assertNotEqual(second, self.inspect("slow")["StartedUSec"])
        with open(f"/var/lib/moored/snapshots/overlay/{self.inspect('slow')['Snapshot']}/fs/count", encoding="ascii") as f:
            self.assertEqual(f.read(), "x\n")
        self.assertIn("soon", lib.moorctl("restart", "-t", "soon", "slow", check=False).stderr)

    def test_kill(self):
        self.detach("killed", command=("sh", "-c", "trap 'exit 12' HUP; while :; do sleep 1000 & wait $!; done"))
        lib.moorctl("kill", "--signal=HUP", "killed")
        self.assertEqual(self.wait_state("killed", "exited")["ExitCode"], 12)
        lib.moorctl("start", "killed")
        lib.moorctl("kill", "killed")
        ended = self.wait_state("killed", "exited")
        self.assertEqual((ended["ExitCode"], ended["ExitSignal"]), (137, "KILL"))
        self.assertNotEqual(lib.moorctl("kill", "killed", check=False).returncode, 0)

    def test_removal(self):
        self.detach("busy")
        result = lib.moorctl("rm", "busy", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("running", result.stderr)
        pid = self.inspect("busy")["LeaderPID"]
        lib.moorctl("rm", "-f", "busy")
        self.assertFalse(self.exists("busy"))
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        lib.assert_nothing_left(self.leftovers_before)

    def test_a_name_can_be_used_again_at_once(self):
        for i in range(20):
            self.detach("again", command=("sleep", "1000"))
            lib.moorctl("rm", "-f", "again")
            self.run_container("--name=again", BUSYBOX, "sh", "-c", f"exit {i}", status=i)
        self.detach("again")
        result = lib.moorctl("run", "-d", "--name=again", BUSYBOX, "true", check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("again", result.stderr)
        self.assertEqual(self.inspect("again")["State"], "running")

    def test_signals_reach_a_foreground_container(self):
        process = self.popen("run", "--rm", "--name=front", BUSYBOX, "sh", "-c",
                             "trap 'echo got; exit 21' TERM; echo ready; while :; do sleep 1000 & wait $!; done")
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=10), ("got\n", ""))
        self.assertEqual(process.returncode, 21)

    def test_death_by_a_signal(self):
        # As a child of the container's first process, which the kernel does not shield.
        self.run_container(BUSYBOX, "sh", "-c", "sh -c 'kill -SEGV $$'; exit $?", status=139)
        self.detach("shot", command=("sleep", "1000"))
        os.kill(self.inspect("shot")["LeaderPID"], signal.SIGKILL)
        ended = self.wait_state("shot", "exited")
        self.assertEqual((ended["ExitCode"], ended["ExitSignal"], ended["Result"]), (137, "KILL", "signal"))

    def test_events_of_a_life(self):
        before = last_event()
        self.run_container("--name=lived", BUSYBOX, "sh", "-c", "exit 3", status=3)
        lib.wait_until(lambda: len(topics_since(before, "lived")) == 4)
        events = events_since(before, "lived")
        self.assertEqual([e["Topic"] for e in events],
                         ["container/created", "container/started", "container/exited", "container/removed"])
        self.assertEqual(events[2]["Details"]["ExitCode"], 3)
        self.assertEqual([e["Sequence"] for e in events], sorted({e["Sequence"] for e in events}))

    def test_create_then_start(self):
        lib.moorctl("create", "--name=later", BUSYBOX, "sh", "-c", "exit 6")
        self.assertEqual(self.inspect("later")["State"], "created")
        lib.moorctl("start", "later")
        self.assertEqual(self.wait_state("later", "exited")["ExitCode"], 6)
        self.assertNotEqual(lib.moorctl("stop", "nosuch", check=False).returncode, 0)


class MistakeTest(ContainerTestCase):
    """A mistake is a sentence at the call, and nothing is left of it."""

    def test_the_command(self):
        for options in ([], ["-d"], ["--rm"], ["--name=wrong"]):
            self.fails(*options, BUSYBOX, "nosuch", status=127, text='"nosuch"')
            self.fails(*options, BUSYBOX, "/etc/passwd", status=126, text="/etc/passwd")
        self.fails(BUSYBOX, "/bin/nosuch", status=127, text="/bin/nosuch")
        self.fails("-u", "user", BUSYBOX, "/root/x", status=127, text="/root/x")

    def test_the_user(self):
        self.fails("-u", "nosuch", BUSYBOX, "true", text='"nosuch"')
        self.fails("-u", "root:nosuch", BUSYBOX, "true", text='"nosuch"')
        self.fails("--group-add=nosuch", BUSYBOX, "true", text='"nosuch"')
        self.fails("-u", "a b", BUSYBOX, "true", text="a b")

    def test_the_mounts(self):
        self.fails("-v", "/nosuch/dir:/d", BUSYBOX, "true", text="/nosuch/dir")
        self.fails("-v", "/tmp:relative", BUSYBOX, "true", text="relative")
        self.fails("-v", "/tmp:/proc/x", BUSYBOX, "true", text="/proc/x")
        self.fails("-v", "/tmp:/d:nosuch", BUSYBOX, "true", text="nosuch")
        self.fails("--tmpfs=/t:size=lots", BUSYBOX, "true", text="size=lots")
        self.fails("-v", "/tmp:/etc/passwd/d", BUSYBOX, "true", text="/etc/passwd")

    def test_the_rest(self):
        self.fails("--hostname=not a name", BUSYBOX, "true", text="not a name")
        self.fails("--network=nowhere", BUSYBOX, "true", text="nowhere")
        self.fails("--cap-add=FLY", BUSYBOX, "true", text="FLY")
        self.fails("--name=-x", BUSYBOX, "true", text="-x")
        self.fails("-w", "relative", BUSYBOX, "true", text="relative")
        self.fails("-w", "/etc/passwd", BUSYBOX, "true", text="/etc/passwd")
        self.fails("--stop-signal=NOSUCH", BUSYBOX, "true", text="NOSUCH")
        self.fails("--pull=never", "127.0.0.1:5000/nosuch:test", "true", text="nosuch")

    def test_a_source_that_went_away_before_the_start(self):
        path = tempfile.mkdtemp(dir="/var/tmp")
        lib.moorctl("create", "--name=sourceless", "-v", f"{path}:/d", BUSYBOX, "true")
        os.rmdir(path)
        result = lib.moorctl("start", "sourceless", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(path, result.stderr)
        self.assertEqual(self.inspect("sourceless")["State"], "created")


class StormTest(ContainerTestCase):
    """Many of them."""

    def parallel(self, commands, jobs=8):
        """Runs command lines, so many at a time; returns the finished ones in order."""

        results = [None] * len(commands)
        numbers = iter(range(len(commands)))
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    i = next(numbers, None)
                if i is None:
                    return
                results[i] = subprocess.run(["moorctl", *commands[i]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                            timeout=60, check=False)

        threads = [threading.Thread(target=work) for _ in range(jobs)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return results

    def test_a_hundred_started_and_stopped(self):
        names = [f"storm{i}" for i in range(100)]
        before = last_event()
        for result in self.parallel([["run", "-d", "--name", n, BUSYBOX, "sh", "-c", OBEDIENT] for n in names]):
            self.assertEqual(result.returncode, 0, result.stderr)
        running = lib.moorctl_json("ps")
        self.assertEqual(len(running), 100)
        self.assertEqual(len({c["LeaderPID"] for c in running}), 100)
        for result in self.parallel([["stop", n] for n in names]):
            self.assertEqual(result.returncode, 0, result.stderr)
        stopped = lib.moorctl_json("ps", "-a")
        self.assertEqual({c["State"] for c in stopped}, {"exited"})
        # One that had not set its trap yet when the signal came is killed in the end.
        self.assertLessEqual({c["ExitCode"] for c in stopped}, {0, 137})
        for result in self.parallel([["rm", n] for n in names]):
            self.assertEqual(result.returncode, 0, result.stderr)
        counts = {}
        for e in events_since(before):
            counts[e["Topic"]] = counts.get(e["Topic"], 0) + 1
        self.assertEqual({topic: counts.get(f"container/{topic}") for topic in ("created", "started", "exited", "stopped", "removed")},
                         dict.fromkeys(("created", "started", "exited", "stopped", "removed"), 100))

    def test_exit_codes_of_two_hundred_short_lives(self):
        commands = [["run", "--rm", BUSYBOX, "sh", "-c", f"exit {i}"] for i in range(100)]
        commands += [["run", "-d", f"--name=short{i}", BUSYBOX, "sh", "-c", f"exit {i}"] for i in range(100)]
        results = self.parallel(commands)
        self.assertEqual([r.returncode for r in results], list(range(100)) + [0] * 100, [r.stderr for r in results if r.stderr])
        for i in range(100):
            ended = self.wait_state(f"short{i}", "exited")
            self.assertEqual(ended["ExitCode"], i)
            self.assertGreaterEqual(ended["FinishedUSec"], ended["StartedUSec"] - 1000)

    def test_outputs_of_many_are_not_mixed(self):
        results = self.parallel([["run", "--rm", BUSYBOX, "sh", "-c", f"echo {i}; echo e{i} >&2"] for i in range(40)])
        self.assertEqual([(r.stdout, r.stderr) for r in results], [(f"{i}\n", f"e{i}\n") for i in range(40)])


class LimitTest(ContainerTestCase):
    """Limits that the kernel enforces, where it has the controllers."""

    hosts = "b"

    def test_memory(self):
        self.detach("hungry", "--memory=32M", "-p", "MemorySwapMax=0", command=("sh", "-c", "tail -c 200000000 /dev/zero"))
        ended = self.wait_state("hungry", "exited")
        self.assertEqual((ended["Result"], ended["ExitCode"], ended["ExitSignal"]), ("oom-kill", 137, "KILL"))

    def test_tasks(self):
        # A shell that cannot fork ends with 2.
        result = self.run_container("--pids-limit=6", BUSYBOX, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done", status=2)
        self.assertIn("fork", result.stderr)

    def test_controllers_show_in_the_control_group(self):
        self.detach("limited", "--memory=64M", "--pids-limit=20", "--cpus=0.5")
        group = "/sys/fs/cgroup" + self.inspect("limited")["ControlGroup"]
        for name, value in (("memory.max", str(64 << 20)), ("pids.max", "20"), ("cpu.max", "50000 100000")):
            with open(f"{group}/{name}", encoding="ascii") as f:
                self.assertEqual(f.read().strip(), value)

    def test_rates_of_a_device_show_in_the_control_group(self):
        device = os.stat("/var/lib/moored").st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        node = "/dev/" + os.path.basename(os.path.realpath(f"/sys/dev/block/{number}"))
        self.detach("slow", f"--device-read-bps={node}:1m", f"--device-write-bps={node}:2m", f"--device-read-iops={node}:300")
        group = "/sys/fs/cgroup" + self.inspect("slow")["ControlGroup"]

        def limits():
            with open(f"{group}/io.max", encoding="ascii") as f:
                return f.read().split()

        self.assertEqual(limits(), [number, "rbps=1048576", "wbps=2097152", "riops=300", "wiops=max"])
        lib.moorctl("update", f"--device-write-bps={node}:3m", "slow")
        self.assertEqual(limits(), [number, "rbps=1048576", "wbps=3145728", "riops=300", "wiops=max"])
