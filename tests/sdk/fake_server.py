"""The API's upload, version and download routes with an object store beside them, in memory, over
real sockets, and with faults on demand. Not the rules of the registry: only what a client relies on.
"""

import base64
import hashlib
import json
import re
import secrets
import select
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from weighbridge.contract import codec, cuts, digests, errors, manifests, references, types

TOKEN = "wb_test_secret"
MIB = 1024 * 1024
NOW = "2026-11-21T09:10:11.123Z"


def etag(data: bytes) -> str:
    """What the store calls this state of an object."""
    ends = hashlib.sha256(data[:4096] + data[-4096:]).hexdigest()[:32]
    return f'"{ends}-{len(data)}"'


@dataclass
class Upload:
    """An unfinished multipart upload."""

    blob: str
    """Planned for this blob; of an upload that was opened without one, a name of its own."""
    key: str
    scheme: int = 0
    """Opened without a blob, for cuts of this scheme."""
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    complete: bool = False


@dataclass
class State:
    """Everything the server knows, and what it saw."""

    token: str = TOKEN
    projects: set = field(default_factory=set)
    models: set = field(default_factory=set)
    versions: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    files: dict = field(default_factory=lambda: defaultdict(dict))
    checkpoints: dict = field(default_factory=dict)
    aliases: dict = field(default_factory=dict)
    claims: dict = field(default_factory=dict)
    pages: list = field(default_factory=list)
    objects: dict = field(default_factory=dict, repr=False)
    blobs: dict = field(default_factory=dict)
    uploads: dict = field(default_factory=dict, repr=False)
    faults: dict = field(default_factory=lambda: defaultdict(deque))
    seen: list = field(default_factory=list)
    stored: Counter = field(default_factory=Counter)
    """How often each part or object was stored, by (blob or key, part number)."""
    sizes: dict = field(default_factory=dict)
    """Of parts whose bytes were not kept, too."""
    copied: Counter = field(default_factory=Counter)
    known: dict = field(default_factory=dict)
    """Where each part of a complete upload lies, by (project, SHA-256): key, offset, size."""
    expired: set = field(default_factory=set)
    signed_at: float = 0.0
    """What the server's clock says when it signs; unset, addresses tell no time."""
    discard: bool = False
    """Keep digests of parts, not their bytes."""
    before: object = None
    """Called with (kind, path) at the start of each request, outside the lock."""
    hold: object = None
    """Called with (kind, path) once a request was acted on, before it is answered."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def inject(self, kind: str, *faults: str) -> None:
        """The next requests of a kind (`api`, `put`, `part`, `copy`, `get`) meet these faults, in order.

        `503` · `429` (wait a second)
        · `early` (403, the body is never read)
        · `gone` (404) · `drop` (acted on, no answer) · `reset` (not acted on) · `expired` · `flip` (one bit
        of the body) · `truncate` (half the answer) · `late` (200, then an error in the body) ·
        `other` (a copy answers another checksum) · `ok`
        """
        self.faults[kind].extend(faults)

    def ready(self) -> list:
        """The versions anybody can see."""
        return [v for v in self.versions.values() if v.state == "ready"]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args) -> None:
        pass

    def handle_one_request(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle_one_request()
            return
        self.close_connection = True

    def _any(self) -> None:
        state: State = self.server.state
        parts = urlsplit(self.path)
        # As a proxy it is asked for whole addresses.
        path = parts.path
        query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        s3 = path.startswith("/s3/")
        kind = "api"
        if s3:
            kind = "get" if self.command == "GET" else ("part" if "uploadId" in query else "put")
            if "x-amz-copy-source" in self.headers:
                kind = "copy"
        with state.lock:
            state.seen.append((self.command, self.path, dict(self.headers.items())))
            fault = state.faults[kind].popleft() if state.faults[kind] else "ok"
        if state.before:
            state.before(kind, path)
        if fault == "reset":
            return self._hang_up()
        if fault == "early":
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            gone = select.poll()
            gone.register(self.connection, select.POLLRDHUP)
            gone.poll(120_000)
            return self._hang_up()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            return self._hang_up()
        if fault == "503":
            return self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
        if fault == "429":
            return self._answer(429, b"<Error><Code>SlowDown</Code></Error>", {"Retry-After": "1"})
        if fault == "flip" and s3 and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if s3:
            status, answer, headers = self._store(state, kind, path, query, body, fault)
        else:
            status, answer, headers = self._api(state, path, query, body)
        if state.hold:
            state.hold(kind, path)
        if fault == "drop":
            return self._hang_up()
        if fault == "flip" and kind == "get" and answer:
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        return self._answer(status, answer, headers, cut=fault == "truncate")

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _any

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status, body, headers=None, cut=False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._hang_up()

    # The object store

    def _store(self, state, kind, path, query, body, fault):
        def error(status, code):
            return status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode(), {}

        key = unquote(path[4:])
        if "Authorization" in self.headers:
            return error(400, "InvalidArgument")
        if fault == "gone":
            return error(404, "NoSuchKey")
        if fault == "expired" or query.get("sig") in state.expired:
            return error(403, "AccessDenied")
        with state.lock:
            if kind == "get":
                data = state.objects.get(key)
                if data is None:
                    return error(404, "NoSuchKey")
                match = re.match(r"bytes=(\d+)-(\d+)\Z", self.headers.get("Range", ""))
                if not match:
                    return 200, data, {}
                start, end = int(match[1]), min(int(match[2]), len(data) - 1)
                span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
                return 206, data[start : end + 1], span
            if kind == "copy":
                return self._copy(state, key, query, body, fault, error)
            checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if self.headers.get("x-amz-checksum-sha256") != checksum:
                return error(400, "BadDigest")
            if kind == "put":
                if key in state.objects:
                    return error(412, "PreconditionFailed")
                state.objects[key] = body
                state.stored[key, 1] += 1
                return 200, b"", {}
            upload = state.uploads.get(query["uploadId"])
            if upload is None or upload.complete:
                return error(404, "NoSuchUpload")
            number = int(query["partNumber"])
            state.sizes[digests.sha256_of(body)] = len(body)
            upload.parts[number] = (digests.sha256_of(body), b"" if state.discard else body)
            state.stored[upload.blob, number] += 1
            return 200, b"", {}

    def _copy(self, state, key, query, body, fault, error):
        upload = state.uploads.get(query["uploadId"])
        if upload is None or upload.complete:
            return error(404, "NoSuchUpload")
        source = state.objects.get(unquote(self.headers["x-amz-copy-source"]).partition("/")[2])
        if source is None:
            return error(404, "NoSuchKey")
        if self.headers["x-amz-copy-source-if-match"] != etag(source):
            return error(412, "PreconditionFailed")
        if fault == "late":
            return 200, b"<?xml?><Error><Code>NoSuchKey</Code></Error>", {}
        assert body == b""
        match = re.match(r"bytes=(\d+)-(\d+)\Z", self.headers["x-amz-copy-source-range"])
        data = source[int(match[1]) : int(match[2]) + 1]
        number = int(query["partNumber"])
        upload.parts[number] = (digests.sha256_of(data), data)
        state.copied[upload.blob, number] += 1
        told = digests.sha256_of(b"other" if fault == "other" else data)
        checksum = digests.to_base64(told)
        answer = f"<CopyPartResult><ChecksumSHA256>{checksum}</ChecksumSHA256></CopyPartResult>"
        return 200, answer.encode(), {}

    # The API

    def _api(self, state, path, query, body):
        segments = [unquote(part) for part in path.split("/")[2:]]
        data = json.loads(body) if body else None
        try:
            if segments != ["health"] and (
                self.headers.get("Authorization") != f"Bearer {state.token}"
            ):
                raise errors.Unauthenticated("no")
            with state.lock:
                answer = self._route(state, segments, query, data)
            return 200, json.dumps(codec.encode(answer)).encode(), {}
        except errors.RegistryError as error:
            return error.status, json.dumps(error.body("r-1")).encode(), {}

    def _route(self, state, segments, query, data):
        match [self.command, *segments]:
            case ["GET", "health"]:
                return types.Health("ok", "0", NOW)
            case ["POST", "projects"]:
                new = codec.decode(types.NewProject, data, strict=True)
                if new.name in state.projects:
                    raise errors.AlreadyExists("taken")
                state.projects.add(new.name)
                return types.Project(new.name)
            case ["POST", "projects", p, "uploads"]:
                return self._plan(state, p, codec.decode(types.PlanRequest, data, strict=True))
            case ["POST", "projects", p, "uploads", "look"]:
                request = codec.decode(types.LookRequest, data, strict=True)
                assert len(request.parts) <= 1000
                return types.LookAnswer(
                    tuple(self._source(state, p, part) is not None for part in request.parts)
                )
            case ["POST", "projects", p, "uploads", "open"]:
                new = codec.decode(types.NewUpload, data, strict=True)
                assert new.scheme in cuts.SCHEMES
                name = secrets.token_hex(8)
                upload = Upload(f"c{new.scheme}-{name}", f"blobs/{name}", new.scheme)
                state.uploads[name] = upload
                return types.Upload(name)
            case ["POST", "projects", p, "uploads", u, "parts"]:
                request = codec.decode(types.PartsRequest, data, strict=True)
                return self._parts(state, p, u, request)
            case ["POST", "projects", p, "uploads", u, "complete"]:
                request = codec.decode(types.UploadComplete, data, strict=True)
                return self._complete(state, p, u, request)
            case ["POST", "projects", p, "models"]:
                new = codec.decode(types.NewModel, data, strict=True)
                if p not in state.projects:
                    raise errors.NotFound("no project")
                if (p, new.name) in state.models:
                    raise errors.AlreadyExists("taken")
                state.models.add((p, new.name))
                return types.Model(p, new.name)
            case ["POST", "projects", p, "models", m, "versions"]:
                new = codec.decode(types.NewVersion, data, strict=True)
                return self._begin(state, p, m, new)
            case ["GET", "projects", p, "models", m, "versions"]:
                found = [v for v in state.versions.values() if (v.project, v.model) == (p, m)]
                wanted = query.get("state", "ready")
                return types.VersionPage(tuple(v for v in found if v.state == wanted))
            case ["PUT", "projects", p, "models", m, "aliases", a]:
                move = codec.decode(types.AliasTarget, data, strict=True)
                state.aliases[p, m, a] = self._version(state, p, m, move.version).number
                return types.AliasMove(a, state.aliases[p, m, a])
            case [method, "projects", p, "models", m, "versions", v, *rest]:
                version = self._version(state, p, m, v)
                return self._of_version(state, method, version, rest, query, data)
        raise errors.NotFound(f"{self.command} {segments}")

    def _begin(self, state, p, m, new):
        if new.create:
            state.projects.add(p)
            state.models.add((p, m))
        if (p, m) not in state.models:
            raise errors.NotFound("no model")
        if (p, m, new.key) in state.keys:
            return state.versions[state.keys[p, m, new.key]]
        for version in state.versions.values():
            if new.label and version.label == new.label and version.state != "aborted":
                raise errors.AlreadyExists("label taken")
        number = 1 + sum(1 for (vp, vm, _) in state.versions if (vp, vm) == (p, m))
        at = (p, m, number)
        state.versions[at] = types.Version(p, m, number, "open", label=new.label)
        state.keys[p, m, new.key] = at
        return state.versions[at]

    def _version(self, state, p, m, selector):
        chosen = references.parse_version(selector)
        found = [v for v in state.versions.values() if (v.project, v.model) == (p, m)]
        for version in reversed(found):
            if chosen.kind == "number" and version.number == chosen.number:
                return version
            if chosen.kind == "label" and version.label == chosen.value:
                return version
            if version.state == "ready" and (
                chosen.kind == "latest" or state.aliases.get((p, m, chosen.value)) == version.number
            ):
                return version
        raise errors.NotFound(f"no version {selector}")

    def _of_version(self, state, method, version, rest, query, data):
        at = (version.project, version.model, version.number)
        match [method, *rest]:
            case ["GET"]:
                return version
            case ["POST", "abort"]:
                state.versions[at] = replace(version, state="aborted")
                return state.versions[at]
            case ["POST", "files"]:
                page = codec.decode(types.FilePage, data, strict=True)
                assert len(page.files) <= 10_000
                state.files[at] |= {entry.path: entry for entry in page.files}
                return version
            case ["POST", "claims"]:
                page = codec.decode(types.ClaimsPage, data, strict=True)
                assert sum(len(file.tensors) for file in page.files) <= 5000
                state.pages.append(page)
                return types.StoredPage(f"{len(state.pages):020x}")
            case ["POST", "commit"]:
                return self._commit(state, at, codec.decode(types.VersionCommit, data, strict=True))
            case ["GET", "files"]:
                return self._files(tuple(state.files[at].values()), version.manifest, query)
            case ["POST", "downloads"]:
                return self._downloads(state, data)
            case ["POST", "checkpoints"]:
                commit = codec.decode(types.CheckpointCommit, data, strict=True)
                return self._checkpoint(state, at, commit)
            case ["GET", "checkpoints"]:
                wanted = query.get("component", "").replace("-", "")
                found = [made for made, _ in state.checkpoints.get(at, [])]
                if "component" in query:
                    found = [made for made in found if made.component == wanted]
                return types.CheckpointPage(tuple(reversed(found)))
            case ["GET", "checkpoints", c]:
                return self._chosen(state, at, c)[0]
            case ["GET", "checkpoints", c, "files"]:
                checkpoint, commit = self._chosen(state, at, c)
                return self._files(commit.files, checkpoint.manifest, query)
            case ["POST", "checkpoints", _, "downloads"]:
                return self._downloads(state, data)
        raise errors.NotFound(f"{method} {rest}")

    def _files(self, files, manifest, query):
        start, limit = int(query.get("page") or 0), int(query["limit"])
        page = files[start : start + limit]
        more = str(start + limit) if start + limit < len(files) else None
        return types.FileList(page, more, manifest=manifest)

    def _check(self, state, project, files, manifest):
        for entry in files:
            if (project, entry.blob) not in state.blobs:
                raise errors.InvalidManifest(f"{entry.blob} is absent", blob=entry.blob)
        if manifests.digest(files) != manifest:
            raise errors.InvalidManifest("another manifest")

    def _commit(self, state, at, commit):
        version = state.versions[at]
        if version.state == "ready" and version.manifest == commit.manifest:
            return version
        if version.state != "open":
            raise errors.Conflict(f"the version is {version.state}")
        files = commit.files or tuple(state.files[at].values())
        self._check(state, at[0], files, commit.manifest)
        state.files[at] = {entry.path: entry for entry in manifests.checked(files)}
        state.claims[at] = commit.claims
        said = {
            name: getattr(commit, name)
            for name in ("metrics", "params", "tags", "manifest", "provenance", "description")
        }
        state.versions[at] = replace(version, state="ready", files=len(files), **said)
        return state.versions[at]

    def _checkpoint(self, state, at, commit):
        for checkpoint, known in state.checkpoints.get(at, []):
            if (known.component, known.step, known.name) == (
                commit.component, commit.step, commit.name,
            ):  # fmt: skip
                if known.manifest != commit.manifest:
                    raise errors.AlreadyExists("that checkpoint has other content")
                return checkpoint
        self._check(state, at[0], commit.files, commit.manifest)
        series = state.checkpoints.setdefault(at, [])
        made = types.Checkpoint(
            *at, len(series) + 1, commit.component, commit.step, commit.name,
            commit.metrics, commit.tags, commit.manifest,
        )  # fmt: skip
        series.append((made, commit))
        return made

    def _chosen(self, state, at, selector):
        series = state.checkpoints.get(at, [])
        if selector == "last" and series:
            return series[-1]
        for checkpoint, commit in series:
            if str(checkpoint.number) == selector:
                return checkpoint, commit
        raise errors.NotFound("no checkpoint")

    def _sign(self, method, key, headers=None, **query):
        query["sig"] = secrets.token_hex(8)
        if at := self.server.state.signed_at:
            query["X-Amz-Date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
            query["X-Amz-Expires"] = "3600"
        text = "&".join(f"{k}={v}" for k, v in query.items())
        url = f"{self.server.s3_url}/s3/{key}?{text}"
        return types.SignedRequest(method, url, headers or {})

    def _plan(self, state, project, request):
        assert len(request.want) <= 2000
        assert len(request.done) <= 2000
        for done in request.done:
            wanted = digests.parse_blob(done.blob)
            data = state.objects.get(done.key)
            if data is None:
                raise errors.NotFound("that PUT never arrived")
            if digests.sha256_of(data) != wanted.sha256:
                raise errors.IntegrityError("other bytes")
            state.blobs[project, done.blob] = done.key
        return types.Plan(tuple(self._wanted(state, project, w.blob) for w in request.want))

    def _wanted(self, state, project, blob):
        wanted = digests.parse_blob(blob)
        if (project, blob) in state.blobs:
            return types.BlobPlan(blob, "have")
        key = f"blobs/{secrets.token_hex(8)}"
        if wanted.parts:
            upload = secrets.token_hex(8)
            state.uploads[upload] = Upload(blob, key)
            return types.BlobPlan(blob, "multipart", upload=upload)
        headers = {
            "x-amz-checksum-sha256": digests.to_base64(wanted.sha256),
            "If-None-Match": "*",
        }
        return types.BlobPlan(blob, "put", key=key, request=self._sign("PUT", key, headers))

    def _source(self, state, project, part):
        key, offset, size = state.known.get((project, part.sha256), ("", 0, 0))
        return (key, offset) if key and size == part.size else None

    def _before(self, state, project, part, others):
        """The registry's guess: the first piece of a tensor lies right before the second."""
        for second in others:
            if second.number == part.number + 1 and cuts.is_head(part.size):
                key, offset = self._source(state, project, second) or ("", 0)
                return (key, offset - part.size) if offset >= part.size else None
        return None

    def _parts(self, state, project, upload_id, request):
        assert len(request.parts) <= 1000
        upload = state.uploads.get(upload_id)
        if upload is None:
            raise errors.NotFound("no such upload")
        plans = []
        for part in request.parts:
            held = upload.parts.get(part.number)
            if held is not None and held[0] == part.sha256:
                plans.append(types.PartPlan(part.number))
                continue
            source = None if request.sendonly else self._source(state, project, part)
            if source is None and not request.sendonly and upload.scheme != 1:
                source = self._before(state, project, part, request.parts)
            at = {"partNumber": part.number, "uploadId": upload_id}
            if source is None:
                headers = {"x-amz-checksum-sha256": digests.to_base64(part.sha256)}
                signed = self._sign("PUT", upload.key, headers, **at)
                plans.append(types.PartPlan(part.number, signed, "send"))
                continue
            key, offset = source
            headers = {
                "x-amz-copy-source": f"bucket/{key}",
                "x-amz-copy-source-range": f"bytes={offset}-{offset + part.size - 1}",
                "x-amz-copy-source-if-match": etag(state.objects.get(key, b"")),
            }
            signed = self._sign("PUT", upload.key, headers, **at)
            plans.append(types.PartPlan(part.number, signed, "copy"))
        return types.PartsPlan(tuple(plans))

    def _complete(self, state, project, upload_id, request):
        upload = state.uploads.get(upload_id)
        if upload is None:
            raise errors.NotFound("no such upload")
        wanted = digests.parse_blob(request.blob)
        if wanted.scheme != upload.scheme if upload.scheme else upload.blob != request.blob:
            raise errors.InvalidRequest("the upload is of another blob")
        if not upload.complete:
            numbers = sorted(upload.parts)
            if numbers != list(range(1, wanted.parts + 1)):
                missing = sorted(set(range(1, wanted.parts + 1)) - set(numbers))
                raise errors.IntegrityError("parts are missing", missing=missing)
            found = digests.composite(upload.parts[n][0] for n in numbers)
            if found != wanted.sha256:
                raise errors.IntegrityError("other bytes")
            sizes = [len(upload.parts[n][1]) for n in numbers]
            assert state.discard or min(sizes[:-1], default=5 * MIB) >= 5 * MIB
            state.objects[upload.key] = b"".join(upload.parts[n][1] for n in numbers)
            state.blobs[project, request.blob] = upload.key
            upload.complete = True
            offset = 0
            for number in numbers:
                digest, data = upload.parts[number]
                size = state.sizes.get(digest, len(data))
                state.known[project, digest] = (upload.key, offset, size)
                offset += size
        return types.Stored(request.blob, wanted.size)

    def _downloads(self, state, data):
        request = codec.decode(types.DownloadRequest, data, strict=True)
        assert len(request.blobs) <= 1000
        keys = {blob: key for (_, blob), key in state.blobs.items()}
        return types.Downloads(
            tuple(
                types.Download(b, digests.parse_blob(b).size, self._sign("GET", keys[b]))
                for b in request.blobs
            )
        )


class Server(ThreadingHTTPServer):
    """On a free loopback port; API and store on the same one."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, state: State | None = None, host: str = "127.0.0.1", named: str = ""
    ) -> None:
        super().__init__((host, 0), Handler)
        self.state = state or State()
        self.url = f"http://{named or host}:{self.server_address[1]}"
        self.s3_url = self.url

    def handle_error(self, request, client_address) -> None:
        raise


@contextmanager
def serving(state: State | None = None, **options):
    """A running server; stopped at the end."""
    with Server(state, **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
