"""axe-core on every view, light and dark, on a phone and on a large screen."""

import pytest

VIEWS = {
    "enhance": "/enhance",
    "dataset": "/dataset",
    "photo": "/dataset/photo/test/40?name=data",
    "evaluation": "/evaluation?run=evaluation",
    "judged": "/evaluation?run=evaluation_photographic",
    "comparison": "/evaluation?run=evaluation&against=evaluation_untrained",
    "training": "/training?run=train",
    "error": "/nowhere",
}
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module", params=[(360, "light"), (1280, "dark"), (3840, "light")], ids=str)
def look(browser, studio, request):
    width, scheme = request.param
    context = browser.new_context(
        base_url=studio, viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def violations(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SERIOUS]


def check(page):
    assert violations(page) == []
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page scrolls sideways"


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_no_serious_violation_and_fits(look, view):
    look.goto(VIEWS[view])
    look.wait_for_load_state("networkidle")
    check(look)


def test_an_episode_has_no_serious_violation_and_fits(look):
    look.goto("/enhance")
    look.locator(".sample").nth(1).click()
    look.wait_for_selector(".verdict")
    check(look)
    look.get_by_role("button", name="You play").click()
    look.wait_for_selector(".playing")
    check(look)


def test_the_report_has_no_serious_violation_and_fits(look, runs):
    look.goto((runs / "evaluation" / "report.html").as_uri())
    check(look)
