"""Made-up rows of the stored catalogue, for tests of what reads them."""

from cnnspec.faults import store

STACK = {"python": "3.12.1", "framework": "tensorflow 2.21.0", "keras": "3.15.1", "numpy": "2.5.3", "device": "CPU"}


def row(fault, result=store.CAUGHT, level="quick", **other):
    """A row as a run of the catalogue stores it."""
    caught = result == store.CAUGHT
    test = "tests/test_exact.py::test_every_bit" if result in (store.CAUGHT, store.NOT_NAMED) else ""
    made = {
        "fault": fault,
        "kind": "layer",
        "result": result,
        "level": level if caught else "",
        "tier": "exact" if test else "",
        "test": test if caught else "",
        "seen": test,
        "seconds": "2.5",
        "message": "conv2d_1: expected 1, obtained 2" if test else "",
        "run": "default",
        "fault_text": "0123456789ab",
        "suite_text": "ba9876543210",
        "date": "2026-11-26",
        **STACK,
        "cpu": "a CPU",
        "cores": "2",
        "threads": "2",
    }
    return made | other
