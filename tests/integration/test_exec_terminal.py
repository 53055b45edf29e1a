# SPDX-License-Identifier: LGPL-2.1-or-later
"""Execs with a terminal: shown, left, joined again, and what a daemon that is killed leaves of them."""

import time

import lib
from test_terminal import COUNT, DETACH, SessionTests, TerminalTestCase


class ExecTerminalTest(SessionTests, TerminalTestCase):
    def setUp(self):
        super().setUp()
        self.detach("web", command=("sleep", "1000"))

    def exec_tty(self, *args, **kwargs):
        return self.tty("moorctl", "exec", "-it", *args, **kwargs)

    def command(self, *args):
        return self.exec_tty("web", *args)

    def shell(self, *options, **kwargs):
        t = self.exec_tty("--env=PS1=ready: ", *options, "web", "sh", **kwargs)
        t.expect("ready: ")
        return t

    def test_terminal(self):
        t = self.shell(rows=33, columns=101)
        lib.wait_until(t.is_raw, what="a raw terminal")
        t.send("stty size; tty; echo TERM=$TERM\r")
        t.expect("33 101\r\n/dev/pts/0\r\nTERM=xterm\r\n")
        t.send("exit 7\r")
        self.assertEqual(t.wait(), 7)
        self.assertFalse(t.is_raw())
        # The next one has a terminal of its own.
        other = self.shell()
        other.send("tty; exit\r")
        other.expect("/dev/pts/0\r\n")
        self.assertEqual(other.wait(), 0)

    def test_without_a_window(self):
        result = lib.moorctl("exec", "-t", "web", "sh", "-c", "tty; exit 6", check=False)
        self.assertEqual((result.returncode, result.stdout), (6, "/dev/pts/0\n"))
        result = lib.moorctl("exec", "-it", "--env=PS1=", "web", "sh", input="echo $((6*7))\nexit 4\n", check=False)
        self.assertEqual(result.returncode, 4)
        self.assertIn("\n42\n", result.stdout)

    def test_left_and_joined_again(self):
        t = self.shell()
        t.send(DETACH)
        self.assertEqual(t.wait(), 0)
        name = t.data.decode().split("moorctl attach ")[1].split()[0]
        self.assertRegex(name, r"^web/[0-9]+$")
        again = self.tty("moorctl", "attach", name)
        again.expect("ready: ")
        again.send("echo still he''re; exit 9\r")
        again.expect("still here\r\n")
        self.assertEqual(again.wait(), 9)

    def test_in_the_background(self):
        name = lib.moorctl("exec", "-d", "-t", "--env=PS1=ready: ", "web", "sh").stdout.strip()
        properties = self.inspect(name)
        self.assertTrue(properties["Terminal"])
        t = self.tty("moorctl", "attach", name)
        t.expect("ready: ")
        t.send("exit 3\r")
        self.assertEqual(t.wait(), 3)
        self.assertEqual(lib.moorctl("wait", name).stdout, "3\n")
        # What was shown is in the journal, and it is the exec's.
        lib.run(["journalctl", "--sync"])
        self.assertIn("ready:", lib.run(["journalctl", "-q", "-o", "cat", "-t", name]).stdout)
        result = lib.moorctl("attach", name, check=False)
        self.assertIn("not running", result.stderr)

    def test_nothing_to_join(self):
        name = lib.moorctl("exec", "-d", "web", "sleep", "1000").stdout.strip()
        result = lib.moorctl("attach", name, check=False)
        self.assertIn("has no terminal", result.stderr)
        path = f"/org/moored1/namespace/default/container/web/exec/_3{name.split('/')[1]}"
        for call in (("Attach", "a{sv}", 0), ("Resize", "uu", 1, 1)):
            result = lib.busctl_call(path, "org.moored1.Exec", *call, check=False)
            self.assertIn("has no terminal", result.stderr)

    def test_the_daemon_is_killed(self):
        t = self.shell()
        for i in range(3):
            lib.kill9_moored()
            t.send(f"echo kill''ed {i}\r")
            t.expect(f"killed {i}\r\n")
        t.send("exit 4\r")
        self.assertEqual(t.wait(), 4)

    def test_killed_while_it_writes(self):
        t = self.exec_tty("web", "sh", "-c", COUNT.format(n=3000))
        for _ in range(3):
            time.sleep(0.05)
            lib.kill9_moored()
        self.assertEqual(t.wait(), 5)
        self.assertEqual(t.data.replace(b"\r", b""), b"".join(b"line-%d\n" % i for i in range(3000)))

    def test_the_container_ends(self):
        t = self.shell()
        lib.moorctl("kill", "web")
        self.assertEqual(t.wait(), 137)
        self.assertFalse(t.is_raw())

    def test_many(self):
        terminals = [self.exec_tty("web", "sh", "-c", f"tty; read x; exit {i}") for i in range(1, 6)]
        shown = set()
        for t in terminals:
            shown.add(t.expect("\r\n"))
        self.assertEqual(len(shown), 5)
        for i, t in enumerate(terminals, 1):
            t.send("\r")
            self.assertEqual(t.wait(), i)
