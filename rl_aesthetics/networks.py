"""Q-networks: from an observation to the value of every action.

To add one, subclass `QNetwork`, implement `forward`, and list it in `NETWORKS`.

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
from rl_aesthetics.errors import UserError
from rl_aesthetics.heads import ActionHead, of_actions, project
from rl_aesthetics.tone_trunk import ToneTrunk
from rl_aesthetics.transforms import STOP, TRANSFORMS, algebra, photographic
from rl_aesthetics.transforms.space import edit_observations
from rl_aesthetics.transforms.transform import closest
from rl_aesthetics.trunks import WIDTHS, FoldedTrunk, convolution_trunk, plain_trunk, residual_trunk


class QNetwork(nn.Module):
    """Values of all actions for a batch of observations.

    Args:
        actions: canonical names in the order of the action indices, `STOP` last or not at all.
        size: side S of the square observation.

    Attributes:
        values_include_score: the outputs are Q(s, a) + score(s). Rewards are differences of scores, so this sum does
            not depend on score(s): it is the value of what the action leads to, on the scale of the scores. The arg max
            is the same; the learner puts the scores into its targets.
        bf16: whether `features` computes in bfloat16, by autocast.
        mirror: whether `EditScoring` looks at the mirror image, too, when acting (`ToneTrunk` has its own).
    """

    values_include_score = False
    bf16 = False
    mirror = False
    trunk: nn.Module

    def __init__(self, actions: Sequence[str], size: int = 64):
        super().__init__()
        self.actions, self.size = tuple(actions), size

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        """float32 `(B, A)` from uint8 `(B, 3, S, S)`."""
        raise NotImplementedError

    def features(self, images_BCHW: Tensor) -> Tensor:
        """What `self.trunk` makes of images, float32 `(B, F)`: in bfloat16 on the way, if that is wanted."""
        with torch.autocast(images_BCHW.device.type, torch.bfloat16, enabled=self.bf16):
            features_BF = self.trunk(images_BCHW)
        return features_BF.float()

    def taken(self, observations_BCHW: Tensor, actions_B: Tensor) -> Tensor:
        """float32 `(B,)`: the values of one action each, which is what learning needs."""
        return self(observations_BCHW).gather(1, actions_B.long()[:, None])[:, 0]

    def following(self, observations_BCHW: Tensor, actions_B: Tensor | None) -> Tensor:
        """What targets are made from: the values float32 `(B,)` of these actions, or of the best where None."""
        if actions_B is None:
            return self(observations_BCHW).amax(1)
        return self.taken(observations_BCHW, actions_B)

    def targets(self, returns_B: Tensor, discounts_B: Tensor, following: Tensor) -> Tensor:
        """Return + discount × value of what follows, float32 `(B,)`, from what the method `following` gave."""
        return returns_B + discounts_B * following

    def loss(self, observations_BCHW: Tensor, actions_B: Tensor, targets_B: Tensor) -> tuple[Tensor, Tensor]:
        """What learning minimises, and the TD errors (value − target): float32 `(B,)` each. Huber's loss here."""
        values_B = self.taken(observations_BCHW, actions_B)
        return nn.functional.smooth_l1_loss(values_B, targets_B, reduction="none"), (values_B - targets_B).detach()


class HeadPerAction(QNetwork):
    """Convolutions, then a head with an output for each action: what DQN is used with everywhere.

    Args:
        trunk: uint8 `(B, 3, S, S)` to features float32 `(B, F)`.
        hidden: width of the head's hidden layer.
        dueling: a stream for the value of the state and one for the advantages of actions (arXiv 1511.06581).
        num_atoms: more than 1 learns the distribution of the return over so many values (C51, arXiv 1707.06887).
        value_support: the least and the greatest of these values.
        noisy: learned noise on the head's weights in place of random actions (arXiv 1706.10295).
    """

    def __init__(
        self,
        actions: Sequence[str],
        size: int,
        trunk: nn.Module,
        hidden: int,
        *,
        dueling: bool = False,
        num_atoms: int = 1,
        value_support: tuple[float, float] = (-1.5, 1.5),
        noisy: bool = False,
    ):
        super().__init__(actions, size)
        self.trunk = trunk.eval()
        with torch.no_grad():
            features = trunk(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]
        self.head = ActionHead(features, hidden, len(self.actions), num_atoms, dueling, noisy)
        self.register_buffer("support_Z", torch.linspace(*value_support, num_atoms), persistent=False)
        self.distributional = num_atoms > 1
        self.train()

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        outputs_BAZ = self.head(self.features(observations_BCHW))
        if not self.distributional:
            return outputs_BAZ[..., 0]
        return outputs_BAZ.softmax(2) @ self.support_Z

    def following(self, observations_BCHW: Tensor, actions_B: Tensor | None) -> Tensor:
        """With atoms the distribution float32 `(B, Z)` of the actions' returns, in place of their means."""
        if not self.distributional:
            return super().following(observations_BCHW, actions_B)
        probabilities_BAZ = self.head(self.features(observations_BCHW)).softmax(2)
        if actions_B is None:
            actions_B = (probabilities_BAZ @ self.support_Z).argmax(1)
        return of_actions(probabilities_BAZ, actions_B)

    def targets(self, returns_B: Tensor, discounts_B: Tensor, following: Tensor) -> Tensor:
        """With atoms the distribution of return + discount × what follows, float32 `(B, Z)`."""
        if not self.distributional:
            return super().targets(returns_B, discounts_B, following)
        return project(returns_B, discounts_B, following, self.support_Z)

    def loss(self, observations_BCHW: Tensor, actions_B: Tensor, targets_B: Tensor) -> tuple[Tensor, Tensor]:
        """With atoms the cross-entropy to the target distribution, and as errors the KL divergence from it, as in
        Rainbow (arXiv 1710.02298): its bound is 0, where cross-entropy's is the target's entropy."""
        if not self.distributional:
            return super().loss(observations_BCHW, actions_B, targets_B)
        logits_BZ = of_actions(self.head(self.features(observations_BCHW)), actions_B)
        loss_B = -(targets_B * logits_BZ.log_softmax(1)).sum(1)
        return loss_B, (loss_B + torch.xlogy(targets_B, targets_B).sum(1)).detach()


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

    Args:
        widths, histograms, mirror, dropout: of `ToneTrunk`.
        value_scale: what the head's outputs are divided by. Rewards are hundredths where a new network's outputs are
            tenths; where they are of one size, learning is not spent on becoming small.
    """

    def __init__(
        self,
        actions: Sequence[str],
        size: int = 64,
        widths: Sequence[int] = (32, 64, 96, 128),
        histograms: bool | Sequence[int] = False,
        mirror: bool = False,
        dropout: float = 0.0,
        value_scale: float = 1.0,
        **head: Any,
    ):
        super().__init__(actions, size, ToneTrunk(widths, histograms, mirror, dropout), 128, **head)
        self.value_scale = value_scale

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        return super().forward(observations_BCHW) / self.value_scale


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
