"""One push or pull by another tool, as a process of its own; prints what it took as JSON.

    .venv-bench/bin/python benchmarks/rivals/run.py TOOL push|pull FILE KEY

Runs in `.venv-bench` and imports nothing of ours. `BENCH_ENDPOINT`, `BENCH_BUCKET` and the usual AWS variables
name the store, `BENCH_MLFLOW` an MLflow server. `seconds` is the call without imports; for programs it is
the whole program. After a pull the file is hashed; `verified` is the time with that.
"""

import hashlib
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENDPOINT = os.environ.get("BENCH_ENDPOINT", "")
BUCKET = os.environ.get("BENCH_BUCKET", "")
MIB = 1024**2
Move = Callable[[str, Path, str], float]


def timed(work: Callable[[], Any]) -> float:
    """Seconds of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def boto3_way(*, sha256: bool, tuned: bool) -> Move:
    """`upload_file` and `download_file`."""

    def move(action: str, file: Path, key: str) -> float:
        import boto3
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig()
        if tuned:
            config = TransferConfig(
                multipart_threshold=16 * MIB, multipart_chunksize=16 * MIB, max_concurrency=8,
                io_chunksize=MIB,
            )  # fmt: skip
        s3 = boto3.client("s3", endpoint_url=ENDPOINT)
        if action == "push":
            extra = {"ChecksumAlgorithm": "SHA256"} if sha256 else None
            return timed(
                lambda: s3.upload_file(str(file), BUCKET, key, ExtraArgs=extra, Config=config)
            )
        return timed(lambda: s3.download_file(BUCKET, key, str(file), Config=config))

    return move


def crt_way(*, sha256: bool) -> Move:
    """The transfer manager on the CRT, as boto3 makes it, but without TLS and with our endpoint, of
    which boto3 tells it nothing."""

    def move(action: str, file: Path, key: str) -> float:
        from botocore.config import Config
        from botocore.session import get_session
        from s3transfer import crt

        # The Python binding of the CRT takes a host for its address, port included.
        endpoint = os.environ.get("BENCH_PLAIN") or ENDPOINT
        session = get_session()
        path_style = Config(s3={"addressing_style": "path"})
        requests = crt.BotocoreCRTRequestSerializer(
            session, {"endpoint_url": endpoint, "region_name": "us-east-1", "config": path_style}
        )
        keys = crt.BotocoreCRTCredentialsWrapper(session.get_credentials())
        client = crt.create_s3_crt_client(
            "us-east-1", keys.to_crt_credentials_provider(), use_ssl=False
        )
        with crt.CRTTransferManager(client, requests) as manager:
            if action == "push":
                extra = {"ChecksumAlgorithm": "SHA256"} if sha256 else None
                return timed(lambda: manager.upload(str(file), BUCKET, key, extra).result())
            return timed(lambda: manager.download(BUCKET, key, str(file)).result())

    return move


def program(*words: str, push_options: tuple[str, ...] = ()) -> Move:
    """A command with `cp`; of a folder, if the file is one."""

    def move(action: str, file: Path, key: str) -> float:
        command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
        remote = f"s3://{BUCKET}/{key}"
        source, to = (str(file), remote) if action == "push" else (remote, str(file))
        if file.is_dir() and words[0] == "s5cmd":
            source, to = f"{source.rstrip('/')}/" + "*" * (action == "pull"), f"{to.rstrip('/')}/"
        elif file.is_dir():
            command += ["--recursive"]
        command += [*(push_options if action == "push" else ()), source, to]
        run = subprocess.run
        return timed(lambda: run(command, check=True, stdout=subprocess.DEVNULL, timeout=600))

    return move


def obstore_way(*, sha256: bool) -> Move:
    """obstore's `put`, which cuts by itself, and its streamed `get`."""

    def move(action: str, file: Path, key: str) -> float:
        obstore: Any = importlib.import_module("obstore")

        more: dict[str, Any] = {"checksum_algorithm": "SHA256"} if sha256 else {}
        store = obstore.store.S3Store(
            BUCKET, endpoint=ENDPOINT, client_options={"allow_http": True, "timeout": "600s"},
            access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1", virtual_hosted_style_request=False, **more,
        )  # fmt: skip

        def pull() -> None:
            with file.open("wb") as out:
                for chunk in obstore.get(store, key):
                    out.write(chunk)

        if action == "pull":
            return timed(pull)
        return timed(
            lambda: obstore.put(
                store, key, file, use_multipart=True, chunk_size=16 * MIB, max_concurrency=8
            )
        )

    return move


def mlflow_way(*, multipart: bool) -> Move:
    """`log_artifact` and `download_artifacts` by way of a real server."""

    def move(action: str, file: Path, key: str) -> float:
        for way in (
            "UPLOAD",
            "DOWNLOAD",
        ):  # said in both cases: the default is not the same in all versions
            os.environ[f"MLFLOW_ENABLE_PROXY_MULTIPART_{way}"] = str(multipart).lower()
        os.environ["MLFLOW_TRACKING_URI"] = os.environ["BENCH_MLFLOW"]
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        mlflow: Any = importlib.import_module("mlflow")
        client = mlflow.tracking.MlflowClient()
        name = key.replace("/", "-")
        found = client.get_experiment_by_name(name)
        if action == "push":
            experiment = client.create_experiment(name)
            run = client.create_run(experiment).info.run_id
            return timed(lambda: client.log_artifact(run, str(file)))
        run = client.search_runs([found.experiment_id])[0].info.run_id
        source = client.list_artifacts(run)[0].path
        into = file.parent / f"{file.name}.folder"
        into.mkdir()
        seconds = timed(
            lambda: mlflow.artifacts.download_artifacts(
                run_id=run, artifact_path=source, dst_path=str(into)
            )
        )
        (into / source).rename(file)
        into.rmdir()
        return seconds

    return move


AWS = ("aws", "--endpoint-url", ENDPOINT, "s3", "cp", "--no-progress")
TOOLS: dict[str, tuple[str, Move]] = {
    "boto3": ("boto3", boto3_way(sha256=False, tuned=False)),
    "boto3 sha256": ("boto3", boto3_way(sha256=True, tuned=False)),
    "boto3 tuned sha256": ("boto3", boto3_way(sha256=True, tuned=True)),
    "aws s3 cp": ("awscli", program(*AWS)),
    "aws s3 cp sha256": ("awscli", program(*AWS, push_options=("--checksum-algorithm", "SHA256"))),
    "s5cmd": ("s5cmd", program("s5cmd", "--endpoint-url", ENDPOINT, "cp")),
    "awscrt": ("awscrt", crt_way(sha256=False)),
    "awscrt sha256": ("awscrt", crt_way(sha256=True)),
    "obstore": ("obstore", obstore_way(sha256=False)),
    "obstore sha256": ("obstore", obstore_way(sha256=True)),
    "mlflow proxied": ("mlflow", mlflow_way(multipart=False)),
    "mlflow multipart": ("mlflow", mlflow_way(multipart=True)),
}


def main() -> None:
    """Does what the command line says."""
    if sys.argv[1] == "versions":
        packages = sorted({package for package, _ in TOOLS.values()})
        print(json.dumps({name: importlib.metadata.version(name) for name in packages}))
        return
    tool, action, file, key = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    seconds = TOOLS[tool][1](action, file, key)
    found = {"seconds": seconds}
    if action == "pull" and not file.is_dir():
        began = time.monotonic()
        with file.open("rb") as stream:
            found["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[assignment]
        found["verified"] = seconds + time.monotonic() - began
    print(json.dumps(found))


if __name__ == "__main__":
    main()
