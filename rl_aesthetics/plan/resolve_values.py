"""What the edit-scoring network's values mean and between which they lie, from the reward and the juror's scores."""

from __future__ import annotations

from rl_aesthetics.config.config import Config
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.trunks import NARROW, WIDTHS
from rl_aesthetics.plan.resolve_head import resolve_head

MARGIN = 0.05
"""Left on both sides of a derived range, as a share of its width: a sigmoid reaches its ends at infinity only."""


def resolve_values(config: Config, task: Task, score_range: tuple[float, float] | None) -> Config:
    """Settle `learner.network_options`; applied twice it changes nothing more. Of the edit-scoring network here, of one
    with a head per action in `resolve_head`.

    `value_range: auto` becomes the reward's bounds with a margin, and where rewards do not telescope
    (`Reward.telescopes`) the network learns Q itself in place of Q + score. Its convolutions are narrow where nothing
    else is asked for; a warm start asks for the pocket juror's.

    Args:
        score_range: the least and the greatest score of the juror, where it says so; the configuration's comes first.

    Raises:
        UserError: the reward can leave the given range, the range cannot be derived, or the options contradict the
            reward or the warm start.
    """
    learner, reward = config.learner, task.reward
    scores = config.juror.score_range or score_range
    if learner.network != "edit_scoring":
        return resolve_head(config, task, scores)
    options = dict(learner.network_options)
    widths = options.setdefault("widths", list(WIDTHS if learner.warm_start else NARROW))
    if learner.warm_start and tuple(widths) != WIDTHS:
        raise UserError(
            f"learner.warm_start needs the pocket juror's convolutions: leave learner.network_options.widths out, or "
            f"write {list(WIDTHS)}"
        )
    if not reward.telescopes:
        if learner.warm_start:
            raise UserError(
                "learner.warm_start needs a reward whose differences add up to the score: rl_training.reward.name="
                "difference or sigmoid_bonus, or delayed with options={shaping: 1}"
            )
        if options.setdefault("values_include_score", False):
            raise UserError(
                f"rl_training.reward.name={config.rl_training.reward.name} does not add up to the score: leave "
                "learner.network_options.values_include_score out"
            )
    given = options.get("value_range")
    if given == "auto" and scores is None:
        raise UserError(
            f"learner.network_options.value_range=auto needs to know between what the scores of juror "
            f"{config.juror.name!r} lie: give juror.score_range=[LOW, HIGH]"
        )
    if given is not None and scores is not None:
        included = options.get("values_include_score", True)
        low, high = (reward.bounds if included else reward.q_bounds)(scores, task.max_steps)
        if given == "auto":
            margin = MARGIN * (high - low)
            options["value_range"] = [round(low - margin, 6), round(high + margin, 6)]
        elif not given[0] <= low <= high <= given[1]:
            raise UserError(
                f"values under this reward lie between {low:g} and {high:g}, which learner.network_options.value_range="
                f"[{given[0]:g}, {given[1]:g}] does not hold: write value_range: auto"
            )
    resolved = learner.model_copy(update={"network_options": options})
    return config.model_copy(update={"learner": resolved})
