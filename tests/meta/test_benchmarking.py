"""Do benchmarks run only on request and alone, and do they measure what they say?"""

import contextlib
import gc
import subprocess
import sys
import types

import numpy as np
import pytest

from cnnspec import compat, memory, mnist, stack
from cnnspec.benchmarks import ceiling, variants
from cnnspec.errors import EnsembleError
from cnnspec.facts import reading
from tests.benchmarks import rounds
from tests.benchmarks import test_scaling as scale
from tests.benchmarks.process import Measuring, MeasuringFailed
from tests.plugin import benchmarks

UNAVAILABLE = {  # variant, backend, GPUs, cores -> beginning of the reason why it is left out; None if it is measured
    "plain fit": ("plain fit", "jax", 0, 2, None),
    "bare on JAX": ("bare step", "jax", 0, 2, "the bare way is written for TensorFlow only, not for jax"),
    "harness on PyTorch": ("harness", "torch", 0, 2, "the harness way is written for TensorFlow only, not for torch"),
    "joined steps on PyTorch": ("steps joined", "torch", 0, 2, "on torch, joined steps return"),
    "XLA on JAX": ("XLA on", "jax", 0, 2, "JAX always compiles with XLA"),
    "XLA on a CPU": ("XLA on", "tensorflow", 0, 2, None),
    "XLA off on a CPU": ("XLA off", "tensorflow", 0, 2, "on a CPU, plain fit already runs without XLA"),
    "XLA off on a GPU": ("XLA off", "tensorflow", 1, 16, None),
    "TF32 on a CPU": ("TF32 off", "tensorflow", 0, 2, "only GPUs have TF32"),
    "TF32 on a GPU": ("TF32 off", "tensorflow", 1, 16, None),
    "two threads on two cores": ("2 threads", "tensorflow", 0, 2, "plain fit already uses all cores (2)"),
    "two threads on four cores": ("2 threads", "tensorflow", 0, 4, None),
    "memory kept": ("memory kept", "tensorflow", 0, 2, None),
    "memory kept beside a GPU": ("memory kept", "tensorflow", 1, 16, "with a GPU, steps compute in its own memory"),
    "one thread beside a GPU": ("1 thread", "tensorflow", 1, 16, "with a GPU, the CPU's threads do not compute"),
}


def pytest_in_a_process(*arguments):
    """A finished pytest on the benchmarks."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/benchmarks/test_epochs.py", *arguments]
    return subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, timeout=300)


def test_off_by_default():
    """Plain pytest leaves every benchmark out and says how to run them."""
    ended = pytest_in_a_process("--collect-only")
    assert benchmarks.OFF in ended.stdout
    assert "tox run -e bench" in benchmarks.OFF
    assert "no tests collected" in ended.stdout
    assert ended.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_refused_under_xdist():
    """pytest-xdist is refused, because workers would slow each other: one line, and the exit code of a usage error."""
    ended = pytest_in_a_process("--benchmark-enable", "-n", "2")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {benchmarks.ALONE}" in ended.stderr.splitlines()


def test_figures_are_stored_of_benchmarks_only():
    """--store-figures while benchmarks are off is an error, not a run that stores nothing."""
    ended = pytest_in_a_process("--store-figures")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --store-figures does nothing while benchmarks are off; {benchmarks.HOW}" in ended.stderr.splitlines()


@pytest.mark.parametrize(("variant", "backend", "gpus", "cores", "reason"), UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_variants_say_why_they_are_left_out(monkeypatch, variant, backend, gpus, cores, reason):
    """A variant that would measure the same as plain fit, or nothing, is left out with a reason."""
    monkeypatch.setattr(memory, "possible", lambda: True)
    said = variants.unavailable(variants.VARIANTS[variant], backend, gpus, cores)
    assert said is None if reason is None else said.startswith(reason)


def test_memory_that_cannot_be_kept_is_not_measured(monkeypatch):
    """Where malloc has no such settings, or the user's, the variant would be the harness once more."""
    monkeypatch.setattr(memory, "possible", lambda: False)
    said = variants.unavailable(variants.VARIANTS["memory kept"], "tensorflow", 0, 2)
    assert said == "this C library cannot be told to keep memory, or MALLOC_… or GLIBC_TUNABLES is set"


def test_memory_is_kept_by_its_variant_alone(monkeypatch):
    """The others run as the C library does by default."""
    asked = []
    monkeypatch.setattr(memory, "keep", lambda: asked.append("kept"))
    data = types.SimpleNamespace(x_train=np.zeros((1, 28, 28, 1)), y_train=np.zeros((1, 10)))
    for name in ("harness", "memory kept", "plain fit"):
        monkeypatch.setitem(variants.WAYS, variants.VARIANTS[name].way, lambda *given, name=name: asked.append(name))
        variants.prepare("model2", variants.VARIANTS[name], data, 0)
    assert asked == ["harness", "kept", "memory kept", "plain fit"]


