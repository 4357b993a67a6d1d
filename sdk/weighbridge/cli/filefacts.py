"""What indexing found in files, for people: the table of files, then what is known of each."""

from collections import Counter
from collections.abc import Iterator

from weighbridge.cli.screen import Screen, clean, human_size, number, plural, shape_text
from weighbridge.contract import types

TOLD = 20
"""Files whose facts are printed, and entries of metadata of each; `--json` has all."""
LONG = 200


def show_files(screen: Screen, facts: types.VersionFacts, *, tensors: bool) -> None:
    """The files with their facts; every tensor if asked."""
    if not facts.items:
        return
    judged = any(file.facts and file.facts.verdict for file in facts.items)
    screen.heading("Files")
    screen.table(
        ("SIZE", "FORMAT", "PARAMETERS", "TENSORS", *(("VERDICT",) if judged else ()), "PATH"),
        [
            (
                human_size(file.size),
                file.facts.format if file.facts else "not indexed yet",
                f"{file.facts.parameters:,}" if file.facts and file.facts.tensors else "",
                _tensor_dtypes(file.facts) if file.facts else "",
                *((file.facts.verdict if file.facts else "",) if judged else ()),
                _path(file),
            )
            for file in facts.items
        ],
        "><><<",
        indent="  ",
    )  # fmt: skip
    if not facts.complete:
        screen.line(f"  the first {plural(len(facts.items), 'file')}")
    told = [(f.path, pairs) for f in facts.items if f.facts and (pairs := list(_pairs(f.facts)))]
    for path, pairs in told[:TOLD]:
        screen.heading(f"Facts of {clean(path)}")
        screen.fields(pairs)
    if len(told) > TOLD:
        screen.line(f"  facts of {plural(len(told) - TOLD, 'more file')}: --json")
    if tensors:
        for file in facts.items:
            if file.facts and file.facts.tensors:
                _tensors(screen, file.path, file.facts)


def _path(file: types.FileFacts) -> str:
    problem = file.facts.problem if file.facts else ""
    return f"{file.path}  ({problem})" if problem else file.path


def _tensor_dtypes(facts: types.Facts) -> str:
    counts = Counter(tensor.dtype for tensor in facts.tensors)
    return ", ".join(f"{count:,} {dtype}" for dtype, count in counts.most_common())


def _pairs(facts: types.Facts) -> Iterator[tuple[str, str]]:
    """Name and value of all that the table has no column for."""
    counted = sorted(facts.dtypes.items(), key=lambda pair: (-pair[1], pair[0]))
    found = [
        ("parameters", ", ".join(f"{count:,} {dtype}" for dtype, count in counted)),
        ("architecture", facts.architecture),
        ("quantisation", facts.quantisation),
        ("base model", facts.base_model),
        ("inputs", _ports(facts.inputs)),
        ("outputs", _ports(facts.outputs)),
        ("verdict", facts.verdict),
        *(("finding", finding) for finding in facts.findings[:TOLD]),
        ("", f"{len(facts.findings) - TOLD:,} more findings" if len(facts.findings) > TOLD else ""),
        *sorted(facts.metadata.items())[:TOLD],
    ]
    if len(facts.metadata) > TOLD:
        found.append(("", f"{len(facts.metadata) - TOLD:,} more entries of metadata"))
    for name, value in found:
        if value:
            yield name[:LONG], value if len(value) <= LONG else value[: LONG - 1] + "…"


def _ports(ports: tuple[types.Port, ...]) -> str:
    """`image F32 [batch, 3]` of each."""
    shown = [
        " ".join(filter(None, (p.name, p.dtype, f"[{', '.join(d or '?' for d in p.shape)}]" * bool(p.shape))))
        for p in ports[:TOLD]
    ]  # fmt: skip
    more = [f"{len(ports) - TOLD:,} more"] if len(ports) > TOLD else []
    return ", ".join([*shown, *more])


_CLAIMED = ("FINGERPRINT", "MIN", "MAX", "MEAN", "STD", "NAN", "INF")


def _claimed(tensor: types.Tensor) -> tuple[str, ...]:
    """The claims about a tensor, for `_CLAIMED`."""
    found = tensor.statistics
    if found is None:
        return (tensor.fingerprint[:8], *[""] * 6)
    figures = [
        "" if n is None else number(n) for n in (found.min, found.max, found.mean, found.std)
    ]
    shares = [f"{100 * share:.3g}%" if share else "" for share in (found.nan, found.inf)]
    figures[2] += "*" if found.sampled and figures[2] else ""
    return (tensor.fingerprint[:8], *figures, *shares)


def _tensors(screen: Screen, path: str, facts: types.Facts) -> None:
    screen.heading(f"Tensors of {clean(path)}")
    titles: tuple[str, ...] = ("TENSOR", "DTYPE", "SHAPE", "SIZE")
    align = "<<<>"
    rows: list[tuple[str, ...]] = [
        (t.name, t.dtype, shape_text(t.shape), human_size(t.bytes)) for t in facts.tensors
    ]
    if any(t.fingerprint or t.statistics for t in facts.tensors):
        titles, align = (*titles, *_CLAIMED), align + "<>>>>>>"
        rows = [(*row, *_claimed(t)) for row, t in zip(rows, facts.tensors, strict=True)]
    screen.table(titles, rows, align, indent="  ")
    if len(titles) > 4:
        screen.line(
            "  fingerprints and statistics as their pusher claims; * of a part of the values"
        )
