"""Machines with accelerators, imitated: what TensorFlow, JAX and PyTorch tell on them, as their documentation says.

An imitation obeys the variables and the calls that hide or choose devices. Which device Keras takes on PyTorch is decided by
Keras' own lines. Nothing here has run on such a machine.
"""

import ast
import dataclasses
import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from cnnspec import stack
from cnnspec.devices import asked, versions

VERSIONS = {
    "CUDA": {"driver": "560.35", "cuda": "12.6", "cudnn": "9.3.0"},
    "ROCm": {"driver": "6.8.5", "rocm": "6.2.41134"},
    "Metal": {"driver": "macOS 15.1"},
    "MPS": {"driver": "macOS 15.1"},
}
BACKENDS = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True)
class Machine:
    """The accelerators of a machine: NVIDIA's as (name, capability, UUID), AMD's and Intel's by name; Apple's GPU; a TPU.

    Beside Apple's and Intel's the framework has its plug-in: tensorflow-metal, jax-metal, Intel's extension of TensorFlow.
    """

    nvidia: tuple[tuple[str, tuple[int, int], str], ...] = ()
    amd: tuple[str, ...] = ()
    intel: tuple[str, ...] = ()
    apple: str = ""
    tpu: str = ""


def chosen(devices, listing, names=()):
    """What a variable of indices or UUIDs leaves of devices; None leaves all. The first that is none ends the list."""
    if listing is None:
        return list(devices)
    found = []
    for word in listing.split(","):
        place = names.index(word) if word in names else int(word) if word.isdigit() else -1
        if not 0 <= place < len(devices):
            break
        found.append(devices[place])
    return found


def visible(machine, environment):
    """The machine that is left by the variables of an environment, for every backend."""
    get = environment.get
    nvidia = chosen(machine.nvidia, get("CUDA_VISIBLE_DEVICES"), [uuid for _, _, uuid in machine.nvidia])
    if any(" MIG " in name for name, _, _ in nvidia):
        nvidia = nvidia[:1]  # CUDA shows a process one slice
    intel = [] if get("ONEAPI_DEVICE_SELECTOR") == "*:cpu" else chosen(machine.intel, get("ZE_AFFINITY_MASK"))
    return dataclasses.replace(
        machine,
        nvidia=tuple(nvidia),
        amd=tuple(chosen(machine.amd, get("HIP_VISIBLE_DEVICES", get("CUDA_VISIBLE_DEVICES")))),
        intel=tuple(intel),
    )


def tensorflow(machine, environment):
    """TensorFlow's module on a machine, as far as `of_tensorflow` asks it."""
    left = visible(machine, environment)
    names = [name for name, _, _ in left.nvidia] or list(left.amd) or (["METAL"] if left.apple else [])
    devices = [SimpleNamespace(device_type="CPU", name="CPU")]
    devices += [SimpleNamespace(device_type="GPU", name=name, at=at) for at, name in enumerate(names)]
    devices += [SimpleNamespace(device_type="XPU", name=name) for name in left.intel]
    devices += [SimpleNamespace(device_type="TPU", name=left.tpu)] if left.tpu else []
    shown, switch = list(devices), [True]

    def details(device):
        assert device.device_type == "GPU", "TensorFlow raises for another kind"
        told = {"device_name": device.name}
        return {**told, "compute_capability": left.nvidia[device.at][1]} if left.nvidia else told

    def hide(left_over, kind):
        shown[:] = [device for device in shown if device.device_type != kind or device in left_over]

    experimental = SimpleNamespace(
        get_device_details=details,
        tensor_float_32_execution_enabled=lambda: switch[0],
        enable_tensor_float_32_execution=lambda on: switch.__setitem__(0, on),
    )
    return SimpleNamespace(
        __version__="2.21.0",
        config=SimpleNamespace(
            list_physical_devices=lambda: list(devices),
            get_visible_devices=lambda: list(shown),
            set_visible_devices=hide,
            experimental=experimental,
        ),
        test=SimpleNamespace(is_built_with_rocm=lambda: bool(machine.amd)),
        sysconfig=SimpleNamespace(get_build_info=lambda: {"cuda_version": "12.5.1", "cudnn_version": "9"}),
    )


