"""Does the test of the printed summary fail on a row that is wrong or missing, and on wrong totals?"""

import re
import types

import pytest

from tests import test_architecture

MODEL = "model4"  # it has parameters that are not trained


@pytest.fixture
def text(capsys, monkeypatch):
    """What the model of this stack prints."""
    monkeypatch.setenv("COLUMNS", str(test_architecture.WIDTH))
    test_architecture.build(MODEL, test_architecture.FORMATS[0]).summary(line_length=test_architecture.WIDTH)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("pattern", "other", "told"),
    [
        (r"\(None, 576\)", "(None, 567)", "the printed layers"),
        (r"115,?400", "115,200", "the printed layers"),
        (r"\(Flatten\)", "(Reshape)", "the printed layers"),
        (r".*\(Dropout\).*\n", "", "the printed layers"),
        (
            r"Total params: 184,?642",
            "Total params: 183,986",
            r"the printed totals.*'total': 184642.*In \[31\].*'total': 183986",
        ),
        (r"Trainable params: 183,?986", "Trainable params: 184,642", "the printed totals.*obtained .*'trainable': 184642"),
        (r".*Non-trainable params.*\n", "", r"the printed totals.*obtained  \{'total': 184642, 'trainable': 183986\}"),
    ],
)
def test_another_text_fails(text, pattern, other, told, capsys, monkeypatch):
    """One place of the printed summary is another, and the message names it."""
    changed, places = re.subn(pattern, other, text)
    assert places == 1
    model = types.SimpleNamespace(summary=lambda line_length: print(changed))
    monkeypatch.setattr(test_architecture, "build", lambda name, data_format: model)
    with pytest.raises(pytest.fail.Exception, match=rf"(?s){MODEL}: .*{told}"):
        test_architecture.test_printed_summary(MODEL, capsys, monkeypatch)
