"""The binary search: two ends that are known, releases between them, and some that cannot be judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from cnnspec.errors import BisectError

PASSES, FAILS, SKIPPED = "passes", "fails", "skipped"


@dataclasses.dataclass(frozen=True)
class Tried:
    """What one release did: PASSES, FAILS or SKIPPED, pytest's exit code where it ran, and what it found, in words."""

    verdict: str
    reason: str
    code: int | None = None
    seconds: float = 0.0
    requirements: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Found:
    """Between `before` and `first` the verdict changes; the releases `between` them could not be judged."""

    before: str
    first: str
    verdict: str
    between: tuple[str, ...] = ()

    def told(self, package: str, what: str) -> str:
        """The result in one line."""
        other = PASSES if self.verdict == FAILS else FAILS
        if not self.between:
            return f"{package} {self.first} is the first that {self.verdict}: {what}; {self.before} {other}"
        return (
            f"{package}: one of {', '.join([*self.between, self.first])} is the first that {self.verdict}: {what}; "
            f"{self.before} {other}, and what lies between cannot be judged"
        )


def search(releases: Sequence[str], rising: bool, judge: Callable[[str, str], Tried]) -> Found:
    """The first of `releases`, from old to new, whose verdict is that of the newest.

    The oldest must pass and the newest fail if `rising`, else the other way round; both are judged first. `judge` takes a
    release and how far the search is, in words. Raises BisectError where an end is not what it must be.
    """
    verdicts = (PASSES, FAILS) if rising else (FAILS, PASSES)
    ends = list(zip((releases[0], releases[-1]), verdicts, strict=True))
    for release, due in ends if rising else ends[::-1]:  # the good one first
        name = "good" if due == PASSES else "bad"
        tried = judge(release, f"the {name} end")
        if tried.verdict != due:
            raise BisectError(
                f"{release} was given as --{name}, but {said(tried)}; give another release, or other tests behind --"
            )
    low, high = 0, len(releases) - 1
    skipped: set[int] = set()
    while left := [place for place in range(low + 1, high) if place not in skipped]:
        middle = (low + high) / 2
        place = min(left, key=lambda each: abs(each - middle))
        tried = judge(releases[place], f"{len(left)} between {releases[low]} and {releases[high]}")
        if tried.verdict == SKIPPED:
            skipped.add(place)
        elif tried.verdict == verdicts[0]:
            low = place
        else:
            high = place
    return Found(releases[low], releases[high], verdicts[1], tuple(releases[low + 1 : high]))


def said(tried: Tried) -> str:
    """A verdict with its reason, as part of a sentence."""
    return f"it has no verdict ({tried.reason})" if tried.verdict == SKIPPED else f"it {tried.verdict} ({tried.reason})"
