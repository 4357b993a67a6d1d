"""The policies as text: narrow, one per function, and in the files what the module says."""

import json

import pytest

from infra import policies
from tests.infra.test_policies_suffice import rights

ADMINISTERS = ("Scan", "Table", "PutBucket", "DeleteBucket", "Policy", "Acl", "CreateQueue")


def test_the_files_are_what_the_module_says():
    """`python -m infra.policies` was run after the last change, and nothing old lies about."""
    files = policies.files()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m infra.policies`"
    assert set(policies.CHALICE.glob("policy-*.json")) == set(files)


def test_each_function_has_a_policy_of_its_own():
    """The configuration names one file per function, and Chalice generates none."""
    config = json.loads((policies.CHALICE / "config.json").read_text(encoding="utf-8"))
    assert config["autogen_policy"] is False
    named = {name: made["iam_policy_file"] for name, made in config["lambda_functions"].items()}
    assert named == {name: f"policy-{name}.json" for name in policies.FUNCTIONS}


@pytest.mark.parametrize("function", policies.FUNCTIONS)
def test_no_policy_is_wide(function):
    """No action by pattern, none that scans or administers, and resources of the stack only."""
    assert rights(function)
    for action, resource in rights(function):
        assert "*" not in action
        assert not [word for word in ADMINISTERS if word in action], action
        service = action.partition(":")[0]
        assert service in ("dynamodb", "logs", "s3", "secretsmanager", "sqs")
        if service == "secretsmanager":
            assert (function, action) == ("archive", "secretsmanager:GetSecretValue")
            assert resource.endswith(":secret:weighbridge/*")
        assert service != "dynamodb" or resource == "Table"
        assert service != "logs" or "/aws/lambda/" in resource
        assert service != "s3" or resource.partition("/")[0] in ("Artifacts", "Site")


def test_only_the_sweep_deletes_what_clients_stored():
    """The API marks; one function, which nobody can call, deletes."""
    deleting = {
        (function, resource)
        for function in policies.FUNCTIONS
        for action, resource in rights(function)
        if action == "s3:DeleteObject"
    }
    assert deleting == {
        ("render_pages", "Site/p/*"),
        ("sweep", "Artifacts/archives/*"),
        ("sweep", "Artifacts/blobs/*"),
        ("sweep", "Artifacts/facts/*"),
        ("sweep", "Artifacts/inbox/*"),
        ("sweep", "Artifacts/manifests/*"),
        ("sweep", "Artifacts/parts/*"),
        ("sweep", "Site/p/*"),
    }


@pytest.mark.parametrize(
    ("function", "receives", "sends"),
    [
        ("api_handler", set(), {"ArchiveQueue", "IndexQueue", "RenderQueue"}),
        ("index_object", {"IndexQueue"}, {"IndexQueue", "RenderQueue"}),
        ("render_pages", {"RenderQueue"}, set()),
        ("sweep", set(), {"ArchiveQueue", "IndexQueue", "RenderQueue"}),
        ("archive", {"ArchiveQueue"}, {"IndexQueue", "RenderQueue"}),
    ],
)
def test_queues_run_one_way(function, receives, sends):
    """Each function takes from its own queue; nobody but the store and those who want something looked
    at again wakes the indexer."""
    found = rights(function)
    assert {r for action, r in found if action == "sqs:ReceiveMessage"} == receives
    assert {r for action, r in found if action == "sqs:SendMessage"} == sends


def test_inbox_credentials_write_inboxes_and_read_nothing():
    """The most that a grant can hand out; the grant itself cuts it to one project."""
    for statement in policies.inbox_writer()["Statement"]:
        assert not {"s3:GetObject", "s3:DeleteObject"} & set(statement["Action"])
        for resource in statement["Resource"]:
            if "Fn::Sub" in resource:
                assert resource["Fn::Sub"] == "${Artifacts.Arn}/inbox/*"
            else:
                assert statement["Condition"] == {"StringLike": {"s3:prefix": ["inbox/*"]}}
