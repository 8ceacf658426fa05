"""The benchmarks' peers get the environment that we train on. Needs the `bench` extra; starts no cluster."""

from pathlib import Path

import numpy as np
import pytest

from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS

pytestmark = pytest.mark.ray
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def trained():
    """Stable-Baselines3 after half a second of random actions."""
    pytest.importorskip("stable_baselines3")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        from peers import StableBaselines
        from setting import Setting, made_up_photos

        setting = Setting(made_up_photos(20, 0), episodes=5, capacity=5000)
        system = StableBaselines(setting, exploration_final_eps=1.0, learning_starts=10**9)
        system.advance(0.5)
        yield system
        system.close()


def rows(system):
    """Observations before and after, actions, rewards and ends in its replay buffer, `(T, N, …)` each."""
    buffer = system.model.replay_buffer
    assert not buffer.full
    assert buffer.pos > 10
    columns = (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards, buffer.dones)
    return [column[: buffer.pos] for column in columns]


def test_what_follows_an_action_is_its_edit_also_in_the_last_step_of_an_episode(trained):
    before, after, actions, _, dones = rows(trained)
    elements = [algebra.ORIGINAL if name == STOP else TRANSFORMS[name].element for name in trained.setting.task.actions]
    edited = algebra.render_rgb(before.reshape(-1, 3, 64, 64), np.array(elements)[actions.ravel()])
    np.testing.assert_array_equal(edited, after.reshape(-1, 3, 64, 64))
    assert dones.sum() > 5


def test_an_episode_begins_where_the_last_one_ended_and_nothing_is_cut_off_by_time(trained):
    before, after, _, _, dones = rows(trained)
    going = dones[:-1] == 0
    np.testing.assert_array_equal(before[1:][going], after[:-1][going])
    assert (before[1:][~going] != after[:-1][~going]).any(axis=(1, 2, 3)).mean() > 0.9
    assert not trained.model.replay_buffer.timeouts.any()


def test_rewards_and_ends_are_the_environments(trained):
    _, _, actions, rewards, dones = rows(trained)
    assert (dones[actions[..., 0] == len(trained.setting.task.actions) - 1] == 1).all()
    assert np.abs(rewards).max() <= 1.2  # scores lie in (0, 1)
    assert (np.diff(np.flatnonzero(dones[:, 0])) <= 5).all()
