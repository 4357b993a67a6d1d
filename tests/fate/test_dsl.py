"""Predict graphs: the recorded one, the rules one by one, and an independent walk as a check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.fate import dsl
from tests.fate import models
from weighbridge.contract.errors import InvalidRequest


def test_the_recorded_graph():
    """As the reference made it of the same training."""
    assert dsl.predict(models.TRAIN_DSL, ["data_transform_0", "hetero_lr_0"]) == {
        "components": {
            "data_transform_0": {
                "module": "DataTransform",
                "input": {"model": ["pipeline.data_transform_0.model"]},
                "output": {"data": ["data"]},
            },
            "hetero_lr_0": {
                "module": "HeteroLR",
                "input": {
                    "data": {"test_data": ["data_transform_0.data"]},
                    "model": ["pipeline.hetero_lr_0.model"],
                },
                "output": {"data": ["data"]},
            },
        }
    }


def graph(**components):
    """A graph of components: name to (module, data inputs, has a model)."""
    return {
        "components": {
            name: {
                "module": module, "input": {"data": data},
                "output": {"data": ["data"], **({"model": ["model"]} if model else {})},
            }
            for name, (module, data, model) in components.items()
        }
    }  # fmt: skip


def inputs(found, name):
    """The data that a component takes."""
    return found["components"][name].get("input", {}).get("data")


def test_a_dropped_component_is_replaced_by_what_fed_it():
    """By its training data first, however many are dropped in a row."""
    train = graph(
        reader=("Reader", {}, False),
        a=("A", {"data": ["reader.data"]}, True),
        split=("Split", {"validate_data": ["x.data"], "train_data": ["a.data"]}, False),
        other=("Other", {"test_data": ["split.data"]}, False),
        end=("End", {"train_data": ["other.data"], "validate_data": ["reader.data"]}, True),
    )
    assert inputs(dsl.predict(train, ["a", "end"]), "end") == {"test_data": ["a.data"]}
    kept = dsl.predict(train, ["reader", "end"])
    assert inputs(kept, "end") == {"test_data": ["reader.data"]}
    assert inputs(dsl.predict(train, ["end"]), "end") is None


def test_caches_are_copied_and_plain_data_keep_their_name():
    """`data` stays `data`; all else becomes `test_data`."""
    train = {"components": {
        "i": {"module": "Intersection", "input": {"data": {"data": ["d.data"]}, "cache": ["c.cache"]},
              "output": {"data": ["data"], "cache": ["cache"]}},
        "d": {"module": "D", "output": {"data": ["data"]}},
    }}  # fmt: skip
    found = dsl.predict(train, ["i", "d"])["components"]
    assert list(found) == ["d", "i"]
    assert found["i"]["input"] == {"data": {"data": ["d.data"]}, "cache": ["c.cache"]}
    assert found["i"]["output"] == {"data": ["data"], "cache": ["cache"]}


@pytest.mark.parametrize(
    "given", [{"components": []}, {"components": {"a": 1}}, {"components": {
        "a": {"input": {"data": {"data": ["b.data"]}}},
        "b": {"input": {"data": {"data": ["a.data"]}}}}}],
)  # fmt: skip
def test_what_is_no_graph_is_refused(given):
    """Circles too."""
    with pytest.raises(InvalidRequest):
        dsl.predict(given, ["a"])


def test_unknown_components_are_named():
    """With those that there are."""
    with pytest.raises(InvalidRequest, match=r"nope.*hetero_lr_0"):
        dsl.predict(models.TRAIN_DSL, ["nope"])


@st.composite
def trainings(draw):
    """Random graphs in which components take data from earlier ones, shuffled; and who is kept."""
    names = [f"c{n}" for n in range(draw(st.integers(1, 8)))]
    found = {}
    for at, name in enumerate(names):
        sources = draw(st.lists(st.sampled_from(names[:at]), max_size=2)) if at else []
        key = draw(st.sampled_from(("data", "train_data", "test_data")))
        module = "Reader" if not sources else "M"
        found[name] = (module, {key: [f"{s}.data" for s in sources]} if sources else {}, True)
    kept = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    order = draw(st.permutations(names))
    return graph(**{name: found[name] for name in order}), kept


@given(trainings())
def test_kept_components_take_from_kept_ones_only(drawn):
    """And from just those that are reached by going through dropped ones."""
    train, kept = drawn
    found = dsl.predict(train, kept)["components"]
    assert set(found) == set(kept)
    place = {name: at for at, name in enumerate(found)}
    for name, component in found.items():
        reached, waiting = set(), [name]
        while waiting:
            for refs in train["components"][waiting.pop()]["input"]["data"].values():
                for ref in refs:
                    source = ref.partition(".")[0]
                    if source in kept:
                        reached.add(source)
                    else:
                        waiting.append(source)
        data = component.get("input", {}).get("data", {})
        assert {ref.partition(".")[0] for refs in data.values() for ref in refs} == reached
        assert all(place[source] < place[name] for source in reached)


def test_the_template_of_a_prediction():
    """Every reader of every guest and host has a place for its table."""
    conf = models.federated(roles={"guest": [1], "host": [2, 3], "arbiter": [2]}).conf()
    train = dsl.predict(models.TRAIN_DSL, ["reader_0", "data_transform_0"])
    found = dsl.predict_conf(conf, train, "m", "v")
    assert found["job_parameters"]["common"] == {
        "model_id": "m", "model_version": "v", "job_type": "predict",
    }  # fmt: skip
    assert found["dsl_version"] == 2
    filled = found["component_parameters"]["role"]
    assert {role: list(positions) for role, positions in filled.items()} == {
        "guest": ["0"], "host": ["0", "1"],
    }  # fmt: skip
    assert set(filled["host"]["1"]["reader_0"]["table"]) == {"name", "namespace"}
    none = dsl.predict_conf(conf, dsl.predict(models.TRAIN_DSL, ["hetero_lr_0"]), "m", "v")
    assert none["component_parameters"] == {"role": {}}
