# SPDX-License-Identifier: LGPL-2.1-or-later
"""mooring's command line: verbs that look at containers, change and end them, and what it reports."""

import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import lib
import lib_oci
from lib_oci import config

MAN_PAGE = "/src/man/mooring.rst"
SLEEP = ["sleep", "1000"]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class CommandTestCase(lib_oci.OciTestCase):
    hosts = "a"
    manager = "cgroupfs"

    def mooring(self, *args, check=True, manager=None, **kwargs):
        return super().mooring(*args, check=check, manager=manager or self.manager, **kwargs)

    def background(self, *verb):
        """Without descriptors that the container would keep; what is wrong is in the log."""

        with tempfile.NamedTemporaryFile("r", prefix="test-oci-log-") as log:
            p = subprocess.run(["mooring", "--root", self.states, "--cgroup-manager", self.manager, "--log", log.name, *verb],
                               cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=60, check=False)
            self.assertEqual(p.returncode, 0, log.read())

    def begin(self, spec, *verb):
        name = self.new(spec)
        self.background(*verb, name)
        return name

    def create(self, spec=None):
        return self.begin(spec or config(SLEEP), "create")

    def start_container(self, spec=None):
        return self.begin(spec or config(SLEEP), "run", "--detach")

    def state(self, name):
        return json.loads(self.mooring("state", name).stdout)

    def status(self, name):
        return self.state(name)["status"]

    def wait_stopped(self, name):
        lib.wait_until(lambda: self.status(name) == "stopped", what=f"{name} ends")

    def fails(self, *args, **kwargs):
        """Exit code 1, nothing on stdout, a sentence on stderr, which is returned."""

        p = self.mooring(*args, check=False, **kwargs)
        self.assertEqual((p.returncode, p.stdout), (1, ""), p.stderr)
        self.assertRegex(p.stderr, r"\Amooring: .*\.?\n\Z")
        return p.stderr

    def silent(self, *args):
        p = self.mooring(*args)
        self.assertEqual((p.stdout, p.stderr), ("", ""))


class UsageTest(CommandTestCase):
    def verbs(self):
        text = lib.run(["mooring", "--help"]).stdout.split("\nCommands:\n")[1].split("\n\n")[0]
        return [line.split()[0] for line in text.splitlines()]

    def unit_verbs(self):
        """Those that only units use: a list of names."""

        return lib.run(["mooring", "--help"]).stdout.split("not by hand):\n")[1].split("\n\n")[0].replace(",", " ").split()

    def test_help_of_each_verb(self):
        verbs = self.verbs()
        for verb in ("create", "start", "state", "kill", "delete", "run", "exec", "list", "ps", "pause", "resume", "update",
                     "events", "spec", "features", "checkpoint", "restore"):
            self.assertIn(verb, verbs)
        for verb in verbs:
            text = self.mooring(verb, "--help").stdout
            self.assertTrue(text.startswith(f"Usage: mooring [OPTION...] {verb}"), text)
            self.assertEqual(self.mooring(verb, "-h").stdout, text)

    def test_manual_has_all_options(self):
        with open(MAN_PAGE, encoding="utf-8") as f:
            manual = f.read().replace("\\ ", "")
        for verb in [[]] + [[v] for v in self.verbs()]:
            for option in re.findall(r"^  .. (--[a-z0-9-]+)", self.mooring(*verb, "--help").stdout, re.M):
                self.assertIn(f"**{option}", manual, verb)
        for verb in self.verbs() + self.unit_verbs():
            self.assertRegex(manual, rf"\*\*(mooring )?{verb}\*\*")

    def test_verbs_of_units(self):
        with open(MAN_PAGE, encoding="utf-8") as f:
            manual = f.read().replace("*", "")
        verbs = self.unit_verbs()
        for verb in ("launch", "launch-exec", "launch-scope", "stop", "record-exit", "record-exec", "clean", "probe", "cni", "prepare-seccomp"):
            self.assertIn(verb, verbs)
        for verb in verbs:
            for arguments in ["x"] * 3, ["--nonsense"]:
                p = lib.run(["mooring", verb, *arguments], check=False)
                self.assertEqual((p.returncode, p.stdout), (125 if verb.startswith("launch") else 1, ""), verb)
                usage = re.match(rf"mooring: Usage: (mooring {verb}\b[^,]*),", p.stderr)
                self.assertTrue(usage, p.stderr)
                self.assertIn(f"\n| {usage[1]}\n", manual)

    def test_version(self):
        lines = lib.run(["mooring", "--version"]).stdout.splitlines()
        self.assertRegex(lines[0], r"^mooring version [0-9]+\.[0-9]+\.[0-9]+$")
        self.assertRegex(lines[1], r"^spec: 1\.[0-9]+\.[0-9]+$")

    def test_usage_errors(self):
        self.assertIn('"nonsense"', self.fails("nonsense"))
        self.assertIn("--nonsense", self.fails("state", "--nonsense", "x"))
        self.assertIn("-Z", self.fails("list", "-Z"))
        self.assertIn("--format needs a value", self.fails("list", "--format"))
        self.assertIn("takes 1 argument", self.fails("state"))
        self.assertIn("takes 1 argument", self.fails("delete", "a", "b"))
        self.assertIn("takes 0 argument", self.fails("list", "a"))
        for option in ("--cgroup-manager=x", "--log-format=x", "--log-level=x", "--rootless=x", "--log=x:y"):
            self.assertIn(option, self.fails(option, "list"))
        p = lib.run(["mooring"], check=False)
        self.assertEqual((p.returncode, p.stdout), (1, ""))
        self.assertIn("Usage:", p.stderr)

    def test_ids(self):
        for name in (".", "..", ".foo", "foo bar", "foo/bar", "", "ä"):
            for verb in ("state", "delete", "start"):
                text = self.fails(verb, name)
                self.assertIn("invalid", text)
                self.assertIn("container ID", text)


