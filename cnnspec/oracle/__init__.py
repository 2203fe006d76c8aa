"""The numbers that the models must give, in float64 by the formulas. Nothing but NumPy is imported here."""
