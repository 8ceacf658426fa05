"""What comes after the convolutions of a Q-network: dueling streams, value distributions, noise that explores.

All can be combined, as in Rainbow (arXiv 1710.02298). Shapes: B batch, F features, A actions, Z atoms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class NoisyLinear(nn.Module):
    """A linear layer whose weights carry learned, factorised Gaussian noise (Fortunato et al., arXiv 1706.10295).

    y = (μ + σ ⊙ f(εₒ) f(εᵢ)ᵀ) x + μ_b + σ_b ⊙ f(εₒ) with f(ε) = sign(ε) √|ε|. Every row of every batch has noise of its
    own, drawn anew in each call: episodes that run side by side explore differently, and nobody has to remember to
    resample. Without noise, which is how it begins, it is the linear layer of μ.

    Args:
        inputs, outputs: widths.
        sigma: the noise's size at first, before the division by √inputs; the paper's σ₀.

    Attributes:
        noisy: whether there is noise. Training and acting in training have it, evaluation has not; `set_noise` says.
    """

    def __init__(self, inputs: int, outputs: int, sigma: float = 0.5):
        super().__init__()
        self.noisy = False
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma * bound))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma * bound))

    def forward(self, features_BF: Tensor) -> Tensor:
        """float `(B, outputs)` of float `(B, inputs)`."""
        means = nn.functional.linear(features_BF, self.weight, self.bias)
        if not self.noisy:
            return means
        inwards = self._noise(features_BF, self.weight.shape[1])
        outwards = self._noise(features_BF, self.weight.shape[0])
        return means + outwards * nn.functional.linear(features_BF * inwards, self.weight_sigma, self.bias_sigma)

    @staticmethod
    def _noise(like: Tensor, width: int) -> Tensor:
        noise = torch.randn(len(like), width, device=like.device, dtype=like.dtype)
        return noise.sign() * noise.abs().sqrt()


def set_noise(network: nn.Module, on: bool) -> None:
    """Turn the noise of all noisy layers in a network on or off."""
    for module in network.modules():
        if isinstance(module, NoisyLinear):
            module.noisy = on


class ActionHead(nn.Module):
    """From features to Z numbers for each action: one hidden layer, or one for each stream of a dueling network.

    Dueling (Wang et al., arXiv 1511.06581): Q(s, a) = V(s) + A(s, a) − mean over a' of A(s, a'). With atoms each has
    its own V and mean, as in Rainbow: a single V added to all atoms' logits would vanish in their softmax.

    Args:
        features, hidden, actions, atoms: widths.
        dueling: whether there are two streams.
        noisy: whether its layers are noisy ones.
    """

    def __init__(self, features: int, hidden: int, actions: int, atoms: int = 1, dueling: bool = False, noisy=False):
        super().__init__()
        self.features, self.hidden, self.actions, self.atoms = features, hidden, actions, atoms
        linear: Callable[[int, int], nn.Module] = NoisyLinear if noisy else nn.Linear

        def stream(outputs: int) -> nn.Sequential:
            return nn.Sequential(linear(features, hidden), nn.ReLU(), linear(hidden, outputs))

        self.advantage = stream(actions * atoms)
        self.value = stream(atoms) if dueling else None

    def forward(self, features_BF: Tensor) -> Tensor:
        """float `(B, A, Z)`."""
        advantage_BAZ = self.advantage(features_BF).view(-1, self.actions, self.atoms)
        if self.value is None:
            return advantage_BAZ
        value_B1Z = self.value(features_BF).view(-1, 1, self.atoms)
        return value_B1Z + advantage_BAZ - advantage_BAZ.mean(1, keepdim=True)


def project(returns_B: Tensor, discounts_B: Tensor, probabilities_BZ: Tensor, support_Z: Tensor) -> Tensor:
    """The distribution of return + discount × Z on the atoms of Z: float `(B, Z)`, rows sum to what they did.

    The categorical projection of Bellemare et al., arXiv 1707.06887, equation 7: an atom that falls between two others
    is shared out to them in proportion to nearness; one beyond the support goes to its end.

    Args:
        returns_B: rewards until the value that follows, float.
        discounts_B: what that value is multiplied with, 0 at the end of an episode.
        probabilities_BZ: the distribution of the value that follows.
        support_Z: evenly spaced, rising values of the atoms.
    """
    moved_BZ = returns_B[:, None] + discounts_B[:, None] * support_Z
    moved_BZ = moved_BZ.clamp(support_Z[0], support_Z[-1])
    spacing = support_Z[1] - support_Z[0]
    shares_BZZ = (1 - (moved_BZ[:, None, :] - support_Z[None, :, None]).abs() / spacing).clamp(0, 1)
    return (shares_BZZ @ probabilities_BZ[:, :, None])[:, :, 0]


def of_actions(values_BAZ: Tensor, actions_B: Tensor) -> Tensor:
    """Those of one action each: `(B, Z)`."""
    return values_BAZ[torch.arange(len(actions_B), device=values_BAZ.device), actions_B.long()]
