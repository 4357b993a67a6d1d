"""What is translated comes back as it was: ids, custom properties; filters agree with a database."""

import base64
import json
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.kubeflow import filters, ids, properties
from weighbridge.contract.errors import InvalidRequest

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBER = st.integers(1, 10**9 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
                min_size=1, max_size=30)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def _packed(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def _wire(kind, field):
    return lambda value: {field: value, "metadataType": f"Metadata{kind}Value"}


WIRE = st.one_of(
    TEXT.map(_wire("String", "string_value")),
    st.booleans().map(_wire("Bool", "bool_value")),
    st.integers(-(10**9) + 1, 10**9 - 1).map(str).map(_wire("Int", "int_value")),
    st.floats(allow_nan=False, allow_infinity=False).map(_wire("Double", "double_value")),
    st.dictionaries(TEXT, JSON, max_size=3).map(_packed).map(_wire("Struct", "struct_value")),
    st.binary(max_size=9).map(lambda data: {
        "proto_value": base64.b64encode(data).decode(), "type": "t",
        "metadataType": "MetadataProtoValue",
    }),
)  # fmt: skip
NATIVE = JSON.filter(lambda value: value is not None)


@patient
@given(NUMBER, st.integers(0, 9999))
def test_ids_lead_back(number, index):
    """An artifact's id says whose it is, and is never one without a version."""
    own = ids.of_artifact(str(number), index)
    assert ids.artifact(own) == (str(number), index)
    assert ids.artifact(str(number)) == ("", number)
    assert ids.number(str(number), "model") == number


@patient
@given(st.text(max_size=50))
def test_whatever_is_no_id_is_refused(text):
    """By a clear error, never by another record."""
    try:
        found = ids.number(text, "model")
    except InvalidRequest:
        assert not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9) or text[0] == "0"
    else:
        assert str(found) == text


@patient
@given(st.dictionaries(NAMES | NAMES.map(lambda name: properties.OWN + name), WIRE, max_size=4))
def test_properties_come_back_as_they_were_sent(sent):
    """Of every type, whatever their names; as attributes that can be stored."""
    sent = {name: one for name, one in sent.items() if name != "last_updated_date"}
    properties.given(sent)
    attributes = json.loads(json.dumps(properties.replaced({}, sent)))
    assert properties.shown(attributes) == sent
    assert json.loads(json.dumps(properties.replaced(attributes, sent))) == attributes


@patient
@given(
    st.dictionaries(NAMES.filter(lambda name: not name.startswith("kubeflow.")), NATIVE, max_size=4)
)
def test_attributes_survive_a_client_that_sends_all_back(attributes):
    """Also where it sends structs as texts, which is what the real client does."""
    shown = properties.shown(attributes)
    assert properties.replaced(attributes, shown) == attributes
    flat = {
        name: {"string_value": one["struct_value"], "metadataType": "MetadataStringValue"}
        if "struct_value" in one else one
        for name, one in shown.items()
    }  # fmt: skip
    assert properties.replaced(attributes, flat) == attributes


@patient
@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_that_the_client_cannot_read_are_kept_and_shown_otherwise(number):
    """It fails on more than nine digits; what it sends back changes nothing."""
    sent = {"n": {"int_value": str(number), "metadataType": "MetadataIntValue"}}
    attributes = properties.replaced({}, sent)
    assert attributes == {"n": number}
    shown = properties.shown(attributes)
    assert len(shown["n"].get("int_value", "").removeprefix("-")) <= 9
    assert float(next(v for k, v in shown["n"].items() if k != "metadataType")) == float(number)
    assert properties.replaced(attributes, shown) == attributes


def test_properties_that_are_gone_go_and_what_names_another_record_stays():
    """A change of all properties removes those that it does not name."""
    old = {"a": 1, "precision": ["int8"], "kubeflow.state": "LIVE", "package_name": "x", "n": None}
    assert properties.replaced(old, {}) == {k: v for k, v in old.items() if k != "a"}


@pytest.mark.parametrize(
    "one",
    [
        "x", {}, {"string_value": "x"}, {"string_value": 1, "metadataType": "MetadataStringValue"},
        {"int_value": 1, "metadataType": "MetadataIntValue"},
        {"int_value": "1.5", "metadataType": "MetadataIntValue"},
        {"int_value": str(2**63), "metadataType": "MetadataIntValue"},
        {"int_value": "²", "metadataType": "MetadataIntValue"},
        {"bool_value": "true", "metadataType": "MetadataBoolValue"},
        {"double_value": True, "metadataType": "MetadataDoubleValue"},
        {"double_value": 10**400, "metadataType": "MetadataDoubleValue"},
        {"struct_value": "{}", "metadataType": "MetadataStructValue"},
        {"struct_value": _packed(1), "metadataType": "MetadataStructValue"},
        {"struct_value": base64.b64encode(b"[" * 9999).decode(), "metadataType": "MetadataStructValue"},
        {"struct_value": base64.b64encode(b'{"a":NaN}').decode(), "metadataType": "MetadataStructValue"},
        {"proto_value": "x", "metadataType": "MetadataProtoValue"},
        {"string_value": "x", "int_value": "1", "metadataType": "MetadataStringValue"},
        {"x_value": "x", "metadataType": "MetadataXValue"},
    ],
)  # fmt: skip
def test_a_property_that_is_not_right_is_named(one):
    """With its name and what it must be."""
    with pytest.raises(InvalidRequest, match="'score'"):
        properties.given({"score": one})


# Filters, beside a database that knows SQL

