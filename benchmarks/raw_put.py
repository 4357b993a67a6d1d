"""Presigned uploads with nothing around them: no hash, no plan, no registry.

    python -m benchmarks.raw_put multipart FILE     one file in parts, over 8 connections
    python -m benchmarks.raw_put loop FOLDER        every file of a folder by a PUT, over 8 connections
    python -m benchmarks.raw_put verified FOLDER    the same with SHA-256 and `If-None-Match`, as ours ask

The store is given by `BENCH_ENDPOINT`, `BENCH_BUCKET`, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. URLs
are signed before the clock starts; completing the upload is inside. Prints JSON.
"""

import hashlib
import http.client
import json
import os
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import local
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

PART = 16 * 1024**2
CONNECTIONS = 8
_BLOCK = 1024**2


class Sender:
    """One kept connection per thread."""

    def __init__(self, endpoint: str) -> None:
        self._where = urlsplit(endpoint)
        self._local = local()

    def put(
        self,
        url: str,
        size: int,
        blocks: Iterable[bytes],
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Sends one body; answers its entity tag."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            host, port = self._where.hostname or "", self._where.port or 80
            connection = self._local.connection = http.client.HTTPConnection(host, port)
        connection.request("PUT", url, blocks, {"Content-Length": str(size), **more})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the store answered {answer.status}")
        return str(answer.headers["ETag"])


def blocks_of(file: Path, at: int, size: int) -> Iterable[memoryview]:
    """A range of a file, block by block."""
    buffer = memoryview(bytearray(min(_BLOCK, size)))
    with file.open("rb", buffering=0) as stream:
        stream.seek(at)
        while size and (count := stream.readinto(buffer[: min(size, len(buffer))])):
            yield buffer[:count]
            size -= count


def client(endpoint: str) -> Any:
    """An S3 client that adds nothing of its own to what it signs."""
    config = Config(
        signature_version="s3v4", request_checksum_calculation="when_required",
        s3={"addressing_style": "path"},
    )  # fmt: skip
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)


def signed(s3: Any, operation: str, **params: Any) -> str:
    """A presigned URL without its host."""
    where = urlsplit(s3.generate_presigned_url(operation, Params=params))
    return f"{where.path}?{where.query}"


def multipart(s3: Any, sender: Sender, bucket: str, file: Path) -> float:
    """Seconds for one file in parts."""
    where = {"Bucket": bucket, "Key": f"raw/{uuid.uuid4().hex}"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    size = file.stat().st_size
    parts = []
    for number, at in enumerate(range(0, size, PART), 1):
        url = signed(s3, "upload_part", **where, UploadId=upload, PartNumber=number)
        parts.append((number, url, at, min(PART, size - at)))

    def one(part: tuple[int, str, int, int]) -> dict[str, object]:
        number, url, at, length = part
        return {"PartNumber": number, "ETag": sender.put(url, length, blocks_of(file, at, length))}  # type: ignore[arg-type]

    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        done = list(pool.map(one, parts))
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": done})
    return time.monotonic() - began


def loop(s3: Any, sender: Sender, bucket: str, folder: Path, *, verify: bool = False) -> float:
    """Seconds for every file of a folder. With `verify` the store checks each file's SHA-256, which was
    computed before the clock starts, and that the key is new."""
    prefix = uuid.uuid4().hex
    asked = []
    for file in sorted(folder.iterdir()):
        key, more = f"raw/{prefix}/{file.name}", {}
        signing = {"Bucket": bucket, "Key": key}
        if verify:
            digest = b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()
            signing |= {"ChecksumSHA256": digest, "IfNoneMatch": "*"}
            more = {"x-amz-checksum-sha256": digest, "if-none-match": "*"}
        asked.append((file, signed(s3, "put_object", **signing), more))

    def one(item: tuple[Path, str, dict[str, str]]) -> str:
        file, url, more = item
        data = file.read_bytes()
        return sender.put(url, len(data), [data], more)

    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(one, asked))
    return time.monotonic() - began


def main() -> None:
    """Does what the command line says."""
    endpoint, bucket = os.environ["BENCH_ENDPOINT"], os.environ["BENCH_BUCKET"]
    ways: dict[str, Callable[..., float]] = {
        "multipart": multipart, "loop": loop, "verified": partial(loop, verify=True),
    }  # fmt: skip
    s3 = client(endpoint)
    seconds = ways[sys.argv[1]](s3, Sender(endpoint), bucket, Path(sys.argv[2]))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
