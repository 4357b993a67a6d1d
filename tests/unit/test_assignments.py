"""Which provider runs which task: the table of four places, its edges, and an independent slow resolver."""

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.contract import assignments, providers
from weighbridge.contract.errors import InvalidName, TooLarge
from weighbridge.contract.providers import ProviderName

DEFAULT = ProviderName("fate", "2.2.0", "local")
A, B, C, D = (f"{letter}:1@docker" for letter in "abcd")
GUEST, HOST = {"role": "guest", "party_id": ["9999"]}, {"role": "host", "party_id": ["10000"]}
PLACES = ("guest lr_0", "guest reader_0", "host lr_0", "host reader_0")


def dag(job=None, task=None, **sites):
    """A DAG of two tasks and two parties. `task` is the conf of lr_0; a site is (parties, conf, tasks)."""
    found = {
        "parties": [GUEST, HOST],
        "tasks": {"lr_0": {"component_ref": "lr"}, "reader_0": {"component_ref": "reader"}},
    }
    if job is not None:
        found["conf"] = {"task": job}
    if task is not None:
        found["tasks"]["lr_0"]["conf"] = task
    for name, (parties, conf, tasks) in sites.items():
        site = {"parties": parties, "tasks": {t: {"conf": c} for t, c in tasks.items()}}
        if conf is not None:
            site["conf"] = conf
        found.setdefault("party_tasks", {})[name] = site
    return {"dag": found, "schema_version": "2.0.0", "kind": "fate"}


def provider(name):
    """A conf with that provider."""
    return {"provider": name}


def shown(resolution):
    """Provider by `role task`, of a DAG without problems."""
    assert not resolution.problems
    return {f"{a.role} {a.task}": a.provider for a in resolution.items}


def guest(conf=None, **tasks):
    """A site of the guest."""
    return ([GUEST], conf, tasks)


TABLE = [
    (dag(), (str(DEFAULT),) * 4),
    (dag(provider(A)), (A, A, A, A)),
    (dag(provider(A), provider(C)), (C, A, C, A)),
    (dag(provider(A), one=guest(provider(B))), (B, B, A, A)),
    (dag(None, provider(C), one=guest(provider(B))), (B, B, C, str(DEFAULT))),
    (dag(provider(A), provider(C), one=guest(provider(B), lr_0=provider(D))), (D, B, C, A)),
    (dag(provider(A), one=guest(provider(None))), (str(DEFAULT), str(DEFAULT), A, A)),
    (dag(provider(A), one=guest(provider(""))), (str(DEFAULT), str(DEFAULT), A, A)),
]


@pytest.mark.parametrize(("schema", "expected"), TABLE)
def test_every_row_of_the_table(schema, expected):
    """What is set where, and who then runs what."""
    found = shown(assignments.resolve(schema, DEFAULT))
    assert tuple(found[place] for place in PLACES) == expected


def test_the_place_that_decides_is_told():
    """By its level, and by its path in the document."""
    schema = dag(provider(A), provider(C), one=guest(provider(B), lr_0=provider(D)))
    found = {
        (a.role, a.task): (a.level, a.place, a.value)
        for a in assignments.resolve(schema, DEFAULT).items
    }
    assert found == {
        ("guest", "lr_0"): (
            "dag.party_tasks.tasks.conf", "dag.party_tasks.one.tasks.lr_0.conf.provider", D,
        ),
        ("guest", "reader_0"): ("dag.party_tasks.conf", "dag.party_tasks.one.conf.provider", B),
        ("host", "lr_0"): ("dag.tasks.conf", "dag.tasks.lr_0.conf.provider", C),
        ("host", "reader_0"): ("dag.conf.task", "dag.conf.task.provider", A),
    }  # fmt: skip
    [plain, *_] = assignments.resolve(dag(), DEFAULT).items
    assert (plain.level, plain.place, plain.value) == ("default", "", "")


def test_keys_are_merged_one_by_one_and_objects_are_replaced():
    """A stronger place changes the keys that it has, whole."""
    schema = dag(
        {"provider": A, "timeout": 1, "engine_run": {"cores": 4, "x": 1}},
        {"timeout": 2},
        one=guest({"engine_run": {"cores": 8}}),
    )
    found = {
        (party.role, task): {key: setting.value for key, setting in conf.items()}
        for (task, party), conf in assignments.configurations(schema).items()
    }
    assert found["guest", "lr_0"] == {"provider": A, "timeout": 2, "engine_run": {"cores": 8}}
    assert found["host", "reader_0"] == {
        "provider": A, "timeout": 1, "engine_run": {"cores": 4, "x": 1},
    }  # fmt: skip


