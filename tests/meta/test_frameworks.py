"""Where there is no framework, or one that does not import: is it said on one line, with the command that installs it?"""

import json
import os
import subprocess
import sys

import pytest

from cnnspec import compat, frameworks
from cnnspec.errors import FrameworkMissing
from cnnspec.facts import reading
from tests.plugin import devices

PIP = f"{sys.executable} -m pip install"
BLOCKED = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise {error}

sys.meta_path.insert(0, Refuse())
"""
NOT_THERE = "ModuleNotFoundError(f'No module named {name!r}', name=name)"
MISSING = {  # KERAS_BACKEND, what is not there, the error of its import -> the line
    "no Keras": (
        "tensorflow",
        ("keras",),
        NOT_THERE,
        f"error: Keras is not installed in this environment; install it and TensorFlow: {PIP} tensorflow",
    ),
    "no JAX": (
        "jax",
        ("jax", "jaxlib"),
        NOT_THERE,
        f"error: Keras' backend is jax, but JAX is not installed in this environment; install it: {PIP} jax; "
        "or choose another backend: KERAS_BACKEND=tensorflow or KERAS_BACKEND=torch",
    ),
    "broken": (
        "tensorflow",
        ("tensorflow",),
        "ImportError('libcuda.so.1: cannot open\\n shared object')",
        "error: Keras on TensorFlow is installed, but cannot be imported (ImportError: libcuda.so.1: cannot open shared "
        f"object); see the whole error: {sys.executable} -c 'import keras, tensorflow'; "
        f"or install it again: {PIP} --force-reinstall tensorflow",
    ),
}
KERAS_3 = compat.KERAS_VERSION >= (3, 0)  # the first that has other backends
COMMANDS = {
    "pytest": ["pytest", "-p", "no:cacheprovider", "tests/test_stack.py"],
    "verify": ["cnnspec", "verify"],
    "train": ["cnnspec", "train", "model1"],
    "calibrate": ["cnnspec", "calibrate", "--out", "nowhere"],
    "paired": ["cnnspec", "paired", "--out", "nowhere"],
    "trajectory": ["cnnspec", "trajectory", "--out", "nowhere"],
}


@pytest.fixture
def without(tmp_path):
    """A function that runs a module in a process where packages cannot be imported."""

    def run(command, backend, names, error):
        (tmp_path / "sitecustomize.py").write_text(BLOCKED.format(names=names, error=error), encoding="utf-8")
        variables = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{reading.PROJECT}", "KERAS_BACKEND": backend}
        arguments = [sys.executable, "-m", *command]
        return subprocess.run(arguments, cwd=reading.PROJECT, env=variables, capture_output=True, text=True)

    return run


def said(ended):
    """Lines of a process that has ended, but for the first one of a run, which says what it waits for."""
    return [line for line in (ended.stdout + ended.stderr).splitlines() if line != devices.IMPORTING]


@pytest.mark.parametrize(
    ("backend", "names", "error", "line"),
    [value for key, value in MISSING.items() if KERAS_3 or key != "no JAX"],
    ids=[key for key in MISSING if KERAS_3 or key != "no JAX"],
)
def test_one_line_says_what_is_missing(without, backend, names, error, line):
    """Plain pytest in a clone ends with this line and exit code 2, and nothing else."""
    ended = without(COMMANDS["pytest"], backend, names, error)
    assert said(ended) == [line]
    assert ended.returncode == 2


@pytest.mark.parametrize("missing", MISSING if KERAS_3 else ["no Keras", "broken"])
def test_workers_say_it_once(without, missing):
    """Where `pytest -n 2` leaves the import to its workers: before they start, or as soon as the first cannot import."""
    backend, names, error, line = MISSING[missing]
    ended = without([*COMMANDS["pytest"], "-n", "2"], backend, names, error)
    assert (ended.stdout + ended.stderr).count(line) == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.returncode == 2


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_says_it(without, command):
    """So does every command that trains."""
    ended = without(command, "tensorflow", *MISSING["no Keras"][1:3])
    assert said(ended) == [MISSING["no Keras"][3]]
    assert ended.returncode == 2


def test_json_has_it(without):
    """`verify --json` has the same line as its reason."""
    ended = without(["cnnspec", "verify", "--json"], "tensorflow", *MISSING["no Keras"][1:3])
    told = json.loads(ended.stdout)
    assert (told["exit_code"], told["verdict"], told["stack"]) == (2, "no verdict", None)
    assert f"error: {told['reason']}" == MISSING["no Keras"][3]
    assert ended.returncode == 2


def test_help_needs_no_framework(without):
    """pytest --help, and the help of the command, work without a framework."""
    for command in (["pytest", "--help"], ["cnnspec", "verify", "--help"]):
        ended = without(command, "tensorflow", *MISSING["no Keras"][1:3])
        assert ended.returncode == 0
        assert "--level" in ended.stdout or "--device" in ended.stdout


def test_a_backend_that_nobody_knows(monkeypatch):
    """A backend that Keras refuses, and one that only cnnspec does not know: both are named, with those that are known."""
    others = "choose another backend: KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax or KERAS_BACKEND=torch"
    said = frameworks.explained(ValueError("Unable to import backend : theano"), {"KERAS_BACKEND": "theano"})
    assert said == f"Keras' backend is theano, which cnnspec does not know; {others}"
    monkeypatch.setattr("keras.backend.backend", lambda: "openvino")
    with pytest.raises(FrameworkMissing, match="backend is openvino, which cnnspec does not know"):
        frameworks.require()


def test_an_odd_backend_is_told_before_anything_is_imported(without):
    """Keras is not even there: the variable is what is told. An empty one asks for nothing."""
    ended = without(COMMANDS["train"], "theano", *MISSING["no Keras"][1:3])
    assert said(ended)[0].startswith("error: Keras' backend is theano, which cnnspec does not know; choose another backend")
    assert ended.returncode == 2
    assert said(without(COMMANDS["train"], "", *MISSING["no Keras"][1:3])) == [MISSING["no Keras"][3]]


def test_a_backend_that_is_not_taken(monkeypatch):
    """A Keras that takes no notice of KERAS_BACKEND computes on another backend than the one asked for: that is said."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    monkeypatch.setattr("importlib.import_module", {"keras": compat.keras, "tensorflow": None}.get)
    with pytest.raises(FrameworkMissing, match=r"KERAS_BACKEND=jax was asked for, but Keras \S+ uses tensorflow; choose "):
        frameworks.require()


def test_the_framework_here_is_found():
    """Nothing is said of the stack that these tests run on."""
    frameworks.require()
