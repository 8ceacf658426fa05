"""Each view of the studio, walked through in a real browser."""

import io
import json
import re
import time

import numpy as np
import pytest
from PIL import Image
from studio_server import LARGE, PHOTOS, undone

from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import TRANSFORMS, action_names

ALERT = "main [role=alert] .problem, main .problem"


def swapped_photo(tmp_path, name="holiday.png", side=300):
    """A photo with a degradation that the agent undoes, on disk."""
    pixels = np.asarray(Image.open(PHOTOS[0]).convert("RGB").crop((0, 0, side, side)))
    file = tmp_path / name
    Image.fromarray(np.ascontiguousarray(pixels[..., [0, 2, 1]])).save(file)
    return file, pixels


def upload(page, *files, agent="train"):
    page.goto("/enhance")
    page.select_option("#agent", agent)
    page.set_input_files("#photos", [str(file) for file in files])
    page.click("#send")


def score(page):
    return float(page.locator("figcaption .big").inner_text())


def test_upload_watch_undo_force_and_go_on(page, tmp_path):
    file, _ = swapped_photo(tmp_path)
    upload(page, file)
    page.wait_for_url(re.compile("/episodes/"))
    page.wait_for_selector(".verdict")
    assert "Why it stopped" in page.locator(".verdict").inner_text()
    steps = page.locator(".timeline li")
    assert "swap G and B" in steps.last.inner_text()
    best, edits = score(page), steps.count() - 1
    assert page.locator(".panel .action").count() == 15

    page.get_by_role("button", name="Undo last edit").click()
    page.wait_for_selector(f".episode[data-last='{edits - 1}']")
    assert score(page) < best

    page.locator("[data-keep=edit-invert_g]").click()
    page.wait_for_selector(".timeline li:last-child:has-text('you')")
    assert "invert G" in steps.last.inner_text()
    page.get_by_role("button", name="Let the agent go on").click()
    page.wait_for_selector(".verdict")
    assert steps.count() > edits + 1
    assert score(page) > 0.9 * best

    page.get_by_role("button", name="Watch from the start").click()
    page.wait_for_selector(".episode[data-at='0']")
    page.wait_for_selector(".episode[data-at='1']")


def test_the_results_are_the_photo_at_full_size_and_its_recipe(page, tmp_path):
    file, original = swapped_photo(tmp_path)
    upload(page, file)
    page.wait_for_selector(".verdict")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download PNG").click()
    assert started.value.suggested_filename == "holiday_edited.png"
    assert (np.asarray(Image.open(started.value.path())) == original).all()
    with page.expect_download() as started:
        page.get_by_role("link", name="Recipe").click()
    recipe = json.loads(started.value.path().read_text())
    assert recipe["edits"] == ["swap_gb"]
    assert recipe["steps"][-1]["by"] == "agent"
    assert set(recipe["steps"][0]["values"]) > {"STOP", "swap_gb"}


def test_the_slider_shows_the_photo_as_it_came_and_works_by_keyboard(page, tmp_path):
    upload(page, swapped_photo(tmp_path)[0])
    page.wait_for_selector(".compare input")
    page.locator(".compare input").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.compare').style.getPropertyValue('--cut') === '10%'")


def test_steps_change_by_keyboard_without_losing_the_focus(page, tmp_path):
    upload(page, swapped_photo(tmp_path)[0])
    page.wait_for_selector(".verdict")
    page.wait_for_selector("[data-watch]", state="visible")  # before its program runs, the page follows links
    page.locator("[data-keep=step0]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".episode[data-at='0']")
    assert page.evaluate("document.activeElement.dataset.keep") == "step0"
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".episode[data-at='1']")


