"""Does the comparison of two trajectories name the first step and the variables that differ, by the bound of each step?"""

import math

import numpy as np
import pytest

from cnnspec.trajectory.start import Trajectory
from tests.meta.test_checks import failure
from tests.support import checks

PATH = Trajectory(np.array([2.0, 1.0]), np.array([[1.0, 4.0], [1.1, 4.1]]), np.full((2, 2), 0.5))
TOLERANCE = {key: {"first": 1e-3, "growth": 2.0, "most": 1.5e-3} for key in ("loss", "norm")} | {
    "probability": 0.01,
    "why": "x",
}
LEFT = {  # (array, index, factor), and the line of the message
    "loss": (
        ("losses", 0, 1.01),
        "first difference: step 1, loss: expected 2, obtained 2.02, relative error 0.01, limit 0.001",
    ),
    "norm": (
        ("norms", (1, 1), 1.01),
        "first difference: step 2, norm of b: expected 4.1, obtained 4.141, relative error 0.01, limit 0.0015",
    ),
    "nan": (("losses", 1, math.nan), "first difference: step 2, loss: expected 1, obtained nan"),
    "probabilities": (("probabilities", ..., 1.1), "probabilities after the last step: mean difference 0.05, limit 0.01"),
}


@pytest.mark.parametrize(("change", "message"), LEFT.values(), ids=LEFT)
def test_same_path_fails(change, message):
    """The message names the first step and variable that differ, with the limit of this step."""
    array, index, factor = change
    changed = getattr(PATH, array).copy()
    changed[index] *= factor
    moved = PATH._replace(**{array: changed})
    assert message in failure(
        checks.same_path, "model1", ["a", "b"], PATH, moved, TOLERANCE, source="float64", next="do this"
    )


@pytest.mark.parametrize(("again", "message"), [(1.0, "once more has the same losses"), (1.5, "another loss in step 2: ")])
def test_same_path_once_more(again, message):
    """Where a trajectory fails, the message tells whether the same training again has the same losses."""
    moved = PATH._replace(losses=PATH.losses * [1.0, 1.2])
    second = moved._replace(losses=moved.losses * [1.0, again])
    told = failure(
        checks.same_path,
        *("model1", ["a", "b"], PATH, moved, TOLERANCE),
        source="float64",
        next="do this",
        once_more=lambda: second,
    )
    assert message in told
    assert ("intermittent" in told) == (again != 1.0)


def test_same_path_passes():
    """Errors below the limit of their step pass."""
    moved = Trajectory(PATH.losses * 1.0009, PATH.norms * 0.9991, PATH.probabilities + 0.009)
    checks.same_path("model1", ["a", "b"], PATH, moved, TOLERANCE, source="float64", next="do this")


LATE = TOLERANCE | {"loss": {"first": 1e-3, "growth": 100.0}}  # 10 % in the second step
del LATE["probability"]


def test_a_bound_that_is_too_wide_judges_nothing():
    """A step whose bound is above that of trajectory_useful is not judged; a loss that is no number fails there too."""
    assert [checks.steps_judged(table["loss"], 2) for table in (TOLERANCE, LATE)] == [2, 1]
    for loss, fails in ((1.5, False), (math.nan, True), (math.inf, True)):
        moved = PATH._replace(losses=np.array([2.0, loss]), probabilities=PATH.probabilities * 2)
        arguments = ("model1", ["a", "b"], PATH, moved, LATE)
        if fails:
            assert "step 2, loss" in failure(checks.same_path, *arguments, source="float64", next="do this")
        else:
            checks.same_path(*arguments, source="float64", next="do this")


def path(losses, *norms, probability=0.5):
    """A trajectory from its losses and from the norms of each variable, one of each per step."""
    return Trajectory(np.array(losses), np.array(norms).T, np.full((2, 2), probability))


def differing(expected, obtained, names, tolerance=TOLERANCE, **named):
    """The lines between the subject and the last three of a failure of `same_path`."""
    text = failure(checks.same_path, "model1", names, expected, obtained, tolerance, source="here", next="this", **named)
    *lines, source, limits, then = [line.strip() for line in text.splitlines()[1:]]
    assert (source, limits, then) == ("expected  here", "limits    x", "next      this")
    return lines


