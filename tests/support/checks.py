"""Every comparison with an exact or computed value, and every message that a failing one prints.

A message stands alone: the quantity, what was expected and from where, what was obtained, the difference, what to run next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest

from cnnspec.calls import as_called
from cnnspec.facts import reading
from cnnspec.trajectory.start import Trajectory
from tests.support import margins


class Finding(NamedTuple):
    """The comparison of one tensor with the float64 implementation: its error, the limit and the limit's reason.

    `precision` names the precision that the error is typical of; it is empty where it is typical of none. `measure` is
    what `error` and `limit` are in; `detail` follows the name in a message, but not in the report's margins.
    """

    name: str
    error: float
    limit: float
    why: str
    precision: str = ""
    measure: str = "relative error"
    detail: str = ""


def fail(subject: str, lines: Iterable[str], *, next: str) -> NoReturn:
    """Fail the test with a message: the subject, the evidence line by line, and what to do next."""
    __tracebackhide__ = True
    message = "\n".join([subject, *(f"  {line}" for line in lines), f"  next      {next}"])
    pytest.fail(as_called(message), pytrace=False)


def equal(subject: str, expected: object, obtained: object, *, source: str, next: str) -> None:
    """An exact comparison: `obtained`, from the stack, equals `expected`, from `source`."""
    __tracebackhide__ = True
    if obtained != expected:
        fail(subject, [f"expected  {expected}   (from {source})", f"obtained  {obtained}"], next=next)


def same_settings(
    subject: str, expected: Mapping[str, Any], obtained: Mapping[str, Any], *, sources: Mapping[str, str], next: str
) -> None:
    """Two dicts of settings are equal. Keys are compared both ways, and one message lists all differences.

    A setting that only the stack has passes while it is switched off (None, False, zero, empty): 2019 did not have it.
    """
    __tracebackhide__ = True
    lines = []
    for name, value in expected.items():
        if name not in obtained:
            lines.append(f"{name}: expected {value!r} (from {sources[name]}), the stack has no such setting")
        elif not same_value(value, obtained[name]):
            lines.append(f"{name}: expected {value!r} (from {sources[name]}), obtained {obtained[name]!r}")
    for name, value in obtained.items():
        if name not in expected and not is_off(value):
            lines.append(f"{name}: obtained {value!r}, a setting that 2019 did not have and that is not off")
    if lines:
        fail(subject, lines, next=next)


def same_value(expected: Any, obtained: Any) -> bool:
    """Equality of settings. Floats are compared with float32's precision, in which a framework stores them."""
    if isinstance(expected, float) and isinstance(obtained, (int, float, np.floating)):
        return math.isclose(expected, obtained, rel_tol=1e-7, abs_tol=0.0)
    if isinstance(expected, (list, tuple)) and isinstance(obtained, (list, tuple)):
        return list(expected) == list(obtained)
    return expected == obtained and isinstance(expected, bool) == isinstance(obtained, bool)


def is_off(value: object) -> bool:
    """Whether this value means that a setting is switched off."""
    return value is None or value is False or value == 0 or value in ({}, [], ())


def close(subject: str, expected: float, obtained: float, tolerance: Mapping[str, Any], *, source: str, next: str) -> None:
    """`obtained` equals `expected` within tolerance["relative"]; a failure prints the reason of the tolerance."""
    __tracebackhide__ = True
    difference = abs(obtained - expected) / abs(expected) if expected else math.inf if obtained != expected else 0.0
    margins.note("difference", margins.share(difference, tolerance["relative"]))
    if not difference <= tolerance["relative"]:  # a NaN must fail
        lines = [
            f"expected  {expected:.9g}   (from {source})",
            f"obtained  {obtained:.9g}   (relative difference {difference:.2g}, limit {tolerance['relative']:.2g})",
            f"limit     {tolerance['why']}",
        ]
        fail(subject, lines, next=next)


def at_most(subject: str, value: float, bound: float, *, source: str, next: str) -> None:
    """`value` is no larger than `bound`; a NaN fails.

    No margin is noted: the largest of many draws always lies near its bound.
    """
    __tracebackhide__ = True
    if not value <= bound:
        fail(subject, [f"expected  at most {bound:.9g}   (from {source})", f"obtained  {value:.9g}"], next=next)


def near_float64(subject: str, findings: Sequence[Finding], *, next: str) -> None:
    """Every tensor lies within its limit of the float64 implementation; one message lists all that do not."""
    __tracebackhide__ = True
    for finding in findings:
        margins.note(finding.name, margins.share(finding.error, finding.limit))
    failed = [finding for finding in findings if not finding.error <= finding.limit]
    if failed:
        lines = [
            f"{finding.name}{finding.detail}: {finding.measure} {finding.error:.2g}, limit {finding.limit:.2g}"
            + (f"; typical of {finding.precision}" if finding.precision else "")
            for finding in failed
        ]
        reasons = [f"limit     {why}" for why in dict.fromkeys(finding.why for finding in failed)]
        fail(subject, [*lines, "expected  the float64 implementation in cnnspec/oracle/", *reasons], next=next)


