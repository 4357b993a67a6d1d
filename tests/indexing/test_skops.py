"""skops files against skops: what loads without being asked is safe, all else is named."""

import json
import os
import re
import zipfile
from functools import partial
from io import BytesIO
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import skops.io
from sklearn.cluster import KMeans
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.ensemble import RandomForestClassifier as Forest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from chalicelib.indexing.formats import skops as indexer
from chalicelib.indexing.formats import skops_trusted
from tests.indexing import skops_lists
from tests.indexing.table import Row, described

_LONG = re.compile(rb"\b\d{14,15}\b")


def scale(values):
    """A function of the author's own."""
    return values * 2


def _fitted(model):
    rng = np.random.default_rng(3)
    values = rng.random((40, 3))
    return model.fit(values, (values.sum(1) > 1.5).astype(int))


def _model(build):
    """A file whose arrays are numbered: skops names them by addresses, whose lengths vary."""

    def make(folder):
        path = folder / "model.skops"
        written = zipfile.ZipFile(BytesIO(skops.io.dumps(_fitted(build()))))
        numbers = {}

        def number(match):
            return b"%d" % numbers.setdefault(match[0], 10**14 + len(numbers))

        with zipfile.ZipFile(path, "w") as file:
            for name in written.namelist():
                renamed = _LONG.sub(number, name.encode()).decode()
                file.writestr(renamed, _LONG.sub(number, written.read(name)))
        return path

    return make


def _check(path, facts):
    untrusted = skops.io.get_untrusted_types(file=path)
    assert [finding.split(" ")[0] for finding in facts.findings] == untrusted
    assert facts.verdict == ("unsafe" if untrusted else "safe")
    model = skops.io.load(path, trusted=untrusted)
    assert facts.metadata["class"] == f"{type(model).__module__}.{type(model).__name__}"
    assert facts.metadata["sklearn_version"] == model.__getstate__()["_sklearn_version"]
    assert facts.metadata["skops_version"] == skops.__version__
    assert facts.metadata["features"] == str(model.n_features_in_)
    if hasattr(model, "steps"):
        names = [type(step).__name__ for _, step in model.steps]
        assert facts.architecture == f"Pipeline({', '.join(names)})"


_TOLD = "untrusted types, class, versions, features"
ROWS = [
    Row("skops", "model.skops, pipeline", "skops", _TOLD,
        _model(lambda: make_pipeline(StandardScaler(), LogisticRegression())), _check),
    Row("skops", "model.skops, forest", "skops", _TOLD, _model(lambda: Forest(3, random_state=7)), _check),
]  # fmt: skip


@pytest.mark.parametrize(
    "build",
    [
        lambda: HistGradientBoostingClassifier(max_iter=3),
        lambda: GradientBoostingClassifier(n_estimators=2),
        lambda: SGDClassifier(max_iter=5, tol=None),
        lambda: SVC(),
        lambda: KMeans(2, n_init=1),
        lambda: make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
        lambda: make_pipeline(FunctionTransformer(scale), LogisticRegression()),
    ],
    ids=["hist", "boosting", "sgd", "svc", "kmeans", "ufunc", "function"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_are_judged_as_skops_does(build, tmp_path):
    """Whatever kind of node they are made of."""
    path = _model(build)(tmp_path)
    _check(path, described(path))


class Local:
    """A class that nobody trusts."""

    def __init__(self):
        self.numbers = [1, 2]

    def method(self):
        """Something to bind."""


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, (2.5, {"x"})], "b": slice(1, 2)},
        Local(),
        {"bound": Local().method},
        partial(scale, 3),
        itemgetter(1),
        {"type": Local, "int": int, "list": list},
        np.ma.MaskedArray([1, 2], [0, 1]),
        np.random.RandomState(1),
        np.random.default_rng(1),
        np.array([{"a": 1}, None], dtype=object),
        np.dtype("float32"),
        np.float32(3),
        b"bytes",
        bytearray(b"more"),
        scipy.sparse.csr_matrix(np.eye(2)),
        scipy.sparse.csr_array(np.eye(2)),
        len,
        os.system,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_judged_as_skops_does(value):
    """Node kind by node kind, trusted or not."""
    data = skops.io.dumps(value)
    facts = described(data)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert list(facts.findings) == untrusted
    assert facts.verdict == ("unsafe" if untrusted else "safe")


