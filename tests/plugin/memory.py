"""Python's garbage collector, which otherwise costs a twenty-fifth of a run.

The framework alone is 368,000 objects (TensorFlow 2.21, Keras 3.15.1) that live until the run ends. Python looks through
them again and again, 8 of 216 processor seconds with `-n 2`; pytest asks for five more passes at the end.
"""

import gc

SELDOM = (100_000, 20, 20)  # Python's own: 700 to 2,000 new objects, 10, 10


def pytest_addoption() -> None:
    gc.set_threshold(*SELDOM)  # in the first hook that runs, before the framework is imported


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.freeze()
