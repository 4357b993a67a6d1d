"""A stand-in for a Geti 2.x server, with TLS: what it answers and how it fails was written from the
interface that the SDK 2.13.1 speaks."""

import io
import json
import re
import ssl
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "geti_pat_0123456789abcdef"
ORGANIZATION, WORKSPACE = "org-1", "ws-1"
MADE = "2026-01-09T12:20:05.875000+00:00"


def number(n):
    """An id as Geti's are: 24 hex digits."""
    return f"60d31793d5f1fb7e6e3c{n:04x}"


def package(*names, text="<net/>", method=zipfile.ZIP_DEFLATED):
    """A ZIP with these entries."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", method) as made:
        for name in names or ("deployment/project.json", "deployment/Detection/model/model.xml"):
            made.writestr(name, text)
    return found.getvalue()


def optimised(n, name, form="OpenVINO", precision="FP16", score=0.83):
    """An optimised model."""
    return {
        "id": number(n), "name": name, "version": 1, "creation_date": "2026-01-21T09:40:19+00:00",
        "model_format": form, "precision": [precision], "has_xai_head": False,
        "performance": {"score": score}, "size": 1,
        "optimization_type": "ONNX" if form == "ONNX" else "MO", "optimization_objectives": {},
        "optimization_methods": [], "model_status": "SUCCESS",
        "previous_trained_revision_id": number(n),
    }  # fmt: skip


def label(name):
    """A label."""
    return {
        "id": f"l-{name}", "name": name, "color": "#0015ffff", "group": "default",
        "is_empty": False, "hotkey": "", "parent_id": None,
    }  # fmt: skip


@dataclass
class Geti:
    """The server's content and its switches."""

    projects: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    models: dict = field(default_factory=dict)
    packages: dict = field(default_factory=dict)
    workspaces: list = field(default_factory=lambda: [WORKSPACE])
    asked: list = field(default_factory=list)
    failures: dict = field(default_factory=dict)
    """Path pattern to what happens there: a list of statuses (or `cut`, `slow`), one per request."""
    page: int = 50
    gate: threading.Event = field(default_factory=threading.Event)

    def project(self, n, name, kinds=("detection",)):
        """A project with one group of one trained model: OpenVINO in two precisions, and ONNX."""
        own = number(n)
        tasks = [{"id": "t0", "task_type": "dataset", "title": "Dataset"}]
        for at, kind in enumerate(kinds, 1):
            title = kind.replace("_", " ").title()
            tasks.append(
                {"id": f"t{at}", "task_type": kind, "title": title, "labels": [label("box")]}
            )
        self.projects[own] = {
            "id": own, "name": name, "creation_time": MADE, "datasets": [],
            "pipeline": {
                "connections": [
                    {"from": f"t{at}", "to": f"t{at + 1}"} for at in range(len(kinds))
                ],
                "tasks": tasks,
            },
        }  # fmt: skip
        models = [
            optimised(n + 3, "YOLOX-TINY OpenVINO FP16"),
            optimised(n + 4, "YOLOX-TINY OpenVINO INT8", "openvino", "INT8", 0.81),
            optimised(n + 5, "YOLOX-TINY ONNX FP32", "ONNX", "FP32"),
        ]
        group, model = number(n + 1), number(n + 2)
        self.groups[own] = [{
            "id": group, "name": "YOLOX-TINY", "task_id": "t1", "model_template_id": "yolox",
            "learning_approach": "fully_supervised", "models": [{
                "id": model, "name": "YOLOX-TINY", "creation_date": MADE, "version": 1,
                "performance": {"score": 0.83}, "active_model": True,
            }],
        }]  # fmt: skip
        self.models[model] = {
            "id": model, "name": "YOLOX-TINY", "architecture": "YOLOX-TINY", "version": 1,
            "creation_date": MADE, "size": 1, "precision": ["FP32"],
            "performance": {"score": 0.83}, "labels": [], "optimized_models": models,
        }  # fmt: skip
        for one in models:
            self.packages[one["id"]] = package(text=f"<net id='{one['id']}'/>")
        return own

    def fail(self, pattern, *what):
        """What the next requests there are answered with; empty texts let one through."""
        self.failures[pattern] = list(what)

    def failing(self, path):
        """What happens to this request, if not the usual."""
        for pattern, what in self.failures.items():
            if re.search(pattern, path) and what:
                return what.pop(0)
        return ""

    def answer(self, path, query, body):
        """Status and document, or bytes."""
        if path == "/product_info":
            return 200, {"product-version": "2.13.1"}
        if path == "/personal_access_tokens/organization":
            return 200, {"organizationId": ORGANIZATION}
        if path == f"/organizations/{ORGANIZATION}/workspaces":
            return 200, {"workspaces": [{"id": w, "name": f"Default {w}"} for w in self.workspaces]}
        if path == f"/organizations/{ORGANIZATION}/balance":
            return 200, {}
        match = re.match(rf"/organizations/{ORGANIZATION}/workspaces/([^/]+)/projects(.*)", path)
        if not match or match[1] not in self.workspaces:
            return self.missing("url")
        return self.below(match[2], query, body)

    def below(self, rest, query, body):
        """What stands below the projects of a workspace."""
        if not rest:
            skip, limit = int(query.get("skip", ["0"])[0]), int(query.get("limit", ["50"])[0])
            listed = list(self.projects.values())
            page = listed[skip : skip + min(limit, self.page)]
            return 200, {"projects": page, "project_counts": len(listed)}
        own, _, more = rest.removeprefix("/").partition("/")
        if own not in self.projects:
            return self.missing("project")
        if not more:
            return 200, self.projects[own]
        if more == "supported_algorithms":
            return 200, {"supported_algorithms": [ALGORITHM]}
        if more == "model_groups":
            return 200, {"model_groups": self.groups[own]}
        if more == "deployment_package:download":
            wanted = body["models"][0]
            found = self.packages.get(wanted["model_id"])
            known = any(g["id"] == wanted["model_group_id"] for g in self.groups[own])
            return (200, found) if found is not None and known else self.missing("model")
        group, _, model = more.removeprefix("model_groups/").partition("/models/")
        known = {m["id"] for g in self.groups[own] if g["id"] == group for m in g["models"]}
        if model in known:
            return 200, self.models[model]
        return self.missing("model")  # code_deployments among them: newer servers have none

    def missing(self, what):
        """The error of something that is not there."""
        return 404, {"http_status": 404, "error_code": f"{what}_not_found",
                     "message": f"The requested {what} could not be found."}  # fmt: skip


