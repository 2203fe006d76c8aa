"""Keras 2 beside a newer TensorFlow: where TF_USE_LEGACY_KERAS asks for it, `import keras` gives the package tf_keras.

TensorFlow 2.16 and newer take the variable for `tf.keras` alone. This package and its tests import `keras`, and would go on
to verify Keras 3 instead of the Keras that the environment trains with. Where the variable is not set, nothing is done.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Mapping
from typing import Any

VARIABLE = "TF_USE_LEGACY_KERAS"
PACKAGE = "tf_keras"


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether TensorFlow is asked for Keras 2: the words that TensorFlow itself takes for yes."""
    return environment.get(VARIABLE) in ("true", "True", "1")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads tf_keras as `keras`, and its modules as those of `keras`: the same objects under both names."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """What loads `keras` and `keras.…`; None for every other name."""
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] == "keras" else None

    def exec_module(self, module: Any) -> None:
        """Put the module of tf_keras in the place of the empty one that Python has made."""
        name = module.__name__
        try:
            sys.modules[name] = importlib.import_module(PACKAGE + name[len("keras") :])
        except ModuleNotFoundError as error:
            if error.name == PACKAGE:  # `frameworks` then names the package that is missing
                raise ModuleNotFoundError(f"No module named {PACKAGE!r}, for which {VARIABLE} asks", name=PACKAGE) from error
            raise


def stand_in() -> None:
    """From now on `import keras` gives tf_keras, if it is wanted. Must run before the first `import keras`."""
    if wanted() and not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
