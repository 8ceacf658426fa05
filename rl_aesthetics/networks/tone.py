"""What decides about tone and colour, for the photographic edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rl_aesthetics.edits import edit_state
from rl_aesthetics.edits.registry import STOP, TRANSFORMS
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.change_price import ChangePrice
from rl_aesthetics.networks.heads import ActionHead
from rl_aesthetics.networks.q_network import HeadPerAction
from rl_aesthetics.networks.tone_trunk import ToneTrunk

STRENGTHS = edit_state.FINELY
"""The tonal parameters whose strengths `Tone` can estimate."""


class Tone(HeadPerAction):
    """What decides about tone and colour (`rl_aesthetics.networks.tone_trunk`), for the photographic edits.

    A value is learned in units of the edit's size: three steps of exposure change a photo nine times as much as a fine
    one, and are worth as much more or less.

    Args:
        widths, histograms, mirror, dropout, quantiles, edits: of `ToneTrunk`.
        value_scale: what the outputs are divided by: rewards are hundredths, a new network's outputs tenths.
        strengths: whether the last layer also estimates how far each parameter of `STRENGTHS` still is from the
            original's. The degradation's strengths are known while training: an auxiliary task (arXiv 1611.05397) that
            says more of a photo than rewards do, and whose estimates nobody needs afterwards.
        members: networks that learn side by side from the same samples; a value is the mean of theirs. Their errors on
            photos that none has seen are not the same ones.
        change_limit, change_price: of the reward; the price is then computed (`ChangePrice`) and only the rest learned.
    """

    def __init__(
        self,
        actions: Sequence[str],
        size: int = 64,
        widths: Sequence[int] = (32, 64, 96, 128),
        histograms: bool | Sequence[int] = False,
        mirror: bool = False,
        dropout: float = 0.0,
        quantiles: bool = False,
        edits: bool = False,
        strengths: bool = False,
        members: int = 1,
        value_scale: float = 1.0,
        change_limit: float = 1.0,
        change_price: float = 1.0,
        **head: Any,
    ):
        if change_limit < 1 and not edits:
            raise UserError("network 'tone' computes the price of change from the edits so far: it needs edits")
        if members > 1 and widths:
            raise UserError("network 'tone': members share what is described beforehand; they need widths=[]")
        sight = (widths, histograms, mirror, dropout, quantiles, edits)
        super().__init__(actions, size, ToneTrunk(*sight), 128, **head)
        outputs, own = len(self.actions) + (len(STRENGTHS) if strengths else 0), self.head
        if (strengths or members > 1) and (self.distributional or own.value is not None):
            raise UserError("network 'tone': strengths and members go with plain values: no atoms, not dueling")

        def new_head() -> ActionHead:
            return ActionHead(own.features, own.hidden, outputs, noisy=head.get("noisy", False))

        if strengths:
            self.head = new_head()
        self.others = nn.ModuleList(
            nn.ModuleDict({"trunk": ToneTrunk(*sight), "head": new_head()}) for _ in range(members - 1)
        )
        self.price = ChangePrice(self.actions, change_limit, change_price) if change_limit < 1 else None
        scale_A = torch.tensor([_steps(name) for name in self.actions])
        self.register_buffer("scale_A", scale_A / value_scale, persistent=False)

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        if self.trunk.describes:
            return self.of_description(self.trunk.describe(observations_BCHW), observations_BCHW)
        values_BA = super().forward(observations_BCHW)[:, : len(self.actions)] * self.scale_A
        return self._less_price(values_BA, observations_BCHW)

    def of_description(self, described_BD: Tensor, observations_BCHW: Tensor) -> Tensor:
        """What `forward` gives of observations that `trunk.describe` has described already."""
        return self._less_price(self.learned(described_BD)[0].mean(0), observations_BCHW)

    def _less_price(self, values_BA: Tensor, observations_BCHW: Tensor) -> Tensor:
        if self.price is None:
            return values_BA
        return values_BA - torch.from_numpy(self.price(observations_BCHW.cpu().numpy())).to(values_BA.device)

    def learned(self, described_BD: Tensor) -> tuple[Tensor, Tensor]:
        """What each of M members makes of what `trunk.describe` gives: values without the price of change
        `(M, B, A)`, and estimated strengths `(M, B, len(STRENGTHS))`, empty where none are."""
        members = [(self.trunk, self.head), *((other["trunk"], other["head"]) for other in self.others)]
        outputs = [head(trunk.of_description(described_BD)) for trunk, head in members]
        if self.distributional:
            return ((outputs[0].softmax(2) @ self.support_Z) * self.scale_A)[None], outputs[0].new_zeros(1, 0, 0)
        outputs_MBO = torch.stack([output_BOZ[..., 0] for output_BOZ in outputs])
        actions = len(self.actions)
        return outputs_MBO[..., :actions] * self.scale_A, outputs_MBO[..., actions:]


def _steps(name: str) -> float:
    """How many steps of a tonal parameter an action takes; 1 of anything else."""
    return 1.0 if name == STOP else edit_state.edit_size(TRANSFORMS[name].change)
