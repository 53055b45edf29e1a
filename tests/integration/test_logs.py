# SPDX-License-Identifier: LGPL-2.1-or-later
"""What containers write, where it goes, and moorctl logs."""

import hashlib
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest

import lib
from lib_container import BUSYBOX, OBEDIENT, ContainerTestCase, unit_of


def log_bytes(*args):
    """What moorctl logs writes to stdout, byte for byte."""

    return subprocess.run(["moorctl", "logs", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, timeout=60).stdout


def log_json(*args):
    return [json.loads(line) for line in lib.moorctl("logs", "--output=json", *args).stdout.splitlines()]


class LogTestCase(ContainerTestCase):
    def ended(self, name, script, *options):
        """A container that has run a shell's script in the background."""

        self.detach(name, *options, command=("sh", "-c", script))
        lib.moorctl("wait", name)
        return name


class LogsTest(LogTestCase):
    def test_lines_as_they_were_written(self):
        self.ended("w", "echo one; printf ' two\\tx\\n'; echo '<3>no priority'; printf 'no newline'")
        self.assertEqual(lib.moorctl("logs", "w").stdout, "one\n two\tx\n<3>no priority\nno newline")
        self.assertEqual(lib.moorctl("logs", "--names", "w").stdout, "w: one\nw:  two\tx\nw: <3>no priority\nw: no newline\n")

    def test_stdout_and_stderr(self):
        name = self.ended("streams", "echo out; echo err >&2; echo out again; printf end >&2")
        result = lib.moorctl("logs", name)
        self.assertEqual((result.stdout, result.stderr), ("out\nout again\n", "err\nend"))
        found = {e["Message"]: (e["Stream"], e["Priority"]) for e in log_json(name)}
        self.assertEqual(found, {"out": ("stdout", 6), "err": ("stderr", 3), "out again": ("stdout", 6), "end": ("stderr", 3)})
        # As any journal's reader sees it.
        lib.run(["journalctl", "--sync"])
        self.assertEqual(lib.run(["journalctl", "-p", "err", "-o", "cat", f"MOORED_CONTAINER={name}", "_TRANSPORT=stdout",
                                  f"_SYSTEMD_UNIT={unit_of(name)}"]).stdout, "err\nend\n")

    def test_fields(self):
        name = self.ended("fields", "echo hello; echo bad >&2")
        lib.run(["journalctl", "--sync"])
        lines = lib.run(["journalctl", "-o", "json", f"MOORED_CONTAINER={name}", "_TRANSPORT=stdout"]).stdout.splitlines()
        for entry in map(json.loads, lines):
            self.assertEqual((entry["MOORED_NAMESPACE"], entry["MOORED_IMAGE"], entry["SYSLOG_IDENTIFIER"], entry["_SYSTEMD_UNIT"]),
                             ("default", BUSYBOX, name, unit_of(name)))
        self.assertEqual(len(lines), 2)

    def test_a_process_that_has_ended_at_once(self):
        # What it wrote is known to be the container's although its control group is not known any more.
        for i in range(5):
            self.ended(f"w{i}", "echo quick; echo gone >&2")
        for i in range(5):
            result = lib.moorctl("logs", f"w{i}")
            self.assertEqual((result.stdout, result.stderr), ("quick\n", "gone\n"))

    def test_a_very_long_line_is_not_cut(self):
        self.ended("w", "head -c 200000 /dev/zero | tr '\\0' x; echo; echo end")
        self.assertTrue(lib.moorctl("logs", "w").stdout == "x" * 200000 + "\nend\n")
        self.assertEqual([len(e["Message"]) for e in log_json("w")], [200000, 3])
        self.assertEqual(lib.moorctl("logs", "-n", "2", "-t", "w").stdout.count("\n"), 2)

    def test_long_lines_of_two_streams(self):
        self.ended("w", "head -c 300000 /dev/zero | tr '\\0' o & head -c 300000 /dev/zero | tr '\\0' e >&2; wait")
        result = lib.moorctl("logs", "w")
        self.assertTrue((result.stdout, result.stderr) == ("o" * 300000, "e" * 300000))

    def test_a_line_of_several_processes(self):
        # journald does not say whether the next one began with a newline.
        self.ended("w", "sh -c 'printf one'; sh -c 'echo; echo two'; sh -c 'printf three'")
        self.assertEqual(lib.moorctl("logs", "w").stdout, "one\ntwo\nthree")

    def test_bytes(self):
        # All but what journald itself leaves out: empty lines, nothing between two NULs, blanks at the end of either.
        with tempfile.TemporaryDirectory() as directory:
            data = b"x" + b"".join(bytes([b]) + b"x" for b in range(256) if b not in b"\t\r ") * 3000 + b"end"
            with open(f"{directory}/data", "wb") as f:
                f.write(data)
            self.ended("w", "cat /d/data", f"--volume={directory}:/d:ro", "--log-rate=off")
        self.assertEqual(hashlib.sha256(log_bytes("w")).hexdigest(), hashlib.sha256(data).hexdigest())
        self.ended("n", "printf '\\377\\001\\n'")
        self.assertEqual([e["Message"] for e in log_json("n")], [[255, 1]])

    def test_which_lines(self):
        self.ended("w", "seq 10; sleep 1; seq 11 12")
        everything = "".join(f"{i}\n" for i in range(1, 13))
        self.assertEqual(lib.moorctl("logs", "w").stdout, everything)
        self.assertEqual(lib.moorctl("logs", "-n", "3", "w").stdout, "10\n11\n12\n")
        self.assertEqual(lib.moorctl("logs", "--tail=1", "w").stdout, "12\n")
        self.assertEqual(lib.moorctl("logs", "-n", "12", "w").stdout, everything)
        self.assertEqual(lib.moorctl("logs", "-n", "500", "w").stdout, everything)
        self.assertEqual(lib.moorctl("logs", "-n", "all", "w").stdout, everything)
        self.assertEqual(lib.moorctl("logs", "-n", "0", "w").stdout, "")
        times = [e["USec"] for e in log_json("w")]
        middle = (times[9] + times[10]) / 2e6
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle)) + f".{int(middle % 1 * 1e6):06d}Z"
        self.assertEqual(lib.moorctl("logs", f"--since={stamp}", "w").stdout, "11\n12\n")
        self.assertEqual(lib.moorctl("logs", f"--until={stamp}", "w").stdout, everything[:-6])
        self.assertEqual(lib.moorctl("logs", f"--until={stamp}", "-n", "2", "w").stdout, "9\n10\n")
        self.assertEqual(lib.moorctl("logs", "--since=-1h", "w").stdout, everything)
        self.assertEqual(lib.moorctl("logs", "--since=2100-01-01", "w").stdout, "")

    def test_formats(self):
        self.ended("w", "echo line")
        for option, expected in (("-t", r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} line\n$"),
                                 ("-ocat", r"^line\n$"),
                                 ("-oshort", r"^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d w: line\n$"),
                                 ("-oshort-iso", r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} w: line\n$"),
                                 ("-oshort-precise", r"^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{6} w: line\n$")):
            self.assertRegex(lib.moorctl("logs", option, "w").stdout, expected)
        entry = json.loads(lib.moorctl("logs", "--json=short", "w").stdout)
        self.assertEqual(entry, log_json("w")[0])
        self.assertEqual(json.loads(lib.moorctl("logs", "-o", "json-pretty", "w").stdout), entry)
        self.assertEqual({k: v for k, v in entry.items() if k != "USec"},
                         {"Namespace": "default", "Container": "w", "Image": BUSYBOX, "Stream": "stdout", "Priority": 6, "Message": "line"})
        result = lib.moorctl("logs", "-o", "xml", "w", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("short-iso", result.stderr)

    def test_several(self):
        self.detach("a", command=("sh", "-c", "for i in 1 2; do echo a$i; sleep 0.3; done"))
        self.detach("b", command=("sh", "-c", "for i in 1 2 3; do echo b$i; sleep 0.3; done"))
        lines = lib.moorctl("logs", "-f", "a", "b").stdout.splitlines()
        self.assertEqual([x for x in lines if x.startswith("a")], ["a: a1", "a: a2"])
        self.assertEqual([x for x in lines if x.startswith("b")], ["b: b1", "b: b2", "b: b3"])
        self.assertEqual(lib.moorctl("logs", "a", "b").stdout.splitlines(), lines)
        self.assertEqual(lib.moorctl("logs", "-n", "2", "a", "b").stdout.splitlines(), lines[-2:])

    def test_follow(self):
        self.detach("w", command=("sh", "-c", "echo first; sleep 1; echo last"))
        begin = time.monotonic()
        self.assertEqual(lib.moorctl("logs", "-f", "w").stdout, "first\nlast\n")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(lib.moorctl("logs", "-f", "w").stdout, "first\nlast\n")

    def test_follow_is_prompt(self):
        self.detach("w", command=("sh", "-c", f"echo first; {OBEDIENT}"))
        process = self.popen("logs", "-f", "w")
        lines = []
        reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()))
        reader.start()
        reader.join(20)
        self.assertEqual(lines, ["first\n"])
        process.terminate()
        process.communicate()

    def test_follow_until(self):
        self.detach("w", command=("sh", "-c", f"echo first; {OBEDIENT}"))
        self.assertEqual(lib.moorctl("logs", "-f", f"--until=@{int(time.time()) + 5}", "w").stdout, "first\n")

    def test_execs(self):
        self.detach("w", command=("sh", "-c", f"echo main; {OBEDIENT}"))
        names = []
        for i in range(2):
            names.append(lib.moorctl("exec", "-d", "w", "sh", "-c", f"echo out {i}; echo err {i} >&2").stdout.strip())
            lib.moorctl("wait", names[i])
        self.assertEqual(lib.moorctl("logs", "w").stdout, "main\n")
        for i in range(2):
            for arguments in ([names[i]], ["--exec=" + names[i].split("/")[1], "w"]):
                result = lib.moorctl("logs", *arguments)
                self.assertEqual((result.stdout, result.stderr), (f"out {i}\n", f"err {i}\n"))
        self.assertEqual(lib.moorctl("logs", "--exec=all", "w").stdout, "main\nout 0\nout 1\n")
        self.assertEqual(lib.moorctl("logs", "w", names[1]).stdout, f"w: main\n{names[1]}: out 1\n")
        # journald keeps no order between the two.
        self.assertEqual({(e["Image"], e["Exec"], e["Stream"]) for e in log_json(names[0])},
                         {(BUSYBOX, int(names[0].split("/")[1]), stream) for stream in ("stdout", "stderr")})
        for bad in ("w/", "w/x", "w/0"):
            self.assertIn("CONTAINER/NUMBER", lib.moorctl("logs", bad, check=False).stderr)

    def test_followed_through_restarts(self):
        self.detach("w", command=("sh", "-c", f"echo begin; {OBEDIENT}"))
        process = self.popen("logs", "-f", "w")
        self.assertEqual(process.stdout.readline(), "begin\n")
        lib.moorctl("restart", "w")
        self.assertEqual(process.stdout.readline(), "begin\n")
        lib.moorctl("stop", "w")
        self.assertEqual(process.communicate(timeout=30)[0], "")

    def test_followed_with_a_restart_policy(self):
        for script in ("echo begin; sleep 0.3; exit 1", "echo begin; exit 1"):
            self.detach("w", "--restart=always", command=("sh", "-c", script))
            process = self.popen("logs", "-f", "w")
            self.assertEqual([process.stdout.readline() for _ in range(3)], ["begin\n"] * 3)
            lib.moorctl("stop", "w")
            self.assertEqual(set(process.communicate(timeout=30)[0].splitlines()) | {"begin"}, {"begin"})
            lib.moorctl("rm", "w")
        # Until it is given up.
        self.detach("w", "--restart=on-failure:2", command=("sh", "-c", "echo try; exit 1"))
        self.assertEqual(lib.moorctl("logs", "-f", "w", timeout=60).stdout, "try\n" * 3)

    def test_those_of_the_dead(self):
        # A journal cannot forget: the second of a name does not show the first one's lines.
        name = self.ended("dead", "echo old")
        lib.moorctl("rm", name)
        self.assertEqual(lib.moorctl("logs", name).stdout, "old\n")
        self.ended(name, "echo new")
        self.assertEqual(lib.moorctl("logs", name).stdout, "new\n")
        result = lib.moorctl("logs", "never-was", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("never-was", result.stderr)

    def test_nobody_can_put_words_in_its_mouth(self):
        self.ended("w", "echo true")
        lib.run(["logger", "--journald"], input="MESSAGE=false\nMOORED_CONTAINER=w\nMOORED_NAMESPACE=default\nMOORED_STREAM=terminal\n")
        self.assertEqual(lib.moorctl("logs", "w").stdout, "true\n")

    def test_a_new_journald(self):
        self.detach("w", command=("sh", "-c", f"echo before; echo before >&2; trap 'echo after; echo after >&2' USR1; {OBEDIENT}"))
        lib.wait_until(lambda: lib.moorctl("logs", "w").stderr == "before\n", what="the first line")
        lib.run(["systemctl", "restart", "systemd-journald.service"])
        lib.moorctl("kill", "-s", "USR1", "w")
        lib.wait_until(lambda: lib.moorctl("logs", "w").stderr == "before\nafter\n", what="the second line")
        self.assertEqual(lib.moorctl("logs", "w").stdout, "before\nafter\n")


class WhereTest(LogTestCase):
    def test_file(self):
        with tempfile.TemporaryDirectory() as directory:
            self.ended("w", "echo out; echo err >&2; printf '\\n\\0\\0\\n'", f"--log=file:{directory}/../{os.path.basename(directory)}/log")
            with open(f"{directory}/log", "rb") as f:
                self.assertEqual(f.read(), b"out\nerr\n\n\0\0\n")
            # Appended to.
            lib.moorctl("start", "w")
            lib.moorctl("wait", "w")
            self.assertEqual(os.path.getsize(f"{directory}/log"), 2 * 12)
            self.assertEqual(self.inspect("w")["Log"], f"file:{directory}/log")
            result = lib.moorctl("logs", "w", check=False)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(f"{directory}/log", result.stderr)
            lib.moorctl("rm", "w")
            self.assertIn("/nowhere", self.fails("-d", "--log=file:/nowhere/log", BUSYBOX, "true"))
            self.assertIn("directory", self.fails("-d", f"--log=file:{directory}", BUSYBOX, "true"))
            self.assertIn("cannot open the file", self.fails("-d", "--log=file:/proc/log", BUSYBOX, "true"))

    def test_none(self):
        name = self.ended("silent", "echo out; echo err >&2; test -c /dev/stdout", "--log=none")
        self.assertEqual(self.inspect(name)["ExitCode"], 0)
        result = lib.moorctl("logs", name, check=False)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("--log=none", result.stderr)
        self.assertNotIn("err", lib.journal(f"MOORED_CONTAINER={name}", "_TRANSPORT=stdout", "--output=cat"))

    def test_fd(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(f"{directory}/out", "w", encoding="utf-8") as out, open(f"{directory}/err", "w", encoding="utf-8") as err:
                subprocess.run(["moorctl", "run", "-d", "--log=fd", "--name=w", BUSYBOX, "sh", "-c", "echo out; echo err >&2"],
                               stdout=out, stderr=err, check=True, timeout=60)
            lib.moorctl("wait", "w")
            for name in ("out", "err"):
                with open(f"{directory}/{name}", encoding="utf-8") as f:
                    self.assertEqual(f.read(), name + "\n")
        self.assertEqual(lib.moorctl("logs", "w").stdout, "")
        self.assertEqual(lib.moorctl("create", "--log=fd", BUSYBOX, check=False).returncode, 1)

    def test_journal_in_the_foreground(self):
        result = self.run_container("--name=front", "--log=journal", BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 3", status=3)
        self.assertEqual((result.stdout, result.stderr), ("", ""))
        result = lib.moorctl("logs", "front")
        self.assertEqual((result.stdout, result.stderr), ("out\n", "err\n"))

    def test_words(self):
        for value in ("syslog", "file:", "", "file"):
            result = lib.moorctl("run", "-d", f"--log={value}", BUSYBOX, "true", check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("journal, none, fd, file:PATH", result.stderr)
        for value in ("10", "10/", "0/1s", "x/1s", "10/0", "10/infinity"):
            result = lib.moorctl("run", "-d", f"--log-rate={value}", BUSYBOX, "true", check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("1000/30s", result.stderr)

    def test_rate(self):
        # journald allows more than that where the disk has room (systemd.exec(5)), but not without a limit.
        self.detach("few", "--log-rate=10/1min", command=("sh", "-c", f"seq 5000; {OBEDIENT}"))
        self.assertEqual(lib.unit_properties(unit_of("few"), "LogRateLimitBurst", "LogRateLimitIntervalUSec"),
                         {"LogRateLimitBurst": "10", "LogRateLimitIntervalUSec": "1min"})
        lib.moorctl("stop", "few")
        self.ended("all", "seq 20000", "--log-rate=off")
        shown = lib.moorctl("logs", "few").stdout.splitlines()
        self.assertGreaterEqual(len(shown), 10)
        self.assertLess(len(shown), 1000)
        self.assertEqual(lib.moorctl("logs", "all").stdout.splitlines(), [str(i) for i in range(1, 20001)])

    def test_what_the_rate_limit_left_out_is_told(self):
        self.ended("some", "seq 5000; sleep 5; echo end", "--log-rate=10/1s")
        result = lib.moorctl("logs", "some")
        shown = result.stdout.splitlines()
        self.assertEqual(shown[-1], "end")
        # On a loaded machine in several parts.
        told = [int(n) for n in re.findall(r"journald left out (\d+) lines of some", result.stderr)]
        self.assertEqual(sum(told), 5001 - len(shown), result.stderr)


if __name__ == "__main__":
    unittest.main()
