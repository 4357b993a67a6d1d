"""What a command is given besides its arguments: the screen, the keyboard, and the registry."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from weighbridge.cli.screen import Screen
from weighbridge.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from weighbridge.registry import Registry
    from weighbridge.transfer.progress import Progress

Connect = Callable[[str | None, str | None, str | None], "Registry"]
"""A registry at (address, token, certificates); None means: as configured."""


def real(url: str | None, token: str | None, ca_file: str | None) -> "Registry":
    """The registry that argument, environment or configuration name."""
    from weighbridge.registry import Registry

    return Registry(url, token, ca_file)


@dataclass(frozen=True, slots=True)
class Context:
    """The surroundings of one run."""

    screen: Screen
    stdin: TextIO
    connect: Connect = real

    @contextmanager
    def registry(self, args: Namespace) -> Iterator["Registry"]:
        """The configured registry, closed at the end."""
        with self.connect(args.url, None, None) as registry:
            yield registry

    def progress(self, args: Namespace) -> "Progress":
        """How a transfer is shown: on the error stream, or not at all with `--quiet`."""
        from weighbridge.transfer.progress import Silent, for_stream

        return Silent() if args.quiet else for_stream(self.screen.err)

    def confirm(self, what: str, args: Namespace) -> bool:
        """Whether to delete it: asked on a terminal, given by `--yes`, else an `InvalidRequest`."""
        if args.yes:
            return True
        if not self.stdin.isatty():
            raise InvalidRequest(f"deleting {what} needs --yes, as there is no terminal to ask on")
        self.screen.err.write(f"Delete {what}? [y/N] ")
        self.screen.err.flush()
        return self.stdin.readline().strip().lower() in ("y", "yes")
