"""Pulling with part lists, and pulling single tensors."""

import json

import pytest

from tests.sdk.fake_server import MIB, TOKEN, Handler, serving
from weighbridge import Registry
from weighbridge.contract import cuts, digests, errors, safetensors, types
from weighbridge.contract.types import Part

SHAPES = {"head": (3,), "body": (6, MIB), "bias": (5,), "tail": (4, MIB)}


class WithLists(Handler):
    """Offers the part list of each blob of several parts."""

    damaged = False

    def _downloads(self, state, data):
        found = super()._downloads(state, data)
        return types.Downloads(tuple(self._listed(state, item) for item in found.items))

    def _listed(self, state, item):
        if not digests.parse_blob(item.blob).parts:
            return item
        key = next(key for (_, blob), key in state.blobs.items() if blob == item.blob)
        rows = sorted(
            (offset, digest, size)
            for digest, (where, offset, size) in ((d, at) for (_, d), at in state.known.items())
            if where == key
        )
        parts = [Part(n, digest, size) for n, (_, digest, size) in enumerate(rows, 1)]
        if self.server.damaged:
            parts[0] = Part(1, "0" * 64, parts[0].size)
        state.objects[f"lists/{key}"] = cuts.encode(parts)
        return types.Download(item.blob, item.size, item.request, self._sign("GET", f"lists/{key}"))


@pytest.fixture
def listing(home):
    """A running server with part lists."""
    with serving() as server:
        server.RequestHandlerClass = WithLists
        server.damaged = False
        yield server


@pytest.fixture
def offered(listing):
    """A registry on it."""
    with Registry(listing.url, TOKEN) as registry:
        yield registry


@pytest.fixture
def weights(tmp_path):
    """A safetensors file of 40 MiB with distinct bytes, and its tensors by name."""
    tensors, document, data = {}, {"__metadata__": {"made": "here"}}, b""
    for seed, (name, shape) in enumerate(SHAPES.items(), 1):
        count = 1
        for side in shape:
            count *= side
        block = b"".join((i * 2654435761 * seed % 2**32).to_bytes(4, "little") for i in range(4096))
        tensors[name] = bytearray((block * (count * 4 // len(block) + 1))[: count * 4])
        for at in range(0, count * 4 - 8, MIB):
            tensors[name][at : at + 8] = (at + seed).to_bytes(8, "big")
        span = [len(data), len(data) + count * 4]
        document[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": span}
        data += tensors[name]
    head = json.dumps(document).encode()
    path = tmp_path / "in" / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    return path, tensors


def _gets(state):
    return [path for method, path, _ in state.seen if method == "GET" and "/s3/blobs" in path]


@pytest.mark.usefixtures("verify")
def test_a_wrong_part_alone_is_fetched_again(offered, listing, weights, tmp_path):
    """A flipped bit costs one part, not the file."""
    path, _ = weights
    offered.push("p/m", path)
    listing.state.inject("get", "ok", "flip")
    pulled = offered.pull("p/m", tmp_path / "out")
    assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    largest = max(size for _, _, size in listing.state.known.values())
    assert path.stat().st_size < pulled.received_bytes <= path.stat().st_size + largest


@pytest.mark.usefixtures("verify")
def test_a_part_that_is_always_wrong_is_an_error(offered, listing, weights, tmp_path):
    """Bits that are wrong each time are `IntegrityError`; the file does not appear."""
    path, _ = weights
    offered.push("p/m", path)
    listing.state.inject("get", "ok", *["flip"] * 40)
    with pytest.raises(errors.IntegrityError):
        offered.pull("p/m", tmp_path / "out")
    assert not (tmp_path / "out" / path.name).exists()
    listing.state.faults["get"].clear()
    offered.pull("p/m", tmp_path / "out")
    assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("verify")
def test_a_false_part_list_is_not_believed(offered, listing, weights, tmp_path):
    """A list that does not yield the blob's id is as good as none."""
    path, _ = weights
    offered.push("p/m", path)
    listing.damaged = True
    offered.pull("p/m", tmp_path / "out")
    assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert not offered.tensor("p/m", "bias").verified


def test_one_tensor_is_read_without_the_file(registry, state, weights):
    """Without a part list only the header and the tensor travel, and nobody claims more."""
    path, tensors = weights
    registry.push("p/m", path)
    before = len(_gets(state))
    found = registry.tensor("p/m", "bias")
    assert (found.dtype, found.shape, found.file) == ("F32", (5,), path.name)
    assert bytes(found) == bytes(tensors["bias"])
    assert not found.verified
    sizes = [
        (lambda text: int(text[1]) - int(text[0]) + 1)(headers["Range"][6:].split("-"))
        for method, where, headers in state.seen
        if method == "GET" and "/s3/blobs" in where
    ][before:]
    assert sum(sizes) < 128 * 1024


@pytest.mark.parametrize("names", [["body"], ["tail", "bias"], ["head", "body", "bias", "tail"]])
def test_a_file_of_some_tensors_is_valid_and_verified(offered, weights, tmp_path, names):
    """What is written is a safetensors file of just those tensors, proved by the parts."""
    path, tensors = weights
    offered.push("p/m", path)
    done = offered.pull_tensors("p/m@1", names, tmp_path / "some.safetensors")
    assert done.verified
    data = (tmp_path / "some.safetensors").read_bytes()
    assert len(data) == done.size
    header = safetensors.read(lambda at, size: data[at : at + size], len(data))
    assert {t.name for t in header.tensors} == set(names)
    assert header.metadata == {"made": "here"}
    for tensor in header.tensors:
        start = header.data_start + tensor.offset
        assert data[start : start + tensor.bytes] == bytes(tensors[tensor.name])
        assert tensor.shape == SHAPES[tensor.name]
    with pytest.raises(errors.AlreadyExists):
        offered.pull_tensors("p/m@1", names, tmp_path / "some.safetensors")


def test_a_flipped_bit_of_a_tensor_is_caught(offered, listing, weights, tmp_path):
    """A part that arrives wrong is fetched again; one that is always wrong leaves no file."""
    path, tensors = weights
    offered.push("p/m", path)
    listing.state.inject("get", "ok", "ok", "flip")
    assert bytes(offered.tensor("p/m", "bias")) == bytes(tensors["bias"])
    listing.state.inject("get", "ok", "ok", *["flip"] * 40)
    with pytest.raises(errors.IntegrityError):
        offered.pull_tensors("p/m", "bias", tmp_path / "bias.safetensors")
    assert list(tmp_path.glob("*bias*")) == []
    assert list(tmp_path.glob(".*.part")) == []


def test_a_missing_tensor_is_named(offered, weights):
    """Tensors that are nowhere are in the error."""
    offered.push("p/m", weights[0])
    with pytest.raises(errors.NotFound, match="nowhere"):
        offered.tensor("p/m", "nowhere")


def test_a_small_file_is_verified_as_a_whole(registry, tmp_path):
    """A file of one PUT is its own part; an expired address is asked for again."""
    head = json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"abcd")
    registry.push("p/s", path)
    found = registry.tensor("p/s", "a", file="*.safetensors")
    assert (found.data, found.verified) == (b"abcd", True)


def test_an_expired_address_is_asked_for_again(offered, listing, weights):
    """A signed request that the store no longer takes does not end the reading."""
    path, tensors = weights
    offered.push("p/m", path)
    listing.state.inject("get", "expired", "ok", "ok", "expired")
    found = offered.tensor("p/m", "bias")
    assert bytes(found) == bytes(tensors["bias"])
