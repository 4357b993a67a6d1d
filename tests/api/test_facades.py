"""The doors of foreign clients: every route has a view, and every view a route."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.api import facades


@pytest.mark.parametrize("door", facades.DOORS, ids=lambda door: door.module)
def test_each_route_has_its_view(door):
    """What a door's module can do and what is routed to it are the same."""
    views = importlib.import_module(door.module).VIEWS
    assert all(views[route] for route in door.routes)
    assert set(views) <= set(door.routes)
    assert len(set(door.routes)) == len(door.routes)


def test_who_works_on_jobs_knows_every_kind():
    """Each module that registers one is named."""
    root = Path(facades.__file__).parents[2]
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in (root / "chalicelib").rglob("*.py")
        if re.search(r"^jobs\.register\(", path.read_text(), re.MULTILINE)
    }
    assert found == set(facades.JOBS)


def test_no_door_is_opened_before_somebody_knocks():
    """A cold start imports none of them."""
    program = (
        "import sys, app\n"
        "print(*sorted(m for m in sys.modules if m.startswith(('chalicelib.', 'weighbridge.'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = done.stdout.split()
    assert "chalicelib.api.models" in modules
    for door in facades.DOORS:
        package = ".".join(door.module.split(".")[:2])
        assert not [m for m in modules if m.startswith(package)], package
