# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands in containers that run: what they get, what becomes of them, and of what they leave."""

import json
import os
import resource
import signal
import subprocess
import time

import lib
from lib_container import BUSYBOX, ContainerTestCase, daemon_away, events_since, interrupt, last_event, status_of, unit_of

CONTAINER = "/org/moored1/namespace/default/container/{}"
INTERFACE = "org.moored1.Container"
EXECS_KEPT = 32


def exec_unit(name, number):
    return f"moored-default-{name}-{number}.service"


class ExecTestCase(ContainerTestCase):
    def setUp(self):
        super().setUp()
        self.detach("web", command=("sleep", "1000"))

    def exec(self, *args, status=0, **kwargs):
        """moorctl exec ARGS: what it prints. Checks its exit status."""

        result = lib.moorctl("exec", *args, check=False, **kwargs)
        self.assertEqual(result.returncode, status, f"{args}: {result.stdout}{result.stderr}")
        return result.stdout

    def exec_fails(self, *args, status=125, text=""):
        before = lib.leftovers()
        result = lib.moorctl("exec", *args, check=False)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        self.assertIn(text, result.stderr)
        lib.assert_nothing_left(before)

    def exec_detached(self, *args):
        """Its name and its number."""

        name = lib.moorctl("exec", "-d", *args).stdout.strip()
        self.assertRegex(name, r"^[a-z]+/[0-9]+$")
        return name, int(name.split("/")[1])

    @staticmethod
    def inspect_exec(name):
        return lib.moorctl_json("inspect", "--type=container", name)[0]

    def wait_exec(self, name, state):
        return lib.wait_until(lambda: (e := self.inspect_exec(name))["State"] == state and e, what=f"{name} is {state}")


