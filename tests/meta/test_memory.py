"""Does a process keep its memory for the next step, where the C library can and the user has no settings of their own?"""

import json
import subprocess
import sys

import pytest

from cnnspec import command_options, memory
from cnnspec.facts.reading import PROJECT
from tests.plugin import memory as plugin

BLOCK, ROUNDS = 2**26, 5  # bytes: more than the largest threshold of a mapping, 32 MiB
COUNTING = f"""
import json, resource, sys
from cnnspec import memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        block = bytearray({BLOCK})
        block[:] = bytes(1) * {BLOCK}
        del block
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

by_default = new_pages()
kept = memory.keep()
new_pages()
print(json.dumps([by_default, kept, new_pages()]))
"""


@pytest.mark.skipif(not memory.possible(), reason="another C library, or the user's own settings of malloc")
def test_a_block_is_taken_once():
    """By default every block is new to the system each time; with memory kept none is."""
    output = subprocess.run([sys.executable, "-c", COUNTING], cwd=PROJECT, check=True, capture_output=True, text=True)
    by_default, kept, after = json.loads(output.stdout)
    assert kept
    assert by_default > 0.9 * ROUNDS * BLOCK
    assert after < 0.1 * BLOCK


@pytest.mark.parametrize("variable", ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_settings_of_the_user_stay(variable):
    """Who sets malloc is not overruled."""
    assert not memory.possible({variable: "1"})
    assert not memory.keep({variable: "1"})


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch, platform):
    """Their C libraries have other ways."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("the C library was asked"))
    assert not memory.keep({})


def test_another_c_library_is_left_alone(monkeypatch):
    """musl has no mallopt."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep({})


def test_the_numbers_are_those_of_the_c_library(monkeypatch):
    """In glibc's malloc.h M_MMAP_MAX is −4 and M_TRIM_THRESHOLD is −1: no mapping, and 1 GiB stays."""
    asked = []
    library = type("Library", (), {"mallopt": staticmethod(lambda *pair: asked.append(pair) or 1)})
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    assert memory.possible({})
    assert asked == []
    assert memory.keep({})
    assert asked == [(-4, 0), (-1, 1_073_741_824)]


def test_a_refusal_is_told(monkeypatch):
    """The C library answers 0 to what it does not do."""
    library = type("Library", (), {"mallopt": staticmethod(lambda parameter, value: int(parameter == memory.MMAP_MAX))})
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    assert not memory.keep({})


def test_pytest_and_the_commands_keep_memory(monkeypatch):
    """Both before the framework is imported."""
    asked = []
    monkeypatch.setattr(memory, "keep", lambda: asked.append("kept"))
    plugin.pytest_addoption()
    command_options.choose_device(type("Options", (), {"device": "auto"}))
    assert asked == ["kept"] * 2
