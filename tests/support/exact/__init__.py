"""Exact arithmetic: operands that leave no room for rounding, what they must give, and how a wrong result is told."""
