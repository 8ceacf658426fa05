"""What follows from a configuration and its photos is settled once, and travels as one object."""

import pickle

import pytest
from scenes import dataset

from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError
from rl_aesthetics.plan.run_plan import RunPlan

REVERSIBLE = dataset([("swap_gb",), ("invert_r", "swap_gb"), ("shift_left_b",)])


def planned(*overrides, photos=REVERSIBLE, score_range=(0.0, 1.0)):
    return RunPlan.of(load_config(None, overrides), photos, score_range)


def test_the_network_of_its_configuration_is_settled_and_planning_again_changes_nothing():
    plan = planned("learner.network=afterstate", "learner.network.value_range=auto")
    assert plan.config.learner.network.value_range != "auto"
    assert RunPlan.of(plan.config, REVERSIBLE, (0.0, 1.0)).config == plan.config


def test_what_travels_to_the_workers_is_the_same_plan():
    plan = planned("learner.crops=3", "learner.replay=reference")
    travelled = pickle.loads(pickle.dumps(plan))
    assert (travelled.config, travelled.task.actions) == (plan.config, plan.task.actions)
    assert travelled.space.actions == plan.space.actions
    assert travelled.crops.variants == 3
    assert (travelled.photos().start_states() == plan.photos().start_states()).all()


def test_it_knows_how_far_photos_are_from_their_originals():
    assert (planned().deepest, planned().approximates) == (2, False)
    given = planned("action_space.transforms=tonal")
    assert (given.deepest, given.approximates) == (1, True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learner.crops=2", "action_space.transforms=tonal"], "learner.crops is for reversible edits"),
        (["learner.undegraded_share=0.1"], "are for photographic edits with learner.fresh_degradations=true"),
        (["learner.collage_share=0.1", "action_space.transforms=tonal"], "are for photographic edits with"),
        (["learner.replay=reference", "action_space.transforms=tonal"], "learner.replay=reference needs reversible"),
    ],
)
def test_what_does_not_fit_these_edits_is_told_in_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as told:
        planned(*overrides)
    assert "\n" not in str(told.value)
