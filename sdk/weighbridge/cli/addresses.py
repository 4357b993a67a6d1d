"""Addresses of catalogue pages, as docs/architecture.md gives them (the server has its own builder;
a test compares the two)."""

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
LONGEST_SLUG = 200
_FILES = ("index.html", "index.json")


def project(name: str) -> str:
    """A project's page."""
    return f"/p/{name.lower()}/"


def model(project_name: str, name: str, model_id: str) -> str:
    """A model's page: its name byte by byte, or its id where the name grows too long."""
    slug = "".join(chr(byte) if byte in PLAIN else f"~{byte:02X}" for byte in name.encode("utf-8"))
    if not slug.strip("."):
        slug = slug.replace(".", "~2E")
    if slug in _FILES:
        slug = f"~{ord(slug[0]):02X}{slug[1:]}"
    return project(project_name) + (slug if len(slug) <= LONGEST_SLUG else f"~~{model_id}") + "/"


def version(model_page: str, number: int, *, checkpoints: bool = False) -> str:
    """A version's page, or that of its checkpoints."""
    return f"{model_page}{number}/" + ("checkpoints/" if checkpoints else "")