def test_sites_count_in_the_order_of_the_document():
    """A later site-wide conf overrides what an earlier site says of a task."""
    sites = {"one": guest(None, lr_0=provider(D)), "two": guest(provider(B))}
    assert shown(assignments.resolve(dag(**sites), DEFAULT))["guest lr_0"] == B
    turned = dict(reversed(sites.items()))
    assert shown(assignments.resolve(dag(**turned), DEFAULT))["guest lr_0"] == D


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("*:3@*", "fate:3@local"), (":@", str(DEFAULT)), ("acme:@k8s", "acme:2.2.0@k8s"),
        ("*:*@docker", "fate:2.2.0@docker"),
    ],
)  # fmt: skip
def test_a_part_may_be_that_of_the_default(value, expected):
    """If it is empty or a star."""
    assert shown(assignments.resolve(dag(provider(value)), DEFAULT))["guest lr_0"] == expected


@pytest.mark.parametrize(
    "value", ["fate", "a:b", "a:b:c@d", "@", "a:b@c@d", "a@b:c", "a:b@moon", 7, ["a:b@local"]]
)
def test_what_is_no_provider_is_a_problem_of_its_place(value):
    """One problem, however many tasks it concerns."""
    found = assignments.resolve(dag(provider(value)), DEFAULT)
    assert [p.place for p in found.problems] == ["dag.conf.task.provider"]
    assert found.items == ()


def test_a_provider_must_be_registered():
    """The problem names it; what would run is told all the same."""
    found = assignments.resolve(dag(provider(A), provider(C)), DEFAULT, {A}.__contains__)
    assert [(p.place, p.message) for p in found.problems] == [
        ("dag.tasks.lr_0.conf.provider", f"the provider {C} is not registered")
    ]
    assert {a.provider: a.registered for a in found.items} == {A: True, C: False}


def only_guest():
    """A DAG in which the host has no part in lr_0."""
    schema = dag(provider(A))
    schema["dag"]["tasks"]["lr_0"]["parties"] = [GUEST]
    return schema


def test_a_task_may_have_parties_of_its_own():
    """Only they run it."""
    found = assignments.resolve(only_guest(), DEFAULT)
    assert [(a.role, a.task) for a in found.items] == [
        ("guest", "lr_0"), ("guest", "reader_0"), ("host", "reader_0")
    ]  # fmt: skip


def with_site(schema, site):
    """The same with a site."""
    schema = copy.deepcopy(schema)
    schema["dag"]["party_tasks"] = {"one": site}
    return schema


STRANGER = {"role": "host", "party_id": ["1"]}


@pytest.mark.parametrize(
    ("schema", "place", "says"),
    [
        (with_site(dag(), {"parties": [STRANGER], "conf": provider(A)}),
         "dag.party_tasks.one.parties", "host 1 is no party"),
        (with_site(dag(), {"conf": provider(A)}), "dag.party_tasks.one", "no parties"),
        (with_site(dag(), {"tasks": {"lr_0": {"conf": provider(A)}}}), "dag.party_tasks.one",
         "no parties"),
        (with_site(only_guest(), {"parties": [HOST], "conf": provider(B)}),
         "dag.party_tasks.one.conf", "does not take part in the task lr_0"),
        (with_site(only_guest(), {"parties": [HOST], "tasks": {"lr_0": {"conf": provider(B)}}}),
         "dag.party_tasks.one.tasks.lr_0.conf", "does not take part"),
        ({"dag": {"parties": [GUEST], "tasks": {"a": {"parties": [HOST]}}}},
         "dag.tasks.a.parties", "no party of this job"),
        ({}, "dag", "missing"), ([], "dag", "missing"), (None, "dag", "missing"),
        ({"dag": {"parties": [GUEST], "tasks": {}}}, "dag.tasks", "no task"),
        ({"dag": {"tasks": {"a": {}}}}, "dag.parties", "nobody"),
        ({"dag": {"parties": {"role": "guest"}, "tasks": {"a": {}}}}, "dag.parties", "a list"),
        ({"dag": {"parties": [{"party_id": ["1"]}], "tasks": {"a": {}}}}, "dag.parties[0]", "role"),
        ({"dag": {"parties": [{"role": "guest", "party_id": "1"}], "tasks": {"a": {}}}},
         "dag.parties[0]", "list of texts"),
        (dag("fast"), "dag.conf.task", "must be an object"),
        (dag(None, ["x"]), "dag.tasks.lr_0.conf", "must be an object"),
    ],
)  # fmt: skip
def test_what_the_reference_falls_over_is_told(schema, place, says):
    """Where it is, and what is wrong with it."""
    found = {p.place: p.message for p in assignments.resolve(schema, DEFAULT).problems}
    assert says in found[place]


def test_a_task_that_is_only_in_a_site_is_ignored():
    """As the reference does."""
    schema = dag(provider(A), one=guest(None, gone_0=provider("no provider at all")))
    assert set(shown(assignments.resolve(schema, DEFAULT)).values()) == {A}


def test_bfia_jobs_name_vendor_and_version_apart():
    """And run in containers."""
    schema = {**dag({"provider": "acme", "version": "3"}, {"version": "4"}), "kind": "bfia"}
    assert shown(assignments.resolve(schema, DEFAULT)) == {
        "guest lr_0": "acme:4@docker", "host lr_0": "acme:4@docker",
        "guest reader_0": "acme:3@docker", "host reader_0": "acme:3@docker",
    }  # fmt: skip
    found = assignments.resolve({**dag({"provider": "acme"}), "kind": "bfia"}, DEFAULT)
    assert "version" in found.problems[0].message


