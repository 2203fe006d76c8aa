"""Defects put into the code and into Keras. The suite must detect each of them."""
