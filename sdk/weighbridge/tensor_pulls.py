"""Pulling tensors instead of files: one into memory, or some into a safetensors file of their own."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weighbridge import reading
from weighbridge.client import Client
from weighbridge.contract.errors import InvalidRequest, TransferError
from weighbridge.contract.references import Reference
from weighbridge.contract.types import Tensor
from weighbridge.results import TensorData, TensorsResult
from weighbridge.transfer import clone, target, tensors
from weighbridge.transfer.tensors import Source, TensorReader
from weighbridge.writing import Clock


def one(client: Client, wanted: Reference, name: str, file: str) -> TensorData:
    """See `Registry.tensor`."""
    _, reader, (source,) = _find(client, wanted, (name,), (file,) if file else ())
    (found,) = source.tensors
    data = bytearray(found.bytes)

    def put(at: int, block: memoryview) -> None:
        data[at : at + len(block)] = block

    verified = reader.read(source, put)
    return TensorData(name, found.dtype, found.shape, bytes(data), source.file.path, verified)


def some(
    client: Client,
    wanted: Reference,
    names: Sequence[str],
    to: Path | None,
    files: tuple[str, ...],
    *,
    force: bool,
    clock: Clock,
) -> TensorsResult:
    """See `Registry.pull_tensors`."""
    if not names:
        raise InvalidRequest("name at least one tensor")
    chosen, reader, sources = _find(client, wanted, tuple(dict.fromkeys(names)), files)
    number, checkpoint = reading.numbers(chosen)
    step = f"-{checkpoint}" if checkpoint else ""
    path = to or Path(f"{chosen.model}-{number}{step}-tensors{tensors.SUFFIX}")
    if target.occupied(path) and not force:
        raise target.refuse(path)
    head = tensors.header(sources)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{secrets.token_hex(12)}.part")
        try:
            verified, size = _write(reader, sources, head, draft)
            target.install(draft, path, force=force)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise TransferError(f"a file cannot be written: {error}") from error
    return TensorsResult(
        reference=str(chosen),
        path=path,
        tensors=_placed(sources),
        size=size,
        received_bytes=reader.received,
        verified=verified,
        seconds=clock.seconds(),
        requests=clock.requests(),
    )


def _find(
    client: Client, wanted: Reference, names: Sequence[str], files: tuple[str, ...]
) -> tuple[Reference, TensorReader, tuple[Source, ...]]:
    cache = reading.local_cache()
    chosen, manifest = reading.resolve(client, wanted)
    entries, _ = reading.files(client, chosen, manifest, cache)
    reader = TensorReader(reading.signer(client, chosen), client.pool, cache)
    return chosen, reader, reader.find(reading.Choice(files).of(entries, chosen), names)


def _write(
    reader: TensorReader, sources: Sequence[Source], head: bytes, draft: Path
) -> tuple[bool, int]:
    verified, start = True, len(head)
    with draft.open("xb", buffering=0) as stream:
        clone.write_all(stream, memoryview(head), 0)
        for source in sources:
            base = start

            def put(at: int, block: memoryview, base: int = base) -> None:
                clone.write_all(stream, block, base + at)

            verified &= reader.read(source, put)
            start += sum(tensor.bytes for tensor in source.tensors)
    return verified, start


def _placed(sources: Sequence[Source]) -> tuple[Tensor, ...]:
    found, position = [], 0
    for source in sources:
        for tensor in source.tensors:
            found.append(replace(tensor, offset=position))
            position += tensor.bytes
    return tuple(found)
