"""Defects put into the code and into Keras, each of which the suite must notice."""
