"""The stack of this process: everything that could change a number.

The framework's facts come from its own module of `devices`, found by the name of Keras' backend; unknown ones are left out.
"""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from cnnspec.compat import IS_2019, backend
from cnnspec.devices import asked, of_jax, of_tensorflow, of_torch, processor
from cnnspec.devices.accelerators import ONE_AT_MOST, Accelerator, listed
from cnnspec.errors import DeviceMissing


def require(device: str) -> None:
    """Hide what --device hides and no variable could, then raise DeviceMissing if this stack computes elsewhere.

    `device` is auto, cpu, gpu, gpu:N or core:N. Call it before anything has computed.
    """
    if device == "auto":
        return
    if asked.on_cpu(device):
        _FRAMEWORKS[backend()].hide()
    fault = misplaced(device, used(), accelerators())
    if fault:
        raise DeviceMissing(f"--device {device}: {fault}")


def settle() -> None:
    """Compute where the process that started this one was asked to: `asked.VARIABLE`."""
    require(os.environ.get(asked.VARIABLE, "auto"))


def misplaced(device: str, used: Accelerator | None, there: Sequence[Accelerator]) -> str | None:
    """Why this stack does not compute on the `device` that was asked for, and what to do; None where it does.

    `used` is the accelerator that Keras uses, `there` are all that its backend knows.
    """
    keras_backend = f"Keras' backend {backend()}"
    gpus = [other for other in there if other.is_gpu]
    if asked.on_cpu(device):
        told = f"{keras_backend} still computes on {used.name} ({used.api}), which could not be hidden" if used else None
        return f"{told}; start in a new process, before anything imports or uses the framework" if told else unpinned(device)
    if used is None or not used.is_gpu:
        where = f"{used.name} ({used.api})" if used else "the CPU"
        if not gpus:
            return (
                f"{keras_backend} finds no GPU it can use; check nvidia-smi, CUDA_VISIBLE_DEVICES, JAX_PLATFORMS and "
                f"whether this is a GPU build, or use --device cpu"
            )
        return (
            f"{keras_backend} finds {listed(gpus)} but computes on {where}; unset KERAS_TORCH_DEVICE and "
            f"JAX_DEFAULT_DEVICE, or use --device cpu"
        )
    number = asked.index(device)
    same = [other for other in gpus if other.api == used.api]
    if number is not None and used.api in ONE_AT_MOST and number:
        return f"{used.name} ({used.api}) is the only GPU; give gpu:0"
    if number is not None and len(same) > 1:
        return f"{keras_backend} sees {listed(same)}, not one of them; start in a new process, or use {asked.CHOOSING[0]}"
    return None


def unpinned(device: str) -> str | None:
    """Why this process does not run on the core of core:N alone; None where it does, and of other devices."""
    cores = asked.cores()
    if not asked.is_core(device) or cores == [asked.index(device)]:
        return None
    if not cores:
        return "this system pins no process to a core; use --device cpu"
    return f"this process runs on {counted_cores(cores)}, not on that one alone; `taskset -p $$` says which it may use"


def counted_cores(cores: Sequence[int]) -> str:
    """Cores in words: core 0; cores 0, 1."""
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"


def without_device() -> dict[str, Any]:
    """The part of `current` that is known without looking for devices: python to precision, but for the device itself."""
    name = backend()
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "keras": keras.__version__,
        "backend": name,
        "framework": f"{name} {importlib.import_module(name).__version__}",
        "numpy": np.__version__,
        "cpu": processor.name(),
        "cores": available_cores(),
        "memory_gib": memory_gib(),
        "precision": precision(),
    }