def in_modes(subject: str, by_mode: Mapping[str, Sequence[Finding]], *, next: str) -> None:
    """The same findings in several modes; the message says in which modes they are wrong and in which right."""
    __tracebackhide__ = True
    wrong = [mode for mode, findings in by_mode.items() if not all(f.error <= f.limit for f in findings)]
    right = [mode for mode in by_mode if mode not in wrong]
    verdict = f": wrong in {', '.join(wrong)}, right in {', '.join(right) or 'no other mode'}" if wrong else ""
    findings = [finding._replace(name=f"{mode}, {finding.name}") for mode, found in by_mode.items() for finding in found]
    near_float64(f"{subject}{verdict}", findings, next=next)


LEAST_NORM = 1e-3  # of a variable; the error of a smaller norm is relative to this value, not to one near zero


def bound_of_step(bound: Mapping[str, float], step: int) -> float:
    """The largest relative error of a trajectory in a step, counted from 0: first · growth^step, at most `most`."""
    return min(bound["first"] * bound["growth"] ** step, bound.get("most", math.inf))


def steps_judged(bound: Mapping[str, float], steps: int) -> int:
    """Number of the first of `steps` steps whose bound is at most the widest that is of use, from `tolerances.toml`."""
    widest = reading.tolerance("trajectory_useful")["most"]
    return sum(bound_of_step(bound, step) <= widest for step in range(steps))


def same_path(
    subject: str,
    names: Sequence[str],
    expected: Trajectory,
    obtained: Trajectory,
    tolerance: Mapping[str, Any],
    *,
    source: str,
    next: str,
    once_more: Callable[[], Trajectory] | None = None,
) -> None:
    """Two trajectories agree.

    In step k the relative error of the loss and of each norm is at most first · growth^(k − 1), and never above `most`
    where there is one. The mean difference of the probabilities is within its own bound, where there is one. Steps whose
    bound is too wide to be of use are not judged (`steps_judged`), but a number that is not finite always fails. The message
    names the first step that differs, and its variables, and whether `once_more`, the same training again, repeats it.
    """
    __tracebackhide__ = True
    lines: list[str] = []
    used: dict[str, float] = {}
    (due_losses, due_norms, due_probabilities), (losses, norms, probabilities) = expected, obtained
    for step in range(len(due_losses)):
        pairs = [("loss", "loss", due_losses[step], losses[step])]
        rows = zip(names, due_norms[step], norms[step], strict=True)
        pairs += [(f"norm of {name}", "norm", was, now) for name, was, now in rows]
        for name, kind, was, now in pairs:
            bound = bound_of_step(tolerance[kind], step)
            if step >= steps_judged(tolerance[kind], len(due_losses)) and math.isfinite(now):
                continue
            error = abs(now - was) / max(abs(was), LEAST_NORM)
            used[kind] = max(used.get(kind, 0.0), margins.share(error, bound))
            if not error <= bound:
                values = f"expected {was:.7g}, obtained {now:.7g}, relative error {error:.2g}, limit {bound:.2g}"
                lines.append(f"step {step + 1}, {name}: {values}")
        if lines:  # later steps differ as a consequence
            lines[0] = f"first difference: {lines[0]}"
            break
    error = float(abs(probabilities - due_probabilities).mean())
    limit = tolerance.get("probability", math.inf)
    if limit < math.inf:
        used["probabilities"] = margins.share(error, limit)
    for kind, share in used.items():
        margins.note(kind, share)
    if not error <= limit:
        lines.append(f"probabilities after the last step: mean difference {error:.2g}, limit {limit:.2g}")
    if lines:
        lines = [*lines[:8], *([repeated(obtained, once_more(), tolerance)] if once_more else [])]
        fail(subject, [*lines, f"expected  {source}", f"limits    {tolerance['why']}"], next=next)


def repeated(first: Trajectory, second: Trajectory, tolerance: Mapping[str, Any]) -> str:
    """Whether two trainings from the same weights on the same batches have the same losses, in words."""
    for step, (was, now) in enumerate(zip(first.losses, second.losses, strict=True)):
        if not abs(now - was) <= bound_of_step(tolerance["loss"], step) * max(abs(was), LEAST_NORM):
            return f"intermittent: the same training once more has another loss in step {step + 1}: {now:.7g}, not {was:.7g}"
    return "the same training once more has the same losses"
