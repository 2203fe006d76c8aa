"""Is it told where TensorFlow lets XLA choose what it compiles, and do the trajectories know?"""

from types import SimpleNamespace

import pytest

from cnnspec import stack
from cnnspec.compat import backend
from cnnspec.devices import of_tensorflow
from cnnspec.facts import reading
from tests import test_trajectory
from tests.meta.devices.machines import MACHINES, put

CPU, GPU = "no accelerator", "H100"
CASES = {  # TF_XLA_FLAGS, what `tf.config.optimizer.get_jit` tells, the machine -> clusters
    "nothing": ("", "", CPU, False),
    "a CPU asked for": ("--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit", "", CPU, True),
    "a CPU not asked for": ("--tf_xla_auto_jit=2", "", CPU, False),
    "a CPU refused": ("--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit=false", "", CPU, False),
    "no level": ("--tf_xla_cpu_global_jit", "", GPU, False),
    "level 0": ("--tf_xla_auto_jit=0", "", GPU, False),
    "a GPU": ("--tf_xla_auto_jit=1", "", GPU, True),
    "by a call": ("", "autoclustering", CPU, True),
}


@pytest.mark.parametrize(("flags", "told", "machine", "expected"), CASES.values(), ids=CASES)
def test_clusters(monkeypatch, flags, told, machine, expected):
    """TF_XLA_FLAGS asks for clusters by a level, on a CPU by a second flag too; a call of TensorFlow's asks as well."""
    module = put(monkeypatch, MACHINES[machine], "tensorflow")
    module.config.optimizer = SimpleNamespace(get_jit=lambda: told)
    monkeypatch.setenv("TF_XLA_FLAGS", flags)
    assert of_tensorflow.clusters() is expected


@pytest.mark.skipif(backend() != "tensorflow", reason="clusters are TensorFlow's")
def test_a_stack_with_clusters(monkeypatch):
    """The stack tells them, and the first steps of model4 have the limits of the kernels that XLA takes."""
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit")
    assert stack.current()["xla"] == "clusters"
    assert stack.by_xla()
    wide = reading.tolerance("trajectory_other_kernels.model4-sgd")
    assert test_trajectory.limits("model4-sgd") == wide
    assert test_trajectory.limits("model2-sgd") == reading.tolerance("trajectory.model2-sgd")
