"""A worker of replicas with a fault in the framework, that of the variable FAULT: one of FAULTS.

Only one step is computed, that with NaN for the fault of that name. One device alone stays healthy.
"""

import os
import sys

import numpy as np

from cnnspec.compat import backend
from tests.support.replicas import setting, worker

FAULTS = ("wrong count", "dropped", "shifted", "NaN swallowed")
FAULT = os.environ.get("FAULT", "")


def kept_steps(fault):
    """The steps that show a fault."""
    return {name: step for name, step in setting.STEPS.items() if name == "a step" or (step.nan and fault == FAULTS[3])}


def on_tensorflow():
    """In the reduction of MirroredStrategy and in Keras' scaling of the loss."""
    import tensorflow as tf
    from keras.src.losses import loss as losses

    from tests.support.replicas import by_tensorflow

    if FAULT == "wrong count":
        losses.scale_loss_for_distribution = lambda value: value
    reduce_all, made = tf.distribute.ReplicaContext.all_reduce, by_tensorflow.Replicas.made

    def all_reduce(self, how, value, options=None):
        if self.num_replicas_in_sync == 1:
            return reduce_all(self, how, value, options)
        first = tf.cast(tf.equal(self.replica_id_in_sync_group, 0), tf.float32)
        faults = {"dropped": lambda g: g * first, "NaN swallowed": lambda g: tf.where(tf.math.is_nan(g), 0.0, g)}
        return reduce_all(self, how, tf.nest.map_structure(faults.get(FAULT, lambda g: g), value), options)

    tf.distribute.ReplicaContext.all_reduce = all_reduce

    def shifted(self, build):
        model = made(self, build)
        step = model.train_step

        def rolled(data):
            second = tf.distribute.get_replica_context().replica_id_in_sync_group
            return step((tf.roll(data[0], second, axis=0), *data[1:]))

        model.train_step = rolled
        return model

    if FAULT == "shifted":
        by_tensorflow.Replicas.made = shifted


def on_jax():
    """In the gradients that Keras' trainer gets, and in the data of the second half of a batch."""
    import jax
    import keras
    from jax import numpy as jnp

    from tests.support.replicas import by_jax

    gradients, made = jax.value_and_grad, by_jax.Replicas.made
    faults = {"wrong count": lambda g: 2 * g, "NaN swallowed": jnp.nan_to_num}

    def value_and_grad(function, **given):
        def found(*arguments, **words):
            value, mine = gradients(function, **given)(*arguments, **words)
            change = faults.get(FAULT) if keras.distribution.distribution() else None
            return value, jax.tree.map(change, mine) if change else mine

        return found

    jax.value_and_grad = value_and_grad

    def with_other_data(self, build):
        model = made(self, build)
        step = model.train_step

        def changed(state, data):
            x, y = data[:2]
            half = len(x) // 2
            if FAULT == "shifted":
                return step(state, (jnp.concatenate([x[:half], jnp.roll(x[half:], 1, axis=0)]), y, None))
            weights = jnp.where(jnp.arange(len(x)) < half, 1.0, 0.0)
            return step(state, (x, y, weights))

        model.train_step = changed
        return model

    if FAULT in ("shifted", "dropped"):
        by_jax.Replicas.made = with_other_data


def on_torch():
    """In the hook that DistributedDataParallel adds gradients with."""
    import torch

    from tests.support.replicas import by_torch

    parallel, step = torch.nn.parallel.DistributedDataParallel, by_torch.Replicas.step
    made = parallel.__init__

    def hook(state, bucket):
        mine = bucket.buffer()
        if FAULT == "dropped" and torch.distributed.get_rank():
            mine.zero_()
        if FAULT == "NaN swallowed":
            mine.nan_to_num_()
        mine.div_(1 if FAULT == "wrong count" else torch.distributed.get_world_size())
        return torch.distributed.all_reduce(mine, async_op=True).get_future().then(lambda done: done.value()[0])

    def init(self, *arguments, **given):
        made(self, *arguments, **given)
        self.register_comm_hook(None, hook)

    def shifted(self, together, model, x, y):
        return step(self, together, model, np.roll(x, self.rank, axis=0), y)

    parallel.__init__ = init
    if FAULT == "shifted":
        by_torch.Replicas.step = shifted


if __name__ == "__main__":
    {"tensorflow": on_tensorflow, "jax": on_jax, "torch": on_torch}[backend()]()
    kept = kept_steps(FAULT)
    setting.STEPS.clear()
    setting.STEPS.update(kept)
    worker.fit = lambda replicas: {}
    worker.main(sys.argv[1:])
