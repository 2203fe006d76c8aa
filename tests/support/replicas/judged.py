"""Is what replicas computed together what it has to be, and if not: what does the difference look like?

Gradients are compared with float64. The gradient of a batch is a mean of those of its parts, so that a wrong one tells by
which weights it is made of them: a replica with weight 0 was dropped, and equal weights other than 1/N are a wrong count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.support import checks, margins, numerics
from tests.support.checks import Finding
from tests.support.replicas import setting

SMALL = 0.02  # of a weight, and of what the weights leave unexplained: far above rounding, far below a fault
NEXT = "pytest --replicas {} tests/test_replicas.py; if one device alone is wrong too: pytest tests/test_numerics.py"


def step(name: str, replicas: int, obtained: setting.Numbers, alone: setting.Numbers, bounds: Mapping[str, Any]) -> None:
    """A step of all replicas is within its bound of float64; `alone` is the same step on one device."""
    __tracebackhide__ = True
    how, model = setting.kind(), setting.STEPS[name].model
    due = setting.expected(name, replicas, how)
    kind = "normalised" if due.moving else "plain"
    findings = compared(due, obtained, bounds, kind)
    for finding in findings:
        margins.note(finding.name, margins.share(finding.error, finding.limit))
    wrong = [finding for finding in findings if not finding.error <= finding.limit]
    if not wrong:
        return
    lines = [f"{each.name}: {each.measure} {each.error:.2g}, limit {each.limit:.2g}" for each in wrong[:4]]
    lines += [f"and {len(wrong) - 4} more"] if wrong[4:] else []
    lines += [cause(name, replicas, obtained, due)]
    single = [each for each in compared(setting.of_whole(name), alone, bounds, kind) if not each.error <= each.limit]
    lines.append(f"one device: {'wrong as well, so that it is not the replicas' if single else 'right'}")
    lines += [f"expected  float64 of {source(how, bool(due.moving))}", f"limit     {bounds['why']}"]
    checks.fail(f"{model}, {name} on {replicas} replicas by {how.by}", lines, next=NEXT.format(replicas))


def source(how: setting.Kind, normalised: bool) -> str:
    """What float64 was given, in words."""
    if not normalised:
        return "the whole batch"
    return f"the batch, normalised by {how.statistics} statistics; moving statistics: {how.moving}"


def compared(due: setting.Numbers, got: setting.Numbers, bounds: Mapping[str, Any], kind: str) -> list[Finding]:
    """Loss, each gradient and each moving statistic against what is due."""
    why = bounds["why"]
    found = [Finding("loss", relative(got.loss, due.loss), bounds["loss"], why, measure="relative difference")]
    for what, arrays, others, limit in (
        ("gradient", due.gradients, got.gradients, bounds[f"gradient_{kind}"]),
        ("moving statistic", due.moving, got.moving, bounds["moving"]),
    ):
        if len(arrays) != len(others):
            found.append(Finding(f"number of {what}s, {len(others)} of {len(arrays)}", np.inf, 0.0, why))
            continue
        for place, (array, other) in enumerate(zip(arrays, others, strict=True), 1):
            found.append(Finding(f"{what} {place}", numerics.error(other, array), limit, why))
    return found


def relative(value: float, due: float) -> float:
    """|value − due| / |due|; infinite for NaN."""
    found = abs(value - due) / abs(due)
    return float(np.inf if np.isnan(found) else found)


def cause(name: str, replicas: int, obtained: setting.Numbers, due: setting.Numbers) -> str:
    """What wrong gradients look like, in words; what was tried where they look like nothing."""
    if len(obtained.gradients) != len(due.gradients):
        return "cause: a variable without a gradient"
    if not all(np.isfinite(array).all() for array in obtained.gradients):
        return "cause: NaN or infinity, which no replica was given"
    if replicas > 1 and setting.kind().statistics == setting.WHOLE and due.moving:
        return "cause: " + (by_factor(obtained, due) or "not a multiple of what is expected")
    each = [part.gradients for part in setting.of_parts(name, replicas)]
    weights, left = weighed(each, obtained.gradients)
    if left < SMALL:
        return f"cause: {by_weights(weights)}"
    for place in range(replicas):
        for words, shifted in shifts(name, replicas, place):
            others = [*each[:place], shifted, *each[place + 1 :]]
            if weighed(others, obtained.gradients)[1] < SMALL:
                return f"cause: replica {place + 1} computed with {words}"
    return "cause: not known; no sum of the replicas' own gradients, and no shift of a replica's images by one, gives this"


def weighed(parts: Sequence[Sequence[np.ndarray]], gradients: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """(weights of the parts by least squares, share of the gradients that they leave unexplained)."""
    flat = lambda arrays: np.concatenate([np.ravel(array) for array in arrays])  # noqa: E731
    columns, target = np.stack([flat(part) for part in parts], axis=1), flat(gradients)
    found = np.linalg.lstsq(columns, target, rcond=None)[0]
    size = np.linalg.norm(target)
    return found, float(np.linalg.norm(columns @ found - target) / size) if size else 1.0


def by_weights(weights: np.ndarray) -> str:
    """Weights of the replicas in words; each should be 1/N."""
    count = len(weights)
    shares = weights * count
    each = ", ".join(f"{weight:.3g}" for weight in weights)
    dropped = [place + 1 for place, share in enumerate(shares) if abs(share) < SMALL]
    if dropped and len(dropped) < count:
        who = f"replica {', '.join(map(str, dropped))}"
        due = f"weights {each}; each should be {1 / count:.3g}"
        return f"{who} is not in the sum, or was given the images of another one ({due})"
    if np.ptp(shares) < SMALL and abs(shares.mean() - 1) > SMALL:
        return (
            f"the sum over the replicas is divided by {count / shares.mean():.3g} instead of {count}: averaged by the wrong "
            f"count (weights {each})"
        )
    if np.ptp(shares) >= SMALL:
        return f"the replicas have the weights {each}; each should be {1 / count:.3g}"
    return "the right mean of the replicas' gradients, but for rounding: a lower precision in the reduction?"


def by_factor(obtained: setting.Numbers, due: setting.Numbers) -> str:
    """That all gradients are the same multiple of what is due; empty where they are not."""
    (factor,), left = weighed([due.gradients], obtained.gradients)
    if left > 0.1 or abs(factor - 1) < SMALL:
        return ""
    return f"all gradients are {factor:.3g} times what they should be: averaged by the wrong count"


def shifts(name: str, replicas: int, place: int) -> list[tuple[str, list[np.ndarray]]]:
    """Gradients of a replica that was given wrong images, with words for each."""
    model = setting.STEPS[name].model
    x, y = setting.batch(setting.STEPS[name]._replace(nan=False))
    rows = setting.parts(len(x), replicas)[place]
    found = []
    for by in (1, -1):
        shown = np.roll(np.arange(len(x)), by)[rows]
        words = f"rows of the batch shifted by {abs(by)}"
        found.append((words, setting.in_float64_of(model, x[shown], y[shown]).gradients))
        mine, labels = np.roll(x[rows], by, axis=0), y[rows]
        words = f"its images shifted by {abs(by)} against their labels"
        found.append((words, setting.in_float64_of(model, mine, labels).gradients))
    return found


def nan(replicas: int, obtained: setting.Numbers, alone: setting.Numbers) -> None:
    """A NaN among one replica's labels is in the loss, and in every gradient of the last layer."""
    __tracebackhide__ = True
    how = setting.kind()
    last = dict(zip(("kernel", "bias"), obtained.gradients[-2:], strict=True))
    lines = [] if np.isnan(obtained.loss) else [f"loss: {obtained.loss:.6g}"]
    for what, array in last.items():
        finite = int(np.isfinite(array).sum())
        lines += [f"gradient of the last layer's {what}: {finite} of {array.size} elements are finite"] if finite else []
    if not lines:
        return
    kept = np.isnan(alone.loss) and all(np.isnan(array).all() for array in alone.gradients[-2:])
    lines += [
        f"cause: the last replica's NaN is {'swallowed when replicas are added' if kept else 'lost on one device as well'}",
        "expected  NaN, as the last label of the batch is NaN; the other replicas train on as if nothing had happened",
    ]
    checks.fail(f"NaN on one of {replicas} replicas by {how.by}", lines, next=NEXT.format(replicas))


