# SPDX-License-Identifier: LGPL-2.1-or-later
"""Layers that mean harm, layers that are odd, and layers that are large: what is refused, what arrives, what is left."""

import gzip
import hashlib
import json
import os
import stat
import subprocess
import tempfile
import time
import zlib

import lib
import lib_store
import lib_tree
from lib_image import sha256

OVERLAY = lib_tree.OVERLAY
# No file of that name exists but those that archives want to make outside of their layer.
ESCAPED = "moored-test-escaped"


def busybox_layer():
    """The layer of the small test image: a shell for images that are run."""

    layout = f"{lib.TEST_IMAGES}/busybox"

    def blob(descriptor):
        with open(f"{layout}/blobs/{descriptor['digest'].replace(':', '/')}", "rb") as f:
            return f.read()

    with open(f"{layout}/index.json", encoding="utf-8") as f:
        manifest = next(m for m in json.load(f)["manifests"]
                        if m["annotations"]["org.opencontainers.image.ref.name"] == "test")
    return gzip.decompress(blob(json.loads(blob(manifest))["layers"][0]))


def numbers():
    return {name for name in os.listdir(OVERLAY) if name.isdigit()}


def ping(name):
    """How long somebody on the bus takes to answer."""

    start = time.monotonic()
    lib.run(["busctl", "call", name, "/", "org.freedesktop.DBus.Peer", "Ping"])
    return time.monotonic() - start


def outside():
    """What must stay as it is: directories that a path with enough ".." meets, and the store's own."""

    found = {}
    for directory in ("/", "/etc", "/root", "/usr", "/home", "/var/lib", OVERLAY):
        for name in os.listdir(directory):
            if directory == OVERLAY and (name.isdigit() or name == "trash" or name.startswith("new-")):
                continue
            st = os.lstat(os.path.join(directory, name))
            found[directory, name] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink if not stat.S_ISDIR(st.st_mode) else 0)
    with open("/etc/passwd", "rb") as f:
        found["passwd"] = f.read()
    return found


class HostileTestCase(lib.TestCase):
    def setUp(self):
        super().setUp()
        self.pid = lib.start_moored()
        self.blobs_before = set(lib_store.blobs())
        self.layers_before = numbers()
        self.outside_before = outside()
        self.registry = lib.FaultyRegistry()
        self.registry.__enter__()
        self.addCleanup(self.registry.__exit__)
        self.addCleanup(self.check_afterwards)
        self.n = 0

    def check_afterwards(self):
        self.assertEqual(lib.moored_pid(), self.pid, "the daemon has been restarted meanwhile")
        for row in lib.moorctl_json("ps", "-a") or []:
            lib.moorctl("rm", "-f", row["Id"])
        for row in lib.moorctl_json("images") or []:
            if row["Name"].startswith(self.registry.address) or "/hostile" in row["Name"]:
                lib.moorctl("rmi", "-f", row["Name"])
        self.assert_nothing()
        self.assertEqual(outside(), self.outside_before)
        self.assertEqual(lib.run(["find", "/", "-xdev", "-name", f"*{ESCAPED}*"]).stdout, "")

    def assert_nothing(self):
        """No blob, layer, download, rubbish or helper that was not here before."""

        def extra():
            return {"blobs": sorted(set(lib_store.blobs()) - self.blobs_before),
                    "layers": sorted(numbers() - self.layers_before),
                    "unfinished": [name for name in os.listdir(OVERLAY) if name.startswith("new-")],
                    "trash": os.listdir(f"{OVERLAY}/trash"),
                    "ingests": os.listdir(f"{lib_store.STORE}/ingest"),
                    "helpers": lib.processes("moored-helper")}

        try:
            lib.wait_until(lambda: not any(extra().values()))
        except AssertionError:
            self.fail(f"left: {extra()}")

    def add(self, image):
        self.n += 1
        self.registry.add(f"hostile:{self.n}", image)
        return self.registry.reference(f"hostile:{self.n}")

    def assert_refused(self, image, *parts):
        """The pull of the image fails with a message of these parts, and nothing of it stays."""

        result = lib.moorctl("pull", "-q", self.add(image), check=False)
        self.assertNotEqual(result.returncode, 0, "the image was pulled")
        for part in parts:
            self.assertIn(part, result.stderr)
        # One line, whatever is in the archive's names.
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.isprintable() or result.stderr[:-1].isprintable(), result.stderr)
        self.assert_nothing()

    def assert_tar_refused(self, tar, *parts):
        self.assert_refused(lib.Image([lib.Tar().file("first", b"1"), tar]), *parts)

    def unpack(self, tar):
        """Pulls an image of this one layer; the directory that it became."""

        before = numbers()
        lib.moorctl("pull", "-q", self.add(tar if isinstance(tar, lib.Image) else lib.Image([tar])))
        new = numbers() - before
        self.assertEqual(len(new), 1)
        return f"{OVERLAY}/{new.pop()}/fs"


