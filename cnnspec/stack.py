"""The stack of this process: everything that could change a number.

The framework's facts come from its own module, found by the name of Keras' backend; unknown facts are left out.
"""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from cnnspec.compat import IS_2019, backend
from cnnspec.errors import DeviceMissing


def require(device: str) -> None:
    """Raise DeviceMissing if `device` is "gpu" and the framework can use no GPU."""
    if device == "gpu" and not gpus():
        raise DeviceMissing(
            f"--device gpu: Keras' backend {backend()} finds no GPU it can use; check nvidia-smi, CUDA_VISIBLE_DEVICES "
            f"and whether this is a GPU build, or use --device cpu"
        )


def current() -> dict[str, Any]:
    """The stack as a flat dict of strings and numbers, for JSON.

    Keys: python, platform, keras, backend, framework (name and version), numpy, device, cpu, cores, threads, memory_gib,
    precision; keras_package, if it is not keras; and onednn, tf32, cuda and cudnn as far as the framework gives them.
    """
    name = backend()
    facts = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "keras": keras.__version__,
        "backend": name,
        "framework": f"{name} {importlib.import_module(name).__version__}",
        "numpy": np.__version__,
        "cpu": cpu_model(),
        "cores": available_cores(),
        "memory_gib": memory_gib(),
        "precision": precision(),
    }
    if keras.__name__ != "keras":  # tf_keras: see legacy_keras
        facts["keras_package"] = keras.__name__
    facts.update(_FRAMEWORK_FACTS[name]())
    return facts


def describe(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Two lines of text about a stack: versions, then hardware and precision."""
    extras = "".join(f", {key} {facts[key]}" for key in ("cuda", "cudnn", "onednn", "tf32") if key in facts)
    package = f" ({facts['keras_package']})" if "keras_package" in facts else ""
    cores = "1 core" if facts["cores"] == 1 else f"{facts['cores']} cores"
    return (
        f"{facts['framework']}, Keras {facts['keras']}{package}, NumPy {facts['numpy']}, Python {facts['python']} "
        f"on {facts['platform']}",
        f"{facts['device']} ({facts['cpu']}, {cores}, {facts['memory_gib']} GiB), {facts['precision']}{extras}",
    )


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, from the operating system."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown CPU"


def memory_gib() -> int | None:
    """The machine's memory in GiB, rounded; None if the operating system does not give it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, OSError, ValueError):
        return None


def precision() -> str:
    """Name of the precision that layers compute in: Keras' dtype policy; in 2019 its floatx."""
    return keras.backend.floatx() if IS_2019 else str(keras.mixed_precision.global_policy().name)


def gpus() -> list[str]:
    """Names of the GPUs that the framework can use; an empty list without a GPU."""
    return _GPUS[backend()]()


def on_gpu() -> bool:
    """Whether this stack computes on another device than a CPU: its sums may then be in another order each time."""
    return bool(current()["device"] != "CPU")


@contextmanager
def tf32_off() -> Iterator[None]:
    """Switch TF32 off during the block; no effect without a GPU."""
    name = backend()
    framework = importlib.import_module(name)
    if name == "tensorflow":
        switch = framework.config.experimental
        before = switch.tensor_float_32_execution_enabled()
        switch.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            switch.enable_tensor_float_32_execution(before)
    elif name == "jax":
        with framework.default_matmul_precision("highest"):
            yield
    else:
        switches = (framework.backends.cuda.matmul, framework.backends.cudnn)
        before = [switch.allow_tf32 for switch in switches]
        for switch in switches:
            switch.allow_tf32 = False
        try:
            yield
        finally:
            for switch, value in zip(switches, before):
                switch.allow_tf32 = value


def _before_2(tensorflow: Any) -> bool:
    """Whether this is TensorFlow 1, whose `config` tells nothing yet (1.15) or is not there (1.13)."""
    return str(tensorflow.__version__).startswith("1.")


def _tensorflow_gpus() -> list[str]:
    tensorflow = importlib.import_module("tensorflow")
    if _before_2(tensorflow):
        return [tensorflow.test.gpu_device_name()] if tensorflow.test.is_gpu_available() else []
    devices = tensorflow.config.list_physical_devices("GPU")
    details = [tensorflow.config.experimental.get_device_details(device) for device in devices]
    return [detail.get("device_name", "GPU") for detail in details]


def _tensorflow_facts() -> dict[str, Any]:
    tensorflow = importlib.import_module("tensorflow")
    facts: dict[str, Any] = {"device": _first(gpus())}
    if _before_2(tensorflow):
        return facts
    facts["threads"] = tensorflow.config.threading.get_intra_op_parallelism_threads() or available_cores()
    facts["onednn"] = {"0": "off", "1": "on"}.get(os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""), "as built")
    if gpus():
        build = tensorflow.sysconfig.get_build_info()
        facts["cuda"], facts["cudnn"] = build.get("cuda_version", "none"), build.get("cudnn_version", "none")
        facts["tf32"] = "on" if tensorflow.config.experimental.tensor_float_32_execution_enabled() else "off"
    return facts


def _jax_gpus() -> list[str]:
    devices = importlib.import_module("jax").devices()
    return [device.device_kind for device in devices if device.platform == "gpu"]


def _jax_facts() -> dict[str, Any]:
    jax = importlib.import_module("jax")
    facts: dict[str, Any] = {"device": _first(gpus()), "threads": available_cores()}
    if gpus():
        facts["cuda"] = jax.devices()[0].client.platform_version.replace("\n", " ")
        matmul = jax.config.jax_default_matmul_precision
        facts["tf32"] = "off" if matmul in ("highest", "float32") else str(matmul or "as JAX ships it")
    return facts


def _torch_gpus() -> list[str]:
    cuda = importlib.import_module("torch").cuda
    return [cuda.get_device_name(index) for index in range(cuda.device_count())] if cuda.is_available() else []


def _torch_facts() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    facts: dict[str, Any] = {"device": _first(gpus()), "threads": torch.get_num_threads()}
    facts["onednn"] = "as built" if torch.backends.mkldnn.is_available() else "off"
    if gpus():
        facts["cuda"], facts["cudnn"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
        facts["tf32"] = "on" if torch.backends.cudnn.allow_tf32 else "off"
    return facts


def _first(names: list[str]) -> str:
    return names[0] if names else "CPU"


_GPUS: dict[str, Callable[[], list[str]]] = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}
_FRAMEWORK_FACTS: dict[str, Callable[[], dict[str, Any]]] = {
    "tensorflow": _tensorflow_facts,
    "jax": _jax_facts,
    "torch": _torch_facts,
}
