"""Do several replicas with a part of the batch each train as one device with the whole batch?

Asked for by --replicas N. Data parallel, as users do it: MirroredStrategy on TensorFlow, Keras' DataParallel on JAX,
DistributedDataParallel on PyTorch; on GPUs where there are N, else on N parts of the CPU. Compared with float64 of the whole
batch. BatchNormalization takes each replica's own statistics, on JAX the whole batch's: `tests/support/replicas/setting.py`.
"""

import functools
import tempfile
from pathlib import Path

import pytest

from cnnspec import stack
from cnnspec.facts import reading
from tests.support import checks
from tests.support.replicas import judged, processes, setting, worker

pytestmark = pytest.mark.skipif(
    stack.precision() != "float32",
    reason=f"Keras' policy is {stack.precision()}: limits are float32's, run with float32",
)


@functools.cache
def computed(replicas):
    """What the replicas computed: their processes run once for all tests. An exception is raised again, by every test."""
    with tempfile.TemporaryDirectory() as folder:
        return processes.run(replicas, Path(folder))


@pytest.fixture
def replicas(pytestconfig):
    """Number of replicas."""
    return pytestconfig.option.replicas


def test_every_replica_computes(replicas):
    """The batch is divided among as many devices as were asked for; one that computes all of it would pass the rest."""
    found = computed(replicas)
    checks.equal(
        f"{setting.kind().by}: images of a batch of {setting.STEPS['a step'].images} that each replica computes",
        [rows.stop - rows.start for rows in setting.parts(setting.STEPS["a step"].images, replicas)],
        [int(images) for images in found["images"]],
        source="equal parts",
        next=judged.NEXT.format(replicas),
    )


@pytest.mark.parametrize("name", [name for name, step in setting.STEPS.items() if not step.nan])
def test_a_step(name, replicas):
    """Loss, every gradient and the moving statistics of a step are float64's within their bound."""
    obtained, alone = (processes.numbers(computed(replicas), name, who) for who in (worker.ALL, worker.ONE))
    judged.step(name, replicas, obtained, alone, reading.tolerance("replicas"))


def test_nan_on_one_replica(replicas):
    """A NaN among one replica's labels makes the loss and the gradients NaN."""
    name = next(name for name, step in setting.STEPS.items() if step.nan)
    obtained, alone = (processes.numbers(computed(replicas), name, who) for who in (worker.ALL, worker.ONE))
    judged.nan(replicas, obtained, alone)


def test_two_epochs(replicas):
    """Losses and variables after two epochs of fit are float64's within their bound."""
    obtained, alone = (processes.fitted(computed(replicas), who) for who in (worker.ALL, worker.ONE))
    judged.fit(replicas, obtained, alone, reading.tolerance("replicas"))
