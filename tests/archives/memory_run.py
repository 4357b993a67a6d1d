"""Makes and takes apart one large archive, in a process of its own; prints what memory that took.

python -m tests.archives.memory_run ENDPOINT ACCESS_KEY SECRET_KEY BUCKET FOLDER MIB
"""

import hashlib
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from chalicelib.archives import packing, storing, unpacking
from chalicelib.registry import projects
from chalicelib.storage.s3 import S3Blobs
from tests.registry_world import setup_model, world

MIB = 1024 * 1024


def noise(mib: int) -> Iterator[bytes]:
    """So many MiB that no two of are alike."""
    block = random.Random(mib).randbytes(MIB)
    for number in range(mib):
        yield number.to_bytes(8, "big") + block[8:]


def peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """A small round first, so that all code is loaded and every connection stands."""
    endpoint, access, secret, bucket, folder, mib = sys.argv[1:]
    blobs = S3Blobs(
        bucket,
        "us-east-1",
        endpoint,
        access_key=access,
        secret_key=secret,
        prefix=f"{folder[-8:]}/",
    )
    stores, _ = world(Path(folder), blobs=blobs)
    setup_model(stores)
    project_id = projects.find(stores, "vision").id
    told = {}
    for size in (18, int(mib)):
        with storing.Keeper(stores, project_id) as keeper:
            keeper.add("party.bin", size * MIB, noise(size))
            keeper.add("meta.json", 2, [b"{}"])
        before, began = peak(), time.monotonic()
        members = [packing.of_file(kept.entry()) for kept in keeper.kept]
        archive = packing.assemble(stores, project_id, members)
        packed, middle = peak(), time.monotonic()
        kept = unpacking.unpack(stores, project_id, archive.key)
        assert kept == keeper.kept, "other files came out"
        told = {
            "pack_growth": packed - before,
            "growth": peak() - before,
            "pack_seconds": middle - began,
            "unpack_seconds": time.monotonic() - middle,
            "size": archive.size,
            "sha256": hashlib.sha256(archive.sha256.encode()).hexdigest(),
        }
    stores.table.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
