"""Enhancing photos: the agent's decisions, on every pixel of the original, which itself is never touched."""

import json
import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from scenes import CountingScorer, good_agent, naturalness, scene, scorer

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.enhance.enhance import enhance_photo
from rl_aesthetics.enhance.results import plan_outputs, write_enhancement
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.photos.sources import read_photo

PHOTO = scene(128, 192, seed=5)


class Always(QNetwork):
    """Values the actions by fixed numbers, whatever it sees."""

    def __init__(self, actions, values):
        super().__init__(actions)
        self.values = torch.tensor(values, dtype=torch.float32)

    def forward(self, observations_BCHW):
        return self.values.repeat(len(observations_BCHW), 1)


def always(**values):
    return DQNAgent(
        AgentDescription("simple_cnn", tuple(values), (3, 64, 64), 5, "naturalness"),
        Always(tuple(values), list(values.values())),
    )


def test_an_agent_that_knows_gives_the_original_back_pixel_for_pixel():
    degraded = degrade(PHOTO, ["swap_gb", "shift_left_r"])
    result = enhance_photo(good_agent(), degraded, scorer())
    np.testing.assert_array_equal(result.photo_HWC, PHOTO)
    assert set(result.edits) == {"swap_gb", "shift_left_r"}
    assert (result.stopped, result.cropped, result.juror) == ("STOP", (0, 0), "naturalness")
    assert result.score_after > result.score_before


def test_each_step_has_every_action_value_and_the_scores_before_and_after():
    result = enhance_photo(good_agent(), degrade(PHOTO, ["invert_g"]), scorer())
    edit, stop = result.steps
    assert (edit.action, edit.applied, stop.action, stop.applied) == ("invert_g", True, STOP, False)
    assert list(edit.values) == [*REVERSIBLE, STOP]
    assert max(edit.values, key=edit.values.get) == "invert_g"
    assert edit.score_before == result.score_before
    assert edit.score == stop.score_before == stop.score == result.score_after


def test_values_are_expected_gains_whatever_the_network_gives_out():
    """A network whose outputs include the score has it taken off, so values mean the same for all networks."""
    degraded = degrade(PHOTO, ["invert_g"])
    edit, _ = enhance_photo(good_agent(), degraded, scorer()).steps
    assert edit.values["invert_g"] == pytest.approx(edit.score - edit.score_before, abs=0.01)
    assert edit.values[STOP] == pytest.approx(0, abs=0.01)


def test_the_juror_is_asked_for_the_report_and_decides_nothing():
    backwards = CountingScorer(32, lambda image: -naturalness(image))
    result = enhance_photo(good_agent(), degrade(PHOTO, ["swap_rb"]), backwards)
    np.testing.assert_array_equal(result.photo_HWC, PHOTO)
    assert result.score_after < result.score_before


def test_it_stops_at_the_step_limit():
    agent = good_agent(max_steps=1)
    degraded = degrade(PHOTO, ["swap_gb", "shift_left_r"])
    result = enhance_photo(agent, degraded, scorer())
    assert (len(result.steps), result.stopped) == (1, "step_limit")
    assert enhance_photo(agent, degraded, scorer(), max_steps=3).stopped == "STOP"


def test_it_does_not_go_in_circles():
    result = enhance_photo(always(swap_gb=1.0, invert_r=0.5, STOP=0.0), PHOTO, scorer())
    assert [(step.action, step.applied) for step in result.steps] == [("swap_gb", True), ("swap_gb", False)]
    assert (result.stopped, result.edits) == ("repeats", ("swap_gb",))
    np.testing.assert_array_equal(result.photo_HWC, degrade(PHOTO, ["swap_gb"]))


def test_an_agent_without_stop_ends_where_it_would_turn_back():
    degraded = degrade(PHOTO, ["swap_gb"])
    result = enhance_photo(good_agent(REVERSIBLE, max_steps=4), degraded, scorer())
    assert result.edits[0] == "swap_gb"
    assert result.stopped in ("repeats", "step_limit")


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 1), (1, 1)])
def test_an_odd_side_loses_its_last_row_or_column_when_edited(rows, columns):
    odd = scene(128 + rows, 192 + columns, seed=5)
    result = enhance_photo(always(swap_gb=1.0, STOP=0.0), odd, scorer(), max_steps=1)
    assert result.cropped == (rows, columns)
    np.testing.assert_array_equal(result.photo_HWC, degrade(odd[:128, :192], ["swap_gb"]))


def test_a_photo_that_is_left_as_it_is_stays_whole():
    odd = scene(129, 193, seed=5)
    result = enhance_photo(always(swap_gb=0.0, STOP=1.0), odd, scorer())
    assert (result.edits, result.cropped, result.stopped) == ((), (0, 0), "STOP")
    np.testing.assert_array_equal(result.photo_HWC, odd)


def test_edits_that_lose_information_are_applied_to_the_full_photo():
    result = enhance_photo(always(gaussian_blur_3=1.0, STOP=0.0), PHOTO, scorer(), max_steps=2)
    expected = cv2.GaussianBlur(cv2.GaussianBlur(PHOTO, (3, 3), 0), (3, 3), 0)
    np.testing.assert_array_equal(result.photo_HWC, expected)


def test_the_given_pixels_are_left_as_they_are():
    degraded = degrade(PHOTO, ["swap_gb"])
    before = degraded.copy()
    enhance_photo(good_agent(), degraded, scorer()).photo_HWC[:] = 0
    np.testing.assert_array_equal(degraded, before)


