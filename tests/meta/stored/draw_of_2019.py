"""Trainings by today's TensorFlow from the kernels that 2019's stack draws, stored like an ensemble.

`python -m tests.meta.stored.draw_of_2019 --mnist mnist.npz --out baselines/ensembles/mnist-2019-draw` trains model2 on full
MNIST for ten epochs, a process for each run. With the runs of `mnist-2019` they separate the draw of weights from the stack.
It goes on with what is missing.
"""

import argparse
import math
import subprocess
import sys
from pathlib import Path

MODEL = "model2"  # the only model whose every kernel has a seed in the notebook, and no moving averages
GRAPH_SEED = 87654321  # TensorFlow's, of an operation that has a seed in a graph that has none
SEED = 1  # he_uniform(seed=1)


def he_uniform(shape):
    """The kernel of `shape` that Keras 2.2.4 on TensorFlow 1.13.1 draws by `he_uniform(seed=1)`: ±√(6/fan_in), uniform."""
    import tensorflow as tf

    limit = math.sqrt(6 / math.prod(shape[:-1]))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        drawn = tf.raw_ops.RandomUniform(shape=shape, dtype=tf.float32, seed=GRAPH_SEED, seed2=SEED)
        return session.run(drawn * (2 * limit) - limit)


def draw(model, _seed):
    """Put 2019's kernels into a model, in the place of `training.redraw_kernels`."""
    for layer in model.layers:
        if layer.get_weights():
            kernel, bias = layer.get_weights()
            layer.set_weights([he_uniform(kernel.shape), bias])


def train(seed, mnist_path, out):
    """Train with a seed in this process, and store the run: its kernels are not drawn from its own seed."""
    from cnnspec import memory, mnist, training
    from cnnspec.ensembles import store

    memory.keep()
    training.redraw_kernels = draw
    data = mnist.load("mnist", mnist_path)
    run = training.train(MODEL, data, seed=seed, redraw=True, verbose=0)
    run.redrawn = False
    store.append(out / f"{MODEL}.csv", run)
    print(f"seed {seed}: test loss {run.scores['test_loss']:.4f}, train loss {run.scores['train_loss']:.4f}", flush=True)


if __name__ == "__main__":
    from cnnspec.ensembles import store

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", required=True, type=Path, help="full MNIST")
    parser.add_argument("--runs", type=int, default=12, help="seeds (12)")
    parser.add_argument("--seed", type=int, help="this seed alone, in this process")
    parser.add_argument("--out", required=True, type=Path, help="folder of the stored runs; what it holds already is kept")
    options = parser.parse_args()
    if options.seed is not None:
        train(options.seed, options.mnist, options.out)
    else:
        for number in sorted(set(range(options.runs)) - store.seeds(options.out / f"{MODEL}.csv")):
            subprocess.run([sys.executable, "-m", __spec__.name, *sys.argv[1:], "--seed", str(number)], check=True)
