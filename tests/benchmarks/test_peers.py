"""How long is an epoch elsewhere? The same model, batch and data under other backends and on 2019's stack, in one run.

Each epoch of a peer is trained beside one of plain fit on TensorFlow; the table gives least, median and greatest ratio.
"""

import os
import sys

import pytest

from cnnspec.benchmarks import variants
from cnnspec.names import MODELS
from tests.benchmarks import rounds
from tests.benchmarks.process import Measuring
from tests.support import checks

PYTHON_OF_2019 = "CNNSPEC_PYTHON_2019"  # names the interpreter that has TensorFlow 1.13.1 and Keras 2.2.4
PEERS = {  # name -> (Variant, variable that names its interpreter, environment)
    "this harness": (variants.VARIANTS["harness"], None, {}),
    "Keras on JAX": (variants.VARIANTS[variants.PLAIN], None, {"KERAS_BACKEND": "jax"}),
    "Keras on PyTorch": (variants.VARIANTS[variants.PLAIN], None, {"KERAS_BACKEND": "torch"}),
    # Today's TensorFlow sets TF2_BEHAVIOR for itself and its children, and 1.13 would obey.
    "2019's stack": (variants.VARIANTS[variants.PLAIN], PYTHON_OF_2019, {"TF2_BEHAVIOR": "0"}),
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("model", MODELS)
def test_peer(benchmark, benchmark_run, plain_fits, settings, model, peer):
    """An epoch of a peer beside one of plain fit; its losses are judged as any other's."""
    variant, variable, environment = PEERS[peer]
    python = os.environ.get(variable) if variable else sys.executable
    if not python:
        checks.fail(
            f"{peer} is not there", [f"{variable} names no interpreter"], next="tox run -e bench-peers installs all peers"
        )
    beside = plain_fits.of(model, settings)
    process = Measuring(model, variant, settings, python, environment)
    rounds.measure(benchmark, model, peer, settings, beside, process, benchmark_run)
