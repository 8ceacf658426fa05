"""Recipes, and many photos at once."""

import json

import numpy as np
import pytest
from PIL import Image
from scenes import good_agent, scene, scorer

from rl_aesthetics.edits import edit_state, recipe, render
from rl_aesthetics.edits.transforms import TRANSFORMS
from rl_aesthetics.enhance.batch import agent_work, enhance_all, recipe_work, says, write_contact_sheet
from rl_aesthetics.enhance.results import plan_outputs
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.read import read_photo_file
from rl_aesthetics.photos.write import encode_photo

TONE = ("exposure_up", "temperature_down", "exposure_up", "exposure_down")


def put(folder, name, pixels=None, suffix=".png"):
    file = folder / f"{name}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode_photo(scene(64, 80, 1) if pixels is None else pixels, suffix))
    return file


def run(photos, out, work, **options):
    return list(enhance_all(plan_outputs(photos, out), work, **options))


def test_a_recipe_names_its_edits_and_the_parameters_they_amount_to():
    described = recipe.describe(TONE)
    assert described["edits"] == list(TONE)
    assert described["parameters"] == {"exposure": 0.25, "temperature": -0.25}


def test_tonal_edits_are_rendered_once_however_many_steps_they_were():
    photo = scene(64, 80, 1)
    once = render.render(photo, edit_state.state_of(exposure=edit_state.FINE, temperature=-edit_state.FINE))
    np.testing.assert_array_equal(recipe.render(photo, TONE), once)


def test_steps_begin_with_the_photo_and_end_with_the_result():
    photo = scene(64, 80, 1)
    steps = list(recipe.render_steps(photo, TONE))
    assert len(steps) == len(TONE) + 1
    np.testing.assert_array_equal(steps[0], photo)
    np.testing.assert_array_equal(steps[-1], recipe.render(photo, TONE))


@pytest.mark.parametrize("edits", [("swap_gb", "invert_r"), TONE])
def test_reversible_and_photographic_edits_keep_sixteen_bits(edits):
    deep = scene(64, 80, 1).astype(np.uint16) * 257
    result = recipe.render(deep, edits)
    assert result.dtype == np.uint16
    assert np.abs(result / 257 - recipe.render(scene(64, 80, 1), edits)).max() < 1


def test_edits_that_know_eight_bits_alone_are_refused_on_sixteen():
    with pytest.raises(UserError, match="8 bits"):
        recipe.render(np.zeros((8, 8, 3), np.uint16), ("gaussian_blur_3",))


def test_a_recipe_of_one_photo_is_done_again_to_another(tmp_path):
    first = put(tmp_path, "first", TRANSFORMS["swap_gb"](scene(64, 80, 1)))
    work = agent_work(good_agent(), scorer(), None, tmp_path / "agent", recipes=True)
    (done,) = run([first], tmp_path / "out", work)
    written = tmp_path / "out" / "first.recipe.json"
    assert recipe.read_recipe(written) == done.enhancement.edits == ("swap_gb",)
    second = put(tmp_path, "second", scene(64, 80, 2))
    (again,) = run([second], tmp_path / "again", recipe_work(recipe.read_recipe(written), written))
    expected = TRANSFORMS["swap_gb"](scene(64, 80, 2))
    np.testing.assert_array_equal(read_photo_file(again.result).pixels_HWC, expected)
    assert json.loads(again.record.read_text())["score_before"] is None


def test_the_record_of_a_photo_is_a_recipe_too(tmp_path):
    photo = put(tmp_path, "a", TRANSFORMS["invert_r"](scene(64, 80, 1)))
    (done,) = run([photo], tmp_path / "out", agent_work(good_agent(), scorer(), None, tmp_path / "agent"))
    assert recipe.read_recipe(done.record) == ("invert_r",)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"edits": 3}', '{"edits": ["no_such_edit"]}', '{"format": 9, "edits": []}']
)
def test_a_broken_recipe_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError):
        recipe.read_recipe(tmp_path / "r.json")


def test_a_folder_keeps_its_tree_and_what_is_no_photo_is_named(tmp_path):
    photos = tmp_path / "photos"
    put(photos, "a")
    put(photos / "deep", "b")
    (photos / "broken.jpg").write_bytes(b"no photo")
    done = run([photos], tmp_path / "out", recipe_work(TONE, tmp_path / "r.json"), jobs=2)
    assert (tmp_path / "out" / "deep" / "b.png").exists()
    assert [one.photo.name for one in done if one.refused] == ["broken.jpg"]


def test_going_on_leaves_out_what_is_done(tmp_path):
    photos = [put(tmp_path, "a"), put(tmp_path, "b")]
    work, out = recipe_work(TONE, tmp_path / "r.json"), tmp_path / "out"
    run(photos[:1], out, work)
    before = (out / "a.png").stat().st_mtime_ns
    done = list(enhance_all(plan_outputs(photos, out, overwrite=True), work, resume=True))
    assert [says(one).endswith("done before") for one in done] == [True, False]
    assert (out / "a.png").stat().st_mtime_ns == before


def test_steps_and_contact_sheet_are_written(tmp_path):
    photo = put(tmp_path, "a")
    done = run([photo], tmp_path / "out", recipe_work(("exposure_up", "tint_down"), tmp_path / "r.json", steps=True))
    for number in (1, 2):
        assert (tmp_path / "out" / f"a.step{number}.png").exists()
    final = read_photo_file(tmp_path / "out" / "a.step2.png").pixels_HWC
    np.testing.assert_array_equal(final, read_photo_file(done[0].result).pixels_HWC)
    with Image.open(write_contact_sheet(tmp_path / "out", done)) as sheet:
        assert sheet.width > 600
