"""Models that come back changed from a file."""

import keras
import numpy as np

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import wrapped


def after_loading(change):
    """A change of every model that `load_model` returns."""

    def make(original):
        def load_model(*arguments, **given):
            model = original(*arguments, **given)
            change(model)
            return model

        return load_model

    wrapped(keras.models, "load_model", make)


@fault(kind="state", source="made; keras#23475 loses more of them", words="slot 28 of Adam")
def loading_forgets_a_velocity():
    """A loaded optimizer has zeros in its last slot."""

    def change(model):
        for variable in model.optimizer.variables[-1:]:
            variable.assign(variable * 0)

    after_loading(change)


@fault(kind="state", source="made", words="the optimizer's step")
def loading_forgets_the_step():
    """A loaded optimizer counts its steps from zero."""
    after_loading(lambda model: model.optimizer.iterations.assign(0))


@fault(kind="state", source="made", words="loss and accuracy by evaluate")
def loaded_model_is_scored_by_its_first_batch():
    """A loaded model's `evaluate` looks at the first batch only."""

    def change(model):
        original = model.evaluate
        model.evaluate = lambda x, y, batch_size, **given: original(x[:batch_size], y[:batch_size], batch_size, **given)

    after_loading(change)


def after_loading_h5(change):
    """A change of every model whose weights are read from 2019's format."""
    from keras.src.legacy.saving import legacy_h5_format

    def make(original):
        def load_weights_from_hdf5_group(group, model, *arguments, **given):
            original(group, model, *arguments, **given)
            change(model)

        return load_weights_from_hdf5_group

    wrapped(legacy_h5_format, "load_weights_from_hdf5_group", make)


@fault(kind="state", source="made; HDF5's attributes are cut off at 64 KB", words="moving_variance")
def h5_forgets_the_fifth_normalisation():
    """The moving variance of the fifth and later BatchNormalization of a model is not read from an .h5: model3 has five."""

    def change(model):
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
        for layer in layers[4:]:
            layer.moving_variance.assign(np.ones(layer.moving_variance.shape))

    after_loading_h5(change)


@fault(kind="state", source="made; HDF5 lists groups by the alphabet", words="dense_8")
def h5_reads_ten_before_nine():
    """Layers of one shape are read from an .h5 in the order of the alphabet, dense_10 before dense_9."""

    def change(model):
        layers = [layer for layer in model.layers if type(layer) is keras.layers.Dense]
        if len({str([w.shape for w in layer.weights]) for layer in layers}) > 1:
            return
        read = [layer.get_weights() for layer in layers]
        for layer, number in zip(layers, sorted(range(len(layers)), key=lambda number: layers[number].name), strict=True):
            layer.set_weights(read[number])

    after_loading_h5(change)
