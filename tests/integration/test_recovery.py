# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is lost and comes back: the database, and layers that had not reached the disk when the power went."""

import contextlib
import glob
import os
import shutil
import sqlite3
import time

import lib
import lib_store
from lib_container import BUSYBOX, DEBIAN, ContainerTestCase, daemon_away, unit_of

DATABASE = f"{lib_store.STORE}/moored.db"
OVERLAY = f"{lib_store.STORE}/snapshots/overlay"


def delete_database():
    for path in glob.glob(f"{DATABASE}*"):
        os.unlink(path)


def corrupt_database():
    for path in (DATABASE, f"{DATABASE}-wal"):
        if os.path.exists(path):
            with open(path, "r+b") as f:
                f.write(os.urandom(os.stat(path).st_size))


def change(statement, *args):
    with contextlib.closing(sqlite3.connect(DATABASE)) as db, db:
        return db.execute(statement, args).rowcount


def power_was_lost():
    """Layers are of an earlier boot and nobody synced them; bundles are gone, as after a boot. Nothing may run."""

    change("UPDATE snapshots SET synced = 0, boot_id = 'earlier' WHERE kind = 0")
    shutil.rmtree("/run/moored/containers")


class RecoveryTestCase(ContainerTestCase):
    images = (BUSYBOX, DEBIAN)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.remove_damaged)

    @staticmethod
    def remove_damaged():
        for path in glob.glob(f"{DATABASE}.damaged-*"):
            os.unlink(path)

    def assert_records(self):
        lib.wait_until(lambda: not lib_store.record_problems(), timeout=20, what="records and files agree")


