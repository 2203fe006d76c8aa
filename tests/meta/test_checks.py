"""Does every comparison fail when it must, with a message that is complete in itself?"""

import dataclasses
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cnnspec.ensembles import bands, quantities
from tests.support import chance, checks, ensembles

LOSS = quantities.log_loss("loss", -1)
ERRORS = quantities.logit_errors("val_accuracy", 1000)
QUARTILES = tuple(math.log(loss) for loss in (0.08, 0.09, 0.1, 0.11, 0.12))
BAND = bands.Band(mean=math.log(0.1), deviation=0.05, size=24, runs=1, alpha=1e-4, quartiles=QUARTILES)


def failure(check, *arguments, **named):
    """The text of a check's failure; the test fails if the check passes.

    The message is printed without a traceback. A debugger stops at the line that called the check, not inside it.
    """
    with pytest.raises(pytest.fail.Exception) as error:
        check(*arguments, **named)
    assert not error.value.pytrace
    assert error.traceback.filter(error)[-1].path == Path(__file__)
    return str(error.value)


def test_equal():
    """An exact comparison passes only for equal values; the message has both, the source and the next step."""
    checks.equal("filters", 32, 32, source="In [5]", next="do this")
    text = failure(checks.equal, "filters", 32, 64, source="In [5]", next="do this")
    assert text.splitlines() == [
        "filters",
        "  expected  32   (from In [5])",
        "  obtained  64",
        "  next      do this",
    ]


CHECKS = (checks.equal, checks.same_settings, checks.close, checks.at_most, checks.near_float64, checks.in_modes)


@pytest.mark.parametrize("check", [*CHECKS, checks.same_path, checks.fail], ids=lambda check: check.__name__)
def test_the_next_command_is_named(check):
    """Source and next command are given by name, so that none is taken for the other or for a value."""
    kinds = {name: each.kind for name, each in inspect.signature(check).parameters.items()}
    named = [name for name, kind in kinds.items() if kind == inspect.Parameter.KEYWORD_ONLY]
    assert named == [name for name in ("source", "sources", "next", "once_more") if name in kinds]


SETTINGS = {  # expected, obtained, lines of the message
    "changed": ({"a": 1}, {"a": 2}, ["a: expected 1 (from here), obtained 2"]),
    "missing": ({"a": 1}, {}, ["a: expected 1 (from here), the stack has no such setting"]),
    **{
        f"extra and on, {value}": (
            {},
            {"b": value},
            [f"b: obtained {value}, a setting that 2019 did not have and that is not off"],
        )
        for value in (3, 1, -1, True)
    },
    "two at once": (
        {"a": 1, "c": "x"},
        {"a": 2, "c": "y"},
        ["a: expected 1 (from here), obtained 2", "c: expected 'x' (from here), obtained 'y'"],
    ),
    "a number is no pair": ({"a": (1, 1)}, {"a": 1}, ["a: expected (1, 1) (from here), obtained 1"]),
    "a pair is no number": ({"a": 1}, {"a": (1, 1)}, ["a: expected 1 (from here), obtained (1, 1)"]),
    "a bool is no number": ({"a": True}, {"a": 1}, ["a: expected True (from here), obtained 1"]),
    "float": ({"a": 0.001}, {"a": 0.0010001}, ["a: expected 0.001 (from here), obtained 0.0010001"]),
    "nan": ({"a": 0.001}, {"a": math.nan}, ["a: expected 0.001 (from here), obtained nan"]),
    "none is not zero": ({"a": None}, {"a": 0}, ["a: expected None (from here), obtained 0"]),
}


@pytest.mark.parametrize(("expected", "obtained", "lines"), SETTINGS.values(), ids=SETTINGS)
def test_same_settings_fails(expected, obtained, lines):
    """Differences are found both ways, and one message lists them all."""
    text = failure(
        checks.same_settings, "settings", expected, obtained, sources=dict.fromkeys(expected, "here"), next="do this"
    )
    assert [line.strip() for line in text.splitlines()[1:-1]] == lines


def test_same_settings_passes():
    """float32 rounding, lists instead of tuples, and settings of a later Keras that are off pass."""
    expected = {"learning_rate": 0.001, "beta_1": 0.9, "strides": (1, 1), "seed": None, "smoothing": 0.0}
    obtained = {"learning_rate": 0.0010000000474974513, "strides": [1, 1], "seed": None, "smoothing": 0.0}
    obtained["beta_1"] = np.float32(0.9)  # Keras 2.13 to 2.15 give settings as NumPy numbers
    later = {"weight_decay": None, "use_ema": False, "renorm_clipping": {}, "label_smoothing": 0.0}
    checks.same_settings("settings", expected, obtained | later, sources=dict.fromkeys(expected, "here"), next="do this")


