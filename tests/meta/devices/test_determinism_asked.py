"""Are deterministic operations asked for as each backend needs it, and is it said what cannot be had?"""

import sys
from types import SimpleNamespace

import pytest

from cnnspec import stack
from cnnspec.devices.accelerators import Accelerator
from tests import test_determinism
from tests.support import determinism, two_processes
from tests.support.two_processes import DRAWN, MODELS, PROCESSES, SEEDS, TRAINED

GPU = Accelerator("GPU:0", "CUDA", "NVIDIA H100", (9, 0))
TPU = Accelerator("tpu:0", "TPU", "TPU v4")
BACKENDS = ("tensorflow", "jax", "torch")


def use(monkeypatch, backend, keras=(3, 15), device=None):
    """Let this be the backend, the version of Keras and the device that Keras uses."""
    monkeypatch.setattr(determinism, "backend", lambda: backend)
    monkeypatch.setattr(determinism, "KERAS_VERSION", keras)
    monkeypatch.setattr(stack, "used", lambda: device)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", [None, GPU, TPU], ids=["CPU", "GPU", "TPU"])
def test_flags_of_the_user_stay(monkeypatch, backend, device):
    """The user's XLA_FLAGS come first and ours after them, of which XLA takes the last; other variables stay."""
    use(monkeypatch, backend)
    given = {"XLA_FLAGS": "--xla_dump_to=/tmp/dump", "HOME": "/home/me"}
    found = determinism.environment(given, device)
    assert found["XLA_FLAGS"].startswith("--xla_dump_to=/tmp/dump --xla_cpu_multi_thread_eigen=false")
    assert found["HOME"] == "/home/me"
    assert given == {"XLA_FLAGS": "--xla_dump_to=/tmp/dump", "HOME": "/home/me"}
    assert not determinism.environment({}, device)["XLA_FLAGS"].startswith(" ")


@pytest.mark.parametrize(
    ("backend", "device", "flag"),
    [
        ("tensorflow", GPU, "--xla_gpu_deterministic_ops=true"),
        ("torch", GPU, "--xla_gpu_deterministic_ops=true"),
        ("jax", GPU, "--xla_gpu_autotune_level=0"),
        ("jax", TPU, "--xla_cpu_multi_thread_eigen=false"),
        ("jax", None, "--xla_cpu_multi_thread_eigen=false"),
    ],
)
def test_jax_is_not_asked_for_what_it_lacks(monkeypatch, backend, device, flag):
    """On a GPU JAX is asked for no autotuning only: deterministic operations would end its max pooling with an error."""
    use(monkeypatch, backend)
    assert determinism.environment({}, device)["XLA_FLAGS"].split()[-1] == flag


def test_cublas_has_its_workspace(monkeypatch):
    """PyTorch's deterministic products need CUBLAS_WORKSPACE_CONFIG before CUDA starts."""
    use(monkeypatch, "torch")
    assert determinism.environment({}, GPU)["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(
    ("backend", "keras", "device", "expected"),
    [
        ("tensorflow", (2, 15), GPU, {}),
        ("tensorflow", (3, 0), GPU, {"jit_compile": False}),
        ("tensorflow", (3, 3), GPU, {"jit_compile": False}),
        ("tensorflow", (3, 3), None, {}),
        ("tensorflow", (3, 4), GPU, {}),
        ("jax", (3, 3), GPU, {}),
    ],
)
def test_xla_is_off_where_keras_would_take_it(monkeypatch, backend, keras, device, expected):
    """Keras 3.0 to 3.3 on a GPU takes XLA by itself, where max pooling has no deterministic gradient."""
    use(monkeypatch, backend, keras)
    assert determinism.compile_settings(device) == expected


@pytest.mark.parametrize(
    ("backend", "model", "expected"),
    [
        ("tensorflow", SimpleNamespace(run_eagerly=False, jit_compile=True), "steps by XLA"),
        ("tensorflow", SimpleNamespace(run_eagerly=False, jit_compile=False), "compiled steps without XLA"),
        ("tensorflow", SimpleNamespace(run_eagerly=True, jit_compile=False), "eager steps"),
        ("jax", SimpleNamespace(run_eagerly=False, jit_compile=True), "steps by XLA"),
        ("torch", SimpleNamespace(run_eagerly=False, jit_compile=False), "eager steps"),
        ("torch", SimpleNamespace(run_eagerly=False, jit_compile=True), "steps of torch.compile"),
    ],
)
def test_the_path_is_named(monkeypatch, backend, model, expected):
    """What was tested is said: XLA, compiled without it, or eager."""
    use(monkeypatch, backend)
    assert determinism.path_of(model) == expected


def told(**changed):
    """What the two processes print on a healthy stack, with changes of the second."""
    first = {"deterministic": True, "device": "NVIDIA H100", "path": "steps by XLA", **dict.fromkeys(MODELS, "bits")}
    second = {**first, **changed}
    return dict(zip(PROCESSES, (first, second), strict=True))


def on_the_gpu(monkeypatch, backend):
    """This process computes on the GPU by `backend`; returns the properties that a test records."""
    use(monkeypatch, backend, device=GPU)
    return []


