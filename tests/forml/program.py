"""What tests have ForML do: `python -m tests.forml.program`, in the environment that has it.

ForML takes seconds to import, so it is imported once, and each command runs in a fork of its own: the
command line (`["cli", FOLDER, WORD, …]`), or an action of this module (`["do", ACTION, WORD, …]`). Lines of
JSON come in; the process, its output and its answer go out.
"""

import functools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from pathlib import Path

import forml
import forml.provider.feed.monolite
import forml.provider.runner.dask
import forml.provider.sink.stdout
from forml import project as prj
from forml.io import asset
from forml.setup import cli

from weighbridge.forml import Registry

ACTIONS = {}
BARRIER = None
"""Where the processes of `many` wait for each other."""


def action(function):
    """Makes a function an action."""
    ACTIONS[function.__name__] = function
    return function


def build(folder, name, version, files=None):
    """A package as a folder."""
    folder = Path(folder)
    package = folder / name.replace("-", "_")
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    for path, text in (files or {}).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    prj.Manifest(name, version, package.name).write(folder)
    return prj.Package(folder)


def registry():
    """The registry of the environment's variables."""
    return Registry(
        os.environ["TEST_URL"],
        os.environ.get("TEST_NAMESPACE", "forml"),
        os.environ["TEST_STAGING"],
    )


def outcome(call):
    """What a call raised: `ok`, or the family of ForML's error; anything else is a failure."""
    try:
        value = call()
    except forml.FailedError:
        return "failed"
    except forml.MissingError as error:
        return f"missing {error}"
    except asset.Level.Invalid:
        return "invalid"
    except forml.InvalidError:
        return "key"
    return ["ok", value] if isinstance(value, (str, int, list)) else "ok"


def tag(sids):
    """A tag with these states."""
    return asset.Tag(states=sids).training.trigger()


@action
def release(folder, name, version):
    """Releases a small package."""
    return outcome(functools.partial(registry().push, build(folder, name, version)))


@action
def race_release(folder, name, version):
    """Releases when all others are ready to."""
    texts = version.split("/")
    version = texts[os.getpid() % len(texts)]
    package = build(folder, name, version, {"who.py": f"WHO = {os.getpid()}\n"})
    mine = registry()
    BARRIER.wait(60)
    return outcome(functools.partial(mine.push, package))


@action
def race_close(name, version, number):
    """Writes a state of its own, then closes when all others are ready to."""
    mine, sid = registry(), uuid.uuid4()
    mine.write(name, version, sid, f"of {os.getpid()}".encode())
    BARRIER.wait(60)
    return [
        str(sid),
        outcome(functools.partial(mine.close, name, version, int(number), tag([sid]))),
    ]


@action
def many(action_, count, *words):
    """An action in so many processes at once; forked, so that ForML is imported once."""
    global BARRIER
    BARRIER = multiprocessing.get_context("fork").Barrier(int(count))
    readers = []
    for index in range(int(count)):
        reader, writer = os.pipe()
        if os.fork() == 0:
            code = 1
            try:
                own = [word.replace("{index}", str(index)) for word in words]
                with os.fdopen(writer, "w") as stream:
                    json.dump(ACTIONS[action_](*own), stream)
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        readers.append(reader)
    found = []
    for reader in readers:
        with os.fdopen(reader) as stream:
            found.append(json.load(stream))
    for _ in readers:
        os.wait()
    return found


@action
def life(folder, name):
    """Every rule of a provider, one after the other, on a registry that nobody used."""
    found, mine = {}, registry()
    found["empty"] = list(mine.projects())
    found["unknown project"] = outcome(lambda: list(mine.releases("nobody")))
    found["unknown release"] = outcome(lambda: list(mine.generations("nobody", "1")))
    mine.push(build(Path(folder) / "1", name, "1.0.dev1"))
    found["projects"] = list(mine.projects())
    found["releases"] = [str(r) for r in mine.releases(name)]
    for version in ("1.0.dev1", "1.dev1", "0.9"):
        package = build(Path(folder) / version, name, version)
        found[f"push {version}"] = outcome(lambda package=package: mine.push(package))
    found["none yet"] = list(mine.generations(name, "1.0.dev1"))

    sids = [uuid.uuid4() for _ in range(3)]
    states = [b"", b"state", os.urandom(300_000)]
    for sid, state in zip(sids, states, strict=True):
        mine.write(name, asset.Release.Key("1.dev1"), sid, state)
        mine.write(name, "1.0.dev1", sid, state)
    found["not staged"] = outcome(lambda: mine.close(name, "1.0.dev1", 1, tag([uuid.uuid4()])))
    found["gap"] = outcome(lambda: mine.close(name, "1.0.dev1", 2, tag(sids)))
    found["still none"] = list(mine.generations(name, "1.0.dev1"))
    first = tag(sids)
    mine.close(name, "1.0.dev1", 1, first)
    found["again"] = outcome(lambda: mine.close(name, "1.0.dev1", asset.Generation.Key(1), first))
    found["other"] = outcome(lambda: mine.close(name, "1.0.dev1", "1", tag(sids[:1])))
    found["generations"] = list(mine.generations(name, "1.0.dev1"))
    fresh = registry()
    found["tag kept"] = fresh.open(name, "1.0.dev1", 1) == first
    found["states kept"] = [
        fresh.read(name, "1.0.dev1", 1, s) == d for s, d in zip(sids, states, strict=True)
    ]
    found["no such state"] = fresh.read(name, "1.0.dev1", 1, uuid.uuid4()) == b""
    found["rewritten"] = outcome(lambda: mine.write(name, "1.0.dev1", sids[1], b"other"))
    found["written again"] = outcome(lambda: mine.write(name, "1.0.dev1", sids[1], states[1]))
    for method in ("open", "read"):
        words = (name, "1.0.dev1", 7) + ((sids[0],) if method == "read" else ())
        found[f"{method} unknown"] = outcome(lambda m=method, w=words: getattr(registry(), m)(*w))
    for method in ("mount", "pull"):
        found[f"{method} unknown"] = outcome(lambda m=method: getattr(registry(), m)(name, "9"))
    found["write unknown"] = outcome(lambda: registry().write(name, "9", sids[0], b"x"))
    found["close unknown"] = outcome(lambda: registry().close("nobody", "9", 1, first))
    found["odd name"] = outcome(lambda: list(registry().releases("a/b")))
    found["odd key"] = outcome(lambda: registry().open(name, "1.0.dev1", 0))
    return found


