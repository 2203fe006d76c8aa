"""What each backend needs to give the same bits twice, what it cannot give, and which path was then tested.

On a CPU one thread adds in one order. On GPUs, by documentation and by reports; JAX and PyTorch ran on an H100:

- TensorFlow: `enable_op_determinism`. XLA has then no gradient of max pooling (tensorflow#69417). Keras 3.0 to 3.3 compile
  with XLA on a GPU if nothing is said, so it is switched off; later Keras and Keras 2 do not use it there.
- JAX: `--xla_gpu_deterministic_ops` refuses the same gradient (flax#4233), and every model here has max pooling. What can be
  had is one choice of algorithms: no autotuning.
- PyTorch: `use_deterministic_algorithms`, and CUBLAS_WORKSPACE_CONFIG before CUDA starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.devices.accelerators import Accelerator

ONE_THREAD = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
XLA_ON_CPU = "--xla_cpu_multi_thread_eigen=false"
XLA_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
XLA_NOT_TUNED = "--xla_gpu_autotune_level=0"
CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # one of the two values that NVIDIA names as deterministic
JAX_CANNOT = (
    "JAX on a GPU has no deterministic gradient of max pooling (UNIMPLEMENTED with --xla_gpu_deterministic_ops), and every "
    "model here has max pooling; asked for was one choice of algorithms, --xla_gpu_autotune_level=0"
)
BY_XLA = (3, 0), (3, 3)  # Keras that compiles with XLA on a GPU, also where determinism is on


def needs_seeds() -> bool:
    """Whether the user switched TensorFlow's deterministic operations on: random ones without a seed are errors then."""
    if backend() != "tensorflow":
        return False
    from tensorflow.python.framework import config

    return bool(config.is_op_determinism_enabled())


def environment(variables: Mapping[str, str], device: Accelerator | None) -> dict[str, str]:
    """`variables`, and those that a process needs to give the same bits twice on `device`, None for the CPU.

    Flags of XLA that the user has set stay; ours come after them, because XLA takes the last of each.
    """
    flags = [variables.get("XLA_FLAGS", ""), XLA_ON_CPU]
    if backend() == "jax":
        flags += [XLA_NOT_TUNED] if impossible(device) else []
    else:
        flags += [XLA_DETERMINISTIC]
    return {**variables, **ONE_THREAD, **CUBLAS, "XLA_FLAGS": " ".join(filter(None, flags))}


def impossible(device: Accelerator | None) -> str:
    """Why the backend cannot promise the same bits twice on `device`; empty where it can."""
    return JAX_CANNOT if backend() == "jax" and device is not None and device.is_gpu else ""


def compile_settings(device: Accelerator | None) -> dict[str, Any]:
    """Settings of `compile` without which determinism on `device` ends in an error."""
    oldest, newest = BY_XLA
    if backend() == "tensorflow" and device is not None and oldest <= KERAS_VERSION <= newest:
        return {"jit_compile": False}
    return {}


def path_of(model: Any) -> str:
    """How the steps of a compiled model run: by XLA, compiled without it, or eagerly."""
    if getattr(model, "run_eagerly", False) or backend() == "torch":
        return "eager steps" if not getattr(model, "jit_compile", False) else "steps of torch.compile"
    return "steps by XLA" if getattr(model, "jit_compile", False) or backend() == "jax" else "compiled steps without XLA"


def path(paths: Sequence[str]) -> str:
    """The path of all models of a process; several where they differ."""
    return " and ".join(dict.fromkeys(paths))
