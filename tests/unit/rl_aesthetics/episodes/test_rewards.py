"""What the agent is paid for, and what counts as success."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_aesthetics.errors import UserError
from rl_aesthetics.rewards import (
    REWARDS,
    ClippedDifference,
    DelayedDifference,
    ScoreDifference,
    SigmoidBonus,
    StopOnly,
    Success,
    make_reward,
)

SCORES = st.floats(0, 1, width=32)
REWARD = ScoreDifference(step_penalty=0.01, terminal_bonus=0.1)
EVERY = [
    REWARD,
    ScoreDifference(change_limit=0.2),
    SigmoidBonus(width=0.2),
    ClippedDifference(limit=0.1),
    DelayedDifference(),
    DelayedDifference(shaping=1.0, gamma=0.9),
    DelayedDifference(shaping=0.5, gamma=0.7, change_limit=0.5, change_price=0.2),
    StopOnly(),
]


def play(reward, scores, original, stopped, change=0.0):
    """Rewards of an episode with these scores, of the degraded photo first; STOP repeats the last score."""
    scores = [*scores, scores[-1]] if stopped else scores
    steps = len(scores) - 1
    return [
        float(
            reward(
                *scores[k : k + 2],
                original if k == steps - 1 else np.nan,
                k == steps - 1,
                degraded_B=scores[0] if k == steps - 1 else np.nan,
                stopped_B=stopped and k == steps - 1,
                steps_B=k + 1,
                change_B=change,
            )
        )
        for k in range(steps)
    ]


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


@pytest.mark.parametrize("reward", EVERY)
@given(scores=st.tuples(*[SCORES] * 5), last=st.booleans(), stopped=st.booleans())
def test_bug_4_a_higher_score_never_pays_less(reward, scores, last, stopped):
    """The predecessor's stop-only rewards had their arguments swapped, so they paid for lowering the score."""
    previous, original, degraded, *new = scores
    more = {"degraded_B": degraded, "stopped_B": last and stopped}
    paid = [float(reward(previous, score, original, last, **more)) for score in sorted(new)]
    assert paid == sorted(paid)


@pytest.mark.parametrize("reward", EVERY)
def test_bug_4_an_episode_that_raises_the_score_is_worth_more_than_one_that_lowers_it(reward):
    up, down = (sum(play(reward, scores, 0.9, stopped=True)) for scores in ([0.5, 0.7], [0.5, 0.3]))
    assert up > down


@pytest.mark.parametrize("reward", EVERY)
def test_before_the_end_nothing_is_needed_that_only_the_end_knows(reward):
    assert np.isfinite(play(reward, [0.2, 0.4, 0.3, 0.5], 0.4, stopped=True)).all()


def test_a_sigmoid_bonus_pays_half_at_the_originals_score_and_more_for_coming_closer():
    reward = SigmoidBonus(step_penalty=0, terminal_bonus=0.1, width=0.05)
    at = [float(reward(score, score, 0.6, True)) for score in (0.0, 0.5, 0.55, 0.6, 0.65, 1.0)]
    assert at == sorted(at)
    assert at[3] == pytest.approx(0.05)
    assert at[1] == pytest.approx(0.1 / (1 + np.exp(2)))
    assert float(reward(0.5, 0.5, 0.6, False)) == 0


def test_a_clipped_difference_is_cut_on_both_sides_and_leaves_small_ones_alone():
    reward = ClippedDifference(step_penalty=0.01, terminal_bonus=0, limit=0.1)
    paid = [float(reward(0.5, score, 1.0, False)) for score in (0.1, 0.45, 0.55, 0.9)]
    assert paid == pytest.approx([-0.11, -0.06, 0.04, 0.09])


def test_a_delayed_reward_pays_the_whole_episode_at_its_end():
    scores, original = [0.2, 0.9, 0.4, 0.7], 0.6
    for stopped in (True, False):
        *before, last = play(DelayedDifference(), scores, original, stopped)
        assert before == [0] * len(before)
        assert last == pytest.approx(0.7 - 0.2 - 0.01 * (len(before) + 1) + 0.1)


def test_stop_only_pays_for_the_photo_where_the_agent_stopped_and_nowhere_else():
    scores = [0.2, 0.4, 0.7]
    assert play(StopOnly(), scores, 0.6, stopped=True) == pytest.approx([0, 0, 0.5 - 0.03 + 0.1])
    assert play(StopOnly(), scores, 0.6, stopped=False) == pytest.approx([0, -0.02])


@given(
    scores=st.lists(SCORES, min_size=2, max_size=6),
    original=SCORES,
    gamma=st.floats(0.1, 1),
    shaping=st.floats(-2, 2),
    stopped=st.booleans(),
)
def test_shaping_adds_the_same_to_all_episodes_from_a_state(scores, original, gamma, shaping, stopped):
    """The policy invariance theorem (Ng, Harada and Russell 1999): −Φ(s₀), whatever the agent does."""
    plain = play(DelayedDifference(gamma=gamma), scores, original, stopped)
    shaped = play(DelayedDifference(gamma=gamma, shaping=shaping), scores, original, stopped)
    added = sum(gamma**k * (b - a) for k, (a, b) in enumerate(zip(plain, shaped, strict=True)))
    assert added == pytest.approx(-shaping * scores[0], abs=1e-5)


