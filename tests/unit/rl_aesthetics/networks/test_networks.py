"""Q-networks: shapes, the one normalisation, and what the afterstate network shares."""

import numpy as np
import pytest
import torch
from torch import nn

from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, TRANSFORMS
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.afterstate import Afterstate
from rl_aesthetics.networks.registry import NETWORKS, make_network

ACTIONS = (*REVERSIBLE, STOP)
SMALL = {  # the same layers as the real ones, fewer and narrower, which saves a minute
    "resnet18": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "efficientnet_b0": {"width_coefficient": 0.2, "depth_coefficient": 0.2, "hidden_dim": 256},
}
EVERY = pytest.mark.parametrize("name", NETWORKS)


def noise(batch=3, size=64, seed=0, channels=3):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (batch, channels, size, size), dtype=np.uint8))


def seen_by(name, batch=3, size=64):
    return noise(batch, size, channels=NETWORKS[name]().channels)


def network(name, actions=ACTIONS, size=64):
    torch.manual_seed(1)
    options = {"architecture": SMALL[name]} if name in SMALL else {}
    return make_network(name, actions, size, **options).eval()


@EVERY
@pytest.mark.parametrize("actions", [ACTIONS, ("swap_gb", "invert_r", "gaussian_blur_3"), ("swap_gb", STOP)])
def test_every_network_gives_a_float_for_each_action(name, actions):
    values_BA = network(name, actions)(seen_by(name))
    assert (values_BA.shape, values_BA.dtype) == ((3, len(actions)), torch.float32)
    assert values_BA.isfinite().all()


@EVERY
@pytest.mark.parametrize("actions", [ACTIONS, ("invert_r", "gaussian_blur_3", STOP)])
def test_the_values_of_taken_actions_are_those_of_all_actions(name, actions):
    """Batches of different sizes may differ in the last bits."""
    q, observations = network(name, actions), seen_by(name, len(actions))
    taken_A = torch.arange(len(actions))
    torch.testing.assert_close(q.taken(observations, taken_A), q(observations).diagonal(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "tone"])  # which counts pixels
def test_bug_3_pixels_are_normalised_once(name):
    """The predecessor divided by 255 twice with a ResNet, so the network saw almost black images."""
    q, seen = network(name), []
    first = next(module for module in q.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    black_and_white = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    black_and_white[1] = 255
    q.taken(black_and_white, torch.tensor([len(ACTIONS) - 1] * 2))
    assert seen[0].dtype == torch.float32
    seen_BCHW = seen[0][:, :, :64, :64]  # some pad before they convolve
    assert seen_BCHW[0].unique().tolist() == [-1]
    assert seen_BCHW[1].unique().tolist() == [1]


@EVERY
def test_observations_are_left_as_they_are(name):
    observations = seen_by(name)
    before = observations.clone()
    network(name)(observations)
    assert torch.equal(observations, before)


@EVERY
def test_gradients_reach_every_parameter(name):
    q = network(name).train()
    actions = torch.tensor([0, 7, len(ACTIONS) - 1])
    q.taken(seen_by(name), actions).sum().backward()
    assert [n for n, p in q.named_parameters() if p.grad is None or not p.grad.any()] == []


@EVERY
@pytest.mark.parametrize("size", [32, 96, 128])
def test_other_observation_sizes_work(name, size):
    assert network(name, size=size)(seen_by(name, size=size)).shape == (3, len(ACTIONS))


def test_a_network_that_needs_larger_observations_says_so():
    with pytest.raises(UserError, match="16×16 are too small for this network, which needs 32×32"):
        make_network("atari_cnn", ACTIONS, 16)


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        ("simple_cnn", (3 * 16 + 16 * 32 + 32 * 32) * 25 + 16 + 32 + 32),
        ("atari_cnn", 3 * 32 * 64 + 32 * 64 * 16 + 64 * 64 * 9 + 32 + 64 + 64),
        # He et al.: 11.69 M with the classifier's 512 × 1000 + 1000
        ("resnet18", 11_689_512 - 513_000),
        # Tan and Le: 5.29 M with the classifier's 1280 × 1000 + 1000
        ("efficientnet_b0", 5_288_548 - 1_281_000),
    ],
)
def test_the_convolutions_have_as_many_parameters_as_published(name, convolutions):
    q = make_network(name, ACTIONS, 64)
    assert sum(parameter.numel() for parameter in q.trunk.parameters()) == convolutions


def test_an_unknown_network_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown network 'simple_cn' \(did you mean 'simple_cnn'\?\)"):
        make_network("simple_cn", ACTIONS)


@pytest.mark.parametrize("actions", [ACTIONS, ("swap_gb", "shift_left_b", "gaussian_blur_3", STOP)])
def test_afterstate_looks_at_what_the_actions_lead_to(actions):
    q = network("afterstate", actions)
    observations = noise(len(actions))
    edited = q.edited(observations, torch.arange(len(actions))).numpy()
    for image_CHW, result_CHW, name in zip(observations.numpy(), edited, actions, strict=True):
        image_BGR = np.ascontiguousarray(image_CHW[::-1].transpose(1, 2, 0))
        expected = image_BGR if name == STOP else TRANSFORMS[name](image_BGR)
        np.testing.assert_array_equal(result_CHW[::-1].transpose(1, 2, 0), expected)


