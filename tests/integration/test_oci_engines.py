# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other engines with mooring as their OCI runtime: Debian's podman, for root and for a user, and containerd."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import lib
import lib_oci
from lib_engines import (IMAGE, MOORING, RANGE, RUN, SLEEP, STORAGE, UNTIL_TERM, ContainerdTestCase,
                         PodmanRootlessTestCase, PodmanTestCase, controllers, namespaces, states)
from lib_tty import Tty

# Podman sets a terminal's size when the container runs already.
SIZE = "until stty size 2>/dev/null; do sleep 0.05; done"
WEB = ["sh", "-c", "mkdir /w; echo page >/w/index.html; exec httpd -f -h /w"]
NOTIFY = """
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
time.sleep(0.5)
print("now", flush=True)
s.send(b"READY=1")
time.sleep(1000)
"""


class PodmanTest(PodmanTestCase):
    def test_exit_codes(self):
        self.assertEqual(self.run_container(["true"]).returncode, 0)
        self.assertEqual(self.run_container("exit 7", check=False).returncode, 7)
        for command, code, text in ((["nosuch"], 127, "executable file not found in $PATH"),
                                    (["/nosuch"], 127, "/nosuch"), (["/etc"], 126, "is a directory"),
                                    (["/etc/passwd"], 126, "Permission denied")):
            p = self.run_container(command, check=False)
            self.assertEqual(p.returncode, code, p.stderr)
            self.assertIn(text, p.stderr)
            # The message came by the log, and once.
            self.assertEqual(p.stderr.count("The command"), 1)
        # What only the kernel sees, when the container is started.
        self.podman("create", "--name", "script", "--network=none", IMAGE, "/script")
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("#!/nosuch\n")
            f.flush()
            os.chmod(f.name, 0o755)
            self.podman("cp", f.name, "script:/script")
        p = self.podman("start", "--attach", "script", check=False)
        self.assertEqual(p.returncode, 125)
        self.assertIn("interpreter", p.stderr)

    def test_streams(self):
        p = self.run_container("-i", "cat; echo errors >&2", input="input\n")
        self.assertEqual((p.stdout, p.stderr), ("input\n", "errors\n"))
        # Who is not root may open his standard streams again.
        self.assertEqual(self.output("--user", "user", "echo again >/dev/stdout"), "again\n")
        name = self.start("echo one; echo two >&2; sleep 0.2; exit 6")
        self.assertEqual(self.podman("wait", name).stdout, "6\n")
        p = self.podman("logs", name)
        self.assertEqual((p.stdout, p.stderr), ("one\n", "two\n"))
        name = self.start("-i", ["cat"])
        self.podman("attach", name, input="by attach\n")
        self.assertEqual(self.podman("logs", name).stdout, "by attach\n")

    def test_terminal(self):
        script = f"tty; stat -c %U $(tty); read x; {SIZE}; echo got:$x; exit 4"
        command = self.command("run", "--rm", "-it", "--network=none", "--user", "user", IMAGE, "sh", "-c", script)
        code, shown = lib_oci.on_terminal(command, b"word\r", (33, 77), env=self.environment)
        self.assertEqual(code, 4, shown)
        for line in ("/dev/pts/0", "33 77", "user", "got:word"):
            self.assertIn(line + "\n", shown)
        name = self.start("-t", "tty; sleep 1000")
        self.wait_log(name, "/dev/pts/0")
        command = self.command("exec", "-it", name, "sh", "-c", f"tty; {SIZE}; exit 5")
        code, shown = lib_oci.on_terminal(command, size=(20, 50), env=self.environment)
        self.assertEqual(code, 5, shown)
        self.assertIn("/dev/pts/1\n20 50\n", shown)

    def test_exec(self):
        name = self.start("--security-opt", "no-new-privileges", SLEEP)
        all_caps = "grep -c 'CapEff:.*[1-9a-f].ffff' /proc/self/status"
        for flags, command, out in ((["-e", "A=b"], "echo $A", "b\n"), (["-w", "/tmp"], "pwd", "/tmp\n"),
                                    (["-u", "user"], "id -u; id -G", "1000\n1000 100 2000\n"),
                                    (["-u", "7:8"], "id -u; id -g", "7\n8\n"), (["--privileged"], all_caps, "1\n")):
            self.assertEqual(self.exec(name, *flags, command).stdout, out)
        self.assertEqual(self.exec(name, "-i", ["cat"], input="in\n").stdout, "in\n")
        for command, code in (("exit 9", 9), ("kill -9 $$", 137), (["nosuch"], 127), (["/etc/passwd"], 126),
                              (["/etc"], 126)):
            self.assertEqual(self.exec(name, command, check=False).returncode, code, command)
        self.assertEqual(self.exec(name, "-w", "/nosuch", ["true"], check=False).returncode, 127)
        self.exec(name, "-d", "sleep 0.1; touch /tmp/detached; exec sleep 999")
        lib.wait_until(lambda: self.exec(name, ["ls", "/tmp"]).stdout == "detached\n")
        self.assertIn("sleep 999", self.podman("top", name, "args").stdout)
        self.assertEqual(self.at_once(*[("exec", name, "echo", str(i)) for i in range(6)]), [f"{i}\n" for i in range(6)])

    def test_life(self):
        name = self.start(UNTIL_TERM)
        self.wait_log(name, "ready")
        self.assertEqual(self.podman("ps", "--format", "{{.Names}}").stdout, f"{name}\n")
        self.assertEqual(self.inspect(name, "{{.OCIRuntime}}"), MOORING)
        self.podman("stop", name)
        self.assertEqual(self.inspect(name, "{{.State.Status}} {{.State.ExitCode}}"), "exited 3")
        self.podman("start", name)
        self.podman("restart", "--time", "0", name)
        self.assertEqual(self.status(name), "running")
        self.assertIn("running or paused", self.podman("rm", name, check=False).stderr)
        self.podman("kill", name)
        self.assertEqual(self.podman("wait", name).stdout, f"{128 + signal.SIGKILL}\n")
        self.podman("start", name)
        self.remove(name)
        self.assertEqual(states(), self.states_before)

    def test_what_ends_without_being_asked(self):
        name = self.start(SLEEP)
        os.kill(int(self.inspect(name, "{{.State.Pid}}")), signal.SIGKILL)
        lib.wait_until(lambda: self.status(name) == "exited")
        self.assertEqual(self.inspect(name, "{{.State.ExitCode}}"), "137")
        self.assertNotEqual(self.exec(name, ["true"], check=False).returncode, 0)
        self.podman("start", name)
        self.assertEqual(self.exec(name, "echo again").stdout, "again\n")
        # mooring itself may be asked about it, and told.
        identifier = self.inspect(name, "{{.Id}}")
        self.assertEqual(json.loads(lib.run(["mooring", "state", identifier]).stdout)["status"], "running")
        lib.run(["mooring", "kill", identifier, "KILL"])
        lib.wait_until(lambda: self.status(name) == "exited")

    def test_created_and_initialized(self):
        self.podman("create", "--name", "made", "--network=none", IMAGE, "sh", "-c", "echo ran; exit 5")
        self.podman("init", "made")
        self.assertEqual(self.status("made"), "initialized")
        p = self.podman("start", "--attach", "made", check=False)
        self.assertEqual((p.returncode, p.stdout), (5, "ran\n"))
        self.podman("init", "made")
        self.podman("rm", "--force", "made")

    def test_signals_are_passed_on(self):
        with tempfile.TemporaryFile("w+") as out:
            command = self.command("run", "--rm", "--network=none", IMAGE, *UNTIL_TERM)
            with subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, text=True) as p:
                lib.wait_until(lambda: os.fstat(out.fileno()).st_size > 0, timeout=30)
                p.terminate()
                self.assertEqual(p.wait(timeout=30), 3)
            out.seek(0)
            self.assertEqual(out.read(), "ready\nstopped\n")

    def test_volumes(self):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
            os.mkdir(f"{d}/sub")
            with open(f"{d}/file", "w", encoding="ascii") as f:
                f.write("content\n")
            volumes = (f"{d}:/ro:ro", f"{d}:/rw:z,noexec", f"{d}/file:/etc/one:Z", f"{d}:/over:O", "/anonymous")
            out = self.output(*[f"--volume={v}" for v in volumes],
                              "cat /etc/one; touch /ro/x 2>/dev/null || echo ro; touch /rw/x /over/y /anonymous/z; "
                              "ls /over; grep ' /rw ' /proc/mounts | grep -o noexec")
            self.assertEqual(out.split(), ["content", "ro", "file", "sub", "x", "y", "noexec"])
            self.assertEqual(sorted(os.listdir(d)), ["file", "sub", "x"])
            out = self.output("--user", "1000", "-v", f"{d}:/own:U", "touch /own/y; stat -c %u /own/y /own/file")
            self.assertEqual(out, "1000\n1000\n")
            self.assertEqual(self.run_container("-v", f"{d}/nosuch:/v", ["true"], check=False).returncode, 125)

    def test_temporary_file_systems(self):
        flags = ["--tmpfs", "/small:size=64k,mode=700", "--tmpfs", "/etc", "--mount", "type=tmpfs,dst=/new/dir"]
        out = self.output("--user", "1000", *flags, "grep -c size=64k /proc/mounts; ls /etc/passwd; touch /new/dir/mine; "
                                                    "stat -c %a /small /new/dir")
        self.assertEqual(out.split(), ["1", "/etc/passwd", "700", "1777"])
        out = self.output("--read-only", "--user", "user",
                          "touch /x 2>/dev/null || echo ro; touch /tmp/x && echo tmp; touch /dev/shm/x && echo shm")
        self.assertEqual(out.split(), ["ro", "tmp", "shm"])

    def test_attributes(self):
        files = "/proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax"
        out = self.output("--hostname", "inside", "--umask", "0027", "-e", "A=b", "-w", "/var", "--user", "user",
                          "--group-add", "77", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--oom-score-adj", "500",
                          "--sysctl", "net.ipv4.ip_unprivileged_port_start=80", "--sysctl", "kernel.msgmax=9000",
                          f"hostname; umask; echo $A $container; pwd; id -u; id -G; ulimit -n; ulimit -Hn; cat {files}")
        self.assertEqual(out.split("\n")[:-1], ["inside", "0027", "b podman", "/var", "1000", "1000 77 100 2000", "100",
                                                "200", "500", "80", "9000"])
        p = self.run_container("--sysctl", "net.ipv4.nosuch=1", ["true"], check=False)
        self.assertEqual(p.returncode, 127)
        self.assertIn("net/ipv4/nosuch", p.stderr)

    def test_init(self):
        with open(f"{RUN}/init", "w", encoding="ascii") as f:
            f.write('#!/bin/sh\nshift\necho init $$\nexec "$@"\n')
        os.chmod(f.name, 0o755)
        self.assertEqual(self.output("--init", "--init-path", f.name, ["echo", "command"]), "init 1\ncommand\n")

    def test_privileges(self):
        def of(*flags):
            status = self.output(*flags, "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status")
            values = dict(re.findall(r"(\w+):\t(\w+)", status))
            return int(values["CapEff"], 16), int(values["CapBnd"], 16), values["NoNewPrivs"], values["Seccomp"]

        usual = of()[0]
        self.assertEqual(of("--user", "user"), (0, usual, "0", "2"))
        self.assertEqual(of("--security-opt", "no-new-privileges"), (usual, usual, "1", "2"))
        self.assertEqual(of("--security-opt", "seccomp=unconfined"), (usual, usual, "0", "0"))
        self.assertEqual(of("--cap-drop", "all"), (0, 0, "0", "2"))
        changed = usual & ~1 | 1 << 12
        self.assertEqual(of("--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN"), (changed, changed, "0", "2"))
        privileged = of("--privileged")
        self.assertEqual(privileged[3], "0")
        self.assertEqual(privileged[0] & usual, usual)
        self.assertGreater(privileged[0], usual)
        self.assertEqual(self.output("--privileged", "mkdir /m; mount -t tmpfs t /m; grep -c ' /m ' /proc/mounts"), "1\n")
        self.assertEqual(self.run_container(["unshare", "-m", "true"], check=False).returncode, 1)
        out = self.output("--security-opt", "mask=/etc/passwd:/tmp", "--security-opt", "unmask=ALL",
                          "cat /etc/passwd; ls /tmp | wc -l; grep -c ' /proc/[a-z]' /proc/mounts; true")
        self.assertEqual(out.split(), ["0", "0"])

    def test_devices(self):
        devices = ("/dev/fuse", "/dev/null:/dev/other:r", "/dev/zero:/made/zero")
        out = self.output(*[f"--device={d}" for d in devices], "ls -l /dev/fuse /dev/other /made/zero | cut -c1; "
                                                               "head -c 3 /made/zero | wc -c; ls /dev")
        self.assertEqual(out.split()[:4], ["c", "c", "c", "3"])
        usual = {"full", "null", "ptmx", "pts", "random", "shm", "stdin", "tty", "urandom", "zero"}
        self.assertLessEqual(usual, set(out.split()[4:]))
        out = self.output("--privileged", "--device", "/dev/fuse", *RANGE, "stat -c '%u %F' /dev/fuse; echo x >/dev/null")
        self.assertEqual(out, "0 character special file\n")
        self.assertEqual(self.run_container("--device", "/dev/nosuch", ["true"], check=False).returncode, 125)

    def test_network(self):
        out = self.output("--dns", "192.0.2.1", "--add-host", "other:192.0.2.2",
                          "ip -4 addr show eth0 | grep -c inet; cat /etc/resolv.conf; grep other /etc/hosts", network=None)
        self.assertEqual(out.split(), ["1", "nameserver", "192.0.2.1", "192.0.2.2", "other"])
        web = self.start("--publish", "127.0.0.1:8099:80", WEB, network=None)
        lib.wait_until(lambda: lib.run(["curl", "-s", "http://127.0.0.1:8099/"], check=False).stdout == "page\n")
        self.assertEqual(self.output("wget -q -O - http://127.0.0.1/", network=f"container:{web}"), "page\n")

    def test_namespaces(self):
        show = "for n in pid net ipc uts cgroup user mnt; do readlink /proc/self/ns/$n; done"
        own = namespaces("pid", "net", "ipc", "uts", "cgroup", "user", "mnt")
        here = self.output("--pid=host", "--ipc=host", "--uts=host", "--cgroupns=host", show, network="host").split()
        self.assertEqual(here[:6], own[:6])
        self.assertNotEqual(here[6], own[6])
        name = self.start(SLEEP)
        theirs = namespaces("pid", "net", "ipc", "uts", "cgroup", pid=self.inspect(name, "{{.State.Pid}}"))
        other = f"container:{name}"
        joined = self.output(f"--pid={other}", f"--ipc={other}", f"--uts={other}", show, network=other).split()
        self.assertEqual(joined[:4], theirs[:4])
        self.assertNotIn(joined[4], (own[4], theirs[4]))
        self.assertEqual(self.output(f"--pid={other}", "ps | grep -c 'sleep [1]000'"), "1\n")
        lib.run(["ip", "netns", "add", "test-engines"])
        self.addCleanup(lib.run, ["ip", "netns", "del", "test-engines"])
        self.assertEqual(self.output("readlink /proc/self/ns/net", network="ns:/run/netns/test-engines"),
                         f"net:[{os.stat('/run/netns/test-engines').st_ino}]\n")
        self.assertNotEqual(self.run_container(["true"], network="ns:/run/nosuch", check=False).returncode, 0)

    def pod(self, *flags):
        # Podman's own image for this takes a program that Debian does not install with it.
        self.podman("pod", "create", "--name", "pod", "--infra-image", IMAGE, "--infra-command", "sleep 1000", *flags)
        return "--pod=pod"

    def test_pod(self):
        pod = self.pod()
        name = self.start(pod, WEB, network=None)
        self.assertEqual(self.output(pod, "hostname; ip addr | grep -c eth0", network=None).split(), ["pod", "2"])
        self.assertEqual(self.output(pod, "--user", "user", "wget -q -O - http://127.0.0.1/", network=None), "page\n")
        self.assertEqual(self.exec(name, "hostname").stdout, "pod\n")
        self.podman("pod", "stop", "--time", "0", "pod")
        self.podman("pod", "start", "pod")
        self.assertEqual(self.status(name), "running")
        self.podman("pod", "kill", "pod")
        lib.wait_until(lambda: self.status(name) == "exited")
        self.podman("pod", "rm", "--force", "--time", "0", "pod")
        self.assertEqual(states(), self.states_before)

        pod = self.pod("--share", "pid,ipc,uts", "--network", "none", *RANGE)
        out = self.output(pod, "ps | grep -c 'sleep [1]000'; cat /proc/self/uid_map; hostname", network=None)
        self.assertEqual(out.split(), ["1", "0", "100000", "65536", "pod"])

    def test_user_namespace(self):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
            os.chmod(d, 0o777)
            out = self.output(*RANGE, "-v", f"{d}:/v", "--tmpfs", "/t", "--read-only", "--sysctl", "net.ipv4.ip_forward=1",
                              "cat /proc/self/uid_map; id -u; touch /v/x; stat -c %u /etc/passwd /t /v/x; "
                              "cat /proc/sys/net/ipv4/ip_forward; echo x >/dev/null && echo y >/dev/shm/y")
            self.assertEqual(out.split(), ["0", "100000", "65536", "0", "0", "0", "0", "1"])
            self.assertEqual(os.stat(f"{d}/x").st_uid, 100000)
        self.assertEqual(self.output(*RANGE, "ip -4 addr show eth0 | grep -c inet", network=None), "1\n")
        name = self.start(*RANGE, "--user", "user", SLEEP)
        self.assertEqual(self.exec(name, "id -u; stat -c %u /proc/1").stdout, "1000\n1000\n")
        self.assertEqual(self.exec(name, "-u", "root", "touch /x; stat -c %u /x").stdout, "0\n")
        command = self.command("exec", "-it", name, "sh", "-c", "stat -c %U $(tty); echo x >/dev/tty")
        code, shown = lib_oci.on_terminal(command, env=self.environment)
        self.assertEqual((code, shown.replace("\0", "")), (0, "user\nx\n"))

    def test_user_namespace_of_its_own_choice(self):
        before = {}
        for path in ("/etc/subuid", "/etc/subgid"):
            with open(path, "a+", encoding="ascii") as f:
                f.seek(0)
                before[path] = f.read()
                f.write("containers:2000000:200000\n")

        def restore():
            for path, text in before.items():
                with open(path, "w", encoding="ascii") as f:
                    f.write(text)

        self.addCleanup(restore)
        out = self.output("--userns=auto:size=5000", "cat /proc/self/uid_map; stat -c %u /etc/passwd").split()
        self.assertEqual((out[0], out[2:]), ("0", ["5000", "0"]))
        self.assertGreaterEqual(int(out[1]), 2000000)
        self.assertEqual(self.output("--userns=host", "cat /proc/self/uid_map").split(), ["0", "0", str(2**32 - 1)])

    def test_control_groups(self):
        self.assertNotIn("libpod", self.output("--cgroups=disabled", "--cgroupns=host", "cat /proc/self/cgroup"))
        self.assertRegex(self.output("--cgroupns=host", "tail -n1 /proc/self/cgroup"), r"^0::/machine\.slice/libpod-\w+\.scope")
        self.assertRegex(self.output("--cgroupns=host", "tail -n1 /proc/self/cgroup", options=["--cgroup-manager=cgroupfs"]),
                         r"^0::/libpod_parent/libpod-\w+")
        out = self.output("--systemd=always", "stat -f -c %t /run /sys/fs/cgroup; mkdir /sys/fs/cgroup/sub && echo made")
        self.assertEqual(out.split(), ["1021994", "63677270", "made"])

    def test_health(self):
        name = self.start("--health-cmd", "test -e /tmp/well", "--health-interval=disable", SLEEP)
        self.assertEqual(self.podman("healthcheck", "run", name, check=False).returncode, 1)
        self.exec(name, ["touch", "/tmp/well"])
        self.podman("healthcheck", "run", name)

    @staticmethod
    def write_hook(directory, stage, **hook):
        with open(f"{directory}/{stage}.json", "w", encoding="ascii") as f:
            json.dump({"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": [stage]}, f)

    def test_hooks(self):
        with tempfile.TemporaryDirectory() as d:
            options = ["--hooks-dir", d]
            self.write_hook(d, "createRuntime", path="/bin/sh", args=["sh", "-c", f"cat >{d}/created; echo made >&2"])
            self.write_hook(d, "poststop", path="/bin/sh", args=["sh", "-c", f"cat >{d}/stopped"])
            self.run_container(["true"], options=options)
            with open(f"{d}/created", encoding="ascii") as f:
                self.assertEqual(json.load(f)["status"], "creating")
            lib.wait_until(lambda: os.path.exists(f"{d}/stopped"))
            self.write_hook(d, "createRuntime", path="/bin/false")
            p = self.run_container(["true"], options=options, check=False)
            self.assertEqual(p.returncode, 126)
            self.assertIn("/bin/false", p.stderr)

    def test_notification(self):
        unit = "test-engines.service"
        # The image has no Python: the host's is lent to it.
        lent = [f"--volume=/usr{d}:{target}:ro" for d, target in (("", "/usr"), ("/lib", "/lib"), ("/lib64", "/lib64"))]
        command = self.command("run", "--rm", "--name", "notifier", "--network=none", "--sdnotify=container", *lent, IMAGE,
                               "/usr/bin/python3", "-c", NOTIFY)
        self.addCleanup(lib.run, ["systemctl", "stop", unit], check=False)
        self.addCleanup(self.remove, "notifier")
        # The unit has started when the container says so.
        lib.run(["systemd-run", f"--unit={unit}", "--collect", "--property=Type=notify", "--property=NotifyAccess=all",
                 f"--setenv=CONTAINERS_CONF={RUN}/containers.conf", *command])
        self.assertEqual(lib.unit_properties(unit, "ActiveState"), {"ActiveState": "active"})
        # It is written by somebody else.
        self.wait_log("notifier", "now")
        self.assertEqual(self.podman("logs", "notifier").stdout, "now\n")

    def build(self, directory, *lines, check=True):
        with open(f"{directory}/Containerfile", "w", encoding="ascii") as f:
            f.write("\n".join([f"FROM {IMAGE}", *lines]) + "\n")
        limits = ["--ulimit", "nofile=100:100", "--ulimit", "nproc=100:100"]
        return self.podman("build", "--quiet", "--network=none", "--isolation=oci", *limits, "--tag", "built", directory,
                           check=check)

    def test_build(self):
        with tempfile.TemporaryDirectory() as d:
            self.build(d, "RUN echo content >/built", "USER user", "RUN id -u >/tmp/who", "CMD cat /built /tmp/who")
            self.assertEqual(self.podman("run", "--rm", "--network=none", "built").stdout, "content\n1000\n")
            self.assertNotEqual(self.build(d, "RUN exit 9", check=False).returncode, 0)

    def test_what_it_knows_of_its_runtime(self):
        runtime = json.loads(self.podman("info", "--format", "{{json .Host.OCIRuntime}}").stdout)
        self.assertEqual(runtime["path"], MOORING)
        self.assertTrue(runtime["version"].startswith("mooring version "), runtime)
        self.assertIn("+SECCOMP", runtime["version"])

    def test_several_at_once(self):
        commands = [("run", "--rm", "--network=none", IMAGE, "echo", str(i)) for i in range(8)]
        self.assertEqual(self.at_once(*commands), [f"{i}\n" for i in range(8)])
        names = [self.start(UNTIL_TERM) for _ in range(3)]
        for name in names:
            self.wait_log(name, "ready")
        self.assertEqual(len(self.podman("stop", "--all").stdout.split()), 3)
        self.assertEqual({self.inspect(name, "{{.State.ExitCode}}") for name in names}, {"3"})


