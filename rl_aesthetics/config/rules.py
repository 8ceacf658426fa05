"""Which options of the learning algorithm cannot work together; `config.py` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_aesthetics.networks.settings import EditScoringSettings, ToneSettings

if TYPE_CHECKING:
    from rl_aesthetics.config.exploration import Exploration
    from rl_aesthetics.config.learner import Learner
    from rl_aesthetics.config.training import State, Training


def check_algorithm(learner: Learner, training: Training, exploration: Exploration) -> None:
    """Raise ValueError where options of the learner cannot work together."""
    network = learner.network
    if learner.value_stopping and not isinstance(network, EditScoringSettings):
        raise ValueError("learner.value_stopping is for learner.network=edit_scoring, which values results of edits")
    if isinstance(network, EditScoringSettings) and network.warm_start and learner.initial_agent:
        raise ValueError("learner.network.warm_start and learner.initial_agent exclude each other")
    if learner.n_step > training.max_steps_per_episode:
        raise ValueError(
            f"learner.n_step={learner.n_step} must not exceed max_steps_per_episode={training.max_steps_per_episode}: "
            "no episode is that long"
        )
    if network.explores and learner.remember_next_action:
        raise ValueError(
            "learner.network.noisy excludes learner.remember_next_action: what was preferred under one draw of the "
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
    if isinstance(network, ToneSettings) and network.strengths and (network.widths or not learner.full_information):
        raise ValueError("learner.network.strengths needs learner.full_information, and learner.network.widths=[]")
