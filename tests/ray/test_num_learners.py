"""Two learners share each batch, data parallel, on CPUs."""

import numpy as np
import pytest
from natural_scenes import make_scorer, scenes, started
from ray.rllib.core import DEFAULT_MODULE_ID

from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.ray, pytest.mark.slow]

BATCH = 32


@pytest.fixture(scope="module")
def algorithm():
    algorithm = started(
        scenes(0, 12),
        make_scorer,
        1,
        "ray.num_learners=2",
        "ray.cpus_per_learner=0.2",
        f"training.batch_size={BATCH}",
        "learner.prioritized=true",
        "learner.learning_starts=100",
        "learner.replay=frames",
    )
    yield algorithm
    algorithm.stop()


def weights_of_all(algorithm):
    def copy(learner):
        network = learner.module[DEFAULT_MODULE_ID].unwrapped().network
        return {
            name: tensor.detach().cpu().numpy().copy() for name, tensor in network.named_parameters()
        }, learner.updates

    return [result.get() for result in algorithm.learner_group.foreach_learner(copy)]


def test_both_learners_take_every_step_and_stay_equal(algorithm):
    (before, _), _ = weights_of_all(algorithm)
    while algorithm.trained < 20 * BATCH:
        algorithm.train()
    (one, steps), (other, steps_of_other) = weights_of_all(algorithm)
    assert steps == steps_of_other == algorithm.trained / BATCH
    assert any((one[name] != before[name]).any() for name in one)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_each_transition_of_the_batch_gets_a_priority_of_its_own(algorithm):
    replay = algorithm.replay
    priorities = replay.get_state()["priorities"]
    assert len(np.unique(priorities)) > BATCH
    assert np.isfinite(priorities).all()


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match=r"batch_size must be a multiple of ray\.num_learners"):
        load_config(None, ["ray.num_learners=3", "training.batch_size=32"])
