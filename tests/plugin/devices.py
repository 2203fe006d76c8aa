"""Devices and threads of this process, shared out among pytest-xdist's workers before the framework is imported."""

import contextlib
import os
import subprocess

import pytest

from tests.plugin import group


def pytest_addoption(parser):
    share_out()  # here, because it is the first hook that runs: the framework reads these when it is imported
    group(parser).addoption(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto: a GPU where there is one (default); cpu: hide GPUs; gpu: fail without one",
    )
    group(parser).addoption(
        "--tf32",
        choices=("as-shipped", "off"),
        default="as-shipped",
        help="off: switch TF32 off on a GPU that has it, until the run ends (default: as the framework ships it)",
    )


def pytest_configure(config):
    choose(config.option.device)


def pytest_sessionstart(session):
    require(session.config.option.device)
    set_tf32(session.config)


def pytest_report_header():
    """Lines of pytest's header: the stack under test."""
    from cnnspec import stack

    return [f"stack: {line}" for line in stack.describe(stack.current())]


def share_out(environment=os.environ):
    """Settings that libraries read when they are imported. A setting that the user made stays.

    An xdist worker gets its share of the CPU cores and, where there are several GPUs, one of them.
    """
    environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes may share a GPU under JAX,
    environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # and under TensorFlow: the first would take all its memory
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # 0 prints a line per library loaded
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads would spin against the framework's
    worker = environment.get("PYTEST_XDIST_WORKER", "")
    if not worker.startswith("gw"):
        return
    index, workers = int(worker[2:]), int(environment["PYTEST_XDIST_WORKER_COUNT"])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, cores // workers))
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        environment.setdefault(variable, threads)
    gpus = visible_gpus(environment)
    if len(gpus) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]


def visible_gpus(environment):
    """Identifiers of the GPUs that this process may use, asked of the environment, else of nvidia-smi."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        return [gpu for gpu in environment["CUDA_VISIBLE_DEVICES"].split(",") if gpu not in ("", "-1")]
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(index) for index, _ in enumerate(listing.stdout.splitlines())] if listing.returncode == 0 else []


def choose(device, environment=os.environ):
    """With `--device cpu`, hide every GPU from the framework, which is not imported yet."""
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
        environment["JAX_PLATFORMS"] = "cpu"


def require(device):
    """Stop the run, as failed, when a GPU was asked for and the framework can use none."""
    from cnnspec import stack
    from cnnspec.errors import DeviceMissing

    try:
        stack.require(device)
    except DeviceMissing as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


def set_tf32(config):
    """With `--tf32 off`, switch TF32 off until the run ends."""
    if config.option.tf32 == "off":
        from cnnspec import stack

        opened = contextlib.ExitStack()
        opened.enter_context(stack.tf32_off())
        config.add_cleanup(opened.close)
