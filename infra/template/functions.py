"""What is added to the functions that Chalice declares: environment, logs, traces, further rights."""

from infra import policies
from infra.template.stages import Json, when
from infra.template.stores import public_url

FUNCTIONS = {
    "APIHandler": "api_handler",
    "IndexObject": "index_object",
    "RenderPages": "render_pages",
    "Sweep": "sweep",
    "Archive": "archive",
}
"""Chalice's names in the template, and the names of the functions."""
ROLES = {
    "APIHandler": "ApiHandlerRole",
    "IndexObject": "IndexObjectRole",
    "RenderPages": "RenderPagesRole",
    "Sweep": "SweepRole",
    "Archive": "ArchiveRole",
}
"""Chalice's names of their roles."""
GETI = {
    "GETI_HOST": "GetiHost", "GETI_TOKEN": "GetiToken",
    "GETI_ORGANIZATION_ID": "GetiOrganizationId", "GETI_WORKSPACE_ID": "GetiWorkspaceId",
    "GETI_SERVER_SSL_VERIFY": "GetiServerSslVerify",
}  # fmt: skip
"""Variables of the functions that speak to a Geti server, and the parameters that fill them."""


def log_group(function: str) -> str:
    """The name of a function's log group in the template."""
    return f"{function}Logs"


def logs() -> Json:
    """A log group for each function, so that logs end some day."""
    return {
        log_group(name): {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {
                # The beginning of the name is what the functions' policies name.
                "LogGroupName": {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{function}"},
                "RetentionInDays": {"Ref": "LogDays"},
            },
        }
        for name, function in FUNCTIONS.items()
    }


def inbox() -> Json:
    """The role whose sessions write to one project's inbox; only the API can start one."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": {"Fn::GetAtt": ["ApiHandlerRole", "Arn"]}},
        "Action": "sts:AssumeRole",
    }
    own = {"PolicyName": "inbox", "PolicyDocument": policies.inbox_writer()}
    return {
        "InboxRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": policies.policy(trust),
                "Policies": [own],
                "MaxSessionDuration": 3600,
            },
        },
        # Apart from the role's own policies: two roles that name each other would be a circle.
        "InboxGrants": _rights("inbox-grants", ["ApiHandlerRole"], policies.inbox_granter()),
    }


def rights() -> Json:
    """Rights that a role needs only where a parameter asks for what they are for."""
    everybody = [*ROLES.values()]
    return {
        # What a function in a private network needs: the right to its network interfaces.
        "ArchiveNetwork": _rights(
            "archive-network", ["ArchiveRole"], policies.network_interfaces(), "HasNetwork"
        ),
        "KeyUse": _rights(
            "key-use", [*everybody, "InboxRole"], policies.key_use({"Ref": "KmsKeyArn"}), "HasKey"
        ),
        "TraceRights": _rights("traces", everybody, policies.traces(), "IsTraced"),
    }


def _rights(name: str, roles: list[str], document: policies.Policy, condition: str = "") -> Json:
    return {
        "Type": "AWS::IAM::Policy",
        **({"Condition": condition} if condition else {}),
        "Properties": {
            "PolicyName": name,
            "Roles": [{"Ref": role} for role in roles],
            "PolicyDocument": document,
        },
    }


def environment() -> Json:
    """The settings that every function needs (`chalicelib/settings.py`)."""
    return {
        "WEIGHBRIDGE_CATALOG": {"Fn::Sub": "dynamodb:${Table}"},
        "WEIGHBRIDGE_BUCKET": {"Ref": "Artifacts"},
        "WEIGHBRIDGE_SITE_BUCKET": {"Ref": "Site"},
        "WEIGHBRIDGE_QUEUE": {"Fn::Sub": "sqs:${IndexQueue},${RenderQueue},${ArchiveQueue}"},
        "WEIGHBRIDGE_PUBLIC_URL": public_url(),
        "WEIGHBRIDGE_LOG": "json",
        "WEIGHBRIDGE_DEPLOYMENT": when("HasMetrics", {"Ref": "AWS::StackName"}, ""),
        "WEIGHBRIDGE_S3_ENDPOINT": {"Ref": "S3Endpoint"},
        "WEIGHBRIDGE_S3_PUBLIC_ENDPOINT": {"Ref": "S3PublicEndpoint"},
        "WEIGHBRIDGE_S3_ACCESS_KEY": {"Ref": "S3AccessKey"},
        "WEIGHBRIDGE_S3_SECRET_KEY": {"Ref": "S3SecretKey"},
    }


def functions() -> Json:
    """What is added to each function."""
    api = {
        "WEIGHBRIDGE_SECRET": {"Ref": "Secret"},
        "WEIGHBRIDGE_COOKIE_EPOCH": {"Ref": "CookieEpoch"},
        "WEIGHBRIDGE_ANONYMOUS": {"Ref": "Anonymous"},
        # Sessions of a role open S3, and no other store.
        "WEIGHBRIDGE_INBOX_ROLE": when("HasOwnStore", "", {"Fn::GetAtt": ["InboxRole", "Arn"]}),
    }
    found: Json = {}
    for name in FUNCTIONS:
        variables = {**environment(), **(api if name == "APIHandler" else {})}
        if name in ("APIHandler", "Archive"):
            variables["WEIGHBRIDGE_FATE_STORE"] = {"Ref": "FateStore"}
            variables |= {variable: {"Ref": parameter} for variable, parameter in GETI.items()}
        found[name] = {
            "Properties": {
                "Environment": {"Variables": variables},
                "LoggingConfig": {"LogGroup": {"Ref": log_group(name)}},
                "Tracing": when("IsTraced", "Active", "PassThrough"),
            }
        }
    inside = {
        "SubnetIds": {"Ref": "ArchiveSubnets"},
        "SecurityGroupIds": {"Ref": "ArchiveSecurityGroups"},
    }
    found["Archive"]["Properties"]["VpcConfig"] = when("HasNetwork", inside)
    for name in ("IndexObject", "RenderPages", "Archive"):
        trigger = {"Properties": {"FunctionResponseTypes": ["ReportBatchItemFailures"]}}
        found[name]["Properties"]["Events"] = {f"{name}SqsEventSource": trigger}
    return found


def gateway() -> Json:
    """The API's name is that of its stack: metrics go by it, and an account may have several."""
    named = {"info": {"title": {"Ref": "AWS::StackName"}}}
    tracing = when("IsTraced", True, False)
    return {"RestAPI": {"Properties": {"DefinitionBody": named, "TracingEnabled": tracing}}}