def jax(machine, environment):
    """JAX's module on a machine, as far as `of_jax` asks it. Of Apple's GPUs it knows by its Metal plug-in."""
    left = visible(machine, environment)
    devices = [("cpu", "cpu", "cpu", "")]
    if environment.get("JAX_PLATFORMS") != "cpu":
        found = [("gpu", name, "PJRT C API\ncuda 12060", ".".join(map(str, cc))) for name, cc, _ in left.nvidia]
        found += [("gpu", name, "PJRT C API\nrocm 60200", "gfx942") for name in left.amd]
        found += [("xpu", name, "PJRT C API\nsycl 2025.0", "") for name in left.intel]
        found += [("METAL", left.apple, "METAL 1.1.0", "")] if left.apple else []
        found += [("tpu", left.tpu, "PJRT C API\nTFRT TPU v4", "")] if left.tpu else []
        devices = found or devices
    counts = {platform: 0 for platform, *_ in devices}
    made = []
    for platform, name, version, number in devices:
        client = SimpleNamespace(platform_version=version)
        made.append(SimpleNamespace(platform=platform, id=counts[platform], device_kind=name, client=client))
        made[-1].compute_capability = number
        counts[platform] += 1
    config = SimpleNamespace(jax_default_device=None, jax_default_matmul_precision=None)

    @contextmanager
    def precision(name):
        before, config.jax_default_matmul_precision = config.jax_default_matmul_precision, name
        yield
        config.jax_default_matmul_precision = before

    cpu = SimpleNamespace(platform="cpu", id=0, device_kind="cpu")
    return SimpleNamespace(
        devices=lambda kind=None: [cpu] if kind == "cpu" else made, config=config, default_matmul_precision=precision
    )


def torch(machine, environment, new=True):
    """PyTorch's module on a machine, as far as `of_torch` asks it; `new`: with the switches of PyTorch 2.9."""
    left = visible(machine, environment)
    cuda = [(name, capability) for name, capability, _ in left.nvidia] or [(name, (9, 4)) for name in left.amd]
    if new:
        switches = {"matmul": SimpleNamespace(fp32_precision="none")}
        cudnn = SimpleNamespace(version=lambda: 90300, conv=SimpleNamespace(fp32_precision="tf32"))
    else:
        switches = {"matmul": SimpleNamespace(allow_tf32=False)}
        cudnn = SimpleNamespace(version=lambda: 8907, allow_tf32=True)
    names = [name for name, _ in cuda]
    return SimpleNamespace(
        backends=SimpleNamespace(
            mps=SimpleNamespace(is_available=lambda: bool(left.apple)), cuda=SimpleNamespace(**switches), cudnn=cudnn
        ),
        version=SimpleNamespace(hip="6.2" if machine.amd else None, cuda="12.4"),
        cuda=SimpleNamespace(
            is_available=lambda: bool(cuda),
            device_count=lambda: len(cuda),
            current_device=lambda: 0,
            get_device_name=names.__getitem__,
            get_device_capability=lambda at: cuda[at][1],
        ),
        xpu=SimpleNamespace(
            is_available=lambda: bool(left.intel),
            device_count=lambda: len(left.intel),
            current_device=lambda: 0,
            get_device_name=left.intel.__getitem__,
            get_device_properties=lambda at: SimpleNamespace(driver_version="1.6.31294"),
        ),
    )


