"""The numbers that the models must give, in float64 by the formulas. NumPy is the only package imported here."""
