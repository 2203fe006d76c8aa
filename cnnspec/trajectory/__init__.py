"""The first steps of training without randomness, on the stack under test and in float64."""
