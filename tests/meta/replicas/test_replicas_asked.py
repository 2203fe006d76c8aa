"""Do replicas train only where they were asked for, and do their processes get the devices that there are?"""

import argparse
from types import SimpleNamespace

import pytest

from cnnspec.devices import asked
from tests.plugin import levels, partial
from tests.support.replicas import processes


def item(replicas, level="default"):
    """A test of the replicas' tier, as pytest collected it."""
    option = SimpleNamespace(replicas=replicas, level=level, dataset="mnist5k", markexpr="")
    config = SimpleNamespace(option=option, getini=lambda name: [])
    return SimpleNamespace(
        nodeid="tests/test_replicas.py::test_a_step",
        config=config,
        get_closest_marker=lambda name: None,
        iter_markers=lambda: [],
    )


@pytest.mark.parametrize("level", list(levels.LEVELS))
def test_the_option_decides(level):
    """At every level: with --replicas 2 they run, without it they are left out and it is said how to run them."""
    for replicas, runs in ((1, False), (2, True), (8, True)):
        test = item(replicas, level)
        assert levels.belongs(test, level, test.config) is runs
    assert partial.why_deselected(item(1, level)) == "runs when it is asked for: --replicas 2"
    assert levels.REPLICAS not in levels.tiers(level)


def test_numbers_of_replicas():
    """Whole numbers from 1 to 99."""
    assert levels.replicas("2") == 2
    for text in ("0", "-1", "two", "100", "1.5"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no number of replicas; give 2, or the number of GPUs"):
            levels.replicas(text)


def variables(monkeypatch, backend, gpus, rank=1, **given):
    """Those of a replica's process, by a backend that finds so many GPUs."""
    monkeypatch.setattr(processes, "backend", lambda: backend)
    return processes.variables(given, 2, rank, gpus)


def test_devices_of_replicas(monkeypatch):
    """With too few GPUs the CPU is divided, flags of the user stay; with enough each replica of PyTorch gets its own."""
    found = variables(monkeypatch, "jax", 1, XLA_FLAGS="--xla_dump_to=/tmp/dump")
    assert found["XLA_FLAGS"] == "--xla_dump_to=/tmp/dump --xla_force_host_platform_device_count=2"
    assert (found["JAX_PLATFORMS"], found[asked.VARIABLE]) == ("cpu", "cpu")
    assert variables(monkeypatch, "jax", 2) == {}
    assert variables(monkeypatch, "tensorflow", 0)["CUDA_VISIBLE_DEVICES"] == "-1"
    found = variables(monkeypatch, "torch", 2, CUDA_VISIBLE_DEVICES="4,7")
    assert (found["CUDA_VISIBLE_DEVICES"], found[asked.VARIABLE]) == ("7", "gpu:1")
    assert variables(monkeypatch, "torch", 1)["KERAS_TORCH_DEVICE"] == "cpu"
