"""The console script: finds the command, runs it, and turns every outcome into an exit code."""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TextIO

from weighbridge.cli import exits, interrupts
from weighbridge.cli.commands import BY_NAME, COMMANDS, GROUPS, Command, families
from weighbridge.cli.context import Connect, Context, real
from weighbridge.cli.screen import Screen, clean
from weighbridge.contract.errors import InvalidRequest, RegistryError, Unauthenticated

_LEADING = ("--debug",)


def entry() -> None:
    """`weighbridge` on the command line."""
    legible()
    try:
        code = main()
    except KeyboardInterrupt as error:
        code = interrupts.code(error)
    if code in (exits.INTERRUPTED, exits.TERMINATED):
        # All is said; what still waits for a name or a connection must not hold up the end.
        os._exit(code)
    sys.exit(code)


def legible() -> None:
    """A name that the terminal's encoding cannot show is escaped; it must not end the command."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def main(
    argv: Sequence[str] | None = None,
    *,
    connect: Connect = real,
    stdin: TextIO | None = None,
) -> int:
    """Runs one command line and answers its exit code. Raises nothing but bugs of its own."""
    given = list(sys.argv[1:] if argv is None else argv)
    words = list(given)
    screen = Screen.on(sys.stdout, sys.stderr)
    debug = "--debug" in words
    chosen: Command | None = None
    try:
        while words and words[0] in _LEADING:
            words.append(words.pop(0))
        if words and words[0] == "help" and words[1:]:
            words = [*words[1:], "--help"]
        if not words or words[0] in ("-h", "--help", "help"):
            screen.out.write(overview())
            screen.out.flush()
            return 0 if words else exits.USAGE
        if words[0] in ("--version", "-V"):
            words[0] = "version"
        chosen, rest = _choose(words)
        if chosen is None:
            screen.out.write(family(words[0]))
            screen.out.flush()
            return 0 if rest else exits.USAGE
        with interrupts.terminable() if chosen.resumes else nullcontext():
            code = _run(chosen, rest, Context(screen, stdin or sys.stdin, connect))
        screen.out.flush()
        return code
    except BrokenPipeError:
        _silence(screen.out)
        return exits.PIPE
    except KeyboardInterrupt as error:
        resumes = chosen is not None and chosen.resumes
        return _fail(screen, interrupts.text(error, given, resumes), interrupts.code(error))
    except RegistryError as error:
        if debug:
            traceback.print_exc(file=screen.err)
        signing_in = chosen is not None and chosen.name == "login"
        return _fail(screen, _explained(error, signing_in), exits.of(error))
    except OSError as error:
        if debug:
            traceback.print_exc(file=screen.err)
        return _fail(screen, str(error), exits.of(error))
    except Exception as error:
        if debug:
            traceback.print_exc(file=screen.err)
        text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        return _fail(screen, text, exits.UNEXPECTED)


def _choose(words: list[str]) -> tuple[Command | None, list[str]]:
    first, rest = words[0], words[1:]
    if first in BY_NAME:
        return BY_NAME[first], rest
    family_commands = families().get(first)
    if family_commands is None:
        known = sorted({command.name.partition(" ")[0] for command in COMMANDS})
        raise InvalidRequest(f"there is no command {first!r}{_similar(first, known)}")
    if not rest or rest[0] in ("-h", "--help"):
        return None, rest
    name = f"{first} {rest[0]}"
    if name in BY_NAME:
        return BY_NAME[name], rest[1:]
    known = [command.name.partition(" ")[2] for command in family_commands]
    raise InvalidRequest(
        f"`weighbridge {first}` has no command {rest[0]!r}; it has {', '.join(known)}"
    )


def _similar(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean `weighbridge {close[0]}`?" if close else "; see `weighbridge --help`"


def _run(command: Command, words: list[str], context: Context) -> int:
    from weighbridge.cli import parsing

    parser = parsing.build(command)
    if any(word in ("-h", "--help") for word in words[: _end(words)]):
        context.screen.out.write(parser.format_help())
        return 0
    args = parser.parse_intermixed_args(words)
    return parsing.runner(command)(args, context)


def _end(words: list[str]) -> int:
    return words.index("--") if "--" in words else len(words)


def overview() -> str:
    """The help of `weighbridge` itself: every command with one sentence, by group."""
    lines = [
        "usage: weighbridge COMMAND [arguments]",
        "",
        "Where model weights are checked in, compared and shipped.",
    ]
    wide = max(len(command.name) for command in COMMANDS)
    for group, title in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {c.name:<{wide}}  {c.summary}" for c in COMMANDS if c.group == group]
    lines += [
        "",
        "A REF is PROJECT/MODEL, with @3 (number), @production (alias), @=1.4.2 (label)",
        "or @latest behind it, and :3, :last, :best or :best=METRIC for a checkpoint.",
        "",
        "examples:",
        "  weighbridge push vision/digits model.safetensors --metric accuracy=0.97",
        "  weighbridge pull vision/digits@production --to model",
        "",
        "`weighbridge COMMAND --help` says more.",
        "Exit codes: " + ", ".join(f"{code}" for code in exits.MEANINGS) + " (docs/cli.md).",
    ]
    return "\n".join(lines) + "\n"


def family(first: str) -> str:
    """The help of a first word such as `token`."""
    commands = families()[first]
    wide = max(len(command.name) for command in commands)
    lines = [f"usage: weighbridge {first} COMMAND [arguments]", ""]
    lines += [f"  {command.name:<{wide}}  {command.summary}" for command in commands]
    return "\n".join(lines) + "\n"


def _explained(error: RegistryError, signing_in: bool) -> str:
    text = error.message or type(error).__name__
    if isinstance(error, Unauthenticated) and not signing_in and "login" not in text:
        text += "; sign in with `weighbridge login URL`"
    if exits.of(error) == exits.UNEXPECTED and error.request_id:
        text += f" (request {error.request_id})"
    return text


def _fail(screen: Screen, message: str, code: int) -> int:
    try:
        screen.out.flush()
        screen.err.write(f"weighbridge: error: {clean(message)}\n")
        screen.err.flush()
    except BrokenPipeError:
        _silence(screen.out)
        _silence(screen.err)
    return code


def _silence(stream: TextIO) -> None:
    """Points a stream whose reader is gone nowhere, so that the exit does not complain."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
