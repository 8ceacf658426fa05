"""The studio for all tests of this folder, and a browser for those that look at it."""

import shutil
from pathlib import Path

import pytest
from studio_server import make_runs, running

CHROMIUM = Path("/usr/bin/chromium")
WHAT_TO_DO = "no browser: these tests need Debian's Chromium (apt install chromium) and the 'test' extra (playwright)"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def runs(built, tmp_path_factory):
    """A folder of runs of the module's own: some tests add to it."""
    return shutil.copytree(built, tmp_path_factory.mktemp("runs"), dirs_exist_ok=True)


@pytest.fixture(scope="module")
def studio(runs):
    """The address of a studio."""
    with running(runs) as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser():
    # For one module only: while it is open, its event loop runs, and no other test could run one of its own.
    if not CHROMIUM.exists():
        pytest.skip(WHAT_TO_DO)
    playwright = pytest.importorskip("playwright.sync_api", reason=WHAT_TO_DO)
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser, studio):
    """A tab of a new visitor; a script that fails or that the content security policy stops fails the test."""
    context = browser.new_context(base_url=studio, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    tab, troubles = context.new_page(), []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
    yield tab
    context.close()
    assert troubles == []
