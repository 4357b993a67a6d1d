"""Makes `build/project`: the Chalice project that is packaged, never the working tree itself.

Beside `app.py` and `chalicelib` it holds `vendor/`, whose contents end at the top of the Lambda zip:
the contract, a few modules of the SDK, the frontend and the libraries, cut to what the functions use.
Lambda's file system is read-only, so without bytecode every cold start would compile every import:
all of it is compiled here, and marked so that nobody compares it with sources whose dates the zip has lost.
The same tree gives the same bytes, on any machine with the same Python and the same lock file.
"""

import gzip
import importlib.metadata
import json
import py_compile
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "build" / "project"
LIBRARIES = ("botocore", "jinja2", "markdown-it-py", "multipart", "pynamodb", "pyyaml")
ARCHIVE_LIBRARIES = ("pymysql", "redis")
"""What only the archive function holds: clients of the databases that second stores may be in."""
CLIENT = (
    "answers.py", "bodies.py", "config.py", "connections.py", "files.py", "geti/__init__.py",
    "geti/packages.py", "geti/rest.py", "geti/source.py", "http.py", "proxies.py", "sending.py",
    "transfer/__init__.py", "transfer/plan.py", "transfer/progress.py", "transfer/skew.py", "turns.py",
)  # fmt: skip
"""What the server needs of the SDK beside the contract: its HTTP, and what asks a Geti server over it."""
SERVICES = frozenset({"dynamodb", "s3", "secretsmanager", "sqs", "sts"})
"""What botocore may speak; descriptions of other services are left out."""
LEFT_OUT = ("botocore/data/endpoints.json", "dateutil/zoneinfo/dateutil-zoneinfo", "_yaml/")
SUFFIXES = (".py", ".json", ".gz", ".pem")
_MODELS = ("service-2.json", "endpoint-rule-set-1.json", "paginators-1.json", "waiters-2.json")
_WHERE = "/var/task/"
"""Where Lambda unpacks the zip: tracebacks then name files that exist."""


def build(project: Path = PROJECT) -> Path:
    """Makes the project anew; answers its folder."""
    if project.exists():
        shutil.rmtree(project)
    vendor = project / "vendor"
    vendor.mkdir(parents=True)
    _copy(ROOT / "app.py", project / "app.py")
    (project / "requirements.txt").write_bytes((ROOT / "requirements.txt").read_bytes())
    for source in sorted((ROOT / ".chalice").glob("*.json")):
        _copy(source, project / ".chalice" / source.name)
    _copy_tree(ROOT / "chalicelib", project / "chalicelib", (".py",))
    _contract(vendor)
    _copy_tree(ROOT / "frontend", vendor / "frontend", None)
    for source, target in _library_files(distributions(LIBRARIES)):
        _copy(source, vendor / target)
    _descriptions(vendor)
    _compile(project)
    return project


def archive_zip(common: Path, target: Path) -> Path:
    """The zip of the archive function: all that the others have, and its own libraries."""
    shutil.copyfile(common, target)
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(target, "a") as archive:
        folder = Path(name)
        for source, place in _library_files(distributions(ARCHIVE_LIBRARIES)):
            _copy(source, folder / place)
        for path in sorted(folder.rglob("*.py")):
            _bytecode(path, path.relative_to(folder).as_posix(), path.parent)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            info.external_attr, info.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return target


def distributions(names: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """The installed distributions of these names and all that they require, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return [found[name] for name in sorted(found)]


def _library_files(
    found: Iterable[importlib.metadata.Distribution],
) -> Iterator[tuple[Path, str]]:
    for distribution in found:
        for file in distribution.files or ():
            if _wanted(file.as_posix()):
                yield Path(str(distribution.locate_file(file))), file.as_posix()


def _wanted(path: str) -> bool:
    """Pure Python and data: extensions are optional in all of these, and would bind the zip to the
    machine that made it."""
    parts = path.split("/")
    if parts[0].endswith((".dist-info", ".data")) or parts[0] in ("..", "bin", "__pycache__"):
        return False
    if not path.endswith(SUFFIXES) or path.startswith(LEFT_OUT) or "__pycache__" in parts:
        return False
    if parts[:2] == ["botocore", "data"] and len(parts) > 3:
        return parts[2] in SERVICES and parts[-1].removesuffix(".gz") in _MODELS
    return True


def _contract(vendor: Path) -> None:
    """What both sides speak, and of the client no more than `CLIENT`."""
    package = vendor / "weighbridge"
    for name in CLIENT:
        _copy(ROOT / "sdk" / "weighbridge" / name, package / name)
    _copy_tree(ROOT / "sdk" / "weighbridge" / "contract", package / "contract", (".py",))
    (package / "__init__.py").write_text(
        '"""The contract of the registry, as its server has it."""\n'
    )


def _descriptions(vendor: Path) -> None:
    """Botocore's data without its prose, and plain: less to unpack and parse at a cold start."""
    data = vendor / "botocore" / "data"
    for path in sorted(data.rglob("*.json.gz")):
        document = json.loads(gzip.decompress(path.read_bytes()))
        _write_json(path.with_suffix(""), _without_prose(document))
        path.unlink()
    listed = json.loads(_endpoints())
    for partition in listed["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in sorted(SERVICES & set(services))}
    _write_json(data / "endpoints.json", listed)


def _endpoints() -> bytes:
    import botocore

    data = Path(botocore.__file__).parent / "data"
    plain = data / "endpoints.json"
    if plain.exists():
        return plain.read_bytes()
    return gzip.decompress((data / "endpoints.json.gz").read_bytes())


def _without_prose(value: Any) -> Any:
    """The same with empty documentation: botocore asks for the key of some. A member that only
    bears this name is kept."""
    if isinstance(value, dict):
        return {
            name: ""
            if name == "documentation" and isinstance(inner, str)
            else _without_prose(inner)
            for name, inner in value.items()
        }
    return [_without_prose(inner) for inner in value] if isinstance(value, list) else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")


def _compile(project: Path) -> None:
    """Bytecode beside every source of ours, and for the two files that Chalice adds to the zip itself.
    Of libraries the bytecode alone: with their sources the zip would be a fifth larger."""
    import chalice.app

    vendor = project / "vendor"
    for path in sorted(project.rglob("*.py")):
        base = vendor if path.is_relative_to(vendor) else project
        name = path.relative_to(base).as_posix()
        if base == vendor and not name.startswith(("frontend/", "weighbridge/")):
            _compiled(path, path.with_suffix(".pyc"), name)
            path.unlink()
            continue
        # Chalice takes no folder beside `app.py` but `vendor`, which ends at the same place.
        folder = vendor if name == "app.py" else path.parent
        _bytecode(path, name, folder)
    router = Path(chalice.app.__file__)
    for path in (router.with_name("__init__.py"), router):
        _bytecode(path, f"chalice/{path.name}", vendor / "chalice")


def _bytecode(source: Path, name: str, folder: Path) -> None:
    cached = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    _compiled(source, folder / "__pycache__" / cached, name)


def _compiled(source: Path, target: Path, name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    py_compile.compile(
        str(source), str(target), _WHERE + name, doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_tree(source: Path, target: Path, suffixes: tuple[str, ...] | None) -> None:
    for path in sorted(source.rglob("*")):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        if suffixes is None or path.suffix in suffixes:
            _copy(path, target / path.relative_to(source))


def main() -> None:
    """Builds, and says what it came to."""
    project = build()
    size = sum(path.stat().st_size for path in project.rglob("*") if path.is_file())
    print(f"{project.relative_to(ROOT)}: {size / 1e6:.1f} MB unpacked")


if __name__ == "__main__":
    main()
