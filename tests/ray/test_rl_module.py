"""The RLlib module's targets against targets computed by hand. Imports RLlib, starts no cluster."""

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ray_cluster.learner.dqn import DQNModule, columns_of
from ray_cluster.learner.q_learner import QLearner, moving_average
from ray_cluster.learner.q_module import LOSS, TD_ERROR, TD_TARGET
from ray_cluster.replay.replay import ReplayBuffer
from ray_cluster.replay.transition import DISCOUNTS, NEXT_ACTIONS, NEXT_SCORES, SCORES, TRANSITION, WEIGHTS
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.networks.heads import set_noise
from rl_aesthetics.networks.registry import make_network, network_settings

pytestmark = pytest.mark.ray
TASK, BATCH = Task(), 12


def module_of(network="simple_cnn", *, target_action="online", inference_only=False, **options):
    """A module whose target network differs from its online network."""
    observation_space, action_space = TASK.spaces()
    torch.manual_seed(0)
    module = RLModuleSpec(
        module_class=DQNModule,
        observation_space=observation_space,
        action_space=action_space,
        inference_only=inference_only,
        model_config={
            "network": network_settings(network, **options),
            "actions": TASK.actions,
            "target_action": target_action,
        },
    ).build()
    if not inference_only:
        module.make_target_networks()
        torch.manual_seed(1)
        module._target_network.load_state_dict(make_network(network, TASK.actions, **options).state_dict())
    return module


def some_batch(seed=0, gamma=0.9):
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
        DISCOUNTS: np.where(np.arange(BATCH) % 3 == 0, 0, gamma).astype(np.float32),
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
    following = values(module._target_network, batch[Columns.NEXT_OBS])
    reward, discount = batch[Columns.REWARDS].numpy(), batch[DISCOUNTS].numpy()
    includes_score = module.network.values_include_score
    score, next_score = batch[SCORES].numpy(), batch[NEXT_SCORES].numpy()
    targets = []
    for k in range(BATCH):
        q_next = following[k, chosen[k]] - (next_score[k] if includes_score else 0)
        q = reward[k] + discount[k] * q_next if discount[k] else reward[k]
        targets.append(q + (score[k] if includes_score else 0))
    return np.array(targets)


def trained_on(module, batch):
    return {name: tensor.detach().numpy() for name, tensor in module.forward_train(batch).items()}


@pytest.mark.parametrize("network", ["simple_cnn", "afterstate"])
@pytest.mark.parametrize("gamma", [0.37, 0.99])
def test_double_q_lets_the_online_network_choose_and_the_target_network_value(network, gamma):
    module, batch = module_of(network), some_batch(gamma=gamma)
    chosen = values(module.network, batch[Columns.NEXT_OBS]).argmax(1)
    targets = trained_on(module, batch)[TD_TARGET]
    np.testing.assert_allclose(targets, bellman(module, batch, chosen), atol=1e-5)
    assert (chosen != values(module._target_network, batch[Columns.NEXT_OBS]).argmax(1)).any()  # else it proves nothing


@pytest.mark.parametrize("network", ["simple_cnn", "afterstate"])
def test_single_q_takes_the_target_networks_best(network):
    module, batch = module_of(network, target_action="target"), some_batch()
    chosen = values(module._target_network, batch[Columns.NEXT_OBS]).argmax(1)
    np.testing.assert_allclose(trained_on(module, batch)[TD_TARGET], bellman(module, batch, chosen), atol=1e-5)


@pytest.mark.parametrize("network", ["simple_cnn", "afterstate"])
def test_a_stored_next_action_is_valued_as_it_is(network):
    module, batch = module_of(network, target_action="stored"), some_batch()
    expected = bellman(module, batch, batch[NEXT_ACTIONS].numpy())
    np.testing.assert_allclose(trained_on(module, batch)[TD_TARGET], expected, atol=1e-5)


