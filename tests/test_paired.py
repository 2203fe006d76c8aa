"""Does an epoch of fit with weights and order given end where it ends on known-good stacks?

Weights and the order of the samples come from NumPy and dropout is off, so that a training differs from the stored ones of
known-good stacks in `baselines/paired/` by rounding alone. One `fit` of a model takes all steps that the harness takes; a
step after it is compared with float64.
"""

import pytest

from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from tests.support import checks, known_differences, mid_training, paired

KERAS_2 = KERAS_VERSION < (3, 0)
NORMALISED = notebook.normalised_models()
NEXT = (
    "run pytest tests/test_exact.py tests/test_lockstep.py: the first judges layers at batch 128 bit for bit, the second "
    "two short epochs against float64; where both pass, look for what only many steps or whole epochs do"
)


def marks(model):
    """Known differences that a paired training of a model shows."""
    return [known_differences.LOSS_OF_BATCHES, *([known_differences.BATCH_VARIANCE] if model in NORMALISED else [])]


@pytest.mark.parametrize("model", [pytest.param(model, marks=marks(model)) for model in MODELS])
def test_it_ends_where_known_good_stacks_end(model):
    """Steps, losses, accuracies, validation, and each variable's movement and norm, after each epoch."""
    paired.judged(
        model,
        paired.references(model, paired.healthy(model, KERAS_2)),
        paired.trained(model)[0],
        paired.bounds(model, KERAS_2),
        source="the middle of the runs of known-good stacks in baselines/paired/",
        next=NEXT,
    )


@pytest.mark.parametrize("model", [pytest.param(model, marks=marks(model)[1:]) for model in mid_training.JUDGED])
def test_a_step_in_mid_training(model, record_property):
    """One of the steps after that `fit`, from the stack's own state: its loss, every gradient, every variable's movement."""
    taken, findings, outside = mid_training.first_inside(model, paired.trained(model)[1])
    number = taken.before.steps + 1
    earlier = " and ".join(str(step) for step in outside if step != number)
    if earlier and all(finding.error <= finding.limit for finding in findings):
        remark = f"step {earlier} outside, step {number} inside"
        record_property("drawn again", {"model": model, "quantity": "a step in mid-training", "remark": remark})
    before = f"; outside as well: step {earlier}" if earlier else ""
    checks.near_float64(
        f"{model}, step {number} of a training, {len(taken.x)} images{before}",
        findings,
        next="run pytest tests/test_modes.py: where its first steps pass, look for what depends on weights, on slots, or on "
        "how many steps were taken before",
    )
    checks.equal(
        f"{model}: steps that Adam has counted",
        taken.before.steps + 1,
        taken.after.steps,
        source="one step more",
        next=NEXT,
    )
