"""Four CNNs of a 2019 notebook, rebuilt so that a TensorFlow stack can be verified by training them."""

__version__ = "0.1.0"
