"""How long is an epoch of the same model, batch and data with other backends and on 2019's stack?

Each round of a peer runs right after plain fit on TensorFlow. The table gives the smallest, median and largest ratio.
"""

import os
import shutil
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
    # Today's TensorFlow sets TF2_BEHAVIOR, child processes inherit it, and TensorFlow 1.13 would follow it.
    "2019's stack": (variants.VARIANTS[variants.PLAIN], PYTHON_OF_2019, {"TF2_BEHAVIOR": "0"}),
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("model", MODELS)
def test_peer(benchmark, benchmark_run, plain_fits, settings, model, peer):
    """Time of a peer's epoch relative to plain fit; its first and last loss are in their bands."""
    variant, variable, environment = PEERS[peer]
    python = os.environ.get(variable) if variable else sys.executable
    if not python or not shutil.which(python):
        checks.fail(
            f"{model}, {peer}: not installed",
            [
                f"expected  {variable} names a Python interpreter",
                f"obtained  {python!r}" if python else "obtained  the variable is not set",
            ],
            next="tox run -e bench-peers",
        )
    beside = plain_fits.of(model, settings)
    process = Measuring(model, variant, settings, python, environment)
    rounds.measure(benchmark, model, peer, settings, beside, process, benchmark_run)
