"""A plugin: layers with random names (BUILT="other names"), or models built channels first before (BUILT=channels_first)."""

import os
import random

import pytest


def pytest_configure(config: pytest.Config) -> None:
    from keras.src.ops import operation

    if os.environ["BUILT"] == "other names":
        generator = random.Random(config.option.seed)
        operation.auto_name = lambda prefix: f"{prefix}_{generator.randrange(10**6)}"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if os.environ["BUILT"] != "channels_first":
        return
    import keras

    from cnnspec.architectures import ARCHITECTURES

    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        for build in ARCHITECTURES.values():
            build()
    finally:
        keras.config.set_image_data_format(before)
