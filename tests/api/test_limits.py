"""Limits over HTTP: too many requests, too much in a project."""

from dataclasses import replace

from chalicelib import wiring
from chalicelib.registry.throttling import Throttle


def test_a_token_with_too_many_requests_is_told_when_to_come_back(api):
    """429 with Retry-After, in seconds until the next minute; the health of the server stays open."""
    few = replace(api.stores, requests_per_minute=8, throttle=Throttle())
    with wiring.using(few):
        for _ in range(8):
            assert api.raw("GET", "/api/whoami")[0] == 200
        status, headers, _ = api.raw("GET", "/api/whoami")
        assert status == 429
        assert headers["Retry-After"] == str(60 - int(api.clock.time) % 60)
        assert api.error("GET", "/api/whoami") == (429, "throttled")
        assert api.raw("GET", "/api/health", token="")[0] == 200


def test_a_quota_is_set_shown_and_kept(api):
    """By an administrator; the project's readers see it with what is used."""
    api.ok("POST", "/api/projects", {"name": "vision"})
    quota = {"bytes": 1000, "versions": 1, "models": 0}
    changed = api.ok("PATCH", "/api/projects/vision", {"quota": quota})
    assert changed["quota"] == quota
    new = {"key": "k" * 20, "create": True}
    api.ok("POST", "/api/projects/vision/models/m/versions", new)
    assert api.ok("GET", "/api/projects/vision/usage") == {
        "bytes": 0, "versions": 1, "models": 1, "open_uploads": 0, "quota": quota,
    }  # fmt: skip
    refused = api.error("POST", "/api/projects/vision/models/m/versions", {"key": "l" * 20})
    assert refused == (413, "too_large")
    assert api.error("PATCH", "/api/projects/vision", {"quota": {"bytes": -1}})[0] == 400
    scope = {"verbs": ["read", "write"], "project": "vision"}
    token = api.ok("POST", "/api/tokens", {"name": "w", "scopes": [scope]})["secret"]
    assert api.ok("GET", "/api/projects/vision/usage", token=token)["versions"] == 1
    assert api.error("PATCH", "/api/projects/vision", {"quota": quota}, token)[0] == 403
