"""`fit` on the stack under test, watched: what `cnnspec.trajectory.fitted` names, and what was counted on the way.

`judged` compares it with float64, quantity by quantity, and `causes` says what a difference looks like.
"""

import functools
from typing import NamedTuple

import numpy as np

from cnnspec import mnist, pipeline, stack
from cnnspec.training import compile_model, evaluate, fitting
from cnnspec.trajectory import fitted, on_stack, start, watching
from cnnspec.trajectory.watching import arrays_of
from tests.support import checks, margins, probes

HARNESS, ARRAYS = "the harness' call", "fit of arrays"


class Watched(NamedTuple):
    """One `fit` on the stack: its numbers, and what was counted."""

    numbers: fitted.Fitted  # train_loss and train_accuracy of the last epoch alone; `steps` and `images` are empty
    iterations: list  # of the optimizer, after each epoch
    batches: list  # of each epoch, as callbacks saw them; joined steps are counted by the execution
    scores: dict  # test_loss, test_accuracy, train_loss, train_accuracy, evaluated at the end
    logged: dict  # NAMES -> what callbacks were told at the end of each epoch
    history: dict  # the history that `fit` returned


class Quantity(NamedTuple):
    """One number of a `fit` beside the one that is due. `kind` is the name of its bound."""

    name: str
    kind: str
    expected: float
    obtained: float
    limit: float

    @property
    def error(self):
        """The relative error; of an accuracy the difference."""
        difference = abs(self.obtained - self.expected)
        return difference if self.kind == "accuracy" else difference / max(abs(self.expected), LEAST)

    def told(self):
        """A line of text."""
        word = "difference" if self.kind == "accuracy" else "relative error"
        values = f"expected {self.expected:.7g}, obtained {self.obtained:.7g}"
        return f"{self.name}: {values}, {word} {self.error:.2g}, limit {self.limit:.2g}"


NAMES = ("loss", "accuracy", "val_loss", "val_accuracy")  # in the history, since Keras 2.3
LEAST = 1e-12  # of a movement; below it a relative error would be one of zero


class Watcher(watching.Watcher):
    """Notes the optimizer's slots, too."""

    def __init__(self, first):
        super().__init__(first)
        self.rows["slots"] = []

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.rows["slots"].append(start.norms(moments(self.model)))


def moments(model):
    """Adam's first and second moment of the first trained variable, of the second, …, in whatever order they are kept."""
    kept = probes.optimizer_arrays(model.optimizer)
    shapes = [tuple(variable.shape) for variable in model.trainable_variables]
    if [array.shape for array in kept] == [*shapes, *shapes] and len(shapes) > 1:
        return [kept[place + half] for place in range(len(shapes)) for half in (0, len(shapes))]
    return kept


@functools.cache
def fit(model, call):
    """What one `fit` of a model goes through, by HARNESS or ARRAYS."""
    data, order = fitted.part_of(mnist.load("mnist5k")), fitted.order()
    built = on_stack.build(model)
    with stack.tf32_off():
        if call == HARNESS:
            compile_model(built, fitted.OPTIMIZER, **pipeline.compile_settings())
            evaluate(built, "test", data.x_test, data.y_test)  # as training.train does
            bound = fitting(built, data, fitted.BATCH, order=order)
        else:
            compile_model(built, fitted.OPTIMIZER, variables=False)
            x, y = data.x_train[order], data.y_train[order]
            bound = functools.partial(built.fit, x, y, batch_size=fitted.BATCH, shuffle=False)
        watcher = Watcher([np.asarray(array, np.float64) for array in arrays_of(built)])
        validation = data.x_test, data.y_test
        told = bound(epochs=fitted.EPOCHS, verbose=0, validation_data=validation, callbacks=[watcher]).history
        scores = evaluate(built, "test", data.x_test, data.y_test) | evaluate(built, "train", data.x_train, data.y_train)
    metrics = [[log.get(name, np.nan) for name in fitted.METRICS] for log in watcher.logs]
    numbers = fitted.Fitted(
        metrics=np.array(metrics),
        steps=np.array([]),
        images=np.array([]),
        **{name: np.array(rows) for name, rows in watcher.rows.items()},
    )
    history = {name: [float(value) for value in values] for name, values in told.items()}
    logged = {name: [log.get(name) for log in watcher.logs] for name in NAMES}
    return Watched(numbers, watcher.iterations, watcher.batches, scores, logged, history)


