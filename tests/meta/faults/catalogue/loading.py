"""Models that come back changed from a file."""

import keras

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
