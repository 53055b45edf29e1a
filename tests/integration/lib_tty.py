# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user at a terminal: a command on a pseudoterminal of its own."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import lib


class Tty:
    """Runs a command; what it shows is collected and consumed by expect()."""

    def __init__(self, *argv, rows=24, columns=80, environment=None):
        self.data = b""
        self.everything = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "LANG": "C.UTF-8", **(environment or {})})
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            # The window has its size before the command asks.
            os.execvp(argv[0], argv)
        self.modes = termios.tcgetattr(self.fd)
        self.status = None

    def read(self, timeout=0.1):
        """False at the end."""

        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.data += data
        self.everything += data
        return bool(data)

    def expect(self, text, timeout=lib.WAIT_TIMEOUT * 2):
        """What was shown up to and with this text."""

        wanted = text.encode()
        end = time.monotonic() + timeout
        while wanted not in self.data:
            if not self.read() or time.monotonic() > end:
                raise AssertionError(f"{text!r} was not shown, but: {self.data[-2000:]!r}")
        at = self.data.index(wanted) + len(wanted)
        shown, self.data = self.data[:at], self.data[at:]
        return shown.decode(errors="replace")

    def text(self):
        """All that was shown, with the ends of lines that the command wrote."""

        return self.everything.decode().replace("\r\n", "\n")

    def send(self, text):
        os.write(self.fd, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def wait(self, timeout=lib.WAIT_TIMEOUT * 2):
        """The command's exit code; everything it showed is in data."""

        end = time.monotonic() + timeout
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise AssertionError(f"it does not end; shown: {self.data[-2000:]!r}")
            elif not self.read(0.02):
                time.sleep(0.02)
        while select.select([self.fd], [], [], 0)[0] and self.read(0):
            pass
        return self.status

    def kill(self, signo=signal.SIGKILL):
        os.kill(self.pid, signo)
        return self.wait()

    def hang_up(self):
        """The terminal goes away; the command's exit code."""

        os.close(self.fd)
        self.fd = -1
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        if self.status is None:
            self.kill()
        if self.fd >= 0:
            os.close(self.fd)