class PodmanLimitsTest(PodmanTestCase):
    """What takes controllers."""

    hosts = "b"
    managers = (["--cgroup-manager", "systemd"], ["--cgroup-manager", "cgroupfs"])

    def setUp(self):
        super().setUp()
        if not {"cpu", "memory", "pids"} <= set(controllers()):
            self.skipTest("there are no cgroup controllers here")

    def test_by_default(self):
        """As it is installed: without a configuration, with the limit and the network that podman gives by itself."""

        command = ["podman", "--runtime", MOORING, "--root", STORAGE, "--runroot", f"{RUN}/storage", "run", "--rm", IMAGE,
                   "sh", "-c", "cat /sys/fs/cgroup/pids.max; ip -4 addr show eth0 | grep -c inet"]
        self.assertEqual(lib.run(command).stdout.split(), ["2048", "1"])

    def test_limits(self):
        flags = {"--memory": "64m", "--memory-swap": "96m", "--memory-reservation": "32m", "--cpus": "0.5",
                 "--pids-limit": "77", "--cpuset-cpus": "0", "--cgroup-conf": "memory.high=50331648"}
        expected = {"memory.max": 64 << 20, "memory.swap.max": 32 << 20, "memory.low": 32 << 20, "cpu.max": "50000 100000",
                    "pids.max": 77, "cpuset.cpus": 0, "memory.high": 50331648}
        for options in self.managers:
            out = self.output(*[f"{k}={v}" for k, v in flags.items()], f"cd /sys/fs/cgroup; cat {' '.join(expected)}",
                              options=options)
            self.assertEqual(out.split("\n")[:-1], [str(v) for v in expected.values()])
        p = self.run_container("--cgroup-conf", "memory.nosuch=1", ["true"], check=False)
        self.assertIn("memory.nosuch", p.stderr)
        p = self.run_container("--memory-swappiness", "10", ["true"], check=False)
        self.assertIn("linux.resources.memory.swappiness", p.stderr)

    def test_limits_hold(self):
        p = self.run_container("--pids-limit", "5", "for i in 1 2 3 4 5 6 7 8; do sleep 10 & done; wait", check=False)
        self.assertIn("can't fork", p.stderr)
        out = self.output("--memory", "24m", "--memory-swap", "24m", "--oom-score-adj", "0",
                          "tail /dev/zero; echo $?; grep oom_kill /sys/fs/cgroup/memory.events")
        self.assertEqual(out, "137\noom_kill 1\n")

    def test_pause(self):
        for options in self.managers:
            name = self.start(SLEEP, options=options)
            self.podman("pause", name, options=options)
            self.assertEqual(self.status(name), "paused")
            self.assertNotEqual(self.exec(name, ["true"], check=False, options=options).returncode, 0)
            self.podman("unpause", name, options=options)
            self.assertEqual(self.exec(name, "echo up", options=options).stdout, "up\n")
            self.podman("pause", name, options=options)
            self.remove(name, options)

    def test_statistics_and_update(self):
        for options in self.managers:
            name = self.start(SLEEP, options=options)
            self.exec(name, "-d", ["sleep", "999"], options=options)
            out = self.podman("stats", "--no-stream", "--format", "{{.PIDs}}", name, options=options).stdout
            self.assertEqual(out, "2\n")
            top = self.podman("top", name, "args", options=options).stdout
            self.assertIn("sleep 1000", top)
            self.assertIn("sleep 999", top)
            self.podman("update", "--memory", "50m", "--cpus", "0.3", name, options=options)
            out = self.exec(name, "cd /sys/fs/cgroup; cat memory.max cpu.max", options=options).stdout
            self.assertEqual(out, f"{50 << 20}\n30000 100000\n")
            self.remove(name, options)

    def test_places(self):
        for options, parent, expected in zip(self.managers, ("engines.slice", "/engines"),
                                             (r"/engines\.slice/libpod-\w+\.scope", r"/engines/libpod-\w+")):
            out = self.output(f"--cgroup-parent={parent}", "--cgroupns=host", "tail -n1 /proc/self/cgroup", options=options)
            self.assertRegex(out, f"^0::{expected}\n$")

    def test_devices(self):
        out = self.output("--cap-add", "MKNOD", "--device", "/dev/vda:/dev/disk:r",
                          "head -c 4 /dev/disk | wc -c; (echo >/dev/disk) 2>/dev/null || echo refused; "
                          "mknod /tmp/kmsg c 1 11; cat /tmp/kmsg 2>/dev/null || echo refused")
        self.assertEqual(out.split(), ["4", "refused", "refused"])

    def test_pod(self):
        self.podman("pod", "create", "--name", "pod", "--infra-image", IMAGE, "--infra-command", "sleep 1000",
                    "--memory", "100m")
        name = self.start("--pod=pod", "--memory", "50m", SLEEP, network=None)
        self.assertEqual(self.exec(name, ["cat", "/sys/fs/cgroup/memory.max"]).stdout, f"{50 << 20}\n")
        self.podman("pod", "pause", "pod")
        self.assertEqual(self.status(name), "paused")
        self.podman("pod", "unpause", "pod")
        self.podman("pod", "rm", "--force", "--time", "0", "pod")

    def test_user_namespace(self):
        name = self.start(*RANGE, "--memory", "50m", "--ulimit", "nofile=200000:200000", SLEEP)
        self.assertEqual(self.exec(name, "ulimit -n; cat /sys/fs/cgroup/memory.max /proc/self/uid_map").stdout.split(),
                         ["200000", str(50 << 20), "0", "100000", "65536"])
        self.podman("pause", name)
        self.podman("unpause", name)
        self.remove(name)

    def test_checkpoint(self):
        if not shutil.which("criu"):
            self.skipTest("criu is not installed")
        name = self.start("i=0; while :; do echo $i; i=$((i + 1)); sleep 0.1; done")
        self.wait_log(name, "3")
        self.podman("container", "checkpoint", name)
        self.assertEqual(self.status(name), "exited")
        self.podman("container", "restore", name)
        self.assertEqual(self.status(name), "running")


