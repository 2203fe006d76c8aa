"""Are the stored float64 results of `fit` what the code in the package computes?"""

import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.facts import reading
from cnnspec.trajectory import fit_in_float64, fit_recordings, fitted
from tests import test_lockstep
from tests.support import checks


@pytest.mark.parametrize(
    ("folder", "model"), [("fit-float64", "model2"), *((name, "model4") for name in test_lockstep.FOLDERS.values())]
)
def test_the_stored_fit_is_today_s_code(folder, model):
    """The first epoch: every loss, score, slot, movement and norm."""
    stored = fit_recordings.recorded(test_lockstep.STORED / folder, model, test_lockstep.names(model))
    computed = fit_in_float64.run(model, mnist.load("mnist5k"), fit_in_float64.CONVENTIONS[folder], epochs=1)
    bound, why = (reading.tolerance("stored_float64")[key] for key in ("relative", "why"))
    findings = [
        checks.Finding(field, float(abs(now / was - 1).max()), bound, why)
        for field in fitted.Fitted._fields
        for now, was in [(getattr(computed, field)[0], np.asarray(getattr(stored, field)[0]))]
    ]
    checks.near_float64(f"stored {folder}, {model}", findings, next=fit_recordings.COMMAND.format(folder=folder))
