"""The update rules of the optimizers in float64: one array at a time, or all arrays of a model."""

import numpy as np


def sgd_update(weight, gradient, slots=None, *, learning_rate):
    """(weight - learning_rate gradient, ()): plain gradient descent has no slots."""
    return np.asarray(weight, np.float64) - learning_rate * np.asarray(gradient, np.float64), ()


def adam_update(weight, gradient, slots=None, *, learning_rate, beta_1, beta_2, epsilon):
    """(new weight, new slots) of one array; slots are (m, v, step), and None, all 0, before the first step.

    step += 1, m = beta_1 m + (1 - beta_1) g, v = beta_2 v + (1 - beta_2) g^2,
    w -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon). Source: Kingma & Ba
    2015, algorithm 1, in the order at the end of section 2, as Keras does: epsilon is "epsilon hat".
    """
    weight, gradient = np.asarray(weight, np.float64), np.asarray(gradient, np.float64)
    m, v, step = slots or (np.zeros_like(weight), np.zeros_like(weight), 0)
    step += 1
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    rate = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    return weight - rate * m / (np.sqrt(v) + epsilon), (m, v, step)


def optimize(update, weights, gradients, slots=None, **hyperparameters):
    """(new weights, new slots): `update` of every array of every layer whose gradient is not None."""
    slots = slots or [[None] * len(group) for group in weights]
    updated = [
        [(w, s) if g is None else update(w, g, s, **hyperparameters) for w, g, s in zip(*layer, strict=True)]
        for layer in zip(weights, gradients, slots, strict=True)
    ]
    return [[w for w, _ in layer] for layer in updated], [[s for _, s in layer] for layer in updated]
