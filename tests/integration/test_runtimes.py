# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers whose process another OCI runtime makes: Debian's runc and crun, and one that is not there."""

import contextlib
import os
import shutil
import tempfile

import lib
from lib_container import BUSYBOX, OBEDIENT, ContainerTestCase, daemon_away, status_of, unit_of
from test_terminal import COUNT, DETACH, TerminalTestCase

CONF = "/etc/moored/moored.conf.d/90-test.conf"
RUNTIMES = ("runc", "crun")

# Writes down what it is called with, and calls runc.
WRAPPER = """#!/bin/sh
for word; do
        case $word in
                create | start | delete) echo "$word" >>{log} ;;
        esac
done
{before}
exec runc "$@"
"""


@contextlib.contextmanager
def configuration(text):
    """moored runs with these lines."""

    os.makedirs(os.path.dirname(CONF), exist_ok=True)
    with open(CONF, "w", encoding="utf-8") as f:
        f.write(text)
    try:
        lib.run(["systemctl", "restart", "moored.service"])
        yield
    finally:
        os.unlink(CONF)
        lib.run(["systemctl", "restart", "moored.service"])


@contextlib.contextmanager
def wrapper(before=""):
    """The path of a runtime that is a script, and that of its log."""

    directory = tempfile.mkdtemp(dir="/var/tmp")
    path, log = os.path.join(directory, "runtime"), os.path.join(directory, "log")
    with open(path, "w", encoding="utf-8") as f:
        f.write(WRAPPER.format(log=log, before=before))
    os.chmod(path, 0o755)
    try:
        yield path, log
    finally:
        shutil.rmtree(directory)


