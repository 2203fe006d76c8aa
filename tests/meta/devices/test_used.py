"""Does the stack say what is there and what Keras uses, and does --device hide, choose and refuse?"""

import sys

import pytest

from cnnspec import stack
from cnnspec.benchmarks import worker
from cnnspec.devices import asked, of_jax, of_tensorflow, of_torch
from cnnspec.devices.words import of_device
from cnnspec.errors import DeviceMissing
from tests.meta.devices import machines
from tests.meta.devices.machines import BACKENDS, MACHINES, process, put

ACCELERATED = {name: machine for name, machine in MACHINES.items() if name != "no accelerator"}
# machine -> the device that each backend uses: its place and api, or the CPU
USED = {
    "no accelerator": dict.fromkeys(BACKENDS, None),
    "H100": {"tensorflow": ("GPU:0", "CUDA"), "jax": ("gpu:0", "CUDA"), "torch": ("cuda:0", "CUDA")},
    "T4": {"tensorflow": ("GPU:0", "CUDA"), "jax": ("gpu:0", "CUDA"), "torch": ("cuda:0", "CUDA")},
    "two GPUs": {"tensorflow": ("GPU:0", "CUDA"), "jax": ("gpu:0", "CUDA"), "torch": ("cuda:0", "CUDA")},
    "MIG": {"tensorflow": ("GPU:0", "CUDA"), "jax": ("gpu:0", "CUDA"), "torch": ("cuda:0", "CUDA")},
    "ROCm": {"tensorflow": ("GPU:0", "ROCm"), "jax": ("gpu:0", "ROCm"), "torch": ("cuda:0", "ROCm")},
    "XPU": {"tensorflow": ("XPU:0", "XPU"), "jax": ("xpu:0", "XPU"), "torch": ("xpu:0", "XPU")},
    "Apple": {"tensorflow": ("GPU:0", "Metal"), "jax": ("METAL:0", "Metal"), "torch": ("mps:0", "MPS")},
    "TPU": {"tensorflow": None, "jax": ("tpu:0", "TPU"), "torch": None},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MACHINES)
def test_what_is_used(monkeypatch, name, backend):
    """The device on which each backend computes on each machine; the CPU where there is none that it uses."""
    put(monkeypatch, MACHINES[name], backend)
    used = stack.used()
    if backend == "torch" and name == "XPU" and used is None:
        pytest.skip("this Keras does not take XPU: tox run -e torch")
    assert (used and (used.place, used.api)) == USED[name][backend]
    assert stack.gpus()[:1] == ([used.name] if used and used.is_gpu else [])


def test_two_gpus_and_a_slice_are_told(monkeypatch):
    """Two GPUs: the first is used, the other is named as not used. A MIG slice is named as one, with its versions."""
    facts, _ = process(monkeypatch, MACHINES["two GPUs"], "torch")
    assert facts["device"] == "NVIDIA H100 80GB HBM3"
    assert facts["unused"] == "NVIDIA H200 (CUDA)"
    facts, _ = process(monkeypatch, MACHINES["MIG"], "tensorflow")
    assert of_device(facts) == (
        ", by CUDA, MIG slice 3g.20gb, compute capability 8.0, driver 560.35, cuda 12.6, cudnn 9.3.0, tf32 on"
    )
    assert "unused" not in facts


def test_keras_takes_mps_before_cuda_before_xpu(monkeypatch):
    """On a machine with all three Keras on PyTorch computes by MPS, without it by CUDA; the others are said to be unused."""
    everything = machines.Machine(nvidia=(machines.H100,), intel=("Intel Max",), apple="Apple M2")
    facts, _ = process(monkeypatch, everything, "torch")
    assert (facts["api"], facts["unused"]) == ("MPS", "NVIDIA H100 80GB HBM3 (CUDA), Intel Max (XPU)")
    facts, _ = process(monkeypatch, machines.Machine(nvidia=(machines.H100,), intel=("Intel Max",)), "torch")
    assert (facts["api"], facts["unused"]) == ("CUDA", "Intel Max (XPU)")


