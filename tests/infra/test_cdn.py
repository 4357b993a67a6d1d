"""Content delivery in the template: what goes where, what the edge may read, which headers it adds.

What the distribution does with requests is in `tests/e2e/test_cdn.py`.
"""

import fnmatch
import json

import pytest

import app
from chalicelib.catalogue.render import HEADERS
from infra import edge_keys, policies
from infra.template import template
from infra.template.cdn import EDGE


@pytest.fixture(scope="module")
def made():
    """What we add to Chalice's template."""
    return template("prod")


@pytest.fixture(scope="module")
def distribution(made):
    """The distribution's configuration."""
    return made["Resources"]["Distribution"]["Properties"]["DistributionConfig"]


def origin_of(distribution, path):
    """Where a request goes: the first pattern that fits."""
    for behavior in distribution["CacheBehaviors"]:
        if fnmatch.fnmatchcase(path, behavior["PathPattern"]):
            return behavior["TargetOriginId"]
    return distribution["DefaultCacheBehavior"]["TargetOriginId"]


def test_every_route_of_the_app_reaches_the_api(distribution):
    """No behaviour of the site hides a route; pages and assets are the site's."""
    routes = list(app.app.routes)
    assert len(routes) > 50
    assert {origin_of(distribution, route) for route in routes} == {"api"}
    for path in ("/p/vision/", "/p/vision/digits/1/index.json", "/static/style.css"):
        assert origin_of(distribution, path) == "site"


def test_pages_pass_the_edge_function_and_nothing_else_does(distribution, made):
    """The function checks the cookie of every page; assets are nobody's secret; the API asks for tokens."""
    checked = [b for b in distribution["CacheBehaviors"] if "FunctionAssociations" in b]
    assert [b["PathPattern"] for b in checked] == ["/p/*"]
    assert checked[0]["FunctionAssociations"][0]["EventType"] == "viewer-request"
    function = made["Resources"]["EdgeFunction"]["Properties"]
    assert function["FunctionCode"] == EDGE.read_text()
    assert function["AutoPublish"] is True
    (keys,) = function["FunctionConfig"]["KeyValueStoreAssociations"]
    assert keys["KeyValueStoreARN"] == {"Fn::GetAtt": ["EdgeKeys", "Arn"]}


def test_nothing_of_the_api_is_kept_at_the_edge(distribution):
    """Answers depend on tokens: none is cached, and every method passes."""
    default = distribution["DefaultCacheBehavior"]
    assert default["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(default["AllowedMethods"])
    for behavior in distribution["CacheBehaviors"]:
        assert behavior["AllowedMethods"] == ["GET", "HEAD"]


def test_the_edge_adds_the_headers_that_the_front_of_one_machine_adds(made, distribution):
    """Every behaviour has them, with the same values, and an answer's own ones win."""
    policy = made["Resources"]["SecurityHeaders"]["Properties"]["ResponseHeadersPolicyConfig"]
    own = policy["SecurityHeadersConfig"]
    found = {i["Header"]: i["Value"] for i in policy["CustomHeadersConfig"]["Items"]}
    found["Content-Security-Policy"] = own["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    found["Referrer-Policy"] = own["ReferrerPolicy"]["ReferrerPolicy"]
    assert own["ContentTypeOptions"] == {"Override": False}
    found["X-Content-Type-Options"] = "nosniff"
    assert found == HEADERS
    assert own["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31_536_000
    for behavior in (distribution["DefaultCacheBehavior"], *distribution["CacheBehaviors"]):
        assert behavior["ResponseHeadersPolicyId"] == {"Ref": "SecurityHeaders"}
        assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"


def test_only_our_distribution_reads_the_site(made):
    """By requests that it signs itself; and only pages and assets."""
    site, _ = made["Resources"]["Distribution"]["Properties"]["DistributionConfig"]["Origins"]
    assert site["OriginAccessControlId"] == {"Fn::GetAtt": ["SiteAccess", "Id"]}
    statements = policies.read_by_cdn()
    for statement in statements:
        assert statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        source = statement["Condition"]["StringEquals"]["aws:SourceArn"]["Fn::Sub"]
        assert source.endswith(":distribution/${Distribution}")
    read = {r["Fn::Sub"] for r in statements[0]["Resource"]}
    assert read == {"${Site.Arn}/p/*", "${Site.Arn}/static/*"}
    assert [action for s in statements for action in s["Action"]] == [
        "s3:GetObject", "s3:ListBucket"
    ]  # fmt: skip


def test_without_a_cdn_nothing_of_it_is_made(made):
    """Every part depends on the one condition, the outputs too."""
    parts = [
        name
        for name, r in made["Resources"].items()
        if r.get("Type", "").startswith("AWS::CloudFr")
    ]
    assert len(parts) == 7
    for name in parts:
        assert made["Resources"][name]["Condition"] == "HasCdn"
    for name in ("CdnUrl", "EdgeKeys"):
        assert made["Outputs"][name]["Condition"] == "HasCdn"


def test_what_cannot_go_together_is_refused_with_a_reason(made):
    """Each rule says what to change."""
    told = {
        name: rule["Assertions"][0]["AssertDescription"] for name, rule in made["Rules"].items()
    }
    assert "CertificateArn" in told["DomainNeedsCertificate"]
    assert "Cdn=false" in told["OwnStoreHasNoCdn"]
    assert "AlarmTopicArn" in told["OneWayOfTelling"]


def test_what_the_edge_is_told_follows_from_the_settings_of_the_api():
    """Derived keys, never the secret; the epoch always, for without it nobody gets in."""
    secret = "x" * 40
    found = edge_keys.wanted(f"new:{secret} old:{'y' * 40}", 7, "none")
    assert set(found) == {"key:new", "key:old", "epoch"}
    assert found["epoch"] == "7"
    assert secret not in json.dumps(found)
    assert edge_keys.wanted(secret, 0, "read")["open"] == "read"
