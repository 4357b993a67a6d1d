"""The public surface, pinned; and importing it stays cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

import weighbridge

SDK = Path(__file__).resolve().parents[2] / "sdk"


def test_public_names_are_these():
    """What users import does not change by accident."""
    assert sorted(weighbridge.__all__) == [
        "Client", "FileChanged", "IntegrityError", "Progress", "ProgressEvent", "PullResult", "PushResult",
        "Registry", "RegistryError", "Resumed", "TransferError", "VersionSession", "__version__",
    ]  # fmt: skip
    for name in weighbridge.__all__:
        assert getattr(weighbridge, name) is not None
    assert dir(weighbridge) == sorted(weighbridge.__all__)
    with pytest.raises(AttributeError):
        _ = weighbridge.Nonsense


def test_version_is_that_of_the_package():
    """One version number, in two places that agree."""
    text = (SDK.parent / "pyproject.toml").read_text()
    assert f'version = "{weighbridge.__version__}"' in text


def _modules(code):
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(SDK)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_import_is_light():
    """`import weighbridge` loads nothing but itself."""
    loaded = {m for m in _modules("import weighbridge") if m.startswith("weighbridge")}
    assert loaded == {"weighbridge"}


def test_only_the_standard_library_is_needed():
    """The whole SDK imports without anything installed."""
    modules = _modules("import weighbridge.registry, weighbridge.sessions")
    tops = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert {top for top in tops if not top.startswith("_")} == {"weighbridge"}
