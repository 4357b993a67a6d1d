"""Archives of 2.x models: out as a zip that the archive worker assembles, in as a zip in a form.

The tree is `<model_id>/<model_version>/<role>/<party_id>/<task_name>/<output_key>`, each leaf a tar.
"""

import io
import stat
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.archives import packing
from chalicelib.fate.v2 import outputs, tars
from chalicelib.fate.v2.outputs import Pair, Place
from chalicelib.registry import jobs, models, versions
from chalicelib.registry.jobs import Job
from chalicelib.registry.stores import Stores
from weighbridge.contract import digests, federated
from weighbridge.contract.errors import IntegrityError, NotFound, TooLarge
from weighbridge.contract.references import VersionSelector

KIND = "fate-v2-export"
MAX_OUTPUTS = 500
MAX_UNPACKED = 128 * 1024**2
"""Bytes of an archive's content: a request of 10 MB can claim much more."""
_DEPTH = 6

jobs.register(KIND, "chalicelib.fate.v2.archives:work")


def filename(model_id: str, model_version: str, role: str, party_id: str) -> str:
    """The name of an exported file, as the reference builds it."""
    return f"{model_id}_{model_version}_{role}_{party_id}.zip"


def export(stores: Stores, by: str, project: str, found: Pair, wait: float = jobs.WAIT) -> Job:
    """Has the outputs of a party assembled; the job, which has ended or goes on behind the answer."""
    named = args(project, found)
    # What is in it names the archive: the same again is the same job, until something changes.
    content = [[m.path, m.blob] for m in members(stores, named)]
    key = digests.sha256_of(repr((KIND, content)).encode())
    project_id = found[1].model.project_id
    return jobs.run(stores, project_id, KIND, by, named, key=key, wait=wait)


def args(project: str, found: Pair) -> dict[str, str]:
    """What tells a job which party's model is meant."""
    party, version = found
    return {"project": project, "party": party.name, "version": version.version.label}


def pair_of(stores: Stores, named: Mapping[str, Any]) -> Pair:
    """The reverse, in the worker; `NotFound` if it is gone."""
    party = federated.parse(str(named["party"]))
    if party is None:
        raise NotFound(f"{named['party']!r} is no party's model")
    record = models.find(stores, str(named["project"]), party.name)
    selector = VersionSelector("label", str(named["version"]))
    return party, versions.of_model(stores, record, selector)


def members(stores: Stores, named: Mapping[str, Any]) -> list[packing.Member]:
    """The tars of a party's outputs, as an archive has them."""
    found = outputs.current(stores, pair_of(stores, named))
    if len(found) > MAX_OUTPUTS:
        raise TooLarge(f"{len(found)} outputs; {MAX_OUTPUTS} at most", limit=MAX_OUTPUTS)
    pairs = [(output, outputs.file_of(stores, output)) for output in found]
    listed = [packing.of_file(entry, output.place.path) for output, entry in pairs if entry]
    if not listed:
        raise NotFound("none of these checkpoints is an output with a tar")
    return listed


def work(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Does the job: writes the zip into the bucket."""
    made = packing.assemble(stores, job.project_id, members(stores, job.args))
    return {"key": made.key, "size": made.size, "sha256": made.sha256, "until": made.until}


def link(stores: Stores, job: Job, name: str) -> dict[str, str | int]:
    """What an export answers: a link that is good for a while, and what it leads to."""
    found = job.result
    archive = packing.Archive(
        str(found["key"]), int(found["size"]), str(found["sha256"]), int(found["until"])
    )
    signed = packing.link(stores, archive, name)
    return {
        "url": signed.url, "file": name, "sha256": archive.sha256, "size": archive.size,
    }  # fmt: skip


def unpack(data: bytes, model_id: str, model_version: str) -> dict[Place, bytes]:
    """The tars of an archive, each for its place under these ids. Nothing is taken unless all is right."""
    found: dict[Place, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            _check(listed)
            for info in listed:
                if info.is_dir():
                    continue
                where = place_of(info.filename, model_id, model_version)
                if where in found:
                    raise IntegrityError(f"the archive has {where.path!r} twice")
                with archive.open(info) as file:
                    tar = file.read(info.file_size + 1)
                if len(tar) != info.file_size:
                    raise IntegrityError(f"{info.filename[:200]!r} has another size than it claims")
                tars.read(tars.of_bytes(tar), len(tar), repr(info.filename[:200]))
                found[where] = tar
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise IntegrityError(f"the file is no zip that can be read: {error}"[:300]) from None
    if not found:
        raise IntegrityError("the archive is empty")
    return found


def _check(listed: Sequence[zipfile.ZipInfo]) -> None:
    if len(listed) > 20 * MAX_OUTPUTS:
        raise IntegrityError(f"the archive has {len(listed)} members; {20 * MAX_OUTPUTS} at most")
    if sum(not info.is_dir() for info in listed) > MAX_OUTPUTS:
        raise IntegrityError(f"the archive has more than {MAX_OUTPUTS} files")
    if (total := sum(info.file_size for info in listed)) > MAX_UNPACKED:
        raise TooLarge(
            f"the archive holds {total} bytes; {MAX_UNPACKED} at most in a form: push larger outputs "
            "as checkpoints",
            limit=MAX_UNPACKED,
        )
    for info in listed:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise IntegrityError(f"{info.filename[:200]!r} is a link or a device")
        if info.flag_bits & 0x1:
            raise IntegrityError(f"{info.filename[:200]!r} is encrypted")


def place_of(path: str, model_id: str, model_version: str) -> Place:
    """Where a member goes; the first two levels of its path are replaced."""
    parts = path.split("/")
    if len(parts) != _DEPTH or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise IntegrityError(
            f"{path[:200]!r} is not of the form model_id/model_version/role/party_id/task/output"
        )
    return outputs.place(model_id, model_version, *parts[2:])
