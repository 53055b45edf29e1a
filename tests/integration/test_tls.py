# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registries with TLS, on an address that is not loopback's: certificates, names, redirects, tokens; and those without TLS."""

import os
import shutil
import socket
import tempfile
import time

import lib
import lib_store

ADDRESS = "10.77.0.1"
NAME = "registry.test"
OTHER_NAME = "storage.test"
DROPIN = "/etc/moored/moored.conf.d/10-test-tls.conf"
# Nothing here is to be tried again.
CONFIG = "[Pull]\nRetries=0\n"
PORT = 5443


class Authority:
    """A certificate authority of its own, and what it has signed: (certificate's path, key's path)."""

    def __init__(self, directory):
        self.directory = directory
        self.file = f"{directory}/ca.pem"
        self.key = f"{directory}/ca.key"
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=Test Authority",
                     "-keyout", self.key, "-out", self.file)

    @staticmethod
    def openssl(*args):
        lib.run(["openssl", *args])

    def sign(self, name, alternatives, days=2):
        base = f"{self.directory}/{name}"
        with open(f"{base}.ext", "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{base}.key", "-out", f"{base}.csr")
        self.openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
                     "-days", str(days), "-extfile", f"{base}.ext", "-out", f"{base}.pem")
        return f"{base}.pem", f"{base}.key"


def configure(*lines):
    os.makedirs(os.path.dirname(DROPIN), exist_ok=True)
    with open(DROPIN, "w", encoding="utf-8") as f:
        f.write(CONFIG + "".join(f"{line}\n" for line in lines))
    lib.run(["systemctl", "reset-failed", "moored.service"], check=False)
    lib.run(["systemctl", "restart", "moored.service"])


