"""Aesthetic Predictor V2.5: how much people would like an image, by a SigLIP encoder and five linear layers.

**The score** is a float32 on the scale of its training data, 1 to 10; higher is better, and by its authors' words 5.5
and more is a great image. The last layer is linear, so nothing confines a score to that range.

The encoder is SigLIP so400m, patches of 14, 384×384 pixels (arXiv:2303.15343); its pooled embedding, scaled to unit
length, goes through linear layers of 1024, 128, 64, 16 and 1 outputs with dropout and no activation between them.
Images are squeezed into a square, as SigLIP's own processor does.

The head's weights are published under the AGPL-3.0, the encoder's under Apache-2.0; neither comes with this package.
"""

from __future__ import annotations

from pathlib import Path

from juror_service.jurors.registry import Juror
from juror_service.jurors.vision_weights import Release
from rl_aesthetics.scores.scorer import Scorer

RELEASE = Release(
    juror="aesthetic_v2_5",
    encoder="google/siglip-so400m-patch14-384",
    encoder_class="SiglipVisionModel",
    embedding="pooler_output",
    width="hidden_size",
    architecture={
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    head="aesthetic_predictor_v2_5.pth",
    head_url="https://github.com/discus0434/aesthetic-predictor-v2-5/raw/main/models/aesthetic_predictor_v2_5.pth",
    layers=tuple(f"scoring_head.{i}" for i in (0, 2, 4, 6, 8)),
    hidden=(1024, 128, 64, 16),
    score_range=(1.0, 10.0),
)


def load(
    weights: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    compile: bool | str = False,
    batch: int = 64,
    size: int | None = None,
) -> Scorer:
    """The juror; options and errors are those of `vision_tower.VisionJuror`."""
    from juror_service.jurors.vision_tower import VisionJuror

    return VisionJuror(RELEASE, weights, device, dtype, compile, batch, size)


JUROR = Juror(
    title="how much people would like an image, from 1 to 10 (5.5 is great)",
    licence="Apache-2.0 AND AGPL-3.0-only",
    size=384,
    weights=f"the hub's {RELEASE.encoder} and {RELEASE.head}, or its option weights",
    weights_bytes=3_515_000_000,
    load=load,
)
