"""What a soak repeats: an operation with known results. Each has several variants, so that a stale result is a wrong one."""

import numpy as np

from tests.support.exact import findings

ROUNDING = 2.0**-22  # two roundings of float32, and one more


class Operation:
    """One computation of the stack under test, with the results that each of its variants must have.

    `kind` is one of `cnnspec.soak.tally.KINDS`; `checked` is how many of its kind one call counts for.
    """

    kind = ""
    name = ""
    checked = 1
    variants = 1

    def start(self):
        """Make operands and verify results before the first call; yields (variant, what it computed first, due, got)."""
        return iter(())

    def compute(self, variant):
        """The results of a variant, as the framework gives them."""
        raise NotImplementedError

    def expected(self, variant):
        """{what: array} as it must be."""
        raise NotImplementedError

    def results(self, raw):
        """{what: array} of what `compute` returned."""
        return raw

    def described(self, variant, raw):
        """Lines about wrong results."""
        return described(self, variant, raw)

    def same(self, variant, raw):
        """Whether results are the expected ones, to the bit."""
        due, got = self.expected(variant), self.results(raw)
        return due.keys() == got.keys() and all(equal(due[what], got[what]) for what in due)


def equal(due, got):
    """Whether two arrays have the same shape and bits; −0 counts as 0, and NaN equals nothing."""
    return np.array_equal(due, got)


def described(operation, variant, raw):
    """Lines about wrong results: what differs, how many elements, the first of them, its bits, and what it looks like."""
    due, got = operation.expected(variant), operation.results(raw)
    lines = []
    for what in due:
        if what not in got:
            lines.append(f"{what}: missing")
        elif not equal(due[what], got[what]):
            one, other = np.float32(due[what]), np.float32(got[what])
            words = [guess(operation, variant, what, one, other), flipped(one, other)]
            lines.append(findings.described(what, one, other, "; ".join(word for word in words if word)))
    return lines[:4]


def guess(operation, variant, what, due, got):
    """What a whole result looks like: that of the call before, NaN, zeros, a factor. Empty if it looks like nothing."""
    if due.shape != got.shape:
        return ""
    for back in range(1, operation.variants):
        before = operation.expected((variant - back) % operation.variants)[what]
        if equal(np.float32(before), got):
            return "a stale copy: the result of " + ("the call before" if back == 1 else f"{back} calls before")
    return findings.pattern(due, got) or factor(due, got)


def factor(due, got):
    """The factor by which all elements are off, but for the rounding of float32; empty if there is none."""
    there = due != 0
    if there.sum() < 2:
        return ""
    ratios = np.float64(got[there]) / np.float64(due[there])
    middle = float(np.median(ratios))
    if not middle or abs(middle - 1) < ROUNDING or np.abs(ratios / middle - 1).max() > ROUNDING:
        return ""
    return f"all are {middle:.6g} times what they should be"


def flipped(due, got):
    """Which bits differ: one mask where it is the same in every wrong element, else all that differ in any."""
    if due.shape != got.shape:
        return ""
    masks = np.atleast_1d(findings.bits(due) ^ findings.bits(got)).ravel()
    masks = masks[masks != 0]
    if not len(masks):
        return ""
    mask = int(np.bitwise_or.reduce(masks))
    where = "" if len(masks) == 1 else " in each" if (masks == mask).all() else " in one or another"
    return f"bits that differ{where}: 0x{mask:08x} ({named(mask)})"


def named(mask):
    """The bits of a mask in words: sign, exponent, fraction, counted from the lowest, 0."""
    bits = [bit for bit in range(32) if mask >> bit & 1]
    parts = []
    for part, low, high in (("fraction", 0, 23), ("exponent", 23, 31), ("sign", 31, 32)):
        mine = [bit - low for bit in bits if low <= bit < high]
        if mine:
            listed = ", ".join(map(str, mine)) if len(mine) <= 4 else f"{len(mine)} from {mine[0]} to {mine[-1]}"
            parts.append(part if part == "sign" else f"{part} {listed}")
    return ", ".join(parts)
