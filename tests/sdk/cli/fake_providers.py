"""The part of the fake client that knows providers of federated jobs."""

from dataclasses import replace

from weighbridge.contract import assignments, providers, types
from weighbridge.contract.errors import NotFound

NOW = "2026-11-21T09:10:11.123Z"
DEFAULT = "fate:2.2.0@local"


def known():
    """Two providers."""
    image = {"image": "acme/algo:2.1.0", "namespace": "fate"}
    described = {"lr": {"description": "Logistic regression"}, "psi": None}
    return {
        p.provider_name: p
        for p in (
            types.Provider("acme:2.1.0@k8s", "acme", "2.1.0", "k8s", image, "fate", described,
                           NOW, "ada", NOW, "bob", 1),
            types.Provider(DEFAULT, "fate", "2.2.0", "local", {"path": "/fate"}, "fate", {},
                           NOW, "ada", NOW, "ada", 1),
        )
    }  # fmt: skip


class FakeProviders:
    """The methods of `client.providers`, on a dictionary."""

    def register_provider(
        self, name, version, device, metadata, protocol="fate", components=None, project="providers"
    ):
        self._changed("register_provider", name, version, device)
        whole = f"{name}:{version}@{device}"
        old = self.all_providers.get(whole)
        made = types.Provider(
            whole, name, version, device, metadata, protocol, components or {}, NOW, "ada", NOW,
            "ada", old.revision + 1 if old else 1,
        )  # fmt: skip
        self.all_providers[whole] = made
        return made

    def provider(self, provider, project="providers"):
        if provider not in self.all_providers:
            raise NotFound(f"there is no provider {provider!r} in the project {project}")
        return replace(self.all_providers[provider])

    def providers(self, project="providers", name="", version="", device="", limit=100, page=None):
        found = [
            p
            for _, p in sorted(self.all_providers.items())
            if name in ("", p.name) and version in ("", p.version) and device in ("", p.device)
        ]
        return types.ProviderPage(tuple(found[:limit]), "more" if len(found) > limit else None)

    def delete_provider(self, provider, project="providers"):
        self.provider(provider, project)
        self._changed("delete_provider", provider)
        del self.all_providers[provider]
        return types.Deleted(provider)

    def resolve_providers(self, dag, default="", project="providers"):
        chosen = providers.parse(default or DEFAULT)
        return assignments.resolve(dag, chosen, self.all_providers.__contains__)
