"""Addresses: each builder with its parser."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalogue import slugs
from chalicelib.catalogue.slugs import Address, ModelSlug
from weighbridge.contract.errors import InvalidName

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/@:"), min_size=1,
    max_size=120,
)  # fmt: skip
IDS = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)


def digest(text):
    """The digest that stands for a long id."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@given(NAMES, IDS)
def test_a_model_slug_is_reversible(name, identifier):
    """The folder of a model tells its name, or its id where the name is too long."""
    slug = slugs.model_slug(name, identifier)
    assert len(slug) <= slugs.MAX_SLUG
    assert slug.strip(".")
    assert slug not in ("index.html", "index.json")
    assert set(slug) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-~")
    expected = ModelSlug(id=identifier) if slug.startswith("~~") else ModelSlug(name=name)
    assert slugs.parse_slug(slug) == expected


@given(NAMES, NAMES, IDS)
def test_two_models_never_share_a_folder(one, other, identifier):
    """Different names give different folders."""
    same = slugs.model_slug(one, identifier) == slugs.model_slug(other, identifier + "x")
    assert same == (one == other and not slugs.model_slug(one, "").startswith("~~"))


@given(st.text(max_size=60))
def test_only_what_the_builder_builds_is_parsed(text):
    """A folder that parses is the one folder of its model."""
    try:
        found = slugs.parse_slug(text)
    except InvalidName:
        return
    assert slugs.model_slug(found.name, "") == text if found.name else text == f"~~{found.id}"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("digits", "digits"),
        ("...", "~2E~2E~2E"),
        (".", "~2E"),
        ("index.json", "~69ndex.json"),
        ("guest#9999#model", "guest~239999~23model"),
        ("é", "~C3~A9"),
        ("~", "~7E"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "~~0123456789abcdef"),
    ],
)
def test_slugs_are_stable(name, slug):
    """These folders are in people's bookmarks."""
    assert slugs.model_slug(name, "0123456789abcdef") == slug


@pytest.mark.parametrize(
    "slug", ["", "~61", "~c3~a9", "~C3", "~", "a/b", "a b", "é", "~~", "..", "~~a/b"]
)
def test_other_folders_are_refused(slug):
    """What no builder builds names no model."""
    with pytest.raises(InvalidName):
        slugs.parse_slug(slug)


@given(NAMES, IDS, st.integers(1, 10**9))
def test_every_address_parses(name, identifier, number):
    """The parser gives back what each builder was given."""
    project = "Team.One"
    model = slugs.parse_slug(slugs.model_slug(name, identifier))
    first, last = slugs.range_of(number)
    assert first <= number <= last
    for path, expected in (
        (slugs.project_path(project), Address("project", "team.one")),
        (slugs.model_path(project, name, identifier), Address("model", "team.one", model)),
        (slugs.version_path(project, name, identifier, number),
         Address("version", "team.one", model, number)),
        (slugs.checkpoints_path(project, name, identifier, number),
         Address("checkpoints", "team.one", model, number)),
        (slugs.range_path(project, name, identifier, number),
         Address("range", "team.one", model, first, last)),
        (slugs.federated_path(project, name),
         Address("federated", "team.one", slugs.parse_slug(slugs.model_slug(name, digest(name))))),
    ):  # fmt: skip
        assert slugs.parse_path(path) == expected


def test_a_federated_model_is_never_in_a_models_way():
    """Its folder can be no model's; an id too long for a folder is found by its digest."""
    assert slugs.model_slug("~federated", "") == "~7Efederated"
    assert slugs.federated_path("P", "guest-1#model") == "/p/p/~federated/guest-1~23model/"
    many = "host-" + "_".join(str(10_000_000 + n) for n in range(64)) + "#model"
    path = slugs.federated_path("P", many)
    assert path == f"/p/p/~federated/~~{digest(many)}/"
    assert len(slugs.object_key(path)) < 250
    job = "202611210101010000001"
    assert slugs.parse_path(slugs.federated_path("P", job)).kind == "federated"
    assert slugs.parse_path(slugs.federated_path("P", "7")).model == ModelSlug(name="7")


@pytest.mark.parametrize(
    "path",
    ["/p/v/~federated/", "/p/v/~federated/x", "/p/v/~federated/x/1/", "/p/v/~federated/~61/",
     "/", "/p/", "/p/Vision/", "/p/v", "/p/v//", "/p/v/m/0/", "/p/v/m/01/", "/p/v/m/1",
     "/p/v/m/versions/2-101/", "/p/v/m/versions/1-99/", "/p/v/../", "/p/v/m/1/files/",
     "/p/v/m/1/\n"],
)  # fmt: skip
def test_other_addresses_are_refused(path):
    """An address that no builder builds is no page."""
    with pytest.raises(InvalidName):
        slugs.parse_path(path)


def test_object_keys_follow_the_address():
    """A page's files lie in the folder of its address."""
    assert slugs.object_key("/p/v/m/1/") == "p/v/m/1/index.html"
    assert slugs.object_key("/p/v/m/1/", "tensors.json") == "p/v/m/1/tensors.json"
    assert slugs.object_key("/") == "index.html"


def test_compare_addresses_quote_their_references():
    """A reference with any characters survives the query string."""
    from urllib.parse import parse_qs, urlsplit

    refs = ["v/a&b=c#d@1", "v/é +%@2"]
    assert parse_qs(urlsplit(slugs.compare_path(refs)).query) == {"ref": refs}
