"""Which warnings fail a test: none of a framework's, those of this project's own lines where the suite itself is tested."""

import shutil
import tomllib

import pytest

from cnnspec.facts import reading

WARN = """
import warnings

import pytest

def test_it():
    warnings.warn_explicit("said", {kind}, "file.py", 3, module="{module}")
"""
LATE = """
class Framework:
    def __del__(self): raise ValueError("too late")

def test_it():
    Framework()
"""
RETURNS = """
def test_it():
    return 1
"""
CASES = {  # test -> passed by a user, passed where the suite itself is tested
    "a framework's next release": (WARN.format(kind="DeprecationWarning", module="torch.jit._script"), True, True),
    "a framework's advice": (WARN.format(kind="UserWarning", module="keras.src.layers"), True, True),
    "a number of a framework": (WARN.format(kind="RuntimeWarning", module="tensorflow.python"), True, True),
    "another package called tests": (WARN.format(kind="RuntimeWarning", module="testslike.module"), True, True),
    "what this project calls": (WARN.format(kind="DeprecationWarning", module="cnnspec.training"), True, False),
    "what a test calls": (WARN.format(kind="FutureWarning", module="tests.support.probes"), True, False),
    "a number of this project": (WARN.format(kind="RuntimeWarning", module="cnnspec.oracle.layers"), False, False),
    "an object that is thrown away": (LATE, True, False),
    "another plugin of pytest": (WARN.format(kind="pytest.PytestDeprecationWarning", module="a_plugin"), True, True),
    "a test that returns what it should assert": (RETURNS, True, False),
}


def filtered_as_here(pytester):
    """Give a pytester project the filters of this project's warnings."""
    content = tomllib.loads((reading.PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    filters = "\n".join(f"    {each}" for each in content["tool"]["pytest"]["filterwarnings"])
    pytester.makeini(f"[pytest]\nfilterwarnings =\n{filters}")


@pytest.mark.parametrize("strict", [False, True], ids=["a user", "the suite's own tests"])
@pytest.mark.parametrize(("test", "user", "own"), CASES.values(), ids=CASES)
def test_a_warning(pytester, test, user, own, strict):
    """A warning of a framework never fails a test, whatever its kind."""
    filtered_as_here(pytester)
    if strict:
        shutil.copy(reading.PROJECT / "tests" / "meta" / "conftest.py", pytester.path / "conftest.py")
    pytester.makepyfile(test)
    passes = own if strict else user
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:benchmark").assert_outcomes(
        passed=int(passes), failed=int(not passes)
    )


def test_a_plugin_that_warns_at_the_start(pytester):
    """A plugin that is installed beside the suite may warn of its settings, as pytest-asyncio 1.5 does of one not set."""
    filtered_as_here(pytester)
    warns = "import warnings, pytest\ndef pytest_configure(): warnings.warn(pytest.PytestDeprecationWarning('unset'))"
    pytester.makepyfile(a_plugin=warns, test_it="def test_it(): pass")
    pytester.runpytest_subprocess("-p", "a_plugin", "-p", "no:cacheprovider").assert_outcomes(passed=1)
