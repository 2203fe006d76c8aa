"""Is whatever the variables of the environment hold told in one clear line, and is no file name made that cannot be?"""

import re

import pytest

pytest.importorskip("hypothesis", reason="Hypothesis makes up the variables: python -m pip install -e .[dev]")

import keras
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.compat import backend
from cnnspec.reports import report as reports
from tests import test_stack
from tests.benchmarks import test_peers
from tests.meta.damage.test_readers import FEW, MANY
from tests.meta.reports.made_reports import STACK, made
from tests.plugin import report as reporting

ANY = st.text(st.characters(blacklist_characters="\0"), max_size=300)  # the system takes no NUL
TRUE = (f"keras=={keras.__version__}", f"backend={backend()}", "python>=3,<99", "keras!=0,", f"{backend()}>=1.dev0")
FALSE = (
    "keras<1",
    "python==2.*",
    "backend=theano",
    "os>=1",
    "no_module_of_this_name==1",
    "²==1",
    f"{backend()}===x",
    "keras<0.1,>0.2",
)
MALFORMED = (
    *("keras", "keras=3", "==3", "backend", "backend==jax", "backend=", "backend=a.b", "keras=>3", "keras==", "keras==x.y"),
    *(
        "-",
        "keras,",
        "keras>=3;",
        "tf.keras==3",
        "\udcff",
        "keras==3\udcff",
        "\x1b[31m==1",
        "é" * 500,
        "keras==" + "9" * 5000 + "!",
    ),
)
OTHER = ANY.map(lambda text: "".join(text.split())).filter(lambda text: text and text[0] not in "=<>!~")
WORDS = st.lists(
    st.tuples(st.just(None), st.sampled_from(TRUE))
    | st.tuples(st.just("requested, "), st.sampled_from(FALSE))
    | st.tuples(st.just("malformed; "), st.sampled_from(MALFORMED))
    | st.tuples(st.just("malformed; |requested, but "), OTHER),
    max_size=6,
)


HOW = [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.damage)]


@pytest.mark.parametrize("how", HOW)
def test_a_request_is_told_in_a_line_for_each_wrong_word(how):
    """CNNSPEC_EXPECT: true words are not named; of each other one, in its place, a short line says what is wrong."""

    @how
    @given(WORDS, st.sampled_from((" ", "\n", "  \t", "\u2028")))
    def every(words, between):
        lines = test_stack.differences(between.join(word for _, word in words))
        wrong = [(said, word) for said, word in words if said]
        assert len(lines) == len(wrong)
        for line, (said, word) in zip(lines, wrong, strict=True):
            assert line.isprintable()
            assert len(line) < 3 * test_stack.LONGEST
            assert re.match(re.escape(f"{test_stack.shown(word)}: ") + f"({said})", line), line

    every()


def test_a_module_that_cannot_be_imported_is_a_line(tmp_path, monkeypatch):
    """Whatever it raises, and whatever it calls its version."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, code, said in (
        ("raises_at_import", "raise RuntimeError('no\\nGPU')", r"requested, but no\nGPU"),
        ("ends_at_import", "raise SystemExit", "requested, but SystemExit"),
        ("of_no_version", "__version__ = 'new'", "requested, but Invalid version: 'new'"),
        ("of_a_number", "__version__ = 3", "requested, 3 is imported"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
        assert test_stack.differences(f"{name}==1") == [f"{name}==1: {said}"]


@pytest.mark.parametrize("how", HOW)
def test_any_name_of_an_environment(tmp_path, how):
    """CNNSPEC_ENVIRONMENT: one printable name, of which a report and a file can be made, and the report is read again."""

    @how
    @given(ANY, ANY)
    def every(ours, toxs):
        name = reporting.environment({"CNNSPEC_ENVIRONMENT": ours, "TOX_ENV_NAME": toxs})
        assert (name is None) == (not ours.strip() and not toxs.strip())
        file = reporting.default_name({"cpu": "a", "device": "CPU", **STACK}, name)
        assert 0 < len(file.encode()) <= 150
        assert not set("/\\\0") & set(file)
        path = tmp_path / f"{file}.json"
        made(environment=name).to_json(path)
        assert name is None or (name.isprintable() and reports.Report.from_json(path).label == name)

    every()


def test_an_interpreter_that_is_not_there(monkeypatch):
    """CNNSPEC_PYTHON_2019: a benchmark says which program is due."""
    monkeypatch.setenv(test_peers.PYTHON_OF_2019, "/no/python")
    with pytest.raises(pytest.fail.Exception, match=r"(?s)names a Python interpreter\n.*obtained  '/no/python'\n.*tox run"):
        test_peers.test_peer(None, None, None, None, "model1", "2019's stack")
