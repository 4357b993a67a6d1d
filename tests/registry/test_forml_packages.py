"""Packages of ForML are looked into before a version that holds one is visible."""

import io
import stat
import struct
import warnings
import zipfile
from dataclasses import replace

import pytest

from chalicelib.registry import models, versions
from tests.registry_world import publish
from weighbridge.contract.errors import IntegrityError, Unsupported
from weighbridge.contract.types import ModelChanges, ModelSettings

MANIFEST = 'NAME = "digits"\nVERSION = "1.0.dev1"\nPACKAGE = "digits"\nMODULES = {}\n'


def package(*members, manifest=MANIFEST):
    """A zip with a manifest and more members: (name, data) or (ZipInfo, data)."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        if manifest is not None:
            archive.writestr("__4ml__.py", manifest)
        archive.writestr("digits/__init__.py", "")
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def link(name, target):
    """A member that is a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


@pytest.fixture
def ordered(stores):
    """The same stores; `vision/digits` orders its labels."""
    change = ModelChanges(settings=ModelSettings(label_order="pep440"))
    models.change(stores, "ann", "vision", "digits", change)
    return stores


def test_a_package_of_this_release_is_published(ordered):
    """Name and version agree with model and label, however the version is written."""
    version = publish(ordered, {"package.4ml": package()}, label="1.dev1")
    assert version.state == "ready"


HOSTILE = {
    "another project": package(manifest=MANIFEST.replace('"digits"', '"other"', 1)),
    "another version": package(manifest=MANIFEST.replace("1.0.dev1", "1.1")),
    "no version": package(manifest=MANIFEST.replace("1.0.dev1", "newest")),
    "code": package(manifest=MANIFEST + "import os\n"),
    "code in a value": package(manifest=MANIFEST.replace('"digits"', "__import__('os').name", 1)),
    "no manifest": package(manifest=None),
    "two manifests": package(("__4ml__/__init__.py", "NAME = 'x'")),
    "a compiled manifest": package(("__4ml__.pyc", b"\0")),
    "one name twice": package(("__4ml__.py", MANIFEST)),
    "traversal": package(("../outside.py", "")),
    "an absolute name": package(("/etc/cron.d/x", "")),
    "a drive": package(("C:\\x.py", "")),
    "a link": package(link("digits/link", "/etc/passwd")),
    "a bomb": package(("zeros", b"\0" * 1_234_567)).replace(
        struct.pack("<I", 1_234_567), struct.pack("<I", 1200 << 20)
    ),
    "no zip": b"PK\x03\x04 nothing",
    "empty": b"",
    "cut short": package()[:-30],
    "bytes before": b"#!/bin/sh\n" + package(),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_packages_are_refused_before_anything_is_visible(ordered, data):
    """The version stays open, and no label is taken."""
    with pytest.raises(IntegrityError, match=r"package\.4ml"):
        publish(ordered, {"package.4ml": data}, label="1.0.dev1")
    record = models.find(ordered, "vision", "digits")
    assert versions.newest(ordered, record, 10) == ()
    assert publish(ordered, {"package.4ml": package()}, label="1.0.dev1").state == "ready"


def test_where_labels_are_free_a_package_may_have_any_name(stores):
    """But none that is hostile."""
    assert publish(stores, {"some.4ml": package()}).state == "ready"
    with pytest.raises(IntegrityError):
        publish(stores, {"some.4ml": HOSTILE["code"]})


def test_a_server_that_cannot_look_refuses(stores):
    """What is not checked is not published."""
    blind = replace(stores, inspect=None)
    with pytest.raises(Unsupported):
        publish(blind, {"some.4ml": package()})
