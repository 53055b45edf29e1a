# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bus: who may call what (with the real polkitd), activation, namespaces as objects, introspection of the running daemon."""

import contextlib
import ctypes
import glob
import json
import os
import shutil
import subprocess
import threading
import time
import unittest
import xml.etree.ElementTree as ET

import lib
from lib_container import BUSYBOX, wait_traps

ROOT = "/org/moored1"
MANAGER = "org.moored1.Manager"
NAMESPACE = "org.moored1.Namespace"
DEFAULT = f"{ROOT}/namespace/default"
RULES = "/etc/polkit-1/rules.d/00-moored-test.rules"
XML = "/usr/share/dbus-1/interfaces"


def send(path, member, *args, user="nobody"):
    """A call by dbus-send, which prints the names of errors; (exit status, output)."""

    command = ["dbus-send", "--system", "--print-reply", "--dest=org.moored1", path, member, *args]
    if user:
        command = ["runuser", "-u", user, "--", *command]
    result = lib.run(command, check=False)
    return result.returncode, result.stdout + result.stderr


def rules(text):
    with open(RULES, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(RULES, 0o644)
    restart_polkit()


def restart_polkit():
    # More often than a service may be started by itself.
    lib.run(["systemctl", "reset-failed", "polkit.service"], check=False)
    lib.run(["systemctl", "restart", "polkit.service"])


class SdBusError(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("need_free", ctypes.c_int)]


def import_descriptor(path):
    """ImportImage() with a descriptor of PATH: the error's name and message. Neither busctl nor dbus-send
    passes descriptors."""

    sd = ctypes.CDLL("libsystemd.so.0")
    bus, error = ctypes.c_void_p(), SdBusError()
    fd = os.open(path, os.O_RDONLY)
    try:
        if sd.sd_bus_open_system(ctypes.byref(bus)) < 0:
            raise AssertionError("no system bus")
        r = sd.sd_bus_call_method(bus, lib.BUS_NAME.encode(), DEFAULT.encode(), NAMESPACE.encode(), b"ImportImage",
                                  ctypes.byref(error), None, b"ha{sv}", ctypes.c_int(fd), ctypes.c_int(0))
        if r >= 0:
            raise AssertionError(f"{path} was taken as an archive")
        return error.name.decode(), error.message.decode()
    finally:
        os.close(fd)
        sd.sd_bus_error_free(ctypes.byref(error))
        sd.sd_bus_flush_close_unref(bus)


class Monitor:
    """What moored signals, as (path, member, arguments)."""

    def __init__(self):
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(["busctl", "--json=short", "monitor", f"--match=type='signal',path_namespace='{ROOT}'"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.seen = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.poke()

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            self.seen.append((message["path"], message["member"], message["payload"]["data"]))

    def poke(self):
        """Until it is there, and has read what came before."""

        end = time.monotonic() + 20
        before = len(self.seen)
        while not any(m == "Event" and d[3] == "namespace/removed" for _, m, d in self.seen[before:]):
            if time.monotonic() > end:
                raise AssertionError("no signals are seen")
            lib.moorctl("namespace", "create", "poke")
            lib.moorctl("namespace", "rm", "poke")
            time.sleep(0.1)

    def close(self):
        self.process.terminate()
        self.thread.join()
        self.process.stdout.close()
        self.process.wait()

    def added(self):
        """{path: {property: its value in InterfacesAdded}}"""

        return {d[0]: {name: value["data"] for i in d[1].values() for name, value in i.items()}
                for _, m, d in self.seen if m == "InterfacesAdded"}

    def removed(self):
        return {d[0] for _, m, d in self.seen if m == "InterfacesRemoved"}

    def values(self, path, name):
        """Those that a property of an object was said to have got."""

        return [d[1][name]["data"] for p, m, d in self.seen if (p, m) == (path, "PropertiesChanged") and name in d[1]]


class SignalsTest(lib.TestCase):
    """Whoever listens need not ask."""

    def setUp(self):
        super().setUp()
        lib.moorctl("pull", "-q", BUSYBOX)

    def test_a_life(self):
        script = "trap 'exit 5' TERM; while :; do sleep 1000 & wait $!; done"
        with contextlib.closing(Monitor()) as monitor:
            lib.moorctl("run", "-d", "--name=lives", "--health-cmd=true", "--health-interval=200ms", BUSYBOX, "sh", "-c", script)
            pid = lib.moorctl_json("inspect", "lives")[0]["LeaderPID"]
            wait_traps(pid, script)
            lib.wait_until(lambda: lib.moorctl_json("inspect", "lives")[0]["Health"] == "healthy", what="it is healthy")
            lib.moorctl("wait", lib.moorctl("exec", "-d", "lives", "sh", "-c", "exit 4").stdout.strip())
            lib.moorctl("update", "--memory=100m", "lives")
            lib.moorctl("pause", "lives")
            lib.moorctl("resume", "lives")
            lib.moorctl("stop", "lives")
            lib.moorctl("rm", "lives")
            monitor.poke()
        lib.run(["systemctl", "stop", "moored-probe.service"])
        path = f"{DEFAULT}/container/lives"
        self.assertEqual(monitor.added()[path]["Id"], "lives")
        states = [monitor.added()[path]["State"], *monitor.values(path, "State")]
        self.assertEqual([s for s in states if s not in ("created", "starting", "stopping")], ["running", "paused", "running", "exited"])
        self.assertEqual([p for p in (monitor.added()[path]["LeaderPID"], *monitor.values(path, "LeaderPID")) if p][:1], [pid])
        self.assertEqual(monitor.values(path, "LeaderPID")[-1], 0)
        self.assertEqual(monitor.values(path, "ExitCode")[-1], 5)
        self.assertEqual(monitor.values(path, "Health")[-1], "healthy")
        self.assertIn({"MemoryMax": {"type": "t", "data": 100 << 20}}, monitor.values(path, "Limits"))
        self.assertIn(path, monitor.removed())
        execs = [p for p in monitor.added() if p.startswith(f"{path}/exec/")]
        self.assertEqual(len(execs), 1)
        self.assertEqual((monitor.values(execs[0], "State")[-1], monitor.values(execs[0], "ExitCode")[-1]), ("exited", 4))
        self.assertIn(execs[0], monitor.removed())

    def test_images_and_jobs(self):
        with contextlib.closing(Monitor()) as monitor:
            lib.moorctl("pull", "-q", BUSYBOX)
            lib.moorctl("tag", BUSYBOX, "localhost/signal:1")
            lib.moorctl("rmi", "localhost/signal:1")
            monitor.poke()
        image = next(p for p, properties in monitor.added().items() if properties.get("Name") == "localhost/signal:1")
        self.assertIn(image, monitor.removed())
        members = [m for _, m, _ in monitor.seen]
        self.assertIn("JobNew", members)
        number, job, result = next(d for _, m, d in monitor.seen if m == "JobRemoved")
        self.assertEqual(result, "done")
        self.assertIn(job, monitor.added())
        self.assertTrue(job.endswith(str(number)), job)


class AuthorizationTest(lib.TestCase):
    def use_rules(self, text):
        self.addCleanup(restart_polkit)
        self.addCleanup(os.unlink, RULES)
        rules(text)

    def mask_polkit(self):
        self.addCleanup(restart_polkit)
        self.addCleanup(lib.run, ["systemctl", "unmask", "--runtime", "polkit.service"])
        lib.run(["systemctl", "mask", "--runtime", "--now", "polkit.service"])

    def assert_error(self, name, result):
        self.assertNotEqual(result[0], 0, result[1])
        self.assertIn(f"Error {name}:", result[1])

    def assert_works(self, result):
        self.assertEqual(result[0], 0, result[1])

    def test_anybody_may_look(self):
        self.assert_works(send(ROOT, f"{MANAGER}.ListNamespaces"))
        self.assert_works(send(ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects"))
        self.assert_works(send(ROOT, "org.freedesktop.DBus.Properties.GetAll", f"string:{MANAGER}"))
        self.assert_works(send(DEFAULT, f"{NAMESPACE}.ListContainers"))

    def test_changing_needs_authentication(self):
        for member, args in ((f"{MANAGER}.RemoveNamespace", ["string:nothing"]),
                             (f"{MANAGER}.CreateNamespace", ["string:mine", "dict:string:string:a,b"])):
            self.assert_error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", send(ROOT, member, *args))
        self.assert_error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                          send(DEFAULT, f"{NAMESPACE}.TagImage", "string:a", "string:b"))
        self.assertNotIn("mine", str(lib.busctl_call(ROOT, MANAGER, "ListNamespaces")))

    def test_secrets_need_authentication(self):
        for interface, name in (("org.moored1.Container", "Spec"), ("org.moored1.Image", "Config")):
            self.assert_error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                              send(f"{DEFAULT}/container/none", "org.freedesktop.DBus.Properties.Get", f"string:{interface}",
                                   f"string:{name}"))

    def test_rules_see_namespace_object_and_verb(self):
        self.use_rules("""polkit.addRule(function(action, subject) {
            if (action.id == "org.moored.manage-namespaces" && action.lookup("object") == "theirs" && subject.user == "nobody" &&
                action.lookup("verb").endsWith("Namespace"))
                return polkit.Result.YES;
            if (action.id == "org.moored.manage-images" && action.lookup("namespace") == "theirs" && action.lookup("verb") == "TagImage")
                return polkit.Result.YES;
            if (action.id == "org.moored.inspect" && action.lookup("verb") == "ListJobs")
                return polkit.Result.NO;
        });""")
        create = f"{MANAGER}.CreateNamespace"
        self.assert_works(send(ROOT, create, "string:theirs", "dict:string:string:owner,nobody"))
        self.assert_error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                          send(ROOT, create, "string:others", "dict:string:string:a,b"))
        self.assert_error("org.moored1.Error.NoSuchImage",
                          send(f"{ROOT}/namespace/theirs", f"{NAMESPACE}.TagImage", "string:a", "string:b"))
        self.assert_error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                          send(DEFAULT, f"{NAMESPACE}.TagImage", "string:a", "string:b"))
        self.assert_error("org.freedesktop.DBus.Error.AccessDenied", send(ROOT, f"{MANAGER}.ListJobs"))
        self.assert_works(send(ROOT, f"{MANAGER}.RemoveNamespace", "string:theirs"))

    def test_without_polkit_looking_is_allowed_and_nothing_else(self):
        self.mask_polkit()
        self.assert_works(send(ROOT, f"{MANAGER}.ListNamespaces"))
        self.assert_error("org.freedesktop.DBus.Error.AccessDenied", send(ROOT, f"{MANAGER}.RemoveNamespace", "string:nothing"))
        self.assert_error("org.moored1.Error.NoSuchNamespace", send(ROOT, f"{MANAGER}.RemoveNamespace", "string:nothing", user=None))

    def test_the_log_level_is_roots(self):
        lib.run(["systemctl", "service-log-level", "moored.service", "debug"])
        self.assertEqual(lib.run(["systemctl", "service-log-level", "moored.service"]).stdout.strip(), "debug")
        lib.run(["systemctl", "service-log-level", "moored.service", "info"])
        self.assert_error("org.freedesktop.DBus.Error.AccessDenied",
                          send("/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties.Set",
                               "string:org.freedesktop.LogControl1", "string:LogLevel", "variant:string:debug"))
        self.assert_error("org.freedesktop.DBus.Error.AccessDenied",
                          send("/org/freedesktop/LogControl1", "org.freedesktop.LogControl1.Anything"))

    def test_many_callers_at_once(self):
        """More than there is room for in the table of senders, with calls that wait for credentials and for polkit."""

        script = f"for i in $(seq 200); do dbus-send --system --print-reply --dest=org.moored1 {ROOT} {MANAGER}.ListNamespaces & done; wait"
        result = lib.run(["runuser", "-u", "nobody", "--", "sh", "-c", script])
        self.assertEqual(result.stdout.count('string "default"'), 200, result.stderr)


class ObjectsTest(lib.TestCase):
    def test_the_bus_starts_the_daemon(self):
        lib.run(["systemctl", "stop", "moored.service"])
        self.assertEqual(lib.moored_pid(), 0)
        self.assertEqual(lib.busctl_call(ROOT, MANAGER, "GetNamespace", "s", "default"), [DEFAULT])
        self.assertGreater(lib.moored_pid(), 0)

    def test_introspection_is_the_installed_contract(self):
        lib.moorctl("pull", "-q", BUSYBOX)
        lib.moorctl("network", "create", "lan")
        self.addCleanup(lib.moorctl, "network", "rm", "-f", "lan")
        lib.moorctl("run", "-d", "--name=shown", "--network=lan", BUSYBOX, "sleep", "1000")
        lib.moorctl("exec", "-d", "shown", "sleep", "1000")
        tree = lib.run(["busctl", "tree", "--list", lib.BUS_NAME]).stdout.split()

        def object_below(part):
            return next(path for path in tree if path.startswith(f"{ROOT}/") and path.split("/")[-2] == part)

        paths = {"Manager": ROOT, "Namespace": DEFAULT, "Image": object_below("image"), "Container": f"{DEFAULT}/container/shown",
                 "Exec": object_below("exec"), "Job": object_below("job"), "Network": object_below("network"),
                 "Interface": object_below("interface")}
        for name, path in paths.items():
            answer = lib.run(["busctl", "introspect", "--xml-interface", lib.BUS_NAME, path]).stdout
            served = next(i for i in ET.fromstring(answer).iter("interface") if i.get("name") == f"org.moored1.{name}")
            contract = next(ET.parse(f"{XML}/org.moored1.{name}.xml").getroot().iter("interface"))
            for e in (*served.iter(), *contract.iter()):
                e.text = e.tail = None
            self.assertEqual(ET.canonicalize(ET.tostring(served)), ET.canonicalize(ET.tostring(contract)))
        self.assertEqual({os.path.basename(path) for path in glob.glob(f"{XML}/org.moored1.*.xml")},
                         {f"org.moored1.{name}.xml" for name in paths})

    def test_namespaces_come_and_go(self):
        path = lib.busctl_call(ROOT, MANAGER, "CreateNamespace", "sa{ss}", "k8s.io", "1", "team", "blue")[0]
        self.assertEqual(path, f"{ROOT}/namespace/k8s_2eio")
        self.assertEqual(lib.busctl_property(path, NAMESPACE, "Labels"), {"team": "blue"})
        self.assertEqual(lib.busctl_property(path, NAMESPACE, "Slice"), "moored-k8s.io.slice")
        self.assertIn(path, lib.run(["busctl", "tree", "--list", lib.BUS_NAME]).stdout.split())
        lib.kill9_moored()
        self.assertEqual(lib.busctl_property(path, NAMESPACE, "Labels"), {"team": "blue"})
        lib.busctl_call(ROOT, MANAGER, "RemoveNamespace", "s", "k8s.io")
        self.assertNotIn("k8s.io", str(lib.busctl_call(ROOT, MANAGER, "ListNamespaces")))

    def test_wait_is_answered_at_the_end_and_forgets_who_left(self):
        lib.moorctl("pull", "-q", BUSYBOX)
        lib.moorctl("run", "-d", "--name", "waited", BUSYBOX, "sleep", "1000")
        path = f"{DEFAULT}/container/waited"
        wait = ["busctl", "call", "--timeout=60", lib.BUS_NAME, path, "org.moored1.Container", "Wait"]
        gone = [subprocess.Popen(wait, stdout=subprocess.PIPE) for _ in range(20)]
        stays = subprocess.Popen(wait, stdout=subprocess.PIPE, text=True)
        # Time for them to arrive. One that has not is killed before it asks, and the test is none the worse.
        time.sleep(0.3)
        for process in gone:
            process.kill()
            process.communicate()
        lib.busctl_call(path, "org.moored1.Container", "Kill", "si", "main", "9")
        self.assertEqual(stays.communicate(timeout=60)[0], 'is 137 "KILL"\n')
        self.assertEqual(lib.busctl_call(path, "org.moored1.Container", "Wait"), [137, "KILL"])

    def test_secrets_are_not_in_the_large_answers(self):
        lib.moorctl("pull", "-q", BUSYBOX)
        lib.moorctl("run", "-d", "--name", "secretive", "-e", "PASSWORD=hunter2", BUSYBOX, "sleep", "1000")
        path = f"{DEFAULT}/container/secretive"
        self.assertIn("hunter2", lib.busctl_property(path, "org.moored1.Container", "Spec"))
        for object_, member, args in ((ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects", []),
                                      (path, "org.freedesktop.DBus.Properties.GetAll", ["string:org.moored1.Container"])):
            status, output = send(object_, member, *args)
            self.assertEqual(status, 0, output)
            self.assertIn("secretive", output)
            self.assertNotIn("hunter2", output)

    def test_archives_are_files_pipes_and_sockets(self):
        """Seen at the call, before there is a job."""

        for path, text in (("/", "A directory cannot be imported over the bus: send it as a tar archive"),
                           ("/dev/null", "neither a file nor a pipe nor a socket")):
            name, message = import_descriptor(path)
            self.assertEqual(name, "org.freedesktop.DBus.Error.InvalidArgs")
            self.assertIn(text, message)

    def test_only_one_daemon(self):
        lib.start_moored()
        result = lib.run([shutil.which("moored") or "/usr/sbin/moored"], check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("Another moored uses /var/lib/moored", result.stderr)
        self.assertEqual(lib.busctl_call(ROOT, MANAGER, "GetNamespace", "s", "default"), [DEFAULT])

    def test_configuration(self):
        os.mkdir("/run/moored/moored.conf.d")
        path = "/run/moored/moored.conf.d/99-test.conf"
        self.addCleanup(lib.run, ["systemctl", "restart", "moored.service"])
        self.addCleanup(shutil.rmtree, "/run/moored/moored.conf.d")
        with open(path, "w", encoding="utf-8") as f:
            f.write("[Manager]\nLogLevel=notice\nColour=red\n")
        lib.run(["systemctl", "restart", "moored.service"])
        self.assertEqual(lib.run(["systemctl", "service-log-level", "moored.service"]).stdout.strip(), "notice")
        self.assertIn(f"{path}:3: unknown key “Colour”", lib.journal("-u", "moored.service", "-n", "50"))


if __name__ == "__main__":
    unittest.main()