class LostDatabaseTest(RecoveryTestCase):
    def survive(self, lose):
        self.detach("runs", "--label=a=b", "--stop-timeout=2s")
        self.detach("debian", image=DEBIAN, command=("sleep", "1000"))
        self.detach("fast", "--rm", command=("sleep", "1000"))
        self.detach("dies", command=("sleep", "1000"))
        self.detach("ended", command=("sh", "-c", "echo mine >/file; exit 42"))
        self.wait_state("ended", "exited")
        lib.moorctl("create", "--name=made", BUSYBOX, "echo", "started at last")
        names = ("runs", "debian", "fast", "dies", "ended", "made")
        before = {n: self.inspect(n) for n in names}
        images = sorted(i["Name"] for i in lib.moorctl_json("images"))
        with daemon_away():
            os.kill(before["dies"]["LeaderPID"], 9)
            lib.wait_until(lambda: not os.path.exists(f"/proc/{before['dies']['LeaderPID']}"), what="it is gone")
            lose()

        self.assertEqual(sorted(i["Name"] for i in lib.moorctl_json("images")), images)
        self.assertEqual(sorted(c["Id"] for c in lib.moorctl_json("ps", "-a")), sorted(names))
        now = {n: self.inspect(n) for n in names}
        for name in names:
            for key in ("Image", "ImageDigest", "Command", "CreatedUSec", "Labels", "Snapshot", "AutoRemove"):
                self.assertEqual(now[name][key], before[name][key], f"{key} of {name}")
        for name in ("runs", "debian", "fast"):
            for key in ("State", "LeaderPID", "StartedUSec", "ControlGroup"):
                self.assertEqual(now[name][key], before[name][key], f"{key} of {name}")
            self.assertEqual(lib.unit_properties(unit_of(name), "ActiveState")["ActiveState"], "active")
        self.assertEqual((now["dies"]["State"], now["dies"]["ExitCode"], now["dies"]["ExitSignal"]), ("exited", 137, "KILL"))
        self.assertEqual((now["ended"]["State"], now["ended"]["ExitCode"]), ("exited", 42))
        self.assertEqual(now["made"]["State"], "created")

        # The files below what runs are there as before, and stay.
        lib.run(["nsenter", "-t", str(now["debian"]["LeaderPID"]), "-m", "-r", "cat", "/etc/os-release"])
        self.assert_records()
        for name in ("runs", "debian"):
            self.assertTrue(os.path.exists(f"{OVERLAY}/{now[name]['Snapshot']}/fs"))
        lib.run(["nsenter", "-t", str(now["debian"]["LeaderPID"]), "-m", "-r", "ls", "/usr/bin/env"])

        # And all that can be done with containers and images can be done with these.
        lib.moorctl("stop", "runs")
        self.assertEqual((self.inspect("runs")["State"], self.inspect("runs")["ExitCode"]), ("exited", 0))
        lib.moorctl("start", "runs", "made", "ended")
        self.wait_state("ended", "exited")
        self.wait_state("made", "exited")
        self.assertIn("started at last", lib.moorctl("logs", "made").stdout)
        self.assertEqual(self.sh("echo works"), "works\n")
        self.assertIn("Debian", self.sh("cat /etc/os-release", image=DEBIAN))
        lib.moorctl("rm", "-f", *names)
        self.assertEqual(lib.moorctl("ps", "-a", "-q").stdout, "")
        lib.assert_nothing_left(self.leftovers_before, ignore=("snapshots",))
        self.assert_records()
        lib.assert_store_sound()

    def test_a_damaged_database(self):
        self.survive(corrupt_database)
        self.assertEqual(len(glob.glob(f"{DATABASE}.damaged-*[0-9]")), 1)

    def test_a_deleted_database(self):
        self.survive(delete_database)

    def test_a_damaged_database_and_records(self):
        self.detach("runs")
        self.detach("damaged")

        def lose():
            delete_database()
            with open("/run/moored/containers/default/damaged/record.json", "w", encoding="ascii") as f:
                f.write("{")

        with daemon_away():
            lose()
        # A container that nobody knows any more is stopped; the others are not taken with it.
        self.assertEqual(lib.moorctl("ps", "-a", "-q").stdout.split(), ["runs"])
        lib.wait_until(lambda: lib.unit_properties(unit_of("damaged"), "LoadState")["LoadState"] == "not-found",
                       timeout=20, what="the unit is gone")
        self.assertEqual(self.inspect("runs")["State"], "running")
        self.assert_records()

    def test_execs(self):
        self.detach("web", command=("sleep", "1000"))
        names = {}
        for what, script in (("runs", "sleep 1000"), ("dies", "sleep 1000"), ("ended", "exit 3")):
            names[what] = lib.moorctl("exec", "-d", "web", "sh", "-c", script).stdout.strip()
        lib.wait_until(lambda: self.inspect(names["ended"])["State"] == "exited", what="one has ended")
        before = self.inspect(names["runs"])
        dies = self.inspect(names["dies"])["PID"]
        foreground = self.popen("exec", "web", "sh", "-c", "echo ready; sleep 1; exit 6")
        self.assertEqual(foreground.stdout.readline(), "ready\n")
        with daemon_away():
            os.kill(dies, 9)
            lib.wait_until(lambda: not os.path.exists(f"/proc/{dies}"), what="it is gone")
            delete_database()
        now = self.inspect(names["runs"])
        for key in ("State", "PID", "Command", "CreatedUSec", "StartedUSec", "Unit", "AutoRemove"):
            self.assertEqual(now[key], before[key], key)
        self.assertEqual(self.inspect(names["dies"])["ExitCode"], 137)
        # What had ended is forgotten, but its number is not given away in front of others.
        self.assertFalse(self.exists(names["ended"]))
        self.assertEqual(foreground.wait(timeout=60), 6)
        foreground.communicate()
        number = lib.moorctl("exec", "-d", "web", "true").stdout.strip().split("/")[1]
        self.assertGreater(int(number), int(names["runs"].split("/")[1]))

    def test_again_and_again(self):
        self.detach("runs")
        pid = self.inspect("runs")["LeaderPID"]
        for _ in range(3):
            with daemon_away():
                delete_database()
            self.assertEqual(self.inspect("runs")["LeaderPID"], pid)
        self.assertTrue(self.sh("echo works"))

    def test_killed_while_it_refills(self):
        self.detach("runs")
        images = sorted(i["Name"] for i in lib.moorctl_json("images"))
        for i in range(8):
            lib.run(["systemctl", "stop", "moored.service"])
            delete_database()
            lib.run(["systemctl", "start", "--no-block", "moored.service"])
            # At a different moment of its start each time.
            time.sleep(0.015 * i)
            lib.run(["systemctl", "kill", "--signal=KILL", "moored.service"], check=False)
            # It may have been brought back already, or the first call joins the start that was killed.
            lib.run(["systemctl", "start", "moored.service"], check=False)
            lib.start_moored()
            lib.wait_until(lambda: lib.moorctl("images", check=False).returncode == 0, what="moored answers again")
            self.assertEqual(sorted(i["Name"] for i in lib.moorctl_json("images")), images)
            self.assertEqual(self.inspect("runs")["State"], "running")


