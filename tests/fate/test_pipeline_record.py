"""The pipeline record: the same in both forms, as protobuf's own library reads and writes it."""

import json

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.fate import layout, pipeline
from tests.fate import models
from weighbridge.contract.errors import InvalidManifest

NAMES = [
    "inference_dsl", "train_dsl", "train_runtime_conf", "fate_version", "model_id",
    "model_version", "parent", "loaded_times", "roles", "work_mode", "initiator_role",
    "initiator_party_id", "runtime_conf_on_party", "parent_info",
]  # fmt: skip
KINDS = {"bytes": 12, "string": 9, "bool": 8, "int32": 5}


@pytest.fixture(scope="module")
def message():
    """The message's class, made from the list of its fields."""
    kinds = dict.fromkeys(NAMES, "bytes")
    kinds |= dict.fromkeys(
        ("fate_version", "model_id", "model_version", "initiator_role"), "string"
    )
    kinds |= dict.fromkeys(("loaded_times", "work_mode", "initiator_party_id"), "int32")
    kinds["parent"] = "bool"
    file = descriptor_pb2.FileDescriptorProto(name="pipeline_test.proto", syntax="proto3")
    described = file.message_type.add(name="Pipeline")
    for number, name in enumerate(NAMES, 1):
        described.field.add(name=name, number=number, type=KINDS[kinds[name]], label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Pipeline"))


objects = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4)
records = st.fixed_dictionaries({}, optional={
    **{name: objects.map(lambda o: json.dumps(o).encode())
       for name in ("train_dsl", "roles", "parent_info", "train_runtime_conf")},
    **dict.fromkeys(("fate_version", "model_id", "model_version", "initiator_role"),
                    st.text(max_size=20)),
    "parent": st.booleans(),
    **dict.fromkeys(("loaded_times", "work_mode", "initiator_party_id"),
                    st.integers(-(2**31), 2**31 - 1)),
})  # fmt: skip


@given(values=records)
def test_both_forms_agree_with_the_library(message, values):
    """What it writes we read, and what we write it reads, in either form."""
    theirs = message(**values)
    ours = pipeline.from_protobuf(theirs.SerializeToString())
    assert pipeline.from_json(json_format.MessageToJson(theirs).encode()) == ours
    assert message.FromString(pipeline.to_protobuf(ours)) == theirs
    assert json_format.Parse(pipeline.to_json(ours), message()) == theirs


@given(data=st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data):
    """They are a record, or an error."""
    for read in (pipeline.from_protobuf, pipeline.from_json):
        try:
            found = read(data)
            found.document("trainDsl")
        except InvalidManifest:
            continue


def test_a_record_is_renamed_everywhere():
    """Also inside the two configurations; one that has the names already is not touched."""
    training = models.federated()
    record = pipeline.from_json(training.tree("guest", 9999)[layout.PIPELINE_JSON])
    assert pipeline.renamed(record, training.model_id, training.model_version) is record
    found = pipeline.renamed(record, "other#model", "7")
    common = found.document("trainRuntimeConf")["job_parameters"]["common"]
    assert (common["model_id"], common["model_version"]) == ("other#model", "7")
    assert common["job_type"] == "train"
    assert found.document("runtimeConfOnParty")["job_parameters"]["model_version"] == "7"
    assert found.values["trainDsl"] == record.values["trainDsl"]


def test_older_records_are_repaired():
    """Roles and initiator of a record that was migrated badly come from the train conf again."""
    training = models.federated(fate_version="1.8.0")
    values = training.record("guest", 9999)
    values["roles"] = {"guest": [1]}
    values["runtimeConfOnParty"]["role"] = {"guest": [1]}
    record = pipeline.from_protobuf(models.protobuf(values))
    assert pipeline.older_than(record, (1, 9, 0))
    found = pipeline.renamed(record, "m#model", "v", repair=True)
    assert found.roles == training.roles
    assert found.document("runtimeConfOnParty")["role"] == training.roles


@pytest.mark.parametrize(
    ("text", "older"), [("1.8.9", True), ("1.9.0", False), ("1.11.2", False), ("2.0.0", False),
                        ("", True), ("1.9.0-rc", False), ("weird", True)],
)  # fmt: skip
def test_versions_are_compared_as_numbers(text, older):
    """1.11 is later than 1.9."""
    assert pipeline.older_than(pipeline.Pipeline({"fateVersion": text}), (1, 9, 0)) is older
