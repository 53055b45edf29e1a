# SPDX-License-Identifier: LGPL-2.1-or-later
"""A registry that can be made to fail: the part of the distribution API that a pull uses, in threads, on loopback."""

import http.server
import json
import re
import ssl
import subprocess
import sys
import threading

from lib_image import OCI, sha256


class Fault:
    """What to do with requests whose "METHOD path" matches a regular expression, the next `times` times.

    kind        what happens
    status      answers with status and body
    truncate    closes the connection after `after` bytes of the body, the length promised being the whole one
    corrupt     changes one byte of the body
    short       sends `after` bytes fewer, and says so in Content-Length
    extra       sends `after` bytes more than there are
    slow        sends `rate` bytes a second
    redirect    answers 307 to `location`, or to the same path below /redirected
    no-range    sends the whole body whatever range was asked for
    chunked     sends the body without its length
    hang        answers nothing for `seconds`, then closes
    close       closes without an answer
    gate        waits for the `gate` event before it answers
    """

    def __init__(self, pattern, kind, times=None, status=500, body=None, headers=None, after=0, rate=1 << 20,
                 location=None, seconds=60, gate=None):
        self.pattern = re.compile(pattern)
        self.kind = kind
        self.times = times
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.after = after
        self.rate = rate
        self.location = location
        self.seconds = seconds
        self.gate = gate
        self.hits = 0


