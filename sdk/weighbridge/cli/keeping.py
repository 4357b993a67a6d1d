"""The commands of those who keep a registry in order: safety, the inbox, indexing. Only data."""

from weighbridge.cli.command import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "verdict",
        "read",
        "Show whether loading a version can execute code, and which files are to blame.",
        "safety:verdict",
        (
            "weighbridge verdict vision/digits@production",
            "weighbridge verdict vision/digits@1:last --json",
        ),
        notes="The exit code is 10 if it is held back: still being checked, or blocked.",
    ),
    Command(
        "inbox ls",
        "read",
        "List the folders of a project's inbox that are no checkpoints, and why.",
        "letterbox:inbox_ls",
        ("weighbridge inbox ls vision", "weighbridge inbox ls vision --json"),
        notes="Those that were refused, and those that are incomplete and quiet for an hour.",
    ),
    Command(
        "edge import",
        "change",
        "Copy the records and packages of a running edge model registry into a project.",
        "edging:edge_import",
        (
            "weighbridge edge import http://127.0.0.1:32002 --to line-4 --dry-run",
            "weighbridge edge import http://127.0.0.1:32002 --to line-4",
        ),
        notes="Ids and dates are kept, every package is verified. Run again, it copies what is new and "
        "changes what was changed there. The exit code is 1 if a record could not be copied.",
    ),
    Command(
        "reindex",
        "change",
        "Have stored files looked at again, after the server's indexer was improved.",
        "reindexing:reindex",
        (
            "weighbridge reindex vision --dry-run",
            "weighbridge reindex vision/digits@1 --all --wait 60",
            "weighbridge reindex vision --status",
        ),
        notes="Needs a token with the verb admin. The server works through them a piece at a time; "
        "--status asks how far it is. One job per project runs at a time; a dry run is one, too.",
    ),
    Command(
        "forml import",
        "change",
        "Take over a registry that ForML's posix or mlflow provider kept.",
        "migrating:forml_import",
        (
            "weighbridge forml import old-registry --namespace forml --dry-run",
            "weighbridge forml import old-registry --namespace forml",
        ),
        notes="Repeatable: what is there is compared, not written again, and what differs is a "
        "problem (exit code 6), never overwritten. Packages are looked into, never imported.",
        resumes=True,
    ),
    Command(
        "release",
        "change",
        "Let a version or checkpoint through that its safety verdict holds back.",
        "safety:release",
        (
            "weighbridge release vision/digits@3 --comment 'written by us, read by two' --dry-run",
            "weighbridge release vision/digits@3 --comment 'written by us, read by two'",
        ),
        notes="Needs a token with the verb admin. Who did it, when and why stays on record.",
    ),
)
