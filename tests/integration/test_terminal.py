# SPDX-License-Identifier: LGPL-2.1-or-later
"""Terminals and streams: run -i -t, attach, and what a daemon that is killed leaves of them."""

import os
import random
import signal
import subprocess
import threading
import unittest

import lib
from lib_container import BUSYBOX, ContainerTestCase, status_of, unit_of

DETACH = "\x10\x11"
COUNT = "stty -opost; i=0; while [ $i -lt {n} ]; do echo line-$i; i=$((i+1)); done; exit 5"


def descriptors(pid):
    """What a process has open."""

    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    return found


def stored():
    """How many descriptors moored.service has in its store."""

    return int(lib.unit_properties("moored.service", "NFileDescriptorStore")["NFileDescriptorStore"])


class TerminalTestCase(ContainerTestCase):
    def setUp(self):
        super().setUp()
        self.stored_before = stored()
        self.addCleanup(lambda: lib.wait_until(lambda: stored() == self.stored_before, what="an empty store of descriptors"))
        # Before that, in the opposite order: the containers go.
        self.addCleanup(self._clean)

    def run_tty(self, *args, **kwargs):
        return self.tty("moorctl", "run", "--rm", "-it", *args, **kwargs)

    def shell(self, *options, **kwargs):
        """A shell in the foreground, whose prompt was shown."""

        t = self.run_tty("--env=PS1=ready: ", *options, BUSYBOX, "sh", **kwargs)
        t.expect("ready: ")
        return t


class SessionTests:
    """What holds of a container's terminal and of an exec's alike: shell() and command() give one of either."""

    def test_size(self):
        t = self.shell()
        t.send("while test \"$(stty size)\" != '44 132'; do sleep 0.1; done; echo chan''ged\r")
        t.expect("ged\r")
        t.resize(44, 132)
        t.expect("changed\r\n")

    def test_signals_are_keys(self):
        t = self.shell()
        t.send("trap 'echo inter''rupted' INT; echo loo''ping; while :; do sleep 0.1; done\r")
        t.expect("looping\r\n")
        t.send("\x03")
        t.expect("interrupted")

    def test_output_to_the_last_byte(self):
        """However short it is, and however much it writes at its end."""

        for n in (0, 1, 5000):
            t = self.command("sh", "-c", COUNT.format(n=n))
            self.assertEqual(t.wait(), 5)
            self.assertEqual(t.data.replace(b"\r", b""), b"".join(b"line-%d\n" % i for i in range(n)))

    def test_not_found(self):
        t = self.command("nosuchcommand")
        self.assertEqual(t.wait(), 127)
        self.assertIn(b"nosuchcommand", t.data)
        self.assertFalse(t.is_raw())


class RunTest(SessionTests, TerminalTestCase):
    def command(self, *args):
        return self.run_tty(BUSYBOX, *args)

    def test_terminal(self):
        t = self.shell(rows=33, columns=101)
        lib.wait_until(t.is_raw, what="a raw terminal")
        t.send("stty size; tty; echo TERM=$TERM; test -c /dev/console && echo con''sole\r")
        t.expect("33 101\r\n/dev/pts/0\r\nTERM=xterm\r\nconsole\r\n")
        t.send("for i in 0 1 2; do test -t $i || echo no; done; echo ok''ay\r")
        self.assertNotIn("no\r\n", t.expect("okay\r\n"))
        t.send("exit 7\r")
        self.assertEqual(t.wait(), 7)
        self.assertFalse(t.is_raw())

    def test_without_a_window(self):
        """A terminal inside, none outside."""

        self.assertEqual(self.run_container("-t", BUSYBOX, "sh", "-c", "tty; exit 6", status=6).stdout, "/dev/pts/0\n")
        result = self.run_container("-it", "--env=PS1=", BUSYBOX, "sh", status=4, input="echo $((6*7))\nexit 4\n")
        self.assertIn("\n42\n", result.stdout)
        # The end of the input is Ctrl-D.
        self.assertIn("text", self.run_container("-it", BUSYBOX, "cat", input="text").stdout)

    def test_options_that_make_no_sense(self):
        for options, text in ((("--detach-keys=ctrl-p,nokey",), "nokey"), (("--log=fd",), "--log=fd"), (("--log=file:/tmp/x",), "Log")):
            result = lib.moorctl("run", "--rm", "-it", *options, BUSYBOX, "true", check=False)
            self.assertEqual(result.returncode, 125, result.stderr)
            self.assertIn(text, result.stderr)

    def test_what_the_bus_says(self):
        self.shell("--name=shown")
        properties = self.inspect("shown")
        self.assertTrue(properties["Terminal"])
        self.assertFalse(properties["OpenStandardInput"])
        path = "/org/moored1/namespace/default/container/shown"
        lib.busctl_call(path, "org.moored1.Container", "Resize", "uu", 50, 60)
        for arguments, text in ((("Resize", "uu", 70000, 1), "65535"), (("CloseStandardInput",), "standard input"),
                                (("Attach", "a{sv}", 1, "Nothing", "b", "true"), "Nothing")):
            result = lib.busctl_call(path, "org.moored1.Container", *arguments, check=False)
            self.assertIn(text, result.stderr)


