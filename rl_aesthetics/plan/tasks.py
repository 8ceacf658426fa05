"""The episode that a configuration describes, and the one that an agent was trained for."""

from __future__ import annotations

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import Config
from rl_aesthetics.config.old_names import renamed
from rl_aesthetics.config.training import Reward, Training
from rl_aesthetics.edits.space import check_shows_edits, edit_space
from rl_aesthetics.edits.transforms import action_names
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError


def task_of(config: Config) -> Task:
    """The episode that a configuration describes.

    Raises:
        UserError: it shows edits that cannot be shown.
    """
    settings = config.rl_training
    actions = action_names(settings.action_space.transforms, settings.action_space.add_stop_action)
    shows_edits = config.learner.network.channels == 4
    if shows_edits:
        check_shows_edits(edit_space(actions))
    return Task(
        actions=actions,
        max_steps=settings.training.max_steps_per_episode,
        reward=settings.reward.make(settings.training.gamma),
        observation_size=settings.state.shape[-1],
        shows_edits=shows_edits,
    )


def task_of_agent(agent: DQNAgent, max_steps: int | None = None) -> Task:
    """The task that an agent was trained for: its actions, observations, step limit and reward.

    Args:
        max_steps: another step limit.

    Raises:
        UserError: a step limit below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise UserError(f"an episode needs at least 1 step, got {max_steps}")
    described = agent.description
    settings = renamed(described.config).get("rl_training", {})
    gamma = settings.get("training", {}).get("gamma", Training().gamma)
    return Task(
        actions=described.actions,
        max_steps=max_steps or described.max_steps,
        reward=Reward.model_validate(settings.get("reward", {})).make(gamma),
        observation_size=agent.size,
        shows_edits=agent.shows_edits,
    )