def test_all_that_differ_in_the_first_step_are_told():
    """Loss and norms that differ in one step are told in order; steps after it differ as a consequence and are not told."""
    lines = differing(path([1.0, 1.0], [1.0, 1.0]), path([1.5, 1.5], [1.25, 1.5]), ["a"])
    assert lines == [
        "first difference: step 1, loss: expected 1, obtained 1.5, relative error 0.5, limit 0.001",
        "step 1, norm of a: expected 1, obtained 1.25, relative error 0.25, limit 0.001",
    ]


def test_eight_lines_are_told():
    """Of ten norms that differ, the first eight."""
    names, due = list("abcdefghij"), [[1.0]] * 10
    lines = differing(path([1.0], *due), path([1.0], *[[2.0]] * 10), names)
    assert [line.partition("norm of ")[2][0] for line in lines] == names[:8]


def test_a_small_norm_is_compared_with_a_thousandth():
    """The error of a norm of 0 is relative to 0.001: 0.0005 is off by a half."""
    assert differing(path([1.0], [0.0]), path([1.0], [0.0005]), ["a"]) == [
        "first difference: step 1, norm of a: expected 0, obtained 0.0005, relative error 0.5, limit 0.001"
    ]


EXACT = {"loss": {"first": 2**-5, "growth": 1.0}, "norm": {"first": 2**-5, "growth": 1.0}, "probability": 0.25, "why": "x"}


def test_the_limit_itself_passes():
    """Errors of exactly their limits pass: powers of two, which have no rounding."""
    due, found = path([1.0], [1.0]), path([1.0 + 2**-5], [1.0 - 2**-5], probability=0.75)
    checks.same_path("model1", ["a"], due, found, EXACT, source="here", next="this")


def test_a_bound_of_five_per_cent_is_judged():
    """The widest bound of use is 0.05 itself: 0.0125 doubles to it in the third step, and the fourth is not judged."""
    bound = {"first": 0.0125, "growth": 2.0}
    assert checks.steps_judged(bound, 6) == 3
    tolerance = {"loss": bound, "norm": bound, "why": "x"}
    due = path([1.0] * 4, [1.0] * 4)
    checks.same_path("model1", ["a"], due, path([1.0, 1.0, 1.0, 9.0], [1.0] * 4), tolerance, source="here", next="this")
    lines = differing(due, path([1.0, 1.0, 1.5, 9.0], [1.0] * 4), ["a"], tolerance)
    assert lines == ["first difference: step 3, loss: expected 1, obtained 1.5, relative error 0.5, limit 0.05"]


def test_a_loss_that_is_not_judged_leaves_its_norms_judged():
    """A norm with a narrow bound is judged also in a step whose loss is not."""
    narrow = {"first": 2**-5, "growth": 1.0}
    tolerance = {"loss": {"first": 1.0, "growth": 1.0}, "norm": narrow, "why": "x"}
    lines = differing(path([1.0], [1.0]), path([9.0], [1.5]), ["a"], tolerance)
    assert lines == ["first difference: step 1, norm of a: expected 1, obtained 1.5, relative error 0.5, limit 0.031"]


AGAIN = {  # losses, and those of the same training once more -> whether they are the same; the bound is 1/32
    "at the bound": ([32.0, 32.0], [32.0, 33.0], True),
    "beyond the bound": ([32.0, 32.0], [32.0, 33.5], False),
    "a loss of 0": ([0.0, 0.0], [0.0, 2**-16], True),
    "far from a loss of 0": ([0.0, 0.0], [0.0, 2**-14], False),
    "nan": ([1.0, 1.0], [1.0, math.nan], False),
}


@pytest.mark.parametrize(("first", "second", "same"), AGAIN.values(), ids=AGAIN)
def test_once_more_is_judged_by_the_bound_of_its_step(first, second, same):
    """Two trainings have the same losses within the loss's bound, relative to the loss or to a thousandth."""
    told = checks.repeated(path(first, [1.0, 1.0]), path(second, [1.0, 1.0]), EXACT)
    assert told == (
        "the same training once more has the same losses"
        if same
        else f"intermittent: the same training once more has another loss in step 2: {second[1]:.7g}, not {first[1]:.7g}"
    )