class CompletionTest(CommandTestCase):
    def complete(self, *words):
        script = ("source /usr/share/bash-completion/bash_completion; source /usr/share/bash-completion/completions/mooring; "
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
                  '_mooring; printf "%s\\n" "${COMPREPLY[@]}"')
        return set(lib.run(["bash", "-c", script, "bash", "mooring", *words]).stdout.split())

    def test_completion(self):
        name = self.start_container()
        self.assertEqual(self.complete("st"), {"start", "state"})
        self.assertEqual(self.complete("--cgroup-manager", "s"), {"systemd"})
        self.assertEqual(self.complete("--log-format=j"), {"json"})
        self.assertEqual(self.complete("delete", "--f"), {"--force"})
        self.assertEqual(self.complete("--debug", "update", "--memory-s"), {"--memory-swap="})
        self.assertEqual(self.complete("list", "-f", ""), {"table", "json"})
        for command in (["state"], ["delete", "--force"], ["exec", "--cwd", "/"], ["mounts", "add"]):
            self.assertEqual(self.complete("--root", self.states, *command, "test-"), {name})
            self.assertEqual(self.complete(f"--root={self.states}", *command, "test-"), {name})
        self.assertEqual(self.complete("kill", name, "SIGHU"), {"SIGHUP"})
        self.assertEqual(self.complete("mounts", ""), {"add", "remove"})
        self.assertEqual(self.complete("exec", name, "--c"), set())
        self.assertEqual(self.complete("exec", "--cap", "CAP_SYSL"), {"CAP_SYSLOG"})


