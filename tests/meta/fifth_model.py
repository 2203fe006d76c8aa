"""A made-up fifth model, added to a copy of the project in the way that CONTRIBUTING.md describes, step by step."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cnnspec.facts.reading import PROJECT

MODEL = "model5"
FUNCTION = '''

def model5() -> Sequential:
    """A small model of the tests: 1 Conv2D layer, 1 max pool layer, flatten, 1 dense layer."""
    model = Sequential()
    model.add(input_layer(input_shape()))
    model.add(Conv2D(8, kernel_size=(5, 5), activation="relu"))
    model.add(MaxPooling2D(pool_size=(4, 4)))
    model.add(Flatten())
    model.add(Dense(num_classes, activation="softmax"))
    return model


class Architectures('''
SUMMARY = """\
model5,1,conv2d_9,Conv2D,"(None, 24, 24, 8)",208,CONTRIBUTING.md
model5,2,max_pooling2d_8,MaxPooling2D,"(None, 6, 6, 8)",0,CONTRIBUTING.md
model5,3,flatten_5,Flatten,"(None, 288)",0,CONTRIBUTING.md
model5,4,dense_9,Dense,"(None, 10)",2890,CONTRIBUTING.md
"""
INITIALISERS = {
    "use_bias": "True",
    "kernel_initializer": "VarianceScaling",
    "kernel_initializer.scale": "1.0",
    "kernel_initializer.mode": "fan_avg",
    "kernel_initializer.distribution": "uniform",
    "kernel_initializer.seed": "None",
    "bias_initializer": "Zeros",
}
WINDOW = {"padding": "valid"}
CONFIGURATION = {  # (row, class) -> settings
    (1, "Conv2D"): {
        "filters": "8",
        "kernel_size": '"(5, 5)"',
        "strides": '"(1, 1)"',
        "dilation_rate": '"(1, 1)"',
        "activation": "relu",
        **WINDOW,
        **INITIALISERS,
    },
    (2, "MaxPooling2D"): {"pool_size": '"(4, 4)"', "strides": '"(4, 4)"', **WINDOW},
    (4, "Dense"): {"units": "10", "activation": "softmax", **INITIALISERS},
}
TOTALS = "model5,3098,3098,0,CONTRIBUTING.md\n"


def changed(path: Path, before: str, after: str) -> None:
    """Replace a text of a file that must hold it."""
    text = path.read_text(encoding="utf-8")
    assert before in text, f"{path.name} no longer holds {before!r}: bring the fifth model up to date"
    path.write_text(text.replace(before, after), encoding="utf-8")


def appended(path: Path, lines: str) -> None:
    """Add lines to the end of a file."""
    path.write_text(path.read_text(encoding="utf-8") + lines, encoding="utf-8")


def name(project: Path) -> None:
    """Step 1: its name."""
    changed(project / "cnnspec" / "names.py", '"model4")', f'"model4", "{MODEL}")')


def function(project: Path) -> None:
    """Step 2: the function that builds it, and its entry."""
    path = project / "cnnspec" / "architectures.py"
    changed(path, "\n\nclass Architectures(", FUNCTION)
    changed(path, "model4=model4)", f"model4=model4, {MODEL}={MODEL})")


def summary(project: Path) -> None:
    """Step 3: its layers."""
    appended(project / "baselines" / "notebook" / "summary.csv", SUMMARY)


def configuration(project: Path) -> None:
    """Step 3: their settings."""
    lines = [
        f"{MODEL},{row},{layer},{setting},{value},CONTRIBUTING.md\n"
        for (row, layer), settings in CONFIGURATION.items()
        for setting, value in settings.items()
    ]
    appended(project / "baselines" / "notebook" / "configuration.csv", "".join(lines))


def totals(project: Path) -> None:
    """Step 3: its totals."""
    appended(project / "baselines" / "notebook" / "totals.csv", TOTALS)


TOLERANCES = """
[trajectory.model5-sgd]
loss = { first = 2e-6, growth = 1.0, most = 2e-6 }
norm = { first = 2e-6, growth = 1.0, most = 2e-6 }
probability = 1e-6
why = "as model1, which has the same kinds of layers"
measured = "not measured: made up for a test"
"""


def tolerances(project: Path) -> None:
    """Step 4: how far its trajectories may be from float64."""
    appended(project / "baselines" / "tolerances.toml", TOLERANCES)


def trajectories(project: Path) -> None:
    """Step 4: its first steps in float64, by the command that makes them."""
    command = [
        "-m",
        "cnnspec",
        "trajectory",
        "--by",
        "float64",
        "--models",
        MODEL,
        "--out",
        "baselines/trajectories/float64",
    ]
    subprocess.run([sys.executable, *command], cwd=project, check=True, capture_output=True)


STEPS: dict[str, Callable[[Path], None]] = {
    "name": name,
    "function": function,
    "summary": summary,
    "configuration": configuration,
    "totals": totals,
    "tolerances": tolerances,
    "trajectories": trajectories,
}


def copied(folder: Path) -> Path:
    """A copy of the project in a folder, without its history, environments and runs."""
    for file in ("conftest.py", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tox.ini"):
        shutil.copy(PROJECT / file, folder / file)
    for tree in ("cnnspec", "tests", "baselines", "docs", ".github", ".ci"):
        shutil.copytree(PROJECT / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def touched(project: Path) -> list[str]:
    """Files of the copy that are not as in this project, as paths from its root."""
    found = []
    for path in sorted(project.rglob("*")):
        place = path.relative_to(project)
        if path.is_file() and "__pycache__" not in place.parts and not {"reports", ".pytest_cache"} & set(place.parts[:1]):
            original = PROJECT / place
            if not original.exists() or original.read_bytes() != path.read_bytes():
                found.append(place.as_posix())
    return found
