"""The algebra of the 14 reversible edits: 3,072 states, and what every sequence of edits amounts to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import REVERSIBLE, TRANSFORMS

STATES = st.integers(0, algebra.NUM_STATES - 1)
SEQUENCES = st.lists(st.integers(0, 13), max_size=12)
EVEN = st.integers(1, 6).map(lambda half: 2 * half)


def state_of(sequence):
    state = algebra.ORIGINAL
    for edit in sequence:
        state = int(algebra.compose(state, algebra.GENERATORS[edit]))
    return state


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(SEQUENCES, EVEN, EVEN)
def test_edits_one_by_one_give_the_pixels_of_their_canonical_state(sequence, height, width):
    photo = edited = noise(height, width)
    for edit in sequence:
        edited = TRANSFORMS[REVERSIBLE[edit]](edited)
    np.testing.assert_array_equal(algebra.apply(photo, state_of(sequence)), edited)


@given(st.lists(STATES, min_size=1, max_size=6), EVEN)
def test_rendering_a_batch_of_states_gives_the_pixels_of_each(states, side):
    photos = [noise(side, side, seed) for seed in range(len(states))]
    rendered = algebra.render_rgb(np.stack([p[..., ::-1].transpose(2, 0, 1) for p in photos]), np.array(states))
    for photo, state, image_CHW in zip(photos, states, rendered, strict=True):
        np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0)[..., ::-1], algebra.apply(photo, state))


def test_rendering_leaves_the_photos_as_they_are():
    photos = np.stack([noise(8, 8).transpose(2, 0, 1)] * 2)
    before = photos.copy()
    algebra.render_rgb(photos, np.array([algebra.ORIGINAL, algebra.NUM_STATES - 1]))
    np.testing.assert_array_equal(photos, before)


@given(STATES)
def test_states_are_numbered_by_their_permutation_and_bits(state):
    assert algebra.encode(algebra.SOURCE[state], algebra.BITS[state]) == state


def test_there_are_3072_states_and_their_pixels_all_differ():
    photo = noise(4, 4)
    assert len({algebra.apply(photo, state).tobytes() for state in range(algebra.NUM_STATES)}) == 3072


def test_depths_are_counted_by_breadth_first_search():
    assert np.bincount(algebra.DEPTH).tolist() == [1, 14, 84, 284, 598, 816, 724, 404, 129, 18]


@given(STATES, STATES, STATES)
def test_composition_is_associative(a, b, c):
    assert algebra.compose(algebra.compose(a, b), c) == algebra.compose(a, algebra.compose(b, c))


@given(STATES, STATES)
def test_composition_is_one_edit_after_the_other(first, then):
    photo = noise(4, 6)
    one_by_one = algebra.apply(algebra.apply(photo, first), then)
    np.testing.assert_array_equal(algebra.apply(photo, int(algebra.compose(first, then))), one_by_one)


@given(STATES)
def test_a_state_and_its_inverse_cancel_from_both_sides(state):
    assert algebra.compose(state, algebra.inverse(state)) == algebra.ORIGINAL
    assert algebra.compose(algebra.inverse(state), state) == algebra.ORIGINAL
    assert algebra.compose(state, algebra.ORIGINAL) == algebra.compose(algebra.ORIGINAL, state) == state


@given(STATES)
def test_a_shortest_sequence_leads_to_its_state_and_is_as_long_as_the_state_is_deep(state):
    sequence = algebra.sequence_to(state)
    assert state_of(sequence) == state
    assert len(sequence) == algebra.DEPTH[state]


@given(STATES, STATES, STATES)
def test_distance_is_a_metric(a, b, c):
    assert algebra.distance(a, b) == algebra.distance(b, a)
    assert (algebra.distance(a, b) == 0) == (a == b)
    assert algebra.distance(a, c) <= algebra.distance(a, b) + algebra.distance(b, c)
    assert algebra.distance(a) == algebra.distance(a, algebra.ORIGINAL)


@given(SEQUENCES)
def test_no_sequence_is_shorter_than_the_distance(sequence):
    assert algebra.distance(state_of(sequence)) <= len(sequence)


@given(STATES, st.integers(0, 13))
def test_an_edit_changes_the_distance_by_exactly_one(state, edit):
    """Every relation between the edits has even length, so each edit leads nearer or farther, never sideways."""
    after = algebra.compose(state, algebra.GENERATORS[edit])
    assert abs(int(algebra.DEPTH[after]) - int(algebra.DEPTH[state])) == 1


def test_functions_broadcast_over_arrays_of_states():
    states = np.arange(algebra.NUM_STATES)
    table = algebra.compose(states[:, None], np.array(algebra.GENERATORS))
    assert table.shape == (3072, 14)
    assert table[17, 3] == algebra.compose(17, algebra.GENERATORS[3])
    np.testing.assert_array_equal(algebra.inverse(algebra.inverse(states)), states)


def test_bug_8_rb_after_rg_is_a_three_cycle_and_no_swap():
    """The predecessor's composition table said RB∘RG = GB."""
    rb, rg, gb = (TRANSFORMS[f"swap_{pair}"].element for pair in ("rb", "rg", "gb"))
    cycle = algebra.compose(rg, rb)
    assert cycle not in (rb, rg, gb)
    assert algebra.DEPTH[cycle] == 2
    assert algebra.compose(algebra.compose(cycle, cycle), cycle) == algebra.ORIGINAL
    assert algebra.compose(cycle, cycle) != algebra.ORIGINAL
    np.testing.assert_array_equal(sorted(algebra.SOURCE[cycle]), [0, 1, 2])
    assert (algebra.SOURCE[cycle] != np.arange(3)).all()


@pytest.mark.parametrize(("height", "width"), [(5, 4), (4, 5), (1, 1)])
def test_bug_8_an_odd_side_has_no_edit_states(height, width):
    with pytest.raises(ValueError, match="even sides"):
        algebra.apply(noise(height, width), 3)