def test_an_answer_that_comes_too_late_changes_neither_the_step_nor_the_focus(page, tmp_path):
    upload(page, swapped_photo(tmp_path)[0])
    page.wait_for_selector("[data-watch]", state="visible")
    last = page.locator(".episode").get_attribute("data-last")
    late = []
    page.route(f"**/part?at={last}", lambda route: late.append(route))
    page.evaluate("at => void show(at)", last)
    page.locator("[data-keep=step0]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".episode[data-at='0']")
    assert len(late) == 1
    with page.expect_response(f"**/part?at={last}"):
        late[0].continue_()
    page.wait_for_timeout(300)
    assert page.locator(".episode").get_attribute("data-at") == "0"
    assert page.evaluate("document.activeElement.dataset.keep") == "step0"


def test_you_play_against_the_agents_score(page, tmp_path):
    upload(page, swapped_photo(tmp_path)[0])
    page.wait_for_selector(".verdict")
    reached = score(page)
    page.get_by_role("button", name="You play").click()
    page.wait_for_selector(".playing")
    assert f"{reached:.3f}" in page.locator("figcaption").inner_text()
    assert "The agent is ahead" in page.locator(".verdict").inner_text()
    page.locator(".panel > form [value=swap_gb]").click()
    page.wait_for_selector(".timeline li:nth-child(2)")
    assert "level" in page.locator(".verdict").inner_text()


def test_a_sample_opens_and_several_photos_make_a_list(page, tmp_path):
    page.goto("/enhance")
    page.locator(".sample").first.click()
    page.wait_for_selector(".timeline")
    upload(page, swapped_photo(tmp_path, "a.png")[0], swapped_photo(tmp_path, "b.png", 200)[0])
    page.wait_for_selector(".card:nth-child(3) img")
    assert {"a.png", "b.png"} < set(page.locator(".card .name").all_inner_texts())


def test_a_photographic_agent_edits_without_a_score_and_can_be_steered(page, tmp_path):
    """It was paid for likeness to the original, which an upload has not: there is no score, and all else works."""
    file = tmp_path / "odd.png"
    original = np.asarray(Image.open(PHOTOS[1]).convert("RGB").crop((0, 0, 301, 203)))
    Image.fromarray(original).save(file)
    upload(page, file, agent="untrained_photographic")
    page.wait_for_selector(".verdict")
    assert page.locator("figcaption .big").count() == 0
    assert "no score" in page.locator("figcaption").inner_text()
    steps = page.locator(".timeline li")
    edits = steps.count() - 1
    assert edits > 0
    page.get_by_role("button", name="Undo last edit").click()
    page.wait_for_selector(f".episode[data-last='{edits - 1}']")
    page.locator("[data-keep=edit-exposure_down_3]").click()
    page.wait_for_selector(".timeline li:last-child:has-text('darker, 3 steps')")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download PNG").click()
    result = np.asarray(Image.open(started.value.path()))
    assert result.shape == original.shape  # every row and column, also of odd sides
    with page.expect_download() as started:
        page.get_by_role("link", name="Recipe").click()
    recipe = json.loads(started.value.path().read_text())
    space = edit_space(action_names("tonal"))
    state = 0
    for name in recipe["edits"]:
        state = int(space.after(state, space.actions.index(name)))
    assert (space.render(original[..., ::-1], state)[..., ::-1] == result).all()
    assert recipe["score_after"] is None
    page.get_by_role("button", name="Let the agent go on").click()
    page.wait_for_selector(".verdict")

    page.goto("/enhance")
    page.select_option("#juror", "pocket")
    page.select_option("#agent", "untrained_photographic")
    page.set_input_files("#photos", str(file))
    page.click("#send")
    page.wait_for_selector(".verdict")
    assert 0 < score(page) < 1  # somebody else may keep the score


def png_header(width, height):
    """A PNG that says it is huge; nothing of it needs to be decoded to know."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("letter.jpg", b"Dear photographer, this is text.", "not a JPEG, PNG, WebP, TIFF or BMP image"),
        ("wall.png", png_header(30_000, 30_000), "too large: at most 60 megapixels"),
    ],
    ids=["text", "huge"],
)
def test_what_is_no_usable_photo_is_refused_with_what_to_do(page, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    upload(page, tmp_path / name)
    page.wait_for_selector("#problems .problem")
    assert said in page.locator("#problems").inner_text()
    assert name in page.locator("#problems").inner_text()


def test_a_photo_that_was_cut_off_says_so(page, tmp_path):
    file, _ = swapped_photo(tmp_path)
    (tmp_path / "cut.png").write_bytes(file.read_bytes()[:20_000])
    upload(page, tmp_path / "cut.png")
    page.wait_for_selector(".problem")
    assert "unreadable or truncated" in page.locator(ALERT).first.inner_text().lower()


def test_a_script_in_exif_and_in_the_name_never_runs(page, tmp_path):
    script = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    exif = Image.Exif()
    exif[0x010E], exif[0x9286] = script, script
    file = tmp_path / "<img src=x onerror=document.title='owned'>.jpg"
    Image.open(swapped_photo(tmp_path)[0]).save(file, quality=95, exif=exif)
    upload(page, file)
    page.wait_for_selector(".verdict")
    assert "owned" not in page.title()[:5]
    assert page.evaluate("document.querySelectorAll('main script, [onerror]').length") == 0
    assert "onerror" in page.locator("h1").inner_text()  # as text
    with page.expect_download() as started:
        page.get_by_role("link", name="JPEG").click()
    with Image.open(started.value.path()) as result:
        assert result.getexif()[0x010E] == script  # the owner's own metadata goes along in the file, and nowhere else
    shown = page.locator("img.after").evaluate("image => image.src")
    assert b"script" not in page.request.get(shown).body()


def test_an_upload_that_is_cut_off_is_told_and_leaves_nothing(page, tmp_path):
    page.route("**/enhance", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    upload(page, swapped_photo(tmp_path)[0])
    page.wait_for_selector("#problems .problem")
    assert "cut off" in page.locator("#problems").inner_text()
    assert page.locator("#sending").is_hidden()
    page.unroute("**/enhance")
    page.reload()
    assert page.locator(".card").count() == 0


def test_the_dataset_is_filtered_sorted_and_scrolled(page):
    page.goto("/dataset")
    assert page.locator("[role=status]").inner_text().startswith("64 photos")
    page.select_option("#split", "test")
    page.select_option("#edit", "invert_g")
    page.select_option("#sort", "loss_down")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("edit=invert_g"))
    photos = page.locator(".grid li")
    assert photos.count() == 2
    losses = [float(text.replace("−", "-")) for text in page.locator(".grid .soft").all_inner_texts()]
    assert losses == sorted(losses)
    page.fill("#most", "-1")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("most=-1"))
    assert page.locator("[role=status]").inner_text().startswith("0 photos")
    page.goto("/dataset?source=chelsea&split=test")
    assert photos.count() == 16
    photos.first.locator("a").click()
    page.wait_for_url(re.compile("/dataset/photo/test/"))
    assert page.locator(".two img").count() == 2
    assert page.evaluate("[...document.querySelectorAll('.two img')].every(image => image.naturalWidth === 192)")
    assert "scikit-image/chelsea.png" in page.locator("table").inner_text()


def test_the_grid_goes_on_page_by_page_to_the_last_photo(page):
    page.goto("/dataset?name=large&sort=score_down")
    assert page.locator("[role=status]").inner_text().startswith(f"{LARGE} photos")
    photos = page.locator(".grid li")
    assert photos.count() in (120, 240)  # the second page comes ahead of the scrolling
    for _ in range(60):
        photos.last.scroll_into_view_if_needed()
        if photos.count() == LARGE:
            break
        page.wait_for_timeout(200)
    assert photos.count() == LARGE
    assert page.locator(".pages").count() == 0
    scores = [float(text.split()[0]) for text in page.locator(".grid a > span").all_text_contents()]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == LARGE
    photos.last.scroll_into_view_if_needed()
    until = time.monotonic() + 60
    while not photos.last.locator("img").evaluate("image => image.naturalWidth"):
        assert time.monotonic() < until
        page.wait_for_timeout(100)


def test_the_grid_has_pages_without_script(browser, studio):
    context = browser.new_context(base_url=studio, java_script_enabled=False)
    tab = context.new_page()
    tab.goto("/dataset?name=large")
    tab.get_by_role("link", name="More photos").click()
    tab.wait_for_url(re.compile("page=2"))
    assert tab.locator(".grid li").count() == 120
    tab.get_by_role("link", name="Earlier photos").click()
    tab.wait_for_url(re.compile("page=1"))
    context.close()


def test_the_evaluation_is_filtered_sorted_and_charted(page, runs):
    trajectories = undone(runs)
    page.goto("/evaluation?run=evaluation")
    assert page.locator(".chart").count() == 4
    assert all(page.locator(".chart").nth(k).get_attribute("aria-label") for k in range(4))
    page.select_option("#depth", "2")
    page.select_option("#kind", "exact")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url(re.compile("depth=2"))
    count = sum(len(trajectory.degradation) == 2 and trajectory.kind == "exact" for trajectory in trajectories)
    assert page.locator(".trajectory").count() == count > 0
    page.goto("/evaluation?run=evaluation")
    worst = min(trajectories, key=lambda trajectory: (trajectory.final - trajectory.original, trajectory.image_id))
    assert f"Photo {worst.image_id} " in page.locator(".trajectory h3").first.inner_text() + " "
    page.get_by_role("link", name="Next").click()
    page.wait_for_url(re.compile("page=2"))
    assert page.locator(".trajectory").count() == 8
    page.locator(".trajectory summary").first.click()
    assert page.locator(".trajectory details[open] td").first.is_visible()


def test_the_evaluation_shows_what_judges_say_and_begins_with_whom_they_find_worst(page, runs):
    trajectories = undone(runs, "evaluation_photographic")
    page.goto("/evaluation?run=evaluation_photographic")
    assert "What others say" in page.locator("main").inner_text()
    table = page.get_by_role("region", name="What others than").inner_text()
    assert "judge brightness" in table
    assert "PSNR" in table
    assert "greedy with original" in page.get_by_role("region", name="The agent beside").inner_text()
    first = min(trajectories, key=lambda one: (not one.verdict.fooled, one.verdict.gain))
    assert page.locator(".trajectory h3").first.inner_text().startswith(f"Photo {first.image_id} ")
    before, after = first.verdict.judges["brightness"]
    assert f"brightness {before:.3f} → {after:.3f}" in page.locator(".trajectory").first.inner_text()
    page.select_option("#fooled", "1")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url(re.compile("fooled=1"))
    assert page.locator(".trajectory").count() == sum(one.verdict.fooled for one in trajectories) > 0
    assert page.locator(".trajectory .badge:has-text('own score up')").count() == page.locator(".trajectory").count()


def test_two_agents_side_by_side_where_they_differ(page, runs):
    page.goto("/evaluation?run=evaluation")
    page.select_option("#against", "evaluation_untrained")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("against=evaluation_untrained"))
    page.check("[name=differ]")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url(re.compile("differ=1"))
    others = {trajectory.image_id: trajectory for trajectory in undone(runs, "evaluation_untrained")}
    differ = [trajectory for trajectory in undone(runs) if trajectory.edits != others[trajectory.image_id].edits]
    assert page.locator("#episodes ~ [role=status]").inner_text().startswith(f"{len(differ)} of 32")
    assert page.locator(".trajectory").first.locator(".strip").count() == 2


def test_the_training_shows_curves_and_follows_it(page, runs):
    (runs / "train" / "metrics.jsonl").touch()  # a training that is on
    page.goto("/training?run=train")
    assert "Epoch 5" in page.locator("[role=status]").inner_text()
    assert page.locator(".charts .chart").count() == 6
    film = page.locator(".film tr")
    assert film.count() == 5  # degraded, three validations, original
    assert film.nth(3).locator("img").count() == 8
    with (runs / "train" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": 6, "step": 6000, "seconds": 60.0, "epsilon": 0.1}) + "\n")
    page.wait_for_selector("[role=status]:has-text('Epoch 6')")


def test_every_edit_of_the_agent_has_a_title(page, tmp_path):
    upload(page, swapped_photo(tmp_path)[0])
    page.wait_for_selector(".verdict")
    shown = set(page.locator(".panel .action .name").all_inner_texts())
    assert {TRANSFORMS[name].title for name in ("swap_gb", "invert_r", "shift_left_all")} < shown
