"""Does a step of tests/support/bench.py start from the drawn weights, whatever the step before it left?"""

import keras
import numpy as np

from tests.support import bench


def test_nothing_of_a_step_is_left_for_the_next(monkeypatch):
    """After a step on NaN, with an optimizer that keeps its gradients in slots, a clean step gives what it gave before."""
    sgd = keras.optimizers.SGD
    monkeypatch.setattr(keras.optimizers, "SGD", lambda rate: sgd(rate, momentum=0.5))
    places = [place for place in bench.places() if place.kind == "Dense with softmax"][:1]
    layers = bench.Bench(places)
    generator = np.random.default_rng(4)
    x = [generator.normal(size=(2, *place.shape)).astype("float32") for place in places]
    y = [np.ones((2, *shape), "float32") for shape in layers.shapes]

    def after(inputs):
        shift, weights, record = layers.step(inputs, y, "compiled")[0]
        return [shift, *weights, record]

    first = after(x)
    assert np.isfinite(np.concatenate([array.ravel() for array in first])).all()
    assert np.isnan(after([np.full_like(x[0], np.nan)])[0]).all()
    assert all(np.array_equal(before, now) for before, now in zip(first, after(x), strict=True))