def test_shaping_changes_no_greedy_choice_and_a_potential_left_at_the_end_would():
    """The end of the best way through a small tree, by discounted return."""
    gamma, leaves = 0.8, list(itertools.product([0.1, 0.5, 0.9], [0.2, 0.6, 1.0]))

    def best(shaping, at_end=0.0):
        def value(way):
            paid = play(DelayedDifference(gamma=gamma, shaping=shaping), [0.3, *way], 0.7, stopped=False)
            return sum(gamma**k * reward for k, reward in enumerate(paid)) + gamma**2 * at_end * way[-1]

        return max(leaves, key=value)[-1]  # ways to the same end are worth the same

    assert best(0.0) == best(1.5) == best(-1.5)
    assert best(0.0, at_end=-5.0) != best(0.0)


@pytest.mark.parametrize("reward", EVERY)
@pytest.mark.parametrize(("change", "price"), [(0.25, 1.0), (0.15, 0.0)])
def test_beyond_the_limit_on_change_the_end_costs_more_than_any_edit_earns(reward, change, price):
    limited = type(reward)(**{**vars(reward), "change_limit": 0.2, "change_price": 1.0})
    free = type(reward)(**{**vars(reward), "change_limit": 1.0})
    paid = [play(r, [0.2, 0.5, 0.7], 0.6, stopped=True, change=change) for r in (free, limited)]
    np.testing.assert_allclose(np.subtract(*paid), [0, 0, price], atol=1e-6)


@pytest.mark.parametrize("reward", EVERY)
@given(
    scores=st.lists(SCORES, min_size=2, max_size=6),
    original=SCORES,
    gamma=st.floats(0, 1),
    stopped=st.booleans(),
    change=st.floats(0, 1),
)
def test_no_value_leaves_the_bounds(reward, scores, original, gamma, stopped, change):
    if isinstance(reward, DelayedDifference):  # its gamma is the agent's
        reward = type(reward)(**{**vars(reward), "gamma": gamma})
    paid = play(reward, scores, original, stopped, change)
    low, high = reward.bounds((0, 1), 6)
    q_low, q_high = reward.q_bounds((0, 1), 6)
    for k in range(len(paid)):
        q = sum(gamma**i * r for i, r in enumerate(paid[k:]))
        value = q + scores[k] if reward.telescopes else q
        assert low - 1e-5 <= value <= high + 1e-5
        assert q_low - 1e-5 <= q <= q_high + 1e-5


@pytest.mark.parametrize("reward", [reward for reward in EVERY if reward.telescopes])
@given(
    ways=st.tuples(SCORES, SCORES),
    rest=st.lists(SCORES, min_size=1, max_size=4),
    degraded=SCORES,
    original=SCORES,
    stopped=st.booleans(),
)
def test_where_rewards_telescope_the_value_of_a_result_does_not_depend_on_where_it_came_from(
    reward, ways, rest, degraded, original, stopped
):
    gamma = getattr(reward, "gamma", 0.9)
    values = []
    for before in ways:
        paid = play(reward, [degraded, before, *rest], original, stopped)[1:]
        values.append(before + sum(gamma**k * r for k, r in enumerate(paid)))
    assert values[0] == pytest.approx(values[1], abs=1e-5)


@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_is_made_by_name_and_says_its_formula(name):
    reward = make_reward(name, step_penalty=0.5, terminal_bonus=0.25, change_price=0.125)
    assert type(reward) is REWARDS[name]
    assert (reward.step_penalty, reward.terminal_bonus, reward.change_price) == (0.5, 0.25, 0.125)
    assert "r = " in type(reward).__doc__


def test_bug_5_the_agents_discount_reaches_the_reward():
    """A sampled gamma never reached the predecessor's model."""
    assert make_reward("delayed", gamma=0.6, options={"shaping": 1}) == DelayedDifference(shaping=1, gamma=0.6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("differnce", {}, "unknown reward 'differnce'.*'difference'.*stop_only"),
        ("clipped", {"limits": 1}, "'clipped' has no option 'limits'.*it has limit"),
        ("difference", {"limit": 1}, "'difference' has no option 'limit'; it has none"),
        ("clipped", {"limit": 0}, "'clipped': limit must be above 0"),
        ("clipped", {"limit": "much"}, "'limit' of reward 'clipped' must be a number, got 'much'"),
        ("delayed", {"gamma": 0.5}, "has no option 'gamma'.*it has shaping"),
    ],
)
def test_a_reward_that_cannot_be_is_told_in_one_line(name, options, message):
    with pytest.raises(UserError, match=message) as raised:
        make_reward(name, options=options)
    assert "\n" not in str(raised.value)


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
