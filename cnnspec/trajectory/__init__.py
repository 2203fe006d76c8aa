"""The first steps of training without chance, on the stack under test and in float64."""
