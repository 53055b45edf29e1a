# SPDX-License-Identifier: LGPL-2.1-or-later
"""mooring's create, start, run and exec: the process, its namespaces, hooks, terminals and descriptors."""

import array
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

import lib
import lib_oci
from lib_oci import config

SLEEP = ["sleep", "1000"]


def hook(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **more}


class RunTestCase(lib_oci.OciTestCase):
    hosts = "a"

    def create(self, spec, *options):
        name = self.new(spec)
        with tempfile.TemporaryFile("w+") as output:
            p = subprocess.run(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "create", *options, name],
                               cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60,
                               check=False)
            output.seek(0)
            self.assertEqual(p.returncode, 0, output.read())
        return name

    def state(self, name):
        return json.loads(self.mooring("state", name).stdout)

    def status(self, name):
        return self.state(name)["status"]

    def exists(self, name):
        return self.mooring("state", name, check=False).returncode == 0

    def exec(self, name, *args, check=True, **kwargs):
        p = self.mooring("exec", *args[:-1], name, *args[-1], check=False, **kwargs)
        if check:
            self.assertEqual(p.returncode, 0, p.stderr)
        return p.returncode, p.stdout, p.stderr

    def nothing_left(self):
        self.assertEqual(os.listdir(self.states), [])
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)


class ProcessTest(RunTestCase):
    def test_exit_codes(self):
        self.assertEqual(self.run_container(config(["sh", "-c", "exit 7"]), check=False)[0], 7)
        self.assertEqual(self.run_container(config(["sh", "-c", "kill -9 $$"], namespaces=("mount",)), check=False)[0],
                         128 + signal.SIGKILL)
        self.nothing_left()

    def test_commands_that_cannot_be_executed(self):
        self.refused(config(["nosuch"]), "nosuch", "executable file not found in $PATH")
        self.refused(config(["/nosuch"]), "No such file or directory")
        self.refused(config(["/etc/passwd"]), "Permission denied")
        self.refused(config(["/etc"]), "is a directory", "Permission denied")
        # What only the kernel sees is told by start: the container has been there.
        for content, text in (("#!/nosuch\n", "interpreter"), ("what is this?\0", "Exec format error")):
            with open(f"{self.bundle}/rootfs/program", "w", encoding="utf-8") as f:
                f.write(content)
            os.chmod(f.name, 0o755)
            self.refused(config(["/program"]), "/program", text)
            os.unlink(f.name)

    def test_identity(self):
        spec = config(["sh", "-c", "id -u; id -g; id -G; umask; pwd; echo $HOME"],
                      process={"user": {"uid": 1000, "gid": 1001, "umask": 0o27, "additionalGids": [5, 6]}, "cwd": "/made/here"})
        self.assertEqual(self.output(spec).split("\n")[:6],
                         ["1000", "1001", "1001 5 6", "0027", "/made/here", "/home/alice"])

    def test_a_masked_passwd_is_an_empty_one(self):
        spec = config(["sh", "-c", "echo $HOME; cat /etc/passwd"], linux={"maskedPaths": ["/etc/passwd", "/etc/group"]})
        self.assertEqual(self.output(spec), "/\n")

    def test_stdio_is_the_users(self):
        with tempfile.TemporaryFile() as f:
            spec = config(["sh", "-c", "echo again >/proc/self/fd/1"], process={"user": {"uid": 1000, "gid": 1001}})
            subprocess.run(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "run", self.new(spec)],
                           cwd=self.bundle, stdout=f, check=True, timeout=60)
            self.assertEqual((os.fstat(f.fileno()).st_uid, os.fstat(f.fileno()).st_gid), (1000, 1001))
            self.assertEqual(os.stat("/dev/null").st_uid, 0)

    def test_signals_are_passed_on(self):
        spec = config(["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"])
        p = subprocess.Popen(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "run", self.new(spec)],
                             cwd=self.bundle, stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(timeout=30), 3)
        p.stdout.close()
        self.nothing_left()

    def test_keep(self):
        name = self.new(config(["true"]))
        self.mooring("run", "--keep", name)
        self.assertEqual(self.status(name), "stopped")
        self.assertIn("already", self.mooring("run", "--keep", name, check=False).stderr)
        self.mooring("delete", name)
        self.nothing_left()

    def test_preserved_descriptors(self):
        show = config(["sh", "-c", "for i in /proc/self/fd/*; do echo ${i##*/}; done"])
        read, write = os.pipe()
        # A number of its own, whatever else this process has open.
        high = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, 50)
        try:
            run = ["mooring", "--root", self.states, "--cgroup-manager", "disabled", "run"]
            # ls has one more open: the directory.
            without = subprocess.run([*run, self.new(show)], cwd=self.bundle, capture_output=True, text=True,
                                     pass_fds=(high,), check=True, timeout=60).stdout.split()
            self.assertNotIn(str(high), without)
            kept = subprocess.run([*run, "--preserve-fds", "100", self.new(show)], cwd=self.bundle, capture_output=True,
                                  text=True, pass_fds=(high,), check=True, timeout=60).stdout.split()
            self.assertEqual(sorted(set(kept) - set(without)), [str(high)])
        finally:
            for fd in (read, write, high):
                os.close(fd)

    def test_socket_activation(self):
        read, write = os.pipe()
        spec = config(["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $$; echo passed >&3"])
        try:
            script = 'exec 3>&%d; export LISTEN_FDS=1 LISTEN_PID=$$; exec mooring --root %s --cgroup-manager disabled run %s'
            out = subprocess.run(["bash", "-c", script % (write, self.states, self.new(spec))], cwd=self.bundle, check=True,
                                 capture_output=True, text=True, pass_fds=(write,), timeout=60).stdout
            self.assertEqual(out, "1 1 1\n")
            self.assertEqual(os.read(read, 100), b"passed\n")
        finally:
            os.close(read)
            os.close(write)


