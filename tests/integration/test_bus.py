# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bus: who may call what (with the real polkitd), activation, namespaces as objects, introspection of the running daemon."""

import ctypes
import glob
import os
import shutil
import subprocess
import time
import unittest
import xml.etree.ElementTree as ET

import lib

ROOT = "/org/moored1"
MANAGER = "org.moored1.Manager"
NAMESPACE = "org.moored1.Namespace"
BUSYBOX = f"{lib.REGISTRY}/busybox:test"
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
        lib.moorctl("run", "-d", "--name=shown", BUSYBOX, "sleep", "1000")
        lib.moorctl("exec", "-d", "shown", "sleep", "1000")
        tree = lib.run(["busctl", "tree", "--list", lib.BUS_NAME]).stdout.split()

        def object_below(part):
            return next(path for path in tree if path.startswith(f"{ROOT}/") and path.split("/")[-2] == part)

        paths = {"Manager": ROOT, "Namespace": DEFAULT, "Image": object_below("image"), "Container": f"{DEFAULT}/container/shown",
                 "Exec": object_below("exec"), "Job": object_below("job")}
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
        self.assertEqual(stays.communicate(timeout=10)[0], 'is 137 "KILL"\n')
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
