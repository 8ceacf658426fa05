"""What the afterstate network's values mean under each reward, and between which they lie."""

import pytest

from juror_service.jurors.registry import score_range
from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.settings import AfterstateSettings
from rl_aesthetics.networks.trunks import NARROW, WIDTHS
from rl_aesthetics.plan.resolve_values import resolve_values
from rl_aesthetics.plan.tasks import task_of

AFTERSTATE = "learner.network=afterstate"
AUTO = "learner.network.value_range=auto"


def resolved(*overrides):
    config = load_config(None, [AFTERSTATE, *overrides])
    return resolve_values(config, task_of(config), score_range(config.juror.name)).learner.network


def test_the_range_is_derived_from_the_reward_with_a_margin():
    # The pocket juror's scores lie in (0, 1); five steps cost 0.05 at most, the bonus is 0.1 less one step.
    low, high = resolved(AUTO).value_range
    assert (low, high) == pytest.approx((-0.05 - 0.05 * 1.14, 1.09 + 0.05 * 1.14))
    assert resolved(AUTO, "reward.terminal_bonus=2.0").value_range[1] > 2.9


def test_the_juror_or_the_user_says_where_scores_lie():
    wide = resolved(AUTO, "juror.score_range=[1, 10]").value_range
    assert wide[0] < 1
    assert wide[1] > 10
    with pytest.raises(UserError, match=r"what the scores of juror 'remote' lie: give juror.score_range=\[LOW, HIGH\]"):
        resolved(AUTO, "juror.name=remote")


def test_a_range_that_the_reward_leaves_is_refused_and_a_wider_one_is_kept():
    assert resolved("learner.network.value_range=[-0.1, 1.1]").value_range == (-0.1, 1.1)
    with pytest.raises(UserError, match=r"lie between -0.05 and 1.49, .*=\[-0.1, 1.1\] does not hold: write .*auto"):
        resolved("learner.network.value_range=[-0.1, 1.1]", "reward.terminal_bonus=0.5")


@pytest.mark.parametrize("reward", ["clipped", "delayed", "stop_only"])
def test_where_rewards_do_not_telescope_the_network_learns_q_alone(reward):
    found = resolved(AUTO, f"reward.name={reward}")
    assert found.values_include_score is False
    assert found.value_range[0] < -0.9  # an episode may lose all of the score
    with pytest.raises(UserError, match="does not add up to the score"):
        resolved("learner.network.values_include_score=true", f"reward.name={reward}")


def test_with_the_score_as_its_potential_a_delayed_reward_telescopes():
    assert resolved("reward.name=delayed", "reward.options={shaping: 1}") == AfterstateSettings(widths=NARROW)


def test_a_juror_is_no_start_for_a_network_that_does_not_learn_scores():
    with pytest.raises(UserError, match="warm_start needs a reward whose differences add up"):
        resolved("learner.network.warm_start=true", "reward.name=stop_only")


def test_convolutions_are_narrow_unless_they_begin_as_the_jurors():
    assert resolved().widths == NARROW
    assert resolved("learner.network.warm_start=true").widths == WIDTHS
    with pytest.raises(UserError, match=r"leave learner.network.widths out, or write \[32, 64, 96, 128, 128\]"):
        resolved("learner.network.warm_start=true", "learner.network.widths=[8, 8]")


def test_resolving_twice_is_resolving_once_and_other_networks_are_left_alone():
    config = load_config(None, [AFTERSTATE, AUTO])
    task = task_of(config)
    once = resolve_values(config, task, score_range(config.juror.name))
    assert resolve_values(once, task, score_range(once.juror.name)) == once
    other = load_config(None, ["reward.name=clipped"])
    assert resolve_values(other, task_of(other), score_range(other.juror.name)) == other
