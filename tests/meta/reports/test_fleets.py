"""Is the machine that differs from its equals named, with the check, among twenty reports and those of two processes?"""

import json
import subprocess
import sys

import pytest

from cnnspec import __main__ as command_line
from cnnspec.facts import reading
from cnnspec.reports import equals, fleets
from cnnspec.reports.equals import Member
from tests.meta.reports.made_reports import LAYERS, STACK, made

DIGESTS = {"model1 dense_2, compiled, 128, wide inputs": "a1" * 32, "model4, two epochs with seed 0": "b2" * 32}
TRAINED = "model4, two epochs with seed 0"


def fleet(folder, **odd):
    """Twenty reports in a folder; node13 differs in what is given."""
    folder.mkdir()
    for number in range(1, 21):
        name = f"node{number:02d}"
        made(name, digests=dict(DIGESTS), **{}).to_json(folder / f"{name}.json")
    if odd:
        made("node13", **{"digests": dict(DIGESTS), **odd}).to_json(folder / "node13.json")
    return folder


def reported(capsys, *paths):
    """(exit code, output) of `cnnspec report`."""
    code = command_line.main(["report", *map(str, paths)])
    return code, capsys.readouterr().out


def test_twenty_that_agree(tmp_path, capsys):
    """Exit code 0, and what was compared is said."""
    code, out = reported(capsys, fleet(tmp_path / "fleet"))
    assert code == 0
    assert "tensorflow 2.21.0, Keras 3.15.1 on Some CPU, 2 cores: 20 reports, 2 digests compared: all agree" in out


def test_one_of_twenty_that_differs(tmp_path, capsys):
    """Its training has other bits: the machine and what differs are named, and the exit code is 1 though all passed."""
    code, out = reported(capsys, fleet(tmp_path / "fleet", digests=DIGESTS | {TRAINED: "c3" * 32}))
    assert code == 1
    assert "- node13 is the odd one out of 20: 1 difference\n" in out
    assert f"  - {TRAINED}: digest c3c3c3c3c3c3c3c3, 19 of 20 have b2b2b2b2b2b2b2b2\n" in out
    assert "soak --minutes 10" in out


def test_one_of_twenty_that_fails(tmp_path, capsys):
    """A check that fails on one machine alone is named with its reason."""
    failed = [{"test": LAYERS, "reason": "layer 1: relative error 0.1"}]
    code, out = reported(capsys, fleet(tmp_path / "fleet", failed=failed, verdict="fail"))
    assert code == 1
    assert "- node13 is the odd one out of 20: 1 difference\n" in out
    assert f"`{LAYERS}` fails here and on no other: layer 1: relative error 0.1" in out


@pytest.mark.parametrize("changed", [{"cpu": "Another CPU"}, {"framework": "tensorflow 2.20.0"}, {"onednn": "off"}])
def test_machines_that_are_not_equal(tmp_path, capsys, changed):
    """Another processor, version or setting: nobody promises the same bits, and nothing is said."""
    stack = {**STACK, "backend": "tensorflow", **changed}
    code, out = reported(capsys, fleet(tmp_path / "fleet", stack=stack, digests=DIGESTS | {TRAINED: "c3" * 32}))
    assert code == 0
    assert "odd one out" not in out
    assert "19 reports, 2 digests compared: all agree" in out


def test_two_that_differ(tmp_path, capsys):
    """Of two equals nobody knows which is wrong: both are named."""
    for name, digest in (("a", "c3" * 32), ("b", "d4" * 32)):
        made(name, digests={TRAINED: digest}).to_json(tmp_path / f"{name}.json")
    code, out = reported(capsys, tmp_path / "a.json", tmp_path / "b.json")
    assert code == 1
    assert f"- {TRAINED}: a c3c3c3c3c3c3c3c3, b d4d4d4d4d4d4d4d4; a third equal one would tell which is wrong" in out


