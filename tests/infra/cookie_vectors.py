"""The cases that `chalicelib/api/cookie.py` and `infra/edge/cookie.js` must agree on.

`python -m tests.infra.cookie_vectors` writes them to `cookie_vectors.json`. Signatures are made
here with plain HMAC, and what each case must come to is written down by hand.
"""

import hashlib
import hmac
import json
from pathlib import Path

FILE = Path(__file__).with_name("cookie_vectors.json")
NOW = 1_790_000_000
EPOCH = NOW - 10_000
SECRETS = {"new": "n" * 40, "old": "o" * 40}
SETTING = f"new:{SECRETS['new']} old:{SECRETS['old']}"


def derived(name: str) -> str:
    label = f"weighbridge page cookie {name}".encode()
    return hmac.new(SECRETS[name].encode(), label, hashlib.sha256).hexdigest()


KEYS = {name: derived(name) for name in SECRETS}


def signed(payload: str, key: str = "new") -> str:
    secret = KEYS[key].encode()
    return f"{payload}|{hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()}"


def cookie(projects: str, expires: int = NOW + 1800, key: str = "new", token: str = "tok1") -> str:
    return signed(f"v1|{key}|{expires}|{token}|{projects}", key)


VISION = cookie("audio/vision")
ALL = cookie("*")
NOBODY = cookie("")
SERVE, GO, MISSING = "serve", "redirect", "missing"


def to_sign_in(path: str) -> tuple[str, str]:
    return GO, "/sign-in?next=" + path.replace("/", "%2F")


PATHS = [
    # what the address says, who asks, what happens
    ("/p/vision/", VISION, SERVE, "p/vision/index.html"),
    ("/p/vision/index.html", VISION, SERVE, "p/vision/index.html"),
    ("/p/vision/index.json", VISION, SERVE, "p/vision/index.json"),
    ("/p/vision/digits/7/", VISION, SERVE, "p/vision/digits/7/index.html"),
    ("/p/vision/a~23b~FF/7/tensors.json", VISION, SERVE, "p/vision/a~23b~FF/7/tensors.json"),
    ("/p/vision/~index/models-0.json", VISION, SERVE, "p/vision/~index/models-0.json"),
    ("/p/vision/%7Eindex/models-0.json", VISION, GO, "/p/vision/~index/models-0.json"),
    ("/p/text/~index/models-0.json", VISION, MISSING, ""),
    ("/p/vision/../text/~index/models-0.json", VISION, MISSING, ""),
    ("/p/text/bert/versions/1-100/search.json", VISION, MISSING, ""),
    ("/p/text/~index/models-0.json", NOBODY, MISSING, ""),
    ("/p/text/~index/models-0.json", "", *to_sign_in("/p/text/~index/models-0.json")),
    ("/p/audio/", VISION, SERVE, "p/audio/index.html"),
    ("/p/text/", ALL, SERVE, "p/text/index.html"),
    ("/p/vision", VISION, GO, "/p/vision/"),
    ("/p/vision/digits/7", VISION, GO, "/p/vision/digits/7/"),
    ("/p/vision/resnet-1.5", VISION, GO, "/p/vision/resnet-1.5/"),
    ("/p/text/", VISION, MISSING, ""),
    ("/p/visio/", VISION, MISSING, ""),
    ("/p/vision2/", VISION, MISSING, ""),
    ("/p/Vision/", VISION, MISSING, ""),
    ("/p/text/", NOBODY, MISSING, ""),
    ("/p/*/", ALL, MISSING, ""),
    ("/p/", ALL, MISSING, ""),
    ("/p", ALL, MISSING, ""),
    ("/", ALL, MISSING, ""),
    ("", ALL, MISSING, ""),
    ("p/vision/", ALL, MISSING, ""),
    ("/q/vision/", ALL, MISSING, ""),
    ("/P/vision/", ALL, MISSING, ""),
    # out of the granted project by way of dots
    ("/p/vision/../text/", VISION, MISSING, ""),
    ("/p/vision/../text/", ALL, GO, "/p/text/"),
    ("/p/vision/%2e%2e/text/", VISION, MISSING, ""),
    ("/p/vision/%2E%2E/text/", VISION, MISSING, ""),
    ("/p/vision/.%2e/text/", VISION, MISSING, ""),
    ("/p/text/../vision/", VISION, GO, "/p/vision/"),
    ("/p/vision/./digits/", VISION, GO, "/p/vision/digits/"),
    ("/p/vision/digits/..", VISION, GO, "/p/vision/"),
    ("/p/vision/digits/.", VISION, GO, "/p/vision/digits/"),
    ("/p/../p/vision/", VISION, GO, "/p/vision/"),
    ("/../p/vision/", ALL, MISSING, ""),
    ("/p/vision/../../../etc/", ALL, MISSING, ""),
    ("/p/vision/../../api/projects", ALL, MISSING, ""),
    # slashes of all kinds
    ("/p//vision//digits/", VISION, GO, "/p/vision/digits/"),
    ("//p/vision/", VISION, GO, "/p/vision/"),
    ("/p/vision%2fdigits/", ALL, MISSING, ""),
    ("/p/vision%2Fdigits/", ALL, MISSING, ""),
    ("/p/vision%2F..%2Ftext/", ALL, MISSING, ""),
    ("/p/vision\\..\\text/", ALL, MISSING, ""),
    ("/p/vision/%5c..%5ctext/", ALL, MISSING, ""),
    # a second layer of escapes, malformed escapes, bytes that no page has
    ("/p/vision/%252e%252e/text/", ALL, MISSING, ""),
    ("/p/vision/%25/", ALL, MISSING, ""),
    ("/p/vision/%/", ALL, MISSING, ""),
    ("/p/vision/%2/", ALL, MISSING, ""),
    ("/p/vision/%zz/", ALL, MISSING, ""),
    ("/p/vision/%00/", ALL, MISSING, ""),
    ("/p/vision/index.html%00.json", ALL, MISSING, ""),
    ("/p/vision/a%0ab/", ALL, MISSING, ""),
    ("/p/vision/a%0a", ALL, MISSING, ""),
    ("/p/vision/%c0%ae%c0%ae/text/", ALL, MISSING, ""),
    ("/p/vision/%c3%a9/", ALL, MISSING, ""),
    ("/p/vision/\u00e9/", ALL, MISSING, ""),
    ("/p/vision/a b/", ALL, MISSING, ""),
    ("/p/vision/a;b/", ALL, MISSING, ""),
    ("/p/%76ision/", VISION, GO, "/p/vision/"),
    ("/p/v%69sion/d%69gits/", VISION, GO, "/p/vision/digits/"),
    # nobody is signed in
    ("/p/vision/", "", *to_sign_in("/p/vision/")),
    ("/p/text/../vision/digits/", "", *to_sign_in("/p/vision/digits/")),
    ("/p/vision/%2f/", "", MISSING, ""),
]

