"""The demo's photographic example: the packaged agent repairs a photo that nobody showed it."""

import json

import cv2
import numpy as np
import pytest

from rl_aesthetics.agents.agent import PACKAGED, DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.datasets.tonal_degradation import degrade_tone
from rl_aesthetics.edits.transforms import action_names
from rl_aesthetics.enhance.enhance import enhance_photo
from rl_aesthetics.photos.quality import psnr
from rl_aesthetics.photos.sources.samples import open_samples
from rl_aesthetics_cli.demo import SEEN, TONE_AGENT, TOO_DARK_AND_COLD, _repair


def small(photo):
    pixels_HWC = cv2.imread(str(photo.path))
    height, width = (side * 240 // max(pixels_HWC.shape[:2]) // 2 * 2 for side in pixels_HWC.shape[:2])
    return cv2.resize(pixels_HWC, (width, height), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def repaired(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    photo = next(photo for photo in open_samples().photos if not photo.name.startswith(SEEN))
    small_HWC = small(photo)
    height, width = small_HWC.shape[:2]
    (root / "data" / "test" / "images").mkdir(parents=True)
    cv2.imwrite(str(root / "data" / "test" / "images" / "1.png"), degrade(small_HWC, ("invert_r",)))
    record = Record(1, "images/1.png", None, "invert_r", ("invert_r",), 0.2, 0.8, photo.name, width, height)
    write_annotations(root / "data" / "test", [record], ["invert_r"], {"juror": "not asked"})
    _repair(load_config(None, [f"dataset={root / 'data'}"]), root / "photographic")
    return root / "photographic"


def test_the_packaged_agent_brings_dark_cold_photos_nearer_to_their_originals():
    agent = DQNAgent.load(PACKAGED / TONE_AGENT)
    gains = []
    for photo in (photo for photo in open_samples().photos if not photo.name.startswith(SEEN)):
        original = small(photo)
        degraded = degrade_tone(original, TOO_DARK_AND_COLD)
        gains.append(psnr(enhance_photo(agent, degraded, None).photo_HWC, original) - psnr(degraded, original))
    assert len(gains) >= 5
    assert np.mean(gains) > 2


def test_the_example_leaves_the_photo_before_and_after(repaired):
    degraded, edited, original = (
        cv2.imread(str(repaired / name)) for name in ("degraded.png", "edited/degraded.png", "original.png")
    )
    assert psnr(edited, original) > psnr(degraded, original)
    assert (repaired / "before_after.png").stat().st_size > 0


def test_the_example_says_what_the_packaged_agent_did(repaired):
    record = json.loads((repaired / "edited" / "degraded.json").read_text())
    assert record["agent_file"].endswith(TONE_AGENT)
    assert {step["edit"] for step in record["steps"]} <= set(action_names("tonal"))