class StartTest(RunTestCase):
    def test_nothing_runs_before_the_start(self):
        name = self.create(config(["sh", "-c", "touch /started; sleep 1000"]))
        self.addCleanup(lambda: os.unlink(f"{self.bundle}/rootfs/started"))
        self.assertEqual(self.status(name), "created")
        self.assertFalse(os.path.exists(f"{self.bundle}/rootfs/started"))
        self.mooring("start", name)
        lib.wait_until(lambda: os.path.exists(f"{self.bundle}/rootfs/started"))
        self.assertEqual(self.status(name), "running")
        self.assertIn("running", self.mooring("start", name, check=False).stderr)

    def test_one_start_of_two(self):
        name = self.create(config(SLEEP))
        starts = [subprocess.Popen(["mooring", "--root", self.states, "start", name], stderr=subprocess.DEVNULL)
                  for _ in range(2)]
        self.assertEqual(sorted(p.wait(timeout=30) for p in starts), [0, 1])

    def test_start_after_inits_death(self):
        name = self.create(config(SLEEP))
        os.kill(self.state(name)["pid"], signal.SIGKILL)
        lib.wait_until(lambda: self.status(name) == "stopped")
        self.assertIn("stopped", self.mooring("start", name, check=False).stderr)

    def test_pid_file_and_pidfd(self):
        path = f"{self.states}/pidfd"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            name = self.create(config(SLEEP), "--pid-file", f"{self.states}.pid", "--pidfd-socket", path)
            os.unlink(path)
            pid = self.state(name)["pid"]
            with open(f"{self.states}.pid", encoding="utf-8") as f:
                self.assertEqual(f.read(), str(pid))
            os.unlink(f"{self.states}.pid")
            connection = listener.accept()[0]
            _, data, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
            connection.close()
        pidfd = array.array("i", data[0][2])[0]
        with open(f"/proc/self/fdinfo/{pidfd}", encoding="utf-8") as f:
            self.assertIn(f"Pid:\t{pid}\n", f.read())
        os.close(pidfd)

    def test_a_creation_that_is_killed(self):
        """Its half-made container is no obstacle: it is deleted like any other."""

        spec = config(SLEEP, hooks={"createRuntime": [hook(f"echo $$ >{self.states}.hook; sleep 1000")]})
        name = self.new(spec)
        p = subprocess.Popen(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "create", name],
                             cwd=self.bundle, stdin=subprocess.DEVNULL)
        lib.wait_until(lambda: os.path.exists(f"{self.states}.hook"))
        p.kill()
        p.wait()
        os.unlink(f"{self.states}.hook")
        self.mooring("delete", "--force", name)
        self.nothing_left()

    def test_notification(self):
        """What the container says about its readiness arrives at the service manager; who it is it cannot say."""

        path = f"{self.states}.notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            self.addCleanup(os.unlink, path)
            manager.settimeout(30)
            script = "ls $NOTIFY_SOCKET; sleep 1000"
            name = self.new(config(["sh", "-c", script]))
            p = subprocess.Popen(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "run", "--detach", name],
                                 cwd=self.bundle, env={**os.environ, "NOTIFY_SOCKET": path}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
            sock = f"{self.states}/{name}/notify/notify"
            lib.wait_until(lambda: os.path.exists(sock) and self.exists(name))
            time.sleep(0.1)
            self.assertIsNone(p.poll())
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as container:
                container.sendto(b"FDSTORE=1\nSTATUS=warm\nREADY=1\nMAINPID=1", sock)
            said = manager.recv(4096).decode().split("\n")
            self.assertEqual(p.wait(timeout=30), 0)
            self.assertEqual(said, ["STATUS=warm", f"MAINPID={self.state(name)['pid']}", "READY=1"])

    def test_notification_of_a_foreground_container(self):
        """The service's main process is mooring then, and stays it."""

        path = f"{self.states}.notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            self.addCleanup(os.unlink, path)
            manager.settimeout(30)
            name = self.new(config(["sh", "-c", "read line"]))
            p = subprocess.Popen(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "run", name],
                                 cwd=self.bundle, env={**os.environ, "NOTIFY_SOCKET": path}, stdin=subprocess.PIPE)
            sock = f"{self.states}/{name}/notify/notify"
            lib.wait_until(lambda: os.path.exists(sock) and self.exists(name))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as container:
                container.sendto(b"READY=1", sock)
            self.assertEqual(manager.recv(4096), b"READY=1")
            p.communicate(b"\n", timeout=30)
            self.assertEqual(p.returncode, 0)


