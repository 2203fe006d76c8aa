"""Does the verdict that a report states follow from what the report counts?

A report is a file that anyone can write or cut. Its word is believed only where its numbers bear it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

VERDICTS = ("pass", "fail", "cannot tell", "no verdict")
CANNOT_TELL = "cannot tell:"  # in the message of a check whose ensemble has too few runs
QUICK = ("stack", "architecture", "configuration", "data", "dropout", "exact", "optimizer", "numerics")
TIERS = (
    *QUICK,
    "stochastic",
    "nonfinite",
    "state",
    "modes",
    "repeats",
    "lockstep",
    "trajectory",
    "saving",
    "determinism",
    "paired",
    "training",
    "results",
)
SHARP = TIERS[: TIERS.index("trajectory") + 1]  # before any training: what --device each runs on every device
NEEDED = {"quick": QUICK, "default": TIERS, "full": (*TIERS, "replication")}  # level -> tiers that a pass must have run


def contradiction(
    stated: str,
    level: str,
    tiers: Mapping[str, Mapping[str, int]],
    elsewhere: int,
    failed: Sequence[Mapping[str, str]],
    left_out: int,
) -> str:
    """Why a stated verdict does not follow from the counts of a report, in words; empty where it does.

    `elsewhere` is the number of failed tests outside the tiers, `failed` names every failed test with its reason, `left_out`
    is the number of tests that a whole run would have run.
    """
    if stated not in VERDICTS:
        return "that is not a verdict"
    if stated == "no verdict":
        return ""
    count = sum(each["failed"] for each in tiers.values())
    if count + elsewhere != len(failed):
        return f"it counts {count + elsewhere} failed and names {len(failed)}"
    if stated == "fail":
        return "" if count else "no check failed"
    if stated == "cannot tell":
        undecided = sum(CANNOT_TELL in each["reason"] for each in failed)
        return "" if 0 < count <= undecided else f"{count} failed, {undecided} of them for too few runs"
    if count:
        return f"{count} failed"
    absent = [name for name in NEEDED[level] if not ran(tiers.get(name))]
    if absent:
        more = f" and {len(absent) - 3} more" if absent[3:] else ""
        return f"nothing passed in {', '.join(absent[:3])}{more}"
    return f"{left_out} left out" if left_out else ""


def ran(count: Mapping[str, int] | None) -> bool:
    """Whether a test of a tier passed, or failed as it is known to."""
    return bool(count and (count["passed"] or count["xfailed"]))