def test_impossible_requests_are_a_users_mistake():
    with pytest.raises(UserError, match="1×9 pixels is too small"):
        enhance_photo(good_agent(), scene(9, 1), scorer())
    with pytest.raises(UserError, match="at least 1 step"):
        enhance_photo(good_agent(), PHOTO, scorer(), max_steps=0)


def test_a_failing_juror_is_told():
    juror = CountingScorer()
    juror.failing = True
    with pytest.raises(ScoringError):
        enhance_photo(good_agent(), PHOTO, juror)


def put(file, photo=PHOTO, **options):
    Image.fromarray(photo[..., ::-1]).save(file, **options)
    return file


def test_results_and_records_are_named_after_the_photos(tmp_path):
    plan = plan_outputs([tmp_path / "a.jpg", tmp_path / "b.tif"], tmp_path / "out")
    assert [(result.name, record.name) for _, result, record in plan] == [("a.png", "a.json"), ("b.png", "b.json")]
    ((_, result, _),) = plan_outputs([tmp_path / "a.tif"], tmp_path / "out", "jpeg")
    assert result.name == "a.jpg"


def test_a_result_never_replaces_a_photo_not_even_through_a_link(tmp_path):
    photo = put(tmp_path / "a.png")
    with pytest.raises(UserError, match="photos are never replaced"):
        plan_outputs([photo], tmp_path, overwrite=True)
    (tmp_path / "out").mkdir()
    os.link(photo, tmp_path / "out" / "a.png")
    with pytest.raises(UserError, match="photos are never replaced"):
        plan_outputs([photo], tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "a.png").unlink()
    (tmp_path / "out" / "a.png").symlink_to(photo)
    with pytest.raises(UserError, match="photos are never replaced"):
        plan_outputs([photo], tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("there", ["a.png", "a.json"])
def test_what_is_there_already_is_replaced_only_when_told(tmp_path, there):
    photo = put(tmp_path / "a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / there).write_text("")
    with pytest.raises(UserError, match=f"{there} is there already; pass --overwrite"):
        plan_outputs([photo], tmp_path / "out")
    assert len(plan_outputs([photo], tmp_path / "out", overwrite=True)) == 1


def test_two_photos_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"x/a\.jpg and .*y/a\.png would both become"):
        plan_outputs([tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.png"], tmp_path / "out")


def written(tmp_path, photo, file_format="png"):
    (tmp_path / "out").mkdir()
    ((_, result, record),) = plan_outputs([photo], tmp_path / "out", file_format)
    enhancement = enhance_photo(good_agent(), read_photo(photo), scorer())
    write_enhancement(enhancement, photo, result, record, "agent.safetensors", "naturalness")
    return enhancement, result, json.loads(record.read_text())


def test_the_result_is_lossless_and_the_record_says_how_it_came_about(tmp_path):
    photo = put(tmp_path / "a.png", degrade(PHOTO, ["swap_gb"]))
    content = photo.read_bytes()
    enhancement, result, record = written(tmp_path, photo)
    np.testing.assert_array_equal(read_photo(result), PHOTO)
    assert record["edits"] == ["swap_gb"]
    assert record["stopped"] == STOP
    assert record["why"] == "the agent chose STOP"
    assert record["cropped"] == {"rows": 0, "columns": 0}
    assert (record["agent_file"], record["juror"]) == ("agent.safetensors", "naturalness")
    assert (record["score_before"], record["score_after"]) == (enhancement.score_before, enhancement.score_after)
    assert [step["edit"] for step in record["steps"]] == ["swap_gb", STOP]
    assert set(record["steps"][0]["values"]) == {*REVERSIBLE, STOP}
    assert photo.read_bytes() == content
    assert sorted(os.listdir(tmp_path / "out")) == ["a.json", "a.png"]


def test_exif_orientation_is_honoured_once(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    turned = np.ascontiguousarray(np.rot90(degrade(PHOTO, ["swap_gb"])))
    photo = put(tmp_path / "a.png", turned, exif=exif)
    _, result, _ = written(tmp_path, photo)
    np.testing.assert_array_equal(cv2.imread(str(result)), PHOTO)
    with Image.open(result) as image:
        assert image.getexif()[0x0112] == 1


def test_the_colour_profile_goes_along(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = put(tmp_path / "a.jpg", icc_profile=profile)
    _, result, _ = written(tmp_path, photo)
    with Image.open(result) as image:
        assert image.info["icc_profile"] == profile


def test_jpeg_on_request_is_close_to_the_pixels(tmp_path):
    enhancement, result, _ = written(tmp_path, put(tmp_path / "a.png", degrade(PHOTO, ["swap_gb"])), "jpeg")
    with Image.open(result) as image:
        assert image.format == "JPEG"
    difference = read_photo(result).astype(int) - enhancement.photo_HWC
    assert 0 < np.abs(difference).mean() < 4


def test_a_folder_that_cannot_be_written_is_a_users_mistake(tmp_path):
    photo = put(tmp_path / "a.png")
    enhancement = enhance_photo(good_agent(), PHOTO, scorer())
    with pytest.raises(UserError, match="cannot write"):
        write_enhancement(enhancement, photo, tmp_path / "no" / "a.png", tmp_path / "no" / "a.json", "")
