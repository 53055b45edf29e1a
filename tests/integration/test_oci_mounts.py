# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts, devices, sysctls and roots of mooring's containers; and what an image must not achieve by them."""

import array
import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading

import lib
import lib_oci
from lib_oci import config

NAMESPACES = ("pid", "mount", "uts", "ipc", "network")
SHIFTED = [{"containerID": 0, "hostID": 100000, "size": 65536}]
ALL_IDS = [{"containerID": 0, "hostID": 0, "size": 4294967295}]


def userns(mappings, **linux):
    return {"uidMappings": mappings, "gidMappings": mappings, **linux}


def bind(destination, source, *options, **members):
    return {"destination": destination, "type": "bind", "source": source, "options": list(options) or ["bind"], **members}


def tmpfs(destination, *options, **members):
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options), **members}


class Mount:
    """A line of mountinfo."""

    def __init__(self, line):
        before, after = line.split(" - ")
        fields = before.split()
        self.root, self.target, self.options = fields[3], fields[4], fields[5].split(",")
        self.tags = fields[6:]
        self.type, self.source, rest = after.split(" ", 2)
        self.super_options = rest.split(",")


def mounts_of(text):
    return [Mount(line) for line in text.splitlines()]


class MountTestCase(lib_oci.OciTestCase):
    """Each test has a directory of the host's, with a file and a directory in it. It is on ext4, which can be idmapped."""

    def setUp(self):
        super().setUp()
        self.root = f"{self.bundle}/rootfs"
        self.source = tempfile.mkdtemp(prefix="test-oci-source-", dir="/var/lib/moored")
        self.addCleanup(shutil.rmtree, self.source)
        os.chmod(self.source, 0o755)
        os.mkdir(f"{self.source}/dir")
        self.write(f"{self.source}/file", "text\n")

    @staticmethod
    def write(path, text, mode=0o644):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def spec(self, script, *mounts, process=None, linux=None, namespaces=NAMESPACES, **top):
        spec = config(["sh", "-c", script], process, linux, namespaces, **top)
        spec["mounts"] += mounts
        return spec

    def sh(self, script, *mounts, **kwargs):
        return self.output(self.spec(script, *mounts, **kwargs))

    def mountinfo(self, *mounts, **kwargs):
        spec = self.spec("", *mounts, **kwargs)
        spec["process"]["args"] = ["cat", "/proc/self/mountinfo"]
        return mounts_of(self.output(spec))

    def mount_on(self, target, *mounts, **kwargs):
        """The last mount on that place."""

        found = [m for m in self.mountinfo(*mounts, **kwargs) if m.target == target]
        self.assertTrue(found, target)
        return found[-1]

    def not_run(self, *texts, script="true", mounts=(), **kwargs):
        self.refused(self.spec(script, *mounts, **kwargs), *texts)

    def host_mount(self, path, fstype="tmpfs", *options):
        os.makedirs(path, exist_ok=True)
        lib.run(["mount", "-t", fstype, *options, "test", path])
        self.addCleanup(lib.run, ["umount", "-l", path])
        self.mounts_before = lib.mountinfo_count()


class OptionTest(MountTestCase):
    def test_attributes(self):
        kinds = (("tmpfs", "/t", lambda *o: tmpfs("/t", *o)), ("directory", "/t", lambda *o: bind("/t", self.source, "bind", *o)),
                 ("file", "/f", lambda *o: bind("/f", f"{self.source}/file", "bind", *o)))
        cases = ((["ro"], ["ro"], []), (["rro"], ["ro"], []), (["ro", "rw"], ["rw"], ["ro"]),
                 (["nosuid", "nodev", "noexec"], ["nosuid", "nodev", "noexec"], []),
                 (["nosuid", "suid", "nodev", "dev", "noexec", "exec"], [], ["nosuid", "nodev", "noexec"]),
                 (["noatime", "nodiratime"], ["noatime", "nodiratime"], ["relatime"]),
                 (["rnoatime"], ["noatime"], ["relatime"]), (["noatime", "relatime"], ["relatime"], ["noatime"]),
                 (["strictatime"], [], ["relatime", "noatime"]), (["nosymfollow"], ["nosymfollow"], []))
        for namespaces, linux in ((NAMESPACES, {}), ((*NAMESPACES, "user"), userns(ALL_IDS))):
            for name, target, mount in kinds:
                for options, there, not_there in cases:
                    with self.subTest(kind=name, options=options, user="user" in namespaces):
                        if "strictatime" in options and "user" in namespaces and name != "tmpfs":
                            continue  # the host's are locked
                        found = self.mount_on(target, mount(*options), namespaces=namespaces, linux=linux).options
                        self.assertEqual([o for o in there if o not in found], [], found)
                        self.assertEqual([o for o in not_there if o in found], [], found)

    def test_options_of_the_file_system(self):
        for name in ("sync", "dirsync"):
            self.assertIn(name, self.mount_on("/t", tmpfs("/t", name)).super_options)
        self.assertIn("size=64k", self.mount_on("/t", tmpfs("/t", "size=64k")).super_options)
        self.not_run("/t", "Invalid argument", mounts=[tmpfs("/t", "nosuch=1")])
        self.not_run("/t", "nosuch", mounts=[bind("/t", self.source, "bind", "nosuch")])

    def test_recursive(self):
        self.host_mount(f"{self.source}/dir")
        for options, top, below in ((["rbind", "ro"], "ro", "rw"), (["rbind", "rro"], "ro", "ro"),
                                    (["rbind", "rro", "rnoexec"], "ro", "noexec"), (["bind", "rbind"], "rw", "rw")):
            with self.subTest(options):
                mounts = {m.target: m for m in self.mountinfo(bind("/t", self.source, *options))}
                self.assertIn(top, mounts["/t"].options)
                self.assertIn(below, mounts["/t/dir"].options)
        self.assertNotIn("/t/dir", {m.target for m in self.mountinfo(bind("/t", self.source, "bind"))})

    def test_no_options_at_all(self):
        spec = self.spec("")
        spec["process"]["args"] = ["cat", "/proc/self/mountinfo"]
        spec["mounts"] += [{"destination": "/dev/pts", "type": "devpts"}, {"destination": "/dev/shm", "type": "tmpfs"}]
        mounts = {m.target: m for m in mounts_of(self.output(spec))}
        self.assertIn("ptmxmode=666", mounts["/dev/pts"].super_options)
        self.assertIn("nodev", mounts["/dev/shm"].options)

    def test_remount(self):
        again = {"destination": "/t", "options": ["remount", "bind", "ro"]}
        self.assertIn("ro", self.mount_on("/t", tmpfs("/t"), again).options)
        bigger = {"destination": "/t", "options": ["remount", "size=128k"]}
        self.assertIn("size=128k", self.mount_on("/t", tmpfs("/t", "size=64k"), bigger).super_options)
        self.not_run("remount", "/etc", mounts=[{"destination": "/etc", "options": ["remount", "bind", "ro"]}])

    def test_the_same_file_system_twice(self):
        mqueue = {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}
        self.assertEqual(self.sh("ls -d /dev/mqueue", mqueue, {**mqueue, "options": ["noexec"]}), "/dev/mqueue\n")


