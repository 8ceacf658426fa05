"""Which options of the learning algorithms there are for which, and which cannot work together; `config.py` asks."""

from __future__ import annotations

from typing import Any

from rl_aesthetics.config.cluster import Juror
from rl_aesthetics.config.exploration import Exploration
from rl_aesthetics.config.learner import Learner
from rl_aesthetics.config.section import Section
from rl_aesthetics.config.training import RLTraining, State, Training
from rl_aesthetics.networks.settings import AfterstateSettings

UNUSED: dict[str, tuple[str, ...]] = {
    "all_actions": (
        *("learner.target_action", "learner.n_step", "learner.value_stopping"),
        *("learner.prioritized", "learner.priority_alpha", "learner.priority_beta"),
        *("learner.network.num_atoms", "learner.network.value_support", "learner.network.warm_start"),
        *("learner.crops", "rl_training.training.target_update_frequency"),
    ),
}
"""Settings that an algorithm does nothing with, by its name; those that are not named here use them all."""


def check_unused(config: Section, algorithm: str) -> None:
    """Raise ValueError where somebody set what the algorithm does nothing with: it would be ignored without a word."""
    for key in UNUSED.get(algorithm, ()):
        section: Any = config
        *path, setting = key.split(".")
        for part in path:
            section = getattr(section, part)
        if setting in section.model_fields_set:
            raise ValueError(
                f"{key} is not for learner.algorithm={algorithm}, which does nothing with it: leave it out"
            )


def without_unused(tree: dict[str, Any]) -> dict[str, Any]:
    """A written configuration less what its algorithm does nothing with, so that it can be read back."""
    for key in UNUSED.get(tree.get("learner", {}).get("algorithm", ""), ()):
        *path, setting = key.split(".")
        section = tree
        for part in path:
            section = section.get(part, {})
        section.pop(setting, None)
    return tree


def check_all_actions(guide: RLTraining, learner: Learner, juror: Juror) -> None:
    """Raise ValueError where the reward of every action is not known at once, or is not what would be learned."""
    reward = guide.reward
    if guide.training.gamma or juror.name != "reference" or learner.replay != "frames":
        raise ValueError(
            "learner.algorithm=all_actions needs rl_training.training.gamma=0, juror.name=reference and "
            "learner.replay=frames: only then is every action's value known at once"
        )
    if juror.options.get("juror") is not None:
        raise ValueError(
            "learner.algorithm=all_actions learns similarity alone, which no juror is asked for: leave "
            "juror.options.juror out, or choose learner.algorithm=dqn"
        )
    if reward.name != "difference" or ("terminal_bonus" in reward.model_fields_set and reward.terminal_bonus):
        raise ValueError(
            "learner.algorithm=all_actions learns what an edit adds to the similarity: it needs "
            "rl_training.reward.name=difference, and rl_training.reward.terminal_bonus=0"
        )
    if isinstance(learner.network, AfterstateSettings) and learner.network.includes_score:
        raise ValueError("learner.algorithm=all_actions excludes learner.network=afterstate, whose values hold scores")


def check_algorithm(learner: Learner, training: Training, exploration: Exploration) -> None:
    """Raise ValueError where options of the learner cannot work together."""
    network = learner.network
    if learner.value_stopping and not isinstance(network, AfterstateSettings):
        raise ValueError("learner.value_stopping is for learner.network=afterstate, which values results of edits")
    if isinstance(network, AfterstateSettings) and network.warm_start and learner.initial_agent:
        raise ValueError("learner.network.warm_start and learner.initial_agent exclude each other")
    if learner.n_step > training.max_steps_per_episode:
        raise ValueError(
            f"learner.n_step={learner.n_step} must not exceed max_steps_per_episode={training.max_steps_per_episode}: "
            "no episode is that long"
        )
    if network.explores and learner.target_action == "stored":
        raise ValueError(
            "learner.network.noisy excludes learner.target_action=stored: what was preferred under one draw of the "
            "noise is not what is preferred under another"
        )
    if network.explores and exploration.policy != "epsilon_greedy":
        raise ValueError(f"learner.network.noisy excludes exploration.policy={exploration.policy}: the noise explores")


def check_observations(learner: Learner, state: State) -> None:
    """Check that channels which were given beyond the guide's three are those that the network looks at.

    Raises:
        ValueError: they are not.
    """
    channels, network = state.shape[0], learner.network
    if channels not in (3, network.channels):
        raise ValueError(
            f"rl_training.state.shape says {channels} channels, and learner.network={network.kind} looks at "
            f"{network.channels}: leave it at 3, the network's own are added"
        )