def keras_on_torch(module, environment):
    """The module in which Keras chooses PyTorch's device: its own `if`, run with an imitated PyTorch and environment."""
    core = Path(importlib.util.find_spec("keras").origin).parent / "src" / "backend" / "torch" / "core.py"
    if not core.exists():
        pytest.skip("Keras 2 has no PyTorch backend: tox run -e torch")
    tree = ast.parse(core.read_text(encoding="utf-8"))
    (choice,) = [node for node in tree.body if isinstance(node, ast.If) and "DEFAULT_DEVICE =" in ast.unparse(node)]
    names = {"torch": module, "os": SimpleNamespace(environ=environment)}
    exec(compile(ast.Module([choice], []), str(core), "exec"), names)
    made = SimpleNamespace(DEFAULT_DEVICE=names["DEFAULT_DEVICE"], get_device=lambda: made.DEFAULT_DEVICE)
    made.obeys = "KERAS_TORCH_DEVICE" in ast.unparse(choice)
    return made


MAKERS = {"tensorflow": tensorflow, "jax": jax, "torch": torch}
H100 = ("NVIDIA H100 80GB HBM3", (9, 0), "GPU-1111")
MACHINES = {
    "no accelerator": Machine(),
    "H100": Machine(nvidia=(H100,)),
    "T4": Machine(nvidia=(("Tesla T4", (7, 5), "GPU-4444"),)),
    "two GPUs": Machine(nvidia=(H100, ("NVIDIA H200", (9, 0), "GPU-2222"))),
    "MIG": Machine(
        nvidia=tuple(
            (f"NVIDIA A100-SXM4-40GB MIG {profile}", (8, 0), uuid)
            for profile, uuid in (("3g.20gb", "MIG-a"), ("2g.10gb", "MIG-b"))
        )
    ),
    "ROCm": Machine(amd=("AMD Instinct MI300X", "AMD Instinct MI300X")),
    "XPU": Machine(intel=("Intel Data Center GPU Max 1550",)),
    "Apple": Machine(apple="Apple M2"),
    "TPU": Machine(tpu="TPU v4"),
}


def put(monkeypatch, machine, backend, environment=None, **settings):
    """Let `backend` be Keras' backend on a machine, in a process with an environment; returns its imitated module."""
    environment = {} if environment is None else environment
    module = MAKERS[backend](machine, environment, **settings)
    monkeypatch.setitem(sys.modules, backend, module)
    monkeypatch.setitem(sys.modules, "jax._src.lib", SimpleNamespace(cuda_versions=None))
    if backend == "torch":
        monkeypatch.setitem(sys.modules, "keras.src.backend.torch.core", keras_on_torch(module, environment))
    monkeypatch.setattr("cnnspec.stack.backend", lambda: backend)
    monkeypatch.setattr(versions, "of", lambda api: dict(VERSIONS.get(api, {})))
    monkeypatch.setattr("platform.system", lambda: "Darwin" if machine.apple else "Linux")
    monkeypatch.setattr(
        "cnnspec.devices.asked.subprocess.run", lambda *_, **__: SimpleNamespace(returncode=0, stdout=listing(machine))
    )
    return module


def listing(machine):
    """What `nvidia-smi --list-gpus` prints on a machine; consecutive slices of one name belong to one GPU."""
    lines, number = [], 0
    for name, _, uuid in machine.nvidia:
        if " MIG " not in name:
            lines.append(f"GPU {number}: {name} (UUID: {uuid})")
            number += 1
        else:
            lines += [] if lines else [f"GPU 0: {name.partition(' MIG ')[0]} (UUID: GPU-whole)"]
            lines.append(f"  MIG {name.partition(' MIG ')[2]}     Device  {len(lines) - 1}: (UUID: {uuid})")
    return "\n".join(lines)


def process(monkeypatch, machine, backend, device="auto", given=None, **settings):
    """(facts of the device, fault of `require`) of a process that was asked for `device`, with variables `given`."""
    environment = dict(given or {})
    put(monkeypatch, machine, backend, environment)  # nvidia-smi is there before
    asked.choose(device, environment)
    put(monkeypatch, machine, backend, environment, **settings)
    module = stack._FRAMEWORKS[backend]
    if device == "cpu":
        module.hide()
    fault = None if device == "auto" else stack.misplaced(device, module.used(), module.accelerators())
    return stack.accelerator_facts(module), fault
