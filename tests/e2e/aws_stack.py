"""The deployed app on emulated AWS: what `chalice package` made, run by an emulator that enforces IAM.

API Gateway, Lambda, DynamoDB, SQS, EventBridge and IAM are MiniStack's. The bytes are on SeaweedFS,
whose webhooks become the events that S3 would send, or (`s3="ministack"`) on MiniStack as well, so
that the functions' policies decide who may touch an object.

    python -m tests.e2e.aws_stack        deploys, prints address and token, serves until Ctrl-C
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import boto3
from botocore.config import Config

from chalicelib.storage.queues import SqsQueue
from infra import deploy
from infra.embedded import webhook
from infra.embedded.http_server import Server
from infra.embedded.listener import Listener
from infra.embedded.seaweed import SeaweedFS
from tests.stack import ROOT, Stack, ministack

REGION = "us-east-1"
STACK = "weighbridge-dev"
KEYS = ("weighbridge", "weighbridge-secret")
PLAIN = {"TlsOnly": "false"}
"""The emulator's S3 is not reached by TLS."""
DEPLOY_SECONDS = 180


@dataclass(slots=True)
class Deployed:
    """A deployed registry. `url` is its address for `WEIGHBRIDGE_URL`, `token` an administrator's."""

    url: str
    token: str
    outputs: dict[str, str]
    aws: Stack
    s3_endpoint: str
    s3_keys: tuple[str, str]

    def resource(self, name: str) -> str:
        """The physical name of a resource of the stack."""
        with contextlib.closing(self.client("cloudformation")) as client:
            found = client.describe_stack_resource(StackName=STACK, LogicalResourceId=name)
        physical: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return physical

    def client(self, service: str) -> Any:
        """A boto3 client of the emulated account, as its administrator. Close it."""
        return _client(service, self.aws.endpoint, "test", "test")

    def s3(self) -> Any:
        """A boto3 client of where the bytes are, as its operator. Close it."""
        return _client("s3", self.s3_endpoint, *self.s3_keys)

    def view(
        self, path: str, method: str = "GET", body: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """What a browser gets from the distribution: status, headers in lower case, body. The emulator knows
        it by the name that is asked for, and HTTPS by what a proxy would say."""
        there, name = urlsplit(self.aws.endpoint), urlsplit(self.outputs["CdnUrl"]).netloc
        sent = {"Host": name, "X-Forwarded-Proto": "https"}
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        with contextlib.closing(HTTPConnection(there.netloc, timeout=60)) as connection:
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def signed_in(self, token: str = "") -> str:
        """The cookie that a sign-in with a token gets."""
        form = urlencode({"token": token or self.token, "next": "/"})
        kind = "application/x-www-form-urlencoded"
        status, headers, body = self.view("/sign-in", "POST", form, Content_Type=kind)
        assert status == 303, (status, body)
        return headers["set-cookie"].partition(";")[0]

    def logs(self) -> str:
        """What the functions wrote, for the message of a test that failed."""
        logs = self.client("logs")
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        lines = [
            f"{group}: {event['message']}"
            for group in groups
            for event in logs.filter_log_events(logGroupName=group)["events"]
        ]
        logs.close()
        return "\n".join(lines)


def _client(service: str, endpoint: str, key: str, secret: str) -> Any:
    config = Config(
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
    )
    return boto3.client(
        service, region_name=REGION, endpoint_url=endpoint, aws_access_key_id=key,
        aws_secret_access_key=secret, config=config,
    )  # fmt: skip


@contextlib.contextmanager
def deployed(home: Path, s3: Literal["seaweedfs", "ministack"] = "seaweedfs") -> Iterator[Deployed]:
    """Packages and deploys, as a person would; everything is gone when the block ends."""
    with contextlib.ExitStack() as parts:
        aws = parts.enter_context(ministack(auth=True))
        if s3 == "ministack":
            found = _deploy(aws, home, PLAIN)
            yield _registry(found, aws, aws.endpoint, ("test", "test"))
            return
        bridge = parts.enter_context(_Bridge(home / "objects"))
        endpoint = bridge.store.endpoint
        found = _deploy(
            aws, home,
            {"Cdn": "false", "S3Endpoint": endpoint, "S3AccessKey": KEYS[0], "S3SecretKey": KEYS[1]},
        )  # fmt: skip
        registry = _registry(found, aws, endpoint, KEYS)
        sqs = registry.client("sqs")
        parts.callback(sqs.close)
        bridge.connect(registry.outputs, sqs)
        yield registry


def _deploy(aws: Stack, home: Path, parameters: dict[str, str]) -> dict[str, Any]:
    home.mkdir(parents=True, exist_ok=True)
    given = home / "parameters.json"
    given.write_text(json.dumps(parameters))
    packaged = deploy.package("dev", home / "package")
    options = (f"--stack={STACK}", f"--parameters={given}")
    done = run(aws, "infra.deploy", "--json", f"--packaged={packaged}", *options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(
    aws: Stack, module: str, *options: str, typed: str = ""
) -> "subprocess.CompletedProcess[str]":
    """A command of `infra`, as a person would run it, on the emulated account."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WEIGHBRIDGE_"))}
    env = {**kept, **aws.env, "PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}"}
    return subprocess.run(
        [sys.executable, "-m", module, *options],
        cwd=ROOT, env=env, input=typed, capture_output=True, text=True, timeout=DEPLOY_SECONDS,
    )  # fmt: skip


def deploy_again(registry: Deployed, home: Path, **parameters: str) -> dict[str, Any]:
    """Packages anew and updates the stack; answers what the command said."""
    return _deploy(registry.aws, home, {**PLAIN, **parameters})


def _registry(found: dict[str, Any], aws: Stack, endpoint: str, keys: tuple[str, str]) -> Deployed:
    # The emulator's form of https://ID.execute-api.REGION.amazonaws.com/v1
    url = f"{aws.endpoint}/restapis/{found['outputs']['RestAPIId']}/v1/_user_request_"
    return Deployed(url, found["token"], found["outputs"], aws, endpoint, keys)


class _Bridge:
    """SeaweedFS, and a listener that makes messages of its webhooks: S3 → EventBridge → SQS."""

    def __init__(self, folder: Path) -> None:
        self._path = f"/{secrets.token_urlsafe(16)}"
        self._server = Server(("127.0.0.1", 0), _not_yet, threads=4)
        self._server.prepare()
        port = self._server.bind_addr[1]
        url = f"http://127.0.0.1:{port}{self._path}"
        access, secret = KEYS
        self.store = SeaweedFS(folder, access_key=access, secret_key=secret, webhook_url=url)

    def __enter__(self) -> "_Bridge":
        threading.Thread(target=self._server.serve, daemon=True).start()
        try:
            self.store.start()
        except BaseException:
            self._server.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.store.stop()
        self._server.stop()

    def connect(self, outputs: dict[str, str], sqs: Any) -> None:
        """From now on events reach the stack's queue."""
        queue = SqsQueue(outputs["IndexQueueUrl"], outputs["RenderQueueUrl"], client=sqs)
        listener = Listener(queue, outputs["Artifacts"], webhook.objects)
        listener.path = self._path
        self._server.wsgi_app = listener


def _not_yet(environ: Any, start_response: Any) -> list[bytes]:
    """Before there is a queue there is nothing to announce but our own styles."""
    start_response("204 No Content", [("Content-Length", "0")])
    return []


def main() -> None:
    """Deploys and serves until Ctrl-C."""
    with (
        tempfile.TemporaryDirectory(prefix="weighbridge-aws-") as folder,
        deployed(Path(folder)) as registry,
    ):
        print(f"export WEIGHBRIDGE_URL={registry.url}")
        print(f"export WEIGHBRIDGE_TOKEN={registry.token}")
        print("Ctrl-C stops it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