def quantities(names, expected, watched, bounds):
    """A list of Quantity for each epoch, the evaluated scores at the end of the last. In the order of their causes.

    `names` are the variables', `expected` is a `fitted.Fitted`, `bounds` the model's in `tolerances.toml`.
    """
    trained = [name for name in names if "/moving_" not in name]
    moments = [f"Adam's {moment} moment of {name}" for name in trained for moment in ("first", "second")]
    counts = {"accuracy": fitted.SAMPLES, "val_accuracy": fitted.VALIDATION, "train_accuracy": fitted.SAMPLES}
    obtained, found = watched.numbers, []
    for epoch in range(len(obtained.metrics)):
        due = dict(zip(fitted.METRICS, expected.metrics[epoch], strict=True))
        told = dict(zip(fitted.METRICS, obtained.metrics[epoch], strict=True))

        def metric(name, was, now, kind, count=None, epoch=epoch):
            limit = bounds[kind][f"epoch_{epoch + 1}"] / (count or 1)
            return Quantity(f"epoch {epoch + 1}, {name}", kind, was, now, limit)

        def by_variable(what, labels, field, kind, epoch=epoch):
            rows = zip(labels, getattr(expected, field)[epoch], getattr(obtained, field)[epoch], strict=True)
            return [metric(f"{what}{label}", was, now, kind) for label, was, now in rows]

        here = [
            metric("loss", due["loss"], told["loss"], "loss"),
            metric("accuracy", due["accuracy"], told["accuracy"], "accuracy", counts["accuracy"]),
            *by_variable("norm of ", moments, "slots", "slot"),
            *by_variable("movement of ", names, "moved", "movement"),
            *by_variable("norm of ", names, "norms", "norm"),
            metric("val_loss", due["val_loss"], told["val_loss"], "val_loss"),
            metric("val_accuracy", due["val_accuracy"], told["val_accuracy"], "accuracy", counts["val_accuracy"]),
        ]
        found.append(here)
    for split, name in (("test", "val"), ("train", "train")):
        for kind in ("loss", "accuracy"):
            was, now = due[f"{name}_{kind}"], watched.scores[f"{split}_{kind}"]
            count = counts[f"{name}_accuracy"] if kind == "accuracy" else None
            label = f"evaluate on the {split} set, {kind}"
            found[-1].append(metric(label, was, now, "accuracy" if count else "val_loss", count))
    return found


def judged(subject, names, expected, watched, bounds, *, source, next):
    """A watched `fit` went as expected: epochs, steps, and every quantity; the first epoch that differs is told."""
    __tracebackhide__ = True
    epochs, steps = expected.steps.shape
    due = [steps * (epoch + 1) for epoch in range(epochs)]
    if watched.iterations != due:
        lines = [
            f"expected  {epochs} epochs; {due} steps of the optimizer after each   (from {fitted.SAMPLES} samples)",
            f"obtained  {len(watched.iterations)} epochs; {watched.iterations} steps",
            *steps_missing(due, watched.iterations),
        ]
        checks.fail(f"{subject}: epochs and steps", lines, next=next)
    found = quantities(names, expected, watched, bounds)
    for epoch, here in enumerate(found):
        for kind in dict.fromkeys(quantity.kind for quantity in here):
            used = max(margins.share(each.error, each.limit) for each in here if each.kind == kind)
            margins.note(f"epoch {epoch + 1}, {kind}", used)
        failed = [quantity for quantity in here if not quantity.error <= quantity.limit]
        if failed:
            lines = [f"first difference: {failed[0].told()}", *(quantity.told() for quantity in failed[1:6])]
            if len(failed) > 6:
                lines.append(f"and {len(failed) - 6} more of {len(here)} quantities of this epoch")
            worst = max(failed, key=lambda quantity: quantity.error / quantity.limit)
            lines.append(f"largest:   {worst.told()}")
            lines += [f"looks like: {cause}" for cause in causes(epoch, expected, failed, here)]
            checks.fail(subject, [*lines, f"expected  {source}", f"limits    {bounds['why']}"], next=next)


