"""A second network on this machine: a namespace with one cable to ours. Needs root and iproute2."""

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """Programs started behind `inside` see only that network; `host` is our address on it."""

    name: str
    host: str
    guest: str

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put in front of a command line."""
        return ("ip", "netns", "exec", self.name)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A namespace that is gone when the block ends."""
    tag = secrets.token_hex(3)
    name, ours, theirs = f"wb-{tag}", f"wb{tag}h", f"wb{tag}g"
    # 198.18.0.0/15 is set aside for tests between networks, so nobody routes it.
    subnet = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
    host, guest = f"{subnet}.1", f"{subnet}.2"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        _ip("link", "set", theirs, "netns", name)
        _ip("addr", "add", f"{host}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        _ip("-n", name, "addr", "add", f"{guest}/30", "dev", theirs)
        _ip("-n", name, "link", "set", theirs, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield Network(name, host, guest)
    finally:
        # The cable goes with the namespace, but only once nothing runs in it: so name it first.
        with contextlib.suppress(AssertionError):
            _ip("link", "del", ours)
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()} (this needs root)"
