"""Runs of known-good stacks: stored, turned into bands, compared."""
