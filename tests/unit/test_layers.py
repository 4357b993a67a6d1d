"""Imports point one way, files stay small, and nothing heavy is imported where it must not be."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("sdk/weighbridge", "chalicelib", "infra", "tests", "benchmarks")
MODULES = sorted(
    p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py") if "node_modules" not in p.parts
)

# folder → what it may import of ours
ALLOWED = {
    "sdk/weighbridge/contract": {"weighbridge.contract"},
    # These are in the Lambda zip as well: of the SDK they know its HTTP, and nothing of the registry.
    "sdk/weighbridge/geti": {
        "weighbridge.contract", "weighbridge.geti", "weighbridge.http", "weighbridge.transfer.plan",
    },
    "sdk/weighbridge": {"weighbridge"},
    "chalicelib/registry": {"weighbridge.contract", "chalicelib.registry"},
    "chalicelib/indexing": {"weighbridge.contract", "chalicelib.registry", "chalicelib.indexing"},
    "chalicelib/storage": {
        "weighbridge.contract", "chalicelib.registry.ports", "chalicelib.registry",
        "chalicelib.storage", "chalicelib.settings",
    },
    "chalicelib/archives": {
        "weighbridge.contract", "chalicelib.registry", "chalicelib.archives",
        "chalicelib.indexing.formats",
    },
    "chalicelib/engines": {
        "weighbridge.contract", "chalicelib.registry", "chalicelib.archives", "chalicelib.engines",
        "chalicelib.storage", "chalicelib.settings",
    },
    "chalicelib/catalogue": {"weighbridge.contract", "chalicelib.registry", "chalicelib.catalogue"},
    "chalicelib/api": {
        "weighbridge.contract", "chalicelib.registry", "chalicelib.api", "chalicelib.catalogue",
        "chalicelib.wiring", "chalicelib.settings", "chalicelib.version", "chalicelib.archives",
        "chalicelib.engines",
    },
    "chalicelib/fate": {
        "weighbridge.contract", "chalicelib.registry", "chalicelib.fate", "chalicelib.archives",
        "chalicelib.engines", "chalicelib.api.doors", "chalicelib.api.auth", "chalicelib.api.forms",
        "chalicelib.api.facades",
        "chalicelib.api.http", "chalicelib.wiring", "chalicelib.settings",
    },
    "chalicelib/kubeflow": {
        "weighbridge.contract", "chalicelib.registry", "chalicelib.api.doors", "chalicelib.api.facades",
        "chalicelib.kubeflow", "chalicelib.wiring", "chalicelib.settings",
    },
    "chalicelib/edge": {
        "weighbridge.contract", "weighbridge.geti", "chalicelib.registry", "chalicelib.api",
        "chalicelib.edge", "chalicelib.wiring", "chalicelib.settings", "chalicelib.version",
    },
}  # fmt: skip

HEAVY = {
    "boto3", "botocore", "pynamodb", "jinja2", "markdown_it", "cheroot", "yaml", "pymysql", "redis",
}  # fmt: skip
HOLDS_HEAVY = (
    "chalicelib/storage/", "chalicelib/catalogue/render.py", "chalicelib/catalogue/cards.py",
    "chalicelib/engines/mysql.py", "chalicelib/engines/objects.py",
    "chalicelib/engines/redis_store.py", "infra/", "tests/", "benchmarks/",
)  # fmt: skip


def imports(path, top_only=False):
    """Names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def place(path):
    """The path of a module below the root."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_imports_point_one_way(path):
    """A module imports only from the layers below its own."""
    where = place(path)
    folder = next((f for f in ALLOWED if where.startswith(f + "/")), None)
    if folder is None:
        return
    for name in imports(path):
        if name.partition(".")[0] not in ("weighbridge", "chalicelib", "infra", "app", "tests"):
            continue
        fine = any(name == a or name.startswith(a + ".") or a.startswith(name + ".")
                   for a in ALLOWED[folder])  # fmt: skip
        assert fine, f"{where} imports {name}"
    if where.startswith("chalicelib/storage/"):
        inner = {n for n in imports(path) if n.startswith("chalicelib.registry.")}
        shared = ("chalicelib.registry.ports", "chalicelib.registry.turns")
        assert all(n.startswith(shared) for n in inner), inner


@pytest.mark.parametrize(
    "path", [p for p in MODULES if place(p).startswith("sdk/weighbridge/contract/")], ids=place
)
def test_the_contract_needs_only_the_standard_library(path):
    """Both sides speak the contract, so it depends on nothing."""
    for name in imports(path):
        top = name.partition(".")[0]
        assert top == "weighbridge" or top in sys.stdlib_module_names, name


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_heavy_libraries_are_imported_where_they_belong(path):
    """No module imports a heavy library at its top but the one place that holds it."""
    where = place(path)
    if where.startswith(HOLDS_HEAVY):
        return
    heavy = {name.partition(".")[0] for name in imports(path, top_only=True)} & HEAVY
    assert not heavy, f"{where} imports {heavy} at its top"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_files_stay_small_and_are_named_for_what_they_hold(path):
    """No file grows beyond 400 lines, and none is a drawer for everything."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= (
        600 if place(path).startswith("tests/") else 400
    )
    assert path.stem not in ("utils", "helpers", "common", "manager", "misc")
