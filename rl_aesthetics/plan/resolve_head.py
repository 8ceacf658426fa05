"""The settings of a network with a head per action that depend on reward and juror."""

from __future__ import annotations

from rl_aesthetics.config.config import Config
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.settings import HeadSettings

MARGIN = 0.05
"""Left on both sides of a derived support, as a share of its width."""


def resolve_head(network: HeadSettings, config: Config, task: Task, scores: tuple[float, float] | None) -> HeadSettings:
    """Settle `learner.network`. Applied twice it changes nothing more.

    Args:
        scores: the least and the greatest score of the juror, where known.

    Raises:
        UserError: the distribution's support cannot be derived or does not hold the returns.
    """
    if network.num_atoms == 1:
        return network
    return network.model_copy(update={"value_support": _support(network, config, task, scores)})


def initial_network(config: Config, task: Task) -> QNetwork:
    """The network as training begins with it: random weights, pretrained ones in the backbone if there is one.

    Raises:
        UserError: it cannot be made of these settings, or the pretrained weights cannot be had.
    """
    return config.learner.network.build(task.actions, task.observation_size)


def _support(
    network: HeadSettings, config: Config, task: Task, scores: tuple[float, float] | None
) -> tuple[float, float]:
    given = network.value_support
    if scores is None:
        if given is None:
            raise UserError(
                f"learner.network.num_atoms={network.num_atoms} needs to know between what returns lie, and juror "
                f"{config.juror.name!r} does not say: give learner.network.value_support=[LOW, HIGH] or "
                "juror.score_range"
            )
        return given
    low, high = task.reward.q_bounds(scores, task.max_steps)
    if given is None:
        margin = MARGIN * (high - low)
        return round(low - margin, 6), round(high + margin, 6)
    if not given[0] <= low <= high <= given[1]:
        raise UserError(
            f"returns under this reward lie between {low:g} and {high:g}, which learner.network.value_support="
            f"[{given[0]:g}, {given[1]:g}] does not hold: leave it out"
        )
    return given
