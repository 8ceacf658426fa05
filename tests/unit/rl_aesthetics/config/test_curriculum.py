"""When the curriculum goes on to a greater depth, and which episodes it makes."""

import numpy as np
import pytest
from scenes import dataset, scorer

from rl_aesthetics.config.config import load_config
from rl_aesthetics.config.curriculum import Curriculum, DepthRule
from rl_aesthetics.edits import algebra
from rl_aesthetics.episodes.start_states import EpisodeSampler
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import juror_policy

STARTS = dataset([("swap_gb",)] * 6).start_states()


def measured(depth, success):
    return {"curriculum_depth": depth, "curriculum_val_recovered": success}


def test_the_depth_rises_by_one_when_success_reaches_the_threshold():
    rule = DepthRule(Curriculum(threshold=0.8), deepest=3)
    assert rule.following(1, measured(1, 0.79)) == 1
    assert rule.following(1, measured(1, 0.8)) == 2
    assert rule.following(2, measured(2, 1.0)) == 3
    assert rule.following(3, measured(3, 1.0)) == 3


def test_what_was_measured_at_another_depth_or_not_at_all_does_not_count():
    rule = DepthRule(Curriculum(threshold=0.8), deepest=3)
    assert rule.following(2, measured(1, 1.0)) == 2
    assert rule.following(2, {"curriculum_depth": 2}) == 2


def test_patience_asks_for_epochs_in_a_row():
    rule = DepthRule(Curriculum(threshold=0.8, patience=2), deepest=3)
    depths = [rule.following(1, measured(1, success)) for success in (0.9, 0.1, 0.9, 0.9)]
    assert depths == [1, 1, 1, 2]
    assert rule.following(2, measured(2, 0.9)) == 2  # and it begins anew at each depth


def test_a_rule_that_goes_on_from_anothers_state_decides_as_that_one_would():
    before = DepthRule(Curriculum(threshold=0.8, patience=2), deepest=3)
    assert before.following(1, measured(1, 0.9)) == 1
    after = DepthRule(Curriculum(threshold=0.8, patience=2), deepest=3)
    after.restore(before.state())
    assert after.following(1, measured(1, 0.9)) == before.following(1, measured(1, 0.9)) == 2


def test_the_sampler_degrades_as_deep_as_it_is_told_and_reviews_smaller_depths():
    sampler = EpisodeSampler(STARTS, review=0.25)
    sampler.seed(0)
    assert {sampler()[1] for _ in range(50)} == set(STARTS.tolist())  # as recorded
    sampler.depth = 3
    depths = np.array([algebra.DEPTH[sampler()[1]] for _ in range(2000)])
    assert set(depths.tolist()) == {1, 2, 3}
    assert (depths < 3).mean() == pytest.approx(0.25, abs=0.05)
    sampler.depth = 1
    assert {int(algebra.DEPTH[sampler()[1]]) for _ in range(200)} == {1}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["curriculum.max_depth=6"], r"max_depth \(6\), nor that the max_steps_per_episode \(5\)"),
        (["curriculum.start_depth=3", "curriculum.max_depth=2"], r"start_depth \(3\) must not exceed max_depth \(2\)"),
        (
            ["curriculum.enabled=true", "action_space.transforms=[swap_gb]"],
            "curriculum.enabled needs rl_training.action_space.transforms=reversible",
        ),
        (["curriculum.threshold=1.5"], "curriculum.threshold: .*less than or equal to 1"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as raised:
        load_config(None, overrides)
    assert "\n" not in str(raised.value)


def test_validation_at_a_depth_has_the_same_photos_each_degraded_that_deep():
    photos = dataset([("swap_gb",)] * 6)
    evaluation = Evaluation(photos, scorer(), Task())
    recorded = evaluation.starts_N.copy()
    deeper = evaluation.at_depth(3)
    assert set(algebra.DEPTH[deeper.starts_N].tolist()) == {3}
    assert (deeper.starts_N == evaluation.at_depth(3).starts_N).all()  # the same question each time
    assert (evaluation.starts_N == recorded).all()
    assert deeper.run(juror_policy(deeper.space, deeper.scores)).success().improved > 0.9
