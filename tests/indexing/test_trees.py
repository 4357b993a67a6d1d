"""Models of boosted trees against the libraries that wrote them: XGBoost, LightGBM, CatBoost."""

import base64
import json
import struct
import zlib

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost

from tests.indexing.table import Row, described

NAMES = ["age", "height", "steps"]

# One stump of XGBoost 2.1.4, the last release but one that writes this format.
OLD_BINARY = zlib.decompress(base64.b85decode(
    'c-'
    'l+K%u8FvCv4Be00E3pnhDBgL=vMl;D^#lnR$stl~y_V>6yhPnaONW;q;`EqSRD+I*1$qavL)epJ@=d_dgIYLfrxaC*R801F44pPy'
    'iB};kJAqOf5`Iy#2bJ8}|f9-Vzx{`RVM|F!S!b-'
    's}KV4+3_7S{y)Xk^PLEn6hDvGEOKXKPf9Uxg@hJ)deb0t(2FTo2q1`gckWqI!Z;U>G3)F#l`UjiA9OIN><fM#mR{|sqqE*#qs5-'
    'nduoNKy8LfwY31E1WxJ'
))  # fmt: skip


def _data(rows=80, columns=3, classes=2):
    rng = np.random.default_rng(1)
    values = rng.random((rows, columns))
    if rows > 1000:
        return values, rng.integers(0, classes, rows)  # nothing to learn makes large trees
    return values, (values.sum(1) * classes / columns).astype(int) % classes


def booster(rounds=4, rows=80, columns=3, classes=2, names=None, **params):
    """A trained XGBoost model."""
    values, labels = _data(rows, columns, classes)
    kinds = ["float"] * (columns - 1) + ["int"] if names else None
    data = xgboost.DMatrix(values, label=labels, feature_names=names, feature_types=kinds)
    objective = {"objective": "multi:softprob", "num_class": classes} if classes > 2 else {
        "objective": "binary:logistic"
    }  # fmt: skip
    depth = {} if params.get("booster") == "gblinear" else {"max_depth": 3}
    return xgboost.train({**objective, **depth, "nthread": 1, **params}, data, rounds)


def _xgboost(kind, **options):
    def make(folder):
        path = folder / f"model.{kind}"
        model = booster(**options)
        model.set_attr(best_iteration="3")
        model.save_model(path)
        return path

    return make


def _check_xgboost(path, facts):
    model = xgboost.Booster(model_file=path)
    config = json.loads(model.save_config())["learner"]
    trained = config["gradient_booster"]["name"]
    assert facts.architecture == facts.metadata["booster"] == trained
    assert facts.metadata["objective"] == config["objective"]["name"]
    assert facts.metadata["features"] == str(model.num_features())
    assert facts.metadata["version"] == xgboost.__version__
    assert facts.metadata["attribute best_iteration"] == model.attr("best_iteration")
    if trained == "gblinear":
        assert facts.metadata["rounds"] == str(model.num_boosted_rounds())
    else:
        assert facts.metadata["trees"] == str(len(model.get_dump()))
    assert [port.name for port in facts.inputs] == (model.feature_names or [])
    assert [port.dtype for port in facts.inputs] == (model.feature_types or [])
    classes = config["learner_model_param"]["num_class"]
    assert facts.metadata.get("classes", "0") == classes


def _make_binary(folder):
    path = folder / "model.bin"
    path.write_bytes(OLD_BINARY)
    return path


def _check_binary(path, facts):
    assert facts.metadata == {
        "objective": "binary:logistic", "booster": "gbtree", "features": "2", "version": "2.1",
    }  # fmt: skip
    assert "no longer reads" in facts.findings[0]
    with pytest.raises(xgboost.core.XGBoostError):
        xgboost.Booster(model_file=path)


def _make_lightgbm(folder):
    values, labels = _data(classes=3)
    data = lightgbm.Dataset(values, label=labels, feature_name=NAMES, categorical_feature=[])
    params = {"objective": "multiclass", "num_class": 3, "verbose": -1, "min_data_in_leaf": 2}
    path = folder / "model.txt"
    lightgbm.train(params, data, 5).save_model(path)
    return path


def _check_lightgbm(path, facts):
    model = lightgbm.Booster(model_file=path)
    assert [port.name for port in facts.inputs] == model.feature_name()
    assert facts.metadata["trees"] == str(model.num_trees())
    assert facts.metadata["num_tree_per_iteration"] == str(model.num_model_per_iteration())
    assert facts.metadata["features"] == str(model.num_feature())
    assert facts.metadata["learning_rate"] == str(model.params["learning_rate"])
    assert facts.architecture == model.params["boosting"] == "gbdt"
    assert facts.findings == ()


