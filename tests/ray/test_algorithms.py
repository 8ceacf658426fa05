"""Each part of Rainbow and each kind of network in a short training of its own, on real Ray."""

import time

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from ray_cluster.cluster.topology import one_machine, plan
from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.learner.build import build_algorithm
from ray_cluster.replay.transition import WEIGHTS
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.plan.run_plan import RunPlan
from rl_aesthetics.plan.tasks import task_of
from rl_aesthetics.scores.scorer import FunctionScorer

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.ray, pytest.mark.slow]

TINY_RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


@pytest.fixture(scope="module")
def juror():
    def brightness():
        return FunctionScorer(lambda image: float(image[..., 0].mean()) / 255, fingerprint="red")

    return start_jurors(brightness, num_cpus=0.1)


@pytest.fixture(scope="module")
def photos():
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (128, 128, 3), np.uint8) for _ in range(8)]
    return RLDataset.from_arrays(images, [[REVERSIBLE[k]] for k in range(8)])


@pytest.fixture
def started(photos, juror):
    """Builds an algorithm from overrides and lets it train for some updates."""
    running = []

    def start(*overrides, updates=24):
        config = load_config(
            None,
            [
                "juror.num_cpus=0.1",
                "juror.score_range=[0, 1]",
                "ray.cpus_per_rollout_worker=0.3",
                "ray.num_rollout_workers=1",
                "training.batch_size=16",
                "training.target_update_frequency=5",
                "learner.learning_starts=60",
                "learner.updates_per_call=4",
                *overrides,
            ],
        )
        algorithm = build_algorithm(RunPlan.of(config, photos), juror, plan(config, one_machine(2)))
        running.append(algorithm)
        deadline = time.monotonic() + 200
        while algorithm.trained < updates * 16:
            assert time.monotonic() < deadline
            algorithm.training_step(0.2)
        assert np.isfinite(algorithm.take_losses()).all()
        return algorithm

    yield start
    for algorithm in running:
        algorithm.stop()


def module_of(algorithm):
    return algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()


def agent_of(algorithm):
    """The algorithm's network as evaluation gets it."""
    network, shape = algorithm.settings.learner.network.portable(), algorithm.settings.observation_shape
    agent = DQNAgent(AgentDescription(network, task_of(algorithm.settings).actions, shape, 5, "red"))
    weights = algorithm.network_weights()
    agent.network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return agent


def test_rainbow_learns_and_its_agent_acts_without_noise(started, tmp_path, monkeypatch):
    algorithm = started(
        "learner.network.dueling=true",
        "learner.network.num_atoms=21",
        "learner.network.noisy=true",
        "learner.prioritized=true",
        "learner.n_step=3",
    )
    assert (algorithm.epsilon, algorithm.temperature) == (0.0, None)
    sigmas = [p for name, p in module_of(algorithm).network.named_parameters() if name.endswith("sigma")]
    assert all((sigma != sigma.flatten()[0]).any() for sigma in sigmas)  # all began with one value
    actions = algorithm.replay.transitions["action"][: len(algorithm.replay)]
    assert len(np.unique(actions)) > 5  # the noise explores

    agent = agent_of(algorithm)
    observations = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    np.testing.assert_array_equal(agent.values(observations), agent.values(observations))
    agent.save(tmp_path / "agent.safetensors")
    loaded = DQNAgent.load(tmp_path / "agent.safetensors")
    np.testing.assert_array_equal(loaded.values(observations), agent.values(observations))

    rows, priorities = np.arange(len(algorithm.replay)), algorithm.replay.priorities
    assert len(np.unique(priorities[rows])) > 20
    seen, update = [], algorithm.learner_group.update

    def noting(**kwargs):
        results = update(**kwargs)
        seen.append((kwargs["batch"].policy_batches[DEFAULT_MODULE_ID][WEIGHTS], results[0]["td_error"]))
        return results

    monkeypatch.setattr(algorithm.learner_group, "update", noting)
    sampled, sample = [], algorithm.replay.sample
    monkeypatch.setattr(algorithm.replay, "sample", lambda *args: sampled.append(sample(*args)) or sampled[-1])
    algorithm.progress = 0.5
    assert algorithm.learning.priority_beta(algorithm.progress) == pytest.approx(0.7)
    algorithm._learn(3)
    ((weights, errors),) = seen
    assert weights.view(3, 16).amax(1).tolist() == [1, 1, 1]
    assert (weights > 0).all()
    for row, error in dict(
        zip(sampled[0].tolist(), errors.tolist(), strict=True)
    ).items():  # of one drawn twice the last
        assert priorities[np.array([row])][0] == pytest.approx((abs(error) + 1e-3) ** 0.6, rel=1e-4)


def test_afterstate_learns_from_prioritised_n_step_returns_with_remembered_actions(started):
    algorithm = started(
        "learner.network=afterstate",
        "learner.network.value_range=auto",
        "learner.replay=reference",
        "learner.target_action=stored",
        "learner.prioritized=true",
        "learner.n_step=2",
        updates=8,
    )
    assert len(np.unique(algorithm.replay.priorities[np.arange(len(algorithm.replay))])) > 20


@pytest.mark.parametrize("replay", ["frames", "reference"])
def test_other_observation_sizes_are_learned_from(started, replay, tmp_path):
    algorithm = started(f"learner.replay={replay}", "state.shape=[3, 96, 96]", updates=8)
    agent = agent_of(algorithm)
    agent.save(tmp_path / "agent.safetensors")
    observations = np.zeros((2, 3, 96, 96), np.uint8)
    assert DQNAgent.load(tmp_path / "agent.safetensors").act(observations).shape == (2,)


def test_a_frozen_pretrained_backbone_stays_while_its_head_learns(started, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    published = transformers.ResNetForImageClassification(transformers.ResNetConfig(**TINY_RESNET))
    published.save_pretrained(tmp_path / "weights")
    algorithm = started(
        "learner.network=resnet18",
        f"learner.network.pretrained={tmp_path / 'weights'}",
        "learner.network.frozen=true",
        "state.shape=[3, 32, 32]",
        updates=8,
    )
    network = module_of(algorithm).network
    for name, tensor in published.resnet.state_dict().items():
        torch.testing.assert_close(network.trunk.model.state_dict()[name], tensor, rtol=0, atol=0, msg=name)
    assert module_of(algorithm).network.head.advantage[0].weight.grad.any()
    agent_of(algorithm).save(tmp_path / "agent.safetensors")
    for file in (tmp_path / "weights").iterdir():
        file.unlink()
    loaded = DQNAgent.load(tmp_path / "agent.safetensors")  # which needs the published weights no more
    assert loaded.values(np.zeros((1, 3, 32, 32), np.uint8)).shape == (1, 15)