@action
def identity(other_url):
    """Equality, hashes and pickles."""
    import pickle

    import cloudpickle

    mine = registry()
    list(mine.projects())  # with connections
    twins = [
        pickle.loads(pickle.dumps(mine)),
        cloudpickle.loads(cloudpickle.dumps(mine)),
        registry(),
    ]
    staging = os.environ["TEST_STAGING"]
    others = [
        Registry(other_url, os.environ["TEST_NAMESPACE"], staging),
        Registry(os.environ["TEST_URL"], "elsewhere", staging),
        Registry(os.environ["TEST_URL"], os.environ["TEST_NAMESPACE"], staging + "2"),
    ]
    return {
        "twins": [t == mine and hash(t) == hash(mine) and list(t.projects()) == [] for t in twins],
        "others": [o == mine for o in others],
        "stock": asset.Registry.__eq__(mine, others[0]),  # what the base class would say
        "qualified": asset.Registry["weighbridge.forml:Registry"] is Registry,
        "shown": repr(mine),
    }


@action
def namespaces(folder, name):
    """Packages with a namespace package, which a zip on the path could not hold; two at one version."""
    import importlib

    inside = {"space/inner/code.py": "WHO = 'one'\n"}
    mine = registry()
    mine.push(build(Path(folder) / "1", name, "1.0", inside))
    first = mine.mount(name, "1.0")
    sys.path_importer_cache.clear()
    one = importlib.import_module("space.inner.code").WHO
    other = Registry(
        os.environ["TEST_URL"], os.environ["TEST_NAMESPACE"] + "b", os.environ["TEST_STAGING"]
    )
    other.push(build(Path(folder) / "2", name, "1.0", {"space/inner/code.py": "WHO = 'two'\n"}))
    second = other.mount(name, "1.0")
    pulled = [mine.pull(name, "1.0").path, mine.pull(name, "1.0").path]
    return {
        "one": one,
        "paths differ": first.path != second.path,
        "two": (second.path / "space/inner/code.py").read_text(),
        "again": str(mine.mount(name, "1.0").path) == str(first.path),
        "pulled apart": pulled[0] != pulled[1],
        "left": sorted(p.name for p in Path(os.environ["TEST_STAGING"]).glob(f"{name}/.*")),
    }


