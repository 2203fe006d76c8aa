"""Are the stored float64 trajectories what the code in the package computes?"""

import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.facts import reading
from cnnspec.trajectory import in_float64, recordings
from tests import test_trajectory
from tests.support import checks


# Both paddings of model1 and model2, every kind of layer in model4 (model3 has no other), and Adam's update.
@pytest.mark.parametrize("folder", in_float64.CONVENTIONS)
@pytest.mark.parametrize(
    ("model", "optimizer"), [("model1", "sgd"), ("model2", "sgd"), ("model4", "sgd"), ("model4", "adam")]
)
def test_the_stored_float64_is_today_s_code(model, optimizer, folder):
    """The stored float64 trajectories begin with the values that today's implementation computes."""
    steps = 2
    stored = recordings.recorded(test_trajectory.STORED / folder, model, optimizer)[1]
    computed = in_float64.run(model, mnist.load("mnist5k"), optimizer, in_float64.CONVENTIONS[folder], steps=steps)
    bound, why = (reading.tolerance("stored_float64")[key] for key in ("relative", "why"))
    for kind, mine, theirs in zip(("losses", "norms"), computed[:2], stored[:2], strict=True):
        error = float(np.abs(mine - theirs[:steps]).max() / np.abs(mine).max())
        finding = checks.Finding(f"{kind} of the first {steps} steps", error, bound, why)
        remedy = f"python -m cnnspec trajectory --by {folder} --out baselines/trajectories/{folder}"
        checks.near_float64(f"baselines/trajectories/{folder}, {model}, {optimizer}", [finding], next=remedy)
