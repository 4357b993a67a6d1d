"""The Lambda zip: what is in it, that it is the same every time, and what a cold start imports."""

import hashlib
import marshal
import subprocess
import sys
import zipfile

import pytest

from benchmarks import cold_start
from infra import bundle, deploy

NEVER_FOR_THE_API = (
    "boto3",
    "chalicelib.catalogue.render",
    "chalicelib.indexing",
    "cheroot",
    "jinja2",
    "multipart",
    "pymysql",
    "redis",
    "sqlite3",
    "yaml",
)


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """The zip, packaged as for a deployment."""
    return deploy.package("dev", tmp_path_factory.mktemp("package")) / "deployment.zip"


@pytest.fixture(scope="module")
def names(code):
    """The names of the files in the zip."""
    with zipfile.ZipFile(code) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def unpacked(code, tmp_path_factory):
    """The zip as Lambda unpacks it."""
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(code) as archive:
        archive.extractall(folder)
    return folder


def run(folder, program):
    """What a program prints in an interpreter that sees only the unpacked zip."""
    command = [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", program, str(folder)]
    done = subprocess.run(command, env=cold_start.ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_zip_is_small(code):
    """A cold start fetches it: 5 MB at most."""
    assert 1_000_000 < code.stat().st_size <= cold_start.MAX_ZIP


def test_the_zip_holds_what_the_server_needs_and_nothing_of_the_client(names):
    """The contract, the frontend and the server are there; client, tests and infra are not."""
    for needed in (
        "app.py",
        "chalice/app.py",
        "chalicelib/wiring.py",
        "frontend/static/style.css",
        "frontend/templates/base.html",
        "weighbridge/contract/errors.py",
        "yaml/__init__.pyc",
    ):
        assert needed in names
    assert len(names) == len(set(names))
    for name in names:
        if name.startswith("weighbridge/"):
            stem = name.removeprefix("weighbridge/").replace("__pycache__/", "").partition(".")[0]
            assert name.startswith(("weighbridge/__", "weighbridge/contract/")) or (
                f"{stem}.py" in bundle.CLIENT
            ), name
        assert not name.startswith(("awscrt", "infra/", "sdk/", "tests/", "cheroot")), name
        assert not name.endswith((".so", ".pyi")), name
        assert ".dist-info" not in name


def test_botocore_knows_only_the_services_that_are_used(names):
    """All others are a hundred times as large."""
    found = {n.split("/")[2] for n in names if n.startswith("botocore/data/") and n.count("/") > 3}
    assert found == set(bundle.SERVICES)


def test_every_module_has_bytecode_that_is_used_as_it_is(unpacked):
    """Lambda cannot write bytecode, and the zip keeps no dates: each source has its own, marked to
    be used unchecked, and made from exactly this source. Libraries have no sources."""
    sources = list(unpacked.rglob("*.py"))
    assert {path.relative_to(unpacked).parts[0] for path in sources} <= {
        "app.py", "chalice", "chalicelib", "weighbridge",
    }  # fmt: skip
    libraries = [p for p in unpacked.rglob("*.pyc") if p.parent.name != "__pycache__"]
    assert len(libraries) > 200
    assert all(int.from_bytes(p.read_bytes()[4:8], "little") == 0b01 for p in libraries)
    for source in sources:
        tag = sys.implementation.cache_tag
        data = (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").read_bytes()
        assert int.from_bytes(data[4:8], "little") == 0b01, source
        if source.parent.name in ("chalice", "contract") or source.parent == unpacked:
            compiled = marshal.loads(data[16:])
            assert compiled.co_code == compile(source.read_bytes(), source, "exec").co_code
            assert compiled.co_filename.startswith("/var/task/")
    assert len(list(unpacked.rglob("*.pyc"))) == len(sources) + len(libraries)


def digests(folder):
    """Path and digest of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_two_builds_are_the_same_bytes(tmp_path):
    """The same tree and the same versions give the same files, wherever they are built."""
    first, second = bundle.build(tmp_path / "one"), bundle.build(tmp_path / "other" / "place")
    assert digests(first) == digests(second)


def test_stale_bytecode_of_the_working_tree_stays_there(tmp_path):
    """What lies in `__pycache__` of the repository is not packaged."""
    built = bundle.build(tmp_path / "project")
    sources = {path.stem for path in (built / "chalicelib").rglob("*.py")}
    for compiled in (built / "chalicelib").rglob("*.pyc"):
        assert compiled.name.partition(".")[0] in sources
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 0b01


def test_a_first_request_imports_neither_templates_nor_indexers(unpacked):
    """The API path stays light: what only other functions need is imported by them alone."""
    _, _, modules, _ = cold_start.run(unpacked)
    assert "chalicelib.storage.dynamo" in modules
    assert "chalicelib.storage.s3" in modules
    for name in NEVER_FOR_THE_API:
        assert not [m for m in modules if m == name or m.startswith(name + ".")], name


def test_every_function_finds_what_it_imports(unpacked):
    """The other functions' imports are in the zip too, and the templates are found."""
    assert run(unpacked, _imports({*NEVER, *ARCHIVE_ONLY})).strip() == "True"


def test_the_archive_function_finds_what_it_imports(code, tmp_path):
    """Its own zip holds the same, and the clients of databases."""
    with zipfile.ZipFile(bundle.archive_zip(code, tmp_path / "archive.zip")) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        archive.extractall(tmp_path / "task")
    assert run(tmp_path / "task", _imports(NEVER)).strip() == "True"


NEVER = frozenset({"chalicelib.storage.memory"})
ARCHIVE_ONLY = frozenset({"chalicelib.engines.mysql", "chalicelib.engines.redis_store"})


def _imports(left_out):
    """A program that imports all modules but these."""
    return (
        f"left_out = {sorted(left_out)}\n"
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import app, pathlib, pkgutil, importlib, chalicelib\n"
        "for found in pkgutil.walk_packages(chalicelib.__path__, 'chalicelib.'):\n"
        "    if found.name not in left_out: importlib.import_module(found.name)\n"
        "import yaml\n"
        "from chalicelib.catalogue import render\n"
        "print(render.frontend() == pathlib.Path(sys.argv[1]).resolve() / 'frontend')\n"
        "import botocore.session\n"
        "for service in ('dynamodb', 's3', 'sqs', 'sts'):\n"
        "    client = botocore.session.Session().create_client(service, region_name='eu-west-1')\n"
        "    name = {'dynamodb': 'list_tables', 's3': 'list_buckets', 'sqs': 'list_queues',\n"
        "            'sts': 'get_caller_identity'}[service]\n"
        "    assert client.generate_presigned_url(name).startswith('https:'), service\n"
    )
