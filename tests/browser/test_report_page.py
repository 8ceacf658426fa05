"""The self-contained report, opened as a mail's recipient would: from a file, with nothing else around."""

import shutil

from studio_server import undone

MEGABYTE = 1_000_000


def test_the_report_opens_from_a_file_and_asks_for_nothing(browser, runs, tmp_path):
    file = shutil.copy(runs / "evaluation" / "report.html", tmp_path / "mailed.html")
    page, asked, troubles = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(file.as_uri())
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 || image.loading === 'lazy')")
    assert page.locator(".trajectory").count() == 32
    assert page.locator(".chart").count() == 4
    page.select_option("#kind", "exact")
    exact = sum(trajectory.kind == "exact" for trajectory in undone(runs))
    assert page.locator(".trajectory:visible").count() == exact == int(page.locator("#count").inner_text())
    page.select_option("#sort", "best")
    trajectories = [trajectory for trajectory in undone(runs) if trajectory.kind == "exact"]
    best = min(trajectories, key=lambda trajectory: (trajectory.original - trajectory.final, trajectory.image_id))
    assert page.locator(".trajectory:visible h3").first.inner_text().startswith(f"Photo {best.image_id} ")
    assert asked == [file.as_uri()]
    assert troubles == []
    page.close()


def test_a_hundred_episodes_stay_below_five_megabytes(runs):
    size = (runs / "evaluation" / "report.html").stat().st_size
    assert size / 32 * 100 < 5 * MEGABYTE
