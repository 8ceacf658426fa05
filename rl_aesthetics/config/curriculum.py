"""The curriculum: photos with few degrading edits first, more as soon as the agent copes (Bengio et al., ICML 2009)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from rl_aesthetics.config.section import Fraction, Positive, Section

PRESENT_DEPTH = "curriculum_depth"
"""The metric that says at which depth the rollout workers were when an epoch ended; 0 without a curriculum."""


class Curriculum(Section):
    """Episodes begin with fresh degradations of a depth that rises by one as soon as the agent copes with the present
    one. Depth is the number of edits that it takes to undo them. Validation of the recorded degradations stays."""

    enabled: bool = Field(False, description="begin with few degrading edits")
    start_depth: Positive = Field(1, description="edits at first")
    max_depth: Positive | None = Field(
        None, description="edits at most; none means as many as the deepest training image"
    )
    judged_by: Literal["validation", "training"] = Field(
        "validation", description="'validation' is greedy, on validation photos degraded to the present depth"
    )
    measure: Literal["improved", "recovered", "exact"] = Field("recovered", description="what must pass the threshold")
    threshold: Fraction = Field(0.8, description="success at the present depth with which it rises")
    patience: Positive = Field(1, description="epochs in a row that must pass the threshold")
    review: Fraction = Field(0.2, description="share of episodes of smaller depths, so that they are not forgotten")

    @property
    def judge(self) -> str:
        """The metric that is compared with the threshold."""
        return f"curriculum_{'val' if self.judged_by == 'validation' else 'train'}_{self.measure}"


class DepthRule:
    """Decides when the depth rises.

        rule = DepthRule(settings, deepest=3)
        depth = rule.following(depth, metrics)      # after each epoch

    Args:
        deepest: no depth is greater.

    Attributes:
        passed: epochs in a row that have passed the threshold at the present depth.
    """

    def __init__(self, settings: Curriculum, deepest: int):
        self.settings, self.deepest = settings, deepest
        self.passed = 0

    def following(self, depth: int, metrics: Mapping[str, float]) -> int:
        """The depth after an epoch with these metrics: the same or one more.

        What was measured at another depth than the present one, because validation came late, does not count.
        """
        success = metrics.get(self.settings.judge)
        if success is None or metrics[PRESENT_DEPTH] != depth or depth >= self.deepest:
            return depth
        self.passed = self.passed + 1 if success >= self.settings.threshold else 0
        if self.passed < self.settings.patience:
            return depth
        self.passed = 0
        return depth + 1

    def state(self) -> dict[str, int]:
        """What its next decisions depend on besides the depth, for a checkpoint."""
        return {"passed": self.passed}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on as the rule did whose `state` this is; earlier checkpoints have none."""
        self.passed = state.get("passed", 0)
