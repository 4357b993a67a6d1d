"""What goes wrong with packages and generations, besides the registry's own errors."""

from weighbridge.contract.errors import Conflict, IntegrityError


class NotStaged(Conflict):
    """A generation names a state that was never written, or whose time is over."""


class BadPackage(IntegrityError):
    """A package that is damaged, hostile, or not of the release that it was taken for."""


class Held(IntegrityError):
    """It was stored, but the project's safety policy holds it back."""
