"""Healthy variants: environments, settings and imitated hardware in which the suite must pass."""
