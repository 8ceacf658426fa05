"""Rewards that pay at every step what the step did to the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_aesthetics.rewards.reward import Reward, Step


@dataclass(frozen=True)
class ScoreDifference(Reward):
    """The guide's reward, and the default:

    r = new − previous − step_penalty
        + [last] (terminal_bonus · [new ≥ original] − price(change))
    """

    def pay(self, step: Step) -> np.ndarray:
        return step.new_B - step.previous_B - self.step_penalty + self.at_the_end(step)

    @property
    def telescopes(self) -> bool:
        return True

    def bounds(self, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
        # Q + score is a mean of scores to come, less the penalties, plus what the end brings.
        low, high = scores
        return (
            low - max_steps * self.step_penalty - self.highest_price,
            high - self.step_penalty + self.terminal_bonus,
        )


@dataclass(frozen=True)
class SigmoidBonus(ScoreDifference):
    """The default with a bonus that grows smoothly around the original's score instead of jumping there:

    r = new − previous − step_penalty
        + [last] (terminal_bonus · σ((new − original) / width) − price(change))

    so an agent that cannot reach the original's score is still told which results come closer. At the original's score
    it pays half of `terminal_bonus`.

    Attributes:
        width: of the slope, in units of the score, above 0: the bonus goes from 12 to 88 % within ±2 of them.
    """

    width: float = 0.05

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width must be above 0, got {self.width}")

    def at_the_end(self, step: Step) -> np.ndarray:
        gap_B = np.where(step.last_B, step.new_B - step.original_B, 0.0)
        bonus_B = self.terminal_bonus * 0.5 * (1 + np.tanh(0.5 * gap_B / self.width))  # σ, which cannot overflow so
        return np.where(step.last_B, bonus_B - self.price(step.change_B), 0.0)


@dataclass(frozen=True)
class ClippedDifference(Reward):
    """The default with every difference cut to ±limit, as DQN cuts its rewards (Nature 518, 2015):

    r = clip(new − previous, −limit, limit) − step_penalty
        + [last] (terminal_bonus · [new ≥ original] − price(change))

    One photo with huge differences then no longer outweighs all others. The price, where `limit` is below the
    differences that edits make: going up in two small steps pays more than in one great step, and up in two steps and
    down in one pays although nothing was gained.

    Attributes:
        limit: in units of the score, above 0.
    """

    limit: float = 0.25

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"limit must be above 0, got {self.limit}")

    def pay(self, step: Step) -> np.ndarray:
        difference_B = np.clip(step.new_B - step.previous_B, -self.limit, self.limit)
        return difference_B - self.step_penalty + self.at_the_end(step)

    def bounds(self, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
        limit = min(self.limit, scores[1] - scores[0])
        most = limit - self.step_penalty
        return (
            -max_steps * (limit + self.step_penalty) - self.highest_price,
            max(most, max_steps * most) + self.terminal_bonus,
        )