class RefusedTest(HostileTestCase):
    """What an archive must not say."""

    def test_dot_dot(self):
        for name in (f"a/../../{ESCAPED}", f"/../../../../../../etc/{ESCAPED}", "..", "a/..", f"./.././{ESCAPED}"):
            self.assert_tar_refused(lib.Tar().file(name, b"x"), '".."')
        name = f"../{ESCAPED}"
        for tar in (lib.Tar().file(name, b"x"), lib.Tar().directory(name), lib.Tar().symlink(name, "/etc"),
                    lib.Tar().file("a", b"x").hardlink(name, "a"), lib.Tar().fifo(name)):
            self.assert_tar_refused(tar, '".."')

    def test_dot_dot_behind_a_symlink(self):
        self.assert_tar_refused(lib.Tar().directory("d/e").symlink("l", "d/e").file(f"l/../../../{ESCAPED}", b"x"), '".."')

    def test_hard_links_to_what_is_outside(self):
        for target in ("/etc/passwd", "etc/passwd", "../../../../../../../../etc/passwd", "link/passwd", "up/etc/passwd",
                       "proc/self/root/etc/passwd", "first", "."):
            with self.subTest(target=target):
                self.assert_tar_refused(lib.Tar().symlink("link", "/etc").symlink("up", "../../../../../..")
                                        .symlink("proc", "/proc").hardlink(ESCAPED, target))

    def test_whiteouts_of_what_is_no_name(self):
        for name in (".wh.", ".wh..", ".wh...", "d/.wh...", "d/.wh..", ".wh..wh.plnk", ".wh..wh.aufs", ".wh.d/x"):
            with self.subTest(name=name):
                self.assert_tar_refused(lib.Tar().directory("d").file(name), "whiteout")

    def test_symlink_loops(self):
        for tar in (lib.Tar().symlink("l", "l").file("l/x", b"x"),
                    lib.Tar().symlink("a", "b").symlink("b", "/a").file("a/x", b"x"),
                    lib.Tar().symlink("a", "d/../a/d").file("a/x", b"x")):
            self.assert_tar_refused(tar, "symbolic links")
        # Nobody goes through it: it is a file like any other.
        path = self.unpack(lib.Tar().symlink("l", "l").symlink("m", "m/m"))
        self.assertEqual(os.readlink(f"{path}/l"), "l")

    def test_a_file_used_as_a_directory(self):
        self.assert_tar_refused(lib.Tar().file("f", b"f").file("f/x", b"x"), "used as a directory")
        self.assert_tar_refused(lib.Tar().file("f", b"f").symlink("l", "f").file("l/x", b"x"), "used as a directory")

    def test_limits(self):
        self.assert_tar_refused(lib.Tar().file("n" * 256, b"x"), "too long")
        self.assert_tar_refused(lib.Tar().pax({"path": "/".join(["p" * 200] * 21)}).file("short", b"x"), "too long")
        self.assert_tar_refused(lib.Tar().pax({"path": "d/" * 256 + "x"}).file("short", b"x"), "deep")
        self.assert_tar_refused(lib.Tar().file("x", uid=2 ** 32 - 1), "owner")
        self.assert_tar_refused(lib.Tar().pax({f"SCHILY.xattr.user.a{i}": "v" for i in range(65)}).file("x"), "attributes")

    def test_the_root_replaced(self):
        for tar in (lib.Tar().symlink(".", "/etc"), lib.Tar().file(".", b"x"), lib.Tar().fifo("./.")):
            self.assert_tar_refused(tar, "root directory")

    def test_archives_that_are_none(self):
        whole = lib.Tar().file("a", bytes(5000)).file("b", b"b")
        cut = whole.bytes()
        for tar in (cut[:2000], cut[:-1024 - 512 - 400], b"This is text and no archive.\n" * 40,
                    lib.Tar().file("a", b"x").file("b", b"x", checksum=1).bytes(),
                    lib.Tar().entry("a", size=1 << 33).bytes(), lib.Tar().entry("a", size=(1 << 40) + 1).bytes(),
                    lib.Tar().pax({"path": "x" * (2 << 20)}).file("a", b"x").bytes()):
            self.assert_tar_refused(tar)

    def test_damaged_compression(self):
        tar = lib.Tar().file("a", os.urandom(100000)).bytes()
        for how in ("gzip", "zstd"):
            packed = lib.Image([tar], compression=how)
            good = packed.blobs[packed.layers[0]["digest"]]
            middle = len(good) // 2
            flipped = good[:middle] + bytes([good[middle] ^ 0xff]) + good[middle + 1:]
            for bad in (good[:-20], good[:middle], good[:5], flipped):
                with self.subTest(how=how, size=len(bad)):
                    self.assert_refused(lib.Image([tar], compression=how, raw_layers=[bad]))
        # A checksum that does not fit.
        good = gzip.compress(tar, 1)
        self.assert_refused(lib.Image([tar], raw_layers=[good[:-8] + bytes(4) + good[-4:]]))

    def test_wrong_digests(self):
        tar = lib.Tar().file("a", b"a")
        self.assert_refused(lib.Image([tar], diff_ids=[sha256(b"something else")]), "expected", "got")
        # Right but for what stands behind the archive's end.
        self.assert_refused(lib.Image([tar.bytes() + bytes(512)], diff_ids=[sha256(tar.bytes())]), "expected", "got")
        for kind in ("manifests", "blobs"):
            fault = self.registry.fault(f"GET .*/{kind}/", "corrupt")
            self.assert_refused(lib.Image([lib.Tar().file("b", os.urandom(1000))]))
            self.assertGreater(fault.hits, 0)
            self.registry.faults.remove(fault)

    def test_from_a_real_registry(self):
        image = lib.Image([lib.Tar().file("first", b"1"), lib.Tar().symlink("l", "../../..").file(f"../{ESCAPED}", b"x")])
        reference = lib.push(image, "hostile/refused:1")
        result = lib.moorctl("pull", "-q", reference, check=False)
        self.assertIn('".."', result.stderr)
        self.assertNotEqual(result.returncode, 0)
        self.assert_nothing()


