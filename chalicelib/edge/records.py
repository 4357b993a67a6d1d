"""The record: a package as edge clients see it. Every key is always there."""

import re
from typing import Any

from chalicelib.registry import packages
from chalicelib.registry.packages import PackageRecord
from weighbridge.contract import edge
from weighbridge.contract.types import Version

_OURS = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{3})Z\Z")


def record(found: PackageRecord, bucket: str, scheme: str) -> dict[str, Any]:
    """One record."""
    version, package = found.version, found.package
    said = version.attributes
    name = package.path.rpartition("/")[2]
    size = said.get(edge.SIZE)
    return {
        "id": package.id,
        "name": packages.title(version),
        "target_device": packages.text(version, "target_device") or "CPU",
        "created_date": packages.text(version, edge.CREATED) or moment(_registered(version)),
        "last_updated_date": moment(packages.text(version, edge.CHANGED) or _registered(version)),
        "precision": list(packages.precision(version)),
        "size": size if _whole(size) else package.size,
        "version": packages.release(version),
        "format": packages.text(version, "format"),
        "origin": packages.text(version, "origin"),
        "file_url": package.uri or f"{scheme}://{bucket}/{package.id}/{name}",
        "project_id": packages.text(version, edge.PROJECT_ID),
        "project_name": packages.text(version, edge.PROJECT_NAME),
        "category": packages.text(version, "category"),
        "target_device_type": packages.text(version, "target_device_type"),
        "score": _score(version),
        "overview": _document(said.get("overview", {})),
        "optimization_capabilities": _document(said.get("optimization_capabilities", {})),
        "labels": _labels(said.get("labels", [])),
        "architecture": packages.text(version, "architecture"),
    }


def moment(time: str) -> str:
    """A time of ours as edge clients know times; any other text as it is."""
    match = _OURS.match(time)
    return f"{match[1]} {match[2]}.{match[3]}000 UTC" if match else time


def _registered(version: Version) -> str:
    return version.published or version.created


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _score(version: Version) -> float:
    value = version.metrics.get(edge.SCORE, 0.0)
    return value if value - value == 0 else 0.0


def _document(value: Any) -> Any:
    return value if isinstance(value, (dict, str, type(None))) else {}


def _labels(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        for kind in (str, dict):
            if all(isinstance(one, kind) for one in value):
                return list(value)
    return []
