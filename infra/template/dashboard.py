"""One dashboard per stack: what came in, how long it took, what waits, what failed, what it cost."""

import json
from typing import Any

from chalicelib.api.observing import KINDS as REQUESTS
from chalicelib.api.observing import NAMESPACE
from infra.template.functions import FUNCTIONS
from infra.template.stages import Json, gateway_stage

MESSAGES = [name for name in FUNCTIONS.values() if name != "api_handler"]
_WIDTH, _HEIGHT, _PER_ROW = 8, 6, 3
KINDS = (*sorted({kind for _, kind in REQUESTS}), "page", *MESSAGES)
"""The values of the one dimension that our own metrics have beside the stack's name."""


def dashboard() -> Json:
    """The dashboard; its body is JSON in a string, so that names of resources are put in by `Fn::Sub`."""
    widgets = [
        {
            "type": "metric",
            "x": index % _PER_ROW * _WIDTH,
            "y": index // _PER_ROW * _HEIGHT,
            "width": _WIDTH,
            "height": _HEIGHT,
            "properties": {
                "title": title, "metrics": metrics, "stat": stat, "period": 300,
                "region": "${AWS::Region}", "view": "timeSeries",
            },
        }
        for index, (title, stat, metrics) in enumerate(_charts())
    ]  # fmt: skip
    body = {"Fn::Sub": json.dumps({"widgets": widgets})}
    name = {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}
    return {
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": name, "DashboardBody": body},
        }
    }


def _charts() -> list[tuple[str, str, list[list[Any]]]]:
    api = ["ApiName", "${AWS::StackName}", "Stage", gateway_stage()]
    queues = ("Index", "Render", "Archive")

    def ours(metric: str) -> list[list[Any]]:
        return [[NAMESPACE, metric, "stack", "${AWS::StackName}", "kind", kind] for kind in KINDS]

    def of_functions(metric: str) -> list[list[Any]]:
        return [
            ["AWS/Lambda", metric, "FunctionName", f"${{{name}}}", {"label": function}]
            for name, function in FUNCTIONS.items()
        ]

    def of_queues(metric: str, suffix: str) -> list[list[Any]]:
        return [
            ["AWS/SQS", metric, "QueueName", f"${{{name}{suffix}.QueueName}}"] for name in queues
        ]

    return [
        ("Requests", "Sum", [["AWS/ApiGateway", "Count", *api]]),
        ("Errors of the API", "Sum", [["AWS/ApiGateway", m, *api] for m in ("4XXError", "5XXError")]),
        ("Latency of the API (ms)", "p99", [["AWS/ApiGateway", "Latency", *api]]),
        ("Time taken (ms)", "p90", ours("ms")),
        ("Table units", "Sum", ours("units")),
        ("Failures", "Sum", ours("failures")),
        ("Functions: invocations", "Sum", of_functions("Invocations")),
        ("Functions: errors", "Sum", of_functions("Errors")),
        ("Functions: throttles", "Sum", of_functions("Throttles")),
        ("Waiting (age in s)", "Maximum", of_queues("ApproximateAgeOfOldestMessage", "Queue")),
        ("Dead letters", "Maximum",
         of_queues("ApproximateNumberOfMessagesVisible", "DeadLetters")),
        ("Table", "Sum", [
            ["AWS/DynamoDB", metric, "TableName", "${Table}"]
            for metric in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
        ]),
    ]  # fmt: skip
