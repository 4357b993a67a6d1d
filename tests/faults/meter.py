"""Ports that count every call that reaches a store, and fail one of them in a chosen way."""

from dataclasses import dataclass, field, replace

from weighbridge.contract.errors import Unavailable

KINDS = ("refused", "lost", "half", "broken")
"""What becomes of the call: nothing is done; all is done, and the answer is lost; a batch is done in
part; a library raises what nobody expects. Stores raise `Unavailable` for their own errors and timeouts."""
BATCHES = ("write_many", "write_each", "delete")
TABLE = ("get", "get_many", "query", "write", "transact", "write_many", "write_each", "purge_expired",
         "ping")  # fmt: skip
BLOBS = ("create_multipart", "put_part", "parts", "complete_multipart", "abort_multipart",
         "stale_multiparts", "head", "read", "put", "adopt", "list", "delete", "ping")  # fmt: skip
QUEUE = ("send",)
GRANTS = ("grant", "expire")


@dataclass(slots=True)
class Meter:
    """Counts calls; the one at `position` (from 1) fails as `kind` says."""

    position: int = 0
    kind: str = ""
    calls: list[str] = field(default_factory=list)

    def plan(self, position=0, kind=""):
        """Starts to count anew."""
        self.position, self.kind = position, kind
        self.calls.clear()

    @property
    def met(self):
        """Whether the call that was to fail was made."""
        return 0 < self.position <= len(self.calls)

    def carry(self, name, call, args, kwargs):
        """One call."""
        self.calls.append(name)
        if len(self.calls) != self.position:
            return call(*args, **kwargs)
        if self.kind == "broken":
            raise RuntimeError(f"{name} met something that nobody expects")
        if self.kind == "lost":
            found = call(*args, **kwargs)
            if name.endswith("stale_multiparts"):
                list(found)
        elif self.kind == "half" and name.rpartition(".")[2] in BATCHES:
            several = list(args[0])
            if several[: len(several) // 2]:
                call(several[: len(several) // 2], *args[1:], **kwargs)
        raise Unavailable(f"{name}: the store did not answer in time; try again")


class Port:
    """A port whose calls go through a meter."""

    def __init__(self, name, inner, meter, metered):
        self._name, self._inner, self._meter, self._metered = name, inner, meter, metered

    def __getattr__(self, attribute):
        found = getattr(self._inner, attribute)
        if attribute not in self._metered:
            return found

        def call(*args, **kwargs):
            return self._meter.carry(f"{self._name}.{attribute}", found, args, kwargs)

        return call


def metered(stores, meter):
    """The same stores, through a meter."""
    return replace(
        stores,
        table=Port("table", stores.table, meter, TABLE),
        blobs=Port("blobs", stores.blobs, meter, BLOBS),
        queue=Port("queue", stores.queue, meter, QUEUE),
        site=Port("site", stores.site, meter, BLOBS),
        grants=stores.grants and Port("grants", stores.grants, meter, GRANTS),
    )
