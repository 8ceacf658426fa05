"""Q(s, a) from what the action leads to: an afterstate network (Sutton and Barto, section 6.8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.edits.view import edit_observations
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.trunks import WIDTHS, FoldedTrunk, convolution_trunk


class Afterstate(QNetwork):
    """Looks at what each action would produce: Q(s, a) + score(s) = f(edit(s, a)), one function for all actions.

    f has two outputs for an image: the value of going on from it, and the value of stopping at it (the action STOP).
    Sharing f over all actions is what lets it generalise to photos it never saw; the price is that acting looks at A
    images for a state. Learning looks only at the action that was taken.

    Args:
        widths: channels of the convolutions (`convolution_trunk`); fewer act and learn faster. `WIDTHS` if left out.
        value_range: the least and the greatest value there can be, if that is known (the scores' range, and the bonus).
            Then f is a logistic regression on that range, learned by cross-entropy, which has no vanishing gradients
            where Huber's loss behind a sigmoid would, and cannot overshoot (compare arXiv 2403.03950).
        values_include_score: False where Q alone is what depends on the result only (`Reward.telescopes`).
        mirror: in evaluation mode, outputs are means over an image and its mirror image; rollout workers do without.
    """

    values_include_score = True
    trunk: nn.Sequential

    def __init__(
        self,
        actions: Sequence[str],
        size: int,
        *,
        widths: Sequence[int] | None = None,
        value_range: tuple[float, float] | None = None,
        values_include_score: bool = True,
        mirror: bool = False,
    ):
        super().__init__(actions, size)
        self.mirror, self.value_range, self.values_include_score = mirror, value_range, values_include_score
        widths = widths or WIDTHS
        self._folded: FoldedTrunk | None = None
        self.register_load_state_dict_post_hook(lambda network, _: network._forget_folded())
        self.trunk = convolution_trunk(widths)
        self.head = nn.Linear(widths[-1], 2)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.edits = tuple(name for name in self.actions if name != STOP)
        space = edit_space(self.actions)
        first_A = space.after(0, np.arange(len(self.actions)))
        self.first_states_A = first_A if space.renders_reductions(first_A, size).all() else None

    def train(self, mode: bool = True) -> Afterstate:
        self._forget_folded()
        return super().train(mode)

    def _forget_folded(self) -> None:
        self._folded = None

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        every_A = torch.arange(len(self.actions)).repeat(len(observations_BCHW))
        images = self.edited(observations_BCHW.repeat_interleave(len(self.actions), 0), every_A)
        return self._values(self._outputs(images, every_A.to(images.device))).view(-1, len(self.actions))

    def taken(self, observations_BCHW: Tensor, actions_B: Tensor) -> Tensor:
        return self._values(self._outputs(self.edited(observations_BCHW, actions_B), actions_B))

    def loss(
        self, observations_BCHW: Tensor, actions_B: Tensor, targets_B: Tensor, stop_targets_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As in `QNetwork`, with cross-entropy where there is a `value_range`.

        Args:
            stop_targets_B: what stopping at the edited images is worth, learned beside what was done, from the same
                look at them: each edit then teaches when to stop, too.
        """
        images = self.edited(observations_BCHW, actions_B).contiguous(memory_format=torch.channels_last)
        going_on_B, stopping_B = self.head(self.features(images)).unbind(1)
        stopped_B = actions_B == len(self.edits)
        outputs_B = torch.where(stopped_B, stopping_B, going_on_B)
        loss_B = self._loss(outputs_B, targets_B)
        if stop_targets_B is not None:
            loss_B = loss_B + torch.where(stopped_B, 0.0, self._loss(stopping_B, stop_targets_B))
        return loss_B, (self._values(outputs_B) - targets_B).detach()

    def _loss(self, outputs_B: Tensor, targets_B: Tensor) -> Tensor:
        if self.value_range is None:
            return nn.functional.smooth_l1_loss(outputs_B, targets_B, reduction="none")
        low, high = self.value_range
        shares_B = ((targets_B - low) / (high - low)).clamp(0, 1)
        return nn.functional.binary_cross_entropy_with_logits(outputs_B, shares_B, reduction="none")

    def start_from(self, trunk: nn.Module, weight_F: Tensor, bias: Tensor) -> None:
        """Begin as a scorer of the same shape: going on from an image and stopping there are both worth its score.

        Args:
            trunk: convolutions with the shape of this network's, such as the pocket juror's.
            weight_F, bias: from the trunk's features to its score, before the sigmoid if there is a `value_range`.
        """
        self.trunk.load_state_dict(trunk.state_dict())
        self._forget_folded()
        with torch.no_grad():
            self.head.weight.copy_(weight_F.expand_as(self.head.weight))
            self.head.bias.copy_(bias.expand_as(self.head.bias))

    def edited(self, observations_BCHW: Tensor, actions_B: Tensor) -> Tensor:
        """What the actions lead to, uint8 `(B, 3, S, S)`; STOP leaves the image as it is.

        Photographic edits are one more step on what is seen, which has been rounded to 8 bits: an image does not tell
        the parameters that it was rendered with. That is near the next state, and the same in acting and learning.
        """
        pixels, actions = observations_BCHW.cpu().numpy(), actions_B.cpu().numpy()
        if self.first_states_A is not None:
            edited = edit_space(self.actions).render_reductions(pixels, self.first_states_A[actions])
        else:
            edited = edit_observations(pixels, [self.actions[action] for action in actions])
        return torch.from_numpy(edited).to(observations_BCHW.device)

    def _values(self, outputs: Tensor) -> Tensor:
        if self.value_range is None:
            return outputs
        low, high = self.value_range
        return low + (high - low) * torch.sigmoid(outputs)

    def _outputs(self, images_BCHW: Tensor, actions_B: Tensor) -> Tensor:
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        if self.training or torch.is_grad_enabled():
            features_BF = self.features(images_BCHW)
        else:
            self._folded = self._folded or FoldedTrunk(self.trunk)
            features_BF = self._folded(images_BCHW)
            if self.mirror:  # both outputs are linear in the features
                features_BF = (features_BF + self._folded(images_BCHW.flip(3))) / 2
        going_on_B, stopping_B = self.head(features_BF).unbind(1)
        return torch.where(actions_B == len(self.edits), stopping_B, going_on_B)
