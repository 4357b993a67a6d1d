"""Strings that people who want to do harm, or bad luck, put into names and texts."""

from dataclasses import replace
from typing import Any

from tests.catalogue.catalogue_world import FakeSource, at, sha
from weighbridge.contract.types import (
    AliasMove,
    Approval,
    Checkpoint,
    Facts,
    FileFacts,
    Model,
    ModelSettings,
    Port,
    Project,
    Provenance,
    Provider,
    Tensor,
    Version,
    VersionFacts,
)

STRINGS = (
    "<script>alert(1)</script>", "</script><script>alert(2)</script>", "<img src=x onerror=alert(3)>",
    "\"><svg onload=alert(4)>", "' onmouseover='alert(5)", "\" autofocus onfocus=\"alert(6)",
    "javascript:alert(7)", "</title><script>alert(8)</script>", "</textarea><script>alert(9)</script>",
    "<!--", "-->", "<![CDATA[", "]]>", "<style>*{display:none}</style>", "</style><b>", "{{ 7 * 7 }}",
    "{% raw %}", "${7*7}", "#{7*7}", "&lt;script&gt;", "&#60;script&#62;", "%3Cscript%3E",
    "<iframe src=//example.invalid>", "<base href=//example.invalid/>",
    "<meta http-equiv=refresh content=0;url=//example.invalid>", "<link rel=stylesheet href=//x>",
    "<form action=//example.invalid><input>", "<a href=javascript:alert(10)>x</a>",
    "<details open ontoggle=alert(11)>", "<math><mtext><script>alert(12)</script>",
    "<svg><script>alert(13)</script></svg>", "<noscript><p title=\"</noscript><img src=x onerror=alert(14)>",
    "<template><script>alert(15)</script></template>", "`-alert(16)-`", "';alert(17);//", "\\\";alert(18);//",
    "\u202egnp.exe\u202c", "\u2066\u2067abc", "\u200f\u200e", "a\u0301" * 60,
    "Z\u0300\u0301\u0302\u0303\u0304" * 20,
    "x" * 900, "w" * 240 + " " + "v" * 240, "\u4e2d\u6587" * 100, "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 30,
    "null\x00byte", "bell\x07\x1b[31mred", "tab\tand\nline\r\nbreak", "\ufeffbom", "\u2028line\u2029",
    "../../etc/passwd", "..\\..\\windows", "$(touch /tmp/x)", "`touch /tmp/x`", "; rm -rf ~ #", "'\"\\",
    "", " ", "NaN", "-1e309", "\ud800lone", "\uffff", "<\u200bscript>alert(19)</script>",
    "onload=alert(20)//", "\"}]},\"x\":\"<script>alert(21)</script>", "<b class=\"chip bad\">",
)  # fmt: skip


def legal(text: str) -> str:
    """`text` as a model's name could hold it."""
    kept = "".join(
        c for c in text if c not in "/@:" and ord(c) >= 32 and not 0xD800 <= ord(c) < 0xE000
    )
    return kept.strip() or "blank"


def hostile_world() -> FakeSource:
    """A registry in which every text that a user supplies is one of the strings."""
    source = FakeSource()
    source.projects["h"] = Project("Hostile", "".join(STRINGS[:3]), False, at(1), STRINGS[2])
    for index, text in enumerate(STRINGS):
        _fill(source, index, text)
    return source


def _told(text: str) -> Facts:
    """Facts in which every text is this one."""
    return Facts(
        text, problem=text, metadata={text: text}, dtypes={text: 3}, architecture=text,
        inputs=(Port(text, text, (text, "")),), outputs=(Port(text),), quantisation=text,
        base_model=text, verdict="unsafe", findings=(text, f"{text} again"),
    )  # fmt: skip


def _fill(source: FakeSource, index: int, text: str) -> None:
    name = f"{legal(text)} {index}"
    key: dict[str, Any] = {"Hostile": text}
    settings = ModelSettings(text, {text: "max"}, (text, "prod*"))
    source.model_list["h", name] = Model(
        "Hostile", name, f"{index:016x}", text, {text: text}, settings,
        {text: 1, f"{text}-2": 2}, at(2), text,
    )  # fmt: skip
    source.cards["h", name] = f"# {text}\n\n{text}"
    for number in (1, 2):
        source.versions["h", name, number] = Version(
            "Hostile", name, number, "ready", text, text, (),
            Approval("approved", text, text, text), {text: float(number), f"{text}!": 0.5},
            {text: text, "nested": {text: [text, number]}, **key}, {text: text},
            {text: text, "list": [text]},
            Provenance(text, True, text, text, text, text, (text,)),
            (text, f"Hostile/{name}@1") if number == 2 else (text,), text, 3, 10,
            text if number == 1 else at(4), text, text if number == 1 else at(4), 1,
        )  # fmt: skip
        source.fact_list["h", name, number] = VersionFacts((
            FileFacts(f"{text}/{number}", 1, sha(text), sha(text),
                      Facts("safetensors", 1, 3,
                            (Tensor(text, text, (1, 3), 12, 0, text),
                             Tensor(f"{text}.{text}", "F32", (number, 3), 12, 0, text)),
                            {text: text})),
            FileFacts(f"{text}.bin", 1, sha(text), sha(text), _told(text)),
            FileFacts(text, 1, sha(text), sha(text), None),
        ))  # fmt: skip
        source.checkpoint_list["h", name, number] = tuple(
            Checkpoint("Hostile", name, number, n, text, n, text, {text: n / 7, "loss": 1.0 / n},
                       {text: text}, text, 1, 1, text, text)
            for n in (1, 2, 3)
        )  # fmt: skip
    source.move_list["h", name] = (
        AliasMove(text, 2, 1, text, text), AliasMove(text, 0, 2, at(5), text),
    )  # fmt: skip
    opened = Version("Hostile", name, 3, "open", text, created=text, created_by=text)
    source.versions["h", name, 3] = replace(opened, description=text)
    provider = Provider(
        text, text, text, "k8s", {text: text}, "bfia", {text: {"description": text}, f"{text}!": text},
        text, text, text, text, 1,
    )  # fmt: skip
    source.provider_list["h"] = (*source.provider_list.get("h", ()), provider)
    _parties(source, index, text)


def _parties(source: FakeSource, index: int, text: str) -> None:
    """Two parties of a federated model with that name, party id and label."""
    shared = f"{legal(text)} {index}"
    for party in (f"guest#{index}", f"host#{legal(text).replace('#', '') or 'blank'}"):
        name = f"{party}#{shared}"
        identifier = sha(name)[:16]
        source.model_list["h", name] = Model("Hostile", name, identifier, text, created=at(2))
        source.versions["h", name, 1] = Version(
            "Hostile", name, 1, "ready", text, text, created=at(2), published=at(3)
        )
