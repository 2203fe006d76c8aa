"""The models in float64, from the formulas. NumPy is the only package that is imported here."""