def test_nothing_lies_beyond_a_terminal_step():
    module, batch = module_of(), some_batch()
    elsewhere = {**batch, Columns.NEXT_OBS: torch.zeros_like(batch[Columns.NEXT_OBS])}
    ended = batch[DISCOUNTS].numpy() == 0
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
    module, batch = module_of("afterstate", target_action="stored", value_range=(-1, 3)), some_batch()
    outputs = trained_on(module, batch)
    target = bellman(module, batch, batch[NEXT_ACTIONS].numpy())
    np.testing.assert_allclose(outputs[TD_TARGET], target, atol=1e-5)
    share, value = np.clip((target + 1) / 4, 0, 1), (outputs[TD_ERROR] + target + 1) / 4
    assert ((value > 0) & (value < 1)).all()
    cross_entropy = -share * np.log(value) - (1 - share) * np.log(1 - value)
    np.testing.assert_allclose(outputs[LOSS], cross_entropy, rtol=1e-3)


@pytest.mark.parametrize("network", ["simple_cnn", "afterstate"])
def test_gradients_reach_the_online_network_alone(network):
    module = module_of(network)
    outputs = module.forward_train(some_batch())
    assert not outputs[TD_TARGET].requires_grad
    outputs[LOSS].mean().backward()
    assert all(p.grad is not None for p in module.network.parameters())
    assert all(p.grad is None for p in module._target_network.parameters())


@pytest.mark.parametrize("target_action", ["online", "stored"])
def test_choosing_the_next_action_leaves_running_statistics_alone(target_action):
    module = module_of("afterstate", target_action=target_action)
    batches_seen = [m.num_batches_tracked for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    module.forward_train(some_batch())
    assert [int(count) for count in batches_seen] == [1] * len(batches_seen)  # one: the taken actions' values
    assert module.network.training
    assert not module._target_network.training


def test_syncing_copies_running_statistics_too():
    module = module_of("afterstate")
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


def test_the_afterstate_network_values_results_not_actions():
    """Undoing an edit leads to the same image whatever the photo looks like now, so it is worth the same."""
    network = make_network("afterstate", TASK.actions).eval()
    photo = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8))
    edits = torch.arange(14)
    edited = network.edited(photo.repeat_interleave(14, 0), edits)
    with torch.no_grad():
        undone = network.taken(edited, edits)
    torch.testing.assert_close(undone, undone[:1].expand(14), rtol=1e-4, atol=1e-5)


def stored_episodes(lengths):
    """A buffer of episodes with random frames, rewards, scores and actions."""
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(sum(lengths), (3, 64, 64))
    for length in lengths:
        records = np.zeros(length, TRANSITION)
        scores = rng.random(length + 1)
        records["score"], records["next_score"] = scores[:-1], scores[1:]
        records["reward"] = rng.normal(size=length)
        records["action"] = rng.integers(0, 15, length)
        records["next_action"] = [*rng.integers(0, 15, length - 1), -1]
        records["terminated"] = np.arange(length) == length - 1
        buffer.add(records, rng.integers(0, 256, (length, 3, 64, 64), np.uint8))
    return buffer


