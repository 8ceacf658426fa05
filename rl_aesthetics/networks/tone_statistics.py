"""Quantiles of a photo's light, of its colour ratios, and of both's edges: what tonal edits move, and by how much.

In log light exposure and white balance are shifts, contrast stretches about middle grey, and saturation stretches
colour ratios, so their quantiles move in proportion to an edit's strength, whatever the photo shows. Edges tell
contrast and saturation from what is merely light or colourful (compare grey-edge, van de Weijer et al., IEEE TIP 16,
2007, and the log chroma of Barron, "Convolutional Color Constancy", arXiv 1507.00410).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rl_aesthetics.edits import tone

QUANTILES = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 0.999)

QUANTILE_FEATURES = (8 + 3) * len(QUANTILES)
"""Features that `tone_quantiles` gives."""

_UNIT = 64  # codes per EV
_FLOOR = 2.0**-9  # light that is added before the logarithm: black is 9 EV below white
_MOST = 9 * _UNIT  # the greatest code; the least is 0
_CODES = torch.from_numpy(tone.light_of("uint8").copy()).add(_FLOOR).log2().add(9).mul(_UNIT).round().clamp(0, _MOST)
_LIGHT = torch.from_numpy(tone.light_of("uint8").copy())


def tone_quantiles(images_BCHW: Tensor) -> Tensor:
    """Quantiles of uint8 RGB `(B, 3, H, W)`, float32 `(B, QUANTILE_FEATURES)`.

    Seventeen `QUANTILES` each: of log2 of the light (in EV, plus a floor 9 EV below white) of R, G, B and the
    luminance; of the log2 ratios R/G, B/G and R/B, times 1.5; of the saturation `1 − least/most`, times 3; and log2 of
    those of the differences between neighbours, in luminance, R/G and B/G. The factors make their spreads alike.
    """
    device = images_BCHW.device
    codes_BCHW = _CODES.to(device, torch.int32)[images_BCHW.int()]
    red, green, blue = codes_BCHW.unbind(1)
    light_BCHW = _LIGHT.to(device)[images_BCHW.int()]
    luminance = torch.einsum("bchw,c->bhw", light_BCHW, torch.from_numpy(tone.LUMA).to(device))
    luminance = (luminance + _FLOOR).log2_().add_(9).mul_(_UNIT).round_().clamp_(0, _MOST).int()
    warm, cold = red - green, blue - green
    lights = [_quantiles(plane.flatten(1), _MOST + 1) / _UNIT - 9 for plane in (red, green, blue, luminance)]
    ratios = [
        (_quantiles(plane.flatten(1) + _MOST, 2 * _MOST + 1) - _MOST) * (1.5 / _UNIT)
        for plane in (warm, cold, red - blue)
    ]
    spans = _quantiles((codes_BCHW.amax(1) - codes_BCHW.amin(1)).flatten(1), _MOST + 1)
    edges = [
        (_quantiles(_differences(plane), 2 * _MOST + 1) / _UNIT + 1 / _UNIT).log2() for plane in (luminance, warm, cold)
    ]
    return torch.cat([*lights, *ratios, 3 * (1 - torch.exp2(-spans / _UNIT)), *edges], 1)


def _differences(plane_BHW: Tensor) -> Tensor:
    """Absolute differences between neighbours, below and beside: `(B, N)`."""
    below, beside = plane_BHW[:, 1:] - plane_BHW[:, :-1], plane_BHW[:, :, 1:] - plane_BHW[:, :, :-1]
    return torch.cat([below.flatten(1), beside.flatten(1)], 1).abs_()


def _quantiles(codes_BN: Tensor, number: int) -> Tensor:
    """`QUANTILES` of codes in [0, number), float32 `(B, Q)`: counted, which takes a tenth of sorting."""
    ranks_Q = torch.tensor(QUANTILES, device=codes_BN.device) * (codes_BN.shape[1] - 1)
    up_to_BN = bin_counts(codes_BN, number).cumsum(1).float()
    return torch.searchsorted(up_to_BN, ranks_Q.round().expand(len(codes_BN), -1).contiguous(), right=True).float()


def bin_counts(bins: Tensor, number: int) -> Tensor:
    """How often each of `number` bins occurs along the last dimension, the others as rows: `(rows, number)`."""
    rows = bins.int().reshape(-1, bins.shape[-1])
    first = torch.arange(0, len(rows) * number, number, dtype=torch.int32, device=bins.device)
    # Each row has bins of its own in one long vector; a tenth of what `scatter_add_` takes on a CPU.
    return torch.bincount((rows + first[:, None]).view(-1), minlength=len(rows) * number).view(len(rows), number)