class PodmanRootlessTest(PodmanRootlessTestCase):
    def test_run(self):
        out = self.output("id -u; cat /proc/self/uid_map; touch /x; stat -c %u /x; echo x >/dev/null; echo y >/dev/stdout")
        self.assertEqual(out.split(), ["0", "0", str(self.uid), "1", "1", str(self.sub_uid), "65536", "0", "y"])
        self.assertEqual(self.output("--user", "user", "id -u; echo again >/dev/stdout"), "1000\nagain\n")
        self.assertEqual(self.podman("run", "--rm", "--network=none", IMAGE, "nosuch", check=False).returncode, 127)
        self.assertEqual(self.output("--pid=host", "--ipc=host", "readlink /proc/self/ns/pid", network="host").split(),
                         namespaces("pid"))
        out = self.output("--read-only", "--tmpfs", "/t", "--device", "/dev/fuse", "--hostname", "inside",
                          "--ulimit", "nofile=100:100",
                          "hostname; ulimit -n; touch /t/x && ls /dev/fuse; touch /x 2>/dev/null || echo ro")
        self.assertEqual(out.split(), ["inside", "100", "/dev/fuse", "ro"])

    def test_user_namespaces(self):
        self.assertEqual(self.output("--userns=keep-id", "id -u"), f"{self.uid}\n")
        out = self.output("--uidmap", "0:1:1000", "--gidmap", "0:1:1000", "cat /proc/self/uid_map").split()
        self.assertEqual((out[0], out[2]), ("0", "1000"))

    def test_exec(self):
        self.podman("run", "--detach", "--name", "c", "--network=none", IMAGE, *SLEEP)
        self.assertEqual(self.podman("exec", "c", "sh", "-c", "id -u; ps | grep -c 'sleep [1]000'").stdout, "0\n1\n")
        out = self.podman("exec", "-u", "user", "-w", "/tmp", "c", "sh", "-c", "id -u; pwd").stdout
        self.assertEqual(out, "1000\n/tmp\n")
        self.assertEqual(self.podman("exec", "c", "nosuch", check=False).returncode, 127)
        code, shown = lib_oci.on_terminal(self.podman_command("exec", "-it", "c", "sh", "-c", "tty; exit 5"))
        self.assertEqual((code, shown.replace("\0", "")), (5, "/dev/pts/0\n"))
        self.podman("pause", "c")
        self.podman("unpause", "c")
        self.podman("stop", "--time", "0", "c")
        self.podman("start", "c")
        self.podman("kill", "c")
        self.assertEqual(self.podman("wait", "c").stdout, "137\n")

    def test_pod(self):
        self.podman("pod", "create", "--name", "pod", "--network", "none", "--infra-image", IMAGE,
                    "--infra-command", "sleep 1000")
        self.assertEqual(self.podman("run", "--rm", "--pod=pod", IMAGE, "hostname").stdout, "pod\n")
        self.podman("pod", "rm", "--force", "--time", "0", "pod")


