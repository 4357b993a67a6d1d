"""The commands of those who run a registry: examine it. Only data."""

from weighbridge.cli.command import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "doctor",
        "connect",
        "Examine a running registry from outside and say what is wrong with it.",
        "doctoring:doctor",
        (
            "weighbridge doctor",
            "weighbridge doctor https://models.example.org --wait 120",
            "weighbridge doctor --read-only --json",
        ),
        notes="Clocks, token, sign-in, cookie, pages, signed uploads and downloads, events: each check is a "
        "line. A scratch model is pushed into the project weighbridge-doctor and removed again. The "
        "exit code is 1 if a check failed; see docs/how-to/doctor.md.",
    ),
    Command(
        "backup",
        "connect",
        "Back up a whole registry into a folder or a bucket.",
        "backing:backup",
        (
            "weighbridge backup /mnt/backups/registry",
            "weighbridge backup s3://my-backups/registry",
            "weighbridge backup /mnt/backups/registry --list",
            "weighbridge backup /mnt/backups/registry --verify",
        ),
        notes="What is there already is not copied again. Works at the registry's stores: those of the data "
        "folder (its server may run), or those that WEIGHBRIDGE_CATALOG and the other settings in the "
        "environment name. See docs/how-to/backup.md.",
    ),
    Command(
        "restore",
        "connect",
        "Restore a backup into an empty registry, and render its pages anew.",
        "backing:restore",
        (
            "weighbridge restore /mnt/backups/registry --dry-run",
            "weighbridge restore /mnt/backups/registry --data restored",
        ),
        notes="The newest complete backup unless --backup names another. Every object is verified; an "
        "interrupted restore goes on when it is run again. The exit code is 6 if the backup is damaged.",
    ),
    Command(
        "cost",
        "read",
        "Estimate what the registry costs on AWS in a month, from its own numbers.",
        "costing:cost",
        (
            "weighbridge cost",
            "weighbridge cost vision --pulls 500 --out-gb 200",
            "weighbridge cost --free-tier --json",
        ),
        notes="Works on any registry, also on one that runs on this machine. Prices are those listed for one "
        "region on one day, which the output names.",
    ),
)
