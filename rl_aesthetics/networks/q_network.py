"""What every Q-network is, and the usual one: features, then a head with an output for each action.

Shapes: B batch, A actions, C H W image, F features, Z atoms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl_aesthetics.networks.heads import ActionHead, of_actions, project

UNSETTLED = -1.5, 1.5
"""Between which returns lie where nobody said so."""


class QNetwork(nn.Module):
    """Values of all actions for a batch of observations.

    Args:
        actions: canonical names in the order of the action indices, `STOP` last or not at all.
        size: side S of the square observation.

    Attributes:
        values_include_score: the outputs are Q(s, a) + score(s). Rewards are differences of scores, so this sum does
            not depend on score(s): it is the value of what the action leads to, on the scale of the scores. The arg max
            is the same; the learner puts the scores into its targets.
        mirror: whether `Afterstate` looks at the mirror image, too, when acting.
    """

    values_include_score = False
    mirror = False
    trunk: nn.Module

    def __init__(self, actions: Sequence[str], size: int = 64):
        super().__init__()
        self.actions, self.size = tuple(actions), size

    def forward(self, observations_BCHW: Tensor) -> Tensor:
        """float32 `(B, A)` from uint8 `(B, 3, S, S)`."""
        raise NotImplementedError

    def features(self, images_BCHW: Tensor) -> Tensor:
        """What `self.trunk` makes of images, float32 `(B, F)`."""
        features_BF: Tensor = self.trunk(images_BCHW)
        return features_BF

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


def channels_of(trunk: nn.Module) -> int:
    """Of the observations that a trunk looks at: 3, for RGB, unless it says otherwise."""
    return getattr(trunk, "channels", 3)


class HeadPerAction(QNetwork):
    """Convolutions, then a head with an output for each action: what DQN is used with everywhere.

    Args:
        trunk: uint8 `(B, 3, S, S)` to features float32 `(B, F)`.
        hidden: width of the head's hidden layer.
        dueling: a stream for the value of the state and one for the advantages of actions (arXiv 1511.06581).
        num_atoms: more than 1 learns the distribution of the return over so many values (C51, arXiv 1707.06887).
        value_support: the least and the greatest of these values; `UNSETTLED` if left out.
        noisy: learned noise on the head's weights in place of random actions (arXiv 1706.10295).
    """

    support_Z: Tensor

    def __init__(
        self,
        actions: Sequence[str],
        size: int,
        trunk: nn.Module,
        hidden: int,
        *,
        dueling: bool = False,
        num_atoms: int = 1,
        value_support: tuple[float, float] | None = None,
        noisy: bool = False,
    ):
        super().__init__(actions, size)
        self.trunk = trunk.eval()
        with torch.no_grad():
            features = trunk(torch.zeros(1, channels_of(trunk), size, size, dtype=torch.uint8)).shape[1]
        self.head = ActionHead(features, hidden, len(self.actions), num_atoms, dueling, noisy)
        low, high = value_support or UNSETTLED
        self.register_buffer("support_Z", torch.linspace(low, high, num_atoms), persistent=False)
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
