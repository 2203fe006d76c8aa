"""Is the stack that was asked for the one that is imported, and is it installed once?

CNNSPEC_EXPECT says what was asked for, a word each: `python==3.11.* tensorflow==2.12.* keras==2.12.* backend=tensorflow`.
Every environment of the matrix in tox.ini sets it.
"""

import importlib
import importlib.metadata
import os
import platform
import re

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from cnnspec.compat import backend
from tests.support import checks

VARIABLE = "CNNSPEC_EXPECT"
NEXT = "make the environment anew: tox run -r -e ENVIRONMENT; then compare its pins in tox.ini with python -m pip list"


def imported(name):
    """Version of what runs here: of Python, or of a module that is imported."""
    return platform.python_version() if name == "python" else importlib.import_module(name).__version__


def met(word):
    """Whether a word of CNNSPEC_EXPECT holds, and what was found. Raises ValueError for a malformed word, ImportError."""
    name, wanted = re.fullmatch(r"(\w*)(.*)", word).groups()
    if name == "backend":
        return wanted == f"={backend()}", backend()
    if not wanted:
        raise ValueError(word)
    found = imported(name)
    return SpecifierSet(wanted).contains(found, prereleases=True), found


def differences(asked):
    """What of the words in `asked` is not what is imported, a line each."""
    lines = []
    for word in asked.split():
        try:
            holds, found = met(word)
        except ImportError as error:
            lines.append(f"{word}: asked for, but {error}")
        except ValueError:
            lines.append(f"{word}: neither NAME==VERSION nor backend=NAME")
        else:
            if not holds:
                lines.append(f"{word}: asked for, {found} is imported")
    return lines


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} is not set, no stack was asked for: tox run -m matrix")
def test_what_was_asked_for_is_imported():
    """Python, framework, Keras and backend are those that CNNSPEC_EXPECT asks for."""
    asked = os.environ[VARIABLE]
    lines = differences(asked) if asked.split() else ["nothing: it is set, but empty"]
    if lines:
        checks.fail(f"the stack that {VARIABLE} asks for", lines, next=NEXT)


@pytest.mark.parametrize("name", dict.fromkeys((backend(), "keras", "numpy")))
def test_installed_once(name):
    """What is imported is the version that every installed distribution of this module has.

    With tensorflow and tensorflow-cpu of two versions side by side, the files of one lie over those of the other.
    """
    providers = importlib.metadata.packages_distributions().get(name, [])
    installed = {provider: Version(importlib.metadata.version(provider)).public for provider in providers}
    expected = dict.fromkeys(installed, Version(imported(name)).public)
    checks.equal(f"{name}: versions of what is installed", expected, installed, source=f"{name}.__version__", next=NEXT)
