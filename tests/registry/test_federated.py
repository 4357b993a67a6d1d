"""Versions of parties' models are found by label and by federated model, as long as they exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.registry import changing, federated, models, publishing
from tests.registry_world import key_of, publish
from weighbridge.contract import references
from weighbridge.contract.errors import InvalidName, NotFound
from weighbridge.contract.federated import Party, PartyModel, model_id, parse, parties, party_model
from weighbridge.contract.types import NewModel, NewVersion

ROLES = {"guest": [9999], "host": [10000, 9998], "arbiter": [10000]}
ID = "arbiter-10000#guest-9999#host-9998_10000#model"
NAMES = [f"guest#9999#{ID}", f"host#9998#{ID}", f"host#10000#{ID}", f"arbiter#10000#{ID}"]


def make(stores, *names):
    """The models of some parties."""
    for name in names:
        models.create(stores, "ann", "vision", NewModel(name))


def number(value):
    return references.parse_version(str(value))


def test_a_model_id_names_its_parties_as_fate_does():
    """Roles by name, numbers as numbers, each once."""
    assert model_id(ROLES | {"host": [10000, 9998, 10000]}) == ID
    assert model_id({"host": ["9998", "10000"], "guest": ["a"]}) == "guest-a#host-10000_9998#model"
    expected = {Party(role, str(one)) for role, ids in ROLES.items() for one in ids}
    assert set(parties(ID)) == expected
    assert parties("202611210101010000001") == ()
    assert parties("guest-#host-1#model") == ()


@given(
    st.dictionaries(
        st.sampled_from(["guest", "host", "arbiter"]),
        st.lists(st.integers(0, 10**9), min_size=1, max_size=64),
        min_size=1,
    )
)
def test_what_a_model_id_says_is_read_back(roles):
    """Whoever takes part."""
    said = {Party(role, str(one)) for role, ids in roles.items() for one in ids}
    assert set(parties(model_id(roles))) == said
    for party in said:
        found = PartyModel(party.role, party.party_id, model_id(roles))
        assert parse(found.name) == found


@pytest.mark.parametrize(
    "name", ["digits", "guest", "guest#1", "guest##x", "nobody#1#x", "guest#1#"]
)
def test_other_names_are_no_party_models(name):
    """They are models as all others."""
    assert parse(name) is None


@pytest.mark.parametrize("bad", [("nobody", 1, "x"), ("guest", "", "x"), ("guest", "1#2", "x")])
def test_what_cannot_be_a_party_model_is_refused(bad):
    """With the name in the message."""
    with pytest.raises(InvalidName, match="is no party model"):
        party_model(*bad)


def test_a_federated_version_is_complete_when_every_party_is_ready(stores):
    """Until then it says who is missing."""
    make(stores, *NAMES)
    for name in NAMES[:3]:
        publish(stores, {"f": name.encode()}, model=name, label="202601")
    found = federated.show(stores, "vision", ID, "202601")
    assert (found.complete, found.missing) == (False, ("arbiter#10000",))
    opened = publishing.begin(stores, "ann", "vision", NAMES[3], NewVersion(key_of("o"), "202601"))
    found = federated.show(stores, "vision", ID, "202601")
    assert (found.complete, found.missing) == (False, ("arbiter#10000",))
    assert [shard.state for shard in found.shards].count("open") == 1
    publishing.abort(stores, "ann", "vision", NAMES[3], opened.number)
    assert len(federated.show(stores, "vision", ID, "202601").shards) == 3
    publish(stores, {"f": b"4"}, model=NAMES[3], label="202601")
    found = federated.show(stores, "vision", ID, "202601")
    assert (found.complete, found.missing) == (True, ())
    assert [shard.role for shard in found.shards] == ["arbiter", "guest", "host", "host"]


def test_a_label_is_found_over_all_models_and_goes_with_its_version(stores):
    """A job id names a model; a label that is free again finds nothing."""
    other = "guest#9999#guest-9999#model"
    make(stores, NAMES[0], other)
    publish(stores, {"f": b"1"}, model=NAMES[0], label="a%b#c")
    publish(stores, {"f": b"2"}, model=other, label="a%b#c")
    publish(stores, {"f": b"3"}, model=other, label="a%b")
    publish(stores, {"f": b"4"}, label="a%b#c")  # no party's model
    names = [record.version.model for _, record in federated.labelled(stores, "vision", "a%b#c")]
    assert sorted(names) == sorted([NAMES[0], other])
    changing.delete(stores, "ann", "vision", other, number(1))
    assert len(federated.labelled(stores, "vision", "a%b#c")) == 1
    with pytest.raises(NotFound):
        federated.show(stores, "vision", "guest-9999#model", "a%b#c")


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_each_federated_version_is_listed_once_with_all_parties(stores, limit):
    """However long the pages are."""
    make(stores, *NAMES)
    for label in ("1", "2", "3"):
        for name in NAMES:
            publish(stores, {"f": b"1"}, model=name, label=label)
    seen, page = [], None
    while True:
        found = federated.listing(stores, "vision", model_id=ID, limit=limit, page=page)
        seen += [(item.label, len(item.shards)) for item in found.items]
        if (page := found.next) is None:
            break
    assert sorted(seen) == [("1", 4), ("2", 4), ("3", 4)]