@pytest.mark.parametrize("network", ["simple_cnn", "afterstate"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("target_action", ["online", "stored"])
def test_n_step_targets_are_those_of_backing_up_the_value_one_step_at_a_time(network, n, target_action):
    """Also where values include the score: the one before the first step and the one after the last step count."""
    lengths, gamma = [1, 2, 5, 4], 0.9
    buffer, module = stored_episodes(lengths), module_of(network, target_action=target_action)
    sample = buffer.steps(np.arange(sum(lengths)), n, gamma)
    columns = columns_of(sample, *buffer.observations(sample.rows, sample.ends))
    online, target = (values(q, torch.from_numpy(buffer.frames)) for q in (module.network, module._target_network))
    targets = trained_on(module, columns)[TD_TARGET]
    includes_score = module.network.values_include_score
    for start in range(sum(lengths)):
        steps = [start]
        while not buffer.transitions[steps[-1]]["terminated"] and len(steps) < n:
            steps.append(steps[-1] + 1)
        last, q = buffer.transitions[steps[-1]], 0.0
        if not last["terminated"]:
            after = steps[-1] + 1
            action = last["next_action"] if target_action == "stored" else online[after].argmax()
            q = target[after, action] - (buffer.transitions[after]["score"] if includes_score else 0)
        for step in reversed(steps):
            q = buffer.transitions[step]["reward"] + gamma * q
        wanted = q + (buffer.transitions[start]["score"] if includes_score else 0)
        assert targets[start] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("target_action", ["target", "online"])
def test_with_atoms_the_target_is_the_projected_distribution_of_the_chosen_action(dueling, target_action):
    options = {"num_atoms": 21, "value_support": (-3, 3), "dueling": dueling}
    module, batch = module_of(target_action=target_action, **options), some_batch()
    outputs = trained_on(module, batch)  # no running statistics here that it could have moved
    support = np.linspace(-3, 3, 21)
    target = module._target_network
    with torch.no_grad():
        logits = target.head(target.features(batch[Columns.NEXT_OBS])).numpy()
        taken = module.network.head(module.network.features(batch[Columns.OBS])).log_softmax(2).numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    chooser = values(module.network, batch[Columns.NEXT_OBS]) if target_action == "online" else probabilities @ support
    for k in range(BATCH):
        following = probabilities[k, chooser[k].argmax()]
        moved = np.clip(float(batch[Columns.REWARDS][k]) + float(batch[DISCOUNTS][k]) * support, -3, 3)
        expected = np.zeros(21)
        for mass, value in zip(following, moved, strict=True):
            place = (value + 3) / 0.3
            low = min(int(np.floor(place + 1e-9)), 20)
            share = max(0.0, place - low)
            expected[low] += mass * (1 - share)
            if share > 0:
                expected[min(low + 1, 20)] += mass * share
        np.testing.assert_allclose(outputs[TD_TARGET][k], expected, atol=1e-4)
        cross_entropy = -(expected * taken[k, batch[Columns.ACTIONS][k]]).sum()
        entropy = -(expected[expected > 0] * np.log(expected[expected > 0])).sum()
        assert outputs[LOSS][k] == pytest.approx(cross_entropy, abs=1e-3)
        assert outputs[TD_ERROR][k] == pytest.approx(cross_entropy - entropy, abs=1e-3)


def test_noise_is_on_where_there_is_training_in_the_target_network_too():
    module, batch = module_of(noisy=True), some_batch()
    first, second = (trained_on(module, batch) for _ in range(2))
    assert (first[TD_TARGET][batch[DISCOUNTS].numpy() > 0] != second[TD_TARGET][batch[DISCOUNTS].numpy() > 0]).all()
    assert (first[TD_ERROR] != second[TD_ERROR]).all()
    acting = module_of(noisy=True, inference_only=True)
    once, again = (
        acting.forward_inference({Columns.OBS: batch[Columns.OBS]})[Columns.ACTION_DIST_INPUTS] for _ in range(2)
    )
    assert (once != again).all()
    set_noise(acting, False)
    once, again = (
        acting.forward_inference({Columns.OBS: batch[Columns.OBS]})[Columns.ACTION_DIST_INPUTS] for _ in range(2)
    )
    assert (once == again).all()


def test_importance_weights_scale_the_loss_of_each_transition():
    loss_B, weights_B = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.5, 0.0])

    def mean_loss(batch):
        return QLearner.compute_loss_for_module(None, module_id="", config=None, batch=batch, fwd_out={LOSS: loss_B})

    assert mean_loss({}).item() == 2
    assert mean_loss({WEIGHTS: weights_B}).item() == pytest.approx(2 / 3)


def test_the_running_average_forgets_its_beginning_and_then_decays_as_told():
    network, averages = nn.Linear(1, 1, bias=False), []
    average = AveragedModel(network, multi_avg_fn=moving_average(0.5))
    for value in (8.0, 2.0, 2.0, 2.0):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update_parameters(network)
        averages.append(average.module.weight.item())
    # 8 as it is; then decays of 2/11, 3/12 and 4/13, all below 0.5
    np.testing.assert_allclose(
        averages, [8.0, 2 + 6 * 2 / 11, 2 + 6 * 2 / 11 / 4, 2 + 6 * 2 / 11 / 4 * 4 / 13], rtol=1e-6
    )
    long = AveragedModel(network, multi_avg_fn=moving_average(0.5))
    long.n_averaged.fill_(1000)
    with torch.no_grad():
        network.weight.fill_(6.0)
    long.update_parameters(network)
    assert long.module.weight.item() == pytest.approx(4.0)
