"""Keys of what the doors of foreign clients remember; `keys.py` gives them on."""

from chalicelib.registry.ports import Key


def _text(part: str) -> str:
    return part.replace("%", "%25").replace("#", "%23")


def of_signatures(token_id: str) -> str:
    """The partition of a token's used signatures."""
    return f"Y#{token_id}"


def loads(model_id: str, number: int) -> Key:
    """How often a version was loaded."""
    return Key(f"M#{model_id}", f"Y#{number:010d}")


def publication(model_id: str, number: int, event_id: str) -> Key:
    """One publication of a version to a serving system."""
    return Key(f"M#{model_id}", f"Y#{number:010d}#{event_id}")


def of_tags(project_id: str) -> str:
    """The partition of FATE's tags, and of archives that wait."""
    return f"K#{project_id}"


def tag(project_id: str, name: str) -> Key:
    """A tag by its name."""
    return Key(of_tags(project_id), f"N#{_text(name)}")


def tag_name(project_id: str, tag_id: str) -> Key:
    """Where a tag's name is found by its id."""
    return Key(of_tags(project_id), f"I#{tag_id}")


def tagged(project_id: str, tag_id: str, label: str) -> tuple[Key, Key]:
    """The link of a tag to a label, from either side."""
    pk = of_tags(project_id)
    return Key(pk, f"T#{tag_id}#{_text(label)}"), Key(pk, f"L#{_text(label)}#{tag_id}")


def parked(project_id: str, model: str, label: str) -> Key:
    """An archive that waits to be taken in as a version of a model."""
    return Key(of_tags(project_id), f"P#{_text(model)}#{_text(label)}")


def of_packages(project_id: str) -> str:
    """The partition of a project's packages."""
    return f"Z#{project_id}"


def package(project_id: str, identifier: str) -> Key:
    """Where a package is found by its id."""
    return Key(of_packages(project_id), f"I#{identifier}")


def package_identity(project_id: str, digest: str) -> Key:
    """The lock of what no two packages may have in common."""
    return Key(of_packages(project_id), f"K#{digest}")


def of_registrations(project_id: str) -> str:
    """The partition of what only foreign registries know."""
    return f"S#{project_id}"


def registration(project_id: str, kind: str, number: int) -> Key:
    """A registration by its number; `kind` is one letter."""
    return Key(of_registrations(project_id), f"{kind}#{number:010d}")


def registration_name(project_id: str, kind: str, parent: int, name: str) -> Key:
    """The lock of a registration's name, among those of its kind and parent."""
    return Key(of_registrations(project_id), f"L#{kind}#{parent:010d}#{_text(name)}")


def registration_child(project_id: str, kind: str, parent: int, number: int) -> Key:
    """Says that a registration belongs to another."""
    return Key(of_registrations(project_id), f"P#{kind}#{parent:010d}#{number:010d}")


def foreign_number(project_id: str, model_id: str, version: int = 0) -> Key:
    """Where the number stands that foreign clients know a model by, or one of its versions."""
    return Key(
        of_registrations(project_id), f"R#{model_id}" + (f"#{version:010d}" if version else "")
    )


def foreign_record(project_id: str, number: int) -> Key:
    """Which model or version that number is."""
    return Key(of_registrations(project_id), f"D#{number:010d}")


def of_federated(project_id: str) -> str:
    """The partition of the versions of parties."""
    return f"F#{project_id}"


def provider(project_id: str, name: str) -> Key:
    """A provider by its whole name."""
    return Key(f"P#{project_id}", f"V#{name}")
