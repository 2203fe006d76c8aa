"""Are versions of driver and libraries those that run, and said to be of the build where nothing else is known?"""

import ctypes
import os
import sys
from types import SimpleNamespace

import pytest

from cnnspec.devices import of_tensorflow, of_torch, versions
from cnnspec.devices.accelerators import Accelerator
from tests.meta.devices.machines import MACHINES, put

H100 = Accelerator("GPU:0", "CUDA", "NVIDIA H100", (9, 0))
MAPS = """\
7f2a00000000-7f2a00100000 r-xp 00000000 08:01 131 /usr/lib/python3/nvidia/cuda_runtime/lib/libcudart.so.12
7f2a00200000-7f2a00300000 r-xp 00000000 08:01 132 /opt/libcudnn_ops.so.9
7f2a00400000-7f2a00500000 r-xp 00000000 08:01 133 /opt/nvidia/cudnn/lib/libcudnn.so.9
"""


def library(**numbers):
    """A library whose functions write a number to their argument, or return it where they take none."""

    def function(number):
        def answer(pointer=None):
            if pointer is None:
                return number
            pointer._obj.value = number
            return 0

        return answer

    return SimpleNamespace(**{name: function(number) for name, number in numbers.items()})


def test_libraries_are_asked(monkeypatch):
    """The libraries that this process has loaded are asked for their versions, by the path in the list of its memory."""
    asked = []
    known = {
        "/usr/lib/python3/nvidia/cuda_runtime/lib/libcudart.so.12": library(cudaRuntimeGetVersion=12060),
        "/opt/nvidia/cudnn/lib/libcudnn.so.9": library(cudnnGetVersion=90301),
    }
    monkeypatch.setattr(versions.ctypes, "CDLL", lambda path: asked.append(path) or known[path])
    texts = {versions.LOADED: MAPS, versions.NVIDIA: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug"}
    monkeypatch.setattr(versions, "text_of", texts.get)
    assert versions.of("CUDA") == {"driver": "560.35.03", "cuda": "12.6", "cudnn": "9.3.1"}
    assert asked == list(known)


@pytest.mark.parametrize(("number", "words"), [(8907, "8.9.7"), (90300, "9.3.0"), (91002, "9.10.2")])
def test_versions_of_cudnn(number, words):
    """cuDNN counts otherwise from version 9 on."""
    assert versions.dotted_cudnn(number) == words


def test_hip_is_asked(monkeypatch):
    """HIP's own number becomes its version."""
    monkeypatch.setattr(versions, "asked", lambda stem, ask: ask(library(hipRuntimeGetVersion=60241134)))
    assert versions.rocm() == "6.2.41134"


@pytest.mark.skipif(not os.path.exists(versions.LOADED), reason="needs Linux: there a process can read what it has loaded")
def test_a_real_library_is_asked():
    """The C library of this process is found and answers; one that is not loaded gives 0, and so does a missing function."""
    assert versions.asked("libc.so", lambda found: found.getpid()) == os.getpid()
    assert versions.asked("libnot_there.so", lambda found: 1) == 0
    assert versions.asked("libc.so", lambda found: found.no_such_function()) == 0


def test_an_error_of_a_library_is_no_version():
    """A function that reports an error leaves a number that is not taken for a version."""
    assert versions.by_pointer(lambda pointer: 35) == 0
    assert versions.by_pointer(lambda pointer: ctypes.memset(pointer, 1, 1) * 0) == 1


def test_the_driver_is_asked_of_nvidia_smi(monkeypatch):
    """Where the kernel has no file, nvidia-smi tells the driver; where there is neither, nothing is said."""
    monkeypatch.setattr(versions, "text_of", lambda path: None)
    monkeypatch.setattr(
        versions.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="550.54.15\n550\n")
    )
    assert versions.nvidia_driver() == "550.54.15"
    monkeypatch.setattr(versions.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=9, stdout=""))
    assert versions.nvidia_driver() is None


def test_what_is_known_of_the_build_only_says_so(monkeypatch):
    """A library that does not tell its version has that of the build, with these words."""
    put(monkeypatch, MACHINES["H100"], "tensorflow")
    monkeypatch.setattr(versions, "of", lambda api: {"driver": "560.35", "cudnn": "9.3.0"})
    assert of_tensorflow.libraries(H100) == {"driver": "560.35", "cudnn": "9.3.0", "cuda": "12.5.1 (of the build)"}
    put(monkeypatch, MACHINES["H100"], "torch")
    monkeypatch.setattr(versions, "of", lambda api: {})
    assert of_torch.libraries(H100) == {"cudnn": "9.3.0", "cuda": "12.4 (of the build)"}


def test_jax_asks_its_own_libraries(monkeypatch):
    """What JAX asks of CUDA and cuDNN when it starts is taken; a plug-in that tells nothing else tells of itself."""
    from cnnspec.devices import of_jax

    put(monkeypatch, MACHINES["H100"], "jax")
    told = SimpleNamespace(cuda_runtime_get_version=lambda: 12090, cudnn_get_version=lambda: 91002)
    monkeypatch.setitem(sys.modules, "jax._src.lib", SimpleNamespace(cuda_versions=told))
    monkeypatch.setattr(versions, "of", lambda api: {"driver": "560.35"})
    assert of_jax.libraries(H100) == {"driver": "560.35", "cuda": "12.9", "cudnn": "9.10.2"}
    monkeypatch.setitem(sys.modules, "jax._src.lib", SimpleNamespace(cuda_versions=None))
    assert of_jax.libraries(H100) == {"driver": "560.35", "runtime": "PJRT C API cuda 12060"}
