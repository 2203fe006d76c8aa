"""What a soak has checked so far: for each place, how many products and steps, how many of them wrong, and how fast."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from cnnspec.soak import bound

KINDS = {
    "products": "product",
    "exact steps": "exact step",
    "repeated steps": "repeated step",
    "masks": "mask",
}  # -> the name of one
LEAST_SHARE = 0.5  # of the bare matrix product: a soak below it spends its time on something else
SHOWN = 8  # mismatches at the end


@dataclasses.dataclass
class Place:
    """What was checked on one device or core. `checked` counts multiply-adds for products, and steps; `calls` results."""

    seconds: float = 0.0
    checked: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    calls: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    wrong: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    bare: list[float] = dataclasses.field(default_factory=list)

    def rate(self) -> float:
        """Products a second, over all the time of this place: steps and comparisons included."""
        return self.checked["products"] / self.seconds if self.seconds else 0.0

    def share(self) -> float | None:
        """That rate over the one of the same matrix product without any check, measured in the same turns."""
        return self.rate() / statistics.median(self.bare) if self.bare else None

    def complete(self) -> bool:
        """Whether a product and a step of each kind was checked here."""
        return all(self.calls.values())


class Tally:
    """The places of a soak, in the order in which they are to be checked, and the mismatches found."""

    def __init__(self, places: list[str]) -> None:
        self.places = {name: Place() for name in places}
        self.mismatches: list[dict[str, Any]] = []

    def add(self, name: str, counts: dict[str, Any]) -> None:
        """Add what a process told about some seconds at a place."""
        place = self.places[name]
        place.seconds += counts["seconds"]
        for kind, (calls, wrong, checked) in counts["kinds"].items():
            place.calls[kind] += calls
            place.wrong[kind] += wrong
            place.checked[kind] += checked
        place.bare += [counts["bare"]] if counts.get("bare") else []

    def total(self, kind: str) -> tuple[int, float, int]:
        """(wrong, checked, calls) of all places."""
        every = self.places.values()
        return sum(p.wrong[kind] for p in every), sum(p.checked[kind] for p in every), sum(p.calls[kind] for p in every)

    def code(self) -> int:
        """The exit code: 1 for a mismatch, 2 where a place was not checked, else 0."""
        if self.mismatches or any(self.total(kind)[0] for kind in KINDS):
            return 1
        return 0 if self.places and all(place.complete() for place in self.places.values()) else 2

    def sofar(self) -> str:
        """All counts on one line."""
        parts = []
        for kind in KINDS:
            wrong, checked, calls = self.total(kind)
            if kind == "products" and wrong:  # a wrong result has an unknown number of wrong products
                parts.append(f"{bound.number(wrong)} of {bound.number(calls)} matrix products")
            else:
                parts.append(f"{bound.number(wrong)} of {bound.number(checked)} {kind}")
        return ", ".join(parts)

    def verdict(self) -> list[str]:
        """A line for each kind: what was wrong, or the bound."""
        lines = []
        for kind, one in KINDS.items():
            wrong, checked, calls = self.total(kind)
            if wrong and kind == "products":
                each = bound.number(checked / calls)
                lines.append(f"{bound.words(wrong, calls, 'matrix product')} (each of {each} products)")
            else:
                lines.append(bound.words(wrong, checked, one))
        return lines

    def table(self) -> list[str]:
        """A line for each place: what was checked, what was wrong, and how fast."""
        lines, width = [], max(len(name) for name in self.places)
        for name, place in self.places.items():
            counts = ", ".join(
                f"{place.wrong[kind]} of {bound.number(place.checked[kind] if kind != 'products' else place.calls[kind])} "
                + (kind if kind != "products" else "matrix products")
                for kind in KINDS
            )
            lines.append(f"{name:{width}}  {place.seconds:.0f} s, wrong: {counts}; {speed(place)}")
        return lines

    def odd_ones(self) -> str:
        """The places with mismatches and those without, on one line; empty where all are of one sort."""
        wrong = [name for name, place in self.places.items() if any(place.wrong.values())]
        right = [name for name, place in self.places.items() if place.complete() and name not in wrong]
        return f"wrong on {', '.join(wrong)}; right on {', '.join(right)}" if wrong and right else ""

    def facts(self) -> dict[str, Any]:
        """The counts for --json."""
        return {
            "places": {
                name: {
                    "seconds": round(place.seconds, 1),
                    **{kind.replace(" ", "_"): place.checked[kind] for kind in KINDS},
                    "wrong": {kind.replace(" ", "_"): place.wrong[kind] for kind in KINDS},
                    "products_a_second": place.rate(),
                    "share_of_bare_product": place.share(),
                }
                for name, place in self.places.items()
            },
            "bounds": {
                kind.replace(" ", "_"): None if self.total(kind)[0] else bound.upper(self.total(kind)[1]) for kind in KINDS
            },
            "mismatches": self.mismatches[:SHOWN],
        }


def speed(place: Place) -> str:
    """Products a second, and their share of the bare matrix product's."""
    share = place.share()
    if share is None:
        return "no speed was measured"
    slow = f", below {100 * LEAST_SHARE:.0f} %: is the machine busy?" if share < LEAST_SHARE else ""
    bare = bound.number(statistics.median(place.bare))
    return f"{bound.number(place.rate())} products a second, {100 * share:.0f} % of the bare matrix product's {bare}{slow}"


def told(mismatch: dict[str, Any]) -> str:
    """A mismatch in words: device or core, operation, place, bits, and whether it repeats."""
    lines = [
        f"MISMATCH on {mismatch['place']}: {mismatch['operation']}, call {mismatch['call']:,} there "
        f"({mismatch['before']:,} right before it)",
        *mismatch["lines"],
    ]
    if "tries" in mismatch:
        lines.append(f"again: wrong in {mismatch['again']} of {mismatch['tries']} repetitions at once, on the same numbers")
    return "\n  ".join(lines)
