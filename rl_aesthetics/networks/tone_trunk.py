"""Features of tone and colour: what matters is how much of what there is, and little of it needs fine detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl_aesthetics.edits import edit_state, tone
from rl_aesthetics.networks.tone_statistics import QUANTILE_FEATURES, bin_counts, tone_quantiles

_JOINT_BITS, _OWN_BITS = 3, 5  # of each channel: 8 and 32 bins
_JOINT, _OWN = 2**_JOINT_BITS, 2**_OWN_BITS


class ToneTrunk(nn.Module):
    """How much of which colours there is, quantiles of light and colour, and the edits so far, and what layers make of
    them: uint8 `(B, 4, S, S)`, RGB and a plane of edits, to float32 `(B, F)`.

    The layers see the square roots of the joint histogram of the colours (8 bins a channel) and of each channel's own
    (32 bins), counted at full resolution, `tone_quantiles`, and the parameters of the edits. There are no convolutions:
    of a few hundred photos they learn which one it is, and leaving them out is better (benchmarks/README.md).

    Args:
        widths: of the layers.
        dropout: share of the statistics and of the layers' outputs that is left out at random when learning.

    Attributes:
        channels: of the observations.
        describes: that all that it sees can be computed beforehand, as nothing before its layers is learned.
    """

    channels, describes = 4, True
    edit_units: Tensor
    shares = _JOINT**3 + 3 * _OWN + QUANTILE_FEATURES

    def __init__(self, widths: Sequence[int], dropout: float):
        super().__init__()
        self.leave_out = nn.Dropout(dropout)
        self.histograms = _layers(self.shares + edit_state.EDITS_SIZE, widths, dropout)
        units = [field.unit if field.name in tone.TONE else 0.5 for field in edit_state.FIELDS]
        self.register_buffer("edit_units", 2 * torch.tensor(units), persistent=False)

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        return self.of_description(self.describe(observations_BCHW))

    def describe(self, observations_BCHW: Tensor) -> Tensor:
        """What the layers are given, float32 `(B, D)`; nothing of it is learned."""
        images_BCHW = observations_BCHW[:, :3]
        edits_BF = observations_BCHW[:, 3, : edit_state.EDITS_SIZE, 0].float() - 128
        statistics = colour_histograms(images_BCHW), tone_quantiles(images_BCHW)
        return torch.cat([*statistics, edits_BF * self.edit_units], 1)

    def of_description(self, described_BD: Tensor) -> Tensor:
        """Features float32 `(B, F)` of a description; what was edited is never left out."""
        shown_BD, edits_BD = described_BD[:, : self.shares], described_BD[:, self.shares :]
        features_BF: Tensor = self.histograms(torch.cat([self.leave_out(shown_BD), edits_BD], 1))
        return features_BF


def _layers(features: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear layers with ReLU, and dropout after each."""
    left_out = [nn.Dropout(dropout)] if dropout else []
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(features, width), nn.ReLU(), *left_out]
        features = width
    return nn.Sequential(*layers)


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
