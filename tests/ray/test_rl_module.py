"""The RLlib module's targets against targets computed by hand. Imports RLlib, starts no cluster."""

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from ray_cluster.rl_module import LOSS, NEXT_ACTIONS, NEXT_SCORES, SCORES, TD_ERROR, TD_TARGET, QModule
from rl_aesthetics.env import Task
from rl_aesthetics.networks import EditScoring, make_network

pytestmark = pytest.mark.ray
TASK, BATCH = Task(), 12


def module_of(network="simple_cnn", *, gamma=0.9, double_q=True, remember=False, inference_only=False, **options):
    """A module whose target network differs from its online network."""
    observation_space, action_space = TASK.spaces()
    torch.manual_seed(0)
    module = RLModuleSpec(
        module_class=QModule,
        observation_space=observation_space,
        action_space=action_space,
        inference_only=inference_only,
        model_config={
            "network": network,
            "network_options": options,
            "actions": TASK.actions,
            "gamma": gamma,
            "double_q": double_q,
            "remember_next_action": remember,
        },
    ).build()
    if not inference_only:
        module.make_target_networks()
        torch.manual_seed(1)
        module._target_network.load_state_dict(make_network(network, TASK.actions, **options).state_dict())
    return module


def some_batch(seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, BATCH, 3, 64, 64), np.uint8)
    columns = {
        Columns.OBS: images[0],
        Columns.NEXT_OBS: images[1],
        Columns.ACTIONS: rng.integers(0, 15, BATCH),
        NEXT_ACTIONS: np.where(np.arange(BATCH) % 3 == 0, -1, rng.integers(0, 15, BATCH)),
        Columns.REWARDS: rng.normal(size=BATCH).astype(np.float32),
        SCORES: rng.random(BATCH, np.float32),
        NEXT_SCORES: rng.random(BATCH, np.float32),
        Columns.TERMINATEDS: np.arange(BATCH) % 3 == 0,
    }
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def values(network, observations):
    """float `(B, A)`, with running statistics where the network has any."""
    training = network.training
    network.eval()
    with torch.no_grad():
        answer = network(observations).numpy()
    network.train(training)
    return answer


def bellman(module, batch, chosen):
    """r + γ Q_target(s', chosen), and r alone at the end of an episode, one transition at a time."""
    gamma = module.model_config["gamma"]
    following = values(module._target_network, batch[Columns.NEXT_OBS])
    reward, terminated = batch[Columns.REWARDS].numpy(), batch[Columns.TERMINATEDS].numpy()
    includes_score = module.network.values_include_score
    score, next_score = batch[SCORES].numpy(), batch[NEXT_SCORES].numpy()
    targets = []
    for k in range(BATCH):
        q_next = following[k, chosen[k]] - (next_score[k] if includes_score else 0)
        q = reward[k] if terminated[k] else reward[k] + gamma * q_next
        targets.append(q + (score[k] if includes_score else 0))
    return np.array(targets)


def trained_on(module, batch):
    return {name: tensor.detach().numpy() for name, tensor in module.forward_train(batch).items()}


@pytest.mark.parametrize("network", ["simple_cnn", "edit_scoring"])
@pytest.mark.parametrize("gamma", [0.37, 0.99])
def test_double_q_lets_the_online_network_choose_and_the_target_network_value(network, gamma):
    module, batch = module_of(network, gamma=gamma), some_batch()
    chosen = values(module.network, batch[Columns.NEXT_OBS]).argmax(1)
    targets = trained_on(module, batch)[TD_TARGET]
    np.testing.assert_allclose(targets, bellman(module, batch, chosen), atol=1e-5)
    assert (chosen != values(module._target_network, batch[Columns.NEXT_OBS]).argmax(1)).any()  # else it proves nothing


@pytest.mark.parametrize("network", ["simple_cnn", "edit_scoring"])
def test_single_q_takes_the_target_networks_best(network):
    module, batch = module_of(network, double_q=False), some_batch()
    chosen = values(module._target_network, batch[Columns.NEXT_OBS]).argmax(1)
    np.testing.assert_allclose(trained_on(module, batch)[TD_TARGET], bellman(module, batch, chosen), atol=1e-5)


