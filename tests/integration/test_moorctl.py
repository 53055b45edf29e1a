# SPDX-License-Identifier: LGPL-2.1-or-later
"""moorctl as a user has it: verbs, options, exit codes, tables, JSON, terminals; and what it does while the daemon is away."""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
import unittest

import lib
from lib_container import (BUSYBOX, DEBIAN, OBEDIENT, ContainerTestCase, daemon_away, ends, events_since, interrupt, last_event, status_of, unit_of,
                           wait_traps)

VERBS = ["pull", "images", "tag", "rmi", "import", "run", "create", "attach", "start", "stop", "restart", "kill", "pause", "resume",
         "update", "rm", "exec", "ps", "wait", "stats", "top", "inspect", "logs", "healthcheck", "events", "info", "gc", "namespace",
         "verify", "unit", "version"]
CONTAINER_KEYS = {"Id", "Image", "ImageDigest", "State", "Unit", "UnitPath", "LeaderPID", "ExitCode", "ExitSignal", "CreatedUSec",
                  "StartedUSec", "FinishedUSec", "Labels", "Command", "AutoRemove"}
IMAGE_KEYS = {"Name", "Digest", "MediaType", "Size", "Platforms", "CreatedUSec", "Labels"}


def rest(process):
    """What communicate() gives, where a line was read before: that one would forget what is buffered."""

    out = process.stdout.read()
    err = process.stderr.read()
    process.wait()
    return out, err


def rows(*args):
    """The cells of a table without its heading."""

    lines = lib.moorctl(*args, "--no-legend").stdout.splitlines()
    return [re.split(r" {2,}", line.strip()) for line in lines]


class HelpTest(unittest.TestCase):
    def test_help_lists_every_verb(self):
        text = lib.moorctl("--help").stdout
        for verb in VERBS:
            self.assertRegex(text, rf"(?m)^  {verb} +[A-Z]")
        self.assertEqual(lib.moorctl("help").stdout, text)

    def test_help_of_each_verb(self):
        for verb in VERBS:
            text = lib.moorctl(verb, "--help").stdout
            self.assertRegex(text, rf"^Usage: moorctl \[OPTION…\] {verb}")
            self.assertEqual(lib.moorctl("help", verb).stdout, text)

    def test_help_does_not_need_the_daemon(self):
        with daemon_away():
            lib.moorctl("run", "--help")
            self.assertRegex(lib.moorctl("--version").stdout, r"^moorctl \d")

    def test_mistakes(self):
        for args, text in [((), "--help"), (("fly",), "'fly'"), (("ps", "extra"), "'extra'"), (("ps", "--wings"), "--wings"),
                           (("tag", "one"), "Too few"), (("-n",), "needs a value"), (("ps", "--json=xml"), "pretty, short, off"),
                           (("-H", "x", "-M", "y", "ps"), "-H and -M"), (("stop", "-t", "soon", "x"), "soon"),
                           (("kill", "-s", "LOUD", "x"), "LOUD"), (("kill", "--whom=dog", "x"), "dog"), (("logs", "-n", "many", "x"), "many"),
                           (("events", "--since=once"), "once"), (("inspect", "--type=cat", "x"), "cat"), (("ps", "--filter=big"), "big"),
                           (("namespace", "paint"), "Usage"), (("-n", "", "ps"), "namespace")]:
            result = lib.moorctl(*args, check=False)
            self.assertEqual((result.returncode, result.stdout), (1, ""), args)
            self.assertIn(text, result.stderr)
            self.assertTrue(result.stderr.startswith("moorctl: "))

    def test_mistakes_of_run_are_125(self):
        for args in [(), ("-d", "-i", "x"), ("--wings", "x"), ("-v", "x:/y", "x"), ("--pull=maybe", "x"), ("--cpus=no", "x")]:
            self.assertEqual(lib.moorctl("run", *args, check=False).returncode, 125, args)

    def test_completion(self):
        def complete(*words):
            script = ("source /usr/share/bash-completion/bash_completion; source /usr/share/bash-completion/completions/moorctl; "
                      'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
                      '_moorctl; printf "%s\\n" "${COMPREPLY[@]}"')
            return set(lib.run(["bash", "-c", script, "bash", *words]).stdout.split())

        self.assertEqual(complete("moorctl", "im"), {"images", "import"})
        self.assertEqual(complete("moorctl", "run", "--re"), {"--read-only", "--restart="})
        self.assertEqual(complete("moorctl", "ps", "--json", ""), {"pretty", "short", "off"})
        self.assertEqual(complete("moorctl", "run", "--pull=n"), {"never"})
        self.assertEqual(complete("moorctl", "network", ""), {"ls", "create", "inspect", "rm", "prune", "connect", "disconnect", "reload"})
        self.assertEqual(complete("moorctl", "interface", ""), {"ls", "add", "set", "rm"})
        self.assertEqual(complete("moorctl", "interface", "add", "--type", ""), {"veth", "macvlan", "ipvlan", "device", "tap"})
        self.assertEqual(complete("moorctl", "network", "create", "-d", ""), {"bridge", "macvlan", "ipvlan"})
        self.assertEqual(complete("moorctl", "network", "create", "-o", "m"), {"mtu=", "mode="})
        self.assertIn("default", complete("moorctl", "-n", ""))
        self.assertEqual(complete("moorctl", "run", "busybox", "--r"), set())
        self.assertIn("--detach", complete("moorctl", "-n", "default", "run", "--"))