def pedantic(function, setup, rounds, iterations):
    """Run rounds as pytest-benchmark does."""
    for _ in range(rounds * iterations):
        setup()
        function()


def test_each_round_follows_one_of_plain_fit():
    """After a warm-up that is not counted, each round runs right after a round of what it is compared with."""
    order, left = [], {"mine": [2.0, 2.0, 2.1, 2.0, 4.0, 2.0], "theirs": [4.0, 4.0, 16.0, 1.0, 1.0]}

    def once(whose):
        order.append(whose)
        return left[whose].pop(0)

    benchmark = types.SimpleNamespace(pedantic=pedantic, extra_info={})
    found = rounds.repeat(benchmark, lambda: once("mine"), lambda: once("theirs"))
    assert found == ([2.0, 2.1, 2.0, 4.0, 2.0], [2.0, 2.1, 2.0, 4.0, 2.0], [4.0, 4.0, 16.0, 1.0, 1.0])
    assert order == ["mine", *["theirs", "mine"] * 5]
    assert benchmark.extra_info == {"repeated_in_a_round": 1, "rounds_taken": 5}


def test_rounds_go_on_until_they_agree():
    """Rounds of a busy minute at the beginning are dropped; if rounds never agree, it stops at LONGEST times as many."""
    benchmark = types.SimpleNamespace(pedantic=pedantic, extra_info={})
    left = [2.0, 9.0, 5.0, 7.0, *[2.0] * 5]
    last = [7.0, 2.0, 2.0, 2.0, 2.0]  # quartiles 2 and 2
    assert rounds.repeat(benchmark, lambda: left.pop(0)) == (last, last, [0.0] * 5)
    assert left == [2.0]
    left = [2.0, *[3.0, 9.0] * 10]
    rounds.repeat(benchmark, lambda: left.pop(0))
    assert benchmark.extra_info["rounds_taken"] == rounds.LONGEST * 5


def test_short_epochs_share_a_round():
    """A round has three epochs of 0.8 s; it keeps their mean and their fastest."""
    left = [0.8] + [1.0, 2.0, 3.0] * 4
    benchmark = types.SimpleNamespace(pedantic=pedantic, extra_info={})
    assert rounds.repeat(benchmark, lambda: left.pop(0), lambda: 4.0) == ([2.0] * 4, [1.0] * 4, [4.0] * 4)
    assert benchmark.extra_info == {"repeated_in_a_round": 3, "rounds_taken": 4}


def test_a_round_has_few_repetitions():
    """On a GPU an epoch takes a tenth of a second: two seconds of them, beside as many of plain fit, took a run too long."""
    calls = []
    benchmark = types.SimpleNamespace(pedantic=pedantic, extra_info={})
    rounds.repeat(benchmark, lambda: calls.append(0.1) or 0.1)
    assert len(calls) == 1 + 5 * 8  # one that warms up, and five rounds


@pytest.mark.parametrize("tf32", [None, False])
def test_tf32_stays_off_until_the_process_ends(monkeypatch, tf32):
    """By the switch of the backend that computes, whichever it is; and where it is not asked for, nothing is switched."""
    switched = []

    @contextlib.contextmanager
    def off():
        switched.append("off")
        yield
        switched.append("on again")

    monkeypatch.setattr(stack, "tf32_off", off)
    monkeypatch.setattr(variants, "_whole_process", contextlib.ExitStack())
    digits = mnist.Dataset("mnist5k", *(np.zeros((1, 1), "float32"),) * 4)
    variants.prepare("model2", variants.Variant(tf32=tf32), digits, seed=0)
    gc.collect()
    assert switched == (["off"] if tf32 is False else [])


def test_the_number_of_rounds():
    """There are five short rounds, or three long ones."""
    assert [rounds.rounds_for(seconds) for seconds in (0.01, 2.2, 100.0)] == [5, 4, 3]


def test_a_fast_wrong_answer_fails():
    """A loss outside the band of the ensemble fails and names the variant; losses of the ensemble pass."""
    settings = types.SimpleNamespace(ensembles=reading.BASELINES / "ensembles" / "mnist5k", dataset="mnist5k")
    right = [1.36, 0.57]  # seed 0 of the ensemble, rounded
    rounds.judge_losses("model2, fast", "model2", settings, right)
    with pytest.raises(pytest.fail.Exception, match="model2, fast: loss of epoch 1, mnist5k"):
        rounds.judge_losses("model2, fast", "model2", settings, [0.1, 0.57])
    with pytest.raises(pytest.fail.Exception, match="model2, fast: loss of epoch 2, mnist5k"):
        rounds.judge_losses("model2, fast", "model2", settings, [1.36, 2.3])


