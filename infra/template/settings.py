"""What a deployment may set, what depends on it, and what cannot be set together."""

from infra.template.stages import Json

LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)
"""The retentions that CloudWatch Logs knows."""


def _yes_or_no(default: str, about: str) -> Json:
    return {
        "Type": "String",
        "Default": default,
        "AllowedValues": ["true", "false"],
        "Description": about,
    }


def parameters() -> Json:
    """What a deployment may set. All but the secret have a default."""
    text: Json = {"Type": "String", "Default": ""}
    hidden: Json = {**text, "NoEcho": True}
    many: Json = {"Type": "CommaDelimitedList", "Default": ""}
    days = {"Type": "Number", "Default": 30, "AllowedValues": list(LOG_DAYS)}
    return {
        "Secret": {
            "Type": "String",
            "NoEcho": True,
            "MinLength": 32,
            "Description": "Random; signs cookies and sign-in links",
        },
        "CookieEpoch": {
            "Type": "Number",
            "Default": 0,
            "MinValue": 0,
            "Description": "Cookies issued at or before this time (epoch seconds) are refused",
        },
        "Cdn": _yes_or_no("true", "One address for pages and API, by CloudFront"),
        "Domain": {**text, "Description": "The registry's own domain name"},
        "CertificateArn": {**text, "Description": "Its certificate, of ACM in us-east-1"},
        "PublicUrl": {**text, "Description": "Where browsers and clients reach the registry"},
        "Anonymous": {
            "Type": "String",
            "Default": "none",
            "AllowedValues": ["none", "read"],
            "Description": "What callers without a token may do",
        },
        "KmsKeyArn": {**text, "Description": "A key for table, buckets and queues"},
        "LogDays": {**days, "Description": "How long logs are kept"},
        "AlarmEmail": {**text, "Description": "Who is told of alarms"},
        "AlarmTopicArn": {**text, "Description": "An SNS topic that is told of alarms"},
        "Metrics": _yes_or_no("true", "Metrics of requests and messages, in CloudWatch"),
        "Tracing": _yes_or_no("false", "Traces, in X-Ray"),
        "S3Endpoint": {**text, "Description": "An S3-compatible store instead of S3"},
        "S3PublicEndpoint": {**text, "Description": "The same, as clients reach it"},
        "S3AccessKey": {**hidden, "Description": "Keys for that store"},
        "S3SecretKey": hidden,
        "FateStore": {**hidden, "Description": "The second store of FATE models, as JSON"},
        "GetiHost": {**text, "Description": "A Geti server whose models edge clients may import"},
        "GetiToken": {**hidden, "Description": "A personal access token for it"},
        "GetiOrganizationId": text,
        "GetiWorkspaceId": text,
        "GetiServerSslVerify": {**text, "Default": "true"},
        "ArchiveSubnets": {**many, "Description": "Subnets of the archive function, if any"},
        "ArchiveSecurityGroups": {**many, "Description": "And its security groups"},
        "TlsOnly": _yes_or_no("true", "Refuse requests to the buckets that are not encrypted"),
    }


def _given(parameter: str) -> Json:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def _is(parameter: str, value: str) -> Json:
    return {"Fn::Equals": [{"Ref": parameter}, value]}


def _holds(*conditions: str) -> list[Json]:
    return [{"Condition": condition} for condition in conditions]


def conditions() -> Json:
    """What depends on parameters."""
    return {
        "HasCdn": _is("Cdn", "true"),
        "HasDomain": {"Fn::And": [_given("Domain"), _given("CertificateArn")]},
        "HasUrl": _given("PublicUrl"),
        "HasPublicUrl": {"Fn::Or": _holds("HasDomain", "HasUrl")},
        "HasOwnStore": _given("S3Endpoint"),
        "HasKey": _given("KmsKeyArn"),
        "HasAlarmEmail": _given("AlarmEmail"),
        "HasAlarmTopic": _given("AlarmTopicArn"),
        "HasMetrics": _is("Metrics", "true"),
        "IsTraced": _is("Tracing", "true"),
        "HasNetwork": {
            "Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "ArchiveSubnets"}]}, ""]}]
        },
        "IsTlsOnly": _is("TlsOnly", "true"),
        "HasSitePolicy": {"Fn::Or": _holds("IsTlsOnly", "HasCdn")},
    }


def _rule(condition: Json, assertion: Json, told: str) -> Json:
    return {
        "RuleCondition": condition,
        "Assertions": [{"Assert": assertion, "AssertDescription": told}],
    }


def rules() -> Json:
    """What is refused before anything is made."""
    return {
        "DomainNeedsCertificate": _rule(
            _given("Domain"),
            {"Fn::And": [_given("CertificateArn"), _is("Cdn", "true")]},
            "Domain needs CertificateArn, a certificate of ACM in us-east-1, and Cdn=true",
        ),
        "OwnStoreHasNoCdn": _rule(
            _given("S3Endpoint"),
            _is("Cdn", "false"),
            "CloudFront cannot read pages from another store than S3: set Cdn=false with S3Endpoint",
        ),
        "OneWayOfTelling": _rule(
            _given("AlarmEmail"),
            _is("AlarmTopicArn", ""),
            "AlarmEmail makes a topic of its own: give either AlarmEmail or AlarmTopicArn",
        ),
    }