class PropagationTest(MountTestCase):
    def setUp(self):
        super().setUp()
        self.host_mount(f"{self.source}/dir")
        lib.run(["mount", "--make-shared", f"{self.source}/dir"])
        self.group, = [t for m in mounts_of(self.read("/proc/self/mountinfo")) if m.target == f"{self.source}/dir"
                       for t in m.tags]

    def tags(self, *options, **kwargs):
        return self.mount_on("/t", bind("/t", f"{self.source}/dir", *options), **kwargs).tags

    def test_bind(self):
        master = self.group.replace("shared", "master")
        self.assertEqual(self.tags("bind"), [])
        self.assertEqual(self.tags("bind", "rprivate"), [])
        self.assertEqual(self.tags("bind", "rslave"), [master])
        self.assertEqual(self.tags("bind", "slave", linux={"rootfsPropagation": "private"}), [master])
        self.assertEqual(self.tags("bind", "rshared"), [self.group])
        self.assertEqual(self.tags("bind", "unbindable"), ["unbindable"])

    def test_out_of_a_user_namespace_nothing_is_mounted_on_the_host(self):
        kwargs = {"namespaces": (*NAMESPACES, "user"), "linux": userns(ALL_IDS)}
        tags = self.tags("bind", "rshared", **kwargs)
        self.assertNotIn(self.group, tags)
        self.assertIn(self.group.replace("shared", "master"), tags)
        self.assertEqual(self.tags("bind", **kwargs), [])

    def test_file_system(self):
        self.assertEqual(self.mount_on("/t", tmpfs("/t", "rprivate")).tags, [])
        self.assertTrue(self.mount_on("/t", tmpfs("/t", "shared")).tags[0].startswith("shared:"))
        self.assertTrue(self.mount_on("/proc", {"destination": "/proc", "type": "proc", "options": ["shared"]})
                        .tags[0].startswith("shared:"))

    def test_root(self):
        host, = [m for m in mounts_of(self.read("/proc/self/mountinfo")) if m.target == "/"]
        for value, expected in (("private", []), ("rprivate", []), ("unbindable", ["unbindable"])):
            self.assertEqual(self.mount_on("/", linux={"rootfsPropagation": value}).tags, expected)
        for value in ("slave", "rslave", None):
            linux = {"rootfsPropagation": value} if value else {}
            self.assertFalse([t for t in self.mount_on("/", linux=linux).tags if t.startswith("shared")])
        for value in ("shared", "rshared"):
            tags = [t for t in self.mount_on("/", linux={"rootfsPropagation": value}).tags if t.startswith("shared")]
            self.assertEqual(len(tags), 1)
            self.assertNotIn(tags[0], host.tags)
        self.not_run("linux.rootfsPropagation", linux={"rootfsPropagation": "ro"})


