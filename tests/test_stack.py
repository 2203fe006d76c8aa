"""Is the requested stack the one that is imported, installed once, right from the start, and does it compute where it says?

CNNSPEC_EXPECT holds the request, separated by spaces: `python==3.11.* tensorflow==2.12.* keras==2.12.* backend=tensorflow`.
Every environment of the matrix in tox.ini sets it.
"""

import functools
import importlib
import importlib.metadata
import os
import platform
import re

import keras
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from cnnspec import stack
from cnnspec.calls import as_called
from cnnspec.compat import backend
from tests.support import checks, first_calls, in_turn, located

VARIABLE = "CNNSPEC_EXPECT"
LONGEST = 200  # characters of a word, a version or an error in a line
NEXT = "recreate the environment: tox run -r -e ENVIRONMENT; then compare its pins in tox.ini with python -m pip list"


def imported(name):
    """Version of Python, or of a module as it is imported here."""
    return platform.python_version() if name == "python" else importlib.import_module(name).__version__


def asked_by(word):
    """(name, whether a version is the one asked for) of a word of CNNSPEC_EXPECT. Raises ValueError if it is malformed."""
    name, wanted = re.fullmatch(r"(\w*)(.*)", word, re.DOTALL).groups()
    if name == "backend":
        if not re.fullmatch(r"=\w+", wanted):
            raise ValueError(word)
        return name, lambda found: wanted == f"={found}"
    versions = SpecifierSet(wanted)
    if not name or not len(versions):  # a comma alone is a set of none
        raise ValueError(word)
    return name, lambda found: versions.contains(Version(str(found)), prereleases=True)


def differences(asked):
    """A line for each word of `asked` that is not true here."""
    lines = []
    for word in asked.split():
        try:
            name, holds = asked_by(word)
        except ValueError:
            lines.append(f"{shown(word)}: malformed; write NAME==VERSION or backend=NAME")
            continue
        try:
            found = backend() if name == "backend" else imported(name)
            if not holds(found):
                lines.append(f"{shown(word)}: requested, {shown(found)} is imported")
        except (Exception, SystemExit) as error:  # whatever a module does when it is imported
            lines.append(f"{shown(word)}: requested, but {shown(error) or type(error).__name__}")
    return lines


def shown(words):
    """A word, a version or an error as a part of one short line."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(words))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@pytest.mark.skipif(
    VARIABLE not in os.environ,
    reason=as_called(f"{VARIABLE} is not set: no stack was requested; tox run -m matrix requests one"),
)
def test_what_was_asked_for_is_imported():
    """Python, framework, Keras and backend are those that CNNSPEC_EXPECT requests."""
    asked = os.environ[VARIABLE]
    lines = differences(asked) if asked.split() else ["it is set, but empty"]
    if lines:
        checks.fail(f"the stack that {VARIABLE} requests", lines, next=NEXT)


@functools.cache
def providers():
    """{module: its installed distributions}, which takes as long to find out for one module as for all."""
    return importlib.metadata.packages_distributions()


@pytest.mark.parametrize("name", dict.fromkeys((backend(), "keras", "numpy")))
def test_installed_once(name):
    """All installed distributions of a module have the version that is imported.

    If tensorflow and tensorflow-cpu are installed in two versions, the files of one overwrite those of the other.
    """
    module = importlib.import_module(name).__name__  # tf_keras, where that is imported as keras
    installed = {provider: Version(importlib.metadata.version(provider)).public for provider in providers().get(module, [])}
    expected = dict.fromkeys(installed, Version(imported(name)).public)
    checks.equal(
        f"{name}: versions of its installed distributions", expected, installed, source=f"{name}.__version__", next=NEXT
    )


@pytest.mark.skipif(backend() != "tensorflow", reason="tf.keras is TensorFlow's: tox run -e py312")
def test_tensorflow_has_this_keras():
    """`tf.keras` is the package that is verified here, also where TF_USE_LEGACY_KERAS asks for Keras 2."""
    theirs = importlib.import_module("tensorflow").keras.Sequential
    checks.equal(
        "package of tf.keras.Sequential",
        keras.Sequential.__module__.split(".")[0],
        theirs.__module__.split(".")[0],
        source="import keras in the suite",
        next="unset TF_USE_LEGACY_KERAS, or set it to 1 before the suite starts, and look at python -m pip list",
    )


@pytest.mark.skipif(
    stack.precision() != "float32", reason=f"Keras' policy is {stack.precision()}: results are rounded, run with float32"
)
def test_the_first_calls():
    """The first predict, evaluate, step, update, dropout and shuffled fit are right; a plain run computes nothing before."""
    lines = [line for answer in first_calls.answers() for line in in_turn.wrong(answer, relative=0.0)]
    if lines:
        checks.fail(
            "the first calls of a process, with whole numbers",
            [*lines, "expected  exact arithmetic, and half of the units dropped"],
            next="pytest tests/test_optimizer.py tests/test_dropout.py; if these pass, the first use in a process is wrong",
        )


def test_it_computes_where_it_says(pytestconfig):
    """Variables, slots and outputs of a model lie on the device that was asked for and that the stack names."""
    asked, used, there = pytestconfig.option.device, stack.used(), stack.accelerators()
    fault = stack.misplaced(asked, used, there) if asked != "auto" else None
    expected = used.place if used else "CPU"
    lines = ([fault] if fault else []) + located.elsewhere(expected, located.of_a_model())
    if lines:
        source = f"the device that the stack names: {stack.used_name()}"
        checks.fail(
            f"--device {asked}: where variables and outputs of {located.MODEL} lie",
            [f"expected  {expected}   (from {source})", *lines],
            next="look at KERAS_TORCH_DEVICE, JAX_DEFAULT_DEVICE and tf.device in your own code; then another --device",
        )