@pytest.mark.parametrize("obtained", [1.0002, 0.9998, math.nan, math.inf])
def test_close_fails(obtained):
    """A value outside the tolerance, a NaN or an infinite value fails; the message has difference, limit and reason."""
    text = failure(
        checks.close, "loss", 1.0, obtained, {"relative": 1e-4, "why": "rounding"}, source="the log", next="do this"
    )
    assert "limit     rounding" in text
    assert "limit 0.0001)" in text
    assert "expected  1   (from the log)" in text


def test_close_to_zero():
    """Zero is near zero only."""
    told = {"source": "the log", "next": "do this"}
    checks.close("loss", 0.0, 0.0, {"relative": 1e-4, "why": "rounding"}, **told)
    assert "relative difference inf" in failure(
        checks.close, "loss", 0.0, 1e-9, {"relative": 1e-4, "why": "rounding"}, **told
    )


def test_close_passes():
    """Values within the tolerance pass on both sides."""
    for obtained in (1.00009, 0.99991):
        checks.close("loss", 1.0, obtained, {"relative": 1e-4, "why": "rounding"}, source="the log", next="do this")


def test_the_limit_itself_passes():
    """An error of exactly its limit passes: of 0.5, which has no rounding."""
    checks.close("loss", 2.0, 3.0, {"relative": 0.5, "why": "rounding"}, source="the log", next="do this")
    found = [checks.Finding("layer 1", 0.5, 0.5, "rounding")]
    checks.near_float64("model1", found, next="do this")
    wrong = [checks.Finding("layer 2", 1.0, 0.5, "rounding")]
    assert failure(checks.in_modes, "model1", {"eager": found, "jit": wrong}, next="do this").startswith(
        "model1: wrong in jit, right in eager\n"
    )


@pytest.mark.parametrize(("value", "words"), [(0.15, "above"), (0.07, "below"), (math.inf, "above"), (math.nan, "below")])
def test_within_band_fails(value, words):
    """Values above and below the band, infinite ones and NaN fail; the message has the band and the distance in SD."""
    text = failure(
        ensembles.within_band, "model1: loss", LOSS, BAND, math.log(value), source="a.csv", next="do this", enlarge="enlarge"
    )
    assert "ensemble  minimum 0.0800, quartiles 0.0900 | 0.1000 | 0.1100, maximum 0.1200" in text
    assert "mean 0.1000   (from a.csv, 24 runs)" in text
    assert f" SD {words} the mean" in text
    assert "false-alarm rate 0.0001" in text


@pytest.mark.parametrize("value", [0.1, 0.115, 0.085])
def test_within_band_passes(value):
    """Values inside the band pass on both sides of its mean."""
    ensembles.within_band("model1: loss", LOSS, BAND, math.log(value), source="a.csv", next="do this", enlarge="enlarge")


def test_a_small_ensemble_cannot_tell():
    """With five runs a value inside the band cannot pass: the message says how many runs are missing. Outside it fails."""
    band = dataclasses.replace(BAND, size=5)
    text = failure(
        ensembles.within_band, "model1: loss", LOSS, band, math.log(0.1), source="a.csv", next="do this", enlarge="calibrate"
    )
    assert text.startswith("cannot tell: model1: loss")
    assert f"missing   {band.runs_needed - 5} more runs in the ensemble" in text
    assert text.endswith("next      calibrate")
    text = failure(
        ensembles.within_band, "model1: loss", LOSS, band, math.log(100), source="a.csv", next="do this", enlarge="calibrate"
    )
    assert text.startswith("model1: loss")
    assert text.endswith("next      do this")


def test_a_band_of_counts_ends_at_none_and_at_all():
    """A band of error counts lies between no image and all of them."""
    band = bands.Band(mean=-3.0, deviation=2.0, size=24, runs=1, alpha=1e-4, quartiles=(-5, -4, -3, -2, -1))
    text = failure(
        ensembles.within_band,
        "model1: errors",
        ERRORS,
        band,
        40.0,
        source="a.csv",
        next="do this",
        enlarge="enlarge",
    )
    assert "expected  0.0 to 999.1" in text
    assert "obtained  1000.0" in text


PICTURES = {  # value in half-widths from the mean -> the line
    "mean": (0.0, "          [         o         ]          "),
    "inside": (0.5, "          [         |    o    ]          "),
    "above": (1.5, "          [         |         ]    o     "),
    "far above": (9.0, "          [         |         ]         >"),
    "far below": (-9.0, "<         [         |         ]          "),
    "nan": (math.nan, "          [         |         ]         >"),
}


@pytest.mark.parametrize(("distance", "expected"), PICTURES.values(), ids=PICTURES)
def test_picture(distance, expected):
    """The line of text marks the place of the value in its band."""
    assert ensembles.picture(BAND, BAND.mean + distance * BAND.half_width) == expected


