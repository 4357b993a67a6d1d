"""What plain S3 clients drop into an inbox: FATE's layout, and folders that `_SUCCESS` completes."""

import hashlib


def fate(step, name, buffers, sha=None):
    """The files of one step in FATE's layout, its marker last; `sha` lies about every buffer."""
    lines = [f"step_index: {step}", f"step_name: {name}",
             "create_time: '2021-11-07T02:34:54.683015'", "models:"]  # fmt: skip
    files = {}
    for buffer, data in buffers.items():
        digest = sha or hashlib.sha1(data).hexdigest()
        lines.append(f"  {buffer}: {{sha1: {digest}, buffer_name: LRModelMeta}}")
        files[f"{buffer}.pb"] = data
        files[f"{buffer}.json"] = b"{}"
    files["database.yaml"] = "\n".join(lines).encode()
    return files


def thousand(project):
    """1,000 files: 200 FATE drops of 3, 120 `_SUCCESS` drops of 2, and 40 that lack something.

    Answers the whole ones and the others, each by folder.
    """
    whole, broken = {}, {}
    for i in range(200):
        folder = f"inbox/{project}/model-{i % 3}/run-{i % 7}/checkpoint/c{i % 2}/{i}#epoch/"
        whole[folder] = fate(i, "epoch", {"Meta": b"meta %d" % (i // 2)})
    for i in range(200, 320):
        folder = f"inbox/{project}/model-{i % 3}/run-{i % 7}/checkpoint/-/{i}#/"
        whole[folder] = {"w.bin": b"weights %d" % (i // 3), "_SUCCESS": b""}
    for i in range(320, 360):
        folder = f"inbox/{project}/model-{i % 3}/run-{i % 7}/checkpoint/x/{i}#e/"
        files = {"a": b"a", "b": b"%d" % i, "c": b"c", "d": b"d"}
        if i % 2:
            files = {**fate(i, "e", {"A": b"%d" % i, "B": b"b"})}
            files.pop("A.json")
        broken[folder] = files
    return whole, broken


def in_random_order(drops, dice):
    """(key, content) of every file. Anything may come first but `_SUCCESS`, which its writer promises
    to put last; FATE's marker says by itself what belongs to it."""
    files = [(folder + name, data) for folder, held in drops.items() for name, data in held.items()]
    dice.shuffle(files)
    files.sort(key=lambda item: item[0].endswith("_SUCCESS"))
    return files