def lines_of(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().split()
    except FileNotFoundError:
        return []


class RuntimesTest(ContainerTestCase):
    def test_they_are_known(self):
        self.assertEqual(lib.busctl_property("/org/moored1", "org.moored1.Manager", "Runtimes"),
                         ["crun", "mooring", "runc"])
        self.assertEqual(lib.busctl_property("/org/moored1", "org.moored1.Manager", "DefaultRuntime"), "mooring")

    def test_exit_codes_and_streams(self):
        for name in RUNTIMES:
            result = self.run_container("-i", f"--runtime={name}", BUSYBOX, "sh", "-c", "cat; echo err >&2; exit 7",
                                        status=7, input="in\n")
            self.assertEqual((result.stdout, result.stderr), ("in\n", "err\n"))
            self.run_container(f"--runtime={name}", BUSYBOX, "sh", "-c", "kill -9 $$; exit 1", status=1)

    def test_what_is_not_there(self):
        for name in RUNTIMES:
            self.fails(f"--runtime={name}", BUSYBOX, "nosuch", status=127, text="not found in $PATH")
            self.fails(f"--runtime={name}", BUSYBOX, "/etc/passwd", status=126, text="exec")
            self.fails(f"--runtime={name}", "-u", "nosuch", BUSYBOX, "true", text="nosuch")
        self.fails("--runtime=nosuch", BUSYBOX, "true", text='no runtime "nosuch"; there are crun, mooring, runc')
        self.fails("--runtime=/etc/passwd", BUSYBOX, "true", text='"/etc/passwd" is no program')
        self.fails("--runtime=a b", BUSYBOX, "true", text="neither a name nor an absolute path")

    def test_the_same_as_with_mooring(self):
        """What a container sees of itself does not depend on who has made it."""

        script = ("id; hostname; pwd; echo $HOME $PATH; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; cat /vol/f; "
                  "touch /root/x || echo read-only; df /x | tail -n1; ls /dev/null /dev/ptmx; cat /proc/1/comm; "
                  "grep 0:: /proc/self/cgroup; cat /etc/hosts; ls /sys/class/net; mount | grep -c /proc/sys")
        directory = tempfile.mkdtemp(dir="/var/tmp")
        try:
            with open(os.path.join(directory, "f"), "w", encoding="utf-8") as f:
                f.write("volume\n")
            seen = {}
            for name in ("mooring", *RUNTIMES):
                result = self.run_container(f"--runtime={name}", "--name=same", "-u", "user:extra", "-w", "/new",
                                            "-v", f"{directory}:/vol:ro", "--tmpfs=/x:size=1m", "--read-only",
                                            "--cap-drop=KILL", BUSYBOX, "sh", "-c", script)
                seen[name] = result.stdout
            for name in RUNTIMES:
                self.assertEqual(seen[name], seen["mooring"])
        finally:
            shutil.rmtree(directory)

    def test_there_is_no_shim(self):
        for name in RUNTIMES:
            before = lib.mountinfo_count()
            self.detach(f"one{name}", f"--runtime={name}")
            state = self.inspect(f"one{name}")
            pid = state["LeaderPID"]
            self.assertEqual(state["Runtime"], name)
            self.assertEqual(int(lib.unit_properties(unit_of(f"one{name}"), "MainPID")["MainPID"]), pid)
            self.assertEqual(status_of(pid)["PPid"], "1")
            lib.wait_until(lambda: lib.processes("mooring", "runc", "crun") == {}, what="only the container is there")
            with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
                self.assertIn(f"{state['ControlGroup']}/container\n", f.read())
            self.assertEqual(lib.mountinfo_count(), before)
            self.assertEqual(os.listdir("/run/moored/rootfs"), [])
            # Its own tools know nothing of it: there is no state but the bundle's.
            self.assertFalse(os.path.exists(f"/run/{name}/one{name}"))

            lib.moorctl("stop", f"one{name}")
            self.assertEqual(self.inspect(f"one{name}")["ExitCode"], 0)
            lib.moorctl("start", f"one{name}")
            self.assertNotEqual(self.inspect(f"one{name}")["LeaderPID"], pid)
            lib.moorctl("rm", "-f", f"one{name}")

    def test_execs_and_health(self):
        for name in RUNTIMES:
            self.detach(f"exec{name}", f"--runtime={name}", "-u", "user", "--health-cmd=true",
                        "--health-interval=200ms", "--sdnotify=healthy", command=("sleep", "1000"))
            pid = self.inspect(f"exec{name}")["LeaderPID"]
            result = lib.moorctl("exec", f"exec{name}", "sh", "-c", "id -un; grep 0:: /proc/self/cgroup; "
                                 "for n in /proc/self/ns/*; do readlink $n; done; exit 4", check=False)
            self.assertEqual(result.returncode, 4, result.stderr)
            lines = result.stdout.splitlines()
            # It is where the container is, which that sees as the topmost group.
            self.assertEqual(lines[:2], ["user", "0::/"])
            for kind in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
                self.assertIn(os.readlink(f"/proc/{pid}/ns/{kind}"), lines)
            lib.moorctl("pause", f"exec{name}")
            self.assertEqual(self.inspect(f"exec{name}")["State"], "paused")
            lib.moorctl("resume", f"exec{name}")
            lib.moorctl("rm", "-f", f"exec{name}")

    def test_the_daemon_may_be_away(self):
        for name in RUNTIMES:
            self.detach(f"away{name}", f"--runtime={name}", command=("sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait"))
            pid = self.inspect(f"away{name}")["LeaderPID"]
            with daemon_away():
                os.kill(pid, 15)
                lib.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="it has ended")
            state = self.wait_state(f"away{name}", "exited")
            self.assertEqual(state["ExitCode"], 5)
            lib.moorctl("rm", f"away{name}")

    def test_systemd_restarts_it(self):
        for name in RUNTIMES:
            self.detach(f"again{name}", f"--runtime={name}", "--restart=on-failure:3", "-p", "RestartSec=10ms",
                        command=("sh", "-c", OBEDIENT))
            pid = self.inspect(f"again{name}")["LeaderPID"]
            os.kill(pid, 9)
            lib.wait_until(lambda: self.inspect(f"again{name}")["LeaderPID"] not in (0, pid), what="it runs again")
            self.assertEqual(self.inspect(f"again{name}")["RestartCount"], 1)
            lib.moorctl("rm", "-f", f"again{name}")

    def test_a_name_of_ones_own(self):
        with wrapper() as (path, log), configuration(f"[Runtimes]\nmine={path}\ngone=/nosuch\n[Container]\nRuntime=mine\n"):
            self.assertEqual(lib.busctl_property("/org/moored1", "org.moored1.Manager", "Runtimes"),
                             ["crun", "mine", "mooring", "runc"])
            self.assertEqual(lib.busctl_property("/org/moored1", "org.moored1.Manager", "DefaultRuntime"), "mine")
            self.run_container(BUSYBOX, "true")
            lib.wait_until(lambda: lines_of(log) == ["create", "start", "delete"], what="the container is deleted")
            self.run_container("--runtime=mooring", BUSYBOX, "true")
            self.assertEqual(len(lines_of(log)), 3)
            self.fails("--runtime=gone", BUSYBOX, "true", text='"/nosuch" is no program')
            lib.moorctl("create", "--name=kept", BUSYBOX, "true")
            self.assertEqual(self.inspect("kept")["Runtime"], "mine")
        # Its name means nothing any more; that is said when it is to start.
        result = lib.moorctl("start", "kept", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn('no runtime "mine"', result.stderr)
        lib.moorctl("rm", "kept")

    def test_by_its_path(self):
        with wrapper() as (path, log):
            self.run_container(f"--runtime={path}", BUSYBOX, "sh", "-c", "exit 3", status=3)
            lib.wait_until(lambda: lines_of(log) == ["create", "start", "delete"], what="the container is deleted")

    def test_one_that_fails(self):
        with wrapper("echo oops >&2; exit 9") as (path, log):
            self.fails(f"--runtime={path}", BUSYBOX, "true", text=f'"{path} create" has failed with exit code 9')
            self.assertEqual(lines_of(log), ["create"])
        with wrapper('case " $* " in *" start "*) exit 9 ;; esac') as (path, log):
            result = lib.moorctl("run", "--rm", f"--runtime={path}", BUSYBOX, "true", check=False)
            self.assertEqual(result.returncode, 137, result.stderr)
            lib.wait_until(lambda: lines_of(log) == ["create", "start", "delete"], what="the container is deleted")

    def test_the_runtime_sees_no_group_but_the_units(self):
        with wrapper("ls -d /sys/fs/cgroup/*/ >>/var/tmp/groups; cat /proc/self/cgroup >>/var/tmp/groups") as (path, _):
            try:
                self.run_container(f"--runtime={path}", BUSYBOX, "true")
                seen = lines_of("/var/tmp/groups")
                self.assertIn("0::/launcher", seen)
                self.assertEqual({s for s in seen if s.startswith("/")} - {"/sys/fs/cgroup/launcher/", "/sys/fs/cgroup/container/"},
                                 set())
            finally:
                os.unlink("/var/tmp/groups")


class TerminalTest(TerminalTestCase):
    """Made by the runtime, kept by moored."""

    def test_left_and_joined_again(self):
        # The longest name: the runtime's socket has an address of 107 bytes.
        container = "shown" + "-" * 50
        for name in RUNTIMES:
            with self.subTest(name):
                t = self.run_tty(f"--runtime={name}", f"--name={container}", "-u", "user", "--env=PS1=ready: ", BUSYBOX, "sh",
                                 rows=33, columns=101)
                t.expect("ready: ")
                t.send("stty size; tty; id -u; test -c /dev/console && echo con''sole; stat -c %u /dev/pts/0\r")
                t.expect("33 101\r\n/dev/pts/0\r\n1000\r\nconsole\r\n1000\r\n")
                lib.kill9_moored()
                t.send("echo st''ill\r")
                t.expect("still\r\n")
                t.send(DETACH)
                self.assertEqual(t.wait(), 0)
                t = self.tty("moorctl", "attach", container, rows=44, columns=99)
                t.expect("ready: ")
                t.send("\x15stty size; exit 7\r")
                t.expect("44 99\r\n")
                self.assertEqual(t.wait(), 7)

    def test_output_to_the_last_byte(self):
        for name in RUNTIMES:
            for n in (1, 5000):
                t = self.run_tty(f"--runtime={name}", BUSYBOX, "sh", "-c", COUNT.format(n=n))
                self.assertEqual(t.wait(), 5)
                self.assertEqual(t.data.replace(b"\r", b""), b"".join(b"line-%d\n" % i for i in range(n)))

    def test_each_run_has_one(self):
        for name in RUNTIMES:
            lib.moorctl("run", "-d", "-it", f"--runtime={name}", f"--name=again{name}", "--restart=on-failure", "--env=PS1=ready: ",
                        BUSYBOX, "sh")
            t = self.tty("moorctl", "attach", f"again{name}")
            for _ in range(2):
                t.expect("ready: ")
                t.send("exit 1\r")
            t.expect("ready: ")
            t.send("exit 0\r")
            self.assertEqual(t.wait(), 0)


class LimitsTest(ContainerTestCase):
    """Limits are the unit's, whoever has made the container."""

    hosts = "b"

    def test_memory(self):
        for name in RUNTIMES:
            with self.subTest(name):
                self.detach(f"limit{name}", f"--runtime={name}", "--memory=64M", "--pids-limit=50", command=("sleep", "1000"))
                group = "/sys/fs/cgroup" + self.inspect(f"limit{name}")["ControlGroup"]
                with open(f"{group}/memory.max", encoding="ascii") as f:
                    self.assertEqual(int(f.read()), 64 << 20)
                result = lib.moorctl("exec", f"limit{name}", "sh", "-c", "grep 0:: /proc/self/cgroup; exec dd if=/dev/zero of=/dev/null bs=200M count=1",
                                     check=False, timeout=300)
                self.assertEqual(result.stdout, "0::/\n")
                self.assertEqual(result.returncode, 137, result.stderr)
                self.assertEqual(self.inspect(f"limit{name}")["State"], "running")
                lib.moorctl("rm", "-f", f"limit{name}")
