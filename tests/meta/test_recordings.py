"""Does a recording of 2019's stack get the right limits: tight ones if it is the stored one, wider ones if it is new?"""

import shutil
import types

import pytest

from tests import test_trajectory
from tests.support import margins


@pytest.fixture
def raced(tmp_path):
    """A copy of the stored recording in which Adam's third loss of model1 is 2 % larger, as after a race in 2019's stack."""
    folder = tmp_path / "2019"
    shutil.copytree(test_trajectory.STORED / "2019", folder)
    path = folder / "model1-adam.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    step, loss, norms = lines[3].split(",", 2)
    assert step == "3"
    lines[3] = f"{step},{1.02 * float(loss):.9g},{norms}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def config(recording):
    """Replaces pytest's config."""
    return types.SimpleNamespace(option=types.SimpleNamespace(recording=recording))


def test_a_recording_made_anew_has_bounds_of_its_own(raced):
    """The effect of a race is outside the limits of the stored recording, and within those of one that --recording names."""
    test_trajectory.test_2019_against_float64(raced, config(str(raced)), "model1", "adam")
    with pytest.raises(pytest.fail.Exception, match=r"first difference: step 3, loss: .* limit 0\.011"):
        test_trajectory.test_2019_against_float64(raced, config(None), "model1", "adam")


def test_two_recordings_are_no_margin_of_this_stack():
    """Comparing the stored recording with stored float64, or this stack with it, leaves no margin for the report.

    Nearly all of the second is the recording's own rounding. Comparing this stack with float64 leaves one.
    """
    with margins.collected_into(found := []):
        test_trajectory.test_2019_against_float64(test_trajectory.STORED / "2019", config(None), "model1", "sgd")
        test_trajectory.test_against_2019(test_trajectory.STORED / "2019", "model1")
    assert found == []
    with margins.collected_into(found):
        test_trajectory.test_against_float64("model1")
    assert {name for _, (name, _) in found} >= {"loss", "norm"}


def test_a_recording_is_judged_in_its_own_conventions(raced):
    """The stored recording under the name of Keras 2.3.1, whose moving averages keep initial values, fails by them alone."""
    provenance = raced / "provenance.toml"
    provenance.write_text(provenance.read_text(encoding="utf-8").replace('"2.2.4"', '"2.3.1"'), encoding="utf-8")
    test_trajectory.test_2019_against_float64(raced, config(str(raced)), "model2", "sgd")  # has no moving averages
    with pytest.raises(pytest.fail.Exception, match=r"first difference: step 1, norm of 2-BatchNormalization/moving_mean"):
        test_trajectory.test_2019_against_float64(raced, config(str(raced)), "model4", "sgd")
