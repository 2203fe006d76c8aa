"""Is the processor named with its widest vector instructions, as each system tells them?"""

import platform

import pytest

from cnnspec.devices import processor
from cnnspec.reports import report

SYSTEMS = {  # the text of /proc/cpuinfo -> name, instructions
    "two processors of an EPYC": (
        "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse4_2 avx fma avx2\n"
        "processor\t: 1\nmodel name\t: another\nflags\t\t: fpu avx512f\n",
        ("AMD EPYC", "AVX2"),
    ),
    "AVX-512": ("model name : Xeon: E5\nflags : sse4_2 avx avx2 avx512f avx512_bf16\n", ("Xeon: E5", "AVX-512")),
    "AMX": ("model name : Xeon\nflags : avx2 avx512f amx_tile\n", ("Xeon", "AMX")),
    "no AVX2": ("model name : old\nflags : sse4_2 avx\n", ("old", "AVX")),
    "no AVX": ("model name : older\nflags : sse4_2\n", ("older", "SSE4.2")),
    "Arm": ("processor : 0\nBogoMIPS : 243.75\nFeatures : fp asimd\n", ("told by Python", "NEON")),
    "Arm with longer vectors": ("Features : fp asimd sve\n", ("told by Python", "SVE")),
    "none that is known": ("model name : 486\nflags : fpu\n", ("486", None)),
    "nothing": ("", ("told by Python", None)),
}


@pytest.mark.parametrize(("text", "told"), SYSTEMS.values(), ids=SYSTEMS)
def test_what_linux_tells(tmp_path, monkeypatch, text, told):
    """The first processor's name, and the widest instructions of its flags."""
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "told by Python")
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert (processor.name(), processor.instructions()) == told


def test_other_systems(tmp_path, monkeypatch):
    """Without the file Python tells the name, and it may not."""
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "not there")
    for told, name in (("arm", "arm"), ("", "unknown CPU")):
        monkeypatch.setattr(platform, "processor", lambda told=told: told)
        assert (processor.name(), processor.instructions()) == (name, None)


def test_hardware_in_words():
    """Machines that differ in their instructions are told apart, where these are known."""
    stack = {"device": "CPU", "cpu": "AMD EPYC", "cores": 2}
    assert report.hardware(stack) == "AMD EPYC, 2 cores"
    assert report.hardware({**stack, "instructions": "AVX2", "cores": 1}) == "AMD EPYC with AVX2, 1 core"
    assert report.hardware({**stack, "instructions": None}) == "AMD EPYC, 2 cores"