class ContainerdTest(ContainerdTestCase):
    def test_run(self):
        self.assertEqual(self.output("echo out"), "out\n")
        self.assertEqual(self.run_container("exit 7", check=False).returncode, 7)
        for command, text in (("nosuch", "executable file not found in $PATH"), ("/etc/passwd", "Permission denied")):
            p = self.run_container([command], check=False)
            self.assertNotEqual(p.returncode, 0)
            self.assertIn(f"OCI runtime create failed: The command \"{command}\"", p.stderr)
            self.assertIn(text, p.stderr)
        # ctr overlooks an end of its input that comes before the container is there.
        with subprocess.Popen(self.run_command(self.new_name(), "--rm", ["cat"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            p.stdin.write("in\n")
            p.stdin.flush()
            self.assertEqual(p.stdout.readline(), "in\n")
            p.stdin.close()
            self.assertEqual(p.stdout.read(), "")
        self.assertEqual(p.returncode, 0)

    def test_terminal(self):
        name = self.start(SLEEP)
        execution = self.command("tasks", "exec", "--exec-id", "terminal", "--tty", name, "sh", "-c")
        for command, code in ((self.run_command(self.new_name(), "--rm", "--tty", "")[:-1], 3), (execution, 5)):
            # It ends when what it prints has been read: see listen().
            t = Tty(*command, f"tty; read -r -t 60 line; exit {code}")
            self.addCleanup(t.close)
            t.expect("/dev/pts/0")
            t.send("\r")
            # ctr may complain in between of a size that comes too late.
            self.assertEqual(t.wait(), code)
        self.assertEqual(self.end(name, "--signal", "KILL"), 137)

    def test_life(self):
        name = self.start(UNTIL_TERM)
        self.assertEqual(self.task(name)[1], "RUNNING")
        self.assertEqual(self.exec(name, "echo exec").stdout, "exec\n")
        self.assertEqual(self.exec(name, "--user", "1000:1000", "--cwd", "/tmp", "id -u; pwd").stdout, "1000\n/tmp\n")
        self.assertEqual(self.exec(name, "exit 9", check=False).returncode, 9)
        self.assertIn("OCI runtime exec failed: The command \"nosuch\"", self.exec(name, ["nosuch"], check=False).stderr)
        self.ctr("tasks", "exec", "--detach", "--exec-id", "other", name, "sleep", "999")
        pids = {line.split()[0] for line in self.ctr("tasks", "ps", name).stdout.splitlines()[1:]}
        self.assertIn(self.task(name)[0], pids)
        self.assertGreater(len(pids), 1)
        self.ctr("tasks", "kill", "--exec-id", "other", "--signal", "KILL", name)
        self.ctr("tasks", "pause", name)
        self.assertEqual(self.task(name)[1], "PAUSED")
        self.ctr("tasks", "resume", name)
        self.assertEqual(self.task(name)[1], "RUNNING")
        self.assertIn(name, self.ctr("tasks", "metrics", name).stdout)
        self.assertEqual(self.end(name), 3)

    def test_ends(self):
        name = self.start("--null-io", "sleep 1000 & exec sleep 1000")
        self.assertEqual(self.end(name, "--all", "--signal", "KILL"), 137)
        name = self.start(SLEEP)
        self.ctr("tasks", "rm", "--force", name, check=False)
        self.ctr("containers", "rm", name)
        name = self.start(SLEEP)
        os.kill(int(self.task(name)[0]), signal.SIGKILL)
        self.assertEqual(self.remove(name), 137)

    def test_specification(self):
        out = self.output("--read-only", "--env", "A=b", "--cwd", "/tmp", "--device", "/dev/fuse",
                          "--mount", "type=bind,src=/etc,dst=/host,options=rbind:ro",
                          "touch /x 2>/dev/null || echo ro; echo $A; pwd; ls /dev/fuse; "
                          "touch /host/x 2>/dev/null || ls /host/passwd")
        self.assertEqual(out.split(), ["ro", "b", "/tmp", "/dev/fuse", "/host/passwd"])
        out = self.output("--seccomp", "--cap-add", "CAP_NET_ADMIN", "--cap-drop", "CAP_CHOWN",
                          "grep -E 'Seccomp:|CapEff' /proc/self/status")
        values = dict(re.findall(r"(\w+):\t(\w+)", out))
        self.assertEqual((values["Seccomp"], int(values["CapEff"], 16) & (1 << 12 | 1)), ("2", 1 << 12))
        self.assertEqual(self.output("--privileged", "--net-host", "readlink /proc/self/ns/net").split(), namespaces("net"))
        out = self.output(*RANGE, "cat /proc/self/uid_map; touch /x; stat -c %u /x")
        self.assertEqual(out.split(), ["0", "100000", "65536", "0"])

    def test_control_groups(self):
        place = "/test-engines/engine-place"
        self.assertEqual(self.output("--cgroup", place, "tail -n1 /proc/self/cgroup"), f"0::{place}\n")
        name = self.start("--runc-systemd-cgroup", "--cgroup", "machine.slice:engine:scope", SLEEP)
        with open(f"/proc/{self.task(name)[0]}/cgroup", encoding="ascii") as f:
            self.assertIn("0::/machine.slice/engine-scope.scope", f.read())
        self.assertEqual(lib.unit_properties("engine-scope.scope", "ActiveState"), {"ActiveState": "active"})
        self.assertEqual(self.end(name, "--signal", "KILL"), 137)
        lib.wait_until(lambda: lib.unit_properties("engine-scope.scope", "ActiveState") == {"ActiveState": "inactive"})

    def test_several_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            self.assertEqual(list(pool.map(lambda i: self.output(f"echo {i}"), range(6))), [f"{i}\n" for i in range(6)])

    def test_events(self):
        expected = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
        with tempfile.NamedTemporaryFile("w") as out:
            def topics():
                with open(out.name, encoding="utf-8") as f:
                    return [topic for topic in re.findall(r"/tasks/[a-z-]+", f.read()) if topic in expected]

            with subprocess.Popen(self.command("events"), stdout=out, text=True) as p:
                def hears():
                    self.run_container(["true"])
                    return topics()[-1:] == expected[-1:]

                lib.wait_until(hears, what="it hears of an end")
                before = len(topics())
                self.run_container(["true"])
                lib.wait_until(lambda: expected[-1] in topics()[before:], what="containerd tells the end")
                p.terminate()
            self.assertEqual(topics()[before:], expected)


class ContainerdLimitsTest(ContainerdTestCase):
    """What takes controllers."""

    hosts = "b"

    def setUp(self):
        super().setUp()
        if not {"cpu", "memory", "pids"} <= set(controllers()):
            self.skipTest("there are no cgroup controllers here")

    def test_limits(self):
        for flags in (["--cgroup", "/test-engines/engine-limits"],
                      ["--runc-systemd-cgroup", "--cgroup", "machine.slice:engine:limits"]):
            name = self.start("--memory-limit", "50000000", "--cpus", "0.5", *flags, SLEEP)
            with open(f"/proc/{self.task(name)[0]}/cgroup", encoding="ascii") as f:
                directory = "/sys/fs/cgroup" + f.read().strip().split("::")[1]
            values = []
            for file in ("memory.max", "cpu.max"):
                with open(f"{directory}/{file}", encoding="ascii") as f:
                    values.append(f.read().strip())
            self.assertEqual(values, [str(50000000 // 4096 * 4096), "50000 100000"])
            self.assertRegex(self.ctr("tasks", "metrics", name).stdout, r"pids.current +1 ")
            self.ctr("tasks", "pause", name)
            self.assertEqual(self.task(name)[1], "PAUSED")
            self.ctr("tasks", "resume", name)
            self.assertEqual(self.end(name, "--signal", "KILL"), 137)
