"""Q-networks: from an observation to the value of every action.

To add one, subclass `QNetwork` or `HeadPerAction` (`q_network.py`), implement `forward`, and list it in `NETWORKS`.

Shapes: B batch, A actions, C H W image, F features. Observations are uint8 RGB `(B, 3, S, S)`; networks normalise them
themselves, once.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rl_aesthetics.backbones import BackboneTrunk
from rl_aesthetics.change_price import ChangePrice
from rl_aesthetics.errors import UserError
from rl_aesthetics.heads import ActionHead
from rl_aesthetics.q_network import HeadPerAction, QNetwork
from rl_aesthetics.tone_trunk import ToneTrunk
from rl_aesthetics.transforms import STOP, TRANSFORMS, algebra, photographic
from rl_aesthetics.transforms.space import edit_observations
from rl_aesthetics.transforms.transform import closest
from rl_aesthetics.trunks import WIDTHS, FoldedTrunk, convolution_trunk, plain_trunk, residual_trunk

STRENGTHS = photographic.FINELY
"""The tonal parameters whose strengths `Tone` can estimate."""


class SimpleCNN(HeadPerAction):
    """The guide's simple CNN: three 5×5 convolutions with stride 2."""

    def __init__(self, actions: Sequence[str], size: int = 64, **head: Any):
        super().__init__(actions, size, plain_trunk([(16, 5, 2), (32, 5, 2), (32, 5, 2)], size), 128, **head)


class AtariCNN(HeadPerAction):
    """The network of Mnih et al., "Human-level control through deep reinforcement learning", Nature 518, 2015."""

    def __init__(self, actions: Sequence[str], size: int = 64, **head: Any):
        super().__init__(actions, size, plain_trunk([(32, 8, 4), (64, 4, 2), (64, 3, 1)], size), 512, **head)


class Residual(HeadPerAction):
    """The larger network of IMPALA (Espeholt et al., arXiv 1802.01561): three times a convolution, max pooling and two
    residual blocks, with 16, 32 and 32 channels."""

    def __init__(self, actions: Sequence[str], size: int = 64, **head: Any):
        super().__init__(actions, size, residual_trunk(), 256, **head)


class Tone(HeadPerAction):
    """What decides about tone and colour (`rl_aesthetics.tone_trunk`), for the photographic edits.

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
            values_BA = self.learned(self.trunk.describe(observations_BCHW))[0].mean(0)
        else:
            values_BA = super().forward(observations_BCHW)[:, : len(self.actions)] * self.scale_A
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
    return 1.0 if name == STOP else photographic.edit_size(TRANSFORMS[name].change)


class _Backbone(HeadPerAction):
    """A backbone of `rl_aesthetics.backbones`, which explains its options."""

    backbone = ""

    def __init__(
        self,
        actions: Sequence[str],
        size: int = 64,
        pretrained: str | None = None,
        frozen: bool = False,
        architecture: dict[str, Any] | None = None,
        imagenet: bool | None = None,
        **head: Any,
    ):
        trunk = BackboneTrunk(self.backbone, pretrained, frozen, architecture, imagenet)
        super().__init__(actions, size, trunk, 256, **head)


class ResNet18(_Backbone):
    """ResNet18 (arXiv 1512.03385) from `transformers`, with or without pretrained weights, frozen or not."""

    backbone = "resnet18"


class EfficientNetB0(_Backbone):
    """EfficientNet-B0 (arXiv 1905.11946) from `transformers`, with or without pretrained weights, frozen or not."""

    backbone = "efficientnet_b0"


class EditScoring(QNetwork):
    """Looks at what each action would produce: Q(s, a) + score(s) = f(edit(s, a)), one function for all actions.

    f has two outputs for an image: the value of going on from it, and the value of stopping at it (the action STOP).
    Sharing f over all actions is what lets it generalise to photos it never saw; the price is that acting looks at A
    images for a state. Learning looks only at the action that was taken.

    Args:
        value_range: the least and the greatest value there can be, if that is known (the scores' range, and the bonus).
            Then f is a logistic regression on that range, learned by cross-entropy, which has no vanishing gradients
            where Huber's loss behind a sigmoid would, and cannot overshoot (compare arXiv 2403.03950).
        values_include_score: False where Q alone is what depends on the result only (`Reward.telescopes`).
        widths: channels of the convolutions (`convolution_trunk`); fewer act and learn faster.
        mirror: in evaluation mode, outputs are means over an image and its mirror image; rollout workers do without.
    """

    values_include_score = True

    def __init__(
        self,
        actions: Sequence[str],
        size: int = 64,
        value_range: tuple[float, float] | None = None,
        values_include_score: bool = True,
        widths: Sequence[int] = WIDTHS,
        mirror: bool = False,
    ):
        super().__init__(actions, size)
        self.mirror = mirror
        self.value_range, self.values_include_score = value_range, values_include_score
        self._folded: FoldedTrunk | None = None
        self.register_load_state_dict_post_hook(lambda network, _: network._forget_folded())
        self.trunk = convolution_trunk(widths)
        self.head = nn.Linear(widths[-1], 2)
        self.to(memory_format=torch.channels_last)
        self.edits = tuple(name for name in self.actions if name != STOP)
        elements = [TRANSFORMS[name].element for name in self.edits]
        self.reversible = None not in elements
        if self.reversible:
            self.elements_A = np.array([*elements, *([algebra.ORIGINAL] if STOP in self.actions else [])])
        changes = [TRANSFORMS[name].change for name in self.edits]
        self.parameters_A: np.ndarray | None = None
        if None not in changes:
            states = photographic.after(photographic.UNEDITED, changes)
            if photographic.is_pointwise(states).all():
                stay = [photographic.UNEDITED] if STOP in self.actions else []
                self.parameters_A = np.array([*states, *stay])

    def train(self, mode: bool = True) -> EditScoring:
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
        if self.reversible:
            edited = algebra.render_rgb(pixels, self.elements_A[actions])
        elif self.parameters_A is not None:
            edited = photographic.render_reductions(pixels, self.parameters_A[actions])
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


NETWORKS: dict[str, type[QNetwork]] = {
    "simple_cnn": SimpleCNN,
    "atari_cnn": AtariCNN,
    "residual": Residual,
    "tone": Tone,
    "resnet18": ResNet18,
    "efficientnet_b0": EfficientNetB0,
    "edit_scoring": EditScoring,
}
"""Every Q-network by its name in the configuration."""


def make_network(name: str, actions: Sequence[str], size: int = 64, **options: Any) -> QNetwork:
    """Build a Q-network by name.

    Args:
        options: keyword arguments of the network's own.

    Raises:
        UserError: no network has that name, or it has no such option.
    """
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}{closest(name, NETWORKS)}; there are {', '.join(NETWORKS)}")
    known = _options(NETWORKS[name])
    if unknown := set(options) - known:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise UserError(f"network {name!r} has no option {sorted(unknown)[0]!r}; {has}")
    return NETWORKS[name](actions, size, **options)


def _options(network: type[QNetwork]) -> set[str]:
    """Names of the keyword arguments of a network's own, those included that it hands on to the class above."""
    names: set[str] = set()
    for kind in network.__mro__:
        parameters = inspect.signature(kind.__init__).parameters
        names |= {name for name, its in parameters.items() if its.default is not its.empty and name != "size"}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names