class LostLayersTest(RecoveryTestCase):
    def lose(self, *more):
        with daemon_away():
            power_was_lost()
            for function in more:
                function()

    def test_images_are_unpacked_again_by_themselves(self):
        self.lose()
        lib.wait_until(lambda: all(i["Unpacked"] for i in lib.moorctl_json("images")), timeout=60,
                       what="all images are unpacked")
        self.assertEqual(self.sh("echo works"), "works\n")
        self.assert_records()

    def test_a_run_waits_for_the_layers(self):
        self.lose()
        self.assertIn("Debian", self.sh("cat /etc/os-release", image=DEBIAN))

    def test_a_container_s_own_files_stay(self):
        lib.moorctl("run", "--name=mine", DEBIAN, "sh", "-c", "rm /usr/bin/env; cat /file; echo mine >/file")
        before = self.inspect("mine")
        self.lose()
        now = self.inspect("mine")
        self.assertEqual((now["State"], now["Snapshot"]), (before["State"], before["Snapshot"]))
        with open(f"{OVERLAY}/{now['Snapshot']}/fs/file", encoding="ascii") as f:
            self.assertEqual(f.read(), "mine\n")
        lib.moorctl("start", "mine", timeout=60)
        self.wait_state("mine", "exited")
        self.assertIn("mine\n", lib.moorctl("logs", "mine").stdout)
        self.assertIn("/usr/bin/env': No such file", lib.moorctl("logs", "mine").stderr)
        self.assert_records()

    def test_the_name_points_elsewhere(self):
        lib.moorctl("tag", DEBIAN, "old:1")
        lib.moorctl("create", "--name=mine", "old:1", "cat", "/etc/os-release")
        lib.moorctl("tag", BUSYBOX, "old:1")
        lib.moorctl("rmi", DEBIAN)
        self.addCleanup(lib.moorctl, "pull", "-q", DEBIAN)
        self.addCleanup(lib.moorctl, "rmi", "--force", "old:1")
        self.lose()
        lib.moorctl("start", "mine", timeout=60)
        self.wait_state("mine", "exited")
        self.assertIn("Debian", lib.moorctl("logs", "mine").stdout)

    def test_many_at_once(self):
        names = [f"mine-{i}" for i in range(8)]
        for name in names:
            lib.moorctl("create", f"--name={name}", DEBIAN, "true")
        self.lose()
        lib.moorctl("start", *names, timeout=60)
        for name in names:
            self.assertEqual(self.wait_state(name, "exited")["ExitCode"], 0)

    def test_the_blob_is_damaged_too(self):
        lib.moorctl("create", "--name=mine", BUSYBOX, "true")
        manifest = self.inspect("mine")["ImageDigest"]
        path = lib.blobs()
        layer = lib.run(["python3", "-c", "import json,sys; print(json.load(open(sys.argv[1]))['layers'][0]['digest'])",
                         path[manifest]]).stdout.strip()

        def damage():
            with open(path[layer], "r+b") as f:
                f.seek(1000)
                f.write(b"damaged")

        self.lose(damage)
        result = lib.moorctl("start", "mine", check=False, timeout=60)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(layer, result.stderr)
        self.assertEqual(self.inspect("mine")["State"], "created")

        # The remedy.
        os.unlink(path[layer])
        lib.moorctl("pull", "-q", BUSYBOX)
        lib.moorctl("start", "mine")
        self.assertEqual(self.wait_state("mine", "exited")["ExitCode"], 0)
        lib.assert_store_sound()

    def test_unwanted_layers_go(self):
        lib.moorctl("create", "--name=mine", BUSYBOX, "true")
        lib.moorctl("rmi", "--force", BUSYBOX)
        self.addCleanup(lib.moorctl, "pull", "-q", BUSYBOX)
        self.lose()
        lib.moorctl("rm", "mine")
        lib.wait_until(lambda: not [s for s, in lib_store._rows(lib_store.STORE, "SELECT id FROM snapshots WHERE NOT ready")],
                       timeout=60, what="rows without trees are gone")
        self.assert_records()
