"""Which options of the learning algorithms there are for which, and which cannot work together; `config.py` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl_aesthetics.config.config import Config
    from rl_aesthetics.config.exploration import Exploration
    from rl_aesthetics.config.learner import Learner
    from rl_aesthetics.config.training import State, Training

_HEAD = ("dueling", "noisy", "num_atoms", "frozen")
"""Settings of the learner that are options of the network, too."""


UNUSED: dict[str, tuple[str, ...]] = {
    "all_actions": (
        *("learner.double_q", "learner.remember_next_action", "learner.n_step", "learner.value_stopping"),
        *("learner.prioritized", "learner.priority_alpha", "learner.priority_beta"),
        *("learner.num_atoms", "learner.value_support", "learner.warm_start"),
        *("learner.augment", "learner.smallest_crop", "learner.crops"),
        "rl_training.training.target_update_frequency",
    )
}
"""Settings that an algorithm does nothing with, by its name; those that are not named here use them all."""


def check_unused(config: Config) -> None:
    """Raise ValueError where somebody set what the algorithm does nothing with: it would be ignored without a word."""
    name = config.learner.algorithm
    for key in UNUSED.get(name, ()):
        section: Any = config
        *path, setting = key.split(".")
        for part in path:
            section = getattr(section, part)
        if setting in section.model_fields_set:
            raise ValueError(f"{key} is not for learner.algorithm={name}, which does nothing with it: leave it out")


def without_unused(tree: dict[str, Any]) -> dict[str, Any]:
    """A written configuration less what its algorithm does nothing with, so that it can be read back."""
    for key in UNUSED.get(tree.get("learner", {}).get("algorithm", ""), ()):
        *path, setting = key.split(".")
        section = tree
        for part in path:
            section = section.get(part, {})
        section.pop(setting, None)
    return tree


def check_all_actions(config: Config) -> None:
    """Raise ValueError where the reward of every action is not known at once, or is not what would be learned."""
    training, learner, reward = config.rl_training.training, config.learner, config.rl_training.reward
    if training.gamma or config.juror.name != "reference" or learner.replay != "frames":
        raise ValueError(
            "learner.algorithm=all_actions needs rl_training.training.gamma=0, juror.name=reference and "
            "learner.replay=frames: only then is every action's value known at once"
        )
    if reward.name != "difference" or ("terminal_bonus" in reward.model_fields_set and reward.terminal_bonus):
        raise ValueError(
            "learner.algorithm=all_actions learns what an edit adds to the similarity: it needs "
            "rl_training.reward.name=difference, and rl_training.reward.terminal_bonus=0"
        )
    if learner.network == "edit_scoring" and learner.network_options.get("values_include_score", True):
        raise ValueError(
            "learner.algorithm=all_actions excludes learner.network=edit_scoring, whose values hold scores"
        )


def check_algorithm(learner: Learner, training: Training, exploration: Exploration) -> None:
    """Raise ValueError where options of the learner cannot work together."""
    options = learner.network_options
    for name in (*_HEAD, "pretrained"):
        if name in options and options[name] != getattr(learner, name):
            raise ValueError(f"learner.network_options.{name}: write learner.{name} in its place")
    if learner.network == "edit_scoring":
        for name in (*_HEAD, "pretrained"):
            if getattr(learner, name) != type(learner).model_fields[name].default:
                raise ValueError(
                    f"learner.{name} needs a network with an output for each action, which 'edit_scoring' has not"
                )
    elif learner.value_stopping:
        raise ValueError("learner.value_stopping is for learner.network=edit_scoring, which values results of edits")
    if learner.value_support is not None and learner.num_atoms == 1:
        raise ValueError("learner.value_support needs learner.num_atoms above 1, such as 51")
    if learner.value_support is not None and learner.value_support[0] >= learner.value_support[1]:
        raise ValueError("learner.value_support must be [LOW, HIGH] with LOW below HIGH")
    if learner.frozen and not (learner.pretrained or learner.initial_agent):
        raise ValueError("learner.frozen needs learner.pretrained: random convolutions would stay random")
    if learner.n_step > training.max_steps_per_episode:
        raise ValueError(
            f"learner.n_step={learner.n_step} must not exceed max_steps_per_episode={training.max_steps_per_episode}: "
            "no episode is that long"
        )
    if learner.noisy and learner.remember_next_action:
        raise ValueError(
            "learner.noisy excludes learner.remember_next_action: what was preferred under one draw of the noise is "
            "not what is preferred under another"
        )
    if learner.noisy and exploration.policy != "epsilon_greedy":
        raise ValueError(f"learner.noisy excludes exploration.policy={exploration.policy}: the noise explores")


def check_sight(learner: Learner, state: State) -> None:
    """Check that the network and the observations speak of the same things.

    Raises:
        ValueError: they do not.
    """
    options = learner.network_options
    if bool(learner.network == "tone" and options.get("edits")) != (state.shape[0] == 4):
        raise ValueError(
            "rl_training.state.shape of 4 channels and learner.network=tone with network_options.edits=true need each "
            "other"
        )
    if learner.network == "tone" and options.get("strengths") and not learner.describes_beforehand:
        raise ValueError("network_options.strengths needs learner.algorithm=all_actions, and network_options.widths=[]")
