"""An episode that people take part in."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from scenes import good_agent, scene, scorer

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.edits import tone
from rl_aesthetics.edits.recipe import read_recipe
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.enhance.enhance import enhance_photo
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.photos.read import read_photo_file
from rl_aesthetics.photos.write import encode_photo
from rl_aesthetics.scores.reference import ReferenceScorer
from rl_aesthetics.studio.photo_episode import PhotoEpisode
from rl_aesthetics.studio.uploads import Upload

RECIPE = ("swap_gb", "invert_r")
MAKE = 0x010F


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), degrade(scene(90, 130, seed=1), RECIPE))
    return Upload(tmp_path / "photo.png", "photo.png")


@pytest.fixture
def episode(photo):
    begun = PhotoEpisode(good_agent(), scorer(), photo)
    begun.begin()
    return begun


def test_left_alone_the_agent_takes_the_steps_that_enhance_takes(episode, photo):
    episode.go_on()
    same = enhance_photo(good_agent(), photo.pixels(), scorer())
    assert episode.edits == same.edits
    assert episode.stopped == same.stopped == "STOP"
    assert [look.values for look in episode.looks] == [step.values for step in same.steps]
    assert (episode.full_size() == same.photo_HWC).all()
    assert (episode.full_size() == scene(90, 130, seed=1)).all()


def test_why_it_stopped_names_both_values(episode):
    episode.go_on()
    values = episode.looks[-1].values
    best = max(value for name, value in values.items() if name != STOP)
    assert f"{values[STOP]:+.3f}" in episode.why()
    assert f"{best:+.3f}" in episode.why()


def test_undo_takes_back_one_edit_and_the_first_look_stays(episode):
    episode.go_on()
    first, count = episode.looks[0], len(episode.looks)
    episode.undo()
    assert len(episode.looks) == count - 1
    for _ in range(5):
        episode.undo()
    assert episode.looks == [first]
    assert episode.stopped is None


def test_the_agent_takes_back_a_mistake_that_it_was_made_to_make(episode):
    episode.go_on()
    score = episode.looks[-1].score
    episode.apply("shift_left_g")
    assert episode.looks[-1].score < score
    episode.go_on()
    assert episode.edits[-2:] == ("shift_left_g", "shift_left_g")
    assert [look.by for look in episode.looks[-2:]] == ["you", "agent"]
    assert episode.looks[-1].score == pytest.approx(score)


def test_an_earlier_step_can_be_gone_back_to(episode):
    episode.go_on()
    episode.go_back(0)
    assert episode.edits == ()
    assert episode.full_size().shape == (90, 130, 3)


def test_stop_by_hand_is_the_persons_word(episode):
    episode.apply(STOP)
    assert episode.stopped == "you"
    assert episode.edits == ()


def test_an_edit_that_the_agent_does_not_have_is_a_users_mistake(episode):
    with pytest.raises(UserError, match="no edit 'sharpen'"):
        episode.apply("sharpen")


def test_the_recipe_says_who_did_what(episode):
    episode.apply("swap_gb")
    episode.go_on()
    recipe = episode.recipe()
    assert recipe["edits"] == list(episode.edits)
    assert [step["by"] for step in recipe["steps"]] == ["you", *["agent"] * len(episode.edits)]
    assert [step["applied"] for step in recipe["steps"]] == [True] * len(episode.edits) + [False]
    assert recipe["score_after"] > recipe["score_before"]


def test_the_recipe_is_one_that_can_be_applied_to_other_photos(episode, tmp_path):
    episode.go_on()
    (tmp_path / "recipe.json").write_text(json.dumps(episode.recipe()))
    assert read_recipe(tmp_path / "recipe.json") == episode.edits


def test_a_recipe_of_an_earlier_studio_can_be_applied_too(tmp_path):
    looks = [{"edit": None, "by": None, "score": 0.1, "values": {}}, {"edit": "swap_gb", "by": "you", "score": 0.2}]
    (tmp_path / "recipe.json").write_text(json.dumps({"photo": "a.png", "edits": ["swap_gb"], "steps": looks}))
    assert read_recipe(tmp_path / "recipe.json") == ("swap_gb",)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_download_has_the_photos_own_depth_and_profile(tmp_path, suffix, dtype):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    degraded = degrade(scene(90, 130, seed=1), RECIPE).astype(dtype)
    degraded = degraded * 257 + 3 if dtype == np.uint16 else degraded
    (tmp_path / "photo.png").write_bytes(encode_photo(degraded, ".png", exif_block(), profile))
    episode = PhotoEpisode(good_agent(), scorer(), Upload(tmp_path / "photo.png", "photo.png"))
    episode.begin()
    episode.go_on()
    (tmp_path / f"result{suffix}").write_bytes(episode.download(suffix))
    result, same = read_photo_file(tmp_path / f"result{suffix}"), enhance_photo(good_agent(), degraded, scorer())
    assert episode.edits == same.edits
    assert result.pixels_HWC.dtype == (np.uint8 if suffix == ".jpg" else dtype)
    if suffix != ".jpg":
        np.testing.assert_array_equal(result.pixels_HWC, same.photo_HWC)
    assert result.icc_profile == profile
    with Image.open(tmp_path / f"result{suffix}") as image:
        assert image.getexif().get(MAKE) == ("Holga" if suffix != ".tif" or dtype == np.uint8 else None)


def test_edits_that_know_eight_bits_alone_give_eight_bits_back(tmp_path):
    (tmp_path / "deep.png").write_bytes(encode_photo(scene(90, 130, seed=1).astype(np.uint16) * 257, ".png"))
    agent = good_agent((*REVERSIBLE, "gaussian_blur_3", STOP))
    episode = PhotoEpisode(agent, scorer(), Upload(tmp_path / "deep.png", "deep.png"))
    episode.begin()
    episode.apply("gaussian_blur_3")
    assert episode.full_size().dtype == np.uint8


def exif_block():
    block = Image.Exif()
    block[MAKE] = "Holga"
    return block.tobytes()


def test_going_on_ends_when_it_is_cancelled(episode):
    episode.go_on(cancelled=lambda: len(episode.looks) > 1)
    assert len(episode.edits) == 1
    assert episode.stopped is None


def test_what_is_shown_is_the_photo_in_small_and_even(tmp_path):
    cv2.imwrite(str(tmp_path / "large.jpg"), np.full((1001, 3001, 3), 90, np.uint8))
    photo = Upload(tmp_path / "large.jpg", "large.jpg")
    photo.load((64,))
    assert photo.display_HWC.shape == (532, 1600, 3)
    assert (photo.width, photo.height) == (3001, 1001)


class Warms(QNetwork):
    """Makes any photo warmer until it is reddish enough, then stops."""

    def forward(self, observations_BCHW):
        red_B = observations_BCHW[:, 0].float().mean((1, 2)) - observations_BCHW[:, 2].float().mean((1, 2))
        return torch.stack([(150 - red_B) / 100, torch.zeros_like(red_B)], 1)


def test_an_agent_paid_for_likeness_to_the_original_edits_without_a_score(tmp_path):
    """A user's photo has no original; the studio refused such agents."""
    actions = ("temperature_up", STOP)
    agent = DQNAgent(AgentDescription("simple_cnn", actions, (3, 64, 64), 9, "reference"), Warms(actions, 64))
    cv2.imwrite(str(tmp_path / "odd.png"), scene(91, 131, seed=1))
    photo = Upload(tmp_path / "odd.png", "odd.png")
    episode = PhotoEpisode(agent, ReferenceScorer(), photo)
    episode.begin()
    episode.go_on()
    same = enhance_photo(agent, photo.pixels(), ReferenceScorer())
    assert len(episode.edits) > 0
    assert episode.edits == same.edits
    assert [look.values for look in episode.looks] == [step.values for step in same.steps]
    assert episode.full_size().shape == (91, 131, 3)  # photographic edits need no even sides
    assert (episode.full_size() == same.photo_HWC).all()
    assert {look.score for look in episode.looks} == {None}
    assert json.loads(json.dumps(episode.recipe()))["score_after"] is None


class WarmsOnce(QNetwork):
    """Warms until its observation says that it did."""

    def forward(self, observations_BCHW):
        warmed_B = observations_BCHW[:, 3, tone.TONE.index("temperature"), 0] > 128
        return torch.stack([0.5 - warmed_B.float(), torch.zeros(len(warmed_B))], 1)


def test_an_agent_that_is_shown_its_edits_is_shown_them_here_too(photo):
    actions = ("temperature_up", STOP)
    agent = DQNAgent(AgentDescription("tone", actions, (4, 64, 64), 9, ""), WarmsOnce(actions, 64))
    episode = PhotoEpisode(agent, scorer(), photo)
    episode.begin()
    episode.go_on()
    assert episode.edits == enhance_photo(agent, photo.pixels(), scorer()).edits == ("temperature_up",)
    assert episode.stopped == "STOP"
