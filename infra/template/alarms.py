"""Alarms, each of which somebody has to act on. `docs/operations.md` says what to do about each."""

from dataclasses import dataclass

from infra.template.functions import FUNCTIONS
from infra.template.stages import Json, gateway_stage, when

_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: a figure of a metric over a while, and the bound that it may not reach."""

    about: str
    metric: tuple[str, str]
    """Namespace and name."""
    dimensions: Json
    statistic: str
    threshold: float
    period: int = 5 * _MINUTES
    below: bool = False
    """It is wrong to be below the bound, and to say nothing."""

    def resource(self) -> Json:
        """The alarm as CloudFormation wants it."""
        compared = "LessThanThreshold" if self.below else "GreaterThanOrEqualToThreshold"
        return {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmDescription": self.about,
                "Namespace": self.metric[0],
                "MetricName": self.metric[1],
                "Dimensions": [{"Name": k, "Value": v} for k, v in self.dimensions.items()],
                "Statistic": self.statistic,
                "Period": self.period,
                "EvaluationPeriods": 1,
                "Threshold": self.threshold,
                "ComparisonOperator": compared,
                "TreatMissingData": "breaching" if self.below else "notBreaching",
                "AlarmActions": told(),
                "OKActions": told(),
            },
        }


def told() -> Json:
    """Who is told."""
    email = when("HasAlarmEmail", [{"Ref": "AlarmTopic"}])
    return when("HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], email)


def listed() -> dict[str, Alarm]:
    """Every alarm by its name in the template."""
    found: dict[str, Alarm] = {}
    for name in FUNCTIONS:
        own = {"FunctionName": {"Ref": name}}
        for metric in ("Errors", "Throttles"):
            about = f"{FUNCTIONS[name]}: {metric.lower()}"
            found[f"{name}{metric}"] = Alarm(about, ("AWS/Lambda", metric), own, "Sum", 1)
    for name, minutes in (("Index", 15), ("Render", 15), ("Archive", 60)):
        dead = {"QueueName": {"Fn::GetAtt": [f"{name}DeadLetters", "QueueName"]}}
        queue = {"QueueName": {"Fn::GetAtt": [f"{name}Queue", "QueueName"]}}
        found[f"{name}DeadLettersFilled"] = Alarm(
            f"Messages that failed five times, for {name.lower()}",
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible"), dead, "Maximum", 1,
        )  # fmt: skip
        found[f"{name}QueueLate"] = Alarm(
            f"The oldest message for {name.lower()} waits for {minutes} minutes",
            ("AWS/SQS", "ApproximateAgeOfOldestMessage"), queue, "Maximum", minutes * _MINUTES,
        )  # fmt: skip
    api = {"ApiName": {"Ref": "AWS::StackName"}, "Stage": gateway_stage()}
    table = {"TableName": {"Ref": "Table"}}
    rule = {"RuleName": {"Ref": "ObjectCreated"}}
    sweep = {"FunctionName": {"Ref": "Sweep"}}
    return {
        **found,
        "ApiServerErrors": Alarm(
            "Answers of the API with a status of 500 or more", ("AWS/ApiGateway", "5XXError"), api,
            "Sum", 5,
        ),
        "TableReadThrottles": Alarm(
            "Reads that the table refused", ("AWS/DynamoDB", "ReadThrottleEvents"), table, "Sum", 10
        ),
        "TableWriteThrottles": Alarm(
            "Writes that the table refused", ("AWS/DynamoDB", "WriteThrottleEvents"), table, "Sum",
            10,
        ),
        "EventsUndelivered": Alarm(
            "Events of S3 that did not reach the queue", ("AWS/Events", "FailedInvocations"), rule,
            "Sum", 1,
        ),
        "SweepMissed": Alarm(
            "No sweep for half an hour", ("AWS/Lambda", "Invocations"), sweep, "Sum", 1,
            30 * _MINUTES, below=True,
        ),
    }  # fmt: skip


def alarms() -> Json:
    """The alarms, and the topic that tells of them where an address is given."""
    email = [{"Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}]
    topic = {
        "Type": "AWS::SNS::Topic",
        "Condition": "HasAlarmEmail",
        "Properties": {"Subscription": email},
    }
    return {"AlarmTopic": topic, **{name: alarm.resource() for name, alarm in listed().items()}}
