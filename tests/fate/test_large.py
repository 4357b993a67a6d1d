"""A large party model through the real server: in by an upload and a restore, out by an export's link."""

import hashlib
import random
import zipfile
from pathlib import Path

import pytest

from tests.e2e.served import Person, serving
from tests.fate import models
from tests.fate.client import FlowClient

pytestmark = pytest.mark.real
MIB = 1024 * 1024
GUEST = ("guest", 9999)
BUFFER = "variables/data/hetero_lr_0/model/HeteroLRParam"


@pytest.fixture
def served(tmp_path):
    """A server of its own: its memory is looked at."""
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server") as server:
        yield server


def memory(server, field):
    """Bytes that the processes which answer and work hold (`VmRSS`), or held at most (`VmHWM`); the
    object store is another's program."""
    total = 0
    for pid in server.tree():
        if "infra.embedded" in Path(f"/proc/{pid}/cmdline").read_text():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    return total


def write(path, training, mib):
    """An archive of a guest's model whose largest buffer has `mib` MiB; answers that one's SHA-256."""
    block, digest = random.Random(7).randbytes(MIB), hashlib.sha256()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in models.unpacked(training.archive(*GUEST)).items():
            if name != BUFFER:
                archive.writestr(name, data)
        with archive.open(BUFFER, "w", force_zip64=True) as large:
            for number in range(mib):
                data = number.to_bytes(8, "little") + block[8:]
                large.write(data)
                digest.update(data)
    return digest.hexdigest()


def through(server, home, mib, label):
    """Uploads, restores and exports a model of that size, and compares its largest buffer."""
    person = Person(home, server.url, server.token)
    training = models.federated()
    source = home / f"{label}.zip"
    digest = write(source, training, mib)
    client = FlowClient(home / f"flow-{label}")
    place = server.url.removeprefix("http://")
    host, _, port = place.partition(":")
    flow = client.init(f"me:{server.token}@{host}", port)
    reference = f"models/{training.name(*GUEST)}@={label}"
    outcome = person.run("fate", "upload", source, reference, seconds=300)
    assert outcome.code == 0, outcome
    source.unlink()
    fields = training.describe(*GUEST, model_version=label)
    told = ended(flow, "import", "-c", flow.conf(**fields), "--from-database")
    assert told["data"]["code"] == 0, told
    target = home / f"out-{label}"
    answer = ended(flow, "export", "-c", flow.conf(**fields, output_path=str(target)))
    found = hashlib.sha256()
    with zipfile.ZipFile(answer["file"]) as archive, archive.open(BUFFER) as large:
        while data := large.read(MIB):
            found.update(data)
    Path(answer["file"]).unlink()
    assert found.hexdigest() == digest


def ended(flow, *words):
    """The answer of a command, asked again while the server says that it is still being worked on."""
    for _ in range(40):
        answer = flow("model", *words)
        text = str(answer)
        if "in a moment" not in text and "still at it" not in text:
            assert answer["retcode"] == 0, answer
            return answer
    raise AssertionError("it is never done")


def grown(server, home, mib):
    """How much more memory a large model takes than a small one did."""
    through(server, home, 18, "1")
    before = memory(server, "VmHWM")
    through(server, home, mib, "2")
    more = memory(server, "VmHWM") - before
    print(f"{mib} MiB in and out: {more / MIB:.0f} MiB more memory")
    return more


def test_a_large_model_takes_no_memory(served, tmp_path):
    """192 MiB in and out with less than 50 MiB more in the server, its worker included."""
    assert grown(served, tmp_path, 192) < 50 * MIB


@pytest.mark.long
def test_a_model_of_two_gibibytes_takes_no_memory(served, tmp_path):
    """The same with 2 GiB."""
    assert grown(served, tmp_path, 2049) < 50 * MIB
