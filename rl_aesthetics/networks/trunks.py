"""Convolutions of Q-networks: from an observation, uint8 RGB `(B, 3, S, S)`, to features, float32 `(B, F)`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rl_aesthetics.errors import UserError


class Normalise(nn.Module):
    """uint8 in [0, 255] to float32 in [−1, 1]. The one place where pixels become floats."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        # In place on a copy: 6 ms for 480 images of 64×64, where new arrays for each step took 15.
        return images_BCHW.to(torch.float32, copy=True).sub_(127.5).div_(127.5)


def plain_trunk(layers: Sequence[tuple[int, int, int]], size: int) -> nn.Sequential:
    """Convolutions with ReLU, from uint8 `(B, 3, S, S)` to features float32 `(B, F)`.

    Args:
        layers: (channels, kernel, stride) of each.
        size: side S of the observation. Where a layer's input has become smaller than its kernel it is padded.
    """
    if size < 32:
        raise UserError(f"observations of {size}×{size} are too small for this network, which needs 32×32")
    modules: list[nn.Module] = [Normalise()]
    channels, side = 3, size
    for width, kernel, stride in layers:
        padding = max(0, kernel - side + 1) // 2
        modules += [nn.Conv2d(channels, width, kernel, stride, padding), nn.ReLU()]
        channels, side = width, (side + 2 * padding - kernel) // stride + 1
    return nn.Sequential(*modules, nn.Flatten())


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))): float `(B, C, H, W)` to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW + self.second(torch.relu(self.first(torch.relu(images_BCHW))))


def residual_trunk(widths: Sequence[int] = (16, 32, 32)) -> nn.Sequential:
    """For each width a convolution, max pooling that halves the side, and two residual blocks."""
    layers: list[nn.Module] = [Normalise()]
    channels = 3
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, 1, 1), nn.MaxPool2d(3, 2, 1)]
        layers += [ResidualBlock(width), ResidualBlock(width)]
        channels = width
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten())


WIDTHS = (32, 64, 96, 128, 128)
"""Of `convolution_trunk` in the pocket juror; with images of 64×64 13.2 million multiplications an image."""
NARROW = (12, 24, 48, 96, 128)
"""Of an agent that begins with random weights: 4.1 million, so that it sees twice as many images in the same time."""


def convolution_trunk(widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    """3×3 convolutions with batch norm, halving the side in all but the last, then global average pooling.

    uint8 RGB `(B, 3, S, S)` to float32 `(B, widths[-1])`; with `WIDTHS` about 0.33 M parameters. The same layers judge
    (the pocket juror) and act (the afterstate network), so one can start from the other.
    """
    layers: list[nn.Module] = [Normalise()]
    channels = 3
    for k, width in enumerate(widths):
        stride = 1 if k == len(widths) - 1 else 2
        layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class FoldedTrunk:
    """A trunk for inference: batch norms folded into their convolutions, images in chunks that stay in the cache.

    On one core 1.9 times as fast as the trunk itself (2,400 to 4,500 images/s). Made again whenever the weights change.
    """

    CHUNK = 64  # images; 32 and 480 were slower

    def __init__(self, trunk: nn.Sequential):
        layers: list[nn.Module] = []
        for layer in trunk:
            if isinstance(layer, nn.BatchNorm2d):
                convolution = layers[-1]
                assert isinstance(convolution, nn.Conv2d)
                layers[-1] = fuse_conv_bn_eval(convolution, layer)
            else:
                layers.append(layer)
        self.layers = nn.Sequential(*layers).eval()
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        return torch.cat([self.layers(chunk) for chunk in images_BCHW.split(self.CHUNK)])
