"""Does docs/devices.md say of each machine and backend what the suite says and does there?"""

import pytest

from cnnspec.compat import KERAS_VERSION
from cnnspec.devices.words import of_device
from cnnspec.facts.reading import PROJECT
from tests.meta.devices.machines import BACKENDS, MACHINES, process

NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
SEEN = {  # and every other machine and backend: imitation
    ("no accelerator", "tensorflow"): "real run",
    ("no accelerator", "jax"): "real run",
    ("no accelerator", "torch"): "real run",
    ("H100", "jax"): "real run, gpu:1 imitated",
    ("H100", "torch"): "real run, gpu:1 imitated",
}
VERSIONS = ("driver", "cuda", "cudnn", "rocm", "runtime")  # of the imitations they are made up
GIVEN = {"H100, KERAS_TORCH_DEVICE=cpu": ("H100", {"KERAS_TORCH_DEVICE": "cpu"})}


def row(monkeypatch, name, machine, backend, given=None):
    """The line of the table: what the description says, what --device gpu and gpu:1 do, and how that was seen."""
    facts, _ = process(monkeypatch, machine, backend, given=given)
    told = facts["device"] + of_device({key: value for key, value in facts.items() if key not in VERSIONS})
    faults = [process(monkeypatch, machine, backend, device, given)[1] for device in ("gpu", "gpu:1")]
    words = ["refused" if fault else "passes" for fault in faults]
    assert process(monkeypatch, machine, backend, "cpu", given)[1] is None
    return f"| {name} | {NAMES[backend]} | {told} | {words[0]} | {words[1]} | {SEEN.get((name, backend), 'imitation')} |"


@pytest.mark.skipif(KERAS_VERSION < (3, 15), reason="the table is of newest Keras, which takes XPU: tox run -e py312")
def test_the_table_is_what_the_imitations_give(monkeypatch):
    """Every row of the table, in its order; a row that is missing or changed is printed."""
    rows = [row(monkeypatch, name, machine, backend) for name, machine in MACHINES.items() for backend in BACKENDS]
    rows += [row(monkeypatch, name, MACHINES[machine], "torch", given) for name, (machine, given) in GIVEN.items()]
    text = (PROJECT / "docs" / "devices.md").read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if line.endswith((" imitation |", " real run |", " imitated |"))]
    assert found == rows, "docs/devices.md should have:\n" + "\n".join(rows)
