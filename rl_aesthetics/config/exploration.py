"""How much the rollout workers explore, and how that falls in the course of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rl_aesthetics.config.section import Positive, Section

Schedule = Literal["exponential", "linear"]


def scheduled(schedule: Schedule, start: float, end: float, done: int, decay: float, over: int | None) -> float:
    """A quantity that goes from `start` to `end`, after `done` episodes or steps:

        exponential   max(end, start · decayⁿ)                                 the guide's
        linear        start + (end − start) · min(1, n / over)                 DQN's (Nature 518, 2015)

    Args:
        decay: factor for each episode or step, in (0, 1]; for 'exponential'.
        over: episodes or steps after which `end` is reached; for 'linear'.
    """
    if schedule == "exponential":
        return max(end, start * decay**done)
    assert over is not None
    return end + (start - end) * (1 - min(1.0, done / over))


class Exploration(Section):
    """What rollout workers do besides the best known action. `epsilon_start`, `epsilon_end` and `epsilon_decay` are the
    guide's and stand under `rl_training.training`; here is how epsilon, or the temperature, goes from start to end."""

    policy: Literal["epsilon_greedy", "boltzmann"] = Field(
        "epsilon_greedy", description="'boltzmann' draws actions with probabilities ∝ exp(Q / temperature) instead"
    )
    schedule: Schedule = Field("exponential", description="'exponential' or 'linear'")
    per: Literal["episode", "step"] = Field(
        "episode", description="what the schedule counts: finished episodes or steps"
    )
    over: Positive | None = Field(None, description="episodes or steps until the end value ('linear')")
    temperature_start: float = Field(0.1, gt=0, description="of 'boltzmann' at the start, in units of the score")
    temperature_end: float = Field(0.005, gt=0, description="of 'boltzmann' in the end")

    @model_validator(mode="after")
    def _what_the_schedule_needs(self) -> Exploration:
        if self.schedule == "linear" and self.over is None:
            raise ValueError(f"exploration.schedule={self.schedule} needs exploration.over, how long it takes")
        if self.temperature_end > self.temperature_start:
            raise ValueError("exploration.temperature_end must not exceed temperature_start")
        return self

    def at(self, episodes: int, steps: int, epsilon: tuple[float, float], decay: float) -> tuple[float, float | None]:
        """Epsilon, and the temperature of 'boltzmann' or None, after so many episodes and environment steps.

        Args:
            epsilon: at the start and in the end.
            decay: the factor of 'exponential'.
        """
        done = episodes if self.per == "episode" else steps
        if self.policy == "boltzmann":
            ends = self.temperature_start, self.temperature_end
            return 0.0, scheduled(self.schedule, *ends, done, decay, self.over)
        return scheduled(self.schedule, *epsilon, done, decay, self.over), None
