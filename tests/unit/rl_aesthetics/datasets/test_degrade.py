"""Recipes: what may be drawn, that it is drawn reproducibly, and that it can be undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_aesthetics.datasets.degrade import choices, degrade, draw, edit_state, is_reversible, photo_seed, restore
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.errors import UserError


def photo(height=6, width=10, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(st.lists(st.sampled_from(REVERSIBLE), max_size=8), st.integers(1, 6), st.integers(1, 6))
@settings(deadline=None)
def test_a_reversible_recipe_is_undone_pixel_for_pixel(sequence, half_height, half_width):
    original = photo(2 * half_height, 2 * half_width)
    np.testing.assert_array_equal(restore(degrade(original, sequence), sequence), original)


@given(st.lists(st.sampled_from(REVERSIBLE), max_size=8))
@settings(deadline=None)
def test_the_edit_state_of_a_sequence_renders_what_the_sequence_gives(sequence):
    original = photo()
    np.testing.assert_array_equal(degrade(original, sequence), algebra.apply(original, edit_state(sequence)))


def test_degrading_leaves_the_photo_as_it_was():
    original = photo()
    before = original.copy()
    degraded = degrade(original, [])
    degraded[:] = 0
    degrade(original, ["invert_b", "gaussian_blur_3"])
    np.testing.assert_array_equal(original, before)


def test_random_is_all_reversible_edits_with_equal_chance():
    sequences = choices("RANDOM")
    assert sequences == tuple((name,) for name in REVERSIBLE)
    drawn = [draw(sequences, 42, f"photo {i}").transformation for i in range(14_000)]
    counts = np.array([drawn.count(name) for name in REVERSIBLE])
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


@pytest.mark.parametrize(("depth", "states"), enumerate((14, 84, 284, 598, 816, 724, 404, 129, 18), 1))
def test_a_depth_offers_each_edit_state_of_that_distance_once(depth, states):
    reached = [edit_state(sequence) for sequence in choices("RANDOM", depth)]
    assert len(set(reached)) == len(reached) == states
    assert set(algebra.DEPTH[reached]) == {depth}
    assert {len(sequence) for sequence in choices("RANDOM", depth)} == {depth}


def test_a_depth_of_some_edits_uses_only_those():
    sequences = choices("swap_gb,invert_b,SwapColorChannelTransformerRB", 2)
    assert {name for sequence in sequences for name in sequence} == {"swap_gb", "swap_rb", "invert_b"}
    assert all(algebra.DEPTH[edit_state(sequence)] == 2 for sequence in sequences)


def test_names_aliases_and_lists_are_understood():
    assert choices("CA_SWAP_GB") == (("swap_gb",),)
    assert choices(["GaussianBlur3", "invert_r"]) == choices("invert_r, GaussianBlur3")
    assert not is_reversible(["swap_gb", "gaussian_blur_3"])


@pytest.mark.parametrize(
    ("transformation", "depth", "message"),
    [
        ("swap_gbb", 1, "unknown transform 'swap_gbb'.*'swap_gb'"),
        ("swap_gb,swap_gb", 1, "twice"),
        ("RANDOM", 0, "from 1 to 9"),
        ("RANDOM", 10, "from 1 to 9"),
        ("gaussian_blur_3", 2, "cannot be undone"),
        ("swap_gb", 2, "no 2 edits out of swap_gb"),
        ("STOP", 1, "STOP"),
        (",", 1, "at least one"),
    ],
)
def test_a_wrong_choice_of_edits_says_what_is_wrong(transformation, depth, message):
    with pytest.raises(UserError, match=message):
        choices(transformation, depth)


def test_an_irreversible_sequence_has_no_edit_state():
    with pytest.raises(ValueError, match="gaussian_blur_3 is not reversible"):
        edit_state(["swap_gb", "gaussian_blur_3"])


def test_a_recipe_follows_from_seed_and_photo_alone():
    sequences = choices("RANDOM", 3)
    photos = [f"folder/{i}.jpg" for i in range(50)]
    forwards = {name: draw(sequences, 7, name) for name in photos}
    backwards = {name: draw(sequences, 7, name) for name in reversed(photos)}
    assert forwards == backwards
    assert forwards != {name: draw(sequences, 8, name) for name in photos}
    assert all(0 <= recipe.seed < 2**48 and recipe.seed == photo_seed(7, name) for name, recipe in forwards.items())


def test_copies_of_a_photo_are_all_degraded_differently():
    sequences = choices("RANDOM")
    drawn = [draw(sequences, 42, "a.jpg", copy).sequence for copy in range(14)]
    assert len(set(drawn)) == 14
    with pytest.raises(UserError, match="--copies 15"):
        draw(sequences, 42, "a.jpg", 14)
