"""Where a version comes from: the commit, the command, the machine. Secrets are left out."""

import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

from weighbridge.contract.types import Provenance

_TOKEN = re.compile(r"wb_[A-Za-z0-9]+_\S+")
_SECRET = re.compile(
    r"(?i)^-{0,2}[\w.-]*(token|secret|password|passwd|api[_-]?key|credential)[\w.-]*"
)
_URL_LOGIN = re.compile(r"(://)[^/@\s]+@")
_LONGEST = 4000


def collect(folder: Path | None = None) -> Provenance:
    """What can be told without asking: never fails, never takes longer than a few seconds."""
    commit = _git("rev-parse", "HEAD", folder=folder)
    dirty = bool(commit) and bool(
        _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    )
    machine = platform.uname()
    return Provenance(
        git_commit=commit,
        git_dirty=dirty,
        command=command(sys.argv),
        hardware=f"{machine.system} {machine.machine}, {os.cpu_count() or 1} CPUs".strip(),
        python=platform.python_version(),
    )


def command(argv: list[str]) -> str:
    """The command line for people, with what looks like a secret replaced by `***`."""
    shown: list[str] = []
    hide = False
    for argument in argv:
        name, equals, _ = argument.partition("=")
        if hide and not argument.startswith("-"):
            shown.append("***")
        elif equals and _SECRET.match(name):
            shown.append(f"{name}=***")
        else:
            shown.append(_URL_LOGIN.sub(r"\1***@", _TOKEN.sub("wb_***", argument)))
        hide = not equals and argument.startswith("-") and bool(_SECRET.match(argument))
    text = shlex.join(shown).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _git(*arguments: str, folder: Path | None) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            timeout=5,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()
