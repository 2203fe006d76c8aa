"""Does a saved model predict and score the same, and does its training go on where it stopped?

One model is trained for an epoch with a ModelCheckpoint in both formats, .keras and .h5, 2019's format, and then saved as
.keras again, after the .h5, and as weights. Each file is loaded, compared with the model, and trained further.
"""

import atexit
import contextlib
import functools
import shutil
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnspec import mnist, stack
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import KERAS_VERSION, draw, loss_of_step
from cnnspec.training import compile_model
from cnnspec.trajectory import on_stack, start
from tests.support import beginnings, bench, checks, known_differences, probes

MODEL = "model4"  # it has every kind of layer that the four models have
STEPS = 3  # of training before saving, and after loading
FILES = {  # -> known difference: that the optimizer is lost, or that the file cannot be loaded
    "checkpoint.keras": known_differences.LOADED_LOSS,
    "checkpoint.h5": known_differences.H5_LOSES_SLOTS,
    "after.keras": [known_differences.LOADED_LOSS, known_differences.KERAS_AFTER_H5],
}
# A GPU may choose another algorithm, or add in another order, the second time; a CPU repeats its bits.
RELATIVE = 1e-3 if stack.on_gpu() else 0.0
# Of what a weight moves in STEPS steps, where it cannot be the same bits: Adam takes a step of nearly its rate by a gradient
# near zero, whose sign rounding decides. 0.7 % where a GPU's atomic additions were imitated.
MOVEMENT = 0.05
NEXT = "look at this Keras' saving formats; its release notes may name a change"


def checkpoint(file):
    """A ModelCheckpoint that writes the whole model after every epoch."""
    return keras.callbacks.ModelCheckpoint(str(file), save_best_only=False)