def test_afterstate_values_two_ways_to_one_image_alike():
    """Q(s, a) + score(s) depends on the result alone, so undoing either of two edits is worth the same."""
    q, photo = network("afterstate"), noise(1)
    swap, turn = (torch.tensor([ACTIONS.index(name)]) for name in ("swap_gb", "invert_r"))
    torch.testing.assert_close(q.taken(q.edited(photo, swap), swap), q.taken(q.edited(photo, turn), turn))
    assert Afterstate.values_include_score


def test_afterstate_tells_stopping_at_an_image_from_going_on_from_it():
    q, photo = network("afterstate"), noise(1)
    swap, stop = (torch.tensor([ACTIONS.index(name)]) for name in ("swap_gb", STOP))
    with torch.no_grad():
        q.head.bias.copy_(torch.tensor([1.0, 5.0]))
        q.head.weight.zero_()
    assert q.taken(q.edited(photo, swap), swap).item() == 1
    assert q.taken(photo, stop).item() == 5


def test_afterstate_without_stop_never_uses_the_value_of_stopping():
    q = network("afterstate", REVERSIBLE)
    with torch.no_grad():
        q.head.weight.zero_()
        q.head.bias.copy_(torch.tensor([1.0, 5.0]))
    assert q(noise()).unique().tolist() == [1]


def unlearned_batch_norms(q):
    """Batch norms of a new network change nothing; these do."""
    for module in q.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return q


def test_afterstate_gives_the_same_values_with_and_without_folded_batch_norms():
    q = unlearned_batch_norms(network("afterstate"))
    with torch.inference_mode():
        folded_BA = q(noise())
    torch.testing.assert_close(folded_BA, q(noise()).detach(), atol=1e-4, rtol=1e-4)


def test_afterstate_follows_its_weights_when_they_change():
    q, other = network("afterstate"), unlearned_batch_norms(network("afterstate"))
    with torch.inference_mode():
        before_BA = q(noise())
        q.load_state_dict(other.state_dict())
        assert not torch.allclose(q(noise()), before_BA)
        torch.testing.assert_close(q(noise()), other(noise()))


def test_afterstate_with_a_value_range_stays_within_it():
    q = make_network("afterstate", ACTIONS, 64, value_range=(-1, 3)).eval()
    with torch.no_grad():
        q.head.bias.copy_(torch.tensor([40.0, -40.0]))
    values_BA = q(noise())
    torch.testing.assert_close(values_BA[:, :-1], torch.full((3, 14), 3.0))
    torch.testing.assert_close(values_BA[:, -1], torch.full((3,), -1.0))


def test_an_option_that_a_network_does_not_have_is_refused():
    message = r"network 'simple_cnn' has no option 'value_range'; it has dueling, noisy, num_atoms, value_support"
    with pytest.raises(UserError, match=message):
        make_network("simple_cnn", ACTIONS, 64, value_range=(0, 1))
    with pytest.raises(UserError, match="network 'afterstate' has no option 'dueling'"):
        make_network("afterstate", ACTIONS, 64, dueling=True)
    with pytest.raises(
        UserError, match=r"network 'resnet18' has no option 'depth'; it has architecture, dueling, frozen"
    ):
        make_network("resnet18", ACTIONS, 64, depth=3)


@pytest.mark.parametrize("value_range", [None, (-0.1, 1.1)])
def test_what_stopping_after_an_edit_is_worth_is_learned_beside_the_edit(value_range):
    q = make_network("afterstate", ACTIONS, value_range=value_range).eval()
    observations, stop = noise(3), len(ACTIONS) - 1
    actions, targets, stop_targets = (
        torch.tensor([0, 4, stop]),
        torch.tensor([0.2, 0.4, 0.6]),
        torch.tensor([0.5, 0.1, 0.9]),
    )
    alone, errors = q.loss(observations, actions, targets)
    both, same_errors = q.loss(observations, actions, targets, stop_targets)
    edited = q.edited(observations, actions)
    stopping, _ = q.loss(edited, torch.full((3,), stop), stop_targets)
    torch.testing.assert_close(both[:2], (alone + stopping)[:2], rtol=1e-4, atol=1e-5)
    assert both[2] == alone[2]
    assert errors.tolist() == same_errors.tolist()


def test_with_its_mirror_image_an_image_is_worth_the_same_either_way():
    observations = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    plain, mirrored = (make_network("afterstate", ACTIONS, mirror=mirror).eval() for mirror in (False, True))
    mirrored.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        here, there = plain(observations), plain(observations.flip(3))
        both = mirrored(observations)
        torch.testing.assert_close(both, (here + there) / 2)  # no value range: values are linear in the features
        torch.testing.assert_close(both, mirrored(observations.flip(3)))
    assert not torch.allclose(here, there)
