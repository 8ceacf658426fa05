"""Rewards that pay nothing before the end of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rl_aesthetics.rewards.reward import Reward, Step


@dataclass(frozen=True)
class DelayedDifference(Reward):
    """Everything at the end, however the episode ends, with potential-based shaping if wanted:

    r = [last] (new − degraded − steps · step_penalty
                + terminal_bonus · [new ≥ original] − price(change))
        + γ Φ(s') − Φ(s),   Φ(s) = shaping · score(s), and Φ(s') = 0 after the last step

    The agent is paid for what it leaves, not for the way. Shaping tells it on the way how it is doing without changing
    which policy is best (Ng, Harada and Russell, "Policy invariance under reward transformations", ICML 1999): the
    discounted sum of the shaping terms of an episode is a telescoping sum, Σ γᵗ (γ Φ(sₜ₊₁) − Φ(sₜ)) = −Φ(s₀), whatever
    the agent does, so Q changes by −Φ(s) for all actions of a state alike, and the best one stays the best. For that
    the potential after the last step must be 0 and γ must be the agent's own discount.

    Attributes:
        shaping: weight of the potential; 0 is no shaping, 1 makes values `telescope`.
        gamma: the discount, set from `training.gamma`.
    """

    shaping: float = 0.0
    gamma: float = 0.99

    def pay(self, step: Step) -> np.ndarray:
        paid_B = step.new_B - step.degraded_B - step.steps_B * self.step_penalty + self.at_the_end(step)
        following_B = np.where(step.last_B, 0.0, self.shaping * step.new_B)
        shaped_B = self.gamma * following_B - self.shaping * step.previous_B
        return np.where(step.last_B, paid_B, 0.0) + shaped_B

    @property
    def telescopes(self) -> bool:
        """With the score itself as the potential, Q + score is the value without shaping: that of the result."""
        return self.shaping == 1

    def bounds(self, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
        low, high = _bounds_of_the_end(self, scores, max_steps)
        if self.telescopes:
            return low, high
        potentials = [self.shaping * score for score in scores]
        return low - max(potentials), high - min(potentials)


@dataclass(frozen=True)
class StopOnly(Reward):
    """Everything at the end, and what was gained only to those who say that they are done:

    r = [STOP] (new − degraded + terminal_bonus · [new ≥ original] − price(change))
        − [last] steps · step_penalty

    At the step limit without STOP the agent is paid nothing for the photo.
    """

    needs_stop: ClassVar[bool] = True

    def pay(self, step: Step) -> np.ndarray:
        gained_B = step.new_B - step.degraded_B + self.at_the_end(step)
        done_B = step.last_B & step.stopped_B
        return np.where(done_B, gained_B, 0.0) - np.where(step.last_B, step.steps_B * self.step_penalty, 0.0)

    def bounds(self, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
        return _bounds_of_the_end(self, scores, max_steps)


def _bounds_of_the_end(reward: Reward, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
    """Of γᵏ times what the last step pays, which lies between that and 0."""
    width = scores[1] - scores[0]
    return (
        min(0.0, -width - max_steps * reward.step_penalty - reward.highest_price),
        max(0.0, width - reward.step_penalty + reward.terminal_bonus),
    )
