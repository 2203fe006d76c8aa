"""What a new model's weights are before any training, but for its kernels, which are drawn."""

import numpy as np

from cnnspec.facts import notebook
from tests.support import checks

# By class, of each of a layer's weights; None is drawn.
DUE = {"Conv2D": [None, {0.0}], "Dense": [None, {0.0}], "BatchNormalization": [{1.0}, {0.0}, {0.0}, {1.0}]}


def constants(subject, model, built, *, next):
    """Biases, beta and moving mean of a new model are exactly 0; gamma and moving variance are exactly 1."""
    __tracebackhide__ = True
    for row, (layer, facts) in enumerate(zip(built.layers, notebook.layers(model), strict=True), 1):
        found = [set(np.unique(array)) for array in layer.get_weights()]
        for place, value in enumerate(DUE.get(facts["class"], [])):
            if value is not None:
                checks.equal(
                    f"{subject}, layer {row} ({facts['class']}): initial values of weight {place + 1}",
                    value,
                    found[place],
                    source="2019's defaults",
                    next=next,
                )
