"""Are threads and GPUs shared out, and does a missing GPU fail the run?"""

import os
from types import SimpleNamespace

import pytest

from cnnspec import stack
from tests.plugin import devices
from tests.support import numerics

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
WORKERS = {  # worker, GPUs visible -> the GPU that it gets
    "no worker": ({"CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),
    "first of two": ({"PYTEST_XDIST_WORKER": "gw0", "CUDA_VISIBLE_DEVICES": "4,7"}, "4"),
    "second of two": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "4,7"}, "7"),
    "third worker": ({"PYTEST_XDIST_WORKER": "gw2", "CUDA_VISIBLE_DEVICES": "4,7"}, "4"),
    "one GPU": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "4"}, "4"),
    "GPUs hidden": ({"PYTEST_XDIST_WORKER": "gw1", "CUDA_VISIBLE_DEVICES": "-1"}, "-1"),
}


@pytest.mark.parametrize(("environment", "gpu"), WORKERS.values(), ids=WORKERS)
def test_share_of_the_gpus(environment, gpu):
    """Each xdist worker gets one of the GPUs that the user left visible."""
    environment = {"PYTEST_XDIST_WORKER_COUNT": "2", **environment}
    devices.share_out(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == gpu


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


def test_cpu_hides_the_gpus():
    """--device cpu hides every GPU; auto changes nothing."""
    hidden, untouched = {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "0"}
    devices.choose("cpu", hidden)
    devices.choose("auto", untouched)
    assert hidden["CUDA_VISIBLE_DEVICES"] == "-1"
    assert untouched == {"CUDA_VISIBLE_DEVICES": "0"}


def test_a_missing_gpu_fails(monkeypatch):
    """--device gpu without a usable GPU ends the run as failed; with one, or with auto, it goes on."""
    monkeypatch.setattr("cnnspec.stack.gpus", list)
    with pytest.raises(pytest.exit.Exception, match="finds no GPU it can use") as error:
        devices.require("gpu")
    assert error.value.returncode == pytest.ExitCode.TESTS_FAILED
    devices.require("auto")
    monkeypatch.setattr("cnnspec.stack.gpus", lambda: ["H200"])
    devices.require("gpu")


def test_tf32_is_off_until_the_run_ends(monkeypatch):
    """--tf32 off switches TF32 off until the run ends, and the stack and the precision that is asked for say so."""
    monkeypatch.setattr("cnnspec.stack.gpus", lambda: ["H200"])
    shipped, at_the_end = stack.current()["tf32"], []
    config = SimpleNamespace(option=SimpleNamespace(tf32="off"), add_cleanup=at_the_end.append)
    devices.set_tf32(config)
    try:
        assert stack.current()["tf32"] == "off"
        assert numerics.declared() == "float32"
    finally:
        for cleanup in at_the_end:
            cleanup()
    assert stack.current()["tf32"] == shipped


def test_tf32_stays_as_shipped(monkeypatch):
    """Without --tf32 off nothing is switched."""
    monkeypatch.setattr("cnnspec.stack.tf32_off", lambda: pytest.fail("switched off"))
    devices.set_tf32(SimpleNamespace(option=SimpleNamespace(tf32="as-shipped")))
