"""Backup and restore of a whole registry, straight at its stores (docs/decisions/0019-backup.md)."""
