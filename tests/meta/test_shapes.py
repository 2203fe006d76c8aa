"""Does a shape take what it describes, to its last value, and say in words what else it found?"""

import dataclasses

import pytest

from cnnspec import shapes
from cnnspec.shapes import COUNT, EPOCHS, LOSS, NAME, NUMBERS, SECONDS, SEED, SHARE, STACK, TEXT, Maybe, Number, Text

WORDS = {
    Number(): "a number",
    Number(whole=True): "a whole number",
    Number(null=True): "a number or null",
    Number(0): "a number of at least 0",
    Number(0, 1): "a number from 0 to 1",
    Number(high=5): "a number from -1e+300 to 5",
    Number(0, above=True): "a number above 0",
    Number(0, 1, above=True): "a number above 0",
    Number(0, 4294967295, whole=True): "a whole number from 0 to 4294967295",
    Number(0, 4294967295): "a number from 0 to 4.29497e+09",
    Text(): "a text",
    Text(null=True): "a text or null",
    Text(empty=False): "a text that is not empty",
    Text(choices=("a",)): "a",
    Text(choices=("a", "b")): "one of a, b",
    Text(form=("[ab]+", "a word of a and b")): "a word of a and b",
    Text(form=("[ab]+", "a word of a and b"), null=True): "a word of a and b or null",
}


@pytest.mark.parametrize(("shape", "words"), WORDS.items(), ids=map(repr, WORDS))
def test_a_shape_in_words(shape, words):
    """As a message says what was expected."""
    assert str(shape) == words


FITS = {  # shape -> values that have it, values that do not
    NUMBERS: ([0, -1e300, 1e300, 0.5], [True, None, "1", float("nan"), float("inf"), [1]]),
    Number(whole=True): ([0, -7], [0.5, 1.0, False]),
    Number(null=True): ([None, 0], ["x"]),
    Number(0, 1): ([0, 1, 0.5], [-0.001, 1.001]),
    Number(0, 1, above=True): ([1, 1e-300], [0, 0.0, -1]),
    TEXT: (["", "a"], [None, 1, "\ud800", "a\udfff"]),
    Text(null=True): ([None, ""], [0]),
    NAME: (["a"], ["", None]),
    Text(choices=("a", "b")): (["a", "b"], ["c", ""]),
    Text(form=("[ab]+", "")): (["ab"], ["abc", "cab", ""]),
    COUNT: ([0, 10**9], [-1, 10**9 + 1, 0.5]),
    LOSS: ([0, 1e200], [-0.001, 1.001e200]),
    SHARE: ([0, 1, 1.000001], [-0.001, 1.000002]),
    SECONDS: ([1e-9, 1e9], [0, 1e9 + 0.5]),
    SEED: ([0, 2**32 - 1], [-1, 2**32, 1.5]),
    EPOCHS: ([1, 10**6], [0, 10**6 + 1, 1.5]),
}


@pytest.mark.parametrize(("shape", "good", "bad"), [(shape, *values) for shape, values in FITS.items()], ids=map(repr, FITS))
def test_values_of_a_shape(shape, good, bad):
    """Both ends belong to a range; true and false are no numbers; half of a pair of surrogates is no text."""
    assert [value for value in good if not shape.fits(value)] == []
    assert [value for value in bad if shape.fits(value)] == []


CELLS = {  # shape, cell of a CSV -> what it holds
    (Number(), "1"): 1.0,
    (Number(), "-1.5e3"): -1500.0,
    (Number(), ".5"): 0.5,
    (Number(), "1_0"): None,
    (Number(), "nan"): None,
    (Number(null=True), ""): None,
    (Number(whole=True), "12"): 12,
    (Number(whole=True), "1.0"): None,
    (Number(whole=True), "-" + "9" * 18): -(10**18) + 1,
    (Number(whole=True), "1" * 19): None,
    (Number(0, 1), "2"): None,
    (Text(), "a"): "a",
    (NAME, ""): None,
}


@pytest.mark.parametrize(("shape", "cell", "value"), [(*key, value) for key, value in CELLS.items()])
def test_cells_of_a_shape(shape, cell, value):
    """A number of its kind, a text, or None for what has another shape."""
    found = shape.read(cell)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("shape", [Number(), Text()], ids=str)