@pytest.mark.parametrize("network", ["simple_cnn", "edit_scoring"])
def test_a_remembered_next_action_is_valued_as_it_is(network):
    module, batch = module_of(network, remember=True), some_batch()
    expected = bellman(module, batch, batch[NEXT_ACTIONS].numpy())
    np.testing.assert_allclose(trained_on(module, batch)[TD_TARGET], expected, atol=1e-5)


def test_nothing_lies_beyond_a_terminal_step():
    module, batch = module_of(), some_batch()
    elsewhere = {**batch, Columns.NEXT_OBS: torch.zeros_like(batch[Columns.NEXT_OBS])}
    ended = batch[Columns.TERMINATEDS].numpy()
    there, here = trained_on(module, elsewhere)[TD_TARGET], trained_on(module, batch)[TD_TARGET]
    np.testing.assert_allclose(here[ended], batch[Columns.REWARDS].numpy()[ended], rtol=1e-6)
    np.testing.assert_array_equal(here[ended], there[ended])
    assert (here[~ended] != there[~ended]).all()


def test_the_loss_is_hubers_of_the_taken_actions_errors():
    module, batch = module_of(), some_batch()
    taken = values(module.network, batch[Columns.OBS])[np.arange(BATCH), batch[Columns.ACTIONS]]
    outputs = trained_on(module, batch)
    error = taken - outputs[TD_TARGET]
    np.testing.assert_allclose(outputs[TD_ERROR], error, atol=1e-5)
    huber = np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5)
    np.testing.assert_allclose(outputs[LOSS], huber, atol=1e-5)
    assert (abs(error) > 1).any()


def test_with_a_value_range_the_targets_are_the_same_and_the_loss_is_cross_entropy_within_it():
    module, batch = module_of("edit_scoring", remember=True, value_range=(-1, 3)), some_batch()
    outputs = trained_on(module, batch)
    target = bellman(module, batch, batch[NEXT_ACTIONS].numpy())
    np.testing.assert_allclose(outputs[TD_TARGET], target, atol=1e-5)
    share, value = np.clip((target + 1) / 4, 0, 1), (outputs[TD_ERROR] + target + 1) / 4
    assert ((value > 0) & (value < 1)).all()
    cross_entropy = -share * np.log(value) - (1 - share) * np.log(1 - value)
    np.testing.assert_allclose(outputs[LOSS], cross_entropy, rtol=1e-3)


@pytest.mark.parametrize("network", ["simple_cnn", "edit_scoring"])
def test_gradients_reach_the_online_network_alone(network):
    module = module_of(network)
    outputs = module.forward_train(some_batch())
    assert not outputs[TD_TARGET].requires_grad
    outputs[LOSS].mean().backward()
    assert all(p.grad is not None for p in module.network.parameters())
    assert all(p.grad is None for p in module._target_network.parameters())


@pytest.mark.parametrize("remember", [False, True])
def test_choosing_the_next_action_leaves_running_statistics_alone(remember):
    module = module_of("edit_scoring", remember=remember)
    batches_seen = [m.num_batches_tracked for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    module.forward_train(some_batch())
    assert [int(count) for count in batches_seen] == [1] * len(batches_seen)  # one: the taken actions' values
    assert module.network.training
    assert not module._target_network.training


def test_syncing_copies_running_statistics_too():
    module = module_of("edit_scoring")
    module.forward_train(some_batch())
    module.sync_target_network()
    for name, tensor in module.network.state_dict().items():
        torch.testing.assert_close(module._target_network.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


def test_acting_is_greedy_and_the_acting_module_holds_one_network():
    module, batch = module_of(inference_only=True), some_batch()
    assert not hasattr(module, "_target_network")
    assert not module.network.training
    actions = module.forward_inference({Columns.OBS: batch[Columns.OBS]})[Columns.ACTIONS]
    np.testing.assert_array_equal(actions, values(module.network, batch[Columns.OBS]).argmax(1))


def test_the_edit_scoring_network_values_results_not_actions():
    """Undoing an edit leads to the same image whatever the photo looks like now, so it is worth the same."""
    network = EditScoring(TASK.actions).eval()
    photo = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8))
    edits = torch.arange(14)
    edited = network.edited(photo.repeat_interleave(14, 0), edits)
    with torch.no_grad():
        undone = network.taken(edited, edits)
    torch.testing.assert_close(undone, undone[:1].expand(14), rtol=1e-4, atol=1e-5)