ALGORITHM = {
    "model_manifest_id": "yolox", "task": "detection", "name": "YOLOX-TINY", "description": "x",
    "stats": {"gigaflops": 6.5, "trainable_parameters": 5, "performance_ratings": {
        "accuracy": 1, "training_time": 2, "inference_speed": 3,
    }},
    "support_status": "active", "supported_gpus": {"nvidia": True, "intel": True},
    "capabilities": {"xai": True, "tiling": True}, "is_default_model": True,
    "performance_category": "speed",
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Speaks for the server."""

    protocol_version = "HTTP/1.1"
    geti: Geti

    def do_GET(self):
        """One request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or "null")
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api/v1")
        self.geti.asked.append((self.command, path, dict(self.headers.items())))
        what = self.geti.failing(path)
        if what == "slow":
            self.geti.gate.wait(30)
            what = 503
        if self.headers.get("x-api-key") != TOKEN:
            what = 401
        if self.command == "POST" and self.headers.get("x-geti-csrf-protection") != "1":
            what = 403
        if isinstance(what, int):
            told = {"http_status": what, "error_code": "x", "message": f"refused {TOKEN}"}
            return self.send(what, told)
        status, found = self.geti.answer(path, parse_qs(parts.query), body)
        if isinstance(what, bytes):
            found = what
        return self.send(status, found, cut=what == "cut")

    do_POST = do_GET

    def send(self, status, found, cut=False):
        """An answer; `cut`: its end is missing."""
        raw = isinstance(found, bytes)
        data = found if raw else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/zip" if raw else "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status in (301, 302):
            self.send_header("Location", "https://elsewhere.example/")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    def log_message(self, *args):
        """Nothing."""


@contextmanager
def running(issued, geti=None):
    """A server and its address."""
    geti = geti or Geti()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"geti": geti}))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None  # clients that refuse the certificate
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield geti, f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        geti.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
