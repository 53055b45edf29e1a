# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees of files: everything that an image says of them, to be compared; and images as moored has unpacked them."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import stat
import subprocess

OVERLAY = "/var/lib/moored/snapshots/overlay"
BUNDLES = "/run/moored/containers/default"


def describe(path):
    """What there is to know of one file, as a dictionary; no link is followed."""

    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    found = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid), "mtime": st.st_mtime_ns,
             "xattrs": {name: os.getxattr(path, name, follow_symlinks=False)
                        for name in os.listxattr(path, follow_symlinks=False)
                        if not name.startswith("trusted.overlay.")}}
    if kind != stat.S_IFDIR:
        found["links"] = st.st_nlink
    if kind == stat.S_IFREG:
        with open(path, "rb", buffering=0) as f:
            found["content"] = hashlib.sha256(f.read()).digest()
    elif kind == stat.S_IFLNK:
        found["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        found["device"] = st.st_rdev
    return found


def _describe_tree(root):
    root = os.fsencode(root)
    files, same = {b".": describe(root)}, {}
    for directory, directories, names in os.walk(root):
        prefix = directory[len(root) + 1:] + b"/" if directory != root else b""
        for name in directories + names:
            files[prefix + name] = found = describe(directory + b"/" + name)
            if found.get("links", 1) > 1:
                same.setdefault(os.lstat(directory + b"/" + name).st_ino, set()).add(prefix + name)
    return files, {frozenset(paths) for paths in same.values()}


def describe_trees(*roots):
    """For each: {path below root, as bytes: describe()} and the sets of paths that are one file."""

    with multiprocessing.Pool(len(roots)) as pool:
        return pool.map(_describe_tree, roots)


def differences(left, right, limit=20):
    """Lines that say how two of describe_trees() differ."""

    (files, same), (other_files, other_same) = left, right
    lines = [f"only in the first: {path!r}" for path in sorted(set(files) - set(other_files))]
    lines += [f"only in the second: {path!r}" for path in sorted(set(other_files) - set(files))]
    for path in sorted(set(files) & set(other_files)):
        lines += [f"{path!r}: {key} is {files[path].get(key)!r}, and {other_files[path].get(key)!r} in the second"
                  for key in files[path] if files[path].get(key) != other_files[path].get(key)]
    lines += [f"one file in the first only: {sorted(paths)!r}" for paths in sorted(same - other_same, key=sorted)]
    lines += [f"one file in the second only: {sorted(paths)!r}" for paths in sorted(other_same - same, key=sorted)]
    return lines[:limit] + [f"… {len(lines)} in all"] * (len(lines) > limit)


def lower_layers(container):
    """The directories of the layers below a container, topmost first."""

    with open(f"{BUNDLES}/{container}/config.json", encoding="utf-8") as f:
        annotations = json.load(f)["annotations"]
    assert annotations["org.moored.rootfs.dir"] == OVERLAY
    return [f"{OVERLAY}/{name}" for name in annotations["org.moored.rootfs.lower"].split(":") if name]


@contextlib.contextmanager
def merged(layers, directory="/run/test-merged"):
    """The layers as overlayfs shows them, read-only, without anything that a container adds."""

    if len(layers) == 1:
        yield layers[0]
        return
    os.makedirs(directory, exist_ok=True)
    names = ":".join(layer.removeprefix(OVERLAY + "/") for layer in layers)
    # Debian 13's mount(8) passes each option by fsconfig(2), which takes 256 bytes; mount(2) takes a page.
    subprocess.run(["mount", "-t", "overlay", "-o", f"ro,lowerdir={names}", "overlay", directory], cwd=OVERLAY, check=True,
                   env={**os.environ, "LIBMOUNT_FORCE_MOUNT2": "always"})
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)
        os.rmdir(directory)


@contextlib.contextmanager
def umoci_unpacked(layout, directory="/var/tmp/test-umoci"):
    """The root file system that umoci makes of an OCI layout's image (path:tag)."""

    subprocess.run(["rm", "-rf", directory], check=True)
    subprocess.run(["umoci", "unpack", "--image", layout, directory], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    try:
        yield f"{directory}/rootfs"
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)
