"""Makes the project folder from which `chalice package` builds the Lambda zip.

    python -m infra.bundle [FOLDER]          # build/project if none is named

The zip is kept small and quick to import: only what the functions use, with bytecode (Lambda's file
system is read-only, so without it every cold start compiles every import), the models of the four
AWS services they call without their documentation, and nothing compiled to machine code: one zip
runs on every processor. The same tree and the same installed versions give the same bytes.

The folder is apart from the working tree, because `vendor/` there would shadow nothing and confuse
everybody, and because `chalicelib` in a working tree holds bytecode of any age.
"""

import argparse
import compileall
import gzip
import json
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackagePath, distribution
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "build" / "project"
SERVICES = ("dynamodb", "s3", "sqs", "sts")
LAMBDA_ROOT = "/var/task"

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "boto3": ("boto3",),
    "botocore": ("botocore",),
    "jinja2": ("jinja2",),
    "jmespath": ("jmespath",),
    "markupsafe": ("markupsafe",),
    "pynamodb": ("pynamodb",),
    "python-dateutil": ("dateutil",),
    "pyyaml": ("yaml",),
    "s3transfer": ("s3transfer",),
    "six": ("six.py",),
    "typing_extensions": ("typing_extensions.py",),
    "urllib3": ("urllib3",),
}
"""Distribution → its top-level packages and modules."""

LEFT_OUT = (
    "boto3/data/*",  # resources: only clients are used
    "boto3/examples/*",
    "botocore/data/*",  # what is needed of it is written by `_service_models`
    "botocore/docs/bcdoc/*",
    "dateutil/zoneinfo/*.tar.gz",  # Python has its own
    "urllib3/contrib/emscripten/*",
    "yaml/cyaml.py",  # the wrapper of libyaml, which is left out
)
_KINDS = (".py", ".json", ".pem")


def build(target: Path = PROJECT) -> Path:
    """Makes `target` anew: app.py, chalicelib/, vendor/, .chalice/ and an empty requirements.txt."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(ROOT / "app.py", target)
    shutil.copy(ROOT / "requirements.txt", target)
    _tree(ROOT / "chalicelib", target / "chalicelib", lambda path: path.suffix == ".py")
    (target / ".chalice").mkdir()
    for settings in sorted((ROOT / ".chalice").glob("*.json")):
        shutil.copy(settings, target / ".chalice")
    vendor = target / "vendor"
    for name, roots in DISTRIBUTIONS.items():
        _distribution(name, roots, vendor)
    _service_models(vendor / "botocore" / "data")
    _tree(ROOT / "frontend", vendor / "frontend", lambda path: True)
    # `weighbridge` itself loads the client's names at first use: the server asks for none of them.
    contract = ROOT / "sdk" / "weighbridge" / "contract"
    _tree(contract, vendor / "weighbridge" / "contract", lambda path: path.suffix == ".py")
    (vendor / "weighbridge" / "__init__.py").write_text(
        '"""The contract of Weighbridge, without its client."""\n', encoding="utf-8"
    )
    _compile(vendor, LAMBDA_ROOT)
    _compile(target / "chalicelib", f"{LAMBDA_ROOT}/chalicelib")
    return target


def _tree(source: Path, target: Path, wanted: Callable[[Path], bool]) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and wanted(path) and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _distribution(name: str, roots: tuple[str, ...], vendor: Path) -> None:
    found = False
    for file in _files(name, roots):
        copy = vendor / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.locate(), copy)
        found = True
    if not found:
        raise FileNotFoundError(f"the distribution {name} holds none of {', '.join(roots)}")


def _files(name: str, roots: tuple[str, ...]) -> Iterator[PackagePath]:
    for file in distribution(name).files or []:
        path = PurePosixPath(file)
        left_out = any(_under(path, pattern) for pattern in LEFT_OUT)
        if path.parts[0] in roots and path.suffix in _KINDS and not left_out:
            yield file


def _under(path: PurePosixPath, pattern: str) -> bool:
    """Whether the pattern names the file or a folder above it."""
    return any(part.match(pattern) for part in (path, *path.parents))


def _service_models(target: Path) -> None:
    """The newest model of each service, without documentation, and what all services need."""
    source = Path(str(distribution("botocore").locate_file("botocore/data")))
    target.mkdir(parents=True)
    for name in ("partitions.json", "sdk-default-configuration.json", "_retry.json"):
        shutil.copyfile(source / name, target / name)
    endpoints = _read(source / "endpoints.json")
    for partition in endpoints["partitions"]:
        known = partition["services"]
        partition["services"] = {name: known[name] for name in SERVICES if name in known}
    _write(target / "endpoints.json", endpoints)
    for service in SERVICES:
        newest = max(path for path in (source / service).iterdir() if path.is_dir())
        folder = target / service / newest.name
        folder.mkdir(parents=True)
        for path in sorted(newest.iterdir()):
            if not path.name.startswith(("examples-", "waiters-")):
                # Not packed: the zip is, and unpacking costs every cold start.
                _write(folder / path.name.removesuffix(".gz"), _undocumented(_read(path)))


def _read(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def _write(path: Path, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    path.write_text(text, encoding="utf-8")


def _undocumented(value: Any) -> Any:
    # A text under this name is prose; a shape's member of this name would be an object.
    if isinstance(value, dict):
        return {
            name: _undocumented(inner)
            for name, inner in value.items()
            if name != "documentation" or not isinstance(inner, str)
        }
    if isinstance(value, list):
        return [_undocumented(inner) for inner in value]
    return value


def _compile(folder: Path, shown: str) -> None:
    """Bytecode that is used without a look at its source, whose date the zip does not keep."""
    done = compileall.compile_dir(
        folder,
        quiet=1,
        stripdir=str(folder),
        prependdir=shown,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise RuntimeError(f"not everything below {folder} could be compiled")


def main() -> None:
    """Builds, and says how large it became."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=PROJECT)
    target = build(parser.parse_args().folder)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    print(f"{target}: {size / 1e6:.1f} MB unpacked, for Python {version}")


if __name__ == "__main__":
    main()
