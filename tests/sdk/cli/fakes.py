"""A registry in memory with the client's methods, for testing commands: a small world with fixed
times. `test_cli_fakes.py` compares its signatures with the real client's."""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from weighbridge.contract import manifests, references, types
from weighbridge.contract.errors import AlreadyExists, Conflict, Gone, InUse, NotFound
from weighbridge.contract.manifests import FileEntry
from weighbridge.registry import Registry
from weighbridge.results import PullResult, PushResult
from weighbridge.sources import collect
from weighbridge.writing import Draft, hashed

URL = "https://models.example.org"
NOW = "2026-11-21T09:10:11.123Z"
LATER = "2026-11-22T08:00:00.000Z"


def entry(path, size, digit):
    """A file whose digest is one digit repeated."""
    digest = digit * 64
    return FileEntry(path, size, digest, f"s-{digest}-{size}")


def _page(items, limit, page):
    start = int(page or 0)
    end = start + limit
    return tuple(items[start:end]), (str(end) if end < len(items) else None)


class FakeClient:
    """The client's methods over dictionaries. `calls` lists what changed something."""

    def __init__(self):
        self.calls = []
        self.requests = []
        self.all_projects = {}
        self.all_models = {}
        self.all_versions = {}
        self.all_checkpoints = {}
        self.files = {}
        self.facts = {}
        self.moves = {}
        self.cards = {}
        self.all_tokens = {}
        self.all_events = []
        self.comparison = None

    def _changed(self, *call):
        self.calls.append(call)

    # Projects

    def create_project(self, name, description=""):
        if name.lower() in {p.lower() for p in self.all_projects}:
            raise AlreadyExists(f"there is a project {name!r} already", project=name)
        self._changed("create_project", name, description)
        self.all_projects[name] = types.Project(name, description, False, NOW, "ada")
        return self.all_projects[name]

    def project(self, project):
        for name, found in self.all_projects.items():
            if name.lower() == project.lower():
                return found
        raise NotFound(f"there is no project {project!r}")

    def projects(self, limit=100, page=None):
        self.requests.append(("projects", limit))
        return types.ProjectPage(*_page(list(self.all_projects.values()), limit, page))

    def change_project(self, project, description=None, inbox=None):
        self._changed("change_project", project, description, inbox)
        old = self.project(project)
        new = replace(
            old,
            description=old.description if description is None else description,
            inbox=old.inbox if inbox is None else inbox,
        )
        self.all_projects[old.name] = new
        return new

    def delete_project(self, project):
        name = self.project(project).name
        if any(p == name for p, _ in self.all_models):
            raise InUse(f"the project {name!r} still has models", by=[])
        self._changed("delete_project", name)
        del self.all_projects[name]
        return types.Deleted(name)

    def grant_inbox(self, project, days=7):
        if not self.project(project).inbox:
            raise Conflict(f"the inbox of {project} is closed")
        self._changed("grant_inbox", project, days)
        return types.InboxGrant(
            project, "weights", f"inbox/{project}/", "http://127.0.0.1:8333", "us-east-1",
            "AKEXAMPLE", "secret with spaces", expires="2026-11-28T09:10:11.123Z",
        )  # fmt: skip

    def events(self, project, model="", limit=100, page=None):
        self.project(project)
        found = [e for e in self.all_events if not model or e.model == model]
        return types.EventPage(*_page(found, limit, page))

    # Models

    def models(self, project, prefix="", limit=100, page=None):
        self.requests.append(("models", limit))
        name = self.project(project).name
        found = [
            m for (p, n), m in sorted(self.all_models.items()) if p == name and n.startswith(prefix)
        ]
        return types.ModelPage(*_page(found, limit, page))

    def create_model(self, project, name, description="", tags=None, settings=None):
        self.project(project)
        if (project, name) in self.all_models:
            raise AlreadyExists(f"there is a model {project}/{name} already")
        self._changed("create_model", project, name)
        model = types.Model(
            project, name, "m1", description, tags or {}, settings or types.ModelSettings(),
            {}, NOW, "ada", 1,
        )  # fmt: skip
        self.all_models[project, name] = model
        self.all_versions[project, name] = {}
        return model

    def model(self, project, model):
        self.project(project)
        try:
            return self.all_models[project, model]
        except KeyError:
            raise NotFound(f"there is no model {project}/{model}") from None

    def change_model(self, project, model, description=None, tags=None, settings=None):
        self._changed("change_model", project, model, description, tags, settings)
        old = self.model(project, model)
        new = replace(
            old,
            description=old.description if description is None else description,
            tags={k: v for k, v in {**old.tags, **(tags or {})}.items() if v},
            settings=settings or old.settings,
        )
        self.all_models[project, model] = new
        return new

    def delete_model(self, project, model):
        self.model(project, model)
        if self.all_versions[project, model]:
            raise InUse(f"the model {project}/{model} still has versions", by=[])
        self._changed("delete_model", project, model)
        del self.all_models[project, model]
        return types.Deleted(f"{project}/{model}")

    def card(self, project, model):
        return types.Card(self.cards.get((project, model), ""))

    def set_card(self, project, model, text):
        self._changed("set_card", project, model, text)
        self.cards[project, model] = text
        return types.Card(text)

    def alias(self, project, model, alias):
        if alias not in self.model(project, model).aliases:
            raise NotFound(f"the model {project}/{model} has no alias {alias!r}")
        return self.moves[project, model, alias][0]

    def move_alias(self, project, model, alias, version, expected=None):
        number = self.version(project, model, version).number
        old = self.model(project, model)
        current = old.aliases.get(alias, 0)
        if expected is not None and expected != current:
            raise Conflict(f"the alias {alias!r} points to {current}, not to {expected}")
        self._changed("move_alias", project, model, alias, number, expected)
        move = types.AliasMove(alias, number, current, LATER, "ada")
        self.moves.setdefault((project, model, alias), []).insert(0, move)
        self.all_models[project, model] = replace(old, aliases={**old.aliases, alias: number})
        return move

    def remove_alias(self, project, model, alias):
        current = self.alias(project, model, alias).version
        self._changed("remove_alias", project, model, alias)
        old = self.model(project, model)
        kept = {name: number for name, number in old.aliases.items() if name != alias}
        self.all_models[project, model] = replace(old, aliases=kept)
        return types.AliasMove(alias, 0, current, LATER, "ada")

    def alias_history(self, project, model, alias, at="", limit=100, page=None):
        found = self.moves.get((project, model, alias), [])
        if at:
            return types.AliasHistory(tuple(m for m in found if m.at <= at)[:1])
        return types.AliasHistory(*_page(found, limit, page))

    # Versions

    def versions(self, project, model, state="ready", order="newest", limit=100, page=None):
        self.requests.append(("versions", limit))
        self.model(project, model)
        found = [v for v in self.all_versions[project, model].values() if v.state == state]
        found.sort(key=lambda v: v.number, reverse=order == "newest")
        items, following = _page(found, limit, page)
        return types.VersionPage(tuple(map(self._with_aliases, items)), following)

    def _with_aliases(self, version):
        pointing = self.all_models[version.project, version.model].aliases
        names = tuple(sorted(a for a, n in pointing.items() if n == version.number))
        return replace(version, aliases=names)

    def version(self, project, model, version="latest"):
        known = self.all_versions.get((project, self.model(project, model).name), {})
        selector = version
        if not isinstance(version, references.VersionSelector):
            selector = references.parse_version(str(version))
        number = 0
        if selector.kind == "number":
            number = selector.number
        elif selector.kind == "alias":
            number = self.model(project, model).aliases.get(selector.value, 0)
        elif selector.kind == "latest":
            number = max((n for n, v in known.items() if v.state == "ready"), default=0)
        else:
            number = next((n for n, v in known.items() if v.label == selector.value), 0)
        if number not in known:
            text = references.build_version(selector)
            raise NotFound(f"there is no version {project}/{model}@{text}")
        if known[number].state == "deleted":
            raise Gone(f"{project}/{model}@{number} was deleted")
        return self._with_aliases(known[number])

    def begin_version(self, project, model, key, label=""):
        known = self.all_versions[project, self.model(project, model).name]
        number = max(known, default=0) + 1
        known[number] = types.Version(project, model, number, "open", label, created=NOW)
        return known[number]

    def commit_version(self, project, model, version, commit):
        old = self.version(project, model, version)
        self._changed("commit_version", project, model, old.number, commit)
        new = replace(
            old, state="ready", description=commit.description, metrics=commit.metrics,
            params=commit.params, tags=commit.tags, parents=commit.parents,
            manifest=commit.manifest, files=len(commit.files),
            size=sum(f.size for f in commit.files), published=NOW, created_by="ada",
        )  # fmt: skip
        self.all_versions[project, model][old.number] = new
        self.files[project, model, old.number, 0] = commit.files
        return new

    def change_version(
        self, project, model, version, description=None, tags=None, metrics=None, params=None,
        attributes=None,
    ):  # fmt: skip
        old = self.version(project, model, version)
        self._changed("change_version", project, model, old.number, tags)
        kept = {k: v for k, v in {**old.tags, **(tags or {})}.items() if v}
        self.all_versions[project, model][old.number] = replace(old, tags=kept)
        return self.version(project, model, old.number)

    def delete_version(self, project, model, version):
        old = self.version(project, model, version)
        if old.aliases:
            raise InUse(f"{project}/{model}@{old.number} is in use", by=list(old.aliases))
        self._changed("delete_version", project, model, old.number)
        self.all_versions[project, model][old.number] = replace(old, state="deleted")
        return types.Deleted(f"{project}/{model}@{old.number}", old.size)

    def approve(self, project, model, version, state="approved", comment=""):
        old = self.version(project, model, version)
        self._changed("approve", project, model, old.number, state, comment)
        new = replace(old, approval=types.Approval(state, "ada", LATER, comment))
        self.all_versions[project, model][old.number] = new
        return new

    def version_files(self, project, model, version, limit=1000, page=None):
        found = self.version(project, model, version)
        return self._file_list((project, model, found.number, 0), limit, page)

    def _file_list(self, at, limit, page):
        files = self.files.get(at, ())
        items, following = _page(list(files), limit, page)
        return types.FileList(items, following, manifests.digest(files), len(files), 0)

    def version_facts(self, project, model, version):
        found = self.version(project, model, version)
        return self.facts.get((project, model, found.number, 0), types.VersionFacts(()))

    def compare(self, *refs):
        self.requests.append(("compare", *refs))
        return self.comparison

    # Checkpoints

    def checkpoints(
        self, project, model, version, component="", order="newest", limit=100, page=None
    ):  # fmt: skip
        number = self.version(project, model, version).number
        found = list(self.all_checkpoints.get((project, model, number), {}).values())
        found = [c for c in found if not component or c.component == component]
        if order == "step":
            found.sort(key=lambda c: (c.component, c.step))
        elif order == "newest":
            found.reverse()
        return types.CheckpointPage(*_page(found, limit, page))

    def commit_checkpoint(self, project, model, version, commit):
        number = self.version(project, model, version).number
        self._changed("commit_checkpoint", project, model, number, commit)
        known = self.all_checkpoints.setdefault((project, model, number), {})
        made = types.Checkpoint(
            project, model, number, len(known) + 1, commit.component, commit.step, commit.name,
            commit.metrics, commit.tags, commit.manifest, len(commit.files),
            sum(f.size for f in commit.files), NOW, "ada",
        )  # fmt: skip
        known[made.number] = made
        self.files[project, model, number, made.number] = commit.files
        return made

    def checkpoint(self, project, model, version, checkpoint="last"):
        number = self.version(project, model, version).number
        known = self.all_checkpoints.get((project, model, number), {})
        selector = checkpoint
        if not isinstance(checkpoint, references.CheckpointSelector):
            selector = references.parse_checkpoint(str(checkpoint))
        settings = self.model(project, model).settings
        if selector.kind == "number":
            found = known.get(selector.number)
        elif selector.kind == "last":
            found = known.get(max(known, default=0))
        else:
            metric = selector.value or settings.main_metric
            sign = -1 if settings.directions.get(metric) == "min" else 1
            found = max(known.values(), key=lambda c: sign * c.metrics[metric])
        if found is None:
            raise NotFound(f"{project}/{model}@{number} has no such checkpoint")
        return found

    def delete_checkpoint(self, project, model, version, checkpoint):
        found = self.checkpoint(project, model, version, checkpoint)
        self._changed("delete_checkpoint", project, model, found.version, found.number)
        del self.all_checkpoints[project, model, found.version][found.number]
        return types.Deleted(f"{project}/{model}@{found.version}:{found.number}", found.size)

    def checkpoint_files(self, project, model, version, checkpoint, limit=1000, page=None):
        found = self.checkpoint(project, model, version, checkpoint)
        return self._file_list((project, model, found.version, found.number), limit, page)

    def checkpoint_facts(self, project, model, version, checkpoint):
        found = self.checkpoint(project, model, version, checkpoint)
        at = (project, model, found.version, found.number)
        return self.facts.get(at, types.VersionFacts(()))

    # Access

    def tokens(self, limit=100, page=None):
        return types.TokenPage(*_page(list(self.all_tokens.values()), limit, page))

    def iter_tokens(self):
        return iter(self.all_tokens.values())

    def create_token(self, name, scopes, days=90):
        self._changed("create_token", name, tuple(scopes), days)
        token = types.Token("77aa00", name, tuple(scopes), NOW, "ada", LATER if days else "")
        self.all_tokens[token.id] = token
        return types.IssuedToken(token, "wb_77aa00_verysecret")

    def revoke_token(self, token):
        if token not in self.all_tokens:
            raise NotFound(f"there is no token {token!r}")
        self._changed("revoke_token", token)
        del self.all_tokens[token]
        return types.Deleted(token)

    def ticket(self):
        return types.Ticket(f"{URL}/t/once-only", "2026-11-21T09:15:11.123Z")

    def whoami(self):
        return types.Who("ada", (types.Scope(types.VERBS),), "2027-02-19T09:10:11.123Z")