def current() -> dict[str, Any]:
    """The stack as a flat dict of strings and numbers, for JSON.

    Keys: python, platform, keras, backend, framework (name and version), numpy, device, cpu, cores, threads, memory_gib,
    precision; instructions, the processor's widest vectors, where they are known; keras_package, if it is not keras; onednn;
    xla, where it chooses what it compiles; of an accelerator that is used its api, capability, slice (of MIG), driver, cuda,
    cudnn, rocm or runtime as they run, tf32 or products, as far as the framework gives them; and unused, the accelerators
    that are there and not used.
    """
    facts = without_device()
    vectors = processor.instructions()
    if vectors:
        facts["instructions"] = vectors
    if keras.__name__ != "keras":  # tf_keras: see legacy_keras
        facts["keras_package"] = keras.__name__
    facts.update(_FRAMEWORK_FACTS[backend()]())
    return facts


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> int | None:
    """The machine's memory in GiB, rounded; None if the operating system does not give it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, OSError, ValueError):
        return None


def precision() -> str:
    """Name of the precision that layers compute in: Keras' dtype policy; in 2019 its floatx."""
    return keras.backend.floatx() if IS_2019 else str(keras.mixed_precision.global_policy().name)


def accelerators() -> list[Accelerator]:
    """Every accelerator that the framework knows, used or not."""
    return _FRAMEWORKS[backend()].accelerators()


def used() -> Accelerator | None:
    """The accelerator on which Keras puts variables if nothing says otherwise; None for the CPU."""
    return _FRAMEWORKS[backend()].used()


def located(tensor: Any) -> str:
    """Where a tensor or a variable of the backend really lies: CPU, or the `place` of an accelerator."""
    return str(_FRAMEWORKS[backend()].located(tensor))


def used_name() -> str:
    """Name of the device that Keras uses; CPU for the CPU."""
    here = used()
    return here.name if here else "CPU"


def gpus() -> list[str]:
    """Names of the GPUs of the kind that Keras uses; an empty list where it computes on the CPU or a TPU."""
    here = used()
    return [device.name for device in accelerators() if here and here.is_gpu and device.api == here.api and device.place]


def on_gpu() -> bool:
    """Whether this stack computes on another device than a CPU: its sums may then be in another order each time."""
    return bool(current()["device"] != "CPU")


def by_xla() -> bool:
    """Whether XLA compiles TensorFlow's steps although `compile` does not ask for it: on a GPU, or in clusters."""
    return backend() == "tensorflow" and (on_gpu() or "xla" in current())


def tf32_off() -> AbstractContextManager[None]:
    """Switch TF32 off during a block; no effect without a GPU. On a TPU, products are then in float32."""
    return _FRAMEWORKS[backend()].tf32_off()


def accelerator_facts(framework: Any) -> dict[str, Any]:
    """What is told of the accelerator that a framework's module of `devices` says is used, and of those that are not."""
    there, here = framework.accelerators(), framework.used()
    facts: dict[str, Any] = {"device": here.name if here else "CPU"}
    if here:
        capability = ".".join(str(part) for part in here.capability or ())
        told = {"api": here.api, "capability": capability, "slice": here.slice}
        facts.update({key: value for key, value in told.items() if value})
        facts.update(framework.libraries(here))
        facts.update(framework.tf32())
    rest = [device for device in there if not here or device.place != here.place]
    if rest:
        facts["unused"] = listed(rest)
    return facts


def _tensorflow_facts() -> dict[str, Any]:
    tensorflow = importlib.import_module("tensorflow")
    if of_tensorflow.before_2(tensorflow):
        here = of_tensorflow.used()
        return {"device": here.name if here else "CPU"}
    facts = accelerator_facts(of_tensorflow)
    facts["threads"] = tensorflow.config.threading.get_intra_op_parallelism_threads() or available_cores()
    facts["onednn"] = {"0": "off", "1": "on"}.get(os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""), "as built")
    if of_tensorflow.clusters():
        facts["xla"] = "clusters"
    return facts


def _jax_facts() -> dict[str, Any]:
    return {"threads": available_cores(), **accelerator_facts(of_jax)}


def _torch_facts() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    onednn = "as built" if torch.backends.mkldnn.is_available() else "off"
    return {"threads": torch.get_num_threads(), "onednn": onednn, **accelerator_facts(of_torch)}


_FRAMEWORKS: dict[str, Any] = {"tensorflow": of_tensorflow, "jax": of_jax, "torch": of_torch}
_FRAMEWORK_FACTS: dict[str, Callable[[], dict[str, Any]]] = {
    "tensorflow": _tensorflow_facts,
    "jax": _jax_facts,
    "torch": _torch_facts,
}
