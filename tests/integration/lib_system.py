# SPDX-License-Identifier: LGPL-2.1-or-later
"""An image with systemd in it: Debian as far as it takes to boot, made of the host's own packages."""

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

from lib_image import OCI, sha256

# What is booted, what machinectl and systemctl speak to, and a shell.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "libc-bin", "dash", "bash", "coreutils", "util-linux",
            "mawk")
# What maintainer scripts and administrators make: no package has them.
CONFIGURATION = ("etc/passwd", "etc/group", "etc/shadow", "etc/nsswitch.conf", "etc/ld.so.cache", "etc/pam.d")
MERGED = ("bin", "sbin", "lib", "lib64")
EMPTY = {"etc/machine-id": b"", "etc/fstab": b""}
LEFT_OUT = re.compile(r"usr/share/(doc|man|locale|info|i18n|zoneinfo|bash-completion|zsh|lintian)/")


def _packages():
    """{package: alternatives of what it depends on}, {what is provided: package}"""

    output = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Pre-Depends}, ${Depends}\t${Provides}\n"],
                            stdout=subprocess.PIPE, check=True, text=True).stdout
    depends, provided = {}, {}

    def names(text, separator):
        return [re.split(r"[ :(]", part.strip())[0] for part in text.split(separator) if part.strip()]

    for line in output.splitlines():
        package, relations, provides = line.split("\t")
        depends[package] = [names(relation, "|") for relation in relations.split(",") if relation.strip()]
        for name in names(provides, ","):
            provided.setdefault(name, package)
    return depends, provided


def _closure(wanted):
    depends, provided = _packages()
    wanted, found = list(wanted), set()
    while wanted:
        name = wanted.pop()
        package = name if name in depends else provided.get(name)
        if package is None or package in found:
            continue
        found.add(package)
        for alternatives in depends[package]:
            wanted += [a for a in alternatives if a in depends or a in provided][:1]
    return sorted(found)


def _paths():
    """What is in the image, relative to the root, each directory before what is in it."""

    output = subprocess.run(["dpkg", "-L", *_closure(PACKAGES)], stdout=subprocess.PIPE, check=True, text=True).stdout
    paths = {line.lstrip("/") for line in output.splitlines() if line.startswith("/") and line != "/."}
    for path in CONFIGURATION:
        paths.add(path)
        if os.path.isdir("/" + path):
            paths |= {os.path.join(path, name) for name in os.listdir("/" + path)}
    # Packages still name some files by the links that lead to /usr.
    paths = {"usr/" + path if path.split("/")[0] in MERGED else path for path in paths}
    return sorted(path for path in paths | {"root", "run", "tmp", "proc", "sys", "dev", "var/tmp", "usr/lib64"}
                  if os.path.lexists("/" + path) and not LEFT_OUT.match(path + "/") and path not in EMPTY)


def _write_layer(path):
    with open(path, "wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in MERGED:
            if os.path.islink("/" + name):
                tar.add("/" + name, name)
        for name in _paths():
            tar.add("/" + name, name, recursive=False)
        for name, content in EMPTY.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))


def write_system_image(layout, reference="system"):
    """Writes an OCI image layout with an image that boots systemd."""

    blobs = os.path.join(layout, "blobs/sha256")
    os.makedirs(blobs)
    layer = os.path.join(layout, "layer")
    _write_layer(layer)
    with open(layer, "rb") as f:
        digest = hashlib.sha256()
        while data := f.read(1 << 20):
            digest.update(data)
    size = os.stat(layer).st_size
    os.rename(layer, os.path.join(blobs, digest.hexdigest()))

    def add(media_type, value):
        data = json.dumps(value).encode()
        with open(os.path.join(blobs, sha256(data).split(":")[1]), "wb") as blob:
            blob.write(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

    diff_id = "sha256:" + digest.hexdigest()
    config = add(OCI["config"], {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/sbin/init"]},
                                 "rootfs": {"type": "layers", "diff_ids": [diff_id]}})
    manifest = add(OCI["manifest"], {"schemaVersion": 2, "mediaType": OCI["manifest"], "config": config,
                                     "layers": [{"mediaType": OCI["none"], "digest": diff_id, "size": size}]})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": reference}
    with open(os.path.join(layout, "oci-layout"), "w", encoding="utf-8") as f:
        json.dump({"imageLayoutVersion": "1.0.0"}, f)
    with open(os.path.join(layout, "index.json"), "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "mediaType": OCI["index"], "manifests": [manifest]}, f)
    return layout