class FakeRegistry(Registry):
    """The real facade over the fake client; only what moves bytes is its own."""

    def __init__(self, client, url=URL):
        self.url = url
        self.client = client
        self.closed = False

    def close(self):
        self.closed = True

    def push(self, model, paths, *, as_name=None, label=None, metrics=None, params=None,
             tags=None, alias=(), parents=(), description="", attributes=None, provenance=None,
             progress=None, dry_run=False, create=True):  # fmt: skip
        at = references.parse(model)
        draft = Draft.of(
            label=label or "", metrics=metrics, params=params, tags=tags, parents=parents,
            description=description,
        )  # fmt: skip
        sent = hashed(collect(paths, as_name), progress)
        number = 0
        if not dry_run:
            opened = self.client.begin_version(at.project, at.model, "k", draft.label)
            number = opened.number
            commit = replace(
                types.VersionCommit(manifests.digest(sent.entries), sent.entries, description),
                metrics=draft.metrics, params=draft.params, tags=draft.tags, parents=draft.parents,
            )  # fmt: skip
            self.client.commit_version(at.project, at.model, number, commit)
            for name in alias:
                self.client.move_alias(at.project, at.model, name, number)
        return self._pushed(f"{model}@{number}" if number else model, number, sent, dry_run)

    def push_checkpoint(self, ref, paths, step, component="", name="", metrics=None, tags=None, *,
                        as_name=None, progress=None, dry_run=False):  # fmt: skip
        at = references.parse(ref)
        sent = hashed(collect(paths, as_name), progress)
        if dry_run:
            return self._pushed(ref, 0, sent, True)
        made = self.client.commit_checkpoint(
            at.project, at.model, at.version,
            types.CheckpointCommit(
                manifests.digest(sent.entries), sent.entries, step, component, name, metrics or {},
                tags or {},
            ),
        )  # fmt: skip
        text = f"{at.project}/{at.model}@{made.version}:{made.number}"
        return self._pushed(text, made.version, sent, False, made.number)

    def _pushed(self, reference, version, sent, dry_run, checkpoint=0):
        size = sum(e.size for e in sent.entries)
        return PushResult(
            reference, version, 0 if dry_run else size, 0, len(sent.entries), 0.25, 4, 1,
            manifests.digest(sent.entries), checkpoint, sent.entries, dry_run,
        )  # fmt: skip

    def pull(self, ref, to=None, files=(), force=False, progress=None):
        chosen = self.resolve(ref)
        number = chosen.checkpoint.number if chosen.checkpoint else 0
        at = (chosen.project, chosen.model, chosen.version.number, number)
        wanted = tuple(
            f for f in self.client.files.get(at, ())
            if not files or any(fnmatchcase(f.path, p) for p in files)
        )  # fmt: skip
        if files and not wanted:
            raise NotFound(f"no file of {chosen} matches {', '.join(files)}")
        folder = Path(to or f"{chosen.model}-{at[2]}")
        folder.mkdir(exist_ok=True)
        for file in wanted:
            if (folder / file.path).exists() and not force:
                raise AlreadyExists(f"{folder / file.path} is there already")
            (folder / file.path).write_bytes(b"x")
        size = sum(f.size for f in wanted)
        return PullResult(
            str(chosen), at[2], folder, wanted, size, 0, 0.5, 3, manifests.digest(wanted), number
        )


