"""One push or pull of ours, as a process of its own; prints what it took as JSON.

    python -m benchmarks.ours push PROJECT/MODEL PATH
    python -m benchmarks.ours pull PROJECT/MODEL@N FOLDER
    python -m benchmarks.ours hash - FILE

`WEIGHBRIDGE_URL`, `WEIGHBRIDGE_TOKEN` and `WEIGHBRIDGE_CACHE` say where. `seconds` is the call, without
the start of the interpreter; `grown` is how far resident memory rose above what it was before the call.
`hash` is one SHA-256 over the file, by one thread, for comparison.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

from weighbridge import Registry


def resident(field: str) -> int:
    """A memory figure of this process in bytes (`VmRSS` now, `VmHWM` the peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Does what the command line says."""
    action, name, path = sys.argv[1:4]
    idle = resident("VmRSS")
    began = time.monotonic()
    if action == "hash":
        with Path(path).open("rb") as stream:
            hashlib.file_digest(stream, "sha256")
        print(json.dumps({"seconds": time.monotonic() - began}))
        return
    with Registry() as registry:
        if action == "push":
            pushed = registry.push(name, path)
            seconds = time.monotonic() - began
            found = {
                "sent": pushed.sent_bytes, "reused": pushed.reused_bytes, "files": pushed.files,
                "requests": pushed.requests, "parts": pushed.parts_sent,
            }  # fmt: skip
        else:
            pulled = registry.pull(name, path)
            seconds = time.monotonic() - began
            found = {
                "received": pulled.received_bytes, "reused": pulled.reused_bytes,
                "requests": pulled.requests,
            }  # fmt: skip
    found |= {"grown": resident("VmHWM") - idle}
    print(json.dumps({"seconds": seconds, **found}))


if __name__ == "__main__":
    main()
