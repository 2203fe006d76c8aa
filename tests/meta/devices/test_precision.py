"""Is TF32 said to be on only where the hardware has it and the framework uses it, and is it switched off and on again?"""

import pytest

from cnnspec import stack
from cnnspec.devices import of_jax, of_tensorflow, of_torch
from cnnspec.devices.accelerators import capability
from tests.meta.devices.machines import BACKENDS, MACHINES, process, put
from tests.support import numerics
from tests.support.exact import widths

AS_SHIPPED = {"tensorflow": "on", "jax": "on", "torch": "convolutions only"}
WITHOUT = {"T4", "ROCm", "XPU", "Apple"}
MODULES = {"tensorflow": of_tensorflow, "jax": of_jax, "torch": of_torch}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["H100", "MIG", *sorted(WITHOUT)])
def test_tf32_needs_hardware(monkeypatch, name, backend):
    """TF32 is on, as shipped, from compute capability 8.0 on, and nowhere else: AMD's 9.4 is no compute capability."""
    facts, _ = process(monkeypatch, MACHINES[name], backend)
    if facts["device"] == "CPU":
        pytest.skip("this Keras does not take XPU: tox run -e torch")
    if name in WITHOUT:  # nothing is said of other makers' GPUs
        assert facts.get("tf32") == ("not in hardware" if name == "T4" else None)
    else:
        assert facts["tf32"] == AS_SHIPPED[backend]


@pytest.mark.parametrize("new", [True, False], ids=["PyTorch 2.9", "PyTorch 2.8"])
@pytest.mark.parametrize(
    ("matmul", "convolution", "expected"),
    [
        (False, True, "convolutions only"),
        (True, False, "matrix products only"),
        (True, True, "on"),
        (False, False, "off"),
    ],
)
def test_pytorch_switches_them_apart(monkeypatch, new, matmul, convolution, expected):
    """Matrix products and convolutions are told apart, by PyTorch's old switches and its new ones, and both are restored."""
    torch = put(monkeypatch, MACHINES["H100"], "torch", new=new)
    owners = (torch.backends.cuda.matmul, torch.backends.cudnn.conv if new else torch.backends.cudnn)
    name, words = ("fp32_precision", {True: "tf32", False: "ieee"}) if new else ("allow_tf32", {True: True, False: False})
    for owner, on in zip(owners, (matmul, convolution), strict=True):
        setattr(owner, name, words[on])
    assert of_torch.tf32() == {"tf32": expected}
    with of_torch.tf32_off():
        assert of_torch.tf32() == {"tf32": "off"}
    assert [getattr(owner, name) for owner in owners] == [words[matmul], words[convolution]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tf32_off_is_seen(monkeypatch, backend):
    """Inside `tf32_off` it is off, after it as before."""
    put(monkeypatch, MACHINES["H100"], backend)
    with stack.tf32_off():
        assert MODULES[backend].tf32() == {"tf32": "off"}
    assert MODULES[backend].tf32() == {"tf32": AS_SHIPPED[backend]}


@pytest.mark.parametrize("backend", BACKENDS)
def test_nvidias_own_switch(monkeypatch, backend):
    """NVIDIA_TF32_OVERRIDE=0 switches TF32 off in NVIDIA's libraries, whatever the framework says."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    facts, _ = process(monkeypatch, MACHINES["H100"], backend)
    assert facts["tf32"] == "off"


def test_a_tpu_multiplies_in_bfloat16(monkeypatch):
    """JAX on a TPU, as shipped, multiplies in bfloat16, and the declared precision says so; at the highest it does not."""
    facts, _ = process(monkeypatch, MACHINES["TPU"], "jax")
    assert facts["products"] == "bfloat16"
    monkeypatch.setattr(stack, "current", lambda: facts)
    assert {numerics.declared(layer) for layer in ("", *numerics.PRODUCTS)} == {"bfloat16"}
    with stack.tf32_off():
        assert of_jax.tf32() == {}


@pytest.mark.parametrize(
    ("tf32", "declared"),
    [
        ("on", {"": "tf32", "Conv2D": "tf32", "Dense": "tf32"}),
        ("convolutions only", {"": "tf32", "Conv2D": "tf32", "Dense": "float32"}),
        ("matrix products only", {"": "tf32", "Conv2D": "float32", "Dense": "tf32"}),
        ("off", {"": "float32", "Conv2D": "float32", "Dense": "float32"}),
        ("not in hardware", {"": "float32", "Conv2D": "float32", "Dense": "float32"}),
    ],
)
def test_limits_follow_what_is_on(monkeypatch, tf32, declared):
    """Each product is judged by its own precision, whole models by the lowest: TF32 of convolutions excuses no Dense."""
    monkeypatch.setattr(stack, "current", lambda: {"tf32": tf32})
    assert {layer: numerics.declared(layer) for layer in declared} == declared
    assert widths.declared_for() == (declared["Conv2D"], declared["Dense"])
    wide = numerics.bound("Dense", "output")[0]
    monkeypatch.setattr(stack, "current", lambda: {"tf32": "off"})
    assert (wide > numerics.bound("Dense", "output")[0]) == (declared["Dense"] == "tf32")


def test_a_capability_that_is_not_told(monkeypatch):
    """A GPU of NVIDIA whose capability the framework does not tell is not said to have TF32."""
    module = put(monkeypatch, MACHINES["H100"], "tensorflow")
    module.config.experimental.get_device_details = lambda device: {"device_name": device.name}
    assert of_tensorflow.tf32() == {"tf32": "not known"}


def test_capabilities_are_read():
    """A pair or a text with a dot is a compute capability; AMD's architecture is none."""
    assert capability((9, 0)) == capability("9.0") == (9, 0)
    assert capability("12.1") == (12, 1)
    assert capability("gfx942") is None


@pytest.mark.parametrize(("precision", "relative"), [("float32", 1e-5), ("tf32", 1e-5 + 2.0**-11)])
def test_a_tolerance_that_products_widen(monkeypatch, precision, relative):
    """By the declared precision's unit roundoff where that is below float32's, and by nothing else."""
    monkeypatch.setattr(numerics, "declared", lambda layer="": precision)
    widened = numerics.with_products({"relative": 1e-5, "roundoffs": 1, "why": "rounding"})
    assert widened == {"relative": relative, "roundoffs": 1, "why": "rounding"}
