"""`examples/one_process.py` is the actor-learner in one readable loop: the same transitions, the same updates."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from natural_scenes import make_scorer, scenes, started

from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.networks.registry import make_network

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.ray, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "examples" / "one_process.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("one_process", EXAMPLE)
    sys.modules["one_process"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loop_of(example, settings, tensors=None):
    task = Task()
    torch.manual_seed(0)
    network = make_network("simple_cnn", task.actions, task.observation_size)
    if tensors is not None:
        network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    env = ImageEditVectorEnv(scenes(0, 12), make_scorer(), task, settings.episodes_side_by_side)
    return example.Loop(env, network, settings)


def test_its_first_updates_are_the_actor_learners_in_lockstep(example):
    settings = example.Settings(learning_starts=60, epsilon_decay=0.95, target_update_frequency=7, seed=3)
    algorithm = started(
        scenes(0, 12),
        make_scorer,
        1,
        "learner.lockstep=true",
        f"learner.seed={settings.seed}",
        f"learner.learning_starts={settings.learning_starts}",
        f"learner.samples_per_insert={settings.samples_per_insert}",
        f"training.gamma={settings.gamma}",
        f"training.epsilon_decay={settings.epsilon_decay}",
        f"training.target_update_frequency={settings.target_update_frequency}",
    )
    try:
        loop = loop_of(example, settings, algorithm.network_weights())
        while loop.updates < 40:
            algorithm.training_step()
            loop.turn()
        assert (algorithm.trained, algorithm.episodes_done) == (loop.trained, loop.episodes)
        for name, tensor in algorithm.network_weights().items():
            np.testing.assert_array_equal(loop.network.state_dict()[name].numpy(), tensor, name)
    finally:
        algorithm.stop()


def test_it_learns(example):
    loop = loop_of(example, example.Settings(learning_starts=100, epsilon_decay=0.99))
    while loop.episodes < 1_000:
        loop.turn()
    assert np.mean(loop.improved) > 0.6