class NamespaceTest(RunTestCase):
    def test_user_and_time(self):
        mapping = [{"containerID": 0, "hostID": 200000, "size": 65536}]
        spec = config(["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; cut -d' ' -f1 /proc/uptime; id -u"],
                      namespaces=("pid", "mount", "uts", "ipc", "network", "user", "time"),
                      linux={"uidMappings": mapping, "gidMappings": mapping,
                             "timeOffsets": {"boottime": {"secs": 1000000000}}})
        os.chown(f"{self.bundle}/rootfs", 200000, 200000)
        self.addCleanup(os.chown, f"{self.bundle}/rootfs", 0, 0)
        lines = self.output(spec).split("\n")
        self.assertEqual([line.split() for line in lines[:2]], [["0", "200000", "65536"]] * 2)
        self.assertGreater(float(lines[2]), 1e9)
        self.assertEqual(lines[3], "0")

    def test_joined(self):
        first = self.start_container(config(SLEEP, hostname="first"))
        pid = self.state(first)["pid"]
        spec = config(["sh", "-c", "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; cat /proc/1/comm"],
                      namespaces=("mount",))
        spec["linux"]["namespaces"] += [{"type": t, "path": f"/proc/{pid}/ns/{f}"} for t, f in (
            ("uts", "uts"), ("network", "net"), ("ipc", "ipc"), ("pid", "pid"))]
        self.assertEqual(self.output(spec).split("\n")[:4],
                         ["first", os.readlink(f"/proc/{pid}/ns/net"), os.readlink(f"/proc/{pid}/ns/ipc"), "sleep"])

    def test_joined_user_namespace(self):
        mapping = [{"containerID": 0, "hostID": 0, "size": 1000}]
        both = {"uidMappings": mapping, "gidMappings": mapping}
        first = self.start_container(config(SLEEP, namespaces=("pid", "mount", "user", "network"), linux=both))
        pid = self.state(first)["pid"]
        spec = config(["sh", "-c", "readlink /proc/self/ns/user; readlink /proc/self/ns/net"], namespaces=("mount", "pid"))
        spec["linux"]["namespaces"] += [{"type": "user", "path": f"/proc/{pid}/ns/user"},
                                        {"type": "network", "path": f"/proc/{pid}/ns/net"}]
        self.assertEqual(self.output(spec).split(), [os.readlink(f"/proc/{pid}/ns/{n}") for n in ("user", "net")])

    def test_refused(self):
        spec = config(["true"], namespaces=("mount",))
        spec["linux"]["namespaces"].append({"type": "network", "path": "/proc/1/ns/uts"})
        self.refused(spec, "/proc/1/ns/uts", "network")
        spec["linux"]["namespaces"][-1]["path"] = "/nosuch"
        self.refused(spec, "/nosuch")


