"""What every reward is: a small frozen class, from the scores of a step to what the agent is paid for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Step:
    """One step of B episodes. All fields broadcast; scores are float32.

    Attributes:
        previous_B, new_B: scores before and after; STOP leaves the photo as it is, so its `new` is its `previous`.
        original_B: score of the original photo; known on the last step, NaN or anything else before.
        degraded_B: score that the episode began with; known on the last step, too.
        last_B: whether the episode ended here, by STOP or at the step limit.
        stopped_B: whether it ended by STOP.
        steps_B: steps taken so far, this one included.
        change_B: how far the pixels are from those that the episode began with: mean absolute difference of the
            observation, in [0, 1]; known on the last step of a reward that `prices_change`.
    """

    previous_B: np.ndarray
    new_B: np.ndarray
    original_B: np.ndarray
    degraded_B: np.ndarray
    last_B: np.ndarray
    stopped_B: np.ndarray
    steps_B: np.ndarray
    change_B: np.ndarray


@dataclass(frozen=True)
class Reward:
    """A reward; subclasses implement `pay` and `bounds`. Three terms are common to all:

        − step_penalty                          for each step, STOP included
        + terminal_bonus · [new ≥ original]     on the last step
        − change_price · [change > change_limit]   on the last step

    `change` is the mean absolute difference, in [0, 1], between the pixels that the agent was shown first and those it
    leaves. Pixels were preferred to a number of edits, because a swap of channels is a small change of a grey photo and
    a great one of a colourful one, and because edits that cannot be undone have no distance.

    Attributes:
        step_penalty: in units of the score, at least 0.
        terminal_bonus: paid once, at the end, at least 0.
        change_limit: the greatest change that is free, in (0, 1]; 1 allows everything.
        change_price: what the end costs beyond it. 1 is more than any edit earns where scores lie in [0, 1]; a few
            hundredths ask for good reasons before a photo is visibly changed.
    """

    step_penalty: float = 0.01
    terminal_bonus: float = 0.1
    change_limit: float = field(default=1.0, kw_only=True)
    change_price: float = field(default=1.0, kw_only=True)

    needs_stop: ClassVar[bool] = False
    """Whether nothing can be earned without the action STOP."""

    def __call__(
        self,
        previous_B,
        new_B,
        original_B,
        last_B,
        *,
        degraded_B=np.nan,
        stopped_B=False,
        steps_B=1,
        change_B=0.0,
    ) -> np.ndarray:
        """Rewards float32 `(B,)`; see `Step` for the arguments, which broadcast."""
        scores = (np.asarray(x, np.float32) for x in (previous_B, new_B, original_B, degraded_B))
        previous_B, new_B, original_B, degraded_B = scores
        step = Step(
            previous_B,
            new_B,
            original_B,
            degraded_B,
            np.asarray(last_B),
            np.asarray(stopped_B),
            np.asarray(steps_B),
            np.asarray(change_B, np.float32),
        )
        return np.asarray(self.pay(step), np.float32)

    def pay(self, step: Step) -> np.ndarray:
        """Rewards `(B,)` of a step."""
        raise NotImplementedError

    @property
    def telescopes(self) -> bool:
        """Whether Q(s, a) + score(s) depends on s only through what a makes of it.

        So it is where the differences of scores in the rewards add up. A network that values the result of an edit then
        learns that sum (`QNetwork.values_include_score`). The learner's target, r + score + γ (V' − score'), is right
        for every reward, because V = Q + score is only another name for Q; but where rewards do not telescope, V
        depends on the score before the edit, which a network that sees the result alone cannot know.
        """
        return False

    def bounds(self, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
        """The least and the greatest value, for any discount in [0, 1]: of Q + score if it `telescopes`, else of Q.

        Args:
            scores: the least and the greatest score.
            max_steps: the step limit.
        """
        raise NotImplementedError

    def q_bounds(self, scores: tuple[float, float], max_steps: int) -> tuple[float, float]:
        """The least and the greatest Q(s, a) there can be, for any discount in [0, 1]."""
        low, high = self.bounds(scores, max_steps)
        return (low - scores[1], high - scores[0]) if self.telescopes else (low, high)

    @property
    def prices_change(self) -> bool:
        """Whether it matters how far the pixels changed."""
        return self.highest_price > 0

    @property
    def highest_price(self) -> float:
        """The most that a change can cost."""
        return self.change_price if self.change_limit < 1 else 0.0

    def price(self, change_B) -> np.ndarray:
        """What changes of `(B,)` cost, at least 0."""
        return self.change_price * (np.asarray(change_B, np.float32) > self.change_limit)

    def at_the_end(self, step: Step) -> np.ndarray:
        """Bonus and the price of change on the last step, 0 before."""
        bonus_B = self.terminal_bonus * (step.new_B >= step.original_B)
        return np.where(step.last_B, bonus_B - self.price(step.change_B), 0.0)
