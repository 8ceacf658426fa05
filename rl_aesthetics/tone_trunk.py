"""Features of tone and colour: what matters is how much of what there is, and little of it needs fine detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl_aesthetics.trunks import Normalise

_JOINT, _OWN = 8, 32  # bins a channel


class ToneTrunk(nn.Module):
    """3×3 convolutions with batch norm at half the resolution, and means over the image after every one of them.

    uint8 RGB `(B, 3, S, S)` to float32 `(B, 6 + 2 · widths[0] + Σ widths[1:])`: mean and spread of the colours
    themselves and of the first layer's features, means of the others'. The early means are a learned histogram; the
    late ones know what is a face and what a sky. Half the resolution costs a third of the time.

    Args:
        widths: channels of the convolutions.
        histograms: 64 more features, one linear layer over the square roots of the joint histogram of the colours (8
            bins a channel) and of each channel's own (32 bins), counted at full resolution.
        mirror: in evaluation mode, features are means over the image and its mirror image: tone has no left and right,
            and the errors of the two are not the same ones.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96, 128), histograms: bool = False, mirror: bool = False):
        super().__init__()
        self.mirror = mirror
        self.normalise, self.halve = Normalise(), nn.AvgPool2d(2)
        layers, channels = [], 3
        for k, width in enumerate(widths):
            stride = 1 if k == len(widths) - 1 else 2
            convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            channels = width
        self.layers = nn.ModuleList(layers)
        self.histograms = nn.Sequential(nn.Linear(_JOINT**3 + 3 * _OWN, 64), nn.ReLU()) if histograms else None
        self.to(memory_format=torch.channels_last)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        pooled_BF = self._pooled(images_BCHW)
        if self.mirror and not self.training:
            pooled_BF = (pooled_BF + self._pooled(images_BCHW.flip(3))) / 2
        if self.histograms is not None:
            pooled_BF = torch.cat([pooled_BF, self.histograms(colour_histograms(images_BCHW))], 1)
        return pooled_BF

    def _pooled(self, images_BCHW: Tensor) -> Tensor:
        features = self.halve(self.normalise(images_BCHW).contiguous(memory_format=torch.channels_last))
        pooled = [features.mean((2, 3)), features.std((2, 3))]
        for k, layer in enumerate(self.layers):
            features = layer(features)
            pooled.append(features.mean((2, 3)))
            if k == 0:
                pooled.append(features.std((2, 3)))
        return torch.cat(pooled, 1)


def colour_histograms(images_BCHW: Tensor) -> Tensor:
    """Joint and single histograms of uint8 RGB `(B, 3, H, W)`, float32 `(B, 8³ + 3 · 32)`.

    Square roots of the shares, so that rare colours count (Hellinger's distance is then Euclid's), times four, so that
    a common one is about 1.
    """
    joint_B3N = (images_BCHW // (256 // _JOINT)).long().flatten(2)
    joint_BN = (joint_B3N[:, 0] * _JOINT + joint_B3N[:, 1]) * _JOINT + joint_B3N[:, 2]
    own_B3N = (images_BCHW // (256 // _OWN)).long().flatten(2)
    own_B3N = own_B3N + torch.arange(3, device=own_B3N.device)[:, None] * _OWN
    bins_BN = torch.cat([joint_BN, own_B3N.flatten(1) + _JOINT**3], 1)
    counts_BF = torch.zeros(len(bins_BN), _JOINT**3 + 3 * _OWN, device=bins_BN.device)
    counts_BF.scatter_add_(1, bins_BN, torch.ones((), device=bins_BN.device).expand_as(bins_BN))
    return 4 * (counts_BF / joint_BN.shape[1]).sqrt()
