"""Features of tone and colour: what matters is how much of what there is, and little of it needs fine detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl_aesthetics.edits import edit_state, tone
from rl_aesthetics.networks.settings import ToneSettings
from rl_aesthetics.networks.tone_statistics import QUANTILE_FEATURES, bin_counts, tone_quantiles
from rl_aesthetics.networks.trunks import Normalise

_JOINT_BITS, _OWN_BITS = 3, 5  # of each channel: 8 and 32 bins
_JOINT, _OWN = 2**_JOINT_BITS, 2**_OWN_BITS


class ToneTrunk(nn.Module):
    """How much of which colours there is, and what convolutions make of it.

    uint8 RGB `(B, 3, S, S)`, or `(B, 4, S, S)` with the edits so far, to float32 `(B, F)`: with convolutions mean and
    spread of the colours themselves and of the first one's features, and means of the others'; what layers make of
    histograms. The early means are a learned histogram; the late ones know what is a face and what a sky, if they saw
    thousands of photos. Of a few hundred they learn which photo it is, and leaving them out is better
    (benchmarks/README.md).

    `widths` are channels of 3×3 convolutions with batch norm at half the resolution, which costs a third of the time.
    `histograms` are widths of layers over the square roots of the joint histogram of the colours (8 bins a channel) and
    of each channel's own (32 bins), counted at full resolution, and over what stands beside them; `dropout` is the
    share of both that is left out at random when learning. With `mirror` the convolutions' features are means over the
    image and its mirror image in evaluation mode: tone has no left and right, and the errors of the two are not the
    same ones. Histograms see none anyway.

    Attributes:
        channels: of the observations.
        describes: whether all that it sees can be computed beforehand, as nothing before its layers is learned.
    """

    def __init__(self, settings: ToneSettings):
        super().__init__()
        widths, dropout = settings.widths, settings.dropout
        self.mirror, self.quantiles, self.edits = settings.mirror, settings.quantiles, settings.edits
        self.describes, self.channels = not widths, settings.channels
        self.normalise, self.halve = Normalise(), nn.AvgPool2d(2)
        layers, channels = [], 3
        for k, width in enumerate(widths):
            stride = 1 if k == len(widths) - 1 else 2
            convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            channels = width
        self.layers = nn.ModuleList(layers)
        shares = _JOINT**3 + 3 * _OWN + (QUANTILE_FEATURES if self.quantiles else 0)
        described = shares + (edit_state.EDITS_SIZE if self.edits else 0)
        self.leave_out = nn.Dropout(dropout)
        self.histograms = _layers(described, settings.histograms, dropout)
        self.shares = shares
        units = [field.unit if field.name in tone.TONE else 0.5 for field in edit_state.FIELDS]
        self.register_buffer("edit_units", 2 * torch.tensor(units), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        images_BCHW, parts = observations_BCHW[:, :3], []
        if self.layers:
            pooled_BF = self._pooled(images_BCHW)
            if self.mirror and not self.training:
                pooled_BF = (pooled_BF + self._pooled(images_BCHW.flip(3))) / 2
            parts.append(pooled_BF)
        if self.histograms is not None:
            parts.append(self.of_description(self.describe(observations_BCHW)))
        return torch.cat(parts, 1)

    def describe(self, observations_BCHW: Tensor) -> Tensor:
        """What the layers over histograms are given, float32 `(B, D)`; nothing of it is learned."""
        images_BCHW = observations_BCHW[:, :3]
        parts = [colour_histograms(images_BCHW)]
        if self.quantiles:
            parts.append(tone_quantiles(images_BCHW))
        if self.edits:
            edits_BF = observations_BCHW[:, 3, : edit_state.EDITS_SIZE, 0].float() - 128
            parts.append(edits_BF * self.edit_units)
        return torch.cat(parts, 1)

    def of_description(self, described_BD: Tensor) -> Tensor:
        """Features float32 `(B, F)` of a description; what was edited is never left out."""
        shown_BD, edits_BD = described_BD[:, : self.shares], described_BD[:, self.shares :]
        return self.histograms(torch.cat([self.leave_out(shown_BD), edits_BD], 1))

    def _pooled(self, images_BCHW: Tensor) -> Tensor:
        features = self.halve(self.normalise(images_BCHW).contiguous(memory_format=torch.channels_last))
        pooled = [features.mean((2, 3)), spread(features)]
        for k, layer in enumerate(self.layers):
            features = layer(features)
            pooled.append(features.mean((2, 3)))
            if k == 0:
                pooled.append(spread(features))
        return torch.cat(pooled, 1)


def _layers(features: int, widths: Sequence[int], dropout: float) -> nn.Sequential | None:
    """Linear layers with ReLU, and dropout after each; None without widths."""
    left_out = [nn.Dropout(dropout)] if dropout else []
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(features, width), nn.ReLU(), *left_out]
        features = width
    return nn.Sequential(*layers) if widths else None


def colour_histograms(images_BCHW: Tensor) -> Tensor:
    """Joint and single histograms of uint8 RGB `(B, 3, H, W)`, float32 `(B, 8³ + 3 · 32)`.

    Square roots of the shares, so that rare colours count (Hellinger's distance is then Euclid's), times four, so that
    a common one is about 1.
    """
    batch, pixels = len(images_BCHW), images_BCHW[0, 0].numel()
    red, green, blue = (images_BCHW >> (8 - _JOINT_BITS)).short().flatten(2).unbind(1)
    joint_BN = (red * _JOINT + green) * _JOINT + blue
    own_B3N = (images_BCHW >> (8 - _OWN_BITS)).flatten(2)
    counts_BF = torch.cat([bin_counts(joint_BN, _JOINT**3), bin_counts(own_B3N, _OWN).view(batch, 3 * _OWN)], 1)
    return 4 * (counts_BF / pixels).sqrt()


def spread(features_BCHW: Tensor) -> Tensor:
    """`features_BCHW.std((2, 3))`, in a third of the time for channels-last features; 0.001 at least."""
    pixels = features_BCHW[0, 0].numel()
    means_BC, squares_BC = features_BCHW.mean((2, 3)), features_BCHW.square().mean((2, 3))
    return ((squares_BC - means_BC.square()) * (pixels / max(1, pixels - 1))).clamp_min(1e-6).sqrt()
