"""Is the float64 implementation, which every other number is compared with, itself right?

Expected values come from difference quotients, SciPy, loops, plain Python, calculations by hand and Keras' own output.
"""
