#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs commands in test host B that arrive on a virtio port, one at a time.

Each way carries lines of JSON. To the guest: {"argv": [...]}, then {"in": base64} as often as there is input and
{"in": null} at its end, or {"signal": n}. From it: {"out": base64}, {"err": base64}, at last {"exit": n}; and
{"hello": boot id} when a client's {"hello": null} is read, which tells that the host is up.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading

PORT_NAME = "org.moored.test"


def find_port():
    base = "/sys/class/virtio-ports"
    for entry in os.listdir(base):
        with open(f"{base}/{entry}/name", encoding="ascii") as f:
            if f.read().strip() == PORT_NAME:
                return f"/dev/{entry}"
    sys.exit("there is no virtio port named " + PORT_NAME)


class Agent:
    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.lock = threading.Lock()
        self.process = None

    def send(self, message):
        data = json.dumps(message).encode() + b"\n"
        with self.lock:
            while data:
                data = data[os.write(self.descriptor, data):]

    def relay(self, file, key):
        while data := file.read1(65536):
            self.send({key: base64.b64encode(data).decode()})

    def run(self, argv):
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                       "LANG": "C.UTF-8", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash"}
        try:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, cwd="/", env=environment, start_new_session=True)
        except OSError as e:
            self.send({"err": base64.b64encode(f"{argv[0]}: {e.strerror}\n".encode()).decode()})
            self.send({"exit": 127})
            return
        threading.Thread(target=self.wait, args=[self.process], daemon=True).start()

    def wait(self, process):
        relays = [threading.Thread(target=self.relay, args=[file, key])
                  for file, key in ((process.stdout, "out"), (process.stderr, "err"))]
        for relay in relays:
            relay.start()
        for relay in relays:
            relay.join()
        status = process.wait()
        self.send({"exit": status if status >= 0 else 128 - status})

    def input(self, data):
        if self.process is None:
            return
        try:
            if data is None:
                self.process.stdin.close()
            else:
                self.process.stdin.write(base64.b64decode(data))
                self.process.stdin.flush()
        except OSError:
            return

    def handle(self, message):
        if "hello" in message:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
                self.send({"hello": f.read().strip()})
        elif "argv" in message:
            self.run(message["argv"])
        elif "in" in message:
            self.input(message["in"])
        elif "signal" in message and self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, message["signal"])

    def serve(self):
        buffer = b""
        while True:
            data = os.read(self.descriptor, 65536)
            if not data:
                # Nobody is connected: the kernel says so at once, instead of waiting.
                threading.Event().wait(0.1)
                buffer = b""
                continue
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self.handle(json.loads(line))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Agent(find_port()).serve()