COOKIES = [
    # why, the value, the projects that it opens (null: it is refused)
    ("good", VISION, ["audio", "vision"]),
    ("everything", ALL, ["*"]),
    ("nothing is readable", NOBODY, []),
    ("the key before the current one", cookie("vision", key="old"), ["vision"]),
    ("the last second", cookie("vision", NOW + 1), ["vision"]),
    ("issued by a clock that is a little ahead", cookie("vision", NOW + 3650), ["vision"]),
    ("issued this very second", cookie("vision", NOW + 3600), ["vision"]),
    ("expired this second", cookie("vision", NOW), None),
    ("expired long ago", cookie("vision", NOW - 5000), None),
    ("issued in the future", cookie("vision", NOW + 3600 + 61), None),
    ("valid for a year", cookie("vision", NOW + 31_536_000), None),
    ("signed by a key nobody has", signed(f"v1|gone|{NOW + 1800}|tok1|vision"), None),
    ("signed by another key than named", signed(f"v1|old|{NOW + 1800}|tok1|vision"), None),
    ("another project written in", VISION.replace("audio", "text0"), None),
    ("a longer life written in", VISION.replace(str(NOW + 1800), str(NOW + 3000)), None),
    ("another token written in", VISION.replace("tok1", "tok2"), None),
    ("another version", signed(f"v2|new|{NOW + 1800}|tok1|vision"), None),
    ("a field too many", signed(f"v1|new|{NOW + 1800}|tok1|vision|text"), None),
    ("a field too few", signed(f"v1|new|{NOW + 1800}|vision"), None),
    ("an expiry with a sign", signed(f"v1|new|+{NOW + 1800}|tok1|vision"), None),
    ("an expiry in other digits", signed(f"v1|new|{NOW + 1800}.0|tok1|vision"), None),
    ("a signature in capitals", VISION[:-64] + VISION[-64:].upper(), None),
    ("a signature cut short", VISION[:-1], None),
    ("no signature", VISION[:-64], None),
    ("only a signature", VISION[-65:], None),
    ("empty", "", None),
    ("noise", "v1|||||", None),
    ("a key named like a property", signed(f"v1|constructor|{NOW + 1800}|tok1|*"), None),
    ("too long", cookie("/".join(f"project-{n}" for n in range(400))), None),
    ("not ASCII", VISION + "\u00e9", None),
]

REVOKED = [
    # cookies issued at, before and after the epoch, with the epoch of each case
    ("issued before the epoch", cookie("vision"), NOW - 1000, None),
    ("issued in the second of the epoch", cookie("vision"), NOW - 1800, None),
    ("issued after the epoch", cookie("vision"), NOW - 1801, ["vision"]),
]


def document() -> dict[str, object]:
    return {
        "setting": SETTING,
        "keys": KEYS,
        "now": NOW,
        "epoch": EPOCH,
        "paths": [
            {"path": path, "cookie": value, "decision": [kind, target]}
            for path, value, kind, target in PATHS
        ],
        "cookies": [
            {"why": why, "cookie": value, "epoch": EPOCH, "projects": projects}
            for why, value, projects in COOKIES
        ]
        + [
            {"why": why, "cookie": value, "epoch": epoch, "projects": projects}
            for why, value, epoch, projects in REVOKED
        ],
    }


def text() -> str:
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
