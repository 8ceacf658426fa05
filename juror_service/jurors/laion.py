"""The LAION aesthetic predictors: how much people would like an image, by CLIP ViT-L/14 and a linear head.

**The score** is a float32 on the scale of its training data, 1 to 10; higher is better, and most photographs lie
between 4 and 7. The head is linear, so nothing confines a score to that range.

The encoder is CLIP ViT-L/14 at 224×224 pixels (arXiv:2103.00020). Its projected embedding must be scaled to unit
length: the heads were trained on such embeddings, and on others their scores leave the scale. There are two heads:

- `mlp`, LAION's second (LAION-5B, arXiv:2210.08402): linear layers of 1024, 128, 64, 16 and 1 outputs with dropout and
  no activation between them, trained on Simulacra captions, AVA and logos.
- `linear`, the first: one linear layer, trained on Simulacra captions.

Images are squeezed into a square; CLIP's own processor cuts the middle out of a photo instead, which would hide from
the juror what an edit did at the borders.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from juror_service.jurors.registry import Juror
from juror_service.jurors.vision_weights import Release
from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.scores.scorer import Scorer

_MLP = Release(
    juror="laion",
    encoder="openai/clip-vit-large-patch14",
    encoder_class="CLIPVisionModelWithProjection",
    embedding="image_embeds",
    width="projection_dim",
    architecture={
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "projection_dim": 768,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
    },
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    head="sac+logos+ava1-l14-linearMSE.pth",
    head_url=(
        "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
        "sac%2Blogos%2Bava1-l14-linearMSE.pth"
    ),
    layers=tuple(f"layers.{i}" for i in (0, 2, 4, 6, 7)),
    hidden=(1024, 128, 64, 16),
    score_range=(1.0, 10.0),
)

RELEASES = {
    "mlp": _MLP,
    "linear": replace(
        _MLP,
        head="sa_0_4_vit_l_14_linear.pth",
        head_url="https://github.com/LAION-AI/aesthetic-predictor/raw/main/sa_0_4_vit_l_14_linear.pth",
        layers=("",),
        hidden=(),
    ),
}
"""What was published, by the name of the head."""


def load(
    weights: str | Path | None = None,
    head: str = "mlp",
    device: str | None = None,
    dtype: str | None = None,
    compile: bool | str = False,
    batch: int = 64,
    size: int | None = None,
) -> Scorer:
    """The juror with one of its heads; the other options and the errors are those of `vision_tower.VisionJuror`.

    Raises:
        UserError: no head has that name.
    """
    if head not in RELEASES:
        raise UserError(
            f"juror 'laion' has no head {head!r}{closest(str(head), RELEASES)}; it has {', '.join(RELEASES)}"
        )
    from juror_service.jurors.vision_tower import VisionJuror

    return VisionJuror(RELEASES[head], weights, device, dtype, compile, batch, size)


JUROR = Juror(
    title="how much people would like an image, from 1 to 10 (most photos 4 to 7)",
    licence="MIT AND Apache-2.0",
    size=224,
    weights=f"the hub's {_MLP.encoder} and {_MLP.head}, or its option weights",
    weights_bytes=1_714_200_000,
    load=load,
)
