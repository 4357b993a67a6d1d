"""Examines a registry from outside, as its users reach it. Knows no stores and no settings of the server."""

from weighbridge.doctor.examining import examine
from weighbridge.doctor.visit import Finding, Level, Options, Visit

__all__ = ["Finding", "Level", "Options", "Visit", "examine"]