def test_a_dag_is_bounded():
    """A document that would take minutes is refused."""
    many = {"role": "host", "party_id": [str(n) for n in range(300)]}
    tasks = {f"t{n}": {} for n in range(100)}
    with pytest.raises(TooLarge):
        assignments.resolve({"dag": {"parties": [many], "tasks": tasks}}, DEFAULT)
    few = {"role": "host", "party_id": [str(n) for n in range(100)]}
    sites = {f"s{n}": {"parties": [few], "conf": provider(A)} for n in range(100)}
    with pytest.raises(TooLarge):
        assignments.resolve(
            {"dag": {"parties": [few], "tasks": tasks, "party_tasks": sites}}, DEFAULT
        )


# Against a resolver that shares no line with ours: for one task and party it writes down every value
# that concerns them, in the order of the document, and takes the last.


def slowly(schema, task, role, party_id):
    """The last word on the provider of a task at a party."""
    document = schema["dag"]

    def concerns(parties):
        return any(p["role"] == role and party_id in p["party_id"] for p in parties)

    words = [document.get("conf", {}).get("task", {}), document["tasks"][task].get("conf", {})]
    for site in document.get("party_tasks", {}).values():
        if concerns(site["parties"]):
            words.append(site.get("conf") or {})
            words.append(site["tasks"].get(task, {}).get("conf", {}))
    said = [word["provider"] for word in words if "provider" in word]
    last = (said or [""])[-1] or ":@"
    name, rest = last.split(":")
    version, device = rest.split("@")
    parts = zip((name, version, device), ("fate", "2.2.0", "local"), strict=True)
    n, v, d = (mine if part in ("", "*") else part for part, mine in parts)
    return f"{n}:{v}@{d}"


VALUES = st.sampled_from([A, B, C, D, "*:9@*", ":@", "", None])
CONF = st.one_of(
    st.just({}), VALUES.map(provider), st.integers(0, 9).map(lambda n: {"timeout": n}),
    VALUES.map(lambda v: {"provider": v, "timeout": 1}),
)  # fmt: skip
PARTIES = [(r, p) for r in ("guest", "host", "arbiter") for p in ("1", "2", "3")]
TASKS = ("reader_0", "lr_0", "eval_0")


def listed(pairs):
    """Parties as a DAG lists them."""
    return [{"role": role, "party_id": [party]} for role, party in pairs]


@st.composite
def dags(draw):
    """Any DAG without problems."""
    everybody = draw(st.lists(st.sampled_from(PARTIES), min_size=1, unique=True))
    subset = st.lists(st.sampled_from(everybody), min_size=1, unique=True)
    sites = {
        f"site {n}": {
            "parties": listed(draw(subset)),
            "conf": draw(CONF),
            "tasks": draw(st.dictionaries(
                st.sampled_from([*TASKS, "gone_0"]), CONF.map(lambda c: {"conf": c})
            )),
        }
        for n in range(draw(st.integers(0, 4)))
    }  # fmt: skip
    return {
        "dag": {
            "parties": listed(everybody),
            "conf": {"task": draw(CONF)},
            "tasks": {task: {"conf": draw(CONF)} for task in TASKS},
            "party_tasks": sites,
        },
        "kind": "fate",
    }


@given(dags())
def test_any_dag_resolves_as_a_slow_resolver_says(schema):
    """Whatever is set wherever."""
    found = assignments.resolve(schema, DEFAULT)
    assert not found.problems
    pairs = [(p["role"], i) for p in schema["dag"]["parties"] for i in p["party_id"]]
    assert len(found.items) == len(TASKS) * len(pairs)
    for item in found.items:
        assert item.provider == slowly(schema, item.task, item.role, item.party_id)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["dag", "parties", "role", "party_id", "conf", "task", "tasks", "provider",
                         "party_tasks", "a", "kind"]), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(JSON, JSON)
def test_any_json_is_answered(whole, inner):
    """Never with a crash."""
    for schema in (whole, {"dag": inner}, {"dag": {"parties": inner, "tasks": whole}}):
        assignments.resolve(schema, DEFAULT)


PART = st.text(min_size=1, max_size=20).filter(lambda t: not providers.part_problem(t))


@given(PART, PART, st.sampled_from(providers.DEVICES))
def test_a_name_is_parsed_as_it_was_built(name, version, device):
    """The parts come back."""
    found = ProviderName(name, version, device)
    assert providers.parse(str(found)) == found
    assert providers.choose(str(found), DEFAULT) == found


@given(st.text(max_size=30))
def test_any_other_text_is_no_provider(text):
    """With an error that says how one is written."""
    with contextlib.suppress(InvalidName):
        assert str(providers.parse(text)) == text
