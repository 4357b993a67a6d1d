"""The fake client must not drift from the real one."""

import inspect

import pytest

from tests.sdk.cli.fake_client import FakeClient
from tests.sdk.cli.fake_providers import FakeProviders
from tests.sdk.cli.fake_registry import FakeRegistry
from weighbridge.client import Client
from weighbridge.registry import Registry


def _public(cls):
    return sorted(
        name for name, value in vars(cls).items() if not name.startswith("_") and callable(value)
    )


def _shape(function):
    return [
        (p.name, p.kind, p.default is not p.empty)
        for p in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize("name", [*_public(FakeClient), *_public(FakeProviders)])
def test_the_fake_client_has_the_signatures_of_the_real_one(name):
    """A command that works on the fake calls the real client correctly."""
    assert _shape(getattr(FakeClient, name)) == _shape(getattr(Client, name))


@pytest.mark.parametrize(
    "name", ["pull", "pull_tensors", "push", "push_checkpoint", "resume", "close"]
)
def test_the_fake_registry_has_the_signatures_of_the_real_one(name):
    """What moves bytes is replaced under the same signature."""
    assert _shape(getattr(FakeRegistry, name)) == _shape(getattr(Registry, name))