def test_the_trusted_types_are_those_of_skops():
    """By name; UPDATE_FORMATS=1 writes the module anew after an upgrade."""
    if os.environ.get("UPDATE_FORMATS"):
        Path(skops_trusted.__file__).write_text(skops_lists.module(skops.__version__))
    for name, names in skops_lists.lists().items():
        assert getattr(skops_trusted, name) == names, name


def _changed(change, members=()):
    """A real file with another schema, and more members."""
    written = zipfile.ZipFile(BytesIO(skops.io.dumps(_fitted(LogisticRegression()))))
    schema = json.loads(written.read("schema.json"))
    change(schema)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in written.namelist():
            if name != "schema.json":
                file.writestr(name, written.read(name))
        for name, data in members:
            file.writestr(name, data)
        file.writestr("schema.json", json.dumps(schema))
    return out.getvalue()


def test_a_generator_cannot_name_something_else_to_call():
    """The bit generator stands in a text; it is checked like a type."""
    written = zipfile.ZipFile(BytesIO(skops.io.dumps(np.random.default_rng(1))))
    schema = json.loads(written.read("schema.json"))
    schema["content"]["bit_generator"]["content"]["bit_generator"]["content"] = '"seed"'
    rebuilt = BytesIO()
    with zipfile.ZipFile(rebuilt, "w") as file:
        file.writestr("schema.json", json.dumps(schema))
    facts = described(rebuilt.getvalue())
    assert facts.findings == tuple(skops.io.get_untrusted_types(data=rebuilt.getvalue()))
    assert facts.verdict == "unsafe"


@pytest.mark.parametrize(
    ("change", "verdict", "finding"),
    [
        (lambda s: s.update(__loader__="NewNode"), "unknown", "the node kind NewNode"),
        (lambda s: s.update(protocol=99), "unknown", "protocol 99"),
        (lambda s: s.update(__module__="os", __class__="system"), "unsafe", "os.system"),
        (lambda s: s["content"]["content"].update(x={"__class__": "system", "__module__": "posix",
         "__loader__": "FunctionNode"}), "unsafe", "posix.system"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_never_safe(change, verdict, finding):
    """Node kinds and layouts of tomorrow, and types of the author's."""
    facts = described(_changed(change))
    assert facts.verdict == verdict
    assert any(f.startswith(finding) for f in facts.findings)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("protocol"),
        lambda s: s.update(protocol=True),
        lambda s: s.pop("__class__"),
        lambda s: s.update(content=[1]),
        lambda s: s["content"].update(content=7),
        lambda s: s["content"].update(key_types=None),
    ],
)
def test_a_damaged_schema_is_a_problem_of_unknown_safety(change):
    """skops would fail on it too."""
    data = _changed(change)
    facts = described(data)
    assert facts.problem
    assert facts.verdict == "unknown"
    with pytest.raises(Exception):  # noqa: B017
        skops.io.get_untrusted_types(data=data)


def test_members_that_do_not_belong_do_not_hide_the_schema():
    """A further file makes it no plain zip, and a pickle beside is not called safe."""
    evil = lambda s: s.update(__module__="os", __class__="system")  # noqa: E731
    assert described(_changed(evil, [("readme.txt", "hello")])).verdict == "unsafe"
    facts = described(_changed(lambda s: None, [("data.pkl", b"\x80\x04.")]))
    assert (facts.format, facts.verdict) == ("skops", "unknown")


def test_a_schema_that_is_another_ones_makes_a_plain_zip():
    """`schema.json` is a common name."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("schema.json", '{"type": "record"}')
    assert described(out.getvalue()).format == "zip"


def test_a_schema_beyond_the_limit_is_not_read():
    """And never called safe."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", b'{"__loader__": "' + b"x" * indexer.MAX_SCHEMA + b'"}')
    facts = described(out.getvalue())
    assert (facts.format, facts.verdict) == ("skops", "unknown")
    assert "at most" in facts.problem
