"""Convolutions of image classifiers from `transformers`, with or without the weights they were published with.

`transformers` is an optional dependency, imported when a network with such a backbone is built. Its image processors
are not used (they want torchvision): observations are uint8 tensors already, and normalising them is one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.quiet_transformers import quiet_transformers

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of pixels in [0, 1]. EfficientNet's processor divides by the root of the latter, twice: the same."""


@dataclass(frozen=True)
class Backbone:
    """An architecture and its implementation.

    Attributes:
        model: the class in `transformers` that has the layers without the classifier.
        model_type: what `config.json` of its weights says.
        architecture: the configuration where it differs from that class's defaults.
        example: weights on the hub.
    """

    model: str
    model_type: str
    architecture: dict[str, Any]
    example: str


BACKBONES = {
    # He et al., arXiv 1512.03385
    "resnet18": Backbone(
        "ResNetModel",
        "resnet",
        {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"},
        "microsoft/resnet-18",
    ),
    # Tan and Le, arXiv 1905.11946
    "efficientnet_b0": Backbone(
        "EfficientNetModel",
        "efficientnet",
        {"width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280},
        "google/efficientnet-b0",
    ),
}
"""Every backbone by the name of its network."""

# Randomly left out layers regularise a classifier; values that targets are made from should not depend on chance.
# The momentum is meant as Keras has it; PyTorch, which it is handed to, would keep nothing but the last batch.
SETTINGS = {"efficientnet": {"drop_connect_rate": 0.0, "dropout_rate": 0.0, "batch_norm_momentum": 0.01}}
ABOUT_LABELS = {"id2label", "label2id", "architectures", "transformers_version", "dtype", "torch_dtype", "model_type"}


class BackboneTrunk(nn.Module):
    """uint8 RGB `(B, 3, S, S)` to pooled features float32 `(B, F)`.

    Args:
        name: in `BACKBONES`.
        pretrained: a folder in the format of `save_pretrained`, or a name on the hub; random weights if None.
        frozen: whether the weights stay as they are, running statistics included.
        architecture: the model's configuration in place of the standard one; that of `pretrained` if left out.
        imagenet: whether pixels are normalised as for ImageNet's classifiers, in place of [−1, 1]; as a rule where the
            weights are pretrained.

    Raises:
        UserError: transformers is missing, or the weights cannot be had or are of another kind.
    """

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(
        self,
        name: str,
        pretrained: str | None = None,
        frozen: bool = False,
        architecture: dict[str, Any] | None = None,
        imagenet: bool | None = None,
    ):
        super().__init__()
        self.frozen = frozen
        self.model = _read(name, pretrained) if pretrained is not None else _random(name, architecture)
        mean, std = (0.5,) * 3, (0.5,) * 3
        if pretrained is not None if imagenet is None else imagenet:
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        self.register_buffer("mean_C11", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std_C11", 255 * torch.tensor(std)[:, None, None], persistent=False)
        self.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> BackboneTrunk:
        return super().train(mode and not self.frozen)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        pixels = images_BCHW.float().sub(self.mean_C11).div(self.std_C11)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.model(pixel_values=pixels).pooler_output.flatten(1)


def architecture_of(name: str, pretrained: str) -> dict[str, Any]:
    """The configuration that weights come with: with it the same network can be made without their files.

    Raises:
        UserError: there are no such weights, or they are of another kind.
    """
    architecture = _config(name, pretrained).to_diff_dict()
    return {key: value for key, value in architecture.items() if key not in ABOUT_LABELS}


def _transformers(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise UserError(f"network {name!r} needs transformers: pip install 'rl-aesthetics[transformers]'") from None
    return transformers


def _model_class(name: str) -> Any:
    return getattr(_transformers(name), BACKBONES[name].model)


def _random(name: str, architecture: dict[str, Any] | None) -> nn.Module:
    model_class, backbone = _model_class(name), BACKBONES[name]
    values = {**(architecture or backbone.architecture), **SETTINGS.get(backbone.model_type, {})}
    model = model_class(model_class.config_class(**values))
    # transformers draws the scales of EfficientNet's batch norms from N(0, 0.02), as it does all weights: after sixteen
    # blocks 1e-30 is left of the gradient. These are the papers' (He et al., arXiv 1502.01852, and ones).
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel() / module.groups
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def _config(name: str, pretrained: str) -> Any:
    model_class, backbone = _model_class(name), BACKBONES[name]
    try:
        values, _ = model_class.config_class.get_config_dict(pretrained)
    except (OSError, ValueError) as error:
        raise _unavailable(name, pretrained, error) from error
    if "model_type" not in values:
        raise _unavailable(name, pretrained, ValueError("no config.json that names a model"))
    if (found := values["model_type"]) != backbone.model_type:
        raise UserError(f"network {name!r} needs weights of a {backbone.model_type}; {pretrained} holds {found}")
    return model_class.config_class.from_dict({**values, **SETTINGS.get(backbone.model_type, {})})


def _read(name: str, pretrained: str) -> nn.Module:
    from safetensors import SafetensorError

    pretrained, config = str(pretrained), _config(name, str(pretrained))
    try:
        with quiet_transformers():
            model, report = _model_class(name).from_pretrained(
                pretrained, config=config, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, SafetensorError) as error:
        raise _unavailable(name, pretrained, error) from error
    # transformers fills what a file lacks with random numbers, and says so where nobody looks.
    if lacking := sorted(report["missing_keys"]):
        raise UserError(f"the weights in {pretrained} lack {len(lacking)} tensors of {name}, the first {lacking[0]}")
    return model


def _unavailable(name: str, pretrained: str, error: Exception) -> UserError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return UserError(
        f"no pretrained weights for network {name!r} in {pretrained} ({reason}); give a folder with config.json and "
        f"model.safetensors, or a name on the hub such as {BACKBONES[name].example}"
    )
