"""A registry in memory with the client's methods, for testing commands, with fixed times.

`test_cli_fakes.py` compares its signatures with the real client's.
"""

from dataclasses import replace

from tests.sdk.cli import fake_providers
from tests.sdk.cli.fake_providers import FakeProviders
from weighbridge.contract import manifests, references, types
from weighbridge.contract.errors import AlreadyExists, Conflict, Gone, InUse, NotFound

URL = "https://models.example.org"
NOW = "2026-11-21T09:10:11.123Z"
LATER = "2026-11-22T08:00:00.000Z"


def _page(items, limit, page):
    start = int(page or 0)
    end = start + limit
    return tuple(items[start:end]), (str(end) if end < len(items) else None)


class FakeClient(FakeProviders):
    """The client's methods over dictionaries. `calls` lists what changed something."""

    def __init__(self):
        self.all_providers = fake_providers.known()
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
        self.job = None
        self.verdicts = ["safe"]
        """What indexing finds in whatever is pushed."""
        self.retentions = {}
        self.all_federated = []

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

    def project_usage(self, project):
        quota = self.project(project).quota
        return types.ProjectUsage(181_737_364, 4, 3, 1, quota)

    def iter_projects(self):
        yield from self.all_projects.values()

    def iter_events(self, project, model=""):
        yield from self.events(project, model, 1000).items

    def change_project(self, project, description=None, inbox=None, safety=None, quota=None):
        self._changed("change_project", project, description, inbox, safety)
        old = self.project(project)
        new = replace(
            old,
            description=old.description if description is None else description,
            inbox=old.inbox if inbox is None else inbox,
            safety=safety or old.safety,
            quota=quota or old.quota,
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

    def inbox(self, project, limit=100, page=None):
        name = self.project(project).name
        drop = types.InboxDrop(
            f"inbox/{name}/digits/run-7/checkpoint/-/12#epoch/", "incomplete",
            "its marker is missing: database.yaml or _SUCCESS", ("_SUCCESS",), 1, 4096, NOW, NOW,
        )  # fmt: skip
        return types.InboxPage(*_page([drop] if name == "vision" else [], limit, page))

    # Models

    def models(self, project, prefix="", limit=100, page=None):
        self.requests.append(("models", limit))
        name = self.project(project).name
        found = [
            m for (p, n), m in sorted(self.all_models.items()) if p == name and n.startswith(prefix)
        ]
        return types.ModelPage(*_page(found, limit, page))

    def create_model(
        self, project, name, description="", tags=None, settings=None, attributes=None
    ):
        self.project(project)
        if (project, name) in self.all_models:
            raise AlreadyExists(f"there is a model {project}/{name} already")
        self._changed("create_model", project, name)
        model = types.Model(
            project, name, "m1", description, tags or {}, settings or types.ModelSettings(),
            {}, NOW, "ada", 1, attributes or {},
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

    def change_model(
        self, project, model, description=None, tags=None, settings=None, attributes=None
    ):
        self._changed("change_model", project, model, description, tags, settings)
        old = self.model(project, model)
        new = replace(
            old,
            description=old.description if description is None else description,
            tags={k: v for k, v in {**old.tags, **(tags or {})}.items() if v},
            settings=settings or old.settings,
            attributes={**old.attributes, **(attributes or {})},
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
        states = ("checking", "blocked") if state == "held" else (state,)
        found = [v for v in self.all_versions[project, model].values() if v.state in states]
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

    def begin_version(self, project, model, key, label="", retention=None, create=False):
        if create and project not in self.all_projects:
            self.create_project(project)
        if create and (project, model) not in self.all_models:
            self.create_model(project, model)
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
            size=sum(f.size for f in commit.files), published=NOW, created_by="ada", verdict=self.verdicts[0],
        )  # fmt: skip
        if self.all_projects[project].safety == "block" and new.verdict != "safe":
            new = replace(new, state="blocked" if new.verdict != "pending" else "checking")
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
        self, project, model, version, component="", order="", limit=100, page=None, name="",
        steps="", by="", tags=None, state="",
    ):  # fmt: skip
        number = self.version(project, model, version).number
        found = list(self.all_checkpoints.get((project, model, number), {}).values())
        found = [c for c in found if (c.state == "ready") == (state != "held")]
        found = [c for c in found if not component or c.component == component.replace("-", "")]
        found = [c for c in found if not name or c.name == name]
        found = [c for c in found if (tags or {}).items() <= c.tags.items()]
        if steps:
            low, _, high = steps.partition("..")
            found = [c for c in found if int(low or 0) <= c.step <= int(high or 10**9)]
        if by:
            found = [c for c in found if by in c.metrics]
            found.sort(key=lambda c: c.metrics[by], reverse=order == "max")
        elif order == "step" or (steps and not order):
            found.sort(key=lambda c: (c.component, c.step))
        elif order != "oldest":
            found.reverse()
        return types.CheckpointPage(*_page(found, limit, page))

    def iter_checkpoints(
        self, project, model, version, component="", order="", name="", steps="", by="", tags=None,
        state="",
    ):  # fmt: skip
        at = (project, model, version)
        return iter(
            self.checkpoints(*at, component, order, 1000, None, name, steps, by, tags, state).items
        )

    def _pin(self, project, model, version, checkpoint, pinned):
        found = replace(self.checkpoint(project, model, version, checkpoint), pinned=pinned)
        self._changed("pin", project, model, found.version, found.number, pinned)
        self.all_checkpoints[project, model, found.version][found.number] = found
        return found

    def pin_checkpoint(self, project, model, version, checkpoint):
        return self._pin(project, model, version, checkpoint, True)

    def unpin_checkpoint(self, project, model, version, checkpoint):
        return self._pin(project, model, version, checkpoint, False)

    def promote_checkpoint(self, project, model, version, checkpoint, promotion):
        point = self.checkpoint(project, model, version, checkpoint)
        opened = self.begin_version(project, model, promotion.key, promotion.label)
        commit = types.VersionCommit(
            point.manifest, self.files[project, model, point.version, point.number],
            promotion.description, point.metrics, tags={**point.tags, **promotion.tags},
        )  # fmt: skip
        return self.commit_version(project, model, opened.number, commit)

    def retention(self, project, model, version):
        number = self.version(project, model, version).number
        own = self.retentions.get((project, model, number))
        if own is not None:
            return types.RetentionState(own, "version")
        policy = self.model(project, model).settings.retention
        return types.RetentionState(policy, "none" if policy == types.Retention() else "model")

    def set_retention(self, project, model, version, retention):
        number = self.version(project, model, version).number
        self._changed("set_retention", project, model, number, retention)
        self.retentions[project, model, number] = retention
        return self.retention(project, model, number)

    def clear_retention(self, project, model, version):
        number = self.version(project, model, version).number
        self._changed("clear_retention", project, model, number)
        self.retentions.pop((project, model, number), None)
        return self.retention(project, model, number)

    def prune(self, project, model, version, dry_run=False, page=None):
        number = self.version(project, model, version).number
        keep = self.retention(project, model, number).retention.keep_last
        known = self.all_checkpoints[project, model, number]
        kept = sorted(known)[-keep:] if keep else sorted(known)
        items = tuple(
            types.Judged(
                n, c.component, c.step, c.size, n in kept,
                "keep_last" if n in kept else "no rule keeps it",
            )
            for n, c in sorted(known.items())
        )  # fmt: skip
        gone = [n for n in known if n not in kept]
        if not dry_run:
            self._changed("prune", project, model, number)
            for n in gone:
                del known[n]
        return types.Pruned(items, len(gone), len(gone), 4096 * len(gone), 0, dry_run)

    def commit_checkpoint(self, project, model, version, commit):
        number = self.version(project, model, version).number
        self._changed("commit_checkpoint", project, model, number, commit)
        known = self.all_checkpoints.setdefault((project, model, number), {})
        made = types.Checkpoint(
            project, model, number, len(known) + 1, commit.component, commit.step, commit.name,
            commit.metrics, commit.tags, commit.manifest, len(commit.files),
            sum(f.size for f in commit.files), NOW, "ada", verdict=self.verdicts[0],
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

    # Verdicts

    def verdict(self, ref):
        if ref.checkpoint is None:
            found = self.version(ref.project, ref.model, ref.version or references.LATEST)
            name, number = f"{ref.project}/{ref.model}@{found.number}", 0
        else:
            found = self.checkpoint(ref.project, ref.model, ref.version, ref.checkpoint)
            name, number = f"{ref.project}/{ref.model}@{found.version}:{found.number}", found.number
        at = (ref.project, ref.model, found.version if number else found.number, number)
        facts = self.facts.get(at, types.VersionFacts(())).items
        items = tuple(
            types.FileVerdict(f.path, f.facts.verdict, f.facts.format, f.facts.findings)
            for f in facts
            if f.facts.verdict in ("unsafe", "unknown")
        )
        return types.VerdictReport(name, found.state, found.verdict, items, found.files)

    def reindex(self, project, model="", version=0, everything=False, dry_run=False):
        if not dry_run:
            self._changed("reindex", project, model, version, everything)
        self.job = types.ReindexJob(
            self.project(project).name, model, version, everything, dry_run, "done", 5, 2, 0, NOW,
            LATER, "ada",
        )  # fmt: skip
        return replace(self.job, state="running", looked=0, indexed=0)

    def reindex_job(self, project):
        return self.job or types.ReindexJob(project, started=NOW, started_by="ada")

    def release_version(self, ref, comment):
        old = self.version(ref.project, ref.model, ref.version)
        self._changed("release_version", str(ref), comment)
        new = replace(old, state="ready", release=types.Release("ada", LATER, comment))
        self.all_versions[ref.project, ref.model][old.number] = new
        return new

    def release_checkpoint(self, ref, comment):
        old = self.checkpoint(ref.project, ref.model, ref.version, ref.checkpoint)
        self._changed("release_checkpoint", str(ref), comment)
        new = replace(old, state="ready", release=types.Release("ada", LATER, comment))
        self.all_checkpoints[ref.project, ref.model, old.version][old.number] = new
        return new

    # Federated models

    def federated(self, project, model_id="", limit=100, page=None):
        name = self.project(project).name
        found = [f for p, f in self.all_federated if p == name and model_id in ("", f.model_id)]
        return types.FederatedPage(*_page(found, limit, page))

    def federated_version(self, project, model_id, label):
        for found in self.federated(project, model_id).items:
            if found.label == label:
                return found
        raise NotFound(f"no party has a version {label!r} of the federated model {model_id!r}")

    # Access

    def tokens(self, limit=100, page=None):
        return types.TokenPage(*_page(list(self.all_tokens.values()), limit, page))

    def iter_tokens(self):
        return iter(self.all_tokens.values())

    def create_token(self, name, scopes, days=90, signing=()):
        self._changed("create_token", name, tuple(scopes), days)
        ends, signs = LATER if days else "", tuple(signing)
        token = types.Token("77aa00", name, tuple(scopes), NOW, "ada", ends, signing=signs)
        self.all_tokens[token.id] = token
        secrets = {door: f"secret-of-{door}" for door in signs}
        return types.IssuedToken(token, "wb_77aa00_verysecret", secrets)

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
