"""Other tools doing the same; see `run.py`, which lives in an environment of its own."""
