"""What indexing found in files, as a version's page tells it: plain rows, cut to what a page bears."""

from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.contract.types import FileFacts, Port, Verdict

MOST_TOLD = 50
MOST_PORTS = 20
MOST_FINDINGS = 20
MOST_METADATA = 50


@dataclass(frozen=True, slots=True)
class Told:
    """One file: `rows` of name and text, what the verdict rests on, and the file's own metadata."""

    path: str
    format: str
    verdict: Verdict
    problem: str
    rows: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    more_findings: int
    metadata: tuple[tuple[str, str], ...]


def told(items: Sequence[FileFacts]) -> tuple[Told, ...]:
    """The files of which more is known than format, size and tensors."""
    found = (_one(item) for item in items)
    return tuple(t for t in found if t is not None)[:MOST_TOLD]


def _one(item: FileFacts) -> Told | None:
    facts = item.facts
    if facts is None:
        return None
    counted = sorted(facts.dtypes.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [
        ("Parameters", ", ".join(f"{count:,} {dtype}" for dtype, count in counted)),
        ("Architecture", facts.architecture),
        ("Quantisation", facts.quantisation),
        ("Base model", facts.base_model),
        ("Inputs", _ports(facts.inputs)),
        ("Outputs", _ports(facts.outputs)),
    ]
    # A file with tensors shows its metadata beside them.
    metadata = () if facts.tensors else tuple(sorted(facts.metadata.items()))[:MOST_METADATA]
    kept = tuple(row for row in rows if row[1])
    if not (kept or metadata or facts.verdict or facts.findings or facts.problem):
        return None
    return Told(
        item.path, facts.format, facts.verdict, facts.problem, kept,
        facts.findings[:MOST_FINDINGS], max(0, len(facts.findings) - MOST_FINDINGS), metadata,
    )  # fmt: skip


def _ports(ports: Sequence[Port]) -> str:
    shown = [_port(port) for port in ports[:MOST_PORTS]]
    more = [f"and {len(ports) - MOST_PORTS:,} more"] if len(ports) > MOST_PORTS else []
    return ", ".join([*shown, *more])


def _port(port: Port) -> str:
    """`image F32 [batch, 3, ?]`."""
    shape = f"[{', '.join(d or '?' for d in port.shape)}]" if port.shape else ""
    return " ".join(filter(None, (port.name, port.dtype, shape)))