class OddTest(HostileTestCase):
    """What arrives, and where."""

    def test_absolute_names(self):
        path = self.unpack(lib.Tar().file(f"/{ESCAPED}-not", b"x").file("//etc//passwd", b"layer's").directory("/root/./d/"))
        self.assertEqual(sorted(os.listdir(path)), ["etc", f"{ESCAPED}-not", "root"])
        with open(f"{path}/etc/passwd", "rb") as f:
            self.assertEqual(f.read(), b"layer's")
        os.unlink(f"{path}/{ESCAPED}-not")

    def test_through_symlinks(self):
        """As in a chroot: what leads out leads to somewhere in the layer."""

        for target, arrives in (("/etc", "etc/new"), ("../../../../../../etc", "etc/new"), ("/", "new"), ("..", "new"),
                                ("/proc/self/root/etc", "proc/self/root/etc/new"), ("usr/bin", "usr/bin/new"),
                                (lib_store.STORE, "var/lib/moored/new"), ("/dev/fd/3", "dev/fd/3/new")):
            with self.subTest(target=target):
                path = self.unpack(lib.Tar().symlink("l", target).file("l/new", b"inside").hardlink("h", "l/new")
                                   .directory("l/sub", mode=0o711, uid=3, mtime=5))
                with open(f"{path}/{arrives}", "rb") as f:
                    self.assertEqual(f.read(), b"inside")
                self.assertTrue(os.path.samefile(f"{path}/h", f"{path}/{arrives}"))
                st = os.stat(f"{path}/{os.path.dirname(arrives)}/sub")
                self.assertEqual((st.st_mode, st.st_uid, st.st_mtime), (stat.S_IFDIR | 0o711, 3, 5))
                lib.moorctl("rmi", self.registry.reference(f"hostile:{self.n}"))

    def test_a_file_takes_the_place_of_a_symlink(self):
        path = self.unpack(lib.Tar().symlink("p", "/etc/passwd").file("p", b"new").symlink("d", "/etc")
                           .directory("d", mode=0o700).file("d/x", b"x"))
        self.assertTrue(stat.S_ISREG(os.lstat(f"{path}/p").st_mode))
        self.assertEqual(os.listdir(f"{path}/d"), ["x"])

    def test_devices(self):
        path = self.unpack(lib.Tar().character_device("null", 1, 3, mode=0o666).block_device("disk", 8, 0, mode=0o660, gid=6)
                           .fifo("fifo", mode=0o622))
        found = {name: os.lstat(f"{path}/{name}") for name in ("null", "disk", "fifo")}
        self.assertEqual((found["null"].st_mode, found["null"].st_rdev), (stat.S_IFCHR | 0o666, os.makedev(1, 3)))
        self.assertEqual((found["disk"].st_mode, found["disk"].st_rdev, found["disk"].st_gid),
                         (stat.S_IFBLK | 0o660, os.makedev(8, 0), 6))
        self.assertEqual(found["fifo"].st_mode, stat.S_IFIFO | 0o622)

    def test_a_device_that_is_a_whiteout(self):
        """overlayfs' own mark in an archive: hides what is below, as it would in any layer."""

        reference = self.add(lib.Image([busybox_layer(), lib.Tar().file("t/below", b"x").file("t/stays", b"x"),
                                        lib.Tar().character_device("t/below", 0, 0)]))
        self.assertEqual(lib.moorctl("run", "--rm", reference, "ls", "/t").stdout.split(), ["stays"])

    def test_names(self):
        names = [b"new\nline", b"caf\xe9", b"\xff\xfe", b"\x01\x1b[31m", b"back\\slash", "漢字".encode(), b" ", b"-rf", b"'\"$(x)",
                 b"n" * 255]
        tar = lib.Tar()
        for name in names:
            tar.file(name, name)
        # The same by pax records.
        for name in names:
            tar.pax({"path": b"pax/" + name}).file("short", name)
        path = os.fsencode(self.unpack(tar))
        self.assertEqual(sorted(os.listdir(path)), sorted(names + [b"pax"]))
        self.assertEqual(sorted(os.listdir(path + b"/pax")), sorted(names))
        for name in names:
            with open(os.path.join(path, b"pax", name), "rb") as f:
                self.assertEqual(f.read(), name)

    def test_names_in_messages(self):
        """What a name holds does not reach the terminal or the log as it is."""

        self.assert_tar_refused(lib.Tar().file(b"\x1b[31mred\nline\xff/../x", b"x"), "red")

    def test_deep_paths(self):
        deep = "d/" * 255 + "file"
        long = "/".join(["p" * 240] * 16)
        path = self.unpack(lib.Tar().pax({"path": deep}).file("s", b"deep").pax({"path": long}).file("s", b"long"))
        for name, content in ((deep, b"deep"), (long, b"long")):
            fd = os.open(path, os.O_PATH)
            for part in name.split("/"):
                new = os.open(part, os.O_PATH if part != name.split("/")[-1] else os.O_RDONLY, dir_fd=fd)
                os.close(fd)
                fd = new
            self.assertEqual(os.read(fd, 10), content)
            os.close(fd)

    def test_modes_and_attributes(self):
        capability = bytes([1, 0, 0, 2, 0, 0x20]) + bytes(14)
        path = self.unpack(
            lib.Tar().file("setuid", b"x", mode=0o4755, uid=1000, gid=1001).file("setgid", b"x", mode=0o2755, gid=5)
            .directory("sticky", mode=0o1777).directory("setgid-dir", mode=0o2775, gid=7).file("setgid-dir/f", b"f")
            .pax({"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": "kept",
                  "SCHILY.xattr.user.empty": "", "SCHILY.xattr.user.overlay.opaque": "y",
                  "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.trusted.other": "x",
                  "SCHILY.xattr.security.selinux": "label"}).file("capable", b"x", mode=0o755, uid=33)
            .pax({"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.dir": "kept"}).directory("dir")
            .pax({"mtime": "1234567890.123456789", "uid": "4000000000"}).file("times", b"x"))
        modes = {name: oct(os.lstat(f"{path}/{name}").st_mode & 0o7777)
                 for name in ("setuid", "setgid", "sticky", "setgid-dir", "capable")}
        self.assertEqual(modes, {"setuid": "0o4755", "setgid": "0o2755", "sticky": "0o1777", "setgid-dir": "0o2775",
                                 "capable": "0o755"})
        self.assertEqual(os.stat(f"{path}/setgid-dir/f").st_gid, 0)
        self.assertEqual((os.stat(f"{path}/setuid").st_uid, os.stat(f"{path}/setuid").st_gid), (1000, 1001))
        self.assertEqual({name: os.getxattr(f"{path}/capable", name) for name in os.listxattr(f"{path}/capable")},
                         {"security.capability": capability, "user.note": b"kept", "user.empty": b""})
        self.assertEqual(os.listxattr(f"{path}/dir"), ["user.dir"])
        self.assertEqual(os.stat(f"{path}/times").st_mtime_ns, 1234567890123456789)
        self.assertEqual(os.stat(f"{path}/times").st_uid, 4000000000)

    def test_trailing_and_repeated(self):
        """What is behind the archive's end belongs to the DiffID and to nothing else; a gzip file may have members."""

        tar = lib.Tar().file("a", b"a" * 100000).bytes() + b"rubbish" * 100
        members = b"".join(gzip.compress(tar[i:i + 1000]) for i in range(0, len(tar), 1000))
        path = self.unpack(lib.Image([tar], raw_layers=[members]))
        self.assertEqual(os.listdir(path), ["a"])
        self.assertEqual(os.path.getsize(f"{path}/a"), 100000)

    def test_empty_layers(self):
        """No entry at all; no byte at all."""

        lib.moorctl("pull", "-q", self.add(lib.Image([lib.Tar().file("a", b"a"), lib.Tar(), b"", lib.Tar().directory("d")])))


