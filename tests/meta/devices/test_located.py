"""Does the tier `stack` fail where variables or outputs lie elsewhere than the stack says?"""

import re
from types import SimpleNamespace

import pytest

from cnnspec import stack
from cnnspec.devices.accelerators import Accelerator
from tests import test_stack
from tests.support import located

GPU = Accelerator("GPU:0", "CUDA", "NVIDIA H100", (9, 0))


def config(device):
    """pytest's options with --device."""
    return SimpleNamespace(option=SimpleNamespace(device=device))


@pytest.fixture
def claims_a_gpu(monkeypatch):
    """The stack says that it computes on a GPU, while it computes on what this machine has."""
    monkeypatch.setattr(stack, "used", lambda: GPU)
    monkeypatch.setattr(stack, "accelerators", lambda: [GPU])


@pytest.mark.parametrize("device", ["auto", "gpu", "gpu:0"])
def test_a_gpu_that_does_not_compute_fails(monkeypatch, claims_a_gpu, device):
    """A real model of this stack lies on the CPU and the stack says GPU: the message names both, and what lies where."""
    if "CPU" not in set(located.of_a_model().values()):
        pytest.skip("this stack really computes on a GPU: CUDA_VISIBLE_DEVICES=-1 pytest tests/meta/devices")
    with pytest.raises(pytest.fail.Exception) as failed:
        test_stack.test_it_computes_where_it_says(config(device))
    message = str(failed.value)
    assert message.startswith(f"--device {device}: where variables and outputs of model4 lie\n")
    assert "expected  GPU:0   (from the device that the stack names: NVIDIA H100)\n" in message
    assert re.search(r"  on CPU: weights 0 as built, .* and \d+ more\n", message)
    assert "  next      look at KERAS_TORCH_DEVICE, JAX_DEFAULT_DEVICE and tf.device in your own code" in message


def test_a_gpu_that_was_not_hidden_fails(monkeypatch, claims_a_gpu):
    """--device cpu, and everything lies on the GPU, as the stack says: that is not what was asked for."""
    monkeypatch.setattr(located, "of_a_model", lambda: {"output of a call": "GPU:0"})
    with pytest.raises(pytest.fail.Exception, match=r"still computes on NVIDIA H100 \(CUDA\), which could not be hidden"):
        test_stack.test_it_computes_where_it_says(config("cpu"))


def test_a_gpu_that_computes_passes(monkeypatch, claims_a_gpu):
    """--device gpu, and everything lies on the GPU that the stack names."""
    monkeypatch.setattr(located, "of_a_model", lambda: {"output of a call": "GPU:0", "slots 0 after a step": "GPU:0"})
    test_stack.test_it_computes_where_it_says(config("gpu"))


@pytest.mark.parametrize(
    "what", ["output of a call", "output of a compiled call", "weights 0 as built", "slots 0 after a step"]
)
def test_a_single_one_elsewhere_fails(monkeypatch, claims_a_gpu, what):
    """One output or variable on the CPU, or on another GPU, is enough."""
    for place in ("CPU", "GPU:1"):
        places = {"output of another call": "GPU:0", what: place}
        monkeypatch.setattr(located, "of_a_model", places.copy)
        with pytest.raises(pytest.fail.Exception, match=f"  on {place}: {what}\n"):
            test_stack.test_it_computes_where_it_says(config("auto"))


def test_everything_of_a_model_is_looked_at():
    """Weights before and after a step, slots, and outputs of a call and of a compiled call all have a place."""
    names = {re.sub(r"\d+", "N", name) for name in located.of_a_model()}
    assert names == {
        *("weights N as built", "weights N after a step", "slots N after a step"),
        *("output of a call", "output of a compiled call"),
    }
