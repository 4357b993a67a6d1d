"""Models, their cards and their aliases."""

from collections.abc import Iterator
from typing import Any

from weighbridge.client.session import PAGE, Session, VersionLike, version_text
from weighbridge.contract import types


class Models(Session):
    """The routes under `/api/projects/{project}/models`."""

    def models(
        self, project: str, prefix: str = "", limit: int = 100, page: str | None = None
    ) -> types.ModelPage:
        """A page of the models by name."""
        query = {"prefix": prefix, "limit": limit, "page": page}
        return self.call(types.ModelPage, "GET", "projects", project, "models", query=query)

    def iter_models(self, project: str, prefix: str = "") -> Iterator[types.Model]:
        """All models whose name starts with `prefix`."""
        return self._pages(lambda page: self.models(project, prefix, PAGE, page))

    def create_model(
        self,
        project: str,
        name: str,
        description: str = "",
        tags: dict[str, str] | None = None,
        settings: types.ModelSettings | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> types.Model:
        """A new model. `AlreadyExists` if the name is taken."""
        settings = settings or types.ModelSettings()
        body = types.NewModel(name, description, tags or {}, settings, attributes or {})
        return self.call(types.Model, "POST", "projects", project, "models", body=body)

    def model(self, project: str, model: str) -> types.Model:
        """One model, with its aliases."""
        return self.call(types.Model, "GET", "projects", project, "models", model)

    def change_model(
        self,
        project: str,
        model: str,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        settings: types.ModelSettings | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> types.Model:
        """Changes what is given; a tag with an empty value is removed."""
        body = types.ModelChanges(description, tags, settings, attributes)
        return self.call(types.Model, "PATCH", "projects", project, "models", model, body=body)

    def delete_model(self, project: str, model: str) -> types.Deleted:
        """Deletes a model without versions; `InUse` otherwise."""
        return self.call(types.Deleted, "DELETE", "projects", project, "models", model)

    def card(self, project: str, model: str) -> types.Card:
        """The model's card (Markdown)."""
        return self.call(types.Card, "GET", "projects", project, "models", model, "card")

    def set_card(self, project: str, model: str, text: str) -> types.Card:
        """Replaces the card."""
        body = types.Card(text)
        return self.call(types.Card, "PUT", "projects", project, "models", model, "card", body=body)

    def alias(self, project: str, model: str, alias: str) -> types.AliasMove:
        """Where an alias points now, and the move that made it so."""
        at = ("projects", project, "models", model, "aliases", alias)
        return self.call(types.AliasMove, "GET", *at)

    def move_alias(
        self,
        project: str,
        model: str,
        alias: str,
        version: VersionLike,
        expected: int | None = None,
    ) -> types.AliasMove:
        """Points an alias to a version; with `expected`, only from that number (0: it is new)."""
        at = ("projects", project, "models", model, "aliases", alias)
        body = types.AliasTarget(version_text(version), expected)
        return self.call(types.AliasMove, "PUT", *at, body=body)

    def remove_alias(self, project: str, model: str, alias: str) -> types.AliasMove:
        """Removes an alias; its history stays."""
        at = ("projects", project, "models", model, "aliases", alias)
        return self.call(types.AliasMove, "DELETE", *at)

    def alias_history(
        self,
        project: str,
        model: str,
        alias: str,
        at: str = "",
        limit: int = 100,
        page: str | None = None,
    ) -> types.AliasHistory:
        """The moves of an alias, newest first; with `at` (ISO 8601) only the one in force then."""
        path = ("projects", project, "models", model, "aliases", alias, "history")
        query = {"at": at, "limit": limit, "page": page}
        return self.call(types.AliasHistory, "GET", *path, query=query)

    def iter_alias_history(self, project: str, model: str, alias: str) -> Iterator[types.AliasMove]:
        """All moves of an alias, newest first."""
        return self._pages(
            lambda page: self.alias_history(project, model, alias, limit=PAGE, page=page)
        )
