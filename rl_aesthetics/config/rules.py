"""Which options of the learning algorithm cannot work together; `config.py` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl_aesthetics.config.exploration import Exploration
    from rl_aesthetics.config.learner import Learner
    from rl_aesthetics.config.training import State, Training

_HEAD = ("dueling", "noisy", "num_atoms", "frozen")
"""Settings of the learner that are options of the network, too."""


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
    beforehand = learner.full_information and not options.get("widths", True)
    if learner.network == "tone" and options.get("strengths") and not beforehand:
        raise ValueError("network_options.strengths needs learner.full_information, and network_options.widths=[]")
