"""`python -m tests.support.two_processes NAME` trains TRAINED and draws DRAWN; NAME is one of PROCESSES.

It prints JSON: {"deterministic": bool, "device": its name, "path": how its steps are compiled, TRAINED: SHA-256 of weights
and losses with seed 0, DRAWN: SHA-256 of what seed 0 draws, "kernels of two seeds": two SHA-256}. What determinism needs on
each device: `determinism.py`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import keras
import numpy as np

from cnnspec import memory, mnist, pipeline, stack
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import backend, draw, seed_everything
from cnnspec.facts import reading
from cnnspec.training import batch_size, compile_model, evaluate, fitting
from tests.support import determinism
from tests.support.numerics import as_numpy

if TYPE_CHECKING:
    import pytest

SAMPLES = 300  # two full batches and a partial one
# Every kind of layer; the first process trains it by Keras' own fit of arrays, the second by `training.fitting`.
TRAINED = "model4"
DRAWN = "model1"  # no kernel of it has a seed of its own, and it has two dropouts
MODELS = (DRAWN, TRAINED)
PROCESSES = ("first", "second")
UNSEEDED = "drawn without a seed"
SEEDS = "kernels of two seeds"
BESIDE = 5  # niceness beside the other tests; with 19 they would hardly run where other jobs share the machine


@functools.cache
def started() -> dict[str, subprocess.Popen[str]]:
    """{name: process} of the two that train the same. The first call starts them."""
    found = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tests.support.two_processes", name, str(os.getpid())],
            cwd=reading.PROJECT,
            env=determinism.environment(os.environ, stack.used()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in PROCESSES
    }
    return found


def start_early(session: pytest.Session) -> None:
    """Start the two processes before all tests, if the tests that need them will run in this process."""
    wanted = any(item.path.name == "test_determinism.py" for item in session.items)
    if wanted and not session.config.option.collectonly and "PYTEST_XDIST_WORKER" not in os.environ:
        for process in started().values():
            session.config.add_cleanup(process.kill)
            give_way(process.pid)


def give_way(process: int) -> None:
    """Let a process have at least the niceness BESIDE, where the system knows one and allows it.

    It is not set with preexec_fn: Python would fork, and JAX warns of forks of a multithreaded process.
    """
    if not hasattr(os, "setpriority"):
        return
    with suppress(OSError):  # to be nice is no condition; some sandboxes forbid the call
        own = os.getpriority(os.PRIO_PROCESS, process)
        os.setpriority(os.PRIO_PROCESS, process, max(own, BESIDE))  # only root may make it smaller


def switch_determinism_on() -> bool:
    """Switch deterministic kernels on, where the backend has a switch; returns whether the backend says that they are on."""
    if determinism.impossible(stack.used()):
        return False
    if backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
        from tensorflow.python.framework import config

        return config.is_op_determinism_enabled()
    if backend() == "torch":
        import torch

        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        return torch.are_deterministic_algorithms_enabled()
    return True  # JAX on a CPU has no switch: one thread adds in one order


_paths: list[str] = []  # of the models that this process trained


def digest(model: str, seed: int, harness: bool = False) -> str:
    """SHA-256 of all weights and losses of a training of two epochs, shuffled and with dropout.

    The losses: of the test set before training, of each epoch, and of the train set at the end.
    """
    whole = mnist.load("mnist5k")
    names = ("x_train", "y_train", "x_test", "y_test")
    data = whole._replace(**{name: getattr(whole, name)[:SAMPLES] for name in names})
    seed_everything(seed)
    built = ARCHITECTURES[model]()
    settings = pipeline.compile_settings() if harness else {"variables": False}
    compile_model(built, **determinism.compile_settings(stack.used()), **settings)
    losses = [evaluate(built, "test", data.x_test, data.y_test)["test_loss"]]
    plain = functools.partial(built.fit, data.x_train, data.y_train, batch_size=batch_size)
    fit = fitting(built, data) if harness else plain
    _paths.append(determinism.path_of(built))
    log = fit(epochs=2, verbose=0, validation_data=(data.x_test, data.y_test)).history
    losses += [*log["loss"], *log["val_loss"], evaluate(built, "train", data.x_train, data.y_train)["train_loss"]]
    text = ",".join(float(loss).hex() for loss in losses)
    return sha256(*built.get_weights(), text.encode())


def sha256(*parts: np.ndarray | bytes) -> str:
    """SHA-256 of the bytes of all parts."""
    return hashlib.sha256(b"".join(map(bytes, parts))).hexdigest()


def drawn(seed: int) -> tuple[str, str]:
    """Two SHA-256 of what DRAWN draws after `seed`: of its weights to start with; of these and an output with dropout."""
    seed_everything(seed)
    built = ARCHITECTURES[DRAWN]()
    output = as_numpy(built(mnist.load("mnist5k").x_train[:8], training=True))
    weights = built.get_weights()
    return sha256(*weights), sha256(*weights, output)


def unseeded() -> str:
    """SHA-256 of what a process draws that sets no seed: a kernel of Glorot's initialiser, and numbers of NumPy."""
    kernel = draw(keras.initializers.GlorotUniform(), (4, 4))
    return sha256(np.asarray(kernel), np.random.rand(4))


def end_with(parent: int) -> None:
    """End this process when its parent ends, also where that one was killed and could not end it."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(name: str, parent: str = "") -> None:
    """Train as the process `name` does, and print the digests; `parent` is the number of the process that waits for them."""
    if parent:
        end_with(int(parent))
    memory.keep()
    stack.settle()
    found: dict[str, bool | str | list[str]] = {UNSEEDED: unseeded()}  # before anything sets a seed
    found |= {"deterministic": switch_determinism_on(), "device": stack.used_name()}
    kernels, draws = drawn(0)
    found |= {TRAINED: digest(TRAINED, 0, harness=name == "second"), DRAWN: draws}
    if name == "second":
        found[SEEDS] = [kernels, drawn(1)[0]]
    print(json.dumps(found | {"path": determinism.path(_paths)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
