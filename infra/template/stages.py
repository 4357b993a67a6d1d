"""What the template takes from `.chalice/config.json`: stages, names of queues, times of functions."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
NO_VALUE: Json = {"Ref": "AWS::NoValue"}
CONFIG = Path(__file__).resolve().parents[2] / ".chalice" / "config.json"


def _config() -> Json:
    found: Json = json.loads(CONFIG.read_text(encoding="utf-8"))
    return found


def queue_names(stage: str) -> dict[str, str]:
    """The queues' names in a stage: `index`, `render`, `archive`."""
    variables = _config()["stages"][stage]["environment_variables"]
    return {
        name: variables[f"WEIGHBRIDGE_{name.upper()}_QUEUE"]
        for name in ("index", "render", "archive")
    }


def timeout(function: str) -> int:
    """The seconds that a function may take."""
    return int(_config()["lambda_functions"][function]["lambda_timeout"])


def gateway_stage() -> str:
    """The stage of the gateway, which begins every path behind its address."""
    return str(_config()["api_gateway_stage"])


def when(condition: str, yes: Any, no: Any = None) -> Json:
    """`yes` where the condition holds, else `no` (without one: nothing)."""
    return {"Fn::If": [condition, yes, NO_VALUE if no is None else no]}
