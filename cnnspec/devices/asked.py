"""What --device asks for, and the variables that grant it before the framework is imported. Needs no framework.

`--device cpu` hides every accelerator that a variable can hide. Metal it cannot: `of_tensorflow.hide` does that. `gpu:3` is
the GPU at place 3 of those that the user left visible, counted from 0. `core:3` is one thread of the CPU, pinned to core 3.
`each` is every GPU or, on a CPU, every core, one after the other: only `cnnspec.each` and the soak can do that.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import Mapping, MutableMapping

VARIABLE = "CNNSPEC_DEVICE"  # what was asked for; the processes that a run starts read it
# By documentation: CUDA and HIP take an index that is none as the end of the list; SYCL's filter leaves its CPU devices;
# JAX has its platforms, and Keras on PyTorch its device.
HIDDEN = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "ONEAPI_DEVICE_SELECTOR": "*:cpu",
    "JAX_PLATFORMS": "cpu",
    "KERAS_TORCH_DEVICE": "cpu",
    VARIABLE: "cpu",
}
SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}  # JAX's variable and TensorFlow's
CHOOSING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")  # of NVIDIA's, AMD's and Intel's GPUs
NONE = "-1"
EACH = "each"
ONE_THREAD = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
METAVAR = "auto|cpu|gpu|gpu:N|core:N"


def device(text: str) -> str:
    """The value of --device, for argparse: auto, cpu, gpu, gpu:N or core:N."""
    if not re.match(r"(auto|cpu|gpu(:\d+)?|core:\d+)$", text):
        raise argparse.ArgumentTypeError(f"{text} is no device; give auto, cpu, gpu, gpu:N or core:N with N counted from 0")
    return text


def device_or_each(text: str) -> str:
    """The value of --device where every device can be asked for, too."""
    return text if text == EACH else device(text)


def index(device: str) -> int | None:
    """N of gpu:N and core:N; None of auto, cpu and gpu."""
    number = device.partition(":")[2]
    return int(number) if number else None


def choose(device: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables that grant `device`. Call it, and `pin`, before the framework is imported.

    A process that this one starts finds its GPU chosen, and is given the same words: it must not choose again among one.
    """
    if on_cpu(device):
        environment.update(HIDDEN)
        environment[VARIABLE] = device
    if is_core(device):
        environment.update(ONE_THREAD)
        return
    wanted = index(device)
    if wanted is None or environment.get(VARIABLE) == device:
        return
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # nvidia-smi's order; CUDA's own has the fastest first
    for variable in CHOOSING:
        there = left_visible(variable, environment)
        if there is None:
            environment[variable] = str(wanted)
        else:
            environment[variable] = there[wanted] if wanted < len(there) else NONE
    pinned = re.match(r"(cuda|xpu):\d+$", environment.get("KERAS_TORCH_DEVICE", ""))
    if pinned:  # the chosen one is now the only one
        environment["KERAS_TORCH_DEVICE"] = pinned.group(1)
    environment[VARIABLE] = device


def share_memory(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let several processes share a GPU, of which JAX and TensorFlow would take all memory: a further one finds no device.

    A setting that the user made stays. Call it before the framework is imported.
    """
    for variable, value in SHARED.items():
        environment.setdefault(variable, value)


def is_core(device: str) -> bool:
    """Whether a device is one core of the CPU."""
    return device.startswith("core:")


def on_cpu(device: str) -> bool:
    """Whether a device is the CPU or one core of it."""
    return device == "cpu" or is_core(device)


def cores() -> list[int]:
    """The cores that this process may use, as the system counts them; empty where a process cannot be pinned."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(device: str) -> None:
    """Let this process run on the core of core:N alone; nothing for other devices. `stack.require` sees whether it does.

    Threads that are there already, such as those of NumPy, are pinned too. Linux alone can do it.
    """
    if not is_core(device) or not hasattr(os, "sched_setaffinity"):
        return
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        threads = [0]
    for thread in threads:
        try:
            os.sched_setaffinity(thread, {index(device)})  # type: ignore[arg-type]
        except OSError:  # it has ended, or this core is none that the process may use
            continue


def left_visible(variable: str, environment: Mapping[str, str]) -> list[str] | None:
    """Identifiers of the GPUs that a variable of CHOOSING leaves visible; None where nothing tells."""
    if variable in environment:
        return [gpu for gpu in environment[variable].split(",") if gpu not in ("", NONE)]
    return (visible_gpus(environment) or None) if variable == "CUDA_VISIBLE_DEVICES" else None


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Identifiers of the GPUs of NVIDIA that this process may use, from CUDA_VISIBLE_DEVICES, else from nvidia-smi.

    A GPU that is divided by MIG is given as its slices. CUDA shows a process one slice at most.
    """
    if "CUDA_VISIBLE_DEVICES" in environment:
        return [gpu for gpu in environment["CUDA_VISIBLE_DEVICES"].split(",") if gpu not in ("", NONE)]
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return of_listing(listing.stdout) if listing.returncode == 0 else []


def of_listing(text: str) -> list[str]:
    """Identifiers of the GPUs that `nvidia-smi --list-gpus` printed: the index of each, or the UUIDs of its MIG slices."""
    found: list[list[str]] = []
    for line in text.splitlines():
        gpu, slice_ = re.match(r"GPU (\d+):", line), re.match(r"\s+MIG .*UUID: (MIG-[^)]+)", line)
        if gpu:
            found.append([gpu.group(1)])
        elif slice_ and found:
            whole = [name for name in found[-1] if not name.startswith("MIG-")]
            found[-1] = [name for name in found[-1] if name not in whole] + [slice_.group(1)]
    return [name for names in found for name in names]
