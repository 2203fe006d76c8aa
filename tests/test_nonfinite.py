"""Does a NaN or an infinity that goes into a layer come out again, or is it dropped and forgotten?

A NaN in one element of the input must be in every output whose formula holds that element, and a NaN in a gradient in every
gradient behind it, so that a broken number reaches a loss or a weight that somebody looks at. Which ones, the float64
implementation says: NumPy's sums, products and maxima keep NaN, as IEEE 754 asks.
"""

import functools

import numpy as np
import pytest

from cnnspec import stack
from cnnspec.oracle.layers import moving_statistics, run_layer
from tests.support import bench, checks, known_differences

BATCHES = (1, 128)
STEPS = (("compiled", 1), ("compiled", 128), ("eager", 1))  # training steps; eager ones of 128 images would take seconds
NEXT = "look up max pooling, ReLU and NaN in the release notes of the framework, oneDNN, cuDNN; try oneDNN off"


def mid(shape):
    """Index of an element in the middle."""
    return tuple(size // 2 for size in shape)


def one_nan(x):
    x[mid(x.shape)] = np.nan


def one_infinity(x):
    x[mid(x.shape)] = np.inf


def image_of_nan(x):
    x[len(x) // 2] = np.nan


BAD = {"one NaN": one_nan, "an image of NaN": image_of_nan, "one infinity": one_infinity}


@functools.cache
def the_bench():
    """The layers of the four models side by side, made once per process."""
    return bench.Bench(bench.places())


KINDS = sorted({place.kind for place in bench.places()})


def places_of(kind):
    """(number, Place) of the layers of one kind."""
    return [(number, place) for number, place in enumerate(bench.places()) if place.kind == kind]


@functools.cache
def clean(batch):
    """(inputs, targets) of every layer, drawn. What goes into a max pooling is negative: a zero among it shows."""
    generator = np.random.RandomState(batch)
    inputs = [generator.normal(size=(batch, *place.shape)).astype("float32") for place in bench.places()]
    for number, _ in places_of("MaxPooling2D"):
        inputs[number] = -np.abs(inputs[number])
    return inputs, [generator.normal(size=(batch, *shape)).astype("float32") for shape in the_bench().shapes]


@functools.cache
def with_bad(batch, bad):
    """The inputs with `bad`, one of BAD, put into the image in the middle of each; Dropout gets an image of NaN for one."""
    inputs = [array.copy() for array in clean(batch)[0]]
    for place, array in zip(bench.places(), inputs, strict=True):
        (image_of_nan if place.kind == "Dropout" and bad == "one NaN" else BAD[bad])(array)
    return inputs


@functools.cache
def outputs(mode, batch, bad):
    """The output of every layer in inference for inputs with `bad`."""
    return the_bench().predicted(with_bad(batch, bad), mode)


@functools.cache
def bad_targets(batch):
    """Targets with one NaN, at the largest output of the middle image, which passes ReLU; for Dropout an image of them."""
    targets = [array.copy() for array in clean(batch)[1]]
    for number, place in enumerate(bench.places()):
        image = targets[number][batch // 2]
        if place.kind == "Dropout":
            image[...] = np.nan
        else:
            y, _ = run_layer(place.settings, the_bench().weights[number], clean(batch)[0][number][batch // 2][None])
            if place.settings["class"] == "Conv2D":  # not at the edge, where a kernel's elements meet padding
                inner = np.full(y.shape, -np.inf)
                inner[:, 2:-2, 2:-2] = y[:, 2:-2, 2:-2]
                y = inner
            image[np.unravel_index(y.argmax(), y.shape[1:])] = np.nan
    return targets


@functools.cache
def steps(mode, batch, where):
    """What a training step leaves of every layer: with one NaN in each input (`where` "one NaN"), or with `bad_targets`."""
    if where == "gradient":
        return the_bench().step(clean(batch)[0], bad_targets(batch), mode)
    return the_bench().step(with_bad(batch, where), clean(batch)[1], mode)


def expected_output(number, place, x, drops, training=False):
    """The layer's output in float64 for the image in the middle; where `drops`, as the known stacks drop NaN."""
    image, settings, weights = x[len(x) // 2][None], place.settings, the_bench().weights[number]
    with np.errstate(invalid="ignore"):
        if drops and place.kind == "MaxPooling2D":
            return run_layer(settings, weights, np.where(np.isnan(image), known_differences.EMPTY_WINDOW, image))[0]
        y, _ = run_layer(settings, weights, image, training)
        return np.where(np.isnan(y), 0.0, y) if drops and settings.get("activation") == "relu" else y


def seen(mode, batch, place, what):
    return f"{place.name} ({place.kind}, input {place.shape}), batch of {batch}, {mode}: {what}"


def compared(subject, obtained, expected, whole_image):
    """Lines on what is not as expected: NaN lost, NaN and infinities where none may be, in the middle image and others.

    Where `whole_image`, NaN may spread over the image: an algorithm by tiles or frequencies, as GPUs have, does that.
    """
    lines = []
    row = len(obtained) // 2
    image = np.asarray(obtained[row], np.float64)
    lost = np.isnan(expected) & ~np.isnan(image)
    if lost.any():
        place = tuple(int(i) for i in np.argwhere(lost)[0])
        lines.append(
            f"{subject}: {lost.sum()} of {np.isnan(expected).sum()} NaN are lost; the first, {place} of image {row}, "
            f"is {image[place]:.9g}"
        )
    others = np.delete(np.asarray(obtained), row, axis=0)
    if not np.isfinite(others).all():
        lines.append(f"{subject}: {(~np.isfinite(others)).sum()} elements of other images are not finite")
    if whole_image:
        return lines
    spread = ~np.isnan(expected) & np.isnan(image)
    if spread.any():
        lines.append(f"{subject}: {spread.sum()} elements are NaN that do not depend on the input that is")
    infinite = np.isinf(expected) & (image != expected) & ~np.isnan(image) | ~np.isinf(expected) & np.isinf(image)
    if infinite.any():
        place = tuple(int(i) for i in np.argwhere(infinite)[0])
        lines.append(f"{subject}: at {place} expected {expected[place]:.9g}, obtained {image[place]:.9g}")
    return lines


def of_step(mode, batch, number, place):
    """Lines on the channels of a layer's output in a training step in which one input element is NaN."""
    if place.kind == "Dropout":  # it may drop that one; `test_dropout_keeps_nan` has many
        return []
    x = with_bad(batch, "one NaN")[number]
    expected = channels(np.isnan(expected_output(number, place, x, drops=False, training=True)))
    obtained = np.isnan(steps(mode, batch, "one NaN")[number][2])
    return differing(
        seen(mode, batch, place, "one NaN in the input, output in a training step"), obtained, expected, "channels"
    )


def differing(subject, obtained, expected, what):
    """A line for NaN that are lost, and one for NaN where there may be none; both arguments say where NaN are."""
    lost, spread = expected & ~obtained, obtained & ~expected
    lines = [f"{subject}: of {expected.sum()} {what} that must be NaN {lost.sum()} are not"] if lost.any() else []
    return [*lines, f"{subject}: {spread.sum()} {what} are NaN and must not be"] if spread.any() else lines


def channels(array):
    """Which channels, the last axis, have a true element."""
    return array.reshape(-1, array.shape[-1]).any(axis=0)


def spreads(place):
    """Whether a NaN may spread over its image: in convolutions on a GPU."""
    return place.settings["class"] == "Conv2D" and stack.on_gpu()


def marked(kinds):
    """Kinds of layers as parameters, those that drop a NaN on this stack with their known difference."""
    marks = {
        "MaxPooling2D": known_differences.POOLING_DROPS_NAN,
        "Conv2D with relu": known_differences.RELU_DROPS_NAN,
        "Dense with relu": known_differences.RELU_DROPS_NAN,
    }
    return [pytest.param(kind, marks=marks.get(kind, ())) for kind in kinds]


@pytest.mark.parametrize("kind", marked(KINDS))
def test_nan_reaches_the_output(kind):
    """A NaN in the input is in every output that depends on it, and in no other, in predict and eagerly."""
    lines = []
    for batch in BATCHES:
        for mode in bench.MODES:
            for bad in ("one NaN", "an image of NaN"):
                for number, place in places_of(kind):
                    expected = expected_output(number, place, with_bad(batch, bad)[number], drops=False)
                    subject = seen(mode, batch, place, f"{bad} in the input")
                    lines += compared(subject, outputs(mode, batch, bad)[number], expected[0], spreads(place))
    for mode, batch in STEPS:
        for number, place in places_of(kind):
            lines += of_step(mode, batch, number, place)
    if lines:
        checks.fail(f"{kind} drops NaN", lines[:8], next=NEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_infinity_reaches_the_output(kind):
    """An infinity in the input makes the outputs that float64 has infinite so; after a softmax it is NaN."""
    lines = []
    for batch in BATCHES:
        for mode in bench.MODES:
            for number, place in places_of(kind):
                x, obtained = with_bad(batch, "one infinity")[number], outputs(mode, batch, "one infinity")[number]
                subject = seen(mode, batch, place, "one infinity in the input")
                if place.kind == "Dense with softmax":  # inf − inf: how many of the row are NaN is the software's choice
                    if not np.isnan(obtained[batch // 2]).any():
                        lines.append(f"{subject}: no NaN in the row, whose largest logit is infinite")
                    continue
                expected = expected_output(number, place, x, drops=False)
                lines += compared(subject, obtained, expected[0], spreads(place))
    if lines:
        checks.fail(f"{kind} changes infinity", lines[:8], next=NEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_reaches_the_gradients(kind):
    """A NaN in one input element, or in the gradient at one output element, is in every gradient and moving statistic that
    depends on it, and in no other, after one training step.
    """
    lines = []
    for mode, batch in STEPS:
        for where in ("one NaN", "gradient"):
            for number, place in places_of(kind):
                if place.kind == "Dropout" or spreads(place):
                    continue
                shift, weights, _ = steps(mode, batch, where)[number]
                expected = expected_gradients(number, place, batch, where)
                for name, obtained in zip(expected, (shift, *weights), strict=True):
                    subject = seen(mode, batch, place, f"NaN in the {'input' if where == 'one NaN' else where}, {name}")
                    lines += differing(subject, np.isnan(obtained), expected[name], "elements")
    if lines:
        checks.fail(f"{kind} drops NaN on the way back", lines[:8], next=NEXT)


def expected_gradients(number, place, batch, where):
    """{name: where NaN must be} after a training step: the gradient at the input, by channel, and the layer's arrays."""
    row = slice(batch // 2, batch // 2 + 1)
    x = (clean(batch)[0] if where == "gradient" else with_bad(batch, where))[number][row]
    target = (bad_targets(batch) if where == "gradient" else clean(batch)[1])[number][row]
    weights = the_bench().weights[number]
    with np.errstate(invalid="ignore"):
        _, pullback = run_layer(place.settings, weights, x, training=True)
        at_input, gradients = pullback(target)
        moving = moving_statistics(place.settings, weights[2:], x) if len(weights) == 4 else []
    arrays = [array for array in gradients if array is not None] + moving
    return {
        "gradient at the input, channels": channels(np.isnan(at_input)),
        **{f"array {place} after the step": np.isnan(array) for place, array in enumerate(arrays, 1)},
    }


@pytest.mark.parametrize("mode", bench.MODES)
def test_dropout_keeps_nan(mode):
    """What Dropout keeps of an image of NaN is NaN in a training step, in its output and in its gradient."""
    lines = []
    for batch in [batch for step, batch in STEPS if step == mode]:
        for number, place in places_of("Dropout"):
            kept = 1 - place.settings["rate"]
            found = {
                "output, an image of NaN in the input": steps(mode, batch, "one NaN")[number][2],
                "gradient at the input, NaN in that at the output": steps(mode, batch, "gradient")[number][0],
            }
            for name, array in found.items():
                # 64 channels of 144 elements each, or 100 of one each, of which one in 10^16 times fewer than 15 are kept
                if np.isnan(array).mean() < 0.3 * kept:
                    lines.append(
                        f"{seen(mode, batch, place, name)}: {np.isnan(array).sum()} of {array.size} channels are NaN"
                    )
    if lines:
        checks.fail("Dropout drops NaN that it should keep", lines, next=NEXT)


@pytest.mark.parametrize("kind", ["MaxPooling2D", "Conv2D with relu", "Dense with relu"])
def test_nothing_else_is_dropped(kind):
    """Where a stack is known to drop NaN, it may do so in the known way: the largest of the other numbers, 0 by ReLU.

    Any other number in place of a NaN, which looks like data, fails; so do NaN dropped in another mode than the known ones.
    """
    lines = []
    for mode in bench.MODES:
        drops = known_differences.POOLING if kind == "MaxPooling2D" else known_differences.RELU and mode == "compiled"
        for batch in BATCHES:
            for bad in ("one NaN", "an image of NaN"):
                for number, place in places_of(kind):
                    subject = seen(mode, batch, place, f"{bad} in the input")
                    lines += in_the_known_way(subject, number, place, batch, bad, outputs(mode, batch, bad)[number], drops)
    if lines:
        checks.fail(f"{kind} drops NaN in an unknown way", lines[:8], next=NEXT)


def in_the_known_way(subject, number, place, batch, bad, obtained, drops):
    """Lines on outputs that are neither NaN, as they should be, nor, where `drops`, the number that is known instead."""
    x, obtained = with_bad(batch, bad)[number], np.array(obtained)
    if place.kind == "MaxPooling2D":
        obtained[obtained == known_differences.LOWEST] = known_differences.EMPTY_WINDOW
    image = np.asarray(obtained[batch // 2], np.float64)
    kept, dropped = (expected_output(number, place, x, way)[0] for way in (False, drops))
    lines = compared(subject, obtained, np.where(np.isnan(kept) & np.isnan(image), np.nan, dropped), spreads(place))
    wrong = np.isnan(kept) & ~np.isnan(image) & ~np.isnan(dropped) & (image != dropped)
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        lines.append(
            f"{subject}: at {first} of image {batch // 2} expected NaN, or {dropped[first]:.9g} as known of this stack, "
            f"obtained {image[first]:.9g}; {wrong.sum()} such elements"
        )
    return lines


def test_pooling_in_a_training_step():
    """The mean over each channel that max pooling has in a training step is NaN, or known: that of the other numbers."""
    lines = []
    for mode, batch in STEPS:
        for number, place in places_of("MaxPooling2D"):
            x = with_bad(batch, "one NaN")[number]
            others, _ = run_layer(place.settings, [], np.where(np.isnan(x), known_differences.EMPTY_WINDOW, x))
            means, obtained = others.mean(axis=(0, 1, 2)), steps(mode, batch, "one NaN")[number][2]
            wrong = ~(np.isnan(obtained) | (np.abs(obtained - means) <= 1e-5 * np.abs(means)))
            if wrong.any():
                channel = int(np.argmax(wrong))
                subject = seen(mode, batch, place, "one NaN in the input of a training step")
                values = f"expected {means[channel]:.7g} or NaN, obtained {obtained[channel]:.7g}"
                lines.append(f"{subject}: mean over channel {channel}: {values}; {wrong.sum()} such channels")
    if lines:
        checks.fail("MaxPooling2D drops NaN in an unknown way", lines[:8], next=NEXT)
