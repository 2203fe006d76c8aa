"""A plugin: the tests in a random order, within each tier (ORDER=tiers) or all of them (ORDER=all); --seed decides."""

import os
import random

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    generator = random.Random(config.option.seed)
    if os.environ["ORDER"] == "all":
        generator.shuffle(items)
        return
    place = {module: number for number, module in enumerate(dict.fromkeys(item.path for item in items))}
    keys = {item.nodeid: (place[item.path], generator.random()) for item in items}
    items.sort(key=lambda item: keys[item.nodeid])
