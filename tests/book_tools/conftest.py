"""What tests of the site share: a browser, and figures to play with in it."""

import pytest
from playing import Figures

from book_tools.failures import BookError
from book_tools.site.check import browser, browser_path

collect_ignore = ["conftest.py"]  # has no doctests, and a name that other folders have


@pytest.fixture(scope="session")
def needs_chromium():
    """Skip a test that starts Chromium itself where none is installed."""
    try:
        browser_path()
    except BookError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chromium(needs_chromium):  # noqa: ARG001 — it may skip
    """Return a browser for a module: an open one does not let `asyncio.run` run."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def figures(chromium, tmp_path_factory):
    """The figures to play with of a module, each in a page that stays open."""
    return Figures(chromium, tmp_path_factory.mktemp("playable"))


@pytest.fixture
def opened(figures):
    """Return a function that shows a figure as it starts; afterwards no script has failed."""
    yield figures.opened
    assert figures.failures() == []
