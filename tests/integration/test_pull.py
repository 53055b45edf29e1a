# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pulls from registries that work and from registries that do not: what arrives, what is asked for, what is left."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time

import lib
import lib_store
from lib_image import DOCKER, OCI, sha256
from lib_registry import make_certificate

STORE = lib_store.STORE
OVERLAY = f"{STORE}/snapshots/overlay"
INGEST = f"{STORE}/ingest"
NAMESPACE = "/org/moored1/namespace/default"
DROPIN = "/etc/moored/moored.conf.d/10-test-pull.conf"
CONFIG = "[Pull]\nRetryDelaySec=100ms\nRetries=3\n"


def noise(seed, size):
    """Bytes that do not compress."""

    return random.Random(seed).randbytes(size)


def image(*names, size=64, **kwargs):
    """An image with a layer for each name; the layer has a file of that name."""

    return lib.Image([lib.Tar().file(name, noise(name, size)) for name in names], **kwargs)


def configure(text=CONFIG):
    os.makedirs(os.path.dirname(DROPIN), exist_ok=True)
    with open(DROPIN, "w", encoding="utf-8") as f:
        f.write(text)
    lib.run(["systemctl", "restart", "moored.service"])


def layers():
    """Numbers of the unpacked layers and of the containers' snapshots."""

    return {name for name in os.listdir(OVERLAY) if name.isdigit()}


def file_in_layers(name):
    """The content of a file that one of the layers has."""

    for layer in layers():
        path = f"{OVERLAY}/{layer}/fs/{name}"
        if os.path.exists(path):
            with open(path, "rb") as f:
                return f.read()
    return None


def trash_is_empty():
    return not os.listdir(f"{OVERLAY}/trash")


