"""Providers of federated jobs, their components, and which of them runs what."""

from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.client.session import PAGE, Session
from weighbridge.contract import types

PROJECT = "providers"
"""The project that providers live in unless another is named."""


class Providers(Session):
    """The routes under `/api/projects/{project}/providers`, and `/components`."""

    def register_provider(
        self,
        name: str,
        version: str,
        device: str,
        metadata: Mapping[str, Any],
        protocol: str = "fate",
        components: Mapping[str, Any] | None = None,
        project: str = PROJECT,
    ) -> types.Provider:
        """Registers `name:version@device`, or replaces what is known of it. `metadata` depends on the
        device; `components` maps names to descriptions."""
        body = types.NewProvider(
            name, version, device, dict(metadata), protocol, dict(components or {})
        )
        return self.call(types.Provider, "POST", "projects", project, "providers", body=body)

    def provider(self, provider: str, project: str = PROJECT) -> types.Provider:
        """One provider, by its whole name."""
        return self.call(types.Provider, "GET", "projects", project, "providers", provider)

    def providers(
        self,
        project: str = PROJECT,
        name: str = "",
        version: str = "",
        device: str = "",
        limit: int = 100,
        page: str | None = None,
    ) -> types.ProviderPage:
        """A page of providers by name, or of those with that name, version or device."""
        query = {
            "name": name, "version": version, "device": device, "limit": limit, "page": page,
        }  # fmt: skip
        return self.call(types.ProviderPage, "GET", "projects", project, "providers", query=query)

    def iter_providers(self, project: str = PROJECT) -> Iterator[types.Provider]:
        """All providers of a project."""
        return self._pages(lambda page: self.providers(project, limit=PAGE, page=page))

    def delete_provider(self, provider: str, project: str = PROJECT) -> types.Deleted:
        """Removes a provider with its components."""
        return self.call(types.Deleted, "DELETE", "projects", project, "providers", provider)

    def components(
        self,
        project: str = PROJECT,
        name: str = "",
        protocol: str = "",
        limit: int = 100,
        page: str | None = None,
    ) -> types.ComponentPage:
        """The components of `limit` providers: of all, or those of that name or protocol."""
        query = {"name": name, "protocol": protocol, "limit": limit, "page": page}
        return self.call(types.ComponentPage, "GET", "projects", project, "components", query=query)

    def resolve_providers(
        self, dag: Any, default: str = "", project: str = PROJECT
    ) -> types.Resolution:
        """Which provider runs each task of a DAG (as JSON values) at each party, and why."""
        body = types.ResolveRequest(dag, default)
        at = ("projects", project, "providers", "resolve")
        return self.call(types.Resolution, "POST", *at, body=body)
