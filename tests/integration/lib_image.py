# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives and images that are made byte by byte, so that they may be as wrong as a test wants them."""

import gzip
import hashlib
import http.client
import json
import os
import subprocess

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "none": "application/vnd.docker.image.rootfs.diff.tar",
    "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
}

BLOCK = 512


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Tar:
    """An archive of raw ustar headers. Methods return the archive, so that calls can be chained:

        Tar().directory("etc").file("etc/x", b"text").symlink("a", "/etc").file("a/passwd", b"").bytes()
    """

    def __init__(self):
        self.parts = []

    def raw(self, data):
        self.parts.append(data)
        return self

    def entry(self, name, kind=b"0", content=b"", link="", mode=0o644, uid=0, gid=0, mtime=0, major=0, minor=0,
              size=None, checksum=None, magic=b"ustar\x0000"):
        """One header and its content. size and checksum are computed unless a test wants them to lie."""

        name, link = _bytes(name), _bytes(link)
        prefix = b""
        if len(name) > 100:
            # ustar's split of a long name, where there is a slash in the right place; otherwise GNU's long name.
            cut = name.rfind(b"/", len(name) - 101, 155)
            if 0 < cut <= 155 and len(name) - cut - 1 <= 100:
                prefix, name = name[:cut], name[cut + 1:]
            else:
                self.entry("././@LongLink", b"L", name + b"\0")
                name = name[:100]
        if len(link) > 100:
            self.entry("././@LongLink", b"K", link + b"\0")
            link = link[:100]

        size = len(content) if size is None else size
        header = b"".join([
            name.ljust(100, b"\0"), _octal(mode, 8), _octal(uid, 8), _octal(gid, 8), _octal(size, 12),
            _octal(mtime, 12), b" " * 8, kind, link.ljust(100, b"\0"), magic, b"root".ljust(32, b"\0"),
            b"root".ljust(32, b"\0"), _octal(major, 8), _octal(minor, 8), prefix.ljust(155, b"\0"), b"\0" * 12])
        checksum = sum(header) if checksum is None else checksum
        self.parts.append(header[:148] + b"%06o\0 " % checksum + header[156:])
        self.parts.append(_padded(content))
        return self

    def file(self, name, content=b"", **kwargs):
        return self.entry(name, b"0", _bytes(content), **kwargs)

    def directory(self, name, mode=0o755, **kwargs):
        return self.entry(name, b"5", mode=mode, **kwargs)

    def symlink(self, name, target, **kwargs):
        return self.entry(name, b"2", link=target, mode=0o777, **kwargs)

    def hardlink(self, name, target, **kwargs):
        return self.entry(name, b"1", link=target, **kwargs)

    def character_device(self, name, major, minor, **kwargs):
        return self.entry(name, b"3", major=major, minor=minor, **kwargs)

    def block_device(self, name, major, minor, **kwargs):
        return self.entry(name, b"4", major=major, minor=minor, **kwargs)

    def fifo(self, name, **kwargs):
        return self.entry(name, b"6", **kwargs)

    def whiteout(self, name):
        directory, base = os.path.split(name)
        return self.file(os.path.join(directory, ".wh." + base))

    def opaque(self, directory):
        return self.file(os.path.join(directory, ".wh..wh..opq"))

    def pax(self, records):
        """A pax header for the entry that follows; values may be bytes."""

        body = b""
        for key, value in records.items():
            record = b" " + _bytes(key) + b"=" + _bytes(value) + b"\n"
            length = len(record)
            while len(b"%d" % length) + len(record) != length:
                length = len(b"%d" % length) + len(record)
            body += b"%d" % length + record
        return self.entry("./PaxHeaders/x", b"x", body)

    def bytes(self, end=True):
        """The archive's bytes, with the two empty blocks at its end unless a test wants it cut off."""

        return b"".join(self.parts) + (b"\0" * (2 * BLOCK) if end else b"")


def _bytes(value):
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def _padded(content):
    return content + b"\0" * (-len(content) % BLOCK)


def _octal(value, width):
    text = b"%0*o" % (width - 1, value)
    if value < 0 or len(text) > width - 1:
        # GNU's base-256 form, for numbers that octal has no room for.
        return (value | (0x80 << (8 * (width - 1)))).to_bytes(width, "big")
    return text + b"\0"


def compress(data, how):
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


class Image:
    """An image made of tar archives: its blobs, its manifest and the manifest's digest.

    layers are tar archives (bytes or Tar). diff_ids and config override what is computed; raw_layers are blobs
    that are used as they are, whatever compression their type claims."""

    def __init__(self, layers, config=None, compression="gzip", types=None, diff_ids=None, raw_layers=None,
                 architecture="amd64", os_name="linux"):
        types = types or OCI
        layers = [layer.bytes() if isinstance(layer, Tar) else layer for layer in layers]
        blobs = raw_layers or [compress(layer, compression) for layer in layers]
        self.types = types
        self.blobs = {}
        self.layers = [self._add(types[compression], blob) for blob in blobs]
        self.config = {
            "architecture": architecture,
            "os": os_name,
            "config": config if config is not None else {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [sha256(layer) for layer in layers]},
        }
        self.seal()

    def _add(self, media_type, data):
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def seal(self):
        """Computes the manifest; to be called again after config, layers or blobs were changed."""

        self.config_descriptor = self._add(self.types["config"], json.dumps(self.config).encode())
        self.seal_manifest({"schemaVersion": 2, "mediaType": self.types["manifest"],
                            "config": self.config_descriptor, "layers": self.layers})

    def seal_manifest(self, manifest):
        self.media_type = self.types["manifest"]
        self.manifest = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        self.digest = sha256(self.manifest)

    @property
    def descriptor(self):
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}

    def write_layout(self, path, reference="test"):
        """Writes an OCI image layout."""

        os.makedirs(os.path.join(path, "blobs/sha256"), exist_ok=True)
        for digest, data in [*self.blobs.items(), (self.digest, self.manifest)]:
            with open(os.path.join(path, "blobs", *digest.split(":")), "wb") as f:
                f.write(data)
        with open(os.path.join(path, "oci-layout"), "w", encoding="utf-8") as f:
            json.dump({"imageLayoutVersion": "1.0.0"}, f)
        with open(os.path.join(path, "index.json"), "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "mediaType": OCI["index"], "manifests": [
                dict(self.descriptor, annotations={"org.opencontainers.image.ref.name": reference})]}, f)
        return path


def push(image, name, address="127.0.0.1:5000"):
    """Uploads an image as it is, wrong or not, to a registry; returns the reference by which moored knows it."""

    repository, tag = name.rsplit(":", 1)
    connection = http.client.HTTPConnection(address)

    def request(method, path, body=None, headers=None, expect=(200, 201, 202)):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        answer = response.read()
        if response.status not in expect:
            raise AssertionError(f"{method} {path}: {response.status} {answer!r}")
        return response

    for digest, data in image.blobs.items():
        if request("HEAD", f"/v2/{repository}/blobs/{digest}", expect=(200, 404)).status == 200:
            continue
        location = request("POST", f"/v2/{repository}/blobs/uploads/").getheader("Location")
        location = location[location.index("/v2/"):]
        request("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest}", data,
                {"Content-Type": "application/octet-stream"})
    request("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, {"Content-Type": image.media_type})
    connection.close()
    return f"{address}/{name}"
