"""How `pytest -n 2` shares the tests among its processes: what a tier computes once goes to one process, in order.

Most tiers build a model once for all of its tests. Tests that share it stay together: those of a module, or, where a module
keeps the models apart, those of a model.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from cnnspec.names import MODELS

TRAINING = "test_training"
# Modules whose tests share nothing beyond what is found in their names: what keeps them apart. The lockstep tier's
# tests of calls in turn and of every sample and update have small models of their own.
APART = {
    "test_exact": re.compile("compiled|eager|XLA"),
    "test_lockstep": re.compile("every|turn"),
    "test_modes": re.compile("model[0-9]+"),
    "test_numerics": re.compile("model[0-9]+"),
    "test_optimizer": re.compile("model[0-9]+"),
    "test_repeats": re.compile("model[0-9]+"),
    "test_training": re.compile("model[0-9]+"),
    "test_trajectory": re.compile("model[0-9]+"),
}


def group_of(nodeid: str) -> str:
    """Name of the group of a test, from its id."""
    path = nodeid.split("::")[0]
    kept = APART.get(Path(path).stem)
    found = kept.search(nodeid.partition("::")[2]) if kept else None
    return f"{path} {found.group()}" if found else path


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a worker, the longest trainings first: the last of them must not begin when all others are done."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    places = [place for place, item in enumerate(items) if item.path.stem == TRAINING]
    ordered = sorted((items[place] for place in places), key=lambda item: -cost_of(group_of(item.nodeid)))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def cost_of(group: str) -> int:
    """Operations of a training step of the model that a group is named after; 0 where it is named after none."""
    from cnnspec.benchmarks import flops

    model = group.split()[-1]
    return flops.flops_per_image(model) if model in MODELS else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups in the order of the collection, each to the process that is free first. Another --dist is the user's choice."""
    if config.option.dist != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class InOrder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def _reschedule(self, node: Any) -> None:
            """Hand out the next group when one test is left, not two as xdist does; with none left a worker would wait."""
            if not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
                super()._reschedule(node)

    config.option.loadscopereorder = False
    return InOrder(config, log)