@pytest.mark.parametrize("error", [2e-5, math.nan, math.inf])
def test_near_float64_fails(error):
    """A tensor beyond its limit is named, with the precision that its error is typical of; each reason is printed once."""
    findings = [
        checks.Finding("layer 1", 1e-7, 1e-5, "rounding"),
        checks.Finding("layer 2", error, 1e-5, "rounding", "TF32 or float16"),
        checks.Finding("layer 3", error, 1e-5, "rounding"),
    ]
    text = failure(checks.near_float64, "model1", findings, next="do this")
    assert f"layer 2: relative error {error:.2g}, limit 1e-05; typical of TF32 or float16\n" in text
    assert f"layer 3: relative error {error:.2g}, limit 1e-05\n" in text
    assert text.count("limit     rounding") == 1
    assert "layer 1" not in text
    checks.near_float64("model1", findings[:1], next="do this")


MODES = {  # errors by mode, the limit is 1 -> the first lines of the message
    "one of two": (
        {"eager": 0.0, "jit": 2.0},
        ["model1: wrong in jit, right in eager", "jit, layer 1: relative error 2, limit 1"],
    ),
    "one of three": (
        {"eager": 0.0, "jit": math.nan, "graph": 0.0},
        ["model1: wrong in jit, right in eager, graph", "jit, layer 1: relative error nan, limit 1"],
    ),
    "both": (
        {"eager": 3.0, "jit": 2.0},
        [
            "model1: wrong in eager, jit, right in no other mode",
            "eager, layer 1: relative error 3, limit 1",
            "jit, layer 1: relative error 2, limit 1",
        ],
    ),
}


@pytest.mark.parametrize(("errors", "lines"), MODES.values(), ids=MODES)
def test_in_modes(errors, lines):
    """The message says in which modes a tensor is wrong and in which right; right in all modes passes."""
    found = {mode: [checks.Finding("layer 1", error, 1.0, "rounding")] for mode, error in errors.items()}
    text = failure(checks.in_modes, "model1", found, next="do this")
    assert [line.strip() for line in text.splitlines()][: len(lines) + 1] == [
        *lines,
        "expected  the float64 implementation in cnnspec/oracle/",
    ]
    near = [checks.Finding("layer 1", 0.5, 1.0, "rounding")]
    checks.in_modes("model1", {mode: near for mode in errors}, next="do this")


