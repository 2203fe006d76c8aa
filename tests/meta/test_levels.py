"""Does each level run its tiers, cheapest first, and leave the tests of the suite itself to those who ask for them?"""

import subprocess
import sys

import pytest

from cnnspec.facts import reading
from tests.plugin import levels, verdict


def collected(*arguments):
    """Modules that pytest would run with these arguments, in order, and the number of its tests."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider", *arguments]
    output = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, check=True).stdout
    tests = [line for line in output.splitlines() if "::" in line]
    return list(dict.fromkeys(test.split("::")[0] for test in tests)), len(tests)


@pytest.mark.parametrize("level", ["quick", "default", "full"])
def test_a_level_runs_its_tiers_in_order(level):
    """The modules that are collected are those that the verdict of the level asks for, in its order, and no others."""
    modules, _ = collected(f"--level={level}")
    assert modules == [f"tests/{module}.py" for module in levels.tiers(level)]


def test_quick_is_a_part():
    """The quick level's tiers are the verdict's first ones, and it leaves out tests marked as slow."""
    assert tuple(verdict.TIERS)[: len(levels.QUICK)] == levels.QUICK
    _, quick = collected("--level=quick", "tests/test_exact.py")
    _, all_of_it = collected("tests/test_exact.py")
    assert 0 < quick < all_of_it


def test_the_suites_own_tests_come_last():
    """`pytest tests` runs the tiers first and then tests/meta and tests/benchmarks."""
    modules, _ = collected("tests")
    own = [module.startswith(("tests/meta/", "tests/benchmarks/")) for module in modules]
    assert any(own)
    assert own == sorted(own)
