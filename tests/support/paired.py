"""A paired training beside the stored ones: the reference of each quantity, its limit, and what a difference looks like."""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd

from cnnspec import mnist
from cnnspec.facts import notebook, reading
from cnnspec.paired import on_stack, setting, store
from tests.support import checks, lockstep, margins, mid_training, progress

FOLDER = reading.BASELINES / "paired"
LEAST = 1e-12  # of a movement; below it a relative error would be one of zero
COMMON = 1e-3  # a common factor of the movements that is worth a word


class Reference(NamedTuple):
    """What known-good stacks had of one quantity: the middle between the smallest and the largest, and both."""

    middle: float
    low: float
    high: float


@functools.cache
def trained(model):
    """(numbers of the paired training of a model on this stack, the steps after it), once per process.

    Only `mid_training.JUDGED` models have such steps; they are taken at once, before another model makes Keras forget.
    """
    progress.say(f"paired training of {model}")
    data = mnist.load("mnist5k")
    built, numbers = on_stack.run(model, data)
    return numbers, mid_training.steps(built, data) if model in mid_training.JUDGED else []


def conventions(model, keras_2):
    """Whether this model's runs of Keras 2 and Keras 3 are kept apart, and if, which are meant: None, True or False.

    Their moving variances differ, and Keras 2's fused normalisation is less precise.
    """
    return keras_2 if model in notebook.normalised_models() else None


def healthy(model, keras_2):
    """Stored runs of known-good stacks that a run of Keras 2, or of Keras 3, is compared with."""
    frame = store.read(FOLDER / f"{model}.csv", model)
    frame = frame[frame.fault == store.HEALTHY]
    apart = conventions(model, keras_2)
    old = frame.keras.str.startswith("2.")
    return frame if apart is None else frame[old == apart]


def bounds(model, keras_2):
    """How far a model's quantities may lie from their references."""
    return reading.tolerance(f"{'paired_keras_2' if conventions(model, keras_2) else 'paired'}.{model}")


def references(model, frame: pd.DataFrame):
    """{quantity: its Reference} of stored runs."""
    return {
        name: Reference((frame[name].min() + frame[name].max()) / 2, frame[name].min(), frame[name].max())
        for name in setting.quantities(model)
    }


def quantities(model, reference, numbers, bounds):
    """A list of `lockstep.Quantity`, in the order of the columns; `bounds` are the model's in `tolerances.toml`."""
    found = []
    for name in setting.quantities(model):
        epoch, what, _ = setting.split(name)
        kind = setting.kind(name)
        limit = 0.0 if what == setting.STEPS else bounds[kind][f"epoch_{epoch}"] / setting.images(model, name)
        label = name.replace(f"epoch {epoch} ", f"epoch {epoch}, ")
        found.append(lockstep.Quantity(label, kind, reference[name].middle, numbers.get(name, np.nan), limit))
    return found


def shares(found):
    """{(epoch, kind): (largest share of the limit, the Quantity that has it)}."""
    used = {}
    for quantity in found:
        key = quantity.name.split(", ")[0], quantity.kind
        share = margins.share(quantity.error, quantity.limit)
        share = np.inf if np.isnan(share) else share
        if key not in used or share > used[key][0]:
            used[key] = share, quantity
    return used


def judged(model, reference, numbers, bounds, *, source, next):
    """Every quantity lies within its limit of the reference. The message names the farthest, and what it looks like."""
    __tracebackhide__ = True
    found = quantities(model, reference, numbers, bounds)
    used = shares(found)
    for (epoch, kind), (share, _) in used.items():
        margins.note(f"{epoch}, {kind}", share)
    failed = {key: pair for key, pair in used.items() if not pair[0] <= 1}
    if failed:
        ordered = sorted(failed.values(), key=lambda pair: -pair[0])
        number = sum(not quantity.error <= quantity.limit for quantity in found)
        lines = [
            f"farthest: {ordered[0][1].told()}",
            *(f"and {quantity.told()}" for _, quantity in ordered[1:5]),
            f"outside   {number} of {len(found)} quantities; above the farthest of each kind",
            *(f"looks like: {cause}" for cause in causes(found)),
            f"expected  {source}",
            f"limits    {bounds['why']}",
        ]
        checks.fail(f"{model}, paired training", lines, next=next)


def causes(found):
    """What the failed quantities look like, in the order in which causes come before consequences."""
    failed = [quantity for quantity in found if not quantity.error <= quantity.limit]
    steps = [quantity for quantity in found if quantity.kind == setting.STEPS]
    if any(quantity in failed for quantity in steps):
        due, obtained = (", ".join(f"{getattr(each, side):g}" for each in steps) for side in ("expected", "obtained"))
        return [f"{obtained} steps of the optimizer after each epoch, not {due}: epochs, batch size or batches are others"]
    moved = [each for each in found if each.kind.startswith("movement")]
    still = [each.name for each in moved if each.obtained < LEAST <= each.expected]
    if still:
        return [f"{len(still)} variables did not move, the first is {still[0]}: its gradient or its update is missing"]
    first = [each for each in moved if each.name.startswith("epoch 1,") and each.kind == "movement_of_kernels"]
    ratios = np.array([each.obtained / max(each.expected, LEAST) for each in first])
    ratio = float(np.median(ratios))
    kinds = {each.kind for each in failed}
    if abs(ratio - 1) > COMMON and abs(ratio - 1) > 2 * np.median(abs(ratios - ratio)):
        return [f"kernels moved {ratio:.4g} times as far: the learning rate or another setting of the optimizer"]
    in_training = {"loss", "movement_of_kernels", "movement_of_vectors", "norm_of_kernels", "norm_of_vectors"}
    if not kinds & in_training:
        return ["training is right; evaluation, validation or the moving statistics are wrong"]
    if kinds <= {"loss", "accuracy"}:
        return ["variables are right; how fit averages losses and accuracies over batches is wrong"]
    return ["gradients, batches or labels, somewhere in the steps at batch 128 or in the last batch of 32"]
