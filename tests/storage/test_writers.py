"""64 writers at once, as threads and as processes, get 64 distinct versions on every table engine."""

import subprocess
import sys
import threading
from pathlib import Path

from chalicelib.registry import publishing
from chalicelib.registry.stores import Stores
from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
from tests.registry_world import key_of, setup_model
from tests.storage.places import Place
from weighbridge.contract.types import NewVersion

ROOT = Path(__file__).parents[2]
THREADS = 8


def stores_on(table):
    """A registry on an open table."""
    return Stores(table=table, blobs=MemoryBlobs(), queue=MemoryQueue(), site=MemoryBlobs())


def open_versions(stores, writer, threads):
    """Opens one version per thread; answers their numbers."""
    numbers, failures = [], []

    def work(index):
        new = NewVersion(key_of(f"{writer}/{index}"), f"label {writer}/{index}")
        try:
            numbers.append(publishing.begin(stores, writer, "vision", "digits", new).number)
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, failures
    return numbers


def test_sixty_four_threads_get_sixty_four_versions(shared_table):
    """64 threads, each opening a labelled version: 64 distinct numbers without holes."""
    stores = stores_on(shared_table)
    setup_model(stores)
    assert sorted(open_versions(stores, "thread", 64)) == list(range(1, 65))


def test_eight_processes_of_eight_threads_get_sixty_four_versions(
    shared_place: Place, shared_table
):
    """8 processes with 8 threads each: 64 distinct numbers without holes."""
    setup_model(stores_on(shared_table))
    command = [sys.executable, "-m", "tests.storage.test_writers", shared_place.engine,
               shared_place.name, shared_place.endpoint]  # fmt: skip
    started = [
        subprocess.Popen([*command, f"process-{i}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for i in range(8)
    ]
    numbers = []
    for process in started:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        numbers += [int(word) for word in out.split()]
    assert sorted(numbers) == list(range(1, 65))


def main(engine, name, endpoint, writer):
    """One process of writers; prints its numbers."""
    table = Place(engine, name, endpoint).open()
    print(*open_versions(stores_on(table), writer, THREADS))
    table.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
