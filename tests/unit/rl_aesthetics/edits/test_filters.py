"""The predecessor's edits without parameters: which way each goes, and that nothing wraps around or folds back."""

import cv2
import numpy as np
import pytest

from rl_aesthetics.edits.filters import TRANSFORMS as FILTERS
from rl_aesthetics.edits.transforms import TRANSFORMS

NAMES = [transform.name for transform in FILTERS]
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(8, axis=0)


def photo(height=48, width=64):
    """A gradient with colour, dark and bright corners, and a little noise."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = np.stack([60 + 120 * x, 40 + 160 * y, 220 - 150 * x], axis=2)
    return np.clip(planes + np.random.default_rng(3).normal(0, 6, planes.shape), 0, 255).astype(np.uint8)


def edited(name, image=None):
    return TRANSFORMS[name](photo() if image is None else image).astype(float)


def colourfulness(image):
    return np.ptp(image.astype(float), axis=2).mean()


def detail(image):
    return cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).std()


@pytest.mark.parametrize("name", [name for name in NAMES if "sharp" not in name])
def test_a_ramp_from_black_to_white_still_rises(name):
    """Values that wrapped around, or were folded to their absolute value, would make it fall somewhere."""
    row = edited(name, RAMP)[4].mean(axis=1)
    assert (np.diff(row) >= 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_stay_in_range_and_never_turn_into_each_other(name, value):
    image = np.full((16, 16, 3), value, np.uint8)
    assert abs(edited(name, image).mean() - value) <= 160


@pytest.mark.parametrize("name", ["lighten", "power_brighter"])
def test_brighter_means_brighter(name):
    """The predecessor's "brighten 0.8" darkened (bug 8)."""
    assert edited(name).mean() > photo().mean() + 3


@pytest.mark.parametrize("name", ["darken", "power_darker"])
def test_darker_means_darker(name):
    assert edited(name).mean() < photo().mean() - 3


def test_lightness_moves_by_twenty_hundredths():
    grey = np.full((4, 4, 3), 119, np.uint8)  # L* is 50.0
    for name, lightness in (("lighten", 70), ("darken", 30)):
        lab = cv2.cvtColor((edited(name, grey) / 255).astype(np.float32), cv2.COLOR_BGR2Lab)
        assert lab[..., 0].mean() == pytest.approx(lightness, abs=0.5)


def test_the_automatic_gamma_brings_a_dark_photo_to_the_middle():
    dark = (photo() * 0.3).astype(np.uint8)
    before = abs(cv2.cvtColor(dark, cv2.COLOR_BGR2GRAY).mean() / 255 - 0.5)
    after = abs(cv2.cvtColor(TRANSFORMS["gamma_auto"](dark), cv2.COLOR_BGR2GRAY).mean() / 255 - 0.5)
    assert after < before / 3


def test_saturation_goes_the_way_it_is_called_and_grayscale_takes_all_of_it():
    assert colourfulness(edited("saturate")) > colourfulness(photo()) > colourfulness(edited("desaturate"))
    assert colourfulness(edited("grayscale")) == 0


def test_warmth_scales_red_up_and_blue_down_by_fifteen_hundredths_and_coolness_the_reverse():
    grey = np.full((2, 2, 3), 100, np.uint8)
    assert edited("warmth", grey)[0, 0].tolist() == [85, 100, 115]
    assert edited("coolness", grey)[0, 0].tolist() == [115, 100, 85]


@pytest.mark.parametrize("kind", ["box", "gaussian", "median"])
def test_blurs_take_detail_away_the_more_the_wider(kind):
    details = [detail(photo()), *(detail(edited(f"{kind}_blur_{side}")) for side in (3, 5, 7, 9))]
    assert details == sorted(details, reverse=True)


@pytest.mark.parametrize("name", ["sharpen_cross", "sharpen_square", "unsharp_fine", "unsharp_coarse"])
def test_sharpening_adds_detail_and_leaves_flat_areas_alone(name):
    assert detail(edited(name)) > detail(photo())
    flat = np.full((9, 9, 3), 77, np.uint8)
    assert (edited(name, flat) == 77).all()


def test_haze_lifts_the_shadows_and_flattens():
    assert edited("haze").min() > photo().min()
    assert edited("haze").std() < photo().std()
