"""What the agent is paid for, and what counts as success.

To add a reward, subclass `Reward` as a frozen dataclass with its formula in the docstring, implement `pay` and
`bounds`, and list it in `REWARDS`. Its fields are its options in the configuration.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.rewards.delayed import DelayedDifference, StopOnly
from rl_aesthetics.rewards.difference import ClippedDifference, ScoreDifference, SigmoidBonus
from rl_aesthetics.rewards.reward import Reward, Step
from rl_aesthetics.rewards.success import Success

__all__ = [
    "REWARDS",
    "ClippedDifference",
    "DelayedDifference",
    "Reward",
    "ScoreDifference",
    "SigmoidBonus",
    "Step",
    "StopOnly",
    "Success",
    "make_reward",
]

REWARDS: dict[str, type[Reward]] = {
    "difference": ScoreDifference,
    "sigmoid_bonus": SigmoidBonus,
    "clipped": ClippedDifference,
    "delayed": DelayedDifference,
    "stop_only": StopOnly,
}
"""Every reward by its name in the configuration."""

_COMMON = {field.name for field in fields(Reward)}


def make_reward(
    name: str = "difference",
    *,
    step_penalty: float = 0.01,
    terminal_bonus: float = 0.1,
    change_limit: float = 1.0,
    change_price: float = 1.0,
    gamma: float = 0.99,
    options: dict[str, Any] | None = None,
) -> Reward:
    """Build a reward by name.

    Args:
        step_penalty, terminal_bonus, change_limit, change_price: the terms that all rewards share.
        gamma: the agent's discount, for rewards that need to know it.
        options: the reward's own, such as `limit` of 'clipped'; numbers.

    Raises:
        UserError: no reward has that name, it has no such option, or the option's value is impossible.
    """
    if name not in REWARDS:
        raise UserError(f"unknown reward {name!r}{closest(name, REWARDS)}; there are {', '.join(REWARDS)}")
    kind, options = REWARDS[name], dict(options or {})
    known = {field.name for field in fields(kind)} - _COMMON
    own = known - {"gamma"}
    for option, value in options.items():
        if option not in own:
            has = f"it has {', '.join(sorted(own))}" if own else "it has none"
            raise UserError(f"reward {name!r} has no option {option!r}{closest(option, own)}; {has}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"option {option!r} of reward {name!r} must be a number, got {value!r}")
    if "gamma" in known:
        options["gamma"] = gamma
    try:
        prices = {"change_limit": change_limit, "change_price": change_price}
        return kind(step_penalty, terminal_bonus, **prices, **options)
    except ValueError as error:
        raise UserError(f"reward {name!r}: {error}") from None
