# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks at moored's store from outside: what must hold at any time, whatever was killed before."""

import hashlib
import json
import os
import re

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
        with open(path, "rb") as f:
            actual = hashlib.file_digest(f, algorithm).hexdigest()
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