def world():
    """`vision` with three versions of `digits` and their checkpoints; `empty` with nothing."""
    client = FakeClient()
    client.all_projects = {
        "empty": types.Project("empty", "", False, NOW, "ada"),
        "vision": types.Project("vision", "Everything that sees.", True, NOW, "ada"),
    }
    settings = types.ModelSettings("accuracy", {"accuracy": "max", "loss": "min"}, ("prod*",))
    client.all_models = {
        ("vision", "digits"): types.Model(
            "vision", "digits", "m01", "Handwritten digits", {"team": "vision"}, settings,
            {"production": 1, "staging": 2}, NOW, "ada", 5,
        ),
        ("vision", "draft"): types.Model("vision", "draft", "m02", created=NOW, created_by="bob"),
        ("vision", "guest#9999 数字"): types.Model("vision", "guest#9999 数字", "m03", created=NOW),
    }  # fmt: skip
    weights = entry("model.safetensors", 90_868_376, "a")
    settings_file = entry("config.json", 612, "b")
    client.all_versions = {
        ("vision", "digits"): {
            1: _version(1, 0.961, 0.131, "approved", "1.0.0", (weights, settings_file)),
            2: _version(2, 0.9745, 0.0921, "pending", "", (weights, settings_file)),
            3: _version(3, float("nan"), 0.08, "rejected", "", (weights,)),
            4: types.Version("vision", "digits", 4, "open", "wip", created=NOW, created_by="ada"),
        },
        ("vision", "draft"): {},
        ("vision", "guest#9999 数字"): {},
    }
    for number, files in (
        (1, (weights, settings_file)),
        (2, (weights, settings_file)),
        (3, (weights,)),
    ):
        client.files["vision", "digits", number, 0] = tuple(sorted(files, key=lambda f: f.path))
    tensors = (
        types.Tensor("encoder.weight", "F32", (768, 3), 9216),
        types.Tensor("encoder.bias", "F32", (768,), 3072),
        types.Tensor("scale", "F16", (), 2),
    )
    facts = types.Facts("safetensors", 1, 3073, tensors, {"format": "pt"})
    broken = types.Facts("file", problem="the header is cut off")
    client.facts["vision", "digits", 1, 0] = types.VersionFacts(
        (
            types.FileFacts("config.json", 612, "b" * 64, settings_file.blob, broken),
            types.FileFacts(weights.path, weights.size, "a" * 64, weights.blob, facts),
        )
    )
    client.all_checkpoints["vision", "digits", 1] = {
        1: _checkpoint(1, "", 5, 0.91, 0.31),
        2: _checkpoint(2, "encoder", 5, 0.93, 0.22),
        3: _checkpoint(3, "", 10, 0.95, 0.17),
    }
    for number in (1, 2, 3):
        client.files["vision", "digits", 1, number] = (
            entry("model.safetensors", 4096, str(number)),
        )
    client.moves = {
        ("vision", "digits", "production"): [
            types.AliasMove("production", 1, 2, "2026-11-21T10:00:00.000Z", "ada"),
            types.AliasMove("production", 2, 0, "2026-11-20T10:00:00.000Z", "bob"),
        ],
        ("vision", "digits", "staging"): [types.AliasMove("staging", 2, 0, NOW, "ada")],
    }
    client.cards["vision", "digits"] = "# Digits\n\nReads digits.\x1b[31m\n"
    scope = types.Scope(("read", "write"), "vision")
    client.all_tokens["3f9a1c"] = types.Token("3f9a1c", "trainer", (scope,), NOW, "ada", LATER)
    client.all_events = [
        types.Event("e2", "2026-11-21T10:00:00.000Z", "alias.moved", "ada", "digits", "production",
                    {"version": 1, "previous": 2}),
        types.Event("e1", NOW, "model.created", "bob", "draft", "draft"),
    ]  # fmt: skip
    client.comparison = _comparison(client)
    return client