def test_other_bits_fail_where_determinism_is_promised(monkeypatch):
    """On a GPU by TensorFlow or PyTorch other bits are a failure. By JAX nothing can fail there: a skip that says why."""
    nothing = lambda *given: None  # noqa: E731
    for backend in ("tensorflow", "torch"):
        on_the_gpu(monkeypatch, backend)
        with pytest.raises(pytest.fail.Exception, match="by the harness"):
            test_determinism.test_the_same_seed_repeats(told(**{TRAINED: "wrong bits"}), TRAINED, nothing)
    on_the_gpu(monkeypatch, "jax")
    with pytest.raises(pytest.skip.Exception, match="the bits differ here, which is no fault: JAX on a GPU has no determin"):
        test_determinism.test_the_same_seed_repeats(told(**{TRAINED: "wrong bits"}), TRAINED, nothing)
    with pytest.raises(pytest.skip.Exception, match="the bits are the same here, which proves nothing: JAX on a GPU"):
        test_determinism.test_the_same_seed_repeats(told(), TRAINED, nothing)


def test_other_draws_fail(monkeypatch):
    """A kernel or a mask that the seed does not fix is told as what it is."""
    on_the_gpu(monkeypatch, "tensorflow")
    with pytest.raises(pytest.fail.Exception, match="SHA-256 of kernels that are drawn, and of an output with dropout"):
        test_determinism.test_the_same_seed_repeats(told(**{DRAWN: "wrong bits"}), DRAWN, lambda *given: None)


@pytest.mark.parametrize(("device", "kept"), [(None, [{f"{TRAINED}, two epochs with seed 0": "bits"}]), (GPU, [])])
def test_bits_of_one_thread_are_kept(monkeypatch, device, kept):
    """On a CPU the bits go into the report, for `cnnspec report` of equal machines; a GPU promises them to itself only."""
    use(monkeypatch, "tensorflow", device=device)
    monkeypatch.setattr(stack, "on_gpu", lambda: device is not None)
    noted = []
    test_determinism.test_the_same_seed_repeats(told(), TRAINED, lambda name, value: noted.append(value))
    assert noted == kept


def test_what_is_off_fails_where_it_can_be_on(monkeypatch):
    """Deterministic operations that are off fail by TensorFlow; by JAX on a GPU the test is skipped and says so."""
    noted = on_the_gpu(monkeypatch, "tensorflow")
    with pytest.raises(pytest.fail.Exception, match="second process: deterministic operations"):
        test_determinism.test_deterministic_operations_are_on(told(deterministic=False), lambda *given: noted.append(given))
    assert noted == [("path", "determinism: steps by XLA on NVIDIA H100")]
    noted = on_the_gpu(monkeypatch, "jax")
    with pytest.raises(pytest.skip.Exception, match="on a CPU they are on: pytest --device cpu"):
        test_determinism.test_deterministic_operations_are_on(told(deterministic=False), lambda *given: noted.append(given))
    assert noted[0][1].endswith("asked for was one choice of algorithms, --xla_gpu_autotune_level=0")
    monkeypatch.setattr(two_processes, "backend", lambda: "jax")
    assert two_processes.switch_determinism_on() is False


def test_a_process_that_computes_elsewhere_fails(monkeypatch):
    """Two processes that repeat each other on the CPU prove nothing of the GPU."""
    on_the_gpu(monkeypatch, "tensorflow")
    with pytest.raises(pytest.fail.Exception, match="second process: the device on which it computes"):
        test_determinism.test_deterministic_operations_are_on(told(device="CPU"), lambda *given: None)


def test_paths_that_differ_are_both_named(monkeypatch):
    """A process whose models, or the other process, took another path has both named."""
    assert determinism.path(["steps by XLA", "eager steps", "steps by XLA"]) == "steps by XLA and eager steps"
    line = test_determinism.path_taken(told(path="eager steps"), "")
    assert line == "determinism: steps by XLA and eager steps on NVIDIA H100"


def test_the_processes_start_with_it(monkeypatch):
    """The two processes get the variables, with the user's own flags, and compute where they are asked to."""
    started = []
    use(monkeypatch, "jax", device=GPU)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/dump")
    monkeypatch.setattr(
        two_processes.subprocess, "Popen", lambda command, **given: started.append(given) or SimpleNamespace()
    )
    monkeypatch.setattr(two_processes, "os", SimpleNamespace(environ=two_processes.os.environ, getpid=lambda: 1))
    two_processes.started.__wrapped__()
    flags = "--xla_dump_to=/tmp/dump --xla_cpu_multi_thread_eigen=false --xla_gpu_autotune_level=0"
    assert [given["env"]["XLA_FLAGS"] for given in started] == [flags] * len(PROCESSES)
    monkeypatch.setattr(two_processes.stack, "settle", lambda: sys.exit("settled"))
    with pytest.raises(SystemExit, match="settled"):
        two_processes.main("first")


def test_two_seeds_must_differ():
    """The same kernels from two seeds are a failure, other ones are not."""
    test_determinism.test_another_seed_differs(told(**{SEEDS: ["bits", "other bits"]}))
    with pytest.raises(pytest.fail.Exception, match="seeds 0 and 1 give the same weights to start with"):
        test_determinism.test_another_seed_differs(told(**{SEEDS: ["bits", "bits"]}))