def answers(address, port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((address, port)) == 0


class TlsTest(lib.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="test-tls-", dir="/run")
        cls.authority = Authority(cls.directory)
        cls.certificate = cls.authority.sign("good", f"DNS:{NAME},DNS:{OTHER_NAME},IP:{ADDRESS}")
        # An address of the host's own network namespace that is not loopback's by its number.
        lib.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"])
        with open("/etc/hosts", "a", encoding="utf-8") as f:
            f.write("".join(f"{ADDRESS} {name} # test_tls\n" for name in (NAME, OTHER_NAME, "wrong.test")))

    @classmethod
    def tearDownClass(cls):
        lib.run(["systemctl", "stop", "test-tls-registry.service"], check=False)
        lib.run(["sed", "-i", "/# test_tls$/d", "/etc/hosts"], check=False)
        lib.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=False)
        shutil.rmtree(cls.directory)
        if os.path.exists(DROPIN):
            os.unlink(DROPIN)
        lib.run(["systemctl", "restart", "moored.service"])

    def setUp(self):
        super().setUp()
        self.blobs_before = set(lib_store.blobs())
        self.addCleanup(self.remove_images)

    def remove_images(self):
        for row in lib.moorctl_json("images") or []:
            if not row["Name"].startswith(lib.REGISTRY):
                lib.moorctl("rmi", "-f", row["Name"])
        lib.wait_until(lambda: set(lib_store.blobs()) <= self.blobs_before, what="the blobs are gone")

    def registry(self, tls=True, certificate=None, **kwargs):
        """A registry of the test's own that has app:1."""

        registry = lib.FaultyRegistry(certificate=(certificate or self.certificate) if tls else None, address=ADDRESS, **kwargs)
        registry.image = lib.Image([lib.Tar().file("app", os.urandom(1000))])
        registry.add("app:1", registry.image)
        registry.__enter__()
        self.addCleanup(registry.__exit__)
        return registry

    @staticmethod
    def reference(registry, name=NAME):
        return f"{name}:{registry.address.rsplit(':', 1)[1]}/app:1"

    def trust(self, *lines):
        configure(f"CAFile={self.authority.file}", *lines)

    def assert_pulled(self, reference):
        lib.moorctl("pull", "-q", reference)
        self.assertIn(reference, {row["Name"] for row in lib.moorctl_json("images")})

    def assert_fails(self, reference, *parts):
        start = time.monotonic()
        result = lib.moorctl("pull", "-q", reference, check=False)
        self.assertNotEqual(result.returncode, 0)
        for part in parts:
            self.assertIn(part, result.stderr)
        # What will be no better in a minute is not tried again.
        self.assertLess(time.monotonic() - start, 10)
        lib.wait_until(lambda: set(lib_store.blobs()) <= self.blobs_before and not os.listdir(f"{lib_store.STORE}/ingest"))
        return result.stderr

    def test_debians_registry(self):
        """docker-registry itself with TLS: a real image comes whole, and runs."""

        configuration = f"{self.directory}/registry.yml"
        with open(configuration, "w", encoding="utf-8") as f:
            f.write(f"version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: /var/lib/docker-registry\n"
                    f"http:\n  addr: {ADDRESS}:{PORT}\n  tls:\n    certificate: {self.certificate[0]}\n    key: {self.certificate[1]}\n")
        lib.run(["systemd-run", "--quiet", "--unit=test-tls-registry", "docker-registry", "serve", configuration])
        lib.wait_until(lambda: answers(ADDRESS, PORT), what="the registry with TLS answers")

        reference = f"{NAME}:{PORT}/busybox:test"
        configure()
        self.assert_fails(reference, "certificate", NAME, "CAFile=")
        self.trust()
        self.assert_pulled(reference)
        self.assertEqual(lib.moorctl("run", "--rm", reference, "echo", "over TLS").stdout, "over TLS\n")
        self.assert_pulled(f"{ADDRESS}:{PORT}/busybox:test")

    def test_untrusted(self):
        configure()
        registry = self.registry()
        message = self.assert_fails(self.reference(registry), "certificate", "CAFile=", "moored.conf")
        self.assertIn(self.reference(registry).split("/", 1)[0], message)
        # Nothing was asked for before the certificate was known to be good.
        self.assertEqual(registry.requests, [])
        self.trust()
        self.assert_pulled(self.reference(registry))

    def test_another_authority(self):
        """CAFile= is what is trusted, instead of the system's."""

        os.makedirs(f"{self.directory}/other", exist_ok=True)
        configure(f"CAFile={Authority(f'{self.directory}/other').file}")
        self.assert_fails(self.reference(self.registry()), "certificate", "CAFile=")

    def test_a_bad_authority_file(self):
        configure(f"CAFile={self.directory}/missing.pem")
        registry = self.registry()
        self.assert_fails(self.reference(registry), "missing.pem", "CAFile=")
        with open(f"{self.directory}/text.pem", "w", encoding="utf-8") as f:
            f.write("this is no certificate\n")
        configure(f"CAFile={self.directory}/text.pem")
        self.assert_fails(self.reference(registry), "CAFile=")
        self.assertEqual(registry.requests, [])

    def test_wrong_name(self):
        self.trust()
        registry = self.registry()
        message = self.assert_fails(self.reference(registry, "wrong.test"), "certificate", "wrong.test")
        # The authority is right already: the remedy is not to name another one.
        self.assertIn("name", message)
        self.assertNotIn("CAFile=", message)
        self.assertEqual(registry.requests, [])

    def test_expired(self):
        self.trust()
        # It ends in the second it begins: newer openssl makes none that ends before that.
        expired = self.authority.sign("expired", f"DNS:{NAME}", days=0)
        end = time.time() + 1
        lib.wait_until(lambda: time.time() > end, what="it has expired")
        registry = self.registry(certificate=expired)
        message = self.assert_fails(self.reference(registry), "certificate", "expired")
        self.assertNotIn("CAFile=", message)
        self.assertEqual(registry.requests, [])

    def test_without_tls(self):
        """A registry without TLS that is not on this machine is talked to only where the configuration says so."""

        self.trust()
        registry = self.registry(tls=False)
        reference = self.reference(registry)
        host = reference.split("/", 1)[0]
        self.assert_fails(reference, host, "InsecureRegistry=")
        self.assertEqual(registry.requests, [])
        configure("InsecureRegistry=another.test:5000")
        self.assert_fails(reference, "InsecureRegistry=")
        configure(f"InsecureRegistry=another.test:5000 {host}")
        self.assert_pulled(reference)

    def test_with_tls_on_loopback(self):
        """Loopback registries are spoken to without TLS."""

        configure()
        with lib.FaultyRegistry({"app:1": lib.Image([lib.Tar().file("app", b"x")])}) as registry:
            self.assert_pulled(registry.reference("app:1"))

    def test_redirect_to_http(self):
        self.trust()
        registry, plain = self.registry(), self.registry(tls=False)
        for what in ("manifests", "blobs"):
            with self.subTest(what=what):
                fault = registry.fault(f"GET .*/{what}/", "redirect", location=f"http://{plain.address}/v2/app/{what}/1")
                self.assert_fails(self.reference(registry), "redirects")
                self.assertGreater(fault.hits, 0)
                registry.faults.remove(fault)
        self.assertEqual(plain.requests, [])
        self.assert_pulled(self.reference(registry))

    def test_redirect_keeps_the_token(self):
        """A token is for the registry alone: not for another host, and not for another port of the same."""

        self.trust()
        for name in (OTHER_NAME, NAME):
            with self.subTest(to=name):
                registry, storage = self.registry(token="secret"), self.registry()
                storage.blobs.update(registry.image.blobs)
                port = storage.address.rsplit(":", 1)[1]
                for digest in registry.image.blobs:
                    registry.fault(f"GET .*/blobs/{digest}", "redirect", location=f"https://{name}:{port}/v2/app/blobs/{digest}")
                # The faulty registry redirects before it looks at the token, as those do that know the client already.
                self.assert_pulled(self.reference(registry))
                asked = [headers for _, path, headers in registry.requests if "/blobs/" in path]
                self.assertTrue(any(headers.get("Authorization") == "Bearer secret" for headers in asked))
                self.assertGreaterEqual(len(storage.requests), len(registry.image.blobs))
                for _, _, headers in storage.requests:
                    self.assertNotIn("authorization", {key.lower() for key in headers})

    def test_token(self):
        self.trust()
        registry = self.registry(token="secret")
        self.assert_pulled(self.reference(registry))
        self.assertEqual(registry.token_requests, 1)
        for _, path, headers in registry.requests:
            if path.startswith("/token"):
                self.assertNotIn("Authorization", headers)

    def test_token_server_without_tls(self):
        """A registry with TLS must not send us for the token to where everybody listens."""

        self.trust()
        registry, plain = self.registry(token="secret"), self.registry(tls=False)
        registry.fault("GET /v2/", "status", status=401,
                       headers={"WWW-Authenticate": f'Bearer realm="http://{plain.address}/token",service="x"'})
        self.assert_fails(self.reference(registry), "token server")
        self.assertEqual(plain.requests, [])

    def test_names_are_resolved_as_the_host_does(self):
        self.trust()
        self.assert_fails("no-such-host.invalid/app:1", "no-such-host.invalid", "resolved")

