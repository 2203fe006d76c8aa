"""The processes of replicas, and what they wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cnnspec import stack
from cnnspec.compat import backend
from cnnspec.devices import asked
from cnnspec.facts import reading
from tests.support import checks
from tests.support.replicas import setting, worker

MODULE = "tests.support.replicas.worker"
LONGEST = 900.0  # seconds for all of it; a replica that waits for another one waits forever
NEXT = "python -m tests.support.replicas.worker {} 0 FOLDER"


def variables(given: Mapping[str, str], replicas: int, rank: int, gpus: int) -> dict[str, str]:
    """Variables of a replica's process: the CPU where there are not enough GPUs for all; of PyTorch one GPU each."""
    found = dict(given)
    if gpus < replicas:
        asked.choose("cpu", found)
        if backend() == "jax":
            flags = [found.get("XLA_FLAGS", ""), f"--xla_force_host_platform_device_count={replicas}"]
            found["XLA_FLAGS"] = " ".join(filter(None, flags))
    elif backend() == "torch":
        found.pop(asked.VARIABLE, None)
        asked.choose(f"gpu:{rank}", found)
    if backend() == "torch":
        found["OMP_NUM_THREADS"] = str(max(1, stack.available_cores() // replicas))
    return found


def run(replicas: int, folder: Path) -> dict[str, np.ndarray]:
    """Start the processes, wait for them, and read what they computed: arrays by `step/who/what`."""
    __tracebackhide__ = True
    ranks = range(replicas if backend() == "torch" else 1)
    gpus = len(stack.gpus())
    started = []
    for rank in ranks:
        output = open(folder / f"replica-{rank}.log", "w+", encoding="utf-8")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(replicas), str(rank), str(folder)],
            cwd=reading.PROJECT,
            env=variables(os.environ, replicas, rank, gpus),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        started.append((rank, process, output))
    try:
        for rank, process, output in started:
            try:
                code = process.wait(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                code = None
            if code != 0:
                output.seek(0)
                how = f"said nothing more after {LONGEST:.0f} s" if code is None else f"exit code {code}"
                subject = f"{replicas} replicas by {setting.kind().by}: the process of rank {rank}: {how}"
                checks.fail(subject, output.read().splitlines()[-5:], next=NEXT.format(replicas))
    finally:
        for _, process, output in started:
            process.kill()
            process.wait()
            output.close()
    with np.load(folder / "numbers.npz") as stored:
        return dict(stored)


def numbers(found: Mapping[str, np.ndarray], name: str, who: str) -> setting.Numbers:
    """A step of `run`."""
    loss, gradients, moving = (of(found, f"{name}/{who}/{what}/") for what in ("loss", "gradient", "moving"))
    return setting.Numbers(float(loss[0]), gradients, moving)


def fitted(found: Mapping[str, np.ndarray], who: str) -> setting.Fitted:
    """The fit of `run`."""
    losses, weights = (of(found, f"{setting.FIT}/{who}/{what}/") for what in ("loss", "weight"))
    return setting.Fitted([float(loss) for loss in losses], weights)


def of(found: Mapping[str, np.ndarray], start: str) -> list[np.ndarray]:
    """The arrays whose names start so, in their order."""
    return [found[name] for name in sorted(found) if name.startswith(start)]


DEVICES = (worker.ONE, worker.ALL)
