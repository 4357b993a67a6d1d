"""Keeps a project's shards of models true. A shard tells of many models, so it cannot be rendered from one
model alone, and reading a sixteenth of a project for every version would cost more than it tells.

So a change edits the stored shard: its own models' entries are put in place of the old ones, on the
condition that nobody wrote it since it was read. What is put in was read either after everything the
shard holds (its revision is not higher than ours), or, if not, is read anew after the shard. A shard
that is absent, or that another version of this program wrote, is made of all its models, and looked
at once more after it appeared: what was deleted meanwhile found nothing to edit.

A shard is there exactly if it has a model, so that a site made at once has the same objects.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.catalogue import shelf, slugs
from chalicelib.catalogue.reading import Source
from chalicelib.catalogue.render import canonical
from chalicelib.catalogue.searching import index
from chalicelib.catalogue.shelf import Report, Stored
from chalicelib.catalogue.views import ModelView
from chalicelib.registry.ports import Blobs, Precondition
from weighbridge.contract.errors import Unavailable
from weighbridge.contract.types import Model

RACES = 24
"""Models of one shard may all change at once: more wait for each other than at a page."""
Entry = dict[str, Any]


def entry(source: Source, project_id: str, model: Model) -> Entry:
    """What search knows of a model, read now."""
    newest = source.newest(project_id, model, 1)
    card = source.card(project_id, model)
    return index.model_entry(model, card, newest[0] if newest else None)


def shown(view: ModelView) -> Entry:
    """The same, from what its own page shows."""
    return index.model_entry(view.model, view.card, view.versions[0] if view.versions else None)


def documents(source: Source, project_id: str, project: str) -> Iterator[tuple[str, bytes]]:
    """All shards of a project, by key."""
    found: dict[str, list[Entry]] = {}
    for model in source.models(project_id):
        found.setdefault(index.shard_of(model.id), []).append(entry(source, project_id, model))
    for shard in sorted(found):
        yield index.shard_key(project, shard), _data(project, found[shard])


def _data(project: str, entries: Iterable[Mapping[str, Any]]) -> bytes:
    return canonical(index.shard_document(project, entries))


def _entries(stored: Stored) -> list[Entry] | None:
    """The entries of a shard; None if this version of the program would write it differently."""
    try:
        document = json.loads(stored.data)
        return list(document["models"]) if document["format"] == index.FORMAT else None
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(slots=True)
class Changes:
    """The models that one publication found changed, by name, as it read them (None: deleted).

    `ids` are the ids under which a name was known: its entries may lie in several shards.
    """

    source: Source
    site: Blobs
    project_id: str
    project: str
    revision: int
    report: Report
    now: dict[str, Entry | None] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)

    def model(self, name: str, found: Entry | None, known: Iterable[str] = ()) -> None:
        """Notes a model; `known` are ids that it had, where they are known."""
        self.now[name] = found
        self.ids.setdefault(name, set()).update(known)

    def write(self) -> None:
        """Edits every shard that a noted model is, or was, in."""
        for shard in index.SHARDS:
            names = {name for name in self.now if shard in self._shards(name)}
            if names:
                self._edit(shard, names)

    def _shards(self, name: str) -> set[str]:
        found, ids = self.now[name], self.ids[name]
        if found is None and not any(ids):
            return set(index.SHARDS)  # nobody knows any more where it was
        known = {index.shard_of(model_id) for model_id in ids if model_id}
        return known | ({index.shard_of(found["id"])} if found else set())

    def _edit(self, shard: str, names: set[str]) -> None:
        key = index.shard_key(self.project, shard)
        anew = False
        for _ in range(RACES):
            stored = shelf.read(self.site, key)
            before = _entries(stored) if stored is not None else None
            revision = self.revision
            if before is None or anew or stored is None:
                revision = self.source.now()
                entries = self._whole(shard)
            else:
                fresh = {name: self.now[name] for name in names}
                if stored.revision > revision:
                    revision = self.source.now()
                    fresh = {name: self._reading(name) for name in names}
                entries = [e for e in before if e["name"] not in names]
                entries += [e for e in fresh.values() if e and index.shard_of(e["id"]) == shard]
            if not entries:
                if stored is None:
                    return
                self.site.delete([key])
                self.report.removed.append(key)
                anew = True  # somebody may have added to it before it went
                continue
            data = _data(self.project, entries)
            if anew and stored is not None and stored.data == data:
                return
            try:
                revision = max(revision, stored.revision if stored else 0)
                outcome = shelf.replace(self.site, key, data, revision, stored)
            except Precondition:
                continue
            self.report.note(outcome, key)
            if outcome != "created":
                return
            anew = True
        raise Unavailable(f"too many others write {key} at once; try again")

    def _reading(self, name: str) -> Entry | None:
        model = self.source.model(self.project_id, name)
        return entry(self.source, self.project_id, model) if model else None

    def _whole(self, shard: str) -> list[Entry]:
        models = self.source.models(self.project_id)
        return [
            entry(self.source, self.project_id, model)
            for model in models
            if index.shard_of(model.id) == shard
        ]


def remove(site: Blobs, project: str, report: Report) -> None:
    """Removes all shards of a project."""
    shelf.remove_under(site, slugs.folder(slugs.index_path(project)), report)