class HookTest(RunTestCase):
    TYPES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

    def test_order_and_state(self):
        log = f"{self.bundle}/rootfs/log"
        os.mkfifo(f"{self.bundle}/rootfs/gate")
        self.addCleanup(os.unlink, f"{self.bundle}/rootfs/gate")
        self.addCleanup(os.unlink, log)
        hooks = {t: [hook(f"(echo -n '{t} '; cat; echo) >>{'/log' if t == 'startContainer' else log}")] for t in self.TYPES}
        spec = config(["sh", "-c", "echo 'process {}' >>/log; cat /gate >/dev/null"], hooks=hooks)
        name = self.create(spec)
        pid = self.state(name)["pid"]
        self.mooring("start", name)
        with open(f"{self.bundle}/rootfs/gate", "w", encoding="utf-8"):
            pass
        lib.wait_until(lambda: self.status(name) == "stopped")
        self.mooring("delete", name)
        with open(log, encoding="utf-8") as f:
            entries = [line.split(" ", 1) for line in f.read().splitlines()]
        names = [n for n, _ in entries]
        # The command and poststart are not in order with each other.
        self.assertEqual([n for n in names if n != "process"], list(self.TYPES))
        self.assertEqual([n for n in names if n != "poststart"],
                         ["prestart", "createRuntime", "createContainer", "startContainer", "process", "poststop"])
        states = {n: json.loads(text) for n, text in entries}
        self.assertEqual([states[n]["status"] for n in self.TYPES],
                         ["creating", "creating", "creating", "created", "running", "stopped"])
        for n in self.TYPES:
            self.assertEqual((states[n]["id"], states[n]["bundle"]), (name, self.bundle))
        # Those that run in the container see it as that does.
        self.assertEqual([states[n]["pid"] for n in self.TYPES[:5]], [pid, pid, 1, 1, pid])

    def test_where_they_run(self):
        root = f"{self.bundle}/rootfs"
        hooks = {
            "createRuntime": [hook("readlink /proc/self/ns/mnt >&2; test ! -e rootfs/proc/self")],
            "createContainer": [hook("readlink /proc/self/ns/mnt >&2; test -e rootfs/proc/self && test -e /usr/lib/moored")],
            "startContainer": [hook("readlink /proc/self/ns/mnt >&2; test ! -e /usr/lib/moored")],
        }
        _, out, err = self.run_container(config(["readlink", "/proc/self/ns/mnt"], hooks=hooks))
        runtime, container, start = err.split()
        self.assertEqual(runtime, os.readlink("/proc/self/ns/mnt"))
        self.assertEqual([container, start], [out.strip()] * 2)
        self.assertFalse(os.path.exists(f"{root}/proc/self"))

    def test_they_come_before_the_root_is_read_only(self):
        hooks = {"createContainer": [hook("touch rootfs/by-hook && echo secret >rootfs/masked")]}
        self.addCleanup(os.unlink, f"{self.bundle}/rootfs/by-hook")
        self.addCleanup(os.unlink, f"{self.bundle}/rootfs/masked")
        spec = config(["sh", "-c", "ls /by-hook; cat /masked; touch /x"], hooks=hooks, linux={"maskedPaths": ["/masked"]})
        spec["root"]["readonly"] = True
        code, out, err = self.run_container(spec, check=False)
        self.assertEqual((code, out), (1, "/by-hook\n"))
        self.assertIn("Read-only", err)

    def test_failures(self):
        for t in self.TYPES[:5]:
            with self.subTest(hook=t):
                self.refused(config(["true"], hooks={t: [hook("exit 7"), hook("touch /nosuch/never")]}),
                             f"{t} hook failed with exit code 7")
        code, _, err = self.run_container(config(["true"], hooks={"poststop": [hook("exit 7")]}))
        self.assertEqual(code, 0)
        self.assertIn("poststop hook failed with exit code 7", err)
        self.refused(config(["true"], hooks={"createRuntime": [{"path": "/nosuch/hook"}]}), "/nosuch/hook")
        self.nothing_left()

    def test_failing_start(self):
        name = self.create(config(SLEEP, hooks={"startContainer": [hook("exit 7")]}))
        self.assertIn("startContainer hook failed", self.mooring("start", name, check=False).stderr)
        self.assertEqual(self.status(name), "stopped")
        name = self.create(config(SLEEP, hooks={"poststart": [hook("exit 7")]}))
        self.assertIn("poststart hook failed", self.mooring("start", name, check=False).stderr)
        self.assertFalse(self.exists(name))

    def test_timeout(self):
        pid_file = f"{self.states}.hook"
        hooks = {"createRuntime": [hook(f"echo $$ >{pid_file}; exec sleep 1000", timeout=1)]}
        self.refused(config(["true"], hooks=hooks), "timeout", "1")
        with open(pid_file, encoding="utf-8") as f:
            self.assertFalse(os.path.exists(f"/proc/{f.read().strip()}"))
        os.unlink(pid_file)

    def test_environment_and_output(self):
        hooks = {"createRuntime": [{"path": "/usr/bin/env", "env": ["ONLY=this"]}]}
        self.assertEqual(self.output(config(["true"], hooks=hooks)), "ONLY=this\n")
        log = f"{self.states}.log"
        spec = config(["true"], hooks={"createRuntime": [hook("echo once")], "poststop": [hook("echo twice")]},
                      annotations={"run.oci.hooks.stdout": log})
        self.assertEqual(self.output(spec), "")
        with open(log, encoding="utf-8") as f:
            self.assertEqual(f.read(), "once\ntwice\n")
        os.unlink(log)