class IdmappedTest(MountTestCase):
    def owner(self, *mounts, path="/t/file", **kwargs):
        return self.sh(f"stat -c %u:%g {path}", *mounts, **kwargs).strip()

    def mapped(self, host_id, *options, source=None):
        mapping = [{"containerID": 0, "hostID": host_id, "size": 10}]
        return bind("/t", source or self.source, *options, uidMappings=mapping, gidMappings=mapping)

    def test_without_a_user_namespace(self):
        self.assertEqual(self.owner(self.mapped(1000, "bind", "idmap")), "1000:1000")
        self.assertEqual(self.owner(self.mapped(1000, "bind", "ro")), "1000:1000")
        self.assertEqual(self.owner(bind("/t", self.source, "bind", "idmap=uids=0-1000-10;gids=0-2000-10")), "1000:2000")

    def test_with_a_user_namespace(self):
        kwargs = {"namespaces": (*NAMESPACES, "user"), "linux": userns(SHIFTED)}
        os.chown(self.root, 100000, 100000)
        self.addCleanup(os.chown, self.root, 0, 0)
        self.assertEqual(self.owner(bind("/t", self.source, "bind"), **kwargs), "65534:65534")
        self.assertEqual(self.owner(bind("/t", self.source, "bind", "idmap"), **kwargs), "0:0")
        self.assertEqual(self.owner(self.mapped(100007, "bind", "idmap"), **kwargs), "7:7")
        self.assertEqual(self.owner(bind("/t", self.source, "bind", "idmap=uids=@0-5-1;gids=@0-6-1"), **kwargs), "5:6")

    def test_recursive(self):
        os.mkdir(f"{self.source}/other")
        self.write(f"{self.source}/other/file", "")
        lib.run(["mount", "--bind", f"{self.source}/other", f"{self.source}/dir"])
        self.addCleanup(lib.run, ["umount", "-l", f"{self.source}/dir"])
        self.assertEqual(self.owner(self.mapped(7, "rbind", "ridmap"), path="/t/dir/file"), "7:7")
        self.assertEqual(self.owner(self.mapped(7, "rbind", "idmap"), path="/t/dir/file"), "0:0")

    def test_several_mounts(self):
        out = self.sh("stat -c %u /t/file /u/file /v/file", self.mapped(5, "bind"), {**self.mapped(5, "bind"), "destination": "/u"},
                      {**self.mapped(6, "bind"), "destination": "/v"})
        self.assertEqual(out, "5\n5\n6\n")

    def test_refused(self):
        self.not_run("/t", "uidMappings", mounts=[bind("/t", self.source, "bind", "idmap")])
        self.not_run("/t", "gidMappings", mounts=[bind("/t", self.source, "bind", uidMappings=SHIFTED)])
        self.not_run("FILESYSTEM-HOST-SIZE", mounts=[bind("/t", self.source, "bind", "idmap=uids=1;gids=1")])
        self.not_run("cannot be idmapped", mounts=[self.mapped(5, "bind", source="/proc/sys")])
        self.not_run("does not exist", mounts=[self.mapped(5, "bind", source="/nosuch")])


