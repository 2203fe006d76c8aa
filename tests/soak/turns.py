"""A turn: some seconds at one place, shared between the kinds of operations, and what is told of it.

Products have most of the time, because each of them checks a thousand million multiply-adds; the steps have the rest.
"""

import time
from collections import Counter

SHARES = {"products": 0.76, "exact steps": 0.115, "repeated steps": 0.115, "masks": 0.01}  # of a turn's time
TRIES = 5  # repetitions of an operation that gave a wrong result
TOLD = 5  # mismatches that are described, of an operation at a place; all are counted
EVERY = 1.0  # seconds between two messages


class Soaker:
    """Operations, turn after turn; `tell` gets a dict for counts and for each mismatch."""

    def __init__(self, operations, tell, clock=time.perf_counter):
        self.operations, self.tell, self.clock = list(operations), tell, clock
        self.calls, self.wrong, self.spent, self.number = Counter(), Counter(), Counter(), Counter()

    def start(self, place):
        """Make the operations ready at a place; a first result that is wrong is a mismatch."""
        for operation in self.operations:
            for variant, raw in operation.start():
                self.mismatch(place, operation, variant, raw)
                self.tell({"counts": {"place": place, "seconds": 0.0, "kinds": {operation.kind: (1, 1, operation.checked)}}})

    def turn(self, place, seconds):
        """Run operations for some seconds, and tell the counts about every second."""
        counts, began = {}, self.clock()
        ends, told = began + seconds, began
        bare = self.bare(place)
        while self.clock() < ends:
            operation = self.next(place)
            started = self.clock()
            right = self.one(place, operation)
            now = self.clock()
            self.spent[place, operation.kind] += now - started
            calls, wrong, checked = counts.get(operation.kind, (0, 0, 0))
            counts[operation.kind] = (calls + 1, wrong + (not right), checked + operation.checked)
            if now - told > EVERY:
                self.counted(place, now - told, counts, bare)
                counts, told, bare = {}, now, []
        self.counted(place, self.clock() - told, counts, bare)

    def bare(self, place):
        """Products a second without comparisons, in the first turn of a place and in every third after it."""
        self.number[place] += 1
        measures = self.number[place] % 3 == 1
        return [operation.bare() for operation in self.operations if measures and hasattr(operation, "bare")]

    def counted(self, place, seconds, counts, bare):
        """Tell counts."""
        self.tell({"counts": {"place": place, "seconds": seconds, "kinds": counts, "bare": max(bare, default=None)}})

    def next(self, place):
        """The operation whose kind has had the least of its share of a place's time; of one kind, each in turn."""
        kinds = dict.fromkeys(operation.kind for operation in self.operations)
        kind = min(kinds, key=lambda kind: self.spent[place, kind] / SHARES[kind])
        mine = [operation for operation in self.operations if operation.kind == kind]
        self.number[kind] += 1
        return mine[self.number[kind] % len(mine)]

    def one(self, place, operation):
        """One call of an operation, with its next variant; whether it was right."""
        key = (place, operation.name)
        variant = self.number[operation.name] % operation.variants
        self.number[operation.name] += 1
        raw = operation.compute(variant)
        self.calls[key] += 1
        if operation.same(variant, raw):
            return True
        self.mismatch(place, operation, variant, raw)
        return False

    def mismatch(self, place, operation, variant, raw):
        """Tell what is wrong, and whether it is wrong again on the same numbers."""
        key = (place, operation.name)
        self.wrong[key] += 1
        if self.wrong[key] > TOLD:
            return
        lines = operation.described(variant, raw)
        if not lines:
            lines = ["the comparison on the device said so, and on the host no element differs: the device compares wrongly"]
        again = sum(not operation.same(variant, operation.compute(variant)) for _ in range(TRIES))
        before = max(self.calls[key] - self.wrong[key], 0)
        told = {"place": place, "operation": operation.name, "call": max(self.calls[key], 1), "before": before}
        self.tell({"mismatch": {**told, "lines": lines, "again": again, "tries": TRIES}})