class RunTest(ContainerTestCase):
    def test_exit_codes(self):
        for code in (0, 1, 42, 125, 126, 127, 255):
            self.sh(f"exit {code}", status=code)
        self.run_container(BUSYBOX, "/no/such/command", status=127)
        self.run_container(BUSYBOX, "/etc/passwd", status=126)
        self.assertIn("nobody-here", self.run_container("-u", "nobody-here", BUSYBOX, "true", status=125).stderr)

    def test_stdout_and_stderr_are_apart_and_whole(self):
        result = self.run_container(BUSYBOX, "sh", "-c", "for i in $(seq 5000); do echo out$i; echo err$i >&2; done")
        self.assertEqual(result.stdout, "".join(f"out{i}\n" for i in range(1, 5001)))
        self.assertEqual(result.stderr, "".join(f"err{i}\n" for i in range(1, 5001)))

    def test_a_file_as_output_is_given_as_it_is(self):
        with tempfile.TemporaryFile() as f:
            self.assertEqual(subprocess.run(["moorctl", "run", "--rm", BUSYBOX, "sh", "-c", "readlink /proc/self/fd/1; echo x >&2"],
                                            stdin=subprocess.DEVNULL, stdout=f, stderr=f, check=False).returncode, 0)
            f.seek(0)
            self.assertRegex(f.read(), rb"^/.*\nx\n$")

    def test_no_standard_input_unless_asked_for(self):
        self.assertEqual(self.run_container(BUSYBOX, "cat", input="lost").stdout, "")
        self.assertEqual(self.run_container("-i", BUSYBOX, "cat", input="kept").stdout, "kept")
        blob = os.urandom(1 << 20)
        self.assertEqual(self.run_container("-i", BUSYBOX, "cat", input=blob, text=False).stdout, blob)

    def test_closed_descriptors(self):
        self.assertEqual(lib.run(f"moorctl run --rm {BUSYBOX} sh -c 'echo x; exit 3' <&- >&- 2>&-", check=False).returncode, 3)

    def test_a_reader_that_goes_away(self):
        self.assertEqual(lib.run(f"moorctl run --rm {BUSYBOX} sh -c 'while echo y; do :; done' 2>/dev/null | head -n 1").stdout, "y\n")

    def test_signals_are_passed_on(self):
        for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2"):
            process = self.popen("run", "--rm", BUSYBOX, "sh", "-c", f"trap 'echo got; exit 9' {name}; echo ready; while :; do sleep 0.05; done")
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.send_signal(getattr(signal, "SIG" + name))
            self.assertEqual(rest(process), ("got\n", ""), name)
            self.assertEqual(process.returncode, 9)

    def test_a_signal_before_the_start_is_not_lost(self):
        monitor = subprocess.Popen(["busctl", "--json=short", "monitor", "--match=type='method_call',interface='org.moored1.Container',member='Kill'"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(monitor.communicate)
        self.addCleanup(monitor.kill)

        def listens():
            lib.busctl_call("/org/moored1/namespace/default/container/none", "org.moored1.Container", "Kill", "si", "main", 1, check=False)
            return select.select([monitor.stdout], [], [], 0.1)[0]

        lib.wait_until(listens, what="busctl monitors the bus")
        process = self.popen("run", "--rm", BUSYBOX, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
        # Until its handlers are there moorctl itself would end, as any program does: the file tells when they are.
        mask = 1 << (signal.SIGTERM - 1)
        lib.wait_until(lambda: int(status_of(process.pid)["SigBlk"], 16) & mask, interval=0.0002, what="SIGTERM is handled")
        process.send_signal(signal.SIGTERM)
        next(line for line in monitor.stdout if f'["main",{signal.SIGTERM:d}]' in line)
        # The shell may not have had its trap yet: as init it gets no signal that it does not handle.
        while not ends(process, 2):
            process.send_signal(signal.SIGTERM)
        self.assertEqual(process.returncode, 9)
        process.communicate()

    def test_three_interrupts_stop_what_does_not_listen(self):
        process = self.popen("run", "--rm", "--stop-timeout=100ms", BUSYBOX, "sh", "-c", "trap '' INT; echo ready; sleep 1000")
        self.assertEqual(process.stdout.readline(), "ready\n")
        interrupt(process)
        _, err = rest(process)
        self.assertEqual(process.returncode, 137)
        self.assertIn("stopping", err)

    def test_detached(self):
        result = lib.moorctl("run", "-d", "--name=there", BUSYBOX, "sh", "-c", OBEDIENT)
        self.assertEqual((result.stdout, result.stderr), ("there\n", ""))
        self.assertRegex(lib.moorctl("run", "-d", BUSYBOX, "true").stdout, r"^[0-9a-f]{12}\n$")

    def test_rm_is_over_when_run_is(self):
        for _ in range(5):
            self.run_container("--name=again", BUSYBOX, "true")
        self.assertEqual(lib.moorctl("ps", "-aq").stdout, "")
        lib.moorctl("run", "--name=kept", BUSYBOX, "sh", "-c", "exit 4", check=False)
        self.assertEqual(self.inspect("kept")["ExitCode"], 4)

    def test_options_reach_the_container(self):
        with tempfile.TemporaryDirectory() as d, open(f"{d}/env", "w", encoding="utf-8") as f:
            f.write("# comment\nFILE=from file\nBOTH=file\nHERE\n")
            f.flush()
            os.chmod(d, 0o755)
            text = self.sh('echo "$FILE|$BOTH|$HERE|$PLAIN"; pwd; id -u; id -g; id -G; hostname; ls /m; ls /v; touch /v/x 2>/dev/null || '
                           'echo v-ro; touch /m/y 2>/dev/null || echo m-ro; stat -c %a /t; stat -c %a /t2; touch /new 2>/dev/null || echo root-ro',
                           "--env-file", f"{d}/env", "-e", "BOTH=option", "-e", "PLAIN=p", "-w", "/tmp", "-u", "1234:4321", "--group-add=77",
                           "--hostname=inside", "-v", f"{d}:/v:ro", f"--mount=type=bind,source={d},target=/m,readonly",
                           "--tmpfs=/t:mode=1770", "--mount=type=tmpfs,target=/t2,tmpfs-mode=750", "--read-only", "--network=none")
        self.assertEqual(text, "from file|option||p\n/tmp\n1234\n4321\n4321 77\ninside\nenv\nenv\nv-ro\nm-ro\n1770\n750\nroot-ro\n")

    def test_variables_of_ours(self):
        result = lib.run(["moorctl", "run", "--rm", "-e", "MINE", "-e", "NOT_SET", BUSYBOX, "sh", "-c", "echo $MINE ${NOT_SET-unset}"],
                         env={**os.environ, "MINE": "a=b c"})
        self.assertEqual(result.stdout, "a=b c unset\n")

    def test_relative_sources(self):
        with tempfile.TemporaryDirectory() as d:
            os.mkdir(f"{d}/sub")
            with open(f"{d}/sub/file", "w", encoding="utf-8") as f:
                f.write("content")
            for source in ("./sub", "../" + os.path.basename(d) + "/sub"):
                result = lib.run(["moorctl", "run", "--rm", "-v", f"{source}:/x", BUSYBOX, "cat", "/x/file"], cwd=d)
                self.assertEqual(result.stdout, "content")

    def test_entrypoint(self):
        self.assertEqual(self.run_container("--entrypoint=echo", BUSYBOX, "a").stdout, "a\n")
        self.assertEqual(self.run_container('--entrypoint=["echo","a b"]', BUSYBOX, "c").stdout, "a b c\n")
        self.assertEqual(self.run_container("--entrypoint=", BUSYBOX, "echo", "d").stdout, "d\n")

    def test_limits_are_unit_properties(self):
        lib.moorctl("run", "-d", "--name=limited", "--memory=64m", "--cpus=1.5", "--pids-limit=50", "-p", "CPUWeight=7",
                    "--stop-signal=USR1", "--stop-timeout=3", BUSYBOX, "sh", "-c", OBEDIENT)
        found = lib.unit_properties("moored-default-limited.service", "MemoryMax", "CPUQuotaPerSecUSec", "TasksMax", "CPUWeight",
                                    "KillSignal", "TimeoutStopUSec")
        self.assertEqual(float(found.pop("CPUQuotaPerSecUSec").rstrip("s")), 1.5)
        self.assertEqual(found, {"MemoryMax": str(64 << 20), "TasksMax": "50", "CPUWeight": "7", "KillSignal": "10",
                                 "TimeoutStopUSec": "3s"})

    def test_what_follows_the_image_is_the_command_s(self):
        self.assertEqual(self.run_container(BUSYBOX, "echo", "-n", "--rm", "--", "-x").stdout, "--rm -- -x")

    def test_the_image_is_pulled_when_it_is_missing(self):
        lib.moorctl("rmi", "-f", BUSYBOX)
        result = self.run_container(BUSYBOX, "echo", "ran")
        self.assertEqual(result.stdout, "ran\n")
        self.assertIn("Pulling", result.stderr)
        self.assertEqual(self.run_container(BUSYBOX, "true").stderr, "")
        self.assertIn("Pulling", self.run_container("--pull=always", BUSYBOX, "true").stderr)
        lib.moorctl("rmi", BUSYBOX)
        self.assertIn("busybox:test", self.run_container("--pull=never", BUSYBOX, "true", status=125).stderr)
        self.assertIn("ran", lib.moorctl("run", "-q", "--rm", BUSYBOX, "echo", "ran").stdout)
        lib.moorctl("rmi", BUSYBOX)
        self.assertEqual(lib.moorctl("create", "--name=made", "-q", BUSYBOX, "true").stdout, "made\n")

    def test_an_image_that_is_not_to_be_had(self):
        result = self.run_container(f"{lib.REGISTRY}/nothing:here", "true", status=125)
        self.assertIn("nothing:here", result.stderr)

    def test_another_namespace(self):
        lib.moorctl("namespace", "create", "elsewhere")
        self.addCleanup(lib.moorctl, "namespace", "rm", "elsewhere")
        self.addCleanup(lib.moorctl, "-n", "elsewhere", "rmi", "-f", BUSYBOX)
        self.assertEqual(lib.moorctl("-n", "elsewhere", "run", "--rm", "-q", BUSYBOX, "echo", "hi").stdout, "hi\n")
        self.assertEqual(lib.run(["moorctl", "run", "--rm", BUSYBOX, "echo", "hi"], env={**os.environ, "MOORED_NAMESPACE": "elsewhere"})
                         .stdout, "hi\n")
        self.assertEqual(lib.moorctl("images", "-q", "-n", "elsewhere").stdout, BUSYBOX + "\n")
        for command in (("run", BUSYBOX, "true"), ("pull", BUSYBOX), ("images",), ("ps",)):
            self.assertIn("There is no namespace 'nowhere'", lib.moorctl("-n", "nowhere", *command, check=False).stderr)


class DaemonAwayTest(ContainerTestCase):
    def foreground(self, script, *options):
        process = self.popen("run", *options, BUSYBOX, "sh", "-c", "echo ready; " + script)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def finish(self, process, status, out=""):
        self.assertEqual(rest(process), (out, ""))
        self.assertEqual(process.returncode, status)

    def test_killed_during_the_run(self):
        for options in (("--rm",), ("--name=kept",)):
            process = self.foreground("sleep 1; echo x; exit 5", *options)
            lib.kill9_moored(restart=False)
            self.finish(process, 5, "x\n")

    def test_ended_while_the_daemon_was_away(self):
        for options in (("--rm",), ()):
            process = self.foreground("while [ ! -e /x/end ]; do sleep 0.05; done; echo x; exit 6", "--name=ends", *options,
                                      "-v", self.directory() + ":/x")
            pid = int(lib.unit_properties(unit_of("ends"), "MainPID")["MainPID"])
            with daemon_away():
                self.end()
                lib.wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), what="it ends")
            self.finish(process, 6, "x\n")

    def test_stopped_daemon_is_started_for_the_end_only(self):
        script = "trap 'echo heard' USR1; while [ ! -e /x/end ]; do sleep 0.05; done; exit 7"
        process = self.foreground(script, "--name=remains", "--rm", "-v", self.directory() + ":/x")
        # Not before the call was answered: then moorctl would have to ask what came of it. It passes signals on from then on.
        wait_traps(int(lib.unit_properties(unit_of("remains"), "MainPID")["MainPID"]), script)
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.stdout.readline(), "heard\n")
        lib.run(["systemctl", "stop", "moored.service"])
        time.sleep(1.5)
        self.assertEqual(lib.moored_pid(), 0)
        self.end()
        self.finish(process, 7)

    def directory(self):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        self.path = d.name
        return d.name

    def end(self):
        """What the container waits for in that directory."""

        with open(self.path + "/end", "w", encoding="utf-8"):
            pass

    def test_killed_at_any_moment_of_the_start(self):
        for milliseconds in (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30):
            directory = self.directory()
            process = self.popen("run", "--rm", "-v", f"{directory}:/x", BUSYBOX, "sh", "-c", "echo ran; echo ran >>/x/runs; exit 9")
            time.sleep(milliseconds / 1000)
            lib.kill9_moored(restart=False)
            self.finish(process, 9, "ran\n")
            with open(directory + "/runs", encoding="ascii") as f:
                self.assertEqual(f.read(), "ran\n", f"after {milliseconds} ms")

    def test_many_kills_during_one_run(self):
        process = self.foreground("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done; exit 8", "--rm")
        for _ in range(4):
            time.sleep(0.3)
            lib.kill9_moored()
        self.finish(process, 8, "".join(f"{i}\n" for i in range(1, 9)))

    def test_a_question_is_asked_again(self):
        self.run_container("-d", "--name=asked", BUSYBOX, "sleep", "1000")
        for answer, *question in (("asked", "ps", "-q"), ("asked", "inspect", "asked"), (BUSYBOX, "images", "--json=short")):
            pid = lib.moored_pid()
            os.kill(pid, signal.SIGSTOP)
            process = self.popen(*question)
            # It is with one who will not answer.
            time.sleep(0.5)
            os.kill(pid, signal.SIGKILL)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, err), (0, ""), question)
            self.assertIn(answer, out)
            lib.wait_until(lambda: lib.moored_pid() not in (0, pid), what="moored is back")

    def test_a_pull_goes_on(self):
        lib.moorctl("rmi", "-f", DEBIAN)
        lib.moorctl("gc")
        process = self.popen("pull", DEBIAN)
        # Who stands still is not done before the daemon is killed.
        lib.wait_until(lambda: lib.helpers("fetch") and lib.run(["pkill", "-STOP", "-x", "moored-helper"], check=False).returncode == 0,
                       interval=0.002, what="the pull has begun")
        lib.kill9_moored(restart=False)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (0, DEBIAN + "\n"), err)
        self.assertIn("restarted", err)
        lib.assert_store_sound()

    def test_events_miss_nothing(self):
        begin = last_event()
        process = self.popen("events", "-f", f"--since={begin}", "--json=short")
        self.run_container("--name=one", BUSYBOX, "true")
        lib.kill9_moored()
        self.run_container("--name=two", BUSYBOX, "true")
        expected = [e["Sequence"] for e in events_since(begin)]
        got = [json.loads(process.stdout.readline())["Sequence"] for _ in expected]
        process.terminate()
        process.communicate()
        self.assertEqual(got, expected)

    def test_logs_follow_to_the_end(self):
        self.detach("writer", command=("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done"))
        process = self.popen("logs", "-f", "writer")
        time.sleep(0.3)
        lib.kill9_moored()
        self.finish(process, 0, "1\n2\n3\n4\n5\n6\n")

    def test_it_says_that_the_daemon_cannot_be_started(self):
        with daemon_away():
            result = lib.moorctl("ps", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("systemctl", result.stderr)
            self.assertEqual(lib.moorctl("run", BUSYBOX, "true", check=False).returncode, 125)

    def test_it_is_started_when_it_is_asked_for(self):
        lib.run(["systemctl", "stop", "moored.service"])
        self.assertEqual(self.run_container(BUSYBOX, "echo", "up").stdout, "up\n")
        self.assertNotEqual(lib.moored_pid(), 0)


class TerminalTest(ContainerTestCase):
    def test_output_in_order_and_never_the_terminal_itself(self):
        terminal = self.tty("moorctl", "run", "--rm", BUSYBOX, "sh", "-c",
                            "for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done; for f in 0 1 2; do test -t $f && echo terminal; done; exit 3")
        self.assertEqual(terminal.wait(), 3)
        self.assertEqual(terminal.text(), "".join(f"out{i}\nerr{i}\n" for i in range(1, 6)))

    def test_much_output_is_whole(self):
        terminal = self.tty("moorctl", "run", "--rm", BUSYBOX, "seq", "200000")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.text(), "".join(f"{i}\n" for i in range(1, 200001)))

    def test_one_of_the_two_is_a_terminal(self):
        terminal = self.tty("sh", "-c", f"moorctl run --rm {BUSYBOX} sh -c 'echo out; echo err >&2' 2>/tmp/test-moorctl-err")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.text(), "out\n")
        with open("/tmp/test-moorctl-err", encoding="ascii") as f:
            self.assertEqual(f.read(), "err\n")
        os.unlink("/tmp/test-moorctl-err")

    def test_input(self):
        terminal = self.tty("moorctl", "run", "--rm", "-i", BUSYBOX, "sh", "-c", "echo ready; while read l; do echo got $l; done; echo end")
        terminal.expect("ready")
        terminal.send("one\n")
        terminal.expect("got one")
        terminal.send("two\n\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertIn("got two\nend\n", terminal.text())

    def test_control_c(self):
        terminal = self.tty("moorctl", "run", "--rm", BUSYBOX, "sh", "-c", "trap 'echo int; exit 5' INT; echo ready; while :; do sleep 0.05; done")
        terminal.expect("ready")
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 5)
        self.assertIn("int\n", terminal.text())

    def test_hang_up_does_not_end_the_container(self):
        terminal = self.tty("moorctl", "run", "--name=survivor", BUSYBOX, "sh", "-c", "trap '' HUP; echo ready; sleep 1; echo more; exit 4")
        terminal.expect("ready")
        self.assertEqual(terminal.hang_up(), 4)
        self.assertEqual(self.inspect("survivor")["ExitCode"], 4)

    def test_progress_bars(self):
        lib.moorctl("rmi", "-f", DEBIAN)
        lib.moorctl("gc")
        terminal = self.tty("moorctl", "pull", DEBIAN, rows=30, columns=100)
        self.assertEqual(terminal.wait(60), 0)
        text = terminal.everything.decode()
        self.assertIn("━", text)
        self.assertRegex(text, r"\x1b\[\d+A")
        last = re.split(r"\x1b\[\d+A", text)[-1]
        self.assertEqual(last.count("  done "), 7)
        for line in last.splitlines():
            self.assertLess(len(re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", line)), 100)
        self.assertIn("Pulled sha256:", last)

    def test_a_pull_can_be_canceled(self):
        lib.moorctl("rmi", "-f", DEBIAN)
        lib.moorctl("gc")
        terminal = self.tty("moorctl", "pull", DEBIAN, rows=30, columns=100)
        # The end of the first picture; on a fast machine there is none of a download.
        terminal.expect("total")
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 1)
        self.assertIn("Canceled", terminal.text())
        self.assertNotIn(DEBIAN, lib.moorctl("images", "-q").stdout.split())

    def test_tables_fit(self):
        self.detach("with-a-rather-long-name", command=("sh", "-c", OBEDIENT + " # " + "long " * 40))
        terminal = self.tty("moorctl", "ps", "--no-pager", rows=30, columns=100)
        self.assertEqual(terminal.wait(), 0)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.text()).splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn("…", lines[1])
        self.assertLessEqual(max(map(len, lines)), 100)
        full = self.tty("moorctl", "ps", "--no-pager", "--full", columns=100, environment={"NO_COLOR": "1"})
        self.assertEqual(full.wait(), 0)
        self.assertIn("long " * 40, full.text() + " ")
        self.assertNotIn("\x1b", full.text())

    def test_pager(self):
        terminal = self.tty("moorctl", "--help", environment={"MOORED_PAGER": "sed s/^/paged:/"})
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(all(line.startswith("paged:") for line in terminal.text().splitlines()))
        terminal = self.tty("moorctl", "--no-pager", "--help", environment={"MOORED_PAGER": "sed s/^/paged:/"})
        self.assertEqual(terminal.wait(), 0)
        self.assertNotIn("paged:", terminal.text())