@action
def mounted_by_many(name, count):
    """Mounts by threads at once: each finds the whole."""
    found, barrier = [], threading.Barrier(int(count))

    def mount():
        barrier.wait(60)
        try:
            path = registry().mount(name, "1.0").path
            found.append(sorted(str(p) for p in path.rglob("*.py")))
        except BaseException:
            found.append(traceback.format_exc())

    threads = [threading.Thread(target=mount) for _ in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@action
def train(name, version):
    """What a training does: looks for a generation to go on from, writes, closes the next."""
    mine = registry()
    asset.Instance(name, version, registry=asset.Directory(mine))  # checks the keys
    generation = asset.Directory(mine).get(name).get(version).get(None)
    previous = generation.tag
    before = [generation.get(i) for i in range(len(previous.states))]
    rounds = int(before[0]) + 1 if before else 1
    sid = uuid.uuid4()
    mine.write(name, version, sid, str(rounds).encode())
    asset.Directory(mine).get(name).get(version).put(
        previous.training.trigger().replace(states=[sid])
    )
    return rounds


@action
def trained(name, version):
    """The outcome of `train`."""
    return outcome(functools.partial(train, name, version))


@action
def call(name, version, *methods):
    """One call after the other, each by a fresh instance; what is written was never written before."""
    sid, found = uuid.uuid4(), {}
    calls = {
        "projects": lambda r: list(r.projects()),
        "releases": lambda r: [str(x) for x in r.releases(name)],
        "generations": lambda r: list(r.generations(name, version)),
        "open": lambda r: str(len(r.open(name, version, 1).states)),
        "read": lambda r: r.read(name, version, 1, r.open(name, version, 1).states[0]).decode(),
        "write": lambda r: r.write(name, version, sid, os.urandom(1000)),
        "close": lambda r: r.close(
            name, version, 1 + len(list(r.generations(name, version))), tag([])
        ),
        "push": lambda r: r.push(build(tempfile.mkdtemp(), name, f"9.{time.time_ns()}")),
        "pull": lambda r: r.pull(name, version).manifest.name,
        "mount": lambda r: str(r.mount(name, version).package),
    }
    for method in methods or calls:
        found[method] = outcome(functools.partial(calls[method], registry()))
    return found


@action
def die_between(name, version):
    """Writes a state, then is killed before it could close."""
    registry().write(name, version, uuid.uuid4(), b"never closed")
    os.kill(os.getpid(), signal.SIGKILL)


@action
def large(folder, name, megabytes, entries):
    """A large package and a large state: released, mounted, written, read."""
    size, count = int(megabytes) * 1024 * 1024, int(entries)
    inside, mine = Path(folder) / "big", registry()
    build(inside, name, "1.0")
    share = size // 10 // count
    for index in range(count):
        place = inside / f"lib{index % 70}"
        place.mkdir(exist_ok=True)
        (place / f"m{index}.dat").write_bytes(os.urandom(max(1, share)))
    started = time.monotonic()
    mine.push(prj.Package(inside))
    pushed = time.monotonic() - started
    target = mine.mount(name, "1.0").path
    mounted = time.monotonic() - started - pushed
    state, sid = os.urandom(size), uuid.uuid4()
    started = time.monotonic()
    mine.write(name, "1.0", sid, state)
    mine.close(name, "1.0", 1, tag([sid]))
    written = time.monotonic() - started
    back = registry().read(name, "1.0", 1, sid) == state
    return {
        "same": back, "files": sum(1 for p in target.rglob("*.dat")),
        "seconds": [round(s, 1) for s in (pushed, mounted, written, time.monotonic() - started - written)],
    }  # fmt: skip


@action
def posix(folder, root):
    """A posix registry of two projects, made by ForML's own provider."""
    from forml.provider.registry.filesystem.posix import Registry as Posix

    return _filled(
        Posix(root, staging=str(Path(folder) / "staging")), folder, "demo-one", "demo-two"
    )


@action
def mlflow(folder, url, repoid):
    """A registry on a tracking server, made by ForML's own provider: one instance a training."""
    from forml.provider.registry.mlflow import Registry as Mlflow

    make = functools.partial(
        Mlflow, tracking_uri=url, repoid=repoid, staging=str(Path(folder) / "staging")
    )
    return _filled(make, folder, "demo_one", "demo_two")


def _filled(old, folder, *projects):
    """Two releases per project; two generations of the first, of two states each."""
    make = old if callable(old) else lambda: old
    told = {}
    for name in projects:
        for version in ("1.0", "1.1.dev1"):
            place = Path(folder) / name / version
            make().push(build(place, name, version, {"data/a.txt": version}))
        told[name] = []
        for number in (1, 2):
            mine = make()
            list(mine.projects()), list(mine.releases(name))
            sids = [uuid.uuid4(), uuid.uuid4()]
            for sid in sids:
                mine.write(name, asset.Release.Key("1.0"), sid, f"{name} {number} {sid}".encode())
            mine.close(name, asset.Release.Key("1.0"), asset.Generation.Key(number), tag(sids))
            told[name].append([str(sid) for sid in sids])
    return told


@action
def imported(told):
    """What the registry answers of what was imported."""
    mine, found = registry(), {}
    for name, generations in json.loads(told).items():
        states = []
        for number, sids in enumerate(generations, 1):
            listed = [str(sid) for sid in mine.open(name, "1.0", number).states]
            read = [mine.read(name, "1.0", number, uuid.UUID(sid)).decode() for sid in sids]
            states.append(listed == sids and read == [f"{name} {number} {sid}" for sid in sids])
        found[name] = {
            "releases": sorted(str(r) for r in mine.releases(name)),
            "generations": list(mine.generations(name, "1.0")),
            "states": states,
            "mounted": (mine.mount(name, "1.0").path / "data/a.txt").read_text(),
        }
    return found


def _forked(words, out, env):
    """Runs one command in a child with this environment; its output goes to the file `out`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with Path(out).open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        os.environ.clear()
        os.environ.update(env)
        if words[0] == "cli":
            os.chdir(words[1])
            sys.argv = ["forml", *words[2:]]
            cli()
            code = 0
        else:
            print("answer " + json.dumps(ACTIONS[words[1]](*words[2:])))
            code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
    return 0


def main():
    """Answers lines until there are no more."""
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = _forked(asked["words"], asked["out"], asked["env"])
        print(json.dumps({"pid": pid}), flush=True)
        if asked.get("wait", True):
            _, status = os.waitpid(pid, 0)
            print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
