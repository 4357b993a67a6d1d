"""`tokenizer.json` of the tokenizers library: its model, the size of its vocabulary, its steps.

Tens of megabytes of vocabulary and merges are counted and passed over, not built.
"""

import re
from typing import Any

from chalicelib.indexing.formats import texts
from chalicelib.indexing.formats.jsonscan import BadJson, Path, scan
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from weighbridge.contract.types import Facts

BUDGET = 48 * 1024 * 1024

_OPENS = re.compile(
    rb'\s*+\{\s*+"version"\s*+:\s*+"[^"]{1,20}"\s*+,\s*+"(?:truncation|padding|added_tokens)"'
)
_VOCAB: Path = ("model", "vocab")
_MERGES: Path = ("model", "merges")
_ADDED: Path = ("added_tokens",)
_STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_TAKE: tuple[Path, ...] = (
    ("version",), _ADDED, ("truncation",), *((step,) for step in _STEPS),
    ("model", "type"), ("model", "unk_token"), ("model", "unk_id"), ("model", "byte_fallback"),
    ("model", "continuing_subword_prefix"),
)  # fmt: skip


def sniff(first: bytes, size: int) -> bool:
    """How the library always begins: the version, then truncation and padding."""
    return _OPENS.match(first) is not None


def read(ranged: Ranged) -> Facts:
    """The facts of a tokenizer."""
    if ranged.size > BUDGET:
        raise OverBudget(f"a tokenizer of {ranged.size} bytes; {BUDGET} are read at most")
    try:
        found = scan(ranged.read(0, ranged.size), _TAKE, (_VOCAB, _MERGES, _ADDED))
    except BadJson as error:
        return Facts("tokenizer", problem=str(error))
    values = found.values
    kind = values.get(("model", "type"))
    if kind is None:
        kind = _guess(found.counts)
    vocab = found.counts.get(_VOCAB, 0)
    added = values.get(_ADDED)
    tokens = [t for t in added if isinstance(t, dict)] if isinstance(added, list) else []
    special = [t.get("content") for t in tokens if t.get("special") is True]
    truncation = values.get(("truncation",))
    shown: dict[str, object] = {
        "version": values.get(("version",)),
        "model": kind,
        "vocab_size": vocab or None,
        "merges": found.counts.get(_MERGES),
        "added_tokens": found.counts.get(_ADDED) or None,
        "special_tokens": ", ".join(texts.text(t, 60) for t in special[:50]),
        "max_length": truncation.get("max_length") if isinstance(truncation, dict) else None,
        **{step: _kind(values.get((step,))) for step in _STEPS},
        "unk_token": values.get(("model", "unk_token")),
        "byte_fallback": values.get(("model", "byte_fallback")),
    }
    return Facts(
        "tokenizer", architecture=texts.text(kind, 60), metadata=texts.metadata(shown),
        problem="" if vocab else "it has no vocabulary",
    )  # fmt: skip


def _guess(counts: dict[Path, int]) -> str:
    """Early files do not name their model; only one kind has merges."""
    return "BPE" if _MERGES in counts else ""


def _kind(step: Any) -> str:
    return texts.text(step.get("type"), 60) if isinstance(step, dict) else ""
