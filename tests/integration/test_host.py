# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test host is what the other tests take it for."""

import gzip
import http.client
import io
import json
import os
import tarfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import lib
from lib_image import DOCKER, compress, sha256


def get(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as response:
        return response.status, response.read()


class ControllersTest(unittest.TestCase):
    hosts = "b"

    def test_control_group_controllers_are_there(self):
        with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as f:
            self.assertLessEqual({"cpu", "io", "memory", "pids"}, set(f.read().split()))


class HostTest(unittest.TestCase):
    hosts = "ab"

    def test_systemd_runs(self):
        self.assertEqual(lib.run(["systemctl", "is-system-running"]).stdout.strip(), "running")

    def test_storage_is_a_file_system_with_a_journal(self):
        for path in ("/var/lib/moored", "/var/lib/containers", "/var/lib/containerd"):
            self.assertEqual(lib.run(["stat", "-f", "-c", "%T", path]).stdout.strip(), "ext2/ext3")

    def test_control_groups_are_unified(self):
        self.assertEqual(lib.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).stdout.strip(), "cgroup2fs")

    def test_registry_holds_the_images(self):
        _, body = get(f"http://{lib.REGISTRY}/v2/_catalog")
        self.assertLessEqual({"busybox", "debian", "layers"}, set(json.loads(body)["repositories"]))
        for name in ("busybox", "debian", "layers"):
            self.assertTrue(os.path.exists(f"{lib.TEST_IMAGES}/{name}/index.json"))

    def test_there_is_no_network_but_loopback(self):
        links = json.loads(lib.run(["ip", "--json", "link"]).stdout)
        self.assertEqual([link["ifname"] for link in links], ["lo"])


class TarTest(unittest.TestCase):
    def test_entries_are_read_back(self):
        long_name = "d/" + "x" * 300
        archive = lib.Tar().directory("d").file("d/f", b"text", uid=7, mode=0o600).symlink("s", "/etc") \
            .hardlink("h", "d/f").character_device("n", 1, 3).fifo("p").file(long_name, b"1") \
            .pax({"SCHILY.xattr.user.x": b"value"}).file("x").whiteout("d/gone").opaque("d").bytes()
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = {m.name: m for m in tar}
            self.assertEqual(tar.extractfile("d/f").read(), b"text")
        self.assertEqual(members["d/f"].uid, 7)
        self.assertEqual(members["s"].linkname, "/etc")
        self.assertTrue(members["h"].islnk())
        self.assertEqual((members["n"].devmajor, members["n"].devminor), (1, 3))
        self.assertIn(long_name, members)
        self.assertEqual(members["x"].pax_headers["SCHILY.xattr.user.x"], "value")
        self.assertIn("d/.wh.gone", members)
        self.assertIn("d/.wh..wh..opq", members)

    def test_headers_can_lie(self):
        archive = lib.Tar().file("a", b"x", checksum=1).bytes()
        with self.assertRaises(tarfile.ReadError):
            tarfile.open(fileobj=io.BytesIO(archive))

    def test_compression(self):
        self.assertEqual(gzip.decompress(compress(b"data", "gzip")), b"data")
        self.assertEqual(compress(b"data", "zstd")[:4], b"\x28\xb5\x2f\xfd")


class FaultyRegistryTest(unittest.TestCase):
    def setUp(self):
        self.image = lib.Image([lib.Tar().file("f", os.urandom(10000))], types=DOCKER)
        registry = lib.FaultyRegistry({"a/b:test": self.image})
        self.registry = registry.__enter__()
        self.addCleanup(registry.__exit__, None, None, None)
        self.layer = self.image.layers[0]["digest"]
        self.url = f"http://{self.registry.address}/v2/a/b/blobs/{self.layer}"

    def test_serves_manifests_and_blobs(self):
        _, manifest = get(f"http://{self.registry.address}/v2/a/b/manifests/test")
        self.assertEqual(sha256(manifest), self.image.digest)
        self.assertEqual(sha256(get(self.url)[1]), self.layer)
        self.assertEqual(get(self.url, {"Range": "bytes=100-"}), (206, self.image.blobs[self.layer][100:]))
        self.assertEqual(self.registry.count("GET .*/blobs/"), 2)

    def test_status_is_given_as_often_as_told(self):
        self.registry.fault("blobs", "status", status=503, times=1)
        with self.assertRaises(urllib.error.HTTPError) as raised:
            get(self.url)
        self.assertEqual(raised.exception.code, 503)
        self.assertEqual(get(self.url)[0], 200)

    def test_truncated(self):
        self.registry.fault("blobs", "truncate", after=500)
        with self.assertRaises(http.client.IncompleteRead):
            get(self.url)

    def test_corrupt_short_and_extra_change_the_bytes(self):
        for kind in ("corrupt", "short", "extra"):
            self.registry.fault("blobs", kind, times=1, after=3)
            self.assertNotEqual(sha256(get(self.url)[1]), self.layer)

    def test_redirect_chunked_and_slow_do_not(self):
        for kind in ("redirect", "chunked", "slow"):
            fault = self.registry.fault("GET /v2/.*blobs", kind, times=1, rate=100000)
            self.assertEqual(sha256(get(self.url)[1]), self.layer)
            self.assertEqual(fault.hits, 1)

    def test_gate(self):
        gate = threading.Event()
        self.registry.fault("blobs", "gate", gate=gate)
        start = time.monotonic()
        threading.Timer(0.2, gate.set).start()
        self.assertEqual(get(self.url)[0], 200)
        self.assertGreater(time.monotonic() - start, 0.15)

    def test_token(self):
        self.registry.token = "secret"
        with self.assertRaises(urllib.error.HTTPError) as raised:
            get(self.url)
        challenge = raised.exception.headers["WWW-Authenticate"]
        self.assertTrue(challenge.startswith("Bearer realm="))
        token = json.loads(get(challenge.split('"')[1])[1])["token"]
        self.assertEqual(get(self.url, {"Authorization": f"Bearer {token}"})[0], 200)

    def test_push_to_the_real_registry(self):
        lib.push(self.image, "pushed/by-test:test")
        _, manifest = get(f"http://{lib.REGISTRY}/v2/pushed/by-test/manifests/test",
                          {"Accept": DOCKER["manifest"]})
        self.assertEqual(manifest, self.image.manifest)
