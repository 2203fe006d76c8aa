"""Does the search end at the right release, with as few runs as it may, past releases that cannot be judged?"""

import itertools
import math

import pytest

from cnnspec.bisect.search import FAILS, PASSES, SKIPPED, Found, Tried, search
from cnnspec.errors import BisectError


def judge_of(verdicts):
    """A judge that knows the verdict of each release, and the list of releases that it was asked for."""
    asked = []

    def judge(release, where):
        asked.append(release)
        return Tried(verdicts[release], "why")

    return judge, asked


@pytest.mark.parametrize(("count", "rising"), [*itertools.product([2, 3, 4, 9, 33], [True, False])])
def test_every_place_is_found(count, rising):
    """Wherever the change lies, brought or mended, it is found, each release judged once, as few as a halving needs."""
    releases = [f"1.{number}" for number in range(count)]
    before, after = (PASSES, FAILS) if rising else (FAILS, PASSES)
    for change in range(1, count):
        judge, asked = judge_of({release: after if at >= change else before for at, release in enumerate(releases)})
        assert search(releases, rising, judge) == Found(releases[change - 1], releases[change], after)
        assert len(asked) == len(set(asked)) <= 2 + math.ceil(math.log2(max(1, count - 1)))
        assert asked[0] == (releases[0] if rising else releases[-1])


@pytest.mark.parametrize("skipped", [each for n in range(6) for each in itertools.combinations(range(1, 6), n)])
def test_what_cannot_be_judged_is_passed_over(skipped):
    """Of seven releases any may be skipped but the ends: the change lies between two that are judged, all others named."""
    releases = [f"1.{number}" for number in range(7)]
    for change in range(1, 7):
        verdicts = {release: FAILS if at >= change else PASSES for at, release in enumerate(releases)}
        judge, asked = judge_of(verdicts | {releases[at]: SKIPPED for at in skipped})
        found = search(releases, True, judge)
        low, high = releases.index(found.before), releases.index(found.first)
        assert low < change <= high
        assert set(range(low + 1, high)) <= set(skipped)
        assert found.between == tuple(releases[low + 1 : high])
        assert len(asked) == len(set(asked))


ENDS = {  # good and bad end's verdicts -> what the message says
    "the good end fails": (FAILS, FAILS, r"1\.0 was given as --good, but it fails \(why\); give another release"),
    "the bad end passes": (PASSES, PASSES, r"1\.2 was given as --bad, but it passes \(why\)"),
    "the good end is skipped": (SKIPPED, FAILS, r"1\.0 was given as --good, but it has no verdict \(why\)"),
    "the bad end is skipped": (PASSES, SKIPPED, r"1\.2 was given as --bad, but it has no verdict \(why\)"),
}


@pytest.mark.parametrize(("good", "bad", "message"), ENDS.values(), ids=ENDS)
def test_wrong_ends_are_named(good, bad, message):
    """An end with another verdict than its own ends the search before anything between is judged, in both directions."""
    judge, asked = judge_of({"1.0": good, "1.2": bad})
    with pytest.raises(BisectError, match=message):
        search(["1.0", "1.1", "1.2"], True, judge)
    assert "1.1" not in asked
    judge, asked = judge_of({"1.2": good, "1.0": bad})
    with pytest.raises(BisectError, match="was given as --good" if good != PASSES else "was given as --bad"):
        search(["1.0", "1.1", "1.2"], False, judge)
    assert "1.1" not in asked


def test_the_result_in_one_line():
    """Brought, mended, and one of several that cannot be told apart."""
    assert Found("3.9.2", "3.10.0", FAILS).told("keras", "-k shuffling") == (
        "keras 3.10.0 is the first that fails: -k shuffling; 3.9.2 passes"
    )
    assert Found("3.0.2", "3.0.3", PASSES).told("keras", "-k modes") == (
        "keras 3.0.3 is the first that passes: -k modes; 3.0.2 fails"
    )
    assert Found("1.0", "1.3", FAILS, ("1.1", "1.2")).told("keras", "-x") == (
        "keras: one of 1.1, 1.2, 1.3 is the first that fails: -x; 1.0 passes, and what lies between cannot be judged"
    )