def test_losses_on_full_mnist():
    """Its ensembles are small, and have no evaluated losses in between: chance fails, and a band that accepts it is told."""
    judged = lambda losses: rounds.judge_losses("model3, fast", "model3", settings, losses)  # noqa: E731
    settings = types.SimpleNamespace(ensembles=reading.BASELINES / "ensembles" / "mnist-h200", dataset="mnist")
    judged([0.17, 0.08])
    with pytest.raises(pytest.fail.Exception, match="model3, fast: loss of epoch 2, mnist"):
        judged([0.17, 0.17])
    with pytest.raises(EnsembleError, match="holds runs of 10 epochs, too few to judge 11"):
        judged([0.17] + [0.01] * 10)
    settings.ensembles = reading.BASELINES / "ensembles" / "mnist"
    with pytest.raises(pytest.fail.Exception, match="cannot tell: model3, fast: loss of epoch 1, mnist"):
        judged([0.17, 0.08])


def test_a_process_that_ends_says_why():
    """The error has the last output of a process that ended."""
    settings = types.SimpleNamespace(dataset="mnist5k", mnist="nowhere.npz", seed=0)
    with pytest.raises(MeasuringFailed, match="mnist5k; ask for the data set mnist"):
        Measuring("model2", variants.VARIANTS[variants.PLAIN], settings)


def test_a_process_measures():
    """A process answers with positive numbers, its losses fall, and an unknown request ends it and is named."""
    settings = types.SimpleNamespace(dataset="mnist5k", mnist=None, seed=1000)
    process = Measuring("model4", variants.VARIANTS[variants.PLAIN], settings)
    try:
        assert process.epoch() > 0
        assert process.losses[1] < process.losses[0]
        assert process.ready["images"] == 4000
        assert process.ready["stack"]["backend"] == compat.backend()
        assert process.ask("predict 128 256")["seconds"] > 0
        assert process.ask("memory")["host"] > 100
        with pytest.raises(MeasuringFailed, match="unknown request 'sing'; known are epoch, predict"):
            process.ask("sing")
    finally:
        process.close()


def test_processes_take_turns():
    """After an epoch each, a round has as many epochs of each process as fill it; all processes end, after a failure too."""
    order, seconds = (
        [],
        {"a": iter([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, *[9.0] * 9]), "b": iter([1.0, *[0.5, 1.5] * scale.ROUNDS, *[9.0] * 9])},
    )

    class Process:
        ready, first, losses = {"images": 100}, {"seconds": 9.0}, [2.0, 1.0]

        def __init__(self, name):
            self.name, self.closed = name, False

        def epoch(self):
            order.append(self.name)
            return next(seconds[self.name])

        def close(self):
            self.closed = True

    processes = {name: Process(name) for name in "ab"}
    found = scale.turns(processes)
    assert order == ["a", "b"] + ["a", "b", "b"] * scale.ROUNDS
    assert found["a"].seconds == found["a"].fewest == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert (found["b"].seconds, found["b"].fewest) == ([1.0] * scale.ROUNDS, [0.5] * scale.ROUNDS)
    assert (scale.quickest(found["b"]), found["b"].trusted, found["a"].trusted) == (0.5, True, False)
    assert (found["b"].images, found["b"].first) == (100, 9.0)
    Process.losses = [2.0, float("nan")]
    with pytest.raises(pytest.fail.Exception, match="last loss is not below their first"):
        scale.turns(processes)
    Process.ready = {}
    with pytest.raises(KeyError):
        scale.turns(processes)
    assert all(process.closed for process in processes.values())


def test_a_line_through_points():
    """Points on 3 + 2 x give that intercept and slope; a point that is off by 1 shows in the largest distance."""
    assert scale.line_through([(1, 5), (2, 7), (4, 11)]) == pytest.approx((3, 2, 0), abs=1e-12)
    intercept, slope, distance = scale.line_through([(0, 0), (1, 1), (2, 2), (3, 4)])  # least squares: −0.2 + 1.3 x
    assert (intercept, slope, distance) == pytest.approx((-0.2, 1.3, 0.4 / 4))


def test_the_best_of_some(monkeypatch):
    """The limit is the fastest repeat; the first one is not counted."""
    clock = iter([0.0, 1.0, 10.0, 15.0, 20.0, 23.0, 30.0, 34.0])
    monkeypatch.setattr(ceiling.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(ceiling, "wait", lambda tensor: None)
    assert ceiling.best(lambda: None, 3) == 3.0


@pytest.mark.skipif(compat.KERAS_VERSION < (3, 0), reason="Keras 2 has no keras.ops, by which limits are measured")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_limits_are_measured(monkeypatch, precision):
    """2 n³ operations and 8 bytes per number, divided by the seconds of the fastest repeat."""
    monkeypatch.setattr(ceiling, "best", lambda compute, repeats: ceiling.wait(compute()) or 0.5)
    found = ceiling.measure(precision, size=10, copied=1000)
    assert found == {"gflops": pytest.approx(4e-6), "gbytes": pytest.approx(16e-6)}
