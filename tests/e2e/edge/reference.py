"""A stand-in for the reference microservice, for the migration: its lists, its limits and its defects.

Written from the compatibility specification; what it does here was observed there.
"""

import json
import re
import threading
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

LISTED = 100
SUBSTRING = ("name", "project_name", "category", "architecture", "precision")


def moment(seconds=None):
    """A time as the reference writes it."""
    now = datetime.fromtimestamp(seconds, UTC) if seconds else datetime.now(UTC)
    return now.strftime("%Y-%m-%d %H:%M:%S.%f UTC")


class Reference:
    """Its records and packages, in memory."""

    def __init__(self):
        self.records, self.packages = {}, {}
        self.poisoned = False
        self.fetched = []

    def add(self, data, name="bolt", version="1", own=None, file="m.zip", **fields):
        """A record as a client has registered it long ago."""
        own = own or str(uuid.uuid4())
        self.packages[own] = data
        self.records[own] = {
            "id": own, "name": name, "target_device": "CPU",
            "created_date": moment(1_700_000_000 + len(self.records)),
            "last_updated_date": moment(1_710_000_000 + len(self.records)), "precision": ["fp32"],
            "size": len(data), "version": version, "format": None, "origin": None,
            "file_url": f"minio://models/{own}/{file}", "project_id": None, "project_name": None,
            "category": None, "target_device_type": None, "score": 0.0, "overview": {},
            "optimization_capabilities": {}, "labels": [], "architecture": None, **fields,
        }  # fmt: skip
        return own

    def listed(self, query):
        """Records by id that match, cut at a hundred without a word."""
        found = []
        for own in sorted(self.records):
            record = self.records[own]
            if all(self._match(record, name, value) for name, value in query.items() if value):
                found.append(record)
        return found[:LISTED]

    def _match(self, record, name, value):
        if name == "version":
            return record["version"] == value
        text = record[name]
        text = str(text) if isinstance(text, list) else text or ""
        # It asks a database with LIKE, where `_` is any character.
        pattern = ".".join(re.escape(part) for part in value.split("_"))
        return re.search(pattern, text, re.I | re.S) is not None


def handler(reference):
    """The HTTP of it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self, status, body, kind="application/json"):
            data = body if isinstance(body, bytes) else body.encode()
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            parts = urlsplit(self.path)
            steps = parts.path.strip("/").split("/")
            if steps == ["health"]:
                return self.answer(200, '{"status":"ok"}')
            if steps[0] != "models" or len(steps) > 3:
                return self.answer(404, '{"detail":"Not Found"}')
            if len(steps) == 1:
                return self.listing(dict(parse_qsl(parts.query, keep_blank_values=True)))
            if not re.fullmatch(r"[A-Za-z0-9_-]{16,}", steps[1]):
                return self.answer(400, '{"detail":"Invalid format for model ID."}')
            if steps[1] not in reference.records:
                return self.answer(404, "Model not found.\n", None)
            if len(steps) == 2:
                return self.answer(200, json.dumps(reference.records[steps[1]]))
            reference.fetched.append(steps[1])
            data = reference.packages[steps[1]]
            if not data:  # an empty file is JSON null
                return self.answer(200, "null")
            return self.answer(200, data, "application/zip")

        def listing(self, query):
            if reference.poisoned:
                return self.answer(500, "SyntaxError\n\ninvalid syntax\n", None)
            for name, value in query.items():
                if name not in (*SUBSTRING, "version"):
                    return self.answer(422, f"Invalid query parameter(s): {name}\n", None)
                if set("<%'") & set(value):
                    return self.answer(400, f"{name}\n", None)
            found = reference.listed(query)
            if not found and any(query.values()):
                return self.answer(404, "Model(s) not found.\n", None)
            return self.answer(200, json.dumps(found))

    return Handler


@contextmanager
def running():
    """A reference on a free port: itself and its address."""
    reference = Reference()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(reference))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield reference, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
