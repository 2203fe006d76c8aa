"""Is there a framework here that can be imported? If not: one line that says what is missing and how to install it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping

from cnnspec import legacy_keras
from cnnspec.errors import FrameworkMissing

NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}  # backend of Keras, which is its package -> its name


def look() -> None:
    """See whether Keras and the backend that KERAS_BACKEND names are installed, without an import. Raises FrameworkMissing.

    `require` sees more, and takes seconds.
    """
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in NAMES:
        raise FrameworkMissing(unknown(wanted))
    for package in filter(None, ("keras", wanted)):
        try:
            there = package in sys.modules or importlib.util.find_spec(package)
        except Exception as error:
            raise FrameworkMissing(explained(error, os.environ)) from error
        if not there:
            raise FrameworkMissing(explained(ModuleNotFoundError(name=package), os.environ))


def require() -> None:
    """Import Keras and the framework that is its backend. Raises FrameworkMissing."""
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in NAMES:
        raise FrameworkMissing(unknown(wanted))
    try:
        keras = importlib.import_module("keras")
        backend = keras.backend.backend()
        if backend in NAMES:
            importlib.import_module(backend)
    except Exception as error:  # a framework that does not fit its packages fails with errors of every kind
        raise FrameworkMissing(explained(error, os.environ)) from error
    if backend not in NAMES:
        raise FrameworkMissing(unknown(backend))
    if wanted and wanted != backend:  # Keras 2 takes no notice of the variable
        raise FrameworkMissing(
            f"KERAS_BACKEND={wanted} was asked for, but Keras {keras.__version__} uses {backend}; choose "
            f"KERAS_BACKEND={backend}, or install a newer Keras: {install(f'--upgrade keras {wanted}')}"
        )


def explained(error: Exception, environment: Mapping[str, str]) -> str:
    """What is missing and the command that installs it, on one line, from the error of an import."""
    wanted = environment.get("KERAS_BACKEND") or "tensorflow"
    if wanted not in NAMES:
        return unknown(wanted)
    missing = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing == "keras":
        packages = "tensorflow" if wanted == "tensorflow" else f"keras {wanted}"
        return f"Keras is not installed in this environment; install it and {NAMES[wanted]}: {install(packages)}"
    if missing == legacy_keras.PACKAGE:
        return (
            f"{legacy_keras.VARIABLE} asks for Keras 2, but tf_keras is not installed in this environment; "
            f"install it: {install('tf-keras')}; or unset {legacy_keras.VARIABLE}"
        )
    if missing == "jaxlib":
        missing = "jax"
    if missing in NAMES:
        return (
            f"Keras' backend is {missing}, but {NAMES[missing]} is not installed in this environment; "
            f"install it: {install(missing)}; or choose another backend: {others(missing)}"
        )
    words = " ".join(str(error).split())[:200] or "no message"
    return (
        f"Keras on {NAMES[wanted]} is installed, but cannot be imported ({type(error).__name__}: {words}); "
        f"see the whole error: {sys.executable} -c 'import keras, {wanted}'; "
        f"or install it again: {install(f'--force-reinstall {wanted}')}"
    )


def unknown(backend: str) -> str:
    """What to say of a backend that the suite does not know."""
    return f"Keras' backend is {backend}, which cnnspec does not know; choose another backend: {others(backend)}"


def others(backend: str) -> str:
    """The setting of each backend but this one."""
    return " or ".join(f"KERAS_BACKEND={name}" for name in NAMES if name != backend)


def install(packages: str) -> str:
    """The command that installs packages in this environment."""
    return f"{sys.executable} -m pip install {packages}"