def _version(number, accuracy, loss, state, label, files):
    return types.Version(
        "vision", "digits", number, "ready", label,
        description="Wider." if number == 1 else "",
        approval=types.Approval(state, "ada", NOW, "good") if state != "pending" else types.Approval(),
        metrics={"loss": loss, "accuracy": accuracy},
        params={"lr": 0.01, "layers": [64, 32], "augment": True},
        tags={"device": "cpu"},
        attributes={"precision": "fp32"},
        provenance=types.Provenance("0123abcd", True, "train.py --lr 0.01", python="3.11.7"),
        parents=("vision/digits@1",) if number == 2 else (),
        manifest=manifests.digest(files),
        files=len(files), size=sum(f.size for f in files),
        created=NOW, created_by="ada", published=NOW, revision=1,
    )  # fmt: skip


def _checkpoint(number, component, step, accuracy, loss):
    return types.Checkpoint(
        "vision", "digits", 1, number, component, step, "epoch", {"accuracy": accuracy, "loss": loss},
        {"kind": "auto"}, "c" * 64, 1, 4096, NOW, "ada",
    )  # fmt: skip


def _comparison(client):
    versions = client.all_versions["vision", "digits"]
    tensor = {"dtype": "F32", "shape": [768, 3], "bytes": 9216}
    wide = {"dtype": "F32", "shape": [768, 4], "bytes": 12288}
    file = {"sha256": "a" * 64, "size": 90_868_376}
    other = {"sha256": "d" * 64, "size": 91_000_000}
    return types.Comparison(
        ("vision/digits@1", "vision/digits@2"),
        (versions[1], versions[2]),
        (
            types.Section(
                "metrics",
                (
                    types.Difference("accuracy", (0.961, 0.9745), "changed"),
                    types.Difference("f1", (None, 0.9), "added"),
                ),
                1,
            ),
            types.Section("params", (types.Difference("lr", (0.01, "auto"), "changed"),), 2),
            types.Section(
                "tensors",
                (
                    types.Difference("encoder.weight", (tensor, wide), "reshaped"),
                    types.Difference("old.bias", ({**tensor, "shape": []}, None), "removed"),
                ),
                1,
            ),
            types.Section(
                "files", (types.Difference("model.safetensors", (file, other), "changed"),)
            ),
            types.Section("tags", (), 1),
            types.Section("provenance", (), 4),
        ),
    )