class TerminalTest(RunTestCase):
    def spec(self, args, **process):
        spec = config(args, process={"terminal": True, "env": [lib_oci.PATH, "TERM=xterm"], **process})
        spec["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]})
        return spec

    def on_terminal(self, *args, keys=b""):
        """A command of mooring's on a terminal: (exit code, what it showed)."""

        return lib_oci.on_terminal(["mooring", "--root", self.states, "--cgroup-manager", "disabled", *args], keys, cwd=self.bundle)

    def test_run(self):
        spec = self.spec(["sh", "-c", "tty; stty size </dev/console; ls -l /dev/console | cut -c1; read x; echo got:$x; exit 4"],
                         consoleSize={"height": 25, "width": 81}, user={"uid": 1000, "gid": 1001})
        code, shown = self.on_terminal("run", self.new(spec), keys=b"word\r")
        self.assertEqual(code, 4, shown)
        self.assertIn("/dev/pts/0\n", shown)
        self.assertIn("\nc\n", shown)
        self.assertIn("got:word\n", shown)
        self.nothing_left()

    def test_size(self):
        code, shown = self.on_terminal("run", self.new(self.spec(["stty", "size"], consoleSize={"height": 25, "width": 81})))
        self.assertEqual(code, 0, shown)
        self.assertEqual(shown, "25 81\n")

    def test_console_socket(self):
        path = f"{self.states}/console"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(30)
            name = self.create(self.spec(["sh", "-c", "echo shown; sleep 1000"]), "--console-socket", path)
            os.unlink(path)
            connection = listener.accept()[0]
            _, data, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
            connection.close()
        master = array.array("i", data[0][2])[0]
        self.mooring("start", name)
        self.assertTrue(select.select([master], [], [], 30)[0])
        self.assertEqual(os.read(master, 100), b"shown\r\n")
        os.close(master)

    def test_nobody_to_show_it(self):
        p = self.mooring("create", self.new(self.spec(SLEEP)), check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("use --console-socket", p.stderr)
        self.nothing_left()

    def test_without_devpts(self):
        spec = self.spec(["true"])
        del spec["mounts"][-1]
        code, shown = self.on_terminal("run", self.new(spec))
        self.assertEqual(code, 1)
        self.assertIn("devpts", shown)
        self.nothing_left()

    def test_exec(self):
        name = self.start_container({**self.spec(SLEEP), "process": config(SLEEP)["process"]})
        code, shown = self.on_terminal("exec", "-t", "--user", "1000:1001", name, "sh", "-c", "tty; ls -ln /dev/pts/0; exit 5")
        self.assertEqual(code, 5, shown)
        self.assertIn("/dev/pts/0\n", shown)
        self.assertRegex(shown, r" 1000 +\d+ ")


class ExecTest(RunTestCase):
    def test_it_joins(self):
        name = self.start_container(config(SLEEP, hostname="inside"))
        pid = self.state(name)["pid"]
        _, out, _ = self.exec(name, ["sh", "-c", "hostname; for n in mnt pid net; do readlink /proc/self/ns/$n; done; ls /"])
        lines = out.split("\n")
        self.assertEqual(lines[:4], ["inside", *(os.readlink(f"/proc/{pid}/ns/{n}") for n in ("mnt", "pid", "net"))])
        self.assertNotIn("var", lines)

    def test_by_root_of_a_user_namespace(self):
        # As engines without privileges do it: the pid namespace that they are in is not theirs.
        name = self.new(config(SLEEP))
        mooring = f"mooring --root {self.states} --cgroup-manager disabled"
        out = lib.run(["unshare", "--user", "--map-root-user", "sh", "-c",
                       f"{mooring} run --detach {name} </dev/null >/dev/null && {mooring} exec {name} sh -c 'echo $$; exit 5'; "
                       f"echo $?; {mooring} delete --force {name}"], cwd=self.bundle).stdout.split()
        self.assertNotEqual(out[0], "1")
        self.assertEqual(out[1:], ["5"])
        self.nothing_left()

    def test_options(self):
        name = self.start_container(config(SLEEP, process={"noNewPrivileges": True, "env": [lib_oci.PATH, "KEPT=1", "TERM=dumb"]}))
        script = "id -u; id -g; pwd; echo $KEPT $TERM $NEW; grep -E 'CapEff|NoNewPrivs' /proc/self/status; exit 9"
        code, out, _ = self.exec(name, "-u", "1000:1001", "--cwd", "/tmp", "-e", "TERM=vt", "-e", "NEW=2", "--cap", "CAP_SYS_TIME",
                                 ["sh", "-c", script], check=False)
        self.assertEqual(code, 9)
        self.assertEqual(out.split("\n")[:4], ["1000", "1001", "/tmp", "1 vt 2"])
        self.assertIn("NoNewPrivs:\t0", out)
        self.assertIn("NoNewPrivs:\t1", self.exec(name, "--no-new-privs", ["grep", "NoNewPrivs", "/proc/self/status"])[1])

    def test_process_file(self):
        name = self.start_container(config(SLEEP))
        process = {"args": ["sh", "-c", "id -u; pwd; echo $A"], "cwd": "/etc", "env": [lib_oci.PATH, "A=b"], "user": {"uid": 3, "gid": 4}}
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as f:
            json.dump(process, f)
            f.flush()
            self.assertEqual(self.mooring("exec", "--process", f.name, name).stdout, "3\n/etc\nb\n")
            f.write("}")
            f.flush()
            self.assertIn(f.name, self.mooring("exec", "--process", f.name, name, check=False).stderr)

    def test_refused(self):
        name = self.start_container(config(SLEEP))
        for args, text in ((["nosuch"], "executable file not found in $PATH"), (["/nosuch"], "No such file or directory"),
                           (["/etc"], "Permission denied")):
            self.assertIn(text, self.exec(name, args, check=False)[2])
        self.assertIn("--user=alice", self.exec(name, "-u", "alice", ["true"], check=False)[2])
        self.assertIn("--cap=nosuch", self.exec(name, "--cap", "nosuch", ["true"], check=False)[2])
        self.assertIn("/nosuch", self.exec(name, "--cwd", "/nosuch", ["true"], check=False)[2])
        self.mooring("kill", name, "KILL")
        lib.wait_until(lambda: self.status(name) == "stopped")
        self.assertIn("stopped", self.exec(name, ["true"], check=False)[2])

    def test_detached(self):
        name = self.start_container(config(SLEEP))
        pid_file = f"{self.states}.pid"
        # Not with pipes, which the process would hold.
        subprocess.run(
            ["mooring", "--root", self.states, "exec", "--detach", "--pid-file", pid_file, name, "sleep", "999"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=60)
        with open(pid_file, encoding="utf-8") as f:
            pid = int(f.read())
        os.unlink(pid_file)
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
            self.assertEqual(f.read(), "sleep\0999\0")
        self.assertEqual(os.readlink(f"/proc/{pid}/ns/pid"), os.readlink(f"/proc/{self.state(name)['pid']}/ns/pid"))

    def test_in_a_user_namespace(self):
        mapping = [{"containerID": 0, "hostID": 0, "size": 5000}]
        name = self.start_container(config(SLEEP, namespaces=("pid", "mount", "user", "uts"),
                                           linux={"uidMappings": mapping, "gidMappings": mapping}))
        pid = self.state(name)["pid"]
        _, out, _ = self.exec(name, "-u", "1000:1001", ["sh", "-c", "id -u; readlink /proc/self/ns/user; readlink /proc/self/ns/pid"])
        self.assertEqual(out.split(), ["1000", os.readlink(f"/proc/{pid}/ns/user"), os.readlink(f"/proc/{pid}/ns/pid")])