def test_the_cpu_beside_a_gpu_is_told(monkeypatch):
    """With KERAS_TORCH_DEVICE=cpu on a CUDA machine the description says CPU, and that a GPU is there and not used."""
    facts, fault = process(monkeypatch, MACHINES["H100"], "torch", "gpu", {"KERAS_TORCH_DEVICE": "cpu"})
    if not sys.modules[of_torch.CORE].obeys:
        pytest.skip("this Keras has no KERAS_TORCH_DEVICE: tox run -e torch")
    assert facts == {"device": "CPU", "unused": "NVIDIA H100 80GB HBM3 (CUDA)"}
    assert fault == (
        "Keras' backend torch finds NVIDIA H100 80GB HBM3 (CUDA) but computes on the CPU; unset KERAS_TORCH_DEVICE and "
        "JAX_DEFAULT_DEVICE, or use --device cpu"
    )


@pytest.mark.parametrize("given", ["cpu", "device"])
def test_jax_default_device(monkeypatch, given):
    """jax_default_device, by name or as a device, is where JAX computes: --device gpu refuses the CPU."""
    module = put(monkeypatch, MACHINES["H100"], "jax")
    module.config.jax_default_device = "cpu" if given == "cpu" else module.devices("cpu")[0]
    assert stack.used() is None
    assert "computes on the CPU" in stack.misplaced("gpu", stack.used(), stack.accelerators())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ACCELERATED)
def test_cpu_hides_every_accelerator(monkeypatch, name, backend):
    """--device cpu: each backend computes on the CPU on every machine, whatever variables said before.

    What variables hide PyTorch and JAX do not even find; Apple's GPU PyTorch finds, and says that it is not used.
    """
    shown = dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"), "0")
    facts, fault = process(monkeypatch, MACHINES[name], backend, "cpu", {"KERAS_TORCH_DEVICE": "cuda:1", **shown})
    assert facts["device"] == "CPU"
    assert fault is None
    if backend != "tensorflow":
        assert facts.get("unused") == ("Apple GPU (MPS)" if (name, backend) == ("Apple", "torch") else None)


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_what_cannot_be_hidden_is_refused(monkeypatch, backend):
    """--device cpu fails where Metal or MPS is still used because nothing hid it; `require` hides it."""
    put(monkeypatch, MACHINES["Apple"], backend)
    assert "which could not be hidden; start in a new process" in stack.misplaced("cpu", stack.used(), stack.accelerators())
    hide, tried = stack._FRAMEWORKS[backend].hide, []
    with monkeypatch.context() as patched:
        patched.setattr(stack._FRAMEWORKS[backend], "hide", lambda: tried.append(backend))
        with pytest.raises(DeviceMissing, match=r"--device cpu: Keras' backend .* still computes on"):
            stack.require("cpu")
    assert tried == [backend]
    assert stack._FRAMEWORKS[backend].hide is hide
    monkeypatch.setenv(asked.VARIABLE, "cpu")
    stack.settle()  # as a process does that a run with --device cpu has started
    assert stack.used() is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MACHINES)
def test_gpu_is_refused_where_none_computes(monkeypatch, name, backend):
    """--device gpu passes where a GPU computes; it is refused without one, and on a TPU."""
    _, fault = process(monkeypatch, MACHINES[name], backend, "gpu")
    expected = USED[name][backend]
    if backend == "torch" and name == "XPU" and fault:
        assert "computes on the CPU" in fault  # a Keras that does not take XPU
        return
    assert (fault is None) == (expected is not None and expected[1] != "TPU"), fault
    if fault:
        assert "finds no GPU it can use" in fault


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_gpu_is_picked(monkeypatch, backend):
    """--device gpu:1 picks the second GPU of NVIDIA's and AMD's, among those that were left visible; it is then alone."""
    facts, fault = process(monkeypatch, MACHINES["two GPUs"], backend, "gpu:1", {"KERAS_TORCH_DEVICE": "cuda:1"})
    assert (facts["device"], fault) == ("NVIDIA H200", None)
    assert "unused" not in facts
    facts, fault = process(monkeypatch, MACHINES["two GPUs"], backend, "gpu:0", {"CUDA_VISIBLE_DEVICES": "1"})
    assert (facts["device"], fault) == ("NVIDIA H200", None)
    facts, fault = process(monkeypatch, MACHINES["ROCm"], backend, "gpu:1")
    assert (facts["device"], fault) == ("AMD Instinct MI300X", None)
    facts, fault = process(monkeypatch, MACHINES["MIG"], backend, "gpu:1")
    assert (facts["slice"], fault) == ("2g.10gb", None)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["H100", "ROCm", "XPU", "two GPUs", "MIG"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, name, backend):
    """--device gpu:7 is refused where there are fewer, also where KERAS_TORCH_DEVICE names one."""
    _, fault = process(monkeypatch, MACHINES[name], backend, "gpu:7")
    assert "finds no GPU it can use" in fault