class ForegroundTest(ExecTestCase):
    def test_output_and_exit_code(self):
        result = lib.moorctl("exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "out\n", "err\n"))
        self.assertEqual(self.exec("web", "echo", "-n", "a  b"), "a  b")
        self.exec("web", "sh", "-c", "kill -9 $$", status=128 + 9)
        # Nothing of it stays: it removed itself.
        self.assertEqual(lib.run(["busctl", "tree", "--list", "org.moored1"]).stdout.count("/exec/"), 0)

    def test_input(self):
        self.assertEqual(self.exec("-i", "web", "wc", "-c", input="x" * 100000), "100000\n")
        # Without -i there is none.
        self.assertEqual(self.exec("web", "wc", "-c", input="text"), "0\n")

    def test_binary_data(self):
        data = bytes(range(256)) * 4096
        result = subprocess.run(["moorctl", "exec", "-i", "web", "cat"], input=data, stdout=subprocess.PIPE, timeout=60,
                                check=True)
        self.assertEqual(result.stdout, data)

    def test_signals_are_passed_on(self):
        p = self.popen("exec", "web", "sh", "-c", "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
        self.assertEqual(p.stdout.readline(), "ready\n")
        p.send_signal(signal.SIGUSR1)
        self.assertEqual(p.communicate(timeout=30)[0], "got\n")
        self.assertEqual(p.returncode, 3)

    def test_three_interrupts_end_it(self):
        p = self.popen("exec", "web", "sh", "-c", "trap '' INT; echo ready; while :; do sleep 0.05; done")
        self.assertEqual(p.stdout.readline(), "ready\n")
        interrupt(p)
        p.communicate()
        self.assertEqual(p.returncode, 128 + 9)

    def test_what_cannot_be_executed(self):
        self.exec_fails("web", "nosuch", status=127, text="nosuch")
        self.exec_fails("web", "/etc/passwd", status=126, text="/etc/passwd")
        self.exec_fails("-u", "nosuch", "web", "true", text='no user "nosuch"')
        self.exec_fails("-w", "/nosuch", "web", "true", text="/nosuch")
        self.exec_fails("-u", "a:b:c", "web", "true", text="User")
        self.exec_fails("--cap-add", "NOSUCH", "web", "true", text="NOSUCH")
        self.exec_fails("nosuch", "true", text="no container 'nosuch'")
        lib.moorctl("create", "--name=made", BUSYBOX, "true")
        self.exec_fails("made", "true", text="is not running, it is created: moorctl start made first")
        self.exec_fails("-d", "-i", "web", "true", text="contradict")

    def test_container_ends(self):
        p = self.popen("exec", "web", "sh", "-c", "echo ready; sleep 1000")
        self.assertEqual(p.stdout.readline(), "ready\n")
        lib.moorctl("kill", "web")
        p.communicate(timeout=30)
        self.assertEqual(p.returncode, 128 + 9)

    def test_container_is_removed(self):
        self.detach("fast", "--rm", command=("sleep", "1000"))
        p = self.popen("exec", "fast", "sh", "-c", "echo ready; sleep 1000")
        self.assertEqual(p.stdout.readline(), "ready\n")
        lib.moorctl("rm", "-f", "fast")
        p.communicate(timeout=30)
        self.assertEqual(p.returncode, 128 + 9)
        self.assertFalse(self.exists("fast"))

    def test_many_at_once(self):
        processes = [self.popen("exec", "web", "sh", "-c", f"sleep 0.2; exit {i}") for i in range(1, 31)]
        for i, p in enumerate(processes, 1):
            p.communicate(timeout=60)
            self.assertEqual(p.returncode, i)


class ProcessTest(ExecTestCase):
    def test_namespaces_and_control_group(self):
        _, number = self.exec_detached("web", "sleep", "1000")
        leader = self.inspect("web")["LeaderPID"]
        pid = self.inspect_exec(f"web/{number}")["PID"]
        for namespace in ("cgroup", "ipc", "mnt", "net", "pid", "uts"):
            self.assertEqual(os.readlink(f"/proc/{pid}/ns/{namespace}"), os.readlink(f"/proc/{leader}/ns/{namespace}"))
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as mine, open(f"/proc/{leader}/cgroup", encoding="ascii") as its:
            self.assertEqual(mine.read(), its.read())
        self.assertEqual(os.readlink(f"/proc/{pid}/root"), "/")
        self.assertEqual(os.stat(f"/proc/{pid}/root").st_ino, os.stat(f"/proc/{leader}/root").st_ino)
        # A child of PID 1, and the unit's main process.
        self.assertEqual(status_of(pid)["PPid"], "1")
        self.assertEqual(lib.unit_properties(exec_unit("web", number), "MainPID", "ActiveState"),
                         {"MainPID": str(pid), "ActiveState": "active"})
        # Nobody waits beside it.
        lib.wait_until(lambda: lib.processes("mooring") == {}, what="no launcher is left")

    def test_descriptors(self):
        self.assertEqual(self.exec("web", "sh", "-c", "ls /proc/self/fd | wc -l"), "4\n")

    def test_confined_as_the_container(self):
        pid = self.inspect("web")["LeaderPID"]
        # What the launcher does last, it does when the start is over.
        leader = lib.wait_until(lambda: (s := status_of(pid))["Name"] == "sleep" and s, what="its command is executed")
        status = dict(line.split(":\t", 1) for line in self.exec("web", "cat", "/proc/self/status").splitlines() if ":\t" in line)
        for key in ("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid"):
            self.assertEqual(status[key], leader[key], key)

    def test_capabilities(self):
        script = "grep ^CapEff /proc/self/status; grep ^Seccomp: /proc/self/status"
        self.assertEqual(self.exec("--cap-drop=ALL", "--cap-add=NET_ADMIN", "web", "sh", "-c", script).split(),
                         ["CapEff:", f"{1 << 12:016x}", "Seccomp:", "2"])
        everything = status_of(1)["CapBnd"]
        self.assertEqual(self.exec("--privileged", "web", "sh", "-c", script).split(),
                         ["CapEff:", everything, "Seccomp:", "0"])

    def test_user_directory_environment(self):
        self.detach("other", "-u", "1000:50", "-w", "/tmp", "-e", "A=container", "-e", "B=container", "--group-add=7",
                    command=("sleep", "1000"))
        script = "id -u; id -g; id -G; pwd; echo $A $B $HOME"
        self.assertEqual(self.exec("other", "sh", "-c", script).split("\n"),
                         ["1000", "50", "50 7", "/tmp", "container container /home/user", ""])
        self.assertEqual(self.exec("-u", "root", "-w", "/etc", "-e", "A=exec", "--group-add", "8", "other", "sh", "-c",
                                   script).split("\n"), ["0", "0", "0 7 8", "/etc", "exec container /root", ""])

    def test_limits_of_the_process(self):
        self.detach("limited", "-p", "LimitNOFILE=123", "-p", "Nice=5", command=("sleep", "1000"))
        name, _ = self.exec_detached("limited", "sleep", "1000")
        pid = self.inspect_exec(name)["PID"]
        self.assertEqual(resource.prlimit(pid, resource.RLIMIT_NOFILE), (123, 123))
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, pid), 5)

    def test_network_of_the_host(self):
        self.detach("host", "--network=host", command=("sleep", "1000"))
        own = os.readlink("/proc/1/ns/net")
        self.assertEqual(self.exec("host", "readlink", "/proc/self/ns/net").strip(), own)


