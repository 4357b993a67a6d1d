"""A training worker: writes checkpoints piece by piece, as its standard input tells it.

    python -m tests.fate.writer FOLDER      with lines `half N`, `mark N`, `evict N`, `model`

`half` writes the first buffer and half of the second, `mark` the rest and then the marker. It answers
each line with `ok`.
"""

import shutil
import sys
from pathlib import Path

from tests.fate import trees

COMPONENT = "hetero_lr_0"


def half(root, index):
    """The folder with all but the end of the last buffer, and no marker."""
    folder = root / "checkpoint" / COMPONENT / f"{index}#epoch"
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    files = trees.files_of_step(index, "epoch", "w")
    files.pop("database.yaml")
    for name, data in files.items():
        whole = name != "HeteroLRParam.json"
        (folder / name).write_bytes(data if whole else data[: len(data) // 2])


def mark(root, index):
    """What was missing, and the marker last, put in place in one step as FATE does under its lock."""
    folder = root / "checkpoint" / COMPONENT / f"{index}#epoch"
    for name, data in trees.files_of_step(index, "epoch", "w").items():
        part = folder / f"{name}.part"
        part.write_bytes(data)
        part.replace(folder / name)


def main():
    """Obeys until the input ends."""
    root = Path(sys.argv[1])
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "half":
            half(root, int(number))
        elif word == "mark":
            mark(root, int(number))
        elif word == "evict":
            shutil.rmtree(root / "checkpoint" / COMPONENT / f"{number}#epoch")
        else:
            trees.model(root.parent.parent, root.parent.name, root.name)
        print("ok", flush=True)


if __name__ == "__main__":
    main()