@functools.cache
def saved():
    """(folder, what the model had when its files were written, what it had later, a new model): trained once per process."""
    folder = Path(tempfile.mkdtemp(prefix="cnnspec-saving-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model = on_stack.build(MODEL)
    compile_model(model, variables=False)
    x, y = (np.concatenate(arrays) for arrays in zip(*start.batches(mnist.load("mnist5k"), STEPS), strict=True))
    keep = [checkpoint(folder / "checkpoint.keras")]
    with contextlib.suppress(ValueError):  # Keras 3.3.3's takes no .h5
        keep.append(checkpoint(folder / "checkpoint.h5"))  # the second: an .h5 changes what a .keras after it holds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that .h5 is an old format
        model.fit(x, y, batch_size=start.BATCH, shuffle=False, verbose=0, callbacks=keep)
        fresh = ARCHITECTURES[MODEL]()
        if len(keep) < 2:
            model.save(folder / "checkpoint.h5")
    model.save(folder / "after.keras")
    model.save_weights(folder / "model.weights.h5")
    return folder, state(model), go_on(model), fresh


@functools.cache
def loaded(file):
    """The model in one of FILES, its state as it was loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # variables of the optimizer left out: test_a_loaded_model_trains_on sees it
        model = keras.models.load_model(saved()[0] / file)
    return model, state(model)


def state(model):
    """What is asked of a model: predictions, scores, the optimizer's class, step and slots."""
    data = mnist.load("mnist5k")
    x, y = data.x_test[:64], data.y_test[:64]
    return {
        "predictions": bench.as_array(model(x, training=False)),
        "scores": np.array(model.evaluate(x, y, batch_size=48, verbose=0)),
        "class": type(model.optimizer).__name__,
        "step": int(bench.as_array(model.optimizer.iterations)),
        "slots": probes.optimizer_arrays(model.optimizer),
        "weights": model.get_weights(),
    }


def go_on(model):
    """The losses of further steps on fixed batches, and all weights after them."""
    batches = list(start.batches(mnist.load("mnist5k"), 2 * STEPS))[STEPS:]
    return [loss_of_step(model, x, y) for x, y in batches], model.get_weights()


def same(subject, expected, obtained):
    """Arrays, or lists of numbers, are the same bits; on a GPU the same within rounding."""
    __tracebackhide__ = True
    expected, obtained = np.asarray(expected, np.float64), np.asarray(obtained, np.float64)
    if expected.shape != obtained.shape:
        checks.equal(f"{subject}: shape", expected.shape, obtained.shape, source="the saved model", next=NEXT)
    off = np.abs(obtained - expected)
    wrong = ~(off <= RELATIVE * np.maximum(np.abs(expected), np.abs(expected).max(initial=0.0)))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        checks.equal(
            f"{subject}: {wrong.sum()} of {wrong.size} numbers differ, by up to {np.nanmax(off):.2g}; the first, at {place}",
            float(expected[place]),
            float(obtained[place]),
            source="the saved model, bit for bit" if not RELATIVE else "the saved model",
            next=NEXT,
        )


def moved_alike(subject, before, expected, obtained):
    """Weights after further steps are the same bits; on a GPU they have moved alike, as a whole."""
    __tracebackhide__ = True
    if not RELATIVE or not np.size(before) or np.array_equal(before, expected):
        same(subject, expected, obtained)
        return
    moved = [np.asarray(array, np.float64) - before for array in (expected, obtained)]
    off = float(np.linalg.norm(moved[1] - moved[0]) / np.linalg.norm(moved[0]))
    name = f"{subject}: difference from the saved model's, relative to their movement"
    checks.at_most(name, off, MOVEMENT, source="a GPU's order of summation", next=NEXT)


def unloaded(file):
    """The mark of a file that some versions cannot load."""
    return known_differences.LOADED_LOSS if file.endswith(".keras") else ()


@pytest.mark.parametrize("file", [pytest.param(file, marks=unloaded(file)) for file in FILES])
def test_a_loaded_model_predicts_and_scores_the_same(file):
    """Predictions, and loss and accuracy by `evaluate`, are those of the saved model, bit for bit."""
    _, expected, *_ = saved()
    _, obtained = loaded(file)
    same(f"{MODEL} from {file}: probabilities", expected["predictions"], obtained["predictions"])
    same(f"{MODEL} from {file}: loss and accuracy by evaluate", expected["scores"], obtained["scores"])


@pytest.mark.parametrize("file", [pytest.param(file, marks=mark) for file, mark in FILES.items()])
def test_a_loaded_model_trains_on(file):
    """The optimizer's class, step counter and slots are kept, and the next steps are those of the saved model."""
    _, expected, (losses, weights), _ = saved()
    model, obtained = loaded(file)
    for name in ("class", "step"):
        subject = f"{MODEL} from {file}: the optimizer's {name}"
        checks.equal(subject, expected[name], obtained[name], source="the saved model", next=NEXT)
    slots = [[array.shape for array in arrays] for arrays in (expected["slots"], obtained["slots"])]
    checks.equal(f"{MODEL} from {file}: shapes of Adam's slots", *slots, source="the saved model", next=NEXT)
    for number, pair in enumerate(zip(expected["slots"], obtained["slots"], strict=True), 1):
        same(f"{MODEL} from {file}: slot {number} of Adam", *pair)
    more_losses, more_weights = go_on(model)
    same(f"{MODEL} from {file}: losses of the next {STEPS} steps", losses, more_losses)
    for number, arrays in enumerate(zip(expected["weights"], weights, more_weights, strict=True), 1):
        moved_alike(f"{MODEL} from {file}: weight {number} after {STEPS} more steps", *arrays)


def test_saved_weights():
    """Weights loaded into a fresh model, which predicted something else, predict the same, bit for bit.

    Although it was built after one like it was trained, the fresh model begins with no trace of that.
    """
    folder, expected, _, fresh = saved()
    anew = "look for what initialisers and layers keep of an earlier model"
    beginnings.constants(f"{MODEL} after one like it was trained", MODEL, fresh, next=anew)
    x = mnist.load("mnist5k").x_test[:64]
    differ = not np.array_equal(expected["predictions"], bench.as_array(fresh(x, training=False)))
    checks.equal(f"{MODEL}: a fresh model predicts something else", True, differ, source="another draw", next=NEXT)
    fresh.load_weights(folder / "model.weights.h5")
    same(f"{MODEL} with loaded weights: probabilities", expected["predictions"], bench.as_array(fresh(x, training=False)))


def of_layers_alike():
    """An uncompiled model of layers of one shape, whose names are in another order by the alphabet than in the model."""
    layers = [keras.layers.Dense(8, name=f"dense_{number}") for number in range(8, 13)]
    return keras.Sequential([keras.Input(shape=(8,)), *layers])


BUILDERS = {name: build for name, build in ARCHITECTURES.items() if name != MODEL} | {"layers alike": of_layers_alike}


@functools.cache
def with_drawn_weights(model):
    """(one of BUILDERS with weights that were drawn, these)."""
    built = BUILDERS[model]()
    generator = np.random.RandomState(0)
    drawn = [generator.uniform(0.5, 1.5, array.shape).astype("float32") for array in built.get_weights()]
    built.set_weights(drawn)
    return built, drawn


@pytest.mark.parametrize("file", ["model.keras", "model.h5", "model.weights.h5"])
@pytest.mark.parametrize("model", BUILDERS)
def test_every_weight_is_saved(model, file, tmp_path):
    """Each array of the other models, larger ones and of more layers, is loaded with every bit that it had."""
    written, drawn = with_drawn_weights(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that .h5 is an old format
        if file == "model.weights.h5":
            written.save_weights(tmp_path / file)
            read = BUILDERS[model]()
            read.load_weights(tmp_path / file)
        else:
            written.save(tmp_path / file)
            read = keras.models.load_model(tmp_path / file, compile=False)
    obtained = read.get_weights()
    checks.equal(f"{model} from {file}: number of arrays", len(drawn), len(obtained), source="the saved model", next=NEXT)
    for variable, *pair in zip(written.weights, drawn, obtained, strict=True):
        same(f"{model} from {file}: {getattr(variable, 'path', variable.name)}", *pair)


@known_differences.SEED_OF_ZERO
@pytest.mark.parametrize("format", ["keras", "h5"])
def test_a_seed_of_zero_is_a_seed(format, tmp_path):
    """An initialiser and a Dropout seeded with 0 still are when loaded, and draw the same; Dropout still drops something."""
    model = keras.Sequential([keras.Input(shape=(50,))])
    model.add(keras.layers.Dense(40, kernel_initializer=keras.initializers.GlorotUniform(seed=0)))
    model.add(keras.layers.Dropout(0.5, seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that .h5 is an old format
        model.save(tmp_path / f"model.{format}")
    found = keras.models.load_model(tmp_path / f"model.{format}", compile=False)
    initializers = [layers[0].kernel_initializer for layers in (model.layers, found.layers)]
    seeds = [initializers[1].get_config()["seed"], found.layers[1].get_config()["seed"]]
    checks.equal(f"seeds of initialiser and Dropout from .{format}", [0, 0], seeds, source="what was saved", next=NEXT)
    same(f"kernel drawn by the initialiser from .{format}", *(draw(initializer, (50, 40)) for initializer in initializers))
    ones = np.ones((4, 50), "float32")
    masks = [bench.as_array(layers[1](ones, training=True)) for layers in (model.layers, found.layers)]
    dropping = [bool((mask == 0).any()) for mask in masks]
    subject = f"a saved Dropout(0.5), and the one from .{format}, drop something in training"
    checks.equal(subject, [True, True], dropping, source="200 elements, each dropped with p = 0.5", next=NEXT)
    if KERAS_VERSION >= (3, 0):  # Keras 2 counts the draws of a seed elsewhere
        same(f"what a Dropout from .{format} drops first", *masks)
