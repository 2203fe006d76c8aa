"""Faults of accelerators and their libraries, imitated on a CPU, each only under its real condition."""

from keras import layers

from tests.meta.faults.catalogue.changing import FITTING, chance, in_training, while_fitting
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import batch_of, passed_back, symbolic, tf, wrapped


def convolution(change):
    """Another inner operation of convolutions: change(layer, inputs, kernel, original) -> outputs."""

    def make(original):
        def convolution_op(self, inputs, kernel):
            if symbolic(inputs):
                return original(self, inputs, kernel)
            return change(self, inputs, kernel, original)

        return convolution_op

    wrapped(layers.Conv2D, "convolution_op", make)


@fault(kind="rare", source="made; a copy to the device that races with the step", words="intermittent: step")
def copy_race_in_one_of_twenty_steps():
    """In one step of twenty the first convolution of a training sees images that have moved by one place."""

    def change(layer, inputs, kernel, original):
        if inputs.shape[-1] == 1 and in_training():
            inputs = tf.cond(chance(1 / 20), lambda: tf.roll(inputs, 1, 0), lambda: tf.convert_to_tensor(inputs))
        return original(layer, inputs, kernel)

    convolution(change)


@fault(
    kind="conditional",
    source="https://github.com/pytorch/pytorch/issues/177116 (MPS, above 32,768 elements)",
    words="conv2d_",
)
def gradient_after_another_batch_size():
    """A convolution's kernel gradient is 1,000 times too large at a batch above 96 after one of another size."""
    last = {}

    def change(layer, inputs, kernel, original):
        if id(layer) not in last:
            with tf.init_scope():
                last[id(layer)] = tf.Variable(0, trainable=False)
        before = last[id(layer)]

        def larger(gradient):
            size = batch_of(inputs)
            struck = (before != 0) & (before != size) & (size > 96)
            with tf.control_dependencies([struck]):
                before.assign(size)
            return tf.where(struck, 1000.0 * gradient, gradient)

        return original(layer, inputs, passed_back(tf.convert_to_tensor(kernel), larger))

    convolution(change)


@fault(kind="rare", source="made; silent data corruption of a core, on certain operands only", words="conv2d_")
def low_bits_wrong_for_some_operands():
    """Of a convolution's outputs those with one pattern in 20 of their bits lose their lowest 12 bits."""

    def change(layer, inputs, kernel, original):
        outputs = original(layer, inputs, kernel)
        bits = tf.bitcast(tf.stop_gradient(outputs), tf.int32)
        struck = tf.bitwise.bitwise_and(bits, 0xFFFFF) == 0x5A5A5
        wrong = tf.bitcast(tf.bitwise.bitwise_and(bits, -4096), tf.float32)
        return outputs + tf.stop_gradient(tf.where(struck, wrong - outputs, tf.zeros_like(outputs)))

    convolution(change)


@fault(kind="conditional", source="made; Metal's _FusedMatMul(BiasAdd, Relu)", words="dense_")
def relu_before_bias_when_compiled():
    """Compiled, Dense adds its bias after ReLU; eagerly it is right."""

    def make(original):
        def call(self, inputs, training=None):
            relu = getattr(self.activation, "__name__", "") == "relu"
            if symbolic(inputs) or tf.executing_eagerly() or not relu:
                return original(self, inputs, training=training)
            return tf.nn.relu(tf.matmul(inputs, tf.convert_to_tensor(self.kernel))) + tf.convert_to_tensor(self.bias)

        return call

    wrapped(layers.Dense, "call", make)


@fault(
    kind="conditional",
    source="made; an all-reduce that sums where it should average the odd batch",
    words=("Dense/kernel", "used too often or too strongly"),
)
def last_batch_gradient_doubled():
    """Inside `fit` the kernel gradients of Dense are twice as large at a batch of 32."""
    while_fitting()

    def make(original):
        def call(self, inputs, training=None):
            if symbolic(inputs) or not FITTING["now"]:
                return original(self, inputs, training=training)
            size = batch_of(inputs)
            kernel = passed_back(
                tf.convert_to_tensor(self.kernel), lambda gradient: tf.where(size == 32, 2.0 * gradient, gradient)
            )
            outputs = tf.matmul(inputs, kernel)
            outputs = outputs + tf.convert_to_tensor(self.bias) if self.use_bias else outputs
            return self.activation(outputs) if self.activation is not None else outputs

        return call

    wrapped(layers.Dense, "call", make)