DRAWS = np.random.default_rng(5).uniform(-1, 1, 5000)
WRONG = {  # draws that are not uniform on ±1 -> what the message says
    "shifted": (DRAWS + 0.2, "mean: expected 0"),
    "narrow": (DRAWS * 0.8, "variance: expected 0.333333"),
    "another shape": (np.random.default_rng(5).normal(0, math.sqrt(1 / 3), 5000), "limit 1.7e-07: the values do not follow"),
    "nan": (np.append(DRAWS, math.nan), "mean: expected 0"),
    "too even": (np.linspace(-1, 1, 5000), "limit 1.7e-07: the values are too even to be random"),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_drawn_from_fails(values, message):
    """A wrong mean, variance or shape fails."""
    assert message in failure(chance.drawn_from, "kernel", values, stats.uniform(-1, 2), 1e-6, next="do this")


def test_the_checks_of_chance():
    """Right draws pass; a wrong share and two equal series fail, and the message has the obtained value."""
    chance.drawn_from("kernel", DRAWS, stats.uniform(-1, 2), 1e-6, next="do this")
    chance.proportion("zeros", 2520, 10000, 0.25, 1e-6, next="do this")
    assert "obtained  0.28   (p =" in failure(chance.proportion, "zeros", 2800, 10000, 0.25, 1e-6, next="do this")
    chance.uncorrelated("series", DRAWS[:2500], DRAWS[2500:], 1e-6, next="do this")
    assert "obtained  1" in failure(chance.uncorrelated, "series", DRAWS, DRAWS, 1e-6, next="do this")


COUNTS = {  # counts of 1,000 trials each at a rate of 0.25 -> what the message says
    "always the same": (np.full(64, 250), "obtained  0 times"),
    "always the same, of two": (np.full(2, 250), "obtained  0 times"),
    "all or none": (np.repeat([0, 1000], [48, 16]), "obtained  1000 times"),
    "twice the variance": (250 + np.tile([-19, 20], 200), "obtained  2.029 times"),
    "nan": (np.full(64, math.nan), "obtained  nan times"),
}


@pytest.mark.parametrize(("counts", "message"), COUNTS.values(), ids=COUNTS)
def test_spread_of_counts_fails(counts, message):
    """Counts that spread less or more than a binomial distribution's fail."""
    assert message in failure(chance.spread_of_counts, "zeros", counts, 1000, 0.25, 1e-6, next="do this")


def fails(check, *arguments):
    """Whether a check fails at a rate of 1 %."""
    try:
        check("draws", *arguments, 0.01, next="do this")
    except pytest.fail.Exception:
        return True
    return False


@pytest.mark.parametrize("size", [2, 40, 400])
def test_spread_of_counts_keeps_its_rate(size):
    """Of 2,000 sets of binomial counts, of 30 or of 3,000 trials, 1 % fail; 32 are as rare as 0.5 %, and 10 as 1 %."""
    generator = np.random.default_rng(7)
    trials = np.where(np.arange(size) % 2, 30, 3000)
    failed = sum(fails(chance.spread_of_counts, generator.binomial(trials, 0.25), trials, 0.25) for _ in range(2000))
    assert 10 <= failed <= 32


def kernel(unit):
    """A kernel (64, 10) of uniform draws whose third unit is another."""
    found = np.random.default_rng(8).uniform(-0.5, 0.5, (64, 10))
    found[:, 2] = unit
    return found


UNITS = {
    "zeros": (0.0, "number 3: expected a number of 0.384 or more, the largest is 0"),
    "small": (np.linspace(-0.3, 0.3, 64), "number 3: expected a number of 0.384 or more, the largest is 0.3"),
    "all of one sign": (np.linspace(0.0, 0.5, 64), "number 3: expected a mean of 0 ± 0.2, obtained 0.25"),
    "nan": (math.nan, "number 3: expected a number of 0.384 or more, the largest is nan"),
}


@pytest.mark.parametrize(("unit", "message"), UNITS.values(), ids=UNITS)
def test_a_unit_that_is_drawn_otherwise(unit, message):
    """A part of a kernel that is too small or leans is named."""
    assert message in failure(chance.uniform_parts, "kernel", kernel(unit), 1, 0.5, 1e-6, next="do this")


@pytest.mark.parametrize("shape", [(3, 3, 1, 32), (40, 10), (2000, 4)], ids=str)
def test_uniform_parts_keep_their_rate(shape):
    """Of 1,000 kernels of uniform draws at most 1 % have a part that fails: more than 20 are as rare as 0.2 %."""
    generator = np.random.default_rng(9)
    found = [fails(chance.uniform_parts, generator.uniform(-1, 1, shape), len(shape) - 1, 1.0) for _ in range(1000)]
    assert sum(found) <= 20


def test_a_sample_that_stays():
    """A sample that is in one batch in 11 of 12 epochs fails; of 1,000 sets of random orders at most 1 % fail."""
    generator = np.random.default_rng(10)
    sets = [generator.multinomial(12, [1 / 8] * 8, 64) for _ in range(1000)]
    assert sum(fails(chance.no_more_than, times, 12, 1 / 8) for times in sets) <= 20
    sets[0][5, 3] = 11
    assert "obtained  11 of 12   (p = " in failure(chance.no_more_than, "fit", sets[0], 12, 1 / 8, 1e-6, next="do this")


ROWS = np.arange(1000)
EVEN = np.tile(np.arange(8), 125)  # each eighth row in one batch: nearly as many of each tenth
PAIRS = np.random.default_rng(3).permutation(np.repeat(np.arange(8), 63)[:500]).repeat(2)
ORDERS = {  # numbers of the batches -> words of the message about tenths of the data, and about neighbours
    "sorted": (ROWS // 128, "too uneven", "at a distance of"),
    "even": (EVEN, "too even", "obtained  1 at a distance of 8 "),
    "in pairs": (PAIRS, None, "at a distance of 1 "),
}


@pytest.mark.parametrize(("batches", "groups", "neighbours"), ORDERS.values(), ids=ORDERS)
def test_orders_that_are_not_random(batches, groups, neighbours):
    """An order that is too uneven or too even in its batches fails, and so do samples that come together too often."""
    if groups:
        assert groups in failure(chance.unrelated, "fit", ROWS // 100, batches, 1e-6, next="do this")
    assert neighbours in failure(chance.scattered, "fit", batches, 1e-6, next="do this")


def test_random_orders_keep_their_rates():
    """Of 1,000 random orders 1 % fail each check: more than 20 are as rare as 0.2 %."""
    generator = np.random.default_rng(11)
    batches = ROWS // 128
    orders = [generator.permutation(batches) for _ in range(1000)]
    assert 1 <= sum(fails(chance.unrelated, ROWS // 100, order) for order in orders) <= 20
    assert sum(fails(chance.scattered, order) for order in orders[:300]) <= 9  # the rates of distances add up to less


@pytest.mark.parametrize("value", [1.1, math.nan])
def test_at_most_fails(value):
    """A value above the bound fails, and so does a NaN; the bound itself passes."""
    checks.at_most("weight", 1.0, 1.0, source="the bound", next="do this")
    assert "expected  at most 1   (from the bound)" in failure(
        checks.at_most, "weight", value, 1.0, source="the bound", next="do this"
    )