def test_reports_without_names(tmp_path, capsys):
    """Machines that have no name of their own are told apart by their files."""
    for name in ("one", "two", "three"):
        digest = "c3" * 32 if name == "two" else "d4" * 32
        made(None, digests={TRAINED: digest}).to_json(tmp_path / f"{name}.json")
    _, out = reported(capsys, tmp_path)
    assert f"({tmp_path / 'two.json'}) is the odd one out of 3" in out


def test_reports_of_an_earlier_version(tmp_path, capsys):
    """A report without digests is read; it is said that there is nothing to compare."""
    for name in ("a", "b"):
        path = tmp_path / f"{name}.json"
        made(name).to_json(path)
        fields = json.loads(path.read_text())
        del fields["digests"]
        path.write_text(json.dumps(fields))
    code, out = reported(capsys, tmp_path)
    assert code == 0
    assert (
        "2 reports, 2 of them without digests: written by an earlier version, or stopped, 0 digests compared: there" in out
    )


def test_an_empty_folder(tmp_path, capsys):
    """A folder without reports is an error, not a fleet that agrees."""
    assert command_line.main(["report", str(tmp_path)]) == 3
    assert "is a folder without reports" in capsys.readouterr().err


def test_the_odd_one():
    """A majority decides; checks that fail everywhere make nobody odd."""
    members = [Member(name, {"t": "always"}, {"d": "1"}) for name in "abc"]
    assert equals.told(members) == []
    members[1] = Member("b", {"t": "always", "u": "wrong"}, {"d": "2"})
    assert list(equals.odd(members)) == ["b"]
    assert len(equals.odd(members)["b"]) == 2
    members[2] = Member("c", {"t": "always", "u": "wrong"}, {"d": "3"})
    assert equals.undecided(members) == ["d: a 1, b 2, c 3; a third equal one would tell which is wrong"]
    assert "fails here, not on a" in equals.odd(members)["c"][0]
    assert equals.told([]) == []


def test_a_machine_alone_has_no_equals():
    """A report without an equal is in no group, and nothing is said of it."""
    assert fleets.groups([made("node1"), made("node2", stack=STACK | {"cpu": "Another CPU"})]) == []


def test_half_is_no_majority():
    """Two of four with the same digest convict nobody; two of three do."""
    members = [Member(name, {}, {"d": digest}) for name, digest in zip("abcd", "1123", strict=True)]
    assert equals.odd(members) == {}
    assert equals.undecided(members) == ["d: a 1, b 1, c 2, d 3; a third equal one would tell which is wrong"]
    assert equals.odd(members[:3]) == {"c": ["d: digest 2, 2 of 3 have 1"]}
    assert equals.undecided(members[:3]) == []


def test_what_one_alone_has_is_not_compared():
    """A digest of one member has nothing to agree with."""
    assert equals.shared([Member("a", {}, {"d": "1", "e": "2"}), Member("b", {}, {"d": "1"})]) == {"d": {"a": "1", "b": "1"}}


def test_long_lists_are_cut():
    """Of names three are shown, of lines five, and how many more there are."""
    assert [equals.brief("abcde"[:count]) for count in (3, 4, 5)] == ["a, b, c", "a, b, c and 1 more", "a, b, c and 2 more"]
    lines = [str(number) for number in range(7)]
    assert equals.cut(lines[:5]) == lines[:5]
    assert equals.cut(lines) == [*lines[:5], "  and 2 more"]


ENVIRONMENT = "CNNSPEC_ENVIRONMENT"


@pytest.mark.faults
def test_two_processes_of_this_machine(tmp_path, monkeypatch, capsys):
    """Real reports of the exact tier and of the trainings with one thread: two processes of one machine agree."""
    for name in ("first", "second"):
        monkeypatch.setenv(ENVIRONMENT, name)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--report={tmp_path / name}.json"]
        command += ["tests/test_determinism.py", "tests/test_exact.py", "-k", "same_seed or dense_2"]
        subprocess.run(command, cwd=reading.PROJECT, check=True, capture_output=True)
    _, out = reported(capsys, tmp_path)
    assert ": all agree" in out
    assert fleets.NEXT.split("`")[0] not in out