class LogTest(CommandTestCase):
    def test_text(self):
        with tempfile.TemporaryDirectory() as d:
            for log in (f"{d}/log", f"file:{d}/log"):
                message = self.fails("--log", log, "state", "nosuch").removeprefix("mooring: ")
            with open(f"{d}/log", encoding="utf-8") as f:
                lines = f.readlines()
            self.assertEqual(len(lines), 2)
            for line in lines:
                self.assertRegex(line, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z: ")
                self.assertTrue(line.endswith(message))

    def test_json(self):
        with tempfile.TemporaryDirectory() as d:
            p = lib.run(["mooring", "--root", self.states, "--log=log", "--log-format=json", "state", "nosuch"],
                        check=False, cwd=d)
            self.assertEqual(p.returncode, 1)
            message = p.stderr.strip().removeprefix("mooring: ")
            with open(f"{d}/log", encoding="utf-8") as f:
                entry = json.loads(f.read())
            self.assertEqual((entry["level"], entry["msg"]), ("error", message))
            self.assertRegex(entry["time"], r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")

    def test_json_without_a_file_goes_to_stderr(self):
        p = self.mooring("--log-format=json", "state", "nosuch", check=False)
        self.assertEqual(json.loads(p.stderr)["level"], "error")

    def test_debug(self):
        for option in ("--debug", "--log-level=debug"):
            self.assertIn(f'list: states in "{self.states}", cgroup manager cgroupfs', self.mooring(option, "list").stderr)
        self.assertEqual(self.mooring("--log-level=error", "list").stderr, "")

    def test_journal(self):
        ident = f"test-log-{os.getpid()}"
        self.fails(f"--log=journald:{ident}", "state", "nosuch")
        lib.wait_until(lambda: "nosuch" in lib.journal("-t", ident), what="it is in the journal")

    def test_a_log_that_cannot_be_written(self):
        p = self.mooring("--log=/nosuch/log", "state", "nosuch", check=False)
        self.assertIn("/nosuch/log", p.stderr)
        self.assertIn("does not exist", p.stderr)


class LifeTest(CommandTestCase):
    def test_create_start_kill_delete(self):
        name = self.create(config(SLEEP, annotations={"org.example": "x"}))
        state = self.state(name)
        self.assertEqual({k: state[k] for k in ("id", "status", "bundle", "rootfs", "annotations", "owner", "ociVersion")},
                         {"id": name, "status": "created", "bundle": self.bundle, "rootfs": f"{self.bundle}/rootfs",
                          "annotations": {"org.example": "x"}, "owner": "root", "ociVersion": "1.2.0"})
        self.assertTrue(alive(state["pid"]))

        self.mooring("start", name)
        self.assertEqual(self.status(name), "running")
        self.assertIn("is running", self.fails("start", name))
        self.silent("kill", name, "KILL")
        self.wait_stopped(name)
        self.assertEqual(self.state(name)["pid"], 0)
        self.assertIn("is stopped", self.fails("start", name))
        self.silent("delete", name)
        self.assertEqual(os.listdir(self.states), [])

    def test_state_file(self):
        name = self.start_container()
        path = f"{self.states}/{name}/status"
        with open(path, encoding="utf-8") as f:
            status = json.load(f)
        self.assertEqual(len(json.loads(status["external_descriptors"])), 3)
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.states}/{name}").st_mode), 0o700)

        with open(path, "w", encoding="utf-8") as f:
            f.write("{")
        self.assertIn("damaged", self.fails("state", name))
        p = self.mooring("list", "--quiet")
        self.assertEqual(p.stdout, "")
        self.assertIn("damaged", p.stderr)
        self.assertIn("damaged", self.fails("delete", name))
        with open(path, "w", encoding="utf-8") as f:
            json.dump(status, f)
        self.silent("delete", "--force", name)

    def test_what_does_not_exist(self):
        for verb in (["state"], ["start"], ["kill"], ["delete"], ["ps"], ["pause"], ["resume"], ["update"], ["events"]):
            self.assertIn('"nosuch" does not exist', self.fails(*verb, "nosuch"))
        self.silent("delete", "--force", "nosuch")
        p = lib.run(["mooring", "--root", "/run/no/such/root", "state", "nosuch"], check=False)
        self.assertIn("does not exist", p.stderr)
        self.assertEqual(lib.run(["mooring", "--root", "/run/no/such/root", "list", "-f", "json"]).stdout, "[]\n")

    def test_one_name_once(self):
        name = self.start_container()
        for verb in ("create", "run"):
            self.assertIn("already exists", self.fails(verb, name))
        self.assertEqual(self.status(name), "running")

    def test_list(self):
        first, second = self.create(), self.start_container()
        table = self.mooring("list").stdout.splitlines()
        self.assertEqual(table[0].split(), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"])
        rows = {line.split()[0]: line.split() for line in table[1:]}
        self.assertEqual((rows[first][2], rows[second][2]), ("created", "running"))
        self.assertEqual(rows[second][3], self.bundle)
        entries = json.loads(self.mooring("list", "--format=json").stdout)
        self.assertEqual([(e["id"], e["status"]) for e in entries], [(first, "created"), (second, "running")])
        self.assertEqual(self.mooring("list", "-q").stdout.split(), [first, second])
        self.assertIn("--format=xml", self.fails("list", "-f", "xml"))

    def test_a_container_whose_process_was_killed(self):
        name = self.start_container()
        os.kill(self.state(name)["pid"], signal.SIGKILL)
        self.wait_stopped(name)
        self.assertIn("container not running", self.fails("kill", name))
        self.assertIn("stopped", self.fails("pause", name))
        self.assertIn("container not running", self.fails("events", name))
        self.assertIn("container not running", self.fails("update", "--memory=-1", name))
        self.silent("delete", name)

    def test_half_created(self):
        os.mkdir(f"{self.states}/half")
        self.assertEqual(self.mooring("list", "-q").stdout, "")
        self.assertIn("does not exist", self.fails("state", "half"))
        self.assertIn("already exists", self.fails("create", "half"))
        self.silent("delete", "--force", "half")
        self.assertEqual(os.listdir(self.states), [])

        os.mkdir(f"{self.states}/half")
        self.assertIn("does not exist", self.fails("delete", "half"))
        self.assertEqual(os.listdir(self.states), [])

    def test_a_creation_under_way_is_waited_for(self):
        os.mkdir(f"{self.states}/half")
        fd = os.open(f"{self.states}/half", os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with subprocess.Popen(["mooring", "--root", self.states, "delete", "--force", "half"]) as p:
            time.sleep(0.3)
            self.assertIsNone(p.poll())
            os.close(fd)
            self.assertEqual(p.wait(10), 0)
        self.assertEqual(os.listdir(self.states), [])


class KillTest(CommandTestCase):
    def test_signals(self):
        trap = "trap 'exit 3' TERM; trap 'echo usr1 >> /tmp/log' USR1; : > /tmp/ready; while :; do sleep 0.02; done"
        for sig in ("USR1", "SIGUSR1", str(int(signal.SIGUSR1))):
            with self.subTest(sig):
                for name in ("ready", "log"):
                    if os.path.exists(f"{self.bundle}/rootfs/tmp/{name}"):
                        os.unlink(f"{self.bundle}/rootfs/tmp/{name}")
                name = self.start_container(config(["sh", "-c", trap]))
                lib.wait_until(lambda: os.path.exists(f"{self.bundle}/rootfs/tmp/ready"), what="the trap is set")
                self.silent("kill", name, sig)
                lib.wait_until(lambda: os.path.exists(f"{self.bundle}/rootfs/tmp/log"), what="it is caught")
                self.silent("kill", name, "0")
                self.silent("kill", name)
                self.wait_stopped(name)

    def test_errors(self):
        name = self.start_container()
        for sig in ("NOSUCH", "SIGNOSUCH", "65", "-1", ""):
            self.assertIn(f'no signal "{sig}"', self.fails("kill", "--", name, sig))
        self.assertEqual(self.status(name), "running")

    def test_all(self):
        name = self.start_container(config(["sh", "-c", "sleep 1001 & sleep 1002 & wait"]))
        lib.wait_until(lambda: len(self.pids(name)) == 3, what="all have been started")
        pids = self.pids(name)
        self.silent("kill", "--all", name, "KILL")
        lib.wait_until(lambda: not any(alive(p) for p in pids), what="all have ended")

    def test_sigkill_without_a_pid_namespace_is_for_all(self):
        spec = config(["sh", "-c", "sleep 1001 & sleep 1002 & wait"], namespaces=("mount", "uts", "ipc"))
        name = self.start_container(spec)
        lib.wait_until(lambda: len(self.pids(name)) == 3, what="all have been started")
        pids = self.pids(name)
        self.silent("kill", name, "KILL")
        lib.wait_until(lambda: not any(alive(p) for p in pids), what="all have ended")

    def pids(self, name):
        return json.loads(self.mooring("ps", "--format=json", name).stdout)

    def test_regular_expression(self):
        names = [self.start_container() for _ in range(3)]
        other = self.create()
        self.silent("kill", "--regex", f"^({'|'.join(names)})$", "KILL")
        for name in names:
            self.wait_stopped(name)
        self.assertEqual(self.status(other), "created")
        self.silent("delete", "--force", "--regex", "^test-[0-9]+-")
        self.assertEqual(os.listdir(self.states), [])
        self.silent("delete", "--regex", "nothing")
        self.assertIn("regular expression", self.fails("delete", "--regex", "("))


class DeleteTest(CommandTestCase):
    def test_a_running_one_is_kept(self):
        name = self.start_container()
        self.assertIn("not stopped but running", self.fails("delete", name))
        self.assertEqual(self.status(name), "running")

    def test_nothing_is_left(self):
        for verb in (self.create, self.start_container):
            name = verb()
            pid, cgroup = self.state(name)["pid"], f"/sys/fs/cgroup/mooring/{name}"
            self.assertTrue(os.path.isdir(cgroup))
            os.makedirs(f"{cgroup}/below/it")
            self.silent("delete", "--force", name)
            self.assertFalse(alive(pid))
            self.assertFalse(os.path.exists(cgroup))
            self.assertEqual(os.listdir(self.states), [])

    def test_one_that_was_never_started(self):
        name = self.create()
        self.silent("delete", name)
        self.assertEqual(os.listdir(self.states), [])

    def test_a_paused_one(self):
        name = self.start_container()
        self.mooring("pause", name)
        self.assertIn("paused", self.fails("delete", name))
        self.silent("delete", "--force", name)

    def test_two_at_once(self):
        name = self.start_container()
        command = ["mooring", "--root", self.states, "delete", "--force", name]
        processes = [subprocess.Popen(command) for _ in range(5)]
        self.assertEqual([p.wait(20) for p in processes], [0] * 5)
        self.assertEqual(os.listdir(self.states), [])

    def test_poststop_hooks(self):
        out = f"{self.bundle}/poststop"
        hooks = [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {out}"]},
                 {"path": "/bin/sh", "args": ["sh", "-c", "exit 7"]}]
        name = self.start_container(config(SLEEP, hooks={"poststop": hooks}))
        p = self.mooring("delete", "--force", name)
        self.assertIn("7", p.stderr)
        with open(out, encoding="utf-8") as f:
            state = json.load(f)
        self.assertEqual((state["id"], state["status"], state["bundle"]), (name, "stopped", self.bundle))
        self.assertEqual(os.listdir(self.states), [])

    def test_a_removed_bundle(self):
        """What is needed of the specification was kept."""

        name = self.start_container()
        os.unlink(f"{self.bundle}/config.json")
        self.silent("delete", "--force", name)


class ProcessesTest(CommandTestCase):
    def test_table_and_json(self):
        name = self.start_container(config(["sh", "-c", "sleep 1001 & wait"]))
        lib.wait_until(lambda: len(json.loads(self.mooring("ps", "-f", "json", name).stdout)) == 2, what="both run")
        pids = json.loads(self.mooring("ps", "--format", "json", name).stdout)
        table = self.mooring("ps", name).stdout.splitlines()
        self.assertIn("PID", table[0].split())
        column = table[0].split().index("PID")
        self.assertEqual({int(line.split()[column]) for line in table[1:]}, set(pids))

        def names():
            chosen = self.mooring("ps", name, "-e", "-o", "comm,pid").stdout.splitlines()
            return {line.split()[0] for line in chosen[1:]}

        # The second is a "sh" as well before it executes its command.
        lib.wait_until(lambda: names() == {"sh", "sleep"}, what="the names of both")
        self.assertIn('"PID"', self.fails("ps", name, "-e", "-o", "comm"))
        self.assertIn("exit code", self.mooring("ps", name, "--nosuch", check=False).stderr)
        self.assertIn("--format=xml", self.fails("ps", "-f", "xml", name))

    def test_one_that_has_ended(self):
        name = self.start_container()
        self.mooring("kill", name, "KILL")
        self.wait_stopped(name)
        self.assertEqual(self.mooring("ps", "-f", "json", name).stdout, "[]\n")

    def test_child_cgroups(self):
        name = self.start_container()
        pid = self.state(name)["pid"]
        child = f"/sys/fs/cgroup/mooring/{name}/child"
        os.mkdir(child)
        with open(f"{child}/cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(pid))
        self.assertEqual(json.loads(self.mooring("ps", "-f", "json", name).stdout), [pid])


class WithoutCgroupTest(CommandTestCase):
    manager = "disabled"

    def test_what_needs_none(self):
        name = self.start_container(config(["sh", "-c", "sleep 1001 & wait"]))
        lib.wait_until(lambda: len(json.loads(self.mooring("ps", "-f", "json", name).stdout)) == 2, what="both run")
        for verb in (["pause"], ["events"], ["update", "--pids-limit=3"]):
            self.assertIn("has no cgroup", self.fails(*verb, name))
        self.silent("kill", "--all", name, "9")
        self.wait_stopped(name)
        self.silent("delete", name)


class PauseTest(CommandTestCase):
    def test_pause_and_resume(self):
        name = self.start_container()
        self.assertIn("cannot be resumed", self.fails("resume", name))
        self.silent("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.assertIn("cannot be paused", self.fails("pause", name))
        self.silent("resume", name)
        self.assertEqual(self.status(name), "running")

    def test_before_the_start(self):
        name = self.create()
        self.silent("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.assertIn("paused", self.fails("start", name))
        self.silent("resume", name)
        self.silent("start", name)

    def test_kill_of_a_paused_one(self):
        name = self.start_container()
        self.mooring("pause", name)
        self.silent("kill", name, "KILL")
        self.wait_stopped(name)


class EventsTest(CommandTestCase):
    def test_numbers_once(self):
        name = self.start_container()
        event = json.loads(self.mooring("events", "--stats", name).stdout)
        self.assertEqual((event["type"], event["id"]), ("stats", name))
        self.assertLessEqual({"cpu", "memory", "pids", "blkio", "hugetlb"}, set(event["data"]))
        self.assertGreater(event["data"]["cpu"]["usage"]["total"], 0)

    def test_until_the_end(self):
        name = self.start_container()
        with subprocess.Popen(["mooring", "--root", self.states, "events", "--interval=50ms", name],
                              stdout=subprocess.PIPE, text=True) as p:
            for _ in range(3):
                self.assertEqual(json.loads(p.stdout.readline())["type"], "stats")
            self.mooring("kill", name, "KILL")
            self.assertEqual(p.wait(10), 0)
        for interval in ("0", "x", "-1s", "infinity"):
            self.assertIn(f"--interval={interval}", self.fails("events", f"--interval={interval}", name))


class SpecTest(CommandTestCase):
    def spec(self, *options):
        with tempfile.TemporaryDirectory() as d:
            self.mooring("spec", "--bundle", d, *options)
            with open(f"{d}/config.json", encoding="utf-8") as f:
                spec = json.load(f)
            self.assertIn("exists", self.fails("spec", "-b", d))
        return spec

    def test_it_can_be_run(self):
        spec = self.spec()
        self.assertIs(spec["process"]["terminal"], True)
        spec["process"].update(terminal=False, args=["sh", "-c", "hostname; id -u; grep CapEff /proc/self/status"])
        self.assertEqual(self.output(spec), "mooring\n0\nCapEff:\t0000000020000420\n")

    def test_rootless(self):
        spec = self.spec("--rootless")
        self.assertIn({"type": "user"}, spec["linux"]["namespaces"])
        self.assertNotIn({"type": "network"}, spec["linux"]["namespaces"])
        self.assertNotIn("resources", spec["linux"])
        self.assertEqual(spec["linux"]["uidMappings"], [{"containerID": 0, "hostID": os.geteuid(), "size": 1}])
        spec["process"].update(terminal=False, args=["id", "-u"])
        self.assertEqual(self.output(spec), "0\n")

    def test_no_directory(self):
        self.assertIn("/no/such", self.fails("spec", "--bundle=/no/such"))


class FeaturesTest(CommandTestCase):
    def test_features(self):
        features = json.loads(self.mooring("features").stdout)
        self.assertEqual(features["ociVersionMin"], "1.0.0")
        self.assertRegex(features["ociVersionMax"], r"^1\.[0-9]+\.[0-9]+$")
        self.assertEqual(features["hooks"], ["prestart", "createRuntime", "createContainer", "startContainer", "poststart",
                                             "poststop"])
        linux = features["linux"]
        self.assertEqual(set(linux["namespaces"]), {"pid", "mount", "network", "uts", "ipc", "cgroup", "user", "time"})
        self.assertEqual((linux["cgroup"]["v1"], linux["cgroup"]["v2"]), (False, True))
        self.assertIn("CAP_CHECKPOINT_RESTORE", linux["capabilities"])
        self.assertEqual(len(linux["seccomp"]["actions"]), 9)
        self.assertEqual(len(linux["seccomp"]["operators"]), 7)
        self.assertLessEqual({"rro", "tmpcopyup", "idmap", "rbind", "rslave", "nosymfollow"}, set(features["mountOptions"]))

    def test_each_version_is_taken(self):
        features = json.loads(self.mooring("features").stdout)
        for version in (features["ociVersionMin"], features["ociVersionMax"], "1.0.2-dev", "1.1.0+dev", "1.99.7"):
            self.assertEqual(self.output(config(["true"], ociVersion=version)), "")

    def test_each_mount_option_is_taken(self):
        """None of them reaches the file system, which would refuse it."""

        features = json.loads(self.mooring("features").stdout)
        others = {"remount", "bind", "rbind", "idmap", "ridmap", "copy-symlink", "src-nofollow"}
        # mandatory locking and the version of inodes are not what each kernel or file system has.
        kernel = {"mand", "rmand", "iversion", "nomand", "rnomand", "noiversion", "lazytime", "nolazytime"}
        for option in sorted(set(features["mountOptions"]) - others - kernel):
            with self.subTest(option):
                spec = config(["true"])
                spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [option]})
                self.output(spec)


class CheckpointTest(CommandTestCase):
    hosts = "ab"

    def setUp(self):
        super().setUp()
        self.images = tempfile.mkdtemp(prefix="test-oci-images-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.images)

    def needs_criu(self):
        if not shutil.which("criu") or lib.run(["criu", "check"], check=False).returncode != 0:
            self.skipTest("criu is not installed, or does not work here")

    def test_without_criu(self):
        name = self.start_container()
        for verb in ("checkpoint", "restore"):
            self.assertIn("criu is not installed", self.fails("--criu=/no/such", verb, name))
        self.assertEqual(self.status(name), "running")

    def test_errors(self):
        """Of CRIU there is only a program that says nothing."""

        name = self.create()
        criu = ["--criu=/bin/true"]
        self.assertIn("is created", self.fails(*criu, "checkpoint", name))
        self.mooring("start", name)
        image = f"--image-path={self.images}/x"
        self.assertIn("--parent-path", self.fails(*criu, "checkpoint", "--parent-path=/abs", name))
        self.assertIn("--parent-path", self.fails(*criu, "checkpoint", image, "--parent-path=../nosuch", name))
        self.assertIn("CRIU", self.fails(*criu, "checkpoint", image, name))
        self.assertEqual(self.status(name), "running")
        self.assertIn("already exists", self.fails(*criu, "restore", image, name))
        self.assertIn("/no/such", self.fails(*criu, "restore", "--image-path=/no/such", "other"))
        self.assertIn("/no/such", self.fails(*criu, "restore", image, "--bundle=/no/such", "other"))
        self.assertIn("CRIU", self.fails(*criu, "restore", image, "other"))
        self.mooring("delete", "--force", name)
        self.assertEqual(os.listdir(self.states), [])
        self.assertFalse(os.path.exists("/sys/fs/cgroup/mooring/other"))
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)

    def test_it_goes_on(self):
        self.needs_criu()
        path = f"{self.bundle}/rootfs/tmp/count"
        count = "i=0; while :; do i=$((i + 1)); echo $i > /tmp/new; mv /tmp/new /tmp/count; sleep 0.02; done"
        name = self.start_container(config(["sh", "-c", count], namespaces=("pid", "mount", "uts", "ipc", "network", "cgroup"),
                                           linux={"maskedPaths": ["/proc/kcore", "/proc/acpi"]}))

        def number():
            with open(path, encoding="ascii") as f:
                return int(f.read())

        lib.wait_until(lambda: os.path.exists(path) and number() > 10, what="it counts")
        self.mooring("checkpoint", f"--image-path={self.images}/dump", "--leave-running", name)
        before = number()
        lib.wait_until(lambda: number() > before, what="it goes on")
        self.mooring("checkpoint", f"--image-path={self.images}/dump", name)
        self.assertEqual(os.listdir(self.states), [])
        before = number()
        self.background("restore", "--detach", f"--image-path={self.images}/dump", name)
        self.assertEqual(self.status(name), "running")
        lib.wait_until(lambda: number() > before, what="it goes on")
        self.assertLess(number(), before + 1000)
        pids = json.loads(self.mooring("ps", "-f", "json", name).stdout)
        self.assertIn(self.state(name)["pid"], pids)
        self.silent("delete", "--force", name)
        self.assertEqual(os.listdir(self.states), [])
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)

    def test_in_the_foreground(self):
        self.needs_criu()
        name = self.start_container(config(["sh", "-c", "while ! [ -e /tmp/end ]; do sleep 0.02; done; exit 7"]))
        self.mooring("checkpoint", f"--image-path={self.images}/dump", name)
        with subprocess.Popen(["mooring", "--root", self.states, "restore", f"--image-path={self.images}/dump", name],
                              cwd=self.bundle, stdin=subprocess.DEVNULL) as p:
            lib.wait_until(lambda: os.path.exists(f"{self.states}/{name}/status"), what="it is restored")
            with open(f"{self.bundle}/rootfs/tmp/end", "w", encoding="ascii"):
                pass
            self.assertEqual(p.wait(20), 7)
        self.assertEqual(os.listdir(self.states), [])


    def terminal_of(self, verb, *args):
        """Runs a command that passes a terminal on; returns its master."""

        path = f"{self.images}/console"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen()
            self.background(*verb, "--detach", f"--console-socket={path}", *args)
            with listener.accept()[0] as connection:
                fds = socket.recv_fds(connection, 100, 1)[1]
        os.unlink(path)
        self.addCleanup(os.close, fds[0])
        return fds[0]

    def ask(self, master, command, expected):
        os.write(master, command)
        text = b""
        while expected not in text:
            self.assertTrue(select.select([master], [], [], 20)[0], text)
            text += os.read(master, 1000)

    def test_terminal(self):
        self.needs_criu()
        spec = config(["sh"], {"terminal": True})
        spec["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]})
        name = self.new(spec)
        self.ask(self.terminal_of(["run"], name), b"n=41; echo ready-$n\n", b"ready-41")
        self.mooring("checkpoint", f"--image-path={self.images}/dump", name)
        master = self.terminal_of(["restore"], f"--image-path={self.images}/dump", name)
        self.ask(master, b"echo again-$n\n", b"again-41")


class UpdateTest(CommandTestCase):
    """Limits that are refused before a cgroup is looked at; UpdateLimitsTest has the others."""

    def test_bad_values(self):
        name = self.start_container()
        for option in ("--memory=x", "--memory=-1G", "--memory-swap=1Q", "--cpu-quota=1.5", "--pids-limit=many",
                       "--cpu-period=99999999999999999999"):
            self.assertIn(option, self.fails("update", option, name))
        for option, member in (("--cpuset-cpus=a", "cpu.cpus"), ("--cpu-idle=2", "cpu.idle"), ("--cpu-share=-2", "cpu.shares"),
                               ("--cpu-rt-runtime=5", "realtimeRuntime"), ("--blkio-weight=5000", "blockIO.weight")):
            self.assertIn(member, self.fails("update", option, name))

    def test_resources(self):
        name = self.start_container()
        self.assertIn("/no/such", self.fails("update", "--resources=/no/such", name))
        self.assertIn("memory.limit", self.fails("update", "--resources=-", name, input='{"memory":{"limit":"x"}}'))
        self.assertIn("--resources", self.fails("update", "--resources=-", "--memory=1G", name, input="{}"))
        self.assertNotEqual(self.mooring("update", "-r", "-", name, input="[", check=False).returncode, 0)
        self.silent("update", name)


class UpdateLimitsTest(CommandTestCase):
    hosts = "b"

    def check(self, manager):
        self.manager = manager
        spec = config(SLEEP)
        if manager == "systemd":
            spec["linux"]["cgroupsPath"] = f"system.slice:test:update{os.getpid()}"
        name = self.start_container(spec)
        with open(f"{self.states}/{name}/status", encoding="utf-8") as f:
            cgroup = f"/sys/fs/cgroup{json.load(f)['cgroupPath']}"

        def value(file):
            with open(f"{cgroup}/{file}", encoding="ascii") as f:
                return f.read().strip()

        self.silent("update", "--memory=64M", "--memory-swap=128M", "--pids-limit=77", "--cpu-quota=20000",
                    "--cpu-period=100000", "--cpu-share=2", "--memory-reservation=1048576", name)
        self.assertEqual([value(f) for f in ("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight",
                                             "memory.low")],
                         ["67108864", "67108864", "77", "20000 100000", "1", "1048576"])
        self.silent("update", "--cpu-period=50000", name)
        self.assertEqual(value("cpu.max"), "20000 50000")
        self.mooring("update", "--resources=-", name, input='{"pids":{"limit":-1},"memory":{"limit":134217728}}')
        self.assertEqual((value("pids.max"), value("memory.max")), ("max", "134217728"))
        self.silent("update", "--memory=-1", "--memory-swap=-1", "--cpu-quota=-1", name)
        self.assertEqual((value("memory.max"), value("cpu.max")), ("max", "max 50000"))

    def test_cgroupfs(self):
        self.check("cgroupfs")

    def test_systemd(self):
        self.check("systemd")

    def test_out_of_memory_is_an_event(self):
        # What starts this test may itself be protected from being killed.
        spec = config(["sh", "-c", "read x < /tmp/go; tail /dev/zero"], {"oomScoreAdj": 0},
                      {"resources": {"memory": {"limit": 16777216, "swap": 16777216}}})
        fifo = f"{self.bundle}/rootfs/tmp/go"
        os.mkfifo(fifo)
        name = self.start_container(spec)
        with subprocess.Popen(["mooring", "--root", self.states, "events", "--interval=1h", name],
                              stdout=subprocess.PIPE, text=True) as p:
            with open(f"/proc/{self.state(name)['pid']}/cgroup", encoding="ascii") as f:
                group = "/sys/fs/cgroup" + next(line for line in f if line.startswith("0::")).strip()[3:]
            lib.wait_until(lambda: lib.watches(p.pid, f"{group}/memory.events"), what="the group is watched")
            with open(fifo, "w", encoding="ascii") as f:
                f.write("\n")
            self.assertEqual(json.loads(p.stdout.readline()), {"type": "oom", "id": name})
            p.wait(30)


if __name__ == "__main__":
    unittest.main()
