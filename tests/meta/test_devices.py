"""Are threads and GPUs shared out among workers, and does a missing GPU fail the run? `devices/` has what is used."""

import argparse
import os
from types import SimpleNamespace

import pytest

from cnnspec import command_options, stack
from cnnspec.compat import backend
from cnnspec.devices import asked
from cnnspec.devices.accelerators import Accelerator
from tests.plugin import devices
from tests.support import numerics

GPU = Accelerator("GPU:0", "CUDA", "NVIDIA H200", (9, 0))
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
WORKERS = {  # worker, GPUs visible -> the GPU that it gets
    "no worker": ({"CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),
    "first of two": ({"PYTEST_XDIST_WORKER": "gw0", "CUDA_VISIBLE_DEVICES": "4,7"}, "4"),
    "second of two": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "4,7"}, "7"),
    "third worker": ({"PYTEST_XDIST_WORKER": "gw2", "CUDA_VISIBLE_DEVICES": "4,7"}, "4"),
    "one GPU": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "4"}, "4"),
    "GPUs hidden": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "-1"}, "-1"),
    "MIG slices": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b"}, "MIG-b"),
}


@pytest.mark.parametrize(("environment", "gpu"), WORKERS.values(), ids=WORKERS)
def test_share_of_the_gpus(environment, gpu):
    """Each xdist worker gets one of the GPUs that the user left visible."""
    environment = {"PYTEST_XDIST_WORKER_COUNT": "2", **environment}
    devices.share_out(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == gpu


LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 2g.10gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-1fbe2b8e-8d06-4ae5-b6e2-1a1b1b1b1b1b)
"""


def test_slices_are_shared_and_not_their_gpu():
    """Of nvidia-smi's list a divided GPU counts by its MIG slices, which are no further GPUs; a whole one by its index."""
    slices = ["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"]
    assert asked.of_listing(LISTING) == [*slices, "1"]


def test_share_of_the_threads():
    """Two workers get half of the cores each, outside xdist nothing is set, and a user's own setting stays."""
    worker = {"PYTEST_XDIST_WORKER": "gw0", "PYTEST_XDIST_WORKER_COUNT": "2", "CUDA_VISIBLE_DEVICES": ""}
    devices.share_out(worker)
    assert worker["TF_NUM_INTRAOP_THREADS"] == worker["OMP_NUM_THREADS"] == str(max(1, CORES // 2))
    alone = {}
    devices.share_out(alone)
    assert "TF_NUM_INTRAOP_THREADS" not in alone
    chosen = worker | {"OMP_NUM_THREADS": "3"}
    devices.share_out(chosen)
    assert chosen["OMP_NUM_THREADS"] == "3"


def test_processes_share_a_gpu():
    """No process takes all of a GPU's memory when it starts, unless the user said so."""
    environment = {"TF_FORCE_GPU_ALLOW_GROWTH": "false"}
    devices.share_out(environment)
    assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"
    alone = {}
    devices.share_out(alone)
    assert alone["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_commands_share_a_gpu_too(monkeypatch):
    """Two trainings by the command line at once: JAX's second process would find no GPU that has memory left."""
    for variable in asked.SHARED:
        monkeypatch.delenv(variable, raising=False)
    command_options.choose_device(argparse.Namespace())
    assert {variable: os.environ[variable] for variable in asked.SHARED} == {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


def test_cpu_hides_the_gpus():
    """--device cpu hides every GPU; auto and gpu change nothing."""
    hidden, untouched = {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "0"}
    asked.choose("cpu", hidden)
    asked.choose("auto", untouched)
    asked.choose("gpu", untouched)
    assert hidden == asked.HIDDEN
    assert untouched == {"CUDA_VISIBLE_DEVICES": "0"}


def test_a_missing_gpu_fails(monkeypatch):
    """--device gpu without a usable GPU ends the run as failed; with one, or with auto, it goes on."""
    monkeypatch.setattr(stack, "accelerators", list)
    monkeypatch.setattr(stack, "used", lambda: None)
    with pytest.raises(pytest.exit.Exception, match="finds no GPU it can use") as error:
        devices.require("gpu")
    assert error.value.returncode == pytest.ExitCode.TESTS_FAILED
    devices.require("auto")
    monkeypatch.setattr(stack, "accelerators", lambda: [GPU])
    monkeypatch.setattr(stack, "used", lambda: GPU)
    devices.require("gpu")


def test_tf32_is_off_until_the_run_ends(monkeypatch):
    """--tf32 off switches TF32 off until the run ends, and the stack and the precision that is asked for say so."""
    monkeypatch.setattr(stack._FRAMEWORKS[backend()], "used", lambda: GPU)
    shipped, at_the_end = stack.current()["tf32"], []
    assert shipped in ("on", "convolutions only")
    config = SimpleNamespace(option=SimpleNamespace(tf32="off"), add_cleanup=at_the_end.append)
    devices.set_tf32(config)
    try:
        assert stack.current()["tf32"] == "off"
        assert {numerics.declared(layer) for layer in ("", "Conv2D", "Dense")} == {"float32"}
    finally:
        for cleanup in at_the_end:
            cleanup()
    assert stack.current()["tf32"] == shipped


def test_tf32_stays_as_shipped(monkeypatch):
    """Without --tf32 off nothing is switched."""
    monkeypatch.setattr("cnnspec.stack.tf32_off", lambda: pytest.fail("switched off"))
    devices.set_tf32(SimpleNamespace(option=SimpleNamespace(tf32="as-shipped")))
