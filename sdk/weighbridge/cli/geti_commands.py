"""The commands about Geti servers. Only data."""

from weighbridge.cli.command import Command

_WHERE = (
    "The server and the token for it are named by $GETI_HOST and $GETI_TOKEN; with several workspaces "
    "$GETI_WORKSPACE_ID chooses one."
)

COMMANDS: tuple[Command, ...] = (
    Command(
        "geti ls",
        "read",
        "List the projects of a Geti server and how many optimised models each has.",
        "geti:ls",
        ("weighbridge geti ls", "weighbridge geti ls --json"),
        notes=_WHERE,
    ),
    Command(
        "geti show",
        "read",
        "Show the optimised OpenVINO models of a Geti project.",
        "geti:show",
        (
            "weighbridge geti show 60d31793d5f1fb7e6e3c1a4c",
            "weighbridge geti show 60d31793d5f1fb7e6e3c1a4c --json",
        ),
        notes=_WHERE,
    ),
    Command(
        "geti import",
        "change",
        "Import the optimised OpenVINO models of a Geti server as versions.",
        "geti:import_models",
        (
            "weighbridge geti import 60d31793d5f1fb7e6e3c1a4c --to line-4 --dry-run",
            "weighbridge geti import 60d31793d5f1fb7e6e3c1a4c --to line-4",
            "weighbridge geti import --to line-4 --compare",
        ),
        notes="Without a project, all are imported. Ids and dates are kept, every package is looked "
        "through. Run again, it imports what is new; --compare fetches the others again and fails where "
        "Geti has other content by now. The exit code is 1 if a model could not be imported. "
        + _WHERE,
    ),
)
