"""The accelerators of TensorFlow: what is there, what it uses, and its TF32."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cnnspec.devices import versions
from cnnspec.devices.accelerators import Accelerator, capability


def before_2(tensorflow: Any) -> bool:
    """Whether this is TensorFlow 1, whose `config` tells nothing yet (1.15) or is not there (1.13)."""
    return str(tensorflow.__version__).startswith("1.")


def accelerators() -> list[Accelerator]:
    """Every device but CPUs that TensorFlow knows: first those that it may use, in its order, then hidden ones."""
    tensorflow = importlib.import_module("tensorflow")
    if before_2(tensorflow):
        found = [tensorflow.test.gpu_device_name()] if tensorflow.test.is_gpu_available() else []
        return [Accelerator(name, "CUDA", name) for name in found]
    visible = [device for device in tensorflow.config.get_visible_devices() if device.device_type != "CPU"]
    there = [device for device in tensorflow.config.list_physical_devices() if device.device_type != "CPU"]
    usable = [_accelerator(tensorflow, device, place_among(device, visible)) for device in visible]
    return usable + [_accelerator(tensorflow, device, "") for device in there if device not in visible]


def used() -> Accelerator | None:
    """The accelerator that TensorFlow places operations on if nothing says otherwise; None for the CPU.

    That is the first GPU, or the first of a plug-in's devices (Intel's XPU). TPUs compute under a TPUStrategy only.
    """
    return next((device for device in accelerators() if device.place and device.api != "TPU"), None)


def hide() -> None:
    """Hide every accelerator, also those that no variable hides: Metal, and the devices of other plug-ins."""
    tensorflow = importlib.import_module("tensorflow")
    if not before_2(tensorflow):
        for kind in {device.device_type for device in tensorflow.config.list_physical_devices()} - {"CPU"}:
            tensorflow.config.set_visible_devices([], kind)


def located(tensor: Any) -> str:
    """Where a tensor or a variable lies: CPU, GPU:0, XPU:0."""
    value = getattr(tensor, "value", tensor)  # Keras 3's variable has TensorFlow's as `value`; in TensorFlow it is a method
    text = (tensor if callable(value) else value).device
    kind, _, number = text.rpartition("device:")[2].partition(":")
    return "CPU" if kind == "CPU" else f"{kind}:{number or 0}"


def tf32() -> dict[str, str]:
    """{"tf32": whether matrix products and convolutions use TF32}; empty without a GPU of NVIDIA."""
    device = used()
    if device is None or not device.has_tf32:
        return device.no_tf32 if device else {}
    on = importlib.import_module("tensorflow").config.experimental.tensor_float_32_execution_enabled()
    return {"tf32": "on" if on and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0" else "off"}


@contextmanager
def tf32_off() -> Iterator[None]:
    """Switch TF32 off during the block; no effect without a GPU."""
    switch = importlib.import_module("tensorflow").config.experimental
    before = switch.tensor_float_32_execution_enabled()
    switch.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        switch.enable_tensor_float_32_execution(before)


def clusters() -> bool:
    """Whether TensorFlow lets XLA compile clusters of operations that nobody asked it to compile.

    `tf.config.optimizer.set_jit` asks for it, and TF_XLA_FLAGS, whose --tf_xla_auto_jit holds on a CPU only beside
    --tf_xla_cpu_global_jit. TensorFlow tells of the first alone.
    """
    words = os.environ.get("TF_XLA_FLAGS", "").replace("--", "").split()
    flags = dict((word + "=true").split("=")[:2] for word in words)
    level, on_cpu = flags.get("tf_xla_auto_jit", "0"), flags.get("tf_xla_cpu_global_jit", "false") not in ("false", "0")
    asked = level not in ("0", "-1") and (on_cpu or used() is not None)
    return asked or bool(importlib.import_module("tensorflow").config.optimizer.get_jit())


def libraries(device: Accelerator) -> dict[str, str]:
    """{driver, cuda, cudnn, rocm: version} as they run; where a library does not tell, as TensorFlow was built with it."""
    found = versions.of(device.api)
    build = importlib.import_module("tensorflow").sysconfig.get_build_info()
    for name in ("cuda", "cudnn") if device.api == "CUDA" else ():
        if name not in found:
            found[name] = f"{build.get(name + '_version', 'none')} (of the build)"
    return found


def place_among(device: Any, visible: list[Any]) -> str:
    """The name of a visible device: its kind, and its place among those of that kind."""
    same = [other for other in visible if other.device_type == device.device_type]
    return f"{device.device_type}:{same.index(device)}"


def _accelerator(tensorflow: Any, device: Any, place: str) -> Accelerator:
    kind = device.device_type
    details = tensorflow.config.experimental.get_device_details(device) if kind == "GPU" else {}
    api = kind
    if kind == "GPU":
        rocm = tensorflow.test.is_built_with_rocm()
        api = "Metal" if platform.system() == "Darwin" else "ROCm" if rocm else "CUDA"
    numbers = details.get("compute_capability") if api == "CUDA" else None
    return Accelerator(place, api, details.get("device_name", kind), capability(numbers) if numbers else None)
