"""The accelerators of JAX: what is there, what it uses, and the precision of its products."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cnnspec.devices import versions
from cnnspec.devices.accelerators import Accelerator, capability

APIS = {"tpu": "TPU", "metal": "Metal", "mps": "MPS", "xpu": "XPU", "sycl": "XPU", "rocm": "ROCm", "cuda": "CUDA"}
EXACT = ("highest", "float32")  # of jax_default_matmul_precision
# What JAX computes with if nothing is said, by its documentation: TF32 on GPUs that have it, bfloat16 on TPUs.
AS_SHIPPED = (None, "default", "fastest", "tensorfloat32", "high")


def accelerators() -> list[Accelerator]:
    """Every device but CPUs that JAX may use; JAX tells of none that JAX_PLATFORMS leaves out."""
    return [_accelerator(device) for device in importlib.import_module("jax").devices() if device.platform != "cpu"]


def used() -> Accelerator | None:
    """The accelerator that JAX puts arrays on if nothing says otherwise; None for the CPU.

    `jax_default_device` names a device or a platform; without it, it is the first of all.
    """
    jax = importlib.import_module("jax")
    device: Any = jax.config.jax_default_device or jax.devices()[0]
    if isinstance(device, str):
        device = jax.devices(device)[0]
    return None if device.platform == "cpu" else _accelerator(device)


def hide() -> None:
    """Nothing: JAX_PLATFORMS=cpu has hidden every accelerator before JAX was imported."""


def located(tensor: Any) -> str:
    """Where an array or a variable lies: CPU, gpu:0, tpu:0; several devices with commas."""
    places = {(device.platform, device.id) for device in getattr(tensor, "value", tensor).devices()}
    return ",".join("CPU" if platform == "cpu" else f"{platform}:{number}" for platform, number in sorted(places))


def tf32() -> dict[str, str]:
    """{"tf32": whether products use TF32}; on a TPU {"products": the precision of products}; empty otherwise."""
    device = used()
    if device is None:
        return {}
    asked = importlib.import_module("jax").config.jax_default_matmul_precision
    if device.api == "TPU":
        return {} if asked in EXACT else {"products": "bfloat16" if asked in (None, "default", "fastest") else str(asked)}
    if not device.has_tf32:
        return device.no_tf32
    if asked in EXACT or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return {"tf32": "off"}
    return {"tf32": "on"} if asked in AS_SHIPPED else {"products": str(asked)}


@contextmanager
def tf32_off() -> Iterator[None]:
    """Ask for products in float32 during the block."""
    with importlib.import_module("jax").default_matmul_precision("highest"):
        yield


def libraries(device: Accelerator) -> dict[str, str]:
    """{driver, cuda, cudnn, rocm: version} as they run, else what the plug-in of JAX says of itself."""
    found = versions.of(device.api)
    if device.api == "CUDA":
        found.update(_asked_by_jax())
    if not set(found) - {"driver"}:
        client = importlib.import_module("jax").devices()[0].client
        found["runtime"] = " ".join(str(client.platform_version).split())
    return found


def _asked_by_jax() -> dict[str, str]:
    """Versions that JAX itself asks its libraries for when it starts; they may be linked in, and then not in the list."""
    try:
        told: Any = importlib.import_module("jax._src.lib").cuda_versions
        runtime, cudnn = int(told.cuda_runtime_get_version()), int(told.cudnn_get_version())
    except Exception:  # no public interface: without it, what is loaded tells
        return {}
    return {
        "cuda": f"{runtime // 1000}.{runtime % 1000 // 10}",
        "cudnn": versions.dotted_cudnn(cudnn),
    }


def _accelerator(device: Any) -> Accelerator:
    api = APIS.get(device.platform.lower(), device.platform)
    if device.platform == "gpu":
        api = "ROCm" if "rocm" in str(device.client.platform_version).lower() else "CUDA"
    numbers = capability(getattr(device, "compute_capability", "")) if api == "CUDA" else None
    return Accelerator(f"{device.platform}:{device.id}", api, device.device_kind, numbers)
