"""Content delivery: one address for pages and API, and a function at its edge that checks the cookie.

    /p/*       Site, behind EdgeFunction (`infra/edge/cookie.js`), whose keys are in EdgeKeys
    /static/*  Site
    all else   RestAPI, never cached

What belongs to the site is written down once, in `chalicelib/catalogue/render.py`, for this and for the
front of one machine.
"""

from pathlib import Path
from typing import Any

from chalicelib.catalogue.render import HEADERS, PAGES, STATIC
from infra.template.stages import Json, gateway_stage, when

EDGE = Path(__file__).resolve().parents[1] / "edge" / "cookie.js"
# Policies that AWS manages; their ids are the same in every account.
NO_CACHE = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_BUT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
_READ = ["GET", "HEAD"]
_ALL = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
_YEAR = 31_536_000
_SECURITY = {
    "Content-Security-Policy": ("ContentSecurityPolicy", "ContentSecurityPolicy"),
    "Referrer-Policy": ("ReferrerPolicy", "ReferrerPolicy"),
}
"""Headers for which CloudFront has settings of their own, and what these are called."""


def outputs() -> Json:
    """The address of the distribution, and where its keys are."""
    found = {
        "CdnUrl": {"Fn::Sub": "https://${Distribution.DomainName}"},
        "EdgeKeys": {"Fn::GetAtt": ["EdgeKeys", "Arn"]},
    }
    return {name: {"Condition": "HasCdn", "Value": value} for name, value in found.items()}


def cdn() -> Json:
    """The distribution and all that it needs."""
    found = {
        "EdgeKeys": ("KeyValueStore", {"Name": _name("keys")}),
        "EdgeFunction": ("Function", _edge_function()),
        "SiteAccess": ("OriginAccessControl", {"OriginAccessControlConfig": _site_access()}),
        "PageCache": ("CachePolicy", {"CachePolicyConfig": _cache("pages", [])}),
        # Pages name their assets with the digest as `?v=`.
        "StaticCache": ("CachePolicy", {"CachePolicyConfig": _cache("static", ["v"])}),
        "SecurityHeaders": (
            "ResponseHeadersPolicy",
            {"ResponseHeadersPolicyConfig": _security_headers()},
        ),
        "Distribution": ("Distribution", {"DistributionConfig": _distribution()}),
    }
    return {
        name: {"Type": f"AWS::CloudFront::{kind}", "Condition": "HasCdn", "Properties": properties}
        for name, (kind, properties) in found.items()
    }


def _name(what: str) -> Json:
    """Names at the edge are unique per account, and stacks only per region."""
    return {"Fn::Sub": f"${{AWS::StackName}}-${{AWS::Region}}-{what}"}


def _edge_function() -> Json:
    keys = {"KeyValueStoreARN": {"Fn::GetAtt": ["EdgeKeys", "Arn"]}}
    return {
        "Name": _name("pages"),
        "AutoPublish": True,
        "FunctionCode": EDGE.read_text(encoding="utf-8"),
        "FunctionConfig": {
            "Comment": "Checks the sign-in cookie",
            "Runtime": "cloudfront-js-2.0",
            "KeyValueStoreAssociations": [keys],
        },
    }


def _site_access() -> Json:
    return {
        "Name": _name("site"),
        "OriginAccessControlOriginType": "s3",
        "SigningBehavior": "always",
        "SigningProtocol": "sigv4",
    }


def _cache(name: str, query: list[str]) -> Json:
    """As long as the object's own headers say, and not at all where they say nothing."""
    asked: Json = {"QueryStringBehavior": "none"}
    if query:
        asked = {"QueryStringBehavior": "whitelist", "QueryStrings": query}
    return {
        "Name": _name(name),
        "MinTTL": 0,
        "DefaultTTL": 0,
        "MaxTTL": _YEAR,
        "ParametersInCacheKeyAndForwardedToOrigin": {
            "CookiesConfig": {"CookieBehavior": "none"},
            "HeadersConfig": {"HeaderBehavior": "none"},
            "QueryStringsConfig": asked,
            "EnableAcceptEncodingGzip": True,
            "EnableAcceptEncodingBrotli": True,
        },
    }


def _security_headers() -> Json:
    """What the front of one machine adds to every answer that does not have it, and HTTPS for a year."""
    settings: dict[str, Any] = {
        "ContentTypeOptions": {"Override": False},
        "StrictTransportSecurity": {"AccessControlMaxAgeSec": _YEAR, "Override": True},
    }
    others = []
    for header, value in HEADERS.items():
        if header in _SECURITY:
            setting, key = _SECURITY[header]
            settings[setting] = {key: value, "Override": False}
        elif header != "X-Content-Type-Options":
            others.append({"Header": header, "Value": value, "Override": False})
    return {
        "Name": _name("headers"),
        "SecurityHeadersConfig": settings,
        "CustomHeadersConfig": {"Items": others},
    }


def _behavior(origin: str, methods: list[str], cache: Any, **more: Any) -> Json:
    return {
        "TargetOriginId": origin,
        "AllowedMethods": methods,
        "CachedMethods": _READ,
        "CachePolicyId": cache,
        "ResponseHeadersPolicyId": {"Ref": "SecurityHeaders"},
        "ViewerProtocolPolicy": "redirect-to-https",
        "Compress": True,
        **more,
    }


def _distribution() -> Json:
    check = {
        "EventType": "viewer-request",
        "FunctionARN": {"Fn::GetAtt": ["EdgeFunction", "FunctionARN"]},
    }
    pages = _behavior("site", _READ, {"Ref": "PageCache"}, FunctionAssociations=[check])
    static = _behavior("site", _READ, {"Ref": "StaticCache"})
    own_name = {
        "AcmCertificateArn": {"Ref": "CertificateArn"},
        "SslSupportMethod": "sni-only",
        "MinimumProtocolVersion": "TLSv1.2_2021",
    }
    return {
        "Enabled": True,
        "Comment": {"Fn::Sub": "Weighbridge ${AWS::StackName}"},
        "HttpVersion": "http2and3",
        "IPV6Enabled": True,
        "Aliases": when("HasDomain", [{"Ref": "Domain"}]),
        "ViewerCertificate": when("HasDomain", own_name, {"CloudFrontDefaultCertificate": True}),
        "Origins": [_site_origin(), _api_origin()],
        "CacheBehaviors": [
            {"PathPattern": f"{PAGES}*", **pages},
            {"PathPattern": f"{STATIC}*", **static},
        ],
        "DefaultCacheBehavior": _behavior(
            "api", _ALL, NO_CACHE, OriginRequestPolicyId=ALL_BUT_HOST
        ),
    }


def _site_origin() -> Json:
    return {
        "Id": "site",
        "DomainName": {"Fn::GetAtt": ["Site", "RegionalDomainName"]},
        "OriginAccessControlId": {"Fn::GetAtt": ["SiteAccess", "Id"]},
        # No identity of the older kind: signed requests take its place.
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }


def _api_origin() -> Json:
    host = "${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
    return {
        "Id": "api",
        "DomainName": {"Fn::Sub": host},
        "OriginPath": f"/{gateway_stage()}",
        "CustomOriginConfig": {
            "OriginProtocolPolicy": "https-only",
            "OriginSSLProtocols": ["TLSv1.2"],
            "OriginReadTimeout": 30,
        },
    }