class LayersTest(HostileTestCase):
    """Several layers, one upon another."""

    def whiteout_layers(self):
        return [
            busybox_layer(),
            lib.Tar().directory("t").file("t/one/gone", b"1").file("t/one/stays", b"1").file("t/two/a", b"1").file("t/two/b", b"1")
            .file("t/three/x", b"1").file("t/file", b"1").directory("t/dir").file("t/dir/x", b"1").file("t/again", b"1")
            .symlink("t/link", "two").file("t/deep/a/b/c", b"1"),
            lib.Tar().directory("t").directory("t/one").whiteout("t/one/gone").directory("t/two").opaque("t/two")
            .file("t/two/new", b"2").whiteout("t/three").whiteout("t/again").directory("t/file").file("t/file/x", b"2")
            .file("t/dir", b"2").whiteout("t/link").whiteout("t/deep/a"),
            lib.Tar().directory("t").directory("t/three").file("t/three/new", b"3").file("t/again", b"3").directory("t/two")
            .whiteout("t/two/new").file("t/two/last", b"3").directory("t/link").file("t/link/x", b"3")
            .file("t/deep/a/b/d", b"3"),
        ]

    EXPECTED = ["/t", "/t/again", "/t/deep", "/t/deep/a", "/t/deep/a/b", "/t/deep/a/b/d", "/t/dir", "/t/file", "/t/file/x", "/t/link",
                "/t/link/x", "/t/one", "/t/one/stays", "/t/three", "/t/three/new", "/t/two", "/t/two/last"]

    def test_whiteouts(self):
        image = lib.Image(self.whiteout_layers())
        reference = self.add(image)
        found = lib.moorctl("run", "--rm", reference, "find", "/t").stdout.split()
        self.assertEqual(sorted(found), self.EXPECTED)
        contents = lib.moorctl("run", "--rm", reference, "sh", "-c", "cat /t/again /t/dir /t/three/new /t/file/x").stdout
        self.assertEqual(contents, "3232")

    def test_whiteouts_beside_umoci(self):
        """The same files as in the tree of a program that has nothing to do with overlayfs."""

        reference = lib.push(lib.Image(self.whiteout_layers()), "hostile/whiteouts:1")
        found = lib.moorctl("run", "--rm", reference, "find", "/t").stdout.split()
        with tempfile.TemporaryDirectory() as directory:
            layout = lib.Image(self.whiteout_layers()).write_layout(f"{directory}/layout")
            with lib_tree.umoci_unpacked(f"{layout}:test") as root:
                expected = lib.run(["find", "t"], cwd=root).stdout.split()
        self.assertEqual(sorted(found), sorted(f"/{name}" for name in expected))

    def assert_as_umoci(self, layers, expected=None, exact_times=()):
        """An image of these layers above that of busybox: moored's tree and umoci's. expected: some paths' modes and owners.
        exact_times: directories whose times are compared; those of others are of the unpacking where no entry gives them."""

        image = lib.Image([busybox_layer(), *layers])
        container = lib.moorctl("run", "-d", self.add(image), "sleep", "600").stdout.strip()
        try:
            with tempfile.TemporaryDirectory() as directory, \
                 lib_tree.merged(lib_tree.lower_layers(container)) as ours, \
                 lib_tree.umoci_unpacked(f"{image.write_layout(f'{directory}/layout')}:test") as theirs:
                left, right = lib_tree.describe_trees(ours, theirs)
        finally:
            lib.moorctl("rm", "-f", container)
        for side in (left, right):
            for path, found in side[0].items():
                if found["mode"].startswith("0o4") and path.decode() not in exact_times:
                    del found["mtime"]
        self.assertEqual(lib_tree.differences(left, right), [])
        for path, (mode, owner) in (expected or {}).items():
            self.assertEqual((left[0][path.encode()]["mode"], left[0][path.encode()]["owner"]), (oct(mode), owner), path)
        return left[0]

    def test_directories_without_an_entry(self):
        """They are those of the layers below, with all that these say of them."""

        note = {"SCHILY.xattr.user.note": "kept"}
        files = self.assert_as_umoci(
            [lib.Tar().directory(".", mode=0o711, uid=7, gid=8).pax(note).directory("shared", mode=0o1777, uid=1000, gid=1001, mtime=1234567)
             .directory("deep", mode=0o700, uid=3).directory("deep/er", mode=0o2770, uid=4, gid=5, mtime=99).file("deep/er/old", b"1")
             .directory("replaced", mode=0o777, uid=9).directory("gone", mode=0o777, uid=9).file("gone/old", b"1")
             .directory("own", mode=0o777, uid=9).directory("opaque", mode=0o777, uid=9).directory("opaque/sub", mode=0o777, uid=9)
             .file("file", b"1", mode=0o600, uid=9),
             lib.Tar().file("shared/x", b"2").file("deep/er/new", b"2", uid=6).whiteout("deep/er/old").file("replaced/x", b"2"),
             # Over a layer to which the same applies, and over what one hides.
             lib.Tar().file("shared/y", b"3").directory("replaced", mode=0o750, uid=1).whiteout("gone").file("own/first", b"3")
             .directory("own", mode=0o711, uid=2).opaque("opaque"),
             lib.Tar().file("deep/z/new/x", b"4").file("replaced/y", b"4").file("gone/new", b"4").file("own/second", b"4")
             .file("opaque/sub/x", b"4").file("deep/er/last", b"4")],
            {".": (0o40711, (7, 8)), "shared": (0o41777, (1000, 1001)), "deep/z": (0o40755, (0, 0)), "deep": (0o40700, (3, 0)),
             "deep/er": (0o42770, (4, 5)), "replaced": (0o40750, (1, 0)), "gone": (0o40755, (0, 0)), "own": (0o40711, (2, 0)),
             "opaque": (0o40777, (9, 0)), "opaque/sub": (0o40755, (0, 0))},
            ("shared", "deep/er"))
        self.assertEqual(files[b"shared"]["xattrs"], {"user.note": b"kept"})
        self.assertEqual(files[b"shared"]["mtime"], 1234567 * 10 ** 9)
        self.assertNotIn(b"gone/old", files)

    def test_directories_that_are_symlinks_below(self):
        """A layer with "sbin/x" over one whose sbin is a link to usr/sbin: the link stays, and what it leads to has the file."""

        files = self.assert_as_umoci(
            [lib.Tar().directory("usr").directory("usr/sbin", mode=0o751, uid=3).file("usr/sbin/old", b"1").file("usr/sbin/gone", b"1")
             .symlink("sbin", "usr/sbin").symlink("absolute", "/sbin").directory("a").symlink("a/up", "../../../usr").symlink("own", "usr"),
             lib.Tar().file("sbin/x", b"2").file("absolute/y", b"2").hardlink("sbin/hard", "sbin/x").whiteout("sbin/gone")
             .directory("a/up/made", mode=0o700).symlink("sbin/link", "x").directory("own").file("own/x", b"2")],
            {"usr/sbin": (0o40751, (3, 0)), "usr/made": (0o40700, (0, 0)), "own": (0o40755, (0, 0))})
        self.assertEqual(files[b"sbin"]["target"], b"usr/sbin")
        for name in (b"old", b"x", b"y", b"hard", b"link"):
            self.assertIn(b"usr/sbin/" + name, files)
        self.assertNotIn(b"usr/sbin/gone", files)
        self.assertNotIn(b"usr/x", files)

    def test_symlinks_below_that_lead_out(self):
        """What holds of symlinks in a layer holds of those in the layers below."""

        for target, arrives in (("/etc", "etc/new"), ("../../../../../../etc", "etc/new"), ("/proc/self/root/etc", "proc/self/root/etc/new"),
                                (OVERLAY, "var/lib/moored/snapshots/overlay/new")):
            with self.subTest(target=target):
                before = numbers()
                lib.moorctl("pull", "-q", self.add(lib.Image([lib.Tar().symlink("l", target), lib.Tar().file("l/new", b"inside")])))
                layer = max(numbers() - before, key=int)
                with open(f"{OVERLAY}/{layer}/fs/{arrives}", "rb") as f:
                    self.assertEqual(f.read(), b"inside")
                lib.moorctl("rmi", self.registry.reference(f"hostile:{self.n}"))
        self.assert_refused(lib.Image([lib.Tar().symlink("l", "m"), lib.Tar().symlink("m", "l").file("m/x", b"x")]), "symbolic links")
        self.assert_refused(lib.Image([lib.Tar().file("d/secret", b"1"), lib.Tar().hardlink("d/x", "d/secret")]), "hard link")

    def test_many_layers_that_depend_on_each_other(self):
        layers = [lib.Tar().directory("d", mode=0o1777, uid=5)]
        layers += [lib.Tar().file(f"d/{i}", b"x") for i in range(60)]
        files = self.assert_as_umoci(layers, {"d": (0o41777, (5, 0))}, ("d",))
        self.assertEqual(sum(path.startswith(b"d/") for path in files), 60)

    def assert_same_tree(self, name, *without_entry):
        """moored's tree and umoci's; without_entry: directories whose time no layer, or not the topmost one that has them, gives."""

        reference = f"{lib.REGISTRY}/{name}"
        had = any(row["Name"] == reference for row in lib.moorctl_json("images") or [])
        container = lib.moorctl("run", "-d", reference, "sleep", "600").stdout.strip()
        try:
            with lib_tree.merged(lib_tree.lower_layers(container)) as ours, \
                 lib_tree.umoci_unpacked(f"{lib.TEST_IMAGES}/{name}") as theirs:
                left, right = lib_tree.describe_trees(ours, theirs)
        finally:
            lib.moorctl("rm", "-f", container)
            if not had:
                lib.moorctl("rmi", reference)
        self.assertGreater(len(left[0]), 1000)
        for path in without_entry:
            del left[0][path]["mtime"], right[0][path]["mtime"]
        self.assertEqual(lib_tree.differences(left, right), [])

    def test_debian_as_umoci_has_it(self):
        self.assert_same_tree("debian:test", b".")

    def test_many_layers_as_umoci_has_them(self):
        self.assert_same_tree("layers:test", b".", b"data")


