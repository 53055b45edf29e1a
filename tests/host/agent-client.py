#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command through agent.py: agent-client.py SOCKET TIMEOUT [COMMAND...]

Without a command it waits until the agent answers and prints the guest's boot id. The exit status is the command's;
124 where the agent did not answer within TIMEOUT seconds, 255 where the guest went away.
"""

import base64
import json
import os
import select
import signal
import socket
import sys
import threading
import time


class Client:
    def __init__(self, path):
        self.path = path
        self.socket = None
        self.buffer = b""
        self.lock = threading.Lock()

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)
        self.buffer = b""

    def send(self, message):
        with self.lock:
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout=None):
        """The next message; None at the guest's end, TimeoutError where nothing came in time."""

        while b"\n" not in self.buffer:
            if not select.select([self.socket], [], [], timeout)[0]:
                raise TimeoutError
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def hello(self, timeout):
        """Asks until the agent answers: what is sent before the guest has opened its port is lost."""

        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if self.socket is None:
                    self.connect()
                self.send({"hello": None})
                while message := self.receive(1):
                    if "hello" in message:
                        return message["hello"]
                self.socket = None
            except TimeoutError:
                continue
            except OSError:
                self.socket = None
                time.sleep(0.2)
        return None

    def feed(self):
        while data := os.read(0, 32768):
            self.send({"in": base64.b64encode(data).decode()})
        self.send({"in": None})

    def run(self, argv):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: self.send({"signal": number}))
        self.send({"argv": argv})
        threading.Thread(target=self.feed, daemon=True).start()
        while message := self.receive():
            if "exit" in message:
                return message["exit"]
            for key, descriptor in (("out", 1), ("err", 2)):
                if key in message:
                    data = base64.b64decode(message[key])
                    while data:
                        data = data[os.write(descriptor, data):]
        return 255


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    client = Client(sys.argv[1])
    boot_id = client.hello(float(sys.argv[2]))
    if boot_id is None:
        return 124
    if len(sys.argv) == 3:
        print(boot_id)
        return 0
    return client.run(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