class RuntimesTest(ExecTestCase):
    def test_containers_of_other_runtimes(self):
        for runtime in ("runc", "crun", "mooring"):
            with self.subTest(runtime=runtime):
                self.detach(runtime, f"--runtime={runtime}", command=("sleep", "1000"))
                result = lib.moorctl("exec", runtime, "sh", "-c", "cat /proc/self/cgroup; exit 5", check=False)
                self.assertEqual(result.returncode, 5)
                self.assertEqual(result.stdout.splitlines()[-1], "0::/")

    def test_paused(self):
        lib.moorctl("pause", "web")
        self.exec_fails("web", "true", text="is not running, it is paused: moorctl resume web first")
        lib.moorctl("resume", "web")
        self.assertEqual(self.exec("web", "echo", "works"), "works\n")


class ObjectTest(ExecTestCase):
    def test_detached(self):
        before = last_event()
        name, number = self.exec_detached("-u", "1000", "-w", "/tmp", "web", "sh", "-c", "echo to the journal; exit 5")
        e = self.wait_exec(name, "exited")
        self.assertEqual({k: e[k] for k in ("Id", "Container", "Command", "User", "WorkingDirectory", "ExitCode", "ExitSignal",
                                            "Result", "PID", "Unit", "AutoRemove")},
                         {"Id": number, "Container": "web", "Command": ["sh", "-c", "echo to the journal; exit 5"],
                          "User": "1000", "WorkingDirectory": "/tmp", "ExitCode": 5, "ExitSignal": "",
                          "Result": "exit-code", "PID": 0, "Unit": exec_unit("web", number), "AutoRemove": False})
        self.assertTrue(e["CreatedUSec"] <= e["StartedUSec"] <= e["FinishedUSec"])
        self.assertEqual(lib.moorctl("wait", name).stdout, "5\n")
        lib.run(["journalctl", "--sync"])
        self.assertEqual(lib.run(["journalctl", "-q", "-o", "cat", "-t", name]).stdout, "to the journal\n")
        # The unit is gone, and the file.
        lib.wait_until(lambda: lib.unit_properties(e["Unit"], "LoadState")["LoadState"] == "not-found", what="it is released")
        self.assertFalse(os.path.exists(f"/run/moored/containers/default/web/exec-{number}.json"))
        events = [(x["Topic"], x["Details"]) for x in events_since(before, "web")]
        self.assertEqual([topic for topic, _ in events], ["container/exec-started", "container/exec-exited"])
        self.assertEqual(events[0][1]["Exec"], number)
        self.assertEqual((events[1][1]["Exec"], events[1][1]["ExitCode"], events[1][1]["Result"]), (number, 5, "exit-code"))
        lib.moorctl("rm", name)
        self.assertNotEqual(lib.moorctl("inspect", name, check=False).returncode, 0)

    def test_kill_and_remove(self):
        name, _ = self.exec_detached("web", "sleep", "1000")
        result = lib.moorctl("rm", name, check=False)
        self.assertIn("kill it first", result.stderr)
        lib.moorctl("kill", "-s", "TERM", name)
        self.assertEqual(lib.moorctl("wait", name).stdout, "143\n")
        self.assertEqual(self.inspect_exec(name)["ExitSignal"], "TERM")
        name, _ = self.exec_detached("web", "sleep", "1000")
        lib.moorctl("rm", "-f", name)
        self.assertNotEqual(lib.moorctl("inspect", name, check=False).returncode, 0)
        result = lib.moorctl("kill", name, check=False)
        self.assertIn(f"no exec '{name}'", result.stderr)
        self.assertEqual(self.inspect("web")["State"], "running")

    def test_systemctl_stop(self):
        name, number = self.exec_detached("web", "sleep", "1000")
        lib.run(["systemctl", "stop", exec_unit("web", number)])
        e = self.wait_exec(name, "exited")
        self.assertEqual((e["ExitCode"], e["ExitSignal"]), (143, "TERM"))
        self.assertEqual(self.inspect("web")["State"], "running")

    def test_numbers_are_not_used_twice(self):
        _, first = self.exec_detached("web", "true")
        lib.moorctl("rm", "-f", "web")
        self.detach("web", command=("sleep", "1000"))
        _, second = self.exec_detached("web", "true")
        self.assertGreater(second, first)

    def test_those_that_ended_are_forgotten(self):
        names = [self.exec_detached("web", "true")[0] for _ in range(EXECS_KEPT + 3)]
        # While it looks around something may go.
        lib.wait_until(lambda: lib.run(["busctl", "tree", "--list", "org.moored1"], check=False).stdout.count("/exec/") == EXECS_KEPT,
                       what="they are forgotten")
        self.wait_exec(names[-1], "exited")
        self.assertNotEqual(lib.moorctl("inspect", names[0], check=False).returncode, 0)

    def test_same_token(self):
        call = (CONTAINER.format("web"), INTERFACE, "Exec", "asa{sv}", 2, "sleep", "1000", 1, "Token", "s", "abc")
        first = lib.busctl_call(*call)
        self.assertEqual(lib.busctl_call(*call), first)
        with open(f"/proc/{self.inspect('web')['LeaderPID']}/cgroup", encoding="ascii") as f:
            group = f.read().rsplit("::", 1)[1].strip()

        def members():
            with open(f"/sys/fs/cgroup/{group}/cgroup.procs", encoding="ascii") as f:
                return f.read().split()

        # The one that joins it for another is there for a moment.
        lib.wait_until(lambda: len(members()) == 2, what="init and one exec")

    def test_options(self):
        path = CONTAINER.format("web")
        for arguments in (("0", "0"), ("1", "true", "1", "Nosuch", "s", "x"), ("1", "true", "1", "User", "u", "0"),
                          ("1", "true", "1", "Token", "s", "x" * 65)):
            result = lib.busctl_call(path, INTERFACE, "Exec", "asa{sv}", *arguments, check=False)
            self.assertNotEqual(result.returncode, 0, arguments)

    def test_long_names(self):
        """A unit's name has 255 characters at most; each "-" of the container's takes four of them."""

        fits, full = "a" + "-" * 55, "aaaa" + "-" * 57
        self.detach(fits, command=("sleep", "1000"))
        self.exec(fits, "true")
        self.detach(full, command=("sleep", "1000"))
        self.exec_fails(full, "true", text="too long")


