"""`python -m tests.support.two_processes NAME`: train MODELS as the process of that name in PROCESSES does.

Prints digests of the weights as JSON: {"deterministic": bool, model: SHA-256 with seed 0, …, "another seed": SHA-256}.
"""

import functools
import hashlib
import json
import os
import subprocess
import sys

from cnnspec import mnist, pipeline, stack
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import backend, seed_everything
from cnnspec.facts import reading
from cnnspec.training import batch_size, compile_model, evaluate, fitting

SAMPLES = 300  # two whole batches and a part of one
ONE_THREAD = {
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true --xla_cpu_multi_thread_eigen=false",
}
MODELS = ("model1", "model4")  # unseeded initialisers and two dropouts; every kind of layer
HARNESSED = "model4"
# The second process trains HARNESSED by `training.fitting`, and with another seed too.
PROCESSES = ("first", "second")


@functools.cache
def started():
    """{name: running process} of the two that train the same; they are started once, by the first who asks.

    They take what the tests beside them leave of the processor.
    """
    found = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tests.support.two_processes", name],
            cwd=reading.PROJECT,
            env=os.environ | ONE_THREAD,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in PROCESSES
    }
    if hasattr(os, "setpriority"):
        # From here and not by preexec_fn, for which Python forks: JAX, multithreaded, warns of forks.
        for process in found.values():
            os.setpriority(os.PRIO_PROCESS, process.pid, 19)
    return found


def start_early(session):
    """Start the two processes beside the tests before them, if their tests are among those that will run here."""
    wanted = any(item.path.name == "test_determinism.py" for item in session.items)
    if wanted and not session.config.option.collectonly and "PYTEST_XDIST_WORKER" not in os.environ:
        for process in started().values():
            session.config.add_cleanup(process.kill)


def judge_late(items):
    """Put the tests that wait for the two processes behind all others."""
    items.sort(key=lambda item: item.path.name == "test_determinism.py")


def switch_determinism_on():
    """Switch deterministic kernels on where the backend has a switch; returns what the backend then says of it."""
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
    return not stack.gpus() or "xla_gpu_deterministic_ops=true" in os.environ.get("XLA_FLAGS", "")


def digest(model, seed, harness=False):
    """SHA-256 of all weights and of the losses: of the held-out digits first, of two epochs (shuffled, with dropout), and
    of the digits evaluated at the end."""
    whole = mnist.load("mnist5k")
    names = ("x_train", "y_train", "x_test", "y_test")
    data = whole._replace(**{name: getattr(whole, name)[:SAMPLES] for name in names})
    seed_everything(seed)
    built = ARCHITECTURES[model]()
    compile_model(built, **(pipeline.compile_settings() if harness else {}))
    losses = [evaluate(built, "test", data.x_test, data.y_test)["test_loss"]]
    plain = functools.partial(built.fit, data.x_train, data.y_train, batch_size=batch_size)
    fit = fitting(built, data) if harness else plain
    log = fit(epochs=2, verbose=0, validation_data=(data.x_test, data.y_test)).history
    losses += [*log["loss"], *log["val_loss"], evaluate(built, "train", data.x_train, data.y_train)["train_loss"]]
    told = ",".join(float(loss).hex() for loss in losses)
    return hashlib.sha256(b"".join(array.tobytes() for array in built.get_weights()) + told.encode()).hexdigest()


def main(name):
    found = {"deterministic": switch_determinism_on()}
    second = name == "second"
    found |= {model: digest(model, 0, harness=second and model == HARNESSED) for model in MODELS}
    if second:
        found["another seed"] = digest(HARNESSED, 1, harness=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