class LargeTest(HostileTestCase):
    def zeros(self, size):
        """An image of one file of that many zeros, and its tar's digest, made without holding either."""

        tar = lib.Tar().entry("zeros", size=size).parts[0]
        packer, digest, chunk = zlib.compressobj(1, zlib.DEFLATED, 31), hashlib.sha256(), bytes(1 << 20)
        blob = packer.compress(tar)
        digest.update(tar)
        for piece in [chunk] * (size >> 20) + [bytes(1024)]:
            blob += packer.compress(piece)
            digest.update(piece)
        return lib.Image([b""], raw_layers=[blob + packer.flush()], diff_ids=[f"sha256:{digest.hexdigest()}"])

    def test_a_gibibyte_of_zeros(self):
        """Works, and the daemon answers meanwhile."""

        image = self.zeros(1 << 30)
        self.assertLess(image.layers[0]["size"], 8 << 20)
        before = numbers()
        latencies, helper_memory = [], 0
        with subprocess.Popen(["moorctl", "pull", "-q", self.add(image)], stdout=subprocess.DEVNULL) as pull:
            while pull.poll() is None:
                latencies.append(ping(lib.BUS_NAME) - ping("org.freedesktop.systemd1"))
                for pid in lib.processes("moored-helper"):
                    helper_memory = max(helper_memory, self.memory(pid))
            self.assertEqual(pull.returncode, 0)
        path = f"{OVERLAY}/{(numbers() - before).pop()}/fs/zeros"
        self.assertEqual(os.path.getsize(path), 1 << 30)
        with open(path, "rb") as f:
            f.seek((1 << 30) - 4096)
            self.assertEqual(f.read(), bytes(4096))
        self.assertGreater(len(latencies), 5)
        # Longer than PID 1's; of processes that are started on a busy machine, so that one may be late.
        self.assertLess(sorted(latencies)[len(latencies) // 2], 0.1)
        self.assertLess(sorted(latencies)[-2], 1)
        self.assertLess(helper_memory, 64 << 10)

    @staticmethod
    def memory(pid):
        """Resident KiB, 0 if it is gone."""

        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                return next((int(line.split()[1]) for line in f if line.startswith("VmHWM:")), 0)
        except OSError:
            return 0

    def test_a_hundred_thousand_entries(self):
        tar = lib.Tar()
        header = lib.Tar().file("d000/e00/f00000", b"").parts[0]
        for i in range(100000):
            name = b"d%03d/e%02d/f%05d" % (i // 1000, i // 100 % 100, i)
            changed = name.ljust(100, b"\0") + header[100:]
            checksum = sum(changed[:148]) + sum(changed[156:]) + 8 * 32
            tar.raw(changed[:148] + b"%06o\0 " % checksum + changed[156:])
        path = self.unpack(tar)
        self.assertEqual(sum(len(files) for _, _, files in os.walk(path)), 100000)
        # Their removal is a helper's work as well.
        lib.moorctl("rmi", self.registry.reference(f"hostile:{self.n}"))
        self.assert_nothing()
        self.assertFalse(os.path.exists(path))