class PullTestCase(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        configure()

    @classmethod
    def tearDownClass(cls):
        os.unlink(DROPIN)
        lib.run(["systemctl", "restart", "moored.service"])

    def setUp(self):
        super().setUp()
        lib.start_moored()
        self.blobs_before = set(lib_store.blobs())
        self.layers_before = layers()
        self.addCleanup(self.remove_images)

    def remove_images(self):
        for row in lib.moorctl_json("images") or []:
            if not row["Name"].startswith(lib.REGISTRY):
                lib.moorctl("rmi", "-f", row["Name"], check=False)
        # What is still here would be reused by the next test.
        lib.wait_until(lambda: not set(lib_store.blobs()) - self.blobs_before)

    def registry(self, images=None, **kwargs):
        registry = lib.FaultyRegistry(images, **kwargs)
        registry.__enter__()
        self.addCleanup(registry.__exit__)
        return registry

    def start(self, reference, **options):
        """Starts a pull and returns its job."""

        args = []
        for key, value in options.items():
            args += [key, "b" if isinstance(value, bool) else "s", str(value).lower() if isinstance(value, bool) else value]
        return lib.busctl_call(NAMESPACE, "org.moored1.Namespace", "PullImage", "sa{sv}", reference, len(options), *args)[0]

    def job(self, path, name):
        return lib.busctl_property(path, "org.moored1.Job", name)

    def wait(self, path, timeout=60):
        """The job's result; with the error's name where it failed."""

        lib.wait_until(lambda: self.job(path, "State") != "running", timeout=timeout, what=f"{path} ends")
        state = self.job(path, "State")
        return f"failed {self.job(path, 'ErrorName').rsplit('.', 1)[-1]}" if state == "failed" else state

    def pull(self, reference, **options):
        return self.wait(self.start(reference, **options))

    def assert_pulled(self, reference, **options):
        path = self.start(reference, **options)
        self.assertEqual(self.wait(path), "done", self.job(path, "ErrorMessage"))
        return path

    def assert_fails(self, reference, *parts):
        """moorctl pull fails with a message that has these parts; returns it."""

        result = lib.moorctl("pull", "-q", reference, check=False)
        self.assertNotEqual(result.returncode, 0)
        for part in parts:
            self.assertIn(part, result.stderr)
        return result.stderr

    def names(self):
        return {row["Name"] for row in lib.moorctl_json("images") or []}

    def assert_nothing(self, ingests=0):
        """Nothing is here but what was before the test: no blob, no layer, no download, no trash, no helper."""

        def extra():
            return {"blobs": sorted(set(lib_store.blobs()) - self.blobs_before),
                    "layers": sorted(layers() - self.layers_before),
                    "unfinished": [name for name in os.listdir(OVERLAY) if name.startswith("new-")],
                    "trash": os.listdir(f"{OVERLAY}/trash"),
                    "ingests": os.listdir(INGEST)[ingests:],
                    "helpers": lib.processes("moored-helper")}

        try:
            lib.wait_until(lambda: not any(extra().values()))
        except AssertionError:
            self.fail(f"left: {extra()}")

    def assert_consistent(self):
        self.assertEqual(lib_store.blob_problems(), [])
        for row in lib.moorctl_json("images") or []:
            pass
        self.assertEqual([name for name in os.listdir(OVERLAY) if name.startswith("new-")], [])


class FormatsTest(PullTestCase):
    def test_layers_of_all_kinds(self):
        for types, kind in ((OCI, "oci"), (DOCKER, "docker")):
            for compression in ("none", "gzip", "zstd"):
                with self.subTest(kind=kind, compression=compression):
                    made = image(f"{kind}-{compression}", types=types, compression=compression)
                    registry = self.registry({"app:latest": made})
                    reference = registry.reference("app:latest")
                    self.assertEqual(lib.moorctl("pull", "-q", reference).stdout.strip(), reference)
                    self.assertEqual(file_in_layers(f"{kind}-{compression}"), noise(f"{kind}-{compression}", 64))
                    shown = lib.moorctl_json("inspect", reference)
                    self.assertIn(made.digest, str(shown))

    def test_compression_by_its_bytes(self):
        """What the media type says is not believed."""

        made = lib.Image([lib.Tar().file("liar", b"content")], compression="zstd")
        made.layers[0]["mediaType"] = OCI["gzip"]
        made.seal()
        registry = self.registry({"app:latest": made})
        self.assert_pulled(registry.reference("app:latest"))
        self.assertEqual(file_in_layers("liar"), b"content")

    def test_platforms(self):
        intel, arm = image("intel"), image("arm", architecture="arm64")
        for types, media_type in (("oci", OCI["index"]), ("docker", DOCKER["index"])):
            with self.subTest(types=types):
                registry = self.registry()
                registry.add_index("app:latest", [(intel, {"os": "linux", "architecture": "amd64"}),
                                                  (arm, {"os": "linux", "architecture": "arm64", "variant": "v8"})], media_type)
                reference = registry.reference("app:latest")
                lib.moorctl("pull", "-q", "--platform=linux/arm64", reference)
                self.assertIsNotNone(file_in_layers("arm"))
                self.assertIsNone(file_in_layers("intel"))
                self.assertEqual(registry.count(f"GET .*/blobs/{intel.layers[0]['digest']}"), 0)

                lib.moorctl("pull", "-q", "--platform=linux/amd64", reference)
                lib.wait_until(lambda: file_in_layers("arm") is None, what="the other platform's layer goes")
                self.assertIsNotNone(file_in_layers("intel"))

                message = lib.moorctl("pull", "-q", "--platform=linux/s390x", reference, check=False).stderr
                self.assertIn("linux/amd64", message)
                self.assertIn("linux/arm64", message)
                self.assertIn(reference, self.names())
                lib.moorctl("rmi", reference)
                self.assert_nothing()

    def test_by_digest(self):
        one, two = image("one"), image("two")
        registry = self.registry({"app:latest": one})
        registry.add("app:latest", two)
        reference = registry.reference(f"app@{one.digest}")
        self.assert_pulled(reference)
        self.assertEqual(file_in_layers("one"), noise("one", 64))
        self.assertIn(reference, self.names())
        self.assertEqual(registry.count("/manifests/latest"), 0)

        # Something else is sent under that digest.
        registry.manifests["app", one.digest] = registry.manifests["app", two.digest]
        lib.moorctl("rmi", reference)
        self.assertEqual(self.pull(reference), "failed DigestMismatch")
        self.assert_nothing()

    def test_nothing_is_fetched_twice(self):
        made = image("base", "middle", "top")
        registry = self.registry({"app:latest": made})
        reference = registry.reference("app:latest")
        self.assert_pulled(reference)
        self.assertEqual(registry.count("GET .*/blobs/"), 4)
        path = self.assert_pulled(reference)
        self.assertEqual(registry.count("GET .*/blobs/"), 4)
        parts = self.job(path, "Parts")
        self.assertEqual(len(parts), 4)
        for _, phase, done, total, reused in parts:
            self.assertEqual((phase, done, reused), ("done", total, True))

        # Another image with the same layers, and one more.
        registry.add("other:1", image("base", "middle", "new"))
        self.assert_pulled(registry.reference("other:1"))
        self.assertEqual(registry.count("GET .*/blobs/"), 6)
        for layer in made.layers:
            self.assertEqual(registry.count(layer["digest"]), 1)

    def test_many_layers(self):
        """More layers than a daemon with the usual limit of descriptors could have open."""

        made = image(*(f"layer{i}" for i in range(500)), size=1)
        registry = self.registry({"app:latest": made})
        path = self.start(registry.reference("app:latest"))
        self.assertEqual(self.wait(path, timeout=120), "done")
        self.assertEqual(len(layers() - self.layers_before), 500)
        lib.moorctl("rmi", registry.reference("app:latest"))
        self.assert_nothing()

    def test_same_layer_twice(self):
        made = image("same", "same", "other")
        registry = self.registry({"app:latest": made})
        self.assert_pulled(registry.reference("app:latest"))
        self.assertEqual(registry.count("GET .*/blobs/"), 3)
        self.assertEqual(len(layers() - self.layers_before), 3)


class SeveralTest(PullTestCase):
    def shared(self):
        """Two images above the same layer, whose download waits for a gate."""

        a, b = image("shared", "only-a", size=1 << 20), image("shared", "only-b", size=1 << 20)
        registry = self.registry({"a:1": a, "b:1": b})
        digest = a.layers[0]["digest"]
        gate = threading.Event()
        registry.fault(f"GET .*/blobs/{digest}", "gate", gate=gate, times=1)
        first = self.start(registry.reference("a:1"))
        lib.wait_until(lambda: registry.count(digest), what="the first asks for the shared layer")
        second = self.start(registry.reference("b:1"))
        lib.wait_until(lambda: registry.count(b.layers[1]["digest"]), what="the second asks for its own layer")
        return registry, digest, gate, first, second

    def test_two_share(self):
        registry, digest, gate, first, second = self.shared()
        time.sleep(0.3)
        self.assertEqual((self.job(first, "State"), self.job(second, "State")), ("running", "running"))
        gate.set()
        self.assertEqual((self.wait(first), self.wait(second)), ("done", "done"))
        self.assertEqual(registry.count(digest), 1)
        self.assertEqual(registry.count("GET .*/blobs/"), 5)
        self.assertEqual(len(layers() - self.layers_before), 3)

    def test_the_one_that_fetches_is_canceled(self):
        registry, digest, gate, first, second = self.shared()
        lib.busctl_call(first, "org.moored1.Job", "Cancel")
        self.assertEqual(self.job(first, "State"), "canceled")
        self.assertEqual(self.wait(second), "done")
        self.assertEqual(registry.count(digest), 2)
        lib.moorctl("rmi", registry.reference("b:1"))
        self.assert_nothing()

    def test_the_one_that_waits_is_canceled(self):
        registry, digest, gate, first, second = self.shared()
        lib.busctl_call(second, "org.moored1.Job", "Cancel")
        gate.set()
        self.assertEqual(self.wait(first), "done")
        self.assertEqual(registry.count(digest), 1)
        lib.moorctl("rmi", registry.reference("a:1"))
        self.assert_nothing()

    def test_ten_at_once(self):
        registry = self.registry({f"app{i}:1": image("base", "library", f"app{i}", size=200000) for i in range(10)})
        jobs = [self.start(registry.reference(f"app{i}:1")) for i in range(10)]
        self.assertEqual({self.wait(job) for job in jobs}, {"done"})
        self.assertEqual(registry.count("GET .*/blobs/"), 10 + 10 + 2)
        self.assertEqual(len(layers() - self.layers_before), 12)
        self.assertEqual(lib_store.blob_problems(), [])

    def test_removal_beside_a_pull(self):
        """The layers that a removed image leaves are the ones that a pull has found here."""

        a, b = image("shared", "only-a"), image("shared", "only-b")
        registry = self.registry({"a:1": a, "b:1": b})
        self.assert_pulled(registry.reference("a:1"))
        gate = threading.Event()
        registry.fault(f"GET .*/blobs/{b.layers[1]['digest']}", "gate", gate=gate)
        job = self.start(registry.reference("b:1"))
        lib.wait_until(lambda: registry.count(b.layers[1]["digest"]))
        # Which unpacked layers it needs is known with the configuration.
        lib.wait_until(lambda: [b.config_descriptor["digest"], "done"] in [part[:2] for part in self.job(job, "Parts")])
        lib.moorctl("rmi", registry.reference("a:1"))
        lib.moorctl("gc")
        lib.wait_until(lambda: file_in_layers("only-a") is None, what="the removed image's own layer goes")
        self.assertIsNotNone(file_in_layers("shared"))
        gate.set()
        self.assertEqual(self.wait(job), "done")
        self.assertEqual(registry.count(a.layers[0]["digest"]), 1)
        self.assertEqual(len(layers() - self.layers_before), 2)

    def test_removal_of_what_is_pulled(self):
        made = image("one", "two")
        registry = self.registry({"a:1": made})
        reference = registry.reference("a:1")
        self.assert_pulled(reference)
        gate = threading.Event()
        registry.fault("GET .*/manifests/", "gate", gate=gate)
        job = self.start(reference)
        lib.moorctl("rmi", reference)
        self.assert_nothing_but_helpers()
        gate.set()
        self.assertEqual(self.wait(job), "done")
        self.assertIn(reference, self.names())

    def assert_nothing_but_helpers(self):
        lib.wait_until(lambda: not set(lib_store.blobs()) - self.blobs_before and layers() == self.layers_before)


class FailuresTest(PullTestCase):
    def test_cancel(self):
        made = image("one", "two", size=300000)
        for pattern in ("GET .*/manifests/", f"GET .*/blobs/{made.config_descriptor['digest']}",
                        f"GET .*/blobs/{made.layers[0]['digest']}", f"GET .*/blobs/{made.layers[1]['digest']}"):
            with self.subTest(pattern=pattern):
                registry = self.registry({"app:1": made})
                registry.fault(pattern, "hang")
                job = self.start(registry.reference("app:1"))
                lib.wait_until(lambda: registry.count(pattern))
                time.sleep(0.1)
                lib.busctl_call(job, "org.moored1.Job", "Cancel")
                self.assertEqual(self.job(job, "State"), "canceled")
                self.assert_nothing()
                self.assertEqual(self.names() & {registry.reference("app:1")}, set())

    def test_interrupt_of_moorctl(self):
        registry = self.registry({"app:1": image("one")})
        registry.fault("GET .*/blobs/", "hang")
        with subprocess.Popen(["moorctl", "pull", "-q", registry.reference("app:1")]) as process:
            lib.wait_until(lambda: registry.count("/blobs/"))
            process.send_signal(signal.SIGINT)
            self.assertNotEqual(process.wait(10), 0)
        self.assert_nothing()

    def test_refusals(self):
        registry = self.registry({"app:1": image("one")})
        reference = registry.reference("app:1")
        for status, name in ((401, "Unauthorized"), (403, "Unauthorized"), (404, "NoSuchImage")):
            with self.subTest(status=status):
                fault = registry.fault("/manifests/", "status", status=status)
                self.assertEqual(self.pull(reference), f"failed {name}")
                registry.faults.remove(fault)
        self.assert_fails(registry.reference("app:nothing"), "nothing")
        self.assert_fails(registry.reference("nothing:1"), "nothing")
        self.assertEqual(self.pull("no-such-host.invalid/app:1"), "failed RegistryUnavailable")
        self.assertEqual(self.pull("127.0.0.1:1/app:1"), "failed RegistryUnavailable")
        self.assert_fails("127.0.0.1:1/app:1", "127.0.0.1:1")

        # A blob that the manifest names and nobody has.
        broken = image("two")
        registry.add("broken:1", broken)
        del registry.blobs[broken.layers[0]["digest"]]
        self.assertEqual(self.pull(registry.reference("broken:1")), "failed NoSuchBlob")
        self.assert_nothing()

    def test_a_registry_that_recovers(self):
        for kind, options in (("status", {"status": 500}), ("status", {"status": 503, "headers": {"Retry-After": "1"}}),
                              ("status", {"status": 429, "headers": {"Retry-After": "1"}}), ("close", {}),
                              ("truncate", {"after": 100})):
            for what in ("/manifests/", "/blobs/"):
                with self.subTest(kind=kind, what=what, **options):
                    registry = self.registry({"app:1": image(f"layer-{kind}-{what[1:4]}-{options.get('status')}", size=100000)})
                    registry.fault(f"GET .*{what}", kind, times=2, **options)
                    self.assert_pulled(registry.reference("app:1"))
                    lib.moorctl("rmi", registry.reference("app:1"))
        self.assert_nothing()

    def test_a_registry_that_does_not_recover(self):
        registry = self.registry({"app:1": image("one")})
        registry.fault("GET .*/blobs/", "status", status=500)
        self.assertEqual(self.pull(registry.reference("app:1")), "failed RegistryUnavailable")
        self.assertGreaterEqual(registry.count("GET .*/blobs/"), 2)
        registry.faults.clear()
        self.assert_pulled(registry.reference("app:1"))

    def test_truncated_is_resumed(self):
        made = image("one", size=3 << 20)
        layer = made.layers[0]
        registry = self.registry({"app:1": made})
        registry.fault(f"GET .*/blobs/{layer['digest']}", "truncate", after=2 << 20, times=1)
        self.assert_pulled(registry.reference("app:1"))
        ranges = self.ranges(registry, layer["digest"])
        self.assertEqual(len(ranges), 2)
        self.assertIsNone(ranges[0])
        self.assertRegex(ranges[1], r"bytes=[1-9]\d{5,}-")

    @staticmethod
    def ranges(registry, digest):
        return [headers.get("Range") for method, path, headers in registry.requests
                if method == "GET" and path.endswith(digest)]

    def test_without_ranges(self):
        made = image("one", size=3 << 20)
        digest = made.layers[0]["digest"]
        registry = self.registry({"app:1": made})
        registry.fault(f"GET .*/blobs/{digest}", "truncate", after=2 << 20, times=1)
        registry.fault(f"GET .*/blobs/{digest}", "no-range")
        self.assert_pulled(registry.reference("app:1"))
        self.assertEqual(registry.count(digest), 2)
        self.assertEqual(lib_store.blob_problems(), [])

    def test_wrong_bytes(self):
        made = image("one", size=300000)
        for kind, options, name in (("corrupt", {}, "DigestMismatch"), ("short", {"after": 10}, "SizeMismatch"),
                                    ("extra", {"after": 10}, "SizeMismatch")):
            for digest in (made.layers[0]["digest"], made.config_descriptor["digest"]):
                with self.subTest(kind=kind, config=digest != made.layers[0]["digest"]):
                    registry = self.registry({"app:1": made})
                    fault = registry.fault(f"GET .*/blobs/{digest}", kind, **options)
                    self.assertEqual(self.pull(registry.reference("app:1")), f"failed {name}")
                    self.assert_nothing()
                    registry.faults.remove(fault)
                    self.assert_pulled(registry.reference("app:1"))
                    lib.moorctl("rmi", registry.reference("app:1"))
                    self.assert_nothing()

    def test_wrong_diff_id(self):
        made = image("one", "two", diff_ids=[sha256(b"something"), sha256(b"else")])
        registry = self.registry({"app:1": made})
        self.assertEqual(self.pull(registry.reference("app:1")), "failed DigestMismatch")
        self.assert_nothing()
        made = image("one", "two")
        made.config["rootfs"]["diff_ids"].pop()
        made.seal()
        registry = self.registry({"app:1": made})
        self.assertEqual(self.pull(registry.reference("app:1")), "failed InvalidImageConfig")
        self.assert_nothing()

    def test_wrong_documents(self):
        registry = self.registry()
        for text in (b"", b"{", b"[]", b"\0", b"{}", b'{"schemaVersion":1}', b"{" * 100000, b" " * (5 << 20),
                     b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}'):
            registry.add_manifest("app", "1", OCI["manifest"], text)
            with self.subTest(text=text[:40]):
                self.assertRegex(self.pull(registry.reference("app:1")), r"failed (InvalidManifest|ManifestTooLarge|UnsupportedMediaType)")
        made = image("one")
        made.config = []
        made.seal()
        registry.add("app:2", made)
        self.assertEqual(self.pull(registry.reference("app:2")), "failed InvalidImageConfig")
        broken = lib.Image([b"this is no archive" * 100])
        registry.add("app:3", broken)
        self.assertEqual(self.pull(registry.reference("app:3")), "failed InvalidArchive")
        self.assert_nothing()

    def test_slow_and_chunked_and_redirected(self):
        for kind, options in (("slow", {"rate": 400000}), ("chunked", {}), ("redirect", {})):
            with self.subTest(kind=kind):
                made = image(f"layer-{kind}", size=400000)
                registry = self.registry({"app:1": made})
                registry.fault(r"GET /v2/.*/blobs/", kind, **options)
                self.assert_pulled(registry.reference("app:1"))
                self.assertEqual(file_in_layers(f"layer-{kind}"), noise(f"layer-{kind}", 400000))

    def test_token(self):
        registry = self.registry({"app:1": image("one", "two", "three")}, token="secret")
        self.assert_pulled(registry.reference("app:1"))
        # One for all requests.
        self.assertEqual(registry.token_requests, 1)

        registry = self.registry({"app:1": image("four")}, token="secret")
        registry.fault("GET /token", "status", status=403)
        self.assertEqual(self.pull(registry.reference("app:1")), "failed Unauthorized")
        self.assertEqual([b for b in lib_store.blobs() if b in registry.blobs], [])

    def test_token_does_not_follow_a_redirect(self):
        registry = self.registry({"app:1": image("one")}, token="secret")
        storage = self.registry({"app:1": image("one")})
        registry.fault("GET /v2/.*/blobs/", "redirect",
                       location=f"http://{storage.address}/v2/app/blobs/{image('one').layers[0]['digest']}", times=1)
        lib.moorctl("pull", "-q", registry.reference("app:1"), check=False)
        self.assertGreaterEqual(len(storage.requests), 1)
        for _, _, headers in storage.requests:
            self.assertNotIn("Authorization", headers)

    def test_full_disk(self):
        """Without space a pull fails, says so, and gives the space back."""

        lib.run(["systemctl", "stop", "moored.service"])
        lib.run(["mount", "-t", "tmpfs", "-o", "size=12M,mode=0700", "tmpfs", STORE])
        try:
            lib.start_moored()
            registry = self.registry({"big:1": image("big", size=30 << 20), "unpacks:1": image("zero"), "small:1": image("small")})
            registry.add("unpacks:1", lib.Image([lib.Tar().file("zero", bytes(40 << 20))]))
            for name in ("big:1", "unpacks:1"):
                self.assertEqual(self.pull(registry.reference(name)), "failed NoSpace")
                try:
                    lib.wait_until(lambda: not os.listdir(INGEST) and not lib_store.blobs() and not layers() and trash_is_empty())
                except AssertionError:
                    self.fail(lib.run(["find", STORE, "-ls"]).stdout)
            self.assert_pulled(registry.reference("small:1"))
        finally:
            lib.run(["systemctl", "stop", "moored.service"])
            lib.run(["umount", STORE])
            lib.start_moored()

    def test_https(self):
        directory = "/tmp/test-pull-certificate"
        os.makedirs(directory, exist_ok=True)
        certificate = make_certificate(directory, name="registry.test")
        with open("/etc/hosts", "a", encoding="utf-8") as f:
            f.write("127.0.0.1 registry.test # test_pull\n")
        try:
            registry = self.registry({"app:1": image("one")}, certificate=certificate)
            reference = f"registry.test:{registry.address.rsplit(':', 1)[1]}/app:1"
            self.assertEqual(self.pull(reference), "failed RegistryUnavailable")
            self.assert_fails(reference, "ertificate")
            self.assertEqual(registry.count("GET"), 0)
            configure(CONFIG + f"CAFile={certificate[0]}\n")
            self.assert_pulled(reference)
            # A plain registry that is not on this machine is not talked to.
            plain = self.registry({"app:1": image("two")})
            reference = f"registry.test:{plain.address.rsplit(':', 1)[1]}/app:1"
            self.assertEqual(self.pull(reference), "failed RegistryUnavailable")
            configure(CONFIG + f"InsecureRegistry={reference.split('/', 1)[0]}\n")
            self.assert_pulled(reference)
        finally:
            lib.run(["sed", "-i", "/# test_pull$/d", "/etc/hosts"], check=False)
            configure()
            shutil.rmtree(directory)


class KillTest(PullTestCase):
    """SIGKILL for the daemon and for helpers, at every stage."""

    check_leftovers = False  # of downloads that can be resumed; assert_nothing() is stricter for the rest

    def big(self, files=20000, base=True):
        """A layer that takes a while to unpack, and to delete; base: above one that does not."""

        tar = lib.Tar()
        for i in range(files):
            tar.file(f"d{i % 100}/file{i}", b"x")
        return lib.Image([lib.Tar().file("base", b"base"), tar] if base else [tar])

    def test_resume_after_the_daemon(self):
        made = image("one", size=8 << 20)
        digest = made.layers[0]["digest"]
        registry = self.registry({"app:1": made})
        slow = registry.fault(f"GET .*/blobs/{digest}", "slow", rate=1 << 20)
        self.start(registry.reference("app:1"))
        data = f"{INGEST}/{digest.replace(':', '-')}/data"
        lib.wait_until(lambda: os.path.exists(data) and os.path.getsize(data) > 2 << 20)
        lib.kill9_moored()
        lib.wait_until(lambda: not lib.processes("moored-helper"), what="helpers end with the daemon")
        registry.faults.remove(slow)
        self.assertGreater(os.path.getsize(data), 2 << 20)
        self.assert_pulled(registry.reference("app:1"))
        ranges = FailuresTest.ranges(registry, digest)
        self.assertEqual(len(ranges), 2)
        self.assertRegex(ranges[1], r"bytes=[1-9]\d{6,}-")
        self.assertEqual(registry.count(made.config_descriptor["digest"]), 1)
        self.assertEqual(lib_store.blob_problems(), [])
        lib.moorctl("rmi", registry.reference("app:1"))
        self.assert_nothing()

    def ended(self, job):
        """Then the moment that is waited for has been missed."""

        return self.job(job, "State") != "running"

    def test_kill_of_the_daemon(self):
        made = self.big()
        for at in ("manifest", "config", "layer", "unpack", "unpacked", "done"):
            with self.subTest(at=at):
                registry = self.registry({"app:1": made})
                patterns = {"manifest": "/manifests/", "config": made.config_descriptor["digest"],
                            "layer": made.layers[1]["digest"]}
                if at in patterns:
                    registry.fault(f"GET .*{patterns[at]}", "hang")
                job = self.start(registry.reference("app:1"))
                if at in patterns:
                    lib.wait_until(lambda: registry.count(patterns[at]))
                elif at == "unpack":
                    lib.wait_until(lambda: lib.helpers("unpack") or self.ended(job), interval=0.002)
                elif at == "unpacked":
                    lib.wait_until(lambda: ("unpacking" in str(self.job(job, "Parts")) and not lib.helpers("unpack")) or self.ended(job),
                                   interval=0.001, what="the layer is unpacked")
                else:
                    self.assertEqual(self.wait(job), "done")
                lib.kill9_moored()
                registry.faults.clear()
                lib.wait_until(lambda: not lib.helpers("fetch") and not lib.helpers("unpack") and trash_is_empty())
                self.assert_consistent()
                self.assert_pulled(registry.reference("app:1"))
                self.assertEqual(file_in_layers("d7/file7"), b"x")
                self.assert_consistent()
                lib.moorctl("rmi", registry.reference("app:1"))
                self.assert_nothing()

    def test_kill_of_helpers(self):
        made = self.big(base=False)
        for verb, pattern in (("fetch", "/manifests/"), ("fetch", f"/blobs/{made.layers[0]['digest']}"), ("unpack", None)):
            with self.subTest(verb=verb, pattern=pattern):
                registry = self.registry({"app:1": made})
                if pattern:
                    registry.fault(f"GET .*{pattern}", "hang")
                job = self.start(registry.reference("app:1"))
                if pattern:
                    lib.wait_until(lambda: registry.count(pattern))
                pid = lib.wait_until(lambda: lib.helpers(verb), interval=0.002)[-1]
                os.kill(pid, signal.SIGKILL)
                self.assertEqual(self.wait(job), "failed HelperDied")
                lib.wait_until(lambda: not lib.processes("moored-helper") and trash_is_empty())
                self.assert_consistent()
                registry.faults.clear()
                self.assert_pulled(registry.reference("app:1"))
                lib.moorctl("rmi", registry.reference("app:1"))
                self.assert_nothing()

    def test_kill_while_deleting(self):
        registry = self.registry({"app:1": self.big(), "other:1": image("other")})
        for who in ("helper", "daemon"):
            with self.subTest(who=who):
                self.assert_pulled(registry.reference("app:1"))
                self.assert_pulled(registry.reference("other:1"))
                lib.moorctl("rmi", registry.reference("app:1"))
                pid = lib.wait_until(lambda: lib.helpers("remove"), interval=0.002)[0]
                if who == "helper":
                    os.kill(pid, signal.SIGKILL)
                else:
                    lib.kill9_moored()
                # The next occasion does the rest.
                lib.moorctl("rmi", registry.reference("other:1"))
                self.assert_nothing()

    def test_stop_in_the_middle(self):
        """An orderly end with pulls under way is an orderly end."""

        made = image("one", "two")
        registry = self.registry({"app:1": made, "other:1": image("one", "three")})
        registry.fault(f"GET .*/blobs/{made.layers[0]['digest']}", "hang")
        self.start(registry.reference("app:1"))
        lib.wait_until(lambda: registry.count("/blobs/"))
        self.start(registry.reference("other:1"))
        lib.run(["systemctl", "stop", "moored.service"])
        state = lib.unit_properties("moored.service", "Result", "ActiveState")
        self.assertEqual(state, {"Result": "success", "ActiveState": "inactive"})
        self.assertEqual(lib.processes("moored-helper"), {})
        lib.start_moored()
        registry.faults.clear()
        for name in ("app:1", "other:1"):  # both go on where they were
            self.assert_pulled(registry.reference(name))
        lib.moorctl("rmi", registry.reference("app:1"), registry.reference("other:1"))
        self.assert_nothing()

    def test_kill_during_an_import(self):
        directory = "/tmp/test-pull-import"
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        layout = image("base", "one", "two", size=4 << 20).write_layout(f"{directory}/layout", "localhost/app:1")
        lib.run(["tar", "-C", layout, "-cf", f"{directory}/app.tar", "."])
        with open(f"{directory}/app.tar", "rb") as f:
            archive = f.read()
        for who in ("helper", "daemon", "nobody"):
            with self.subTest(who=who):
                with subprocess.Popen(["moorctl", "import", "-q", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE) as process:
                    process.stdin.write(archive[:len(archive) // 2])
                    process.stdin.flush()
                    pid = lib.wait_until(lambda: lib.helpers("import"))[0]
                    lib.wait_until(lambda: os.listdir(INGEST) or set(lib_store.blobs()) - self.blobs_before)
                    if who == "helper":
                        os.kill(pid, signal.SIGKILL)
                    elif who == "daemon":
                        lib.kill9_moored()
                    try:
                        process.stdin.write(archive[len(archive) // 2:])
                        process.stdin.close()
                    except BrokenPipeError:
                        pass
                    process.stdin = None
                    error = process.communicate()[1]
                    self.assertEqual(process.returncode == 0, who == "nobody", error)
                if who != "nobody":
                    self.assert_nothing()
        self.assertIn("localhost/app:1", self.names())
        self.assertEqual(file_in_layers("base"), noise("base", 4 << 20))
        self.assertEqual(lib_store.blob_problems(), [])
        lib.moorctl("rmi", "localhost/app:1")
        self.assert_nothing()
