"""Networks with an output for each action: the guide's CNN, Mnih's, IMPALA's, and published backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rl_aesthetics.networks.backbones import BackboneTrunk
from rl_aesthetics.networks.q_network import HeadPerAction
from rl_aesthetics.networks.trunks import plain_trunk, residual_trunk


class SimpleCNN(HeadPerAction):
    """The guide's simple CNN: three 5×5 convolutions with stride 2."""

    def __init__(self, actions: Sequence[str], size: int = 64, **head: Any):
        super().__init__(actions, size, plain_trunk([(16, 5, 2), (32, 5, 2), (32, 5, 2)], size), 128, **head)


class AtariCNN(HeadPerAction):
    """The network of Mnih et al., "Human-level control through deep reinforcement learning", Nature 518, 2015."""

    def __init__(self, actions: Sequence[str], size: int = 64, **head: Any):
        super().__init__(actions, size, plain_trunk([(32, 8, 4), (64, 4, 2), (64, 3, 1)], size), 512, **head)


class Residual(HeadPerAction):
    """The larger network of IMPALA (Espeholt et al., arXiv 1802.01561): three times a convolution, max pooling and two
    residual blocks, with 16, 32 and 32 channels."""

    def __init__(self, actions: Sequence[str], size: int = 64, **head: Any):
        super().__init__(actions, size, residual_trunk(), 256, **head)


class _Backbone(HeadPerAction):
    """A backbone of `rl_aesthetics.networks.backbones`, which explains its options."""

    backbone = ""

    def __init__(
        self,
        actions: Sequence[str],
        size: int = 64,
        pretrained: str | None = None,
        frozen: bool = False,
        architecture: dict[str, Any] | None = None,
        imagenet: bool | None = None,
        **head: Any,
    ):
        trunk = BackboneTrunk(self.backbone, pretrained, frozen, architecture, imagenet)
        super().__init__(actions, size, trunk, 256, **head)


class ResNet18(_Backbone):
    """ResNet18 (arXiv 1512.03385) from `transformers`, with or without pretrained weights, frozen or not."""

    backbone = "resnet18"


class EfficientNetB0(_Backbone):
    """EfficientNet-B0 (arXiv 1905.11946) from `transformers`, with or without pretrained weights, frozen or not."""

    backbone = "efficientnet_b0"
