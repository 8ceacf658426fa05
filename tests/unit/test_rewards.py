"""What the agent is paid for, and what counts as success."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_aesthetics.rewards import ScoreDifference, Success

SCORES = st.floats(0, 1, width=32)
REWARD = ScoreDifference(step_penalty=0.01, terminal_bonus=0.1)


@pytest.mark.parametrize(
    ("previous", "new", "original", "last", "expected"),
    [
        (0.2, 0.5, 0.6, False, 0.29),
        (0.5, 0.2, 0.6, False, -0.31),
        (0.5, 0.5, 0.6, True, -0.01),  # STOP below the original
        (0.6, 0.6, 0.6, True, 0.09),  # STOP at the original
        (0.2, 0.7, 0.6, True, 0.59),
        (0.2, 0.7, 0.6, False, 0.49),  # the bonus waits for the end
    ],
)
def test_the_guides_formula(previous, new, original, last, expected):
    assert REWARD(previous, new, original, last) == pytest.approx(expected, abs=1e-6)


def test_rewards_come_as_float32_for_a_whole_batch():
    rewards_B = REWARD(np.zeros(3), np.array([0.1, 0.2, 0.3]), 0.2, [True, True, False])
    assert rewards_B.dtype == np.float32
    np.testing.assert_allclose(rewards_B, [0.09, 0.29, 0.29], atol=1e-6)


@given(SCORES, SCORES, SCORES, SCORES, st.booleans())
def test_bug_4_a_higher_score_never_pays_less(previous, lower, higher, original, last):
    """The predecessor's stop-only rewards had their arguments swapped, so they paid for lowering the score."""
    lower, higher = sorted((lower, higher))
    assert REWARD(previous, lower, original, last) <= REWARD(previous, higher, original, last)


@given(st.lists(SCORES, min_size=2, max_size=8), SCORES)
def test_the_rewards_of_an_episode_add_up_to_its_improvement_less_the_penalties(scores, original):
    steps = len(scores) - 1
    total = sum(float(REWARD(*scores[k : k + 2], original, k == steps - 1)) for k in range(steps))
    bonus = 0.1 * (np.float32(scores[-1]) >= np.float32(original))
    assert total == pytest.approx(scores[-1] - scores[0] - 0.01 * steps + bonus, abs=1e-5)


def test_success_tells_its_four_numbers_apart():
    success = Success.of(
        degraded_B=[0.2, 0.2, 0.2, 0.2],
        final_B=[0.2, 0.3, 0.6, 0.7],
        original_B=[0.6, 0.6, 0.6, 0.6],
        exact_B=[False, False, True, False],
        best_B=[0.6, 0.6, 0.6, 0.8],
    )
    assert (success.improved, success.recovered, success.exact) == (0.75, 0.5, 0.25)
    assert success.oracle_fraction == pytest.approx(1.0 / 1.8)


def test_without_a_search_or_anything_to_gain_there_is_no_oracle_fraction():
    assert Success.of([0.2], [0.3], [0.4], [False]).oracle_fraction is None
    assert Success.of([0.5], [0.5], [0.4], [False], best_B=[0.5]).oracle_fraction is None