WORDS = st.text("aAbB%_\\' x", max_size=4)
QUOTED = WORDS.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "''") + "'")
SIGN = st.sampled_from(["=", "!=", "<>", "<", ">", "<=", ">="])
PATTERN = st.text("aAbB%_x'", max_size=4)


@st.composite
def _test(draw):
    """A test as clients write it, and the same in SQL."""
    kind = draw(st.sampled_from(["text", "number", "like", "in", "bool"]))
    if kind == "text":
        text = draw(st.text("aAbBx '", max_size=2)).replace("'", "''")
        said = f"name {draw(SIGN)} '{text}'"
        return said, said
    if kind == "number":
        sign, value = draw(SIGN), draw(st.sampled_from(["0.5", "-1", "2", "1e1"]))
        return f"score.double_value {sign} {value}", f"score {sign} {value}"
    if kind == "bool":
        value = draw(st.sampled_from(["true", "FALSE"]))
        return f"`odd name`.bool_value = {value}", f'"odd name" = {value}'
    negative = draw(st.sampled_from(["", "NOT "]))
    if kind == "in":
        said = f"name {negative}IN ('a', 'B', '')"
        return said, said
    pattern, folded = draw(PATTERN).replace("'", "''"), draw(st.booleans())
    if folded:
        return f"name {negative}ILIKE '{pattern}'", f"lower(name) {negative}LIKE lower('{pattern}')"
    said = f"name {negative}LIKE '{pattern}'"
    return said, said


QUERY = st.recursive(
    _test(),
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "or"]), inner, st.booleans()).map(
        lambda row: tuple(
            f"({row[0][n]} {row[1]} {row[2][n]})" if row[3] else f"{row[0][n]} {row[1]} {row[2][n]}"
            for n in (0, 1)
        )
    ),
    max_leaves=6,
)
RECORDS = st.lists(
    st.tuples(
        st.none() | st.text("aAbB%_x' ", max_size=3),
        st.none() | st.sampled_from([0.5, -1.0, 2.0, 10.0, 3.25]), st.none() | st.booleans(),
    ),
    max_size=6,
)  # fmt: skip


def _document(name, score, odd):
    doc = {"customProperties": {}}
    if name is not None:
        doc["name"] = name
    if score is not None:
        doc["customProperties"]["score"] = properties.wire(score)
    if odd is not None:
        doc["customProperties"]["odd name"] = properties.wire(odd)
    return doc


@settings(parent=patient, max_examples=400)
@given(QUERY, RECORDS)
def test_filters_find_what_a_database_finds(query, records):
    """The same rows, with what is missing, precedence, patterns and quotes."""
    said, sql = query
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA case_sensitive_like = ON")
        database.execute('CREATE TABLE t (at, name TEXT, score REAL, "odd name" BOOLEAN)')
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?)",
                             [(n, *row) for n, row in enumerate(records)])  # fmt: skip
        wanted = [row[0] for row in database.execute(f"SELECT at FROM t WHERE {sql} ORDER BY at")]
    database.close()
    test = filters.read(said)
    assert [n for n, row in enumerate(records) if test(_document(*row))] == wanted


@patient
@given(WORDS, WORDS)
def test_quoted_texts_mean_themselves(text, other):
    """With quotes and backslashes in them."""
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    assert filters.read(f"name = {quoted}")({"name": text})
    assert filters.read(f"name = {quoted}")({"name": other}) is (text == other)


@patient
@given(st.text("()'`\"=<>!,.ANDORILKE namescore0159 %_\\", max_size=40))
def test_any_text_is_a_filter_or_a_clear_error(text):
    """No other exception, and never by another way out."""
    try:
        filters.read(text)({"name": "x", "customProperties": {}})
    except InvalidRequest as error:
        said = error.message
    else:
        return
    assert said.startswith("filterQuery")


def test_filters_are_bounded():
    """In length, in depth and in time."""
    for text in ("(" * 40 + "name = 'x'" + ")" * 40, "name = 'x' OR " * 500 + "name = 'y'"):
        with pytest.raises(InvalidRequest):
            filters.read(text)
    slow = filters.read("name LIKE '" + "%a_" * 300 + "b'")
    assert slow({"name": "a" * 200_000}) is False


@pytest.mark.parametrize(
    "text",
    ["", "name", "name =", "= 'x'", "name = x", "name = 'x", "name LIKE 5", "name IN ()",
     "name IN ('a'", "NOT name = 'x'", "name = 'x' AND", "name = 'x' name = 'y'", "(name = 'x'",
     "name IS NULL", "name = 'x'; DROP TABLE t", "name = 5x", "name == 'x'", "AND = 'x'"],
)  # fmt: skip
def test_what_is_not_of_the_grammar_is_refused(text):
    """With the place, and what was expected."""
    with pytest.raises(InvalidRequest, match="filterQuery"):
        filters.read(text)


def test_ids_and_times_are_compared_as_numbers_or_texts():
    """As clients write either."""
    doc = {"id": "30", "createTimeSinceEpoch": "1700000000000", "customProperties": {
        "n": properties.wire(7), "mlflow.run": properties.wire("x")}}  # fmt: skip
    for text in ("id = 30", "id = '30'", "id > 4", "createTimeSinceEpoch > 1600000000000",
                 "n.int_value = 7", "n = 7.0", "mlflow.run = 'x'", "mlflow.run.string_value = 'x'",
                 "`mlflow.run`.string_value = 'x'", 'mlflow.run = "x"'):  # fmt: skip
        assert filters.read(text)(doc), text
    for text in ("n.string_value = '7'", "n = '7'", "n.double_value = 7", "nothing != 'x'"):
        assert not filters.read(text)(doc), text