class ListTest(ContainerTestCase):
    def test_a_container_that_is_not_there_is_named(self):
        for args in (["attach", "gone"], ["exec", "gone", "true"], ["exec", "-d", "gone", "true"], ["healthcheck", "run", "gone"],
                     ["inspect", "gone"], ["inspect", "--type=container", "gone"], ["kill", "gone"], ["pause", "gone"],
                     ["resume", "gone"], ["restart", "gone"], ["rm", "gone"], ["start", "gone"], ["stop", "gone"], ["top", "gone"],
                     ["update", "--memory=1G", "gone"], ["wait", "gone"]):
            result = lib.moorctl(*args, check=False)
            self.assertNotEqual(result.returncode, 0, args)
            self.assertRegex(result.stderr, r"^moorctl: There is no container .*'gone' in the namespace default; moorctl ps -a", args)
        for args in (["attach", "gone/1"], ["kill", "gone/1"], ["rm", "gone/1"], ["wait", "gone/1"]):
            self.assertIn("There is no exec 'gone/1'", lib.moorctl(*args, check=False).stderr, args)

    def test_ps(self):
        self.detach("up", "--label=a=1", "--label=b")
        lib.moorctl("run", "--name=down", BUSYBOX, "sh", "-c", "exit 3", check=False)
        lib.moorctl("create", "--name=new", BUSYBOX, "true")
        self.assertEqual(lib.moorctl("ps").stdout.split()[:8], ["ID", "IMAGE", "COMMAND", "STATE", "EXIT", "PID", "PORTS", "UNIT"])
        self.assertEqual([r[0] for r in rows("ps")], ["up"])
        all_rows = {r[0]: r for r in rows("ps", "-a")}
        self.assertEqual(set(all_rows), {"up", "down", "new"})
        self.assertRegex(all_rows["up"][3], "^running")
        self.assertRegex(all_rows["down"][3], "^exited")
        self.assertEqual(all_rows["down"][4], "3")
        self.assertRegex(all_rows["new"][3], "^created")
        self.assertEqual(all_rows["up"][6:8], ["-", "moored-default-up.service"])
        self.assertEqual(lib.moorctl("ps", "-q").stdout, "up\n")
        self.assertEqual(set(lib.moorctl("ps", "-aq").stdout.split()), {"up", "down", "new"})

        def filtered(*filters):
            return set(lib.moorctl("ps", "-aq", *[f"--filter={f}" for f in filters]).stdout.split())

        self.assertEqual(filtered("state=exited"), {"down"})
        self.assertEqual(filtered("id=ne"), {"new"})
        self.assertEqual(filtered("image=busybox"), {"up", "down", "new"})
        self.assertEqual(filtered("image=debian"), set())
        self.assertEqual(filtered("label=a"), {"up"})
        self.assertEqual(filtered("label=a=1", "label=b="), {"up"})
        self.assertEqual(filtered("label=a=2"), set())

    def test_json_has_the_properties(self):
        self.detach("up")
        path = "/org/moored1/namespace/default/container/up"
        found = lib.moorctl_json("ps")
        self.assertLessEqual(CONTAINER_KEYS, set(found[0]))
        for key in ("Id", "State", "Unit", "LeaderPID", "ExitCode", "CreatedUSec", "Command", "Labels"):
            self.assertEqual(found[0][key], lib.busctl_property(path, "org.moored1.Container", key), key)
        self.assertEqual(json.loads(lib.moorctl("ps", "--json=pretty").stdout), found)
        self.assertIn("\n        {", lib.moorctl("ps", "--json=pretty").stdout)
        # How long it has been running is in there.
        lib.wait_until(lambda: lib.moorctl("ps", "--json=short", "--json=off").stdout == lib.moorctl("ps").stdout, what="the same table")
        images = lib.moorctl_json("images")
        self.assertLessEqual(IMAGE_KEYS, set(images[0]))

    def test_empty_lists(self):
        self.assertEqual(lib.moorctl_json("ps", "-a"), [])
        self.assertEqual(lib.moorctl("ps", "-a", "--no-legend").stdout, "")
        self.assertEqual(lib.moorctl("ps", "-a").stdout.count("\n"), 1)

    def test_many(self):
        names = [f"c{i}" for i in range(150)]
        for name in names:
            lib.moorctl("create", f"--name={name}", BUSYBOX, "true")
        self.assertEqual({c["Id"] for c in lib.moorctl_json("ps", "-a")}, set(names))
        lib.moorctl("rm", *names)
        self.assertEqual(lib.moorctl("ps", "-aq").stdout, "")

    def test_inspect(self):
        self.detach("up")
        found = lib.moorctl_json("inspect", "up")[0]
        self.assertLessEqual(CONTAINER_KEYS, set(found))
        self.assertNotIn("Spec", found)
        self.assertEqual(lib.moorctl_json("inspect", "--spec", "up")[0]["Spec"]["process"]["args"], found["Command"])
        image = lib.moorctl_json("inspect", BUSYBOX)[0]
        self.assertLessEqual(IMAGE_KEYS, set(image))
        self.assertEqual(image["Config"]["os"], "linux")
        self.assertEqual([o.get("Id") or o.get("Name") for o in lib.moorctl_json("inspect", "up", BUSYBOX)], ["up", BUSYBOX])
        self.assertIn('\n        {', lib.moorctl("inspect", "up").stdout)
        self.assertEqual(lib.moorctl("inspect", "--type=image", "up", check=False).returncode, 1)
        self.assertIn("'nothing'", lib.moorctl("inspect", "nothing", check=False).stderr)

    def test_wait(self):
        for code in (3, 0):
            lib.moorctl("run", "-d", f"--name=w{code}", BUSYBOX, "sh", "-c", f"sleep 0.{code + 2}; exit {code}")
        self.assertEqual(lib.moorctl("wait", "w3", "w0").stdout, "3\n0\n")
        self.assertEqual(lib.moorctl("wait", "w3").stdout, "3\n")
        self.assertEqual(lib.moorctl("wait", "nothing", check=False).returncode, 1)

    def test_several_of_which_one_fails(self):
        self.detach("a")
        self.detach("b")
        result = lib.moorctl("stop", "a", "missing", "b", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("missing: ", result.stderr)
        self.assertEqual(lib.moorctl("ps", "-q").stdout, "")
        self.assertEqual(lib.moorctl("rm", "-f", "a", "missing", "b").stderr, "")
        result = lib.moorctl("rm", "missing", check=False)
        self.assertEqual((result.returncode, "'missing'" in result.stderr), (1, True))

    def test_life(self):
        script = "trap 'exit 2' HUP; trap 'exit 4' TERM; while :; do sleep 0.05; done"
        self.assertEqual(lib.moorctl("create", "--name=x", BUSYBOX, "sh", "-c", script).stdout, "x\n")

        def start():
            lib.moorctl("start", "x")
            pid = self.inspect("x")["LeaderPID"]
            wait_traps(pid, script)
            return pid

        for verb, code in ((("kill", "-s", "HUP"), 2), (("stop",), 4), (("kill",), 137), (("kill", "-s", "SIGKILL", "--whom=all"), 137),
                           (("stop", "-t", "5s"), 4)):
            start()
            self.assertEqual(lib.moorctl(*verb, "x").stdout, "")
            self.assertEqual(lib.moorctl("wait", "x").stdout, f"{code}\n", verb)
        pid = start()
        lib.moorctl("restart", "x")
        self.assertNotIn(self.inspect("x")["LeaderPID"], (0, pid))
        self.assertEqual(lib.moorctl("start", "x", check=False).returncode, 1)
        self.assertEqual(lib.moorctl("rm", "x", check=False).returncode, 1)
        lib.moorctl("rm", "-f", "x")


class EventsTest(ContainerTestCase):
    def test_what_and_since_when(self):
        begin = last_event()
        before = time.time()
        self.run_container("--name=e", BUSYBOX, "sh", "-c", "exit 3", status=3)
        events = events_since(begin, "e")
        self.assertEqual([e["Topic"] for e in events], ["container/" + t for t in ("created", "started", "exited", "removed")])
        self.assertEqual(events[2]["Details"]["ExitCode"], 3)
        self.assertEqual(set(events[0]), {"Sequence", "USec", "Namespace", "Topic", "Subject", "Details"})
        self.assertEqual([json.loads(line)["Sequence"] for line in lib.moorctl("events", "--json=short", "-n", "2").stdout.splitlines()],
                         [e["Sequence"] for e in events[2:]])
        text = lib.moorctl("events", f"--since={begin}").stdout
        self.assertRegex(text, r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  default +container/exited +e  .*ExitCode=3")
        self.assertIn("container/exited", lib.moorctl("events", f"--since=@{int(before)}").stdout)
        self.assertEqual(lib.moorctl("events", "--since=2100-01-01").stdout, "")
        self.assertEqual(lib.moorctl("--namespace=other", "events").stdout, "")
        self.assertIn("container/exited", lib.moorctl("--namespace=default", "events", f"--since={begin}").stdout)

    def test_follow_begins_now(self):
        self.run_container("--name=before", BUSYBOX, "true")
        process = self.popen("events", "-f", "--json=short")
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)

        def listens():
            # Until one arrives: nothing tells when it has begun to listen.
            lib.moorctl("tag", BUSYBOX, "localhost/heard:1")
            lib.moorctl("rmi", "localhost/heard:1")
            return select.select([process.stdout], [], [], 0.1)[0]

        lib.wait_until(listens, what="it hears of an event")
        self.run_container("--name=after", BUSYBOX, "true")
        events = []
        while not events or (events[-1]["Topic"], events[-1]["Subject"]) != ("container/removed", "after"):
            events.append(json.loads(process.stdout.readline()))
        self.assertEqual({e["Subject"] for e in events}, {"localhost/heard:1", "after"})
        self.assertEqual([e["Topic"] for e in events if e["Subject"] == "after"],
                         ["container/" + t for t in ("created", "started", "exited", "removed")])


class ImageTest(ContainerTestCase):
    def tearDown(self):
        for name in lib.moorctl("images", "-q").stdout.split():
            if name not in (BUSYBOX, DEBIAN):
                lib.moorctl("rmi", name)
        super().tearDown()

    def test_pull(self):
        lib.moorctl("rmi", "-f", BUSYBOX)
        lib.moorctl("gc")
        result = lib.moorctl("pull", BUSYBOX)
        self.assertEqual(result.stdout, BUSYBOX + "\n")
        self.assertRegex(result.stderr, r"(?m)^[0-9a-f]{12}: done \(")
        self.assertNotIn("\x1b", result.stderr)
        result = lib.moorctl("pull", BUSYBOX)
        self.assertRegex(result.stderr, r"(?m)^[0-9a-f]{12}: present \(")
        result = lib.moorctl("pull", "-q", BUSYBOX)
        self.assertEqual((result.stdout, result.stderr), (BUSYBOX + "\n", ""))
        self.assertEqual(lib.moorctl_json("pull", "-q", BUSYBOX)["Name"], BUSYBOX)
        result = lib.moorctl("pull", "UPPER", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("UPPER", result.stderr)
        lib.moorctl("pull", "-q", "--platform=linux/amd64", BUSYBOX)
        self.assertIn("plan9", lib.moorctl("pull", "--platform=plan9/amd64", f"{lib.REGISTRY}/busybox:multi", check=False).stderr)

    def test_images(self):
        self.assertEqual(lib.moorctl("images").stdout.split()[:5], ["NAME", "DIGEST", "PLATFORM", "CREATED", "SIZE"])
        row = next(r for r in rows("images") if r[0] == BUSYBOX)
        self.assertRegex(row[1], "^[0-9a-f]{12}$")
        self.assertEqual(row[2], "linux/amd64")
        self.assertIn(BUSYBOX, lib.moorctl("images", "-q").stdout.split())

    def test_tag_and_rmi(self):
        lib.moorctl("tag", BUSYBOX, "mine")
        lib.moorctl("tag", BUSYBOX, "localhost/other:1")
        self.assertLessEqual({"docker.io/library/mine:latest", "localhost/other:1"}, set(lib.moorctl("images", "-q").stdout.split()))
        self.assertEqual(self.run_container("mine", "echo", "x").stdout, "x\n")
        result = lib.moorctl("rmi", "mine", "missing", "localhost/other:1", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("missing", result.stderr)
        self.assertNotIn("docker.io/library/mine:latest", lib.moorctl("images", "-q").stdout)
        self.assertEqual(lib.moorctl("rmi", "-f", "missing").stderr, "")
        lib.moorctl("tag", BUSYBOX, "used")
        lib.moorctl("create", "--name=user", "used", "true")
        self.assertEqual(lib.moorctl("rmi", "used", check=False).returncode, 1)
        lib.moorctl("rmi", "-f", "used")
        self.assertEqual(lib.moorctl("tag", "missing", "x", check=False).returncode, 1)

    def test_import(self):
        with tempfile.TemporaryDirectory() as d:
            # Readable for root alone: moorctl reads it, not the importer's user.
            archive, layout = f"{d}/archive.tar", f"{d}/layout"
            lib.run(["skopeo", "copy", "-q", f"oci:{lib.TEST_IMAGES}/busybox:test", f"oci:{layout}:test"])
            lib.run(["tar", "-C", layout, "-cf", archive, "."])
            docker = f"{d}/docker.tar"
            lib.run(["skopeo", "copy", "-q", f"oci:{layout}:test", f"docker-archive:{docker}:saved/app:7"])
            self.assertEqual(lib.moorctl("import", "--name=from-directory:1", layout).stdout, "docker.io/library/from-directory:1\n")
            self.assertEqual(lib.moorctl("import", "--name=from-tar:1", archive).stdout, "docker.io/library/from-tar:1\n")
            with open(archive, "rb") as f:
                result = lib.run(["moorctl", "import", "-q", "--name=from-stdin:1", "-"], stdin=f)
            self.assertEqual(result.stdout, "docker.io/library/from-stdin:1\n")
            piped = lib.run(f"cat {archive} | moorctl import --name=from-pipe:1 -")
            self.assertEqual(piped.stdout, "docker.io/library/from-pipe:1\n")
            self.assertEqual(lib.moorctl("import", docker).stdout, "docker.io/saved/app:7\n")
            for name in ("from-directory:1", "from-tar:1", "from-stdin:1", "from-pipe:1", "saved/app:7"):
                self.assertEqual(self.run_container("--pull=never", name, "echo", name).stdout, name + "\n")
            several = lib.moorctl("import", "--name=one", f"{lib.TEST_IMAGES}/busybox", check=False)
            self.assertEqual(several.returncode, 1)
            self.assertIn("several", several.stderr)
            self.assertEqual(lib.moorctl("import", f"{d}/missing", check=False).returncode, 1)
            os.mkdir(f"{d}/nothing")
            self.assertEqual(lib.moorctl("import", "--name=bad", f"{d}/nothing", check=False).returncode, 1)
            with open(f"{d}/bad", "w", encoding="ascii") as f:
                f.write("no archive")
            self.assertEqual(lib.moorctl("import", "--name=bad", f"{d}/bad", check=False).returncode, 1)
        lib.assert_store_sound()


class SystemTest(ContainerTestCase):
    def test_info_and_version(self):
        info = lib.moorctl_json("info")
        self.assertLessEqual({"Version", "Features", "Snapshotters", "Runtimes", "Platform", "NContainers", "NImages", "EventSequence"}, set(info))
        self.assertIn("networks", info["Features"])
        self.assertRegex(lib.moorctl("info").stdout, rf"(?m)^ *Version: {re.escape(info['Version'])}$")
        version = lib.moorctl("version").stdout.splitlines()
        self.assertEqual(version, [f"moorctl {info['Version']}", f"moored {info['Version']}"])
        self.assertEqual(lib.moorctl_json("version"), {"ClientVersion": info["Version"], "Version": info["Version"]})

    def test_no_such_namespace(self):
        for verb in "ps", "images":
            self.assertIn("There is no namespace 'nosuch'", lib.moorctl("-n", "nosuch", verb, check=False).stderr)

    def test_gc(self):
        lib.moorctl("gc")
        self.assertEqual(lib.moorctl_json("gc", "--dry-run"), {"Blobs": 0, "Snapshots": 0, "Bytes": 0})
        self.assertRegex(lib.moorctl("gc").stdout, r"^Freed 0 blobs and 0 snapshots, 0B\n$")
        self.assertRegex(lib.moorctl("gc", "--dry-run").stdout, r"^Would free")

    def test_namespaces(self):
        self.assertEqual(lib.moorctl("namespace", "create", "team-a", "--label", "owner=me", "--label=x").stdout, "")
        self.addCleanup(lib.moorctl, "namespace", "rm", "team-a", check=False)
        found = {n["Name"]: n for n in lib.moorctl_json("namespace")}
        self.assertEqual(found["team-a"]["Labels"], {"owner": "me", "x": ""})
        self.assertIn("default", found)
        self.assertEqual({r[0] for r in rows("namespace", "ls")}, set(found))
        self.assertEqual(set(lib.moorctl("namespace", "ls", "-q").stdout.split()), set(found))
        self.assertEqual(lib.moorctl("namespace", "create", "team-a", check=False).returncode, 1)
        lib.moorctl("namespace", "rm", "team-a")
        self.assertEqual(lib.moorctl("namespace", "rm", "team-a", check=False).returncode, 1)

    def test_a_user_who_may_not(self):
        result = lib.run(["runuser", "-u", "nobody", "--", "moorctl", "run", "--rm", BUSYBOX, "true"], check=False)
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, "(?i)root")
        result = lib.run(["runuser", "-u", "nobody", "--", "moorctl", "--no-ask-password", "rmi", BUSYBOX], check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(lib.run(["runuser", "-u", "nobody", "--", "moorctl", "ps"]).returncode, 0)

    def test_this_host_as_a_machine(self):
        self.assertEqual(lib.moorctl("-M", ".host", "run", "--rm", BUSYBOX, "echo", "x").stdout, "x\n")
        self.assertEqual(lib.moorctl("-M", "no-such-machine", "ps", check=False).returncode, 1)

    def test_another_host(self):
        """The bridge that ssh would start there, started here: a connection that carries no descriptors."""

        with tempfile.TemporaryDirectory() as d:
            with open(f"{d}/ssh", "w", encoding="ascii") as f:
                f.write('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\necho "$1" >>"$0.hosts"\nshift\nexec "$@"\n')
            os.chmod(f"{d}/ssh", 0o755)

            def remote(*args):
                return lib.run(["moorctl", "-H", "me@elsewhere", *args], check=False, env={**os.environ, "PATH": d + ":" + os.environ["PATH"]})

            self.assertEqual(remote("run", "-d", "--name=far", BUSYBOX, "sh", "-c", OBEDIENT).stdout, "far\n")
            self.assertEqual(remote("ps", "-q").stdout, "far\n")
            self.assertEqual(remote("rm", "-f", "far").returncode, 0)
            for args, status, text in [(("run", BUSYBOX, "true"), 125, "-d"), (("import", "/etc/passwd"), 1, "moorctl import -"),
                                       (("logs", "x"), 1, "ssh me@elsewhere moorctl logs")]:
                result = remote(*args)
                self.assertEqual((result.returncode, text in result.stderr), (status, True), result.stderr)
            with open(f"{d}/ssh.hosts", encoding="ascii") as f:
                self.assertEqual(set(f.read().split()), {"me@elsewhere"})

    def test_it_is_small_to_load(self):
        loaded = lib.run(["ldd", "/usr/bin/moorctl"]).stdout
        self.assertIn("libsystemd", loaded)
        for library in ("curl", "archive", "sqlite", "crypto.so", "seccomp", "isal"):
            self.assertNotIn("lib" + library, loaded)

    def test_a_broken_output_is_an_error(self):
        self.assertNotEqual(lib.run("moorctl info >/dev/full", check=False).returncode, 0)