def as_expected(expected, watched):
    """What another `fit` on this stack gave, in place of float64's; the rest, which only explains, stays float64's."""
    metrics = watched.numbers.metrics.copy()
    place = fitted.METRICS.index("train_loss")
    metrics[:, place:] = expected.metrics[:, place:]
    metrics[-1, place:] = watched.scores["train_loss"], watched.scores["train_accuracy"]
    return watched.numbers._replace(metrics=metrics, steps=expected.steps, images=expected.images)


def steps_missing(due, obtained):
    """What a wrong number of epochs or steps looks like."""
    if len(obtained) < len(due) and obtained == due[: len(obtained)]:
        return [f"looks like: fit ended {len(due) - len(obtained)} epoch early"]
    each = np.diff([0, *obtained])
    if len(each) and (each == due[0] - 1).all():
        return ["looks like: the last, partial batch of each epoch is left out"]
    return []


def averages(losses, size):
    """{what it looks like: mean loss} of images whose batches of `size` are averaged wrongly."""
    batches = [losses[at : at + size] for at in range(0, len(losses), size)]
    return wrong_means([batch.mean() for batch in batches], [len(batch) for batch in batches])


def wrong_means(means, sizes):
    """{what it looks like: mean loss} of batches with these means and sizes, averaged wrongly."""
    return {
        f"every batch counts the same: the partial batch of {sizes[-1]} counts as a whole one": np.mean(means),
        f"the last, partial batch of {sizes[-1]} is left out": np.average(means[:-1], weights=sizes[:-1]),
        f"the last batch's loss alone (a batch of {sizes[-1]})": means[-1],
        "the first batch's loss alone": means[0],
    }


def causes(epoch, expected, failed, here):
    """What the failed quantities of an epoch look like, from float64's own batches and images."""
    found = []
    sizes = [fitted.BATCH] * (expected.steps.shape[1] - 1) + [fitted.PARTIAL]
    due = dict(zip(fitted.METRICS, expected.metrics[epoch], strict=True))
    for quantity in failed:
        name = quantity.name.split(", ", 1)[1]
        if name == "loss":
            candidates = wrong_means(expected.steps[epoch], sizes)
        elif name == "val_loss" or name.startswith("evaluate on the test set, loss"):
            candidates = {"the train set's loss: validation runs on the train set": due["train_loss"]}
            for size in (fitted.BATCH, 32):
                candidates |= averages(expected.images[epoch], size)
        else:
            continue
        found += [
            f"{name} is {cause}"
            for cause, value in candidates.items()
            if abs(quantity.obtained - value) <= quantity.limit * abs(value)
        ]
    moved = [quantity for quantity in here if quantity.kind == "movement"]
    still = [quantity.name for quantity in moved if "/moving_" in quantity.name and quantity.obtained == 0]
    if still:
        found.append(f"the moving statistics are not updated ({len(still)} arrays did not move)")
    if any(quantity in failed for quantity in moved):
        ratios = np.array([each.obtained / max(each.expected, LEAST) for each in moved if "/moving_" not in each.name])
        ratio = float(np.median(ratios))
        common = abs(ratio - 1) > 4 * np.median(abs(ratios - ratio)) and (abs(ratios - 1) > 1e-3).mean() > 0.9
        if epoch == 0 and common:
            found.append(f"the variables moved {ratio:.3g} times as far: the learning rate, or the number of steps")
    if epoch > 0 and not found:
        found.append(
            "epoch 1 is right: a state was lost or changed between the epochs (the optimizer's slots, moving statistics, "
            "learning rate, order of the samples)"
        )
    if not found and any(quantity.kind in ("slot", "movement", "norm") for quantity in failed):
        right = not any(quantity.kind == "loss" for quantity in failed)
        found.append(
            "losses are right and the steps are not: gradients or the update rule"
            if right
            else "other samples than those given (one twice, one never, another order), or wrong gradients"
        )
    return found