class TmpfsTest(MountTestCase):
    def test_mode(self):
        os.mkdir(f"{self.root}/mode")
        os.chmod(f"{self.root}/mode", 0o1712)
        self.addCleanup(os.rmdir, f"{self.root}/mode")
        self.assertEqual(self.sh("stat -c %a /mode", tmpfs("/mode")), "1712\n")
        self.assertEqual(self.sh("stat -c %a /mode", tmpfs("/mode", "ro")), "1712\n")
        self.assertEqual(self.sh("stat -c %a /mode", tmpfs("/mode", "mode=1777")), "1777\n")
        # One that is made only for this, and is there the next time.
        self.addCleanup(shutil.rmtree, f"{self.root}/made", ignore_errors=True)
        for options in ((), (), ("tmpcopyup",), ("ro",)):
            self.assertEqual(self.sh("stat -c %a /made/here", tmpfs("/made/here", *options)), "1777\n")
        self.assertEqual(self.sh("stat -c %a /made"), "755\n")

    def test_read_only_with_mounts_in_it(self):
        out = self.sh("cat /ro/a/b/file; touch /ro/x 2>&1; touch /ro/a/x 2>&1; true", tmpfs("/ro", "ro"),
                      bind("/ro/a/b", self.source, "bind", "ro"))
        self.assertEqual(out, "text\ntouch: /ro/x: Read-only file system\ntouch: /ro/a/x: Read-only file system\n")

    def test_copy_up(self):
        tree = f"{self.root}/tree"
        os.makedirs(f"{tree}/a/b")
        self.addCleanup(shutil.rmtree, tree)
        self.write(f"{tree}/a/file", "content\n", 0o4640)
        os.chown(f"{tree}/a/file", 1000, 1001)
        os.chmod(f"{tree}/a/file", 0o4640)
        os.symlink("/etc/passwd", f"{tree}/link")
        os.mkfifo(f"{tree}/fifo")
        os.mknod(f"{tree}/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        with open(f"{tree}/big", "wb") as f:
            f.write(os.urandom(3 << 20))
        os.chown(tree, 3, 4)
        os.chmod(tree, 0o2751)
        script = ("cd /tree; stat -c '%n %a %u %g %F' . a/file link fifo null; readlink link; cmp big /src/big && echo same; "
                  "touch new && echo new; cat a/file")
        expected = ". 2751 3 4 directory\na/file 4640 1000 1001 regular file\nlink 777 0 0 symbolic link\n" \
                   "fifo 644 0 0 fifo\nnull 600 0 0 character special file\n/etc/passwd\nsame\n{}content\n"
        mounts = bind("/src", tree, "bind", "ro"), tmpfs("/tree", "tmpcopyup", "size=8m")
        self.assertEqual(self.sh(script, *mounts), expected.format("new\n"))
        self.assertFalse(os.path.exists(f"{tree}/new"))
        mounts = bind("/src", tree, "bind", "ro"), tmpfs("/tree", "tmpcopyup", "ro")
        self.assertEqual(self.sh(script + "; true", *mounts), expected.format(""))

    def test_copy_up_that_does_not_fit(self):
        tree = f"{self.root}/large"
        os.mkdir(tree)
        self.addCleanup(shutil.rmtree, tree)
        with open(f"{tree}/file", "wb") as f:
            f.write(bytes(1 << 20))
        self.not_run("Cannot copy \"/large\"", "No space", mounts=[tmpfs("/large", "tmpcopyup", "size=64k")])
        self.not_run("tmpcopyup", mounts=[bind("/t", self.source, "bind", "tmpcopyup")])
        self.not_run("root", mounts=[tmpfs("/", "tmpcopyup")])


class PlaceTest(MountTestCase):
    """Where things are mounted."""

    def link(self, target, name):
        os.symlink(target, f"{self.root}/{name}")
        self.addCleanup(os.unlink, f"{self.root}/{name}")

    def test_what_is_missing_is_made(self):
        self.addCleanup(shutil.rmtree, f"{self.root}/new")
        self.assertEqual(self.sh("cat /new/a/file /new/b/c", bind("//new//a/", self.source), bind("/new/b/c", f"{self.source}/file"),
                                 root={"path": "rootfs", "readonly": True}), "text\ntext\n")

    def test_symlinks_are_resolved_inside(self):
        outside = tempfile.mkdtemp(prefix="test-oci-outside-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, outside)
        self.link(outside, "absolute")
        self.link("../../../../../etc/relative/x", "relative")
        self.addCleanup(shutil.rmtree, f"{self.root}/var")
        self.addCleanup(shutil.rmtree, f"{self.root}/etc/relative")
        out = self.sh("cat /absolute/file /etc/relative/x", bind("/absolute", self.source),
                      bind("/relative", f"{self.source}/file"))
        self.assertEqual(out, "text\ntext\n")
        self.assertEqual(os.listdir(outside), [])

    def test_kinds_of_sources(self):
        os.mkfifo(f"{self.source}/fifo")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(f"{self.source}/socket")
        out = self.sh("stat -c %F /s/fifo /s/socket", *(bind(f"/s/{n}", f"{self.source}/{n}", "bind", "rro") for n in ("fifo", "socket")))
        self.assertEqual(out, "fifo\nsocket\n")
        self.not_run("does not exist", mounts=[bind("/t", f"{self.source}/nosuch")])
        self.not_run("one is a directory, the other is not", mounts=[bind("/etc", f"{self.source}/file")])

    def test_source_that_the_container_cannot_reach(self):
        os.chown(self.root, 100000, 100000)
        self.addCleanup(os.chown, self.root, 0, 0)
        os.chmod(self.source, 0)
        spec = self.spec("cat /t/x", bind("/t", f"{self.source}/dir", "bind", "ro"), linux=userns(SHIFTED),
                         namespaces=(*NAMESPACES, "user"))
        self.write(f"{self.source}/dir/x", "reached\n")
        self.assertEqual(self.output(spec), "reached\n")

    def test_root_that_the_container_cannot_reach(self):
        os.chown(self.root, 100000, 100000)
        os.chmod(self.bundle, 0o700)
        self.addCleanup(os.chmod, self.bundle, 0o755)
        self.addCleanup(os.chown, self.root, 0, 0)
        self.assertEqual(self.sh("id -u; touch /x && rm /x && echo ok", linux=userns(SHIFTED), namespaces=(*NAMESPACES, "user")),
                         "0\nok\n")

    def test_nofollow(self):
        os.symlink("/nosuch", f"{self.source}/link")
        self.link("/nowhere", "there")
        out = self.sh("readlink /there", bind("/there", f"{self.source}/link", "bind", "src-nofollow", "dest-nofollow"))
        self.assertEqual(out, "/nosuch\n")
        out = self.sh("cat /there", bind("/there", f"{self.source}/file", "bind", "dest-nofollow"))
        self.assertEqual(out, "text\n")
        self.assertEqual(os.readlink(f"{self.root}/there"), "/nowhere")
        self.not_run("belongs to the kernel", mounts=[bind("/proc/self", f"{self.source}/link", "bind", "src-nofollow", "dest-nofollow")])
        self.not_run("/missing", mounts=[bind("/missing", self.source, "bind", "dest-nofollow")])

    def test_copy_symlink(self):
        os.symlink("some/where", f"{self.source}/link")
        self.addCleanup(shutil.rmtree, f"{self.root}/a")
        copy = bind("/a/b", f"{self.source}/link", "rbind", "copy-symlink")
        self.assertEqual(self.sh("readlink /a/b", copy), "some/where\n")
        self.assertEqual(self.sh("readlink /a/b", copy), "some/where\n")
        self.assertEqual(self.sh("cat /c", bind("/c", f"{self.source}/file", "bind", "copy-symlink")), "text\n")
        self.not_run("/etc/passwd", "is there already", mounts=[bind("/etc/passwd", f"{self.source}/link", "bind", "copy-symlink")])

    def test_a_tree_with_the_root_in_it(self):
        """What the container has mounted is not found once more, unmasked, where the host keeps its root."""

        out = self.sh("cat /proc/self/mountinfo", bind("/t", "/var", "rbind", "ro"), linux={"readonlyPaths": ["/proc/sys"]})
        self.assertIn("/t", {m.target for m in mounts_of(out)})
        self.assertEqual([m.target for m in mounts_of(out) if m.target.startswith("/t/") and m.type == "proc"], [])
        self.assertEqual(self.sh(f"ls /t{self.root.removeprefix('/var')}/proc", bind("/t", "/var", "rbind")), "")

    def test_bind_on_the_root(self):
        other = f"{self.source}/root"
        lib_oci.make_rootfs(other)
        self.write(f"{other}/mark", "other\n")
        spec = self.spec("cat /mark; touch /x 2>&1 || true", root={"path": "rootfs", "readonly": True})
        spec["mounts"].insert(0, bind("/", other, "bind"))
        self.assertEqual(self.output(spec), "other\ntouch: /x: Read-only file system\n")
        self.not_run("root", mounts=[tmpfs("/")])

    def test_file_systems_of_the_kernel_are_not_mounted_on_links(self):
        os.rmdir(f"{self.root}/proc")
        os.symlink("/tmp", f"{self.root}/proc")
        self.addCleanup(os.mkdir, f"{self.root}/proc")
        self.addCleanup(os.unlink, f"{self.root}/proc")
        self.not_run("symbolic link", "/proc")

    def test_mounts_during_a_race(self):
        """CVE-2021-30465: a directory of a shared volume that becomes a symlink and back all the time."""

        outside = tempfile.mkdtemp(prefix="test-oci-outside-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, outside)
        volume = f"{self.source}/dir"
        os.mkdir(f"{volume}/real")
        os.symlink("/" + "../" * 20 + outside.strip("/"), f"{volume}/link")
        done = threading.Event()

        def exchange():
            while not done.is_set():
                subprocess.run(["python3", "-c", f"""
import ctypes
libc = ctypes.CDLL(None)
for i in range(20000):
    libc.renameat2(-100, b"{volume}/real", -100, b"{volume}/link", 2)
"""], check=False)

        thread = threading.Thread(target=exchange)
        thread.start()
        try:
            for _ in range(40):
                # What the mount ends up on does not matter, as long as it is in the container.
                self.run_container(self.spec("true", bind("/v", volume, "bind"), bind("/v/real/x/y", f"{self.source}/file", "bind"),
                                             tmpfs("/v/real/z")), check=False)
                self.assertEqual(os.listdir(outside), [])
        finally:
            done.set()
            thread.join()
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)


class RootTest(MountTestCase):
    def test_paths(self):
        os.symlink("rootfs", f"{self.bundle}/link")
        self.addCleanup(os.unlink, f"{self.bundle}/link")
        for path in (self.root, "link", f"{self.bundle}/link/", "./rootfs"):
            with self.subTest(path):
                self.assertIn("busybox", self.sh("ls /bin", root={"path": path}))
        self.not_run("nosuch", root={"path": "nosuch"})

    def test_the_hosts_root(self):
        spec = config(["python3", "-c", "import os; print(os.path.exists('/usr/bin/mooring'), os.getpid())"])
        spec["root"] = {"path": "/", "readonly": True}
        self.assertEqual(self.output(spec), "True 1\n")

    def test_without_pivot_root(self):
        spec = self.spec("ls /; touch /x 2>&1; cat /proc/self/mountinfo >/dev/null && echo proc", root={"path": "rootfs", "readonly": True})
        _, out, _ = self.run_container(spec, "--no-pivot")
        self.assertIn("home", out)
        self.assertIn("Read-only file system", out)
        self.assertIn("proc\n", out)
        _, out, _ = self.run_container(self.spec("cat /proc/self/mountinfo"), "--no-pivot")
        self.assertFalse([m for m in mounts_of(out) if m.target.startswith("/var")])

    def test_without_a_mount_namespace(self):
        spec = config(["sh", "-c", "ls /; test -c /dev/null && echo null"], namespaces=("pid",))
        del spec["mounts"]
        self.addCleanup(lambda: [os.unlink(f"{self.root}/dev/{n}") for n in os.listdir(f"{self.root}/dev")])
        out = self.output(spec)
        self.assertIn("home", out)
        self.assertIn("null\n", out)
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)
        self.not_run("mounts", "mount namespace", namespaces=("pid",))
        spec["linux"]["maskedPaths"] = ["/etc"]
        self.refused(spec, "linux.maskedPaths", "mount namespace")


class DeviceTest(MountTestCase):
    def nodes(self, *paths, **kwargs):
        return self.sh("stat -c '%n %F %t:%T %a %u:%g' " + " ".join(paths), **kwargs).splitlines()

    def test_made(self):
        devices = [{"path": "/dev/a", "type": "c", "major": 251, "minor": 1, "fileMode": 0o640, "uid": 3, "gid": 4},
                   {"path": "/dev/deep/b", "type": "b", "major": 1, "minor": 5, "fileMode": 0o157},
                   {"path": "/node/", "type": "u", "major": 1, "minor": 7},
                   {"path": "/dev/p", "type": "p", "fileMode": 0o660, "uid": 1, "gid": 2},
                   {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}]
        self.addCleanup(lambda: os.path.exists(f"{self.root}/node") and os.unlink(f"{self.root}/node"))
        expected = ["/dev/a character special file fb:1 640 3:4", "/dev/deep/b block special file 1:5 157 0:0",
                    "/node character special file 1:7 666 0:0", "/dev/p fifo 0:0 660 1:2",
                    "/dev/null character special file 1:3 600 0:0"]
        paths = [line.split()[0] for line in expected]
        self.assertEqual(self.nodes(*paths, linux={"devices": devices}, root={"path": "rootfs", "readonly": True}), expected)
        # Made outside for a user namespace: with the same owners.
        os.unlink(f"{self.root}/node")
        kwargs = {"namespaces": (*NAMESPACES, "user"), "linux": userns(ALL_IDS, devices=devices)}
        self.assertEqual(self.nodes(*paths, **kwargs), expected)

    def test_owners_in_a_user_namespace(self):
        os.chown(self.root, 100000, 100000)
        self.addCleanup(os.chown, self.root, 0, 0)
        device = {"path": "/dev/a", "type": "c", "major": 1, "minor": 3, "uid": 5, "gid": 6}
        kwargs = {"namespaces": (*NAMESPACES, "user"), "linux": userns(SHIFTED, devices=[device])}
        self.assertEqual(self.nodes("/dev/a", **kwargs), ["/dev/a character special file 1:3 666 5:6"])
        self.assertEqual(self.sh("echo x >/dev/a; echo x >/dev/null && echo ok", **kwargs), "ok\n")
        mounts = {m.target: m for m in self.mountinfo(**kwargs)}
        for name in ("/dev/a", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom"):
            self.assertIn("nosuid", mounts[name].options)
            self.assertIn("noexec", mounts[name].options)

    def test_defaults(self):
        self.assertEqual(self.nodes("/dev/null", "/dev/tty"), ["/dev/null character special file 1:3 666 0:0",
                                                             "/dev/tty character special file 5:0 666 0:0"])
        self.assertEqual(self.sh("cd /dev; for i in fd stdin stdout stderr ptmx; do readlink $i; done"),
                         "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n")

    def test_something_else_is_there(self):
        self.write(f"{self.root}/plain", "")
        self.addCleanup(os.unlink, f"{self.root}/plain")
        self.not_run("/plain", linux={"devices": [{"path": "/plain", "type": "c", "major": 1, "minor": 3}]})
        os.symlink("/etc/passwd", f"{self.root}/symlink")
        self.addCleanup(os.unlink, f"{self.root}/symlink")
        self.not_run("/symlink", linux={"devices": [{"path": "/symlink", "type": "c", "major": 1, "minor": 3}]})
        self.not_run("/symlink", "symbolic link", namespaces=(*NAMESPACES, "user"),
                     linux=userns(ALL_IDS, devices=[{"path": "/symlink", "type": "c", "major": 1, "minor": 3}]))

    def test_the_hosts_dev_is_left_alone(self):
        device = {"path": "/dev/test-oci", "type": "c", "major": 1, "minor": 3}
        self.assertEqual(self.sh("test -e /dev/test-oci || echo no; ls -d /dev/console", bind("/dev", "/dev", "rbind"),
                                 linux={"devices": [device]}), "no\n/dev/console\n")
        self.assertFalse(os.path.exists("/dev/test-oci"))

    def test_dev_that_is_a_symlink(self):
        outside = tempfile.mkdtemp(prefix="test-oci-outside-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, outside)
        os.rename(f"{self.root}/dev", f"{self.root}/dev.old")
        self.addCleanup(os.rename, f"{self.root}/dev.old", f"{self.root}/dev")
        os.symlink(outside, f"{self.root}/dev")
        self.addCleanup(os.unlink, f"{self.root}/dev")
        spec = self.spec("true")
        spec["mounts"] = spec["mounts"][:1]
        self.refused(spec, "symbolic link", "/dev")
        self.assertEqual(os.listdir(outside), [])


class KernelTest(MountTestCase):
    """cgroups, /sys and /proc."""

    SYS = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
    CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}

    def test_cgroups(self):
        host, = [m for m in mounts_of(self.read("/proc/self/mountinfo")) if m.target == "/sys/fs/cgroup"]
        m = self.mount_on("/sys/fs/cgroup", self.SYS, self.CGROUP)
        self.assertEqual((m.type, m.root), ("cgroup2", host.root))
        self.assertIn("ro", m.options)
        self.assertIn("nosuid", m.options)
        m = self.mount_on("/sys/fs/cgroup", self.SYS, self.CGROUP, namespaces=(*NAMESPACES, "cgroup"))
        self.assertEqual((m.type, m.root), ("cgroup2", "/"))
        # The options of the host's file system are as they were.
        again, = [m for m in mounts_of(self.read("/proc/self/mountinfo")) if m.target == "/sys/fs/cgroup"]
        self.assertEqual(again.super_options, host.super_options)
        self.not_run("nosuch", mounts=[self.SYS, {**self.CGROUP, "options": ["nosuch"]}])
        self.not_run("Invalid argument", mounts=[self.SYS, {**self.CGROUP, "options": ["nosuch"]}], namespaces=(*NAMESPACES, "cgroup"))

    def test_sys_where_it_cannot_be_mounted(self):
        namespaces = ("pid", "mount", "uts", "ipc", "user")
        for cgroup in ([], [self.CGROUP]):
            mounts = self.mountinfo(self.SYS, *cgroup, namespaces=namespaces, linux=userns(ALL_IDS))
            below = [m for m in mounts if m.target == "/sys" or m.target.startswith("/sys/")]
            self.assertGreater(len(below), 1)
            self.assertEqual([m.target for m in below if "ro" not in m.options], [])

    def test_proc_where_it_cannot_be_mounted(self):
        self.not_run("user namespace", "/proc", namespaces=("mount", "user"), linux=userns(ALL_IDS))

    def test_protected_paths(self):
        self.write(f"{self.root}/etc/secret", "secret\n")
        self.addCleanup(os.unlink, f"{self.root}/etc/secret")
        linux = {"maskedPaths": ["/etc/secret", "/proc/acpi", "/home", "/nosuch", "/proc/keys"],
                 "readonlyPaths": ["/proc/sys", "/etc/group", "/nosuch/either"]}
        for namespaces, more in ((NAMESPACES, {}), ((*NAMESPACES, "user"), userns(ALL_IDS))):
            out = self.sh("cat /etc/secret /proc/keys; ls /home; touch /home/x 2>&1; echo x 2>&1 >>/etc/group; echo end",
                          linux={**linux, **more}, namespaces=namespaces)
            self.assertIn("touch: /home/x: Read-only file system\n", out)
            self.assertNotIn("secret", out)
            self.assertTrue(out.endswith("end\n"))
            mounts = {m.target: m for m in self.mountinfo(linux={**linux, **more}, namespaces=namespaces)}
            self.assertIn("ro", mounts["/proc/sys"].options)
            self.assertEqual([o for o in ("nosuid", "nodev", "noexec") if o not in mounts["/proc/sys"].options], [])
        self.assertNotIn("x", self.read(f"{self.root}/etc/group").splitlines())

    def test_mask_where_null_is_a_symlink(self):
        """CVE-2025-31133: an image's /dev/null that leads elsewhere."""

        os.symlink("/proc/sys/kernel/core_pattern", f"{self.root}/dev/null")
        self.addCleanup(lambda: [os.unlink(f"{self.root}/dev/{n}") for n in os.listdir(f"{self.root}/dev")])
        self.write(f"{self.root}/etc/secret", "secret\n")
        self.addCleanup(os.unlink, f"{self.root}/etc/secret")
        spec = self.spec("stat -c %F:%t:%T /etc/secret; cat /etc/secret; stat -c %F:%t:%T /proc/version",
                         linux={"maskedPaths": ["/etc/secret", "/proc/version"]})
        spec["mounts"] = spec["mounts"][:1]
        self.assertEqual(self.output(spec), "character special file:1:3\n" * 2)

    def test_console_that_is_a_symlink(self):
        """CVE-2025-52565: an image's /dev/console that leads elsewhere."""

        pts = {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}
        path = f"{self.states}/console"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        self.addCleanup(lambda: [os.unlink(f"{self.root}/dev/{n}") for n in os.listdir(f"{self.root}/dev") if n != "pts"])
        self.addCleanup(lambda: os.path.isdir(f"{self.root}/dev/pts") and os.rmdir(f"{self.root}/dev/pts"))
        spec = self.spec("true", pts, process={"terminal": True})
        del spec["mounts"][1]
        for target in ("/proc/sysrq-trigger", "/etc/passwd"):
            os.symlink(target, f"{self.root}/dev/console")
            p = self.mooring("create", "--console-socket", path, self.new(spec), check=False)
            self.assertNotEqual(p.returncode, 0)
            self.assertIn("/dev/console", p.stderr)
            os.unlink(f"{self.root}/dev/console")

    def test_console(self):
        pts = {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}
        path = f"{self.states}/console"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        name = self.new(self.spec("sleep 100", pts, process={"terminal": True}, root={"path": "rootfs", "readonly": True}))
        p = subprocess.Popen(["mooring", "--root", self.states, "--cgroup-manager", "disabled", "create", "--console-socket", path, name],
                             cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        connection, _ = listener.accept()
        _, ancillary, _, _ = connection.recvmsg(256, socket.CMSG_SPACE(4))
        connection.close()
        fds = array.array("i")
        fds.frombytes(ancillary[0][2][:4])
        os.close(fds[0])
        self.assertEqual(p.wait(timeout=60), 0)
        pid = json.loads(self.mooring("state", name).stdout)["pid"]
        mounts = mounts_of(self.read(f"/proc/{pid}/mountinfo"))
        console, = [m for m in mounts if m.target == "/dev/console"]
        self.assertEqual(console.type, "devpts")

    def test_sysctls(self):
        linux = {"sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "12345678", "kernel.domainname": "domain"}}
        out = self.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/domainname", linux=linux)
        self.assertEqual(out, "1\n12345678\ndomain\n")
        self.not_run("kernel.hostname", "hostname", linux={"sysctl": {"kernel.hostname": "x"}})
        self.not_run("net.ipv4.ip_forward", "network namespace", linux=linux, namespaces=("pid", "mount", "ipc", "uts"))
        self.not_run("kernel.panic", linux={"sysctl": {"kernel.panic": "1"}})
        spec = self.spec("true", linux=linux)
        spec["linux"]["namespaces"][-1]["path"] = "/proc/1/ns/net"
        self.refused(spec, "net/ipv4/ip_forward", "is the host's")

    def test_sysctls_below_mounts_of_the_image(self):
        """CVE-2025-52881: something is mounted where a file of the kernel's is to be written."""

        fake = f"{self.source}/dir"
        os.makedirs(f"{fake}/net/ipv4")
        self.write(f"{fake}/net/ipv4/ip_forward", "fake\n")
        linux = {"sysctl": {"net.ipv4.ip_forward": "1"}}
        out = self.sh("cat /proc/sys/net/ipv4/ip_forward; umount /proc/sys; cat /proc/sys/net/ipv4/ip_forward", bind("/proc/sys", fake),
                      linux=linux, process={"capabilities": {k: ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}})
        self.assertEqual(out, "fake\n1\n")
        self.assertEqual(self.read(f"{fake}/net/ipv4/ip_forward"), "fake\n")


class NestedTest(MountTestCase):
    """The runtime is in a user namespace itself, without one for the container, as it is below podman of an ordinary user."""

    def mooring(self, *args, **kwargs):
        if args[0] != "run":
            return super().mooring(*args, **kwargs)
        return lib.run(["unshare", "--user", "--map-root-user", "--mount", "mooring", "--root", self.states, "--cgroup-manager",
                        "disabled", *args], check=kwargs.get("check", True), cwd=self.bundle)

    def test_devices_are_the_hosts(self):
        device = {"path": "/dev/loop-control", "type": "c", "major": 10, "minor": 237}
        out = self.sh("stat -c '%F %t:%T' /dev/null /dev/zero; echo x >/dev/null && echo ok")
        self.assertEqual(out, "character special file 1:3\ncharacter special file 1:5\nok\n")
        if os.path.exists("/dev/loop-control"):
            self.assertEqual(self.sh("stat -c %t:%T /dev/loop-control", linux={"devices": [device]}), "a:ed\n")
        self.not_run("/dev/nosuch", "the host does not have it", linux={"devices": [{**device, "path": "/dev/nosuch"}]})
        self.not_run("/dev/null", linux={"devices": [{**device, "path": "/dev/null"}]})

    def test_sys(self):
        mounts = {m.target: m for m in self.mountinfo(KernelTest.SYS, namespaces=("pid", "mount", "uts", "ipc"))}
        self.assertIn("ro", mounts["/sys"].options)
        self.assertIn("ro", mounts["/sys/fs/cgroup"].options)

    def test_what_the_host_has_locked(self):
        self.host_mount(f"{self.source}/dir", "tmpfs", "-o", "ro,nosuid,noatime")
        found = self.mount_on("/t", bind("/t", f"{self.source}/dir", "rbind", "rw", "suid", "exec", "relatime", "nodev")).options
        self.assertEqual([o for o in ("ro", "nosuid", "noatime", "nodev") if o not in found], [])

    def test_idmapped(self):
        self.not_run("/t", mounts=[bind("/t", self.source, "bind", uidMappings=SHIFTED, gidMappings=SHIFTED)])


class AddedTest(MountTestCase):
    """`mooring mounts`."""

    def write_mounts(self, *mounts):
        path = f"{self.source}/mounts.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(mounts, f)
        return path

    def check(self, **kwargs):
        name = self.start_container(self.spec("sleep 1000", tmpfs("/x"), **kwargs))
        path = self.write_mounts(bind("/x/a/b", self.source, "bind", "ro"), tmpfs("/x/t", "size=64k", "ro"))
        self.mooring("mounts", "add", name, path)
        p = self.mooring("exec", name, "sh", "-c", "cat /x/a/b/file; touch /x/a/b/y /x/t/y; cat /proc/self/mountinfo", check=False)
        self.assertTrue(p.stdout.startswith("text\n"))
        self.assertEqual(p.stderr.count("Read-only file system"), 2)
        mounts = {m.target: m for m in mounts_of(p.stdout[len("text\n"):])}
        self.assertIn("ro", mounts["/x/a/b"].options)
        self.assertIn("size=64k", mounts["/x/t"].super_options)
        self.mooring("mounts", "remove", name, path)
        left = {m.target for m in mounts_of(self.mooring("exec", name, "cat", "/proc/self/mountinfo").stdout)}
        self.assertIn("/x", left)
        self.assertNotIn("/x/a/b", left)
        self.assertNotIn("/x/t", left)
        p = self.mooring("mounts", "remove", name, path, check=False)
        self.assertIn("Cannot unmount \"/x/t\"", p.stderr)
        self.assertEqual(lib.mountinfo_count(), self.mounts_before)
        return name

    def test_add_and_remove(self):
        self.check()

    def test_in_a_user_namespace(self):
        os.chown(self.root, 100000, 100000)
        self.addCleanup(os.chown, self.root, 0, 0)
        self.check(namespaces=(*NAMESPACES, "user"), linux=userns(SHIFTED))

    def test_symlinks_lead_nowhere_else(self):
        outside = tempfile.mkdtemp(prefix="test-oci-outside-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, outside)
        name = self.start_container(self.spec(f"ln -s {outside} /x/link; touch /x/ready; sleep 1000", tmpfs("/x")))
        lib.wait_until(lambda: self.mooring("exec", name, "ls", "/x/ready", check=False).returncode == 0)
        self.addCleanup(shutil.rmtree, f"{self.root}/var", True)
        self.mooring("mounts", "add", name, self.write_mounts(bind("/x/link/deep", self.source)))
        self.assertEqual(os.listdir(outside), [])
        self.assertEqual(self.mooring("exec", name, "cat", f"{outside}/deep/file").stdout, "text\n")

    def test_refused(self):
        name = self.start_container(self.spec("sleep 1000"))
        for mounts, text in (([bind("/", self.source)], "root"), ([bind("/t", "/nosuch")], "does not exist"),
                             ([{"destination": "/proc", "options": ["remount", "ro"]}], "remounted"), ([{"type": "x"}], "destination")):
            p = self.mooring("mounts", "add", name, self.write_mounts(*mounts), check=False)
            self.assertNotEqual(p.returncode, 0)
            self.assertIn(text, p.stderr)
        self.assertIn("Usage: mooring [OPTION...] mounts [add|remove] CONTAINER FILE", self.mooring("mounts", "--help").stdout)
        self.assertNotEqual(self.mooring("mounts", "add", "nosuch", self.write_mounts(), check=False).returncode, 0)