class AwayTest(ExecTestCase):
    WAITS = "while [ ! -e /go ]; do sleep 0.05; done; "

    @staticmethod
    def go():
        """What waits in the container need not wait any more; moored need not be there."""

        pid = lib.unit_properties(unit_of("web"), "MainPID")["MainPID"]
        with open(f"/proc/{pid}/root/go", "w", encoding="ascii"):
            pass

    def test_ended_while_the_daemon_was_away(self):
        ends, _ = self.exec_detached("web", "sh", "-c", self.WAITS + "exit 42")
        killed, _ = self.exec_detached("web", "sleep", "1000")
        runs, number = self.exec_detached("web", "sleep", "1000")
        pids = {n: self.inspect_exec(n)["PID"] for n in (ends, killed, runs)}
        before = last_event()
        with daemon_away():
            os.kill(pids[killed], signal.SIGSEGV)
            self.go()
            for name in (ends, killed):
                lib.wait_until(lambda n=name: not os.path.exists(f"/proc/{pids[n]}"), what=f"{name} ends")
        now = {n: self.inspect_exec(n) for n in (ends, killed, runs)}
        self.assertEqual([(now[n]["State"], now[n]["ExitCode"], now[n]["ExitSignal"]) for n in (ends, killed, runs)],
                         [("exited", 42, ""), ("exited", 139, "SEGV"), ("running", -1, "")])
        for name in (ends, killed):
            self.assertLess(now[name]["FinishedUSec"], time.time() * 1e6)
            lib.wait_until(lambda n=name: lib.unit_properties(now[n]["Unit"], "LoadState")["LoadState"] == "not-found",
                           what="it is released")
        exited = [e["Details"]["ExitCode"] for e in events_since(before, "web") if e["Topic"] == "container/exec-exited"]
        self.assertEqual(sorted(exited), [42, 139])
        self.assertEqual(now[runs]["PID"], pids[runs])
        self.assertEqual(lib.unit_properties(exec_unit("web", number), "ActiveState")["ActiveState"], "active")
        # And new ones can be started.
        self.assertEqual(self.exec("web", "echo", "works"), "works\n")
        lib.moorctl("kill", runs)
        self.assertEqual(lib.moorctl("wait", runs).stdout, "137\n")

    def test_foreground_survives_the_daemon(self):
        p = self.popen("exec", "web", "sh", "-c", f"echo ready; {self.WAITS} echo done; exit 6")
        self.assertEqual(p.stdout.readline(), "ready\n")
        lib.kill9_moored()
        self.go()
        self.assertEqual(p.communicate(timeout=60)[0], "done\n")
        self.assertEqual(p.returncode, 6)

    def test_foreground_that_ends_meanwhile(self):
        p = self.popen("exec", "web", "sh", "-c", f"echo ready; {self.WAITS} exit 6")
        self.assertEqual(p.stdout.readline(), "ready\n")
        pid = int(lib.unit_properties("moored-default-web-*.service", "MainPID")["MainPID"])
        with daemon_away():
            self.go()
            lib.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="it ends")
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 6)

    def test_killed_at_any_moment(self):
        """Each is executed once, and its exit code is not lost."""

        for i in range(15):
            p = self.popen("exec", "web", "sh", "-c", f"echo {i} >>/ran; exit {i + 1}")
            time.sleep(0.002 * i)
            lib.kill9_moored()
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, i + 1, out + err)
        self.assertEqual(self.exec("web", "cat", "/ran").split(), [str(i) for i in range(15)])

    @staticmethod
    def trapped(name, code):
        """A command that ends with this code by SIGTERM; it makes a file when it is ready for that."""

        return "sh", "-c", f"trap 'exit {code}' TERM; touch /{name}; while :; do sleep 0.05; done"

    def wait_trapped(self, name):
        lib.wait_until(lambda: lib.moorctl("exec", "web", "ls", f"/{name}", check=False).returncode == 0, what=f"{name} has its trap")

    @staticmethod
    def take_away(number):
        lib.run(["systemctl", "stop", exec_unit("web", number)])
        lib.run(["systemctl", "reset-failed", exec_unit("web", number)], check=False)
        lib.wait_until(lambda: lib.unit_properties(exec_unit("web", number), "LoadState")["LoadState"] == "not-found",
                       what="systemd has forgotten it")

    def test_unit_that_somebody_took_away(self):
        """To PID 1 an end by SIGTERM is one as any, of which it says nothing: the unit writes it down."""

        ends = {
            self.exec_detached("web", "sleep", "1000"): (143, "TERM", "success"),
            self.exec_detached("web", *self.trapped("zero", 0)): (0, "", "success"),
            self.exec_detached("web", *self.trapped("nine", 9)): (9, "", "exit-code"),
        }
        for name in ("zero", "nine"):
            self.wait_trapped(name)
        before = last_event()
        with daemon_away():
            start = time.time()
            for _, number in ends:
                self.take_away(number)
            end = time.time()
        for (name, _), expected in ends.items():
            e = self.inspect_exec(name)
            self.assertEqual((e["State"], e["ExitCode"], e["ExitSignal"], e["Result"]), ("exited", *expected), name)
            self.assertTrue(start - 0.01 <= e["FinishedUSec"] / 1e6 <= end + 0.01, (start, e["FinishedUSec"], end))
            self.assertEqual(lib.moorctl("wait", name).stdout, f"{expected[0]}\n")
        exited = [e["Details"]["ExitCode"] for e in events_since(before, "web") if e["Topic"] == "container/exec-exited"]
        self.assertEqual(sorted(exited), [0, 9, 143])
        self.assertEqual(self.exec_files(), [])

    @staticmethod
    def exec_files():
        return [f for f in os.listdir("/run/moored/containers/default/web") if f.startswith("exec-")]

    def test_what_is_written_down_is_removed(self):
        for command, code in ((("true",), 0), (("sh", "-c", "exit 3"), 3)):
            name, number = self.exec_detached("web", *command)
            self.assertEqual(lib.moorctl("wait", name).stdout, f"{code}\n")
            lib.wait_until(lambda n=number: lib.unit_properties(exec_unit("web", n), "LoadState")["LoadState"] == "not-found",
                           what="it is released")
            self.assertEqual(self.exec_files(), [])

    def test_foreground_whose_unit_somebody_took_away(self):
        for name, command, code in (("first", ("sh", "-c", "touch /first; exec sleep 1000"), 143),
                                    ("second", self.trapped("second", 0), 0), ("third", self.trapped("third", 9), 9)):
            p = self.popen("exec", "web", *command)
            self.wait_trapped(name)
            unit = lib.wait_until(lambda: next(iter(self.live_execs()), None), what="it runs")
            with daemon_away():
                lib.wait_until(lambda u=unit: lib.unit_properties(u, "Refs")["Refs"], what="moorctl keeps the unit")
                lib.run(["systemctl", "stop", unit])
            _, errors = p.communicate(timeout=60)
            self.assertEqual(p.returncode, code, errors)
            lib.wait_until(lambda u=unit: lib.unit_properties(u, "LoadState")["LoadState"] == "not-found", what="it is gone")

    @staticmethod
    def live_execs():
        """Units of execs that run."""

        return lib.run(["systemctl", "list-units", "--plain", "--no-legend", "--state=running", "moored-default-web-*.service"]).stdout.split()

    def test_container_that_ends_meanwhile(self):
        name, _ = self.exec_detached("web", "sleep", "1000")
        leader = self.inspect("web")["LeaderPID"]
        with daemon_away():
            os.kill(leader, signal.SIGKILL)
            lib.wait_until(lambda: not os.path.exists(f"/proc/{leader}"), what="it ends")
        self.assertEqual(self.inspect("web")["State"], "exited")
        e = self.inspect_exec(name)
        self.assertEqual((e["State"], e["ExitCode"]), ("exited", 137))
        self.assertEqual(json.loads(lib.moorctl("inspect", "--json=short", name).stdout)[0]["ExitSignal"], "KILL")
        lib.wait_until(lambda: lib.unit_properties(unit_of("web"), "LoadState")["LoadState"] == "not-found", what="its unit is released")
