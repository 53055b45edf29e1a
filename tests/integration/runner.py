#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the integration tests inside a test host.

    runner.py [--host a|b] [--part I/N] [--list] [--failfast] [PATTERN...]

Tests are the TestCase classes of test_*.py beside this file; PATTERN is a part of a test's name (file.class.method),
or a shell pattern for the whole of it. A class whose attribute "hosts" is "b" or "ab" runs in test host B, or in both;
without it a class runs in host A alone. N hosts can share the work: --part makes this the I-th, which takes every N-th
class. One line a test; for a failure its traceback and the end of what was written to
the journal meanwhile. The last line is "N passed, N failed, N skipped".
"""

import argparse
import fnmatch
import os
import signal
import subprocess
import sys
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
JOURNAL_LINES = 60
# Only what hangs takes so long; the virtual machine may be an emulated one. A test can have more: its attribute "timeout".
TIMEOUTS = {"a": 400, "b": 900}


class TestTimeout(Exception):
    pass


class Result(unittest.TestResult):
    def __init__(self, timeout):
        super().__init__()
        self.timeout = timeout
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.start = time.time()
        self.failed = False
        self.reported = False

    def startTest(self, test):
        super().startTest(test)
        self.start = time.time()
        self.failed = self.reported = False
        signal.alarm(max(getattr(test, "timeout", 0), self.timeout))

    def stopTest(self, test):
        signal.alarm(0)
        if self.failed and not self.reported:
            self.report("FAIL", test)
        super().stopTest(test)
        # What fails from here on is a class'.
        self.failed = False

    def report(self, word, test, why=""):
        self.reported = True
        self.counts[word] += 1
        name = test_name(test)
        print(f"{word:4} {name} ({time.time() - self.start:.2f} s){': ' + why if why else ''}", flush=True)

    def details(self, test, error):
        if not self.failed:
            self.failed = True
            self.report("FAIL", test)
        print("".join(traceback.format_exception(*error)))
        subprocess.run(["journalctl", "--sync"], check=False)
        journal = subprocess.run(["journalctl", "--no-pager", "-o", "short-precise", f"--since=@{self.start:.6f}",
                                  "-n", str(JOURNAL_LINES), "-q"], stdout=subprocess.PIPE, text=True, errors="replace",
                                 check=False).stdout
        print("---- journal since the test began:\n" + journal + "----", flush=True)

    def addSuccess(self, test):
        if not self.failed:
            self.report("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.report("skip", test, reason)

    def addError(self, test, err):
        super().addError(test, err)
        self.details(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.details(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print(f"     in {subtest}")
            self.details(test, err)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.report("ok", test, "fails as expected")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.report("FAIL", test, "was expected to fail")


def test_name(test):
    return test.id()


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def matches(test, host, patterns):
    # A module that could not be imported stands as a test that fails, wherever it runs.
    if host not in getattr(test, "hosts", "a") and not isinstance(test, unittest.loader._FailedTest):
        return False
    name = test_name(test)
    return not patterns or any(p in name or fnmatch.fnmatch(name, p) for p in patterns)


def part_of(tests, part):
    """Those of the classes that fall to part I of N."""

    i, n = map(int, part.split("/"))
    mine = set(list(dict.fromkeys(type(test) for test in tests))[i - 1::n])
    return [test for test in tests if type(test) in mine]


def on_alarm(*_):
    raise TestTimeout("the test took too long")


def main():
    parser = argparse.ArgumentParser(description="Runs the integration tests inside a test host.")
    parser.add_argument("--host", choices=["a", "b"], default="a", help="run the tests that are for this test host")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="run only the I-th of N parts")
    parser.add_argument("--list", action="store_true", help="print the tests' names and run none")
    parser.add_argument("--failfast", action="store_true", help="end after the first failure")
    parser.add_argument("patterns", nargs="*")
    arguments = parser.parse_args()

    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    tests = [test for test in flatten(unittest.defaultTestLoader.discover(HERE, "test_*.py"))
             if matches(test, arguments.host, arguments.patterns)]
    suite = unittest.TestSuite(part_of(tests, arguments.part))
    if arguments.list:
        print("\n".join(test_name(test) for test in suite))
        return 0
    if not tests:
        print(f"no test matches {' '.join(arguments.patterns)}")
        print("0 passed, 1 failed, 0 skipped")
        return 1

    signal.signal(signal.SIGALRM, on_alarm)
    result = Result(TIMEOUTS[arguments.host])
    result.failfast = arguments.failfast
    suite.run(result)
    print(f"{result.counts['ok']} passed, {result.counts['FAIL']} failed, {result.counts['skip']} skipped")
    return 1 if result.counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
