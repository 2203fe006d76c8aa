"""Memory: the C library keeps it, and Python's garbage collector seldom looks through it.

Otherwise the one costs a sixth of a run (`cnnspec.memory`), the other a twenty-fifth: the framework alone is 368,000 objects
(TensorFlow 2.21, Keras 3.15.1) that live until the run ends. Python looks through them again and again, 8 of 216 processor
seconds with `-n 2`; pytest asks for five more passes at the end.
"""

import gc

from cnnspec import memory

SELDOM = (100_000, 20, 20)  # Python's own: 700 to 2,000 new objects, 10, 10


def pytest_addoption() -> None:
    # In the first hook that runs, before the framework is imported.
    memory.keep()
    gc.set_threshold(*SELDOM)


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.freeze()