def test_apple_has_one_gpu(monkeypatch):
    """--device gpu:0 is Apple's GPU, and gpu:1 is refused, though no variable could choose."""
    for backend in BACKENDS:
        assert process(monkeypatch, MACHINES["Apple"], backend, "gpu:0")[1] is None
        assert "is the only GPU; give gpu:0" in process(monkeypatch, MACHINES["Apple"], backend, "gpu:1")[1]


def test_a_gpu_that_was_not_chosen_in_time_is_refused(monkeypatch):
    """--device gpu:1 fails where the framework still sees two: it was imported before."""
    put(monkeypatch, MACHINES["two GPUs"], "tensorflow")
    fault = stack.misplaced("gpu:1", stack.used(), stack.accelerators())
    assert "sees NVIDIA H100 80GB HBM3 (CUDA), NVIDIA H200 (CUDA), not one of them" in fault


def test_what_was_chosen_stays_chosen(monkeypatch):
    """A process that a run starts is given the same words and does not choose again among the one that is left."""
    put(monkeypatch, MACHINES["two GPUs"], "torch")
    environment = {"CUDA_VISIBLE_DEVICES": "4,7"}
    for _ in range(2):
        asked.choose("gpu:1", environment)
        assert environment["CUDA_VISIBLE_DEVICES"] == "7"


@pytest.mark.parametrize("text", ["gpu:", "gpu:-1", "cuda", "gpu:1,2", "CPU", ""])
def test_other_words_are_refused(text):
    """--device takes auto, cpu, gpu and gpu:N."""
    with pytest.raises(asked.argparse.ArgumentTypeError, match="give auto, cpu, gpu, gpu:N or core:N"):
        asked.device(text)


def test_the_worker_of_benchmarks_computes_where_the_run_does(monkeypatch):
    """It takes the device of the run that started it before anything computes; of MPS no peak of memory is known."""
    put(monkeypatch, MACHINES["Apple"], "torch")
    monkeypatch.setattr(worker, "backend", lambda: "torch")
    assert worker.device_memory() is None
    monkeypatch.setattr(stack, "settle", lambda: sys.exit("settled"))
    with pytest.raises(SystemExit, match="settled"):
        worker.main(["{}"])


class Lies:
    """A tensor of each backend at a made-up place."""

    def __init__(self, device="", devices=()):
        self.device, self.devices = device, lambda: set(devices)


def test_places_of_tensors():
    """Each backend's words for where a tensor lies become those of `Accelerator.place`."""
    job = "/job:localhost/replica:0/task:0/device:"
    assert of_tensorflow.located(Lies(f"{job}GPU:0")) == "GPU:0"
    assert of_tensorflow.located(Lies(f"{job}CPU:0")) == "CPU"
    device = type("Device", (), {"platform": "gpu", "id": 1})
    cpu = type("Device", (), {"platform": "cpu", "id": 0})
    assert of_jax.located(Lies(devices=[device()])) == "gpu:1"
    assert of_jax.located(Lies(devices=[cpu(), device()])) == "CPU,gpu:1"
    torch_device = type("device", (), {"type": "mps", "index": None})
    assert of_torch.located(Lies(torch_device())) == "mps:0"
