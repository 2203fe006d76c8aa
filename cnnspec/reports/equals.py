"""Machines, or devices of one, that have to agree: which of them is the odd one out, and by which check?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from cnnspec.shapes import counted

SHOWN = 5  # checks and digests that are named of each odd one


class Member(NamedTuple):
    """One of the equals: its name, its failed checks with their reasons, and its digests by what they are of."""

    name: str
    failed: dict[str, str]
    digests: dict[str, str]


def odd(members: Sequence[Member]) -> dict[str, list[str]]:
    """{name of an odd one: a line for each difference from the others}, empty where all agree.

    A check that fails on some and not on others makes those odd on which it fails: what it compares with comes from no
    machine. A digest makes those odd that have not the value of more than half; without such a value see `undecided`.
    """
    found: dict[str, list[str]] = {}
    everywhere = set.intersection(*(set(member.failed) for member in members)) if members else set()
    for member in members:
        rest = [other.name for other in members if other.name != member.name]
        for test, reason in member.failed.items():
            if test not in everywhere:
                passed = [other.name for other in members if test not in other.failed]
                among = f"fails here, not on {brief(passed)}" if len(passed) < len(rest) else "fails here and on no other"
                found.setdefault(member.name, []).append(f"`{test}` {among}: {reason}")
    for what, values in shared(members).items():
        value, having = Counter(values.values()).most_common(1)[0]
        for name, digest in values.items():
            if digest != value and 2 * having > len(values):
                line = f"{what}: digest {short(digest)}, {having} of {len(values)} have {short(value)}"
                found.setdefault(name, []).append(line)
    return found


def undecided(members: Sequence[Member]) -> list[str]:
    """A line for each digest that differs where no value has more than half: somebody is wrong, and it is not known who."""
    lines = []
    for what, values in shared(members).items():
        counts = Counter(values.values())
        if len(counts) > 1 and 2 * counts.most_common(1)[0][1] <= len(values):
            each = ", ".join(f"{name} {short(digest)}" for name, digest in values.items())
            lines.append(f"{what}: {each}; a third equal one would tell which is wrong")
    return lines


def shared(members: Sequence[Member]) -> dict[str, dict[str, str]]:
    """{what a digest is of: {name: digest}}, of those that two members have at least."""
    names = dict.fromkeys(what for member in members for what in member.digests)
    every = {what: {each.name: each.digests[what] for each in members if what in each.digests} for what in names}
    return {what: values for what, values in every.items() if len(values) > 1}


def told(members: Sequence[Member]) -> list[str]:
    """What differs between equals, in lines; empty where nothing does."""
    lines, size = [], len(members)
    for name, differences in odd(members).items():
        lines.append(f"{name} is the odd one out of {size}: {counted(len(differences), 'difference')}")
        lines += [f"  {line}" for line in cut(differences)]
    return lines + cut(undecided(members))


def cut(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    return [*lines[:SHOWN], *([f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])]


def short(digest: str) -> str:
    """The first 16 digits of a digest."""
    return digest[:16]


def brief(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
