"""Faults that a default run of the suite misses, and what sees them."""

SEEN_BY: dict[str, str] = {}  # name -> the level or command that sees it
