"""The notebook's four models, each a function that reads like its cell.

What the scan cut off at the page's edge (the activation and bias initialiser of the convolutions, the kernel
initialiser of the dense layers) is listed, with its evidence, in `baselines/notebook/assumptions.toml`.
"""

from __future__ import annotations

from typing import Callable, Dict  # Python 3.7 subscripts no dict when it runs

import keras
from keras import backend as K
from keras.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from keras.models import Sequential

from cnnspec.compat import input_layer
from cnnspec.errors import ModelMissing
from cnnspec.mnist import input_shape, num_classes


def channel_axis() -> int:
    """Axis of the channels of an image, for `BatchNormalization`.

    The notebook leaves the axis at −1, which is the channels only in its own `channels_last`; in `channels_first`
    that would normalise over the columns of the image.
    """
    return 1 if K.image_data_format() == "channels_first" else -1


def model1() -> Sequential:
    """In [5]: 2 Conv2D layers, 1 max pool layer, 2 dense layers, dropout and flatten."""
    model = Sequential()
    model.add(input_layer(input_shape()))

    model.add(Conv2D(32, kernel_size=(3, 3), activation="relu"))
    model.add(Conv2D(64, kernel_size=(3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Dropout(0.25))

    model.add(Flatten())
    model.add(Dense(128, activation="relu"))
    model.add(Dropout(0.5))
    model.add(Dense(num_classes, activation="softmax"))
    return model


def model2() -> Sequential:
    """In [14]: 2 Conv2D layers, 2 max pool layers, 2 dense layers, dropout, flatten and padding."""
    model = Sequential()
    model.add(input_layer(input_shape()))

    model.add(Conv2D(filters=32, kernel_size=(3, 3), strides=(1, 1), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))

    model.add(Conv2D(filters=32, kernel_size=(3, 3), strides=(1, 1), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))

    model.add(Flatten())
    model.add(Dense(units=100, activation=keras.activations.relu,
                    kernel_initializer=keras.initializers.he_uniform(seed=1)))
    model.add(Dropout(0.5))
    model.add(Dense(units=num_classes, activation=keras.activations.softmax,
                    kernel_initializer=keras.initializers.he_uniform(seed=1)))
    return model


def model3() -> Sequential:
    """In [22]: 4 Conv2D layers, 2 max pool layers, 2 dense layers, dropout, flatten, padding and batch normalisation."""
    model = Sequential()
    model.add(input_layer(input_shape()))

    model.add(Conv2D(filters=64, kernel_size=(2, 2), strides=(1, 1), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(BatchNormalization(axis=channel_axis()))
    model.add(Conv2D(filters=64, kernel_size=(2, 2), strides=(1, 1), padding="valid", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(BatchNormalization(axis=channel_axis()))
    model.add(MaxPooling2D(pool_size=(3, 3), strides=(3, 3)))

    model.add(Conv2D(filters=128, kernel_size=(3, 3), strides=(1, 1), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(BatchNormalization(axis=channel_axis()))
    model.add(Conv2D(filters=128, kernel_size=(3, 3), strides=(1, 1), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(BatchNormalization(axis=channel_axis()))
    model.add(MaxPooling2D(pool_size=(3, 3), strides=(3, 3)))

    model.add(Flatten())
    model.add(Dense(units=200, activation=keras.activations.relu,
                    kernel_initializer=keras.initializers.he_uniform(seed=1)))
    model.add(Dropout(0.5))
    model.add(BatchNormalization())
    model.add(Dense(units=num_classes, activation=keras.activations.softmax,
                    kernel_initializer=keras.initializers.he_uniform(seed=1)))
    return model


def model4() -> Sequential:
    """In [30]: 2 Conv2D layers, 1 max pool layer, 2 dense layers, dropout, flatten, padding, batch normalisation, stride."""
    model = Sequential()
    model.add(input_layer(input_shape()))

    model.add(Conv2D(filters=64, kernel_size=(2, 2), strides=(2, 2), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(BatchNormalization(axis=channel_axis()))
    model.add(Conv2D(filters=64, kernel_size=(4, 4), strides=(2, 2), padding="same", activation="relu",
                     kernel_initializer=keras.initializers.he_uniform(seed=1), bias_initializer="zeros"))
    model.add(BatchNormalization(axis=channel_axis()))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))

    model.add(Flatten())
    model.add(Dense(units=200, activation=keras.activations.relu,
                    kernel_initializer=keras.initializers.he_uniform(seed=1)))
    model.add(Dropout(0.5))
    model.add(BatchNormalization())
    model.add(Dense(units=num_classes, activation=keras.activations.softmax,
                    kernel_initializer=keras.initializers.he_uniform(seed=1)))
    return model


class Architectures(Dict[str, Callable[[], Sequential]]):
    """{model: the function that builds it}. Raises ModelMissing for a model without one."""

    def __missing__(self, model: str) -> Callable[[], Sequential]:
        raise ModelMissing(
            f"{model} has no function in ARCHITECTURES of cnnspec/architectures.py; add it, CONTRIBUTING.md says how, "
            f"under Add a model"
        )


ARCHITECTURES = Architectures(model1=model1, model2=model2, model3=model3, model4=model4)
