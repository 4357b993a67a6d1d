"""Tokens, browser sign-in, who I am, and whether the server is well."""

from collections.abc import Iterable, Iterator

from weighbridge.client.session import PAGE, Session
from weighbridge.contract import types


class Access(Session):
    """The routes about callers and the server itself."""

    def tokens(self, limit: int = 100, page: str | None = None) -> types.TokenPage:
        """A page of the tokens, without their secrets."""
        query = {"limit": limit, "page": page}
        return self.call(types.TokenPage, "GET", "tokens", query=query)

    def iter_tokens(self) -> Iterator[types.Token]:
        """All tokens."""
        return self._pages(lambda page: self.tokens(PAGE, page))

    def create_token(
        self,
        name: str,
        scopes: Iterable[types.Scope],
        days: int = 90,
        signing: Iterable[types.SigningFacade] = (),
    ) -> types.IssuedToken:
        """A new token; its secret is shown this once. `days` 0: it does not expire. `signing` names the
        doors of foreign clients at which it may sign requests."""
        body = types.NewToken(name, tuple(scopes), days, tuple(signing))
        return self.call(types.IssuedToken, "POST", "tokens", body=body, repeatable=False)

    def revoke_token(self, token: str) -> types.Deleted:
        """Makes a token (by its id) worthless at once."""
        return self.call(types.Deleted, "DELETE", "tokens", token)

    def ticket(self) -> types.Ticket:
        """A one-time link that signs a browser in."""
        return self.call(types.Ticket, "POST", "tickets", body={})

    def whoami(self) -> types.Who:
        """Who the token's holder is, and what they may do."""
        return self.call(types.Who, "GET", "whoami")

    def health(self) -> types.Health:
        """Whether the server can reach its stores; needs no token."""
        return self.call(types.Health, "GET", "health")