def fit(replicas: int, obtained: setting.Fitted, alone: setting.Fitted, bounds: Mapping[str, Any]) -> None:
    """Losses and variables after two epochs are those of float64 with whole batches, as those of one device."""
    __tracebackhide__ = True
    due, how = setting.fit_expected(), setting.kind()
    findings = of_fit(due, obtained, bounds)
    for finding in findings:
        margins.note(finding.name, margins.share(finding.error, finding.limit))
    wrong = [each for each in findings if not each.error <= each.limit]
    if wrong:
        single = [each for each in of_fit(due, alone, bounds) if not each.error <= each.limit]
        lines = [f"{each.name}: {each.measure} {each.error:.2g}, limit {each.limit:.2g}" for each in wrong[:4]]
        lines.append(f"one device: {'wrong as well, so that it is not the replicas' if single else 'right'}")
        lines.append("cause: see the steps; where they are right, the division of the data or the optimizer on the replicas")
        lines += ["expected  float64 with whole batches, the last of each epoch partial", f"limit     {bounds['why']}"]
        subject = f"{setting.PLAIN}, {setting.FIT} on {replicas} replicas by {how.by}"
        checks.fail(subject, lines, next=NEXT.format(replicas))


def of_fit(due: setting.Fitted, got: setting.Fitted, bounds: Mapping[str, Any]) -> list[Finding]:
    """Losses of the epochs, and the variables at the end."""
    why = bounds["why"]
    found = [
        Finding(f"loss of epoch {place}", relative(value, mine), bounds["fit_loss"], why, measure="relative difference")
        for place, (value, mine) in enumerate(zip(got.losses, due.losses, strict=True), 1)
    ]
    for place, (array, mine) in enumerate(zip(got.weights, due.weights, strict=True), 1):
        found.append(Finding(f"variable {place}", numerics.error(array, mine), bounds["fit_weight"], why))
    return found
