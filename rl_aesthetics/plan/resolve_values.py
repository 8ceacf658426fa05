"""What networks' values mean and between which they lie, from the reward and the juror's scores."""

from __future__ import annotations

from rl_aesthetics.config.config import Config
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.settings import AfterstateSettings, HeadSettings, NetworkSettings, ToneSettings
from rl_aesthetics.networks.trunks import NARROW, WIDTHS
from rl_aesthetics.plan.resolve_head import resolve_head

MARGIN = 0.05
"""Left on both sides of a derived range, as a share of its width: a sigmoid reaches its ends at infinity only."""


def resolve_values(config: Config, task: Task, score_range: tuple[float, float] | None) -> Config:
    """Settle `learner.network`: what it leaves to reward and juror. Applied twice it changes nothing more.

    Args:
        score_range: the least and the greatest score of the juror, where it says so; the configuration's comes first.

    Raises:
        UserError: the reward can leave the given range, the range cannot be derived, or the settings contradict the
            reward or the warm start; as `resolve_head`.
    """
    network = config.learner.network
    scores = config.juror.score_range or score_range
    resolved: NetworkSettings = network
    if isinstance(network, AfterstateSettings):
        resolved = _afterstate(network, config, task, scores)
    elif isinstance(network, HeadSettings):
        resolved = resolve_head(network, config, task, scores)
    elif isinstance(network, ToneSettings) and config.learner.algorithm == "all_actions":
        resolved = _tone(network, task)
    return config.model_copy(update={"learner": config.learner.model_copy(update={"network": resolved})})


def _tone(network: ToneSettings, task: Task) -> ToneSettings:
    """Where rewards themselves are learned, the price of change is known and need not be."""
    reward = task.reward
    if reward.change_limit == 1:
        return network
    prices = {"change_limit": reward.change_limit, "change_price": reward.change_price}
    return network.model_copy(update=prices)


def _afterstate(
    network: AfterstateSettings, config: Config, task: Task, scores: tuple[float, float] | None
) -> AfterstateSettings:
    """`value_range: auto` becomes the reward's bounds with a margin, and where rewards do not telescope
    (`Reward.telescopes`) the network learns Q itself in place of Q + score. Its convolutions are narrow where nothing
    else is asked for; a warm start asks for the pocket juror's."""
    reward = task.reward
    widths = network.widths or (WIDTHS if network.warm_start else NARROW)
    if network.warm_start and widths != WIDTHS:
        raise UserError(
            f"learner.network.warm_start needs the pocket juror's convolutions: leave learner.network.widths out, or "
            f"write {list(WIDTHS)}"
        )
    network = network.model_copy(update={"widths": widths})
    if not reward.telescopes:
        if network.warm_start:
            raise UserError(
                "learner.network.warm_start needs a reward whose differences add up to the score: "
                "rl_training.reward.name=difference or sigmoid_bonus, or delayed with options={shaping: 1}"
            )
        if network.values_include_score:
            raise UserError(
                f"rl_training.reward.name={config.rl_training.reward.name} does not add up to the score: leave "
                "learner.network.values_include_score out"
            )
        network = network.model_copy(update={"values_include_score": False})
    return network.model_copy(update={"value_range": _value_range(network, config, task, scores)})


def _value_range(
    network: AfterstateSettings, config: Config, task: Task, scores: tuple[float, float] | None
) -> tuple[float, float] | None:
    given = network.value_range
    if given == "auto" and scores is None:
        raise UserError(
            f"learner.network.value_range=auto needs to know between what the scores of juror "
            f"{config.juror.name!r} lie: give juror.score_range=[LOW, HIGH]"
        )
    if given is None or scores is None:
        assert given != "auto"
        return given
    low, high = (task.reward.bounds if network.includes_score else task.reward.q_bounds)(scores, task.max_steps)
    if given == "auto":
        margin = MARGIN * (high - low)
        return round(low - margin, 6), round(high + margin, 6)
    if not given[0] <= low <= high <= given[1]:
        raise UserError(
            f"values under this reward lie between {low:g} and {high:g}, which learner.network.value_range="
            f"[{given[0]:g}, {given[1]:g}] does not hold: write value_range: auto"
        )
    return given
