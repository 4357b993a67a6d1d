"""docs/compat/forml.md names every method of the provider, and tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/compat/forml.md").read_text()


def defined(path, *, inside=""):
    """The functions of a module, or the methods of a class in it."""
    tree = ast.parse(path.read_text())
    nodes = tree.body
    if inside:
        [nodes] = [n.body for n in nodes if isinstance(n, ast.ClassDef) and n.name == inside]
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef)]


def test_every_method_is_on_the_page():
    """The table of methods and the class say the same."""
    table = PAGE.partition("## Commands")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    methods = defined(ROOT / "sdk/weighbridge/forml.py", inside="Registry")
    assert sorted(listed) == sorted(name for name in methods if not name.startswith("_"))


def test_every_test_on_the_page_is_there():
    """What is said to be seen has a test of that name."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    there = {n for path in (ROOT / "tests/forml").glob("test_*.py") for n in defined(path)}
    assert named
    assert named <= there, named - there
