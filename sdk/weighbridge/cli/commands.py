"""Every command: its name, what it does, where its code is, and examples that a test runs.

Only data, so that `weighbridge --help` loads nothing else.
"""

from weighbridge.cli import (
    checkpoint_commands,
    fate_commands,
    geti_commands,
    keeping,
    operating,
    provider_commands,
)
from weighbridge.cli.command import GROUPS, Command, Group

__all__ = ["BY_NAME", "COMMANDS", "GROUPS", "Command", "Group", "families"]


COMMANDS: tuple[Command, ...] = (
    Command(
        "ls",
        "read",
        "List projects, the models of a project, the versions of a model, or files.",
        "listing:ls",
        (
            "weighbridge ls",
            "weighbridge ls vision --prefix dig",
            "weighbridge ls vision/digits --limit 10",
            "weighbridge ls vision/digits@production --json",
        ),
    ),
    Command(
        "show",
        "read",
        "Show everything about a project, model, version or checkpoint.",
        "showing:show",
        (
            "weighbridge show vision/digits",
            "weighbridge show vision/digits@production --tensors",
            "weighbridge show vision/digits@1:best --json",
        ),
    ),
    Command(
        "diff",
        "read",
        "Compare two to six versions or checkpoints, differences first.",
        "comparing:diff",
        (
            "weighbridge diff vision/digits@1 vision/digits@production",
            "weighbridge diff vision/digits@1 vision/digits@2 --only metrics --json",
            "weighbridge diff vision/digits@1:1 vision/digits@1:best=accuracy vision/digits@2",
        ),
        notes="The exit code is 0 if they are equal and 1 if they differ, as with diff(1).",
    ),
    Command(
        "history",
        "read",
        "List what happened to a project or model, or the moves of an alias.",
        "moving:history",
        (
            "weighbridge history vision/digits --limit 20",
            "weighbridge history vision/digits@production",
            "weighbridge history vision/digits@production --at 2026-11-21T12:00:00Z",
        ),
    ),
    Command(
        "pull",
        "read",
        "Download the files of a version or checkpoint and verify them.",
        "fetching:pull",
        (
            "weighbridge pull vision/digits@production --to model",
            "weighbridge pull vision/digits@2 --file '*.json' --file '*.txt'",
            "weighbridge pull vision/digits@2 --exclude '*.json' --to weights --link copy",
            "weighbridge pull vision/digits@2 --tensor fc.weight --to fc.safetensors",
        ),
        notes="An interrupted pull continues when the same command is run again. With --tensor only "
        "those tensors are fetched.",
        resumes=True,
    ),
    *checkpoint_commands.READ,
    Command(
        "cache ls",
        "read",
        "List the pulled files that are kept on this machine.",
        "caching:ls",
        ("weighbridge cache ls", "weighbridge cache ls --json"),
    ),
    Command(
        "cache verify",
        "read",
        "Read the kept files and remove those that were damaged.",
        "caching:verify",
        ("weighbridge cache verify",),
    ),
    Command(
        "token ls",
        "read",
        "List the tokens, without their secrets.",
        "tokens:ls",
        ("weighbridge token ls",),
    ),
    Command(
        "whoami",
        "read",
        "Show which server is used, who I am there and what I may do.",
        "access:whoami",
        ("weighbridge whoami", "weighbridge whoami --json"),
    ),
    Command(
        "push",
        "change",
        "Publish files as the next version of a model.",
        "publishing:push",
        (
            "weighbridge push vision/digits model.safetensors --metric accuracy=0.97",
            "weighbridge push vision/digits out/ --label 1.4.2 --param lr=0.01 --alias staging",
            "weighbridge push vision/digits model.safetensors --as weights/model.safetensors "
            "--parent vision/digits@1 --dry-run",
        ),
        notes="Files that the project holds already are not sent again. An interrupted push "
        "continues when the same command is run again; nothing is visible before all is there. "
        "The exit code is 10 if the project's safety policy holds the version back.",
        resumes=True,
    ),
    *checkpoint_commands.CHANGE,
    Command(
        "alias",
        "change",
        "Move, remove, look up or list the aliases of a model.",
        "moving:alias",
        (
            "weighbridge alias vision/digits",
            "weighbridge alias vision/digits production",
            "weighbridge alias vision/digits@2 production --expected 1",
            "weighbridge alias --rm vision/digits staging --dry-run",
        ),
        notes="PROJECT/MODEL alone lists; PROJECT/MODEL NAME looks one up; with a version, moves.",
    ),
    Command(
        "approve",
        "change",
        "Sign a version off, or reject it.",
        "changing:approve",
        (
            "weighbridge approve vision/digits@2 --comment 'evaluated on the October set'",
            "weighbridge approve vision/digits@2 --reject --comment 'too slow'",
        ),
    ),
    Command(
        "tag",
        "change",
        "Set or remove tags of a version, or of a model.",
        "changing:tag",
        (
            "weighbridge tag vision/digits@2 team=vision device=cpu --rm draft",
            "weighbridge tag vision/digits owner=ada",
        ),
    ),
    Command(
        "model create",
        "change",
        "Create a model in a project (push does so by itself).",
        "models:create",
        ("weighbridge model create vision/faces --main-metric accuracy --direction accuracy=max",),
    ),
    Command(
        "model set",
        "change",
        "Change how a model is described, judged and protected.",
        "models:change",
        (
            "weighbridge model set vision/digits --main-metric accuracy --direction accuracy=max",
            "weighbridge model set vision/digits --protect 'prod*' --card CARD.md",
            "weighbridge model set vision/digits --label-order pep440 --dry-run",
        ),
        notes="What is not named stays as it is.",
    ),
    Command(
        "project create",
        "change",
        "Create a project (push does so by itself).",
        "projects:create",
        ("weighbridge project create speech --description 'Speech recognition'",),
    ),
    Command(
        "project set",
        "change",
        "Change a project: its description, inbox, safety policy, quota.",
        "projects:change",
        (
            "weighbridge project set vision --inbox on",
            "weighbridge project set vision --safety block",
            "weighbridge project set vision --quota-bytes 500GiB --quota-versions 10000",
        ),
    ),
    Command(
        "project show",
        "read",
        "Show a project, how much it holds and how much it may.",
        "projects:show",
        ("weighbridge project show vision", "weighbridge project show vision --json"),
        notes="Bytes are those of stored files, each once; deleted ones count until they are freed.",
    ),
    Command(
        "project rm",
        "change",
        "Delete an empty project.",
        "projects:remove",
        ("weighbridge project rm empty --yes",),
    ),
    Command(
        "inbox grant",
        "change",
        "Issue credentials with which plain S3 clients may write to a project's inbox.",
        "projects:inbox_grant",
        ("weighbridge inbox grant vision --days 7", "weighbridge inbox grant vision --json"),
        notes='Sets the environment of a shell: eval "$(weighbridge inbox grant PROJECT)".',
    ),
    Command(
        "rm",
        "change",
        "Delete a checkpoint, a version, an empty model or an empty project.",
        "removing:rm",
        (
            "weighbridge rm vision/digits@1:3 --yes",
            "weighbridge rm vision/digits@3 --dry-run",
            "weighbridge rm vision/draft --yes",
        ),
        notes="Asks before it deletes, unless --yes is given. A version's number is never used "
        "again; a version that an alias or a child refers to is not deleted.",
    ),
    Command(
        "token create",
        "change",
        "Create a token; its secret is printed this once.",
        "tokens:create",
        (
            "weighbridge token create trainer --verb write --project vision --days 30",
            "weighbridge token create release --verb alias --verb approve --project vision "
            "--model 'dig*' --alias 'prod*' --json",
        ),
        notes="Reading is granted per project and is part of every token made here.",
    ),
    Command(
        "token revoke",
        "change",
        "Make a token worthless at once.",
        "tokens:revoke",
        ("weighbridge token revoke 3f9a1c",),
    ),
    Command(
        "cache rm",
        "change",
        "Remove kept files from this machine (all unless named).",
        "caching:rm",
        ("weighbridge cache rm --dry-run", "weighbridge cache rm"),
        notes="A file that another process reads at the moment stays.",
    ),
    Command(
        "cache limit",
        "change",
        "Show or set how many bytes of pulled files are kept.",
        "caching:limit",
        ("weighbridge cache limit 50GiB",),
        notes="What was used longest ago goes first. WEIGHBRIDGE_CACHE_LIMIT goes before this.",
    ),
    Command(
        "login",
        "connect",
        "Check a token with a server and remember both.",
        "access:login",
        (
            "weighbridge login https://models.example.org --token-stdin",
            "weighbridge login https://models.example.org --token wb_3f9a1c_secret "
            "--ca-file ca.pem",
        ),
        notes="Without --token and --token-stdin the token is asked for (or taken from "
        "WEIGHBRIDGE_TOKEN), so that it is not left in the shell's history.",
    ),
    Command(
        "logout",
        "connect",
        "Forget a server and its token (the current one unless named).",
        "access:logout",
        ("weighbridge logout", "weighbridge logout https://models.example.org --dry-run"),
    ),
    Command(
        "open",
        "connect",
        "Print a one-time link that signs a browser in to the catalogue.",
        "access:open_catalogue",
        ("weighbridge open", "weighbridge open vision/digits@2"),
    ),
    Command(
        "proxy",
        "connect",
        "Listen on loopback for clients that can send no token, and add it.",
        "access:proxy",
        ("weighbridge proxy --listen 127.0.0.1:8471",),
    ),
    Command(
        "serve",
        "connect",
        "Run the whole registry on this machine.",
        "serving:serve",
        ("weighbridge serve", "weighbridge serve --port 8080 --data registry-data"),
        notes="Needs the extra `local`: pip install 'weighbridge[local]'.",
    ),
    Command(
        "site build",
        "connect",
        "Render all pages into a folder, for any web server.",
        "sites:build",
        (
            "weighbridge site build --out public",
            "weighbridge site build --out public --data registry-data",
        ),
        notes="Reads the data folder of a `serve` that is not running; or, without --data, the registry "
        "that WEIGHBRIDGE_CATALOG and the other settings in the environment name. Search and home show "
        "everything, so publish the folder only to who may read all projects.",
    ),
    Command(
        "site check",
        "connect",
        "Look for missing, stale and stray pages, and for links that lead nowhere.",
        "sites:check",
        (
            "weighbridge site check",
            "weighbridge site check --repair",
            "weighbridge site check --out public --json",
        ),
        notes="The exit code is 1 if anything is wrong. Reads what `site build` reads. A page that is "
        "rendered while the check goes on is not wrong.",
    ),
    Command(
        "version",
        "connect",
        "Print the version of this program.",
        "access:version",
        ("weighbridge version",),
    ),
    *keeping.COMMANDS,
    *operating.COMMANDS,
    *geti_commands.COMMANDS,
    *fate_commands.COMMANDS,
    *provider_commands.COMMANDS,
)

BY_NAME = {command.name: command for command in COMMANDS}


def families() -> dict[str, tuple[Command, ...]]:
    """The commands of two words by their first: `token` → `token create`, …"""
    found: dict[str, tuple[Command, ...]] = {}
    for command in COMMANDS:
        first, space, _ = command.name.partition(" ")
        if space:
            found[first] = (*found.get(first, ()), command)
    return found
