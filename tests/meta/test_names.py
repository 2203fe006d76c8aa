"""Are the sizes that every part shares MNIST's and NumPy's, and do names of machines make names of folders?"""

import numpy as np
import pytest

from cnnspec import names


def test_sizes():
    """MNIST has 60,000 and 10,000 images of 28 × 28 pixels (LeCun et al. 1998); of the 5,000 a fifth is the test set."""
    assert names.IMAGE == (28, 28, 1)
    assert names.CLASSES == 10
    assert names.SAMPLES == {"mnist5k": (4000, 1000), "mnist": (60000, 10000)}


def test_the_largest_seed():
    """NumPy takes the largest seed, and none beyond it."""
    np.random.RandomState(names.LARGEST_SEED)
    with pytest.raises(ValueError, match="Seed must be between 0 and"):
        np.random.RandomState(names.LARGEST_SEED + 1)


CPU = {"device": "CPU", "cpu": "AMD EPYC", "cores": 2, "memory_gib": 24}
MACHINES = {
    "amd-epyc-2-cores-24-gib": CPU,
    "amd-epyc-2-cores-unknown-memory": {**CPU, "memory_gib": None},
    "amd-epyc-avx-512-2-cores-24-gib": {**CPU, "instructions": "AVX-512"},
    "nvidia-h100-80gb-hbm3-amd-epyc-2-cores-24-gib": {**CPU, "device": "NVIDIA H100 80GB HBM3"},
}


@pytest.mark.parametrize(("folder", "stack"), MACHINES.items(), ids=MACHINES)
def test_the_folder_of_a_machine(folder, stack):
    """A GPU, the CPU, its cores and the memory, where the system tells it."""
    assert names.hardware(stack) == folder


SLUGS = {"Intel(R) Xeon(R) CPU @ 2.80GHz": "intel-r-xeon-r-cpu-2.80ghz", "--a  b--": "a-b", ".x.": "x", "A_b": "a_b"}


@pytest.mark.parametrize(("text", "slug"), SLUGS.items())
def test_slug(text, slug):
    """Lower case, a hyphen between words, none at the ends."""
    assert names.slug(text) == slug
