"""Four CNNs of a 2019 notebook, rebuilt so that a TensorFlow stack can be verified by training them."""

from cnnspec import legacy_keras

__version__ = "0.1.0"

legacy_keras.stand_in()
