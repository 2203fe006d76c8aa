"""The accelerators of Keras on PyTorch: what is there, what Keras uses, and TF32 of products and of convolutions."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cnnspec.devices import versions
from cnnspec.devices.accelerators import Accelerator, capability

CORE = "keras.src.backend.torch.core"  # there Keras chooses: KERAS_TORCH_DEVICE, else MPS, CUDA, XPU, CPU


def accelerators() -> list[Accelerator]:
    """Every accelerator that PyTorch may use, in the order in which Keras prefers them."""
    torch = importlib.import_module("torch")
    found = [Accelerator("mps:0", "MPS", "Apple GPU")] if torch.backends.mps.is_available() else []
    if torch.cuda.is_available():
        rocm = getattr(torch.version, "hip", None)
        for index in range(torch.cuda.device_count()):
            # On AMD's GPUs this is the number of their architecture: (9, 4) is gfx94x, no compute capability.
            numbers = None if rocm else capability(torch.cuda.get_device_capability(index))
            name = torch.cuda.get_device_name(index)
            found.append(Accelerator(f"cuda:{index}", "ROCm" if rocm else "CUDA", name, numbers))
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_available():
        found += [Accelerator(f"xpu:{at}", "XPU", xpu.get_device_name(at)) for at in range(xpu.device_count())]
    return found


def used() -> Accelerator | None:
    """The accelerator that Keras puts tensors on if nothing says otherwise; None for the CPU."""
    kind, _, number = str(importlib.import_module(CORE).get_device()).partition(":")
    if kind == "cpu":
        return None
    module = getattr(importlib.import_module("torch"), kind, None)
    if not number and kind in ("cuda", "xpu") and module is not None and module.is_available():
        number = str(module.current_device())
    place = f"{kind}:{number or 0}"
    known = [device for device in accelerators() if device.place == place]
    return known[0] if known else Accelerator(place, kind, kind)


def hide() -> None:
    """Take the CPU where Keras did not: KERAS_TORCH_DEVICE, set before Keras was imported, is unknown to Keras 3.3."""
    core: Any = importlib.import_module(CORE)
    core.DEFAULT_DEVICE = "cpu"


def located(tensor: Any) -> str:
    """Where a tensor or a variable lies: CPU, cuda:0, mps:0."""
    device = getattr(tensor, "value", tensor).device
    return "CPU" if device.type == "cpu" else f"{device.type}:{device.index or 0}"


def tf32() -> dict[str, str]:
    """{"tf32": on, off, convolutions only, matrix products only, or not in hardware}; empty without a GPU of NVIDIA."""
    device = used()
    if device is None or not device.has_tf32:
        return device.no_tf32 if device else {}
    torch = importlib.import_module("torch")
    overridden = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
    products, convolutions = (not overridden and _allowed(owner, name) for owner, name in _switches(torch))
    if products == convolutions:
        return {"tf32": "on" if products else "off"}
    return {"tf32": "matrix products only" if products else "convolutions only"}


@contextmanager
def tf32_off() -> Iterator[None]:
    """Switch TF32 of products and convolutions off during the block; no effect without a GPU."""
    switches = _switches(importlib.import_module("torch"))
    before = [getattr(owner, name) for owner, name in switches]
    for owner, name in switches:
        setattr(owner, name, "ieee" if name == "fp32_precision" else False)
    try:
        yield
    finally:
        for (owner, name), value in zip(switches, before):
            setattr(owner, name, value)


def libraries(device: Accelerator) -> dict[str, str]:
    """{driver, cuda, cudnn, rocm: version} as they run; where a library does not tell, as PyTorch was built with it."""
    torch = importlib.import_module("torch")
    found = versions.of(device.api)
    if device.api == "CUDA":
        cudnn = torch.backends.cudnn.version()  # asked of the library
        if cudnn:
            found["cudnn"] = versions.dotted_cudnn(int(cudnn))
        found.setdefault("cuda", f"{torch.version.cuda} (of the build)")
    elif device.api == "ROCm":
        found.setdefault("rocm", f"{torch.version.hip} (of the build)")
    elif device.api == "XPU":
        found["driver"] = str(torch.xpu.get_device_properties(int(device.place.partition(":")[2])).driver_version)
    return found


def _switches(torch: Any) -> list[tuple[Any, str]]:
    """(owner, name) of the switch of matrix products and that of convolutions.

    PyTorch 2.9 has new ones, and reading an old one raises where the user has set a new one.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return [(matmul, "fp32_precision"), (cudnn.conv, "fp32_precision")]
    return [(matmul, "allow_tf32"), (cudnn, "allow_tf32")]


def _allowed(owner: Any, name: str) -> bool:
    value = getattr(owner, name)
    return value == "tf32" if name == "fp32_precision" else bool(value)
