"""What a command is: data, so that `weighbridge --help` loads nothing else."""

from dataclasses import dataclass
from typing import Literal

Group = Literal["read", "change", "connect"]

GROUPS: dict[Group, str] = {
    "read": "read",
    "change": "change (each takes --dry-run)",
    "connect": "connect",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `home` is `module:function`; `<function>_arguments` beside it declares its
    arguments. `resumes` means that running it again continues what was interrupted."""

    name: str
    group: Group
    summary: str
    home: str
    examples: tuple[str, ...]
    notes: str = ""
    resumes: bool = False
