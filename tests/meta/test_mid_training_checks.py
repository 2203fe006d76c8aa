"""Does the comparison of a step in mid-training fail where it should, and name what is wrong?"""

import functools

import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.facts import notebook
from cnnspec.oracle.network import Network
from cnnspec.oracle.optimizers import adam_update
from cnnspec.paired import setting
from cnnspec.trajectory import start
from tests import test_paired
from tests.support import checks, mid_training

RULE = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


@functools.cache
def step(model):
    """A step of a model in float64, from drawn weights and slots, the 34th."""
    layers = [{**layer, "rate": 0.0} if layer["class"] == "Dropout" else layer for layer in notebook.layers(model)]
    from cnnspec.trajectory import on_stack

    grouped = [layer.get_weights() for layer in on_stack.build(model).layers]
    weights = [np.array(array, np.float64) for group in grouped for array in group]
    rows = setting.order(8)
    data = mnist.load("mnist5k")
    x, y = data.x_train[rows], data.y_train[rows]
    network = Network(layers, grouped, convention="keras-3")
    loss, gradients = network.loss_and_gradients(x, y)
    flat, moved = [g for group in gradients for g in group], [w for group in network.weights for w in group]
    random, moments, after, new = np.random.RandomState(start.SEED), [], [], []
    for was, gradient, statistic in zip(weights, flat, moved, strict=True):
        if gradient is None:
            after.append(statistic)
            continue
        size = np.abs(gradient) + np.abs(gradient).mean()
        m, v = random.normal(size=was.shape) * size, random.uniform(0.5, 1, size=was.shape) * size**2
        end, (new_m, new_v, _) = adam_update(was, gradient, (m, v, 33), **RULE)
        moments.append((m, v))
        new.append((new_m, new_v))
        after.append(end)
    State = mid_training.State
    return mid_training.Step(x, y, State(weights, moments, 33), loss, State(after, new, 34))


def judged(model, taken):
    checks.near_float64("a step", mid_training.findings(model, taken), next="the next command")


@pytest.fixture(autouse=True)
def of_keras_3(monkeypatch):
    """The step is made by the convention of Keras 3, also where another is installed."""
    monkeypatch.setattr(mid_training, "KERAS_VERSION", (3, 15))


@pytest.mark.parametrize("model", mid_training.JUDGED)
def test_float64_passes(model):
    judged(model, step(model))


def changed(taken, place, factor):
    """The step with variable `place` moved `factor` times as far."""
    weights = list(taken.after.weights)
    was = taken.before.weights[place]
    weights[place] = was + factor * (weights[place] - was)
    return taken._replace(after=taken.after._replace(weights=weights))


def gradient_changed(taken, factor):
    """The step with a gradient of the first variable `factor` times as large in Adam's first moment."""
    (m, _), (new_m, new_v) = taken.before.moments[0], taken.after.moments[0]
    gradient = (new_m - 0.9 * m) / 0.1
    moments = [(0.9 * m + 0.1 * factor * gradient, new_v), *taken.after.moments[1:]]
    return taken._replace(after=taken.after._replace(moments=moments))


CHANGES = {
    "a loss": ("model2", lambda taken: taken._replace(loss=taken.loss * 1.0001), "loss"),
    "a longer step": ("model2", lambda taken: changed(taken, 0, 1.001), "movement of 1-Conv2D/kernel"),
    "a bias that stays": ("model2", lambda taken: changed(taken, 1, 0.0), "movement of 1-Conv2D/bias"),
    "a gradient": ("model2", lambda taken: gradient_changed(taken, 1.0001), "gradient of 1-Conv2D/kernel"),
    "a count of steps": (
        "model2",
        lambda taken: taken._replace(before=taken.before._replace(steps=1)),
        "movement of 1-Conv2D/kernel",
    ),
    "a moving statistic": ("model4", lambda taken: changed(taken, 4, 1.01), "movement of 2-BatchNormalization/moving_mean"),
    "NaN": ("model4", lambda taken: changed(taken, 0, np.nan), "movement of 1-Conv2D/kernel"),
}


@pytest.mark.parametrize(("model", "change", "named"), CHANGES.values(), ids=CHANGES)
def test_what_is_wrong_is_named(model, change, named):
    with pytest.raises(pytest.fail.Exception, match=named):
        judged(model, change(step(model)))


def test_one_step_within_all_limits_is_enough():
    """Rounding decides a choice in one step; what is wrong with a stack is wrong in every one."""
    right, wrong = step("model2"), changed(step("model2"), 0, 1.001)
    for taken, outside in (([right, wrong], []), ([wrong, right], [34]), ([wrong, wrong, right], [34, 34])):
        found, findings, numbers = mid_training.first_inside("model2", iter(taken))
        assert (found is right, numbers) == (True, outside)
        assert all(finding.error <= finding.limit for finding in findings)
    found, findings, numbers = mid_training.first_inside("model2", [wrong, wrong])
    assert (found is wrong, numbers) == (True, [34, 34])
    assert max(findings, key=lambda finding: finding.error / finding.limit).name == "movement of 1-Conv2D/kernel"


def test_each_step_has_a_batch_of_its_own(monkeypatch):
    """The first is the batch with which the training began; none has an image of another."""
    monkeypatch.setattr(mid_training, "step", lambda model, data, rows: rows)
    batches = mid_training.steps(None, None)
    assert [len(rows) for rows in batches] == [setting.BATCH] * mid_training.STEPS
    assert np.array_equal(batches[0], setting.order(setting.BATCH))
    assert len(set(np.concatenate(batches))) == mid_training.STEPS * setting.BATCH


def later(taken, number):
    """The step under another number, for what is told of it."""
    return taken._replace(before=taken.before._replace(steps=number - 1), after=taken.after._replace(steps=number))


def test_the_message_names_every_step_outside(monkeypatch):
    """Of three steps outside the last is told in full; where one is inside, the report tells those before it."""
    wrong, told = changed(step("model2"), 0, 1.1), []
    monkeypatch.setattr(mid_training, "findings", lambda model, taken: judged_by(taken, step("model2"), wrong))
    monkeypatch.setattr(test_paired.paired, "trained", lambda model: (None, [later(wrong, n) for n in (34, 35, 36)]))
    with pytest.raises(pytest.fail.Exception, match="step 36 of a training, 8 images; outside as well: step 34 and 35\n"):
        test_paired.test_a_step_in_mid_training("model2", lambda *pair: told.append(pair))
    steps = [later(wrong, 34), later(step("model2"), 35)]
    monkeypatch.setattr(test_paired.paired, "trained", lambda model: (None, steps))
    test_paired.test_a_step_in_mid_training("model2", lambda *pair: told.append(pair))
    assert [value["remark"] for _, value in told] == ["step 34 outside, step 35 inside"]


def judged_by(taken, right, wrong):
    """A finding outside its limit for the weights of `wrong`, one inside for those of `right`."""
    error = 1.0 if taken.after.weights[0] is wrong.after.weights[0] else 0.0
    assert error or taken.after.weights[0] is right.after.weights[0]
    return [checks.Finding("movement of 1-Conv2D/kernel", error, 0.5, "a limit")]


@pytest.mark.parametrize("change", ["a loss", "a moving statistic"])
def test_what_no_choice_moves_is_asked_once(change):
    """A loss or a moving statistic outside its limit fails, however good the next step is."""
    model, make, named = CHANGES[change]
    wrong = make(step(model))
    found, findings, outside = mid_training.first_inside(model, [wrong, step(model)])
    assert (found is wrong, outside) == (True, [])
    assert [finding.name for finding in findings if not finding.error <= finding.limit] == [named]
