# SPDX-License-Identifier: LGPL-2.1-or-later
"""A store on a small file system: what does not fit fails, says so, and gives all space back."""

import contextlib
import os
import stat

import lib
import lib_store

STORE = lib_store.STORE
OVERLAY = f"{STORE}/snapshots/overlay"
FILE = "/var/tmp/test-space.img"
SIZE = 64 << 20


def make_node(path, kind, major, minor):
    """The host has no udev that would."""

    if not os.path.exists(path):
        os.mknod(path, kind | 0o600, os.makedev(major, minor))


def attach(path):
    """A loop device with this file."""

    make_node("/dev/loop-control", stat.S_IFCHR, 10, 237)
    for _ in range(5):
        # A device without a node is "/dev/loop1 (lost)" to newer versions.
        device = lib.run(["losetup", "--find"]).stdout.split()[0]
        make_node(device, stat.S_IFBLK, 7, int(device.removeprefix("/dev/loop")))
        # Another host on this machine may have taken it meanwhile.
        if lib.run(["losetup", device, path], check=False).returncode == 0:
            return device
    raise AssertionError("no loop device is to be had")


@contextlib.contextmanager
def small_store():
    """The daemon with an empty store on an ext4 of 64 MiB."""

    with open(FILE, "wb") as f:
        f.truncate(SIZE)
    lib.run(["mkfs.ext4", "-q", "-m", "0", FILE])
    lib.run(["systemctl", "stop", "moored.service"])
    try:
        device = attach(FILE)
        # Detached by the last umount.
        lib.run(["mount", device, STORE])
        lib.run(["losetup", "--detach", device])
        try:
            os.chmod(STORE, 0o700)
            lib.start_moored()
            yield
        finally:
            lib.run(["systemctl", "stop", "moored.service"])
            lib.run(["umount", STORE])
    finally:
        os.unlink(FILE)
        lib.start_moored()


class SpaceTest(lib.TestCase):
    def used(self):
        st = os.statvfs(STORE)
        return (st.f_blocks - st.f_bfree) * st.f_frsize

    def assert_nothing(self):
        def left():
            return {"ingests": os.listdir(f"{STORE}/ingest"), "blobs": list(lib_store.blobs()),
                    "layers": [n for n in os.listdir(OVERLAY) if n.isdigit() or n.startswith("new-")],
                    "trash": os.listdir(f"{OVERLAY}/trash"), "helpers": lib.processes("moored-helper")}

        try:
            lib.wait_until(lambda: not any(left().values()))
        except AssertionError:
            self.fail(f"left: {left()}")

    def assert_no_space(self, reference):
        pid, before = lib.moored_pid(), self.used()
        result = lib.moorctl("pull", "-q", reference, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stderr.count(f"file system of {STORE} is full"), 1, result.stderr)
        self.assertIn("No space left on device", result.stderr)
        self.assert_nothing()
        # The database's own journal may have grown.
        lib.wait_until(lambda: self.used() <= before + (1 << 20), what="the space is given back")
        self.assertEqual(lib.moored_pid(), pid)

    def test_small_store(self):
        with small_store(), lib.FaultyRegistry() as registry:
            # Blobs that do not fit; a layer that does not when it is unpacked; more inodes than there are.
            self.assert_no_space(f"{lib.REGISTRY}/debian:test")
            registry.add("unpacked:1", lib.Image([lib.Tar().file("small", b"x"), lib.Tar().file("large", bytes(80 << 20))]))
            self.assert_no_space(registry.reference("unpacked:1"))
            tar = lib.Tar()
            for i in range(20000):
                tar.directory(f"d{i}")
            registry.add("inodes:1", lib.Image([tar]))
            self.assert_no_space(registry.reference("inodes:1"))

            # As if nothing had been.
            reference = f"{lib.REGISTRY}/busybox:test"
            lib.moorctl("pull", "-q", reference)
            self.assertEqual(lib.moorctl("run", "--rm", reference, "echo", "fits").stdout, "fits\n")
            lib.assert_store_sound()

    def test_beside_another(self):
        """What has no room does not take what others have pulled, or are running, along."""

        with small_store():
            reference = f"{lib.REGISTRY}/busybox:test"
            lib.moorctl("pull", "-q", reference)
            container = lib.moorctl("run", "-d", reference, "sleep", "600").stdout.strip()
            result = lib.moorctl("pull", "-q", f"{lib.REGISTRY}/debian:test", check=False)
            self.assertIn("is full", result.stderr)
            self.assertEqual([row["State"] for row in lib.moorctl_json("ps")], ["running"])
            self.assertEqual(lib.moorctl("run", "--rm", reference, "echo", "works").stdout, "works\n")
            lib.moorctl("rm", "-f", container)
            lib.assert_store_sound()

    def test_full_by_a_container(self):
        """What a container writes is on the same file system: when that is full, removing the container is the way out."""

        with small_store():
            reference = f"{lib.REGISTRY}/busybox:test"
            lib.moorctl("pull", "-q", reference)
            lib.moorctl("run", "-d", "--name", "glutton", reference, "sh", "-c",
                        "dd if=/dev/zero of=/x bs=1M; dd if=/dev/zero of=/y bs=1k; echo full; exec sleep 600")
            lib.wait_until(lambda: "full" in lib.moorctl("logs", "glutton").stdout)
            result = lib.moorctl("run", "--rm", reference, "true", check=False)
            if result.returncode != 0:
                self.assertIn("No space left on device", result.stderr)
            lib.moorctl("rm", "-f", "glutton")
            lib.wait_until(lambda: self.used() < SIZE // 2, what="the space is given back")
            self.assertEqual(lib.moorctl("run", "--rm", reference, "echo", "fits").stdout, "fits\n")
            lib.assert_store_sound()