def test_a_shape_is_a_value(shape):
    """Equal ones are one key of a dict, and none can be changed."""
    assert len({shape, dataclasses.replace(shape)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        shape.null = True


FIELDS = {"why": NAME, "counts": [COUNT], Maybe("most"): SHARE, Maybe("flag"): bool}
OPEN = {"why": NAME, ...: (Text(null=True), NUMBERS)}
SOUND = {
    "fields": ({"why": "a", "counts": []}, FIELDS),
    "fields, all": ({"why": "a", "counts": [1, 2], "most": 1, "flag": False}, FIELDS),
    "others too": ({"why": "a", "b": None, "a": 1.5}, OPEN),
    "no others": ({"why": "a"}, OPEN),
    "any keys": ({"a": 1, "b": 2}, {str: COUNT}),
    "no keys": ({}, {str: COUNT}),
    "one of two": (["a", 1], [(TEXT, NUMBERS)]),
    "the stack": ({**dict.fromkeys(set(STACK) - {"cores", ...}, "x"), "cores": 2, "cuda": None, "threads": 4}, STACK),
}


@pytest.mark.parametrize(("value", "shape"), SOUND.values(), ids=SOUND)
def test_a_value_of_its_shape_has_no_fault(value, shape):
    """None, and not an empty text."""
    assert shapes.misfit(value, shape, "") is None


MISFITS = {
    "no list": (1, [COUNT], "a", "a is not a list"),
    "an item": ([1, -1], [COUNT], "a", "a[1] is -1, not a whole number from 0 to 1000000000"),
    "the first of two": ([-1, -2], [COUNT], "a", "a[0] is -1, not a whole number from 0 to 1000000000"),
    "no object": (1, FIELDS, "", "the file is not an object"),
    "no object inside": (1, FIELDS, "a", "a is not an object"),
    "missing": ({"why": "a"}, FIELDS, "", "fields of the file missing: counts"),
    "missing inside": ({}, FIELDS, "a", "fields of a missing: counts, why"),
    "unknown": ({"why": "a", "counts": [], "y": 1, "x": 1}, FIELDS, "", "fields of the file unknown: x, y"),
    "both": ({"why": "a", "x": 1}, FIELDS, "", "fields of the file missing: counts; unknown: x"),
    "missing beside others": ({"x": 1}, OPEN, "", "fields of the file missing: why"),
    "others of a wrong shape": ({"why": "a", "x": True}, OPEN, "", "x is True, not a text or null or a number"),
    "no flag": ({"why": "a", "counts": [], "flag": 1}, FIELDS, "", "flag is 1, not true or false"),
    "a field of any name": ({"a": 1, "b": -1}, {str: COUNT}, "c", "c.b is -1, not a whole number from 0 to 1000000000"),
    "a name that is no text": (
        {"\ud800": 1},
        {str: COUNT},
        "",
        "the file has the field '\\ud800', whose name is not a text",
    ),
    "the same inside": ({"\ud800": 1}, {str: COUNT}, "a", "a has the field '\\ud800', whose name is not a text"),
    "one of two": (
        None,
        (bool, [COUNT]),
        "a",
        "a is None, not true or false or a list of a whole number from 0 to 1000000000",
    ),
    "the first field by name": ({"why": "", "counts": [], "most": 2}, FIELDS, "", "most is 2, not a number from 0 to 1"),
}


@pytest.mark.parametrize(("value", "shape", "place", "words"), MISFITS.values(), ids=MISFITS)
def test_the_first_fault_in_words(value, shape, place, words):
    """Its place, what stands there, and what belongs there."""
    assert shapes.misfit(value, shape, place) == words


STACKS = {
    "sound": ({"framework": "tensorflow 2.21.0", "backend": "tensorflow"}, None),
    "no backend": ({"framework": "tensorflow 2.21.0"}, None),
    "no version": (
        {"framework": "tensorflow"},
        "stack.framework is 'tensorflow', not a name and a version such as 'tensorflow 2.21.0'",
    ),
    "no name": ({"framework": " 2"}, "stack.framework is ' 2', not a name and a version such as 'tensorflow 2.21.0'"),
    "another": ({"framework": "jax 0.7", "backend": "torch"}, "stack.backend is 'torch', stack.framework 'jax 0.7'"),
}


@pytest.mark.parametrize(("stack", "words"), STACKS.values(), ids=STACKS)
def test_the_framework_of_a_stack(stack, words):
    """A name and a version, and the name is that of the backend."""
    assert shapes.fault_of_framework(stack) == words


HISTORIES = {
    "sound": ({"seconds": [1, 2], "loss": [0, 7.5], "val_accuracy": [0, 1], "learning_rate": [-1, 2]}, None),
    "no seconds": ({"loss": [1]}, "fields of history missing: seconds"),
    "no epoch": ({"seconds": []}, "history.seconds is empty"),
    "lengths": ({"seconds": [1], "loss": [1, 2]}, "history.loss has 2 values, and the seconds are those of 1 epoch"),
    "fewer": ({"seconds": [1, 2], "loss": [1]}, "history.loss has 1 value, and the seconds are those of 2 epochs"),
    "a second": ({"seconds": [0]}, "history.seconds[0] is 0, not a number from 1e-09 to 1e+09"),
    "a loss": ({"seconds": [1], "val_loss": [-1]}, "history.val_loss[0] is -1, not a number from 0 to 1e+200"),
    "a share": ({"seconds": [1], "accuracy": [2]}, "history.accuracy[0] is 2, not a number from 0 to 1"),
}


@pytest.mark.parametrize(("history", "words"), HISTORIES.values(), ids=HISTORIES)
def test_the_history_of_a_training(history, words):
    """A value in its range for each epoch of every metric."""
    assert shapes.fault_of_history(history, "history") == words


@pytest.mark.parametrize(
    ("text", "words"),
    [("a\nb\x1b", "a?b?"), ("x" * 80, "x" * 80), ("x" * 81, "x" * 79 + "…")],
    ids=["control characters", "80 characters", "81 characters"],
)
def test_a_text_on_one_line(text, words):
    """Of 80 characters at most."""
    assert shapes.one_line(text) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10**30, "1" + "0" * 30),
        (10**30 + 1, "a number of 31 digits"),
        (-(10**40), "a number of 41 digits"),
        (True, "True"),
        (1e300, "1e+300"),
        ("a\n", r"'a\n'"),
    ],
)
def test_a_value_in_a_message(value, words):
    """As Python writes it; of a long number its digits, which need not be counted one by one."""
    assert shapes.shown(value) == words
