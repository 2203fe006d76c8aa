"""Is `keras` the package tf_keras where TF_USE_LEGACY_KERAS asks for Keras 2, and only there?"""

import os
import subprocess
import sys

import pytest

from cnnspec import frameworks, legacy_keras, stack
from cnnspec.devices.words import describe
from cnnspec.facts import reading

SCRIPT = """
import cnnspec
import keras
import keras.layers
from keras.layers import Dense
import tf_keras.layers
print(keras.__name__, keras.__version__, keras is tf_keras, keras.layers is tf_keras.layers, Dense)
"""


@pytest.fixture
def imported(tmp_path):
    """A function that runs SCRIPT where two small packages, keras 3.0 and tf_keras 2.99, can be imported."""
    for package, version in (("keras", "3.0"), ("tf_keras", "2.99")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"__version__ = {version!r}")
        (tmp_path / package / "layers.py").write_text(f"Dense = 'Dense of {package}'")

    def run(value, script=SCRIPT):
        variables = {name: text for name, text in os.environ.items() if name != legacy_keras.VARIABLE}
        variables |= {"PYTHONPATH": f"{tmp_path}{os.pathsep}{reading.PROJECT}"}
        variables |= {} if value is None else {legacy_keras.VARIABLE: value}
        return subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_it_is_tf_keras(imported, value):
    """The package and its modules are tf_keras' own under both names."""
    assert imported(value).stdout == "tf_keras 2.99 True True Dense of tf_keras\n"


@pytest.mark.parametrize("value", [None, "", "0", "False", "yes"])
def test_it_is_keras(imported, value):
    """Where TensorFlow does not take the variable for yes, nothing changes."""
    assert imported(value).stdout == "keras 3.0 False False Dense of keras\n"


def test_modules_that_tf_keras_lacks(imported):
    """They are missing under the name that was asked for's own; that is not the package being missing."""
    ended = imported("1", "import cnnspec, keras.ops")
    assert ended.stderr.endswith("ModuleNotFoundError: No module named 'tf_keras.ops'\n")


def test_a_missing_package_is_named():
    """One line says what is missing, who asks for it, and the command that installs it."""
    error = ModuleNotFoundError("No module named 'tf_keras'", name="tf_keras")
    assert frameworks.explained(error, {}) == (
        "TF_USE_LEGACY_KERAS asks for Keras 2, but tf_keras is not installed in this environment; install it: "
        f"{sys.executable} -m pip install tf-keras; or unset TF_USE_LEGACY_KERAS"
    )


def test_the_stack_says_so(monkeypatch):
    """The description of the stack names the package where it is not keras."""
    monkeypatch.setattr(stack.keras, "__name__", "keras")
    assert "keras_package" not in stack.current()
    monkeypatch.setattr(stack.keras, "__name__", "tf_keras")
    assert f"Keras {stack.keras.__version__} (tf_keras), NumPy" in describe(stack.current())[0]
