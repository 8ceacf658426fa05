"""Features of tone and colour: what matters is how much of what there is, and little of it needs fine detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl_aesthetics.trunks import Normalise


class ToneTrunk(nn.Module):
    """3×3 convolutions with batch norm at half the resolution, and means over the image after every one of them.

    uint8 RGB `(B, 3, S, S)` to float32 `(B, 6 + 2 · widths[0] + Σ widths[1:])`: mean and spread of the colours
    themselves and of the first layer's features, means of the others'. The early means are a learned histogram; the
    late ones know what is a face and what a sky. Half the resolution costs a third of the time.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96, 128)):
        super().__init__()
        self.normalise, self.halve = Normalise(), nn.AvgPool2d(2)
        layers, channels = [], 3
        for k, width in enumerate(widths):
            stride = 1 if k == len(widths) - 1 else 2
            convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            channels = width
        self.layers = nn.ModuleList(layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.halve(self.normalise(images_BCHW).contiguous(memory_format=torch.channels_last))
        pooled = [features.mean((2, 3)), features.std((2, 3))]
        for k, layer in enumerate(self.layers):
            features = layer(features)
            pooled.append(features.mean((2, 3)))
            if k == 0:
                pooled.append(features.std((2, 3)))
        return torch.cat(pooled, 1)
