"""Shared by the catalogue's tests: the sample registry, and a site as a folder on disk."""

import shutil

import pytest

from chalicelib.catalogue import building
from chalicelib.catalogue.render import Renderer
from tests.catalogue.catalogue_world import world

BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture(scope="session")
def renderer():
    """One renderer for all tests."""
    return Renderer()


@pytest.fixture
def source():
    """A fresh sample registry."""
    return world()


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER)
        yield found
        found.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory, renderer):
    """The sample registry, rendered to a folder that tests only read."""
    folder = tmp_path_factory.mktemp("site")
    building.build(world(), folder, renderer)
    yield folder
    shutil.rmtree(folder)
