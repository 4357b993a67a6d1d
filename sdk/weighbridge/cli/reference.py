"""Writes docs/cli.md from the commands themselves: `python -m weighbridge.cli.reference`."""

from weighbridge.cli import exits, parsing
from weighbridge.cli.commands import COMMANDS, GROUPS

_INTRODUCTION = """\
# Command line

`weighbridge COMMAND [arguments]`. This page is generated from the program
(`python -m weighbridge.cli.reference > docs/cli.md`); `weighbridge COMMAND --help` says the same.

A reference (REF) is `project/model`, with `@3` (number), `@production` (alias), `@=1.4.2` (label)
or `@latest` behind it, and `:3`, `:last`, `:best` or `:best=METRIC` for a checkpoint. Without `@`
the model is meant, or its latest version where a version is needed.

Every command that reads takes `--json`: exact sizes in bytes, times in UTC, lists as
`{"items": […], "more": true|false}`. Every command that changes something takes `--dry-run`.
Results go to the standard output; progress, remarks and errors to the standard error stream.

## Environment

| variable | meaning |
|---|---|
| `WEIGHBRIDGE_URL` | the server; goes before what `login` or `serve` stored |
| `WEIGHBRIDGE_TOKEN` | the token; goes before the stored one |
| `WEIGHBRIDGE_CA_FILE` | certificates to trust besides the system's |
| `WEIGHBRIDGE_CONFIG` | the configuration file (default: `~/.config/weighbridge/config.json`) |
| `WEIGHBRIDGE_CACHE` | journals of interrupted transfers (default: `~/.cache/weighbridge`) |
| `NO_COLOR` | no colours, on a terminal too |

## Exit codes

An error is one line on the standard error stream, `weighbridge: error: …`; `--debug` adds the
traceback.

| code | meaning |
|---|---|
"""


def page() -> str:
    """The whole page."""
    lines = [_INTRODUCTION.rstrip()]
    lines += [f"| {code} | {meaning} |" for code, meaning in exits.MEANINGS.items()]
    for group, title in GROUPS.items():
        lines += ["", f"## Commands that {title}"]
        for command in COMMANDS:
            if command.group == group:
                help_text = parsing.build(command).format_help().rstrip()
                lines += ["", f"### {command.name}", "", "```", help_text, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
