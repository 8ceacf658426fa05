"""What decides about tone and colour, for the photographic edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from rl_aesthetics.edits import edit_state
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.networks.change_price import ChangePrice
from rl_aesthetics.networks.heads import ActionHead
from rl_aesthetics.networks.q_network import HeadPerAction
from rl_aesthetics.networks.tone_trunk import ToneTrunk

STRENGTHS = edit_state.FINELY
"""The tonal parameters whose strengths `Tone` estimates."""

HIDDEN = 128
"""Width of the heads' hidden layer."""


class Tone(HeadPerAction):
    """What decides about tone and colour (`rl_aesthetics.networks.tone_trunk`), for the photographic edits.

    A value is learned in units of the edit's size: three steps of exposure change a photo nine times as much as a fine
    one, and are worth as much more or less.

    The last layer also estimates how far each parameter of `STRENGTHS` still is from the original's. The degradation's
    strengths are known while training: an auxiliary task (arXiv 1611.05397) that says more of a photo than rewards do,
    and whose estimates nobody needs afterwards.

    Args:
        histograms, dropout: of `ToneTrunk`.
        members: networks that learn side by side from the same samples; a value is the mean of theirs. Their errors on
            photos that none has seen are not the same ones.
        value_scale: what the outputs are divided by: rewards are hundredths, a new network's outputs tenths.
        change_limit, change_price: of the reward; the price is then computed (`ChangePrice`) and only the rest learned.
    """

    trunk: ToneTrunk
    scale_A: Tensor

    def __init__(
        self,
        actions: Sequence[str],
        size: int,
        *,
        histograms: Sequence[int],
        dropout: float,
        members: int,
        value_scale: float,
        change_limit: float,
        change_price: float,
    ):
        super().__init__(actions, size, ToneTrunk(histograms, dropout), HIDDEN)
        values = self.head  # its place is taken by one that estimates strengths, too
        outputs = len(self.actions) + len(STRENGTHS)
        self.head = ActionHead(values.features, HIDDEN, outputs)
        self.others = nn.ModuleList(
            nn.ModuleDict(
                {"trunk": ToneTrunk(histograms, dropout), "head": ActionHead(values.features, HIDDEN, outputs)}
            )
            for _ in range(members - 1)
        )
        self.price = ChangePrice(self.actions, change_limit, change_price) if change_limit < 1 else None
        scale_A = torch.tensor([_steps(name) for name in self.actions])
        self.register_buffer("scale_A", scale_A / value_scale, persistent=False)

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        return self.of_description(self.trunk.describe(observations_BCHW), observations_BCHW)

    def of_description(self, described_BD: Tensor, observations_BCHW: Tensor) -> Tensor:
        """What `forward` gives of observations that `trunk.describe` has described already."""
        values_BA = self.learned(described_BD)[0].mean(0)
        if self.price is None:
            return values_BA
        return values_BA - torch.from_numpy(self.price(observations_BCHW.cpu().numpy())).to(values_BA.device)

    def learned(self, described_BD: Tensor) -> tuple[Tensor, Tensor]:
        """What each of M members makes of what `trunk.describe` gives: values without the price of change
        `(M, B, A)`, and estimated strengths `(M, B, len(STRENGTHS))`."""
        members: list[tuple[Any, Any]] = [(self.trunk, self.head)]
        members += [(other["trunk"], other["head"]) for other in cast("list[nn.ModuleDict]", self.others)]
        outputs_MBO = torch.stack([head(trunk.of_description(described_BD))[..., 0] for trunk, head in members])
        actions = len(self.actions)
        return outputs_MBO[..., :actions] * self.scale_A, outputs_MBO[..., actions:]


def _steps(name: str) -> float:
    """How many steps of a tonal parameter an action takes; 1 of anything else."""
    return 1.0 if name == STOP else edit_state.edit_size(TRANSFORMS[name].change)
