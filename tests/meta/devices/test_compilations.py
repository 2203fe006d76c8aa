"""Are the compilations of XLA counted, and nothing else that JAX tells of its time?"""

from types import SimpleNamespace

import pytest

from cnnspec.compat import backend
from tests.plugin import compilations


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """No compilation so far."""
    monkeypatch.setattr(compilations, "_seconds", [])


def test_compilations_are_counted():
    """Of the events of JAX those of compilations alone, with their number, their time and the longest."""
    traced = "/jax/core/compile/jaxpr_trace_duration"
    for event, seconds in ((compilations.EVENT, 1.5), (traced, 9.0), (compilations.EVENT, 0.5)):
        compilations.heard(event, seconds, fun_name="step")
    assert compilations.told(compilations._seconds) == "XLA compiled 2 programs in 2 s, the longest in 1.5 s"


def test_workers_tell_theirs(monkeypatch):
    """What two workers compiled is added up in the process that hands out the tests; a worker that died tells nothing."""
    sent = []
    for seconds in ([1.0, 2.0], [4.0]):
        worker = SimpleNamespace(workeroutput={})
        monkeypatch.setattr(compilations, "_seconds", seconds)
        compilations.pytest_sessionfinish(SimpleNamespace(config=worker))
        sent.append(worker)
    monkeypatch.setattr(compilations, "_seconds", [])
    for node in (*sent, SimpleNamespace()):
        compilations.pytest_testnodedown(node)
    assert compilations.told(compilations._seconds) == "XLA compiled 3 programs in 7 s, the longest in 4.0 s"


@pytest.mark.skipif(backend() != "jax", reason="only JAX tells it: tox run -e jax")
def test_jax_tells_of_a_compilation():
    """A new function is one compilation more, its second call none."""
    import jax

    doubled = jax.jit(lambda x: 2 * x + 1)
    argument = jax.numpy.arange(7.0)
    before = len(compilations._seconds)
    doubled(argument)
    assert len(compilations._seconds) == before + 1
    doubled(argument)
    assert len(compilations._seconds) == before + 1


def test_a_run_without_compilations():
    """Nothing is said where XLA compiled nothing."""
    assert compilations.pytest_terminal_summary(None) is None
