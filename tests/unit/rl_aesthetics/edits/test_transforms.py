"""Transforms: names, and what each does to pixels."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, TRANSFORMS, action_names, get_transform
from rl_aesthetics.errors import UserError

EVERY = pytest.mark.parametrize("name", TRANSFORMS)


def noise(*shape):
    return np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_the_guides_14_reversible_transforms_come_in_the_guides_order():
    assert (
        *("swap_gb", "swap_rb", "swap_rg", "invert_b", "invert_g", "invert_r"),
        *("shift_left_b", "shift_left_g", "shift_left_r", "shift_left_all"),
        *("shift_down_b", "shift_down_g", "shift_down_r", "shift_down_all"),
    ) == REVERSIBLE


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("SwapColorChannelTransformerGB", "swap_gb"),
        ("InvertColorChannelTransformerR", "invert_r"),
        ("GaussianBlur3", "gaussian_blur_3"),
        ("CA_SWAP_RB", "swap_rb"),
        ("CA_INV_G", "invert_g"),
        ("IA_SHIFT_LEFT_B", "shift_left_b"),
        ("IA_SHIFT_DOWN_ALL", "shift_down_all"),
        ("Shift_Down_All", "shift_down_all"),
    ],
)
def test_the_guides_class_names_and_older_labels_are_understood(name, canonical):
    assert get_transform(name).name == canonical


def test_no_name_or_alias_means_two_transforms():
    names = [alias.lower() for t in TRANSFORMS.values() for alias in (t.name, *t.aliases)]
    assert len(names) == len(set(names))


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown transform 'swap_gbb' \(did you mean 'swap_gb'\?\)"):
        get_transform("swap_gbb")


def test_an_action_space_is_the_14_edits_and_stop_unless_told_otherwise():
    assert action_names("reversible") == action_names("RANDOM") == (*REVERSIBLE, STOP)
    assert action_names("reversible", add_stop=False) == REVERSIBLE
    guide = ["SwapColorChannelTransformerGB", "InvertColorChannelTransformerR", "GaussianBlur3"]
    assert action_names(guide, add_stop=False) == ("swap_gb", "invert_r", "gaussian_blur_3")


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "at least one"), ([STOP], "at least one"), (["swap_gb", "CA_SWAP_GB"], "swap_gb twice"), (["x"], "unknown")],
)
def test_an_impossible_action_space_is_refused(names, message):
    with pytest.raises(UserError, match=message):
        action_names(names)


@EVERY
def test_a_batch_is_edited_like_its_images_and_keeps_shape_and_dtype(name):
    images = noise(2, 3, 6, 10)
    edited = TRANSFORMS[name](images)
    assert edited.dtype == np.uint8
    assert (edited.shape == images.shape) == TRANSFORMS[name].keeps_size
    for i in np.ndindex(2, 3):
        np.testing.assert_array_equal(edited[i], TRANSFORMS[name](images[i]))


@EVERY
def test_the_input_is_left_as_it_was(name):
    image = noise(6, 8)
    before = image.copy()
    TRANSFORMS[name](image)[:] = 0
    np.testing.assert_array_equal(image, before)


@EVERY
@pytest.mark.parametrize("image", [noise(4, 4).astype(np.float32), noise(4, 4)[..., :2], noise(4, 4)[..., 0]])
def test_other_dtypes_and_shapes_are_refused(name, image):
    with pytest.raises(ValueError, match="needs uint8"):
        TRANSFORMS[name](image)


@pytest.mark.parametrize("name", REVERSIBLE)
@given(half_height=st.integers(1, 5), half_width=st.integers(1, 5))
def test_each_reversible_edit_undoes_itself(name, half_height, half_width):
    image = noise(2 * half_height, 2 * half_width)
    np.testing.assert_array_equal(TRANSFORMS[name](TRANSFORMS[name](image)), image)


@pytest.mark.parametrize(("pair", "order"), [("gb", [1, 0, 2]), ("rb", [2, 1, 0]), ("rg", [0, 2, 1])])
def test_a_swap_exchanges_the_two_channels_it_names(pair, order):
    image = noise(4, 4)
    np.testing.assert_array_equal(TRANSFORMS[f"swap_{pair}"](image), image[..., order])


@pytest.mark.parametrize(("letter", "channel"), [("b", 0), ("g", 1), ("r", 2)])
def test_an_inversion_turns_its_channel_alone(letter, channel):
    image = noise(4, 4)
    edited = TRANSFORMS[f"invert_{letter}"](image)
    np.testing.assert_array_equal(edited[..., channel].astype(int), 255 - image[..., channel].astype(int))
    others = [c for c in range(3) if c != channel]
    np.testing.assert_array_equal(edited[..., others], image[..., others])


@pytest.mark.parametrize(("letter", "channels"), [("b", [0]), ("g", [1]), ("r", [2]), ("all", [0, 1, 2])])
@pytest.mark.parametrize(("direction", "axis"), [("left", 1), ("down", 0)])
def test_a_shift_moves_its_channels_by_half_the_image_circularly(direction, axis, letter, channels):
    image = noise(4, 6)
    expected = image.copy()
    for channel in channels:
        halves = np.split(image[..., channel], 2, axis)
        expected[..., channel] = np.concatenate(halves[::-1], axis)
    np.testing.assert_array_equal(TRANSFORMS[f"shift_{direction}_{letter}"](image), expected)


@pytest.mark.parametrize(("name", "height", "width", "side"), [("left_b", 4, 5, "width"), ("down_all", 5, 4, "height")])
def test_bug_8_a_half_shift_of_an_odd_side_is_refused(name, height, width, side):
    """On an odd side the predecessor's half shift was not its own inverse."""
    with pytest.raises(ValueError, match=f"even {side}, got 5"):
        TRANSFORMS[f"shift_{name}"](noise(height, width))


def test_the_blur_is_opencvs_and_has_no_element():
    image = noise(9, 7)
    np.testing.assert_array_equal(TRANSFORMS["gaussian_blur_3"](image), cv2.GaussianBlur(image, (3, 3), 0))
    assert TRANSFORMS["gaussian_blur_3"].element is None
    assert all(TRANSFORMS[name].element is not None for name in REVERSIBLE)