class FaultyRegistry:
    """with FaultyRegistry({"name:tag": Image(…)}) as registry: moorctl("pull", registry.reference("name:tag"))

    token       clients have to fetch this Bearer token first, from the realm that the challenge names
    requests    [(method, path, headers)] in the order of arrival
    faults      list of Fault; the first that matches is applied
    """

    def __init__(self, images=None, token=None, certificate=None, address="127.0.0.1"):
        self.blobs = {}
        self.manifests = {}
        self.requests = []
        self.faults = []
        self.token = token
        self.token_requests = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.scheme = "https" if certificate else "http"
        registry = self

        class Handler(_Handler):
            pass

        Handler.registry = registry
        self.server = _Server((address, 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = f"{address}:{self.server.server_address[1]}"
        for name, image in (images or {}).items():
            self.add(name, image)

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def reference(self, name):
        return f"{self.address}/{name}"

    def add(self, name, image):
        repository, tag = name.rsplit(":", 1)
        self.blobs.update(image.blobs)
        self.add_manifest(repository, tag, image.media_type, image.manifest)

    def add_manifest(self, repository, tag, media_type, data):
        self.manifests[repository, tag] = self.manifests[repository, sha256(data)] = (media_type, data)

    def add_index(self, name, images, media_type=OCI["index"]):
        """An index of (image, platform) pairs."""

        repository, tag = name.rsplit(":", 1)
        for image, _ in images:
            self.blobs.update(image.blobs)
            self.add_manifest(repository, image.digest, image.media_type, image.manifest)
        index = {"schemaVersion": 2, "mediaType": media_type,
                 "manifests": [dict(image.descriptor, platform=platform) for image, platform in images]}
        self.add_manifest(repository, tag, media_type, json.dumps(index).encode())

    def fault(self, pattern, kind, **kwargs):
        fault = Fault(pattern, kind, **kwargs)
        self.faults.append(fault)
        return fault

    def take_fault(self, request):
        with self.lock:
            for fault in self.faults:
                if fault.pattern.search(request) and (fault.times is None or fault.hits < fault.times):
                    fault.hits += 1
                    return fault
        return None

    def count(self, pattern):
        with self.lock:
            return sum(1 for method, path, _ in self.requests if re.search(pattern, f"{method} {path}"))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A client that is killed resets its connections: that is what tests are about.
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve(True)

    def do_HEAD(self):
        self.serve(False)

    def serve(self, with_body):
        registry = self.registry
        with registry.lock:
            registry.requests.append((self.command, self.path, dict(self.headers.items())))
        path = self.path.split("?", 1)[0]
        fault = registry.take_fault(f"{self.command} {self.path}")
        try:
            if fault and self.fail(fault):
                return
            if path == "/token":
                registry.token_requests += 1
                self.answer(200, json.dumps({"token": registry.token, "expires_in": 300}).encode(), "application/json")
                return
            # What redirects lead to stands for a storage service, which knows nothing of the registry's tokens.
            redirected = path.startswith("/redirected/")
            path = path.removeprefix("/redirected")
            if registry.token and not redirected and self.headers.get("Authorization") != f"Bearer {registry.token}":
                self.challenge()
                return
            self.serve_content(path, with_body, fault)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def challenge(self):
        realm = f'{self.registry.scheme}://{self.registry.address}/token'
        self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
                    "application/json",
                    {"WWW-Authenticate": f'Bearer realm="{realm}",service="test",scope="repository:x:pull"'})

    def fail(self, fault):
        """Applies faults that answer a request on their own; says whether it did."""

        if fault.kind == "status":
            body = fault.body if fault.body is not None else \
                b'{"errors":[{"code":"TEST","message":"the test wants it so"}]}'
            self.answer(fault.status, body, "application/json", fault.headers)
        elif fault.kind == "redirect":
            location = fault.location or f"{self.registry.scheme}://{self.registry.address}/redirected{self.path}"
            self.answer(307, b"", "text/plain", {"Location": location})
        elif fault.kind == "hang":
            self.registry.closing.wait(fault.seconds)
            self.close_connection = True
        elif fault.kind == "close":
            self.close_connection = True
        elif fault.kind == "gate":
            while not fault.gate.wait(0.05) and not self.registry.closing.is_set():
                pass
            return False
        else:
            return False
        return True

    def serve_content(self, path, with_body, fault):
        registry = self.registry
        headers = {}

        if path in ("/v2", "/v2/"):
            self.answer(200, b"{}", "application/json")
            return
        if match := re.fullmatch(r"/v2/(.+)/manifests/(.+)", path):
            found = registry.manifests.get(match.groups())
            if not found:
                self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
                            "application/json", with_body=with_body)
                return
            media_type, data = found
            headers["Docker-Content-Digest"] = sha256(data)
        elif match := re.fullmatch(r"/v2/(.+)/blobs/(.+)", path):
            data, media_type = registry.blobs.get(match[2]), "application/octet-stream"
            if data is None:
                self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}', "application/json",
                            with_body=with_body)
                return
        else:
            self.answer(404, b"{}", "application/json", with_body=with_body)
            return
        self.send_content(data, media_type, headers, with_body, fault)

    def send_content(self, data, media_type, headers, with_body, fault):
        kind = fault.kind if fault else None
        status = 200

        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and kind != "no-range":
            start = int(wanted[1])
            end = min(int(wanted[2]) if wanted[2] else len(data) - 1, len(data) - 1)
            if start >= len(data):
                self.answer(416, b"", "text/plain", {"Content-Range": f"bytes */{len(data)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data, status = data[start:end + 1], 206
        if kind == "corrupt":
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]
        elif kind == "short":
            data = data[:len(data) - fault.after]
        elif kind == "extra":
            data += b"\0" * fault.after

        self.send_response(status)
        self.send_header("Content-Type", media_type)
        for key, value in headers.items():
            self.send_header(key, value)
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.send_body(data, kind, fault)

    def send_body(self, data, kind, fault):
        if kind == "truncate":
            self.wfile.write(data[:fault.after])
            self.close_connection = True
        elif kind == "chunked":
            for i in range(0, len(data), 4096):
                chunk = data[i:i + 4096]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        elif kind == "slow":
            step = max(fault.rate // 20, 1)
            for i in range(0, len(data), step):
                self.wfile.write(data[i:i + step])
                if self.registry.closing.wait(0.05):
                    self.close_connection = True
                    return
        else:
            self.wfile.write(data)

    def answer(self, status, body, media_type, headers=None, with_body=None):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if with_body if with_body is not None else self.command != "HEAD":
            self.wfile.write(body)


def make_certificate(directory, name="localhost", address="127.0.0.1"):
    """A self-signed certificate; returns (certificate's path, key's path)."""

    certificate, key = f"{directory}/cert.pem", f"{directory}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},IP:{address}", "-keyout", key, "-out", certificate],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key