class AttachTest(TerminalTestCase):
    def background(self, name, *options):
        lib.moorctl("run", "-d", "-it", "--env=PS1=ready: ", f"--name={name}", *options, BUSYBOX, "sh")
        return name

    def attach(self, name, *options, **kwargs):
        return self.tty("moorctl", "attach", *options, name, **kwargs)

    def test_detach_and_come_back(self):
        t = self.shell("--name=back")
        t.send("x=kept\r")
        t.expect("ready: ")
        t.send("\x10y")  # a beginning of the keys alone is typed: the last line comes back
        t.expect("x=kept")
        t.expect("y")
        t.send("\x15" + DETACH)
        self.assertEqual(t.wait(), 0)
        self.assertIn(b"moorctl attach back", t.data)
        self.assertFalse(t.is_raw())

        t = self.attach("back", rows=30, columns=90)
        t.expect("ready: ")  # what was shown before
        t.send("\x15stty size; echo $x; exit 3\r")
        t.expect("30 90\r\nkept\r\n")
        self.assertEqual(t.wait(), 3)
        lib.wait_until(lambda: "back" not in lib.moorctl("ps", "-aq").stdout, what="it is removed")

    def test_other_keys(self):
        name = self.background("keys")
        t = self.attach(name, "--detach-keys=ctrl-],q")
        t.expect("ready: ")
        t.send(DETACH + "\x15echo st''ill\r")
        t.expect("still\r\n")
        t.send("\x1dq")
        self.assertEqual(t.wait(), 0)
        t = self.attach(name, "--detach-keys=")
        t.expect("still\r\n")
        t.send("\x1dq\x15exit 2\r")
        self.assertEqual(t.wait(), 2)

    def test_several(self):
        name = self.background("several")
        first, second = self.attach(name, rows=20, columns=60), self.attach(name, "--no-stdin", rows=31, columns=61)
        first.expect("ready: ")
        second.expect("ready: ")
        self.assertFalse(second.is_raw())
        first.send("echo from-''first\r")
        first.expect("from-first\r\n")
        second.expect("from-first\r\n")
        second.send("echo un''heard\r")
        second.kill()
        first.send("echo al''one\r")
        self.assertNotIn("unheard", first.expect("alone\r\n"))
        # The last one's window counts.
        third = self.attach(name, rows=40, columns=100)
        third.expect("alone\r\n")
        third.send("stty size\r")
        first.expect("40 100\r\n")
        third.send("exit 9\r")
        self.assertEqual((first.wait(), third.wait()), (9, 9))

    def test_nobody_there(self):
        lib.moorctl("run", "-d", "-t", "--name=alone", BUSYBOX, "sh", "-c", "echo first; echo second; exit 4")
        lib.moorctl("wait", "alone")
        lib.wait_until(lambda: lib.moorctl("logs", "alone").stdout == "first\nsecond\n", what="the lines in the log")
        result = lib.moorctl("attach", "alone", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("exited", result.stderr)
        lib.run(["journalctl", "--sync"])
        unit = lib.run(["journalctl", "-o", "cat", "-u", unit_of("alone")]).stdout
        self.assertIn("first\nsecond\n", unit)

    def test_a_session_is_not_logged(self):
        t = self.shell("--name=private")
        t.send("echo sec''ret\r")
        t.expect("secret\r\n")
        t.send(DETACH)
        t.wait()
        t = self.attach("private")
        t.send("\x15echo pub''lic; exit 0\r")
        t.expect("public\r\n")
        t.wait()
        lib.wait_until(lambda: "public" in lib.moorctl("logs", "private").stdout, what="the line in the log")
        self.assertNotIn("secret\n", lib.moorctl("logs", "private").stdout)

    def test_log_none(self):
        lib.moorctl("run", "-d", "-t", "--log=none", "--name=silent", BUSYBOX, "sh", "-c", "echo nothing; exit 0")
        lib.moorctl("wait", "silent")
        lib.run(["journalctl", "--sync"])
        self.assertEqual(lib.run("journalctl -q -o cat MOORED_CONTAINER=silent MOORED_STREAM=terminal").stdout, "")

    def test_created_and_started(self):
        lib.moorctl("create", "-it", "--name=later", "--env=PS1=ready: ", BUSYBOX, "sh")
        for code in (1, 2):
            lib.moorctl("start", "later")
            t = self.attach("later")
            t.expect("ready: ")
            t.send(f"exit {code}\r")
            self.assertEqual(t.wait(), code)

    def test_restart_by_systemd(self):
        lib.moorctl("run", "-d", "-it", "--restart=on-failure", "--name=again",
                    "--env=PS1=ready: ", BUSYBOX, "sh")
        t = self.attach("again")
        t.expect("ready: ")
        t.send("echo ''one; exit 1\r")
        t.expect("one\r\n")
        t.expect("ready: ")
        t.send("echo ''two\r")
        t.expect("two\r\n")
        t.send("exit 0\r")
        self.assertEqual(t.wait(), 0)

    def test_slow_client(self):
        """One that takes nothing makes nobody wait for long, and comes back when it can."""

        name = self.background("slow")
        slow, good = self.attach(name), self.attach(name)
        slow.expect("ready: ")
        good.expect("ready: ")
        os.kill(slow.pid, signal.SIGSTOP)
        good.send("stty -opost; yes 123456789 | head -n 200000; stty opost; echo do''ne\r")
        shown = good.expect("done\r\n", timeout=60)
        self.assertEqual(shown.count("123456789\n"), 200000)
        os.kill(slow.pid, signal.SIGCONT)
        slow.expect("done\r\n")
        slow.send("echo he''re; exit 0\r")
        slow.expect("here\r\n")
        self.assertEqual((slow.wait(), good.wait()), (0, 0))


class InputTest(TerminalTestCase):
    """Standard input without a terminal."""

    SCRIPT = "while read -r line; do echo out $line; echo err $line >&2; done; echo the end; exit 3"

    def background(self, name):
        lib.moorctl("run", "-d", "-i", f"--name={name}", BUSYBOX, "sh", "-c", self.SCRIPT)
        return name

    def attach(self, name, *options):
        p = subprocess.Popen(["moorctl", "attach", *options, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
        self.addCleanup(self.finish, p)
        return p

    @staticmethod
    def wait_ready(p):
        """Until it has taken the signals for itself."""

        bit = 1 << (signal.SIGTERM - 1)
        lib.wait_until(lambda: int(status_of(p.pid)["SigBlk"], 16) & bit, what="moorctl has its signals")

    @staticmethod
    def finish(p):
        p.kill()
        for stream in (p.stdin, p.stdout, p.stderr):
            stream.close()
        p.wait()

    def test_stays_open(self):
        name = self.background("open")
        self.assertTrue(self.inspect(name)["OpenStandardInput"])
        for word in ("one", "two"):
            p = self.attach(name)
            p.stdin.write(f"{word}\n")
            p.stdin.flush()
            self.assertEqual(p.stdout.readline(), f"out {word}\n")
            self.assertEqual(p.stderr.readline(), f"err {word}\n")
            # Who dies has not closed it.
            p.kill()
            p.wait()
            lib.kill9_moored()
        p = self.attach(name)
        self.assertEqual(p.communicate("three\n", timeout=20), ("out three\nthe end\n", "err three\n"))
        self.assertEqual(p.returncode, 3)
        self.assertEqual(lib.moorctl("logs", name).stdout, "out one\nout two\nout three\nthe end\n")

    def test_closed_over_the_bus(self):
        name = self.background("closed")
        lib.busctl_call(f"/org/moored1/namespace/default/container/{name}", "org.moored1.Container", "CloseStandardInput")
        self.assertEqual(lib.moorctl("wait", name).stdout, "3\n")

    def test_only_looking(self):
        name = self.background("looking")
        p = self.attach(name, "--no-stdin")
        # It shows what comes from then on.
        lib.wait_until(lambda: "anon_inode:inotify" in descriptors(p.pid), what="it watches the journal")
        other = self.attach(name)
        other.stdin.write("word\n")
        other.stdin.flush()
        self.assertEqual(p.stdout.readline(), "out word\n")
        self.assertEqual(other.stdout.readline(), "out word\n")
        p.stdin.close()
        other.stdin.close()
        self.assertEqual((other.wait(timeout=20), p.wait(timeout=20)), (3, 3))

    def test_file(self):
        """An input that cannot be waited for."""

        name = self.background("file")
        with open("/etc/passwd", encoding="utf-8") as f:
            lines = f.read().splitlines()
        with open("/etc/passwd", encoding="utf-8") as f:
            p = subprocess.run(["moorctl", "attach", name], stdin=f, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=30, check=False)
        self.assertEqual(p.returncode, 3)
        self.assertEqual(p.stdout.splitlines(), [f"out {line}" for line in lines] + ["the end"])

    def test_without_input(self):
        self.detach("none")
        p = self.attach("none", "--sig-proxy=no")
        self.wait_ready(p)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(timeout=20), 128 + signal.SIGINT)
        p = self.attach("none")
        self.wait_ready(p)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(timeout=20), 0)


class DaemonTest(TerminalTestCase):
    """Sessions go on whatever happens to the daemon."""

    def test_killed_and_restarted(self):
        t = self.shell("--name=on")
        for end in (lib.kill9_moored, lambda: lib.run(["systemctl", "restart", "moored.service"])):
            t.send("for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; echo li''ne-$i; done\r")
            t.expect("line-1\r\n")
            end()
            for i in range(2, 10):
                t.expect(f"line-{i}\r\n")
            t.send("echo st''ill\r")
            t.expect("still\r\n")
            t.resize(40 + len(t.data), 91)
            t.send("\r")
        t.send("until stty size | grep -q ' 91$'; do sleep 0.1; done; echo wi''de\r")
        t.expect("wide\r\n")
        t.send("exit 8\r")
        self.assertEqual(t.wait(), 8)

    def test_ends_while_it_is_away(self):
        t = self.shell("--name=away")
        pid = self.inspect("away")["LeaderPID"]
        t.send("sleep 0.5; echo la''st; exit 11\r")
        os.kill(lib.moored_pid(), signal.SIGSTOP)
        lib.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the shell ends")
        os.kill(lib.moored_pid(), signal.SIGKILL)
        t.expect("last\r\n")
        self.assertEqual(t.wait(), 11)

    def test_stopped(self):
        """Where systemd keeps a stopped unit's descriptors (254) sessions wait; else the terminals hang up."""

        keeps = "yes" in lib.run(["systemctl", "show", "-P", "FileDescriptorStorePreserve", "moored.service"]).stdout
        t = self.shell("--name=stopped")
        lib.run(["systemctl", "stop", "moored.service"])
        if keeps:
            # It stays where it is until somebody passes it on.
            t.send("echo wai''ted; exit 12\r")
        lib.start_moored()
        if keeps:
            t.expect("waited\r\n")
        self.assertEqual(t.wait(), 12 if keeps else 0)

    def test_paused(self):
        t = self.shell("--name=paused")
        lib.moorctl("pause", "paused")
        lib.kill9_moored()
        t.send("echo thaw''ed; exit 14\r")
        lib.moorctl("resume", "paused")
        t.expect("thawed\r\n")
        self.assertEqual(t.wait(), 14)

    def test_between_two_runs(self):
        """PID 1 starts the process again while the daemon is on its way back."""

        lib.moorctl("run", "-d", "-it", "--restart=on-failure", "--name=between", "--env=PS1=ready: ", BUSYBOX, "sh")
        t = self.tty("moorctl", "attach", "between")
        for _ in range(3):
            t.expect("ready: ")
            t.send("exit 1\r")
            lib.kill9_moored()
        t.expect("ready: ", timeout=40)

        def ends():
            # That prompt may be the last run's, shown again: what is typed then may go with that run.
            t.send("exit 0\r")
            try:
                return t.wait(2) == 0
            except AssertionError:
                return False

        lib.wait_until(ends, what="the container ends")

    def test_a_restart_of_pid_1(self):
        t = self.shell("--name=reexec")
        lib.run(["systemctl", "daemon-reexec"])
        lib.kill9_moored()
        t.send("echo still ''here; exit 13\r")
        t.expect("still here\r\n")
        self.assertEqual(t.wait(), 13)

    def test_nothing_is_lost_or_doubled(self):
        n = 100000
        t = self.run_tty("--name=count", BUSYBOX, "sh", "-c", COUNT.format(n=n))
        done = threading.Event()
        kills = 0

        def killer():
            nonlocal kills
            generator = random.Random(4)
            while not done.wait(generator.random() * 0.2):
                lib.kill9_moored()
                kills += 1

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            self.assertEqual(t.wait(timeout=90), 5)
        finally:
            done.set()
            thread.join()
        lines = t.data.replace(b"\r", b"").split(b"\n")[:-1]
        self.assertGreater(kills, 0)
        self.assertEqual([l for i, l in enumerate(lines) if l != b"line-%d" % i][:3], [])
        self.assertEqual(len(lines), n)


if __name__ == "__main__":
    unittest.main()
