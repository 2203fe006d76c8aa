"""Does each request get a fresh process, the modules as they are then, and pytest's exit code? Without the framework."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cnnspec.facts import reading
from tests.meta.mutation import forked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs of a mutant's tests are forks")
SERVE = "import os, sys; sys.path[0] = sys.argv[2]; from tests.meta.mutation import forked; forked.serve(sys.argv[1])"
TEST = "import os, time, pathlib, module\n\ndef test_it():\n"
WORDS = ["-q", "-pno:cacheprovider", "-pno:randomly", "test_it.py"]


@pytest.fixture
def place(tmp_path):
    """The socket of a process that serves a folder with a module and a test."""
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder, "socket"))
        command = [sys.executable, "-c", SERVE, place, str(reading.PROJECT)]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as serving:
            try:
                while not Path(place).exists():
                    assert serving.poll() is None
                    time.sleep(0.01)
                yield place
            finally:
                os.killpg(serving.pid, signal.SIGKILL)


def test_a_changed_module_is_seen(tmp_path, place):
    """The same test passes and fails as the module is changed; what a run leaves in its process does not reach the next."""
    (tmp_path / "test_it.py").write_text(TEST + "    module.SEEN += 1\n    assert module.SEEN == 3\n")
    for text, code in (("SEEN = 2", 0), ("SEEN = 3", 1), ("SEEN = 2", 0), ("no Python", 2)):
        (tmp_path / "module.py").write_text(text)
        assert forked.ask(place, WORDS) == code


def test_the_command_ends_with_the_code_of_pytest(tmp_path, place):
    """As cosmic-ray calls it."""
    (tmp_path / "module.py").write_text("")
    (tmp_path / "test_it.py").write_text(TEST + "    assert not module\n")
    command = [sys.executable, "-m", forked.__name__, "ask", place, *WORDS]
    assert subprocess.run(command, cwd=reading.PROJECT).returncode == 1


def test_a_request_that_is_ended_ends_its_run(tmp_path, place):
    """cosmic-ray ends what takes too long: the fork goes with it, and the next request is served."""
    (tmp_path / "module.py").write_text("")
    (tmp_path / "test_it.py").write_text(
        TEST + "    pathlib.Path('pid').write_text(f'{os.getpid()}\\n')\n    time.sleep(50)\n"
    )
    command = [sys.executable, "-m", forked.__name__, "ask", place, *WORDS]
    with subprocess.Popen(command, cwd=reading.PROJECT) as asking:
        number = tmp_path / "pid"
        while not (number.exists() and number.read_text().endswith("\n")):
            time.sleep(0.01)
        asking.kill()
    (tmp_path / "test_it.py").write_text(TEST + "    pass\n")
    assert forked.ask(place, WORDS) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)
