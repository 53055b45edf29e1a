# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks at moored's store from outside: what must hold at any time, whatever was killed before."""

import contextlib
import hashlib
import json
import os
import re
import sqlite3

STORE = "/var/lib/moored"


def blobs(store=STORE):
    """{digest: path} of the blobs, by their names."""

    found = {}
    root = os.path.join(store, "content/blobs")
    for algorithm in os.listdir(root) if os.path.isdir(root) else []:
        for name in os.listdir(os.path.join(root, algorithm)):
            found[f"{algorithm}:{name}"] = os.path.join(root, algorithm, name)
    return found


def blob_problems(store=STORE):
    """What is wrong with the blobs: names that are no digests, content that is not what its name says."""

    problems = []
    for digest, path in blobs(store).items():
        algorithm, name = digest.split(":", 1)
        if not re.fullmatch({"sha256": "[0-9a-f]{64}", "sha512": "[0-9a-f]{128}"}.get(algorithm, "(?!)"), name):
            problems.append(f"{path} is not named after a digest")
            continue
        try:
            with open(path, "rb") as f:
                actual = hashlib.file_digest(f, algorithm).hexdigest()
        except FileNotFoundError:
            continue  # collected meanwhile
        if actual != name:
            problems.append(f"{path} holds something else: {actual}")
    return problems


def image_problems(digest, store=STORE):
    """What an image's manifest names and the store lacks, for an image that is claimed to be complete."""

    present = blobs(store)
    if digest not in present:
        return [f"manifest {digest} is missing"]
    with open(present[digest], "rb") as f:
        manifest = json.load(f)
    problems = []
    for descriptor in [manifest.get("config"), *manifest.get("layers", [])]:
        if descriptor is None:
            continue
        if descriptor["digest"] not in present:
            problems.append(f"{digest} names {descriptor['digest']}, which is missing")
        elif os.stat(present[descriptor["digest"]]).st_size != descriptor["size"]:
            problems.append(f"{descriptor['digest']} is not {descriptor['size']} bytes long")
    return problems


def _rows(store, statement):
    # A connection of its own for each, so that nothing is read from before a restart of the daemon.
    with contextlib.closing(sqlite3.connect(f"file:{store}/moored.db?mode=ro", uri=True, timeout=5)) as db:
        return db.execute(statement).fetchall()


def record_problems(store=STORE, run="/run/moored"):
    """Where records and files differ. A pull or a collection under way shows here for a while, too."""

    overlay = os.path.join(store, "snapshots/overlay")
    directories = set(os.listdir(overlay)) - {"trash"}
    snapshots = {str(id): (kind, ready) for id, kind, ready in _rows(store, "SELECT id, kind, ready FROM snapshots")}
    containers = {f"{ns}/{id}": str(snapshot) for ns, id, snapshot in _rows(store, "SELECT ns, id, snapshot FROM containers")}
    recorded = dict(_rows(store, "SELECT digest, size FROM blobs"))
    files = blobs(store)
    bundles = {f"{ns}/{id}" for ns in os.listdir(f"{run}/containers") for id in os.listdir(f"{run}/containers/{ns}")}

    problems = [f"blob {d} has no record" for d in files.keys() - recorded.keys()]
    problems += [f"blob {d} has no file" for d in recorded.keys() - files.keys()]
    for d in recorded.keys() & files.keys():
        # It may be collected meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(files[d]).st_size != recorded[d]:
                problems.append(f"blob {d} is recorded with {recorded[d]} bytes")
    problems += [f"image {d} is not here" for (d,) in _rows(store, "SELECT digest FROM images") if d not in files]
    problems += [f"{d} of {p} is not here" for p, d in _rows(
        store, "SELECT r.parent, r.child FROM refs r JOIN images i ON i.manifest_digest = r.parent") if d not in files]
    problems += [f"directory {d} of snapshots has no record" for d in directories - snapshots.keys()]
    problems += [f"snapshot {s} has no directory" for s in snapshots.keys() - directories]
    problems += [f"snapshot {s} is not complete" for s, (_, ready) in snapshots.items() if not ready]
    writable = {s for s, (kind, _) in snapshots.items() if kind == 1}
    problems += [f"writable layer {s} belongs to no container" for s in writable - set(containers.values())]
    problems += [f"container {c} has no writable layer" for c, s in containers.items() if s not in writable]
    problems += [f"bundle {b} belongs to no container" for b in bundles - containers.keys()]
    problems += [f"trash: {name}" for name in os.listdir(os.path.join(overlay, "trash"))]
    problems += [f"content: {name}" for name in os.listdir(os.path.join(store, "content")) if name.startswith(".tmp")]
    # What may stay is a download that the next pull goes on with: its key is the digest.
    problems += [f"ingest: {name}" for name in os.listdir(os.path.join(store, "ingest")) if not re.fullmatch("sha(256|512)[-:_].*", name)]
    return problems
