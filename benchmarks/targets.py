"""What is measured against: a store, and the servers in front of it. Each is gone when its block ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RIVALS = ROOT / ".venv-bench" / "bin"
BUCKET = "bench"
_START_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Target:
    """A store by its S3 address and keys, and a registry in front of it."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    url: str
    token: str

    def store_env(self) -> dict[str, str]:
        """What tools that speak S3 need."""
        return {
            "BENCH_ENDPOINT": self.endpoint,
            "BENCH_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            # The sink listens on port 80 too, where it may; the store does not.
            "BENCH_PLAIN": "http://127.0.0.1" if self.name == "sink" else "",
        }

    def our_env(self, cache: Path) -> dict[str, str]:
        """What our own client needs; a fresh `cache` remembers nothing."""
        return {
            "WEIGHBRIDGE_URL": self.url, "WEIGHBRIDGE_TOKEN": self.token,
            "WEIGHBRIDGE_CACHE": str(cache), "WEIGHBRIDGE_CONFIG": str(cache / "config.json"),
        }  # fmt: skip


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process, with nothing in it that points elsewhere."""
    foreign = ("WEIGHBRIDGE_", "AWS_", "MLFLOW_", "BENCH_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}", **more}


@contextlib.contextmanager
def _process(
    command: Sequence[str], env: Mapping[str, str], log: Path, stop: int = signal.SIGINT
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment(env), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(stop)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _serve(folder: Path, *options: str, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    ready = folder / "ready.json"
    command = [
        sys.executable, "-m", "weighbridge.cli", "serve", "--port", "0",
        "--data", str(folder / "data"), "--ready-file", str(ready), *options,
    ]  # fmt: skip
    own = {"WEIGHBRIDGE_CONFIG": str(folder / "config.json"), **env}
    with _process(command, own, folder / "serve.log") as process:
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "serve.log").read_text()[-2000:])
            time.sleep(0.05)
        yield json.loads(ready.read_text())


@contextlib.contextmanager
def sink(folder: Path, served: Sequence[Path] = (), far: float = 0.0) -> Iterator[Target]:
    """The discarding sink, and our server with it as its store; `far` milliseconds away."""
    command = [sys.executable, "-m", "benchmarks.sink", "--plain", "--far", str(far)]
    command += ["--serve", *map(str, served)]
    with _process(command, {}, folder / "sink.log", signal.SIGTERM) as process:
        assert process.stdout
        endpoint = process.stdout.readline().decode().strip()
        keys = {"WEIGHBRIDGE_S3_ACCESS_KEY": "bench", "WEIGHBRIDGE_S3_SECRET_KEY": "benchbench"}
        with _serve(folder, "--s3-endpoint", endpoint, env=keys) as found:
            yield Target("sink", endpoint, "bench", "benchbench", found["url"], found["token"])


@contextlib.contextmanager
def store(folder: Path) -> Iterator[Target]:
    """`weighbridge serve` with its embedded S3 server."""
    with _serve(folder, env={}) as found:
        keys = json.loads((folder / "data" / "secrets.json").read_text())
        target = Target(
            "store", found["s3"], keys["s3_access_key"], keys["s3_secret_key"],
            found["url"], found["token"],
        )  # fmt: skip
        make = "import os, boto3; boto3.client('s3', endpoint_url=os.environ['BENCH_ENDPOINT'])"
        make += ".create_bucket(Bucket=os.environ['BENCH_BUCKET'])"
        env = environment(target.store_env())
        subprocess.run([sys.executable, "-c", make], env=env, check=True, timeout=60)
        yield target


@contextlib.contextmanager
def mlflow(target: Target, folder: Path) -> Iterator[str]:
    """A real MLflow server that keeps its artifacts in the target; answers its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(RIVALS / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "2", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.sqlite'}",
        "--artifacts-destination", f"s3://{BUCKET}/mlflow",
    ]  # fmt: skip
    env = {**target.store_env(), "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # its workers are not part of the race
    log = folder / "mlflow.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MLflow did not start: {log.read_text()[-500:]}")
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def told(target: Target, *, reset: bool) -> dict[str, float]:
    """What the sink counted since the last reset: requests, and the share of the received bytes for
    which a SHA-256 was declared."""
    method = "DELETE" if reset else "GET"
    asked = urllib.request.Request(f"{target.endpoint}/__stats", method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        found = json.loads(answer.read())
    share = found["declared"] / found["received"] if found["received"] else 0.0
    return {"s3_requests": sum(found["operations"].values()), "declared": share}
