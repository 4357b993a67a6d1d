"""SeaweedFS as a cluster: a master, three volume servers that keep every file twice, a filer, two gateways."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from chalicelib.storage.s3 import S3Blobs
from infra.embedded.seaweed import program
from weighbridge.contract.errors import RegistryError

KEY, SECRET = "cluster", "a secret of the cluster"
REGION = "us-east-1"
START_SECONDS = 90


@dataclass
class Cluster:
    """The running cluster."""

    folder: Path
    gateways: list[str] = field(default_factory=list)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def env(self):
        """What points a server at it."""
        return {
            "WEIGHBRIDGE_S3_ACCESS_KEY": KEY, "WEIGHBRIDGE_S3_SECRET_KEY": SECRET,
            "WEIGHBRIDGE_REGION": REGION,
        }  # fmt: skip

    def blobs(self, bucket, gateway=0):
        """The adapter on one of its buckets."""
        return S3Blobs(bucket, REGION, self.gateways[gateway], access_key=KEY, secret_key=SECRET)

    def kill(self, name):
        """One of its machines is gone at once."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def log(self, name):
        """What a part wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")


def _ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def cluster(folder: Path):
    """The cluster until the block ends."""
    free = _ports(14)
    ports = iter(free)
    found = Cluster(folder)
    here = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]

    def listen():
        return next(ports), next(ports)

    def start(name, *words):
        (folder / name).mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("wb") as log:
            found.processes[name] = subprocess.Popen(
                [program(), "-logtostderr=true", *words], cwd=folder / name,
                env={"PATH": os.environ["PATH"], "HOME": str(folder / name)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    try:
        folder.mkdir(parents=True, exist_ok=True)
        identities = [
            {"name": "all", "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
             "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        ]  # fmt: skip
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        port, grpc = listen()
        master = f"127.0.0.1:{port}.{grpc}"
        start(
            "master", "master", *here, f"-port={port}", f"-port.grpc={grpc}",
            f"-mdir={folder / 'master'}", "-defaultReplication=001", "-volumeSizeLimitMB=256",
            "-peers=none", "-telemetry=false",
        )  # fmt: skip
        for number in (1, 2, 3):
            port, grpc = listen()
            start(
                f"volume{number}", "volume", *here, f"-port={port}", f"-port.grpc={grpc}",
                f"-dir={folder / f'volume{number}'}", "-max=100", f"-mserver={master}",
                "-dataCenter=dc", "-rack=rack", "-preStopSeconds=0",
            )  # fmt: skip
        port, grpc = listen()
        start(
            "filer", "filer", *here, f"-port={port}", f"-port.grpc={grpc}", f"-master={master}",
            f"-defaultStoreDir={folder / 'filer'}", "-defaultReplicaPlacement=001",
        )  # fmt: skip
        filer = f"127.0.0.1:{port}.{grpc}"
        for number in (1, 2):
            port, grpc = listen()
            start(
                f"s3-{number}", "s3", "-ip.bind=127.0.0.1", f"-filer={filer}", f"-port={port}",
                f"-port.grpc={grpc}", f"-config={folder / 's3.json'}", "-port.iceberg=0",
                "-port.lance=0",
            )  # fmt: skip
            found.gateways.append(f"http://127.0.0.1:{port}")
        _wait(found)
        yield found
    finally:
        for process in found.processes.values():
            process.kill()
        for process in found.processes.values():
            process.wait()
        # Its programs listen on sockets there as well, and leave them when they are killed.
        for port in free:
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)


def _wait(found):
    """Returns once both gateways take objects."""
    deadline = time.monotonic() + START_SECONDS
    for gateway in (0, 1):
        with contextlib.closing(found.blobs("probe", gateway)) as blobs:
            while True:
                for name, process in found.processes.items():
                    assert process.poll() is None, f"{name}: {found.log(name)[-2000:]}"
                try:
                    blobs.ensure_bucket()
                    blobs.put("started", b"yes")
                    break
                except (RegistryError, OSError):
                    assert time.monotonic() < deadline, found.log("master")[-2000:]
                    time.sleep(0.2)
