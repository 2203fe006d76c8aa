"""Python's garbage collector, which otherwise costs a twentieth of a run.

The framework and the collected tests are a million objects that live until the run ends. Python looks through them again and
again; pytest asks for five more passes at the end.
"""

import gc

SELDOM = (100_000, 20, 20)  # Python's own: 700 to 2,000 new objects, 10, 10


def pytest_addoption() -> None:
    gc.set_threshold(*SELDOM)  # in the first hook that runs, before the framework is imported


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.freeze()