def _make_catboost(folder):
    values, labels = _data()
    rows = [[*row, "abc"[i % 3]] for i, row in enumerate(values)]
    pool = catboost.Pool(rows, labels, cat_features=[3], feature_names=[*NAMES, "city"])
    model = catboost.CatBoostClassifier(iterations=6, depth=3, verbose=0, allow_writing_files=False)
    model.fit(pool)
    model.get_metadata()["model_guid"] = "0-0-0-0"
    model.get_metadata()["trained_for"] = "a test"
    path = folder / "model.cbm"
    model.save_model(path)
    return path


def _check_catboost(path, facts):
    model = catboost.CatBoostClassifier().load_model(path)
    params = model.get_all_params()
    assert [port.name for port in facts.inputs] == model.feature_names_
    kinds = [port.dtype for port in facts.inputs]
    assert [n for n, kind in enumerate(kinds) if kind == "categorical"] == (
        model.get_cat_feature_indices()
    )
    assert facts.metadata["trees"] == str(model.tree_count_)
    assert facts.metadata["objective"] == params["loss_function"]
    assert facts.metadata["depth"] == str(params["depth"])
    assert facts.metadata["classes"] == ", ".join(map(str, model.classes_))
    assert facts.metadata["version"] == catboost.__version__
    assert facts.metadata["trained_for"] == model.get_metadata()["trained_for"]


_TREES = "objective, booster, trees, features with names and types, version"
ROWS = [
    Row("xgboost-json", "model.json, trees", "xgboost", _TREES,
        _xgboost("json", names=NAMES), _check_xgboost),
    Row("xgboost-json", "model.json, dart, 3 classes", "xgboost", _TREES,
        _xgboost("json", classes=3, booster="dart"), _check_xgboost),
    Row("xgboost-json", "model.json, linear", "xgboost", _TREES,
        _xgboost("json", booster="gblinear"), _check_xgboost),
    Row("xgboost-ubj", "model.ubj, trees", "xgboost", _TREES,
        _xgboost("ubj", names=NAMES), _check_xgboost),
    Row("xgboost-ubj", "model.ubj, dart, 3 classes", "xgboost", _TREES,
        _xgboost("ubj", classes=3, booster="dart"), _check_xgboost),
    Row("xgboost-binary", "model.bin", "xgboost 2.1.4 (kept in the test)",
        "its header; today's library refuses it", _make_binary, _check_binary),
    Row("lightgbm", "model.txt", "lightgbm", "trees, features with names, parameters",
        _make_lightgbm, _check_lightgbm),
    Row("catboost", "model.cbm", "catboost", "trees, loss, features with names and kinds, classes",
        _make_catboost, _check_catboost),
]  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of several megabytes, in both documents."""
    folder = tmp_path_factory.mktemp("large")
    model = booster(70, rows=2000, columns=8, classes=4, max_depth=9)
    for kind in ("json", "ubj"):
        model.save_model(folder / f"model.{kind}")
    return folder, model


@pytest.mark.parametrize("kind", ["json", "ubj"])
def test_of_a_large_model_only_beginning_and_end_are_read(large, kind, monkeypatch):
    """Trees are passed over, and the facts are the same."""
    from chalicelib.indexing.formats import xgboost as indexer

    folder, model = large
    path = folder / f"model.{kind}"
    whole = described(path)
    monkeypatch.setattr(indexer, "WHOLE", 512 * 1024)
    monkeypatch.setattr(indexer, "HEAD", 128 * 1024)
    facts = described(path)
    assert facts.problem == ""
    assert facts.metadata["trees"] == str(len(model.get_dump()))
    assert (facts.metadata, facts.architecture) == (whole.metadata, whole.architecture)
    assert path.stat().st_size > 1024 * 1024
    assert facts.read_bytes < path.stat().st_size
    assert facts.requests <= 4
    cut = path.read_bytes()[:-300_000]
    assert "cut short" in described(cut).problem


def test_a_pretty_printed_model_is_read_as_well(made):
    """White space and another program's writing change nothing."""
    path = made(ROWS[0])
    text = json.dumps(json.loads(path.read_bytes()), indent=2)
    assert described(text.encode()).metadata.keys() == described(path).metadata.keys()


def test_trees_that_do_not_end_where_they_should_are_told(made):
    """Sizes in the head of a LightGBM model that are a lie are found out."""
    data = made(ROWS[6]).read_bytes()
    at = data.index(b"tree_sizes=") + len(b"tree_sizes=")
    lying = data[:at] + b"9" + data[at:]
    assert "cut short" in described(lying).problem
    shorter = data[:at] + b"1 " + data[data.index(b" ", at) + 1 :]
    assert described(shorter).findings == ("its trees do not end where their sizes say",)


def test_a_name_that_stands_twice_in_ubjson_is_refused(made):
    """Two readers could take one or the other."""
    data = made(ROWS[3]).read_bytes()
    name = b"L" + struct.pack(">q", 7) + b"version"
    assert data.count(name) == 1
    twice = data[:-1] + name + b"i\x01" + data[-1:]
    assert "stands twice" in described(twice).problem
