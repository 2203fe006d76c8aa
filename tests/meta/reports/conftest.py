"""The browser of the tests of the page."""

import pytest

from tests.meta.reports import browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser for one module."""
    executable = browser.found()
    if not executable:
        pytest.skip(
            "no Chromium here; as root: apt-get install --no-install-recommends chromium && pytest tests/meta/reports"
        )
    opened = browser.Browser(executable, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
