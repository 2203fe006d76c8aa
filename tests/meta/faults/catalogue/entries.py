"""What a fault of the catalogue is, and the list that every module of faults adds to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

# What a fault strikes, or how: the classes by which its results are counted.
KINDS = (
    "layer",  # forward output of a layer
    "gradient",
    "state",  # moving statistics, slots, counters, what is saved and loaded
    "optimizer",
    "loss and metrics",
    "fit",  # batching, epochs, shuffling, validation, evaluate, predict
    "data",
    "random",  # initialisers, dropout's masks, seeds
    "precision",
    "defaults",  # drift of a default, which the caller does not pass
    "conditional",  # one batch size, one mode, after another call, the second model, only in predict
    "rare",  # one element, one time in N, after N calls
    "stack",  # place, versions, what is installed
)


class Fault(NamedTuple):
    """One way to be wrong. `put` puts it into this process, before the test modules are imported."""

    name: str
    kind: str
    story: str  # one line: what goes wrong, where and when
    source: str  # a public report, paper or formula; "made" where it has none
    words: tuple[str, ...]  # of which the message of the failing test must hold one: with it a person finds the cause
    put: Callable[[], object]


CATALOGUE: dict[str, Fault] = {}


def add(name: str, put: Callable[[], object], *, kind: str, story: str, source: str, words: str | tuple[str, ...]) -> None:
    """Add a fault to the catalogue. Raises ValueError where its name is taken, its kind unknown or a text is missing."""
    words = (words,) if isinstance(words, str) else words
    if name in CATALOGUE:
        raise ValueError(f"two faults are called {name}")
    if kind not in KINDS:
        raise ValueError(f"{name}: {kind!r} is none of {', '.join(KINDS)}")
    if not (story.strip() and source.strip() and words and all(word.strip() for word in words)):
        raise ValueError(f"{name}: story, source and words must say something")
    CATALOGUE[name] = Fault(name, kind, story, source, words, put)


def fault(*, kind: str, source: str, words: str | tuple[str, ...]) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Decorate the function that puts a fault in: its name is the fault's, the first line of its docstring the story."""

    def register(put: Callable[[], object]) -> Callable[[], object]:
        story = (put.__doc__ or "").strip().splitlines()[0] if put.__doc__ else ""
        add(put.__name__, put, kind=kind, story=story, source=source, words=words)
        return put

    return register
