"""ResNet18 and EfficientNet-B0: the real loading code on small random weights in the format of the published ones."""

import numpy as np
import pytest
import torch

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.backbones import IMAGENET_MEAN, IMAGENET_STD
from rl_aesthetics.networks.registry import make_network, network_settings

transformers = pytest.importorskip("transformers")
ACTIONS = (*REVERSIBLE, STOP)
OBSERVATIONS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8))
PUBLISHED = {
    "resnet18": (
        "ResNetForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    ),
    "efficientnet_b0": (
        "EfficientNetForImageClassification",
        {"width_coefficient": 0.2, "depth_coefficient": 0.2, "hidden_dim": 256, "batch_norm_momentum": 0.99},
    ),
}
EVERY = pytest.mark.parametrize("name", PUBLISHED)


def published(name, folder):
    """A classifier as it is published, with weights that are not those of a new one, saved in a folder."""
    kind, architecture = PUBLISHED[name]
    kind = getattr(transformers, kind)
    torch.manual_seed(3)
    model = kind(kind.config_class(**architecture)).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.05, 0.3)
    model.save_pretrained(folder)
    return model


@EVERY
def test_pretrained_features_are_those_of_the_classifier_on_normalised_pixels(name, tmp_path):
    model = published(name, tmp_path)
    q = make_network(name, ACTIONS, 64, pretrained=str(tmp_path)).eval()
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        pixels = (OBSERVATIONS / 255 - mean) / std
        expected = model.base_model(pixel_values=pixels).pooler_output.flatten(1)
        torch.testing.assert_close(q.features(OBSERVATIONS), expected, rtol=1e-4, atol=1e-4)


@EVERY
def test_an_agent_needs_the_published_weights_no_more(name, tmp_path):
    published(name, tmp_path / "weights")
    options = {"pretrained": str(tmp_path / "weights"), "frozen": True, "dueling": True}
    settings = network_settings(name, **options)
    portable = settings.portable()
    assert portable.pretrained is None
    assert portable.imagenet
    q = settings.build(ACTIONS, 64)
    saved = DQNAgent(AgentDescription(portable, ACTIONS, (3, 64, 64), 5, "pocket:0"), q)
    saved.save(tmp_path / "agent.safetensors")
    for file in (tmp_path / "weights").iterdir():
        file.unlink()
    loaded = DQNAgent.load(tmp_path / "agent.safetensors")
    np.testing.assert_array_equal(loaded.values(OBSERVATIONS.numpy()), saved.values(OBSERVATIONS.numpy()))
    assert portable.portable() == portable


@EVERY
def test_frozen_convolutions_neither_learn_nor_move_their_statistics(name, tmp_path):
    published(name, tmp_path)
    q = make_network(name, ACTIONS, 64, pretrained=str(tmp_path), frozen=True).train()
    before = {key: tensor.clone() for key, tensor in q.trunk.state_dict().items()}
    q.taken(OBSERVATIONS, torch.tensor([0, 1, 2])).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in q.trunk.parameters())
    assert all(p.grad is not None for p in q.head.parameters())
    for key, tensor in q.trunk.state_dict().items():
        assert torch.equal(tensor, before[key]), key


@EVERY
def test_convolutions_that_are_not_frozen_learn(name, tmp_path):
    published(name, tmp_path)
    q = make_network(name, ACTIONS, 64, pretrained=str(tmp_path)).train()
    q.taken(OBSERVATIONS, torch.tensor([0, 1, 2])).sum().backward()
    assert all(p.grad is not None for p in q.parameters())


@EVERY
@pytest.mark.parametrize("size", [32, 96, 128])
def test_all_options_of_a_head_work_with_backbones_of_any_size(name, size):
    _, architecture = PUBLISHED[name]
    q = make_network(name, ACTIONS, size, architecture=architecture, noisy=True, dueling=True, num_atoms=5)
    observations = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    loss, _ = q.loss(observations, torch.tensor([0, 14]), torch.full((2, 5), 0.2))
    assert loss.isfinite().all()


def test_a_new_efficientnet_lets_signals_through():
    """transformers draws the scales of its batch norms from N(0, 0.02): after sixteen blocks nothing is left."""
    torch.manual_seed(0)
    q = make_network("efficientnet_b0", ACTIONS, 64).train()
    assert q.features(OBSERVATIONS).std() > 0.01
    q.taken(OBSERVATIONS, torch.tensor([0, 1, 2])).sum().backward()
    assert q.trunk.model.embeddings.convolution.weight.grad.abs().max() > 1e-4


def test_running_statistics_of_an_efficientnet_are_of_more_than_the_last_batch(tmp_path):
    published("efficientnet_b0", tmp_path)
    for options in ({}, {"pretrained": str(tmp_path)}):
        q = make_network("efficientnet_b0", ACTIONS, 64, **options)
        momenta = {m.momentum for m in q.modules() if isinstance(m, torch.nn.BatchNorm2d)}
        assert max(momenta) <= 0.1  # that of most layers is written into them, and is PyTorch's
        assert 0.01 in momenta


def test_a_folder_without_weights_is_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no pretrained weights for network 'resnet18' in .*microsoft/resnet-18$"):
        make_network("resnet18", ACTIONS, 64, pretrained=str(tmp_path))
    published("resnet18", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no pretrained weights for network 'resnet18' in ") as told:
        make_network("resnet18", ACTIONS, 64, pretrained=str(tmp_path))
    assert "\n" not in str(told.value)


def test_damaged_weights_are_told_in_one_line(tmp_path):
    published("resnet18", tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"no pretrained weights for network 'resnet18' in ") as told:
        make_network("resnet18", ACTIONS, 64, pretrained=str(tmp_path))
    assert "\n" not in str(told.value)


def test_weights_that_lack_a_tensor_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    published("resnet18", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["resnet.embedder.embedder.convolution.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"lack 1 tensors of resnet18, the first embedder\.embedder\.convolution\.weight"
    ):
        make_network("resnet18", ACTIONS, 64, pretrained=str(tmp_path))


def test_weights_of_another_kind_are_refused(tmp_path):
    published("efficientnet_b0", tmp_path)
    with pytest.raises(UserError, match=r"network 'resnet18' needs weights of a resnet; .* holds efficientnet"):
        make_network("resnet18", ACTIONS, 64, pretrained=str(tmp_path))


def test_an_architecture_beside_pretrained_weights_is_refused(tmp_path):
    published("resnet18", tmp_path)
    with pytest.raises(UserError, match="the architecture comes with the pretrained weights"):
        make_network("resnet18", ACTIONS, 64, pretrained=str(tmp_path), architecture={"depths": [1]})
