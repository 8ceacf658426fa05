"""Dueling streams, the categorical projection and noisy layers, against their formulas written out."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.networks.heads import ActionHead, NoisyLinear, project, set_noise
from rl_aesthetics.networks.registry import make_network

ACTIONS = (*REVERSIBLE, STOP)
OBSERVATIONS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8))


def naive_projection(returns, discounts, probabilities, support):
    """Algorithm 1 of arXiv 1707.06887, one atom at a time, also right where an atom falls on another."""
    projected, spacing = np.zeros_like(probabilities), support[1] - support[0]
    for k in range(len(returns)):
        for j, mass in enumerate(probabilities[k]):
            moved = min(max(returns[k] + discounts[k] * support[j], support[0]), support[-1])
            place = (moved - support[0]) / spacing
            low, high = int(np.floor(place)), int(np.ceil(place))
            if low == high:
                projected[k, low] += mass
            else:
                projected[k, low] += mass * (high - place)
                projected[k, min(high, len(support) - 1)] += mass * (place - low)
    return projected


@st.composite
def distributions(draw):
    batch, atoms = draw(st.integers(1, 5)), draw(st.integers(2, 30))
    low, width = draw(st.floats(-5, 5)), draw(st.floats(0.5, 10))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    probabilities = random.dirichlet(np.full(atoms, 0.3), batch)
    returns = random.normal(0, width, batch)
    discounts = np.where(random.random(batch) < 0.3, 0, random.random(batch))
    return returns, discounts, probabilities, np.linspace(low, low + width, atoms)


@given(distributions())
@settings(deadline=None)
def test_the_projection_is_that_of_the_paper_and_keeps_the_mass(drawn):
    projected = project(*(torch.from_numpy(array) for array in drawn)).numpy()
    np.testing.assert_allclose(projected, naive_projection(*drawn), atol=1e-9)
    np.testing.assert_allclose(projected.sum(1), 1, atol=1e-9)
    assert (projected >= 0).all()


@given(distributions())
@settings(deadline=None)
def test_within_the_support_the_projection_keeps_the_mean(drawn):
    returns, discounts, probabilities, support = drawn
    middle, half = (support[0] + support[-1]) / 2, (support[-1] - support[0]) / 2
    # moved atoms all lie in the support if they shrink towards its middle
    discounts = discounts * 0.9
    returns = middle * (1 - discounts) + np.clip(returns, -0.1, 0.1) * half
    arrays = (returns, discounts, probabilities, support)
    projected = project(*(torch.from_numpy(array) for array in arrays)).numpy()
    np.testing.assert_allclose(projected @ support, returns + discounts * (probabilities @ support), atol=1e-9)


def test_at_the_end_of_an_episode_all_mass_is_at_the_return():
    support = torch.linspace(-1, 1, 5)
    projected = project(torch.tensor([0.5, 9.0]), torch.zeros(2), torch.full((2, 5), 0.2), support)
    torch.testing.assert_close(projected, torch.tensor([[0, 0, 0, 1.0, 0], [0, 0, 0, 0, 1.0]]))


@pytest.mark.parametrize("atoms", [1, 7])
def test_dueling_is_the_value_plus_advantages_without_their_mean_for_each_atom(atoms):
    torch.manual_seed(0)
    head, features = ActionHead(6, 8, 5, atoms, dueling=True), torch.randn(3, 6)
    outputs = head(features)
    value, advantage = head.value(features), head.advantage(features).view(3, 5, atoms)
    for action in range(5):
        expected = value + advantage[:, action] - advantage.mean(1)
        torch.testing.assert_close(outputs[:, action], expected)
    torch.testing.assert_close(outputs.mean(1), value)


def test_with_atoms_the_value_stream_learns():
    """Stock RLlib adds one value to the logits of all atoms, where the softmax takes it out again: gradient 1e-9."""
    torch.manual_seed(0)
    q = make_network("simple_cnn", ACTIONS, dueling=True, num_atoms=11, value_support=(-1, 1))
    targets = torch.full((4, 11), 1 / 11)
    loss, _ = q.loss(OBSERVATIONS, torch.tensor([0, 1, 2, 14]), targets)
    loss.mean().backward()
    largest = [head[-1].weight.grad.abs().max() for head in (q.head.value, q.head.advantage)]
    assert largest[0] > 0.1 * largest[1] > 0


def test_with_atoms_a_value_is_the_mean_of_its_distribution():
    q = make_network("simple_cnn", ACTIONS, num_atoms=5, value_support=(-2, 2)).eval()
    with torch.no_grad():
        probabilities = q.head(q.features(OBSERVATIONS)).softmax(2)
        np.testing.assert_allclose(q(OBSERVATIONS), probabilities @ torch.tensor([-2.0, -1, 0, 1, 2]), atol=1e-6)
        following = q.following(OBSERVATIONS, None)
        best = q(OBSERVATIONS).argmax(1)
        torch.testing.assert_close(following, probabilities[torch.arange(4), best])
        torch.testing.assert_close(q.following(OBSERVATIONS, best), following)


def test_with_atoms_learning_a_return_makes_the_value_that_return():
    torch.manual_seed(0)
    q = make_network("simple_cnn", ACTIONS, num_atoms=21, value_support=(-1, 1))
    optimiser, actions = torch.optim.Adam(q.parameters(), 1e-3), torch.tensor([0, 3, 7, 14])
    returns = torch.tensor([-0.5, 0.03, 0.9, 0.2])
    targets = q.targets(returns, torch.zeros(4), torch.full((4, 21), 1 / 21))
    for _ in range(60):
        optimiser.zero_grad()
        loss, errors = q.loss(OBSERVATIONS, actions, targets)
        loss.mean().backward()
        optimiser.step()
    torch.testing.assert_close(q.taken(OBSERVATIONS, actions).detach(), returns, atol=0.05, rtol=0)
    assert errors.min() > -1e-6  # a divergence is not negative
    assert errors.max() < 0.2


def noisy_layer(inputs=6, outputs=4):
    torch.manual_seed(0)
    layer = NoisyLinear(inputs, outputs)
    layer.noisy = True
    return layer


def test_a_noisy_layer_without_noise_is_a_linear_one():
    layer, features = noisy_layer(), torch.randn(3, 6)
    layer.noisy = False
    torch.testing.assert_close(layer(features), torch.nn.functional.linear(features, layer.weight, layer.bias))
    torch.testing.assert_close(layer(features), layer(features), rtol=0, atol=0)


def test_noise_is_factorised_and_each_row_has_its_own():
    layer, features = noisy_layer(), torch.randn(3, 6)
    torch.manual_seed(7)
    outputs = layer(features)
    torch.manual_seed(7)
    inwards, outwards = torch.randn(3, 6), torch.randn(3, 4)
    f = lambda noise: noise.sign() * noise.abs().sqrt()  # noqa: E731
    for k in range(3):
        weight = layer.weight + layer.weight_sigma * torch.outer(f(outwards[k]), f(inwards[k]))
        bias = layer.bias + layer.bias_sigma * f(outwards[k])
        torch.testing.assert_close(outputs[k], weight @ features[k] + bias)


def test_noise_is_drawn_anew_each_time_and_without_bias():
    layer, features = noisy_layer(), torch.randn(1, 6)
    assert (layer(features) != layer(features)).any()
    many = layer(features.expand(200_000, 6))
    layer.noisy = False
    torch.testing.assert_close(many.mean(0), layer(features)[0], atol=0.01, rtol=0)


def test_its_parts_begin_as_in_the_paper():
    layer = NoisyLinear(16, 3)
    assert layer.weight.abs().max() <= 0.25
    torch.testing.assert_close(layer.weight_sigma.detach(), torch.full((3, 16), 0.125))
    torch.testing.assert_close(layer.bias_sigma.detach(), torch.full((3,), 0.125))


@pytest.mark.parametrize("options", [{}, {"dueling": True}, {"num_atoms": 5}, {"dueling": True, "num_atoms": 5}])
def test_a_noisy_network_is_deterministic_until_told_otherwise(options):
    q = make_network("simple_cnn", ACTIONS, noisy=True, **options)
    for mode in (True, False):
        q.train(mode)
        torch.testing.assert_close(q(OBSERVATIONS), q(OBSERVATIONS), rtol=0, atol=0)
    set_noise(q, True)
    assert (q(OBSERVATIONS) != q(OBSERVATIONS)).all()
    assert (copy.deepcopy(q)(OBSERVATIONS) != q(OBSERVATIONS)).all()
    set_noise(q, False)
    torch.testing.assert_close(q(OBSERVATIONS), q(OBSERVATIONS), rtol=0, atol=0)


def test_the_noise_learns():
    q = make_network("simple_cnn", ACTIONS, noisy=True, dueling=True)
    set_noise(q, True)
    q.taken(OBSERVATIONS, torch.tensor([0, 1, 2, 3])).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in q.parameters())


@pytest.mark.parametrize("name", ["simple_cnn", "atari_cnn", "residual"])
def test_all_options_of_a_head_work_together_and_with_every_trunk(name):
    q = make_network(name, ACTIONS, noisy=True, dueling=True, num_atoms=11, value_support=(-1, 1))
    set_noise(q, True)
    targets = q.targets(torch.zeros(4), torch.full((4,), 0.9), q.following(OBSERVATIONS, None).detach())
    loss, errors = q.loss(OBSERVATIONS, torch.tensor([0, 1, 2, 3]), targets)
    loss.mean().backward()
    assert loss.shape == errors.shape == (4,)
    assert all(p.grad is not None for p in q.parameters())
