"""The codec: what is encoded is decoded, for every wire type, and mistakes are named by field."""

import dataclasses
import json
import math
import types as python_types
import typing
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.contract import codec, errors, types
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.manifests import FileEntry

WIRE = sorted(
    (
        cls
        for cls in vars(types).values()
        if isinstance(cls, type) and dataclasses.is_dataclass(cls)
    ),
    key=lambda cls: cls.__name__,
)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def _values(hint: Any) -> st.SearchStrategy:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return JSON
    if origin in (typing.Union, python_types.UnionType):
        return st.none() | _values(next(a for a in arguments if a is not type(None)))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), _values(arguments[1]), max_size=3)
    if dataclasses.is_dataclass(hint):
        return _instances(hint)
    return {
        str: st.text(max_size=8),
        int: st.integers(-(2**63) + 1, 2**63 - 1),
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
    }[hint]


def _instances(cls: type) -> st.SearchStrategy:
    return st.builds(cls, **{name: _values(hint) for name, hint in codec.hints(cls).items()})


@pytest.mark.parametrize("cls", [*WIRE, FileEntry], ids=lambda cls: cls.__name__)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_wire_type_survives_the_wire(cls, data):
    """`decode(encode(x)) == x` through real JSON, strictly, for every type of the contract."""
    value = data.draw(_instances(cls))
    text = json.dumps(codec.encode(value), allow_nan=False)
    assert codec.decode(cls, json.loads(text), strict=True) == value


@dataclasses.dataclass(frozen=True)
class Sample:
    """One field of each kind."""

    name: str
    count: int = 0
    share: float = 0.0
    on: bool = False
    kind: Literal["a", "b"] = "a"
    items: tuple[int, ...] = ()
    table: dict[str, float] = dataclasses.field(default_factory=dict)
    inner: types.Card | None = None


def test_non_finite_numbers_travel_as_text():
    """NaN and the infinities survive JSON that cannot hold them."""
    sent = codec.encode(Sample("x", table={"n": math.nan, "i": math.inf, "j": -math.inf}))
    got = codec.decode(Sample, json.loads(json.dumps(sent, allow_nan=False))).table
    assert math.isnan(got["n"])
    assert (got["i"], got["j"]) == (math.inf, -math.inf)


def test_absent_fields_take_their_defaults():
    """Only fields without a default must be there."""
    assert codec.decode(Sample, {"name": "x"}) == Sample("x")
    with pytest.raises(InvalidRequest, match="name"):
        codec.decode(Sample, {})


def test_unknown_fields():
    """A client ignores them, a server names them."""
    assert codec.decode(Sample, {"name": "x", "later": 1}) == Sample("x")
    with pytest.raises(InvalidRequest) as caught:
        codec.decode(Sample, {"name": "x", "inner": {"text": "t", "later": 1}}, strict=True)
    assert caught.value.details["field"] == "inner.later"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": 1}, "name"),
        ({"name": None}, "name"),
        ({"name": "x", "count": "1"}, "count"),
        ({"name": "x", "count": 1.5}, "count"),
        ({"name": "x", "count": True}, "count"),
        ({"name": "x", "count": 2**63}, "count"),
        ({"name": "x", "count": 1e300}, "count"),
        ({"name": "x", "share": "0.5"}, "share"),
        ({"name": "x", "share": True}, "share"),
        ({"name": "x", "share": 10**400}, "share"),
        ({"name": "x", "on": 1}, "on"),
        ({"name": "x", "kind": "c"}, "kind"),
        ({"name": "x", "items": [1, "2"]}, "items[1]"),
        ({"name": "x", "items": {"a": 1}}, "items"),
        ({"name": "x", "items": "12"}, "items"),
        ({"name": "x", "table": {"a": None}}, "table.a"),
        ({"name": "x", "table": [1]}, "table"),
        ({"name": "x", "inner": {"text": 5}}, "inner.text"),
    ],
)
def test_mistakes_are_named_by_field(data, field):
    """A value of the wrong kind is `InvalidRequest` that says where it stands."""
    with pytest.raises(InvalidRequest) as caught:
        codec.decode(Sample, data)
    assert caught.value.details["field"] == field


@settings(deadline=None)
@given(JSON | st.lists(JSON))
def test_any_json_is_decoded_or_refused(data):
    """No document makes the decoder fail in another way than `InvalidRequest`."""
    for cls in (types.PlanRequest, types.VersionCommit, types.NewToken, Sample):
        try:
            codec.decode(cls, data, strict=True)
        except InvalidRequest:
            continue


def test_unhashable_literals_are_refused():
    """An array where one of a few words belongs is refused by name, not by a crash."""
    for wrong in ([], {}, [1], None, 1, True):
        with pytest.raises(InvalidRequest):
            codec.decode(Sample, {"name": "x", "kind": wrong})


@pytest.mark.parametrize("cls", sorted(set(errors.BY_CODE.values()), key=lambda c: c.__name__))
def test_every_error_survives_the_wire(cls):
    """An error that travelled is of the same class, with message, details and request id."""
    sent = cls("what went wrong", path="a")
    body = json.loads(json.dumps(sent.body("r-9")))
    got = errors.from_body(cls.status or 400, body)
    assert type(got) is cls
    assert (got.message, got.details, got.request_id) == ("what went wrong", {"path": "a"}, "r-9")


@pytest.mark.parametrize(
    ("status", "cls"),
    [(400, errors.InvalidRequest), (404, errors.NotFound), (409, errors.Conflict),
     (418, errors.RegistryError), (429, errors.Throttled), (502, errors.Unavailable),
     (504, errors.Unavailable), (500, errors.RegistryError)],
)  # fmt: skip
@pytest.mark.parametrize(
    "body",
    [None, "text", [], {}, {"message": "m"}, {"Message": None}, {"error": "x"},
     {"error": {"code": "later", "message": "m", "details": 7}}, {"error": {"code": []}}],
)  # fmt: skip
def test_strange_bodies_become_the_class_of_their_status(status, cls, body):
    """A gateway's own error page, or an unknown code, is still an error of the right class."""
    assert type(errors.from_body(status, body)) is cls
