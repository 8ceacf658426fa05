"""The options of a network with a head per action, from `learner.dueling`, `noisy`, `num_atoms`, `pretrained`, …"""

from __future__ import annotations

from typing import Any

from rl_aesthetics.config.config import Config
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.backbones import without_files
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.registry import make_network

MARGIN = 0.05
"""Left on both sides of a derived support, as a share of its width."""


def fit_head(config: Config, task: Task, scores: tuple[float, float] | None) -> Config:
    """Settle `learner.network_options`: what they say afterwards makes the network anywhere, without further files.

    Applied twice it changes nothing more.

    Args:
        scores: the least and the greatest score of the juror, where known.

    Raises:
        UserError: the distribution's support cannot be derived or does not hold the returns; the pretrained weights
            cannot be had.
    """
    learner = config.learner
    options: dict[str, Any] = dict(learner.network_options)
    options |= {name: True for name in ("dueling", "noisy", "frozen") if getattr(learner, name)}
    reward = task.reward
    if (
        learner.network == "tone"
        and learner.algorithm == "all_actions"
        and options.get("edits")
        and reward.change_limit < 1
    ):
        options |= {"change_limit": reward.change_limit, "change_price": reward.change_price}
    if learner.num_atoms > 1:
        options |= {"num_atoms": learner.num_atoms, "value_support": _support(config, task, scores)}
    if learner.pretrained is not None and "architecture" not in options:
        options = without_files(learner.network, {**options, "pretrained": learner.pretrained})
        if "pretrained" in options:
            raise UserError(
                f"learner.pretrained is for backbones such as resnet18; {learner.network!r} has no published weights"
            )
    return config.model_copy(update={"learner": learner.model_copy(update={"network_options": options})})


def initial_network(config: Config, task: Task) -> QNetwork:
    """The network as training begins with it: random weights, pretrained ones in the backbone if there is one.

    Raises:
        UserError: no network has that name or those options, or the pretrained weights cannot be had.
    """
    learner, size = config.learner, task.observation_size
    options = dict(learner.network_options)
    if learner.pretrained is not None:
        options = {**options, "pretrained": learner.pretrained}
        options.pop("architecture", None)  # it comes with the weights
    return make_network(learner.network, task.actions, size, **options)


def _support(config: Config, task: Task, scores: tuple[float, float] | None) -> list[float]:
    given = config.learner.value_support
    if scores is None:
        if given is None:
            raise UserError(
                f"learner.num_atoms={config.learner.num_atoms} needs to know between what returns lie, and juror "
                f"{config.juror.name!r} does not say: give learner.value_support=[LOW, HIGH] or juror.score_range"
            )
        return list(given)
    low, high = task.reward.q_bounds(scores, task.max_steps)
    if given is None:
        margin = MARGIN * (high - low)
        return [round(low - margin, 6), round(high + margin, 6)]
    if not given[0] <= low <= high <= given[1]:
        raise UserError(
            f"returns under this reward lie between {low:g} and {high:g}, which learner.value_support="
            f"[{given[0]:g}, {given[1]:g}] does not hold: leave it out"
        )
    return list(given)
